package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"chartcellar/store/index"
	"chartcellar/store/scan"
)

// Counts returns how many records of each type the snapshot holds that were
// not removed at the source, by resource type, of one source or of all ("");
// types that FHIR R4 does not name stand together under "".
func (s *Snapshot) Counts(source string) (map[string]int, error) {
	own := s.m.runsOf(source)
	counts := map[string]int{}
	err := s.m.index.EachCurrent(0, s.part, s.states, func(e *index.Entry) error {
		if e.Flags&index.Tombstone == 0 && (source == "" || own[e.Run]) {
			counts[index.TypeName(e.Key.Type())]++
		}
		return nil
	})
	return counts, err
}

// CountsAt returns, for each of the runs, what AsOf(run) and Counts give, by source and
// type. The runs must be closed. It goes through the index once.
func (m *Mirror) CountsAt(ctx context.Context, runs []uint32) ([]map[string]map[string]int, error) {
	closings := make([]uint32, len(runs))
	for i, n := range runs {
		r, ok := m.index.Head(n)
		if !ok || r.Closing == 0 {
			return nil, fmt.Errorf("run %d was never closed: %w", n, ErrNotFound)
		}
		closings[i] = r.Closing
	}
	of, lost := slices.Clone(closings), m.index.Lost()
	held := func(e *index.Entry) bool { return e.Flags&index.Tombstone == 0 && !lost[e.Part] }
	slices.Sort(closings)
	sourceOf := map[uint32]string{}
	for _, r := range m.index.Runs() {
		sourceOf[r.Number] = r.Source
	}
	// news[i] is by how much the counts at closings[i] differ from those before.
	news := make([]map[string]*[256]int, len(runs)+1)
	add := func(i int, e *index.Entry, n int) {
		if news[i] == nil {
			news[i] = map[string]*[256]int{}
		}
		source := sourceOf[e.Run]
		if news[i][source] == nil {
			news[i][source] = &[256]int{}
		}
		news[i][source][e.Key.Type()] += n
	}
	err := m.index.EachGroup(ctx, m.index.States(), func(list []index.Entry) {
		last, from := (*index.Entry)(nil), 0
		for i := range list {
			at, _ := slices.BinarySearch(closings, list[i].Part)
			if last != nil && held(last) && at > from {
				add(from, last, 1)
				add(at, last, -1)
			}
			last, from = &list[i], at
		}
		if held(last) {
			add(from, last, 1)
		}
	})
	sums := summed(news[:len(runs)])
	list := make([]map[string]map[string]int, len(runs))
	for i, part := range of {
		at, _ := slices.BinarySearch(closings, part)
		list[i] = sums[at]
	}
	return list, err
}

// summed adds up what each run changed.
func summed(news []map[string]*[256]int) []map[string]map[string]int {
	sums, list := map[string]*[256]int{}, make([]map[string]map[string]int, len(news))
	for i, bySource := range news {
		for source, types := range bySource {
			if sums[source] == nil {
				sums[source] = &[256]int{}
			}
			for typ, n := range types {
				sums[source][typ] += n
			}
		}
		list[i] = map[string]map[string]int{}
		for source, types := range sums {
			list[i][source] = map[string]int{}
			for typ, n := range types {
				if n != 0 {
					list[i][source][index.TypeName(byte(typ))] = n
				}
			}
		}
	}
	return list
}

// Dated returns how many records of a type of one source the snapshot holds whose
// lastUpdated is before t, tombstones left out.
func (s *Snapshot) Dated(source, typ string, t time.Time) (int, error) {
	own, n, ms := s.m.runsOf(source), 0, t.UnixMilli()
	err := s.m.index.EachCurrent(index.TypeByte(typ), s.part, s.states, func(e *index.Entry) error {
		if e.Flags&index.Tombstone == 0 && own[e.Run] && e.Updated < ms {
			n++
		}
		return nil
	})
	return n, err
}

// lineOf reads the line behind an entry of a record, checked against the entry,
// and its id.
func (s *Snapshot) lineOf(e *index.Entry) (raw []byte, id string, err error) {
	f, err := s.m.frame(e.Part, int(e.Frame))
	if err != nil {
		return nil, "", err
	}
	raw, ok := f.line(int(e.Line))
	if !ok {
		return nil, "", fmt.Errorf("the index points to no line: %w", index.ErrBad)
	}
	facts, err := scan.New(index.FingerprintKey(s.m.mirrorKey)).Line(raw)
	if err != nil || facts.Fingerprint != e.Fingerprint {
		return nil, "", fmt.Errorf("the index points to another record: %w", index.ErrBad)
	}
	return raw, string(facts.ID), nil
}

// Types returns the names of the types that the snapshot has parts of.
func (s *Snapshot) Types() ([]string, error) {
	seen := map[string]bool{}
	err := s.m.index.EachPart(func(p index.Part) error {
		if p.Number <= s.part {
			for _, t := range p.Types {
				seen[t] = true
			}
		}
		return nil
	})
	var list []string
	for t := range seen {
		list = append(list, t)
	}
	slices.Sort(list)
	return list, err
}

// A frameWork is the lines of one frame that are wanted.
type frameWork struct {
	part  uint32
	frame int
	want  []index.Entry
	lines [][]byte
	ids   []string
	err   error
	done  chan struct{}
}

// Each calls fn for the newest version of every record of one type of one
// source, tombstones left out, in the order in which they were stored. Frames
// are read and checked by several workers; fn is called by one goroutine at a
// time.
func (s *Snapshot) Each(ctx context.Context, source, typ string, fn func(id string, raw []byte) error) error {
	own := s.m.runsOf(source)
	work, err := s.plan(typ, func(e *index.Entry) bool { return own[e.Run] })
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	todo := make(chan *frameWork)
	order := make(chan *frameWork, 8)
	for range max(2, min(4, runtime.GOMAXPROCS(0))) {
		wg.Go(func() {
			sc := scan.New(index.FingerprintKey(s.m.mirrorKey))
			for w := range todo {
				w.err = s.load(sc, source, typ, w)
				close(w.done)
			}
		})
	}
	wg.Go(func() {
		defer close(order)
		defer close(todo)
		for _, w := range work {
			select {
			case order <- w:
			case <-ctx.Done():
				return
			}
			select {
			case todo <- w:
			case <-ctx.Done():
				close(w.done)
				return
			}
		}
	})
	for w := range order {
		<-w.done
		if err := errors.Join(w.err, ctx.Err()); err != nil {
			return err
		}
		for i, raw := range w.lines {
			if err := fn(w.ids[i], raw); err != nil {
				return err
			}
		}
		w.lines, w.ids, w.want = nil, nil, nil
	}
	return ctx.Err()
}

// plan lists the wanted lines by frame, in the order of the archive.
func (s *Snapshot) plan(typ string, wanted func(*index.Entry) bool) ([]*frameWork, error) {
	in, err := s.seals()
	if err != nil {
		return nil, err
	}
	frames := map[index.Loc]*frameWork{}
	err = s.m.index.EachCurrent(index.TypeByte(typ), s.part, s.states, func(e *index.Entry) error {
		if _, sealed := in[e.Patient]; !sealed && e.Flags&index.Tombstone == 0 && wanted(e) {
			at := index.Loc{Part: e.Part, Frame: e.Frame}
			w := frames[at]
			if w == nil {
				w = &frameWork{part: e.Part, frame: int(e.Frame), done: make(chan struct{})}
				frames[at] = w
			}
			w.want = append(w.want, *e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, w := range frames {
		slices.SortFunc(w.want, func(a, b index.Entry) int { return cmp.Compare(a.Line, b.Line) })
	}
	return slices.SortedFunc(maps.Values(frames), func(a, b *frameWork) int {
		return cmp.Or(cmp.Compare(a.part, b.part), cmp.Compare(a.frame, b.frame))
	}), nil
}

// load reads one frame and picks the wanted lines of the type and source.
func (s *Snapshot) load(sc *scan.Scanner, source, typ string, w *frameWork) error {
	f, err := s.m.frame(w.part, w.frame)
	if err != nil {
		return err
	}
	if f.source != source || f.typ != typ {
		return nil
	}
	for i := range w.want {
		e := &w.want[i]
		raw, ok := f.line(int(e.Line))
		if !ok {
			return fmt.Errorf("the index points to no line: %w", index.ErrBad)
		}
		facts, err := sc.Line(raw)
		if err != nil || facts.Fingerprint != e.Fingerprint {
			return badEntry(Key{Type: typ})
		}
		w.lines = append(w.lines, raw)
		w.ids = append(w.ids, string(facts.ID))
	}
	return nil
}

// Removed calls fn for the tombstone of every record of a type that the source no
// longer has, in no certain order. It needs a key.
func (s *Snapshot) Removed(ctx context.Context, source, typ string, fn func(Version) error) error {
	own := s.m.runsOf(source)
	var list []index.Entry
	err := s.m.index.EachCurrent(index.TypeByte(typ), s.part, s.states, func(e *index.Entry) error {
		if e.Flags&index.Tombstone != 0 && own[e.Run] {
			list = append(list, *e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range list {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f, err := s.m.frame(list[i].Part, int(list[i].Frame))
		if err != nil {
			return err
		}
		raw, _ := f.line(int(list[i].Line))
		t, ok := parseTombstone(raw)
		if !ok || t.Type != typ {
			return badEntry(Key{Type: typ})
		}
		switch err := s.open(Key{Source: source, Type: t.Type, ID: t.ID}); {
		case errors.Is(err, ErrSealed):
			continue
		case err != nil:
			return err
		}
		v, err := s.readFrom(f, Key{Source: source, Type: t.Type, ID: t.ID}, &list[i])
		if err != nil {
			return err
		}
		if err := fn(v); err != nil {
			return err
		}
	}
	return nil
}

// A BadRecord is a record that cannot be read.
type BadRecord struct {
	Type string
	Part uint32
}

// Sample reads n random records end to end, through the index to the bytes, and
// returns how many it read and which of them are damaged. It may draw a record
// twice.
func (s *Snapshot) Sample(ctx context.Context, n int, r *rand.Rand) (int, []BadRecord, error) {
	drawn, err := s.draw(n, r, func(*index.Entry) bool { return true })
	if err != nil {
		return 0, nil, err
	}
	sc := scan.New(index.FingerprintKey(s.m.mirrorKey))
	var bad []BadRecord
	for i := range drawn {
		if ctx.Err() != nil {
			return i, bad, ctx.Err()
		}
		e := &drawn[i]
		f, err := s.m.frame(e.Part, int(e.Frame))
		if errors.Is(err, ErrLocked) {
			return i, bad, err
		}
		if err != nil || !matches(sc, f, e) {
			bad = append(bad, BadRecord{index.TypeName(e.Key.Type()), e.Part})
		}
	}
	return len(drawn), bad, nil
}

// draw draws n of the records that fit, each with the same chance.
func (s *Snapshot) draw(n int, r *rand.Rand, fits func(*index.Entry) bool) ([]index.Entry, error) {
	var drawn []index.Entry
	seen := 0
	err := s.m.index.EachCurrent(0, s.part, s.states, func(e *index.Entry) error {
		if !fits(e) {
			return nil
		}
		seen++
		if len(drawn) < n {
			drawn = append(drawn, *e)
		} else if i := r.IntN(seen); i < n {
			drawn[i] = *e
		}
		return nil
	})
	return drawn, err
}

// Draw returns n random records of a source that it still has. It needs a key.
func (s *Snapshot) Draw(ctx context.Context, source string, n int, r *rand.Rand) ([]Version, error) {
	own := s.m.runsOf(source)
	in, err := s.seals()
	if err != nil {
		return nil, err
	}
	drawn, err := s.draw(n, r, func(e *index.Entry) bool {
		_, sealed := in[e.Patient]
		return !sealed && e.Flags&index.Tombstone == 0 && own[e.Run]
	})
	if err != nil {
		return nil, err
	}
	var list []Version
	for i := range drawn {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		raw, id, err := s.lineOf(&drawn[i])
		if err != nil {
			return nil, err
		}
		facts, err := scan.New(index.FingerprintKey(s.m.mirrorKey)).Facts(raw)
		if err != nil {
			return nil, badEntry(Key{})
		}
		v, err := s.read(Key{Source: source, Type: string(facts.Type), ID: id}, &drawn[i])
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// Fingerprint returns the fingerprint of a resource as the EMR gave it: two with
// the same are the same state of a record. It needs no key.
func (m *Mirror) Fingerprint(resource []byte) ([16]byte, error) {
	f, err := scan.New(index.FingerprintKey(m.mirrorKey)).Line(resource)
	return f.Fingerprint, err
}

// matches reports whether the line of an entry is what the index says.
func matches(sc *scan.Scanner, f *cachedFrame, e *index.Entry) bool {
	raw, ok := f.line(int(e.Line))
	if !ok || len(raw) != int(e.Length) {
		return false
	}
	if e.Flags&index.Tombstone != 0 {
		_, ok := parseTombstone(raw)
		return ok
	}
	facts, err := sc.Line(raw)
	return err == nil && facts.Fingerprint == e.Fingerprint
}
