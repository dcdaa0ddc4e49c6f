package patientfile

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"chartcellar/store/chart"
	"chartcellar/store/keys/font"
)

// The measures of a page, in millimetres: A4, narrow enough for Letter.
const (
	left, wide  = 17, 176
	top, bottom = 30, 262 // between which a page is filled
	lineHeight  = 4.1
)

// A page is a PDF that is being written. Everything on it is black or grey.
type page struct {
	*font.Pen
	name, facts string // who it is about, on top of each page
	foot        string
	lacks       map[rune]bool // what stood in the texts and cannot be printed
}

func newPage(c *Cover, name, facts, foot string) *page {
	p := &page{Pen: font.NewPen(font.Document(foot, c.Made)), name: name, facts: facts, foot: foot, lacks: map[rune]bool{}}
	p.SetMargins(left, top, left)
	p.SetAutoPageBreak(false, 0) // a row is never cut in two lines' middle: see room
	p.AliasNbPages("{pages}")
	p.SetHeaderFunc(p.header)
	p.SetFooterFunc(p.footer)
	p.AddPage()
	return p
}

func (p *page) header() {
	p.SetXY(left, 9)
	p.SetFont("text", "B", 11)
	p.lines(p.name, 1, 5.5)
	p.SetFont("text", "", 9)
	p.lines(p.facts, 2, 4.3)
	p.Line(left, 24, left+wide, 24)
	p.SetXY(left, top-4)
}

func (p *page) footer() {
	p.SetXY(left, 268)
	p.SetFont("text", "", 7.5)
	p.Line(left, 267, left+wide, 267)
	for i, l := range p.cut(p.foot, wide-30, 3) {
		p.SetXY(left, 268+3.4*float64(i))
		p.CellFormat(wide-30, 3.4, l, "", 0, "L", false, 0, "")
	}
	p.SetXY(left+wide-24, 268) // not at the right: how wide the number of pages is nobody knows yet
	p.CellFormat(24, 3.4, fmt.Sprintf("page %d of {pages}", p.PageNo()), "", 0, "L", false, 0, "")
}

// lines writes a text in at most n lines.
func (p *page) lines(text string, n int, h float64) {
	for _, l := range p.cut(text, wide, n) {
		p.SetX(left)
		p.CellFormat(wide, h, l, "", 1, "L", false, 0, "")
	}
}

// cut returns a text in at most n lines; of one that is longer dots say so. Only what
// stands around a page is cut: it stands whole on the first.
func (p *page) cut(text string, w float64, n int) []string {
	lines := p.SplitText(p.text(text), w)
	if len(lines) > n {
		lines = lines[:n]
		lines[n-1] = strings.TrimSpace(lines[n-1]) + " …"
	}
	return lines
}

// text makes a text fit for the typefaces; what they lack stands as a box and is noted.
func (p *page) text(s string) string {
	s = chart.Clean(s)
	for _, r := range font.Lacks(s) {
		p.lacks[r] = true
	}
	return s
}

// missing says what could not be printed, in words; "" if everything could be.
func missing(lacks map[rune]bool) string {
	if len(lacks) == 0 {
		return ""
	}
	var scripts []string
	for r := range lacks {
		for name, table := range unicode.Scripts {
			if unicode.Is(table, r) && name != "Common" && name != "Inherited" && !slices.Contains(scripts, name) {
				scripts = append(scripts, name)
			}
		}
	}
	slices.Sort(scripts)
	of := ""
	if len(scripts) > 0 {
		of = " (" + strings.Join(scripts, ", ") + ")"
	}
	return fmt.Sprintf("NOTE: %s%s cannot be printed with the typefaces of this file; each stands as □. The same as a web page (HTML) shows them.",
		several(len(lacks), "letter or sign", "letters and signs"), of)
}

// room begins a new page if so much does not fit on this one; it reports whether it did.
func (p *page) room(h float64) bool {
	if p.GetY()+h <= bottom {
		return false
	}
	p.AddPage()
	return true
}

// say writes a text over the width of the page, over as many pages as it needs.
func (p *page) say(style string, size, indent float64, text string) {
	p.SetFont("text", style, size)
	h := size * 0.44
	for _, para := range strings.Split(p.text(text), "\n") {
		lines := p.SplitText(para, wide-indent)
		for _, l := range lines {
			if p.room(h) {
				p.SetFont("text", style, size)
			}
			p.SetX(left + indent)
			p.CellFormat(wide-indent, h, l, "", 1, "L", false, 0, "")
		}
	}
}

// head begins a section; its first lines stay with it.
func (p *page) head(text string) {
	p.room(22)
	p.Ln(2.5)
	p.SetFillColor(228, 228, 228)
	p.SetFont("text", "B", 10.5)
	p.SetX(left)
	p.CellFormat(wide, 6, p.text(text), "", 1, "L", true, 0, "")
	p.Ln(0.8)
}

// A table is rows under heads. Nothing in it is cut: a cell has as many lines as it needs,
// and a row that is longer than a page goes on on the next.
type table struct {
	p      *page
	heads  []string
	widths []float64
}

const tableSize = 8.5

// table measures the columns: those that are short get what they need, the others share
// what is left.
func (p *page) table(heads []string, rows []chart.Row) table {
	need := make([]float64, len(heads))
	measure := func(style string, cells []string) {
		p.SetFont("text", style, tableSize)
		for i, c := range cells[:min(len(cells), len(need))] {
			if len(c) > 400 { // it gets all there is anyway
				c = c[:400]
			}
			need[i] = max(need[i], p.GetStringWidth(strings.ToValidUTF8(p.text(c), ""))+3.5)
		}
	}
	measure("B", heads)
	for _, r := range rows {
		measure("", r.Cells)
	}
	return table{p, heads, share(need, wide)}
}

// share gives each column what it needs; if that is more than there is, those that need
// more than their part share what the others leave.
func share(need []float64, all float64) []float64 {
	out, open := make([]float64, len(need)), len(need)
	for changed := true; changed && open > 0; {
		changed = false
		for i, n := range need {
			if out[i] == 0 && n <= all/float64(open) {
				out[i], changed = n, true
				all, open = all-n, open-1
			}
		}
	}
	for i := range out {
		if out[i] == 0 {
			out[i] = all / float64(open)
		}
	}
	return out
}

func (t table) header() {
	t.p.SetFont("text", "B", tableSize)
	t.line(t.heads)
	t.p.Line(left, t.p.GetY(), left+wide, t.p.GetY())
	t.p.Ln(0.7)
	t.p.SetFont("text", "", tableSize)
}

// line writes one line of each cell.
func (t table) line(cells []string) {
	x, y := float64(left), t.p.GetY()
	for i, c := range cells {
		t.p.SetXY(x, y)
		t.p.CellFormat(t.widths[i], lineHeight, c, "", 0, "L", false, 0, "")
		x += t.widths[i]
	}
	t.p.SetXY(left, y+lineHeight)
}

// row writes a row and what is said below it.
func (t table) row(r chart.Row) {
	t.p.SetFont("text", "", tableSize)
	lines, most := make([][]string, len(t.widths)), 1
	for i := range t.widths {
		if i < len(r.Cells) {
			lines[i] = t.p.SplitText(t.p.text(r.Cells[i]), t.widths[i])
		}
		most = max(most, len(lines[i]))
	}
	if h := float64(most) * lineHeight; h < (bottom-top)/2 && t.p.room(h) {
		t.header()
	}
	for k := range most {
		if t.p.room(lineHeight) {
			t.header()
		}
		cells := make([]string, len(lines))
		for i := range lines {
			if k < len(lines[i]) {
				cells[i] = lines[i][k]
			}
		}
		t.line(cells)
	}
	if r.More != "" {
		t.p.say("", 7.8, 5, r.More)
	}
	t.p.SetDrawColor(190, 190, 190)
	t.p.Line(left, t.p.GetY()+0.3, left+wide, t.p.GetY()+0.3)
	t.p.SetDrawColor(0, 0, 0)
	t.p.Ln(0.7)
}

// PDF writes the sheet as pages to print.
func (s *Sheet) PDF(w io.Writer) error {
	p := s.pages("")
	if note := missing(p.lacks); note != "" {
		p = s.pages(note)
	}
	if err := p.Output(w); err != nil {
		return fmt.Errorf("make the PDF: %w", err)
	}
	return nil
}

// pages lays the sheet out; note is what is known of it from a first time.
func (s *Sheet) pages(note string) *page {
	v := s.View()
	p := newPage(&s.Cover, v.Title, strings.Join(v.Facts, " · "), v.Foot)
	p.say("B", 15, 0, v.Title)
	if len(v.Others) > 0 {
		p.say("", 9, 0, "also: "+strings.Join(v.Others, "; "))
	}
	p.say("", 10, 0, strings.Join(v.Facts, " · "))
	p.Ln(1)
	p.say("B", 10.5, 0, "ALLERGIES: "+v.Allergies)
	p.Ln(1)
	for _, l := range v.Lines {
		p.say("", 8.5, 0, l)
	}
	p.Ln(1)
	for _, n := range append(v.Notes, note) {
		p.say("B", 8.5, 0, n)
	}
	for i := range v.Sections {
		p.section(&v.Sections[i])
	}
	p.Ln(4)
	p.say("", 8.5, 0, "End of the chart of "+v.Title+".")
	return p
}

// foot is what stands under each page.
func (s *Sheet) foot() string {
	foot := "Made " + s.Made.Format("2 Jan 2006 15:04") + " by " + known(s.By) + ", " + known(s.Practice)
	if s.For != "" {
		foot += ", for " + s.For
	}
	if s.Purpose != "" {
		foot += ": " + s.Purpose
	}
	return foot + ". " + s.Copy
}

func (p *page) section(sec *ViewSection) {
	p.head(sec.Head)
	for _, r := range sec.Remarks {
		p.say("", 8.5, 0, r)
	}
	for _, g := range sec.Groups {
		p.group(g)
	}
}

func (p *page) group(g ViewGroup) {
	if g.Head != "" {
		p.room(18)
		p.Ln(1)
		p.say("B", 9, 0, g.Head)
	}
	t := p.table(g.Columns, g.Rows)
	p.room(3 * lineHeight)
	t.header()
	for _, r := range g.Rows {
		t.row(r)
	}
}
