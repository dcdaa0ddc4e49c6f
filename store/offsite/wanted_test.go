package offsite_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/offsite"
)

// dumped keeps a large file of a holding, for these second copies.
func dumped(t *testing.T, m *store.Mirror, content string, copies ...string) {
	t.Helper()
	r, err := m.Begin(t.Context(), store.RunSpec{Kind: store.KindHolding})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	body := strings.NewReader(strings.Repeat(content, store.SmallAttachment/len(content)+10))
	if _, err := r.Keep(t.Context(), store.KeptFile{Holding: "dumps", Path: content, Size: -1, Copies: copies}, body, func(store.Content) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}}); err != nil {
		t.Fatal(err)
	}
}

// large are the files of holdings that a place has.
func large(p *memory) (n int) {
	for name := range p.files {
		if strings.HasPrefix(name, "holdings/") {
			n++
		}
	}
	return n
}

// TestOnly: a large file goes to the second copies that were chosen for it; another one is
// complete without it, says so in each copy, check and drill, and gets it when the choice is
// taken back. One that was to have it is not whole without it.
func TestOnly(t *testing.T) {
	m, n := made(t, 2)
	dumped(t, m, "first ", "usb", "nas")
	dumped(t, m, "second ")
	now := []string{"usb", "nas"}
	only := func(store.Choice) []string { return now }
	usb, far := newMemory(), newMemory()
	send := func(p *memory, place string) offsite.Result {
		t.Helper()
		r, err := offsite.Copy(t.Context(), m, p, offsite.Options{Place: place, Only: only})
		if err != nil || !r.Complete() {
			t.Fatalf("copy to %s = %+v, %v", place, r, err)
		}
		return r
	}
	check := func(p *memory, place string) offsite.Result {
		t.Helper()
		r, err := offsite.Check(t.Context(), m, p, offsite.Options{Place: place, Only: only})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	drill := func(p *memory, place string) offsite.Drilled {
		t.Helper()
		d, err := offsite.Drill(t.Context(), m, p, offsite.DrillOptions{Place: place, Only: only, Dir: filepath.Join(t.TempDir(), "scratch"), Identity: n.Sheet.Recovery})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	here, there := send(usb, "usb"), send(far, "far")
	if large(usb) != 2 || len(here.Apart) > 0 || large(far) != 1 || there.Files != here.Files-1 || len(there.Apart) != 1 {
		t.Fatalf("usb has %d large files (%+v), far %d (%+v)", large(usb), here.Apart, large(far), there.Apart)
	}
	const words = "1 large file of the holding dumps (4 MB) is not in this copy by choice: it goes to usb and nas only."
	if c := check(far, "far"); !c.Complete() || !strings.Contains(c.NotChecked, words) || !strings.Contains(there.NotChecked, words) {
		t.Errorf("check of far = %+v; copy %q", c, there.NotChecked)
	}
	if d := drill(far, "far"); !d.Passed() || !strings.Contains(d.NotChecked, words) {
		t.Errorf("drill of far = %+v", d)
	}
	if d := drill(usb, "usb"); !d.Passed() || len(d.Apart) > 0 {
		t.Errorf("drill of usb = %+v", d)
	}

	// The chosen file is missing where it was to be.
	for name := range usb.files {
		if _, both := far.files[name]; strings.HasPrefix(name, "holdings/") && !both {
			delete(usb.files, name)
		}
	}
	if c := check(usb, "usb"); c.Complete() || len(c.Wrong) != 1 || c.Wrong[0].What != "missing" {
		t.Errorf("check of usb = %+v", c)
	}
	if d := drill(usb, "usb"); d.Passed() || len(d.Damage) != 1 || !strings.Contains(d.Damage[0].What, "were to be in this copy are missing: 1") {
		t.Errorf("drill of usb = %+v", d)
	}

	// The other choice, and none: what lacks comes with the next copy, and stays.
	now = []string{"nas", "far"}
	if r := send(far, "far"); r.Copied != 1 || large(far) != 2 || len(r.Apart) > 0 {
		t.Errorf("once it was chosen too: %+v", r)
	}
	if r := send(usb, "usb"); large(usb) != 1 || !slices.Equal(r.Apart[0].Copies, now) {
		t.Errorf("once it was no longer chosen: %+v", r)
	}
	now = nil
	if r := send(usb, "usb"); r.Copied != 1 || large(usb) != 2 || len(r.Apart) > 0 {
		t.Errorf("without a choice: %+v", r)
	}
	now = []string{"nas", "usb"}
	if r := send(far, "far"); len(r.Apart) > 0 || !check(far, "far").Complete() {
		t.Errorf("what is there belongs there: %+v", r)
	}
	var one []byte
	for name, b := range far.files {
		if strings.HasPrefix(name, "holdings/") {
			one = bytes.Clone(b)
			one[len(one)/2] ^= 1
			far.files[name] = one
			break
		}
	}
	if c := check(far, "far"); len(c.Wrong) != 1 {
		t.Errorf("what is there is read: %+v", c.Wrong)
	}
}
