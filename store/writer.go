package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"chartcellar/store/archive"
	"chartcellar/store/disk"
	"chartcellar/store/index"
)

// directEntries is how many entries of a part go into the index one by one;
// with more, or while earlier ones wait for the merge, they go into a run file.
const directEntries = 4_000

// A writer writes the parts of a run. It is one goroutine.
type writer struct {
	p       *pipe
	m       *Mirror
	part    *archive.Writer // nil between parts
	number  archive.PartNumber
	entries []index.Entry
	wants   []index.Want
	blobs   []index.Blob
	links   []index.Link
	kept    []index.KeptFile
	types   []string
	lines   int
	listed  []listedPart
	seen    *seenFile // nil until a listing has shown something since the last part
}

func newWriter(p *pipe) (*writer, error) {
	w := &writer{p: p, m: p.run.m}
	var err error
	if w.listed, err = p.run.listed(); err != nil {
		return nil, err
	}
	last, _, err := w.m.index.LastPart()
	w.number = archive.PartNumber(last.Number)
	return w, err
}

func (w *writer) loop() {
	defer func() {
		if w.part != nil {
			w.part.Abort()
		}
		if w.seen != nil {
			w.seen.file.Close() // it is given up: the keys come again
		}
	}()
	for {
		var f *frameJob
		select {
		case f = <-w.p.frames:
		case <-w.p.ctx.Done():
			return
		}
		if err := w.take(f); err != nil {
			w.p.fail(err)
			return
		}
	}
}

func (w *writer) take(f *frameJob) error {
	if f.listed != nil {
		return w.m.full(w.show(f.listed))
	}
	if f.seal != nil {
		err := w.seal(f.seal)
		if f.seal.flush != nil {
			f.seal.flush.done <- err
		}
		return err
	}
	select {
	case <-f.done:
	case <-w.p.ctx.Done():
		return errStopped
	}
	if f.err != nil {
		return f.err
	}
	if err := w.begin(); err != nil {
		return err
	}
	n := uint16(w.part.Frames())
	if err := w.part.Add(f.frame); err != nil {
		return w.m.full(err)
	}
	for i := range f.entries {
		f.entries[i].Part, f.entries[i].Frame = uint32(w.number), n
	}
	w.entries = append(w.entries, f.entries...)
	w.wants = append(w.wants, f.wants...)
	w.takeOurs(f.ours, n)
	w.lines += f.frame.Info.Lines
	if f.kind != archive.Ours && !slices.Contains(w.types, f.typ) {
		w.types = append(w.types, f.typ)
	}
	w.p.setSize(w.part.Size())
	return nil
}

// begin opens the next part. A temporary file that a failed attempt of this
// process left in its place is put aside first.
func (w *writer) begin() error {
	if w.part != nil {
		return nil
	}
	if err := w.m.CheckSpace(); err != nil {
		return err
	}
	n := w.number + 1
	temp := w.m.path(n.Name() + disk.TempSuffix)
	left, err := disk.Exists(w.m.fs, temp)
	if err == nil && left {
		_, err = disk.Quarantine(w.m.fs, w.m.dir, temp)
	}
	if err != nil {
		return err
	}
	w.part, err = archive.NewWriter(w.m.fs, w.m.dir, n, w.m.recipients())
	if err != nil {
		return w.m.full(err)
	}
	w.number = n
	return nil
}

// seal ends the part at hand: C1 to C3 of archive.md 6. With nothing to make
// durable it does nothing.
func (w *writer) seal(s *sealJob) error {
	var end *closing
	if s.flush != nil {
		end = s.flush.end
	}
	r := w.p.run
	idle := w.part == nil && len(s.progress) == 0 && len(s.bad) == 0 && len(r.newGaps()) == 0 && len(s.listed) == 0 && w.seen == nil
	if idle && end == nil {
		return nil
	}
	if err := w.begin(); err != nil {
		return err
	}
	if err := w.m.quarantineLines(w.number, s.bad); err != nil {
		return w.m.full(err)
	}
	if err := w.list(s); err != nil {
		return w.m.full(err)
	}
	changes := r.changes(w.p.take(), s.progress, end)
	commit, err := w.write(changes)
	if err != nil {
		return w.m.full(err)
	}
	if err := w.commit(commit); err != nil {
		return err
	}
	r.committed(changes)
	w.entries, w.types, w.lines = w.entries[:0], nil, 0
	w.wants, w.blobs, w.links, w.kept = nil, nil, nil, nil
	w.p.setSize(0)
	return nil
}

// commit is C2 and C3: the index knows the part, then the part has its name. Who
// reads beside it and misses the name waits for it: see Mirror.named.
func (w *writer) commit(c index.Commit) error {
	w.m.naming.Lock()
	defer w.m.naming.Unlock()
	if err := w.m.index.Commit(c); err != nil {
		return err
	}
	return archive.Name(w.m.fs, w.m.dir, w.number)
}

// named returns once every part that the index knew at the call has its name, or
// could not be given it.
func (m *Mirror) named() {
	m.naming.Lock()
	defer m.naming.Unlock()
}

// write is C1: the part and its run file become durable.
func (w *writer) write(changes index.Changes) (index.Commit, error) {
	r := w.p.run
	_, root, err := w.m.index.Tree()
	if err != nil {
		return index.Commit{}, err
	}
	last, _, err := w.m.index.LastPart()
	if err != nil {
		return index.Commit{}, err
	}
	part := w.part
	w.part = nil
	foot := archive.Footer{Part: w.number, Epoch: w.m.Statement().Epoch,
		Run: r.n, Source: r.state.Source, Fetched: w.m.now().UTC().Format(time.RFC3339),
		Before: archive.Tree{Size: last.Leaves, Root: root[:]}, Changes: changes}
	slices.Sort(w.types)
	c := index.Commit{Changes: changes, Entries: w.entries, Wants: w.wants, Blobs: w.blobs, Links: w.links, Kept: w.kept,
		Part: index.Part{Number: uint32(w.number), Run: r.n, Lines: w.lines, Types: w.types}}
	sealed, err := w.seals(part, foot, &c)
	if err != nil {
		part.Abort()
		return index.Commit{}, err
	}
	c.Hashes, c.Part.Size, c.Part.SHA256 = sealed.Leaves, sealed.Size, sealed.SHA256
	return c, nil
}

// seals makes the part durable and meanwhile, if its entries are many, their run
// file.
func (w *writer) seals(part *archive.Writer, foot archive.Footer, c *index.Commit) (archive.Sealed, error) {
	var sealed archive.Sealed
	var g errgroup.Group
	g.Go(func() error {
		var err error
		sealed, err = part.Seal(foot)
		return err
	})
	index.Sort(c.Entries)
	files := w.m.index.NeedsMerge() || len(c.Entries) > directEntries
	var err error
	if files && len(c.Entries) > 0 {
		c.Part.RunFile, err = w.m.index.WriteRunFile(uint32(w.number), c.Entries)
		c.Entries = nil
	}
	return sealed, errors.Join(g.Wait(), err)
}

// full gives the ballast up when a write failed because the disk is full, and
// says so.
func (m *Mirror) full(err error) error {
	if err == nil || !disk.IsFull(err) {
		return err
	}
	if rerr := disk.RemoveSpent(m.fs, m.path("ballast")); rerr != nil {
		return errors.Join(err, rerr)
	}
	return fmt.Errorf("%w: %v", ErrFull, err)
}

// quarantineLines keeps lines that are no resource, encrypted to the
// recipients, before the part they came with is committed.
func (m *Mirror) quarantineLines(n archive.PartNumber, bad []badLine) error {
	if len(bad) == 0 {
		return nil
	}
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	for _, b := range bad {
		if err := e.Encode(b); err != nil {
			return fmt.Errorf("write lines to quarantine: %w", err)
		}
	}
	sealed, err := m.seal(plain.Bytes())
	if err != nil {
		return err
	}
	if err := m.fs.Mkdir(m.path("quarantine")); err != nil {
		return err
	}
	for i := 1; ; i++ {
		name := m.path("quarantine", fmt.Sprintf("%012d-%d.lines.age", n, i))
		err := disk.WriteFile(m.fs, name, sealed)
		if !errors.Is(err, disk.ErrExists) {
			return err
		}
	}
}

// seal encrypts a few bytes to the recipients.
func (m *Mirror) seal(plain []byte) ([]byte, error) {
	var buf bytes.Buffer
	w, err := age.Encrypt(&buf, m.recipients()...)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return buf.Bytes(), nil
}
