package chart

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Series is the numbers of one test, oldest first, in runs of one unit: where the
// unit changes, a run ends. Nothing is converted.
type Series struct {
	Runs []Run
	Left int // results that cannot be drawn: no number, or no day
}

// A Run is results that follow each other in the same unit.
type Run struct {
	Unit   string
	Points []Point
}

// A Point is a result that can be drawn.
type Point struct {
	*Result
	Y        float64
	Lower    float64 // the second number of a blood pressure; NaN: it is none
	From, To float64 // the limits of its range; NaN where there is none
	Age      float64 // age in years when it was measured; NaN: not known
}

// A Birth is when somebody was born, as far as the record says it.
type Birth struct{ day time.Time }

// BirthOf reads a birth date; one that names no day gives no ages.
func BirthOf(born string) Birth {
	if d, ok := parseDate(born); ok && len(born) == len("2006-01-02") {
		return Birth{d.from}
	}
	return Birth{}
}

// largest is the largest number that is drawn.
const largest = 1e15

// number64 reads a number to draw it; NaN if it cannot be drawn.
func number64(s string) float64 {
	if s == "" {
		return math.NaN()
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.Abs(v) > largest {
		return math.NaN()
	}
	return v
}

// SeriesOf puts results, newest first, into a series.
func SeriesOf(results []*Result, b Birth) Series {
	var s Series
	for _, r := range slices.Backward(results) {
		p := pointOf(r, b)
		if math.IsNaN(p.Y) || !r.ToDay || r.When.IsZero() {
			s.Left++
			continue
		}
		if n := len(s.Runs); n == 0 || s.Runs[n-1].Unit != r.Value.Unit {
			s.Runs = append(s.Runs, Run{Unit: r.Value.Unit})
		}
		last := &s.Runs[len(s.Runs)-1]
		last.Points = append(last.Points, p)
	}
	return s
}

func pointOf(r *Result, b Birth) Point {
	return Point{Result: r, Y: number64(r.Value.Number), Lower: number64(r.Value.Lower), From: number64(r.Low), To: number64(r.High), Age: b.age(r)}
}

// age is how old somebody was when r was measured, in years, to the day.
func (b Birth) age(r *Result) float64 {
	if b.day.IsZero() || r.When.IsZero() || !r.ToDay {
		return math.NaN()
	}
	y, m, d := r.When.Date()
	on := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	if on.Before(b.day) {
		return math.NaN()
	}
	years := y - b.day.Year()
	last := b.day.AddDate(years, 0, 0)
	if last.After(on) {
		years--
		last = b.day.AddDate(years, 0, 0)
	}
	next := b.day.AddDate(years+1, 0, 0)
	return float64(years) + on.Sub(last).Hours()/next.Sub(last).Hours()
}

// The LOINC codes of the halves of a blood pressure, as keys of tests.
const (
	systolic  = "http://loinc.org|8480-6"
	diastolic = "http://loinc.org|8462-4"
)

// A Pressure is a blood pressure: two values of one record, or of two records of the
// same moment, in the same unit.
type Pressure struct{ Upper, Lower *Result }

// Point returns a pressure as it is drawn.
func (p Pressure) Point() Point {
	pt := p.Upper.Point()
	pt.Lower = number64(p.Lower.Value.Number)
	return pt
}

// Text writes a pressure: 118/76 mm[Hg].
func (p Pressure) Text() string {
	return join(" ", p.Upper.Value.Comparator+p.Upper.Value.Number+"/"+p.Lower.Value.Comparator+p.Lower.Value.Number, p.Upper.Value.Unit)
}

// Flag is what is said of either half.
func (p Pressure) Flag() Flag { return halves([]*Result{p.Upper, p.Lower}) }

// Ranges are those of the halves, each with its name.
func (p Pressure) Ranges() []string { return rangesOf([]*Result{p.Upper, p.Lower}) }

// vitalOrder are the vital signs in the order in which they are read.
var vitalOrder = []string{"85354-9", "55284-4", "8480-6", "8462-4", "8867-4", "2708-6", "59408-5", "8310-5", "9279-1",
	"29463-7", "3141-9", "8302-2", "8306-3", "39156-5", "9843-4", "8287-5"}

// growing are those that are looked at by age while somebody grows.
var growing = []string{"29463-7", "3141-9", "8302-2", "8306-3", "39156-5", "9843-4", "8287-5"}

// standing is where a code stands in a list; its length if it is not in it.
func (t *Test) standing(list []string) int {
	code, ok := strings.CutPrefix(t.Key, "http://loinc.org|")
	if i := slices.Index(list, code); ok && i >= 0 {
		return i
	}
	return len(list)
}

// Grows reports whether a test is one of growth: weight, height, body mass index,
// head circumference.
func (t *Test) Grows() bool { return t.standing(growing) < len(growing) }

// Grown is the age in years from which measurements are not drawn as growth.
const Grown = 20

// Vitals are the tests of vital signs: those that everybody takes first, the others by
// name.
func (m *Measured) Vitals() []*Test {
	var out []*Test
	for i := range m.Tests {
		if m.Tests[i].Kind == VitalSign {
			out = append(out, &m.Tests[i])
		}
	}
	slices.SortStableFunc(out, func(x, y *Test) int {
		if c := x.standing(vitalOrder) - y.standing(vitalOrder); c != 0 {
			return c
		}
		return strings.Compare(Fold(x.Name), Fold(y.Name))
	})
	return out
}

// Pressures returns the blood pressures, newest first, and how many halves have no
// other half. What was cancelled or entered in error is not among them.
func (m *Measured) Pressures() (pairs []Pressure, alone int) {
	type occasion struct{ record, on string }
	halves := map[occasion][2][]*Result{}
	for _, r := range m.Results {
		side := slices.Index([]string{systolic, diastolic}, r.Test)
		if side < 0 || r.EnteredInError() || r.Void() || r.Heading() {
			continue
		}
		at := occasion{on: r.When.UTC().Format(time.RFC3339Nano)}
		if r.Part > 0 || r.When.IsZero() || r.On == r.day() {
			at = occasion{record: r.key()} // of a day alone nobody knows which belong together
		}
		h := halves[at]
		h[side] = append(h[side], r)
		halves[at] = h
	}
	for _, h := range halves {
		if len(h[0]) == 1 && len(h[1]) == 1 && h[0][0].Value.Unit == h[1][0].Value.Unit {
			pairs = append(pairs, Pressure{h[0][0], h[1][0]})
			continue
		}
		alone += len(h[0]) + len(h[1])
	}
	slices.SortFunc(pairs, func(x, y Pressure) int { return newer(x.Upper, y.Upper) })
	return pairs, alone
}
