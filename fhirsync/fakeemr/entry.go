package fakeemr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

// An entry is one resource in a list of them. It is not changed once it is made.
type entry struct {
	id      string
	patient string // id of the patient it refers to first; "" for none
	stamp   int64  // meta.lastUpdated, in microseconds
	until   int64  // where the interval ends that it was written with
	line    []byte // nil: it is in file
	file    *os.File
	off     int64
	size    int
}

// newEntry reads what a search needs from a line, which it keeps. A line
// without meta.lastUpdated has the stamp 0.
func newEntry(line []byte) *entry {
	h := headOf(line)
	e := &entry{id: h.id, patient: patientOf(line), line: line}
	e.stamp, e.until, _ = span(h.stamp) // no stamp: 0
	return e
}

// bytes returns the line, which must not be modified.
func (e *entry) bytes() ([]byte, error) {
	if e.line != nil {
		return e.line, nil
	}
	b := make([]byte, e.size)
	if _, err := e.file.ReadAt(b, e.off); err != nil {
		return nil, fmt.Errorf("read a served line: %w", err)
	}
	return b, nil
}

// stamped returns the entry with a stamp: its own, or t.
func (e *entry) stamped(t time.Time) *entry {
	if e.until != 0 {
		return e
	}
	c := *e
	c.stamp = t.UnixMicro()
	c.until = c.stamp + 1000
	return &c
}

// A heading is what the EMR reads from a line.
type heading struct{ id, version, stamp string }

// usual is how lines begin that the generator or Put has made.
var usual = regexp.MustCompile(`^\{"resourceType":"\w+","id":"([^"\\]+)","meta":\{"versionId":"([^"\\]*)","lastUpdated":"([^"\\]*)"`)

func headOf(line []byte) heading {
	if m := usual.FindSubmatchIndex(line); m != nil {
		return heading{string(line[m[2]:m[3]]), string(line[m[4]:m[5]]), string(line[m[6]:m[7]])}
	}
	var h struct {
		ID   string `json:"id"`
		Meta struct {
			VersionID   string `json:"versionId"`
			LastUpdated string `json:"lastUpdated"`
		} `json:"meta"`
	}
	json.Unmarshal(line, &h) // a line that is no resource has none of it
	return heading{h.ID, h.Meta.VersionID, h.Meta.LastUpdated}
}

// patientOf returns the id of the patient that a line refers to first.
func patientOf(line []byte) string {
	const mark = `"Patient/`
	for at := 0; ; {
		i := bytes.Index(line[at:], []byte(mark))
		if i < 0 {
			return ""
		}
		before := bytes.TrimRight(line[:at+i], " ")
		at += i + len(mark)
		end := bytes.IndexByte(line[at:], '"')
		before, colon := bytes.CutSuffix(before, []byte{':'})
		if end > 0 && colon && bytes.HasSuffix(bytes.TrimRight(before, " "), []byte(`"reference"`)) {
			return string(line[at : at+end])
		}
	}
}

// span returns the interval that a FHIR date, dateTime or instant means, in
// microseconds: the whole year, day, second that was named. Without a zone it
// is UTC.
func span(s string) (from, to int64, ok bool) {
	day, clock, timed := strings.Cut(s, "T")
	if !timed {
		return daySpan(day)
	}
	if i := strings.IndexAny(clock, "Z+-"); i < 0 {
		s, clock = s+"Z", clock+"Z"
	}
	at := strings.IndexAny(clock, "Z+-")
	if at == len("15:04") {
		s = day + "T" + clock[:at] + ":00" + clock[at:]
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || strings.Contains(clock, ",") {
		return 0, 0, false
	}
	step := int64(1_000_000)
	switch {
	case at == len("15:04"):
		step *= 60
	case at > len("15:04:05."):
		for range min(6, at-len("15:04:05.")) {
			step /= 10
		}
	}
	from = t.UnixMicro() / step * step
	if t.UnixMicro() < from {
		from -= step
	}
	return from, from + step, true
}

func daySpan(s string) (from, to int64, ok bool) {
	for layout, next := range map[string][3]int{"2006": {1, 0, 0}, "2006-01": {0, 1, 0}, "2006-01-02": {0, 0, 1}} {
		if len(layout) != len(s) {
			continue
		}
		t, err := time.Parse(layout, s)
		return t.UnixMicro(), t.AddDate(next[0], next[1], next[2]).UnixMicro(), err == nil
	}
	return 0, 0, false
}
