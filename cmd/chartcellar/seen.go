package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	accounts "chartcellar/store/access"
)

func logCommand(e *env) *cobra.Command {
	var o logOptions
	c := command("log", "Say who saw a patient, or what a person saw",
		`log shows lines of the journal, newest first: with --patient (id, Patient/id or record
number) who opened that patient's chart, records and documents; with --account what a
person opened; with both, what that person opened of that patient. What was opened under
emergency access is marked. Commands at this computer are those of the account "owner".
A list in which a name stood among others is not counted. Each use is a line in the
journal itself.

Exit codes: 0 good (also without a line), 2 usage, 12 no such patient, 15 locked.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.whoSaw(ctx, o) })
	o.readFlags.add(c)
	c.Flags().StringVar(&o.patient, "patient", "", "of this patient")
	c.Flags().StringVar(&o.account, "account", "", "by this account")
	c.Flags().StringVar(&o.from, "from", "", "from this day on: 2026-03-01")
	c.Flags().StringVar(&o.to, "to", "", "up to the end of this day: 2026-03-31")
	c.Flags().BoolVar(&o.all, "all", false, "all lines, not only the newest 100")
	return c
}

type logOptions struct {
	readFlags
	patient, account, from, to string
	all                        bool
}

// query reads the words of the command, but for the patient.
func (o logOptions) query() (q viewer.SeenQuery, err error) {
	q = viewer.SeenQuery{Account: o.account, Rows: 100}
	if o.patient == "" && o.account == "" {
		return q, usage("say of whom: --patient ID, or --account NAME")
	}
	if o.all {
		q.Rows, q.Whole = 1<<30, true
	}
	for _, day := range []struct {
		text string
		to   *time.Time
		days int
	}{{o.from, &q.From, 0}, {o.to, &q.To, 1}} {
		if day.text == "" {
			continue
		}
		t, err := time.ParseInLocation("2006-01-02", day.text, time.Local)
		if err != nil {
			return q, usage("write the day as 2026-03-01")
		}
		*day.to = t.AddDate(0, 0, day.days)
	}
	return q, nil
}

func (e *env) whoSaw(ctx context.Context, o logOptions) error {
	q, err := o.query()
	if err != nil {
		return err
	}
	return e.read(ctx, "log", o.readFlags, func(ctx context.Context, r *reading) error {
		words := logWords()
		room, err := charts.New(charts.Options{Mirror: r.M, Now: e.now, Zone: func() *time.Location { return time.Local },
			Sources: func() []string { return []string{r.Source} }, Base: func(string) string { return r.Base }, Age: func(string) (string, error) { return r.age() },
			Words: func(code string) (string, bool) { w := wordOf(words, code); return w.words, w.system }})
		if err != nil {
			return err
		}
		if o.patient != "" {
			id, err := r.findPatient(ctx, o.patient)
			if errors.Is(err, store.ErrSealed) { // who saw a patient who is sealed is worth knowing
				id, err = strings.TrimPrefix(o.patient, "Patient/"), nil
			}
			if err != nil {
				return err
			}
			q.Patient = room.Refer(r.Source, "Patient/"+id)
		}
		owner := viewer.Actor{Account: "owner", Role: accounts.Owner, Charts: true, Sensitive: true, Address: "this computer", Request: "command"}
		seen, err := room.Seen(ctx, owner, q)
		if err != nil {
			return err
		}
		if e.json {
			return e.printJSON(map[string]any{"lines": append([]viewer.SeenLine{}, seen.Lines...), "more": seen.More > 0})
		}
		e.printSeen(seen)
		return nil
	})
}

func (e *env) printSeen(s viewer.Seen) {
	var rows [][]string
	var notes []string
	for _, l := range s.Lines {
		what := orElse(l.What, l.Code)
		if l.Emergency {
			what += " (EMERGENCY)"
		}
		rows = append(rows, []string{l.At.Local().Format("2006-01-02 15:04"), l.Account, l.Address, what, l.Patient})
		notes = append(notes, l.Note)
	}
	if len(rows) > 0 {
		printTable(e.Stdout, "", e.width(), []string{"when", "who", "from", "what", "patient"}, rows, notes)
	}
	more := ""
	if s.More > 0 {
		more = "; older ones: --all"
	}
	e.printf("%s%s.\n", several(len(rows), "line", "lines"), more)
}
