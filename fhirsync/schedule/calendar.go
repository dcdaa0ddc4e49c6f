package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Calendar is when something is due, by the practice's clock: all entries
// together. The zero Calendar is never due.
//
// As a setting it is text: "daily 02:00, 12:30", "Mon-Fri 12:30, 19:00; Sun 02:00",
// "every 4 h", "monthly 1 07:00", "off".
type Calendar []Entry

// An Entry is some days and, on each of them, either times of day or every so
// often.
type Entry struct {
	// Days are the weekdays; not used if Month is set.
	Days Days
	// Month, 1 to 28, is the day of each month.
	Month int
	// At are the times of day, rising.
	At []Clock
	// Every is counted in hours that pass, from midnight on, and begins anew at
	// each midnight: two due times are never further apart, whatever the clock
	// does. From five minutes to 24 hours.
	Every time.Duration
}

const (
	minEvery = 5 * time.Minute
	maxEvery = 24 * time.Hour
	maxTimes = 96 // times of day in one calendar
)

// check says what is wrong in a calendar that was not parsed.
func (c Calendar) check() error {
	times := 0
	for _, e := range c {
		if err := e.check(); err != nil {
			return err
		}
		times += len(e.At)
	}
	if times > maxTimes {
		return fmt.Errorf("%d times of day are too many; write every 15 min", times)
	}
	return nil
}

func (e Entry) check() error {
	switch {
	case e.Month < 0 || e.Month > 28:
		return fmt.Errorf("%d is no day that each month has; write 1 to 28", e.Month)
	case e.Days > Daily || e.Month == 0 && e.Days == 0:
		return errors.New("a time of day without a day; write daily 02:00")
	case len(e.At) == 0 && e.Every == 0:
		return fmt.Errorf("%q has no time of day; write %s 02:00", e.days(), e.days())
	case len(e.At) > 0 && e.Every != 0:
		return errors.New(`write either times of day or "every 4 h", or part the two with ";"`)
	case len(e.At) == 0 && (e.Every < minEvery || e.Every > maxEvery || e.Every%time.Minute != 0):
		return fmt.Errorf("every %s: write 5 min to 24 h, or weekdays with times", Span(e.Every))
	case !slices.IsSorted(e.At) || len(slices.Compact(slices.Clone(e.At))) != len(e.At):
		return errors.New("the times of day are not in order")
	case len(e.At) > 0 && (e.At[0] < 0 || e.At[len(e.At)-1] >= 24*60):
		return errors.New("a time of day is not between 00:00 and 23:59")
	}
	return nil
}

func (e Entry) days() string {
	if e.Month > 0 {
		return fmt.Sprintf("monthly %d", e.Month)
	}
	return e.Days.String()
}

// String returns the text that ParseCalendar reads as the same calendar.
func (c Calendar) String() string {
	if len(c) == 0 {
		return "off"
	}
	parts := make([]string, len(c))
	for i, e := range c {
		parts[i] = e.String()
	}
	return strings.Join(parts, "; ")
}

// String returns the text of one entry.
func (e Entry) String() string {
	if e.Every == 0 {
		return e.days() + " " + strings.Join(clocks(e.At), ", ")
	}
	if every := "every " + e.every(); e.Month == 0 && e.Days == Daily {
		return every
	}
	return e.days() + " every " + e.every()
}

// every returns "4 h" or "90 min".
func (e Entry) every() string {
	if e.Every%time.Hour == 0 {
		return fmt.Sprintf("%d h", e.Every/time.Hour)
	}
	return fmt.Sprintf("%d min", e.Every/time.Minute)
}

func clocks(at []Clock) []string {
	list := make([]string, len(at))
	for i, c := range at {
		list[i] = c.String()
	}
	return list
}

// Words says the calendar to people: "every day at 02:00 and 12:30".
func (c Calendar) Words() string {
	if len(c) == 0 {
		return "never"
	}
	parts := make([]string, len(c))
	for i, e := range c {
		parts[i] = e.Words()
	}
	return strings.Join(parts, "; ")
}

// Words says one entry to people.
func (e Entry) Words() string {
	switch {
	case e.Every == 0:
		return e.dayWords() + " at " + list(clocks(e.At))
	case e.Month == 0 && e.Days == Daily:
		return "every " + e.every()
	}
	return e.dayWords() + " every " + e.every()
}

func (e Entry) dayWords() string {
	switch {
	case e.Month > 0:
		return fmt.Sprintf("on day %d of each month", e.Month)
	case e.Days == Daily:
		return "every day"
	}
	words := e.Days.Words()
	if strings.Contains(words, " to ") {
		return words
	}
	return "on " + words
}

// MarshalText implements encoding.TextMarshaler.
func (c Calendar) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Calendar) UnmarshalText(b []byte) (err error) {
	*c, err = ParseCalendar(string(b))
	return err
}

// Describe says the two plans of a source in one line, as the schedule page shows
// them: "every day at 02:00 and 12:30; compared whole on Sundays". A vendor's rule
// that moves something is named.
func Describe(pull, full Plan) string {
	words := pull.Calendar.Words()
	switch {
	case len(full.Calendar) == 0:
		words += "; never compared whole"
	case len(full.Calendar) == 1 && shares(pull.Calendar, full.Calendar[0]):
		words += "; compared whole " + full.Calendar[0].dayWords()
	default:
		words += "; compared whole " + full.Calendar.Words()
	}
	if moved := Moved(pull) + Moved(full); moved != "" {
		words += fmt.Sprintf("; kept between %s and %s by %s", ruleOf(pull, full).From,
			ruleOf(pull, full).To, ruleOf(pull, full).Name)
	}
	return words
}

// ruleOf returns the rule of the first of the two plans that has one.
func ruleOf(a, b Plan) *Rule {
	if a.Rule != nil {
		return a.Rule
	}
	return b.Rule
}

// shares reports whether the entry's times of day are all times of the calendar on
// those days, so that naming them again would say nothing.
func shares(c Calendar, e Entry) bool {
	if e.Every != 0 || e.Month != 0 {
		return false
	}
	return slices.ContainsFunc(c, func(o Entry) bool {
		return o.Days&e.Days == e.Days && len(e.At) == 1 && slices.Contains(o.At, e.At[0])
	})
}
