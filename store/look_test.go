package store_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/keys"
	"chartcellar/store/storetest"
	"chartcellar/store/verify"
)

// copied copies what a second copy has of a mirror, and nothing else.
func (p *practice) copied(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range []string{"mirror", "parts", "attachments", "holdings", "checkpoints", "settings"} {
		if err := os.CopyFS(filepath.Join(dir, f), os.DirFS(filepath.Join(p.dir, f))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// state is everything that can be told of a folder: names, modes, times, contents.
func state(t testing.TB, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		sum := [32]byte{}
		if !d.IsDir() {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			sum = sha256.Sum256(b)
		}
		list = append(list, fmt.Sprintf("%s %s %s %x", name, info.Mode(), info.ModTime(), sum))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// guarded makes a folder read-only, as far as that means something for this user.
func guarded(t testing.TB, dir string) {
	t.Helper()
	walk := func(file, folder fs.FileMode) {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				return os.Chmod(name, folder)
			}
			return errors.Join(err, os.Chmod(name, file))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	walk(0o400, 0o500)
	t.Cleanup(func() { walk(0o600, 0o700) })
}

// look opens a folder only to look at it, and checks at the end that nothing in it
// changed, nothing was attempted, and nothing is left elsewhere.
func look(t testing.TB, dir string, id age.Identity) *practice {
	t.Helper()
	before, still, scratch := state(t, dir), &storetest.Still{}, t.TempDir()
	m, err := store.Look(t.Context(), store.Options{Dir: dir, FS: still, Identity: id, Scratch: scratch})
	if err != nil {
		t.Fatalf("Look = %v", err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		if tried := still.Tried(); len(tried) > 0 {
			t.Errorf("writing was tried: %q", tried)
		}
		if after := state(t, dir); !slices.Equal(before, after) {
			t.Errorf("the folder changed:\n%s\nwas\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
		}
		if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
			t.Errorf("%v is left in the folder for the index, %v", left, err)
		}
	})
	return &practice{dir: dir, m: m}
}

func (p *practice) says(t testing.TB, want ...string) {
	t.Helper()
	got := p.m.Problems()
	ok := len(got) == len(want)
	for i := range want {
		ok = ok && strings.Contains(got[i], want[i])
	}
	if !ok {
		t.Errorf("Problems = %q, want %q", got, want)
	}
}

func (p *practice) has(t testing.TB, want map[string]string) {
	t.Helper()
	for id, w := range want {
		if got := p.latest(t, "Observation", id); got != w {
			t.Errorf("%s = %s, want %s", id, got, w)
		}
	}
}

// TestLook: a plain copy on a disk that cannot be written opens with the sheet alone
// and shows what the mirror shows; it can be verified, and nothing changes it.
func TestLook(t *testing.T) {
	base := history(t)
	dir := base.copied(t)
	guarded(t, dir)
	p := look(t, dir, base.sheet.Recovery)
	p.says(t)
	p.has(t, map[string]string{"a": obs("a", 2, ""), "b": "deleted", "c": obs("c", 1, "")})
	if r, err := verify.Run(t.Context(), p.m, verify.Options{Depth: verify.Full}); err != nil || !r.Good() {
		t.Errorf("verify = %+v, %v", r, err)
	}
	if n, err := p.m.Checkpoints(); n != 3 || err != nil {
		t.Errorf("Checkpoints = %d, %v", n, err)
	}
	runs, err := p.m.Runs()
	if err != nil || len(runs) != 3 || runs[0].Ended.IsZero() {
		t.Errorf("Runs = %+v, %v", runs, err)
	}
	_, begin := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	for what, err := range map[string]error{"Begin": begin, "PutSecret": p.m.PutSecret("x", nil), "AddSlot": p.m.AddSlot("x", "a row of words"),
		"SetJob": p.m.SetJob("emr", nil), "RebuildIndex": p.m.RebuildIndex(t.Context()), "CheckSpace": p.m.CheckSpace(),
		"Decide":    p.m.Decide(t.Context(), index.Decision{Run: 1, Type: "Observation"}),
		"DropWants": p.m.DropWants(nil)} {
		if !errors.Is(err, store.ErrReadOnly) && what != "Decide" || err == nil {
			t.Errorf("%s = %v", what, err)
		}
	}
	if err := p.m.Journal(store.Event{Code: "record.view", Account: "x"}); err != nil {
		t.Errorf("Journal = %v", err)
	}
	if b, err := p.m.Secret("x"); b != nil || err != nil {
		t.Errorf("Secret = %q, %v", b, err)
	}
	if s, err := p.m.Slots(); len(s) != 0 || err != nil {
		t.Errorf("Slots = %v, %v", s, err)
	}
}

// TestLookRefuses: what is no mirror, or not this one.
func TestLookRefuses(t *testing.T) {
	base := history(t)
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		spoil func(dir string) error
		id    age.Identity
		want  error
	}{
		{"no mirror", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "mirror")) }, base.office, store.ErrNoMirror},
		{"no key", func(string) error { return nil }, nil, store.ErrLocked},
		{"a key of another mirror", func(string) error { return nil }, other, store.ErrLocked},
		{"a statement that was written to", func(dir string) error {
			name := filepath.Join(dir, "mirror", "000001.json")
			b, err := os.ReadFile(name)
			return errors.Join(err, os.WriteFile(name, []byte(strings.Replace(string(b), `"epoch":1`, `"epoch":2`, 1)), 0o600))
		}, base.office, keys.ErrForged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, scratch := base.copied(t), t.TempDir()
			if err := tt.spoil(dir); err != nil {
				t.Fatal(err)
			}
			before := state(t, dir)
			_, err := store.Look(t.Context(), store.Options{Dir: dir, Identity: tt.id, Scratch: scratch})
			if !errors.Is(err, tt.want) {
				t.Errorf("Look = %v, want %v", err, tt.want)
			}
			if after := state(t, dir); !slices.Equal(before, after) {
				t.Error("the folder changed")
			}
		})
	}
}

// TestLookAtDamage: what is missing or damaged is told, and the rest is shown.
func TestLookAtDamage(t *testing.T) {
	base := history(t)
	// Each run has two parts: its records, and its end.
	part := func(n int) string { return fmt.Sprintf("parts/000000/%012d.ndjson.zst.age", n) }
	remove := func(name string) func(string) error {
		return func(dir string) error { return os.RemoveAll(filepath.Join(dir, filepath.FromSlash(name))) }
	}
	write := func(name string, change func([]byte) []byte) func(string) error {
		return func(dir string) error {
			name := filepath.Join(dir, filepath.FromSlash(name))
			b, err := os.ReadFile(name)
			return errors.Join(err, os.WriteFile(name, change(b), 0o600))
		}
	}
	cut := func(b []byte) []byte { return b[:len(b)-10] }
	one := map[string]string{"a": obs("a", 1, ""), "b": obs("b", 1, ""), "c": obs("c", 1, "")}
	all := map[string]string{"a": obs("a", 2, ""), "b": "deleted", "c": obs("c", 1, "")}
	for _, tt := range []struct {
		name  string
		spoil func(dir string) error
		says  []string
		want  map[string]string
	}{
		{"a part in the middle is gone", remove(part(3)), []string{"Part 3 of the archive is missing"}, one},
		{"a part in the middle is cut", write(part(3), cut), []string{"Part 3 of the archive cannot be read"}, one},
		{"the first part is gone", remove(part(1)), []string{"Part 1 of the archive is missing"}, map[string]string{"a": obs("a", 2, ""), "c": obs("c", 1, "")}},
		{"the last records are gone", remove(part(5)), []string{"Part 5 of the archive is missing"}, map[string]string{"a": obs("a", 2, ""), "c": "none"}},
		{"the end of the last run is gone", remove(part(6)), []string{"Part 6 of the archive is missing"}, all},
		{"the end of the last run is cut", write(part(6), cut), []string{"Part 6 of the archive cannot be read"}, all},
		{"the end of the first run is gone", remove(part(2)), []string{"Part 2 of the archive is missing"}, all},
		{"all parts are gone", remove("parts"), []string{"The folder parts is missing", "Part 1 of the archive is missing", "Part 2", "Part 3", "Part 4", "Part 5", "Part 6"}, map[string]string{"a": "none"}},
		{"no checkpoint", remove("checkpoints"), []string{"The signed checkpoints are missing"}, all},
		{"a checkpoint is cut", write("checkpoints/000000000002", cut), []string{"Checkpoint 2 cannot be used"}, all},
		{"a checkpoint is gone", remove("checkpoints/000000000001"), []string{"Checkpoint 1 is missing"}, all},
		{"the last checkpoint is gone", remove("checkpoints/000000000003"), []string{"2 parts of the archive are in no signed checkpoint"}, all},
		{"a part is exchanged for an older one", func(dir string) error {
			b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(part(1))))
			return errors.Join(err, os.WriteFile(filepath.Join(dir, filepath.FromSlash(part(3))), b, 0o600))
		}, []string{"Part 3 of the archive cannot be read"}, one},
		{"a statement that nobody signed", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "mirror", "000002.json"), []byte("{}"), 0o600)
		}, []string{"mirror/000002.json is not good"}, all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := base.copied(t)
			if err := tt.spoil(dir); err != nil {
				t.Fatal(err)
			}
			p := look(t, dir, base.sheet.Recovery)
			p.says(t, tt.says...)
			p.has(t, tt.want)
		})
	}
}

// TestLookAtDamagedFrame: a part with a damaged frame gives its other frames.
func TestLookAtDamagedFrame(t *testing.T) {
	base := newPractice(t)
	big := strings.Repeat("x", 200_000)
	noise := make([]string, 0, 8)
	for i := range 8 {
		sum, text := sha256.Sum256([]byte{byte(i)}), strings.Builder{}
		for text.Len() < len(big) {
			fmt.Fprintf(&text, "%x", sum)
			sum = sha256.Sum256(sum[:])
		}
		noise = append(noise, obs(fmt.Sprintf("n%d", i), 1, `,"note":"`+text.String()+`"`))
	}
	base.pull(t, noise...)
	dir := base.copied(t)
	name := filepath.Join(dir, "parts", "000000", "000000000001.ndjson.zst.age")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	p := look(t, dir, base.office)
	p.says(t, "Part 1 of the archive is damaged")
	here := 0
	for i := range 8 {
		switch got := p.latest(t, "Observation", fmt.Sprintf("n%d", i)); got {
		case noise[i]:
			here++
		case "none":
		default:
			t.Errorf("n%d is another record", i)
		}
	}
	if here == 0 || here == 8 {
		t.Errorf("%d of 8 records can be read", here)
	}
}

// TestLookBeside: a mirror is looked at while another process writes it; a run that
// has not ended is not shown, and the writer goes on undisturbed.
func TestLookBeside(t *testing.T) {
	p := newPractice(t)
	p.pull(t, obs("a", 1, ""))
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	add(t, r, obs("a", 2, ""))
	add(t, r, obs("b", 1, ""))
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	add(t, r, obs("c", 1, ""))
	t.Run("during a run", func(t *testing.T) {
		seen := look(t, p.dir, p.office)
		seen.says(t)
		seen.has(t, map[string]string{"a": obs("a", 1, ""), "b": "none"})
		if n := seen.m.Unfinished(); n != 1 {
			t.Errorf("Unfinished = %d", n)
		}
	})
	counts, err := r.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts}); err != nil {
		t.Fatal(err)
	}
	seen := look(t, p.dir, p.office)
	seen.says(t)
	seen.has(t, map[string]string{"a": obs("a", 2, ""), "b": obs("b", 1, ""), "c": obs("c", 1, "")})
	if n := seen.m.Unfinished(); n != 0 {
		t.Errorf("Unfinished = %d", n)
	}
}

// TestLookFirstRun: a first run that has not ended is all there is, and is shown.
func TestLookFirstRun(t *testing.T) {
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
	look(t, p.dir, p.office).has(t, map[string]string{"a": obs("a", 1, "")})
}

// TestLookLeavesNoTrace: the index of a folder that is only looked at says nothing of
// a record, and its files have no name once they are open.
func TestLookLeavesNoTrace(t *testing.T) {
	const canary = "canary-4711"
	p := newPractice(t)
	p.pull(t, `{"resourceType":"Patient","id":"`+canary+`","name":[{"family":"`+canary+`"}]}`, obs(canary, 1, ""))
	dir, scratch := p.copied(t), t.TempDir()
	m, err := store.Look(t.Context(), store.Options{Dir: dir, Identity: p.sheet.Recovery, Scratch: scratch})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if runtime.GOOS == "windows" {
		t.Skip("an open file cannot lose its name here")
	}
	err = filepath.WalkDir(scratch, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("%s has a name", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(fds) == 0 {
		t.Skip("this system does not show open files")
	}
	read := 0
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err != nil || !strings.HasPrefix(to, scratch) {
			continue
		}
		b, err := os.ReadFile(fd)
		if err != nil {
			t.Fatal(err)
		}
		read += len(b)
		if strings.Contains(string(b), canary) {
			t.Error("the index holds a name in clear")
		}
	}
	if read == 0 {
		t.Error("no index was found")
	}
}
