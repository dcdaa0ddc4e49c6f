package fhirsync

import (
	"time"

	"chartcellar/store/index"
)

// A Verdict is what a run came to.
type Verdict string

// The verdicts.
const (
	Complete     Verdict = "complete"
	WithGaps     Verdict = "complete with gaps"
	HeldVerdict  Verdict = "held"
	Interrupted  Verdict = "interrupted"
	FailedRun    Verdict = "failed"
	DecisionMade Verdict = "decision" // of a run that only records a decision
)

// A Report is what a run did: the run record, and what every output shows. It
// stands in the run's closing part, so that the signed checkpoint covers it.
type Report struct {
	Run     uint32    `json:"run"`
	Source  string    `json:"source"`
	Kind    string    `json:"kind"`
	Verdict Verdict   `json:"verdict"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Resumed bool      `json:"resumed,omitempty"`
	Full    bool      `json:"full,omitempty"` // every type was compared whole
	Types   []TypeRow `json:"types"`
	Files   int       `json:"files"`
	Pages   int       `json:"pages,omitempty"`
	Bytes   int64     `json:"bytes"` // of the files, unpacked
	Wire    int64     `json:"wire"`  // over the network
	Notes   []string  `json:"notes,omitempty"`
	// Waited is how long the run slept because the export was not ready.
	Waited time.Duration `json:"waited,omitempty"`

	Attachments Attached `json:"attachments"`
	Followed    int      `json:"followed,omitempty"` // records read because others name them
	Withheld    int      `json:"withheld,omitempty"` // records that the EMR does not let us read (P104)
	// Dangling are records that others name and the EMR does not have, Refused
	// those that it does not let us read, with the time they were asked for.
	Dangling       map[string]int64 `json:"dangling,omitempty"`
	Refused        map[string]int64 `json:"refused,omitempty"`
	PartlyResolved bool             `json:"partlyResolved,omitempty"` // not all names were looked up

	Gaps        []index.Gap    `json:"gaps,omitempty"`     // open at the end, at most maxListed
	GapCount    int            `json:"gapCount,omitempty"` // all of them
	GapKinds    map[string]int `json:"gapKinds,omitempty"` // all of them, by kind
	ClosedGaps  int            `json:"closedGaps,omitempty"`
	NotExported []string       `json:"notExported,omitempty"` // types that the EMR refused to export
	Offered     Offered        `json:"offered"`
	Profile     Profile        `json:"profile"`
	Evidence    []Proof        `json:"evidence,omitempty"`

	interrupted bool
	broken      bool // the export failed
	unverified  map[string]bool
	absent      map[string][]index.Absence
	lacking     map[string]int
	followed    map[string]int
	server      map[string]Checked
}

// Interrupted reports whether the run was broken off for good.
func (r *Report) Interrupted() bool { return r.interrupted || r.Verdict == Interrupted }

// A TypeRow is what a run did with one type.
type TypeRow struct {
	Type     string `json:"type"`
	Mode     string `json:"mode,omitempty"` // bulk, search, listing, none
	Why      string `json:"why,omitempty"`  // why it is fetched in this way
	Asked    bool   `json:"asked"`          // the EMR was asked for it
	Full     bool   `json:"full"`           // compared whole, not only changes
	Manifest int    `json:"manifest"`       // lines the EMR announced; -1: it did not say
	Listed   int    `json:"listed"`         // lines of the whole listing, each record once
	index.Count
	Verified bool   `json:"verified"`           // what came was compared with a count of the EMR
	Accepted int    `json:"accepted,omitempty"` // of removed: a person had accepted it before
	Lacking  int    `json:"lacking,omitempty"`  // records here that the whole listing lacked
	Followed int    `json:"followed,omitempty"` // records read because others name them
	Gap      string `json:"gap,omitempty"`      // what it lacks
	GapKind  string `json:"gapKind,omitempty"`  // type, file, page: its cursor stays; line: it moves
	Held     string `json:"held,omitempty"`     // what a person must look at
	Waits    uint32 `json:"waits,omitempty"`    // an earlier run that holds changes of it still; its cursor stays
	Checked
}

// Checked is a type compared with the EMR's own count.
type Checked struct {
	Server int    `json:"server"`           // how many the EMR counts; -1: it does not say
	Mirror int    `json:"mirror"`           // how many the mirror shows once the run counts
	Reason string `json:"reason,omitempty"` // what a difference means
}

// stays reports whether the type's cursor must not move.
func (t TypeRow) stays() bool { return t.Waits != 0 || t.Gap != "" && t.GapKind != "line" }

// Judge gives the verdict: a pure function of what the report says.
func (r *Report) Judge() Verdict {
	held, gaps, good := false, r.GapCount > 0, len(r.Types) == 0
	for _, t := range r.Types {
		held = held || t.Held != "" || t.Waits != 0
		gaps = gaps || t.Gap != ""
		good = good || !t.stays()
	}
	switch {
	case r.interrupted:
		return Interrupted
	case r.broken, !good && !held:
		return FailedRun
	case held:
		return HeldVerdict
	case gaps:
		return WithGaps
	}
	return Complete
}
