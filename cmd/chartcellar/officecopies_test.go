package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/index"
	"chartcellar/store/journal"
)

// waited waits until nothing runs, and returns the report of the newest run of a kind.
func (s *served) waited(o *office, kind string) viewer.RunReport {
	s.t.Helper()
	s.idle()
	list, _, err := o.Runs(s.t.Context(), 0, 20)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range list {
		if l.Kind == kind {
			rep, err := o.Run(s.t.Context(), l.Number)
			if err != nil {
				s.t.Fatal(err)
			}
			return rep
		}
	}
	s.t.Fatalf("there is no run of the kind %s", kind)
	return viewer.RunReport{}
}

// done sends a form and waits until what it began has ended.
func (s *served) done(path string, form url.Values, to string) {
	s.t.Helper()
	c, body := s.post(path, form)
	s.wants(c, body, http.StatusSeeOther, to)
	s.idle()
}

// TestCopiesFromThePages sets a second copy up from the page, fills, checks and tests it,
// proves with the typed sheet that it comes back, damages it, and is told so.
func TestCopiesFromThePages(t *testing.T) {
	t.Parallel()
	s, _ := settled(t)
	o := s.e.daemon.get().office.Load()
	usb := filepath.Join(t.TempDir(), "usb")

	c, body := s.get("/backups/copies")
	s.wants(c, body, http.StatusOK, "There is no second copy")
	form := url.Values{"kind": {"folder"}, "name": {"usb"}, "folder": {usb}, "disks": {"1"}}
	c, body = s.post("/backups/copies/new", form)
	s.wants(c, body, http.StatusUnprocessableEntity, "not plugged in", "Nothing was set up")
	for name, value := range map[string]string{"name": "emr", "folder": o.m.Dir() + "/usb", "disks": "12"} {
		bad := url.Values{"kind": {"folder"}, "name": {"usb"}, "folder": {usb}, "disks": {"1"}}
		bad.Set(name, value)
		c, body = s.post("/backups/copies/new", bad)
		s.wants(c, body, http.StatusUnprocessableEntity, "Nothing was set up")
	}
	for kind, away := range map[string]url.Values{"a server": {"kind": {"sftp"}, "name": {"nas"}, "sftp": {"a@127.0.0.1:1/x"}},
		"a bucket": {"kind": {"s3"}, "name": {"cloud"}, "s3": {"http://127.0.0.1:1/bucket"}, "access": {"k"}, "secret": {"the-secret-key"}}} {
		c, body = s.post("/backups/copies/new", away)
		s.wants(c, body, http.StatusUnprocessableEntity, "cannot be reached", "Nothing was set up")
		if strings.Contains(body, "the-secret-key") {
			t.Errorf("the page of %s sends the secret back", kind)
		}
	}
	if err := os.Mkdir(usb, 0o700); err != nil {
		t.Fatal(err)
	}
	s.done("/backups/copies/new", form, "done=place")
	c, body = s.post("/backups/copies/new", form)
	s.wants(c, body, http.StatusUnprocessableEntity, "already")
	c, body = s.get("/backups/copies")
	s.wants(c, body, http.StatusOK, usb, "nothing there yet", "It could be removed", "every day at 05:00")
	s.done("/backups/copies", url.Values{"name": {"usb"}, "do": {"now"}}, "done=now")
	if rep := s.waited(o, copyRun); rep.Verdict != copyComplete || !strings.Contains(strings.Join(rep.Notes, " "), "complete up to checkpoint") {
		t.Errorf("the copy: %+v", rep)
	}
	list, err := o.SecondCopies(t.Context())
	if err != nil || len(list) != 1 || list[0].State.Answer != health.Yes || list[0].There != list[0].Files || list[0].Files < 5 || list[0].Next.Before(time.Now()) || list[0].Tested.IsZero() {
		t.Fatalf("the state: %+v, %v", list, err)
	}
	c, body = s.get("/backups/copies")
	s.wants(c, body, http.StatusOK, "up to date", fmt.Sprintf("%d of %d", list[0].There, list[0].Files))
	c, body = s.post("/backups/copies/out", url.Values{"name": {"usb"}})
	s.wants(c, body, http.StatusOK, "it can be taken out now", "It lacks")
	s.done("/backups/copies", url.Values{"name": {"usb"}, "do": {"test"}}, "done=tested")
	s.done("/backups/copies", url.Values{"name": {"usb"}, "do": {"check"}}, "done=check")
	if rep := s.waited(o, checkRun); rep.Verdict != copyComplete {
		t.Errorf("the check: %+v", rep)
	}
	c, body = s.post("/backups/copies", url.Values{"name": {"other"}, "do": {"now"}})
	s.wants(c, body, http.StatusUnprocessableEntity, "no second copy of that name")
	s.drills(o, usb)
	s.whoStarted(o, "copy.add", "copy.test", "copy.now", "copy.check", "drill.begin", "drill")
}

// drills makes a drill that passes, one with a wrong letter, one with another mirror's
// key, and one of a copy that was damaged.
func (s *served) drills(o *office, usb string) {
	s.t.Helper()
	c, body := s.get("/backups/drill")
	s.wants(c, body, http.StatusOK, "Nobody has tried yet", "<textarea")
	lines := strings.Split(s.sheet, "\n")
	wrong := []rune(lines[1])
	i := strings.Index(lines[1], ". ") + 2
	wrong[i] = map[bool]rune{true: 'P', false: 'Q'}[wrong[i] == 'Q']
	c, body = s.post("/backups/drill", url.Values{"name": {"usb"}, "sheet": {strings.Replace(s.sheet, lines[1], string(wrong), 1)}})
	s.wants(c, body, http.StatusUnprocessableEntity, "Line 2 of the recovery key", "Nothing was started")
	other := "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
	c, body = s.post("/backups/drill", url.Values{"name": {"usb"}, "sheet": {other}})
	s.wants(c, body, http.StatusUnprocessableEntity, "Nothing was started")
	if strings.Contains(body, other) || strings.Contains(body, string(wrong)) {
		s.t.Error("the page sends a key back")
	}
	s.done("/backups/drill", url.Values{"name": {"usb"}, "sheet": {s.sheet}}, "done=drill")
	rep := s.waited(o, drillRun)
	if rep.Verdict != drillPassed || rep.Person != "Dr. Reyes (reyes)" || !strings.Contains(strings.Join(rep.Notes, " "), "4 random patients were compared") {
		s.t.Errorf("the drill: %+v", rep)
	}
	c, body = s.get("/backups/drill")
	s.wants(c, body, http.StatusOK, "came back with the printed sheet", "Dr. Reyes (reyes)", "Do it once a month")
	c, body = s.get(fmt.Sprintf("/backups/runs/%d", rep.Number))
	s.wants(c, body, http.StatusOK, "Signed off", "passed")
	c, body = s.get(fmt.Sprintf("/backups/runs/%d/report.pdf", rep.Number))
	s.wants(c, body, http.StatusOK, "%PDF-")
	if st, err := o.Status(s.t.Context()); err != nil || st.Facts[health.Drill].Answer != health.Yes || st.Facts[health.SecondCopy].Answer != health.Yes {
		s.t.Errorf("Home after the drill: %+v, %v", st.Facts, err)
	}
	s.noKeyLeft(o, lines[1])

	part := filepath.Join(usb, "parts", "000000", "000000000001.ndjson.zst.age")
	b, err := os.ReadFile(part)
	if err != nil {
		s.t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(part, b, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.done("/backups/drill", url.Values{"name": {"usb"}, "sheet": {s.sheet}}, "done=drill")
	if rep = s.waited(o, drillRun); rep.Verdict != drillFailed {
		s.t.Errorf("the drill of a damaged copy: %+v", rep)
	}
	c, body = s.get("/backups/drill")
	s.wants(c, body, http.StatusOK, "did not come back as it must")
	if err := os.Rename(usb, usb+" away"); err != nil {
		s.t.Fatal(err)
	}
	s.done("/backups/drill", url.Values{"name": {"usb"}, "sheet": {s.sheet}}, "done=drill")
	c, body = s.get("/backups/drill")
	s.wants(c, body, http.StatusOK, "could not be made", "not plugged in")
}

// noKeyLeft looks that no file of the office holds a line of the key, and that the
// folder of the drill is gone.
func (s *served) noKeyLeft(o *office, line string) {
	s.t.Helper()
	key := strings.Join(strings.Fields(strings.Split(strings.SplitN(line, ". ", 2)[1], "[")[0]), " ")
	path, err := o.e.settingsPath()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, dir := range []string{o.m.Dir(), filepath.Dir(path)} {
		err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				if strings.HasPrefix(filepath.Base(p), "chartcellar-") {
					s.t.Errorf("%s was left", p)
				}
				return err
			}
			b, err := os.ReadFile(p)
			if strings.Contains(string(b), key) || strings.Contains(string(b), strings.ReplaceAll(key, " ", "")) {
				s.t.Errorf("%s holds a line of the key", p)
			}
			return err
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if strings.Contains(s.out.String(), key) {
		s.t.Error("a line of the key was printed")
	}
}

// whoStarted looks that the journal names the person for each of these.
func (s *served) whoStarted(o *office, codes ...string) {
	s.t.Helper()
	seen := map[string]bool{}
	err := o.m.EachJournalLine(s.t.Context(), 0, func(l journal.Line) error {
		if l.Account == "reyes" {
			seen[l.Code] = true
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range codes {
		if !seen[c] {
			s.t.Errorf("the journal has no %s by the person", c)
		}
	}
}

// TestDamageOnThePages: what a check found is told in the doctor's words, with what to
// do, on Backups and in its report.
func TestDamageOnThePages(t *testing.T) {
	t.Parallel()
	s, _ := settled(t)
	o := s.e.daemon.get().office.Load()
	parts, err := o.m.Parts()
	if err != nil {
		t.Fatal(err)
	}
	most := slices.MaxFunc(parts, func(a, b index.Part) int { return a.Lines - b.Lines }) // it holds the records
	part := filepath.Join(o.m.Dir(), "parts", "000000", fmt.Sprintf("%012d.ndjson.zst.age", most.Number))
	b, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	whole := append([]byte(nil), b...)
	b[len(b)/2] ^= 1
	if err := os.Chmod(part, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(part, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s.done("/backups/verify", url.Values{}, "done=verify")
	c, body := s.get("/backups")
	s.wants(c, body, http.StatusOK, "Damage in the office copy", "They belong to 4 patients", "Patient", "fetched from the EMR on "+time.Now().Format("2 January 2006"), "chartcellar repair")
	rep := s.waited(o, "verify")
	if text := strings.Join(rep.Notes, " "); !strings.Contains(text, "They belong to 4 patients") || !strings.Contains(rep.Next, "chartcellar repair") {
		t.Errorf("the report: %q, %q", text, rep.Next)
	}
	if err := os.WriteFile(part, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	s.done("/backups/verify", url.Values{}, "done=verify")
	if c, body = s.get("/backups"); c != http.StatusOK || strings.Contains(body, "Damage in the office copy") {
		t.Errorf("after it was mended: %d\n%s", c, body)
	}
	if strings.Contains(body, "What is lost") {
		t.Error("something is lost, where nothing was declared so")
	}
	if err := os.WriteFile(part, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := o.m.DeclareLost(t.Context(), "owner", fmt.Sprintf("parts/000000/%012d.ndjson.zst.age", most.Number)); err != nil {
		t.Fatal(err)
	}
	c, body = s.get("/backups")
	s.wants(c, body, http.StatusOK, "What is lost", "was lost on "+time.Now().In(o.zone()).Format("2 Jan 2006"), "1 file was declared lost")
	loss := s.waited(o, "repair")
	if text := strings.Join(loss.Notes, " "); !strings.Contains(text, "4 patients") || !strings.Contains(loss.Next, "repair --unlock") {
		t.Errorf("the report of the loss: %q, %q", text, loss.Next)
	}
	c, body = s.get(fmt.Sprintf("/backups/runs/%d", loss.Number))
	s.wants(c, body, http.StatusOK, "declared lost", "They belong to 4 patients")
}
