package main

import (
	"encoding/json"
	"fmt"
	"time"

	"chartcellar/config"
	"chartcellar/fhirsync/schedule"
)

// zoneOf is the practice's time zone. Settings in force were checked: their zone is one.
func zoneOf(s config.Settings) *time.Location {
	zone, err := schedule.Zone(s.Zone)
	if err != nil {
		return time.Local
	}
	return zone
}

// Load implements schedule.Memory.
func (s memory) Load(j schedule.Job) (schedule.State, error) {
	all, err := s.all()
	return all[j.String()], err
}

// Save implements schedule.Memory.
func (s memory) Save(j schedule.Job, st schedule.State) error {
	all, err := s.all()
	if err != nil {
		return err
	}
	all[j.String()] = st
	b, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("write the state of the schedule: %w", err)
	}
	return s.m.PutSecret("schedule", b)
}

func (s memory) all() (map[string]schedule.State, error) {
	all := map[string]schedule.State{}
	b, err := s.m.Secret("schedule")
	if err == nil && b != nil {
		err = json.Unmarshal(b, &all)
	}
	return all, err
}

// scheduleStates are what the facts need to know of the schedule.
type scheduleStates struct {
	Running bool // a process keeps it
	Pulling map[string]bool
	Paused  time.Time // the latest end of a pause
	// Downtime is why the last try at a downtime sheet failed, in words; "" if it did not.
	Downtime string
	plans    map[string]schedule.Plan
	next     map[string]time.Time
}

// grace is how late a run may be before it is called overdue.
const grace = 2 * time.Hour

// statesOf gathers them from a scheduler; nil: none runs in this process.
func statesOf(sched *schedule.Scheduler, now time.Time) scheduleStates {
	s := scheduleStates{Pulling: map[string]bool{}, plans: map[string]schedule.Plan{}, next: map[string]time.Time{}}
	if sched == nil {
		return s
	}
	s.Running = true
	for _, st := range sched.Status(1) {
		j := st.Plan.Job
		if j.Kind != schedule.Pull && j.Kind != schedule.Full {
			continue
		}
		s.Pulling[j.Source] = s.Pulling[j.Source] || !st.Running.IsZero()
		if st.State.Pause.Active(now) && st.State.Pause.Until.After(s.Paused) {
			s.Paused = st.State.Pause.Until
		}
		if len(st.Next) > 0 && (s.next[j.Source].IsZero() || st.Next[0].Before(s.next[j.Source])) {
			s.next[j.Source] = st.Next[0]
		}
		if j.Kind == schedule.Pull {
			s.plans[j.Source] = st.Plan
		}
	}
	return s
}

// due says when an EMR is pulled next, and whether its copy is older than the
// schedule allows.
func (s scheduleStates) due(source string, asOf, now time.Time) (next time.Time, overdue bool) {
	plan, ok := s.plans[source]
	if !ok || asOf.IsZero() {
		return s.next[source], false
	}
	_, overdue = schedule.Overdue(plan, asOf, now, grace)
	return s.next[source], overdue
}
