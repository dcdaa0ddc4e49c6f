package charts

import (
	"context"
	"errors"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
)

// Hide implements viewer.Hiding.
func (r *Room) Hide(ctx context.Context, a viewer.Actor, patient viewer.Ref, reason string) error {
	return r.seal(ctx, a, patient, reason, r.m.SealPatient)
}

// Unhide implements viewer.Hiding.
func (r *Room) Unhide(ctx context.Context, a viewer.Actor, patient viewer.Ref, reason string) error {
	return r.seal(ctx, a, patient, reason, r.m.UnsealPatient)
}

// seal changes the seal of a patient; the mirror writes the journal line first.
func (r *Room) seal(ctx context.Context, a viewer.Actor, patient viewer.Ref, reason string, do func(context.Context, store.SealOrder) error) error {
	if r.m.Locked() {
		return viewer.ErrLocked
	}
	source, typ, id, err := r.Open(patient)
	if err == nil && typ != "Patient" {
		err = viewer.ErrNotFound
	}
	if err != nil {
		return err
	}
	err = do(context.WithoutCancel(ctx), store.SealOrder{Source: source, Patient: id, By: a.Account, Reason: reason, Note: Note(a, reason)})
	switch {
	case errors.Is(err, store.ErrBusy):
		return viewer.ErrBusy
	case errors.Is(err, store.ErrReadOnly):
		return viewer.ErrReadOnly
	case errors.Is(err, store.ErrNotSealed):
		return &viewer.Refusal{Words: "Nothing was changed: this patient is not hidden, or is shown again already."}
	case errors.Is(err, store.ErrSealed):
		return &viewer.Refusal{Words: "Nothing was changed: this patient is hidden already."}
	case errors.Is(err, store.ErrNotFound):
		return viewer.ErrNotFound
	}
	return err
}

// Hidden implements viewer.Hiding.
func (r *Room) Hidden(_ context.Context, a viewer.Actor) (list []viewer.HiddenPatient, err error) {
	if r.m.Locked() {
		return nil, viewer.ErrLocked
	}
	seals, err := r.m.Sealed()
	if err != nil {
		return nil, locked(err)
	}
	e := store.Event{Code: "patients.sealed", Key: store.Key{Type: "Patient"}, Count: len(seals)}
	if err := r.note(a, e); err != nil {
		return nil, err
	}
	for _, s := range seals {
		list = append(list, viewer.HiddenPatient{Ref: r.Refer(s.Source, "Patient/"+s.Patient), ID: s.Patient, Source: s.Source,
			Since: s.At, By: s.By, Reason: s.Reason, Run: s.Run})
	}
	return list, nil
}
