package main

import (
	"context"

	"chartcellar/cmd/chartcellar/internal/viewer"
)

var _ viewer.Hiding = (*office)(nil)

// Hide implements viewer.Hiding: the owners are told.
func (o *office) Hide(ctx context.Context, a viewer.Actor, patient viewer.Ref, reason string) error {
	return o.told(a, "patient.seal", patient, o.Room.Hide(ctx, a, patient, reason))
}

// Unhide implements viewer.Hiding: the owners are told.
func (o *office) Unhide(ctx context.Context, a viewer.Actor, patient viewer.Ref, reason string) error {
	return o.told(a, "patient.unseal", patient, o.Room.Unhide(ctx, a, patient, reason))
}

// told tells the owners that a seal was changed, if it was.
func (o *office) told(a viewer.Actor, code string, patient viewer.Ref, err error) error {
	if err != nil {
		return err
	}
	source, _, _, err := o.Open(patient)
	if err != nil {
		return err
	}
	return o.e.changed(o.m, notice{code: code, by: a.Account, source: source})
}
