package chart_test

import (
	"strings"
	"testing"
	"time"

	"chartcellar/store/chart"
)

// brief writes what the summary shows of a section.
func brief(s *chart.Section) string {
	var out []string
	for _, g := range s.Groups {
		for _, r := range g.Rows {
			cells := []string{g.Title}
			for _, i := range s.Brief {
				cells = append(cells, r.Cells[i])
			}
			out = append(out, strings.Join(cells, "|"))
		}
	}
	return strings.Join(out, "\n")
}

// TestBriefState is that the summary never shows what did not take place, or is not to,
// as if it had.
func TestBriefState(t *testing.T) {
	tests := []struct{ name, key, line, want string }{
		{"a cancelled visit", "visits", `{"resourceType":"Encounter","id":"1","status":"cancelled","class":{"code":"AMB"}}`, "cancelled"},
		{"a planned visit", "visits", `{"resourceType":"Encounter","id":"1","status":"planned","class":{"code":"AMB"}}`, "planned"},
		{"a procedure that was not done", "procedures", `{"resourceType":"Procedure","id":"1","status":"not-done","code":{"text":"Colonoscopy"}}`, "NOT DONE"},
		{"a cancelled report", "reports", `{"resourceType":"DiagnosticReport","id":"1","status":"cancelled","code":{"text":"CT"}}`, "cancelled"},
		{"a preliminary report", "reports", `{"resourceType":"DiagnosticReport","id":"1","status":"preliminary","code":{"text":"CT"}}`, "preliminary"},
		{"an order against something", "orders", `{"resourceType":"ServiceRequest","id":"1","status":"active","intent":"order","doNotPerform":true,"code":{"text":"CPR"}}`, "NOT TO BE DONE"},
		{"a medicine on hold", "medicines", `{"resourceType":"MedicationRequest","id":"1","status":"on-hold","intent":"order","medicationCodeableConcept":{"text":"Warfarin"}}`, "on-hold"},
		{"a preliminary document", "documents", `{"resourceType":"DocumentReference","id":"1","status":"current","docStatus":"preliminary","content":[{"attachment":{"title":"Letter"}}]}`, "preliminary"},
		{"a cancelled insurance", "coverage", `{"resourceType":"Coverage","id":"1","status":"cancelled","payor":[{"display":"Blue"}]}`, "cancelled"},
		{"a missed appointment", "appointments", `{"resourceType":"Appointment","id":"1","status":"noshow","start":"2026-07-01T10:00:00Z"}`, "Cancelled or missed|"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := brief(section(t, build(t, chart.Options{}, patient, tt.line), tt.key)); !strings.Contains(got, tt.want) {
				t.Errorf("the summary says %q, want %q in it", got, tt.want)
			}
		})
	}
}

// TestWhichAppointments puts appointments where a reader looks for them.
func TestWhichAppointments(t *testing.T) {
	tests := []struct{ name, rest, want string }{
		{"yesterday", `"status":"booked","start":"2026-05-31T15:00:00Z"`, "Past"},
		{"this morning", `"status":"booked","start":"2026-06-01T08:00:00Z"`, "Coming"},
		{"tomorrow", `"status":"booked","start":"2026-06-02T08:00:00Z"`, "Coming"},
		{"this evening, where it is the day before", `"status":"booked","start":"2026-05-31T22:00:00-08:00"`, "Coming"},
		{"tomorrow, cancelled", `"status":"cancelled","start":"2026-06-02T08:00:00Z"`, "Cancelled or missed"},
		{"last year, missed", `"status":"noshow","start":"2025-06-02T08:00:00Z"`, "Cancelled or missed"},
		{"no time", `"status":"proposed"`, "No date"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := section(t, build(t, chart.Options{}, patient, `{"resourceType":"Appointment","id":"1",`+tt.rest+`}`), "appointments")
			if len(s.Groups) != 1 || s.Groups[0].Title != tt.want {
				t.Errorf("it is in %+v, want %q", s.Groups, tt.want)
			}
		})
	}
}

// TestDirections is how a medicine is taken.
func TestDirections(t *testing.T) {
	tests := []struct{ name, dosage, want string }{
		{"two without an order are not said to follow each other", `[{"text":"1 in the morning"},{"text":"2 at night"}]`, "1 in the morning; and 2 at night"},
		{"two at once", `[{"sequence":1,"text":"1 in the morning"},{"sequence":1,"text":"2 at night"}]`, "1 in the morning; and 2 at night"},
		{"one after the other", `[{"sequence":1,"text":"2 a day"},{"sequence":2,"text":"1 a day"}]`, "2 a day; then 1 a day"},
		{"as needed is not lost beside words", `[{"text":"1 tablet every 6 hours","asNeededBoolean":true}]`, "1 tablet every 6 hours; as needed"},
		{"as needed is not said twice", `[{"text":"1 tablet PRN pain","asNeededCodeableConcept":{"text":"pain"}}]`, "1 tablet PRN pain"},
		{"the most that may be taken", `[{"doseAndRate":[{"doseQuantity":{"value":1,"unit":"tablet"}}],"maxDosePerPeriod":{"numerator":{"value":4,"unit":"g"},"denominator":{"value":1,"unit":"d"}},"maxDosePerAdministration":{"value":1,"unit":"g"}}]`,
			"1 tablet, at most 1 g at once, at most 4 g : 1 d"},
		{"a code for how often does not hide for how long", `[{"timing":{"code":{"text":"BID"},"repeat":{"boundsDuration":{"value":10,"unit":"d"},"frequency":2,"period":1,"periodUnit":"d"}}}]`, "BID, more about when: see the record"},
		{"a code that stands for what is repeated", `[{"timing":{"code":{"text":"BID"},"repeat":{"frequency":2,"period":1,"periodUnit":"d"}}}]`, "BID"},
		{"at given times", `[{"timing":{"event":["2026-03-01","2026-03-08"]}}]`, "on 2026-03-01, 2026-03-08"},
		{"over some time", `[{"timing":{"repeat":{"duration":2,"durationUnit":"h","frequency":1,"period":1,"periodUnit":"d"}}}]`, "1 x a day, more about when: see the record"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := section(t, build(t, chart.Options{}, patient, `{"resourceType":"MedicationRequest","id":"1","status":"active","intent":"order","medicationCodeableConcept":{"text":"X"},"dosageInstruction":`+tt.dosage+`}`), "medicines")
			if got := s.Groups[0].Rows[0].Cells[1]; got != tt.want {
				t.Errorf("directions %q, want %q", got, tt.want)
			}
		})
	}
}

// TestSince is when something began, as a record says it.
func TestSince(t *testing.T) {
	tests := []struct{ name, onset, want string }{
		{"an age in years", `"onsetAge":{"value":45,"unit":"years"}`, "at 45 years"},
		{"an age with a code alone", `"onsetAge":{"value":3,"system":"http://unitsofmeasure.org","code":"d"}`, "at 3 days"},
		{"one day", `"onsetAge":{"value":1,"code":"d"}`, "at 1 day"},
		{"less than an age", `"onsetAge":{"value":5,"comparator":"<","unit":"years"}`, "at <5 years"},
		{"an age without a unit", `"onsetAge":{"value":5}`, "at 5 (no unit given)"},
		{"an age that is not there", `"onsetAge":{"extension":[{"url":"x","valueCode":"unknown"}]}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := section(t, build(t, chart.Options{}, patient, `{"resourceType":"Condition","id":"1","code":{"text":"X"},`+tt.onset+`}`), "problems")
			if got := s.Groups[0].Rows[0].Cells[2]; got != tt.want {
				t.Errorf("since %q, want %q", got, tt.want)
			}
		})
	}
}

// TestNotMadeUp are things that a model would add, and marks of other systems that look
// like HL7's.
func TestNotMadeUp(t *testing.T) {
	tests := []struct{ name, key, line, want, never string }{
		{"a step of a plan without a status", "plan", `{"resourceType":"CarePlan","id":"1","status":"active","intent":"plan","activity":[{"detail":{"code":{"text":"Diet"}}}]}`, "Diet (no status given)", "not-started"},
		{"a step with one", "plan", `{"resourceType":"CarePlan","id":"1","status":"active","intent":"plan","activity":[{"detail":{"status":"not-started","code":{"text":"Diet"}}}]}`, "Diet (not-started)", "no status"},
		{"a flag of the laboratory's own that looks like one of HL7's", "results", obs("1", "X", "2026-01-01", num("1", "g")+`,"interpretation":[{"coding":[{"system":"urn:lab:marks","code":"S","display":"see note"}]}]`), "see note", "susceptible"},
		{"the same mark under HL7's name", "results", obs("1", "X", "2026-01-01", num("1", "g")+`,"interpretation":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation","code":"S","display":"Susceptible"}]}]`), "susceptible", "Susceptible"},
		{"a mark of another system with the same words", "results", obs("1", "X", "2026-01-01", num("1", "g")+`,"interpretation":[{"coding":[{"system":"urn:lab:marks","code":"H","display":"High"}]}]`), "HIGH", "High"},
		{"a mark of another system without words", "results", obs("1", "X", "2026-01-01", num("1", "g")+`,"interpretation":[{"coding":[{"system":"urn:lab:marks","code":"N"}]}]`), "urn:lab:marks N", "normal"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := text(section(t, build(t, chart.Options{}, patient, tt.line), tt.key))
			if !strings.Contains(got, tt.want) || strings.Contains(got, tt.never) {
				t.Errorf("it says %q, want %q and not %q", got, tt.want, tt.never)
			}
		})
	}
}

// TestHiddenErrors are records that were made by mistake, in the less usual ways of
// saying so.
func TestHiddenErrors(t *testing.T) {
	tests := []struct{ name, key, line string }{
		{"a document, by its docStatus", "documents", `{"resourceType":"DocumentReference","id":"1","status":"current","docStatus":"entered-in-error","content":[{"attachment":{"title":"Letter"}}]}`},
		{"a record of another type", "other", `{"resourceType":"FamilyMemberHistory","id":"1","status":"entered-in-error"}`},
		{"a record of another type, by its verification", "other", `{"resourceType":"DetectedIssue","id":"1","status":"final","verificationStatus":{"coding":[{"code":"entered-in-error"}]}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := build(t, chart.Options{}, patient, tt.line)
			if s := section(t, c, tt.key); s.EnteredInError != 1 || len(s.Groups) != 0 || s.Records != 1 {
				t.Errorf("%d in error, groups %+v, %d records", s.EnteredInError, s.Groups, s.Records)
			}
			if len(c.Timeline.InError) != 1 || len(c.Timeline.Undated) != 0 {
				t.Errorf("the timeline has it as %+v", c.Timeline)
			}
		})
	}
}

// TestAgeAtDeath is an age of which the record says not everything.
func TestAgeAtDeath(t *testing.T) {
	tests := []struct{ name, born, died, want string }{
		{"days", "1950-06-15", "2020-06-14", "69 y at death"},
		{"on the birthday", "1950-06-15", "2020-06-15", "70 y at death"},
		{"a year alone", "1950-06-15", "2020", "69-70 y at death"},
		{"a month alone", "1950-06-15", "2020-06", "69-70 y at death"},
		{"another month alone", "1950-06-15", "2020-07", "70 y at death"},
		{"both years alone", "1950", "2020", "69-70 y at death"},
		{"a moment of the evening before", "1950-06-15", "2020-06-14T23:30:00-05:00", "69 y at death"},
		{"a child of the leap day", "2020-02-29", "2021-02-28T10:00:00Z", "11 months at death"},
		{"before birth", "1950-06-15", "1949", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := chart.NewEntry(res(t, `{"resourceType":"Patient","id":"p","birthDate":"`+tt.born+`","deceasedDateTime":"`+tt.died+`"}`))
			if got := e.Age(day); got != tt.want {
				t.Errorf("Age = %q, want %q", got, tt.want)
			}
		})
	}
}

// TestOnlyFormerName is a patient whose only name is over.
func TestOnlyFormerName(t *testing.T) {
	for _, use := range []string{"old", "maiden", "nickname"} {
		e := chart.NewEntry(res(t, `{"resourceType":"Patient","id":"p","name":[{"use":"`+use+`","family":"Doe","period":{"end":"2001"}}]}`))
		if e.Name != "Doe" {
			t.Errorf("%s: Name = %q, want Doe", use, e.Name)
		}
	}
}

// TestLatestOf is which result is the latest where dates are of several kinds.
func TestLatestOf(t *testing.T) {
	tests := []struct{ name, older, newer string }{
		{"a day behind the late evening before", "2026-02-28T23:30:00-05:00", "2026-03-01"},
		{"a day before the small hours of the next one, far east", "2026-03-01", "2026-03-02T00:30:00+11:00"},
		{"moments of different places", "2026-03-01T01:00:00Z", "2026-02-28T23:30:00-05:00"},
		{"a month behind a day of the month before", "2026-02-28T23:30:00-05:00", "2026-03"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, ids := range [][2]string{{"a", "b"}, {"b", "a"}} {
				c := build(t, chart.Options{}, patient, obs(ids[0], "X", tt.older, num("1", "g")), obs(ids[1], "X", tt.newer, num("2", "g")))
				if got := c.Measured.Tests[0].Latest.Value.Text; got != "2 g" {
					t.Errorf("the latest is %s, want 2 g", got)
				}
				if got := section(t, c, "results").Groups[0].Rows[0].Cells[1]; got != "2 g" {
					t.Errorf("the section shows %s, want 2 g", got)
				}
				if got := c.Timeline.Events[0].Detail; got != "2 g" {
					t.Errorf("the timeline begins with %s, want 2 g", got)
				}
			}
		})
	}
}

// TestNamelessTests is that results of which nobody says what they are, are not taken for
// one test.
func TestNamelessTests(t *testing.T) {
	c := build(t, chart.Options{}, patient,
		`{"resourceType":"Observation","id":"1","status":"final","code":{},"effectiveDateTime":"2026-01-01","valueString":"one"}`,
		`{"resourceType":"Observation","id":"2","status":"final","code":{"coding":[{"system":"http://loinc.org"}]},"effectiveDateTime":"2026-01-02","valueString":"two","component":[{"code":{},"valueString":"part"},{"code":{},"valueString":"part"}]}`)
	if n := len(c.Measured.Tests); n != 4 {
		t.Errorf("%d tests, want 4", n)
	}
	if n := len(section(t, c, "results").Groups[0].Rows); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

// TestBannerAllergies is the line that everybody reads.
func TestBannerAllergies(t *testing.T) {
	gaps := map[string]string{"AllergyIntolerance": "The copy lacks some of these since 2026-01-01: refused."}
	allergy := func(rest string) string {
		return `{"resourceType":"AllergyIntolerance","id":"1","patient":{"reference":"Patient/p"},` + rest + `}`
	}
	const active = `"clinicalStatus":{"coding":[{"code":"active"}]}`
	tests := []struct {
		name  string
		gaps  map[string]string
		lines []string
		want  string
	}{
		{"nothing", nil, nil, "None recorded in the copy."},
		{"nothing, and the copy lacks some", gaps, nil, "None recorded in the copy. The copy lacks some of these since 2026-01-01: refused."},
		{"one, and the copy lacks some", gaps, []string{allergy(active + `,"code":{"text":"Nuts"}`)}, "Nuts. The copy lacks some of these since 2026-01-01: refused."},
		{"the record says that there are none", nil, []string{allergy(active + `,"code":{"coding":[{"system":"http://snomed.info/sct","code":"716186003","display":"No known allergy"}]}`)}, "No known allergy"},
		{"the record says so by a code alone", nil, []string{allergy(active + `,"code":{"coding":[{"system":"http://snomed.info/sct","code":"409137002"}]}`)}, "no known drug allergies"},
		{"the record says that there are none, beside one", nil, []string{allergy(active + `,"code":{"coding":[{"system":"http://snomed.info/sct","code":"716186003"}]}`), strings.Replace(allergy(active+`,"code":{"text":"Nuts"}`), `"id":"1"`, `"id":"2"`, 1)},
			"Nuts; no known allergies (but see the others)"},
		{"it said so once, beside one", nil, []string{allergy(`"clinicalStatus":{"coding":[{"code":"inactive"}]},"code":{"coding":[{"system":"http://snomed.info/sct","code":"716186003"}]}`), strings.Replace(allergy(active+`,"code":{"text":"Nuts"}`), `"id":"1"`, `"id":"2"`, 1)},
			"Nuts"},
		{"none of one kind alone", nil, []string{allergy(active + `,"code":{"coding":[{"system":"http://snomed.info/sct","code":"429625007"}]}`)}, "no known food allergies"},
		{"refuted", nil, []string{allergy(`"verificationStatus":{"coding":[{"code":"refuted"}]},"code":{"text":"Nuts"}`)}, "none active in the copy; see the section"},
		{"not confirmed", nil, []string{allergy(active + `,"verificationStatus":{"coding":[{"code":"unconfirmed"}]},"code":{"text":"Nuts"}`)}, "Nuts (unconfirmed)"},
		{"in words that no code says", nil, []string{allergy(`"clinicalStatus":{"text":"outgrown"},"criticality":"high","code":{"text":"Nuts"}`)}, "Nuts (outgrown, HIGH RISK)"},
		{"entered in error", nil, []string{allergy(active + `,"verificationStatus":{"coding":[{"code":"entered-in-error"}]},"code":{"text":"Nuts"}`)}, "None recorded in the copy, but for what was entered in error."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := build(t, chart.Options{Gaps: tt.gaps}, append([]string{patient}, tt.lines...)...)
			if got := c.Banner.Allergies; got != tt.want {
				t.Errorf("the banner says %q, want %q", got, tt.want)
			}
		})
	}
}

// TestPressureParts is that what is said of the halves of a blood pressure is not lost.
func TestPressureParts(t *testing.T) {
	half := func(code, rest string) string {
		return `{"code":{"text":"` + map[string]string{"8480-6": "Upper", "8462-4": "Lower"}[code] + `","coding":[{"system":"http://loinc.org","code":"` + code + `"}]},` + rest + `}`
	}
	pressure := func(upper, lower string) string {
		return `{"resourceType":"Observation","id":"1","status":"final","category":[{"coding":[{"code":"vital-signs"}]}],"effectiveDateTime":"2026-01-01","code":{"text":"Blood pressure"},"component":[` +
			half("8480-6", upper) + "," + half("8462-4", lower) + `]}`
	}
	const u = `"valueQuantity":{"value":190,"unit":"mmHg"}`
	const l = `"valueQuantity":{"value":120,"unit":"mmHg"}`
	tests := []struct{ name, line, value, flag, ranges string }{
		{"nothing but numbers", pressure(u, l), "190/120 mmHg", "", ""},
		{"ranges of both", pressure(u+`,"referenceRange":[{"high":{"value":140,"unit":"mmHg"}}]`, l+`,"referenceRange":[{"high":{"value":90,"unit":"mmHg"}}]`),
			"190/120 mmHg", "Upper: above range, Lower: above range", "Upper: <= 140 mmHg; Lower: <= 90 mmHg"},
		{"one of them within its range", pressure(u+`,"referenceRange":[{"high":{"value":200,"unit":"mmHg"}}]`, l+`,"referenceRange":[{"high":{"value":90,"unit":"mmHg"}}]`),
			"190/120 mmHg", "Lower: above range", "Upper: <= 200 mmHg; Lower: <= 90 mmHg"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := build(t, chart.Options{}, patient, tt.line)
			r := section(t, c, "vitals").Groups[0].Rows[0]
			if r.Cells[1] != tt.value || r.Cells[2] != tt.flag || r.Cells[3] != tt.ranges {
				t.Errorf("the section says %q", r.Cells)
			}
			one := c.Measured.Vitals()[0].Latest
			if one.Value.Text != tt.value || one.Flag.Words != tt.flag || strings.Join(one.Ranges, "; ") != tt.ranges {
				t.Errorf("the page says %q, %q, %q", one.Value.Text, one.Flag.Words, one.Ranges)
			}
		})
	}
}

// TestReasonInError is that a reason which was a mistake is not given as one.
func TestReasonInError(t *testing.T) {
	names := records{
		"Condition/1": `{"resourceType":"Condition","id":"1","code":{"text":"Pneumonia"},"verificationStatus":{"coding":[{"code":"entered-in-error"}]}}`,
		"Condition/2": `{"resourceType":"Condition","id":"2","code":{"text":"Asthma"},"verificationStatus":{"coding":[{"code":"refuted"}]}}`,
		"Condition/3": `{"resourceType":"Condition","id":"3","code":{"text":"Cough"}}`,
	}
	for id, want := range map[string]string{"1": "for Pneumonia (entered in error)", "2": "for Asthma (refuted)", "3": "for Cough"} {
		s := section(t, build(t, chart.Options{Names: names}, patient, `{"resourceType":"MedicationRequest","id":"1","status":"active","intent":"order","medicationCodeableConcept":{"text":"X"},"reasonReference":[{"reference":"Condition/`+id+`"}]}`), "medicines")
		if got := s.Groups[0].Rows[0].More; got != want {
			t.Errorf("it is said to be %q, want %q", got, want)
		}
	}
}

// TestBornAhead is that somebody born after the moment looked at has no age.
func TestBornAhead(t *testing.T) {
	evening := time.Date(2026, 2, 28, 20, 0, 0, 0, time.FixedZone("", -5*3600)) // in UTC it is the next day
	for born, want := range map[string]string{"2026-03-01": "", "2026-02-28": "0 days", "2026-02-27": "1 day", "2024-02-29": "23 months"} {
		if got := chart.Age(born, evening); got != want {
			t.Errorf("Age(%s) = %q, want %q", born, got, want)
		}
	}
}

// TestPressureFlags is that the flag and the range of the lower half of a blood pressure
// are not lost.
func TestPressureFlags(t *testing.T) {
	half := func(id, code, name, value, flag string) string {
		return `{"resourceType":"Observation","id":"` + id + `","status":"final","category":[{"coding":[{"code":"vital-signs"}]}],"code":{"text":"` + name + `","coding":[{"system":"http://loinc.org","code":"` + code + `"}]},"effectiveDateTime":"2026-01-01T10:00:00Z","valueQuantity":{"value":` + value + `,"unit":"mmHg"}` + flag + `}`
	}
	c := build(t, chart.Options{}, patient, half("1", "8480-6", "Upper", "120", ""),
		half("2", "8462-4", "Lower", "121", `,"interpretation":[{"coding":[{"code":"HH"}]}],"referenceRange":[{"high":{"value":90,"unit":"mmHg"}}]`))
	pairs, alone := c.Measured.Pressures()
	if len(pairs) != 1 || alone != 0 {
		t.Fatalf("%d pairs, %d alone", len(pairs), alone)
	}
	if f := pairs[0].Flag(); f.String() != "▲▲ Lower: CRITICALLY HIGH" || !f.Grave || !f.Odd {
		t.Errorf("the flag is %+v", f)
	}
	if r := strings.Join(pairs[0].Ranges(), "; "); r != "Lower: <= 90 mmHg" {
		t.Errorf("the ranges are %q", r)
	}
}

// TestHourOfNoPlace is that an hour in UTC is not read as the practice's.
func TestHourOfNoPlace(t *testing.T) {
	for given, want := range map[string]string{
		"2026-02-28T23:30:00-05:00": "2026-02-28 23:30", "2026-03-01T04:30:00Z": "2026-03-01 04:30 UTC", "2026-03-01T04:30:00.000+00:00": "2026-03-01 04:30 UTC",
		"2026-03-01T00:00:00Z": "2026-03-01", "2026-03-01": "2026-03-01", "2026-03-01T04:30:00": "2026-03-01 04:30", "2026-03": "2026-03",
	} {
		c := build(t, chart.Options{}, patient, obs("1", "X", given, num("1", "g")))
		if got := c.Measured.Results[0].On; got != want {
			t.Errorf("%s is shown as %q, want %q", given, got, want)
		}
		if got := c.Timeline.Events[0].Date; got != want {
			t.Errorf("%s stands in the timeline as %q, want %q", given, got, want)
		}
	}
	c := build(t, chart.Options{}, patient, obs("1", "X", "2026-03-01T04:30:00Z", num("1", "g")), obs("2", "X", "2026-03-01", num("2", "g")))
	if g := c.Measured.Grid(0, 5, chart.Laboratory); len(g.Days) != 1 || g.Days[0] != "2026-03-01" {
		t.Errorf("the days are %q", g.Days)
	}
}

// TestPanelInside is that results which a report holds inside itself are not called
// missing; one that no model reads is counted.
func TestPanelInside(t *testing.T) {
	c := build(t, chart.Options{}, patient, obs("o", "Sodium", "2026-01-01", num("140", "mmol/L")),
		`{"resourceType":"DiagnosticReport","id":"d","status":"final","code":{"text":"Panel"},"contained":[{"resourceType":"Observation","id":"in","status":"final","code":{"text":"Potassium"}},{"resourceType":"Observation","id":"odd","code":{"text":"Zinc"}}],"result":[{"reference":"#in"},{"reference":"#odd"},{"reference":"Observation/o"},{"reference":"Observation/404"}]}`)
	if p := c.Measured.Panels[0]; p.Inside != 1 || p.Missing != 1 || len(p.Results) != 2 {
		t.Errorf("inside %d, missing %d, %d results", p.Inside, p.Missing, len(p.Results))
	}
}

// TestPendingResult is that a measurement which is only announced does not hide the last
// value.
func TestPendingResult(t *testing.T) {
	c := build(t, chart.Options{}, patient, obs("a", "Potassium", "2026-03-01", num("6.8", "mmol/L")+`,"interpretation":[{"coding":[{"code":"HH"}]}]`),
		obs("b", "Potassium", "2026-03-02", `"status":"registered"`), obs("c", "Potassium", "2026-03-03", `"status":"cancelled"`), obs("d", "Sodium", "2026-03-02", `"status":"registered"`),
		obs("e", "Chloride", "2026-03-02", `"status":"registered","valueInteger":100`), obs("f", "Chloride", "2026-03-01", `"status":"final","valueInteger":99`))
	for _, one := range c.Measured.Tests {
		if want := map[string]string{"Potassium": "6.8 mmol/L", "Sodium": "no value in the record", "Chloride": "100"}[one.Name]; one.Latest.Value.Text != want {
			t.Errorf("%s: the latest is %q, want %q", one.Name, one.Latest.Value.Text, want)
		}
	}
	got := text(section(t, c, "results"))
	for _, want := range []string{"Potassium | 6.8 mmol/L | CRITICALLY HIGH |  | 2026-03-01 |  / later, 2 results cancelled or without a value yet: on 2026-03-03", "Sodium | no value in the record (registered)"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestSaidTwice is that a record which says one thing twice, perhaps in other letters, is
// shown as it is written.
func TestSaidTwice(t *testing.T) {
	for _, rest := range []string{`"valueString":"negative","valuestring":"POSITIVE"`, `"status":"entered-in-error"`, `"valueString":"a","valueString":"b"`} {
		c := build(t, chart.Options{}, patient, `{"resourceType":"Observation","id":"o","status":"final","code":{"text":"X"},`+rest+`}`)
		if s := section(t, c, "results"); len(s.Plain) != 1 {
			t.Errorf("%s: %+v", rest, s)
		}
	}
}

// TestVoid is what a search must not take for a finding.
func TestVoid(t *testing.T) {
	tests := []struct{ name, line, title string }{
		{"active", `{"resourceType":"Condition","id":"1","code":{"text":"Asthma"}}`, "Asthma"},
		{"resolved: it was so", `{"resourceType":"Condition","id":"1","clinicalStatus":{"coding":[{"code":"resolved"}]},"code":{"text":"Asthma"}}`, "Asthma"},
		{"refuted", `{"resourceType":"Condition","id":"1","verificationStatus":{"coding":[{"code":"refuted"}]},"code":{"text":"Asthma"}}`, "Asthma (refuted)"},
		{"an extension may deny it", `{"resourceType":"Condition","id":"1","modifierExtension":[{"url":"http://x/absent","valueBoolean":true}],"code":{"text":"Asthma"}}`, "Asthma (an extension changes its meaning)"},
		{"a document, by its docStatus", `{"resourceType":"DocumentReference","id":"1","status":"current","docStatus":"entered-in-error","type":{"text":"Asthma"}}`, "Asthma (entered in error)"},
		{"not to be done", `{"resourceType":"ServiceRequest","id":"1","status":"active","doNotPerform":true,"code":{"text":"Asthma"}}`, "Asthma (not to be done)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			codes, err := chart.ParseTerms("asthma").CodeSearch(chart.AnyCode)
			if err != nil {
				t.Fatal(err)
			}
			r := res(t, tt.line)
			got := codes.Matcher(nil).Match(r)
			if len(got.Codings) != 1 || got.Void != (tt.title != "Asthma") {
				t.Errorf("found %+v", got)
			}
			if title := chart.TitleOf(r.Raw); title != tt.title {
				t.Errorf("the title is %q, want %q", title, tt.title)
			}
		})
	}
}

// TestNumbers are values of which a record does not say everything.
func TestNumbers(t *testing.T) {
	tests := []struct{ name, rest, value, ranges string }{
		{"no number", `"status":"final","valueQuantity":{"unit":"mg","_value":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}}`, "(no number) mg", ""},
		{"neither number nor unit", `"status":"final","valueQuantity":{"code":""}`, "no value in the record", ""},
		{"a comparator alone", `"status":"final","valueQuantity":{"comparator":"<","unit":"mg"}`, "(no number) mg", ""},
		{"a range in two units, as codes", num("1", "g") + `,"referenceRange":[{"low":{"value":900,"code":"mg"},"high":{"value":2,"code":"g"}}]`, "1 g", "900 mg to 2 g"},
		{"a range of which one end has a unit", num("1", "g") + `,"referenceRange":[{"low":{"value":1.0},"high":{"value":2.50,"unit":"g"}}]`, "1 g", "1.0-2.50 g"},
		{"zero", num("0.00", "g"), "0.00 g", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := build(t, chart.Options{}, patient, obs("o", "X", "2026-01-01", tt.rest)).Measured.Results[0]
			if got := strings.Join(r.Ranges, "; "); r.Value.Text != tt.value || got != tt.ranges {
				t.Errorf("%q, range %q; want %q, %q", r.Value.Text, got, tt.value, tt.ranges)
			}
		})
	}
}

// TestFormerNumbers is that a number which is not in use any more is not given as the
// patient's.
func TestFormerNumbers(t *testing.T) {
	const mr = `"type":{"coding":[{"code":"MR"}]}`
	tests := []struct{ name, rest, mrn, phone string }{
		{"an old number first", `"identifier":[{"use":"old",` + mr + `,"value":"1"},{` + mr + `,"value":"2"}]`, "2", ""},
		{"one that ended first", `"identifier":[{"period":{"end":"2001"},` + mr + `,"value":"1"},{` + mr + `,"value":"2"}]`, "2", ""},
		{"only an old one", `"identifier":[{"use":"old",` + mr + `,"value":"1"}]`, "1", ""},
		{"a phone that ended first", `"telecom":[{"system":"phone","value":"1","period":{"end":"2001"}},{"system":"phone","value":"2"}]`, "", "2"},
	}
	for _, tt := range tests {
		e := chart.NewEntry(res(t, `{"resourceType":"Patient","id":"p",`+tt.rest+`}`))
		if e.MRN != tt.mrn || e.Phone != tt.phone {
			t.Errorf("%s: MRN %q, phone %q; want %q, %q", tt.name, e.MRN, e.Phone, tt.mrn, tt.phone)
		}
	}
}

// TestGridUnit is that a row has one unit only if all its results have it.
func TestGridUnit(t *testing.T) {
	tests := []struct {
		name  string
		rests []string
		want  string
	}{
		{"the same", []string{num("1", "g"), num("2", "g")}, "g"},
		{"the same in other letters", []string{num("1", "mg/dL"), num("2", "MG/DL")}, ""},
		{"the older without one", []string{`"status":"final","valueQuantity":{"value":5}`, num("2", "g")}, ""},
		{"the newer without one", []string{num("2", "g"), `"status":"final","valueQuantity":{"value":5}`}, ""},
		{"words among them", []string{num("1", "g"), `"status":"final","valueString":"5"`}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := build(t, chart.Options{}, patient, obs("a", "X", "2026-01-01", tt.rests[0]), obs("b", "X", "2026-01-02", tt.rests[1])).Measured
			if row := m.Grid(0, 5, chart.Laboratory).Rows[0]; row.Unit() != tt.want {
				t.Errorf("the unit is %q, want %q", row.Unit(), tt.want)
			}
		})
	}
}

// TestIssued is that the day on which a result was issued is not given as the one on which
// it was measured.
func TestIssued(t *testing.T) {
	c := build(t, chart.Options{}, patient, `{"resourceType":"Observation","id":"o","status":"final","code":{"text":"X"},"issued":"2026-01-02T10:00:00-05:00","valueInteger":1}`)
	if got := section(t, c, "results").Groups[0].Rows[0].Cells[4]; got != "2026-01-02 10:00 (issued)" {
		t.Errorf("on %q", got)
	}
	if g := c.Measured.Grid(0, 1, chart.OtherResult); len(g.Days) != 1 || g.Days[0] != "2026-01-02" {
		t.Errorf("the days are %q", g.Days)
	}
}
