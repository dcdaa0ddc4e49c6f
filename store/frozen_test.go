package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"chartcellar/store/disk"
	"chartcellar/store/keys"
	"chartcellar/store/verify"
)

// TestFrozenMirror is T18: the mirror of format 1 in testdata is opened, verified
// and continued by every later release. It is made once, with UPDATE=frozen, and
// never again.
func TestFrozenMirror(t *testing.T) {
	dir := filepath.Join("testdata", "format1")
	if os.Getenv("UPDATE") == "frozen" {
		freeze(t, dir)
	}
	p := frozen(t).copyTo(t, disk.OS{})
	p.open(t)
	for id, want := range map[string]string{"a": obs("a", 2, ""), "b": "deleted", "c": obs("c", 1, "")} {
		if got := p.latest(t, "Observation", id); got != want {
			t.Errorf("%s = %s, want %s", id, got, want)
		}
	}
	if r, err := verify.Run(t.Context(), p.m, verify.Options{Depth: verify.Full}); err != nil || !r.Good() {
		t.Errorf("verify = %+v, %v", r, err)
	}
	p.pull(t, obs("c", 2, ""), "not a resource")
	if got := p.latest(t, "Observation", "c"); got != obs("c", 2, "") {
		t.Errorf("continued: c = %s", got)
	}
	p.same(t)
}

// frozen is the mirror of format 1.
func frozen(t *testing.T) *practice {
	t.Helper()
	dir := filepath.Join("testdata", "format1")
	file, err := os.ReadFile(filepath.Join(dir, "box.key"))
	if err != nil {
		t.Fatal(err)
	}
	p := &practice{dir: filepath.Join(dir, "data"), fs: disk.OS{}}
	if p.box, err = keys.ParseBox(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "office.key"))
	if err != nil {
		t.Fatal(err)
	}
	if p.office, err = age.ParseX25519Identity(strings.TrimSpace(string(text))); err != nil {
		t.Fatal(err)
	}
	return p
}

func freeze(t *testing.T, dir string) {
	t.Helper()
	p := history(t)
	if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(p.dir)); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"box.key": p.box.Marshal(), "office.key": []byte(p.office.String() + "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
