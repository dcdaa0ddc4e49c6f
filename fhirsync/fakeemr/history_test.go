package fakeemr_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"chartcellar/fhirsync/fakeemr"
)

// story makes changes a minute apart and returns when they began.
func story(t *testing.T, c *caller) time.Time {
	t.Helper()
	began := c.e.Clock().Now().UTC()
	set := func(m map[string]any) { m["active"] = false }
	for _, step := range []func() error{
		func() error { _, err := c.e.Put([]byte(`{"resourceType":"Patient","id":"new"}`)); return err },
		func() error { return c.e.Edit("Patient", "pat-1", set) },
		func() error { c.e.Delete("Patient", "pat-2"); return nil },
		func() error { c.e.Delete("Patient", "new"); return nil },
		func() error { c.e.Purge("Patient", "pat-3"); return nil },
		func() error {
			return c.e.EditSilently("Patient", "pat-1", func(m map[string]any) { m["gender"] = "other" })
		},
	} {
		c.e.Clock().Advance(time.Minute)
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return began
}

func TestTypeHistory(t *testing.T) {
	c := call(t, few())
	began := story(t, c)
	var got []string
	for _, b := range c.pages("Patient/_history?_count=2&_since="+began.Format("2006-01-02T15:04:05.000Z"), 10) {
		if b.Type != "history" || b.Total == nil || *b.Total != 4 || len(b.Entry) > 2 {
			t.Errorf("page: %s, total %v, %d entries", b.Type, b.Total, len(b.Entry))
		}
		for _, e := range b.Entry {
			got = append(got, e.Request.Method+" "+e.Request.URL)
			if gone := e.Request.Method == "DELETE"; gone != (e.Resource == nil) || e.Response.LastModified == "" {
				t.Errorf("%s %s: resource %.60s, response %+v", e.Request.Method, e.Request.URL, e.Resource, e.Response)
			}
			if strings.HasSuffix(e.Request.URL, "pat-1") && !bytes.Contains(e.Resource, []byte(`"gender":"other"`)) {
				t.Error("the version that was edited silently shows its old content")
			}
		}
	}
	if want := "DELETE Patient/new, DELETE Patient/pat-2, PUT Patient/pat-1, POST Patient"; strings.Join(got, ", ") != want {
		t.Errorf("history: %v, want %s", got, want)
	}
	all := c.bundle("Patient/_history?_count=200")
	if n := len(all.Entry); n != 9 { // six patients, less the purged one, and the four changes
		t.Errorf("the whole history has %d entries, want 9", n)
	}
	for _, path := range []string{"Patient/_history?_since=2024", "Patient/_history?_count=x"} {
		if r := c.get(path); r.status != 400 {
			t.Errorf("%s: %d, want 400", path, r.status)
		}
	}
	if n := c.e.Served(); n.Histories != 2 || n.Pages != 3 {
		t.Errorf("histories %d, pages %d; want 2, 3", n.Histories, n.Pages)
	}
}

func TestInstanceHistory(t *testing.T) {
	c := call(t, few())
	story(t, c)
	for path, want := range map[string]int{"Patient/pat-1/_history": 2, "Patient/pat-2/_history": 2, "Patient/pat-0/_history": 1, "Patient/new/_history": 2} {
		b := c.bundle(path)
		if len(b.Entry) != want || b.link("self") != c.e.BaseURL()+"/"+path {
			t.Errorf("%s: %d entries, self %s; want %d", path, len(b.Entry), b.link("self"), want)
		}
	}
	for path, want := range map[string]int{"Patient/none/_history": 404, "Patient/pat-3/_history": 404, "Procedure/_history": 404, "Patient/pat-1/_history/1": 404} {
		if r := c.get(path); r.status != want {
			t.Errorf("%s: %d, want %d", path, r.status, want)
		}
	}
}

// TestRead: the states of a record, and its version in the headers.
func TestRead(t *testing.T) {
	c := call(t, few())
	before := c.get("Patient/pat-1")
	story(t, c)
	for path, want := range map[string]int{"Patient/pat-1": 200, "Patient/pat-2": 410, "Patient/pat-3": 404, "Patient/new": 410, "Patient/none": 404, "None/x": 404} {
		if r := c.get(path); r.status != want || r.header.Get("Content-Type") != "application/fhir+json" {
			t.Errorf("%s: %d, want %d", path, r.status, want)
		}
	}
	after := c.get("Patient/pat-1")
	tag, when := after.header.Get("ETag"), after.header.Get("Last-Modified")
	if _, err := http.ParseTime(when); err != nil || !strings.HasPrefix(tag, `W/"`) || tag == before.header.Get("ETag") {
		t.Errorf("ETag %s after %s, Last-Modified %q", tag, before.header.Get("ETag"), when)
	}
	if r := c.get("Patient/pat-1", "If-None-Match", `W/"x", `+tag); r.status != 304 || len(r.body) > 0 {
		t.Errorf("If-None-Match with the version: %d, want 304", r.status)
	}
	if r := c.get("Patient/pat-1", "If-None-Match", before.header.Get("ETag")); r.status != 200 {
		t.Errorf("If-None-Match with the version before: %d, want 200", r.status)
	}
}

// TestSilentAndPurged: neither moves a stamp nor shows in a list of deletions.
func TestSilentAndPurged(t *testing.T) {
	c := call(t, few())
	began := c.e.Clock().Now()
	c.e.Clock().Advance(time.Minute)
	before, _ := c.e.Resource("Patient", "pat-1")
	if err := c.e.EditSilently("Patient", "pat-1", func(m map[string]any) { m["active"] = false }); err != nil {
		t.Fatal(err)
	}
	c.e.Purge("Patient", "pat-3")
	after, _ := c.e.Resource("Patient", "pat-1")
	meta := func(b []byte) string {
		_, rest, _ := bytes.Cut(b, []byte(`"versionId":"`))
		_, at, _ := bytes.Cut(b, []byte(`"lastUpdated":"`))
		return string(rest[:1]) + string(at[:24])
	}
	stampOnly := strings.Contains(meta(after), meta(before)[1:])
	if bytes.Equal(before, after) || !stampOnly || meta(after)[:1] != meta(before)[:1] {
		t.Errorf("before %s\nafter  %s: want the same meta and another content", before, after)
	}
	since := began.UTC().Format("2006-01-02T15:04:05.000Z")
	if got := c.allIDs("Patient?_lastUpdated=ge" + since); len(got) != 0 {
		t.Errorf("changed since: %v, want none", got)
	}
	if got := c.allIDs("Patient?_id=pat-1,pat-3"); strings.Join(got, " ") != "pat-1" {
		t.Errorf("there now: %v, want pat-1", got)
	}
	if got := c.bundle("Patient/_history?_since=" + since); len(got.Entry) != 0 {
		t.Errorf("the history since then has %d entries, want 0", len(got.Entry))
	}
	if err := c.e.EditSilently("Patient", "pat-3", func(map[string]any) {}); err == nil {
		t.Error("a purged record can be edited")
	}
}

// TestOptionsOfTheEMR: what is not offered is neither in the statement nor there.
func TestOptionsOfTheEMR(t *testing.T) {
	o := few()
	tests := []struct {
		name     string
		change   func(*fakeemr.Options)
		path     string
		status   int
		has, not string
	}{
		{"everything", func(*fakeemr.Options) {}, "Patient/_history", 200, `"history-type"`, "none"},
		{"no export", func(o *fakeemr.Options) { o.NoExport = true }, "$export", 404, `"search-type"`, `"export"`},
		{"no export of a group", func(o *fakeemr.Options) { o.NoExport = true }, "Group/all-patients/$export", 404, `"search-type"`, `"export"`},
		{"no search", func(o *fakeemr.Options) { o.NoSearch = true }, "Patient", 405, `"history-type"`, `"search-type"`},
		{"no history", func(o *fakeemr.Options) { o.NoHistory = true }, "Patient/_history", 405, `"search-type"`, `"history-`},
		{"only patients", func(o *fakeemr.Options) { o.SearchTypes = []string{"Patient"} }, "Condition", 405, `"search-type"`, `"patient"`},
		{"hidden type", func(o *fakeemr.Options) { o.HiddenTypes = []string{"Practitioner"} }, "Practitioner", 405, `"Practitioner"`, "none"},
		{"hidden type, read", func(o *fakeemr.Options) { o.HiddenTypes = []string{"Practitioner"} }, "Practitioner/prac-0", 200, `"Practitioner"`, "none"},
		{"hidden Binary", func(o *fakeemr.Options) { o.HideBinary = true }, "Binary", 405, `"Patient"`, `"Binary"`},
		{"hidden Binary, read", func(o *fakeemr.Options) { o.HideBinary = true }, "Binary/bin-0-1", 200, `"Patient"`, `"Binary"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := o
			tt.change(&o)
			c := call(t, o)
			if r := c.get(tt.path, "Prefer", "respond-async"); r.status != tt.status {
				t.Errorf("%s: %d, want %d", tt.path, r.status, tt.status)
			}
			body := string(c.get("metadata").body)
			if !strings.Contains(body, tt.has) || strings.Contains(body, tt.not) {
				t.Errorf("the statement has %s %v, has %s %v; want true, false", tt.has, strings.Contains(body, tt.has), tt.not, strings.Contains(body, tt.not))
			}
		})
	}
}
