package chart

import (
	"encoding/binary"
	"strconv"
	"unicode/utf8"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// appendFolded appends text as Fold writes it. If it is the text of JSON, escapes
// in it are read; what stands for white space becomes a blank.
func appendFolded(dst, src []byte, isJSON bool) []byte {
	for i := 0; i < len(src); {
		for i+8 <= len(src) {
			x := binary.LittleEndian.Uint64(src[i:])
			if x&highs != 0 || hasByte(x, 0x7f) || isJSON && hasByte(x, '\\') || !isJSON && hasControl(x) {
				break
			}
			dst = binary.LittleEndian.AppendUint64(dst, lower(x))
			i += 8
		}
		if i == len(src) {
			break
		}
		switch c := src[i]; {
		case c == '\\' && isJSON:
			dst, i = appendEscape(dst, src, i)
		case c == '\n':
			dst = append(dst, c)
			i++
		case c < 0x20 || c == 0x7f:
			dst = appendShown(dst, src[i:i+1])
			i++
		case c < utf8.RuneSelf:
			if c >= 'A' && c <= 'Z' {
				c |= 0x20
			}
			dst = append(dst, c)
			i++
		default:
			from := i
			for i < len(src) && src[i] >= utf8.RuneSelf {
				i++
			}
			dst = appendShown(dst, src[from:i])
		}
	}
	return dst
}

// appendShown appends text as it is shown, folded: see Clean.
func appendShown(dst, text []byte) []byte { return append(dst, Fold(Clean(string(text)))...) }

// lower makes the capitals among eight ASCII bytes small.
func lower(x uint64) uint64 {
	from := x + (0x80-'A')*ones     // high bit: at least 'A'
	behind := x + (0x80-'Z'-1)*ones // high bit: behind 'Z'
	return x | (from&^behind&highs)>>2
}

// hasByte reports whether one of eight bytes is c.
func hasByte(x uint64, c byte) bool {
	x ^= ones * uint64(c)
	return (x-ones)&^x&highs != 0
}

// hasControl reports whether one of eight ASCII bytes is less than a blank.
func hasControl(x uint64) bool { return (x-ones*0x20)&^x&highs != 0 }

// appendEscape appends what the escape at i stands for and returns the place
// behind it.
func appendEscape(dst, src []byte, i int) ([]byte, int) {
	if i+1 >= len(src) {
		return append(dst, ' '), i + 1
	}
	switch c := src[i+1]; c {
	case 'n', 't':
		return append(dst, ' '), i + 2
	case 'r':
		return dst, i + 2 // see Clean
	case 'b':
		return append(dst, "\u2408"...), i + 2
	case 'f':
		return append(dst, "\u240c"...), i + 2
	case 'u':
		from := i
		for i+6 <= len(src) && src[i] == '\\' && src[i+1] == 'u' {
			i += 6
		}
		if s, err := strconv.Unquote(`"` + string(src[from:i]) + `"`); err == nil && i > from {
			return appendShown(dst, []byte(s)), i
		}
		return appendSurrogates(dst, src, from, i)
	default:
		return append(dst, c), i + 2
	}
}

// appendSurrogates appends escapes that strconv does not read, such as pairs of
// surrogates.
func appendSurrogates(dst, src []byte, from, to int) ([]byte, int) {
	if to == from {
		return append(dst, ' '), from + 2
	}
	s := stringOf(append(append([]byte{'"'}, src[from:to]...), '"'))
	return appendShown(dst, []byte(s)), to
}
