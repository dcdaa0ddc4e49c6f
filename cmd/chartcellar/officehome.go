package main

import (
	"context"
	"slices"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
)

var _ viewer.Overview = (*office)(nil)

// A judged is a status with the facts it was judged from.
type judged struct {
	at         time.Time
	generation uint64 // of the mirror
	changed    uint64 // how often the daemon had started, ended or paused something
	status     viewer.Status
}

// How long a status counts: while the mirror stays as it was, and while a run writes.
const (
	judgedLife  = 20 * time.Second
	judgedStale = time.Second
)

// Status implements viewer.Overview. It is asked for by every page, so it is judged
// anew only when the mirror or the settings have changed, or some time has gone by.
func (o *office) Status(context.Context) (viewer.Status, error) {
	o.judging.Lock()
	defer o.judging.Unlock()
	now, generation, changed := o.now(), o.m.Generation(), o.d.changed.Load()
	age := now.Sub(o.judged.at)
	fresh := age >= 0 && (age < judgedStale || age < judgedLife && generation == o.judged.generation)
	if fresh && changed == o.judged.changed && !o.judged.at.IsZero() {
		return o.judged.status, nil
	}
	in, err := o.d.facts(now)
	if err != nil {
		return viewer.Status{}, err
	}
	o.judged = judged{at: now, generation: generation, changed: changed, status: o.shown(in)}
	return o.judged.status, nil
}

// shown is the status, as it is said of a folder of this kind.
func (o *office) shown(in health.Input) viewer.Status {
	if o.m.ReadOnly() {
		return lookedStatus(in, o.looked)
	}
	return shownStatus(in)
}

// shownStatus judges facts, and adds the times that the top of each page shows.
func shownStatus(in health.Input) viewer.Status {
	st := viewer.Status{Status: health.Judge(in)}
	for _, src := range in.Sources {
		if st.Copy.IsZero() || src.Copy.Before(st.Copy) {
			st.Copy = src.Copy // the oldest counts
		}
		if src.Ended.After(st.Tried) {
			st.Tried = src.Ended
		}
		if !src.Next.IsZero() && (st.Next.IsZero() || src.Next.Before(st.Next)) {
			st.Next = src.Next
		}
	}
	if slices.ContainsFunc(in.Sources, func(s health.Source) bool { return s.Copy.IsZero() }) {
		st.Copy = time.Time{}
	}
	return st
}

// Home implements viewer.Overview.
func (o *office) Home(ctx context.Context) (viewer.Home, error) {
	h := viewer.Home{}
	var err error
	if h.Status, err = o.Status(ctx); err != nil {
		return h, err
	}
	if h.Runs, _, err = o.Runs(ctx, 0, 5); err != nil {
		return h, err
	}
	runs, err := o.m.Runs()
	if err != nil {
		return h, err
	}
	h.Days = o.strip(runs, 90)
	h.Totals = o.totals(runs)
	h.Changes, err = o.recentChanges(ctx)
	return h, err
}

// worse orders what a day came to: the worst is shown.
var worse = map[viewer.DayState]int{viewer.DayNone: 0, viewer.DayComplete: 1, viewer.DayGaps: 2, viewer.DayHeld: 3, viewer.DayFailed: 4, viewer.DayMissing: 5}

// strip are the last days: of each the worst that its last run of each EMR came to. On
// a day without a run, whether one was expected is judged by the schedule of today, and
// only since the first run.
func (o *office) strip(runs []store.RunInfo, n int) []viewer.Day {
	zone := o.zone()
	now := o.now().In(zone)
	days := make([]viewer.Day, n)
	at := map[string]int{}
	for i := range days {
		d := time.Date(now.Year(), now.Month(), now.Day()+i-n+1, 12, 0, 0, 0, zone)
		days[i] = viewer.Day{Date: d, State: viewer.DayNone}
		at[d.Format(time.DateOnly)] = i
	}
	for _, src := range o.d.settings().Sources {
		o.stripOf(src.Name, runs, days, at)
	}
	return days
}

// stripOf adds one EMR to the strip; runs come newest first.
func (o *office) stripOf(source string, runs []store.RunInfo, days []viewer.Day, at map[string]int) {
	zone, states, first := o.zone(), map[int]viewer.DayState{}, time.Time{}
	numbers, plans := map[int]uint32{}, o.pullsOf(source)
	for _, r := range runs {
		if r.Source != source || r.Kind != "sync" || r.Ended.IsZero() {
			continue
		}
		first = r.Started
		i, ok := at[r.Ended.In(zone).Format(time.DateOnly)]
		if _, known := states[i]; ok && !known {
			states[i], numbers[i] = dayState(verdictOf(o.m, r)), r.Number
		}
	}
	for i := range days {
		state, ran := states[i]
		if !ran && o.missed(plans, days[i].Date, first) {
			state = viewer.DayMissing
		}
		if ran && days[i].Run == 0 || worse[state] > worse[days[i].State] {
			days[i].State, days[i].Run = state, numbers[i]
		}
	}
}

// pullsOf are the plans of an EMR, with their states; none where nothing is planned.
func (o *office) pullsOf(source string) []schedule.Status {
	if o.d.sched == nil {
		return nil
	}
	return slices.DeleteFunc(o.d.sched.Status(0), func(st schedule.Status) bool {
		j := st.Plan.Job
		return j.Source != source || j.Kind != schedule.Pull && j.Kind != schedule.Full
	})
}

// missed reports whether a run was due on a day that is over, by the schedule of today.
func (o *office) missed(plans []schedule.Status, day, first time.Time) bool {
	from := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, day.Location())
	to := from.AddDate(0, 0, 1)
	if first.IsZero() || from.Before(first) || to.After(o.now()) {
		return false
	}
	return slices.ContainsFunc(plans, func(st schedule.Status) bool { return len(st.Plan.Between(from, to)) > 0 })
}

func dayState(v fhirsync.Verdict) viewer.DayState {
	switch v {
	case fhirsync.Complete:
		return viewer.DayComplete
	case fhirsync.WithGaps:
		return viewer.DayGaps
	case fhirsync.HeldVerdict:
		return viewer.DayHeld
	}
	return viewer.DayFailed
}

// Storage implements viewer.Runs.
func (o *office) Storage(context.Context) (viewer.Storage, error) {
	out := viewer.Storage{Folder: o.m.Dir(), PerMonth: -1, DaysLeft: -1}
	runs, err := o.m.Runs()
	if err != nil {
		return out, err
	}
	if out.Free, out.Reserve, err = o.m.Space(); err != nil {
		return out, err
	}
	_, out.Total, err = o.e.fsys().Free(o.m.Dir())
	if err != nil {
		return out, err
	}
	ended := map[uint32]time.Time{}
	for _, r := range runs {
		ended[r.Number] = r.Ended
	}
	months := map[time.Time]int64{}
	zone := o.zone()
	for _, p := range o.m.PartSizes() {
		out.Used += p.Bytes
		if at := ended[p.Run]; !at.IsZero() {
			months[firstOf(at.In(zone))] += p.Bytes
		}
	}
	out.Months = grown(months)
	if days, known, err := daysLeft(o.m, runs, o.now()); err == nil && known {
		out.DaysLeft, out.PerMonth = days, perMonth(out.Free-out.Reserve, days)
	}
	return out, nil
}

// perMonth is the growth that leaves so many days.
func perMonth(room int64, days int) int64 {
	if days <= 0 || days >= 36500 {
		return 0
	}
	return room / int64(days) * 30
}

// grown are the sizes at the ends of months, added up, at most three years of them.
func grown(months map[time.Time]int64) []viewer.MonthSize {
	var list []viewer.MonthSize
	for m, n := range months {
		list = append(list, viewer.MonthSize{Month: m, Bytes: n})
	}
	slices.SortFunc(list, func(a, b viewer.MonthSize) int { return a.Month.Compare(b.Month) })
	for i := 1; i < len(list); i++ {
		list[i].Bytes += list[i-1].Bytes
	}
	return list[max(0, len(list)-36):]
}
