package viewer

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"

	"chartcellar/cmd/chartcellar/internal/patientfile"
	"chartcellar/store/access"
	"chartcellar/store/chart"
)

// giveRoutes print a chart and give it away, and show the sheet for a day on which nothing
// works.
func giveRoutes() []Route {
	return []Route{
		{Method: get, Path: "/chart/{ref}/print", Who: access.PrintCharts, serve: (*Server).servePrint},
		{Method: get, Path: "/chart/{ref}/print.pdf", Who: access.PrintCharts, serve: (*Server).servePrintPDF},
		{Method: get, Path: "/chart/{ref}/give", Who: access.Export, serve: (*Server).serveGive},
		{Method: post, Path: "/chart/{ref}/give", Who: access.Export, serve: (*Server).doGive},
		{Method: get, Path: "/downtime", Who: access.SeeCharts, serve: (*Server).serveDowntime},
		{Method: get, Path: "/downtime/sheet.pdf", Who: access.PrintCharts, serve: (*Server).serveDowntimePDF},
		{Method: post, Path: "/downtime/make", Who: access.SeeCharts, Writes: true, serve: (*Server).doDowntime},
		{Method: post, Path: "/downtime/list", Who: access.SeeCharts, Writes: true, serve: (*Server).doDowntimeList},
	}
}

// A printPage is a chart that is to be printed.
type printPage struct {
	ChartHead
	View   *patientfile.View
	Choice patientfile.Choice
	Keys   []sectionKey
	PDF    string // address of the same as PDF
	May    bool   // what is labelled sensitive may be taken in
}

// A sectionKey is a section that can be chosen.
type sectionKey struct {
	Key, Title string
	On         bool
}

// choice reads what of a chart is wanted.
func choice(r *request) (patientfile.Choice, error) {
	q := r.Form
	c := patientfile.Choice{Sensitive: q.Get("sensitive") == "yes" && r.can(access.SeeSensitive)}
	for _, key := range q["section"] {
		if slices.Contains(chart.SectionKeys(), key) {
			c.Sections = append(c.Sections, key)
		}
	}
	var err error
	if c.First, err = dayOf(q.Get("from")); err != nil {
		return c, err
	}
	c.Last, err = dayOf(q.Get("until"))
	return c, err
}

func (s *Server) printed(r *request) (*printPage, *patientfile.Sheet, error) {
	if err := r.ParseForm(); err != nil {
		return nil, nil, errForm
	}
	at, err := place(r)
	if err != nil {
		return nil, nil, err
	}
	c, err := choice(r)
	if err != nil {
		return nil, nil, err
	}
	made, err := s.o.Backend.Print(r.Context(), r.actor(), at, c)
	if err != nil {
		return nil, nil, err
	}
	p := &printPage{ChartHead: made.ChartHead, View: made.Sheet.View(), Choice: c, May: r.can(access.SeeSensitive)}
	for _, t := range made.Sheet.Chart.Sections {
		p.Keys = append(p.Keys, sectionKey{t.Key, title(t.Title), c.Sections == nil || slices.Contains(c.Sections, t.Key)})
	}
	q := url.Values{}
	for _, name := range []string{"section", "from", "until", "sensitive", "asof"} {
		for _, v := range r.Form[name] {
			if v != "" {
				q.Add(name, v)
			}
		}
	}
	p.PDF = "/chart/" + url.PathEscape(string(p.Ref)) + "/print.pdf?" + q.Encode()
	return p, made.Sheet, nil
}

// servePrint shows the chart as it is printed.
func (s *Server) servePrint(r *request) error {
	p, _, err := s.printed(r)
	if err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "print", "Print", p)
}

func (s *Server) servePrintPDF(r *request) error {
	_, sheet, err := s.printed(r)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := sheet.PDF(&b); err != nil {
		return err
	}
	return s.sendPDF(r, "chart-"+fileDay(r)+".pdf", b.Bytes())
}

// fileDay is the day in the name of a file that is sent. A name says nothing of a patient:
// it stands in lists of what was loaded.
func fileDay(r *request) string { return r.now.Format(time.DateOnly) }

// A givePage asks to whom a chart is given and why.
type givePage struct {
	ChartHead
	Gift  Gift
	Least int // characters of a password
	Error string
}

func (s *Server) serveGive(r *request) error { return s.giveAnswer(r, http.StatusOK, givePage{}) }

func (s *Server) giveAnswer(r *request, status int, p givePage) error {
	at, err := place(r)
	if err != nil {
		return err
	}
	c, err := s.o.Backend.Chart(r.Context(), r.actor(), at, "give")
	if err != nil {
		return err
	}
	p.ChartHead, p.Least, p.Gift.Password = c.ChartHead, patientfile.MinPassword, ""
	return s.render(r, status, "give", "Give to the patient", &p)
}

// doGive sends the package as it is made. What goes wrong before its first byte is said
// above the form; later it breaks off, so that no browser takes it for whole.
func (s *Server) doGive(r *request) error {
	t := typed(r, "for", "purpose")
	g := Gift{For: t["for"], Purpose: t["purpose"], Password: r.PostFormValue("password")}
	at, err := place(r)
	if err == nil {
		g.Choice, err = choice(r)
	}
	if err == nil {
		err = g.check(r.PostFormValue("again"))
	}
	out := &download{s: s, r: r, name: "patient-records-" + fileDay(r) + ".zip"}
	if g.Password != "" {
		out.name += ".age"
	}
	if err == nil {
		g.Choice.Sections = nil
		err = s.o.Backend.Give(r.Context(), r.actor(), at, g, out)
	}
	switch {
	case err != nil && out.begun:
		s.o.Log.WarnContext(r.Context(), "file not sent whole", "request", r.id, "err", err)
		panic(http.ErrAbortHandler)
	case err != nil:
		words, status, err := refused(err)
		if err != nil {
			return err
		}
		return s.giveAnswer(r, status, givePage{Gift: g, Error: words})
	}
	return nil
}

// check says what is missing.
func (g *Gift) check(again string) error {
	switch {
	case g.For == "" || g.Purpose == "":
		return &Refusal{Words: "Nothing was made. Say who gets it and what for: both stand in the package, and are recorded."}
	case g.Password == "":
		return nil
	case g.Password != again:
		return &Refusal{Words: "Nothing was made: the two passwords differ. Type both again."}
	case utf8.RuneCountInString(g.Password) < patientfile.MinPassword:
		return &Refusal{Words: "Nothing was made: the password is too short. Four words make a good one."}
	}
	return nil
}

// A download is a file that is sent as it comes. Before its first byte the answer can
// still become a page.
type download struct {
	s     *Server
	r     *request
	name  string
	begun bool
}

// Write implements io.Writer.
func (d *download) Write(b []byte) (int, error) {
	if !d.begun {
		d.begun = true
		d.r.w.Header().Set("Content-Type", "application/octet-stream")
		d.r.w.Header().Set("Content-Disposition", `attachment; filename="`+d.name+`"`)
	}
	return slow(d.r).Write(b)
}

var _ io.Writer = (*download)(nil)

// A downtimePage is the sheet for a day on which nothing works.
type downtimePage struct {
	Downtime
	Error string
}

// serveDowntime shows the newest sheet.
func (s *Server) serveDowntime(r *request) error {
	return s.downtimeAnswer(r, http.StatusOK, "")
}

func (s *Server) downtimeAnswer(r *request, status int, words string) error {
	d, err := s.o.Backend.Downtime(r.Context(), r.actor())
	if err != nil {
		return err
	}
	return s.render(r, status, "downtime", "Downtime sheet", &downtimePage{d, words})
}

func (s *Server) serveDowntimePDF(r *request) error {
	d, err := s.o.Backend.Downtime(r.Context(), r.actor())
	if err != nil {
		return err
	}
	if d.Sheet == nil {
		return ErrNotFound
	}
	var b bytes.Buffer
	if err := d.Sheet.PDF(&b); err != nil {
		return err
	}
	return s.sendPDF(r, "downtime-"+d.Sheet.Made.Format(time.DateOnly)+".pdf", b.Bytes())
}

func (s *Server) doDowntime(r *request) error {
	return s.downtimeDone(r, "sheet", s.o.Backend.MakeDowntime(r.Context(), r.actor()))
}

func (s *Server) doDowntimeList(r *request) error {
	return s.downtimeDone(r, "list", s.o.Backend.ListDowntime(r.Context(), r.actor(), r.PostFormValue("list")))
}

func (s *Server) downtimeDone(r *request, done string, err error) error {
	if errors.Is(err, ErrBusy) {
		err = &Refusal{Words: "A run is under way. Nothing was changed; try again in a moment."}
	}
	if err == nil {
		s.redirect(r, "/downtime?done="+done)
		return nil
	}
	words, status, err := refused(err)
	if err != nil {
		return err
	}
	return s.downtimeAnswer(r, status, words)
}
