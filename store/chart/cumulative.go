package chart

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Measured is what was measured of a patient, test by test and panel by panel. It
// is made once and not changed: several may read it at once.
type Measured struct {
	Results []*Result // every record and each of its parts, by record
	Tests   []Test    // what goes first, then by name
	Panels  []Panel   // newest first
	// Errors are the records that were entered in error; Headings are the records that
	// only hold others. Neither is in Tests; Headings with members are in Panels.
	Errors, Headings int

	in map[place][]int // the panels of a result
}

// A place is where a result stands.
type place struct {
	key  string
	part int
}

func (r *Result) place() place { return place{r.key(), r.Part} }

// In returns the panels that hold a result of m.
func (m *Measured) In(r *Result) (list []*Panel) {
	for _, i := range m.in[r.place()] {
		list = append(list, &m.Panels[i])
	}
	return list
}

// A Test is all results of one test, of whatever kind.
type Test struct {
	Key, Name, Code string
	Kind            Kind // that of the latest
	// Latest is the newest result that was not cancelled and is not only announced; if there
	// is none, the newest.
	Latest  *Result
	Results []*Result // newest first; none that was entered in error
	Errors  int       // entered in error, and not in Results
	Names   []string  // other names under which it was reported
}

// A Panel is results that one record holds together: a report, or an observation
// with members.
type Panel struct {
	Ref, Name, On string
	When          time.Time
	Status        string
	Comment       string
	Label         string    // security labels, in words
	Named         []string  // records that it names, as Type/id
	Results       []*Result // what these hold, in their order; without headings and errors
	Missing       int       // of those named: not among the results of the copy
	Inside        int       // of those named: contained in the record itself, and among no results
	Errors        int       // of those named: entered in error
}

// EnteredInError reports whether the record was made by mistake.
func (p *Panel) EnteredInError() bool { return p.Status == "entered-in-error" }

func newMeasured(results []*Result, panels []Panel) *Measured {
	m := &Measured{Results: slices.Clone(results), in: map[place][]int{}}
	slices.SortFunc(m.Results, func(x, y *Result) int {
		return cmp.Or(strings.Compare(x.Ref, y.Ref), x.Inside-y.Inside, x.Part-y.Part)
	})
	byRef := make(map[string][]*Result, len(results))
	for _, r := range m.Results {
		byRef[r.key()] = append(byRef[r.key()], r)
		if len(r.Members) > 0 {
			panels = append(panels, Panel{Ref: r.Ref, Name: r.Name, On: r.On, When: r.When, Status: r.Status, Comment: join("; ", r.Flag.Words, r.Comment), Label: r.Label, Named: r.Members})
		}
	}
	m.count()
	for i := range panels {
		p := &panels[i]
		if len(p.Named) > 0 {
			p.gather(byRef, p.Named, map[string]bool{p.Ref: true})
			m.Panels = append(m.Panels, *p)
		}
	}
	slices.SortFunc(m.Panels, func(x, y Panel) int {
		if c := compareTimes(y.When, x.When); c != 0 {
			return c
		}
		return strings.Compare(x.Ref, y.Ref)
	})
	for i := range m.Panels {
		for _, r := range m.Panels[i].Results {
			m.in[r.place()] = append(m.in[r.place()], i)
		}
	}
	return m
}

// gather takes the results of the records named, and of their members, each record
// once.
func (p *Panel) gather(byRef map[string][]*Result, named []string, seen map[string]bool) {
	for _, ref := range named {
		if seen[ref] {
			continue
		}
		seen[ref] = true
		inside := strings.HasPrefix(ref, "#")
		if inside {
			ref = p.Ref + ref
		}
		list := byRef[ref]
		switch {
		case len(list) > 0:
		case inside:
			p.Inside++
			continue
		default:
			p.Missing++
			continue
		}
		if list[0].EnteredInError() {
			p.Errors++
			continue
		}
		for _, r := range list {
			if !r.Heading() && !r.Paired {
				p.Results = append(p.Results, r)
			}
		}
		p.gather(byRef, list[0].Members, seen)
	}
}

// count puts the results under their tests.
func (m *Measured) count() {
	at := map[string]int{}
	for _, r := range m.Results {
		wrong := r.EnteredInError()
		switch {
		case r.Paired:
			continue
		case wrong && r.Part == 0 && r.Inside == 0:
			m.Errors++
		case r.Heading():
			if r.Inside == 0 {
				m.Headings++
			}
			continue
		}
		k, ok := at[r.Test]
		if !ok {
			k = len(m.Tests)
			at[r.Test] = k
			m.Tests = append(m.Tests, Test{Key: r.Test})
		}
		t := &m.Tests[k]
		if wrong {
			t.Errors++
			continue
		}
		t.Results = append(t.Results, r)
	}
	m.Tests = slices.DeleteFunc(m.Tests, func(t Test) bool { return len(t.Results) == 0 })
	for i := range m.Tests {
		m.Tests[i].finish()
	}
	slices.SortStableFunc(m.Tests, Test.before)
}

// finish finds the latest result and what the test is called.
func (t *Test) finish() {
	slices.SortStableFunc(t.Results, newer)
	t.Latest = t.Results[0]
	if i := slices.IndexFunc(t.Results, (*Result).counts); i > 0 {
		t.Latest = t.Results[i]
	}
	t.Name, t.Code, t.Kind = t.Latest.Name, t.Latest.Code, t.Latest.Kind
	for _, r := range t.Results {
		if r.Name != t.Name && !slices.Contains(t.Names, r.Name) {
			t.Names = append(t.Names, r.Name)
		}
	}
}

func newer(x, y *Result) int {
	if c := compareTimes(y.When, x.When); c != 0 {
		return c
	}
	return cmp.Or(strings.Compare(x.Ref, y.Ref), x.Inside-y.Inside, x.Part-y.Part)
}

// before orders tests: critical, then flagged, then by name.
func (t Test) before(o Test) int {
	rank := func(t Test) int {
		switch f := t.Latest.Flag; {
		case f.Grave:
			return 0
		case f.Odd:
			return 1
		}
		return 2
	}
	if c := rank(t) - rank(o); c != 0 {
		return c
	}
	if c := strings.Compare(Fold(t.Name), Fold(o.Name)); c != 0 {
		return c
	}
	return strings.Compare(t.Key, o.Key)
}

// Of returns the test that a result belongs to; nil if it is in none. Part is 0 for
// the record itself.
func (m *Measured) Of(ref string, part int) *Test {
	i := slices.IndexFunc(m.Results, func(r *Result) bool { return r.Ref == ref && r.Part == part })
	if i < 0 {
		return nil
	}
	k := slices.IndexFunc(m.Tests, func(t Test) bool { return t.Key == m.Results[i].Test })
	if k < 0 {
		return nil
	}
	return &m.Tests[k]
}

// A Grid is tests by days: what a laboratory calls a cumulative report.
type Grid struct {
	Days    []string // newest first; of All
	All     int      // days on which anything was measured
	Rows    []GridRow
	Tests   int // there are, with or without a result on these days
	Undated int // results that name no day: they stand in no column
}

// A GridRow is one test on the days of a grid.
type GridRow struct {
	Test  *Test
	Cells [][]*Result // for each day what was found, oldest first
}

// Unit is the unit of the row, if all its results are numbers in it; else "".
func (row *GridRow) Unit() string {
	unit, first := "", true
	for _, cell := range row.Cells {
		for _, r := range cell {
			if r.Value.Number == "" || !first && r.Value.Unit != unit {
				return ""
			}
			unit, first = r.Value.Unit, false
		}
	}
	return unit
}

// Grid returns the tests of these kinds by days, newest first: n days after the
// first skip of them. A test without a result on these days has no row. n is at
// least 1.
func (m *Measured) Grid(skip, n int, kinds ...Kind) Grid {
	days := map[string]bool{}
	var g Grid
	for i := range m.Tests {
		t := &m.Tests[i]
		if !slices.Contains(kinds, t.Kind) {
			continue
		}
		g.Tests++
		for _, r := range t.Results {
			if !r.ToDay || r.When.IsZero() {
				g.Undated++
				continue
			}
			days[r.day()] = true
		}
	}
	all := make([]string, 0, len(days))
	for d := range days {
		all = append(all, d)
	}
	slices.Sort(all)
	slices.Reverse(all)
	g.All = len(all)
	from := min(max(skip, 0), len(all))
	g.Days = all[from:min(from+max(n, 1), len(all))]
	for i := range m.Tests {
		if t := &m.Tests[i]; slices.Contains(kinds, t.Kind) {
			g.add(t)
		}
	}
	slices.SortStableFunc(g.Rows, func(x, y GridRow) int {
		if c := x.Test.Kind - y.Test.Kind; c != 0 {
			return int(c)
		}
		return strings.Compare(Fold(x.Test.Name), Fold(y.Test.Name))
	})
	return g
}

func (g *Grid) add(t *Test) {
	row := GridRow{Test: t, Cells: make([][]*Result, len(g.Days))}
	any := false
	for k := len(t.Results) - 1; k >= 0; k-- {
		r := t.Results[k]
		if !r.ToDay || r.When.IsZero() {
			continue
		}
		if at := slices.Index(g.Days, r.day()); at >= 0 {
			row.Cells[at] = append(row.Cells[at], r)
			any = true
		}
	}
	if any {
		g.Rows = append(g.Rows, row)
	}
}

// day is the day of a result, as it is written: that of the place where it was
// measured.
func (r *Result) day() string {
	day, _, _ := strings.Cut(r.On, " ")
	return day
}
