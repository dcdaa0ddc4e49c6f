package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/cmd/chartcellar/internal/patientfile"
	"chartcellar/config"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	"chartcellar/store/chart"
)

// downtimeHolding is where the downtime sheets are kept: sealed, verified and copied like
// everything beside the records. In it a sheet has the ending sheetEnding, and what the
// practice gave as a list of patients the name listName.
const (
	downtimeHolding = config.DowntimeHolding
	sheetEnding     = ".json.gz"
	listName        = "patients.txt"
)

func downtimeCommand(e *env) *cobra.Command {
	c := command("downtime", "The sheet for the day on which nothing works: make, show, save it",
		`A downtime sheet has of each patient who is expected, in a few lines, who it is, allergies,
problems, medicines and the last results. It names the patients with an appointment on the
next day that has some; else those of a list that you give; else those seen in the last 90
days. It says which of the three, and as of which copy. What has a sensitive label is not on
it, and counted.

"chartcellar serve" makes one each evening ("downtime" in the settings), as soon as somebody
who may see charts is signed in: records can be read only then. It is kept sealed and goes
to the second copies. With everything else off: chartcellar downtime show --copy FOLDER`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.downtimeShow(ctx, downtimeOptions{}) })
	var o downtimeOptions
	flags := func(c *cobra.Command) *cobra.Command {
		c.Flags().StringVar(&o.sheet, "sheet", "", "file with the recovery key, instead of the passphrase")
		return c
	}
	of := func(c *cobra.Command) *cobra.Command {
		c.Flags().StringVar(&o.of, "of", "", "the sheet that was made on this day: 2026-03-01; the newest else")
		return flags(c)
	}
	const codes = "\n\nExit codes: 0 good, 2 usage, 12 there is no sheet, or failed, 13 damage, 15 locked."
	c.AddCommand(
		flags(command("make", "Make the sheet now", "make makes a sheet and keeps it."+codes, cobra.NoArgs,
			func(ctx context.Context, _ []string) error { return e.downtimeMake(ctx, o) })),
		of(command("show", "Show the newest sheet as text", "show prints a sheet. Each look is a line in the journal."+codes, cobra.NoArgs,
			func(ctx context.Context, _ []string) error { return e.downtimeShow(ctx, o) })),
		of(command("save FILE", "Save the newest sheet to print: FILE.pdf or FILE.html",
			"save writes a sheet into a new file that only you can read. The file is not encrypted."+codes, cobra.ExactArgs(1),
			func(ctx context.Context, a []string) error { return e.downtimeSave(ctx, a[0], o) })),
		flags(command("list", "List the sheets that are kept", "list names no patient; it needs a key only with --copy."+codes, cobra.NoArgs,
			func(ctx context.Context, _ []string) error { return e.downtimeList(ctx, o) })),
		flags(command("patients FILE", "Give the list of patients for whom sheets are made",
			`patients keeps a list for days of which the copy knows no appointments: one patient a line,
by record number (MRN), id, or name and birth date; also CSV with such columns. The sheet
says which lines it did not find. An empty file ends the list.`+codes, cobra.ExactArgs(1),
			func(ctx context.Context, a []string) error { return e.downtimePatients(ctx, a[0], o) })))
	return c
}

type downtimeOptions struct{ sheet, of string }

// errNoSheet says that no downtime sheet is kept.
var errNoSheet = &plainError{exitFailed, "No downtime sheet is kept, or none of that day.", nothingLost,
	"Make one: chartcellar downtime make. Those that are kept: chartcellar downtime list"}

// downtimeSheets are the sheets that are kept, oldest first. It needs no key.
func downtimeSheets(m *store.Mirror) (sheets []store.KeptFile, list *store.KeptFile, err error) {
	kept, err := m.KeptFiles(downtimeHolding)
	for i, f := range kept {
		switch {
		case f.Path == listName:
			list = &kept[i]
		case strings.HasSuffix(f.Path, sheetEnding):
			sheets = append(sheets, f)
		}
	}
	return sheets, list, err
}

// madeSheet reads a sheet: the newest, or the last of a day. Who was sealed since is not on
// it.
func madeSheet(m *store.Mirror, of string) (d patientfile.Downtime, err error) {
	list, err := m.Sealed()
	if err != nil {
		return d, err
	}
	sheets, _, err := downtimeSheets(m)
	if err != nil {
		return d, err
	}
	for i := len(sheets) - 1; i >= 0; i-- {
		if of == "" || strings.HasPrefix(sheets[i].Path, of) && len(of) == len(time.DateOnly) {
			r, err := m.OpenKept(sheets[i])
			if err != nil {
				return d, err
			}
			defer r.Close() // read only
			d, err = patientfile.ReadDowntime(io.NewSectionReader(r, 0, r.Size))
			d.Without("sealed", func(emr, patient string) bool {
				return slices.ContainsFunc(list, func(s store.Seal) bool { return s.Source == emr && s.Patient == patient })
			})
			return d, err
		}
	}
	return d, errNoSheet
}

// journalSheet writes down that somebody looks at a sheet, and at each patient on it.
func journalSheet(m *store.Mirror, e store.Event, d *patientfile.Downtime) error {
	e.Key.Type = "Patient"
	looks := []store.Event{e}
	for _, b := range d.Patients {
		e.Key.Source, e.Patient = b.EMR, b.Patient
		looks = append(looks, e)
	}
	return m.Journal(looks...)
}

// patientList is the list that the practice gave; "" for none.
func patientList(m *store.Mirror) (text string, at time.Time, err error) {
	_, list, err := downtimeSheets(m)
	if err != nil || list == nil {
		return "", at, err
	}
	r, err := m.OpenKept(*list)
	if err != nil {
		return "", at, err
	}
	defer r.Close() // read only
	b, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size))
	return string(b), list.Taken, err
}

// makeDowntime makes a sheet of the copy as it stands, and keeps it.
func (e *env) makeDowntime(ctx context.Context, s config.Settings, m *store.Mirror, by, account string) (d patientfile.Downtime, err error) {
	zone, err := schedule.Zone(s.Zone)
	if err != nil {
		return d, err
	}
	o := charts.DowntimeOptions{Practice: s.Practice, By: by, Now: e.now().In(zone).Truncate(time.Second)}
	snap, err := m.Now()
	if err != nil {
		return d, err
	}
	for _, src := range s.Sources {
		r := &reading{Reading: charts.Reading{M: m, Snap: snap, Source: src.Name, Base: src.Base}}
		age, err := r.dated()
		if err != nil {
			return d, err
		}
		o.Readings, o.Ages = append(o.Readings, &r.Reading), append(o.Ages, age)
	}
	if o.List, o.ListAt, err = patientList(m); err != nil {
		return d, err
	}
	if d, err = charts.Downtime(ctx, o); err != nil {
		return d, err
	}
	b, err := d.Bytes()
	if err != nil {
		return d, err
	}
	return d, e.keepDowntime(ctx, m, o.Now.Format("2006-01-02 150405")+sheetEnding, b, "downtime.make", account)
}

// keepDowntime keeps one file in the holding of the downtime sheets.
func (e *env) keepDowntime(ctx context.Context, m *store.Mirror, name string, content []byte, code, account string) error {
	k, err := e.newKeeping(m, config.Holding{Name: downtimeHolding}, "made here")
	if err != nil {
		return err
	}
	return k.all(ctx, code, account, func() error {
		if err := k.begin(ctx); err != nil {
			return err
		}
		f := store.KeptFile{Holding: downtimeHolding, Path: name, Source: k.from, Size: int64(len(content)), Modified: e.now()}
		f, err := k.run.Keep(ctx, f, bytes.NewReader(content), func(store.Content) error { return nil })
		k.result.Kept, k.result.Bytes = 1, f.Size
		return err
	})
}

func (e *env) downtimeMake(ctx context.Context, o downtimeOptions) error {
	return e.withMirror(ctx, access{doing: "downtime make", write: true, key: true, sheet: o.sheet}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		d, err := e.makeDowntime(ctx, s, m, "the owner", "owner")
		if err != nil {
			return err
		}
		if e.json {
			return e.printJSON(d)
		}
		e.printf("%s\n", d.Title())
		for _, l := range d.Lines() {
			e.lines("", l)
		}
		e.printf("Print it: chartcellar downtime save FILE.pdf\n")
		return nil
	})
}

// readSheet opens a sheet for somebody, once the journal has it.
func (e *env) readSheet(ctx context.Context, doing, code string, o downtimeOptions, f func(patientfile.Downtime) error) error {
	return e.withMirror(ctx, access{doing: doing, key: true, sheet: o.sheet}, func(_ context.Context, _ config.Settings, m *store.Mirror) error {
		d, err := madeSheet(m, o.of)
		if err != nil {
			return err
		}
		if err := journalSheet(m, store.Event{Code: code, Account: "owner", Note: o.of}, &d); err != nil {
			return err
		}
		return f(d)
	})
}

func (e *env) downtimeShow(ctx context.Context, o downtimeOptions) error {
	return e.readSheet(ctx, "downtime show", "downtime.view", o, func(d patientfile.Downtime) error {
		if e.json {
			return e.printJSON(d)
		}
		e.printf("%s\n", d.Title())
		for _, l := range d.Lines() {
			e.lines("", chart.CleanLine(l))
		}
		for _, b := range d.Patients {
			e.printf("\n")
			e.lines("", chart.CleanLine(strings.Join(append([]string{b.Name}, b.When...), " · ")))
			e.lines("  ", chart.CleanLine(strings.Join(b.Facts, " · ")))
			e.lines("  ", chart.CleanLine("ALLERGIES: "+b.Allergies))
			for _, l := range b.Lists() {
				e.lines("  ", chart.CleanLine(l))
			}
		}
		return nil
	})
}

func (e *env) downtimeSave(ctx context.Context, file string, o downtimeOptions) error {
	ending := strings.ToLower(path.Ext(file))
	if ending != ".pdf" && ending != ".html" {
		return usage("name a file that ends in .pdf or .html")
	}
	file, err := e.newFile(file)
	if err != nil {
		return err
	}
	return e.readSheet(ctx, "downtime save", "downtime.save", o, func(d patientfile.Downtime) error {
		print := d.HTML
		if ending == ".pdf" {
			print = d.PDF
		}
		if err := e.writeWhole(file, print); err != nil {
			return err
		}
		if e.json {
			return e.printJSON(map[string]any{"file": file, "patients": len(d.Patients), "of": d.Found, "made": d.Made})
		}
		e.printf("%s: %d of %d patients are in %s.\nThe file is not encrypted: guard it as you guard the charts.\n", d.Title(), len(d.Patients),
			d.Found, file)
		return nil
	})
}

func (e *env) downtimeList(ctx context.Context, o downtimeOptions) error {
	return e.withMirror(ctx, access{doing: "downtime list", sheet: o.sheet}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		sheets, list, err := downtimeSheets(m)
		if err != nil {
			return err
		}
		missing, err := downtimeMissing(s, m, e.now(), "")
		if err != nil {
			return err
		}
		if e.json {
			return e.printJSON(map[string]any{"sheets": append([]store.KeptFile{}, sheets...), "list": list, "missing": missing})
		}
		for _, f := range sheets {
			e.printf("%s  %6d bytes  kept %s\n", strings.TrimSuffix(f.Path, sheetEnding), f.Size, f.Taken.Local().Format("2006-01-02 15:04"))
		}
		e.printf("%s.\n", plural(len(sheets), "sheet"))
		if list != nil {
			e.printf("A list of patients is kept since %s.\n", list.Taken.Local().Format("2006-01-02 15:04"))
		}
		if missing != "" {
			e.lines("", "NOTE: "+missing)
		}
		return nil
	})
}

// mostListed is how large a list of patients may be.
const mostListed = 1 << 20

func (e *env) downtimePatients(ctx context.Context, file string, o downtimeOptions) error {
	file, err := e.abs(file)
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return (&keeping{}).cannotRead(err)
	}
	b, err := io.ReadAll(io.LimitReader(f, mostListed+1))
	f.Close() // read only
	switch {
	case err != nil:
		return (&keeping{}).cannotRead(err)
	case len(b) > mostListed:
		return usage("this list has more than 1 MB: it is none of patients for a day")
	}
	return e.withMirror(ctx, access{doing: "downtime patients", write: true, key: true, sheet: o.sheet}, func(ctx context.Context, _ config.Settings, m *store.Mirror) error {
		if err := e.keepDowntime(ctx, m, listName, b, "downtime.list", "owner"); err != nil {
			return err
		}
		e.printf("The list is kept: %s. It counts from the next sheet on: chartcellar downtime make\n", plural(len(charts.ListLines(string(b))), "line"))
		return nil
	})
}

// downtimePlan is when the sheet is made; the zero Plan: never.
func downtimePlan(s config.Settings) (p schedule.Plan, err error) {
	p = schedule.Plan{Job: schedule.Job{Kind: schedule.Downtime}, Lane: string(schedule.Downtime)}
	if p.Zone, err = schedule.Zone(s.Zone); err != nil {
		return p, err
	}
	if s.Downtime == "" { // settings that were not read from a file
		return p, nil
	}
	if p.Calendar, err = schedule.ParseCalendar(s.Downtime); err != nil {
		return p, fmt.Errorf("downtime: %w", err)
	}
	return p, nil
}

// downtimeOwed returns since when a sheet is owed: it was due, and none was made since;
// zero if none is. Before the first copy none is.
func downtimeOwed(s config.Settings, m *store.Mirror, now time.Time) (time.Time, error) {
	p, err := downtimePlan(s)
	if err != nil {
		return time.Time{}, err
	}
	due := p.Last(now)
	if due.IsZero() {
		return due, nil
	}
	sheets, _, err := downtimeSheets(m)
	if n := len(sheets); err != nil || n > 0 && !sheets[n-1].Taken.Before(due) {
		return time.Time{}, err
	}
	runs, err := m.Runs()
	for _, r := range runs {
		if r.Kind == "sync" && r.Closing != 0 && r.Ended.Before(due) {
			return due, nil
		}
	}
	return time.Time{}, err
}

// downtimeMissing says that a sheet is owed, and why there is none; "" if none is owed.
// failed is why the last try failed, if it did.
func downtimeMissing(s config.Settings, m *store.Mirror, now time.Time, failed string) (string, error) {
	due, err := downtimeOwed(s, m, now)
	if err != nil || due.IsZero() {
		return "", err
	}
	words := "The downtime sheet that was due on " + due.Format("Mon 2 January 15:04") + " is not made: "
	switch {
	case failed != "":
		return words + "the last try failed. " + failed, nil
	case m.Locked():
		return words + "records can be read only while somebody who may see charts is signed in, and nobody has been since. Sign in, and it is made at once.", nil
	}
	return words + "it is being made, or a run holds it up. If it stays so: Patients, Downtime sheet, “Make one now”; or chartcellar downtime make", nil
}

// downtimeDue is when the daemon is to make the sheet: at once, if one is owed and the key
// is there.
func (d *daemon) downtimeDue(now time.Time) time.Time {
	if d.m.Locked() {
		return time.Time{}
	}
	due, err := downtimeOwed(d.settings(), d.m, now)
	if err != nil {
		d.e.logger().Error("downtime sheet not looked for", "cause", err.Error())
	}
	return due
}

// downtime is the job that makes the sheet and sends it to the second copies.
func (d *daemon) downtime(ctx context.Context) (schedule.Outcome, error) {
	s := d.settings()
	_, err := d.e.makeDowntime(ctx, s, d.m, "the office computer", "schedule")
	if errors.Is(err, store.ErrBusy) || errors.Is(err, store.ErrLocked) {
		return schedule.Outcome{}, nil // a run goes on, or the last one has left: it is tried again
	}
	if err != nil {
		return schedule.Outcome{}, err
	}
	for _, c := range s.Copies {
		if c.Hours == "" && c.At != "off" { // the others get it in their hours
			if err := d.sched.RunNow(schedule.Job{Source: c.Name, Kind: schedule.Copy}); err != nil {
				d.e.logger().InfoContext(ctx, "second copy not asked for", "cause", err.Error())
			}
		}
	}
	return schedule.Outcome{Success: true}, nil
}
