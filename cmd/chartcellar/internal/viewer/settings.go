package viewer

import (
	"context"
	"errors"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"chartcellar/store/access"
)

// A settingsPage is Settings: what who looks may not see is not in it.
type settingsPage struct {
	Settings
	See      bool // more than one's own account
	Sessions []access.Session
	Idle     time.Duration
	Error    string
	Typed    *Alerts // what was typed, if it was refused
	Steps    []Step  // of a test of the connection
	Tested   string  // which
	Words    string  // what a test said
}

func (s *Server) serveSettings(r *request) error {
	return s.settingsAnswer(r, http.StatusOK, settingsPage{})
}

func (s *Server) settingsAnswer(r *request, status int, p settingsPage) error {
	var err error
	if p.See = r.can(access.SeeReports); p.See {
		if p.Settings, err = s.o.Backend.Settings(r.Context()); err != nil {
			return err
		}
	}
	if p.Sessions, err = s.o.Access.Sessions(r.token); err != nil {
		return err
	}
	p.Sessions = slices.DeleteFunc(p.Sessions, func(o access.Session) bool { return o.Account.ID != r.session.Account.ID })
	if p.Idle, err = s.o.Access.Idle(r.session.Account.Role); err != nil {
		return err
	}
	if p.Typed != nil {
		p.Alerts = *p.Typed
	}
	return s.render(r, status, "settings", "Settings", p)
}

// alertForm reads who is to be told.
func alertForm(r *request) (Alerts, error) {
	a := Alerts{Ping: strings.TrimSpace(r.PostFormValue("ping"))}
	a.Mail = strings.FieldsFunc(r.PostFormValue("mail"), func(c rune) bool { return strings.ContainsRune(",; \r\n\t", c) })
	for _, m := range a.Mail {
		if p, err := mail.ParseAddress(m); err != nil || p.Address != m {
			return a, &Refusal{"“" + clean(m) + "” is no mail address. Write addresses like office@practice.example, one a line. Nothing was changed."}
		}
	}
	if len(a.Mail) > 20 {
		return a, &Refusal{"More than 20 addresses are too many. Use a mailing list of your practice. Nothing was changed."}
	}
	if u, err := url.Parse(a.Ping); a.Ping != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
		return a, &Refusal{"The address to call begins with https://. Nothing was changed."}
	}
	return a, nil
}

func (s *Server) doAlerts(r *request) error {
	a, err := alertForm(r)
	if err == nil {
		err = s.o.Backend.SetAlerts(r.Context(), r.actor(), a)
	}
	if err == nil {
		s.redirect(r, "/settings?done=alerts")
		return nil
	}
	words, status, err := refused(err)
	if err != nil {
		return err
	}
	return s.settingsAnswer(r, status, settingsPage{Error: words, Typed: &a})
}

func (s *Server) doTestAlert(r *request) error {
	words, err := s.o.Backend.TestAlert(r.Context(), r.actor())
	if err != nil {
		wrong, status, err := refused(err)
		if err != nil {
			return err
		}
		return s.settingsAnswer(r, status, settingsPage{Error: wrong})
	}
	return s.settingsAnswer(r, http.StatusOK, settingsPage{Words: words})
}

// testTime is how long the test of a connection may take.
const testTime = 60 * time.Second

func (s *Server) doTestConnection(r *request) error {
	source := r.PostFormValue("source")
	steps, words, status, err := s.testConnection(r, source)
	if err != nil {
		return err
	}
	return s.settingsAnswer(r, status, settingsPage{Steps: steps, Tested: source, Error: words})
}

// testConnection tests a connection within its time.
func (s *Server) testConnection(r *request, source string) (steps []Step, words string, status int, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), testTime)
	defer cancel()
	steps, err = s.o.Backend.TestConnection(ctx, r.actor(), source)
	switch {
	case err == nil:
		return steps, "", http.StatusOK, nil
	case errors.Is(err, context.DeadlineExceeded):
		return steps, "The EMR did not answer within a minute. Nothing is lost; try again later.", http.StatusOK, nil
	}
	words, status, err = refused(err)
	return steps, words, status, err
}

// A passwordPage changes one's own password.
type passwordPage struct {
	Must  bool
	Error string
}

func (s *Server) servePassword(r *request) error {
	return s.render(r, http.StatusOK, "password", "Your password", passwordPage{Must: r.session.Account.MustChange})
}

func (s *Server) doPassword(r *request) error {
	p := passwordPage{Must: r.session.Account.MustChange}
	if r.PostFormValue("sessions") != "" {
		if err := s.o.Access.EndAll(r.token, r.session.Account.ID); err != nil {
			return err
		}
		s.redirect(r, "/settings?done=sessions")
		return nil
	}
	next := r.PostFormValue("new")
	if next != r.PostFormValue("again") {
		p.Error = "The two new passwords are not the same. Nothing was changed; type both again."
		return s.render(r, http.StatusUnprocessableEntity, "password", "Your password", p)
	}
	token, _, err := s.o.Access.ChangePassword(r.Context(), r.token, r.PostFormValue("old"), next)
	if err != nil {
		var status int
		if p.Error, status, err = refused(err); err != nil {
			return err
		}
		return s.render(r, status, "password", "Your password", p)
	}
	s.setCookie(r, token)
	s.redirect(r, "/settings?done=password")
	return nil
}

// A logPage is the access log.
type logPage struct {
	LogPage
	Scope LogScope
	From  bool
}

// before is the number of the line before which a page of the log begins; 0: the newest.
func before(r *request) (n uint64, err error) {
	if text := r.URL.Query().Get("before"); text != "" {
		if n, err = strconv.ParseUint(text, 10, 63); err != nil {
			return 0, ErrNotFound
		}
	}
	return n, nil
}

// linesPerPage is how many lines of the log a page has.
const linesPerPage = 100

func (s *Server) serveLog(r *request) error {
	p := logPage{Scope: LogOwn}
	switch {
	case r.can(access.SeeAccessLog):
		p.Scope = LogAll
	case r.can(access.SeeSystemLog):
		p.Scope = LogSystem
	}
	from, err := before(r)
	if err != nil {
		return err
	}
	if p.LogPage, err = s.o.Backend.Log(r.Context(), r.actor(), p.Scope, from, linesPerPage); err != nil {
		return err
	}
	p.From = from > 0
	return s.render(r, http.StatusOK, "log", "Access log", p)
}
