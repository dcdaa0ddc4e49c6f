package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"chartcellar/store/archive"
	"chartcellar/store/index"
	"chartcellar/store/scan"
)

// EachParallel calls fn for the newest version of every record of one type of one
// source, tombstones left out, from several goroutines at once: worker says which,
// from 0. Those that were stored last come first, roughly. It is for reading very much: every
// frame is checked against its leaf of the log and every line to be a record of
// the key that the index says (I5), but no fingerprint is computed. raw and id are
// valid during the call. After an error of fn it is called no more. Damaged frames
// are passed over: all others are read, and the error is then a *DamagedError.
func (s *Snapshot) EachParallel(ctx context.Context, source, typ string, workers int,
	fn func(worker int, id string, raw []byte) error) error {
	return s.EachNew(ctx, source, typ, workers, func(Mark) bool { return true },
		func(worker int, _ Mark, id string, raw []byte) error { return fn(worker, id, raw) })
}

// A Mark stands for one version of one record: two are equal if they stand for the same.
type Mark struct {
	key index.Key
	loc index.Loc
	of  index.Patient
}

// A Whose stands for a patient of one source; zero for none.
type Whose [8]byte

// Whose stands for the patient that the record belongs to.
func (m Mark) Whose() Whose { return Whose(m.of) }

// Whose stands for the patient with this id.
func (m *Mirror) Whose(source, id string) Whose {
	return Whose(m.index.Hasher(source).Patient([]byte(id)))
}

// EachNew is EachParallel for those records of which fresh says so. It is called before
// any of them is read, by one goroutine, with the newest version of every record.
func (s *Snapshot) EachNew(ctx context.Context, source, typ string, workers int, fresh func(Mark) bool,
	fn func(worker int, m Mark, id string, raw []byte) error) error {
	own := s.m.runsOf(source)
	work, err := s.plan(typ, func(e *index.Entry) bool { return own[e.Run] && fresh(Mark{e.Key, e.Loc, e.Patient}) })
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	todo := make(chan *frameWork)
	var wg sync.WaitGroup
	var damage struct {
		sync.Mutex
		DamagedError
	}
	var once sync.Once
	var first error
	for i := range max(1, workers) {
		wg.Go(func() {
			r := newLineReader(s, source, typ)
			for w := range todo {
				if ctx.Err() != nil {
					continue
				}
				err := r.frame(w, func(m Mark, id string, raw []byte) error { return fn(i, m, id, raw) })
				if errors.Is(err, errFrame) {
					damage.Lock()
					damage.Records += len(w.want)
					damage.Err = err
					damage.Unlock()
				} else if err != nil {
					once.Do(func() { first = err })
					cancel()
				}
				w.want = nil // the plan of a large practice takes megabytes
			}
		})
	}
	for _, w := range slices.Backward(work) {
		if ctx.Err() != nil {
			break
		}
		select {
		case todo <- w:
		case <-ctx.Done():
		}
	}
	close(todo)
	wg.Wait()
	if first != nil {
		return first
	}
	if err := ctx.Err(); err != nil || damage.Records == 0 {
		return err
	}
	return &DamagedError{damage.Records, damage.Err}
}

// errFrame says that a frame is damaged, before any line of it was given.
var errFrame = errors.New("damaged frame")

// A lineReader reads frames for one worker. It keeps its buffer: frames that are
// read once do not push others out of the cache.
type lineReader struct {
	s           *Snapshot
	source, typ string
	hash        *index.Hasher
	scan        *scan.Scanner
	codec       *archive.Codec
	buf         []byte
	prefix      []byte // how most lines begin
}

func newLineReader(s *Snapshot, source, typ string) *lineReader {
	return &lineReader{s: s, source: source, typ: typ, hash: s.m.index.Hasher(source),
		scan: scan.New(index.FingerprintKey(s.m.mirrorKey)), codec: archive.NewCodec(),
		prefix: []byte(`{"resourceType":"` + typ + `","id":"`)}
}

// frame calls fn for the wanted lines of one frame.
func (r *lineReader) frame(w *frameWork, fn func(m Mark, id string, raw []byte) error) error {
	p, err := r.s.m.usePart(w.part)
	if err != nil {
		return damaged(err)
	}
	defer r.s.m.cache.release(p)
	if w.frame >= len(p.Footer.Frames) {
		return fmt.Errorf("the index points to no frame: %w", index.ErrBad)
	}
	if p.Footer.Source != r.source || p.Footer.Frames[w.frame].Type != r.typ {
		return nil
	}
	if r.buf, err = p.Frame(r.codec, w.frame, r.buf[:0]); err != nil {
		return damaged(err)
	}
	line, rest := -1, r.buf
	var raw []byte
	for i := range w.want {
		e := &w.want[i]
		for line < int(e.Line) {
			var found bool
			if raw, rest, found = bytes.Cut(rest, []byte{'\n'}); !found {
				return fmt.Errorf("the index points to no line: %w", index.ErrBad)
			}
			line++
		}
		id, err := r.id(raw)
		if err != nil || len(raw) != int(e.Length) || r.hash.Key([]byte(r.typ), id) != e.Key {
			return badEntry(Key{Type: r.typ})
		}
		if err := fn(Mark{e.Key, e.Loc, e.Patient}, string(id), raw); err != nil {
			return err
		}
	}
	return nil
}

// damaged marks an error that means damage.
func damaged(err error) error {
	if errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	return err
}

var errOtherType = errors.New("a record of another type")

// id returns the id of a line of the type. A line that was stored has no member
// twice, so that the first two members, if they are type and id, are the ones.
func (r *lineReader) id(raw []byte) ([]byte, error) {
	if rest, ok := bytes.CutPrefix(raw, r.prefix); ok {
		if n := bytes.IndexByte(rest, '"'); n > 0 && bytes.IndexByte(rest[:n], '\\') < 0 {
			return rest[:n], nil
		}
	}
	f, err := r.scan.Facts(raw)
	if err == nil && string(f.Type) != r.typ {
		err = errOtherType
	}
	return f.ID, err
}

// A DamagedError says how many records EachParallel passed over because stored
// bytes are damaged. It wraps ErrDamaged.
type DamagedError struct {
	Records int
	Err     error // of the first damaged frame
}

// Error implements error.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("%d records could not be read: %v", e.Records, e.Err)
}

// Unwrap makes errors.Is(err, ErrDamaged) true.
func (e *DamagedError) Unwrap() error { return e.Err }

// CountOf returns how many records of one type a source has in the snapshot, those
// that were removed at the source left out.
func (s *Snapshot) CountOf(source, typ string) (n int, err error) {
	of := s.m.runsOf(source)
	err = s.m.index.EachCurrent(index.TypeByte(typ), s.part, s.states, func(e *index.Entry) error {
		if of[e.Run] && e.Flags&index.Tombstone == 0 {
			n++
		}
		return nil
	})
	return n, err
}

// ChangedBy calls fn for every patient of whom a run has brought or removed a record, and
// no later one has changed it, as the snapshot shows it; once for each record. It goes
// through all records and calls rest every now and then, which may wait a little.
func (s *Snapshot) ChangedBy(ctx context.Context, run uint32, rest func(), fn func(Whose)) error {
	in, err := s.seals()
	if err != nil {
		return err
	}
	n := 0
	return s.m.index.EachGroup(ctx, s.states, func(list []index.Entry) {
		if n++; n%64 == 0 {
			rest()
		}
		for len(list) > 0 && list[len(list)-1].Part > s.part {
			list = list[:len(list)-1]
		}
		if len(list) == 0 || list[len(list)-1].Run != run {
			return
		}
		for i := len(list) - 1; i >= 0; i-- { // a tombstone is of the patient of the version before it
			if _, sealed := in[list[i].Patient]; sealed {
				return
			}
			if list[i].Flags&index.Tombstone == 0 {
				fn(Whose(list[i].Patient))
				return
			}
		}
	})
}
