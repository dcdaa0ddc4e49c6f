package charts_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
	"chartcellar/store/index"
)

// lee is a record of no patient; others name her.
const lee = `{"resourceType":"Practitioner","id":"lee","meta":{"versionId":"7"},"name":[{"text":"Dr. 李 ليلى"}]}`

// named is a record of a patient that names another.
func named(typ, id, patient, reference string) string {
	return fmt.Sprintf(`{"resourceType":%q,"id":%q,"subject":{"reference":"Patient/%s"},"performer":[{"reference":%q}],"code":{"text":"names"},"status":"final","effectiveDateTime":"2026-01-02"}`,
		typ, id, patient, reference)
}

// of is the place of a record.
func (d *desk) of(ref, asOf string) viewer.Place {
	return viewer.Place{Ref: d.Refer("main", ref), AsOf: asOf}
}

func (d *desk) record(ref, asOf string) viewer.Record {
	d.t.Helper()
	r, err := d.Record(d.t.Context(), doctor, d.of(ref, asOf), "card")
	if err != nil {
		d.t.Fatalf("Record(%s as of %q) = %v", ref, asOf, err)
	}
	return r
}

// held adds a run whose changes wait for a decision.
func (d *desk) held(line string) {
	d.t.Helper()
	ctx := d.t.Context()
	r, err := d.m.Begin(ctx, store.RunSpec{Source: "main", Kind: "sync"})
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Abort()
	if err := r.Add(ctx, store.Chunk{Lines: []byte(line + "\n")}); err != nil {
		d.t.Fatal(err)
	}
	if err := r.Close(ctx, store.Closing{States: index.RunStates{All: index.Held}}); err != nil {
		d.t.Fatal(err)
	}
}

// TestRecordAsOf: an old day shows the old value, today the new one; the difference names
// the element; every version says where it came from.
func TestRecordAsOf(t *testing.T) {
	d := newDesk(t, anna, potassium("final", "4.10"))
	d.pull("main", potassium("corrected", "5.90"))
	d.held(potassium("final", "6.66"))
	old, now := d.record("Observation/k", "2026-03-01"), d.record("Observation/k", "")
	if len(old.Versions) != 1 || string(old.Versions[old.Shown].Raw) != potassium("final", "4.10") {
		t.Errorf("as of the first day: %d versions", len(old.Versions))
	}
	if len(now.Versions) != 3 || now.Shown != 1 || string(now.Versions[1].Raw) != potassium("corrected", "5.90") || now.Removed || now.Title != "Potassium" {
		t.Fatalf("now: version %d of %d, removed %v, %q", now.Shown+1, len(now.Versions), now.Removed, now.Title)
	}
	if now.Banner.Name != "Müller-Ötz, Anna" || now.Ref != d.at("anna", "").Ref {
		t.Errorf("the banner is of %q", now.Banner.Name)
	}
	if w := now.Versions[2]; w.Counts || !strings.Contains(w.Why, "waits for your decision") {
		t.Errorf("the one that is held: %+v", w)
	}
	changes, err := chart.Diff(now.Versions[0].Raw, now.Versions[1].Raw)
	if err != nil || fmt.Sprint(changes) != "[status: final -> corrected value quantity › value: 4.10 -> 5.90]" {
		t.Errorf("Diff = %v, %v", changes, err)
	}
	v := now.Versions[0]
	sum := sha256.Sum256([]byte(potassium("final", "4.10")))
	if v.N != 1 || v.Run != 1 || v.Digest != hex.EncodeToString(sum[:]) || v.Part == "" || v.Started.Day() != 1 || v.Fetched.Day() != 1 || v.Ended.Day() != 1 || !v.Updated.IsZero() || !v.Counts || v.Why != "" {
		t.Errorf("the first version: %+v", v)
	}
	if b, err := d.Bytes(t.Context(), doctor, d.of("Observation/k", ""), 2); err != nil || string(b) != potassium("corrected", "5.90") {
		t.Errorf("Bytes = %s, %v", b, err)
	}
	for _, n := range []int{0, 4, -1} {
		_, err := d.Bytes(t.Context(), doctor, d.of("Observation/k", ""), n)
		is(t, err, viewer.ErrNotFound)
	}
}

// TestRecordRemoved: what the EMR has removed stays reachable, and is marked.
func TestRecordRemoved(t *testing.T) {
	d := newDesk(t, anna, potassium("final", "4.10"))
	d.pull("main", "Observation/k")
	r := d.record("Observation/k", "")
	if !r.Removed || r.Shown != 0 || len(r.Versions) != 2 || !r.Versions[1].Deleted || r.Versions[1].Missing || r.Versions[1].Detector != "history" || r.Banner.Name == "" {
		t.Errorf("%+v", r)
	}
	d.pull("main", `{"resourceType":"DiagnosticReport","id":"r","result":[{"reference":"Observation/k"},{"reference":"Observation/never"}]}`)
	if n := d.record("DiagnosticReport/r", "").Named; len(n) != 1 || !n["Observation/k"].Removed || n["Observation/k"].Title != "Potassium" {
		t.Errorf("who names it is told %+v", n)
	}
	if r := d.record("Observation/k", "2026-03-01"); r.Removed || len(r.Versions) != 1 {
		t.Errorf("before it was removed: %+v", r.Removed)
	}
}

// TestRecordOfNobody: a record of no patient, of a type that nobody knows, or of a patient
// whom the copy never held is shown without a banner.
func TestRecordOfNobody(t *testing.T) {
	d := newDesk(t, anna, lee, `{"resourceType":"Horoscope","id":"h","title":"王"}`, named("Observation", "stray", "nobody", "Practitioner/lee"))
	r := d.record("Practitioner/lee", "")
	if r.Ref != "" || r.Title != "Dr. 李 ليلى" || r.Versions[0].Version != "7" {
		t.Errorf("%q %q %+v", r.Ref, r.Title, r.Versions)
	}
	if r := d.record("Horoscope/h", ""); r.Ref != "" || r.Title != "王" {
		t.Errorf("an unknown type: %q", r.Title)
	}
	if r := d.record("Observation/stray", ""); r.Ref != "" || r.Orphan != "nobody" {
		t.Errorf("of an unknown patient: %q %q", r.Ref, r.Orphan)
	}
	for _, p := range []viewer.Place{d.of("Practitioner/none", ""), {Ref: "@@"}, {Ref: viewer.Ref(d.Seal("x"))}} {
		_, err := d.Record(t.Context(), doctor, p, "card")
		is(t, err, viewer.ErrNotFound)
	}
}

// TestRecordRecordedOrNotShown: a view of a record has its line first.
func TestRecordRecordedOrNotShown(t *testing.T) {
	d := newDesk(t, anna, potassium("final", "4.10"))
	d.record("Observation/k", "2026-03-01")
	if _, err := d.Bytes(t.Context(), doctor, d.of("Observation/k", ""), 1); err != nil {
		t.Fatal(err)
	}
	want := []string{"record.view doctor k; card; as of 2026-03-01; from 192.0.2.1; request AAAA", "record.take doctor k; from 192.0.2.1; request AAAA"}
	if got := d.journal(); !slices.Equal(got[len(got)-2:], want) {
		t.Errorf("the journal says %q", got)
	}
	d.m.Lock()
	_, err := d.Record(t.Context(), doctor, d.of("Observation/k", ""), "card")
	is(t, err, viewer.ErrLocked)
	if err := d.m.Unlock(d.key); err != nil {
		t.Fatal(err)
	}
	at, chartAt := d.of("Observation/k", ""), d.at("anna", "")
	d.shut()
	if r, err := d.Record(t.Context(), doctor, at, "card"); err == nil || r.Versions != nil {
		t.Error("a record was shown without a line")
	}
	if b, err := d.Bytes(t.Context(), doctor, at, 1); err == nil || b != nil {
		t.Error("bytes were given without a line")
	}
	if u, err := d.Uses(t.Context(), doctor, at, true); err == nil || u.In != nil {
		t.Error("uses were shown without a line")
	}
	if l, err := d.Timeline(t.Context(), doctor, chartAt, ""); err == nil || l.Timeline != nil {
		t.Error("a timeline was shown without a line")
	}
	if c, err := d.ChartChanges(t.Context(), doctor, chartAt, ""); err == nil || c.List != nil {
		t.Error("changes were shown without a line")
	}
}

// TestRecordDamaged: where an older version is damaged, the newest is shown alone.
func TestRecordDamaged(t *testing.T) {
	d := newDesk(t, anna, potassium("final", "4.10"))
	first := d.record("Observation/k", "").Versions[0].Part
	d.pull("main", anna, potassium("corrected", "5.90"))
	name := filepath.Join(d.m.Dir(), filepath.FromSlash(first))
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	d.m.DropCache()
	r := d.record("Observation/k", "")
	if !r.Alone || len(r.Versions) != 1 || string(r.Versions[0].Raw) != potassium("corrected", "5.90") {
		t.Errorf("alone %v, %d versions", r.Alone, len(r.Versions))
	}
}

func usesText(u viewer.Uses) string {
	var out []string
	for _, one := range u.In {
		out = append(out, one.Ref+" "+strings.Join(one.Paths, ", "))
	}
	return strings.Join(out, "; ")
}

// TestUses: what names a record is found by its whole type and id, in the chart and, for a
// record of nobody, in the whole copy.
func TestUses(t *testing.T) {
	report := `{"resourceType":"DiagnosticReport","id":"r","status":"final","subject":{"reference":"Patient/anna"},"code":{"text":"Panel"},"effectiveDateTime":"2026-02-27","result":[{"reference":"Observation/k"},{"reference":"https://emr.example/fhir/Observation/k/_history/2"},{"reference":"Observation/k2"}]}`
	d := newDesk(t, anna, ben, lee, potassium("final", "4.10"), report, named("Observation", "a", "anna", "Practitioner/lee"), named("Observation", "b", "ben", "Practitioner/lee"),
		named("Observation", "c", "ben", "Practitioner/lee2"), `{"resourceType":"Patient","id":"kim","name":[{"text":"Kim"}],"generalPractitioner":[{"reference":"Practitioner/lee"}]}`,
		`{"resourceType":"Group","id":"g","name":"Potassium","member":[{"entity":{"reference":"Observation/k"}}]}`)
	u, err := d.Uses(t.Context(), doctor, d.of("Observation/k", ""), false)
	if err != nil || usesText(u) != "DiagnosticReport/r result 1 › reference, result 2 › reference" || u.Wide || u.More || u.Looked != 4 || u.Of != 4 {
		t.Errorf("of a result: %s; %d of %d, %v", usesText(u), u.Looked, u.Of, err)
	}
	if len(u.Out) != 1 || u.Out[0].ID != "anna" || u.Named["Patient/anna"].Title != "Müller-Ötz, Anna" {
		t.Errorf("it names %+v: %+v", u.Out, u.Named)
	}
	u, err = d.Uses(t.Context(), doctor, d.of("Observation/k", ""), true)
	if err != nil || usesText(u) != "DiagnosticReport/r result 1 › reference, result 2 › reference; Group/g member › entity › reference" || u.Looked != 10 || u.Of != 10 {
		t.Errorf("in the whole copy: %s; %d of %d, %v", usesText(u), u.Looked, u.Of, err)
	}
	u, err = d.Uses(t.Context(), doctor, d.of("Practitioner/lee", ""), false)
	if err != nil || !u.Wide || usesText(u) != "Observation/a performer › reference; Observation/b performer › reference; Patient/kim general practitioner › reference" {
		t.Errorf("of a doctor: %s, wide %v, %v", usesText(u), u.Wide, err)
	}
	for _, id := range []string{"anna", "ben", "kim"} { // who saw a patient finds this, too
		if l := d.seen(doctor, viewer.SeenQuery{Patient: d.Refer("main", "Patient/"+id)}).Lines[1]; l.Code != "search.shown" || l.Note != "where Practitioner/lee is used" {
			t.Errorf("of %s the journal has %+v", id, l)
		}
	}
	d.shut()
	if u, err := d.Uses(t.Context(), doctor, d.of("Practitioner/lee", ""), false); err == nil {
		t.Errorf("shown without a line in the journal: %s", usesText(u))
	}
}

// TestUsesStops: where very many name a record, some are shown, and that there are more.
func TestUsesStops(t *testing.T) {
	lines := []string{anna, lee}
	for i := range 250 {
		lines = append(lines, named("Observation", fmt.Sprint("o", i), "anna", "Practitioner/lee"))
	}
	d := newDesk(t, lines...)
	u, err := d.Uses(t.Context(), doctor, d.of("Practitioner/lee", ""), false)
	if err != nil || len(u.In) != 200 || !u.More || u.Of != 252 || u.Looked > 252 {
		t.Errorf("%d shown, more %v, %d of %d, %v", len(u.In), u.More, u.Looked, u.Of, err)
	}
}

// TestTimeline: every record of the chart is on it or counted, with words those that hold
// them.
func TestTimeline(t *testing.T) {
	d := newDesk(t, anna, potassium("final", "4.10"), `{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/anna"},"code":{"text":"Asthma"},"note":[{"text":"worse in Málaga"}]}`,
		`{"resourceType":"Condition","id":"s","meta":{"security":[{"code":"PSY"}]},"subject":{"reference":"Patient/anna"},"code":{"text":"Asthma"},"recordedDate":"2020"}`)
	l, err := d.Timeline(t.Context(), doctor, d.at("anna", ""), "")
	if err != nil || len(l.Events) != 2 || len(l.Undated) != 1 || len(l.Events)+len(l.Undated)+1 != l.Records || l.Banner.Name == "" {
		t.Fatalf("%d events, %d undated of %d, %v", len(l.Events), len(l.Undated), l.Records, err)
	}
	if e := l.Events[0]; e.Title != "Potassium" || e.Detail != "4.10 mmol/L" || e.Date != "2026-02-27" {
		t.Errorf("%+v", e)
	}
	l, err = d.Timeline(t.Context(), doctor, d.at("anna", ""), "malaga asthma")
	if err != nil || len(l.Events) != 0 || len(l.Undated) != 1 || !strings.Contains(l.Hits["Condition/c"].Snippet, "Málaga") {
		t.Errorf("with words: %+v, %v", l.Hits, err)
	}
	for words, want := range map[string]int{"asthma -malaga": 1, `"worse in"`: 1, "potassium type:Observation": 1, "potassium type:Condition": 0} {
		if l, err = d.Timeline(t.Context(), doctor, d.at("anna", ""), words); err != nil || len(l.Events)+len(l.Undated) != want || l.Words != words {
			t.Errorf("with %s: %d events, want %d, %v", words, len(l.Events)+len(l.Undated), want, err)
		}
	}
	l, err = d.Timeline(t.Context(), staff, d.at("anna", ""), "")
	if err != nil || len(l.Events) != 1 || l.Withheld != 1 {
		t.Errorf("staff: %d events, %d withheld, %v", len(l.Events), l.Withheld, err)
	}
	l, err = d.Timeline(t.Context(), staff, d.at("anna", ""), "asthma")
	if err != nil || len(l.Hits) != 1 {
		t.Errorf("staff with words: %+v, %v", l.Hits, err)
	}
	if _, err = d.Timeline(t.Context(), doctor, d.at("anna", ""), "-only"); err == nil || !strings.Contains(err.Error(), "at least one word") {
		t.Errorf("no words: %v", err)
	}
	want := "chart.view doctor timeline, for: malaga asthma; from 192.0.2.1; request AAAA"
	if got := d.journal(); !slices.Contains(got, want) {
		t.Errorf("the journal says %q", got)
	}
}

func changesText(c viewer.ChartChanges) string {
	var out []string
	for _, one := range c.List {
		s := one.How + " " + one.Ref
		if one.From > 0 {
			s += fmt.Sprintf(" %d>%d", one.From, one.To)
		}
		for _, x := range one.Changes {
			s += " " + x.String()
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

// TestChartChanges: what is new, changed and removed between two states of the copy.
func TestChartChanges(t *testing.T) {
	d := newDesk(t, anna, ben, potassium("final", "4.10"), `{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/anna"},"code":{"text":"Asthma"}}`)
	d.pull("main", potassium("final", "4.20"))
	d.pull("main", potassium("final", "4.30"), "Condition/c", `{"resourceType":"Condition","id":"new","meta":{"security":[{"code":"PSY"}]},"subject":{"reference":"Patient/anna"},"code":{"text":"Gout"}}`)
	for _, tt := range []struct{ name, since, asOf, want string }{
		{"since the first day", "2026-03-01", "", "changed Observation/k 1>3 value quantity › value: 4.10 -> 4.30; new Condition/new; removed Condition/c"},
		{"since the second day", "2026-03-02", "", "changed Observation/k 2>3 value quantity › value: 4.20 -> 4.30; new Condition/new; removed Condition/c"},
		{"up to an old day", "2026-03-01", "2026-03-02", "changed Observation/k 1>2 value quantity › value: 4.10 -> 4.20"},
		{"no day chosen", "", "", "changed Observation/k 1>3 value quantity › value: 4.10 -> 4.30; new Condition/new; removed Condition/c"},
		{"since today", "2026-03-04", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := d.ChartChanges(t.Context(), doctor, d.at("anna", tt.asOf), tt.since)
			if err != nil || changesText(c) != tt.want || c.Hidden+c.Unread != 0 || !c.TooSoon.IsZero() {
				t.Errorf("ChartChanges = %s, %v", changesText(c), err)
			}
			if !strings.Contains(c.From, "Compared with the copy as it stood after run ") || c.Since == "" || c.First != (tt.since == "") {
				t.Errorf("it says %q since %q", c.From, c.Since)
			}
		})
	}
	c, err := d.ChartChanges(t.Context(), staff, d.at("anna", ""), "2026-03-01")
	if err != nil || c.Hidden != 1 || len(c.List) != 2 {
		t.Errorf("staff: %s, %d hidden, %v", changesText(c), c.Hidden, err)
	}
	c, err = d.ChartChanges(t.Context(), doctor, d.at("anna", ""), "2026-02-01")
	if err != nil || c.TooSoon.Day() != 1 || c.List != nil {
		t.Errorf("before the first copy: %v %s, %v", c.TooSoon, changesText(c), err)
	}
	if _, err = d.ChartChanges(t.Context(), doctor, d.at("anna", "2026-03-01"), "2026-03-02"); err == nil || !strings.Contains(err.Error(), "later than the day that is shown") {
		t.Errorf("since a later day: %v", err)
	}
}

// TestSensitiveRecord: a record that is labelled is not opened by who may not see it, nor
// told of where it is used.
func TestSensitiveRecord(t *testing.T) {
	secret := `{"resourceType":"Observation","id":"s","meta":{"security":[{"code":"PSY"}]},"status":"final","subject":{"reference":"Patient/anna"},"performer":[{"reference":"Practitioner/lee"}],"code":{"text":"Secret"}}`
	d := newDesk(t, anna, lee, secret)
	for what, ask := range map[string]func() error{
		"Record": func() error { _, err := d.Record(t.Context(), staff, d.of("Observation/s", ""), "card"); return err },
		"Uses":   func() error { _, err := d.Uses(t.Context(), staff, d.of("Observation/s", ""), false); return err },
		"Bytes":  func() error { _, err := d.Bytes(t.Context(), staff, d.of("Observation/s", ""), 1); return err },
	} {
		var refused *viewer.Refusal
		if err := ask(); !errors.As(err, &refused) || !strings.Contains(refused.Words, "labelled sensitive") {
			t.Errorf("%s = %v", what, err)
		}
	}
	u, err := d.Uses(t.Context(), staff, d.of("Practitioner/lee", ""), false)
	if err != nil || len(u.In) != 0 || u.Hidden != 1 {
		t.Errorf("Uses shows %s, %d hidden, %v", usesText(u), u.Hidden, err)
	}
	d.pull("main", `{"resourceType":"Basic","id":"b","subject":{"reference":"Observation/s"}}`)
	if r, err := d.Record(t.Context(), staff, d.of("Basic/b", ""), "card"); err != nil || r.Named["Observation/s"] != (viewer.Named{}) || len(r.Named) != 1 {
		t.Errorf("who may not see it is told %+v, %v", r.Named, err)
	}
	if r := d.record("Observation/s", ""); r.Title != "Secret" {
		t.Errorf("a doctor sees %q", r.Title)
	}
	if err := d.m.SealPatient(t.Context(), store.SealOrder{Source: "main", Patient: "anna", By: "owner", Reason: "sent by mistake"}); err != nil {
		t.Fatal(err)
	}
	_, err = d.Record(t.Context(), doctor, d.of("Observation/s", ""), "card")
	is(t, err, viewer.ErrNotFound)
	u, err = d.Uses(t.Context(), doctor, d.of("Practitioner/lee", ""), false)
	if err != nil || len(u.In) != 0 || u.Sealed != 2 || u.Looked+u.Sealed != u.Of {
		t.Errorf("of a sealed patient: %s, %d looked at, %d sealed of %d, %v", usesText(u), u.Looked, u.Sealed, u.Of, err)
	}
}
