package store

import (
	"context"
	"errors"
	"slices"

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
	lines, err := s.patientLines(source, patient)
	if err != nil {
		return nil, err
	}
	sc := scan.New(index.FingerprintKey(s.m.mirrorKey))
	damaged := map[byte]map[index.Loc]bool{}
	for _, l := range lines {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		err := s.compartmentLine(sc, source, l, fn)
		if errors.Is(err, archive.ErrDamaged) {
			if damaged[l.Type] == nil {
				damaged[l.Type] = map[index.Loc]bool{}
			}
			damaged[l.Type][l.Loc] = true
		} else if err != nil {
			return nil, err
		}
	}
	return s.currentOf(damaged)
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
