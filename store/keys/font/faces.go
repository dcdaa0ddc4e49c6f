package font

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/binary"
	"io"
	"sync"
	"unicode"

	opentype "github.com/go-text/typesetting/font"
	"golang.org/x/text/unicode/bidi"
)

//go:embed *.ttf.gz
var files embed.FS

// A face is one typeface.
type face struct {
	name  string // the file's
	file  []byte // TrueType
	shape *opentype.Font
	signs int // how many it has
}

// open returns a face, which is read once it is needed.
func open(name string) func() *face {
	return sync.OnceValue(func() *face {
		f := &face{name: name}
		packed, err := files.ReadFile(name + ".ttf.gz")
		if err == nil {
			var z *gzip.Reader
			if z, err = gzip.NewReader(bytes.NewReader(packed)); err == nil {
				f.file, err = io.ReadAll(z)
			}
		}
		var parsed *opentype.Face
		if err == nil {
			parsed, err = opentype.ParseTTF(bytes.NewReader(f.file))
		}
		if err != nil {
			panic("face " + name + ": " + err.Error()) // it is in the program
		}
		f.shape = parsed.Font
		_, maxp := f.table("maxp")
		f.signs = int(binary.BigEndian.Uint16(f.file[maxp+4:]))
		return f
	})
}

// The faces. Those of other have one weight.
var (
	text  = open("DejaVuSansCondensed")
	bold  = open("DejaVuSansCondensed-Bold")
	mono  = open("DejaVuSansMono")
	other = []func() *face{open("NotoSansDevanagari"), open("NotoSansBengali"), open("NotoSansGujarati"), open("NotoSansGurmukhi"),
		open("NotoSansTamil"), open("NotoSansTelugu"), open("NotoSansKannada"), open("NotoSansMalayalam"),
		open("NotoSansThai"), open("NotoSansLao"), open("NotoSansKhmer")}
)

// table returns where a table is named in the file and where it stands.
func (f *face) table(name string) (entry, at int) {
	for i := range int(binary.BigEndian.Uint16(f.file[4:])) {
		entry := 12 + 16*i
		if string(f.file[entry:entry+4]) == name {
			return entry, int(binary.BigEndian.Uint32(f.file[entry+8:]))
		}
	}
	panic("face " + f.name + " has no table " + name)
}

func (f *face) covers(r rune) bool {
	_, ok := f.shape.NominalGlyph(r)
	return ok
}

// common reports whether both weights of "text" have a sign for a character.
func common(r rune) bool { return text().covers(r) && bold().covers(r) }

// faceOf returns the face for a character that stands behind one in the face before; nil:
// none has it.
func faceOf(r rune, before *face) *face {
	if before != nil && before.covers(r) && (unicode.In(r, unicode.Inherited, unicode.Cf) || !common(r)) {
		return before
	}
	if common(r) {
		return text()
	}
	for _, open := range other {
		if f := open(); f.covers(r) {
			return f
		}
	}
	if unseen(r) {
		return before
	}
	return nil
}

// unseen tells what has no sign of its own: joiners and marks of direction.
func unseen(r rune) bool { return r >= 0x200b && r <= 0x200f || r == 0x2060 || r == 0xfeff }

// Lacks returns the characters of a text, each once, that no face can print. It may be
// called from many goroutines.
func Lacks(s string) []rune {
	var list []rune
	seen := map[rune]bool{}
	for _, r := range s {
		if r < 0x80 || seen[r] {
			continue
		}
		seen[r] = true
		if faceOf(r, nil) == nil && !unseen(r) {
			list = append(list, r)
		}
	}
	return list
}

// simple reports whether a text can be written letter by letter from left to right.
func simple(s string) bool {
	for _, r := range s {
		if r < 0x80 {
			continue
		}
		p, _ := bidi.LookupRune(r)
		switch p.Class() {
		case bidi.R, bidi.AL, bidi.AN, bidi.NSM, bidi.BN:
			return false
		}
		if r > 0xffff || unseen(r) || !common(r) {
			return false
		}
	}
	return true
}
