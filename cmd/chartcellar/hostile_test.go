package main

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
	"chartcellar/fhirsync/schedule"
	accounts "chartcellar/store/access"
)

// owned goes through the first run up to the proven sheet, and returns the key of the
// sheet as a person types it into a file.
func owned(t *testing.T) (s *served, dir, sheet string) {
	t.Helper()
	dir = t.TempDir()
	s = serveIn(t, dir)
	c, body := s.post("/setup/owner", ownerForm(s.find(`Setup code: (\S+)`), filepath.Join(dir, "copy")))
	s.wants(c, body, http.StatusSeeOther, "/setup/sheet")
	_, body = s.get("/setup/sheet?show=yes")
	for _, l := range regexp.MustCompile(`<th scope="row">(\d+)</th><td><code>([^<]+)</code></td><td><code>(\w\w)</code>`).FindAllStringSubmatch(body, -1) {
		sheet += l[1] + ". " + l[2] + " [" + l[3] + "]\n"
	}
	s.provesSheet(filepath.Join(dir, "copy"))
	file := filepath.Join(dir, "sheet.txt")
	if err := os.WriteFile(file, []byte(sheet), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, dir, file
}

// command runs another command with the settings of a daemon, and returns what it says.
func (s *served) command(dir string, want int, args ...string) string {
	s.t.Helper()
	out := &shout{}
	e := quick(&env{Stdin: strings.NewReader(""), Stdout: out, Stderr: out, Getenv: func(string) string { return "" }})
	if code := run(s.t.Context(), e, append([]string{"--config", filepath.Join(dir, "settings", "settings.toml")}, args...)); code != want {
		s.t.Fatalf("%v: exit %d, want %d\n%s", args, code, want, out)
	}
	return out.String()
}

// codeIn finds a setup code in what a command said.
func codeIn(t *testing.T, text string) string {
	t.Helper()
	m := regexp.MustCompile(`Setup code: (\S+)`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no code in %q", text)
	}
	return m[1]
}

func (s *served) finishesWithoutEMR() {
	s.t.Helper()
	for _, step := range []string{"emr", "schedule", "alerts"} {
		c, body := s.post("/setup/skip", url.Values{"step": {step}})
		s.wants(c, body, http.StatusSeeOther)
	}
	c, body := s.post("/setup/finish", url.Values{})
	s.wants(c, body, http.StatusSeeOther, "/")
}

// TestRescue: with the recovery key one more owner is let in while the pages are
// served, once, and nobody without the code.
func TestRescue(t *testing.T) {
	t.Parallel()
	s, dir, sheet := owned(t)
	s.finishesWithoutEMR()
	s.web = s.browser()
	c, body := s.get("/setup/owner")
	s.wants(c, body, http.StatusSeeOther, "/sign-in")
	said := s.command(dir, exitGood, "accounts", "rescue", "--sheet", sheet)
	code := codeIn(t, said)
	if !strings.Contains(said, s.url+"/setup/owner") {
		t.Errorf("it does not say where the code is typed: %s", said)
	}
	c, body = s.get("/setup/owner")
	s.wants(c, body, http.StatusOK, "name=\"code\"")
	for _, path := range []string{"/setup", "/setup/sheet", "/setup/emr", "/setup/sheet.pdf"} {
		c, body = s.get(path)
		s.wants(c, body, http.StatusSeeOther, "/sign-in")
	}
	form := ownerForm(code, "")
	form.Set("name", "second")
	wrong := ownerForm("AAAAA-AAAAA-AAAAA-AAAAA", "")
	c, body = s.post("/setup/owner", wrong)
	s.wants(c, body, http.StatusUnprocessableEntity, "code")
	c, body = s.post("/setup/owner", form)
	s.wants(c, body, http.StatusSeeOther)
	if body != "/" {
		t.Errorf("the new owner is led to %s, where the setup is over", body)
	}
	c, body = s.get("/settings/accounts")
	s.wants(c, body, http.StatusOK, "second", "reyes")
	s.web = s.browser()
	form.Set("name", "third")
	c, body = s.post("/setup/owner", form) // the same code again
	s.wants(c, body, http.StatusSeeOther, "/sign-in")
	if list, err := s.e.daemon.get().office.Load().accounts.Accounts(); err != nil || len(list) != 2 {
		t.Errorf("accounts: %v, %v", list, err)
	}
}

// TestStartOver: accounts that are damaged close the pages, never the backups; with the
// recovery key the practice begins with new ones, though its first run is long over.
func TestStartOver(t *testing.T) {
	t.Parallel()
	s, dir, sheet := owned(t)
	s.finishesWithoutEMR()
	s.stop()
	file := filepath.Join(dir, "copy", "access.db")
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := servingOnly(t, dir)
	broken.find(`(accounts start-over)`)
	said := broken.command(dir, exitFailed, "accounts")
	if !strings.Contains(said, "not served") {
		t.Errorf("accounts says %s", said)
	}
	said = broken.command(dir, exitBusy, "accounts", "start-over", "--sheet", sheet)
	if !strings.Contains(said, "chartcellar serve") {
		t.Errorf("while serve runs it says %s", said)
	}
	broken.command(dir, exitGood, "schedule")
	broken.stop()
	s.command(dir, exitGood, "accounts", "start-over", "--sheet", sheet)

	s = serveIn(t, dir)
	c, body := s.get("/")
	s.wants(c, body, http.StatusSeeOther, "/setup")
	c, body = s.get("/setup")
	s.wants(c, body, http.StatusSeeOther, "/setup/owner")
	c, body = s.get("/setup/owner")
	s.wants(c, body, http.StatusOK)
	c, body = s.post("/setup/owner", ownerForm(s.find(`Setup code: (\S+)`), ""))
	s.wants(c, body, http.StatusSeeOther)
	if body != "/" {
		t.Errorf("the new owner is led to %s, where the setup is over", body)
	}
	c, body = s.get("/settings")
	s.wants(c, body, http.StatusOK, "Dr. Reyes")
	if list, err := s.e.daemon.get().office.Load().accounts.Accounts(); err != nil || len(list) != 1 || list[0].Role != accounts.Owner {
		t.Errorf("accounts: %v, %v", list, err)
	}
}

// TestSheetBesideOwner: a check of the sheet, while an owner is signed in or comes in at
// that moment, neither locks the mirror under his hands, nor leaves it open, nor puts
// the key of the sheet in the place of the office key.
func TestSheetBesideOwner(t *testing.T) {
	t.Parallel()
	s, dir, sheet := owned(t)
	s.finishesWithoutEMR()
	s.command(dir, exitGood, "keys", "check-sheet", sheet)
	c, body := s.post("/confirm", url.Values{"password": {ownerPassword}})
	s.wants(c, body, http.StatusSeeOther)
	c, body = s.post("/settings/accounts", url.Values{"name": {"stan"}, "role": {"staff"}, "password": {"four other words here"}, "again": {"four other words here"}})
	s.wants(c, body, http.StatusSeeOther)
	m := s.e.daemon.get().m
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 20 {
				s.command(dir, exitGood, "keys", "check-sheet", sheet)
			}
		})
	}
	for range 4 {
		c, body = s.post("/lock", nil)
		s.wants(c, body, http.StatusSeeOther)
		c, body = s.post("/unlock", url.Values{"password": {ownerPassword}})
		s.wants(c, body, http.StatusSeeOther)
		if m.Locked() {
			t.Error("the owner is signed in and the mirror is locked")
		}
	}
	c, body = s.post("/lock", nil)
	s.wants(c, body, http.StatusSeeOther)
	wg.Wait()
	if !m.Locked() {
		t.Error("nobody is signed in and the mirror is open")
	}
}

// TestPortTaken: pages that cannot be opened to the network stay where they were, and
// backups go on.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	dir := t.TempDir()
	s := serveIn(t, dir)
	c, body := s.post("/setup/owner", ownerForm(s.find(`Setup code: (\S+)`), filepath.Join(dir, "copy")))
	s.wants(c, body, http.StatusSeeOther)
	o := s.e.daemon.get().office.Load()
	if err := o.front.listen(l.Addr().String()); err == nil {
		t.Fatal("a port that is taken was opened")
	}
	c, body = s.get("/setup/sheet")
	s.wants(c, body, http.StatusOK)
	s.web = s.browser() // a connection of its own
	c, body = s.get("/sign-in")
	s.wants(c, body, http.StatusOK)

	// The listener breaks: the copy is kept all the same.
	o.front.mu.Lock()
	o.front.l.Close()
	o.front.mu.Unlock()
	s.find(`(The pages are no longer served)`)
	s.command(dir, exitGood, "schedule")
	if s.stop() != exitGood {
		t.Errorf("serve ended badly:\n%s", s.out)
	}
}

// TestSlowScreen: somebody who lets the output of a command wait holds nobody up.
func TestSlowScreen(t *testing.T) {
	t.Parallel()
	s, emr := settled(t)
	if _, err := emr.Changes(1); err != nil {
		t.Fatal(err)
	}
	d := s.e.daemon.get()
	wait := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := d.runNow(t.Context(), schedule.Job{Source: "emr", Kind: schedule.Full}, func(fhirsync.Event) { <-wait })
		done <- err
	}()
	for range 1000 {
		if runs, err := d.m.Runs(); err == nil && len(runs) > 1 && !runs[0].Ended.IsZero() {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.idle()
	select {
	case err := <-done:
		t.Fatalf("the command ended, though its output waits: %v", err)
	default:
	}
	close(wait)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestStopInMidPull: with a pull under way, a browser that keeps its connection, one
// that has sent half a request and a page that is being made, serve ends in time.
func TestStopInMidPull(t *testing.T) {
	t.Parallel()
	s, emr := settled(t)
	c, body := s.post("/backups/stop", nil) // nothing runs
	s.wants(c, body, http.StatusSeeOther)
	emr.Set(fakeemr.Faults{Drip: 10})
	var busy, led atomic.Int32
	var wg sync.WaitGroup
	for range 4 { // four at once: one begins
		wg.Go(func() {
			r, err := s.web.PostForm(s.url+"/backups/run", url.Values{"full": {"yes"}})
			if err != nil {
				t.Error(err)
				return
			}
			r.Body.Close()
			if r.StatusCode == http.StatusSeeOther {
				led.Add(1)
			} else if r.StatusCode == http.StatusConflict {
				busy.Add(1)
			}
		})
	}
	wg.Wait()
	if led.Load() == 0 || led.Load()+busy.Load() != 4 {
		t.Errorf("Run now four times: %d led on, %d refused", led.Load(), busy.Load())
	}
	c, body = s.get("/backups")
	s.wants(c, body, http.StatusOK, "/backups/progress")
	half, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	if _, err := half.Write([]byte("POST /backups/run HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\nhalf")); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if code := s.stop(); code != exitGood {
		t.Errorf("serve ended with %d:\n%s", code, s.out)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v to stop", took)
	}
}

// TestStopInTest: serve stops while the connection is tested to a computer that takes
// the call and says nothing; no secret is in the log.
func TestStopInTest(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, _, _ := owned(t)
	form := url.Values{"source": {"emr"}, "base": {"https://" + l.Addr().String() + "/fhir"}, "client": {"office"},
		"auth": {"client-secret-basic"}, "secret": {"emr-secret-9"}, "local": {"yes"}}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if r, err := s.web.PostForm(s.url+"/setup/emr", form); err == nil {
			r.Body.Close()
		}
	}()
	if _, err := l.Accept(); err != nil { // it is being tested
		t.Fatal(err)
	}
	began := time.Now()
	if code := s.stop(); code != exitGood {
		t.Errorf("serve ended with %d:\n%s", code, s.out)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	<-gone
	if strings.Contains(s.out.String(), "emr-secret-9") {
		t.Errorf("the secret of the EMR is in the log:\n%s", s.out)
	}
}

// TestHostileForms: what is typed into a form stays a value: it adds no line to the
// settings, names no file elsewhere, and is refused before anything is written.
func TestHostileForms(t *testing.T) {
	t.Parallel()
	s, dir, _ := owned(t)
	settings := filepath.Join(dir, "settings", "settings.toml")
	o := s.e.daemon.get().office.Load()
	form := url.Values{"source": {"../../evil"}, "base": {"https://127.0.0.1:1/fhir"}, "client": {"a\"\nlisten = \"0.0.0.0:1\""},
		"auth": {"client-secret-basic"}, "secret": {"emr-secret-9"}, "group": {"../../Group?x=1#\"\n[[source]]"}, "local": {"yes"}}
	if c, body := s.post("/setup/emr", form); c >= http.StatusInternalServerError {
		t.Fatalf("%d\n%s", c, body)
	}
	if got, err := s.e.settings(); err != nil || len(got.Sources) > 1 || got.Listen != o.d.settings().Listen && got.Listen != config.DefaultListen {
		t.Fatalf("the settings are now %+v, %v", got, err)
	}
	ca := filepath.Join(dir, "settings", "emr-ca.pem")
	good, err := makeCertificate([]string{"emr.example"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	form.Set("client", "office")
	form.Set("group", "all")
	form.Set("ca", string(good))
	if c, body := s.post("/setup/emr", form); c >= http.StatusInternalServerError {
		t.Fatalf("%d\n%s", c, body)
	}
	before, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	other, err := makeCertificate([]string{"other.example"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	form.Set("ca", string(other))
	form.Set("base", "ftp://nowhere")
	c, body := s.post("/setup/emr", form)
	s.wants(c, body, http.StatusUnprocessableEntity)
	if after, err := os.ReadFile(ca); err != nil || string(after) != string(before) {
		t.Errorf("a form that was refused put another authority in place: %v", err)
	}

	// The settings are edited to nonsense: what was in force stays, and the pages say so.
	sane, err := os.ReadFile(settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(settings, []byte("verify = \"at teatime\"\nnonsense = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, body = s.post("/setup/schedule", url.Values{"pull": {"every 4 h"}})
	s.wants(c, body, http.StatusUnprocessableEntity, "Nothing is lost")
	if got := o.d.settings(); got.Practice != "Harbour Street" || len(got.Sources) != 1 {
		t.Errorf("in force are %+v", got)
	}
	if err := os.WriteFile(settings, sane, 0o600); err != nil {
		t.Fatal(err)
	}
	c, body = s.post("/setup/schedule", url.Values{"pull": {"every 4 h"}})
	s.wants(c, body, http.StatusSeeOther)
	if got := o.d.settings().Listen; got != "127.0.0.1:0" {
		t.Errorf("after a change of the settings the pages are thought at %s, not where --listen said", got)
	}
}

// TestForged: a foreign name, a foreign page, a form that is too large, and one in
// pieces that never ends.
func TestForged(t *testing.T) {
	t.Parallel()
	s, _, _ := owned(t)
	ask := func(change func(*http.Request)) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/setup/skip", strings.NewReader("step=emr"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		change(r)
		res, err := s.web.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	for _, row := range []struct {
		name   string
		want   int
		change func(*http.Request)
	}{
		{"a foreign name", http.StatusMisdirectedRequest, func(r *http.Request) { r.Host = "evil.example" }},
		{"a name that ends like ours", http.StatusMisdirectedRequest, func(r *http.Request) { r.Host = "127.0.0.1.evil.example" }},
		{"a foreign page", http.StatusForbidden, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }},
		{"a page of nowhere", http.StatusForbidden, func(r *http.Request) { r.Header.Set("Origin", "null") }},
		{"another port", http.StatusForbidden, func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:1") }},
		{"a foreign site", http.StatusForbidden, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }},
		{"too large", http.StatusRequestEntityTooLarge, func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("step="+strings.Repeat("x", 70<<10))), 5+(70<<10)
		}},
		{"too large, in pieces", http.StatusRequestEntityTooLarge, func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("step="+strings.Repeat("x", 70<<10))), -1
		}},
		{"ours", http.StatusSeeOther, func(*http.Request) {}},
	} {
		if got := ask(row.change); got != row.want {
			t.Errorf("%s: %d, want %d", row.name, got, row.want)
		}
	}
}
