package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"chartcellar/store/archive"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/journal"
	"chartcellar/store/keys"
)

func (o *Options) fill() {
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Ballast == 0 {
		o.Ballast = 64 << 20
	}
}

// Open opens the mirror in o.Dir, finishes what a crash left half done, and
// takes the lock. It needs no identity, but returns ErrNeedsUnlock if the index
// is bad and o.Identity is not set. Errors: ErrNoMirror, *BusyError,
// ErrNeedsUnlock, ErrNewer, ErrRolledBack, keys.ErrForged, keys.ErrDamaged.
// With o.ReadOnly it is Look.
func Open(ctx context.Context, o Options) (*Mirror, error) {
	if o.ReadOnly {
		return Look(ctx, o)
	}
	o.fill()
	there, err := IsMirror(o.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, ErrNoMirror
	}
	if err := checkLocal(o.FS, o.Dir); err != nil {
		return nil, err
	}
	m, err := openOnce(ctx, &o)
	if err != nil && disk.IsFull(err) { // looking goes on; that is what the ballast is for (I13)
		if rerr := disk.RemoveSpent(o.FS, filepath.Join(o.Dir, "ballast")); rerr != nil {
			return nil, errors.Join(err, rerr)
		}
		m, err = openOnce(ctx, &o)
	}
	return m, err
}

func openOnce(ctx context.Context, o *Options) (*Mirror, error) {
	m := &Mirror{dir: o.Dir, fs: o.FS, now: o.Now, log: o.Log, box: o.Box, reserve: o.Reserve,
		witness: o.Witness, cache: newFrameCache(cacheBytes)}
	if err := m.takeLock(o); err != nil {
		return nil, err
	}
	if err := m.open(ctx, o); err != nil {
		return nil, errors.Join(err, m.abandon())
	}
	return m, nil
}

// abandon closes what a failed Open had opened.
func (m *Mirror) abandon() error {
	var err error
	if m.journal != nil {
		err = m.journal.Close()
	}
	if m.index != nil {
		err = errors.Join(err, m.index.Close())
	}
	return errors.Join(err, m.lock.Release())
}

func (m *Mirror) takeLock(o *Options) error {
	note, err := json.Marshal(Holder{os.Getpid(), o.Doing, o.Now().UTC(), o.Socket})
	if err != nil {
		return fmt.Errorf("write the lock note: %w", err)
	}
	lock, holder, err := disk.TakeLock(m.path("lock"), string(note))
	if errors.Is(err, disk.ErrHeld) {
		b := &BusyError{}
		json.Unmarshal([]byte(holder), &b.Holder) // a note half written names nobody
		return b
	}
	m.lock = lock
	return err
}

// WhoHolds reads the lock file of the mirror in dir; it says nothing about
// whether that process still runs.
func WhoHolds(dir string) (Holder, bool) {
	var h Holder
	b, err := os.ReadFile(filepath.Join(dir, "lock"))
	return h, err == nil && json.Unmarshal(b, &h) == nil
}

func (m *Mirror) open(ctx context.Context, o *Options) error {
	if err := m.readKeys(); err != nil {
		return err
	}
	if o.Identity != nil {
		if err := m.Unlock(o.Identity); err != nil {
			return err
		}
	}
	if err := m.openIndex(ctx); err != nil {
		return err
	}
	if err := m.recoverParts(); err != nil {
		if errors.Is(err, index.ErrBad) {
			err = m.rebuildNow(ctx, err)
		}
		if err != nil {
			return err
		}
	}
	if err := m.checkForks(); err != nil {
		return err
	}
	if err := m.settle(ctx); err != nil {
		return err
	}
	if err := m.openJournal(); err != nil {
		return err
	}
	if err := m.checkWitness(); err != nil {
		return err
	}
	return m.fillBallast(o.Ballast)
}

// readKeys checks the mirror statements and opens what the box key seals.
func (m *Mirror) readKeys() error {
	if err := m.readChain(""); err != nil {
		return err
	}
	k, err := m.secret(mirrorKeyFile, "mirror key")
	if err != nil {
		return err
	}
	if len(k) != 32 {
		return fmt.Errorf("read the mirror key: %w", keys.ErrDamaged)
	}
	m.mirrorKey = [32]byte(k)
	skey, err := m.secret(logKeyFile, "log key")
	m.logKey = string(skey)
	return err
}

// readChain reads the mirror statements and checks them, and against the hash of the
// first if first is not empty.
func (m *Mirror) readChain(first string) error {
	var files [][]byte
	for n := 1; ; n++ {
		b, err := disk.ReadFile(m.fs, m.path(statementName(n)), 1<<20)
		if errors.Is(err, fs.ErrNotExist) && n > 1 {
			break
		}
		if err != nil {
			return fmt.Errorf("read the mirror statement: %w", err)
		}
		files = append(files, b)
	}
	chain, err := keys.VerifyChain(files, first)
	if err != nil {
		return err
	}
	if m.first == "" {
		m.first = keys.Hash(files[0])
	}
	return m.setChain(chain)
}

// setChain puts statements that were checked in force.
func (m *Mirror) setChain(chain keys.Chain) (err error) {
	s := &stated{Statement: chain.Last(), chain: chain}
	if s.to, err = s.AgeRecipients(); err == nil {
		m.stated.Store(s)
	}
	return err
}

func (m *Mirror) secret(name, purpose string) ([]byte, error) {
	b, err := disk.ReadFile(m.fs, m.path(name), 1<<20)
	if err != nil {
		return nil, fmt.Errorf("read the %s: %w", purpose, err)
	}
	return m.box.Open(purpose, b)
}

func (m *Mirror) indexOptions() index.Options {
	if m.ReadOnly() { // the real disk: what o.FS breaks is the mirror's
		return index.Options{FS: disk.OS{}, Root: m.scratch.Dir(), MirrorKey: m.mirrorKey, Seal: m.looked, Mirror: m.ID()}
	}
	return index.Options{FS: m.fs, Root: m.dir, MirrorKey: m.mirrorKey, Seal: m.box, Mirror: m.ID()}
}

// openIndex opens the index; a new mirror gets a new one. Anything wrong with
// it leads to a rebuild, never to an empty index in silence.
func (m *Mirror) openIndex(ctx context.Context) error {
	parts, err := m.partNumbers()
	if err != nil {
		return err
	}
	there, err := disk.Exists(m.fs, index.Path(m.dir))
	if err != nil {
		return fmt.Errorf("look at the index: %w", err)
	}
	fresh := !there && len(parts) == 0
	if !fresh {
		if err = index.Probe(index.Path(m.dir)); err == nil {
			m.index, err = index.Open(m.indexOptions(), false)
		}
	} else {
		m.index, err = index.Open(m.indexOptions(), true)
	}
	switch {
	case errors.Is(err, index.ErrHeld):
		return fmt.Errorf("open the index: %w", ErrBusy)
	case errors.Is(err, index.ErrBad):
		return m.rebuildNow(ctx, err)
	case err != nil:
		return err
	}
	pin, err := m.index.Meta("first statement")
	if err != nil {
		return err
	}
	if pin == nil {
		return m.index.SetMeta("first statement", []byte(m.first))
	}
	if string(pin) != m.first {
		return fmt.Errorf("the mirror statement was exchanged: %w", keys.ErrForged)
	}
	return m.index.SetMeta("clean", []byte{0})
}

// rebuildNow rebuilds the index if there is a key, and says what is needed if
// there is none.
func (m *Mirror) rebuildNow(ctx context.Context, cause error) error {
	if m.index != nil {
		if err := m.index.Close(); err != nil {
			return err
		}
		m.index = nil
	}
	if m.Locked() {
		return fmt.Errorf("%w (%v)", ErrNeedsUnlock, cause)
	}
	m.log.WarnContext(ctx, "index rebuilt", "cause", cause.Error())
	if err := m.rebuild(ctx); err != nil {
		return fmt.Errorf("rebuild the index: %w", err)
	}
	if !errors.Is(cause, index.ErrFormat) {
		m.problem(ProblemIndex, "The index did not match the archive and was rebuilt from it. No record was lost.")
	}
	var err error
	if m.index, err = index.Open(m.indexOptions(), false); err != nil {
		return err
	}
	return m.recoverParts()
}

// partNumbers lists the part files that have their final names, in order.
func (m *Mirror) partNumbers() ([]archive.PartNumber, error) {
	var list []archive.PartNumber
	err := m.eachPartFile(func(n archive.PartNumber, temp bool, _ string) error {
		if !temp {
			list = append(list, n)
		}
		return nil
	})
	slices.Sort(list)
	return list, err
}

func (m *Mirror) eachPartFile(fn func(n archive.PartNumber, temp bool, path string) error) error {
	dirs, err := m.fs.ReadDir(m.path("parts"))
	if err != nil {
		return fmt.Errorf("list the parts: %w", err)
	}
	for _, d := range dirs {
		files, err := m.fs.ReadDir(m.path("parts", d.Name()))
		if err != nil {
			return fmt.Errorf("list the parts: %w", err)
		}
		for _, f := range files {
			n, temp, ok := archive.ParsePartName(f.Name())
			if !ok {
				continue
			}
			if err := fn(n, temp, m.path("parts", d.Name(), f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// recoverParts finishes or puts aside what a crash left: a recorded part under
// its temporary name is checked and named, any other temporary file goes to
// quarantine, and a named part that the index does not know makes the index bad
// (archive.md 6).
func (m *Mirror) recoverParts() error {
	last, _, err := m.index.LastPart()
	if err != nil {
		return err
	}
	found := map[uint32]bool{}
	err = m.eachPartFile(func(n archive.PartNumber, temp bool, path string) error {
		switch {
		case !temp && uint32(n) > last.Number:
			return fmt.Errorf("part %d is not in the index: %w", n, index.ErrBad)
		case !temp:
			found[uint32(n)] = true
			return nil
		}
		done, err := m.finishPart(n, path)
		found[uint32(n)] = found[uint32(n)] || done
		return err
	})
	if err != nil {
		return err
	}
	if err := m.recoverContents(); err != nil {
		return err
	}
	if err := m.putLostAside(); err != nil {
		return err
	}
	return m.index.EachPart(func(p index.Part) error {
		for _, f := range p.Files {
			if f.Lost > 0 {
				continue
			}
			info, err := m.fs.Stat(m.path(filepath.FromSlash(f.Name)))
			if err != nil || info.Size() != f.Size {
				m.fileProblem(ProblemFile, f.Name, "The %s %s is missing or has the wrong size.", fileWord(f.Name), filepath.Base(f.Name))
			}
		}
		name := partFile(p.Number)
		if p.Lost > 0 {
			return nil
		}
		if !found[p.Number] {
			m.fileProblem(ProblemFile, name, "Part %d of the archive is missing.", p.Number)
			return nil
		}
		info, err := m.fs.Stat(m.local(name))
		if err == nil && info.Size() != p.Size {
			m.fileProblem(ProblemFile, name, "Part %d of the archive has the wrong size.", p.Number)
		}
		return err
	})
}

// fileWord says what a file beside the parts is.
func fileWord(name string) string {
	if strings.HasPrefix(name, holdingFolder+"/") {
		return "file of a holding"
	}
	return "attachment file"
}

// finishPart names a temporary part if it is the recorded one.
func (m *Mirror) finishPart(n archive.PartNumber, path string) (bool, error) {
	p, known, err := m.index.Part(uint32(n))
	if err != nil {
		return false, err
	}
	named, err := disk.Exists(m.fs, m.path(n.Name()))
	if err != nil {
		return false, err
	}
	if known && !named {
		size, sum, err := archive.Sum(m.fs, path)
		if err != nil {
			return false, err
		}
		if size == p.Size && sum == p.SHA256 {
			return true, archive.Name(m.fs, m.dir, n)
		}
	}
	_, err = disk.Quarantine(m.fs, m.dir, path)
	return false, err
}

// settle ends what the index still has to do for runs that are closed, and
// writes a checkpoint that a crash prevented.
func (m *Mirror) settle(ctx context.Context) error {
	if err := m.removeSpentRuns(); err != nil {
		return err
	}
	if err := m.mergeIfClosed(ctx); err != nil {
		return err
	}
	if err := m.fold(ctx); err != nil {
		return err
	}
	return m.checkpoint()
}

// removeSpentRuns removes run files that no committed part names, and what
// listings of closed or broken off runs have seen. No run is being written.
func (m *Mirror) removeSpentRuns() error {
	entries, err := m.fs.ReadDir(m.path("index.runs"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	err = m.index.EachPart(func(p index.Part) error {
		if p.RunFile != ([32]byte{}) {
			keep[fmt.Sprintf("%d.run", p.Number)] = true
		}
		if r, known := m.index.Head(p.Run); known && r.Ended.IsZero() {
			keep[fmt.Sprintf("%d.seen", p.Number)] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range entries {
		spent := strings.HasSuffix(e.Name(), ".run") || strings.HasSuffix(e.Name(), ".seen")
		if spent && !keep[e.Name()] {
			if err := disk.RemoveSpent(m.fs, m.path("index.runs", e.Name())); err != nil {
				return err
			}
		}
		if strings.HasSuffix(e.Name(), ".seen"+disk.TempSuffix) { // of a run that was broken off
			if err := disk.RemoveTemp(m.fs, m.path("index.runs", e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// mergeIfClosed merges run files unless a run is open.
func (m *Mirror) mergeIfClosed(ctx context.Context) error {
	if !m.index.NeedsMerge() {
		return nil
	}
	open := false
	err := m.index.EachRun(func(_ uint32, r index.RunState) error {
		open = open || r.Ended.IsZero() && r.Kind != KindHolding // that one brings no entries
		return nil
	})
	if err != nil || open {
		return err
	}
	return m.index.Merge(ctx)
}

func (m *Mirror) fold(ctx context.Context) error {
	for {
		left, err := m.index.Fold(20_000)
		if err != nil || left == 0 {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// packed is where the journal's chain stands in the parts.
type packed struct {
	Seq  int64  `json:"seq"`
	Prev string `json:"prev"`
}

func (m *Mirror) openJournal() error {
	p, err := m.packedEnd()
	if err != nil {
		return err
	}
	j, broken, err := journal.Open(m.fs, m.dir, p.Seq, p.Prev, m.now)
	if err != nil {
		return err
	}
	m.journal = j
	if broken > 0 {
		m.problem(ProblemJournal, "The journal has %d lines that are cut short or not chained.", broken)
	}
	return nil
}

// fillBallast writes the file that is given up when the disk is full, so that
// the report can still be written.
func (m *Mirror) fillBallast(size int64) error {
	name := m.path("ballast")
	there, err := disk.Exists(m.fs, name)
	if err != nil || there || size <= 0 {
		return err
	}
	free, _, err := m.fs.Free(m.dir)
	if err != nil || free < 4*size {
		return err
	}
	if err := disk.WriteFile(m.fs, name, make([]byte, size)); err != nil {
		m.problem(ProblemReserve, "The reserve file for a full disk could not be written.")
	}
	return nil
}

// Space returns the bytes that are free on the mirror's disk, and how many of them
// are kept in reserve.
func (m *Mirror) Space() (free, reserve int64, err error) {
	free, total, err := m.fs.Free(m.dir)
	if err != nil {
		return 0, 0, fmt.Errorf("look at the free space: %w", err)
	}
	if reserve = m.reserve; reserve == 0 {
		reserve = max(2<<30, total/20)
	}
	return free, reserve, nil
}

// CheckSpace returns ErrFull when the disk has reached the reserve, and then
// gives the ballast up.
func (m *Mirror) CheckSpace() error {
	if m.ReadOnly() {
		return ErrReadOnly
	}
	free, reserve, err := m.Space()
	if err != nil || free >= reserve {
		return err
	}
	if err := disk.RemoveSpent(m.fs, m.path("ballast")); err != nil {
		return err
	}
	return fmt.Errorf("%w: %d MB are free and %d MB are kept in reserve",
		ErrFull, free>>20, reserve>>20)
}

// ageIdentity is the identity as a list for archive.OpenPart.
func ageIdentity(id age.Identity) []age.Identity { return []age.Identity{id} }
