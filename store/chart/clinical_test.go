package chart_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"chartcellar/store/chart"
)

const letter = `<?xml version="1.0" encoding="UTF-8"?>
<?xml-stylesheet type="text/xsl" href="https://evil.example/CDA.xsl"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc">
 <title>Continuity of <i>Care</i></title>
 <effectiveTime value="20260301143000-0500"/>
 <recordTarget><patientRole><patient>
  <name use="L"><given>Anna</given><given>B.</given><family>Öz&amp;Co</family></name><name><family>Old</family></name>
  <birthTime value="19700201"/></patient></patientRole></recordTarget>
 <author><time value="20260301"/><assignedAuthor><assignedPerson><name><prefix>Dr.</prefix><family>Who</family></name></assignedPerson>
  <representedOrganization><name>Clinic</name></representedOrganization></assignedAuthor></author>
 <author><assignedAuthor><assignedAuthoringDevice><softwareName>EMR 9</softwareName></assignedAuthoringDevice></assignedAuthor></author>
 <component><structuredBody>
  <component><section>
   <code code="10160-0" codeSystemName="LOINC" displayName="Medication use"/>
   <title>Medicines</title>
   <text><paragraph styleCode="x">Take <content styleCode="Bold" ID="m1">two</content>
     <content revised="delete">three</content> daily</paragraph>
    <list listType="ordered"><caption>Now</caption><item>Aspirin</item><item>Iron</item></list>
    <table><caption>All</caption><thead><tr><th colspan="2">Drug</th></tr></thead><tbody><tr><td>A</td><td><linkHtml href="javascript:alert(1)">B</linkHtml></td></tr></tbody></table>
    <renderMultiMedia referencedObject="x"/><script>alert(1)</script><img src="https://evil.example" onerror="alert(1)"/>
   </text>
   <entry><substanceAdministration><section><title>not this</title></section><text>coded</text></substanceAdministration></entry>
   <entry/>
   <component><section><title>Stopped</title><text>line one
line two</text></section></component>
  </section></component>
  <component><section><code code="1"/><entry/></section></component>
 </structuredBody></component>
</ClinicalDocument>`

func TestReadClinical(t *testing.T) {
	doc, err := chart.ReadClinical("text/xml", []byte(letter))
	if err != nil {
		t.Fatal(err)
	}
	if head := fmt.Sprintf("%s | %s | %s, born %s | %s", doc.Title, doc.Date, doc.Patient, doc.Born, strings.Join(doc.Authors, "; ")); head !=
		"Continuity of Care | 2026-03-01 14:30 | Anna B. Öz&Co, born 1970-02-01 | Dr. Who; Clinic; EMR 9" {
		t.Errorf("header = %q", head)
	}
	want := []struct{ head, text, left string }{
		{"1 Medicines [Medication use LOINC 10160-0] 2", `<p>Take <b>two</b> <del>three</del> daily</p> <ol><p>Now</p><li>Aspirin</li><li>Iron</li></ol> ` +
			`<table><caption>All</caption><thead><tr><th colspan="2">Drug</th></tr></thead><tbody><tr><td>A</td><td>B</td></tr></tbody></table> ` +
			`[picture][picture]`, "1 script; 2 pictures"},
		{"2 Stopped [] 0", "line one<br>line two", ""},
		{"1  [1] 1", "", ""},
	}
	if len(doc.Sections) != len(want) {
		t.Fatalf("%d sections, want %d", len(doc.Sections), len(want))
	}
	for i, s := range doc.Sections {
		if head := fmt.Sprintf("%d %s [%s] %d", s.Level, s.Title, s.Code, s.Entries); head != want[i].head {
			t.Errorf("section %d = %q, want %q", i, head, want[i].head)
		}
		if got := strings.Join(strings.Fields(s.Text.HTML()), " "); got != want[i].text {
			t.Errorf("text of section %d = %q\nwant %q", i, got, want[i].text)
		}
		if left := strings.Join(s.Text.Left(), "; "); left != want[i].left {
			t.Errorf("left out of section %d: %q, want %q", i, left, want[i].left)
		}
		inert(t, s.Text)
	}
	text, ok := chart.Text("application/octet-stream", []byte(letter))
	if want := "Continuity of Care\n\nMEDICINES\nTake two three daily\n\nNow\nAspirin\nIron\n\nAll\nDrug\nA | B\n\nSTOPPED\nline one\nline two"; !ok || text != want {
		t.Errorf("Text = %q\nwant   %q", text, want)
	}
}

func TestReadClinicalOddDocuments(t *testing.T) {
	in := func(body string) string {
		return `<ClinicalDocument xmlns="urn:hl7-org:v3"><title>T</title>` + body + `</ClinicalDocument>`
	}
	section := func(s string) string {
		return in(`<component><structuredBody><component><section>` + s + `</section></component></structuredBody></component>`)
	}
	bomb := `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>` + section(`<text>&b;</text>`)
	tests := []struct{ name, doc, want, text string }{
		{"a file inside", in(`<component><nonXMLBody><text mediaType="application/pdf" representation="B64">JVBERi0=</text></nonXMLBody></component>`),
			"0 sections, inside application/pdf: %PDF-", "T\n\nThis document holds a file of the type PDF instead of text."},
		{"text inside", in(`<component><nonXMLBody><text mediaType="text/plain">Dear colleague</text></nonXMLBody></component>`),
			"0 sections, inside text/plain: Dear colleague", "T"},
		{"a file inside that cannot be read", in(`<component><nonXMLBody><text mediaType="application/pdf" representation="B64">!</text></nonXMLBody></component>`),
			"0 sections, inside application/pdf", "T"},
		{"a prefix of its own", `<c:ClinicalDocument xmlns:c="urn:hl7-org:v3"><c:component><c:section><c:title>A</c:title><c:text>b</c:text></c:section></c:component></c:ClinicalDocument>`,
			"1 sections, inside ", "A\nb"},
		{"names of HTML characters", section(`<title>A</title><text>5&nbsp;mg &eacute;</text>`), "1 sections, inside ", "T\n\nA\n5\u00a0mg é"},
		{"cut off", section(`<title>A</title><text>b</text>`)[:120], "error", "T"},
		{"entities that grow", bomb, "error", "T"},
		{"an outside entity", `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>` + section(`<text>&a;</text>`), "error", "T"},
		{"no section", in(""), "error", "T"},
		{"another kind of XML", `<note><title>T</title></note>`, "error", "T"},
		{"sections in a note", `<note><ClinicalDocument><section><text>T</text></section></ClinicalDocument></note>`, "error", "T"},
		{"deeper than any", section(`<text>T` + strings.Repeat("<content>", 100_000) + `</text>`), "error", "T"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			got := "error"
			if doc, err := chart.ReadClinical("text/xml", []byte(tt.doc)); err == nil {
				got = fmt.Sprintf("%d sections, inside %s", len(doc.Sections), doc.Inside)
				if b := doc.File(); b != nil {
					got += ": " + string(b)
				}
			}
			if got != tt.want {
				t.Errorf("ReadClinical = %s, want %s", got, tt.want)
			}
			text, ok := chart.Text("text/xml", []byte(tt.doc))
			if !ok || !strings.Contains(text, tt.text) || strings.Contains(text, "root:") {
				t.Errorf("Text = %.300q, want %q", text, tt.text)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestClinicalDates(t *testing.T) {
	for in, want := range map[string]string{"20260301": "2026-03-01", "2026": "2026", "202603": "2026-03", "202603011430": "2026-03-01 14:30",
		"20260301143059.123+0100": "2026-03-01 14:30", "20260301000000-0500": "2026-03-01", "20261399": "20261399", "spring": "spring", "": ""} {
		doc, err := chart.ReadClinical("", []byte(`<ClinicalDocument><effectiveTime value="`+in+`"/><section/></ClinicalDocument>`))
		if err != nil {
			t.Fatal(err)
		}
		if doc.Date != want {
			t.Errorf("date %q = %q, want %q", in, doc.Date, want)
		}
	}
}

// TestAnotherPatient: a document that names somebody else, or another birth date, is not
// taken for the patient's without a word.
func TestAnotherPatient(t *testing.T) {
	anna := chart.Entry{Name: "Müller-Ötz, Anna", Others: []string{"Stone, Anna"}, Born: "1950-03-12"}
	tests := []struct {
		name, patient, born string
		entry               chart.Entry
		want                string
	}{
		{"the same", "Anna Mueller-Otz", "1950-03-12", anna, ""},
		{"under an old name", "A. STONE", "", anna, ""},
		{"another birth date", "Anna Müller-Ötz", "1950-12-03", anna, "birth date"},
		{"only the year", "Anna Müller-Ötz", "1950", anna, ""},
		{"another name", "Otto Other", "1950-03-12", anna, "somebody else"},
		{"it says nothing", "", "", anna, ""},
		{"the record says nothing", "Otto Other", "1950-03-12", chart.Entry{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc := chart.Clinical{Patient: tt.patient, Born: tt.born}
			if got := doc.Another(&tt.entry); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("Another = %q, want %q", got, tt.want)
			}
		})
	}
}
