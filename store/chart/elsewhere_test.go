package chart_test

import (
	"strings"
	"testing"

	"chartcellar/store/chart"
)

// TestOwn: which addresses are the source's own, and which are another server's.
func TestOwn(t *testing.T) {
	const base = "https://emr.example/fhir/r4"
	tests := []struct {
		name, before, base string
		want               bool
	}{
		{"relative", "", base, true},
		{"a slash alone", "/", base, true},
		{"the address itself", "https://emr.example/fhir/r4/", base, true},
		{"the address was set with a slash", "https://emr.example/fhir/r4/", base + "/", true},
		{"http instead of https", "http://emr.example/fhir/r4/", base, true},
		{"capitals in the host", "HTTPS://EMR.Example/fhir/r4/", base, true},
		{"the usual port", "https://emr.example:443/fhir/r4/", base, true},
		{"the path of the address", "/fhir/r4/", base, true},
		{"another port", "https://emr.example:8443/fhir/r4/", base, false},
		{"another host", "https://other.example/fhir/r4/", base, false},
		{"a host that ends so", "https://xemr.example/fhir/r4/", base, false},
		{"a host that begins so", "https://emr.example.evil.example/fhir/r4/", base, false},
		{"another path", "https://emr.example/fhir/", base, false},
		{"a longer path", "https://emr.example/fhir/r4/x/", base, false},
		{"another host without a scheme", "//other.example/fhir/r4/", base, false},
		{"a name before the host", "https://emr.example@other.example/fhir/r4/", base, false},
		{"another scheme", "ftp://emr.example/fhir/r4/", base, false},
		{"a script", "javascript:", base, false},
		{"no address is known: relative", "", "", true},
		{"no address is known: absolute", "https://emr.example/fhir/r4/", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := chart.Own(tt.before, tt.base); got != tt.want {
				t.Errorf("Own(%q, %q) = %v", tt.before, tt.base, got)
			}
		})
	}
}

// ours are records of the source whose ids another server uses too.
var ours = records{
	"Practitioner/7": `{"resourceType":"Practitioner","id":"7","name":[{"family":"Ours","given":["Olga"]}]}`,
	"Condition/7":    `{"resourceType":"Condition","id":"7","code":{"text":"Our illness"}}`,
	"Medication/7":   `{"resourceType":"Medication","id":"7","code":{"text":"Our drug"}}`,
	"Patient/7":      `{"resourceType":"Patient","id":"7","name":[{"family":"Ours"}]}`,
	"Encounter/7":    `{"resourceType":"Encounter","id":"7","status":"finished","class":{"code":"AMB"}}`,
}

// texts writes all that a chart says, its timeline and its results too.
func texts(c *chart.Chart) string {
	var out []string
	for _, s := range c.Sections {
		for _, g := range s.Groups {
			for _, r := range g.Rows {
				out = append(out, append(r.Cells, r.More)...)
			}
		}
	}
	for _, e := range append(append(c.Timeline.Events, c.Timeline.Undated...), c.Timeline.InError...) {
		out = append(out, e.Title, e.Detail)
	}
	for _, p := range c.Measured.Panels {
		out = append(out, p.Comment)
	}
	return strings.Join(out, "\n")
}

// TestElsewhere: a record of another server never borrows the name of ours, wherever it is
// referred to, and the page says so with its address.
func TestElsewhere(t *testing.T) {
	const other = "https://other.example/fhir/"
	tests := []struct{ name, record string }{
		{"who ordered a medicine", `{"resourceType":"MedicationRequest","id":"1","status":"active","intent":"order","medicationCodeableConcept":{"text":"X"},"requester":{"reference":"@Practitioner/7"}}`},
		{"which medicine", `{"resourceType":"MedicationRequest","id":"1","status":"active","intent":"order","medicationReference":{"reference":"@Medication/7"}}`},
		{"why, with a version", `{"resourceType":"MedicationRequest","id":"1","status":"active","intent":"order","medicationCodeableConcept":{"text":"X"},"reasonReference":[{"reference":"@Condition/7/_history/2"}]}`},
		{"who wrote a document", `{"resourceType":"DocumentReference","id":"1","status":"current","content":[{"attachment":{"title":"L"}}],"author":[{"reference":"@Practitioner/7"}]}`},
		{"who reported", `{"resourceType":"DiagnosticReport","id":"1","status":"final","code":{"text":"X"},"performer":[{"reference":"@Practitioner/7"}]}`},
		{"with whom an appointment is", `{"resourceType":"Appointment","id":"1","status":"booked","participant":[{"status":"accepted","actor":{"reference":"@Practitioner/7"}}]}`},
		{"with whom a visit was", `{"resourceType":"Encounter","id":"1","status":"finished","class":{"code":"AMB"},"participant":[{"individual":{"reference":"@Practitioner/7"}}]}`},
		{"who is in a team", `{"resourceType":"CareTeam","id":"1","status":"active","participant":[{"member":{"reference":"@Practitioner/7"}}]}`},
		{"who pays", `{"resourceType":"Coverage","id":"1","status":"active","payor":[{"reference":"@Patient/7"}]}`},
		{"whom a record is about", `{"resourceType":"AllergyIntolerance","id":"1","code":{"text":"X"},"patient":{"reference":"@Patient/7"}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			theirs := texts(build(t, chart.Options{Names: ours}, patient, strings.ReplaceAll(tt.record, "@", other)))
			if strings.Contains(theirs, "Our") || !strings.Contains(theirs, other) || !strings.Contains(theirs, "another server") {
				t.Errorf("of another server it says\n%s", theirs)
			}
			own := texts(build(t, chart.Options{Names: ours}, patient, strings.ReplaceAll(tt.record, "@", "https://emr.example/fhir/")))
			if strings.Contains(own, "another server") {
				t.Errorf("of its own it says\n%s", own)
			}
		})
	}
	called := texts(build(t, chart.Options{Names: ours}, patient, `{"resourceType":"Coverage","id":"1","status":"active","payor":[{"reference":"`+other+`Patient/7","display":"Theirs"}]}`))
	if want := "Theirs (a record of another server: " + other + "Patient/7)"; !strings.Contains(called, want) {
		t.Errorf("it says %s\nwant %s", called, want)
	}
}

// TestElsewhereFiles: an author, a visit and a Binary of another server are not ours.
func TestElsewhereFiles(t *testing.T) {
	const line = `{"resourceType":"DocumentReference","id":"1","status":"current","author":[{"reference":"@Practitioner/7"}],"context":{"encounter":[{"reference":"@Encounter/7"}]},"content":[{"attachment":{"url":"@Binary/7"}}]}`
	for base, want := range map[string][3]string{
		"https://other.example/fhir/": {"a record of another server: https://other.example/fhir/Practitioner/7", "", ""},
		"https://emr.example/fhir/":   {"Olga Ours", "Encounter/7", "7"}, "": {"Olga Ours", "Encounter/7", "7"},
	} {
		list, err := chart.Attachments(res(t, strings.ReplaceAll(line, "@", base)), ours)
		if err != nil {
			t.Fatal(err)
		}
		if a := &list[0]; a.Author != want[0] || a.Visit != want[1] || a.BinaryID(ours.Base()) != want[2] {
			t.Errorf("%q: author %q, visit %q, Binary %q", base, a.Author, a.Visit, a.BinaryID(ours.Base()))
		}
	}
}

// TestStranger: a record about a patient of another server stands in no list or series as
// if it were the patient's own.
func TestStranger(t *testing.T) {
	ownResult := obs("a", "Sodium", "2026-01-01", num("140", "mmol/L"))
	theirs := strings.Replace(obs("b", "Sodium", "2026-01-02", num("99", "mmol/L")), `"status"`, `"subject":{"reference":"https:\/\/other.example/fhir/Patient/p1"},"status"`, 1)
	c := build(t, chart.Options{Names: ours}, patient, ownResult, theirs,
		`{"resourceType":"AllergyIntolerance","id":"1","code":{"text":"Latex"},"patient":{"reference":"https://other.example/fhir/Patient/p1"}}`)
	if len(c.Measured.Tests) != 2 || c.Measured.Tests[0].Latest.Value.Number != "140" {
		t.Errorf("tests %+v", c.Measured.Tests)
	}
	if s := section(t, c, "results"); s.Records != 2 || len(s.Groups[0].Rows) != 2 {
		t.Errorf("results %+v", s)
	}
	if want := "Latex (of a patient of another server)"; c.Banner.Allergies != want {
		t.Errorf("allergies %q, want %q", c.Banner.Allergies, want)
	}
	for _, tt := range []struct{ line, want string }{
		{`{"resourceType":"Appointment","participant":[{"actor":{"reference":"https://other.example/fhir/Practitioner/1"}},{"actor":{"reference":"Patient/1"}}]}`, ""},
		{`{"resourceType":"Appointment","participant":[{"actor":{"reference":"https://other.example/fhir/Patient/1"}}]}`, "https://other.example/fhir/Patient/1"},
		{`{"resourceType":"Coverage","beneficiary":{"reference":"https://other.example/fhir/Patient/1"},"payor":[{"reference":"Patient/1"}]}`, "https://other.example/fhir/Patient/1"},
		{`{"resourceType":"Observation","subject":{"reference":"https://emr.example/fhir/Patient/1"}}`, ""},
		{`{"resourceType":"Observation","performer":[{"reference":"https://other.example/fhir/Patient/1"}]}`, ""},
	} {
		if got := chart.Stranger([]byte(tt.line), ours.Base()); got != tt.want {
			t.Errorf("Stranger(%s) = %q, want %q", tt.line, got, tt.want)
		}
		if got := chart.Stranger([]byte(tt.line), ""); got != "" {
			t.Errorf("with no address known, Stranger(%s) = %q", tt.line, got)
		}
	}
}
