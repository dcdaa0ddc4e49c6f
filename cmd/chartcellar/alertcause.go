package main

import (
	"context"
	"errors"
	"time"

	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/rest"
	"chartcellar/fhirsync/smart"
	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/keys"
)

// An obstacle is why a job could not be done, as far as people do different things
// about it.
type obstacle string

const (
	causeOffline     obstacle = "offline"
	causeServer      obstacle = "server"
	causeSignIn      obstacle = "sign-in"
	causeMoved       obstacle = "moved"
	causeCertificate obstacle = "certificate"
	causeForbidden   obstacle = "forbidden"
	causeClock       obstacle = "clock"
	causeFull        obstacle = "full"
	causeDamage      obstacle = "damage"
	causeNoKey       obstacle = "no key"
	causeFolder      obstacle = "folder"  // of a holding
	causeFiles       obstacle = "files"   // of a holding
	causeAway        obstacle = "away"    // the server of a holding
	causeRefused     obstacle = "refused" // by the server of a holding
	causeOther       obstacle = "other"
)

// A movedError says that the EMR's sign-in is at another address than before.
type movedError struct{ error }

// Unwrap returns the words.
func (m movedError) Unwrap() error { return m.error }

// causeOf says why a job could not be done; "" is no trouble: it was stopped, it is to
// wait, or another command had the mirror.
func causeOf(err error) obstacle {
	var notYet *fhirsync.NotYet
	var token *smart.Error
	var moved movedError
	var again signInAgainError
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.As(err, &notYet), errors.Is(err, store.ErrBusy):
		return ""
	case errors.Is(err, smart.ErrClock):
		return causeClock
	case errors.As(err, &token) && token.Code != "", rest.Is(err, rest.SignIn):
		return causeSignIn
	case errors.As(err, &again):
		return causeNoKey
	case errors.As(err, &moved), rest.Is(err, rest.Elsewhere, rest.UnsafeURL, rest.OtherOrigin):
		return causeMoved
	case rest.Is(err, rest.Certificate):
		return causeCertificate
	case rest.Is(err, rest.Forbidden, rest.NotFound, rest.Gone, rest.Refused, rest.WrongVersion):
		return causeForbidden
	case rest.Is(err, rest.Offline, rest.DNS, rest.Timeout, rest.Cut):
		return causeOffline
	case errors.As(err, &token), rest.Is(err, rest.Throttled, rest.ServerBroken, rest.NotFHIR, rest.Token):
		return causeServer
	case errors.Is(err, store.ErrFull):
		return causeFull
	case errors.Is(err, errHoldingFolder):
		return causeFolder
	case errors.Is(err, errHoldingServer):
		return causeAway
	case errors.Is(err, errHoldingSignIn):
		return causeRefused
	case errors.Is(err, errUnread):
		return causeFiles
	case errors.Is(err, store.ErrDamaged), errors.Is(err, index.ErrBad), errors.Is(err, keys.ErrDamaged):
		return causeDamage
	}
	return causeOther
}

// A trouble is a job that could not be done, and leaves no run that says so.
type trouble struct {
	Cause obstacle  `json:"cause"`
	Since time.Time `json:"since"`
	Tries int       `json:"tries"`
}

// patience is how often a job must fail for a cause that mostly goes away by itself,
// before people are told: about half an hour.
const patience = 3

// causeWords are what is said of a cause: of which EMR, since when; and what to do.
var causeWords = map[obstacle]struct {
	kind       notify.Kind
	level      notify.Level
	patient    bool
	text, next notify.Sentence
}{
	causeOffline: {notify.Failed, notify.Warning, true, "%s cannot be reached, since %s; nothing new is copied.",
		"Nothing is lost, and it is tried again every quarter of an hour. Check the internet connection of the office."},
	causeServer: {notify.Failed, notify.Warning, true, "%s has a fault of its own, since %s; nothing new is copied.",
		"Nothing is lost, and it is tried again every quarter of an hour. If it is so tomorrow, call the vendor."},
	causeSignIn: {notify.SignIn, notify.Red, false, "%s refuses our sign-in, since %s; nothing new is copied.",
		"Nothing that was copied is lost. Ask the vendor whether the client id or its key has ended or was blocked. Then run: chartcellar connect test"},
	causeNoKey: {notify.SignIn, notify.Red, false, "This computer has nothing to sign in to %s with, since %s; nothing new is copied.",
		"Nothing that was copied is lost. Run: chartcellar connect renew, with the name of the EMR."},
	causeMoved: {notify.SignIn, notify.Red, false, "%s wants to send us to another address than before, since %s. We did not go there; nothing new is copied.",
		"Nothing is lost. Run: chartcellar connect test. It names the address; ask the vendor whether it is theirs."},
	causeCertificate: {notify.Failed, notify.Warning, false, "The certificate of %s is not good, since %s; nothing new is copied.",
		"Nothing is lost. See that this computer's clock is right; if it is, tell the vendor. Details: chartcellar connect test"},
	causeForbidden: {notify.Failed, notify.Warning, false, "%s does not give us what it gave before, since %s; nothing new is copied.",
		"Nothing that was copied is lost. Run: chartcellar connect test. It says what to ask the vendor for."},
	causeClock: {notify.LowTrust, notify.Red, false, "This computer's clock is so wrong that %s would refuse our sign-in, since %s; nothing new is copied.",
		"Nothing is lost. Set the clock, and let the computer set it by itself from now on."},
	causeDamage: {notify.Damage, notify.Red, false, "Stored files are not what was written; the copy of %s cannot go on, since %s.",
		"Do not delete anything: what is not damaged can be read. Call whoever looks after the computer, and run: chartcellar verify"},
	causeOther: {notify.Failed, notify.Warning, false, "The copying of %s fails, since %s; nothing new is copied.",
		"Nothing that was copied is lost. Run: chartcellar sync. It says what is wrong."},
}
