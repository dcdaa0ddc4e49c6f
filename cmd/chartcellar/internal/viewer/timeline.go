package viewer

import (
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"chartcellar/store/chart"
)

// eventsPerPage is how many lines a page of a timeline lists.
const eventsPerPage = 100

// A timelineQuery is which part of a timeline a page shows.
type timelineQuery struct {
	Kind, Year string
	Part       string // "": what has a date; undated, error
	Words      string // that were looked for, sealed
	Page       int    // from 1
}

// A timelinePage is a part of the records of a patient as they happened.
type timelinePage struct {
	Timeline
	refer  func(source, ref string) Ref
	Query  timelineQuery
	Rows   []timelineRow
	First  int // number of the first row, from 1
	Of     int // rows of this kind, year and part
	Parts  []chip
	Kinds  []chip
	Years  []chip
	Newer  string // address of the page before; "": this is the first
	Older  string
	Listed int // records of the patient without the Patient, as many as the parts have
}

// A chip is a choice that is a link.
type chip struct {
	Words, Address string
	Count          int
	Here           bool
}

// A timelineRow is one line.
type timelineRow struct {
	chart.Event
	Address string
	Where   string // of a search: the element that holds the words
	Snippet string
	NewYear string // the year, if it is another than that of the line before
}

// serveTimeline shows the records of a patient, the newest first.
func (s *Server) serveTimeline(r *request) error {
	at, err := place(r)
	if err != nil {
		return err
	}
	v := r.URL.Query()
	q := timelineQuery{Kind: v.Get("kind"), Year: v.Get("year"), Part: v.Get("part"), Words: v.Get("q"), Page: 1}
	if err := numberIn(v, "page", &q.Page, 1, math.MaxInt); err != nil {
		return err
	}
	words := ""
	if q.Words != "" {
		if words, err = s.o.Backend.Unseal(q.Words); err != nil {
			return err
		}
	}
	t, err := s.o.Backend.Timeline(r.Context(), r.actor(), at, words)
	if err != nil {
		return err
	}
	p := &timelinePage{Timeline: t, refer: s.o.Backend.Refer, Query: q}
	if err := p.fill(); err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "timeline", "Timeline", p)
}

// doTimeline hides what was typed in the address of its answer.
func (s *Server) doTimeline(r *request) error {
	t := typed(r, "text", "kind", "year", "part", "asof")
	day, err := dayOf(t["asof"])
	if err != nil {
		return err
	}
	p := &timelinePage{Query: timelineQuery{Kind: t["kind"], Year: t["year"], Part: t["part"], Page: 1}}
	p.Ref, p.AsOf = Ref(r.PathValue("ref")), day
	if t["text"] != "" {
		p.Query.Words = s.o.Backend.Seal(t["text"])
	}
	s.redirect(r, p.address(p.Query))
	return nil
}

// address is where a part of the timeline stands.
func (p *timelinePage) address(q timelineQuery) string {
	v := url.Values{}
	for name, value := range map[string]string{"kind": q.Kind, "year": q.Year, "part": q.Part, "q": q.Words, "asof": p.AsOf} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.Page > 1 {
		v.Set("page", strconv.Itoa(q.Page))
	}
	address := "/chart/" + url.PathEscape(string(p.Ref)) + "/timeline"
	if len(v) > 0 {
		address += "?" + v.Encode()
	}
	return address
}

// Everything is the address without the words that were looked for.
func (p *timelinePage) Everything() string {
	q := p.Query
	q.Words, q.Page = "", 1
	return p.address(q)
}

// fill puts the rows of the page and the choices around it into their places.
func (p *timelinePage) fill() error {
	parts := []struct {
		key, words string
		list       []chart.Event
	}{{"", "With a date", p.Events}, {"undated", "Without a date", p.Undated}, {"error", "Entered in error", p.InError}}
	if p.Query.Part == "" && len(p.Events) == 0 { // what there is, is shown at once
		for _, part := range parts[1:] {
			if len(part.list) > 0 && p.Query.Part == "" {
				p.Query.Part = part.key
			}
		}
	}
	list, known := []chart.Event(nil), false
	for _, part := range parts {
		p.Listed += len(part.list)
		if part.key == p.Query.Part {
			list, known = part.list, true
		}
		if len(part.list) > 0 {
			p.Parts = append(p.Parts, chip{part.words, p.address(timelineQuery{Part: part.key, Words: p.Query.Words}), len(part.list), part.key == p.Query.Part})
		}
	}
	if !known {
		return ErrNotFound
	}
	p.choices(list)
	list = slices.DeleteFunc(slices.Clone(list), func(e chart.Event) bool {
		return p.Query.Kind != "" && e.Kind != p.Query.Kind || p.Query.Year != "" && e.Year() != p.Query.Year
	})
	return p.turn(list)
}

// choices are the kinds and the years; each says how many it has with the other as it is
// chosen.
func (p *timelinePage) choices(list []chart.Event) {
	other := func(fits func(*chart.Event) bool) (out []chart.Event) {
		for i := range list {
			if fits(&list[i]) {
				out = append(out, list[i])
			}
		}
		return out
	}
	q := p.Query
	of := other(func(e *chart.Event) bool { return q.Year == "" || e.Year() == q.Year })
	p.Kinds = []chip{{"All", p.address(timelineQuery{Year: q.Year, Part: q.Part, Words: q.Words}), len(of), q.Kind == ""}}
	for _, t := range chart.Kinds(of) {
		p.Kinds = append(p.Kinds, chip{t.Words, p.address(timelineQuery{Kind: t.Key, Year: q.Year, Part: q.Part, Words: q.Words}), t.Count, q.Kind == t.Key})
	}
	if q.Part == "undated" {
		return
	}
	of = other(func(e *chart.Event) bool { return q.Kind == "" || e.Kind == q.Kind })
	p.Years = []chip{{"All years", p.address(timelineQuery{Kind: q.Kind, Part: q.Part, Words: q.Words}), len(of), q.Year == ""}}
	for _, t := range chart.Years(of) {
		if t.Key != "" {
			p.Years = append(p.Years, chip{t.Words, p.address(timelineQuery{Kind: q.Kind, Year: t.Key, Part: q.Part, Words: q.Words}), t.Count, q.Year == t.Key})
		}
	}
}

// turn keeps the rows of the page that was asked for.
func (p *timelinePage) turn(list []chart.Event) error {
	from := (p.Query.Page - 1) * eventsPerPage
	if from > 0 && from >= len(list) {
		return ErrNotFound
	}
	p.Of, p.First = len(list), from+1
	year := ""
	for _, e := range list[from:min(len(list), from+eventsPerPage)] {
		hit := p.Hits[e.Ref]
		row := timelineRow{Event: e, Address: p.ChartHead.Of("/record/" + url.PathEscape(string(p.refer(p.Source, e.Ref)))),
			Where: hit.Where, Snippet: hit.Snippet}
		if y := e.Year(); y != year {
			year, row.NewYear = y, y
		}
		p.Rows = append(p.Rows, row)
	}
	q := p.Query
	if q.Page > 1 {
		q.Page--
		p.Newer = p.address(q)
		q.Page++
	}
	if from+eventsPerPage < len(list) {
		q.Page++
		p.Older = p.address(q)
	}
	return nil
}

// Last is the number of the last row.
func (p *timelinePage) Last() int { return p.First + len(p.Rows) - 1 }

// A chartChangesPage is what of a patient is not as it was.
type chartChangesPage struct {
	ChartChanges
	refer  func(source, ref string) Ref
	Counts []chip
	Rows   []chartChangeRow
	From1  int // number of the first row, from 1
	Of     int
	Newer  string
	Older  string
}

// A chartChangeRow is one record that changed.
type chartChangeRow struct {
	ChangedRecord
	Address string // of the record
	Differs string // of what changed in it; "": it cannot be compared
	Heading string // if it is another than that of the row before
}

// firstChanges is how many differences of a record stand in the list.
const firstChanges = 3

// Some are the first differences of a record.
func (c *ChangedRecord) Some() []chart.Change { return c.Changes[:min(len(c.Changes), firstChanges)] }

// serveChartChanges shows what is new, changed and removed since a day.
func (s *Server) serveChartChanges(r *request) error {
	at, err := place(r)
	if err != nil {
		return err
	}
	since, err := dayOf(r.URL.Query().Get("since"))
	if err != nil {
		return err
	}
	page := 1
	if err := numberIn(r.URL.Query(), "page", &page, 1, math.MaxInt); err != nil {
		return err
	}
	c, err := s.o.Backend.ChartChanges(r.Context(), r.actor(), at, since)
	if err != nil {
		return err
	}
	p := &chartChangesPage{ChartChanges: c, refer: s.o.Backend.Refer}
	if err := p.turn(page); err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "chartchanges", "What changed", p)
}

func (p *chartChangesPage) address(page int) string {
	v := url.Values{}
	if !p.First {
		v.Set("since", p.Since)
	}
	if p.AsOf != "" {
		v.Set("asof", p.AsOf)
	}
	if page > 1 {
		v.Set("page", strconv.Itoa(page))
	}
	return "/chart/" + url.PathEscape(string(p.Ref)) + "/changes?" + v.Encode()
}

func (p *chartChangesPage) turn(page int) error {
	from := (page - 1) * eventsPerPage
	if from > 0 && from >= len(p.List) {
		return ErrNotFound
	}
	p.Of, p.From1 = len(p.List), from+1
	for _, how := range []string{"new", "changed", "removed"} {
		n := 0
		for i := range p.List {
			if p.List[i].How == how {
				n++
			}
		}
		p.Counts = append(p.Counts, chip{Words: how, Count: n})
	}
	how := ""
	for _, c := range p.List[from:min(len(p.List), from+eventsPerPage)] {
		self := Record{Self: p.refer(p.Source, c.Ref)}
		self.AsOf = p.AsOf
		one := &recordPage{Record: self}
		row := chartChangeRow{ChangedRecord: c, Address: one.address("", url.Values{})}
		if c.From > 0 && c.To > 0 {
			row.Differs = one.Between(c.From, c.To)
		}
		if c.How != how {
			how, row.Heading = c.How, howWords(c.How)
		}
		p.Rows = append(p.Rows, row)
	}
	if page > 1 {
		p.Newer = p.address(page - 1)
	}
	if from+eventsPerPage < len(p.List) {
		p.Older = p.address(page + 1)
	}
	return nil
}

// howWords is the heading of what changed in one way.
func howWords(how string) string {
	return map[string]string{"new": "New in the copy", "changed": "Changed",
		"removed": "Removed at the EMR; the copy has kept them"}[how]
}

// Last is the number of the last row.
func (p *chartChangesPage) Last() int { return p.From1 + len(p.Rows) - 1 }
