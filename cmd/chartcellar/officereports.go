package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/fhirsync"
	"chartcellar/store"
	"chartcellar/store/verify"
)

var _ viewer.Months = (*office)(nil)

// Months implements viewer.Months: those since the first run.
func (o *office) Months(context.Context) ([]time.Time, error) {
	runs, err := o.m.Runs()
	if err != nil || len(runs) == 0 {
		return nil, err
	}
	now, first := o.now().In(o.zone()), runs[len(runs)-1].Started.In(o.zone())
	var list []time.Time
	for m := firstOf(now); !m.Before(firstOf(first)); m = m.AddDate(0, -1, 0) {
		list = append(list, m)
	}
	return list, nil
}

func firstOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, t.Location())
}

// Month implements viewer.Months. It is the report that `report --month` makes.
func (o *office) Month(ctx context.Context, month time.Time) (viewer.MonthReport, error) {
	months, err := o.Months(ctx)
	if err != nil {
		return viewer.MonthReport{}, err
	}
	from := firstOf(month.In(o.zone()))
	if !slices.ContainsFunc(months, from.Equal) {
		return viewer.MonthReport{}, viewer.ErrNotFound
	}
	to, unfinished := from.AddDate(0, 1, 0), false
	if to.After(o.now()) {
		to, unfinished = o.now().In(o.zone()), true
	}
	runs, err := o.m.Runs()
	if err != nil {
		return viewer.MonthReport{}, err
	}
	r, err := makeReport(o.d.settings(), o.m, from, to)
	if err != nil {
		return viewer.MonthReport{}, err
	}
	out := viewer.MonthReport{Practice: r.Practice, Month: from, Made: o.now(), Unfinished: unfinished, Root: r.Root,
		LongestGap: -1, OpenGaps: -1}
	c := o.d.counted(runs)
	out.Start, out.End = c.before(runs, from), c.before(runs, to)
	addSources(&out, r)
	out.Due, out.OnTime = o.punctual(runs, from, to)
	o.checked(&out, runs, from, to)
	return out, nil
}

// addSources adds up what the report says of each EMR.
func addSources(out *viewer.MonthReport, r practiceReport) {
	for _, src := range r.Sources {
		out.Complete += src.Runs[string(fhirsync.Complete)]
		out.WithGaps += src.Runs[string(fhirsync.WithGaps)]
		out.HeldRuns += src.Runs[string(fhirsync.HeldVerdict)]
		out.Failed += src.Runs[string(fhirsync.FailedRun)] + src.Runs[string(fhirsync.Interrupted)]
		out.New, out.Changed, out.Removed = out.New+src.New, out.Changed+src.Changed, out.Removed+src.Removed
		if !src.LongestTo.IsZero() && src.Longest > out.LongestGap {
			out.LongestGap, out.LongestFrom, out.LongestTo = src.Longest, src.LongestFrom, src.LongestTo
		}
		if out.Unfinished { // gaps are known as they are now, not as they were
			out.OpenGaps = max(0, out.OpenGaps) + src.OpenGaps
		}
	}
}

// punctual counts how many pulls were due, and how many of those began within the grace
// and did not fail. The schedule is known since it was last changed: what was due before
// is not counted, and with nothing known both are -1.
func (o *office) punctual(runs []store.RunInfo, from, to time.Time) (due, onTime int) {
	if o.d.sched == nil {
		return -1, -1
	}
	due = -1
	for _, src := range o.d.settings().Sources {
		times, known := o.dueTimes(src.Name, firstPull(runs, src.Name), from, to)
		if !known {
			continue
		}
		due = max(0, due) + len(times)
		for _, t := range times {
			if slices.ContainsFunc(runs, func(r store.RunInfo) bool { return answers(o.m, r, src.Name, t) }) {
				onTime++
			}
		}
	}
	if due < 0 {
		return -1, -1
	}
	return due, onTime
}

// dueTimes are when a source was to be pulled, as far as the time to answer is over.
func (o *office) dueTimes(source string, first, from, to time.Time) (times []time.Time, known bool) {
	end := to
	if late := o.now().Add(-grace); late.Before(end) {
		end = late
	}
	if first.IsZero() {
		return nil, false
	}
	for _, st := range o.pullsOf(source) {
		since := later(later(from, first), st.State.Since)
		if !since.Before(end) {
			continue
		}
		known = true
		for _, t := range st.Plan.Between(since, end) {
			if p := st.State.Pause; t.Before(p.From) || !t.Before(p.Until) {
				times = append(times, t)
			}
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return slices.CompactFunc(times, time.Time.Equal), known
}

// firstPull is when the first pull of a source began; zero if there was none.
func firstPull(runs []store.RunInfo, source string) (first time.Time) {
	for _, r := range runs {
		if r.Source == source && r.Kind == "sync" {
			first = r.Started
		}
	}
	return first
}

// answers reports whether a run is the pull that was due at a time, and has not failed.
func answers(m *store.Mirror, r store.RunInfo, source string, due time.Time) bool {
	if r.Source != source || r.Kind != "sync" || r.Ended.IsZero() || r.Started.Before(due) || r.Started.After(due.Add(grace)) {
		return false
	}
	return cameToAnEnd(verdictOf(m, r))
}

// checked adds what was checked and decided.
func (o *office) checked(out *viewer.MonthReport, runs []store.RunInfo, from, to time.Time) {
	for _, r := range runs {
		if r.Ended.Before(from) || !r.Ended.Before(to) {
			continue
		}
		switch r.Kind {
		case "verify":
			if c := verified(resultOf(o.m, r), r); c.Words != "" {
				out.Verifications = append(out.Verifications, c)
			}
		case "check":
			out.Verifications = append(out.Verifications, sampledWords(r))
		case "decision":
			for _, d := range decisionsOf(o.m, r) {
				out.Decisions = append(out.Decisions, viewer.SettingChange{At: d.At, Who: d.By, What: decided(d)})
			}
		case store.KindSeal:
			rec := sealRecordOf(o.m, r)
			out.Decisions = append(out.Decisions, viewer.SettingChange{At: rec.At, Who: rec.By, What: sealDone(rec.Verdict)})
		}
	}
}

// verified says what a verification came to; nothing of one that read no content and
// found nothing.
func verified(result verify.Result, r store.RunInfo) health.Check {
	c := health.Check{Answer: health.Yes, At: r.Ended}
	switch result.Depth {
	case verify.Rolling:
		c.Words = fmt.Sprintf("%s of the copy read again: every byte is what was written.", several(len(result.Days), "thirtieth", "thirtieths"))
	case verify.Sample:
		c.Words = fmt.Sprintf("%s read from end to end: each is what was written.", several(result.Records, "record", "records"))
	case verify.Full:
		c.Words = "The whole copy was decrypted and compared with what was signed: every byte is what was written."
	}
	if r.Verdict != verifiedGood {
		c.Answer, c.Words = health.No, fmt.Sprintf("Damage was found in %s.", several(len(result.Damage), "file", "files"))
	}
	return c
}

// sampledWords say what a random sample came to.
func sampledWords(r store.RunInfo) health.Check {
	c := health.Check{Answer: health.Yes, At: r.Ended, Words: "Records were fetched again at random and are the same."}
	switch r.Verdict {
	case sampleDiffers:
		c.Answer, c.Words = health.No, "Records were fetched again at random, and some differ from the copy."
	case sampleOpen:
		c.Answer, c.Words = health.Unknown, "Records were fetched again at random; not all of them could be read at the EMR."
	}
	return c
}
