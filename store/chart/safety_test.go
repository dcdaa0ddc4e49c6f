package chart_test

import (
	"slices"
	"strings"
	"testing"

	"chartcellar/store/chart"
)

// rowText writes all that a section says of its first row, with its group.
func rowText(t testing.TB, key string, o chart.Options, line string) string {
	t.Helper()
	s := section(t, build(t, o, patient, line), key)
	if len(s.Groups) == 0 {
		t.Fatalf("%s has no row: %+v", key, s)
	}
	r := s.Groups[0].Rows[0]
	return s.Groups[0].Title + "|" + strings.Join(r.Cells, "|") + "|" + r.More
}

// TestNothingHarmfulIsLost: what changes the meaning of a record stands in its row.
func TestNothingHarmfulIsLost(t *testing.T) {
	medicine := func(rest string) string {
		return `{"resourceType":"MedicationRequest","id":"1","intent":"order","status":"active","medicationCodeableConcept":{"text":"X"},` + rest + `}`
	}
	order := func(rest string) string {
		return `{"resourceType":"ServiceRequest","id":"1","status":"active","code":{"text":"X"},` + rest + `}`
	}
	tests := []struct {
		name, key, line string
		want, not       string
	}{
		{"an order that is only a plan", "orders", order(`"intent":"plan"`), "only a plan", ""},
		{"an order in its first form is an order", "orders", order(`"intent":"original-order"`), "|active|", "only"},
		{"an option", "orders", order(`"intent":"option"`), "only an option", ""},
		{"an order at need, several times", "orders", order(`"intent":"order","asNeededCodeableConcept":{"text":"pain"},"quantityQuantity":{"value":3,"unit":"sessions"}`), "to be done as needed for pain", ""},
		{"how often it is to be done", "orders", order(`"intent":"order","quantityQuantity":{"value":3,"unit":"sessions"},"occurrenceTiming":{"repeat":{"frequency":1,"period":1,"periodUnit":"wk"}}`), "X, 3 sessions|||active|to be done 1 x a week", ""},
		{"a medicine without an intent", "medicines", `{"resourceType":"MedicationRequest","id":"1","status":"active","medicationCodeableConcept":{"text":"X"}}`, "no intent given", ""},
		{"a medicine that is only an option", "medicines", strings.Replace(medicine(`"note":[]`), `"order"`, `"option"`, 1), "only an option", ""},
		{"a medicine not to be given", "medicines", medicine(`"doNotPerform":true`), "NOT to be given|X||NOT TO BE GIVEN, active", ""},
		{"an urgent one", "medicines", medicine(`"priority":"stat"`), "active, stat", ""},
		{"one whose time is over", "medicines", medicine(`"dispenseRequest":{"validityPeriod":{"start":"2020-01-01","end":"2020-06-30"}}`), "active, valid until 2020-06-30 only", ""},
		{"one whose last day is today", "medicines", medicine(`"dispenseRequest":{"validityPeriod":{"end":"2026-06-01"}}`), "|active|", "only"},
		{"taken in the past", "medicines", `{"resourceType":"MedicationStatement","id":"1","status":"active","medicationCodeableConcept":{"text":"X"},"effectivePeriod":{"start":"2019","end":"2020-01-01"}}`, "active, taken until 2020-01-01 only", ""},
		{"not taken", "medicines", `{"resourceType":"MedicationStatement","id":"1","status":"not-taken","medicationCodeableConcept":{"text":"X"}}`, "Stopped or completed|X||not-taken", ""},
		{"a reaction to a vaccine", "immunizations", `{"resourceType":"Immunization","id":"1","status":"completed","vaccineCode":{"text":"X"},"reaction":[{"date":"2026-01-02","detail":{"display":"anaphylaxis"}}]}`, "REACTION 2026-01-02 anaphylaxis", ""},
		{"where a vaccine was given", "immunizations", `{"resourceType":"Immunization","id":"1","status":"completed","primarySource":false,"vaccineCode":{"text":"X"},"site":{"text":"left arm"},"route":{"text":"IM"},"doseQuantity":{"value":0.5,"unit":"mL"}}`, "as reported|0.5 mL, IM, left arm", ""},
		{"a vaccine that was not given", "immunizations", `{"resourceType":"Immunization","id":"1","status":"not-done","statusReason":{"text":"refused"},"vaccineCode":{"text":"X"}}`, "NOT done|X||||not-done, refused", ""},
		{"a complication", "procedures", `{"resourceType":"Procedure","id":"1","status":"completed","code":{"text":"X"},"bodySite":[{"text":"right knee"}],"complication":[{"text":"bleeding"}]}`, "X, right knee||", ""},
		{"a complication in words", "procedures", `{"resourceType":"Procedure","id":"1","status":"completed","code":{"text":"X"},"complication":[{"text":"bleeding"}],"complicationDetail":[{"reference":"Condition/7"}]}`, "COMPLICATION: bleeding, Our illness", ""},
		{"a step not to be done, and how far it is", "plan", `{"resourceType":"CarePlan","id":"1","status":"active","intent":"plan","activity":[{"detail":{"status":"cancelled","statusReason":{"text":"refused"},"doNotPerform":true,"productCodeableConcept":{"text":"Aspirin"},"dailyAmount":{"value":100,"unit":"mg"},"scheduledTiming":{"repeat":{"frequency":1,"period":1,"periodUnit":"d"}}}}]}`,
			"Aspirin 100 mg 1 x a day (NOT TO BE DONE, cancelled, refused)", ""},
		{"a goal with a time", "plan", `{"resourceType":"Goal","id":"1","lifecycleStatus":"active","description":{"text":"X"},"startCodeableConcept":{"text":"at discharge"},"target":[{"measure":{"text":"HbA1c"},"detailQuantity":{"value":7,"comparator":"<","unit":"%"},"dueDuration":{"value":6,"unit":"months"}}]}`,
			"HbA1c <7 % within 6 months|at discharge", ""},
		{"a refuted problem", "problems", `{"resourceType":"Condition","id":"1","clinicalStatus":{"coding":[{"code":"active"}]},"verificationStatus":{"coding":[{"code":"refuted"}]},"code":{"text":"X"}}`, "Refuted|X|active, refuted", ""},
		{"a last reaction", "allergies", `{"resourceType":"AllergyIntolerance","id":"1","code":{"text":"X"},"onsetDateTime":"2001","lastOccurrence":"2025-05-06T10:00:00Z"}`, "2001, last reaction 2025-05-06", ""},
		{"no value of the whole, but of its parts", "results", `{"resourceType":"Observation","id":"1","status":"final","code":{"text":"X"},"dataAbsentReason":{"text":"sample lost"},"component":[{"code":{"text":"A"},"valueInteger":1}]}`, "no value: sample lost; A: 1", ""},
		{"which eye", "results", `{"resourceType":"Observation","id":"1","status":"final","code":{"text":"Pressure"},"bodySite":{"text":"left eye"},"method":{"text":"air puff"},"valueInteger":30}`, "Pressure, left eye|30||||", ""},
		{"how it was measured", "vitals", `{"resourceType":"Observation","id":"1","status":"final","category":[{"coding":[{"code":"vital-signs"}]}],"code":{"text":"Temperature"},"bodySite":{"text":"axilla"},"valueInteger":38}`, "Temperature|38|||||axilla", ""},
		{"about a child that is not born", "results", `{"resourceType":"Observation","id":"1","status":"final","code":{"text":"Heart rate"},"focus":[{"display":"fetus"}],"valueInteger":150}`, "Heart rate (about fetus)|150", ""},
		{"a reason that is only a suspicion", "visits", `{"resourceType":"Encounter","id":"1","status":"finished","class":{"code":"AMB"},"reasonReference":[{"reference":"Condition/maybe"}]}`, "Cancer (differential)", ""},
	}
	names := records{"Condition/7": ours["Condition/7"], "Condition/maybe": `{"resourceType":"Condition","id":"maybe","code":{"text":"Cancer"},"verificationStatus":{"coding":[{"code":"differential"}]}}`}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := rowText(t, tt.key, chart.Options{Names: names}, tt.line)
			if !strings.Contains(got, tt.want) || tt.not != "" && strings.Contains(got, tt.not) {
				t.Errorf("the row is %q, want %q in it and not %q", got, tt.want, tt.not)
			}
		})
	}
}

// TestSides: what was measured left and right, or of a child that is not born, is no series.
func TestSides(t *testing.T) {
	at := func(id, on, more string, value string) string {
		return obs(id, "Pressure", on, more+`"status":"final","valueQuantity":{"value":`+value+`,"unit":"mmHg"}`)
	}
	m := build(t, chart.Options{}, patient, at("l1", "2026-01-01", `"bodySite":{"text":"Left eye"},`, "15"), at("l2", "2026-01-02", `"bodySite":{"text":"left eye"},`, "16"),
		at("r", "2026-01-03", `"bodySite":{"text":"Right eye"},`, "31"), at("f", "2026-01-04", `"focus":[{"display":"fetus"}],`, "9")).Measured
	var got []string
	for _, x := range m.Tests {
		got = append(got, x.Latest.Name+" "+x.Latest.Value.Number+strings.Repeat("+", len(x.Results)-1))
	}
	if want := []string{"Pressure (about fetus) 9", "Pressure, left eye 16+", "Pressure, Right eye 31"}; !slices.Equal(got, want) {
		t.Errorf("tests %q, want %q", got, want)
	}
}

// TestFlags: every interpretation of HL7 is in words, and none is taken for well that says
// something else too.
func TestFlags(t *testing.T) {
	tests := []struct{ name, interpretation, want string }{
		{"not detected", `[{"coding":[{"code":"ND"}]}]`, "Not detected"},
		{"detected", `[{"coding":[{"code":"DET"}]}]`, "Detected odd"},
		{"reactive", `[{"coding":[{"code":"RR"}]}]`, "Reactive odd"},
		{"off scale", `[{"coding":[{"code":">"}]}]`, "▲ Off scale high odd"},
		{"significantly high", `[{"coding":[{"code":"HU"}]}]`, "▲ Significantly high odd"},
		{"indeterminate", `[{"coding":[{"code":"IND"}]}]`, "Indeterminate odd"},
		{"normal, and its name", `[{"coding":[{"code":"N","display":"Within limits"}],"text":"Within limits"}]`, "Normal"},
		{"normal, and its code", `[{"coding":[{"code":"N"}],"text":"N"}]`, "Normal"},
		{"normal, with words that say something else", `[{"coding":[{"code":"N"}],"text":"call the doctor"}]`, "Normal (call the doctor) odd"},
		{"two codes of one, of which one is not well", `[{"coding":[{"code":"N"},{"code":"HH"}]}]`, "▲▲ Critically high odd"},
		{"two codes of one, the other way round", `[{"coding":[{"code":"HH"},{"code":"N"}]}]`, "▲▲ Critically high odd"},
		{"a code that nobody knows", `[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation","code":"ZZ","display":"strange"}]}]`, "Strange odd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := build(t, chart.Options{}, patient, obs("o", "X", "2026-01-02", num("1", "g")+`,"interpretation":`+tt.interpretation)).Measured.Results[0].Flag
			got := f.String()
			if f.Odd {
				got += " odd"
			}
			if got != tt.want {
				t.Errorf("the flag is %q, want %q", got, tt.want)
			}
		})
	}
}

// TestTitles: a record that no section reads, or that another names, is not called by what
// it denies.
func TestTitles(t *testing.T) {
	for line, want := range map[string]string{
		`{"resourceType":"FamilyMemberHistory","id":"1","status":"completed","relationship":{"text":"father"},"condition":[{"code":{"text":"Diabetes"}},{"code":{"text":"Stroke"}}]}`: "father: Diabetes, Stroke|father: Diabetes, Stroke completed",
		`{"resourceType":"CommunicationRequest","id":"1","status":"active","doNotPerform":true,"category":[{"text":"Reminder"}]}`:                                                     "Reminder (not to be done)|Reminder NOT TO BE DONE, active",
		`{"resourceType":"MedicationDispense","id":"1","status":"cancelled","medicationCodeableConcept":{"text":"X"}}`:                                                                "X (cancelled)|X cancelled",
		`{"resourceType":"MedicationRequest","id":"1","status":"active","intent":"proposal","medicationCodeableConcept":{"text":"X"}}`:                                                "X (only a proposal)|X active, only a proposal",
	} {
		e := build(t, chart.Options{}, patient, line).Timeline.Undated[0]
		if got := chart.Title(res(t, line)) + "|" + e.Title + " " + e.State; got != want {
			t.Errorf("%s\nis called %q\nwant      %q", line, got, want)
		}
	}
}
