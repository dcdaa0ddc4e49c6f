package store_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/keys"
	"chartcellar/store/verify"
)

// files lists the files of a mirror below the given folders.
func (p *practice) files(t testing.TB, folders ...string) []string {
	t.Helper()
	var list []string
	for _, f := range folders {
		err := filepath.Walk(filepath.Join(p.dir, f), func(name string, info os.FileInfo, err error) error {
			if err == nil && !info.IsDir() && info.Size() > 0 {
				list = append(list, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func history(t *testing.T) *practice {
	t.Helper()
	p := newPractice(t)
	p.pull(t, `{"resourceType":"Patient","id":"p1"}`, obs("a", 1, ""), obs("b", 1, ""))
	p.pull(t, obs("a", 2, ""), "-Observation/b")
	p.pull(t, obs("c", 1, ""))
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFlippedBits is T5: flipped bits in every kind of file are found by a full
// verify, or do no harm; no wrong byte is ever returned.
func TestFlippedBits(t *testing.T) {
	base := history(t)
	r := rand.New(rand.NewPCG(1, 2))
	want := map[string]string{"a": obs("a", 2, ""), "b": "deleted", "c": obs("c", 1, "")}
	for i := range 3 * *loops {
		p := base.copyTo(t, disk.OS{})
		list := p.files(t, "parts", "checkpoints", "mirror", "index.db")
		name := list[i%len(list)]
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + 7*(i%2) {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprintf("bits flipped in %s", filepath.Base(name))
		m, err := store.Open(t.Context(), p.options())
		if err != nil {
			continue // found at once
		}
		p.m = m
		res, err := verify.Run(t.Context(), m, verify.Options{Depth: verify.Full})
		found := err != nil || !res.Good()
		s, serr := m.Now()
		for id, line := range want {
			if serr != nil {
				break
			}
			v, err := s.Latest(t.Context(), store.Key{Source: "emr", Type: "Observation", ID: id})
			got := string(v.Raw)
			if v.Deleted {
				got = "deleted"
			}
			if err == nil && got != line {
				t.Errorf("%s: %s = %q, want %q or an error", what, id, got, line)
			}
			if err != nil && !found {
				t.Errorf("%s: %s cannot be read (%v), and verify found nothing", what, id, err)
			}
		}
		if strings.HasSuffix(name, ".age") && !found {
			t.Errorf("%s: not found by a full verify", what)
		}
		m.Close()
	}
}

// TestLostIndex is T6: the index is lost, cut, empty, older or of another
// mirror.
func TestLostIndex(t *testing.T) {
	base := history(t)
	other := history(t)
	older := seed(t)
	breaks := map[string]func(index string) error{
		"lost":              os.Remove,
		"empty":             func(n string) error { return os.WriteFile(n, nil, 0o600) },
		"cut":               func(n string) error { return os.Truncate(n, 20_000) },
		"random":            func(n string) error { return os.WriteFile(n, bytes.Repeat([]byte("x"), 50_000), 0o600) },
		"of another mirror": copyOver(other),
		"older":             copyOver(older),
	}
	for name, breakIt := range breaks {
		t.Run(name, func(t *testing.T) {
			p := base.copyTo(t, disk.OS{})
			if err := breakIt(filepath.Join(p.dir, "index.db")); err != nil {
				t.Fatal(err)
			}
			locked := p.options()
			locked.Identity = nil
			if _, err := store.Open(t.Context(), locked); !errors.Is(err, store.ErrNeedsUnlock) {
				t.Errorf("Open without a key = %v, want ErrNeedsUnlock", err)
			}
			p.open(t)
			if got := p.latest(t, "Observation", "a"); got != obs("a", 2, "") {
				t.Errorf("a = %s", got)
			}
			p.same(t)
			p.pull(t, obs("a", 3, ""))
			if got := p.latest(t, "Observation", "a"); got != obs("a", 3, "") {
				t.Errorf("after the next run: a = %s", got)
			}
		})
	}
}

func copyOver(from *practice) func(string) error {
	return func(to string) error {
		b, err := os.ReadFile(filepath.Join(from.dir, "index.db"))
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, 0o600)
	}
}

// TestOlderFolder is T7: an older copy of the whole folder is found by the
// witness that lies outside it, and by nothing else.
func TestOlderFolder(t *testing.T) {
	p := newPractice(t)
	witness := filepath.Join(t.TempDir(), "witness")
	o := p.options()
	o.Witness = witness
	reopen := func() {
		t.Helper()
		if err := p.m.Close(); err != nil {
			t.Fatal(err)
		}
		m, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		p.m = m
	}
	reopen()
	p.pull(t, obs("a", 1, ""))
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	old := p.copyTo(t, disk.OS{})
	m, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p.m = m
	p.pull(t, obs("a", 2, ""))
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	o.Dir = old.dir
	if _, err := store.Open(t.Context(), o); !errors.Is(err, store.ErrRolledBack) {
		t.Errorf("Open of an older copy = %v, want ErrRolledBack", err)
	}
	o.Witness = ""
	m, err = store.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open without a witness = %v", err)
	}
	m.Close()
}

// TestMissingPart is T7: a part that is taken away is named.
func TestMissingPart(t *testing.T) {
	p := history(t)
	parts := p.files(t, "parts")
	if err := os.Remove(parts[len(parts)-1]); err != nil {
		t.Fatal(err)
	}
	p.open(t)
	r, err := verify.Run(t.Context(), p.m, verify.Options{Depth: verify.Quick})
	if err != nil || r.Good() {
		t.Errorf("quick verify = %+v, %v; want the missing part", r, err)
	}
	if got := p.latest(t, "Observation", "a"); got != obs("a", 2, "") {
		t.Errorf("a record of another part cannot be read: %s", got)
	}
}

// TestLockedBox is T22: a box without any identity goes on backing up, and what
// it did shows after it is unlocked.
func TestLockedBox(t *testing.T) {
	p := newPractice(t)
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	o := p.options()
	o.Identity = nil
	m, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p.m = m
	defer m.Close()
	p.pull(t, `{"resourceType":"Patient","id":"p1"}`, obs("a", 1, ""))
	p.pull(t, obs("a", 2, ""))
	for _, depth := range []verify.Depth{verify.Quick, verify.Rolling} {
		if r, err := verify.Run(t.Context(), m, verify.Options{Depth: depth, Days: []int{1}}); err != nil || !r.Good() {
			t.Errorf("verify %s = %+v, %v", depth, r, err)
		}
	}
	if _, err := verify.Run(t.Context(), m, verify.Options{Depth: verify.Full}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("verify full = %v, want ErrLocked", err)
	}
	s, err := m.Now()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Latest(t.Context(), store.Key{Source: "emr", Type: "Observation", ID: "a"}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Latest while locked = %v, want ErrLocked", err)
	}
	if err := m.Unlock(p.sheet.Recovery); err != nil {
		t.Fatalf("Unlock with the sheet = %v", err)
	}
	if got := p.latest(t, "Observation", "a"); got != obs("a", 2, "") {
		t.Errorf("a = %s", got)
	}
	stranger := newPractice(t)
	if err := m.Unlock(stranger.office); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Unlock with another mirror's key = %v, want ErrLocked", err)
	}
}

// TestNothingInClear is I10: no name, id, date or token lies on the disk, also
// not as base64 or UTF-16.
func TestNothingInClear(t *testing.T) {
	p := newPractice(t)
	canaries := []string{"Zaphod-Canary", "id-canary-77", "1971-03-19", "token-canary-5"}
	p.pull(t, `{"resourceType":"Patient","id":"id-canary-77","name":[{"family":"Zaphod-Canary"}],"birthDate":"1971-03-19","meta":{"lastUpdated":"1971-03-19T00:00:00Z"}}`, "no JSON Zaphod-Canary")
	if err := p.m.SetJob("emr", []byte(`{"status":"token-canary-5"}`)); err != nil {
		t.Fatal(err)
	}
	if err := p.m.PutSecret("emr.secret", []byte("token-canary-5")); err != nil {
		t.Fatal(err)
	}
	if err := p.m.Journal(store.Event{Code: "x", Key: store.Key{Source: "emr", Type: "Patient", ID: "id-canary-77"}, Patient: "id-canary-77", Note: "Zaphod-Canary"}); err != nil {
		t.Fatal(err)
	}
	notInClear(t, p.dir, canaries...)
}

// notInClear fails if a text lies in any file of a folder, also as base64 or
// UTF-16.
func notInClear(t testing.TB, dir string, canaries ...string) {
	t.Helper()
	p := &practice{dir: dir}
	for _, name := range p.files(t, ".") {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range canaries {
			wide := make([]byte, 0, 2*len(c))
			for _, u := range utf16.Encode([]rune(c)) {
				wide = append(wide, byte(u), byte(u>>8))
			}
			forms := [][]byte{[]byte(c), wide}
			if len(c) >= 8 {
				forms = append(forms, []byte(base64.StdEncoding.EncodeToString([]byte(c)))[:8])
			}
			for _, form := range forms {
				if bytes.Contains(b, form) {
					t.Errorf("%s lies open in %s", c, filepath.Base(name))
				}
			}
		}
	}
}

// TestProof is T19.
func TestProof(t *testing.T) {
	p := newPractice(t)
	p.pull(t, obs("a", 1, ""), obs("secret-neighbour", 1, ""))
	p.pull(t, obs("c", 1, ""))
	proof, err := p.m.Prove(t.Context(), store.Key{Source: "emr", Type: "Observation", ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.Check(p.m.LogKey()); err != nil {
		t.Errorf("Check = %v", err)
	}
	for _, h := range proof.Hashes {
		if bytes.Contains(h, []byte("secret")) {
			t.Error("the proof holds another record")
		}
	}
	for i := range proof.Line {
		changed := proof
		changed.Line = bytes.Clone(proof.Line)
		changed.Line[i] ^= 1
		if err := changed.Check(p.m.LogKey()); !errors.Is(err, store.ErrDamaged) {
			t.Fatalf("a proof with byte %d changed passes: %v", i, err)
		}
	}
	_, other, err := keys.NewLogKey("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.Check(other); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a proof passes with another log key: %v", err)
	}
}

// TestReadersBesideAWriter is T9: snapshots stay as they are while a run writes.
func TestReadersBesideAWriter(t *testing.T) {
	p := newPractice(t)
	p.pull(t, obs("a", 0, ""))
	snap, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				v, err := snap.Latest(t.Context(), store.Key{Source: "emr", Type: "Observation", ID: "a"})
				if err != nil || string(v.Raw) != obs("a", 0, "") {
					t.Errorf("a snapshot changed: %s, %v", v.Raw, err)
					return
				}
			}
		})
	}
	for i := range 8 {
		lines := []string{obs("a", i+1, "")}
		for k := range 1500 {
			lines = append(lines, obs(fmt.Sprint("x", k), i, ""))
		}
		p.pull(t, lines...)
	}
	close(stop)
	wg.Wait()
}

// A scope is a test inside a test: what it opened and made is gone at its end, and
// not only at the end of all.
type scope struct {
	testing.TB
	undo []func()
}

func (s *scope) Cleanup(f func()) { s.undo = append(s.undo, f) }

func (s *scope) TempDir() string {
	dir, err := os.MkdirTemp("", "scope")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (s *scope) end() {
	for _, f := range slices.Backward(s.undo) {
		f()
	}
}

// TestAgainstAMap is T16: random sequences of runs against a plain map. The full
// figure: go test ./store -run AgainstAMap -rapid.checks=100000 -timeout 6h
func TestAgainstAMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		t := &scope{TB: t}
		defer t.end()
		p := newPractice(t)
		defer p.m.Close()
		model := map[string]string{}
		for range rapid.IntRange(1, 6).Draw(rt, "runs") {
			held := rapid.IntRange(0, 4).Draw(rt, "held") == 0
			states := index.RunStates{All: index.Applied, Types: map[string]index.State{}}
			if held {
				states.Types["Observation"] = index.Held
			}
			var lines []string
			seen := map[string]bool{}
			for range rapid.IntRange(0, 6).Draw(rt, "lines") {
				id := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "id")
				if seen[id] {
					continue
				}
				seen[id] = true
				line := obs(id, rapid.IntRange(0, 2).Draw(rt, "n"), "")
				if rapid.IntRange(0, 3).Draw(rt, "delete") == 0 {
					line = "-Observation/" + id
				}
				lines = append(lines, line)
				_, known := model[id]
				switch {
				case strings.HasPrefix(line, "-") && known && !held:
					model[id] = "deleted"
				case !strings.HasPrefix(line, "-") && (!held || !known):
					model[id] = line
				}
			}
			p.run(t, states, lines...)
			if held {
				decideAll(t, p, false)
			}
			if rapid.Bool().Draw(rt, "reopen") {
				p.reopen(t)
			}
		}
		for _, id := range []string{"a", "b", "c", "d"} {
			want, ok := model[id]
			if !ok {
				want = "none"
			}
			if got := p.latest(t, "Observation", id); got != want {
				rt.Fatalf("%s = %s, want %s", id, got, want)
			}
		}
		p.same(t)
	})
}

// decideAll decides everything that is held.
func decideAll(t testing.TB, p *practice, accept bool) {
	t.Helper()
	runs, err := p.m.Runs()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		if r.States.Types["Observation"] == index.Held {
			err := p.m.Decide(t.Context(), index.Decision{Run: r.Number, Type: "Observation", Accept: accept})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// FuzzCheckpoint: no bytes are taken for a checkpoint that the log key has not
// signed.
func FuzzCheckpoint(f *testing.F) {
	skey, vkey, err := keys.NewLogKey("m")
	if err != nil {
		f.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		f.Fatal(err)
	}
	good, err := note.Sign(&note.Note{Text: "chartcellar/m\n3\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n" +
		strings.Repeat("ab", 32) + "  parts/x\n"}, signer)
	if err != nil {
		f.Fatal(err)
	}
	if c, err := store.ParseCheckpoint(good, vkey); err != nil || c.Size != 3 || len(c.Files) != 1 {
		f.Fatalf("ParseCheckpoint = %+v, %v", c, err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, file []byte) {
		if _, err := store.ParseCheckpoint(file, vkey); err == nil && !bytes.Equal(file, good) {
			if _, err := note.Open(file, note.VerifierList(verifier(t, vkey))); err != nil {
				t.Error("took an unsigned checkpoint")
			}
		}
	})
}

func verifier(t *testing.T, vkey string) note.Verifier {
	t.Helper()
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
