package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chartcellar/store"
	"chartcellar/store/index"
)

const subsettedTag = `"tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]`

// dated is an observation of a day; day 0 has no date. A part of one says so.
func dated(id string, day, n int, part bool) string {
	var meta []string
	if day > 0 {
		meta = append(meta, fmt.Sprintf(`"lastUpdated":"2026-01-%02dT00:00:00Z"`, day))
	}
	if part {
		meta = append(meta, subsettedTag)
	}
	return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"meta":{%s},"n":%d}`, id, strings.Join(meta, ","), n)
}

// addsUp reports whether every line of a count is accounted for, once.
func addsUp(c index.Count) bool {
	return c.Lines == c.New+c.Changed+c.Unchanged+c.Duplicates+c.Quarantine+c.Subsetted &&
		min(c.New, c.Changed, c.Unchanged, c.Duplicates, c.Subsetted) >= 0
}

// TestOlderDuplicateAndPart: a record, a part of it and an older copy of it in
// one run are one new record, one part and one duplicate.
func TestOlderDuplicateAndPart(t *testing.T) {
	p := newPractice(t)
	got := p.pull(t, dated("a", 5, 1, false), dated("a", 6, 2, true), dated("a", 3, 3, false))["Observation"]
	if !addsUp(got) || got.New != 1 || got.Subsetted != 1 || got.Duplicates != 1 {
		t.Errorf("counts = %+v, want 1 new, 1 subsetted, 1 duplicate", got)
	}
	if v := p.latest(t, "Observation", "a"); v != dated("a", 5, 1, false) {
		t.Errorf("a = %s", v)
	}
	got = p.pull(t, dated("a", 7, 4, true), dated("a", 5, 1, false))["Observation"]
	if !addsUp(got) || got.Unchanged != 1 || got.Subsetted != 1 {
		t.Errorf("counts of the next run = %+v, want 1 unchanged, 1 subsetted", got)
	}
}

// TestCountsAddUp: whatever a run brings, in whatever parts, each line is counted
// once.
func TestCountsAddUp(t *testing.T) {
	p := newPractice(t)
	defer func() { p.m.Close() }()
	source := 0
	rapid.Check(t, func(rt *rapid.T) {
		if source++; source%20 == 0 { // a mirror with few runs is quicker
			if err := p.m.Close(); err != nil {
				rt.Fatal(err)
			}
			p = newPractice(t)
		}
		for range rapid.IntRange(1, 3).Draw(rt, "runs") {
			r, err := p.m.Begin(t.Context(), store.RunSpec{Source: fmt.Sprint("emr", source), Kind: "sync"})
			if err != nil {
				rt.Fatal(err)
			}
			defer r.Abort()
			lines := 0
			for range rapid.IntRange(1, 8).Draw(rt, "lines") {
				id := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "id")
				day, n := rapid.IntRange(0, 3).Draw(rt, "day"), rapid.IntRange(0, 2).Draw(rt, "n")
				line := dated(id, day, n, rapid.IntRange(0, 4).Draw(rt, "part") == 0)
				if rapid.IntRange(0, 9).Draw(rt, "bad") == 0 {
					line = "no resource"
				}
				if rapid.IntRange(0, 6).Draw(rt, "gone") == 0 {
					err = r.Tombstone(t.Context(), store.Tombstone{Type: "Observation", ID: id, Kind: "deleted"})
				} else {
					lines++
					err = r.Add(t.Context(), store.Chunk{Lines: []byte(line + "\n"), Type: "Observation"})
				}
				if err == nil && rapid.IntRange(0, 3).Draw(rt, "flush") == 0 {
					err = r.Flush(t.Context())
				}
				if err == nil && rapid.IntRange(0, 9).Draw(rt, "settle") == 0 {
					err = r.Settle(t.Context())
				}
				if err != nil {
					rt.Fatal(err)
				}
			}
			counts, err := r.Counts(t.Context())
			if c := counts["Observation"]; err != nil || c.Lines != lines || !addsUp(c) {
				rt.Fatalf("%d lines, counts %+v, %v", lines, c, err)
			}
			if err := r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts}); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

// TestCountsAt: one walk through the index counts for each run what AsOf counts: changed,
// removed and come back, held, accepted later.
func TestCountsAt(t *testing.T) {
	p := newPractice(t)
	p.pull(t, dated("a", 1, 1, false), dated("b", 1, 1, false), dated("c", 1, 1, false))
	p.pull(t, dated("a", 2, 2, false), dated("d", 1, 1, false))
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"b", "c"} {
		if err := r.Tombstone(t.Context(), store.Tombstone{Type: "Observation", ID: id, Kind: "deleted", Detector: "bulk-deleted"}); err != nil {
			t.Fatal(err)
		}
	}
	held := index.RunStates{All: index.Applied, Types: map[string]index.State{"Observation": index.Held}}
	if err := r.Close(t.Context(), store.Closing{States: held}); err != nil {
		t.Fatal(err)
	}
	p.pull(t, `{"resourceType":"Patient","id":"p"}`)
	compare := func(when string) {
		t.Helper()
		runs, err := p.m.Runs()
		if err != nil {
			t.Fatal(err)
		}
		var numbers []uint32
		for _, r := range runs { // newest first: any order is good
			numbers = append(numbers, r.Number)
		}
		got, err := p.m.CountsAt(t.Context(), numbers)
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range numbers {
			snap, err := p.m.AsOf(n)
			if err != nil {
				t.Fatal(err)
			}
			want, err := snap.Counts("emr")
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got[i]["emr"]) != fmt.Sprint(want) {
				t.Errorf("%s, run %d: %v, AsOf counts %v", when, n, got[i]["emr"], want)
			}
		}
	}
	compare("held")
	if err := p.m.Decide(t.Context(), index.Decision{Run: 3, Type: "Observation", Accept: true, By: "reyes"}); err != nil {
		t.Fatal(err)
	}
	compare("accepted")
	p.pull(t, dated("b", 5, 9, false))
	compare("one came back")
	if _, err := p.m.CountsAt(t.Context(), []uint32{99}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a run that never was: %v, want ErrNotFound", err)
	}
}
