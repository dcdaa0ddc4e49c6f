package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chartcellar/store"
	"chartcellar/store/index"
)

// TestEachParallel: several workers see exactly what Each gives, whatever order
// the members of a line have.
func TestEachParallel(t *testing.T) {
	p := newPractice(t)
	var lines []string
	for i := range 3000 {
		line := obs(fmt.Sprint("o", i), i, "")
		if i%7 == 0 {
			line = fmt.Sprintf(`{ "meta":{}, "id":"o%d", "x":{"id":"no","resourceType":"Patient"}, "resourceType":"Observation"}`, i)
		}
		lines = append(lines, line)
	}
	p.pull(t, append(lines, `{"resourceType":"Patient","id":"o1"}`)...)
	p.pull(t, obs("o5", 99, ""), "-Observation/o6", obs("new", 1, ""))
	s, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	err = s.Each(t.Context(), "emr", "Observation", func(id string, raw []byte) error { want[id] = string(raw); return nil })
	if err != nil || len(want) != 3000 {
		t.Fatalf("Each gave %d, %v", len(want), err)
	}
	for _, workers := range []int{0, 1, 2, 5} {
		var mu sync.Mutex
		got := map[string]string{}
		err := s.EachParallel(t.Context(), "emr", "Observation", workers, func(w int, id string, raw []byte) error {
			mu.Lock()
			defer mu.Unlock()
			if _, twice := got[id]; twice || w < 0 || w >= max(1, workers) {
				t.Errorf("worker %d, %s given twice: %v", w, id, twice)
			}
			got[id] = string(raw)
			return nil
		})
		if err != nil || len(got) != len(want) {
			t.Fatalf("EachParallel(%d) gave %d of %d, %v", workers, len(got), len(want), err)
		}
		for id := range want {
			if got[id] != want[id] {
				t.Fatalf("%s: %s, want %s", id, got[id], want[id])
			}
		}
	}
	if n, err := s.CountOf("emr", "Observation"); n != 3000 || err != nil {
		t.Errorf("CountOf = %d, %v", n, err)
	}
	if n, err := s.CountOf("other", "Observation"); n != 0 || err != nil {
		t.Errorf("CountOf another source = %d, %v", n, err)
	}
}

// TestEachParallelStops: an error of fn ends it and comes back as it is; so does
// the end of the context.
func TestEachParallelStops(t *testing.T) {
	p := newPractice(t)
	var lines []string
	for i := range 2000 {
		lines = append(lines, obs(fmt.Sprint("o", i), i, ""))
	}
	p.pull(t, lines...)
	s, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	err = s.EachParallel(t.Context(), "emr", "Observation", 2, func(int, string, []byte) error { return enough })
	if err != enough {
		t.Errorf("EachParallel = %v, want the error of fn", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = s.EachParallel(ctx, "emr", "Observation", 2, func(int, string, []byte) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("EachParallel = %v, want context.Canceled", err)
	}
	p.m.Lock()
	err = s.EachParallel(t.Context(), "emr", "Observation", 2, func(int, string, []byte) error { return nil })
	if !errors.Is(err, store.ErrLocked) {
		t.Errorf("EachParallel = %v, want ErrLocked", err)
	}
}

// breakPart flips a bit in the middle of a part.
func (p *practice) breakPart(t *testing.T, n int) {
	t.Helper()
	name, err := filepath.Glob(filepath.Join(p.dir, "parts", "000000", fmt.Sprintf("%012d*", n)))
	if err != nil || len(name) != 1 {
		t.Fatalf("%d files, %v", len(name), err)
	}
	b, err := os.ReadFile(name[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(name[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestReadingSomeTypes: of a patient's records those of some types are read, and no others.
func TestReadingSomeTypes(t *testing.T) {
	p := newPractice(t)
	p.pull(t, `{"resourceType":"Patient","id":"p1"}`, obs("o1", 1, ""), obs("o2", 2, ""),
		`{"resourceType":"Condition","id":"c1","subject":{"reference":"Patient/p1"}}`)
	s, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		types []string
		want  int
	}{{nil, 4}, {[]string{}, 0}, {[]string{"Observation"}, 2}, {[]string{"Patient", "Condition"}, 2}} {
		var n atomic.Int64
		of := store.PatientRecords{Source: "emr", Patient: "p1", Types: tt.types}
		_, err := s.ReadableParallel(t.Context(), of, 2, func(int, store.Version) error { n.Add(1); return nil })
		if err != nil || int(n.Load()) != tt.want {
			t.Errorf("%d records of %q, %v; want %d", n.Load(), tt.types, err, tt.want)
		}
	}
}

// TestReadingGoesOnAfterDamage: what is damaged is counted, once for each current
// record, and everything else is given.
func TestReadingGoesOnAfterDamage(t *testing.T) {
	p := newPractice(t)
	p.pull(t, `{"resourceType":"Patient","id":"p1"}`, obs("o1", 1, ""), obs("o2", 2, ""))
	var many []string
	for i := range 2000 {
		many = append(many, obs(fmt.Sprint("m", i), i, ""))
	}
	p.pull(t, append(many, obs("o2", 3, ""))...)
	parts, err := p.m.Parts()
	if err != nil {
		t.Fatal(err)
	}
	broken := slices.MaxFunc(parts, func(a, b index.Part) int { return a.Lines - b.Lines })
	p.breakPart(t, int(broken.Number))
	p.reopen(t)
	s, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	unread, err := s.Readable(t.Context(), "emr", "p1", func(store.Version) error { n++; return nil })
	if err != nil || unread["Observation"] == 0 || n+unread["Observation"]+unread["Patient"] != 2003 {
		t.Errorf("Readable gave %d, %v unread, %v; want 2003 in all", n, unread, err)
	}
	var mu sync.Mutex
	read := 0
	err = s.EachParallel(t.Context(), "emr", "Observation", 2, func(int, string, []byte) error {
		mu.Lock()
		defer mu.Unlock()
		read++
		return nil
	})
	var damage *store.DamagedError
	if !errors.As(err, &damage) || !errors.Is(err, store.ErrDamaged) || damage.Records+read != 2002 {
		t.Errorf("EachParallel read %d, %v; want 2002 in all", read, err)
	}
}

func TestAsOfTime(t *testing.T) {
	p := newPractice(t)
	day := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	o := p.options()
	o.Now = func() time.Time { return day }
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	m, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p.m = m
	t.Cleanup(func() { m.Close() })
	var early *store.TooEarlyError
	if _, _, err := m.AsOfTime(day); !errors.As(err, &early) || !early.First.IsZero() {
		t.Errorf("AsOfTime without a run = %v", err)
	}
	p.pull(t, obs("o", 1, ""))
	day = day.AddDate(0, 0, 2)
	p.pull(t, obs("o", 2, ""))
	tests := []struct {
		name string
		at   time.Time
		run  uint32
	}{
		{"the moment of the first run", day.AddDate(0, 0, -2), 1},
		{"between the runs", day.AddDate(0, 0, -1), 1},
		{"the moment of the second", day, 2},
		{"long after", day.AddDate(9, 0, 0), 2},
		{"before the first", day.AddDate(0, 0, -3), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, run, err := m.AsOfTime(tt.at)
			if tt.run == 0 {
				if !errors.Is(err, store.ErrTooEarly) || !errors.As(err, &early) || early.First.IsZero() {
					t.Errorf("AsOfTime = %v, want when the first copy is", err)
				}
				return
			}
			if err != nil || run.Number != tt.run {
				t.Fatalf("AsOfTime = run %d, %v, want %d", run.Number, err, tt.run)
			}
			v, err := s.Latest(t.Context(), store.Key{Source: "emr", Type: "Observation", ID: "o"})
			if err != nil || v.Run != tt.run {
				t.Errorf("Latest is of run %d, %v, want %d", v.Run, err, tt.run)
			}
		})
	}
}
