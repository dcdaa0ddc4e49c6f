package main

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/config"
	"chartcellar/store"
)

func alertsCommand(e *env) *cobra.Command {
	c := command("alerts", "Show, set and test who is told when something goes wrong",
		`alerts shows who is told and how that works, what is wrong at the moment, and what was
told lately. "chartcellar serve" tells by itself: of what is wrong, and when it is well
again; of changes to settings, schedule and keys at once. No message names a patient.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.alertsShow(ctx) })
	test := command("test", "Send a test over each way, and say how it went",
		"Exit codes: 0 all arrived as far as can be seen, 12 one did not.", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.alertsTest(ctx) })
	password := command("password", "Seal the password for the mail server",
		`password asks for it (or takes CHARTCELLAR_SMTP_PASSWORD) and keeps it sealed with the
box key, outside the settings.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.alertsPassword(ctx) })
	c.AddCommand(alertsSetCommand(e), test, password)
	return c
}

// alertOptions are what `alerts set` can change.
type alertOptions struct {
	config.Alerts
	given func(flag string) bool
}

func alertsSetCommand(e *env) *cobra.Command {
	var o alertOptions
	c := command("set", "Change who is told, and how",
		`set changes what is named and leaves the rest. An empty value ("") ends a way. Everybody
who is told now hears of the change, also those who will not be told any more.
Mail goes encrypted (STARTTLS; port 465: TLS). Then: chartcellar alerts test`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.alertsSet(ctx, o) })
	f := c.Flags()
	f.StringSliceVar(&o.MailTo, "mail-to", nil, "addresses that get mail: every owner's")
	f.StringVar(&o.MailFrom, "mail-from", "", "sender (default: the user at the mail server, or the first receiver)")
	f.StringVar(&o.SMTP, "smtp", "", "mail server, HOST:587")
	f.StringVar(&o.SMTPUser, "smtp-user", "", "user at the mail server; its password: chartcellar alerts password")
	f.BoolVar(&o.Plain, "smtp-plain", false, "the mail server is this computer and has no STARTTLS")
	f.StringArrayVar(&o.Command, "command", nil, "program to run, with its full path; once more for each argument")
	f.StringVar(&o.Ping, "ping", "", "https address to call after each good run")
	f.StringVar(&o.StatusFile, "status-file", "", "file to keep the state in, for other programs")
	f.IntVar(&o.GapDays, "gap-days", 0, "after how many days an open gap is told")
	o.given = f.Changed
	return c
}

// edits checks what is asked for and turns it into changes of the settings.
func (o alertOptions) edits(now config.Alerts) ([]config.Edit, error) {
	var edits []config.Edit
	put := func(flag, key string, value any, set func()) {
		if o.given(flag) {
			edits = append(edits, config.Edit{Section: "alerts", Key: key, Value: value})
			set()
		}
	}
	o.MailTo, o.Command = filled(o.MailTo), filled(o.Command)
	put("mail-to", "mail_to", o.MailTo, func() { now.MailTo = o.MailTo })
	put("mail-from", "mail_from", o.MailFrom, func() { now.MailFrom = o.MailFrom })
	put("smtp", "smtp", o.SMTP, func() { now.SMTP = o.SMTP })
	put("smtp-user", "smtp_user", o.SMTPUser, func() { now.SMTPUser = o.SMTPUser })
	put("smtp-plain", "smtp_plain", o.Plain, func() { now.Plain = o.Plain })
	put("command", "command", o.Command, func() { now.Command = o.Command })
	put("ping", "ping", o.Ping, func() { now.Ping = o.Ping })
	put("status-file", "status_file", o.StatusFile, func() { now.StatusFile = o.StatusFile })
	put("gap-days", "gap_days", o.GapDays, func() { now.GapDays = o.GapDays })
	switch w := waysOf(now, nil); {
	case len(edits) == 0:
		return nil, usage("say what to change; see: chartcellar alerts set --help")
	case len(w.wrong) > 0:
		return nil, usage(w.wrong[0])
	case now.GapDays < 0:
		return nil, usage("--gap-days must be a number of days")
	}
	return edits, nil
}

// filled leaves empty words out.
func filled(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return strings.TrimSpace(s) == "" })
}

func (e *env) alertsSet(ctx context.Context, o alertOptions) error {
	return e.withMirror(ctx, access{doing: "alerts set", write: true}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		if o.StatusFile != "" {
			var err error
			if o.StatusFile, err = e.abs(o.StatusFile); err != nil {
				return err
			}
		}
		edits, err := o.edits(s.Alerts)
		if err != nil {
			return err
		}
		if err := e.changeSettings(m, "owner", edits...); err != nil {
			return err
		}
		e.printf("Changed. Everybody who is told, and who was until now, hears of it. Next: chartcellar alerts test\n")
		return nil
	})
}

func (e *env) alertsPassword(ctx context.Context) error {
	a := access{doing: "alerts password", write: true, asks: "CHARTCELLAR_SMTP_PASSWORD", what: "Password for the mail server"}
	return e.withMirror(ctx, a, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		password, err := e.askSecret(a.asks, a.what)
		if err != nil {
			return err
		}
		if password == "" {
			return usage("no password was given; nothing was changed")
		}
		alarm, err := e.alarmFor(s, m)
		if err != nil {
			return err
		}
		if err := m.Journal(store.Event{Code: "alerts.password", Account: "owner"}); err != nil {
			return err
		}
		if err := keepPassword(alarm.fs, alarm.box, s, password); err != nil {
			return err
		}
		e.printf("The password is sealed. Next: chartcellar alerts test\n")
		return e.changed(m, notice{code: "alerts.password", by: "owner"})
	})
}

// alarmFor returns the alarm of the daemon, if this process is one, or opens one.
func (e *env) alarmFor(s config.Settings, m *store.Mirror) (*alarm, error) {
	if d := e.daemon.get(); d != nil {
		return d.alarm, nil
	}
	return e.openAlarm(s, m)
}

// A tested is how a test went over one way.
type tested struct {
	Way   string `json:"way"`
	OK    bool   `json:"ok"`
	Words string `json:"words"`
}

func (e *env) alertsTest(ctx context.Context) error {
	return e.withMirror(ctx, access{doing: "alerts test", write: true}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		a, err := e.alarmFor(s, m)
		if err != nil {
			return err
		}
		list := a.test(ctx)
		if len(list) == 0 {
			return usage("nobody is told yet; set it up with: chartcellar alerts set")
		}
		if e.json {
			if err := e.printJSON(list); err != nil {
				return err
			}
		}
		code := exitGood
		for _, t := range list {
			if !t.OK {
				code = exitFailed
			}
			if !e.json {
				e.printf("%-8s %s: %s\n", map[bool]string{true: "good", false: "FAILED"}[t.OK], t.Way, t.Words)
			}
		}
		return quiet(code)
	})
}

// test sends a test over each way.
func (a *alarm) test(ctx context.Context) (list []tested) {
	outcomes := a.center.Test(ctx)
	a.sent(ctx, outcomes)
	for _, o := range outcomes {
		t := tested{o.Channel, o.Err == nil, "was sent. See that it arrived."}
		if o.Err != nil {
			t.Words = sentence(o.Err.Error())
		}
		list = append(list, t)
	}
	a.mu.Lock()
	s, wrong := a.s, a.ways.wrong
	a.mu.Unlock()
	for _, w := range wrong {
		list = append(list, tested{"settings", false, sentence(w)})
	}
	// What of these two cannot be used is among the wrong ones.
	if p := pingOf(s.Alerts.Ping); p.Check() == nil {
		err := p.Send(ctx, notify.Tested)
		t := tested{"ping of " + pingHost(s.Alerts.Ping), err == nil || errors.Is(err, notify.ErrNoTest), "was sent."}
		if err != nil {
			t.Words = sentence(err.Error())
		}
		list = append(list, t)
	}
	if filepath.IsAbs(s.Alerts.StatusFile) {
		t := tested{"status file", true, "is written to " + s.Alerts.StatusFile + "."}
		in, err := a.facts(a.now())
		if err == nil {
			err = a.writeStatus(in)
		}
		if err != nil {
			t.OK, t.Words = false, sentence(err.Error())
		}
		list = append(list, t)
	}
	a.keep(ctx)
	a.poke()
	return list
}

// pingHost is what may be shown of a ping's address.
func pingHost(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "a bad address"
	}
	return u.Host
}

// shownAlerts are what `alerts` shows.
type shownAlerts struct {
	Kept     bool         `json:"kept"` // a process tells by itself
	Ways     []shownWay   `json:"ways"`
	Unusable []string     `json:"unusable"` // settings, in words
	Standing []shownAlert `json:"standing"`
	Told     []toldLine   `json:"told"`
	Check    health.Check `json:"alerts"` // as status has it
}

// A shownWay is one way and how it fares.
type shownWay struct {
	Way     string    `json:"way"`
	Carried time.Time `json:"carried,omitzero"`
	Failing time.Time `json:"failing,omitzero"`
}

// A shownAlert is an alert that stands.
type shownAlert struct {
	Kind   notify.Kind  `json:"kind"`
	Source string       `json:"source,omitempty"`
	Level  notify.Level `json:"level"`
	Text   notify.Text  `json:"text"`
	Next   notify.Text  `json:"next"`
	Since  time.Time    `json:"since"`
	Told   []string     `json:"told"` // over which ways
}

func (a *alarm) show() shownAlerts {
	out := shownAlerts{Ways: []shownWay{}, Unusable: []string{}, Standing: []shownAlert{}, Told: []toldLine{}}
	for _, c := range a.center.Carriers() {
		out.Ways = append(out.Ways, shownWay{c.Name, c.Carried, c.Failing})
	}
	for _, s := range a.center.List() {
		one := shownAlert{s.Kind, s.Source, s.Level, s.Text, s.Next, s.Since, []string{}}
		for channel := range s.Told {
			one.Told = append(one.Told, channel)
		}
		slices.Sort(one.Told)
		out.Standing = append(out.Standing, one)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	out.Unusable = append(out.Unusable, a.ways.wrong...)
	if p := a.s.Alerts.Ping; p != "" {
		one := shownWay{Way: "ping of " + pingHost(p), Failing: a.notes.PingDown}
		for _, at := range a.notes.Pinged {
			one.Carried = later(one.Carried, at)
		}
		out.Ways = append(out.Ways, one)
	}
	if f := a.s.Alerts.StatusFile; filepath.IsAbs(f) {
		out.Ways = append(out.Ways, shownWay{Way: "status file " + f, Failing: a.notes.FileDown})
	}
	out.Told = append(out.Told, a.notes.Told...)
	out.Check = a.notes.judge(a.ways, a.s.Alerts.Ping != "")
	return out
}

func (e *env) alertsShow(ctx context.Context) error {
	return e.withMirror(ctx, access{doing: "alerts"}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		a, err := e.alarmFor(s, m)
		if err != nil {
			return err
		}
		out := a.show()
		out.Kept = e.daemon.get() != nil
		if e.json {
			return e.printJSON(out)
		}
		e.printAlerts(out)
		return nil
	})
}

func (e *env) printAlerts(out shownAlerts) {
	if !out.Kept {
		e.printf("NOBODY IS TOLD BY ITSELF: no \"chartcellar serve\" is running.\n\n")
	}
	e.printf("Who is told:\n")
	if len(out.Ways)+len(out.Unusable) == 0 {
		e.printf("  nobody. Set it up with: chartcellar alerts set --mail-to you@practice.example --smtp mail.example:587\n")
	}
	for _, w := range out.Ways {
		words := "nothing was sent yet"
		switch {
		case !w.Failing.IsZero():
			words = "FAILS since " + w.Failing.Local().Format("2006-01-02 15:04")
		case !w.Carried.IsZero():
			words = "works, last " + ago(w.Carried)
		case strings.HasPrefix(w.Way, "status file"):
			words = "is written every few minutes"
		}
		e.printf("  %-40s %s\n", w.Way, words)
	}
	for _, w := range out.Unusable {
		e.printf("  CANNOT BE USED: %s\n", oneLine(w))
	}
	e.printf("\nWhat is wrong now:\n")
	if len(out.Standing) == 0 {
		e.printf("  nothing that was told.\n")
	}
	for _, s := range out.Standing {
		told := "told nobody yet"
		if len(s.Told) > 0 {
			told = "told: " + strings.Join(s.Told, ", ")
		}
		e.printf("  %s: %s (since %s; %s)\n  %s\n", s.Level, oneLine(s.Text.String()), s.Since.Local().Format("2006-01-02 15:04"), told, oneLine(s.Next.String()))
	}
	e.printf("\nWhat was sent lately:\n")
	if len(out.Told) == 0 {
		e.printf("  nothing.\n")
	}
	for _, t := range out.Told[:min(10, len(out.Told))] {
		what := strings.TrimSpace(string(t.Kind) + " " + t.Source)
		words := "taken"
		if t.Fault != "" {
			words = "NOT TAKEN: " + oneLine(t.Fault)
		}
		e.printf("  %s  %-28s %-6s %s: %s\n", t.At.Local().Format("2006-01-02 15:04"), what, t.Phase, t.Channel, words)
	}
}
