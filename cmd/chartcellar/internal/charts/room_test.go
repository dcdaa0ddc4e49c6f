package charts_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
)

const (
	anna = `{"resourceType":"Patient","id":"anna","name":[{"family":"Müller-Ötz","given":["Anna"]}],"birthDate":"1950-03-12","gender":"female"}`
	ben  = `{"resourceType":"Patient","id":"ben","name":[{"family":"Stone","given":["Ben"]}],"birthDate":"2025-12-01","gender":"male"}`
	twin = `{"resourceType":"Patient","id":"twin","name":[{"family":"Mueller-Ötz","given":["Anna"]},{"family":"MULLER-OTZ","given":["ANNA"],"use":"official"}],"birthDate":"1950-03-12"}`
)

func potassium(status, value string) string {
	return `{"resourceType":"Observation","id":"k","status":"` + status + `","subject":{"reference":"Patient/anna"},"category":[{"coding":[{"code":"laboratory"}]}],` +
		`"code":{"text":"Potassium"},"effectiveDateTime":"2026-02-27","valueQuantity":{"value":` + value + `,"unit":"mmol/L"}}`
}

func cells(c viewer.Chart, key string) (out []string) {
	for _, s := range c.Whole.Sections {
		for _, g := range s.Groups {
			for _, r := range g.Rows {
				if s.Key == key {
					out = append(out, strings.Join(r.Cells, " | "))
				}
			}
		}
	}
	return out
}

// TestAsOf: an old day shows the old value, today the new one; what came later is not
// there, what the EMR removed later still is; before the first copy there is nothing.
func TestAsOf(t *testing.T) {
	d := newDesk(t, anna, potassium("final", "4.10"), `{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/anna"},"code":{"text":"Asthma"}}`)
	d.pull("main", potassium("corrected", "5.90"), "Condition/c")
	for _, tt := range []struct {
		asOf    string
		results string
		records int
	}{{"2026-03-01", "Potassium | 4.10 mmol/L |  |  | 2026-02-27 | ", 3}, {"2026-03-02", "Potassium | 5.90 mmol/L (corrected) |  |  | 2026-02-27 | ", 2}, {"", "Potassium | 5.90 mmol/L (corrected) |  |  | 2026-02-27 | ", 2}} {
		c, err := d.Chart(t.Context(), doctor, d.at("anna", tt.asOf), "summary")
		if err != nil {
			t.Fatal(err)
		}
		if got := cells(c, "results"); !slices.Equal(got, []string{tt.results}) {
			t.Errorf("as of %q: %q", tt.asOf, got)
		}
		if c.Records != tt.records || (len(cells(c, "problems")) == 1) != (tt.records == 3) {
			t.Errorf("as of %q: %d records, problems %q", tt.asOf, c.Records, cells(c, "problems"))
		}
		if tt.asOf != "" && !strings.Contains(c.Copy, "As of "+tt.asOf) {
			t.Errorf("as of %q it says %q", tt.asOf, c.Copy)
		}
	}
	_, err := d.Chart(t.Context(), doctor, d.at("anna", "2026-02-28"), "summary")
	var refused *viewer.Refusal
	if err == nil || !strings.Contains(err.Error(), "no copy from that day") {
		t.Errorf("before the first copy: %v %v", err, refused)
	}
}

// TestHowOld: how old the copy is, is said as of now, also of a chart that is kept for the
// next page.
func TestHowOld(t *testing.T) {
	d := newDesk(t, anna)
	for _, want := range []string{"at 6:00AM", "at 9:00AM"} {
		c, err := d.Chart(t.Context(), doctor, d.at("anna", ""), "summary")
		if err != nil || !strings.Contains(c.Copy, want) {
			t.Errorf("%q, %v; want %s", c.Copy, err, want)
		}
		d.pass(3 * time.Hour)
	}
}

// TestRemovedPatient: a patient that the EMR has removed is still shown, and marked.
func TestRemovedPatient(t *testing.T) {
	d := newDesk(t, anna, ben)
	d.pull("main", "Patient/ben")
	c, err := d.Chart(t.Context(), doctor, d.at("ben", ""), "summary")
	if err != nil {
		t.Fatal(err)
	}
	if c.Banner.Name != "Stone, Ben" || !slices.ContainsFunc(c.Notices, func(n string) bool { return strings.Contains(n, "has removed this patient") }) {
		t.Errorf("%q %q", c.Banner.Name, c.Notices)
	}
}

// TestRecordedOrNotShown: each view has its line before it is shown, with who and what;
// a view that cannot be recorded is not shown.
func TestRecordedOrNotShown(t *testing.T) {
	d := newDesk(t, anna)
	if _, err := d.Chart(t.Context(), doctor, d.at("anna", "2026-03-01"), "problems"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Patients(t.Context(), staff, viewer.PatientQuery{Text: "Müll", Rows: 50}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Patients(t.Context(), doctor, viewer.PatientQuery{Rows: 50}); err != nil {
		t.Fatal(err)
	}
	want := []string{"chart.view doctor problems; as of 2026-03-01; from 192.0.2.1; request AAAA", "patients.search staff for: Müll; from 192.0.2.2; request BBBB", "patients.search doctor the list; from 192.0.2.1; request AAAA"}
	if got := d.journal(); !slices.Equal(got[len(got)-3:], want) {
		t.Errorf("the journal says %q", got)
	}
	d.shut()
	if c, err := d.Chart(t.Context(), doctor, d.at("anna", ""), "summary"); err == nil || c.Whole != nil {
		t.Errorf("a chart was shown without a line: %v", err)
	}
	if p, err := d.Patients(t.Context(), doctor, viewer.PatientQuery{Rows: 50}); err == nil || p.List != nil {
		t.Errorf("patients were shown without a line: %v", err)
	}
}

// TestLocked: when the key goes, so does everything that was read.
func TestLocked(t *testing.T) {
	d := newDesk(t, anna)
	at := d.at("anna", "")
	if _, err := d.Chart(t.Context(), doctor, at, "summary"); err != nil {
		t.Fatal(err)
	}
	d.m.Lock()
	d.Forget()
	_, err := d.Chart(t.Context(), doctor, at, "summary")
	is(t, err, viewer.ErrLocked)
	_, err = d.Patients(t.Context(), doctor, viewer.PatientQuery{Rows: 50})
	is(t, err, viewer.ErrLocked)
	if err := d.m.Unlock(d.key); err != nil {
		t.Fatal(err)
	}
	p, err := d.Patients(t.Context(), doctor, viewer.PatientQuery{Rows: 50})
	if err != nil || len(p.List) != 1 || len(p.Recent) != 0 {
		t.Errorf("after unlocking: %v, %v", p, err)
	}
}

// TestForgottenMeanwhile: what was under way when the last one left is not remembered,
// also where somebody else still holds the key.
func TestForgottenMeanwhile(t *testing.T) {
	d := newDesk(t, anna, ben)
	done := make(chan error)
	release := d.hold()
	go func() {
		_, err := d.Chart(t.Context(), doctor, d.at("anna", ""), "summary")
		done <- err
	}()
	for !strings.Contains(strings.Join(d.journal(), "\n"), "chart.view") {
		runtime.Gosched()
	}
	d.Forget()
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p, err := d.Patients(t.Context(), doctor, viewer.PatientQuery{Rows: 50})
	if err != nil || len(p.List) != 2 || len(p.Recent) != 0 {
		t.Errorf("%v, %v", p.Recent, err)
	}
}

// TestPatients: who fits is found whatever the page; filters narrow; recent ones are
// those of the account, until it forgets them.
func TestPatients(t *testing.T) {
	lines := []string{anna, ben}
	for i := range 118 {
		lines = append(lines, fmt.Sprintf(`{"resourceType":"Patient","id":"p%d","name":[{"family":"Row%03d"}],"birthDate":"1980","deceasedBoolean":%t}`, i, i, i == 0))
	}
	d := newDesk(t, lines...)
	find := func(q viewer.PatientQuery) viewer.Patients {
		t.Helper()
		q.Rows = 50
		p, err := d.Patients(t.Context(), doctor, q)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, tt := range []struct {
		q     viewer.PatientQuery
		found int
		first string
	}{{viewer.PatientQuery{}, 120, "Müller-Ötz, Anna"}, {viewer.PatientQuery{Page: 2}, 120, "Row099"}, {viewer.PatientQuery{Text: "muller"}, 1, "Müller-Ötz, Anna"},
		{viewer.PatientQuery{Text: "1950"}, 1, "Müller-Ötz, Anna"}, {viewer.PatientQuery{Sex: "male"}, 1, "Stone, Ben"}, {viewer.PatientQuery{Ages: "baby"}, 1, "Stone, Ben"},
		{viewer.PatientQuery{Ages: "old"}, 1, "Müller-Ötz, Anna"}, {viewer.PatientQuery{State: "deceased"}, 1, "Row000"}, {viewer.PatientQuery{EMR: "other"}, 0, ""}} {
		p := find(tt.q)
		if p.Found != tt.found || p.All != 120 || tt.found > 0 && p.List[0].Name != tt.first {
			t.Errorf("%+v: %d of %d, %v", tt.q, p.Found, p.All, p.List)
		}
	}
	for _, id := range []string{"anna", "ben", "anna"} {
		if _, err := d.Chart(t.Context(), doctor, d.at(id, ""), "summary"); err != nil {
			t.Fatal(err)
		}
	}
	if p := find(viewer.PatientQuery{}); len(p.Recent) != 2 || p.Recent[0].ID != "anna" || p.Recent[1].ID != "ben" {
		t.Errorf("recent: %v", p.Recent)
	}
	d.ForgetRecent(doctor)
	if p := find(viewer.PatientQuery{}); p.Recent != nil {
		t.Errorf("recent after forgetting: %v", p.Recent)
	}
}

// TestSamePerson: another record of the same name and birth date is named, and nothing
// of it is put into the chart.
func TestSamePerson(t *testing.T) {
	d := newDesk(t, anna, ben, twin)
	c, err := d.Chart(t.Context(), doctor, d.at("anna", ""), "summary")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Same) != 1 || c.Same[0].ID != "twin" || c.Records != 1 {
		t.Errorf("%v, %d records", c.Same, c.Records)
	}
	if c, err = d.Chart(t.Context(), doctor, d.at("ben", ""), "summary"); err != nil || c.Same != nil {
		t.Errorf("%v %v", c.Same, err)
	}
}

// TestAddresses: an address tells nothing, cannot be made by guessing, and one kind is
// not taken for another.
func TestAddresses(t *testing.T) {
	d := newDesk(t, anna)
	ref := d.Refer("main", "Patient/anna")
	if ref != d.Refer("main", "Patient/anna") || ref == d.Refer("main", "Patient/ben") {
		t.Error("an address is not that of its record")
	}
	if source, typ, id, err := d.Open(ref); source != "main" || typ != "Patient" || id != "anna" || err != nil {
		t.Errorf("%q %q %q %v", source, typ, id, err)
	}
	q := d.Seal("Müller 1950")
	if text, err := d.Unseal(q); text != "Müller 1950" || err != nil {
		t.Errorf("%q %v", text, err)
	}
	bad := []byte(ref)
	bad[len(bad)-3] ^= 1
	for _, one := range []string{"", "x", "Patient/anna", string(bad), q, string(ref)[1:]} {
		if _, _, _, err := d.Open(viewer.Ref(one)); err == nil {
			t.Errorf("%q was opened", one)
		}
	}
	if _, err := d.Unseal(string(ref)); err == nil {
		t.Error("the address of a patient was opened as a query")
	}
	for _, typ := range []string{"Patient/nobody", "Observation/k"} {
		_, err := d.Chart(t.Context(), doctor, viewer.Place{Ref: d.Refer("main", typ)}, "summary")
		is(t, err, viewer.ErrNotFound)
	}
}

// TestHeavyPatient: every count of the chart is that of the store.
func TestHeavyPatient(t *testing.T) {
	lines := []string{anna}
	for i := range 700 {
		lines = append(lines, fmt.Sprintf(`{"resourceType":"Observation","id":"o%d","status":"%s","subject":{"reference":"Patient/anna"},"code":{"text":"T%d"}}`, i, []string{"final", "entered-in-error", "odd"}[i%3], i%50))
	}
	d := newDesk(t, lines...)
	c, err := d.Chart(t.Context(), doctor, d.at("anna", ""), "results")
	if err != nil {
		t.Fatal(err)
	}
	snap, err := d.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	n, stored := 0, 0
	for _, tab := range c.Tabs {
		n += max(0, tab.Records)
	}
	err = snap.Compartment(t.Context(), "main", "anna", func(store.Version) error { stored++; return nil })
	if err != nil || n+1 != stored || c.Records != stored {
		t.Errorf("tabs %d, chart %d, store %d, %v", n, c.Records, stored, err)
	}
}

// TestNothingInvented: of a patient of whom nothing is known nothing is said.
func TestNothingInvented(t *testing.T) {
	d := newDesk(t, `{"resourceType":"Patient","id":"x"}`)
	c, err := d.Chart(t.Context(), doctor, d.at("x", ""), "summary")
	if err != nil {
		t.Fatal(err)
	}
	b := c.Banner
	if b.Name+b.Born+b.Sex+b.MRN+b.Phone+b.Deceased+b.Age != "" || b.Allergies != chart.NotIncluded {
		t.Errorf("%+v", b)
	}
}

// TestSensitive: what is labelled is shown to who may see it, with its label; to others it
// is counted, whichever of them opened the chart first.
func TestSensitive(t *testing.T) {
	vip := `{"resourceType":"Patient","id":"vip","meta":{"security":[{"code":"VIP"}]},"name":[{"family":"Secretary"}],"birthDate":"1950-03-12"}`
	d := newDesk(t, anna, vip, `{"resourceType":"Condition","id":"c","meta":{"security":[{"code":"PSY"}]},"subject":{"reference":"Patient/anna"},"code":{"text":"Secret"}}`)
	for range 2 {
		c, err := d.Chart(t.Context(), doctor, d.at("anna", ""), "problems")
		if err != nil || len(cells(c, "problems")) != 1 || c.Whole.Withheld != 0 || c.Records != 2 {
			t.Errorf("a doctor: %q, %d withheld of %d, %v", cells(c, "problems"), c.Whole.Withheld, c.Records, err)
		}
		c, err = d.Chart(t.Context(), staff, d.at("anna", ""), "problems")
		if err != nil || len(cells(c, "problems")) != 0 || c.Whole.Withheld != 1 || c.Records != 2 ||
			!slices.Contains(c.Notices, "1 of 2 records is labelled sensitive and not shown to your role.") {
			t.Errorf("staff: %q, %d withheld of %d, %q, %v", cells(c, "problems"), c.Whole.Withheld, c.Records, c.Notices, err)
		}
	}
	for _, tt := range []struct {
		who    viewer.Actor
		text   string
		found  int
		hidden int
	}{{doctor, "", 2, 0}, {doctor, "secretary", 1, 0}, {staff, "", 1, 1}, {staff, "secretary", 0, 1}, {staff, "anna", 1, 1}} {
		p, err := d.Patients(t.Context(), tt.who, viewer.PatientQuery{Text: tt.text, Rows: 50})
		if err != nil || p.Found != tt.found || p.Hidden != tt.hidden || p.All != 2 || len(p.List) != tt.found {
			t.Errorf("%s %q: %+v, %v", tt.who.Account, tt.text, p, err)
		}
	}
	c, err := d.Chart(t.Context(), staff, d.at("vip", ""), "summary")
	if err != nil || c.Banner.Name != chart.NotShown || c.Banner.Born != "" {
		t.Errorf("staff opens the chart of a patient who is labelled: %+v, %v", c.Banner, err)
	}
}

// TestSealedPatient: a patient who is sealed leaves every page at once, also one that was
// open, and is counted.
func TestSealedPatient(t *testing.T) {
	d := newDesk(t, anna, ben)
	if _, err := d.Chart(t.Context(), doctor, d.at("ben", ""), "summary"); err != nil {
		t.Fatal(err)
	}
	if err := d.m.SealPatient(t.Context(), store.SealOrder{Source: "main", Patient: "ben", By: "owner", Reason: "sent by mistake"}); err != nil {
		t.Fatal(err)
	}
	for _, asOf := range []string{"", "2026-03-01"} {
		_, err := d.Chart(t.Context(), doctor, d.at("ben", asOf), "summary")
		is(t, err, viewer.ErrNotFound)
		p, err := d.Patients(t.Context(), doctor, viewer.PatientQuery{AsOf: asOf, Rows: 50})
		if err != nil || p.All != 2 || p.Found != 1 || p.Sealed != 1 || p.List[0].ID != "anna" || len(p.Recent) != 0 {
			t.Errorf("as of %q: %+v, %v", asOf, p, err)
		}
	}
	if err := d.m.UnsealPatient(t.Context(), store.SealOrder{Source: "main", Patient: "ben", By: "owner", Reason: "it was right"}); err != nil {
		t.Fatal(err)
	}
	if c, err := d.Chart(t.Context(), doctor, d.at("ben", ""), "summary"); err != nil || c.Banner.ID != "ben" {
		t.Errorf("after the seal is off: %v", err)
	}
}
