package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/storetest"
	"chartcellar/store/verify"
)

const firstSettings = "practice = \"Åsa\"\r\n\tdata = '/x'\r\n\r\n— no signature\n\nlast line without an end"

func (p *practice) keep(t testing.TB, text, by string) {
	t.Helper()
	if err := p.m.KeepSettings([]byte(text), by); err != nil {
		t.Fatalf("KeepSettings = %v", err)
	}
}

// settingsAre fails unless these are the settings that were kept.
func (p *practice) settingsAre(t testing.TB, want ...string) {
	t.Helper()
	n, err := p.m.SettingsKept()
	if err != nil || n != len(want) {
		t.Fatalf("SettingsKept = %d, %v; want %d", n, err, len(want))
	}
	for i, w := range want {
		if k, err := p.m.ReadSettings(i + 1); err != nil || string(k.Text) != w || k.Number != i+1 || k.At.IsZero() {
			t.Errorf("ReadSettings(%d) = %+v, %v; want %q", i+1, k, err, w)
		}
	}
}

// TestSettings: settings are kept when they change, also while the mirror is locked, come
// back byte for byte, and survive the loss of the box.
func TestSettings(t *testing.T) {
	p := newPractice(t)
	p.locked = true
	p.reopen(t)
	p.keep(t, firstSettings, "owner\nsecond line")
	p.keep(t, firstSettings, "owner")
	if _, err := p.m.ReadSettings(1); !errors.Is(err, store.ErrLocked) {
		t.Errorf("ReadSettings while locked = %v", err)
	}
	p.reopen(t)
	p.keep(t, firstSettings, "owner")
	p.keep(t, "changed", "")
	p.keep(t, firstSettings, "doctor") // back to what was
	if err := p.m.Unlock(p.office); err != nil {
		t.Fatal(err)
	}
	all := []string{firstSettings, "changed", firstSettings}
	p.settingsAre(t, all...)
	if k, err := p.m.ReadSettings(1); err != nil || k.By != "owner second line" {
		t.Errorf("By = %q, %v", k.By, err)
	}
	if _, err := p.m.ReadSettings(4); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("ReadSettings(4) = %v", err)
	}
	p.pull(t, obs("a", 1, ""))
	p.verified(t, "with settings")
	files, err := p.m.Inventory()
	if err != nil || !strings.Contains(fmt.Sprint(files), "settings/000003.age") {
		t.Errorf("Inventory = %v, %v", files, err)
	}
	r := p.restored(t)
	if k, err := store.NewestSettings(store.Options{Dir: r.dir, FS: &storetest.Still{}, Identity: p.sheet.Recovery}); err != nil ||
		string(k.Text) != firstSettings || k.By != "doctor" || k.Number != 3 {
		t.Errorf("NewestSettings = %+v, %v", k, err)
	}
	if a := r.adopt(t); a.Statement.Fork.Settings != 3 {
		t.Errorf("the fork keeps %d settings", a.Statement.Fork.Settings)
	}
	r.open(t)
	r.keep(t, firstSettings, "")
	r.keep(t, "on the new box", "")
	r.settingsAre(t, append(all, firstSettings, "on the new box")...)
	r.verified(t, "adopted")
	l := look(t, r.copied(t), p.sheet.Recovery)
	l.settingsAre(t, append(all, firstSettings, "on the new box")...)
	if err := l.m.KeepSettings([]byte("x"), ""); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("KeepSettings while looking = %v", err)
	}
	// The lost box goes on signing: what it keeps now is of no epoch that counts.
	p.keep(t, "by the lost box", "")
	b, err := os.ReadFile(filepath.Join(p.dir, "settings", "000004.age"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "settings", "000006.age"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.m.ReadSettings(6); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("settings of the lost box = %v", err)
	}
	if _, err := store.NewestSettings(r.options()); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("NewestSettings = %v", err)
	}
	if v, err := verify.Run(t.Context(), r.m, verify.Options{Depth: verify.Full}); err != nil || len(v.Damage) != 1 || v.Damage[0].File != "settings/000006.age" {
		t.Errorf("verify = %v, %v", v.Damage, err)
	}
}

// TestNoSettings: a mirror that never kept any says so.
func TestNoSettings(t *testing.T) {
	p := newPractice(t)
	if _, err := store.NewestSettings(p.options()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("NewestSettings = %v", err)
	}
	if _, err := store.NewestSettings(store.Options{Dir: t.TempDir()}); !errors.Is(err, store.ErrNoMirror) {
		t.Errorf("NewestSettings = %v", err)
	}
}

// TestForgedSettings: whoever can write at a second copy can encrypt to the recipients, and
// that is all.
func TestForgedSettings(t *testing.T) {
	p := newPractice(t)
	p.keep(t, "one", "owner")
	p.keep(t, "two", "owner")
	first := filepath.Join(p.dir, "settings", "000001.age")
	sealed, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	plain := opened(t, p, first)
	stranger := newPractice(t)
	stranger.keep(t, "one", "owner")
	theirs := opened(t, stranger, filepath.Join(stranger.dir, "settings", "000001.age"))
	for name, file := range map[string][]byte{
		"another text":           p.encrypted(t, strings.Replace(plain, "\n\none", "\n\nevil", 1)),
		"another name":           p.encrypted(t, strings.Replace(plain, "by owner", "by doctor", 1)),
		"of another mirror":      p.encrypted(t, theirs),
		"without a signature":    p.encrypted(t, "practice = \"x\"\n"),
		"empty":                  p.encrypted(t, ""),
		"cut":                    sealed[:len(sealed)-5],
		"not encrypted":          []byte(plain),
		"an older one's content": nil, // put in place of the second below
	} {
		t.Run(name, func(t *testing.T) {
			q := p.copyTo(t, disk.OS{})
			n := 1
			if file == nil {
				n, file = 2, sealed
			}
			if err := os.WriteFile(filepath.Join(q.dir, "settings", fmt.Sprintf("%06d.age", n)), file, 0o600); err != nil {
				t.Fatal(err)
			}
			l := look(t, q.copied(t), p.sheet.Recovery)
			if k, err := l.m.ReadSettings(n); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("ReadSettings = %+v, %v; want ErrDamaged", k, err)
			}
		})
	}
}

// encrypted encrypts to the recipients of a mirror, as anybody can.
func (p *practice) encrypted(t testing.TB, plain string) []byte {
	t.Helper()
	to, err := p.m.Statement().AgeRecipients()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(plain)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestKeepSettingsBreaks is T2 for the settings: at each operation of the disk.
func TestKeepSettingsBreaks(t *testing.T) {
	base := seed(t)
	for how := range 3 {
		for n := 1; n < 40; n++ {
			t := &scope{TB: t}
			d := storetest.New(0, storetest.Fails)
			p := base.copyTo(t, d)
			p.open(t)
			before := d.Ops()
			if err := p.m.Close(); err != nil {
				t.Fatal(err)
			}
			d = storetest.New(before+n, storetest.How(how))
			p = base.copyTo(t, d)
			p.open(t)
			err := p.m.KeepSettings([]byte("the settings"), "owner")
			struck := d.Struck()
			p.m.Close()
			if struck && err == nil && how != int(storetest.Full) {
				t.Errorf("operation %d: not reported", n)
			}
			p.fs = disk.OS{}
			p.open(t)
			p.keep(t, "the settings", "owner")
			last, err := p.m.SettingsKept()
			if err != nil || last < 1 || last > 2 {
				t.Errorf("operation %d: %d settings, %v", n, last, err)
			}
			if k, err := p.m.ReadSettings(last); err != nil || string(k.Text) != "the settings" {
				t.Errorf("operation %d: %q, %v", n, k.Text, err)
			}
			p.m.Close()
			t.end()
			if !struck {
				break
			}
		}
	}
}
