// Package health says how good the copy is: one word and one sentence, as a pure
// function of facts.
//
// Every place that shows the state (command, page, mail, status file) shows what
// Judge returns, so that all show the same. Unknown is never good; a run that is
// under way improves nothing; what does not exist yet is "not set up". The package
// reads nothing: who calls it gathers the facts.
package health

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Word is the state of the copy.
type Word string

// The words, from good to bad, but for New and Paused, which say what is to be
// done and nothing of how good the copy is.
const (
	New     Word = "new"     // there never was a complete copy, and nothing went wrong yet
	Paused  Word = "paused"  // a person has paused the schedule
	Good    Word = "good"    // complete, on time, verified, and held twice
	Warning Word = "warning" // complete, but something is not as it should be
	Overdue Word = "overdue" // the copy is older than the schedule allows
	Failed  Word = "failed"  // the last run failed, or the copy is damaged
)

// Badness orders the words: what is higher wins.
func (w Word) Badness() int {
	return slices.Index([]Word{Good, New, Warning, Paused, Overdue, Failed}, w)
}

// An Answer is what is known of a fact.
type Answer string

// The answers. The zero Answer is Unknown.
const (
	Unknown  Answer = ""
	Yes      Answer = "yes"
	No       Answer = "no"
	Stale    Answer = "stale"      // it was true when it was last looked at, which is too long ago
	NotSetUp Answer = "not set up" // there is nothing that could be looked at
)

// A Check is one thing that was looked at, and when.
type Check struct {
	Answer Answer    `json:"answer"`
	At     time.Time `json:"at,omitzero"`
	Words  string    `json:"words,omitempty"` // what was found, for a person
	Link   string    `json:"link,omitempty"`  // page with the evidence
}

// A Source is how the copy of one EMR stands.
type Source struct {
	Name string `json:"name"`
	// Ran says that a run has ended; Verdict and Ended are those of the last.
	Ran     bool      `json:"ran"`
	Verdict string    `json:"verdict,omitempty"`
	Ended   time.Time `json:"ended,omitzero"`
	// Copy is the last complete copy that was compared with what the EMR announced
	// or counts; AsOf is up to when it holds what the EMR held.
	Copy    time.Time `json:"copy,omitzero"`
	AsOf    time.Time `json:"asOf,omitzero"`
	Running bool      `json:"running"`
	Next    time.Time `json:"next,omitzero"` // next due run; zero: none is planned
	Overdue bool      `json:"overdue"`
	Held    int       `json:"held"` // types that wait for a decision
	Gaps    int       `json:"gaps"`
	Oldest  time.Time `json:"oldestGap,omitzero"`
}

// A Holding is files that are kept unchanged beside the records.
type Holding struct {
	Name   string    `json:"name"`
	Files  int       `json:"files"`
	Newest time.Time `json:"newest,omitzero"` // zero: nothing came yet
	Wrong  string    `json:"wrong,omitempty"` // what is wrong with it, as a sentence
}

// The facts of an Input, by their number on the Home page.
const (
	RunFinished   = iota // the last run finished
	CountsMatch          // counts match the EMR's
	SampleMatches        // a random sample, fetched again, matched
	ChainIntact          // every byte that was looked at is what was written
	Documents            // attachments are present and can be read
	SecondCopy           // the second copy is current
	Drill                // a restore was tried within 90 days
	SignIn               // the sign-in works and will go on working
	DiskLasts            // the disk will last for more than 60 days
	FactCount
)

// factNames say each fact in words.
var factNames = [FactCount]string{"The last run finished", "Counts match the EMR's", "A sample that was fetched again matched",
	"The archive is intact", "Documents are here and can be read", "The second copy is current",
	"A restore was tried within 90 days", "The sign-in to the EMR works", "The disk lasts for more than 60 days"}

// An Input is everything that is known.
type Input struct {
	Now      time.Time        `json:"now"`
	Zone     *time.Location   `json:"-"` // the practice's; nil: local
	Practice string           `json:"practice"`
	Sources  []Source         `json:"sources"`
	Facts    [FactCount]Check `json:"facts"`
	// Rolling says that every byte was read within 30 days; Decrypted that
	// everything was decrypted within 90 (I12).
	Rolling, Decrypted Check
	Holdings           []Holding `json:"holdings,omitempty"`   // files that are kept beside the records
	Schedule           Check     `json:"schedule"`             // a schedule is set
	Alerts             Check     `json:"alerts"`               // somebody is told
	PausedUntil        time.Time `json:"pausedUntil,omitzero"` // zero: not paused
	Damage             []string  `json:"damage,omitempty"`     // what was found damaged
	Wrong              []string  `json:"wrong,omitempty"`      // what else is wrong: clock, folder, disk
	Due                []string  `json:"due,omitempty"`        // what a person should do, though nothing is wrong
}

// A Fact is one fact as it is shown.
type Fact struct {
	Name string `json:"name"`
	Check
	Word Word `json:"word"` // good, warning or failed
}

// A Status is what is shown.
type Status struct {
	Word     Word     `json:"word"`
	Sentence string   `json:"sentence"`
	Running  bool     `json:"running"`        // said beside the word, never instead of it
	Loss     string   `json:"loss,omitempty"` // what would be lost if the EMR vanished now
	Facts    []Fact   `json:"facts"`          // the nine
	Todo     []string `json:"todo,omitempty"` // what a person should do, most urgent first
	NotSetUp []string `json:"notSetUp,omitempty"`
	// Beside says what is kept beside the records; "" if nothing is.
	Beside string `json:"beside,omitempty"`
}

// Judge returns the status: a pure function.
func Judge(in Input) Status {
	if in.Zone == nil {
		in.Zone = time.Local
	}
	s := Status{Word: Good}
	j := &judge{in: in, s: &s}
	j.facts()
	j.others()
	j.sources()
	j.sentence()
	s.Loss = j.loss()
	s.Beside = j.beside()
	return s
}

// A judge gathers a status.
type judge struct {
	in   Input
	s    *Status
	why  []string // the sentences for the word so far, those of the worst only
	copy time.Time
}

// say notes a reason for a word; a worse word takes the place of the reasons for
// a better one.
func (j *judge) say(w Word, why string) {
	switch b, now := w.Badness(), j.s.Word.Badness(); {
	case b > now:
		j.s.Word, j.why = w, []string{why}
	case b == now && why != "":
		j.why = append(j.why, why)
	}
}

func (j *judge) todo(format string, a ...any) { j.s.Todo = append(j.s.Todo, fmt.Sprintf(format, a...)) }

// facts judges the nine: the first four are about whether there is a copy, the
// others about whether it will help.
func (j *judge) facts() {
	for i, c := range j.in.Facts {
		f := Fact{Name: factNames[i], Check: c, Word: Good}
		if c.Answer != Yes {
			f.Word = Warning
			if c.Answer == No && i <= ChainIntact {
				f.Word = Failed
			}
		}
		if f.Word != Good {
			j.say(f.Word, f.words(i))
		}
		if c.Answer == NotSetUp {
			j.s.NotSetUp = append(j.s.NotSetUp, missingName(i))
		}
		j.s.Facts = append(j.s.Facts, f)
	}
}

// missingName names what does not exist yet.
func missingName(i int) string {
	switch i {
	case SecondCopy:
		return "a second copy elsewhere"
	case Drill:
		return "restore drills"
	}
	return lower(factNames[i])
}

// words say a fact that is not as it should be.
func (f Fact) words(i int) string {
	switch f.Answer {
	case NotSetUp:
		return "not set up: " + missingName(i)
	case No:
		if f.Words != "" {
			return f.Words
		}
		return "not so: " + lower(f.Name)
	case Stale:
		return "too long ago to rely on: " + lower(f.Name)
	}
	return "not known: whether " + lower(f.Name)
}

func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// others judges what is beside the nine facts.
func (j *judge) others() {
	for _, d := range j.in.Damage {
		j.say(Failed, "damage was found: "+d)
		j.todo("Damage was found: %s", d)
	}
	for _, w := range j.in.Wrong {
		j.say(Failed, w)
		j.todo("%s", w)
	}
	for _, d := range j.in.Due {
		j.todo("%s", d)
	}
	for _, c := range []struct {
		name string
		Check
	}{{"every byte was read within 30 days", j.in.Rolling}, {"everything was decrypted and checked within 90 days", j.in.Decrypted},
		{"a schedule", j.in.Schedule}, {"somebody who is told when something goes wrong", j.in.Alerts}} {
		switch c.Answer {
		case Yes:
		case NotSetUp:
			j.say(Warning, "not set up: "+c.name)
			j.s.NotSetUp = append(j.s.NotSetUp, c.name)
		case No:
			j.say(Warning, "not so: "+c.name)
		default:
			j.say(Warning, "not known: "+c.name)
		}
		if c.Words != "" && c.Answer != Yes && c.Answer != NotSetUp {
			j.todo("%s%s.", strings.ToUpper(c.Words[:1]), c.Words[1:])
		}
	}
	for _, h := range j.in.Holdings {
		if h.Wrong != "" {
			j.say(Warning, lower(strings.TrimSuffix(h.Wrong, ".")))
			j.todo("%s See: chartcellar holding list", h.Wrong)
		}
	}
	if until := j.in.PausedUntil; until.After(j.in.Now) {
		j.say(Paused, "the schedule is paused until "+j.day(until))
	}
}

// sources judges each EMR, and finds the oldest of their copies.
func (j *judge) sources() {
	if len(j.in.Sources) == 0 {
		j.say(Warning, "")
		j.todo("Connect the EMR.")
	}
	for _, src := range j.in.Sources {
		j.s.Running = j.s.Running || src.Running
		j.source(src)
	}
}

func (j *judge) source(src Source) {
	switch {
	case src.Copy.IsZero():
		j.copy = time.Time{}
	case j.copy.IsZero() || src.Copy.Before(j.copy):
		j.copy = src.Copy
	}
	if src.Held > 0 {
		j.say(Warning, fmt.Sprintf("%s: %d kinds of records wait for your decision", src.Name, src.Held))
		j.todo("%s: decide about %d kinds of records that look wrong.", src.Name, src.Held)
	}
	if src.Gaps > 0 {
		j.say(Warning, fmt.Sprintf("%s: %d things could not be had, the oldest since %s", src.Name, src.Gaps, j.day(src.Oldest)))
	}
	switch {
	case !src.Ran && src.Copy.IsZero():
		j.say(Warning, src.Name+" was never pulled")
	case src.Verdict == "failed", src.Verdict == "interrupted":
		j.say(Failed, fmt.Sprintf("the last run of %s, on %s, %s", src.Name, j.day(src.Ended), map[string]string{
			"failed": "failed", "interrupted": "was broken off"}[src.Verdict]))
		j.todo("%s: look at the last run: chartcellar runs show", src.Name)
	case src.Verdict != "complete":
		j.say(Warning, fmt.Sprintf("the last run of %s ended as %s", src.Name, src.Verdict))
	}
	if src.Overdue {
		j.say(Overdue, "the copy of "+src.Name+" is older than your schedule allows")
		j.todo("%s is overdue: is the computer on, and the network?", src.Name)
	}
}

// sentence makes the one sentence.
func (j *judge) sentence() {
	never := len(j.in.Sources) == 0 || slices.ContainsFunc(j.in.Sources, func(s Source) bool { return s.Copy.IsZero() })
	ran := slices.ContainsFunc(j.in.Sources, func(s Source) bool { return s.Ran })
	if never && !ran && j.s.Word.Badness() <= Warning.Badness() {
		j.s.Word, j.s.Sentence = New, "There is no copy of your records yet."
		if len(j.in.Sources) == 0 {
			j.s.Sentence = "No EMR is connected yet; there is no copy of your records."
		}
		return
	}
	copy := "There is NO complete copy of your records yet"
	if !never {
		copy = fmt.Sprintf("The last complete copy is of %s, %s old", j.day(j.copy), Age(j.in.Now.Sub(j.copy)))
	}
	why := ""
	if len(j.why) > 0 {
		why = j.why[0]
		if n := len(j.why) - 1; n > 0 {
			why += fmt.Sprintf(" (and %d more)", n)
		}
	}
	switch j.s.Word {
	case Good:
		j.s.Sentence = fmt.Sprintf("Your records are safe: a complete, verified copy of %s, %s old.", j.day(j.copy), Age(j.in.Now.Sub(j.copy)))
	default:
		j.s.Sentence = fmt.Sprintf("%s; %s.", copy, why)
	}
}

// loss says what the EMR alone holds.
func (j *judge) loss() string {
	var oldest time.Time
	for _, s := range j.in.Sources {
		if s.AsOf.IsZero() {
			return "If the EMR vanished now, you would lose everything that was not copied: there is no complete copy."
		}
		if oldest.IsZero() || s.AsOf.Before(oldest) {
			oldest = s.AsOf
		}
	}
	if oldest.IsZero() {
		return ""
	}
	return fmt.Sprintf("If the EMR vanished now, you would lose what was written since %s (%s).", j.day(oldest), Age(j.in.Now.Sub(oldest)))
}

// beside says what is kept beside the records, and that nobody can vouch for what is in
// it.
func (j *judge) beside() string {
	var names []string
	files, newest := 0, time.Time{}
	for _, h := range j.in.Holdings {
		if h.Files == 0 {
			continue
		}
		names = append(names, h.Name)
		files += h.Files
		if h.Newest.After(newest) {
			newest = h.Newest
		}
	}
	if files == 0 {
		return ""
	}
	unit := "files"
	if files == 1 {
		unit = "file"
	}
	return fmt.Sprintf("Beside the records %d %s are kept (%s), the newest of %s. We keep them unchanged; we cannot see inside.",
		files, unit, strings.Join(names, ", "), j.day(newest))
}

// day writes a time as people say it: with the hour if it is of today or
// yesterday.
func (j *judge) day(t time.Time) string {
	if t.IsZero() {
		return "an unknown day"
	}
	t, now := t.In(j.in.Zone), j.in.Now.In(j.in.Zone)
	switch {
	case t.YearDay() == now.YearDay() && t.Year() == now.Year():
		return "today " + t.Format("15:04")
	case t.After(now.AddDate(0, 0, -2)) && t.Before(now):
		return t.Format("Monday 15:04")
	}
	return t.Format("2006-01-02 15:04")
}

// Age writes a span as people say it.
func Age(d time.Duration) string {
	switch {
	case d < 0:
		return "0 min"
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
