package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/store"
)

func syncCommand(e *env) *cobra.Command {
	var o syncOptions
	c := command("sync", "Bring the mirror up to date with the EMR",
		`sync pulls what is new or changed since the last run; with --full it compares
everything. A run that was broken off is continued where it stopped. It needs no
passphrase.`, cobra.NoArgs, func(ctx context.Context, _ []string) error { return e.sync(ctx, o) })
	c.Flags().StringVar(&o.source, "source", "", "which EMR, if there are several")
	c.Flags().BoolVar(&o.full, "full", false, "compare everything, not only changes")
	return c
}

type syncOptions struct {
	source string
	full   bool
}

func (e *env) sync(ctx context.Context, o syncOptions) error {
	return e.withMirror(ctx, access{doing: "sync", write: true}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		src, err := s.Source(o.source)
		if err != nil {
			return usage(err.Error())
		}
		r, err := e.pull(ctx, m, src, o.full)
		if err != nil {
			return err
		}
		if e.json {
			if err := e.printJSON(r); err != nil {
				return err
			}
		} else {
			printReport(e.Stdout, r)
		}
		return quiet(exitOf(r.Verdict))
	})
}

// pull makes one run with progress on the screen.
func (e *env) pull(ctx context.Context, m *store.Mirror, src config.Source, full bool) (*fhirsync.Report, error) {
	c, err := connection(src, e)
	if err != nil {
		return nil, err
	}
	defer c.CloseIdle()
	tokens, _, err := signIn(ctx, m, src, c)
	if err != nil {
		return nil, err
	}
	p := e.progress()
	defer p.end()
	return fhirsync.Sync(ctx, fhirsync.Options{Client: c, Tokens: tokens, Mirror: m, Full: full, Events: p.event,
		Source: fhirsync.Source{Name: src.Name, Level: src.Level, Group: src.Group, Types: src.Types,
			Overlap: src.Overlap.Duration}})
}

// exitOf is the exit code of a verdict.
func exitOf(v fhirsync.Verdict) int {
	switch v {
	case fhirsync.Complete, fhirsync.DecisionMade:
		return exitGood
	case fhirsync.WithGaps:
		return exitGaps
	case fhirsync.HeldVerdict:
		return exitHeld
	}
	return exitFailed
}

// verdictWords say what a verdict means.
var verdictWords = map[fhirsync.Verdict]string{
	fhirsync.Complete:    "COMPLETE. Everything the EMR gave is in the mirror.",
	fhirsync.WithGaps:    "COMPLETE WITH GAPS. What is missing is named below and is asked for again by the next run.",
	fhirsync.HeldVerdict: "HELD. Something looks wrong at the EMR; it waits for your decision: chartcellar runs show",
	fhirsync.Interrupted: "INTERRUPTED. What was stored is kept; the next run compares again.",
	fhirsync.FailedRun:   "FAILED. Nothing in the mirror was changed for the worse, and nothing is lost.",
}

// printReport prints the table of a run.
func printReport(w io.Writer, r *fhirsync.Report) {
	fmt.Fprintf(w, "Run %d of %s: %s\n\n", r.Run, r.Source, verdictWords[r.Verdict])
	fmt.Fprintf(w, "%-24s %9s %9s %8s %8s %9s %8s %6s\n", "", "announced", "lines", "new", "changed", "unchanged", "removed", "bad")
	var sum fhirsync.TypeRow
	for _, t := range r.Types {
		announced := fmt.Sprint(t.Manifest)
		if t.Manifest < 0 {
			announced = "not said"
		}
		if t.Lines+t.Removed == 0 && t.Gap == "" && t.Held == "" && t.Waits == 0 && t.Manifest == 0 {
			continue
		}
		fmt.Fprintf(w, "%-24s %9s %9d %8d %8d %9d %8d %6d\n", t.Type, announced, t.Lines, t.New, t.Changed, t.Unchanged, t.Removed, t.Quarantine)
		sum.Add(t.Count)
		sum.Manifest += max(0, t.Manifest)
	}
	fmt.Fprintf(w, "%-24s %9d %9d %8d %8d %9d %8d %6d\n", "all", sum.Manifest, sum.Lines, sum.New, sum.Changed, sum.Unchanged, sum.Removed, sum.Quarantine)
	for _, t := range r.Types {
		if t.Gap != "" {
			fmt.Fprintf(w, "\nGAP   %s: %s\n", t.Type, t.Gap)
		}
		if t.Held != "" {
			fmt.Fprintf(w, "\nHELD  %s: %s\n      If that is right: chartcellar runs accept %d %s\n      If it is not:     chartcellar runs reject %d %s\n", t.Type, t.Held, r.Run, t.Type, r.Run, t.Type)
		}
		if t.Waits != 0 {
			fmt.Fprintf(w, "\nHELD  %s: what run %d holds waits for your decision: chartcellar runs show %d\n", t.Type, t.Waits, t.Waits)
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "\nNOTE  %s\n", n)
	}
}

// A progress shows a run while it goes on.
type progress interface {
	event(fhirsync.Event)
	end()
}

func (e *env) progress() progress {
	if e.Terminal && !e.json {
		return newBars(e.Stderr)
	}
	return &plainProgress{w: e.Stderr}
}

// A plainProgress writes a line now and then.
type plainProgress struct {
	w io.Writer

	mu   sync.Mutex
	last time.Time
}

func (p *plainProgress) end() {}

func (p *plainProgress) event(ev fhirsync.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev.Kind {
	case "kickoff":
		fmt.Fprintln(p.w, "The EMR has accepted the export.")
	case "status":
		if time.Since(p.last) > 10*time.Second {
			p.last = time.Now()
			fmt.Fprintf(p.w, "Waiting for the EMR. %s\n", ev.Text)
		}
	case "manifest":
		fmt.Fprintf(p.w, "The EMR gives %d files with %d records.\n", ev.Files, ev.Count)
	case "download_complete":
		if time.Since(p.last) > 2*time.Second {
			p.last = time.Now()
			fmt.Fprintf(p.w, "%s: %d records are here.\n", ev.Type, ev.Count)
		}
	}
}

// bars are one bar for all files and one for each that is being fetched.
type bars struct {
	p *mpb.Progress

	mu    sync.Mutex
	all   *mpb.Bar
	files map[int]*mpb.Bar
	lines map[int]int
}

func newBars(w io.Writer) *bars {
	return &bars{p: mpb.New(mpb.WithOutput(w), mpb.WithWidth(40)), files: map[int]*mpb.Bar{}, lines: map[int]int{}}
}

func (b *bars) event(ev fhirsync.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev.Kind {
	case "manifest":
		b.all = b.p.AddBar(int64(ev.Count), mpb.PrependDecorators(decor.Name("all records", decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.CountersNoUnit("%d of %d")))
	case "download":
		if b.files[ev.File] == nil {
			b.files[ev.File] = b.p.AddBar(0, mpb.BarRemoveOnComplete(),
				mpb.PrependDecorators(decor.Name(ev.Type, decor.WCSyncSpaceR)), mpb.AppendDecorators(decor.CurrentNoUnit("%d records")))
		}
		b.files[ev.File].SetCurrent(int64(ev.Count))
		b.advance(ev)
	case "download_complete":
		b.advance(ev)
		if f := b.files[ev.File]; f != nil {
			f.SetTotal(int64(ev.Count), true)
		}
	}
}

func (b *bars) advance(ev fhirsync.Event) {
	if b.all != nil {
		b.all.IncrBy(ev.Count - b.lines[ev.File])
	}
	b.lines[ev.File] = ev.Count
}

func (b *bars) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	open := slices.Collect(func(yield func(*mpb.Bar) bool) {
		for _, f := range b.files {
			if !yield(f) {
				return
			}
		}
	})
	if b.all != nil {
		open = append(open, b.all)
	}
	for _, bar := range open {
		bar.Abort(false)
	}
	b.p.Wait()
}
