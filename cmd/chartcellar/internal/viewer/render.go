package viewer

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/store/access"
)

//go:embed templates/*.html
var templateFiles embed.FS

// A view is what a template is given.
type view struct {
	Title    string // the heading
	Tab      string // of the window
	Path     string
	Practice string
	Version  string
	Signed   bool
	Session  access.Session
	Left     int // seconds until the session locks; 0: nobody is signed in
	Status   *Status
	ReadOnly bool
	ID       string // of the request
	Done     string // what a form that was sent before has done
	Data     any
	Chart    *ChartHead // whose chart it is; nil: nobody's

	here string
	now  time.Time
	zone *time.Location
}

// loadTemplates parses every page together with the frame around it.
func loadTemplates(a assets) (map[string]*template.Template, error) {
	funcs := template.FuncMap{"asset": a.path, "num": number, "size": size, "span": span, "known": known,
		"verdict": verdictOf, "list": strings.Join, "sub": func(a, b int) int { return a - b }, "type": typeWords,
		"mode": modeWords, "percent": percent, "signed": signedNumber, "signedSize": signedSize, "kind": kindWords,
		"gapKind": gapKind, "gapName": gapName, "several": several, "clean": clean, "role": roleWords, "place": placeWords,
		"words": strings.Fields, "rows": rows, "title": title, "tab": PageOf, "add": func(a, b int) int { return a + b },
		"joined": joined, "flagged": flagged, "ranged": ranged, "safe": safe, "bookkeeping": bookkeeping,
		"hours": func(minutes int) int { return minutes / 60 }}
	// What several pages share is in the files of parts.
	frame, err := template.New("frame").Option("missingkey=zero").Funcs(funcs).ParseFS(templateFiles, "templates/frame.html", "templates/*parts.html")
	if err != nil {
		return nil, fmt.Errorf("read the templates: %w", err)
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, n := range names {
		name := strings.TrimSuffix(path.Base(n), ".html")
		t, err := frame.Clone()
		if err == nil {
			t, err = t.ParseFS(templateFiles, n)
		}
		if err != nil {
			return nil, fmt.Errorf("read the template %s: %w", name, err)
		}
		pages[name] = t
	}
	return pages, nil
}

// render sends a page: made whole before the first byte is sent.
func (s *Server) render(r *request, status int, name, title string, data any) error {
	b, err := s.execute(r, name, "frame.html", title, data)
	if err != nil {
		return err
	}
	return s.send(r, status, "text/html; charset=utf-8", b)
}

// renderPart sends a piece of a page, for htmx.
func (s *Server) renderPart(r *request, name, part string, data any) error {
	b, err := s.execute(r, name, part, "", data)
	if err != nil {
		return err
	}
	return s.send(r, http.StatusOK, "text/html; charset=utf-8", b)
}

func (s *Server) execute(r *request, name, part, title string, data any) ([]byte, error) {
	v := view{Title: title, Tab: title, Path: r.URL.Path, Practice: s.o.Practice(), Version: s.o.Version, Signed: r.signed,
		Session: r.session, ReadOnly: s.o.ReadOnly, ID: r.id, Data: data, here: r.URL.Path, now: r.now, zone: s.o.Zone}
	if h, ok := data.(headed); ok {
		v.Chart = h.Head()
	}
	if v.Chart != nil {
		if name := v.Chart.Banner.Name; name != "" && s.o.NameInTitle() {
			v.Tab = clean(name) + " · " + title
		}
	}
	if r.Method == get {
		v.here = r.URL.RequestURI()
		v.Done = doneWords(r.URL.Query().Get("done"))
	}
	if r.signed {
		v.Left = secondsLeft(r)
		if st, err := s.o.Backend.Status(r.Context()); err == nil {
			v.Status = &st
		} else {
			s.o.Log.ErrorContext(r.Context(), "status not known", "request", r.id, "err", err)
		}
	}
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, part, &v); err != nil {
		return nil, fmt.Errorf("make the page %s: %w", name, err)
	}
	// A foreign text cannot turn the direction in which the page around it reads.
	return bytes.Map(func(c rune) rune {
		if turns(c) {
			return ' '
		}
		return c
	}, b.Bytes()), nil
}

func (s *Server) send(r *request, status int, kind string, b []byte) error {
	r.w.Header().Set("Content-Type", kind)
	r.w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	r.w.WriteHeader(status)
	if _, err := r.w.Write(b); err != nil { // the browser went away
		s.o.Log.DebugContext(r.Context(), "page not taken", "request", r.id, "err", err)
	}
	return nil
}

// sendJSON sends a value as a file of JSON.
func (s *Server) sendJSON(r *request, name string, v any) error {
	b, ok := v.([]byte)
	if !ok {
		var err error
		if b, err = json.MarshalIndent(v, "", "  "); err != nil {
			return fmt.Errorf("make the JSON: %w", err)
		}
	}
	r.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	return s.send(r, http.StatusOK, "application/json", b)
}

// sendPDF sends a page of PDF.
func (s *Server) sendPDF(r *request, name string, b []byte) error {
	r.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	return s.send(r, http.StatusOK, "application/pdf", b)
}

// doneWords are what a page says after a form was sent to it.
func doneWords(code string) string {
	return map[string]string{
		"run": "The run was started.", "verify": "The check was started.", "stop": "The run was asked to stop. What was stored is kept.",
		"pause": "The schedule is paused.", "resume": "The schedule goes on.", "schedule": "The schedule was changed.",
		"accept": "Accepted: what was held counts from now on.", "reject": "Rejected: the records stay as they were. The next run compares these types whole.",
		"alerts": "The addresses were changed. Every owner is told, also at the old address.", "test": "The test message was sent.",
		"password": "Your password was changed. Your other sessions were ended.",
		"account":  "The account was changed.", "new": "The account was made. Its first password must be changed at the first sign-in.",
		"sessions": "The other sessions were ended.",
		"setup":    "Setup is done. The first run was started.",
		"sheet":    "The sheet is being made; load this page again in a moment.", "list": "The list is kept. It counts from the next sheet on.",
		"now":   "The copy was started. It goes on also if you close this page.",
		"check": "The check was started.", "tested": "The test was started.", "answers": "The answers were kept.",
		"place": "The place is set up, and is tested once more now. Next: press “Copy now”.",
		"calm":  "Emergency access has ended. What is labelled sensitive is closed again.", "review": "The review was noted with your name.",
		"hide":   "The patient is hidden from everybody. Not one byte was removed.",
		"unhide": "The patient is shown again to everybody who may see charts.",
		"drill":  "The drill was started. The key is kept nowhere.",
	}[code]
}

// Can reports whether who looks may do something; a name that is no capability is
// refused.
func (v *view) Can(c string) bool {
	return v.Signed && slices.Contains(access.Capabilities(), access.Capability(c)) && v.Session.Can(access.Capability(c))
}

// May is Can for what changes something: never over a copy that is only looked at.
func (v *view) May(c string) bool { return !v.ReadOnly && v.Can(c) }

// InEmergency reports whether emergency access is in force.
func (v *view) InEmergency() bool { return v.Signed && v.Session.Emergency != "" }

// EmergencyLeft says for how long, rounded up.
func (v *view) EmergencyLeft() string {
	return several(int((v.Session.Until.Sub(v.now)+time.Minute-1)/time.Minute), "minute", "minutes")
}

// In reports whether the page is below an entry of the top bar.
func (v *view) In(entry string) bool {
	return v.Path == entry || entry != "/" && strings.HasPrefix(v.Path, entry+"/")
}

// Day and Time write a time absolutely; When adds how long ago or until when it is.
func (v *view) Day(t time.Time) string {
	if t.IsZero() {
		return "not known"
	}
	return t.In(v.zone).Format("2 Jan 2006")
}

// Time writes a time of a day.
func (v *view) Time(t time.Time) string {
	if t.IsZero() {
		return "not known"
	}
	return t.In(v.zone).Format("Mon 2 Jan 2006 15:04")
}

// UTC writes a time as the archive does.
func (v *view) UTC(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// Clock writes the time of day, down to the second.
func (v *view) Clock(t time.Time) string {
	if t.IsZero() {
		return "not known"
	}
	return t.In(v.zone).Format("15:04:05")
}

// Month writes a month.
func (v *view) Month(t time.Time) string { return t.In(v.zone).Format("January 2006") }

// MonthID is a month in an address.
func (v *view) MonthID(t time.Time) string { return t.In(v.zone).Format("2006-01") }

// When writes a time absolutely and relatively; both stay together.
func (v *view) When(t time.Time) template.HTML {
	if t.IsZero() {
		return "not known"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s"><span class="nb">%s</span><span class="ago"> (%s)</span></time>`,
		t.UTC().Format(time.RFC3339), v.Time(t), v.Ago(t)))
}

// Ago says how long ago or in how long a time is.
func (v *view) Ago(t time.Time) string {
	switch d := v.now.Sub(t); {
	case t.IsZero():
		return "not known"
	case d >= 0 && d < time.Minute:
		return "just now"
	case d >= 0:
		return health.Age(d) + " ago"
	case d > -time.Minute:
		return "now"
	default:
		return "in " + health.Age(-d)
	}
}

// A reloading page changes by itself.
type reloading interface {
	Reload() (seconds int, address string)
}

// Here is where the page can be opened again.
func (v *view) Here() string { return v.here }

// Refresh is after how many seconds a browser without JavaScript asks again, and where:
// the page itself as long as it changes, else the lock page when the session has locked.
func (v *view) Refresh() string {
	if p, ok := v.Data.(reloading); ok {
		if seconds, address := p.Reload(); seconds > 0 && seconds < v.Left {
			return fmt.Sprintf("%d;url=%s", seconds, address)
		}
	}
	return fmt.Sprintf("%d;url=/lock?next=%s", v.Left+2, url.QueryEscape(v.Path))
}

// Zone names the time zone of the page.
func (v *view) Zone() string { return v.now.In(v.zone).Format("MST (UTC-07:00)") }

// Now is when the page was made.
func (v *view) Now() time.Time { return v.now }
