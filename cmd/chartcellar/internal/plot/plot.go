// Package plot draws measurements as SVG that needs no script and no style sheet.
//
// A drawing is lines and signs in the colour of the text around it, so that it can be
// read in the dark, and on grey paper: what a point is, is said by its shape. It has a
// title and a sentence that says the same in words; the numbers belong into a table
// beside it. The package knows no record and no page. It draws what it is given:
// nothing is converted, smoothed or guessed, and results of different units never share
// an axis.
package plot

import (
	"bytes"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A Shape is how a point is drawn, and so what it is.
type Shape int

// The shapes.
const (
	Dot       Shape = iota // a result
	Corrected              // one that was corrected later: a diamond
	Unsure                 // preliminary, or of unknown status: a circle
	Cancelled              // a cross
	Below                  // less than its number: a triangle that points down
	Above                  // more than its number: a triangle that points up
	shapes
)

// words are what a reader is told about the shapes, with a letter that looks like them.
var words = [shapes]string{"", "◆ corrected", "○ preliminary or of unknown status", "× cancelled",
	"▽ less than this", "△ more than this"}

// A Point is one measurement.
type Point struct {
	At        time.Time
	Until     time.Time // the end of the time over which it was measured; zero: it was one moment or day
	Age       float64   // in years; only of a figure by age
	Y         float64
	Lower     float64 // the other half of a pair; NaN: it is none
	Low, High float64 // the limits of its own range; NaN: none
	Shape     Shape
	Flag      string // in words; "": it has none
	On, Text  string // when and what, in words
}

// A Line is measurements that follow each other in one unit, oldest first.
type Line struct {
	Unit   string
	Points []Point
}

// A Figure is what is drawn.
type Figure struct {
	ID     string // of its elements on the page: letters and digits
	Name   string // what was measured
	Lines  []Line // oldest first
	ByAge  bool
	Narrow bool // it stands in a column
	Total  int  // results that there are, also those that cannot be drawn
	Most   int  // points that are drawn, the newest; 0: all
}

// A Drawing is a figure, drawn.
type Drawing struct {
	SVG     template.HTML
	Summary string   // the same in a sentence
	Legend  []string // what the signs that occur mean
	Points  int      // drawn
}

// maxUnits is how many units have an axis of their own in one drawing.
const maxUnits = 4

// The box: where the points are, and the room for the words around it.
const (
	wide   = 640.0
	narrow = 430.0
	left   = 56.0
	right  = 12.0
	top    = 20.0
	height = 150.0
	below  = 22.0
	inset  = 8.0 // no point touches an edge
)

// Draw draws a figure. It returns the zero Drawing if there is nothing that can be
// drawn. Points that are no numbers are left out; the summary counts them.
func Draw(f Figure) Drawing {
	f.clean()
	panels := f.panels()
	if len(panels) == 0 {
		return Drawing{}
	}
	x := f.across(panels)
	v := sheet{ID: f.ID, Title: plain(f.Name), Summary: plain(f.summary(panels)), Width: num(f.width())}
	y := 0.0
	for _, p := range panels {
		v.Panels = append(v.Panels, p.draw(x, y, f.width()))
		y += top + height + below
	}
	v.Height = num(y)
	return Drawing{SVG: render("figure", v), Summary: v.Summary, Points: count(panels), Legend: f.legend(panels)}
}

// legend says what the signs that occur mean; that a point is a result goes without
// saying.
func (f *Figure) legend(panels []panel) (list []string) {
	var used [shapes]bool
	flagged, banded, paired, long := false, false, false, false
	for _, p := range panels {
		for _, l := range p.lines {
			for i := range l.Points {
				pt := &l.Points[i]
				used[pt.Shape] = true
				flagged, banded, paired = flagged || pt.Flag != "", banded || pt.banded(), paired || pt.pair()
				long = long || f.end(pt) > f.x(pt)
			}
		}
	}
	for s := Corrected; s < shapes; s++ {
		if used[s] {
			list = append(list, words[s])
		}
	}
	for _, one := range []struct {
		is    bool
		words string
	}{{flagged, "in a ring: flagged"}, {banded, "grey: the range of each result"}, {paired, "a bar: from the lower number to the upper"},
		{long, "a bar to the right: measured over that time"}} {
		if one.is {
			list = append(list, one.words)
		}
	}
	return list
}

// clean leaves out what is no number, and the oldest points beyond Most.
func (f *Figure) clean() {
	var lines []Line
	n := 0
	for _, l := range slices.Backward(f.Lines) {
		var keep []Point
		for _, p := range slices.Backward(l.Points) {
			if !p.drawable(f.ByAge) || f.Most > 0 && n == f.Most {
				continue
			}
			n++
			keep = append(keep, p)
		}
		if slices.Reverse(keep); len(keep) > 0 {
			lines = append(lines, Line{l.Unit, keep})
		}
	}
	slices.Reverse(lines)
	f.Lines = lines
}

// far is beyond what a drawing can show.
const far = 1e15

func finite(v float64) bool { return math.Abs(v) <= far }

func (p *Point) drawable(byAge bool) bool {
	if byAge && (!finite(p.Age) || p.Age < 0 || p.Age > 150) || !byAge && p.At.IsZero() {
		return false
	}
	return finite(p.Y) && (math.IsNaN(p.Lower) || finite(p.Lower))
}

func (p *Point) pair() bool   { return !math.IsNaN(p.Lower) }
func (p *Point) banded() bool { return finite(p.Low) || finite(p.High) }

// A panel is the lines of one unit with their own axis.
type panel struct {
	unit  string
	lines []Line
}

// panels are the units in the order in which they came up, the newest of them if there
// are too many.
func (f *Figure) panels() []panel {
	var out []panel
	for _, l := range f.Lines {
		i := slices.IndexFunc(out, func(p panel) bool { return p.unit == l.Unit })
		if i < 0 {
			i = len(out)
			out = append(out, panel{unit: l.Unit})
		}
		out[i].lines = append(out[i].lines, l)
	}
	return out[max(0, len(out)-maxUnits):]
}

func count(panels []panel) (n int) {
	for _, p := range panels {
		for _, l := range p.lines {
			n += len(l.Points)
		}
	}
	return n
}

func (f *Figure) width() float64 {
	if f.Narrow {
		return narrow
	}
	return wide
}

func (f *Figure) x(p *Point) float64 {
	if f.ByAge {
		return p.Age
	}
	return float64(p.At.Unix())
}

// end is where a point ends: where it is, or where its time is over. Ages have no end.
func (f *Figure) end(p *Point) float64 {
	if f.ByAge || !p.Until.After(p.At) {
		return f.x(p)
	}
	return float64(p.Until.Unix())
}

// num writes a coordinate.
func num(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

// A sheet is what the template is given. Its paths hold numbers and letters only.
type sheet struct {
	ID, Title, Summary string
	Width, Height      string
	Panels             []drawn
}

type drawn struct {
	Unit                          string
	Frame, Grid, Band, Line, Bars string
	UnitX, UnitY                  string
	Marks                         []mark
	Across, Up                    []tick
}

type mark struct{ Kind, D string }

type tick struct{ X, Y, Text string }

var figures = template.Must(template.New("figures").Parse(`{{define "figure"}}<svg class="trend" viewBox="0 0 {{.Width}} {{.Height}}" role="img" aria-labelledby="{{.ID}}-t {{.ID}}-d" fill="none" stroke="currentColor" stroke-width="1" font-size="12">
<title id="{{.ID}}-t">{{.Title}}</title>
<desc id="{{.ID}}-d">{{.Summary}}</desc>
{{range .Panels}}{{if .Band}}<path class="band" stroke="none" fill="currentColor" fill-opacity=".14" d="{{.Band}}"/>
{{end}}<path class="grid" stroke-opacity=".25" d="{{.Grid}}"/>
<path class="frame" stroke-opacity=".6" d="{{.Frame}}"/>
{{if .Line}}<path class="line" stroke-width="1.4" stroke-linejoin="round" d="{{.Line}}"/>
{{end}}{{if .Bars}}<path class="bars" stroke-width="1.6" d="{{.Bars}}"/>
{{end}}{{range .Marks}}<path class="{{.Kind}}"{{if eq .Kind "dot"}} stroke-width="6" stroke-linecap="round"{{else if eq .Kind "corrected"}} fill="currentColor"{{else}} stroke-width="1.5"{{end}} d="{{.D}}"/>
{{end}}<g class="words" stroke="none" fill="currentColor" aria-hidden="true"><text x="{{.UnitX}}" y="{{.UnitY}}">{{.Unit}}</text>
{{range .Up}}<text x="{{.X}}" y="{{.Y}}" text-anchor="end">{{.Text}}</text>{{end}}
{{range .Across}}<text x="{{.X}}" y="{{.Y}}" text-anchor="middle">{{.Text}}</text>{{end}}</g>
{{end}}</svg>{{end}}
{{define "mini"}}<svg class="mini" viewBox="0 0 64 12" width="64" height="12" aria-hidden="true" focusable="false" fill="none" stroke="currentColor"><path stroke-opacity=".4" d="M2 6h60"/>{{if .Band}}<path stroke-width="6" stroke-opacity=".3" d="{{.Band}}"/>{{end}}<path stroke-width="2.5" d="{{.Mark}}"/></svg>{{end}}`))

// render executes one of the templates; they cannot fail on the structs above.
func render(name string, v any) template.HTML {
	var b bytes.Buffer
	if err := figures.ExecuteTemplate(&b, name, v); err != nil {
		panic(err)
	}
	return template.HTML(b.String())
}

// Mini draws where a value lies in its own range: a strip with the range in it and a
// stroke for the value; a value far outside stands at an edge. Without a limit it
// returns "". It says nothing that is not in words beside it.
func Mini(y, low, high float64) template.HTML {
	from, to := finite(low), finite(high)
	if !finite(y) || !from && !to || from && to && low >= high {
		return ""
	}
	at, band := 32.0, ""
	switch {
	case from && to:
		at, band = 16+32*(y-low)/(high-low), "M16 6h32"
	case from:
		at, band = 16+32*(y-low)/max(math.Abs(low), 1e-9), "M16 6h46"
	default:
		at, band = 48+32*(y-high)/max(math.Abs(high), 1e-9), "M2 6h46"
	}
	at = min(max(at, 3), 61)
	return render("mini", struct{ Band, Mark string }{band, "M" + num(at) + " 1v10"})
}

// plain leaves what a drawing may hold as text: what cannot be seen is a blank.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == 0xfffe || r == 0xffff {
			return ' '
		}
		return r
	}, s)
}

// several writes a number with its noun.
func several(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s + " " + many
}

// summary says in a few words what the drawing shows.
func (f *Figure) summary(panels []panel) string {
	var all []Point
	var units []string
	for _, p := range panels {
		units = append(units, p.unit)
	}
	for _, l := range f.Lines { // in the order of time, whatever their units
		if slices.Contains(units, l.Unit) {
			all = append(all, l.Points...)
		}
	}
	first, last := all[0], all[len(all)-1]
	counted := slices.DeleteFunc(slices.Clone(all), func(p Point) bool { return p.Shape == Cancelled })
	out := f.Name + ": " + several(len(all), "result is", "results are") + " drawn"
	if f.Total > len(all) {
		out = f.Name + ": " + several(len(all), "of", "of") + " " + several(f.Total, "result", "results") + " drawn"
	}
	if len(all) > 1 {
		out += ", from " + first.On + " to " + last.On
	}
	out += f.extremes(len(all), counted, len(units) == 1)
	if len(units) > 1 {
		for i, u := range units {
			if u == "" {
				units[i] = "no unit"
			}
		}
		out += "; the unit changes, and each has its own axis: " + strings.Join(units, ", ")
	}
	return out + "."
}

// extremes say which of the drawn points, oldest first, is the latest, the lowest and the
// highest. What was cancelled is none of these.
func (f *Figure) extremes(drawn int, counted []Point, oneUnit bool) string {
	out := ""
	if n := drawn - len(counted); n > 0 {
		out = "; " + several(n, "of these was cancelled", "of these were cancelled")
	}
	if len(counted) == 0 {
		return out
	}
	last, latest := counted[len(counted)-1], "the latest"
	if f.Total > drawn {
		latest = "the latest of these"
	}
	out += "; " + latest + " is " + last.Text
	if last.Flag != "" {
		out += " (" + last.Flag + ")"
	}
	if len(counted) > 1 && oneUnit && !counted[0].pair() {
		out += ", the lowest " + slices.MinFunc(counted, byY).Text + ", the highest " + slices.MaxFunc(counted, byY).Text
	}
	return out
}

func byY(a, b Point) int {
	switch {
	case a.Y < b.Y:
		return -1
	case a.Y > b.Y:
		return 1
	}
	return 0
}
