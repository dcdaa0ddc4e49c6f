package viewer_test

import (
	"context"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/access"
	"chartcellar/store/chart"
)

// searched are the searches of a practice: one of each kind that is over, and one that
// goes on. Their ids are their names.
func searched() map[string]viewer.SearchResult {
	row := viewer.PatientRow{Entry: chartOf(0).Banner.Entry, Ref: "p1", Source: "main", Age: "76 y"}
	hit := viewer.SearchHit{Ref: "r1", Type: "DocumentReference", Title: "Referral", Date: "2026-05-05", Label: "mental health", Found: []viewer.FoundText{
		{Where: "content › attachment", Text: []chart.Piece{{Text: "no " + script + " "}, {Text: "ZZEXAMPLE pain", Hit: true}, {Text: " today"}}}}}
	notes := viewer.SearchResult{ID: "notes", Ask: viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "chest pain", Types: []string{"Condition"}, Patient: "p1"}, Words: `"ZZEXAMPLE pain"`, Copy: "Copy of today, complete.", Started: now,
		Looked: 48210, Of: 48210, Unread: 2, Withheld: 3, Hits: 2500, Kept: 2000, Found: 45}
	for range 15 {
		p := viewer.SearchPatient{PatientRow: row, All: 12}
		for range 10 {
			p.Hits = append(p.Hits, hit)
		}
		notes.Patients = append(notes.Patients, p)
	}
	notes.Patients[1] = viewer.SearchPatient{All: 1, Hits: []viewer.SearchHit{hit}}
	running := notes
	running.ID, running.Running, running.Looked, running.Of, running.Hits, running.Kept, running.Found = "running", true, 12400, -1, 12, 12, 1
	running.Patients = notes.Patients[:1]
	codes := viewer.SearchResult{ID: "codes", Ask: viewer.SearchAsk{Kind: viewer.SearchCodes}, Words: "diabetes", Looked: 48210, Of: 48210, Found: 2, More: 7,
		Codes: []viewer.CodeRow{{Coding: chart.Coding{System: "http://snomed.info/sct", Code: "44054006", Words: "Diabetes " + script}, Type: "Condition", Records: 1412, Patients: 1033},
			{Coding: chart.Coding{Words: "sugar"}, Type: "Condition", Records: 1, Patients: 1}}}
	cohort := viewer.SearchResult{ID: "cohort", Ask: viewer.SearchAsk{Kind: viewer.SearchCohort, Has: []viewer.CodeAsk{{Kind: chart.HasProblem, Text: "diabetes"}}, Ages: "old"}, Words: "has problem diabetes; female",
		Looked: 900, Of: 900, Found: 51, Void: 4, Lacks: []string{"MedicationRequest"}}
	for range 50 {
		cohort.People = append(cohort.People, viewer.CohortRow{PatientRow: row, Records: 3, First: "2019", Last: "2026-05-05"})
	}
	return map[string]viewer.SearchResult{"notes": notes, "running": running, "codes": codes, "cohort": cohort}
}

func (d *double) EMRs() []string { return nil }

func (d *double) StartSearch(_ context.Context, a viewer.Actor, ask viewer.SearchAsk) (string, error) {
	if ask.Text == "" && len(ask.Has) == 0 {
		return "", &viewer.Refusal{Words: "Type at least one word. Nothing was searched."}
	}
	return string(ask.Kind), d.do("search %s %+v", a.Account, ask)
}

func (d *double) Search(_ context.Context, _ viewer.Actor, id string, from int, rows func(viewer.SearchKind) int) (viewer.SearchResult, error) {
	res, ok := d.searches[id]
	if !ok {
		return res, viewer.ErrNotFound
	}
	if res.From = from; from > 0 {
		res.Patients, res.People, res.Codes = res.Patients[:min(5, len(res.Patients))], res.People[:min(1, len(res.People))], nil
	}
	return res, d.broken
}

func (d *double) StopSearch(_ context.Context, a viewer.Actor, id string) error {
	return d.do("stop search %s %s", a.Account, id)
}

func (d *double) StopSearches(a viewer.Actor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = append(d.left, a.Account)
}

func (d *double) CohortCSV(_ context.Context, a viewer.Actor, id string) ([]byte, error) {
	if _, ok := d.searches[id]; !ok {
		return nil, viewer.ErrNotFound
	}
	return []byte("name\r\nZZEXAMPLE\r\n"), d.do("csv %s %s", a.Account, id)
}

// TestSearchForms: each form asks for what was filled in, and its words are in no address.
func TestSearchForms(t *testing.T) {
	tests := []struct{ name, form, did, to, says string }{
		{"words", "kind=notes&text=chest+pain&group=problems&from=2026-01-01&to=2026-02-01", "search owner {Kind:notes Text:chest pain Types:[Condition] From:2026-01-01 To:2026-02-01 EMR: AsOf: Patient: Has:[] Sex: Ages: State:}", "/search/notes", ""},
		{"codes", "kind=codes&text=diabetes&problem=x", "search owner {Kind:codes Text:diabetes Types:[] From: To: EMR: AsOf: Patient: Has:[] Sex: Ages: State:}", "/search/codes", ""},
		{"a group", "kind=cohort&problem=diabetes&medicine=metformin&vaccine=flu&code=|9&sex=female&ages=old&state=active", "search owner {Kind:cohort Text: Types:[] From: To: EMR: AsOf: Patient: Has:[{Kind:problem Text:diabetes Exact: Type:} {Kind:medicine Text:metformin Exact: Type:} {Kind:vaccine Text:flu Exact: Type:} {Kind: Text:|9 Exact: Type:}] Sex:female Ages:old State:active}", "/search/cohort", ""},
		{"a code that was found", "kind=cohort&exact=http://snomed.info/sct|44054006&type=Condition&emr=main", "search owner {Kind:cohort Text: Types:[] From: To: EMR:main AsOf: Patient: Has:[{Kind: Text: Exact:http://snomed.info/sct|44054006 Type:Condition}] Sex: Ages: State:}", "/search/cohort", ""},
		{"in one chart", "kind=notes&text=pain&patient=p1&asof=2026-03-01", "search owner {Kind:notes Text:pain Types:[] From: To: EMR: AsOf:2026-03-01 Patient:p1 Has:[] Sex: Ages: State:}", "/search/notes", ""},
		{"nothing", "kind=notes&text=&group=problems", "", "", "Nothing was searched"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := practice()
			o := newOffice(t, d)
			form, err := url.ParseQuery(tt.form)
			if err != nil {
				t.Fatal(err)
			}
			res := o.ask(ask{method: http.MethodPost, path: "/search", token: o.settle()[access.Owner], form: form})
			text := body(t, res)
			if got := res.Header.Get("Location"); got != tt.to || strings.Join(d.did, "; ") != tt.did || !strings.Contains(text, tt.says) {
				t.Errorf("to %q, did %v, want %q %q\n%s", got, d.did, tt.to, tt.did, text)
			}
			if tt.to == "" && (res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(text, `value="problems" selected`)) {
				t.Errorf("%d, or what was chosen is gone", res.StatusCode)
			}
		})
	}
}

// TestFoundPages: what was found is on its page, counted, marked, and text.
func TestFoundPages(t *testing.T) {
	o := newOffice(t, practice())
	token := o.settle()["doctor"]
	tests := []struct {
		path      string
		want, not []string
	}{
		{"/search/notes", []string{"1–15 of 45", "only the first 2,000", "<mark>ZZEXAMPLE pain</mark>", "no &lt;script&gt;", "Referral</bdi> (Document reference)", `href="/record/r1"`, `href="/chart/p1"`, "8 more of 12", "10 of 12", "mental health", "Records that name no patient", "Could not be read: 2", "3 records are labelled sensitive", `href="/search/notes?from=15"`, "All 48,210 records were looked at; 2,500 records have"},
			[]string{script, "hx-get=\"/search", "http-equiv=\"refresh\" content=\"3;"}},
		{"/search/notes?from=40", []string{"41–45 of 45", `href="/search/notes?from=25"`}, []string{">More<"}},
		{"/search/running", []string{"Looked at 12,400 records; 12 records have", `hx-get="/search/running/part?from=0&amp;have=1.12.true"`, `content="3;url=/search/running/watch"`, "/search/running/stop", "so far"}, []string{"<progress"}},
		{"/search/running/part?from=0&have=1.12.true", []string{"Looked at 12,400", `id="state"`}, []string{"<mark>", "<html"}},
		{"/search/running/part?from=0&have=1.9.true", []string{"Looked at 12,400", `<div id="found" hx-swap-oob="true">`, "<mark>"}, []string{"<html"}},
		{"/search/running/watch", []string{"<html", "<mark>"}, nil},
		{"/search/codes", []string{"1–2 of 2", "SNOMED 44054006", "Diabetes &lt;script&gt;", "1,412", "1,033", "no code, only words", `name="exact" value="http://snomed.info/sct|44054006"`, "There are more, in 7 records"}, []string{script}},
		{"/search/cohort", []string{"1–50 of 51", "Müller-Ötz", "2019", "2026-05-05", "/search/cohort/patients.csv", "4 records that fit were left out", "Not included in the copy, so not searched: Medication request", `?from=50"`}, nil},
		{"/search", []string{`name="problem"`, "LOINC|4548-4", `type="search"`}, []string{`value="<no`}},
		{"/search?again=cohort", []string{`name="problem" value="diabetes"`, `value="old" selected`}, nil},
		{"/search?again=notes", []string{`name="text" type="search" value="chest pain"`, `value="problems" selected`, "Only in one chart", `name="patient" value="p1"`}, nil},
		{"/search?again=none", []string{`name="problem" value=""`}, []string{"Only in one chart"}},
		{"/patients", []string{`href="/search"`}, nil},
		{"/chart/" + patientRef(), []string{`action="/search"`, `name="patient" value="` + patientRef()}, nil},
		{"/chart/" + patientRef() + "?asof=2026-03-01", []string{`name="asof" value="2026-03-01"><label for="inchart">`}, nil},
	}
	for _, tt := range tests {
		text := o.page(tt.path, token)
		for _, w := range tt.want {
			if !strings.Contains(text, w) {
				t.Errorf("GET %s: no %q in\n%s", tt.path, w, text)
			}
		}
		for _, w := range tt.not {
			if strings.Contains(text, w) {
				t.Errorf("GET %s: %q in\n%s", tt.path, w, text)
			}
		}
	}
	for _, path := range []string{"/search/none", "/search/notes?from=-1", "/search/notes?from=x", "/search/codes?from=100", "/search/none/part"} {
		if res := o.ask(ask{path: path, token: token}); res.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %d", path, res.StatusCode)
		}
	}
}

// TestCohortFile: a list of patients leaves only with the password given once more, and
// only by whom may export.
func TestCohortFile(t *testing.T) {
	d := practice()
	o := newOffice(t, d)
	tokens := o.settle()
	post := func(role access.Role) *http.Response {
		return o.ask(ask{method: http.MethodPost, path: "/search/cohort/patients.csv", token: tokens[role], form: url.Values{}})
	}
	if text := o.page("/search/cohort", tokens[access.Staff]); strings.Contains(text, "patients.csv") {
		t.Error("staff is offered the file")
	}
	if res := post(access.Staff); res.StatusCode != http.StatusForbidden {
		t.Errorf("staff: %d", res.StatusCode)
	}
	o.pass(6 * time.Minute)
	o.page("/search/cohort", tokens[access.Doctor])
	if res := post(access.Doctor); res.Header.Get("Location") != "/confirm?next="+url.QueryEscape("/search/cohort") {
		t.Errorf("without the password: %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	if len(d.did) > 0 {
		t.Errorf("it was done all the same: %v", d.did)
	}
	res := o.ask(ask{method: http.MethodPost, path: "/confirm", token: tokens[access.Doctor], form: url.Values{"password": {"other " + password}}})
	for _, c := range res.Cookies() {
		tokens[access.Doctor] = c.Value
	}
	res = post(access.Doctor)
	if text := body(t, res); res.StatusCode != http.StatusOK || !strings.HasPrefix(text, "name\r\n") || res.Header.Get("Content-Disposition") != `attachment; filename=patients-2026-11-25.csv` ||
		strings.Join(d.did, "; ") != "csv the doctor cohort" {
		t.Errorf("%d %v %v\n%s", res.StatusCode, res.Header, d.did, text)
	}
}

// TestLeavingStopsSearches: who locks the screen or signs out searches no more.
func TestLeavingStopsSearches(t *testing.T) {
	d := practice()
	o := newOffice(t, d)
	token := o.settle()[access.Doctor]
	o.ask(ask{method: http.MethodPost, path: "/lock", token: token, form: url.Values{}})
	o.ask(ask{method: http.MethodPost, path: "/sign-out", token: token, form: url.Values{}})
	if got := strings.Join(d.left, ", "); got != "the doctor, the doctor" {
		t.Errorf("stopped for %s", got)
	}
}

// TestWatchingIsNoUse: a page that asks by itself keeps no session open.
func TestWatchingIsNoUse(t *testing.T) {
	o := newOffice(t, practice())
	token := o.settle()[access.Doctor]
	for range 20 {
		o.pass(time.Minute)
		o.ask(ask{path: "/search/running/part?from=0&have=x", token: token})
		o.ask(ask{path: "/search/running/watch", token: token})
	}
	res := o.ask(ask{path: "/search/running", token: token})
	if to := res.Header.Get("Location"); !strings.HasPrefix(to, "/lock") {
		t.Errorf("after 20 minutes: %d %s", res.StatusCode, to)
	}
	res = o.ask(ask{path: "/search/running/part?from=0&have=x", token: token, change: func(r *http.Request) { r.Header.Set("HX-Request", "true") }})
	if to := res.Header.Get("HX-Redirect"); !strings.HasPrefix(to, "/lock") {
		t.Errorf("the part of a locked page: %d %s", res.StatusCode, to)
	}
}

// TestHostileFound: whatever stands in a record or was typed is text on these pages.
func TestHostileFound(t *testing.T) {
	d := practice()
	for id, res := range d.searches {
		kind := res.Ask.Kind
		poison(reflect.ValueOf(&res))
		res.Ask.Kind, res.ID = kind, hostile
		d.searches[id] = res
	}
	o := newOffice(t, d)
	token := o.settle()[access.Owner]
	for id := range d.searches {
		for _, page := range []string{"", "/part?have=x", "/watch"} {
			text := o.page("/search/"+id+page, token)
			if m := regexp.MustCompile(`<script>|<img src=x|"javascript:|url=javascript|\x{202e}`).FindString(text); m != "" {
				t.Errorf("/search/%s%s: %q is not text", id, page, m)
			}
		}
	}
	form := url.Values{"kind": {"notes"}, "text": {""}, "from": {hostile}, "problem": {hostile}, "emr": {hostile}}
	if text := body(t, o.ask(ask{method: http.MethodPost, path: "/search", token: token, form: form})); strings.Contains(text, "<script>alert") {
		t.Error(text)
	}
}
