package chart_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chartcellar/store/chart"
)

func TestParseTerms(t *testing.T) {
	tests := []struct {
		line string
		want chart.Terms
		text string // "": the line
	}{
		{"chest pain", chart.Terms{Words: []string{"chest", "pain"}}, ""},
		{`  "chest  pain"   left `, chart.Terms{Words: []string{"chest  pain", "left"}}, `"chest  pain" left`},
		{"“chest pain” „rechte Hand“", chart.Terms{Words: []string{"chest pain", "rechte Hand"}}, `"chest pain" "rechte Hand"`},
		{`pain -smoker -"former smoker"`, chart.Terms{Words: []string{"pain"}, Not: []string{"smoker", "former smoker"}}, ""},
		{"x-ray - well-known", chart.Terms{Words: []string{"x-ray", "-", "well-known"}}, `x-ray "-" well-known`},
		{`"-5" "type:x"`, chart.Terms{Words: []string{"-5", "type:x"}}, ""},
		{"a1c Type:Observation,DiagnosticReport FROM:2025-03 to:2026", chart.Terms{Words: []string{"a1c"}, Types: []string{"Observation", "DiagnosticReport"}, From: "2025-03", To: "2026"}, "a1c type:Observation,DiagnosticReport from:2025-03 to:2026"},
		{"http://loinc.org|4548-4 |4548-4 12:30", chart.Terms{Words: []string{"http://loinc.org|4548-4", "|4548-4", "12:30"}}, `"http://loinc.org|4548-4" |4548-4 "12:30"`},
		{`"no end`, chart.Terms{Words: []string{"no end"}}, `"no end"`},
		{"type: from:", chart.Terms{Words: []string{"type:", "from:"}}, `"type:" "from:"`},
		{`"" -""`, chart.Terms{}, ""},
		{"", chart.Terms{}, ""},
	}
	for _, tt := range tests {
		got := chart.ParseTerms(tt.line)
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
			t.Errorf("ParseTerms(%q) = %+v, want %+v", tt.line, got, tt.want)
		}
		if tt.text == "" && len(got.Words)+len(got.Not) > 0 {
			tt.text = tt.line
		}
		if got.String() != tt.text {
			t.Errorf("ParseTerms(%q).String() = %q, want %q", tt.line, got, tt.text)
		}
	}
}

// TestTermsAgain: what String writes is read as the same terms.
func TestTermsAgain(t *testing.T) {
	word := rapid.StringMatching(`[a-zé|:.-]{1,6}( [a-z:-]{1,3})?`)
	rapid.Check(t, func(t *rapid.T) {
		terms := chart.Terms{Words: rapid.SliceOfN(word, 1, 4).Draw(t, "words"), Not: rapid.SliceOfN(word, 0, 2).Draw(t, "not")}
		if got := chart.ParseTerms(terms.String()); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", terms) {
			t.Fatalf("ParseTerms(%q) = %q, want %q", terms.String(), got, terms)
		}
	})
}

func TestTermsRefused(t *testing.T) {
	for _, terms := range []chart.Terms{{}, {Words: []string{" "}}, {Not: []string{"x"}}, {Types: []string{"Patient"}, From: "2026"}} {
		if _, err := terms.Search(); !errors.Is(err, chart.ErrNothing) {
			t.Errorf("%+v.Search() = %v, want ErrNothing", terms, err)
		}
	}
	for _, d := range []string{"yesterday", "2026-13-01", "01.02.2026", "2026-03-01T10:00:00Z"} {
		if _, err := (chart.Terms{Words: []string{"x"}, From: d}).Search(); err == nil || !strings.Contains(err.Error(), "2026-03-01") {
			t.Errorf("from %s: %v", d, err)
		}
		if _, err := (chart.Terms{Words: []string{"x"}, To: d}).Search(); err == nil {
			t.Errorf("to %s was accepted", d)
		}
	}
}

func TestSearchWithoutAndBetween(t *testing.T) {
	record := func(date string) string {
		return `{"resourceType":"Observation","id":"o","status":"final",` + date + `"code":{"coding":[{"system":"http://loinc.org","code":"8310-5","display":"Body temperature"}]},"note":[{"text":"taken at home"}]}`
	}
	tests := []struct{ line, date, want string }{
		{"temperature -hospital", "", "yes"},
		{"temperature -home", "", ""},
		{`temperature -"at  HOME"`, "", ""},
		{`temperature -"home at"`, "", "yes"},
		{"temperature -|8310-5", "", ""},
		{"temperature -snomed|8310-5", "", "yes"},
		{"temperature from:2026", "", ""},
		{"temperature from:2026 to:2026", `"effectiveDateTime":"2026-03-04T23:59:00-05:00",`, "yes"},
		{"temperature from:2026-03-04 to:2026-03-04", `"effectiveDateTime":"2026-03-04T23:59:00-05:00",`, "yes"},
		{"temperature from:2026-03-05", `"effectiveDateTime":"2026-03-04T23:59:00-05:00",`, ""},
		{"temperature to:2026-03-03", `"effectiveDateTime":"2026-03-04T23:59:00-05:00",`, ""},
		{"temperature from:2026-03-05", `"effectiveDateTime":"2026-03",`, "yes"},
		{"temperature from:2026-04", `"effectiveDateTime":"2026-03",`, ""},
		{"temperature to:2026-03-05", `"effectiveDateTime":"2026",`, "yes"},
		{"temperature to:2025", `"effectiveDateTime":"2026",`, ""},
		{"temperature from:2025", `"effectiveDateTime":"soon",`, ""},
		{"temperature from:2025", `"effectivePeriod":{"start":"2026-01-01"},`, "yes"},
	}
	for _, tt := range tests {
		s, err := chart.ParseTerms(tt.line).Search()
		if err != nil {
			t.Fatal(err)
		}
		raw := record(tt.date)
		m := s.Matcher()
		_, ok := m.Match(res(t, raw))
		if ok != (tt.want != "") {
			t.Errorf("%q in %s: %v", tt.line, raw, ok)
		}
		if ok && !m.May([]byte(raw)) {
			t.Errorf("May says no to %q", tt.line)
		}
	}
}

// TestSearchInFiles: words may stand partly in a record and partly in its files.
func TestSearchInFiles(t *testing.T) {
	const raw = `{"resourceType":"DocumentReference","id":"d","description":"Discharge letter","content":[{"attachment":{"url":"Binary/1"}}]}`
	files := []chart.File{{Where: "content 1", ContentType: "text/html", Data: []byte("<p>Seen for <b>asth</b>ma &amp; cough</p>")},
		{Where: "content 2", ContentType: "application/pdf", Data: []byte("%PDF-1.4 pneumonia")}}
	tests := []struct {
		line, where, snippet string
		more                 int
	}{
		{"asthma", "content 1", "asthma & cough", 0},
		{`"asthma & cough"`, "content 1", "asthma & cough", 0},
		{"letter asthma", "description", "Discharge letter", 1},
		{"cough asthma", "content 1", "asthma & cough", 0},
		{"letter -asthma", "", "", 0},
		{"pneumonia", "", "", 0},
		{"letter |1", "", "", 0},
	}
	for _, tt := range tests {
		s, err := chart.ParseTerms(tt.line).Search()
		if err != nil {
			t.Fatal(err)
		}
		m := s.Matcher()
		hit, ok := m.Match(res(t, raw), files...)
		if ok != (tt.where != "") || hit.Where != tt.where || !strings.Contains(hit.Snippet, tt.snippet) || len(hit.More) != tt.more {
			t.Errorf("Match(%q) = %+v, %v", tt.line, hit, ok)
		}
		if ok && !m.May([]byte(raw), files...) {
			t.Errorf("May says no to %q", tt.line)
		}
		if m.May([]byte(raw)) && !strings.Contains(tt.line, "letter") {
			t.Errorf("May says yes to %q without the files", tt.line)
		}
	}
}

func TestPieces(t *testing.T) {
	tests := []struct{ line, text, want string }{
		{"pain", "chest pain, Pain", "chest [pain], [Pain]"},
		{`"chest pain" muller`, "Dr. MÜLLER: chest pain", "Dr. [MÜLLER]: [chest pain]"},
		{"strasse", "Hauptstraße 5", "Haupt[straße] 5"},
		{"aa", "aaa", "[aa]a"},
		{"LOINC|4548-4", "HbA1c LOINC 4548-4", "HbA1c LOINC [4548-4]"},
		{"x -pain", "pain", "pain"},
		{"<b>", "a <b> c", "a [<b>] c"},
		{"x", "", ""},
	}
	for _, tt := range tests {
		s, err := chart.ParseTerms(tt.line).Search()
		if err != nil {
			t.Fatal(err)
		}
		var got, whole strings.Builder
		for _, p := range s.Pieces(tt.text) {
			whole.WriteString(p.Text)
			if p.Hit {
				p.Text = "[" + p.Text + "]"
			}
			got.WriteString(p.Text)
		}
		if got.String() != tt.want || whole.String() != tt.text {
			t.Errorf("Pieces(%q) of %q = %q, want %q", tt.text, tt.line, got.String(), tt.want)
		}
	}
}

// A wild text is pieces that readers of markup disagree about.
var wild = []string{"a", "b", "B", "é", "E\u0301", "ß", "İ", "ı", "İİİİ", " ", "\n", "\r", "\b", "\f", "\x01", "\x7f", "\u00a0", "\u202e", "\u2028", "ﬁ", "😀", "王",
	"<", ">", "&", ";", "'", `"`, "\\", "/", "|", "-", "<b>", "</b>", "<p>", "</p>", "<td>", "</td>", "<br/>", "<!-- x > y -->", "<!-->", "<!--", "-->", "<script>", "</SCRIPT>", "<head>", "</head>", "<style>", "</style >",
	"<a title='>'>", `<a title="x">`, "&amp;", "&eacute;", "&Eacute;", "&Dagger;", "&#39;", "&nbsp", "&x;", "<![CDATA[", "]]>", "<?x", "?>", "<!DOCTYPE x [", "]>",
	"<ClinicalDocument>", "<component>", "<section>", "</section>", "<title>", "</title>", "<textarea>", "</textarea>", "<script/>", "--!>", "<a t='\"' x=\">\">", "<a b=c\"d e=\"x>y\">", "<nonXMLBody>", "\x00", "<text>", "</text>", "<entry>", "</entry>", "<content>", "</content>", "<cda:entry>", "＜", "\ufeff"}

// TestMayNeverMissesMarkup: whatever of wild markup Match finds, in narratives, in data
// and in files, May has let through.
func TestMayNeverMissesMarkup(t *testing.T) {
	pieces := rapid.SliceOfN(rapid.SampledFrom(wild), 1, 14)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{"", "", "<div>", "<ClinicalDocument><section><text>"}).Draw(t, "start") + strings.Join(pieces.Draw(t, "text"), "")
		kind := rapid.SampledFrom([]string{"text/plain", "text/html", "application/xml", "", "text/html; charset=iso-8859-1", "application/cda+xml"}).Draw(t, "kind")
		shown, ok := chart.Text(kind, []byte(text))
		if rapid.Bool().Draw(t, "narrative") || !ok {
			shown, _ = chart.Text("text/html", []byte(text))
		}
		letters := []rune(chart.CleanLine(shown))
		if len(letters) == 0 {
			return
		}
		from := rapid.IntRange(0, len(letters)-1).Draw(t, "from")
		to := rapid.IntRange(from+1, len(letters)).Draw(t, "to")
		q, err := chart.Terms{Words: []string{string(letters[from:to])}}.Search()
		if err != nil {
			return
		}
		m := q.Matcher()
		narrative := string(encode(map[string]any{"resourceType": "Basic", "id": "x", "text": map[string]any{"div": text}}))
		for _, line := range []string{narrative, strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(narrative),
			string(encode(map[string]any{"resourceType": "Basic", "id": "x", "text": text})),
			fmt.Sprintf(`{"resourceType":"Basic","id":"x","content":{"attachment":{"contentType":%q,"data":"%s"}}}`, kind, base64.StdEncoding.EncodeToString([]byte(text)))} {
			if _, ok := m.Match(chart.Resource{Type: "Basic", ID: "x", Raw: []byte(line)}); ok && !m.May([]byte(line)) {
				t.Fatalf("May says no to %q in %s", string(letters[from:to]), line)
			}
		}
		file := chart.File{ContentType: kind, Data: []byte(text)}
		const empty = `{"resourceType":"Basic","id":"x"}`
		if _, ok := m.Match(chart.Resource{Type: "Basic", ID: "x", Raw: []byte(empty)}, file); ok && !m.May([]byte(empty), file) {
			t.Fatalf("May says no to %q in a file %q", string(letters[from:to]), text)
		}
	})
}

// TestHostileMarkupIsQuick: tags without an end do not make reading slow, and letters
// whose capitals are of another length do not make it fail.
func TestHostileMarkupIsQuick(t *testing.T) {
	for _, s := range []string{strings.Repeat("<script>", 200_000), strings.Repeat("<SCRIPT>x</scripT", 100_000), "<script>" + strings.Repeat("İ", 100) + "</script>seen"} {
		text, _ := chart.Text("text/html", []byte(s))
		if strings.Contains(s, "seen") && text != "seen" {
			t.Errorf("Text = %q", text)
		}
	}
}
