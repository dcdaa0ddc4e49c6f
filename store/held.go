package store

import (
	"context"
	"errors"
	"slices"

	"chartcellar/store/index"
)

// A HeldCount is how much a run holds of one type.
type HeldCount struct {
	Run              uint32
	Changed, Removed int // versions that wait; new records count as changed
	entries          []index.Entry
}

// A HeldRecord is one of them: what counts now, and what waits. Before or After is
// nil where there is none.
type HeldRecord struct {
	ID            string
	Before, After []byte
}

// mostHeld is how many entries of a type are kept to be shown.
const mostHeld = 10

// Held counts what waits for a decision of a source, by type. It needs no key.
func (m *Mirror) Held(source string) (map[string]HeldCount, error) {
	own, held := m.runsOf(source), map[string]HeldCount{}
	err := m.index.EachWaiting(func(e *index.Entry) error {
		if !own[e.Run] {
			return nil
		}
		typ := index.TypeName(e.Key.Type())
		h := held[typ]
		h.Run = max(h.Run, e.Run)
		if e.Flags&index.Tombstone != 0 {
			h.Removed++
		} else {
			h.Changed++
		}
		if len(h.entries) < mostHeld {
			h.entries = append(h.entries, *e)
		}
		held[typ] = h
		return nil
	})
	return held, err
}

// HeldRecords reads some of what waits of a type, at most ten, beside what counts now; none of a patient who is sealed.
// The mirror must be unlocked.
func (s *Snapshot) HeldRecords(ctx context.Context, source, typ string, h HeldCount) ([]HeldRecord, error) {
	in, err := s.seals()
	if err != nil {
		return nil, err
	}
	var list []HeldRecord
	for i := range h.entries {
		if _, sealed := in[h.entries[i].Patient]; sealed {
			continue
		}
		one, err := s.waiting(&h.entries[i])
		if err != nil {
			return list, err
		}
		now, err := s.Latest(ctx, Key{Source: source, Type: typ, ID: one.ID})
		switch {
		case errors.Is(err, ErrSealed):
			continue
		case err == nil && !now.Deleted:
			one.Before = now.Raw
		case err != nil && !errors.Is(err, ErrNotFound):
			return list, err
		}
		list = append(list, one)
	}
	return list, nil
}

// waiting reads the version behind an entry, and whose it is.
func (s *Snapshot) waiting(e *index.Entry) (HeldRecord, error) {
	if e.Flags&index.Tombstone == 0 {
		raw, id, err := s.lineOf(e)
		return HeldRecord{ID: id, After: slices.Clone(raw)}, err
	}
	f, err := s.m.frame(e.Part, int(e.Frame))
	if err != nil {
		return HeldRecord{}, err
	}
	raw, _ := f.line(int(e.Line))
	t, ok := parseTombstone(raw)
	if !ok {
		return HeldRecord{}, badEntry(Key{Type: index.TypeName(e.Key.Type())})
	}
	return HeldRecord{ID: t.ID}, nil
}
