package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"chartcellar/store"
	"chartcellar/store/chart"
)

func patientsCommand(e *env) *cobra.Command {
	var o patientsOptions
	c := command("patients [QUERY]", "Find patients by name, birth date, record number or phone",
		`patients lists the patients of the copy; with words after it, those that fit all of
them: parts of a name in any order (accents, capitals and hyphens do not count), a
birth date (1970-02-01, 01.02.1970, 2/1/1970, 1970), a record number (MRN), or the
last four or more digits of a phone number. Each search is a line in the journal.
Patients who are sealed are counted and not listed. To look for a name that is also the
name of a command below: chartcellar patients -- seal

Exit codes: 0 good (also when nobody fits), 2 usage, 12 failed, 13 damage, 15 locked.`,
		cobra.ArbitraryArgs, func(ctx context.Context, a []string) error { return e.patients(ctx, strings.Join(a, " "), o) })
	o.add(c)
	c.Flags().BoolVar(&o.all, "all", false, "list all that fit, not only the first 50")
	c.AddCommand(sealCommands(e)...)
	return c
}

type patientsOptions struct {
	readFlags
	all bool
}

// shownPatients is how many patients are listed without --all.
const shownPatients = 50

func (e *env) patients(ctx context.Context, query string, o patientsOptions) error {
	return e.read(ctx, "patients", o.readFlags, func(ctx context.Context, r *reading) error {
		if err := r.seen("patients.search", store.Key{Type: "Patient"}, ""); err != nil {
			return err
		}
		var roster chart.Roster
		q := chart.ParseQuery(query)
		err := r.EachPatient(ctx, q.Fits, func(en chart.Entry) { roster.Entries = append(roster.Entries, en) })
		if err != nil {
			return err
		}
		total, err := r.Snap.CountOf(r.Source, "Patient")
		if err != nil {
			return err
		}
		sealed, err := r.Snap.Hidden(r.Source, "Patient")
		if err != nil {
			return err
		}
		roster.Sort()
		list := roster.Entries
		if !o.all {
			list = list[:min(len(list), shownPatients)]
		}
		if e.json {
			return e.printJSON(map[string]any{"patients": append([]chart.Entry{}, list...), "shown": len(list),
				"found": len(roster.Entries), "of": total, "sealed": sealed})
		}
		e.printPatients(list, len(roster.Entries), total, query)
		if sealed > 0 {
			e.printf("%s and not shown: chartcellar patients sealed\n", several(sealed, "patient is sealed", "patients are sealed"))
		}
		return nil
	})
}

func (e *env) printPatients(list []chart.Entry, found, total int, query string) {
	var rows [][]string
	var more []string
	for i := range list {
		en := &list[i]
		name := en.Name
		if name == "" {
			name = "(no name in the record)"
		}
		mrn := en.MRN
		if mrn == en.ID {
			mrn = "same as id"
		}
		rows = append(rows, []string{name, en.Born, en.Sex, mrn, en.Phone, en.ID, en.State()})
		also := ""
		if len(en.Others) > 0 {
			also = "also: " + strings.Join(en.Others, "; ")
		}
		more = append(more, also)
	}
	if len(rows) > 0 {
		printTable(e.Stdout, "", e.width(), []string{"name", "born", "sex", "MRN", "phone", "id", ""}, rows, more)
	}
	switch {
	case total == 0:
		e.printf("The copy holds no patient yet. Next: chartcellar sync\n")
	case found == 0:
		e.printf("Nobody fits: 0 of %d patients. Try one part of the name, or the birth date alone.\n", total)
	case len(list) < found:
		e.printf("%d of %d that fit are shown (%d patients in all); all: --all\n", len(list), found, total)
	case query == "":
		e.printf("%d of %d patients.\n", found, total)
	default:
		e.printf("%d of %d patients fit.\n", found, total)
	}
	if len(list) > 0 {
		e.printf("Open one: chartcellar chart ID\n")
	}
}
