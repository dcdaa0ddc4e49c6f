package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	"chartcellar/store/index"
)

func statusCommand(e *env) *cobra.Command {
	health := false
	c := command("status", "Say in a sentence how good the copy is",
		`status looks at the mirror without opening a record. Exit codes are those of the
last run; 12 if there never was a complete one.

With --health the exit code says only whether the program can work, for whatever
would start it again otherwise (a container's health check): 0, also before the
first pull, before init, and while a run is held; else 12, 13 or 15, as it is.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.status(ctx, health) })
	c.Flags().BoolVar(&health, "health", false, "exit code for a container's health check")
	return c
}

// A status is what `status` shows.
type status struct {
	Practice string         `json:"practice"`
	Mirror   string         `json:"mirror"`
	Locked   bool           `json:"locked"`
	KeyFile  bool           `json:"keyFile"` // a stolen box is readable
	Sources  []sourceStatus `json:"sources"`
	Records  int            `json:"records"`
	Patients int            `json:"patients"`
	Root     string         `json:"root"`
	Problems []string       `json:"problems"`
	reach
	health.Status
}

// A sourceStatus is how one EMR stands.
type sourceStatus struct {
	Name         string           `json:"name"`
	LastVerdict  fhirsync.Verdict `json:"lastVerdict"` // "" before the first run
	LastRun      time.Time        `json:"lastRun,omitzero"`
	LastComplete time.Time        `json:"lastComplete,omitzero"`
	Running      bool             `json:"running"` // a run is open
	Gaps         []index.Gap      `json:"gaps"`
}

func (e *env) status(ctx context.Context, health bool) error {
	err := e.showStatus(ctx, health)
	if health && errors.Is(err, config.ErrMissing) {
		e.printf("Nothing is set up yet. Start with: chartcellar init --data FOLDER\n")
		return nil
	}
	return err
}

func (e *env) showStatus(ctx context.Context, health bool) error {
	return e.withMirror(ctx, access{doing: "status"}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		st, err := gather(s, m)
		if err != nil {
			return err
		}
		path, err := e.settingsPath()
		if err != nil {
			return err
		}
		if st.reach, err = reachOf(path, s, m); err != nil {
			return err
		}
		if st.Status, err = e.health(s, m); err != nil {
			return err
		}
		if e.json {
			if err := e.printJSON(st); err != nil {
				return err
			}
		} else {
			e.printStatus(st)
		}
		if health && len(st.Problems) == 0 {
			return nil
		}
		return quiet(st.exit())
	})
}

// health judges the copy, with the schedule if this process keeps it.
func (e *env) health(s config.Settings, m *store.Mirror) (health.Status, error) {
	now := time.Now()
	var sched *schedule.Scheduler
	var read *readings
	if d := e.daemon.get(); d != nil {
		sched, read = d.sched, &d.readings
	}
	in, err := findFacts(s, m, statesOf(sched, now), now, read)
	return health.Judge(in), err
}

func gather(s config.Settings, m *store.Mirror) (status, error) {
	st := status{Practice: s.Practice, Mirror: m.ID(), Locked: m.Locked(), KeyFile: s.KeyFile != "",
		Problems: m.Problems(), Sources: []sourceStatus{}}
	runs, err := m.Runs()
	if err != nil {
		return st, err
	}
	for _, src := range s.Sources {
		one := sourceStatus{Name: src.Name}
		for _, r := range runs {
			one.add(m, r)
		}
		if one.Gaps, err = m.Gaps(src.Name); err != nil {
			return st, err
		}
		st.Sources = append(st.Sources, one)
	}
	snap, err := m.Now()
	if err != nil {
		return st, err
	}
	counts, err := snap.Counts("")
	for t, n := range counts {
		st.Records += n
		if t == "Patient" {
			st.Patients = n
		}
	}
	if n, nerr := m.Checkpoints(); nerr == nil && n > 0 {
		if c, cerr := m.ReadCheckpoint(n); cerr == nil {
			st.Root = c.ShortRoot()
		}
	}
	return st, err
}

// add takes one run into account; runs come newest first.
func (o *sourceStatus) add(m *store.Mirror, r store.RunInfo) {
	if r.Source != o.Name || r.Kind != "sync" {
		return
	}
	if r.Ended.IsZero() {
		o.Running = true
		return
	}
	verdict := verdictOf(m, r)
	if o.LastVerdict == "" {
		o.LastVerdict, o.LastRun = verdict, r.Ended
	}
	if verdict == fhirsync.Complete && o.LastComplete.IsZero() {
		o.LastComplete = r.Ended
	}
}

// verdictOf is what a run came to, without its whole record if that can be.
func verdictOf(m *store.Mirror, r store.RunInfo) fhirsync.Verdict {
	switch {
	case r.Kind == "decision":
		return fhirsync.DecisionMade
	case r.Verdict != "":
		return fhirsync.Verdict(r.Verdict)
	}
	return reportOf(m, r).Verdict
}

// cameToAnEnd reports whether a pull brought what the EMR gave, be it held or with gaps.
func cameToAnEnd(v fhirsync.Verdict) bool {
	return v == fhirsync.Complete || v == fhirsync.WithGaps || v == fhirsync.HeldVerdict
}

// reportOf reads the record of a run; what cannot be read is empty.
func reportOf(m *store.Mirror, r store.RunInfo) fhirsync.Report {
	rep, err := readReport(m, r)
	if err != nil {
		rep.Verdict = ""
	}
	return rep
}

// readReport reads the record of a run.
func readReport(m *store.Mirror, r store.RunInfo) (rep fhirsync.Report, err error) {
	record, err := m.RunRecord(r.Number)
	if err == nil && json.Unmarshal(record, &rep) != nil {
		err = fmt.Errorf("the record of run %d: %w", r.Number, store.ErrDamaged)
	}
	if r.Kind == "decision" {
		rep.Verdict = fhirsync.DecisionMade
	}
	rep.Run, rep.Source, rep.Kind, rep.Started, rep.Ended = r.Number, r.Source, r.Kind, r.Started, r.Ended
	return rep, err
}

func (st status) exit() int {
	if len(st.Problems) > 0 || st.Facts[health.ChainIntact].Answer == health.No {
		return exitDamage
	}
	code := exitGood
	for _, s := range st.Sources {
		if s.LastComplete.IsZero() {
			return exitFailed
		}
		code = max(code, exitOf(s.LastVerdict))
	}
	if st.Word == health.Overdue {
		code = max(code, exitOverdue)
	}
	if len(st.Sources) == 0 {
		return exitFailed
	}
	return code
}

func (e *env) printStatus(st status) {
	e.printf("%s. %s\n", strings.ToUpper(string(st.Word)), st.Sentence)
	if st.Running {
		e.printf("A pull is running now.\n")
	}
	if st.Loss != "" {
		e.printf("%s\n", st.Loss)
	}
	if st.Beside != "" {
		e.printf("%s\n", st.Beside)
	}
	e.printf("%s: %d records of %d patients are in the mirror.\n", st.Practice, st.Records, st.Patients)
	if len(st.Sources) == 0 {
		e.printf("No EMR is connected yet. Next: chartcellar connect NAME --base https://...\n")
	}
	for _, s := range st.Sources {
		e.printSource(s)
	}
	if st.Root != "" {
		e.printf("Short root of the archive: %s (write it down: it proves later that nothing was changed).\n", st.Root)
	}
	for _, p := range st.Problems {
		e.printf("PROBLEM: %s\n", p)
	}
	for _, w := range st.reach.words(st.KeyFile) {
		e.printf("%s\n", w)
	}
	for _, f := range st.Facts {
		words := f.Words
		if words == "" && !f.At.IsZero() {
			words = ago(f.At)
		}
		e.printf("  %-8s %s%s\n", factMark[f.Answer], f.Name, inBrackets(words))
	}
	for _, t := range st.Todo {
		e.printf("TO DO: %s\n", t)
	}
	for _, n := range st.NotSetUp {
		e.printf("Not set up: %s.\n", n)
	}
}

// factMark is how an answer stands before its fact.
var factMark = map[health.Answer]string{health.Yes: "yes", health.No: "NO", health.Unknown: "unknown", health.Stale: "too old",
	health.NotSetUp: "not yet"}

func inBrackets(words string) string {
	if words == "" {
		return ""
	}
	return " (" + oneLine(words) + ")"
}

func (e *env) printSource(s sourceStatus) {
	switch {
	case s.LastComplete.IsZero() && s.LastVerdict == "":
		e.printf("%s: never pulled. Next: chartcellar sync\n", s.Name)
	case s.LastComplete.IsZero():
		e.printf("%s: there is NO complete copy yet. The last run ended %s: %s.\n", s.Name, ago(s.LastRun), s.LastVerdict)
	case s.LastVerdict == fhirsync.Complete:
		e.printf("%s: complete as of %s (%s).\n", s.Name, s.LastComplete.Local().Format("2006-01-02 15:04"), ago(s.LastComplete))
	default:
		e.printf("%s: last complete copy %s; the run after it: %s.\n", s.Name, ago(s.LastComplete), s.LastVerdict)
	}
	if s.Running {
		e.printf("%s: a run is under way or was broken off; chartcellar sync continues it.\n", s.Name)
	}
	documents, since := 0, time.Time{}
	for _, g := range s.Gaps {
		if g.Kind == "attachment" {
			documents++
			if since.IsZero() || g.Since.Before(since) {
				since = g.Since
			}
			continue
		}
		e.printf("%s: GAP since %s: %s: %s.\n", s.Name, g.Since.Local().Format("2006-01-02"), g.Type, oneLine(g.Reason))
	}
	if documents > 0 {
		e.printf("%s: GAP since %s: %s not be had; see: chartcellar gaps\n", s.Name, since.Local().Format("2006-01-02"),
			several(documents, "document could", "documents could"))
	}
}

// ago says how long ago a time is.
func ago(t time.Time) string {
	switch d := time.Since(t); {
	case d < 2*time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}
