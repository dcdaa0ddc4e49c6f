package viewer_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/access"
	"chartcellar/store/chart"
)

// resultVersion is a state of the record that the double shows.
func resultVersion(n int, raw string) viewer.RecordVersion {
	v := viewer.RecordVersion{N: n, Run: uint32(400 + n), Started: now, Ended: now, Fetched: now, Part: "parts/000000/000000000012", Updated: now,
		Version: fmt.Sprint("v", n), Digest: strings.Repeat("ab", 32), Raw: []byte(raw), Counts: true}
	if raw == "" {
		v.Deleted, v.Detector, v.Missing, v.Raw, v.Version = true, "listing", true, []byte(`{"t":"tombstone"}`), ""
	}
	return v
}

// result is the record of the double: what it says and names is not to be trusted.
const resultJSON = `{"resourceType":"Observation","id":"o1","status":"final","contained":[{"resourceType":"Specimen","id":"s","note":[{"text":"drawn"}]}],"specimen":{"reference":"#s"},` +
	`"code":{"coding":[{"system":"http://loinc.org","code":"2823-3","display":"Potassium <script>alert(1)<\/script>"}]},"subject":{"reference":"Patient/p1","display":"ليلى"},` +
	`"performer":[{"reference":"javascript:alert(1)"},{"reference":"https://other.example/fhir/Patient/p1","display":"Their Patient"}],"effectiveDateTime":"2026-01-02","valueQuantity":{"value":4.10,"unit":"mmol/L"},"text":{"div":"<div onclick=\"alert(1)\"><b>Potassium</b> was well<script>alert(2)<\/script></div>"}}`

// Record: a result of the patient; for a Ref of a Practitioner, one of nobody.
func (d *double) Record(_ context.Context, a viewer.Actor, p viewer.Place, page string) (viewer.Record, error) {
	if err := d.do("record %s %s asof %q", a.Account, page, p.AsOf); err != nil {
		return viewer.Record{}, err
	}
	ref, err := d.Unseal(string(p.Ref))
	if err != nil || d.runs == nil { // the zero double has no record
		return viewer.Record{}, viewer.ErrNotFound
	}
	r := viewer.Record{Self: p.Ref, Type: "Observation", ID: "o1", Title: "Potassium " + script, Shown: 1}
	r.AsOf, r.Source, r.Base = p.AsOf, "main", "https://emr.example/fhir"
	r.Named = map[string]viewer.Named{"Patient/p1": {Title: "Anna " + script, Removed: true}}
	_, ref, _ = strings.Cut(ref, " ")
	switch r.Type, r.ID, _ = strings.Cut(ref, "/"); r.Type {
	case "Practitioner":
		r.Versions, r.Shown = []viewer.RecordVersion{resultVersion(1, `{"resourceType":"Practitioner","id":"d1","photo":[{"contentType":"image/png","url":"Binary/p","title":"Portrait"}],"name":[{"family":"Lee"}]}`)}, 0
		return r, nil
	case "Binary":
		r.Versions, r.Shown = []viewer.RecordVersion{resultVersion(1, `{"resourceType":"Binary","id":"b","data":"`+strings.Repeat("AAAA", 1<<21)+`"}`)}, 0
		return r, nil
	case "Odd":
		r.Shown, r.Stranger = 0, "https://other.example/fhir/Patient/p1"
		r.Versions = []viewer.RecordVersion{resultVersion(1, `{"resourceType":"Observation","id":"o1","valueQuantity":{"value":1,"value":2}}`)}
	case "Gone":
		r.Removed, r.Shown = true, 0
		r.Versions = []viewer.RecordVersion{resultVersion(1, resultJSON), resultVersion(2, "")}
	default:
		first := resultVersion(1, strings.ReplaceAll(resultJSON, "4.10", "3.90"))
		held := resultVersion(3, strings.ReplaceAll(resultJSON, "final", "amended"))
		held.Counts, held.Why = false, "held: it waits for your decision"
		lost := resultVersion(4, "x")
		lost.Lost, lost.Raw, lost.Digest = true, nil, ""
		r.Versions = []viewer.RecordVersion{first, resultVersion(2, resultJSON), held, lost}
	}
	c, err := d.Chart(context.Background(), a, viewer.Place{Ref: d.Refer("main", "Patient/p1"), AsOf: p.AsOf}, "banner")
	r.ChartHead = c.ChartHead
	return r, err
}

func (d *double) Uses(ctx context.Context, a viewer.Actor, p viewer.Place, wide bool) (viewer.Uses, error) {
	r, err := d.Record(ctx, a, p, "where it is used")
	if err != nil {
		return viewer.Uses{}, err
	}
	u := viewer.Uses{Record: r, Wide: wide, Looked: 456, Of: 456}
	if r.Shown >= 0 {
		u.Out, err = chart.Links(r.Versions[r.Shown].Raw)
	}
	u.In = []viewer.Use{{Event: chart.Event{Ref: "DiagnosticReport/r1", KindWords: "Reports", Title: script, Date: "2026-01-02"}, Paths: []string{"result 1 › reference"}}}
	if wide {
		u.Looked, u.Of, u.More, u.Hidden, u.Sealed = 300000, 2000000, true, 2, 7
	}
	return u, err
}

func (d *double) Bytes(_ context.Context, a viewer.Actor, p viewer.Place, n int) ([]byte, error) {
	if n != 2 {
		return nil, viewer.ErrNotFound
	}
	return []byte(resultJSON), d.do("bytes %s %d asof %q", a.Account, n, p.AsOf)
}

func (d *double) Timeline(ctx context.Context, a viewer.Actor, p viewer.Place, words string) (viewer.Timeline, error) {
	if err := d.do("timeline %s %q", a.Account, words); err != nil {
		return viewer.Timeline{}, err
	}
	if d.runs == nil {
		return viewer.Timeline{}, viewer.ErrNotFound
	}
	c, err := d.Chart(ctx, a, p, "timeline")
	t := viewer.Timeline{ChartHead: c.ChartHead, Words: words}
	b := chart.New(chart.Options{At: now, Timeline: true})
	for _, line := range records(250) {
		typ := strings.SplitN(line, `"`, 5)[3]
		b.Add(chart.Resource{Type: typ, ID: strings.SplitN(line, `"`, 9)[7], Raw: []byte(line)})
	}
	t.Timeline = b.Chart().Timeline
	if ref := map[string]string{"hyper tension": "Condition/c1", "penicillin": "AllergyIntolerance/a1"}[words]; words != "" {
		t.Hits = map[string]chart.Hit{ref: {Where: "code › text", Snippet: script}}
		t.Timeline = t.Timeline.Only(func(e *chart.Event) bool { return e.Ref == ref })
	}
	return t, err
}

func (d *double) ChartChanges(ctx context.Context, a viewer.Actor, p viewer.Place, since string) (viewer.ChartChanges, error) {
	if err := d.do("chart changes %s since %q", a.Account, since); err != nil {
		return viewer.ChartChanges{}, err
	}
	if d.runs == nil {
		return viewer.ChartChanges{}, viewer.ErrNotFound
	}
	c, err := d.Chart(ctx, a, p, "changes")
	out := viewer.ChartChanges{ChartHead: c.ChartHead, Since: since, From: "Compared with run 400."}
	switch since {
	case "":
		out.Since, out.First = "2026-10-01", true
	case "2020-01-01":
		out.TooSoon = now
		return out, err
	case "2026-11-27":
		return out, err
	}
	changes, err := chart.Diff([]byte(`{"meta":{"versionId":"1"},"a":1,"b":1,"c":1}`), []byte(`{"meta":{"versionId":"2"},"a":2,"b":2,"c":2}`))
	chart.SaidFirst(changes)
	out.List = append(out.List, viewer.ChangedRecord{Event: chart.Event{Ref: "Observation/o1", KindWords: "Results", Title: script, Date: "2026-01-02"}, How: "changed", From: 1, To: 2, Changes: changes})
	for i := range 150 {
		out.List = append(out.List, viewer.ChangedRecord{Event: chart.Event{Ref: fmt.Sprint("Encounter/e", i), KindWords: "Visits", Title: fmt.Sprint("Visit ", i)}, How: "new"})
	}
	out.List = append(out.List, viewer.ChangedRecord{Event: chart.Event{Ref: "Gone/g", KindWords: "Gone", Title: "x"}, How: "removed"})
	out.Hidden, out.Unread = 1, 2
	return out, err
}

// recordRef is the address of a record of the double.
func recordRef(ref string) string { return string((&double{}).Refer("main", ref)) }

// A saying is what a page must say, and what it must not.
type saying struct {
	name, path string
	want, not  []string
}

func checkPages(t *testing.T, tests []saying) {
	t.Helper()
	o := newOffice(t, practice())
	token := o.settle()[access.Doctor]
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := o.ask(ask{path: tt.path, token: token})
			text := body(t, res)
			if res.StatusCode != 200 {
				t.Fatalf("%d\n%s", res.StatusCode, text)
			}
			for _, w := range tt.want {
				if !strings.Contains(text, w) {
					t.Errorf("no %q in\n%s", w, text)
				}
			}
			for _, w := range append(tt.not, script, `href="javascript`) {
				if strings.Contains(text, w) {
					t.Errorf("%q in\n%s", w, text)
				}
			}
		})
	}
}

func TestRecordPages(t *testing.T) {
	at, gone, lee := "/record/"+recordRef("Observation/o1"), "/record/"+recordRef("Gone/g"), "/record/"+recordRef("Practitioner/d1")
	odd := "/record/" + recordRef("Odd/o")
	checkPages(t, []saying{
		{"the card", at, []string{"Müller-Ötz", "version 2 of 4", "4.10", "mmol/L", "LOINC 2823-3", `>LOINC</bdi></span>`, "&lt;script&gt;", `id="inside-1"`, "#inside-1", "ليلى",
			"/record/" + recordRef("Patient/p1"), "javascript:alert(1)</bdi>", "Anna &lt;script&gt;", `aria-current="page">Card`, `<bdi class="value">https://other.example/fhir/Patient/p1</bdi> <span class="says"><bdi>a record of another server</bdi></span>`,
			`<iframe sandbox="" class="foreign narrative" srcdoc="&lt;div&gt;&lt;b&gt;Potassium&lt;/b&gt; was well&lt;/div&gt;"`}, []string{"3.90", "alert(2)", "onclick", "stands in it twice", "at another server"}},
		{"of a patient of another server, and a value twice", odd, []string{"It names its patient at another server", "https://other.example/fhir/Patient/p1", "An element stands in it twice", "value (again):"}, nil},
		{"an older version", at + "?version=1", []string{"3.90", "This is version 1", "Show the one that stands", "source?version=1"}, []string{"4.10"}},
		{"a lost version", at + "?version=4", []string{"The bytes of this version were lost"}, nil},
		{"as of a day", at + "?asof=2026-03-01", []string{"/source?asof=2026-03-01", "Show today’s"}, nil},
		{"the source", at + "/source", []string{strings.Repeat("ab", 32), "&#34;value&#34;: 4.10", "&#34;value&#34;:4.10", "Take it out as a file"}, nil},
		{"the versions", at + "/versions", []string{"4 versions", "stands: this is the record now", "does not count: held: it waits for your decision", "lost: no copy had its bytes", "/changed?from=1&amp;to=2", "v2", "402"}, nil},
		{"what changed, between two", at + "/changed?from=1&to=2", []string{"1 difference</strong>.", "value quantity › value", "<del><bdi class=\"value\">3.90</bdi></del>", "<ins><bdi class=\"value\">4.10</bdi></ins>", "The JSON of both"}, nil},
		{"what changed the last time, lost", at + "/changed", []string{"cannot be compared"}, nil},
		{"nothing changed", at + "/changed?from=2&to=2", []string{"They say the same."}, nil},
		{"where it is used", at + "/used", []string{`Patient/p1</a></th><td data-l="element">subject › reference`, `<td data-l="in the copy">yes; removed at the EMR</td>`, "inside this record", "names no record by its id", `<th scope="row">https://other.example/fhir/Patient/p1</th><td data-l="element">performer 2 › reference</td>`, `<bdi>Their Patient</bdi></td><td data-l="in the copy">a record of another server</td>`, "result 1 › reference", "456 of 456 records of this chart were looked at", "used?wide=1"}, nil},
		{"in the whole copy", at + "/used?wide=1", []string{"300,000 of 2,000,000 records of the EMR", "perhaps more", "7 records are of patients who are sealed", "2 records that name it are not shown"}, nil},
		{"where it came from", at + "/from", []string{"UTC", "run 402", "parts/000000/000000000012", strings.Repeat("ab", 32), "v2"}, nil},
		{"of a version that waits", at + "/from?version=3", []string{"held: it waits", "run 403"}, nil},
		{"removed at the EMR", gone, []string{"The EMR no longer has this record", "version 1 of 2", "4.10"}, nil},
		{"its versions", gone + "/versions", []string{"it may be hidden", "the last before the EMR removed it"}, nil},
		{"its removal", gone + "/changed", []string{"there is nothing to compare element by element"}, nil},
		{"who removed it", gone + "/from?version=2", []string{"listing", "removed at the EMR"}, nil},
		{"a record of nobody", lee, []string{"<h1>Practitioner</h1>", "Lee", `/document/` + recordRef("Practitioner/d1") + `/1"><bdi>Portrait</bdi></a>`, `name="asof"`}, []string{"Müller-Ötz", `class="banner"`}},
		{"a large file", "/record/" + recordRef("Binary/b"), []string{"(6291456 bytes, not shown here)", "3 values"}, []string{"AAAAAA"}},
		{"the source of a large file", "/record/" + recordRef("Binary/b") + "/source", []string{"The first megabyte of 8,388,"}, nil},
		{"one version only", lee + "/changed", []string{"There is one version only"}, nil},
	})
	o := newOffice(t, practice())
	token := o.settle()[access.Doctor]
	for _, path := range []string{"/record/@@", at + "?version=5", at + "?version=0", at + "?version=x", at + "/changed?from=9", at + "/nothing"} {
		if res := o.ask(ask{path: path, token: token}); res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// TestRecordFile: the bytes are given as they are, to who may take records out.
func TestRecordFile(t *testing.T) {
	d := practice()
	o := newOffice(t, d)
	token := o.settle()[access.Owner]
	form := url.Values{"version": {"2"}}
	path := "/record/" + recordRef("Observation/o1") + "/file"
	res := o.ask(ask{method: http.MethodPost, path: path, token: token, form: form})
	if text := body(t, res); res.StatusCode != 200 || text != resultJSON || !strings.Contains(res.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%d %q\n%s", res.StatusCode, res.Header.Get("Content-Disposition"), text)
	}
	if got := d.did[len(d.did)-1]; got != `bytes owner 2 asof ""` {
		t.Errorf("did %s", got)
	}
	o.pass(6 * time.Minute)
	res = o.ask(ask{method: http.MethodPost, path: path, token: token, form: form})
	if to := res.Header.Get("Location"); to != "/confirm?next="+url.QueryEscape(strings.TrimSuffix(path, "file")+"source") {
		t.Errorf("without the password once more: %d %s", res.StatusCode, to)
	}
	token, _, err := o.a.SignIn(t.Context(), "owner", password, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "1", "x"} {
		if res := o.ask(ask{method: http.MethodPost, path: path, token: token, form: url.Values{"version": {bad}}}); res.StatusCode != 404 {
			t.Errorf("version %q: %d", bad, res.StatusCode)
		}
	}
}

func TestTimelinePages(t *testing.T) {
	at := "/chart/" + patientRef() + "/timeline"
	found := url.QueryEscape((&double{}).Seal("hyper tension"))
	checkPages(t, []saying{
		{"the newest", at, []string{"255 records", "1–100 of 252", "page=2", "Older", "Without a date", "Entered in error", "2019", ">Lisinopril<"}, []string{"Wrong patient", "Newer"}},
		{"the last page", at + "?page=3", []string{"201–252 of 252", "Newer", "Hypertension"}, []string{"Older</a>"}},
		{"one kind", at + "?kind=problems", []string{"1 of 1", "Hypertension", `aria-current="true">Problems`}, []string{"Lisinopril"}},
		{"one year", at + "?year=2026", []string{"of 251"}, []string{"Hypertension"}},
		{"without a date", at + "?part=undated", []string{"1–2 of 2", "no date", "Vendor thing"}, []string{"Lisinopril", `aria-label="Years"`}},
		{"entered in error", at + "?part=error", []string{"Wrong patient", "entered in error"}, nil},
		{"with words", at + "?q=" + found, []string{"1 record holds", "hyper tension", "code › text", "&lt;script&gt;", "Show all records"}, []string{"Lisinopril"}},
		{"with words that only a record without a date holds", at + "?q=" + url.QueryEscape((&double{}).Seal("penicillin")), []string{"1 record holds", "1 of 1", "no date", ">Penicillin<"}, nil},
		{"with words that no record holds", at + "?q=" + url.QueryEscape((&double{}).Seal("nothing")), []string{"0 records hold", "No record that fits holds these words"}, nil},
		{"nothing fits", at + "?year=1900", []string{"No record fits"}, nil},
		{"as of a day", at + "?asof=2026-03-01", []string{"asof=2026-03-01&amp;kind=problems"}, nil},
	})
	o := newOffice(t, practice())
	token := o.settle()[access.Doctor]
	for _, path := range []string{at + "?page=9", at + "?page=x", at + "?part=x", at + "?q=@@"} {
		if res := o.ask(ask{path: path, token: token}); res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	res := o.ask(ask{method: http.MethodPost, path: at, token: token, form: url.Values{"text": {"Müller"}, "asof": {"2026-03-01"}}})
	if to := res.Header.Get("Location"); res.StatusCode != 303 || !strings.Contains(to, "q=") || !strings.Contains(to, "asof=2026-03-01") || strings.Contains(to, "ller") {
		t.Errorf("a search is answered by %d %s", res.StatusCode, to)
	}
}

func TestChartChangesPages(t *testing.T) {
	at := "/chart/" + patientRef() + "/changes"
	diff := "/record/" + recordRef("Observation/o1") + "/changed?from=1&amp;to=2"
	checkPages(t, []saying{
		{"of the last days", at, []string{"since the first copy", "1 of them only in what the EMR notes", `/changes?page=2"`, "150 new, 1 changed, 1 removed", "1–100 of 152", diff, "4 differences", "a: 1 -&gt; 2", "1 record not shown to your role", "2 stored versions"}, []string{"version id: 1"}},
		{"the rest", at + "?page=2&since=2026-05-01", []string{"Removed at the EMR; the copy has kept them", "/record/" + recordRef("Gone/g"), "101–152 of 152"}, nil},
		{"before the first copy", at + "?since=2020-01-01", []string{"there is nothing to compare with", "?since=2026-11-25"}, nil},
		{"nothing", at + "?since=2026-11-27", []string{"Nothing of this patient changed"}, nil},
	})
	o := newOffice(t, practice())
	token := o.settle()[access.Doctor]
	for path, want := range map[string]int{at + "?page=9": 404, at + "?page=0": 404, at + "?since=yesterday": 422} {
		if res := o.ask(ask{path: path, token: token}); res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
}
