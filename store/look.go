package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/tlog"

	"chartcellar/store/archive"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/keys"
)

// Look opens a folder only to look at it: a mirror, also while another process keeps
// it, or a copy of its folders mirror, parts, attachments, holdings and checkpoints, on
// whatever disk, also one that cannot be written.
//
// It promises to write nothing into the folder: it takes no lock, finishes nothing
// that a crash left, keeps no journal and no witness, and each method that would
// change the mirror returns ErrReadOnly. It needs o.Identity and no box key.
//
// It reads the whole archive once. What came after the last part that ends a run is
// left aside (Unfinished says how much), unless no run was ever ended. What is missing,
// damaged or not as it was signed is a sentence in Problems and never an error, as
// long as the statement of the mirror can be read: what can be read is shown. Then an
// older version may stand for one that is lost; the sentence says so. Attachment files
// are looked at only when they are opened.
//
// The index is in a private folder (o.Scratch) while the mirror is open. It holds no
// record: its names are hashed under the mirror key, and its lists sealed with a key
// that is never written.
//
// Errors: ErrNoMirror, ErrLocked if the identity is of another mirror (ErrOldSheet if it
// is of a sheet that a newer one has taken the place of),
// keys.ErrForged, keys.ErrDamaged.
func Look(ctx context.Context, o Options) (*Mirror, error) {
	o.fill()
	m := &Mirror{dir: o.Dir, fs: disk.ReadOnly{FS: o.FS}, now: o.Now, log: o.Log, box: o.Box,
		reserve: o.Reserve, cache: newFrameCache(cacheBytes)}
	if there, err := IsMirror(m.fs, m.dir); err != nil {
		return nil, err
	} else if !there {
		return nil, ErrNoMirror
	}
	if o.Identity == nil {
		return nil, ErrLocked
	}
	if err := m.lookAtKeys(o.Identity); err != nil {
		return nil, err
	}
	l := &looker{m: m, sums: map[archive.PartNumber][32]byte{}}
	if err := l.index(ctx, o.Scratch); err != nil {
		m.cache.drop()
		if m.scratch != nil {
			err = errors.Join(err, m.scratch.Close())
		}
		return nil, fmt.Errorf("look at the archive: %w", err)
	}
	return m, nil
}

// OpenSlotIn returns the office key that a passphrase opens in the folder of a mirror
// that is not open. The error wraps keys.ErrWrongPassword if none of its slots opens.
func OpenSlotIn(o Options, u *keys.Unlocker, password string) (*age.X25519Identity, error) {
	o.fill()
	m := &Mirror{dir: o.Dir, fs: disk.ReadOnly{FS: o.FS}, box: o.Box}
	return m.OpenSlot(u, password)
}

// ReadOnly reports whether the mirror is only looked at.
func (m *Mirror) ReadOnly() bool { return m.looked != nil }

// Unfinished returns how many parts Look left aside because the run that wrote them
// has not ended.
func (m *Mirror) Unfinished() int { return m.unfinished }

// lookAtKeys checks the statements up to the first that is not good, and opens the
// mirror key with id.
func (m *Mirror) lookAtKeys(id age.Identity) error {
	var files [][]byte
	var chain keys.Chain
	for n := 1; ; n++ {
		b, err := disk.ReadFile(m.fs, m.path(statementName(n)), 1<<20)
		if errors.Is(err, fs.ErrNotExist) && n > 1 {
			break
		}
		var longer keys.Chain
		if err == nil {
			longer, err = keys.VerifyChain(append(files, b), "")
		}
		if err != nil && n > 1 {
			m.problem(ProblemSigned, "The file %s is not good, so that the one before it was used: %s.", filepath.ToSlash(statementName(n)), err)
			break
		}
		if err != nil {
			return fmt.Errorf("read the mirror statement: %w", err)
		}
		chain, files = longer, append(files, b)
	}
	m.first = keys.Hash(files[0])
	err := m.setChain(chain)
	if err != nil {
		return err
	}
	o, err := m.stated.Load().open(id)
	if err != nil {
		return err
	}
	m.mirrorKey, m.identity = o.mirrorKey, o.id
	m.looked, err = keys.NewBox()
	return err
}

// A looker makes the index of a mirror that is only looked at.
type looker struct {
	m    *Mirror
	r    *index.Rebuild
	sums map[archive.PartNumber][32]byte // of the parts that are in the index
	last archive.PartNumber              // that was taken or found missing
	size int64                           // of the log so far
	// ended says that a run was ended: a checkpoint was signed then.
	ended  bool
	hole   bool    // a part is missing: the log is not whole from there on
	sure   int64   // size of the log before the first hole
	packed *packed // where the journal stands in the parts; nil: no line is in one
	// proven is the size of the log that a signed root was found to fit.
	proven int64
	lost   map[archive.PartNumber]bool // parts of which a problem speaks already
	stated *statedLosses
	// signed are the checkpoints that were there before the parts were listed: what
	// another process signs meanwhile covers more.
	signed []int
}

func (l *looker) index(ctx context.Context, scratch string) (err error) {
	m := l.m
	l.lost = map[archive.PartNumber]bool{}
	l.signed, _ = m.checkpointNumbers() // compare says what is wrong with them
	numbers, err := m.partNumbers()
	if errors.Is(err, fs.ErrNotExist) {
		m.problem(ProblemFile, "The folder parts is missing: there is no record in this folder.")
	} else if err != nil {
		return err
	}
	numbers = l.upToEnd(numbers)
	if m.scratch, err = disk.NewScratch(scratch, l.room(numbers)); err != nil {
		return err
	}
	if l.r, err = index.NewRebuild(m.indexOptions()); err != nil {
		return err
	}
	l.stated = &statedLosses{m: m, r: l.r, numbers: numbers}
	if err = m.scanAll(ctx, l.r, numbers, (*partScanner).look, l.take); err == nil {
		err = l.r.Merge(ctx)
	}
	for left := 1; err == nil && left > 0; {
		left, err = l.r.DB().Fold(20_000)
	}
	if err == nil {
		err = l.compare(l.r.DB())
	}
	if err != nil {
		return errors.Join(err, l.r.Discard())
	}
	if err := l.r.Install(); err != nil {
		return err
	}
	if m.index, err = index.Open(m.indexOptions(), false); err != nil {
		return err
	}
	return m.scratch.Hide()
}

// room is how large the index may become, with what making it needs: a first guess
// from the size of the parts.
func (l *looker) room(numbers []archive.PartNumber) (size int64) {
	for _, n := range numbers {
		if info, err := l.m.fs.Stat(l.m.path(n.Name())); err == nil {
			size += info.Size()
		}
	}
	return 256<<20 + 3*size
}

// upToEnd cuts off the parts after the last one that ends a run. What was signed
// belongs to a run that was ended, also if its end is missing.
func (l *looker) upToEnd(numbers []archive.PartNumber) []archive.PartNumber {
	signed := l.signedTo()
	for i := len(numbers); i > 0; i-- {
		n := numbers[i-1]
		if n <= signed {
			l.m.unfinished = len(numbers) - i
			return numbers[:i]
		}
		if ends, err := l.m.closes(n); err != nil {
			l.gone(n, err)
		} else if ends {
			l.m.unfinished = len(numbers) - i
			return numbers[:i]
		}
	}
	return numbers
}

// signedTo returns the last part that a checkpoint names.
func (l *looker) signedTo() (last archive.PartNumber) {
	for _, n := range slices.Backward(l.signed) {
		c, err := l.m.ReadCheckpoint(n)
		if err != nil {
			continue
		}
		for name := range c.Files {
			if n, ok := signedPart(name); ok {
				last = max(last, n)
			}
		}
		return last
	}
	return 0
}

// signedPart returns the number of a part that a checkpoint names.
func signedPart(name string) (archive.PartNumber, bool) {
	if !strings.HasPrefix(name, "parts/") {
		return 0, false
	}
	n, temp, ok := archive.ParsePartName(path.Base(name))
	return n, ok && !temp
}

// checkpointNumbers lists the checkpoints that are there, in their order.
func (m *Mirror) checkpointNumbers() (list []int, err error) {
	entries, err := m.fs.ReadDir(m.path("checkpoints"))
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err == nil && filepath.Base(checkpointName(n)) == e.Name() {
			list = append(list, n)
		}
	}
	return list, err
}

// closes reports whether a part is the closing part of a run.
func (m *Mirror) closes(n archive.PartNumber) (bool, error) {
	p, err := m.openPart(uint32(n), m.identity)
	if err != nil {
		return false, err
	}
	defer p.Close() // read only
	s := scannedPart{n: n}
	return s.changes(p) == nil && s.commit.Changes.Close != nil, nil
}

// gone notes once that a part cannot be read.
func (l *looker) gone(n archive.PartNumber, err error) {
	if l.lost[n] {
		return
	}
	l.lost[n] = true
	const hides = "what it held is not shown, and an older version of it may stand for the newest"
	switch {
	case errors.Is(err, ErrNewer):
		l.m.problem(ProblemFile, "Part %d of the archive was written by a newer release of chartcellar: %s.", n, hides)
	case errors.Is(err, fs.ErrNotExist):
		l.m.problem(ProblemFile, "Part %d of the archive is missing: %s.", n, hides)
	default:
		l.m.problem(ProblemFile, "Part %d of the archive cannot be read: %s.", n, hides)
	}
}

// take puts the parts into the index, in their order. What is missing is a problem.
func (l *looker) take(ctx context.Context, order chan *scannedPart) error {
	for s := range order {
		<-s.done
		for l.last++; l.last < s.n; l.last++ {
			if err := l.missing(l.last, fs.ErrNotExist); err != nil {
				return err
			}
		}
		if s.err != nil {
			if err := l.missing(s.n, s.err); err != nil {
				return err
			}
			continue
		}
		if err := l.add(s); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// missing takes a part that cannot be read: as a loss record states it, else it is a
// hole.
func (l *looker) missing(n archive.PartNumber, err error) error {
	stated, serr := l.statedAt(n)
	if !stated {
		l.gone(n, err)
		l.hole = true
	}
	return serr
}

// statedAt takes a part as a loss record states it, if one does: the loss is no
// problem then.
func (l *looker) statedAt(n archive.PartNumber) (bool, error) {
	s, stated, err := l.stated.fill(n)
	if !stated {
		return false, err
	}
	l.lost[n] = true
	l.size += int64(len(s.Leaves))
	if !l.hole {
		l.sure = l.size
	}
	return true, err
}

// maxHole bounds how many leaves of missing parts are believed.
const maxHole = 1 << 22

func (l *looker) add(s *scannedPart) error {
	if len(s.lost) > 0 {
		if stated, err := l.statedAt(s.n); stated {
			return err
		}
	}
	l.stated.fit(&s.commit.Changes)
	if s.footer.Before.Size != l.size && !l.hole {
		l.m.problem(ProblemSigned, "Part %d does not continue the archive before it: files of different times may have been mixed.", s.n)
		l.hole = true
	}
	if l.hole {
		l.mend(s)
	}
	for typ, n := range s.lost {
		l.lost[s.n] = true
		l.m.problem(ProblemFile, "Part %d of the archive is damaged: %d lines of %s cannot be read, and an older version of them may stand for the newest.", s.n, n, typ)
	}
	if s.packed != nil {
		l.packed = s.packed
	}
	l.ended = l.ended || s.commit.Changes.Close != nil
	l.sums[s.n] = s.commit.Part.SHA256
	l.size += int64(len(s.commit.Hashes))
	if !l.hole {
		l.sure = l.size
	}
	return l.r.Add(s.commit)
}

// mend lets a part be added though parts before it are missing: its leaves keep their
// places in the log, its run is known, and decisions about what is not here are left out.
func (l *looker) mend(s *scannedPart) {
	if n := s.footer.Before.Size - l.size; n > 0 && n < maxHole {
		s.commit.Hashes = append(make([]tlog.Hash, n), s.commit.Hashes...)
	}
	c, states := &s.commit.Changes, l.r.DB().States()
	if _, known := states[s.footer.Run]; !known && c.Start == nil {
		at, _ := time.Parse(time.RFC3339, s.footer.Fetched) // a label only
		c.Start = &index.RunState{Source: s.footer.Source, Kind: "sync", Started: at, States: index.RunStates{All: index.Underway}}
	}
	dropDecisions(c, states)
}

// compare compares what is here with every checkpoint that was signed.
func (l *looker) compare(d *index.DB) error {
	m := l.m
	if len(l.signed) == 0 && l.ended {
		m.problem(ProblemSigned, "The signed checkpoints are missing: nothing here could be compared with what the office signed.")
	}
	var state checkpointState
	signed := map[archive.PartNumber]bool{}
	last := 0
	for _, n := range l.signed {
		for last++; last < n; last++ {
			m.problem(ProblemSigned, "Checkpoint %d is missing.", last)
		}
		c, err := m.ReadCheckpoint(n)
		if err != nil {
			m.problem(ProblemSigned, "Checkpoint %d cannot be used: it is damaged, or another key signed it.", n)
			continue
		}
		l.checkpoint(d, c, signed)
		state.Number = n
	}
	for _, s := range m.Chain() {
		if f := s.Fork; f.Is() && f.Size <= l.sure {
			if root, err := d.TreeAt(f.Size); err != nil || root != f.Root {
				m.problem(ProblemSigned, "The archive is not the one that epoch %d continues: files may have been exchanged.", s.Epoch)
			}
		}
	}
	err := l.rest(d, signed, len(l.signed) > 0)
	if err == nil {
		err = d.SetMeta("first statement", []byte(m.first))
	}
	err = errors.Join(err, setMeta(d, "checkpoint", state))
	if l.packed != nil {
		err = errors.Join(err, setMeta(d, "journal", l.packed))
	}
	return err
}

func setMeta(d *index.DB, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s to the index: %w", name, err)
	}
	return d.SetMeta(name, b)
}

// checkpoint compares one.
func (l *looker) checkpoint(d *index.DB, c Checkpoint, signed map[archive.PartNumber]bool) {
	if c.Size <= l.sure {
		if root, err := d.TreeAt(c.Size); err == nil && root == c.Root {
			l.proven = max(l.proven, c.Size)
		} else {
			l.m.problem(ProblemSigned, "The archive is not the one that the office signed as checkpoint %d: files may have been exchanged.", c.Number)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		n, ok := signedPart(name)
		if !ok {
			continue
		}
		signed[n] = true
		sum, here := l.sums[n]
		if !here {
			if there, err := disk.Exists(l.m.fs, l.m.path(n.Name())); err == nil && !there {
				l.gone(n, fs.ErrNotExist)
			}
			continue
		}
		if sum != c.Files[name] && !l.lost[n] {
			l.lost[n] = true
			l.m.problem(ProblemSigned, "Part %d of the archive is not the file that the office signed: it was damaged or exchanged.", n)
		}
	}
}

// rest says which parts no checkpoint speaks of, and which files of attachments and
// holdings are not here, other than by choice, or are cut.
func (l *looker) rest(d *index.DB, signed map[archive.PartNumber]bool, any bool) error {
	unsigned, absent := 0, 0
	apart, err := l.m.absent(d)
	if err != nil {
		return err
	}
	err = d.EachPart(func(p index.Part) error {
		if any && p.Leaves > l.proven && !signed[archive.PartNumber(p.Number)] {
			unsigned++
		}
		for _, f := range p.Files {
			if _, chosen := apart[f.Name]; chosen || f.Lost > 0 {
				continue
			}
			info, err := l.m.fs.Stat(l.m.path(filepath.FromSlash(f.Name)))
			if err != nil || info.Size() != f.Size {
				absent++
			}
		}
		return nil
	})
	if unsigned > 0 {
		l.m.problem(ProblemSigned, "%d parts of the archive are in no signed checkpoint that is here.", unsigned)
	}
	if absent > 0 {
		l.m.problem(ProblemFile, "%d files of attachments and holdings are missing or have the wrong size.", absent)
	}
	return err
}

// look reads one part as file does, but goes on behind a frame that is damaged.
func (w *partScanner) look(s *scannedPart) error {
	p, row, err := w.open(s.n)
	if err != nil {
		return err
	}
	defer p.Close() // read only
	begin := func() {
		s.commit = index.Commit{Hashes: p.Leaves(), Changes: s.commit.Changes, Part: row}
		s.packed = nil
	}
	s.footer = p.Footer
	if err := s.changes(p); err != nil {
		return err
	}
	if begin(); w.frames(p, s) == nil {
		return nil
	}
	begin()
	s.lost = map[string]int{}
	for i, info := range p.Footer.Frames {
		c := s.commit
		err := p.Each(w.codec, &w.buf, i, i+1, func(i int, plain []byte) error { return w.frame(p, s, i, plain) })
		if err != nil {
			s.commit = c
			s.lost[info.Type] += info.Lines
		}
	}
	return nil
}
