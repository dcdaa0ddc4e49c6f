package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/verify"
)

// A repairOrder is what a person asked for.
type repairOrder struct {
	from   []string
	deep   bool
	dryRun bool
}

func repairCommand(e *env) *cobra.Command {
	var o repairOrder
	c := command("repair", "Mend what is damaged or missing in the mirror from a second copy",
		`repair looks at the size of every file of the mirror, reads the newest, the thirtieth
of today and all that a verification named before (--deep: every byte), and puts the
same file from a second copy, or from the quarantine, in the place of each that is
missing or damaged: only if it is that file byte for byte, by the SHA-256 that was signed.
The damaged file is kept in the folder quarantine. It needs no passphrase.

For what no copy has it says which records of how many patients and which days are
concerned. Exit code 13 if damage remains.`, cobra.NoArgs, func(ctx context.Context, _ []string) error {
			return e.repair(ctx, o)
		})
	f := c.Flags()
	f.StringSliceVar(&o.from, "from", nil, "a second copy by its name in the settings, or a folder with one; several may be given (default: all of the settings)")
	f.BoolVar(&o.deep, "deep", false, "read every byte first, which takes as long as a full verification")
	f.BoolVar(&o.dryRun, "dry-run", false, "only say what is wrong and from where it would be mended")
	return c
}

// A mending is what became of one file.
type mending struct {
	File string `json:"file"`
	What string `json:"what"` // missing, damaged
	// From is where the file came from, or would come from in a dry run; "" if no place
	// has it. Tried says why each place did not give it.
	From  string   `json:"from"`
	Tried []string `json:"tried,omitempty"`
}

// A repairReport is what a repair came to.
type repairReport struct {
	DryRun bool        `json:"dryRun"`
	Deep   bool        `json:"deep"`
	Files  []mending   `json:"files"`
	Left   int         `json:"left"`           // that are still damaged or missing
	Harm   *store.Harm `json:"harm,omitempty"` // what those come to
}

func (e *env) repair(ctx context.Context, o repairOrder) error {
	return e.withMirror(ctx, access{doing: "repair", write: true}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		rep, err := e.mendAll(ctx, s, m, o)
		if err != nil {
			return err
		}
		if e.json {
			err = e.printJSON(rep)
		} else {
			e.printRepair(rep)
		}
		if err == nil && rep.Left > 0 {
			return quiet(exitDamage)
		}
		return err
	})
}

// mendAll looks for what is broken and mends what it can.
func (e *env) mendAll(ctx context.Context, s config.Settings, m *store.Mirror, o repairOrder) (repairReport, error) {
	rep := repairReport{DryRun: o.dryRun, Deep: o.deep, Files: []mending{}}
	givers, err := e.givers(ctx, s, m, o.from)
	for _, g := range givers {
		defer g.close()
	}
	if err != nil {
		return rep, err
	}
	read, err := e.suspects(m, o.deep)
	if err != nil {
		return rep, err
	}
	broken, err := m.Broken(ctx, read)
	if err != nil {
		return rep, err
	}
	var left []string
	for _, b := range broken {
		one, err := mend(ctx, m, b, givers, o.dryRun)
		if err != nil {
			return rep, err
		}
		rep.Files = append(rep.Files, one)
		if one.From == "" || o.dryRun {
			left = append(left, b.Name)
		}
	}
	if rep.Left = len(left); rep.Left > 0 {
		h, err := m.Harm(ctx, left)
		rep.Harm = &h
		return rep, err
	}
	return rep, nil
}

// suspects says of which parts every byte is read: the newest, those of today's
// thirtieth, and those that a verification named; nil for all.
func (e *env) suspects(m *store.Mirror, deep bool) (func(index.Part) bool, error) {
	if deep {
		return nil, nil
	}
	parts, err := m.Parts()
	if err != nil {
		return nil, err
	}
	named, err := namedDamage(m)
	day := e.now().YearDay() % 30
	return func(p index.Part) bool {
		return int(p.Number)%30 == day || int(p.Number) == len(parts) || named[verify.PartName(p.Number)] ||
			slices.ContainsFunc(p.Files, func(f index.File) bool { return named[f.Name] })
	}, err
}

// namedDamage are the files that the verifications of the last 100 days called
// damaged.
func namedDamage(m *store.Mirror) (map[string]bool, error) {
	runs, err := m.Runs()
	named := map[string]bool{}
	for _, r := range runs {
		if r.Kind != "verify" || r.Verdict == verifiedGood || time.Since(r.Ended) > 100*24*time.Hour {
			continue
		}
		for _, d := range resultOf(m, r).Damage {
			named[d.File] = true
		}
	}
	return named, err
}

// mend mends one file from the first place that has it. The error is one of the
// mirror: it could not be written.
func mend(ctx context.Context, m *store.Mirror, b store.Broken, givers []*giver, dryRun bool) (mending, error) {
	one := mending{File: b.Name, What: "damaged"}
	if b.Missing {
		one.What = "missing"
	}
	for _, g := range givers {
		var ours error
		err := g.each(ctx, b.Name, func(r io.Reader) error {
			if dryRun {
				return is(b.SealedFile, r)
			}
			from := &reader{r: r}
			err := m.Repair(ctx, b.Name, g.name, from)
			if err != nil && from.err == nil && !errors.Is(err, store.ErrOtherBytes) {
				ours = err
			}
			return err
		})
		switch {
		case ours != nil || ctx.Err() != nil:
			return one, errors.Join(ours, ctx.Err())
		case err == nil:
			one.From = g.name
			return one, nil
		}
		one.Tried = append(one.Tried, g.name+": "+whyNot(err))
	}
	if dryRun {
		return one, nil
	}
	there, err := m.RepairFromQuarantine(ctx, b.Name)
	if there {
		one.From = "the quarantine"
	}
	return one, err
}

// A reader notes that the place it reads from failed.
type reader struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

func whyNot(err error) string {
	switch {
	case errors.Is(err, store.ErrOtherBytes):
		return "its file has other bytes"
	case errors.Is(err, fs.ErrNotExist):
		return "it does not have the file"
	}
	return err.Error()
}

func (e *env) printRepair(rep repairReport) {
	if len(rep.Files) == 0 {
		e.printf("Nothing is damaged or missing%s.\n", map[bool]string{
			false: " among what was read; every byte is read with --deep", true: ": every byte was read"}[rep.Deep])
		return
	}
	mended := "mended from "
	if rep.DryRun {
		mended = "would be mended from "
	}
	for _, f := range rep.Files {
		if f.From != "" {
			e.printf("%s: %s, %s%s.\n", f.File, f.What, mended, f.From)
			continue
		}
		e.printf("%s: %s, and nothing has the same file.\n", f.File, f.What)
		for _, why := range f.Tried {
			e.printf("    %s.\n", why)
		}
	}
	e.printf("\n")
	if rep.Left == 0 {
		e.printf("Everything that was damaged or missing is whole again. The damaged files are kept in the folder quarantine.\nNext: chartcellar verify\n")
		return
	}
	e.printf("%s damaged or missing.\n", several(rep.Left, "file is still", "files are still"))
	if words := rep.Harm.Words(); words != "" {
		e.printf("%s\n", words)
	}
	e.printf("Everything else in the mirror is good. Keep the damaged files.\n")
}
