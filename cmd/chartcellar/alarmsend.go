package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/fhirsync/schedule"
)

// ping tells the service elsewhere of each good run, as long as no EMR's copy is
// overdue: its silence is what raises the alarm there.
func (a *alarm) ping(ctx context.Context, in health.Input) {
	address := a.settings().Alerts.Ping
	if address == "" || slices.ContainsFunc(in.Sources, func(s health.Source) bool { return s.Overdue }) {
		return
	}
	for _, src := range in.Sources {
		a.mu.Lock()
		news := src.Ended.After(a.notes.Pinged[src.Name]) && in.Now.Sub(src.Ended) < time.Hour
		a.mu.Unlock()
		beats := map[string]notify.Beat{"complete": notify.Succeeded, "complete with gaps": notify.Succeeded,
			"failed": notify.NotDone, "interrupted": notify.NotDone}
		beat, said := beats[src.Verdict]
		if !news || !said {
			continue
		}
		err := pingOf(address).Send(ctx, beat)
		a.mu.Lock()
		if err == nil {
			a.notes.Pinged[src.Name], a.notes.PingDown = src.Ended, time.Time{}
		} else if a.notes.PingDown.IsZero() && ctx.Err() == nil {
			a.notes.PingDown = in.Now
		}
		a.mu.Unlock()
		if err != nil {
			a.e.logger().WarnContext(ctx, "ping not sent") // its address is a secret
		}
	}
}

// tellPrograms writes the status file, and notes since when that fails.
func (a *alarm) tellPrograms(ctx context.Context, in health.Input) {
	err := a.writeStatus(in)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err == nil:
		a.notes.FileDown = time.Time{}
	case a.notes.FileDown.IsZero():
		a.notes.FileDown = in.Now
		a.e.logger().ErrorContext(ctx, "status file not written", "cause", err.Error())
	}
}

// writeStatus writes the status file, if there is to be one: the word and the sentence
// are those of the command and the page.
func (a *alarm) writeStatus(in health.Input) error {
	path := a.settings().Alerts.StatusFile
	if !filepath.IsAbs(path) {
		return nil
	}
	n, worst := a.center.Standing()
	st := shownStatus(in)
	return notify.WriteStatus(a.fs, path, notify.Status{Word: string(st.Word), Sentence: st.Sentence, At: in.Now,
		Alerts: n, Worst: worst, Verified: st.Copy, Next: st.Next})
}

// report sends the weekly line or the report of the month before by mail.
func (d *daemon) report(ctx context.Context, job schedule.Job) (schedule.Outcome, error) {
	a := d.alarm
	now := a.now()
	o := reportOptions{week: job.Kind == schedule.Weekly}
	if !o.week {
		o.month = now.AddDate(0, 0, -now.Day()).Format("2006-01")
	}
	from, to, err := o.span(d.settings().Zone, now)
	if err != nil {
		return schedule.Outcome{}, err
	}
	r, err := makeReport(d.settings(), d.m, from, to)
	if err != nil {
		return schedule.Outcome{}, err
	}
	alert := notify.Alert{Kind: notify.Report, Level: notify.Info}
	if o.week {
		alert.Text = r.week()
	} else {
		last := to.AddDate(0, 0, -1)
		alert.Text = notify.Lines(append([]notify.Text{notify.Say("Report from %s to %s.", notify.Day(from), notify.Day(last)), {}}, r.lines()...)...)
	}
	a.mu.Lock()
	mail := a.ways.mail
	a.mu.Unlock()
	outcomes := a.center.Tell(ctx, alert, mail...)
	a.sent(ctx, outcomes)
	a.poke()
	if slices.ContainsFunc(outcomes, func(o notify.Outcome) bool { return o.Err == nil }) {
		return schedule.Outcome{Success: true}, nil
	}
	return schedule.Outcome{Again: time.Now().Add(time.Hour)}, fmt.Errorf("send the %s report: no mail was taken", job.Kind)
}
