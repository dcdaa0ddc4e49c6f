package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"chartcellar/config"
)

// Where things are on a computer with systemd.
const (
	systemSettings = "/etc/chartcellar/settings.toml"
	systemData     = "/var/lib/chartcellar"
	systemUnits    = "/etc/systemd/system"
	packagedUnits  = "/usr/lib/systemd/system"
	sealedBoxKey   = "/etc/credstore.encrypted/chartcellar.box-key"
	serviceAccount = "chartcellar"
)

// A services is where services are installed, and by what.
type services struct {
	e    *env
	root string // "", or the folder below which a packager works
	user bool   // of this user, not of the computer
}

// services returns where services are for whoever runs this.
func (e *env) services(o serviceOptions) (services, error) {
	sv := services{e: e, user: o.user || os.Geteuid() != 0 && o.root == ""}
	if o.root == "" {
		return sv, nil
	}
	var err error
	sv.root, err = e.abs(o.root)
	return sv, err
}

// live reports whether this is about the computer that runs, not about a folder
// that a packager fills.
func (sv services) live() bool { return sv.root == "" }

// path returns where the unit file is.
func (sv services) path() (string, error) {
	if !sv.user {
		return filepath.Join(sv.root, systemUnits, unitName), nil
	}
	dir, err := os.UserConfigDir()
	return filepath.Join(sv.root, dir, "systemd", "user", unitName), err
}

func (e *env) serviceInstall(ctx context.Context, o serviceOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	sv, err := e.services(o)
	if err != nil {
		return err
	}
	if o.seal && sv.user {
		return usage("--seal-box-key needs a service of the whole computer: run it as root, without --user")
	}
	u, s, err := sv.plan(o)
	if err != nil {
		return err
	}
	if o.print {
		text, err := u.text()
		e.printf("%s", text)
		return err
	}
	return sv.install(ctx, o, u, s)
}

// plan finds out what the unit says. The settings are empty before there are any.
func (sv services) plan(o serviceOptions) (unit, config.Settings, error) {
	program, err := o.programPath()
	if err != nil {
		return unit{}, config.Settings{}, err
	}
	u := unit{Program: program}
	if u.Settings, err = sv.settingsPath(); err != nil {
		return u, config.Settings{}, err
	}
	s, err := config.Load(filepath.Join(sv.root, u.Settings))
	switch {
	case errors.Is(err, config.ErrMissing):
		s = config.Settings{Data: o.data}
		if s.Data == "" {
			s.Data = systemData
		}
	case err != nil:
		return u, s, &plainError{exitUsage, "The settings cannot be used: " + err.Error() + ".", nothingLost, "Correct that line; see: chartcellar config sample"}
	case o.data != "" && o.data != s.Data:
		return u, s, usage("the settings say that the data folder is " + s.Data)
	}
	if sv.user {
		return u, s, nil
	}
	u.Folders = writes(u.Settings, s)
	u.Reads = reads(s)
	if u.Account = o.account; u.Account == "" {
		u.Account = sv.account(u)
	}
	if exists(filepath.Join(sv.root, sealedBoxKey)) || o.seal {
		u.Sealed = sealedBoxKey
	}
	return u, s, sv.usable(u)
}

// settingsPath is that of other commands, but for the computer's own service: root
// has no settings of its own there.
func (sv services) settingsPath() (string, error) {
	if !sv.user && sv.e.config == "" && sv.e.Getenv("CHARTCELLAR_CONFIG") == "" {
		return systemSettings, nil
	}
	path, err := sv.e.settingsPath()
	if err != nil {
		return "", err
	}
	return sv.e.abs(path)
}

// writes are the folders in which the program writes.
func writes(settings string, s config.Settings) []string {
	list := []string{filepath.Dir(settings), s.Data}
	for _, file := range []string{s.BoxKey, s.Log, s.Alerts.StatusFile} {
		if file != "" {
			list = append(list, filepath.Dir(file))
		}
	}
	return unitFolders(list...)
}

// reads are the files that the program must see.
func reads(s config.Settings) []string {
	list := []string{s.KeyFile, s.TLSCert, s.TLSKey}
	for _, src := range s.Sources {
		list = append(list, src.CA)
	}
	for _, h := range s.Holdings {
		list = append(list, h.Folder, h.FormatDocument)
	}
	return unitFolders(list...)
}

// usable says why a service could not work with these folders.
func (sv services) usable(u unit) error {
	for _, f := range u.Folders {
		if !filepath.IsAbs(f) {
			return usage(fmt.Sprintf("the service needs full paths: %q is none", f))
		}
		if strings.Count(f, "/") < 2 || f == "/var/lib" || f == "/var/log" || f == "/usr/local" {
			return usage(fmt.Sprintf("the service would have to write anywhere in %s: give chartcellar a folder of its own (in /etc/chartcellar, for the settings), and correct the settings", f))
		}
		if inside("/root", f) && u.Account != "root" {
			return usage(fmt.Sprintf("the service runs as %s, who cannot reach %s: move it to /etc/chartcellar, correct the paths in the settings, and name them: --config %s", u.Account, f, systemSettings))
		}
	}
	return nil
}

func (sv services) install(ctx context.Context, o serviceOptions, u unit, s config.Settings) error {
	path, err := sv.path()
	if err != nil {
		return err
	}
	if err := sv.free(path); err != nil {
		return err
	}
	if sv.live() && !sv.user {
		if err := sv.handOver(ctx, u); err != nil {
			return err
		}
	}
	if err := sv.sealIf(ctx, o.seal, u, s); err != nil {
		return err
	}
	text, err := u.text()
	if err != nil {
		return err
	}
	if err := placeUnit(path, text); err != nil {
		return err
	}
	sv.e.printf("Written: %s\nIt runs: %s serve --config %s\n", path, u.Program, u.Settings)
	if !sv.user {
		sv.e.printf("As the user %s, who may write in %s only.\n", u.Account, strings.Join(u.Folders, " and "))
	}
	if sv.live() && !sv.user && exists(filepath.Join(packagedUnits, unitName)) {
		sv.e.printf("It stands in front of the unit of the installed package; \"service uninstall\" brings that one back.\n")
	}
	if !sv.live() {
		return nil
	}
	begun := sv.e.now()
	if err := sv.start(ctx); err != nil || !o.seal {
		return err
	}
	return sv.plainKey(ctx, s, o.removeKey, begun)
}

// free says that nothing of somebody else's stands at a path.
func (sv services) free(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && ownUnit(string(b)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the unit: %w", err)
	}
	return &plainError{exitUsage, "The unit " + path + " was not written by this program, or was changed since.", "It was left as it is.",
		"Keep changes in a file of their own (systemctl edit chartcellar), move this one away, and try again."}
}

// start has systemd take the unit over, and says what comes next.
func (sv services) start(ctx context.Context) error {
	e := sv.e
	var err error
	for _, step := range [][]string{{"daemon-reload"}, {"enable", unitName}, {"restart", unitName}} {
		if _, err = sv.systemctl(ctx, step...); err != nil {
			break
		}
	}
	switch {
	case errors.Is(err, errNoSystemd):
		e.printf("systemd does not run this computer, or does not answer (%s), so nothing was started.\nNext: on a computer with systemd run this again; elsewhere keep \"chartcellar serve\" running by other means.\n", err)
		return nil
	case err != nil:
		return &plainError{exitFailed, sentence("the unit is written, but systemd did not start it: " + err.Error()), nothingLost,
			"Look at its last lines: " + sv.journal()}
	}
	select { // a program that does not find what it needs ends at once
	case <-time.After(time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	var st serviceState
	if sv.ask(ctx, &st); st.Running != "yes" {
		return &plainError{exitFailed, "The unit is written, but whether it runs is: " + st.Running + ". " + st.Note, nothingLost,
			"Look at its last lines: " + sv.journal()}
	}
	e.printf("It runs now, and starts with the computer.\nNext: chartcellar service status; what it says, and the setup code of a first start: %s\n", sv.journal())
	if sv.user {
		e.printf("It stops when you sign out, unless an administrator runs: loginctl enable-linger %s\n", e.Getenv("USER"))
	}
	return nil
}

// journal is the command that shows what the service said.
func (sv services) journal() string {
	if sv.user {
		return "journalctl --user -u chartcellar"
	}
	return "journalctl -u chartcellar"
}

func (e *env) serviceUninstall(ctx context.Context, o serviceOptions) error {
	sv, err := e.services(o)
	if err != nil {
		return err
	}
	path, err := sv.path()
	if err != nil {
		return err
	}
	if !exists(path) {
		return &plainError{exitUsage, "No service is installed at " + path + ".", "", "The unit of a package goes with it: apt-get remove chartcellar"}
	}
	if err := sv.free(path); err != nil {
		return err
	}
	if sv.live() {
		if _, err := sv.systemctl(ctx, "disable", "--now", unitName); err != nil && !errors.Is(err, errNoSystemd) {
			return &plainError{exitFailed, sentence("systemd did not stop the service: " + err.Error()), nothingLost, "Nothing was removed. Look at: " + sv.journal()}
		}
	}
	if err := removeUnit(path); err != nil {
		return err
	}
	if sv.live() {
		if _, err := sv.systemctl(ctx, "daemon-reload"); err != nil && !errors.Is(err, errNoSystemd) {
			return &plainError{exitFailed, sentence("the service is stopped and its unit removed, but systemd did not take note: " + err.Error()), nothingLost,
				"Have it read its units again: systemctl daemon-reload (for a user's own service: systemctl --user daemon-reload)"}
		}
	}
	e.printf("Removed: %s\nSettings, keys, records and the service's user are as they were.\n", path)
	if sealed := filepath.Join(sv.root, sealedBoxKey); !sv.user && exists(sealed) {
		e.printf("The sealed box key stays too: %s. Without a service that is given it, the plain one is needed where box_key says.\n", sealed)
	}
	if p := sv.installed(path); p != "" {
		e.printf("The package's unit counts again: %s. To start it: systemctl enable --now chartcellar\n", p)
	}
	return nil
}

func (e *env) serviceStatus(ctx context.Context, o serviceOptions) error {
	sv, err := e.services(o)
	if err != nil {
		return err
	}
	path, err := sv.path()
	if err != nil {
		return err
	}
	if sv.user && !o.user && !exists(path) { // an ordinary user asks about the computer's
		sv.user = false
		if path, err = sv.path(); err != nil {
			return err
		}
	}
	s := serviceState{Installed: sv.installed(path), Running: "unknown"}
	if s.Installed == "" {
		return e.showService(s)
	}
	s.Starts = sv.enabledLink(s.Installed)
	if !sv.live() {
		s.Note = "This is a folder, not a computer: whether it runs cannot be asked."
		return e.showService(s)
	}
	sv.ask(ctx, &s)
	return e.showService(s)
}

// installed returns the unit file that counts: what install wrote, or a package's.
func (sv services) installed(path string) string {
	list := []string{path}
	if !sv.user {
		list = append(list, filepath.Join(sv.root, packagedUnits, unitName))
	}
	for _, p := range list {
		if exists(p) {
			return p
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// enabledLink says from the files alone whether a unit starts by itself.
func (sv services) enabledLink(path string) string {
	dir, target := filepath.Dir(path), "default.target.wants"
	if !sv.user {
		dir, target = filepath.Join(sv.root, systemUnits), "multi-user.target.wants"
	}
	if _, err := os.Lstat(filepath.Join(dir, target, unitName)); err == nil {
		return "yes"
	}
	return "no"
}

// asService carries the program out: systemd needs nothing of it.
func asService(ctx context.Context, program func(context.Context) int) int { return program(ctx) }
