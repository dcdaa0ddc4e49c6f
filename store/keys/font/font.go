// Package font holds the typefaces of what is printed, and writes text with them: DejaVu
// for the scripts of most names, Noto for those of India and South-East Asia. The
// licences are beside them; hints for screens are cut off all. Chinese, Japanese and
// Korean would take 20 MB and are not here: Lacks says what cannot be printed.
package font

import (
	"slices"
	"time"

	"codeberg.org/go-pdf/fpdf"
)

// Document returns an A4 document, in millimetres and still without a page, that
// has the faces "text", also as "B", and "mono". The same content made at the
// same time gives the same bytes. Text of any script is written with a Pen.
func Document(title string, at time.Time) *fpdf.Fpdf {
	p := fpdf.New("P", "mm", "A4", "")
	p.SetCreationDate(at)
	p.SetModificationDate(at)
	p.SetCatalogSort(true)
	p.SetTitle(title, true)
	p.AddUTF8FontFromBytes("text", "", slices.Clone(text().file)) // fpdf writes into it
	p.AddUTF8FontFromBytes("text", "B", slices.Clone(bold().file))
	p.AddUTF8FontFromBytes("mono", "", slices.Clone(mono().file))
	return p
}
