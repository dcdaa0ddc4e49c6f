package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"chartcellar/store/archive"
	"chartcellar/store/index"
	"chartcellar/store/scan"
)

// A Version is one state of a record.
type Version struct {
	Key
	// Raw are the bytes as the EMR gave them, without a newline; of a tombstone,
	// our own line. They must not be modified.
	Raw         []byte
	Deleted     bool      // a tombstone
	Kind        string    // of a tombstone: deleted, missing
	Detector    string    // of a tombstone: what found it
	Subsetted   bool      // the source said that it is not whole
	Counts      bool      // it is, or was, the record as it stands
	Aside       Aside     // why it does not count; "" if it does
	Lost        bool      // it was declared lost: Raw is nil, and nothing is known but where it stood
	LastUpdated time.Time // as the source says; zero if it does not
	Run         uint32
	Part        uint32
	Fetched     string // by this computer's clock, RFC 3339
}

// An Aside is why a version does not count.
type Aside string

// The reasons why a version does not count.
const (
	AsideHeld     Aside = "held"     // its run waits for a decision on this type
	AsideRejected Aside = "rejected" // somebody decided so
	AsideUnderway Aside = "underway" // its run is not over
	AsideStale    Aside = "stale"    // it came after a newer one of the same run
	AsidePart     Aside = "part"     // the source says that it is not whole
)

// aside says why the version behind an entry does not count.
func (s *Snapshot) aside(e *index.Entry) Aside {
	switch {
	case s.states.Counts(e):
		return ""
	case e.Flags&index.Subsetted != 0:
		return AsidePart
	case e.Flags&index.Stale != 0:
		return AsideStale
	}
	return map[index.State]Aside{index.Held: AsideHeld, index.Rejected: AsideRejected,
		index.Underway: AsideUnderway}[s.states.Of(e)]
}

// A Snapshot is a view of the mirror that never changes, whatever runs do
// meanwhile; only patients who are sealed leave it, and come back when they are no longer.
// What belongs to one of them is not given by any method that gives records: the error is
// ErrSealed, or the record is passed over. It may be used by many goroutines and needs no closing.
type Snapshot struct {
	m      *Mirror
	part   uint32 // the last part it sees
	states index.States
	whole  bool // with what is sealed
}

// Now returns a snapshot of the mirror as it is.
func (m *Mirror) Now() (*Snapshot, error) {
	states, part := m.index.Now()
	return &Snapshot{m: m, part: part, states: states}, nil
}

// AsOf returns the mirror as it was when a run was closed: what that run and
// those before it brought. Later decisions on held types count (I8, I15).
func (m *Mirror) AsOf(run uint32) (*Snapshot, error) {
	r, ok := m.index.Head(run)
	if !ok || r.Closing == 0 {
		return nil, fmt.Errorf("run %d was never closed: %w", run, ErrNotFound)
	}
	s, err := m.Now()
	if err != nil {
		return nil, err
	}
	s.part = r.Closing
	return s, nil
}

// Latest returns the newest version of a record that counts. A record that the
// source no longer has is returned as a tombstone, not as an error. If the
// mirror never held it the error wraps ErrNotFound; if that version was declared lost,
// ErrLost, also where an older one could be read.
func (s *Snapshot) Latest(ctx context.Context, k Key) (Version, error) {
	in, err := s.seals()
	if err != nil {
		return Version{}, err
	}
	list, err := s.versions(k)
	if err != nil {
		return Version{}, err
	}
	if s.hidesNewest(in, list) {
		return Version{}, ErrSealed
	}
	for i := len(list) - 1; i >= 0; i-- {
		if s.states.Counts(&list[i]) {
			return s.read(k, &list[i])
		}
	}
	return Version{}, ErrNotFound
}

// History returns every version of a record, oldest first, also those that do
// not count. Versions of a time when the record belonged to a patient who is sealed are
// left out. Lines that were given twice in one run are one version; those that were
// declared lost are among them.
func (s *Snapshot) History(ctx context.Context, k Key) ([]Version, error) {
	in, err := s.seals()
	if err != nil {
		return nil, err
	}
	list, err := s.versions(k)
	if err != nil {
		return nil, err
	}
	if s.hidesNewest(in, list) {
		return nil, ErrSealed
	}
	var out []Version
	for i := range list {
		if list[i].Flags&index.Duplicate != 0 || in.hides(list, i) {
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		e := &list[i]
		v, err := s.read(k, e)
		if errors.Is(err, ErrLost) {
			v, err = Version{Key: k, Run: e.Run, Part: e.Part, Counts: s.states.Counts(e), Aside: s.aside(e),
				Deleted: e.Flags&index.Tombstone != 0, Lost: true}, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	if len(out) == 0 {
		return nil, ErrNotFound
	}
	return out, nil
}

// versions returns the entries of a record that the snapshot sees.
func (s *Snapshot) versions(k Key) ([]index.Entry, error) {
	key := s.m.index.Hasher(k.Source).Key([]byte(k.Type), []byte(k.ID))
	list, err := s.m.index.Versions(key)
	if err != nil {
		return nil, err
	}
	return s.seen(list), nil
}

// seen returns those of the versions of a record that the snapshot sees.
func (s *Snapshot) seen(list []index.Entry) []index.Entry {
	return slices.DeleteFunc(list, func(e index.Entry) bool { return e.Part > s.part })
}

// newest returns the newest of the versions that counts; nil if there is none.
func (s *Snapshot) newest(list []index.Entry) *index.Entry {
	list = s.seen(list)
	for i := len(list) - 1; i >= 0; i-- {
		if s.states.Counts(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// read returns the version behind an entry, checked to be the record that was
// asked for (I5).
func (s *Snapshot) read(k Key, e *index.Entry) (Version, error) {
	f, err := s.m.frame(e.Part, int(e.Frame))
	if err != nil {
		return Version{}, err
	}
	return s.readFrom(f, k, e)
}

// readFrom is read for a frame that is at hand.
func (s *Snapshot) readFrom(f *cachedFrame, k Key, e *index.Entry) (Version, error) {
	raw, ok := f.line(int(e.Line))
	if !ok || len(raw) != int(e.Length) {
		return Version{}, badEntry(k)
	}
	v := s.version(f, k, raw, e)
	if f.source != k.Source {
		return Version{}, badEntry(k)
	}
	if v.Deleted {
		t, ok := parseTombstone(raw)
		if !ok || t.Type != k.Type || t.ID != k.ID {
			return Version{}, badEntry(k)
		}
		v.Kind, v.Detector = t.Kind, t.Detector
		return v, nil
	}
	facts, err := scan.New(index.FingerprintKey(s.m.mirrorKey)).Line(raw)
	if err != nil || string(facts.Type) != k.Type || string(facts.ID) != k.ID ||
		facts.Fingerprint != e.Fingerprint {
		return Version{}, badEntry(k)
	}
	return v, nil
}

// version makes the version of the line of an entry.
func (s *Snapshot) version(f *cachedFrame, k Key, raw []byte, e *index.Entry) Version {
	v := Version{Key: k, Raw: raw, Run: e.Run, Part: e.Part, Fetched: f.fetched,
		Deleted: e.Flags&index.Tombstone != 0, Subsetted: e.Flags&index.Subsetted != 0,
		Counts: s.states.Counts(e), Aside: s.aside(e)}
	if e.Updated != 0 {
		v.LastUpdated = time.UnixMilli(e.Updated).UTC()
	}
	return v
}

func badEntry(k Key) error {
	return fmt.Errorf("the index points to another record of type %s: %w", k.Type, index.ErrBad)
}

// IsBadIndex reports whether an error means that the index must be rebuilt.
func IsBadIndex(err error) bool { return errors.Is(err, index.ErrBad) }

// Compartment calls fn for the newest version of every record of a patient, the
// Patient first, then by type. Records that the source removed are left out, and
// those whose newest version was declared lost.
func (s *Snapshot) Compartment(ctx context.Context, source, patient string, fn func(Version) error) error {
	work, err := s.patientFrames(source, patient)
	if err != nil {
		return err
	}
	r, lost := newPatientReader(s, source), s.m.index.Lost()
	for _, lines := range work {
		if lost[lines[0].Part] {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := r.frame(lines, fn); err != nil {
			return err
		}
	}
	return nil
}

// keyAt reads which record stands in a line, and the frame that holds it.
func (s *Snapshot) keyAt(sc *scan.Scanner, source string, l index.Line) (Key, *cachedFrame, error) {
	k := Key{Source: source}
	f, err := s.m.frame(l.Part, int(l.Frame))
	if err != nil {
		return k, nil, err
	}
	raw, ok := f.line(int(l.Line))
	if !ok || f.source != source {
		return k, nil, fmt.Errorf("the index points to no line: %w", index.ErrBad)
	}
	if f.kind == archive.Deleted {
		t, _ := parseTombstone(raw)
		k.Type, k.ID = t.Type, t.ID
	} else if facts, err := sc.Facts(raw); err == nil {
		k.Type, k.ID = string(facts.Type), string(facts.ID)
	}
	return k, f, nil
}
