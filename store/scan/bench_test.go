package scan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"chartcellar/store/scan"
)

// sample is an Observation of about 2 KB.
func sample() []byte {
	var b bytes.Buffer
	b.WriteString(`{"resourceType":"Observation","id":"0b1c","meta":{"versionId":"3",` +
		`"lastUpdated":"2026-01-02T03:04:05.678Z"},"status":"final",` +
		`"subject":{"reference":"Patient/6c5d9ca9-54d7-42f5-bfae-a7c19cd217f2"},"component":[`)
	for i := range 12 {
		fmt.Fprintf(&b, `{"code":{"coding":[{"system":"http://loinc.org","code":"8302-%d",`+
			`"display":"Body Height"}],"text":"Body Height"},`+
			`"valueQuantity":{"value":181.%d,"unit":"cm"}},`, i, i)
	}
	b.WriteString(`{}]}`)
	return b.Bytes()
}

// indented is sample as some servers write it.
func indented(b *testing.B) []byte {
	b.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, sample(), "", "  "); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

func bench(b *testing.B, line []byte, scan func([]byte) error) {
	b.Helper()
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if err := scan(line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLine(b *testing.B) {
	s := scan.New(key)
	line := func(line []byte) error { _, err := s.Line(line); return err }
	b.Run("compact", func(b *testing.B) { bench(b, sample(), line) })
	b.Run("indented", func(b *testing.B) { bench(b, indented(b), line) })
}

func BenchmarkFacts(b *testing.B) {
	s := scan.New(key)
	bench(b, sample(), func(line []byte) error { _, err := s.Facts(line); return err })
}

func BenchmarkCompact(b *testing.B) {
	var dst []byte
	squeeze := func(line []byte) error { dst = scan.Compact(dst[:0], line); return nil }
	b.Run("compact", func(b *testing.B) { bench(b, sample(), squeeze) })
	b.Run("indented", func(b *testing.B) { bench(b, indented(b), squeeze) })
}
