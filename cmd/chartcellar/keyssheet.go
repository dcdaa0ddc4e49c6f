package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/keys"
)

func keysSheetCommand(e *env) *cobra.Command {
	to := ""
	c := &cobra.Command{Use: "sheet", Short: "Make a new recovery sheet, when the old one is lost or was seen",
		Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	n := command("new", "Make a new recovery key and its sheet; the old one is no longer taken",
		`new makes another recovery key and writes its sheet, to be printed. It needs a passphrase
that opens the mirror. The new sheet opens everything; chartcellar takes the old one no
longer.

That is enough when the old paper is lost for good. Whoever has it can still decrypt, by
hand, this folder and every second copy, also what comes: the first statement of the mirror
gives the office key to it. If it may be in wrong hands, go on with:
chartcellar keys rekey --to FOLDER

After a power cut run it again: either the old sheet is in force, or the new one, which
lies there. Give the same --new-sheet as the first time.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.keysSheetNew(ctx, to) })
	n.Flags().StringVar(&to, "new-sheet", "", "where the sheet goes, without its ending (default: beside the settings, with its number)")
	c.AddCommand(n)
	return c
}

func (e *env) keysSheetNew(ctx context.Context, to string) error {
	return e.withMirror(ctx, access{doing: "keys sheet new", write: true, key: true}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		path, err := e.settingsPath()
		if err != nil {
			return err
		}
		if _, err := os.Stat(sealedSheet(path)); err == nil {
			return &plainError{exitUsage, "The recovery sheet of the setup is not on paper yet.", nothingLost,
				"End the setup on the pages first: its second step shows that sheet."}
		}
		p, err := e.sheetPaper(to, m.Statement().Number)
		if err != nil {
			return err
		}
		if id := p.staged(); id != nil && id.Recipient().String() == recoveryOf(m) {
			return e.newSheetMade(p, m) // a crash came between
		}
		if err := m.Journal(store.Event{Code: "keys.sheet.new", Account: "owner"}); err != nil {
			return err
		}
		_, err = m.NewSheet(s.Practice, func(sheet keys.Sheet, number int) (err error) {
			if p, err = e.sheetPaper(to, number); err != nil {
				return err
			}
			return p.stage(sheet)
		})
		if err != nil {
			return err
		}
		return e.newSheetMade(p, m)
	})
}

// sheetPaper is where the sheet of a statement goes.
func (e *env) sheetPaper(to string, number int) (printout, error) {
	path, err := e.settingsPath()
	if err != nil {
		return printout{}, err
	}
	if to == "" {
		return printout{e.fsys(), fmt.Sprintf("%s-%d", sheetBeside(path), number)}, nil
	}
	to, err = e.abs(to)
	return printout{e.fsys(), to}, err
}

// newSheetMade gives the files of the sheet in force their names, and says what to do.
func (e *env) newSheetMade(p printout, m *store.Mirror) error {
	if err := commitStaged(p.fs, p.files()); err != nil {
		return err
	}
	if err := e.changed(m, notice{code: "keys.sheet.new", by: "owner"}); err != nil {
		return err
	}
	st := m.Statement()
	e.printf("A new recovery key is in force (statement %d of %s).\n", st.Number, st.Created.Local().Format(time.DateTime))
	e.tellSheet(p)
	e.printf("\nThe old sheet is no longer taken. But whoever has that paper can still decrypt by hand what is here\n")
	e.printf("and in second copies, old and new. If it may be in wrong hands: chartcellar keys rekey --to FOLDER\n")
	e.printf("A second copy knows the new sheet once it is brought up to date.\n")
	return nil
}

// tellSheet says what to do with a new sheet.
func (e *env) tellSheet(p printout) {
	e.printf("\nRECOVERY SHEET: print %s.pdf, put it in a safe, then delete\n%s.pdf and %s.txt.\n", p.name, p.name, p.name)
	e.printf("Then type its lines into a file and prove it: chartcellar keys check-sheet FILE\n")
}
