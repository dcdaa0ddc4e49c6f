package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/store"
	"chartcellar/store/chart"
	"chartcellar/store/scan"
)

// readFlags are the flags of every command that reads records.
type readFlags struct{ source, sheet string }

func (f *readFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.source, "source", "", "which EMR, if there are several")
	c.Flags().StringVar(&f.sheet, "sheet", "", "file with the recovery key, instead of the passphrase")
}

// A reading is the mirror as a reading command sees it.
type reading struct {
	m      *store.Mirror
	snap   *store.Snapshot
	source string
	at     time.Time // what ages and "coming" refer to
	asOf   string    // "" for now: in words, which copy is shown
	run    uint32    // of the copy, for as-of
}

// read opens the mirror for reading records of one source and calls f.
func (e *env) read(ctx context.Context, doing string, o readFlags, f func(context.Context, *reading) error) error {
	return e.withMirror(ctx, access{doing: doing, key: true, sheet: o.sheet}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		src, err := s.Source(o.source)
		if err != nil {
			return usage(err.Error())
		}
		snap, err := m.Now()
		if err != nil {
			return err
		}
		return f(ctx, &reading{m: m, snap: snap, source: src.Name, at: time.Now()})
	})
}

// back goes back to the end of a day: 2026-03-01.
func (r *reading) back(day string) error {
	if day == "" {
		return nil
	}
	t, err := time.ParseInLocation("2006-01-02", day, time.Local)
	if err != nil {
		return usage("write the day as 2026-03-01: --as-of DATE")
	}
	end := t.AddDate(0, 0, 1).Add(-time.Nanosecond)
	snap, run, err := r.m.AsOfTime(end)
	if err != nil {
		return err
	}
	r.snap, r.run = snap, run.Number
	if end.Before(r.at) {
		r.at = end
	}
	r.asOf = fmt.Sprintf("AS OF %s: as the copy stood after run %d, which ended %s. Later changes are not shown.",
		day, run.Number, run.Ended.Local().Format("2006-01-02 15:04"))
	return nil
}

// age says which copy is shown and how good it is.
func (r *reading) age() (string, error) {
	if r.asOf != "" {
		return r.asOf, nil
	}
	runs, err := r.m.Runs()
	if err != nil {
		return "", err
	}
	one := sourceStatus{Name: r.source}
	for _, run := range runs {
		one.add(r.m, run)
	}
	switch {
	case one.LastVerdict == "":
		return "The EMR was never pulled to the end: much may be missing.", nil
	case one.LastComplete.IsZero():
		return fmt.Sprintf("There is NO complete copy yet; the last pull ended %s: %s.", ago(one.LastRun), one.LastVerdict), nil
	case one.LastVerdict != fhirsync.Complete:
		return fmt.Sprintf("Last complete copy %s (%s); the pull after it: %s.", one.LastComplete.Local().Format("2006-01-02 15:04"),
			ago(one.LastComplete), one.LastVerdict), nil
	}
	return fmt.Sprintf("Copy of %s (%s), complete.", one.LastComplete.Local().Format("2006-01-02 15:04"), ago(one.LastComplete)), nil
}

// given returns which types the EMR was asked for or ever gave.
func (r *reading) given() (func(string) bool, error) {
	types, err := r.snap.Types()
	if err != nil {
		return nil, err
	}
	cursors, err := r.m.Cursors(r.source)
	for _, c := range cursors {
		types = append(types, c.Type)
	}
	return func(typ string) bool { return slices.Contains(types, typ) }, err
}

// gaps returns what the copy lacks, by type.
func (r *reading) gaps() (map[string]string, error) {
	list, err := r.m.Gaps(r.source)
	out := map[string]string{}
	for _, g := range list {
		out[g.Type] = strings.TrimSpace(out[g.Type] + fmt.Sprintf(" The copy lacks some of these since %s: %s.",
			g.Since.Local().Format("2006-01-02"), strings.TrimSuffix(chart.CleanLine(g.Reason), ".")))
	}
	return out, err
}

// A finder looks up what records refer to.
type finder struct {
	ctx context.Context
	r   *reading
}

// Find implements chart.Finder; a record that cannot be read is not found.
func (f finder) Find(typ, id string) ([]byte, bool) {
	v, err := f.r.snap.Latest(f.ctx, store.Key{Source: f.r.source, Type: typ, ID: id})
	return v.Raw, err == nil && !v.Deleted
}

func (r *reading) key(typ, id string) store.Key {
	return store.Key{Source: r.source, Type: typ, ID: id}
}

// seen writes the journal line of a view (I14).
func (r *reading) seen(code string, k store.Key, patient string) error {
	k.Source = r.source
	return r.m.Journal(store.Event{Code: code, Account: "owner", Key: k, Patient: patient})
}

// patientOf returns the id of the patient that a record belongs to; "" if it names
// none.
func patientOf(raw []byte) string {
	f, err := scan.New([32]byte{}).Facts(raw)
	if err != nil {
		return ""
	}
	return string(f.Patient)
}

// last returns the newest version that is a record, whether or not the EMR has
// removed it since.
func (r *reading) last(ctx context.Context, k store.Key) (v store.Version, removed bool, err error) {
	v, err = r.snap.Latest(ctx, k)
	if err != nil || !v.Deleted {
		return v, false, err
	}
	list, err := r.snap.History(ctx, k)
	for i := len(list) - 1; i >= 0 && err == nil; i-- {
		if !list[i].Deleted && !list[i].Lost && list[i].Counts {
			return list[i], true, nil
		}
	}
	return v, true, err
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
	_, _, err := r.last(ctx, r.key("Patient", id))
	if err == nil || errors.Is(err, store.ErrDamaged) {
		return id, nil // a chart says what could not be read
	}
	if !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	if err := r.seen("patients.search", store.Key{Type: "Patient"}, ""); err != nil {
		return "", err
	}
	var list []chart.Entry
	err = r.eachPatient(ctx, func(en *chart.Entry) bool { return en.Has(who) }, func(en chart.Entry) { list = append(list, en) })
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

// eachPatient reads all patients in parallel and calls fn, one at a time, for those
// that fit.
func (r *reading) eachPatient(ctx context.Context, fits func(*chart.Entry) bool, fn func(chart.Entry)) error {
	found := make(chan chart.Entry, 64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for en := range found {
			fn(en)
		}
	}()
	err := r.snap.EachParallel(ctx, r.source, "Patient", workers(), func(_ int, id string, raw []byte) error {
		if en := chart.NewEntry(chart.Resource{Type: "Patient", ID: id, Raw: raw}); fits(&en) {
			found <- en
		}
		return nil
	})
	close(found)
	<-done
	return err
}
