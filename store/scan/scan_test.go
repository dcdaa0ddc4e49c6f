package scan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"chartcellar/store/scan"
)

var key = [32]byte{1, 2, 3}

func facts(t *testing.T, line string) scan.Facts {
	t.Helper()
	f, err := scan.New(key).Line([]byte(line))
	if err != nil {
		t.Fatalf("Line(%s) = %v", line, err)
	}
	return f
}

func TestFacts(t *testing.T) {
	tests := []struct{ name, line, typ, id, patient, updated string }{
		{"a patient is his own", `{"resourceType":"Patient","id":"p1"}`, "Patient", "p1", "p1", ""},
		{"members in any order", `{"id":"o","subject":{"display":"x","reference":"Patient/9"},"resourceType":"Observation"}`, "Observation", "o", "9", ""},
		{"absolute with history", `{"resourceType":"Observation","id":"o","subject":{"reference":"https://h/fhir/Patient/9/_history/2"}}`, "Observation", "o", "9", ""},
		{"a list of references", `{"resourceType":"Provenance","id":"o","target":[{"reference":"Observation/3"}, {"reference":"Patient/7"}]}`, "Provenance", "o", "7", ""},
		{"a participant", `{"resourceType":"Appointment","id":"a","participant":[{"actor":{"reference":"Practitioner/3"}},{"status":"x","actor":{"reference":"Patient/7"}}]}`, "Appointment", "a", "7", ""},
		{"patient wins over subject", `{"resourceType":"X","id":"a","subject":{"reference":"Patient/1"},"patient":{"reference":"Patient/2"}}`, "X", "a", "2", ""},
		{"query form names nobody", `{"resourceType":"X","id":"a","subject":{"reference":"Patient?identifier=1"}}`, "X", "a", "", ""},
		{"contained names nobody", `{"resourceType":"X","id":"a","subject":{"reference":"#Patient/1"}}`, "X", "a", "", ""},
		{"another type names nobody", `{"resourceType":"X","id":"a","subject":{"reference":"VetPatient/1"}}`, "X", "a", "", ""},
		{"an upper-case member is another", `{"resourceType":"X","ID":"b","id":"a","Id":"c"}`, "X", "a", "", ""},
		{"meta", `{"resourceType":"X","id":"a","meta":{"versionId":"3","lastUpdated":"2026-01-02T03:04:05Z"}}`, "X", "a", "", "2026-01-02T03:04:05Z"},
		{"an escaped id", `{"resourceType":"X","id":"a\u0062"}`, "X", "ab", "", ""},
		{"white space", " { \"resourceType\" : \"X\" ,\t\"id\" : \"a\" } ", "X", "a", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := facts(t, tt.line)
			got := [4]string{string(f.Type), string(f.ID), string(f.Patient), string(f.LastUpdated)}
			if want := [4]string{tt.typ, tt.id, tt.patient, tt.updated}; got != want {
				t.Errorf("Line(%s) = %q, want %q", tt.line, got, want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	deep := strings.Repeat("[", scan.MaxDepth) + strings.Repeat("]", scan.MaxDepth)
	tests := []struct {
		name, line string
		want       error
	}{
		{"nothing", "", scan.ErrSyntax},
		{"cut short", `{"resourceType":"X","id":"a"`, scan.ErrSyntax},
		{"two values", `{"resourceType":"X","id":"a"}{}`, scan.ErrSyntax},
		{"a list", `[]`, scan.ErrNotObject},
		{"no type", `{"id":"a"}`, scan.ErrNoType},
		{"type is no name", `{"resourceType":"../x","id":"a"}`, scan.ErrNoType},
		{"no id", `{"resourceType":"X"}`, scan.ErrNoID},
		{"id is a number", `{"resourceType":"X","id":1}`, scan.ErrNoID},
		{"id twice", `{"resourceType":"X","id":"a","id":"b"}`, scan.ErrDuplicateKey},
		{"id twice, one escaped", `{"resourceType":"X","id":"a","\u0069d":"b"}`, scan.ErrDuplicateKey},
		{"versionId twice", `{"resourceType":"X","id":"a","meta":{"versionId":"1","versionId":"2"}}`, scan.ErrDuplicateKey},
		{"not UTF-8", "{\"resourceType\":\"X\",\"id\":\"a\xff\"}", scan.ErrNotUTF8},
		{"a control character", "{\"resourceType\":\"X\",\"id\":\"a\x01\"}", scan.ErrSyntax},
		{"too deep", `{"resourceType":"X","id":"a","x":` + deep + `}`, scan.ErrTooDeep},
		{"a leading zero", `{"resourceType":"X","id":"a","x":01}`, scan.ErrSyntax},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := scan.New(key).Line([]byte(tt.line)); !errors.Is(err, tt.want) {
				t.Errorf("Line = %v, want %v", err, tt.want)
			}
		})
	}
}

// same are groups of lines that are one version.
var same = [][]string{
	{`{"resourceType":"X","id":"a","meta":{"profile":["p"]},"v":1.0}`,
		`{"resourceType":"X","id":"a","meta":{"versionId":"7","profile":["p"]},"v":1.0}`,
		`{"resourceType":"X","id":"a","meta":{"profile":["p"],"versionId":"7"},"v":1.0}`,
		`{"resourceType":"X","id":"a","meta":{"versionId":"8", "profile":["p"] , "lastUpdated" : "z" },"v":1.0}`,
		`{ "resourceType":"X","id":"a","meta":{"lastUpdated":"z","versionId":"8","profile":["p"]}, "v" : 1.0 }`},
	{`{"resourceType":"X","id":"a","meta":{}}`,
		`{"resourceType":"X","id":"a","meta":{"versionId":"1"}}`,
		`{"resourceType":"X","id":"a","meta":{ "versionId" : "1" , "lastUpdated":"x" } }`},
	{`{"resourceType":"X","id":"a","content":[{"attachment":{"url":"https://s/b"}}]}`,
		`{"resourceType":"X","id":"a","content":[{"attachment":{"url":"https://s/b?sig=1"}}]}`,
		`{"resourceType":"X","id":"a","content":[{"attachment":{ "url" : "https://s/b?sig=2&x=3" }}]}`},
}

// different are lines of which no two are one version.
var different = []string{
	`{"resourceType":"X","id":"a","meta":{"tag":[]}}`, `{"resourceType":"X","id":"a","meta":{}}`,
	`{"resourceType":"X","id":"a"}`, `{"id":"a","resourceType":"X"}`,
	`{"resourceType":"X","id":"a","v":1.0}`, `{"resourceType":"X","id":"a","v":1.00}`,
	`{"resourceType":"X","id":"a","extension":[{"url":"u?1"}]}`,
	`{"resourceType":"X","id":"a","extension":[{"url":"u?2"}]}`,
	`{"resourceType":"X","id":"a","contained":[{"meta":{"versionId":"1"}}]}`,
	`{"resourceType":"X","id":"a","contained":[{"meta":{"versionId":"2"}}]}`,
	`{"resourceType":"X","id":"a","v":"a b"}`, `{"resourceType":"X","id":"a","v":"ab"}`,
}

func TestFingerprint(t *testing.T) {
	for _, group := range same {
		for _, line := range group[1:] {
			if facts(t, line).Fingerprint != facts(t, group[0]).Fingerprint {
				t.Errorf("%s\nis another version than\n%s", line, group[0])
			}
		}
	}
	seen := map[[16]byte]string{}
	for _, line := range different {
		fp := facts(t, line).Fingerprint
		if old, ok := seen[fp]; ok {
			t.Errorf("%s\nis the same version as\n%s", line, old)
		}
		seen[fp] = line
	}
	if facts(t, different[0]).Fingerprint == mustKey(t, different[0]) {
		t.Error("the fingerprint does not depend on the key")
	}
}

func mustKey(t *testing.T, line string) [16]byte {
	f, err := scan.New([32]byte{9}).Line([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return f.Fingerprint
}

func TestSubsetted(t *testing.T) {
	whole := facts(t, `{"resourceType":"X","id":"a","x":"SUBSETTED","meta":{"tag":[{"code":"other"}]}}`)
	part := facts(t, `{"resourceType":"X","id":"a","meta":{"tag":[{"code":"SUBSETTED"}]}}`)
	if whole.Subsetted || !part.Subsetted {
		t.Errorf("Subsetted = %v, %v; want false, true", whole.Subsetted, part.Subsetted)
	}
}

func TestLastUpdatedMillis(t *testing.T) {
	tests := map[string]int64{
		"1970-01-01T00:00:01Z": 1000, "1970-01-01T00:00:01.2345Z": 1234,
		"1970-01-01T01:00:01+01:00": 1000, "1970-01-01T01:00:01+0100": 1000,
		"1970-01-01T00:00:01": 1000, "1970-01-02": 86400000,
	}
	for in, want := range tests {
		if got, ok := scan.LastUpdatedMillis([]byte(in)); !ok || got != want {
			t.Errorf("LastUpdatedMillis(%q) = %d, %v; want %d", in, got, ok, want)
		}
	}
	if _, ok := scan.LastUpdatedMillis([]byte("soon")); ok {
		t.Error("LastUpdatedMillis(soon) is readable")
	}
}

// TestSpaces inserts white space wherever JSON allows it: nothing but the bytes
// between the tokens may matter.
func TestSpaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.SampledFrom(append(append([]string{}, different...), same[0]...)).Draw(t, "line")
		var spaced []byte
		in := false
		for i := 0; i < len(line); i++ {
			c := line[i]
			if c == '"' {
				in = !in
			}
			mark := !in && strings.IndexByte(`{}[],:`, c) >= 0
			if mark {
				spaced = append(spaced, rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "before")...)
			}
			spaced = append(spaced, c)
			if mark {
				spaced = append(spaced, rapid.SampledFrom([]string{"", " ", "\r\n"}).Draw(t, "after")...)
			}
		}
		a, err := scan.New(key).Line([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		b, err := scan.New(key).Line(spaced)
		if err != nil {
			t.Fatalf("Line(%s) = %v", spaced, err)
		}
		if a.Fingerprint != b.Fingerprint {
			t.Fatalf("%s\nis another version than\n%s", spaced, line)
		}
		if got := scan.Compact(nil, spaced); !bytes.Equal(got, scan.Compact(nil, []byte(line))) {
			t.Fatalf("Compact = %s, want %s", got, line)
		}
	})
}

func FuzzLine(f *testing.F) {
	for _, line := range different {
		f.Add([]byte(line))
	}
	for _, group := range same {
		f.Add([]byte(group[len(group)-1]))
	}
	f.Add([]byte(`{"resourceType":"X","id":"a","x":[1,-2.5e+3,true,null,{"y":"\ud800"}]}`))
	s := scan.New(key)
	f.Fuzz(func(t *testing.T, line []byte) {
		before := bytes.Clone(line)
		got, err := s.Line(line)
		if !bytes.Equal(before, line) {
			t.Fatal("Line changed the line")
		}
		valid := json.Valid(line) && utf8.Valid(line)
		if err == nil && !valid {
			t.Fatalf("accepted what is no JSON: %q", line)
		}
		if valid && (errors.Is(err, scan.ErrSyntax) || errors.Is(err, scan.ErrNotUTF8)) {
			t.Fatalf("refused JSON %q: %v", line, err)
		}
		if err != nil {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatal(err)
		}
		var id string
		if json.Unmarshal(want["id"], &id) != nil || id != string(got.ID) {
			t.Fatalf("id = %q, encoding/json reads %s", got.ID, want["id"])
		}
		compact, err := s.Line(scan.Compact(nil, line))
		if err != nil || compact.Fingerprint != got.Fingerprint {
			t.Fatalf("the compact form is another version: %v", err)
		}
	})
}

func sample() []byte {
	var b bytes.Buffer
	b.WriteString(`{"resourceType":"Observation","id":"0b1c","meta":{"versionId":"3","lastUpdated":"2026-01-02T03:04:05.678Z"},"status":"final",`)
	b.WriteString(`"subject":{"reference":"Patient/6c5d9ca9-54d7-42f5-bfae-a7c19cd217f2"},"component":[`)
	for i := range 12 {
		fmt.Fprintf(&b, `{"code":{"coding":[{"system":"http://loinc.org","code":"8302-%d","display":"Body Height"}],"text":"Body Height"},"valueQuantity":{"value":181.%d,"unit":"cm"}},`, i, i)
	}
	b.WriteString(`{}]}`)
	return b.Bytes()
}

func BenchmarkLine(b *testing.B) {
	line, s := sample(), scan.New(key)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Line(line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFacts(b *testing.B) {
	line, s := sample(), scan.New(key)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Facts(line); err != nil {
			b.Fatal(err)
		}
	}
}
