package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/config"
	"chartcellar/store"
	accounts "chartcellar/store/access"
	"chartcellar/store/disk"
)

// A notice is of something that every owner must hear of at once.
type notice struct {
	code   string // as in the journal
	by     string // who; "file" is a settings file that was edited by hand
	source string // of which EMR
	target string // to whose account or passphrase
	place  string // which second copy
	// before and after are the settings, where they changed. Those who were told of
	// alerts until then hear of it too.
	before, after config.Settings
}

// changeWords say what happened, by whom.
var changeWords = map[string]notify.Sentence{
	"settings.changed":        "%s changed settings.",
	"source.add":              "%s connected another EMR.",
	"copy.add":                "%s set up a second copy.",
	"holding.connect":         "%s had a folder of files watched.",
	"source.key":              "%s made a new signing key.",
	"source.renew":            "%s renewed the sign-in to an EMR.",
	"schedule.pause":          "%s paused the schedule.",
	"schedule.resume":         "%s ended the pause of the schedule.",
	"patient.seal":            "%s sealed a patient: the records are kept, and nobody sees them.",
	"patient.unseal":          "%s took the seal of a patient off: the records are shown again.",
	"keys.passphrase":         "%s gave somebody a passphrase that opens the office copy.",
	"keys.sheet.new":          "%s made a new recovery sheet; the old one is no longer taken.",
	"keys.rekey":              "%s gave the office copy new keys, in a new folder.",
	"alerts.password":         "%s changed the password for the mail server.",
	accounts.CodeSetup:        "%s set up the first owner's account.",
	accounts.CodeRescue:       "%s asked for a setup code to get into the accounts again.",
	accounts.CodeStartOver:    "%s began the accounts anew.",
	accounts.CodeCreate:       "%s made an account.",
	accounts.CodeChange:       "%s changed what an account may do.",
	accounts.CodeReset:        "%s gave an account a new password.",
	accounts.CodePassword:     "%s changed their own password.",
	accounts.CodeDisable:      "%s closed an account.",
	accounts.CodeEnable:       "%s opened an account again.",
	accounts.CodeIdle:         "%s changed after what time the pages lock.",
	accounts.CodeEmergency:    "%s used emergency access to charts.",
	accounts.CodeEmergencyEnd: "%s ended emergency access to charts.",
}

// who names who did something.
func who(account string) notify.Fact {
	switch account {
	case "":
		return notify.Name("Somebody at this computer")
	case "file":
		return notify.Name("Somebody who edited the settings file")
	}
	return notify.Name(account)
}

// alert is the change as it is told.
func (c notice) alert() notify.Alert {
	words, ok := changeWords[c.code]
	if !ok {
		words = "%s changed something about keys or accounts."
	}
	first := notify.Say(words, who(c.by))
	var more []notify.Text
	if c.place != "" {
		more = append(more, notify.Say("Second copy: %s", notify.Name(c.place)))
	}
	if c.source != "" {
		more = append(more, notify.Say("EMR: %s", notify.Name(c.source)))
	}
	if c.target != "" {
		more = append(more, notify.Say("Account: %s", notify.Name(c.target)))
	}
	for _, key := range config.Changed(c.before, c.after) {
		more = append(more, notify.Join("", notify.Say("Changed: "), settingFact(key), notify.Say(".")))
	}
	if len(more) > 0 {
		more = append([]notify.Text{{}}, more...)
	}
	next := notify.Say("Nothing, if you know of it. If none of you did this, nothing is lost, but somebody else is at your settings: call whoever looks after the computer today.")
	if c.code == accounts.CodeEmergency {
		next = notify.Say("Look at what is opened under it, and review it: on the pages, Home, what you should do.")
	}
	return notify.Alert{Kind: notify.Changed, Level: notify.Info, Text: notify.Lines(append([]notify.Text{first}, more...)...), Next: next}
}

// add has a change told to everybody who is told of alerts now, and to those who were
// until it was made.
func (a *alarm) add(c notice) {
	a.mu.Lock()
	left := a.ways.all()
	for _, ch := range waysOf(c.before.Alerts, passwordOf(a.fs, a.box, a.s)).mail {
		if !slices.ContainsFunc(left, func(n notify.Channel) bool { return n.Name() == ch.Name() }) {
			left = append(left, ch)
		}
	}
	a.news = append(a.news, &news{c.alert(), left, a.e.now()})
	a.mu.Unlock()
	a.poke()
}

// tellNews tells each channel what it has not heard; looking is held. A channel that
// fails is tried again for a day. Once all is told, the settings count as known.
func (a *alarm) tellNews(ctx context.Context) {
	a.mu.Lock()
	list, s := slices.Clone(a.news), a.s
	a.mu.Unlock()
	for _, n := range list {
		outcomes := a.center.Tell(ctx, n.alert, n.left...)
		a.sent(ctx, outcomes)
		var left []notify.Channel
		for i, o := range outcomes {
			if o.Err != nil {
				left = append(left, n.left[i])
			}
		}
		n.left = left
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.news = slices.DeleteFunc(a.news, func(n *news) bool {
		return slices.Contains(list, n) && (len(n.left) == 0 || a.e.now().Sub(n.since) > newsLife)
	})
	if len(a.news) == 0 {
		a.notes.Settings = &s
	}
}

// missed has told what was changed in the settings up to s while nothing ran that could
// tell it, or could not be told, and reports whether there was something.
func (a *alarm) missed(s config.Settings) bool {
	a.mu.Lock()
	before := a.notes.Settings
	if before == nil { // nothing was noted yet
		a.notes.Settings = &s
	}
	a.mu.Unlock()
	if before == nil || len(config.Changed(*before, s)) == 0 {
		return false
	}
	a.add(notice{code: "settings.changed", before: *before, after: s})
	return true
}

// sinceLast tells and journals what changed since the program ran last.
func (a *alarm) sinceLast() error {
	if !a.missed(a.settings()) {
		return nil
	}
	return a.m.Journal(store.Event{Code: "settings.changed", Note: "found at the start"})
}

// told takes an event of the accounts that the journal has. What everybody must hear of
// is mailed; serve does not wait for that.
func (d *daemon) told(ev accounts.Event) {
	c := notice{code: ev.Code, by: ev.Account, target: ev.Target}
	switch {
	case !ev.Alert:
	case d.alarm != nil:
		d.alarm.add(c)
	default: // a command that opened the accounts by itself
		if err := d.e.changed(d.m, c); err != nil {
			d.e.logger().Error("nobody told of a change", "code", ev.Code, "cause", err.Error())
		}
	}
}

// changed tells of a change that was made and stands in the journal. Where no daemon
// runs it waits for that, for half a minute at most; what could not be told then is
// told by the next serve, as far as it is a setting.
func (e *env) changed(m *store.Mirror, c notice) error {
	if d := e.daemon.get(); d != nil {
		d.alarm.add(c)
		return nil
	}
	s, err := e.settings()
	if err != nil {
		return err
	}
	a, err := e.openAlarm(s, m)
	if err != nil {
		return err
	}
	if before := c.before; before.Data != "" {
		s = before
	}
	a.missed(s)
	a.add(c)
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	a.looking.Lock()
	defer a.looking.Unlock()
	a.tellNews(ctx)
	for _, n := range a.news {
		for _, ch := range n.left {
			fmt.Fprintf(e.Stderr, "NOTE: %s could not be told of this change; see: chartcellar alerts\n", ch.Name())
		}
	}
	a.keep(ctx)
	return nil
}

// putSettings puts a settings file in the place of the old one, and keeps it in the
// mirror. A daemon takes it over at once.
func (e *env) putSettings(m *store.Mirror, by, path string, file []byte) error {
	d := e.daemon.get()
	if d != nil {
		d.changing.Lock()
		defer d.changing.Unlock()
	}
	if err := disk.ReplaceFile(disk.OS{}, path, file); err != nil {
		return err
	}
	if err := m.KeepSettings(file, by); err != nil {
		return fmt.Errorf("keep the settings in the mirror: %w", err)
	}
	if d == nil {
		return nil
	}
	return d.takeOver()
}

// keepSettings keeps the settings file as it is in the mirror, if it was changed since it
// was kept last.
func (e *env) keepSettings(m *store.Mirror, by string) error {
	path, err := e.settingsPath()
	if err != nil {
		return err
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	if err := m.KeepSettings(file, by); err != nil {
		return fmt.Errorf("keep the settings in the mirror: %w", err)
	}
	return nil
}
