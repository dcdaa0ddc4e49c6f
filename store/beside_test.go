package store_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/verify"
)

// A stopDisk lets an operation wait, so that a test does something beside it.
type stopDisk struct {
	disk.OS
	waits, goOn chan struct{}

	// mu covers at: which operation waits; nil: none.
	mu sync.Mutex
	at func(op, name string) bool
}

func newStopDisk() *stopDisk {
	return &stopDisk{waits: make(chan struct{}, 1), goOn: make(chan struct{})}
}

// stopAt lets the next operation wait whose name contains a word: for open, what was
// opened is what was there before.
func (d *stopDisk) stopAt(op, word string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = func(o, name string) bool { return o == op && strings.Contains(filepath.ToSlash(name), word) }
}

func (d *stopDisk) pass(op, name string) {
	d.mu.Lock()
	stops := d.at != nil && d.at(op, name)
	if stops {
		d.at = nil
	}
	d.mu.Unlock()
	if stops {
		d.waits <- struct{}{}
		<-d.goOn
	}
}

func (d *stopDisk) Open(name string) (disk.File, error) {
	f, err := d.OS.Open(name)
	d.pass("open", name)
	return f, err
}

func (d *stopDisk) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := d.OS.ReadDir(name)
	d.pass("readdir", name)
	return list, err
}

func (d *stopDisk) Rename(old, name string) error {
	d.pass("rename", name)
	return d.OS.Rename(old, name)
}

func (d *stopDisk) Remove(name string) error {
	d.pass("remove", name)
	return d.OS.Remove(name)
}

func (d *stopDisk) Point(name string) error {
	d.pass("point", name)
	return nil
}

// onStopDisk puts a practice on a disk that stops.
func onStopDisk(t *testing.T, p *practice) *stopDisk {
	t.Helper()
	d := newStopDisk()
	p.fs = d
	p.reopen(t)
	return d
}

// beside begins to do one thing and, once that waits for the disk, does the other; late is
// what must wait for the first to end, or nil.
func (d *stopDisk) beside(t *testing.T, one func() error, other func(), late func() error) {
	t.Helper()
	done, second := make(chan error, 1), make(chan error, 1)
	go func() { done <- one() }()
	select {
	case <-d.waits:
	case err := <-done:
		t.Fatalf("it came to its end (%v) and never waited for the disk", err)
	}
	if other != nil {
		other()
	}
	waits := late != nil
	if !waits {
		late = func() error { return nil }
	}
	go func() { second <- late() }()
	time.Sleep(20 * time.Millisecond) // it is on its way
	select {
	case err := <-second:
		if second <- err; waits {
			t.Errorf("what came beside did not wait: %v", err)
		}
	default:
	}
	d.goOn <- struct{}{}
	for name, c := range map[string]chan error{"what waited": done, "what came beside": second} {
		if err := <-c; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// many are lines of more records than go into the index one by one.
func many(n int) []string {
	var list []string
	for i := range 4_100 {
		list = append(list, obs(fmt.Sprint("m", i), n, ""))
	}
	return list
}

// record writes a run without records.
func (p *practice) record(ctx context.Context) error {
	_, err := p.m.Record(ctx, store.RunSpec{Kind: "journal"}, "", struct{}{})
	return err
}

// TestNothingBeginsWhileARunEnds: from its last part until its checkpoint is signed a run
// is the only one, and another waits for it: it would pack the same lines of the journal, or
// lose its run file.
func TestNothingBeginsWhileARunEnds(t *testing.T) {
	t.Parallel()
	for _, at := range [][2]string{{"remove", "/journal/"}, {"readdir", "/index.runs"}, {"point", "before index swap"}, {"rename", "/checkpoints/"}} {
		t.Run(strings.Trim(at[0]+" "+at[1], "/"), func(t *testing.T) {
			t.Parallel()
			p := newPractice(t)
			d := onStopDisk(t, p)
			p.write(t, 1, 3)
			r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Abort()
			add(t, r, strings.Join(many(1), "\n"))
			d.stopAt(at[0], at[1])
			d.beside(t, func() error {
				return r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}})
			}, nil, func() error { return p.record(t.Context()) })
			if err := p.m.RebuildIndex(t.Context()); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			list, err := p.lines(t, 0, 0)
			if err != nil {
				t.Error(err)
			}
			down(t, list, 3, 1)
			p.same(t)
		})
	}
}

// TestTwoDecisionsAtOnce: the later of two people hears that it was decided already.
func TestTwoDecisionsAtOnce(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.pull(t, obs("a", 1, ""))
	p.run(t, index.RunStates{All: index.Applied, Types: map[string]index.State{"Observation": index.Held}}, obs("a", 2, ""))
	d := onStopDisk(t, p)
	decide := func(accept bool) error {
		return p.m.Decide(t.Context(), index.Decision{Run: 2, Type: "Observation", Accept: accept, By: "owner"})
	}
	d.stopAt("point", "before index commit")
	d.beside(t, func() error { return decide(true) }, nil, func() error {
		if err := decide(false); !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("the second decision = %w, want ErrNotFound", err)
		}
		return nil
	})
	if got := p.latest(t, "Observation", "a"); got != obs("a", 2, "") {
		t.Errorf("after the first decision: %s", got)
	}
	p.pull(t, obs("a", 3, ""))
	p.same(t)
}

// TestCertificateBeforeItsCheckpoint: a certificate that is about to be signed is not
// damaged.
func TestCertificateBeforeItsCheckpoint(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	d := onStopDisk(t, p)
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	d.stopAt("rename", "/checkpoints/")
	d.beside(t, func() error {
		return r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}, Certificate: []byte(`{}`)})
	}, func() {
		if _, _, err := p.m.Certificate(r.Number()); !errors.Is(err, store.ErrBusy) || errors.Is(err, store.ErrDamaged) {
			t.Errorf("Certificate = %v, want ErrBusy", err)
		}
	}, nil)
	if b, c, err := p.m.Certificate(r.Number()); err != nil || string(b) != `{}` || c.Number != 1 {
		t.Errorf("Certificate = %s, checkpoint %d, %v", b, c.Number, err)
	}
}

// TestLockedWhileRead: what a reader has under way when the mirror is locked does not stay
// in memory for others.
func TestLockedWhileRead(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.pull(t, obs("a", 1, ""))
	d := onStopDisk(t, p)
	snap := p.now(t)
	read := func() error {
		_, err := snap.Latest(t.Context(), store.Key{Source: "emr", Type: "Observation", ID: "a"})
		return err
	}
	d.stopAt("open", "/parts/")
	d.beside(t, read, p.m.Lock, nil)
	if err := read(); !errors.Is(err, store.ErrLocked) {
		t.Errorf("after Lock: %v, want ErrLocked", err)
	}
}

// TestRepairedWhileRead: once Repair has returned everybody reads the good file, whatever
// was read when it was damaged.
func TestRepairedWhileRead(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	var lines []string
	for i := range 200 { // more than one chunk of the encrypted file
		b := make([]byte, 1000)
		rand.Read(b)
		lines = append(lines, obs(fmt.Sprint("a", i), i, `,"x":"`+hex.EncodeToString(b)+`"`))
	}
	p.pull(t, lines...)
	part := p.files(t, "parts")[0]
	good, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	d := onStopDisk(t, p)
	name := filepath.ToSlash(strings.TrimPrefix(part, p.dir+string(filepath.Separator)))
	spoilt := slices.Clone(good)
	spoilt[len(spoilt)/4] ^= 1
	if err := os.WriteFile(part, spoilt, 0o600); err != nil {
		t.Fatal(err)
	}
	snap := p.now(t)
	read := func() error {
		_, err := snap.Latest(t.Context(), store.Key{Source: "emr", Type: "Observation", ID: "a1"})
		return err
	}
	if err := read(); !errors.Is(err, store.ErrDamaged) {
		t.Fatalf("the damage is not seen: %v", err)
	}
	p.m.DropCache()
	d.stopAt("open", "/parts/")
	d.beside(t, func() error {
		if err := read(); !errors.Is(err, store.ErrDamaged) {
			return fmt.Errorf("a read of the damaged file = %v", err)
		}
		return nil
	}, func() {
		if err := p.m.Repair(t.Context(), name, "a copy", strings.NewReader(string(good))); err != nil {
			t.Error(err)
		}
	}, nil)
	if err := read(); err != nil {
		t.Errorf("after Repair: %v", err)
	}
}

// TestRebuildBesideReaders: readers see the index in use or the one in its place.
func TestRebuildBesideReaders(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.pull(t, obs("a", 1, ""))
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for last := p.m.Generation(); ctx.Err() == nil; {
				snap, err := p.m.Now()
				if err == nil {
					_, err = snap.Latest(t.Context(), store.Key{Source: "emr", Type: "Observation", ID: "a"})
				}
				if g := p.m.Generation(); err != nil || g < last {
					t.Errorf("beside a rebuild: %v, generation %d after %d", err, g, last)
					return
				}
			}
		})
	}
	for range 5 {
		if err := p.m.RebuildIndex(t.Context()); err != nil {
			t.Error(err)
		}
	}
	stop()
	wg.Wait()
	p.same(t)
}

// TestIndexesMadeAtOnce: what is made to compare with does not get into the place of the
// one that is made to stay.
func TestIndexesMadeAtOnce(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.pull(t, obs("a", 1, ""))
	d := onStopDisk(t, p)
	d.stopAt("point", "before index swap") // of the merge of the new index
	d.beside(t, func() error { return p.m.RebuildIndex(t.Context()) }, nil, func() error {
		r, err := verify.Run(t.Context(), p.m, verify.Options{Depth: verify.Full})
		if err == nil && !r.Good() {
			err = fmt.Errorf("damage: %+v", r.Damage)
		}
		return err
	})
	p.same(t)
}

// TestSnapshotOfAPartThatComes: a snapshot, and a generation, that are taken while a part
// gets into the index give the same as later.
func TestSnapshotOfAPartThatComes(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	d := &pointFS{}
	p.fs = d
	p.reopen(t)
	type view struct {
		snap       *store.Snapshot
		generation uint64
		count      int
	}
	var views []view
	count := func(s *store.Snapshot) int {
		n, err := s.CountOf("emr", "Observation")
		if err != nil {
			t.Error(err)
		}
		return n
	}
	d.around = func() {
		v := view{generation: p.m.Generation(), snap: p.now(t)}
		v.count = count(v.snap)
		views = append(views, v)
	}
	p.pull(t, many(1)...)
	d.around = nil
	if len(views) == 0 {
		t.Fatal("nothing was committed")
	}
	for i, v := range views {
		if n := count(v.snap); n != v.count {
			t.Errorf("snapshot %d held %d records, and %d now", i, v.count, n)
		}
		if n := count(p.now(t)); v.generation == p.m.Generation() && v.count != n {
			t.Errorf("in generation %d there were %d records, and %d", v.generation, v.count, n)
		}
	}
}

// TestInventoryBesideRuns: each checkpoint comes behind the parts that it covers.
func TestInventoryBesideRuns(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < 60 && err == nil; i++ {
			err = p.record(t.Context())
		}
		done <- err
	}()
	for running := true; running; {
		select {
		case err := <-done:
			if running = false; err != nil {
				t.Error(err)
			}
		default:
		}
		list, err := p.m.Inventory()
		if err != nil {
			t.Error(err)
			continue
		}
		at := map[string]int{}
		for i, f := range list {
			at[f.Name] = i
		}
		last, err := p.m.Checkpoints()
		for n := 1; n <= last && err == nil; n++ {
			var c store.Checkpoint
			c, err = p.m.ReadCheckpoint(n)
			place, there := at[fmt.Sprintf("checkpoints/%012d", n)]
			for f := range c.Files {
				if i, listed := at[f]; there && (!listed || i > place) {
					t.Errorf("checkpoint %d covers %s, which does not come before it", n, f)
				}
			}
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// TestLookWhileSigned: who looks at a folder in which another process goes on sees it as
// it was at some time, and nothing that is wrong.
func TestLookWhileSigned(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.pull(t, obs("a", 1, ""))
	d := newStopDisk()
	var looked *store.Mirror
	check := func() {
		r, err := verify.Run(t.Context(), looked, verify.Options{Depth: verify.Full})
		if err != nil || !r.Good() {
			t.Errorf("a check of what is looked at = %+v, %v", r.Damage, err)
		}
	}
	d.stopAt("readdir", "/parts/000000")
	d.beside(t, func() (err error) {
		looked, err = store.Look(t.Context(), store.Options{Dir: p.dir, FS: d, Identity: p.office})
		return err
	}, func() { p.pull(t, obs("a", 2, "")) }, nil)
	t.Cleanup(func() { looked.Close() })
	check()
	p.pull(t, obs("a", 3, ""))
	check()
}

// TestNoRunWhileLostFilesArePutAside: a run that fetches a lost attachment again would
// find the damaged file under the name that its content gets.
func TestNoRunWhileLostFilesArePutAside(t *testing.T) {
	t.Parallel()
	p := withDocuments(t)
	d := onStopDisk(t, p)
	file := p.sealed(t)[slices.IndexFunc(p.sealed(t), func(n string) bool { return strings.HasPrefix(n, "attachments/") })]
	p.spoil(t, file, "flipped")
	d.stopAt("rename", "/quarantine/")
	d.beside(t, func() error { return p.m.DeclareLost(t.Context(), "owner", file) }, nil, func() error {
		r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
		if err == nil {
			r.Abort()
		}
		return err
	})
}
