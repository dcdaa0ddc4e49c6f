package viewer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"strings"

	"chartcellar/cmd/chartcellar/internal/plot"
	"chartcellar/store/access"
	"chartcellar/store/chart"
)

// labRoutes are what was measured: the results and the vital signs of a chart.
func labRoutes() []Route {
	return []Route{
		{Method: get, Path: "/chart/{ref}/labs", Who: access.SeeCharts, serve: (*Server).serveLabs},
		{Method: get, Path: "/chart/{ref}/labs/panels", Who: access.SeeCharts, serve: (*Server).servePanels},
		{Method: get, Path: "/chart/{ref}/labs/grid", Who: access.SeeCharts, serve: (*Server).serveGrid},
		{Method: get, Path: "/chart/{ref}/labs/test/{test}", Who: access.SeeCharts, serve: (*Server).serveTest},
		{Method: get, Path: "/chart/{ref}/vitals", Who: access.SeeCharts, serve: (*Server).serveVitals},
	}
}

// testsPerPage, panelsPerPage, panelRows, gridDays and gridTests are how much one page
// lists.
const (
	testsPerPage  = 50
	panelsPerPage = 5
	panelRows     = 18
	gridDays      = 6
	gridTests     = 30
)

// resultKinds are the kinds of results in their order, as the sections of a chart group
// them, with their titles.
var resultKinds = []struct {
	kind  chart.Kind
	title string
}{{chart.Laboratory, "Laboratory"}, {chart.OtherResult, "Other"}, {chart.Questionnaire, "Social history and questionnaires"}}

// A measuredPage is a page of results or vital signs.
type measuredPage struct {
	chartPage
	seal func(string) string
	m    *chart.Measured
	View string // which of the views of the results it is
	All  int    // of what it lists
	// Compared says that a flag on the page comes from the range of a result: its record
	// has none.
	Compared bool
}

// measured opens a chart for a page of what was measured; key is the page below the
// chart, section that of the chart.
func (s *Server) measured(r *request, key, section, words string) (*measuredPage, error) {
	at, err := place(r)
	if err != nil {
		return nil, err
	}
	c, err := s.o.Backend.Chart(r.Context(), r.actor(), at, words)
	if err != nil {
		return nil, err
	}
	p := &measuredPage{chartPage: chartPage{ChartHead: c.ChartHead, refer: s.o.Backend.Refer, Key: key, Page: 1, Pages: 1},
		seal: s.o.Backend.Seal, m: c.Whole.Measured}
	for _, one := range c.Whole.Sections {
		if one.Key == section {
			p.Sections = []chart.Section{one}
		}
	}
	if p.Sections == nil || p.m == nil {
		return nil, ErrNotFound
	}
	return p, numberIn(r.URL.Query(), "page", &p.Page, 1, math.MaxInt)
}

// Section is the part of the chart that the page shows.
func (p *measuredPage) Section() *chart.Section { return &p.Sections[0] }

// part says which of all things stand on the page: those from one number up to another.
func (p *measuredPage) part(all, per int) (from, to int, err error) {
	p.All, p.Pages = all, max(1, (all+per-1)/per)
	if p.Page > p.Pages {
		return 0, 0, ErrNotFound
	}
	return (p.Page - 1) * per, min(all, p.Page*per), nil
}

// testID is the name of a test in an address, before it is sealed.
func testID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "test " + hex.EncodeToString(sum[:16])
}

// Test is the address of the page of one test.
func (p *measuredPage) Test(t *chart.Test) string { return testAddress(&p.ChartHead, p.seal, t.Key) }

// testAddress is the address of the page of a test in a chart.
func testAddress(h *ChartHead, seal func(string) string, key string) string {
	return h.To("labs/test/" + url.PathEscape(seal(testID(key))))
}

// testsOf are the pages of what a record measured, at most panelRows.
func testsOf(h *ChartHead, seal func(string) string, r chart.Resource) (list []link) {
	for i, one := range chart.MeasuredIn(r) {
		if i == panelRows {
			break
		}
		list = append(list, link{one.Name, testAddress(h, seal, one.Test)})
	}
	return list
}

// A labRow is one result in words.
type labRow struct {
	Name, Test    string // Test is the address of its test
	On, Record    string // Record is the address of its record
	Value, Status string
	Flag, Range   string
	Strong        bool
	Struck        bool // cancelled: it does not count
	Mini          template.HTML
	Label         string   // security labels
	More          []string // what is said below the line
	Links         []link   // what stands with it
	Results       int      // of its test
}

// Below reports whether anything is said below the line.
func (r *labRow) Below() bool { return r.Label != "" || len(r.More) > 0 || len(r.Links) > 0 }

// A link is an address with its words.
type link struct{ Words, Address string }

// row writes a result.
func (p *measuredPage) row(r *chart.Result) labRow {
	row := labRow{Name: r.Name, On: r.On, Record: p.result(r), Value: r.Value.Text, Flag: r.Flag.String(), Range: strings.Join(r.Ranges, "; "),
		Strong: r.Flag.Odd, Struck: r.Void(), Label: r.Label}
	if row.On == "" {
		row.On = "no date"
	}
	if r.Status != "final" {
		row.Status = r.Status
	}
	p.Compared = p.Compared || r.Flag.Ours
	if pt := r.Point(); r.Value.Comparator == "" {
		row.Mini = plot.Mini(pt.Y, pt.From, pt.To)
	}
	if r.Inside > 0 {
		row.More = append(row.More, r.InsideWords())
	}
	for _, words := range []string{r.How, r.Comment} {
		if words != "" {
			row.More = append(row.More, words)
		}
	}
	if r.Whole != "" {
		row.More = append(row.More, "part of: "+r.Whole)
	}
	return row
}

// result is the address of the record of a result; of one inside a record, of its place
// there.
func (p *measuredPage) result(r *chart.Result) string {
	address := p.Record(r.Ref)
	if r.Inside > 0 {
		address += fmt.Sprint("#inside-", r.Inside)
	}
	return address
}

// A labGroup is rows of one kind.
type labGroup struct {
	Title string
	All   int // rows of the kind, on whatever page
	Rows  []labRow
}

// A labsPage is the latest result of each test.
type labsPage struct {
	measuredPage
	Flagged int // tests whose latest result has a flag
	Groups  []labGroup
}

func (s *Server) serveLabs(r *request) error {
	m, err := s.measured(r, "labs", "results", "labs")
	if err != nil {
		return err
	}
	p := &labsPage{measuredPage: *m}
	p.View = "labs"
	var tests []*chart.Test
	for _, k := range resultKinds {
		g := labGroup{Title: k.title}
		for i := range p.m.Tests {
			if t := &p.m.Tests[i]; t.Kind == k.kind {
				tests = append(tests, t)
				g.All++
				if t.Latest.Flag.Odd {
					p.Flagged++
				}
			}
		}
		p.Groups = append(p.Groups, g)
	}
	from, to, err := p.part(len(tests), testsPerPage)
	if err != nil {
		return err
	}
	for _, t := range tests[from:to] {
		row := p.row(t.Latest)
		row.Test, row.Results = p.Test(t), len(t.Results)
		if later := t.Results[0]; later != t.Latest {
			row.More = append(row.More, strings.TrimSpace("later: "+later.Value.Text+" ("+later.Status+") "+later.On))
		}
		g := &p.Groups[t.Kind]
		g.Rows = append(g.Rows, row)
	}
	return s.render(r, http.StatusOK, "labs", "Results", p)
}

// A panelView is one panel with its results.
type panelView struct {
	*chart.Panel
	Record string
	All    int // results of the panel
	Rows   []labRow
}

// A panelsPage is the results as they were reported together.
type panelsPage struct {
	measuredPage
	First, Last int
	Panels      []panelView
	Alone       int // results of no panel
	Wrong       int // panels that were entered in error
}

func (s *Server) servePanels(r *request) error {
	m, err := s.measured(r, "labs/panels", "results", "labs: panels")
	if err != nil {
		return err
	}
	p := &panelsPage{measuredPage: *m}
	p.View = "panels"
	var panels []*chart.Panel
	for i := range p.m.Panels {
		if one := &p.m.Panels[i]; one.EnteredInError() {
			p.Wrong++
		} else {
			panels = append(panels, one)
		}
	}
	for i := range p.m.Tests {
		for _, one := range p.m.Tests[i].Results {
			if p.m.Tests[i].Kind != chart.VitalSign && len(p.m.In(one)) == 0 {
				p.Alone++
			}
		}
	}
	from, to, err := p.part(len(panels), panelsPerPage)
	if err != nil {
		return err
	}
	p.First, p.Last = from+1, to
	tests := p.byKey()
	for _, one := range panels[from:to] {
		v := panelView{Panel: one, Record: p.Record(one.Ref), All: len(one.Results)}
		for _, r := range one.Results[:min(len(one.Results), panelRows)] {
			row := p.row(r)
			row.Test = p.Test(tests[r.Test])
			v.Rows = append(v.Rows, row)
		}
		p.Panels = append(p.Panels, v)
	}
	return s.render(r, http.StatusOK, "panels", "Results by panel", p)
}

// byKey finds tests by what their results call them.
func (p *measuredPage) byKey() map[string]*chart.Test {
	m := make(map[string]*chart.Test, len(p.m.Tests))
	for i := range p.m.Tests {
		m[p.m.Tests[i].Key] = &p.m.Tests[i]
	}
	return m
}

// A gridPage is tests by days.
type gridPage struct {
	measuredPage
	chart.Grid
	First, Last int // days
	Rows        []gridRow
	Here        int // tests with a result on these days
	Newer       string
	Older       string
}

type gridRow struct {
	Name, Test, Unit string
	Cells            [][]gridCell
}

// A gridCell is one result in a grid.
type gridCell struct {
	Text, Mark, Record string
	Words              string // what the mark stands for, for who cannot see it
	Strong, Struck     bool
}

func (s *Server) serveGrid(r *request) error {
	m, err := s.measured(r, "labs/grid", "results", "labs: by day")
	if err != nil {
		return err
	}
	p := &gridPage{measuredPage: *m}
	p.View = "grid"
	skip := 0
	if err := numberIn(r.URL.Query(), "skip", &skip, 0, math.MaxInt); err != nil {
		return err
	}
	p.Grid = p.m.Grid(skip, gridDays, chart.Laboratory, chart.OtherResult)
	if skip > 0 && skip >= p.Grid.All {
		return ErrNotFound
	}
	p.First, p.Last, p.Here = skip+1, skip+len(p.Days), len(p.Grid.Rows)
	from, to, err := p.part(p.Here, gridTests)
	if err != nil {
		return err
	}
	for _, row := range p.Grid.Rows[from:to] {
		p.Rows = append(p.Rows, p.gridRow(row))
	}
	if p.Last < p.Grid.All {
		p.Older = p.daysAt(p.Last, 1)
	}
	if skip > 0 {
		p.Newer = p.daysAt(max(0, skip-gridDays), 1)
	}
	return s.render(r, http.StatusOK, "grid", "Results by day", p)
}

// daysAt is the address of the grid after so many days.
func (p *gridPage) daysAt(skip, page int) string {
	address := fmt.Sprintf("/chart/%s/labs/grid?skip=%d&page=%d", url.PathEscape(string(p.Ref)), skip, page)
	if p.AsOf != "" {
		address += "&asof=" + p.AsOf
	}
	return address
}

// Turn is the address of another page of tests on the same days.
func (p *gridPage) Turn(n int) string { return p.daysAt(p.First-1, n) }

// gridRow writes the cells of a test. The unit stands once if all cells have it.
func (p *gridPage) gridRow(row chart.GridRow) gridRow {
	out := gridRow{Name: row.Test.Name, Test: p.Test(row.Test), Unit: row.Unit()}
	for _, cell := range row.Cells {
		var list []gridCell
		for _, r := range cell {
			c := gridCell{Text: r.Value.Text, Mark: r.Flag.Mark, Record: p.result(r), Strong: r.Flag.Odd, Struck: r.Void()}
			if out.Unit != "" {
				c.Text = strings.TrimSuffix(c.Text, " "+out.Unit)
			}
			if r.Flag.Odd && c.Mark == "" {
				c.Mark = "!"
			}
			if c.Strong {
				c.Words = strings.TrimLeft(r.Flag.String(), "▲▼ ")
			}
			if r.Status != "final" {
				c.Text += " (" + r.Status + ")"
			}
			if r.Inside > 0 {
				c.Text += " (inside a report)"
			}
			if !r.Until.IsZero() {
				c.Text += " (" + r.On + ")"
			}
			list = append(list, c)
		}
		out.Cells = append(out.Cells, list)
	}
	return out
}
