package main

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestTableCutsNothing: whatever the width, every word of every cell is there, and
// words shorter than longWord are whole.
func TestTableCutsNothing(t *testing.T) {
	word := rapid.StringMatching(`[a-zé王]{1,50}`)
	cell := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(word, 0, 5).Draw(t, "words"), " ") })
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "columns")
		rows := rapid.SliceOfN(rapid.SliceOfN(cell, n, n), 1, 4).Draw(t, "rows")
		var b bytes.Buffer
		head := strings.Fields("a b c d e")[:n]
		printTable(&b, "  ", rapid.IntRange(20, 200).Draw(t, "wide"), head, rows, nil)
		letters := strings.Join(strings.Fields(b.String()), "")
		want := 0
		for i, h := range head {
			used := false
			for _, r := range rows {
				used = used || r[i] != ""
				want += len(strings.ReplaceAll(r[i], " ", ""))
				for w := range strings.FieldsSeq(r[i]) {
					if columns(w) <= longWord && !strings.Contains(b.String(), w) {
						t.Fatalf("%q is not in\n%s", w, b.String())
					}
				}
			}
			if used {
				want += len(h)
			}
		}
		if len(letters) != want {
			t.Fatalf("%d bytes, want %d:\n%s", len(letters), want, b.String())
		}
	})
}

func TestColumns(t *testing.T) {
	for s, want := range map[string]int{"": 0, "abc": 3, "é": 1, "e\u0301": 1, "王": 2, "ليلى": 4} {
		if got := columns(s); got != want {
			t.Errorf("columns(%q) = %d, want %d", s, got, want)
		}
	}
}
