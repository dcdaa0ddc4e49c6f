package charts_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/cmd/chartcellar/internal/patientfile"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
)

// TestLabelledLater: what is labelled now is closed on every earlier day, too.
func TestLabelledLater(t *testing.T) {
	const day = "2026-03-01"
	doc := func(more string) string { return note("n", "anna", more, "canary") }
	drug := func(more string) string {
		return `{"resourceType":"Medication","id":"m",` + more + `"code":{"text":"Canaryl"}}`
	}
	d := newDesk(t, anna, ben, has("c", "anna", "", "Canary fever", "2020"), has("gone", "anna", "", "Canary cough", "2020"), doc(""), drug(""),
		`{"resourceType":"MedicationRequest","id":"r","status":"active","intent":"order","subject":{"reference":"Patient/anna"},"medicationReference":{"reference":"Medication/m"}}`,
		named("Observation", "o", "anna", "Condition/c"))
	d.pull("main", has("c", "anna", secretLabel, "Canary fever", "2020"), has("gone", "anna", secretLabel, "Canary cough", "2020"), doc(secretLabel), drug(secretLabel),
		strings.Replace(ben, `"id"`, secretLabel+`"id"`, 1))
	d.pull("main", "Condition/gone")
	see := func(a viewer.Actor) string {
		t.Helper()
		var out []any
		c, err := d.Chart(t.Context(), a, d.at("anna", day), "summary")
		list, err2 := d.Documents(t.Context(), a, d.at("anna", day))
		line, err3 := d.Timeline(t.Context(), a, d.at("anna", day), "canary")
		b, err4 := d.Chart(t.Context(), a, d.at("ben", day), "summary")
		p, err5 := d.Patients(t.Context(), a, viewer.PatientQuery{AsOf: day, Rows: 50})
		printed, err6 := d.Print(t.Context(), a, d.at("anna", day), patientfile.Choice{Sensitive: true})
		if err := errors.Join(err, err2, err3, err4, err5, err6); err != nil {
			t.Fatal(err)
		}
		out = append(out, cells(c, "problems"), cells(c, "medicines"), list.List, line.Events, line.Hits, b.Banner, p.List, cells(viewer.Chart{Whole: printed.Sheet.Chart}, "problems"))
		for _, ask := range []viewer.SearchAsk{{Kind: viewer.SearchNotes, Text: "canary", AsOf: day}, {Kind: viewer.SearchCodes, Text: "canary", AsOf: day},
			{Kind: viewer.SearchCohort, AsOf: day, Has: []viewer.CodeAsk{{Kind: chart.HasProblem, Text: "canary"}}}} {
			res := d.search(a, ask)
			out = append(out, foundLines(res), res.Codes, res.Found)
		}
		for _, ref := range []string{"Condition/c", "Condition/gone", "DocumentReference/n"} {
			rec, err := d.Record(t.Context(), a, d.of(ref, day), "card")
			doc, err2 := d.Document(t.Context(), a, d.of("DocumentReference/n", day), 1)
			out = append(out, rec.Title, err == nil, string(doc.Content), err2 == nil)
		}
		return fmt.Sprint(out...)
	}
	if got := see(doctor); strings.Count(got, "anary") < 10 || !strings.Contains(got, "Stone") {
		t.Errorf("a doctor sees %s", got)
	}
	if got := see(staff); strings.Contains(got, "anary") || strings.Contains(got, "Stone") {
		t.Errorf("staff sees %s", got)
	}
}

// TestGivenOfADay: a file that a command makes of an earlier day is without what was
// labelled since; what is no day and what is before the first copy is said.
func TestGivenOfADay(t *testing.T) {
	d := newDesk(t, anna, has("c", "anna", "", "Canary fever", "2020"))
	d.pull("main", has("c", "anna", secretLabel, "Canary fever", "2020"))
	rd := &charts.Reading{M: d.m, Source: "main"}
	end, _, err := rd.GoBack("2026-03-01", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	for _, sensitive := range []bool{false, true} {
		s, err := patientfile.NewSheet(t.Context(), patientfile.Cover{Source: "main"}, patientfile.Choice{Sensitive: sensitive}, rd.Patient("anna", end))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(cells(viewer.Chart{Whole: s.Chart}, "problems")); strings.Contains(got, "Canary") != sensitive {
			t.Errorf("with what is labelled: %t; the file has %s", sensitive, got)
		}
	}
	_, _, err = rd.GoBack("1 March", time.UTC)
	is(t, err, charts.ErrDay)
	_, _, err = rd.GoBack("2026-02-01", time.UTC)
	is(t, err, store.ErrTooEarly)
}

// TestNamesGivenOfADay: what is printed and given of an earlier day names, and has inside,
// nothing that was labelled since: no medicine, no person, no file. With what is labelled it
// has all.
func TestNamesGivenOfADay(t *testing.T) {
	const day = "2026-03-01"
	things := func(more string) []string {
		return []string{`{"resourceType":"Medication","id":"m",` + more + `"code":{"text":"Canaryl"}}`,
			`{"resourceType":"Practitioner","id":"p",` + more + `"name":[{"family":"Canaris"}]}`,
			`{"resourceType":"Binary","id":"b",` + more + `"contentType":"text/plain","data":"Y2FuYXJ5"}`}
	}
	d := newDesk(t, append(things(""), anna, letter("d1", `"contentType":"text/plain","url":"Binary/b"`),
		`{"resourceType":"MedicationRequest","id":"r","status":"active","intent":"order","subject":{"reference":"Patient/anna"},"medicationReference":{"reference":"Medication/m"},"requester":{"reference":"Practitioner/p"}}`)...)
	d.pull("main", things(secretLabel)...)
	for _, with := range []bool{false, true} {
		choice := patientfile.Choice{Sensitive: with}
		files, err := d.givenOf(doctor, d.at("anna", day), viewer.Gift{For: "x", Purpose: "y", Choice: choice})
		if err != nil {
			t.Fatal(err)
		}
		p, err := d.Print(t.Context(), doctor, d.at("anna", day), choice)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := p.Sheet.HTML(&b); err != nil {
			t.Fatal(err)
		}
		for _, one := range []struct{ where, text, has string }{{"print", b.String(), "Canaryl"}, {"index.html", files["index.html"], "Canaryl"},
			{"records.json", files["records.json"], "Canaryl"}, {"records.json", files["records.json"], "Canaris"}, {"the document", files["documents/0001-2026-02-01.txt"], "canary"}} {
			if strings.Contains(one.text, one.has) != with {
				t.Errorf("with what is labelled: %t; %s has %s: %t", with, one.where, one.has, !with)
			}
		}
		if strings.Contains(files["index.html"], "it has a sensitive label") == with {
			t.Errorf("with what is labelled: %t; index.html says of the document: %t", with, with)
		}
	}
}

// TestLabelledThenRemoved: what was labelled and then removed at the EMR is not named among
// what changed, nor in the list of patients of the day before.
func TestLabelledThenRemoved(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anna, ben, has("c", "anna", "", "Canary fever", "2020"))
	d.pull("main", has("c", "anna", secretLabel, "Canary fever", "2020"), strings.Replace(ben, `"id"`, secretLabel+`"id"`, 1))
	d.pull("main", "Condition/c", "Patient/ben")
	for _, who := range []viewer.Actor{doctor, staff} {
		c, err := d.ChartChanges(t.Context(), who, d.at("anna", ""), "2026-03-01")
		if err != nil || len(c.List)+c.Hidden != 1 || len(c.List) == 1 != who.Sensitive {
			t.Errorf("%s: what changed: %+v, hidden %d, %v", who.Account, c.List, c.Hidden, err)
		}
		p, err := d.Patients(t.Context(), who, viewer.PatientQuery{AsOf: "2026-03-01", Rows: 9})
		if err != nil || len(p.List)+p.Hidden != 2 || len(p.List) == 2 != who.Sensitive {
			t.Errorf("%s: patients: %+v, hidden %d, %v", who.Account, p.List, p.Hidden, err)
		}
	}
}

// TestSamePersonClosed: the chart of a patient whose record is labelled does not lead to
// another record of the same person, which would tell who it is.
func TestSamePersonClosed(t *testing.T) {
	t.Parallel()
	d := newDesk(t, strings.Replace(anna, `"id"`, secretLabel+`"id"`, 1),
		`{"resourceType":"Patient","id":"old","name":[{"family":"Müller-Ötz"}],"link":[{"type":"replaced-by","other":{"reference":"Patient/anna"}}]}`)
	for _, who := range []viewer.Actor{doctor, staff} {
		c, err := d.Chart(t.Context(), who, d.at("anna", ""), "summary")
		if err != nil || len(c.Same) == 1 != who.Sensitive {
			t.Errorf("%s: %+v, %v", who.Account, c.Same, err)
		}
	}
}

// TestSearchBeforeALabel: what a search has found is not shown any more to who may not see
// what is labelled, once a later run may have labelled it.
func TestSearchBeforeALabel(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anna, has("c", "anna", "", "Canary fever", "2020"))
	ask := viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "canary"}
	id := d.start(staff, ask)
	if res := d.over(staff, id); res.Hits != 1 {
		t.Fatalf("found: %+v", res)
	}
	its := d.start(doctor, ask)
	d.over(doctor, its)
	began := d.clock()
	d.pull("main", has("c", "anna", secretLabel, "Canary fever", "2020"))
	d.mu.Lock()
	d.now = began.Add(time.Minute)
	d.mu.Unlock()
	var refusal *viewer.Refusal
	if res, err := d.Search(t.Context(), staff, id, 0, rowsOf); !errors.As(err, &refusal) || !strings.Contains(refusal.Words, "Search again") {
		t.Errorf("staff: %+v, %v", res, err)
	}
	if res, err := d.Search(t.Context(), doctor, its, 0, rowsOf); err != nil || res.Hits != 1 {
		t.Errorf("a doctor: %+v, %v", res, err)
	}
	if res := d.search(staff, ask); res.Hits != 0 || res.Withheld != 1 {
		t.Errorf("again: %+v", res)
	}
}
