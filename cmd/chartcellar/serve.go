package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/rest"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	"chartcellar/store/holding"
	"chartcellar/store/verify"
)

func serveCommand(e *env) *cobra.Command {
	var o serveOptions
	c := command("serve", "Run the office's copy by itself, by the schedule, and serve its pages",
		`serve runs until it is stopped: it pulls by the schedule, verifies, packs the journal
and serves the pages. Other commands go on working: they ask it over the local socket.
It needs no passphrase.

Where nothing is set up yet it serves the first run, on this computer only, and prints
the code with which an owner begins.

Stop it with Ctrl-C or SIGTERM: it ends within seconds, also in the middle of a pull.

With --read-only it only shows a folder: an office copy, also one that another process
keeps, or a copy of its folders mirror, parts, attachments, holdings and checkpoints, on a disk
or a share that may be read-only. It needs no settings and no EMR, writes nothing into the
folder, and records no view. The recovery key opens it: the program asks for its lines,
or --sheet names a file with them; --phrase opens a copy with its six words. Where the folders slots and a box key are there,
--box opens it with a passphrase (CHARTCELLAR_PASSPHRASE). Each browser signs in
with a code from this window. What is missing or damaged is said; the rest is shown.`,
		cobra.NoArgs, func(ctx context.Context, _ []string) error {
			if o.look.folder != "" {
				o.look.listen = o.listen
				return e.look(ctx, o.look)
			}
			if o.look.sheet != "" || o.look.box != "" || o.look.phrase {
				return usage("--sheet, --phrase and --box belong to --read-only")
			}
			return e.serve(ctx, o)
		})
	c.Flags().StringVar(&o.listen, "listen", "", "where the pages are, instead of what the settings say")
	c.Flags().StringVar(&o.look.folder, "read-only", "", "only show the copy in this folder; nothing is written there")
	c.Flags().StringVar(&o.look.sheet, "sheet", "", "with --read-only: file with the recovery key")
	c.Flags().BoolVar(&o.look.phrase, "phrase", false, "with --read-only: open it with the six words of this copy (CHARTCELLAR_PHRASE)")
	c.Flags().StringVar(&o.look.box, "box", "", "with --read-only: the box key, so that a passphrase opens the copy")
	return c
}

type serveOptions struct {
	listen string
	look   lookOptions
}

// A daemon is the process that keeps the office's copy.
type daemon struct {
	e      *env
	m      *store.Mirror
	sched  *schedule.Scheduler    // nil: a folder that is only looked at
	office atomic.Pointer[office] // nil while there are no pages
	// changed grows when settings, schedule or jobs change.
	changed atomic.Uint64
	starts  atomic.Uint64 // how many jobs have begun
	alarm   *alarm
	listen  string // where the pages are, instead of what the settings say; "": as they say
	// What pages ask for and is not looked up twice.
	counter  counter
	readings readings

	// changing is held while the settings are changed or taken over. It is taken
	// before mu.
	changing sync.Mutex

	// mu covers what follows.
	mu       sync.Mutex
	s        config.Settings
	taken    time.Time // when the settings file was changed that was looked at last
	jobs     []*running
	watchers map[int]func(fhirsync.Event)
	next     int
	waiting  map[string][]chan pulled    // for the end of a job, by its name
	settling map[string]*holding.Watcher // how the files of each holding looked, by its name
	failures map[schedule.Job]failedTry
	orders   map[string]drillOrder // of drills that wait, by the name of the copy
}

// A pulled is how a pull ended.
type pulled struct {
	report *fhirsync.Report
	err    error
}

// A daemonSlot is where calls find the daemon of their process, if it is one.
type daemonSlot struct {
	ready chan struct{} // closed once it is known
	d     *daemon
}

func (s *daemonSlot) set(d *daemon) {
	s.d = d
	close(s.ready)
}

// get waits until a daemon that is starting has started; nil if there is none.
func (s *daemonSlot) get() *daemon {
	if s == nil {
		return nil
	}
	select {
	case <-s.ready:
		return s.d
	case <-time.After(3 * time.Second):
		return nil
	}
}

func (e *env) serve(ctx context.Context, o serveOptions) error {
	e.daemon = &daemonSlot{ready: make(chan struct{})}
	first, err := e.firstOwner(ctx, o)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return err
	}
	err = e.withMirror(ctx, access{doing: "serve", write: true, alone: true, waits: true}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		d, err := e.newDaemon(s, m)
		if err != nil {
			return err
		}
		if o.listen != "" {
			d.listen, d.s.Listen = o.listen, o.listen
		}
		return d.run(ctx, first)
	})
	return e.end(ctx, err)
}

// newDaemon readies everything; nothing runs yet.
func (e *env) newDaemon(s config.Settings, m *store.Mirror) (*daemon, error) {
	d := &daemon{e: e, m: m, s: s, watchers: map[int]func(fhirsync.Event){}, waiting: map[string][]chan pulled{},
		failures: map[schedule.Job]failedTry{}, orders: map[string]drillOrder{},
		counter: counter{wake: make(chan struct{}, 1)}}
	plans, err := plansOf(s)
	if err != nil {
		return nil, usage(err.Error())
	}
	d.sched, err = schedule.New(schedule.Options{Plans: plans, Memory: memory{m}, Do: d.do, Log: e.logger(),
		Watch: map[schedule.Kind]func(time.Time) time.Time{schedule.Pack: d.packDue, schedule.Downtime: d.downtimeDue}})
	if err != nil {
		return nil, err
	}
	if d.alarm, err = e.openAlarm(s, m); err != nil {
		return nil, err
	}
	d.alarm.facts, d.alarm.read = d.facts, &d.readings
	d.keepSettings("")
	return d, d.alarm.sinceLast()
}

// keepSettings keeps the settings in the mirror. What else is served goes on without.
func (d *daemon) keepSettings(by string) {
	if err := d.e.keepSettings(d.m, by); err != nil {
		d.e.logger().Error("settings not kept in the mirror", "cause", err.Error())
	}
}

// facts gathers what the state of the copy is judged from.
func (d *daemon) facts(now time.Time) (health.Input, error) {
	states := statesOf(d.sched, now)
	if t, failed := d.failure(schedule.Downtime, ""); failed {
		states.Downtime = explain(t.err).What
	}
	return findFacts(d.settings(), d.m, states, now, &d.readings)
}

// run starts everything and waits until ctx ends.
func (d *daemon) run(ctx context.Context, first *firstRun) error {
	d.e.daemon.set(d)
	d.e.printf("chartcellar keeps the copy of %s. Next: %s\n", d.s.Practice, d.nextWords())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.sched.Run(ctx) })
	g.Go(func() error { return d.watchSettings(ctx) })
	g.Go(func() error { return d.alarm.run(ctx) })
	g.Go(func() error { return d.keepPages(ctx, first) })
	g.Go(func() error { return d.keepCounting(ctx) })
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// keepPages serves the pages. The copy is kept also without them.
func (d *daemon) keepPages(ctx context.Context, first *firstRun) error {
	o, err := d.openPages(first)
	if err == nil {
		d.office.Store(o)
		err = o.run(ctx)
	}
	if err != nil && ctx.Err() == nil {
		d.e.logger().ErrorContext(ctx, "pages not served", "cause", explain(err).What)
		explain(err).print(d.e)
		if first != nil {
			close(first.ready) // whoever waits for the office hears that there is none
			return first.front.run(ctx)
		}
	}
	return nil
}

// settings returns the settings in force.
func (d *daemon) settings() config.Settings {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.s
}

// watchSettings takes over a settings file that was changed; one that cannot be
// used changes nothing, and that is said.
func (d *daemon) watchSettings(ctx context.Context) error {
	path, err := d.e.settingsPath()
	if err != nil {
		return err
	}
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !d.took(modified(path)) {
			err := d.reload()
			d.alarm.settingsRefused(err != nil)
			if err != nil {
				d.e.logger().ErrorContext(ctx, "settings not taken over", "cause", err.Error())
			}
		}
	}
}

// took reports whether the settings file as of then was looked at already.
func (d *daemon) took(at time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.taken.Equal(at)
}

func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// reload takes over settings that somebody edited by hand, and tells of it.
func (d *daemon) reload() error {
	d.changing.Lock()
	defer d.changing.Unlock()
	old := d.alarm.settings()
	if err := d.takeOver(); err != nil {
		return err
	}
	s := d.alarm.settings()
	if len(config.Changed(old, s)) == 0 {
		return nil
	}
	d.alarm.add(notice{code: "settings.changed", by: "file", before: old, after: s})
	d.keepSettings("file")
	return d.m.Journal(store.Event{Code: "settings.changed", Account: "file"})
}

// takeOver reads the settings again, as for a change that stands in the journal;
// changing is held. Where the mirror is cannot be changed while it is open.
func (d *daemon) takeOver() error {
	path, err := d.e.settingsPath()
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.taken = modified(path)
	d.mu.Unlock()
	s, err := d.e.settings()
	if err != nil {
		return err
	}
	plans, err := plansOf(s)
	if err != nil {
		return usage(err.Error())
	}
	if old := d.settings(); s.Data != old.Data || s.BoxKey != old.BoxKey {
		return usage("data and box_key are taken over at the next start only")
	}
	if err := d.sched.SetPlans(plans); err != nil {
		return err
	}
	here := s
	if d.listen != "" {
		here.Listen = d.listen
	}
	d.mu.Lock()
	d.s = here
	d.mu.Unlock()
	d.changed.Add(1)
	d.alarm.use(s)
	return nil
}

// plansOf makes the plans of the settings.
func plansOf(s config.Settings) ([]schedule.Plan, error) {
	zone, err := schedule.Zone(s.Zone)
	if err != nil {
		return nil, err
	}
	mail := len(waysOf(s.Alerts, nil).mail) > 0 // without it there is nobody to send a report to
	plans := slices.DeleteFunc(schedule.DefaultMirror(zone), func(p schedule.Plan) bool {
		return !mail && (p.Job.Kind == schedule.Weekly || p.Job.Kind == schedule.Monthly)
	})
	for i := range plans {
		if plans[i].Job.Kind == schedule.Verify {
			if plans[i].Calendar, err = schedule.ParseCalendar(s.Verify); err != nil {
				return nil, fmt.Errorf("verify: %w", err)
			}
		}
	}
	sheet, err := downtimePlan(s)
	if err != nil {
		return nil, err
	}
	plans = append(plans, sheet)
	for _, src := range s.Sources {
		pull, full, err := sourcePlans(src, zone)
		if err != nil {
			return nil, fmt.Errorf("source %q: %w", src.Name, err)
		}
		plans = append(plans, pull, full)
	}
	for _, h := range s.Holdings {
		p := schedule.Plan{Job: schedule.Job{Source: h.Name, Kind: schedule.Holding}, Zone: zone, Lane: holdingsLane}
		if p.Calendar, err = schedule.ParseCalendar(h.Look); err != nil {
			return nil, fmt.Errorf("holding %q: look: %w", h.Name, err)
		}
		plans = append(plans, p)
	}
	copies, err := copyPlans(s)
	return append(plans, copies...), err
}

// sourcePlans makes the two plans of an EMR.
func sourcePlans(src config.Source, zone *time.Location) (pull, full schedule.Plan, err error) {
	plans := schedule.Default(src.Name, zone)
	pull, full = plans[0], plans[1]
	if pull.Calendar, err = schedule.ParseCalendar(src.Pull); err != nil {
		return pull, full, fmt.Errorf("pull: %w", err)
	}
	if full.Calendar, err = schedule.ParseCalendar(src.Full); err != nil {
		return pull, full, fmt.Errorf("full: %w", err)
	}
	if src.Hours != "" {
		w, err := schedule.ParseWindow(src.Hours)
		if err != nil {
			return pull, full, fmt.Errorf("hours: %w", err)
		}
		pull.Rule = &schedule.Rule{Name: src.HoursRule, From: w.From, To: w.To}
		full.Rule = pull.Rule
	}
	return pull, full, nil
}

// memory keeps the states of the schedule, sealed, beside the other secrets.
type memory struct{ m *store.Mirror }

// nextWords says when what runs next.
func (d *daemon) nextWords() string {
	var next time.Time
	what := "nothing is planned"
	for _, st := range d.sched.Status(1) {
		if len(st.Next) > 0 && !quietly(st.Plan.Job.Kind) && (next.IsZero() || st.Next[0].Before(next)) {
			next = st.Next[0]
			what = fmt.Sprintf("%s at %s", st.Plan.Job, next.Format("2006-01-02 15:04"))
		}
	}
	return what
}

// watch has fn called for each event of a pull; the returned function ends that.
func (d *daemon) watch(fn func(fhirsync.Event)) (stop func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.next
	d.next++
	d.watchers[n] = fn
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.watchers, n)
	}
}

// runNow asks for a pull, or joins the one that is under way, and waits for its
// end.
func (d *daemon) runNow(ctx context.Context, job schedule.Job, tell func(fhirsync.Event)) (*fhirsync.Report, error) {
	// A person who lets the output wait must not have the pull wait too.
	events := make(chan fhirsync.Event, 4096)
	defer d.watch(func(ev fhirsync.Event) {
		select {
		case events <- ev:
		default:
		}
	})()
	end := make(chan pulled, 1)
	d.mu.Lock()
	d.waiting[job.String()] = append(d.waiting[job.String()], end)
	d.mu.Unlock()
	if err := d.sched.RunNow(job); err != nil && !errors.Is(err, schedule.ErrRunning) {
		return nil, err
	}
	for {
		select {
		case ev := <-events:
			tell(ev)
		case p := <-end:
			for len(events) > 0 {
				tell(<-events)
			}
			return p.report, p.err
		case <-ctx.Done():
			return nil, ctx.Err() // the pull goes on
		}
	}
}

// ended tells whoever waits for a job.
func (d *daemon) ended(job schedule.Job, p pulled) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range answered(job) {
		for _, end := range d.waiting[name] {
			end <- p
		}
		delete(d.waiting, name)
	}
}

// answered names the jobs that are done when one is: a full run answers a pull too.
func answered(job schedule.Job) []string {
	names := []string{job.String()}
	if job.Kind == schedule.Full {
		names = append(names, schedule.Job{Source: job.Source, Kind: schedule.Pull}.String())
	}
	return names
}

// do carries one job out.
func (d *daemon) do(ctx context.Context, s schedule.Start) schedule.Outcome {
	ctx, done := d.doing(ctx, s.Job)
	defer done()
	log := d.e.logger()
	log.InfoContext(ctx, "job begun", "job", s.Job.String(), "why", string(s.Why))
	out, err := d.job(ctx, s)
	d.tried(s.Job, err)
	d.recount(ctx) // before the job is over: the next page shows what it brought
	switch {
	case ctx.Err() != nil:
	case err != nil:
		log.ErrorContext(ctx, "job failed", "job", s.Job.String(), "cause", explain(err).What)
	default:
		log.InfoContext(ctx, "job ended", "job", s.Job.String(), "success", out.Success)
	}
	if ctx.Err() == nil && out.Success {
		d.alarm.ended(s.Job, nil)
	} else if ctx.Err() == nil {
		d.alarm.ended(s.Job, err)
	}
	return out
}

func (d *daemon) job(ctx context.Context, s schedule.Start) (schedule.Outcome, error) {
	switch s.Job.Kind {
	case schedule.Pull, schedule.Full:
		return d.pull(ctx, s.Job)
	case schedule.Verify:
		return d.verify(ctx)
	case schedule.Pack:
		return d.pack(ctx)
	case schedule.Compare:
		return d.compare(ctx)
	case schedule.Copy, schedule.CopyCheck:
		return d.copy(ctx, s)
	case schedule.CopyTest:
		return d.testCopy(ctx, s.Job)
	case schedule.Drill:
		return d.drill(ctx, s.Job)
	case schedule.Weekly, schedule.Monthly:
		return d.report(ctx, s.Job)
	case schedule.Holding:
		return d.keepFiles(ctx, s.Job)
	case schedule.Downtime:
		return d.downtime(ctx)
	}
	return schedule.Outcome{}, fmt.Errorf("nothing does the job %s", s.Job)
}

// pull brings one EMR's changes in, or compares it whole.
func (d *daemon) pull(ctx context.Context, job schedule.Job) (schedule.Outcome, error) {
	s := d.settings()
	src, err := s.Source(job.Source)
	if err != nil {
		d.ended(job, pulled{nil, err})
		return schedule.Outcome{}, err
	}
	r, err := d.e.pullWith(ctx, d.m, src, job.Kind == schedule.Full,
		func(ev fhirsync.Event) { d.event(job.Source, ev) })
	d.ended(job, pulled{r, err})
	var notYet *fhirsync.NotYet
	switch {
	case errors.As(err, &notYet):
		return schedule.Outcome{Again: notYet.At}, err
	case errors.Is(err, store.ErrBusy):
		return schedule.Outcome{Again: time.Now().Add(time.Minute)}, err
	case err != nil && ctx.Err() == nil:
		return schedule.Outcome{Again: time.Now().Add(15 * time.Minute)}, err // P35
	case err != nil:
		return schedule.Outcome{}, err
	}
	if errors.Is(context.Cause(ctx), errStopped) {
		return schedule.Outcome{}, nil // it goes on at its next time
	}
	good := cameToAnEnd(r.Verdict)
	if job.Kind == schedule.Full && good && !d.m.Locked() {
		err = d.sample(ctx, src)
	}
	return schedule.Outcome{Success: good}, err
}

// sampled is how many records are fetched again after a full run.
const sampled = 50

// sample fetches a few records again and lays them beside the copy, once a full
// run has ended and somebody is signed in.
func (d *daemon) sample(ctx context.Context, src config.Source) error {
	r := newSourceResult(src)
	err := d.e.checking(ctx, d.m, src, func(check *fhirsync.Check, _ *rest.Client) error { return r.sample(ctx, check, sampled) })
	if err != nil {
		return err
	}
	return recordSample(ctx, d.m, r)
}

// verify reads the thirtieths of the mirror that are due.
func (d *daemon) verify(ctx context.Context) (schedule.Outcome, error) {
	runs, err := d.m.Runs()
	if err != nil {
		return schedule.Outcome{}, err
	}
	f := &factFinder{m: d.m, now: time.Now(), runs: runs, read: &d.readings}
	days := schedule.Slices(f.reread().slices, f.now, time.Time{})
	err = d.check(ctx, verify.Options{Depth: verify.Rolling, Days: days})
	return schedule.Outcome{Success: err == nil}, err
}

// compare makes the index again beside the one in use, when somebody is signed in.
func (d *daemon) compare(ctx context.Context) (schedule.Outcome, error) {
	if d.m.Locked() {
		return schedule.Outcome{Again: time.Now().Add(time.Hour)}, nil
	}
	err := d.check(ctx, verify.Options{Depth: verify.Full})
	return schedule.Outcome{Success: err == nil}, err
}

// check verifies and keeps what was found, once no pull is under way: what was read
// is not read again for that, and damage is not forgotten.
func (d *daemon) check(ctx context.Context, o verify.Options) error {
	o.Events = d.checked
	r, err := verify.Run(ctx, d.m, o)
	if err != nil {
		return err
	}
	if !r.Good() {
		d.e.logger().ErrorContext(ctx, "damage found", "depth", string(r.Depth), "files", len(r.Damage))
	}
	return keepRecord(ctx, d.m, store.RunSpec{Kind: "verify"}, verdictOfCheck(r), r)
}

// packDue says when the journal is to be packed.
func (d *daemon) packDue(now time.Time) time.Time {
	oldest, size := d.m.JournalWaiting()
	return schedule.PackDue(oldest, size, now)
}

func (d *daemon) pack(ctx context.Context) (schedule.Outcome, error) {
	_, err := d.m.Record(ctx, store.RunSpec{Kind: "journal"}, "", struct{}{})
	if errors.Is(err, store.ErrBusy) {
		return schedule.Outcome{Success: true}, nil // the run that goes on packs it at its end
	}
	return schedule.Outcome{Success: err == nil}, err
}
