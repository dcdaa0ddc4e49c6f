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
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
)

func syncCommand(e *env) *cobra.Command {
	var o syncOptions
	c := command("sync", "Bring the mirror up to date with the EMR",
		`sync pulls what is new or changed since the last run; with --full it compares
everything. A run that was broken off is continued where it stopped. It needs no
passphrase. With --unlock it asks for it all the same, so that a full run can look
up at the EMR what it no longer lists; without, that waits for such a run.`, cobra.NoArgs, func(ctx context.Context, _ []string) error { return e.sync(ctx, o) })
	c.Flags().StringVar(&o.source, "source", "", "which EMR, if there are several")
	c.Flags().BoolVar(&o.full, "full", false, "compare everything, not only changes")
	c.Flags().BoolVar(&o.unlock, "unlock", false, "ask for the passphrase, to look up what is no longer listed")
	return c
}

type syncOptions struct {
	source       string
	full, unlock bool
}

func (e *env) sync(ctx context.Context, o syncOptions) error {
	return e.withMirror(ctx, access{doing: "sync", write: true, key: o.unlock}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		src, err := s.Source(o.source)
		if err != nil {
			return usage(err.Error())
		}
		if err := e.keepSettings(m, ""); err != nil {
			return err
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
	p := e.progress()
	defer p.end()
	if d := e.daemon.get(); d != nil {
		job := schedule.Job{Source: src.Name, Kind: schedule.Pull}
		if full {
			job.Kind = schedule.Full
		}
		return d.runNow(ctx, job, p.event)
	}
	return e.pullWith(ctx, m, src, full, p.event)
}

// pullWith makes one run and tells of its steps.
func (e *env) pullWith(ctx context.Context, m *store.Mirror, src config.Source, full bool, tell func(fhirsync.Event)) (*fhirsync.Report, error) {
	proofs := &fhirsync.Evidence{}
	c, err := connection(m, src, e, proofs.Observe)
	if err != nil {
		return nil, err
	}
	defer c.CloseIdle()
	defer e.skewed(src.Name, c)
	tokens, _, err := e.signIn(ctx, m, src, c)
	if err != nil {
		return nil, err
	}
	r, err := fhirsync.Sync(ctx, fhirsync.Options{Client: c, Tokens: tokens, Mirror: m, Full: full, Events: tell, Log: e.logger(),
		Evidence: proofs, MaxAttachment: src.AttachmentMB << 20, InFlight: src.InFlight,
		Source: fhirsync.Source{Name: src.Name, Level: src.Level, Group: src.Group, Types: src.Types,
			Overlap: src.Overlap.Duration, Mode: src.Mode, Canary: src.Canary}})
	if err == nil {
		var sum fhirsync.TypeRow
		for _, t := range r.Types {
			sum.Add(t.Count)
		}
		e.logger().InfoContext(ctx, "run ended", "source", src.Name, "run", r.Run, "verdict", r.Verdict, "lines", sum.Lines,
			"new", sum.New, "changed", sum.Changed, "removed", sum.Removed)
	}
	return r, err
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

// printReport prints what a run did.
func printReport(w io.Writer, r *fhirsync.Report) {
	fmt.Fprintf(w, "Run %d of %s: %s\n\n", r.Run, r.Source, verdictWords[r.Verdict])
	printRows(w, r)
	printExtras(w, r)
	for _, t := range r.Types {
		if t.Gap != "" {
			fmt.Fprintf(w, "\nGAP   %s: %s\n", t.Type, oneLine(t.Gap))
		}
		if t.Held != "" {
			fmt.Fprintf(w, "\nHELD  %s: %s\n      If that is right: chartcellar runs accept %d %s\n      If it is not:     chartcellar runs reject %d %s\n", t.Type, t.Held, r.Run, t.Type, r.Run, t.Type)
		}
		if t.Waits != 0 {
			fmt.Fprintf(w, "\nHELD  %s: what run %d holds waits for your decision: chartcellar runs show %d\n", t.Type, t.Waits, t.Waits)
		}
	}
	printOtherGaps(w, r)
	for _, n := range r.Notes {
		fmt.Fprintf(w, "\nNOTE  %s\n", oneLine(n))
	}
}

// printRows prints the table: what came, and how that compares with what the EMR
// counts.
func printRows(w io.Writer, r *fhirsync.Report) {
	fmt.Fprintf(w, "%-22s %-8s %9s %9s %8s %8s %9s %8s %5s %9s %9s\n", "", "by", "announced", "lines", "new", "changed",
		"unchanged", "removed", "bad", "EMR has", "is here")
	var sum fhirsync.TypeRow
	here := 0
	for _, t := range r.Types {
		sum.Add(t.Count)
		sum.Manifest += max(0, t.Manifest)
		here += t.Mirror
		if t.Lines+t.Removed+t.Mirror == 0 && t.Gap == "" && t.Held == "" && t.Waits == 0 && t.Manifest <= 0 && t.Server <= 0 {
			continue
		}
		fmt.Fprintf(w, "%-22s %-8s %9s %9d %8d %8d %9d %8d %5d %9s %9d\n", t.Type, t.Mode, said(t.Manifest), t.Lines, t.New, t.Changed,
			t.Unchanged, t.Removed, t.Quarantine, said(t.Server), t.Mirror)
	}
	fmt.Fprintf(w, "%-22s %-8s %9d %9d %8d %8d %9d %8d %5d %9s %9d\n", "all", "", sum.Manifest, sum.Lines, sum.New, sum.Changed,
		sum.Unchanged, sum.Removed, sum.Quarantine, "", here)
}

// said is a number that the EMR may not have said.
func said(n int) string {
	if n < 0 {
		return "not said"
	}
	return fmt.Sprint(n)
}

// printExtras prints what came beside the types that were asked for.
func printExtras(w io.Writer, r *fhirsync.Report) {
	switch a := r.Attachments; {
	case a.Wanted == 0:
	case a.Missing+a.Waiting == 0:
		fmt.Fprintf(w, "\nDocuments: all %d that these records name are here (%d fetched and checked, %d as records of their own).\n",
			a.Wanted-a.Dropped, a.Stored, a.Held)
	default:
		fmt.Fprintf(w, "\nDocuments: of %d that these records name, %d are NOT here (%d could not be had, %d were not tried).\n",
			a.Wanted-a.Dropped, a.Missing+a.Waiting, a.Missing, a.Waiting)
	}
	if r.Followed > 0 {
		fmt.Fprintf(w, "\n%s read by their id, because other records name them.\n", several(r.Followed, "record was", "records were"))
	}
	for _, t := range r.Types {
		if t.Silent > 0 {
			fmt.Fprintf(w, "\n%s: %s without a new date; only a full run finds such.\n", t.Type, several(t.Silent, "record was changed", "records were changed"))
		}
		if waiting := t.Lacking - t.Removed; waiting > 0 && t.Held == "" {
			fmt.Fprintf(w, "\n%s: %s no longer listed by the EMR. What is missing again after a day counts as removed; it stays here.\n", t.Type, several(waiting, "record is", "records are"))
		}
	}
	if r.Withheld > 0 {
		fmt.Fprintf(w, "\n%s withheld by the EMR.\n", several(r.Withheld, "record is", "records are"))
	}
}

// printOtherGaps prints the open gaps that are not those of a row.
func printOtherGaps(w io.Writer, r *fhirsync.Report) {
	const most = 10
	shown := 0
	for _, g := range r.Gaps {
		if g.Kind != "attachment" && g.Kind != "patient" && g.Kind != "record" {
			continue
		}
		if shown++; shown <= most {
			what := g.Ref
			if what == "" {
				what = g.Type
			}
			fmt.Fprintf(w, "\nGAP   %s %s, %s: %s\n", g.Kind, what, openSince(g), oneLine(g.Reason))
		}
	}
	if shown > most || r.GapCount > len(r.Gaps) {
		fmt.Fprintf(w, "\n%s open in all; see: chartcellar gaps\n", several(r.GapCount, "gap is", "gaps are"))
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
