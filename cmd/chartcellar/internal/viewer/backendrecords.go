package viewer

import (
	"context"
	"time"

	"chartcellar/store/chart"
)

// Records show one record with everything that the copy knows of it, and the records of
// a patient as they happened and as they changed. What Charts promises, they promise.
type Records interface {
	// Record opens a record, also one that the EMR has removed; page is recorded.
	Record(ctx context.Context, a Actor, p Place, page string) (Record, error)
	// Uses opens a record and finds what it names and what names it: in the chart of its
	// patient; in the whole copy, as far as that is quick, if wide says so or it is no
	// patient's.
	Uses(ctx context.Context, a Actor, p Place, wide bool) (Uses, error)
	// Bytes opens a record in order to take version n, from 1, out as a file.
	Bytes(ctx context.Context, a Actor, p Place, n int) ([]byte, error)
	// Timeline opens a chart as its records happened; with words, those that hold them.
	Timeline(ctx context.Context, a Actor, p Place, words string) (Timeline, error)
	// ChartChanges opens a chart as what changed in the copy since the end of a day; "": of
	// the last 30 days, or since the first copy.
	ChartChanges(ctx context.Context, a Actor, p Place, since string) (ChartChanges, error)
}

// A Record is one record with all its versions.
type Record struct {
	ChartHead        // of its patient; Ref is empty if it is no patient's
	Orphan    string // the patient that it names, if the copy does not hold him
	Stranger  string // where its patient is, if that is another server
	Self      Ref
	Type, ID  string
	Base      string           // the FHIR address of the EMR; "" if it is not known
	Title     string           // what it is about; "" if it does not say
	Versions  []RecordVersion  // that the copy of the day holds, oldest first
	Shown     int              // the place of the one that stands; the last before it was removed; -1: none can be shown
	Removed   bool             // the EMR no longer has it
	Alone     bool             // versions but the one shown could not be read
	Named     map[string]Named // what the copy holds of the records that it names, by Type/id
}

// A Named is a record that another names, as it is in the copy.
type Named struct {
	Title   string // what it is about; "" if it does not say, or if that is not for who asks
	Removed bool   // the EMR no longer has it; the copy has kept it
}

// A RecordVersion is one state of a record.
type RecordVersion struct {
	N        int       // from 1
	Run      uint32    // that fetched it
	Started  time.Time // of the run
	Ended    time.Time // of the run; zero: it is not over
	Fetched  time.Time
	Part     string    // file below the data folder that holds it
	Updated  time.Time // as the EMR says; zero if it does not
	Version  string    // as the EMR numbers it; "" if it does not
	Digest   string    // SHA-256 of Raw
	Raw      []byte    // as the EMR gave it; nil if it was lost
	Deleted  bool      // it says that the EMR no longer has the record
	Missing  bool      // of these: the EMR does not say that it was deleted
	Detector string    // of these: what found it
	Lost     bool      // its bytes were declared lost
	Counts   bool      // it stands or stood
	Why      string    // in words, why it does not
}

// Uses are what a record names, and what names it.
type Uses struct {
	Record
	Out    []chart.Link
	In     []Use
	Wide   bool // the whole copy was looked through, or as much as was quick
	Looked int  // records that were looked at
	Of     int  // of so many
	More   bool // there may be more: it stopped at mostUses
	Hidden int  // found, and not shown to this role
	Sealed int  // of Of, not looked at: their patients are sealed
	Unread int  // could not be read
}

// A Use is a record that names another.
type Use struct {
	chart.Event
	Paths []string // of the elements that name it, in words
}

// A Timeline is the records of a patient as they happened.
type Timeline struct {
	ChartHead
	*chart.Timeline
	Words string               // that they hold; "": all records
	Hits  map[string]chart.Hit // where they hold them, by Type/id
}

// ChartChanges are what of a patient is not as it was.
type ChartChanges struct {
	ChartHead
	Since   string    // the day
	First   bool      // no day was chosen, and the first copy is what it is compared with
	From    string    // which copy is compared, in words
	TooSoon time.Time // the first copy, if it is later than Since; else zero
	List    []ChangedRecord
	Hidden  int // not shown to this role
	Unread  int // versions that could not be read
}

// A ChangedRecord is one record that is new, changed or removed.
type ChangedRecord struct {
	chart.Event        // as it is now; of a removed one, as it was
	How         string // new, changed, removed
	From, To    int    // the versions to compare; zero if there are no two
	Changes     []chart.Change
}
