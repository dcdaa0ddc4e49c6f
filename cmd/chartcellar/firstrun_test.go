package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// aProcess starts `serve` as a process of its own, on a disk that may kill it.
func aProcess(t *testing.T, dir, kill string) (s *served, c *exec.Cmd, ended func() error) {
	t.Helper()
	s = &served{t: t, out: &shout{}}
	c = exec.Command("chartcellar", "--config", filepath.Join(dir, "settings", "settings.toml"), "serve", "--listen", "127.0.0.1:0")
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), "CHARTCELLAR_TEST_KILL="+kill), s.out, s.out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended = sync.OnceValue(c.Wait)
	t.Cleanup(func() { c.Process.Kill(); ended() })
	s.url = s.find(`(http://127\.0\.0\.1:\d+)/`)
	s.web = s.browser()
	return s, c, ended
}

// TestFirstRunKilled kills the first run at each of its steps on the disk. There is
// always a way on: the same form, or a sign-in, leads to the sheet, which opens the
// mirror; and no key lies in clear.
func TestFirstRunKilled(t *testing.T) {
	every := min(6, max(1, 600 / *loops)) // each step with -crash.loops=600
	var survived atomic.Bool
	for n := 1 + rand.IntN(every); n < 80; n += every {
		t.Run(fmt.Sprintf("at step %d", n), func(t *testing.T) {
			t.Parallel()
			if survived.Load() {
				return // it has no more steps
			}
			dir := t.TempDir()
			folder := filepath.Join(dir, "copy")
			s, _, ended := aProcess(t, dir, fmt.Sprint(n))
			r, err := s.web.PostForm(s.url+"/setup/owner", ownerForm(s.find(`Setup code: (\S+)`), folder))
			if err == nil {
				r.Body.Close()
				survived.Store(true)
				return
			}
			if err := ended(); !killed(err) {
				t.Fatalf("not killed: %v\n%s", err, s.out)
			}
			noClearKey(t, dir)
			s, c, ended := aProcess(t, dir, "")
			s.goesOn(folder)
			noClearKey(t, dir)
			if left, _ := filepath.Glob(filepath.Join(dir, "settings", "*.tmp")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			c.Process.Signal(os.Interrupt)
			if err := ended(); err != nil {
				t.Errorf("it ended with %v\n%s", err, s.out)
			}
		})
	}
}

// goesOn makes the owner, if there is none, signs in and takes the sheet.
func (s *served) goesOn(folder string) {
	s.t.Helper()
	c, to := s.get("/")
	s.wants(c, to, http.StatusSeeOther)
	if strings.HasPrefix(to, "/setup") {
		c, body := s.post("/setup/owner", ownerForm(s.find(`Setup code: (\S+)`), folder))
		s.wants(c, body, http.StatusSeeOther)
	}
	c, body := s.post("/sign-in", url.Values{"name": {"reyes"}, "password": {ownerPassword}})
	s.wants(c, body, http.StatusSeeOther)
	c, body = s.get("/setup/sheet?show=yes")
	s.wants(c, body, http.StatusOK)
	typed := ""
	for _, l := range regexp.MustCompile(`<th scope="row">(\d+)</th><td><code>([^<]+)</code></td><td><code>(\w\w)</code>`).FindAllStringSubmatch(body, -1) {
		typed += l[1] + ". " + l[2] + " [" + l[3] + "]\n"
	}
	file := filepath.Join(s.t.TempDir(), "sheet.txt")
	if err := os.WriteFile(file, []byte(typed), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.command(filepath.Dir(folder), exitGood, "keys", "check-sheet", file)
	s.provesSheet(folder)
}

// noClearKey looks for an age key in every file of a folder.
func noClearKey(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		if bytes.Contains(b, []byte("AGE-SECRET-KEY")) {
			t.Errorf("%s holds a key in clear", name)
		}
		if info, serr := d.Info(); serr == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v", name, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFirstRunRefuses: a folder that is not for us, and a practice whose name cannot
// stand in the settings, are refused in words, before anything is made.
func TestFirstRunRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	used, old := filepath.Join(dir, "used"), filepath.Join(dir, "old")
	for _, f := range []string{filepath.Join(used, "letters.txt"), filepath.Join(old, "mirror", "000001.json")} {
		if err := os.MkdirAll(filepath.Dir(f), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := serveIn(t, dir)
	code := s.find(`Setup code: (\S+)`)
	for _, row := range []struct{ name, folder, practice, want string }{
		{"a folder with letters", used, "Harbour Street", "something in the folder"},
		{"a folder with a copy", old, "Harbour Street", "office copy in"},
		{"a file", filepath.Join(used, "letters.txt"), "Harbour Street", "is a file"},
		{"below a file", filepath.Join(used, "letters.txt", "x"), "Harbour Street", "Nothing was made yet"},
		{"a zero byte", dir + "/a\x00b", "Harbour Street", "Nothing was made yet"},
		{"no real disk", "/proc/copy", "Harbour Street", "Nothing was made yet"},
		{"a bell", filepath.Join(dir, "copy"), "Har\abour", "cannot stand in the settings"},
	} {
		form := ownerForm(code, row.folder)
		form.Set("practice", row.practice)
		c, body := s.post("/setup/owner", form)
		if c != http.StatusUnprocessableEntity || !strings.Contains(body, row.want) {
			t.Errorf("%s: %d\n%s", row.name, c, body)
		}
	}
	for _, folder := range []string{used, old} {
		if _, err := os.Stat(filepath.Join(folder, "access.db")); err == nil {
			t.Errorf("something was written into %s", folder)
		}
	}
	form := ownerForm(code, filepath.Join(dir, "copy"))
	form.Set("practice", "Dr. \"Q\" = [x]\n# \\ Ünal")
	c, body := s.post("/setup/owner", form)
	s.wants(c, body, http.StatusSeeOther)
}

// TestFirstRunUnwritable: where the settings cannot be written, the form says so, and
// no copy is begun.
func TestFirstRunUnwritable(t *testing.T) {
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Skip("there is no folder here that even root cannot write")
	}
	folder := filepath.Join(t.TempDir(), "copy")
	s := serving(t, "--config", "/proc/self/settings/settings.toml", "serve", "--listen", "127.0.0.1:0")
	c, body := s.post("/setup/owner", ownerForm(s.find(`Setup code: (\S+)`), folder))
	s.wants(c, body, http.StatusUnprocessableEntity, "cannot be written", "IT person")
	if _, err := os.Stat(filepath.Join(folder, "mirror")); err == nil {
		t.Error("a copy was begun")
	}
}
