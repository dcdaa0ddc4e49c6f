package chart_test

import (
	"testing"

	"chartcellar/store/chart"
)

func TestAttendedAndBooked(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, rest, want string }{
		{"a visit", `"status":"finished","period":{"start":"2026-02-03T23:30:00-08:00"}`, "2026-02-03"},
		{"one that goes on", `"status":"in-progress","period":{"start":"2026-02-03"}`, "2026-02-03"},
		{"planned", `"status":"planned","period":{"start":"2026-02-03"}`, ""},
		{"cancelled", `"status":"cancelled","period":{"start":"2026-02-03"}`, ""},
		{"entered in error", `"status":"entered-in-error","period":{"start":"2026-02-03"}`, ""},
		{"no status", `"period":{"start":"2026-02-03"}`, ""},
		{"a month", `"status":"finished","period":{"start":"2026-02"}`, ""},
		{"no day at all", `"status":"finished","period":{"end":"2026-02-03"}`, ""},
		{"no period", `"status":"finished"`, ""},
		{"a period that is none", `"status":"finished","period":"2026-02-03"`, ""},
		{"words for a day", `"status":"finished","period":{"start":"yesterday at noon"}`, ""},
		{"an extension that changes the meaning", `"status":"finished","modifierExtension":[{"url":"x"}],"period":{"start":"2026-02-03"}`, ""},
	} {
		day, ok := chart.Attended(res(t, `{"resourceType":"Encounter","id":"e",`+tt.rest+`}`))
		if ok != (tt.want != "") || ok && day.Format("2006-01-02") != tt.want {
			t.Errorf("%s: %v %t, want %q", tt.name, day, ok, tt.want)
		}
	}
	for status, want := range map[string]bool{"booked": true, "pending": true, "arrived": true, "cancelled": false, "noshow": false, "fulfilled": false, "entered-in-error": false, "odd": false} {
		if day, ok := chart.Booked(res(t, `{"resourceType":"Appointment","id":"a","status":"`+status+`","start":"2026-07-01T09:00:00Z"}`)); ok != want || ok && day.Format("2006-01-02") != "2026-07-01" {
			t.Errorf("%s: %v %t, want %t", status, day, ok, want)
		}
	}
}
