package schedule

import (
	"fmt"
	"strings"
	"time"
)

// A Window is a part of each day by the practice's clock, without its end. With To
// before From it goes over midnight.
type Window struct{ From, To Clock }

// Quiet returns the hours that a schedule starts with, 20:00 to 05:00. They bind
// nobody: the doctor's schedule wins.
func Quiet() Window { return Window{At(20, 0), At(5, 0)} }

// ParseWindow reads "20:00-05:00".
func ParseWindow(text string) (w Window, err error) {
	from, to, ok := strings.Cut(text, "-")
	if !ok {
		return w, fmt.Errorf("%q are no hours; write them as 20:00-05:00", text)
	}
	if w.From, err = ParseClock(strings.TrimSpace(from)); err != nil {
		return w, err
	}
	w.To, err = ParseClock(strings.TrimSpace(to))
	if err == nil && w.From == w.To {
		err = fmt.Errorf("%q allow no time at all; write them as 20:00-05:00", text)
	}
	return w, err
}

// String returns "20:00-05:00".
func (w Window) String() string { return w.From.String() + "-" + w.To.String() }

// Has reports whether a time of day lies in the window.
func (w Window) Has(c Clock) bool {
	if w.From <= w.To {
		return w.From <= c && c < w.To
	}
	return c >= w.From || c < w.To
}

func (r *Rule) window() Window { return Window{r.From, r.To} }

// on returns when the window that begins on that day opens and closes.
func (w Window) on(d date, zone *time.Location) (from, to time.Time) {
	end := d
	if w.To <= w.From {
		end = d.plus(1)
	}
	return d.at(w.From, zone), end.at(w.To, zone)
}

// into returns t if it lies in the window, else when the window next opens.
func (w Window) into(t time.Time, zone *time.Location) time.Time {
	for d := dateOf(t, zone).plus(-1); ; d = d.plus(1) {
		from, to := w.on(d, zone)
		switch {
		case !t.Before(to) || !from.Before(to): // over, or jumped over by the clock
		case t.Before(from):
			return from
		default:
			return t
		}
	}
}

// Open says when the window that t lies in closes; if t lies in none, when it next
// opens, and open is false.
func (w Window) Open(t time.Time, zone *time.Location) (at time.Time, open bool) {
	if next := w.into(t, zone); !next.Equal(t) {
		return next, false
	}
	for d := dateOf(t, zone).plus(-1); ; d = d.plus(1) {
		if _, to := w.on(d, zone); to.After(t) {
			return to, true
		}
	}
}

// Moved says which times of day a vendor's rule moves, and which rule; "" if none.
func Moved(p Plan) string {
	if p.Rule == nil {
		return ""
	}
	var times []string
	w := p.Rule.window()
	for _, e := range p.Calendar {
		if e.Every != 0 {
			times = append(times, "what is due outside them")
		}
		for _, c := range e.At {
			if !w.Has(c) {
				times = append(times, c.String())
			}
		}
	}
	if len(times) == 0 {
		return ""
	}
	text := fmt.Sprintf("%s allows %s only; %s is moved to %s", p.Rule.Name, w, list(times), w.From)
	if len(times) > 1 {
		text = strings.Replace(text, " is moved", " are moved", 1)
	}
	if p.Rule.Source != "" {
		text += " (" + p.Rule.Source + ")"
	}
	return text
}

// Caution says what to think of before a run now, or "": the run is made anyway.
func Caution(p Plan, quiet Window, now time.Time) string {
	local := now.In(p.Zone)
	c := At(local.Hour(), local.Minute())
	switch {
	case p.Rule != nil && !p.Rule.window().Has(c):
		return fmt.Sprintf("%s asks for %s only; a run now is outside those hours", p.Rule.Name, p.Rule.window())
	case !quiet.Has(c):
		return fmt.Sprintf("it is outside the quiet hours %s: the EMR may be slower for everybody while this runs", quiet)
	}
	return ""
}
