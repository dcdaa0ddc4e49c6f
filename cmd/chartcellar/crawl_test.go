package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	accounts "chartcellar/store/access"
)

// admits signs a person of a role in, after an owner has made the account on the pages.
func (s *served) admits(role accounts.Role) *http.Client {
	s.t.Helper()
	const first, own = "the first one given here", "one that nobody else knows"
	name := "his " + strings.ToLower(string(role))
	c, body := s.post("/settings/accounts", url.Values{"name": {name}, "display": {name}, "role": {string(role)}, "password": {first}})
	s.wants(c, body, http.StatusSeeOther)
	owner := s.web
	defer func() { s.web = owner }()
	s.web = s.browser()
	c, body = s.post("/sign-in", url.Values{"name": {name}, "password": {first}})
	s.wants(c, body, http.StatusSeeOther, "/settings/password")
	c, body = s.get("/")
	s.wants(c, body, http.StatusSeeOther, "/settings/password") // nothing before that
	c, body = s.post("/settings/password", url.Values{"old": {first}, "new": {own}, "again": {own}})
	s.wants(c, body, http.StatusSeeOther)
	return s.web
}

// real are addresses for the patterns of the table in an office of the tests.
func (s *served) real(path string) string {
	month := "/reports/" + time.Now().In(s.e.daemon.get().office.Load().zone()).Format("2006-01")
	return strings.NewReplacer("{$}", "", "/static/{name}", "/static/none.css", "{step}", "emr", "/reports/{month}", month, "{run}", "1", "{id}", "none").Replace(path)
}

// holds has the EMR lose records, so that a run is held.
func (s *served) holds(emr interface {
	EachAt(string, time.Time, func(string, []byte) error) error
	Delete(string, string)
}) {
	s.t.Helper()
	var lost []string
	if err := emr.EachAt("Observation", time.Now(), func(id string, _ []byte) error {
		if len(lost) < 30 {
			lost = append(lost, id)
		}
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	for _, id := range lost {
		emr.Delete("Observation", id)
	}
	c, body := s.post("/backups/run", nil)
	s.wants(c, body, http.StatusSeeOther)
	s.idle()
}

// TestEveryRouteEveryRoleOfTheOffice crawls the table of pages against the real office,
// with accounts that were made on the pages: each answers each role as its rule says.
func TestEveryRouteEveryRoleOfTheOffice(t *testing.T) {
	t.Parallel()
	s, emr := settled(t)
	o := s.e.daemon.get().office.Load()
	s.holds(emr)
	held, err := o.Held(t.Context(), logOwner)
	if err != nil || len(held) != 1 || len(held[0].Examples) == 0 {
		t.Fatalf("held: %+v, %v", held, err)
	}
	secret := []string{"patient #", "Patient/"}
	for _, x := range held[0].Examples {
		secret = append(secret, x.Ref)
	}
	who := map[accounts.Role]*http.Client{accounts.Owner: s.web, "": s.browser()}
	for _, role := range accounts.Roles()[1:] {
		who[role] = s.admits(role)
	}
	if err := o.m.Journal(chartLine("pat-1")); err != nil {
		t.Fatal(err)
	}
	for role, web := range who {
		for _, route := range viewer.Routes() {
			s.crawl(role, web, route, secret)
		}
	}
	s.web = who[accounts.Doctor]
	if _, body := s.get("/backups/held"); !strings.Contains(body, held[0].Examples[0].Ref) {
		t.Error("the doctor sees no example of what is held")
	}
	s.web = who[accounts.Owner]
	if _, body := s.get("/log"); !strings.Contains(body, "patient #") {
		t.Error("the owner sees no patient in the log")
	}
	if said := s.out.String(); strings.Contains(said, "page failed") {
		t.Errorf("the log says:\n%s", said)
	}
}

// crawl asks for one page in one role.
func (s *served) crawl(role accounts.Role, web *http.Client, route viewer.Route, secret []string) {
	s.t.Helper()
	for _, end := range []string{"/sign-in", "/sign-out", "/lock", "/unlock", "/confirm"} {
		if route.Path == end && role != "" {
			return // they begin or end sessions; their own tests
		}
	}
	s.web = web
	var code int
	var body string
	if path := s.real(route.Path); route.Method == http.MethodPost {
		code, body = s.post(path, url.Values{})
	} else {
		code, body = s.get(path)
	}
	where := fmt.Sprintf("%s %s as %q: %d", route.Method, route.Path, role, code)
	if code >= http.StatusInternalServerError {
		s.t.Errorf("%s\n%s", where, body)
	}
	if role == accounts.IT || role == accounts.Manager {
		for _, x := range secret {
			if strings.Contains(body, x) {
				s.t.Errorf("%s: it shows %s", where, x)
			}
		}
	}
	open := route.Who == viewer.Anyone
	switch {
	case route.Who == viewer.SignedIn:
		open = role != ""
	case route.Who == viewer.SettingUp && role == accounts.Owner:
		if code != http.StatusNotFound {
			s.t.Errorf("%s: the first run is over, want 404", where)
		}
		return
	case route.Who != viewer.Anyone && route.Who != viewer.SettingUp:
		open = role != "" && accounts.Can(role, 0, route.Who)
	}
	switch {
	case open && (code == http.StatusForbidden || strings.HasPrefix(body, "/sign-in?") || strings.HasPrefix(body, "/confirm")):
		s.t.Errorf("%s %s: refused, want it open", where, body[:min(40, len(body))])
	case !open && role == "" && !strings.HasPrefix(body, "/sign-in?next="):
		s.t.Errorf("%s: want the way to sign in", where)
	case !open && role != "" && code != http.StatusForbidden:
		s.t.Errorf("%s: want 403", where)
	}
}

// chartLine is the line of somebody who looked at a chart.
func chartLine(patient string) store.Event {
	return store.Event{Code: "chart.view", Account: "reyes", Key: store.Key{Source: "emr", Type: "Patient"}, Patient: patient}
}
