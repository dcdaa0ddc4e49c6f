package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"chartcellar/store/archive"
	"chartcellar/store/index"
)

// A Reading reads the whole archive once: every frame is checked against its
// leaf of the log, and what every line says is compared with the index, without
// making a second one. Open each part, read all its frames with Readers, and then
// ask Differences. Its methods may be called from many goroutines.
type Reading struct {
	m    *Mirror
	like *index.Tally

	// mu covers what follows.
	mu    sync.Mutex
	tally *index.Tally // of the lines read by Readers that are done
	parts []*OpenPart
}

// NewReading starts to read the archive. It needs a key.
func (m *Mirror) NewReading() *Reading {
	t := index.NewTally()
	return &Reading{m: m, like: t, tally: t.Empty()}
}

// A Reader is what one goroutine reads frames with. Done must follow.
type Reader struct {
	r     *Reading
	scan  *partScanner
	tally *index.Tally
}

// Reader returns a Reader.
func (r *Reading) Reader() *Reader {
	return &Reader{r, r.m.newPartScanner(r.m.index), r.like.Empty()}
}

// Done adds what was read to the Reading.
func (d *Reader) Done() {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	d.r.tally.Merge(d.tally)
}

// An OpenPart is a part that is being read. Its frames may be read by many
// goroutines, in any order.
type OpenPart struct {
	file   *archive.Part // nil once it is closed: footers would add up
	commit index.Commit

	// mu covers what our own frames hold, by frame.
	mu   sync.Mutex
	ours map[int]*scannedPart
}

// Open opens a part. Size and SHA-256 are believed: the caller has compared them
// with the file. Errors about the content wrap ErrDamaged.
func (r *Reading) Open(p index.Part) (*OpenPart, error) {
	id, err := r.m.key()
	if err != nil {
		return nil, err
	}
	f, err := r.m.openPart(p.Number, id)
	if err != nil {
		return nil, err
	}
	o := &OpenPart{file: f, ours: map[int]*scannedPart{}}
	o.commit = index.Commit{Hashes: f.Leaves(), Part: index.Part{Number: p.Number, Size: p.Size,
		SHA256: p.SHA256, Run: f.Footer.Run}}
	if len(f.Changes) > 0 {
		if err := json.Unmarshal(f.Changes, &o.commit.Changes); err != nil {
			f.Close() // read only
			return nil, fmt.Errorf("part %d: its footer cannot be read: %w", p.Number, ErrDamaged)
		}
	}
	for _, info := range f.Footer.Frames {
		o.commit.Part.Lines += info.Lines
		if info.Kind != archive.Ours {
			o.commit.Part.Types = addType(o.commit.Part.Types, info.Type)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts = append(r.parts, o)
	return o, nil
}

// Frames returns how many frames the part has.
func (o *OpenPart) Frames() int { return len(o.file.Footer.Frames) }

// Leaves returns the part's leaves of the log.
func (o *OpenPart) Leaves() []tlog.Hash { return o.commit.Hashes }

// Close closes the file. No frame can be read after it.
func (o *OpenPart) Close() error {
	for n := range o.Frames() {
		if s := o.ours[n]; s != nil {
			o.commit.Blobs = append(o.commit.Blobs, s.commit.Blobs...)
			o.commit.Links = append(o.commit.Links, s.commit.Links...)
			o.commit.Kept = append(o.commit.Kept, s.commit.Kept...)
		}
	}
	err := o.file.Close()
	o.file, o.ours = nil, nil
	return err
}

// Frames reads the frames from, from+1, ... to-1 and returns the bytes and the
// number of their lines.
func (d *Reader) Frames(o *OpenPart, from, to int) (plain int64, lines int, err error) {
	err = o.file.Each(d.scan.codec, &d.scan.buf, from, to, func(n int, b []byte) error {
		info := &o.file.Footer.Frames[n]
		plain, lines = plain+info.Plain, lines+info.Lines
		return d.frame(o, n, b)
	})
	if err != nil {
		return plain, lines, fmt.Errorf("part %d: %w", o.commit.Part.Number, err)
	}
	return plain, lines, nil
}

func (d *Reader) frame(o *OpenPart, n int, b []byte) error {
	info, foot := &o.file.Footer.Frames[n], &o.file.Footer
	if info.Kind == archive.Ours {
		s := &scannedPart{n: foot.Part}
		err := s.noteOurs(n, *info, b, foot.Source)
		o.mu.Lock()
		o.ours[n] = s
		o.mu.Unlock()
		return err
	}
	for i := 0; len(b) > 0; i++ {
		raw, rest := cutLine(b)
		b = rest
		e := index.Entry{Run: foot.Run,
			Loc: index.Loc{Part: uint32(foot.Part), Frame: uint16(n), Line: uint16(i)}}
		if err := d.scan.entry(foot.Source, &e, raw, info.Kind); err != nil {
			return err
		}
		d.tally.Add(&e)
	}
	return nil
}

// Index returns what the index itself comes to, for Differences. It may run
// beside the reading of the parts.
func (r *Reading) Index(ctx context.Context) (index.Kept, error) {
	return r.m.index.Tally(ctx, r.like)
}

// ErrMoved says that the archive went on while it was read.
var ErrMoved = errors.New("the archive went on while it was read")

// Differences returns the parts of the index that are not what the archive says,
// once every part was read whole, without damage, and closed, all Readers are
// done, and Index gave kept after that. If there are parts by now that were not read the
// error is ErrMoved: it may be called again when they are.
func (r *Reading) Differences(ctx context.Context, kept index.Kept) (list []string, err error) {
	top, err := r.top()
	if err != nil {
		return nil, err
	}
	if same, err := r.sameFiles(top); err != nil || !same {
		return []string{"parts"}, err
	}
	slices.SortFunc(r.parts, func(a, b *OpenPart) int {
		return cmp.Compare(a.commit.Part.Number, b.commit.Part.Number)
	})
	r.m.rebuilding.Lock()
	defer r.m.rebuilding.Unlock()
	made, err := index.NewRebuild(r.m.indexOptions())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, made.Discard()) }()
	tally := r.like.Empty()
	tally.Merge(r.tally)
	if err := r.add(made, tally); err != nil {
		return nil, err
	}
	if err := made.Flush(); err != nil {
		return nil, err
	}
	if list, err = kept.Differs(ctx, r.m.index, tally, made.DB()); err != nil {
		return nil, err
	}
	_, err = r.top()
	return list, err
}

// top returns the last part, or ErrMoved if not just those were read that the index has.
func (r *Reading) top() (archive.PartNumber, error) {
	parts, err := r.m.Parts()
	n, top := 0, uint32(0)
	for _, p := range parts {
		if top = p.Number; p.Lost == 0 {
			n++
		}
	}
	if err == nil && n != len(r.parts) {
		err = ErrMoved
	}
	return archive.PartNumber(top), err
}

// sameFiles reports whether the parts up to top that have files are those that were read,
// and behind it there is none that the index does not know. Who looks leaves aside what
// comes behind.
func (r *Reading) sameFiles(top archive.PartNumber) (bool, error) {
	numbers, err := r.m.partNumbers()
	if err != nil {
		return false, err
	}
	last, _, err := r.m.index.LastPart()
	if err != nil {
		return false, err
	}
	n, lost := 0, r.m.index.Lost()
	for _, number := range numbers {
		if uint32(number) > last.Number && !r.m.ReadOnly() {
			return false, nil
		}
		if number <= top && !lost[uint32(number)] {
			n++
		}
	}
	return n == len(r.parts), nil
}

// add adds the parts to a new index in their order; those that were declared lost as
// the loss records state them, and their lines to the tally.
func (r *Reading) add(made *index.Rebuild, tally *index.Tally) error {
	rows, err := r.m.Parts()
	if err != nil {
		return err
	}
	stated, signed := map[uint32]statedLoss{}, r.m.signedSums()
	for _, o := range r.parts {
		signed.believe(archive.PartNumber(o.commit.Part.Number), o.commit.Blobs)
		if l := o.commit.Changes.Lost; l != nil {
			l.Files = slices.DeleteFunc(l.Files, func(one index.Loss) bool { return !isLost(rows, one) })
			for _, one := range l.Files {
				if one.Part != nil {
					stated[one.Part.Number] = statedLoss{one, l.Runs, o.commit.Part.Number}
				}
			}
		}
	}
	next := 0
	for _, p := range rows {
		switch l, ok := stated[p.Number]; {
		case p.Lost > 0 && ok:
			err = errors.Join(tally.AddLost(made.DB(), l.Loss), made.AddLost(l.Loss, l.runs, l.by))
		case p.Lost == 0 && next < len(r.parts):
			if len(stated) > 0 {
				dropDecisions(&r.parts[next].commit.Changes, made.DB().States())
			}
			err = made.Add(r.parts[next].commit)
			next++
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isLost reports whether the index has a file as lost.
func isLost(rows []index.Part, l index.Loss) bool {
	return slices.ContainsFunc(rows, func(p index.Part) bool {
		if l.Part != nil {
			return p.Number == l.Part.Number && p.Lost > 0
		}
		return slices.ContainsFunc(p.Files, func(f index.File) bool { return f.Lost > 0 && f.Name == l.File.Name && f.SHA256 == l.File.SHA256 })
	})
}
