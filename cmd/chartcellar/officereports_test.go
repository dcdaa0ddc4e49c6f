package main

import (
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/verify"
)

// monthOf returns the report of so many months ago, and its first day.
func (n *nights) monthOf(o *office, back int) (viewer.MonthReport, time.Time) {
	n.t.Helper()
	from := firstOf(n.now).AddDate(0, -back, 0)
	m, err := o.Month(n.t.Context(), from)
	if err != nil {
		n.t.Fatalf("Month(%s) = %v", from.Format("2006-01"), err)
	}
	return m, from
}

// TestMonthIsOfItsTime: a month that is over shows what was here, how large it was and
// which root it had at its ends, not what is so now; and each number is the store's.
func TestMonthIsOfItsTime(t *testing.T) {
	t.Parallel()
	n := newNights(t, 100)
	for day := range 100 {
		n.now = n.now.AddDate(0, 0, 1)
		n.pull(fhirsync.Complete)
		n.verified(day)
	}
	n.now = n.now.Add(time.Hour)
	o := n.office("daily 02:00")
	m, from := n.monthOf(o, 1)
	for _, end := range []struct {
		what string
		got  viewer.Totals
		at   time.Time
	}{{"start", m.Start, from}, {"end", m.End, from.AddDate(0, 1, 0)}} {
		snap, run, err := n.m.AsOfTime(end.at)
		if err != nil {
			t.Fatal(err)
		}
		counts, err := snap.Counts("emr")
		if err != nil {
			t.Fatal(err)
		}
		all := 0
		for _, c := range counts {
			all += c
		}
		if end.got.Records != all || end.got.Patients != counts["Patient"] || end.got.Documents != counts["DocumentReference"] || end.got.Run != run.Number {
			t.Errorf("%s: %+v, the store had %d records, %d patients after run %d", end.what, end.got, all, counts["Patient"], run.Number)
		}
	}
	days := int(from.AddDate(0, 1, 0).Sub(from).Hours()) / 24
	if m.Due != days || m.OnTime != days || m.Complete != days || len(m.Verifications) != days || m.Unfinished {
		t.Errorf("a month of %d days: %d due, %d on time, %d complete, %d checks", days, m.Due, m.OnTime, m.Complete, len(m.Verifications))
	}
	if m.Start.Bytes <= 0 || m.End.Bytes <= m.Start.Bytes {
		t.Errorf("size %d to %d", m.Start.Bytes, m.End.Bytes)
	}
	if m.OpenGaps != -1 {
		t.Errorf("the gaps of a month that is over: %d, want not known", m.OpenGaps)
	}
	now, _ := n.monthOf(o, 0)
	if m.Root == "" || now.Root == "" || m.Root == now.Root {
		t.Errorf("root %q then, %q now", m.Root, now.Root)
	}
	last, err := n.m.Checkpoints()
	if err != nil {
		t.Fatal(err)
	}
	if c, err := n.m.ReadCheckpoint(last); err != nil || c.ShortRoot() != now.Root {
		t.Errorf("the root now is %s, %v; the report says %s", c.ShortRoot(), err, now.Root)
	}
}

// TestDueBySchedule: what was due is what the schedule says, since it is known; a pull
// that failed, or came too late, was not on time.
func TestDueBySchedule(t *testing.T) {
	n := newNights(t, 70)
	late := firstOf(n.now.AddDate(0, 0, 70)).AddDate(0, -1, 4) // a day of the month before this
	for range 70 {
		n.now = n.now.AddDate(0, 0, 1)
		switch at := n.now; {
		case n.now.Equal(late.Add(2 * time.Hour)):
			n.pull(fhirsync.FailedRun)
		case n.now.Equal(late.AddDate(0, 0, 1).Add(2 * time.Hour)):
			n.now = n.now.Add(3 * time.Hour)
			n.pull(fhirsync.Complete)
			n.now = at
		case n.now.Equal(late.AddDate(0, 0, 2).Add(2 * time.Hour)): // none
		default:
			n.pull(fhirsync.Complete)
		}
	}
	month := func(pull string) viewer.MonthReport { m, _ := n.monthOf(n.office(pull), 1); return m }
	from := firstOf(n.now).AddDate(0, -1, 0)
	days := int(from.AddDate(0, 1, 0).Sub(from).Hours()) / 24
	if m := month("daily 02:00"); m.Due != days || m.OnTime != days-3 {
		t.Errorf("daily: %d of %d on time, want %d of %d", m.OnTime, m.Due, days-3, days)
	}
	mondays := 0
	for day := from; day.Before(from.AddDate(0, 1, 0)); day = day.AddDate(0, 0, 1) {
		if day.Weekday() == time.Monday {
			mondays++
		}
	}
	if m := month("Mon 02:00"); m.Due != mondays {
		t.Errorf("on Mondays: %d due, want %d", m.Due, mondays)
	}
	if m := month("off"); m.Due != 0 || m.OnTime != 0 {
		t.Errorf("off: %d of %d", m.OnTime, m.Due)
	}
	// From the night before the failed one to the late one.
	if m := month("daily 02:00"); m.LongestGap != 51*time.Hour || !m.LongestTo.Equal(m.LongestFrom.Add(m.LongestGap)) {
		t.Errorf("longest %v, from %v to %v", m.LongestGap, m.LongestFrom, m.LongestTo)
	}
	n.planned = n.now // the schedule was changed just now: what was due before is not known
	if err := n.m.PutSecret("schedule", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if m := month("daily 02:00"); m.Due != -1 || m.OnTime != -1 {
		t.Errorf("with a schedule made since: %d of %d, want not known", m.OnTime, m.Due)
	}
}

// TestMonthTellsChecksAndDecisions: damage, samples and decisions stand in the report of
// their month in words, with the name of who decided.
func TestMonthTellsChecksAndDecisions(t *testing.T) {
	n := newNights(t, 2)
	n.now = n.now.Add(time.Hour)
	r, err := n.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	err = r.Close(t.Context(), store.Closing{Verdict: string(fhirsync.HeldVerdict),
		States: index.RunStates{All: index.Applied, Types: map[string]index.State{"Observation": index.Held}}})
	if err != nil {
		t.Fatal(err)
	}
	r.Abort()
	if err := fhirsync.Decide(t.Context(), n.m, r.Number(), "Observation", false, "reyes"); err != nil {
		t.Fatal(err)
	}
	bad := verify.Result{Depth: verify.Full, Damage: []verify.Damage{{File: "parts/1", What: "cut"}}}
	if _, err := n.m.Record(t.Context(), store.RunSpec{Kind: "verify"}, verdictOfCheck(bad), bad); err != nil {
		t.Fatal(err)
	}
	sample := newSourceResult(config.Source{Name: "emr"})
	sample.Compared, sample.States = 2, map[string]int{fhirsync.Equal: 1, fhirsync.Differs: 1}
	sample.Different = []differing{{Ref: "Patient/1", State: fhirsync.Differs, Fields: []string{"name.family: Zaphod -> Canary"}}}
	if err := recordSample(t.Context(), n.m, sample); err != nil {
		t.Fatal(err)
	}
	o := n.office("daily 02:00")
	n.now = n.now.Add(time.Hour)
	m, err := o.Month(t.Context(), n.now)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Decisions) != 1 || m.Decisions[0].Who != "reyes" || !strings.Contains(m.Decisions[0].What, "Observation of run 2 was rejected") {
		t.Errorf("decisions: %+v", m.Decisions)
	}
	if len(m.Verifications) != 2 || m.Verifications[0].Answer != health.No || !strings.Contains(m.Verifications[0].Words, "some differ") ||
		m.Verifications[1].Answer != health.No || !strings.Contains(m.Verifications[1].Words, "1 file") {
		t.Errorf("checks: %+v", m.Verifications)
	}
	n.noName(o, "Zaphod", "Canary")
	if len(sample.Different[0].Fields) != 1 {
		t.Error("recording a sample changed it")
	}
}

// noName fails if a report of a run, which whoever sees no chart may open, has a word.
func (n *nights) noName(o *office, words ...string) {
	n.t.Helper()
	runs, err := n.m.Runs()
	if err != nil {
		n.t.Fatal(err)
	}
	checks := 0
	for _, r := range runs {
		raw, err := o.RunJSON(n.t.Context(), r.Number)
		if err != nil {
			continue // it has none
		}
		if r.Kind == "check" {
			checks++
		}
		for _, w := range words {
			if strings.Contains(string(raw), w) {
				n.t.Errorf("the report of run %d, %s, has the word %s", r.Number, r.Kind, w)
			}
		}
	}
	if checks == 0 {
		n.t.Error("there is no sample whose report could be looked at")
	}
}
