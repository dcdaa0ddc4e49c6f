package charts_test

import (
	"encoding/base64"
	"encoding/csv"
	"errors"
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

// note is a document of a patient with a text in it.
func note(id, patient, more, text string) string {
	return fmt.Sprintf(`{"resourceType":"DocumentReference","id":%q,"status":"current",%s"subject":{"reference":"Patient/%s"},"date":"2026-02-01","content":[{"attachment":{"contentType":"text/plain","data":%q}}]}`,
		id, more, patient, base64.StdEncoding.EncodeToString([]byte(text)))
}

// has is a problem of a patient.
func has(id, patient, more, words, day string) string {
	return fmt.Sprintf(`{"resourceType":"Condition","id":%q,%s"subject":{"reference":"Patient/%s"},"code":{"coding":[{"system":"http://snomed.info/sct","code":"44054006","display":%q}]},"onsetDateTime":%q}`, id, more, patient, words, day)
}

const secretLabel = `"meta":{"security":[{"code":"PSY"}]},`

// rowsOf is how many rows a page of these tests has.
func rowsOf(viewer.SearchKind) int { return 20 }

// start begins a search.
func (d *desk) start(who viewer.Actor, ask viewer.SearchAsk) (id string) {
	d.t.Helper()
	id, err := d.StartSearch(d.t.Context(), who, ask)
	if err != nil {
		d.t.Fatal(err)
	}
	return id
}

// search asks and waits until the search is over.
func (d *desk) search(who viewer.Actor, ask viewer.SearchAsk) viewer.SearchResult {
	d.t.Helper()
	return d.over(who, d.start(who, ask))
}

// over waits until a search is over, and shows nothing of it before.
func (d *desk) over(who viewer.Actor, id string) viewer.SearchResult {
	d.t.Helper()
	for d.t.Context().Err() == nil {
		res, err := d.Search(d.t.Context(), who, id, 0, func(viewer.SearchKind) int { return 0 })
		if err == nil && !res.Running {
			res, err = d.Search(d.t.Context(), who, id, 0, rowsOf)
		}
		if err != nil {
			d.t.Fatal(err)
		}
		if !res.Running {
			return res
		}
		runtime.Gosched()
	}
	d.t.Fatal("the search is not over")
	return viewer.SearchResult{}
}

func (d *desk) pass(t time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(t)
}

// foundLines writes what a search for words found.
func foundLines(res viewer.SearchResult) (out []string) {
	for _, p := range res.Patients {
		for _, h := range p.Hits {
			line := p.Name + " " + h.Type + " " + h.Date
			for _, f := range h.Found {
				line += "; " + f.Where + ": "
				for _, one := range f.Text {
					if one.Hit {
						one.Text = "[" + one.Text + "]"
					}
					line += one.Text
				}
			}
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

// TestSearchNotes: words are found in records, in notes inside them and in files outside,
// by patient, marked, and counted.
func TestSearchNotes(t *testing.T) {
	d := newDesk(t, anna, ben, note("n1", "anna", "", "Seen for chest pain. No asthma."), note("n2", "ben", "", "Chest x-ray: PAIN-free."),
		has("c1", "ben", "", "Chest pain, unspecified", "2019-05-01"),
		`{"resourceType":"DocumentReference","id":"n3","status":"current","subject":{"reference":"Patient/anna"},"content":[{"attachment":{"contentType":"text/html","url":"Binary/b1"}}]}`,
		`{"resourceType":"Binary","id":"b1","contentType":"text/html","data":"`+base64.StdEncoding.EncodeToString([]byte("<p>chest <b>pa</b>in at night</p>"))+`"}`,
		`{"resourceType":"DocumentReference","id":"n4","status":"current","subject":{"reference":"Patient/anna"},"content":[{"attachment":{"contentType":"application/pdf","url":"Binary/b1"}}]}`,
		`{"resourceType":"Group","id":"g","name":"chest pain group"}`)
	tests := []struct {
		name string
		ask  viewer.SearchAsk
		want []string
	}{
		{"words", viewer.SearchAsk{Text: "chest pain"}, []string{
			" Group ; name: [chest] [pain] group",
			"Müller-Ötz, Anna DocumentReference 2026-02-01; content › attachment › data: Seen for [chest] [pain]. No asthma.",
			"Müller-Ötz, Anna DocumentReference ; content › attachment: [chest] [pain] at night",
			"Stone, Ben Condition 2019-05-01; code › coding › display: [Chest] [pain], unspecified",
			"Stone, Ben DocumentReference 2026-02-01; content › attachment › data: [Chest] x-ray: [PAIN]-free."}},
		{"a phrase, but not", viewer.SearchAsk{Text: `"chest pain" -night -group`}, []string{
			"Müller-Ötz, Anna DocumentReference 2026-02-01; content › attachment › data: Seen for [chest pain]. No asthma.",
			"Stone, Ben Condition 2019-05-01; code › coding › display: [Chest pain], unspecified"}},
		{"in a type", viewer.SearchAsk{Text: "chest", Types: []string{"Condition"}}, []string{"Stone, Ben Condition 2019-05-01; code › coding › display: [Chest] pain, unspecified"}},
		{"as typed, in small letters, and between days", viewer.SearchAsk{Text: "x-ray type:documentreference from:2026", To: "2026-02"}, []string{
			"Stone, Ben DocumentReference 2026-02-01; content › attachment › data: Chest [x-ray]: PAIN-free."}},
		{"in one chart", viewer.SearchAsk{Text: "pain", Patient: d.Refer("main", "Patient/ben")}, []string{
			"Stone, Ben Condition 2019-05-01; code › coding › display: Chest [pain], unspecified",
			"Stone, Ben DocumentReference 2026-02-01; content › attachment › data: Chest x-ray: [PAIN]-free."}},
		{"in one chart, of one type", viewer.SearchAsk{Text: "pain", Patient: d.Refer("main", "Patient/ben"), Types: []string{"Condition"}}, []string{
			"Stone, Ben Condition 2019-05-01; code › coding › display: Chest [pain], unspecified"}},
		{"nothing", viewer.SearchAsk{Text: "cholera"}, nil},
		{"a type that the copy does not have", viewer.SearchAsk{Text: "chest", Types: []string{"Composition"}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.ask.Kind = viewer.SearchNotes
			res := d.search(doctor, tt.ask)
			if got := foundLines(res); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			if res.Hits != len(tt.want) || res.Kept != res.Hits || res.Looked != res.Of || res.Why != "" || res.Unread != 0 {
				t.Errorf("%+v", res)
			}
			if lacks := tt.ask.Types; tt.want == nil && !slices.Equal(res.Lacks, lacks) {
				t.Errorf("lacks %v, want %v", res.Lacks, lacks)
			}
		})
	}
	for text, words := range map[string]string{"": "at least one word", "-pain": "at least one word", "pain from:yesterday": `"yesterday" is no date`} {
		_, err := d.StartSearch(t.Context(), doctor, viewer.SearchAsk{Kind: viewer.SearchNotes, Text: text})
		var refused *viewer.Refusal
		if !errors.As(err, &refused) || !strings.Contains(refused.Words, words) || !strings.Contains(refused.Words, "Nothing was searched.") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, ask := range []viewer.SearchAsk{{Text: "x", EMR: "other"}, {Text: "x", Patient: "@@"}, {Text: "x", Patient: d.Refer("main", "Condition/c1")}} {
		ask.Kind = viewer.SearchNotes
		_, err := d.StartSearch(t.Context(), doctor, ask)
		is(t, err, viewer.ErrNotFound)
	}
}

// TestSearchAsOf: an earlier copy is searched as it stood.
func TestSearchAsOf(t *testing.T) {
	d := newDesk(t, anna, ben, note("n1", "anna", "", "the old canary"), has("c1", "ben", "", "Canary fever", "2020"))
	d.pull("main", note("n1", "anna", "", "the new canary"), "Condition/c1")
	for asOf, want := range map[string]string{"": "the new [canary]", "2026-03-01": "the old [canary]"} {
		res := d.search(doctor, viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "canary", AsOf: asOf})
		if got := strings.Join(foundLines(res), "\n"); !strings.Contains(got, want) || strings.Contains(got, "Stone, Ben Condition") != (asOf != "") {
			t.Errorf("as of %q: %s", asOf, got)
		}
		group := d.search(doctor, viewer.SearchAsk{Kind: viewer.SearchCohort, Has: []viewer.CodeAsk{{Kind: chart.HasProblem, Text: "canary"}}, AsOf: asOf})
		if (group.Found == 1) != (asOf != "") {
			t.Errorf("a group as of %q: %+v", asOf, group)
		}
	}
	_, err := d.StartSearch(t.Context(), doctor, viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "canary", AsOf: "2020-01-01"})
	var refused *viewer.Refusal
	if !errors.As(err, &refused) || !strings.Contains(refused.Words, "no copy from that day") {
		t.Errorf("before the first copy: %v", err)
	}
}

// TestSearchIsRecorded: a search is in the journal before it begins, with its words sealed,
// and each patient that it shows, once.
func TestSearchIsRecorded(t *testing.T) {
	d := newDesk(t, anna, ben, note("n1", "anna", "", "canary one"), note("n2", "ben", "", "canary two"), note("n3", "ben", "", "canary three"))
	res := d.search(doctor, viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "canary"})
	if _, err := d.Search(t.Context(), doctor, res.ID, 0, rowsOf); err != nil {
		t.Fatal(err)
	}
	var shown []string
	lines := d.journal()
	for i, l := range lines {
		switch {
		case strings.HasPrefix(l, "records.search doctor search "+res.ID+"; for notes: canary; from 192.0.2.1; request AAAA"):
			if i != len(lines)-3 {
				t.Errorf("the search is line %d of %d", i, len(lines))
			}
		case strings.HasPrefix(l, "search.shown doctor search "+res.ID):
			shown = append(shown, l)
		}
	}
	if len(shown) != 2 || len(res.Patients) != 2 {
		t.Errorf("%d patients were shown, and %d recorded:\n%s", len(res.Patients), len(shown), strings.Join(lines, "\n"))
	}
	// The report of a patient says so, also under which emergency access.
	urgent := staff
	urgent.Sensitive, urgent.Emergency = true, "E1"
	d.search(urgent, viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "canary"})
	lines = d.journal()
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "search.shown staff ") || !strings.HasSuffix(last, "; emergency E1") {
		t.Errorf("the last line is %q", last)
	}
	// What cannot be recorded is neither begun nor shown.
	id := d.start(doctor, viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "canary"})
	d.over(doctor, id)
	d.shut()
	if res, err := d.Search(t.Context(), doctor, id, 0, rowsOf); err == nil || len(res.Patients) > 0 {
		t.Errorf("shown without a line: %+v, %v", res, err)
	}
	if id, err := d.StartSearch(t.Context(), doctor, viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "canary"}); err == nil {
		t.Errorf("begun without a line: %s", id)
	}
}

// TestSearchOfOthers: a search is its own person's.
func TestSearchOfOthers(t *testing.T) {
	d := newDesk(t, anna, note("n1", "anna", "", "canary"))
	res := d.search(doctor, viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "canary"})
	_, err := d.Search(t.Context(), staff, res.ID, 0, rowsOf)
	is(t, err, viewer.ErrNotFound)
	is(t, d.StopSearch(t.Context(), staff, res.ID), viewer.ErrNotFound)
	_, err = d.CohortCSV(t.Context(), staff, res.ID)
	is(t, err, viewer.ErrNotFound)
	_, err = d.CohortCSV(t.Context(), doctor, res.ID)
	is(t, err, viewer.ErrNotFound)
}

// TestSearchSensitive: what is labelled is neither found nor hinted at for who may not see
// it, and no longer shown to who may not any more.
func TestSearchSensitive(t *testing.T) {
	d := newDesk(t, anna, ben, note("n1", "anna", secretLabel, "canary"), note("n2", "ben", "", "canary"),
		`{"resourceType":"DocumentReference","id":"n3","status":"current","subject":{"reference":"Patient/ben"},"content":[{"attachment":{"contentType":"text/plain","url":"Binary/b1"}}]}`,
		`{"resourceType":"Binary","id":"b1",`+secretLabel+`"contentType":"text/plain","data":"`+base64.StdEncoding.EncodeToString([]byte("canary"))+`"}`,
		has("c1", "anna", secretLabel, "Canary fever", "2020"), has("c2", "ben", "", "Canary fever", "2020"),
		`{"resourceType":"Patient","id":"vip","meta":{"security":[{"code":"VIP"}]},"name":[{"family":"Hidden"}]}`, has("c3", "vip", "", "Canary fever", "2020"))
	ask := viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "canary"}
	all, some := d.search(doctor, ask), d.search(staff, ask)
	if all.Hits != 6 || all.Withheld != 0 || len(all.Patients) != 3 {
		t.Errorf("a doctor: %+v", all)
	}
	// c2, c3 and n2; of n1, c1 and the Patient vip nothing.
	if some.Hits != 3 || some.Withheld != 3 || strings.Contains(fmt.Sprint(foundLines(some)), "Hidden") {
		t.Errorf("staff: %+v", some)
	}
	for who, want := range map[*viewer.Actor]string{&doctor: "2 3", &staff: "2 2"} {
		res := d.search(*who, viewer.SearchAsk{Kind: viewer.SearchCodes, Text: "canary"})
		if got := fmt.Sprint(res.Found+1, " ", res.Codes[0].Patients); got != want {
			t.Errorf("codes for %s: %s, want %s", who.Account, got, want)
		}
	}
	for who, want := range map[*viewer.Actor]int{&doctor: 3, &staff: 1} {
		res := d.search(*who, viewer.SearchAsk{Kind: viewer.SearchCohort, Has: []viewer.CodeAsk{{Kind: chart.HasProblem, Text: "canary"}}})
		if res.Found != want || len(res.People) != want {
			t.Errorf("a group for %s: %+v", who.Account, res)
		}
	}
	// How many are not shown does not tell what they have: for the one label among the
	// Conditions, and the one patient who is labelled.
	for _, text := range []string{"canary", "nothing of the kind"} {
		res := d.search(staff, viewer.SearchAsk{Kind: viewer.SearchCohort, Has: []viewer.CodeAsk{{Kind: chart.HasProblem, Text: text}}})
		if res.Withheld != 2 {
			t.Errorf("a group of %s: %d are withheld, want 2", text, res.Withheld)
		}
	}
}

// TestSearchAfterEmergency: what was found under emergency access is not shown after it
// ended, nor in another one; who takes a Medication that is labelled is not found.
func TestSearchAfterEmergency(t *testing.T) {
	d := newDesk(t, anna, ben, has("c1", "anna", secretLabel, "Canary fever", "2020"), has("c2", "ben", "", "Canary fever", "2020"),
		`{"resourceType":"DocumentReference","id":"n3","status":"current","subject":{"reference":"Patient/ben"},"content":[{"attachment":{"contentType":"text/plain","url":"Binary/b1"}}]}`,
		`{"resourceType":"Binary","id":"b1",`+secretLabel+`"contentType":"text/plain","data":"`+base64.StdEncoding.EncodeToString([]byte("canary"))+`"}`,
		`{"resourceType":"MedicationRequest","id":"m","status":"active","intent":"order","subject":{"reference":"Patient/ben"},"medicationReference":{"reference":"Medication/x"}}`,
		`{"resourceType":"Medication","id":"x",`+secretLabel+`"code":{"text":"Canaryl"}}`)
	urgent := staff
	urgent.Sensitive, urgent.Emergency = true, "E1"
	again := urgent
	again.Emergency = "E2"
	asks := []viewer.SearchAsk{{Kind: viewer.SearchNotes, Text: "canary"}, {Kind: viewer.SearchCodes, Text: "canary"},
		{Kind: viewer.SearchCohort, Has: []viewer.CodeAsk{{Kind: chart.HasProblem, Text: "canary"}}}}
	for _, ask := range asks {
		res := d.search(urgent, ask)
		for _, who := range []viewer.Actor{staff, again} {
			later, err := d.Search(t.Context(), who, res.ID, 0, rowsOf)
			var refused *viewer.Refusal
			if !errors.As(err, &refused) || later.Found+len(later.Patients)+len(later.Codes)+len(later.People) > 0 {
				t.Errorf("%s, later under %q: %+v, %v", ask.Kind, who.Emergency, later, err)
			}
			if _, err := d.CohortCSV(t.Context(), who, res.ID); !errors.As(err, &refused) {
				t.Errorf("%s, as a file under %q: %v", ask.Kind, who.Emergency, err)
			}
		}
	}
	for who, want := range map[*viewer.Actor]int{&urgent: 1, &staff: 0} {
		drug := viewer.SearchAsk{Kind: viewer.SearchCohort, Has: []viewer.CodeAsk{{Kind: chart.HasMedicine, Text: "canaryl"}}}
		if res := d.search(*who, drug); res.Found != want {
			t.Errorf("%q finds %d who take what is labelled, want %d", who.Emergency, res.Found, want)
		}
	}
}

// TestSearchSealed: a patient who is sealed is not found, and no longer shown.
func TestSearchSealed(t *testing.T) {
	d := newDesk(t, anna, ben, note("n1", "anna", "", "canary"), has("c1", "ben", "", "Canary fever", "2020"))
	ask := viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "canary"}
	before, codes := d.search(doctor, ask), d.search(doctor, viewer.SearchAsk{Kind: viewer.SearchCodes, Text: "canary"})
	if err := d.m.SealPatient(t.Context(), store.SealOrder{Source: "main", Patient: "ben", By: "owner", Reason: "sent by mistake"}); err != nil {
		t.Fatal(err)
	}
	later, err := d.Search(t.Context(), doctor, before.ID, 0, rowsOf)
	if err != nil || len(before.Patients) != 2 || len(later.Patients) != 1 || later.Patients[0].ID != "anna" {
		t.Errorf("before %d, later %+v, %v", len(before.Patients), later, err)
	}
	var refused *viewer.Refusal
	if res, err := d.Search(t.Context(), doctor, codes.ID, 0, rowsOf); !errors.As(err, &refused) || len(res.Codes) > 0 {
		t.Errorf("codes of one who is sealed: %+v, %v", res, err)
	}
	if res := d.search(doctor, ask); res.Hits != 1 || res.Sealed != 2 || res.Looked != res.Of-2 {
		t.Errorf("%+v", res)
	}
	if res := d.search(doctor, viewer.SearchAsk{Kind: viewer.SearchCohort, State: "active"}); res.Found != 1 {
		t.Errorf("%+v", res)
	}
}

// TestSearchCodes: codes are counted by record and by patient, the most frequent first.
func TestSearchCodes(t *testing.T) {
	d := newDesk(t, anna, ben, has("c1", "anna", "", "Diabetes type 2", "2019"), has("c2", "anna", "", "Diabetes type 2", "2020"), has("c3", "ben", "", "Diabetes type 2", "2021"),
		has("c4", "ben", `"verificationStatus":{"coding":[{"code":"refuted"}]},`, "Diabetes type 2", "2021"),
		`{"resourceType":"FamilyMemberHistory","id":"f","patient":{"reference":"Patient/ben"},"condition":[{"code":{"text":"Diabetes"}}]}`)
	res := d.search(doctor, viewer.SearchAsk{Kind: viewer.SearchCodes, Text: "diabetes"})
	var got []string
	for _, c := range res.Codes {
		got = append(got, fmt.Sprintf("%s %s %s %d %d", c.Type, c.Name(), c.Words, c.Records, c.Patients))
	}
	want := []string{"Condition SNOMED 44054006 Diabetes type 2 3 2", "FamilyMemberHistory  Diabetes 1 1"}
	if !slices.Equal(got, want) || res.Found != 2 || res.More != 0 {
		t.Errorf("got %q, want %q: %+v", got, want, res)
	}
	// Who has it is the same number.
	group := d.search(doctor, viewer.SearchAsk{Kind: viewer.SearchCohort, Has: []viewer.CodeAsk{{Exact: res.Codes[0].Term(), Text: "Diabetes (SNOMED 44054006)", Type: "Condition"}}})
	if group.Found != 2 || group.Void != 1 || group.People[0].Name != "Müller-Ötz, Anna" || group.People[0].Records != 2 || group.People[0].First != "2019" || group.People[0].Last != "2020" || group.Words != "has Diabetes (SNOMED 44054006) in Condition" {
		t.Errorf("%+v", group)
	}
}

// TestCohort: all that is asked for must apply.
func TestCohort(t *testing.T) {
	d := newDesk(t, anna, ben, has("c1", "anna", "", "Diabetes", "2019-05-01"), has("c2", "ben", "", "Diabetes", "2021"), has("c3", "ghost", "", "Diabetes", "2021"),
		`{"resourceType":"MedicationRequest","id":"m1","status":"active","intent":"order","subject":{"reference":"Patient/ben"},"medicationReference":{"reference":"Medication/met"},"authoredOn":"2022-01-01"}`,
		`{"resourceType":"Medication","id":"met","code":{"text":"Metformin"}}`,
		`{"resourceType":"Immunization","id":"i1","status":"not-done","patient":{"reference":"Patient/ben"},"vaccineCode":{"text":"Influenza"}}`)
	diabetes := viewer.CodeAsk{Kind: chart.HasProblem, Text: "diabetes"}
	tests := []struct {
		name string
		ask  viewer.SearchAsk
		want string
	}{
		{"a problem, also of who has no record", viewer.SearchAsk{Has: []viewer.CodeAsk{diabetes}}, "anna 1 2019-05-01-2019-05-01, ben 1 2021-2021, ghost 1 2021-2021"},
		{"and a medicine that is referred to", viewer.SearchAsk{Has: []viewer.CodeAsk{diabetes, {Kind: chart.HasMedicine, Text: "metformin"}}}, "ben 2 2021-2022-01-01"},
		{"a vaccine that was not given", viewer.SearchAsk{Has: []viewer.CodeAsk{{Kind: chart.HasVaccine, Text: "influenza"}}}, ""},
		{"a problem and a sex", viewer.SearchAsk{Has: []viewer.CodeAsk{diabetes}, Sex: "female"}, "anna 1 2019-05-01-2019-05-01"},
		{"an age alone", viewer.SearchAsk{Ages: "old"}, "anna 0 -"},
		{"nobody", viewer.SearchAsk{Has: []viewer.CodeAsk{diabetes}, Ages: "teen"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.ask.Kind = viewer.SearchCohort
			res := d.search(doctor, tt.ask)
			var got []string
			for _, p := range res.People {
				got = append(got, fmt.Sprintf("%s %d %s-%s", p.ID, p.Records, p.First, p.Last))
			}
			if strings.Join(got, ", ") != tt.want || res.Found != len(got) {
				t.Errorf("got %q, want %q: %+v", got, tt.want, res)
			}
			b, err := d.CohortCSV(t.Context(), doctor, res.ID)
			rows, cerr := csv.NewReader(strings.NewReader(string(b))).ReadAll()
			if err != nil || cerr != nil || len(rows) != len(got)+1 {
				t.Errorf("the file has %d rows, %v %v", len(rows), err, cerr)
			}
			lines := d.journal()
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, fmt.Sprintf("cohort.export doctor search %s; %d patients: %s; from", res.ID, len(got), res.Words)) {
				t.Errorf("the last line is %q", last)
			}
			if n := strings.Count(strings.Join(lines, "\n"), "cohort.export doctor search "+res.ID+"; from"); n != len(got) {
				t.Errorf("%d patients are in the journal, want %d", n, len(got))
			}
		})
	}
	_, err := d.StartSearch(t.Context(), doctor, viewer.SearchAsk{Kind: viewer.SearchCohort})
	var refused *viewer.Refusal
	if !errors.As(err, &refused) {
		t.Errorf("a group of everybody: %v", err)
	}
}

// TestCohortFileIsHarmless: no name becomes a formula.
func TestCohortFileIsHarmless(t *testing.T) {
	d := newDesk(t, `{"resourceType":"Patient","id":"=1+1","name":[{"text":"=HYPERLINK(\"http://evil\")"}],"gender":"male","telecom":[{"system":"phone","value":"+1 555 0100"}],"identifier":[{"type":{"coding":[{"code":"MR"}]},"value":"\t@SUM(A1)\n-2"}],"birthDate":"-1"}`)
	res := d.search(doctor, viewer.SearchAsk{Kind: viewer.SearchCohort, Sex: "male"})
	b, err := d.CohortCSV(t.Context(), doctor, res.ID)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(b))).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v\n%s", len(rows), err, b)
	}
	for i, cell := range rows[1] {
		if cell != "" && strings.ContainsRune("=+-@\t\r|", rune(cell[0])) {
			t.Errorf("%s is %q", rows[0][i], cell)
		}
	}
	if rows[1][0] != `'=HYPERLINK("http://evil")` || rows[1][5] != "'+1 555 0100" || rows[1][4] != "'@SUM(A1) -2" {
		t.Errorf("%q", rows[1])
	}
}

// TestSearchEnds: a search ends when it is cancelled, when nobody looks at it, and when the
// copy is locked; then nothing is left of it.
func TestSearchEnds(t *testing.T) {
	d := newDesk(t, anna, note("n1", "anna", "", "canary"))
	ask := viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "canary"}
	for name, tt := range map[string]struct {
		do  func(id string)
		why string
	}{
		"cancelled":   {func(id string) { is(t, d.StopSearch(t.Context(), doctor, id), nil) }, "It was cancelled."},
		"not seen":    {func(string) { d.pass(2 * time.Minute) }, "Nobody looked at it any more, so it was ended."},
		"left":        {func(string) { d.StopSearches(doctor) }, "It was cancelled."},
		"another one": {func(string) { d.start(doctor, ask) }, "It was cancelled."},
	} {
		release := d.hold()
		id := d.start(doctor, ask)
		tt.do(id)
		release()
		if res := d.over(doctor, id); res.Why != tt.why || res.Hits != 0 {
			t.Errorf("%s: %q, %d hits", name, res.Why, res.Hits)
		}
		_, err := d.CohortCSV(t.Context(), doctor, id)
		is(t, err, viewer.ErrNotFound)
	}
	id := d.start(doctor, ask)
	d.m.Lock()
	d.Forget()
	_, err := d.Search(t.Context(), doctor, id, 0, rowsOf)
	is(t, err, viewer.ErrLocked)
	_, err = d.StartSearch(t.Context(), doctor, ask)
	is(t, err, viewer.ErrLocked)
	if err := d.m.Unlock(d.key); err != nil {
		t.Fatal(err)
	}
	_, err = d.Search(t.Context(), doctor, id, 0, rowsOf)
	is(t, err, viewer.ErrNotFound)
}

// TestSearchesAtOnce: two go on at once; a third is refused in words, and nothing is begun.
func TestSearchesAtOnce(t *testing.T) {
	d := newDesk(t, anna, note("n1", "anna", "", "canary"))
	ask := viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "canary"}
	release := d.hold()
	var ids []string
	for _, name := range []string{"one", "two"} {
		ids = append(ids, d.start(viewer.Actor{Account: name, Charts: true}, ask))
	}
	before := len(d.journal())
	_, err := d.StartSearch(t.Context(), doctor, ask)
	var refused *viewer.Refusal
	if !errors.As(err, &refused) || !strings.Contains(refused.Words, "2 searches of others are under way") || len(d.journal()) != before {
		t.Errorf("a third: %v, %d lines", err, len(d.journal())-before)
	}
	ids[1] = d.start(viewer.Actor{Account: "two", Charts: true}, ask) // in the place of one's own
	release()
	for i, name := range []string{"one", "two"} {
		if res := d.over(viewer.Actor{Account: name, Charts: true}, ids[i]); res.Hits != 1 || res.Why != "" {
			t.Errorf("%s: %+v", name, res)
		}
	}
	if res := d.search(doctor, ask); res.Hits != 1 {
		t.Errorf("afterwards: %+v", res)
	}
}

// TestManyHits: of very many records as many are kept as it says; all are counted, and
// shown page by page.
func TestManyHits(t *testing.T) {
	var lines []string
	for i := range 2100 {
		lines = append(lines, has(fmt.Sprint("c", i), fmt.Sprint("p", i/30), "", fmt.Sprint("Canary fever ", i), "2020"))
	}
	d := newDesk(t, strings.Join(lines, "\n"))
	res := d.search(doctor, viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "canary"})
	if res.Hits != 2100 || res.Kept != 2000 || len(res.Patients) != 20 || res.Found < 66 || res.Found > 70 {
		t.Errorf("%d hits, %d kept, %d of %d patients", res.Hits, res.Kept, len(res.Patients), res.Found)
	}
	kept, shown := 0, 0
	for from := 0; from < res.Found; from += 20 {
		page, err := d.Search(t.Context(), doctor, res.ID, from, rowsOf)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.Patients {
			kept, shown = kept+p.All, shown+len(p.Hits)
			if len(p.Hits) != min(10, p.All) {
				t.Errorf("%s: %d of %d records are shown", p.ID, len(p.Hits), p.All)
			}
		}
	}
	if kept != 2000 || shown < 600 {
		t.Errorf("the pages have %d records, and show %d", kept, shown)
	}
	codes := d.search(doctor, viewer.SearchAsk{Kind: viewer.SearchCodes, Text: "canary"})
	if codes.Found != 500 || codes.More != 1600 {
		t.Errorf("%d codes, more in %d records", codes.Found, codes.More)
	}
}
