package chart_test

import (
	"fmt"
	"strings"
	"testing"

	"chartcellar/store/chart"
)

// insideReport is a report of a laboratory with what it contains.
func insideReport(id, status, contained, result string) string {
	return fmt.Sprintf(`{"resourceType":"DiagnosticReport","id":%q,"status":%q,"category":[{"coding":[{"code":"LAB"}]}],"code":{"text":"Metabolic panel"},"effectiveDateTime":"2026-02-03","contained":[%s],"result":[%s]}`,
		id, status, contained, result)
}

const (
	potassiumIn = `{"resourceType":"Observation","id":"k","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"2823-3"}],"text":"Potassium"},"valueQuantity":{"value":7.1,"unit":"mmol/L"},"interpretation":[{"coding":[{"code":"HH"}]}]}`
	pressureIn  = `{"resourceType":"Observation","id":"bp","status":"preliminary","category":[{"coding":[{"code":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}],"text":"Heart rate"},"effectiveDateTime":"2026-02-02","valueQuantity":{"value":81,"unit":"/min"}}`
)

// TestInside: values inside a report are results: the latest, of one test, by day and in
// their panel; they say where they stand and are no records.
func TestInside(t *testing.T) {
	potassium := strings.Replace(obs("o", "Potassium", "2026-01-01", num("4.1", "mmol/L")), `"code":{`, `"code":{"coding":[{"system":"http://loinc.org","code":"2823-3"}],`, 1)
	c := build(t, chart.Options{}, patient, potassium, insideReport("r", "final", potassiumIn+","+pressureIn, `{"reference":"#k"},{"reference":"#bp"}`))
	s := section(t, c, "results")
	if s.Records != 1 || s.Inside != 1 || s.InsideWords() != " and 1 result inside reports" {
		t.Errorf("%d records, %d inside", s.Records, s.Inside)
	}
	row := s.Groups[0].Rows[0]
	if s.Groups[0].Title != "Laboratory" || row.Ref != "DiagnosticReport/r" || row.Records != 1 || row.Cells[1] != "7.1 mmol/L" || row.Cells[2] != "CRITICALLY HIGH" || row.Cells[5] != "+1" ||
		row.Cells[4] != "2026-02-03 (of the report)" || row.More != "inside the report: Metabolic panel" {
		t.Errorf("the latest is %+v", row)
	}
	if v := section(t, c, "vitals"); v.Records != 0 || v.Inside != 1 || v.Groups[0].Rows[0].Cells[1] != "81 /min (preliminary)" {
		t.Errorf("vital signs %+v", v)
	}
	test := c.Measured.Tests[0]
	if test.Name != "Potassium" || len(test.Results) != 2 || test.Latest.Inside != 1 || test.Latest.Within != "Metabolic panel" || test.Latest.Ref != "DiagnosticReport/r" {
		t.Errorf("test %+v", test.Latest)
	}
	if g := c.Measured.Grid(0, 5, chart.Laboratory); len(g.Days) != 2 || g.Days[0] != "2026-02-03" || len(g.Rows[0].Cells[0]) != 1 {
		t.Errorf("by day %+v", g)
	}
	if p := c.Measured.Panels[0]; len(p.Results) != 2 || p.Inside != 0 || p.Missing != 0 || len(c.Measured.In(test.Latest)) != 1 {
		t.Errorf("panel %+v", p)
	}
	if list := chart.MeasuredIn(res(t, insideReport("r", "final", potassiumIn, `{"reference":"#k"}`))); len(list) != 1 || list[0].Test != test.Key {
		t.Errorf("measured in the report: %+v", list)
	}
}

// TestInsideOdd: what is wrong with a report, or with what it contains, is not lost.
func TestInsideOdd(t *testing.T) {
	tests := []struct{ name, line, want string }{ // results: name value status; errors of tests; inside
		{"nothing inside", insideReport("r", "final", ``, `{"reference":"#k"}`), "inside 1"},
		{"the report was entered in error", insideReport("r", "entered-in-error", potassiumIn, `{"reference":"#k"}`), "inside 0"},
		{"the value was entered in error", insideReport("r", "final", strings.Replace(potassiumIn, `"final"`, `"entered-in-error"`, 1), `{"reference":"#k"}`), "inside 0"},
		{"no model reads it", insideReport("r", "final", strings.Replace(potassiumIn, `"final"`, `"done"`, 1), `{"reference":"#k"}`), "inside 1"},
		{"another kind of record", insideReport("r", "final", `{"resourceType":"Specimen","id":"k"}`, `{"reference":"#k"}`), "inside 1"},
		{"named by nobody", insideReport("r", "final", potassiumIn, ``), "Potassium 7.1 mmol/L final"},
		{"two without a code", insideReport("r", "final", `{"resourceType":"Observation","id":"a","status":"final","valueInteger":1},{"resourceType":"Observation","id":"b","status":"final","valueInteger":2}`, `{"reference":"#a"},{"reference":"#b"}`),
			"(the record does not say what) 1 final, (the record does not say what) 2 final, inside 0"},
		{"members of one inside", insideReport("r", "final", `{"resourceType":"Observation","id":"a","status":"final","code":{"text":"Group"},"hasMember":[{"reference":"#k"}]},`+potassiumIn, `{"reference":"#a"}`), "Potassium 7.1 mmol/L final, inside 0, inside 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := build(t, chart.Options{}, patient, tt.line)
			var got []string
			for _, x := range c.Measured.Tests {
				got = append(got, strings.Join([]string{x.Name, x.Latest.Value.Text, x.Latest.Status}, " "))
			}
			for _, p := range c.Measured.Panels {
				got = append(got, fmt.Sprint("inside ", p.Inside))
			}
			if s := strings.Join(got, ", "); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
			if c.Measured.Errors != 0 || c.Measured.Headings != 0 {
				t.Errorf("%d errors, %d headings among records that there are none of", c.Measured.Errors, c.Measured.Headings)
			}
		})
	}
	labelled := strings.Replace(insideReport("r", "final", potassiumIn, ""), `"id":"r"`, `"id":"r","meta":{"security":[{"code":"R"}]}`, 1)
	if c := build(t, chart.Options{}, patient, labelled); len(c.Measured.Results) != 0 || section(t, c, "results").Inside != 0 {
		t.Error("a value inside a report that is labelled sensitive is shown")
	}
	if c := build(t, chart.Options{Sensitive: true}, patient, labelled); c.Measured.Results[0].Label != "restricted" || section(t, c, "results").Groups[0].Rows[0].Label != "restricted" {
		t.Error("a value inside a labelled report does not bear its label")
	}
}
