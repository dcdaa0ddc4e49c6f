package viewer

import (
	"context"
	"time"
)

// Hiding hides patients whom the EMR gave by mistake: the seals of the store. Each method
// writes the journal line first.
type Hiding interface {
	// Hide hides a patient from everybody, here and as of every day. It waits for no run:
	// while one is under way the error is ErrBusy, and nothing is hidden.
	Hide(ctx context.Context, a Actor, patient Ref, reason string) error
	// Unhide shows a patient again who is hidden; the errors are those of Hide.
	Unhide(ctx context.Context, a Actor, patient Ref, reason string) error
	// Hidden lists who is hidden, the latest first.
	Hidden(context.Context, Actor) ([]HiddenPatient, error)
}

// A HiddenPatient is one who is hidden. The name is not said: it is hidden, too.
type HiddenPatient struct {
	Ref    Ref
	ID     string // at the EMR
	Source string
	Since  time.Time
	By     string // sign-in name
	Reason string
	Run    uint32 // whose report says that it was done
}
