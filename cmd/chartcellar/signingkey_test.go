package main

import (
	"bytes"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chartcellar/fhirsync/fakeemr"
)

// A desk runs commands in this process, with a clock of its own.
type desk struct {
	dir   string
	ahead time.Duration
}

func (d *desk) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	vars := map[string]string{"CHARTCELLAR_CONFIG": filepath.Join(d.dir, "s", "settings.toml"), "CHARTCELLAR_CLIENT_SECRET": "s"}
	code = run(t.Context(), quick(&env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Getenv: func(k string) string { return vars[k] }, clock: func() time.Time { return time.Now().Add(d.ahead) }}), args)
	return code, out.String(), errs.String()
}

func (d *desk) must(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	code, out, errs := d.run(t, args...)
	if code != 0 {
		t.Fatalf("%v: exit %d\n%s%s", args, code, out, errs)
	}
	return out, errs
}

// A site is the practice's web site with a key set.
type site struct {
	body atomic.Value // string
	kind atomic.Value // Content-Type
	url  string
	ca   string
}

func newSite(t *testing.T, dir string) *site {
	t.Helper()
	s := &site{ca: filepath.Join(dir, "site-ca.pem")}
	s.body.Store("")
	s.kind.Store("application/json")
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := s.body.Load().(string)
		if body == "" || r.URL.Path != "/jwks.json" {
			http.NotFound(w, r)
			return
		}
		if r.Header.Get("Authorization") != "" {
			t.Error("a token came to the web site")
		}
		w.Header().Set("Content-Type", s.kind.Load().(string))
		w.Header().Set("Cache-Control", "public, max-age=172800")
		w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL + "/jwks.json"
	if err := os.WriteFile(s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// newDesk makes a mirror that has no EMR yet.
func newDesk(t *testing.T) (d *desk, emr *fakeemr.EMR, connect []string) {
	t.Helper()
	d = &desk{dir: t.TempDir()}
	emr, ca := startEMR(t, d.dir, fakeemr.Practice{Patients: 3, Seed: 4, Years: 1})
	d.must(t, setUp(d.dir, ca, emr)[0]...)
	return d, emr, []string{"connect", "emr", "--base", emr.BaseURL(), "--ca", ca, "--local", "--level", "system", "--client-id", "me", "--rate", "-1"}
}

func register(t *testing.T, emr *fakeemr.EMR, jwks string) {
	t.Helper()
	if err := emr.RegisterKey("me", []byte(jwks)); err != nil {
		t.Fatal(err)
	}
}

// TestES384 is P10: an EMR that takes ES384 only.
func TestES384(t *testing.T) {
	t.Parallel()
	d, emr, connect := newDesk(t)
	emr.Set(fakeemr.Faults{Algs: []string{"ES384"}})
	sheet, _ := d.must(t, append(connect, "--worksheet")...)
	if !strings.Contains(sheet, "private_key_jwt, ES384") || !strings.Contains(sheet, `"crv": "P-384"`) {
		t.Errorf("the worksheet:\n%s", sheet)
	}
	jwks, _ := d.must(t, "connect", "signing-key", "emr")
	register(t, emr, jwks)
	d.must(t, connect...)
	if out, _ := d.must(t, "sync"); !strings.Contains(out, "COMPLETE") {
		t.Errorf("sync: %s", out)
	}

	// A key of the other kind was made before: it is said, and what to do.
	d, emr, connect = newDesk(t)
	d.must(t, "connect", "signing-key", "emr")
	emr.Set(fakeemr.Faults{Algs: []string{"ES384"}})
	code, out, errs := d.run(t, connect...)
	if code != exitFailed || !strings.Contains(out, "sign-in address        FAILED") || !strings.Contains(errs, "--alg ES384") {
		t.Errorf("connect with the wrong kind: exit %d\n%s%s", code, out, errs)
	}
	jwks, _ = d.must(t, "connect", "signing-key", "emr", "--alg", "ES384")
	register(t, emr, jwks)
	d.must(t, connect...)
	d.must(t, "sync")

	// The default is RS384, also where both are taken.
	d, emr, connect = newDesk(t)
	jwks, _ = d.must(t, "connect", "signing-key", "emr")
	register(t, emr, jwks)
	d.must(t, connect...)
	if !strings.Contains(jwks, `"alg": "RS384"`) {
		t.Errorf("the default key: %s", jwks)
	}
	if code, _, errs := d.run(t, "connect", "signing-key", "emr", "--alg", "ES384"); code != exitUsage || !strings.Contains(errs, "--rotate") {
		t.Errorf("another kind for a connected EMR: exit %d, %s", code, errs)
	}
}

// TestPublishedKey is P14: what is at the web address, in words.
func TestPublishedKey(t *testing.T) {
	d, _, _ := newDesk(t)
	s := newSite(t, d.dir)
	jwks, _ := d.must(t, "connect", "signing-key", "emr")
	other, _ := d.must(t, "connect", "signing-key", "another")
	check := []string{"connect", "signing-key", "emr", "--check", s.url, "--ca", s.ca, "--local"}
	tests := []struct {
		name, body, kind, want string
		code                   int
	}{
		{"nothing", "", "application/json", "There is nothing at that address (HTTP 404)", exitFailed},
		{"an older set", other, "application/json", "older one", exitFailed},
		{"a page", "<html>hello", "text/html", "a web page", exitFailed},
		{"text", jwks, "text/plain; charset=utf-8", `"text/plain; charset=utf-8"`, exitFailed},
		{"private", strings.Replace(jwks, `"e":`, `"d": "x", "e":`, 1), "application/json", "DANGER", exitFailed},
		{"the right set", jwks, "application/json; charset=utf-8", "is right", exitGood},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.body.Store(tt.body)
			s.kind.Store(tt.kind)
			code, out, errs := d.run(t, check...)
			if code != tt.code || !strings.Contains(out+errs, tt.want) {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
		})
	}
	if code, _, errs := d.run(t, "connect", "signing-key", "emr", "--check", s.url, "--local"); code != exitFailed || !strings.Contains(errs, "web site of the key set") {
		t.Errorf("an unknown authority: exit %d, %s", code, errs)
	}
}

// TestKeyRotation is P15 and F28: both keys are published, the switch waits for the
// check and the time, and a vendor that does not know the new key costs no backup.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	d, emr, connect := newDesk(t)
	s := newSite(t, d.dir)
	first, _ := d.must(t, "connect", "signing-key", "emr")
	register(t, emr, first)
	d.must(t, connect...)
	both, _ := d.must(t, "connect", "signing-key", "emr", "--rotate")
	if strings.Count(both, `"kid"`) != 2 {
		t.Fatalf("--rotate prints %s", both)
	}
	d.ahead = 1000 * time.Hour // unconfirmed: it never switches
	if _, errs := d.must(t, "sync"); strings.Contains(errs, "new key") {
		t.Errorf("switched without a check: %s", errs)
	}
	s.body.Store(first)
	check := []string{"connect", "signing-key", "emr", "--check", s.url, "--ca", s.ca, "--local"}
	if code, _, errs := d.run(t, check...); code != exitFailed || !strings.Contains(errs, "older one") {
		t.Errorf("the check of an older set: exit %d, %s", code, errs)
	}
	s.body.Store(both)
	d.must(t, check...)
	d.ahead += 47 * time.Hour // the site's max-age is two days
	if _, errs := d.must(t, "sync"); strings.Contains(errs, "new key") {
		t.Errorf("switched before the time: %s", errs)
	}

	// Due, but the set has become an older one again: it waits.
	d.ahead += 2 * time.Hour
	s.body.Store(first)
	if _, errs := d.must(t, "sync"); !strings.Contains(errs, "older one") || strings.Contains(errs, "new key") {
		t.Errorf("switched although the set is old: %s", errs)
	}
	s.body.Store(both)
	d.must(t, check...)
	d.ahead += 49 * time.Hour

	// The vendor has kept its old set: rolled back in the same run.
	_, errs := d.must(t, "sync")
	if !strings.Contains(errs, "with its new key") || !strings.Contains(errs, "does not know the new key yet") {
		t.Errorf("not rolled back: %s", errs)
	}
	d.must(t, "sync")

	// Now the vendor knows both.
	register(t, emr, both)
	d.must(t, check...)
	d.ahead += 49 * time.Hour
	if _, errs := d.must(t, "sync"); !strings.Contains(errs, "with its new key") || strings.Contains(errs, "does not know") {
		t.Errorf("not switched: %s", errs)
	}
	d.ahead += 49 * time.Hour
	if _, errs := d.must(t, "sync"); !strings.Contains(errs, "may be taken down") {
		t.Errorf("the old key is kept: %s", errs)
	}
	last, _ := d.must(t, "connect", "signing-key", "emr")
	if strings.Count(last, `"kid"`) != 1 || last == first {
		t.Errorf("after the rotation: %s", last)
	}
	register(t, emr, last)
	d.must(t, "sync")
}
