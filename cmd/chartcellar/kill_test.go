package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
)

// A ward is a mirror whose commands run in processes of their own, to be killed.
type ward struct {
	dir  string
	emr  *fakeemr.EMR
	pass string // "" where a key file opens the mirror
}

// newWard makes a mirror and pulls once. Locked: nothing on the computer opens a
// record, as after a power cut at night.
func newWard(t *testing.T, locked bool, polls int) *ward {
	t.Helper()
	w := &ward{dir: t.TempDir()}
	var err error
	if w.emr, err = fakeemr.Start(fakeemr.Options{Practice: fakeemr.Practice{Patients: 6, Seed: 9, Years: 2}, Polls: polls}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.emr.Close() })
	w.emr.RegisterSecret("office", "s")
	ca := filepath.Join(w.dir, "ca.pem")
	if err := os.WriteFile(ca, w.emr.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, args := range setUp(w.dir, ca, w.emr) {
		if locked && i == 0 {
			w.pass = "four words are enough"
			args = []string{"init", "--data", filepath.Join(w.dir, "m"), "--reserve-mb", "1"}
		}
		w.must(t, args...)
	}
	w.must(t, "sync")
	return w
}

func (w *ward) command(ctx context.Context, kill string, args ...string) (c *exec.Cmd, out *bytes.Buffer) {
	c = exec.CommandContext(ctx, "chartcellar", args...)
	c.Env = append(os.Environ(), "CHARTCELLAR_CONFIG="+filepath.Join(w.dir, "s", "settings.toml"), "CHARTCELLAR_CLIENT_SECRET=s",
		"CHARTCELLAR_TEST_KILL="+kill)
	if w.pass != "" && args[0] != "sync" { // a pull needs none
		c.Env = append(c.Env, "CHARTCELLAR_PASSPHRASE="+w.pass)
	}
	out = &bytes.Buffer{}
	c.Stdout, c.Stderr = out, out
	return c, out
}

func (w *ward) must(t *testing.T, args ...string) string {
	t.Helper()
	c, out := w.command(t.Context(), "", args...)
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out.String()
}

func (w *ward) runs(t *testing.T) []fhirsync.Report {
	t.Helper()
	var list []fhirsync.Report
	if err := json.Unmarshal([]byte(w.must(t, "--json", "runs", "list")), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// whole verifies the mirror and compares it with the EMR.
func (w *ward) whole(t *testing.T) {
	t.Helper()
	if out := w.must(t, "verify"); !strings.Contains(out, "Nothing is wrong") {
		t.Errorf("verify: %s", out)
	}
	plain := filepath.Join(w.dir, "plain")
	w.must(t, "export", "--for", "us", "--purpose", "a test", plain)
	equalsEMR(t, plain, w.emr)
}

// TestKilledAtEachStep is T1 at each of C0-C4 and C7 (C9 is TestInitKilled): a
// pull is killed just there, and the next one goes on, with no hand and no second
// export; with a key on the computer and without.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	points := []struct{ name, args, kill string }{
		{"C0, before anything is stored", "sync", "before create parts/"},
		{"C1, in the first part", "sync", "after write parts/"},
		{"C1, before it is synced", "sync", "before sync parts/"},
		{"C1, after it is synced", "sync", "after sync parts/"},
		{"C2, before the commit", "sync", "sync parts/ > before point before index commit"},
		{"C2, after the commit", "sync", "sync parts/ > after point after index commit"},
		{"C3, before its name", "sync", "before rename parts/"},
		{"C3, after its name", "sync", "after rename parts/"},
		{"C4, before the closing part", "sync", "rename parts/ > before create parts/"},
		{"C4, after the closing part", "sync", "rename parts/ > after rename parts/"},
		{"C4, before the checkpoint", "sync", "before create checkpoints/"},
		{"C4, before the checkpoint's name", "sync", "before rename checkpoints/"},
		{"C4, after the checkpoint", "sync", "after rename checkpoints/"},
		{"C7, in a rebuild", "index rebuild", "before point before index swap"},
		{"C7, before the new index is in place", "index rebuild", "before replace index.db"},
		{"C7, after the new index is in place", "index rebuild", "after replace index.db"},
	}
	every := 1
	if *loops < 100 { // in CI each of them
		every = 4
	}
	first := rand.IntN(every)
	for _, locked := range []bool{false, true} {
		t.Run(map[bool]string{false: "with a key file", true: "without any identity"}[locked], func(t *testing.T) {
			t.Parallel()
			w := newWard(t, locked, -1)
			for i, p := range points {
				if i%every != first || locked && p.args != "sync" {
					continue // a rebuild needs a key, and is the same with it
				}
				if _, err := w.emr.Changes(i + 1); err != nil {
					t.Fatal(err)
				}
				before, kicked := len(w.runs(t)), w.emr.Served().KickOffs
				c, out := w.command(t.Context(), p.kill, strings.Fields(p.args)...)
				if err := c.Run(); !killed(err) {
					t.Errorf("%s: not killed: %v\n%s", p.name, err, out)
					continue
				}
				w.must(t, "sync")
				runs := len(w.runs(t)) - before
				if n := w.emr.Served().KickOffs - kicked; n > runs || runs > 2 {
					t.Errorf("%s: %d exports for %d runs", p.name, n, runs)
				}
				for name, times := range w.emr.Served().Files {
					if times > 2 { // cut off once, and once to the end
						t.Errorf("%s: %s was fetched %d times", p.name, name, times)
					}
				}
			}
			w.whole(t)
		})
	}
}

// TestKilledInADialogue is F20: kill -9 at each of its six points of the talk with
// the EMR. The same job is resumed, and the mirror equals the EMR.
func TestKilledInADialogue(t *testing.T) {
	t.Parallel()
	w := newWard(t, false, 2)
	// at kills the process when the EMR sees a request of a kind for the n-th time.
	at := func(n int, set func(f *fakeemr.Faults, hook func(int))) func(kill func()) {
		return func(kill func()) {
			var f fakeemr.Faults
			var mu sync.Mutex
			seen := 0
			set(&f, func(int) {
				mu.Lock()
				defer mu.Unlock()
				if seen++; seen == n {
					kill()
				}
			})
			w.emr.Set(f)
		}
	}
	onPoll := func(f *fakeemr.Faults, hook func(int)) { f.OnPoll = hook }
	onFile := func(f *fakeemr.Faults, hook func(int)) { f.OnFile = hook }
	onDelete := func(f *fakeemr.Faults, hook func(int)) { f.OnDelete = hook }
	tests := []struct {
		name string
		set  func(kill func()) // nil: at a step on the disk
		kill string
	}{
		{"after the kick-off", at(1, onPoll), ""},
		{"in the middle of polling", at(2, onPoll), ""},
		{"in the middle of a file", at(2, onFile), ""},
		{"after a file, before its commit", nil, "sync parts/ > before point before index commit"},
		{"after the commit, before the cursor", nil, "sync parts/ > after point after index commit"},
		{"before the job is deleted", at(1, onDelete), ""},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := w.emr.Changes(i + 1); err != nil {
				t.Fatal(err)
			}
			before, kicked := len(w.runs(t)), w.emr.Served().KickOffs
			c, out := w.command(t.Context(), tt.kill, "sync")
			ready := make(chan struct{})
			if tt.set != nil {
				tt.set(func() {
					<-ready
					c.Process.Kill() // the end of it is waited for below
				})
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			close(ready)
			if err := c.Wait(); !killed(err) {
				t.Fatalf("not killed: %v\n%s", err, out)
			}
			w.emr.Set(fakeemr.Faults{})
			out2 := w.must(t, "sync")
			runs := len(w.runs(t)) - before
			s := w.emr.Served()
			if n := s.KickOffs - kicked; n > runs || s.MaxLiveJobs > 1 {
				t.Errorf("%d exports for %d runs, %d jobs at once\n%s", n, runs, s.MaxLiveJobs, out2)
			}
			if s.LiveJobs != 0 {
				t.Errorf("%d jobs are left at the EMR", s.LiveJobs)
			}
		})
	}
	w.whole(t)
}

// TestSecondWriterIsQuick is T8: a second writer ends at once and says who holds
// the mirror; after kill -9 of the first no hand is needed.
func TestSecondWriterIsQuick(t *testing.T) {
	w := newWard(t, false, -1)
	reached, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.emr.Set(fakeemr.Faults{OnFile: func(int) { once.Do(func() { close(reached); <-release }) }})
	first, _ := w.command(t.Context(), "", "sync", "--full")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	for range 3 {
		start := time.Now()
		c, out := w.command(t.Context(), "", "sync")
		err := c.Run()
		// The figure is one second; a loaded computer is given twenty.
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("a second writer took %v", took)
		}
		if err == nil || c.ProcessState.ExitCode() != exitBusy || !strings.Contains(out.String(), "in use by process") {
			t.Errorf("a second writer: %v\n%s", err, out)
		}
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.Wait() // killed
	close(release)
	w.emr.Set(fakeemr.Faults{})
	w.must(t, "sync")
	w.whole(t)
}
