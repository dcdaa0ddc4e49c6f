package viewer

import (
	"context"
	"time"

	"chartcellar/store/chart"
)

// Searches look through all records of the practice. A search goes on by itself once it
// was started, and is known by an id that says nothing; only who started it can look at
// it. It ends when nobody looks at it for a minute, and is forgotten when the copy is locked,
// or after a time: then the error is ErrNotFound.
type Searches interface {
	// EMRs returns the names of the EMRs if there are several.
	EMRs() []string
	// StartSearch journals a search and begins it. An earlier one of the same account
	// that still goes on is stopped.
	StartSearch(context.Context, Actor, SearchAsk) (id string, err error)
	// Search returns what was found so far: a page of it, from a row on, with as many rows
	// as there are on a page of that kind. What is shown for the first time is journalled
	// before it is returned.
	Search(ctx context.Context, a Actor, id string, from int, rows func(SearchKind) int) (SearchResult, error)
	// StopSearch ends a search; what was found can still be looked at.
	StopSearch(ctx context.Context, a Actor, id string) error
	// StopSearches ends what an account still searches for: it leaves.
	StopSearches(a Actor)
	// CohortCSV writes the patients that a search of the kind SearchCohort found as a
	// file, once the journal has it.
	CohortCSV(ctx context.Context, a Actor, id string) ([]byte, error)
}

// A SearchKind says what a search finds.
type SearchKind string

// The kinds.
const (
	SearchNotes  SearchKind = "notes"  // records that have words in them
	SearchCodes  SearchKind = "codes"  // codes that fit words
	SearchCohort SearchKind = "cohort" // patients that have something
)

// A SearchAsk is what is looked for.
type SearchAsk struct {
	Kind     SearchKind
	Text     string   // as it was typed; see chart.ParseTerms. Not of SearchCohort
	Types    []string // only these types of record; none: all
	From, To string   // days between which a record must lie; "": open
	EMR      string   // source; "": all
	AsOf     string   // as the copy stood at the end of this day, as 2026-03-01; "": now
	Patient  Ref      // only the records of this patient; "": of all. Of SearchNotes

	// Of SearchCohort: all must fit.
	Has              []CodeAsk
	Sex, Ages, State string // as in a PatientQuery
}

// A CodeAsk is something that a patient must have.
type CodeAsk struct {
	Kind  chart.CodeKind
	Text  string // as it was typed
	Exact string // a chart.Coding's Term; Text then only says it in words
	Type  string // only this type of record; "": any
}

// A SearchResult is what a search has found so far.
type SearchResult struct {
	ID      string
	Ask     SearchAsk
	Words   string // what is looked for, in words
	Copy    string // in which copy
	Several bool   // there are several EMRs
	Started time.Time
	Running bool
	Why     string // why it ended before it had looked at everything; "": it did not

	Lacks []string // types of record that it needs and the copy does not have

	Looked, Of int // records; Of is -1 as long as they are being counted
	Unread     int // of these could not be read
	Withheld   int // of these are not shown to this role, and were not searched
	Sealed     int // of these are of patients who are sealed: nobody's search looks at them

	From  int // number of the first row, from 0
	Found int // rows that there are: patients with hits, codes, or patients

	// Of SearchNotes: Hits are all records that were found, Kept how many of them can be
	// shown.
	Hits, Kept int
	Patients   []SearchPatient
	// Of SearchCodes: More are codes that are not in the list, because it is full.
	Codes []CodeRow
	More  int
	// Of SearchCohort: Void are records that fit and do not mean that it was so.
	People []CohortRow
	Void   int
}

// A SearchPatient is a patient with the records in which something was found.
type SearchPatient struct {
	PatientRow             // Ref is "" for records that name no patient
	Hits       []SearchHit // the first of them
	All        int
}

// A SearchHit is a record in which something was found.
type SearchHit struct {
	Ref   Ref
	Type  string
	Title string // what the record says of its kind; "": nothing
	Date  string // as given; "": it has none
	Label string // its security labels, in words
	Found []FoundText
}

// A FoundText is a place in a record.
type FoundText struct {
	Where string
	Text  []chart.Piece
}

// A CodeRow is a code in one type of record.
type CodeRow struct {
	chart.Coding
	Type              string
	Records, Patients int
}

// A CohortRow is a patient with how often and when. First and Last are "" where no
// record has a date.
type CohortRow struct {
	PatientRow
	Records     int
	First, Last string
}
