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
	path, err := e.settingsPath()
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return usage("there are settings already at " + path + "; use another --config")
	}
	data, err := filepath.Abs(o.data)
	if err != nil {
		return err
	}
	s := config.Settings{Practice: o.practice, Data: data, BoxKey: filepath.Join(filepath.Dir(path), "box.key"),
		ReserveMB: o.reserve}
	io := store.InitOptions{Dir: data, Practice: o.practice}
	if o.keyFile != "" {
		if s.KeyFile, err = filepath.Abs(o.keyFile); err != nil {
			return err
		}
	} else {
		password, err := e.newPassphrase()
		if err != nil {
			return err
		}
		io.Passwords = map[string]string{o.person: password}
	}
	if io.Box, err = makeBox(s.BoxKey); err != nil {
		return err
	}
	made, err := store.Init(io)
	if err != nil {
		return err
	}
	return e.writeNew(path, s, o, made)
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
func makeBox(path string) (*keys.Box, error) {
	b, err := os.ReadFile(path)
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
	return box, writePrivate(path, box.Marshal())
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

// writeNew writes the settings, the sheet and, by choice, the key file.
func (e *env) writeNew(path string, s config.Settings, o initOptions, made store.NewMirror) error {
	sheet := o.sheet
	if sheet == "" {
		sheet = filepath.Join(filepath.Dir(path), "recovery-sheet")
	}
	pdf, err := made.Sheet.PDF()
	if err != nil {
		return err
	}
	if s.KeyFile != "" {
		if err := writePrivate(s.KeyFile, []byte(made.Office.String()+"\n")); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		path    string
		content []byte
	}{{sheet + ".txt", []byte(made.Sheet.Text())}, {sheet + ".pdf", pdf}, {path, config.Sample(s)}} {
		if err := writePrivate(f.path, f.content); err != nil {
			return err
		}
	}
	e.printf("The mirror is made: %s\nThe settings are at: %s\n", s.Data, path)
	e.printf("\nRECOVERY SHEET: print %s.pdf, put it in a safe, then delete\n%s.pdf and %s.txt.\n", sheet, sheet, sheet)
	e.printf("Without it and without a passphrase nobody can open the records, not even we.\n")
	if s.KeyFile != "" {
		e.printf("\nWARNING: the office key lies in clear in %s.\nWhoever steals this computer can read every record.\n", s.KeyFile)
	}
	e.printf("\nNext: connect the EMR:  chartcellar connect NAME --base https://...\n")
	return nil
}
