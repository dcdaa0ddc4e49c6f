package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/store"
	"chartcellar/store/chart"
)

// readFlags are the flags of every command that reads records.
type readFlags struct{ source, sheet string }

func (f *readFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.source, "source", "", "which EMR, if there are several")
	c.Flags().StringVar(&f.sheet, "sheet", "", "file with the recovery key, instead of the passphrase")
}

// A reading is the mirror as a reading command sees it.
type reading struct {
	charts.Reading
	at   time.Time // what ages and "coming" refer to
	asOf string    // "" for now: in words, which copy is shown
	run  uint32    // of the copy, for as-of
}

// read opens the mirror for reading records of one source and calls f.
func (e *env) read(ctx context.Context, doing string, o readFlags, f func(context.Context, *reading) error) error {
	return e.readWith(ctx, access{doing: doing}, o, func(ctx context.Context, _ config.Settings, r *reading) error { return f(ctx, r) })
}

// readWith is read for what asks for more than the key, and needs the settings.
func (e *env) readWith(ctx context.Context, a access, o readFlags, f func(context.Context, config.Settings, *reading) error) error {
	a.key, a.sheet = true, o.sheet
	return e.withMirror(ctx, a, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		src, err := s.Source(o.source)
		if err != nil {
			return usage(err.Error())
		}
		snap, err := m.Now()
		if err != nil {
			return err
		}
		return f(ctx, s, &reading{Reading: charts.Reading{M: m, Snap: snap, Source: src.Name, Base: src.Base}, at: time.Now()})
	})
}

// back goes back to the end of a day: 2026-03-01.
func (r *reading) back(day string) error {
	if day == "" {
		return nil
	}
	end, run, err := r.GoBack(day, time.Local)
	if errors.Is(err, charts.ErrDay) {
		return usage("write the day as 2026-03-01: --as-of DATE")
	}
	if err != nil {
		return err
	}
	r.run = run.Number
	if end.Before(r.at) {
		r.at = end
	}
	r.asOf = fmt.Sprintf("AS OF %s: as the copy stood after run %d, which ended %s. Later changes are not shown.",
		day, run.Number, run.Ended.Local().Format("2006-01-02 15:04"))
	return nil
}

// age says which copy is shown and how good it is.
func (r *reading) age() (string, error) {
	return r.quality(func(t time.Time) string { return t.Local().Format("2006-01-02 15:04") + " (" + ago(t) + ")" })
}

// dated is age for what is kept: it does not say how long ago that was.
func (r *reading) dated() (string, error) {
	return r.quality(func(t time.Time) string { return t.Local().Format("2006-01-02 15:04") })
}

func (r *reading) quality(when func(time.Time) string) (string, error) {
	if r.asOf != "" {
		return r.asOf, nil
	}
	runs, err := r.M.Runs()
	if err != nil {
		return "", err
	}
	one := sourceStatus{Name: r.Source}
	for _, run := range runs {
		one.add(r.M, run)
	}
	switch {
	case one.LastVerdict == "":
		return "The EMR was never pulled to the end: much may be missing.", nil
	case one.LastComplete.IsZero():
		return fmt.Sprintf("There is NO complete copy yet; the last pull ended %s: %s.", when(one.LastRun), one.LastVerdict), nil
	case one.LastVerdict != fhirsync.Complete:
		return fmt.Sprintf("Last complete copy %s; the pull after it: %s.", when(one.LastComplete), one.LastVerdict), nil
	}
	return fmt.Sprintf("Copy of %s, complete.", when(one.LastComplete)), nil
}

// seen writes the journal line of a view (I14).
func (r *reading) seen(code string, k store.Key, patient string) error {
	k.Source = r.Source
	return r.M.Journal(store.Event{Code: code, Account: "owner", Key: k, Patient: patient})
}

// parseRef reads TYPE/ID.
func parseRef(ref string) (typ, id string, err error) {
	typ, id, ok := strings.Cut(ref, "/")
	if !ok || typ == "" || id == "" {
		return "", "", usage("write the record as TYPE/ID, such as Patient/123")
	}
	return typ, id, nil
}

// findPatient finds the one patient that a person named by id, Patient/id or MRN.
func (r *reading) findPatient(ctx context.Context, who string) (string, error) {
	id := strings.TrimPrefix(who, "Patient/")
	_, _, err := r.Last(ctx, r.Key("Patient", id))
	if err == nil || errors.Is(err, store.ErrDamaged) {
		return id, nil // a chart says what could not be read
	}
	if !errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrSealed) {
		return "", err
	}
	if err := r.seen("patients.search", store.Key{Type: "Patient"}, ""); err != nil {
		return "", err
	}
	var list []chart.Entry
	err = r.EachPatient(ctx, func(en *chart.Entry) bool { return en.Has(who) }, func(en chart.Entry) { list = append(list, en) })
	switch {
	case err != nil:
		return "", err
	case len(list) == 0 && r.asOf != "":
		return "", &plainError{exitFailed, "The copy of that day has no patient with this id or record number.", nothingLost,
			"See whether today's has one: leave --as-of out"}
	case len(list) == 0:
		return "", errNoPatient
	case len(list) > 1:
		var ids []string
		for _, en := range list {
			ids = append(ids, "Patient/"+en.ID)
		}
		slices.Sort(ids)
		return "", &plainError{exitUsage, fmt.Sprintf("%d patients have this number: %s.", len(list), strings.Join(ids, ", ")), "",
			"Name one of them: chartcellar chart " + ids[0]}
	}
	return list[0].ID, nil
}

var errNoPatient = &plainError{exitFailed, "The copy has no patient with this id or record number.", nothingLost,
	"Look for the name: chartcellar patients NAME"}
