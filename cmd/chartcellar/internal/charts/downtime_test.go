package charts_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/cmd/chartcellar/internal/patientfile"
)

// evening is when the sheets of these tests are made: Sunday, 1 March 2026, 18:00 in New York.
func evening(t *testing.T) time.Time {
	t.Helper()
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	return time.Date(2026, 3, 1, 18, 0, 0, 0, zone)
}

func bookedAt(id, status, start string, patients ...string) string {
	var who []string
	for _, p := range patients {
		who = append(who, `{"actor":{"reference":"Patient/`+p+`"},"status":"accepted"}`)
	}
	return fmt.Sprintf(`{"resourceType":"Appointment","id":%q,"status":%q,"start":%q,"description":"Check","participant":[%s]}`, id, status, start, strings.Join(who, ","))
}

func cameOn(id, patient, start string) string {
	return fmt.Sprintf(`{"resourceType":"Encounter","id":%q,"status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/%s"},"period":{"start":%q}}`, id, patient, start)
}

func (d *desk) downtime(list string) patientfile.Downtime {
	d.t.Helper()
	snap, err := d.m.Now()
	if err != nil {
		d.t.Fatal(err)
	}
	t := d.t.(*testing.T)
	sheet, err := charts.Downtime(t.Context(), charts.DowntimeOptions{Readings: []*charts.Reading{{M: d.m, Snap: snap, Source: "main"}},
		Ages: []string{"Copy of today."}, Practice: "Practice", By: "the schedule", Now: evening(t), List: list, ListAt: evening(t)})
	if err != nil {
		t.Fatal(err)
	}
	return sheet
}

func names(d patientfile.Downtime) (list []string) {
	for _, b := range d.Patients {
		list = append(list, strings.Join(append([]string{b.Name}, b.When...), "; "))
	}
	return list
}

// TestDowntimeOfAppointments: the day is that of the practice's clock; who comes twice
// stands once; cancelled ones are left out and counted; what is labelled is not on it.
func TestDowntimeOfAppointments(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anna, ben, twin,
		bookedAt("a1", "booked", "2026-03-02T14:30:00Z", "anna"), bookedAt("a2", "booked", "2026-03-02T09:15:00-05:00", "ben", "gone"),
		bookedAt("a3", "booked", "2026-03-02T16:00:00-05:00", "anna"), bookedAt("a4", "cancelled", "2026-03-02T10:00:00-05:00", "twin"),
		bookedAt("a5", "booked", "2026-03-03T03:30:00Z", "twin"), // still Monday in New York
		bookedAt("a6", "booked", "2026-03-03T09:00:00-05:00", "twin"), bookedAt("a7", "booked", "2026-03-01T09:00:00-05:00", "twin"),
		`{"resourceType":"Appointment","id":"a8","status":"odd","start":"2026-03-02T09:00:00Z"}`,
		`{"resourceType":"AllergyIntolerance","id":"al","clinicalStatus":{"coding":[{"code":"active"}]},"patient":{"reference":"Patient/ben"},"code":{"text":"Penicillin"}}`,
		`{"resourceType":"Condition","id":"c1","clinicalStatus":{"coding":[{"code":"active"}]},"subject":{"reference":"Patient/ben"},"code":{"text":"Asthma"},"onsetDateTime":"2025"}`,
		`{"resourceType":"Condition","id":"c2","clinicalStatus":{"coding":[{"code":"active"}]},"meta":{"security":[{"code":"HIV"}]},"subject":{"reference":"Patient/ben"},"code":{"text":"Secretitis"}}`,
		`{"resourceType":"MedicationRequest","id":"m1","status":"active","intent":"order","subject":{"reference":"Patient/ben"},"medicationCodeableConcept":{"text":"Salbutamol"},"dosageInstruction":[{"text":"2 puffs"}]}`,
		potassium("final", "4.10"))
	sheet := d.downtime("anna")
	want := []string{"Stone, Ben; 09:15 Check", "Müller-Ötz, Anna; 09:30 Check; 16:00 Check", "MULLER-OTZ, ANNA; 22:30 Check"}
	if got := names(sheet); !slices.Equal(got, want) || sheet.Day != "2026-03-02" || sheet.From != patientfile.FromAppointments || sheet.Found != 4 {
		t.Errorf("%q of %d on %s from %s, want %q", got, sheet.Found, sheet.Day, sheet.From, want)
	}
	b := sheet.Patients[0]
	got := strings.Join(slices.Concat(b.Facts, []string{b.Allergies}, b.Lists()), "\n")
	for _, w := range []string{"born 2025-12-01 (3 months)", "male", "Penicillin", "Problems: Asthma, 2025", "Medicines: Salbutamol, 2 puffs", "1 record with a sensitive label: not on this sheet."} {
		if !strings.Contains(got, w) {
			t.Errorf("of Ben it does not say %q:\n%s", w, got)
		}
	}
	if got := strings.Join(sheet.Patients[1].Results, ";"); !strings.Contains(got, "2026-02-27: Potassium 4.10 mmol/L") {
		t.Errorf("the last results of Anna: %s", got)
	}
	all := strings.Join(sheet.Lines(), "\n") + got
	for _, w := range []string{"Cancelled or missed and left out: 1", "3 of 4 patients are on it", "1 appointments of these days are not as FHIR says", "has no record of them", "Copy of today."} {
		if !strings.Contains(all, w) {
			t.Errorf("it does not say %q:\n%s", w, all)
		}
	}
	if strings.Contains(all, "Secretitis") {
		t.Error("it shows what is labelled")
	}
}

// TestDowntimeOfAList: without appointments the practice's list counts; what it does not
// find it says.
func TestDowntimeOfAList(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anna, ben, twin, `{"resourceType":"Patient","id":"mrn","name":[{"family":"Reed"}],"identifier":[{"type":{"coding":[{"code":"MR"}]},"value":"M-17"}]}`,
		cameOn("v1", "anna", "2026-02-20"), bookedAt("a1", "booked", "2026-03-12T09:00:00-05:00", "anna"))
	sheet := d.downtime("\ufeffMRN,Name,Time\r\n\"M-17\",\"Somebody, Else\",09:00\r\n\r\n# a remark\r\nStone; Ben; 2025-12-01\nPatient/anna\nStone\tBen\nMuller-Otz\nNobody Else\n")
	if got, want := names(sheet), []string{"Reed", "Stone, Ben", "Müller-Ötz, Anna"}; !slices.Equal(got, want) || sheet.From != patientfile.FromList || sheet.Found != 3 {
		t.Errorf("%q of %d from %s, want %q", got, sheet.Found, sheet.From, want)
	}
	all := strings.Join(sheet.Lines(), "\n")
	for _, w := range []string{"no appointments of the next 4 days", "list that the practice gave on 1 March 2026: 4 of 6 lines were found", "NOT FOUND in the copy: Nobody Else", "NOT CLEAR, 2 patients fit: Muller-Otz"} {
		if !strings.Contains(all, w) {
			t.Errorf("it does not say %q:\n%s", w, all)
		}
	}
}

// TestDowntimeOfVisits: without either, who was seen lately, the last first; who is sealed
// is not there; and a sheet of nobody says so.
func TestDowntimeOfVisits(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anna, ben, twin, cameOn("v1", "anna", "2026-01-05"), cameOn("v2", "ben", "2026-02-20"), cameOn("v3", "anna", "2026-02-25T10:00:00-05:00"),
		cameOn("v4", "twin", "2025-11-20"), cameOn("v5", "twin", "2026-03-05"))
	sheet := d.downtime(" \n# nobody\n")
	if got, want := names(sheet), []string{"Müller-Ötz, Anna; last seen 2026-02-25", "Stone, Ben; last seen 2026-02-20"}; !slices.Equal(got, want) || sheet.From != patientfile.FromVisits || sheet.Found != 2 {
		t.Errorf("%q of %d from %s, want %q", got, sheet.Found, sheet.From, want)
	}
	if all := strings.Join(sheet.Lines(), "\n"); !strings.Contains(all, "seen in the last 90 days") {
		t.Error(all)
	}
	sheet = newDesk(t, ben).downtime("")
	if len(sheet.Patients) != 0 || !strings.Contains(strings.Join(sheet.Lines(), "\n"), "0 of 0 patients are on it.") {
		t.Errorf("of nobody: %q", sheet.Lines())
	}
}

// TestDowntimeTellsNoLabel: a list finds nobody whose whole record is labelled, so that it
// tells nobody who is; and who was labelled since a sheet was made is taken off it for
// those who may not see that.
func TestDowntimeTellsNoLabel(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anna, strings.Replace(ben, `"id"`, secretLabel+`"id"`, 1))
	sheet := d.downtime("Stone; Ben\nPatient/ben\nMuller-Otz\nNobody Else\n")
	all := strings.Join(sheet.Lines(), "\n")
	for _, w := range []string{"NOT FOUND in the copy: Stone Ben", "NOT FOUND in the copy: ben", "NOT FOUND in the copy: Nobody Else", "1 of 4 lines", "is not looked for in a list"} {
		if !strings.Contains(all, w) {
			t.Errorf("it does not say %q:\n%s", w, all)
		}
	}
	if got := names(sheet); !slices.Equal(got, []string{"Müller-Ötz, Anna"}) || strings.Contains(all, "1 patients whose") {
		t.Errorf("%q\n%s", got, all)
	}
	d.pull("main", strings.Replace(anna, `"id"`, secretLabel+`"id"`, 1))
	if err := charts.WithoutLabelled(t.Context(), d.m, &sheet); err != nil || len(sheet.Patients) != 0 || !strings.Contains(strings.Join(sheet.Notes, "\n"), "1 patient was labelled sensitive and taken off it") {
		t.Errorf("labelled since: %q, %q, %v", names(sheet), sheet.Notes, err)
	}
}
