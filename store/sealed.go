package store

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"chartcellar/store/index"
)

// A sealed patient is one whom people must not see, such as one that the EMR gave by
// mistake. Nothing of the patient is removed: the bytes stay in the archive, are verified
// and go to second copies as before. But no reader of a Snapshot gives them, until somebody
// takes the seal off. That a patient was sealed, and that the seal was taken off, are runs of
// their own, so that they stand in the archive and come back with it.

// KindSeal is the kind of the runs that seal patients and take seals off.
const KindSeal = "seal"

// The verdicts of such runs.
const (
	VerdictSealed   = "sealed"
	VerdictUnsealed = "unsealed"
)

var (
	// ErrSealed is an ErrNotFound: the record is of a patient who is sealed.
	ErrSealed = fmt.Errorf("the patient is sealed: %w", ErrNotFound)
	// ErrNotSealed says that the patient is not sealed.
	ErrNotSealed = errors.New("the patient is not sealed")
	// ErrNoReason says that something needs a reason and none was given.
	ErrNoReason = errors.New("a reason is needed")
)

// A Seal says who sealed which patient, and why.
type Seal struct {
	Source  string
	Patient string // id; "" while the mirror is locked
	Reason  string // "" while the mirror is locked
	By      string // account
	At      time.Time
	Run     uint32
}

// A SealRecord is the record of a run that seals a patient or takes a seal off. It names
// nobody: who the patient is stands in Note, which needs a key.
type SealRecord struct {
	Verdict string    `json:"verdict"`
	Patient string    `json:"patient"` // the keyed hash that the index knows the patient by, in hex
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Note    []byte    `json:"note"` // a sealNote, encrypted to the recipients
}

type sealNote struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// A SealOrder says whose seal is to change, who decides it, and why.
type SealOrder struct {
	Source, Patient string
	By              string // account
	Reason          string
	Note            string // of the line in the journal; "": the reason
}

// SealPatient hides a patient and every record that belongs to the patient from all
// readers of this mirror, of its second copies and of what is restored from them, at once
// and also as of any earlier time. It is in the journal first, and durable when
// SealPatient returns nil; after an error nothing is hidden that was not before. It needs
// no key and waits for nothing.
//
// Errors: ErrNoReason; ErrNotFound if the mirror has nothing of the patient; ErrSealed if
// the patient is sealed; ErrBusy while a run goes on.
func (m *Mirror) SealPatient(ctx context.Context, o SealOrder) error {
	return m.changeSeal(ctx, o, VerdictSealed)
}

// UnsealPatient takes the seal of a patient off: all is shown again. The errors are those
// of SealPatient, but ErrNotSealed if the patient is not sealed.
func (m *Mirror) UnsealPatient(ctx context.Context, o SealOrder) error {
	return m.changeSeal(ctx, o, VerdictUnsealed)
}

func (m *Mirror) changeSeal(ctx context.Context, o SealOrder, verdict string) error {
	if m.ReadOnly() {
		return ErrReadOnly
	}
	if o.Reason = strings.TrimSpace(o.Reason); o.Reason == "" {
		return ErrNoReason
	}
	if o.Note == "" {
		o.Note = o.Reason
	}
	p := m.index.Hasher(o.Source).Patient([]byte(o.Patient))
	if err := m.maySeal(p, verdict); err != nil {
		return err
	}
	r, err := m.Begin(ctx, RunSpec{Source: o.Source, Kind: KindSeal})
	if err != nil {
		return err
	}
	defer r.Abort()
	if err := m.maySeal(p, verdict); err != nil { // somebody may have been faster
		return err
	}
	note, err := json.Marshal(sealNote{o.Patient, o.Reason})
	if err != nil {
		return err
	}
	rec := SealRecord{Verdict: verdict, Patient: hex.EncodeToString(p[:]), By: o.By, At: m.now().UTC()}
	if rec.Note, err = m.SealText(note); err != nil {
		return err
	}
	raw, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	code := map[string]string{VerdictSealed: "patient.seal", VerdictUnsealed: "patient.unseal"}[verdict]
	err = m.Journal(Event{Code: code, Account: o.By, Key: Key{Source: o.Source, Type: "Patient"}, Patient: o.Patient, Note: o.Note})
	if err != nil {
		return err
	}
	// Held while the run becomes part of the index: what is read of the generation that it
	// makes must know of it, since that may be kept.
	m.sealMu.Lock()
	defer m.sealMu.Unlock()
	err = r.Close(ctx, Closing{States: index.RunStates{All: index.Applied}, Verdict: verdict, Record: raw})
	m.sealed = nil // also after an error: it may have become durable
	return err
}

// maySeal reports whether a patient can be sealed, or unsealed.
func (m *Mirror) maySeal(p index.Patient, verdict string) error {
	seals, err := m.sealsInForce()
	if err != nil {
		return err
	}
	_, sealed := seals[p]
	switch {
	case verdict == VerdictUnsealed && !sealed:
		return ErrNotSealed
	case verdict == VerdictUnsealed:
		return nil
	case sealed:
		return ErrSealed
	}
	lines, err := m.index.Compartment(p)
	if err == nil && (len(lines) == 0 || p == index.Patient{}) {
		err = ErrNotFound
	}
	return err
}

// Sealed returns the patients who are sealed, the latest first. While the mirror is locked
// it is not said who they are and why.
func (m *Mirror) Sealed() ([]Seal, error) {
	seals, err := m.sealsInForce()
	if err != nil {
		return nil, err
	}
	list := []Seal{}
	for _, s := range seals {
		one := Seal{Source: s.source, By: s.By, At: s.At, Run: s.run}
		note, err := m.openSeal(s.Note)
		if err != nil && !errors.Is(err, ErrLocked) {
			return nil, fmt.Errorf("run %d: %w", s.run, err)
		}
		one.Patient, one.Reason = note.ID, note.Reason
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b Seal) int { return int(b.Run) - int(a.Run) })
	return list, nil
}

func (m *Mirror) openSeal(sealed []byte) (n sealNote, err error) {
	b, err := m.OpenText(sealed)
	if err != nil {
		return n, err
	}
	if err = json.Unmarshal(b, &n); err != nil {
		err = fmt.Errorf("open a seal: %w", errors.Join(ErrDamaged, err))
	}
	return n, err
}

// A sealInForce is a patient's newest seal, which was not taken off.
type sealInForce struct {
	SealRecord
	source string
	run    uint32
}

// seals are the patients who are sealed.
type seals map[index.Patient]sealInForce

// sealsInForce returns who is sealed now. It is read from the index once, and again after a
// change; the map must not be modified.
func (m *Mirror) sealsInForce() (seals, error) {
	m.sealMu.Lock()
	defer m.sealMu.Unlock()
	if m.sealed != nil {
		return m.sealed, nil
	}
	in := seals{}
	for _, head := range slices.Backward(m.index.Runs()) { // oldest first
		if head.Kind != KindSeal || head.Closing == 0 {
			continue
		}
		r, _, err := m.index.Run(head.Number)
		if err != nil {
			return nil, err
		}
		s := sealInForce{source: r.Source, run: head.Number}
		var p index.Patient
		err = json.Unmarshal(r.Record, &s.SealRecord)
		if err == nil {
			_, err = hex.Decode(p[:], []byte(s.Patient))
		}
		if err != nil {
			return nil, fmt.Errorf("read whom run %d seals: %w", head.Number, err)
		}
		if s.Verdict == VerdictSealed {
			in[p] = s
		} else {
			delete(in, p)
		}
	}
	m.sealed = in
	return in, nil
}

// hides reports whether the version at i, of a record's versions in their order, is of a
// patient who is sealed. A tombstone is of the patient of the version before it.
func (in seals) hides(list []index.Entry, i int) bool {
	for ; len(in) > 0 && i >= 0; i-- {
		if list[i].Flags&index.Tombstone == 0 {
			_, sealed := in[list[i].Patient]
			return sealed
		}
	}
	return false
}

// Whole returns the snapshot with what is sealed. It is for what compares, counts and gives
// back copies, and never for what people look at.
func (s *Snapshot) Whole() *Snapshot {
	whole := *s
	whole.whole = true
	return &whole
}

// seals returns whom the snapshot hides: those who are sealed now, whatever its time.
func (s *Snapshot) seals() (seals, error) {
	if s.whole {
		return nil, nil
	}
	return s.m.sealsInForce()
}

// Hidden returns how many records of a type the snapshot hides because their patient is
// sealed: they are among those that CountOf counts.
func (s *Snapshot) Hidden(source, typ string) (n int, err error) {
	in, err := s.seals()
	if err != nil || len(in) == 0 {
		return 0, err
	}
	of := s.m.runsOf(source)
	err = s.m.index.EachCurrent(index.TypeByte(typ), s.part, s.states, func(e *index.Entry) error {
		if _, sealed := in[e.Patient]; sealed && of[e.Run] && e.Flags&index.Tombstone == 0 {
			n++
		}
		return nil
	})
	return n, err
}

// open returns ErrSealed if the newest version of a record is of a patient who is sealed.
func (s *Snapshot) open(k Key) error {
	in, err := s.seals()
	if err != nil || len(in) == 0 {
		return err
	}
	list, err := s.versions(k)
	if err == nil && s.hidesNewest(in, list) {
		err = ErrSealed
	}
	return err
}

// hidesNewest reports whether the newest version that counts is hidden; if none counts,
// the newest of all.
func (s *Snapshot) hidesNewest(in seals, list []index.Entry) bool {
	for i := len(list) - 1; i >= 0; i-- {
		if s.states.Counts(&list[i]) {
			return in.hides(list, i)
		}
	}
	return in.hides(list, len(list)-1)
}
