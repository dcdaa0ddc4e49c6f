package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Start is what a run is told of itself.
type Start struct {
	Job Job
	At  time.Time
	Decision
}

// An Outcome is how a run ended.
type Outcome struct {
	Success bool
	// Again, if set, is when the run wants to be called again, before the next due
	// time: the EMR asked for it. A further Again replaces it.
	Again time.Time
}

// A Memory keeps states over restarts. Its methods are not called at the same time.
type Memory interface {
	// Load returns the state of a job, the zero State if nothing is stored.
	Load(Job) (State, error)
	// Save has stored the state when it returns nil.
	Save(Job, State) error
}

// Options are what a Scheduler works with.
type Options struct {
	Plans  []Plan
	Memory Memory
	// Do carries a run out and returns when it is over. Runs of different lanes
	// are made at the same time. When ctx ends it is to stop soon; it is then gone
	// on with after the next start.
	Do func(ctx context.Context, s Start) Outcome
	// Watch are kinds that have a rule of their own instead of a calendar: the
	// function returns when the job is due, or zero. It is asked every half
	// minute and after Wake.
	Watch map[Kind]func(now time.Time) time.Time
	// Now is the computer's clock; nil means time.Now. Timer fires once after a
	// while; nil means time.NewTimer.
	Now   func() time.Time
	Timer func(time.Duration) (fires <-chan time.Time, stop func() bool)
	Log   *slog.Logger // nil: none
}

// A Scheduler starts jobs when they are due. Its methods may be called from many
// goroutines, before, during and after Run.
type Scheduler struct {
	o    Options
	wake chan struct{}

	// mu covers what follows. It is held while a state is saved, so that states
	// are stored in the order in which they came about.
	mu    sync.Mutex
	jobs  []*job // those that cover others first
	lanes map[string]bool
}

// A job is a plan with its state.
type job struct {
	plan    Plan
	state   State
	running time.Time // zero: not running
	why     Reason
	fault   error     // the state could not be stored
	looked  time.Time // when decided last; zero: decide anew
	next    time.Time // Wake of that decision
	gone    bool      // the plan was taken away while it ran
}

// nap is the longest sleep between two looks at the clock: after the computer wakes
// up, or its clock is set, that long goes by until it is noticed.
const nap = 30 * time.Second

// New checks the plans and loads what is stored of their jobs.
func New(o Options) (*Scheduler, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Timer == nil {
		o.Timer = func(d time.Duration) (<-chan time.Time, func() bool) {
			t := time.NewTimer(d)
			return t.C, t.Stop
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Scheduler{o: o, wake: make(chan struct{}, 1), lanes: map[string]bool{}}
	return s, s.SetPlans(o.Plans)
}

// SetPlans puts new plans in the place of all old ones. A due time that was missed
// under the old plan of a job is still caught up; a run under way goes on. With an
// error nothing has changed.
func (s *Scheduler) SetPlans(plans []Plan) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	jobs := make([]*job, 0, len(plans))
	now := s.o.Now()
	for _, p := range plans {
		if err := p.Check(); err != nil {
			return err
		}
		if slices.ContainsFunc(jobs, func(j *job) bool { return j.plan.Job == p.Job }) {
			return fmt.Errorf("there are two plans for %s", p.Job)
		}
		j := &job{plan: p}
		if old := s.find(p.Job); old != nil {
			*j = *old
			j.plan, j.looked = p, time.Time{}
		} else if err := s.load(j); err != nil {
			return err
		}
		j.adopt(now)
		jobs = append(jobs, j)
	}
	slices.SortStableFunc(jobs, func(a, b *job) int { return len(b.plan.Covers) - len(a.plan.Covers) })
	for _, old := range s.jobs {
		old.gone = true
	}
	s.jobs = jobs
	for _, j := range s.jobs {
		s.save(j)
	}
	s.poke()
	return nil
}

// adopt notes that the plan is another one than that of the state. What was missed
// under the old one is asked for again.
func (j *job) adopt(now time.Time) {
	id := j.plan.id()
	if j.state.Plan == id {
		return
	}
	text, rest, _ := strings.Cut(j.state.Plan, " | ")
	zone, _, _ := strings.Cut(rest, " | ")
	old := Plan{Job: j.plan.Job, Zone: j.plan.Zone}
	if loc, err := Zone(zone); err == nil && zone != "" {
		old.Zone = loc
	}
	old.Calendar, _ = ParseCalendar(text) // none in a new state
	if j.running.IsZero() && old.answers(j.state, now).Answers > 0 {
		j.state.Again = now
	}
	j.state.Plan, j.state.Since = id, now
}

func (s *Scheduler) load(j *job) (err error) {
	if j.state, err = s.o.Memory.Load(j.plan.Job); err != nil {
		return fmt.Errorf("read what is stored of %s: %w", j.plan.Job, err)
	}
	return nil
}

// find returns the job or nil; mu is held.
func (s *Scheduler) find(k Job) *job {
	for _, j := range s.jobs {
		if j.plan.Job == k {
			return j
		}
	}
	return nil
}

func (s *Scheduler) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Wake has the schedule looked at now, as when the journal has grown.
func (s *Scheduler) Wake() { s.poke() }

// Run starts due jobs until ctx ends, then waits for those under way and returns
// nil. It may be called again, but not twice at the same time.
func (s *Scheduler) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		fires, stop := s.o.Timer(s.step(ctx, &wg))
		select {
		case <-ctx.Done():
		case <-fires:
		case <-s.wake:
		}
		stop()
	}
	return nil
}

// step starts what is due and returns how long nothing will be.
func (s *Scheduler) step(ctx context.Context, wg *sync.WaitGroup) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	wait := nap
	for _, asked := range []bool{true, false} { // a person's wish goes first
		for _, j := range s.jobs {
			if asked != !j.state.Asked.IsZero() || !j.running.IsZero() {
				continue
			}
			if s.lanes[j.plan.lane()] {
				continue // its end wakes us
			}
			if d := s.decide(j, now); d.Run {
				s.start(ctx, wg, j, Start{j.plan.Job, now, d})
			}
			if until := j.next.Sub(now); until > 0 {
				wait = min(wait, until)
			}
		}
	}
	return wait
}

// decide is Decide, spared while nothing can have changed.
func (s *Scheduler) decide(j *job, now time.Time) (d Decision) {
	if watch := s.o.Watch[j.plan.Job.Kind]; watch != nil {
		return s.watched(j, watch(now), now)
	}
	known := !j.looked.IsZero() && !now.Before(j.looked)
	if known && (j.next.IsZero() || now.Before(j.next)) {
		j.looked = now
		return d
	}
	d = Decide(j.plan, j.state, now)
	j.looked, j.next = now, d.Wake
	return d
}

// watched decides on a job with a rule of its own. One that has failed is not tried
// again for a while, whatever the rule says.
func (s *Scheduler) watched(j *job, due, now time.Time) (d Decision) {
	failed := !j.state.Began.IsZero() && !j.state.Success.Equal(j.state.Began)
	if rest := j.state.Began.Add(PackAge); failed && now.Before(rest) && j.state.Began.Before(now.Add(slack)) {
		due = later(due, rest)
	}
	j.next = due
	asked := !j.state.Asked.IsZero()
	d.Run = asked || !due.IsZero() && !due.After(now) && !j.state.Pause.Active(now)
	d.Due, d.Why = due, Due
	if asked {
		d.Why = Asked
	}
	return d
}

// later returns the later of a due time, if there is one, and t.
func later(due, t time.Time) time.Time {
	if due.IsZero() || due.After(t) {
		return due
	}
	return t
}

// start stores that a run begins, then begins it; mu is held. If that cannot be
// stored the run is made even so: a run too many does less harm than none.
func (s *Scheduler) start(ctx context.Context, wg *sync.WaitGroup, j *job, st Start) {
	lane := j.plan.lane()
	s.lanes[lane] = true
	j.running, j.why = st.At, st.Why
	j.state.Began, j.state.Open, j.state.Resumed = st.At, true, st.Why == CutOff
	j.state.Asked, j.state.Again = time.Time{}, time.Time{}
	j.state.answer(st.Due, st.At)
	s.save(j)
	covered := s.covered(j)
	for _, c := range covered {
		c.state.Began, c.state.Again, c.state.Open = st.At, time.Time{}, false
		c.state.answer(c.plan.Last(st.At), st.At)
		s.save(c)
	}
	s.o.Log.Info("run started", "job", st.Job.String(), "why", string(st.Why), "due", st.Due, "answers", st.Answers)
	wg.Go(func() {
		out := s.o.Do(ctx, st)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.lanes, lane)
		s.finish(s.current(j), out, ctx.Err() != nil)
		for _, c := range covered {
			s.answered(s.current(c), st.At, out)
		}
		s.poke()
	})
}

// answer notes that due times up to due are answered. One that lies in the future was
// noted by a wrong clock.
func (s *State) answer(due, now time.Time) {
	if due.After(s.Due) || s.Due.After(now.Add(slack)) {
		s.Due = due
	}
}

// covered returns the jobs that a run of j answers as well.
func (s *Scheduler) covered(j *job) (list []*job) {
	for _, c := range s.jobs {
		if c != j && c.plan.Job.Source == j.plan.Job.Source && slices.Contains(j.plan.Covers, c.plan.Job.Kind) {
			list = append(list, c)
		}
	}
	return list
}

// current returns what stands in the place of a job now: plans may have changed
// while it ran.
func (s *Scheduler) current(j *job) *job {
	if now := s.find(j.plan.Job); j.gone && now != nil {
		return now
	}
	return j
}

// finish stores how a run ended. A run that was stopped with the program stays
// open, and is gone on with.
func (s *Scheduler) finish(j *job, out Outcome, stopped bool) {
	j.running = time.Time{}
	if stopped && !out.Success {
		j.state.Resumed = false
	} else {
		j.state.Open, j.state.Ended, j.state.Again = false, s.o.Now(), out.Again
	}
	if out.Success {
		j.state.Success = j.state.Began
	}
	s.save(j)
}

func (s *Scheduler) answered(j *job, began time.Time, out Outcome) {
	if out.Success {
		j.state.Success, j.state.Ended = began, s.o.Now()
		s.save(j)
	}
}

func (s *Scheduler) save(j *job) {
	j.looked = time.Time{}
	if j.fault = s.o.Memory.Save(j.plan.Job, j.state); j.fault != nil {
		s.o.Log.Error("state not stored", "job", j.plan.Job.String(), "err", j.fault)
	}
}
