package patientfile_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"chartcellar/cmd/chartcellar/internal/patientfile"
	"chartcellar/store/chart"
	"chartcellar/store/keys"
)

func TestMain(m *testing.M) {
	keys.CheapForTests()
	os.Exit(m.Run())
}

var (
	made  = time.Date(2026, 3, 1, 18, 0, 0, 0, time.UTC)
	cover = patientfile.Cover{Practice: "Hill Practice", Source: "main", Copy: "Copy of 2026-03-01 02:00, complete.", Made: made,
		By: "Dr. Example", For: "the patient", Purpose: "asked for in person"}
)

// A patient is records and documents for a test.
type patient struct {
	lines  []string
	files  map[string]string // bytes of a document by its url
	broken map[string]bool   // documents whose bytes end in damage
	unread map[string]int
	opens  int
}

// Each implements patientfile.Patient.
func (p *patient) Each(_ context.Context, fn func(chart.Resource) error) (map[string]int, error) {
	for _, l := range p.lines {
		var h struct{ ResourceType, ID string }
		if err := json.Unmarshal([]byte(l), &h); err != nil {
			return nil, err
		}
		if err := fn(chart.Resource{Type: h.ResourceType, ID: h.ID, Raw: []byte(l)}); err != nil {
			return nil, err
		}
	}
	return p.unread, nil
}

// Open implements patientfile.Patient.
func (p *patient) Open(_ context.Context, a *chart.Attachment) (io.ReadCloser, error) {
	p.opens++
	if a.Inline {
		return io.NopCloser(a.Data()), nil
	}
	text, ok := p.files[a.URL]
	if !ok {
		return nil, patientfile.ErrNotHeld
	}
	var r io.Reader = strings.NewReader(text)
	if p.broken[a.URL] {
		r = io.MultiReader(r, failing{})
	}
	return io.NopCloser(r), nil
}

// A failing reader ends in damage.
type failing struct{}

// Read implements io.Reader.
func (failing) Read([]byte) (int, error) {
	return 0, fmt.Errorf("read frame 7: %w", patientfile.ErrBroken)
}

// Notices implements patientfile.Patient.
func (p *patient) Notices() []string { return []string{"Noticed."} }

// Options implements patientfile.Patient.
func (p *patient) Options(context.Context) (chart.Options, error) {
	return chart.Options{At: made}, nil
}

// ann is a patient with a bit of everything.
func ann() *patient {
	return &patient{lines: []string{
		`{"resourceType":"Patient","id":"p1","name":[{"family":"Miller","given":["Ann"]},{"use":"maiden","family":"Łukasz"}],"birthDate":"1970-02-01","gender":"female","identifier":[{"type":{"coding":[{"code":"MR"}]},"value":"M-17"}],"telecom":[{"system":"phone","value":"+1 555 0100"}]}`,
		`{"resourceType":"AllergyIntolerance","id":"a1","patient":{"reference":"Patient/p1"},"code":{"text":"Penicillin"},"criticality":"high","clinicalStatus":{"coding":[{"code":"active"}]}}`,
		`{"resourceType":"Condition","id":"c1","subject":{"reference":"Patient/p1"},"code":{"text":"Hypertension"},"clinicalStatus":{"coding":[{"code":"active"}]},"onsetDateTime":"2001"}`,
		`{"resourceType":"Condition","id":"c2","subject":{"reference":"Patient/p1"},"meta":{"security":[{"code":"R"},{"code":"PSY"}]},"code":{"text":"SECRET-DIAGNOSIS"},"clinicalStatus":{"coding":[{"code":"active"}]}}`,
		`{"resourceType":"MedicationRequest","id":"m1","status":"active","intent":"order","subject":{"reference":"Patient/p1"},"medicationCodeableConcept":{"text":"Lisinopril 10 mg"},"dosageInstruction":[{"text":"one a day"}],"authoredOn":"2010-01-01"}`,
		obs("o1", "2025-12-01", "5.4"), obs("o2", "2026-02-01", "6.1"),
		`{"resourceType":"Observation", "id":"o3","status":"final","code":{"text":"Name of test <script>alert(1)</script>"},"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-02-03","valueString":"<5 \u202eevil","category":[{"coding":[{"code":"laboratory"}]}],"ünïcode":1.50}`,
		`{"resourceType":"DocumentReference","id":"d1","status":"current","date":"2026-01-05T10:00:00Z","type":{"text":"../../etc/passwd"},"content":[{"attachment":{"contentType":"application/pdf","url":"https://emr.example/Binary/1","title":"..\\letter.exe"}},{"attachment":{"contentType":"text/html","data":"PHNjcmlwdD4="}}]}`,
		`{"resourceType":"DocumentReference","id":"d2","status":"current","date":"2026-01-06","type":{"text":"Scan"},"content":[{"attachment":{"contentType":"application/x-msdownload","url":"https://emr.example/Binary/2"}}]}`,
	}, files: map[string]string{"https://emr.example/Binary/1": "%PDF-1.4 letter"}}
}

func obs(id, date, value string) string {
	return `{"resourceType":"Observation","id":"` + id + `","status":"final","code":{"text":"Potassium","coding":[{"system":"http://loinc.org","code":"2823-3"}]},"category":[{"coding":[{"code":"laboratory"}]}],"subject":{"reference":"Patient/p1"},"effectiveDateTime":"` + date + `","valueQuantity":{"value":` + value + `,"unit":"mmol/L"}}`
}

func sheet(t testing.TB, p *patient, c patientfile.Choice) *patientfile.Sheet {
	t.Helper()
	s, err := patientfile.NewSheet(t.Context(), cover, c, p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	streams = regexp.MustCompile(`/Length (\d+)>>\nstream\n`)
	shown   = regexp.MustCompile(`(?s)\(((?:[^\\()]|\\.)*)\)\s*Tj`)
)

// pagesOf returns the texts of the pages of a PDF that fpdf made, line by line.
func pagesOf(t testing.TB, pdf []byte) (pages []string) {
	t.Helper()
	if !bytes.HasPrefix(pdf, []byte("%PDF-")) {
		t.Fatalf("no PDF: %.20q", pdf)
	}
	for _, m := range streams.FindAllSubmatchIndex(pdf, -1) {
		n, err := strconv.Atoi(string(pdf[m[2]:m[3]]))
		if err != nil {
			t.Fatal(err)
		}
		z, err := zlib.NewReader(bytes.NewReader(pdf[m[1] : m[1]+n]))
		if err != nil {
			continue // a typeface
		}
		plain, err := io.ReadAll(z)
		if err != nil || !bytes.Contains(plain, []byte("Tj")) {
			continue
		}
		var lines []string
		for _, s := range shown.FindAllSubmatch(plain, -1) {
			lines = append(lines, decoded(s[1]))
		}
		pages = append(pages, strings.Join(lines, "\n"))
	}
	return pages
}

// decoded reads a string of such a PDF: UTF-16 with escapes.
func decoded(b []byte) string {
	var plain []byte
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) {
			if i++; b[i] == 'r' {
				b[i] = '\r'
			}
		}
		plain = append(plain, b[i])
	}
	var units []uint16
	for i := 0; i+1 < len(plain); i += 2 {
		units = append(units, uint16(plain[i])<<8|uint16(plain[i+1]))
	}
	return string(utf16.Decode(units))
}
