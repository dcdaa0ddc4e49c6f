package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/patientfile"
	"chartcellar/store"
	"chartcellar/store/chart"
)

func chartCommand(e *env) *cobra.Command {
	var o chartOptions
	c := command("chart PATIENT", "Show one patient's chart as text",
		`chart shows one patient, named by id, Patient/id or record number (MRN): who it is,
allergies, problems, medicines, results, vital signs, visits, documents and the
rest. Every section says how many records it stands for. Long lists are shortened
and say so; --all shows them whole. --as-of shows the copy as it stood at the end
of a day. Each look is a line in the journal.

Sections: `+strings.Join(chart.SectionKeys(), ", ")+`.
Exit codes: 0 good, 2 usage, 12 no such patient or no copy from that day,
13 damage: what could not be read is counted, 15 locked.`, cobra.ExactArgs(1),
		func(ctx context.Context, a []string) error { return e.chart(ctx, a[0], o) })
	o.add(c)
	c.Flags().StringVar(&o.asOf, "as-of", "", "as the copy stood at the end of this day: 2026-03-01")
	c.Flags().BoolVar(&o.all, "all", false, "shorten nothing")
	c.Flags().BoolVar(&o.ids, "ids", false, "name the record behind each line")
	c.Flags().StringVar(&o.section, "section", "", "only this section, or several: results,vitals")
	return c
}

type chartOptions struct {
	readFlags
	asOf, section string
	all, ids      bool
}

// wanted returns the sections that were asked for; nil for all.
func (o chartOptions) wanted() ([]string, error) {
	if o.section == "" {
		return nil, nil
	}
	list := strings.Split(o.section, ",")
	for _, s := range list {
		if !slices.Contains(chart.SectionKeys(), s) {
			return nil, usage(fmt.Sprintf("there is no section %q; there are %s", s, strings.Join(chart.SectionKeys(), ", ")))
		}
	}
	return list, nil
}

// A chartView is what `chart` shows.
type chartView struct {
	*chart.Chart
	Source  string   `json:"source"`
	Copy    string   `json:"copy"` // which copy, in words
	AsOfRun uint32   `json:"asOfRun,omitempty"`
	Notices []string `json:"notices,omitempty"`
	whole   bool     // no section was left out
	ids     bool     // each line names its record
}

func (e *env) chart(ctx context.Context, who string, o chartOptions) error {
	sections, err := o.wanted()
	if err != nil {
		return err
	}
	return e.read(ctx, "chart", o.readFlags, func(ctx context.Context, r *reading) error {
		if err := r.back(o.asOf); err != nil {
			return err
		}
		id, err := r.findPatient(ctx, who)
		if err != nil {
			return err
		}
		if err := r.seen("chart.view", store.Key{Type: "Patient"}, id); err != nil {
			return err
		}
		v, err := r.chart(ctx, id, o.all)
		if err != nil {
			return err
		}
		if v.whole = sections == nil; !v.whole {
			v.Sections = slices.DeleteFunc(v.Sections, func(s chart.Section) bool { return !slices.Contains(sections, s.Key) })
		}
		if e.json {
			err = e.printJSON(v)
		} else {
			v.ids = o.ids
			e.printChart(v)
		}
		if err == nil && v.Unread > 0 {
			return quiet(exitDamage)
		}
		return err
	})
}

// chart makes the chart of a patient.
func (r *reading) chart(ctx context.Context, id string, all bool) (*chartView, error) {
	v := &chartView{Source: r.Source, AsOfRun: r.run}
	var err error
	if v.Copy, err = r.age(); err != nil {
		return nil, err
	}
	c, removed, err := r.Build(ctx, id, chart.Options{At: r.at, Sensitive: true}) // commands are the owner's
	if err != nil {
		return nil, err
	}
	if removed {
		v.Notices = append(v.Notices, "The EMR has removed this patient; this is what the copy kept.")
	}
	if v.Chart = c; !all {
		v.Chart = c.Short(0)
	}
	v.notice()
	return v, nil
}

// notice says above the chart what must not be overlooked.
func (v *chartView) notice() {
	if r := v.Banner.ReplacedBy; r != "" {
		v.Notices = append(v.Notices, "The EMR has replaced this patient by "+r+": look there too.")
	}
	if v.Banner.Inactive {
		v.Notices = append(v.Notices, "The EMR marks this patient's record as not in use.")
	}
	if v.Unread > 0 {
		v.Notices = append(v.Notices, chart.Unreadable(v.Unread, v.Records)+" Stored bytes are damaged; see: chartcellar verify --depth full")
	}
	if v.Plain > 0 {
		v.Notices = append(v.Notices, fmt.Sprintf("Shown plainly, as their own elements, because they are not as FHIR says: %d of %d records.", v.Plain, v.Records))
	}
}

func (e *env) printChart(v *chartView) {
	b := &v.Banner
	name := b.Name
	if name == "" {
		name = "(no name in the record)"
	}
	if b.Missing {
		name = "(the record of this patient could not be read)"
	}
	e.printf("%s\n", name)
	if len(b.Others) > 0 {
		e.printf("also: %s\n", strings.Join(b.Others, "; "))
	}
	e.printf("%s\n", chart.CleanLine(strings.Join(append(patientfile.Facts(b), "Patient/"+b.ID), " · ")))
	if b.Plain {
		e.printf("The record of this patient is not as FHIR says; see: chartcellar record Patient/%s\n", b.ID)
	}
	e.lines("", "ALLERGIES: "+b.Allergies)
	e.lines("", v.Copy)
	for _, n := range v.Notices {
		e.lines("", "NOTE: "+n)
	}
	for i := range v.Sections {
		e.printSection(&v.Sections[i], v.ids)
		if s := &v.Sections[i]; s.Key == "documents" && len(s.Groups) > 0 {
			e.printf("  Open one: chartcellar document list %s\n", b.ID)
		}
	}
	if v.whole {
		e.printf("\nEvery record is counted above: %d of %d.\n", v.counted(), v.Records)
	} else {
		e.printf("\nThis patient has %d records in the copy; all sections: chartcellar chart %s\n", v.Records, b.ID)
	}
}

// counted adds up what the sections stand for, with the Patient itself.
func (v *chartView) counted() int {
	n := 1
	for i := range v.Sections {
		n += v.Sections[i].Records
	}
	return n
}

// lines prints a text, broken into lines.
func (e *env) lines(indent, text string) {
	for _, l := range wrap(text, e.width()-len(indent)) {
		e.printf("%s%s\n", indent, l)
	}
}

func (e *env) printSection(s *chart.Section, ids bool) {
	head := s.Title
	switch {
	case s.Records == 1:
		head += "  1 record" + s.InsideWords()
	case s.Records > 1 || s.Inside > 0:
		head += fmt.Sprintf("  %d records%s", s.Records, s.InsideWords())
	}
	if s.EnteredInError > 0 {
		head += fmt.Sprintf(", %d entered in error: not shown", s.EnteredInError)
	}
	e.printf("\n%s\n", head)
	if s.Empty != "" {
		e.lines("  ", s.Empty)
	}
	if s.Unread > 0 && s.Empty == "" {
		e.lines("  ", chart.Unreadable(s.Unread, s.Records))
	}
	if s.Gap != "" {
		e.lines("  ", "GAP: "+s.Gap)
	}
	for _, g := range s.Groups {
		e.printGroup(s, g, ids)
	}
	for _, p := range s.Plain {
		e.printPlain(p)
	}
}

func (e *env) printGroup(s *chart.Section, g chart.Group, ids bool) {
	title := g.Title
	if len(g.Rows) < g.Total {
		title = strings.TrimSpace(fmt.Sprintf("%s  %d of %d; all: --all --section %s", title, len(g.Rows), g.Total, s.Key))
	} else if title != "" {
		title = fmt.Sprintf("%s  %d", title, g.Total)
	}
	if title != "" {
		e.printf("  %s\n", title)
	}
	var rows [][]string
	var more []string
	for _, r := range g.Rows {
		below := r.More
		if r.Label != "" {
			below = strings.TrimSpace(below + "  LABEL: " + r.Label)
		}
		if ids && r.Ref != "" {
			below = strings.TrimSpace(below + "  [" + r.Ref + "]")
		}
		rows, more = append(rows, r.Cells), append(more, below)
	}
	printTable(e.Stdout, "    ", e.width(), s.Columns, rows, more)
}

// plainElements is how many elements of a plain record a chart shows.
const plainElements = 12

func (e *env) printPlain(p chart.Plain) {
	e.printf("  %s, shown plainly", p.Ref)
	if p.Label != "" {
		e.printf(" (LABEL: %s)", p.Label)
	}
	if len(p.Lines) > plainElements {
		e.printf(": %d of %d elements; all: chartcellar record %s", plainElements, len(p.Lines), p.Ref)
	}
	e.printf("\n")
	for _, l := range p.Lines[:min(len(p.Lines), plainElements)] {
		e.lines("    ", l.Path+": "+l.Value)
	}
}
