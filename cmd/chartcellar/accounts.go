package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
	accounts "chartcellar/store/access"
)

func accountsCommand(e *env) *cobra.Command {
	sheet := ""
	c := command("accounts", "Show who may sign in to the pages",
		`accounts lists who may sign in. Accounts are made and changed on the pages, by an
owner. What a person at the computer can do without signing in is here: draw the code
with which the first owner begins, or, with the recovery sheet, let a new owner in.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.accountsList(ctx) })
	code := command("code", "Draw a new setup code, while there is no owner",
		"The code counts for 30 minutes and works once; one of before is void.", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			return e.accountsCode(ctx, func(a *accounts.Access) (string, time.Time, error) { return a.NewSetupCode() })
		})
	rescue := command("rescue", "Let a new owner in, when no owner can sign in any more",
		`rescue takes the recovery key as you typed it from the sheet into a file, and draws a
code with which one more owner is made in the browser. His password must be one that
opens the mirror (chartcellar keys passphrase --help).`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			return e.withSheet(sheet, func(key string) error {
				return e.accountsCode(ctx, func(a *accounts.Access) (string, time.Time, error) { return a.Rescue(key) })
			})
		})
	over := command("start-over", "Begin with no accounts, when their file is lost or damaged",
		`start-over moves a damaged access.db aside and begins with no accounts. It needs the
recovery key, and "chartcellar serve" stopped. No record is touched.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			return e.withSheet(sheet, func(key string) error { return e.accountsOver(ctx, key) })
		})
	for _, sub := range []*cobra.Command{rescue, over} {
		sub.Flags().StringVar(&sheet, "sheet", "", "file with the recovery key as typed from the sheet")
	}
	c.AddCommand(code, rescue, over)
	return c
}

// withSheet reads the recovery key that a person typed.
func (e *env) withSheet(file string, f func(key string) error) error {
	if file == "" {
		return usage("give the file with the recovery key: --sheet FILE")
	}
	key, err := e.sheetFile(file)
	if err != nil {
		return err
	}
	return f(key)
}

// withAccounts opens the accounts: those of the daemon, or by itself.
func (e *env) withAccounts(ctx context.Context, doing string, f func(*accounts.Access) error) error {
	return e.withMirror(ctx, access{doing: doing, write: true}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		if d := e.daemon.get(); d != nil {
			o := d.office.Load()
			if o == nil {
				return &plainError{exitFailed, "The pages are not served.", nothingLost, "See what \"chartcellar serve\" said when it started."}
			}
			return f(o.accounts)
		}
		a, err := accounts.Open(e.accountOptions(s, m))
		if err != nil {
			return accountsError(err)
		}
		return errors.Join(f(a), a.Close())
	})
}

// accountOptions are those of the accounts where no daemon has them open.
func (e *env) accountOptions(s config.Settings, m *store.Mirror) accounts.Options {
	o := &office{e: e, d: &daemon{e: e, m: m, s: s}, m: m}
	return o.accountOptions()
}

// A shownAccount is a row of `accounts`.
type shownAccount struct {
	Name     string        `json:"name"`
	Display  string        `json:"display"`
	Role     accounts.Role `json:"role"`
	Charts   bool          `json:"charts"`
	Disabled bool          `json:"disabled"`
	Created  time.Time     `json:"created"`
}

func (e *env) accountsList(ctx context.Context) error {
	return e.withAccounts(ctx, "accounts", func(a *accounts.Access) error {
		list, err := a.Accounts()
		if err != nil {
			return err
		}
		rows := make([]shownAccount, 0, len(list))
		for _, r := range list {
			rows = append(rows, shownAccount{r.Name, r.Display, r.Role, r.Can(accounts.SeeCharts), r.Disabled, r.Created})
		}
		slices.SortFunc(rows, func(a, b shownAccount) int { return strings.Compare(a.Name, b.Name) })
		if e.json {
			return e.printJSON(rows)
		}
		if len(rows) == 0 {
			e.printf("Nobody may sign in yet. For the code of the first owner: chartcellar accounts code\n")
		}
		for _, r := range rows {
			e.printf("%-16s %-8s %s%s\n", r.Name, r.Role, oneLine(r.Display), r.words())
		}
		return nil
	})
}

func (r shownAccount) words() string {
	switch {
	case r.Disabled:
		return "   (may not sign in)"
	case !r.Charts:
		return "   (no charts)"
	}
	return ""
}

func (e *env) accountsCode(ctx context.Context, draw func(*accounts.Access) (string, time.Time, error)) error {
	return e.withAccounts(ctx, "accounts code", func(a *accounts.Access) error {
		code, until, err := draw(a)
		switch {
		case errors.Is(err, accounts.ErrHasOwner):
			return &plainError{exitUsage, "There is an owner already; the first run is over.", nothingLost,
				"An owner makes further accounts on the pages. If none can sign in any more: chartcellar accounts rescue --help"}
		case errors.Is(err, accounts.ErrNoRecovery):
			return &plainError{exitUsage, "The recovery key does not fit: it is not that of this mirror, or a line is mistyped.", nothingLost,
				"chartcellar keys check-sheet FILE says which line."}
		case err != nil:
			return err
		}
		e.printCode(code, until)
		if d := e.daemon.get(); d != nil {
			e.printf("Type it at %ssetup/owner\n", d.office.Load().front.url())
		} else {
			e.printf("Then start the pages: chartcellar serve\n")
		}
		return nil
	})
}

func (e *env) accountsOver(ctx context.Context, key string) error {
	return e.withMirror(ctx, access{doing: "accounts start-over", write: true, alone: true}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		a, err := accounts.StartOver(e.accountOptions(s, m), key)
		switch {
		case errors.Is(err, accounts.ErrInOrder):
			return &plainError{exitUsage, "The accounts are in order; nothing was changed.", nothingLost, "If no owner can sign in: chartcellar accounts rescue --help"}
		case errors.Is(err, accounts.ErrNoRecovery):
			return &plainError{exitUsage, "The recovery key does not fit; nothing was changed.", nothingLost, "chartcellar keys check-sheet FILE says which line."}
		case err != nil:
			return err
		}
		if err := a.Close(); err != nil {
			return err
		}
		e.printf("There are no accounts now. What was left of the old ones is in %s.\nNext: chartcellar serve, and type its code in the browser. No record was touched.\n", "quarantine/")
		return nil
	})
}
