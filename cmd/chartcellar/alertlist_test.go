package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/rest"
	"chartcellar/fhirsync/smart"
	"chartcellar/store"
	"chartcellar/store/holding"
	"chartcellar/store/index"
	"chartcellar/store/keys"
)

// TestAlerts: from what is known to what is told.
func TestAlerts(t *testing.T) {
	now := time.Date(2026, 3, 10, 19, 0, 0, 0, time.UTC)
	night := now.Add(-17 * time.Hour)
	tests := []struct {
		name string
		f    func(*watch, *health.Source)
		want string // kind, source, level
		say  string
	}{
		{"all is well", func(*watch, *health.Source) {}, "", ""},
		{"overdue", func(w *watch, s *health.Source) { s.Overdue, s.AsOf = true, now.Add(-50*time.Hour) }, "overdue emr warning", "The copy of emr is 2 days old"},
		{"overdue for long", func(w *watch, s *health.Source) { s.Overdue, s.AsOf = true, now.Add(-80*time.Hour) }, "overdue emr urgent", "Back up now"},
		{"overdue for long in a pause", func(w *watch, s *health.Source) {
			s.Overdue, s.AsOf, w.in.PausedUntil = true, now.Add(-80*time.Hour), now.Add(time.Hour)
		}, "overdue emr warning", ""},
		{"overdue, and a pull makes up for it", func(w *watch, s *health.Source) {
			s.Overdue, s.AsOf, w.pulling["emr"] = true, now.Add(-80*time.Hour), now.Add(-time.Hour)
		}, "", ""},
		{"overdue, told already, and a pull runs", func(w *watch, s *health.Source) {
			s.Overdue, s.AsOf, w.pulling["emr"], w.overdue["emr"] = true, now.Add(-80*time.Hour), now.Add(-time.Hour), true
		}, "overdue emr urgent", ""},
		{"overdue, and a pull does not end", func(w *watch, s *health.Source) {
			s.Overdue, s.AsOf, w.pulling["emr"] = true, now.Add(-50*time.Hour), now.Add(-7*time.Hour)
		}, "overdue emr warning", ""},
		{"a run failed", func(w *watch, s *health.Source) { s.Verdict = "failed" }, "failed emr warning", "failed, on Tue 10 Mar 2026, 02:00 UTC"},
		{"a run was broken off", func(w *watch, s *health.Source) { s.Verdict = "interrupted" }, "failed emr warning", "was broken off"},
		{"the access ends in a while", func(w *watch, s *health.Source) { w.ends = map[string]time.Time{"emr": now.AddDate(0, 0, 31)} }, "", ""},
		{"the access ends soon", func(w *watch, s *health.Source) { w.ends = map[string]time.Time{"emr": now.AddDate(0, 0, 20)} }, "consent emr warning", "ends in 20 days"},
		{"the access ends this week", func(w *watch, s *health.Source) { w.ends = map[string]time.Time{"emr": now.AddDate(0, 0, 5)} }, "consent emr urgent", "ends in 5 days"},
		{"the access has ended", func(w *watch, s *health.Source) { w.ends = map[string]time.Time{"emr": now.AddDate(0, 0, -3)} }, "consent emr urgent", "has ended"},
		{"held", func(w *watch, s *health.Source) { s.Verdict, s.Held = "held", 2 }, "held emr warning", "2 kinds of records of emr"},
		{"a young gap", func(w *watch, s *health.Source) { s.Gaps, s.Oldest = 1, now.AddDate(0, 0, -6) }, "", ""},
		{"an old gap", func(w *watch, s *health.Source) { s.Gaps, s.Oldest = 3, now.AddDate(0, 0, -8) }, "gaps emr warning", "3 things of emr could not be had, the oldest since Mon 2 Mar"},
		{"a second copy is late", copyIs(copyLate), "second-copy usb warning", "The second copy usb is older"},
		{"a second copy is damaged", copyIs(copyWrong), "second-copy usb urgent", "not what was written"},
		{"another computer has taken over", copyIs(copyFenced), "second-copy usb urgent", "recovery sheet"},
		{"a second copy is refused", copyIs(copyRefused), "second-copy usb warning", "copy list"},
		{"the same disk stays", copyIs(copyStays), "second-copy usb warning", "more than 7 days"},
		{"a second copy is being set up", copyIs(copyUntried), "", ""},
		{"a drill is overdue", func(w *watch, s *health.Source) {
			w.in.Facts[health.Drill] = health.Check{Answer: health.Stale, At: now.AddDate(0, 0, -91)}
		}, "drill  warning", "after 90 days"},
		{"a drill did not pass", func(w *watch, s *health.Source) {
			w.in.Facts[health.Drill] = health.Check{Answer: health.No, At: night}
		}, "drill  urgent", "did not pass"},
		{"away for a moment", ending("pull of emr", causeOffline, 2), "", ""},
		{"away for long", ending("pull of emr", causeOffline, 3), "failed emr warning", "emr cannot be reached"},
		{"sign-in refused", ending("full of emr", causeSignIn, 1), "sign-in emr urgent", "connect test"},
		{"another address", ending("pull of emr", causeMoved, 1), "sign-in emr urgent", "We did not go there"},
		{"certificate", ending("pull of emr", causeCertificate, 1), "failed emr warning", "certificate of emr"},
		{"our clock stops it", ending("pull of emr", causeClock, 1), "low-trust emr urgent", "Set the clock"},
		{"damage stops it", ending("pull of emr", causeDamage, 1), "damage emr urgent", "Do not delete"},
		{"whatever stops it", ending("pull of emr", causeOther, 1), "failed emr warning", "chartcellar sync"},
		{"forbidden", ending("pull of emr", causeForbidden, 1), "failed emr warning", ""},
		{"its own fault", ending("pull of emr", causeServer, 4), "failed emr warning", "call the vendor"},
		{"full disk stops it", ending("pull of emr", causeFull, 1), "disk  urgent", "The disk is full"},
		{"trouble of another EMR", ending("pull of gone", causeSignIn, 1), "", ""},
		{"verify fails", ending("verify", causeOther, 1), "failed verify warning", "“verify”"},
		{"the disk is full", func(w *watch, _ *health.Source) { w.full = true }, "disk  urgent", ""},
		{"the disk fills", func(w *watch, _ *health.Source) { w.days = 59 }, "disk  warning", "in about 59 days"},
		{"the disk fills soon", func(w *watch, _ *health.Source) { w.days = 1 }, "disk  urgent", "in about 1 day."},
		{"the disk lasts", func(w *watch, _ *health.Source) { w.days = 60 }, "", ""},
		{"a published key that is wrong", func(w *watch, _ *health.Source) { w.rings["emr"] = &smart.Ring{Wrong: true, Checked: night} }, "key emr warning", "may soon be refused"},
		{"a key that waits", func(w *watch, _ *health.Source) { w.rings["emr"] = &smart.Ring{Next: &smart.Key{}} }, "key emr warning", "--pasted"},
		{"a key that is published", func(w *watch, _ *health.Source) { w.rings["emr"] = &smart.Ring{Next: &smart.Key{}, Due: now} }, "", ""},
		{"damage found by a check", func(w *watch, _ *health.Source) { w.in.Facts[health.ChainIntact].Answer = health.No }, "damage  urgent", "Delete nothing"},
		{"a file is missing", func(w *watch, _ *health.Source) {
			w.found, w.in.Facts[health.ChainIntact].Answer = []store.ProblemKind{store.ProblemFile}, health.No
		}, "damage  urgent", ""},
		{"lines of the journal are missing", func(w *watch, _ *health.Source) { w.found = []store.ProblemKind{store.ProblemJournal} }, "damage journal urgent", ""},
		{"the index was made anew", func(w *watch, _ *health.Source) { w.found = []store.ProblemKind{store.ProblemIndex} }, "damage index warning", "No record was lost"},
		{"no reserve", func(w *watch, _ *health.Source) { w.found = []store.ProblemKind{store.ProblemReserve} }, "disk reserve warning", ""},
		{"a sample differs", func(w *watch, _ *health.Source) { w.in.Facts[health.SampleMatches].Answer = health.No }, "differs sample warning", ""},
		{"counts differ", func(w *watch, _ *health.Source) { w.in.Facts[health.CountsMatch].Answer = health.No }, "differs counts warning", ""},
		{"clock set back", func(w *watch, _ *health.Source) { w.clock = now.Add(3 * time.Hour) }, "clock-back  warning", "set back by 3 h"},
		{"clock set back a little", func(w *watch, _ *health.Source) { w.clock = now.Add(9 * time.Minute) }, "", ""},
		{"clocks differ", func(w *watch, _ *health.Source) { w.skews["emr"] = -90 * time.Second }, "low-trust  warning", "differ by 1 min"},
		{"clocks nearly agree", func(w *watch, _ *health.Source) { w.skews["emr"] = 50 * time.Second }, "", ""},
		{"a holding's folder is away for a moment", holdingEnding(causeFolder, 2), "", ""},
		{"a holding's folder is gone", holdingEnding(causeFolder, 3), "holding dumps warning", "The folder of the holding dumps is not there, since Tue 10 Mar"},
		{"files that cannot be read", holdingEnding(causeFiles, 3), "holding dumps warning", "cannot be read"},
		{"no room for a holding's file", holdingEnding(causeFull, 1), "holding dumps warning", "no room on the disk for a new file"},
		{"whatever stops a holding", holdingEnding(causeOther, 3), "holding dumps warning", "holding watch"},
		{"a holding that is well", beside1(holding.Trouble{}), "", ""},
		{"a dump that is late", beside1(holding.Trouble{Late: true, Age: 50 * time.Hour, Ordered: "daily"}), "holding dumps warning", "for 2 days; something is expected daily"},
		{"a dump that never came", beside1(holding.Trouble{Never: true, Ordered: "weekly"}), "holding dumps warning", "yet; something is expected weekly"},
		{"half a dump", beside1(holding.Trouble{Half: &holding.Delivery{Size: 40e6}, Usual: 100e6}), "holding dumps warning", "has 40.0 MB, where 100.0 MB are usual"},
		{"the same dump again", beside1(holding.Trouble{Equal: &holding.Delivery{}}), "holding dumps warning", "standing still"},
		{"a dump that is not whole", beside1(holding.Trouble{Broken: &holding.Delivery{}}), "holding dumps warning", "not whole"},
		{"the ping is dead", func(w *watch, _ *health.Source) { w.pingDown = night }, "channel ping warning", "since Tue 10 Mar"},
		{"the status file cannot be written", func(w *watch, _ *health.Source) { w.fileDown = night }, "channel status file warning", ""},
		{"settings that cannot be used", func(w *watch, _ *health.Source) { w.unusable = 1 }, "channel settings warning", "1 setting of the alerts"},
		{"settings changed to nonsense", func(w *watch, _ *health.Source) { w.refused = true }, "failed settings warning", "config check"},
		{"the sheet is a bit late", func(w *watch, _ *health.Source) { w.sheet, w.locked = now.Add(-29*time.Minute), true }, "", ""},
		{"nobody was signed in for the sheet", func(w *watch, _ *health.Source) { w.sheet, w.locked = now.Add(-time.Hour), true }, "sheet  warning", "due on Tue 10 Mar 2026, 18:00 UTC is not made: nobody who may see charts"},
		{"the sheet is not made for another reason", func(w *watch, _ *health.Source) { w.sheet = now.Add(-time.Hour) }, "sheet  warning", "chartcellar downtime make"},
		{"nobody is expected in a pause", func(w *watch, _ *health.Source) { w.sheet, w.in.PausedUntil = now.Add(-time.Hour), now.Add(time.Hour) }, "", ""},
		{"the sheet failed", func(w *watch, s *health.Source) {
			ending("downtime", causeOther, 1)(w, s)
			w.sheet = now.Add(-time.Hour)
		}, "failed downtime warning", "downtime make"},
		{"failed for a reason that has no alert of its own", func(w *watch, _ *health.Source) { w.in.Wrong = []string{"the moon"} }, "failed  warning", "not as it should be"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := health.Source{Name: "emr", Ran: true, Verdict: "complete", Ended: night, Copy: night, AsOf: night}
			w := watch{gapDays: 7, days: -1, clock: night, jobs: map[string]trouble{}, rings: map[string]*smart.Ring{}, skews: map[string]time.Duration{},
				pulling: map[string]time.Time{}, overdue: map[string]bool{},
				in: health.Input{Now: now, Zone: time.UTC}}
			tt.f(&w, &src)
			w.in.Sources = []health.Source{src}
			var got, say string
			for _, a := range w.alerts() {
				got += fmt.Sprintf("%s %s %s", a.Kind, a.Source, a.Level)
				say += a.Text.String() + " " + a.Next.String()
				if strings.Contains(say, "%!") || a.Next.String() == "" || strings.Contains(say, "withheld") {
					t.Errorf("sentence %q", say)
				}
			}
			if got != tt.want || !strings.Contains(say, tt.say) {
				t.Errorf("alerts %q, want %q\n%s", got, tt.want, say)
			}
		})
	}
}

// holdingEnding is a folder of files that could not be kept.
func holdingEnding(c obstacle, tries int) func(*watch, *health.Source) {
	return func(w *watch, s *health.Source) {
		beside1(holding.Trouble{})(w, s)
		ending("holding of dumps", c, tries)(w, s)
	}
}

// beside1 is one holding with this trouble.
func beside1(t holding.Trouble) func(*watch, *health.Source) {
	return func(w *watch, _ *health.Source) {
		w.besides = []beside{{holding.Summary{Name: "dumps"}, t}}
	}
}

func ending(job string, c obstacle, tries int) func(*watch, *health.Source) {
	return func(w *watch, _ *health.Source) {
		w.jobs[job] = trouble{c, time.Date(2026, 3, 10, 2, 0, 0, 0, time.UTC), tries}
	}
}

// TestEndAlert: why serve could not start, or has ended, is told; that it was stopped is
// not.
func TestEndAlert(t *testing.T) {
	tests := []struct {
		err  error
		want notify.Kind
	}{
		{nil, ""}, {context.Canceled, ""}, {&store.BusyError{}, ""},
		{store.ErrNoMirror, notify.FolderGone}, {store.ErrRolledBack, notify.OlderMirror}, {keys.ErrForged, notify.Damage},
		{store.ErrNeedsUnlock, notify.Damage}, {index.ErrBad, notify.Damage}, {store.ErrFull, notify.Disk}, {fs.ErrPermission, notify.Failed},
		{errors.New("whatever"), notify.Failed},
	}
	for _, tt := range tests {
		a, worth := endAlert(tt.err)
		if worth != (tt.want != "") || worth && (a.Kind != tt.want || a.Text.String() == "" || a.Next.String() == "") {
			t.Errorf("%v: %v, %v", tt.err, a, worth)
		}
	}
}

func TestCauseOf(t *testing.T) {
	tests := []struct {
		err  error
		want obstacle
	}{
		{nil, ""}, {context.Canceled, ""}, {&fhirsync.NotYet{}, ""}, {store.ErrBusy, ""},
		{smart.ErrClock, causeClock}, {&smart.Error{Code: "invalid_client"}, causeSignIn}, {&smart.Error{Status: 502}, causeServer},
		{&rest.Error{Kind: rest.SignIn}, causeSignIn}, {movedError{&plainError{}}, causeMoved}, {signInAgainError{&plainError{}}, causeNoKey}, {&rest.Error{Kind: rest.Elsewhere}, causeMoved},
		{&rest.Error{Kind: rest.Certificate}, causeCertificate}, {&rest.Error{Kind: rest.Forbidden}, causeForbidden}, {&rest.Error{Kind: rest.DNS}, causeOffline},
		{&rest.Error{Kind: rest.ServerBroken}, causeServer}, {store.ErrFull, causeFull}, {store.ErrDamaged, causeDamage}, {errors.New("x"), causeOther},
	}
	for _, tt := range tests {
		err := tt.err
		if err != nil {
			err = fmt.Errorf("pull: %w", err)
		}
		if got := causeOf(err); got != tt.want {
			t.Errorf("causeOf(%v) = %q, want %q", err, got, tt.want)
		}
	}
}

// TestWaysOf: what can be used is used, and the rest is named; a mail password goes
// over no open line.
func TestWaysOf(t *testing.T) {
	to := []string{"a@x.example"}
	tests := []struct {
		name  string
		a     config.Alerts
		ways  string
		wrong string
	}{
		{"nothing", config.Alerts{}, "", ""},
		{"mail", config.Alerts{MailTo: to, SMTP: "mail.x.example:587"}, "mail to a@x.example", ""},
		{"mail without a port, twice the same", config.Alerts{MailTo: []string{"a@x.example", "A@x.example"}, SMTP: "mail.x.example"}, "mail to a@x.example", ""},
		{"no mail server", config.Alerts{MailTo: to}, "", "no mail server"},
		{"not encrypted, elsewhere", config.Alerts{MailTo: to, SMTP: "mail.x.example:25", Plain: true}, "", "this computer only"},
		{"one bad address", config.Alerts{MailTo: append(to, "a b"), SMTP: "m.x:465"}, "mail to a@x.example", `"a b" is no mail address`},
		{"a bad port", config.Alerts{MailTo: to, SMTP: "m.x:smtp"}, "", "no port"},
		{"a sender with a line break", config.Alerts{MailTo: to, SMTP: "m.x", MailFrom: "a@x\r\nBcc: b@x"}, "", "no mail address"},
		{"a command without its path", config.Alerts{Command: []string{"alert"}}, "", "full path"},
		{"a ping", config.Alerts{Ping: "https://hc-ping.com/u"}, "", ""},
		{"a ping in clear", config.Alerts{Ping: "http://x.example/u"}, "", "https"},
		{"a status file without its path", config.Alerts{StatusFile: "s.json"}, "", "full path"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := waysOf(tt.a, nil)
			var names []string
			for _, ch := range w.all() {
				names = append(names, ch.Name())
			}
			if got := strings.Join(names, ", "); got != tt.ways || !strings.Contains(strings.Join(w.wrong, "; "), tt.wrong) || (tt.wrong == "") != (len(w.wrong) == 0) {
				t.Errorf("ways %q, wrong %q", got, w.wrong)
			}
		})
	}
}

// TestSettingWords: each setting of the practice and of the alerts is named in words
// where its change is told.
func TestSettingWords(t *testing.T) {
	named := func(prefix string, of reflect.Type) {
		for _, f := range reflect.VisibleFields(of) {
			key := prefix + f.Tag.Get("toml")
			if _, ok := settingWords[key]; !ok && key != "alerts" && key != "source" && key != "copy" && key != "holding" {
				t.Errorf("no words for %q", key)
			}
		}
	}
	named("", reflect.TypeFor[config.Settings]())
	named("alerts ", reflect.TypeFor[config.Alerts]())
}

// copyIs is a second copy with something wrong.
func copyIs(trouble copyTrouble) func(*watch, *health.Source) {
	return func(w *watch, _ *health.Source) {
		w.copies, w.wrong = []copyState{{Name: "usb"}}, map[string]copyTrouble{"usb": trouble}
	}
}
