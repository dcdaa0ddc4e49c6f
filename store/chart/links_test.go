package chart_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chartcellar/store/chart"
)

func TestLinks(t *testing.T) {
	raw := `{"resourceType":"Observation","id":"o","contained":[{"resourceType":"Specimen","id":"s","subject":{"reference":"Patient/p"}}],` +
		`"subject":{"reference":"https:\/\/emr.example\/fhir\/Patient\/p\/_history\/3","display":"Anna"},"specimen":{"reference":"#s"},` +
		`"performer":[{"reference":"Practitioner/1"},{"identifier":{"value":"x"}},{"reference":"Practitioner?identifier=1"}],"valueAttachment":{"url":"Binary/b"}}`
	list, err := chart.Links([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range list {
		got = append(got, fmt.Sprintf("%s: %s=%s %s/%s v%s %d %s", l.Path, l.Text, l.Base, l.Type, l.ID, l.Version, l.Inside, l.Display))
	}
	want := []string{
		"contained › subject › reference: Patient/p= Patient/p v 0 ",
		"subject › reference: https://emr.example/fhir/Patient/p/_history/3=https://emr.example/fhir/ Patient/p v3 0 Anna",
		"specimen › reference: #s= / v 1 ",
		"performer 1 › reference: Practitioner/1= Practitioner/1 v 0 ",
		"performer 3 › reference: Practitioner?identifier=1= / v 0 ",
		"value attachment › url: Binary/b= Binary/b v 0 ",
	}
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("Links =\n%s\nwant\n%s", a, b)
	}
	if _, err := chart.Links([]byte(`{`)); err == nil {
		t.Error("half a record gave no error")
	}
}

// TestPointer: a record is named by its whole type and id, not by a part of them.
func TestPointer(t *testing.T) {
	const base = "https://emr.example/fhir"
	p := chart.NewPointer("Patient", "1", base)
	tests := []struct {
		name, reference string
		want            bool
	}{
		{"relative", "Patient/1", true},
		{"with a version", "Patient/1/_history/7", true},
		{"absolute", "https://emr.example/fhir/Patient/1", true},
		{"absolute with a version", "https://emr.example/fhir/Patient/1/_history/7", true},
		{"a slash that is escaped", `Patient\/1`, true},
		{"a digit that is escaped", `Patient/\u0031`, true},
		{"a letter that is escaped", `P\u0061tient\/1`, true},
		{"a slash that is escaped otherwise", `Patient\u002F1`, true},
		{"other escapes", `\u003cPatient\u003e/1`, false},
		{"another server", "https://other.example/fhir/Patient/1", false},
		{"a longer id", "Patient/10", false},
		{"another id that ends so", "Patient/a1", false},
		{"another type", "Practitioner/1", false},
		{"a type that ends so", "XPatient/1", false},
		{"an id of a version", "Encounter/9/_history/1", false},
		{"a search", "Patient?_id=1", false},
		{"contained", "#1", false},
		{"a uuid", "urn:uuid:1", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := []byte(`{"resourceType":"X","subject":{"reference":"` + tt.reference + `"}}`)
			if got := len(p.In(raw)) == 1; got != tt.want {
				t.Errorf("%s names Patient/1: %v, want %v", tt.reference, got, tt.want)
			}
		})
	}
	if n := len(p.In([]byte(`{"a":[{"reference":"Patient/1"},{"reference":"Patient/1"}],"note":"Patient/1"}`))); n != 2 {
		t.Errorf("named %d times, want 2", n)
	}
	if n := len(p.In([]byte(`{"a":{"reference":"Patient/1"}`))); n != 0 {
		t.Errorf("half a record names it %d times", n)
	}
	odd := chart.NewPointer("Patient", "ö/1", "")
	if n := len(odd.In([]byte(`{"a":{"reference":"Patient/x"}}`))); n != 0 {
		t.Errorf("another record names an odd id %d times", n)
	}
	if n := len(chart.NewPointer("Patient", "1", "").In([]byte(`{"a":{"reference":"https://any.example/Patient/1"}}`))); n != 0 {
		t.Errorf("with no base known it is named %d times by an address, want 0", n)
	}
}

// TestPointerNeverMisses: the quick look at the bytes says no to nothing that the links
// of a record say yes to, whatever is escaped.
func TestPointerNeverMisses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom([]string{"Patient", "Pat"}).Draw(t, "type")
		id := rapid.StringMatching(`[a-c1./-]{1,3}`).Draw(t, "id")
		var b strings.Builder
		ref := rapid.SampledFrom([]string{"", "https://x/", "/"}).Draw(t, "base") + typ + "/" + rapid.SampledFrom([]string{id, id + "1"}).Draw(t, "named") +
			rapid.SampledFrom([]string{"", "/_history/1", "#x"}).Draw(t, "end")
		for _, r := range ref {
			switch rapid.IntRange(0, 5).Draw(t, "how") {
			case 0:
				fmt.Fprintf(&b, `\u%04x`, r)
			case 1:
				if r == '/' {
					b.WriteByte('\\')
				}
				fallthrough
			default:
				b.WriteRune(r)
			}
		}
		raw := []byte(`{"a":{"reference":"` + b.String() + `"}}`)
		links, err := chart.Links(raw)
		if err != nil || len(links) != 1 {
			t.Fatalf("Links(%s) = %v, %v", raw, links, err)
		}
		want := links[0].Names(typ, id, "https://x")
		if got := len(chart.NewPointer(typ, id, "https://x").In(raw)) == 1; got != want {
			t.Fatalf("%s names %s/%s: %v, want %v", raw, typ, id, got, want)
		}
	})
}
