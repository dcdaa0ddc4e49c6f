package main

import (
	"context"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
)

func keysCommand(e *env) *cobra.Command {
	var sheet, person string
	c := command("keys", "Show who can open the mirror; give a passphrase, a new sheet, new keys", "", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.keysShow(ctx) })
	set := command("passphrase", "Give a person a passphrase, or a new one",
		`It asks for a passphrase that opens the mirror now (CHARTCELLAR_PASSPHRASE), then for
the new one (CHARTCELLAR_NEW_PASSPHRASE). Each person has one of his own. When all are
forgotten, --sheet FILE takes the place of the first: the recovery key, as you typed it.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.keysPassphrase(ctx, person, sheet) })
	set.Flags().StringVar(&sheet, "sheet", "", "file with the recovery key, instead of a passphrase")
	set.Flags().StringVar(&person, "person", "doctor", "whose passphrase it is")
	check := command("check-sheet FILE", "Check a recovery key as you typed it from the sheet",
		`FILE holds the lines of the key; it says which line is wrong, or that the key opens this
mirror. Typed from the paper it is the proof that the paper is good, and is remembered.`,
		cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
			sheet = a[0]
			return e.keysCheck(ctx, sheet)
		})
	c.AddCommand(set, check, keysSheetCommand(e), keysRekeyCommand(e), secondPageCommand(e))
	return c
}

func (e *env) keysShow(ctx context.Context) error {
	return e.withMirror(ctx, access{doing: "keys"}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		people, err := m.Slots()
		if err != nil {
			return err
		}
		st := m.Statement()
		if e.json {
			at, err := sheetProven(m)
			if err != nil {
				return err
			}
			return e.printJSON(map[string]any{"sheetProven": at, "mirror": st.Mirror, "statementHash": m.FirstHash(), "logKey": st.LogKey,
				"recipients": st.Recipients, "passphrases": people, "keyFile": s.KeyFile != ""})
		}
		e.printf("Mirror             %s\nHash of its file   %s\nLog key            %s\n", st.Mirror, m.FirstHash(), st.LogKey)
		for _, r := range st.Recipients {
			e.printf("Encrypted to       %-9s %s\n", r.Role, r.Key)
		}
		for _, p := range people {
			e.printf("Passphrase of      %s\n", p)
		}
		if at, err := sheetProven(m); err != nil {
			return err
		} else if at.IsZero() {
			e.printf("Recovery sheet     nobody has proven yet that it is on paper: chartcellar keys check-sheet --help\n")
		} else {
			e.printf("Recovery sheet     proven on %s\n", at.Local().Format("2006-01-02"))
		}
		if s.KeyFile != "" {
			e.printf("WARNING: the office key lies in clear in %s: whoever steals this computer can read every record.\n", s.KeyFile)
		}
		return nil
	})
}

func (e *env) keysPassphrase(ctx context.Context, person, sheet string) error {
	if !plainPerson(person) {
		return usage("--person must be a plain name")
	}
	a := access{doing: "keys passphrase", write: true, key: true, sheet: sheet, asks: "CHARTCELLAR_NEW_PASSPHRASE", what: "New passphrase"}
	return e.withMirror(ctx, a, func(_ context.Context, _ config.Settings, m *store.Mirror) error {
		next, err := e.askSecret(a.asks, a.what)
		if err != nil {
			return err
		}
		if err := m.Journal(store.Event{Code: "keys.passphrase", Account: "owner", Note: person}); err != nil {
			return err
		}
		if err := m.AddSlot(person, next); err != nil {
			return err
		}
		if err := e.changed(m, notice{code: "keys.passphrase", by: "owner", target: person}); err != nil {
			return err
		}
		e.printf("%s has a new passphrase. An older one of the same person no longer opens the mirror.\n", person)
		return nil
	})
}

func (e *env) keysCheck(ctx context.Context, sheet string) error {
	return e.withMirror(ctx, access{doing: "keys check", sheet: sheet}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		id, err := e.identity(s, access{sheet: sheet}, m, new(string))
		if err != nil {
			return err
		}
		release, err := e.ring.open(m, id)
		if err != nil {
			return err
		}
		release()
		e.printf("The key is right: it opens this mirror.\n")
		text, err := e.sheetFile(sheet)
		if err != nil || sheetKey(text) != text {
			return err // the file of the sheet proves nothing of the paper
		}
		if err := m.Journal(store.Event{Code: "keys.sheet.proven", Account: "owner"}); err != nil {
			return err
		}
		return proveSheet(m, e.now())
	})
}
