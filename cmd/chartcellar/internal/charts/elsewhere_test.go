package charts_test

import (
	"strings"
	"testing"
)

// TestElsewhere: what a record names at another server is not ours: not its name, not its
// uses, not its files; what it names at the EMR's own address is.
func TestElsewhere(t *testing.T) {
	const other, own = "https://other.example/fhir/", "https://emr.example/fhir/"
	d := newDesk(t, anna, lee, named("Observation", "theirs", "anna", other+"Practitioner/lee"), named("Observation", "ours", "anna", own+"Practitioner/lee"),
		`{"resourceType":"Observation","id":"stranger","status":"final","code":{"text":"Iron"},"subject":{"reference":"`+other+`Patient/anna"},"valueInteger":1}`,
		`{"resourceType":"Binary","id":"b","contentType":"text/plain","data":"b3Vycw=="}`,
		`{"resourceType":"DocumentReference","id":"theirs","status":"current","subject":{"reference":"Patient/anna"},"content":[{"attachment":{"contentType":"text/plain","url":"`+other+`Binary/b?token=secret"}}]}`,
		`{"resourceType":"DocumentReference","id":"ours","status":"current","subject":{"reference":"Patient/anna"},"content":[{"attachment":{"contentType":"text/plain","url":"`+own+`Binary/b"}}]}`)
	if n := d.record("Observation/theirs", "").Named; len(n) != 1 || n["Patient/anna"].Title == "" {
		t.Errorf("a record that names another server's is told %+v", n)
	}
	if n := d.record("Observation/ours", "").Named; n["Practitioner/lee"].Title != "Dr. 李 ليلى" {
		t.Errorf("a record that names one of the EMR is told %+v", n)
	}
	u, err := d.Uses(t.Context(), doctor, d.of("Practitioner/lee", ""), true)
	if err != nil || len(u.In) != 1 || u.In[0].Ref != "Observation/ours" {
		t.Errorf("she is named by %+v, %v", u.In, err)
	}
	if r := d.record("Observation/stranger", ""); r.Stranger != other+"Patient/anna" {
		t.Errorf("its patient is at %q", r.Stranger)
	}
	c, err := d.Chart(t.Context(), doctor, d.at("anna", ""), "results")
	if err != nil || !strings.Contains(c.Whole.Measured.Tests[0].Name+c.Whole.Measured.Tests[1].Name, "Iron (of a patient of another server)") {
		t.Errorf("the results are %+v, %v", c.Whole.Measured.Tests, err)
	}
	for id, held := range map[string]bool{"theirs": false, "ours": true} {
		doc, err := d.Document(t.Context(), doctor, d.of("DocumentReference/"+id, ""), 1)
		if err != nil || doc.Held != held || string(doc.Content) != map[bool]string{true: "ours"}[held] {
			t.Errorf("the file of %s: held %v, %q, %v", id, doc.Held, doc.Content, err)
		}
		if want := "another server has it: " + other + "Binary/b"; !held && !strings.HasSuffix(doc.Why, want) {
			t.Errorf("it is not there because %q", doc.Why)
		}
	}
}
