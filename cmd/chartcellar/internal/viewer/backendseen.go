package viewer

import (
	"context"
	"time"
)

// AccessReports say who saw whom. Whoever may not see the whole access log gets what he
// did himself, and nothing else: the error is ErrNotFound.
type AccessReports interface {
	// Seen returns lines of the log, newest first, at most q.Rows; a page may have fewer,
	// or none, though there are older ones: More says so. That a report about somebody else
	// is shown is written into the log first.
	Seen(ctx context.Context, a Actor, q SeenQuery) (Seen, error)
}

// A SeenQuery asks what was seen: of a patient, by an account, or both.
type SeenQuery struct {
	Patient   Ref       // "": of any
	Account   string    // sign-in name; "": by any
	From, To  time.Time // To is not in it; zero: no limit
	Emergency string    // only under this emergency access
	Before    uint64    // as in AccessLog
	Rows      int
	// Whole looks through all of the log, for a file, however long that takes.
	Whole bool
}

// A Seen is a report of it.
type Seen struct {
	Patient *PatientRow // if one was asked for and is in the copy
	Lines   []SeenLine
	More    uint64 // as LogPage.More
	Locked  bool   // as LogPage.Locked
}

// A SeenLine is one time that somebody saw something.
type SeenLine struct {
	Number    uint64    `json:"number"`
	At        time.Time `json:"at"`
	Account   string    `json:"account"`
	Address   string    `json:"address"` // "" if it is not known, or not for who asks
	What      string    `json:"what"`    // Code in words; "" for a code that nobody knows
	Code      string    `json:"code"`
	Type      string    `json:"type"`    // of the record
	Patient   string    `json:"patient"` // name, or a mark that is the same for one patient; "": it was about none
	Ref       Ref       `json:"-"`       // of the patient; "": not to be opened
	Note      string    `json:"note"`
	Emergency bool      `json:"emergency"` // under emergency access
}
