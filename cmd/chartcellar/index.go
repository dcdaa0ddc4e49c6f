package main

import (
	"context"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
)

func indexCommand(e *env) *cobra.Command {
	var sheet string
	c := &cobra.Command{Use: "index", Short: "Check the index against the archive, or make it anew",
		Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.PersistentFlags().StringVar(&sheet, "sheet", "", "file with the recovery key, instead of the passphrase")
	c.AddCommand(
		command("check", "Rebuild the index beside the one in use and compare", "", cobra.NoArgs,
			func(ctx context.Context, _ []string) error { return e.indexCheck(ctx, sheet) }),
		command("rebuild", "Make the index anew from the archive",
			"The archive is not changed. An export that is under way at the EMR is asked for again by the next run.",
			cobra.NoArgs, func(ctx context.Context, _ []string) error { return e.indexRebuild(ctx, sheet) }))
	return c
}

func (e *env) indexCheck(ctx context.Context, sheet string) error {
	return e.withMirror(ctx, access{doing: "index check", key: true, sheet: sheet}, func(ctx context.Context, _ config.Settings, m *store.Mirror) error {
		diffs, err := m.CompareIndex(ctx, 1000)
		if err != nil {
			return err
		}
		if e.json {
			if err := e.printJSON(map[string]any{"differences": len(diffs)}); err != nil {
				return err
			}
		} else if len(diffs) == 0 {
			e.printf("The index is what the archive says.\n")
		} else {
			e.printf("The index differs from the archive in %d rows or more. No record is lost.\nNext: chartcellar index rebuild\n", len(diffs))
		}
		if len(diffs) > 0 {
			return quiet(exitDamage)
		}
		return nil
	})
}

func (e *env) indexRebuild(ctx context.Context, sheet string) error {
	return e.withMirror(ctx, access{doing: "index rebuild", write: true, alone: true, key: true, sheet: sheet}, func(ctx context.Context, _ config.Settings, m *store.Mirror) error {
		if err := m.RebuildIndex(ctx); err != nil {
			return err
		}
		e.printf("The index was made anew from the archive. No record was lost.\n")
		return nil
	})
}
