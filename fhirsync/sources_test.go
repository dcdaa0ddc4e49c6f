package fhirsync_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
)

// guarded has enough of everything for the guard's limits, if it has 40 patients.
func guarded(mode string, patients int) fakeemr.Options {
	return fakeemr.Options{Practice: fakeemr.Practice{Patients: patients, Seed: 5, Years: 2}, Polls: -1, Plain: true,
		NoExport: mode == "search", HideBinary: true}
}

// TestBadSources is T15: a source that breaks or lies is held or fails, in both
// modes, and nothing of what the mirror shows goes away.
func TestBadSources(t *testing.T) {
	type bad struct {
		name   string
		bulk   fakeemr.Faults
		search fakeemr.Faults
		do     func(t *testing.T, f *office)
		only   bool // the run asks for changes only
		held   []string
	}
	tests := []bad{
		{name: "an empty answer", bulk: fakeemr.Faults{EmptyExport: true}, search: fakeemr.Faults{EmptySearch: true}},
		{name: "one empty type", bulk: fakeemr.Faults{EmptyTypes: []string{"Observation"}},
			search: fakeemr.Faults{PageHTML: true, PageType: "Observation"}},
		{name: "a login page with 200", bulk: fakeemr.Faults{HTML: "/file"}, search: fakeemr.Faults{PageHTML: true}},
		{name: "half of the result", bulk: fakeemr.Faults{HalfGroup: true},
			search: fakeemr.Faults{DropEntries: 2, NoTotal: true, NoSummary: true}},
		{name: "a mass deletion", do: func(t *testing.T, f *office) { f.removeSome(t, "Observation", 30) }, only: true, held: []string{"Observation"}},
		{name: "a mass deletion without a trace", do: func(t *testing.T, f *office) { f.purgeSome(t, "Observation", 60) }, held: []string{"Observation"}},
		{name: "another tenant", do: func(t *testing.T, f *office) { f.swap(t) }, held: []string{"Patient", "Observation", "Condition"}},
	}
	for _, mode := range []string{"bulk", "search"} {
		for _, tt := range tests {
			t.Run(mode+": "+tt.name, func(t *testing.T) {
				t.Parallel()
				f := newSearchOffice(t, guarded(mode, 30))
				f.secret = true
				first := f.syncAhead(t)
				before := f.shown(t)
				f.emr.Clock().Advance(9 * 24 * time.Hour) // the server's behaviour is asked for anew
				f.emr.Set(map[string]fakeemr.Faults{"bulk": tt.bulk, "search": tt.search}[mode])
				if tt.do != nil {
					tt.do(t, f)
					f.emr.Clock().Advance(5 * time.Minute)
				}
				f.full = !tt.only
				r := f.syncAhead(t)
				if r.Verdict == fhirsync.Complete || r.Verdict == fhirsync.Interrupted {
					t.Errorf("verdict %q, want held, failed, or gaps; the first was %q", r.Verdict, first.Verdict)
				}
				t.Logf("%q; %s", r.Verdict, troubled(r))
				for _, typ := range tt.held {
					if row(r, typ).Held == "" {
						t.Errorf("%s is not held", typ)
					}
				}
				for typ, n := range before {
					if now := f.shown(t)[typ]; now < n {
						t.Errorf("%q: %d records of type %s are shown, and were %d", r.Verdict, now, typ, n)
					}
				}
			})
		}
	}
}

// shown counts what the mirror shows, by type.
func (f *office) shown(t *testing.T) map[string]int {
	t.Helper()
	snap, err := f.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	counts, err := snap.Counts("emr")
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// some returns n ids of a type.
func (f *office) some(t *testing.T, typ string, n int) (ids []string) {
	t.Helper()
	f.each(t, typ, func(id string) { ids = append(ids, id) })
	if len(ids) < n {
		t.Fatalf("the EMR has %d records of type %s, and %d are needed", len(ids), typ, n)
	}
	return ids[:n]
}

func (f *office) removeSome(t *testing.T, typ string, n int) {
	for _, id := range f.some(t, typ, n) {
		f.emr.Delete(typ, id)
	}
}

func (f *office) purgeSome(t *testing.T, typ string, n int) {
	for _, id := range f.some(t, typ, n) {
		f.emr.Purge(typ, id)
	}
}

// swap puts another practice, with ids of its own, at the address of the EMR.
func (f *office) swap(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	ids := strings.NewReplacer("pat-", "person-", "obs-", "o-", "enc-", "e-", "doc-", "d-", "cond-", "c-", "med-", "m-")
	for _, typ := range f.emr.Types() {
		var b strings.Builder
		if err := f.emr.EachAt(typ, f.emr.Clock().Now(), func(_ string, line []byte) error {
			b.WriteString(ids.Replace(string(line)) + "\n")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, typ+".ndjson"), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addr := strings.TrimSuffix(strings.TrimPrefix(f.emr.BaseURL(), "http://"), "/fhir/r4")
	clock := f.emr.Clock()
	if err := f.emr.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := fakeemr.Start(fakeemr.Options{Folder: dir, Addr: addr, Plain: true, Polls: -1, Clock: clock,
		NoExport: f.noExport, HideBinary: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	f.emr = other
}

// TestSlowLeak is T15: three records of a type are deleted each day; before 30
// days are over the type is held, in both modes.
func TestSlowLeak(t *testing.T) {
	for _, mode := range []string{"bulk", "search"} {
		t.Run(mode, func(t *testing.T) {
			f := newSearchOffice(t, guarded(mode, 15))
			f.secret = true
			f.syncAhead(t)
			ids := f.some(t, "Observation", 90)
			held := 0
			for day := range 30 {
				f.emr.Clock().Advance(24 * time.Hour)
				for _, id := range ids[3*day : 3*day+3] {
					f.emr.Delete("Observation", id)
				}
				f.emr.Clock().Advance(5 * time.Minute)
				if r := f.syncAhead(t); r.Verdict == fhirsync.HeldVerdict {
					held = day + 1
					break
				}
			}
			if held == 0 || held > 25 {
				t.Errorf("held on day %d, want within 25 days", held)
			}
		})
	}
}

// TestOrdinaryMonth is T15: 30 days with 0 to 3 deletions, 0 to 20 edits of old
// records and new ones each day, and one re-coding of 100 records, raise no hold
// and leave no gap, in both modes, with a full run each week.
func TestOrdinaryMonth(t *testing.T) {
	for _, mode := range []string{"bulk", "search"} {
		t.Run(mode, func(t *testing.T) {
			f := newSearchOffice(t, guarded(mode, 15))
			f.secret = true
			f.syncAhead(t)
			r := rand.New(rand.NewPCG(9, 9))
			types := []string{"Observation", "Encounter", "Condition", "DocumentReference", "MedicationRequest"}
			for day := range 30 {
				f.emr.Clock().Advance(24 * time.Hour)
				f.ordinary(t, r, day, types)
				if day == 17 {
					for _, id := range f.some(t, "Observation", 100) {
						f.edit(t, "Observation", id, "recoded")
					}
				}
				f.emr.Clock().Advance(5 * time.Minute)
				f.full = day%7 == 6
				rep := f.syncAhead(t)
				if rep.Verdict != fhirsync.Complete {
					t.Errorf("day %d, full %v: %q, gaps %+v, %s", day, f.full, rep.Verdict, rep.Gaps, troubled(rep))
				}
			}
			f.equalListed(t)
		})
	}
}

// ordinary is one day in the practice.
func (f *office) ordinary(t *testing.T, r *rand.Rand, day int, types []string) {
	t.Helper()
	ids := map[string][]string{}
	for _, typ := range types {
		f.each(t, typ, func(id string) { ids[typ] = append(ids[typ], id) })
	}
	pick := func() (typ, id string) { // each record once a day
		typ = types[r.IntN(len(types))]
		i := r.IntN(len(ids[typ]))
		id = ids[typ][i]
		ids[typ] = slices.Delete(ids[typ], i, i+1)
		return typ, id
	}
	for range r.IntN(4) {
		f.emr.Delete(pick())
	}
	for range r.IntN(21) {
		typ, id := pick()
		f.edit(t, typ, id, fmt.Sprint("day-", day))
	}
	for n := range r.IntN(10) {
		if _, err := f.emr.Put(fmt.Appendf(nil, `{"resourceType":"Observation","id":"day-%d-%d","status":"final"}`, day, n)); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *office) edit(t *testing.T, typ, id, what string) {
	t.Helper()
	if err := f.emr.Edit(typ, id, func(m map[string]any) { m["language"] = what }); err != nil {
		t.Fatal(err)
	}
}

// equalListed is equal for the types that the EMR lists.
func (f *office) equalListed(t *testing.T) {
	t.Helper()
	snap, err := f.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range f.emr.Listed() {
		var want, have []string
		err := f.emr.EachAt(typ, f.emr.Clock().Now(), func(_ string, line []byte) error {
			want = append(want, string(line))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = snap.Each(t.Context(), "emr", typ, func(_ string, raw []byte) error {
			have = append(have, string(raw))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(want)
		slices.Sort(have)
		if !slices.Equal(want, have) {
			t.Errorf("%s: the mirror shows %d records and the EMR has %d, or they differ", typ, len(have), len(want))
		}
	}
}
