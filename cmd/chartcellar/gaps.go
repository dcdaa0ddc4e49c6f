package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/index"
)

func gapsCommand(e *env) *cobra.Command {
	var source string
	c := command("gaps", "List what the EMR has and the mirror could not get",
		`gaps lists every open gap: a page, a file, a line, a document, a patient, a type. Each
is asked for again by the next run, keeps its age, and is closed only when it came.
It needs no passphrase. Exit code 10 if there is any.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.gaps(ctx, source) })
	c.Flags().StringVar(&source, "source", "", "of which EMR (default: of all)")
	return c
}

// gapWords say what a kind of gap means, and whether the next run asks for it.
var gapWords = map[string]string{
	"type":       "the type is not whole; the next run asks for it again, from where it stands",
	"file":       "a file of the export is not whole; the next run asks for the type again",
	"page":       "a page of a search is missing; the next run asks for the type again",
	"line":       "what came is no record; it lies in quarantine, and the type is compared whole again",
	"attachment": "the record is here, its document is not; the next run asks for it again",
	"patient":    "records name the patient, and the EMR does not give him; the next run asks again",
	"record":     "another record names it, and the EMR failed to give it; the next run asks again",
}

func (e *env) gaps(ctx context.Context, source string) error {
	return e.withMirror(ctx, access{doing: "gaps"}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		if err := knownSource(s, source); err != nil {
			return err
		}
		list, err := m.Gaps(source)
		if err != nil {
			return err
		}
		if e.json {
			if list == nil {
				list = []index.Gap{}
			}
			err = e.printJSON(list)
		} else {
			e.printGaps(list)
		}
		if err == nil && len(list) > 0 {
			return quiet(exitGaps)
		}
		return err
	})
}

func (e *env) printGaps(list []index.Gap) {
	if len(list) == 0 {
		e.printf("There is no open gap: whatever the runs asked for has come.\n")
		return
	}
	kinds := map[string]int{}
	for _, g := range list {
		what := g.Type
		if g.Ref != "" {
			what = g.Ref
		}
		if what == "" {
			what = "all types"
		}
		e.printf("%-10s  %-36s open %s, tried %s\n            %s\n", g.Kind, what, openSince(g), times(g.Tries), sentence(g.Reason))
		kinds[g.Kind]++
	}
	e.printf("\n%s open.\n", several(len(list), "gap is", "gaps are"))
	for _, k := range []string{"type", "file", "page", "patient", "record", "line", "attachment"} {
		if kinds[k] > 0 {
			e.printf("  %s: %s.\n", k, gapWords[k])
		}
	}
}

// knownSource says so if a source is named that there is not; "" stands for all.
func knownSource(s config.Settings, source string) error {
	if source == "" {
		return nil
	}
	if _, err := s.Source(source); err != nil {
		return usage(err.Error())
	}
	return nil
}

// openSince says since when a gap is open.
func openSince(g index.Gap) string {
	return fmt.Sprintf("since %s (%s)", g.Since.Local().Format("2006-01-02"), ago(g.Since))
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func several(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
