package patientfile_test

import (
	"bytes"
	"errors"
	"fmt"
	unescape "html"
	"regexp"
	"strings"
	"testing"

	"chartcellar/cmd/chartcellar/internal/patientfile"
)

func pdf(t testing.TB, s *patientfile.Sheet) []string {
	t.Helper()
	var b bytes.Buffer
	if err := s.PDF(&b); err != nil {
		t.Fatal(err)
	}
	return pagesOf(t, b.Bytes())
}

func html(t testing.TB, s *patientfile.Sheet) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.HTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// read returns a page as it is read: without tags.
func read(page string) string { return unescape.UnescapeString(tags.ReplaceAllString(page, "")) }

var tags = regexp.MustCompile(`</?bdi>`)

// TestSheet: what both files say, and in which order.
func TestSheet(t *testing.T) {
	t.Parallel()
	s := sheet(t, ann(), patientfile.Choice{})
	if n := s.Count; n.Taken != 9 || n.Sensitive != 1 || n.Records() != 10 {
		t.Errorf("counted %+v", n)
	}
	for name, text := range map[string]string{"PDF": strings.Join(pdf(t, s), "\n"), "HTML": read(html(t, s))} {
		for _, want := range []string{"Miller, Ann", "Łukasz", "born 1970-02-01 (56 y)", "female", "MRN M-17", "phone +1 555 0100", "ALLERGIES: ", "Penicillin (HIGH RISK)",
			"Hill Practice", "For: the patient", "Purpose: asked for in person", "Dr. Example", "1 March 2026 18:00 UTC", "Copy of 2026-03-01 02:00, complete.",
			"Noticed.", "1 of 10 records is not as FHIR says; it is shown", "1 record with a sensitive label is not in this file.", "NOT included: 1 record with a sensitive label.", "9 of 10 are in this file", "Lisinopril 10 mg", "6.1 mmol/L", "None recorded in the copy.", "the documents themselves are not in this file"} {
			if !strings.Contains(strings.ReplaceAll(text, "\n", " "), want) {
				t.Errorf("%s does not say %q:\n%.3000s", name, want, text)
			}
		}
		if strings.Contains(text, "SECRET-DIAGNOSIS") {
			t.Errorf("%s shows what is labelled", name)
		}
		at := 0
		for _, h := range []string{"Medicines · 1 record", "Allergies · 1 record", "Problems · 2 records", "Immunizations", "Procedures", "Results · 3 records", "Vital signs", "Plan and team", "Visits", "Documents · 2 records"} {
			if i := strings.LastIndex(text, h); i < at {
				t.Errorf("%s: %q is not where the International Patient Summary has it", name, h)
			} else {
				at = i
			}
		}
	}
	if !strings.Contains(html(t, s), `<td class="day">2026-02-01</td>`) {
		t.Error("a day may be broken in two lines")
	}
	if text := html(t, s); strings.Contains(text, "<script") || strings.Contains(text, "\u202e") || strings.Contains(text, "http://") || strings.Contains(text, "https://") {
		t.Error("the page holds a script, a turned text or an address")
	}
}

func TestChoice(t *testing.T) {
	t.Parallel()
	s := sheet(t, ann(), patientfile.Choice{Sensitive: true, First: "2026-02-01", Last: "2026-02-28", Sections: []string{"results", "problems"}})
	text := strings.Join(pdf(t, s), "\n")
	for _, want := range []string{"SECRET-DIAGNOSIS", "SENSITIVE: 1 record in this file is labelled: psychiatry (1), restricted (1).",
		"NOT included: 3 records of other days; chosen were those from 2026-02-01 to 2026-02-28.", "Only 2 of "} {
		if !strings.Contains(strings.ReplaceAll(text, "\n", " "), want) {
			t.Errorf("not said: %q in\n%s", want, text)
		}
	}
	for _, not := range []string{"5.4 mmol/L", "Lisinopril"} {
		if strings.Contains(text, not) {
			t.Errorf("shown, though not chosen: %s", not)
		}
	}
	if n := s.Count; n.Records() != 10 || n.Outside != 3 || n.Labelled != 1 {
		t.Errorf("%+v", n)
	}
}

// TestLabelledPatient: who is labelled as a whole is given with that said, or not at all.
func TestLabelledPatient(t *testing.T) {
	t.Parallel()
	p := ann()
	p.lines[0] = strings.Replace(p.lines[0], `"id":"p1"`, `"id":"p1","meta":{"security":[{"code":"V"}]}`, 1)
	if _, err := patientfile.NewSheet(t.Context(), cover, patientfile.Choice{}, p); !errors.Is(err, patientfile.ErrLabelled) {
		t.Errorf("without asking for it: %v", err)
	}
	if s := sheet(t, p, patientfile.Choice{Sensitive: true}); s.Count.Labelled != 2 || !strings.Contains(html(t, s), "very restricted (1)") {
		t.Errorf("%+v", s.Count)
	}
}

// TestLongPDF: nothing is cut, each page says whose it is and how many there are.
func TestLongPDF(t *testing.T) {
	t.Parallel()
	p := ann()
	for i := range 300 {
		p.lines = append(p.lines, fmt.Sprintf(`{"resourceType":"Condition","id":"x%d","code":{"text":"Problem %03d %s"},"clinicalStatus":{"coding":[{"code":"active"}]},"note":[{"text":"note %03d"}]}`,
			i, i, strings.Repeat("very long words of a diagnosis ", i%20), i))
	}
	long := strings.Repeat("Wort", 2000) // one word, longer than a page
	p.lines = append(p.lines, `{"resourceType":"Condition","id":"huge","code":{"text":"`+long+`"},"clinicalStatus":{"coding":[{"code":"active"}]}}`)
	pages := pdf(t, sheet(t, p, patientfile.Choice{}))
	if len(pages) < 10 {
		t.Fatalf("%d pages", len(pages))
	}
	for i, text := range pages {
		for _, want := range []string{"Miller, Ann", "MRN M-17", fmt.Sprintf("page %d of %d", i+1, len(pages)), "for the patient: asked for in person. Copy of 2026-03-01 02:00, complete."} {
			if !strings.Contains(strings.ReplaceAll(text, "\n", " "), want) {
				t.Errorf("page %d does not say %q", i+1, want)
			}
		}
	}
	all := strings.Join(pages, "\n")
	for i := range 300 {
		for _, want := range []string{fmt.Sprintf("Problem %03d", i), fmt.Sprintf("note %03d", i)} {
			if !strings.Contains(all, want) {
				t.Errorf("cut: %s", want)
			}
		}
	}
	if n := strings.Count(all, "Wort"); n < 1900 { // where a line ends, a word may be in two
		t.Errorf("of a word that is longer than a page %d of 2000 parts are printed", n)
	}
}

// TestOtherScripts: a name that no typeface has is marked and said, not dropped; the page
// shows it. Others are printed.
func TestOtherScripts(t *testing.T) {
	t.Parallel()
	p := ann()
	p.lines[0] = strings.Replace(p.lines[0], "Miller", "王 さ", 1)
	s := sheet(t, p, patientfile.Choice{})
	text := strings.Join(pdf(t, s), "\n")
	for _, want := range []string{"□   □ ,  Ann", "NOTE: 2 letters and signs (Han, Hiragana) cannot be printed with the typefaces of this file; each stands as □."} {
		if !strings.Contains(strings.ReplaceAll(text, "\n", " "), want) {
			t.Errorf("not said: %q in\n%.1500s", want, text)
		}
	}
	if !strings.Contains(html(t, s), "王 さ, Ann") {
		t.Error("the page does not show the name")
	}
	p = ann()
	p.lines[0] = strings.Replace(p.lines[0], "Miller", "علي कुमार כהן", 1)
	var b bytes.Buffer
	if err := sheet(t, p, patientfile.Choice{}).PDF(&b); err != nil {
		t.Fatal(err)
	}
	for _, letter := range []string{"0639", "0644", "064A", "0915", "05DB"} {
		if !regexp.MustCompile(`<[0-9A-F]{4}> <` + letter).Match(b.Bytes()) {
			t.Errorf("the letter U+%s cannot be copied out", letter)
		}
	}
	if text := strings.Join(pagesOf(t, b.Bytes()), "\n"); strings.Contains(text, "□") || strings.Contains(text, "NOTE: ") {
		t.Errorf("not printed: %.600s", text)
	}
}

// TestNothingInvented: of an empty patient nothing is said.
func TestNothingInvented(t *testing.T) {
	t.Parallel()
	s := sheet(t, &patient{lines: []string{`{"resourceType":"Patient","id":"p"}`}, unread: map[string]int{"Observation": 2}}, patientfile.Choice{})
	for name, text := range map[string]string{"PDF": strings.Join(pdf(t, s), "\n"), "HTML": read(html(t, s))} {
		for _, not := range []string{"born", "MRN", "phone", "male", "No known", "NaN", "<nil>"} {
			if strings.Contains(text, not) {
				t.Errorf("%s says %q", name, not)
			}
		}
		if !strings.Contains(text, "(no name in the record)") || !strings.Contains(text, "Could not be read: 2 of") || !strings.Contains(text, "1 of 3 are in this file") {
			t.Errorf("%s: %.2000s", name, text)
		}
	}
}
