package viewer

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"chartcellar/cmd/chartcellar/internal/plot"
	"chartcellar/store/chart"
)

// valuesPerPage, drawnPoints and linksShown are how much the page of one test shows;
// vitalRows, vitalPoints and vitalsPerPage how much that of the vital signs shows.
const (
	valuesPerPage = 60
	drawnPoints   = 400
	linksShown    = 2
	vitalRows     = 5
	vitalPoints   = 40
	vitalsPerPage = 9
)

// figure draws results, newest first.
func figure(id, name string, results []*chart.Result, b chart.Birth, most int) plot.Drawing {
	s := chart.SeriesOf(results, b)
	f := plot.Figure{ID: id, Name: name, Total: len(results), Most: most, Narrow: most == vitalPoints}
	for _, run := range s.Runs {
		l := plot.Line{Unit: run.Unit}
		for _, p := range run.Points {
			l.Points = append(l.Points, point(p))
		}
		f.Lines = append(f.Lines, l)
	}
	return plot.Draw(f)
}

// grown draws by age what was measured before somebody was grown.
func grown(id, name string, results []*chart.Result, b chart.Birth, most int) plot.Drawing {
	f := plot.Figure{ID: id, Name: name + " by age when measured", ByAge: true, Most: most, Narrow: most == vitalPoints}
	for _, run := range chart.SeriesOf(results, b).Runs {
		l := plot.Line{Unit: run.Unit}
		for _, p := range run.Points {
			if p.Age < chart.Grown {
				l.Points = append(l.Points, point(p))
			}
		}
		f.Total += len(l.Points)
		f.Lines = append(f.Lines, l)
	}
	return plot.Draw(f)
}

// point is a result as it is drawn.
func point(p chart.Point) plot.Point {
	day, _, _ := strings.Cut(p.On, " ")
	if !p.Until.IsZero() {
		day = p.On // it was over several days
	}
	out := plot.Point{At: p.When, Until: p.Until, Age: p.Age, Y: p.Y, Lower: p.Lower, Low: p.From, High: p.To, On: day, Text: p.Value.Text}
	if p.Flag.Odd {
		out.Flag = strings.TrimLeft(p.Flag.String(), "▲▼ ")
	}
	switch comparator := p.Value.Comparator; {
	case p.Void():
		out.Shape = plot.Cancelled
	case strings.HasPrefix(comparator, "<"):
		out.Shape = plot.Below
	case strings.HasPrefix(comparator, ">"):
		out.Shape = plot.Above
	case p.Corrected():
		out.Shape = plot.Corrected
	case !p.Settled():
		out.Shape = plot.Unsure
	}
	return out
}

// A testPage is all results of one test.
type testPage struct {
	measuredPage
	Name, Code  string
	Names       []string
	Drawing     plot.Drawing
	Growth      plot.Drawing
	First, Last int
	Rows        []labRow
	Errors      int
	Back        string // the page that lists the test
}

func (s *Server) serveTest(r *request) error {
	id, err := s.o.Backend.Unseal(r.PathValue("test"))
	if err != nil {
		return err
	}
	m, err := s.measured(r, "labs/test/"+url.PathEscape(r.PathValue("test")), "results", "labs: one test")
	if err != nil {
		return err
	}
	p := &testPage{measuredPage: *m}
	var t *chart.Test
	for i := range p.m.Tests {
		if testID(p.m.Tests[i].Key) == id {
			t = &p.m.Tests[i]
		}
	}
	if t == nil {
		return ErrNotFound
	}
	p.Name, p.Code, p.Names, p.Errors, p.Back = t.Name, t.Code, t.Names, t.Errors, p.To("labs")
	if t.Kind == chart.VitalSign {
		p.Back = p.To("vitals")
	}
	birth := chart.BirthOf(p.Banner.Born)
	p.Drawing = figure("plot", t.Name, t.Results, birth, drawnPoints)
	if t.Grows() {
		p.Growth = grown("growth", t.Name, t.Results, birth, drawnPoints)
	}
	from, to, err := p.part(len(t.Results), valuesPerPage)
	if err != nil {
		return err
	}
	p.First, p.Last = from+1, to
	for _, one := range t.Results[from:to] {
		p.Rows = append(p.Rows, p.withLinks(one, t))
	}
	return s.render(r, http.StatusOK, "test", "One test", p)
}

// withLinks writes a result with what stands with it: its panels, and what it was
// worked out from.
func (p *measuredPage) withLinks(r *chart.Result, t *chart.Test) labRow {
	row := p.row(r)
	row.Mini = ""
	if r.Name != t.Name {
		row.More = append(row.More, "called: "+r.Name)
	}
	for i, panel := range p.m.In(r) {
		if i == linksShown {
			row.More = append(row.More, fmt.Sprintf("reported in %d panels", len(p.m.In(r))))
			break
		}
		row.Links = append(row.Links, link{"reported in: " + panel.Name, p.Record(panel.Ref)})
	}
	for i, ref := range r.From {
		if i == linksShown {
			row.More = append(row.More, fmt.Sprintf("worked out from %d records: see its record", len(r.From)))
			break
		}
		if strings.Count(ref, "/") == 1 {
			row.Links = append(row.Links, link{"worked out from: " + ref, p.Record(ref)})
			continue
		}
		row.More = append(row.More, "worked out from: "+ref)
	}
	return row
}

// flagged and ranged tell whether a column of a table is needed.
func flagged(rows []labRow) bool {
	return slices.ContainsFunc(rows, func(r labRow) bool { return r.Flag != "" })
}

func ranged(rows []labRow) bool {
	return slices.ContainsFunc(rows, func(r labRow) bool { return r.Range != "" })
}

// A vitalView is one vital sign.
type vitalView struct {
	Name, Test string // Test is the address of all its results
	Drawing    plot.Drawing
	Growth     plot.Drawing
	Rows       []labRow // the newest
	All        int
}

// A vitalsPage is the vital signs, each drawn and as a table.
type vitalsPage struct {
	measuredPage
	First, Last int
	Pressure    vitalView // pairs of halves that are tests of their own; other pairs are a test
	Alone       int       // halves without another half
	List        []vitalView
}

func (s *Server) serveVitals(r *request) error {
	m, err := s.measured(r, "vitals", "vitals", "vitals")
	if err != nil {
		return err
	}
	p := &vitalsPage{measuredPage: *m}
	tests := p.m.Vitals()
	from, to, err := p.part(len(tests), vitalsPerPage)
	if err != nil {
		return err
	}
	p.First, p.Last = from+1, to
	if p.Page == 1 {
		p.pressures()
	}
	birth := chart.BirthOf(p.Banner.Born)
	for i, t := range tests[from:to] {
		v := vitalView{Name: t.Name, Test: p.Test(t), All: len(t.Results)}
		v.Drawing = figure(fmt.Sprint("plot", i), t.Name, t.Results, birth, vitalPoints)
		if t.Grows() {
			v.Growth = grown(fmt.Sprint("growth", i), t.Name, t.Results, birth, vitalPoints)
		}
		for _, one := range t.Results[:min(len(t.Results), vitalRows)] {
			v.Rows = append(v.Rows, p.row(one))
		}
		p.List = append(p.List, v)
	}
	return s.render(r, http.StatusOK, "vitals", "Vital signs", p)
}

// pressures draws the blood pressures whose two halves are no test of their own.
func (p *vitalsPage) pressures() {
	all, alone := p.m.Pressures()
	all = slices.DeleteFunc(all, func(one chart.Pressure) bool { return one.Upper.Paired })
	f := plot.Figure{ID: "pressure", Name: "Blood pressure", Most: vitalPoints, Narrow: true, Total: len(all)}
	for _, one := range slices.Backward(all) {
		pt, unit := point(one.Point()), one.Upper.Value.Unit
		pt.Text, pt.Flag = one.Text(), ""
		if flag := one.Flag(); flag.Odd {
			pt.Flag = strings.TrimLeft(flag.String(), "▲▼ ")
		}
		if n := len(f.Lines); n == 0 || f.Lines[n-1].Unit != unit {
			f.Lines = append(f.Lines, plot.Line{Unit: unit})
		}
		last := &f.Lines[len(f.Lines)-1]
		last.Points = append(last.Points, pt)
	}
	v := vitalView{Name: f.Name, All: len(all), Drawing: plot.Draw(f)}
	for _, one := range all[:min(len(all), vitalRows)] {
		row := p.row(one.Upper)
		flag := one.Flag()
		row.Value, row.Range, row.Mini = one.Text(), strings.Join(one.Ranges(), "; "), ""
		row.Flag, row.Strong = flag.String(), flag.Odd
		p.Compared = p.Compared || flag.Ours
		if one.Lower.Status != one.Upper.Status {
			row.More = append(row.More, "the lower half is "+one.Lower.Status)
		}
		row.Links = []link{{"the lower half", p.Record(one.Lower.Ref)}}
		v.Rows = append(v.Rows, row)
	}
	p.Pressure, p.Alone = v, alone
}
