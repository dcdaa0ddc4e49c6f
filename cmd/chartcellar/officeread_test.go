package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
	accounts "chartcellar/store/access"
	"chartcellar/store/journal"
)

// settled goes through the first run and returns when the first copy is complete.
func settled(t *testing.T) (*served, *fakeemr.EMR) {
	t.Helper()
	dir := t.TempDir()
	folder := filepath.Join(dir, "copy")
	s := serveIn(t, dir)
	c, body := s.post("/setup/owner", ownerForm(s.find(`Setup code: (\S+)`), folder))
	s.wants(c, body, http.StatusSeeOther)
	s.provesSheet(folder)
	emr := s.connects()
	s.finishes()
	return s, emr
}

// again runs now and waits for its end.
func (s *served) again(run int, verdict string) {
	s.t.Helper()
	c, body := s.post("/backups/run", url.Values{})
	s.wants(c, body, http.StatusSeeOther, "done=run")
	s.ended(run, verdict)
}

// number reads a figure that stands behind a term on a page.
func (s *served) number(body, term string) int {
	s.t.Helper()
	m := regexp.MustCompile(`<dt>` + term + `</dt><dd>([^<]+)</dd>`).FindStringSubmatch(body)
	if m == nil {
		s.t.Fatalf("%s is not on the page:\n%s", term, body)
	}
	n, err := strconv.Atoi(strings.NewReplacer(",", "", " ", "", "\u202f", "", "\u00a0", "").Replace(m[1]))
	if err != nil {
		s.t.Fatalf("%s: %v", term, err)
	}
	return n
}

// TestPagesSayWhatIsThere goes from a complete copy over gaps, a held run and a failed
// one, and holds what the pages say against the store.
func TestPagesSayWhatIsThere(t *testing.T) {
	t.Parallel()
	s, emr := settled(t)
	o := s.e.daemon.get().office.Load()

	_, home := s.get("/")
	snap, err := o.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	counts, err := snap.Counts("")
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	for _, n := range counts {
		all += n
	}
	if got := s.number(home, "Records"); got != all || all == 0 {
		t.Errorf("Home says %d records, the store has %d", got, all)
	}
	if got := s.number(home, "Patients"); got != counts["Patient"] || got != 4 {
		t.Errorf("Home says %d patients, the store has %d", got, counts["Patient"])
	}
	if !strings.Contains(home, "What changed since yesterday is not known") {
		t.Error("a change since yesterday is known on the first day")
	}
	s.reports(o, counts)
	s.strip(o)

	emr.Set(fakeemr.Faults{ErrorFile: "export failed", ErrorType: "Observation"})
	s.again(2, "complete with gaps")
	c, body := s.get("/backups/gaps")
	s.wants(c, body, http.StatusOK, "Observation")
	if g, err := o.Gaps(t.Context()); err != nil || g.All != 1 || g.Kind["type"]+g.Kind["file"] != 1 {
		t.Errorf("gaps: %+v, %v", g, err)
	}
	c, body = s.get("/")
	s.wants(c, body, http.StatusOK, "complete with gaps")

	emr.Set(fakeemr.Faults{Unauthorized: "/"})
	c, body = s.post("/backups/run", url.Values{})
	s.wants(c, body, http.StatusSeeOther)
	s.idle()
	if st, err := o.Status(t.Context()); err != nil || st.Word == "good" {
		t.Errorf("after a run that could not sign in the state is %s, %v", st.Word, err)
	}
	emr.Set(fakeemr.Faults{})
	s.heldRun(emr, o)
}

// idle waits until nothing runs.
func (s *served) idle() {
	s.t.Helper()
	for range 2000 {
		if _, body := s.get("/backups/progress"); strings.Contains(body, "No run is under way") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatal("a run never ended")
}

// reports holds the first run's report, the coverage, the storage and the month against
// the store.
func (s *served) reports(o *office, counts map[string]int) {
	s.t.Helper()
	c, body := s.get("/backups/runs/1")
	s.wants(c, body, http.StatusOK, "Observation", fmt.Sprint(counts["Observation"]))
	rep, err := o.Run(s.t.Context(), 1)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, row := range rep.Types {
		if row.Here != counts[row.Type] {
			s.t.Errorf("the report says %d of %s, the store has %d", row.Here, row.Type, counts[row.Type])
		}
	}
	if len(rep.Types) < 5 || rep.Certificate.Sum == "" {
		s.t.Errorf("the report has %d types, certificate %q", len(rep.Types), rep.Certificate.Sum)
	}
	c, body = s.get("/backups/runs/1/report.json")
	s.wants(c, body, http.StatusOK)
	var kept fhirsync.Report
	if err := json.Unmarshal([]byte(body), &kept); err != nil || kept.Verdict != fhirsync.Complete {
		s.t.Errorf("the report as JSON: %v, %q", err, kept.Verdict)
	}
	c, body = s.get("/backups/runs/99")
	s.wants(c, body, http.StatusNotFound)
	c, body = s.get("/backups/coverage")
	s.wants(c, body, http.StatusOK, "Observation", "DICOM")
	c, body = s.get("/backups/storage")
	s.wants(c, body, http.StatusOK, o.m.Dir())
	if st, err := o.Storage(s.t.Context()); err != nil || st.Used == 0 || st.Free == 0 || st.DaysLeft != -1 {
		s.t.Errorf("storage: %+v, %v", st, err)
	}
	month := time.Now().In(o.zone()).Format("2006-01")
	c, body = s.get("/reports")
	s.wants(c, body, http.StatusOK, month)
	c, body = s.get("/reports/" + month)
	s.wants(c, body, http.StatusOK, "Harbour Street")
	c, body = s.get("/reports/1999-01")
	s.wants(c, body, http.StatusNotFound)
	if m, err := o.Month(s.t.Context(), time.Now()); err != nil || m.Complete != 1 || !m.Unfinished || m.OpenGaps != 0 || m.New == 0 || m.Start.Records != -1 {
		s.t.Errorf("the month: %+v, %v", m, err)
	}
	list, all, err := o.Runs(s.t.Context(), 0, 10)
	if err != nil || all != len(list) || all == 0 || list[len(list)-1].New == 0 {
		s.t.Errorf("runs: %+v, %d, %v", list, all, err)
	}
	if ch, err := o.Changes(s.t.Context(), time.Now().AddDate(0, 0, -1)); err != nil || !ch.First || len(ch.Types) != 0 {
		s.t.Errorf("changes after the first pull: %+v, %v", ch, err)
	}
}

// viewsOfHeld looks that whoever saw examples left a line for each patient, and that
// their number is that of the examples.
func (s *served) viewsOfHeld(o *office) {
	s.t.Helper()
	seen, patients := 0, map[string]bool{}
	err := o.m.EachJournalLine(s.t.Context(), 0, func(l journal.Line) error {
		if l.Code == "held.view" && l.Account == "reyes" {
			note, err := o.m.OpenNote(l)
			if err != nil || !strings.Contains(note, "request ") {
				s.t.Errorf("the note of a view of held records is %q, %v", note, err)
			}
			seen += l.Count
			patients[l.Patient] = true
		}
		return nil
	})
	if err != nil || seen != 10 || patients[""] || len(patients) == 0 {
		s.t.Errorf("views of held records: %d, of %d patients, %v", seen, len(patients), err)
	}
}

// heldRun has the EMR lose records, looks at what waits, and rejects it.
func (s *served) heldRun(emr *fakeemr.EMR, o *office) {
	s.t.Helper()
	var lost []string
	err := emr.EachAt("Observation", time.Now(), func(id string, _ []byte) error {
		if len(lost) < 30 {
			lost = append(lost, id)
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, id := range lost {
		emr.Delete("Observation", id)
	}
	c, body := s.post("/backups/run", url.Values{})
	s.wants(c, body, http.StatusSeeOther)
	s.idle()
	c, body = s.get("/backups/held")
	s.wants(c, body, http.StatusOK, "Gone: 30", "is no longer at the EMR")
	snap, err := o.m.Now()
	if err != nil {
		s.t.Fatal(err)
	}
	here, err := snap.CountOf("emr", "Observation")
	if err != nil {
		s.t.Fatal(err)
	}
	s.wants(c, body, http.StatusOK, fmt.Sprintf("Current records: %d.", here))
	s.viewsOfHeld(o)
	held, err := o.Held(s.t.Context(), viewer.Actor{Role: accounts.IT})
	if err != nil || len(held) != 1 || len(held[0].Examples) != 0 || held[0].Removed != 30 || held[0].Why == "" {
		s.t.Fatalf("held, for IT: %+v, %v", held, err)
	}
	form := url.Values{"run": {fmt.Sprint(held[0].Run)}, "type": {"Observation"}, "choice": {"reject"}}
	c, body = s.post("/backups/held", form)
	s.wants(c, body, http.StatusUnprocessableEntity, "Nothing was decided yet")
	form.Set("sure", "yes")
	c, body = s.post("/backups/held", form)
	s.wants(c, body, http.StatusSeeOther, "done=reject")
	if held, err = o.Held(s.t.Context(), viewer.Actor{}); err != nil || len(held) != 0 {
		s.t.Errorf("after the decision there waits %+v, %v", held, err)
	}
	if list, _, err := o.Runs(s.t.Context(), 0, 1); err != nil || list[0].Kind != "decision" {
		s.t.Errorf("the decision has no line: %+v, %v", list, err)
	}
}

// strip looks at the days from three days on: a day on which a run was due and none
// came is missing, the one that is not over is not, and nothing is missing from before
// the first run.
func (s *served) strip(o *office) {
	s.t.Helper()
	later := *o.e
	later.clock = func() time.Time { return time.Now().AddDate(0, 0, 3) }
	runs, err := o.m.Runs()
	if err != nil {
		s.t.Fatal(err)
	}
	days := (&office{e: &later, d: o.d, m: o.m}).strip(runs, 10)
	var got []viewer.DayState
	for _, day := range days[5:] {
		got = append(got, day.State)
	}
	want := []viewer.DayState{viewer.DayNone, viewer.DayComplete, viewer.DayMissing, viewer.DayMissing, viewer.DayNone}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.t.Errorf("the last days: %q, want %q", got, want)
	}
}
