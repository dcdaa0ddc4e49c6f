package fakeemr_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/fhirsync/fakeemr"
)

// A caller asks one EMR.
type caller struct {
	t     testing.TB
	e     *fakeemr.EMR
	c     *http.Client
	token string
}

func call(t testing.TB, o fakeemr.Options) *caller {
	t.Helper()
	e, c := start(t, o)
	return &caller{t, e, c, e.GiveToken()}
}

// few is a practice that is small and has every type.
func few() fakeemr.Options {
	return fakeemr.Options{Practice: fakeemr.Practice{Patients: 6, Seed: 1, Years: 3}}
}

// A reply is what a request got.
type reply struct {
	status int
	header http.Header
	body   []byte
	err    error // of reading the body
}

// get asks for a path below the base, or an address; headers are pairs.
func (c *caller) get(path string, headers ...string) reply {
	c.t.Helper()
	return c.do("GET", path, "", headers...)
}

func (c *caller) do(method, path, body string, headers ...string) reply {
	c.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = c.e.BaseURL() + "/" + path
	}
	req, err := http.NewRequest(method, path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	resp, err := c.c.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, b, err}
}

type bundle struct {
	ResourceType, Type string
	Total              *int
	Link               []struct{ Relation, URL string }
	Entry              []struct {
		FullURL  string
		Resource json.RawMessage
		Search   struct{ Mode string }
		Request  *struct{ Method, URL string }
		Response *struct{ Status, Etag, LastModified string }
	}
}

func (b bundle) link(name string) string {
	for _, l := range b.Link {
		if l.Relation == name {
			return l.URL
		}
	}
	return ""
}

func (b bundle) ids() []string {
	var out []string
	for _, e := range b.Entry {
		out = append(out, e.FullURL[strings.LastIndex(e.FullURL, "/")+1:])
	}
	return out
}

// bundle gets a Bundle.
func (c *caller) bundle(path string, headers ...string) bundle {
	c.t.Helper()
	return c.parse(path, c.get(path, headers...))
}

func (c *caller) parse(what string, r reply) bundle {
	c.t.Helper()
	var b bundle
	if err := json.Unmarshal(r.body, &b); err != nil || r.status != 200 || b.ResourceType != "Bundle" {
		c.t.Fatalf("%s: %d, %v: %.300s", what, r.status, err, r.body)
	}
	if ct := r.header.Get("Content-Type"); ct != "application/fhir+json" {
		c.t.Errorf("%s: Content-Type %q", what, ct)
	}
	return b
}

// pages follows next links; it stops after most pages.
func (c *caller) pages(path string, most int) []bundle {
	c.t.Helper()
	var out []bundle
	for path != "" && len(out) < most {
		b := c.bundle(path)
		out = append(out, b)
		path = b.link("next")
	}
	return out
}

func (c *caller) allIDs(path string) []string {
	c.t.Helper()
	var out []string
	for _, b := range c.pages(path, 10000) {
		out = append(out, b.ids()...)
	}
	return out
}

// held is what the oracle says.
func (c *caller) held(typ string) map[string]string {
	c.t.Helper()
	m := map[string]string{}
	err := c.e.EachAt(typ, c.e.Clock().Now(), func(id string, line []byte) error {
		m[id] = string(line)
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// TestSearchGivesTheBytes: the pages of a search hold each record once, byte
// for byte.
func TestSearchGivesTheBytes(t *testing.T) {
	for _, o := range []fakeemr.Options{few(), {Folder: ndjson(t, false)}, {Folder: ndjson(t, true)}} {
		c := call(t, o)
		for _, typ := range c.e.Listed() {
			want := c.held(typ)
			first := c.bundle(typ + "?_total=accurate&_count=1")
			if first.Total == nil || *first.Total != len(want) || first.Type != "searchset" {
				t.Errorf("%s: total %v, want %d", typ, first.Total, len(want))
			}
			for _, b := range c.pages(typ+"?_count=7", 10000) {
				for i, e := range b.Entry {
					id := b.ids()[i]
					if want[id] != string(e.Resource) || e.Search.Mode != "match" || e.FullURL != c.e.BaseURL()+"/"+typ+"/"+id {
						t.Errorf("%s: %s is served as %s", typ, want[id], e.Resource)
					}
					delete(want, id)
				}
			}
			if len(want) > 0 {
				t.Errorf("%s: %d records are not on any page", typ, len(want))
			}
		}
	}
}

// ndjson writes a folder with plain or packed files, of lines with and without
// a stamp.
func ndjson(t testing.TB, packed bool) string {
	t.Helper()
	dir := t.TempDir()
	text := `{"resourceType":"Patient","id":"a","meta":{"lastUpdated":"2020-01-02T03:04:05Z"}}
{ "id": "b", "resourceType": "Patient" }

{"resourceType":"Patient","id":"c","meta":{"profile":["x"],"lastUpdated":"2021-01-02T03:04:05.678+02:00"}}`
	name, data := "Patient.000.ndjson", []byte(text)
	if packed {
		name, data = name+".gz", gz(t, data)
	}
	for name, data := range map[string][]byte{name: data, "Condition.ndjson": []byte(`{"resourceType":"Condition","id":"d","subject": {"reference" : "Patient/b"}}` + "\r\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestLastUpdated: prefixes and precisions, as FHIR R4 says.
func TestLastUpdated(t *testing.T) {
	c := call(t, fakeemr.Options{Folder: ndjson(t, false)})
	for _, line := range []string{
		`{"resourceType":"Group","id":"m","meta":{"lastUpdated":"2024-02-29T12:00:00.000Z"}}`,
		`{"resourceType":"Group","id":"n","meta":{"lastUpdated":"2024-02-29T12:00:00.500Z"}}`,
		`{"resourceType":"Group","id":"o","meta":{"lastUpdated":"2024-03-01T00:00:00.000Z"}}`,
		`{"resourceType":"Group","id":"p","meta":{"lastUpdated":"2025-01-01T00:00:00.000Z"}}`} {
		if _, err := c.e.Put([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ query, want string }{
		{"2024", "m n o"}, {"eq2024-02", "m n"}, {"2024-02-29", "m n"}, {"2024-02-29T12:00Z", "m n"}, {"2024-02-29T12:00:00Z", "m n"},
		{"2024-02-29T12:00:00.0Z", "m"}, {"2024-02-29T12:00:00.500Z", "n"}, {"ne2024-02-29", "o p"}, {"gt2024-02-29", "o p"},
		{"gt2024-02-29T12:00:00Z", "o p"}, {"gt2024-02-29T12:00:00.000Z", "n o p"}, {"ge2024-02-29T12:00:00.500Z", "n o p"},
		{"ge2024-02-29", "m n o p"}, {"lt2024-03", "m n"}, {"le2024-03", "m n o"}, {"sa2024", "p"}, {"eb2024-03-01", "m n"},
		{"ge2024-02-29T12:00:00.500Z&_lastUpdated=lt2025", "n o"}, {"2024-03,2025", "o p"}, {"ge2999-01-01", ""},
		{"ge1900", "m n o p"}, {"le2024-02-29T14:00:00.000%2B02:00", "m"}, {"ge2024-02-29T12:00:00.000000001Z", "m n o p"},
	}
	for _, tt := range tests {
		got := c.allIDs("Group?_sort=_id&_lastUpdated=" + tt.query)
		if strings.Join(got, " ") != tt.want {
			t.Errorf("_lastUpdated=%s: %v, want %s", tt.query, got, tt.want)
		}
	}
	for _, bad := range []string{"ge2024-02-29T14:00:00.000+02:00", "ge2024-02-30", "yesterday", "ap2024", "ge20240229", "ge2024-02-29T", "2024-02-29T12"} {
		if r := c.get("Group?_lastUpdated=" + bad); r.status != 400 || !bytes.Contains(r.body, []byte("OperationOutcome")) {
			t.Errorf("_lastUpdated=%s: %d, want 400", bad, r.status)
		}
	}
	now := c.e.Clock().Now().UTC()
	if got := c.allIDs("Patient?_lastUpdated=ge" + now.Add(-2*time.Hour).Format(time.RFC3339)); strings.Join(got, " ") != "b" {
		t.Errorf("a line without a stamp: %v, want b, as of an hour before the start", got)
	}
	if got := c.allIDs("Patient?_lastUpdated=2021-01-02T01:04:05.678Z"); strings.Join(got, " ") != "c" {
		t.Errorf("a stamp with an offset: %v, want c", got)
	}
	if got := c.allIDs("Patient?_lastUpdated=gt2020-01-02T03:04:05.500Z&_lastUpdated=lt2021"); strings.Join(got, " ") != "a" {
		t.Errorf("a stamp of a whole second is later than its middle: %v, want a", got)
	}
}

// TestSearchParameters: what is used, what is refused, what the self link says.
func TestSearchParameters(t *testing.T) {
	c := call(t, few())
	pats := len(c.held("Patient"))
	tests := []struct {
		query   string
		entries int
		self    string
	}{
		{"Patient", pats, ""},
		{"Patient?_id=pat-1,pat-3,none,pat-1", 2, "?_id=pat-1%2Cpat-3%2Cnone%2Cpat-1"},
		{"Patient?_id=pat-1&_id=pat-3", 0, "?_id=pat-1&_id=pat-3"},
		{"Patient?_id=&_count=2", 2, "?_count=2"},
		{"Patient?_count=10000", pats, "?_count=200"},
		{"Patient?nonsense=1&_count=3&name=x", 3, "?_count=3"},
		{"Patient?patient=pat-1", pats, ""},
		{"Patient?_include=Patient:link&_revinclude=Provenance:target&_summary=false", pats, "?_summary=false"},
		{"Patient?_sort=birthdate", pats, ""},
		{"Patient?_sort=-_lastUpdated,birthdate", pats, "?_sort=-_lastUpdated"},
		{"Patient?_format=json&_total=none", pats, "?_format=json&_total=none"},
	}
	for _, tt := range tests {
		b := c.bundle(tt.query)
		path, _, _ := strings.Cut(tt.query, "?")
		if len(b.Entry) != tt.entries || b.link("self") != c.e.BaseURL()+"/"+path+tt.self || b.Total != nil {
			t.Errorf("%s: %d entries, self %s, total %v; want %d, %s, none", tt.query, len(b.Entry), b.link("self"), b.Total, tt.entries, tt.self)
		}
	}
	refused := map[string]int{"Patient?_count=x": 400, "Patient?_count=-1": 400, "Patient?_id:exact=pat-1": 400,
		"Condition?patient:Patient=pat-1": 400, "Patient?_total=yes": 400, "Patient?_format=xml": 400, "Patient?_id=%zz": 400,
		"Procedure": 404, "Patient/_search": 405, "Patient?_lastUpdated:missing=true": 400, "Patient?_page=none-1-0": 410}
	for path, want := range refused {
		if r := c.get(path); r.status != want {
			t.Errorf("%s: %d, want %d", path, r.status, want)
		}
	}
	for _, path := range []string{"Patient?nonsense=1", "Patient?patient=pat-1", "Patient?_sort=birthdate", "Patient?_summary=data", "Patient?_include=Patient:link"} {
		if r := c.get(path, "Prefer", "return=minimal; handling=strict"); r.status != 400 || !bytes.Contains(r.body, []byte("OperationOutcome")) {
			t.Errorf("%s, strict: %d, want 400", path, r.status)
		}
		if r := c.get(path, "Prefer", "handling=lenient"); r.status != 200 {
			t.Errorf("%s, lenient: %d, want 200", path, r.status)
		}
	}
	if r := c.get("Patient", "Authorization", ""); r.status != 401 {
		t.Errorf("without a token: %d, want 401", r.status)
	}
}

// TestCounts: the number only, in both ways to ask for it.
func TestCounts(t *testing.T) {
	c := call(t, few())
	want := len(c.held("Observation"))
	for _, query := range []string{"_summary=count", "_count=0", "_total=accurate&_count=1", "_total=estimate&_count=1"} {
		b := c.bundle("Observation?" + query)
		if b.Total == nil || *b.Total != want || len(b.Entry) > 1 {
			t.Errorf("%s: total %v, %d entries; want %d", query, b.Total, len(b.Entry), want)
		}
	}
	if n := c.e.Served(); n.Counts != 2 || n.Pages != 2 || n.Searches != 4 {
		t.Errorf("counts %d, pages %d, searches %d; want 2, 2, 4", n.Counts, n.Pages, n.Searches)
	}
}

func TestSearchByPatient(t *testing.T) {
	c := call(t, few())
	want := 0
	for _, line := range c.held("Observation") {
		if strings.Contains(line, `"Patient/pat-2"`) {
			want++
		}
	}
	for _, who := range []string{"pat-2", "Patient/pat-2", c.e.BaseURL() + "/Patient/pat-2", "pat-2,none,pat-2"} {
		if got := c.allIDs("Observation?patient=" + who); len(got) != want || want == 0 {
			t.Errorf("patient=%s: %d, want %d", who, len(got), want)
		}
	}
	form := c.parse("_search", c.do("POST", "Observation/_search?_count=5", "patient=pat-2&_total=accurate", "Content-Type", "application/x-www-form-urlencoded"))
	if form.Total == nil || *form.Total != want || len(form.Entry) != 5 {
		t.Errorf("by POST: total %v, %d entries; want %d, 5", form.Total, len(form.Entry), want)
	}
	if r := c.do("POST", "Observation/_search", "{}", "Content-Type", "application/json"); r.status != 400 {
		t.Errorf("_search with JSON: %d, want 400", r.status)
	}
	if n := c.e.Served().Writes; n != 0 {
		t.Errorf("%d writes; a search by POST is none", n)
	}
	if r := c.do("POST", "Observation", "{}"); r.status != 405 || c.e.Served().Writes != 1 {
		t.Errorf("a create: %d, %d writes; want 405, 1", r.status, c.e.Served().Writes)
	}
}

// TestSort: by stamp and by id, both ways.
func TestSort(t *testing.T) {
	c := call(t, few())
	stamp := func(line []byte) string {
		var m struct{ Meta struct{ LastUpdated string } }
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		return m.Meta.LastUpdated
	}
	for _, by := range []string{"_lastUpdated", "_lastUpdated,_id", "-_lastUpdated", "-_lastUpdated,_id", "_id", "-_id", "_lastUpdated,-_id"} {
		var keys []string
		for _, b := range c.pages("Observation?_count=200&_sort="+by, 100) {
			for i, e := range b.Entry {
				key := stamp(e.Resource)
				if strings.HasSuffix(by, "_id") && !strings.Contains(by, ",") {
					key = b.ids()[i]
				}
				keys = append(keys, key)
			}
		}
		if by[0] == '-' {
			slices.Reverse(keys)
		}
		if len(keys) < 100 || !slices.IsSorted(keys) {
			t.Errorf("_sort=%s: %d entries, not sorted", by, len(keys))
		}
	}
}

// TestSnapshot: pages are of the moment of the first page, and a change that is
// not committed is not seen.
func TestSnapshot(t *testing.T) {
	c := call(t, few())
	first := c.bundle("Patient?_count=2&_sort=_id")
	c.e.Delete("Patient", "pat-0")
	if _, err := c.e.Put([]byte(`{"resourceType":"Patient","id":"aaa"}`)); err != nil {
		t.Fatal(err)
	}
	if got := append(first.ids(), c.allIDs(first.link("next"))...); strings.Join(got, " ") != "pat-0 pat-1 pat-2 pat-3 pat-4 pat-5" {
		t.Errorf("pages: %v", got)
	}
	if got := c.allIDs("Patient?_sort=_id"); strings.Join(got, " ") != "aaa pat-1 pat-2 pat-3 pat-4 pat-5" {
		t.Errorf("afterwards: %v", got)
	}
	line, err := c.e.PutLate([]byte(`{"resourceType":"Patient","id":"late"}`), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if r := c.get("Patient/late"); r.status != 404 || len(c.allIDs("Patient?_id=late")) != 0 {
		t.Errorf("before the commit: %d, want 404 and no entry", r.status)
	}
	now := c.e.Clock().Now()
	c.e.Clock().Advance(2 * time.Minute)
	b := c.bundle("Patient?_id=late&_lastUpdated=lt" + now.Add(time.Second).UTC().Format("2006-01-02T15:04:05.000Z"))
	if len(b.Entry) != 1 || !bytes.Equal(b.Entry[0].Resource, line) {
		t.Errorf("after the commit: %d entries, want the one that was stamped before", len(b.Entry))
	}
}

// BenchmarkSearchPages serves a hundred thousand resources in pages of 100.
func BenchmarkSearchPages(b *testing.B) {
	o := fakeemr.Options{Practice: fakeemr.Practice{Patients: 1500, Seed: 1, Years: 8}, Plain: true}
	c := call(b, o)
	c.bundle("Observation?_count=1") // makes the list
	for _, query := range []string{"_count=100", "_count=100&_sort=_lastUpdated,_id&_lastUpdated=ge1900-01-01T00:00:00.000Z"} {
		b.Run(fmt.Sprintf("%.20s", url.QueryEscape(query)), func(b *testing.B) {
			n := 0
			for b.Loop() {
				for path := "Observation?" + query; path != ""; {
					body := c.get(path).body
					n += bytes.Count(body, []byte(`"fullUrl"`))
					_, rest, more := bytes.Cut(body[:min(600, len(body))], []byte(`"relation":"next","url":"`))
					if path = ""; more {
						end := bytes.IndexByte(rest, '"')
						path = string(rest[:end])
					}
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "resources/s")
		})
	}
}
