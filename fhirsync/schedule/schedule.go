// Package schedule says when things run: due times by the practice's clock, one
// run after a power-off or a sleep, never two of a source at once.
//
// Everything but Run is a pure function of a Plan, what is stored of its job and
// the time. The package knows nothing of FHIR, of files or of pages, and keeps
// nothing itself: the caller stores a State for every job.
//
// Two promises about the two odd nights of the year. A time of day that the clock
// jumps over in spring is due once, at the moment of the jump. A time of day that
// comes twice in autumn is due once, the first time.
//
// The time zone data are built in (time/tzdata): a box without them, and every
// Windows, keeps the same hours.
package schedule

import (
	"errors"
	"fmt"
	"time"
	_ "time/tzdata" // zones must not depend on what is installed
)

// A Kind is what runs. The package gives a meaning to none of them.
type Kind string

// The kinds that a practice has.
const (
	Pull    Kind = "pull"    // what changed at the source
	Full    Kind = "full"    // the source compared whole; answers a pull too
	Verify  Kind = "verify"  // the next thirtieths of the mirror, see Slices
	Compare Kind = "compare" // the index against the archive
	Weekly  Kind = "weekly"  // the report of one line
	Monthly Kind = "monthly" // the report of the practice
	Pack    Kind = "pack"    // the journal into a part, see PackDue
	Holding Kind = "holding" // what is new in a folder of files
	// Downtime is the sheet for a day without an EMR: it has a calendar, and is made once
	// somebody has the key, see Options.Watch.
	Downtime Kind = "downtime"
	// What is done with a second copy; Job.Source is its name.
	Copy      Kind = "copy"       // bring it up to date
	CopyCheck Kind = "copy check" // read the next thirtieth of it
	CopyTest  Kind = "copy test"  // may it be removed there; when a person asks only
	Drill     Kind = "drill"      // bring it back with the sheet that a person has typed
)

// A Job is one thing that runs: a kind, of one source or, with Source "", of the
// whole mirror.
type Job struct {
	Source string `json:"source,omitempty"`
	Kind   Kind   `json:"kind"`
}

// String returns "pull of main" or "verify".
func (j Job) String() string {
	if j.Source == "" {
		return string(j.Kind)
	}
	return string(j.Kind) + " of " + j.Source
}

// A Plan is when one job runs. It is a value; the zero Calendar never runs.
type Plan struct {
	Job      Job
	Calendar Calendar
	// Zone is the practice's. Required.
	Zone *time.Location
	// Lane: jobs of one lane never run at the same time. "" means the source.
	Lane string
	// Covers are the kinds of the same source that a run of this job answers as
	// well: when both are due, only this one runs.
	Covers []Kind
	// Rule, if set, is a vendor's published rule: due times outside its window
	// are moved to where the window opens. It is the only thing that moves a due
	// time; a quiet window without a rule never does.
	Rule *Rule
}

// A Rule is a vendor's published rule on when its server may be asked.
type Rule struct {
	Name   string // as a page shows it: "Example EMR, terms of use 4.2"
	From   Clock
	To     Clock  // before From: it goes over midnight
	Source string // where it is published
}

// Check says in words what is wrong with a plan, or nil.
func (p Plan) Check() error {
	switch {
	case p.Job.Kind == "":
		return errors.New("a plan needs a kind of job")
	case p.Zone == nil:
		return fmt.Errorf("the plan for %s needs a time zone", p.Job)
	case p.Rule != nil && p.Rule.Name == "":
		return fmt.Errorf("the plan for %s is bound by a rule without a name; a rule must say whose it is", p.Job)
	case p.Rule != nil && p.Rule.From == p.Rule.To:
		return fmt.Errorf("the rule %q allows no time at all", p.Rule.Name)
	}
	return p.Calendar.check()
}

// id is what of a plan decides when: if it changes, the plan has changed.
func (p Plan) id() string {
	text := p.Calendar.String() + " | " + p.Zone.String()
	if p.Rule != nil {
		text += " | " + p.Rule.window().String()
	}
	return text
}

func (p Plan) lane() string {
	if p.Lane == "" {
		return p.Job.Source
	}
	return p.Lane
}

// Default returns the plans that a source starts with: pulled every night, compared
// whole on Sundays, both inside Quiet.
func Default(source string, zone *time.Location) []Plan {
	nightly := Calendar{{Days: Daily, At: []Clock{At(2, 0)}}}
	sundays := Calendar{{Days: On(time.Sunday), At: []Clock{At(2, 0)}}}
	return []Plan{
		{Job: Job{source, Pull}, Calendar: nightly, Zone: zone},
		{Job: Job{source, Full}, Calendar: sundays, Zone: zone, Covers: []Kind{Pull}},
	}
}

// DefaultMirror returns the plans that belong to the mirror and not to a source.
// The journal's packing has a lane of its own, so that a long verification does
// not hold it up.
func DefaultMirror(zone *time.Location) []Plan {
	plan := func(k Kind, e Entry) Plan {
		return Plan{Job: Job{Kind: k}, Calendar: Calendar{e}, Zone: zone}
	}
	return []Plan{
		plan(Verify, Entry{Days: Daily, At: []Clock{At(4, 0)}}),
		plan(Compare, Entry{Days: On(time.Saturday), At: []Clock{At(5, 0)}}),
		plan(Weekly, Entry{Days: On(time.Monday), At: []Clock{At(7, 0)}}),
		plan(Monthly, Entry{Month: 1, At: []Clock{At(7, 0)}}),
		{Job: Job{Kind: Pack}, Zone: zone, Lane: string(Pack)},
	}
}

// Zone returns the time zone of that name; "" and "Local" are the computer's own.
func Zone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return time.Local, nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is no time zone; write one like America/New_York or Europe/Berlin", name)
	}
	return loc, nil
}
