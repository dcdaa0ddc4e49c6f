package charts_test

import (
	"slices"
	"strings"
	"testing"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/chart"
)

// TestMeasured: what was measured follows the day that is asked for and the role of who
// asks; its tab counts what the section counts; each look is a line of the journal.
func TestMeasured(t *testing.T) {
	hiv := `{"resourceType":"Observation","id":"h","status":"final","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]},"subject":{"reference":"Patient/anna"},"code":{"text":"Closed test"},"effectiveDateTime":"2026-02-01","valueInteger":1}`
	pulse := `{"resourceType":"Observation","id":"p","status":"final","subject":{"reference":"Patient/anna"},"category":[{"coding":[{"code":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"effectiveDateTime":"2026-02-01","valueInteger":70}`
	d := newDesk(t, anna, potassium("final", "4.10"), hiv, pulse)
	d.pull("main", potassium("corrected", "5.90"))
	show := func(a viewer.Actor, asOf string) (names []string, c viewer.Chart) {
		t.Helper()
		c, err := d.Chart(t.Context(), a, d.at("anna", asOf), "labs: one test")
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range c.Whole.Measured.Tests {
			names = append(names, one.Name+" "+one.Latest.Value.Text+" "+one.Latest.Label)
		}
		return names, c
	}
	old, _ := show(staff, "2026-03-01")
	now, c := show(staff, "")
	all, _ := show(doctor, "")
	if !slices.Equal(old, []string{"LOINC 8867-4 70 ", "Potassium 4.10 mmol/L "}) || !slices.Equal(now, []string{"LOINC 8867-4 70 ", "Potassium 5.90 mmol/L "}) {
		t.Errorf("staff sees %q of then and %q of now", old, now)
	}
	if len(all) != 3 || !strings.HasPrefix(all[0], "Closed test 1 ") || all[0] == "Closed test 1 " {
		t.Errorf("the doctor sees %q", all)
	}
	for _, want := range []viewer.ChartTab{{Key: "labs", Title: "Labs and results", Records: 2}, {Key: "vitals", Title: "Vital signs", Records: 1}} {
		if !slices.Contains(c.Tabs, want) {
			t.Errorf("no tab %+v among %+v", want, c.Tabs)
		}
	}
	if v := c.Whole.Measured.Vitals(); len(v) != 1 || v[0].Kind != chart.VitalSign {
		t.Errorf("%d vital signs", len(v))
	}
	lines := d.journal()
	if n := strings.Count(strings.Join(lines, "\n"), "labs: one test"); n != 3 {
		t.Errorf("%d lines of three looks: %q", n, lines)
	}
}
