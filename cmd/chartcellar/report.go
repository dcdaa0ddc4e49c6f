package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	"chartcellar/store/verify"
)

func reportCommand(e *env) *cobra.Command {
	var o reportOptions
	c := command("report", "The practice's report of a month or a week",
		`report adds up what the runs of a month brought and found: nights with a complete
copy, the longest time without one, growth, verifications, decisions, gaps. It names
no patient and needs no passphrase. --week prints the one line that the owners get.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.report(ctx, o) })
	c.Flags().StringVar(&o.month, "month", "", "which month, such as 2026-03 (default: this one)")
	c.Flags().BoolVar(&o.week, "week", false, "the last seven nights, in one line")
	c.Flags().StringVar(&o.pdf, "pdf", "", "write it as a page of PDF to this file")
	return c
}

type reportOptions struct {
	month, pdf string
	week       bool
}

// A practiceReport is what happened between two days.
type practiceReport struct {
	Practice string         `json:"practice"`
	From     time.Time      `json:"from"`
	To       time.Time      `json:"to"` // not reached yet in the month that goes on: until now
	Sources  []sourceReport `json:"sources"`
	// Verified counts verifications that read the mirror's content, or found damage;
	// Damaged those that found it.
	Verified  int    `json:"verified"`
	Damaged   int    `json:"damaged"`
	Sampled   int    `json:"sampled"` // random samples that were fetched again
	Differed  int    `json:"differed"`
	Unread    int    `json:"unread"`    // samples of which the EMR did not give every record
	Decisions int    `json:"decisions"` // held types that a person decided about
	Sealed    int    `json:"sealed"`    // patients who were hidden
	Unsealed  int    `json:"unsealed"`  // patients who were shown again
	Bytes     int64  `json:"bytes"`     // of the archive, sealed
	Added     int64  `json:"added"`     // of them in this time
	Root      string `json:"root"`      // short root of the archive at the end
	// Holdings are the files beside the records.
	Holdings []holdingReport `json:"holdings"`
}

// A sourceReport is one EMR's part.
type sourceReport struct {
	Name     string         `json:"name"`
	Nights   int            `json:"nights"`   // days of the time that the mirror existed
	Complete int            `json:"complete"` // of them with a complete copy
	Runs     map[string]int `json:"runs"`     // by verdict
	// Longest is the longest time between two complete copies, as far as it lies in
	// this time; the time until now counts.
	Longest               time.Duration `json:"longest"`
	LongestFrom           time.Time     `json:"longestFrom,omitzero"`
	LongestTo             time.Time     `json:"longestTo,omitzero"`
	New, Changed, Removed int
	OpenGaps, HeldNow     int
	LastComplete          time.Time `json:"lastComplete,omitzero"`
}

func (e *env) report(ctx context.Context, o reportOptions) error {
	return e.withMirror(ctx, access{doing: "report"}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		from, to, err := o.span(s.Zone, time.Now())
		if err != nil {
			return err
		}
		r, err := makeReport(s, m, from, to)
		if err != nil {
			return err
		}
		switch {
		case o.pdf != "":
			return e.writeReport(r, o.pdf)
		case e.json:
			return e.printJSON(r)
		case o.week:
			e.printf("%s: %s\n", r.Practice, r.week())
			return nil
		}
		r.print(e.Stdout)
		return nil
	})
}

// span is the time that is asked for.
func (o reportOptions) span(zone string, now time.Time) (from, to time.Time, err error) {
	loc, err := schedule.Zone(zone)
	if err != nil {
		return from, to, usage(err.Error())
	}
	now = now.In(loc)
	if o.week {
		return time.Date(now.Year(), now.Month(), now.Day()-6, 0, 0, 0, 0, loc), now, nil
	}
	from = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, loc)
	if o.month != "" {
		if from, err = time.ParseInLocation("2006-01", o.month, loc); err != nil {
			return from, to, usage("write the month as 2026-03")
		}
	}
	to = from.AddDate(0, 1, 0)
	if to.After(now) {
		to = now
	}
	return from, to, nil
}

// makeReport adds the runs up.
func makeReport(s config.Settings, m *store.Mirror, from, to time.Time) (practiceReport, error) {
	r := practiceReport{Practice: s.Practice, From: from, To: to, Sources: []sourceReport{}}
	runs, err := m.Runs()
	if err != nil {
		return r, err
	}
	inside := func(t time.Time) bool { return !t.Before(from) && t.Before(to) }
	for _, run := range runs {
		if !inside(run.Ended) {
			continue
		}
		switch run.Kind {
		case "verify":
			if run.Verdict != verifiedGood {
				r.Damaged++
			} else if resultOf(m, run).Depth == verify.Quick {
				continue // it read no content
			}
			r.Verified++
		case "check":
			r.Sampled++
			switch run.Verdict {
			case sampleDiffers:
				r.Differed++
			case sampleOpen:
				r.Unread++
			}
		case "decision":
			r.Decisions++
		case store.KindSeal:
			if run.Verdict == store.VerdictUnsealed {
				r.Unsealed++
			} else {
				r.Sealed++
			}
		}
	}
	for _, src := range s.Sources {
		one, err := reportSource(m, src.Name, runs, from, to)
		if err != nil {
			return r, err
		}
		r.Sources = append(r.Sources, one)
	}
	r.size(m, runs)
	if r.Holdings, err = reportHoldings(m, from, to); err != nil {
		return r, err
	}
	for _, run := range runs {
		if run.Closing == 0 || !run.Ended.Before(to) {
			continue
		}
		if c, err := m.CheckpointOf(run.Number); err == nil && c.Number > 0 {
			r.Root = c.ShortRoot()
		}
		break
	}
	return r, nil
}

// size adds up the files that runs of before its end have brought.
func (r *practiceReport) size(m *store.Mirror, runs []store.RunInfo) {
	ended := map[uint32]time.Time{}
	for _, run := range runs {
		ended[run.Number] = run.Ended
	}
	for _, p := range m.PartSizes() {
		at := ended[p.Run]
		if at.IsZero() || !at.Before(r.To) {
			continue
		}
		r.Bytes += p.Bytes
		if !at.Before(r.From) {
			r.Added += p.Bytes
		}
	}
}

// reportSource adds one EMR's runs up; they come newest first.
func reportSource(m *store.Mirror, name string, runs []store.RunInfo, from, to time.Time) (sourceReport, error) {
	one := sourceReport{Name: name, Runs: map[string]int{}}
	nights := map[string]bool{}
	first, next := time.Time{}, to // next: the complete copy behind the one that is looked at
	for _, run := range runs {
		if run.Source != name || run.Kind != "sync" || run.Ended.IsZero() || !run.Ended.Before(to) {
			continue
		}
		first = run.Ended
		verdict := verdictOf(m, run)
		complete := verdict == fhirsync.Complete
		if complete {
			if one.LastComplete.IsZero() {
				one.LastComplete = run.Ended
			}
			since := later(run.Ended, from)
			if gap := next.Sub(since); next.After(from) && gap > one.Longest {
				one.Longest, one.LongestFrom, one.LongestTo = gap, since, next
			}
			next = run.Ended
		}
		if run.Ended.Before(from) {
			continue
		}
		one.Runs[string(verdict)]++
		if complete {
			nights[run.Ended.In(from.Location()).Format("2006-01-02")] = true
		}
		for _, c := range run.Counts {
			one.New, one.Changed, one.Removed = one.New+c.New, one.Changed+c.Changed, one.Removed+c.Removed
		}
	}
	one.Complete = len(nights)
	if !first.IsZero() {
		one.Nights = days(later(first, from), to)
	}
	gaps, err := m.Gaps(name)
	one.OpenGaps = len(gaps)
	for _, run := range runs {
		for _, st := range run.States.Types {
			if run.Source == name && st == "held" {
				one.HeldNow++
			}
		}
	}
	return one, err
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// days counts the days that two times touch.
func days(from, to time.Time) int {
	a := time.Date(from.Year(), from.Month(), from.Day(), 12, 0, 0, 0, time.UTC)
	to = to.In(from.Location()).Add(-time.Second)
	b := time.Date(to.Year(), to.Month(), to.Day(), 12, 0, 0, 0, time.UTC)
	return max(0, int(b.Sub(a).Hours()/24)+1)
}

// week is what the owners get each week, in one line.
func (r practiceReport) week() notify.Text {
	if len(r.Sources) == 0 {
		return notify.Say("No EMR is connected.")
	}
	nights := notify.Text{}
	for _, src := range r.Sources {
		nights = notify.Join("", nights, notify.Say("%s %s of %s nights complete; ", notify.Name(src.Name), notify.Count(src.Complete), notify.Count(src.Nights)))
	}
	verified := notify.Say("NOT verified")
	switch {
	case r.Damaged > 0:
		verified = notify.Say("DAMAGE FOUND")
	case r.Verified > 0:
		verified = notify.Say("verified")
	}
	return notify.Join("", nights, verified, notify.Say("; second copy: not set up; root %s.", rootFact(r.Root)))
}

// rootFact is a short root as a fact.
func rootFact(root string) notify.Fact {
	sum, err := hex.DecodeString(root)
	if err != nil || len(sum) == 0 {
		return notify.Name("none yet")
	}
	return notify.Digest(sum)
}

// lines are the report in sentences.
func (r practiceReport) lines() []notify.Text {
	var list []notify.Text
	say := func(s notify.Sentence, facts ...notify.Fact) { list = append(list, notify.Say(s, facts...)) }
	for _, src := range r.Sources {
		say("%s: %s of %s nights with a complete copy. Longest time without a new one: %s.", notify.Name(src.Name),
			notify.Count(src.Complete), notify.Count(src.Nights), notify.Name(schedule.Span(src.Longest)))
		for _, v := range []fhirsync.Verdict{fhirsync.Complete, fhirsync.WithGaps, fhirsync.HeldVerdict, fhirsync.Interrupted, fhirsync.FailedRun} {
			if n := src.Runs[string(v)]; n > 0 {
				say("    %s ended as: %s.", notify.Several(n, "run", "runs"), notify.Name(string(v)))
			}
		}
		say("    %s new records, %s changed, %s removed at the EMR and kept here.", notify.Count(src.New), notify.Count(src.Changed), notify.Count(src.Removed))
		say("    Open now: %s, %s waiting for a decision.", notify.Several(src.OpenGaps, "gap", "gaps"),
			notify.Several(src.HeldNow, "kind of record", "kinds of records"))
	}
	say("Verified: %s, of which %s found damage.", notify.Several(r.Verified, "check", "checks"), notify.Count(r.Damaged))
	say("Fetched again at random and compared: %s, of which %s differed and %s could not be read whole.",
		notify.Several(r.Sampled, "sample", "samples"), notify.Count(r.Differed), notify.Count(r.Unread))
	say("Decisions about records that looked wrong: %s.", notify.Count(r.Decisions))
	if r.Sealed+r.Unsealed > 0 {
		say("Patients hidden because the EMR gave them by mistake: %s; shown again: %s.", notify.Count(r.Sealed), notify.Count(r.Unsealed))
	}
	for _, h := range r.Holdings {
		say("Beside the records, holding %s: %s came in this time, the newest on %s; kept unchanged, and we cannot see inside.", notify.Name(h.Name),
			notify.Several(h.Came, "delivery", "deliveries"), notify.Day(h.Newest.In(r.From.Location())))
	}
	say("The archive has %s, %s of them of this time.", notify.Size(r.Bytes), notify.Size(r.Added))
	say("Second copy: not set up. Restore drills: not set up.")
	say("Short root of the archive: %s", rootFact(r.Root))
	return list
}

func (r practiceReport) title() string {
	return fmt.Sprintf("Report from %s to %s", r.From.Format("2006-01-02"), r.To.Format("2006-01-02 15:04"))
}

func (r practiceReport) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n%s\n\n", r.Practice, r.title())
	for _, l := range r.lines() {
		fmt.Fprintln(w, l)
	}
}

func texts(list []notify.Text) []string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = t.String()
	}
	return out
}

func (e *env) writeReport(r practiceReport, file string) error {
	file, err := e.abs(file)
	if err != nil {
		return err
	}
	page, err := sentencesPDF(r.title(), r.Practice, r.To, texts(r.lines()))
	if err != nil {
		return err
	}
	if err := writePrivate(file, page); errors.Is(err, os.ErrExist) {
		return usage("there is a file of that name already; choose another")
	} else if err != nil {
		return err
	}
	e.printf("The report was written to %s.\n", file)
	return nil
}
