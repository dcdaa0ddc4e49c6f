package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/config"
	"chartcellar/fhirsync/rest"
	"chartcellar/fhirsync/schedule"
	"chartcellar/fhirsync/smart"
	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
)

// An alarm looks what is wrong with the copy and tells those whom the settings name.
// It holds up nobody: whoever has news for it leaves them and goes on.
type alarm struct {
	e      *env
	m      *store.Mirror // nil: it could not be opened
	box    *keys.Box
	fs     disk.FS
	center *notify.Center
	facts  func(now time.Time) (health.Input, error)
	read   *readings // what facts keep; nil: nothing
	wake   chan struct{}

	// looking is held by whoever looks and tells, so that it is done by one at a time.
	// It is taken before mu.
	looking sync.Mutex

	// mu covers what follows; it is not held while something is sent or the Center is
	// asked.
	mu    sync.Mutex
	s     config.Settings
	ways  ways
	notes notes
	news  []*news
	// pulling is since when each source's pull is seen to run.
	pulling map[string]time.Time
	// refused says that the settings file was changed to what cannot be used.
	refused bool
}

// news is something that is told once, to those channels that have not heard of it.
type news struct {
	alert notify.Alert
	left  []notify.Channel
	since time.Time
}

const (
	lookEvery = 5 * time.Minute
	firstLook = time.Minute    // so that a pull that is due has begun
	newsLife  = 24 * time.Hour // for so long it is tried to tell news
)

// openAlarm readies the alarm with what it kept. What cannot be read is begun anew:
// then something may be told twice.
func (e *env) openAlarm(s config.Settings, m *store.Mirror) (*alarm, error) {
	box, err := e.readBox(s)
	if err != nil {
		return nil, err
	}
	a := &alarm{e: e, m: m, box: box, fs: e.fsys(), wake: make(chan struct{}, 1)}
	a.facts = func(now time.Time) (health.Input, error) {
		return findFacts(a.settings(), m, statesOf(nil, now), now, nil)
	}
	a.center = notify.NewCenter(notify.Options{Now: a.now})
	a.use(s)
	if a.notes, err = readNotes(a.fs, s, box.Open); err == nil && len(a.notes.Center) > 0 {
		err = a.center.UnmarshalJSON(a.notes.Center)
	}
	if err != nil {
		e.logger().Warn("what was told before cannot be read", "cause", err.Error())
	}
	return a, nil
}

// use takes settings over.
func (a *alarm) use(s config.Settings) {
	w := waysOf(s.Alerts, passwordOf(a.fs, a.box, s))
	a.mu.Lock()
	a.s, a.ways = s, w
	a.mu.Unlock() // the Center asks for the time while it holds its own lock
	a.center.SetChannels(w.all()...)
	a.center.SetPractice(s.Practice)
}

func (a *alarm) settings() config.Settings {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.s
}

// now is the time on the practice's clock.
func (a *alarm) now() time.Time {
	return a.e.now().In(zoneOf(a.settings()))
}

// poke has it look again soon.
func (a *alarm) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run looks every few minutes and when it is poked, until ctx ends.
func (a *alarm) run(ctx context.Context) error {
	wait := time.NewTimer(firstLook)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
		case <-a.wake:
		}
		a.look(ctx)
		wait.Reset(lookEvery)
	}
}

// look tells what is new, first the news, then what is wrong.
func (a *alarm) look(ctx context.Context) {
	a.looking.Lock()
	defer a.looking.Unlock()
	a.tellNews(ctx)
	w, err := a.watch(a.now())
	var list []notify.Alert
	switch {
	case err == nil:
		list = w.alerts()
		a.ping(ctx, w.in)
	case errors.Is(err, errGone): // what stands goes on to stand: nothing is known to be over
		list = a.standing(w, folderGone())
	default:
		a.e.logger().ErrorContext(ctx, "state not found", "cause", err.Error())
		list = a.standing(w, notify.Alert{Kind: notify.Failed, Source: "status", Level: notify.Red,
			Text: notify.Say("The state of the office copy cannot be found out."),
			Next: notify.Say("Delete nothing. Run: chartcellar status. It says what is wrong.")})
	}
	a.sent(ctx, a.center.Update(ctx, list))
	if err == nil {
		a.tellPrograms(ctx, w.in)
	}
	a.keep(ctx)
}

// errGone says that the mirror's folder is not there.
var errGone = errors.New("the folder of the mirror is gone")

// gone reports whether the mirror's folder is not there. An unplugged disk answers with
// an error.
func (a *alarm) gone() bool {
	there, err := store.IsMirror(a.fs, a.m.Dir())
	return err != nil || !there
}

// standing returns what stands, with one more. Which ways do not work is known even then.
func (a *alarm) standing(w watch, more notify.Alert) []notify.Alert {
	list := append(w.ways(), more)
	for _, s := range a.center.List() {
		if s.Kind != notify.ChannelDown {
			list = append(list, s.Alert)
		}
	}
	return list
}

// noted returns what alerts are made of, as far as that is known without the mirror.
func (a *alarm) noted(now time.Time) watch {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := watch{in: health.Input{Now: now, Zone: now.Location()}, gapDays: a.s.Alerts.GapDays, days: -1, jobs: map[string]trouble{}, skews: map[string]time.Duration{}, rings: map[string]*smart.Ring{},
		overdue: map[string]bool{},
		clock:   a.notes.Clock, pingDown: a.notes.PingDown, fileDown: a.notes.FileDown, unusable: len(a.ways.wrong), refused: a.refused}
	w.ends = accessEnds(a.s)
	for job, t := range a.notes.Jobs {
		if _, source, ofOne := strings.Cut(job, " of "); !ofOne || a.connected(source) || a.watched(source) {
			w.jobs[job] = t
		}
	}
	for source, skew := range a.notes.Skew {
		if a.connected(source) {
			w.skews[source] = skew
		}
	}
	if now.After(a.notes.Clock) {
		a.notes.Clock = now
	}
	return w
}

// watch gathers what alerts are made of. With an error it returns what is noted.
func (a *alarm) watch(now time.Time) (watch, error) {
	w := a.noted(now)
	if a.gone() {
		return w, errGone
	}
	in, err := a.facts(now)
	if err != nil {
		return w, err
	}
	w.in = in
	w.pulling = a.seePulls(w.in)
	for _, s := range a.center.List() {
		if s.Kind == notify.Overdue {
			w.overdue[s.Source] = true
		}
	}
	for _, p := range a.m.Found() {
		w.found = append(w.found, p.Kind)
	}
	w.locked = a.m.Locked()
	w.sheet, err = downtimeOwed(a.settings(), a.m, now)
	return w, errors.Join(err, a.watchDisk(&w, now), a.watchKeys(&w), a.watchCopies(&w, now), a.watchHoldings(&w, now))
}

// connected reports whether an EMR is in the settings still; mu is held.
func (a *alarm) connected(source string) bool {
	return slices.ContainsFunc(a.s.Sources, func(s config.Source) bool { return s.Name == source })
}

// watched reports whether a folder is watched still; mu is held.
func (a *alarm) watched(name string) bool {
	_, ok := a.s.Holding(name)
	return ok
}

func (a *alarm) watchHoldings(w *watch, now time.Time) (err error) {
	w.besides, err = besidesOf(a.settings(), a.m, a.read, now)
	return err
}

// seePulls takes note of which pulls run, and returns since when each was seen.
func (a *alarm) seePulls(in health.Input) map[string]time.Time {
	seen := map[string]time.Time{}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, src := range in.Sources {
		if !src.Running {
			continue
		}
		seen[src.Name] = in.Now
		if since, ok := a.pulling[src.Name]; ok {
			seen[src.Name] = since
		}
	}
	a.pulling = seen
	return seen
}

func (a *alarm) watchDisk(w *watch, now time.Time) error {
	runs, err := a.m.Runs()
	if err != nil {
		return err
	}
	days, known, err := daysLeft(a.m, runs, now)
	if err != nil {
		return err
	}
	if known {
		w.days = days
	}
	free, reserve, err := a.m.Space()
	w.full = err == nil && free < reserve
	return err
}

func (a *alarm) watchKeys(w *watch) error {
	for _, src := range a.settings().Sources {
		b, err := a.m.Secret(src.Name + ".signing")
		if err != nil || b == nil || src.Auth != string(smart.BackendServices) {
			continue // a key that cannot be read shows at the next sign-in
		}
		if w.rings[src.Name], err = smart.ParseRing(b); err != nil {
			return err
		}
	}
	return nil
}

// ended takes note of how a job ended, and has it told.
func (a *alarm) ended(job schedule.Job, err error) {
	a.mu.Lock()
	switch c := causeOf(err); {
	case err == nil:
		for _, name := range answered(job) {
			delete(a.notes.Jobs, name)
		}
	case c == "" || job.Kind == schedule.Weekly || job.Kind == schedule.Monthly: // of mail that fails the Center knows
	default:
		t, known := a.notes.Jobs[job.String()]
		if !known {
			t.Since = a.e.now()
		}
		t.Cause, t.Tries = c, t.Tries+1
		a.notes.Jobs[job.String()] = t
	}
	a.mu.Unlock()
	a.poke()
}

// settingsRefused takes note of whether the settings file, as it stands now, could be
// taken over.
func (a *alarm) settingsRefused(yes bool) {
	a.mu.Lock()
	news := a.refused != yes
	a.refused = yes
	a.mu.Unlock()
	if news {
		a.poke()
	}
}

// skewed takes note of how far the EMR's clock is ahead of this computer's. One that
// is near it proves that the clock is right, whatever it has shown before.
func (a *alarm) skewed(source string, skew time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notes.Skew[source] = skew
	if skew.Abs() <= skewSlack {
		a.notes.Clock = a.e.now()
	}
}

// skewed hands on what a connection has seen of the EMR's clock.
func (e *env) skewed(source string, c *rest.Client) {
	if skew, ok := c.Skew(); ok && e.daemon.get() != nil {
		e.daemon.get().alarm.skewed(source, skew)
	}
}

// sent keeps what came of messages, in the notes and in the journal.
func (a *alarm) sent(ctx context.Context, outcomes []notify.Outcome) {
	for _, o := range outcomes {
		if o.Err != nil && ctx.Err() == nil {
			a.e.logger().WarnContext(ctx, "alert not sent", "kind", string(o.Kind), "phase", string(o.Phase))
		}
	}
	a.mu.Lock()
	a.notes.sent(a.e.now(), outcomes)
	a.mu.Unlock()
	if a.m == nil {
		return
	}
	if err := journalTold(a.m, outcomes); err != nil {
		a.e.logger().ErrorContext(ctx, "alerts not in the journal", "cause", err.Error())
	}
}

// keep stores the notes.
func (a *alarm) keep(ctx context.Context) {
	state, err := a.center.MarshalJSON()
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		err = a.store(state)
	}
	if err != nil {
		a.e.logger().ErrorContext(ctx, "what was told is not stored", "cause", err.Error())
	}
}

// store writes the notes; mu is held.
func (a *alarm) store(state []byte) error {
	a.notes.Center = state
	b, err := a.notes.marshal()
	if err != nil {
		return err
	}
	return writeSealed(a.fs, a.box, a.s.BoxKey+notesSuffix, "alerts", b)
}

// end tells that the program could not start, or has ended, and hands the error on.
// Nothing else is known then, so that nothing is called over.
func (e *env) end(ctx context.Context, cause error) error {
	alert, worth := endAlert(cause)
	if !worth || ctx.Err() != nil {
		return cause
	}
	s, err := e.settings()
	if err != nil {
		return cause // nobody is known who could be told
	}
	a, err := e.openAlarm(s, nil)
	if err != nil {
		return cause
	}
	a.sent(ctx, a.center.Update(ctx, a.standing(a.noted(a.now()), alert)))
	a.keep(ctx)
	return cause
}

// accessEnds are the days on which accesses end, by the practice's clock, as far as the
// settings know one.
func accessEnds(s config.Settings) map[string]time.Time {
	zone := zoneOf(s)
	ends := map[string]time.Time{}
	for _, src := range s.Sources {
		if day, err := time.ParseInLocation(time.DateOnly, src.AccessEnds, zone); err == nil {
			ends[src.Name] = day
		}
	}
	return ends
}
