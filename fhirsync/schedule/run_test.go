package schedule_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chartcellar/fhirsync/schedule"
)

// A shelf is a Memory that can break.
type shelf struct {
	mu     sync.Mutex
	states map[schedule.Job]schedule.State
	broken error
}

func (s *shelf) Load(j schedule.Job) (schedule.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.states[j], nil
}

func (s *shelf) Save(j schedule.Job, st schedule.State) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.states[j] = st
	}
	return s.broken
}

// fail has nothing stored from now on, as if the power were off.
func (s *shelf) fail(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = nil
	if on {
		s.broken = errors.New("nothing can be stored")
	}
}

func (s *shelf) state(j schedule.Job) schedule.State { st, _ := s.Load(j); return st }

// A desk is a scheduler running in a bubble, whose clock starts at midnight UTC on
// Saturday, 1 January 2000.
type desk struct {
	*schedule.Scheduler
	shelf  *shelf
	mu     sync.Mutex
	starts []schedule.Start
	took   time.Duration
	out    schedule.Outcome
	stop   func()
}

func (d *desk) do(ctx context.Context, s schedule.Start) schedule.Outcome {
	d.mu.Lock()
	d.starts = append(d.starts, s)
	took, out := d.took, d.out
	d.mu.Unlock()
	select {
	case <-time.After(took):
		return out
	case <-ctx.Done():
		return schedule.Outcome{}
	}
}

// set says how long runs take from now on and how they end.
func (d *desk) set(took time.Duration, out schedule.Outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.took, d.out = took, out
}

func (d *desk) count() int { d.mu.Lock(); defer d.mu.Unlock(); return len(d.starts) }

func (d *desk) last() schedule.Start {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.starts[len(d.starts)-1]
}

func open(t *testing.T, plans []schedule.Plan, change func(*schedule.Options)) *desk {
	t.Helper()
	return openTaking(t, time.Minute, plans, change)
}

// openTaking opens a desk whose runs take that long from the very first, which may
// begin before open returns.
func openTaking(t *testing.T, took time.Duration, plans []schedule.Plan, change func(*schedule.Options)) *desk {
	t.Helper()
	d := &desk{shelf: &shelf{states: map[schedule.Job]schedule.State{}}, took: took, out: schedule.Outcome{Success: true}}
	o := schedule.Options{Plans: plans, Memory: d.shelf, Do: d.do}
	if change != nil {
		change(&o)
	}
	s, err := schedule.New(o)
	if err != nil {
		t.Fatal(err)
	}
	d.Scheduler = s
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	d.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return d
}

var pull = schedule.Job{Source: "emr", Kind: schedule.Pull}

func nightly(t *testing.T) []schedule.Plan {
	return []schedule.Plan{{Job: pull, Calendar: parse(t, "daily 02:00"), Zone: time.UTC}}
}

func TestRunNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, nightly(t), nil)
		defer d.stop()
		synctest.Wait()
		if err := d.RunNow(pull); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d.count() != 1 || d.last().Why != schedule.Asked {
			t.Fatalf("%d runs", d.count())
		}
		if err := d.RunNow(pull); !errors.Is(err, schedule.ErrRunning) {
			t.Errorf("a second wish: %v", err)
		}
		if err := d.RunNow(schedule.Job{Kind: "tea"}); !errors.Is(err, schedule.ErrNoJob) {
			t.Errorf("a wish for tea: %v", err)
		}
		if s := d.Status(5)[0]; s.Running.IsZero() || len(s.Next) != 5 {
			t.Errorf("status: %+v", s)
		}
		time.Sleep(27 * time.Hour)
		if d.count() != 3 || !d.Status(1)[0].Running.IsZero() {
			t.Errorf("%d runs after two nights", d.count())
		}
	})
}

func TestPauseAndPlans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, nightly(t), nil)
		defer d.stop()
		p, err := schedule.NewPause(time.Now(), time.Now().Add(60*time.Hour), "manager", "server move")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Pause("emr", p); err != nil {
			t.Fatal(err)
		}
		if err := d.Pause("emr", schedule.Pause{From: time.Now()}); err == nil {
			t.Error("a pause without an end was taken")
		}
		if err := d.Pause("other", p); !errors.Is(err, schedule.ErrNoJob) {
			t.Errorf("a pause of nothing: %v", err)
		}
		time.Sleep(60*time.Hour - time.Second)
		if d.count() != 0 {
			t.Error("it ran in the pause")
		}
		// A new plan made in the pause does not lose what was missed.
		plans := nightly(t)
		plans[0].Calendar = parse(t, "Fri 02:00")
		if err := d.SetPlans(plans); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if d.count() != 1 {
			t.Errorf("%d runs after the pause, want 1", d.count())
		}
		plans[0].Zone = nil
		if err := d.SetPlans(plans); err == nil || !strings.Contains(err.Error(), "time zone") {
			t.Errorf("a plan without a zone: %v", err)
		}
		if err := d.SetPlans(append(nightly(t), nightly(t)...)); err == nil {
			t.Error("two plans for one job were taken")
		}
		if got := d.Status(1)[0].Plan.Calendar.String(); got != "Fri 02:00" {
			t.Errorf("a refused plan changed the schedule to %q", got)
		}
	})
}

func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, nightly(t), nil)
		defer d.stop()
		d.set(time.Minute, schedule.Outcome{Again: time.Now().Add(5 * time.Hour)})
		time.Sleep(3 * time.Hour)
		if d.count() != 1 || !d.shelf.state(pull).Success.IsZero() {
			t.Fatalf("%d runs, state %+v", d.count(), d.shelf.state(pull))
		}
		d.set(time.Minute, schedule.Outcome{Success: true})
		time.Sleep(3 * time.Hour)
		if d.count() != 2 || d.last().Why != schedule.Again || d.shelf.state(pull).Success.IsZero() {
			t.Errorf("%d runs, the last %q", d.count(), d.last().Why)
		}
	})
}

// TestStop: a run that is stopped with the program is gone on with after every
// start; one that is cut off by a crash, once.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, nightly(t), func(o *schedule.Options) {})
		d.set(20*time.Hour, schedule.Outcome{Success: true})
		time.Sleep(3 * time.Hour)
		d.stop()
		if !d.shelf.state(pull).Open {
			t.Fatal("the run that was stopped counts as ended")
		}
		for n, tt := range []struct {
			crash bool
			runs  int
		}{{false, 1}, {false, 1}, {true, 1}, {true, 0}, {false, 0}} {
			kept := d.shelf
			d = openTaking(t, 20*time.Hour, nightly(t), func(o *schedule.Options) { o.Memory = kept })
			d.shelf = kept
			time.Sleep(time.Minute)
			if d.count() != tt.runs || tt.runs > 0 && d.last().Why != schedule.CutOff {
				t.Errorf("start %d: %d runs, want %d", n, d.count(), tt.runs)
			}
			kept.fail(tt.crash)
			d.stop()
			kept.fail(false)
		}
	})
}

func TestBrokenMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, nightly(t), nil)
		defer d.stop()
		synctest.Wait()
		d.shelf.fail(true)
		time.Sleep(75 * time.Hour)
		if d.count() != 4 {
			t.Errorf("%d runs in four nights with a full disk", d.count())
		}
		if d.Status(1)[0].Fault == nil || d.RunNow(pull) == nil {
			t.Error("nobody hears of it")
		}
	})
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var oldest time.Time
		var size int64
		pack := schedule.Job{Kind: schedule.Pack}
		plans := []schedule.Plan{{Job: pack, Zone: time.UTC, Lane: "pack"}}
		d := open(t, plans, func(o *schedule.Options) {
			do := o.Do
			o.Watch = map[schedule.Kind]func(time.Time) time.Time{schedule.Pack: func(now time.Time) time.Time {
				mu.Lock()
				defer mu.Unlock()
				return schedule.PackDue(oldest, size, now)
			}}
			o.Do = func(ctx context.Context, s schedule.Start) schedule.Outcome {
				out := do(ctx, s)
				if out.Success {
					mu.Lock()
					defer mu.Unlock()
					size = 0
				}
				return out
			}
		})
		defer d.stop()
		set := func(o time.Time, n int64) {
			mu.Lock()
			defer mu.Unlock()
			oldest, size = o, n
		}
		d.set(time.Second, schedule.Outcome{Success: true})
		time.Sleep(time.Hour)
		set(time.Now(), 10)
		time.Sleep(4*time.Minute + 59*time.Second)
		if d.count() != 0 {
			t.Fatal("packed too early")
		}
		time.Sleep(2 * time.Second)
		if d.count() != 1 {
			t.Fatalf("packed %d times after five minutes", d.count())
		}
		time.Sleep(time.Minute)
		set(time.Now(), schedule.PackBytes)
		d.Wake()
		synctest.Wait()
		if d.count() != 2 {
			t.Errorf("packed %d times, the second when it was full", d.count())
		}
		d.set(time.Second, schedule.Outcome{})
		time.Sleep(time.Minute)
		set(time.Now(), schedule.PackBytes)
		time.Sleep(time.Hour)
		if n := d.count() - 2; n < 10 || n > 13 {
			t.Errorf("a packing that fails was tried %d times in an hour", n)
		}
	})
}
