package viewer

import (
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"chartcellar/store/access"
	"chartcellar/store/chart"
)

// searchRoutes are the search of notes and codes, and groups of patients.
func searchRoutes() []Route {
	return []Route{
		{Method: get, Path: "/search", Who: access.SeeCharts, serve: (*Server).serveSearch},
		{Method: post, Path: "/search", Who: access.SeeCharts, serve: (*Server).doSearch},
		{Method: get, Path: "/search/{job}", Who: access.SeeCharts, serve: (*Server).serveFound},
		{Method: get, Path: "/search/{job}/watch", Who: access.SeeCharts, Quiet: true, serve: (*Server).serveFound},
		{Method: get, Path: "/search/{job}/part", Who: access.SeeCharts, Quiet: true, serve: (*Server).serveFoundPart},
		{Method: post, Path: "/search/{job}/stop", Who: access.SeeCharts, serve: (*Server).doStopSearch},
		{Method: post, Path: "/search/{job}/patients.csv", Who: access.Export, serve: (*Server).doCohortCSV},
	}
}

// Rows of a page of results.
const (
	patientsFound = 15
	codesFound    = 100
	cohortFound   = 50
)

// A typeGroup is a choice of what is searched.
type typeGroup struct {
	Name, Words string
	Types       []string
}

// TypeGroups are the choices.
func (p *searchPage) TypeGroups() []typeGroup {
	return []typeGroup{{"notes", "notes and documents", []string{"DocumentReference", "DiagnosticReport", "Composition", "Communication", "ClinicalImpression"}},
		{"problems", "problems", []string{"Condition"}},
		{"medicines", "medicines", []string{"MedicationRequest", "MedicationStatement", "MedicationAdministration", "MedicationDispense", "Medication"}},
		{"results", "results and vital signs", []string{"Observation", "DiagnosticReport"}},
		{"visits", "visits and procedures", []string{"Encounter", "Procedure", "Appointment"}}}
}

// A searchPage holds the three forms.
type searchPage struct {
	Kind   SearchKind // of the form that was sent
	Fields map[string]string
	EMRs   []string
	Error  string
}

// searchFields are those of all three forms.
var searchFields = []string{"kind", "text", "group", "from", "to", "emr", "problem", "medicine", "vaccine", "code", "exact", "type", "sex", "ages", "state", "patient", "asof"}

// Ages are the age groups.
func (p *searchPage) Ages() []AgeGroup { return AgeGroups() }

func (s *Server) serveSearch(r *request) error {
	p := searchPage{Fields: map[string]string{}}
	if id := r.URL.Query().Get("again"); id != "" {
		res, err := s.o.Backend.Search(r.Context(), r.actor(), id, 0, func(SearchKind) int { return 0 })
		var old *Refusal // it is not shown any more
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.As(err, &old) {
			return err
		}
		p.fill(res.Ask)
	}
	return s.searchAnswer(r, http.StatusOK, p)
}

// fill fills in what was asked for before.
func (p *searchPage) fill(ask SearchAsk) {
	p.Kind = ask.Kind
	p.Fields = map[string]string{"text": ask.Text, "from": ask.From, "to": ask.To, "emr": ask.EMR, "patient": string(ask.Patient), "asof": ask.AsOf,
		"sex": ask.Sex, "ages": ask.Ages, "state": ask.State}
	for _, g := range p.TypeGroups() {
		if slices.Equal(g.Types, ask.Types) {
			p.Fields["group"] = g.Name
		}
	}
	for _, h := range ask.Has {
		name := string(h.Kind)
		if name == "" {
			name = "code"
		}
		if p.Fields[name] = h.Text; h.Exact != "" {
			p.Fields[name] = chart.Terms{Words: []string{h.Exact}}.String()
		}
	}
}

func (s *Server) searchAnswer(r *request, status int, p searchPage) error {
	p.EMRs = s.o.Backend.EMRs()
	return s.render(r, status, "search", "Search all records", &p)
}

// doSearch starts a search. What was typed stands in no address.
func (s *Server) doSearch(r *request) error {
	p := searchPage{Fields: typed(r, searchFields...)}
	p.Kind = SearchKind(p.Fields["kind"])
	if _, err := dayOf(p.Fields["asof"]); err != nil {
		return err
	}
	id, err := s.o.Backend.StartSearch(r.Context(), r.actor(), p.ask())
	if err != nil {
		var status int
		if p.Error, status, err = refused(err); err != nil {
			return err
		}
		return s.searchAnswer(r, status, p)
	}
	s.redirect(r, "/search/"+url.PathEscape(id))
	return nil
}

// ask puts together what a form asks for.
func (p *searchPage) ask() SearchAsk {
	t := p.Fields
	ask := SearchAsk{Kind: p.Kind, Text: t["text"], From: t["from"], To: t["to"], EMR: t["emr"], Patient: Ref(t["patient"]), AsOf: t["asof"]}
	for _, g := range p.TypeGroups() {
		if g.Name == t["group"] {
			ask.Types = g.Types
		}
	}
	if p.Kind != SearchCohort {
		return ask
	}
	ask.Text, ask.Sex, ask.Ages, ask.State = "", t["sex"], t["ages"], t["state"]
	for _, kind := range []chart.CodeKind{chart.HasProblem, chart.HasMedicine, chart.HasVaccine} {
		if text := t[string(kind)]; text != "" {
			ask.Has = append(ask.Has, CodeAsk{Kind: kind, Text: text})
		}
	}
	if t["code"] != "" || t["exact"] != "" {
		ask.Has = append(ask.Has, CodeAsk{Text: t["code"], Exact: t["exact"], Type: t["type"]})
	}
	return ask
}

// A foundPage is what a search has found so far.
type foundPage struct {
	SearchResult
	First, Last  int // numbers of rows, from 1
	Newer, Older string
	Part         string // address of what changes on the page while the search runs
}

// Reload is after how many seconds a browser without JavaScript asks again, and where.
func (p *foundPage) Reload() (seconds int, address string) {
	if !p.Running {
		return 0, ""
	}
	return 3, p.at("/watch", p.From)
}

// at is the address of a page of the result.
func (p *foundPage) at(page string, from int) string {
	address := "/search/" + url.PathEscape(p.ID) + page
	if from > 0 {
		address += "?from=" + strconv.Itoa(from)
	}
	return address
}

// Then is the address of a chart or a record as it stood then.
func (p *foundPage) Then(address string) string {
	if p.Ask.AsOf != "" {
		address += "?asof=" + p.Ask.AsOf
	}
	return address
}

func rowsOf(k SearchKind) int {
	switch k {
	case SearchCodes:
		return codesFound
	case SearchCohort:
		return cohortFound
	}
	return patientsFound
}

func (s *Server) foundPage(r *request) (*foundPage, error) {
	from := 0
	if err := numberIn(r.URL.Query(), "from", &from, 0, math.MaxInt); err != nil {
		return nil, err
	}
	// The kind, and with it the number of rows, is known only by the answer.
	res, err := s.o.Backend.Search(r.Context(), r.actor(), r.PathValue("job"), from, rowsOf)
	if err != nil {
		return nil, err
	}
	p := &foundPage{SearchResult: res, First: from + 1}
	n := len(p.Patients) + len(p.Codes) + len(p.People)
	if p.Last = from + n; n == 0 && from > 0 && !p.Running {
		return nil, ErrNotFound
	}
	rows := rowsOf(p.Ask.Kind)
	if from > 0 {
		p.Newer = p.at("", max(0, from-rows))
	}
	if p.Last < p.Found {
		p.Older = p.at("", p.Last)
	}
	p.Part = fmt.Sprintf("/search/%s/part?from=%d&have=%s", url.PathEscape(p.ID), from, p.mark())
	return p, nil
}

// mark changes when what stands on the page does.
func (p *foundPage) mark() string {
	n := 0
	for _, one := range p.Patients {
		n += one.All
	}
	for _, one := range p.Codes {
		n += one.Records
	}
	return fmt.Sprintf("%d.%d.%t", p.Last, n, p.Running)
}

func (s *Server) serveFound(r *request) error {
	p, err := s.foundPage(r)
	if err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "found", foundTitle(p.Ask.Kind), p)
}

func foundTitle(k SearchKind) string {
	switch k {
	case SearchCodes:
		return "Codes"
	case SearchCohort:
		return "Patients who have it"
	}
	return "What was found"
}

// serveFoundPart sends how far a search is, and what was found if that is new.
func (s *Server) serveFoundPart(r *request) error {
	p, err := s.foundPage(r)
	if err != nil {
		return err
	}
	part := "foundstate"
	if r.URL.Query().Get("have") != p.mark() {
		part = "foundboth"
	}
	return s.renderPart(r, "found", part, p)
}

func (s *Server) doStopSearch(r *request) error {
	id := r.PathValue("job")
	if err := s.o.Backend.StopSearch(r.Context(), r.actor(), id); err != nil {
		return err
	}
	s.redirect(r, "/search/"+url.PathEscape(id))
	return nil
}

func (s *Server) doCohortCSV(r *request) error {
	b, err := s.o.Backend.CohortCSV(r.Context(), r.actor(), r.PathValue("job"))
	if err != nil {
		return err
	}
	name := "patients-" + r.now.In(s.o.Zone).Format("2006-01-02") + ".csv"
	r.w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	return s.send(r, http.StatusOK, "text/csv; charset=utf-8", b)
}

// TypeList writes types of record in words.
func (p *foundPage) TypeList() string {
	var words []string
	for _, t := range p.Lacks {
		words = append(words, typeWords(t))
	}
	return strings.Join(words, ", ")
}
