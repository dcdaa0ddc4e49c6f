package schedule_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chartcellar/fhirsync/schedule"
)

func parse(t testing.TB, text string) schedule.Calendar {
	t.Helper()
	c, err := schedule.ParseCalendar(text)
	if err != nil {
		t.Fatalf("ParseCalendar(%q): %v", text, err)
	}
	return c
}

func TestParse(t *testing.T) {
	tests := []struct{ name, text, want, words string }{
		{"the time first", "02:00 daily", "daily 02:00", "every day at 02:00"},
		{"no day named", "2:00, 12:30", "daily 02:00, 12:30", "every day at 02:00 and 12:30"},
		{"as people say it", "every day at 02:00 and at 12:30", "daily 02:00, 12:30", "every day at 02:00 and 12:30"},
		{"a span of days", "Mon-Fri 12:30, 19:00", "Mon-Fri 12:30, 19:00", "Monday to Friday at 12:30 and 19:00"},
		{"a dash as word processors write it", "mon – fri 12:30", "Mon-Fri 12:30", "Monday to Friday at 12:30"},
		{"single days", "on Mondays and Wed 07:00", "Mon, Wed 07:00", "on Mondays and Wednesdays at 07:00"},
		{"over the end of the week", "Sat-Mon 03:00", "Mon, Sat, Sun 03:00", "on Monday, Saturday and Sunday at 03:00"},
		{"two entries", "Mon-Fri 12:30; Sun 02:00", "Mon-Fri 12:30; Sun 02:00", "Monday to Friday at 12:30; on Sundays at 02:00"},
		{"two entries of the same days become one", "Sun 04:00; Sunday 02:00", "Sun 02:00, 04:00", "on Sundays at 02:00 and 04:00"},
		{"times twice and out of order", "12:30 02:00 12:30", "daily 02:00, 12:30", "every day at 02:00 and 12:30"},
		{"every so often", "every 4 hours", "every 4 h", "every 4 h"},
		{"written together", "EVERY 30min", "every 30 min", "every 30 min"},
		{"on some days every so often", "weekdays every 2 h", "Mon-Fri every 2 h", "Monday to Friday every 2 h"},
		{"monthly", "monthly on day 1 at 07:00", "monthly 1 07:00", "on day 1 of each month at 07:00"},
		{"never", "Never", "off", "never"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := parse(t, tt.text)
			if c.String() != tt.want || c.Words() != tt.words {
				t.Errorf("%q is %q, %q; want %q, %q", tt.text, c.String(), c.Words(), tt.want, tt.words)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"an hour too many", "daily 25:00", `"25:00" is no time of day; write 02:00`},
		{"the end of the day", "24:00", `"24:00" is no time of day; write 00:00`},
		{"a twelve-hour clock", "2am", `"2am" is no time of day; write 02:00`},
		{"a half-written time", "02:0", `"02:0" is no time of day`},
		{"a German day", "Mi 02:00", `"mi" is no weekday; write Mon, Tue`},
		{"half a span", "Mon- 02:00", `"mon-" is no weekday`},
		{"days without a time", "Sunday", `"Sun" has no time of day; write Sun 02:00`},
		{"days and times by turns", "Mon 02:00 Tue 03:00", `part them with ";"`},
		{"times and days by turns", "02:00 Mon 03:00 Tue", `part them with ";"`},
		{"times and every", "daily 02:00 every 4 h", `part the two with ";"`},
		{"every twice", "every 4 h every 6 h", `says "every" twice`},
		{"every nothing", "every", `"every" is no length of time; write every 4 h`},
		{"every without a unit", "every 4", `"every 4" is no length of time`},
		{"too often", "every 1 min", "write 5 min to 24 h"},
		{"not every day", "every 48 h", "write 5 min to 24 h, or weekdays with times"},
		{"a day that February lacks", "monthly 30 07:00", `"30" is no day that each month has`},
		{"monthly without a day", "monthly", `"" is no day that each month has`},
		{"a day of the month and weekdays", "monthly 1 Mon 07:00", `part them with ";"`},
		{"empty", "  ", `the schedule is empty; write "daily 02:00"`},
		{"only parted", " ; ;", "the schedule is empty"},
		{"endless", strings.Repeat("02:00 ", 300), "too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := schedule.ParseCalendar(tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseCalendar(%q) = %q, %v; want an error with %q", tt.text, c, err, tt.want)
			}
		})
	}
}

// anyEntry draws an entry as a page may build it.
func anyEntry(t *rapid.T) (e schedule.Entry) {
	if rapid.Bool().Draw(t, "monthly") {
		e.Month = rapid.IntRange(1, 28).Draw(t, "day")
	} else {
		e.Days = schedule.Days(rapid.IntRange(1, 127).Draw(t, "days"))
	}
	if rapid.Bool().Draw(t, "every") {
		e.Every = time.Duration(rapid.IntRange(5, 24*60).Draw(t, "minutes")) * time.Minute
		return e
	}
	e.At = rapid.SliceOfNDistinct(rapid.Map(rapid.IntRange(0, 1439), func(m int) schedule.Clock { return schedule.Clock(m) }),
		1, 6, rapid.ID).Draw(t, "at")
	slices.Sort(e.At)
	return e
}

// TestRoundTrip: what a page builds is read from the settings as the same.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEntry(t)
		c, err := schedule.ParseCalendar(e.String())
		if err != nil || len(c) != 1 || c[0].String() != e.String() || c[0].Days != e.Days || c[0].Month != e.Month ||
			c[0].Every != e.Every || !slices.Equal(c[0].At, e.At) {
			t.Fatalf("%+v is written %q and read as %+v (%v)", e, e, c, err)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		var texts []string
		for range rapid.IntRange(0, 4).Draw(t, "entries") {
			texts = append(texts, anyEntry(t).String())
		}
		again(t, strings.Join(texts, "; "))
	})
}

// again reads, writes and reads.
func again(t interface{ Fatalf(string, ...any) }, text string) {
	c, err := schedule.ParseCalendar(text)
	if err != nil {
		return
	}
	b, err := c.MarshalText()
	var d schedule.Calendar
	if err == nil {
		err = d.UnmarshalText(b)
	}
	if err != nil || d.String() != c.String() || d.Words() != c.Words() {
		t.Fatalf("%q is read as %q, and that as %q (%v)", text, c, d, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"02:00 daily", "Mon-Fri 12:30, 19:00; Sun 02:00", "every 4 h", "monthly 1 07:00", "off", "every day at 2:00 and 12:30"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { again(t, text) })
}

func TestDescribe(t *testing.T) {
	rule := &schedule.Rule{Name: "Example EMR, terms 4.2", From: schedule.At(20, 0), To: schedule.At(5, 0), Source: "https://emr.example/terms"}
	tests := []struct {
		name, pull, full string
		rule             *schedule.Rule
		want             string
	}{
		{"at the same time", "daily 02:00, 12:30", "Sun 02:00", nil, "every day at 02:00 and 12:30; compared whole on Sundays"},
		{"at another time", "daily 02:00", "Sun 04:00", nil, "every day at 02:00; compared whole on Sundays at 04:00"},
		{"never compared", "every 4 h", "off", nil, "every 4 h; never compared whole"},
		{"a rule that moves something", "daily 02:00, 12:30", "Sun 02:00", rule,
			"every day at 02:00 and 12:30; compared whole on Sundays; kept between 20:00 and 05:00 by Example EMR, terms 4.2"},
		{"a rule that moves nothing", "daily 02:00", "Sun 02:00", rule, "every day at 02:00; compared whole on Sundays"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := schedule.Describe(schedule.Plan{Calendar: parse(t, tt.pull), Rule: tt.rule}, schedule.Plan{Calendar: parse(t, tt.full), Rule: tt.rule})
			if got != tt.want {
				t.Errorf("Describe: %q, want %q", got, tt.want)
			}
		})
	}
	moved := schedule.Moved(schedule.Plan{Calendar: parse(t, "daily 02:00, 12:30; Fri 19:00"), Rule: rule})
	if want := "Example EMR, terms 4.2 allows 20:00-05:00 only; 12:30 and 19:00 are moved to 20:00 (https://emr.example/terms)"; moved != want {
		t.Errorf("Moved: %q, want %q", moved, want)
	}
}
