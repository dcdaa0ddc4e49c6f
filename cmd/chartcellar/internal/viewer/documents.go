package viewer

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"chartcellar/store/access"
	"chartcellar/store/chart"
)

// documentRoutes are the files of records.
func documentRoutes() []Route {
	return []Route{
		{Method: get, Path: "/chart/{ref}/documents", Who: access.SeeCharts, serve: (*Server).serveDocuments},
		{Method: get, Path: "/document/{ref}/{n}", Who: access.SeeCharts, serve: (*Server).serveDocument},
		{Method: get, Path: "/document/{ref}/{n}/content", Who: access.SeeCharts, serve: (*Server).serveContent},
		{Method: get, Path: "/document/{ref}/{n}/inside", Who: access.SeeCharts, serve: (*Server).serveInside},
		{Method: post, Path: "/document/{ref}/{n}/file", Who: access.Export, serve: (*Server).serveFile},
	}
}

// A documentsPage lists the files of a patient.
type documentsPage struct {
	DocumentList
	Shown []DocumentRow // of this page
	Fit   int           // of the chosen type
	Held  int           // of these, in the copy
	Types []string
	Type  int // number of the chosen one in Types, from 1; 0: all
	First int // number of the first row, from 1
	Newer string
	Older string
}

func (s *Server) serveDocuments(r *request) error {
	at, err := place(r)
	if err != nil {
		return err
	}
	list, err := s.o.Backend.Documents(r.Context(), r.actor(), at)
	if err != nil {
		return err
	}
	p := &documentsPage{DocumentList: list}
	if err := p.choose(r.URL.Query()); err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "documents", "Documents", p)
}

// choose keeps the rows that an address asks for: of one type, on one page.
func (p *documentsPage) choose(q url.Values) error {
	for i := range p.List {
		if t := p.List[i].Type; !slices.Contains(p.Types, t) {
			p.Types = append(p.Types, t)
		}
	}
	slices.Sort(p.Types)
	var page int
	for name, to := range map[string]*int{"type": &p.Type, "page": &page} {
		if err := numberIn(q, name, to, 0, len(p.List)); err != nil {
			return err
		}
	}
	if p.Type > len(p.Types) {
		return ErrNotFound
	}
	var fit []DocumentRow
	for _, row := range p.List {
		if p.Type == 0 || row.Type == p.Types[p.Type-1] {
			fit = append(fit, row)
			if row.Held {
				p.Held++
			}
		}
	}
	page = max(1, page)
	from := (page - 1) * rowsPerPage
	if from > 0 && from >= len(fit) {
		return ErrNotFound
	}
	to := min(len(fit), from+rowsPerPage)
	p.Fit, p.Shown, p.First = len(fit), fit[from:to], from+1
	if page > 1 {
		p.Newer = p.address(page - 1)
	}
	if to < len(fit) {
		p.Older = p.address(page + 1)
	}
	return nil
}

func (p *documentsPage) address(page int) string {
	q := url.Values{"page": {strconv.Itoa(page)}}
	if p.Type > 0 {
		q.Set("type", strconv.Itoa(p.Type))
	}
	if p.AsOf != "" {
		q.Set("asof", p.AsOf)
	}
	return "/chart/" + url.PathEscape(string(p.Ref)) + "/documents?" + q.Encode()
}

// Open is the address of a document of the list.
func (p *documentsPage) Open(row DocumentRow) string {
	return p.Of(documentAddress(row.Record, row.N))
}

// RecordAt is the address of a record.
func (p *documentsPage) RecordAt(ref Ref) string { return p.Of(recordAddress(ref)) }

func recordAddress(ref Ref) string { return "/record/" + url.PathEscape(string(ref)) }

func documentAddress(record Ref, n int) string {
	return "/document/" + url.PathEscape(string(record)) + "/" + strconv.Itoa(n)
}

// numbered reads which document an address asks for.
func numbered(r *request) (at Place, n int, err error) {
	if at, err = place(r); err != nil {
		return at, 0, err
	}
	if n, err = strconv.Atoi(r.PathValue("n")); err != nil || n < 1 {
		return at, 0, ErrNotFound
	}
	return at, n, nil
}

// A documentPage shows one file.
type documentPage struct {
	Document
	AsOf     string
	Show     string // how: pdf, image, frame, text; "": it is only said what it is
	Text     string
	Clinical *chart.Clinical
	Inside   chart.FileKind // of the file that a clinical document holds
	Left     []string       // what a web page had and is not shown
}

// Head implements headed.
func (p *documentPage) Head() *ChartHead { return p.ChartHead }

// At adds the day to an address.
func (p *documentPage) At(address string) string {
	return (&ChartHead{AsOf: p.AsOf}).Of(address)
}

// Here is the address of the page, or of what is below it.
func (p *documentPage) Here(below string) string {
	return p.At(documentAddress(p.Record, p.N) + below)
}

// Beside is the address of another file of the same record.
func (p *documentPage) Beside(n int) string { return p.At(documentAddress(p.Record, n)) }

// Length is how many bytes it has.
func (p *documentPage) Length() int { return int(p.Bytes) }

// RecordAt is the address of a record.
func (p *documentPage) RecordAt(ref Ref) string { return p.At(recordAddress(ref)) }

// framed is the policy of pages that show a document in a frame or load its bytes.
const framed = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

func (s *Server) serveDocument(r *request) error {
	at, n, err := numbered(r)
	if err != nil {
		return err
	}
	d, err := s.o.Backend.Document(r.Context(), r.actor(), at, n)
	if err != nil {
		return err
	}
	p := &documentPage{Document: d, AsOf: at.AsOf}
	p.read()
	r.w.Header().Set("Content-Security-Policy", framed)
	return s.render(r, http.StatusOK, "document", "Document", p)
}

// maxDots is how many dots a picture may have that a browser is given: more would need
// more memory than an office computer has.
const maxDots = 100_000_000

// read decides how a document is shown.
func (p *documentPage) read() {
	switch k := p.Kind; {
	case !p.Held || k == chart.Empty:
	case k == chart.PDF:
		p.Show = "pdf"
	case k.Image():
		if p.fits() {
			p.Show = "image"
		}
	case p.Content == nil:
	case k == chart.ClinicalDocument:
		doc, err := chart.ReadClinical(p.ContentType, p.Content)
		if err != nil {
			p.Show, p.Text = "text", p.text()
			p.Notes = append(p.Notes, "This clinical document is not written as it should be: its sections could not be told apart. These are its words.")
			return
		}
		p.Show, p.Clinical, p.Left = "frame", doc, doc.Left()
		if b := doc.File(); b != nil {
			p.inside(doc.Inside, b)
		}
		if p.ChartHead != nil {
			if words := doc.Another(&p.Banner.Entry); words != "" {
				p.Notes = append(p.Notes, words)
			}
		}
	case k == chart.WebPage:
		p.Show, p.Left = "frame", p.markup().Left()
	case k == chart.RTF || k == chart.PlainText || k == chart.XML:
		p.Show, p.Text = "text", p.text()
	}
}

// inside decides how the file is shown that a clinical document holds instead of text.
func (p *documentPage) inside(contentType string, b []byte) {
	p.Inside, p.Show = chart.KindOf(contentType, b), ""
	switch k := p.Inside; {
	case k == chart.PDF:
		p.Show = "pdf"
	case k.Image():
		if p.Width, p.Height = chart.Dots(bytes.NewReader(b)); p.fits() {
			p.Show = "image"
		}
	case k.Readable():
		p.Show = "text"
		p.Text, _ = chart.Text(contentType, b)
	}
}

// fits reports whether a picture is of a size that a browser can be given.
func (p *documentPage) fits() bool {
	return p.Width > 0 && p.Height > 0 && p.Width <= maxDots/p.Height
}

// Shown is the address of the bytes that the page shows.
func (p *documentPage) Shown() string {
	if p.Inside != "" {
		return p.Here("/inside")
	}
	return p.Here("/content")
}

func (p *documentPage) text() string {
	text, _ := chart.Text(p.ContentType, p.Content)
	return text
}

func (p *documentPage) markup() chart.Markup {
	return chart.SafeHTML(chart.DecodeText(p.ContentType, p.Content))
}

// HTML is what is in the frame of a web page.
func (p *documentPage) HTML() template.HTML { return safe(p.markup()) }

// safe puts foreign markup into a page: only what a sanitizer has made.
func safe(m chart.Markup) template.HTML { return template.HTML(m.HTML()) }

// inert is the policy of foreign bytes: they load nothing, run nothing and send nothing.
const inert = "default-src 'none'; sandbox; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// A PDF that somebody opens by itself is shown by the browser's own reader, which a
// sandbox would stop.
const inertPDF = "default-src 'none'; object-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// frameStyle is how a document in a frame looks. It stands in the page itself: from its
// sandbox a page can load nothing, not even from here.
const frameStyle = `
body { font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; margin: 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; border-bottom: 1px solid; padding-bottom: .2rem; } h2 small { font-weight: 400; }
table { border-collapse: collapse; margin: .5rem 0; max-width: 100%; } th, td { border: 1px solid #8a97a3; padding: .2rem .5rem; text-align: start; vertical-align: top; }
caption { text-align: start; font-weight: 600; } pre { white-space: pre-wrap; } .none { font-style: italic; }
@media print { body { margin: 0; } h2 { break-after: avoid; } tr { break-inside: avoid; } }
`

// inertFrame is the policy of a frame: it may look as frameStyle says, and stand in a
// page of ours.
func inertFrame() string {
	sum := sha256.Sum256([]byte(frameStyle))
	return strings.Replace(inert, "frame-ancestors 'none'", "frame-ancestors 'self'; style-src 'sha256-"+
		base64.StdEncoding.EncodeToString(sum[:])+"'", 1)
}

// Style is frameStyle for the template.
func (p *documentPage) Style() template.CSS { return frameStyle }

// mediaTypes are the only ones that a browser is told.
var mediaTypes = map[chart.FileKind]string{chart.PDF: "application/pdf", chart.JPEG: "image/jpeg", chart.PNG: "image/png", chart.GIF: "image/gif"}

// serveContent sends what a page shows of a document: a frame made of safe markup, or the
// bytes of a picture or a PDF, under a type of ours.
func (s *Server) serveContent(r *request) error {
	f, err := s.opened(r, false)
	if err != nil {
		return err
	}
	defer f.Close() // read only
	if s.typed(r, f.Kind) {
		return s.stream(r, f)
	}
	p, err := framedPage(f)
	if err != nil {
		return err
	}
	r.w.Header().Set("Content-Security-Policy", inertFrame())
	r.w.Header().Set("X-Frame-Options", "SAMEORIGIN")
	page, err := s.execute(r, "content", "content.html", "Document", p)
	if err != nil {
		return err
	}
	return s.send(r, http.StatusOK, "text/html; charset=utf-8", page)
}

// serveInside sends the picture or the PDF that a clinical document holds.
func (s *Server) serveInside(r *request) error {
	f, err := s.opened(r, false)
	if err != nil {
		return err
	}
	defer f.Close() // read only
	if f.Kind != chart.ClinicalDocument {
		return ErrNotFound
	}
	b, err := whole(f)
	if err != nil {
		return err
	}
	doc, err := chart.ReadClinical(f.Type, b)
	if err != nil {
		return ErrNotFound
	}
	b = doc.File()
	if !s.typed(r, chart.KindOf(doc.Inside, b)) {
		return ErrNotFound
	}
	return s.stream(r, &DocumentFile{ReadCloser: io.NopCloser(bytes.NewReader(b)), Bytes: int64(len(b))})
}

// opened opens the document that an address names.
func (s *Server) opened(r *request, save bool) (*DocumentFile, error) {
	at, n, err := numbered(r)
	if err != nil {
		return nil, err
	}
	return s.o.Backend.DocumentFile(r.Context(), r.actor(), at, n, save)
}

// typed tells the browser of which kind the bytes are that follow; false if they are of
// none that it is given.
func (s *Server) typed(r *request, k chart.FileKind) bool {
	kind := mediaTypes[k]
	if kind == "" {
		return false
	}
	policy := inert
	if k == chart.PDF {
		policy = inertPDF
	}
	r.w.Header().Set("Content-Security-Policy", policy)
	r.w.Header().Set("Content-Type", kind)
	return true
}

// whole reads a document of a length that is shown.
func whole(f *DocumentFile) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, MaxReadable+1))
	if err == nil && len(b) > MaxReadable {
		err = ErrNotFound
	}
	return b, err
}

// framedPage makes what stands in the frame of a document.
func framedPage(f *DocumentFile) (*documentPage, error) {
	if f.Kind != chart.WebPage && f.Kind != chart.ClinicalDocument {
		return nil, ErrNotFound
	}
	b, err := whole(f)
	if err != nil {
		return nil, err
	}
	row := DocumentRow{Held: true, Attachment: chart.Attachment{ContentType: f.Type}}
	p := &documentPage{Document: Document{Kind: f.Kind, Content: b, DocumentRow: row}}
	if p.read(); p.Show != "frame" {
		return nil, ErrNotFound
	}
	return p, nil
}

// stream sends a file piece by piece. One that cannot be read to its end breaks off, so
// that no browser takes it for whole.
func (s *Server) stream(r *request, f *DocumentFile) error {
	if f.Bytes >= 0 {
		r.w.Header().Set("Content-Length", strconv.FormatInt(f.Bytes, 10))
	}
	if _, err := io.Copy(slow(r), f); err != nil {
		s.o.Log.WarnContext(r.Context(), "document not sent whole", "request", r.id, "err", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// serveFile sends a document as it is, to be saved. The name is ours: what a record
// calls a file is not to be trusted.
func (s *Server) serveFile(r *request) error {
	f, err := s.opened(r, true)
	if err != nil {
		return err
	}
	defer f.Close() // read only
	h := r.w.Header()
	h.Set("Content-Security-Policy", inert)
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+fileName(f)+`"`)
	return s.stream(r, f)
}

// extensions are how names of saved files end.
var extensions = map[chart.FileKind]string{chart.PDF: "pdf", chart.JPEG: "jpg", chart.PNG: "png", chart.GIF: "gif", chart.TIFF: "tif",
	chart.DICOM: "dcm", chart.RTF: "rtf", chart.ClinicalDocument: "xml", chart.XML: "xml", chart.Drawing: "svg.txt", chart.WebPage: "html.txt",
	chart.PlainText: "txt", chart.Archive: "zip"}

// fileName is under which name a file is saved. A web page and a drawing get one under
// which no browser opens them by a double click: there they might do something.
func fileName(f *DocumentFile) string {
	day := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return -1
	}, f.Date[:min(len(f.Date), len("2006-01-02"))])
	ext := extensions[f.Kind]
	if ext == "" {
		ext = "bin"
	}
	return strings.TrimSuffix("document-"+day, "-") + "." + ext
}
