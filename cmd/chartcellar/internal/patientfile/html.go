package patientfile

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strings"

	"chartcellar/store/chart"
)

// The pages. They hold their style, no script, and a policy that lets nothing be loaded.
var (
	//go:embed sheet.html
	sheetPage string
	//go:embed downtime.html
	downtimePage string
	//go:embed style.css
	style string
)

// dateOnly is a cell that holds a time and nothing else: it is not broken in two.
var dateOnly = regexp.MustCompile(`^\d{4}-\d\d(-\d\d( \d\d:\d\d.{0,6})?)?$`)

// write makes a page of a template.
func write(w io.Writer, text string, data any) error {
	t, err := template.New("page").Funcs(template.FuncMap{"join": strings.Join, "clean": chart.Clean, "dated": dateOnly.MatchString,
		"style": func() template.CSS { return template.CSS(style) }}).Parse(text)
	if err == nil {
		err = t.Execute(w, data)
	}
	if err != nil {
		return fmt.Errorf("make the page: %w", err)
	}
	return nil
}

// A View is a sheet as a template shows it: everything in words and in its order.
type View struct {
	Title     string
	Others    []string // other names
	Facts     []string // who it is
	Allergies string
	Lines     []string // who made it, when, for whom, of which copy
	Notes     []string // what is left out, and what must not be overlooked
	Foot      string
	Sections  []ViewSection
	Package   bool   // it stands in a package
	Files     []File // of the package, newest first
	Held      int    // of these, in the package
}

// A ViewSection is a section of it.
type ViewSection struct {
	Key, Head string
	Remarks   []string
	Groups    []ViewGroup
}

// A ViewGroup is one table of it.
type ViewGroup struct {
	Head    string // "": none
	Columns []string
	Rows    []chart.Row
}

// View returns the sheet for a template.
func (s *Sheet) View() *View {
	v := &View{Title: s.title(), Others: s.Chart.Banner.Others, Facts: s.facts(), Allergies: s.allergies(), Lines: s.made(), Notes: s.notes(),
		Foot: s.foot(), Package: s.Files != nil, Files: slices.Clone(s.Files)}
	for _, sec := range s.sections() {
		one := ViewSection{Key: sec.Key, Head: head(&sec), Remarks: s.remarks(&sec)}
		for i := range sec.Groups {
			columns, rows := used(&sec, &sec.Groups[i])
			one.Groups = append(one.Groups, ViewGroup{groupHead(&sec.Groups[i]), columns, rows})
		}
		for _, p := range sec.Plain {
			one.Groups = append(one.Groups, ViewGroup{shownPlainly(p), []string{"element", "says"}, plainRows(p)})
		}
		v.Sections = append(v.Sections, one)
	}
	slices.SortStableFunc(v.Files, func(a, b File) int { return strings.Compare(b.Date, a.Date) })
	for _, f := range v.Files {
		if f.Why == "" {
			v.Held++
		}
	}
	return v
}

// plainRows are the elements of a record that no model reads.
func plainRows(p chart.Plain) (rows []chart.Row) {
	for _, l := range p.Lines {
		rows = append(rows, chart.Row{Cells: []string{l.Path, l.Value}})
	}
	return rows
}

// HTML writes the sheet as a web page that needs nothing else: no script, no network.
func (s *Sheet) HTML(w io.Writer) error { return write(w, sheetPage, s.View()) }
