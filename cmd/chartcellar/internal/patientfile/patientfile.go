// Package patientfile makes files of one patient to print and to give away: pages as PDF
// and as HTML, and a package (zip) with the documents and the records themselves; and the
// sheet for the day on which nothing works.
//
// It is told what to write and knows no mirror, no account and no command. What it writes
// opens without this program and without a network. It invents nothing: what a record
// does not say is not said, what is left out is counted and named, and what a typeface
// cannot print is marked where it stands.
package patientfile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"chartcellar/store/chart"
)

// A Cover says what a file is a copy of, who made it, for whom and why.
type Cover struct {
	Practice string
	Source   string    // name of the EMR in the settings
	Copy     string    // which copy it shows, in words
	Made     time.Time // in the practice's zone
	By       string    // who made it
	// For is the recipient and Purpose what it is for. Both are empty on what is printed
	// for the practice itself.
	For, Purpose string
}

// A Choice is what of a patient is wanted.
type Choice struct {
	Sections    []string // keys of chart sections; nil: all
	First, Last string   // days, as 2026-03-01; "": open; see chart.Within
	Sensitive   bool     // also what is labelled sensitive
}

// A Count says of every record of the patient what became of it.
type Count struct {
	Taken     int            `json:"taken"`
	Sensitive int            `json:"sensitive"` // left out: labelled, and not asked for
	Labelled  int            `json:"labelled"`  // of the taken: labelled
	Outside   int            `json:"outside"`   // left out: of other days
	Unread    int            `json:"unread"`    // stored bytes are damaged
	Labels    map[string]int `json:"labels,omitempty"`
}

// Records is how many records of the patient there are.
func (n *Count) Records() int { return n.Taken + n.Sensitive + n.Outside + n.Unread }

// Take counts a record and reports whether it is wanted.
func (c Choice) Take(r chart.Resource, n *Count) bool {
	labels := chart.Labels(r.Raw)
	closed := r.Closed || chart.AnySensitive(labels)
	switch {
	case closed && !c.Sensitive:
		n.Sensitive++
		return false
	case !chart.Within(r, c.First, c.Last):
		n.Outside++
		return false
	}
	n.Taken++
	if !closed {
		return true
	}
	n.Labelled++
	for _, l := range labels {
		if n.Labels == nil {
			n.Labels = map[string]int{}
		}
		if l.Sensitive {
			n.Labels[l.Words]++
		}
	}
	return true
}

// A Sheet is a patient's chart as it is printed or given.
type Sheet struct {
	Cover
	Choice
	Chart   *chart.Chart
	Count   Count
	Notices []string // what must not be overlooked, beside what the chart says
	Files   []File   // the documents of a package; nil on a print
}

// ipsOrder is the order of the sections of an International Patient Summary as the HL7
// guide gives it (IPS 1.1.0, "IPS Structure" and the sections of its Composition): the
// required ones (medicines, allergies, problems), the recommended ones (immunizations,
// procedures, devices, results), then the others. What has no place there (visits,
// documents, appointments, coverage and other records) follows.
var ipsOrder = []string{"medicines", "allergies", "problems", "immunizations", "procedures", "devices", "results", "reports",
	"history", "vitals", "plan", "social", "functional", "visits", "documents", "appointments", "orders", "team", "coverage", "other"}

// sections returns the chosen sections in their order; one whose place is not known comes
// last.
func (s *Sheet) sections() []chart.Section {
	place := func(sec chart.Section) int {
		if i := slices.Index(ipsOrder, sec.Key); i >= 0 {
			return i
		}
		return len(ipsOrder)
	}
	list := slices.DeleteFunc(slices.Clone(s.Chart.Sections), func(sec chart.Section) bool {
		return s.Sections != nil && !slices.Contains(s.Sections, sec.Key)
	})
	slices.SortStableFunc(list, func(a, b chart.Section) int { return place(a) - place(b) })
	return list
}

// title is the name at the top: of what is known, never of nothing.
func (s *Sheet) title() string {
	b := &s.Chart.Banner
	switch {
	case b.Missing:
		return "(the record of this patient could not be read)"
	case b.Name == "":
		return "(no name in the record)"
	}
	return b.Name
}

// facts say who the patient is, each with its label.
func (s *Sheet) facts() []string { return Facts(&s.Chart.Banner) }

// Facts say who a patient is, each with its label; what is not known is not said.
func Facts(b *chart.Banner) []string {
	var out []string
	add := func(label, value string) {
		if value != "" {
			out = append(out, strings.TrimSpace(label+" "+value))
		}
	}
	born := b.Born
	if born != "" && b.Age != "" {
		born += " (" + b.Age + ")"
	}
	add("born", born)
	add("", b.Sex)
	switch b.Deceased {
	case "":
	case "yes":
		add("", "DECEASED")
	default:
		add("DIED", b.Deceased)
	}
	add("MRN", b.MRN)
	add("phone", b.Phone)
	return out
}

// made says who made it, when, for whom and why.
func (s *Sheet) made() []string {
	return s.Cover.lines()
}

func (c *Cover) lines() []string {
	out := []string{fmt.Sprintf("Made on %s by %s from the office copy of %s (%s).", c.time(), known(c.By), known(c.Practice), known(c.Source))}
	if c.For != "" {
		out = append(out, "For: "+c.For)
	}
	if c.Purpose != "" {
		out = append(out, "Purpose: "+c.Purpose)
	}
	return append(out, c.Copy)
}

func (c *Cover) time() string { return c.Made.Format("2 January 2006 15:04 MST") }

// known says that something is not known rather than nothing.
func known(s string) string {
	if s == "" {
		return "(not known)"
	}
	return s
}

// notes say what is not in the file, and what must not be overlooked.
func (s *Sheet) notes() []string {
	out := slices.Clone(s.Notices)
	if s.Chart.Banner.ReplacedBy != "" {
		out = append(out, "The EMR has replaced this patient's record by another one, which is not in this file.")
	}
	if s.Chart.Banner.Inactive {
		out = append(out, "The EMR marks this patient's record as not in use.")
	}
	if words := s.Chart.PlainWords(); words != "" {
		out = append(out, words)
	}
	out = append(out, s.Count.Words(s.Choice)...)
	if s.Sections != nil {
		shown := s.sections()
		n := 0
		for _, sec := range shown {
			n += sec.Records
		}
		out = append(out, fmt.Sprintf("Only %d of %d sections were chosen; they stand for %d of %d records of the chart.",
			len(shown), len(s.Chart.Sections), n, s.Chart.Records))
	}
	return out
}

// Words say of every record what became of it.
func (n *Count) Words(c Choice) []string {
	var out []string
	if n.Sensitive > 0 {
		out = append(out, fmt.Sprintf("NOT included: %s with a sensitive label.", several(n.Sensitive, "record", "records")))
	}
	if n.Outside > 0 {
		out = append(out, fmt.Sprintf("NOT included: %s of other days; chosen were %s.", several(n.Outside, "record", "records"), c.days()))
	}
	if n.Unread > 0 {
		out = append(out, chart.Unreadable(n.Unread, n.Records())+" The stored bytes are damaged.")
	}
	if n.Labelled > 0 {
		out = append(out, fmt.Sprintf("SENSITIVE: %s in this file %s labelled: %s.", several(n.Labelled, "record", "records"),
			map[bool]string{true: "is", false: "are"}[n.Labelled == 1], n.labels()))
	}
	return append(out, fmt.Sprintf("Every record of the patient is counted: %d of %d are in this file.", n.Taken, n.Records()))
}

// labels lists the labels with how many records have each.
func (n *Count) labels() string {
	var out []string
	for l, k := range n.Labels {
		out = append(out, fmt.Sprintf("%s (%d)", l, k))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// days are the chosen days, in words.
func (c Choice) days() string {
	switch {
	case c.First == "":
		return "those until " + c.Last
	case c.Last == "":
		return "those from " + c.First
	}
	return "those from " + c.First + " to " + c.Last
}

func several(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// head is what stands above a section: its name and how many records it stands for.
func head(sec *chart.Section) string {
	out := strings.ToUpper(sec.Title[:1]) + strings.ToLower(sec.Title[1:])
	if sec.Records > 0 {
		out += " · " + several(sec.Records, "record", "records")
	}
	if sec.EnteredInError > 0 {
		out += fmt.Sprintf(", %d entered in error: not shown", sec.EnteredInError)
	}
	return out
}

// leftOut says in a file what package chart says to somebody who may not see it.
func leftOut(text string, n int) string {
	if n == 0 {
		return text
	}
	return strings.ReplaceAll(text, chart.Withheld(n), several(n, "record with a sensitive label is", "records with a sensitive label are")+" not in this file.")
}

// allergies is the line of the banner.
func (s *Sheet) allergies() string {
	text := s.Chart.Banner.Allergies
	for _, sec := range s.Chart.Sections {
		if sec.Withheld > 0 {
			text = leftOut(text, sec.Withheld)
		}
	}
	return text
}

// remarks are what stands below that: why there is nothing, and what the copy or the file
// lacks.
func (s *Sheet) remarks(sec *chart.Section) []string {
	var out []string
	if sec.Withheld > 0 {
		out = append(out, leftOut(chart.Withheld(sec.Withheld), sec.Withheld))
	}
	if sec.Empty != "" && (sec.Withheld == 0 || sec.Empty != chart.Withheld(sec.Withheld)) {
		out = append(out, sec.Empty)
	} else if sec.Unread > 0 {
		out = append(out, chart.Unreadable(sec.Unread, sec.Records))
	}
	if sec.Gap != "" {
		out = append(out, "GAP: "+sec.Gap)
	}
	if sec.Key == "documents" && len(sec.Groups) > 0 && s.Files == nil {
		out = append(out, "This is a list: the documents themselves are not in this file. The package for the patient (zip) has them.")
	}
	if slices.ContainsFunc(sec.Groups, func(g chart.Group) bool { return slices.ContainsFunc(g.Rows, earlier) }) {
		out = append(out, "Of each test the latest result is shown; “+2” says that two earlier ones are in the copy.")
	}
	return out
}

// earlier reports whether a row stands for several results.
func earlier(r chart.Row) bool { return r.Records > 1 && r.Ref != "" }

// groupHead is what stands above a group; "" for nothing.
func groupHead(g *chart.Group) string {
	switch {
	case len(g.Rows) < g.Total:
		return strings.TrimSpace(fmt.Sprintf("%s · %d of %d shown", g.Title, len(g.Rows), g.Total))
	case g.Title == "":
		return ""
	}
	return fmt.Sprintf("%s · %d", g.Title, g.Total)
}

// shownPlainly is what stands above a record that no model reads.
func shownPlainly(p chart.Plain) string {
	head := p.Ref + ", shown plainly: it is not as FHIR says"
	if p.Label != "" {
		head += ". SENSITIVE: " + p.Label
	}
	return head
}

// used returns the section's columns, and the group's rows, without the columns that are
// empty in every row.
func used(sec *chart.Section, g *chart.Group) (columns []string, rows []chart.Row) {
	var keep []int
	for i, c := range sec.Columns {
		if slices.ContainsFunc(g.Rows, func(r chart.Row) bool { return i < len(r.Cells) && r.Cells[i] != "" }) {
			keep, columns = append(keep, i), append(columns, c)
		}
	}
	for _, r := range g.Rows {
		cells := make([]string, len(keep))
		for to, from := range keep {
			if from < len(r.Cells) {
				cells[to] = r.Cells[from]
			}
		}
		r.Cells = cells
		if r.Label != "" {
			r.More = strings.TrimSpace(r.More + " SENSITIVE: " + r.Label)
		}
		rows = append(rows, r)
	}
	return columns, rows
}
