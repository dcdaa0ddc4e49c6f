package font

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode"

	"codeberg.org/go-pdf/fpdf"
	opentype "github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/harfbuzz"
	"golang.org/x/text/unicode/norm"
)

// A Pen writes text of any script into a document of Document: each letter in the form
// and at the place that it has beside its neighbours, from right to left where it is read
// so, and such that it is copied out of the file as it was written. What no face has
// stands as a box. A Pen is of one document and one goroutine.
type Pen struct {
	*fpdf.Fpdf
	bold   bool
	inks   map[string]*ink // by the name of the face
	buffer *harfbuzz.Buffer
}

// NewPen returns the pen of a document.
func NewPen(p *fpdf.Fpdf) *Pen {
	return &Pen{Fpdf: p, inks: map[string]*ink{}, buffer: harfbuzz.NewBuffer()}
}

// SetFont chooses a face of the document and its size.
func (p *Pen) SetFont(family, style string, size float64) {
	p.bold = strings.Contains(style, "B")
	p.Fpdf.SetFont(family, style, size)
}

// A glyph is a sign at its place. Measures are in parts of the size of the letters.
type glyph struct {
	code            rune // which sign, in the document
	advance, dx, dy float64
	usual           bool // it stands where signs stand that are written one by one
}

// A stroke is what is written with one face without a break.
type stroke struct {
	plain  string // letters of "text" that need no form; else
	ink    *ink
	glyphs []glyph
}

// strokes are how a line is written, from left to right.
func (p *Pen) strokes(line string) (list []stroke) {
	for _, r := range runs(line) {
		s := string(r.text)
		switch {
		case r.face == nil:
			list = append(list, stroke{plain: strings.Repeat("□", len(r.text))})
		case r.face == text() && !r.left && simple(s):
			list = append(list, stroke{plain: s})
		default:
			k := p.ink(r.face)
			list = append(list, stroke{ink: k, glyphs: p.shape(k, r)})
		}
	}
	return list
}

// ink returns how a face is written in the document at the weight that is chosen.
func (p *Pen) ink(f *face) *ink {
	if f == text() && p.bold {
		f = bold()
	}
	k := p.inks[f.name]
	if k == nil {
		k = newInk(f)
		p.inks[f.name] = k
		p.AddUTF8FontFromBytes(k.name, "", f.coded())
	}
	return k
}

// shape finds the signs of a run.
func (p *Pen) shape(k *ink, r run) (list []glyph) {
	b := p.buffer
	b.Clear()
	b.AddRunes(r.text, 0, -1)
	b.Props.Language, b.Props.Direction = "en", harfbuzz.LeftToRight
	if r.left {
		b.Props.Direction = harfbuzz.RightToLeft
	}
	b.GuessSegmentProperties()
	b.Shape(k.shaper, nil)
	before := len(r.text) // where the letters of the signs at the left begin
	for i := 0; i < len(b.Info); {
		n, c := i+1, b.Info[i].Cluster
		for n < len(b.Info) && b.Info[n].Cluster == c {
			n++
		}
		end := before
		if !r.left {
			if end = len(r.text); n < len(b.Info) {
				end = b.Info[n].Cluster
			}
		}
		list = append(list, k.cluster(b.Info[i:n], b.Pos[i:n], r.text[c:max(c, end)], r.left)...)
		i, before = n, c
	}
	return list
}

// cluster returns signs that stand for some letters together, and says of each sign for
// which, so that the letters are copied out in the order in which they were written:
// who reads a file takes signs from left to right, and from right to left what is read so.
func (k *ink) cluster(info []harfbuzz.GlyphInfo, pos []harfbuzz.GlyphPosition, letters []rune, left bool) (list []glyph) {
	signs := make([]int, 0, len(info)) // those that take room, as they are read
	for i := range info {
		if pos[i].XAdvance > 0 {
			signs = append(signs, i)
		}
	}
	if len(signs) == 0 {
		signs = append(signs, 0)
	}
	if left {
		slices.Reverse(signs)
	}
	if len(letters) < len(signs) { // a vowel on both sides of a letter
		letters = []rune(norm.NFD.String(string(letters)))
	}
	means := make([]string, len(info))
	for _, i := range signs[:min(len(signs), len(letters))] {
		means[i], letters = string(letters[0]), letters[1:]
	}
	last := signs[len(signs)-1]
	em := float64(k.face.shape.Upem())
	for i, g := range info {
		if i == last && !left {
			means[i] += string(letters)
		}
		for j := len(letters) - 1; i == last && left && j >= 0; j-- { // one unseen sign for each: readers differ in how they turn several
			list = append(list, glyph{code: k.code(k.blank, string(letters[j]))})
		}
		at := pos[i]
		list = append(list, glyph{code: k.code(g.Glyph, means[i]), advance: float64(at.XAdvance) / em, dx: float64(at.XOffset) / em, dy: float64(at.YOffset) / em,
			usual: at.XOffset == 0 && at.YOffset == 0 && float32(at.XAdvance) == k.natural.HorizontalAdvance(g.Glyph)})
	}
	return list
}

// GetStringWidth returns how wide a line is.
func (p *Pen) GetStringWidth(line string) float64 {
	if simple(line) {
		return p.Fpdf.GetStringWidth(line)
	}
	_, size := p.GetFontSize()
	w := 0.0
	for _, s := range p.strokes(line) {
		if s.ink == nil {
			w += p.Fpdf.GetStringWidth(s.plain)
		}
		for _, g := range s.glyphs {
			w += g.advance * size
		}
	}
	return w
}

// CellFormat is that of fpdf, for text that stands at the left.
func (p *Pen) CellFormat(w, h float64, line, border string, ln int, align string, fill bool, link int, address string) {
	if simple(line) || strings.ContainsAny(align, "RC") {
		p.Fpdf.CellFormat(w, h, line, border, ln, align, fill, link, address)
		return
	}
	x, y := p.GetXY()
	p.Fpdf.CellFormat(w, h, "", border, ln, align, fill, link, address)
	_, size := p.GetFontSize()
	p.write(x+p.GetCellMargin(), y+.5*h+.3*size, line)
}

// write puts a line on its base.
func (p *Pen) write(x, y float64, line string) {
	family, style := p.GetFontFamily(), p.GetFontStyle()
	points, size := p.GetFontSize()
	for _, s := range p.strokes(line) {
		if s.ink == nil {
			p.Text(x, y, s.plain)
			x += p.Fpdf.GetStringWidth(s.plain)
			continue
		}
		p.Fpdf.SetFont(s.ink.name, "", points)
		heavy := p.bold && s.ink.face != bold()
		line := p.GetLineWidth()
		if heavy { // a face of one weight
			p.SetLineWidth(size * 0.025)
			p.SetTextRenderingMode(2)
		}
		for rest := s.glyphs; len(rest) > 0; {
			n := 1 // those that follow each other as usual are written at once
			for n < len(rest) && rest[n-1].usual && rest[n].usual {
				n++
			}
			var codes strings.Builder
			x0 := x + rest[0].dx*size
			for _, g := range rest[:n] {
				codes.WriteRune(g.code)
				x += g.advance * size
			}
			p.Text(x0, y-rest[0].dy*size, codes.String())
			rest = rest[n:]
		}
		if heavy {
			p.SetTextRenderingMode(0)
			p.SetLineWidth(line)
		}
		p.Fpdf.SetFont(family, style, points)
	}
}

// SplitText breaks a text into lines that are no wider than w with its margins.
func (p *Pen) SplitText(s string, w float64) []string {
	if simple(s) {
		return p.Fpdf.SplitText(s, w)
	}
	w -= 2 * p.GetCellMargin()
	var lines []string
	for para := range strings.SplitSeq(strings.TrimRight(s, "\n"), "\n") {
		lines = append(lines, p.fill(para, w)...)
	}
	return lines
}

// fill breaks one paragraph.
func (p *Pen) fill(para string, w float64) (lines []string) {
	line, wide, space, at := "", 0.0, p.Fpdf.GetStringWidth(" "), 0
	next := func() { lines, line, wide = append(lines, line), goesOn(para[:at]), 0 }
	for i, word := range strings.Split(para, " ") {
		width := p.GetStringWidth(word)
		switch {
		case i == 0:
		case wide+space+width <= w:
			line, wide = line+" ", wide+space
			at++
		default:
			at++
			next()
		}
		for width > w {
			n := p.fits(word, w)
			line, word, at = line+word[:n], word[n:], at+n
			next()
			width = p.GetStringWidth(word)
		}
		line, wide, at = line+word, wide+width, at+len(word)
	}
	return append(lines, line)
}

// goesOn is what a line begins with that goes on behind a text: in the same direction.
func goesOn(text string) string {
	for _, s := range separators {
		text = text[strings.LastIndex(text, s)+1:]
	}
	if leftward(text) {
		return "\u200f"
	}
	return ""
}

// fits returns how many bytes of a word fit on a line, at least one letter with its marks.
func (p *Pen) fits(word string, w float64) int {
	head := []rune(word[:min(len(word), 2000)])
	n := len(head)
	for n > 1 {
		if wide := p.GetStringWidth(string(head[:n])); wide > w {
			n = min(n-1, max(1, int(float64(n)*w/wide)))
			continue
		}
		break
	}
	for n > 1 && n < len(head) && unicode.In(head[n], unicode.M, unicode.Cf) {
		n--
	}
	return max(1, len(string(head[:n])))
}

// The codes of signs in a document are this range, several for each sign: a code says also
// which letters the sign stands for.
const firstCode, lastCode = 0x1000, 0xd7ff

// An ink is a face in a document.
type ink struct {
	name    string // in the document
	face    *face
	shaper  *harfbuzz.Font
	natural *opentype.Face
	blank   opentype.GID // a sign that takes no room and is not seen
	codes   map[meaning]rune
	taken   map[opentype.GID]int
	letters map[rune]string // by code
}

// A meaning is a sign and the letters that it stands for.
type meaning struct {
	sign    opentype.GID
	letters string
}

func newInk(f *face) *ink {
	natural := opentype.NewFace(f.shape)
	blank, _ := natural.NominalGlyph('\u200b')
	return &ink{name: strings.ToLower(f.name), face: f, natural: natural, blank: blank, shaper: harfbuzz.NewFont(natural),
		codes: map[meaning]rune{}, taken: map[opentype.GID]int{}, letters: map[rune]string{}}
}

// rows is how many codes a sign of the face has.
func (f *face) rows() int { return (lastCode - firstCode + 1) / f.signs }

// code returns the code of a sign that stands for some letters. When a sign has stood for
// more different letters than it has codes, the last one is used again: it is printed
// right all the same.
func (k *ink) code(sign opentype.GID, letters string) rune {
	m := meaning{sign, letters}
	if c, ok := k.codes[m]; ok {
		return c
	}
	row := min(k.taken[sign], k.face.rows()-1)
	k.taken[sign]++
	c := rune(firstCode + row*k.face.signs + int(sign))
	if _, ok := k.letters[c]; !ok {
		k.letters[c] = letters
	}
	k.codes[m] = c
	return c
}

// coded returns the file of the face with the codes in the place of letters (its table
// cmap, format 4).
func (f *face) coded() []byte {
	rows := f.rows()
	var ends, starts, deltas []uint16
	for i := range rows {
		first := firstCode + i*f.signs
		starts, ends, deltas = append(starts, uint16(first)), append(ends, uint16(first+f.signs-1)), append(deltas, uint16(0x10000-first))
	}
	starts, ends, deltas = append(starts, 0xffff), append(ends, 0xffff), append(deltas, 1)
	words := []uint16{0, 1, 3, 1, 0, 12, 4, uint16(16 + 8*len(ends)), 0, uint16(2 * len(ends)), 0, 0, 0}
	words = slices.Concat(words, ends, []uint16{0}, starts, deltas, make([]uint16, len(ends)))
	out := slices.Clone(f.file)
	for len(out)%4 != 0 {
		out = append(out, 0)
	}
	entry, _ := f.table("cmap")
	binary.BigEndian.PutUint32(out[entry+8:], uint32(len(out)))
	binary.BigEndian.PutUint32(out[entry+12:], uint32(2*len(words)))
	for _, w := range words {
		out = binary.BigEndian.AppendUint16(out, w)
	}
	return out
}
