package fhirsync_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
)

// searched is an EMR that exports nothing, and holds more than one page of
// observations.
func searched() fakeemr.Options {
	return fakeemr.Options{Practice: fakeemr.Practice{Patients: 12, Seed: 4, Years: 3}, NoExport: true}
}

func newSearchOffice(t *testing.T, o fakeemr.Options) *office {
	f := newOffice(t, o)
	f.source.Overlap = time.Second
	return f
}

// row returns the row of a type.
func row(r *fhirsync.Report, typ string) fhirsync.TypeRow {
	for _, one := range r.Types {
		if one.Type == typ {
			return one
		}
	}
	return fhirsync.TypeRow{}
}

func TestSearchTwice(t *testing.T) {
	f := newSearchOffice(t, searched())
	r := f.sync(t)
	if r.Verdict != fhirsync.Complete || !r.Full {
		t.Errorf("first pull: %q, full %v; %+v", r.Verdict, r.Full, r)
	}
	for _, one := range r.Types {
		if one.Mode != "search" || !one.Verified || one.Server != one.Mirror {
			t.Errorf("%s: mode %q, verified %v, the EMR counts %d, the mirror %d", one.Type, one.Mode, one.Verified, one.Server, one.Mirror)
		}
	}
	f.equal(t)
	f.emr.Clock().Advance(time.Hour)
	day, err := f.emr.Changes(1)
	if err != nil {
		t.Fatal(err)
	}
	f.emr.Clock().Advance(2 * time.Minute)
	f.client.SetTokens(f.tokens)
	r = f.syncAhead(t)
	if r.Verdict != fhirsync.Complete || r.Full {
		t.Errorf("second pull: %q, full %v; gaps %+v", r.Verdict, r.Full, r.Gaps)
	}
	for _, one := range r.Types {
		if one.New != day.Created[one.Type] || one.Changed != day.Edited[one.Type] || one.Removed != day.Deleted[one.Type] {
			t.Errorf("%s: %d new, %d changed, %d removed; the EMR says %d, %d, %d", one.Type, one.New, one.Changed,
				one.Removed, day.Created[one.Type], day.Edited[one.Type], day.Deleted[one.Type])
		}
	}
	f.equal(t)
}

// syncAhead syncs with the office's clock where the EMR's is.
func (f *office) syncAhead(t *testing.T) *fhirsync.Report {
	t.Helper()
	r, err := f.trySyncAhead(t)
	if err != nil {
		t.Fatalf("Sync = %v", err)
	}
	return r
}

func (f *office) trySyncAhead(t *testing.T) (*fhirsync.Report, error) {
	t.Helper()
	f.connect(t)
	e := &fhirsync.Evidence{}
	return fhirsync.Sync(t.Context(), fhirsync.Options{Source: f.source, Client: f.client, Tokens: f.tokens,
		Mirror: f.m, Full: f.full, LostWait: time.Nanosecond, Poll: time.Millisecond, Now: f.emr.Clock().Now, Evidence: e})
}

// TestSearchFaults: what one fault of a search makes of a run, and that the next
// run heals it.
func TestSearchFaults(t *testing.T) {
	tests := []struct {
		name   string
		faults fakeemr.Faults
		want   fhirsync.Verdict // "" for an error
		typ    string           // whose cursor must stay
	}{
		{"nothing wrong", fakeemr.Faults{}, fhirsync.Complete, ""},
		{"F4: the parameter is passed over, and the self link lies", fakeemr.Faults{IgnoreLastUpdated: true, LyingSelf: true}, fhirsync.FailedRun, "Observation"},
		{"F4: the parameter is passed over", fakeemr.Faults{IgnoreLastUpdated: true}, fhirsync.FailedRun, "Observation"},
		{"F9: next on a link-local address", fakeemr.Faults{NextURL: "inside"}, fhirsync.WithGaps, "Observation"},
		{"F9: next on the inside host of a proxy", fakeemr.Faults{NextURL: "internal"}, fhirsync.WithGaps, "Observation"},
		{"F9: next on another host", fakeemr.Faults{NextURL: "evil"}, fhirsync.WithGaps, "Observation"},
		{"F9: next by plain http", fakeemr.Faults{NextURL: "http"}, fhirsync.WithGaps, "Observation"},
		{"F16: every search is empty", fakeemr.Faults{EmptySearch: true}, fhirsync.FailedRun, ""},
		{"F24: offsets", fakeemr.Faults{OffsetPaging: true}, fhirsync.Complete, ""},
		{"F24: next expires at page 3, once", fakeemr.Faults{NextExpires: 3, NextExpireTimes: 1}, fhirsync.Complete, ""},
		{"F24: next expires always", fakeemr.Faults{NextExpires: 2, NextExpireTimes: 1000}, fhirsync.WithGaps, "Observation"},
		{"F24: pages in a circle", fakeemr.Faults{NextLoop: true}, fhirsync.WithGaps, "Observation"},
		{"F24: the last page is dangling", fakeemr.Faults{NextDangling: true}, fhirsync.Complete, ""},
		{"F24: an empty page in the middle", fakeemr.Faults{EmptyMiddle: true}, fhirsync.Complete, ""},
		{"F25: a cap that is said as an information", fakeemr.Faults{SearchCap: 60, SearchCapCode: "59133"}, fhirsync.Complete, ""},
		{"F25: a cap that is fatal", fakeemr.Faults{SearchCap: 60, SearchCapCode: "4127", SearchCapFatal: true}, fhirsync.Complete, ""},
		{"P88: strictness is refused", fakeemr.Faults{StrictRefused: true}, fhirsync.Complete, ""},
		{"P7: no counts", fakeemr.Faults{NoSummary: true}, fhirsync.Complete, ""},
		{"P7: no totals", fakeemr.Faults{NoTotal: true}, fhirsync.Complete, ""},
		{"P7: no counts and no totals", fakeemr.Faults{NoSummary: true, NoTotal: true}, fhirsync.Complete, ""},
		{"P7: no order", fakeemr.Faults{SortIgnored: true}, fhirsync.Complete, ""},
		{"P99: small pages", fakeemr.Faults{CountCap: 7}, fhirsync.Complete, ""},
		{"P99: the size of pages is passed over", fakeemr.Faults{CountIgnored: true}, fhirsync.Complete, ""},
		{"P126: counts that are too high", fakeemr.Faults{CountWrong: 3}, fhirsync.FailedRun, "Observation"},
		{"entries left out in silence", fakeemr.Faults{DropEntries: 9}, fhirsync.WithGaps, "Observation"},
		{"pages with line breaks", fakeemr.Faults{Pretty: true}, fhirsync.Complete, ""},
		{"one page that cannot be read", fakeemr.Faults{PageStatus: 500, PageType: "Observation", PageN: 2}, fhirsync.WithGaps, "Observation"},
		{"one page that cannot be read once", fakeemr.Faults{PageStatus: 502, PageType: "Observation", PageN: 2, PageTimes: 1}, fhirsync.Complete, ""},
		{"a page that is cut", fakeemr.Faults{PageCut: true, PageType: "Observation", PageN: 2, PageTimes: 1}, fhirsync.Complete, ""},
		{"a page of HTML", fakeemr.Faults{PageHTML: true, PageType: "Condition", PageN: 1}, fhirsync.WithGaps, "Condition"},
		{"a type that is refused", fakeemr.Faults{PageStatus: 403, PageType: "Coverage", PageN: 1}, fhirsync.WithGaps, "Coverage"},
		{"F22: throttled for a while", fakeemr.Faults{Throttle: 3, RetryAfter: "0", ThrottlePrefix: "/Observation"}, fhirsync.Complete, ""},
		{"F22: asked to come back in hours", fakeemr.Faults{Throttle: 100, RetryAfter: "18000", ThrottlePrefix: "/Observation"}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newSearchOffice(t, searched())
			f.emr.Set(tt.faults)
			r, err := f.trySync(t)
			switch {
			case (err != nil) != (tt.want == ""):
				t.Fatalf("Sync = %+v, %v; want %q", r, err, tt.want)
			case err == nil && r.Verdict != tt.want:
				t.Errorf("verdict = %q, want %q; gaps %+v", r.Verdict, tt.want, r.Gaps)
			}
			f.checkCursor(t, tt.typ)
			if tt.want == fhirsync.Complete {
				f.equal(t)
			}
			f.emr.Set(fakeemr.Faults{})
			f.emr.Clock().Advance(8 * 24 * time.Hour) // the profile is asked for anew
			if r := f.syncAhead(t); r.Verdict != fhirsync.Complete || r.GapCount > 0 {
				t.Errorf("the next run: %q, %+v", r.Verdict, r.Gaps)
			}
			f.equal(t)
		})
	}
}

// TestOffsetDrift: F24, records are inserted and deleted between two pages of a
// server that counts offsets.
func TestOffsetDrift(t *testing.T) {
	f := newSearchOffice(t, searched())
	n := 0
	f.emr.Set(fakeemr.Faults{OffsetPaging: true, SortIgnored: true, OnPage: func(int) {
		if n++; n > 40 || n%4 != 0 {
			return
		}
		if _, err := f.emr.Put(fmt.Appendf(nil, `{"resourceType":"Observation","id":"aa%d"}`, n)); err != nil {
			t.Error(err)
		}
		f.emr.Delete("Observation", fmt.Sprintf("obs-%d-0", n/4))
	}})
	r := f.sync(t)
	f.emr.Set(fakeemr.Faults{})
	f.emr.Clock().Advance(25 * time.Hour)
	f.full = true
	for range 3 {
		r = f.syncAhead(t)
		f.emr.Clock().Advance(25 * time.Hour)
	}
	if r.Verdict != fhirsync.Complete {
		t.Errorf("verdict %q, gaps %+v", r.Verdict, r.Gaps)
	}
	f.equal(t)
}

// TestRewriteOrigin: P114, a proxy that leaks its inside host is refused with the
// host's name, and accepted once the practice has said so.
func TestRewriteOrigin(t *testing.T) {
	f := newSearchOffice(t, searched())
	f.emr.Set(fakeemr.Faults{NextURL: "internal"})
	r := f.sync(t)
	if gap := row(r, "Observation").Gap; !strings.Contains(gap, "http://internal:8080") {
		t.Errorf("the gap does not name the address: %q", gap)
	}
	f.rewrite = true
	f.connect(t)
	if r := f.sync(t); r.Verdict != fhirsync.Complete {
		t.Errorf("with the origin rewritten: %q, %+v", r.Verdict, r.Gaps)
	}
	f.equal(t)
}

// TestLateAndSilent: F2 by search, a record that is stamped before it can be seen;
// F3, an edit that moves no stamp is found by a full run and counted.
func TestLateAndSilent(t *testing.T) {
	f := newSearchOffice(t, searched())
	f.source.Overlap = 2 * time.Minute
	f.sync(t)
	f.emr.Clock().Advance(10 * time.Minute)
	late := []byte(`{"resourceType":"Observation","id":"late"}`)
	if _, err := f.emr.PutLate(late, 90*time.Second); err != nil {
		t.Fatal(err)
	}
	f.emr.Clock().Advance(80 * time.Second)
	f.syncAhead(t)
	f.emr.Clock().Advance(3 * time.Minute)
	if r := f.syncAhead(t); row(r, "Observation").New != 1 {
		t.Errorf("the late record: %+v", row(r, "Observation"))
	}
	if err := f.emr.EditSilently("Observation", "obs-1-0", func(m map[string]any) { m["status"] = "cancelled" }); err != nil {
		t.Fatal(err)
	}
	if r := f.syncAhead(t); row(r, "Observation").Changed != 0 {
		t.Errorf("a silent edit was seen by a run of changes: %+v", row(r, "Observation"))
	}
	f.full = true
	if r := f.syncAhead(t); row(r, "Observation").Silent != 1 {
		t.Errorf("silent changes: %+v", row(r, "Observation"))
	}
	f.equal(t)
}

// TestPurged: F15, records that are gone without a trace become tombstones of
// their own kind after two listings a day apart; one that was deleted at once.
func TestPurged(t *testing.T) {
	for _, mode := range []string{"search", "bulk"} {
		t.Run(mode, func(t *testing.T) {
			o := searched()
			o.NoExport, o.NoHistory, o.Polls = mode == "search", true, -1
			f := newSearchOffice(t, o)
			f.source.Mode = mode
			f.sync(t)
			f.emr.Purge("Condition", f.first(t, "Condition"))
			f.emr.Set(fakeemr.Faults{NoDeleted: true})
			f.emr.Delete("Observation", "obs-2-0")
			f.full = true
			f.emr.Clock().Advance(time.Hour)
			r := f.syncAhead(t)
			if row(r, "Observation").Removed != 1 || row(r, "Condition").Removed != 0 || row(r, "Condition").Lacking != 1 {
				t.Errorf("first listing: %+v, %+v", row(r, "Observation"), row(r, "Condition"))
			}
			f.emr.Clock().Advance(time.Hour)
			if r := f.syncAhead(t); row(r, "Condition").Removed != 0 {
				t.Errorf("an hour later: %+v", row(r, "Condition"))
			}
			f.emr.Clock().Advance(24 * time.Hour)
			if r := f.syncAhead(t); row(r, "Condition").Removed != 1 || r.Verdict != fhirsync.Complete {
				t.Errorf("a day later: %q, %+v", r.Verdict, row(r, "Condition"))
			}
			f.equal(t)
		})
	}
}

// first returns the id of the first record of a type.
func (f *office) first(t *testing.T, typ string) (first string) {
	t.Helper()
	f.each(t, typ, func(id string) {
		if first == "" {
			first = id
		}
	})
	return first
}
