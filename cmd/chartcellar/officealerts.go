package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/config"
)

// SetAlerts implements viewer.Administration: the addresses and the ping. Where mail is
// handed in is the IT person's, by command.
func (o *office) SetAlerts(_ context.Context, a viewer.Actor, w viewer.Alerts) error {
	if o.d == nil || o.d.sched == nil {
		return viewer.ErrReadOnly
	}
	now := o.d.settings().Alerts
	for _, text := range append([]string{w.Ping}, w.Mail...) {
		if strings.ContainsFunc(text, unicode.IsControl) {
			return &viewer.Refusal{Words: "An address has a line break or another sign in it that no address has. Nothing was changed; type it anew."}
		}
	}
	if len(w.Mail) > 0 && now.SMTP == "" {
		return &viewer.Refusal{Words: "Mail cannot be sent yet: this computer knows no mail server. Nothing was changed. " +
			"Ask the IT person to run: chartcellar alerts set --smtp HOST:587, then write the addresses here."}
	}
	known := waysOf(now, nil).wrong // of what the page cannot change
	now.MailTo, now.Ping = w.Mail, w.Ping
	bad := slices.DeleteFunc(waysOf(now, nil).wrong, func(s string) bool { return slices.Contains(known, s) })
	if len(bad) > 0 {
		return &viewer.Refusal{Words: sentence(bad[0]) + " Nothing was changed."}
	}
	return o.change(a, config.Edit{Section: "alerts", Key: "mail_to", Value: w.Mail}, config.Edit{Section: "alerts", Key: "ping", Value: w.Ping})
}

// TestAlert implements viewer.Administration: a test over each way, and how it went.
func (o *office) TestAlert(ctx context.Context, _ viewer.Actor) (string, error) {
	if o.d == nil || o.d.sched == nil {
		return "", viewer.ErrReadOnly
	}
	list := o.d.alarm.test(ctx)
	if len(list) == 0 {
		return "", &viewer.Refusal{Words: "Nobody is told yet. Write an address first, and save it."}
	}
	var words []string
	failed := 0
	for _, t := range list {
		words = append(words, t.Way+": "+t.Words)
		if !t.OK {
			failed++
		}
	}
	if failed > 0 {
		return "", &viewer.Refusal{Words: fmt.Sprintf("Of %d ways, %d did not work. The office copy is not touched by this. %s", len(list), failed, strings.Join(words, " "))}
	}
	return strings.Join(words, " "), nil
}
