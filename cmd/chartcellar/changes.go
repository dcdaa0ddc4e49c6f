package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/index"
)

func changesCommand(e *env) *cobra.Command {
	var o changesOptions
	c := command("changes", "Say what the vendor removed and changed",
		`changes adds up, over the runs since a day, what is new, changed and no longer at the
EMR; the mirror keeps all of it. --list names the removed records (it needs the
passphrase, and each look is a line in the journal).`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.changes(ctx, o) })
	c.Flags().StringVar(&o.source, "source", "", "of which EMR, if there are several")
	c.Flags().StringVar(&o.since, "since", "", "from this day on, such as 2026-03-01 (default: 30 days)")
	c.Flags().BoolVar(&o.list, "list", false, "name the removed records")
	c.Flags().StringVar(&o.sheet, "sheet", "", "file with the recovery key, instead of the passphrase")
	return c
}

type changesOptions struct {
	source, since, sheet string
	list                 bool
}

// A change is what happened to one type.
type change struct {
	Type    string          `json:"type"`
	New     int             `json:"new"`
	Changed int             `json:"changed"`
	Silent  int             `json:"silent"` // of changed: the EMR did not say that they had changed
	Back    int             `json:"back"`   // of changed: their date went back
	Removed int             `json:"removed"`
	Waiting int             `json:"waiting"` // seem to be gone; to be seen again before they count
	Records []removedRecord `json:"records,omitempty"`
}

// A removedRecord is one that the EMR no longer has.
type removedRecord struct {
	ID   string    `json:"id"`
	Kind string    `json:"kind"` // deleted, missing
	By   string    `json:"by"`   // what found it
	Run  uint32    `json:"run"`
	Seen time.Time `json:"seen"`
}

func (e *env) changes(ctx context.Context, o changesOptions) error {
	since, err := day(o.since)
	if err != nil {
		return err
	}
	if o.since == "" {
		since = time.Now().AddDate(0, 0, -30)
	}
	a := access{doing: "runs changes", key: o.list, sheet: o.sheet}
	return e.withMirror(ctx, a, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		src, err := s.Source(o.source)
		if err != nil {
			return usage(err.Error())
		}
		t, err := addChanges(m, src.Name, since)
		if err != nil {
			return err
		}
		if o.list {
			if err := e.nameRemoved(ctx, m, src.Name, since, t.types); err != nil {
				return err
			}
		}
		if e.json {
			return e.printJSON(slices.Collect(maps.Values(t.types)))
		}
		e.printChanges(t.types, since, t.first)
		return nil
	})
}

// A tally is what the runs of an EMR have brought since a time, by type.
type tally struct {
	first uint32 // number of the first pull, which is no change; 0: there was none
	later bool   // there was one since
	types map[string]*change
}

// addChanges adds the counts of the runs that ended since a time. What seems to be gone
// and waits is only in the report of the last one.
func addChanges(m *store.Mirror, source string, since time.Time) (t tally, err error) {
	t.types = map[string]*change{}
	runs, err := m.Runs()
	if err != nil {
		return t, err
	}
	var last store.RunInfo
	for i := len(runs) - 1; i >= 0; i-- {
		r := runs[i]
		switch {
		case r.Source != source || r.Kind != "sync" || r.Closing == 0:
		case t.first == 0:
			t.first = r.Number
		case !r.Ended.Before(since):
			t.later, last = true, r
			t.add(r.Counts)
		}
	}
	if !t.later {
		return t, nil
	}
	rep, err := readReport(m, last)
	for _, row := range rep.Types {
		if n := row.Lacking - row.Removed; n > 0 {
			t.of(row.Type).Waiting = n
		}
	}
	return t, err
}

func (t *tally) add(counts index.Counts) {
	for typ, n := range counts {
		c := t.of(typ)
		c.New, c.Changed, c.Removed = c.New+n.New, c.Changed+n.Changed, c.Removed+n.Removed
		c.Silent, c.Back = c.Silent+n.Silent, c.Back+n.Regressed
	}
}

func (t *tally) of(typ string) *change {
	if t.types[typ] == nil {
		t.types[typ] = &change{Type: typ}
	}
	return t.types[typ]
}

// nameRemoved adds the records to the counts.
func (e *env) nameRemoved(ctx context.Context, m *store.Mirror, source string, since time.Time, list map[string]*change) error {
	snap, err := m.Now()
	if err != nil {
		return err
	}
	n := 0
	for _, t := range slices.Sorted(maps.Keys(list)) {
		if list[t].Removed == 0 {
			continue
		}
		err := snap.Removed(ctx, source, t, func(v store.Version) error {
			seen, err := time.Parse(time.RFC3339, v.Fetched)
			if err == nil && seen.Before(since) {
				return nil
			}
			n++
			list[t].Records = append(list[t].Records, removedRecord{v.ID, v.Kind, v.Detector, v.Run, seen})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return m.Journal(store.Event{Code: "removed.list", Account: "owner", Key: store.Key{Source: source}, Count: n})
}

func (e *env) printChanges(list map[string]*change, since time.Time, first uint32) {
	if first == 0 {
		e.printf("There was no run yet. Next: chartcellar sync\n")
		return
	}
	e.printf("Since %s, without the first pull:\n", since.Format("2006-01-02"))
	quiet := true
	for _, t := range slices.Sorted(maps.Keys(list)) {
		c := list[t]
		if c.Removed > 0 {
			e.printf("  %s no longer at the vendor; you still have them.\n", several(c.Removed, t+" is", t+" are"))
		}
		for _, r := range c.Records {
			how := map[string]string{"deleted": "the EMR says it was deleted", "missing": "the EMR says it is not there; it may be hidden"}[r.Kind]
			e.printf("      %s/%s: %s (run %d, found by %s). Look: chartcellar record %s/%s --versions\n", t, r.ID, how, r.Run, r.By, t, r.ID)
		}
		if c.Waiting > 0 {
			e.printf("  %s to be gone; they count as removed when they are missing again after a day.\n", several(c.Waiting, t+" seems", t+" seem"))
		}
		if c.Silent > 0 {
			e.printf("  %s although the EMR did not date the change.\n", several(c.Silent, t+" changed", t+" changed"))
		}
		if c.Back > 0 {
			e.printf("  %s to an older date, as after a restore at the vendor.\n", several(c.Back, t+" went back", t+" went back"))
		}
		quiet = quiet && c.Removed+c.Waiting+c.Silent+c.Back == 0
	}
	if quiet {
		e.printf("  Nothing was removed at the vendor, and nothing changed in silence.\n")
	}
	for _, t := range slices.Sorted(maps.Keys(list)) {
		if c := list[t]; c.New+c.Changed > 0 {
			e.printf("  %-26s %8d new %8d changed\n", t, c.New, c.Changed)
		}
	}
}
