package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/keys"
)

// errNoSystemd says that nobody can be asked to start anything.
var errNoSystemd = errors.New("no systemd")

// tool runs another program and returns what it printed. An error carries the
// first line of its complaint.
func tool(ctx context.Context, stdin []byte, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0")
	c.Stdin = bytes.NewReader(stdin)
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	err := c.Run()
	if err == nil {
		return out.Bytes(), nil
	}
	line, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n")
	if line == "" {
		line = err.Error()
	}
	return out.Bytes(), fmt.Errorf("%s: %s: %w", name, line, err)
}

// systemctl asks systemd. If there is none, or it does not run this computer, the
// error wraps errNoSystemd.
func (sv services) systemctl(ctx context.Context, args ...string) ([]byte, error) {
	if _, err := exec.LookPath("systemctl"); err != nil {
		return nil, fmt.Errorf("%w: there is no systemctl", errNoSystemd)
	}
	if sv.user {
		args = append([]string{"--user"}, args...)
	}
	out, err := tool(ctx, nil, "systemctl", args...)
	if err == nil {
		return out, nil
	}
	for _, words := range []string{"not been booted with systemd", "Failed to connect to bus"} {
		if strings.Contains(err.Error(), words) {
			return out, fmt.Errorf("%w: %s", errNoSystemd, words)
		}
	}
	return out, err
}

// ask fills in what systemd knows about the service.
func (sv services) ask(ctx context.Context, s *serviceState) {
	s.Running = "unknown"
	out, err := sv.systemctl(ctx, "show", unitName,
		"--property=UnitFileState,ActiveState,SubState,ActiveEnterTimestamp,InactiveEnterTimestamp,Result,NRestarts")
	if err != nil {
		s.Note = sentence("whether it runs cannot be asked: " + err.Error())
		return
	}
	p := map[string]string{}
	for line := range strings.Lines(string(out)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		p[k] = v
	}
	switch p["UnitFileState"] {
	case "":
	case "enabled", "enabled-runtime":
		s.Starts = "yes"
	default:
		s.Starts = "no (" + p["UnitFileState"] + ")"
	}
	switch {
	case p["ActiveState"] == "active":
		s.Running, s.Since = "yes", p["ActiveEnterTimestamp"]
	case p["SubState"] == "auto-restart":
		s.Running = "no, it ended and is about to be started again"
	case p["ActiveState"] == "activating" || p["ActiveState"] == "deactivating" || p["ActiveState"] == "reloading":
		s.Running = "no, it is " + p["ActiveState"]
	case p["ActiveState"] != "":
		s.Running, s.Since = "no", p["InactiveEnterTimestamp"]
	}
	if n := p["NRestarts"]; n != "" && n != "0" {
		s.Note = "It was started again " + n + " times after it ended by itself. "
	}
	if r := p["Result"]; s.Running != "yes" && r != "" && r != "success" {
		s.Note += "It ended badly (" + r + "); see: " + sv.journal()
	}
	s.Note = strings.TrimSpace(s.Note)
}

// sealIf seals the box key when asked. Otherwise one that is sealed already must be
// that of these settings.
func (sv services) sealIf(ctx context.Context, asked bool, u unit, s config.Settings) error {
	plain, err := os.ReadFile(s.BoxKey)
	switch {
	case asked:
		return sv.seal(ctx, s, plain, err)
	case err != nil || u.Sealed == "" || !sv.live():
		return nil // nothing to compare with
	}
	sealed, err := os.ReadFile(sealedBoxKey)
	if err != nil {
		return fmt.Errorf("read the sealed box key: %w", err)
	}
	if back, err := unseal(ctx, sealed); err != nil || !bytes.Equal(back, plain) {
		return &plainError{exitFailed, "The sealed box key at " + sealedBoxKey + " is not that of these settings, or does not open on this computer.", nothingLost,
			"Seal it anew with --seal-box-key, or move the sealed one away."}
	}
	return nil
}

// seal seals the box key for this computer, proves that it opens again, and says
// what protects it now.
func (sv services) seal(ctx context.Context, s config.Settings, plain []byte, err error) error {
	switch {
	case s.BoxKey == "":
		return usage("there are no settings yet, and no box key to seal: set the copy up first")
	case errors.Is(err, os.ErrNotExist):
		return &plainError{exitFailed, "The plain box key is not at " + s.BoxKey + ", so it cannot be sealed anew.", "What is sealed stays in force.",
			"Leave --seal-box-key out, or put the copy from the safe there first."}
	case err != nil:
		return fmt.Errorf("read the plain box key: %w", err)
	}
	if _, err := keys.ParseBox(plain); err != nil {
		return err
	}
	if _, err := exec.LookPath("systemd-creds"); err != nil {
		return &plainError{exitFailed, "The box key cannot be sealed: there is no systemd-creds (systemd 250 or newer).", "Nothing was changed.", "Leave --seal-box-key out."}
	}
	sealed, err := tool(ctx, plain, "systemd-creds", "encrypt", "--name="+boxCredential, "--with-key=auto", "-", "-")
	if err != nil {
		return err
	}
	if back, err := unseal(ctx, sealed); err != nil || !bytes.Equal(back, plain) {
		return errors.Join(errors.New("the sealed box key does not open again; the plain one stays in use"), err)
	}
	if err := placeSealed(filepath.Join(sv.root, sealedBoxKey), sealed); err != nil {
		return err
	}
	_, err = tool(ctx, nil, "systemd-creds", "has-tpm2", "--quiet")
	sv.e.sayKeySealed(filepath.Join(sv.root, sealedBoxKey), err == nil)
	return nil
}

func unseal(ctx context.Context, sealed []byte) ([]byte, error) {
	return tool(ctx, sealed, "systemd-creds", "decrypt", "--name="+boxCredential, "-", "-")
}

// plainKey says what to do about the plain box key, or removes it when asked: not
// before the service has the mirror open with the sealed one.
func (sv services) plainKey(ctx context.Context, s config.Settings, remove bool, begun time.Time) error {
	if !remove {
		sv.e.sayKeyStays(s.BoxKey)
		return nil
	}
	for end := time.After(10 * time.Second); !openedBy(s.Data, begun); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			return &plainError{exitFailed, "The service has not opened the mirror with the sealed box key, so the plain one was not deleted.", nothingLost,
				"See why: " + sv.journal()}
		case <-time.After(100 * time.Millisecond):
		}
	}
	return sv.e.removeBoxKey(s.BoxKey)
}

// openedBy reports whether the daemon has opened the mirror since a moment.
func openedBy(dir string, since time.Time) bool {
	h, ok := store.WhoHolds(dir)
	return ok && h.Doing == "serve" && h.Since.After(since)
}

// sayKeySealed says what a sealed box key is bound to.
func (e *env) sayKeySealed(path string, tpm bool) {
	e.printf("The box key is sealed: %s\n", path)
	if tpm {
		e.printf("It is bound to this computer's security chip (TPM): on another computer it does not open.\n")
		return
	}
	e.printf("This computer has no usable security chip (TPM): the seal is bound to a key on its system disk\n" +
		"(/var/lib/systemd/credential.secret). It protects copies of the settings folder, not a stolen computer.\n")
}
