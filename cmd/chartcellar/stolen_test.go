package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"chartcellar/fhirsync/fakeemr"
	"chartcellar/store/storetest"
)

// stolenOffice is a practice with a passphrase, a signing key at the EMR, and second
// copies at a disk, a server and a bucket.
func stolenOffice(t *testing.T) (d *copier, s *storetest.SFTPServer, b *storetest.Bucket) {
	t.Helper()
	d = &copier{t: t, dir: t.TempDir()}
	var ca string
	d.emr, ca = startEMR(t, d.dir, fakeemr.Practice{Patients: 1, Seed: 4, Years: 1})
	d.vars = map[string]string{"CHARTCELLAR_CONFIG": d.path("s", "settings.toml"), "CHARTCELLAR_PASSPHRASE": "four words are enough"}
	d.must("init", "--data", d.path("m"), "--reserve-mb", "1")
	if err := d.emr.RegisterKey("office", []byte(d.must("connect", "signing-key", "emr"))); err != nil {
		t.Fatal(err)
	}
	d.must("connect", "emr", "--base", d.emr.BaseURL(), "--ca", ca, "--local", "--level", "system", "--client-id", "office", "--rate", "-1")
	d.must("sync")
	d.must("copy", "add", "usb", "--folder", d.folder("usb"))
	s = storetest.NewSFTPServer(t).Listen(t)
	add := []string{"copy", "add", "nas", "--sftp", storetest.SFTPUser + "@" + s.Addr + "/copy"}
	line := regexp.MustCompile(`ssh-ed25519 \S+`).FindString(d.wants(exitUsage, add, "authorized_keys", ssh.FingerprintSHA256(s.Host), "--host-key"))
	if err := s.Authorize(line); err != nil {
		t.Fatal(err)
	}
	d.must(append(add, "--host-key", ssh.FingerprintSHA256(s.Host))...)
	return d, s, d.s3("bucket")
}

// TestStolenBox is the second half of T11: an image of the computer, without passphrase
// and sheet, opens no record, and signs in to what `status` names and to nothing else,
// until it is revoked there.
func TestStolenBox(t *testing.T) {
	t.Parallel()
	d, server, bucket := stolenOffice(t)
	dumps := storetest.NewSFTPServer(t).Listen(t)
	d.vars["CHARTCELLAR_COPY_SECRET"] = storetest.SFTPPassword
	d.must("connect", "dumps", "--files", "sftp://"+storetest.SFTPUser+"@"+dumps.Addr+"/copy", "--password", "--host-key", ssh.FingerprintSHA256(dumps.Host))
	d.wants(exitGood, []string{"status"}, "recovery sheet lies in clear on this computer")
	for _, sheet := range []string{"recovery-sheet.txt", "recovery-sheet.pdf"} {
		if err := os.Remove(d.path("s", sheet)); err != nil {
			t.Fatal(err)
		}
	}
	said, _ := d.types("--json", "status")
	var claimed reach
	if err := json.Unmarshal([]byte(said), &claimed); err != nil {
		t.Fatalf("%v in %s", err, said)
	}
	d.wants(exitGood, []string{"status"}, "A stolen computer can also sign in to the EMR emr, the second copy nas, the second copy bucket, the server with the files of dumps, until")
	page := d.must("keys", "second-page")
	for _, line := range []string{"- the EMR at 127.0.0.1", "- the second copy nas, as office@" + server.Addr, "   " + server.Line() + " chartcellar-nas",
		"- the second copy bucket: revoke the access key " + storetest.BucketKey, "- the server with the files of dumps, as office@" + dumps.Addr} {
		if !strings.Contains(page, line) {
			t.Errorf("the second page does not say %q:\n%s", line, page)
		}
	}
	if n := strings.Count(page, "\n- the "); n != len(claimed.SignsIn) || strings.Contains(page, "PRIVATE KEY") || strings.Contains(page, storetest.SFTPPassword+"\n") {
		t.Errorf("the second page names %d, status %q:\n%s", n, claimed.SignsIn, page)
	}
	if said, _ := d.types("status"); strings.Contains(said, "lies in clear") {
		t.Errorf("status warns of a sheet that is gone:\n%s", said)
	}
	thief := imageOf(t, d)
	for _, args := range [][]string{{"record", "--raw", "Patient/pat-1"}, {"chart", "pat-1"}, {"patients"}, {"search", "a"},
		{"document", "list", "pat-1"}, {"export", "--for", "us", "--purpose", "a test", thief.path("plain")}, {"verify", "--depth", "full"}, {"copy", "phrase", "nas"},
		{"keys", "passphrase", "--person", "thief"}, {"keys", "rekey", "--to", thief.path("new")}, {"keys", "sheet", "new"}} {
		said, code := thief.types(args...)
		if code != exitLocked && code != exitUsage || strings.Contains(said, `"resourceType"`) {
			t.Errorf("%v: exit %d\n%s", args, code, said)
		}
	}
	if _, err := os.Stat(thief.path("plain")); err == nil {
		t.Error("something was exported")
	}
	if can := thief.signsIn(); !slices.Equal(can, claimed.SignsIn) {
		t.Errorf("it signs in to %q, and status claims %q", can, claimed.SignsIn)
	}
	d.emr.Revoke("office")
	if can := thief.signsIn(); !slices.Equal(can, claimed.SignsIn[1:]) {
		t.Errorf("revoked at the EMR, it signs in to %q", can)
	}
	other, _ := storetest.NewSFTPKey(t, 9)
	if err := server.Authorize(string(ssh.MarshalAuthorizedKey(other.PublicKey()))); err != nil {
		t.Fatal(err)
	}
	bucket.Withdrawn.Store(true)
	dumps.Shut.Store(true)
	if can := thief.signsIn(); len(can) > 0 {
		t.Errorf("revoked everywhere, it signs in to %q", can)
	}
}

// imageOf is the disk of a computer in another one, with nobody who knows a passphrase.
func imageOf(t *testing.T, d *copier) *copier {
	t.Helper()
	thief := &copier{t: t, dir: t.TempDir()}
	err := errors.Join(os.CopyFS(thief.path("m"), os.DirFS(d.path("m"))), os.CopyFS(thief.path("s"), os.DirFS(d.path("s"))))
	settings := thief.path("s", "settings.toml")
	b, rerr := os.ReadFile(settings)
	for _, name := range []string{"m", "s"} {
		b = []byte(strings.ReplaceAll(string(b), d.path(name), thief.path(name)))
	}
	if err := errors.Join(err, rerr, os.WriteFile(settings, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	thief.vars = map[string]string{"CHARTCELLAR_CONFIG": settings}
	return thief
}

// signsIn tries everything that could be signed in to.
func (d *copier) signsIn() (list []string) {
	for _, try := range [][]string{{"the EMR emr", "sync"}, {"the second copy nas", "copy", "test", "nas"}, {"the second copy bucket", "copy", "test", "bucket"}} {
		if _, code := d.types(try[1:]...); code == exitGood {
			list = append(list, try[0])
		}
	}
	if said, _ := d.types("holding", "watch", "dumps"); !strings.Contains(said, "refuses the sign-in") {
		list = append(list, "the server with the files of dumps")
	}
	return list
}

// Canaries are texts that must lie nowhere in clear, by the first bytes of each form in
// which they might.
type canaries struct {
	texts int
	forms map[string][]string
}

// seekBytes is how many bytes of a form are looked for first.
const seekBytes = 6

// add adds a text: plain, as UTF-16, and in base64 at each of the three places where it
// may begin. It returns the text.
func (c *canaries) add(text string) string {
	if c.forms == nil {
		c.forms = map[string][]string{}
	}
	c.texts++
	forms := []string{text, strings.Join(strings.Split(text, ""), "\x00")}
	for before := range 3 {
		all := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + text))
		forms = append(forms, all[(before*8+5)/6:(before+len(text))*8/6]) // what depends on the text alone
	}
	for _, f := range forms {
		c.forms[f[:seekBytes]] = append(c.forms[f[:seekBytes]], f)
	}
	return text
}

// find returns the forms that are in b.
func (c *canaries) find(b []byte) (found []string) {
	for i := 0; i+seekBytes <= len(b); i++ {
		for _, form := range c.forms[string(b[i:i+seekBytes])] {
			if bytes.HasPrefix(b[i:], []byte(form)) {
				found = append(found, form)
			}
		}
	}
	return found
}

// scan names the files below a folder, but for the programs, that hold one in clear, and
// returns how many it read.
func (c *canaries) scan(t *testing.T, dir string) (files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err == nil && e.Name() == programFolder {
			return filepath.SkipDir
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		files++
		for _, form := range c.find(b) {
			t.Errorf("%q lies open in %s", form, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestCanaries: the scan finds each form.
func TestCanaries(t *testing.T) {
	c, text := &canaries{}, "Zqfamily7x"
	c.add(text)
	wide := ""
	for _, r := range text {
		wide += string(r) + "\x00"
	}
	for _, clear := range []string{text, wide, base64.StdEncoding.EncodeToString([]byte(text)), base64.StdEncoding.EncodeToString([]byte("1" + text + "2")),
		base64.URLEncoding.EncodeToString([]byte("12" + text))} {
		if got := c.find([]byte("before " + clear + " after")); len(got) != 1 {
			t.Errorf("in %q it finds %q", clear, got)
		}
	}
	if got := c.find([]byte("Zqfamily8x")); len(got) > 0 {
		t.Errorf("in another text it finds %q", got)
	}
}

// TestNothingInClearElsewhere is T11 over second copies: of 300 names, ids, dates,
// passwords and keys nothing is in clear in a copy at a disk, a server or a bucket, in the
// folder of a drill while it goes on, in a restored folder, or in the settings that are
// kept.
func TestNothingInClearElsewhere(t *testing.T) {
	t.Parallel()
	d, server, bucket := stolenOffice(t)
	all := &canaries{}
	for i := range 60 {
		id, born := all.add(fmt.Sprintf("zqcanary%did", i)), all.add(fmt.Sprintf("18%02d-0%d-1%d", 20+i, 1+i%9, i%10))
		line := fmt.Sprintf(`{"resourceType":"Patient","id":%q,"name":[{"family":%q,"given":[%q]}],"telecom":[{"system":"phone","value":%q}],"birthDate":%q}`,
			id, all.add(fmt.Sprintf("Zqfamily%dx", i)), all.add(fmt.Sprintf("Zqgiven%dx", i)), all.add(fmt.Sprintf("555-0%d-77%03d", 100+i, i)), born)
		if _, err := d.emr.Put([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	sheet, err := os.ReadFile(d.path("s", "recovery-sheet.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range regexp.MustCompile(`(?m)^  [1-9]\.  (.*?)  +\[`).FindAllStringSubmatch(string(sheet), -1) {
		all.add(strings.TrimSpace(line[1]))
	}
	for _, secret := range []string{storetest.SFTPPassword, storetest.BucketSecret, "four words are enough", "PRIVATE KEY"} {
		all.add(secret)
	}
	if all.texts < 250 {
		t.Fatalf("only %d texts", all.texts)
	}
	// A pull, a look at it, and a pull that is killed in the middle.
	d.must("sync")
	d.must("record", "--raw", "Patient/zqcanary7id")
	d.must("search", "Zqfamily7x")
	dump := d.path("Zqfamily99x.zip")
	if err := os.WriteFile(dump, []byte(all.add("Zqfamily99x")+" is in it"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.types("holding", "add", "ehi", dump)
	if _, err := d.emr.Changes(1); err != nil {
		t.Fatal(err)
	}
	d.killed("sync parts/ > after point after index commit", "sync")
	for _, name := range []string{"usb", "nas", "bucket"} {
		d.must("copy", "now", name)
	}
	words := regexp.MustCompile(`(?m)^    ([a-z]+( [a-z]+){5})$`).FindStringSubmatch(d.must("copy", "phrase", "usb"))
	if words == nil {
		t.Fatal("no phrase")
	}
	all.add(words[1])
	d.must("restore", "--from", d.path("usb"), "--to", d.path("back"), "--sheet", d.path("s", "recovery-sheet.txt"))
	d.killed("after rename scratch/mirror/000001.json", "drill", "usb", "--person", "x", "--sheet", d.path("s", "recovery-sheet.txt"))
	drills, err := filepath.Glob(d.path("m", "chartcellar-drill-*", "scratch", "parts", "*", "*"))
	if err != nil || len(drills) < 3 {
		t.Errorf("the drill that was killed left %v, %v", drills, err)
	}
	for what, dir := range map[string]string{"the disk": d.path("usb"), "the server": server.Dir, "the bucket": bucket.Dir, "the office copy": d.path("m"),
		"a restored copy": d.path("back")} {
		if n := all.scan(t, dir); n < 10 {
			t.Errorf("%s has %d files only", what, n)
		}
	}
}

// killed runs a command in a process of its own, which dies at a step.
func (d *copier) killed(at string, args ...string) {
	d.t.Helper()
	if out, err := initIn(d.t, d.dir, at, args...); !killed(err) {
		d.t.Fatalf("%v was not killed: %v\n%s", args, err, out)
	}
}
