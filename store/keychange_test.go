package store_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/keys"
	"chartcellar/store/storetest"
	"chartcellar/store/verify"
)

// newSheet makes a new sheet and returns it.
func (p *practice) newSheet(t testing.TB) keys.Sheet {
	t.Helper()
	s, err := p.m.NewSheet("Practice", func(keys.Sheet, int) error { return nil })
	if err != nil {
		t.Fatalf("NewSheet = %v", err)
	}
	return s
}

// opensWith reports whether a key decrypts a file of the mirror, as age does it.
func (p *practice) opensWith(t testing.TB, id age.Identity, name string) bool {
	t.Helper()
	f, err := os.Open(filepath.Join(p.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := age.Decrypt(f, id)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, r)
	return err == nil
}

func part(n string) string {
	return filepath.Join("parts", "000000", "00000000000"+n+".ndjson.zst.age")
}

// TestNewSheet: the new sheet opens everything, in the office and in a copy; the old one
// is refused by name, and decrypts no file that came since.
func TestNewSheet(t *testing.T) {
	p := newPractice(t)
	p.pull(t, obs("a", 1, ""))
	old := p.sheet
	if _, err := p.m.NewSheet("Practice", func(keys.Sheet, int) error { return io.ErrShortWrite }); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("NewSheet whose sheet cannot be kept = %v", err)
	}
	if n := p.m.Statement().Number; n != 1 {
		t.Errorf("statement %d is in force although no sheet was kept", n)
	}
	made := p.newSheet(t)
	if s := p.m.Statement(); s.Number != 2 || s.Epoch != 1 || made.StatementHash != p.m.FirstHash() || made.Recipients[1].Key != made.Recovery.Recipient().String() {
		t.Errorf("statement %+v, sheet %+v", s, made)
	}
	p.pull(t, obs("b", 1, "")) // in the same process
	for _, tt := range []struct {
		name string
		id   age.Identity
		part string
		want bool
	}{
		{"the old sheet, an old part", old.Recovery, part("1"), true},
		{"the old sheet, a new part", old.Recovery, part("3"), false},
		{"the new sheet alone, an old part", made.Recovery, part("1"), false},
		{"the new sheet, a new part", made.Recovery, part("3"), true},
		{"the office key, a new part", p.office, part("3"), true},
	} {
		if got := p.opensWith(t, tt.id, tt.part); got != tt.want {
			t.Errorf("%s: opens = %v, want %v", tt.name, got, tt.want)
		}
	}
	// A copy, which has no secrets: the new sheet reads all, the old one is refused.
	copied := p.copied(t)
	l := look(t, copied, made.Recovery)
	l.says(t)
	l.has(t, map[string]string{"a": obs("a", 1, ""), "b": obs("b", 1, "")})
	if r, err := verify.Run(t.Context(), l.m, verify.Options{Depth: verify.Full}); err != nil || !r.Good() {
		t.Errorf("verify of the copy with the new sheet = %+v, %v", r, err)
	}
	if _, err := store.Look(t.Context(), store.Options{Dir: copied, Identity: old.Recovery}); !errors.Is(err, store.ErrOldSheet) || !errors.Is(err, store.ErrLocked) {
		t.Errorf("Look with the old sheet = %v, want ErrOldSheet", err)
	}
	// The mirror itself, unlocked with the new sheet, gives a passphrase.
	p.locked = true
	p.reopen(t)
	if err := p.m.Unlock(old.Recovery); !errors.Is(err, store.ErrOldSheet) {
		t.Errorf("Unlock with the old sheet = %v, want ErrOldSheet", err)
	}
	if err := p.m.Unlock(made.Recovery); err != nil {
		t.Fatalf("Unlock with the new sheet = %v", err)
	}
	p.has(t, map[string]string{"a": obs("a", 1, ""), "b": obs("b", 1, "")})
	if err := p.m.AddSlot("doctor", "another row of words"); err != nil {
		t.Errorf("AddSlot with the new sheet = %v", err)
	}
	third := p.newSheet(t)
	p.reopen(t)
	if err := p.m.Unlock(third.Recovery); err != nil {
		t.Fatalf("Unlock with the third sheet = %v", err)
	}
	p.same(t)
}

// TestPassphraseBySheet: all passphrases are forgotten, and the sheet gives a new one,
// without a change of keys.
func TestPassphraseBySheet(t *testing.T) {
	p := newPractice(t)
	p.pull(t, obs("a", 1, ""))
	p.locked = true
	p.reopen(t)
	if _, err := p.m.NewSheet("Practice", nil); !errors.Is(err, store.ErrLocked) {
		t.Errorf("NewSheet of a locked mirror = %v, want ErrLocked", err)
	}
	if err := p.m.Unlock(p.sheet.Recovery); err != nil {
		t.Fatal(err)
	}
	if err := p.m.AddSlot("nurse", "a passphrase of the nurse"); err != nil {
		t.Fatalf("AddSlot with the sheet = %v", err)
	}
	p.m.Lock()
	id, err := p.m.OpenSlotOf(&keys.Unlocker{}, "nurse", "a passphrase of the nurse")
	if err != nil || id.String() != p.office.String() {
		t.Errorf("OpenSlotOf = %v", err)
	}
	if n := p.m.Statement().Number; n != 1 {
		t.Errorf("statement %d is in force", n)
	}
}

// TestFrozenNewSheet: a mirror of format 1 as it was first written does not carry the
// office key. Its sheet gives no passphrase; after a new sheet the new one does.
func TestFrozenNewSheet(t *testing.T) {
	p := frozen(t).copyTo(t, disk.OS{})
	p.open(t)
	if p.m.Statement().OfficeKey != "" {
		t.Fatal("the frozen mirror carries the office key")
	}
	made := p.newSheet(t)
	p.locked = true
	p.reopen(t)
	if err := p.m.Unlock(made.Recovery); err != nil {
		t.Fatal(err)
	}
	p.has(t, map[string]string{"a": obs("a", 2, ""), "b": "deleted", "c": obs("c", 1, "")})
	p.newSheet(t) // the sheet gives the office key
}

// TestForgedStatement is T12: a statement that nobody of this mirror signed stops
// everything, in the office and in NewSheet; in a copy the one before is used and that
// is said.
func TestForgedStatement(t *testing.T) {
	p := newPractice(t)
	p.pull(t, obs("a", 1, ""))
	first, err := os.ReadFile(filepath.Join(p.dir, "mirror", "000001.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := p.m.Statement()
	skey, vkey, err := keys.NewLogKey(s.Mirror)
	if err != nil {
		t.Fatal(err)
	}
	s.Number, s.Previous, s.LogKey = 2, keys.Hash(first), vkey
	forged, err := keys.SignByLog(s, skey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "mirror", "000002.json"), forged, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.m.NewSheet("Practice", func(keys.Sheet, int) error { return nil }); !errors.Is(err, keys.ErrForged) {
		t.Errorf("NewSheet behind a forged statement = %v, want ErrForged", err)
	}
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), p.options()); !errors.Is(err, keys.ErrForged) {
		t.Errorf("Open = %v, want ErrForged", err)
	}
	look(t, p.copied(t), p.sheet.Recovery).says(t, "The file mirror/000002.json is not good")
}

// TestBreakingDiskNewSheet is C8 and T2: each operation of a change of sheets fails, also
// if it happened all the same, or the power goes there. Then one of both sheets is in
// force, whole, and somebody has it; what was stored is there; a run goes on, and the
// next attempt ends well.
func TestBreakingDiskNewSheet(t *testing.T) {
	base := seed(t)
	for _, how := range []storetest.How{storetest.Fails, storetest.Happens, storetest.Full, storetest.PowerCut} {
		for n := 1; ; n++ {
			fsys := storetest.New(0, how)
			p := base.copyTo(t, fsys)
			p.open(t)
			fsys.BreakAt(n)
			kept := []keys.Sheet{base.sheet}
			_, err := p.m.NewSheet("Practice", func(s keys.Sheet, _ int) error {
				kept = append(kept, s)
				return nil
			})
			struck := fsys.Struck()
			p.m.Close() // on a broken disk
			p.fs = disk.OS{}
			p.open(t)
			if _, aerr := p.m.NewSheet("Practice", func(s keys.Sheet, _ int) error { kept = append(kept, s); return nil }); aerr != nil {
				t.Fatalf("operation %d, %v: the next attempt = %v", n, how, aerr)
			}
			p.pull(t, obs("z", 1, ""))
			p.locked = true
			p.reopen(t)
			if uerr := p.m.Unlock(kept[len(kept)-1].Recovery); uerr != nil {
				t.Fatalf("operation %d, %v: the last sheet = %v", n, how, uerr)
			}
			p.has(t, map[string]string{"a": obs("a", 1, ""), "b": obs("b", 1, ""), "z": obs("z", 1, "")})
			p.newSheet(t) // it gives the office key too
			p.m.Close()
			if !struck {
				if err != nil {
					t.Fatalf("a disk that does not break: NewSheet = %v", err)
				}
				break
			}
		}
	}
}

// TestNewSheetInForce: straight after the change breaks off, whichever sheet is in force
// is one that was kept before.
func TestNewSheetInForce(t *testing.T) {
	base := seed(t)
	for n := 1; ; n++ {
		fsys := storetest.New(0, storetest.PowerCut)
		p := base.copyTo(t, fsys)
		p.open(t)
		fsys.BreakAt(n)
		kept := map[string]*age.X25519Identity{base.sheet.Recovery.Recipient().String(): base.sheet.Recovery}
		_, err := p.m.NewSheet("Practice", func(s keys.Sheet, _ int) error {
			kept[s.Recovery.Recipient().String()] = s.Recovery
			return nil
		})
		p.m.Close() // on a broken disk
		p.fs, p.locked = disk.OS{}, true
		p.open(t)
		now := kept[p.m.Statement().Recipients[1].Key]
		if now == nil {
			t.Fatalf("operation %d: a sheet is in force that nobody has", n)
		}
		if uerr := p.m.Unlock(now); uerr != nil {
			t.Errorf("operation %d: Unlock = %v", n, uerr)
		}
		p.has(t, map[string]string{"a": obs("a", 1, ""), "b": obs("b", 1, "")})
		look(t, p.copied(t), now).has(t, map[string]string{"a": obs("a", 1, "")})
		p.m.Close()
		if !fsys.Struck() {
			if err != nil || len(kept) != 2 {
				t.Fatalf("a disk that does not break: NewSheet = %v", err)
			}
			break
		}
	}
}

// TestNewSheetDuringARun: a run that is under way goes on, and what it brings after the
// change is encrypted to the new sheet.
func TestNewSheetDuringARun(t *testing.T) {
	p := newPractice(t)
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	add(t, r, obs("a", 1, ""))
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	made := p.newSheet(t)
	add(t, r, obs("b", 1, ""))
	counts, err := r.Counts(t.Context())
	if err == nil {
		err = r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts})
	}
	if err != nil {
		t.Fatal(err)
	}
	if p.opensWith(t, made.Recovery, part("1")) || !p.opensWith(t, made.Recovery, part("2")) || p.opensWith(t, p.sheet.Recovery, part("2")) {
		t.Error("the parts before and after the change are not encrypted as they must be")
	}
	look(t, p.copied(t), made.Recovery).has(t, map[string]string{"a": obs("a", 1, ""), "b": obs("b", 1, "")})
	if b, err := os.ReadFile(filepath.Join(p.dir, "mirror", "000002.json")); err != nil || strings.Contains(string(b), "AGE-SECRET") {
		t.Errorf("the statement: %v", err)
	}
}
