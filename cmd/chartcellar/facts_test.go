package main

import (
	"testing"
	"time"

	"chartcellar/fhirsync/schedule"
)

// TestOldestSlice: the whole was read since the thirtieth that waits the longest,
// wherever it stands; what was read lately says nothing of the others.
func TestOldestSlice(t *testing.T) {
	full := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	for _, late := range [][]int{nil, {0}, {29}, {0, 29}, {0, 1, 2, 28, 29}} {
		var r reread
		for _, day := range late {
			r.read(day, full.AddDate(0, 0, 20))
		}
		if got := r.oldest(); !got.IsZero() {
			t.Errorf("slices %v: read since %v, want never", late, got)
		}
		for day := range schedule.Thirtieths {
			r.read(day, full)
		}
		if got := r.oldest(); !got.Equal(full) {
			t.Errorf("slices %v read later: read since %v, want %v", late, got, full)
		}
	}
}

// TestOneLine: a foreign text cannot steer a terminal or break a line.
func TestOneLine(t *testing.T) {
	for _, r := range []rune{0x00, '\n', 0x1b, 0x7f, 0x80, 0x9b, 0x9f, 0x2028, 0x2029, 0x202e, 0x2066} {
		if got := oneLine("a" + string(r) + "b"); got != "a b" {
			t.Errorf("%U: %q", r, got)
		}
	}
	if got := oneLine("Müller Ł 東"); got != "Müller Ł 東" {
		t.Errorf("%q", got)
	}
}
