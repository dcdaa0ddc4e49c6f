package main

import (
	"context"
	"errors"
	"time"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
)

var _ viewer.Downtimes = (*office)(nil)

// Downtime implements viewer.Downtimes.
func (o *office) Downtime(ctx context.Context, a viewer.Actor) (out viewer.Downtime, err error) {
	if o.m.Locked() {
		return out, viewer.ErrLocked
	}
	d, err := madeSheet(o.m, "")
	if err != nil && !errors.Is(err, errNoSheet) {
		return out, locked(err)
	}
	if err == nil {
		if out.Sheet = &d; !a.Sensitive {
			err = charts.WithoutLabelled(ctx, o.m, &d)
		}
		if err != nil {
			return viewer.Downtime{}, locked(err)
		}
	}
	if err := journalSheet(o.m, store.Event{Code: "downtime.view", Account: a.Account, Note: charts.Note(a)}, &d); err != nil {
		return viewer.Downtime{}, err
	}
	if out.List, out.ListAt, err = patientList(o.m); err != nil {
		return out, locked(err)
	}
	if len(charts.ListLines(out.List)) == 0 {
		out.ListAt = time.Time{}
	}
	s, failed := o.d.settings(), ""
	if t, ok := o.d.failure(schedule.Downtime, ""); ok {
		failed = explain(t.err).What
	}
	if out.Missing, err = downtimeMissing(s, o.m, o.now(), failed); err != nil {
		return out, err
	}
	p, err := downtimePlan(s)
	if next := p.Next(o.now(), 1); len(next) > 0 {
		out.When, out.Next = p.Calendar.Words(), next[0]
	}
	return out, err
}

// MakeDowntime implements viewer.Downtimes.
func (o *office) MakeDowntime(ctx context.Context, a viewer.Actor) error {
	return o.start(ctx, a, "downtime.now", schedule.Job{Kind: schedule.Downtime})
}

// ListDowntime implements viewer.Downtimes.
func (o *office) ListDowntime(ctx context.Context, a viewer.Actor, list string) error {
	err := o.e.keepDowntime(ctx, o.m, listName, []byte(list), "downtime.list", a.Account)
	if errors.Is(err, store.ErrBusy) {
		return viewer.ErrBusy
	}
	return locked(err)
}
