package schedule_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/fhirsync/schedule"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := schedule.Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestOddNights(t *testing.T) {
	tests := []struct {
		name, zone, text, from string
		want                   string // with the offset: which of the two it is
	}{
		{"New York jumps over 02:30", "America/New_York", "daily 02:30", "2026-03-07T12:00:00-05:00",
			"2026-03-08T03:00:00-04:00 2026-03-09T02:30:00-04:00"},
		{"two times within the jump are one", "America/New_York", "daily 02:00, 02:30", "2026-03-07T12:00:00-05:00",
			"2026-03-08T03:00:00-04:00 2026-03-09T02:00:00-04:00 2026-03-09T02:30:00-04:00"},
		{"New York sees 01:30 twice", "America/New_York", "daily 01:30", "2026-10-31T12:00:00-04:00",
			"2026-11-01T01:30:00-04:00 2026-11-02T01:30:00-05:00"},
		{"after the first 01:30 the second is not due", "America/New_York", "daily 01:30", "2026-11-01T01:30:00-04:00",
			"2026-11-02T01:30:00-05:00"},
		{"Berlin jumps over 02:30", "Europe/Berlin", "daily 02:30", "2026-03-28T12:00:00+01:00",
			"2026-03-29T03:00:00+02:00 2026-03-30T02:30:00+02:00"},
		{"Berlin sees 02:30 twice", "Europe/Berlin", "daily 02:30", "2026-10-24T12:00:00+02:00",
			"2026-10-25T02:30:00+02:00 2026-10-26T02:30:00+01:00"},
		{"Lord Howe jumps by half an hour", "Australia/Lord_Howe", "daily 02:15", "2026-10-03T12:00:00+10:30",
			"2026-10-04T02:30:00+11:00 2026-10-05T02:15:00+11:00"},
		{"Lord Howe goes back by half an hour", "Australia/Lord_Howe", "daily 01:45", "2026-04-04T12:00:00+11:00",
			"2026-04-05T01:45:00+11:00 2026-04-06T01:45:00+10:30"},
		{"Beirut has no midnight", "Asia/Beirut", "daily 00:00", "2026-03-28T12:00:00+02:00",
			"2026-03-29T01:00:00+03:00 2026-03-30T00:00:00+03:00"},
		{"Havana has two midnights", "America/Havana", "daily 00:00", "2026-10-31T12:00:00-04:00",
			"2026-11-01T00:00:00-04:00 2026-11-02T00:00:00-05:00"},
		{"Samoa had no 30 December 2011", "Pacific/Apia", "daily 02:00", "2011-12-29T12:00:00-10:00",
			"2011-12-31T00:00:00+14:00 2011-12-31T02:00:00+14:00"},
		{"every hour goes on through both hours of autumn", "Europe/Berlin", "every 1 h", "2026-10-25T01:00:00+02:00",
			"2026-10-25T02:00:00+02:00 2026-10-25T02:00:00+01:00 2026-10-25T03:00:00+01:00"},
		{"every 4 h is never more than 4 h", "Europe/Berlin", "every 4 h", "2026-10-24T20:00:00+02:00",
			"2026-10-25T00:00:00+02:00 2026-10-25T03:00:00+01:00 2026-10-25T07:00:00+01:00 2026-10-25T11:00:00+01:00 " +
				"2026-10-25T15:00:00+01:00 2026-10-25T19:00:00+01:00 2026-10-25T23:00:00+01:00 2026-10-26T00:00:00+01:00"},
		{"every 5 h begins anew at midnight", "Asia/Kolkata", "every 5 h", "2026-02-28T19:00:00+05:30",
			"2026-02-28T20:00:00+05:30 2026-03-01T00:00:00+05:30 2026-03-01T05:00:00+05:30"},
		{"29 February", "Europe/Berlin", "daily 02:00", "2028-02-28T02:00:00+01:00",
			"2028-02-29T02:00:00+01:00 2028-03-01T02:00:00+01:00"},
		{"monthly", "Europe/Berlin", "monthly 1 07:00", "2026-12-15T02:00:00+01:00",
			"2027-01-01T07:00:00+01:00 2027-02-01T07:00:00+01:00 2027-03-01T07:00:00+01:00 2027-04-01T07:00:00+02:00"},
		{"far beyond the tables", "America/New_York", "Sun 02:30", "2199-03-05T12:00:00-05:00",
			"2199-03-10T03:00:00-04:00 2199-03-17T02:30:00-04:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from, err := time.Parse(time.RFC3339, tt.from)
			if err != nil {
				t.Fatal(err)
			}
			p := schedule.Plan{Calendar: parse(t, tt.text), Zone: zone(t, tt.zone)}
			want := strings.Fields(tt.want)
			var got []string
			for _, d := range p.Next(from, len(want)) {
				got = append(got, d.Format(time.RFC3339))
				if last := p.Last(d); !last.Equal(d) {
					t.Errorf("Last(%s) = %s", d, last)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s after %s is due\n%s, want\n%s", tt.text, tt.from, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// TestAgainstTheWall: in zones of all kinds, due times are when a clock on the wall
// first shows or passes them.
func TestAgainstTheWall(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut",
		"America/Havana", "Africa/Casablanca", "Africa/Cairo", "America/Santiago", "Asia/Kolkata", "Pacific/Chatham"} {
		loc := zone(t, name)
		from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		to := from.AddDate(1, 0, 0)
		at := []int{0, 30, 60 + rnd.IntN(60), 120 + rnd.IntN(60), 150, rnd.IntN(1440)}
		var e schedule.Entry
		e.Days = schedule.Daily
		for _, m := range at {
			e.At = append(e.At, schedule.Clock(m))
		}
		slices.Sort(e.At)
		e.At = slices.Compact(e.At)
		p := schedule.Plan{Calendar: schedule.Calendar{e}, Zone: loc}
		want := oracle(loc, from, to, func(_ time.Weekday, m int) bool { return slices.Contains(at, m) })
		got := p.Between(from, to)
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Errorf("%s, %s: %d due times, the wall has %d", name, e, len(got), len(want))
		}
		for n := range 50 {
			now := from.Add(time.Duration(rnd.Int64N(int64(to.Sub(from)))))
			if five := p.Next(now, 5); !slices.EqualFunc(five, p.Between(now, now.AddDate(0, 0, 10))[:5], time.Time.Equal) {
				t.Errorf("%d: Next(%s) = %v", n, now, five)
			}
		}
	}
}

func TestRule(t *testing.T) {
	loc := zone(t, "Europe/Berlin")
	day := time.Date(2026, 6, 3, 0, 0, 0, 0, loc)
	rule := func(from, to schedule.Clock) *schedule.Rule { return &schedule.Rule{Name: "R", From: from, To: to} }
	tests := []struct {
		name, text string
		rule       *schedule.Rule
		want       string
	}{
		{"without a rule the doctor's times stand", "daily 12:30, 19:00", nil, "3 12:30, 3 19:00, 4 12:30"},
		{"outside times become one", "daily 12:30, 19:00", rule(schedule.At(20, 0), schedule.At(5, 0)), "3 20:00, 4 20:00, 5 20:00"},
		{"inside times stay", "daily 02:00, 12:30", rule(schedule.At(20, 0), schedule.At(5, 0)), "3 02:00, 3 20:00, 4 02:00"},
		{"the end is outside", "daily 05:00", rule(schedule.At(20, 0), schedule.At(5, 0)), "3 20:00, 4 20:00, 5 20:00"},
		{"a window within the day", "daily 19:00", rule(schedule.At(1, 0), schedule.At(5, 0)), "3 01:00, 4 01:00, 5 01:00"},
		{"every 4 h within a window", "every 4 h", rule(schedule.At(21, 0), schedule.At(3, 0)), "3 21:00, 4 00:00, 4 21:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := schedule.Plan{Calendar: parse(t, tt.text), Zone: loc, Rule: tt.rule}
			var got []string
			for _, d := range p.Next(day, 3) {
				got = append(got, d.Format("2 15:04"))
			}
			if s := strings.Join(got, ", "); s != tt.want {
				t.Errorf("due %s, want %s", s, tt.want)
			}
		})
	}
}
