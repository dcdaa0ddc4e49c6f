package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
)

// countWait is how long a page waits for records to be counted before it shows what
// was counted last.
const countWait = 20 * time.Millisecond

// Counts are what the mirror held after the runs that pages ask for. They are never
// changed.
type counts struct {
	run   uint32                    // the newest run that changed what counts
	zone  string                    // whose months they are
	at    map[uint32]viewer.Totals  // by run
	types map[string]map[string]int // after run, by EMR and type
}

// A counter counts the records once for each run that was closed: counting goes through
// the whole index, so no page does it.
type counter struct {
	wake     chan struct{}
	counting sync.Mutex // held while it is counted

	// mu covers what follows.
	mu   sync.Mutex
	now  *counts       // nil: nothing was counted yet
	next chan struct{} // closed when now changes; nil if nobody waits
}

// countedRun is the newest run that changed what counts; 0 if there is none.
func countedRun(runs []store.RunInfo) uint32 {
	for _, r := range runs {
		if r.Closing != 0 && (r.Kind == "sync" || r.Kind == "decision" || r.Kind == "repair") {
			return r.Number
		}
	}
	return 0
}

// counted returns what was counted as of now, or, if that takes long, what was counted
// last: at says of which run it is. It is nil if nothing was counted yet.
func (d *daemon) counted(runs []store.RunInfo) *counts {
	run, zone := countedRun(runs), d.settings().Zone
	patience := time.NewTimer(countWait)
	defer patience.Stop()
	for {
		c, changed := d.counter.last()
		if run == 0 || c != nil && c.run == run && c.zone == zone {
			return c
		}
		select {
		case d.counter.wake <- struct{}{}:
		default:
		}
		select {
		case <-changed:
		case <-patience.C:
			return c
		}
	}
}

// last returns what was counted last, and a channel that is closed when that changes.
func (c *counter) last() (*counts, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = make(chan struct{})
	}
	return c.now, c.next
}

func (c *counter) set(now *counts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
	if c.next != nil {
		close(c.next)
		c.next = nil
	}
}

// keepCounting counts when a page asks for it, until ctx ends. It begins with what the
// first pages after a start show, and with what their status is judged from.
func (d *daemon) keepCounting(ctx context.Context) error {
	if runs, err := d.m.Runs(); err == nil {
		f := &factFinder{m: d.m, now: d.e.now(), runs: runs, read: &d.readings}
		f.reread()
	}
	for {
		d.recount(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-d.counter.wake:
		}
	}
}

// recount counts the records unless it is known how many there are.
func (d *daemon) recount(ctx context.Context) {
	d.counter.counting.Lock()
	defer d.counter.counting.Unlock()
	runs, err := d.m.Runs()
	s := d.settings()
	now, _ := d.counter.last()
	if run := countedRun(runs); err != nil || run == 0 || now != nil && now.run == run && now.zone == s.Zone {
		return
	}
	now, err = countRuns(ctx, d.m, runs, zoneOf(s), d.e.now())
	switch {
	case err == nil:
		now.zone = s.Zone
		d.counter.set(now)
	case ctx.Err() == nil:
		d.e.logger().ErrorContext(ctx, "records not counted", "cause", err.Error())
	}
}

// countRuns counts what was here after the newest run, a day before, and at the
// beginning of each month; runs come newest first.
func countRuns(ctx context.Context, m *store.Mirror, runs []store.RunInfo, zone *time.Location, now time.Time) (*counts, error) {
	c := &counts{run: countedRun(runs), at: map[uint32]viewer.Totals{}}
	wanted := map[uint32]store.RunInfo{}
	note := func(at time.Time) {
		if r, ok := pullBefore(runs, at); ok {
			wanted[r.Number] = r
		}
	}
	note(now)
	for _, r := range runs {
		if r.Number == c.run {
			wanted[r.Number] = r
			note(r.Ended.Add(-24 * time.Hour))
		}
	}
	oldest := runs[len(runs)-1].Started.In(zone)
	for month := firstOf(now.In(zone)); !month.Before(firstOf(oldest)); month = month.AddDate(0, -1, 0) {
		note(month)
	}
	numbers := slices.Sorted(maps.Keys(wanted))
	list, err := m.CountsAt(ctx, numbers)
	if err != nil {
		return nil, err
	}
	for i, n := range numbers {
		c.at[n] = totalsOf(m, wanted[n], list[i])
		if n == c.run {
			c.types = list[i]
		}
	}
	return c, nil
}

// pullBefore returns the last pull that was closed at a time.
func pullBefore(runs []store.RunInfo, at time.Time) (store.RunInfo, bool) {
	i := slices.IndexFunc(runs, func(r store.RunInfo) bool { return r.Closing != 0 && r.Kind == "sync" && !r.Ended.After(at) })
	if i < 0 {
		return store.RunInfo{}, false
	}
	return runs[i], true
}

// totalsOf adds up what was here after a run.
func totalsOf(m *store.Mirror, r store.RunInfo, bySource map[string]map[string]int) viewer.Totals {
	t := viewer.Totals{AsOf: r.Ended, Run: r.Number}
	for _, types := range bySource {
		for typ, n := range types {
			t.Records += n
			switch typ {
			case "Patient":
				t.Patients += n
			case "DocumentReference":
				t.Documents += n
			}
		}
	}
	for _, p := range m.PartSizes() {
		if p.Number <= r.Closing {
			t.Bytes += p.Bytes
		}
	}
	return t
}

// noTotals are those of a time of which nothing is known.
func noTotals() viewer.Totals {
	return viewer.Totals{Patients: -1, Records: -1, Documents: -1, Bytes: -1}
}

// totals are what is here, and how much more than a day before.
func (o *office) totals(runs []store.RunInfo) viewer.Totals {
	c := o.d.counted(runs)
	if c == nil {
		return noTotals()
	}
	t := c.at[c.run]
	if before := c.before(runs, t.AsOf.Add(-24*time.Hour)); before.Run != 0 {
		t.Known = true
		t.MorePatients, t.MoreRecords = t.Patients-before.Patients, t.Records-before.Records
		t.MoreDocuments, t.MoreBytes = t.Documents-before.Documents, t.Bytes-before.Bytes
	}
	return t
}

// before is what was here at a time, by the last pull that was closed then; not known
// if there was none, or if it was not counted.
func (c *counts) before(runs []store.RunInfo, at time.Time) viewer.Totals {
	if r, ok := pullBefore(runs, at); ok && c != nil {
		if t, ok := c.at[r.Number]; ok {
			return t
		}
	}
	return noTotals()
}
