package viewer

import (
	"context"
	"errors"
	"io"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/store/access"
)

// What a Backend answers with where it cannot do what a page asks. Any other error
// is a page with a number, and a line in the log.
var (
	// ErrNotFound says that there is no such run, month or account.
	ErrNotFound = errors.New("there is no such thing")
	// ErrLocked says that it needs the office key and nobody who may see charts is
	// signed in.
	ErrLocked = errors.New("the office copy is locked")
	// ErrBusy says that a run is under way, so that no other can be started.
	ErrBusy = errors.New("a run is under way")
	// ErrReadOnly says that this folder is only being looked at.
	ErrReadOnly = errors.New("this copy is only being looked at")
)

// A Refusal is an error whose words are for the person at the screen: what
// happened, whether anything is lost, and what to do next. It is shown above the
// form that was sent.
type Refusal struct{ Words string }

// Error implements error.
func (r *Refusal) Error() string { return r.Words }

// An Actor is who asks for something. Whatever changes something journals it with
// these.
type Actor struct {
	Account string // sign-in name
	Display string // the person's name
	Role    access.Role
	Address string
	Request string // number of the request, as on error pages
	Charts  bool   // may see charts now
	// Sensitive says that who asks may see what is labelled sensitive now.
	Sensitive bool
	// Emergency is the ID of the emergency access that is in force; "" if none is. What is
	// journalled carries it.
	Emergency string
}

// A Backend is everything that the pages show and do. Its methods may be called
// from many goroutines, return at once (they start work, they do not do it; but
// for tests of a connection or a place), and return structs that the pages may keep. A
// number that is not known is -1, a time that is not known is zero, and the page
// then says so.
type Backend interface {
	Overview
	Runs
	Held
	Jobs
	Scheduler
	SecondCopies
	Holdings
	Searches
	Months
	Administration
	AccessLog
	AccessReports
	Wizard
	Charts
	Records
	ChartDocuments
	Giving
	Hiding
	Downtimes
}

// Overview is what Home needs, and the status in the top bar of each page.
type Overview interface {
	// Status is asked for on every page: it must be quick, and it must not wait for
	// a run.
	Status(context.Context) (Status, error)
	Home(context.Context) (Home, error)
	Restored(context.Context) (Restored, error)
}

// A Status is the state of the copy.
type Status struct {
	health.Status
	Copy  time.Time // of the last complete, verified copy; zero: there is none
	Tried time.Time // end of the last run, whatever it came to; zero: there was none
	Next  time.Time // next due run; zero: none is planned
}

// Home is what the start page shows.
type Home struct {
	Status  Status
	Days    []Day // 90, the oldest first
	Totals  Totals
	Runs    []RunLine       // the last five, newest first
	Changes []SettingChange // of the last seven days, newest first
}

// Restored says that this computer has taken over a copy that came back; the zero one,
// that it made the copy itself.
type Restored struct {
	Since  time.Time
	SignIn []SignInAgain // EMRs of which this computer has no key or secret
}

// A SignInAgain is an EMR to be signed in to again, and the command for it.
type SignInAgain struct{ Source, Command string }

// A DayState is what came of a day.
type DayState string

// The states of a day: no run expected is not a run missed.
const (
	DayComplete DayState = "complete"
	DayGaps     DayState = "complete with gaps"
	DayHeld     DayState = "held"
	DayFailed   DayState = "failed"
	DayNone     DayState = "none expected"
	DayMissing  DayState = "missing"
)

// A Day is one square of the strip: the worst that its last run of each source came
// to.
type Day struct {
	Date  time.Time // any moment of the day
	State DayState
	Run   uint32 // of the run; 0: none
}

// Totals are what the office copy holds; -1 for what is not known.
type Totals struct {
	Patients  int   `json:"patients"`
	Records   int   `json:"records"`
	Documents int   `json:"documents"`
	Bytes     int64 `json:"bytes"` // on this disk
	// What came since yesterday; they may be negative. Known tells whether they
	// could be found.
	Known         bool      `json:"-"`
	MorePatients  int       `json:"-"`
	MoreRecords   int       `json:"-"`
	MoreDocuments int       `json:"-"`
	MoreBytes     int64     `json:"-"`
	AsOf          time.Time `json:"asOf,omitzero"`
	Run           uint32    `json:"run,omitempty"` // whose report holds the numbers; 0: none
}

// A RunLine is a run in a list.
type RunLine struct {
	Number                uint32
	Source, Kind          string
	Verdict               string // complete, complete with gaps, held, interrupted, failed; "": under way or broken off
	Running               bool
	Started, Ended        time.Time
	New, Changed, Removed int
	Bytes                 int64
	Requests, Retries     int
	Gaps                  int
}

// A SettingChange is a change of a setting, key, account or decision.
type SettingChange struct {
	At   time.Time `json:"at"`
	Who  string    `json:"who"`
	What string    `json:"what"` // in words
}

// Runs is what the pages of Backups and the run report need.
type Runs interface {
	// Runs returns the runs before a number (0: the newest), newest first, at most
	// n, and how many there are in all.
	Runs(ctx context.Context, before uint32, n int) (list []RunLine, all int, err error)
	Run(ctx context.Context, number uint32) (RunReport, error)
	// RunJSON returns the report as it stands in the signed archive.
	RunJSON(ctx context.Context, number uint32) ([]byte, error)
	Gaps(context.Context) (Gaps, error)
	Coverage(context.Context) ([]Coverage, error)
	// Changes adds up what changed at the vendor since a day.
	Changes(ctx context.Context, since time.Time) (Changes, error)
	Storage(context.Context) (Storage, error)
	// Damage returns what is damaged or lost in the office copy, as far as it was found.
	Damage(context.Context) (Damage, error)
}

// Damage is what is wrong with files of the office copy; the zero one is none.
type Damage struct {
	Found   time.Time // by the last check that found something
	Run     uint32    // its report; 0: it was found at the start
	Files   []string  // with what is wrong; at most 20
	All     int       // how many there are
	Harm    string    // which records, of how many patients, of which days: in words
	Lost    []Loss    // what was declared lost, newest first; at most 20
	AllLost int
}

// A Loss is a file that somebody has declared lost.
type Loss struct {
	File  string
	At    time.Time
	Run   uint32
	Again bool // what it held was fetched again
}

// A RunReport is what one run did.
type RunReport struct {
	RunLine
	Practice, Server string // Server is the EMR's software, as it names itself
	Full, Resumed    bool
	// Cause and Next say in words why it did not end well and what to do; "" if it
	// did.
	Cause, Next  string
	Phases       []Phase
	Types        []TypeRow
	Files, Pages int
	Wire         int64         // over the network
	Waited       time.Duration // because the EMR asked for it; <0: not known
	GapList      []Gap         // at most 100; RunLine.Gaps is how many there are
	ClosedGaps   int
	Notes        []string
	Person       string // who signed it off: of a drill
	Documents    Documents
	Followed     int // records read because others name them
	Withheld     int // records that the EMR does not let us read
	Dangling     int // records that others name and the EMR does not have
	Sample       health.Check
	Certificate  Certificate
}

// A Phase is one step of a run.
type Phase struct {
	Name           string
	Started, Ended time.Time
	Words          string
}

// A TypeRow is what a run did with one type of record.
type TypeRow struct {
	Type, Mode, Why                                         string
	Full, Asked                                             bool
	Announced, Lines, New, Changed, Unchanged, Removed, Bad int
	EMR, Here                                               int    // EMR is -1 where it cannot be told
	Basis                                                   string // how the EMR's number was found, in words
	Gap, Held, Reason                                       string
	Before, After                                           string // the cursor
}

// Documents are those that the records of a run name.
type Documents struct{ Wanted, Stored, Held, Missing, Waiting int }

// A Certificate is what makes a report provable.
type Certificate struct {
	Sum        string // SHA-256; "": the run has none
	Checkpoint string // file
	Root       string // short root of the archive
	Limits     []string
}

// A Gap is something the EMR has and we could not get.
type Gap struct {
	Source, Kind, Type, Ref, Reason string
	Since                           time.Time
	Tries                           int
}

// Gaps are the open ones.
type Gaps struct {
	List []Gap // at most 100, oldest first: more would not fit the page
	All  int
	Kind map[string]int
}

// A Coverage is what an EMR offers and what is here.
type Coverage struct {
	Source  string
	AsOf    time.Time
	Types   []CoveredType
	Outside []string
	Filed   string
}

// A CoveredType is one row of it.
type CoveredType struct {
	Type             string
	Offered, Granted bool
	Mode, Why        string
	EMR, Here        int // EMR is -1 where it cannot be told
	Missing          time.Time
	Reason           string
}

// Changes are what happened at the vendor.
type Changes struct {
	Since time.Time
	First bool // there was nothing but the first pull
	Types []ChangedType
}

// A ChangedType is one row of it.
type ChangedType struct {
	Source, Type                                 string
	New, Changed, Silent, Back, Removed, Waiting int
}

// Storage is how the disk fills.
type Storage struct {
	Folder      string
	Used        int64 // by the office copy
	Free, Total int64
	Reserve     int64 // what stays free
	PerMonth    int64 // growth; -1: not known yet
	DaysLeft    int   // -1: not known yet
	Months      []MonthSize
}

// A MonthSize is the size at the end of a month.
type MonthSize struct {
	Month time.Time
	Bytes int64
}

// Held is what waits for a decision.
type Held interface {
	// Held returns it; with examples only if the actor may see charts. If the
	// examples need the key and the copy is locked, they are left out and
	// HeldType.Locked is set.
	Held(context.Context, Actor) ([]HeldType, error)
	// Decide accepts or rejects what a run holds of a type.
	Decide(ctx context.Context, a Actor, run uint32, typ string, accept bool) error
}

// A HeldType is what a run holds of one type.
type HeldType struct {
	Run      uint32
	Source   string
	Type     string
	Why      string
	Since    time.Time
	Changed  int
	Removed  int
	Here     int       // records that are current
	Examples []Example // at most ten
	Locked   bool
}

// An Example is a record of those that are held.
type Example struct{ Ref, Before, After string }

// Jobs starts and stops work.
type Jobs interface {
	// RunNow starts a pull of every source; full compares every record.
	RunNow(ctx context.Context, a Actor, full bool) error
	VerifyNow(context.Context, Actor) error
	// Stop asks the job that runs to stop; what was stored is kept.
	Stop(context.Context, Actor) error
	Progress(context.Context) (Progress, error)
}

// A Progress is how far a job is.
type Progress struct {
	Running bool
	Kind    string // as that of the run
	Source  string
	Run     uint32 // of this one, or of the last that ended; 0: not known
	Started time.Time
	Words   string // what it does just now
	Done    int
	All     int    // -1: not known
	Unit    string // what Done counts: records, documents, MB
	PerSec  float64
	Left    time.Duration // <=0: not known
	Verdict string        // of the last that ended
	Ended   time.Time
}

// Scheduler shows and sets the schedule.
type Scheduler interface {
	Schedule(context.Context) (Schedule, error)
	// Preview returns what a text would mean, or a *Refusal.
	Preview(ctx context.Context, source, pull, full, verify string) (Plan, error)
	SetSchedule(ctx context.Context, a Actor, source, pull, full, verify string) error
	Pause(ctx context.Context, a Actor, until time.Time, why string) error
	Resume(context.Context, Actor) error
}

// A Schedule is the plans of all sources.
type Schedule struct {
	Plans  []Plan
	Paused time.Time // until when; zero: not paused
	By     string    // who paused it
	Zone   string
}

// A Plan is when one source is fetched.
type Plan struct {
	Source             string
	Pull, Full, Verify string      // as text, such as "daily 02:00"
	Words              string      // in words
	Next               []time.Time // the next five pulls
	Buys               string      // what it buys
	Note               string      // of a vendor's rule or a night when the clock changes
}

// Months are the practice's reports.
type Months interface {
	// Months returns the months of which there is a report, newest first.
	Months(context.Context) ([]time.Time, error)
	Month(context.Context, time.Time) (MonthReport, error)
}

// A MonthReport is what happened in a month.
type MonthReport struct {
	Practice      string          `json:"practice"`
	Month         time.Time       `json:"month"`
	Made          time.Time       `json:"made"`
	Unfinished    bool            `json:"unfinished"` // the month is not over
	Due           int             `json:"runsDue"`    // pulls; -1, with OnTime: the schedule of then is not known
	OnTime        int             `json:"runsOnTime"`
	Complete      int             `json:"runsComplete"`
	WithGaps      int             `json:"runsWithGaps"`
	HeldRuns      int             `json:"runsHeld"`
	Failed        int             `json:"runsFailed"`
	LongestGap    time.Duration   `json:"-"` // between two complete copies; <0: not known
	LongestFrom   time.Time       `json:"longestFrom,omitzero"`
	LongestTo     time.Time       `json:"longestTo,omitzero"`
	Start         Totals          `json:"start"` // on the first day
	End           Totals          `json:"end"`   // on the last day
	New           int             `json:"recordsNew"`
	Changed       int             `json:"recordsChanged"`
	Removed       int             `json:"recordsGoneAtTheEMR"`
	Verifications []health.Check  `json:"verifications"`
	Decisions     []SettingChange `json:"decisions"`
	Alerts        []SettingChange `json:"alerts,omitempty"` // none: they are not known here
	OpenGaps      int             `json:"openGaps"`         // at the end; -1: not known
	Root          string          `json:"root"`
}

// Administration are the settings that a page may show and change.
type Administration interface {
	Settings(context.Context) (Settings, error)
	SetAlerts(context.Context, Actor, Alerts) error
	TestAlert(context.Context, Actor) (words string, err error)
	// TestConnection signs in to the EMR and looks what it offers, step by step. It
	// may take as long as ctx lives.
	TestConnection(ctx context.Context, a Actor, source string) ([]Step, error)
}

// Settings are those that the pages show.
type Settings struct {
	Practice    string
	Connections []Connection
	Alerts      Alerts
	Folder      string
	File        string // the settings file
	Version     string
	Address     string       // that the pages are served on
	Fingerprint string       // of the TLS certificate; "": none
	Recovery    health.Check // when the recovery sheet was last proven
	Mail        string       // how mail is sent, in words; "": not set up
}

// A Connection is one EMR.
type Connection struct {
	Source, Base, Auth, ClientID, Level, Group string
	Mode                                       string
	SignIn                                     health.Check
}

// Alerts say who is told.
type Alerts struct {
	Mail []string // addresses
	Ping string   // address that is called after each good run, so that silence is noticed
}

// A Step is one step of a test.
type Step struct {
	Name  string
	State string // good, warning, failed, not reached
	Words string
}

// An AccessLog is who did what.
type AccessLog interface {
	// Log returns lines before a number (0: the newest), newest first, at most n. A
	// page may have no line though there are older ones: More says so. If older lines
	// need the key and the copy is locked, LogPage.Locked is set; if there is nothing
	// else to show, it is ErrLocked. Somebody whose role does not have the scope gets
	// ErrNotFound.
	Log(ctx context.Context, a Actor, scope LogScope, before uint64, n int) (LogPage, error)
}

// A LogScope is how much of the log somebody may see.
type LogScope string

// The scopes.
const (
	LogAll    LogScope = "all"    // every line
	LogSystem LogScope = "system" // lines of the system; no patient
	LogOwn    LogScope = "own"    // what the actor did
)

// A LogPage is some lines of it.
type LogPage struct {
	Lines []LogLine
	All   int          // lines of the scope; -1: not counted
	More  uint64       // before which number the next page begins; 0: none
	Chain health.Check // whether the chain of all lines is unbroken
	// Locked says that there are older lines, which can be read while somebody who may
	// see charts is signed in.
	Locked bool
}

// A LogLine is one event.
type LogLine struct {
	Number             uint64
	At                 time.Time
	Account, Address   string
	Code, What, Target string // What is Code in words; Target is a record or account; "" if hidden
	Note               string
}

// Wizard is the first run. Before there is an owner, only its pages answer.
type Wizard interface {
	// Setup says how far setup is; Home and the pages of setup ask for it.
	Setup(context.Context) (Setup, error)
	// CheckFolder says what is wrong with a folder, and how much room it has.
	CheckFolder(ctx context.Context, folder string) (Room, error)
	// CreateOwner makes the office copy in the folder and its first owner: the code
	// is looked at before anything else, and of two calls at once one fails with
	// access.ErrHasOwner. The errors are those of access.SetUp, or a *Refusal.
	CreateOwner(ctx context.Context, code string, o NewOwner) error
	// Sheet returns the recovery sheet as long as setup is not done, and which two
	// of its lines are asked for.
	Sheet(context.Context, Actor) (Sheet, error)
	// SheetPDF writes it as a page to print.
	SheetPDF(context.Context, Actor, io.Writer) error
	// ProveSheet takes the check letters of those lines.
	ProveSheet(ctx context.Context, a Actor, letters []string) error
	// Worksheet returns what a vendor asks for when an app is registered.
	Worksheet(context.Context) (Worksheet, error)
	// Connect stores the connection; TestConnection tests it.
	Connect(context.Context, Actor, NewConnection) error
	// Finish ends setup and starts the first pull.
	Finish(context.Context, Actor) error
	// Skip goes on without a step that can be done later: emr, schedule, alerts.
	Skip(ctx context.Context, a Actor, step string) error
}

// A Setup is how far the first run is.
type Setup struct {
	Owner    bool // there is one
	Sheet    bool // the recovery sheet was proven
	EMR      bool // a connection was stored and tested
	Plan     bool // a schedule was chosen
	Alert    bool // somebody is told
	Done     bool
	Rescue   bool   // a code waits with which one more owner is made at this computer
	Made     bool   // the office copy is there already: it was made with init
	Practice string // its name, if it is there
	Folder   string // proposed, or chosen
	Skipped  map[string]bool
}

// A Room is a folder and the disk below it.
type Room struct {
	Folder      string
	Free, Total int64
	Words       string // what is to be said about it; "": nothing
}

// A NewOwner is the first account.
type NewOwner struct {
	Practice, Folder        string
	Name, Display, Password string
	Address                 string // where the form was sent from
}

// A Sheet is the recovery sheet.
type Sheet struct {
	Practice, Mirror string
	Made             time.Time
	Lines            []SheetLine
	Ask              []int // the two lines asked for, from 1
}

// A SheetLine is one line of the key.
type SheetLine struct {
	Number      int
	Text, Check string
}

// A Worksheet is what the vendor asks for.
type Worksheet struct {
	Source    string // what the EMR is called here: the key is made under that name
	PublicKey string // JWKS
	Scopes    []string
	Rows      [][2]string // question, answer
}

// A NewConnection is what the person types.
type NewConnection struct {
	Source, Base, ClientID, Auth, Secret, Group string
	Local                                       bool   // the EMR is on the office network
	CA                                          string // certificate authority to trust, PEM; "": the system's
}
