// Package font holds the typefaces of what is printed: DejaVu, whose licence is
// beside them. They cover the scripts of most names; what they lack prints as an
// empty box.
package font

import (
	_ "embed"
	"time"

	"codeberg.org/go-pdf/fpdf"
)

// The faces, as TrueType files.
var (
	//go:embed DejaVuSansCondensed.ttf
	text []byte
	//go:embed DejaVuSansCondensed-Bold.ttf
	bold []byte
	//go:embed DejaVuSansMono.ttf
	mono []byte
)

// Document returns an A4 document, in millimetres and still without a page, that
// has the faces "text", also as "B", and "mono". The same content made at the
// same time gives the same bytes.
func Document(title string, at time.Time) *fpdf.Fpdf {
	p := fpdf.New("P", "mm", "A4", "")
	p.SetCreationDate(at)
	p.SetModificationDate(at)
	p.SetCatalogSort(true)
	p.SetTitle(title, true)
	p.AddUTF8FontFromBytes("text", "", text)
	p.AddUTF8FontFromBytes("text", "B", bold)
	p.AddUTF8FontFromBytes("mono", "", mono)
	return p
}
