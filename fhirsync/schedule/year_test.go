package schedule_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chartcellar/fhirsync/schedule"
)

var years = flag.Uint64("years", 1, "how many years T10 simulates in each time zone")

// T10: a year of an office's computer in virtual time, with sleeps, power cuts,
// restarts, pauses, a clock that is corrected by minutes and one that jumps by years.
//
// The due times are worked out a second time by an oracle that only watches a clock
// on the wall, minute by minute. Real is the time at which things happen; the
// computer's clock is real plus an error of years while it is wrong.

// An era is an interval of real time in which nothing could start, in one lane or,
// with "", in all.
type era struct {
	from, to time.Time
	lane     string
}

// A ran is one run as the world saw it.
type ran struct {
	schedule.Start
	lane  string
	from  time.Time // real
	to    time.Time
	wrong bool // the clock was wrong by years
	cut   bool // by a power cut or a restart
}

// A world is the computer in the office.
type world struct {
	t   *testing.T
	rnd *rand.Rand

	mu     sync.Mutex
	real   time.Duration // real time less the bubble's
	skew   time.Duration // the clock less real time
	stored map[schedule.Job]schedule.State
	dead   bool // the power is off: nothing is stored any more
	lanes  map[string]bool
	runs   []*ran
	eras   []era
	counts map[string]int
}

func (w *world) now() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.truth().Add(w.skew) }

func (w *world) truth() time.Time { return time.Now().Add(w.real) }

func (w *world) Load(j schedule.Job) (schedule.State, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stored[j], nil
}

func (w *world) Save(j schedule.Job, s schedule.State) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return errors.New("the power is off")
	}
	w.stored[j] = s
	return nil
}

func laneOf(j schedule.Job) string {
	if j.Kind == "tick" {
		return "tick"
	}
	return j.Source
}

// do is one run: it takes a while, and sometimes fails.
func (w *world) do(ctx context.Context, s schedule.Start) schedule.Outcome {
	w.mu.Lock()
	r := &ran{Start: s, lane: laneOf(s.Job), from: w.truth(), wrong: w.skew != 0}
	if w.lanes[r.lane] {
		w.t.Errorf("%s starts at %s while another of its lane runs", s.Job, r.from)
	}
	w.lanes[r.lane] = true
	w.runs = append(w.runs, r)
	long := map[schedule.Kind]int{schedule.Pull: 180, schedule.Full: 540, schedule.Verify: 90, "tick": 20}[s.Job.Kind]
	took := time.Duration(1+w.rnd.IntN(long)) * time.Minute
	out := schedule.Outcome{Success: w.rnd.IntN(10) > 0}
	w.mu.Unlock()
	select {
	case <-time.After(took):
	case <-ctx.Done():
		out = schedule.Outcome{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r.cut = ctx.Err() != nil
	r.to = w.truth()
	w.lanes[r.lane] = false
	return out
}

// blocked notes that nothing could start from then until now.
func (w *world) blocked(from time.Time) { w.eras = append(w.eras, era{from: from, to: w.truth()}) }

// An office is the program, running.
type office struct {
	s    *schedule.Scheduler
	stop func()
}

func (w *world) boot(plans []schedule.Plan) office {
	s, err := schedule.New(schedule.Options{Plans: plans, Memory: w, Do: w.do, Now: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	return office{s, func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}}
}

// disturb does one of the things that happen to computers in offices.
func (w *world) disturb(o office, plans []schedule.Plan) office {
	kind := []string{"sleep", "sleep", "power cut", "power cut", "restart", "corrected", "years", "pause", "asked"}[w.rnd.IntN(9)]
	w.counts[kind]++
	if kind == "corrected" {
		w.awaitRun() // the most awkward moment
	}
	w.mu.Lock()
	from := w.truth()
	away := time.Duration(w.rnd.Int64N(int64(70 * time.Hour)))
	if w.rnd.IntN(10) == 0 {
		away *= 7
	}
	w.dead = kind == "power cut"
	w.mu.Unlock()
	switch kind {
	case "sleep":
		w.shift(from, away)
	case "power cut", "restart":
		o.stop()
		w.mu.Lock()
		w.dead = false
		w.mu.Unlock()
		if kind == "power cut" {
			w.shift(from, away)
		}
		return w.boot(plans)
	case "corrected":
		w.shift(from, time.Duration(w.rnd.IntN(600)-300)*time.Second)
	case "years":
		w.leap(from)
	case "pause":
		p, err := schedule.NewPause(from, from.Add(away), "manager", "")
		if err == nil {
			err = o.s.Pause("emr", p)
		}
		if err != nil {
			w.t.Error(err)
		}
		w.mu.Lock()
		w.eras = append(w.eras, era{from, from.Add(away), "emr"})
		w.mu.Unlock()
		time.Sleep(away)
	case "asked":
		if err := o.s.RunNow(schedule.Job{Source: "emr", Kind: schedule.Pull}); err != nil && !errors.Is(err, schedule.ErrRunning) {
			w.t.Error(err)
		}
	}
	return o
}

// awaitRun returns shortly after a run has begun.
func (w *world) awaitRun() {
	started := func() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.runs) }
	for n := started(); started() == n; {
		time.Sleep(20 * time.Second)
	}
}

// shift lets real time pass while the computer's own stands still.
func (w *world) shift(from time.Time, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.real += d
	w.blocked(from)
	if d < 0 { // the clock was fast: what it shows comes twice
		w.eras = append(w.eras, era{from: from.Add(d), to: from})
	}
}

// leap has the clock wrong by years for some hours, and looks that no job runs more
// often than is due.
func (w *world) leap(from time.Time) {
	years := []int{-20, -6, -1, 1, 9, 30}[w.rnd.IntN(6)]
	w.mu.Lock()
	w.skew = time.Duration(years) * 365 * 24 * time.Hour
	n := len(w.runs)
	w.mu.Unlock()
	time.Sleep(5 * time.Hour)
	w.mu.Lock()
	defer w.mu.Unlock()
	count := map[schedule.Job]int{}
	for _, r := range w.runs[n:] {
		if count[r.Job]++; r.Job.Kind != "tick" && count[r.Job] > 4 {
			w.t.Errorf("%s ran %d times in 5 hours of a clock wrong by %d years", r.Job, count[r.Job], years)
		}
	}
	w.skew = 0
	w.blocked(from)
}

// oracle returns when a clock on the wall first shows, or jumps over, a time of day
// that is wanted on that weekday.
func oracle(zone *time.Location, from, to time.Time, wanted func(time.Weekday, int) bool) (due []time.Time) {
	minute := func(t time.Time) (day time.Time, m int) {
		l := t.In(zone)
		return time.Date(l.Year(), l.Month(), l.Day(), 0, 0, 0, 0, time.UTC), 60*l.Hour() + l.Minute()
	}
	day, m := minute(from)
	shown := day.Add(time.Duration(m) * time.Minute) // the latest the wall has shown
	for t := from.Add(time.Minute); !t.After(to); t = t.Add(time.Minute) {
		day, m := minute(t)
		wall := day.Add(time.Duration(m) * time.Minute)
		hit := false
		for ; shown.Before(wall); shown = shown.Add(time.Minute) {
			next := shown.Add(time.Minute)
			hit = hit || wanted(next.Weekday(), 60*next.Hour()+next.Minute())
		}
		if hit {
			due = append(due, t)
		}
	}
	return due
}

func TestYear(t *testing.T) {
	for _, name := range []string{"America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"} {
		for seed := range *years {
			t.Run(fmt.Sprintf("%s, %d", name, seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { year(t, name, seed) })
			})
		}
	}
}

func year(t *testing.T, name string, seed uint64) {
	zone, err := schedule.Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 1, 1, 9, 0, 0, 0, zone)
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 10)), real: begin.Sub(time.Now()),
		stored: map[schedule.Job]schedule.State{}, lanes: map[string]bool{}, counts: map[string]int{}}
	jobs := []struct {
		job    schedule.Job
		text   string
		wanted func(d time.Weekday, m int) bool
	}{
		{schedule.Job{Source: "emr", Kind: schedule.Pull}, "daily 02:00, 12:30; Mon-Fri 19:00", func(d time.Weekday, m int) bool {
			return m == 120 || m == 750 || m == 19*60 && d != time.Saturday && d != time.Sunday
		}},
		{schedule.Job{Source: "emr", Kind: schedule.Full}, "Sun 02:00", func(d time.Weekday, m int) bool { return d == time.Sunday && m == 120 }},
		{schedule.Job{Kind: schedule.Verify}, "02:30 daily", func(_ time.Weekday, m int) bool { return m == 150 }},
		{schedule.Job{Kind: "tick"}, "daily 00:00, 01:30, 02:10, 03:00, 06:00, 23:59", func(_ time.Weekday, m int) bool {
			return slices.Contains([]int{0, 90, 130, 180, 360, 1439}, m)
		}},
	}
	var plans []schedule.Plan
	for _, j := range jobs {
		c, err := schedule.ParseCalendar(j.text)
		if err != nil {
			t.Fatal(err)
		}
		p := schedule.Plan{Job: j.job, Calendar: c, Zone: zone, Lane: laneOf(j.job)}
		if j.job.Kind == schedule.Full {
			p.Covers = []schedule.Kind{schedule.Pull}
		}
		plans = append(plans, p)
	}
	o := w.boot(plans)
	for w.now().Before(begin.AddDate(1, 0, 0)) {
		time.Sleep(time.Duration(w.rnd.Int64N(int64(5 * 24 * time.Hour))))
		o = w.disturb(o, plans)
	}
	end := w.now()
	time.Sleep(48 * time.Hour) // what is due at the end has run
	o.stop()
	total := 0
	for _, j := range jobs {
		due := oracle(zone, begin, end.Truncate(time.Minute), j.wanted)
		total += len(due)
		w.check(j.job, due)
	}
	t.Logf("%d due times, %d runs (%v), disturbed: %v", total, len(w.runs), w.reasons(), w.counts)
}

func (w *world) reasons() map[schedule.Reason]int {
	n := map[schedule.Reason]int{}
	for _, r := range w.runs {
		n[r.Why]++
	}
	return n
}

// possible returns the earliest moment at which what was due could start, and how
// many things stood in its way.
func (w *world) possible(due time.Time, r *ran) (at time.Time, hops int) {
	at = due
	for again := true; again; {
		again = false
		for _, e := range w.eras {
			if (e.lane == "" || e.lane == r.lane) && !at.Before(e.from.Add(-time.Second)) && at.Before(e.to) {
				at, again = e.to, true
				hops++
			}
		}
		for _, o := range w.runs {
			if o != r && o.lane == r.lane && !at.Before(o.from) && at.Before(o.to) {
				at, again = o.to, true
				hops++
			}
		}
	}
	return at, hops
}

// check holds the runs of a job against its due times.
func (w *world) check(j schedule.Job, due []time.Time) {
	var runs []*ran // those that answer the job
	unsure := map[*ran]bool{}
	wrong := false
	for _, r := range w.runs {
		covers := j.Kind == schedule.Pull && r.Job.Kind == schedule.Full
		if r.Job != j && !covers {
			continue
		}
		if !r.wrong {
			runs = append(runs, r)
			unsure[r] = wrong // the run before knew a wrong time: one more is right
		}
		wrong = r.wrong
	}
	answers := map[*ran]int{}
	i := 0
	for _, d := range due {
		for i < len(runs) && runs[i].from.Before(d) {
			i++
		}
		if i == len(runs) {
			w.t.Fatalf("%s was due at %s and never ran", j, d)
		}
		answers[runs[i]]++
		at, hops := w.possible(d, runs[i])
		if lag := runs[i].from.Sub(at); lag > time.Duration(hops+1)*31*time.Second || hops == 0 && lag > 0 {
			w.t.Errorf("%s was due at %s, could start at %s and did at %s", j, d, at, runs[i].from)
		}
	}
	w.checkRuns(j, runs, answers, unsure, due[len(due)-1])
}

// checkRuns: no run for nothing, none for what was answered, in order; one that was
// cut off is gone on with.
func (w *world) checkRuns(j schedule.Job, runs []*ran, answers map[*ran]int, unsure map[*ran]bool, end time.Time) {
	var last time.Time
	for i, r := range runs {
		if i > 0 && runs[i-1].cut && runs[i-1].Why != schedule.CutOff && runs[i-1].Job == j && r.from.Before(end) {
			at, hops := w.possible(runs[i-1].to, r)
			if lag := r.from.Sub(at); lag > time.Duration(hops+1)*31*time.Second {
				w.t.Errorf("%s was cut off, could go on at %s and did at %s", j, at, r.from)
			}
		}
		if r.Why == schedule.SetBack && !unsure[r] {
			w.t.Errorf("%s ran at %s as if the clock had been wrong", j, r.from)
		}
		if r.Job != j || r.Why == schedule.SetBack {
			continue
		}
		timed := !unsure[r] && (r.Why == schedule.Due || r.Why == schedule.Missed)
		if timed && answers[r] == 0 && r.from.Before(end) {
			w.t.Errorf("%s ran at %s for nothing (%s, due %s)", j, r.from, r.Why, r.Due)
		}
		if timed && !r.Due.After(last) {
			w.t.Errorf("%s ran at %s for %s, after it had run for %s", j, r.from, r.Due, last)
		}
		if timed {
			last = r.Due
		}
	}
}
