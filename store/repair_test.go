package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/storetest"
	"chartcellar/store/verify"
)

// withDocuments makes a closed mirror with a little history, documents large and
// small, and several checkpoints.
func withDocuments(t *testing.T) *practice {
	t.Helper()
	p := seed(t)
	if _, err := p.attachWork(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.open(t)
	if err := p.m.Journal(store.Event{Code: "record.view", Account: "doctor", Note: "why"}); err != nil {
		t.Fatal(err)
	}
	p.pull(t, obs("a", 2, ""), "-Observation/b")
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	return p
}

// sealed lists the names of the files of a mirror that a second copy has.
func (p *practice) sealed(t testing.TB) []string {
	t.Helper()
	var list []string
	for _, name := range p.files(t, "parts", "attachments", "holdings", "checkpoints") {
		rel, err := filepath.Rel(p.dir, name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, filepath.ToSlash(rel))
	}
	return list
}

// spoil damages a file: a flipped bit, a cut end, or nothing left.
func (p *practice) spoil(t testing.TB, name, how string) {
	t.Helper()
	at := filepath.Join(p.dir, filepath.FromSlash(name))
	var err error
	switch how {
	case "flipped":
		var b []byte
		if b, err = os.ReadFile(at); err == nil {
			b[len(b)/2] ^= 1
			err = os.WriteFile(at, b, 0o600)
		}
	case "cut":
		err = os.Truncate(at, 7)
	case "missing":
		err = os.Remove(at)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// mend repairs a file from the folder of another mirror.
func (p *practice) mend(ctx context.Context, from *practice, name string) error {
	b, err := os.ReadFile(filepath.Join(from.dir, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	return p.m.Repair(ctx, name, "a copy", bytes.NewReader(b))
}

// good fails unless a full verify finds nothing, and everything is what it was.
func (p *practice) good(t testing.TB, what string) {
	t.Helper()
	res, err := verify.Run(t.Context(), p.m, verify.Options{Depth: verify.Full})
	if err != nil || !res.Good() {
		t.Errorf("%s: verify = %+v, %v", what, res.Damage, err)
	}
	for id, want := range map[string]string{"a": obs("a", 2, ""), "b": "deleted", "n0": obs("n0", 0, "")} {
		if got := p.latest(t, "Observation", id); got != want {
			t.Errorf("%s: %s = %s, want %s", what, id, got, want)
		}
	}
}

// TestRepair is T5 over repair: each kind of file, damaged in each way, is found,
// comes back from a copy, and the damaged one is kept.
func TestRepair(t *testing.T) {
	base := withDocuments(t)
	ways := []string{"flipped", "cut", "missing"}
	for i, name := range base.sealed(t) {
		for n := range min(3, 1+*loops/100) { // all of them with -crash.loops=200, as in CI
			how := ways[(i+n)%3]
			t := &scope{TB: t}
			what := name + " " + how
			p := base.copyTo(t, disk.OS{})
			p.spoil(t, name, how)
			spoilt, _ := os.ReadFile(filepath.Join(p.dir, filepath.FromSlash(name)))
			p.open(t)
			broken, err := p.m.Broken(t.Context(), nil)
			if err != nil || len(broken) != 1 || broken[0].Name != name || broken[0].Missing != (how == "missing") {
				t.Fatalf("%s: Broken = %+v, %v", what, broken, err)
			}
			if err := p.mend(t.Context(), base, name); err != nil {
				t.Fatalf("%s: Repair = %v", what, err)
			}
			if broken, err = p.m.Broken(t.Context(), nil); err != nil || len(broken) > 0 || len(p.m.Problems()) > 0 {
				t.Errorf("%s: after Repair, Broken = %+v, %v; problems %v", what, broken, err, p.m.Problems())
			}
			p.good(t, what)
			p.kept(t, name, spoilt)
			t.end()
		}
	}
}

// kept fails unless the quarantine holds a damaged file as it was, or none of a
// missing one.
func (p *practice) kept(t testing.TB, name string, spoilt []byte) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(p.dir, "quarantine", filepath.Base(name)+".*"))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, one := range list {
		b, err := os.ReadFile(one)
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Equal(b, spoilt)
	}
	if found != (spoilt != nil) {
		t.Errorf("%s: kept in the quarantine: %v of %v", name, found, list)
	}
}

// TestRepairRefuses: other bytes change nothing, nor does a file that is good or that
// does not belong here.
func TestRepairRefuses(t *testing.T) {
	base := withDocuments(t)
	p := base.copyTo(t, disk.OS{})
	names := base.sealed(t)
	for _, name := range names {
		p.spoil(t, name, "flipped")
	}
	p.open(t)
	tree := func() string {
		var b strings.Builder
		for _, f := range p.files(t, "parts", "attachments", "holdings", "checkpoints", "quarantine") {
			content, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s %x\n", f, content)
		}
		return b.String()
	}
	if err := os.MkdirAll(filepath.Join(p.dir, "quarantine"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := tree()
	for i, name := range names {
		good, err := os.ReadFile(filepath.Join(base.dir, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(base.dir, filepath.FromSlash(names[(i+5)%len(names)])))
		if err != nil {
			t.Fatal(err)
		}
		flipped := bytes.Clone(good)
		flipped[len(flipped)/2] ^= 1
		for what, b := range map[string][]byte{"nothing": nil, "a cut file": good[:len(good)-1], "a longer file": append(bytes.Clone(good), 'x'),
			"a flipped bit": flipped, "another file": other} {
			if err := p.m.Repair(t.Context(), name, "a copy", bytes.NewReader(b)); !errors.Is(err, store.ErrOtherBytes) {
				t.Errorf("Repair(%s) with %s = %v, want ErrOtherBytes", name, what, err)
			}
		}
	}
	for _, name := range []string{"parts/000000/000000009999.ndjson.zst.age", "../x", "index.db", "mirror/000001.json",
		"parts/../parts/000000/000000000001.ndjson.zst.age", "checkpoints/000000000099"} {
		if err := p.m.Repair(t.Context(), name, "a copy", strings.NewReader("x")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Repair(%s) = %v, want ErrNotFound", name, err)
		}
	}
	if after := tree(); after != before {
		t.Error("a refused Repair changed files")
	}
	if err := p.mend(t.Context(), base, names[0]); err != nil {
		t.Fatal(err)
	}
	once := tree()
	if err := p.m.Repair(t.Context(), names[0], "a copy", strings.NewReader("x")); err != nil || tree() != once {
		t.Errorf("Repair of a good file = %v, or it was touched", err)
	}
}

// TestRepairIsSeen: who has read the damaged part sees the mended one.
func TestRepairIsSeen(t *testing.T) {
	base := withDocuments(t)
	p := base.copyTo(t, disk.OS{})
	names := base.sealed(t)
	name := names[slices.IndexFunc(names, func(n string) bool { return strings.HasSuffix(n, "000000000001.ndjson.zst.age") })]
	at := filepath.Join(p.dir, filepath.FromSlash(name))
	b, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	b[300] ^= 1 // in the first chunk: the footer can be read, and the part stays open
	if err := os.WriteFile(at, b, 0o600); err != nil {
		t.Fatal(err)
	}
	p.open(t)
	s, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	k := store.Key{Source: "emr", Type: "Patient", ID: "p1"}
	if _, err := s.Latest(t.Context(), k); !errors.Is(err, store.ErrDamaged) {
		t.Fatalf("Latest in a damaged part = %v", err)
	}
	if err := p.mend(t.Context(), base, name); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Latest(t.Context(), k); err != nil || !strings.Contains(string(v.Raw), "p1") {
		t.Errorf("Latest after Repair = %s, %v", v.Raw, err)
	}
}

// TestRepairFromQuarantine: a good file that lies in the quarantine comes back.
func TestRepairFromQuarantine(t *testing.T) {
	base := withDocuments(t)
	p := base.copyTo(t, disk.OS{})
	name := base.sealed(t)[0]
	if _, err := disk.Quarantine(disk.OS{}, p.dir, filepath.Join(p.dir, filepath.FromSlash(name))); err != nil {
		t.Fatal(err)
	}
	p.open(t)
	if there, err := p.m.RepairFromQuarantine(t.Context(), name); err != nil || !there {
		t.Fatalf("RepairFromQuarantine = %v, %v", there, err)
	}
	p.good(t, name)
	if there, err := p.m.RepairFromQuarantine(t.Context(), "checkpoints/000000000001"); err != nil || there {
		t.Errorf("RepairFromQuarantine of what is not there = %v, %v", there, err)
	}
}

// repairWork opens a mirror and mends one file.
func (p *practice) repairWork(ctx context.Context, from *practice, name string) (err error) {
	if p.m, err = store.Open(ctx, p.options()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.m.Close()) }()
	return p.mend(ctx, from, name)
}

// TestRepairOnABreakingDisk is T2 and T3 over repair: each operation fails, happens and
// fails, or is the last before the power goes. Then the file is whole, or as it was,
// or missing and kept; Repair again makes it whole, and no damaged file is gone.
func TestRepairOnABreakingDisk(t *testing.T) {
	base := withDocuments(t)
	r := rand.New(rand.NewPCG(5, 1))
	names := base.sealed(t)
	for i, kind := range []string{"parts/", "attachments/", "checkpoints/"} {
		name := names[slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(n, kind) })]
		sick := base.copyTo(t, disk.OS{})
		sick.spoil(t, name, []string{"flipped", "cut", "flipped"}[i])
		spoilt, err := os.ReadFile(filepath.Join(sick.dir, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		probe := storetest.New(0, storetest.Fails)
		if err := sick.copyTo(t, probe).repairWork(t.Context(), base, name); err != nil {
			t.Fatal(err)
		}
		ops := probe.Ops()
		step := max(1, 10*ops / *loops)
		for how, said := range []string{"fails", "happens and fails", "is full", "is the last"} {
			for n := 1 + r.IntN(step); n <= ops; n += step {
				t := &scope{TB: t}
				what := fmt.Sprintf("%s, operation %d of %d %s", name, n, ops, said)
				d := storetest.New(n, storetest.How(how))
				p := sick.copyTo(t, d)
				err := p.repairWork(t.Context(), base, name)
				if err == nil && d.Struck() && how != int(storetest.Full) {
					t.Errorf("%s: not reported", what)
				}
				if how == int(storetest.PowerCut) {
					if err := d.Lose(r); err != nil {
						t.Fatal(err)
					}
				}
				p.fs = disk.OS{}
				if err := p.repairWork(t.Context(), base, name); err != nil {
					t.Fatalf("%s: the next repair = %v", what, err)
				}
				p.open(t)
				p.good(t, what)
				p.kept(t, name, spoilt)
				t.end()
			}
		}
	}
}

// TestHarm: damage is told by records, patients and days.
func TestHarm(t *testing.T) {
	p := withDocuments(t)
	p.open(t)
	parts, err := p.m.Parts()
	if err != nil {
		t.Fatal(err)
	}
	h, err := p.m.Harm(t.Context(), []string{verify.PartName(1)})
	if err != nil || h.Versions["Observation"] != 2 || h.Versions["Patient"] != 1 || h.Newest["Observation"] != 0 ||
		h.Newest["Patient"] != 1 || h.Patients != 1 || h.From.IsZero() || h.Attachments != 0 {
		t.Errorf("Harm of the first part = %+v, %v", h, err)
	}
	if !h.Has(p.m, "emr", "p1") || h.Has(p.m, "emr", "p2") || h.Has(p.m, "other", "p1") {
		t.Errorf("Harm does not know whose the records are")
	}
	words := h.Words()
	for _, want := range []string{"3 states of records (2 Observation, 1 Patient), 1 of them the newest one", "1 patient.", "fetched from the EMR on "} {
		if !strings.Contains(words, want) {
			t.Errorf("Words = %q, want %q in it", words, want)
		}
	}
	var files []string
	large := 0
	for _, part := range parts {
		files = append(files, verify.PartName(part.Number))
		large += len(part.Files)
	}
	if h, err = p.m.Harm(t.Context(), files); err != nil || !h.Log || h.Attachments < 1 || h.Newest["Observation"] != 3 {
		t.Errorf("Harm of all parts = %+v, %v", h, err)
	}
	i := slices.IndexFunc(parts, func(p index.Part) bool { return len(p.Files) > 0 })
	if i < 0 {
		t.Fatal("no large attachment")
	}
	h, err = p.m.Harm(t.Context(), []string{parts[i].Files[0].Name})
	if err != nil || h.Attachments != 1 || len(h.Versions) != 0 || h.From.IsZero() {
		t.Errorf("Harm of an attachment = %+v, %v", h, err)
	}
	if h, err = p.m.Harm(t.Context(), []string{"index.db", "checkpoints/000000000001"}); err != nil || h.Words() != "" {
		t.Errorf("Harm of no records = %q, %v", h.Words(), err)
	}
}

// TestSignAgain: any checkpoints that are damaged are made again from the log, byte for
// byte, without a copy.
func TestSignAgain(t *testing.T) {
	base := withDocuments(t)
	base.open(t)
	base.pull(t, obs("a", 2, ""))
	n, err := base.m.Checkpoints()
	if err != nil || n < 4 {
		t.Fatalf("%d checkpoints, %v", n, err)
	}
	if err := base.m.Close(); err != nil {
		t.Fatal(err)
	}
	for set := 1; set < 1<<n; set += max(1, 80 / *loops) {
		t := &scope{TB: t}
		p := base.copyTo(t, disk.OS{})
		var bad []string
		for i := range n {
			if set&(1<<i) != 0 {
				bad = append(bad, fmt.Sprintf("checkpoints/%012d", i+1))
				p.spoil(t, bad[len(bad)-1], []string{"flipped", "missing"}[i%2])
			}
		}
		p.open(t)
		for _, name := range bad {
			if done, err := p.m.SignAgain(t.Context(), name); err != nil || !done {
				t.Errorf("damaged %v: SignAgain(%s) = %v, %v", bad, name, done, err)
			}
			got, _ := os.ReadFile(filepath.Join(p.dir, filepath.FromSlash(name)))
			want, _ := os.ReadFile(filepath.Join(base.dir, filepath.FromSlash(name)))
			if !bytes.Equal(got, want) {
				t.Errorf("damaged %v: %s is another file than before", bad, name)
			}
		}
		t.end()
	}
	p := base.copyTo(t, disk.OS{})
	p.open(t)
	for _, name := range []string{"checkpoints/000000000099", verify.PartName(1), "index.db"} {
		if done, err := p.m.SignAgain(t.Context(), name); err != nil || done {
			t.Errorf("SignAgain(%s) = %v, %v", name, done, err)
		}
	}
}
