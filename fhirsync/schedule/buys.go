package schedule

import (
	"fmt"
	"slices"
	"time"
)

// A Loss is what is lost at worst if the source vanishes and the computer was on.
type Loss struct {
	// Span is from the beginning of one run to the end of the next; zero if
	// nothing ever runs.
	Span time.Duration
	// Night is the same on the night on which the clock goes back, if that is
	// more; else zero.
	Night time.Duration
	// From and To are the two due times of Span in an ordinary week: their
	// weekday and time of day are of use, their date is not.
	From, To time.Time
}

// WorstLoss returns the longest time between two due times of an ordinary week, and
// of the nights within a year from now on which the clock goes back, each with the
// time that a run typically takes.
func WorstLoss(p Plan, typical time.Duration, now time.Time) Loss {
	week := p
	week.Zone = time.UTC
	monday := time.Date(2001, time.January, 1, 0, 0, 0, 0, time.UTC)
	var l Loss
	l.Span, l.From, l.To = week.longest(monday, monday.AddDate(0, 0, 70))
	if l.Span == 0 {
		return l
	}
	for t, year := now.In(p.Zone), now.AddDate(1, 0, 0); ; {
		_, end := t.ZoneBounds()
		if end.IsZero() || end.After(year) {
			break
		}
		t = end
		span, _, _ := p.longest(end.AddDate(0, 0, -33), end.AddDate(0, 0, 33))
		l.Night = max(l.Night, span)
	}
	months := slices.ContainsFunc(p.Calendar, func(e Entry) bool { return e.Month > 0 })
	if l.Night <= l.Span || months { // months differ by days: an hour says nothing
		l.Night = 0
	} else {
		l.Night += typical
	}
	l.Span += typical
	return l
}

func (p Plan) longest(from, to time.Time) (span time.Duration, a, b time.Time) {
	times := p.Between(from, to)
	for i := 1; i < len(times); i++ {
		if d := times[i].Sub(times[i-1]); d > span {
			span, a, b = d, times[i-1], times[i]
		}
	}
	return span, a, b
}

// String returns the sentence of the schedule page: "With this schedule you lose at
// most 4 h of charting."
func (l Loss) String() string {
	switch {
	case l.Span == 0:
		return "With this schedule nothing is fetched, and everything new can be lost."
	case l.Night > 0:
		return fmt.Sprintf("With this schedule you lose at most %s of charting (%s on the night the clock goes back).",
			Span(l.Span), Span(l.Night))
	}
	return fmt.Sprintf("With this schedule you lose at most %s of charting.", Span(l.Span))
}

// Overdue reports whether a due time has had no success although grace is over, and
// since when. Success is when the last run that succeeded began; with none, pass
// when the source was set up.
//
// Zero, and a success that lies in the future, are not known, and what is not known
// is overdue. A changed schedule counts as if it had always been so: changing it makes
// nothing good. A plan that is off is never overdue.
func Overdue(p Plan, success, now time.Time, grace time.Duration) (since time.Time, overdue bool) {
	if len(p.Calendar) == 0 {
		return time.Time{}, false
	}
	if success.IsZero() || success.After(now.Add(slack)) {
		return now, true
	}
	since = p.next(success).Add(grace)
	return since, !now.Before(since)
}

// Thirtieths is how many slices the mirror has for Verify.
const Thirtieths = 30

// cover is how old the last check of a slice may become.
const cover = 30 * 24 * time.Hour

// Slices says which thirtieths a verification at now reads, the longest unread
// first, when the one after it is due at next (zero: in a day). Last is when each
// was read last; for one that never was, pass when the mirror was made, or zero to
// have it read at once.
//
// If verifications run when they are due, no slice is ever older than 30 days; if
// some are missed, the first one that runs reads all that it takes to keep that. A
// slice read in the future was read at an unknown time.
func Slices(last [Thirtieths]time.Time, now, next time.Time) []int {
	if !next.After(now) {
		next = now.Add(24 * time.Hour)
	}
	gap := next.Sub(now)
	for i, t := range last {
		if t.After(now.Add(slack)) {
			last[i] = time.Time{}
		}
	}
	order := make([]int, Thirtieths)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return last[a].Compare(last[b]) })
	// The next run may be late by half a day: what would be too old by then is
	// read now. The share keeps the work even.
	n := max(1, int(gap*Thirtieths/cover))
	for n < Thirtieths && !last[order[n]].Add(cover).After(next.Add(12*time.Hour)) {
		n++
	}
	return order[:min(n, Thirtieths)]
}

// The rule of the journal's packing (archive.md 1).
const (
	PackAge   = 5 * time.Minute
	PackBytes = 256 << 10
)

// PackDue returns when the journal is to be packed: at once if it has reached 256
// KiB, else five minutes after its oldest line. It is zero with nothing to pack. A
// line from the future is packed at once.
func PackDue(oldest time.Time, bytes int64, now time.Time) time.Time {
	switch {
	case bytes <= 0:
		return time.Time{}
	case bytes >= PackBytes || oldest.After(now):
		return now
	}
	return oldest.Add(PackAge)
}
