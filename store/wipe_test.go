package store_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/storetest"
)

// everything returns the content of every file below a folder, by its name.
func everything(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	list := map[string][]byte{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		list[name] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// canaries are 200 texts in the records of a mirror to be destroyed, and the mirror with
// one of each kind of file.
func canaries(t testing.TB) (p *practice, texts []string) {
	t.Helper()
	p = newPractice(t)
	var lines []string
	for i := range 200 {
		texts = append(texts, fmt.Sprintf("Canary-%03d-Zaphod", i))
		lines = append(lines, fmt.Sprintf(`{"resourceType":"Patient","id":"canary-%d","name":[{"family":"%s"}]}`, i, texts[i]))
	}
	p.pull(t, append(lines, "no JSON "+texts[0])...)
	if err := p.m.PutSecret("emr.secret", []byte(texts[1])); err != nil {
		t.Fatal(err)
	}
	if err := p.m.Journal(store.Event{Code: "x", Account: "doctor", Note: texts[2]}); err != nil {
		t.Fatal(err)
	}
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"slots/doctor-0001.age": "a slot", "holdings/ab/cd.age": "a dump", "attachments/ab/cd.age": "a letter",
		"runs.db": "runs", "index.db.tmp": "an index", "ballast": "zeros", "access.db": "accounts"} {
		name = filepath.Join(p.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p, texts
}

// wipe destroys the mirror of p; begun and gone count what was told.
func (p *practice) wipe(t testing.TB, begun, gone *int, keys ...string) (store.Wiped, error) {
	return store.Wipe(t.Context(), store.WipeOptions{Dir: p.dir, FS: p.fs, Keys: keys,
		Begun: func(store.Wiped) error { *begun++; return nil }, Gone: func(store.Wiped) error { *gone++; return nil }})
}

// TestWipe: after it nothing of the mirror is in the folder, no canary and no file of
// ciphertext; what is not the mirror's stays. Keys were overwritten before they went.
func TestWipe(t *testing.T) {
	p, texts := canaries(t)
	box := filepath.Join(t.TempDir(), "box.key")
	for name, text := range map[string]string{box: "the box key", filepath.Join(p.dir, "my letter.txt"): "of another program"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := everything(t, p.dir)
	spy := &destroyed{}
	p.fs = spy
	begun, gone := 0, 0
	w, err := p.wipe(t, &begun, &gone, box, box+".none")
	if err != nil || begun != 1 || gone != 1 {
		t.Fatalf("Wipe = %v; begun %d, gone %d", err, begun, gone)
	}
	files, size := 1, int64(len("the box key")) // the box key; neither the lock nor the letter
	for name, b := range before {
		if base := filepath.Base(name); base != "lock" && base != "my letter.txt" {
			files, size = files+1, size+int64(len(b))
		}
	}
	if w.Files != files || w.Bytes != size || w.Signed != 1 || len(w.Root) != 16 || w.Mirror != p.sheet.Mirror || !slices.Equal(w.Left, []string{"my letter.txt"}) {
		t.Errorf("Wiped = %+v, want %d files, %d bytes", w, files, size)
	}
	after := everything(t, p.dir)
	if len(after) != 1 {
		t.Errorf("%d files are left", len(after))
	}
	old := map[[32]byte]bool{}
	for _, b := range before {
		old[sha256.Sum256(b)] = true
	}
	for name, b := range after {
		if filepath.Base(name) != "my letter.txt" && old[sha256.Sum256(b)] {
			t.Errorf("%s is left", name)
		}
		for _, c := range texts {
			if bytes.Contains(b, []byte(c)) {
				t.Errorf("%s lies in %s", c, name)
			}
		}
	}
	if entries, err := os.ReadDir(p.dir); err != nil || len(entries) != 1 {
		t.Errorf("in the folder are %v, %v", entries, err)
	}
	if _, err := os.Stat(box); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the box key: %v", err)
	}
	spy.check(t, p.dir, box)
	if _, err := p.wipe(t, &begun, &gone); !errors.Is(err, store.ErrNoMirror) {
		t.Errorf("Wipe of nothing = %v, want ErrNoMirror", err)
	}
}

// A destroyed disk remembers the order in which files were overwritten and removed.
type destroyed struct {
	disk.OS
	did []string
}

// Overwrite implements disk.FS.
func (d *destroyed) Overwrite(name string) (disk.File, error) {
	d.did = append(d.did, "overwrite "+name)
	return d.OS.Overwrite(name)
}

// Remove implements disk.FS.
func (d *destroyed) Remove(name string) error {
	d.did = append(d.did, "remove "+name)
	return d.OS.Remove(name)
}

// check: each key is overwritten before it is removed, all of them before anything else
// goes, and the statement goes last of the files with content.
func (d *destroyed) check(t *testing.T, dir, box string) {
	t.Helper()
	place := func(what string) int { return slices.Index(d.did, what) }
	first := slices.IndexFunc(d.did, func(s string) bool { return strings.Contains(s, "parts") })
	for _, key := range []string{box, filepath.Join(dir, "secrets", "log.key"), filepath.Join(dir, "secrets", "mirror.key"),
		filepath.Join(dir, "slots", "doctor-0001.age")} {
		if over, gone := place("overwrite "+key), place("remove "+key); over < 0 || gone < over || first < gone {
			t.Errorf("%s: overwritten at %d, removed at %d, the first part at %d", key, over, gone, first)
		}
	}
	if last := place("remove " + filepath.Join(dir, "mirror", "000001.json")); last < len(d.did)-6 {
		t.Errorf("the statement went as number %d of %d", last, len(d.did))
	}
}

// TestWipeRefuses: a mirror that is open is not touched, nor one whose certificate cannot
// be begun.
func TestWipeRefuses(t *testing.T) {
	p := seed(t)
	p.open(t)
	begun, gone := 0, 0
	var busy *store.BusyError
	if _, err := p.wipe(t, &begun, &gone); !errors.As(err, &busy) || begun > 0 {
		t.Errorf("Wipe of an open mirror = %v", err)
	}
	p.pull(t, obs("x", 1, "")) // it goes on
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	before := everything(t, p.dir)
	_, err := store.Wipe(t.Context(), store.WipeOptions{Dir: p.dir, Begun: func(store.Wiped) error { return os.ErrPermission }})
	if !errors.Is(err, os.ErrPermission) || len(everything(t, p.dir)) != len(before) {
		t.Errorf("Wipe without a certificate = %v", err)
	}
	p.open(t)
	p.has(t, map[string]string{"x": obs("x", 1, "")})
}

// TestWipeBroken: it breaks off at each operation on the disk; called again it ends, and
// tells of the whole.
func TestWipeBroken(t *testing.T) {
	base, _ := canaries(t)
	probe := base.copyTo(t, disk.OS{})
	begun, gone := 0, 0
	whole, err := probe.wipe(t, &begun, &gone)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		fsys := storetest.New(n, storetest.PowerCut)
		p := base.copyTo(t, fsys)
		begun, gone := 0, 0
		_, err := p.wipe(t, &begun, &gone)
		if !fsys.Struck() {
			if err != nil || n < 40 {
				t.Fatalf("a disk that does not break, after %d operations: %v", n, err)
			}
			break
		}
		p.fs = disk.OS{}
		w, err := p.wipe(t, &begun, &gone)
		if err != nil && (!errors.Is(err, store.ErrNoMirror) || gone == 0) {
			t.Errorf("operation %d: Wipe again = %v", n, err)
		}
		if err == nil && (w.Files != whole.Files || w.Root != whole.Root) {
			t.Errorf("operation %d: Wiped = %+v, want %+v", n, w, whole)
		}
		if entries, err := os.ReadDir(p.dir); err != nil || len(entries) > 0 {
			t.Errorf("operation %d: in the folder are %v, %v", n, entries, err)
		}
	}
}
