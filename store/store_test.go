package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/keys"
	"chartcellar/store/verify"
)

// A practice is a mirror for tests, with what opens it.
type practice struct {
	dir    string
	box    *keys.Box
	office *age.X25519Identity
	sheet  keys.Sheet
	fs     disk.FS
	m      *store.Mirror
	locked bool // it is opened without an identity
}

func newPractice(t testing.TB) *practice {
	t.Helper()
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	p := &practice{dir: t.TempDir(), box: box, fs: disk.OS{}}
	made, err := store.Init(store.InitOptions{Dir: p.dir, Box: box, Practice: "Practice"})
	if err != nil {
		t.Fatalf("Init = %v", err)
	}
	p.office, p.sheet = made.Office, made.Sheet
	p.open(t)
	return p
}

func (p *practice) options() store.Options {
	o := store.Options{Dir: p.dir, Box: p.box, FS: p.fs, Ballast: -1, Reserve: 1}
	if !p.locked {
		o.Identity = p.office
	}
	return o
}

func (p *practice) open(t testing.TB) {
	t.Helper()
	m, err := store.Open(t.Context(), p.options())
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	p.m = m
	t.Cleanup(func() { m.Close() })
}

func (p *practice) reopen(t testing.TB) {
	t.Helper()
	if err := p.m.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	p.open(t)
}

// pull brings lines in as one run that is applied.
func (p *practice) pull(t testing.TB, lines ...string) index.Counts {
	t.Helper()
	return p.run(t, index.RunStates{All: index.Applied}, lines...)
}

func (p *practice) run(t testing.TB, states index.RunStates, lines ...string) index.Counts {
	t.Helper()
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatalf("Begin = %v", err)
	}
	defer r.Abort()
	for _, line := range lines {
		add(t, r, line)
	}
	counts, err := r.Counts(t.Context())
	if err != nil {
		t.Fatalf("Finish = %v", err)
	}
	if err := r.Close(t.Context(), store.Closing{States: states, Counts: counts}); err != nil {
		t.Fatalf("Close = %v", err)
	}
	return counts
}

// add adds a line, or a tombstone for "-Type/id".
func add(t testing.TB, r *store.Run, line string) {
	t.Helper()
	var err error
	if ref, ok := strings.CutPrefix(line, "-"); ok {
		typ, id, _ := strings.Cut(ref, "/")
		err = r.Tombstone(t.Context(), store.Tombstone{Type: typ, ID: id, Kind: "deleted", Detector: "test"})
	} else {
		err = r.Add(t.Context(), store.Chunk{Lines: []byte(line + "\n")})
	}
	if err != nil {
		t.Fatalf("Add = %v", err)
	}
}

func (p *practice) latest(t testing.TB, typ, id string) string {
	t.Helper()
	s, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Latest(t.Context(), store.Key{Source: "emr", Type: typ, ID: id})
	if errors.Is(err, store.ErrNotFound) {
		return "none"
	}
	if err != nil {
		t.Fatalf("Latest(%s/%s) = %v", typ, id, err)
	}
	if v.Deleted {
		return "deleted"
	}
	return string(v.Raw)
}

// same fails unless the index equals one that is made from the archive alone.
func (p *practice) same(t testing.TB) {
	t.Helper()
	diffs, err := p.m.CompareIndex(t.Context(), 5)
	if err != nil {
		t.Fatalf("CompareIndex = %v", err)
	}
	if len(diffs) > 0 {
		t.Errorf("the rebuilt index differs: %v", diffs)
	}
	r, err := verify.Run(t.Context(), p.m, verify.Options{Depth: verify.Full})
	if err != nil || slices.ContainsFunc(r.Damage, func(d verify.Damage) bool { return d.File == "index.db" }) {
		t.Errorf("the index is what the archive gives, verify = %+v, %v", r, err)
	}
}

func obs(id string, n int, more string) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"subject":{"reference":"Patient/p1"},"n":%d%s}`, id, n, more)
}

func TestLifeOfARecord(t *testing.T) {
	p := newPractice(t)
	p.pull(t, `{"resourceType":"Patient","id":"p1"}`, obs("a", 1, ""), obs("b", 1, ""))
	got := p.pull(t, obs("a", 2, ""), obs("b", 1, ""), obs("c", 1, ""), "-Observation/never")
	want := index.Count{Lines: 3, New: 1, Changed: 1, Unchanged: 1}
	got["Observation"] = clean(got["Observation"])
	if got["Observation"] != want {
		t.Errorf("second pull = %+v, want %+v", got["Observation"], want)
	}
	p.pull(t, "-Observation/b")
	for _, step := range []string{"as written", "after opening again"} {
		if v := p.latest(t, "Observation", "a"); v != obs("a", 2, "") {
			t.Errorf("%s: a = %s", step, v)
		}
		if v := p.latest(t, "Observation", "b"); v != "deleted" {
			t.Errorf("%s: b = %s, want a tombstone", step, v)
		}
		if v := p.latest(t, "Observation", "never"); v != "none" {
			t.Errorf("%s: never = %s", step, v)
		}
		p.same(t)
		p.reopen(t)
	}
	p.pull(t, obs("b", 1, ""))
	if v := p.latest(t, "Observation", "b"); v != obs("b", 1, "") {
		t.Errorf("deleted, then recreated: b = %s", v)
	}
	p.same(t)
}

func clean(c index.Count) index.Count {
	c.SizeBefore, c.SizeAfter = 0, 0
	return c
}

func TestHistoryAndAsOf(t *testing.T) {
	p := newPractice(t)
	p.pull(t, obs("a", 1, ""))
	before, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	p.pull(t, obs("a", 2, ""))
	p.pull(t, "-Observation/a")
	k := store.Key{Source: "emr", Type: "Observation", ID: "a"}
	if v, err := before.Latest(t.Context(), k); err != nil || string(v.Raw) != obs("a", 1, "") {
		t.Errorf("a snapshot changed: %s, %v", v.Raw, err)
	}
	asOf, err := p.m.AsOf(2)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := asOf.Latest(t.Context(), k); err != nil || string(v.Raw) != obs("a", 2, "") {
		t.Errorf("as of run 2: %s, %v", v.Raw, err)
	}
	now, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	h, err := now.History(t.Context(), k)
	if err != nil || len(h) != 3 || !h[2].Deleted || string(h[0].Raw) != obs("a", 1, "") {
		t.Errorf("History = %d versions, %v", len(h), err)
	}
}

func TestHeld(t *testing.T) {
	p := newPractice(t)
	p.pull(t, obs("a", 1, ""), obs("b", 1, ""), obs("c", 1, ""))
	held := index.RunStates{All: index.Applied, Types: map[string]index.State{"Observation": index.Held}}
	p.run(t, held, obs("a", 2, ""), "-Observation/b", obs("new", 1, ""))
	if v := p.latest(t, "Observation", "a"); v != obs("a", 1, "") {
		t.Errorf("a held change is current: %s", v)
	}
	if v := p.latest(t, "Observation", "b"); v != obs("b", 1, "") {
		t.Errorf("a held tombstone is current: %s", v)
	}
	if v := p.latest(t, "Observation", "new"); v != obs("new", 1, "") {
		t.Errorf("a new record is not current: %s", v)
	}
	again := p.run(t, held, obs("a", 2, ""))
	if c := again["Observation"]; c.Unchanged != 1 || c.Changed != 0 {
		t.Errorf("a held version was stored twice: %+v", c)
	}
	p.same(t)
	decide := func(run uint32, accept bool) {
		t.Helper()
		err := p.m.Decide(t.Context(), index.Decision{Run: run, Type: "Observation", Accept: accept, By: "doctor"})
		if err != nil {
			t.Fatalf("Decide = %v", err)
		}
	}
	decide(2, true)
	if v := p.latest(t, "Observation", "a"); v != obs("a", 2, "") {
		t.Errorf("an accepted change is not current: %s", v)
	}
	if v := p.latest(t, "Observation", "b"); v != "deleted" {
		t.Errorf("an accepted tombstone is not current: %s", v)
	}
	p.same(t)
	p.run(t, held, obs("c", 9, ""))
	decide(5, false)
	if v := p.latest(t, "Observation", "c"); v != obs("c", 1, "") {
		t.Errorf("a rejected change is current: %s", v)
	}
	if c := p.pull(t, obs("c", 9, ""))["Observation"]; c.Changed != 1 {
		t.Errorf("a rejected change is not proposed again: %+v", c)
	}
	p.same(t)
}

// TestTwiceInOneRun: equal lines are one version; of different ones the later
// counts unless it says that it is older (P73).
func TestTwiceInOneRun(t *testing.T) {
	at := func(sec int) string {
		return fmt.Sprintf(`,"meta":{"lastUpdated":"2026-01-01T00:00:%02dZ"}`, sec)
	}
	for _, many := range []int{0, 5000} { // one by one, and through a run file
		t.Run(fmt.Sprint(many), func(t *testing.T) {
			p := newPractice(t)
			lines := []string{obs("a", 1, at(5)), obs("a", 1, at(6)), obs("b", 2, at(9)), obs("b", 1, at(3)),
				obs("c", 1, at(3)), obs("c", 2, at(9)), obs("d", 1, ""), obs("d", 2, "")}
			for i := range many {
				lines = append(lines, obs(fmt.Sprint("x", i), i, ""))
			}
			p.pull(t, lines...)
			for id, want := range map[string]string{"a": obs("a", 1, at(5)), "b": obs("b", 2, at(9)),
				"c": obs("c", 2, at(9)), "d": obs("d", 2, "")} {
				if got := p.latest(t, "Observation", id); got != want {
					t.Errorf("%s = %s, want %s", id, got, want)
				}
			}
			s, err := p.m.Now()
			if err != nil {
				t.Fatal(err)
			}
			n, err := s.Counts("")
			if err != nil || n["Observation"] != 4+many {
				t.Errorf("Counts = %v, %v; want %d", n, err, 4+many)
			}
			p.same(t)
		})
	}
}

func TestManyRecords(t *testing.T) {
	p := newPractice(t)
	want := map[string]string{}
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	var chunk bytes.Buffer
	for i := range 120_000 {
		id := fmt.Sprint("o", i)
		want[id] = obs(id, i, "")
		chunk.WriteString(want[id] + "\n")
		if chunk.Len() > 200_000 {
			if err := r.Add(t.Context(), store.Chunk{Lines: bytes.Clone(chunk.Bytes())}); err != nil {
				t.Fatal(err)
			}
			chunk.Reset()
		}
	}
	if err := r.Add(t.Context(), store.Chunk{Lines: chunk.Bytes()}); err != nil {
		t.Fatal(err)
	}
	counts, err := r.Counts(t.Context())
	if err != nil || counts["Observation"].New != len(want) {
		t.Fatalf("Finish = %+v, %v", counts, err)
	}
	if err := r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts}); err != nil {
		t.Fatal(err)
	}
	p.reopen(t)
	s, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	err = s.Each(t.Context(), "emr", "Observation", func(id string, raw []byte) error {
		got[id] = string(raw)
		return nil
	})
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("Each gave %d records, want %d; %v", len(got), len(want), err)
	}
	n := 0
	err = s.Compartment(t.Context(), "emr", "p1", func(store.Version) error {
		n++
		if n == 100 {
			return context.Canceled
		}
		return nil
	})
	if n != 100 || !errors.Is(err, context.Canceled) {
		t.Errorf("Compartment gave %d records, %v", n, err)
	}
	p.same(t)
}

func TestSecondWriter(t *testing.T) {
	p := newPractice(t)
	_, err := store.Open(t.Context(), p.options())
	var busy *store.BusyError
	if !errors.As(err, &busy) || busy.Holder.PID == 0 {
		t.Errorf("second Open = %v, want a BusyError that names the process", err)
	}
}
