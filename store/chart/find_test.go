package chart_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chartcellar/store/chart"
)

func TestRosterSearch(t *testing.T) {
	var r chart.Roster
	for _, line := range []string{
		`{"resourceType":"Patient","id":"a","identifier":[{"type":{"coding":[{"code":"MR"}]},"value":"000123"},{"value":"SSN-9"}],"name":[{"use":"maiden","family":"Smith-Jones","given":["Anna"]},{"use":"official","family":"O'Brien","given":["Anna","Zoë"]}],"telecom":[{"system":"email","value":"5550101@x"},{"system":"phone","use":"old","value":"555-9999"},{"system":"phone","value":"+1 (555) 010-1970"}],"birthDate":"1970-02-01","gender":"female"}`,
		`{"resourceType":"Patient","id":"b","name":[{"family":"Nguyễn","given":["Thị Hương"]}],"birthDate":"1970-02","deceasedBoolean":true}`,
		`{"resourceType":"Patient","id":"c","name":[{"text":"Łukasz Świątek"}],"birthDate":"1970-01-02","link":[{"other":{"reference":"Patient/a"}}]}`,
		`{"resourceType":"Patient","id":"d","name":[{"family":"Παπαδόπουλος","given":["Νίκος"]}],"active":false,"link":[{"other":{"reference":"Patient/a"},"type":"replaced-by"}]}`,
		`{"resourceType":"Patient","id":"e","name":[{"family":"王","given":["小明"]}],"birthDate":"1970"}`,
		`{"resourceType":"Patient","id":"f","gender":"X","name":[{"family":"Vendor"}],"identifier":[{"value":"V1"}]}`,
		`{"resourceType":"Patient","id":"g"}`,
	} {
		r.Add(res(t, line))
	}
	r.Sort()
	tests := []struct{ query, want string }{
		{"", "g c e d a b f"},
		{"obrien", "a"}, {"O'Brien", "a"}, {"o’brien anna", "a"}, {"anna obrien", "a"}, {"ZOE", "a"},
		{"smithjones", "a"}, {"jones smith", "a"}, {"Smith-Jones", "a"}, {"rien", "a"}, {"ri", ""},
		{"nguyen", "b"}, {"huong thi", "b"}, {"lukasz", "c"}, {"swiatek", "c"},
		{"παπαδοπουλοσ", "d"}, {"ΝΙΚΟΣ", "d"}, {"王", "e"}, {"小明", "e"},
		{"1970-02-01", "a"}, {"01.02.1970", "a"}, {"1.2.1970", "a"}, {"2/1/1970", "a"}, {"1970-02", "a b"},
		{"13/1/1970", ""}, {"1970", "c e a b"}, {"1970 anna", "a"},
		{"000123", "a"}, {"00012", "a"}, {"0001", "a"}, {"ssn-9", "a"}, {"123", ""},
		{"9999", "a"}, {"0101970", "a"}, {"(555) 010-1970", "a"}, {"+1 555 010 1970", "a"}, {"970", ""},
		{"vendor", "f"}, {"v1", "f"}, {"nobody", ""}, {"anna nobody", ""}, {" anna ", "a"}, {"g", "g"}, {"+1--2", ""},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			var got []string
			for _, e := range r.Search(tt.query) {
				got = append(got, e.ID)
			}
			if s := strings.Join(got, " "); !sameWords(s, tt.want) {
				t.Errorf("Search(%q) = %q, want %q", tt.query, s, tt.want)
			}
		})
	}
	a := r.Search("obrien")[0]
	if a.Name != "O'Brien, Anna Zoë" || a.Others[0] != "Smith-Jones, Anna" || a.MRN != "000123" || a.Phone != "+1 (555) 010-1970" || a.Sex != "female" {
		t.Errorf("entry = %+v", a)
	}
	for id, want := range map[string]string{"b": "deceased", "c": "", "d": "replaced by Patient/a, inactive", "f": "not as FHIR says: see the record", "g": ""} {
		for _, e := range r.Entries {
			if e.ID == id && e.State() != want {
				t.Errorf("State of %s = %q, want %q", id, e.State(), want)
			}
			if e.ID == "f" && e.Sex != "" {
				t.Errorf("the sex of a refused record is %q", e.Sex)
			}
		}
	}
}

func sameWords(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	seen := map[string]int{}
	for _, w := range x {
		seen[w]++
	}
	for _, w := range y {
		seen[w]--
	}
	for _, n := range seen {
		if n != 0 {
			return false
		}
	}
	return true
}

func find(t testing.TB, line string, phrases ...string) (chart.Hit, bool) {
	t.Helper()
	q, err := chart.Terms{Words: phrases}.Search()
	if err != nil {
		t.Fatal(err)
	}
	m := q.Matcher()
	hit, ok := m.Match(res(t, line))
	if may := m.May([]byte(line)); ok && !may {
		t.Errorf("May says no to %q in %s", phrases, line)
	}
	return hit, ok
}

func note(contentType string, b []byte) string {
	return fmt.Sprintf(`{"resourceType":"DocumentReference","id":"d","content":[{"attachment":{"contentType":%q,"data":"%s"}}]}`,
		contentType, base64.StdEncoding.EncodeToString(b))
}

func TestSearchInRecords(t *testing.T) {
	const cond = `{"resourceType":"Condition","id":"c1","status":"active","subject":{"reference":"Patient/secret"},"code":{"coding":[{"system":"http://snomed.info/sct","code":"38341003","display":"Hyper\u0074ension, ess\u00e9ntial"}]},"note":[{"text":"seen\n with  Dr. MÜLLER"}]}`
	tests := []struct {
		name, line string
		phrases    []string
		want       string // part of the snippet; "": not found
	}{
		{"letters written as escapes", cond, []string{"hypertension, essential"}, "Hypertension, esséntial"},
		{"accents and capitals", cond, []string{"dr. muller"}, "Dr. MÜLLER"},
		{"white space of any length", cond, []string{"Seen  with dr"}, "seen with Dr."},
		{"all phrases", cond, []string{"hypertension", "MÜLLER"}, "Hypertension"},
		{"one of two", cond, []string{"hypertension", "schmidt"}, ""},
		{"a code", cond, []string{"38341003"}, "38341003"},
		{"half a code", cond, []string{"3834"}, ""},
		{"system and code", cond, []string{"http://snomed.info/sct|38341003"}, "SNOMED 38341003"},
		{"short system and code", cond, []string{"snomed|38341003"}, "SNOMED 38341003"},
		{"another system", cond, []string{"LOINC|38341003"}, ""},
		{"any system", cond, []string{"|38341003"}, "SNOMED"},
		{"references and states are not words", cond, []string{"secret"}, ""},
		{"states are not words", cond, []string{"active"}, ""},
		{"a note inside", note("text/plain; charset=utf-8", []byte("Plan:\nCómplete rest")), []string{"plan: complete"}, "Plan: Cómplete rest"},
		{"a note in an old code page", note("text/plain", []byte("M\xfcller")), []string{"müller"}, "Müller"},
		{"a web page with tags inside words", note("text/html", []byte("<p>hyper<b>tension</b> &amp; m&uuml;de")), []string{"hypertension & müde"}, "hypertension & müde"},
		{"tags are not words", note("text/html", []byte("<p class=secret>x</p>")), []string{"secret"}, ""},
		{"RTF", note("application/rtf", []byte(`{\rtf1\ansi{\fonttbl secret;}Sch\'f6n\par\u21271?ber}`)), []string{"schön"}, "Schön"},
		{"RTF has no fonts in it", note("application/rtf", []byte(`{\rtf1{\fonttbl secret;}x}`)), []string{"secret"}, ""},
		{"a clinical document", note("application/xml", []byte(`<ClinicalDocument><component><section><title>Plan</title><text><paragraph>Walk</paragraph></text><entry><value>hidden</value></entry></section></component></ClinicalDocument>`)), []string{"plan walk"}, "PLAN Walk"},
		{"a PDF has no words here", note("application/pdf", []byte("%PDF-1.4 secret")), []string{"secret"}, ""},
		{"UTF-16", note("text/plain", []byte("\xff\xfeh\x00\xe9\x00")), []string{"he"}, "hé"},
		{"a Binary", `{"resourceType":"Binary","id":"b","contentType":"text/plain","data":"` + base64.StdEncoding.EncodeToString([]byte("long letter")) + `"}`, []string{"long letter"}, "long letter"},
		{"base64 is not words", note("text/plain", []byte("zzzzzzzzzzzz")), []string{"enp6"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hit, ok := find(t, tt.line, tt.phrases...)
			if ok != (tt.want != "") || !strings.Contains(hit.Snippet, tt.want) {
				t.Errorf("Match(%q) = %+v, %v, want %q", tt.phrases, hit, ok, tt.want)
			}
		})
	}
	if _, err := (chart.Terms{Words: []string{" ", ""}}).Search(); err == nil {
		t.Error("NewSearch of nothing gave no error")
	}
}

// TestMayNeverMisses: whatever Match finds, May has let through.
func TestMayNeverMisses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SampledFrom([]string{"a", "B", "é", "E\u0301", "ß", "Ł", "İ", " ", "\n", "<", "&", "-", "王", "ς", "\\", `"`, "\u2028", "ﬁ", "😀", "p>", "&eacute;"})
		text := strings.Join(rapid.SliceOfN(letters, 1, 30).Draw(t, "text"), "")
		runes := []rune(text)
		from := rapid.IntRange(0, len(runes)-1).Draw(t, "from")
		to := rapid.IntRange(from+1, len(runes)).Draw(t, "to")
		q, err := chart.Terms{Words: []string{string(runes[from:to])}}.Search()
		if err != nil {
			return
		}
		m := q.Matcher()
		kind := rapid.SampledFrom([]string{"text/plain", "text/html", "application/xml", ""}).Draw(t, "kind")
		for _, line := range []string{note(kind, []byte(text)),
			string(encode(map[string]any{"resourceType": "Basic", "id": "x", "note": text})),
			fmt.Sprintf(`{"resourceType":"Basic","id":"x","note":%+q}`, text)} {
			_, ok := m.Match(chart.Resource{Type: "Basic", ID: "x", Raw: []byte(line)})
			if ok && !m.May([]byte(line)) {
				t.Fatalf("May says no to %q in %s", string(runes[from:to]), line)
			}
		}
	})
}

func TestAttachments(t *testing.T) {
	known := records{"Practitioner/1": `{"resourceType":"Practitioner","id":"1","name":[{"text":"Dr. Who"}]}`}
	tests := []struct{ name, line, want string }{
		{"a document with two files", `{"resourceType":"DocumentReference","id":"d","date":"2026-01-02","type":{"text":"Letter"},"author":[{"reference":"Practitioner/1"}],"content":[{"attachment":{"contentType":"text/plain","data":"aGk=","size":2}},{"attachment":{"url":"Binary/b9","title":"Scan"}}]}`,
			"1 content 1 › attachment Letter 2026-01-02 Dr. Who text/plain size 2 inline true binary ; 2 content 2 › attachment Letter: Scan 2026-01-02 Dr. Who  size  inline false binary b9; "},
		{"a report", `{"resourceType":"DiagnosticReport","id":"r","presentedForm":[{"contentType":"application/pdf","url":"https://emr.example/fhir/Binary/7?token=x"}]}`,
			"1 presented form    application/pdf size  inline false binary 7; "},
		{"a photo and an extension", `{"resourceType":"Patient","id":"p","photo":[{"data":"aGk="}],"extension":[{"url":"u","valueAttachment":{"url":"x"}}]}`,
			"1 photo     size  inline true binary ; 2 extension › value attachment     size  inline false binary ; "},
		{"a picture", `{"resourceType":"Media","id":"m","createdDateTime":"2026","content":{"contentType":"image/png","data":"aGk="}}`,
			"1 content  2026  image/png size  inline true binary ; "},
		{"none", `{"resourceType":"Patient","id":"p","photo":[],"content":"x"}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list, err := chart.Attachments(res(t, tt.line), known)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, a := range list {
				fmt.Fprintf(&b, "%d %s %s %s %s %s size %s inline %v binary %s; ", a.N, a.Where, a.Title, a.Date, a.Author, a.ContentType, a.Size, a.Inline, a.BinaryID("https://emr.example/fhir"))
			}
			if b.String() != tt.want {
				t.Errorf("Attachments = %q, want %q", b.String(), tt.want)
			}
		})
	}
}

// FuzzText: no document makes the readers fail or lets control characters through.
func FuzzText(f *testing.F) {
	f.Add("text/html", []byte("<p>a<!--"))
	f.Add("application/rtf", []byte(`{\rtf1\u-1\'`))
	f.Add("application/xml", []byte(`<ClinicalDocument><section><text><td>`))
	f.Add("text/plain; charset=utf-16", []byte("\xfe\xffa"))
	f.Add("text/html", []byte("</>"))
	f.Fuzz(func(t *testing.T, contentType string, b []byte) {
		s, _ := chart.Text(contentType, b)
		if i := strings.IndexFunc(s, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\t' || r == 0x202e }); i >= 0 {
			t.Errorf("Text lets %q through", s[i])
		}
		chart.Card(b)
		chart.Attachments(chart.Resource{Type: "X", Raw: b}, nil)
	})
}

// TestDataOfAttachments: what a record holds comes out, however it is written, and is
// not decoded before it is read.
func TestDataOfAttachments(t *testing.T) {
	long := strings.Repeat("0123456789", 5000)
	tests := []struct{ name, data, want string }{
		{"as it should be", "aGVsbG8=", "hello"},
		{"no padding", "aGVsbG8", "hello"},
		{"line breaks and blanks", `aGV\r\nsbG 8=\n`, "hello"},
		{"a slash written the long way", `\/\/8=`, "\xff\xff"},
		{"long", base64.StdEncoding.EncodeToString([]byte(long)), long},
		{"no base64", "a!b", "error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			line := `{"resourceType":"Media","id":"m","content":{"contentType":"text/plain","data":"` + tt.data + `"},"note":[{"text":"\"data\":\"x\""}]}`
			second := strings.Replace(line, `"content":`, `"extension":[{"url":"u","valueAttachment":{"url":"y","data":"c2Vjb25k"}}],"content":`, 1)
			for _, l := range []string{line, second} {
				list, err := chart.Attachments(res(t, l), nil)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(list[len(list)-1].Data())
				got := string(b)
				if err != nil {
					got = "error"
				}
				if got != tt.want || !list[len(list)-1].Inline {
					t.Errorf("Data = %.50q, want %.50q", got, tt.want)
				}
				if len(list) == 2 {
					if b, err := io.ReadAll(list[0].Data()); string(b) != "second" {
						t.Errorf("the first of two = %q, %v", b, err)
					}
				}
			}
		})
	}
}
