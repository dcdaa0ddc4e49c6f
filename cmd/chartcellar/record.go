package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/store"
	"chartcellar/store/chart"
)

func recordCommand(e *env) *cobra.Command {
	var o recordOptions
	c := command("record TYPE/ID", "Show one record: every element, its versions, what changed",
		`record shows the newest version of a record as a card: every element, one a line,
none left out. --raw prints it byte for byte as the EMR gave it, --pretty with line
breaks. --versions lists all that the mirror holds; --diff says what the newest
changed, --diff=2 what changed since version 2, --diff=2,3 between two. --as-of shows
it as it was after a run. Each look is a line in the journal.

Exit codes: 0 good, 2 usage, 12 no such record, 13 damage, 15 locked.`, cobra.ExactArgs(1),
		func(ctx context.Context, a []string) error { return e.record(ctx, a[0], o) })
	o.add(c)
	c.Flags().BoolVar(&o.versions, "versions", false, "list every version")
	c.Flags().BoolVar(&o.raw, "raw", false, "byte for byte, as the EMR gave it")
	c.Flags().BoolVar(&o.pretty, "pretty", false, "the JSON with line breaks")
	c.Flags().StringVar(&o.diff, "diff", "", "what changed: the last time, since version N, or N,M between two")
	c.Flags().Lookup("diff").NoOptDefVal = "last"
	c.Flags().Uint32Var(&o.asOf, "as-of", 0, "as it was after this run")
	return c
}

type recordOptions struct {
	readFlags
	versions, raw, pretty bool
	diff                  string
	asOf                  uint32
	alone                 bool // the other versions could not be read
}

func (e *env) record(ctx context.Context, ref string, o recordOptions) error {
	typ, id, err := parseRef(ref)
	if err != nil {
		return err
	}
	return e.read(ctx, "record", o.readFlags, func(ctx context.Context, r *reading) error {
		if r.Snap, err = snapshot(r.M, o.asOf); err != nil {
			return err
		}
		var list []store.Version
		if err = r.Unsealed(ctx, r.Key(typ, id)); err == nil {
			list, err = r.Snap.History(ctx, r.Key(typ, id))
		}
		if errors.Is(err, store.ErrDamaged) && !o.versions && o.diff == "" {
			// An older version may be damaged: the newest is shown without the others.
			var v store.Version
			if v, err = r.Snap.Latest(ctx, r.Key(typ, id)); err == nil {
				list, o.alone = []store.Version{v}, true
			}
		}
		if jerr := r.seen("record.view", r.Key(typ, id), charts.PatientIn(r.Key(typ, id), list)); jerr != nil {
			return jerr
		}
		if err != nil {
			return err
		}
		switch {
		case o.versions:
			return e.versions(list)
		case o.diff != "":
			return e.diff(list, o.diff)
		}
		n := current(list)
		if n < 0 {
			return store.ErrNotFound
		}
		if list[n].Lost {
			return store.ErrLost
		}
		return e.printVersion(list, n, o)
	})
}

// current is the place of the newest version that counts; -1 if none does.
func current(list []store.Version) int {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Counts {
			return i
		}
	}
	return -1
}

func snapshot(m *store.Mirror, asOf uint32) (*store.Snapshot, error) {
	if asOf == 0 {
		return m.Now()
	}
	return m.AsOf(asOf)
}

// A versionView is one version in JSON.
type versionView struct {
	N           int              `json:"version"`
	Of          int              `json:"of"`
	Source      string           `json:"source"`
	Run         uint32           `json:"run"`
	Part        uint32           `json:"part"`
	Fetched     string           `json:"fetched"`
	LastUpdated string           `json:"lastUpdated"` // "" if the EMR does not say
	Deleted     bool             `json:"deleted"`
	Counts      bool             `json:"counts"`
	Lost        bool             `json:"lost,omitempty"`
	Bytes       int              `json:"bytes"`
	Record      json.RawMessage  `json:"record"`
	Card        []chart.CardLine `json:"card,omitempty"`
}

func viewOf(list []store.Version, n int) versionView {
	v := &list[n]
	out := versionView{N: n + 1, Of: len(list), Source: v.Source, Run: v.Run, Part: v.Part, Fetched: v.Fetched,
		Deleted: v.Deleted, Counts: v.Counts, Lost: v.Lost, Bytes: len(v.Raw), Record: json.RawMessage(v.Raw)}
	if !v.LastUpdated.IsZero() {
		out.LastUpdated = v.LastUpdated.Format("2006-01-02T15:04:05.000Z")
	}
	return out
}

func (e *env) printVersion(list []store.Version, n int, o recordOptions) error {
	v := &list[n]
	if v.Deleted && !e.json {
		e.printf("The EMR no longer has this record (found by %s in run %d). Earlier versions: --versions\n", v.Detector, v.Run)
		return nil
	}
	switch {
	case o.raw:
		e.printf("%s\n", v.Raw)
		return nil
	case o.pretty:
		var b bytes.Buffer
		if err := json.Indent(&b, v.Raw, "", "  "); err != nil {
			return err
		}
		e.printf("%s\n", b.Bytes())
		return nil
	}
	card, err := chart.Card(v.Raw)
	if err != nil {
		return err
	}
	if e.json {
		out := viewOf(list, n)
		out.Card = card
		return e.printJSON(out)
	}
	e.printf("%s\n", chart.CleanLine(v.Key.String()))
	which := fmt.Sprintf("version %d of %d", n+1, len(list))
	if o.alone {
		which = "the newest version"
	}
	e.lines("", fmt.Sprintf("source %s · %s · run %d · fetched %s · dated by the EMR: %s", v.Source, which, v.Run, v.Fetched, updated(*v)))
	if o.alone {
		e.printf("NOTE: its other versions could not be read; see: chartcellar verify --depth full\n")
	}
	if v.Subsetted {
		e.printf("NOTE: the EMR says that it gave only a part of this record.\n")
	}
	if n < len(list)-1 {
		e.printf("NOTE: there is a later version that does not count (held, rejected or out of order): --versions\n")
	}
	e.printf("\n")
	e.printCard(card)
	if len(list) > 1 {
		e.printf("\nWhat changed: --diff   All versions: --versions   Byte for byte: --raw\n")
	}
	return nil
}

// printCard prints one element a line; the words that name it stand left.
func (e *env) printCard(card []chart.CardLine) {
	var rows [][]string
	for _, l := range card {
		rows = append(rows, []string{l.Path, l.Value})
	}
	printTable(e.Stdout, "", e.width(), []string{"element", "says"}, rows, nil)
	e.printf("%d of %d elements.\n", len(rows), len(card))
}

func updated(v store.Version) string {
	if v.LastUpdated.IsZero() {
		return "no date"
	}
	return v.LastUpdated.Format("2006-01-02 15:04")
}

func (e *env) versions(list []store.Version) error {
	if e.json {
		out := []versionView{}
		for i := range list {
			out = append(out, viewOf(list, i))
		}
		return e.printJSON(out)
	}
	for i, v := range list {
		what := "given by the EMR"
		switch {
		case v.Lost:
			what = "declared lost: no copy had it"
		case v.Deleted:
			what = "removed at the EMR"
		case v.Subsetted:
			what = "not whole, says the EMR"
		case !v.Counts:
			what = "held, rejected or out of order: not current"
		}
		e.printf("%3d  run %-4d fetched %s  dated %s  %6d bytes  %s\n", i+1, v.Run, v.Fetched, updated(v), len(v.Raw), what)
	}
	return nil
}

// pairOf reads which versions to compare, counted from 0: "last", N or N,M.
func pairOf(list []store.Version, s string) (from, to int, err error) {
	if to = len(list) - 1; s == "last" {
		return to - 1, to, nil
	}
	a, b, two := strings.Cut(s, ",")
	n, aerr := strconv.Atoi(a)
	m := len(list)
	var berr error
	if two {
		m, berr = strconv.Atoi(b)
	}
	if aerr != nil || berr != nil || n < 1 || m < 1 || n > len(list) || m > len(list) {
		return 0, 0, usage(fmt.Sprintf("there are versions 1 to %d; write --diff=N or --diff=N,M", len(list)))
	}
	return n - 1, m - 1, nil
}

// diff says what changed between two versions.
func (e *env) diff(list []store.Version, which string) error {
	from, to, err := pairOf(list, which)
	if err != nil {
		return err
	}
	if from < 0 {
		e.printf("There is one version only: nothing to compare.\n")
		return nil
	}
	a, b := &list[from], &list[to]
	if a.Lost || b.Lost {
		return store.ErrLost
	}
	if (a.Deleted || b.Deleted) && !e.json {
		e.printf("Version %d (run %d): %s.\nVersion %d (run %d): %s.\n", from+1, a.Run, presence(a), to+1, b.Run, presence(b))
		return nil
	}
	changes, err := chart.Diff(a.Raw, b.Raw)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(map[string]any{"from": from + 1, "to": to + 1, "of": len(list), "changes": append([]chart.Change{}, changes...)})
	}
	e.printf("%s: version %d (run %d, fetched %s) -> version %d (run %d, fetched %s), of %d\n\n", b.Key, from+1, a.Run, a.Fetched,
		to+1, b.Run, b.Fetched, len(list))
	for _, c := range changes {
		e.lines("  ", c.String())
	}
	e.printf("%s.\n", plural(len(changes), "difference"))
	return nil
}

func presence(v *store.Version) string {
	if v.Deleted {
		return "the EMR no longer has the record"
	}
	return "the record is there"
}

// plural writes a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
