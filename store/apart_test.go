package store_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/verify"
)

// chosenPractice is a mirror with large files, of which some go to usb and nas only; they
// return by what they are, with the name of their file.
func chosenPractice(t *testing.T) (p *practice, names map[string]string) {
	t.Helper()
	p = seed(t)
	p.locked = true
	p.open(t)
	r, err := p.m.Begin(t.Context(), store.RunSpec{Kind: store.KindHolding})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	only := []string{"usb", "nas"}
	big := func(name string) []byte { return bytes.Repeat([]byte(name), store.SmallAttachment/len(name)+10) }
	blobs := map[string]index.BlobName{}
	for i, f := range []struct {
		holding, name string
		copies        []string
		content       []byte
	}{
		{"dumps", "chosen", only, big("chosen")},
		{"dumps", "everywhere", nil, big("everywhere")},
		{"dumps", "small", only, []byte("small")},
		{"dumps", "later", only, big("later")},
		{"dumps", "later", nil, big("later")}, // came again, with no choice
		{"dumps", "two", only, big("two")},
		{"other", "two", []string{"far", "nas"}, big("two")}, // another holding has the same
		{"dumps", "attached", only, big("attached")},
	} {
		k, err := r.Keep(t.Context(), store.KeptFile{Holding: f.holding, Path: fmt.Sprint(i), Size: -1, Copies: f.copies}, bytes.NewReader(f.content), good)
		if err != nil {
			t.Fatal(err)
		}
		blobs[f.name] = k.Name
	}
	if err := r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}}); err != nil {
		t.Fatal(err)
	}
	if r, err = p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"}); err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	w := store.Want{Source: "emr", Type: "DocumentReference", ID: "d", URL: "Binary/d"}
	err = r.Attach(t.Context(), w, "", bytes.NewReader(big("attached")), func(store.Content) (string, error) { return "", nil })
	if err == nil {
		err = r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}})
	}
	if err != nil {
		t.Fatal(err)
	}
	names = map[string]string{}
	for name, blob := range blobs {
		matches, err := filepath.Glob(filepath.Join(p.dir, "holdings", "*", fmt.Sprintf("%x*", blob)))
		if err != nil || len(matches) > 1 || len(matches) == 0 && name != "small" {
			t.Fatalf("%s: files %v, %v", name, matches, err)
		}
		for _, m := range matches {
			rel, err := filepath.Rel(p.dir, m)
			if err != nil {
				t.Fatal(err)
			}
			names[name] = filepath.ToSlash(rel)
		}
	}
	return p, names
}

// TestChosen: a large file goes to some second copies only if that was said each time that it
// came, and no record has it as its attachment; the archive alone says so, without a key.
func TestChosen(t *testing.T) {
	p, names := chosenPractice(t)
	check := func(how string) {
		t.Helper()
		got, err := p.m.Chosen()
		if err != nil || len(got) != 2 {
			t.Errorf("%s: Chosen = %v, %v", how, got, err)
		}
		for name, want := range map[string]string{"chosen": "[dumps] [nas usb]", "two": "[dumps other] [far nas usb]"} {
			a := got[names[name]]
			info, err := os.Stat(filepath.Join(p.dir, names[name]))
			if err != nil || fmt.Sprint(a.Holdings, a.Copies) != want || a.Files != 1 || a.Bytes != info.Size() {
				t.Errorf("%s: %s = %+v, %v; want %s", how, name, a, err, want)
			}
		}
		if apart, err := p.m.Apart(); err != nil || len(apart) > 0 {
			t.Errorf("%s: of a mirror that is kept, Apart = %v, %v", how, apart, err)
		}
	}
	check("as it was written")
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(p.dir, "index.db")); err != nil {
		t.Fatal(err)
	}
	p.locked = false
	p.open(t)
	check("from the archive alone")
}

// TestApart: in a copy that is looked at a chosen file may be missing, and is said; any
// other one, or one that is cut, is damage, and so is a chosen one in the mirror itself.
func TestApart(t *testing.T) {
	p, names := chosenPractice(t)
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	without := func(missing ...string) *practice {
		dir := p.copied(t)
		for _, name := range missing {
			if err := os.Remove(filepath.Join(dir, names[name])); err != nil {
				t.Fatal(err)
			}
		}
		return look(t, dir, p.office)
	}
	full := func(q *practice) verify.Result {
		t.Helper()
		r, err := verify.Run(t.Context(), q.m, verify.Options{Depth: verify.Full})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	q := without("chosen", "two")
	q.says(t)
	apart, err := q.m.Apart()
	if err != nil || !slices.Equal(slices.Sorted(maps.Keys(apart)), slices.Sorted(slices.Values([]string{names["chosen"], names["two"]}))) {
		t.Errorf("Apart = %v, %v", apart, err)
	}
	for _, depth := range []verify.Depth{verify.Full, verify.Quick, verify.Rolling} {
		r, err := verify.Run(t.Context(), q.m, verify.Options{Depth: depth, Days: []int{0, 1, 2, 3, 4, 5}})
		if err != nil || !r.Good() || len(r.Apart) != 2 || r.Apart[0].Files != 1 || !strings.Contains(r.NotChecked, "they go to nas and usb only") {
			t.Errorf("%s: %+v, %v", depth, r, err)
		}
	}
	for _, name := range []string{"everywhere", "later", "attached"} {
		q := without("chosen", name)
		q.says(t, "1 files of attachments and holdings are missing")
		if r := full(q); len(r.Damage) == 0 || r.Damage[len(r.Damage)-1].File != names[name] || len(r.Apart) != 1 {
			t.Errorf("%s is missing: %+v", name, r)
		}
	}
	dir := p.copied(t)
	if err := os.Truncate(filepath.Join(dir, names["chosen"]), 100); err != nil {
		t.Fatal(err)
	}
	q = look(t, dir, p.office)
	q.says(t, "missing or have the wrong size")
	if r := full(q); r.Good() || len(r.Apart) > 0 {
		t.Errorf("a chosen file is cut: %+v", r)
	}
	if err := os.Remove(filepath.Join(p.dir, names["chosen"])); err != nil {
		t.Fatal(err)
	}
	p.locked = false
	p.open(t)
	if r := full(p); len(r.Damage) != 1 || r.Damage[0].File != names["chosen"] || len(r.Apart) > 0 {
		t.Errorf("a chosen file is missing in the mirror itself: %+v", r)
	}
}
