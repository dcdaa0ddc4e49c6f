package store_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/storetest"
)

// loops is how thorough the crash tests are: .ci/run turns it up.
var loops = flag.Int("crash.loops", 20, "how many crashes a crash test tries")

// seeds is how many power cuts T3 makes.
var seeds = flag.Int("crash.seeds", 0, "how many power cuts with lost writes (0: twice crash.loops)")

func orElse(n, other int) int {
	if n == 0 {
		return other
	}
	return n
}

// copyTo copies a closed mirror.
func (p *practice) copyTo(t testing.TB, fsys disk.FS) *practice {
	t.Helper()
	c := *p
	c.dir, c.fs, c.m = t.TempDir(), fsys, nil
	if err := os.CopyFS(c.dir, os.DirFS(p.dir)); err != nil {
		t.Fatal(err)
	}
	return &c
}

// seed makes a closed mirror with a little history.
func seed(t testing.TB) *practice {
	t.Helper()
	p := newPractice(t)
	p.pull(t, `{"resourceType":"Patient","id":"p1"}`, obs("a", 1, ""), obs("b", 1, ""))
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	return p
}

// work opens a mirror and makes one run in it; every error is returned. Flushed
// tells what was acknowledged before it broke.
func (p *practice) work(ctx context.Context) (flushed bool, err error) {
	m, err := store.Open(ctx, p.options())
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := m.Journal(store.Event{Code: "test", Account: "doctor", Note: "a note"}); err != nil {
		return false, err
	}
	r, err := m.Begin(ctx, store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		return false, err
	}
	defer r.Abort()
	for i := range 5 { // once through the index, then enough for a run file
		if err := r.Add(ctx, store.Chunk{Lines: []byte(obs("a", 2, "") + "\n" + obs(fmt.Sprint("n", i), i, "") + "\nno JSON\n")}); err != nil {
			return false, err
		}
	}
	if err := r.Flush(ctx); err != nil {
		return false, err
	}
	if err := r.Tombstone(ctx, store.Tombstone{Type: "Observation", ID: "b", Kind: "deleted"}); err != nil {
		return true, err
	}
	counts, err := r.Counts(ctx)
	if err != nil {
		return true, err
	}
	return true, r.Close(ctx, store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts})
}

// healed opens the mirror on a good disk, checks that what was acknowledged is
// there, does the work again and checks the whole.
func (p *practice) healed(t testing.TB, flushed bool, what string) {
	t.Helper()
	p.fs = disk.OS{}
	p.open(t)
	for _, line := range []string{obs("b", 1, "")} {
		if got := p.latest(t, "Observation", "b"); got != line && got != "deleted" {
			t.Fatalf("%s: an old record is gone: %s", what, got)
		}
	}
	if flushed {
		if got := p.latest(t, "Observation", "n3"); got != obs("n3", 3, "") {
			t.Fatalf("%s: an acknowledged record is gone: %s", what, got)
		}
	}
	if err := p.m.Close(); err != nil {
		t.Fatalf("%s: Close = %v", what, err)
	}
	if _, err := p.work(t.Context()); err != nil {
		t.Fatalf("%s: the next run = %v", what, err)
	}
	p.open(t)
	for id, want := range map[string]string{"a": obs("a", 2, ""), "b": "deleted", "n0": obs("n0", 0, ""), "n4": obs("n4", 4, "")} {
		if got := p.latest(t, "Observation", id); got != want {
			t.Errorf("%s: %s = %s, want %s", what, id, got, want)
		}
	}
	s, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	h, err := s.History(t.Context(), store.Key{Source: "emr", Type: "Observation", ID: "a"})
	if err != nil || len(h) != 2 {
		t.Errorf("%s: a has %d versions, want 2; %v", what, len(h), err)
	}
	p.same(t)
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
}

// A crashWork opens a mirror, does something and says what was acknowledged; a
// crashHealed then checks the mirror on a good disk.
type (
	crashWork[W any]   func(*practice, context.Context) (W, error)
	crashHealed[W any] func(*practice, testing.TB, W, string)
)

// ops counts the operations of a work on a disk that never breaks.
func ops[W any](t *testing.T, base *practice, work crashWork[W]) int {
	t.Helper()
	probe := storetest.New(0, storetest.Fails)
	if _, err := work(base.copyTo(t, probe), t.Context()); err != nil {
		t.Fatal(err)
	}
	return probe.Ops()
}

// breaks lets every share-th operation of a work fail, in one of three ways; also every
// one, with enough -crash.loops.
func breaks[W any](t *testing.T, share int, work crashWork[W], healed crashHealed[W]) {
	base := seed(t)
	ops := ops(t, base, work)
	step := max(1, share*ops / *loops)
	for how, name := range []string{"fails", "happens and fails", "is full"} {
		for n := 1 + rand.IntN(step); n <= ops; n += step {
			t := &scope{TB: t}
			what := fmt.Sprintf("operation %d of %d %s", n, ops, name)
			d := storetest.New(n, storetest.How(how))
			p := base.copyTo(t, d)
			w, err := work(p, t.Context())
			if err == nil && d.Struck() && how != int(storetest.Full) { // that one the ballast may heal
				t.Errorf("%s: not reported", what)
			}
			healed(p, t, w, what)
			t.end()
		}
	}
}

// cuts lets the power go at any operation of a work; any part of what was not synced
// is lost.
func cuts[W any](t *testing.T, tries int, kind uint64, work crashWork[W], healed crashHealed[W]) {
	base := seed(t)
	ops := ops(t, base, work)
	for i := range tries {
		t := &scope{TB: t}
		r := rand.New(rand.NewPCG(uint64(i), kind))
		n := 1 + r.IntN(ops)
		d := storetest.New(n, storetest.PowerCut)
		p := base.copyTo(t, d)
		w, _ := work(p, t.Context())
		if err := d.Lose(r); err != nil {
			t.Fatal(err)
		}
		healed(p, t, w, fmt.Sprintf("seed %d, power cut at operation %d", i, n))
		t.end()
	}
}

// TestBreakingDisk is T2: the n-th operation on the disk fails, for n = 1 until
// none does; also if it happened and was reported as failed.
func TestBreakingDisk(t *testing.T) { breaks(t, 4, (*practice).work, (*practice).healed) }

// TestLostWrites is T3: the power goes at any operation, and any part of what
// was not synced is lost.
func TestLostWrites(t *testing.T) {
	cuts(t, orElse(*seeds, 2**loops), 7, (*practice).work, (*practice).healed)
}

// TestCutFiles is T4: the newest part and a temporary one are cut at any byte.
func TestCutFiles(t *testing.T) {
	p := newPractice(t)
	p.pull(t, obs("a", 1, ""))
	p.pull(t, obs("a", 2, ""))
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	parts, err := filepath.Glob(filepath.Join(p.dir, "parts", "*", "*.age"))
	if err != nil || len(parts) < 2 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	last, err := os.ReadFile(parts[len(parts)-1])
	if err != nil {
		t.Fatal(err)
	}
	step := max(1, len(last)/(10**loops)) // every byte with -crash.loops=200, as in CI
	for n := 0; n < len(last); n += step {
		t := &scope{TB: t}
		temp := p.copyTo(t, disk.OS{})
		name := filepath.Join(temp.dir, "parts", "000000", "000000000099.ndjson.zst.age.tmp")
		if err := os.WriteFile(name, last[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		temp.open(t)
		if got := temp.latest(t, "Observation", "a"); got != obs("a", 2, "") || len(temp.m.Problems()) > 0 {
			t.Errorf("a temporary file of %d bytes: a = %s, problems %v", n, got, temp.m.Problems())
		}
		if _, err := os.Stat(name); err == nil {
			t.Errorf("a temporary file of %d bytes stays in its place", n)
		}
		cut := p.copyTo(t, disk.OS{})
		if err := os.Truncate(filepath.Join(cut.dir, "parts", "000000", filepath.Base(parts[len(parts)-1])), int64(n)); err != nil {
			t.Fatal(err)
		}
		cut.open(t)
		if len(cut.m.Problems()) == 0 {
			t.Errorf("a part cut at byte %d was not noticed", n)
		}
		t.end()
	}
}
