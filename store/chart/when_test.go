package chart_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"chartcellar/store/chart"
)

func TestWithin(t *testing.T) {
	t.Parallel()
	obs := func(date string) string {
		return `{"resourceType":"Observation","id":"o","effectiveDateTime":"` + date + `"}`
	}
	for _, c := range []struct {
		name, raw, first, last string
		want                   bool
	}{
		{"inside", obs("2026-03-05"), "2026-03-01", "2026-03-31", true},
		{"on the first day, shortly after midnight in the east", obs("2026-03-01T00:30:00+09:00"), "2026-03-01", "", true},
		{"late on the last day in the west", obs("2026-03-31T23:30:00-08:00"), "", "2026-03-31", true},
		{"before", obs("2026-02-28T23:59:00Z"), "2026-03-01", "", false},
		{"after", obs("2026-04-01"), "", "2026-03-31", false},
		{"a month that touches", obs("2026-03"), "2026-03-31", "", true},
		{"a year that does not", obs("2025"), "2026-01-01", "", false},
		{"no end", obs("1999-01-01"), "", "", true},
		{"no date", `{"resourceType":"Observation","id":"o"}`, "2026-03-01", "", true},
		{"a date that is none", obs("last week"), "2026-03-01", "", true},
		{"an old allergy still holds", `{"resourceType":"AllergyIntolerance","id":"a","recordedDate":"1990-01-01"}`, "2026-03-01", "", true},
		{"an old medicine still holds", `{"resourceType":"MedicationRequest","id":"m","authoredOn":"1990-01-01"}`, "2026-03-01", "", true},
		{"an old visit", `{"resourceType":"Encounter","id":"e","period":{"start":"1990-01-01"}}`, "2026-03-01", "", false},
	} {
		if got := chart.Within(res(t, c.raw), c.first, c.last); got != c.want {
			t.Errorf("%s: Within(%q, %q) = %v", c.name, c.first, c.last, got)
		}
	}
}

func TestNewBooking(t *testing.T) {
	t.Parallel()
	line := func(status, more string) chart.Resource {
		return res(t, `{"resourceType":"Appointment","id":"a","status":"`+status+`","participant":[{"actor":{"reference":"Practitioner/p"},"status":"accepted"},{"actor":{"reference":"https://emr.example/fhir/Patient/7"},"status":"accepted"},{"status":"accepted"}]`+more+`}`)
	}
	b, err := chart.NewBooking(line("booked", `,"start":"2026-03-02T09:30:00-05:00","description":"Check\u202e up"`), "https://emr.example/fhir")
	if err != nil || !slices.Equal(b.Patients, []string{"7"}) || b.Off || b.Clock != "2026-03-02 09:30" ||
		!b.Start.Equal(time.Date(2026, 3, 2, 14, 30, 0, 0, time.UTC)) || b.What != "Check[U+202E] up" {
		t.Errorf("%+v, %v", b, err)
	}
	for status, off := range map[string]bool{"booked": false, "arrived": false, "proposed": false, "cancelled": true, "noshow": true, "entered-in-error": true} {
		if b, err := chart.NewBooking(line(status, ""), ""); err != nil || b.Off != off || !b.Start.IsZero() {
			t.Errorf("%s: %+v, %v", status, b, err)
		}
	}
	if _, err := chart.NewBooking(line("whatever", ""), ""); !errors.Is(err, chart.ErrRefused) {
		t.Errorf("an unknown status: %v", err)
	}
}

func TestSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, status, period string
		want                 bool
	}{
		{"a visit", "finished", `,"period":{"start":"2026-03-02T09:30:00-05:00"}`, true},
		{"under way", "in-progress", `,"period":{"start":"2026-03-02"}`, true},
		{"planned", "planned", `,"period":{"start":"2026-03-02"}`, false},
		{"cancelled", "cancelled", `,"period":{"start":"2026-03-02"}`, false},
		{"no time", "finished", "", false},
		{"a time that is none", "finished", `,"period":{"start":"soon"}`, false},
	} {
		at, day, ok := chart.Seen(res(t, `{"resourceType":"Encounter","id":"e","class":{"code":"AMB"},"status":"`+c.status+`"`+c.period+`}`))
		if ok != c.want || ok && (at.IsZero() || day != "2026-03-02") {
			t.Errorf("%s: Seen = %v, %q, %v", c.name, at, day, ok)
		}
	}
}
