package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/verify"
)

func runsCommand(e *env) *cobra.Command {
	c := command("runs", "List the runs; accept or reject what one holds", "", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.runsList(ctx) })
	c.AddCommand(certificateCommand(e), changesCommand(e),
		command("list", "List the runs, newest first", "", cobra.NoArgs,
			func(ctx context.Context, _ []string) error { return e.runsList(ctx) }),
		command("show [RUN]", "Show one run, by default the last", "", cobra.MaximumNArgs(1),
			func(ctx context.Context, a []string) error { return e.runsShow(ctx, a) }),
		command("accept RUN [TYPE]", "Let what a run holds count",
			"From then on the held changes are current, and the next run continues behind them.",
			cobra.RangeArgs(1, 2), func(ctx context.Context, a []string) error { return e.runsDecide(ctx, a, true) }),
		command("reject RUN [TYPE]", "Do not let what a run holds count",
			"The records stay as they were; the versions are kept; the next run compares everything of these types.",
			cobra.RangeArgs(1, 2), func(ctx context.Context, a []string) error { return e.runsDecide(ctx, a, false) }))
	return c
}

func (e *env) runsList(ctx context.Context) error {
	return e.withMirror(ctx, access{doing: "runs list"}, func(_ context.Context, _ config.Settings, m *store.Mirror) error {
		runs, err := m.Runs()
		if err != nil {
			return err
		}
		if e.json {
			list := []fhirsync.Report{}
			for _, r := range runs {
				list = append(list, reportOf(m, r))
			}
			return e.printJSON(list)
		}
		if len(runs) == 0 {
			e.printf("There was no run yet. Next: chartcellar sync\n")
		}
		for _, r := range runs {
			verdict := string(verdictOf(m, r))
			if r.Ended.IsZero() {
				verdict = "under way or broken off"
			}
			what := r.Source
			if r.Kind != "sync" {
				what = strings.TrimSpace(r.Source + " " + r.Kind)
			}
			e.printf("%5d  %s  %-14s %s\n", r.Number, r.Started.Local().Format("2006-01-02 15:04"), what, verdict)
		}
		return nil
	})
}

func runNumber(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, usage(fmt.Sprintf("%q is no number of a run; see: chartcellar runs list", s))
	}
	return uint32(n), nil
}

func (e *env) runsShow(ctx context.Context, args []string) error {
	var want uint32
	if len(args) == 1 {
		var err error
		if want, err = runNumber(args[0]); err != nil {
			return err
		}
	}
	return e.withMirror(ctx, access{doing: "runs show"}, func(_ context.Context, _ config.Settings, m *store.Mirror) error {
		runs, err := m.Runs()
		if err != nil {
			return err
		}
		for _, r := range runs {
			if want != 0 && r.Number != want || want == 0 && r.Kind != "sync" {
				continue
			}
			rep := reportOf(m, r)
			switch {
			case e.json:
				return e.printJSON(rep)
			case r.Ended.IsZero():
				e.printf("Run %d is under way or was broken off; chartcellar sync continues it.\n", r.Number)
			case r.Kind == "decision":
				e.printf("%s", decisionWords(m, r))
			case r.Kind == "verify":
				return e.showCheck(m, r)
			case r.Kind == drillRun:
				e.printf("Run %d, %s:\n%s\n", r.Number, r.Ended.Local().Format("2006-01-02 15:04"), strings.Join(recordOfDrill(m, r).notes(), "\n"))
			case ofCopy(r):
				e.printf("Run %d, %s:\n%s\n", r.Number, r.Ended.Local().Format("2006-01-02 15:04"), strings.Join(recordOfCopy(m, r).notes(), "\n"))
			case r.Kind == store.KindSeal:
				e.printf("Run %d: %s\n", r.Number, sealNote(m, r))
			case r.Kind == "repair":
				return e.showLoss(m, r)
			case r.Kind == store.KindHolding:
				return e.showKept(m, r)
			default:
				printReport(e.Stdout, &rep)
			}
			return nil
		}
		return usage("there is no such run; see: chartcellar runs list")
	})
}

// showCheck shows what a verification found.
func (e *env) showCheck(m *store.Mirror, r store.RunInfo) error {
	var result verify.Result
	raw, err := m.RunRecord(r.Number)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &result); err != nil {
		return fmt.Errorf("read the record of a run: %w", store.ErrDamaged)
	}
	e.printf("Run %d, %s:\n", r.Number, r.Ended.Local().Format("2006-01-02 15:04"))
	e.printVerify(result)
	return nil
}

// showLoss shows what a run declared lost.
func (e *env) showLoss(m *store.Mirror, r store.RunInfo) error {
	loss, err := lossOf(m, r)
	if err != nil {
		return err
	}
	e.printf("Run %d, %s: declared lost, because no copy had it:\n", r.Number, r.Ended.Local().Format("2006-01-02 15:04"))
	for _, f := range loss.Files {
		e.printf("  %s\n", f)
	}
	e.printf("%s\n", loss.Harm.Words())
	return nil
}

// lossOf reads the record of a run that declared files lost.
func lossOf(m *store.Mirror, r store.RunInfo) (loss store.LossRecord, err error) {
	raw, err := m.RunRecord(r.Number)
	if err == nil && json.Unmarshal(raw, &loss) != nil {
		err = fmt.Errorf("read the record of a run: %w", store.ErrDamaged)
	}
	return loss, err
}

// showKept shows what a run kept in a holding.
func (e *env) showKept(m *store.Mirror, r store.RunInfo) error {
	var rec keptRecord
	raw, err := m.RunRecord(r.Number)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &rec); err != nil {
		return fmt.Errorf("read the record of a run: %w", store.ErrDamaged)
	}
	e.printf("Run %d, %s: %s (%s) kept in the holding %q; %d could not be read.\n", r.Number, r.Ended.Local().Format("2006-01-02 15:04"),
		plural(rec.Kept, "file"), notify.Size(rec.Bytes), rec.Holding, rec.Failed)
	return nil
}

// decisionsOf are the decisions that a run records; none if it cannot be read.
func decisionsOf(m *store.Mirror, r store.RunInfo) []index.Decision {
	var record struct{ Decisions []index.Decision }
	raw, err := m.RunRecord(r.Number)
	if err != nil || json.Unmarshal(raw, &record) != nil {
		return nil
	}
	return record.Decisions
}

// decided says what a decision was.
func decided(d index.Decision) string {
	what := map[bool]string{true: "accepted", false: "rejected"}[d.Accept]
	return fmt.Sprintf("%s of run %d was %s", d.Type, d.Run, what)
}

// decisionWords say what was decided.
func decisionWords(m *store.Mirror, r store.RunInfo) string {
	list := decisionsOf(m, r)
	if len(list) == 0 {
		return fmt.Sprintf("Run %d records a decision.\n", r.Number)
	}
	s := ""
	for _, d := range list {
		s += fmt.Sprintf("Run %d: %s by %s on %s.\n", r.Number, decided(d), d.By, d.At.Local().Format("2006-01-02 15:04"))
	}
	return s
}

func (e *env) runsDecide(ctx context.Context, args []string, accept bool) error {
	run, err := runNumber(args[0])
	if err != nil {
		return err
	}
	typ := ""
	if len(args) == 2 {
		typ = args[1]
	}
	return e.withMirror(ctx, access{doing: "runs decide", write: true}, func(ctx context.Context, _ config.Settings, m *store.Mirror) error {
		err := decide(ctx, m, "owner", run, typ, accept)
		if err == nil {
			e.printf("%s\n", map[bool]string{true: "Accepted: the held changes count from now on.",
				false: "Rejected: the records stay as they were. The next run compares these types whole."}[accept])
		}
		return err
	})
}

// decide accepts or rejects what a run holds, once the journal has it.
func decide(ctx context.Context, m *store.Mirror, by string, run uint32, typ string, accept bool) error {
	code := map[bool]string{true: "run.accept", false: "run.reject"}[accept]
	if err := m.Journal(store.Event{Code: code, Account: by, Run: run, Key: store.Key{Type: typ}}); err != nil {
		return err
	}
	err := fhirsync.Decide(ctx, m, run, typ, accept, by)
	if errors.Is(err, store.ErrNotFound) {
		return usage(err.Error())
	}
	return err
}
