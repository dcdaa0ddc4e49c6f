package viewer

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"chartcellar/store/access"
)

// maxForm is how long the body of a request may be.
const maxForm = 64 << 10

// headers are on every answer (viewer.md 5.2).
var headers = [][2]string{
	{"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
		"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Referrer-Policy", "no-referrer"},
	{"Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"},
	{"Cache-Control", "no-store"},
}

// A request is what a page function is given.
type request struct {
	*http.Request
	w       http.ResponseWriter
	id      string // of the request, shown on error pages and in the log
	address string // where from, without a port
	now     time.Time
	token   string         // of the session; "" if there is none
	session access.Session // of who asks; zero if nobody is signed in
	signed  bool           // somebody is signed in, and not locked
}

// actor is who asks, for the Backend.
func (r *request) actor() Actor {
	return Actor{Account: r.session.Account.Name, Display: r.session.Account.Display, Role: r.session.Account.Role, Address: r.address,
		Request: r.id, Charts: r.can(access.SeeCharts), Sensitive: r.can(access.SeeSensitive),
		Emergency: r.session.Emergency}
}

// can reports whether who asks may do something now.
func (r *request) can(c access.Capability) bool { return r.signed && r.session.Can(c) }

// requestKey is that of the request in a context.
type requestKey struct{}

// newID returns a short number for a request that people can read to each other.
func newID() string {
	var b [5]byte
	rand.Read(b[:])
	return base32.StdEncoding.EncodeToString(b[:])
}

// hostName returns the name or address of a host without its port and brackets.
func hostName(h string) string {
	if name, _, err := net.SplitHostPort(h); err == nil {
		h = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(h, "[]"), "."))
}

// guard is in front of every page: headers, who is asked, from where, and how much.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		for _, h := range headers {
			w.Header().Set(h[0], h[1])
		}
		r := &request{w: w, id: newID(), address: hostName(hr.RemoteAddr), now: s.o.Now()}
		r.Request = hr.WithContext(context.WithValue(hr.Context(), requestKey{}, r))
		if err := s.door(r); err != nil {
			s.fail(r, err)
			return
		}
		if hr.ContentLength > maxForm {
			s.fail(r, errTooLarge)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		next.ServeHTTP(w, r.Request)
	})
}

// door refuses what does not come from a page of ours in a browser in the office.
func (s *Server) door(r *request) error {
	if !s.hosts[hostName(r.Host)] {
		return errHost
	}
	if s.cross.Check(r.Request) != nil {
		return errOrigin
	}
	if !s.o.TLS && !s.local(r) {
		return errPlain
	}
	return nil
}

// local reports whether a request comes from this computer.
func (s *Server) local(r *request) bool {
	addr, err := netip.ParseAddr(r.address)
	return err == nil && s.o.Local(addr.Unmap())
}

// page makes the handler of a route: who may, then the page, then what went wrong.
func (s *Server) page(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		r := hr.Context().Value(requestKey{}).(*request)
		r.Request, r.w = hr, w
		err := s.admit(r, route)
		if err == nil {
			err = s.form(r)
		}
		if err == nil && r.session.Account.ID != "" {
			defer s.underway.begin(r)()
		}
		if err == nil {
			err = ended(r, route.serve(s, r))
		}
		if err != nil {
			s.fail(r, err)
		}
	})
}

// form reads the form of a request, so that a page cannot forget to ask whether it
// could be read.
func (s *Server) form(r *request) error {
	if r.Method != post {
		return nil
	}
	err := r.ParseForm()
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return errTooLarge
	case err != nil:
		return errForm
	}
	return nil
}

// admit looks who asks and whether he may.
func (s *Server) admit(r *request, route Route) error {
	if route.Writes && s.o.ReadOnly {
		return ErrReadOnly
	}
	if strings.HasPrefix(route.Path, "/static/") {
		return nil
	}
	r.token = s.token(r)
	if err := s.look(r, route.Quiet || route.Who == Anyone); err != nil {
		return err
	}
	owner, err := s.o.Access.HasOwner()
	if err != nil {
		return err
	}
	if route.Who == SettingUp {
		return s.admitSetup(r, owner)
	}
	if !owner {
		return errNoOwner
	}
	switch {
	case route.Who == Anyone:
		return nil
	case r.session.Account.ID == "":
		return access.ErrNoSession
	case route.Who == SignedIn:
		return nil
	case !r.signed:
		return access.ErrSessionLocked
	case route.Quiet && !r.session.Can(route.Who):
		return access.ErrDenied
	case route.Quiet:
		return nil
	}
	r.session, err = s.o.Access.Allow(r.token, route.Who)
	return err
}

// look finds the session of a request: quiet, if it is not to count as use.
func (s *Server) look(r *request, quiet bool) error {
	if r.token == "" {
		return nil
	}
	ask := s.o.Access.Use
	if quiet {
		ask = s.o.Access.Look
	}
	session, err := ask(r.token)
	switch {
	case errors.Is(err, access.ErrNoSession):
		r.token = ""
		return nil
	case errors.Is(err, access.ErrSessionLocked):
		r.session = session
		return nil
	case err != nil:
		return err
	}
	r.session, r.signed = session, true
	return nil
}

// admitSetup lets the first run happen: at this computer by anyone until there is an
// owner, then by an owner until it is done. With a rescue code one more owner is made
// at this computer.
func (s *Server) admitSetup(r *request, owner bool) error {
	if s.o.ReadOnly {
		return ErrReadOnly
	}
	if !owner {
		if !s.local(r) {
			return errElsewhere
		}
		return nil
	}
	if r.URL.Path == ownerStep && s.local(r) {
		if u, err := s.o.Backend.Setup(r.Context()); err != nil || u.Rescue {
			return err
		}
	}
	switch {
	case r.session.Account.ID == "":
		return access.ErrNoSession
	case !r.signed:
		return access.ErrSessionLocked
	case r.session.Account.Role != access.Owner:
		return access.ErrDenied
	case r.session.Account.MustChange:
		return access.ErrMustChange
	}
	return nil
}
