package viewer_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"chartcellar/store/access"
)

// lab is a laboratory result; rest is what follows its code.
func lab(id, name, on, rest string) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":%s,"category":[{"coding":[{"code":"laboratory"}]}],"code":{"text":%q},"effectiveDateTime":%q}`, id, rest, name, on)
}

// vitalSign is one with a LOINC code.
func vitalSign(id, code, name, on, rest string) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":"final",%s,"category":[{"coding":[{"code":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":%q}],"text":%q},"effectiveDateTime":%q}`, id, rest, code, name, on)
}

// measuredLines are awkward results.
func measuredLines() []string {
	const band = `,"referenceRange":[{"low":{"value":3.5,"unit":"mmol/L"},"high":{"value":5.1,"unit":"mmol/L"}}]`
	lines := []string{
		lab("k1", "Potassium", "2024-03-01", `"final","valueQuantity":{"value":4.10,"unit":"mmol/L"}`+band),
		lab("k2", "Potassium", "2025-03-01T08:30:00Z", `"corrected","valueQuantity":{"value":4.6,"unit":"mmol/L"},"note":[{"text":"repeated, `+strings.ReplaceAll(script, "/", `\/`)+`"}]`+band),
		lab("k3", "Potassium", "2026-02-27", `"preliminary","valueQuantity":{"value":6.2,"unit":"mmol/L"},"derivedFrom":[{"reference":"Observation/k1"},{"display":"a tube"}]`+band),
		lab("k4", "Potassium", "2026-02-28", `"cancelled","dataAbsentReason":{"text":"clotted"}`),
		lab("k5", "Potassium", "2026-03-01", `"entered-in-error","valueQuantity":{"value":9.9,"unit":"mmol/L"}`),
		lab("g1", "Glucose", "2025-01-01", `"final","valueQuantity":{"value":100,"unit":"mg/dL"}`),
		lab("g2", "Glucose", "2026-01-01", `"final","valueQuantity":{"value":5.5,"unit":"mmol/L"}`),
		lab("t1", "Troponin", "2026-02-27", `"final","valueQuantity":{"value":5,"comparator":"<","unit":"ng/L"},"interpretation":[{"coding":[{"code":"HH"}]}]`),
		lab("w1", "Culture", "2026-02-27", `"final","valueString":"no growth"`),
		`{"resourceType":"DiagnosticReport","id":"r1","status":"final","code":{"text":"Morning panel"},"effectiveDateTime":"2026-02-27","conclusion":"call the patient","result":[{"reference":"Observation/k3"},{"reference":"Observation/t1"},{"reference":"Observation/k5"},{"reference":"Observation/none"}]}`,
		vitalSign("bp1", "85354-9", "Blood pressure", "2026-01-02", `"component":[{"code":{"coding":[{"code":"8480-6"}]},"valueQuantity":{"value":118,"unit":"mm[Hg]"}},{"code":{"coding":[{"code":"8462-4"}]},"valueQuantity":{"value":76,"unit":"mm[Hg]"}}]`),
		vitalSign("s1", "8480-6", "Systolic", "2026-01-03T10:00:00Z", `"valueQuantity":{"value":131,"unit":"mm[Hg]"}`),
		vitalSign("d1", "8462-4", "Diastolic", "2026-01-03T10:00:00Z", `"valueQuantity":{"value":84,"unit":"mm[Hg]"}`),
		vitalSign("kg1", "29463-7", "Weight", "1950-04-12", `"valueQuantity":{"value":3.9,"unit":"kg"}`),
		vitalSign("kg2", "29463-7", "Weight", "1951-04-12", `"valueQuantity":{"value":10.2,"unit":"kg"}`)}
	for i := range 12 {
		lines = append(lines, vitalSign(fmt.Sprint("kgx", i), "29463-7", "Weight", fmt.Sprintf("20%02d-01-01", 10+i), fmt.Sprintf(`"valueQuantity":{"value":%d,"unit":"kg"}`, 60+i)))
	}
	return lines
}

// mainPart is the page without its frame, its white space made single.
func mainPart(text string) string {
	part := regexp.MustCompile(`(?s)<main.*</main>`).FindString(text)
	return strings.Join(strings.Fields(part), " ")
}

// testAddress finds the page of a test on the page of all tests.
func testAddress(t *testing.T, text, name string) string {
	t.Helper()
	m := regexp.MustCompile(`href="(/chart/[^"]*/labs/test/[^"]*)">` + name + `<`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%s has no page on\n%s", name, text)
	}
	return m[1]
}

// TestLabPages: what was measured is on its pages with its own range, its flag in words
// and what became of it; nothing entered in error is shown, and it is counted.
func TestLabPages(t *testing.T) {
	d := practice()
	d.measured = measuredLines()
	o := newOffice(t, d)
	token := o.settle()[access.Doctor]
	base := "/chart/" + patientRef()
	labs := mainPart(o.page(base+"/labs", token))
	vitals := mainPart(o.page(base+"/vitals", token))
	tests := []struct {
		name, path string
		want, not  []string
	}{
		{"the latest of each test", base + "/labs", []string{"454 tests, each with its latest result", "2 have a flag", "50 of 454 on this page", "6.2 mmol/L", "(preliminary)", "<td>▲ Above range</td>", "the record has no flag; its value was compared here",
			"3.5-5.1 mmol/L", `<svg class="mini"`, "▲▲ Critically high", "&lt;5 ng/L", "1 record was entered in error", "page 1 of 10"}, []string{"9.9", "4.10"}},
		{"its last page", base + "/labs?page=10", []string{"4 of 454 on this page", "page 10 of 10"}, []string{"Potassium"}},
		{"by panel", base + "/labs/panels", []string{"1 to 1 of 1 panel,", "Morning panel", "call the patient", "2 results", "1 result was entered in error", "1 result that it names is not among", "456 results belong to no panel"}, []string{"9.9"}},
		{"by day", base + "/labs/grid", []string{"Days 1 to 6 of 7", "454 of 454 tests have a result on them, 30 of these on this page", "2026-02-28", "<s>no value: clotted (cancelled)</s>"}, []string{"9.9"}},
		{"by day, older", base + "/labs/grid?skip=4", []string{"Days 5 to 7 of 7", "2 of 454 tests", "Newer days", ">4.10<", `<td class="wide">mmol/L</td>`, ">100<"}, []string{"2026-02-28"}},
		{"as of a day", base + "/labs?asof=2026-03-01", []string{`/labs/panels?asof=2026-03-01"`, `page=2&amp;asof=2026-03-01`}, nil},
		{"one test", testAddress(t, labs, "Potassium"), []string{`<svg class="trend"`, `role="img"`, "Potassium: 3 of 4 results drawn, from 2024-03-01 to 2026-02-27; the latest of these is 6.2 mmol/L (Above range), the lowest 4.10 mmol/L, the highest 6.2 mmol/L.",
			"◆ corrected", "○ preliminary", "1 to 4 of 4, newest first", "1 more was entered in error", "(corrected)", "(cancelled)", "no value: clotted", "repeated, &lt;script&gt;", "reported in: Morning panel", "worked out from: Observation/k1", "worked out from: a tube",
			`href="/record/` + string((&double{}).Refer("main", "Observation/k2"))}, []string{script, "9.9"}},
		{"a unit change", testAddress(t, labs, "Glucose"), []string{"the unit changes, and each has its own axis: mg/dL, mmol/L"}, nil},
		{"no number", testAddress(t, labs, "Culture"), []string{"There is nothing to draw: no result", "no growth"}, []string{"<svg class=\"trend\""}},
		{"vital signs", base + "/vitals", []string{"17 records", "118/76 mm[Hg]", "131/84 mm[Hg]", "the lower half", "14 results are drawn", "5 of 14, newest first", "All 14 values", "By age when measured", "2 results are drawn, from 1950-04-12 to 1951-04-12", "no percentile curves", ">4 measures."}, nil},
		{"one vital sign", testAddress(t, vitals, "Weight"), []string{"1 to 14 of 14", "By age when measured", `/vitals">Back to the list`}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := mainPart(o.page(tt.path, token))
			for _, w := range tt.want {
				if !strings.Contains(text, w) {
					t.Errorf("no %q in\n%s", w, text)
				}
			}
			for _, w := range tt.not {
				if strings.Contains(text, w) {
					t.Errorf("%q in\n%s", w, text)
				}
			}
			if bad := regexp.MustCompile(` style="|<style|\son[a-z]+="`).FindString(text); bad != "" {
				t.Errorf("%q in\n%s", bad, text)
			}
		})
	}
	for _, path := range []string{"/labs?page=11", "/labs?page=0", "/labs?page=x", "/labs/panels?page=2", "/labs/grid?skip=7", "/labs/grid?skip=-1", "/labs/grid?page=99", "/labs/test/none", "/labs/test/@@", "/vitals?page=2"} {
		if res := o.ask(ask{path: base + path, token: token}); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if strings.Contains(testAddress(t, labs, "Potassium"), "otassium") {
		t.Error("the address names the test")
	}
	for _, want := range []string{"chart the doctor labs asof", "chart the doctor labs: one test asof", "chart the doctor labs: by day asof", "chart the doctor labs: panels asof", "chart the doctor vitals asof"} {
		if !slices.ContainsFunc(d.did, func(c string) bool { return strings.HasPrefix(c, want) }) {
			t.Errorf("no %q among %q", want, d.did)
		}
	}
}

// TestTestOfRecord: from the card of a result a link leads to all results of its test;
// from an older version and from a record of another kind none does.
func TestTestOfRecord(t *testing.T) {
	d := practice()
	d.measured = []string{resultJSON}
	o := newOffice(t, d)
	token := o.settle()[access.Doctor]
	way := regexp.MustCompile(`All results of the same test: <a href="([^"]*)">`)
	record := "/record/" + string((&double{}).Refer("main", "Observation/o1"))
	m := way.FindStringSubmatch(mainPart(o.page(record, token)))
	if m == nil {
		t.Fatalf("no way from a record to its test:\n%s", o.page(record, token))
	}
	if text := o.page(m[1], token); !strings.Contains(text, "All values") || !strings.Contains(text, "4.10 mmol/L") {
		t.Errorf("%s is no page of the test:\n%s", m[1], text)
	}
	for _, path := range []string{record + "?version=1", "/record/" + string((&double{}).Refer("main", "Practitioner/d1"))} {
		if way.MatchString(mainPart(o.page(path, token))) {
			t.Errorf("%s leads to a test", path)
		}
	}
}

// manyLines are 5,000 results of 80 tests.
func manyLines() (lines []string) {
	for i := range 5000 {
		lines = append(lines, lab(fmt.Sprint("x", i), fmt.Sprint("Test ", i%80), fmt.Sprintf("20%02d-%02d-%02d", 10+i%16, 1+i%12, 1+i%28),
			fmt.Sprintf(`"final","valueQuantity":{"value":%d.5,"unit":"mmol/L"},"referenceRange":[{"low":{"value":7,"unit":"mmol/L"},"high":{"value":90,"unit":"mmol/L"}}]`, i%100)))
	}
	return lines
}

// BenchmarkLabs is a page of results of a chart of 5,000, once the chart is made.
func BenchmarkLabs(b *testing.B) {
	d := practice()
	d.ready = chartOf(0, manyLines()...)
	o := newOffice(b, d)
	token := o.settle()[access.Doctor]
	base := "/chart/" + patientRef()
	m := regexp.MustCompile(`href="(/chart/[^"]*/labs/test/[^"]*)"`).FindStringSubmatch(o.page(base+"/labs", token))
	for name, path := range map[string]string{"latest": base + "/labs", "panels": base + "/labs/panels", "grid": base + "/labs/grid", "vitals": base + "/vitals", "test": m[1]} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if text := o.page(path, token); !strings.Contains(text, "card") {
					b.Fatal(text)
				}
			}
		})
	}
}

// TestLabBudget: no page of results has more than 60 KiB, however much was measured.
func TestLabBudget(t *testing.T) {
	d := practice()
	words := strings.Repeat("Measurement with a long name ", 2)
	var named []string
	for i := range 5000 {
		on := fmt.Sprintf("20%02d-%02d-%02d", 10+i%16, 1+i%12, 1+i%28)
		rest := fmt.Sprintf(`"final","valueQuantity":{"value":%d.5,"unit":"mmol/L"},"referenceRange":[{"low":{"value":%d,"unit":"mmol/L"},"high":{"value":90,"unit":"mmol/L"}}]`, i%100, i%7)
		d.measured = append(d.measured, lab(fmt.Sprint("x", i), fmt.Sprint(words, i%80), on, rest), vitalSign(fmt.Sprint("y", i), fmt.Sprintf("%d-1", i%30), fmt.Sprint(words, "v", i%30), on, strings.TrimPrefix(rest, `"final",`)))
		named = append(named, fmt.Sprintf(`{"reference":"Observation/x%d"}`, i))
	}
	for i := range 40 {
		d.measured = append(d.measured, fmt.Sprintf(`{"resourceType":"DiagnosticReport","id":"r%d","status":"final","code":{"text":"Everything"},"result":[%s]}`, i, strings.Join(named, ",")))
	}
	o := newOffice(t, d)
	token := o.settle()[access.Owner]
	base := "/chart/" + patientRef()
	for _, p := range []string{base + "/labs", base + "/labs/panels", base + "/labs/grid", base + "/vitals", testAddress(t, mainPart(o.page(base+"/labs", token)), words+"1")} {
		n := len(o.page(p, token))
		if n > 60<<10 {
			t.Errorf("GET %s: %d bytes", p, n)
		}
	}
}

// TestLabsInside: a value inside a report stands on the pages of the results and leads to
// its place in the report; one that was measured over days says so.
func TestLabsInside(t *testing.T) {
	d := practice()
	d.ready = chartOf(0, `{"resourceType":"DiagnosticReport","id":"r1","status":"final","category":[{"coding":[{"code":"LAB"}]}],"code":{"text":"Morning panel"},"effectiveDateTime":"2026-02-27","contained":[{"resourceType":"Observation","id":"x","status":"final","code":{"text":"Zinc"},"valueQuantity":{"value":71,"unit":"g"}}],"result":[{"reference":"#x"}]}`,
		`{"resourceType":"Observation","id":"u1","status":"final","category":[{"coding":[{"code":"laboratory"}]}],"code":{"text":"Protein"},"effectivePeriod":{"start":"2026-02-01","end":"2026-02-03"},"valueQuantity":{"value":2,"unit":"g"}}`,
		`{"resourceType":"Observation","id":"u2","status":"final","category":[{"coding":[{"code":"laboratory"}]}],"code":{"text":"Protein"},"effectiveDateTime":"2025-02-01","valueQuantity":{"value":1,"unit":"g"}}`)
	o := newOffice(t, d)
	token := o.settle()[access.Doctor]
	base := "/chart/" + patientRef()
	labs := mainPart(o.page(base+"/labs", token))
	place := `/record/` + string((&double{}).Refer("main", "DiagnosticReport/r1")) + `#inside-1"`
	for page, want := range map[string][]string{
		base + "/labs":                  {"2 records and 1 result inside reports", "71 g", "inside the report: Morning panel", place, "2026-02-01 to 2026-02-03"},
		base + "/labs/grid":             {"71 (inside a report)", place, "2 (2026-02-01 to 2026-02-03)"},
		base + "/labs/panels":           {"Morning panel", "1 result</span>", "71 g", place},
		testAddress(t, labs, "Zinc"):    {"71 g", "inside the report: Morning panel", "reported in: Morning panel", place},
		testAddress(t, labs, "Protein"): {"2 results are drawn, from 2025-02-01 to 2026-02-01 to 2026-02-03", "a bar to the right: measured over that time", `class="bars"`},
		base + "/results":               {"71 g", "inside the report: Morning panel"},
		base:                            {"2 records and 1 result inside reports"},
	} {
		text := mainPart(o.page(page, token))
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in\n%s", page, w, text)
			}
		}
	}
}
