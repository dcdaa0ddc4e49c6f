package viewer

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"chartcellar/store/access"
)

// An Access is what the pages need of the accounts; *access.Access has it. Before
// the first owner there may be no accounts yet: HasOwner is then false, and nothing
// else is asked.
type Access interface {
	Door
	Accounts
	Emergencies
}

// A Door lets people in and out.
type Door interface {
	HasOwner() (bool, error)
	SignIn(ctx context.Context, name, password, address string) (token string, s access.Session, err error)
	Unlock(ctx context.Context, token, password string) (string, access.Session, error)
	StepUp(ctx context.Context, token, password string) (string, access.Session, error)
	Look(token string) (access.Session, error)
	Use(token string) (access.Session, error)
	Allow(token string, c access.Capability) (access.Session, error)
	Lock(token string) error
	SignOut(token string)
}

// Accounts are what the page of accounts shows and changes.
type Accounts interface {
	Accounts() ([]access.Account, error)
	Account(id string) (access.Account, error)
	Create(ctx context.Context, token string, n access.NewAccount) (access.Account, error)
	Change(ctx context.Context, token, id string, c access.Change) (access.Account, error)
	ResetPassword(ctx context.Context, token, id, password string) (access.Account, error)
	Disable(ctx context.Context, token, id string) (access.Account, error)
	Enable(ctx context.Context, token, id, password string) (access.Account, error)
	ChangePassword(ctx context.Context, token, old, next string) (string, access.Session, error)
	Sessions(token string) ([]access.Session, error)
	EndAll(token, account string) error
	Idle(access.Role) (time.Duration, error)
}

// cookieName is that of the session's cookie: the strict name needs https.
func (s *Server) cookieName() string {
	if s.o.TLS {
		return "__Host-cc"
	}
	if s.o.ReadOnly { // a browser gives a cookie to every port of a computer
		return "cc-look"
	}
	return "cc"
}

// token returns the token of a request; "" if it has none, or more than one.
func (s *Server) token(r *request) string {
	list := r.CookiesNamed(s.cookieName())
	if len(list) != 1 {
		return ""
	}
	return list[0].Value
}

// setCookie gives the browser a token; "" takes it away.
func (s *Server) setCookie(r *request, token string) {
	c := &http.Cookie{Name: s.cookieName(), Value: token, Path: "/", Secure: s.o.TLS, HttpOnly: true,
		SameSite: http.SameSiteStrictMode}
	if token == "" {
		c.MaxAge = -1
	}
	http.SetCookie(r.w, c)
}

// limitKey is the address that wrong attempts are counted for: of IPv6 the network.
func limitKey(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	a = a.Unmap()
	if a.Is4() {
		return a.String()
	}
	if p, err := a.WithZone("").Prefix(64); err == nil {
		return p.String()
	}
	return address
}

// A doorPage is sign-in, lock and confirm.
type doorPage struct {
	Name  string // that was typed, or of the session
	Next  string
	Error string
}

// refused turns what is wrong with a form into the words above it; other errors go
// on to be a page of their own.
func refused(err error) (words string, status int, rest error) {
	var refusal *Refusal
	var limit *access.LimitError
	switch {
	case errors.As(err, &refusal):
		return refusal.Words, http.StatusUnprocessableEntity, nil
	case errors.As(err, &limit):
		return access.Words(err), http.StatusTooManyRequests, nil
	case errors.Is(err, access.ErrBusy):
		return access.Words(err), http.StatusServiceUnavailable, nil
	case errors.Is(err, access.ErrNoSession), errors.Is(err, access.ErrSessionLocked), errors.Is(err, access.ErrStepUp),
		errors.Is(err, access.ErrMustChange), errors.Is(err, access.ErrDenied), errors.Is(err, access.ErrNoAccount):
		return "", 0, err
	}
	if words := access.Words(err); words != "" {
		return words, http.StatusUnprocessableEntity, nil
	}
	return "", 0, err
}

func (s *Server) serveSignIn(r *request) error {
	if r.signed {
		s.redirect(r, safeNext(r.FormValue("next")))
		return nil
	}
	return s.signInPage(r, http.StatusOK, doorPage{Next: safeNext(r.FormValue("next"))})
}

func (s *Server) signInPage(r *request, status int, p doorPage) error {
	return s.render(r, status, "signin", "Sign in", p)
}

func (s *Server) doSignIn(r *request) error {
	p := doorPage{Name: r.PostFormValue("name"), Next: safeNext(r.PostFormValue("next"))}
	token, session, err := s.o.Access.SignIn(r.Context(), p.Name, r.PostFormValue("password"), limitKey(r.address))
	if err != nil {
		var status int
		if p.Error, status, err = refused(err); err != nil {
			return err
		}
		return s.signInPage(r, status, p)
	}
	if r.token != "" { // never two sessions in one browser
		s.o.Access.SignOut(r.token)
	}
	s.setCookie(r, token)
	if session.Account.MustChange {
		p.Next = "/settings/password"
	}
	s.redirect(r, p.Next)
	return nil
}

func (s *Server) serveLock(r *request) error {
	next := safeNext(r.FormValue("next"))
	if r.signed { // a browser that came back after it was unlocked elsewhere
		s.redirect(r, next)
		return nil
	}
	return s.render(r, http.StatusOK, "lock", "Locked", doorPage{Name: r.session.Account.Display, Next: next})
}

func (s *Server) doLock(r *request) error {
	next := safeNext(r.PostFormValue("next"))
	s.o.Backend.StopSearches(r.actor())
	if err := s.o.Access.Lock(r.token); err != nil && !errors.Is(err, access.ErrNoSession) {
		return err
	}
	s.underway.end(r)
	s.redirect(r, "/lock?next="+url.QueryEscape(next))
	return nil
}

func (s *Server) doUnlock(r *request) error {
	p := doorPage{Name: r.session.Account.Display, Next: safeNext(r.PostFormValue("next"))}
	token, _, err := s.o.Access.Unlock(r.Context(), r.token, r.PostFormValue("password"))
	if err != nil {
		var status int
		if p.Error, status, err = refused(err); err != nil {
			return err
		}
		return s.render(r, status, "lock", "Locked", p)
	}
	s.setCookie(r, token)
	s.redirect(r, p.Next)
	return nil
}

func (s *Server) doSignOut(r *request) error {
	s.o.Backend.StopSearches(r.actor())
	s.o.Access.SignOut(r.token)
	s.underway.end(r)
	s.setCookie(r, "")
	r.w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	s.redirect(r, "/sign-in")
	return nil
}

// doStay answers the button "Stay signed in" of the warning.
func (s *Server) doStay(r *request) error {
	if r.Header.Get("HX-Request") == "" {
		s.redirect(r, safeNext(r.PostFormValue("next")))
		return nil
	}
	r.w.WriteHeader(http.StatusNoContent)
	return nil
}

// serveIdle says in how many seconds the session locks; 0 if it has.
func (s *Server) serveIdle(r *request) error {
	left := 0
	if r.signed {
		left = secondsLeft(r)
	}
	return s.send(r, http.StatusOK, "text/plain; charset=utf-8", []byte(strconv.Itoa(left)))
}

// secondsLeft is rounded up, so that a browser never asks too early.
func secondsLeft(r *request) int {
	return max(1, int(math.Ceil(r.session.LocksAt.Sub(r.now).Seconds())))
}

func (s *Server) serveConfirm(r *request) error {
	return s.render(r, http.StatusOK, "confirm", "Your password once more",
		doorPage{Name: r.session.Account.Display, Next: safeNext(r.FormValue("next"))})
}

func (s *Server) doConfirm(r *request) error {
	p := doorPage{Name: r.session.Account.Display, Next: safeNext(r.PostFormValue("next"))}
	token, _, err := s.o.Access.StepUp(r.Context(), r.token, r.PostFormValue("password"))
	if err != nil {
		var status int
		if p.Error, status, err = refused(err); err != nil {
			return err
		}
		return s.render(r, status, "confirm", "Your password once more", p)
	}
	s.setCookie(r, token)
	s.redirect(r, p.Next)
	return nil
}
