package chart

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// skipped are the groups of RTF that hold no text of the document.
var skipped = map[string]bool{"fonttbl": true, "colortbl": true, "stylesheet": true, "info": true, "pict": true,
	"object": true, "themedata": true, "listtable": true, "listoverridetable": true, "generator": true,
	"datastore": true, "latentstyles": true, "rsidtbl": true, "xmlnstbl": true}

// codePages are those in which RTF writes letters as bytes.
var codePages = map[int]*charmap.Charmap{437: charmap.CodePage437, 850: charmap.CodePage850, 852: charmap.CodePage852,
	866: charmap.CodePage866, 1250: charmap.Windows1250, 1251: charmap.Windows1251, 1252: charmap.Windows1252,
	1253: charmap.Windows1253, 1254: charmap.Windows1254, 1255: charmap.Windows1255, 1256: charmap.Windows1256,
	1257: charmap.Windows1257, 1258: charmap.Windows1258}

// deepestGroup is how deep groups of RTF may stand in each other. What is deeper is
// read as if it stood there.
const deepestGroup = 1000

// An rtfReader takes the text out of RTF: enough for notes, not for layout.
type rtfReader struct {
	b     []byte
	out   strings.Builder
	page  *charmap.Charmap // nil: one that we do not read
	skip  []bool           // of each open group: it holds no text
	ucs   []int            // of each open group: how many bytes stand behind a \u for old readers
	over  int              // open groups that are too deep
	after int              // such bytes still to be passed over
	half  rune             // the first half of a letter that is written as two; 0: none
}

// rtfText returns the text of an RTF document.
func rtfText(b []byte) string {
	r := &rtfReader{b: b, page: charmap.Windows1252, skip: []bool{false}, ucs: []int{1}}
	for len(r.b) > 0 {
		r.next()
	}
	return strings.TrimSpace(squeezeLines(r.out.String()))
}

func (r *rtfReader) write(s string) {
	if r.after > 0 {
		r.after--
		return
	}
	if !r.skip[len(r.skip)-1] {
		r.out.WriteString(s)
	}
}

func (r *rtfReader) next() {
	c := r.b[0]
	r.b = r.b[1:]
	switch c {
	case '{':
		if len(r.skip) > deepestGroup {
			r.over++
			return
		}
		r.skip = append(r.skip, r.skip[len(r.skip)-1])
		r.ucs = append(r.ucs, r.ucs[len(r.ucs)-1])
	case '}':
		r.after = 0
		switch {
		case r.over > 0:
			r.over--
		case len(r.skip) > 1:
			r.skip, r.ucs = r.skip[:len(r.skip)-1], r.ucs[:len(r.ucs)-1]
		}
	case '\\':
		r.control()
	case '\r', '\n':
	default:
		r.write(r.letter(c))
	}
}

// letter reads a byte in the code page of the document.
func (r *rtfReader) letter(c byte) string {
	switch {
	case c < utf8.RuneSelf:
		return string(rune(c))
	case r.page == nil:
		return "\ufffd"
	}
	return string(r.page.DecodeByte(c))
}

// control reads what follows a backslash.
func (r *rtfReader) control() {
	if len(r.b) == 0 {
		return
	}
	c := r.b[0]
	if c|0x20 < 'a' || c|0x20 > 'z' {
		r.b = r.b[1:]
		switch c {
		case '\'':
			r.hex()
		case '*':
			r.skip[len(r.skip)-1] = true
		case '~':
			r.write(" ")
		case '_':
			r.write("-")
		case '\\', '{', '}':
			r.write(string(c))
		case '\r', '\n':
			r.write("\n")
		}
		return
	}
	n := 0
	for n < len(r.b) && r.b[n]|0x20 >= 'a' && r.b[n]|0x20 <= 'z' {
		n++
	}
	m := n
	for m < len(r.b) && (r.b[m] == '-' && m == n || r.b[m] >= '0' && r.b[m] <= '9') {
		m++
	}
	name := string(r.b[:n])
	value, err := strconv.Atoi(string(r.b[n:m]))
	r.b = bytes.TrimPrefix(r.b[m:], []byte(" "))
	r.word(name, value, err == nil)
}

func (r *rtfReader) hex() {
	if len(r.b) < 2 {
		r.b = nil
		return
	}
	v, err := strconv.ParseUint(string(r.b[:2]), 16, 8)
	r.b = r.b[2:]
	if err == nil {
		r.write(r.letter(byte(v)))
	}
}

// word does what a control word says.
func (r *rtfReader) word(name string, value int, has bool) {
	switch {
	case skipped[name]:
		r.skip[len(r.skip)-1] = true
	case name == "par" || name == "line" || name == "sect" || name == "page" || name == "row":
		r.write("\n")
	case name == "tab" || name == "cell":
		r.write("\t")
	case name == "emdash" || name == "endash":
		r.write("–")
	case name == "lquote" || name == "rquote":
		r.write("'")
	case name == "ldblquote" || name == "rdblquote":
		r.write(`"`)
	case name == "bullet":
		r.write("•")
	case name == "uc" && has:
		r.ucs[len(r.ucs)-1] = max(0, value)
	case name == "ansicpg" && has:
		r.page = codePages[value]
	case name == "u" && has:
		r.unicode(value)
	case name == "bin" && has:
		r.b = r.b[min(len(r.b), max(0, value)):]
	}
}

// unicode writes a letter that is given by its number; one of the rarer letters is
// given as two numbers.
func (r *rtfReader) unicode(value int) {
	r.after = 0
	c := rune(uint16(value)) // it is written with a sign
	switch {
	case r.half != 0:
		both := utf16.DecodeRune(r.half, c)
		r.half = 0
		r.write(string(both))
		if both == utf8.RuneError && !utf16.IsSurrogate(c) {
			r.write(string(c))
		}
	case utf16.IsSurrogate(c):
		r.half = c
	default:
		r.write(string(c))
	}
	r.after = r.ucs[len(r.ucs)-1]
}
