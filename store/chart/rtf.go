package chart

import (
	"bytes"
	"strconv"
	"strings"

	"golang.org/x/text/encoding/charmap"
)

// skipped are the groups of RTF that hold no text of the document.
var skipped = map[string]bool{"fonttbl": true, "colortbl": true, "stylesheet": true, "info": true, "pict": true,
	"object": true, "themedata": true, "listtable": true, "listoverridetable": true, "generator": true,
	"datastore": true, "latentstyles": true, "rsidtbl": true, "xmlnstbl": true}

// An rtfReader takes the text out of RTF: enough for notes, not for layout.
type rtfReader struct {
	b     []byte
	out   strings.Builder
	skip  []bool // of each open group: it holds no text
	ucs   []int  // of each open group: how many bytes stand behind a \u for old readers
	after int    // such bytes still to be passed over
}

// rtfText returns the text of an RTF document.
func rtfText(b []byte) string {
	r := &rtfReader{b: b, skip: []bool{false}, ucs: []int{1}}
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
		r.skip = append(r.skip, r.skip[len(r.skip)-1])
		r.ucs = append(r.ucs, r.ucs[len(r.ucs)-1])
	case '}':
		if len(r.skip) > 1 {
			r.skip, r.ucs = r.skip[:len(r.skip)-1], r.ucs[:len(r.ucs)-1]
		}
		r.after = 0
	case '\\':
		r.control()
	case '\r', '\n':
	default:
		r.write(latin(c))
	}
}

// latin reads a byte as Windows-1252, the usual code page of RTF.
func latin(c byte) string { return string(charmap.Windows1252.DecodeByte(c)) }

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
		r.write(latin(byte(v)))
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
	case name == "u" && has:
		r.after = 0
		if value < 0 {
			value += 65536
		}
		r.write(string(rune(value)))
		r.after = r.ucs[len(r.ucs)-1]
	case name == "bin" && has:
		r.b = r.b[min(len(r.b), max(0, value)):]
	}
}
