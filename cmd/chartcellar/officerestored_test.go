package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// calls carries a command out as another process would, with the settings of a folder.
func (s *served) calls(dir string, vars map[string]string, args ...string) {
	s.t.Helper()
	var out bytes.Buffer
	e := quick(&env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Getenv: func(name string) string { return vars[name] }})
	if code := run(s.t.Context(), e, append([]string{"--config", filepath.Join(dir, "settings", "settings.toml")}, args...)); code != exitGood {
		s.t.Fatalf("%v ended with %d:\n%s", args, code, &out)
	}
}

// TestRestoredOnThePages: on a computer that has taken a copy over, Home and Backups say
// since when, and which EMR must be signed in to again; on the first one they do not.
func TestRestoredOnThePages(t *testing.T) {
	t.Parallel()
	old, _ := settled(t)
	o := old.e.daemon.get().office.Load()
	for _, p := range []string{"/", "/backups"} {
		if _, body := old.get(p); strings.Contains(body, "keeps the copy since") {
			t.Errorf("GET %s tells of a restore that was none", p)
		}
	}
	lost, first, dir := o.m.Dir(), o.m.FirstHash(), t.TempDir()
	old.stop()
	for _, f := range []string{"mirror", "parts", "attachments", "checkpoints", "settings"} {
		if err := os.CopyFS(filepath.Join(dir, "copy", f), os.DirFS(filepath.Join(lost, f))); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	sheet := filepath.Join(dir, "sheet.txt")
	if err := os.WriteFile(sheet, []byte(old.sheet), 0o600); err != nil {
		t.Fatal(err)
	}
	old.calls(dir, map[string]string{"CHARTCELLAR_PASSPHRASE": ownerPassword}, "adopt", "--data", filepath.Join(dir, "copy"), "--sheet", sheet, "--statement", first[:32])
	s := serveIn(t, dir)
	s.entersAsOwner()
	for _, p := range []string{"/", "/backups"} {
		c, body := s.get(p)
		s.wants(c, body, http.StatusOK, "This computer keeps the copy since", "Sign in again", "emr, with <code>chartcellar connect renew emr</code>")
	}
}

// TestHoldingsFromThePages finds files by the names inside a zip file and saves one, byte
// for byte; the journal names who.
func TestHoldingsFromThePages(t *testing.T) {
	t.Parallel()
	s, _ := settled(t)
	o := s.e.daemon.get().office.Load()
	c, body := s.get("/backups/holdings")
	s.wants(c, body, http.StatusOK, "Nothing is kept beside the records")
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	for i := range 3 {
		w, err := z.Create(fmt.Sprintf("patients/%d/allergies.csv", i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(w, "penicillin,%d\n", i); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "export.zip")
	if err := os.WriteFile(file, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := o.e.settingsPath()
	if err != nil {
		t.Fatal(err)
	}
	s.calls(filepath.Dir(filepath.Dir(path)), nil, "holding", "add", "ehi", file, "--covers", "billing")
	c, body = s.get("/backups/holdings")
	s.wants(c, body, http.StatusOK, "ehi", "billing", "just now")
	c, body = s.post("/backups/holdings", url.Values{"name": {"ehi"}, "search": {"allergies 2"}})
	s.wants(c, body, http.StatusOK, "1 of 1", "export.zip/patients/2/allergies.csv")
	c, body = s.post("/backups/holdings", url.Values{"name": {"ehi"}, "search": {"nothing like it"}})
	s.wants(c, body, http.StatusOK, "No name has all of these words")
	c, body = s.post("/backups/holdings/file", url.Values{"name": {"ehi"}, "path": {"export.zip/patients/2/allergies.csv"}})
	s.wants(c, body, http.StatusOK)
	if body != "penicillin,2\n" {
		t.Errorf("the file inside: %q", body)
	}
	if c, body = s.post("/backups/holdings/file", url.Values{"name": {"ehi"}, "path": {"export.zip"}}); c != http.StatusOK || body != packed.String() {
		t.Errorf("the zip file: %d, the same: %v", c, body == packed.String())
	}
	c, body = s.post("/backups/holdings/file", url.Values{"name": {"ehi"}, "path": {"export.zip/none"}})
	s.wants(c, body, http.StatusUnprocessableEntity, "no such file")
	c, body = s.post("/backups/holdings/file", url.Values{"name": {"other"}, "path": {"x"}})
	s.wants(c, body, http.StatusUnprocessableEntity, "Nothing is kept")
	s.whoStarted(o, "holding.files", "holding.get")
}
