package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/chart"
	"chartcellar/store/index"
	"chartcellar/store/verify"
)

// A repairOrder is what a person asked for.
type repairOrder struct {
	from   []string
	deep   bool
	dryRun bool
	unlock bool   // names are told, and what was lost may come back
	sheet  string // file with the recovery key, instead of the passphrase
	lost   string // the word that confirms what is declared lost; askLost: which is it?
}

// askLost is --declare-lost without a word.
const askLost = "?"

func repairCommand(e *env) *cobra.Command {
	var o repairOrder
	c := command("repair", "Mend what is damaged or missing in the mirror from a second copy",
		`repair looks at the size of every file of the mirror, reads the newest, the thirtieth
of today and all that a verification named before (--deep: every byte), and puts the
same file from a second copy, or from the quarantine, in the place of each that is
missing or damaged: only if it is that file byte for byte, by the SHA-256 that was signed.
The damaged file is kept in the folder quarantine. It needs no passphrase; with --unlock
it names the patients, and takes back what was declared lost if a copy has it after all.

For what no copy has it says which records of how many patients and which days are
concerned. When no other copy can be found, --declare-lost shows the word that confirms
it, and --declare-lost=WORD states for ever that these files are lost: nothing fails
for them any more, every verification names them, and the next pull is a full one, which
brings again what the EMR still has. Exit code 13 if damage remains.`, cobra.NoArgs, func(ctx context.Context, _ []string) error {
			return e.repair(ctx, o)
		})
	f := c.Flags()
	f.StringSliceVar(&o.from, "from", nil, "a second copy by its name in the settings, or a folder with one; several may be given (default: all of the settings)")
	f.BoolVar(&o.deep, "deep", false, "read every byte first, which takes as long as a full verification")
	f.BoolVar(&o.unlock, "unlock", false, "ask for the passphrase, name the patients concerned, and take back what was declared lost")
	f.StringVar(&o.sheet, "sheet", "", "file with the recovery key, instead of the passphrase; as --unlock")
	f.StringVar(&o.lost, "declare-lost", "", "state that what no copy has is lost; without =WORD it shows the word that confirms it")
	f.Lookup("declare-lost").NoOptDefVal = askLost
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
	// Patients are those concerned, if it was unlocked.
	Patients []string `json:"patients,omitempty"`
	// Lost are the files that were declared lost now; Confirm is the word that would
	// declare those that are left so.
	Lost    []string `json:"lost,omitempty"`
	Confirm string   `json:"confirm,omitempty"`

	left  []string
	named bool // Patients was asked for
}

func (e *env) repair(ctx context.Context, o repairOrder) error {
	if o.dryRun && o.lost != "" {
		return usage("--dry-run declares nothing lost: use it without --declare-lost")
	}
	o.unlock = o.unlock || o.sheet != ""
	a := access{doing: "repair", write: true, key: o.unlock, sheet: o.sheet}
	opened := false
	err := e.withMirror(ctx, a, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		opened = true
		rep, err := e.mendAll(ctx, s, m, o)
		if err == nil && rep.Left > 0 {
			err = e.rest(ctx, s, m, o, &rep)
		}
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
	if opened || !unopened(err) {
		return err
	}
	return e.rescue(ctx, o, err)
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
	for _, b := range broken {
		one, err := mend(ctx, m, b, givers, o.dryRun)
		if err != nil {
			return rep, err
		}
		rep.Files = append(rep.Files, one)
		if one.From == "" || o.dryRun {
			rep.left = append(rep.left, b.Name)
		}
	}
	rep.Left = len(rep.left)
	if !o.unlock || o.dryRun {
		return rep, nil
	}
	lost, err := m.Lost()
	for _, l := range lost {
		if l.Again {
			continue
		}
		one, merr := mend(ctx, m, store.Broken{SealedFile: store.SealedFile{Name: l.File}, Missing: true}, givers, false)
		if err = errors.Join(err, merr); merr == nil && one.From != "" {
			one.What = "declared lost"
			rep.Files = append(rep.Files, one)
		}
	}
	return rep, err
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

// A mender is a mirror, or the folder of one that cannot be opened.
type mender interface {
	Repair(ctx context.Context, name, by string, from io.Reader) error
	RepairFromQuarantine(ctx context.Context, name string) (bool, error)
	SignAgain(ctx context.Context, name string) (bool, error)
}

// mend mends one file from the first place that has it. The error is one of the
// mirror: it could not be written.
func mend(ctx context.Context, m mender, b store.Broken, givers []*giver, dryRun bool) (mending, error) {
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
	if there || err != nil {
		one.From = "the quarantine"
		return one, err
	}
	there, err = m.SignAgain(ctx, b.Name)
	if there {
		one.From = "the log itself, signed again"
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

// rest says what comes of that which nothing has, and declares it lost if a person has
// confirmed exactly this.
func (e *env) rest(ctx context.Context, s config.Settings, m *store.Mirror, o repairOrder, rep *repairReport) error {
	h, err := m.Harm(ctx, rep.left)
	if err != nil {
		return err
	}
	rep.Harm = &h
	if rep.named = o.unlock; rep.named {
		if rep.Patients, err = e.harmedPatients(ctx, s, m, h); err != nil {
			return err
		}
	}
	losable := slices.DeleteFunc(slices.Clone(rep.left), func(f string) bool { return strings.HasPrefix(f, "checkpoints/") })
	if o.lost == "" || len(losable) == 0 {
		return nil
	}
	sum := sha256.Sum256([]byte(strings.Join(losable, "\n")))
	rep.Confirm = hex.EncodeToString(sum[:4])
	switch o.lost {
	case askLost:
		return nil
	case rep.Confirm:
		err := m.DeclareLost(ctx, "owner", losable...)
		rep.Lost, rep.Left, rep.Confirm = losable, rep.Left-len(losable), ""
		return err
	}
	return &plainError{exitUsage, "This word does not fit what is damaged now: other files than before are.",
		"Nothing was declared lost.", "See what would be, and the word for it: chartcellar repair --declare-lost"}
}

// harmedPatients are the names of the patients concerned, once the journal has it.
func (e *env) harmedPatients(ctx context.Context, s config.Settings, m *store.Mirror, h store.Harm) ([]string, error) {
	if err := m.Journal(store.Event{Code: "repair.view", Account: "owner", Count: h.Patients}); err != nil {
		return nil, err
	}
	snap, err := m.Now()
	if err != nil {
		return nil, err
	}
	var list []string
	for _, src := range s.Sources {
		r := &charts.Reading{M: m, Snap: snap, Source: src.Name, Base: src.Base}
		err := r.EachPatient(ctx, func(en *chart.Entry) bool { return h.Has(m, src.Name, en.ID) }, func(en chart.Entry) {
			list = append(list, strings.TrimSpace(en.Name+" "+en.Born)+" ("+en.ID+")")
		})
		if err != nil && !errors.Is(err, store.ErrDamaged) {
			return nil, err
		}
	}
	slices.Sort(list)
	return list, nil
}
