package chart

import (
	"fmt"
	"strings"
	"time"
)

// A span is the time that a FHIR date names: a year, a month, a day or a moment.
// Its end is the first moment behind it.
type span struct{ from, to time.Time }

// parseDate reads a date or dateTime of any precision; ok is false for anything
// else.
func parseDate(s string) (span, bool) {
	if s == "" {
		return span{}, false
	}
	for _, form := range []struct {
		layout  string
		y, m, d int
	}{{"2006-01-02", 0, 0, 1}, {"2006-01", 0, 1, 0}, {"2006", 1, 0, 0}} {
		if len(s) != len(form.layout) {
			continue
		}
		if t, err := time.Parse(form.layout, s); err == nil {
			return span{t, t.AddDate(form.y, form.m, form.d)}, true
		}
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00",
		"2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return span{t, t.Add(time.Second)}, true
		}
	}
	return span{}, false
}

// moment is the beginning of what a date names; the zero time if it names none.
func moment(s string) time.Time {
	d, _ := parseDate(s)
	return d.from
}

// compareTimes puts times in order. A day counts from its noon in UTC: so it stands behind
// every moment of the day before and before every one of the next, in whatever zone these
// are given.
func compareTimes(x, y time.Time) int { return noon(x).Compare(noon(y)) }

// noon moves a day, of which nobody knows the zone, to its middle.
func noon(t time.Time) time.Time {
	_, offset := t.Zone()
	if offset != 0 || t.IsZero() || !t.Equal(dayOf(t)) {
		return t
	}
	return t.Add(12 * time.Hour)
}

// showDate returns a date as it is given, without seconds and offset: the day and
// the hour are those of the place where it was written. One in UTC, which is the hour of
// hardly any practice, says so.
func showDate(s string) string {
	day, clock, found := strings.Cut(s, "T")
	if _, ok := parseDate(s); !ok || !found {
		return CleanLine(s)
	}
	switch {
	case len(clock) < 5 || clock[:5] == "00:00":
		return day
	case strings.HasSuffix(clock, "Z") || strings.HasSuffix(clock, "+00:00") || strings.HasSuffix(clock, "-00:00"):
		return day + " " + clock[:5] + " UTC"
	}
	return day + " " + clock[:5]
}

// showDay is showDate without the hour.
func showDay(s string) string {
	day, _, _ := strings.Cut(showDate(s), " ")
	if _, ok := parseDate(s); !ok {
		return CleanLine(s)
	}
	return day
}

// Age returns how old somebody born then is at a time: in years from two years
// on, in months before, in days in the first month. A birth date without a day
// gives the two ages that are possible; one that cannot be read, or lies after at,
// gives "".
func Age(born string, at time.Time) string { return ageBetween(born, at, at) }

// ageBetween is Age on one of the days from first to last.
func ageBetween(born string, first, last time.Time) string {
	b, ok := parseDate(born)
	if first, last = dayOf(first), dayOf(last); !ok || dayOf(b.from).After(last) {
		return ""
	}
	if first.Before(b.from) {
		first = b.from
	}
	youngest := b.to.AddDate(0, 0, -1)
	if youngest.After(first) {
		youngest = first
	}
	if youngest.Before(b.from) {
		youngest = b.from
	}
	old, young := ageOf(b.from, last), ageOf(youngest, first)
	if old == young {
		return old
	}
	n, unit, _ := strings.Cut(young, " ")
	m, same, _ := strings.Cut(old, " ")
	if unit == same {
		return n + "-" + m + " " + unit
	}
	return young + " to " + old
}

// dayOf is the day of a moment, where that is.
func dayOf(at time.Time) time.Time {
	y, m, d := at.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

func ageOf(born, at time.Time) string {
	y, m, d := born.Date()
	ay, am, ad := at.Date()
	months := (ay-y)*12 + int(am) - int(m)
	if ad < d {
		months--
	}
	switch {
	case months >= 24:
		return fmt.Sprintf("%d y", months/12)
	case months >= 1:
		return count(months, "month")
	}
	from := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	return count(int(time.Date(ay, am, ad, 0, 0, 0, 0, time.UTC).Sub(from).Hours()/24), "day")
}

// count writes a number with its noun: 1 record, 2 records.
func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "y") && !strings.HasSuffix(noun, "ay"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(noun, "y"))
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// AgedBetween reports whether somebody born then is from from to before to years old at
// a time, or may be, if the birth date has no day. One without a birth date is not.
func AgedBetween(born string, at time.Time, from, to int) bool {
	b, ok := parseDate(born)
	if !ok || b.from.After(at) {
		return false
	}
	return !b.from.After(at.AddDate(-from, 0, 0)) && b.to.AddDate(0, 0, -1).After(at.AddDate(-to, 0, 0))
}
