package viewer_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"io"
	"regexp"
	"strings"
	"testing"

	"codeberg.org/go-pdf/fpdf"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/access"
	"chartcellar/store/chart"
)

// evil is what a document tries: to run, to load, to send, to lead away, to hide.
const evil = `<p onclick="alert(1)">Dear <b>Dr.</b> Ötz</p><script>alert(1)</script><img src="https://evil.example/t.gif" onerror="alert(1)" alt="Wound">` +
	`<iframe src="https://evil.example"></iframe><base href="https://evil.example"><meta http-equiv="refresh" content="0;url=https://evil.example">` +
	`<form action="https://evil.example"><input name="a"></form><svg onload="alert(1)"><a href="javascript:alert(1)">see</a></svg><style>@import "https://evil.example"</style>`

// A paper is a document that the double has; its number is its place in papers.
type paper struct {
	name, label string
	bytes       string
	change      func(*viewer.Document)
}

func papers() []paper {
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 30, 20))); err != nil {
		panic(err)
	}
	sized := func(w, h int) func(*viewer.Document) {
		return func(d *viewer.Document) { d.Width, d.Height = w, h }
	}
	cda := func(text string) string {
		return `<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><title>Summary of care ` + strings.ReplaceAll(script, "<", "&lt;") + `</title><effectiveTime value="20260301"/>` +
			`<recordTarget><patientRole><patient><name><given>Otto</given><family>Other</family></name></patient></patientRole></recordTarget><component><structuredBody>` +
			`<component><section><code code="48765-2"/><title>Allergies</title><text>` + text + `</text></section></component>` +
			`<component><section><title>Results</title><entry/><entry/></section></component></structuredBody></component></ClinicalDocument>`
	}
	return []paper{
		{"PDF", "application/pdf", "%PDF-1.7\n%\xe2\xe3", nil},
		{"web page", "text/html", "<html>" + evil, nil},
		{"clinical document", "text/xml", cda(`<paragraph>Latex <content styleCode="Bold">severe</content></paragraph><renderMultiMedia/><script>alert(1)</script>`), nil},
		{"clinical document, not whole", "text/xml", cda("Latex")[:400], nil},
		{"RTF", "application/rtf", `{\rtf1 Dear ` + script + `{\object evil}}`, nil},
		{"text", "text/plain", "Dear " + script + "\x1b[2J", nil},
		{"picture", "image/png", picture.String(), sized(30, 20)},
		{"picture of 100,000 by 100,000 dots", "image/png", picture.String(), sized(100_000, 100_000)},
		{"drawing called a picture", "image/png", `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>`, nil},
		{"fax", "image/tiff", "II*\x00", nil},
		{"empty", "application/pdf", "", nil},
		{"missing", "application/pdf", "", func(d *viewer.Document) { d.Held, d.Why = false, "the EMR answered 404 "+script }},
		{"clinical document with a picture", "text/xml", `<ClinicalDocument><title>Scan</title><component><nonXMLBody><text mediaType="application/pdf" representation="B64">` + base64.StdEncoding.EncodeToString(picture.Bytes()) +
			`</text></nonXMLBody></component></ClinicalDocument>`, nil},
		{"clinical document with a page", "text/xml", `<ClinicalDocument><component><nonXMLBody><text mediaType="image/png" representation="B64">` + base64.StdEncoding.EncodeToString([]byte("<html>"+evil)) +
			`</text></nonXMLBody></component></ClinicalDocument>`, nil},
		{"no file", "", "", func(d *viewer.Document) { d.N, d.Held, d.Of = 0, false, 1 }},
		{"PDF of 3 pages", "application/pdf", leaflet(3, ""), nil},
		{"locked PDF", "application/pdf", leaflet(1, "password"), nil},
		{"broken PDF", "application/pdf", leaflet(2, "")[:900], nil},
		{"text that is too long", "text/plain", strings.Repeat("a", 100), func(d *viewer.Document) { d.Content, d.Bytes = nil, 9_000_000 }},
	}
}

// leaflet is a PDF that can be read, or is locked with a password.
func leaflet(pages int, lock string) string {
	f := fpdf.New("P", "mm", "A4", "")
	if lock != "" {
		f.SetProtection(0, lock, lock)
	}
	f.SetFont("Helvetica", "", 24)
	for n := range pages {
		f.AddPage()
		f.Text(20, 30, fmt.Sprintf("Leaflet, page %d", n+1))
	}
	var b bytes.Buffer
	if err := f.Output(&b); err != nil {
		panic(err)
	}
	return b.String()
}

// paperRef is the address of the record that holds them.
func paperRef() string { return string((&double{}).Refer("main", "DocumentReference/d1")) }

func (d *double) paper(p viewer.Place, n int) (paper, chart.Attachment, error) {
	list := papers()
	if string(p.Ref) != paperRef() || n > len(list) {
		return paper{}, chart.Attachment{}, viewer.ErrNotFound
	}
	one := list[n-1]
	return one, chart.Attachment{N: n, Ref: "DocumentReference/d1", Type: []string{"Letter", "Note " + script}[n%2], Title: one.name + script, Date: "2026-02-0" + fmt.Sprint(n%10),
		Author: script, ContentType: one.label, Size: "12"}, nil
}

func (d *double) Documents(_ context.Context, a viewer.Actor, p viewer.Place) (viewer.DocumentList, error) {
	if err := d.do("documents %s asof %q", a.Account, p.AsOf); err != nil {
		return viewer.DocumentList{}, err
	}
	if _, err := d.Unseal(string(p.Ref)); err != nil {
		return viewer.DocumentList{}, err
	}
	c := chartOf(0)
	out := viewer.DocumentList{ChartHead: viewer.ChartHead{Ref: p.Ref, AsOf: p.AsOf, Source: "main", Banner: c.Banner}, Withheld: 1, EnteredInError: 2}
	for n := range papers() {
		one, at, err := d.paper(viewer.Place{Ref: viewer.Ref(paperRef())}, n+1)
		if err != nil {
			return out, err
		}
		row := viewer.DocumentRow{Attachment: at, Record: viewer.Ref(paperRef()), Held: true, Format: "format", VisitRef: "v", VisitWords: "Visit " + script}
		if one.name == "missing" {
			row.Held, row.Why = false, "the EMR answered 404 "+script
		}
		out.List = append(out.List, row)
	}
	return out, nil
}

func (d *double) Document(_ context.Context, a viewer.Actor, p viewer.Place, n int) (viewer.Document, error) {
	if err := d.do("document %s %d", a.Account, n); err != nil {
		return viewer.Document{}, err
	}
	one, at, err := d.paper(p, n)
	if err != nil {
		return viewer.Document{}, err
	}
	c := chartOf(0)
	out := viewer.Document{ChartHead: &viewer.ChartHead{Ref: viewer.Ref(patientRef()), AsOf: p.AsOf, Source: "main", Banner: c.Banner},
		DocumentRow: viewer.DocumentRow{Attachment: at, Record: p.Ref, Held: true}, Of: len(papers()), Kind: chart.KindOf(one.label, []byte(one.bytes)),
		Bytes: int64(len(one.bytes)), SHA256: "abcdef", Content: []byte(one.bytes), Notes: []string{"The record says 12 bytes " + script}}
	if one.change != nil {
		one.change(&out)
	}
	return out, nil
}

func (d *double) DocumentFile(ctx context.Context, a viewer.Actor, p viewer.Place, n int, save bool) (*viewer.DocumentFile, error) {
	if err := d.do("file %s %d save %v", a.Account, n, save); err != nil {
		return nil, err
	}
	if d.begun != nil {
		return &viewer.DocumentFile{ReadCloser: &endless{ctx, d.begun, 0}, Bytes: -1, Kind: chart.PDF}, nil
	}
	one, at, err := d.paper(p, n)
	if err != nil || one.name == "missing" {
		return nil, viewer.ErrNotFound
	}
	return &viewer.DocumentFile{ReadCloser: io.NopCloser(strings.NewReader(one.bytes)), Bytes: int64(len(one.bytes)), Kind: chart.KindOf(one.label, []byte(one.bytes)),
		Type: at.ContentType, Date: at.Date + `/../"` + script}, nil
}

// number is the number of the document of the double that has this name.
func number(t *testing.T, name string) int {
	t.Helper()
	for i, p := range papers() {
		if p.name == name {
			return i + 1
		}
	}
	t.Fatalf("there is no document %q", name)
	return 0
}

// TestDocumentPages: what a document is, and how it is shown; what is in it is text or
// harmless, also on the page around it.
func TestDocumentPages(t *testing.T) {
	tests := []struct {
		name      string
		want, not []string
	}{
		{"PDF", []string{"a PDF; the record calls it <code>application/pdf</code>", "<dd>12 bytes</dd>", `id="pdf"`, "pdf.min.", "A PDF is shown here only with JavaScript", "abcdef", "File 1 of 19", "The next file", "Save the file", "Müller-Ötz"}, []string{"<iframe"}},
		{"web page", []string{`<iframe sandbox=""`, "a web page", "Not shown: 1 form field, 1 frame, 1 script, 2 pictures"}, []string{"Dear"}},
		{"clinical document", []string{`<iframe sandbox=""`, "a clinical document (C-CDA)", "Summary of care &lt;script&gt;", ">2026-03-01</span>", "Otto Other", "The document names somebody else than this patient", `/content?asof=2026-03-01#s0" target="document">Allergies</a>`, `/content?asof=2026-03-01#s1"`, "1 picture"}, []string{"Latex"}},
		{"clinical document, not whole", []string{"Latex", "its sections could not be told apart", "<pre"}, []string{"<iframe"}},
		{"clinical document with a picture", []string{"holds a PNG picture instead of text", `/inside?asof=2026-03-01"`, "30 by 20 dots"}, []string{"<iframe"}},
		{"clinical document with a page", []string{"holds a web page instead of text", "<pre", "Dear Dr. Ötz"}, []string{"<iframe"}},
		{"RTF", []string{"RTF text", "<pre", "Dear &lt;script&gt;alert(1)&lt;/script&gt;"}, []string{"evil", "<iframe"}},
		{"text", []string{"plain text", "Dear &lt;script&gt;alert(1)&lt;/script&gt;␛[2J"}, nil},
		{"picture", []string{"a PNG picture", `<div id="sheet" class="sheet"><img src="/document/`, "30 by 20 dots"}, nil},
		{"picture of 100,000 by 100,000 dots", []string{"too large to be shown"}, []string{"<img src=\"/document"}},
		{"drawing called a picture", []string{"an SVG drawing, which is not shown here"}, []string{"<img src=\"/document", "<svg xmlns=\"http://www.w3.org/2000/svg\" onload"}},
		{"fax", []string{"a TIFF picture, which is not shown here", "Save the file and open it with its own program"}, nil},
		{"empty", []string{"This file is empty"}, []string{`id="pdf"`}},
		{"missing", []string{"The copy does not hold this document: the EMR answered 404", "Save the document by hand from the EMR"}, []string{"Save the file", `id="pdf"`}},
		{"no file", []string{"names no file", "in the record</a>"}, []string{"does not hold", "Save the file"}},
		{"text that is too long", []string{"plain text of 9.0 MB, which is not shown here"}, []string{"aaaa"}},
	}
	o := newOffice(t, practice())
	tokens := o.settle()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := fmt.Sprintf("/document/%s/%d", paperRef(), number(t, tt.name))
			text := o.page(path+"?asof=2026-03-01", tokens[access.Doctor])
			for _, w := range append(tt.want, `/documents?asof=2026-03-01">All documents</a>`) {
				if !strings.Contains(text, w) {
					t.Errorf("no %q in\n%s", w, text)
				}
			}
			for _, w := range append(tt.not, script, "onerror", "evil.example") {
				if strings.Contains(text, w) {
					t.Errorf("%q in\n%s", w, text)
				}
			}
			if text := o.page(path, tokens[access.Staff]); strings.Contains(text, `/file"`) {
				t.Error("staff is offered to save the file")
			}
		})
	}
	for _, path := range []string{"/document/@@/1", "/document/" + paperRef() + "/0", "/document/" + paperRef() + "/x", "/document/" + paperRef() + "/99", "/document/" + paperRef() + "/99/content"} {
		if res := o.ask(ask{path: path, token: tokens[access.Doctor]}); res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// TestContentIsInert: what a document holds comes in a frame that can do nothing, or as
// bytes of a type that is ours; under no address as what its record calls it.
func TestContentIsInert(t *testing.T) {
	tests := []struct {
		name, kind string
		want       string
	}{
		{"PDF", "application/pdf", "%PDF-1.7"},
		{"picture", "image/png", "\x89PNG"},
		{"web page", "text/html; charset=utf-8", `<p>Dear <b>Dr.</b> Ötz</p>[picture: Wound]`},
		{"clinical document", "text/html; charset=utf-8", "<section id=\"s0\"><h2 dir=\"auto\">Allergies <small>48765-2</small></h2>\n<div dir=\"auto\"><p>Latex <b>severe</b></p>[picture]</div></section>"},
		{"drawing called a picture", "", ""},
		{"RTF", "", ""},
		{"text", "", ""},
		{"fax", "", ""},
		{"missing", "", ""},
	}
	o := newOffice(t, practice())
	token := o.settle()[access.Staff]
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := o.ask(ask{path: fmt.Sprintf("/document/%s/%d/content", paperRef(), number(t, tt.name)), token: token})
			text := body(t, res)
			h := res.Header
			if tt.kind == "" {
				if res.StatusCode != 404 {
					t.Errorf("%d %s", res.StatusCode, text)
				}
				return
			}
			if res.StatusCode != 200 || h.Get("Content-Type") != tt.kind || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
				t.Errorf("%d %v", res.StatusCode, h)
			}
			csp := h.Get("Content-Security-Policy")
			if !strings.HasPrefix(csp, "default-src 'none'; ") || strings.Contains(csp, "script") || strings.Contains(csp, "allow-") || strings.Contains(csp, "unsafe") {
				t.Errorf("the policy is %s", csp)
			}
			if tt.kind != "application/pdf" && !strings.Contains(csp, "; sandbox;") {
				t.Errorf("no sandbox: %s", csp)
			}
			if strings.HasPrefix(tt.kind, "text/html") != (h.Get("X-Frame-Options") == "SAMEORIGIN") || !strings.Contains(text, tt.want) {
				t.Errorf("%v\n%s", h, text)
			}
			if m := regexp.MustCompile(`(?i)<script|onclick|onerror|onload|evil\.example|javascript:|<iframe|<img|<svg|<base|http-equiv|<form|<input`).FindString(text); m != "" {
				t.Errorf("%q in\n%s", m, text)
			}
		})
	}
}

// TestInside: what a clinical document holds is served like any document.
func TestInside(t *testing.T) {
	o := newOffice(t, practice())
	token := o.settle()[access.Staff]
	for name, kind := range map[string]string{"clinical document with a picture": "image/png", "clinical document with a page": "", "clinical document": "", "web page": "", "picture": ""} {
		res := o.ask(ask{path: fmt.Sprintf("/document/%s/%d/inside", paperRef(), number(t, name)), token: token})
		if kind == "" && res.StatusCode != 404 || kind != "" && (res.Header.Get("Content-Type") != kind || !strings.Contains(res.Header.Get("Content-Security-Policy"), "'none'; sandbox")) {
			t.Errorf("%s: %d %v", name, res.StatusCode, res.Header)
		}
	}
}

// TestSaveDocument: the bytes come unchanged, under a name of ours, as nothing that a
// browser opens; only to who may take files out.
func TestSaveDocument(t *testing.T) {
	o := newOffice(t, practice())
	tokens := o.settle()
	for i, name := range map[int]string{1: "document-2026-02-01.pdf", 2: "document-2026-02-02.html.txt", 3: "document-2026-02-03.xml", 5: "document-2026-02-05.rtf",
		6: "document-2026-02-06.txt", 7: "document-2026-02-07.png", 9: "document-2026-02-09.svg.txt", 10: "document-2026-02-00.tif", 11: "document-2026-02-01.bin"} {
		a := ask{method: "POST", path: fmt.Sprintf("/document/%s/%d/file", paperRef(), i), token: tokens[access.Doctor], form: map[string][]string{}}
		res := o.ask(a)
		text := body(t, res)
		h := res.Header
		if res.StatusCode != 200 || text != papers()[i-1].bytes || h.Get("Content-Type") != "application/octet-stream" || h.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'; sandbox") {
			t.Errorf("%d: %d %v %q", i, res.StatusCode, h, text)
		}
		if got := h.Get("Content-Disposition"); got != `attachment; filename="`+name+`"` {
			t.Errorf("%d: %s, want the name %s", i, got, name)
		}
		a.token = tokens[access.Staff]
		if res := o.ask(a); res.StatusCode != 403 {
			t.Errorf("staff: %d", res.StatusCode)
		}
	}
	if res := o.ask(ask{method: "POST", path: fmt.Sprintf("/document/%s/%d/file", paperRef(), number(t, "missing")), token: tokens[access.Owner], form: map[string][]string{}}); res.StatusCode != 404 {
		t.Errorf("a missing file: %d", res.StatusCode)
	}
}

// TestDocumentList: every file stands in the list, counted, with why one is not here; a
// type can be chosen.
func TestDocumentList(t *testing.T) {
	o := newOffice(t, practice())
	token := o.settle()[access.Doctor]
	path := "/chart/" + patientRef() + "/documents"
	text := o.page(path+"?asof=2026-03-01", token)
	for _, w := range []string{"19 of 19; the copy holds 18 of 19.", "2 files belong to records that were entered in error", "1 file is labelled sensitive: not shown to your role", "PDF&lt;script&gt;",
		"<strong>NO</strong>: the EMR answered 404 &lt;script&gt;", fmt.Sprintf(`/document/%s/1?asof=2026-03-01"`, paperRef()), "Note &lt;script&gt;", "Visit &lt;script&gt;"} {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in\n%s", w, text)
		}
	}
	if strings.Contains(text, script) {
		t.Errorf("a script in\n%s", text)
	}
	if text := o.page(path+"?type=1", token); !strings.Contains(text, "9 of 19 are of the type “Letter”; the copy holds 8 of 9.") || strings.Count(text, "<tr>") != 10 {
		t.Errorf("one type:\n%s", text)
	}
	for _, bad := range []string{"?type=3", "?type=x", "?type=-1", "?page=2", "?page=x", "?asof=x"} {
		if res := o.ask(ask{path: path + bad, token: token}); res.StatusCode != 404 && res.StatusCode != 422 {
			t.Errorf("%s: %d", bad, res.StatusCode)
		}
	}
}
