package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/journal"
	"chartcellar/store/storetest"
	"chartcellar/store/verify"
)

// newest is what withDocuments leaves of each record.
func newest() map[string]string {
	want := map[string]string{"Patient/p1": `{"resourceType":"Patient","id":"p1"}`, "Observation/a": obs("a", 2, ""),
		"Observation/b": "deleted", "Observation/n0": obs("n0", 0, ""), "Observation/n1": obs("n1", 0, "")}
	for i := range contents {
		want[fmt.Sprint("DocumentReference/d", i)] = document(i)
	}
	return want
}

// state reads the newest version of a record: its bytes, "deleted", "lost" or an error.
func (p *practice) state(t testing.TB, ref string) string {
	t.Helper()
	s, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	typ, id, _ := strings.Cut(ref, "/")
	v, err := s.Latest(t.Context(), store.Key{Source: "emr", Type: typ, ID: id})
	switch {
	case errors.Is(err, store.ErrLost):
		return "lost"
	case err != nil:
		return err.Error()
	case v.Deleted:
		return "deleted"
	}
	return string(v.Raw)
}

// partsOf returns the part in which the newest version of each record lies.
func (p *practice) partsOf(t testing.TB) map[string]uint32 {
	t.Helper()
	s, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]uint32{}
	for ref := range newest() {
		typ, id, _ := strings.Cut(ref, "/")
		v, err := s.Latest(t.Context(), store.Key{Source: "emr", Type: typ, ID: id})
		if err != nil {
			t.Fatal(err)
		}
		at[ref] = v.Part
	}
	return at
}

// whole fails unless a full verify finds nothing and names as many lost files.
func (p *practice) whole(t testing.TB, what string, lost int) {
	t.Helper()
	res, err := verify.Run(t.Context(), p.m, verify.Options{Depth: verify.Full})
	if err != nil || !res.Good() || len(res.Lost) != lost {
		t.Errorf("%s: verify = %+v, lost %+v, %v; want %d lost", what, res.Damage, res.Lost, err, lost)
	}
	for _, depth := range []verify.Depth{verify.Quick, verify.Sample} {
		if res, err := verify.Run(t.Context(), p.m, verify.Options{Depth: depth}); err != nil || !res.Good() || len(res.Lost) != lost {
			t.Errorf("%s: verify %s = %+v, lost %+v, %v", what, depth, res.Damage, res.Lost, err)
		}
	}
	if broken, err := p.m.Broken(t.Context(), nil); err != nil || len(broken) > 0 {
		t.Errorf("%s: Broken = %+v, %v", what, broken, err)
	}
	p.same(t)
}

// fetchAgain makes the run that a full pull is: it lists all that the EMR has, and
// fetches what is wanted.
func (p *practice) fetchAgain(t testing.TB) index.Counts {
	t.Helper()
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	for ref, line := range newest() {
		if line == "deleted" {
			line = "-" + ref
		}
		add(t, r, line)
	}
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := attachAll(t.Context(), p.m, r); err != nil {
		t.Fatal(err)
	}
	counts, err := r.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts}); err != nil {
		t.Fatal(err)
	}
	return counts
}

// TestDeclareLost loses every part and attachment in turn. The loss is named for ever
// and harms nothing else; no older version passes for the newest; the index can be
// made without the file; and the next full pull brings everything again.
func TestDeclareLost(t *testing.T) {
	base := withDocuments(t)
	base.open(t)
	at := base.partsOf(t)
	if err := base.m.Close(); err != nil {
		t.Fatal(err)
	}
	for i, name := range base.sealed(t) {
		if strings.HasPrefix(name, "checkpoints/") || *loops < 100 && i%3 == 1 && strings.HasPrefix(name, "parts/") { // all with -crash.loops=200, as in CI
			continue
		}
		t := &scope{TB: t}
		p := base.copyTo(t, disk.OS{})
		p.spoil(t, name, []string{"flipped", "missing"}[i%2])
		p.open(t)
		if err := p.m.DeclareLost(t.Context(), "owner", name); err != nil {
			t.Fatalf("DeclareLost(%s) = %v", name, err)
		}
		lost, err := p.m.Lost()
		if err != nil || len(lost) != 1 || lost[0].File != name || lost[0].At.IsZero() {
			t.Fatalf("%s: Lost = %+v, %v", name, lost, err)
		}
		check := func(what string) {
			t.Helper()
			p.whole(t, name+" "+what, 1)
			for ref, want := range newest() {
				if verify.PartName(at[ref]) == name {
					want = "lost"
				}
				if got := p.state(t, ref); got != want {
					t.Errorf("%s %s: %s = %s, want %s", name, what, ref, got, want)
				}
			}
		}
		check("declared lost")
		p.reopen(t)
		check("opened again")
		if err := p.m.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(p.dir, "index.db")); err != nil {
			t.Fatal(err)
		}
		p.open(t)
		p.reopen(t) // the first time it says that the index was made anew
		check("index made anew")
		p.lookedAt(t, name)
		p.fetchAgain(t)
		p.whole(t, name+" fetched again", 1)
		for ref, want := range newest() {
			if got := p.state(t, ref); got != want {
				t.Errorf("%s fetched again: %s = %s, want %s", name, ref, got, want)
			}
		}
		p.checkLinks(t, attachWork{listed: true, attached: true}, name+" fetched again")
		p.reopen(t)
		p.whole(t, name+" in the end", 1)
		t.end()
	}
}

// lookedAt opens a copy of the folder to look at it.
func (p *practice) lookedAt(t testing.TB, what string) {
	t.Helper()
	c := p.copyTo(t, disk.OS{})
	o := c.options()
	o.ReadOnly = true
	m, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("%s: Look = %v", what, err)
	}
	defer m.Close()
	if lost, err := m.Lost(); err != nil || len(lost) != 1 || len(m.Problems()) > 0 {
		t.Errorf("%s, looked at: lost %+v, %v; problems %v", what, lost, err, m.Problems())
	}
	for ref := range newest() {
		if got, want := (&practice{m: m}).state(t, ref), p.state(t, ref); got != want {
			t.Errorf("%s, looked at: %s = %s, want %s", what, ref, got, want)
		}
	}
}

// TestLostRecordOfALoss loses a part, then the part that states it, then finds both
// again.
func TestLostRecordOfALoss(t *testing.T) {
	base := withDocuments(t)
	p := base.copyTo(t, disk.OS{})
	first := verify.PartName(1)
	p.spoil(t, first, "missing")
	p.open(t)
	if err := p.m.DeclareLost(t.Context(), "owner", first); err != nil {
		t.Fatal(err)
	}
	parts, err := p.m.Parts()
	if err != nil {
		t.Fatal(err)
	}
	record := verify.PartName(parts[len(parts)-1].Number)
	kept, err := os.ReadFile(filepath.Join(p.dir, filepath.FromSlash(record)))
	if err != nil {
		t.Fatal(err)
	}
	p.pull(t, obs("later", 1, ""))
	p.spoil(t, record, "missing")
	if err := p.m.DeclareLost(t.Context(), "owner", record); err != nil {
		t.Fatal(err)
	}
	p.whole(t, "the loss record is lost", 2)
	if got := p.state(t, "Patient/p1"); got != "lost" {
		t.Errorf("the patient = %s, want lost", got)
	}
	if err := p.mend(t.Context(), base, first); err != nil {
		t.Fatalf("Repair of what was lost = %v", err)
	}
	p.whole(t, "the first part is here again", 1)
	if got := p.state(t, "Patient/p1"); got != newest()["Patient/p1"] {
		t.Errorf("the patient = %s", got)
	}
	if err := p.m.Repair(t.Context(), record, "a disk", strings.NewReader(string(kept))); err != nil {
		t.Fatal(err)
	}
	p.reopen(t)
	p.whole(t, "both are here again", 0)
	p.good(t, "both are here again")
}

// TestDeclareLostRefuses: what is good, unknown or still being pulled is not lost.
func TestDeclareLostRefuses(t *testing.T) {
	base := withDocuments(t)
	p := base.copyTo(t, disk.OS{})
	p.spoil(t, verify.PartName(1), "missing")
	p.open(t)
	for _, name := range []string{verify.PartName(2), verify.PartName(99), "checkpoints/000000000001", "index.db"} {
		if err := p.m.DeclareLost(t.Context(), "owner", verify.PartName(1), name); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("DeclareLost(%s) = %v, want ErrNotFound", name, err)
		}
	}
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Abort()
	if err := p.m.DeclareLost(t.Context(), "owner", verify.PartName(1)); !errors.Is(err, store.ErrUnfinished) {
		t.Errorf("DeclareLost while a pull is unfinished = %v", err)
	}
	if lost, err := p.m.Lost(); err != nil || len(lost) > 0 {
		t.Errorf("Lost = %+v, %v", lost, err)
	}
}

// TestLostCounts: what was fetched again is counted as that, also twice in one run,
// and the cursors start anew.
func TestLostCounts(t *testing.T) {
	p := newPractice(t)
	p.pull(t, obs("a", 1, ""), obs("b", 1, ""))
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	add(t, r, obs("c", 1, ""))
	cursor := index.Cursor{Source: "emr", Mode: "bulk", Type: "Observation", Since: time.Now()}
	err = r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}, Cursors: []index.Cursor{cursor}})
	if err != nil {
		t.Fatal(err)
	}
	p.spoil(t, verify.PartName(1), "missing")
	if err := p.m.DeclareLost(t.Context(), "owner", verify.PartName(1)); err != nil {
		t.Fatal(err)
	}
	cursors, err := p.m.Cursors("emr")
	if err != nil || len(cursors) != 1 || !cursors[0].Since.IsZero() {
		t.Errorf("Cursors = %+v, %v; want one that starts anew", cursors, err)
	}
	s, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.CountOf("emr", "Observation"); err != nil || n != 1 {
		t.Errorf("CountOf = %d, %v; want 1", n, err)
	}
	counts := p.pull(t, obs("a", 1, ""), obs("a", 1, ""), obs("b", 2, ""), obs("c", 1, ""))["Observation"]
	want := index.Count{Lines: 4, Again: 2, Unchanged: 1, Duplicates: 1}
	if counts != want {
		t.Errorf("counts = %+v, want %+v", counts, want)
	}
	for id, want := range map[string]string{"a": obs("a", 1, ""), "b": obs("b", 2, ""), "c": obs("c", 1, "")} {
		if got := p.state(t, "Observation/"+id); got != want {
			t.Errorf("%s = %s, want %s", id, got, want)
		}
	}
	h, err := s.History(t.Context(), store.Key{Source: "emr", Type: "Observation", ID: "a"})
	if err != nil || len(h) != 1 || !h[0].Lost || h[0].Raw != nil {
		t.Errorf("History before = %+v, %v; want one that is lost", h, err)
	}
	if counts := p.pull(t, obs("a", 1, ""), obs("b", 2, ""))["Observation"]; counts.Unchanged != 2 {
		t.Errorf("the pull after it: %+v, want 2 unchanged", counts)
	}
	p.same(t)
}

// TestLostDecision: a part that decided on held changes is lost; the decision stands.
func TestLostDecision(t *testing.T) {
	p := newPractice(t)
	p.pull(t, obs("a", 1, ""))
	p.run(t, index.RunStates{All: index.Applied, Types: map[string]index.State{"Observation": index.Held}}, obs("a", 2, ""))
	if err := p.m.Decide(t.Context(), index.Decision{Run: 2, Type: "Observation", Accept: true, By: "doctor"}); err != nil {
		t.Fatal(err)
	}
	for _, part := range []uint32{5, 3} { // the decision; then what was held
		p.spoil(t, verify.PartName(part), "missing")
		if err := p.m.DeclareLost(t.Context(), "owner", verify.PartName(part)); err != nil {
			t.Fatal(err)
		}
		p.same(t)
		if want := map[uint32]string{5: obs("a", 2, ""), 3: "lost"}[part]; p.state(t, "Observation/a") != want {
			t.Errorf("part %d lost: a = %s, want %s", part, p.state(t, "Observation/a"), want)
		}
		if err := p.m.RebuildIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := map[uint32]string{5: obs("a", 2, ""), 3: "lost"}[part]; p.state(t, "Observation/a") != want {
			t.Errorf("part %d lost, index made anew: a = %s, want %s", part, p.state(t, "Observation/a"), want)
		}
	}
	p.whole(t, "both", 2)
}

// TestLostJournal: lines of the journal that were in a lost part are passed over.
func TestLostJournal(t *testing.T) {
	p := newPractice(t)
	for i := range 3 {
		p.write(t, i+1, i+1)
		p.pack(t)
	}
	p.spoil(t, verify.PartName(2), "missing")
	p.reopen(t)
	if _, err := p.lines(t, 0, 10); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("the journal with a missing part: %v", err)
	}
	if err := p.m.DeclareLost(t.Context(), "owner", verify.PartName(2)); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := p.m.EachJournalLine(t.Context(), 0, func(l journal.Line) error {
		got = append(got, fmt.Sprint(l.Seq, " ", l.Code))
		return nil
	})
	if want := []string{"4 repair.lost", "3 code.3", "1 code.1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("the journal after it = %q, %v; want %q", got, err, want)
	}
}

// loseWork opens a mirror and declares one file lost, unless it is already.
func (p *practice) loseWork(ctx context.Context, name string) (err error) {
	if p.m, err = store.Open(ctx, p.options()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.m.Close()) }()
	if lost, err := p.m.Lost(); err != nil || len(lost) > 0 {
		return err
	}
	return p.m.DeclareLost(ctx, "owner", name)
}

// TestDeclareLostOnABreakingDisk is T2 over the loss record: it stands or it does not,
// and trying again ends it.
func TestDeclareLostOnABreakingDisk(t *testing.T) {
	base := withDocuments(t)
	name := verify.PartName(1)
	base.spoil(t, name, "cut")
	probe := storetest.New(0, storetest.Fails)
	if err := base.copyTo(t, probe).loseWork(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	ops := probe.Ops()
	step := max(1, 8*ops / *loops)
	for how, said := range []string{"fails", "happens and fails", "is full", "is the last"} {
		for n := 1 + how; n <= ops; n += step {
			t := &scope{TB: t}
			what := fmt.Sprintf("operation %d of %d %s", n, ops, said)
			p := base.copyTo(t, storetest.New(n, storetest.How(how)))
			p.loseWork(t.Context(), name) // what it did is looked at below
			p.fs = disk.OS{}
			if err := p.loseWork(t.Context(), name); err != nil {
				t.Fatalf("%s: trying again = %v", what, err)
			}
			p.open(t)
			p.pull(t, obs("later", 1, "")) // it packs a journal that was cut
			p.reopen(t)
			p.whole(t, what, 1)
			if kept, err := filepath.Glob(filepath.Join(p.dir, "quarantine", filepath.Base(name)+".0*")); err != nil || len(kept) != 1 {
				t.Errorf("%s: kept: %v, %v", what, kept, err)
			}
			t.end()
		}
	}
}
