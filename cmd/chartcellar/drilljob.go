package main

import (
	"context"
	"time"

	"chartcellar/fhirsync/schedule"
)

// A failedTry is why what a person has asked for could not be done.
type failedTry struct {
	at  time.Time
	err error
}

// tried notes how a job ended: pages say why one that leaves no record did not come to
// its end.
func (d *daemon) tried(job schedule.Job, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.failures, job)
	if err != nil {
		d.failures[job] = failedTry{d.e.now(), err}
	}
}

// failure returns why the last try of a job since the start could not be made.
func (d *daemon) failure(kind schedule.Kind, source string) (failedTry, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, ok := d.failures[schedule.Job{Source: source, Kind: kind}]
	return t, ok
}

// testCopy tests the place of a second copy, and keeps what was found.
func (d *daemon) testCopy(ctx context.Context, job schedule.Job) (schedule.Outcome, error) {
	s := d.settings()
	c, err := s.Copy(job.Source)
	if err != nil {
		return schedule.Outcome{}, err
	}
	d.tell(job, "A small file is written there, read back, and tried to be removed.", 0, -1)
	t, err := d.e.tryPlace(ctx, d.m, c)
	if err == nil {
		err = d.e.keepTest(ctx, d.m, c, t)
	}
	return schedule.Outcome{Success: err == nil}, err
}

// order keeps what a person gave for a drill until it begins. It is in memory only: a
// drill that was asked for before a restart is not made.
func (d *daemon) order(copy string, o drillOrder) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.orders[copy] = o
}

// ordered takes the order of a drill.
func (d *daemon) ordered(copy string) (drillOrder, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o, ok := d.orders[copy]
	delete(d.orders, copy)
	return o, ok
}

// drill brings a second copy back with the sheet that a person has typed.
func (d *daemon) drill(ctx context.Context, job schedule.Job) (schedule.Outcome, error) {
	o, ok := d.ordered(job.Source)
	if !ok {
		return schedule.Outcome{}, nil // the key went with the process that it was typed into
	}
	s := d.settings()
	c, err := s.Copy(job.Source)
	if err != nil {
		return schedule.Outcome{}, err
	}
	release, err := d.e.ring.open(d.m, o.sheet.id)
	if err != nil {
		return schedule.Outcome{}, err
	}
	defer release()
	rec, err := d.e.drillOnce(ctx, d.m, c, o, s.Data, func(done, all int, _ int64) {
		words := "The second copy is brought back into an empty folder."
		if done == all {
			words = "Every record is read with the key of the sheet, and 20 patients are compared."
		}
		d.tell(job, words, done, all)
	})
	return schedule.Outcome{Success: err == nil && rec.Passed()}, err
}
