package viewer_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/access"
	"chartcellar/store/chart"
)

// script is a text that would be one if a page let it.
const script = `<script>alert(1)</script>`

// records are those of the one patient that the double has.
func records(n int) []string {
	list := []string{`{"resourceType":"Patient","id":"p1","name":[{"family":"Müller-Ötz","given":["Anna ` + strings.ReplaceAll(script, "/", `\/`) + `"]}],"birthDate":"1950-03-12","gender":"female","identifier":[{"type":{"coding":[{"code":"MR"}]},"value":"4711"}]}`,
		`{"resourceType":"AllergyIntolerance","id":"a1","clinicalStatus":{"coding":[{"code":"active"}]},"criticality":"high","code":{"text":"Penicillin"}}`,
		`{"resourceType":"Condition","id":"c1","clinicalStatus":{"coding":[{"code":"active"}]},"code":{"text":"Hypertension"},"onsetDateTime":"2019"}`,
		`{"resourceType":"Condition","id":"c2","verificationStatus":{"coding":[{"code":"entered-in-error"}]},"code":{"text":"Wrong patient"}}`,
		`{"resourceType":"MedicationRequest","id":"m1","status":"active","intent":"order","medicationCodeableConcept":{"text":"Lisinopril"},"authoredOn":"2026-01-02"}`,
		`{"resourceType":"VendorThing","id":"v1"}`}
	for i := range n {
		list = append(list, fmt.Sprintf(`{"resourceType":"Observation","id":"o%d","status":"final","category":[{"coding":[{"code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"%d-0"}],"text":"Test %d"},"effectiveDateTime":"2026-01-02","valueQuantity":{"value":%d}}`, i, i, i, i))
	}
	return list
}

func chartOf(n int, more ...string) *chart.Chart {
	b := chart.New(chart.Options{At: now})
	for _, line := range append(records(n), more...) {
		typ := strings.SplitN(line, `"`, 5)[3]
		id := strings.SplitN(line, `"`, 9)[7]
		b.Add(chart.Resource{Type: typ, ID: id, Raw: []byte(line)})
	}
	c := b.Chart()
	c.Banner.ID = "p1"
	return c
}

// Seal hides nothing: it only writes letters that an address may have, as many as the
// room does.
func (d *double) Seal(text string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(text + strings.Repeat(" ", 40)))
}

func (d *double) Unseal(sealed string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return "", viewer.ErrNotFound
	}
	return strings.TrimSuffix(string(b), strings.Repeat(" ", 40)), nil
}

func (d *double) Refer(source, ref string) viewer.Ref { return viewer.Ref(d.Seal(source + " " + ref)) }

func (d *double) Patients(_ context.Context, a viewer.Actor, q viewer.PatientQuery) (viewer.Patients, error) {
	if err := d.do("patients %s %q page %d", a.Account, q.Text, q.Page); err != nil {
		return viewer.Patients{}, err
	}
	e := chartOf(0).Banner.Entry
	out := viewer.Patients{All: 120, Found: 120, Copy: "Copy of today, complete."}
	if q.Text != "" && !strings.HasPrefix("müller", strings.ToLower(q.Text)) {
		out.Found = 0
		return out, nil
	}
	for i := q.Page * q.Rows; i < min((q.Page+1)*q.Rows, out.Found); i++ {
		out.List = append(out.List, viewer.PatientRow{Entry: e, Ref: d.Refer("main", fmt.Sprint("Patient/p", i+1)), Source: "main", Age: "76 y"})
	}
	return out, nil
}

func (d *double) ForgetRecent(a viewer.Actor) { d.do("forget %s", a.Account) }

func (d *double) Chart(_ context.Context, a viewer.Actor, p viewer.Place, section string) (viewer.Chart, error) {
	d.actor = a
	if err := d.do("chart %s %s asof %q", a.Account, section, p.AsOf); err != nil {
		return viewer.Chart{}, err
	}
	if _, err := d.Unseal(string(p.Ref)); err != nil {
		return viewer.Chart{}, err
	}
	c := d.ready
	if c == nil {
		c = chartOf(450, d.measured...)
	}
	h := viewer.ChartHead{Ref: p.Ref, AsOf: p.AsOf, Source: "main", Banner: c.Banner, Copy: "Copy of today, complete.", Records: c.Records,
		Days: []time.Time{now}, Tabs: []viewer.ChartTab{{Title: "Summary", Records: -1}, {Key: "problems", Title: "Problems", Records: 2}}}
	return viewer.Chart{ChartHead: h, Whole: c}, nil
}

// patientRef is the address of the patient of the double.
func patientRef() string { return string((&double{}).Refer("main", "Patient/p1")) }

// TestSummaryFolds: what is over is folded in the summary, and open in its section; what
// is active is open in both, and each cell says what it is where there are no columns.
func TestSummaryFolds(t *testing.T) {
	d := practice()
	d.measured = []string{`{"resourceType":"Condition","id":"c9","clinicalStatus":{"coding":[{"code":"resolved"}]},"code":{"text":"Gout"},"onsetDateTime":"2001"}`}
	o := newOffice(t, d)
	token := o.settle()["doctor"]
	for path, wants := range map[string][]string{
		"":          {`<details><summary>Inactive or resolved <span class="count">1</span></summary>`, `<h3>Active <span class="count">1</span></h3>`, `data-l="since">2019</td>`, "Gout"},
		"/problems": {`<h3>Inactive or resolved <span class="count">1</span></h3>`, `data-l="since">2001</td>`, "Gout", "All pages of this chart"},
	} {
		text := body(t, o.ask(ask{path: "/chart/" + patientRef() + path, token: token}))
		for _, w := range wants {
			if !strings.Contains(text, w) {
				t.Errorf("%q: no %q in\n%s", path, w, text)
			}
		}
	}
}

// TestWhyClosed: who may not open a chart is told what his role has and has not.
func TestWhyClosed(t *testing.T) {
	o := newOffice(t, practice())
	tokens := o.settle()
	for role, why := range map[access.Role]string{access.IT: "signed in as IT: the computer and its connections; never a chart.", access.Manager: "no charts unless an owner says so."} {
		res := o.ask(ask{path: "/patients", token: tokens[role]})
		if text := body(t, res); res.StatusCode != http.StatusForbidden || !strings.Contains(text, why) || !strings.Contains(text, "ask an owner") {
			t.Errorf("%s: %d\n%s", role, res.StatusCode, text)
		}
	}
}

// TestDayWithoutCopy: a day that the copy does not reach leads back to the page of today,
// with the choices that were made there.
func TestDayWithoutCopy(t *testing.T) {
	site := practice()
	o := newOffice(t, site)
	token := o.settle()["doctor"]
	site.broken = &viewer.Refusal{Words: "There is no copy from that day. Choose a later day."}
	at := "/chart/" + patientRef() + "/timeline"
	for path, want := range map[string]string{
		at + "?asof=2020-01-01&year=2019": `href="` + at + `?year=2019"`,
		"/patients?asof=2020-01-01":       `href="/patients"`,
	} {
		text := body(t, o.ask(ask{path: path, token: token}))
		for _, w := range []string{"There is no copy from that day", "Nothing is lost", want} {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in\n%s", path, w, text)
			}
		}
	}
}

// TestChartPages: what a chart says is on its pages, counted, and script names are text.
func TestChartPages(t *testing.T) {
	tests := []struct {
		name, path string
		want, not  []string
	}{
		{"the summary", "", []string{"Müller-Ötz", "&lt;script&gt;", "Penicillin", "HIGH RISK", "Hypertension", "1 record was entered in error", "12 of 450", "Every record is counted above: 456 of 456.", "1950-03-12"}, []string{script, "Wrong patient"}},
		{"as of a day", "?asof=2026-03-01", []string{`?asof=2026-03-01">`, "Show today’s", `?asof=2026-03-01"><button class="quiet">Lock`}, nil},
		{"a section", "/problems", []string{"Hypertension", "entered in error"}, []string{"Penicillin</a>"}},
		{"the first rows of a long list", "/results", []string{"200 of 450 on this page", "page 1 of 3", "Test 0"}, nil},
		{"its last rows", "/results?page=3", []string{"50 of 450 on this page", "page 3 of 3"}, nil},
		{"what is missing", "/visits", []string{chart.NoneRecorded}, nil},
	}
	o := newOffice(t, practice())
	token := o.settle()["doctor"]
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := o.ask(ask{path: "/chart/" + patientRef() + tt.path, token: token})
			text := body(t, res)
			if res.StatusCode != 200 {
				t.Fatalf("%d\n%s", res.StatusCode, text)
			}
			for _, w := range tt.want {
				if !strings.Contains(text, w) {
					t.Errorf("no %q in\n%s", w, text)
				}
			}
			for _, w := range tt.not {
				if strings.Contains(text, w) {
					t.Errorf("%q in\n%s", w, text)
				}
			}
		})
	}
	for _, path := range []string{"/chart/@@", "/chart/" + patientRef() + "/nothing", "/chart/" + patientRef() + "/results?page=4", "/chart/" + patientRef() + "/results?page=x"} {
		if res := o.ask(ask{path: path, token: token}); res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}
