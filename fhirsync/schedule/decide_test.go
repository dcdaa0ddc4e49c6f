package schedule_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chartcellar/fhirsync/schedule"
)

// at is a time in June 2026 in Berlin; 1 June is a Monday.
func at(t testing.TB, text string) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	if !strings.Contains(text, "-") {
		text = "2026-06-" + text
	}
	d, err := time.ParseInLocation("2006-01-02 15:04", text, zone(t, "Europe/Berlin"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDecide(t *testing.T) {
	rule := &schedule.Rule{Name: "R", From: schedule.At(20, 0), To: schedule.At(5, 0)}
	state := func(began, ended string) schedule.State {
		return schedule.State{Began: at(t, began), Ended: at(t, ended), Since: at(t, "2026-01-01 00:00")}
	}
	with := func(s schedule.State, f func(*schedule.State)) schedule.State { f(&s); return s }
	good := state("03 02:00", "03 03:00")
	paused := func(s *schedule.State) { s.Pause = schedule.Pause{From: at(t, "03 10:00"), Until: at(t, "06 08:00")} }
	tests := []struct {
		name    string
		rule    *schedule.Rule
		state   schedule.State
		now     string
		why     schedule.Reason // "" if not to run
		due     string
		answers int
		wake    string
	}{
		{"not yet", nil, good, "04 01:59", "", "", 0, "04 02:00"},
		{"at its time", nil, good, "04 02:00", schedule.Due, "04 02:00", 1, ""},
		{"already run", nil, state("04 02:00", "04 02:10"), "04 02:30", "", "", 0, "05 02:00"},
		{"run a little early by hand", nil, state("04 01:50", "04 02:10"), "04 02:30", schedule.Missed, "04 02:00", 1, ""},
		{"the box was off for one night", nil, good, "04 09:00", schedule.Missed, "04 02:00", 1, ""},
		{"the box was off for a week", nil, good, "10 09:00", schedule.Missed, "10 02:00", 7, ""},
		{"the clock is years ahead", nil, good, "2035-06-04 09:00", schedule.Missed, "2035-06-04 02:00", 100, ""},
		{"the last run lies in the future", nil, state("2035-06-04 09:00", "2035-06-04 10:00"), "04 09:00", schedule.SetBack, "", 0, ""},
		{"the clock went back by seconds", nil, with(state("04 02:00", ""), func(s *schedule.State) { s.Due = at(t, "04 02:00") }), "04 01:59", "", "", 0, "05 02:00"},
		{"nothing is known", nil, schedule.State{}, "04 09:00", schedule.Unknown, "04 02:00", 1, ""},
		{"new, nothing was due yet", nil, schedule.State{Since: at(t, "04 08:00")}, "04 09:00", "", "", 0, "05 02:00"},
		{"new, and missed since", nil, schedule.State{Since: at(t, "03 08:00")}, "04 09:00", schedule.Missed, "04 02:00", 1, ""},
		{"cut off", nil, with(state("04 02:00", ""), func(s *schedule.State) { s.Open = true }), "04 03:00", schedule.CutOff, "", 0, ""},
		{"cut off a second time", nil, with(state("04 02:30", ""), func(s *schedule.State) { s.Open, s.Resumed = true, true }), "04 03:00", "", "", 0, "05 02:00"},
		{"asked for", nil, with(good, func(s *schedule.State) { s.Asked = at(t, "03 11:00") }), "03 11:00", schedule.Asked, "", 0, ""},
		{"asked for in a pause", nil, with(with(good, paused), func(s *schedule.State) { s.Asked = at(t, "03 11:00") }), "03 11:00", schedule.Asked, "", 0, ""},
		{"paused", nil, with(good, paused), "04 02:00", "", "", 0, "06 08:00"},
		{"the pause is over", nil, with(good, paused), "06 08:00", schedule.Missed, "06 02:00", 3, ""},
		{"the clock was set to before the pause", nil, with(state("2020-01-01 02:00", ""), paused), "2020-01-02 02:00", schedule.Due, "2020-01-02 02:00", 1, ""},
		{"again as the EMR asked", nil, with(good, func(s *schedule.State) { s.Again = at(t, "03 15:00") }), "03 15:00", schedule.Again, "", 0, ""},
		{"not again yet", nil, with(good, func(s *schedule.State) { s.Again = at(t, "03 15:00") }), "03 14:00", "", "", 0, "03 15:00"},
		{"missed, and a vendor's rule holds it", rule, good, "04 09:00", "", "", 0, "04 20:00"},
		{"missed, and the rule allows it", rule, good, "04 20:00", schedule.Missed, "04 02:00", 1, ""},
		{"asked for against the rule", rule, with(good, func(s *schedule.State) { s.Asked = at(t, "03 11:00") }), "03 11:00", schedule.Asked, "", 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := schedule.Plan{Calendar: parse(t, "daily 02:00"), Zone: zone(t, "Europe/Berlin"), Rule: tt.rule}
			d := schedule.Decide(p, tt.state, at(t, tt.now))
			if d.Run != (tt.why != "") || d.Why != tt.why || d.Answers != tt.answers {
				t.Errorf("Decide = %+v, want run %q for %d due times", d, tt.why, tt.answers)
			}
			if !d.Due.Equal(at(t, tt.due)) || !d.Wake.Equal(at(t, tt.wake)) {
				t.Errorf("due %s, wake %s, want %q and %q", d.Due, d.Wake, tt.due, tt.wake)
			}
		})
	}
}

func TestUpcoming(t *testing.T) {
	p := schedule.Plan{Calendar: parse(t, "daily 02:00, 12:30"), Zone: zone(t, "Europe/Berlin")}
	s := schedule.State{Began: at(t, "03 02:00"), Pause: schedule.Pause{From: at(t, "03 10:00"), Until: at(t, "05 08:00")}}
	got := schedule.Upcoming(p, s, at(t, "03 11:00"), 3)
	want := []time.Time{at(t, "05 08:00"), at(t, "05 12:30"), at(t, "06 02:00")}
	if !slices.EqualFunc(got, want, time.Time.Equal) {
		t.Errorf("Upcoming in a pause: %v, want %v", got, want)
	}
	s.Pause = schedule.Pause{}
	if got := schedule.Upcoming(p, s, at(t, "03 11:00"), 5); len(got) != 5 || !got[0].Equal(at(t, "03 12:30")) {
		t.Errorf("Upcoming: %v", got)
	}
}

func TestNewPause(t *testing.T) {
	now := at(t, "03 10:00")
	tests := []struct {
		name  string
		until time.Time
		want  string
	}{
		{"without an end", time.Time{}, "a pause needs an end"},
		{"over already", now, "already past"},
		{"for ever", now.AddDate(50, 0, 0), "a year at most"},
		{"over the weekend", now.AddDate(0, 0, 3), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := schedule.NewPause(now, tt.until, "manager", "server move")
			if tt.want == "" && (err != nil || !p.Active(now) || p.Active(tt.until)) {
				t.Errorf("NewPause: %+v, %v", p, err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("NewPause: %v, want %q", err, tt.want)
			}
		})
	}
}

func TestWorstLoss(t *testing.T) {
	rule := &schedule.Rule{Name: "R", From: schedule.At(20, 0), To: schedule.At(5, 0)}
	tests := []struct {
		name, zone, text string
		rule             *schedule.Rule
		typical          time.Duration
		want             string
	}{
		{"every 4 h", "Europe/Berlin", "every 4 h", nil, 0, "at most 4 h of charting."},
		{"with the time a run takes", "Europe/Berlin", "every 4 h", nil, 20*time.Minute + time.Second, "at most 4 h 21 min of charting."},
		{"nightly", "Europe/Berlin", "daily 02:00", nil, 0, "at most 24 h of charting (25 h on the night the clock goes back)."},
		{"nightly on Lord Howe", "Australia/Lord_Howe", "daily 02:00", nil, 0, "at most 24 h of charting (24 h 30 min on the night the clock goes back)."},
		{"nightly without daylight saving", "Asia/Kolkata", "daily 02:00", nil, 0, "at most 24 h of charting."},
		{"the longest is by day", "America/New_York", "daily 02:00, 06:00", nil, 0, "at most 20 h of charting (21 h on the night the clock goes back)."},
		{"not at weekends", "Asia/Kolkata", "Mon-Fri 12:30, 19:00", nil, 0, "at most 2 days 17 h 30 min of charting."},
		{"weekly", "Asia/Kolkata", "Sun 02:00", nil, 0, "at most 7 days of charting."},
		{"monthly", "Europe/Berlin", "monthly 1 07:00", nil, 0, "at most 31 days of charting."},
		{"a rule takes half of it", "Asia/Kolkata", "every 4 h", rule, 0, "at most 16 h of charting."},
		{"off", "Europe/Berlin", "off", nil, time.Hour, "nothing is fetched"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := schedule.Plan{Calendar: parse(t, tt.text), Zone: zone(t, tt.zone), Rule: tt.rule}
			l := schedule.WorstLoss(p, tt.typical, at(t, "03 10:00"))
			if !strings.HasSuffix(l.String(), tt.want) && !strings.Contains(l.String(), "nothing") {
				t.Errorf("%q, want it to end %q", l, tt.want)
			}
			if tt.text == "off" && !strings.Contains(l.String(), tt.want) {
				t.Errorf("%q, want %q", l, tt.want)
			}
		})
	}
	l := schedule.WorstLoss(schedule.Plan{Calendar: parse(t, "Mon-Fri 12:30, 19:00"), Zone: zone(t, "Asia/Kolkata")}, 0, at(t, "03 10:00"))
	if from, to := l.From.Format("Mon 15:04"), l.To.Format("Mon 15:04"); from != "Fri 19:00" || to != "Mon 12:30" {
		t.Errorf("the longest span is from %s to %s", from, to)
	}
}

func TestOverdue(t *testing.T) {
	tests := []struct {
		name, text, success, now string
		want                     bool
		since                    string
	}{
		{"in time", "daily 02:00", "03 02:00", "04 02:30", false, "05 02:00"},
		{"a minute before grace is over", "daily 02:00", "03 02:00", "05 01:59", false, "05 02:00"},
		{"grace is over", "daily 02:00", "03 02:00", "05 02:00", true, "05 02:00"},
		{"weekly, after five days", "Sun 02:00", "2026-05-31 02:00", "05 02:00", false, "08 02:00"},
		{"a success in the future is none", "daily 02:00", "2035-06-03 02:00", "04 02:30", true, "04 02:30"},
		{"never", "daily 02:00", "", "04 02:30", true, "04 02:30"},
		{"off", "off", "", "04 02:30", false, ""},
		{"over the night of spring", "daily 02:00", "2026-03-28 02:00", "2026-03-30 02:59", false, "2026-03-30 03:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := schedule.Plan{Calendar: parse(t, tt.text), Zone: zone(t, "Europe/Berlin")}
			since, got := schedule.Overdue(p, at(t, tt.success), at(t, tt.now), 24*time.Hour)
			if got != tt.want || !since.Equal(at(t, tt.since)) {
				t.Errorf("Overdue = %v since %s, want %v since %q", got, since, tt.want, tt.since)
			}
		})
	}
}

// TestSlices: whatever nights are missed, a verification that runs leaves nothing
// that would be older than 30 days before the next one.
func TestSlices(t *testing.T) {
	const day = 24 * time.Hour
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 1, 1, 4, 0, 0, 0, time.UTC)
		gap := time.Duration(rapid.IntRange(1, 7).Draw(t, "gap")) * day
		var last [schedule.Thirtieths]time.Time
		for i := range last {
			last[i] = now.Add(-time.Duration(rapid.IntRange(0, 60*24).Draw(t, "age")) * time.Hour)
		}
		read, runs := 0, 0
		for range 100 {
			if rapid.IntRange(0, 9).Draw(t, "missed") > 0 {
				list := schedule.Slices(last, now, now.Add(gap))
				for _, i := range list {
					last[i] = now
				}
				read, runs = read+len(list), runs+1
				late := time.Duration(rapid.IntRange(0, 11).Draw(t, "late")) * time.Hour
				for i, l := range last {
					if age := now.Add(gap + late).Sub(l); age > 30*day {
						t.Fatalf("slice %d would be %s old at the next run", i, age)
					}
				}
			}
			now = now.Add(gap)
		}
	})
	now := time.Date(2026, 1, 1, 4, 0, 0, 0, time.UTC)
	var last [schedule.Thirtieths]time.Time
	for i := range last {
		last[i] = now // made today: one a day from now on
	}
	read := 0
	for range 60 {
		now = now.Add(day)
		list := schedule.Slices(last, now, time.Time{})
		read += len(list)
		for _, i := range list {
			last[i] = now
		}
		if len(list) > 2 {
			t.Fatalf("%d slices in one night", len(list))
		}
	}
	if read < 60 || read > 66 {
		t.Errorf("%d slices read in 60 nights", read)
	}
	last[7], last[9] = time.Time{}, now.AddDate(9, 0, 0)
	if list := schedule.Slices(last, now, time.Time{}); len(list) < 2 || list[0] != 7 || list[1] != 9 {
		t.Errorf("never read and read in the future come first, not %v", list)
	}
}

func TestPackDue(t *testing.T) {
	now := at(t, "03 10:00")
	tests := []struct {
		name   string
		oldest time.Time
		bytes  int64
		want   time.Time
	}{
		{"nothing to pack", time.Time{}, 0, time.Time{}},
		{"a young line", now.Add(-time.Minute), 100, now.Add(4 * time.Minute)},
		{"an old line", now.Add(-time.Hour), 100, now.Add(-55 * time.Minute)},
		{"full", now.Add(-time.Second), 256 << 10, now},
		{"a line from the future", now.AddDate(1, 0, 0), 100, now},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := schedule.PackDue(tt.oldest, tt.bytes, now); !got.Equal(tt.want) {
				t.Errorf("PackDue = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	loc := time.UTC
	good := schedule.Plan{Job: schedule.Job{Source: "emr", Kind: schedule.Pull}, Zone: loc, Calendar: parse(t, "daily 02:00")}
	tests := []struct {
		name   string
		change func(*schedule.Plan)
		want   string
	}{
		{"nothing wrong", func(*schedule.Plan) {}, ""},
		{"no zone", func(p *schedule.Plan) { p.Zone = nil }, "the plan for pull of emr needs a time zone"},
		{"a rule of nobody", func(p *schedule.Plan) { p.Rule = &schedule.Rule{To: 5} }, "must say whose it is"},
		{"a rule that allows nothing", func(p *schedule.Plan) { p.Rule = &schedule.Rule{Name: "R", From: 5, To: 5} }, "allows no time at all"},
		{"a page's calendar out of order", func(p *schedule.Plan) {
			p.Calendar = schedule.Calendar{{Days: schedule.Daily, At: []schedule.Clock{9, 5}}}
		}, "not in order"},
		{"a page's calendar without days", func(p *schedule.Plan) { p.Calendar = schedule.Calendar{{At: []schedule.Clock{9}}} }, "without a day"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := good
			tt.change(&p)
			err := p.Check()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Check: %v, want %q", err, tt.want)
			}
		})
	}
	for _, p := range append(schedule.Default("emr", loc), schedule.DefaultMirror(loc)...) {
		if err := p.Check(); err != nil {
			t.Errorf("default plan for %s: %v", p.Job, err)
		}
	}
	if _, err := schedule.Zone("Berlin"); err == nil || !strings.Contains(err.Error(), "write one like") {
		t.Errorf("Zone(Berlin): %v", err)
	}
}

func TestCaution(t *testing.T) {
	rule := &schedule.Rule{Name: "Example terms", From: schedule.At(20, 0), To: schedule.At(5, 0)}
	p := schedule.Plan{Zone: zone(t, "Europe/Berlin")}
	if c := schedule.Caution(p, schedule.Quiet(), at(t, "03 22:00")); c != "" {
		t.Errorf("in the quiet hours: %q", c)
	}
	if c := schedule.Caution(p, schedule.Quiet(), at(t, "03 11:00")); !strings.Contains(c, "20:00-05:00") {
		t.Errorf("outside of them: %q", c)
	}
	p.Rule = rule
	if c := schedule.Caution(p, schedule.Quiet(), at(t, "03 11:00")); !strings.Contains(c, "Example terms asks for") {
		t.Errorf("against a rule: %q", c)
	}
}
