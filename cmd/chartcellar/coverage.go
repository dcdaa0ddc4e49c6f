package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/store"
)

func coverageCommand(e *env) *cobra.Command {
	var source string
	c := command("coverage", "Show, type by type, what the EMR offers and what is here",
		`coverage compares, as of the last run, what the EMR offers over FHIR, what it grants
this program, what the mirror holds, and since when something is missing. At the
end it says what no FHIR interface gives.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.coverage(ctx, source) })
	c.Flags().StringVar(&source, "source", "", "of which EMR, if there are several")
	return c
}

// A coverage is what `coverage` shows of one EMR.
type coverage struct {
	Source  string        `json:"source"`
	AsOf    time.Time     `json:"asOf"`
	Types   []coveredType `json:"types"`
	Outside []string      `json:"outsideFHIR"` // what lies outside FHIR (P148), and which holding has it
	Filed   string        `json:"ehiExport"`   // what holdings have of it
}

// A coveredType is one row of it.
type coveredType struct {
	Type    string    `json:"type"`
	Offered bool      `json:"offered"`
	Granted bool      `json:"granted"`
	Mode    string    `json:"mode"`
	Why     string    `json:"why"`
	Here    int       `json:"here"`
	Missing time.Time `json:"missingSince,omitzero"`
	Reason  string    `json:"reason,omitempty"`
}

// outside is what certified EMRs hold and their FHIR interface does not give, with the
// word by which a holding covers it.
var outside = [][2]string{
	{"billing", "billing ledgers, claims as they were sent, statements"},
	{"messages", "messages between patients and practice, and within the practice"},
	{"images", "images and scans that are no FHIR document; DICOM"},
	{"audit", "the EMR's own audit trail: who saw and changed what"},
	{"templates", "templates, order sets, letterheads, user settings"},
	{"schedule", "appointments and tasks, where the types Appointment and Task are not offered"},
	{"history", "earlier versions of records from before the first pull"},
}

func (e *env) coverage(ctx context.Context, source string) error {
	return e.withMirror(ctx, access{doing: "coverage"}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		src, err := s.Source(source)
		if err != nil {
			return usage(err.Error())
		}
		c, err := cover(m, src.Name, nil)
		if err != nil {
			return err
		}
		if e.json {
			return e.printJSON(c)
		}
		e.printCoverage(c)
		return nil
	})
}

// cover gathers the coverage of one source. Counts are how many records are here, by
// type; nil: they are counted.
func cover(m *store.Mirror, source string, counts map[string]int) (coverage, error) {
	c := coverage{Source: source, Types: []coveredType{}}
	kept, err := (*readings)(nil).holdings(m)
	if err != nil {
		return c, err
	}
	c.Outside, c.Filed = outsideWords(kept), filedWords(kept)
	rep, err := lastReport(m, source)
	if err != nil || rep.Run == 0 {
		return c, err
	}
	c.AsOf = rep.Ended
	rows := map[string]*coveredType{}
	row := func(t string) *coveredType {
		if rows[t] == nil {
			rows[t] = &coveredType{Type: t}
		}
		return rows[t]
	}
	for _, t := range rep.Offered.Types {
		if fhirsync.Mirrored(t) {
			row(t).Offered = true
		}
	}
	for _, t := range rep.Types {
		r := row(t.Type)
		r.Mode, r.Why, r.Granted = t.Mode, t.Why, t.Mode != ""
	}
	if counts == nil {
		snap, err := m.Now()
		if err != nil {
			return c, err
		}
		if counts, err = snap.Counts(source); err != nil {
			return c, err
		}
	}
	for t, n := range counts {
		row(t).Here = n
	}
	gaps, err := m.Gaps(source)
	for _, g := range gaps {
		if r := rows[g.Type]; r != nil && (r.Missing.IsZero() || g.Since.Before(r.Missing)) {
			r.Missing, r.Reason = g.Since, g.Reason
		}
	}
	for _, t := range slices.Sorted(maps.Keys(rows)) {
		c.Types = append(c.Types, *rows[t])
	}
	return c, err
}

// lastReport returns the report of the last run of a source that ended; one with
// number 0 before the first.
func lastReport(m *store.Mirror, source string) (fhirsync.Report, error) {
	runs, err := m.Runs()
	for _, r := range runs {
		if r.Source == source && r.Kind == "sync" && !r.Ended.IsZero() {
			if rep := reportOf(m, r); !rep.Interrupted() {
				return rep, err
			}
		}
	}
	return fhirsync.Report{}, err
}

func (e *env) printCoverage(c coverage) {
	if c.AsOf.IsZero() {
		e.printf("%s was never pulled. Next: chartcellar sync\n", c.Source)
		return
	}
	e.printf("What %s offers and what is here, as of the run of %s:\n\n", c.Source, c.AsOf.Local().Format("2006-01-02 15:04"))
	e.printf("%-26s %-8s %-8s %-8s %9s  %s\n", "", "offered", "granted", "fetched", "here", "missing")
	yes := map[bool]string{true: "yes", false: "NO"}
	for _, t := range c.Types {
		missing := "nothing"
		switch {
		case !t.Missing.IsZero():
			missing = "since " + t.Missing.Local().Format("2006-01-02") + ": " + oneLine(t.Reason)
		case !t.Offered && t.Here > 0:
			missing = "the EMR no longer offers it; what came before is kept"
		case t.Mode == "" || t.Mode == "none":
			missing = "all of it"
		}
		mode := t.Mode
		if mode == "" {
			mode = "no"
		}
		e.printf("%-26s %-8s %-8s %-8s %9d  %s\n", t.Type, yes[t.Offered], yes[t.Granted], mode, t.Here, missing)
	}
	e.printf("\nHow they are fetched:\n")
	for why, list := range byWhy(c.Types) {
		e.printf("  %s: %s\n", why, strings.Join(list, ", "))
	}
	e.printf("\nWhat no FHIR interface gives; it is NOT here unless a holding is named:\n")
	for _, o := range c.Outside {
		e.printf("  - %s\n", o)
	}
	e.printf("Ask the vendor for an EHI export of the whole record (45 CFR 170.315(b)(10)). Filed here: %s.\n", c.Filed)
}

// byWhy groups the types by the reason for the way they are fetched, in a stable
// order.
func byWhy(types []coveredType) func(func(string, []string) bool) {
	groups := map[string][]string{}
	for _, t := range types {
		if t.Why != "" {
			why := t.Mode + ", because " + t.Why
			groups[why] = append(groups[why], t.Type)
		}
	}
	return func(yield func(string, []string) bool) {
		for _, why := range slices.Sorted(maps.Keys(groups)) {
			if !yield(why, groups[why]) {
				return
			}
		}
	}
}
