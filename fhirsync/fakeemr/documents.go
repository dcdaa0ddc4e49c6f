package fakeemr

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// documents are one note a visit: text inline, PDF and C-CDA as Binary.
func (p *patient) documents() []string {
	var out []string
	for n, t := range p.visits {
		attachment := p.attachment(n, t)
		if attachment == "" {
			note := p.note(t)
			attachment = fmt.Sprintf(`{"contentType":"text/plain; charset=utf-8","data":"%s",%s}`, b64(note), sums(note))
		}
		out = append(out, p.line("DocumentReference", p.id("doc", n), t, fmt.Sprintf(
			`"status":"current","type":%s,"subject":%s,"date":"%s","content":[{"attachment":%s}],"context":{"encounter":[{"reference":"Encounter/%s"}]}`,
			coding(loinc, "11506-3", "Progress note"), p.ref(), t.Format(time.RFC3339), attachment, p.id("enc", n))))
	}
	if p.i == 0 && p.g.big > 0 {
		out = append(out, p.line("DocumentReference", bigDocument, epoch, fmt.Sprintf(
			`"status":"current","type":%s,"subject":%s,"date":"%s","content":[{"attachment":{"contentType":"%s","url":"Binary/%s","size":%d,"hash":"%s","title":"Scan.bin"}}]`,
			coding(loinc, "11506-3", "Progress note"), p.ref(), epoch.Format(time.RFC3339), bigType, bigBinary, p.g.big, p.g.bigHash())))
	}
	return out
}

// attachment is how the Binary of a visit is named; "" if it has none.
func (p *patient) attachment(n int, t time.Time) string {
	kind, body, title := p.document(n, t)
	if kind == "" {
		return ""
	}
	return fmt.Sprintf(`{"contentType":"%s","url":"Binary/%s",%s,"title":"%s"}`, kind, p.id("bin", n), sums(body), title)
}

// document is the content of the Binary of a visit.
func (p *patient) document(n int, t time.Time) (kind, body, title string) {
	switch n % 5 {
	case 1:
		return "application/pdf", pdf("Letter of " + t.Format("2006-01-02")), "Letter.pdf"
	case 3:
		return "application/xml", ccda(p.given+" "+p.family, p.note(t)), "Summary.xml"
	}
	return "", "", ""
}

// sums are the members size and hash of an attachment.
func sums(body string) string {
	sum := sha1.Sum([]byte(body))
	return fmt.Sprintf(`"size":%d,"hash":"%s"`, len(body), base64.StdEncoding.EncodeToString(sum[:]))
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func (p *patient) note(t time.Time) string {
	return fmt.Sprintf("%s\n%s %s was seen today. Blood pressure was taken, medicines were reviewed.\n"+
		"Plan: continue, come back in three months.\n", t.Format("2006-01-02"), p.given, p.family)
}

func (p *patient) binaries() []string {
	var out []string
	for n, t := range p.visits {
		if kind, body, _ := p.document(n, t); kind != "" {
			out = append(out, p.line("Binary", p.id("bin", n), t, fmt.Sprintf(
				`"contentType":"%s","data":"%s"`, kind, b64(body))))
		}
	}
	return out
}

// reports group the laboratory results of a visit; some present the document
// of the visit too.
func (p *patient) reports() []string {
	labs := make([][]string, len(p.visits))
	p.g.patient(p.i, "Observation").eachMeasure(func(visit, measure int, _ string) {
		if measures[measure].category == "laboratory" {
			labs[visit] = append(labs[visit], fmt.Sprintf(`{"reference":"Observation/%s"}`, p.id("obs", visit*len(measures)+measure)))
		}
	})
	var out []string
	for n, t := range p.visits {
		if labs[n] == nil {
			continue
		}
		form := p.attachment(n, t)
		if form != "" {
			form = fmt.Sprintf(`,"presentedForm":[%s]`, form)
		}
		out = append(out, p.line("DiagnosticReport", p.id("rep", n), t, fmt.Sprintf(
			`"status":"final","category":[{"coding":[{"code":"LAB"}]}],"code":%s,"subject":%s,"encounter":{"reference":"Encounter/%s"},`+
				`"effectiveDateTime":"%s","issued":"%s","result":[%s]%s`,
			coding(loinc, "11502-2", "Laboratory report"), p.ref(), p.id("enc", n), t.Format(time.RFC3339),
			t.Format(time.RFC3339), strings.Join(labs[n], ","), form)))
	}
	return out
}

// photo is the member photo of every third patient.
func (p *patient) photo() string {
	if p.i%3 != 0 {
		return ""
	}
	m := image.NewGray(image.Rect(0, 0, 4, 4))
	for i := range 16 {
		m.SetGray(i%4, i/4, color.Gray{Y: uint8(p.i*37 + i*11)})
	}
	var b bytes.Buffer
	png.Encode(&b, m) // a buffer takes everything
	return fmt.Sprintf(`,"photo":[{"contentType":"image/png","data":"%s",%s}]`, b64(b.String()), sums(b.String()))
}

// pdf makes the smallest PDF that shows a line of text.
func pdf(text string) string {
	stream := fmt.Sprintf("BT /F1 18 Tf 72 720 Td (%s) Tj ET", text)
	objects := []string{"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
		fmt.Sprintf("<</Length %d>>stream\n%s\nendstream", len(stream), stream),
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"}
	var b strings.Builder
	b.WriteString("%PDF-1.4\n")
	var at []int
	for i, o := range objects {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj%sendobj\n", i+1, o)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, a := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", a)
	}
	fmt.Fprintf(&b, "trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, xref)
	return b.String()
}

func ccda(name, text string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><ClinicalDocument xmlns="urn:hl7-org:v3"><title>Visit summary</title>` +
		`<recordTarget><patientRole><patient><name>` + name + `</name></patient></patientRole></recordTarget>` +
		`<component><structuredBody><component><section><title>Plan</title><text>` + text +
		`</text></section></component></structuredBody></component></ClinicalDocument>`
}

// The big attachment: see Options.BigAttachment.
const (
	bigDocument = "doc-big"
	bigBinary   = "bin-big"
	bigType     = "application/octet-stream"
)

// A repeat reads the same bytes each time, without holding them.
type repeat struct {
	left  int64
	block []byte
	rest  []byte
	n     uint64
}

func bigReader(size int64) io.Reader {
	block := make([]byte, 64<<10)
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < len(block); i += 8 {
		binary.LittleEndian.PutUint64(block[i:], r.Uint64())
	}
	return &repeat{left: size, block: block}
}

// Read gives the same block again and again, each with its number in front.
func (b *repeat) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if len(b.rest) == 0 {
		binary.LittleEndian.PutUint64(b.block, b.n)
		b.n++
		b.rest = b.block
	}
	n := copy(p[:min(int64(len(p)), b.left)], b.rest)
	b.rest = b.rest[n:]
	b.left -= int64(n)
	return n, nil
}

// hashOf returns a function that reads the big attachment once, for its hash.
func hashOf(size int64) func() string {
	return sync.OnceValue(func() string {
		h := sha1.New()
		io.Copy(h, bigReader(size)) // neither can fail
		return base64.StdEncoding.EncodeToString(h.Sum(nil))
	})
}
