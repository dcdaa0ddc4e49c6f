package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/fhirsync/fakeemr"
	"chartcellar/store/storetest"
)

// A oneCopy is an office copy with one complete pull, and what opens it.
type oneCopy struct {
	dir, copy, sheet, box string
	records, patients     int
}

const copyPhrase = "four words are enough"

// newCopy makes one with the commands that a practice uses.
func newCopy(t *testing.T) oneCopy {
	t.Helper()
	dir := t.TempDir()
	f := oneCopy{dir: dir, copy: filepath.Join(dir, "copy"), sheet: filepath.Join(dir, "settings", "recovery-sheet.txt"),
		box: filepath.Join(dir, "settings", "box.key")}
	emr, err := fakeemr.Start(fakeemr.Options{Practice: fakeemr.Practice{Patients: 4, Seed: 5, Years: 1}, Polls: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { emr.Close() })
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, emr.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	f.command(t, "init", "--data", f.copy, "--practice", "Harbour Street", "--reserve-mb", "1")
	if err := emr.RegisterKey("office", []byte(f.command(t, "connect", "signing-key", "emr"))); err != nil {
		t.Fatal(err)
	}
	f.command(t, "connect", "emr", "--base", emr.BaseURL(), "--level", "system", "--client-id", "office", "--ca", ca, "--local", "--rate", "-1")
	f.command(t, "sync")
	var st status
	if err := json.Unmarshal([]byte(f.command(t, "--json", "status")), &st); err != nil {
		t.Fatal(err)
	}
	f.records, f.patients = st.Records, st.Patients
	return f
}

// command runs a command that must end well, and returns what it prints.
func (f oneCopy) command(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	e := quick(&env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(name string) string {
		return map[string]string{"CHARTCELLAR_PASSPHRASE": copyPhrase}[name]
	}})
	if code := run(t.Context(), e, append([]string{"--config", filepath.Join(f.dir, "settings", "settings.toml")}, args...)); code != exitGood {
		t.Fatalf("%s: exit %d: %s%s", args[0], code, out.String(), errs.String())
	}
	return out.String()
}

// carried copies the four folders that a second copy has.
func (f oneCopy) carried(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "usb")
	for _, name := range []string{"mirror", "parts", "attachments", "holdings", "checkpoints"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(f.copy, name))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// stateOf is everything that can be told of a folder.
func stateOf(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var b []byte
		if d.Type().IsRegular() {
			if b, err = os.ReadFile(name); err != nil {
				return err
			}
		}
		list = append(list, fmt.Sprintf("%s %s %s %x", name, info.Mode(), info.ModTime(), sha256.Sum256(b)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// lookAt starts `serve --read-only` on a disk that cannot be written, without settings.
func lookAt(t *testing.T, still *storetest.Still, stdin string, args ...string) *served {
	t.Helper()
	s := &served{t: t, out: &shout{}}
	s.e = quick(&env{Stdin: strings.NewReader(stdin), Stdout: s.out, Stderr: s.out, disk: still, Getenv: func(name string) string {
		return map[string]string{"CHARTCELLAR_PASSPHRASE": copyPhrase, "CHARTCELLAR_CONFIG": "/nowhere/settings.toml"}[name]
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() { done <- run(ctx, s.e, append([]string{"serve", "--read-only"}, args...)) }()
	s.stop = sync.OnceValue(func() int { cancel(); return <-done })
	t.Cleanup(func() { s.stop() })
	s.url = s.find(`(http://127\.0\.0\.1:\d+)/`)
	s.web = s.browser()
	return s
}

// code is the last that was printed.
func (s *served) code() string {
	s.t.Helper()
	s.find(`Code to sign in: (\S+)`)
	list := strings.Split(s.out.String(), "Code to sign in: ")
	return strings.Fields(list[len(list)-1])[0]
}

func (s *served) signsIn() {
	s.t.Helper()
	c, body := s.post("/sign-in", url.Values{"password": {s.code()}})
	s.wants(c, body, http.StatusSeeOther)
}

// TestLooking: a plain copy is opened with the sheet, shows what it holds, refuses
// whatever would change something, and stays as it was.
func TestLooking(t *testing.T) {
	t.Parallel()
	f := newCopy(t)
	dir, still := f.carried(t), &storetest.Still{}
	before := stateOf(t, dir)
	s := lookAt(t, still, "", dir, "--sheet", f.sheet)
	c, body := s.get("/")
	s.wants(c, body, http.StatusSeeOther, "/sign-in")
	c, body = s.get("/sign-in")
	s.wants(c, body, http.StatusOK, "only being looked at", "window where the program was started")
	c, body = s.post("/sign-in", url.Values{"password": {"AAAAA-AAAAA-AAAAA-AAAAA"}})
	s.wants(c, body, http.StatusUnprocessableEntity, "not the code")
	used := s.code()
	s.signsIn()
	c, body = s.post("/sign-in", url.Values{"password": {used}})
	s.wants(c, body, http.StatusUnprocessableEntity, "not the code")

	c, body = s.get("/log") // of the time before the copy was made
	s.wants(c, body, http.StatusOK, "added an EMR")

	c, body = s.get("/")
	s.wants(c, body, http.StatusOK, "Harbour Street", "This copy is only being looked at. It is complete as of", "is <strong>not</strong> recorded")
	if r, p := s.number(body, "Records"), s.number(body, "Patients"); r != f.records || p != f.patients || p != 4 {
		t.Errorf("Home says %d records of %d patients, the mirror has %d of %d", r, p, f.records, f.patients)
	}
	if strings.Contains(body, "Back up now") || strings.Contains(body, "Not set up yet") {
		t.Error("Home offers what cannot be done")
	}
	s.crawls()

	// Nobody else in, and locked when nobody is there.
	other := s.browser()
	if r, err := other.Get(s.url + "/"); err != nil || r.StatusCode != http.StatusSeeOther {
		t.Errorf("another browser gets %v, %v", r, err)
	}
	c, body = s.post("/lock", url.Values{})
	s.wants(c, body, http.StatusSeeOther)
	c, body = s.get("/")
	s.wants(c, body, http.StatusSeeOther, "/lock")
	c, body = s.post("/unlock", url.Values{"password": {used}})
	s.wants(c, body, http.StatusUnprocessableEntity)
	c, body = s.post("/unlock", url.Values{"password": {s.code()}})
	s.wants(c, body, http.StatusSeeOther)
	c, body = s.get("/")
	s.wants(c, body, http.StatusOK)

	if s.stop() != exitGood {
		t.Errorf("it ended badly:\n%s", s.out)
	}
	if tried := still.Tried(); len(tried) > 0 {
		t.Errorf("writing was tried: %q", tried)
	}
	if after := stateOf(t, dir); !slices.Equal(before, after) {
		t.Errorf("the folder changed:\n%s\nwas\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
}

// crawls opens every page and sends every form.
func (s *served) crawls() {
	s.t.Helper()
	month := time.Now().Format("2006-01")
	fill := strings.NewReplacer("{$}", "", "{run}", "1", "{month}", month, "{step}", "emr", "{id}", "reader", "{name}", "none")
	for _, r := range viewer.Routes() {
		path := fill.Replace(r.Path)
		switch {
		case r.Writes:
			if c, body := s.post(path, url.Values{}); c != http.StatusForbidden || !strings.Contains(body, "only being looked at") {
				s.t.Errorf("%s %s: %d", r.Method, path, c)
			}
		case r.Method == http.MethodGet:
			if c, body := s.get(path); c >= http.StatusInternalServerError {
				s.t.Errorf("%s: %d\n%s", path, c, body)
			}
		}
	}
	for _, path := range []string{"/backups", "/backups/runs", "/backups/runs/1", "/backups/schedule", "/backups/gaps", "/backups/copies", "/backups/drill", "/backups/holdings", "/backups/held",
		"/backups/coverage", "/backups/storage", "/backups/changes", "/reports", "/reports/" + month, "/settings", "/log"} {
		c, body := s.get(path)
		s.wants(c, body, http.StatusOK)
	}
}

// TestLookingWays: a folder is opened with the lines of the key as they are typed, with
// a passphrase where the box key is, and beside the daemon that keeps it.
func TestLookingWays(t *testing.T) {
	t.Parallel()
	f := newCopy(t)
	text, err := os.ReadFile(f.sheet)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("typed", func(t *testing.T) {
		s := lookAt(t, &storetest.Still{}, sheetKey(string(text)), f.carried(t))
		s.signsIn()
		c, body := s.get("/")
		s.wants(c, body, http.StatusOK, "It is complete as of")
	})
	t.Run("passphrase", func(t *testing.T) {
		before := stateOf(t, f.copy)
		s := lookAt(t, &storetest.Still{}, "", f.copy, "--box", f.box)
		s.signsIn()
		c, body := s.get("/")
		s.wants(c, body, http.StatusOK, "It is complete as of")
		s.stop()
		if !slices.Equal(before, stateOf(t, f.copy)) {
			t.Error("the mirror changed")
		}
	})
	t.Run("beside the daemon", func(t *testing.T) {
		d := serveIn(t, f.dir)
		s := lookAt(t, &storetest.Still{}, "", f.copy, "--sheet", f.sheet)
		s.signsIn()
		c, body := s.get("/")
		s.wants(c, body, http.StatusOK, "It is complete as of")
		f.command(t, "sync")
		f.command(t, "status")
		s.wants(c, body, http.StatusOK)
		if s.stop() != exitGood || d.stop() != exitGood {
			t.Errorf("one ended badly:\n%s\n%s", s.out, d.out)
		}
		f.command(t, "verify", "--depth", "full")
	})
}

// TestLookingRefuses: what cannot be opened is said, with what to do.
func TestLookingRefuses(t *testing.T) {
	t.Parallel()
	f, other := newCopy(t), newCopy(t)
	exchanged := other.carried(t)
	write := func(name, text string) string {
		t.Helper()
		name = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	sheet, err := os.ReadFile(f.sheet)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(other.sheet)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Replace(sheetKey(string(sheet)), "AGE", "AGF", 1)
	mixed := strings.Replace(string(sheet), sheetKey(string(sheet)), sheetKey(string(key)), 1)
	for _, tt := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"the sheet of another practice", []string{f.carried(t), "--sheet", other.sheet}, exitLocked, "does not open the copy"},
		{"a wrong letter", []string{f.carried(t), "--sheet", write("key", lines)}, exitLocked, "Line 1"},
		{"no key at all", []string{f.carried(t)}, exitLocked, "no recovery key"},
		{"a folder that is no mirror", []string{t.TempDir(), "--sheet", f.sheet}, exitFailed, "There is no office copy"},
		{"no folder", []string{filepath.Join(t.TempDir(), "none"), "--sheet", f.sheet}, exitFailed, "There is no office copy"},
		{"a copy that is not the sheet's", []string{exchanged, "--sheet", write("mixed", mixed)}, exitDamage, "was exchanged"},
		{"a passphrase without slots", []string{f.carried(t), "--box", f.box}, exitLocked, "no passphrases"},
		{"the network", []string{f.carried(t), "--sheet", f.sheet, "--listen", "0.0.0.0:0"}, exitUsage, "this computer only"},
		{"two keys", []string{f.carried(t), "--sheet", f.sheet, "--box", f.box}, exitUsage, "not both"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := &shout{}
			e := quick(&env{Stdin: strings.NewReader(""), Stdout: out, Stderr: out, disk: &storetest.Still{}, Getenv: func(name string) string {
				return map[string]string{"CHARTCELLAR_PASSPHRASE": copyPhrase}[name]
			}})
			if code := run(t.Context(), e, append([]string{"serve", "--read-only"}, tt.args...)); code != tt.code || !strings.Contains(out.String(), tt.says) {
				t.Errorf("exit %d, want %d: %s", code, tt.code, out)
			}
		})
	}
}

// TestLookingAtDamage: a damaged part is said on the console and on Home, and what can
// be read is shown.
func TestLookingAtDamage(t *testing.T) {
	t.Parallel()
	f := newCopy(t)
	dir := f.carried(t)
	parts, err := filepath.Glob(filepath.Join(dir, "parts", "*", "*.age"))
	if err != nil || len(parts) < 2 {
		t.Fatalf("%v, %v", parts, err)
	}
	var b []byte
	var name, number string
	for _, p := range parts { // the largest holds records
		if c, err := os.ReadFile(p); err != nil {
			t.Fatal(err)
		} else if len(c) > len(b) {
			b, name, number = c, p, strings.TrimLeft(strings.TrimSuffix(filepath.Base(p), ".ndjson.zst.age"), "0")
		}
	}
	if err := os.WriteFile(name, b[:len(b)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	s := lookAt(t, &storetest.Still{}, "", dir, "--sheet", f.sheet)
	s.find(`(PROBLEM: Part ` + number + ` of the archive cannot be read)`)
	s.signsIn()
	c, body := s.get("/")
	s.wants(c, body, http.StatusOK, "Damage was found: Part "+number+" of the archive cannot be read", "look for another copy")
	if st := s.number(body, "Records"); st >= f.records {
		t.Errorf("%d records are said to be here, there were %d", st, f.records)
	}
	s.crawls()
}
