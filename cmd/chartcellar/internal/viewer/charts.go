package viewer

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"chartcellar/store/access"
	"chartcellar/store/chart"
)

// chartRoutes are the patients and their charts.
func chartRoutes() []Route {
	return []Route{
		{Method: get, Path: "/patients", Who: access.SeeCharts, serve: (*Server).servePatients},
		{Method: post, Path: "/patients", Who: access.SeeCharts, serve: (*Server).doPatients},
		{Method: post, Path: "/patients/hints", Who: access.SeeCharts, serve: (*Server).doHints},
		{Method: post, Path: "/patients/forget", Who: access.SeeCharts, serve: (*Server).doForget},
		{Method: get, Path: "/chart/{ref}", Who: access.SeeCharts, serve: (*Server).serveChart},
		{Method: get, Path: "/chart/{ref}/{section}", Who: access.SeeCharts, serve: (*Server).serveSection},
		{Method: get, Path: "/beside/{ref}/{other}", Who: access.SeeCharts, serve: (*Server).serveBeside},
	}
}

// How many rows a page lists.
const (
	patientsPerPage = 50
	summaryRows     = 12
	hintRows        = 8
	rowsPerPage     = 200
)

// A patientsPage is the list of patients.
type patientsPage struct {
	Patients
	Query  PatientQuery
	Groups []AgeGroup
	First  int // number of the first row, from 1
	Last   int
	Newer  string // address of the page before; "": this is the first
	Older  string
}

// servePatients shows the patients that the sealed query of the address asks for.
func (s *Server) servePatients(r *request) error {
	q, err := s.query(r)
	if err != nil {
		return err
	}
	p, err := s.patientsPage(r, q)
	if err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "patients", "Patients", p)
}

// query opens the sealed query of an address.
func (s *Server) query(r *request) (q PatientQuery, err error) {
	if sealed := r.URL.Query().Get("q"); sealed != "" {
		text, err := s.o.Backend.Unseal(sealed)
		if err != nil || json.Unmarshal([]byte(text), &q) != nil {
			return q, ErrNotFound
		}
	}
	q.Rows = patientsPerPage
	return q, nil
}

// queryAddress is where a query is answered.
func (s *Server) queryAddress(q PatientQuery) string {
	b, err := json.Marshal(q)
	if err != nil {
		panic(err) // texts and a number
	}
	return "/patients?q=" + url.QueryEscape(s.o.Backend.Seal(string(b)))
}

func (s *Server) patientsPage(r *request, q PatientQuery) (*patientsPage, error) {
	found, err := s.o.Backend.Patients(r.Context(), r.actor(), q)
	if err != nil {
		return nil, err
	}
	p := &patientsPage{Patients: found, Query: q, Groups: AgeGroups(), First: q.Page*q.Rows + 1}
	p.Last = p.First + len(p.List) - 1
	if q.Page > 0 {
		before := q
		before.Page--
		p.Newer = s.queryAddress(before)
	}
	if p.Last < p.Found {
		after := q
		after.Page++
		p.Older = s.queryAddress(after)
	}
	return p, nil
}

// doPatients hides what was typed in the address of its answer. Nobody but the Backend
// can read it there.
func (s *Server) doPatients(r *request) error {
	t := typed(r, "text", "sex", "ages", "state", "emr", "asof", "since", "coming", "changed")
	for _, day := range []string{t["asof"], t["since"]} {
		if _, err := dayOf(day); err != nil {
			return err
		}
	}
	q := PatientQuery{Text: t["text"], Sex: t["sex"], Ages: t["ages"], State: t["state"], EMR: t["emr"], AsOf: t["asof"],
		Since: t["since"], Coming: t["coming"] != "", Changed: t["changed"] != ""}
	s.redirect(r, s.queryAddress(q))
	return nil
}

// doHints answers while somebody types.
func (s *Server) doHints(r *request) error {
	q := PatientQuery{Text: typed(r, "text")["text"], Rows: hintRows, Hint: true}
	if q.Text == "" {
		return s.renderPart(r, "patients", "hints", nil)
	}
	found, err := s.o.Backend.Patients(r.Context(), r.actor(), q)
	if err != nil {
		return err
	}
	return s.renderPart(r, "patients", "hints", &patientsPage{Patients: found, Query: q, Last: len(found.List)})
}

func (s *Server) doForget(r *request) error {
	s.o.Backend.ForgetRecent(r.actor())
	s.redirect(r, "/patients")
	return nil
}

// dayOf reads a day of an address or a form.
func dayOf(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if _, err := time.Parse("2006-01-02", text); err != nil {
		return "", &Refusal{Words: "The day was not understood. Write it as 2026-03-01."}
	}
	return text, nil
}

// place reads whose chart an address asks for, and of which day.
func place(r *request) (Place, error) {
	day, err := dayOf(r.URL.Query().Get("asof"))
	return Place{Ref: Ref(r.PathValue("ref")), AsOf: day}, err
}

// To is the address of a page of the chart, of the same day; "" is the summary.
func (h *ChartHead) To(page string) string {
	address := "/chart/" + url.PathEscape(string(h.Ref))
	if page != "" {
		address += "/" + page
	}
	return h.Of(address)
}

// Of adds the day to an address.
func (h *ChartHead) Of(address string) string {
	if h.AsOf != "" {
		address += "?asof=" + h.AsOf
	}
	return address
}

// Head implements headed.
func (h *ChartHead) Head() *ChartHead { return h }

// A headed page has the banner of a patient above it.
type headed interface{ Head() *ChartHead }

// A chartPage is one page of a chart.
type chartPage struct {
	ChartHead
	refer    func(source, ref string) Ref
	Key      string // of the tab
	Sections []chart.Section
	Nothing  []nothing // of the summary: the sections without a record
	Counted  int       // records that the sections stand for, with the Patient
	Page     int       // of rows, from 1
	Pages    int
}

// Record is the address of a record, named as Type/id.
func (p *chartPage) Record(ref string) string {
	return p.Of("/record/" + url.PathEscape(string(p.refer(p.Source, ref))))
}

// serveChart shows the summary.
func (s *Server) serveChart(r *request) error {
	at, err := place(r)
	if err != nil {
		return err
	}
	c, err := s.o.Backend.Chart(r.Context(), r.actor(), at, "summary")
	if err != nil {
		return err
	}
	p := &chartPage{ChartHead: c.ChartHead, refer: s.o.Backend.Refer, Sections: c.Whole.Short(summaryRows).Sections, Counted: 1}
	var full []chart.Section
	for _, one := range p.Sections {
		p.Counted += one.Records
		if one.Records == 0 && one.Gap == "" && one.Key != "allergies" {
			p.Nothing = addNothing(p.Nothing, one)
		} else {
			full = append(full, one)
		}
	}
	p.Sections = full
	return s.render(r, http.StatusOK, "chart", "Chart", p)
}

// A nothing is sections without a record for one reason.
type nothing struct {
	Titles []string
	Why    string
}

func addNothing(list []nothing, s chart.Section) []nothing {
	at := slices.IndexFunc(list, func(n nothing) bool { return n.Why == s.Empty })
	if at < 0 {
		at, list = len(list), append(list, nothing{Why: s.Empty})
	}
	list[at].Titles = append(list[at].Titles, title(s.Title))
	return list
}

// serveSection shows one section, all of it, page by page.
func (s *Server) serveSection(r *request) error {
	at, err := place(r)
	if err != nil {
		return err
	}
	key := r.PathValue("section")
	c, err := s.o.Backend.Chart(r.Context(), r.actor(), at, key)
	if err != nil {
		return err
	}
	p := &chartPage{ChartHead: c.ChartHead, refer: s.o.Backend.Refer, Key: key, Page: 1}
	for _, one := range c.Whole.Sections {
		if one.Key == key {
			p.Sections = []chart.Section{one}
		}
	}
	if p.Sections == nil {
		return ErrNotFound
	}
	if err := numberIn(r.URL.Query(), "page", &p.Page, 1, math.MaxInt); err != nil {
		return err
	}
	if err := p.turn(); err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "section", "Chart", p)
}

// turn keeps the rows of the page that was asked for.
func (p *chartPage) turn() error {
	sec := &p.Sections[0]
	rows := 0
	for _, g := range sec.Groups {
		rows += len(g.Rows)
	}
	p.Pages = max(1, (rows+rowsPerPage-1)/rowsPerPage)
	if p.Page > p.Pages {
		return ErrNotFound
	}
	from, to := (p.Page-1)*rowsPerPage, p.Page*rowsPerPage
	var groups []chart.Group
	at := 0
	for _, g := range sec.Groups {
		n := len(g.Rows)
		g.Rows = g.Rows[min(n, max(0, from-at)):min(n, max(0, to-at))]
		at += n
		if len(g.Rows) > 0 {
			groups = append(groups, g)
		}
	}
	sec.Groups = groups
	return nil
}

// Turn is the address of another page of the same section.
func (p *chartPage) Turn(n int) string {
	address := "/chart/" + url.PathEscape(string(p.Ref)) + "/" + p.Key + "?page=" + fmt.Sprint(n)
	if p.AsOf != "" {
		address += "&asof=" + p.AsOf
	}
	return address
}

// A besidePage shows two patient records beside each other. Nothing of them is merged.
type besidePage struct {
	ChartHead
	Sides [2]*chartPage
	Rows  []besideRow
}

// A besideRow is one section of both.
type besideRow struct {
	Title string
	Sides [2]chart.Section
}

func (s *Server) serveBeside(r *request) error {
	at, err := place(r)
	if err != nil {
		return err
	}
	p := &besidePage{}
	var charts [2]*chart.Chart
	for i, ref := range []Ref{at.Ref, Ref(r.PathValue("other"))} {
		c, err := s.o.Backend.Chart(r.Context(), r.actor(), Place{ref, at.AsOf}, "side by side")
		if err != nil {
			return err
		}
		p.Sides[i] = &chartPage{ChartHead: c.ChartHead, refer: s.o.Backend.Refer}
		charts[i] = c.Whole.Short(0)
	}
	p.ChartHead = p.Sides[0].ChartHead
	for i, sec := range charts[0].Sections {
		p.Rows = append(p.Rows, besideRow{sec.Title, [2]chart.Section{sec, charts[1].Sections[i]}})
	}
	return s.render(r, http.StatusOK, "beside", "Side by side", p)
}

// A rowTable is a group of rows as a template wants it.
type rowTable struct {
	Label   string
	Columns []string
	Rows    []tableRow
}

type tableRow struct {
	Cells  []tableCell
	More   string
	Label  string // security labels, in words
	Strong bool   // something in it is not to be overlooked
}

type tableCell struct {
	Text, Link string
	Date       bool   // it must not be broken into lines
	Column     string // what it is, where it stands without the head of its column
}

// rows makes the table of a group of rows of a section; columns that are empty in all
// rows are left out.
func rows(p *chartPage, key string, g chart.Group) rowTable {
	var s chart.Section
	for _, one := range p.Sections {
		if one.Key == key {
			s = one
		}
	}
	t := rowTable{Label: strings.TrimSpace(title(s.Title) + " " + g.Title)}
	var used []int
	for i, c := range s.Columns {
		if p.Key == "" && !slices.Contains(s.Brief, i) {
			continue
		}
		if slices.ContainsFunc(g.Rows, func(r chart.Row) bool { return i < len(r.Cells) && r.Cells[i] != "" }) {
			used, t.Columns = append(used, i), append(t.Columns, c)
		}
	}
	for _, r := range g.Rows {
		row := tableRow{More: clean(r.More), Label: clean(r.Label)}
		for _, i := range used {
			c := tableCell{Text: clean(r.Cells[i])}
			c.Date = slices.Contains([]string{"date", "on", "since"}, s.Columns[i]) && len(c.Text) <= len("2006-01-02 15:04 UTC")
			c.Column = columnWords(s.Columns[i])
			row.Strong = row.Strong || loud(c.Text)
			row.Cells = append(row.Cells, c)
		}
		if r.Ref != "" && len(row.Cells) > 0 {
			row.Cells[0].Link = p.Record(r.Ref)
			if key == "documents" {
				row.Cells[0].Link = p.Of(documentAddress(p.refer(p.Source, r.Ref), 1))
			}
			if row.Cells[0].Text == "" {
				row.Cells[0].Text = "open"
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// columnWords are what a cell is called on a narrow screen, where a row is not in columns;
// "" if what it says tells what it is.
func columnWords(column string) string {
	switch column {
	case "range of this result":
		return "range"
	case "earlier", "since", "reason", "with", "by", "holds", "reaction", "dose", "lot", "member", "period", "for", "author":
		return column
	}
	return ""
}

// loud reports whether a cell says something in capitals, as package chart does with
// what must not be overlooked.
func loud(s string) bool {
	for _, w := range []string{"HIGH RISK", "NOT TO BE", "NOT DONE", "CRITICALLY", "HIGH", "LOW"} {
		if strings.HasPrefix(s, w) || strings.Contains(s, " "+w) {
			return true
		}
	}
	return false
}

// title writes a heading of the text chart as one of a page.
func title(s string) string {
	if s == "" {
		return ""
	}
	return s[:1] + strings.ToLower(s[1:])
}

// PageOf is the page of the chart on which a section stands whole.
func PageOf(key string) string {
	if key == "results" {
		return "labs"
	}
	return key
}

// OnTab reports whether the page is the one of a tab, or below it.
func (v *view) OnTab(key string) bool {
	at := "/chart/" + string(v.Chart.Ref)
	if key == "" {
		return v.Path == at
	}
	if key == "documents" && strings.HasPrefix(v.Path, "/document/") {
		return true
	}
	at += "/" + key
	return v.Path == at || strings.HasPrefix(v.Path, at+"/")
}

// DayID is a day in an address.
func (v *view) DayID(t time.Time) string { return t.In(v.zone).Format("2006-01-02") }

// joined writes the cells of a row as one line.
func joined(cells []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(cells), func(s string) bool { return s == "" }), " · ")
}
