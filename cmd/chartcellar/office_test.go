package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"chartcellar/fhirsync/fakeemr"
	accounts "chartcellar/store/access"
	"chartcellar/store/keys"
)

// A shout is what a command prints, readable while it runs.
type shout struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shout) Write(p []byte) (int, error) { s.mu.Lock(); defer s.mu.Unlock(); return s.b.Write(p) }
func (s *shout) String() string              { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

// A served is a daemon in this process, with its pages on a free port.
type served struct {
	t    testing.TB
	e    *env
	out  *shout
	url  string
	stop func() int
	web  *http.Client
	// sheet is the recovery key as it stood on the page of the first run.
	sheet string
}

const ownerPassword = "grey herons over water"

// serveIn starts `serve` with settings in a folder and waits for its pages.
func serveIn(t testing.TB, dir string) *served {
	t.Helper()
	return serving(t, "--config", filepath.Join(dir, "settings", "settings.toml"), "serve", "--listen", "127.0.0.1:0")
}

// serving starts a command that serves pages, and waits for them.
func serving(t testing.TB, args ...string) *served {
	t.Helper()
	s := starting(t, args...)
	s.url = s.find(`(http://127\.0\.0\.1:\d+)/`)
	s.web = s.browser()
	return s
}

// servingOnly starts `serve` where there may be no pages.
func servingOnly(t *testing.T, dir string) *served {
	t.Helper()
	return starting(t, "--config", filepath.Join(dir, "settings", "settings.toml"), "serve", "--listen", "127.0.0.1:0")
}

// starting starts a command that goes on until it is stopped.
func starting(t testing.TB, args ...string) *served {
	t.Helper()
	s := &served{t: t, out: &shout{}}
	s.e = quick(&env{Stdin: strings.NewReader(""), Stdout: s.out, Stderr: s.out, Getenv: func(string) string { return "" }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() { done <- run(ctx, s.e, args) }()
	once := sync.OnceValue(func() int { cancel(); return <-done })
	s.stop = once
	t.Cleanup(func() { once() })
	return s
}

// find waits until something stands in the output.
func (s *served) find(pattern string) string {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	for range 3000 {
		if m := re.FindStringSubmatch(s.out.String()); m != nil {
			return m[1]
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("%s never came; it said:\n%s", pattern, s.out)
	return ""
}

// browser is one with its own cookies; it follows no redirect.
func (s *served) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// get opens a page.
func (s *served) get(path string) (int, string) {
	s.t.Helper()
	r, err := s.web.Get(s.url + path)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.read(r)
}

// post sends a form.
func (s *served) post(path string, form url.Values) (int, string) {
	s.t.Helper()
	r, err := s.web.PostForm(s.url+path, form)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.read(r)
}

// read returns the page, or where it leads.
func (s *served) read(r *http.Response) (int, string) {
	s.t.Helper()
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if to := r.Header.Get("Location"); to != "" {
		return r.StatusCode, to
	}
	return r.StatusCode, string(b)
}

// wants checks a status and what stands on the page.
func (s *served) wants(code int, body string, want int, parts ...string) {
	s.t.Helper()
	if code != want {
		s.t.Fatalf("status %d, want %d:\n%s", code, want, body)
	}
	for _, p := range parts {
		if !strings.Contains(body, p) {
			s.t.Fatalf("%q is not in\n%s", p, body)
		}
	}
}

func ownerForm(code, folder string) url.Values {
	return url.Values{"code": {code}, "practice": {"Harbour Street"}, "folder": {folder}, "name": {"reyes"}, "display": {"Dr. Reyes"},
		"password": {ownerPassword}, "again": {ownerPassword}}
}

// TestFirstRun goes through the first run as a person in a browser does: from nothing
// to a complete copy.
func TestFirstRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := filepath.Join(dir, "copy")
	s := serveIn(t, dir)
	code := s.find(`Setup code: (\S+)`)

	c, body := s.get("/")
	s.wants(c, body, http.StatusSeeOther, "/setup")
	c, body = s.post("/setup/owner", ownerForm("AAAAA-AAAAA-AAAAA-AAAAA", folder))
	s.wants(c, body, http.StatusUnprocessableEntity, "code")
	c, body = s.post("/setup/owner", ownerForm(code, "relative"))
	s.wants(c, body, http.StatusUnprocessableEntity, "whole path")
	weak := ownerForm(code, folder)
	weak.Set("password", "passwordpassword")
	weak.Set("again", "passwordpassword")
	c, body = s.post("/setup/owner", weak)
	s.wants(c, body, http.StatusUnprocessableEntity)
	if _, err := os.Stat(filepath.Join(folder, "mirror")); err == nil {
		t.Fatal("a refused form made a mirror")
	}

	// Two send the form at once: one makes it.
	results := make(chan int, 2)
	for range 2 {
		go func() {
			r, err := s.browser().PostForm(s.url+"/setup/owner", ownerForm(code, folder))
			if err != nil {
				t.Error(err)
				results <- 0
				return
			}
			r.Body.Close()
			results <- r.StatusCode
		}()
	}
	a, b := <-results, <-results
	if min(a, b) != http.StatusSeeOther || max(a, b) < 400 {
		t.Fatalf("two at once: %d and %d, want one that is led on and one that is refused\n%s", a, b, s.out)
	}
	c, body = s.post("/sign-in", url.Values{"name": {"reyes"}, "password": {ownerPassword}})
	s.wants(c, body, http.StatusSeeOther)
	s.provesSheet(folder)
	s.connects()
	s.finishes()
	if s.stop() != exitGood {
		t.Errorf("serve ended badly:\n%s", s.out)
	}
}

// provesSheet takes the sheet and types two of its check letters.
func (s *served) provesSheet(folder string) {
	s.t.Helper()
	c, body := s.get("/setup/emr")
	s.wants(c, body, http.StatusSeeOther, "/setup/sheet") // nothing before the key is on paper
	c, body = s.get("/setup/sheet?show=yes")
	s.wants(c, body, http.StatusOK)
	lines := regexp.MustCompile(`<th scope="row">(\d+)</th><td><code>([^<]+)</code></td><td><code>(\w\w)</code>`).FindAllStringSubmatch(body, -1)
	asked := regexp.MustCompile(`Check letters of line (\d+)`).FindAllStringSubmatch(body, -1)
	if len(lines) < 3 || len(asked) != 2 {
		s.t.Fatalf("%d lines, %d asked:\n%s", len(lines), len(asked), body)
	}
	letters, typed := map[string]string{}, ""
	for _, l := range lines {
		letters[l[1]] = l[3]
		typed += l[1] + ". " + l[2] + " [" + l[3] + "]\n"
	}
	if _, err := keys.ParseSheet(typed); err != nil {
		s.t.Fatalf("what is shown is no key: %v", err)
	}
	s.sheet = typed
	c, pdf := s.get("/setup/sheet.pdf")
	s.wants(c, pdf, http.StatusOK, "%PDF-")
	c, body = s.post("/setup/sheet", url.Values{"letters": {"ZZ", letters[asked[1][1]]}})
	s.wants(c, body, http.StatusUnprocessableEntity, "do not match")
	c, body = s.post("/setup/sheet", url.Values{"letters": {strings.ToLower(letters[asked[0][1]]), letters[asked[1][1]]}})
	s.wants(c, body, http.StatusSeeOther)
	if c, _ = s.get("/setup/sheet.pdf"); c != http.StatusNotFound {
		s.t.Errorf("the sheet can still be fetched after it was proven: %d", c)
	}
	for _, name := range []string{"recovery-sheet.age", "recovery-sheet.txt", "recovery-sheet.pdf"} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(folder), "settings", name)); err == nil {
			s.t.Errorf("%s lies there after the sheet was proven", name)
		}
	}
}

// connects stores an EMR in a box, tests it, and keeps a schedule.
func (s *served) connects() *fakeemr.EMR {
	s.t.Helper()
	emr, err := fakeemr.Start(fakeemr.Options{Practice: fakeemr.Practice{Patients: 4, Seed: 5, Years: 1}, Polls: -1})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { emr.Close() })
	emr.RegisterSecret("office", "emr-secret")
	c, body := s.get("/setup/emr")
	s.wants(c, body, http.StatusOK, "SMART backend service", "&#34;keys&#34;")
	form := url.Values{"source": {"emr"}, "base": {"ftp://x"}, "client": {"office"}, "auth": {"client-secret-basic"}, "secret": {"emr-secret"}}
	c, body = s.post("/setup/emr", form)
	s.wants(c, body, http.StatusUnprocessableEntity, "https://")
	form.Set("base", emr.BaseURL())
	form.Set("local", "yes")
	form.Set("ca", "no certificate")
	c, body = s.post("/setup/emr", form)
	s.wants(c, body, http.StatusUnprocessableEntity, "BEGIN CERTIFICATE")
	form.Set("ca", string(emr.CAPEM()))
	c, body = s.post("/setup/emr", form)
	s.wants(c, body, http.StatusOK, "The connection works")
	c, body = s.post("/setup/schedule", url.Values{"pull": {"own"}, "own": {"at teatime"}})
	s.wants(c, body, http.StatusUnprocessableEntity, "Nothing was changed")
	c, body = s.post("/setup/schedule", url.Values{"pull": {"every 4 h"}})
	s.wants(c, body, http.StatusSeeOther)
	c, body = s.post("/setup/skip", url.Values{"step": {"alerts"}})
	s.wants(c, body, http.StatusSeeOther)
	return emr
}

// ended waits until a run has ended, and checks what it came to.
func (s *served) ended(run int, verdict string) {
	s.t.Helper()
	body, c := "", 0
	for range 2000 {
		if c, body = s.get("/backups/progress"); strings.Contains(body, fmt.Sprintf("/backups/runs/%d\"", run)) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.wants(c, body, http.StatusOK, "The last one ended", verdict)
}

// finishes starts the first backup and waits for its end.
func (s *served) finishes() {
	s.t.Helper()
	c, body := s.post("/setup/finish", url.Values{})
	s.wants(c, body, http.StatusSeeOther, "/backups")
	s.ended(1, "complete")
	if c, _ = s.get("/setup"); c != http.StatusNotFound {
		s.t.Errorf("the setup can still be reached: %d", c)
	}
	c, body = s.get("/")
	s.wants(c, body, http.StatusOK, "Harbour Street")
}

// TestOwnerOfInit: a mirror that init made gets its owner by the code and the
// passphrase.
func TestOwnerOfInit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := quick(&env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: os.Stderr, Getenv: func(name string) string {
		return map[string]string{"CHARTCELLAR_PASSPHRASE": ownerPassword}[name]
	}})
	if code := run(t.Context(), e, []string{"--config", filepath.Join(dir, "settings", "settings.toml"), "init", "--data", filepath.Join(dir, "copy"),
		"--reserve-mb", "1"}); code != exitGood {
		t.Fatalf("init: %d", code)
	}
	s := serveIn(t, dir)
	code := s.find(`Setup code: (\S+)`)
	other := ownerForm(code, "")
	other.Set("password", "another row of words")
	other.Set("again", "another row of words")
	c, body := s.post("/setup/owner", other)
	s.wants(c, body, http.StatusUnprocessableEntity, "passphrase that was chosen")
	c, body = s.post("/setup/owner", ownerForm(code, ""))
	s.wants(c, body, http.StatusSeeOther)
	c, body = s.get("/settings")
	s.wants(c, body, http.StatusOK, "Dr. Reyes")
	if m := s.e.daemon.get().m; m.Locked() {
		t.Error("the owner is signed in and the mirror is locked")
	}
	c, body = s.post("/lock", url.Values{})
	s.wants(c, body, http.StatusSeeOther)
	if m := s.e.daemon.get().m; !m.Locked() {
		t.Error("nobody is signed in and the mirror is open")
	}
}

// TestCodeRunsOut: a code that is too old, or was tried too often, makes no owner.
func TestCodeRunsOut(t *testing.T) {
	now := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	f := &firstRun{e: &env{Stdout: io.Discard, clock: func() time.Time { return now }}}
	set := func(code string) {
		f.code.hash, f.code.until, f.code.wrong = accounts.CodeHash(code), now.Add(accounts.SetupTime), 0
	}
	set("ABCDE-FGH10-JKMNP-QRSTV")
	if !f.right("abcde fghio jkmnp qrstv") {
		t.Error("a code in another spelling is refused")
	}
	for range wrongCodes {
		if f.right("AAAAA") {
			t.Fatal("a wrong code counts")
		}
	}
	if f.right("ABCDE-FGH10-JKMNP-QRSTV") {
		t.Error("after many wrong codes the old one still counts")
	}
	set("ABCDE-FGH10-JKMNP-QRSTV")
	now = now.Add(accounts.SetupTime)
	if f.right("ABCDE-FGH10-JKMNP-QRSTV") {
		t.Error("a code of half an hour ago counts")
	}
}

// TestDemoServes: the demo, as a process of its own, ends by serving its practice with
// the sign-in that it prints, and leaves nothing behind.
func TestDemoServes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := &served{t: t, out: &shout{}}
	c := exec.Command("chartcellar", "demo", "--patients", "4")
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), "TMPDIR="+dir), s.out, s.out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := sync.OnceValue(c.Wait)
	t.Cleanup(func() { c.Process.Kill(); ended() })
	s.url = s.find(`(http://127\.0\.0\.1:\d+)/\n`)
	s.web = s.browser()
	password := s.find(`Sign in as demo with the password (\S+) `)
	code, body := s.post("/sign-in", url.Values{"name": {"demo"}, "password": {password}})
	s.wants(code, body, http.StatusSeeOther)
	code, body = s.get("/")
	s.wants(code, body, http.StatusOK, "Demo practice")
	if n := s.number(body, "Patients"); n != 4 {
		t.Errorf("Home shows %d patients", n)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := ended(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, s.out)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}
