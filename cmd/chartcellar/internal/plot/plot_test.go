package plot_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/plot"
)

var update = flag.Bool("update", false, "write the golden files")

var none = math.NaN()

func on(s string) time.Time {
	t, err := time.Parse("2006-01-02", s)
	if err != nil {
		panic(err)
	}
	return t
}

// point is a result without a range.
func point(day string, y float64) plot.Point {
	return plot.Point{At: on(day), Y: y, Lower: none, Low: none, High: none, On: day, Text: strconv.FormatFloat(y, 'f', -1, 64)}
}

func with(p plot.Point, change func(*plot.Point)) plot.Point {
	change(&p)
	return p
}

func band(p plot.Point, low, high float64) plot.Point {
	p.Low, p.High = low, high
	return p
}

// figures are those with a golden file.
func figures() map[string]plot.Figure {
	return map[string]plot.Figure{
		"shapes": {ID: "p1", Name: "Potassium <serum>", Total: 9, Lines: []plot.Line{{Unit: "mmol/L", Points: []plot.Point{
			band(point("2024-01-10", 4.1), 3.5, 5.1), band(point("2024-06-01", 4.4), 3.5, 5.1),
			with(band(point("2024-11-20", 5.6), 3.4, 4.8), func(p *plot.Point) { p.Flag = "High" }),
			with(point("2025-02-01", 4.9), func(p *plot.Point) { p.Shape = plot.Corrected }),
			with(point("2025-03-01", 4.6), func(p *plot.Point) { p.Shape = plot.Cancelled }),
			with(band(point("2025-06-01", 3.0), 3.5, none), func(p *plot.Point) { p.Shape = plot.Below }),
			with(band(point("2025-08-01", 5.9), 3.5, none), func(p *plot.Point) { p.Shape = plot.Above }),
			with(band(point("2026-01-01", 4.2), 3.5, 5.1), func(p *plot.Point) { p.Shape = plot.Unsure })}}}},
		"units": {ID: "p2", Name: "Glucose", Total: 5, Lines: []plot.Line{
			{Unit: "mg/dL", Points: []plot.Point{point("2019-01-01", 100), point("2020-01-01", 110)}},
			{Unit: "mmol/L", Points: []plot.Point{point("2021-01-01", 6.1), point("2022-01-01", 5.2)}},
			{Unit: "mg/dL", Points: []plot.Point{point("2023-01-01", 95)}}}},
		"pressure": {ID: "p3", Name: "Blood pressure", Total: 3, Lines: []plot.Line{{Unit: "mm[Hg]", Points: []plot.Point{
			with(point("2026-01-01", 118), func(p *plot.Point) { p.Lower = 76 }), with(point("2026-01-09", 142), func(p *plot.Point) { p.Lower, p.Flag = 88, "High" }),
			with(point("2026-01-20", 131), func(p *plot.Point) { p.Lower, p.Shape = 84, plot.Corrected })}}}},
		"growth": {ID: "p4", Name: "Weight", ByAge: true, Narrow: true, Total: 4, Lines: []plot.Line{{Unit: "kg", Points: []plot.Point{
			with(point("2026-01-01", 3.4), func(p *plot.Point) { p.Age = 0 }), with(point("2026-02-01", 4.3), func(p *plot.Point) { p.Age = 1.0 / 12 }),
			with(point("2026-07-01", 7.9), func(p *plot.Point) { p.Age = .5 }), with(point("2027-01-01", 9.8), func(p *plot.Point) { p.Age = 1 })}}}},
		"one": {ID: "p5", Name: "Ferritin", Total: 1, Lines: []plot.Line{{Points: []plot.Point{point("2026-01-01", -3)}}}},
	}
}

// TestGolden: a drawing looks as it did when somebody last looked at it.
func TestGolden(t *testing.T) {
	for name, f := range figures() {
		t.Run(name, func(t *testing.T) {
			d := plot.Draw(f)
			file := strings.Replace(string(d.SVG), "<svg ", `<svg xmlns="http://www.w3.org/2000/svg" `, 1) // alone it needs this
			got := fmt.Sprintf("%s\n<!-- %s %s -->\n", file, d.Summary, strings.Join(d.Legend, ", "))
			file = filepath.Join("testdata", name+".svg")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil || got != string(want) {
				t.Errorf("%s is another drawing (%v):\n%s", file, err, got)
			}
			check(t, f, d)
		})
	}
}

var numbers = regexp.MustCompile(`-?[0-9]+(\.[0-9]+)?`)

// check looks whether a drawing is whole: it is XML of known elements without style or
// script, and every point lies in the box.
func check(t *testing.T, f plot.Figure, d plot.Drawing) {
	t.Helper()
	if bad := regexp.MustCompile(`NaN|Inf|<script|style=|href|on[a-z]+=`).FindString(string(d.SVG)); bad != "" && !strings.Contains(f.Name, bad) {
		t.Errorf("%q in\n%s", bad, d.SVG)
	}
	dec := xml.NewDecoder(strings.NewReader(string(d.SVG)))
	w, h, in := 0.0, 0.0, ""
	var title strings.Builder
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, d.SVG)
		}
		switch e := tok.(type) {
		case xml.StartElement:
			in = e.Name.Local
			switch in {
			case "svg", "title", "desc", "g", "path", "text":
			default:
				t.Errorf("there is a <%s>", in)
			}
			for _, a := range e.Attr {
				switch a.Name.Local {
				case "viewBox":
					fmt.Sscanf(a.Value, "0 0 %g %g", &w, &h)
				case "d":
					inside(t, a.Value, w, h)
				case "x":
					between(t, a.Value, w)
				case "y":
					between(t, a.Value, h)
				}
			}
		case xml.EndElement:
			in = ""
		case xml.CharData:
			if in == "title" {
				title.Write(e)
			}
		}
	}
	if got := strings.ToValidUTF8(title.String(), ""); d.Points > 0 && strings.Map(letters, got) != strings.Map(letters, f.Name) {
		t.Errorf("title %q, want %q", got, f.Name)
	}
}

// letters leaves what no encoding changes.
func letters(r rune) rune {
	if r > ' ' && r < 0x7f {
		return r
	}
	return -1
}

// inside looks at where every piece of a path begins; M and L are followed by two
// coordinates, H and V by one.
func inside(t *testing.T, path string, w, h float64) {
	t.Helper()
	for _, piece := range regexp.MustCompile(`[MLHV][^A-Za-z]*`).FindAllString(path, -1) {
		n := numbers.FindAllString(piece, -1)
		switch {
		case piece[0] == 'H' && len(n) == 1:
			between(t, n[0], w)
		case piece[0] == 'V' && len(n) == 1:
			between(t, n[0], h)
		case len(n) == 2:
			between(t, n[0], w)
			between(t, n[1], h)
		default:
			t.Errorf("a path has %q", piece)
		}
	}
}

func between(t *testing.T, s string, most float64) {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v < 0 || v > most {
		t.Errorf("%q lies outside 0 to %v", s, most)
	}
}

// TestDraw is what may not be drawn, or not joined.
func TestDraw(t *testing.T) {
	draw := func(lines ...plot.Line) plot.Drawing {
		return plot.Draw(plot.Figure{ID: "x", Name: "Test", Lines: lines})
	}
	line := func(p ...plot.Point) plot.Line { return plot.Line{Unit: "g", Points: p} }
	if d := draw(); d.SVG != "" || d.Points != 0 || d.Summary != "" {
		t.Errorf("of nothing: %+v", d)
	}
	if d := draw(line(point("2026-01-01", math.NaN()), point("2026-01-01", math.Inf(1)), point("2026-01-01", 1e300), plot.Point{Y: 1, Lower: none})); d.SVG != "" {
		t.Errorf("of no number: %s", d.SVG)
	}
	joined := func(d plot.Drawing) int {
		m := regexp.MustCompile(`class="line"[^>]* d="([^"]*)"`).FindStringSubmatch(string(d.SVG))
		if m == nil {
			return -1
		}
		return strings.Count(m[1], "L")
	}
	below := with(point("2026-02-01", 2), func(p *plot.Point) { p.Shape = plot.Below })
	gone := with(point("2026-02-01", 9), func(p *plot.Point) { p.Shape = plot.Cancelled })
	a, b := point("2026-01-01", 1), point("2026-03-01", 3)
	for name, tt := range map[string]struct {
		d    plot.Drawing
		want int
	}{"two results": {draw(line(a, b)), 1}, "less than, between them": {draw(line(a, below, b)), 0}, "cancelled, between them": {draw(line(a, gone, b)), 1},
		"a unit change, and back": {draw(line(a), plot.Line{Unit: "mg", Points: []plot.Point{point("2026-02-01", 2)}}, line(b)), 0},
		"a pair":                  {draw(line(with(a, func(p *plot.Point) { p.Lower = 0 }), with(b, func(p *plot.Point) { p.Lower = 0 }))), -1}} {
		if got := joined(tt.d); got != tt.want {
			t.Errorf("%s: %d joined, want %d\n%s", name, got, tt.want, tt.d.SVG)
		}
	}
	d := plot.Draw(plot.Figure{ID: "x", Name: "Test", Total: 1204, Most: 2, Lines: []plot.Line{line(a, below), line(b)}})
	if d.Points != 2 || !strings.HasPrefix(d.Summary, "Test: 2 of 1,204 results drawn, from 2026-02-01 to 2026-03-01;") {
		t.Errorf("the newest two: %d, %s", d.Points, d.Summary)
	}
	var many []plot.Line
	for i := range 50 {
		many = append(many, plot.Line{Unit: fmt.Sprint("unit", i), Points: []plot.Point{a}})
	}
	if d := draw(many...); d.Points != 4 || !strings.Contains(d.Summary, "unit49") {
		t.Errorf("fifty units: %d points, %s", d.Points, d.Summary)
	}
}

// TestMini: a value stands where it lies in its range, and at an edge if it is far
// outside.
func TestMini(t *testing.T) {
	for _, tt := range []struct {
		y, low, high float64
		want         string
	}{{5, 0, 10, "M32 1"}, {0, 0, 10, "M16 1"}, {10, 0, 10, "M48 1"}, {1e9, 0, 10, "M61 1"}, {-1e9, 0, 10, "M3 1"}, {5, none, 10, "M32 1"}, {20, 10, none, "M48 1"},
		{5, none, none, ""}, {none, 0, 10, ""}, {5, 10, 0, ""}, {5, 5, 5, ""}, {1, 0, none, "M61 1"}} {
		got := string(plot.Mini(tt.y, tt.low, tt.high))
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("Mini(%v, %v, %v) = %s, want %q", tt.y, tt.low, tt.high, got, tt.want)
		}
	}
}

// FuzzDraw: whatever numbers, times and names come, a drawing is whole.
func FuzzDraw(f *testing.F) {
	f.Add("Sodium", "mmol/L", int64(0), 1.0, 2.0, 0.0, 3.0, int64(1), 0.5, uint8(0))
	f.Add(`</title><script>alert(1)</script>"'`, `"><x y=`, int64(1<<40), 1e15, -1e15, math.Inf(1), math.NaN(), int64(-1<<50), 149.9, uint8(255))
	f.Add("\u202e\x00\xff", "", int64(-1<<62), 5e-324, 0.0, math.Copysign(0, -1), 1e-300, int64(1), -1.0, uint8(7))
	f.Fuzz(func(t *testing.T, name, unit string, at int64, y, y2, low, high float64, step int64, age float64, bits uint8) {
		fig := plot.Figure{ID: "x", Name: name, ByAge: bits&1 != 0, Narrow: bits&16 != 0, Total: 3}
		for i := range 3 {
			p := plot.Point{At: time.Unix(at%253402300799+int64(i)*(step%1e9), 0).UTC(), Age: age * float64(i), Y: y + float64(i)*y2, Lower: none, Low: low, High: high * float64(i),
				Shape: plot.Shape(int(bits>>2+uint8(i)) % 6), Text: name, On: unit}
			if bits&2 != 0 {
				p.Flag = unit
			}
			if bits&4 != 0 {
				p.Lower = y2
			}
			u := unit
			if i == 2 && bits&8 != 0 {
				u += "2"
			}
			fig.Lines = append(fig.Lines, plot.Line{Unit: u, Points: []plot.Point{p}})
		}
		check(t, fig, plot.Draw(fig))
		plot.Mini(y, low, high)
	})
}

// BenchmarkDraw draws a figure of a thousand results.
func BenchmarkDraw(b *testing.B) {
	var l plot.Line
	for i := range 1000 {
		l.Points = append(l.Points, band(with(point("2010-01-01", float64(i%17)), func(p *plot.Point) { p.At = p.At.AddDate(0, 0, 5*i) }), 3, 14))
	}
	f := plot.Figure{ID: "x", Name: "Test", Lines: []plot.Line{l}, Total: 1000}
	for b.Loop() {
		if d := plot.Draw(f); d.Points != 1000 {
			b.Fatal(d.Points)
		}
	}
}

// TestSummaryCancelled is that what was cancelled is neither the latest nor the highest,
// and that the latest of what is drawn is not called the latest of all.
func TestSummaryCancelled(t *testing.T) {
	gone := with(point("2026-03-01", 9), func(p *plot.Point) { p.Shape = plot.Cancelled })
	a, b := point("2026-01-01", 1), point("2026-02-01", 3)
	for name, tt := range map[string]struct {
		points []plot.Point
		total  int
		want   string
	}{
		"the last is cancelled": {[]plot.Point{a, b, gone}, 3, "Test: 3 results are drawn, from 2026-01-01 to 2026-03-01; 1 of these was cancelled; the latest is 3, the lowest 1, the highest 3."},
		"all are cancelled":     {[]plot.Point{gone, gone}, 2, "Test: 2 results are drawn, from 2026-03-01 to 2026-03-01; 2 of these were cancelled."},
		"some are not drawn":    {[]plot.Point{a, b}, 3, "Test: 2 of 3 results drawn, from 2026-01-01 to 2026-02-01; the latest of these is 3, the lowest 1, the highest 3."},
	} {
		if got := plot.Draw(plot.Figure{ID: "x", Name: "Test", Total: tt.total, Lines: []plot.Line{{Unit: "g", Points: tt.points}}}).Summary; got != tt.want {
			t.Errorf("%s: %q\nwant %q", name, got, tt.want)
		}
	}
}
