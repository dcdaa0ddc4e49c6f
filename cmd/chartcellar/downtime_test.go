package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	"chartcellar/store/journal"
)

// TestDowntimeEachEvening: the sheet is owed from the evening hour on, made as soon as
// somebody has the key, and until then it is said that it is not made, and why.
func TestDowntimeEachEvening(t *testing.T) {
	i := newDaemonTest(t, "--gap-days", "7")
	i.serving(func(ctx context.Context) {
		d := i.d
		missing := func(at time.Time) string {
			t.Helper()
			words, err := downtimeMissing(d.settings(), d.m, at, "")
			if err != nil {
				t.Fatal(err)
			}
			return words
		}
		tomorrow := time.Now().AddDate(0, 0, 1)
		evening := time.Date(tomorrow.Year(), tomorrow.Month(), tomorrow.Day(), 18, 0, 1, 0, time.Local)
		if due := d.downtimeDue(evening); !due.IsZero() || missing(evening) != "" {
			t.Errorf("before the first copy a sheet is due at %v: %s", due, missing(evening))
		}
		i.pull(ctx)
		key, err := readKeyFile(d.settings().KeyFile)
		if err != nil {
			t.Fatal(err)
		}
		d.m.Lock()
		if due := d.downtimeDue(evening); !due.IsZero() {
			t.Errorf("without the key a sheet is due at %v", due)
		}
		if words := missing(evening); !strings.Contains(words, "18:00 is not made: ") || !strings.Contains(words, "nobody has been since. Sign in") {
			t.Errorf("it is said: %q", words)
		}
		in, err := d.facts(evening)
		if err != nil || !strings.Contains(strings.Join(in.Due, "\n"), "downtime sheet that was due") {
			t.Errorf("the status says %q, %v", in.Due, err)
		}
		told := func() (text string) {
			t.Helper()
			w, err := d.alarm.watch(evening.Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range w.downtime() {
				text += a.Text.String()
			}
			return text
		}
		if text := told(); !strings.Contains(text, "nobody who may see charts has been signed in since") {
			t.Errorf("it is told: %q", text)
		}
		if out := d.do(ctx, schedule.Start{Job: schedule.Job{Kind: schedule.Downtime}}); out.Success {
			t.Error("made without a key")
		}
		if err := d.m.Unlock(key); err != nil {
			t.Fatal(err)
		}
		if due := d.downtimeDue(evening); due.Format("15:04") != "18:00" {
			t.Errorf("with the key it is due at %v", due)
		}
		if text := told(); !strings.Contains(text, "is not made yet") {
			t.Errorf("with the key it is told: %q", text)
		}
		if out := d.do(ctx, schedule.Start{Job: schedule.Job{Kind: schedule.Downtime}}); !out.Success {
			t.Fatalf("not made: %v", d.failures)
		}
		if due := d.downtimeDue(time.Now()); !due.IsZero() || missing(time.Now()) != "" {
			t.Errorf("after it was made it is due at %v: %s", due, missing(time.Now()))
		}
		if made, err := madeSheet(d.m, ""); err != nil || made.By != "the office computer" || len(made.Copies) != 1 {
			t.Errorf("%+v, %v", made, err)
		}
	})
	i.run("schedule", "set", "--downtime", "off")
	i.serving(func(context.Context) {
		if words, err := downtimeMissing(i.d.settings(), i.d.m, time.Now().AddDate(0, 0, 3), ""); err != nil || words != "" {
			t.Errorf("turned off, it says %q, %v", words, err)
		}
	})
}

// TestDowntimePages: the office hands the pages the sheet that is kept, takes a list, and
// answers nothing while it is locked.
func TestDowntimePages(t *testing.T) {
	i := newDaemonTest(t, "--gap-days", "7")
	i.serving(func(ctx context.Context) {
		i.pull(ctx)
		o := &office{e: i.e, d: i.d, m: i.d.m}
		doctor := viewer.Actor{Account: "doctor", Charts: true}
		if page, err := o.Downtime(ctx, doctor); err != nil || page.Sheet != nil || page.Next.IsZero() || !page.ListAt.IsZero() {
			t.Errorf("before the first: %+v, %v", page, err)
		}
		if err := o.ListDowntime(ctx, doctor, "pat-1\npat-2\n"); err != nil {
			t.Fatal(err)
		}
		if out := i.d.do(ctx, schedule.Start{Job: schedule.Job{Kind: schedule.Downtime}}); !out.Success {
			t.Fatalf("not made: %v", i.d.failures)
		}
		page, err := o.Downtime(ctx, doctor)
		if err != nil || page.Sheet == nil || len(page.Sheet.Patients) != 2 || page.List != "pat-1\npat-2\n" || page.ListAt.IsZero() {
			t.Errorf("%+v, %v", page, err)
		}
		if err := i.d.m.SealPatient(ctx, store.SealOrder{Source: page.Sheet.Patients[0].EMR, Patient: "pat-1", By: "owner", Reason: "sent by mistake"}); err != nil {
			t.Fatal(err)
		}
		page, err = o.Downtime(ctx, doctor)
		if err != nil || len(page.Sheet.Patients) != 1 || page.Sheet.Patients[0].Patient != "pat-2" || !strings.Contains(strings.Join(page.Sheet.Notes, "\n"), "1 patient was sealed") {
			t.Errorf("after a seal: %+v, %v", page.Sheet, err)
		}
		seen := map[string]int{}
		err = i.d.m.EachJournalLine(ctx, 1<<40, func(l journal.Line) error {
			if l.Code == "downtime.view" {
				seen[l.Patient]++
			}
			return nil
		})
		source := page.Sheet.Patients[0].EMR
		if one, two := seen[i.d.m.PatientMark(source, "pat-1")], seen[i.d.m.PatientMark(source, "pat-2")]; err != nil || one != 1 || two != 2 {
			t.Errorf("who was on the sheet is in the journal %d and %d times, want 1 and 2: %v", one, two, err)
		}
		i.d.m.Lock()
		if _, err := o.Downtime(ctx, doctor); err != viewer.ErrLocked {
			t.Errorf("while it is locked: %v", err)
		}
	})
}
