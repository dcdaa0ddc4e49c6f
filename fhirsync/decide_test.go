package fhirsync_test

import (
	"testing"

	"chartcellar/fhirsync"
	"chartcellar/store/index"
)

// TestDecideAllTypes: accepting a run is one decision and one run in the list,
// however many types it holds; a decision on a type that is not held changes
// nothing of the others.
func TestDecideAllTypes(t *testing.T) {
	f := newOffice(t, small())
	f.sync(t)
	count := map[string]int{}
	for _, typ := range []string{"Observation", "Encounter"} {
		n := 0
		f.each(t, typ, func(id string) {
			if n++; n <= 25 {
				f.emr.Delete(typ, id)
			}
		})
		if n < 30 {
			t.Fatalf("%s: %d records are too few for this test", typ, n)
		}
		count[typ] = n
	}
	r := f.sync(t)
	if r.Verdict != fhirsync.HeldVerdict {
		t.Fatalf("verdict = %q, want held", r.Verdict)
	}
	before, err := f.m.Runs()
	if err != nil {
		t.Fatal(err)
	}
	err = f.m.Decide(t.Context(), index.Decision{Run: r.Run, Type: "Observation", Accept: true, By: "doctor"},
		index.Decision{Run: r.Run, Type: "Patient", Accept: true, By: "doctor"})
	if err == nil || f.count(t, "Observation") != count["Observation"] {
		t.Errorf("Decide of a type that is not held = %v, %d observations", err, f.count(t, "Observation"))
	}
	if err := fhirsync.Decide(t.Context(), f.m, r.Run, "", true, "doctor"); err != nil {
		t.Fatal(err)
	}
	after, err := f.m.Runs()
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != len(before)+1 {
		t.Errorf("the decision made %d runs, want 1", len(after)-len(before))
	}
	for typ, n := range count {
		if got := f.count(t, typ); got != n-25 {
			t.Errorf("%d %s after the decision, want %d", got, typ, n-25)
		}
	}
	if err := fhirsync.Decide(t.Context(), f.m, r.Run, "", true, "doctor"); err == nil {
		t.Error("decided twice")
	}
}
