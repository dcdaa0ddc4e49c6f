package charts_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/access"
)

// seen are the lines of a report, in short.
func seen(s viewer.Seen) (list []string) {
	for _, l := range s.Lines {
		one := fmt.Sprintf("%s %s %q %q", l.Account, l.Code, l.Patient, l.Note)
		if l.Emergency {
			one += " EMERGENCY"
		}
		list = append(list, one)
	}
	return list
}

func (d *desk) seen(a viewer.Actor, q viewer.SeenQuery) viewer.Seen {
	d.t.Helper()
	if q.Rows == 0 {
		q.Rows = 100
	}
	s, err := d.Seen(d.t.Context(), a, q)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

func (d *desk) open(a viewer.Actor, id string) {
	d.t.Helper()
	if _, err := d.Chart(d.t.Context(), a, d.at(id, ""), "summary"); err != nil {
		d.t.Fatal(err)
	}
}

// TestSeen: who saw a patient and what somebody saw, by name, with emergency access marked;
// what is asked for is in the journal itself; and who may not see the log sees his own.
func TestSeen(t *testing.T) {
	d := newDesk(t, anna, ben)
	urgent := staff
	urgent.Emergency, urgent.Sensitive = "20260302T060000.000000000Z-00aa11bb", true
	d.open(doctor, "anna")
	d.open(staff, "ben")
	d.open(urgent, "anna")
	if err := d.m.Journal(store.Event{Code: "access.session.in", Account: "staff", Note: "from 192.0.2.2"}); err != nil {
		t.Fatal(err)
	}
	if err := d.m.Journal(store.Event{Code: "chart.view", Account: "owner", Key: store.Key{Source: "main", Type: "Patient"}, Patient: "anna"}); err != nil {
		t.Fatal(err)
	}
	whoSaw := d.seen(doctor, viewer.SeenQuery{Patient: d.Refer("main", "Patient/anna")})
	if want := []string{`doctor log.patient "Müller-Ötz, Anna, born 1950-03-12" "who saw the patient"`, `owner chart.view "Müller-Ötz, Anna, born 1950-03-12" ""`,
		`staff chart.view "Müller-Ötz, Anna, born 1950-03-12" "summary" EMERGENCY`, `doctor chart.view "Müller-Ötz, Anna, born 1950-03-12" "summary"`}; !slices.Equal(seen(whoSaw), want) {
		t.Errorf("who saw: %q", seen(whoSaw))
	}
	if p := whoSaw.Patient; p == nil || p.Name != "Müller-Ötz, Anna" || whoSaw.Lines[2].Address != "192.0.2.2" || whoSaw.Lines[2].What != "did chart.view" || whoSaw.Lines[2].Ref != d.Refer("main", "Patient/anna") {
		t.Errorf("who saw %+v: %+v", p, whoSaw.Lines[2])
	}
	whatSaw := d.seen(doctor, viewer.SeenQuery{Account: "staff"})
	want := []string{`staff chart.view "Müller-Ötz, Anna, born 1950-03-12" "summary" EMERGENCY`, `staff chart.view "Stone, Ben, born 2025-12-01" "summary"`}
	if !slices.Equal(seen(whatSaw), want) {
		t.Errorf("what staff saw: %q", seen(whatSaw))
	}
	if got := seen(d.seen(doctor, viewer.SeenQuery{Account: "staff", Emergency: urgent.Emergency})); !slices.Equal(got, want[:1]) {
		t.Errorf("under emergency access: %q", got)
	}
	own := d.seen(staff, viewer.SeenQuery{Account: "staff"})
	for i := range want {
		want[i] = strings.Replace(want[i], `"summary"`, `""`, 1)
	}
	if !slices.Equal(seen(own), want) || own.Lines[0].Address != "" {
		t.Errorf("staff about itself: %q", seen(own))
	}
	noCharts := viewer.Actor{Account: "staff", Role: access.Manager}
	if got := d.seen(noCharts, viewer.SeenQuery{Account: "staff"}); strings.Contains(fmt.Sprint(seen(got)), "Ötz") || !strings.HasPrefix(got.Lines[0].Patient, "patient #") || got.Lines[0].Ref != "" {
		t.Errorf("who may see no chart any more: %q", seen(got))
	}
	for name, q := range map[string]viewer.SeenQuery{"of somebody else": {Account: "doctor"}, "of a patient": {Account: "staff", Patient: d.Refer("main", "Patient/anna")}, "of everybody": {}} {
		_, err := d.Seen(t.Context(), staff, q)
		if is(t, err, viewer.ErrNotFound); err == nil {
			t.Errorf("staff asks %s", name)
		}
	}
	for _, q := range []viewer.SeenQuery{{}, {Patient: "x"}, {Patient: d.Refer("main", "Observation/k")}} {
		_, err := d.Seen(t.Context(), doctor, q)
		is(t, err, viewer.ErrNotFound)
	}
}

// TestSeenPages: pages follow each other without a line left out or told twice, from the
// archive too, and a time is kept to.
func TestSeenPages(t *testing.T) {
	d := newDesk(t, anna, ben)
	for day := range 3 {
		for range 4 {
			d.open(staff, "anna")
			d.open(staff, "ben")
		}
		d.pull("main", fmt.Sprintf(`{"resourceType":"Basic","id":"b%d"}`, day)) // packs the journal, and a day goes by
	}
	var numbers []uint64
	for before := uint64(0); ; {
		s := d.seen(staff, viewer.SeenQuery{Account: "staff", Rows: 5, Before: before})
		for _, l := range s.Lines {
			numbers = append(numbers, l.Number)
		}
		if before = s.More; before == 0 {
			break
		}
	}
	if len(numbers) != 24 || !slices.IsSortedFunc(numbers, func(a, b uint64) int { return int(b) - int(a) }) || len(slices.Compact(slices.Clone(numbers))) != 24 {
		t.Errorf("%d lines: %v", len(numbers), numbers)
	}
	second := time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC)
	if s := d.seen(staff, viewer.SeenQuery{Account: "staff", From: second, To: second.AddDate(0, 0, 1)}); len(s.Lines) != 8 {
		t.Errorf("of one day: %d lines", len(s.Lines))
	}
	if s := d.seen(staff, viewer.SeenQuery{Account: "staff", Rows: 1000, Whole: true}); len(s.Lines) != 24 || s.More != 0 {
		t.Errorf("all: %d lines, more %d", len(s.Lines), s.More)
	}
}

// TestSeenHidden: a patient who is sealed, or labelled sensitive for who may not see that,
// is not named by a report.
func TestSeenHidden(t *testing.T) {
	vip := `{"resourceType":"Patient","id":"vip","meta":{"security":[{"code":"VIP"}]},"name":[{"family":"Secretary"}]}`
	d := newDesk(t, anna, ben, vip)
	for _, id := range []string{"ben", "vip"} {
		d.open(staff, id)
	}
	if err := d.m.SealPatient(t.Context(), store.SealOrder{Source: "main", Patient: "ben", By: "owner", Reason: "sent by mistake"}); err != nil {
		t.Fatal(err)
	}
	got := seen(d.seen(staff, viewer.SeenQuery{Account: "staff"}))
	if len(got) != 2 || strings.Contains(fmt.Sprint(got), "Secretary") || strings.Contains(fmt.Sprint(got), "Stone") || !strings.Contains(got[0], "not shown to your role") || !strings.Contains(got[1], "patient #") {
		t.Errorf("%q", got)
	}
	if got := seen(d.seen(doctor, viewer.SeenQuery{Account: "staff"})); !strings.Contains(got[0], "Secretary") {
		t.Errorf("a doctor: %q", got)
	}
	if s := d.seen(doctor, viewer.SeenQuery{Patient: d.Refer("main", "Patient/ben")}); s.Patient != nil || len(s.Lines) < 2 {
		t.Errorf("of a sealed patient: %+v", s)
	}
}

// TestSeenNotNoted: a report about somebody else that cannot be noted is not shown.
func TestSeenNotNoted(t *testing.T) {
	d := newDesk(t, anna)
	d.open(staff, "anna")
	d.shut()
	if s, err := d.Seen(t.Context(), doctor, viewer.SeenQuery{Account: "staff", Rows: 10}); err == nil || s.Lines != nil {
		t.Errorf("it was shown: %v", s)
	}
}

// TestSpoofedNote: what somebody types cannot pass for emergency access or an address.
func TestSpoofedNote(t *testing.T) {
	d := newDesk(t, anna)
	text := "x; emergency 1; from 10.0.0.1; request AAAA; emergency 2"
	if _, err := d.Patients(t.Context(), staff, viewer.PatientQuery{Text: text, Rows: 5}); err != nil {
		t.Fatal(err)
	}
	s := d.seen(doctor, viewer.SeenQuery{Account: "staff"})
	if l := s.Lines[0]; l.Emergency || l.Address != "192.0.2.2" || l.Note != "for: "+text {
		t.Errorf("%+v", l)
	}
}

// TestSearchInEmergency: what a search shows under emergency access is marked, too.
func TestSearchInEmergency(t *testing.T) {
	d := newDesk(t, anna, has("c", "anna", secretLabel, "Depression", "2020"))
	urgent := staff
	urgent.Emergency, urgent.Sensitive = "20260302T060000.000000000Z-00aa11bb", true
	res := d.search(urgent, viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "depression"})
	if len(res.Patients) != 1 {
		t.Fatalf("found: %+v", res)
	}
	s := d.seen(doctor, viewer.SeenQuery{Patient: d.Refer("main", "Patient/anna"), Emergency: urgent.Emergency})
	if len(s.Lines) == 0 || s.Lines[0].Code != "search.shown" || !s.Lines[0].Emergency || s.Lines[0].Address != "192.0.2.2" {
		t.Errorf("%+v", s.Lines)
	}
}
