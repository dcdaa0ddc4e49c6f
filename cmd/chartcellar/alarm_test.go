package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/control"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/config"
	"chartcellar/fhirsync/fakeemr"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	accounts "chartcellar/store/access"
	"chartcellar/store/disk"
)

// A daemonTest is a daemon in this process whose schedule does not run: the test says
// what is done.
type daemonTest struct {
	t   *testing.T
	dir string
	e   *env
	emr *fakeemr.EMR
	d   *daemon
	out *bytes.Buffer
}

// newDaemonTest makes a mirror, connected to an EMR in a box, with these alert settings.
func newDaemonTest(t *testing.T, set ...string) *daemonTest {
	t.Helper()
	dir := t.TempDir()
	emr, ca := startEMR(t, dir, fakeemr.Practice{Patients: 4, Seed: 11, Years: 1})
	i := &daemonTest{t: t, dir: dir, emr: emr, out: &bytes.Buffer{}}
	i.e = i.env()
	for _, args := range append(setUp(dir, ca, emr), []string{"config", "check"}, append([]string{"alerts", "set"}, set...)) {
		i.run(args...)
	}
	return i
}

// env is that of a new process.
func (i *daemonTest) env() *env {
	return quick(&env{Stdin: strings.NewReader(""), Stdout: i.out, Stderr: i.out, Getenv: func(name string) string {
		return map[string]string{"CHARTCELLAR_CONFIG": i.settings(), "CHARTCELLAR_CLIENT_SECRET": "s",
			"CHARTCELLAR_SMTP_PASSWORD": "pass-7"}[name]
	}})
}

func (i *daemonTest) settings() string { return filepath.Join(i.dir, "s", "settings.toml") }

// run carries a command out; it must go well.
func (i *daemonTest) run(args ...string) string {
	i.t.Helper()
	i.out.Reset()
	if code := run(i.t.Context(), i.env(), args); code != 0 {
		i.t.Fatalf("%v: exit %d\n%s", args, code, i.out)
	}
	return i.out.String()
}

// serving calls f while the daemon is there.
func (i *daemonTest) serving(f func(ctx context.Context)) {
	i.t.Helper()
	e := i.env()
	e.clock = i.e.clock
	e.daemon = &daemonSlot{ready: make(chan struct{})}
	err := e.withMirror(i.t.Context(), access{doing: "serve", write: true, alone: true}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		d, err := e.newDaemon(s, m)
		if err != nil {
			return err
		}
		e.daemon.set(d)
		i.e, i.d = e, d
		f(ctx)
		return nil
	})
	if err != nil {
		i.t.Fatal(err)
	}
}

// ask carries a command out as another process would have it done by the daemon.
func (i *daemonTest) ask(args ...string) (string, int) {
	var out bytes.Buffer
	code := i.e.answer(i.d.m)(i.t.Context(), control.Call{Version: release, Args: append([]string{"--config=" + i.settings()}, args...)}, &out, &out)
	return out.String(), code
}

// pull does one pull, and looks what there is to tell.
func (i *daemonTest) pull(ctx context.Context) {
	i.d.do(ctx, schedule.Start{Job: schedule.Job{Source: "emr", Kind: schedule.Pull}})
	i.d.alarm.look(ctx)
}

// noNames fails if a message holds a patient's name or birth date, a secret or an
// address of the EMR.
func (i *daemonTest) noNames(texts ...string) {
	i.t.Helper()
	all := strings.Join(texts, "\n")
	for _, word := range whoTheyAre(i.t, i.emr) {
		if strings.Contains(all, word) {
			i.t.Errorf("a message holds %q", word)
		}
	}
	if strings.Contains(all, i.emr.BaseURL()) {
		i.t.Error("a message holds the EMR's address")
	}
}

// TestAlarm: an EMR that refuses the sign-in is told once, and that it is well again;
// an EMR that is away for a moment is told to nobody.
func TestAlarm(t *testing.T) {
	box := newLetterbox(t)
	i := newDaemonTest(t, "--mail-to", "owner@practice.example,second@practice.example", "--smtp", box.addr, "--smtp-plain")
	if got := subjects(box.take()); strings.Count(got, "owner changed settings") != 2 {
		t.Errorf("the first addresses were told: %s", got)
	}
	var all []string
	i.serving(func(ctx context.Context) {
		i.pull(ctx)
		if got := box.take(); len(got) != 0 {
			t.Fatalf("after a good run: %s", got)
		}
		i.emr.Set(fakeemr.Faults{TokenStatus: 401, TokenError: "invalid_client"})
		for range 3 {
			i.pull(ctx)
		}
		got := box.take()
		all = append(all, got...)
		if s := subjects(got); len(got) != 2 || strings.Count(s, "Urgent: emr refuses our sign-in, since ") != 2 {
			t.Errorf("a refused sign-in: %s", s)
		}
		if body := got[0]; !strings.Contains(body, "Nothing that was copied is lost. Ask the vendor") {
			t.Errorf("the mail does not say what to do:\n%s", body)
		}
		if out, _ := i.ask("status"); !strings.Contains(out, "NO       The sign-in to the EMR works") {
			t.Errorf("status of a refused sign-in: %s", out)
		}
	})
	i.serving(func(ctx context.Context) { // started again, it does not forget what was told
		i.d.alarm.look(ctx)
		if got := box.take(); len(got) != 0 {
			t.Errorf("after a new start: %s", got)
		}
		i.emr.Set(fakeemr.Faults{})
		i.pull(ctx)
		got := box.take()
		all = append(all, got...)
		if s := subjects(got); len(got) != 2 || strings.Count(s, "All well again: emr refuses our sign-in") != 2 {
			t.Errorf("well again: %s", s)
		}
		i.emr.Set(fakeemr.Faults{TokenStatus: 503})
		i.pull(ctx)
		if got := box.take(); len(got) != 0 {
			t.Errorf("an EMR that is away once: %s", got)
		}
		i.pull(ctx)
		i.pull(ctx)
		got = box.take()
		all = append(all, got...)
		if s := subjects(got); len(got) != 2 || !strings.Contains(s, "emr has a fault of its own") {
			t.Errorf("an EMR that is away three times: %s", s)
		}
	})
	i.noNames(all...)
	if out := i.run("alerts"); !strings.Contains(out, "NOBODY IS TOLD BY ITSELF") || !strings.Contains(out, "warning: emr has a fault of its own") ||
		!strings.Contains(out, "mail to owner@practice.example") || !strings.Contains(out, "works, last just now") {
		t.Errorf("alerts: %s", out)
	}
}

// TestDeadMailServer: it holds up no pull, and another way tells of it.
func TestDeadMailServer(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the alert command of this test is a shell script")
	}
	dir := t.TempDir()
	script, heard := filepath.Join(dir, "alert"), filepath.Join(dir, "heard")
	syscall.ForkLock.RLock() // a program that another test starts must not hold it open: it could not run
	err := os.WriteFile(script, []byte("#!/bin/sh\necho \"$CHARTCELLAR_SUBJECT\" >> "+heard+"\n"), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes calls and never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	i := newDaemonTest(t, "--command", script)
	i.serving(func(ctx context.Context) {
		if out, code := i.ask("alerts", "set", "--mail-to", "owner@practice.example", "--smtp", l.Addr().String(), "--smtp-plain"); code != 0 {
			t.Fatalf("exit %d: %s", code, out)
		}
		ctx, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { i.d.alarm.run(ctx) })
		i.d.do(ctx, schedule.Start{Job: schedule.Job{Source: "emr", Kind: schedule.Pull}}) // while the mail waits
		if runs, err := i.d.m.Runs(); err != nil || len(runs) == 0 || runs[0].Verdict != "complete" {
			t.Errorf("the pull: %v, %v", runs, err)
		}
		began := time.Now()
		stop()
		wg.Wait()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("stopped after %v", took)
		}
		l.Close() // now it refuses at once
		i.d.alarm.look(i.t.Context())
		i.d.alarm.look(i.t.Context())
	})
	b, err := os.ReadFile(heard)
	if err != nil || strings.Count(string(b), "Alerts over mail to owner@practice.example do not arrive") != 1 {
		t.Errorf("the command heard %q, %v", b, err)
	}
	if out := i.run("alerts"); !strings.Contains(out, "FAILS since") || !strings.Contains(out, "could not be reached") {
		t.Errorf("alerts: %s", out)
	}
}

// TestChangesAreTold: whoever was told of alerts hears that he is not any more; the
// file edited by hand, also while nothing runs; accounts.
func TestChangesAreTold(t *testing.T) {
	box := newLetterbox(t)
	i := newDaemonTest(t, "--mail-to", "old@practice.example", "--smtp", box.addr, "--smtp-plain")
	box.take()
	edit := func(from, to string) {
		b, err := os.ReadFile(i.settings())
		if err != nil || !bytes.Contains(b, []byte(from)) {
			t.Fatalf("settings without %q: %v", from, err)
		}
		if err := disk.ReplaceFile(disk.OS{}, i.settings(), bytes.Replace(b, []byte(from), []byte(to), 1)); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what string, want ...string) {
		t.Helper()
		got := strings.Join(box.take(), "\n")
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: no %q in\n%s", what, w, got)
			}
		}
	}
	i.serving(func(ctx context.Context) {
		if out, code := i.ask("alerts", "set", "--mail-to", "new@practice.example"); code != 0 {
			t.Fatalf("exit %d: %s", code, out)
		}
		i.d.alarm.look(ctx)
		expect("a new address", "old@practice.example: My practice: owner changed settings.", "new@practice.example: My practice: owner changed", "Changed: who gets alerts by mail.", "If none of you did this")
		if err := i.d.reload(); err != nil {
			t.Fatal(err)
		}
		i.d.alarm.look(ctx)
		if got := box.take(); len(got) > 0 {
			t.Errorf("told twice, the second time as edited by hand: %s", got)
		}
		edit(`pull = "daily 02:00"`, `pull = "daily 03:00"`)
		if err := i.d.reload(); err != nil {
			t.Fatal(err)
		}
		i.d.alarm.look(ctx)
		expect("edited by hand", "Somebody who edited the settings file changed settings.", "when emr is copied")
		i.d.told(accounts.Event{Code: accounts.CodeReset, Account: "grace", Target: "henry", Alert: true})
		i.d.told(accounts.Event{Code: accounts.CodeSignIn, Account: "grace"})
		i.d.alarm.look(ctx)
		expect("a new password", "grace gave an account a new password.", "Account: henry")
	})
	edit(`mail_to = ["new@practice.example"]`, `mail_to = ["thief@elsewhere.example"]`)
	i.serving(func(ctx context.Context) {
		i.d.alarm.look(ctx)
		expect("edited while nothing ran", "new@practice.example: My practice: Somebody at this computer changed", "thief@elsewhere.example: My practice: Somebody at this computer changed")
		i.d.alarm.look(ctx)
		if got := box.take(); len(got) > 0 {
			t.Errorf("told twice: %s", got)
		}
	})
	i.run("alerts", "set", "--mail-to", "owner@practice.example")
	expect("with no serve", "thief@elsewhere.example: My practice: owner changed", "owner@practice.example: My practice: owner changed")
}

// TestMailPassword: it is sealed by a command and used for the mail; a change that could
// not be told for want of it is told later.
func TestMailPassword(t *testing.T) {
	box := newLetterbox(t)
	i := newDaemonTest(t, "--mail-to", "owner@practice.example", "--smtp", box.addr, "--smtp-plain", "--smtp-user", "office")
	if out := i.out.String(); !strings.Contains(out, "NOTE: mail to owner@practice.example could not be told") {
		t.Errorf("without a password: %s", out)
	}
	i.run("alerts", "password")
	got := subjects(box.take())
	if !strings.Contains(got, "Somebody at this computer changed settings.") || !strings.Contains(got, "owner changed the password for the mail server.") {
		t.Errorf("told: %s", got)
	}
	box.mu.Lock()
	defer box.mu.Unlock()
	if len(box.users) < 2 || box.users[0] != ":office:pass-7" || box.users[1] != "<nil>" {
		t.Errorf("signed in as %q", box.users)
	}
}

// TestFolderGone: that the folder is gone, or an older one is in its place, is told
// once, however often serve is started.
func TestFolderGone(t *testing.T) {
	box := newLetterbox(t)
	i := newDaemonTest(t, "--mail-to", "owner@practice.example", "--smtp", box.addr, "--smtp-plain")
	i.run("sync")
	data, aside := filepath.Join(i.dir, "m"), filepath.Join(i.dir, "aside")
	i.serving(func(ctx context.Context) { i.d.alarm.look(ctx) })
	box.take()
	older := filepath.Join(i.dir, "older")
	if err := os.CopyFS(older, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(data, aside); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		e := i.env()
		if code := run(t.Context(), e, []string{"serve"}); code != exitFailed {
			t.Errorf("serve without its folder: exit %d", code)
		}
	}
	if got := box.take(); len(got) != 1 || !strings.Contains(got[0], "Urgent: The folder of the office copy is not there.") || !strings.Contains(got[0], "plug it in") {
		t.Errorf("the folder is gone: %s", got)
	}
	if err := os.Rename(aside, data); err != nil {
		t.Fatal(err)
	}
	i.serving(func(ctx context.Context) {
		i.d.alarm.look(ctx)
		if got := subjects(box.take()); !strings.Contains(got, "All well again: The folder") {
			t.Errorf("the folder is back: %s", got)
		}
		i.emr.Changes(1)
		i.pull(ctx)
		box.take()
		if err := os.Rename(filepath.Join(data, "mirror"), filepath.Join(data, "away")); err != nil {
			t.Fatal(err)
		}
		i.d.alarm.look(ctx)
		if got := subjects(box.take()); !strings.Contains(got, "Urgent: The folder") {
			t.Errorf("the folder went while serve runs: %s", got)
		}
		if err := os.Rename(filepath.Join(data, "away"), filepath.Join(data, "mirror")); err != nil {
			t.Fatal(err)
		}
		i.d.alarm.look(ctx)
		box.take()
	})
	if err := os.Rename(data, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(older, data); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if code := run(t.Context(), i.env(), []string{"serve"}); code != exitDamage {
			t.Errorf("serve over an older folder: exit %d\n%s", code, i.out)
		}
	}
	if got := box.take(); len(got) != 1 || !strings.Contains(got[0], "is an older one than this computer has seen") {
		t.Errorf("an older folder: %s", got)
	}
}

// TestPingIsDownAndFolderGone: while the folder is gone a ping that does not arrive is not
// told as well again.
func TestPingIsDownAndFolderGone(t *testing.T) {
	box := newLetterbox(t)
	i := newDaemonTest(t, "--mail-to", "owner@practice.example", "--smtp", box.addr, "--smtp-plain", "--ping", "http://127.0.0.1:9/")
	box.take()
	mirror, away := filepath.Join(i.dir, "m", "mirror"), filepath.Join(i.dir, "m", "away")
	i.serving(func(ctx context.Context) {
		i.pull(ctx)
		i.d.alarm.look(ctx)
		if got := box.take(); len(got) != 1 || !strings.Contains(got[0], "The ping that tells of each good run does not arrive") {
			t.Errorf("the ping is down: %s", got)
		}
		if err := os.Rename(mirror, away); err != nil {
			t.Fatal(err)
		}
		i.d.alarm.look(ctx)
		if err := os.Rename(away, mirror); err != nil {
			t.Fatal(err)
		}
		if got := box.take(); len(got) != 1 || !strings.Contains(got[0], "Urgent: The folder of the office copy is not there.") {
			t.Errorf("the folder is gone too: %s", got)
		}
		if err := i.e.end(ctx, errors.New("whatever")); err == nil {
			t.Error("end hands no error on")
		}
		if got := subjects(box.take()); strings.Contains(got, "All well again") || !strings.Contains(got, "chartcellar could not go on") {
			t.Errorf("serve has ended: %s", got)
		}
	})
}

// TestClocks: a clock that was set back is told until the EMR's proves it right; one
// that differs from the EMR's is not to be trusted.
func TestClocks(t *testing.T) {
	box := newLetterbox(t)
	i := newDaemonTest(t, "--mail-to", "owner@practice.example", "--smtp", box.addr, "--smtp-plain")
	// Nothing is due in the hours of this test, at whatever time of day it runs.
	i.run("schedule", "set", "--pull", "daily "+time.Now().Add(12*time.Hour).Format("15:04"), "--downtime", "off")
	box.take()
	ahead := time.Duration(0)
	i.e.clock = func() time.Time { return time.Now().Add(ahead) }
	i.serving(func(ctx context.Context) {
		i.pull(ctx)
		ahead = 3 * time.Hour
		i.d.alarm.look(ctx)
		if got := subjects(box.take()); got != "" {
			t.Errorf("before: %s", got)
		}
		ahead = 0
		i.d.alarm.look(ctx)
		i.d.alarm.look(ctx)
		if got := box.take(); len(got) != 1 || !strings.Contains(got[0], "This computer's clock was set back by ") {
			t.Errorf("set back: %s", got)
		}
		if out, _ := i.ask("status"); !strings.Contains(out, "FAILED") || !strings.Contains(out, "clock was set back") {
			t.Errorf("status: %s", out)
		}
		i.pull(ctx)
		if got := subjects(box.take()); !strings.Contains(got, "All well again: This computer's clock was set back") {
			t.Errorf("proven right: %s", got)
		}
		i.emr.Set(fakeemr.Faults{DateSkew: 2 * time.Minute})
		i.pull(ctx)
		if got := subjects(box.take()); !strings.Contains(got, "clock and the EMR's differ by ") {
			t.Errorf("two minutes: %s", got)
		}
		ahead = 60 * time.Hour
		i.d.alarm.look(ctx)
		if got := subjects(box.take()); !strings.Contains(got, "by your schedule there should be a newer one") {
			t.Errorf("overdue: %s", got)
		}
	})
}

// TestPingAndStatusFile: each good run is told to the service elsewhere, a failed one
// is not; the file says what the command says.
func TestPingAndStatusFile(t *testing.T) {
	var mu sync.Mutex
	var beats []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		beats = append(beats, r.URL.Path)
	}))
	defer s.Close()
	file := filepath.Join(t.TempDir(), "status.json")
	i := newDaemonTest(t, "--ping", s.URL+"/ping/secret", "--status-file", file)
	i.serving(func(ctx context.Context) {
		i.pull(ctx)
		i.d.alarm.look(ctx)
		i.emr.Set(fakeemr.Faults{TokenStatus: 503})
		i.pull(ctx)
		mu.Lock()
		if strings.Join(beats, " ") != "/ping/secret" {
			t.Errorf("beats %q", beats)
		}
		mu.Unlock()
		var got, want struct{ Word, Sentence string }
		b, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(b, &got)
		}
		out, _ := i.ask("--json", "status")
		if err != nil || json.Unmarshal([]byte(out), &want) != nil || got != want || got.Word == "" {
			t.Errorf("the file says %v, status %v; %v", got, want, err)
		}
		s.Close()
		out, code := i.ask("alerts", "test")
		if code != exitFailed || !strings.Contains(out, "FAILED   ping of 127.0.0.1") || strings.Contains(out, "secret") || !strings.Contains(out, "good     status file") {
			t.Errorf("test: exit %d, %s", code, out)
		}
	})
	b, err := os.ReadFile(i.settings())
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.ReplaceFile(disk.OS{}, i.settings(), bytes.Replace(b, []byte("mail_to = []"), []byte(`mail_to = ["nobody"]`), 1)); err != nil {
		t.Fatal(err)
	}
	i.serving(func(ctx context.Context) { // one setting that cannot be used leaves no other way untested
		out, code := i.ask("alerts", "test")
		if code != exitFailed || !strings.Contains(out, "FAILED   settings: ") || !strings.Contains(out, "FAILED   ping of 127.0.0.1") || !strings.Contains(out, "good     status file") {
			t.Errorf("test with a bad address: exit %d, %s", code, out)
		}
	})
}

// TestReportsAreSent: the weekly line and the monthly report go to the mail addresses
// only, and are in the schedule only if there are some.
func TestReportsAreSent(t *testing.T) {
	box := newLetterbox(t)
	i := newDaemonTest(t, "--mail-to", "owner@practice.example", "--smtp", box.addr, "--smtp-plain")
	i.run("sync")
	box.take()
	i.serving(func(ctx context.Context) {
		for _, kind := range []schedule.Kind{schedule.Weekly, schedule.Monthly} {
			if out := i.d.do(ctx, schedule.Start{Job: schedule.Job{Kind: kind}}); !out.Success {
				t.Errorf("%s: not sent", kind)
			}
		}
		got := box.take()
		if len(got) != 2 || !strings.Contains(got[0], "emr 1 of 1 nights complete; NOT verified; second copy: not set up; root ") ||
			!strings.Contains(got[1], "owner@practice.example: My practice: Report from 1 ") || !strings.Contains(got[1], "nights with a complete copy") {
			t.Errorf("sent: %s", got)
		}
		i.noNames(got...)
		if out, _ := i.ask("schedule"); !strings.Contains(out, "weekly") {
			t.Errorf("schedule: %s", out)
		}
		if out, code := i.ask("alerts", "set", "--mail-to", ""); code != 0 {
			t.Errorf("exit %d: %s", code, out)
		}
		if out, _ := i.ask("schedule"); strings.Contains(out, "weekly") {
			t.Errorf("schedule without mail: %s", out)
		}
	})
}

// TestOfficeAlerts: what the page may set, and what it refuses in words.
func TestOfficeAlerts(t *testing.T) {
	box := newLetterbox(t)
	i := newDaemonTest(t, "--status-file", filepath.Join(t.TempDir(), "s.json"))
	who := viewer.Actor{Account: "grace"}
	i.serving(func(ctx context.Context) {
		o := &office{e: i.e, d: i.d, m: i.d.m}
		if _, err := o.TestAlert(ctx, who); err != nil {
			t.Errorf("TestAlert with a status file: %v", err)
		}
		good := viewer.Alerts{Mail: []string{"a@practice.example"}, Ping: "https://hc-ping.com/x"}
		if err := o.SetAlerts(ctx, who, good); err == nil || !strings.Contains(err.Error(), "no mail server") {
			t.Errorf("without a mail server: %v", err)
		}
		i.ask("alerts", "set", "--smtp", box.addr, "--smtp-plain")
		for _, bad := range []viewer.Alerts{
			{Mail: []string{"a@practice.example\r\nBcc: x@elsewhere.example"}}, {Mail: []string{"nobody"}}, {Mail: []string{"Grace <a@practice.example>, b@x.example"}},
			{Ping: "ftp://x.example/"}, {Ping: "http://elsewhere.example/"}, {Ping: "https://u:p@x.example/"}, {Ping: "https://x.example/\r\ny"},
		} {
			err := o.SetAlerts(ctx, who, bad)
			if r := (*viewer.Refusal)(nil); !errors.As(err, &r) || !strings.Contains(r.Words, "Nothing was changed") {
				t.Errorf("SetAlerts(%q) = %v", bad, err)
			}
		}
		if err := o.SetAlerts(ctx, who, good); err != nil || len(i.d.settings().Alerts.MailTo) != 1 {
			t.Errorf("SetAlerts = %v", err)
		}
		i.d.alarm.look(ctx)
		if got := subjects(box.take()); !strings.Contains(got, "a@practice.example: My practice: grace changed settings.") {
			t.Errorf("told: %s", got)
		}
	})
}
