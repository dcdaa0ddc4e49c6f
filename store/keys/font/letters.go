package font

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf16"
)

// Output writes the document.
//
// fpdf says of each code that it is the letter of that number. What the codes of the pen
// stand for is written behind the document, as a later state of it (PDF 32000-1, 7.5.6).
func (p *Pen) Output(w io.Writer) error {
	var b bytes.Buffer
	if err := p.Fpdf.Output(&b); err != nil {
		return err
	}
	later, err := p.later(b.Bytes())
	if err != nil {
		return err
	}
	b.Write(later)
	_, err = w.Write(b.Bytes())
	return err
}

var (
	named   = regexp.MustCompile(`/BaseFont /utf8(\S+)\n/Encoding /Identity-H\n/DescendantFonts \[\d+ 0 R\]\n/ToUnicode (\d+) 0 R>>`)
	trailer = regexp.MustCompile(`(?s)\ntrailer\n<<\n(.*)>>\nstartxref\n(\d+)\n%%EOF\n$`)
)

// later returns what is to stand behind a document; nothing if it has no codes.
func (p *Pen) later(doc []byte) ([]byte, error) {
	if len(p.inks) == 0 {
		return nil, nil
	}
	var out, table bytes.Buffer
	for _, m := range named.FindAllSubmatch(doc, -1) {
		for _, k := range p.inks {
			if k.name != string(m[1]) {
				continue
			}
			n, err := strconv.Atoi(string(m[2]))
			if err != nil {
				return nil, fmt.Errorf("read the document: %w", err)
			}
			fmt.Fprintf(&table, "%d 1\n%010d 00000 n \n", n, len(doc)+out.Len())
			text := k.toUnicode()
			fmt.Fprintf(&out, "%d 0 obj\n<</Length %d>>\nstream\n%s\nendstream\nendobj\n", n, len(text), text)
		}
	}
	end := trailer.FindSubmatch(doc[max(0, len(doc)-2000):])
	if end == nil || table.Len() == 0 {
		return nil, errors.New("the document does not end as it should")
	}
	at := len(doc) + out.Len()
	fmt.Fprintf(&out, "xref\n%strailer\n<<\n%s/Prev %s\n>>\nstartxref\n%d\n%%%%EOF\n", table.Bytes(), end[1], end[2], at)
	return out.Bytes(), nil
}

// toUnicode says which letters the codes stand for (PDF 32000-1, 9.10.3).
func (k *ink) toUnicode() string {
	var b bytes.Buffer
	b.WriteString("/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CIDSystemInfo\n<</Registry (Adobe)\n/Ordering (UCS)\n/Supplement 0\n>> def\n" +
		"/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n")
	for part := range slices.Chunk(slices.Sorted(maps.Keys(k.letters)), 100) {
		fmt.Fprintf(&b, "%d beginbfchar\n", len(part))
		for _, c := range part {
			fmt.Fprintf(&b, "<%04X> <", c)
			for _, u := range utf16.Encode([]rune(k.letters[c])) {
				fmt.Fprintf(&b, "%04X", u)
			}
			b.WriteString(">\n")
		}
		b.WriteString("endbfchar\n")
	}
	b.WriteString("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend")
	return b.String()
}
