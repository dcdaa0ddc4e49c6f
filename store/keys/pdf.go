package keys

import (
	"bytes"
	"fmt"

	"codeberg.org/go-pdf/fpdf"
	"rsc.io/qr"

	"chartcellar/store/keys/font"
)

// PDF returns the sheet as one page for A4 and Letter, readable when printed
// in grey: the key as text with check letters and as a QR code.
func (s Sheet) PDF() ([]byte, error) {
	p := font.Document("Recovery sheet", s.Created)
	p.SetMargins(20, 18, 20)
	p.SetAutoPageBreak(false, 0)
	p.AddPage()
	s.pdfHead(p)
	if err := s.pdfKey(p); err != nil {
		return nil, err
	}
	s.pdfFoot(p)
	var buf bytes.Buffer
	if err := p.Output(&buf); err != nil {
		return nil, fmt.Errorf("make the PDF of the recovery sheet: %w", err)
	}
	return buf.Bytes(), nil
}

func (s Sheet) pdfHead(p *fpdf.Fpdf) {
	p.SetFont("text", "B", 22)
	p.CellFormat(170, 10, "Recovery sheet", "", 1, "L", false, 0, "")
	p.SetFont("text", "", 12)
	p.CellFormat(170, 6, s.Practice, "", 1, "L", false, 0, "")
	p.SetFont("text", "", 9)
	p.CellFormat(170, 5, "Made on "+s.Created.Format("2006-01-02")+" by chartcellar. Mirror "+s.Mirror,
		"", 1, "L", false, 0, "")
	p.Ln(4)
	p.SetFont("text", "", 10.5)
	for _, line := range sheetWords {
		p.CellFormat(170, 5.2, line, "", 1, "L", false, 0, "")
	}
	p.Ln(5)
}

// pdfKey draws the key in a frame, the QR code beside it.
func (s Sheet) pdfKey(p *fpdf.Fpdf) error {
	code, err := qr.Encode(s.Recovery.String(), qr.M)
	if err != nil {
		return fmt.Errorf("make the QR code: %w", err)
	}
	top := p.GetY()
	p.SetFont("text", "B", 12)
	p.CellFormat(170, 7, "The recovery key", "", 1, "L", false, 0, "")
	p.SetFont("text", "", 9)
	p.CellFormat(110, 5, "The two letters at the end of a line check that line.", "", 1, "L", false, 0, "")
	p.Ln(2)
	for i, line := range s.Lines() {
		p.SetFont("text", "", 11)
		p.CellFormat(9, 8.5, fmt.Sprintf("%d.", i+1), "", 0, "R", false, 0, "")
		p.SetFont("mono", "", 14)
		p.CellFormat(66, 8.5, "  "+line, "", 0, "L", false, 0, "")
		p.CellFormat(20, 8.5, Check(i+1, line), "1", 1, "C", false, 0, "")
		p.Ln(1.2)
	}
	const size = 56.0
	dot := size / float64(code.Size)
	p.SetFillColor(0, 0, 0)
	for y := range code.Size {
		for x := range code.Size {
			if code.Black(x, y) {
				p.Rect(132+float64(x)*dot, top+6+float64(y)*dot, dot*1.03, dot*1.03, "F")
			}
		}
	}
	p.Ln(6)
	return nil
}

func (s Sheet) pdfFoot(p *fpdf.Fpdf) {
	head := func(t string) {
		p.SetFont("text", "B", 11)
		p.CellFormat(170, 6.5, t, "", 1, "L", false, 0, "")
		p.SetFont("text", "", 9.5)
	}
	line := func(t string) { p.CellFormat(170, 5, t, "", 1, "L", false, 0, "") }
	mono := func(t string) {
		p.SetFont("mono", "", 8)
		p.CellFormat(170, 4.4, t, "", 1, "L", false, 0, "")
		p.SetFont("text", "", 9.5)
	}
	head("To open the copy without chartcellar")
	line("Type the key without spaces and numbers into a file key.txt, then, with the free programs age and zstd:")
	mono("age -d -i key.txt parts/000000/000000000001.ndjson.zst.age | zstd -d")
	p.Ln(4)
	head("If the box is stolen")
	line("Call the EMR vendor and have this program's access revoked.")
	p.Ln(3)
	line("Vendor's telephone ____________________________     Client id ____________________________")
	p.Ln(5)
	head("To check that a copy is this practice's")
	line("SHA-256 of mirror/000001.json")
	mono(s.StatementHash)
	line("Log key")
	mono(s.LogKey)
	for _, r := range s.Recipients {
		line("Encrypted to (" + r.Role + ")")
		mono(r.Key)
	}
}
