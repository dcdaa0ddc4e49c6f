package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
)

func scheduleCommand(e *env) *cobra.Command {
	c := command("schedule", "Show, set, pause the schedule",
		`schedule shows when what runs, the next five times, and what the schedule buys. The
schedule is kept by "chartcellar serve"; your times are kept as you set them.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.scheduleShow(ctx) })
	var o scheduleOptions
	set := command("set", "Change when an EMR is pulled",
		`set changes the settings file: --pull "daily 02:00, 12:30", "Mon-Fri 12:30, 19:00; Sat 02:00",
"every 4 h" or "off" for changes; --full "Sun 03:00" for comparing everything; --verify
"daily 06:00" for reading the mirror again; --downtime "daily 18:00" for the downtime sheet; --zone "Europe/Berlin" for the practice's
clock. A running "chartcellar serve" takes it over within seconds.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.scheduleSet(ctx, o) })
	set.Flags().StringVar(&o.source, "source", "", "which EMR, if there are several")
	set.Flags().StringVar(&o.pull, "pull", "", "when changes are pulled")
	set.Flags().StringVar(&o.full, "full", "", "when everything is compared")
	set.Flags().StringVar(&o.verify, "verify", "", "when a part of the mirror is read again")
	set.Flags().StringVar(&o.downtime, "downtime", "", "when the downtime sheet is made, or \"off\"")
	set.Flags().StringVar(&o.hours, "hours", "", "hours to which a published rule of the vendor binds you, such as 20:00-05:00; \"none\" ends that")
	set.Flags().StringVar(&o.rule, "hours-rule", "", "which rule: \"Example EMR, terms of use 4.2\"")
	set.Flags().StringVar(&o.zone, "zone", "", "the practice's time zone")
	pause := command("pause UNTIL", "Pause the schedule until a time",
		`pause holds the pulls of an EMR back until a time, such as 2026-03-01 or "2026-03-01 07:00"; a
pause needs an end. Afterwards one run makes up for what was missed.`, cobra.ExactArgs(1),
		func(ctx context.Context, a []string) error { return e.schedulePause(ctx, a[0], o) })
	pause.Flags().StringVar(&o.source, "source", "", "which EMR, if there are several")
	pause.Flags().StringVar(&o.why, "why", "", "why, for the record")
	resume := command("resume", "End a pause", "", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.schedulePause(ctx, "", o) })
	resume.Flags().StringVar(&o.source, "source", "", "which EMR, if there are several")
	c.AddCommand(set, pause, resume)
	return c
}

type scheduleOptions struct{ source, pull, full, verify, downtime, hours, rule, zone, why string }

// A shownJob is a row of the schedule.
type shownJob struct {
	Job     string      `json:"job"`
	When    string      `json:"when"`
	Next    []time.Time `json:"next"`
	Running bool        `json:"running"`
	Last    time.Time   `json:"lastSuccess,omitzero"`
	Paused  time.Time   `json:"pausedUntil,omitzero"`
	Moved   string      `json:"moved,omitempty"` // by a vendor's rule
}

// A shownSchedule is what `schedule` shows.
type shownSchedule struct {
	Kept bool              `json:"kept"` // a process keeps it now
	Jobs []shownJob        `json:"jobs"`
	Buys map[string]string `json:"buys"` // by EMR: what is lost at worst
}

// showSchedule gathers the rows.
func (e *env) showSchedule(s config.Settings, m *store.Mirror, now time.Time) (shownSchedule, error) {
	out := shownSchedule{Jobs: []shownJob{}, Buys: map[string]string{}}
	plans, err := plansOf(s)
	if err != nil {
		return out, usage(err.Error())
	}
	running := map[string]bool{}
	if d := e.daemon.get(); d != nil {
		out.Kept = true
		for _, st := range d.sched.Status(1) {
			running[st.Plan.Job.String()] = !st.Running.IsZero()
		}
	}
	states, err := memory{m}.all()
	if err != nil {
		return out, err
	}
	for _, p := range plans {
		if k := p.Job.Kind; k == schedule.Pack || k == schedule.CopyTest || k == schedule.Drill {
			continue // nobody sets a time for these
		}
		st := states[p.Job.String()]
		row := shownJob{Job: p.Job.String(), When: p.Calendar.Words(), Moved: schedule.Moved(p), Next: schedule.Upcoming(p, st, now, 5),
			Running: running[p.Job.String()], Last: st.Success}
		if st.Pause.Active(now) {
			row.Paused = st.Pause.Until
		}
		if row.Next == nil {
			row.Next = []time.Time{}
		}
		out.Jobs = append(out.Jobs, row)
		if p.Job.Kind == schedule.Pull {
			out.Buys[p.Job.Source] = schedule.WorstLoss(p, typicalRun(m, p.Job.Source), now).String()
		}
	}
	return out, nil
}

// typicalRun is how long the last runs of an EMR took, in the middle.
func typicalRun(m *store.Mirror, source string) time.Duration {
	runs, err := m.Runs()
	if err != nil {
		return 0
	}
	var spans []time.Duration
	for _, r := range runs {
		if r.Source == source && r.Kind == "sync" && !r.Ended.IsZero() && len(spans) < 9 {
			spans = append(spans, r.Ended.Sub(r.Started))
		}
	}
	if len(spans) == 0 {
		return 0
	}
	slices.Sort(spans)
	return spans[len(spans)/2]
}

func (e *env) scheduleShow(ctx context.Context) error {
	return e.withMirror(ctx, access{doing: "schedule"}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		out, err := e.showSchedule(s, m, time.Now())
		if err != nil {
			return err
		}
		if e.json {
			return e.printJSON(out)
		}
		if !out.Kept {
			e.printf("NOTHING RUNS BY ITSELF: no \"chartcellar serve\" is running. This is what it would do.\n\n")
		}
		for _, j := range out.Jobs {
			e.printf("%-22s %s\n", j.Job, j.When)
			if j.Moved != "" {
				e.printf("%-22s %s\n", "", j.Moved)
			}
			if j.Running {
				e.printf("%-22s is running now\n", "")
			}
			if !j.Paused.IsZero() {
				e.printf("%-22s PAUSED until %s\n", "", j.Paused.Format("2006-01-02 15:04"))
			}
			var next []string
			for _, t := range j.Next {
				next = append(next, t.Format("Mon 2006-01-02 15:04"))
			}
			if len(next) > 0 {
				e.printf("%-22s next: %s\n", "", strings.Join(next, ", "))
			}
		}
		e.printBuys(out, "\n")
		return nil
	})
}

// printBuys says what is lost at worst, by EMR in the order of their names.
func (e *env) printBuys(out shownSchedule, before string) {
	for _, source := range slices.Sorted(maps.Keys(out.Buys)) {
		e.printf("%s%s: %s\n", before, source, out.Buys[source])
	}
}

// scheduleSet writes the settings; a mistake in them writes nothing.
func (e *env) scheduleSet(ctx context.Context, o scheduleOptions) error {
	return e.withMirror(ctx, access{doing: "schedule set", write: true}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		edits, err := o.edits(s)
		if err != nil {
			return err
		}
		if err := e.changeSettings(m, "owner", edits...); err != nil {
			return err
		}
		s, err = e.settings()
		if err != nil {
			return err
		}
		out, err := e.showSchedule(s, m, time.Now())
		if err != nil {
			return err
		}
		e.printBuys(out, "")
		return nil
	})
}

// edits checks the calendars and turns them into changes of the settings.
func (o scheduleOptions) edits(s config.Settings) ([]config.Edit, error) {
	var edits []config.Edit
	for _, one := range []struct{ section, key, text string }{{"source", "pull", o.pull}, {"source", "full", o.full}, {"", "verify", o.verify}, {"", "downtime", o.downtime}} {
		if one.text == "" {
			continue
		}
		c, err := schedule.ParseCalendar(one.text)
		if err != nil {
			return nil, usage(err.Error())
		}
		if one.section != "" {
			src, err := s.Source(o.source)
			if err != nil {
				return nil, usage(err.Error())
			}
			one.section = "source " + src.Name
		}
		edits = append(edits, config.Edit{Section: one.section, Key: one.key, Value: c.String()})
	}
	hours, err := o.hoursEdits(s)
	if err != nil {
		return nil, err
	}
	edits = append(edits, hours...)
	if o.zone != "" {
		if _, err := schedule.Zone(o.zone); err != nil {
			return nil, usage(err.Error())
		}
		edits = append(edits, config.Edit{Key: "zone", Value: o.zone})
	}
	if len(edits) == 0 {
		return nil, usage("say what to change: --pull, --full, --verify, --downtime, --hours or --zone")
	}
	return edits, nil
}

// hoursEdits are the changes for a vendor's rule: only a rule that has a name binds.
func (o scheduleOptions) hoursEdits(s config.Settings) ([]config.Edit, error) {
	if o.hours == "" && o.rule == "" {
		return nil, nil
	}
	src, err := s.Source(o.source)
	if err != nil {
		return nil, usage(err.Error())
	}
	if o.hours == "none" {
		o.hours, o.rule = "", ""
	} else if _, err := schedule.ParseWindow(o.hours); err != nil {
		return nil, usage(err.Error())
	} else if o.rule == "" {
		return nil, usage("name the vendor's published rule with --hours-rule; without one your own times win, and no hours are needed")
	}
	section := "source " + src.Name
	return []config.Edit{{Section: section, Key: "hours", Value: o.hours}, {Section: section, Key: "hours_rule", Value: o.rule}}, nil
}

// changeSettings changes the settings file: first the journal line, then the file,
// whole or not at all. A daemon of this process takes it over at once.
func (e *env) changeSettings(m *store.Mirror, by string, edits ...config.Edit) error {
	path, err := e.settingsPath()
	if err != nil {
		return err
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	c := notice{code: "settings.changed", by: by}
	if c.before, err = config.Parse(old); err != nil {
		return badSettings(err)
	}
	changed, err := config.Apply(old, edits...)
	if err != nil {
		return usage(err.Error())
	}
	var keys []string
	for _, ed := range edits {
		keys = append(keys, strings.TrimSpace(ed.Section+" "+ed.Key))
	}
	if c.after, err = config.Parse(changed); err != nil {
		return usage(err.Error())
	}
	if len(config.Changed(c.before, c.after)) == 0 {
		return nil
	}
	if err := m.Journal(store.Event{Code: c.code, Account: by, Note: strings.Join(keys, ", ")}); err != nil {
		return err
	}
	if err := e.putSettings(m, by, path, changed); err != nil {
		return err
	}
	return e.changed(m, c)
}

// schedulePause pauses or, with "", resumes the pulls of an EMR.
func (e *env) schedulePause(ctx context.Context, until string, o scheduleOptions) error {
	return e.withMirror(ctx, access{doing: "schedule pause", write: true}, func(_ context.Context, s config.Settings, _ *store.Mirror) error {
		d := e.daemon.get()
		if d == nil {
			return &plainError{exitFailed, "Nothing is running that could be paused.", nothingLost, "Start it first: chartcellar serve"}
		}
		src, err := s.Source(o.source)
		if err != nil {
			return usage(err.Error())
		}
		var p schedule.Pause
		code := "schedule.resume"
		if until != "" {
			code = "schedule.pause"
			end, err := pauseEnd(until, s.Zone)
			if err != nil {
				return err
			}
			if p, err = schedule.NewPause(time.Now(), end, "owner", o.why); err != nil {
				return usage(err.Error())
			}
		}
		if err := d.pause("owner", code, src.Name, p); err != nil {
			return err
		}
		if until == "" {
			e.printf("The pause is over. Next: %s\n", d.nextWords())
			return nil
		}
		e.printf("%s is paused until %s. Your copy gets older meanwhile.\n", src.Name, p.Until.Format("2006-01-02 15:04"))
		return nil
	})
}

func pauseEnd(text, zone string) (time.Time, error) {
	loc, err := schedule.Zone(zone)
	if err != nil {
		return time.Time{}, usage(err.Error())
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, loc); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage("write the end of the pause as 2026-03-01 or \"2026-03-01 07:00\"")
}
