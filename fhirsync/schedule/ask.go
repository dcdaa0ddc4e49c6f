package schedule

import (
	"errors"
	"fmt"
	"time"
)

// Errors of RunNow, Pause and Resume.
var (
	ErrNoJob   = errors.New("there is no such job in the schedule")
	ErrRunning = errors.New("it is running already")
)

// RunNow asks for a run: it starts as soon as no other of its lane is under way,
// also in a pause and outside a vendor's hours (see Caution). The wish is stored
// when RunNow returns nil. ErrRunning says that there is nothing to ask for.
func (s *Scheduler) RunNow(k Job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.find(k)
	switch {
	case j == nil:
		return fmt.Errorf("%s: %w", k, ErrNoJob)
	case !j.running.IsZero():
		return fmt.Errorf("%s: %w", k, ErrRunning)
	}
	j.state.Asked = s.o.Now()
	s.save(j)
	s.poke()
	return j.fault
}

// Pause holds back the jobs of a source, or with "" those of the mirror, but for
// those that have a rule of their own. A run under way goes on. The zero Pause
// ends one. It is stored when Pause returns nil.
func (s *Scheduler) Pause(source string, p Pause) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p != (Pause{}) && p.Until.IsZero() {
		return errors.New("a pause needs an end; say until when")
	}
	found := false
	var errs []error
	for _, j := range s.jobs {
		if j.plan.Job.Source == source && s.o.Watch[j.plan.Job.Kind] == nil {
			found = true
			j.state.Pause = p
			s.save(j)
			errs = append(errs, j.fault)
		}
	}
	if !found {
		return fmt.Errorf("source %q: %w", source, ErrNoJob)
	}
	s.poke()
	return errors.Join(errs...)
}

// A Status is what a page shows of a job.
type Status struct {
	Plan    Plan
	State   State
	Running time.Time // since when; zero if it is not running
	Why     Reason    // of the run under way
	Next    []time.Time
	Fault   error // what is known could not be stored
}

// Status returns all jobs, each with the next n times at which it will run.
func (s *Scheduler) Status(n int) []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	list := make([]Status, 0, len(s.jobs))
	for _, j := range s.jobs {
		list = append(list, Status{j.plan, j.state, j.running, j.why, Upcoming(j.plan, j.state, now, n), j.fault})
	}
	return list
}
