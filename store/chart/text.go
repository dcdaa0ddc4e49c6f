package chart

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Clean makes foreign text safe for a terminal: control characters and marks that
// turn the direction of writing around become visible signs. Line breaks and tabs
// stay, and so do letters of every script.
func Clean(s string) string {
	if plainASCII(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r == '\r':
			// A line break of other systems; alone it would let text overwrite text.
		case r < 0x20:
			b.WriteRune(0x2400 + r)
		case r == 0x7f:
			b.WriteRune(0x2421)
		case r == 0x2028 || r == 0x2029 || r == 0x85:
			b.WriteByte('\n')
		case hidden(r):
			fmt.Fprintf(&b, "[U+%04X]", r)
		default:
			b.WriteRune(r) // of bytes that are no UTF-8: U+FFFD
		}
	}
	return b.String()
}

// hidden reports whether a character cannot be seen but changes what is seen.
func hidden(r rune) bool {
	return r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 ||
		r >= 0xfff9 && r <= 0xfffb || r >= 0xe0000 && r <= 0xe0fff
}

func plainASCII(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 0x20 && c != '\n' && c != '\t') || c >= 0x7f {
			return false
		}
	}
	return true
}

// CleanLine is Clean on one line: white space becomes single blanks.
func CleanLine(s string) string {
	if lineASCII(s) {
		return s
	}
	return strings.Join(strings.Fields(Clean(s)), " ")
}

// lineASCII reports whether a text is one that CleanLine would not change, for the
// plain ones that most are.
func lineASCII(s string) bool {
	before := byte(' ')
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c >= 0x7f || c == ' ' && before == ' ' {
			return false
		}
		before = c
	}
	return s == "" || before != ' '
}

// single are letters that Unicode does not take apart.
var single = map[rune]string{'ß': "ss", 'ł': "l", 'ø': "o", 'đ': "d", 'æ': "ae", 'œ': "oe",
	'ð': "d", 'þ': "th", 'ı': "i", 'ħ': "h", 'ŧ': "t", 'ς': "σ", 'ŋ': "n"}

// Fold makes text comparable: small letters without accents.
func Fold(s string) string {
	ascii := true
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return strings.ToLower(s)
	}
	var b strings.Builder
	for _, r := range norm.NFKD.String(s) {
		if unicode.Is(unicode.Mn, r) {
			continue
		}
		r = unicode.ToLower(r)
		if out, ok := single[r]; ok {
			b.WriteString(out)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
