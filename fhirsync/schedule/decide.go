package schedule

import (
	"errors"
	"time"
)

// A State is what is stored of a job, and all that is: due times are worked out
// from it after every start.
type State struct {
	Began   time.Time `json:"began,omitzero"`   // the last run; zero: never, or not known
	Ended   time.Time `json:"ended,omitzero"`   // when the last finished run ended
	Success time.Time `json:"success,omitzero"` // when the last run that succeeded began
	Due     time.Time `json:"due,omitzero"`     // the newest due time that a run has answered
	// Open: the run that began was not seen to end.
	Open bool `json:"open,omitempty"`
	// Resumed: that run went on with one that was cut off. It is gone on with
	// once; if it is cut off again, the next due time is waited for.
	Resumed bool      `json:"resumed,omitempty"`
	Again   time.Time `json:"again,omitzero"` // the last run asked for another one then
	Asked   time.Time `json:"asked,omitzero"` // a person asked for a run then
	Pause   Pause     `json:"pause,omitzero"`
	// Since is when the plan was made or last changed: what was due before is not
	// caught up. Plan is that plan. The Scheduler fills both in.
	Since time.Time `json:"since,omitzero"`
	Plan  string    `json:"plan,omitempty"`
}

// A Pause holds due times back until it ends; then one run answers them.
type Pause struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	By    string    `json:"by,omitempty"`
	Why   string    `json:"why,omitempty"`
}

const maxPause = 366 * 24 * time.Hour

// NewPause makes a pause that begins now. It refuses one without an end, with an
// end that is past, and one of more than a year.
func NewPause(now, until time.Time, by, why string) (Pause, error) {
	switch {
	case until.IsZero():
		return Pause{}, errors.New("a pause needs an end; say until when")
	case !until.After(now):
		return Pause{}, errors.New("the end of the pause is already past")
	case until.Sub(now) > maxPause:
		return Pause{}, errors.New("a pause may last a year at most")
	}
	return Pause{From: now, Until: until, By: by, Why: why}, nil
}

// Active reports whether the pause holds at that time. A clock that was set to
// before its beginning ends it: it would last for years.
func (p Pause) Active(now time.Time) bool {
	return now.After(p.From.Add(-slack)) && now.Before(p.Until)
}

// slack is how far the clock may be set back unnoticed: due times that a run has
// answered within it stay answered.
const slack = 10 * time.Minute

// late is how long after its due time a run counts as caught up.
const late = 2 * time.Minute

// A Reason is why a run starts.
type Reason string

// The reasons.
const (
	Due     Reason = "due"       // its time has come
	Missed  Reason = "caught up" // the computer was off or asleep, or another run took long
	CutOff  Reason = "cut off"   // the last run did not end: it is gone on with
	Asked   Reason = "asked for" // by a person
	Again   Reason = "again"     // the last run asked for it
	Unknown Reason = "unknown"   // nothing is known of an earlier run
	SetBack Reason = "clock"     // the last run lies in the future: the clock was wrong, then or now
)

// A Decision is whether a job is to run now.
type Decision struct {
	Run bool
	Why Reason    // if Run
	Due time.Time // the newest due time that the run answers; zero if none
	// Answers is how many due times it answers; 100 means that or more.
	Answers int
	// Wake, if it is not to run, is when that changes by itself; zero is never.
	Wake time.Time
}

// Decide says whether a job that is not running is to run at this moment.
//
// However many due times were missed, one run answers them all. A person's wish
// goes before a pause and before a vendor's rule; nothing else does.
func Decide(p Plan, s State, now time.Time) Decision {
	if !s.Asked.IsZero() {
		d := p.answers(s, now)
		d.Run, d.Why = true, Asked
		return d
	}
	if s.Pause.Active(now) {
		return Decision{Wake: s.Pause.Until}
	}
	d := p.wants(s, now)
	if d.Run && p.Rule != nil {
		if open := p.Rule.window().into(now, p.Zone); open.After(now) {
			return Decision{Wake: open}
		}
	}
	return d
}

// wants is Decide without wishes, pauses and rules.
func (p Plan) wants(s State, now time.Time) Decision {
	d := p.answers(s, now)
	switch {
	case s.Began.After(now.Add(slack)) && len(p.Calendar) > 0:
		d = Decision{Why: SetBack} // what it answers is not known
	case s.Began.IsZero() && s.since(now).IsZero() && len(p.Calendar) > 0:
		d.Why = Unknown
	case s.Open && !s.Resumed:
		d.Why = CutOff
	case d.Answers > 1 || d.Answers == 1 && now.Sub(d.Due) > late:
		d.Why = Missed
	case d.Answers == 1:
		d.Why = Due
	case !s.Again.IsZero() && !s.Again.After(now):
		d.Why = Again
	default:
		return Decision{Wake: p.wake(s, now)}
	}
	d.Run = true
	return d
}

// since is Since, unless the clock was set to before it.
func (s State) since(now time.Time) time.Time {
	if s.Since.After(now.Add(slack)) {
		return time.Time{}
	}
	return s.Since
}

// answered is up to when due times are answered.
func (s State) answered(now time.Time) time.Time {
	last := s.since(now)
	for _, t := range []time.Time{s.Began, s.Due} {
		if t.After(last) && !t.After(now.Add(slack)) {
			last = t
		}
	}
	return last
}

// answers says which due times a run that begins now answers.
func (p Plan) answers(s State, now time.Time) (d Decision) {
	last := s.answered(now)
	due := p.Last(now)
	if due.IsZero() || !due.After(last) {
		return d
	}
	d.Due, d.Answers = due, 1
	if last.IsZero() {
		return d
	}
	if p.next(last).Before(due) { // several: counted, but not through years
		for i, t := range p.Next(last, 100) {
			if !t.After(due) {
				d.Answers = i + 1
			}
		}
	}
	return d
}

// wake is when wants changes by itself.
func (p Plan) wake(s State, now time.Time) time.Time {
	from := now
	if last := s.answered(now); last.After(from) {
		from = last
	}
	next := p.next(from)
	if !s.Again.IsZero() && (next.IsZero() || s.Again.Before(next)) {
		return s.Again
	}
	return next
}

// Upcoming returns the next n times at which the job will run, as far as is known:
// due times, and the end of a pause if one falls into it.
func Upcoming(p Plan, s State, now time.Time, n int) []time.Time {
	if !s.Pause.Active(now) {
		return p.Next(now, n)
	}
	until := s.Pause.Until
	var times []time.Time
	if due := p.Last(until); due.After(s.answered(now)) && n > 0 {
		times = append(times, until)
		if p.Rule != nil {
			times[0] = p.Rule.window().into(until, p.Zone)
		}
	}
	for _, t := range p.Next(until, n) {
		if len(times) < n && (len(times) == 0 || t.After(times[len(times)-1])) {
			times = append(times, t)
		}
	}
	return times
}
