package chart_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"chartcellar/store/chart"
)

var day = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// res makes a resource of a line of JSON.
func res(t testing.TB, line string) chart.Resource {
	t.Helper()
	var h struct{ ResourceType, ID string }
	if err := json.Unmarshal([]byte(line), &h); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return chart.Resource{Type: h.ResourceType, ID: h.ID, Raw: []byte(line)}
}

// records finds records by Type/id.
type records map[string]string

// Find implements chart.Finder.
func (r records) Find(typ, id string) ([]byte, bool) {
	line, ok := r[typ+"/"+id]
	return []byte(line), ok
}

// Base implements chart.Finder.
func (r records) Base() string { return "https://emr.example/fhir" }

func build(t testing.TB, o chart.Options, lines ...string) *chart.Chart {
	t.Helper()
	if o.At.IsZero() {
		o.At = day
	}
	o.Timeline = true
	b := chart.New(o)
	for _, l := range lines {
		b.Add(res(t, l))
	}
	c := b.Chart()
	if two := joined(t, o, lines...); !reflect.DeepEqual(two, c) {
		t.Errorf("two builders made %+v, one made %+v", two, c)
	}
	sum := 1
	for _, s := range c.Sections {
		sum += s.Records
		counted := s.EnteredInError + s.Unread + len(s.Plain) + s.Withheld
		for _, g := range s.Groups {
			if g.Total < len(g.Rows) {
				t.Errorf("%s: %d rows of %d", s.Key, len(g.Rows), g.Total)
			}
			for _, r := range g.Rows {
				counted += r.Records
			}
		}
		if counted != s.Records {
			t.Errorf("%s: rows, hidden and unread make %d, want %d", s.Key, counted, s.Records)
		}
	}
	if sum != c.Records && !c.Banner.Missing {
		t.Errorf("sections stand for %d records, want %d", sum, c.Records)
	}
	return c
}

// joined makes the chart with two builders, the later records first.
func joined(t testing.TB, o chart.Options, lines ...string) *chart.Chart {
	t.Helper()
	b := [2]*chart.Builder{chart.New(o), chart.New(o)}
	for i := range lines {
		b[i%2].Add(res(t, lines[len(lines)-1-i]))
	}
	b[0].Join(b[1])
	return b[0].Chart()
}

func section(t testing.TB, c *chart.Chart, key string) *chart.Section {
	t.Helper()
	for i := range c.Sections {
		if c.Sections[i].Key == key {
			return &c.Sections[i]
		}
	}
	t.Fatalf("no section %s", key)
	return nil
}

// text is a section in one string: group titles, cells, what is below.
func text(s *chart.Section) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d records, %d in error, %d plain\n%s\n", s.Records, s.EnteredInError, len(s.Plain), s.Empty)
	for _, g := range s.Groups {
		fmt.Fprintf(&b, "[%s %d]\n", g.Title, g.Total)
		for _, r := range g.Rows {
			fmt.Fprintf(&b, "%s / %s\n", strings.Join(r.Cells, " | "), r.More)
		}
	}
	return b.String()
}

const patient = `{"resourceType":"Patient","id":"p","name":[{"family":"Miller","given":["Anna"]}],"birthDate":"1950-03-04"}`

// TestSections is awkward resources and what a clinician must see of them.
func TestSections(t *testing.T) {
	const obs = `{"resourceType":"Observation","id":"o","category":[{"coding":[{"code":"laboratory"}]}],"code":{"text":"Test"},`
	const med = `{"resourceType":"MedicationRequest","id":"m","intent":"order",`
	const cond = `{"resourceType":"Condition","id":"c",`
	tests := []struct {
		name, section string
		lines         []string
		want          []string
		not           []string
	}{
		{"entered in error: counted, not shown", "problems", []string{cond + `"verificationStatus":{"coding":[{"code":"entered-in-error"}]},"code":{"text":"Gout"}}`},
			[]string{"1 records, 1 in error", "None recorded in the copy, but for what was entered in error."}, []string{"Gout"}},
		{"refuted: not among the active", "problems", []string{cond + `"clinicalStatus":{"coding":[{"code":"active"}]},"verificationStatus":{"coding":[{"code":"refuted"}]},"code":{"text":"Gout"}}`},
			[]string{"[Refuted 1]", "active, refuted"}, []string{"[Active"}},
		{"no status: neither active nor resolved", "problems", []string{cond + `"code":{"text":"Gout"}}`},
			[]string{"[No status given 1]", "Gout"}, []string{"active", "Active"}},
		{"a status in the vendor's own words", "problems", []string{cond + `"clinicalStatus":{"text":"smouldering"},"code":{"text":"Gout"}}`},
			[]string{"[No status given 1]", "smouldering"}, []string{"Active"}},
		{"a problem without a name", "problems", []string{cond + `"clinicalStatus":{"coding":[{"code":"active"}]}}`},
			[]string{"(the record does not say what)"}, nil},
		{"a partial date and an end", "problems", []string{cond + `"code":{"coding":[{"system":"http://snomed.info/sct","code":"90560007","display":"Gout"}]},"onsetDateTime":"2014","abatementDateTime":"2015-02"}`},
			[]string{"2014 until 2015-02", "SNOMED 90560007"}, []string{"2014-01-01"}},
		{"an age as the beginning", "problems", []string{cond + `"code":{"text":"Gout"},"onsetAge":{"value":40,"unit":"years"}}`},
			[]string{"at 40 years"}, nil},

		{"less than a limit", "results", []string{obs + `"status":"final","valueQuantity":{"value":5,"comparator":"<","unit":"ng/L"},"referenceRange":[{"low":{"value":6,"unit":"ng/L"}}]}`},
			[]string{"<5 ng/L", ">= 6 ng/L"}, []string{"below", "LOW"}},
		{"a ratio", "results", []string{obs + `"status":"final","valueRatio":{"numerator":{"value":1},"denominator":{"value":128}}}`}, []string{"1 : 128"}, nil},
		{"a negative value keeps its sign and its digits", "results", []string{obs + `"status":"final","valueQuantity":{"value":-1.50,"unit":"mmol/L"},"referenceRange":[{"low":{"value":-2.0,"unit":"mmol/L"},"high":{"value":2.0,"unit":"mmol/L"}}]}`},
			[]string{"-1.50 mmol/L", "-2.0 to 2.0 mmol/L"}, []string{"range |", "below"}},
		{"words as a value", "results", []string{obs + `"status":"final","valueString":"no growth\nafter 48 h"}`}, []string{"no growth after 48 h"}, nil},
		{"a code as a value", "results", []string{obs + `"status":"final","valueCodeableConcept":{"coding":[{"system":"http://snomed.info/sct","code":"260385009"}]}}`}, []string{"SNOMED 260385009"}, nil},
		{"no value, and why", "results", []string{obs + `"status":"final","dataAbsentReason":{"text":"specimen clotted"}}`}, []string{"no value: specimen clotted"}, nil},
		{"no value at all", "results", []string{obs + `"status":"final"}`}, []string{"no value in the record"}, nil},
		{"components", "results", []string{obs + `"status":"final","component":[{"code":{"text":"IgG"},"valueQuantity":{"value":7.0,"unit":"g/L"}},{"code":{"text":"IgM"},"dataAbsentReason":{"text":"not done"}}]}`},
			[]string{"IgG: 7.0 g/L", "IgM: no value: not done"}, nil},
		{"two ranges, each with whom it is for; nothing is computed", "results", []string{obs + `"status":"final","valueQuantity":{"value":9,"unit":"g"},"referenceRange":[{"low":{"value":1,"unit":"g"},"high":{"value":2,"unit":"g"},"appliesTo":[{"text":"women"}]},{"text":"up to 3","appliesTo":[{"text":"men"}]}]}`},
			[]string{"1-2 g (women); up to 3 (men)"}, []string{"above"}},
		{"outside its own range, without a flag", "results", []string{obs + `"status":"final","valueQuantity":{"value":5.7,"unit":"%"},"referenceRange":[{"low":{"value":4.0,"unit":"%"},"high":{"value":5.6,"unit":"%"}}]}`},
			[]string{"above range"}, []string{"HIGH"}},
		{"another unit than its range", "results", []string{obs + `"status":"final","valueQuantity":{"value":570,"unit":"mg"},"referenceRange":[{"high":{"value":5.6,"unit":"g"}}]}`},
			nil, []string{"above range"}},
		{"the lab's own flag", "results", []string{obs + `"status":"preliminary","valueInteger":7,"interpretation":[{"coding":[{"code":"HH"}]}]}`},
			[]string{"7 (preliminary)", "CRITICALLY HIGH"}, nil},
		{"the latest counts, not a cancelled later one", "results", []string{
			obs + `"status":"final","effectiveDateTime":"2025-01-01","valueInteger":1}`,
			strings.Replace(obs, `"o"`, `"o2"`, 1) + `"status":"final","effectiveDateTime":"2026","valueInteger":2}`,
			strings.Replace(obs, `"o"`, `"o3"`, 1) + `"status":"cancelled","effectiveDateTime":"2026-02-01"}`},
			[]string{"[Laboratory 1]", "Test | 2 |", "+1", "later, 1 result cancelled: on 2026-02-01"}, nil},
		{"a code the model refuses", "results", []string{obs + `"status":"done-by-vendor","valueInteger":1}`}, []string{"1 records, 0 in error, 1 plain"}, []string{"registered"}},
		{"no status: the model would make one up", "results", []string{obs + `"valueInteger":1}`}, []string{"1 plain"}, []string{"registered"}},
		{"a status in other letters", "results", []string{obs + `"Status":"final","valueInteger":1}`}, []string{"1 plain"}, []string{"registered", "Test"}},
		{"a modifier that nobody here knows", "results", []string{obs + `"status":"final","modifierExtension":[{"url":"urn:not","valueBoolean":true}],"valueInteger":1}`}, []string{"1 plain"}, []string{"Test"}},

		{"blood pressure as a pair", "vitals", []string{`{"resourceType":"Observation","id":"bp","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"85354-9","display":"Blood pressure"}]},"component":[{"code":{"coding":[{"code":"8462-4"}]},"valueQuantity":{"value":76,"unit":"mm[Hg]"}},{"code":{"coding":[{"code":"8480-6"}]},"valueQuantity":{"value":118,"unit":"mm[Hg]"}}]}`},
			[]string{"118/76 mm[Hg]"}, nil},

		{"not to be given", "medicines", []string{med + `"status":"active","doNotPerform":true,"medicationCodeableConcept":{"text":"Warfarin"}}`}, []string{"[NOT to be given 1]", "NOT TO BE GIVEN, active"}, []string{"[Current"}},
		{"a contained medicine", "medicines", []string{med + `"status":"active","contained":[{"resourceType":"Medication","id":"x","code":{"text":"Aspirin"}}],"medicationReference":{"reference":"#x"}}`}, []string{"[Current 1]", "Aspirin"}, nil},
		{"an absolute reference", "medicines", []string{med + `"status":"stopped","medicationReference":{"reference":"https://emr.example/fhir/Medication/9/_history/2","display":"pills"}}`}, []string{"[Stopped or completed 1]", "Digoxin"}, nil},
		{"a reference to nothing here", "medicines", []string{med + `"status":"on-hold","medicationReference":{"reference":"Medication/404","display":"pills"},"requester":{"reference":"Practitioner/d"}}`}, []string{"[Current 1]", "pills", "on-hold", "Dr. Ruth Adeyemi"}, nil},
		{"only a plan", "medicines", []string{`{"resourceType":"MedicationRequest","id":"m","status":"active","intent":"plan","medicationCodeableConcept":{"text":"Aspirin"}}`}, []string{"only a plan"}, []string{"[Current"}},
		{"coded directions", "medicines", []string{med + `"status":"active","medicationCodeableConcept":{"text":"A"},"dosageInstruction":[{"timing":{"repeat":{"frequency":2,"period":1,"periodUnit":"d"}},"doseAndRate":[{"doseQuantity":{"value":1.5,"unit":"tablet"}}],"asNeededBoolean":true},{}]}`},
			[]string{"1.5 tablet, 2 x a day, as needed; and directions not in words: see the record"}, nil},
		{"timing that has no words here is not left out", "medicines", []string{med + `"status":"active","medicationCodeableConcept":{"text":"A"},"dosageInstruction":[{"timing":{"repeat":{"frequency":1,"period":1,"periodUnit":"d","dayOfWeek":["mon"]}}}]}`},
			[]string{"1 x a day, more about when: see the record"}, nil},

		{"an allergy and its reaction", "allergies", []string{`{"resourceType":"AllergyIntolerance","id":"a","clinicalStatus":{"coding":[{"code":"active"}]},"criticality":"high","code":{"text":"Penicillin"},"reaction":[{"manifestation":[{"text":"Rash"}],"severity":"severe"}]}`}, []string{"Penicillin | active | HIGH RISK | Rash (severe)"}, nil},
		{"a vaccination that was not done", "immunizations", []string{`{"resourceType":"Immunization","id":"i","status":"not-done","statusReason":{"text":"refused"},"vaccineCode":{"text":"Influenza"},"occurrenceDateTime":"2026"}`}, []string{"[NOT done 1]", "not-done, refused"}, []string{"[Given"}},
		{"a visit that was cancelled", "visits", []string{`{"resourceType":"Encounter","id":"e","status":"cancelled","class":{"code":"AMB"},"period":{"start":"2026-01-02T23:30:00-05:00"}}`}, []string{"2026-01-02 23:30", "office", "cancelled"}, nil},
		{"a superseded document", "documents", []string{`{"resourceType":"DocumentReference","id":"d","status":"superseded","content":[{"attachment":{"contentType":"application/pdf","title":"Old"}}]}`}, []string{"[Superseded 1]", "Old", "PDF"}, nil},
		{"an appointment of this morning is still coming", "appointments", []string{`{"resourceType":"Appointment","id":"a","status":"booked","start":"2026-06-01T08:00:00Z","participant":[{"actor":{"reference":"Practitioner/d"}},{"actor":{"reference":"Patient/p"}}]}`}, []string{"[Coming 1]", "Dr. Ruth Adeyemi | booked"}, []string{"Patient/p"}},
		{"an order that is only a proposal", "orders", []string{`{"resourceType":"ServiceRequest","id":"s","status":"active","intent":"proposal","priority":"urgent","code":{"text":"Chest X-ray"},"authoredOn":"2026-05-01","occurrenceDateTime":"2026-05-09","requester":{"reference":"Practitioner/d"}}`}, []string{"[Open 1]", "2026-05-01 | Chest X-ray |  | Dr. Ruth Adeyemi | active, urgent, only a proposal", "to be done 2026-05-09"}, nil},
		{"an order without an intent", "orders", []string{`{"resourceType":"ServiceRequest","id":"s","status":"completed","code":{"text":"TSH"}}`}, []string{"[Done", "completed, no intent given"}, []string{"proposal"}},
		{"what is not to be done", "orders", []string{`{"resourceType":"ServiceRequest","id":"s","status":"active","intent":"order","doNotPerform":true,"code":{"text":"Intubation"}}`}, []string{"NOT TO BE DONE, active"}, nil},
		{"a goal with its target", "plan", []string{`{"resourceType":"Goal","id":"g","lifecycleStatus":"active","achievementStatus":{"text":"improving"},"description":{"text":"Lower HbA1c"},"startDate":"2026-01","target":[{"measure":{"text":"HbA1c"},"detailQuantity":{"value":7.0,"unit":"%","comparator":"<"},"dueDate":"2026-12-31"}]}`}, []string{"[Goals 1]", "Lower HbA1c | HbA1c <7.0 % by 2026-12-31 | 2026-01", "active, improving"}, nil},
		{"a goal without a status", "plan", []string{`{"resourceType":"Goal","id":"g","description":{"text":"Walk"}}`}, nil, []string{"[Goals"}},
		{"a plan and its steps", "plan", []string{`{"resourceType":"CarePlan","id":"c","status":"active","intent":"plan","title":"Diabetes","period":{"start":"2026-01-01"},"activity":[{"detail":{"status":"in-progress","code":{"text":"Foot check"}}},{"detail":{"status":"not-started","doNotPerform":true,"code":{"text":"Metformin"}}}]}`}, []string{"[Care plans 1]", "Diabetes | Foot check (in-progress); Metformin (NOT TO BE DONE, not-started) | since 2026-01-01"}, nil},
		{"a care team", "plan", []string{`{"resourceType":"CareTeam","id":"t","participant":[{"role":[{"text":"GP"}],"member":{"reference":"Practitioner/d"}},{"role":[{"text":"Nurse"}]}]}`}, []string{"[Care teams 1]", "Dr. Ruth Adeyemi (GP); (the record does not say what) (Nurse)", "no status given"}, nil},
		{"a kind of record without a section", "other", []string{`{"resourceType":"Device","id":"x"}`, `{"resourceType":"VendorThing","id":"y"}`}, []string{"Device | Device/x", "Vendor thing | VendorThing/y"}, nil},
	}
	known := records{"Medication/9": `{"resourceType":"Medication","id":"9","code":{"text":"Digoxin"}}`,
		"Practitioner/d": `{"resourceType":"Practitioner","id":"d","name":[{"family":"Adeyemi","given":["Ruth"],"prefix":["Dr."]}]}`}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := build(t, chart.Options{Names: known}, append([]string{patient}, tt.lines...)...)
			got := text(section(t, c, tt.section))
			for _, w := range tt.want {
				if !strings.Contains(got, w) {
					t.Errorf("%s: no %q in\n%s", tt.section, w, got)
				}
			}
			for _, w := range tt.not {
				if strings.Contains(got, w) {
					t.Errorf("%s: %q in\n%s", tt.section, w, got)
				}
			}
		})
	}
}

// TestEmptyPatient: nothing clinical is said of a patient of whom nothing is
// known.
func TestEmptyPatient(t *testing.T) {
	c := build(t, chart.Options{}, `{"resourceType":"Patient","id":"x"}`)
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Banner.Allergies = ""
	banner, _ := json.Marshal(c.Banner)
	for _, word := range []string{"male", "female", "unknown", "active", "final", "registered", "no known", "white"} {
		if strings.Contains(strings.ToLower(string(banner)), word) {
			t.Errorf("the banner says %q: %s", word, banner)
		}
	}
	for _, s := range c.Sections {
		if s.Empty != chart.NoneRecorded || len(s.Groups) > 0 || s.Records > 0 {
			t.Errorf("%s of an empty patient: %s", s.Key, text(&s))
		}
	}
	if strings.Contains(string(b), "null,") || strings.Contains(string(b), `"groups":null`) {
		t.Errorf("null in %s", b)
	}
}

// TestEmptiness: not recorded, not given and not readable are three texts.
func TestEmptiness(t *testing.T) {
	b := chart.New(chart.Options{At: day, Given: func(typ string) bool { return typ != "Coverage" },
		Gaps: map[string]string{"Condition": "Some are missing."}})
	b.Add(res(t, patient))
	b.Unreadable("Condition", 2)
	b.Unreadable("AllergyIntolerance", 1)
	b.Add(res(t, `{"resourceType":"AllergyIntolerance","id":"a","clinicalStatus":{"coding":[{"code":"active"}]},"code":{"text":"Latex"}}`))
	c := b.Chart()
	for key, want := range map[string]string{"visits": chart.NoneRecorded, "coverage": chart.NotIncluded,
		"problems": "Could not be read: 2 of 2 records."} {
		if got := section(t, c, key).Empty; got != want {
			t.Errorf("%s is empty: %q, want %q", key, got, want)
		}
	}
	if g := section(t, c, "problems").Gap; g != "Some are missing." {
		t.Errorf("gap = %q", g)
	}
	if a := c.Banner.Allergies; a != "Latex. Could not be read: 1 of 2 records." {
		t.Errorf("banner allergies = %q", a)
	}
	if c.Unread != 3 || c.Records != 5 {
		t.Errorf("%d unread of %d", c.Unread, c.Records)
	}
}

// TestShortened: a list that is shortened says how long it is; the count is that
// of the records, not of what is shown.
func TestShortened(t *testing.T) {
	whole := build(t, chart.Options{}, append([]string{patient}, observations("p", 5000)...)...)
	c := whole.Short(0)
	if s := section(t, whole, "results"); len(s.Groups[0].Rows) != 60 {
		t.Errorf("the whole chart has %d rows", len(s.Groups[0].Rows))
	}
	s := section(t, c, "results")
	if s.Records != 5000 || s.Groups[0].Total != 60 || len(s.Groups[0].Rows) != 40 {
		t.Errorf("%d records, %d of %d rows", s.Records, len(s.Groups[0].Rows), s.Groups[0].Total)
	}
	flagged := build(t, chart.Options{}, patient,
		`{"resourceType":"Observation","id":"new","status":"final","category":[{"coding":[{"code":"laboratory"}]}],"code":{"text":"New"},"effectiveDateTime":"2026-05-01","interpretation":[{"coding":[{"code":"N"}]}]}`,
		`{"resourceType":"Observation","id":"old","status":"final","category":[{"coding":[{"code":"laboratory"}]}],"code":{"text":"Old"},"effectiveDateTime":"2020-05-01","interpretation":[{"coding":[{"code":"HH"}]}]}`).Short(1)
	if rows := section(t, flagged, "results").Groups[0].Rows; len(rows) != 1 || rows[0].Ref != "Observation/old" {
		t.Errorf("the flagged result is cut off: %v", rows)
	}
	things := build(t, chart.Options{}, patient, `{"resourceType":"Device","id":"1"}`, `{"resourceType":"Device","id":"2"}`, `{"resourceType":"Odd","id":"1"}`).Short(0)
	if got := text(section(t, things, "other")); !strings.Contains(got, "Device | 2 records") || !strings.Contains(got, "Odd | 1 record") {
		t.Errorf("the kinds of other records:\n%s", got)
	}
}

func TestAge(t *testing.T) {
	at := func(s string) time.Time {
		d, err := time.Parse("2006-01-02", s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	tests := []struct{ name, born, at, want string }{
		{"the day of birth", "2026-06-01", "2026-06-01", "0 days"},
		{"one day", "2026-05-31", "2026-06-01", "1 day"},
		{"the last day of days", "2026-05-02", "2026-06-01", "30 days"},
		{"the first day of months", "2026-05-01", "2026-06-01", "1 month"},
		{"just under two years", "2024-06-02", "2026-06-01", "23 months"},
		{"two years", "2024-06-01", "2026-06-01", "2 y"},
		{"the day before a birthday", "1950-06-02", "2026-06-01", "75 y"},
		{"born on the 29th of February", "1952-02-29", "2026-02-28", "73 y"},
		{"a year", "1970", "2026-06-01", "55-56 y"},
		{"a month", "1970-02", "2026-06-01", "56 y"},
		{"this year", "2026", "2026-06-01", "0 days to 5 months"},
		{"not born yet", "2027-01-01", "2026-06-01", ""},
		{"no date", "", "2026-06-01", ""},
		{"not a date", "unknown", "2026-06-01", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := chart.Age(tt.born, at(tt.at)); got != tt.want {
				t.Errorf("Age(%q, %s) = %q, want %q", tt.born, tt.at, got, tt.want)
			}
		})
	}
}

func TestTarget(t *testing.T) {
	for ref, want := range map[string]string{"Patient/1": "Patient 1", "https://emr.example/r4/Patient/1": "Patient 1",
		"Patient/1/_history/3": "Patient 1", "#x": " ", "urn:uuid:1": " ", "Practitioner?identifier=a|b": " ", "": " ",
		"patient/1": " ", "Patient/": " ", "/1": " ", "https://other.example/r4/Patient/1": " ", "https://emr.example/r4/Patient/1/_history/3": "Patient 1"} {
		if typ, id := chart.Target(ref, "https://emr.example/r4"); typ+" "+id != want {
			t.Errorf("Target(%q) = %q %q", ref, typ, id)
		}
	}
}

// TestCleanLine: a plain line stays as it is; everything else is cleaned.
func TestCleanLine(t *testing.T) {
	for _, s := range []string{"", " ", "a", " a", "a ", "a b", "a  b", "a\tb", "a\nb", "a\x00b", "a\x7fb", "é  x", "a\u202eb", "a\u00a0b"} {
		if got, want := chart.CleanLine(s), strings.Join(strings.Fields(chart.Clean(s)), " "); got != want {
			t.Errorf("CleanLine(%q) = %q, want %q", s, got, want)
		}
	}
}
