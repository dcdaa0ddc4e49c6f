package viewer_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/access"
	"chartcellar/store/chart"
)

// A double stands for what is behind the pages. The zero double knows nothing.
type double struct {
	measured []string     // more records of the one patient
	ready    *chart.Chart // his chart; nil: it is made each time
	status   viewer.Status
	home     viewer.Home
	runs     []viewer.RunLine
	reports  map[uint32]viewer.RunReport
	gaps     viewer.Gaps
	coverage []viewer.Coverage
	changes  viewer.Changes
	storage  viewer.Storage
	held     []viewer.HeldType
	schedule viewer.Schedule
	months   []viewer.MonthReport
	settings viewer.Settings
	log      viewer.LogPage
	copies   []viewer.SecondCopy
	drills   viewer.Drills
	damage   viewer.Damage
	restored viewer.Restored
	holdings []viewer.Holding
	found    viewer.HoldingFiles
	searches map[string]viewer.SearchResult
	owner    func(ctx context.Context, code string, o viewer.NewOwner) error
	begun    chan bool // a document does not end, and says when it has begun
	broken   error     // what every question is answered with

	// mu covers what follows.
	mu       sync.Mutex
	setup    viewer.Setup
	progress viewer.Progress
	did      []string
	seen     viewer.Seen
	actor    viewer.Actor // who opened a chart last
	left     []string     // accounts whose searches were stopped
}

func (d *double) do(format string, a ...any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.did = append(d.did, fmt.Sprintf(format, a...))
	return d.broken
}

func (d *double) Status(context.Context) (viewer.Status, error) { return d.status, d.broken }
func (d *double) Home(context.Context) (viewer.Home, error) {
	h := d.home
	h.Status = d.status
	h.Runs = d.runs[:min(5, len(d.runs))]
	return h, d.broken
}
func (d *double) Runs(_ context.Context, before uint32, n int) (list []viewer.RunLine, all int, err error) {
	for _, r := range d.runs {
		if (before == 0 || r.Number < before) && len(list) < n {
			list = append(list, r)
		}
	}
	return list, len(d.runs), d.broken
}
func (d *double) Run(_ context.Context, n uint32) (viewer.RunReport, error) {
	r, ok := d.reports[n]
	if !ok {
		return r, viewer.ErrNotFound
	}
	return r, d.broken
}
func (d *double) RunJSON(ctx context.Context, n uint32) ([]byte, error) {
	_, err := d.Run(ctx, n)
	return []byte(`{"run":1}`), err
}
func (d *double) Gaps(context.Context) (viewer.Gaps, error)           { return d.gaps, d.broken }
func (d *double) Coverage(context.Context) ([]viewer.Coverage, error) { return d.coverage, d.broken }
func (d *double) Changes(context.Context, time.Time) (viewer.Changes, error) {
	return d.changes, d.broken
}
func (d *double) Storage(context.Context) (viewer.Storage, error) { return d.storage, d.broken }
func (d *double) Held(_ context.Context, a viewer.Actor) ([]viewer.HeldType, error) {
	return slices.Clone(d.held), d.broken // also to those who may not see them: the page must drop them
}
func (d *double) Decide(_ context.Context, a viewer.Actor, run uint32, typ string, accept bool) error {
	return d.do("decide %s %d %s %v", a.Account, run, typ, accept)
}
func (d *double) RunNow(_ context.Context, a viewer.Actor, full bool) error {
	err := d.do("run %s %v", a.Account, full)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.progress = viewer.Progress{Running: true, Kind: "sync", Source: "main", Started: now, Words: "Observations are coming in.", Done: 12400, All: 48210, Unit: "records", PerSec: 812, Left: 44 * time.Second}
	return err
}
func (d *double) VerifyNow(_ context.Context, a viewer.Actor) error {
	return d.do("verify %s", a.Account)
}
func (d *double) Stop(_ context.Context, a viewer.Actor) error {
	err := d.do("stop %s", a.Account)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.progress = viewer.Progress{Kind: "sync", Source: "main", Run: 412, Ended: now, Verdict: "interrupted"}
	return err
}
func (d *double) Progress(context.Context) (viewer.Progress, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.progress, d.broken
}
func (d *double) Schedule(context.Context) (viewer.Schedule, error) { return d.schedule, d.broken }
func (d *double) Preview(_ context.Context, source, pull, full, verify string) (viewer.Plan, error) {
	if pull == "nonsense" {
		return viewer.Plan{}, &viewer.Refusal{Words: "“nonsense” is no time. Write daily 02:00. Nothing was changed."}
	}
	return viewer.Plan{Source: source, Pull: pull, Full: full, Verify: verify, Words: "Fetches what changed: " + pull + ".",
		Buys: "With this schedule you lose at most 24 h of charting.", Next: []time.Time{now.Add(5 * time.Hour)}}, nil
}
func (d *double) SetSchedule(ctx context.Context, a viewer.Actor, source, pull, full, verify string) error {
	if _, err := d.Preview(ctx, source, pull, full, verify); err != nil {
		return err
	}
	d.mu.Lock()
	d.setup.Plan = true
	d.mu.Unlock()
	return d.do("schedule %s %s", a.Account, pull)
}
func (d *double) Pause(_ context.Context, a viewer.Actor, until time.Time, why string) error {
	return d.do("pause %s %s", a.Account, until.Format(time.DateOnly))
}
func (d *double) Resume(_ context.Context, a viewer.Actor) error { return d.do("resume %s", a.Account) }
func (d *double) Months(context.Context) (list []time.Time, err error) {
	for _, m := range d.months {
		list = append(list, m.Month)
	}
	return list, d.broken
}
func (d *double) Month(_ context.Context, t time.Time) (viewer.MonthReport, error) {
	for _, m := range d.months {
		if m.Month.Format("2006-01") == t.Format("2006-01") {
			return m, d.broken
		}
	}
	return viewer.MonthReport{}, viewer.ErrNotFound
}
func (d *double) Settings(context.Context) (viewer.Settings, error) { return d.settings, d.broken }
func (d *double) SetAlerts(_ context.Context, a viewer.Actor, al viewer.Alerts) error {
	d.mu.Lock()
	d.setup.Alert = true
	d.mu.Unlock()
	return d.do("alerts %s %v", a.Account, al.Mail)
}
func (d *double) TestAlert(context.Context, viewer.Actor) (string, error) {
	return "A test message was sent to 2 addresses.", d.broken
}
func (d *double) TestConnection(_ context.Context, _ viewer.Actor, source string) ([]viewer.Step, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setup.EMR = true
	return []viewer.Step{{Name: "The address answers", State: "good", Words: "emr.example names itself Example EMR 12.3, FHIR 4.0.1."},
		{Name: "The sign-in works", State: "good"}, {Name: "All types that are wanted are granted", State: "warning", Words: "Not granted: AuditEvent."}}, nil
}
func (d *double) Log(context.Context, viewer.Actor, viewer.LogScope, uint64, int) (viewer.LogPage, error) {
	return d.log, d.broken
}
func (d *double) Setup(context.Context) (viewer.Setup, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.setup, d.broken
}
func (d *double) CheckFolder(_ context.Context, folder string) (viewer.Room, error) {
	if folder == "" || folder == "/proc" {
		return viewer.Room{}, &viewer.Refusal{Words: "This folder cannot be written."}
	}
	return viewer.Room{Folder: folder, Free: 412e9, Total: 512e9}, nil
}
func (d *double) CreateOwner(ctx context.Context, code string, o viewer.NewOwner) error {
	if d.owner == nil {
		return access.ErrBadCode
	}
	err := d.owner(ctx, code, o)
	if err == nil {
		d.mu.Lock()
		d.setup.Owner = true
		d.mu.Unlock()
	}
	return err
}
func (d *double) Sheet(context.Context, viewer.Actor) (viewer.Sheet, error) {
	return viewer.Sheet{Practice: "Elm Street", Made: now, Ask: []int{2, 4}, Lines: []viewer.SheetLine{{1, "AGE-S ECRET KEY-1", "AB"}, {2, "QQQQQ QQQQQ QQQQQ", "CD"}}}, nil
}
func (d *double) SheetPDF(_ context.Context, _ viewer.Actor, w io.Writer) error {
	_, err := io.WriteString(w, "%PDF-1.7\n")
	return err
}
func (d *double) ProveSheet(_ context.Context, _ viewer.Actor, letters []string) error {
	if len(letters) != 2 || letters[0] != "CD" {
		return &viewer.Refusal{Words: "Line 2 does not match. Look at the paper again; O and 0 never occur."}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setup.Sheet = true
	return nil
}
func (d *double) Worksheet(context.Context) (viewer.Worksheet, error) {
	return viewer.Worksheet{PublicKey: `{"keys":[]}`, Scopes: []string{"system/Patient.rs", "system/Observation.rs"},
		Rows: [][2]string{{"What kind of app is it?", "Backend service; no user signs in"}, {"Who hosts it?", "The practice, in its own office"}}}, nil
}
func (d *double) Connect(_ context.Context, a viewer.Actor, c viewer.NewConnection) error {
	if c.Base == "" {
		return &viewer.Refusal{Words: "The FHIR address is missing."}
	}
	return d.do("connect %s", c.Base)
}
func (d *double) Finish(_ context.Context, a viewer.Actor) error {
	d.mu.Lock()
	d.setup.Done = true
	d.mu.Unlock()
	return d.do("finish %s", a.Account)
}
func (d *double) Skip(_ context.Context, _ viewer.Actor, step string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.setup.Skipped == nil {
		d.setup.Skipped = map[string]bool{}
	}
	d.setup.Skipped[step] = true
	return nil
}

// now is when the tests happen: seven in the evening.
var now = time.Date(2026, 11, 25, 19, 4, 0, 0, time.UTC)

// practice returns a double of a practice in which not everything is well.
func practice() *double {
	d := &double{setup: viewer.Setup{Owner: true, Sheet: true, EMR: true, Plan: true, Alert: true, Done: true, Folder: "/var/lib/chartcellar"},
		reports: map[uint32]viewer.RunReport{}}
	in := health.Input{Now: now, Zone: time.UTC, Practice: "Elm Street Family Medicine", Sources: []health.Source{{Name: "main", Ran: true, Verdict: "complete with gaps",
		Ended: now.Add(-17 * time.Hour), Copy: now.Add(-17 * time.Hour), AsOf: now.Add(-17 * time.Hour), Next: now.Add(7 * time.Hour), Gaps: 3, Oldest: now.AddDate(0, 0, -4)}}}
	for i := range in.Facts {
		in.Facts[i] = health.Check{Answer: health.Yes, At: now.Add(-17 * time.Hour), Link: "/backups/runs/412"}
	}
	in.Facts[health.SecondCopy] = health.Check{Answer: health.No, At: now.AddDate(0, 0, -12), Words: "the second copy cloud is not surely the practice's own: who else can delete what lies there was not answered", Link: "/backups/copies"}
	in.Facts[health.Drill] = health.Check{Answer: health.Stale, At: now.AddDate(0, 0, -97), Link: "/backups/drill"}
	yes := health.Check{Answer: health.Yes, At: now}
	in.Rolling, in.Decrypted, in.Schedule, in.Alerts = yes, yes, yes, yes
	d.status = viewer.Status{Status: health.Judge(in), Copy: now.Add(-17 * time.Hour), Tried: now.Add(-17 * time.Hour), Next: now.Add(7 * time.Hour)}
	d.home = viewer.Home{Totals: viewer.Totals{Patients: 1204, Records: 48210, Documents: 3310, Bytes: 1_420_000_000, Known: true, MoreRecords: 212, MoreDocuments: 9, MoreBytes: 4_100_000, AsOf: now.Add(-17 * time.Hour), Run: 412},
		Changes: []viewer.SettingChange{{At: now.AddDate(0, 0, -2), Who: "m.reyes", What: "The schedule of main became daily 02:00, 12:30"}}}
	states := []viewer.DayState{viewer.DayComplete, viewer.DayComplete, viewer.DayComplete, viewer.DayComplete, viewer.DayGaps, viewer.DayComplete, viewer.DayNone}
	for i := range 90 {
		st := states[i%len(states)]
		switch i {
		case 33:
			st = viewer.DayFailed
		case 34:
			st = viewer.DayMissing
		case 60:
			st = viewer.DayHeld
		}
		d.home.Days = append(d.home.Days, viewer.Day{Date: now.AddDate(0, 0, i-89), State: st, Run: uint32(323 + i)})
	}
	for n := 412; n > 300; n-- {
		start := now.Add(-17*time.Hour).AddDate(0, 0, n-412)
		r := viewer.RunLine{Number: uint32(n), Source: "main", Kind: "sync", Verdict: "complete", Started: start, Ended: start.Add(3 * time.Minute), New: 180 + n%50, Changed: 30, Bytes: 4_100_000, Requests: 320, Retries: n % 3}
		if n%7 == 0 {
			r.Verdict, r.Gaps = "complete with gaps", 3
		}
		if n == 400 {
			r.Verdict = "failed"
		}
		d.runs = append(d.runs, r)
	}
	d.runs[0].Verdict, d.runs[0].Gaps = "complete with gaps", 3
	d.gaps = viewer.Gaps{All: 3, Kind: map[string]int{"attachment": 3}}
	for i := range 3 {
		d.gaps.List = append(d.gaps.List, viewer.Gap{Source: "main", Kind: "attachment", Type: "DocumentReference", Ref: fmt.Sprintf("DocumentReference/9f3%d", i), Reason: "The EMR answered 404: the file is gone", Since: now.AddDate(0, 0, -4), Tries: 4})
	}
	types := []string{"AllergyIntolerance", "Condition", "DiagnosticReport", "DocumentReference", "Encounter", "Immunization", "MedicationRequest", "Observation", "Patient", "Procedure"}
	rep := viewer.RunReport{RunLine: d.runs[0], Practice: "Elm Street Family Medicine", Server: "Example EMR 12.3", Full: true, Documents: viewer.Documents{Wanted: 12, Stored: 9, Missing: 3},
		Files: 10, Pages: 0, Wire: 1_800_000, Waited: 30 * time.Second, GapList: d.gaps.List, Notes: []string{"The EMR named the same file twice; it was read once."},
		Phases:      []viewer.Phase{{Name: "Sign in", Started: d.runs[0].Started, Ended: d.runs[0].Started.Add(2 * time.Second)}, {Name: "Export", Started: d.runs[0].Started.Add(2 * time.Second), Ended: d.runs[0].Started.Add(150 * time.Second), Words: "10 files"}},
		Sample:      health.Check{Answer: health.Yes, At: now.Add(-17 * time.Hour), Words: "20 of 20 records were fetched again and are the same."},
		Certificate: viewer.Certificate{Sum: "b2a9d5f1c0de00000000000000000000000000000000000000000000000000aa", Checkpoint: "checkpoints/000000000412", Root: "MZXW6-YTBOI", Limits: []string{"It speaks of what the EMR's FHIR interface offers, not of the whole record."}}}
	cov := viewer.Coverage{Source: "main", AsOf: now.Add(-17 * time.Hour), Outside: []string{"billing ledgers, claims as they were sent, statements"}, Filed: "none"}
	for i, t := range types {
		rep.Types = append(rep.Types, viewer.TypeRow{Type: t, Mode: "bulk", Full: true, Announced: 400 * i, Lines: 400 * i, New: i, Changed: 2 * i, Unchanged: 397 * i, EMR: 400 * i, Here: 400 * i, Basis: "announced, and came", Before: "2026-11-24T02:00:00Z", After: "2026-11-25T02:00:00Z"})
		cov.Types = append(cov.Types, viewer.CoveredType{Type: t, Offered: true, Granted: i != 3, Mode: "bulk", Why: "the EMR exports it", EMR: 400 * i, Here: 400 * i})
	}
	rep.Types[3].EMR, rep.Types[3].Basis = -1, ""
	d.reports[412] = rep
	d.coverage = []viewer.Coverage{cov}
	d.changes = viewer.Changes{Types: []viewer.ChangedType{{Source: "main", Type: "Observation", New: 812, Changed: 33, Removed: 4, Silent: 1}}}
	d.storage = viewer.Storage{Folder: "/var/lib/chartcellar", Used: 1_420_000_000, Free: 400e9, Total: 512e9, Reserve: 2e9, PerMonth: 60e6, DaysLeft: 2400}
	for i := range 12 {
		d.storage.Months = append(d.storage.Months, viewer.MonthSize{Month: time.Date(2025, time.Month(12+i), 1, 0, 0, 0, 0, time.UTC), Bytes: int64(800+i*56) * 1e6})
	}
	d.held = []viewer.HeldType{{Run: 412, Source: "main", Type: "Condition", Why: "412 of 1,300 conditions are no longer at the EMR, more than a twentieth.", Since: now.Add(-17 * time.Hour), Removed: 412, Here: 1300,
		Examples: []viewer.Example{{Ref: "Condition/c1", Before: "ZZEXAMPLE asthma", After: "gone"}}}}
	d.schedule = viewer.Schedule{Zone: "America/New_York", Plans: []viewer.Plan{{Source: "main", Pull: "daily 02:00", Full: "Sun 03:00", Verify: "daily 05:00", Words: "Every day at 02:00; everything is compared on Sundays at 03:00.", Buys: "With this schedule you lose at most 24 h of charting.", Next: []time.Time{now.Add(7 * time.Hour), now.Add(31 * time.Hour), now.Add(55 * time.Hour), now.Add(79 * time.Hour), now.Add(103 * time.Hour)}}}}
	for i := range 3 {
		d.months = append(d.months, viewer.MonthReport{Practice: "Elm Street Family Medicine", Month: time.Date(2026, time.Month(11-i), 1, 0, 0, 0, 0, time.UTC), Made: now, Unfinished: i == 0, Due: 30, OnTime: 29, Complete: 26, WithGaps: 3, Failed: 1, LongestGap: 50 * time.Hour,
			LongestFrom: now.AddDate(0, 0, -15), LongestTo: now.AddDate(0, 0, -13), Start: d.home.Totals, End: d.home.Totals, New: 4000, Changed: 300, Removed: 4, OpenGaps: 3, Root: "MZXW6-YTBOI",
			Verifications: []health.Check{{Answer: health.Yes, At: now.AddDate(0, 0, -1), Words: "A thirtieth of the copy was read again: every byte is what was written."}},
			Decisions:     d.home.Changes, Alerts: []viewer.SettingChange{{At: now.AddDate(0, 0, -12), Who: "", What: "A backup failed: the EMR could not be reached"}}})
	}
	d.settings = viewer.Settings{Practice: "Elm Street Family Medicine", Folder: "/var/lib/chartcellar", File: "/etc/chartcellar/settings.toml", Version: "0.1.0", Address: "http://127.0.0.1:8443", Alerts: viewer.Alerts{Mail: []string{"office@elm.example", "dr.reyes@elm.example"}, Ping: "https://ping.example/abc"},
		Connections: []viewer.Connection{{Source: "main", Base: "https://emr.example/fhir", Auth: "backend-services", ClientID: "cc-1204", Level: "group", SignIn: health.Check{Answer: health.Yes, At: now.Add(-17 * time.Hour)}}}}
	d.keepsCopies()
	d.wasSeen()
	d.searches = searched()
	d.log = viewer.LogPage{All: 2, Chain: health.Check{Answer: health.Yes, At: now, Words: "All 2 lines."}, Lines: []viewer.LogLine{
		{Number: 2, At: now, Account: "m.reyes", Address: "127.0.0.1", Code: "access.session.in", What: "Signed in"}, {Number: 1, At: now, Code: "run.start", What: "A backup began"}}}
	return d
}
