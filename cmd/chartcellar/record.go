package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
)

func recordCommand(e *env) *cobra.Command {
	var o recordOptions
	c := command("record TYPE/ID", "Show one record as the EMR gave it",
		`record prints the newest version of a record, byte for byte. --versions lists all
that the mirror holds; --as-of shows it as it was after a run. Each look is a line
in the journal.`, cobra.ExactArgs(1), func(ctx context.Context, a []string) error { return e.record(ctx, a[0], o) })
	c.Flags().StringVar(&o.source, "source", "", "which EMR, if there are several")
	c.Flags().BoolVar(&o.versions, "versions", false, "list every version")
	c.Flags().BoolVar(&o.pretty, "pretty", false, "with line breaks, for reading")
	c.Flags().Uint32Var(&o.asOf, "as-of", 0, "as it was after this run")
	c.Flags().StringVar(&o.sheet, "sheet", "", "file with the recovery key, instead of the passphrase")
	return c
}

type recordOptions struct {
	source, sheet    string
	versions, pretty bool
	asOf             uint32
}

func (e *env) record(ctx context.Context, ref string, o recordOptions) error {
	typ, id, ok := strings.Cut(ref, "/")
	if !ok || typ == "" || id == "" {
		return usage("write the record as TYPE/ID, such as Patient/123")
	}
	return e.withMirror(ctx, access{doing: "record", key: true, sheet: o.sheet}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		src, err := s.Source(o.source)
		if err != nil {
			return usage(err.Error())
		}
		k := store.Key{Source: src.Name, Type: typ, ID: id}
		if err := m.Journal(store.Event{Code: "record.view", Account: "owner", Key: k, Patient: patientOf(k)}); err != nil {
			return err
		}
		snap, err := snapshot(m, o.asOf)
		if err != nil {
			return err
		}
		if o.versions {
			return e.versions(ctx, snap, k)
		}
		v, err := snap.Latest(ctx, k)
		if err != nil {
			return err
		}
		return e.printVersion(v, o.pretty)
	})
}

// patientOf is the patient a key itself names.
func patientOf(k store.Key) string {
	if k.Type == "Patient" {
		return k.ID
	}
	return ""
}

func snapshot(m *store.Mirror, asOf uint32) (*store.Snapshot, error) {
	if asOf == 0 {
		return m.Now()
	}
	return m.AsOf(asOf)
}

func (e *env) printVersion(v store.Version, pretty bool) error {
	if v.Deleted {
		e.printf("The EMR no longer has this record (found by %s in run %d). Earlier versions: --versions\n", v.Detector, v.Run)
		return nil
	}
	raw := v.Raw
	if pretty {
		var b bytes.Buffer
		if err := json.Indent(&b, raw, "", "  "); err != nil {
			return err
		}
		raw = b.Bytes()
	}
	e.printf("%s\n", raw)
	return nil
}

func (e *env) versions(ctx context.Context, snap *store.Snapshot, k store.Key) error {
	list, err := snap.History(ctx, k)
	if err != nil {
		return err
	}
	if e.json {
		out := []map[string]any{}
		for _, v := range list {
			out = append(out, map[string]any{"run": v.Run, "part": v.Part, "fetched": v.Fetched, "deleted": v.Deleted,
				"counts": v.Counts, "lastUpdated": v.LastUpdated, "bytes": len(v.Raw), "record": json.RawMessage(v.Raw)})
		}
		return e.printJSON(out)
	}
	for i, v := range list {
		what := "given by the EMR"
		switch {
		case v.Deleted:
			what = "removed at the EMR"
		case v.Subsetted:
			what = "not whole, says the EMR"
		case !v.Counts:
			what = "held, rejected or out of order: not current"
		}
		updated := "no date"
		if !v.LastUpdated.IsZero() {
			updated = v.LastUpdated.Format("2006-01-02 15:04")
		}
		e.printf("%3d  run %-4d fetched %s  dated %s  %6d bytes  %s\n", i+1, v.Run, v.Fetched, updated, len(v.Raw), what)
	}
	return nil
}
