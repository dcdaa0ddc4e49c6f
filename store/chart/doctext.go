package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"mime"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// mediaType returns a content type without its parameters, in small letters.
func mediaType(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// Text returns a document as readable text; ok is false if it is of a kind that
// is not text, and the text then says what it is.
func Text(contentType string, b []byte) (s string, ok bool) {
	t := mediaType(contentType)
	switch {
	case bytes.HasPrefix(b, []byte("%PDF-")) || t == "application/pdf":
		return fmt.Sprintf("This is a PDF of %d bytes. Save it to look at it.", len(b)), false
	case bytes.HasPrefix(b, []byte(`{\rtf`)):
		return Clean(rtfText(b)), true
	case strings.Contains(t, "html"):
		return strings.TrimSpace(htmlText(decodeText(contentType, b))), true
	case strings.HasSuffix(t, "xml"), utf8.Valid(b) && bytes.HasPrefix(bytes.TrimSpace(b), []byte("<")):
		return xmlText(contentType, b), true
	case strings.HasPrefix(t, "text/") || t == "application/json" || t == "" && utf8.Valid(b):
		return Clean(decodeText(contentType, b)), true
	}
	return fmt.Sprintf("This is a file of the type %s with %d bytes. Save it to look at it.",
		formatName(contentType), len(b)), false
}

// decodeText reads bytes as the charset of the content type, else as UTF-8 if they
// are that, else as Windows-1252.
func decodeText(contentType string, b []byte) string {
	_, params, _ := mime.ParseMediaType(contentType)
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}), bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		return utf16Text(b)
	case strings.EqualFold(params["charset"], "iso-8859-1"), !utf8.Valid(b):
		if s, err := charmap.Windows1252.NewDecoder().Bytes(b); err == nil {
			return string(s)
		}
	}
	return string(bytes.TrimPrefix(b, []byte("\ufeff")))
}

func utf16Text(b []byte) string {
	var u []uint16
	for i := 2; i+1 < len(b); i += 2 {
		lo, hi := b[i], b[i+1]
		if b[0] == 0xfe {
			lo, hi = hi, lo
		}
		u = append(u, uint16(hi)<<8|uint16(lo))
	}
	return string(utf16.Decode(u))
}

// breaking are the elements that end a line.
var breaking = map[string]bool{"p": true, "br": true, "div": true, "li": true, "tr": true, "h1": true, "h2": true,
	"h3": true, "h4": true, "h5": true, "h6": true, "table": true, "ul": true, "ol": true, "pre": true, "hr": true,
	"section": true, "title": true, "item": true, "paragraph": true, "caption": true, "dt": true, "dd": true,
	"blockquote": true, "thead": true, "tbody": true, "list": true}

// htmlText strips the tags of a page; what is between style or script tags goes
// too. It never fails: what looks like no tag is text.
func htmlText(s string) string {
	var b strings.Builder
	verbatim := strings.Contains(strings.ToLower(s), "<pre")
	for len(s) > 0 {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			i = len(s)
		}
		words := s[:i]
		if !verbatim {
			words = oneBlank(words)
		}
		b.WriteString(html.UnescapeString(words))
		if s = s[i:]; s == "" {
			break
		}
		if len(s) < 2 || !tagBegins(s[1]) {
			b.WriteByte('<')
			s = s[1:]
			continue
		}
		s = afterTag(s, &b)
	}
	return Clean(squeezeLines(b.String()))
}

func tagBegins(c byte) bool {
	return c == '/' || c == '!' || c == '?' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// afterTag writes what a tag stands for and returns what follows it.
func afterTag(s string, b *strings.Builder) string {
	if strings.HasPrefix(s, "<!--") {
		_, rest, _ := strings.Cut(s, "-->")
		return rest
	}
	tag, rest, found := strings.Cut(s[1:], ">")
	if !found {
		b.WriteString(s)
		return ""
	}
	name, closing := strings.CutPrefix(strings.ToLower(tag), "/")
	if i := strings.IndexAny(name, " \t\r\n/"); i >= 0 {
		name = name[:i]
	}
	switch {
	case (name == "style" || name == "script" || name == "head") && !closing:
		if end := strings.Index(strings.ToLower(rest), "</"+name); end >= 0 {
			_, rest, _ = strings.Cut(rest[end:], ">")
		}
	case (name == "td" || name == "th") && closing:
		b.WriteString(" | ")
	case breaking[name]:
		b.WriteByte('\n')
	}
	return rest
}

// oneBlank makes every stretch of white space one blank.
func oneBlank(s string) string {
	out := strings.Join(strings.Fields(s), " ")
	if out == "" && s != "" {
		return " "
	}
	if s != "" && strings.ContainsRune(" \t\r\n", rune(s[0])) {
		out = " " + out
	}
	if s != "" && strings.ContainsRune(" \t\r\n", rune(s[len(s)-1])) {
		out += " "
	}
	return out
}

// squeezeLines takes blanks at both ends of lines, bars at their ends and more than
// one empty line away.
func squeezeLines(s string) string {
	var out []string
	empty := true
	for line := range strings.SplitSeq(s, "\n") {
		line = strings.TrimRight(strings.TrimLeft(line, " \t\r"), " \t\r\u00a0")
		line = strings.TrimRight(strings.TrimSuffix(line, "|"), " ")
		if line == "" && empty {
			continue
		}
		empty = line == ""
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// xmlText returns the sections of a clinical document (C-CDA), or the text of any
// other XML.
func xmlText(contentType string, b []byte) string {
	s := decodeText(contentType, b)
	if text, err := ccdaText(s); err == nil {
		return text
	}
	return strings.TrimSpace(htmlText(s))
}

var errNotCDA = errors.New("not a clinical document")

// ccdaText returns the title and the narrative of every section.
func ccdaText(s string) (string, error) {
	d := xml.NewDecoder(strings.NewReader(s))
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // it is UTF-8 by now
	var b strings.Builder
	var path []string
	cda, sections := false, 0
	for {
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			cda = cda || t.Name.Local == "ClinicalDocument"
			if name := t.Name.Local; name == "section" {
				sections++
				b.WriteString("\n\n")
			} else if inNarrative(path) && breaking[strings.ToLower(name)] {
				b.WriteByte('\n')
			}
		case xml.EndElement:
			if (t.Name.Local == "td" || t.Name.Local == "th") && inNarrative(path) {
				b.WriteString(" | ")
			}
			if len(path) > 0 {
				path = path[:len(path)-1]
			}
			if t.Name.Local == "title" || t.Name.Local == "text" {
				b.WriteByte('\n')
			}
		case xml.CharData:
			writeNarrative(&b, path, string(t))
		}
	}
	if !cda || sections == 0 {
		return "", errNotCDA
	}
	return Clean(strings.TrimSpace(squeezeLines(b.String()))), nil
}

// inNarrative reports whether a place is in the readable text of a section.
func inNarrative(path []string) bool {
	in := false
	for _, p := range path {
		in = p == "section" || in && p != "entry"
		if p == "text" && in {
			return true
		}
	}
	return false
}

// writeNarrative writes text that people are to read: titles and narratives.
func writeNarrative(b *strings.Builder, path []string, s string) {
	n := len(path)
	switch {
	case n > 0 && path[n-1] == "title" && n >= 2 && path[n-2] == "section":
		b.WriteString(strings.ToUpper(strings.TrimSpace(s)))
	case n > 0 && path[n-1] == "title" && n == 2:
		b.WriteString(strings.TrimSpace(s))
	case inNarrative(path) && path[n-1] == "text":
		b.WriteString(s) // some write whole notes here, with line breaks
	case inNarrative(path):
		b.WriteString(oneBlank(s))
	}
}
