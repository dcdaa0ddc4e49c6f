package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	accounts "chartcellar/store/access"
	"chartcellar/store/keys"
)

// plainSlots are passphrases in memory.
type plainSlots struct {
	key  age.Identity
	open map[string]string
}

func (s plainSlots) Add(name, password string) error { s.open[name] = password; return nil }
func (s plainSlots) Open(name, password string) (age.Identity, error) {
	if s.open[name] != password {
		return nil, keys.ErrWrongPassword
	}
	return s.key, nil
}

// TestEmergencyIsTold: whoever opens emergency access is told of by mail at once, the reason
// stands in no mail and is readable for the reviewer, and the review is in the journal.
func TestEmergencyIsTold(t *testing.T) {
	box := newLetterbox(t)
	i := newDaemonTest(t, "--mail-to", "owner@practice.example", "--smtp", box.addr, "--smtp-plain")
	i.serving(func(ctx context.Context) {
		box.take()
		o := &office{e: i.e, d: i.d, m: i.d.m}
		if err := o.openRoom(); err != nil {
			t.Fatal(err)
		}
		options := o.accountOptions()
		options.Slots, options.Work = plainSlots{open: map[string]string{}}, cheapWork
		options.OnOpen, options.OnLast = nil, nil
		a, err := accounts.Open(options)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		const pass = "four words apart please"
		signIn := func(name, pass string) string {
			t.Helper()
			token, _, err := a.SignIn(ctx, name, pass, "127.0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		code, _, err := a.NewSetupCode()
		if err == nil {
			_, err = a.SetUp(ctx, "127.0.0.1", accounts.FirstOwner{Code: code, Name: "reyes", Display: "Dr. Reyes", Password: pass})
		}
		if err != nil {
			t.Fatal(err)
		}
		owner := signIn("reyes", pass)
		if _, err := a.Create(ctx, owner, accounts.NewAccount{Name: "stan", Role: accounts.Staff, Password: "first " + pass}); err != nil {
			t.Fatal(err)
		}
		stan, _, err := a.ChangePassword(ctx, signIn("stan", "first "+pass), "first "+pass, "other "+pass)
		if err != nil {
			t.Fatal(err)
		}
		i.d.alarm.look(ctx)
		box.take()

		const reason = "The patient Canary is unconscious"
		if _, _, err := a.StartEmergency(ctx, stan, reason, time.Hour); err != nil {
			t.Fatal(err)
		}
		i.d.alarm.look(ctx)
		mail := strings.Join(box.take(), "\n")
		if !strings.Contains(mail, "owner@practice.example") || !strings.Contains(mail, "stan used emergency access to charts.") ||
			!strings.Contains(mail, "review it") || strings.Contains(mail, "Canary") {
			t.Errorf("told: %s", mail)
		}
		list, err := a.Emergencies(owner, true)
		if err != nil || len(list) != 1 || list[0].Reason != reason {
			t.Fatalf("to review: %+v, %v", list, err)
		}
		if err := a.Review(owner, list[0].ID, "right so"); err != nil {
			t.Fatal(err)
		}
		p, err := o.Log(ctx, viewer.Actor{Account: "reyes", Role: accounts.Owner}, viewer.LogAll, 0, 5)
		if err != nil || p.Lines[0].Code != "log.all" || p.Lines[0].Account != "reyes" || p.Lines[1].Code != accounts.CodeReview || !strings.Contains(p.Lines[1].Note, "right so") {
			t.Errorf("the log: %+v, %v", p.Lines, err)
		}
		i.d.m.Lock()
		if list, err = a.Emergencies(owner, false); err != nil || list[0].Reason != "" || list[0].Remark != "" {
			t.Errorf("while the mirror is locked: %+v, %v", list, err)
		}
	})
}

// TestLogOfAChart: a line that the pages wrote is taken apart in the access log.
func TestLogOfAChart(t *testing.T) {
	o, _ := logOffice(t, 0)
	journalAll(t, o, store.Event{Code: "chart.view", Account: "stan", Key: store.Key{Source: "emr", Type: "Patient"}, Patient: "p",
		Note: "problems; from 10.0.0.7; request AAAA; emergency 20260302T060000.000000000Z-00aa11bb"})
	l := logPage(t, o, logOwner, viewer.LogAll, 0, 9).Lines[0]
	if l.Note != "problems" || l.Address != "10.0.0.7" || l.What != "looked at the chart under emergency access" {
		t.Errorf("%+v", l)
	}
}
