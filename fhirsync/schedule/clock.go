package schedule

import (
	"fmt"
	"math/bits"
	"strings"
	"time"
)

// A Clock is a time of day in minutes after midnight, 0 to 1439.
type Clock int

// At returns the time of day h:m.
func At(h, m int) Clock { return Clock(60*h + m) }

// String returns "02:00".
func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", int(c)/60, int(c)%60) }

// ParseClock reads 02:00 or 2:00. The error says what to write.
func ParseClock(text string) (Clock, error) {
	h, m, ok := strings.Cut(text, ":")
	hour, hok := number(h)
	minute, mok := number(m)
	switch {
	case ok && h == "24" && m == "00":
		return 0, fmt.Errorf("%q is no time of day; write 00:00", text)
	case !ok || !hok || !mok || len(m) != 2 || hour > 23 || minute > 59:
		return 0, fmt.Errorf("%q is no time of day; write 02:00", text)
	}
	return At(hour, minute), nil
}

// number reads one to four digits and nothing else.
func number(s string) (n int, ok bool) {
	if len(s) == 0 || len(s) > 4 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n, true
}

// MarshalText implements encoding.TextMarshaler.
func (c Clock) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Clock) UnmarshalText(b []byte) (err error) {
	*c, err = ParseClock(string(b))
	return err
}

// Days is a set of weekdays.
type Days uint8

// Daily is every day, Weekdays Monday to Friday.
const (
	Daily    Days = 1<<7 - 1
	Weekdays Days = 1<<time.Monday | 1<<time.Tuesday | 1<<time.Wednesday | 1<<time.Thursday | 1<<time.Friday
	weekend  Days = 1<<time.Saturday | 1<<time.Sunday
)

// On returns the set of these weekdays.
func On(days ...time.Weekday) (d Days) {
	for _, w := range days {
		d |= 1 << w
	}
	return d
}

// Has reports whether the weekday is in the set.
func (d Days) Has(w time.Weekday) bool { return d&(1<<w) != 0 }

// week returns the weekdays of the set, Monday first.
func (d Days) week() (list []time.Weekday) {
	for i := range 7 {
		if w := time.Weekday((i + 1) % 7); d.Has(w) {
			list = append(list, w)
		}
	}
	return list
}

// String returns "daily" or "Mon-Fri" or "Mon, Wed".
func (d Days) String() string {
	if d == Daily {
		return "daily"
	}
	short := func(w time.Weekday) string { return w.String()[:3] }
	return strings.Join(d.spans(short, "-"), ", ")
}

// Words returns "every day" or "Monday to Friday" or "Mondays and Wednesdays".
func (d Days) Words() string {
	if d == Daily {
		return "every day"
	}
	if bits.OnesCount8(uint8(d)) > 2 {
		return list(d.spans(time.Weekday.String, " to "))
	}
	return list(d.spans(func(w time.Weekday) string { return w.String() + "s" }, " to "))
}

// spans names the weekdays, three and more that follow each other as one span.
func (d Days) spans(name func(time.Weekday) string, to string) (parts []string) {
	week := d.week()
	for len(week) > 0 {
		n := 1
		for n < len(week) && (week[n]+6)%7 == (week[n-1]+6)%7+1 {
			n++
		}
		if n < 3 {
			parts = append(parts, name(week[0]))
			week = week[1:]
			continue
		}
		parts = append(parts, name(week[0])+to+name(week[n-1]))
		week = week[n:]
	}
	return parts
}

// list joins "a", "b" and "c" to "a, b and c".
func list(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	last := len(parts) - 1
	return strings.Join(parts[:last], ", ") + " and " + parts[last]
}

// Span says a length of time for people, rounded up to the minute: "4 h",
// "1 h 30 min", "3 days 4 h".
func Span(d time.Duration) string {
	minutes := int64((d + time.Minute - 1) / time.Minute)
	days := int64(0)
	if minutes >= 48*60 {
		days, minutes = minutes/(24*60), minutes%(24*60)
	}
	var parts []string
	for _, p := range []struct {
		n    int64
		unit string
	}{{days, "days"}, {minutes / 60, "h"}, {minutes % 60, "min"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.unit))
		}
	}
	if len(parts) == 0 {
		return "0 min"
	}
	return strings.Join(parts, " ")
}
