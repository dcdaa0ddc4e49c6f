package main

import (
	"context"
	"fmt"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
)

// A running is a job that goes on.
type running struct {
	job     schedule.Job
	started time.Time
	stop    context.CancelCauseFunc
	how     viewer.Progress
	// came are the records of each file, or type, that have come so far.
	came map[string]int
}

// errStopped is why a job ends that a person stopped.
var errStopped = fmt.Errorf("stopped by a person: %w", context.Canceled)

// doing notes that a job goes on, until the returned function is called.
func (d *daemon) doing(ctx context.Context, job schedule.Job) (context.Context, func()) {
	ctx, stop := context.WithCancelCause(ctx)
	r := &running{job: job, started: d.e.now(), stop: stop, came: map[string]int{},
		how: viewer.Progress{Running: true, Kind: kindOf(job.Kind), Source: job.Source, Started: d.e.now(), All: -1, Unit: "records"}}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.jobs = append(d.jobs, r)
	d.changed.Add(1)
	d.starts.Add(1)
	return ctx, func() {
		stop(nil)
		d.changed.Add(1)
		d.mu.Lock()
		defer d.mu.Unlock()
		for i, other := range d.jobs {
			if other == r {
				d.jobs = append(d.jobs[:i:i], d.jobs[i+1:]...)
				break
			}
		}
	}
}

// quietly reports whether jobs of a kind come and go without anybody waiting for them.
func quietly(k schedule.Kind) bool {
	return k == schedule.Pack || k == schedule.Holding || k == schedule.Downtime
}

// kindOf is the kind of run as reports call it.
func kindOf(k schedule.Kind) string {
	switch k {
	case schedule.Pull, schedule.Full:
		return "sync"
	case schedule.Verify, schedule.Compare:
		return "verify"
	case schedule.Copy:
		return copyRun
	case schedule.CopyCheck:
		return checkRun
	case schedule.CopyTest:
		return testedRun
	}
	return string(k)
}

// awaitStart waits a moment until a job that was asked for has begun, so that the next
// page shows it. One that is over already is not waited for for long.
func (d *daemon) awaitStart(ctx context.Context, job schedule.Job) {
	asked := d.starts.Load()
	for range 50 {
		if d.busyWith(job.Source) || d.starts.Load() != asked {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// busyWith reports whether a job goes on in the lane of a source; "" is the mirror's.
func (d *daemon) busyWith(source string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.jobs {
		if r.job.Source == source && !quietly(r.job.Kind) {
			return true
		}
	}
	return false
}

// stopJobs asks every pull, verification and keeping of files to end; what they stored
// is kept.
func (d *daemon) stopJobs() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.jobs {
		if r.job.Kind != schedule.Pack {
			r.stop(errStopped)
		}
	}
}

// progress is how far the job is that people wait for, a pull first; or how the last
// one ended.
func (d *daemon) progress() viewer.Progress {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found *running
	for _, r := range d.jobs {
		if !quietly(r.job.Kind) && (found == nil || found.job.Source == "") {
			found = r
		}
	}
	if found == nil {
		return d.lastJob()
	}
	p := found.how
	if spent := d.e.now().Sub(found.started).Seconds(); spent > 1 && p.Done > 0 {
		p.PerSec = float64(p.Done) / spent
		if p.All > p.Done {
			p.Left = time.Duration(float64(p.All-p.Done) / p.PerSec * float64(time.Second))
		}
	}
	return p
}

// lastJob is how the last run ended.
func (d *daemon) lastJob() viewer.Progress {
	runs, err := d.m.Runs()
	if err != nil {
		return viewer.Progress{All: -1}
	}
	for _, r := range runs {
		waited := r.Kind == "sync" || r.Kind == "verify" || r.Kind == drillRun || ofCopy(r)
		if waited && !r.Ended.IsZero() {
			return viewer.Progress{Kind: r.Kind, Source: r.Source, Run: r.Number, Ended: r.Ended, Verdict: string(verdictOf(d.m, r)), All: -1}
		}
	}
	return viewer.Progress{All: -1}
}

// event tells everybody who watches what a pull of a source just did.
func (d *daemon) event(source string, ev fhirsync.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.jobs {
		if r.job.Source == source {
			r.note(ev)
		}
	}
	for _, fn := range d.watchers {
		fn(ev)
	}
}

// note brings the progress of a pull up to date.
func (r *running) note(ev fhirsync.Event) {
	switch ev.Kind {
	case "kickoff":
		r.how.Words = "The EMR has accepted the export and prepares its files."
	case "status":
		r.how.Words = "The EMR prepares its files."
	case "manifest":
		r.how.Words, r.how.All = "The EMR's files are coming in.", ev.Count
		if ev.Count == 0 {
			r.how.All = -1 // it did not say how many
		}
	case "download", "download_complete":
		r.how.Words = ev.Type + " records are coming in."
		r.add(fmt.Sprint("file ", ev.File), ev.Count)
	case "page":
		r.how.Words = ev.Type + " records are coming in, page by page."
		r.add("type "+ev.Type, ev.Count)
	case "attachment":
		r.how.Words, r.how.Unit, r.how.Done, r.how.All = "Documents are coming in.", "documents", ev.Count, max(ev.Files, ev.Count)
	}
}

// add counts what has come of a file or type: the events say how many in all.
func (r *running) add(what string, n int) {
	r.how.Done += n - r.came[what]
	r.came[what] = n
}

// checked brings the progress of a verification up to date.
func (d *daemon) checked(part, parts int, _ int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.jobs {
		if r.job.Source == "" && kindOf(r.job.Kind) == "verify" {
			r.how.Words, r.how.Unit, r.how.Done, r.how.All = "The copy is read and checked.", "files", part, parts
		}
	}
}

// pause pauses or, with the zero Pause, resumes one EMR, once the journal has it.
func (d *daemon) pause(by, code, source string, p schedule.Pause) error {
	if err := d.m.Journal(store.Event{Code: code, Account: by, Key: store.Key{Source: source}, Note: p.Why}); err != nil {
		return err
	}
	defer d.changed.Add(1)
	if err := d.sched.Pause(source, p); err != nil {
		return err
	}
	d.alarm.add(notice{code: code, by: by, source: source})
	return nil
}
