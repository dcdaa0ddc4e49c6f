package chart

import (
	"bytes"
	"fmt"
	"image"
	_ "image/gif" // Dots reads how large these are
	_ "image/jpeg"
	_ "image/png"
	"io"
	"strings"
	"unicode/utf8"
)

// A FileKind is what a document is, by its bytes.
type FileKind string

// The kinds that are told apart. What cannot be shown as such is still named.
const (
	Empty            FileKind = "empty"
	PDF              FileKind = "pdf"
	JPEG             FileKind = "jpeg"
	PNG              FileKind = "png"
	GIF              FileKind = "gif"
	TIFF             FileKind = "tiff"
	DICOM            FileKind = "dicom"
	RTF              FileKind = "rtf"
	ClinicalDocument FileKind = "c-cda"
	WebPage          FileKind = "html"
	Drawing          FileKind = "svg"
	XML              FileKind = "xml"
	PlainText        FileKind = "text"
	Archive          FileKind = "zip" // and what is made like one: office documents
	Other            FileKind = "other"
)

var fileKindWords = map[FileKind]string{Empty: "an empty file", PDF: "a PDF", JPEG: "a JPEG picture", PNG: "a PNG picture",
	GIF: "a GIF picture", TIFF: "a TIFF picture", DICOM: "a DICOM image", RTF: "RTF text",
	ClinicalDocument: "a clinical document (C-CDA)", WebPage: "a web page", Drawing: "an SVG drawing", XML: "an XML file",
	PlainText: "plain text", Archive: "a ZIP file or an office document", Other: "a file of another kind"}

// Words names a kind, with its article: "a PDF".
func (k FileKind) Words() string { return fileKindWords[k] }

// Image reports whether browsers show it as a picture.
func (k FileKind) Image() bool { return k == JPEG || k == PNG || k == GIF }

// Dots returns how wide and high a picture is; zeros if that cannot be read. It reads no
// further than it must.
func Dots(r io.Reader) (width, height int) {
	c, _, err := image.DecodeConfig(r)
	if err != nil {
		return 0, 0
	}
	return c.Width, c.Height
}

// Readable reports whether it can be read as text.
func (k FileKind) Readable() bool {
	return k == RTF || k == ClinicalDocument || k == WebPage || k == XML || k == PlainText
}

// KindPrefix is how many bytes of a document say what it is.
const KindPrefix = 16 << 10

// magics are what files of a kind begin with.
var magics = []struct {
	begin string
	kind  FileKind
}{{"\xff\xd8\xff", JPEG}, {"\x89PNG\r\n\x1a\n", PNG}, {"GIF87a", GIF}, {"GIF89a", GIF}, {"II*\x00", TIFF}, {"MM\x00*", TIFF},
	{"II+\x00", TIFF}, {"MM\x00+", TIFF}, {`{\rtf`, RTF}, {"PK\x03\x04", Archive}}

// KindOf says what a document is by its first bytes, KindPrefix of them or all. The
// content type that somebody gave it decides only between kinds of text.
func KindOf(contentType string, b []byte) FileKind {
	b = b[:min(len(b), KindPrefix)]
	for _, m := range magics {
		if bytes.HasPrefix(b, []byte(m.begin)) {
			return m.kind
		}
	}
	switch {
	case len(b) == 0:
		return Empty
	case bytes.Contains(b[:min(len(b), 1024)], []byte("%PDF-")) && !bytes.HasPrefix(bytes.TrimSpace(b), []byte("<")):
		return PDF // some scanners write a few bytes first
	case len(b) >= 132 && string(b[128:132]) == "DICM":
		return DICOM
	case !wide(b) && !printable(b):
		return Other
	}
	text := strings.ToLower(DecodeText("", b))
	if text = strings.TrimSpace(text); !strings.HasPrefix(text, "<") {
		return PlainText
	}
	return markupKind(mediaType(contentType), text)
}

// printable reports whether bytes can be text: nothing that no text has, in whatever
// charset.
func printable(b []byte) bool {
	strange := 0
	for _, c := range b {
		if c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != 0x1b {
			strange++
		}
	}
	for range utf8.UTFMax - 1 { // the last letter may be cut off
		if !utf8.Valid(b) && len(b) > 0 {
			b = b[:len(b)-1]
		}
	}
	return strange == 0 || utf8.Valid(b) && strange*20 <= len(b)
}

// markupKind tells kinds of text apart that begin with <, by the element that comes
// first. Where none is known the content type decides.
func markupKind(mediaType, text string) FileKind {
	first, kind := len(text), PlainText
	for name, k := range map[string]FileKind{"clinicaldocument": ClinicalDocument, "<html": WebPage, "<!doctype html": WebPage,
		"<body": WebPage, "<svg": Drawing} {
		if i := strings.Index(text, name); i >= 0 && i < first {
			first, kind = i, k
		}
	}
	switch {
	case kind != PlainText:
		return kind
	case strings.Contains(mediaType, "html"):
		return WebPage
	case strings.Contains(mediaType, "xml"), strings.HasPrefix(text, "<?xml"):
		return XML
	case strings.Contains(text, "</"), strings.Contains(text, "<br"), strings.Contains(text, "<p>"):
		return WebPage // a piece of one
	}
	return PlainText
}

// labels are the kinds that a content type stands for.
var labels = map[string][]FileKind{"application/pdf": {PDF}, "application/x-pdf": {PDF},
	"image/jpeg": {JPEG}, "image/jpg": {JPEG}, "image/pjpeg": {JPEG}, "image/png": {PNG}, "image/gif": {GIF},
	"image/tiff": {TIFF}, "image/tif": {TIFF}, "image/svg+xml": {Drawing}, "application/dicom": {DICOM},
	"text/rtf": {RTF}, "application/rtf": {RTF}, "application/x-rtf": {RTF}, "text/richtext": {RTF, PlainText},
	"text/html": {WebPage, PlainText}, "application/xhtml+xml": {WebPage, XML},
	"text/xml": {XML, ClinicalDocument, WebPage, Drawing}, "application/xml": {XML, ClinicalDocument, WebPage, Drawing},
	"application/cda+xml": {ClinicalDocument}, "application/hl7-cda+xml": {ClinicalDocument},
	"application/hl7-sda+xml": {XML, ClinicalDocument},
	"text/plain":              {PlainText}, "text/markdown": {PlainText}, "text/csv": {PlainText}, "application/json": {PlainText},
	"application/zip": {Archive}}

// Mislabelled says in a sentence that a document is not what its record calls it;
// "" if it is, or if that cannot be said.
func Mislabelled(contentType string, k FileKind) string {
	want, known := labels[mediaType(contentType)]
	if !known || k == Empty {
		return ""
	}
	for _, w := range want {
		if w == k {
			return ""
		}
	}
	return fmt.Sprintf("The record calls this %s; by its bytes it is %s, and it is treated as that.", want[0].Words(), k.Words())
}
