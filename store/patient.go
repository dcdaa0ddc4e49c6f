package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"chartcellar/store/archive"
	"chartcellar/store/index"
	"chartcellar/store/scan"
)

// Unread says how many current records of a type could not be read, because
// stored bytes are damaged or were declared lost.
type Unread map[string]int

// Readable is Compartment, but goes on where stored bytes are damaged: it returns
// how many current records of the patient could not be read, by type. Other errors
// end it.
func (s *Snapshot) Readable(ctx context.Context, source, patient string, fn func(Version) error) (Unread, error) {
	return s.ReadableParallel(ctx, PatientRecords{Source: source, Patient: patient}, 1, func(_ int, v Version) error { return fn(v) })
}

// PatientRecords are those of one patient of a source.
type PatientRecords struct {
	Source, Patient string
	// Types are of which types they are; nil: of all. The index does not tell rare types
	// apart: with one of them come all of these.
	Types []string
}

// ReadableParallel is Readable for some records, but calls fn from several goroutines at
// once: worker says which, from 0. Each gets its records in the order of Readable. After an
// error of fn it is called no more.
func (s *Snapshot) ReadableParallel(ctx context.Context, of PatientRecords, workers int,
	fn func(worker int, v Version) error) (Unread, error) {
	work, err := s.patientFrames(of.Source, of.Patient)
	if err != nil {
		return nil, err
	}
	work = slices.DeleteFunc(work, func(lines []index.Line) bool { return !of.has(lines[0].Type) })
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	damaged := make([][]index.Line, len(work))
	for i := range max(1, workers) {
		wg.Go(func() {
			r := newPatientReader(s, of.Source)
			for ctx.Err() == nil {
				at := int(next.Add(1)) - 1
				if at >= len(work) {
					return
				}
				err := r.frame(work[at], func(v Version) error { return fn(i, v) })
				if errors.Is(err, errFrame) {
					damaged[at] = work[at]
				} else if err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	places := map[byte]map[index.Loc]bool{}
	for _, l := range slices.Concat(damaged...) {
		if places[l.Type] == nil {
			places[l.Type] = map[index.Loc]bool{}
		}
		places[l.Type][l.Loc] = true
	}
	return s.currentOf(places)
}

// has reports whether records of a type are among them.
func (of *PatientRecords) has(typ byte) bool {
	return of.Types == nil || slices.ContainsFunc(of.Types, func(t string) bool { return index.TypeByte(t) == typ })
}

// currentOf counts those of the places that are the newest version of a record.
func (s *Snapshot) currentOf(damaged map[byte]map[index.Loc]bool) (Unread, error) {
	n := Unread{}
	for typ, places := range damaged {
		err := s.m.index.EachNewest(typ, s.part, s.states, func(e *index.Entry) error {
			if places[e.Loc] && e.Flags&index.Tombstone == 0 {
				n[index.TypeName(typ)]++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return n, nil
}

// patientLines lists the places of all versions of a patient's records that the
// snapshot sees, the Patient first, then by type.
func (s *Snapshot) patientLines(source, patient string) ([]index.Line, error) {
	p := s.m.index.Hasher(source).Patient([]byte(patient))
	in, err := s.seals()
	if err != nil {
		return nil, err
	}
	if _, sealed := in[p]; sealed {
		return nil, ErrSealed
	}
	lines, err := s.m.index.Compartment(p)
	if err != nil {
		return nil, err
	}
	lines = slices.DeleteFunc(lines, func(l index.Line) bool { return l.Part > s.part })
	first := index.TypeByte("Patient")
	slices.SortStableFunc(lines, func(a, b index.Line) int {
		if (a.Type == first) != (b.Type == first) {
			if a.Type == first {
				return -1
			}
			return 1
		}
		return int(a.Type) - int(b.Type)
	})
	return lines, nil
}

// patientFrames is patientLines, those of one frame together.
func (s *Snapshot) patientFrames(source, patient string) (frames [][]index.Line, err error) {
	lines, err := s.patientLines(source, patient)
	for len(lines) > 0 {
		n := 1
		for n < len(lines) && lines[n].Part == lines[0].Part && lines[n].Frame == lines[0].Frame {
			n++
		}
		frames, lines = append(frames, lines[:n]), lines[n:]
	}
	return frames, err
}

// A patientReader reads the records of a patient, frame by frame. It is used by one
// goroutine at a time.
type patientReader struct {
	s      *Snapshot
	source string
	hash   *index.Hasher
	scan   *scan.Scanner
	found  []foundLine
	keys   []index.Key
}

// A foundLine is a record in a frame.
type foundLine struct {
	Key
	at          index.Loc
	raw         []byte
	fingerprint [16]byte
}

func newPatientReader(s *Snapshot, source string) *patientReader {
	return &patientReader{s: s, source: source, hash: s.m.index.Hasher(source),
		scan: scan.New(index.FingerprintKey(s.m.mirrorKey))}
}

// frame calls fn for those lines of one frame that are the newest version of their
// record. If the frame is damaged the error is an errFrame, and fn is not called.
func (r *patientReader) frame(lines []index.Line, fn func(Version) error) error {
	f, err := r.s.m.frame(lines[0].Part, int(lines[0].Frame))
	if err != nil {
		return damaged(err)
	}
	if err := r.look(f, lines); err != nil {
		return err
	}
	return r.s.m.index.VersionsOf(r.keys, func(i int, list []index.Entry) error {
		found := &r.found[i]
		e := r.s.newest(list)
		if e == nil || e.Loc != found.at {
			return nil
		}
		if len(found.raw) != int(e.Length) || found.fingerprint != e.Fingerprint {
			return badEntry(found.Key)
		}
		return fn(r.s.version(f, found.Key, found.raw, e))
	})
}

// look notes which records the lines hold.
func (r *patientReader) look(f *cachedFrame, lines []index.Line) error {
	r.found, r.keys = r.found[:0], r.keys[:0]
	if f.source != r.source || f.kind == archive.Deleted { // a tombstone belongs to nobody
		return fmt.Errorf("the index points to no record: %w", index.ErrBad)
	}
	for _, l := range lines {
		raw, ok := f.line(int(l.Line))
		if !ok {
			return fmt.Errorf("the index points to no line: %w", index.ErrBad)
		}
		facts, err := r.scan.Line(raw)
		if err != nil {
			return badEntry(Key{})
		}
		r.keys = append(r.keys, r.hash.Key(facts.Type, facts.ID))
		r.found = append(r.found, foundLine{Key{r.source, string(facts.Type), string(facts.ID)}, l.Loc, raw, facts.Fingerprint})
	}
	return nil
}
