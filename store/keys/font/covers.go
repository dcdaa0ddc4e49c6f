package font

import (
	"encoding/binary"
	"sync"
	"unicode"
)

// Lacks returns the characters of a text, each once, that the faces cannot print as they
// are read: those without a sign in "text", and those of scripts that are written from
// right to left, whose letters would stand in the wrong order. It may be called from many
// goroutines.
func Lacks(s string) []rune {
	var list []rune
	seen := map[rune]bool{}
	for _, r := range s {
		if seen[r] || r < 0x80 {
			continue
		}
		seen[r] = true
		if leftward(r) || !covers(r) {
			list = append(list, r)
		}
	}
	return list
}

// leftward tells the letters of scripts that are written from right to left.
func leftward(r rune) bool {
	return unicode.In(r, unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana, unicode.Nko)
}

// covers reports whether both weights of "text" have a sign for a character.
func covers(r rune) bool {
	c := coverage()
	return r >= 0 && r < 0x10000 && c[r/64]&(1<<(r%64)) != 0
}

// coverage is a bit for each character of the basic plane; fpdf prints no others.
var coverage = sync.OnceValue(func() *[1024]uint64 {
	both, other := signs(text), signs(bold)
	for i := range both {
		both[i] &= other[i]
	}
	return both
})

// signs reads which characters a TrueType file has: its table cmap in format 4.
func signs(file []byte) *[1024]uint64 {
	var out [1024]uint64
	u16 := func(at int) int { return int(binary.BigEndian.Uint16(file[at:])) }
	u32 := func(at int) int { return int(binary.BigEndian.Uint32(file[at:])) }
	cmap := 0
	for i := range u16(4) {
		if at := 12 + 16*i; string(file[at:at+4]) == "cmap" {
			cmap = u32(at + 8)
		}
	}
	for i := range u16(cmap + 2) {
		table := cmap + u32(cmap+4+8*i+4)
		if u16(table) != 4 {
			continue
		}
		n := u16(table+6) / 2
		ends, starts, deltas, offsets := table+14, table+16+2*n, table+16+4*n, table+16+6*n
		for k := range n {
			first, last := u16(starts+2*k), u16(ends+2*k)
			for c := first; c <= last && c < 0xffff; c++ {
				glyph := c + u16(deltas+2*k)
				if o := u16(offsets + 2*k); o != 0 {
					if glyph = u16(offsets + 2*k + o + 2*(c-first)); glyph != 0 {
						glyph += u16(deltas + 2*k)
					}
				}
				if glyph&0xffff != 0 {
					out[c/64] |= 1 << (c % 64)
				}
			}
		}
	}
	return &out
}
