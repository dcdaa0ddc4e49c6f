package scan_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"chartcellar/store/scan"
)

// FuzzLine compares Line and Facts with the oracle.
func FuzzLine(f *testing.F) {
	for _, line := range different {
		f.Add([]byte(line))
	}
	for _, group := range same {
		f.Add([]byte(group[len(group)-1]))
	}
	s := scan.New(key)
	f.Fuzz(func(t *testing.T, line []byte) {
		check(t, s, line)
	})
}

// FuzzCompact compares Compact with that of encoding/json; a text that is no JSON
// only must not end the program.
func FuzzCompact(f *testing.F) {
	for _, group := range same {
		f.Add([]byte(group[len(group)-1]))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		before := bytes.Clone(src)
		got := scan.Compact([]byte("before"), src)
		if !bytes.Equal(src, before) {
			t.Fatalf("Compact changed its source %q", before)
		}
		want := bytes.NewBufferString("before")
		if json.Compact(want, src) == nil && !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("Compact(%q) = %q, want %q", src, got, want)
		}
	})
}
