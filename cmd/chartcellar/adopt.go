package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
)

func adoptCommand(e *env) *cobra.Command {
	var o adoptOptions
	c := command("adopt", "Make a restored copy the office copy of this computer",
		`adopt is for the day after the office's computer was lost: a copy was restored to a
folder of this computer, and from now on that folder is the office copy. It makes the keys
of this computer and a passphrase (CHARTCELLAR_PASSPHRASE), takes the settings that lie in
the copy, signed by the office, and makes the index. No record is changed, and cursors are
kept. If it is broken off, run it again.

From then on the old computer's copy is another one: whoever has it cannot go on with
yours. Accounts of the pages are made anew, and no copy holds what this computer signs in
to the EMR with: adopt says what to do next.

FILE is the whole text of the recovery sheet, or its key as you typed it. Then give also
the first line below "SHA-256 of mirror/000001.json" on the sheet with --statement:
the key alone cannot tell your copy from one that somebody made up for it.`,
		cobra.NoArgs, func(ctx context.Context, _ []string) error { return e.adopt(ctx, o) })
	f := c.Flags()
	f.StringVar(&o.data, "data", "", "folder with the restored copy; it must be on a disk of this computer")
	f.StringVar(&o.sheet, "sheet", "", "file with the recovery sheet, or with its key as you typed it")
	f.StringVar(&o.statement, "statement", "", "first line below \"SHA-256 of mirror/000001.json\" on the sheet, if only the key was typed")
	f.StringVar(&o.person, "person", "doctor", "whose passphrase it is")
	return c
}

type adoptOptions struct{ data, sheet, statement, person string }

// An adoption is a copy on its way to becoming the office copy.
type adoption struct {
	e      *env
	dir    string
	path   string // of the settings
	key    *age.X25519Identity
	first  string // SHA-256 of mirror/000001.json, compared with the sheet
	boxKey string
	// Settings are what is written; nil: an adopt that was broken off has written them.
	settings []byte
	from     string // where they come from, in words
}

func (e *env) adopt(ctx context.Context, o adoptOptions) error {
	if o.data == "" || o.sheet == "" {
		return usage("say which folder, and where the recovery sheet is: --data FOLDER --sheet FILE")
	}
	if !plainPerson(o.person) {
		return usage("--person must be a plain name")
	}
	a, err := e.planAdoption(o)
	if err != nil {
		return err
	}
	so := store.AdoptOptions{Dir: a.dir, FS: e.disk, Now: e.clock, Recovery: a.key, First: a.first, Doing: "adopt", Passwords: map[string]string{}}
	if so.Passwords[o.person], err = e.newPassphrase(); err != nil {
		return err
	}
	if so.Box, err = makeBox(e.fsys(), a.boxKey); err != nil {
		return err
	}
	if a.settings != nil {
		if err := disk.Stage(e.fsys(), a.path, a.settings); err != nil {
			return err
		}
	}
	made, err := store.Adopt(ctx, so)
	if err != nil {
		return adoptWords(err)
	}
	if a.settings != nil {
		if err := disk.Commit(e.fsys(), a.path+disk.TempSuffix, a.path); err != nil {
			return err
		}
	}
	return a.end(ctx, o.person, made)
}

func plainPerson(name string) bool {
	return name != "" && name == filepath.Base(name) && name[0] != '.'
}

// planAdoption reads the sheet and the settings, and changes nothing.
func (e *env) planAdoption(o adoptOptions) (*adoption, error) {
	a := &adoption{e: e}
	var err error
	if a.path, err = e.settingsPath(); err != nil {
		return nil, err
	}
	if a.dir, err = e.abs(o.data); err != nil {
		return nil, err
	}
	text, err := e.sheetFile(o.sheet)
	if err != nil {
		return nil, err
	}
	if a.key, err = keys.ParseSheet(sheetKey(text)); err != nil {
		return nil, err
	}
	if err := a.compare(text, o.statement); err != nil {
		return nil, err
	}
	a.boxKey = filepath.Join(filepath.Dir(a.path), "box.key")
	old, err := os.ReadFile(a.path)
	if errors.Is(err, os.ErrNotExist) {
		return a, a.plan(text)
	}
	if err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	s, err := config.Parse(old)
	if err != nil || s.Data != a.dir {
		return nil, &plainError{Code: exitUsage, What: "There are settings already at " + a.path + ".",
			Next: "Name another place for those of the restored copy with --config, or move these away."}
	}
	a.boxKey = s.BoxKey
	return a, nil
}

// compare compares the copy with the sheet.
func (a *adoption) compare(text, statement string) error {
	file, err := disk.ReadFile(a.e.fsys(), filepath.Join(a.dir, "mirror", "000001.json"), 1<<20)
	if errors.Is(err, os.ErrNotExist) {
		return noCopy(a.dir)
	}
	if err != nil {
		return fmt.Errorf("read the copy: %w", err)
	}
	a.first = keys.Hash(file)
	statement = strings.ToLower(strings.Join(strings.Fields(statement), ""))
	whole := strings.Contains(text, sheetHashLine)
	switch {
	case whole && !fitsSheet(text, a.first), statement != "" && !strings.HasPrefix(a.first, statement):
		return fmt.Errorf("compare the copy with the sheet: %w", keys.ErrForged)
	case !whole && len(statement) < 32:
		return usage("the key alone does not say whose copy this is: give also the first line below \"" + sheetHashLine +
			"\" on the sheet (32 characters) with --statement")
	}
	return nil
}

// plan makes the settings of this computer from those in the copy.
func (a *adoption) plan(sheet string) error {
	k, err := store.NewestSettings(store.Options{Dir: a.dir, FS: a.e.disk, Identity: a.key})
	switch {
	case errors.Is(err, store.ErrNotFound):
		a.from = "The copy holds no settings: these are new, and name no EMR."
	case errors.Is(err, store.ErrDamaged):
		a.from = "WARNING: the newest settings in the copy are damaged, or not signed by the office, and were not used.\nThese are new, and name no EMR."
	case err != nil:
		return err
	default:
		if a.settings, err = here(k.Text, a.dir, a.boxKey); err == nil {
			a.from = fmt.Sprintf("They come from the copy, signed by the office on %s.", k.At.Local().Format("2006-01-02 15:04"))
			return nil
		}
		a.from = "WARNING: the settings in the copy cannot be used here: " + err.Error() + ".\nThese are new, and name no EMR."
	}
	a.settings = config.Sample(config.Settings{Practice: orElse(practiceOf(sheet), "My practice"), Data: a.dir, BoxKey: a.boxKey})
	_, err = config.Parse(a.settings)
	return err
}

// here returns settings with the places of this computer.
func here(text []byte, dir, boxKey string) ([]byte, error) {
	edits := []config.Edit{{Key: "data", Value: dir}, {Key: "box_key", Value: boxKey}}
	s, err := config.Parse(text)
	if err != nil {
		return nil, err
	}
	if s.KeyFile != "" { // no copy holds that key: a passphrase opens the records now
		edits = append(edits, config.Edit{Key: "key_file", Value: ""})
	}
	return config.Apply(text, edits...)
}

// practiceOf is the practice's name on a whole sheet; "" else.
func practiceOf(sheet string) string {
	first, _, _ := strings.Cut(sheet, "\n")
	name, ok := strings.CutPrefix(strings.TrimSpace(first), "RECOVERY SHEET - ")
	if !ok {
		return ""
	}
	return name
}

// adoptWords say why a folder cannot be adopted.
func adoptWords(err error) error {
	const nothing = "Nothing was changed."
	switch {
	case errors.Is(err, store.ErrOtherSheet):
		return &plainError{exitLocked, "This recovery sheet is of another office copy.", nothing, "Take the sheet that was printed for this one."}
	case errors.Is(err, store.ErrOfABox):
		return &plainError{exitUsage, "This folder is the office copy of a computer, and no restored one.", nothing,
			"If that computer is gone, copy the folders mirror, parts, attachments, holdings, checkpoints and settings to an empty folder, and adopt that."}
	case errors.Is(err, store.ErrInUse):
		return &plainError{exitUsage, "This folder is the office copy of this computer already.", nothing, "See: chartcellar status"}
	case errors.Is(err, store.ErrDamaged):
		return &plainError{exitDamage, "What the office signed is not here as it was: " + cause(err) + ".",
			"What is here can be read: chartcellar serve --read-only FOLDER --sheet FILE", "Restore it again, from another copy if there is one; then adopt that."}
	}
	return err
}

// end opens the office copy, and tells what was made and what to do now.
func (a *adoption) end(ctx context.Context, person string, made store.Adopted) error {
	return a.e.withMirror(ctx, access{doing: "adopt", write: true}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		if err := m.Journal(store.Event{Code: "mirror.adopt", Account: person, Count: made.Statement.Epoch}); err != nil {
			return err
		}
		if err := a.e.keepSettings(m, person); err != nil {
			return err
		}
		st, err := gather(s, m)
		if err != nil {
			return err
		}
		a.tell(st, made)
		return a.next(s, m)
	})
}

// tell says what the copy is now.
func (a *adoption) tell(st status, made store.Adopted) {
	e := a.e
	e.printf("This is the office copy now: %s\n%d records of %d patients. It is the copy's epoch %d.\n", a.dir, st.Records, st.Patients, made.Statement.Epoch)
	if n := len(made.Aside); n > 0 {
		e.printf("%s that the office had not signed: moved to the folder quarantine. What they hold comes again from the EMR.\n", several(n, "file", "files"))
	}
	for _, p := range st.Problems {
		e.printf("PROBLEM: %s\n", p)
	}
	e.printf("The recovery sheet stays good. The log key on it signs what came before; the new one is\n%s\n\n", made.Statement.LogKey)
}

// next says what the settings name, and what to do now.
func (a *adoption) next(s config.Settings, m *store.Mirror) error {
	e := a.e
	e.printf("The settings are at: %s\n", a.path)
	if a.from != "" {
		e.printf("%s\n", a.from)
	}
	for _, src := range s.Sources {
		e.printf("  EMR %-12s %s\n", src.Name, src.Base)
	}
	for _, c := range s.Copies {
		e.printf("  copy %-11s %s\n", c.Name, c.Folder+c.SFTP+c.S3)
	}
	for _, h := range s.Holdings {
		e.printf("  files %-10s %s\n", h.Name, whereOfHolding(h))
	}
	for _, file := range absent(s) {
		e.printf("NOT ON THIS COMPUTER: %s. Put it there, or change that setting.\n", file)
	}
	e.printf("\nNEXT\n")
	if len(s.Sources) == 0 {
		e.printf("  Connect the EMR, under the name that it had:  chartcellar connect NAME --base https://...\n")
	}
	for _, src := range s.Sources {
		gone, err := signInGone(m, src)
		if err != nil {
			return err
		}
		if gone {
			e.printf("  Sign in to %s again:  %s\n", src.Name, renewCall(src.Name))
		}
	}
	for _, c := range s.Copies {
		if !c.Office() {
			e.printf("  Sign in to the second copy %s again:  chartcellar copy renew %s\n", c.Name, c.Name)
		}
	}
	for _, h := range s.Holdings {
		if h.SFTP != "" {
			e.printf("  Sign in to the server with the files of %s again:  %s\n", h.Name, renewCall(h.Name))
		}
	}
	e.printf("  Then bring it up to date:  chartcellar sync\n  Start it for good, and make the first account:  chartcellar serve, chartcellar accounts code\n")
	e.printf("If the old computer comes back, do not start it: wipe it, or keep it off the network.\n")
	return nil
}

// absent names the files of the settings that are not on this computer.
func absent(s config.Settings) (list []string) {
	files := [][2]string{{"tls_cert", s.TLSCert}, {"tls_key", s.TLSKey}}
	for _, src := range s.Sources {
		files = append(files, [2]string{"ca of " + src.Name, src.CA})
	}
	for _, f := range files {
		if f[1] == "" {
			continue
		}
		if _, err := os.Stat(f[1]); errors.Is(err, os.ErrNotExist) {
			list = append(list, fmt.Sprintf("%s (%s)", f[1], f[0]))
		}
	}
	return list
}
