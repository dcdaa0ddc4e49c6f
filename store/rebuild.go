package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"chartcellar/store/archive"
	"chartcellar/store/index"
	"chartcellar/store/journal"
	"chartcellar/store/scan"
)

// RebuildIndex makes the index anew from the archive and puts it in place. The
// jobs are gone then: each source is in the state "job unknown". It needs a key.
func (m *Mirror) RebuildIndex(ctx context.Context) error {
	if m.ReadOnly() {
		return ErrReadOnly
	}
	if err := m.takeTurn(); err != nil {
		return err
	}
	defer m.runMu.Unlock()
	m.rebuilding.Lock()
	defer m.rebuilding.Unlock()
	r, err := m.newIndex(ctx)
	if err != nil {
		return err
	}
	m.sealMu.Lock() // as in changeSeal
	defer m.sealMu.Unlock()
	m.sealed = nil
	return m.index.Become(r)
}

// rebuild is RebuildIndex while no index is open.
func (m *Mirror) rebuild(ctx context.Context) error {
	r, err := m.newIndex(ctx)
	if err != nil {
		return err
	}
	return r.Install()
}

// CompareIndex rebuilds the index beside the one in use and returns how many
// rows differ, at most max (archive.md 5, weekly rebuild-and-compare). It fails with
// ErrBusy while a run goes on, and none begins meanwhile. It needs a key.
func (m *Mirror) CompareIndex(ctx context.Context, max int) (diffs []index.Difference, err error) {
	if err := m.takeTurn(); err != nil {
		return nil, err
	}
	defer m.runMu.Unlock()
	m.rebuilding.Lock()
	defer m.rebuilding.Unlock()
	r, err := m.newIndex(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Discard()) }()
	return index.Compare(ctx, m.index, r.DB(), max)
}

// scannedPart is a part on its way into a new index.
type scannedPart struct {
	n      archive.PartNumber
	commit index.Commit
	packed *packed
	footer archive.Footer // set by look only
	lost   map[string]int // lines that look could not read, by type
	err    error
	done   chan struct{}
}

// newIndex reads the whole archive and makes a new index beside the one in use.
// Parts are read by several workers and taken in their order. The caller holds
// rebuilding.
func (m *Mirror) newIndex(ctx context.Context) (r *index.Rebuild, err error) {
	numbers, err := m.partNumbers()
	if err != nil {
		return nil, err
	}
	if r, err = index.NewRebuild(m.indexOptions()); err != nil {
		return nil, err
	}
	if err = m.readAll(ctx, r, numbers); err == nil {
		err = r.Merge(ctx)
	}
	for left := 1; err == nil && left > 0; {
		left, err = r.DB().Fold(20_000)
	}
	if err == nil {
		err = m.copyMeta(r.DB())
	}
	if err != nil {
		return nil, errors.Join(err, r.Discard())
	}
	return r, nil
}

// copyMeta sets what the index remembers beside the parts.
func (m *Mirror) copyMeta(d *index.DB) error {
	if err := d.SetMeta("first statement", []byte(m.first)); err != nil {
		return err
	}
	state := m.findCheckpoint(d)
	b, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return d.SetMeta("checkpoint", b)
}

// findCheckpoint returns the newest checkpoint that matches the log.
func (m *Mirror) findCheckpoint(d *index.DB) checkpointState {
	var state checkpointState
	for n := 1; ; n++ {
		c, err := m.ReadCheckpoint(n)
		if err != nil {
			return state
		}
		root, err := d.TreeAt(c.Size)
		if err != nil || root != c.Root {
			return state
		}
		part := uint32(0)
		err = d.EachPart(func(p index.Part) error {
			if p.Leaves == c.Size {
				part = p.Number
			}
			return nil
		})
		if err != nil {
			return state
		}
		state = checkpointState{n, part}
	}
}

func (m *Mirror) readAll(ctx context.Context, r *index.Rebuild, numbers []archive.PartNumber) error {
	return m.scanAll(ctx, r, numbers, (*partScanner).file, func(ctx context.Context, order chan *scannedPart) error {
		return takeParts(ctx, r, &statedLosses{m: m, r: r, numbers: numbers}, order)
	})
}

// scanAll has several workers read the parts, and gives them to take in their order,
// each once its done is closed.
func (m *Mirror) scanAll(ctx context.Context, r *index.Rebuild, numbers []archive.PartNumber,
	read func(*partScanner, *scannedPart) error, take func(context.Context, chan *scannedPart) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	signed := m.signedSums()
	todo := make(chan *scannedPart)
	order := make(chan *scannedPart, 2)
	for range max(1, min(4, runtime.GOMAXPROCS(0))) {
		wg.Go(func() {
			w := m.newPartScanner(r.DB())
			for s := range todo {
				s.err = read(w, s)
				signed.believe(s.n, s.commit.Blobs)
				close(s.done)
			}
		})
	}
	wg.Go(func() {
		defer close(order)
		defer close(todo)
		for _, n := range numbers {
			s := &scannedPart{n: n, done: make(chan struct{})}
			select {
			case order <- s:
			case <-ctx.Done():
				return
			}
			todo <- s
		}
	})
	return take(ctx, order)
}

// takeParts adds the parts to the new index, checking that none is missing that was
// not declared lost, and that each continues the log.
func takeParts(ctx context.Context, r *index.Rebuild, lost *statedLosses, order chan *scannedPart) error {
	next := archive.PartNumber(1)
	var last *packed
	for s := range order {
		<-s.done
		for ; next < s.n; next++ {
			if _, stated, err := lost.fill(next); err != nil || !stated {
				return errors.Join(err, fmt.Errorf("part %d is missing: %w", next, ErrDamaged))
			}
		}
		next++
		if errors.Is(s.err, ErrDamaged) {
			if _, stated, err := lost.fill(s.n); err != nil || stated {
				if err != nil {
					return err
				}
				continue
			}
		}
		if s.err != nil {
			return s.err
		}
		lost.fit(&s.commit.Changes)
		if err := r.Add(s.commit); err != nil {
			return err
		}
		if s.packed != nil {
			last = s.packed
		}
	}
	if last != nil {
		b, err := json.Marshal(last)
		if err != nil {
			return err
		}
		if err := r.SetMeta("journal", b); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// A partScanner reads parts into index entries. It is used by one goroutine.
type partScanner struct {
	m     *Mirror
	codec *archive.Codec
	scan  *scan.Scanner
	facts scan.Facts // of the line last scanned
	db    *index.DB
	hash  map[string]*index.Hasher
	buf   archive.Buffer
}

func (m *Mirror) newPartScanner(db *index.DB) *partScanner {
	return &partScanner{m: m, codec: archive.NewCodec(), db: db,
		scan: scan.New(index.FingerprintKey(m.mirrorKey)), hash: map[string]*index.Hasher{}}
}

// line fills the entry of one stored line and notes the attachments it wants.
func (w *partScanner) line(s *scannedPart, source string, e *index.Entry, raw []byte, kind archive.FrameKind) error {
	if err := w.entry(source, e, raw, kind); err != nil || kind == archive.Deleted {
		return err
	}
	s.commit.Wants = append(s.commit.Wants, wantsOf(w.scan, source, &w.facts)...)
	return nil
}

// entry fills the entry of one stored line.
func (w *partScanner) entry(source string, e *index.Entry, raw []byte, kind archive.FrameKind) error {
	h := w.hasher(source)
	e.Length = uint32(len(raw))
	if kind == archive.Deleted {
		t, ok := parseTombstone(raw)
		if !ok {
			return fmt.Errorf("a tombstone cannot be read: %w", ErrDamaged)
		}
		e.Key, e.Flags = h.Key([]byte(t.Type), []byte(t.ID)), index.Tombstone
		return nil
	}
	f, err := w.scan.Line(raw)
	if err != nil {
		return fmt.Errorf("a stored line is no resource: %w", ErrDamaged)
	}
	e.Key, e.Fingerprint, e.Patient = h.Key(f.Type, f.ID), f.Fingerprint, h.Patient(f.Patient)
	if f.Subsetted {
		e.Flags = index.Subsetted
	}
	if ms, ok := scan.LastUpdatedMillis(f.LastUpdated); ok {
		e.Updated = ms
	}
	w.facts = f
	return nil
}

// wantsOf returns the attachments that the line last scanned names by an address.
func wantsOf(sc *scan.Scanner, source string, f *scan.Facts) (list []index.Want) {
	sc.Links(func(a scan.Link) {
		list = append(list, index.Want{Source: source, Type: string(f.Type), ID: string(f.ID),
			URL: a.URL, ContentType: a.ContentType, Hash: a.Hash, Size: a.Size})
	})
	return list
}

// cutLine returns the first line, without its newline, and the rest.
func cutLine(plain []byte) (raw, rest []byte) {
	raw, rest, _ = bytes.Cut(plain, []byte{'\n'})
	return raw, rest
}

func addType(list []string, typ string) []string {
	i, found := slices.BinarySearch(list, typ)
	if found {
		return list
	}
	return slices.Insert(list, i, typ)
}

// hasher returns the hasher of a source.
func (w *partScanner) hasher(source string) *index.Hasher {
	h := w.hash[source]
	if h == nil {
		h = w.db.Hasher(source)
		w.hash[source] = h
	}
	return h
}

func (w *partScanner) frames(p *archive.Part, s *scannedPart) error {
	lines := 0
	for _, info := range p.Footer.Frames {
		if info.Kind != archive.Ours {
			lines += info.Lines
		}
	}
	s.commit.Entries = make([]index.Entry, 0, min(lines, archive.PartLines)) // a footer proves nothing yet
	err := p.Each(w.codec, &w.buf, 0, len(p.Footer.Frames), func(i int, plain []byte) error {
		return w.frame(p, s, i, plain)
	})
	if err != nil {
		return fmt.Errorf("part %d: %w", s.n, err)
	}
	return nil
}

func (w *partScanner) frame(p *archive.Part, s *scannedPart, i int, plain []byte) error {
	c, info := &s.commit, &p.Footer.Frames[i]
	c.Part.Lines += info.Lines
	if info.Kind == archive.Ours {
		return s.noteOurs(i, *info, plain, p.Footer.Source)
	}
	c.Part.Types = addType(c.Part.Types, info.Type)
	for n := 0; len(plain) > 0; n++ {
		raw, rest := cutLine(plain)
		plain = rest
		e := index.Entry{Run: p.Footer.Run,
			Loc: index.Loc{Part: uint32(s.n), Frame: uint16(i), Line: uint16(n)}}
		if err := w.line(s, p.Footer.Source, &e, raw, info.Kind); err != nil {
			return err
		}
		c.Entries = append(c.Entries, e)
	}
	return nil
}

// noteOurs takes from a frame of ours what belongs into the index: where the
// journal's chain stands, contents, and the lines that name them.
func (s *scannedPart) noteOurs(frame int, info archive.FrameInfo, plain []byte, source string) error {
	for n := 0; len(plain) > 0; n++ {
		raw, rest := cutLine(plain)
		plain = rest
		loc := index.Loc{Part: uint32(s.n), Frame: uint16(frame), Line: uint16(n)}
		switch info.Type {
		case "AuditEvent":
			if seq, prev, ok := journal.Packed(raw); ok {
				s.packed = &packed{seq, prev}
			}
		case "Binary":
			name, size, err := parseBlob(raw)
			if err != nil {
				return err
			}
			s.commit.Blobs = append(s.commit.Blobs, index.Blob{Name: name, Loc: loc, Size: size})
		case "Parameters":
			if err := s.noteParameters(loc, raw, source); err != nil {
				return err
			}
		}
	}
	return nil
}

// believe takes the sums of attachment files from the checkpoint that covers their part:
// a link line says how a file was encrypted at first.
func (s signedSums) believe(part archive.PartNumber, blobs []index.Blob) {
	files := s[filepath.ToSlash(part.Name())]
	for _, b := range blobs {
		if b.File == nil {
			continue
		}
		if sum, ok := files[b.File.Name]; ok {
			b.File.SHA256 = sum
		}
	}
}

// noteParameters takes the link of an attachment or a file of a holding, and the file
// that its line is the first to name.
func (s *scannedPart) noteParameters(loc index.Loc, raw []byte, source string) error {
	p, err := parseParameters(raw)
	if err != nil {
		return err
	}
	blob := index.Blob{Loc: loc}
	if p.code() == codeHolding {
		f, file, err := parseKept(p)
		if err != nil {
			return err
		}
		s.commit.Kept = append(s.commit.Kept, f)
		blob.Name, blob.Size, blob.File = f.Name, f.Size, file
	} else {
		l, file, err := parseLink(p, source)
		if err != nil {
			return err
		}
		s.commit.Links = append(s.commit.Links, l)
		blob.Name, blob.Size, blob.File = l.Name, l.Size, file
	}
	if blob.File != nil {
		s.commit.Blobs = append(s.commit.Blobs, blob)
	}
	return nil
}

// open opens a part and sums its file up.
func (w *partScanner) open(n archive.PartNumber) (*archive.Part, index.Part, error) {
	id, err := w.m.key()
	if err != nil {
		return nil, index.Part{}, err
	}
	size, sum, err := archive.Sum(w.m.fs, w.m.path(n.Name()))
	if err != nil {
		return nil, index.Part{}, err
	}
	p, err := w.m.openPart(uint32(n), id)
	if err != nil {
		return nil, index.Part{}, err
	}
	return p, index.Part{Number: uint32(n), Size: size, SHA256: sum, Run: p.Footer.Run}, nil
}

// file reads one part whole.
func (w *partScanner) file(s *scannedPart) error {
	p, row, err := w.open(s.n)
	if err != nil {
		return err
	}
	defer p.Close() // read only
	if err := w.m.checkEpoch(p, s.n); err != nil {
		return err
	}
	s.commit.Part = row
	s.commit.Hashes = p.Leaves()
	if err := s.changes(p); err != nil {
		return err
	}
	return w.frames(p, s)
}

// changes reads what the part changes beside records.
func (s *scannedPart) changes(p *archive.Part) error {
	if len(p.Changes) == 0 {
		return nil
	}
	if err := json.Unmarshal(p.Changes, &s.commit.Changes); err != nil {
		return fmt.Errorf("part %d: its footer cannot be read: %w", s.n, ErrDamaged)
	}
	return nil
}
