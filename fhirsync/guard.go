package fhirsync

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"chartcellar/store/index"
)

// The guard holds a type when a run looks as if the source lied or broke: the
// numbers are those of archive.md 9. It never holds more than the type.

// A Past is what the mirror held of a type of the source before a run.
type Past struct {
	Records int // live records
	Removed int // tombstones in the 30 days before
	// Surplus is by how many the mirror had more than the last whole listing that
	// counts, with what was read by its id since: what was accepted then is not
	// held again, and a type that the EMR never lists is not missed.
	Surplus int
}

// listed is how many records a whole listing gave, or should have given.
func (p Past) listed() int { return p.Records - p.Surplus }

// before reads what the mirror held before this run.
func (s *syncer) before() (map[string]Past, error) {
	past := map[string]Past{}
	runs, err := s.m.Runs() // newest first
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
	seen := map[string]bool{}
	for _, r := range runs {
		if r.Source != s.o.Source.Name || r.Kind != "sync" || r.Closing == 0 {
			continue
		}
		if len(seen) == len(counts) || s.o.Now().Sub(r.Ended) > 60*24*time.Hour {
			break // every type has been listed since, or long ago
		}
		record, rerr := s.m.RunRecord(r.Number)
		if rerr != nil {
			return nil, rerr
		}
		surplus(past, seen, r.States, record)
	}
	return past, err
}

// surplus takes from a run's report by how many the mirror had more than its whole
// listings, if they count and no newer one was looked at, and what the newer runs
// read beside.
func surplus(past map[string]Past, seen map[string]bool, states index.RunStates, record []byte) {
	var rep Report
	if json.Unmarshal(record, &rep) != nil {
		return
	}
	for _, row := range rep.Types {
		state, special := states.Types[row.Type]
		counts := !special && states.All == index.Applied || state == index.Applied
		if seen[row.Type] {
			continue
		}
		p := past[row.Type]
		if row.Full && (row.Gap == "" || row.GapKind == "line") && counts {
			seen[row.Type] = true
			p.Surplus += max(0, row.Mirror-(row.Listed-row.Quarantine))
		} else {
			p.Surplus += row.Followed
		}
		past[row.Type] = p
	}
}

// guard looks at every row of the report.
func (s *syncer) guard(waiting map[string]uint32) {
	if s.nothing() {
		s.report.broken = true
		s.note("The EMR gave no record at all. That is never taken as a success; nothing was changed.")
	}
	for i := range s.report.Types {
		r := &s.report.Types[i]
		r.Held, r.Waits = Suspect(*r, s.past[r.Type]), waiting[r.Type]
		if r.Type == "Patient" && r.Held == "" && r.Full && s.canaryGone() {
			r.Held = "the patient who was chosen to tell this practice from others is not among those the EMR gave"
		}
	}
}

// nothing reports whether a run that compared everything got no line.
func (s *syncer) nothing() bool {
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

// canaryGone reports whether the patient who must always be there was not.
func (s *syncer) canaryGone() bool {
	return s.o.Source.Canary != "" && !s.report.interrupted && !s.run.Seen("Patient", s.o.Source.Canary)
}

// few is how many records of a type may go at once without the guard.
const few = 20

func over(n, floor, of int, share float64) bool {
	return n > floor && float64(n) > share*float64(of)
}

// Suspect says why a type is to be held, or "" if it is not: a pure function of
// what a run brought and what was there before.
func Suspect(r TypeRow, past Past) string {
	gone := r.Removed - r.Accepted
	removed := past.Removed + gone
	switch {
	case over(gone, few, past.Records, 0.005):
		return fmt.Sprintf("%d of %d records would be marked as removed at the EMR", r.Removed, past.Records)
	case gone > 0 && over(removed, 60, past.Records, 0.02):
		return fmt.Sprintf("%d records were marked as removed within 30 days", removed)
	}
	if !r.Full || r.Gap != "" && r.GapKind != "line" {
		return ""
	}
	// Fewer than before, or others than before.
	lost := max(past.listed()-(r.Listed-r.Quarantine), r.Lacking-past.Surplus) - r.Removed
	switch {
	case past.listed() > 100 && r.Listed == 0:
		return fmt.Sprintf("the EMR gave none; there were %d", past.Records)
	case r.Type == "Patient" && over(lost, 5, past.Records, 0.001):
		return fmt.Sprintf("the EMR gave no longer %d of the %d patients of before", lost, past.Records)
	case r.Type == "Patient" && past.Records > 0 && over(r.New, 20, past.Records, 0.2):
		return fmt.Sprintf("%d patients are new where there were %d: are they this practice's?", r.New, past.Records)
	case over(lost, few, past.Records, 0.01):
		return fmt.Sprintf("the EMR gave no longer %d of the %d records of before", lost, past.Records)
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
