package charts_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"chartcellar/cmd/chartcellar/internal/patientfile"
	"chartcellar/cmd/chartcellar/internal/viewer"
)

const (
	dorn   = `{"resourceType":"Practitioner",  "id":"dorn","name":[{"family":"Dorn"}]}`
	role   = `{"resourceType":"PractitionerRole","id":"r1","practitioner":{"reference":"https://emr.example/fhir/Practitioner/dorn"}}`
	pill   = `{"resourceType":"MedicationRequest","id":"m1","status":"active","intent":"order","subject":{"reference":"Patient/anna"},"medicationReference":{"reference":"Medication/hush"},"requester":{"reference":"PractitionerRole/r1"},"recorder":{"reference":"https://other.example/Practitioner/other"},"insurance":[{"reference":"Patient/ben"}]}`
	hush   = `{"resourceType":"Medication","id":"hush","meta":{"security":[{"code":"HIV"}]},"code":{"text":"Secretovir"}}`
	other  = `{"resourceType":"Practitioner","id":"other"}`
	asthma = `{"resourceType":"Condition",  "id":"c1","clinicalStatus":{"coding":[{"code":"active"}]},"subject":{"reference":"Patient/anna"},"code":{"text":"Asthma"},"x":1.50}`
	secret = `{"resourceType":"Condition","id":"c2","meta":{"security":[{"code":"HIV"}]},"clinicalStatus":{"coding":[{"code":"active"}]},"subject":{"reference":"Patient/anna"},"code":{"text":"Secretitis"}}`
	noted  = `{"resourceType":"DocumentReference","id":"d1","status":"current","subject":{"reference":"Patient/anna"},"content":[{"attachment":{"contentType":"text/plain","data":"SGVsbG8="}},{"attachment":{"contentType":"text/plain","url":"Binary/b1"}},{"attachment":{"url":"https://gone.example/x"}},{"attachment":{"data":"%%%"}}]}`
	binary = `{"resourceType":"Binary","id":"b1","contentType":"text/plain","data":"V29ybGQ="}`
)

// given is a package as it was given, by the names of its files.
func (d *desk) given(a viewer.Actor, id string, g viewer.Gift) (files map[string]string, err error) {
	d.t.Helper()
	return d.givenOf(a, d.at(id, ""), g)
}

func (d *desk) givenOf(a viewer.Actor, p viewer.Place, g viewer.Gift) (files map[string]string, err error) {
	d.t.Helper()
	t := d.t.(*testing.T)
	var b bytes.Buffer
	if err := d.Give(t.Context(), a, p, g, &b); err != nil {
		if b.Len() > 0 {
			t.Errorf("%d bytes were written before the error %v", b.Len(), err)
		}
		return nil, err
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		return nil, err
	}
	files = map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(text)
	}
	return files, nil
}

// TestGive: all of a patient, byte for byte, with documents from wherever the copy has
// them; what is labelled only to who may see it and has asked; and the journal says it.
func TestGive(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anna, ben, asthma, secret, noted, binary, dorn, role, pill, hush, other)
	gift := viewer.Gift{For: "the patient", Purpose: "asked for"}
	files, err := d.given(doctor, "anna", gift)
	if err != nil {
		t.Fatal(err)
	}
	var bundle struct {
		Entry []struct {
			FullURL  string `json:"fullUrl"`
			Resource json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(files["records.json"]), &bundle); err != nil || len(bundle.Entry) != 6 {
		t.Fatalf("%d entries, %v", len(bundle.Entry), err)
	}
	if string(bundle.Entry[0].Resource) != anna || string(bundle.Entry[1].Resource) != asthma || bundle.Entry[1].FullURL != "https://emr.example/fhir/Condition/c1" {
		t.Errorf("%s", files["records.json"])
	}
	for i, want := range []string{pill, role, dorn} { // and neither what is labelled, nor another EMR's, nor another patient
		if got := string(bundle.Entry[i+3].Resource); got != want {
			t.Errorf("entry %d is %s, want %s", i+3, got, want)
		}
	}
	if files["documents/0001.txt"] != "Hello" || files["documents/0002.txt"] != "World" {
		t.Errorf("documents: %q", files)
	}
	page := files["index.html"]
	for _, want := range []string{"2 of 4", "2 records of people, places and medicines", "the copy does not hold this document", "no file that can be read", "Asthma", "NOT included: 1 record with a sensitive label.", "The copy of that day.", "Practice"} {
		if !strings.Contains(page, want) {
			t.Errorf("index.html does not say %q", want)
		}
	}
	for name, text := range files {
		if strings.Contains(text, "Secretitis") || strings.Contains(text, "Stone") {
			t.Errorf("%s tells what is labelled, or of another patient", name)
		}
	}
	gift.Choice.Sensitive = true
	for who, want := range map[*viewer.Actor]bool{&doctor: true, &staff: false} {
		files, err := d.given(*who, "anna", gift)
		if err != nil || strings.Contains(files["records.json"], "Secretitis") != want {
			t.Errorf("%s: %v, with what is labelled: %v", who.Account, err, !want)
		}
	}
	lines := strings.Join(d.journal(), "\n")
	for _, want := range []string{"patient.zip doctor for: the patient; purpose: asked for; from", "patient.zip doctor for: the patient; purpose: asked for; with what is labelled sensitive; from", "patient.zip staff for: the patient; purpose: asked for; from"} {
		if !strings.Contains(lines, want) {
			t.Errorf("the journal does not say %q:\n%s", want, lines)
		}
	}
}

// TestGiveClosedBinary: a file that is labelled itself is left out, and said to be, also
// where the record that names it is not labelled.
func TestGiveClosedBinary(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anna, letter("d1", `"contentType":"text/plain","url":"Binary/b9"`), `{"resourceType":"Binary","id":"b9",`+restricted+`,"contentType":"text/plain","data":"c2VjcmV0"}`)
	for _, with := range []bool{false, true} {
		files, err := d.given(doctor, "anna", viewer.Gift{For: "x", Purpose: "y", Choice: patientfile.Choice{Sensitive: with}})
		if err != nil || (files["documents/0001-2026-02-01.txt"] == "secret") != with || strings.Contains(files["index.html"], "it has a sensitive label") == with {
			t.Errorf("with what is labelled %v: %q, %v", with, files, err)
		}
	}
}

// TestGiveRefused: without a purpose (P151), of nobody, and when it cannot be recorded,
// nothing is written.
func TestGiveRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anna, `{"resourceType":"Patient","id":"vip","meta":{"security":[{"code":"VIP"}]}}`)
	gift := viewer.Gift{For: "x", Purpose: "y"}
	var refusal *viewer.Refusal
	if _, err := d.given(doctor, "anna", viewer.Gift{For: "x", Purpose: " "}); !errors.As(err, &refusal) {
		t.Errorf("without a purpose: %v", err)
	}
	if _, err := d.given(doctor, "vip", gift); !errors.As(err, &refusal) || !strings.Contains(refusal.Words, "sensitive label") {
		t.Errorf("a labelled patient: %v", err)
	}
	gift.Password = "blue horse 7 lamps"
	if _, err := d.given(doctor, "vip", gift); !errors.As(err, &refusal) {
		t.Errorf("a labelled patient, with a password: %v", err)
	}
	if _, err := d.given(doctor, "nobody", gift); !errors.Is(err, viewer.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	if err := d.Give(t.Context(), doctor, viewer.Place{Ref: d.Refer("main", "Condition/c1")}, gift, io.Discard); !errors.Is(err, viewer.ErrNotFound) {
		t.Errorf("no patient: %v", err)
	}
	d.shut()
	if _, err := d.given(doctor, "anna", gift); err == nil {
		t.Error("given without a line in the journal")
	}
}

// TestPrint: as of a day, only what was chosen, and recorded.
func TestPrint(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anna, asthma, secret, potassium("final", "4.10"))
	d.pull("main", potassium("corrected", "5.90"))
	for _, tt := range []struct {
		name, asOf string
		who        viewer.Actor
		choice     patientfile.Choice
		want, not  []string
	}{
		{"now", "", doctor, patientfile.Choice{}, []string{"5.90", "Asthma", "The copy of that day.", "1 record with a sensitive label"}, []string{"Secretitis", "4.10"}},
		{"as of a day", "2026-03-01", doctor, patientfile.Choice{Sensitive: true}, []string{"4.10", "Secretitis", "SENSITIVE: HIV", "As of 2026-03-01"}, []string{"5.90"}},
		{"by staff", "", staff, patientfile.Choice{Sensitive: true, Sections: []string{"problems"}}, []string{"Asthma"}, []string{"Secretitis", "5.90"}},
	} {
		p, err := d.Print(t.Context(), tt.who, d.at("anna", tt.asOf), tt.choice)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := p.Sheet.HTML(&b); err != nil {
			t.Fatal(err)
		}
		for _, w := range tt.want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%s: it does not say %q\n%s", tt.name, w, b.String())
			}
		}
		for _, w := range tt.not {
			if strings.Contains(b.String(), w) {
				t.Errorf("%s: it says %q", tt.name, w)
			}
		}
	}
	if lines := strings.Join(d.journal(), "\n"); strings.Count(lines, "patient.print doctor") != 2 || !strings.Contains(lines, "patient.print doctor as of 2026-03-01; with what is labelled sensitive") {
		t.Errorf("journal:\n%s", lines)
	}
}
