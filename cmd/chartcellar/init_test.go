package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// initIn runs commands in the settings of dir, killed as spec says.
func initIn(t *testing.T, dir, spec string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "chartcellar", args...)
	c.Env = append(os.Environ(), "CHARTCELLAR_CONFIG="+filepath.Join(dir, "s", "settings.toml"),
		"CHARTCELLAR_PASSPHRASE=four words are enough", "CHARTCELLAR_TEST_KILL="+spec)
	out, err := c.CombinedOutput()
	return string(out), err
}

// killed reports whether a process was killed, and did not end by itself.
func killed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == -1
}

// TestInitKilled is C9: init is killed before each of its steps on the disk. There
// is never a mirror without its sheet, and init run again makes one that works.
func TestInitKilled(t *testing.T) {
	t.Parallel()
	ops := 0
	step := max(1, 30 / *loops) // all of them in CI
	for n := 1; ; n += step {
		dir := t.TempDir()
		with := []string{"init", "--data", filepath.Join(dir, "m"), "--reserve-mb", "1", "--key-file", filepath.Join(dir, "s", "office.key")}
		if n%32 == 1 { // a passphrase takes a second
			with = with[:5]
		}
		out, err := initIn(t, dir, fmt.Sprint(n), with...)
		if err == nil {
			ops = n - step
			break
		}
		if !killed(err) {
			t.Fatalf("killed at step %d: %v\n%s", n, err, out)
		}
		if _, err := os.Stat(filepath.Join(dir, "m", "mirror", "000001.json")); err == nil {
			if sheets, err := filepath.Glob(filepath.Join(dir, "s", "recovery-sheet.txt*")); err != nil || len(sheets) != 1 {
				t.Errorf("killed at step %d: there is a mirror, and %d sheets; %v", n, len(sheets), err)
			}
		}
		if out, err = initIn(t, dir, "", with...); err != nil && !strings.Contains(out, "settings already") {
			t.Errorf("init again after a kill at step %d: %v\n%s", n, err, out)
			continue
		}
		sheet := filepath.Join(dir, "s", "recovery-sheet.txt")
		if out, err := initIn(t, dir, "", "keys", "check-sheet", sheet); err != nil {
			t.Errorf("the sheet after a kill at step %d: %v\n%s", n, err, out)
		}
		if out, err := initIn(t, dir, "", "verify"); err != nil {
			t.Errorf("verify after a kill at step %d: %v\n%s", n, err, out)
		}
		if _, err := os.Stat(filepath.Join(dir, "s", "recovery-sheet.pdf")); err != nil {
			t.Errorf("after a kill at step %d: %v", n, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "s", "*.tmp")); len(left) > 0 {
			t.Errorf("after a kill at step %d these are left: %v", n, left)
		}
	}
	t.Logf("init has about %d steps on the disk", ops)
	if ops < 30 {
		t.Errorf("init was killed at %d steps only", ops)
	}
}

// TestInitRefuses: init never takes the place of anything.
func TestInitRefuses(t *testing.T) {
	dir := t.TempDir()
	sheet := filepath.Join(dir, "s", "recovery-sheet.txt")
	if err := os.MkdirAll(filepath.Dir(sheet), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sheet, []byte("another mirror's"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"init", "--data", filepath.Join(dir, "m"), "--key-file", filepath.Join(dir, "k"), "--reserve-mb", "1"}
	out, err := initIn(t, dir, "", args...)
	if err == nil || !strings.Contains(out, "file already") {
		t.Errorf("init over a sheet: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "m", "mirror")); err == nil {
		t.Error("init over a sheet began a mirror")
	}
	if err := os.Remove(sheet); err != nil {
		t.Fatal(err)
	}
	if out, err := initIn(t, dir, "", args...); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	// A mirror that lost its statement keeps its keys.
	if out, err := initIn(t, dir, "", "verify"); err != nil {
		t.Fatalf("verify: %v\n%s", err, out)
	}
	for _, gone := range []string{"m/mirror/000001.json", "s/settings.toml", "s/recovery-sheet.txt", "s/recovery-sheet.pdf", "k"} {
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(gone))); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(filepath.Join(dir, "m", "secrets", "mirror.key"))
	if err != nil {
		t.Fatal(err)
	}
	out, err = initIn(t, dir, "", args...)
	after, rerr := os.ReadFile(filepath.Join(dir, "m", "secrets", "mirror.key"))
	if err == nil || !strings.Contains(out, "000001.json is missing") || rerr != nil || string(before) != string(after) {
		t.Errorf("init over a mirror without its statement: %v\n%s", err, out)
	}
}
