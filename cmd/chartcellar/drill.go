package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
	"chartcellar/store/offsite"
)

// The kind of run of a drill, what it comes to, and for how long it counts (I12).
const (
	drillRun    = "drill"
	drillPassed = "passed"
	drillFailed = "not passed"
	drillLife   = 90 * 24 * time.Hour
)

// A drillRecord is what a drill leaves.
type drillRecord struct {
	offsite.Drilled
	Place  string `json:"place"`
	Person string `json:"person"`
}

func (r drillRecord) verdict() string {
	if r.Passed() {
		return drillPassed
	}
	return drillFailed
}

func drillCommand(e *env) *cobra.Command {
	var sheet, person, scratch string
	c := command("drill [COPY]", "Prove that a second copy comes back with the printed sheet",
		`drill restores a second copy into an empty folder, with the key that a person types from
the printed sheet (or --sheet FILE), reads every byte of it, compares its log with the
office copy's, lays the records of 20 random patients beside those here, and records who
did it, when, and how long it took. The folder is sealed like the copy, and is removed
at the end. Do it every month; after 90 days it is overdue.`,
		cobra.MaximumNArgs(1), func(ctx context.Context, a []string) error {
			return e.drill(ctx, strings.Join(a, ""), sheet, person, scratch)
		})
	c.Flags().StringVar(&sheet, "sheet", "", "file with the lines of the key as they were typed from the sheet")
	c.Flags().StringVar(&person, "person", "", "who does it, for the record")
	c.Flags().StringVar(&scratch, "scratch", "", "where the copy goes for the time being (default: the folder of the office copy)")
	return c
}

func (e *env) drill(ctx context.Context, name, sheet, person, scratch string) error {
	if person == "" {
		return usage("say who does the drill, for the record: --person NAME")
	}
	a := access{doing: "drill", write: true, key: true, sheet: sheet, typed: sheet == ""}
	return e.withMirror(ctx, a, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		c, err := s.Copy(name)
		if err != nil {
			return usage(err.Error())
		}
		text, err := e.sheetText(sheet)
		if err != nil {
			return err
		}
		id, err := keys.ParseSheet(sheetKey(text))
		if err != nil {
			return err
		}
		if scratch, err = e.drillFolder(s, scratch); err != nil {
			return err
		}
		rec, err := e.drillOnce(ctx, m, c, drillOrder{paper{id, text}, person, "owner"}, scratch, e.fetched())
		if err != nil {
			return err
		}
		if e.json {
			err = e.printJSON(rec)
		} else {
			e.printf("%s\n", strings.Join(rec.notes(), "\n"))
		}
		if err == nil && !rec.Passed() {
			err = quiet(exitDamage)
		}
		return err
	})
}

// sheetText reads the sheet's file; without one the key was typed.
func (e *env) sheetText(file string) (string, error) {
	if file == "" {
		return e.secret, nil
	}
	return e.sheetFile(file)
}

func (e *env) drillFolder(s config.Settings, scratch string) (string, error) {
	if scratch == "" {
		return s.Data, nil
	}
	return e.abs(scratch)
}

// A drillOrder is what a person gives for a drill.
type drillOrder struct {
	sheet   paper
	person  string // who does it, for the record
	account string // that he signed in with
}

// drillOnce makes a drill in a folder that is gone afterwards, and keeps what it came to.
func (e *env) drillOnce(ctx context.Context, m *store.Mirror, c config.Copy, o drillOrder, parent string, events func(int, int, int64)) (drillRecord, error) {
	rec, err := e.tryBack(ctx, m, c, o.sheet, parent, events)
	if err != nil {
		return rec, err
	}
	rec.Person = o.person
	if err := m.Journal(store.Event{Code: "drill", Account: o.account, Key: store.Key{Source: c.Name}, Count: rec.Compared, Note: o.person}); err != nil {
		return rec, err
	}
	return rec, keepRecord(ctx, m, store.RunSpec{Source: c.Name, Kind: drillRun}, rec.verdict(), rec)
}

// tryBack brings a copy back into a folder that is gone afterwards, and compares it.
func (e *env) tryBack(ctx context.Context, m *store.Mirror, c config.Copy, sheet paper, parent string, events func(int, int, int64)) (rec drillRecord, err error) {
	rec.Place = c.Name
	p, err := e.openPlace(ctx, m, c)
	if err != nil {
		return rec, err
	}
	defer p.Close() // only read
	scratch, err := disk.TakeScratch(filepath.Join(parent, "chartcellar-drill-"+m.ID()))
	if errors.Is(err, disk.ErrHeld) {
		return rec, &plainError{exitBusy, "Another drill is under way.", nothingLost, "Wait until it has ended, then try again."}
	}
	if err != nil {
		return rec, err
	}
	defer func() { err = errors.Join(err, scratch.Close()) }()
	s, err := e.settings()
	if err != nil {
		return rec, err
	}
	rec.Drilled, err = offsite.Drill(ctx, m, p, offsite.DrillOptions{Place: c.Name, Only: onlyBy(s), Dir: scratch.Dir(), FS: e.disk, Identity: sheet.id, Mirror: sheet.fits, Now: e.now, Events: events})
	return rec, err
}

// notes say what a drill came to.
func (r drillRecord) notes() (list []string) {
	say := func(format string, a ...any) { list = append(list, fmt.Sprintf(format, a...)) }
	if r.Passed() {
		say("PASSED. The second copy %s came back with the key of the sheet alone.", r.Place)
	} else {
		say("NOT PASSED. The second copy %s did not come back as it must.", r.Place)
	}
	say("Done by %s on %s, in %s.", r.Person, r.Started.Local().Format("2006-01-02 15:04"), r.Took.Round(time.Second/10))
	say("%d files, %d MB, were restored; %d records were decrypted and checked.", r.Files, r.Bytes>>20, r.Records)
	if r.SameRoot {
		say("The log of the copy is the office copy's: short root %s.", r.Root)
	} else {
		say("WRONG  The log of the copy is another than the office copy's.")
	}
	say("%d random patients were compared, %d records: %d are not the same, %d are in one of the two only.", r.Patients, r.Compared, r.Differ, r.Lacking)
	for _, w := range r.Wrong {
		say("WRONG  %s: %s", w.File, w.What)
	}
	for _, d := range r.Damage {
		say("DAMAGE  %s: %s", d.File, d.What)
	}
	if !r.Passed() {
		say("The office copy itself is unchanged. Next: chartcellar copy verify %s --all; keep that copy, and make another at another place.", r.Place)
	}
	say("Not checked: %s", r.NotChecked)
	return list
}

// recordOfDrill reads what a drill left.
func recordOfDrill(m *store.Mirror, r store.RunInfo) (rec drillRecord) {
	raw, err := m.RunRecord(r.Number)
	if err != nil || json.Unmarshal(raw, &rec) != nil {
		return drillRecord{}
	}
	return rec
}

// drillEvery is how often a drill is asked for; overdue it is later (drillLife).
const drillEvery = 31 * 24 * time.Hour

// drillDue asks for the first drill, once there is a second copy, and then for one each
// month.
func drillDue(s config.Settings, last health.Check, now time.Time) []string {
	switch {
	case len(s.Copies) == 0:
	case last.Answer == health.NotSetUp:
		return []string{"Do the first restore drill with the printed sheet: only then is it known that sheet and copy bring the records back."}
	case last.Answer == health.Yes && now.Sub(last.At) > drillEvery:
		return []string{"It is time for the monthly restore drill with the printed sheet."}
	}
	return nil
}

// drilled judges whether a restore was tried in time.
func drilled(runs []store.RunInfo, now time.Time) health.Check {
	i := slices.IndexFunc(runs, func(r store.RunInfo) bool { return r.Kind == drillRun && !r.Ended.IsZero() })
	if i < 0 {
		return health.Check{Answer: health.NotSetUp, Link: "/backups/drill"}
	}
	r := runs[i]
	c := health.Check{Answer: health.Yes, At: r.Ended, Link: "/backups/drill"}
	switch {
	case r.Verdict != drillPassed:
		c.Answer, c.Words = health.No, "the last restore drill did not pass: chartcellar runs show "+fmt.Sprint(r.Number)
	case now.Sub(r.Ended) > drillLife:
		c.Answer = health.Stale
	}
	return c
}
