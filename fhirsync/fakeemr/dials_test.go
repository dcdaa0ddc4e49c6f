package fakeemr_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/fhirsync/fakeemr"
)

// TestSearchDials: one search with one dial.
func TestSearchDials(t *testing.T) {
	future := "Patient?_lastUpdated=ge2999-01-01"
	tests := []struct {
		name    string
		faults  fakeemr.Faults
		query   string
		status  int
		entries int
		total   int    // -1: none
		self    string // behind the type
	}{
		{"_lastUpdated", fakeemr.Faults{}, future, 200, 0, -1, "?_lastUpdated=ge2999-01-01"},
		{"ignored", fakeemr.Faults{IgnoreLastUpdated: true}, future, 200, 6, -1, ""},
		{"ignored, counted", fakeemr.Faults{IgnoreLastUpdated: true}, future + "&_summary=count", 200, 0, 6, "?_summary=count"},
		{"ignored, strict", fakeemr.Faults{IgnoreLastUpdated: true}, "strict " + future, 200, 6, -1, ""},
		{"lying self", fakeemr.Faults{LyingSelf: true}, future, 200, 6, -1, "?_lastUpdated=ge2999-01-01"},
		{"strict is refused", fakeemr.Faults{StrictRefused: true}, "strict Patient", 400, 0, -1, ""},
		{"strict is refused, not asked", fakeemr.Faults{StrictRefused: true}, "Patient", 200, 6, -1, ""},
		{"no summary", fakeemr.Faults{NoSummary: true}, "Patient?_summary=count", 400, 0, -1, ""},
		{"no total", fakeemr.Faults{NoTotal: true}, "Patient?_total=accurate", 200, 6, -1, ""},
		{"wrong count", fakeemr.Faults{CountWrong: 2}, "Patient?_summary=count", 200, 0, 8, "?_summary=count"},
		{"wrong total", fakeemr.Faults{CountWrong: -1}, "Patient?_total=accurate", 200, 6, 5, "?_total=accurate"},
		{"count ignored", fakeemr.Faults{CountIgnored: true}, "Patient?_count=2", 200, 6, -1, ""},
		{"count capped", fakeemr.Faults{CountCap: 3}, "Patient?_count=5", 200, 3, -1, "?_count=5"},
		{"empty", fakeemr.Faults{EmptySearch: true}, "Patient?_total=accurate", 200, 0, 0, "?_total=accurate"},
		{"dropped", fakeemr.Faults{DropEntries: 3}, "Patient?_total=accurate", 200, 4, 6, "?_total=accurate"},
		{"refused read", fakeemr.Faults{RefuseRead: []string{"Patient"}}, "Patient/pat-1", 403, 0, -1, ""},
		{"another refused read", fakeemr.Faults{RefuseRead: []string{"Patient/pat-2"}}, "Patient/pat-2", 403, 0, -1, ""},
	}
	c := call(t, few())
	for _, tt := range tests {
		c.e.Set(tt.faults)
		query, strict := strings.CutPrefix(tt.query, "strict ")
		prefer := ""
		if strict {
			prefer = "handling=strict"
		}
		r := c.get(query, "Prefer", prefer)
		if r.status != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, r.status, tt.status)
		}
		if r.status != 200 {
			continue
		}
		b := c.parse(tt.name, r)
		total := -1
		if b.Total != nil {
			total = *b.Total
		}
		if len(b.Entry) != tt.entries || total != tt.total || b.link("self") != c.e.BaseURL()+"/Patient"+tt.self {
			t.Errorf("%s: %d entries, total %d, self %s; want %d, %d, %s", tt.name, len(b.Entry), total, b.link("self"), tt.entries, tt.total, tt.self)
		}
	}
	c.e.Set(fakeemr.Faults{RefuseRead: []string{"Patient/pat-2"}})
	if r := c.get("Patient/pat-1"); r.status != 200 {
		t.Errorf("a read that is not refused: %d", r.status)
	}
}

// TestSortIgnored: neither sorted nor claimed.
func TestSortIgnored(t *testing.T) {
	c := call(t, few())
	c.e.Set(fakeemr.Faults{SortIgnored: true})
	b := c.bundle("Patient?_sort=-_id")
	if slices.IsSortedFunc(b.ids(), func(x, y string) int { return strings.Compare(y, x) }) || strings.Contains(b.link("self"), "_sort") {
		t.Errorf("ids %v, self %s", b.ids(), b.link("self"))
	}
}

// TestSearchCap: a cap that is no page (F25).
func TestSearchCap(t *testing.T) {
	c := call(t, few())
	for _, f := range []fakeemr.Faults{{SearchCap: 4}, {SearchCap: 4, SearchCapCode: "4127", SearchCapFatal: true}} {
		c.e.Set(f)
		b := c.bundle("Patient")
		last := b.Entry[len(b.Entry)-1]
		code, severity := "59133", "information"
		if f.SearchCapFatal {
			code, severity = "4127", "fatal"
		}
		if len(b.Entry) != 5 || last.Search.Mode != "outcome" || b.link("next") != "" {
			t.Errorf("%d entries, the last %s, next %q", len(b.Entry), last.Search.Mode, b.link("next"))
		}
		for _, want := range []string{code, severity, "additional data may exist", "OperationOutcome"} {
			if !bytes.Contains(last.Resource, []byte(want)) {
				t.Errorf("%s is not in %s", want, last.Resource)
			}
		}
		if b := c.bundle("Patient?_id=pat-1,pat-2"); len(b.Entry) != 2 {
			t.Errorf("below the cap: %d entries", len(b.Entry))
		}
		if b := c.bundle("Patient?_summary=count"); *b.Total != 6 {
			t.Errorf("the count: %d, want 6", *b.Total)
		}
	}
}

// TestNextLinks: what is wrong with links to the next page.
func TestNextLinks(t *testing.T) {
	c := call(t, few())
	want := c.allIDs("Patient?_count=2")
	next := func() string { t.Helper(); return c.bundle("Patient?_count=2").link("next") }
	t.Run("expires at page 3, once", func(t *testing.T) {
		c.e.Set(fakeemr.Faults{NextExpires: 3})
		second := c.bundle(next())
		if r := c.get(second.link("next")); r.status != 410 {
			t.Errorf("page 3: %d, want 410", r.status)
		}
		if got := c.allIDs("Patient?_count=2"); !slices.Equal(got, want) {
			t.Errorf("again: %v", got)
		}
	})
	t.Run("expires twice", func(t *testing.T) {
		c.e.Set(fakeemr.Faults{NextExpires: 2, NextExpireTimes: 2})
		for i, status := range []int{410, 410, 200} {
			if r := c.get(next()); r.status != status {
				t.Errorf("time %d: %d, want %d", i, r.status, status)
			}
		}
	})
	t.Run("loops", func(t *testing.T) {
		c.e.Set(fakeemr.Faults{NextLoop: true})
		pages := c.pages("Patient?_count=2", 4)
		for _, b := range pages {
			if !slices.Equal(b.ids(), want[:2]) || len(pages) != 4 || b.link("next") != pages[0].link("next") {
				t.Errorf("%d pages, one %v", len(pages), b.ids())
			}
		}
	})
	t.Run("dangles", func(t *testing.T) {
		c.e.Set(fakeemr.Faults{NextDangling: true})
		pages := c.pages("Patient?_count=2", 3)
		if r := c.get(pages[2].link("next")); r.status != 404 {
			t.Errorf("behind the last page: %d, want 404", r.status)
		}
	})
	t.Run("an empty page in the middle", func(t *testing.T) {
		c.e.Set(fakeemr.Faults{EmptyMiddle: true})
		pages := c.pages("Patient?_count=2", 10)
		if len(pages) != 4 || len(pages[1].Entry) != 0 || !slices.Equal(c.allIDs("Patient?_count=2"), want) {
			t.Errorf("%d pages, the second with %d entries", len(pages), len(pages[1].Entry))
		}
	})
	t.Run("leads elsewhere", func(t *testing.T) {
		base := strings.TrimSuffix(c.e.BaseURL(), "/fhir/r4")
		for where, prefix := range map[string]string{"evil": c.e.EvilURL() + "/fhir/r4/Patient?", "http": strings.Replace(base, "https", "http", 1) + "/fhir/r4/Patient?",
			"inside": "http://169.254.169.254/", "internal": "http://internal:8080/fhir/r4/Patient?", "other": "https://127.0.0.1:", "": base} {
			c.e.Set(fakeemr.Faults{NextURL: where})
			got := next()
			if !strings.HasPrefix(got, prefix) || (where != "") == strings.HasPrefix(got, base) {
				t.Errorf("%q: %s", where, got)
			}
		}
	})
}

// TestPageDials: one page that answers something else.
func TestPageDials(t *testing.T) {
	c := call(t, few())
	statuses := func(query string) (list []int) {
		t.Helper()
		for path, tries := query, 0; path != "" && tries < 8; tries++ {
			r := c.get(path)
			list = append(list, r.status)
			if r.status == 200 {
				path = c.parse(path, r).link("next")
			}
		}
		return list
	}
	c.e.Set(fakeemr.Faults{PageStatus: 503, PageType: "Patient", PageN: 2, PageTimes: 2})
	if got := fmt.Sprint(statuses("Organization"), statuses("Patient?_count=2")); got != "[200] [200 503 503 200 200]" {
		t.Errorf("page 2 twice: %s", got)
	}
	c.e.Set(fakeemr.Faults{PageStatus: 500, PageN: 3})
	if got := fmt.Sprint(statuses("Patient?_count=2")); got != "[200 200 500 500 500 500 500 500]" {
		t.Errorf("page 3 for ever: %s", got)
	}
	c.e.Set(fakeemr.Faults{PageHTML: true, PageTimes: 1})
	if r := c.get("Patient"); r.status != 200 || !bytes.Contains(r.body, []byte("<html>")) {
		t.Errorf("a login page: %d %s", r.status, r.body)
	}
	c.bundle("Patient")
	c.e.Set(fakeemr.Faults{PageCut: true, PageTimes: 1})
	if r := c.get("Patient"); r.status != 200 || r.err != nil || bytes.HasSuffix(r.body, []byte("}]}")) || len(r.body) == 0 {
		t.Errorf("cut: %d, %v, %d bytes", r.status, r.err, len(r.body))
	}
	whole := c.bundle("Patient")
	c.e.Set(fakeemr.Faults{Pretty: true})
	r := c.get("Patient")
	if b := c.parse("pretty", r); len(b.Entry) != len(whole.Entry) || !bytes.Contains(b.Entry[0].Resource, []byte("\n")) {
		t.Errorf("pretty: %d entries, %s", len(b.Entry), b.Entry[0].Resource)
	}
	c.e.Set(fakeemr.Faults{PageStatus: 500, PageType: "Patient"})
	if r := c.get("Patient/_history"); r.status != 500 {
		t.Errorf("a page of a history: %d, want 500", r.status)
	}
}

// TestOffsetPaging: changes between pages duplicate and skip (F24).
func TestOffsetPaging(t *testing.T) {
	for _, offset := range []bool{true, false} {
		c := call(t, few())
		c.e.Set(fakeemr.Faults{OffsetPaging: offset, OnPage: func(n int) {
			switch n {
			case 2:
				c.e.Delete("Patient", "pat-0")
			case 3:
				for _, id := range []string{"aaa", "aab"} {
					if _, err := c.e.Put([]byte(`{"resourceType":"Patient","id":"` + id + `"}`)); err != nil {
						t.Error(err)
					}
				}
			}
		}})
		want := "pat-0 pat-1 pat-2 pat-3 pat-4 pat-5"
		if offset {
			want = "pat-0 pat-1 pat-3 pat-4 pat-3 pat-4 pat-5"
		}
		if got := strings.Join(c.allIDs("Patient?_count=2&_sort=_id"), " "); got != want {
			t.Errorf("offset %v: %s, want %s", offset, got, want)
		}
	}
}

// TestLateCommitInSearch: a change that is stamped before its commit (F2).
func TestLateCommitInSearch(t *testing.T) {
	c := call(t, few())
	c.e.Clock().Advance(time.Hour)
	c.e.Set(fakeemr.Faults{LateCommit: 90 * time.Second})
	before := c.e.Clock().Now().UTC().Format("2006-01-02T15:04:05.000Z")
	if err := c.e.Edit("Patient", "pat-1", func(m map[string]any) { m["active"] = false }); err != nil {
		t.Fatal(err)
	}
	if got := c.allIDs("Patient?_lastUpdated=ge" + before); len(got) != 0 {
		t.Errorf("changed since: %v, want none, as it is stamped before", got)
	}
	since := c.e.Clock().Now().Add(-2 * time.Minute).UTC().Format("2006-01-02T15:04:05.000Z")
	if got := c.allIDs("Patient?_lastUpdated=ge" + since); strings.Join(got, " ") != "pat-1" {
		t.Errorf("with an overlap: %v, want pat-1", got)
	}
}
