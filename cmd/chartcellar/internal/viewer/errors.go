package viewer

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"chartcellar/store/access"
)

// What the door and the pages refuse.
var (
	errHost      = errors.New("asked under a foreign name")
	errOrigin    = errors.New("sent from a foreign page")
	errPlain     = errors.New("over the network without TLS")
	errElsewhere = errors.New("first run from another computer")
	errNoOwner   = errors.New("there is no owner yet")
	errTooLarge  = errors.New("the form is too large")
	errForm      = errors.New("the form cannot be read")
	errMethod    = errors.New("the page does not take this")
)

// A problem is an error page: what happened, whether anything is lost, what next.
type problem struct {
	Status int
	Title  string
	What   string
	Lost   string
	Next   string
	Link   string // where Next leads; "": nowhere
	ID     string // of the request
}

// nothingLost is what most refusals say.
const nothingLost = "Nothing is lost, and nothing was changed."

// problems pairs errors with their pages.
func problems() []struct {
	err error
	p   problem
} {
	return []struct {
		err error
		p   problem
	}{
		{errHost, problem{Status: http.StatusMisdirectedRequest, Title: "This is not the address of these pages",
			What: "Your browser asked for these pages under a name that they do not answer to.", Lost: nothingLost,
			Next: "Use the address that is written on the computer, or ask your IT person to add this name to the settings."}},
		{errOrigin, problem{Status: http.StatusForbidden, Title: "This came from another web site",
			What: "Something was sent here from a page that is not ours. It was refused.", Lost: nothingLost,
			Next: "If you pressed a button on one of our pages, open Home and try again.", Link: "/"}},
		{errPlain, problem{Status: http.StatusForbidden, Title: "Only at the computer itself",
			What: "Over the network these pages open only by https, so that nobody can read along.", Lost: nothingLost,
			Next: "Open them at the computer itself, or ask your IT person to set up https."}},
		{errElsewhere, problem{Status: http.StatusForbidden, Title: "The first run happens at the computer itself",
			What: "There is no owner yet. Until there is one, these pages answer only at the computer on which the program runs.",
			Lost: nothingLost, Next: "Open a browser on that computer."}},
		{errTooLarge, problem{Status: http.StatusRequestEntityTooLarge, Title: "That is too much for one form",
			What: "What was sent is larger than 64 KB, which no form here needs. It was not read.", Lost: nothingLost,
			Next: "Go back and send less.", Link: "/"}},
		{errForm, problem{Status: http.StatusBadRequest, Title: "The form could not be read",
			What: "What was sent is not a form of these pages.", Lost: nothingLost, Next: "Go back and try again.", Link: "/"}},
		{errMethod, problem{Status: http.StatusMethodNotAllowed, Title: "This page cannot be used like that",
			What: "The page exists, but not for what was asked of it.", Lost: nothingLost, Next: "Open Home.", Link: "/"}},
		{ErrReadOnly, problem{Status: http.StatusForbidden, Title: "This copy is only being looked at",
			What: "The program was started to show a folder. It does not fetch anything and changes nothing.", Lost: nothingLost,
			Next: "Do this on the computer that makes the backups.", Link: "/"}},
		{ErrBusy, problem{Status: http.StatusConflict, Title: "A run is under way",
			What: "Only one run goes on at a time; this one was not started.", Lost: nothingLost,
			Next: "See how far the run is.", Link: "/backups"}},
		{ErrLocked, problem{Status: http.StatusLocked, Title: "The office copy is locked",
			What: "This page needs the office key, which is there only while somebody who may see charts is signed in.",
			Lost: "Nothing is lost. Backups go on.", Next: "Ask somebody who may see charts to sign in."}},
		{ErrNotFound, problem{Status: http.StatusNotFound, Title: "There is no such page",
			What: "Nothing is to be found at this address.", Lost: nothingLost, Next: "Open Home.", Link: "/"}},
		{access.ErrNoAccount, problem{Status: http.StatusNotFound, Title: "There is no such account",
			What: "No account of this practice has this number.", Lost: nothingLost, Next: "See the accounts.", Link: "/settings/accounts"}},
		{access.ErrDenied, problem{Status: http.StatusForbidden, Title: "Your account may not open this",
			What: "Your role does not include it.", Lost: nothingLost,
			Next: "If you need it, ask an owner of the practice. Otherwise open Home.", Link: "/"}},
		{access.ErrTooMany, problem{Status: http.StatusTooManyRequests, Title: "Too many wrong attempts", Lost: nothingLost,
			Next: "Wait, then try again."}},
		{access.ErrBusy, problem{Status: http.StatusServiceUnavailable, Title: "Several people are signing in", Lost: nothingLost,
			Next: "Try again in a few seconds.", Link: "/sign-in"}},
		{context.Canceled, problem{Status: 499, Title: "The browser went away", Lost: nothingLost}},
	}
}

// describe makes the page of an error.
func describe(err error) problem {
	for _, p := range problems() {
		if errors.Is(err, p.err) {
			if w := access.Words(err); p.p.What == "" {
				p.p.What = w
			}
			return p.p
		}
	}
	if words := access.Words(err); words != "" {
		return problem{Status: http.StatusForbidden, Title: "That was not possible", What: words, Lost: nothingLost,
			Next: "Open Home.", Link: "/"}
	}
	var refused *Refusal
	if errors.As(err, &refused) {
		return problem{Status: http.StatusUnprocessableEntity, Title: "That was not possible", What: refused.Words,
			Lost: nothingLost, Next: "Open Home.", Link: "/"}
	}
	return problem{Status: http.StatusInternalServerError, Title: "Something went wrong here",
		What: "The page could not be made. The program has noted what happened.",
		Lost: "No record is lost: pages only show the office copy.",
		Next: "Try again. If it stays like this, give your IT person the number below."}
}

// fail answers with what went wrong: one place for all pages.
func (s *Server) fail(r *request, err error) {
	switch {
	case errors.Is(err, errNoOwner):
		s.redirect(r, "/setup")
		return
	case errors.Is(err, access.ErrNoSession):
		s.leave(r, "/sign-in")
		return
	case errors.Is(err, access.ErrSessionLocked):
		s.leave(r, "/lock")
		return
	case errors.Is(err, access.ErrStepUp):
		s.leave(r, "/confirm")
		return
	case errors.Is(err, access.ErrMustChange):
		s.redirect(r, "/settings/password")
		return
	}
	p := describe(err)
	p.ID = r.id
	if refused := (*Refusal)(nil); errors.As(err, &refused) {
		p.wayBack(r)
	}
	if errors.Is(err, access.ErrDenied) && r.session.Account.Role != "" {
		p.What += " You are signed in as " + roleWords(r.session.Account.Role) + "."
	}
	attrs := []any{"request", r.id, "method", r.Method, "status", p.Status}
	if p.Status == http.StatusInternalServerError {
		s.o.Log.ErrorContext(r.Context(), "page failed", append(attrs, "err", err)...)
	} else {
		s.o.Log.InfoContext(r.Context(), "page refused", append(attrs, "why", loggedWhy(err))...)
	}
	if p.Status == 499 {
		return
	}
	if err := s.render(r, p.Status, "error", p.Title, p); err != nil {
		s.o.Log.ErrorContext(r.Context(), "error page failed", "request", r.id, "err", err)
		http.Error(r.w, p.Title+"\n"+p.What+"\nNumber: "+r.id, p.Status)
	}
}

// loggedWhy is what the log says of a refusal. The words for the person at the screen may
// repeat what somebody typed or what a file is called, and are not among it.
func loggedWhy(err error) string {
	var words *Refusal
	if errors.As(err, &words) {
		return "told in words"
	}
	return err.Error()
}

// wayBack leads from a day that the copy does not reach back to the same page of today.
func (p *problem) wayBack(r *request) {
	v := r.URL.Query()
	switch {
	case r.Method != get:
	case v.Get("asof") != "":
		v.Del("asof")
		p.Next, p.Link = "See it as it stands now, and choose another day there.", r.URL.Path
		if len(v) > 0 {
			p.Link += "?" + v.Encode()
		}
	case r.URL.Path == "/patients":
		p.Next, p.Link = "See the patients of today, and choose another day there.", r.URL.Path
	}
}

// leave sends the browser to a page of the door and remembers where it was.
func (s *Server) leave(r *request, to string) {
	if r.Header.Get("HX-Request") != "" { // a part of a page: the whole page must go
		r.w.Header().Set("HX-Redirect", to+"?next="+url.QueryEscape(backTo(r.Header.Get("HX-Current-URL"))))
		r.w.WriteHeader(http.StatusUnauthorized)
		return
	}
	next := r.URL.Path
	if r.Method != get { // what was typed is gone; the page that it was typed on is not
		next = pageOf(next)
	} else if r.URL.RawQuery != "" {
		next += "?" + r.URL.RawQuery
	}
	s.redirect(r, to+"?next="+url.QueryEscape(safeNext(next)))
}

// backTo returns the path of an address that htmx says the page has.
func backTo(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "/"
	}
	return safeNext(u.RequestURI())
}

// pageOf returns the page on which the form stands that is sent to a path.
func pageOf(path string) string {
	switch {
	case strings.HasPrefix(path, "/backups/schedule"), strings.HasPrefix(path, "/backups/held"),
		strings.HasPrefix(path, "/settings/accounts"), strings.HasPrefix(path, "/settings/password"):
		return path
	case strings.HasPrefix(path, "/document/"):
		return strings.TrimSuffix(path, "/file")
	case path == "/backups/copies/new", path == "/backups/drill":
		return path
	case strings.HasPrefix(path, "/backups/holdings"):
		return "/backups/holdings"
	case strings.HasPrefix(path, "/search/"): // what was found, of which something was asked for
		return path[:strings.LastIndexByte(path, '/')]
	case path == "/search", path == "/hidden", strings.HasPrefix(path, "/chart/") && strings.HasSuffix(path, "/hide"):
		return path
	case strings.HasPrefix(path, "/backups/copies"):
		return "/backups/copies"
	case strings.HasPrefix(path, "/backups"):
		return "/backups"
	case strings.HasPrefix(path, "/settings"):
		return "/settings"
	case strings.HasPrefix(path, "/setup"):
		return "/setup"
	case strings.HasPrefix(path, "/chart/") && strings.HasSuffix(path, "/timeline"):
		return path
	case strings.HasPrefix(path, "/record/") && strings.HasSuffix(path, "/file"):
		return strings.TrimSuffix(path, "file") + "source"
	}
	return "/"
}

// safeNext returns a path of these pages to go back to: never another site, and
// never a page of the door.
func safeNext(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	for _, door := range []string{"/sign-in", "/lock", "/unlock", "/sign-out", "/confirm", "/stay", "/idle", "/static/"} {
		if strings.HasPrefix(u.Path, door) {
			return "/"
		}
	}
	return u.RequestURI()
}

// redirect sends the browser to a page of ours; a form that was sent is not sent
// again.
func (s *Server) redirect(r *request, to string) {
	r.w.Header().Set("Location", to)
	r.w.WriteHeader(http.StatusSeeOther)
}

// notFound answers what no route does.
func (s *Server) notFound(w http.ResponseWriter, hr *http.Request) {
	r := hr.Context().Value(requestKey{}).(*request)
	r.w, r.Request = w, hr
	r.token = s.token(r)
	err := s.look(r, true)
	for _, route := range routes() {
		if err == nil && route.Path == hr.URL.Path {
			err = errMethod
		}
	}
	if err == nil {
		err = ErrNotFound
	}
	s.fail(r, err)
}
