package patientfile_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"chartcellar/cmd/chartcellar/internal/patientfile"
	"chartcellar/store/chart"
)

func downtime(t testing.TB, patients int) patientfile.Downtime {
	t.Helper()
	d := patientfile.Downtime{Practice: "Hill Practice", Made: made, By: "the schedule", Day: "2026-03-02", From: patientfile.FromAppointments,
		Why: "It names those of Monday.", Copies: []string{"Copy of 2026-03-01 02:00, complete."}, Found: patients + 1, Notes: []string{"NOT FOUND: Nobody"}}
	for i := range patients {
		s := sheet(t, ann(), patientfile.Choice{})
		b := patientfile.NewBlock(s.Chart, s.Count)
		b.Name = fmt.Sprintf("Patient %03d %s", i, b.Name)
		b.When = []string{"09:30 <b>Check</b>"}
		d.Patients = append(d.Patients, b)
	}
	return d
}

// TestDowntime: both files say of each patient what must be known, and of the sheet what
// it is; each comes back from where it is kept.
func TestDowntime(t *testing.T) {
	t.Parallel()
	d := downtime(t, 30)
	kept, err := d.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	back, err := patientfile.ReadDowntime(bytes.NewReader(kept))
	if err != nil || !back.Made.Equal(d.Made) {
		t.Fatal(err)
	}
	if back.Made = d.Made; !reflect.DeepEqual(back, d) {
		t.Errorf("came back as %+v\nwant %+v", back, d)
	}
	if _, err := patientfile.ReadDowntime(bytes.NewReader(kept[:len(kept)/2])); err == nil {
		t.Error("half a sheet was read")
	}
	var page, pdf bytes.Buffer
	if err := back.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if err := back.PDF(&pdf); err != nil {
		t.Fatal(err)
	}
	pages := pagesOf(t, pdf.Bytes())
	for i, p := range pages {
		if !strings.Contains(p, "Downtime sheet for Monday 2 March 2026") || !strings.Contains(p, fmt.Sprintf("page %d of %d", i+1, len(pages))) {
			t.Errorf("page %d does not say what it is", i+1)
		}
	}
	if len(pages) < 4 || len(pages) > 12 {
		t.Errorf("30 patients are on %d pages", len(pages))
	}
	for name, text := range map[string]string{"PDF": strings.ReplaceAll(strings.Join(pages, "\n"), "\n", " "), "HTML": read(page.String())} {
		for _, w := range []string{"Hill Practice", "It names those of Monday.", "Copy of 2026-03-01 02:00, complete.", "30 of 31 patients are on it.", "NOT FOUND: Nobody",
			"born 1970-02-01 (56 y)", "MRN M-17", "Allergies: Penicillin (HIGH RISK)", "Problems: Hypertension, 2001", "Medicines: Lisinopril 10 mg, one a day",
			"Last results: 2026-02-01: Potassium 6.1 mmol/L; ", "1 record is not as FHIR says: see the chart", "1 record with a sensitive label: not on this sheet.", "Patient 000", "Patient 029", "09:30 <b>Check</b>"} {
			if !strings.Contains(text, w) {
				t.Errorf("%s does not say %q", name, w)
			}
		}
		if strings.Contains(text, "SECRET-DIAGNOSIS") {
			t.Errorf("%s shows what is labelled", name)
		}
	}
	if strings.Contains(page.String(), "<b>Check") || strings.Contains(page.String(), "<script") {
		t.Error("what a record says is not text")
	}
}

// TestBlockOfNothing: an empty patient has nothing, and the block says why; lists that are
// cut say so.
func TestBlockOfNothing(t *testing.T) {
	t.Parallel()
	b := chart.New(chart.Options{At: made})
	b.Add(chart.Resource{Type: "Patient", ID: "p", Raw: []byte(`{"resourceType":"Patient","id":"p"}`)})
	b.Unreadable("MedicationRequest", 2)
	block := patientfile.NewBlock(b.Chart(), patientfile.Count{Taken: 1, Unread: 2})
	got := strings.Join(append(block.Lists(), block.Name, block.Allergies, fmt.Sprint(len(block.Facts))), "\n")
	want := `Problems: None recorded in the copy
Medicines: Could not be read: 2 of 2 records
Last results: (results: None recorded in the copy); (vital signs: None recorded in the copy)
Could not be read: 2 of 3 records.
(no name in the record)
None recorded in the copy.
0`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	many := ann()
	for i := range 40 {
		many.lines = append(many.lines, strings.ReplaceAll(obs(fmt.Sprint("x", i), "2026-01-01", fmt.Sprint(i)), "2823-3", fmt.Sprint(i, "-9")))
	}
	many.lines = append(many.lines, `{"resourceType":"Observation","id":"panel","status":"final","code":{"text":"Electrolytes"},"category":[{"coding":[{"code":"laboratory"}]}],"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-02-28","hasMember":[{"reference":"Observation/x1"}]}`)
	s := sheet(t, many, patientfile.Choice{})
	if got := strings.Join(patientfile.NewBlock(s.Chart, s.Count).Results, "; "); !strings.Contains(got, "(results: 12 of 41; the newest)") {
		t.Errorf("a cut list does not say so: %s", got)
	} else if strings.Contains(got, "Electrolytes") {
		t.Errorf("a panel without a value of its own takes the room of one: %s", got)
	}
}

// TestBlockStates: what is not sure, or not taken at the moment, is not said as if it were.
func TestBlockStates(t *testing.T) {
	t.Parallel()
	p := ann()
	p.lines = append(p.lines,
		`{"resourceType":"Condition","id":"c8","subject":{"reference":"Patient/p1"},"code":{"text":"Lupus"},"clinicalStatus":{"coding":[{"code":"active"}]},"verificationStatus":{"coding":[{"code":"differential"}]}}`,
		`{"resourceType":"MedicationRequest","id":"m8","status":"on-hold","intent":"order","subject":{"reference":"Patient/p1"},"medicationCodeableConcept":{"text":"Warfarin"}}`,
		`{"resourceType":"AllergyIntolerance","id":"a8","patient":{"reference":"Patient/p1"},"code":{"text":"Nuts"},"clinicalStatus":{"coding":[{"code":"active"}]},"verificationStatus":{"coding":[{"code":"unconfirmed"}]}}`)
	s := sheet(t, p, patientfile.Choice{})
	b := patientfile.NewBlock(s.Chart, s.Count)
	text := b.Allergies + "\n" + strings.Join(b.Lists(), "\n")
	for _, want := range []string{"Lupus (differential)", "Warfarin (on-hold)", "Nuts (unconfirmed)", "Hypertension, 2001", "Lisinopril 10 mg, one a day"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "(active") {
		t.Errorf("it says what goes without saying:\n%s", text)
	}
}
