package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store/offsite"
)

// copy brings a second copy up to date, or reads the next thirtieth of it.
func (d *daemon) copy(ctx context.Context, start schedule.Start) (out schedule.Outcome, err error) {
	job, s := start.Job, d.settings()
	defer func() { d.ended(job, pulled{nil, err}) }()
	c, err := s.Copy(job.Source)
	if err != nil {
		return schedule.Outcome{}, err
	}
	if start.Why == schedule.Asked {
		c.Hours = "" // a person has decided
	}
	ctx, stop, again, err := within(ctx, c, s.Zone, time.Now())
	if err != nil || !again.IsZero() {
		return schedule.Outcome{Again: again}, err
	}
	defer stop()
	var days []int
	if job.Kind == schedule.CopyCheck {
		days = []int{d.e.now().YearDay() % schedule.Thirtieths}
	}
	rec, err := d.e.copyOnce(ctx, s, d.m, c, copying{kind: job.Kind, days: days, events: d.copied(job)})
	if errors.Is(context.Cause(ctx), errHoursOver) {
		_, _, again, _ := within(context.Background(), c, s.Zone, time.Now().Add(time.Minute))
		return schedule.Outcome{Again: again}, nil // it goes on where it stopped
	}
	out = schedule.Outcome{Success: err == nil && rec.Complete()}
	if errors.Is(err, offsite.ErrAway) || err != nil && !permanent(err) {
		out.Again = time.Now().Add(30 * time.Minute) // the disk may be plugged in
	}
	return out, err
}

// errHoursOver is why a copy ends when its hours do.
var errHoursOver = fmt.Errorf("the hours of the second copy are over: %w", context.Canceled)

// within ends ctx when the hours of a copy end; outside of them it says when they begin.
func within(ctx context.Context, c config.Copy, zone string, now time.Time) (context.Context, context.CancelFunc, time.Time, error) {
	if c.Hours == "" {
		return ctx, func() {}, time.Time{}, nil
	}
	w, err := schedule.ParseWindow(c.Hours)
	if err != nil {
		return ctx, nil, time.Time{}, err
	}
	loc, err := schedule.Zone(zone)
	if err != nil {
		return ctx, nil, time.Time{}, err
	}
	at, open := w.Open(now, loc)
	if !open {
		return ctx, nil, at, nil
	}
	ctx, stop := context.WithDeadlineCause(ctx, at, errHoursOver)
	return ctx, stop, time.Time{}, nil
}

// permanent reports whether trying again soon helps nothing.
func permanent(err error) bool {
	for _, e := range []error{errEmptied, offsite.ErrForeign, offsite.ErrFenced, offsite.ErrRival, offsite.ErrOldKeys, offsite.ErrAhead, offsite.ErrDenied, offsite.ErrFull, offsite.ErrReadOnly,
		offsite.ErrTooLarge, offsite.ErrInTheWay} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// copied brings the progress of a copy up to date.
func (d *daemon) copied(job schedule.Job) func(done, all int, bytes int64) {
	words := map[schedule.Kind]string{schedule.Copy: "New files go to the second copy, and are read back.", schedule.CopyCheck: "The second copy is read and compared."}[job.Kind]
	return func(done, all int, _ int64) { d.tell(job, words, done, all) }
}

// tell brings the progress of a job over files up to date.
func (d *daemon) tell(job schedule.Job, words string, done, all int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.jobs {
		if r.job == job {
			r.how.Words, r.how.Unit, r.how.Done, r.how.All = words, "files", done, all
		}
	}
}

// copyNow asks for a copy, or joins the one that is under way, and waits for its end.
func (d *daemon) copyNow(ctx context.Context, c config.Copy) (copyRecord, error) {
	_, err := d.runNow(ctx, schedule.Job{Source: c.Name, Kind: schedule.Copy}, func(fhirsync.Event) {})
	runs, rerr := d.m.Runs()
	if rerr != nil {
		return copyRecord{}, errors.Join(err, rerr)
	}
	return stateOfCopy(c, d.m, runs).Last, err
}
