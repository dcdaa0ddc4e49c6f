package chart

import (
	"bytes"
	"fmt"
	"mime"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/text/encoding/charmap"
)

// mediaType returns a content type without its parameters, in small letters.
func mediaType(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// Text returns a document as readable text; ok is false if it is of a kind that
// is not text, and the text then says what it is. The bytes decide of which kind it
// is, not the content type.
func Text(contentType string, b []byte) (s string, ok bool) {
	switch k := KindOf(contentType, b); k {
	case RTF:
		return Clean(rtfText(b)), true
	case ClinicalDocument:
		return clinicalText(DecodeText(contentType, b)), true
	case WebPage, XML, Drawing:
		return strings.TrimSpace(htmlText(DecodeText(contentType, b))), true
	case PlainText:
		return Clean(DecodeText(contentType, b)), true
	case Empty:
		return "This file is empty.", false
	case Other:
		return fmt.Sprintf("This is a file of the type %s with %d bytes. Save it to look at it.", FormatName(contentType), len(b)), false
	default:
		return fmt.Sprintf("This is %s of %d bytes. Save it to look at it.", k.Words(), len(b)), false
	}
}

// DecodeText reads bytes as the charset of the content type, else as UTF-8 if they
// are that, else as Windows-1252.
func DecodeText(contentType string, b []byte) string {
	_, params, _ := mime.ParseMediaType(contentType)
	switch {
	case wide(b):
		return utf16Text(b)
	case strings.EqualFold(params["charset"], "iso-8859-1"), !utf8.Valid(b):
		if s, err := charmap.Windows1252.NewDecoder().Bytes(b); err == nil {
			return string(s)
		}
	}
	return string(bytes.TrimPrefix(b, []byte("\ufeff")))
}

// wide reports whether bytes are UTF-16 and say so.
func wide(b []byte) bool {
	return bytes.HasPrefix(b, []byte{0xff, 0xfe}) || bytes.HasPrefix(b, []byte{0xfe, 0xff})
}

func utf16Text(b []byte) string {
	u := make([]uint16, 0, len(b)/2)
	for i := 2; i+1 < len(b); i += 2 {
		lo, hi := b[i], b[i+1]
		if b[0] == 0xfe {
			lo, hi = hi, lo
		}
		u = append(u, uint16(hi)<<8|uint16(lo))
	}
	return string(utf16.Decode(u))
}

// readHTML takes HTML or XHTML apart. It never fails: what looks like no tag is
// text.
func readHTML(s string, to sink) {
	z := html.NewTokenizer(strings.NewReader(s))
	for {
		switch z.Next() {
		case html.ErrorToken: // the end
			if rest := string(z.Raw()); !strings.HasPrefix(rest, "<!") && !strings.HasPrefix(rest, "<?") {
				to.words(rest) // a tag that is never closed
			}
			return
		case html.TextToken:
			to.words(string(z.Text()))
		case html.StartTagToken:
			to.start(readTag(z, false))
		case html.SelfClosingTagToken:
			to.start(readTag(z, true))
			z.NextIsNotRawText()
		case html.EndTagToken:
			name, _ := z.TagName()
			to.end(string(name))
		}
	}
}

// readTag reads the tag at which a tokenizer stands.
func readTag(z *html.Tokenizer, empty bool) tag {
	name, more := z.TagName()
	t := tag{name: string(name), empty: empty}
	switch t.name {
	case "iframe", "noembed", "noframes", "noscript", "plaintext", "xmp":
		z.NextIsNotRawText() // their tags are tags like all others
	}
	for more {
		var name, value []byte
		name, value, more = z.TagAttr()
		t.set(string(name), string(value))
	}
	return t
}

// breaking are the elements that end a line.
var breaking = map[string]bool{"p": true, "br": true, "div": true, "li": true, "tr": true, "h1": true, "h2": true,
	"h3": true, "h4": true, "h5": true, "h6": true, "table": true, "ul": true, "ol": true, "pre": true, "hr": true,
	"section": true, "title": true, "item": true, "paragraph": true, "caption": true, "dt": true, "dd": true,
	"blockquote": true, "thead": true, "tbody": true, "list": true}

// rows are those of them between which no line stays empty.
var rows = map[string]bool{"li": true, "item": true, "tr": true, "caption": true, "thead": true, "tbody": true,
	"dt": true, "dd": true}

// A textWriter is a sink that writes text.
type textWriter struct {
	out      strings.Builder
	last     byte // that was written
	quiet    int  // open elements that are not read
	verbatim int  // open elements in which white space counts
}

func (w *textWriter) write(s string) {
	if s != "" && w.quiet == 0 {
		w.out.WriteString(s)
		w.last = s[len(s)-1]
	}
}

func (w *textWriter) start(t tag) {
	w.breakAt(t.name)
	switch {
	case t.empty:
	case silent[t.name]:
		w.quiet++
	case t.name == "pre":
		w.verbatim++
	}
}

// breakAt ends the line where an element begins or ends.
func (w *textWriter) breakAt(name string) {
	if breaking[name] && !(rows[name] && w.last == '\n') {
		w.write("\n")
	}
}

func (w *textWriter) end(name string) {
	switch {
	case silent[name]:
		w.quiet = max(0, w.quiet-1)
	case name == "td" || name == "th":
		w.write(" | ")
	case name == "pre":
		w.verbatim = max(0, w.verbatim-1)
	}
	if name != "br" && name != "hr" {
		w.breakAt(name)
	}
}

func (w *textWriter) words(s string) {
	if w.verbatim == 0 {
		s = oneBlank(s)
	}
	w.write(s)
}

// text returns what was written.
func (w *textWriter) text() string { return Clean(squeezeLines(w.out.String())) }

// htmlText returns the words of HTML or XHTML.
func htmlText(s string) string {
	var w textWriter
	readHTML(s, &w)
	return w.text()
}

// blank are the characters that markup takes for white space.
const blank = " \t\r\n\f"

// oneBlank makes every stretch of white space one blank.
func oneBlank(s string) string {
	out := strings.Join(strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(blank, r) }), " ")
	if out == "" && s != "" {
		return " "
	}
	if s != "" && strings.ContainsRune(blank, rune(s[0])) {
		out = " " + out
	}
	if s != "" && strings.ContainsRune(blank, rune(s[len(s)-1])) {
		out += " "
	}
	return out
}

// squeezeLines takes blanks at both ends of lines, bars at their ends and more than
// one empty line away.
func squeezeLines(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	empty, first := true, true
	for line := range strings.SplitSeq(s, "\n") {
		line = strings.TrimRight(strings.TrimLeft(line, " \t\r"), " \t\r\u00a0")
		line = strings.TrimRight(strings.TrimSuffix(line, "|"), " ")
		if line == "" && empty {
			continue
		}
		if empty = line == ""; !first {
			b.WriteByte('\n')
		}
		first = false
		b.WriteString(line)
	}
	return b.String()
}
