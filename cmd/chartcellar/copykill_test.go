package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"chartcellar/fhirsync/fakeemr"
)

// aCopied makes a practice that was pulled twice, with a second copy "usb" that is set up
// and empty.
func aCopied(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	emr, ca := startEMR(t, dir, fakeemr.Practice{Patients: 3, Seed: 4, Years: 1})
	t.Setenv("CHARTCELLAR_CLIENT_SECRET", "s")
	// The program lies there: to write it takes a thousand steps that are all the same.
	mine := filepath.Join(dir, "usb", filepath.FromSlash(programOfTest))
	if err := errors.Join(os.MkdirAll(filepath.Dir(mine), 0o700), os.WriteFile(mine, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, args := range append(setUp(dir, ca, emr), []string{"sync"}, []string{"copy", "add", "usb", "--folder", filepath.Join(dir, "usb")}, []string{"verify"}) {
		mustIn(t, dir, args...)
	}
	if _, err := emr.Changes(1); err != nil {
		t.Fatal(err)
	}
	mustIn(t, dir, "sync")
	return dir
}

// programOfTest is where a copy has the program of this computer.
var programOfTest = programFolder + "/" + release + "/" + programName(runtime.GOOS, runtime.GOARCH)

func mustIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := initIn(t, dir, "", args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// leftIn lists what lies below a folder and ends like a temporary file or begins like a
// drill's folder.
func leftIn(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(name, ".tmp") || strings.HasPrefix(d.Name(), "chartcellar-") {
			list = append(list, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A victim is a command that is killed.
type victim struct {
	name  string
	first []string // what is done before, once
	args  func(dir string) []string
	says  string // in the end
	steps int    // at least so many on the disk
	// between checks what is there after a kill, and after what was run again.
	between, after func(t *testing.T, dir, what string)
}

// victims are those that have to do with second copies.
func victims() []victim {
	sheet := func(dir string) string { return filepath.Join(dir, "s", "recovery-sheet.txt") }
	back := func(dir string) string { return filepath.Join(dir, "back") }
	return []victim{
		{"copy now", nil, func(string) []string { return []string{"copy", "now"} }, "complete up to checkpoint", 80,
			truthful, wholeCopy},
		{"restore", []string{"copy", "now"}, func(dir string) []string {
			return []string{"restore", "--from", filepath.Join(dir, "usb"), "--to", back(dir), "--sheet", sheet(dir)}
		}, "Nothing is wrong", 60,
			halfIsNotAdopted,
			func(t *testing.T, dir, what string) {
				if left := leftIn(t, back(dir)); len(left) > 0 {
					t.Errorf("%s: left are %v", what, left)
				}
				out := mustIn(t, t.TempDir(), "adopt", "--data", back(dir), "--sheet", sheet(dir))
				if !strings.Contains(out, "records of 3 patients") {
					t.Errorf("%s: adopt says\n%s", what, out)
				}
			}},
		{"drill", []string{"copy", "now"}, func(dir string) []string {
			return []string{"drill", "--person", "Dr. Elm", "--sheet", sheet(dir)}
		}, "PASSED. ", 80,
			truthful,
			func(t *testing.T, dir, what string) {
				if left := leftIn(t, filepath.Join(dir, "m")); len(left) > 0 {
					t.Errorf("%s: left are %v", what, left)
				}
			}},
	}
}

// truthful: what the lists call complete or passed is.
func truthful(t *testing.T, dir, what string) {
	t.Helper()
	var states []copyState
	if err := json.Unmarshal([]byte(mustIn(t, dir, "--json", "copy", "list")), &states); err != nil || len(states) != 1 {
		t.Fatalf("%s: copy list: %v, %v", what, states, err)
	}
	if !states[0].Complete.IsZero() {
		wholeCopy(t, dir, what)
	}
}

// wholeCopy: every byte that is to be at the second copy is.
func wholeCopy(t *testing.T, dir, what string) {
	t.Helper()
	if out, err := initIn(t, dir, "", "copy", "verify", "--all"); err != nil || !strings.Contains(out, "Nothing is wrong") {
		t.Errorf("%s: the copy is called complete: %v\n%s", what, err, out)
	}
}

// halfIsNotAdopted: a folder in which a restore was broken off is no office copy.
func halfIsNotAdopted(t *testing.T, dir, what string) {
	t.Helper()
	half := t.TempDir()
	if err := os.CopyFS(half, os.DirFS(filepath.Join(dir, "back"))); err != nil {
		return // nothing was made yet
	}
	missing := 0
	err := fs.WalkDir(os.DirFS(filepath.Join(dir, "usb")), ".", func(name string, d fs.DirEntry, err error) error {
		if _, serr := os.Stat(filepath.Join(half, name)); serr != nil && (strings.HasPrefix(name, "parts/") || strings.HasPrefix(name, "attachments/")) {
			missing++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := initIn(t, t.TempDir(), "", "adopt", "--data", half, "--sheet", filepath.Join(dir, "s", "recovery-sheet.txt"))
	if missing > 0 && (err == nil || !strings.Contains(out, "estore")) {
		t.Errorf("%s: %d files are missing, and adopt says %v\n%s", what, missing, err, out)
	}
}

// again runs what was killed once more: it goes on, says so, and what it leaves is whole.
func (v victim) again(t *testing.T, dir, what string) {
	t.Helper()
	v.between(t, dir, what)
	out, err := initIn(t, dir, "", v.args(dir)...)
	if err != nil || !strings.Contains(out, v.says) {
		t.Errorf("%s: again: %v\n%s", what, err, out)
	}
	v.after(t, dir, what)
	if out, err := initIn(t, dir, "", "verify"); err != nil || !strings.Contains(out, "Nothing is wrong") {
		t.Errorf("%s: verify: %v\n%s", what, err, out)
	}
	if left := leftIn(t, filepath.Join(dir, "m")); len(left) > 0 {
		t.Errorf("%s: in the office copy are left %v", what, left)
	}
}

// TestCopyKilled is T1 over second copies: each command is killed before its steps on the
// disk, and at any moment of its length. Run again it ends well; nothing is called
// complete that is not, nothing is left that stays for ever, and nothing is lost.
func TestCopyKilled(t *testing.T) {
	base := aCopied(t)
	for _, v := range victims() {
		t.Run(v.name, func(t *testing.T) {
			base := copyOffice(t, base)
			if v.first != nil {
				mustIn(t, base, v.first...)
			}
			step, last := max(1, 600 / *loops), 0
			for n := 1 + rand.IntN(step); ; n += step {
				dir, what := copyOffice(t, base), fmt.Sprintf("killed at step %d", n)
				out, err := initIn(t, dir, fmt.Sprint(n), v.args(dir)...)
				if err == nil {
					break
				}
				if !killed(err) {
					t.Fatalf("%s: %v\n%s", what, err, out)
				}
				last = n
				v.again(t, dir, what)
			}
			t.Logf("killed at steps up to %d, every %d", last, step)
			if last+step < v.steps {
				t.Errorf("it has %d steps only", last)
			}
			start := time.Now()
			whole := copyOffice(t, base)
			mustIn(t, whole, v.args(whole)...)
			length := time.Since(start)
			for range max(1, *loops/20) {
				dir := copyOffice(t, base)
				wait := time.Duration(rand.Int64N(int64(length)))
				v.killedAfter(t, dir, wait)
				v.again(t, dir, fmt.Sprintf("killed after %v", wait))
			}
		})
	}
}

// killedAfter kills it after a while, from outside.
func (v victim) killedAfter(t *testing.T, dir string, wait time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	c := exec.CommandContext(ctx, "chartcellar", v.args(dir)...)
	c.Env = append(os.Environ(), "CHARTCELLAR_CONFIG="+filepath.Join(dir, "s", "settings.toml"))
	if err := c.Run(); err != nil && !killed(err) && ctx.Err() == nil {
		t.Fatalf("it ended by itself with %v", err)
	}
}
