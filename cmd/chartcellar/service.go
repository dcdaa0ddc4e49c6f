package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

func serviceCommand(e *env) *cobra.Command {
	var o serviceOptions
	c := command("service", "Let the computer start chartcellar by itself, or see whether it does", "", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.serviceStatus(ctx, o) })
	install := command("install", "Have the computer start chartcellar by itself",
		`install makes a service of "chartcellar serve": a systemd unit on Linux (of the whole
computer for root, else of this user), a service on Windows. It says what it wrote and
what comes next. A unit that it did not write, or that somebody changed, is not replaced.

For root the service runs as a user of its own, chartcellar, unless the data folder
belongs to somebody already; folders that belong to root are handed over to it.

--seal-box-key seals the box key for this computer (systemd credentials, with the TPM
where there is one; DPAPI on Windows). The plain file stays where it is: put a copy into
the safe, beside the recovery sheet, before it goes (--remove-box-key deletes it).`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.serviceInstall(ctx, o) })
	f := install.Flags()
	f.StringVar(&o.program, "program", "", "the program that the service runs (default: this one)")
	f.StringVar(&o.data, "data", "", "the data folder, while there are no settings yet")
	f.StringVar(&o.account, "account", "", "the user that the service runs as (root only)")
	f.BoolVar(&o.print, "print", false, "print the unit and change nothing")
	f.BoolVar(&o.seal, "seal-box-key", false, "seal the box key for this computer")
	f.BoolVar(&o.removeKey, "remove-box-key", false, "with --seal-box-key: delete the plain box key once the sealed one is proved")
	c.PersistentFlags().StringVar(&o.root, "root", "", "for packagers: work below this folder; no user is made, nothing is started")
	c.PersistentFlags().BoolVar(&o.user, "user", false, "a service of this user, also for root")
	c.AddCommand(install,
		command("uninstall", "Take the service away; all data stays",
			`uninstall stops the service and removes what install wrote. Settings, keys, records and
the service's user stay.`, cobra.NoArgs,
			func(ctx context.Context, _ []string) error { return e.serviceUninstall(ctx, o) }),
		command("status", "Say whether the service is installed, starts by itself, and runs",
			`Exit codes: 0 if it is installed and runs, else 12; also if that cannot be asked.`, cobra.NoArgs,
			func(ctx context.Context, _ []string) error { return e.serviceStatus(ctx, o) }))
	return c
}

// serviceOptions are what was typed after "service".
type serviceOptions struct {
	program, data, account, root string
	user, print, seal, removeKey bool
}

// check says which words do not go together.
func (o serviceOptions) check() error {
	switch {
	case o.removeKey && !o.seal:
		return usage("--remove-box-key goes with --seal-box-key")
	case o.seal && (o.root != "" || o.print):
		return usage("--seal-box-key is for the computer that it runs on: without --root and --print")
	}
	return nil
}

// A serviceState is what `service status` says.
type serviceState struct {
	Installed string `json:"installed"` // where; "" if it is not
	Starts    string `json:"starts"`    // by itself: yes, no, or what is known
	Running   string `json:"running"`   // yes, no, unknown
	Since     string `json:"since,omitempty"`
	Note      string `json:"note,omitempty"`
}

// showService prints a state; unknown is never good.
func (e *env) showService(s serviceState) error {
	code := exitFailed
	if s.Installed != "" && s.Running == "yes" {
		code = exitGood
	}
	if e.json {
		if err := e.printJSON(s); err != nil {
			return err
		}
		return quiet(code)
	}
	if s.Installed == "" {
		e.printf("The service is not installed. To install it: chartcellar service install\n")
		return quiet(code)
	}
	since := ""
	if s.Since != "" {
		since = ", since " + s.Since
	}
	e.printf("Installed           %s\nStarts by itself    %s\nRuns                %s%s\n", s.Installed, s.Starts, s.Running, since)
	if s.Note != "" {
		e.printf("%s\n", s.Note)
	}
	return quiet(code)
}

// programPath returns the program that a service is to run: never one that the
// next restart of the computer may remove.
func (o serviceOptions) programPath() (string, error) {
	path := o.program
	if path == "" {
		var err error
		if path, err = os.Executable(); err != nil {
			return "", err
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return "", err
		}
		if inside(os.TempDir(), path) || inside("/tmp", path) || inside("/var/tmp", path) {
			return "", usage("this program lies in a temporary folder, from which it will vanish: copy it to where programs are (/usr/local/bin), and run it from there")
		}
	}
	if !filepath.IsAbs(path) {
		return "", usage("--program needs a full path")
	}
	return filepath.Clean(path), nil
}

// inside reports whether a path is below a folder.
func inside(folder, path string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
