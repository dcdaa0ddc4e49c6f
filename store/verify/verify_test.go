package verify_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/keys"
	"chartcellar/store/verify"
)

// made makes a closed mirror of three runs and says how to open it.
func made(t *testing.T) store.Options {
	t.Helper()
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	o := store.Options{Dir: t.TempDir(), Box: box, Ballast: -1, Reserve: 1}
	n, err := store.Init(store.InitOptions{Dir: o.Dir, Box: box})
	if err != nil {
		t.Fatal(err)
	}
	o.Identity = n.Office
	m := open(t, o)
	for run := range 3 {
		r, err := m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
		if err != nil {
			t.Fatal(err)
		}
		var lines strings.Builder
		for i := range 40 {
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
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

func open(t *testing.T, o store.Options) *store.Mirror {
	t.Helper()
	m, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// sums are the hashes of all files that never change.
func sums(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	list := map[string][32]byte{}
	for _, folder := range []string{"mirror", "parts", "checkpoints", "attachments", "holdings", "slots", "secrets", "quarantine"} {
		err := filepath.WalkDir(filepath.Join(dir, folder), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(name)
			list[name] = sha256.Sum256(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// run makes a check of one depth; a rolling one of the whole month.
func run(t *testing.T, m *store.Mirror, depth verify.Depth) (damage []verify.Damage) {
	t.Helper()
	days := 1
	if depth == verify.Rolling {
		days = 30
	}
	for day := range days {
		r, err := verify.Run(t.Context(), m, verify.Options{Depth: depth, Days: []int{day}, Samples: 400})
		if err != nil {
			t.Fatalf("Run at depth %s = %v", depth, err)
		}
		if r.Depth != depth || r.Took < 0 || (depth != verify.Full && r.NotChecked == "") {
			t.Errorf("the result does not say what it is: %+v", r)
		}
		damage = append(damage, r.Damage...)
	}
	return damage
}

// TestDepths: what each depth finds, and that none changes a file.
func TestDepths(t *testing.T) {
	part := filepath.Join("parts", "000000", "000000000003.ndjson.zst.age")
	tests := []struct {
		name  string
		file  string
		harm  func(name string) error
		found map[verify.Depth]bool
	}{
		{"nothing wrong", "", nil, nil},
		{"a flipped bit in a part", part, func(n string) error { return change(n, func(b []byte) { b[len(b)/2] ^= 4 }) },
			map[verify.Depth]bool{verify.Rolling: true, verify.Full: true}},
		{"a flipped bit in the last byte of a part", part, func(n string) error { return change(n, func(b []byte) { b[len(b)-1] ^= 1 }) },
			map[verify.Depth]bool{verify.Rolling: true, verify.Full: true}},
		{"a part is gone", part, os.Remove, map[verify.Depth]bool{verify.Quick: true, verify.Rolling: true, verify.Sample: true, verify.Full: true}},
		{"a part is cut", part, func(n string) error { return os.Truncate(n, 100) },
			map[verify.Depth]bool{verify.Quick: true, verify.Rolling: true, verify.Full: true}},
		{"an old checkpoint was changed", filepath.Join("checkpoints", "000000000001"),
			func(n string) error { return change(n, func(b []byte) { b[len(b)/2] ^= 1 }) }, map[verify.Depth]bool{verify.Full: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := made(t)
			if tt.harm != nil {
				if err := tt.harm(filepath.Join(o.Dir, tt.file)); err != nil {
					t.Fatal(err)
				}
			}
			m := open(t, o)
			before := sums(t, o.Dir)
			for _, depth := range []verify.Depth{verify.Quick, verify.Rolling, verify.Sample, verify.Full} {
				damage := run(t, m, depth)
				if tt.harm == nil && len(damage) > 0 || tt.found[depth] && len(damage) == 0 {
					t.Errorf("depth %s found %v, want something: %v", depth, damage, tt.found[depth])
				}
				if tt.found[depth] && !strings.Contains(fmt.Sprint(damage), filepath.Base(tt.file)[:12]) && !strings.Contains(fmt.Sprint(damage), "art 3 ") {
					t.Errorf("depth %s does not name %s: %v", depth, tt.file, damage)
				}
			}
			for name, sum := range sums(t, o.Dir) {
				if before[name] != sum {
					t.Errorf("the check changed %s", filepath.Base(name))
				}
			}
		})
	}
}

func change(name string, f func([]byte)) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	f(b)
	return os.WriteFile(name, b, 0o600)
}

// TestWithoutAKey: what needs no key works while the mirror is locked; the rest
// says that it cannot.
func TestWithoutAKey(t *testing.T) {
	o := made(t)
	o.Identity = nil
	m := open(t, o)
	for _, depth := range []verify.Depth{verify.Quick, verify.Rolling} {
		if d := run(t, m, depth); len(d) > 0 {
			t.Errorf("depth %s of a locked mirror: %v", depth, d)
		}
	}
	for _, depth := range []verify.Depth{verify.Sample, verify.Full} {
		if _, err := verify.Run(t.Context(), m, verify.Options{Depth: depth}); !errors.Is(err, store.ErrLocked) {
			t.Errorf("depth %s of a locked mirror = %v, want ErrLocked", depth, err)
		}
	}
}

// TestEmpty: a mirror without a run is good at every depth.
func TestEmpty(t *testing.T) {
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	o := store.Options{Dir: t.TempDir(), Box: box, Ballast: -1, Reserve: 1}
	n, err := store.Init(store.InitOptions{Dir: o.Dir, Box: box})
	if err != nil {
		t.Fatal(err)
	}
	o.Identity = n.Office
	m := open(t, o)
	for _, depth := range []verify.Depth{verify.Quick, verify.Rolling, verify.Sample, verify.Full} {
		if r, err := verify.Run(t.Context(), m, verify.Options{Depth: depth}); err != nil || !r.Good() || r.Records != 0 {
			t.Errorf("depth %s = %+v, %v", depth, r, err)
		}
	}
}
