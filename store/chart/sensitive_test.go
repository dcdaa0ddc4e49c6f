package chart_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"chartcellar/store/chart"
)

const (
	actCode = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	secrecy = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
)

// labelled makes a record with these codings in its meta.security.
func labelled(typ, id, security, rest string) string {
	return fmt.Sprintf(`{"resourceType":%q,"id":%q,"meta":{"security":%s}%s}`, typ, id, security, rest)
}

func TestLabels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, raw, words, sensitive string }{
		{"no label", `{"resourceType":"Observation","id":"1","meta":{"versionId":"2"}}`, "", "no"},
		{"restricted", labelled("Observation", "1", `[{"system":"`+secrecy+`","code":"R"}]`, ""), "restricted", "yes"},
		{"very restricted, the older address", labelled("Observation", "1", `[{"system":"http://hl7.org/fhir/v3/Confidentiality","code":"V"}]`, ""),
			"very restricted", "yes"},
		{"normal", labelled("Observation", "1", `[{"system":"`+secrecy+`","code":"N","display":"normal"}]`, ""),
			"normal confidentiality", "no"},
		{"psychiatry, by OID", labelled("Observation", "1", `[{"system":"urn:oid:2.16.840.1.113883.5.4","code":"PSY"}]`, ""), "psychiatry", "yes"},
		{"42 CFR Part 2 in other capitals", labelled("Condition", "1", `[{"system":"`+actCode+`","code":"42cfrpart2"}]`, ""),
			"substance use program (42 CFR Part 2)", "yes"},
		{"no system", labelled("Condition", "1", `[{"code":"HIV"}]`, ""), "HIV", "yes"},
		{"normal and sexuality: only what closes is said", labelled("Condition", "1", `[{"code":"N"},{"code":"SEX"},{"code":"SEX"}]`, ""),
			"sexuality and reproduction", "yes"},
		{"a code that we do not know", labelled("Condition", "1", `[{"system":"http://emr.example/tags","code":"ward-3","display":"Ward 3"}]`, ""),
			"Ward 3", "no"},
		{"no code, only words", labelled("Condition", "1", `[{"display":"eyes only"}]`, ""), "eyes only", "yes"},
		{"an empty coding", labelled("Condition", "1", `[{}]`, ""), "a label that could not be read", "yes"},
		{"null in the list", labelled("Condition", "1", `[null]`, ""), "a label that could not be read", "yes"},
		{"text instead of a list", labelled("Condition", "1", `"R"`, ""), "a label that could not be read", "yes"},
		{"one coding without a list", labelled("Condition", "1", `{"code":"R"}`, ""), "restricted", "yes"},
		{"an empty list", labelled("Condition", "1", `[]`, ""), "", "no"},
		{"in a record inside", `{"resourceType":"MedicationRequest","id":"1","contained":[` +
			labelled("Condition", "c", `[{"code":"SUD"}]`, "") + `]}`, "substance use", "yes"},
		{"in a bundle", `{"resourceType":"Bundle","id":"1","entry":[{"resource":` +
			labelled("Condition", "c", `[{"code":"MH"}]`, "") + `}]}`, "mental health", "yes"},
		{"security of a server is no label", `{"resourceType":"CapabilityStatement","id":"1","rest":[{"security":{"cors":true}}]}`, "", "no"},
		{"the word in a text is no label", `{"resourceType":"Basic","id":"1","note":"\"security\"","x":{"security":"y"}}`, "", "no"},
		{"escaped letters", labelled("Condition", "1", `[{"code":"\u0052"}]`, ""), "restricted", "yes"},
		{"a display that draws backwards", labelled("Condition", "1", "[{\"code\":\"x\",\"display\":\"a\u202eb\"}]", ""), "a[U+202E]b", "no"},
		{"a document's own label", `{"resourceType":"DocumentReference","id":"1","securityLabel":[{"coding":[{"code":"N"},{"code":"PSYTHPN"}]}]}`, "psychotherapy note", "yes"},
		{"a document's own label in words", `{"resourceType":"DocumentReference","id":"1","securityLabel":[{"text":"Part 2"}]}`, "Part 2", "yes"},
		{"a document's own label, normal", `{"resourceType":"DocumentReference","id":"1","securityLabel":[{"coding":[{"code":"N"}]}]}`, "normal confidentiality", "no"},
		{"a letter's confidentiality", `{"resourceType":"Composition","id":"1","confidentiality":"R","status":"final"}`, "restricted", "yes"},
		{"a letter's confidentiality, normal", `{"resourceType":"Composition","id":"1","confidentiality":"N"}`, "normal confidentiality", "no"},
		{"a letter's confidentiality that is no code", `{"resourceType":"Composition","id":"1","confidentiality":{}}`, "a label that could not be read", "yes"},
		{"the word in another record", `{"resourceType":"Basic","id":"1","confidentiality":"R"}`, "", "no"},
		{"no JSON", `{"security"`, "a label that could not be read", "yes"},
	} {
		list := chart.Labels([]byte(c.raw))
		if got := chart.LabelWords(list); got != c.words {
			t.Errorf("%s: words %q, want %q", c.name, got, c.words)
		}
		if got := chart.Sensitive([]byte(c.raw)); got != (c.sensitive == "yes") || got != chart.AnySensitive(list) {
			t.Errorf("%s: sensitive %t, want %s", c.name, got, c.sensitive)
		}
	}
}

// TestSensitiveRecords: what is labelled is counted for everybody, shown with its label to
// who may see it, and leaves no word to who may not.
func TestSensitiveRecords(t *testing.T) {
	t.Parallel()
	lines := []string{
		`{"resourceType":"Patient","id":"p","name":[{"family":"Open"}]}`,
		`{"resourceType":"Condition","id":"1","clinicalStatus":{"coding":[{"code":"active"}]},"code":{"text":"Asthma"}}`,
		labelled("Condition", "2", `[{"code":"HIV"}]`, `,"code":{"text":"Secretitis"}`),
		labelled("Condition", "3", `[{"code":"PSY"}]`, `,"clinicalStatus":7`),
		labelled("Observation", "4", `[{"code":"SUD"}]`, `,"status":"final","code":{"text":"Secretin"},"valueString":"much"`),
		labelled("Observation", "5", `[{"code":"SUD"}]`, `,"status":"final","category":[{"coding":[{"code":"vital-signs"}]}],"code":{"text":"Secret weight"}`),
		labelled("Communication", "6", `[{"code":"R"}]`, ``),
		labelled("AllergyIntolerance", "7", `[{"code":"R"}]`, `,"code":{"text":"Secretol"}`),
		`{"resourceType":"MedicationRequest","id":"8","status":"active","intent":"order","subject":{"reference":"Patient/p"},"medicationReference":{"reference":"Medication/m"}}`,
	}
	names := records{"Medication/m": labelled("Medication", "m", `[{"code":"HIV"}]`, `,"code":{"text":"Secretovir"}`)}
	all := build(t, chart.Options{Names: names, Sensitive: true}, lines...)
	if all.Withheld != 0 || all.Records != len(lines) {
		t.Errorf("who may see all: %d withheld of %d", all.Withheld, all.Records)
	}
	problems := section(t, all, "problems")
	if got := text(problems); !strings.Contains(got, "Secretitis") {
		t.Errorf("who may see all does not see it:\n%s", got)
	}
	var labels []string
	for _, g := range problems.Groups {
		for _, r := range g.Rows {
			labels = append(labels, r.Ref+" "+r.Label)
		}
	}
	slices.Sort(labels)
	if got := fmt.Sprintf("%v %s", labels, problems.Plain[0].Label); got != "[Condition/1  Condition/2 HIV] psychiatry" {
		t.Errorf("labels: %s", got)
	}
	if got := text(section(t, all, "medicines")); !strings.Contains(got, "Secretovir") {
		t.Errorf("medicines: %s", got)
	}

	open := build(t, chart.Options{Names: names}, lines...)
	if open.Withheld != 6 || open.Records != len(lines) {
		t.Errorf("%d withheld of %d, want 6 of %d", open.Withheld, open.Records, len(lines))
	}
	for key, want := range map[string]int{"problems": 2, "results": 1, "vitals": 1, "other": 1, "allergies": 1} {
		if s := section(t, open, key); s.Withheld != want {
			t.Errorf("%s: %d withheld, want %d", key, s.Withheld, want)
		}
	}
	if got := section(t, open, "vitals").Empty; got != "1 record is not shown to your role." {
		t.Errorf("an empty section says %q", got)
	}
	if got := open.Banner.Allergies; got != "1 record is not shown to your role." {
		t.Errorf("the banner says of allergies %q", got)
	}
	if got := fmt.Sprintf("%+v", open); strings.Contains(got, "Secret") || !strings.Contains(got, "Asthma") {
		t.Errorf("a chart without what is sensitive holds:\n%s", got)
	}
}

func TestSensitivePatient(t *testing.T) {
	t.Parallel()
	line := labelled("Patient", "p", `[{"code":"VIP"}]`,
		`,"name":[{"family":"Secret"}],"birthDate":"1970-02-01","identifier":[{"value":"S-77"}],"telecom":[{"system":"phone","value":"555 1234"}]`)
	if c := build(t, chart.Options{Sensitive: true}, line); c.Banner.Name != "Secret" || !c.Banner.Sensitive || c.Withheld != 0 {
		t.Errorf("who may see all: %+v", c.Banner)
	}
	c := build(t, chart.Options{}, line)
	if c.Banner.Name != chart.NotShown || c.Banner.Born != "" || c.Banner.Age != "" || c.Withheld != 1 || c.Banner.ID != "p" {
		t.Errorf("who may not: %+v, %d withheld", c.Banner, c.Withheld)
	}
	e := chart.NewEntry(res(t, line)).Withhold()
	for query, want := range map[string]bool{"": true, "secret": false, "1970-02-01": false, "S-77": false, "1234": false, "shown": false, "p": true} {
		if got := chart.ParseQuery(query).Fits(&e); got != want {
			t.Errorf("query %q fits a withheld patient: %t, want %t", query, got, want)
		}
	}
	open := chart.NewEntry(res(t, `{"resourceType":"Patient","id":"q","name":[{"family":"Open"}]}`))
	if got := e.State(); got != "labelled sensitive" {
		t.Errorf("its state is %q", got)
	}
	if got := open.Withhold(); got.Name != "Open" || got.Withheld {
		t.Errorf("an open patient is withheld: %+v", got)
	}
}

func BenchmarkSensitiveNone(b *testing.B) {
	raw := []byte(`{"resourceType":"Observation","id":"1","meta":{"versionId":"2"},"status":"final","note":[{"text":"` +
		strings.Repeat("no label here ", 200) + `"}]}`)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if chart.Sensitive(raw) {
			b.Fatal("sensitive")
		}
	}
}
