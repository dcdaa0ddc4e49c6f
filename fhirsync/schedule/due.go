package schedule

import (
	"slices"
	"time"
)

// A date is a day of the calendar, kept as its midnight in UTC: adding 24 hours
// leads to the next day, whatever clocks do.
type date struct{ t time.Time }

func dateOf(t time.Time, zone *time.Location) date {
	y, m, d := t.In(zone).Date()
	return date{time.Date(y, m, d, 0, 0, 0, 0, time.UTC)}
}

func (d date) plus(days int) date { return date{d.t.AddDate(0, 0, days)} }

// at returns the moment at which a clock in the zone first shows c, or passes it,
// on that day. A time that the clock jumps over is the moment of the jump; of a
// time that comes twice it is the first.
func (d date) at(c Clock, zone *time.Location) time.Time {
	wall := d.t.Unix() + 60*int64(c)
	t := time.Unix(wall, 0).Add(-36 * time.Hour).In(zone) // no zone is that far ahead
	for {
		start, end := t.ZoneBounds()
		_, offset := t.Zone()
		at := time.Unix(wall-int64(offset), 0).In(zone)
		switch {
		case !end.IsZero() && !at.Before(end):
			t = end
		case !start.IsZero() && at.Before(start):
			return start
		default:
			return at
		}
	}
}

// due appends what is due on that day.
func (c Calendar) due(times []time.Time, d date, zone *time.Location) []time.Time {
	for _, e := range c {
		if e.Month > 0 && d.t.Day() != e.Month || e.Month == 0 && !e.Days.Has(d.t.Weekday()) {
			continue
		}
		for _, c := range e.At {
			times = append(times, d.at(c, zone))
		}
		if e.Every <= 0 {
			continue
		}
		end := d.plus(1).at(0, zone)
		for t := d.at(0, zone); t.Before(end); t = t.Add(e.Every) {
			times = append(times, t)
		}
	}
	return times
}

// Between returns the due times after from and not after to, in order, each once.
func (p Plan) Between(from, to time.Time) []time.Time {
	var times []time.Time
	last := dateOf(to, p.Zone).plus(1) // a night may show the next day, then the old one again
	// A rule moves a due time by less than two days.
	for d := dateOf(from, p.Zone).plus(-2); !d.t.After(last.t); d = d.plus(1) {
		times = p.Calendar.due(times, d, p.Zone)
	}
	if p.Rule != nil {
		w := p.Rule.window()
		for i, t := range times {
			times[i] = w.into(t, p.Zone)
		}
	}
	times = slices.DeleteFunc(times, func(t time.Time) bool { return !t.After(from) || t.After(to) })
	slices.SortFunc(times, time.Time.Compare)
	return slices.CompactFunc(times, time.Time.Equal)
}

// horizons are how far Next and last look, one after the other: the longest time
// between two due times is a month.
func horizons() []time.Duration {
	const day = 24 * time.Hour
	return []time.Duration{day, 8 * day, 40 * day}
}

// Next returns the next n due times after now, fewer only if there never are any.
func (p Plan) Next(now time.Time, n int) []time.Time {
	if len(p.Calendar) == 0 || n <= 0 {
		return nil
	}
	for _, span := range horizons() {
		if times := p.Between(now, now.Add(span)); len(times) >= n {
			return times[:n]
		}
	}
	times := p.Between(now, now.AddDate(0, 0, 33*n+7))
	return times[:min(n, len(times))]
}

// next returns the next due time, or zero.
func (p Plan) next(now time.Time) time.Time {
	if times := p.Next(now, 1); len(times) > 0 {
		return times[0]
	}
	return time.Time{}
}

// Last returns the newest due time that is not after now; zero if there never is one.
func (p Plan) Last(now time.Time) time.Time {
	if len(p.Calendar) == 0 {
		return time.Time{}
	}
	for _, span := range horizons() {
		if times := p.Between(now.Add(-span), now); len(times) > 0 {
			return times[len(times)-1]
		}
	}
	return time.Time{}
}
