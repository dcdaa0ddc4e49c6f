package plot

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A scale puts values between two coordinates.
type scale struct {
	from, to float64 // values
	a, b     float64 // coordinates
}

// at never leaves the coordinates.
func (s scale) at(v float64) float64 {
	c := s.a + (s.b-s.a)*((v-s.from)/(s.to-s.from))
	return min(max(c, min(s.a, s.b)), max(s.a, s.b))
}

// An axis is the scale across a drawing, with its ticks.
type axis struct {
	scale
	of    func(*Point) float64
	end   func(*Point) float64
	ticks []axisTick
}

type axisTick struct {
	v    float64
	text string
}

// across makes the axis that all panels of a drawing share.
func (f *Figure) across(panels []panel) axis {
	from, to := math.Inf(1), math.Inf(-1)
	for _, p := range panels {
		for _, l := range p.lines {
			for i := range l.Points {
				from, to = min(from, f.x(&l.Points[i])), max(to, f.end(&l.Points[i]))
			}
		}
	}
	if room := map[bool]float64{true: 1.0 / 12, false: 86400 * 15}[f.ByAge]; to-from < room {
		from, to = from-room, to+room
	}
	if f.ByAge {
		from = max(from, 0)
	}
	a := axis{scale: scale{from, to, left + inset, f.width() - right - inset}, of: f.x, end: f.end}
	most := math.Floor(f.width() / 100)
	if f.ByAge {
		a.ticks = ageTicks(from, to, most)
	} else {
		a.ticks = dateTicks(time.Unix(int64(from), 0).UTC(), time.Unix(int64(to), 0).UTC(), most)
	}
	return a
}

// dateTicks are the beginnings of days, months or years: about most of them.
func dateTicks(from, to time.Time, most float64) (out []axisTick) {
	day := time.Date(from.Year(), from.Month(), from.Day(), 0, 0, 0, 0, time.UTC)
	days := to.Sub(from).Hours() / 24
	for _, n := range []int{1, 2, 7, 14} {
		if days/float64(n) <= most {
			return walk(day, from, to, "2006-01-02", func(t time.Time) time.Time { return t.AddDate(0, 0, n) })
		}
	}
	month := time.Date(from.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
	for _, n := range []int{1, 2, 3, 6} {
		if days/(30.4*float64(n)) <= most {
			return walk(month, from, to, "2006-01", func(t time.Time) time.Time { return t.AddDate(0, n, 0) })
		}
	}
	years := float64(to.Year() - from.Year() + 1)
	step := max(1, int(nice(years/(1.75*most)))) // a year is short
	year := time.Date(from.Year()-from.Year()%step, 1, 1, 0, 0, 0, 0, time.UTC)
	return walk(year, from, to, "2006", func(t time.Time) time.Time { return t.AddDate(step, 0, 0) })
}

// maxTicks ends a walk whatever the numbers are.
const maxTicks = 24

func walk(t, from, to time.Time, layout string, next func(time.Time) time.Time) (out []axisTick) {
	for ; !t.After(to) && len(out) < maxTicks; t = next(t) {
		if !t.Before(from) {
			out = append(out, axisTick{float64(t.Unix()), t.Format(layout)})
		}
	}
	return out
}

// ageTicks are whole months or years: about most of them.
func ageTicks(from, to, most float64) (out []axisTick) {
	unit, word := 1.0, " y"
	if to <= 2 {
		unit, word = 1.0/12, " mo"
	}
	step := max(1, nice((to-from)/unit/(1.75*most)))
	for v := math.Ceil(from/unit/step) * step; v <= to/unit && len(out) < maxTicks; v += step {
		out = append(out, axisTick{v * unit, strconv.FormatFloat(v, 'f', -1, 64) + word})
	}
	return out
}

// nice is the next of 1, 2, 5, 10, 20... that is at least v.
func nice(v float64) float64 {
	if v <= 0 || math.IsNaN(v) {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5} {
		if n*p >= v*(1-1e-9) {
			return n * p
		}
	}
	return 10 * p
}

// span is the least and the greatest value of a panel. The limits of ranges count as
// long as they do not squeeze the values.
func (p *panel) span() (from, to float64) {
	from, to = math.Inf(1), math.Inf(-1)
	var limits []float64
	for _, l := range p.lines {
		for i := range l.Points {
			pt := &l.Points[i]
			from, to = min(from, pt.Y), max(to, pt.Y)
			if pt.pair() {
				from, to = min(from, pt.Lower), max(to, pt.Lower)
			}
			limits = append(limits, pt.Low, pt.High)
		}
	}
	room := max(2*(to-from), math.Abs(to)/2)
	low, high := from, to
	for _, v := range limits {
		if finite(v) && v > from-room && v < to+room {
			low, high = min(low, v), max(high, v)
		}
	}
	pad := (high - low) * .04
	if pad < math.Abs(high)*1e-6 || pad == 0 {
		pad = max(math.Abs(high)*.05, .5)
	}
	return low - pad, high + pad
}

// draw draws one panel whose upper edge is at y0.
func (p *panel) draw(x axis, y0, width float64) drawn {
	upper, lower := y0+top, y0+top+height
	from, to := p.span()
	y := scale{from, to, lower - inset, upper + inset}
	d := drawn{Unit: plain(p.unit), UnitX: num(left), UnitY: num(y0 + top - 6),
		Frame: fmt.Sprintf("M%s %sV%sH%s", num(left), num(upper), num(lower), num(width-right))}
	var grid strings.Builder
	step := nice((to - from) / 5)
	for v := math.Ceil(from/step) * step; v <= to && len(d.Up) < 12; v += step {
		at := num(y.at(v))
		fmt.Fprintf(&grid, "M%s %sH%s", num(left), at, num(width-right))
		d.Up = append(d.Up, tick{num(left - 6), num(y.at(v) + 4), valueText(v, step)})
	}
	for _, t := range x.ticks {
		at := num(x.at(t.v))
		fmt.Fprintf(&grid, "M%s %sV%s", at, num(upper), num(lower))
		d.Across = append(d.Across, tick{num(min(max(x.at(t.v), left+20), width-32)), num(lower + 15), t.text})
	}
	d.Grid = grid.String()
	var band, line, bars strings.Builder
	marks := make([]strings.Builder, shapes+1)
	for _, l := range p.lines {
		writeBand(&band, l.Points, x, y, upper, lower)
		writeLine(&line, l.Points, x, y)
		for i := range l.Points {
			writePoint(&bars, marks, &l.Points[i], x, y)
		}
	}
	d.Band, d.Line, d.Bars = band.String(), line.String(), bars.String()
	for s := range marks {
		if marks[s].Len() > 0 {
			d.Marks = append(d.Marks, mark{kinds[s], marks[s].String()})
		}
	}
	return d
}

// kinds are the classes of the shapes, and of the ring.
var kinds = [shapes + 1]string{"dot", "corrected", "unsure", "cancelled", "below", "above", "ring"}

// valueText writes the value of a tick with as many digits as its step has.
func valueText(v, step float64) string {
	digits := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	if digits > 6 || math.Abs(v) >= 1e7 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Trim(s, "-0.") == "" {
		return "0"
	}
	return s
}

// writeBand draws the range of each result from half way to the one before to half way
// to the next; ranges that are the same are one piece.
func writeBand(b *strings.Builder, points []Point, x axis, y scale, upper, lower float64) {
	for i := 0; i < len(points); {
		p := &points[i]
		k := i + 1
		for k < len(points) && same(points[k].Low, p.Low) && same(points[k].High, p.High) {
			k++
		}
		if p.banded() {
			from, to := x.at(x.of(p))-inset/2, x.at(x.of(&points[k-1]))+inset/2
			if i > 0 {
				from = (x.at(x.of(&points[i-1])) + x.at(x.of(p))) / 2
			}
			if k < len(points) {
				to = (x.at(x.of(&points[k-1])) + x.at(x.of(&points[k]))) / 2
			}
			high, low := upper, lower
			if finite(p.High) {
				high = y.at(p.High)
			}
			if finite(p.Low) {
				low = y.at(p.Low)
			}
			if low > high {
				fmt.Fprintf(b, "M%s %sH%sV%sH%sz", num(from), num(high), num(to), num(low), num(from))
			}
		}
		i = k
	}
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

// writeLine joins results that follow each other. A result that is only less or more
// than a number is not joined: nobody knows where it lies. One that was cancelled is
// passed over. Pairs are not joined.
func writeLine(b *strings.Builder, points []Point, x axis, y scale) {
	open := false
	for i := range points {
		p := &points[i]
		switch {
		case p.pair() || p.Shape == Below || p.Shape == Above:
			open = false
			continue
		case p.Shape == Cancelled:
			continue
		}
		sign := "L"
		if !open {
			sign, open = "M", true
		}
		fmt.Fprintf(b, "%s%s %s", sign, num(x.at(x.of(p))), num(y.at(p.Y)))
	}
}

// writePoint draws one result; a pair is a bar with a stroke at each end.
func writePoint(bars *strings.Builder, marks []strings.Builder, p *Point, x axis, y scale) {
	at, up := x.at(x.of(p)), y.at(p.Y)
	to := &marks[p.Shape]
	cx, cy := num(at), num(up)
	if end := x.end(p); end > x.of(p) {
		fmt.Fprintf(bars, "M%s %sH%s", cx, cy, num(x.at(end)))
	}
	if p.pair() {
		down := y.at(p.Lower)
		fmt.Fprintf(bars, "M%s %sh8M%s %sV%sM%s %sh8", num(at-4), cy, cx, cy, num(down), num(at-4), num(down))
	}
	switch p.Shape {
	case Corrected:
		fmt.Fprintf(to, "M%s %sl4 4-4 4-4-4z", cx, num(up-4))
	case Unsure:
		fmt.Fprintf(to, "M%s %sa3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0", num(at-3.5), cy)
	case Cancelled:
		fmt.Fprintf(to, "M%s %sl7 7m0-7l-7 7", num(at-3.5), num(up-3.5))
	case Below:
		fmt.Fprintf(to, "M%s %sh8l-4 7z", num(at-4), num(up-3.5))
	case Above:
		fmt.Fprintf(to, "M%s %sh8l-4-7z", num(at-4), num(up+3.5))
	default:
		if !p.pair() {
			fmt.Fprintf(to, "M%s %sh.01", cx, cy)
		}
	}
	if p.Flag != "" {
		fmt.Fprintf(&marks[shapes], "M%s %sa6.5 6.5 0 1 0 13 0a6.5 6.5 0 1 0-13 0", num(at-6.5), cy)
	}
}
