package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
)

func initCommand(e *env) *cobra.Command {
	var o initOptions
	c := command("init", "Make an empty mirror, its keys and the settings file",
		`init makes the folder of the mirror, the box key beside the settings, and a
passphrase for one person, and writes the recovery sheet: print it, put it where
it cannot burn, and delete the files.`, cobra.NoArgs, func(context.Context, []string) error { return e.init(o) })
	f := c.Flags()
	f.StringVar(&o.data, "data", "", "folder of the mirror (must be empty or new)")
	f.StringVar(&o.practice, "practice", "My practice", "name of the practice, for the sheet")
	f.StringVar(&o.person, "person", "doctor", "whose passphrase it is")
	f.StringVar(&o.keyFile, "key-file", "", "write the office key in clear to this file instead of using a passphrase")
	f.StringVar(&o.sheet, "sheet", "", "where the recovery sheet goes (default: beside the settings)")
	f.Int64Var(&o.reserve, "reserve-mb", 0, "megabytes of the disk that stay free (0: 2048 or a twentieth)")
	return c
}

type initOptions struct {
	data, practice, person, keyFile, sheet string
	reserve                                int64
}

func (e *env) init(o initOptions) error {
	if o.data == "" {
		return usage("say where the mirror goes: --data FOLDER")
	}
	n, err := e.plan(o)
	if err != nil {
		return err
	}
	done, err := n.finishOld()
	if err != nil || done {
		return n.end(err)
	}
	if err := n.free(); err != nil {
		return err
	}
	io := store.InitOptions{Dir: n.s.Data, Practice: o.practice, FS: n.fs, Keep: n.keep}
	if o.keyFile == "" {
		password, err := e.newPassphrase()
		if err != nil {
			return err
		}
		io.Passwords = map[string]string{o.person: password}
	}
	if io.Box, err = makeBox(n.fs, n.s.BoxKey); err != nil {
		return err
	}
	if _, err := store.Init(io); err != nil {
		return err
	}
	return n.end(n.finish())
}

// A newOffice is what init writes outside the data folder. Sheet, key file and
// settings lie durably under temporary names before the mirror is one, and get
// their names after it: so there is no moment at which a mirror has no sheet, and
// what a broken-off init left is known by its name.
type newOffice struct {
	e     *env
	fs    disk.FS
	path  string // of the settings
	sheet string // without .txt and .pdf
	// sealed says that the sheet is written sealed: the first run in the browser shows
	// it to the owner.
	sealed bool
	s      config.Settings
}

func (e *env) plan(o initOptions) (*newOffice, error) {
	path, err := e.settingsPath()
	if err != nil {
		return nil, err
	}
	data, err := filepath.Abs(o.data)
	if err != nil {
		return nil, err
	}
	n := &newOffice{e: e, fs: e.fsys(), path: path, sheet: o.sheet}
	if n.sheet == "" {
		n.sheet = sheetBeside(path)
	}
	if n.sheet, err = filepath.Abs(n.sheet); err != nil {
		return nil, err
	}
	n.s = config.Settings{Practice: o.practice, Data: data, BoxKey: filepath.Join(filepath.Dir(path), "box.key"),
		ReserveMB: o.reserve}
	if o.keyFile != "" {
		if n.s.KeyFile, err = filepath.Abs(o.keyFile); err != nil {
			return nil, err
		}
	}
	if _, err := config.Parse(config.Sample(n.s)); err != nil {
		return nil, usage("the name of the practice, or that of a folder, has characters that cannot stand in the settings; nothing was made yet")
	}
	return n, nil
}

// files are what init writes, in the order in which they get their names: the
// settings are last.
func (n *newOffice) files() []string {
	list := append(n.sheets(), n.path)
	if n.s.KeyFile != "" {
		list = append([]string{n.s.KeyFile}, list...)
	}
	return list
}

// sheets are the files of the sheet.
func (n *newOffice) sheets() []string {
	if n.sealed {
		return []string{n.sheet + ".age"}
	}
	return n.paper().files()
}

func (n *newOffice) paper() printout { return printout{n.fs, n.sheet} }

// free checks that nothing stands where init will write.
func (n *newOffice) free() error {
	there, err := disk.Exists(n.fs, n.path)
	if err != nil {
		return err
	}
	if there {
		return &plainError{Code: exitUsage, What: "There are settings already at " + n.path + ".",
			Next: "For another mirror use another --config. The recovery sheet of this one was written to " + n.sheet + ".pdf, unless --sheet named another place."}
	}
	for _, f := range n.files() {
		there, err := disk.Exists(n.fs, f)
		switch {
		case err != nil:
			return err
		case there:
			return usage("there is a file already at " + f + "; move it away, or choose another place with --sheet or --key-file")
		}
	}
	return nil
}

// keep writes sheet, key file and settings under their temporary names.
func (n *newOffice) keep(made store.NewMirror) error {
	content, err := n.sheetFiles(made)
	if err != nil {
		return err
	}
	content[n.path] = config.Sample(n.s)
	if n.s.KeyFile != "" {
		content[n.s.KeyFile] = []byte(made.Office.String() + "\n")
	}
	for _, f := range n.files() {
		if err := n.fs.Mkdir(filepath.Dir(f)); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		if err := disk.Stage(n.fs, f, content[f]); err != nil {
			return err
		}
	}
	return nil
}

// sheetFiles returns the content of the files of the sheet.
func (n *newOffice) sheetFiles(made store.NewMirror) (map[string][]byte, error) {
	if n.sealed {
		b, err := sealSheet(made)
		return map[string][]byte{n.sheets()[0]: b}, err
	}
	return n.paper().content(made.Sheet)
}

// finish gives the files their names, as far as they have not got them.
func (n *newOffice) finish() error {
	return commitStaged(n.fs, n.files())
}

// finishOld finishes an init that was broken off when the mirror was one already.
func (n *newOffice) finishOld() (done bool, err error) {
	b, err := disk.ReadFile(n.fs, n.path+disk.TempSuffix, 1<<20)
	if err != nil {
		return false, nil // none was broken off so late
	}
	old, err := config.Parse(b)
	if err != nil {
		return false, nil // half written: long before there was a mirror
	}
	made, err := store.IsMirror(n.fs, old.Data)
	if err != nil || !made {
		return false, err
	}
	if old.Data != n.s.Data {
		return false, usage("an init of " + old.Data + " was broken off; finish it first with --data " + old.Data)
	}
	n.s = old
	last := n.sheets()[len(n.sheets())-1]
	for _, f := range []string{last, last + disk.TempSuffix} {
		there, err := disk.Exists(n.fs, f)
		if err != nil {
			return false, err
		}
		if there {
			return true, n.finish()
		}
	}
	return false, usage("the mirror in " + old.Data + " is made, and its recovery sheet went to another place; run init again with the --sheet of the first time")
}

// end tells what was made and what to do now, unless it went wrong.
func (n *newOffice) end(err error) error {
	if err != nil {
		return err
	}
	e := n.e
	e.printf("The mirror is made: %s\nThe settings are at: %s\n", n.s.Data, n.path)
	e.printf("\nRECOVERY SHEET: print %s.pdf, put it in a safe, then delete\n%s.pdf and %s.txt.\n", n.sheet, n.sheet, n.sheet)
	e.printf("Without it and without a passphrase nobody can open the records, not even we.\n")
	if n.s.KeyFile != "" {
		e.printf("\nWARNING: the office key lies in clear in %s.\nWhoever steals this computer can read every record.\n", n.s.KeyFile)
	}
	e.printf("\nNext: connect the EMR:  chartcellar connect NAME --base https://...\n")
	return nil
}

// newPassphrase asks for a passphrase, twice on a terminal.
func (e *env) newPassphrase() (string, error) {
	p, err := e.askSecret("CHARTCELLAR_PASSPHRASE", fmt.Sprintf("New passphrase (at least %d characters)", keys.MinPassword))
	if err != nil || !e.AskTerminal || e.Getenv("CHARTCELLAR_PASSPHRASE") != "" {
		return p, err
	}
	again, err := e.askSecret("CHARTCELLAR_PASSPHRASE", "The same again")
	if err == nil && again != p {
		return "", usage("the two passphrases are not the same")
	}
	return p, err
}

// makeBox writes a new box key, or uses the one that a broken-off init left.
func makeBox(fsys disk.FS, path string) (*keys.Box, error) {
	b, err := disk.ReadFile(fsys, path, 1<<20)
	if err == nil {
		return keys.ParseBox(b)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the box key: %w", err)
	}
	box, err := keys.NewBox()
	if err != nil {
		return nil, err
	}
	if err := fsys.Mkdir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	return box, disk.WriteFile(fsys, path, box.Marshal())
}

// writePrivate writes a file that only this user reads; it replaces none.
func writePrivate(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
