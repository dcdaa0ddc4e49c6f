package viewer

import (
	"context"
	"time"

	"chartcellar/store/chart"
)

// A Ref names a patient or a record in an address. A Backend makes it and opens it;
// whoever reads it learns nothing.
type Ref string

// A Place says whose chart a page is asked for, and of which day.
type Place struct {
	Ref  Ref
	AsOf string // as 2026-03-01; "": now
}

// Charts show patients. Each method writes the journal line of what it is about to
// show, and shows nothing if that fails. While the copy is locked the error is
// ErrLocked. A Ref that names nothing gives ErrNotFound.
type Charts interface {
	// Seal hides what somebody typed, so that it can stand in an address; Unseal opens
	// it, or returns ErrNotFound.
	Seal(text string) string
	Unseal(sealed string) (string, error)
	// Refer makes the Ref of a record, named as Type/id.
	Refer(source, ref string) Ref
	// Patients finds patients.
	Patients(context.Context, Actor, PatientQuery) (Patients, error)
	// ForgetRecent empties the list of patients that an account opened last.
	ForgetRecent(Actor)
	// Chart opens a patient's chart; section is recorded.
	Chart(ctx context.Context, a Actor, p Place, section string) (Chart, error)
}

// A PatientQuery is what is asked of the list of patients.
type PatientQuery struct {
	Text  string `json:"t,omitempty"` // as it was typed
	Sex   string `json:"s,omitempty"` // administrative gender; "": any
	Ages  string `json:"a,omitempty"` // one of AgeGroups; "": any
	State string `json:"l,omitempty"` // active, deceased, inactive; "": any
	EMR   string `json:"e,omitempty"` // source; "": all
	AsOf  string `json:"d,omitempty"` // as Place.AsOf
	Since string `json:"v,omitempty"` // a visit on this day or later, as 2026-03-01; "": any
	// Coming are those with an appointment, Changed those whom the last run has changed.
	Coming  bool `json:"n,omitempty"`
	Changed bool `json:"c,omitempty"`
	Page    int  `json:"p,omitempty"` // from 0
	Rows    int  `json:"-"`           // on a page
	Hint    bool `json:"-"`           // asked while typing
}

// An AgeGroup is a choice of the list of patients, in whole years.
type AgeGroup struct {
	Name, Words string
	From, To    int // years; To is not in it
}

// AgeGroups are the choices.
func AgeGroups() []AgeGroup {
	return []AgeGroup{{"baby", "under 2 years", 0, 2}, {"child", "2 to 11 years", 2, 12}, {"teen", "12 to 17 years", 12, 18},
		{"adult", "18 to 64 years", 18, 65}, {"old", "65 years and older", 65, 200}}
}

// Patients are those that were found.
type Patients struct {
	List   []PatientRow // of this page
	Found  int
	All    int // patients in the copy; "n of n"
	Hidden int // of these, labelled sensitive and not shown to this role
	Sealed int // of these, sealed and shown to nobody
	Unread int // of these, whose records could not be read
	// Reading says that visits and appointments are not known yet; VisitsUnread is how many
	// could not be read.
	Reading      bool
	VisitsUnread int
	EMRs         []string // if there are several
	Recent       []PatientRow
	Copy         string // which copy, in words
}

// A PatientRow is a patient in a list.
type PatientRow struct {
	chart.Entry
	Ref    Ref
	Source string
	Age    string
	// Days, of today's copy; zero: none in the copy, or not known yet.
	LastVisit, NextVisit time.Time
	Changed              bool // by the last run
}

// A ChartHead is what stands on every page of a chart.
type ChartHead struct {
	Ref     Ref
	AsOf    string // as Place.AsOf
	Source  string
	Several bool // there are several EMRs
	Banner  chart.Banner
	Copy    string   // which copy is shown, in words
	Notices []string // what must not be overlooked
	Plain   string   // that some records are not as FHIR says; "": all are
	Tabs    []ChartTab
	Days    []time.Time // on which a copy was made, newest first, at most 30
	Same    []SamePerson
	Records int // of the patient in the copy, with the Patient
	// Labelled is how many of these are labelled sensitive and not shown to who looks.
	Labelled int
}

// A ChartTab is a page of the chart.
type ChartTab struct {
	Key     string // as in the address; "": the summary
	Title   string
	Records int // -1: it is no list of records
}

// A SamePerson is another patient record that may be of the same person.
type SamePerson struct {
	PatientRow
	Why string // in words
}

// A Chart is a patient's chart.
type Chart struct {
	ChartHead
	Whole *chart.Chart // no list of it is shortened
}
