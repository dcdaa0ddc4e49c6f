package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/config"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
)

var (
	_ viewer.Jobs      = (*office)(nil)
	_ viewer.Scheduler = (*office)(nil)
)

// RunNow implements viewer.Jobs.
func (o *office) RunNow(ctx context.Context, a viewer.Actor, full bool) error {
	sources := o.d.settings().Sources
	if len(sources) == 0 {
		return &viewer.Refusal{Words: "No EMR is connected yet, so there is nothing to fetch. Nothing was started. Connect it first."}
	}
	kind := schedule.Pull
	if full {
		kind = schedule.Full
	}
	var jobs []schedule.Job
	for _, src := range sources {
		jobs = append(jobs, schedule.Job{Source: src.Name, Kind: kind})
	}
	return o.start(ctx, a, "run.now", jobs...)
}

// VerifyNow implements viewer.Jobs: everything is read again if somebody has the
// mirror open, else the thirtieths that are due.
func (o *office) VerifyNow(ctx context.Context, a viewer.Actor) error {
	kind := schedule.Compare
	if o.m.Locked() {
		kind = schedule.Verify
	}
	return o.start(ctx, a, "verify.now", schedule.Job{Kind: kind})
}

// start asks for jobs, once it stands in the journal who wanted them, and sees the first
// of them begin.
func (o *office) start(ctx context.Context, a viewer.Actor, code string, jobs ...schedule.Job) error {
	for _, job := range jobs {
		if o.d.busyWith(job.Source) {
			return viewer.ErrBusy
		}
	}
	for _, job := range jobs {
		if err := o.m.Journal(store.Event{Code: code, Account: a.Account, Key: store.Key{Source: job.Source}}); err != nil {
			return err
		}
		if err := o.d.sched.RunNow(job); errors.Is(err, schedule.ErrRunning) {
			return viewer.ErrBusy
		} else if err != nil {
			return err
		}
	}
	o.d.awaitStart(ctx, jobs[0])
	return nil
}

// Stop implements viewer.Jobs.
func (o *office) Stop(_ context.Context, a viewer.Actor) error {
	if err := o.m.Journal(store.Event{Code: "run.stop", Account: a.Account}); err != nil {
		return err
	}
	o.d.stopJobs()
	return nil
}

// Progress implements viewer.Jobs.
func (o *office) Progress(context.Context) (viewer.Progress, error) {
	if o.m.ReadOnly() {
		return viewer.Progress{All: -1}, nil
	}
	return o.d.progress(), nil
}

// Schedule implements viewer.Scheduler.
func (o *office) Schedule(context.Context) (viewer.Schedule, error) {
	s := o.d.settings()
	out := viewer.Schedule{Zone: o.zone().String()}
	if o.m.ReadOnly() {
		return out, nil
	}
	for _, st := range o.d.sched.Status(0) {
		if p := st.State.Pause; p.Active(o.now()) && p.Until.After(out.Paused) {
			out.Paused, out.By = p.Until, p.By
		}
	}
	for _, src := range s.Sources {
		p, err := o.planned(src, s.Verify)
		if err != nil {
			return out, err
		}
		out.Plans = append(out.Plans, p)
	}
	return out, nil
}

// planned says what a source's times mean.
func (o *office) planned(src config.Source, verify string) (viewer.Plan, error) {
	out := viewer.Plan{Source: src.Name, Pull: src.Pull, Full: src.Full, Verify: verify}
	pull, full, err := sourcePlans(src, o.zone())
	if err != nil {
		return out, &viewer.Refusal{Words: sentence(err.Error()) + " Nothing was changed."}
	}
	check, err := schedule.ParseCalendar(verify)
	if err != nil {
		return out, &viewer.Refusal{Words: sentence("verify: "+err.Error()) + " Nothing was changed."}
	}
	states, err := memory{o.m}.all()
	if err != nil {
		return out, err
	}
	now := o.now()
	out.Words = sentence(schedule.Describe(pull, full) + "; the copy is read again " + check.Words())
	out.Next = merged(schedule.Upcoming(pull, states[pull.Job.String()], now, 5), schedule.Upcoming(full, states[full.Job.String()], now, 5), 5)
	out.Buys = sentence(schedule.WorstLoss(pull, typicalRun(o.m, src.Name), now).String())
	var notes []string
	if len(check) == 0 {
		notes = append(notes, "The copy is never read again, so nobody would notice if the disk spoils it; the state is then never good.")
	}
	if moved := schedule.Moved(pull); moved != "" {
		notes = append(notes, sentence(moved))
	}
	if len(out.Next) > 0 {
		if c := schedule.Caution(pull, schedule.Quiet(), out.Next[0]); c != "" {
			notes = append(notes, sentence(c))
		}
	}
	out.Note = strings.Join(notes, " ")
	return out, nil
}

// merged are the first n of two rows of times.
func merged(a, b []time.Time, n int) []time.Time {
	all := slices.Concat(a, b)
	slices.SortFunc(all, time.Time.Compare)
	all = slices.CompactFunc(all, time.Time.Equal)
	return all[:min(n, len(all))]
}

// Preview implements viewer.Scheduler.
func (o *office) Preview(_ context.Context, source, pull, full, verify string) (viewer.Plan, error) {
	s := o.d.settings()
	src, err := s.Source(source)
	if err != nil { // the first run asks before there is one
		src = config.Source{Name: source}
	}
	src.Pull, src.Full = pull, full
	return o.planned(src, verify)
}

// SetSchedule implements viewer.Scheduler. Before an EMR is connected the times are
// kept for it.
func (o *office) SetSchedule(ctx context.Context, a viewer.Actor, source, pull, full, verify string) error {
	if _, err := o.Preview(ctx, source, pull, full, verify); err != nil {
		return err
	}
	edits := []config.Edit{{Key: "verify", Value: verify}}
	s := o.d.settings()
	if len(s.Sources) > 0 {
		src, err := o.source(source)
		if err != nil {
			return err
		}
		section := "source " + src.Name
		edits = append(edits, config.Edit{Section: section, Key: "pull", Value: pull}, config.Edit{Section: section, Key: "full", Value: full})
	}
	if err := o.change(a, edits...); err != nil {
		return err
	}
	return o.setUp(func(st *setupState) { st.Plan, st.Pull, st.Full = true, pull, full })
}

// Pause implements viewer.Scheduler: every EMR is paused.
func (o *office) Pause(_ context.Context, a viewer.Actor, until time.Time, why string) error {
	p, err := schedule.NewPause(o.now(), until, a.Account, why)
	if err != nil {
		return &viewer.Refusal{Words: sentence(err.Error()) + " Nothing was changed; backups go on."}
	}
	return o.pause(a, "schedule.pause", p)
}

// Resume implements viewer.Scheduler.
func (o *office) Resume(_ context.Context, a viewer.Actor) error {
	return o.pause(a, "schedule.resume", schedule.Pause{})
}

func (o *office) pause(a viewer.Actor, code string, p schedule.Pause) error {
	sources := o.d.settings().Sources
	if len(sources) == 0 {
		return &viewer.Refusal{Words: "No EMR is connected yet, so there is nothing to pause. Nothing was changed."}
	}
	for _, src := range sources {
		if err := o.d.pause(a.Account, code, src.Name, p); err != nil {
			return err
		}
	}
	return nil
}
