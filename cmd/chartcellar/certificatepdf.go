package main

import (
	"bytes"
	"fmt"
	"time"

	"codeberg.org/go-pdf/fpdf"

	"chartcellar/store/keys/font"
)

// certificatePDF makes the certificate as one page, for A4 and Letter, readable
// in grey. Rows shrink so that any number of types stays on the page.
func certificatePDF(c signedCertificate) ([]byte, error) {
	p := newPage("Completeness certificate", c.Ended)
	line := func(style string, size, height float64, text string) {
		p.SetFont("text", style, size)
		p.CellFormat(170, height, text, "", 1, "L", false, 0, "")
	}
	line("B", 20, 10, "Completeness certificate")
	line("", 12, 6, c.Practice)
	line("", 9.5, 5.5, fmt.Sprintf("EMR %q (%s), run %d, %s to %s", c.Source, c.Server, c.Run,
		c.Started.Local().Format("2006-01-02 15:04"), c.Ended.Local().Format("2006-01-02 15:04")))
	p.Ln(1)
	p.SetFont("text", "B", 11)
	p.MultiCell(170, 5.5, verdictWords[c.Verdict], "", "L", false)
	p.Ln(2)
	c.table(p)
	p.Ln(3)
	p.SetFont("text", "", 8.5)
	facts := certificateFacts(c)
	for _, f := range facts[:len(facts)-2] {
		p.MultiCell(170, 4.4, f, "", "L", false)
	}
	p.SetFont("mono", "", 7)
	for _, f := range facts[len(facts)-2:] {
		p.CellFormat(170, 4, f, "", 1, "L", false, 0, "")
	}
	var buf bytes.Buffer
	if err := p.Output(&buf); err != nil {
		return nil, fmt.Errorf("make the PDF of the certificate: %w", err)
	}
	return buf.Bytes(), nil
}

// newPage begins a document of one page.
func newPage(title string, at time.Time) *fpdf.Fpdf {
	p := font.Document(title, at)
	p.SetMargins(20, 16, 20)
	p.SetAutoPageBreak(true, 16)
	p.AddPage()
	return p
}

// sentencesPDF makes a page of a title and some sentences.
func sentencesPDF(title, practice string, at time.Time, lines []string) ([]byte, error) {
	p := newPage(title, at)
	p.SetFont("text", "B", 18)
	p.MultiCell(170, 9, title, "", "L", false)
	p.SetFont("text", "", 12)
	p.CellFormat(170, 8, practice, "", 1, "L", false, 0, "")
	p.Ln(3)
	p.SetFont("text", "", 10.5)
	for _, l := range lines {
		p.MultiCell(170, 6, l, "", "L", false)
	}
	var buf bytes.Buffer
	if err := p.Output(&buf); err != nil {
		return nil, fmt.Errorf("make the PDF: %w", err)
	}
	return buf.Bytes(), nil
}

// table draws the rows in the space that is left for them.
func (c signedCertificate) table(p *fpdf.Fpdf) {
	height := min(5, 190/float64(len(c.Types)+2))
	p.SetFont("text", "B", height*1.7)
	widths := []float64{44, 17, 17, 13, 79}
	row := func(cells ...string) {
		for i, text := range cells {
			align := "R"
			if i == 0 || i == 4 {
				align = "L"
			}
			if i == 4 {
				text = "  " + fit(p, text, widths[i]-4)
			}
			p.CellFormat(widths[i], height, text, "B", 0, align, false, 0, "")
		}
		p.Ln(height)
	}
	row("Type", "EMR has", "is here", "diff", "how that was found; remarks")
	p.SetFont("text", "", height*1.7)
	for _, t := range c.Types {
		emr, diff := "?", ""
		if t.EMR >= 0 {
			emr, diff = fmt.Sprint(t.EMR), fmt.Sprint(t.Difference)
		}
		words := basisWords[t.Basis]
		if r := remark(t); r != "" {
			words = oneLine(r)
		}
		row(t.Type, emr, fmt.Sprint(t.Here), diff, words)
	}
	p.SetFont("text", "B", height*1.7)
	row("all", "", fmt.Sprint(c.Records), "", "")
}

// fit shortens a text to a width.
func fit(p *fpdf.Fpdf, text string, width float64) string {
	if p.GetStringWidth(text) <= width {
		return text
	}
	runes := []rune(text)
	for len(runes) > 0 && p.GetStringWidth(string(runes)+"…") > width {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}
