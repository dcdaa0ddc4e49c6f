package viewer

import (
	"context"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
)

// SecondCopies shows and keeps the second copies, and proves that they come back.
type SecondCopies interface {
	SecondCopies(context.Context) ([]SecondCopy, error)
	// AddCopy tests a place and sets it up. For a server that speaks SFTP of which
	// NewCopy.HostKey is empty it sets nothing up, and returns what a person has to
	// compare and to give to the server's operator.
	AddCopy(context.Context, Actor, NewCopy) (Greeting, error)
	// AnswerForCopy keeps the answers that are not empty.
	AnswerForCopy(ctx context.Context, a Actor, name string, answers Answers) error
	// StartCopy has something done with a copy.
	StartCopy(ctx context.Context, a Actor, name string, what CopyWork) error
	// CopyOut looks what is on a disk, and says whether it can be taken out.
	CopyOut(ctx context.Context, name string) (words []string, err error)
	Drills(context.Context) (Drills, error)
	// StartDrill begins a drill with the lines that were typed from the sheet. They are
	// kept nowhere.
	StartDrill(ctx context.Context, a Actor, name, sheet string) error
}

// A CopyWork is what can be done with a second copy.
type CopyWork string

// What can be done with one.
const (
	CopyNow   CopyWork = "now"   // bring it up to date
	CopyCheck CopyWork = "check" // compare it, and read a thirtieth of it
	CopyTest  CopyWork = "test"  // try what else could be done there
)

// A SecondCopy is how one stands.
type SecondCopy struct {
	Name, Where string
	Kind        string // folder, sftp, s3
	State       health.Check
	Complete    time.Time // when it held everything last; zero: never
	Tried       time.Time // end of the last try; zero: never
	Trouble     string    // why it came to nothing; "": it did not
	There       int       // files there at its end; -1: not known
	Files       int       // that belong there
	Apart       []string  // large files that do not belong there by choice, in words
	Run         uint32    // of the last try; 0: none
	Running     bool
	Next        time.Time // zero: nothing is planned
	Times       string    // when it is brought up to date, in words
	Disks       int       // that take turns
	Disk        string    // which was there last
	DiskSince   time.Time
	Stays       bool // it should be changed
	Own         bool // a disk of the practice's: nobody else has to agree to anything
	Answers     Answers
	Tested      time.Time // zero: never
	Weak        bool
	TestWords   string
	TestTrouble string // why the last test could not be made
	Checked     time.Time
	CheckRun    uint32
	CheckGood   bool
	CheckWords  string
	Wrong       []string // files that are not what they must be; at most 20
	AllWrong    int
}

// Answers say whose a place is (P146).
type Answers struct {
	Ours      string // "practice", or whose account it is
	Deletes   string // "nobody", or who else can delete what lies there
	Agreement string // day of the agreement with whoever keeps it, as 2026-03-01
}

// A NewCopy is what a person types for a new place: one of Folder, SFTP and S3.
type NewCopy struct {
	Name              string
	Folder            string
	Disks             int
	SFTP, HostKey     string
	S3, Region        string
	AccessKey, Secret string // Secret is also the password of an SFTP account; "": a key of our own
	Answers
}

// A Greeting is what an SFTP server shows, and what its operator needs. The zero one
// says that the place is set up.
type Greeting struct{ Fingerprint, KeyLine string }

// Drills are the proofs that a second copy comes back.
type Drills struct {
	State    health.Check // of the last; Stale: overdue
	Due      time.Time    // when the next one is overdue; zero: none was ever made
	List     []DrillLine  // newest first, at most ten
	All      int
	Copies   []string // that can be tried
	Needs    int64    // bytes that the copy takes for the time being
	Free     int64    // bytes that are free for it
	Failed   string   // why the last try could not be made; "": it was
	FailedAt time.Time
}

// A DrillLine is one of them.
type DrillLine struct {
	Run          uint32
	At           time.Time
	Copy, Person string
	Passed       bool
	Took         time.Duration
}
