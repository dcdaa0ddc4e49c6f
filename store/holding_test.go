package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/verify"
)

// dump is a file of a holding that has a file of its own in the mirror.
var dump = bytes.Repeat([]byte("INSERT INTO ledger; "), store.SmallAttachment/20+100)

// dumps are the files that keepWork keeps: a large one, a small one, and the large one
// again under another name.
var dumps = []struct {
	path    string
	content []byte
}{
	{"night-1.sql", dump},
	{"export/README", []byte("one CSV for each table")},
	{"night-2.sql", dump},
}

func good(store.Content) error { return nil }

// keep keeps one file in a run.
func keep(ctx context.Context, r *store.Run, path string, content []byte) error {
	_, err := r.Keep(ctx, store.KeptFile{Holding: "billing", Path: path, Source: "/srv/dumps", Size: int64(len(content)),
		Covers: []string{"billing", "schedule"}, Modified: time.Date(2026, 10, 3, 4, 5, 6, 7, time.Local)},
		bytes.NewReader(content), good)
	return err
}

// keepWork opens a mirror and keeps what is not kept yet; kept says what was
// acknowledged.
func (p *practice) keepWork(ctx context.Context) (kept int, err error) {
	m, err := store.Open(ctx, p.options())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	r, err := m.Begin(ctx, store.RunSpec{Kind: store.KindHolding})
	if err != nil {
		return 0, err
	}
	defer r.Abort()
	have, err := m.KeptFiles("billing")
	if err != nil {
		return 0, err
	}
	for i, d := range dumps {
		if !slices.ContainsFunc(have, func(f store.KeptFile) bool { return f.Path == d.path }) {
			if err := keep(ctx, r, d.path, d.content); err != nil {
				return kept, err
			}
		}
		if err := r.Flush(ctx); err != nil {
			return kept, err
		}
		kept = i + 1
	}
	return kept, r.Close(ctx, store.Closing{States: index.RunStates{All: index.Applied}, Verdict: "complete"})
}

// holds checks the first n dumps, byte for byte, and that nothing else is there.
func (p *practice) holds(t testing.TB, n int, what string) {
	t.Helper()
	have, err := p.m.KeptFiles("")
	if err != nil {
		t.Fatalf("%s: KeptFiles = %v", what, err)
	}
	for i, d := range dumps {
		at := slices.IndexFunc(have, func(f store.KeptFile) bool { return f.Path == d.path })
		if at < 0 {
			if i < n {
				t.Errorf("%s: the acknowledged file %s is gone", what, d.path)
			}
			continue
		}
		if got, err := p.readKept(have[at]); err != nil || !bytes.Equal(got, d.content) {
			t.Errorf("%s: %s has %d bytes of %d, %v", what, d.path, len(got), len(d.content), err)
		}
	}
	paths := map[string]bool{}
	for _, f := range have {
		if paths[f.Path] {
			t.Errorf("%s: %s is kept twice", what, f.Path)
		}
		paths[f.Path] = true
	}
}

func (p *practice) readKept(f store.KeptFile) ([]byte, error) {
	c, err := p.m.OpenKept(f)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size))
	return b, errors.Join(err, c.Close())
}

// keepHealed opens the mirror on a good disk: what was acknowledged is there; then
// the work is done again.
func (p *practice) keepHealed(t testing.TB, kept int, what string) {
	t.Helper()
	p.fs = disk.OS{}
	p.open(t)
	p.holds(t, kept, what)
	temps, err := filepath.Glob(filepath.Join(p.dir, "holdings", "*"+disk.TempSuffix))
	if err != nil || len(temps) > 0 {
		t.Errorf("%s: temporary files stay: %v, %v", what, temps, err)
	}
	if err := p.m.Close(); err != nil {
		t.Fatalf("%s: Close = %v", what, err)
	}
	if _, err := p.keepWork(t.Context()); err != nil {
		t.Fatalf("%s: the next run = %v", what, err)
	}
	p.open(t)
	p.holds(t, len(dumps), what)
	p.same(t)
	if files, err := filepath.Glob(filepath.Join(p.dir, "holdings", "*", "*.age")); err != nil || len(files) != 1 {
		t.Errorf("%s: equal contents have %d files, %v", what, len(files), err)
	}
	res, err := verify.Run(t.Context(), p.m, verify.Options{Depth: verify.Full})
	if err != nil || !res.Good() {
		t.Errorf("%s: verify = %+v, %v", what, res.Damage, err)
	}
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBreakingDiskHoldings is T2 and C5 for holdings: the n-th operation fails, also
// if it happened, or the disk is full.
func TestBreakingDiskHoldings(t *testing.T) {
	breaks(t, 6, (*practice).keepWork, (*practice).keepHealed)
}

// TestLostWritesHoldings is T3 for holdings: the power goes at any operation, and any
// part of what was not synced is lost.
func TestLostWritesHoldings(t *testing.T) {
	cuts(t, *loops, 9, (*practice).keepWork, (*practice).keepHealed)
}

// kept makes a closed mirror with the dumps.
func kept(t *testing.T) *practice {
	t.Helper()
	p := seed(t)
	if _, err := p.keepWork(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestKeptFromTheArchiveAlone: the list and the contents come back from a mirror
// without its index, and from a copy that is only looked at; the size counts for the
// forecast of the disk, and a checkpoint names the file.
func TestKeptFromTheArchiveAlone(t *testing.T) {
	p := kept(t)
	p.open(t)
	before, err := p.m.KeptFiles("billing")
	if err != nil || len(before) != len(dumps) {
		t.Fatalf("%d files, %v", len(before), err)
	}
	sizes := int64(0)
	for _, s := range p.m.PartSizes() {
		sizes += s.Bytes
	}
	if sizes < int64(len(dump)) {
		t.Errorf("the parts have %d bytes, the dump alone %d", sizes, len(dump))
	}
	n, err := p.m.Checkpoints()
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.m.ReadCheckpoint(n)
	if err != nil {
		t.Fatal(err)
	}
	signed := false
	for name := range c.Files {
		signed = signed || strings.HasPrefix(name, "holdings/")
	}
	if !signed {
		t.Errorf("checkpoint %d names no file of a holding", n)
	}
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	same := func(m *practice, how string) {
		t.Helper()
		after, err := m.m.KeptFiles("billing")
		if err != nil || !slices.EqualFunc(before, after, func(a, b store.KeptFile) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
			t.Errorf("%s: %v, %v\nwant %v", how, after, err, before)
		}
		m.holds(t, len(dumps), how)
	}
	looked := look(t, p.copied(t), p.office)
	looked.says(t)
	same(looked, "a copy that is looked at")
	if _, err := looked.m.Begin(t.Context(), store.RunSpec{Kind: store.KindHolding}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("Begin = %v", err)
	}
	if err := os.Remove(filepath.Join(p.dir, "index.db")); err != nil {
		t.Fatal(err)
	}
	p.open(t)
	same(p, "without the index")
}

// TestKeptDamage: one byte of a kept file is altered; every depth that reads it says
// which file it is, and a read gives no wrong byte. One that is missing or cut is
// found at once.
func TestKeptDamage(t *testing.T) {
	base := kept(t)
	for _, tt := range []struct {
		name   string
		damage func(string) error
		depths []verify.Depth
	}{
		{"a byte altered", flipMiddle, []verify.Depth{verify.Rolling, verify.Full}},
		{"cut", func(f string) error { return os.Truncate(f, 1000) }, []verify.Depth{verify.Quick, verify.Rolling, verify.Full}},
		{"missing", os.Remove, []verify.Depth{verify.Quick, verify.Rolling, verify.Full}},
	} {
		p := base.copyTo(t, disk.OS{})
		files := p.files(t, "holdings")
		if len(files) != 1 {
			t.Fatalf("files of holdings: %v", files)
		}
		if err := tt.damage(files[0]); err != nil {
			t.Fatal(err)
		}
		p.open(t)
		var days []int
		for d := range 30 {
			days = append(days, d)
		}
		for _, depth := range tt.depths {
			r, err := verify.Run(t.Context(), p.m, verify.Options{Depth: depth, Days: days})
			name := strings.TrimSuffix(filepath.Base(files[0]), ".age")
			if err != nil || !slices.ContainsFunc(r.Damage, func(d verify.Damage) bool { return strings.Contains(d.File+d.What, name) }) {
				t.Errorf("%s, depth %s: %+v, %v", tt.name, depth, r.Damage, err)
			}
		}
		list, err := p.m.KeptFiles("billing")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if b, err := p.readKept(f); err == nil && sum(b) != f.SHA256 {
				t.Errorf("%s: wrong bytes of %s were returned", tt.name, f.Path)
			} else if err == nil && f.Size > store.SmallAttachment {
				t.Errorf("%s: %s could be read", tt.name, f.Path)
			}
		}
	}
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func flipMiddle(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	b[len(b)/2] ^= 1
	return os.WriteFile(name, b, 0o600)
}

// TestKeepGivesUp: a file that the check refuses, and one for which there is no room,
// leave nothing behind, and the run goes on.
func TestKeepGivesUp(t *testing.T) {
	p := seed(t)
	p.open(t)
	r, err := p.m.Begin(t.Context(), store.RunSpec{Kind: store.KindHolding})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	changed := errors.New("changed")
	for _, content := range [][]byte{dump, []byte("small")} {
		_, err = r.Keep(t.Context(), store.KeptFile{Holding: "billing", Path: "a"}, bytes.NewReader(content), func(store.Content) error { return changed })
		if !errors.Is(err, changed) {
			t.Errorf("Keep = %v, want what the check said", err)
		}
	}
	read := &endless{left: 1 << 30}
	_, err = r.Keep(t.Context(), store.KeptFile{Holding: "billing", Path: "b", Size: 1 << 60}, read, good)
	if !errors.Is(err, store.ErrFull) || read.n != 0 {
		t.Errorf("a file without room: %v, after %d bytes", err, read.n)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err = r.Keep(ctx, store.KeptFile{Holding: "billing", Path: "c"}, bytes.NewReader(dump), good); !errors.Is(err, context.Canceled) {
		t.Errorf("a file that nobody waits for: %v", err)
	}
	if err := keep(t.Context(), r, dumps[0].path, dump); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}}); err != nil {
		t.Fatal(err)
	}
	p.holds(t, 1, "afterwards")
	if files := p.files(t, "holdings"); len(files) != 1 || strings.HasSuffix(files[0], disk.TempSuffix) {
		t.Errorf("files of holdings: %v", files)
	}
	p.same(t)
}

// TestKeptWhileLocked: files are kept and listed without any key; only reading needs
// one.
func TestKeptWhileLocked(t *testing.T) {
	p := seed(t)
	p.locked = true
	if _, err := p.keepWork(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.open(t)
	list, err := p.m.KeptFiles("billing")
	if err != nil || len(list) != len(dumps) {
		t.Fatalf("%d files, %v", len(list), err)
	}
	for _, f := range list {
		if _, err := p.m.OpenKept(f); !errors.Is(err, store.ErrLocked) {
			t.Errorf("OpenKept of %s = %v", f.Path, err)
		}
	}
}

// TestKeptNamesAreSealed is T11 for holdings: no name and no content of a file is in
// clear anywhere in the mirror, also not while it is open.
func TestKeptNamesAreSealed(t *testing.T) {
	p := seed(t)
	p.open(t)
	r, err := p.m.Begin(t.Context(), store.RunSpec{Kind: store.KindHolding})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	for path, content := range map[string][]byte{"Canary-Zyxwold.pdf": []byte("small Canary-Zyxwold"), "b": bytes.Repeat([]byte("Canary-Zyxwold "), 400_000)} {
		if err := keep(t.Context(), r, path, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}}); err != nil {
		t.Fatal(err)
	}
	files := p.files(t, ".")
	if len(files) < 5 {
		t.Fatalf("%d files", len(files))
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"Canary", base64.StdEncoding.EncodeToString([]byte("Canary-Zyxwold"))[:16], "/srv/dumps"} {
			if bytes.Contains(b, []byte(word)) {
				t.Errorf("%s holds %q in clear", filepath.Base(name), word)
			}
		}
	}
}

// TestLoseKept loses every part and every file of a holding in turn: what is lost is no
// longer listed as kept, also once the index was made anew, and what still lies in its
// folder is kept again; nothing else is harmed.
func TestLoseKept(t *testing.T) {
	base := kept(t)
	harmed := 0
	for i, file := range base.files(t, "parts", "holdings") {
		p := base.copyTo(t, disk.OS{})
		rel, err := filepath.Rel(base.dir, file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.ToSlash(rel)
		p.spoil(t, name, []string{"flipped", "missing"}[i%2])
		p.open(t)
		h, err := p.m.Harm(t.Context(), []string{name})
		if err != nil || h.Attachments != 0 {
			t.Errorf("%s: Harm = %+v, %v", name, h, err)
		}
		if h.Kept > 0 {
			harmed++
			if !strings.Contains(h.Words(), "kept beside the records") {
				t.Errorf("%s: Words = %q", name, h.Words())
			}
		}
		if err := p.m.DeclareLost(t.Context(), "owner", name); err != nil {
			t.Fatalf("DeclareLost(%s) = %v", name, err)
		}
		before, err := p.m.KeptFiles("")
		if err != nil || strings.HasPrefix(name, "holdings/") && len(before) != 1 {
			t.Errorf("%s lost: %d files are listed, %v", name, len(before), err)
		}
		p.holds(t, 0, name+" lost")
		p.same(t)
		if err := p.m.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(p.dir, "index.db")); err != nil {
			t.Fatal(err)
		}
		p.open(t)
		after, err := p.m.KeptFiles("")
		if err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%s lost, index made anew: %v, %v\nwant %v", name, after, err, before)
		}
		if err := p.m.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.keepWork(t.Context()); err != nil {
			t.Fatalf("%s lost, kept again: %v", name, err)
		}
		p.open(t)
		p.holds(t, len(dumps), name+" lost, kept again")
		p.same(t)
		if err := p.m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if harmed < 2 {
		t.Errorf("%d files held something of a holding", harmed)
	}
}
