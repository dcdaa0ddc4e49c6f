package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/verify"
)

// verifiedGood is the verdict of a verification that found no damage.
const verifiedGood = "nothing wrong"

func verdictOfCheck(r verify.Result) string {
	if r.Good() {
		return verifiedGood
	}
	return "damage"
}

func verifyCommand(e *env) *cobra.Command {
	var o verify.Options
	var depth, sheet string
	var slice int
	c := command("verify", "Read the mirror again and say what is wrong",
		`verify never repairs. Depths: quick (files and sizes), rolling (one thirtieth of all
bytes), sample (random records, needs the passphrase), full (every byte
decrypted, every signature, every line compared with the index; needs the passphrase).
Exit code 13 if damage is found.`, cobra.NoArgs, func(ctx context.Context, _ []string) error {
			o.Depth = verify.Depth(depth)
			o.Days = []int{((slice % 30) + 30) % 30}
			return e.verify(ctx, o, sheet)
		})
	c.AddCommand(verifySourceCommand(e))
	c.Flags().StringVar(&depth, "depth", "full", "quick, rolling, sample or full")
	c.Flags().IntVar(&o.Samples, "samples", 299, "records to draw; 299 find 1 % of damage in 95 of 100 times, 2995 find 0.1 %")
	c.Flags().IntVar(&slice, "day", time.Now().YearDay()%30, "for rolling: which thirtieth (0-29)")
	c.Flags().StringVar(&sheet, "sheet", "", "file with the recovery key, instead of the passphrase")
	return c
}

func (e *env) verify(ctx context.Context, o verify.Options, sheet string) error {
	switch o.Depth {
	case verify.Quick, verify.Rolling, verify.Sample, verify.Full:
	default:
		return usage("--depth must be quick, rolling, sample or full")
	}
	a := access{doing: "verify", key: o.Depth == verify.Full || o.Depth == verify.Sample, sheet: sheet}
	return e.withMirror(ctx, a, func(ctx context.Context, _ config.Settings, m *store.Mirror) error {
		r, err := verify.Run(ctx, m, o)
		if err != nil {
			return err
		}
		if err := m.Journal(store.Event{Code: "verify." + string(o.Depth), Account: "owner", Count: len(r.Damage)}); err != nil {
			return err
		}
		_, err = m.Record(ctx, store.RunSpec{Kind: "verify"}, verdictOfCheck(r), r)
		if err != nil && !errors.Is(err, store.ErrBusy) && !errors.Is(err, store.ErrFull) {
			return err // a check that is not in the list of runs is none
		}
		if e.json {
			if err := e.printJSON(r); err != nil {
				return err
			}
		} else {
			e.printVerify(r)
		}
		if !r.Good() {
			return quiet(exitDamage)
		}
		return nil
	})
}

func (e *env) printVerify(r verify.Result) {
	e.printf("Checked at depth %s: %d files", r.Depth, r.Files)
	if r.Records > 0 {
		e.printf(", %d records", r.Records)
	}
	if r.Plain > 0 {
		e.printf(", %d MB of records", r.Plain>>20)
	}
	e.printf(", in %d ms.\n", r.Took.Milliseconds())
	for _, d := range r.Damage {
		e.printf("DAMAGE  %s: %s\n", d.File, d.What)
	}
	if r.Harm != nil && r.Harm.Words() != "" {
		e.printf("%s\n", r.Harm.Words())
	}
	e.printLost(r)
	if r.Good() {
		e.printf("Nothing is wrong. ")
	} else {
		e.printf("Everything that is not named above is good. Keep the damaged files; do not delete anything.\nNext: chartcellar repair\n")
	}
	e.printf("Not checked: %s\n", r.NotChecked)
	if r.Root != "" {
		e.printf("Short root: %s\n", r.Root)
	}
}

// printLost names what was declared lost.
func (e *env) printLost(r verify.Result) {
	for _, l := range r.Lost {
		e.printf("LOST    %s: declared lost on %s (run %d)\n", l.File, l.At.Local().Format("2006-01-02"), l.Run)
	}
	if r.LostHarm != nil && r.LostHarm.Words() != "" {
		e.printf("%s\n", r.LostHarm.Words())
		if len(r.LostHarm.Newest) > 0 {
			e.printf("What the EMR still has of it comes back with the next full pull; the rest stays lost.\n")
		}
	}
}
