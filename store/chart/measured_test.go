package chart_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"chartcellar/store/chart"
)

// obs is an observation of the laboratory; rest is what follows its code.
func obs(id, name, on, rest string) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"category":[{"coding":[{"code":"laboratory"}]}],"code":{"text":%q},"effectiveDateTime":%q,%s}`, id, name, on, rest)
}

func num(value, unit string) string {
	return fmt.Sprintf(`"status":"final","valueQuantity":{"value":%s,"unit":%q}`, value, unit)
}

// TestResult is what one record says, as a page writes it.
func TestResult(t *testing.T) {
	const band = `,"referenceRange":[{"low":{"value":1.0,"unit":"g"},"high":{"value":2.0,"unit":"g"}}]`
	tests := []struct {
		name, rest string
		want       string // value | number | flag | limits | status
	}{
		{"a number keeps its digits", num("1.50", "g") + band, "1.50 g|1.50|||1.0-2.0|final"},
		{"above its own range, without a flag", num("2.01", "g") + band, "2.01 g|2.01|▲ Above range|odd|1.0-2.0|final"},
		{"below its own range, without a flag", num("0.9", "g") + band, "0.9 g|0.9|▼ Below range|odd|1.0-2.0|final"},
		{"the record's flag counts, not its range", num("9", "g") + band + `,"interpretation":[{"coding":[{"code":"N"}]}]`, "9 g|9|Normal||1.0-2.0|final"},
		{"critical", num("9", "g") + `,"interpretation":[{"coding":[{"code":"HH"}]}]`, "9 g|9|▲▲ Critically high|odd grave|-|final"},
		{"low", num("9", "g") + `,"interpretation":[{"coding":[{"code":"L"}]}]`, "9 g|9|▼ Low|odd|-|final"},
		{"a flag in words that are not HL7's is not taken for normal", num("9", "g") + `,"interpretation":[{"text":"see the phone note"}]`, "9 g|9|See the phone note|odd|-|final"},
		{"an empty flag is no flag, and none is found", num("9", "g") + band + `,"interpretation":[{}]`, "9 g|9|||1.0-2.0|final"},
		{"less than: never compared", `"status":"final","valueQuantity":{"value":0.5,"comparator":"<","unit":"g"}` + band, "<0.5 g|<0.5|||1.0-2.0|final"},
		{"negative", num("-3", "g") + band, "-3 g|-3|▼ Below range|odd|1.0-2.0|final"},
		{"another unit than the range: no limits, no flag", num("9", "mg") + band, "9 mg|9|||-|final"},
		{"no unit in the range: no limits", num("9", "g") + `,"referenceRange":[{"high":{"value":2}}]`, "9 g|9|||-|final"},
		{"two ranges: no limits", num("9", "g") + `,"referenceRange":[{"low":{"value":1,"unit":"g"},"appliesTo":[{"text":"men"}]},{"low":{"value":2,"unit":"g"}}]`, "9 g|9|||-|final"},
		{"a range for some: no limits", num("9", "g") + `,"referenceRange":[{"low":{"value":1,"unit":"g"},"age":{"high":{"value":9,"unit":"a"}}}]`, "9 g|9|||-|final"},
		{"a ratio is no number", `"status":"final","valueRatio":{"numerator":{"value":1},"denominator":{"value":128}}`, "1 : 128||||-|final"},
		{"words that look like a number are words", `"status":"final","valueString":"5.7"`, "5.7||||-|final"},
		{"a whole number", `"status":"corrected","valueInteger":7`, "7|7|||-|corrected"},
		{"no value, and why", `"status":"cancelled","dataAbsentReason":{"text":"clotted"}`, "no value: clotted||||-|cancelled"},
		{"no value at all", `"status":"preliminary"`, "no value in the record||||-|preliminary"},
		{"a number too long to compare", num("9e999999", "g") + band, "9e999999 g|9e999999|||1.0-2.0|final"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := build(t, chart.Options{}, patient, obs("o", "Test", "2026-01-02", tt.rest)).Measured
			if len(m.Results) != 1 {
				t.Fatalf("%d results", len(m.Results))
			}
			r := m.Results[0]
			how := []string{}
			if r.Flag.Odd {
				how = append(how, "odd")
			}
			if r.Flag.Grave {
				how = append(how, "grave")
			}
			got := strings.Join([]string{r.Value.Text, r.Value.Comparator + r.Value.Number, r.Flag.String(), strings.Join(how, " "), r.Low + "-" + r.High, r.Status}, "|")
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestParts: each component is a result of its own; what is said of the record is
// said of it too, and a flag of the record is not given to a part.
func TestParts(t *testing.T) {
	m := build(t, chart.Options{}, patient, obs("o", "Immunoglobulins", "2026-01-02", `"status":"amended","note":[{"text":"repeated"}],"interpretation":[{"coding":[{"code":"A"}]}],"component":[
		{"code":{"text":"IgG"},"valueQuantity":{"value":17,"unit":"g/L"},"referenceRange":[{"high":{"value":16,"unit":"g/L"}}]},
		{"code":{"text":"IgM"},"dataAbsentReason":{"text":"not done"}}]`)).Measured
	if len(m.Results) != 3 || !m.Results[0].Heading() || m.Headings != 1 {
		t.Fatalf("results %+v, %d headings", m.Results, m.Headings)
	}
	var names []string
	for _, x := range m.Tests {
		names = append(names, fmt.Sprintf("%s=%s %s (%s, %s)", x.Name, x.Latest.Value.Text, x.Latest.Flag, x.Latest.Status, x.Latest.Comment))
	}
	want := []string{"IgG=17 g/L  (amended, flag of the whole record: abnormal; repeated)", "IgM=no value: not done  (amended, flag of the whole record: abnormal; repeated)"}
	if !slices.Equal(names, want) {
		t.Errorf("tests %q\nwant  %q", names, want)
	}
	alone := chart.MeasuredIn(res(t, obs("o", "Immunoglobulins", "2026-01-02", `"status":"final","component":[{"code":{"text":"IgG"},"valueInteger":17},{"code":{"text":"IgM"}}]`)))
	if len(alone) != 2 || alone[0].Test != m.Tests[0].Key || alone[1].Test != m.Tests[1].Key {
		t.Errorf("in the record alone: %+v", alone)
	}
	for _, line := range []string{patient, obs("o", "Zinc", "2026-01-02", `"status":"entered-in-error","valueInteger":1`), obs("o", "Zinc", "2026-01-02", `"status":"wonderful","valueInteger":1`)} {
		if got := chart.MeasuredIn(res(t, line)); got != nil {
			t.Errorf("%s: measured %+v", line, got)
		}
	}
	if m.Of("Observation/o", 2) == nil || m.Of("Observation/o", 2).Name != "IgM" || m.Of("Observation/o", 0) != nil || m.Of("Observation/x", 0) != nil {
		t.Error("a part is not found by its record")
	}
}

// TestTests: results of one test come together, what goes first goes first, nothing
// is lost.
func TestTests(t *testing.T) {
	coded := func(id, system, code, text, on, rest string) string {
		return strings.Replace(obs(id, text, on, rest), `"code":{`, fmt.Sprintf(`"code":{"coding":[{"system":%q,"code":%q}],`, system, code), 1)
	}
	m := build(t, chart.Options{}, patient,
		coded("a1", "http://loinc.org", "2345-7", "Glucose", "2025-01-01", num("100", "mg/dL")),
		coded("a2", "http://loinc.org", "2345-7", "Glucose, serum", "2026-01-01", num("5.5", "mmol/L")),
		coded("a3", "http://loinc.org", "2345-7", "Glucose", "2026-02-01", `"status":"cancelled"`),
		coded("a4", "http://loinc.org", "2345-7", "Glucose", "2026-03-01", `"status":"entered-in-error","valueInteger":1`),
		coded("b1", "", "1", "Sodium", "2026-01-01", num("140", "mmol/L")),
		coded("b2", "", "1", "Potassium", "2026-01-01", num("7", "mmol/L")+`,"interpretation":[{"coding":[{"code":"HH"}]}]`),
		obs("c", "Zinc", "2026-01-01", num("1", "mg")+`,"interpretation":[{"coding":[{"code":"L"}]}]`),
		obs("d", "Only cancelled", "2026-01-01", `"status":"cancelled"`),
		obs("e", "Only a mistake", "2026-01-01", `"status":"entered-in-error","component":[{"code":{"text":"x"},"valueInteger":1}]`)).Measured
	var got []string
	n := m.Errors + m.Headings
	for _, x := range m.Tests {
		got = append(got, fmt.Sprintf("%s: %s of %d, %d in error %q", x.Name, x.Latest.Value.Text, len(x.Results), x.Errors, x.Names))
		n += len(x.Results)
	}
	want := []string{`Potassium: 7 mmol/L of 1, 0 in error []`, `Zinc: 1 mg of 1, 0 in error []`,
		`Glucose, serum: 5.5 mmol/L of 3, 1 in error ["Glucose"]`, `Only cancelled: no value in the record of 1, 0 in error []`, `Sodium: 140 mmol/L of 1, 0 in error []`}
	if !slices.Equal(got, want) {
		t.Errorf("tests\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n != 9 {
		t.Errorf("tests, errors and headings stand for %d records, want 9", n)
	}
}

// TestSeries: a unit change breaks a series; nothing is converted or made up.
func TestSeries(t *testing.T) {
	lines := []string{patient}
	for i, v := range []struct{ on, rest string }{{"2020-01-01", num("100", "mg/dL")}, {"2021-01-01T10:00:00+02:00", num("110", "mg/dL")}, {"2022-01-01", num("6.1", "mmol/L")},
		{"2023-01-01", num("120", "mg/dL")}, {"2024", num("130", "mg/dL")}, {"2024-02", num("131", "mg/dL")}, {"2025-01-01", `"status":"final","valueString":"high"`},
		{"2025-02-01", num("1e300", "mg/dL")}, {"2025-03-01", num("1e999", "mg/dL")}, {"soon", num("5", "mg/dL")}, {"1939-01-01", num("-5", "mg/dL")}} {
		lines = append(lines, obs(fmt.Sprint("o", i), "Glucose", v.on, v.rest))
	}
	m := build(t, chart.Options{}, lines...).Measured
	s := chart.SeriesOf(m.Tests[0].Results, chart.BirthOf("1940-01-01"))
	var got []string
	for _, r := range s.Runs {
		line := r.Unit + ":"
		for _, p := range r.Points {
			line += fmt.Sprintf(" %s=%v(%.2f)", p.On, p.Y, p.Age)
		}
		got = append(got, line)
	}
	want := []string{"mg/dL: 1939-01-01=-5(NaN) 2020-01-01=100(80.00) 2021-01-01 10:00=110(81.00)", "mmol/L: 2022-01-01=6.1(82.00)", "mg/dL: 2023-01-01=120(83.00)"}
	if !slices.Equal(got, want) || s.Left != 6 {
		t.Errorf("series %q, %d left\nwant   %q, 6 left", got, s.Left, want)
	}
	if a := chart.SeriesOf(m.Tests[0].Results, chart.BirthOf("1940")).Runs[0].Points[1].Age; !math.IsNaN(a) {
		t.Errorf("an age of %v from a birth year", a)
	}
}

// TestPressures: two halves make a pair only where the record, or the moment, says
// that they belong together.
func TestPressures(t *testing.T) {
	half := func(id, code, on, value, unit string) string {
		return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":"final","category":[{"coding":[{"code":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":%q}]},"effectiveDateTime":%q,"valueQuantity":{"value":%s,"unit":%q}}`, id, code, on, value, unit)
	}
	whole := func(id, on, status string) string {
		return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":%q,"effectiveDateTime":%q,"code":{"coding":[{"system":"http://loinc.org","code":"85354-9"}],"text":"Blood pressure"},"component":[{"code":{"coding":[{"code":"8462-4"}]},"valueQuantity":{"value":76,"unit":"mm[Hg]"}},{"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},"valueQuantity":{"value":118,"unit":"mm[Hg]"}}]}`, id, status, on)
	}
	m := build(t, chart.Options{}, patient, whole("w1", "2026-01-01", "final"), whole("w2", "2026-01-02", "cancelled"), whole("w3", "2026-01-03", "entered-in-error"),
		half("s1", "8480-6", "2025-01-01T10:00:00Z", "120", "mm[Hg]"), half("d1", "8462-4", "2025-01-01T12:00:00+02:00", "80", "mm[Hg]"),
		half("s2", "8480-6", "2025-02-01", "121", "mm[Hg]"), half("d2", "8462-4", "2025-02-01", "81", "mm[Hg]"),
		half("s3", "8480-6", "2025-03-01T10:00:00Z", "122", "mm[Hg]"), half("d3", "8462-4", "2025-03-01T10:00:00Z", "11", "kPa"),
		half("s4", "8480-6", "2025-04-01T10:00:00Z", "123", "mm[Hg]"), half("s5", "8480-6", "2025-04-01T10:00:00Z", "124", "mm[Hg]"), half("d4", "8462-4", "2025-04-01T10:00:00Z", "82", "mm[Hg]")).Measured
	pairs, alone := m.Pressures()
	var got []string
	for _, p := range pairs {
		got = append(got, p.Upper.Value.Number+"/"+p.Lower.Value.Number+" "+p.Upper.On)
	}
	if want := []string{"118/76 2026-01-01", "120/80 2025-01-01 10:00 UTC"}; !slices.Equal(got, want) || alone != 7 {
		t.Errorf("pairs %q, %d alone; want %q, 7 alone", got, alone, want)
	}
	bp := m.Of("Observation/w1", 0)
	if bp == nil || bp.Latest.Value.Text != "118/76 mm[Hg]" || bp.Kind != chart.VitalSign || len(bp.Results) != 2 || bp.Errors != 1 {
		t.Errorf("the pair as a test: %+v", bp)
	}
}

// TestPanels: a report's results in its order, members of members once, what is
// missing is counted, a circle ends.
func TestPanels(t *testing.T) {
	m := build(t, chart.Options{Names: records{}}, patient,
		`{"resourceType":"DiagnosticReport","id":"r","status":"corrected","code":{"text":"Metabolic panel"},"effectiveDateTime":"2026-01-02","conclusion":"fasting","result":[{"reference":"Observation/b"},{"reference":"https://emr.example/fhir/Observation/p/_history/2"},{"reference":"Observation/gone"},{"reference":"#in"},{"reference":"Observation/e"},{"reference":"Observation/b"}]}`,
		`{"resourceType":"DiagnosticReport","id":"r2","status":"final","code":{"text":"No results"},"effectiveDateTime":"2026-01-03"}`,
		obs("a", "Sodium", "2026-01-02", num("140", "mmol/L")), obs("b", "Glucose", "2026-01-02", num("100", "mg/dL")),
		obs("e", "Zinc", "2026-01-02", `"status":"entered-in-error","valueInteger":1`),
		obs("p", "Electrolytes", "2026-01-01", `"status":"final","interpretation":[{"coding":[{"code":"A"}]}],"hasMember":[{"reference":"Observation/a"},{"reference":"Observation/p"}]`)).Measured
	var got []string
	for _, p := range m.Panels {
		line := fmt.Sprintf("%s %s %s %q:", p.On, p.Name, p.Status, p.Comment)
		for _, r := range p.Results {
			line += " " + r.Name
		}
		got = append(got, fmt.Sprintf("%s, %d missing, %d in error", line, p.Missing, p.Errors))
	}
	want := []string{`2026-01-02 Metabolic panel corrected "fasting": Glucose Sodium, 1 missing, 1 in error`, `2026-01-01 Electrolytes final "abnormal": Sodium, 0 missing, 0 in error`}
	if !slices.Equal(got, want) {
		t.Errorf("panels\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if m.Headings != 1 || len(m.Tests) != 2 {
		t.Errorf("%d headings, %d tests", m.Headings, len(m.Tests))
	}
}

// TestGrid: tests by days; two results of a day stand in one cell; what names no
// day is counted.
func TestGrid(t *testing.T) {
	m := build(t, chart.Options{}, patient, obs("a", "Sodium", "2026-01-02T23:30:00-08:00", num("140", "mmol/L")), obs("b", "Sodium", "2026-01-02T08:00:00-08:00", num("139", "mmol/L")),
		obs("c", "Glucose", "2026-01-01", num("100", "mg/dL")), obs("d", "Glucose", "2025", num("90", "mg/dL")), obs("e", "Zinc", "2024-05-05", num("9", "mg")),
		`{"resourceType":"Observation","id":"v","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"effectiveDateTime":"2026-05-05","valueInteger":70}`).Measured
	show := func(g chart.Grid) string {
		out := strings.Join(g.Days, " ") + fmt.Sprintf(" of %d, %d tests, %d undated", g.All, g.Tests, g.Undated)
		for _, r := range g.Rows {
			out += "\n" + r.Test.Name
			for _, c := range r.Cells {
				out += " |"
				for _, x := range c {
					out += " " + x.Value.Number
				}
			}
		}
		return out
	}
	labs := []chart.Kind{chart.Laboratory, chart.OtherResult}
	if got, want := show(m.Grid(0, 2, labs...)), "2026-01-02 2026-01-01 of 3, 3 tests, 1 undated\nGlucose | | 100\nSodium | 139 140 |"; got != want {
		t.Errorf("grid\n%s\nwant\n%s", got, want)
	}
	if got, want := show(m.Grid(2, 2, labs...)), "2024-05-05 of 3, 3 tests, 1 undated\nZinc | 9"; got != want {
		t.Errorf("second page\n%s\nwant\n%s", got, want)
	}
	if got := show(m.Grid(99, -1, labs...)); !strings.HasPrefix(got, " of 3") {
		t.Errorf("behind the end: %s", got)
	}
}

// TestMeasuredApart: what is kept for pages is not in the chart that a command
// prints, and an empty patient has nothing measured.
func TestMeasuredApart(t *testing.T) {
	c := build(t, chart.Options{}, patient, obs("o", "Test", "2026-01-02", num("1", "g")))
	b, err := json.Marshal(c)
	if err != nil || strings.Contains(string(b), "easured") {
		t.Errorf("%v: %s", err, b)
	}
	if m := build(t, chart.Options{}, patient).Measured; m == nil || len(m.Results)+len(m.Tests)+len(m.Panels)+m.Errors+m.Headings != 0 {
		t.Errorf("of an empty patient: %+v", m)
	}
	m := build(t, chart.Options{}, append([]string{patient}, observations("p", 5000)...)...).Measured
	n := 0
	for _, x := range m.Tests {
		n += len(x.Results)
	}
	if len(m.Tests) != 60 || n != 5000 {
		t.Errorf("5,000 observations: %d tests of %d results", len(m.Tests), n)
	}
}

// TestMeasuredWithheld: who may not see what is labelled sensitive has none of it, and a
// panel says that a result is missing.
func TestMeasuredWithheld(t *testing.T) {
	lines := []string{patient, obs("a", "Sodium", "2026-01-02", num("140", "mmol/L")),
		obs("h", "HIV", "2026-01-02", num("1", "g")+`,"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]},"component":[{"code":{"text":"part"},"valueInteger":1}],"hasMember":[{"reference":"Observation/a"}]`),
		`{"resourceType":"DiagnosticReport","id":"r","status":"final","code":{"text":"Open panel"},"result":[{"reference":"Observation/a"},{"reference":"Observation/h"}]}`,
		`{"resourceType":"DiagnosticReport","id":"r2","status":"final","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]},"code":{"text":"Closed panel"},"result":[{"reference":"Observation/a"}]}`}
	m := build(t, chart.Options{}, lines...).Measured
	if len(m.Results) != 1 || len(m.Tests) != 1 || len(m.Panels) != 1 || m.Panels[0].Missing != 1 || m.Results[0].Name != "Sodium" || m.Results[0].Label != "" {
		t.Errorf("withheld: %+v", m)
	}
	m = build(t, chart.Options{Sensitive: true}, lines...).Measured
	if len(m.Results) != 3 || len(m.Panels) != 3 || m.Results[1].Label == "" || m.Results[2].Label == "" {
		t.Errorf("with the right to see it: %d results, %d panels, labels %q %q", len(m.Results), len(m.Panels), m.Results[1].Label, m.Results[2].Label)
	}
}
