package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
	"chartcellar/store/verify"
)

func keysRekeyCommand(e *env) *cobra.Command {
	var o rekeyOptions
	c := command("rekey", "Give the whole office copy new keys, in a new folder",
		`rekey makes new keys and a new recovery sheet, and encrypts every file of the office copy
again, into a new folder. What is inside stays byte for byte, and so do the signed roots.
The new folder is verified in full; only then the settings name it. The old folder is not
changed: destroy it with chartcellar wipe when you need it no longer.

It asks for a passphrase that opens the office copy now, and that person keeps it; everybody
else gets a new one. With --sheet FILE instead (all passphrases forgotten) it asks for a new
passphrase (CHARTCELLAR_NEW_PASSPHRASE).

It needs "chartcellar serve" stopped, and room for a second office copy. Broken off, run it
again with the same words: it goes on.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.keysRekey(ctx, o) })
	c.Flags().StringVar(&o.to, "to", "", "the new folder (empty, or the one in which it was broken off)")
	c.Flags().StringVar(&o.sheet, "sheet", "", "file with the recovery key, instead of a passphrase")
	c.Flags().StringVar(&o.person, "person", "doctor", "with --sheet: whose new passphrase it is")
	c.Flags().StringVar(&o.paper, "new-sheet", "", "where the new sheet goes, without its ending (default: beside the settings, with its number)")
	return c
}

type rekeyOptions struct{ to, sheet, person, paper string }

// A rekeying is new keys for a mirror under way.
type rekeying struct {
	rekeyOptions
	e       *env
	s       config.Settings
	m       *store.Mirror     // the old one
	people  map[string]string // who has which passphrase of the new one
	keyFile string            // the new one; "" where there is none
	sheets  printout
	shown   int64 // per cent that were told
}

func (e *env) keysRekey(ctx context.Context, o rekeyOptions) error {
	if o.to == "" {
		return usage("say where the office copy with the new keys goes: --to FOLDER")
	}
	if !plainPerson(o.person) {
		return usage("--person must be a plain name")
	}
	a := access{doing: "keys rekey", write: true, alone: true, key: true, sheet: o.sheet}
	return e.withMirror(ctx, a, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		k := &rekeying{rekeyOptions: o, e: e, s: s, m: m, shown: -1}
		if err := k.plan(); err != nil {
			return err
		}
		made, err := m.Rekey(ctx, store.RekeyOptions{Dir: k.to, Practice: s.Practice, Passwords: k.people,
			Keep: k.keep, Kept: k.kept, Events: k.tell})
		if errors.Is(err, store.ErrNotEmpty) {
			return &plainError{exitUsage, "The new folder cannot be used: " + err.Error() + ".", nothingLost,
				"Choose an empty folder; or, if it was begun there, the same words as the first time."}
		}
		if err == nil {
			err = k.check(ctx, made)
		}
		if err != nil {
			return err
		}
		return k.done(made)
	})
}

// plan checks the folders and finds who keeps a passphrase.
func (k *rekeying) plan() error {
	var err error
	if k.to, err = k.e.abs(k.to); err != nil {
		return err
	}
	for _, pair := range [][2]string{{k.s.Data, k.to}, {k.to, k.s.Data}} {
		if in, err := filepath.Rel(pair[0], pair[1]); err == nil && filepath.IsLocal(in) {
			return usage("the new folder must not be that of the office copy, nor be inside of it or around it")
		}
	}
	number := k.m.Statement().Number + 1
	if k.sheets, err = k.e.sheetPaper(k.paper, number); err != nil {
		return err
	}
	switch {
	case k.s.KeyFile != "":
		k.keyFile = filepath.Join(filepath.Dir(k.s.KeyFile), fmt.Sprintf("office-%d.key", number))
		return nil
	case k.sheet != "":
		password, err := k.e.askSecret("CHARTCELLAR_NEW_PASSPHRASE", "New passphrase of "+k.person)
		k.people = map[string]string{k.person: password}
		return err
	}
	all, err := k.m.Slots()
	if err != nil {
		return err
	}
	k.people = map[string]string{}
	u := &keys.Unlocker{}
	for _, person := range all {
		if _, err := k.m.OpenSlotOf(u, person, k.e.secret); err == nil {
			k.people[person] = k.e.secret
		} else if !errors.Is(err, keys.ErrWrongPassword) {
			return err
		}
	}
	return nil
}

// keep puts the sheet, and the key file if there is one, where a crash does not lose them.
func (k *rekeying) keep(n store.NewMirror, _ int) error {
	if k.keyFile != "" {
		if err := disk.Stage(k.e.fsys(), k.keyFile, []byte(n.Office.String()+"\n")); err != nil {
			return err
		}
	}
	return k.sheets.stage(n.Sheet)
}

// kept reports whether keep has kept the sheet of a recovery key.
func (k *rekeying) kept(recovery string, _ int) (bool, error) {
	id := k.recovery()
	return id != nil && id.Recipient().String() == recovery, nil
}

// recovery returns the new recovery key from its sheet, as long as that lies there.
func (k *rekeying) recovery() *age.X25519Identity {
	if id := k.sheets.staged(); id != nil {
		return id
	}
	text, err := k.e.sheetFile(k.sheets.name + ".txt")
	if err != nil {
		return nil
	}
	id, err := keys.ParseSheet(sheetKey(text))
	if err != nil {
		return nil
	}
	return id
}

// tell prints how far it is, every twentieth.
func (k *rekeying) tell(done, all int64) {
	if percent := done * 100 / max(all, 1); percent/5 != k.shown/5 || k.shown < 0 {
		k.shown = percent
		k.e.printf("%3d %% of %d MB are encrypted again.\n", percent, all>>20)
	}
}

// check opens the new folder with the new sheet, makes its index, and verifies it in full.
func (k *rekeying) check(ctx context.Context, made store.Rekeyed) error {
	k.e.printf("Verifying the new folder in full, with the new sheet.\n")
	if err := k.opened(ctx, func(m *store.Mirror) error {
		for _, src := range k.s.Sources { // what no archive holds
			job, err := k.m.Job(src.Name)
			if err == nil && job != nil {
				err = m.SetJob(src.Name, job)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return k.opened(ctx, func(m *store.Mirror) error {
		r, err := verify.Run(ctx, m, verify.Options{Depth: verify.Full})
		if err != nil {
			return err
		}
		size, root, err := k.m.Tree()
		if err != nil {
			return err
		}
		if s, got, err := m.Tree(); err != nil || s != size || got != root || !r.Good() {
			k.e.printVerify(r)
			return errors.Join(err, &plainError{exitDamage, "The new folder is not what the old one is; the settings go on naming the old one.", nothingLost,
				"Look at the disk of the new folder, and run it again with another one. If the old one is damaged too: chartcellar verify --depth full"})
		}
		return k.opensByPerson(m, made.Statement.Recipient("office"))
	})
}

// opened opens the new folder with the new sheet.
func (k *rekeying) opened(ctx context.Context, f func(*store.Mirror) error) error {
	box, err := k.e.readBox(k.s)
	if err != nil {
		return err
	}
	m, err := store.Open(ctx, store.Options{Dir: k.to, Box: box, FS: k.e.disk, Log: k.e.logger(), Reserve: k.s.ReserveMB << 20, Ballast: k.e.spare,
		Doing: "keys rekey", Identity: k.recovery()})
	if err != nil {
		return fmt.Errorf("open the new folder: %w", err)
	}
	return errors.Join(f(m), m.Close())
}

// opensByPerson checks that what people have opens the new folder.
func (k *rekeying) opensByPerson(m *store.Mirror, office string) error {
	u := &keys.Unlocker{}
	for person, password := range k.people {
		id, err := m.OpenSlotOf(u, person, password)
		if err == nil && id.Recipient().String() != office {
			err = keys.ErrDamaged
		}
		if err != nil {
			return fmt.Errorf("open the new folder with the passphrase of %s: %w", person, err)
		}
	}
	return nil
}

// done gives the sheet its name, lets the settings name the new folder, and says what is
// to be done now.
func (k *rekeying) done(made store.Rekeyed) error {
	files := k.sheets.files()
	if k.keyFile != "" {
		files = append(files, k.keyFile)
	}
	if err := commitStaged(k.e.fsys(), files); err != nil {
		return err
	}
	old, err := k.m.Slots()
	if err != nil {
		return err
	}
	if err := k.opened(context.Background(), k.useNew); err != nil {
		return err
	}
	e := k.e
	e.printf("The office copy has new keys: %s, %d MB, verified in full, in %s.\nThe settings name it now; the old folder is as it was.\n",
		plural(made.Files, "file"), made.Bytes>>20, k.to)
	if made.Left > 0 {
		e.printf("%s of the quarantine are torn and stay in the old folder alone.\n", plural(made.Left, "file"))
	}
	e.tellSheet(k.sheets)
	if k.keyFile != "" {
		e.printf("WARNING: the new office key lies in clear in %s.\n", k.keyFile)
	}
	others := slices.DeleteFunc(old, func(p string) bool { _, has := k.people[p]; return has })
	if len(others) > 0 {
		e.printf("\nThese people need a new passphrase (keys passphrase --person NAME, or an owner on the pages): %s\n", strings.Join(others, ", "))
	}
	e.printf("\nSecond copies still open with the old keys: begin new ones in an empty place, then destroy the old ones.\n")
	e.printf("Where a service runs: sudo chartcellar service install, so that it may write in the new folder.\n")
	wipe := "chartcellar wipe --data " + k.s.Data
	if k.s.KeyFile != "" {
		wipe += " --key-file " + k.s.KeyFile
	}
	e.printf("When that is done, destroy the old folder and the old sheet: %s\n", wipe)
	return nil
}

// useNew changes the settings, as the last step.
func (k *rekeying) useNew(m *store.Mirror) error {
	path, err := k.e.settingsPath()
	if err != nil {
		return err
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	edits := []config.Edit{{Key: "data", Value: k.to}}
	if k.keyFile != "" {
		edits = append(edits, config.Edit{Key: "key_file", Value: k.keyFile})
	}
	if file, err = config.Apply(file, edits...); err != nil {
		return usage(err.Error())
	}
	if err := m.Journal(store.Event{Code: "keys.rekey", Account: "owner"}); err != nil {
		return err
	}
	if err := k.e.putSettings(m, "owner", path, file); err != nil {
		return err
	}
	return k.e.changed(m, notice{code: "keys.rekey", by: "owner"})
}
