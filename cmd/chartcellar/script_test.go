package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
	accounts "chartcellar/store/access"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
	"chartcellar/store/storetest"
)

func TestMain(m *testing.M) {
	testscript.Main(telling{m}, map[string]func(){"chartcellar": func() {
		keys.CheapForTests()
		os.Exit(start(func(e *env) { quick(e).disk = doomed() }))
	}})
}

// cheapWork is what a password costs in tests.
var cheapWork = accounts.Work{Time: 1, Memory: 8, Threads: 1, Floor: -1}

// quick takes away what only costs time: the work of passwords, the pace of requests, and
// most of the bytes that are kept to be given up when the disk is full.
func quick(e *env) *env {
	e.work, e.rate, e.spare = cheapWork, -1, 64<<10
	return e
}

// doomed is the disk of a process of a test: with CHARTCELLAR_TEST_KILL, one on
// which it dies.
func doomed() disk.FS {
	if spec := os.Getenv("CHARTCELLAR_TEST_KILL"); spec != "" {
		return storetest.NewKiller(spec)
	}
	return nil
}

// emrs are the EMRs of running scripts, by the script's folder.
type emrs struct {
	mu   sync.Mutex // scripts run at the same time
	list map[string]*fakeemr.EMR
}

// TestScripts runs the transcripts in testdata/script: each command with what it
// prints and its exit code, against an EMR in a box.
func TestScripts(t *testing.T) {
	e := &emrs{list: map[string]*fakeemr.EMR{}}
	r := &remotes{t: t, sftps: map[string]*storetest.SFTPServer{}, s3s: map[string]*storetest.Bucket{}}
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: e.setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":  exitCode,
			"emr":   e.control,
			"flip":  flip,
			"word":  lossWord,
			"zip":   zipFile,
			"unzip": unzip,
			"equal": equalNDJSON,
			"needs": needs,
			"sumof": sumOf,
			"owner": ownerBy,
			"sftp":  r.sftp,
			"s3":    r.s3,
		},
	})
}

// setup starts an EMR and says in the environment how to reach it.
func (e *emrs) setup(env *testscript.Env) error {
	o := fakeemr.Options{Practice: fakeemr.Practice{Patients: 5, Seed: 3, Years: 2}, Polls: -1}
	// The EMR of this script gives documents by their address only.
	o.HideBinary = strings.Contains(env.WorkDir, "script-complete")
	emr, err := fakeemr.Start(o)
	if err != nil {
		return err
	}
	env.Defer(func() { emr.Close() })
	emr.RegisterSecret("office", "emr-secret")
	e.mu.Lock()
	e.list[env.WorkDir] = emr
	e.mu.Unlock()
	ca := filepath.Join(env.WorkDir, "ca.pem")
	if err := os.WriteFile(ca, emr.CAPEM(), 0o600); err != nil {
		return err
	}
	env.Setenv("CHARTCELLAR_CONFIG", filepath.Join(env.WorkDir, "settings", "settings.toml"))
	env.Setenv("CHARTCELLAR_CLIENT_SECRET", "emr-secret")
	docs, err := filepath.Abs(filepath.Join("..", "..", "docs"))
	if err != nil {
		return err
	}
	env.Setenv("DOCS", docs)
	env.Setenv("UNITS", filepath.Join(docs, "..", "cmd", "chartcellar", "testdata", "units"))
	env.Setenv("BASE", emr.BaseURL())
	env.Setenv("CA", ca)
	env.Setenv("STORAGE", emr.StorageURL())
	env.Setenv("EVIL", emr.EvilURL())
	env.Setenv("SOON", time.Now().AddDate(0, 0, 20).Format(time.DateOnly))
	env.Setenv("CONNECT", "--base="+emr.BaseURL())
	return nil
}

// unzip writes the files of a zip file into a new folder: unzip FILE FOLDER
func unzip(ts *testscript.TestScript, _ bool, args []string) {
	z, err := zip.OpenReader(ts.MkAbs(args[0]))
	ts.Check(err)
	defer z.Close()
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), &z.Reader))
}

// sumOf checks that a certificate is the one that a checkpoint signs:
// sumof FILE CHECKPOINT
func sumOf(ts *testscript.TestScript, _ bool, args []string) {
	content := strings.TrimSuffix(ts.ReadFile(args[0]), "\n")
	want := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
	if !strings.Contains(ts.ReadFile(args[1]), want) {
		ts.Fatalf("the checkpoint does not carry %s", want)
	}
}

// drawn are the code and the page that `accounts code` prints.
var drawn = regexp.MustCompile(`(?s)Setup code: (\S+).*Type it at (\S+)`)

// ownerBy makes an owner on the pages, with the code that stood last in the output:
// owner NAME PASSWORD
func ownerBy(ts *testscript.TestScript, neg bool, args []string) {
	if m := drawn.FindStringSubmatch(ts.ReadFile("stdout")); m != nil {
		ts.Setenv("CODE", m[1])
		ts.Setenv("PAGE", m[2])
	}
	form := url.Values{"code": {ts.Getenv("CODE")}, "name": {args[0]}, "display": {"Dr. " + args[0]}, "password": {args[1]}, "again": {args[1]}}
	web := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := web.PostForm(ts.Getenv("PAGE"), form)
	ts.Check(err)
	defer r.Body.Close()
	made := r.StatusCode == http.StatusSeeOther && r.Header.Get("Location") == "/"
	if made == neg {
		ts.Fatalf("owner %s: %s, to %q", args[0], r.Status, r.Header.Get("Location"))
	}
}

// exitCode runs chartcellar and checks its exit code: code 12 sync
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("chartcellar", args[1:]...)
	got := 0
	var exit *exec.ExitError
	if err != nil {
		if e, ok := err.(*exec.ExitError); ok {
			exit = e
			got = exit.ExitCode()
		}
	}
	if fmt.Sprint(got) != args[0] || neg {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// control sets a fault or makes a day: emr html /metadata
func (e *emrs) control(ts *testscript.TestScript, _ bool, args []string) {
	e.mu.Lock()
	emr := e.list[ts.Getenv("WORK")]
	e.mu.Unlock()
	switch args[0] {
	case "day":
		if _, err := emr.Changes(1); err != nil {
			ts.Fatalf("%v", err)
		}
	case "untouched":
		if s := emr.Served(); s.Evil > 0 || s.Leaks > 0 {
			ts.Fatalf("the evil listener saw %d requests, %d leaks", s.Evil, s.Leaks)
		}
	case "register": // emr register CLIENT FILE: the key set of a client
		ts.Check(emr.RegisterKey(args[1], []byte(ts.ReadFile(args[2]))))
	case "exports": // emr exports 3 2: how many were asked for in all, and for changes only
		if s := emr.Served(); fmt.Sprint(s.KickOffs, s.Since) != args[1]+" "+args[2] {
			ts.Fatalf("%d exports, %d of changes; want %s, %s", s.KickOffs, s.Since, args[1], args[2])
		}
	case "set": // any dials, as JSON
		var f fakeemr.Faults
		if err := json.Unmarshal([]byte(args[1]), &f); err != nil {
			ts.Fatalf("%v", err)
		}
		emr.Set(f)
	case "edit":
		ts.Check(emr.EditSilently(args[1], args[2], func(m map[string]any) { m["language"] = "en" }))
	case "good":
		emr.Set(fakeemr.Faults{})
	case "html":
		emr.Set(fakeemr.Faults{HTML: args[1]})
	case "version":
		emr.Set(fakeemr.Faults{FHIRVersion: args[1]})
	case "unauthorized":
		emr.Set(fakeemr.Faults{Unauthorized: args[1]})
	case "files": // at storage, evil
		emr.Set(fakeemr.Faults{FileRedirect: args[1]})
	case "expired":
		emr.Set(fakeemr.Faults{ExpiredCertificate: true})
	case "clock":
		emr.Set(fakeemr.Faults{DateSkew: 2 * time.Hour})
	case "gap":
		emr.Set(fakeemr.Faults{ErrorFile: "export failed", ErrorType: "Observation"})
	case "put":
		if _, err := emr.Put([]byte(strings.TrimSpace(ts.ReadFile(args[1])))); err != nil {
			ts.Fatalf("%v", err)
		}
	case "delete":
		emr.Delete(args[1], args[2])
	case "value":
		ts.Setenv(args[1], valueAt(ts, emr, args[2], args[3]))
	case "note":
		ts.Setenv(args[1], putNote(ts, emr, args[2]))
	case "lose":
		n := 0
		err := emr.EachAt("Observation", time.Now(), func(id string, _ []byte) error {
			if n++; n <= 30 {
				emr.Delete("Observation", id)
			}
			return nil
		})
		if err != nil || n < 30 {
			ts.Fatalf("%d observations, %v", n, err)
		}
	default:
		ts.Fatalf("emr: %s?", args[0])
	}
}

// valueAt returns a value of a record at the EMR: emr value NAME Patient/pat-1 name.0.family
func valueAt(ts *testscript.TestScript, emr *fakeemr.EMR, ref, path string) string {
	typ, id, _ := strings.Cut(ref, "/")
	line, ok := emr.Resource(typ, id)
	if !ok {
		ts.Fatalf("the EMR has no %s", ref)
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		ts.Fatalf("%v", err)
	}
	for step := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n >= len(at) {
				ts.Fatalf("%s: nothing at %s", ref, path)
			}
			v = at[n]
		}
	}
	if v == nil {
		ts.Fatalf("%s: nothing at %s", ref, path)
	}
	return fmt.Sprint(v)
}

// putNote writes a note of a patient, with a word that stands nowhere else, and
// returns the word: emr note WORD pat-1
func putNote(ts *testscript.TestScript, emr *fakeemr.EMR, patient string) string {
	word := fmt.Sprintf("Zyx%dé", rand.Uint32())
	text := base64.StdEncoding.EncodeToString([]byte("Seen today.\nThe plan: more " + word + " every day.\n"))
	sum := sha1.Sum([]byte("Seen today.\nThe plan: more " + word + " every day.\n"))
	line := fmt.Sprintf(`{"resourceType":"DocumentReference","id":"noted","status":"current","type":{"text":"Letter"},"subject":{"reference":"Patient/%s"},`+
		`"date":"2026-05-05","author":[{"reference":"Practitioner/prac-1"}],"content":[{"attachment":{"contentType":"text/plain","data":"%s","hash":"%s"}},`+
		`{"attachment":{"contentType":"image/jpeg","url":"https://files.example/x.jpg"}},{"attachment":{"contentType":"text/plain","data":"%s","size":7}}]}`,
		patient, text, base64.StdEncoding.EncodeToString(sum[:]), text)
	if _, err := emr.Put([]byte(line)); err != nil {
		ts.Fatalf("%v", err)
	}
	return word
}

// needs says that programs are missing: a script is then left out, but never in
// CI: [!exec:age] needs age
func needs(ts *testscript.TestScript, _ bool, args []string) {
	if os.Getenv("CHARTCELLAR_CI") != "" {
		ts.Fatalf("%v is not installed", args)
	}
	leftOut.Lock()
	defer leftOut.Unlock()
	leftOut.list = append(leftOut.list, fmt.Sprintf("left out: %s, because %s is not installed", ts.Name(), strings.Join(args, " ")))
}

// leftOut are the tests that were not passed here for want of a program.
var leftOut struct {
	sync.Mutex
	list []string
}

// telling runs the tests and then names what was left out.
type telling struct{ m *testing.M }

func (t telling) Run() int {
	code := storetest.InMemory(t.m)
	for _, line := range leftOut.list {
		fmt.Fprintln(os.Stderr, line)
		tellPerson(line)
	}
	return code
}

// tellPerson prints a line where whoever typed "go test ./..." sees it: go test
// keeps what a passing package prints to itself. On Linux that is where the go
// command itself reports errors, elsewhere the terminal.
func tellPerson(line string) {
	places := []string{"/dev/tty", "CONOUT$"}
	if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", os.Getppid())); err == nil && strings.TrimSpace(string(comm)) == "go" {
		places = append([]string{fmt.Sprintf("/proc/%d/fd/2", os.Getppid())}, places...)
	}
	for _, p := range places {
		f, err := os.OpenFile(p, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			continue
		}
		_, err = fmt.Fprintf(f, "chartcellar/cmd/chartcellar: %s\n", line)
		if f.Close(); err == nil {
			return
		}
	}
}

// lossWord puts the word that the command before has shown into the environment.
func lossWord(ts *testscript.TestScript, _ bool, _ []string) {
	m := regexp.MustCompile(`--declare-lost=([0-9a-f]+)`).FindStringSubmatch(ts.ReadFile("stdout"))
	if m == nil {
		ts.Fatalf("word: no word was shown")
	}
	ts.Setenv("WORD", m[1])
}

// zipFile makes a zip file of one file: zip FILE NAME CONTENT
func zipFile(ts *testscript.TestScript, _ bool, args []string) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(args[1])
	ts.Check(err)
	_, err = io.WriteString(w, ts.ReadFile(args[2]))
	ts.Check(err)
	ts.Check(z.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o600))
}

// flip flips a bit in the middle of the only file that matches.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	if err != nil || len(names) == 0 {
		ts.Fatalf("flip: %d files, %v", len(names), err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		ts.Fatalf("%v", err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(names[0], b, 0o600); err != nil {
		ts.Fatalf("%v", err)
	}
}

// equalNDJSON compares a file with the records of a type that the EMR holds.
func equalNDJSON(ts *testscript.TestScript, _ bool, args []string) {
	if got := len(strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), "\n")); fmt.Sprint(got) != args[1] {
		ts.Fatalf("%s has %d lines, want %s", args[0], got, args[1])
	}
}

// startEMR starts an EMR whose client office has the secret s, and writes its CA
// into dir.
func startEMR(t *testing.T, dir string, p fakeemr.Practice) (emr *fakeemr.EMR, ca string) {
	t.Helper()
	emr, err := fakeemr.Start(fakeemr.Options{Practice: p, Polls: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { emr.Close() })
	emr.RegisterSecret("office", "s")
	ca = filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, emr.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return emr, ca
}

// setUp are the commands that make a mirror in dir and connect it.
func setUp(dir, ca string, emr *fakeemr.EMR) [][]string {
	return [][]string{
		{"init", "--data", filepath.Join(dir, "m"), "--key-file", filepath.Join(dir, "s", "key"), "--reserve-mb", "1"},
		{"connect", "emr", "--base", emr.BaseURL(), "--ca", ca, "--local", "--level", "system",
			"--auth", "client-secret-basic", "--client-id", "office", "--rate", "-1"}}
}

// loops is how thorough the crash test is: .ci/run turns it up.
var loops = flag.Int("crash.loops", 6, "how many times the pull is killed")

// TestCrashLoops is T1: a pull in a process of its own is killed at any moment of
// its length; the next one goes on. No acknowledged record is lost, no finished
// file is fetched twice, and the mirror equals the EMR.
func TestCrashLoops(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	emr, ca := startEMR(t, dir, fakeemr.Practice{Patients: 40, Seed: 9, Years: 4})
	cli := func(wait time.Duration, args ...string) (string, error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := exec.CommandContext(ctx, "chartcellar", args...)
		c.Env = append(os.Environ(), "CHARTCELLAR_CONFIG="+filepath.Join(dir, "s", "settings.toml"), "CHARTCELLAR_CLIENT_SECRET=s")
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			return "", err
		}
		if wait > 0 {
			timer := time.AfterFunc(wait, cancel)
			defer timer.Stop()
		}
		err := c.Wait()
		return out.String(), err
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := cli(0, args...)
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return out
	}
	for _, args := range setUp(dir, ca, emr) {
		must(args...)
	}
	start := time.Now()
	must("sync")
	length := time.Since(start)
	for i := range *loops {
		if _, err := emr.Changes(i + 1); err != nil {
			t.Fatal(err)
		}
		kicked := emr.Served().KickOffs
		args := []string{"sync"}
		if i%2 == 1 {
			args = append(args, "--full")
		}
		before := exportsOfRuns(t, must("--json", "runs", "list"))
		cli(time.Duration(1+rand.Int64N(int64(length))), args...)
		out, err := cli(0, "sync")
		if err != nil && strings.Contains(out, "answer to the export request was lost") ||
			err != nil && strings.Contains(out, "reply to the export request was lost") {
			t.Logf("killed between request and reply: %s", out)
			forgetJob(t, dir)
			must("sync")
			continue
		}
		if err != nil {
			t.Fatalf("the run after a kill: %v\n%s", err, out)
		}
		want := exportsOfRuns(t, must("--json", "runs", "list")) - before
		// A run that was killed before it had asked for anything needs fewer.
		if n := emr.Served().KickOffs - kicked; n > want {
			t.Errorf("%d exports were asked for, the runs need %d", n, want)
		}
		for name, times := range emr.Served().Files {
			if times > 2 { // once before the kill, once after it
				t.Errorf("%s was fetched %d times", name, times)
			}
		}
	}
	out := must("verify")
	if !strings.Contains(out, "Nothing is wrong") {
		t.Errorf("verify: %s", out)
	}
	must("export", "--for", "us", "--purpose", "a test", filepath.Join(dir, "plain"))
	equalsEMR(t, filepath.Join(dir, "plain"), emr)
}

// equalsEMR fails unless an export holds what the EMR has now, line for line.
func equalsEMR(t *testing.T, plain string, emr *fakeemr.EMR) {
	t.Helper()
	for _, typ := range emr.Types() {
		want := map[string]bool{}
		if err := emr.EachAt(typ, time.Now(), func(_ string, line []byte) error { want[string(line)] = true; return nil }); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(plain, typ+".ndjson"))
		if err != nil && len(want) > 0 {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if !want[strings.TrimSuffix(line, "\n")] {
				t.Errorf("%s: the mirror has a line that the EMR has not", typ)
			}
			delete(want, strings.TrimSuffix(line, "\n"))
		}
		if len(want) > 0 {
			t.Errorf("%s: %d lines are missing", typ, len(want))
		}
	}
}

// exportsOfRuns returns how many exports the runs needed in all: a full one that
// is not the first asks for changes and for everything.
func exportsOfRuns(t *testing.T, list string) int {
	t.Helper()
	var runs []fhirsync.Report
	if err := json.Unmarshal([]byte(list), &runs); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range runs {
		n++
		if r.Full && r.Run > 1 {
			n++
		}
	}
	return n
}

// forgetJob rebuilds the index, after which the source is in the state "job
// unknown": a test has no hour to wait.
func forgetJob(t *testing.T, dir string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "chartcellar", "index", "rebuild")
	c.Env = append(os.Environ(), "CHARTCELLAR_CONFIG="+filepath.Join(dir, "s", "settings.toml"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("index rebuild: %v\n%s", err, out)
	}
}

// TestReadersDuringAPull: reading commands answer while another process pulls,
// and a second writer says who holds the mirror.
func TestReadersDuringAPull(t *testing.T) {
	dir := t.TempDir()
	emr, ca := startEMR(t, dir, fakeemr.Practice{Patients: 10, Seed: 9, Years: 2})
	command := func(args ...string) *exec.Cmd {
		c := exec.CommandContext(t.Context(), "chartcellar", args...)
		c.Env = append(os.Environ(), "CHARTCELLAR_CONFIG="+filepath.Join(dir, "s", "settings.toml"), "CHARTCELLAR_CLIENT_SECRET=s")
		return c
	}
	for _, args := range append(setUp(dir, ca, emr), []string{"sync"}) {
		if out, err := command(args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	reached, release := make(chan struct{}), make(chan struct{})
	var first sync.Once
	emr.Set(fakeemr.Faults{OnFile: func(int) {
		first.Do(func() {
			close(reached)
			<-release
		})
	}})
	pull := command("sync", "--full")
	if err := pull.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	times := 2
	if *loops >= 100 { // in CI as often as is promised
		times = 20
	}
	for _, args := range [][]string{{"status"}, {"runs"}, {"runs", "list"}, {"runs", "show"}, {"record", "Patient/pat-1"}, {"record", "--versions", "Patient/pat-1"},
		{"keys"}, {"config", "check"}, {"config", "show"}, {"verify", "--depth", "quick"}, {"verify", "--depth", "rolling", "--day", "1"},
		{"verify", "--depth", "sample", "--samples", "5"}, {"gaps"}, {"coverage"}, {"evidence"}, {"runs", "changes"},
		{"runs", "certificate", "1"}, {"patients", "a"}, {"chart", "pat-1"}, {"document", "list", "pat-1"}, {"search", "blood"}, {"connect", "signing-key"}, {"version"}} {
		for range times {
			start := time.Now()
			out, err := command(args...).CombinedOutput()
			if err != nil || len(out) == 0 {
				t.Errorf("%v during a pull: %v\n%s", args, err, out)
			}
			// The figure is one second; a loaded computer is given twenty.
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("%v during a pull took %v", args, took)
			}
		}
	}
	// A file that another process writes is where the caller meant it to be.
	save := command("document", "save", "DocumentReference/doc-1-0", "note.txt")
	save.Dir = t.TempDir()
	if out, err := save.CombinedOutput(); err != nil {
		t.Errorf("document save during a pull: %v\n%s", err, out)
	}
	if b, err := os.ReadFile(filepath.Join(save.Dir, "note.txt")); err != nil || !strings.Contains(string(b), "was seen today") {
		t.Errorf("the saved note: %q, %v", b, err)
	}
	out, err := command("sync").CombinedOutput()
	exit, ok := err.(*exec.ExitError)
	if !ok || exit.ExitCode() != exitBusy || !strings.Contains(string(out), fmt.Sprint(pull.Process.Pid)) {
		t.Errorf("a second writer: %v\n%s", err, out)
	}
	close(release)
	if err := pull.Wait(); err != nil {
		t.Errorf("the pull: %v", err)
	}
}
