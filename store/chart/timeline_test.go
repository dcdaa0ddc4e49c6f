package chart_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"chartcellar/store/chart"
)

// timeline builds the timeline of some records.
func timeline(t testing.TB, lines ...string) *chart.Timeline {
	t.Helper()
	b := chart.New(chart.Options{At: day, Timeline: true})
	for _, l := range lines {
		b.Add(res(t, l))
	}
	return b.Chart().Timeline
}

// eventText is an event in one line.
func eventText(e chart.Event) string {
	return strings.Join([]string{e.Ref, e.Kind, e.Date, e.Of, e.Precision, e.Title, e.Detail, e.State}, "|")
}

func TestTimelineOfOneRecord(t *testing.T) {
	tests := []struct{ name, record, want string }{
		{"a result", `{"resourceType":"Observation","id":"o","status":"final","code":{"text":"Potassium"},"effectiveDateTime":"2024-03-01T08:00:00-05:00","issued":"2024-03-02T00:00:00Z","valueQuantity":{"value":4.10,"unit":"mmol/L"},"interpretation":[{"coding":[{"code":"H"}]}]}`,
			"Observation/o|results|2024-03-01 08:00||moment|Potassium|4.10 mmol/L|HIGH"},
		{"a vital sign is of its own kind", `{"resourceType":"Observation","id":"o","status":"final","category":[{"coding":[{"code":"vital-signs"}]}],"code":{"text":"Weight"},"effectiveDateTime":"2024-03","valueQuantity":{"value":70,"unit":"kg"}}`,
			"Observation/o|vitals|2024-03||month|Weight|70 kg|"},
		{"a visit over days", `{"resourceType":"Encounter","id":"e","status":"finished","class":{"code":"IMP"},"period":{"start":"2020-12-31T22:00:00Z","end":"2021-01-02T09:00:00Z"}}`,
			"Encounter/e|visits|2020-12-31 22:00 UTC to 2021-01-02 09:00 UTC||moment|hospital stay||"},
		{"a visit of one day", `{"resourceType":"Encounter","id":"e","status":"finished","class":{"code":"AMB"},"period":{"start":"2020-12-31T09:00:00Z","end":"2020-12-31T09:30:00Z"}}`,
			"Encounter/e|visits|2020-12-31 09:00 to 09:30 UTC||moment|office||"},
		{"a period with an end only", `{"resourceType":"Flag","id":"f","code":{"text":"Falls"},"status":"active","period":{"end":"2021-05-06"}}`,
			"Flag/f|Flag|until 2021-05-06||day|Falls||active"},
		{"onset before the day of recording", `{"resourceType":"Condition","id":"c","code":{"text":"Gout"},"onsetDateTime":"2011","recordedDate":"2020-01-02"}`,
			"Condition/c|problems|2011||year|Gout||"},
		{"only recorded, and said so", `{"resourceType":"Condition","id":"c","code":{"text":"Gout"},"recordedDate":"2020-01-02","onsetAge":{"value":40}}`,
			"Condition/c|problems|2020-01-02|recorded|day|Gout||"},
		{"an onset that is no date", `{"resourceType":"Condition","id":"c","code":{"text":"Gout"},"onsetString":"in his youth"}`,
			"Condition/c|problems|in his youth|||Gout||"},
		{"a day that does not exist", `{"resourceType":"Procedure","id":"c","status":"completed","code":{"text":"Cast"},"performedDateTime":"2021-02-31"}`,
			"Procedure/c|procedures|2021-02-31|||Cast||"},
		{"a document dated by its file", `{"resourceType":"DocumentReference","id":"d","status":"current","content":[{"attachment":{"title":"Letter","creation":"2019-07-08"}}]}`,
			"DocumentReference/d|documents|2019-07-08|file made|day|Letter|no format given|"},
		{"a specimen", `{"resourceType":"Specimen","id":"s","type":{"text":"Blood"},"status":"available","collection":{"collectedDateTime":"2022-01-01"}}`,
			"Specimen/s|Specimen|2022-01-01|collected|day|Blood||available"},
		{"a type that nobody knows", `{"resourceType":"Horoscope","id":"h","title":"ليلى","date":"2020"}`,
			"Horoscope/h|Horoscope|2020||year|ليلى||"},
		{"a record that no model reads", `{"resourceType":"Observation","id":"o","status":"guessed","code":{"text":"Potassium"},"effectiveDateTime":"2024"}`,
			"Observation/o|results|2024||year|Potassium|shown plainly: it is not as FHIR says|guessed"},
		{"a date that is a list", `{"resourceType":"Task","id":"t","authoredOn":["2020"],"period":7,"code":[1]}`, "Task/t|Task|||||||"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := timeline(t, patient, tt.record)
			all := append(append(l.Events, l.Undated...), l.InError...)
			if len(all) != 1 {
				t.Fatalf("%d events, want 1", len(all))
			}
			if got := strings.TrimRight(eventText(all[0]), "|"); got != strings.TrimRight(tt.want, "|") {
				t.Errorf("event = %s\nwant    %s", got, tt.want)
			}
			if dated := all[0].Precision != ""; dated != (len(l.Events) == 1) {
				t.Errorf("dated: %v, in the list of dated ones: %d", dated, len(l.Events))
			}
		})
	}
}

// TestTimelineLabels: who may see a labelled record is told so on the timeline too, of one
// that a section reads, one that is not as FHIR says, and one of another type.
func TestTimelineLabels(t *testing.T) {
	const meta = `"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R","display":"restricted"}]}`
	b := chart.New(chart.Options{At: day, Timeline: true, Sensitive: true})
	for _, l := range []string{patient, `{"resourceType":"Observation","id":"a","status":"final","code":{"text":"HIV test"},"effectiveDateTime":"2024-03-01",` + meta + `}`,
		`{"resourceType":"Observation","id":"b","status":"guessed","effectiveDateTime":"2024-03-01",` + meta + `}`, `{"resourceType":"Flag","id":"c","period":{"start":"2024-03-01"},` + meta + `}`,
		`{"resourceType":"Flag","id":"d","period":{"start":"2024-03-01"}}`} {
		b.Add(res(t, l))
	}
	for _, e := range b.Chart().Timeline.Events {
		if want := e.Ref != "Flag/d"; (e.Label == "restricted") != want {
			t.Errorf("%s: label %q", e.Ref, e.Label)
		}
	}
}

// TestTimelineCounts: every record is in exactly one place, the newest first, and the
// years and kinds add up.
func TestTimelineCounts(t *testing.T) {
	lines := []string{patient,
		`{"resourceType":"Encounter","id":"new-york","status":"finished","class":{"code":"AMB"},"period":{"start":"2019-12-31T23:30:00-05:00"}}`,
		`{"resourceType":"Encounter","id":"year","status":"finished","class":{"code":"AMB"},"period":{"start":"2020"}}`,
		`{"resourceType":"Encounter","id":"none","status":"finished","class":{"code":"AMB"}}`,
		`{"resourceType":"Device","id":"d","type":{"text":"Pacemaker"}}`,
		`{"resourceType":"Flag","id":"wrong","status":"entered-in-error","title":"x","period":{"start":"2021"}}`,
		`{"resourceType":"Observation","id":"wrong","status":"entered-in-error","code":{"text":"x"},"effectiveDateTime":"2021"}`}
	for i := range 50 {
		lines = append(lines, fmt.Sprintf(`{"resourceType":"Observation","id":"o%02d","status":"final","code":{"text":"x"},"effectiveDateTime":"2021-01-%02d"}`, i, 1+i%25))
	}
	l := timeline(t, lines...)
	if n := len(l.Events) + len(l.Undated) + len(l.InError); n != len(lines)-1 {
		t.Errorf("%d events, want %d", n, len(lines)-1)
	}
	if len(l.Undated) != 2 || len(l.InError) != 2 {
		t.Errorf("undated %d, in error %d, want 2 and 2", len(l.Undated), len(l.InError))
	}
	for i := 1; i < len(l.Events); i++ {
		if l.Events[i].Year() > l.Events[i-1].Year() || l.Events[i].Year() == l.Events[i-1].Year() && l.Events[i].When.After(l.Events[i-1].When) {
			t.Errorf("%s stands behind %s", l.Events[i].Ref, l.Events[i-1].Ref)
		}
	}
	if got := fmt.Sprint(chart.Years(l.Events)); got != "[{2021 2021 50} {2020 2020 1} {2019 2019 1}]" {
		t.Errorf("Years = %s", got)
	}
	if got := fmt.Sprint(chart.Kinds(append(l.Events, l.Undated...))); got != "[{results Results 50} {visits Visits 3} {Device Device 1}]" {
		t.Errorf("Kinds = %s", got)
	}
	b := chart.New(chart.Options{At: day, Timeline: true})
	b.Unreadable("Observation", 3)
	if u := b.Chart().Timeline.Unread; u != 3 {
		t.Errorf("Unread = %d, want 3", u)
	}
	quiet := chart.New(chart.Options{At: day})
	quiet.Add(res(t, lines[1]))
	if quiet.Chart().Timeline != nil {
		t.Error("a timeline that nobody asked for")
	}
}

// TestEventCells: what an event says stands in columns that the sections have.
func TestEventCells(t *testing.T) {
	lines := map[string]string{
		"allergies":     `{"resourceType":"AllergyIntolerance","id":"x","code":{"text":"Latex"},"criticality":"high","clinicalStatus":{"coding":[{"code":"active"}]}}`,
		"problems":      `{"resourceType":"Condition","id":"x","code":{"text":"Gout","coding":[{"code":"M10"}]},"clinicalStatus":{"coding":[{"code":"active"}]}}`,
		"medicines":     `{"resourceType":"MedicationRequest","id":"x","status":"active","intent":"order","medicationCodeableConcept":{"text":"Aspirin"},"dosageInstruction":[{"text":"daily"}],"subject":{}}`,
		"reports":       `{"resourceType":"DiagnosticReport","id":"x","status":"partial","code":{"text":"Panel"},"result":[{}]}`,
		"procedures":    `{"resourceType":"Procedure","id":"x","status":"not-done","code":{"text":"Cast"},"reasonCode":[{"text":"fall"}],"subject":{}}`,
		"immunizations": `{"resourceType":"Immunization","id":"x","status":"not-done","vaccineCode":{"text":"Flu"},"lotNumber":"A1","patient":{}}`,
		"orders":        `{"resourceType":"ServiceRequest","id":"x","status":"active","intent":"order","code":{"text":"X-ray"},"reasonCode":[{"text":"fall"}],"subject":{}}`,
		"plan":          `{"resourceType":"CarePlan","id":"x","status":"active","intent":"plan","title":"Diabetes","author":{"display":"Dr. Lee"},"subject":{}}`,
		"appointments":  `{"resourceType":"Appointment","id":"x","status":"booked","description":"Check","participant":[{"actor":{"display":"Dr. Lee"},"status":"accepted"}]}`,
		"coverage":      `{"resourceType":"Coverage","id":"x","status":"active","payor":[{"display":"Blue"}],"type":{"text":"PPO"}}`,
	}
	elsewhere := []string{"results", "vitals", "visits", "documents", "other"} // of TestTimelineOfOneRecord
	for _, kind := range chart.SectionKeys() {
		line := lines[kind]
		if slices.Contains(elsewhere, kind) {
			continue
		}
		if line == "" {
			t.Errorf("no record of the section %s", kind)
			continue
		}
		l := timeline(t, line)
		if len(l.Undated) != 1 {
			t.Errorf("%s: %d undated events", kind, len(l.Undated))
			continue
		}
		if e := l.Undated[0]; e.Kind != kind || e.Title == "" || e.Detail == "" || e.State == "" {
			t.Errorf("%s: %s lacks a part", kind, eventText(e))
		}
	}
}

func BenchmarkTimeline(b *testing.B) {
	var list []chart.Resource
	for _, l := range observations("p", 5000) {
		list = append(list, res(b, l))
	}
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprint("timeline=", with), func(b *testing.B) {
			for b.Loop() {
				c := chart.New(chart.Options{At: day, Timeline: with})
				for _, r := range list {
					c.Add(r)
				}
				c.Chart()
			}
		})
	}
}
