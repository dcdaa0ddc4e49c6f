// Package viewer is the web pages: sign-in, Home, Backups, Reports, Settings, the
// access log and the first run.
//
// It shows what a Backend gives it and nothing else: what is not known is said to be
// not known. It decides who may open which page (one table of routes says it), and
// keeps the door: hosts, origins, sessions, headers, sizes. It knows no EMR and reads
// no mirror, so that it also works over a copy whose EMR is gone. Each page works
// without JavaScript.
package viewer

import (
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"chartcellar/store/access"
)

// Options say what the pages show and who is asked. Backend and Access must be set.
type Options struct {
	Backend Backend
	Access  Access
	Now     func() time.Time // nil: time.Now
	Zone    *time.Location   // the practice's; nil: time.Local
	Log     *slog.Logger     // nil: none
	// Practice returns the name of the practice; nil: none.
	Practice func() string
	Version  string // of the program, for the foot of the pages
	// NameInTitle reports whether the title of a chart's page names the patient; nil: never.
	NameInTitle func() bool
	// TLS says that the pages are served over https, as the cookies then need it.
	TLS bool
	// Hosts are the names and addresses, without a port, that the pages answer to
	// beside those of this computer itself.
	Hosts []string
	// Local reports whether an address is this computer's own: the first run, and
	// everything without TLS, is for those only. nil: loopback addresses.
	Local func(netip.Addr) bool
	// ReadOnly says that a folder is only looked at: nothing can be started or
	// changed.
	ReadOnly bool
}

// A Server answers the requests of browsers.
type Server struct {
	o      Options
	pages  map[string]*template.Template
	assets assets
	hosts  map[string]bool
	cross  *http.CrossOriginProtection
	mux    *http.ServeMux

	underway underway
}

// New makes a Server. It starts nothing.
func New(o Options) (*Server, error) {
	if o.Backend == nil || o.Access == nil {
		return nil, errors.New("make the pages: Backend and Access must be set")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Zone == nil {
		o.Zone = time.Local
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Practice == nil {
		o.Practice = func() string { return "" }
	}
	if o.NameInTitle == nil {
		o.NameInTitle = func() bool { return false }
	}
	if o.Local == nil {
		o.Local = netip.Addr.IsLoopback
	}
	s := &Server{o: o, hosts: map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true},
		cross: http.NewCrossOriginProtection(), mux: http.NewServeMux()}
	for _, h := range o.Hosts {
		s.hosts[hostName(h)] = true
	}
	var err error
	if s.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	if s.pages, err = loadTemplates(s.assets); err != nil {
		return nil, err
	}
	for _, r := range routes() {
		if r.Who == "" || r.serve == nil {
			return nil, fmt.Errorf("make the pages: %s %s has no rule", r.Method, r.Path)
		}
		s.mux.Handle(r.Method+" "+r.Path, s.page(r))
	}
	s.mux.HandleFunc("/", s.notFound)
	return s, nil
}

// Handler returns what a http.Server serves.
func (s *Server) Handler() http.Handler { return s.guard(s.mux) }

// A Who says who may open a page: a capability of package access, or one of those
// below.
type Who = access.Capability

// The rules that are no capabilities.
const (
	Anyone    Who = "anyone"     // without an account
	SignedIn  Who = "signed in"  // also if the session is locked, or the password must be changed
	SettingUp Who = "setting up" // the first run: anyone at this computer before there is an owner, then an owner
)

// A Route is one line of the table from which the pages are made.
type Route struct {
	Method, Path string
	Who          Who
	// Writes says that it starts or changes something, which a copy that is only
	// looked at refuses.
	Writes bool
	// Quiet says that the page asks by itself: it does not count as use.
	Quiet bool

	serve func(*Server, *request) error
}

// Routes returns the table; tests crawl it.
func Routes() []Route { return routes() }
