package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/store"
)

func evidenceCommand(e *env) *cobra.Command {
	var o evidenceOptions
	c := command("evidence [FILE]", "List what the EMR refused, slowed down or promised and did not keep",
		`evidence shows, from the records of all runs, each refusal, throttle, failure and
broken promise of the EMR, with time, kind of request and status. With a FILE it
writes them there as JSON, for a complaint or a lawyer; --words adds the EMR's own
words, which may name a patient.`, cobra.MaximumNArgs(1),
		func(ctx context.Context, a []string) error { return e.evidence(ctx, strings.Join(a, ""), o) })
	c.Flags().StringVar(&o.source, "source", "", "of which EMR (default: of all)")
	c.Flags().StringVar(&o.since, "since", "", "only from this day on, such as 2026-03-01")
	c.Flags().BoolVar(&o.words, "words", false, "with the EMR's own words, which may name a patient")
	return c
}

type evidenceOptions struct {
	source, since string
	words         bool
}

// A shownProof is a proof with where it is from.
type shownProof struct {
	Run    uint32 `json:"run"`
	Source string `json:"source"`
	fhirsync.Proof
}

// day reads a day as people write it; "" is the beginning of time.
func day(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.ParseInLocation("2006-01-02", s, time.Local)
	if err != nil {
		return t, usage("write the day as 2026-03-01")
	}
	return t, nil
}

func (e *env) evidence(ctx context.Context, file string, o evidenceOptions) error {
	since, err := day(o.since)
	if err != nil {
		return err
	}
	return e.withMirror(ctx, access{doing: "evidence"}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		if err := knownSource(s, o.source); err != nil {
			return err
		}
		runs, err := m.Runs()
		if err != nil {
			return err
		}
		list := []shownProof{}
		for i := len(runs) - 1; i >= 0; i-- {
			if runs[i].Kind != "sync" || runs[i].Closing == 0 {
				continue
			}
			rep, err := readReport(m, runs[i])
			if err != nil {
				return err
			}
			for _, p := range rep.Evidence {
				if o.source != "" && rep.Source != o.source || p.At.Before(since) {
					continue
				}
				if !o.words && file == "" {
					p.Words = ""
				}
				list = append(list, shownProof{rep.Run, rep.Source, p})
			}
		}
		switch {
		case file != "":
			return e.exportEvidence(m, file, list, o.words)
		case e.json:
			return e.printJSON(list)
		}
		e.printEvidence(list, o.since)
		return nil
	})
}

func (e *env) exportEvidence(m *store.Mirror, file string, list []shownProof, words bool) error {
	if !words {
		for i := range list {
			list[i].Words = ""
		}
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	if err := m.Journal(store.Event{Code: "evidence.export", Account: "owner", Count: len(list)}); err != nil {
		return err
	}
	if file, err = e.abs(file); err != nil {
		return err
	}
	if err := writePrivate(file, append(b, '\n')); errors.Is(err, os.ErrExist) {
		return usage("there is a file of that name already; choose another")
	} else if err != nil {
		return err
	}
	e.printf("%s written to %s.\n", several(len(list), "entry was", "entries were"), file)
	if words {
		e.printf("The file holds the EMR's own words, which may name patients: keep it as you keep records.\n")
	}
	return nil
}

func (e *env) printEvidence(list []shownProof, since string) {
	if len(list) == 0 {
		when := "so far"
		if since != "" {
			when = "since " + since
		}
		e.printf("The EMR refused nothing %s.\n", when)
		return
	}
	for _, p := range list {
		status := ""
		if p.Status != 0 {
			status = fmt.Sprintf(" (HTTP %d)", p.Status)
		}
		e.printf("%s  %-10s run %-4d %-20s %s%s, %s\n", p.At.Local().Format("2006-01-02 15:04"), p.Source, p.Run, p.Kind,
			strings.TrimSpace(p.Class+" "+p.Type), status, times(p.Times))
		if len(p.Codes) > 0 {
			e.printf("%35s says: %s\n", "", strings.Join(p.Codes, ", "))
		}
		if p.Words != "" {
			e.printf("%35s in words: %s\n", "", oneLine(p.Words))
		}
		if p.RequestID != "" {
			e.printf("%35s the EMR's number of the request: %s\n", "", oneLine(p.RequestID))
		}
	}
}

// oneLine makes a foreign text safe to print on a line of its own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, s)
}
