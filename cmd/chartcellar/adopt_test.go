package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chartcellar/cmd/chartcellar/internal/control"
	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/config"
	"chartcellar/fhirsync/fakeemr"
	"chartcellar/store/disk"
	"chartcellar/store/storetest"
)

// TestAdoptKilled: adopt is killed before its steps on the disk; run again it makes the
// restored copy an office copy that opens with the passphrase, and nothing is left over.
func TestAdoptKilled(t *testing.T) {
	lost := t.TempDir()
	emr, ca := startEMR(t, lost, fakeemr.Practice{Patients: 3, Seed: 4, Years: 1})
	must := func(dir string, args ...string) string {
		t.Helper()
		out, err := initIn(t, dir, "", args...)
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return out
	}
	t.Setenv("CHARTCELLAR_CLIENT_SECRET", "s")
	for _, args := range append(setUp(lost, ca, emr), []string{"sync"}) {
		must(lost, args...)
	}
	ops := 0
	step := max(1, 90 / *loops) // all of them in CI
	for n := 1; ; n += step {
		dir := t.TempDir()
		for _, f := range []string{"mirror", "parts", "attachments", "checkpoints", "settings"} {
			if err := os.CopyFS(filepath.Join(dir, "m", f), os.DirFS(filepath.Join(lost, "m", f))); err != nil {
				t.Fatal(err)
			}
		}
		adopt := []string{"adopt", "--data", filepath.Join(dir, "m"), "--sheet", filepath.Join(lost, "s", "recovery-sheet.txt")}
		out, err := initIn(t, dir, fmt.Sprint(n), adopt...)
		if err == nil {
			ops = n - step
			break
		}
		if !killed(err) {
			t.Fatalf("killed at step %d: %v\n%s", n, err, out)
		}
		if out = must(dir, adopt...); !strings.Contains(out, "epoch 2.") || !strings.Contains(out, "connect renew emr") {
			t.Errorf("adopt again after a kill at step %d:\n%s", n, out)
		}
		if out = must(dir, "verify"); !strings.Contains(out, "Nothing is wrong") {
			t.Errorf("verify after a kill at step %d:\n%s", n, out)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "s", "*.tmp")); len(left) > 0 {
			t.Errorf("after a kill at step %d these are left: %v", n, left)
		}
	}
	t.Logf("adopt has about %d steps on the disk", ops)
	if ops < 30 {
		t.Errorf("adopt was killed at %d steps only", ops)
	}
}

// TestSettingsHere: the settings of a copy name the places of this computer, and nothing
// else in them changes.
func TestSettingsHere(t *testing.T) {
	old := config.Sample(config.Settings{Practice: "P", Data: "/old/data", BoxKey: "/old/box.key", KeyFile: "/old/office.key"})
	old = append(old, config.Block(config.Source{Name: "emr", Base: "https://emr.example/fhir", Group: "g", ClientID: "c"})...)
	got, err := here(old, "/new/data", "/new/box.key")
	if err != nil {
		t.Fatal(err)
	}
	before, err := config.Parse(old)
	if err != nil {
		t.Fatal(err)
	}
	after, err := config.Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	if list := fmt.Sprint(config.Changed(before, after)); list != "[data box_key key_file]" {
		t.Errorf("changed: %s", list)
	}
	if after.Data != "/new/data" || after.BoxKey != "/new/box.key" || after.KeyFile != "" {
		t.Errorf("settings: %+v", after)
	}
	if _, err := here([]byte("practice = 1"), "/new/data", "/new/box.key"); err == nil {
		t.Error("settings that cannot be used are taken")
	}
}

func TestDiffLines(t *testing.T) {
	for _, c := range []struct{ name, a, b, want string }{
		{"the same", "a b c", "a b c", ""},
		{"one changed", "a b c", "a x c", "-b +x"},
		{"added at both ends", "b", "a b c", "+a +c"},
		{"removed", "a b c", "b", "-a -c"},
		{"the first", "", "a b", "+a +b"},
		{"all gone", "a b", "", "-a -b"},
		{"moved", "a b c", "b c a", "-a +a"},
	} {
		got := strings.Join(diffLines(strings.Fields(c.a), strings.Fields(c.b)), " ")
		if got = strings.NewReplacer("- ", "-", "+ ", "+").Replace(got); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestSettingsAreKept: settings are kept when a command changes them, when they are edited
// by hand while serve runs, and when they were edited while nothing ran.
func TestSettingsAreKept(t *testing.T) {
	i := newDaemonTest(t, "--mail-to", "a@practice.example", "--smtp", "127.0.0.1:9", "--smtp-plain")
	edit := func(from, to string) {
		t.Helper()
		b, err := os.ReadFile(i.settings())
		if err != nil || !bytes.Contains(b, []byte(from)) {
			t.Fatalf("settings without %q: %v", from, err)
		}
		if err := disk.ReplaceFile(disk.OS{}, i.settings(), bytes.Replace(b, []byte(from), []byte(to), 1)); err != nil {
			t.Fatal(err)
		}
	}
	i.serving(func(context.Context) {
		if out, code := i.ask("schedule", "set", "--pull", "daily 03:00"); code != 0 {
			t.Fatalf("exit %d: %s", code, out)
		}
		edit("daily 03:00", "daily 04:00")
		if err := i.d.reload(); err != nil {
			t.Fatal(err)
		}
	})
	edit("daily 04:00", "daily 05:00")
	i.serving(func(context.Context) {})
	i.serving(func(context.Context) {})
	var rows []settingsRow
	if err := json.Unmarshal([]byte(i.run("--json", "config", "history")), &rows); err != nil {
		t.Fatal(err)
	}
	var by []string
	for _, r := range rows {
		by = append(by, r.changedBy())
	}
	if got := strings.Join(by, ", "); got != "owner, owner, owner, edited by hand, not known" {
		t.Errorf("changed by %s", got)
	}
	if out := i.run("config", "history", "--diff", "5"); !strings.Contains(out, `+ pull = "daily 05:00"`) || !strings.Contains(out, `- pull = "daily 04:00"`) || strings.Count(out, "\n") != 2 {
		t.Errorf("--diff 5: %s", out)
	}
}

// TestSignInAgain: an EMR that this computer has nothing to sign in to with is told, is
// never good, and is well again after connect renew.
func TestSignInAgain(t *testing.T) {
	box := newLetterbox(t)
	i := newDaemonTest(t, "--mail-to", "a@practice.example", "--smtp", box.addr, "--smtp-plain")
	box.take()
	if err := os.Remove(filepath.Join(i.dir, "m", "secrets", "emr.secret")); err != nil {
		t.Fatal(err)
	}
	fact := func() health.Check {
		t.Helper()
		in, err := i.d.facts(i.e.now())
		if err != nil {
			t.Fatal(err)
		}
		return in.Facts[health.SignIn]
	}
	i.serving(func(ctx context.Context) {
		i.pull(ctx)
		if got := strings.Join(box.take(), "\n"); !strings.Contains(got, "has nothing to sign in to emr with") || !strings.Contains(got, "chartcellar connect renew") {
			t.Errorf("the mail: %s", got)
		}
		if c := fact(); c.Answer != health.No || c.Words != "sign in again: chartcellar connect renew emr" {
			t.Errorf("the fact: %+v", c)
		}
		var out bytes.Buffer
		call := control.Call{Version: release, Args: []string{"--config=" + i.settings(), "connect", "renew", "emr"}, Asked: "s"}
		if code := i.e.answer(i.d.m)(t.Context(), call, &out, &out); code != 0 || !strings.Contains(out.String(), "works again") {
			t.Fatalf("connect renew: exit %d, %s", code, out.String())
		}
		i.pull(ctx)
		if c := fact(); c.Answer != health.Yes {
			t.Errorf("the fact after a pull: %+v", c)
		}
	})
}

// TestLookingAtWhatWasAdopted: the adopted folder and a copy of it open in the browser with
// the same sheet, and nothing is amiss.
func TestLookingAtWhatWasAdopted(t *testing.T) {
	t.Parallel()
	f := newCopy(t)
	g := oneCopy{dir: t.TempDir(), copy: f.carried(t)}
	if out := g.command(t, "adopt", "--data", g.copy, "--sheet", f.sheet); !strings.Contains(out, fmt.Sprintf("%d records of %d patients", f.records, f.patients)) {
		t.Errorf("adopt: %s", out)
	}
	g.command(t, "config", "show")
	for _, dir := range []string{g.copy, g.carried(t)} {
		s := lookAt(t, &storetest.Still{}, "", dir, "--sheet", f.sheet)
		s.signsIn()
		c, body := s.get("/")
		s.wants(c, body, http.StatusOK, "This copy is only being looked at. It is complete as of")
		if r, p := s.number(body, "Records"), s.number(body, "Patients"); r != f.records || p != f.patients {
			t.Errorf("Home says %d records of %d patients", r, p)
		}
		if s.stop() != exitGood || strings.Contains(s.out.String(), "PROBLEM") {
			t.Errorf("it says:\n%s", s.out)
		}
	}
}
