package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"chartcellar/store/keys"
)

// inForce returns the statement in force, as `keys` tells it.
func inForce(t *testing.T, dir string) keys.Statement {
	t.Helper()
	out, err := initIn(t, dir, "", "--json", "keys")
	if err != nil {
		t.Fatalf("keys: %v\n%s", err, out)
	}
	var s keys.Statement
	if err := json.Unmarshal([]byte(out), &s); err != nil || len(s.Recipients) != 2 {
		t.Fatalf("keys: %v\n%s", err, out)
	}
	return s
}

// sheetsIn returns the files of sheets beside the settings, also those that have not
// got their names, by the public key of the sheet.
func sheetsIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	list := map[string]string{}
	names, err := filepath.Glob(filepath.Join(dir, "s", "recovery-sheet*.txt*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := keys.ParseSheet(sheetKey(string(b))); err == nil {
			list[id.Recipient().String()] = n
		}
	}
	return list
}

// TestNewSheetKilled is C8: `keys sheet new` is killed before each of its steps on the
// disk. There is never a sheet in force that nobody has, and the command run again ends
// well.
func TestNewSheetKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if out, err := initIn(t, dir, "", "init", "--data", filepath.Join(dir, "m"), "--reserve-mb", "1", "--key-file", filepath.Join(dir, "s", "office.key")); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	step, ops := max(1, 30 / *loops), 0 // all of them in CI
	for n := 1; ; n += step {
		out, err := initIn(t, dir, fmt.Sprint(n), "keys", "sheet", "new")
		if err != nil && !killed(err) {
			t.Fatalf("killed at step %d: %v\n%s", n, err, out)
		}
		s := inForce(t, dir)
		sheet := sheetsIn(t, dir)[s.Recipients[1].Key]
		if sheet == "" {
			t.Fatalf("killed at step %d: the sheet in force is lost", n)
		}
		if out, err := initIn(t, dir, "", "verify", "--sheet", sheet); err != nil {
			t.Errorf("the sheet in force after a kill at step %d: %v\n%s", n, err, out)
		}
		if err == nil {
			ops = n - step
			break
		}
		if out, err = initIn(t, dir, "", "keys", "sheet", "new"); err != nil || !strings.Contains(out, "RECOVERY SHEET") {
			t.Errorf("again after a kill at step %d: %v\n%s", n, err, out)
		}
		if sheet = sheetsIn(t, dir)[inForce(t, dir).Recipients[1].Key]; filepath.Ext(sheet) != ".txt" {
			t.Errorf("after a kill at step %d the sheet in force is %q", n, sheet)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*", "recovery-sheet*.tmp")); len(left) > 0 {
			t.Errorf("after a kill at step %d these are left: %v", n, left)
		}
	}
	t.Logf("a new sheet has about %d steps on the disk", ops)
	if ops < 20 {
		t.Errorf("it was killed at %d steps only", ops)
	}
}

// copyOffice copies a mirror with its settings.
func copyOffice(t *testing.T, base string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
		t.Fatal(err)
	}
	settings := filepath.Join(dir, "s", "settings.toml")
	b, err := os.ReadFile(settings)
	if err == nil {
		err = os.WriteFile(settings, []byte(strings.ReplaceAll(string(b), base, dir)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestWipeKilled: a wipe is killed at some of its steps, and run again it ends, with one
// certificate of the whole.
func TestWipeKilled(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	if out, err := initIn(t, base, "", "init", "--data", filepath.Join(base, "m"), "--reserve-mb", "1", "--key-file", filepath.Join(base, "s", "office.key")); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	if out, err := initIn(t, base, "", "verify"); err != nil {
		t.Fatalf("verify: %v\n%s", err, out)
	}
	wipe := func(dir, spec string) (string, error) {
		c := exec.CommandContext(t.Context(), "chartcellar", "wipe", "--data", filepath.Join(dir, "m"), "--i-have-a-copy", "--by", "Dr. Elm")
		c.Env = append(os.Environ(), "CHARTCELLAR_CONFIG="+filepath.Join(dir, "s", "settings.toml"), "CHARTCELLAR_TEST_KILL="+spec)
		c.Stdin = strings.NewReader("My practice\n")
		out, err := c.CombinedOutput()
		return string(out), err
	}
	for n := 1; ; n += max(1, 30 / *loops) {
		dir := copyOffice(t, base)
		out, err := wipe(dir, fmt.Sprint(n))
		done := err == nil
		if !done && !killed(err) {
			t.Fatalf("killed at step %d: %v\n%s", n, err, out)
		}
		if !done {
			if out, err = wipe(dir, ""); err != nil && !strings.Contains(out, "no office copy") {
				t.Errorf("again after a kill at step %d: %v\n%s", n, err, out)
			}
		}
		text, err := os.ReadFile(filepath.Join(dir, "s", "wipe-certificate.txt"))
		if err != nil || strings.Contains(string(text), "HAS NOT ENDED") || !strings.Contains(string(text), "Dr. Elm") {
			t.Errorf("the certificate after a kill at step %d: %v\n%s", n, err, text)
		}
		if left, err := os.ReadDir(filepath.Join(dir, "m")); err != nil || len(left) > 0 {
			t.Errorf("after a kill at step %d there are %v, %v", n, left, err)
		}
		if done {
			if n < 40 {
				t.Errorf("it was killed at %d steps only", n)
			}
			return
		}
	}
}

// TestRekeyKilled is C8: `keys rekey` is killed before some of its steps on the disk. The
// settings always name a folder that opens, run again it ends, and the sheet in force is
// there.
func TestRekeyKilled(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	for _, args := range [][]string{{"init", "--data", filepath.Join(base, "m"), "--reserve-mb", "1", "--key-file", filepath.Join(base, "s", "office.key")},
		{"verify"}, {"verify"}} { // each is a run
		if out, err := initIn(t, base, "", args...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	for n := 1; ; n += max(3, 60 / *loops) {
		dir := copyOffice(t, base)
		to := filepath.Join(dir, "new")
		out, err := initIn(t, dir, fmt.Sprint(n), "keys", "rekey", "--to", to)
		done := err == nil
		if !done && !killed(err) {
			t.Fatalf("killed at step %d: %v\n%s", n, err, out)
		}
		if out, err := initIn(t, dir, "", "keys"); err != nil {
			t.Errorf("after a kill at step %d the settings name what does not open: %v\n%s", n, err, out)
		}
		if !done {
			if out, err = initIn(t, dir, "", "keys", "rekey", "--to", to); err != nil && !strings.Contains(out, "must not be that of the office copy") {
				t.Fatalf("again after a kill at step %d: %v\n%s", n, err, out)
			}
		}
		out, err = initIn(t, dir, "", "--json", "config", "show")
		if err != nil || !strings.Contains(out, to) {
			t.Errorf("after a kill at step %d the settings are: %v\n%s", n, err, out)
		}
		if out, err := initIn(t, dir, "", "verify", "--sheet", sheetsIn(t, dir)[inForce(t, dir).Recipients[1].Key]); err != nil || !strings.Contains(out, "Nothing is wrong") {
			t.Errorf("verify with the new sheet after a kill at step %d: %v\n%s", n, err, out)
		}
		for _, kind := range []string{"recovery-sheet*", "office*", "settings*"} {
			if left, _ := filepath.Glob(filepath.Join(dir, "s", kind+".tmp")); len(left) > 0 {
				t.Errorf("after a kill at step %d these are left: %v", n, left)
			}
		}
		if done {
			if n < 60 {
				t.Errorf("it was killed at %d steps only", n)
			}
			return
		}
	}
}
