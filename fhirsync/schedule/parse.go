package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

const maxText = 1000

// ParseCalendar reads a calendar as people write it. Entries are parted by ";";
// days and times may come in either order, in any case, with "at", "on" and "and"
// between them. Every error quotes what is wrong and says what to write.
func ParseCalendar(text string) (Calendar, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("a schedule of %d characters is too long", len(text))
	}
	lower := strings.ToLower(strings.TrimSpace(text))
	switch lower {
	case "off", "never":
		return nil, nil
	case "":
		return nil, errors.New(`the schedule is empty; write "daily 02:00", or "off"`)
	}
	var c Calendar
	for part := range strings.SplitSeq(strings.NewReplacer("–", "-", "\n", ";").Replace(lower), ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		e, err := parseEntry(part)
		if err != nil {
			return nil, err
		}
		c = c.with(e)
	}
	if len(c) == 0 {
		return nil, errors.New(`the schedule is empty; write "daily 02:00", or "off"`)
	}
	return c, c.check()
}

// with adds an entry; times on the same days become one entry.
func (c Calendar) with(e Entry) Calendar {
	for i := range c {
		o := &c[i]
		if o.days() != e.days() || o.Every != e.Every {
			continue
		}
		o.At = append(o.At, e.At...)
		slices.Sort(o.At)
		o.At = slices.Compact(o.At)
		return c
	}
	return append(c, e)
}

// A reader takes the words of one entry.
type reader struct {
	text   string
	words  []string
	entry  Entry
	days   bool // the entry names days
	blocks []byte
}

func parseEntry(text string) (Entry, error) {
	r := reader{text: strings.TrimSpace(text)}
	r.words = strings.FieldsFunc(strings.ReplaceAll(text, " - ", "-"), func(c rune) bool {
		return unicode.IsSpace(c) || c == ','
	})
	for len(r.words) > 0 {
		if err := r.word(); err != nil {
			return Entry{}, err
		}
	}
	if len(r.blocks) > 2 {
		return Entry{}, fmt.Errorf(`%q has days and times by turns; part them with ";", as in "Mon 02:00; Tue 03:00"`, r.text)
	}
	if !r.days && (len(r.entry.At) > 0 || r.entry.Every > 0) {
		r.entry.Days = Daily
	}
	slices.Sort(r.entry.At)
	r.entry.At = slices.Compact(r.entry.At)
	if r.entry.Days == 0 && r.entry.Month == 0 {
		return Entry{}, fmt.Errorf("%q has no time of day; write daily 02:00", r.text)
	}
	return r.entry, r.entry.check()
}

func (r *reader) next() (w string) {
	if len(r.words) > 0 {
		w, r.words = r.words[0], r.words[1:]
	}
	return w
}

// saw notes a block of days or of times.
func (r *reader) saw(block byte) {
	if len(r.blocks) == 0 || r.blocks[len(r.blocks)-1] != block {
		r.blocks = append(r.blocks, block)
	}
}

func (r *reader) word() error {
	w := r.next()
	switch w {
	case "at", "on", "and":
		return nil
	case "every":
		return r.every()
	case "monthly":
		return r.monthly()
	}
	if w[0] >= '0' && w[0] <= '9' || strings.Contains(w, ":") {
		r.saw('t')
		c, err := ParseClock(w)
		r.entry.At = append(r.entry.At, c)
		return err
	}
	return r.weekdays(w)
}

func (r *reader) weekdays(w string) error {
	r.saw('d')
	r.days = true
	d, err := parseDays(w)
	r.entry.Days |= d
	if err == nil && r.entry.Month > 0 {
		err = fmt.Errorf(`%q has a day of the month and weekdays; part them with ";"`, r.text)
	}
	return err
}

// every reads what follows the word: "day", "4 h", "30min".
func (r *reader) every() error {
	w := r.next()
	if w == "day" || w == "night" {
		return r.weekdays("daily")
	}
	if d, err := parseDays(w); err == nil && d != 0 {
		return r.weekdays(w)
	}
	r.saw('t')
	digits := len(w) - len(strings.TrimLeft(w, "0123456789"))
	n, ok := number(w[:digits])
	unit := w[digits:]
	if ok && unit == "" {
		unit = r.next()
	}
	size := map[string]time.Duration{"h": time.Hour, "hour": time.Hour, "hours": time.Hour,
		"min": time.Minute, "minute": time.Minute, "minutes": time.Minute}[unit]
	every := time.Duration(n) * size
	switch {
	case !ok || size == 0:
		return fmt.Errorf("%q is no length of time; write every 4 h or every 30 min", strings.TrimSpace("every "+w))
	case every < minEvery || every > maxEvery:
		return fmt.Errorf("every %d %s: write 5 min to 24 h, or weekdays with times", n, unit)
	case r.entry.Every != 0:
		return fmt.Errorf(`%q says "every" twice; part them with ";"`, r.text)
	}
	r.entry.Every = every
	return nil
}

func (r *reader) monthly() error {
	r.saw('d')
	for len(r.words) > 0 && (r.words[0] == "on" || r.words[0] == "day") {
		r.next()
	}
	w := r.next()
	n, ok := number(w)
	switch {
	case !ok || n < 1 || n > 28:
		return fmt.Errorf("%q is no day that each month has; write monthly 1 07:00, with 1 to 28", w)
	case r.entry.Month != 0 || r.entry.Days != 0:
		return fmt.Errorf(`%q names two kinds of days; part them with ";"`, r.text)
	}
	r.entry.Month, r.days = n, true
	return nil
}

// parseDays reads a weekday, a span of them, or a word for some.
func parseDays(w string) (Days, error) {
	switch w {
	case "daily", "nightly":
		return Daily, nil
	case "weekdays", "workdays":
		return Weekdays, nil
	case "weekend", "weekends":
		return weekend, nil
	}
	first, last, span := strings.Cut(w, "-")
	from, ok := weekday(first)
	to := from
	if span && ok {
		to, ok = weekday(last)
	}
	if !ok {
		return 0, fmt.Errorf("%q is no weekday; write Mon, Tue, Wed, Thu, Fri, Sat, Sun or daily", w)
	}
	d := On(from)
	for from != to {
		from = (from + 1) % 7
		d |= On(from)
	}
	return d, nil
}

// weekday reads mon, monday and mondays.
func weekday(w string) (time.Weekday, bool) {
	for d := range time.Weekday(7) {
		name := strings.ToLower(d.String())
		if w == name[:3] || w == name || w == name+"s" {
			return d, true
		}
	}
	return 0, false
}
