package fhirsync_test

import (
	"context"
	"errors"
	"flag"
	"strings"
	"sync"
	"testing"
	"time"

	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
	"chartcellar/store"
	"chartcellar/store/disk"
)

// killStep is at every how many-th place a run is broken off: .ci/run takes each.
var killStep = flag.Int("kill.step", 15, "break runs off at every n-th place")

// A tripwire is a disk that calls a function at each durable step of the index.
type tripwire struct {
	disk.OS
	mu   sync.Mutex // covers what follows
	n    int
	trip func(n int, name string)
}

// Point implements disk.FS.
func (d *tripwire) Point(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.trip != nil {
		d.n++
		d.trip(d.n, name)
	}
	return nil
}

// killed is an EMR that is pulled by search, with several pages for a type,
// attachments, records of hidden types, and a panel that names others.
func killed(patients int) fakeemr.Options {
	return fakeemr.Options{Practice: fakeemr.Practice{Patients: patients, Seed: 3, Years: 2}, NoExport: true, MaxCount: 15,
		Plain: true, HideBinary: true, HiddenTypes: []string{"Practitioner", "Medication"}}
}

// TestKilledSearch breaks a pull by search off at each page, attachment, read and
// durable step, and goes on: nothing durable is asked for again, the windows stay
// the same, and the report counts what one run would have counted.
func TestKilledSearch(t *testing.T) {
	clean := newKill(t, killed(4))
	want := clean.mustSync(t)
	served := clean.emr.Served()
	steps := clean.wire.n
	places := []struct {
		name string
		n    int
		hook func(*fakeemr.Faults, func(int))
	}{
		{"page", served.Pages, func(f *fakeemr.Faults, stop func(int)) { f.OnPage = stop }},
		{"attachment", served.Attachments, func(f *fakeemr.Faults, stop func(int)) { f.OnAttachment = stop }},
		{"read", served.Reads, func(f *fakeemr.Faults, stop func(int)) { f.OnRead = stop }},
		{"durable step", steps, nil},
	}
	for _, place := range places {
		if place.n < 4 {
			t.Errorf("the pull has %d of: %s", place.n, place.name)
		}
		for n := 1; n <= place.n; n += *killStep {
			f := newKill(t, killed(4))
			ctx, cancel := context.WithCancel(t.Context())
			stop := func(k int) {
				if k == n {
					cancel()
				}
			}
			if place.hook != nil {
				var faults fakeemr.Faults
				place.hook(&faults, stop)
				f.emr.Set(faults)
			} else {
				f.wire.trip = func(k int, _ string) { stop(k) }
			}
			_, err := f.sync(ctx)
			cancel()
			if err == nil {
				continue // it was over
			}
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("broken off at %s %d: %v", place.name, n, err)
			}
			f.again(t, place.name, n, want, served)
		}
	}
}

// A kill is an office whose runs are broken off.
type kill struct {
	*office
	wire *tripwire
}

func newKill(t *testing.T, o fakeemr.Options) *kill {
	t.Helper()
	k := &kill{office: newSearchOffice(t, o), wire: &tripwire{}}
	k.reopen(t)
	k.wire.trip = func(int, string) {}
	return k
}

func (k *kill) reopen(t *testing.T) {
	t.Helper()
	if err := k.m.Close(); err != nil {
		t.Fatal(err)
	}
	m, err := store.Open(t.Context(), store.Options{Dir: k.dir, Box: k.box, FS: k.wire, Ballast: -1, Reserve: 1, Identity: k.office.office})
	if err != nil {
		t.Fatal(err)
	}
	k.m = m
	t.Cleanup(func() { m.Close() })
}

func (k *kill) sync(ctx context.Context) (*fhirsync.Report, error) {
	return fhirsync.Sync(ctx, fhirsync.Options{Source: k.source, Client: k.client, Tokens: k.tokens, Mirror: k.m,
		Poll: time.Millisecond, InFlight: 1})
}

func (k *kill) mustSync(t *testing.T) *fhirsync.Report {
	t.Helper()
	r, err := k.sync(t.Context())
	if err != nil {
		t.Fatalf("Sync = %v", err)
	}
	return r
}

// again goes on with a run that was broken off and compares it with a clean one.
func (k *kill) again(t *testing.T, place string, n int, want *fhirsync.Report, clean fakeemr.Served) {
	t.Helper()
	k.wire.trip = nil
	k.emr.Set(fakeemr.Faults{})
	k.reopen(t)
	r := k.mustSync(t)
	s := k.emr.Served()
	// One request may have been under way; a place before the plan was durable
	// plans anew, so that its probes are asked again.
	probes := 12
	if r.Resumed && s.Pages > clean.Pages+1+probes || r.Resumed && s.Pages > clean.Pages+1 && place != "durable step" && n > probes {
		t.Errorf("%s %d: %d pages were asked for, %d in a run that is not broken off", place, n, s.Pages, clean.Pages)
	}
	if s.Attachments > clean.Attachments+2 {
		t.Errorf("%s %d: %d attachments were asked for, %d in a run that is not broken off", place, n, s.Attachments, clean.Attachments)
	}
	if s.Reads > clean.Reads+2 { // two attachments at once
		t.Errorf("%s %d: %d records were read, %d in a run that is not broken off", place, n, s.Reads, clean.Reads)
	}
	if r.Verdict != want.Verdict || r.GapCount != want.GapCount {
		t.Errorf("%s %d: %q with %d gaps, want %q with %d", place, n, r.Verdict, r.GapCount, want.Verdict, want.GapCount)
	}
	for _, w := range want.Types {
		if !r.Resumed {
			break // the run was over, or had not begun
		}
		g := row(r, w.Type)
		if g.Lines != g.New+g.Changed+g.Unchanged+g.Duplicates+g.Quarantine+g.Subsetted {
			t.Errorf("%s %d: %s does not add up: %+v", place, n, w.Type, g.Count)
		}
		if g.New != w.New || g.Changed != 0 || g.Listed != w.Listed {
			t.Errorf("%s %d: %s: %d new, %d changed, %d listed; want %d, 0, %d", place, n, w.Type, g.New, g.Changed, g.Listed, w.New, w.Listed)
		}
	}
	k.equalListed(t)
	for _, typ := range []string{"Practitioner", "Medication"} {
		if got := k.count(t, typ); got != row(want, typ).New {
			t.Errorf("%s %d: %d records of type %s were read, want %d", place, n, got, typ, row(want, typ).New)
		}
	}
	k.checkFiles(t, true)
}

// TestKilledMerge breaks a pull off whose records go through run files, at each
// durable step behind the last page: in Settle, in the merge, in the closing.
func TestKilledMerge(t *testing.T) {
	o := fakeemr.Options{Practice: fakeemr.Practice{Patients: 60, Seed: 3, Years: 8}, NoExport: true, MaxCount: 1000,
		Plain: true, HideBinary: true, HiddenTypes: []string{"Practitioner", "Medication"}}
	clean := newKill(t, o)
	var names []string
	clean.wire.trip = func(_ int, name string) { names = append(names, name) }
	want := clean.mustSync(t)
	if !strings.Contains(strings.Join(names, ","), "index swap") {
		t.Fatalf("nothing was merged: %v", names)
	}
	served := clean.emr.Served()
	for n := len(names); n > 0; n -= *killStep {
		f := newKill(t, o)
		ctx, cancel := context.WithCancel(t.Context())
		f.wire.trip = func(k int, _ string) {
			if k == n {
				cancel()
			}
		}
		_, err := f.sync(ctx)
		cancel()
		if err == nil {
			continue
		}
		f.again(t, "durable step", n, want, served)
	}
}
