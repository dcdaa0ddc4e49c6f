package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/tlog"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/keys"
	"chartcellar/store/storetest"
	"chartcellar/store/verify"
)

const passphrase = "a horse and a stable"

// restored is what a restore makes of a mirror: the folders of a copy, and a box key
// of another computer.
func (p *practice) restored(t testing.TB) *practice {
	t.Helper()
	r := &practice{dir: p.copied(t), sheet: p.sheet, office: p.office, fs: disk.OS{}}
	var err error
	if r.box, err = keys.NewBox(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (p *practice) adoptOptions() store.AdoptOptions {
	return store.AdoptOptions{Dir: p.dir, Box: p.box, FS: p.fs, Recovery: p.sheet.Recovery, First: p.sheet.StatementHash}
}

func (p *practice) adopt(t testing.TB) store.Adopted {
	t.Helper()
	a, err := store.Adopt(t.Context(), p.adoptOptions())
	if err != nil {
		t.Fatalf("Adopt = %v", err)
	}
	return a
}

// closedRun brings lines in as one run that leaves a cursor and a certificate.
func (p *practice) closedRun(t testing.TB, at int64, lines ...string) (run uint32) {
	t.Helper()
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	for _, l := range lines {
		add(t, r, l)
	}
	err = r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}, Verdict: "complete",
		Cursors: []index.Cursor{{Source: "emr", Mode: "bulk", Type: "Observation", Since: time.Unix(at, 0).UTC()}}, Certificate: fmt.Appendf(nil, `{"at":%d}`, at)})
	if err != nil {
		t.Fatal(err)
	}
	return r.Number()
}

// verified fails unless a full verify finds everything as it should be, and each
// checkpoint is signed by the key of its epoch.
func (p *practice) verified(t testing.TB, what string) {
	t.Helper()
	r, err := verify.Run(t.Context(), p.m, verify.Options{Depth: verify.Full})
	if err != nil || !r.Good() {
		t.Errorf("%s: verify = %v, %v", what, r.Damage, err)
	}
	n, err := p.m.Checkpoints()
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= n; i++ {
		if _, err := p.m.ReadCheckpoint(i); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// proves fails unless a record can be proven with the public log key.
func (p *practice) proves(t testing.TB, id string) {
	t.Helper()
	proof, err := p.m.Prove(t.Context(), store.Key{Source: "emr", Type: "Observation", ID: id})
	if err != nil {
		t.Fatal(err)
	}
	n, err := p.m.Checkpoints()
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.Check(p.m.LogKeyAt(n)); err != nil {
		t.Errorf("the proof of %s against checkpoint %d: %v", id, n, err)
	}
}

// TestAdopt: a restored folder becomes a mirror again, with its history, cursors and
// certificates; the box that was lost goes on in its own folder.
func TestAdopt(t *testing.T) {
	p := newPractice(t)
	p.closedRun(t, 1, `{"resourceType":"Patient","id":"p1"}`, obs("a", 1, ""), obs("b", 1, ""))
	old := p.closedRun(t, 2, obs("a", 2, ""), "-Observation/b")
	want, err := p.m.Cursors("emr")
	if err != nil || len(want) != 1 {
		t.Fatalf("Cursors = %v, %v", want, err)
	}
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	r := p.restored(t)
	o := r.adoptOptions()
	o.Passwords = map[string]string{"doctor": passphrase}
	a, err := store.Adopt(t.Context(), o)
	if err != nil {
		t.Fatalf("Adopt = %v", err)
	}
	if a.Office.String() != p.office.String() || a.Again || len(a.Aside) > 0 || a.Statement.Epoch != 2 || a.Statement.Number != 2 {
		t.Errorf("Adopt = %+v", a)
	}
	if r.office, err = store.OpenSlotIn(r.options(), &keys.Unlocker{}, passphrase); err != nil {
		t.Fatalf("the new passphrase: %v", err)
	}
	r.open(t)
	got, err := r.m.Cursors("emr")
	if err != nil || len(got) != 1 || got[0] != want[0] {
		t.Errorf("Cursors = %v, %v; want %v", got, err, want)
	}
	history := map[string]string{"a": obs("a", 2, ""), "b": "deleted"}
	r.has(t, history)
	r.verified(t, "adopted")
	r.proves(t, "a")
	if b, c, err := r.m.Certificate(old); err != nil || c.Number != 2 || string(b) != `{"at":2}` {
		t.Errorf("Certificate of a run before = %s, checkpoint %d, %v", b, c.Number, err)
	}
	run := r.closedRun(t, 3, obs("c", 1, ""))
	history["c"] = obs("c", 1, "")
	if run != old+1 {
		t.Errorf("the next run is %d, want %d", run, old+1)
	}
	for _, step := range []string{"pulled", "opened locked", "rebuilt"} {
		r.has(t, history)
		r.verified(t, step)
		r.proves(t, "a")
		r.proves(t, "c")
		for _, n := range []uint32{old, run} {
			if _, _, err := r.m.Certificate(n); err != nil {
				t.Errorf("%s: certificate of run %d: %v", step, n, err)
			}
		}
		r.same(t)
		if step == "opened locked" {
			if err := r.m.RebuildIndex(t.Context()); err != nil {
				t.Fatal(err)
			}
			continue
		}
		r.locked = true
		r.reopen(t)
		if err := r.m.Unlock(r.office); err != nil {
			t.Fatal(err)
		}
	}
	if r.m.LogKeyAt(2) != p.sheet.LogKey || r.m.LogKeyAt(3) != r.m.LogKey() || r.m.LogKey() == p.sheet.LogKey {
		t.Error("the log keys of the epochs are mixed up")
	}
	if err := r.m.Close(); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"the folder": r.dir, "a copy of it": r.copied(t)} {
		l := look(t, dir, p.sheet.Recovery)
		if l.says(t); t.Failed() {
			t.Errorf("looking at %s", name)
		}
		l.has(t, history)
		l.verified(t, name)
	}
	p.open(t) // the box that was lost comes back
	p.pull(t, obs("d", 1, ""))
	p.verified(t, "the old box")
}

// TestAdoptTwice: what was adopted and lost again is adopted again.
func TestAdoptTwice(t *testing.T) {
	p := history(t).restored(t)
	for epoch := 2; epoch < 5; epoch++ {
		if a := p.adopt(t); a.Statement.Epoch != epoch {
			t.Errorf("epoch %d, want %d", a.Statement.Epoch, epoch)
		}
		p.open(t)
		if epoch != 3 { // once nothing came in between
			p.pull(t, obs("e", epoch, ""))
		}
		p.verified(t, fmt.Sprint("epoch ", epoch))
		if err := p.m.Close(); err != nil {
			t.Fatal(err)
		}
		p = p.restored(t)
	}
	look(t, p.dir, p.sheet.Recovery).says(t)
}

// TestAdoptWithoutOfficeKey: a mirror of before the office key was kept is adopted; the
// passphrase then holds the recovery key.
func TestAdoptWithoutOfficeKey(t *testing.T) {
	p := newPractice(t)
	dropOfficeKey(t, p)
	p.open(t)
	p.pull(t, obs("a", 1, ""))
	r := p.restored(t)
	o := r.adoptOptions()
	o.First, o.Passwords = "", map[string]string{"doctor": passphrase}
	if _, err := store.Adopt(t.Context(), o); err != nil {
		t.Fatalf("Adopt = %v", err)
	}
	var err error
	if r.office, err = store.OpenSlotIn(r.options(), &keys.Unlocker{}, passphrase); err != nil {
		t.Fatal(err)
	}
	r.open(t)
	r.pull(t, obs("c", 1, ""))
	r.has(t, map[string]string{"a": obs("a", 1, ""), "c": obs("c", 1, "")})
	if err := r.m.AddSlot("nurse", "another good passphrase"); err != nil {
		t.Errorf("AddSlot = %v", err)
	}
	r.verified(t, "adopted")
}

// dropOfficeKey rewrites the first statement of a mirror as a release before would have
// written it.
func dropOfficeKey(t *testing.T, p *practice) {
	t.Helper()
	s := p.m.Statement()
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	sealed, err := os.ReadFile(filepath.Join(p.dir, "secrets", "log.key"))
	if err != nil {
		t.Fatal(err)
	}
	skey, err := p.box.Open("log key", sealed)
	if err != nil {
		t.Fatal(err)
	}
	s.OfficeKey = ""
	file, err := keys.SignByLog(s, string(skey))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "mirror", "000001.json"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(index.Path(p.dir)); err != nil { // it has pinned the other
		t.Fatal(err)
	}
}

// TestAdoptUnfinished: what no checkpoint covers is put aside and asked for again: a run
// that was under way, one whose checkpoint is missing or damaged, a part that somebody
// slipped in.
func TestAdoptUnfinished(t *testing.T) {
	p := newPractice(t)
	p.closedRun(t, 1, obs("a", 1, ""))
	p.closedRun(t, 2, obs("a", 2, ""))
	run, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	add(t, run, obs("u", 1, ""))
	if err := run.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	run.Abort()
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	last := "checkpoints/000000000002"
	for name, c := range map[string]struct {
		change func(dir string) error
		aside  int
		cursor int64
		a      string
	}{
		"a run was under way":     {func(string) error { return nil }, 1, 2, obs("a", 2, "")},
		"a checkpoint is missing": {func(dir string) error { return os.Remove(filepath.Join(dir, last)) }, 2, 1, obs("a", 1, "")},
		"a checkpoint is cut":     {func(dir string) error { return os.Truncate(filepath.Join(dir, last), 90) }, 3, 1, obs("a", 1, "")},
		"nothing was ever signed": {func(dir string) error { return os.RemoveAll(filepath.Join(dir, "checkpoints")) }, 3, 0, "none"},
		"there are no parts at all": {func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "checkpoints")), os.RemoveAll(filepath.Join(dir, "parts")))
		}, 0, 0, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			r := p.restored(t)
			if err := c.change(r.dir); err != nil {
				t.Fatal(err)
			}
			a := r.adopt(t)
			if aside := r.files(t, "quarantine"); len(a.Aside) != c.aside || len(aside) != c.aside {
				t.Errorf("put aside: %q, in quarantine %q; want %d", a.Aside, aside, c.aside)
			}
			r.open(t)
			if got := r.latest(t, "Observation", "a"); got != c.a {
				t.Errorf("a = %s, want %s", got, c.a)
			}
			list, err := r.m.Cursors("emr")
			got := int64(0)
			for _, one := range list {
				got += one.Since.Unix()
			}
			if err != nil || got != c.cursor {
				t.Errorf("Cursors = %v, %v; want %d", list, err, c.cursor)
			}
			if _, _, open, err := r.m.OpenRun("emr"); open || err != nil {
				t.Errorf("OpenRun = %v, %v", open, err)
			}
			r.pull(t, obs("a", 3, ""), obs("u", 1, ""))
			r.has(t, map[string]string{"a": obs("a", 3, ""), "u": obs("u", 1, "")})
			r.verified(t, "the next pull")
			r.same(t)
		})
	}
}

// TestAdoptRefuses: what must not be adopted is refused, and the folder stays as it was.
func TestAdoptRefuses(t *testing.T) {
	p, other := history(t), history(t)
	file := func(r *practice, elem ...string) string { return filepath.Join(append([]string{r.dir}, elem...)...) }
	part := filepath.Join("parts", "000000", "000000000002.ndjson.zst.age")
	for name, c := range map[string]struct {
		change func(t *testing.T, r *practice, o *store.AdoptOptions)
		want   error
	}{
		"no mirror": {func(t *testing.T, r *practice, o *store.AdoptOptions) { os.Remove(file(r, "mirror", "000001.json")) }, store.ErrNoMirror},
		"the sheet of another mirror": {func(t *testing.T, r *practice, o *store.AdoptOptions) {
			o.Recovery, o.First = other.sheet.Recovery, ""
		}, store.ErrOtherSheet},
		"a mirror that somebody made up for this sheet": {func(t *testing.T, r *practice, o *store.AdoptOptions) {
			o.First = other.sheet.StatementHash
		}, keys.ErrForged},
		"a damaged statement": {func(t *testing.T, r *practice, o *store.AdoptOptions) {
			os.Truncate(file(r, "mirror", "000001.json"), 200)
		}, keys.ErrDamaged},
		"a later statement that is damaged": {func(t *testing.T, r *practice, o *store.AdoptOptions) {
			os.WriteFile(file(r, "mirror", "000002.json"), []byte("{}"), 0o600)
		}, keys.ErrDamaged},
		"a part that was signed is missing": {func(t *testing.T, r *practice, o *store.AdoptOptions) { os.Remove(file(r, part)) }, store.ErrDamaged},
		"the last that was signed is missing": {func(t *testing.T, r *practice, o *store.AdoptOptions) {
			list := r.files(t, "parts")
			os.Remove(list[len(list)-1])
		}, store.ErrDamaged},
		"a part is damaged": {func(t *testing.T, r *practice, o *store.AdoptOptions) {
			flip(t, rand.New(rand.NewPCG(1, 2)), file(r, part), 1)
		}, store.ErrDamaged},
		"a checkpoint inside is missing": {func(t *testing.T, r *practice, o *store.AdoptOptions) {
			os.Remove(file(r, "checkpoints", "000000000002"))
		}, store.ErrDamaged},
		"a checkpoint inside is damaged": {func(t *testing.T, r *practice, o *store.AdoptOptions) {
			os.Truncate(file(r, "checkpoints", "000000000002"), 60)
		}, store.ErrDamaged},
		"the mirror of another box": {func(t *testing.T, r *practice, o *store.AdoptOptions) { o.Dir = p.copyTo(t, disk.OS{}).dir }, store.ErrOfABox},
		"the mirror of another box that lost its index": {func(t *testing.T, r *practice, o *store.AdoptOptions) {
			o.Dir = p.copyTo(t, disk.OS{}).dir
			os.Remove(index.Path(o.Dir))
		}, store.ErrOfABox},
		"the mirror of a box that lost its secrets": {func(t *testing.T, r *practice, o *store.AdoptOptions) {
			o.Dir = p.copyTo(t, disk.OS{}).dir
			os.RemoveAll(filepath.Join(o.Dir, "secrets"))
		}, store.ErrOfABox},
		"the mirror of this box": {func(t *testing.T, r *practice, o *store.AdoptOptions) {
			o.Dir, o.Box = p.copyTo(t, disk.OS{}).dir, p.box
		}, store.ErrInUse},
		"the mirror is in use": {func(t *testing.T, r *practice, o *store.AdoptOptions) {
			q := p.copyTo(t, disk.OS{})
			q.open(t)
			o.Dir = q.dir
		}, store.ErrBusy},
		"a passphrase is too short": {func(t *testing.T, r *practice, o *store.AdoptOptions) {
			o.Passwords = map[string]string{"doctor": "short"}
		}, keys.ErrShort},
	} {
		t.Run(name, func(t *testing.T) {
			r := p.restored(t)
			o := r.adoptOptions()
			c.change(t, r, &o)
			before, err := filepath.Glob(filepath.Join(o.Dir, "mirror", "*"))
			if err != nil {
				t.Fatal(err)
			}
			parts := len((&practice{dir: o.Dir}).files(t, "parts"))
			if _, err := store.Adopt(t.Context(), o); !errors.Is(err, c.want) {
				t.Errorf("Adopt = %v, want %v", err, c.want)
			}
			after, err := filepath.Glob(filepath.Join(o.Dir, "mirror", "*"))
			if err != nil || !slices.Equal(before, after) || parts != len((&practice{dir: o.Dir}).files(t, "parts")) {
				t.Errorf("the folder changed: %q, %v", after, err)
			}
		})
	}
}

// TestForgedEpoch: a statement of a stranger, and a fork that lies, stop the mirror with
// an alarm; whoever only looks is told.
func TestForgedEpoch(t *testing.T) {
	base := history(t).restored(t)
	base.adopt(t)
	base.open(t)
	base.pull(t, obs("e", 1, ""))
	if err := base.m.Close(); err != nil {
		t.Fatal(err)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		signer *age.X25519Identity
		change func(s *keys.Statement)
		says   string
	}{
		"signed by a stranger": {stranger, func(*keys.Statement) {}, "mirror/000002.json is not good"},
		"a root that never was": {base.sheet.Recovery, func(s *keys.Statement) { s.Fork.Root = tlog.Hash{1} },
			"not the one that epoch 2 continues"},
		"a size that was, with the root of another": {base.sheet.Recovery, func(s *keys.Statement) { s.Fork.Size-- },
			"not the one that epoch 2 continues"},
		"fewer checkpoints than there were": {base.sheet.Recovery, func(s *keys.Statement) { s.Fork.Checkpoints-- }, "Checkpoint 3 cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			p := base.copyTo(t, disk.OS{})
			s := base.m.Statement()
			c.change(&s)
			file, err := keys.SignByRecovery(s, c.signer)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(p.dir, "mirror", "000002.json"), file, 0o600); err != nil {
				t.Fatal(err)
			}
			if m, err := store.Open(t.Context(), p.options()); !errors.Is(err, keys.ErrForged) && !(err != nil && name == "fewer checkpoints than there were") {
				t.Errorf("Open = %v, want ErrForged", err)
				if err == nil {
					m.Close()
				}
			}
			l := look(t, p.copied(t), p.sheet.Recovery)
			if list := l.m.Problems(); !slices.ContainsFunc(list, func(w string) bool { return strings.Contains(w, c.says) }) {
				t.Errorf("Problems = %q, want %q among them", list, c.says)
			}
		})
	}
}

// TestPartOfAnotherEpoch: a part that the lost box wrote after the fork is not taken into
// the index.
func TestPartOfAnotherEpoch(t *testing.T) {
	old := history(t)
	p := old.restored(t)
	p.adopt(t)
	old.open(t)
	old.pull(t, obs("evil", 1, ""))
	name := old.files(t, "parts")[len(p.files(t, "parts"))]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "parts", "000000", filepath.Base(name)), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), p.options()); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Open = %v, want ErrDamaged", err)
	}
}

// TestAdoptBreaks is T1 and T2 for Adopt: the disk breaks, or the power goes, at each of
// its operations; then it is done again.
func TestAdoptBreaks(t *testing.T) {
	p := newPractice(t)
	p.closedRun(t, 1, obs("a", 1, ""))
	run, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	add(t, run, obs("u", 1, ""))
	if err := run.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	run.Abort()
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	probe := p.restored(t)
	counting := storetest.New(0, storetest.Fails)
	probe.fs = counting
	probe.adopt(t)
	ops := counting.Ops()
	step := max(1, 4*ops / *loops) // every operation with -crash.loops=200, as in CI
	for how, name := range []string{"fails", "happens and fails", "is full", "is the last before a power cut"} {
		for n := 1 + rand.IntN(step); n <= ops; n += step {
			t := &scope{TB: t}
			what := fmt.Sprintf("operation %d of %d %s", n, ops, name)
			d := storetest.New(n, storetest.How(how))
			r := p.restored(t)
			r.fs = d
			_, err := store.Adopt(t.Context(), r.adoptOptions())
			if err == nil && d.Struck() {
				t.Errorf("%s: not reported", what)
			}
			if err := d.Lose(rand.New(rand.NewPCG(uint64(n), 3))); err != nil {
				t.Fatal(err)
			}
			r.fs = disk.OS{}
			if a := r.adopt(t); a.Statement.Epoch != 2 {
				t.Errorf("%s: epoch %d", what, a.Statement.Epoch)
			}
			if aside := r.files(t, "quarantine"); len(aside) != 1 {
				t.Errorf("%s: in quarantine: %q", what, aside)
			}
			r.open(t)
			r.pull(t, obs("a", 2, ""), obs("u", 1, ""))
			r.has(t, map[string]string{"a": obs("a", 2, ""), "u": obs("u", 1, "")})
			r.verified(t, what)
			if err := r.m.Close(); err != nil {
				t.Fatal(err)
			}
			t.end()
		}
	}
}

// TestAdoptAfterALoss: a part whose loss the office has stated does not keep a copy from
// being adopted; a loss that was not signed is not believed.
func TestAdoptAfterALoss(t *testing.T) {
	base := history(t)
	for i, how := range []string{"missing", "flipped"} {
		p := base.copyTo(t, disk.OS{})
		name := "parts/000000/" + filepath.Base(p.files(t, "parts")[i+1])
		p.spoil(t, name, how)
		p.open(t)
		if err := p.m.DeclareLost(t.Context(), "owner", name); err != nil {
			t.Fatal(err)
		}
		if err := p.m.Close(); err != nil {
			t.Fatal(err)
		}
		r := p.restored(t)
		last := r.files(t, "checkpoints")
		if err := os.Rename(last[len(last)-1], filepath.Join(t.TempDir(), "kept")); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Adopt(t.Context(), r.adoptOptions()); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: Adopt with an unsigned loss = %v", how, err)
		}
		r = p.restored(t)
		if a := r.adopt(t); len(a.Aside) > 0 {
			t.Errorf("%s: put aside: %q", how, a.Aside)
		}
		r.open(t)
		r.whole(t, how, 1)
		r.pull(t, obs("a", 3, ""), obs("b", 3, ""), obs("c", 3, ""))
		r.whole(t, how+", pulled", 1)
	}
}
