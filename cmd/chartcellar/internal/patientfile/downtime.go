package patientfile

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"chartcellar/store/chart"
)

// Where the patients of a downtime sheet come from.
const (
	FromAppointments = "appointments" // of the next day that has some
	FromList         = "list"         // that the practice gave
	FromVisits       = "visits"       // of the last 90 days
)

// A Downtime is the sheet for the day on which nothing works: what must be known of each
// patient, made the evening before.
type Downtime struct {
	Practice string    `json:"practice"`
	Made     time.Time `json:"made"`
	By       string    `json:"by"`
	Day      string    `json:"day,omitempty"` // the day it is for, if it is of appointments: 2026-03-02
	From     string    `json:"from"`
	Why      string    `json:"why"`    // whom it names and why these, in words
	Copies   []string  `json:"copies"` // as of which copy, for each EMR, in words
	Patients []Block   `json:"patients"`
	// Found is how many patients it should name; more than there are Patients if it is cut.
	Found int      `json:"found"`
	Notes []string `json:"notes,omitempty"` // what is not on it, and why
}

// A Block is one patient on it. What the copy does not say is empty, or says why.
type Block struct {
	EMR       string   `json:"emr"`  // its source, and
	Patient   string   `json:"id"`   // the id of the patient in it: for the journal and for seals
	When      []string `json:"when"` // appointments or the last visit
	Name      string   `json:"name"`
	Facts     []string `json:"facts"` // birth date with age, sex, MRN, phone
	Source    string   `json:"source"`
	Allergies string   `json:"allergies"`
	Problems  []string `json:"problems"`  // active; the last says why there are none
	Medicines []string `json:"medicines"` // current, and what is not to be given
	Results   []string `json:"results"`   // the newest
	Notes     []string `json:"notes,omitempty"`
}

// How many lines of each kind a block has.
const (
	blockResults = 12
	blockVitals  = 6
)

// NewBlock makes the block of a chart whose lists are whole.
func NewBlock(c *chart.Chart, n Count) Block {
	s := Sheet{Chart: c}
	b := Block{Name: s.title(), Facts: s.facts(), Allergies: s.allergies()}
	for i := range c.Sections {
		switch sec := &c.Sections[i]; sec.Key {
		case "problems":
			b.Problems = brief(sec, 0, func(r chart.Row) string { return stated(r, 1, words(r, 0, 2)) }, "Active", "No status given")
		case "medicines":
			b.Medicines = brief(sec, 0, func(r chart.Row) string { return stated(r, 2, words(r, 0, 1)) }, "NOT to be given", "Current",
				"Planned, proposed or of unknown status")
		case "results":
			b.Results = byDay(brief(sec, blockResults, measured, "Laboratory"))
		case "vitals":
			b.Results = append(b.Results, byDay(brief(sec, blockVitals, measured, ""))...)
		}
	}
	if n.Sensitive > 0 {
		b.Notes = append(b.Notes, several(n.Sensitive, "record", "records")+" with a sensitive label: not on this sheet.")
	}
	if n.Unread > 0 {
		b.Notes = append(b.Notes, chart.Unreadable(n.Unread, n.Records()))
	}
	return b
}

// none are what is said where a section has rows, and none of the groups that are asked for.
var none = map[string]string{"problems": "none active; others are in the chart", "medicines": "none current; others are in the chart",
	"results": "(laboratory: none; other results are in the chart)", "vitals": "(vital signs: none)"}

// brief lists the rows of some groups of a section, at most limit (0: all), and says what
// it leaves out or why there is nothing.
func brief(sec *chart.Section, limit int, say func(chart.Row) string, groups ...string) []string {
	var out []string
	total := 0
	for _, want := range groups {
		for _, g := range sec.Groups {
			if g.Title != want {
				continue
			}
			total += g.Total
			for _, r := range g.Rows {
				text := say(r)
				if text == "" {
					total--
					continue
				}
				if limit > 0 && len(out) >= limit {
					continue
				}
				if want == "NOT to be given" || want == "No status given" || strings.HasPrefix(want, "Planned") {
					text += " (" + want + ")"
				}
				out = append(out, text)
			}
		}
	}
	name := strings.ToLower(sec.Title)
	if len(out) < total {
		out = append(out, fmt.Sprintf("(%s: %d of %d; the newest)", name, len(out), total))
	}
	if n := len(sec.Plain); n > 0 {
		out = append(out, fmt.Sprintf("(%s not as FHIR says: see the chart)", several(n, "record is", "records are")))
	}
	switch {
	case len(out) > 0:
	case sec.Empty != "" && limit == 0: // the line says of what
		out = append(out, strings.TrimSuffix(leftOut(sec.Empty, sec.Withheld), "."))
	case sec.Empty != "":
		out = append(out, "("+name+": "+strings.TrimSuffix(leftOut(sec.Empty, sec.Withheld), ".")+")")
	default:
		out = append(out, none[sec.Key])
	}
	if sec.Unread > 0 && sec.Empty == "" {
		out = append(out, "("+chart.Unreadable(sec.Unread, sec.Records)+")")
	}
	return out
}

// measured writes a result with its day in front: 2026-03-01: Potassium 6.1 mmol/L (HIGH).
// Of one that only says of how many others it is made, it writes nothing: they stand there.
func measured(r chart.Row) string {
	if n, found := strings.CutPrefix(r.Cells[1], "panel of "); found && strings.Trim(n, "0123456789") == "" {
		return ""
	}
	text := r.Cells[0] + " " + r.Cells[1]
	if r.Cells[2] != "" {
		text += " (" + r.Cells[2] + ")"
	}
	day, _, _ := strings.Cut(r.Cells[4], " ")
	if day == "" {
		day = "no date"
	}
	return day + dayEnd + text
}

// dayEnd stands behind the day of a result.
const dayEnd = ": "

// byDay puts results that follow each other and are of one day together.
func byDay(list []string) (out []string) {
	last := ""
	for _, l := range list {
		day, text, found := strings.Cut(l, dayEnd)
		if found && day == last {
			out[len(out)-1] += ", " + text
			continue
		}
		if last = ""; found {
			last = day
		}
		out = append(out, l)
	}
	return out
}

// stated adds to a text the state that a cell gives, unless it goes without saying.
func stated(r chart.Row, cell int, text string) string {
	if state := chart.UnusualState(r.Cells[cell]); state != "" {
		text += " (" + state + ")"
	}
	return text
}

// words joins some cells of a row.
func words(r chart.Row, cells ...int) string {
	var out []string
	for _, i := range cells {
		if i < len(r.Cells) && r.Cells[i] != "" {
			out = append(out, r.Cells[i])
		}
	}
	return strings.Join(out, ", ")
}

// ReadDowntime reads what Bytes wrote.
func ReadDowntime(r io.Reader) (d Downtime, err error) {
	z, err := gzip.NewReader(r)
	if err == nil {
		err = json.NewDecoder(z).Decode(&d)
	}
	if err != nil {
		return d, fmt.Errorf("read a downtime sheet: %w", err)
	}
	return d, nil
}

// Without takes patients off to whom something happened since the sheet was made, which
// what says: sealed, labelled sensitive.
func (d *Downtime) Without(what string, whom func(emr, patient string) bool) {
	n := len(d.Patients)
	d.Patients = slices.DeleteFunc(d.Patients, func(b Block) bool { return whom(b.EMR, b.Patient) })
	if n -= len(d.Patients); n > 0 {
		d.Notes = append(d.Notes, "Since it was made, "+several(n, "patient was", "patients were")+" "+what+" and taken off it.")
	}
}

// Bytes returns the sheet as it is kept: JSON, gzip.
func (d *Downtime) Bytes() ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(d); err != nil {
		return nil, fmt.Errorf("write the downtime sheet: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("write the downtime sheet: %w", err)
	}
	return b.Bytes(), nil
}

// Title is what the sheet is called.
func (d *Downtime) Title() string {
	if t, err := time.Parse(time.DateOnly, d.Day); err == nil {
		return "Downtime sheet for " + t.Format("Monday 2 January 2006")
	}
	return "Downtime sheet of " + d.Made.Format("Monday 2 January 2006")
}

// Lines say which sheet it is.
func (d *Downtime) Lines() []string {
	out := []string{fmt.Sprintf("%s. Made on %s by %s.", known(d.Practice), d.Made.Format("Monday 2 January 2006 15:04 MST"), known(d.By)), d.Why}
	out = append(out, d.Copies...)
	count := fmt.Sprintf("%d of %s on it.", len(d.Patients), several(d.Found, "patient is", "patients are"))
	return append(append(out, count), d.Notes...)
}

// HTML writes the sheet as a web page that needs nothing else.
func (d *Downtime) HTML(w io.Writer) error { return write(w, downtimePage, d) }

// PDF writes the sheet as pages to print.
func (d *Downtime) PDF(w io.Writer) error {
	p := d.pages("")
	if note := missing(p.lacks); note != "" {
		p = d.pages(note)
	}
	if err := p.Output(w); err != nil {
		return fmt.Errorf("make the PDF: %w", err)
	}
	return nil
}

func (d *Downtime) pages(note string) *page {
	p := newPage(&Cover{Made: d.Made}, d.Title(), d.Practice, "Made "+d.Made.Format("2 Jan 2006 15:04 MST")+". "+d.Why)
	for _, l := range d.Lines() {
		p.say("", 9, 0, l)
	}
	p.say("B", 9, 0, note)
	for i := range d.Patients {
		p.block(&d.Patients[i])
	}
	return p
}

// block prints one patient. It begins a new page rather than being cut, if it fits on one.
func (p *page) block(b *Block) {
	h := p.height(b)
	if h < bottom-top {
		p.room(h)
	}
	p.Ln(2)
	p.Line(left, p.GetY(), left+wide, p.GetY())
	p.Ln(0.8)
	p.say("B", 11, 0, strings.Join(append([]string{b.Name}, b.When...), " · "))
	p.say("", 9, 0, strings.Join(b.Facts, " · "))
	p.say("B", 9, 0, "Allergies: "+b.Allergies)
	for _, l := range b.Lists() {
		p.say("", 8.5, 0, l)
	}
}

// Lists are what a block says in running text.
func (b *Block) Lists() []string {
	return append([]string{"Problems: " + strings.Join(b.Problems, "; "), "Medicines: " + strings.Join(b.Medicines, "; "),
		"Last results: " + strings.Join(b.Results, "; ")}, b.Notes...)
}

// height is how much room a block takes.
func (p *page) height(b *Block) float64 {
	h := 4.0
	for _, l := range []struct {
		style string
		size  float64
		text  []string
	}{{"B", 11, []string{b.Name + strings.Join(b.When, " · ")}}, {"", 9, []string{strings.Join(b.Facts, " · ")}},
		{"B", 9, []string{"Allergies: " + b.Allergies}}, {"", 8.5, b.Lists()}} {
		p.SetFont("text", l.style, l.size)
		for _, t := range l.text {
			h += float64(len(p.SplitText(p.text(t), wide))) * l.size * 0.44
		}
	}
	return h
}
