package offsite_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/keys"
	"chartcellar/store/offsite"
	"chartcellar/store/verify"
)

// comeBack restores a copy into a new folder of a new computer, adopts it, and opens it.
func comeBack(t *testing.T, p offsite.Place, sheet keys.Sheet) *store.Mirror {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	r, err := offsite.Restore(t.Context(), p, offsite.RestoreOptions{Dir: dir})
	if err != nil || len(r.Wrong) > 0 {
		t.Fatalf("Restore = %+v, %v", r, err)
	}
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	a, err := store.Adopt(t.Context(), store.AdoptOptions{Dir: dir, Box: box, Recovery: sheet.Recovery, First: sheet.StatementHash})
	if err != nil {
		t.Fatalf("Adopt = %v", err)
	}
	m, err := store.Open(t.Context(), store.Options{Dir: dir, Box: box, Ballast: -1, Reserve: 1, Identity: a.Office})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// fetched returns the newest version of a record, and checks the whole.
func fetched(t *testing.T, m *store.Mirror) string {
	t.Helper()
	if res, err := verify.Run(t.Context(), m, verify.Options{Depth: verify.Full}); err != nil || !res.Good() {
		t.Errorf("verify = %+v, %v", res.Damage, err)
	}
	s, err := m.Now()
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Latest(t.Context(), store.Key{Source: "emr", Type: "Observation", ID: "o1"})
	if err != nil {
		t.Fatal(err)
	}
	return string(v.Raw)
}

// TestAdoptedCopy: the office's computer is lost, comes back, and is lost again. Each time
// the copy that counts is that of the last one that was adopted; the one before is fenced,
// and nothing that it wrote after the fork comes back.
func TestAdoptedCopy(t *testing.T) {
	lost, made := made(t, 2)
	p := newMemory()
	if err := lost.KeepSettings([]byte("the settings"), "owner"); err != nil {
		t.Fatal(err)
	}
	copied(t, lost, p)
	for epoch := 2; epoch < 4; epoch++ {
		m := comeBack(t, p, made.Sheet)
		if got := m.Statement().Epoch; got != epoch {
			t.Errorf("epoch %d, want %d", got, epoch)
		}
		// The lost one goes on beside it, until the place has heard of the new one.
		pull(t, lost, 100+epoch)
		copied(t, lost, p)
		pull(t, m, epoch)
		if r := copied(t, m, p); !r.Complete() || r.Copied == 0 {
			t.Errorf("epoch %d: the copy: %+v", epoch, r)
		}
		pull(t, lost, 200+epoch)
		if _, err := offsite.Copy(t.Context(), lost, p, offsite.Options{Place: "usb"}); !errors.Is(err, offsite.ErrFenced) {
			t.Errorf("epoch %d: the lost computer copies on: %v", epoch, err)
		}
		if got := fetched(t, m); !strings.Contains(got, `"n":`+string(rune('0'+epoch))+"}") {
			t.Errorf("epoch %d: %s", epoch, got)
		}
		lost = m
	}
	m := comeBack(t, p, made.Sheet)
	if got := fetched(t, m); !strings.Contains(got, `"n":3}`) {
		t.Errorf("in the end: %s", got)
	}
	k, err := m.ReadSettings(1)
	if err != nil || string(k.Text) != "the settings" {
		t.Errorf("settings: %q, %v", k.Text, err)
	}
}

// TestAdoptDuringARun: a copy that was made while the first pull was under way comes back
// as far as it was signed.
func TestAdoptDuringARun(t *testing.T) {
	lost, made := made(t, 1)
	r, err := lost.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	line := `{"resourceType":"Observation","id":"o1","subject":{"reference":"Patient/p"},"n":9}` + "\n"
	if err := errors.Join(r.Add(t.Context(), store.Chunk{Lines: []byte(line)}), r.Flush(context.WithoutCancel(t.Context()))); err != nil {
		t.Fatal(err)
	}
	p := newMemory()
	copied(t, lost, p)
	d, err := offsite.Drill(t.Context(), lost, p, offsite.DrillOptions{Dir: filepath.Join(t.TempDir(), "scratch"), Identity: made.Sheet.Recovery})
	if err != nil || !d.Passed() {
		t.Errorf("a drill during a run: %+v, %v", d, err)
	}
	if err := r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}}); err != nil {
		t.Fatal(err)
	}
	m := comeBack(t, p, made.Sheet)
	if got := fetched(t, m); !strings.Contains(got, `"n":0}`) {
		t.Errorf("what was not signed came back: %s", got)
	}
	pull(t, m, 5)
	if got := fetched(t, m); !strings.Contains(got, `"n":5}`) {
		t.Errorf("after the next pull: %s", got)
	}
	if r := copied(t, m, p); !r.Complete() {
		t.Errorf("the copy after it: %+v", r)
	}
	if got := fetched(t, comeBack(t, p, made.Sheet)); !strings.Contains(got, `"n":5}`) {
		t.Errorf("and back again: %s", got)
	}
}
