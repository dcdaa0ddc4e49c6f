package fhirsync_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
	"chartcellar/store/verify"
)

// TestLostAndFetchedAgain: parts that no copy has are declared lost; the next run is a
// full one, and afterwards every record and document is the EMR's again.
func TestLostAndFetchedAgain(t *testing.T) {
	ways := map[string]func(*fakeemr.Options){
		"export":    func(*fakeemr.Options) {},
		"search":    func(o *fakeemr.Options) { o.NoExport = true },
		"documents": func(o *fakeemr.Options) { o.HideBinary = true },
	}
	for name, way := range ways {
		for _, which := range []string{"the first", "every second", "all"} {
			t.Run(name+", "+which, func(t *testing.T) {
				o := small()
				way(&o)
				f := newOffice(t, o)
				f.sync(t)
				f.day(t, 1)
				f.sync(t)
				lost := f.lose(t, which)
				f.day(t, 2) // records that were lost are changed or deleted meanwhile
				r := f.sync(t)
				again := 0
				for _, row := range r.Types {
					again += row.Again
					if row.Held != "" || row.Server >= 0 && row.Server != row.Mirror {
						t.Errorf("%s: held %q, the EMR has %d, here are %d", row.Type, row.Held, row.Server, row.Mirror)
					}
				}
				if r.Verdict != fhirsync.Complete || !r.Full || again == 0 {
					t.Errorf("the pull after the loss: %q, full %v, %d records again; gaps %+v", r.Verdict, r.Full, again, r.Gaps)
				}
				f.same(t, o)
				f.lostOnly(t, lost)
				if r = f.sync(t); r.Verdict != fhirsync.Complete || r.Full {
					t.Errorf("the pull after that: %q, full %v", r.Verdict, r.Full)
				}
				for _, row := range r.Types {
					if row.Again > row.Removed { // only deletions, which a full export does not list
						t.Errorf("%s: %d records came again once more", row.Type, row.Again)
					}
				}
				if err := f.m.RebuildIndex(t.Context()); err != nil {
					t.Fatal(err)
				}
				f.same(t, o)
				f.lostOnly(t, lost)
			})
		}
	}
}

// same fails unless records and documents are the EMR's.
func (f *office) same(t *testing.T, o fakeemr.Options) {
	t.Helper()
	if o.HideBinary {
		f.checkFiles(t, true)
		return
	}
	f.equal(t)
}

func (f *office) day(t *testing.T, n int) {
	t.Helper()
	if _, err := f.emr.Changes(n); err != nil {
		t.Fatal(err)
	}
}

// lose removes parts and declares them lost; it returns how many.
func (f *office) lose(t *testing.T, which string) int {
	t.Helper()
	parts, err := f.m.Parts()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i, p := range parts {
		first := len(names) == 0 && len(p.Types) > 0
		if which == "the first" && !first || which == "every second" && i%2 == 0 {
			continue
		}
		names = append(names, verify.PartName(p.Number))
		if err := os.Remove(filepath.Join(f.dir, filepath.FromSlash(names[len(names)-1]))); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.m.DeclareLost(t.Context(), "owner", names...); err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// lostOnly fails unless a full verify finds nothing but what was declared lost.
func (f *office) lostOnly(t *testing.T, lost int) {
	t.Helper()
	r, err := verify.Run(t.Context(), f.m, verify.Options{Depth: verify.Full})
	if err != nil || !r.Good() || len(r.Lost) != lost || r.LostHarm == nil {
		t.Errorf("verify: %v, %s, lost %d, want %d", r.Damage, fmt.Sprint(err), len(r.Lost), lost)
	}
}
