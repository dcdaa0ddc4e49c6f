package viewer

import (
	"fmt"
	"io"
	"time"

	"codeberg.org/go-pdf/fpdf"

	"chartcellar/store/keys/font"
)

// A sheet is a PDF that is being written: A4, readable in grey, and narrow enough
// for Letter.
type sheet struct {
	*fpdf.Fpdf
	zone *time.Location
}

func newSheet(title string, made time.Time, zone *time.Location) sheet {
	p := sheet{font.Document(title, made), zone}
	p.SetMargins(20, 16, 20)
	p.SetAutoPageBreak(true, 26)
	p.SetFooterFunc(func() {
		p.SetY(-22)
		p.SetFont("text", "", 8)
		p.CellFormat(170, 5, fmt.Sprintf("%s, page %d", title, p.PageNo()), "T", 0, "L", false, 0, "")
	})
	p.AddPage()
	p.SetFont("text", "B", 18)
	p.MultiCell(170, 9, title, "", "L", false)
	return p
}

func (p sheet) head(text string) {
	p.Ln(3)
	p.SetFont("text", "B", 11)
	p.CellFormat(170, 7, text, "", 1, "L", false, 0, "")
}

func (p sheet) line(format string, a ...any) {
	p.SetFont("text", "", 9.5)
	p.MultiCell(170, 5, clean(fmt.Sprintf(format, a...)), "", "L", false)
}

func (p sheet) mono(text string) {
	p.SetFont("mono", "", 7.5)
	p.MultiCell(170, 4.2, clean(text), "", "L", false)
}

func (p sheet) time(t time.Time) string {
	if t.IsZero() {
		return "not known"
	}
	return t.In(p.zone).Format("Mon 2 Jan 2006 15:04 MST")
}

// row writes a row of a table; the first column is text.
func (p sheet) row(style string, widths []float64, cells ...string) {
	p.SetFont("text", style, 8)
	for i, c := range cells {
		align := "R"
		if i == 0 {
			align = "L"
		}
		for c = clean(c); p.GetStringWidth(c) > widths[i]-1 && len(c) > 1; {
			r := []rune(c)
			c = string(r[:len(r)-2]) + "…"
		}
		p.CellFormat(widths[i], 5, c, "B", 0, align, false, 0, "")
	}
	p.Ln(5)
}

func (p sheet) write(w io.Writer) error {
	if err := p.Output(w); err != nil {
		return fmt.Errorf("make the PDF: %w", err)
	}
	return nil
}

// PDF writes the report as pages to print and to file. It names no patient.
func (r RunReport) PDF(w io.Writer, zone *time.Location) error {
	p := newSheet(fmt.Sprintf("Run report %d", r.Number), r.Ended, zone)
	p.line("%s", known(r.Practice))
	if r.Kind == "sync" {
		p.line("EMR %q, %s. %s to %s.", known(r.Source), known(r.Server), p.time(r.Started), p.time(r.Ended))
	} else {
		p.line("%s. %s to %s.", kindWords(r.Kind, r.Source), p.time(r.Started), p.time(r.Ended))
	}
	p.head("Verdict: " + verdictOf(r.Verdict, r.Running).Word)
	p.line("%s", verdictWords(r.Kind, r.Verdict, r.Running))
	for _, text := range []string{r.Cause, r.Next} {
		if text != "" {
			p.line("%s", text)
		}
	}
	if r.Kind != "sync" {
		p.found(r)
		return p.write(w)
	}
	p.head("By type of record")
	widths := []float64{44, 18, 18, 18, 18, 18, 18, 18}
	p.row("B", widths, "", "EMR has", "is here", "new", "changed", "same", "gone", "bad")
	for _, t := range r.Types {
		p.row("", widths, t.Type, number(t.EMR), number(t.Here), number(t.New), number(t.Changed), number(t.Unchanged), number(t.Removed), number(t.Bad))
	}
	for _, t := range r.Types {
		if t.Gap != "" {
			p.line("GAP, %s: %s", t.Type, t.Gap)
		}
		if t.Held != "" {
			p.line("HELD, %s: %s", t.Type, t.Held)
		}
	}
	p.head("Documents, gaps, notes")
	p.line("Documents: named %s, fetched %s, here already %s, not to be had %s, not tried %s.", number(r.Documents.Wanted),
		number(r.Documents.Stored), number(r.Documents.Held), number(r.Documents.Missing), number(r.Documents.Waiting))
	p.line("Open gaps: %s. Withheld by the EMR: %s. Named by other records and not at the EMR: %s.", number(r.Gaps), number(r.Withheld), number(r.Dangling))
	p.line("Requests: %s, of them again: %s. Over the network: %s.", number(r.Requests), number(r.Retries), size(r.Wire))
	for _, n := range r.Notes {
		p.line("Note: %s", n)
	}
	p.head("Proof")
	for _, text := range r.Certificate.Limits {
		p.line("%s", text)
	}
	p.mono("SHA-256 of the certificate: " + known(r.Certificate.Sum))
	p.mono("Signed in: " + known(r.Certificate.Checkpoint))
	p.mono("Short root of the archive: " + known(r.Certificate.Root))
	return p.write(w)
}

// found is what a run that is no backup found, and who signs it off.
func (p sheet) found(r RunReport) {
	p.head("What was found")
	for _, n := range r.Notes {
		p.line("%s", n)
	}
	if r.Person != "" {
		p.head("Signed off")
		p.line("%s, %s", r.Person, p.time(r.Ended))
		p.Ln(14)
		p.line("Signature: ______________________________")
	}
}

// PDF writes the report as pages to print and to file. It names no patient.
func (m MonthReport) PDF(w io.Writer, zone *time.Location) error {
	p := newSheet("Report for "+m.Month.In(zone).Format("January 2006"), m.Made, zone)
	p.line("%s", known(m.Practice))
	p.line("Made on %s.", p.time(m.Made))
	if m.Unfinished {
		p.line("The month is not over: this is what is known so far.")
	}
	p.head("Backups")
	p.line("Due: %s. On time: %s (%s).", number(m.Due), number(m.OnTime), percent(m.OnTime, m.Due))
	p.line("Complete: %s. Complete with gaps: %s. Held: %s. Failed or interrupted: %s.", number(m.Complete), number(m.WithGaps), number(m.HeldRuns), number(m.Failed))
	p.line("Longest time between two complete copies: %s.", span(m.LongestGap))
	p.line("Open gaps at the end: %s.", number(m.OpenGaps))
	p.head("What the office copy holds")
	widths := []float64{50, 40, 40}
	p.row("B", widths, "", "at the start", "at the end")
	p.row("", widths, "Patients", number(m.Start.Patients), number(m.End.Patients))
	p.row("", widths, "Records", number(m.Start.Records), number(m.End.Records))
	p.row("", widths, "Documents", number(m.Start.Documents), number(m.End.Documents))
	p.row("", widths, "Size", size(m.Start.Bytes), size(m.End.Bytes))
	p.head("Checks of the copy")
	for _, v := range m.Verifications {
		p.line("%s: %s. %s", p.time(v.At), answerWords(string(v.Answer)), v.Words)
	}
	if len(m.Verifications) == 0 {
		p.line("None in this month.")
	}
	p.head("Decisions")
	for _, c := range m.Decisions {
		p.line("%s: %s (%s)", p.time(c.At), c.What, known(c.Who))
	}
	if len(m.Decisions) == 0 {
		p.line("None in this month.")
	}
	p.head("Alerts that were sent")
	for _, c := range m.Alerts {
		p.line("%s: %s", p.time(c.At), c.What)
	}
	if len(m.Alerts) == 0 {
		p.line("They stand in the access log, with what was changed in the settings.")
	}
	p.head("Proof")
	p.mono("Short root of the archive at the end: " + known(m.Root))
	return p.write(w)
}
