package fhirsync

import (
	"fmt"
	"math"
	"time"
)

// The guard holds a type when a run looks as if the source lied or broke: the
// numbers are those of archive.md 9. It never holds more than the type.

// A Past is what the mirror held before a run.
type Past struct {
	Records int // live records of the type
	Removed int // tombstones of the type in the 30 days before
}

// before reads what the mirror held before this run.
func (s *syncer) before() (map[string]Past, error) {
	past := map[string]Past{}
	runs, err := s.m.Runs()
	if err != nil {
		return nil, err
	}
	var last uint32
	for _, r := range runs {
		if r.Source != s.o.Source.Name || r.Closing == 0 {
			continue
		}
		last = max(last, r.Number)
		if s.o.Now().Sub(r.Ended) > 30*24*time.Hour {
			continue
		}
		for t, c := range r.Counts {
			p := past[t]
			p.Removed += c.Removed
			past[t] = p
		}
	}
	if last == 0 {
		return past, nil
	}
	snap, err := s.m.AsOf(last)
	if err != nil {
		return nil, err
	}
	counts, err := snap.Counts(s.o.Source.Name)
	for t, n := range counts {
		p := past[t]
		p.Records = n
		past[t] = p
	}
	return past, err
}

// guard looks at every row of the report.
func (s *syncer) guard(past map[string]Past) {
	if s.nothing(past) {
		s.report.broken = true
		s.report.Notes = append(s.report.Notes,
			"The EMR gave no record at all. That is never taken as a success; nothing was changed.")
	}
	for i := range s.report.Types {
		r := &s.report.Types[i]
		r.Held = Suspect(*r, past[r.Type])
	}
}

// nothing reports whether a run that compared everything got no line.
func (s *syncer) nothing(map[string]Past) bool {
	if s.report.interrupted || !s.report.Full {
		return false
	}
	for _, r := range s.report.Types {
		if r.Listed > 0 {
			return false
		}
	}
	return true
}

func over(n, floor, of int, share float64) bool {
	return n > floor && float64(n) > share*float64(of)
}

// Suspect says why a type is to be held, or "" if it is not: a pure function of
// what a run brought and what was there before.
func Suspect(r TypeRow, past Past) string {
	removed := past.Removed + r.Removed
	switch {
	case over(r.Removed, 20, past.Records, 0.005):
		return fmt.Sprintf("%d of %d records would be marked as removed at the EMR", r.Removed, past.Records)
	case r.Removed > 0 && over(removed, 60, past.Records, 0.02):
		return fmt.Sprintf("%d records were marked as removed within 30 days", removed)
	}
	if !r.Full || r.Gap != "" {
		return ""
	}
	lost := past.Records - r.Removed - (r.Listed - r.Quarantine)
	switch {
	case past.Records > 100 && r.Listed == 0:
		return fmt.Sprintf("the EMR gave none; there were %d", past.Records)
	case r.Type == "Patient" && over(lost, 5, past.Records, 0.001):
		return fmt.Sprintf("the EMR gave %d patients fewer than the %d before", lost, past.Records)
	case r.Type == "Patient" && past.Records > 0 && over(r.New, 20, past.Records, 0.2):
		return fmt.Sprintf("%d patients are new where there were %d: are they this practice's?", r.New, past.Records)
	case over(lost, 20, past.Records, 0.01):
		return fmt.Sprintf("the EMR gave %d records fewer than the %d before", lost, past.Records)
	case over(r.Changed, 200, past.Records, 0.2) && sizeChange(r) > 0.4:
		return fmt.Sprintf("%d records changed at once, and their size by %.0f %%", r.Changed, 100*sizeChange(r))
	case over(r.Quarantine, 0, r.Lines, 0.01) && past.Records > 0:
		return fmt.Sprintf("%d of %d lines are no resource", r.Quarantine, r.Lines)
	}
	return ""
}

// sizeChange is how much the changed records grew or shrank, as a share.
func sizeChange(r TypeRow) float64 {
	if r.SizeBefore == 0 {
		return 0
	}
	return math.Abs(float64(r.SizeAfter-r.SizeBefore)) / float64(r.SizeBefore)
}
