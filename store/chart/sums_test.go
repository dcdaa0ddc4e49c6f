package chart_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chartcellar/store/chart"
)

// anyRecord makes a record of some type in some state, often an awkward one.
func anyRecord(t *rapid.T, id string) string {
	pick := func(name string, list ...string) string { return rapid.SampledFrom(list).Draw(t, name) }
	typ := pick("type", "Observation", "Observation", "Observation", "DiagnosticReport", "AllergyIntolerance", "Condition", "MedicationRequest",
		"MedicationStatement", "Encounter", "Procedure", "Immunization", "DocumentReference", "ServiceRequest", "CarePlan", "Goal", "CareTeam",
		"Appointment", "Coverage", "FamilyMemberHistory", "Claim", "Flag", "Nonsense")
	parts := []string{fmt.Sprintf(`"resourceType":%q,"id":%q`, typ, id)}
	add := func(name string, list ...string) {
		if one := pick(name, list...); one != "" {
			parts = append(parts, one)
		}
	}
	add("status", "", `"status":"final"`, `"status":"active"`, `"status":"current"`, `"status":"finished"`, `"status":"completed"`, `"status":"booked"`,
		`"status":"cancelled"`, `"status":"entered-in-error"`, `"status":"entered-in-error"`, `"status":"invented"`, `"status":7`)
	add("more status", "", "", `"verificationStatus":{"coding":[{"code":"entered-in-error"}]}`, `"verificationStatus":{"coding":[{"code":"refuted"}]}`,
		`"lifecycleStatus":"active"`, `"lifecycleStatus":"entered-in-error"`, `"docStatus":"entered-in-error"`, `"intent":"order"`)
	add("label", "", "", "", `"meta":{"security":[{"code":"R"}]}`, `"meta":{"security":[{"code":"N"}]}`)
	add("odd", "", "", "", "", `"modifierExtension":[{"url":"x"}]`, `"Status":"x"`, `"contained":[{"resourceType":"Observation","id":"a"},{"resourceType":"Observation","id":"a"}]`)
	add("date", "", `"effectiveDateTime":"2026-02-28T23:30:00-05:00"`, `"effectiveDateTime":"2026-03"`, `"start":"2026-06-02T10:00:00Z"`,
		`"onsetDateTime":"not a day"`, `"period":{"end":"2020"}`, `"_effectiveDateTime":{"extension":[]}`)
	add("category", "", `"category":[{"coding":[{"code":"vital-signs"}]}]`, `"category":[{"coding":[{"code":"laboratory"}]}]`, `"category":7`)
	add("code", "", `"code":{"text":"Sodium"}`, `"code":{}`, `"code":{"coding":[{"system":"http://loinc.org","code":"85354-9"}]}`)
	add("value", "", `"valueQuantity":{"value":1.50,"unit":"g"}`, `"valueQuantity":{"value":5,"comparator":"<"}`, `"valueString":"5"`, `"valueInteger":3`)
	add("parts", "", "", `"component":[{"code":{"text":"A"},"valueString":"x"},{"code":{}}]`,
		`"component":[{"code":{"coding":[{"code":"8480-6"}]},"valueQuantity":{"value":1}},{"code":{"coding":[{"code":"8462-4"}]},"valueQuantity":{"value":2}}]`)
	add("members", "", "", `"hasMember":[{"reference":"Observation/r0"},{"reference":"Observation/r1"},{"reference":"#a"}]`)
	add("results", "", `"result":[{"reference":"Observation/r0"},{"reference":"Observation/r2"},{"reference":"urn:uuid:1"}]`)
	return "{" + strings.Join(parts, ",") + "}"
}

// TestSums is that whatever records a patient has, and whoever looks, each is counted
// once: in the sections, in the timeline, and among what was measured.
func TestSums(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(rt, "records")
		o := chart.Options{At: day, Sensitive: rapid.Bool().Draw(rt, "sensitive"), Timeline: true}
		b := chart.New(o)
		b.Add(res(t, patient))
		for i := range n {
			b.Add(res(t, anyRecord(rt, fmt.Sprint("r", i))))
		}
		lost := rapid.IntRange(0, 3).Draw(rt, "unreadable")
		b.Unreadable(rapid.SampledFrom([]string{"Observation", "Claim", "Condition"}).Draw(rt, "lost type"), lost)
		c := b.Chart()
		if want := 1 + n + lost; c.Records != want {
			rt.Fatalf("Records = %d, want %d", c.Records, want)
		}
		sum, wrong, withheld, unread, plain := 1, 0, 0, 0, 0
		for _, s := range c.Sections {
			rows := s.EnteredInError + s.Unread + s.Withheld + len(s.Plain)
			for _, g := range s.Groups {
				for _, r := range g.Rows {
					rows += r.Records
				}
			}
			if rows != s.Records {
				rt.Fatalf("%s: its rows make %d, want %d", s.Key, rows, s.Records)
			}
			sum, withheld, unread, plain = sum+s.Records, withheld+s.Withheld, unread+s.Unread, plain+len(s.Plain)
			if wrong += s.EnteredInError; s.Key == "vitals" {
				if got := c.Sections[3].EnteredInError + s.EnteredInError; c.Measured.Errors != got {
					rt.Fatalf("measured: %d entered in error, want %d", c.Measured.Errors, got)
				}
			}
		}
		if sum != c.Records || withheld != c.Withheld || unread != c.Unread || plain != c.Plain {
			rt.Fatalf("the sections make %d of %d, %d of %d withheld, %d of %d unread, %d of %d plain", sum, c.Records, withheld, c.Withheld, unread, c.Unread, plain, c.Plain)
		}
		l := c.Timeline
		if got := 1 + len(l.Events) + len(l.Undated) + len(l.InError) + l.Unread + l.Withheld; got != c.Records {
			rt.Fatalf("the timeline makes %d, want %d", got, c.Records)
		}
		if len(l.InError) != wrong {
			rt.Fatalf("the timeline has %d entered in error, the sections %d", len(l.InError), wrong)
		}
		for _, one := range c.Measured.Tests {
			for _, r := range one.Results {
				if r.EnteredInError() {
					rt.Fatalf("%s was entered in error", r.Ref)
				}
			}
		}
		for _, p := range c.Measured.Panels {
			for _, r := range p.Results {
				if r.EnteredInError() {
					rt.Fatalf("%s was entered in error, and is in a panel", r.Ref)
				}
			}
		}
	})
}
