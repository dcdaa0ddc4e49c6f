package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/journal"
	"chartcellar/store/keys"
	"chartcellar/store/storetest"
	"chartcellar/store/verify"
)

// TestFlippedBitsElsewhere is T5 for the files that hold no record: journal,
// secrets, passphrases, quarantine. A flipped bit is found, and never read as
// something else.
func TestFlippedBitsElsewhere(t *testing.T) {
	base := newPractice(t)
	base.pull(t, obs("a", 1, ""), "no JSON at all")
	for i := range 3 {
		if err := base.m.Journal(store.Event{Code: "record.view", Account: fmt.Sprint("doctor", i), Note: "why"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := base.m.PutSecret("emr.secret", []byte("the secret")); err != nil {
		t.Fatal(err)
	}
	if err := base.m.AddSlot("doctor", "four words are enough"); err != nil {
		t.Fatal(err)
	}
	if err := base.m.Close(); err != nil {
		t.Fatal(err)
	}
	bad := base.files(t, "quarantine")
	if len(bad) != 1 {
		t.Fatalf("%d files in quarantine", len(bad))
	}
	kept := opened(t, base, bad[0])
	r := rand.New(rand.NewPCG(5, 6))
	for i, name := range base.files(t, "journal", "secrets", "slots", "quarantine") {
		rel, err := filepath.Rel(base.dir, name)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 2 * *loops {
			t := &scope{TB: t}
			p := base.copyTo(t, disk.OS{})
			flip(t, r, filepath.Join(p.dir, rel), 1+7*((i+n)%2))
			p.lookElsewhere(t, rel, kept)
			t.end()
		}
	}
}

func flip(t testing.TB, r *rand.Rand, name string, bits int) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for range bits {
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// opened decrypts a file of the quarantine; "" if it cannot be.
func opened(t testing.TB, p *practice, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d, err := age.Decrypt(bytes.NewReader(b), p.office)
	if err != nil {
		return ""
	}
	plain, err := io.ReadAll(d)
	if err != nil {
		return ""
	}
	return string(plain)
}

// lookElsewhere reads the damaged file the way the program does.
func (p *practice) lookElsewhere(t testing.TB, rel, kept string) {
	t.Helper()
	m, err := store.Open(t.Context(), p.options())
	if err != nil {
		return // found at once
	}
	defer m.Close()
	switch folder, _, _ := strings.Cut(filepath.ToSlash(rel), "/"); folder {
	case "journal":
		if len(m.Problems()) == 0 {
			t.Errorf("bits flipped in the journal were not noticed")
		}
	case "secrets":
		s, err := m.Secret("emr.secret")
		if filepath.Base(rel) != "emr.secret" {
			t.Errorf("bits flipped in %s were not noticed", rel)
		} else if !errors.Is(err, keys.ErrDamaged) {
			t.Errorf("a damaged secret is read as %q, %v", s, err)
		}
	case "slots":
		if _, err := m.OpenSlot(&keys.Unlocker{}, "four words are enough"); !errors.Is(err, keys.ErrDamaged) {
			t.Errorf("a damaged passphrase: %v", err)
		}
	case "quarantine":
		if got := opened(t, p, filepath.Join(p.dir, rel)); got != "" && got != kept {
			t.Errorf("a damaged file of the quarantine is read as %q", got)
		}
	}
}

// TestJournalLineOfBefore: a segment of an early release, without checks, is read.
func TestJournalLineOfBefore(t *testing.T) {
	p := newPractice(t)
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	line := `{"seq":1,"prev":"","time":"2026-01-01T00:00:00Z","code":"record.view"}` + "\n"
	if err := os.WriteFile(filepath.Join(p.dir, "journal", "000001"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	p.open(t)
	if len(p.m.Problems()) > 0 {
		t.Errorf("problems: %v", p.m.Problems())
	}
	j, broken, err := journal.Open(disk.OS{}, p.dir, 0, "", nil)
	if err != nil || broken != 0 {
		t.Fatalf("journal.Open = %d broken, %v", broken, err)
	}
	if pack, err := j.Pack(); err != nil || len(pack.Lines) != 1 {
		t.Errorf("Pack = %d lines, %v", len(pack.Lines), err)
	}
}

// TestLockedBoxPowerCut is T22 with power cuts: a box that starts without any
// identity recovers, pulls, signs and verifies; nothing lies in clear; unlocked, it
// shows everything.
func TestLockedBoxPowerCut(t *testing.T) {
	base := seed(t)
	base.locked = true
	probe := storetest.New(0, storetest.Fails)
	if _, err := base.copyTo(t, probe).work(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range *loops {
		t := &scope{TB: t}
		r := rand.New(rand.NewPCG(uint64(i), 22))
		n := 1 + r.IntN(probe.Ops())
		what := fmt.Sprintf("power cut at operation %d", n)
		d := storetest.New(n, storetest.PowerCut)
		p := base.copyTo(t, d)
		flushed, _ := p.work(t.Context())
		if err := d.Lose(r); err != nil {
			t.Fatal(err)
		}
		p.fs = disk.OS{}
		if _, err := p.work(t.Context()); err != nil {
			t.Fatalf("%s: the next run without an identity = %v", what, err)
		}
		p.open(t)
		if !p.m.Locked() {
			t.Fatal("the mirror is not locked")
		}
		for day := range 30 {
			if res, err := verify.Run(t.Context(), p.m, verify.Options{Depth: verify.Rolling, Days: []int{day}}); err != nil || !res.Good() {
				t.Errorf("%s: rolling verify of day %d = %+v, %v", what, day, res.Damage, err)
			}
		}
		last, err := p.m.Checkpoints()
		if err != nil || last == 0 {
			t.Fatalf("%s: %d checkpoints, %v", what, last, err)
		}
		c, err := p.m.ReadCheckpoint(last)
		size, root, terr := p.m.Tree()
		if err != nil || terr != nil || c.Size != size || c.Root != root {
			t.Errorf("%s: the last checkpoint is not of the whole log: %v, %v", what, err, terr)
		}
		if err := p.m.Close(); err != nil {
			t.Fatal(err)
		}
		notInClear(t, p.dir, "Patient/p1", `"resourceType":"Observation"`, "no JSON")
		p.locked = false
		p.healed(t, flushed, what)
		t.end()
	}
}
