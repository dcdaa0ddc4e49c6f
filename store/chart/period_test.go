package chart_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"chartcellar/store/chart"
)

// TestPeriods: a period is shown with both ends wherever a date stands, and one that lacks
// an end says so.
func TestPeriods(t *testing.T) {
	kinds := []struct {
		key, line string
		cell      int
	}{
		{"results", `{"resourceType":"Observation","id":"1","status":"final","code":{"text":"X"},"valueInteger":1,"effectivePeriod":@}`, 4},
		{"vitals", `{"resourceType":"Observation","id":"1","status":"final","category":[{"coding":[{"code":"vital-signs"}]}],"code":{"text":"X"},"valueInteger":1,"effectivePeriod":@}`, 4},
		{"reports", `{"resourceType":"DiagnosticReport","id":"1","status":"final","code":{"text":"X"},"issued":"2030-01-01","effectivePeriod":@}`, 0},
		{"procedures", `{"resourceType":"Procedure","id":"1","status":"completed","code":{"text":"X"},"performedPeriod":@}`, 0},
		{"visits", `{"resourceType":"Encounter","id":"1","status":"in-progress","class":{"code":"IMP"},"period":@}`, 0},
		{"problems", `{"resourceType":"Condition","id":"1","code":{"text":"X"},"onsetPeriod":@}`, 2},
		{"allergies", `{"resourceType":"AllergyIntolerance","id":"1","code":{"text":"X"},"onsetPeriod":@}`, 4},
		{"medicines", `{"resourceType":"MedicationStatement","id":"1","status":"active","medicationCodeableConcept":{"text":"X"},"effectivePeriod":@}`, 3},
		{"coverage", `{"resourceType":"Coverage","id":"1","status":"active","payor":[{"display":"X"}],"period":@}`, 3},
		{"plan", `{"resourceType":"CarePlan","id":"1","status":"active","intent":"plan","period":@}`, 2},
	}
	periods := []struct{ period, want string }{
		{`{"start":"2026-01-02","end":"2026-01-05"}`, "2026-01-02 to 2026-01-05"},
		{`{"start":"2026-01-02T08:00:00-05:00","end":"2026-01-03T08:00:00-05:00"}`, "2026-01-02 08:00 to 2026-01-03 08:00"},
		{`{"start":"2026-01-02T08:00:00-05:00","end":"2026-01-02T09:30:00-05:00"}`, "2026-01-02 08:00 to 09:30"},
		{`{"start":"2026-01-02","end":"2026-01-02"}`, "2026-01-02"},
		{`{"start":"2026-01"}`, "since 2026-01"},
		{`{"end":"2026-01-05"}`, "until 2026-01-05"},
	}
	for _, k := range kinds {
		for _, p := range periods {
			t.Run(k.key+" "+p.want, func(t *testing.T) {
				t.Parallel()
				line := strings.Replace(k.line, "@", p.period, 1)
				c := build(t, chart.Options{}, patient, line)
				if got := section(t, c, k.key).Groups[0].Rows[0].Cells[k.cell]; got != p.want {
					t.Errorf("the section says %q, want %q", got, p.want)
				}
				if len(c.Timeline.Events) != 1 || c.Timeline.Events[0].Date != p.want || c.Timeline.Events[0].Of != "" {
					t.Errorf("the timeline says %+v, want %q", c.Timeline.Events, p.want)
				}
				if got := chart.DateOf([]byte(line)); k.key != "vitals" && got != p.want && !strings.Contains(line, "medication") {
					t.Errorf("DateOf = %q, want %q", got, p.want)
				}
			})
		}
	}
}

// TestPeriodOver: a visit that is over, and gives no end, is not said to go on.
func TestPeriodOver(t *testing.T) {
	c := build(t, chart.Options{}, patient, `{"resourceType":"Encounter","id":"1","status":"finished","class":{"code":"AMB"},"period":{"start":"2026-01-02T08:00:00-05:00"}}`)
	if got := section(t, c, "visits").Groups[0].Rows[0].Cells[0] + "|" + c.Timeline.Events[0].Date; got != "2026-01-02 08:00|2026-01-02 08:00" {
		t.Errorf("it is dated %s", got)
	}
}

// TestPeriodOfOneDay: "UTC" stands once, and only if both hours are in it.
func TestPeriodOfOneDay(t *testing.T) {
	for ends, want := range map[string]string{
		`"2026-01-02T08:00:00Z","end":"2026-01-02T09:00:00Z"`:           "2026-01-02 08:00 to 09:00 UTC",
		`"2026-01-02T08:00:00-05:00","end":"2026-01-02T09:00:00-05:00"`: "2026-01-02 08:00 to 09:00",
		`"2026-01-02T08:00:00-05:00","end":"2026-01-02T14:00:00Z"`:      "2026-01-02 08:00 to 2026-01-02 14:00 UTC",
	} {
		c := build(t, chart.Options{}, patient, `{"resourceType":"Encounter","id":"1","status":"finished","class":{"code":"AMB"},"period":{"start":`+ends+`}}`)
		if got := section(t, c, "visits").Groups[0].Rows[0].Cells[0]; got != want {
			t.Errorf("the period is %s, want %s", got, want)
		}
	}
}

// TestPeriodInSeries: a result over several days is no moment, and one without an end is
// on no day.
func TestPeriodInSeries(t *testing.T) {
	over := func(id, period string) string {
		return strings.Replace(obs(id, "Protein", "", num("1", "g")), `"effectiveDateTime":""`, `"effectivePeriod":`+period, 1)
	}
	c := build(t, chart.Options{}, patient, over("a", `{"start":"2026-01-02T08:00:00Z","end":"2026-01-03T08:00:00Z"}`), over("b", `{"start":"2026-02-02"}`), over("c", `{"end":"2026-03-02"}`),
		over("d", `{"start":"2026-04-02T08:00:00Z","end":"2026-04-02T09:00:00Z"}`))
	s := chart.SeriesOf(c.Measured.Tests[0].Results, chart.Birth{})
	var got []string
	for _, p := range s.Runs[0].Points {
		got = append(got, fmt.Sprintf("%s until %s", p.On, p.Until.Format("2006-01-02")))
	}
	want := "2026-01-02 08:00 UTC to 2026-01-03 08:00 UTC until 2026-01-03; 2026-04-02 08:00 to 09:00 UTC until 0001-01-01"
	if strings.Join(got, "; ") != want || s.Left != 2 || math.IsNaN(s.Runs[0].Points[0].Y) {
		t.Errorf("the series is %s, %d left, want %s, 2 left", strings.Join(got, "; "), s.Left, want)
	}
	if g := c.Measured.Grid(0, 9, chart.Laboratory); len(g.Days) != 2 || g.Undated != 2 {
		t.Errorf("the days are %q, %d undated", g.Days, g.Undated)
	}
}

// TestAbatement is when a problem ended, as a record says it.
func TestAbatement(t *testing.T) {
	tests := []struct{ name, abated, want string }{
		{"a day", `"abatementDateTime":"2021-03-04"`, "since 2020 until 2021-03-04"},
		{"a period", `"abatementPeriod":{"start":"2021-03","end":"2021-05"}`, "since 2020 ended between 2021-03 and 2021-05"},
		{"a period without an end", `"abatementPeriod":{"start":"2021-03"}`, "since 2020 ended after 2021-03"},
		{"a period without a beginning", `"abatementPeriod":{"end":"2021-05"}`, "since 2020 ended by 2021-05"},
		{"an age", `"abatementAge":{"value":45,"unit":"years"}`, "since 2020 ended at 45 years"},
		{"words", `"abatementString":"in spring"`, "since 2020 ended in spring"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := section(t, build(t, chart.Options{}, patient, `{"resourceType":"Condition","id":"1","code":{"text":"X"},"onsetPeriod":{"start":"2020"},`+tt.abated+`}`), "problems")
			if got := s.Groups[0].Rows[0].Cells[2]; got != tt.want {
				t.Errorf("since %q, want %q", got, tt.want)
			}
		})
	}
}

// TestAppointmentWords: an appointment says what it is for in whatever way it can, in its
// section, in the timeline and in the list of a day.
func TestAppointmentWords(t *testing.T) {
	tests := []struct{ name, rest, want string }{
		{"nothing at all", ``, "Appointment"},
		{"a description", `,"description":"Check up"`, "Check up"},
		{"a service", `,"serviceType":[{"text":"Cardiology visit"}]`, "Cardiology visit"},
		{"a category alone", `,"serviceCategory":[{"text":"Counselling"}]`, "Counselling"},
		{"a specialty alone", `,"specialty":[{"text":"Cardiology"}]`, "Cardiology"},
		{"a kind", `,"appointmentType":{"text":"Follow-up Appointment"},"reasonCode":[{"text":"pain"}]`, "Follow-up Appointment, pain"},
		{"a reason alone", `,"reasonCode":[{"text":"pain"}]`, "pain"},
		{"a reason that is a record", `,"reasonReference":[{"reference":"Condition/7"}]`, "Our illness"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			line := `{"resourceType":"Appointment","id":"1","status":"booked","start":"2026-07-01T10:00:00Z","end":"2026-07-01T10:30:00Z"` + tt.rest + `}`
			c := build(t, chart.Options{Names: ours}, patient, line)
			row := section(t, c, "appointments").Groups[0].Rows[0]
			if row.Cells[1] != tt.want || row.Cells[0] != "2026-07-01 10:00 to 10:30 UTC" || c.Timeline.Events[0].Title != tt.want {
				t.Errorf("it says %q, the timeline %q, want %q", row.Cells, c.Timeline.Events[0].Title, tt.want)
			}
			if b, err := chart.NewBooking(res(t, line), ""); err != nil || b.What == "" {
				t.Errorf("the list of the day says %q, %v", b.What, err)
			}
		})
	}
	s := section(t, build(t, chart.Options{}, patient, `{"resourceType":"Appointment","id":"1","status":"proposed","requestedPeriod":[{"start":"2026-07-01","end":"2026-07-14"}],"participant":[{"status":"declined","actor":{"display":"Dr. No"}},{"status":"declined","actor":{"reference":"Patient/p1"}}]}`), "appointments")
	if row := s.Groups[0].Rows[0]; row.Cells[2] != "Dr. No (declined), the patient (declined)" || row.More != "wanted 2026-07-01 to 2026-07-14" {
		t.Errorf("it says %q", row.Cells)
	}
}

// TestTwice: of a name that stands twice nobody knows which value counts: no list shows one
// of them, and the card shows both.
func TestTwice(t *testing.T) {
	tests := []struct {
		name, rest string
		want       bool
	}{
		{"once", `"valueQuantity":{"value":1,"unit":"g"}`, false},
		{"the same name in two objects", `"valueQuantity":{"value":1},"referenceRange":[{"low":{"value":1},"high":{"value":1}}]`, false},
		{"a text that is written as a name", `"valueString":"a","note":[{"text":"\"text\":"},{"text":"text"}]`, false},
		{"in an object", `"valueQuantity":{"value":1,"value":2,"unit":"g"}`, true},
		{"the same value", `"valueQuantity":{"value":1,"value":1}`, true},
		{"deep in a list", `"component":[{"code":{"text":"A"}},{"code":{"coding":[{"code":"1"},{"code":"1","code":"2"}]}}]`, true},
		{"behind an object of its own", `"valueQuantity":{"unit":"g","extension":[{"url":"u"}],"unit":"mg"}`, true},
		{"in capitals", `"valueQuantity":{"value":1,"Value":2}`, true},
		{"written with an escape", `"valueQuantity":{"value":1,"v\u0061lue":2}`, true},
		{"with blanks", `"valueQuantity":{"value" : 1 , "value" : 2}`, true},
		{"in a record inside", `"contained":[{"resourceType":"Device","id":"d","status":"active","status":"inactive"}]`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			line := `{"resourceType":"Observation","id":"1","status":"final","code":{"text":"X"},` + tt.rest + `}`
			c := build(t, chart.Options{}, patient, line)
			s := section(t, c, "results")
			if plain := len(s.Plain) == 1; plain != tt.want {
				t.Errorf("shown plainly: %v, want %v", plain, tt.want)
			}
			lines, err := chart.Card([]byte(line))
			if err != nil {
				t.Fatal(err)
			}
			again := 0
			for _, l := range lines {
				again += strings.Count(l.Path, "(again)")
			}
			if said := again > 0; said != chart.Twice([]byte(line)) || said != (tt.want && tt.name != "in capitals") {
				t.Errorf("the card says %d times again; Twice = %v", again, chart.Twice([]byte(line)))
			}
		})
	}
	many := `{"a":{` + strings.Repeat(`"x":1,`, 30) + `"x":2}}`
	if lines, err := chart.Card([]byte(many)); err != nil || len(lines) != 31 || lines[30].Path != "a › x (again)" || lines[30].Value != "2" {
		t.Errorf("a card of %d lines, %v", len(lines), err)
	}
}
