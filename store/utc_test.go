package store_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"chartcellar/store"
)

// TestTimesInUTC: whatever the clock's zone, what is stored is UTC, also in the hour
// that a night in autumn has twice.
func TestTimesInUTC(t *testing.T) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	p := newPractice(t)
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 1, 5, 30, 0, 0, time.UTC) // 1:30, for the first time
	o := p.options()
	o.Now = func() time.Time { return at.In(zone) }
	if p.m, err = store.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.m.Close() })
	p.pull(t, obs("a", 1, ""))
	p.write(t, 1, 1)
	at = at.Add(time.Hour) // 1:30 once more
	p.pull(t, obs("a", 2, ""))
	p.write(t, 2, 2)

	runs, err := p.m.Runs()
	if err != nil || len(runs) != 2 {
		t.Fatalf("Runs = %d, %v", len(runs), err)
	}
	for _, r := range runs {
		if r.Started.Location() != time.UTC || r.Ended.Location() != time.UTC {
			t.Errorf("a run from %v to %v", r.Started, r.Ended)
		}
	}
	if d := runs[0].Started.Sub(runs[1].Started).Abs(); d != time.Hour {
		t.Errorf("%v between the runs, want an hour", d)
	}
	files, err := filepath.Glob(filepath.Join(p.dir, "journal", "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), `"2026-11-01T06:30:00Z"`) || regexp.MustCompile(`T\d\d:\d\d:\d\d[-+]`).Match(b) {
		t.Errorf("the journal has other times than UTC:\n%s", b)
	}
}
