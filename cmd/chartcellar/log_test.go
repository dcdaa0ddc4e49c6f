package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/fhirsync/fakeemr"
)

// TestLogHoldsNoSecrets is P117: every command with the fullest log, against an
// EMR with and without faults; then the log is searched for what may not be in it.
func TestLogHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	emr, ca := startEMR(t, dir, fakeemr.Practice{Patients: 6, Seed: 5, Years: 1})
	emr.RegisterSecret("office", "secret-canary-9417")
	token := emr.GiveToken()
	file := filepath.Join(dir, "log", "chartcellar.log")
	screen := &shout{}
	cli := func(args ...string) int {
		vars := map[string]string{"CHARTCELLAR_CONFIG": filepath.Join(dir, "s", "settings.toml"),
			"CHARTCELLAR_CLIENT_SECRET": "secret-canary-9417", "CHARTCELLAR_PASSPHRASE": "passphrase canary 2203"}
		if slices.Contains(args, "bearer") {
			vars["CHARTCELLAR_CLIENT_SECRET"] = token
		}
		var out bytes.Buffer
		return run(t.Context(), quick(&env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: screen,
			Getenv: func(k string) string { return vars[k] }}), append([]string{"--log", file, "-v"}, args...))
	}
	must := func(args ...string) {
		t.Helper()
		if code := cli(args...); code != 0 {
			t.Fatalf("%v: exit %d\n%s", args, code, screen.String())
		}
	}
	must("init", "--data", filepath.Join(dir, "m"), "--reserve-mb", "1", "--key-file", filepath.Join(dir, "k"))
	common := []string{"--base", emr.BaseURL(), "--ca", ca, "--local", "--level", "system", "--rate", "-1"}
	must(append([]string{"connect", "emr", "--auth", "client-secret-basic", "--client-id", "office"}, common...)...)
	must(append([]string{"connect", "fixed", "--auth", "bearer"}, common...)...)
	emr.Set(fakeemr.Faults{RetryAfter: fmt.Sprint(time.Now().Add(time.Second).UnixMilli()), Throttle: 1, ThrottlePrefix: "/metadata"})
	must("sync", "--source", "emr")
	emr.Set(fakeemr.Faults{FileRedirect: "storage"})
	must("sync", "--source", "fixed", "--full")
	for _, f := range []fakeemr.Faults{{HTML: "/metadata"}, {TokenStatus: 400, TokenError: "invalid_client"}, {FileStatus: 404, FileType: "Patient"},
		{ErrorFile: "patient pat-1 failed", ErrorType: "Observation"}, {Unauthorized: "/$export"}, {FileRedirect: "evil"}} {
		emr.Set(f)
		cli("sync", "--source", "emr", "--full")
		cli("sync", "--source", "fixed", "--full")
	}
	emr.Set(fakeemr.Faults{})
	must("sync", "--source", "emr")
	must("record", "--source", "emr", "Patient/pat-1")
	cli("record", "--source", "emr", "Patient/nobody-canary")
	must("verify")
	must("export", "--for", "us", "--purpose", "a test", "--source", "emr", filepath.Join(dir, "plain"))

	log, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"request finished", "command ended", "run ended", "Retry-After was capped or converted", "mirror="} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the log does not tell of: %s", want)
		}
	}
	u, err := url.Parse(emr.BaseURL())
	if err != nil {
		t.Fatal(err)
	}
	canaries := []string{"secret-canary-9417", "passphrase canary", token, "http://", "https://", u.Host, "/fhir/r4", "Patient/", "nobody-canary",
		"_since", "sig=", "Bearer", "client_assertion", "AGE-SECRET", "BOX-KEY"}
	canaries = append(canaries, whoTheyAre(t, emr)...)
	if len(canaries) < 30 {
		t.Fatalf("%d canaries", len(canaries))
	}
	for _, c := range canaries {
		if strings.Contains(string(log), c) {
			line := string(log)[strings.Index(string(log), c):]
			t.Errorf("the log holds %q: ...%s", c, line[:min(len(line), 80)])
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the log's mode: %v, %v", info.Mode(), err)
	}
}

// whoTheyAre returns the names, birth dates and ids of an EMR's patients.
func whoTheyAre(t *testing.T, emr *fakeemr.EMR) (words []string) {
	t.Helper()
	err := emr.EachAt("Patient", time.Now(), func(id string, line []byte) error {
		var p struct {
			BirthDate string
			Name      []struct {
				Family string
				Given  []string
			}
		}
		if err := json.Unmarshal(line, &p); err != nil {
			return err
		}
		words = append(words, id, p.BirthDate)
		for _, n := range p.Name {
			words = append(append(words, n.Family), n.Given...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(words, func(w string) bool { return len(w) <= 2 })
}
