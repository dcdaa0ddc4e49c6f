package store

import (
	"context"
	"errors"

	"chartcellar/store/archive"
	"chartcellar/store/index"
	"chartcellar/store/scan"
)

// A Changed is a record that is not the same in two snapshots. Before or After is nil
// where it was not there: never held yet, or removed at the source.
type Changed struct {
	Key
	Before, After *Version
}

// Changed calls fn for every record that was a patient's in any version that s sees, and
// that differs between before, an earlier snapshot of the same mirror, and s: new ones,
// changed ones, removed ones; the Patient first, then by type. What changed and changed
// back is left out. It returns by type how many stored
// versions could not be read: whether they changed anything is not known.
func (s *Snapshot) Changed(ctx context.Context, before *Snapshot, source, patient string, fn func(Changed) error) (Unread, error) {
	if s.whole {
		before = before.Whole()
	}
	lines, err := s.patientLines(source, patient)
	if err != nil {
		return nil, err
	}
	sc, seen, unread := scan.New(index.FingerprintKey(s.m.mirrorKey)), map[Key]bool{}, Unread{}
	for _, l := range lines {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		k, _, err := s.keyAt(sc, source, l)
		if err == nil && !seen[k] {
			seen[k] = true
			err = s.changed(before, k, fn)
		}
		switch {
		case errors.Is(err, archive.ErrDamaged):
			unread[index.TypeName(l.Type)]++
		case err != nil:
			return nil, err
		}
	}
	return unread, nil
}

// changed compares what counts of one record in two snapshots.
func (s *Snapshot) changed(before *Snapshot, k Key, fn func(Changed) error) error {
	if err := s.open(k); errors.Is(err, ErrSealed) {
		return nil // it has become another patient's, who is sealed
	} else if err != nil {
		return err
	}
	was, err := before.current(k)
	if err != nil {
		return err
	}
	is, err := s.current(k)
	if err != nil {
		return err
	}
	if was == nil && is == nil || was != nil && is != nil && was.Fingerprint == is.Fingerprint {
		return nil
	}
	c := Changed{Key: k}
	for _, side := range []struct {
		e  *index.Entry
		to **Version
	}{{was, &c.Before}, {is, &c.After}} {
		if side.e == nil {
			continue
		}
		v, err := s.read(k, side.e)
		if err != nil {
			return err
		}
		*side.to = &v
	}
	return fn(c)
}

// current returns the entry of a record that counts; nil if none does, if the source
// has removed it, or if it was a patient's who is sealed.
func (s *Snapshot) current(k Key) (*index.Entry, error) {
	in, err := s.seals()
	if err != nil {
		return nil, err
	}
	list, err := s.versions(k)
	if err != nil {
		return nil, err
	}
	for i := len(list) - 1; i >= 0; i-- {
		if s.states.Counts(&list[i]) {
			if list[i].Flags&index.Tombstone != 0 || in.hides(list, i) {
				return nil, nil
			}
			return &list[i], nil
		}
	}
	return nil, nil
}
