package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/config"
)

// ways are the channels of the settings, and in words what of the settings cannot be
// used. Such a setting stops neither the other ways nor a pull.
type ways struct {
	mail, other []notify.Channel
	wrong       []string
}

func (w ways) all() []notify.Channel {
	return append(append([]notify.Channel{}, w.mail...), w.other...)
}

func (w *ways) refuse(err error) { w.wrong = append(w.wrong, err.Error()) }

// waysOf makes the channels. Password is asked when mail is sent; nil where none is.
func waysOf(a config.Alerts, password func() (string, error)) (w ways) {
	if password == nil {
		password = func() (string, error) { return "", errNoPassword }
	}
	seen := map[string]bool{}
	server, err := mailServer(a, password)
	if err != nil {
		w.refuse(err)
	}
	for _, to := range a.MailTo {
		if err != nil || seen[strings.ToLower(to)] {
			continue
		}
		seen[strings.ToLower(to)] = true
		if ch, err := server.To(to); err != nil {
			w.refuse(err)
		} else {
			w.mail = append(w.mail, ch)
		}
	}
	if len(a.Command) > 0 {
		c := notify.Command{Argv: a.Command, Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin"}}
		if err := c.Check(); err != nil {
			w.refuse(err)
		} else {
			w.other = append(w.other, c)
		}
	}
	if a.Ping != "" {
		if err := pingOf(a.Ping).Check(); err != nil {
			w.refuse(err)
		}
	}
	if a.StatusFile != "" && !filepath.IsAbs(a.StatusFile) {
		w.refuse(errors.New("the status file needs its full path"))
	}
	return w
}

// mailServer reads where mail is handed in.
func mailServer(a config.Alerts, password func() (string, error)) (notify.MailServer, error) {
	s := notify.MailServer{User: a.SMTPUser, Password: password, From: sender(a)}
	switch {
	case len(a.MailTo) == 0:
		return s, nil
	case a.SMTP == "":
		return s, errors.New("there is no mail server; give it with: chartcellar alerts set --smtp HOST:587")
	}
	host, port, err := net.SplitHostPort(a.SMTP)
	if err != nil {
		host, port = a.SMTP, "587"
	}
	if s.Port, err = strconv.Atoi(port); err != nil {
		return s, fmt.Errorf("%q is no port of a mail server; write HOST:587", oneLine(port))
	}
	s.Host = host
	switch {
	case a.Plain && !notify.Loopback(host):
		return s, errors.New("smtp_plain is for a mail server on this computer only, such as localhost:25")
	case a.Plain:
		s.Security = notify.Clear
	case s.Port == 465:
		s.Security = notify.TLS
	}
	return s, nil
}

// sender is whom alerts come from: what the settings say, else the user at the mail
// server, else the first who gets them.
func sender(a config.Alerts) string {
	switch {
	case a.MailFrom != "":
		return a.MailFrom
	case strings.Contains(a.SMTPUser, "@"):
		return a.SMTPUser
	case len(a.MailTo) > 0:
		return a.MailTo[0]
	}
	return ""
}

// pingOf is the ping at an address. Services of the kind of healthchecks.io also take
// tests and failures, at addresses made from it.
func pingOf(address string) notify.Ping {
	if u, err := url.Parse(address); err == nil && (u.Host == "hc-ping.com" || strings.HasPrefix(u.Path, "/ping/")) {
		return notify.Healthchecks(strings.TrimSuffix(address, "/"))
	}
	return notify.Ping{Success: address}
}

// mailWords say how mail is sent; "" if it is not set up.
func mailWords(a config.Alerts) string {
	switch {
	case a.SMTP == "":
		return ""
	case a.Plain:
		return "from " + sender(a) + " over " + a.SMTP + ", not encrypted, on this computer"
	case a.SMTPUser == "":
		return "from " + sender(a) + " over " + a.SMTP + ", encrypted, without a sign-in"
	}
	return "from " + sender(a) + " over " + a.SMTP + ", encrypted, as " + a.SMTPUser
}
