package offsite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/keys"
	"chartcellar/store/offsite"
	"chartcellar/store/verify"
)

// A memory is a place in memory, with a dial for each way to go wrong.
type memory struct {
	mu    sync.Mutex
	files map[string][]byte
	puts  int
	// breaks, if set, is asked before each Put.
	breaks func(n int, name string) error
	weak   bool // it replaces and removes what it is told to
}

func newMemory() *memory { return &memory{files: map[string][]byte{}} }

func (p *memory) Put(_ context.Context, name string, size int64, body io.Reader) error {
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if int64(len(b)) != size {
		return io.ErrUnexpectedEOF
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.puts++
	if p.breaks != nil {
		if err := p.breaks(p.puts, name); err != nil {
			return err
		}
	}
	if _, there := p.files[name]; there {
		return offsite.ErrExists
	}
	p.files[name] = b
	return nil
}

func (p *memory) Get(_ context.Context, name string) (io.ReadCloser, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := p.files[name]
	if !ok {
		return nil, offsite.ErrNotThere
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (p *memory) List(_ context.Context, folder string, fn func(offsite.Info) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, b := range p.files {
		if strings.HasPrefix(name, folder) {
			if err := fn(offsite.Info{Name: name, Size: int64(len(b))}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *memory) Close() error { return nil }

func (p *memory) Overwrite(_ context.Context, name string, content []byte) error {
	if !p.weak {
		return offsite.ErrDenied
	}
	p.files[name] = content
	return nil
}

func (p *memory) Delete(_ context.Context, name string) error {
	if !p.weak {
		return offsite.ErrDenied
	}
	delete(p.files, name)
	return nil
}

// made makes an open mirror of some runs.
func made(t *testing.T, runs int) (*store.Mirror, store.NewMirror) {
	t.Helper()
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "mirror")
	n, err := store.Init(store.InitOptions{Dir: dir, Box: box})
	if err != nil {
		t.Fatal(err)
	}
	m, err := store.Open(t.Context(), store.Options{Dir: dir, Box: box, Ballast: -1, Reserve: 1, Identity: n.Office})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	for i := range runs {
		pull(t, m, i)
	}
	return m, n
}

// pull stores some records, and an attachment of its own file.
func pull(t *testing.T, m *store.Mirror, run int) {
	t.Helper()
	r, err := m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	lines.WriteString(`{"resourceType":"Patient","id":"p"}` + "\n")
	for i := range 30 {
		fmt.Fprintf(&lines, `{"resourceType":"Observation","id":"o%d","subject":{"reference":"Patient/p"},"n":%d}`+"\n", i, run)
	}
	if err := r.Add(t.Context(), store.Chunk{Lines: []byte(lines.String())}); err != nil {
		t.Fatal(err)
	}
	counts, err := r.Counts(t.Context())
	if err == nil {
		err = r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func copied(t *testing.T, m *store.Mirror, p offsite.Place) offsite.Result {
	t.Helper()
	r, err := offsite.Copy(t.Context(), m, p, offsite.Options{Place: "usb"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestCopy: the second copy is the mirror's files, byte for byte; the next one sends
// only what is new.
func TestCopy(t *testing.T) {
	m, _ := made(t, 3)
	p := newMemory()
	first := copied(t, m, p)
	if !first.Complete() || first.Copied != first.Files || first.Read != first.Files || first.Disk == "" {
		t.Fatalf("first copy: %+v", first)
	}
	list, err := m.Inventory()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		want, err := os.ReadFile(filepath.Join(m.Dir(), f.Name))
		if err != nil || !bytes.Equal(p.files[f.Name], want) {
			t.Errorf("%s at the place is not that of the mirror (%v)", f.Name, err)
		}
	}
	for name := range p.files {
		if strings.HasPrefix(name, "secrets") || strings.HasPrefix(name, "slots") || strings.HasPrefix(name, "journal") || strings.HasSuffix(name, ".db") {
			t.Errorf("%s left the office", name)
		}
	}
	pull(t, m, 7)
	again := copied(t, m, p)
	if !again.Complete() || again.Copied != again.Files-first.Files || again.Copied == 0 || again.Disk != first.Disk {
		t.Errorf("second copy: %+v; want only what is new", again)
	}
	if none := copied(t, m, p); none.Copied != 0 || !none.Complete() {
		t.Errorf("third copy: %+v; want nothing sent", none)
	}
}

// TestCopyBrokenOff: broken off at every file, a copy is never called complete, what is
// there can be read as a mirror, and the next copy ends it.
func TestCopyBrokenOff(t *testing.T) {
	m, _ := made(t, 3)
	away := errors.New("cable pulled")
	for at := 1; ; at++ {
		p := newMemory()
		p.breaks = func(n int, _ string) error {
			if n >= at {
				return away
			}
			return nil
		}
		r, err := offsite.Copy(t.Context(), m, p, offsite.Options{Place: "usb"})
		if err == nil {
			if at < 5 || !r.Complete() {
				t.Fatalf("ended at %d: %+v", at, r)
			}
			return
		}
		if !errors.Is(err, away) || r.Complete() {
			t.Fatalf("broken at %d: %v, complete %v", at, err, r.Complete())
		}
		checkCovered(t, p)
		p.breaks = nil
		if r := copied(t, m, p); !r.Complete() {
			t.Fatalf("after breaking at %d: %+v", at, r)
		}
	}
}

// checkCovered: where a checkpoint is there, so is everything that it names.
func checkCovered(t *testing.T, p *memory) {
	t.Helper()
	for name, b := range p.files {
		if !strings.HasPrefix(name, "checkpoints/") {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if _, file, ok := strings.Cut(strings.TrimSpace(line), "  "); ok && p.files[file] == nil {
				t.Errorf("%s is there and %s, which it names, is not", name, file)
			}
		}
	}
}

// TestCopyRefuses: what is not this mirror's, or knows more than it.
func TestCopyRefuses(t *testing.T) {
	m, _ := made(t, 1)
	other, _ := made(t, 2)
	p := newMemory()
	copied(t, other, p)
	before := len(p.files)
	if _, err := offsite.Copy(t.Context(), m, p, offsite.Options{}); !errors.Is(err, offsite.ErrForeign) {
		t.Errorf("another mirror's place: %v", err)
	}
	if _, err := offsite.Test(t.Context(), m, p); !errors.Is(err, offsite.ErrForeign) {
		t.Errorf("test of another mirror's place: %v", err)
	}
	p.files["parts/000000/000000000099.ndjson.zst.age"] = []byte("from a later day")
	if _, err := offsite.Copy(t.Context(), other, p, offsite.Options{}); !errors.Is(err, offsite.ErrAhead) {
		t.Errorf("a place that is newer: %v", err)
	}
	if len(p.files) != before+1 {
		t.Errorf("something was written: %d files, were %d", len(p.files), before+1)
	}
	forged := newMemory()
	copied(t, m, forged)
	forged.files["mirror/000001.json"] = bytes.Replace(forged.files["mirror/000001.json"], []byte(`"epoch`), []byte(`"Epoch`), 1)
	if _, err := offsite.Copy(t.Context(), m, forged, offsite.Options{}); !errors.Is(err, keys.ErrForged) {
		t.Errorf("a forged statement: %v", err)
	}
}

// TestDamage: what is damaged here is not copied, what is damaged there is found, and
// neither is called complete.
func TestDamage(t *testing.T) {
	m, _ := made(t, 3)
	part := "parts/000000/000000000002.ndjson.zst.age"
	p := newMemory()
	copied(t, m, p)

	flip := slices.Clone(p.files[part])
	flip[len(flip)/2] ^= 1
	p.files[part] = flip
	if r := copied(t, m, p); !r.Complete() {
		t.Errorf("a copy compares sizes only: %+v", r)
	}
	check := func(days []int) offsite.Result {
		r, err := offsite.Check(t.Context(), m, p, offsite.Options{Slices: days})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := check(nil); len(r.Wrong) != 1 || r.Wrong[0].File != part || r.Wrong[0].Here {
		t.Errorf("full check: %+v", r.Wrong)
	}
	if r := check([]int{2}); len(r.Wrong) != 1 {
		t.Errorf("check of its thirtieth: %+v", r.Wrong)
	}
	if r := check([]int{5}); len(r.Wrong) != 0 || !strings.Contains(r.NotChecked, "29 of 30") {
		t.Errorf("check of another thirtieth: %+v", r)
	}
	p.files[part] = flip[1:]
	if r := copied(t, m, p); r.Complete() || len(r.Wrong) != 1 {
		t.Errorf("another size: %+v", r.Wrong)
	}
	delete(p.files, part)
	if r := check([]int{5}); r.Complete() || len(r.Wrong) != 1 || r.Wrong[0].What != "missing" {
		t.Errorf("missing: %+v", r.Wrong)
	}

	name := filepath.Join(m.Dir(), part)
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, flip, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := copied(t, m, p); r.Complete() || len(r.Wrong) != 1 || !r.Wrong[0].Here || p.files[part] != nil {
		t.Errorf("damaged in the mirror: %+v, copied %v", r.Wrong, p.files[part] != nil)
	}
	if err := os.WriteFile(name, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := copied(t, m, p); !r.Complete() || r.Copied != 1 {
		t.Errorf("once mended: %+v", r)
	}
}

// TestWeakPlace: the test tells what could be done to the copy.
func TestWeakPlace(t *testing.T) {
	m, _ := made(t, 1)
	strong := newMemory()
	if got, err := offsite.Test(t.Context(), m, strong); err != nil || got.Weak() {
		t.Errorf("a place that keeps everything: %+v, %v", got, err)
	}
	weak := newMemory()
	weak.weak = true
	if got, err := offsite.Test(t.Context(), m, weak); err != nil || !got.Overwrites || !got.Deletes {
		t.Errorf("a place that does what it is told: %+v, %v", got, err)
	}
}

// TestRestore: an empty folder and the sheet bring the mirror back; broken off at any
// file it goes on; wrong bytes are not kept.
func TestRestore(t *testing.T) {
	m, n := made(t, 3)
	p := newMemory()
	copied(t, m, p)
	dir := filepath.Join(t.TempDir(), "restored")
	for broken := 0; ; broken++ {
		ctx, stop := context.WithCancel(t.Context())
		_, err := offsite.Restore(ctx, p, offsite.RestoreOptions{Dir: dir, Events: func(done, _ int, _ int64) {
			if done == broken+1 {
				stop()
			}
		}})
		stop()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) || broken > 100 {
			t.Fatalf("broken off after %d: %v", broken, err)
		}
	}
	r, err := offsite.Restore(t.Context(), p, offsite.RestoreOptions{Dir: dir})
	if err != nil || len(r.Wrong) != 0 || r.Before != r.Files || r.Mirror != m.ID() {
		t.Fatalf("restore = %+v, %v", r, err)
	}
	back, err := store.Look(t.Context(), store.Options{Dir: dir, Identity: n.Sheet.Recovery})
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if res, err := verify.Run(t.Context(), back, verify.Options{Depth: verify.Full}); err != nil || !res.Good() {
		t.Errorf("full verify of what came back: %+v, %v", res.Damage, err)
	}
	_, want, err := m.Tree()
	if err != nil {
		t.Fatal(err)
	}
	if _, root, err := back.Tree(); err != nil || root != want {
		t.Errorf("root = %x, %v; want %x", root, err, want)
	}

	part := "parts/000000/000000000003.ndjson.zst.age"
	p.files[part] = slices.Clone(p.files[part])
	p.files[part][100] ^= 4
	dir = filepath.Join(t.TempDir(), "again")
	r, err = offsite.Restore(t.Context(), p, offsite.RestoreOptions{Dir: dir})
	if err != nil || len(r.Wrong) != 1 || r.Wrong[0].File != part {
		t.Errorf("with one wrong byte: %+v, %v", r.Wrong, err)
	}
	if _, err := os.Stat(filepath.Join(dir, part)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the wrong file was kept: %v", err)
	}
	if _, err := offsite.Restore(t.Context(), newMemory(), offsite.RestoreOptions{Dir: dir}); !errors.Is(err, offsite.ErrNotThere) {
		t.Errorf("from an empty place: %v", err)
	}
}

// TestDrill: a good copy passes; one flipped byte, a missing file and another mirror's
// copy do not.
func TestDrill(t *testing.T) {
	m, n := made(t, 3)
	p := newMemory()
	copied(t, m, p)
	pull(t, m, 9) // later than the copy
	drill := func() (offsite.Drilled, error) {
		return offsite.Drill(t.Context(), m, p, offsite.DrillOptions{Dir: filepath.Join(t.TempDir(), "scratch"), Identity: n.Sheet.Recovery})
	}
	d, err := drill()
	if err != nil || !d.Passed() || d.Patients != 1 || d.Compared != 31 || !d.SameRoot {
		t.Fatalf("drill = %+v, %v", d, err)
	}
	part := "parts/000000/000000000002.ndjson.zst.age"
	good := p.files[part]
	p.files[part] = slices.Clone(good)
	p.files[part][len(good)-3] ^= 8
	if d, err := drill(); err != nil || d.Passed() || len(d.Wrong) != 1 {
		t.Errorf("one flipped byte: %+v, %v", d, err)
	}
	delete(p.files, part)
	if d, err := drill(); err != nil || d.Passed() || len(d.Damage) == 0 {
		t.Errorf("a missing part: %+v, %v", d, err)
	}
	p.files[part] = good
	other, _ := made(t, 2)
	p = newMemory()
	copied(t, other, p)
	if _, err := drill(); !errors.Is(err, store.ErrLocked) {
		t.Errorf("another mirror's copy: %v, want ErrLocked", err)
	}
}

// TestEpochs: a new computer takes over from the copy and goes on beside what the old
// one wrote; the old one is kept out, what it wrote behind the fork does not count, and
// the whole is looked at as one mirror.
func TestEpochs(t *testing.T) {
	old, n := made(t, 3)
	root := t.TempDir()
	p := offsite.OpenFolder(root, nil)
	copied(t, old, p)
	pull(t, old, 7) // no copy has it

	dir := filepath.Join(t.TempDir(), "taken")
	if _, err := offsite.Restore(t.Context(), p, offsite.RestoreOptions{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	made, err := store.Adopt(t.Context(), store.AdoptOptions{Dir: dir, Box: box, Recovery: n.Sheet.Recovery, First: old.FirstHash(),
		Passwords: map[string]string{"doctor": "four words are enough"}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := store.Open(t.Context(), store.Options{Dir: dir, Box: box, Ballast: -1, Reserve: 1, Identity: made.Office})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	pull(t, m, 8)
	if r := copied(t, m, p); !r.Complete() || r.There-r.Copied < 5 {
		t.Fatalf("the new computer's copy: %+v; want what is there to stay", r)
	}
	if _, err := offsite.Copy(t.Context(), old, p, offsite.Options{}); !errors.Is(err, offsite.ErrFenced) {
		t.Errorf("the old computer's copy: %v, want ErrFenced", err)
	}
	if _, err := offsite.Test(t.Context(), old, p); !errors.Is(err, offsite.ErrFenced) {
		t.Errorf("the old computer's test: %v, want ErrFenced", err)
	}

	// What the old one would have written before it looked.
	for _, folder := range []string{"parts/000000", "checkpoints"} {
		files, err := os.ReadDir(filepath.Join(old.Dir(), folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(filepath.Join(old.Dir(), folder, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(root, folder, f.Name())); err == nil {
				continue
			}
			if err := os.WriteFile(filepath.Join(root, folder, f.Name()), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if r, err := offsite.Check(t.Context(), m, p, offsite.Options{}); err != nil || len(r.Wrong) > 0 {
		t.Errorf("check with strangers behind the fork: %+v, %v", r.Wrong, err)
	}
	_, want, err := m.Tree()
	if err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]string{"the copy as it lies": root, "restored": restoredFrom(t, p), "a plain copy of the new folder": plain(t, dir)} {
		fsys, err := offsite.View(t.Context(), at, nil)
		if err != nil {
			t.Fatal(name, err)
		}
		back, err := store.Look(t.Context(), store.Options{Dir: at, FS: fsys, Identity: n.Sheet.Recovery})
		if err != nil {
			t.Fatal(name, err)
		}
		if res, err := verify.Run(t.Context(), back, verify.Options{Depth: verify.Full}); err != nil || !res.Good() {
			t.Errorf("%s: full verify: %+v, %v", name, res.Damage, err)
		}
		if _, root, err := back.Tree(); err != nil || root != want {
			t.Errorf("%s: root = %x, %v; want %x", name, root, err, want)
		}
		back.Close()
	}

	// A place that the old computer never had is written whole by the new one.
	fresh := newMemory()
	if r := copied(t, m, fresh); !r.Complete() || fresh.files["e0002/mirror/000001.json"] == nil {
		t.Errorf("a fresh place: %+v", r)
	}
	if _, err := offsite.Restore(t.Context(), fresh, offsite.RestoreOptions{Dir: filepath.Join(t.TempDir(), "x")}); err != nil {
		t.Errorf("restored from a fresh place: %v", err)
	}
}

func restoredFrom(t *testing.T, p offsite.Place) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	if r, err := offsite.Restore(t.Context(), p, offsite.RestoreOptions{Dir: dir}); err != nil || len(r.Wrong) > 0 {
		t.Fatalf("restore: %+v, %v", r, err)
	}
	return dir
}

// plain copies the folders of a mirror that a copy has.
func plain(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	for _, folder := range []string{"mirror", "parts", "checkpoints"} {
		if err := os.CopyFS(filepath.Join(to, folder), os.DirFS(filepath.Join(dir, folder))); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// TestRivals: of two computers that took over from one copy, the second one that writes
// is refused.
func TestRivals(t *testing.T) {
	old, n := made(t, 2)
	p := newMemory()
	copied(t, old, p)
	taken := func() *store.Mirror {
		dir := restoredFrom(t, p)
		box, err := keys.NewBox()
		if err != nil {
			t.Fatal(err)
		}
		a, err := store.Adopt(t.Context(), store.AdoptOptions{Dir: dir, Box: box, Recovery: n.Sheet.Recovery, First: old.FirstHash(),
			Passwords: map[string]string{"doctor": "four words are enough"}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := store.Open(t.Context(), store.Options{Dir: dir, Box: box, Ballast: -1, Reserve: 1, Identity: a.Office})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return m
	}
	one, other := taken(), taken()
	if r := copied(t, one, p); !r.Complete() {
		t.Fatalf("the first: %+v", r)
	}
	before := len(p.files)
	if _, err := offsite.Copy(t.Context(), other, p, offsite.Options{}); !errors.Is(err, offsite.ErrRival) {
		t.Errorf("the second: %v, want ErrRival", err)
	}
	if len(p.files) != before {
		t.Errorf("%d files were written", len(p.files)-before)
	}
	if r := copied(t, one, p); !r.Complete() {
		t.Errorf("the first goes on: %+v", r)
	}
}
