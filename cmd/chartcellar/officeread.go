package main

import (
	"context"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
)

func (o *office) Status(context.Context) (viewer.Status, error) {
	st, err := o.e.health(o.d.settings(), o.m)
	return viewer.Status{Status: st}, err
}
func (o *office) Home(ctx context.Context) (viewer.Home, error) {
	st, err := o.Status(ctx)
	return viewer.Home{Status: st}, err
}
func (o *office) Runs(context.Context, uint32, int) ([]viewer.RunLine, int, error) {
	return nil, 0, nil
}
func (o *office) Run(context.Context, uint32) (viewer.RunReport, error) {
	return viewer.RunReport{}, viewer.ErrNotFound
}
func (o *office) RunJSON(context.Context, uint32) ([]byte, error)     { return nil, viewer.ErrNotFound }
func (o *office) Gaps(context.Context) (viewer.Gaps, error)           { return viewer.Gaps{}, nil }
func (o *office) Coverage(context.Context) ([]viewer.Coverage, error) { return nil, nil }
func (o *office) Changes(context.Context, time.Time) (viewer.Changes, error) {
	return viewer.Changes{}, nil
}
func (o *office) Storage(context.Context) (viewer.Storage, error)               { return viewer.Storage{}, nil }
func (o *office) Held(context.Context, viewer.Actor) ([]viewer.HeldType, error) { return nil, nil }
func (o *office) Decide(context.Context, viewer.Actor, uint32, string, bool) error {
	return nil
}
func (o *office) Months(context.Context) ([]time.Time, error) { return nil, nil }
func (o *office) Month(context.Context, time.Time) (viewer.MonthReport, error) {
	return viewer.MonthReport{}, viewer.ErrNotFound
}
func (o *office) Log(context.Context, viewer.Actor, viewer.LogScope, uint64, int) (viewer.LogPage, error) {
	return viewer.LogPage{}, nil
}
func (o *office) SetAlerts(context.Context, viewer.Actor, viewer.Alerts) error { return nil }
func (o *office) TestAlert(context.Context, viewer.Actor) (string, error)      { return "", nil }
