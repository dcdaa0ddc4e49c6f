package health_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
)

var now = time.Date(2026, 3, 10, 13, 0, 0, 0, time.UTC)

// allGood is a practice in which everything is as it should be.
func allGood() health.Input {
	yes := health.Check{Answer: health.Yes, At: now.Add(-time.Hour)}
	in := health.Input{Now: now, Zone: time.UTC, Practice: "Harbour Street", Rolling: yes, Decrypted: yes, Schedule: yes, Alerts: yes,
		Sources: []health.Source{{Name: "emr", Ran: true, Verdict: "complete", Ended: now.Add(-11 * time.Hour),
			Copy: now.Add(-11 * time.Hour), AsOf: now.Add(-12 * time.Hour), Next: now.Add(13 * time.Hour)}}}
	for i := range in.Facts {
		in.Facts[i] = yes
	}
	return in
}

func TestGood(t *testing.T) {
	s := health.Judge(allGood())
	if s.Word != health.Good || s.Sentence != "Your records are safe: a complete, verified copy of today 02:00, 11 h old." {
		t.Errorf("%s: %s", s.Word, s.Sentence)
	}
	if s.Loss != "If the EMR vanished now, you would lose what was written since today 01:00 (12 h)." {
		t.Error(s.Loss)
	}
}

// TestBeside: what is kept beside the records is said in one line, and takes nothing
// away as long as nothing is wrong with it.
func TestBeside(t *testing.T) {
	in := allGood()
	if s := health.Judge(in); s.Beside != "" {
		t.Errorf("without holdings: %q", s.Beside)
	}
	in.Holdings = []health.Holding{{Name: "dumps", Files: 3, Newest: now.AddDate(0, 0, -9)}, {Name: "ehi", Files: 1, Newest: now.Add(-time.Hour)}, {Name: "empty"}}
	s := health.Judge(in)
	want := "Beside the records 4 files are kept (dumps, ehi), the newest of today 12:00. We keep them unchanged; we cannot see inside."
	if s.Beside != want || s.Word != health.Good {
		t.Errorf("%s: %q", s.Word, s.Beside)
	}
	in.Holdings[0].Wrong = "Nothing new has come for the holding dumps for 9 days."
	s = health.Judge(in)
	if s.Word != health.Warning || !strings.Contains(s.Sentence, "nothing new has come for the holding dumps for 9 days.") || len(s.Todo) != 1 {
		t.Errorf("%s: %s %q", s.Word, s.Sentence, s.Todo)
	}
}

// spoils are all single things that must take the green away (T21, I12).
func spoils() map[string]func(*health.Input) {
	list := map[string]func(*health.Input){
		"never pulled":     func(in *health.Input) { in.Sources[0] = health.Source{Name: "emr"} },
		"no EMR":           func(in *health.Input) { in.Sources = nil },
		"overdue":          func(in *health.Input) { in.Sources[0].Overdue = true },
		"held":             func(in *health.Input) { in.Sources[0].Held = 1 },
		"a gap":            func(in *health.Input) { in.Sources[0].Gaps, in.Sources[0].Oldest = 1, now },
		"paused":           func(in *health.Input) { in.PausedUntil = now.Add(time.Hour) },
		"damage":           func(in *health.Input) { in.Damage = []string{"part 3"} },
		"a clock set back": func(in *health.Input) { in.Wrong = []string{"the clock was set back"} },
		"a holding that is late": func(in *health.Input) {
			in.Holdings = []health.Holding{{Name: "dumps", Files: 1, Newest: now, Wrong: "Nothing new has come for the holding dumps."}}
		},
		"no verdict": func(in *health.Input) { in.Sources[0].Verdict = "" },
		"a second EMR, never pulled": func(in *health.Input) {
			in.Sources = append(in.Sources, health.Source{Name: "old"})
		},
	}
	for _, v := range []string{"failed", "interrupted", "held", "complete with gaps"} {
		list["last run "+v] = func(in *health.Input) { in.Sources[0].Verdict = v }
	}
	for _, a := range []health.Answer{health.No, health.Unknown, health.Stale, health.NotSetUp} {
		for i := range health.FactCount {
			list[fmt.Sprintf("fact %d is %q", i+1, a)] = func(in *health.Input) { in.Facts[i].Answer = a }
		}
		list[fmt.Sprintf("rolling %q", a)] = func(in *health.Input) { in.Rolling.Answer = a }
		list[fmt.Sprintf("decrypted %q", a)] = func(in *health.Input) { in.Decrypted.Answer = a }
		list[fmt.Sprintf("schedule %q", a)] = func(in *health.Input) { in.Schedule.Answer = a }
		list[fmt.Sprintf("alerts %q", a)] = func(in *health.Input) { in.Alerts.Answer = a }
	}
	return list
}

// TestNeverGreen: T21, each spoil, and each pair of them, is never good; and a run
// that is under way improves nothing.
func TestNeverGreen(t *testing.T) {
	list := spoils()
	for name, spoil := range list {
		in := allGood()
		spoil(&in)
		single := health.Judge(in)
		if single.Word == health.Good || single.Sentence == "" {
			t.Errorf("%s: %s, %q", name, single.Word, single.Sentence)
		}
		for i := range in.Sources {
			in.Sources[i].Running = true
		}
		if running := health.Judge(in); running.Word != single.Word || running.Sentence != single.Sentence || !running.Running && len(in.Sources) > 0 {
			t.Errorf("%s: a run under way makes %s of %s", name, running.Word, single.Word)
		}
		for other, also := range list {
			in := allGood()
			spoil(&in)
			also2(also, &in)
			pair := health.Judge(in)
			if pair.Word == health.Good {
				t.Errorf("%s and %s: good", name, other)
			}
			if single.Word == health.Failed && pair.Word != health.Failed && field(name) != field(other) && other != "no EMR" && other != "never pulled" {
				t.Errorf("%s is failed, with %s it is %s", name, other, pair.Word)
			}
		}
	}
}

// field is what a spoil changes: two that change the same undo each other.
func field(name string) string {
	if name == "no verdict" || strings.HasPrefix(name, "last run") {
		return "verdict"
	}
	what, _, _ := strings.Cut(name, " is ")
	return what
}

// also2 spoils once more, unless there is nothing left to spoil.
func also2(spoil func(*health.Input), in *health.Input) {
	if len(in.Sources) == 0 {
		in.Sources = []health.Source{{Name: "emr"}}
		defer func() { in.Sources = nil }()
	}
	spoil(in)
}

func TestWords(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*health.Input)
		word  health.Word
		says  string
	}{
		{"never pulled", func(in *health.Input) { in.Sources[0] = health.Source{Name: "emr"} }, health.New, "no copy of your records yet"},
		{"second copy not set up", func(in *health.Input) { in.Facts[health.SecondCopy].Answer = health.NotSetUp }, health.Warning, "not set up: a second copy elsewhere"},
		{"the chain is broken", func(in *health.Input) { in.Facts[health.ChainIntact].Answer = health.No }, health.Failed, "not so: the archive is intact"},
		{"failed after a good copy", func(in *health.Input) { in.Sources[0].Verdict = "failed" }, health.Failed, "The last complete copy is of today 02:00, 11 h old; the last run of emr"},
		{"failed before any", func(in *health.Input) {
			in.Sources[0] = health.Source{Name: "emr", Ran: true, Verdict: "failed", Ended: now}
		}, health.Failed, "There is NO complete copy"},
		{"overdue and paused", func(in *health.Input) { in.Sources[0].Overdue, in.PausedUntil = true, now.Add(time.Hour) }, health.Overdue, "older than your schedule allows"},
		{"paused", func(in *health.Input) { in.PausedUntil = now.Add(time.Hour) }, health.Paused, "paused until today 14:00"},
		{"two things", func(in *health.Input) {
			in.Facts[health.Drill].Answer, in.Facts[health.SignIn].Answer = health.Stale, health.No
		}, health.Warning, "(and 1 more)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := allGood()
			tt.spoil(&in)
			if s := health.Judge(in); s.Word != tt.word || !strings.Contains(s.Sentence, tt.says) {
				t.Errorf("%s: %s; want %s with %q", s.Word, s.Sentence, tt.word, tt.says)
			}
		})
	}
}
