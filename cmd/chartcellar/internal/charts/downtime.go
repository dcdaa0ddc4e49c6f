package charts

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/patientfile"
	"chartcellar/store"
	"chartcellar/store/chart"
)

const (
	// downtimeAhead is how many days a downtime sheet looks for appointments: from a
	// Friday over a long weekend.
	downtimeAhead = 4
	// downtimeBack is how far it looks for visits if there are none, in days.
	downtimeBack = 90
	// mostDowntime is how many patients it names at most; it says how many there are.
	mostDowntime = 2000
)

// DowntimeOptions are what a downtime sheet is made of.
type DowntimeOptions struct {
	Readings []*Reading // one for each EMR
	Ages     []string   // of each, how good its copy is, in words
	Practice string
	By       string
	Now      time.Time // in the practice's zone
	List     string    // patients that the practice named, one a line; "": none
	ListAt   time.Time
}

// A wanted patient is one that the sheet is to name.
type wanted struct {
	r    *Reading
	id   string
	at   time.Time
	when []string
}

// Downtime makes the sheet: of the next day with appointments; else of the list that the
// practice gave; else of the patients seen in the last 90 days. What is labelled sensitive
// is not on it, and counted. It reads, and writes nothing.
func Downtime(ctx context.Context, o DowntimeOptions) (patientfile.Downtime, error) {
	d := patientfile.Downtime{Practice: o.Practice, By: o.By, Made: o.Now, Copies: o.copies()}
	for _, from := range []func(context.Context, *patientfile.Downtime) ([]wanted, error){o.booked, o.listed, o.seen} {
		list, err := from(ctx, &d)
		if err != nil {
			return d, err
		}
		if d.From == "" {
			continue
		}
		d.Found = len(list)
		return d, o.blocks(ctx, &d, list[:min(len(list), mostDowntime)])
	}
	return d, nil
}

func (o *DowntimeOptions) copies() (list []string) {
	for i, r := range o.Readings {
		words := o.Ages[i]
		if len(o.Readings) > 1 {
			words = r.Source + ": " + words
		}
		list = append(list, words)
	}
	return list
}

// booked finds the appointments of the next day that has some.
func (o *DowntimeOptions) booked(ctx context.Context, d *patientfile.Downtime) ([]wanted, error) {
	days := make([]string, downtimeAhead+2) // a clock elsewhere may show the day before or behind
	for i := range days {
		days[i] = o.Now.AddDate(0, 0, i).Format(time.DateOnly)
	}
	by := map[string][]wanted{}
	off, refused := map[string]int{}, 0
	for _, r := range o.Readings {
		err := r.Snap.Each(ctx, r.Source, "Appointment", func(id string, raw []byte) error {
			if !slices.ContainsFunc(days, func(day string) bool { return bytes.Contains(raw, []byte(day)) }) || chart.Sensitive(raw) {
				return nil
			}
			b, err := chart.NewBooking(chart.Resource{Type: "Appointment", ID: id, Raw: raw}, r.Base)
			if err != nil {
				refused++
				return nil
			}
			day := b.Start.In(o.Now.Location()).Format(time.DateOnly)
			switch {
			case b.Start.IsZero() || !slices.Contains(days[1:downtimeAhead+1], day):
			case b.Off:
				off[day]++
			default:
				for _, p := range b.Patients {
					by[day] = append(by[day], wanted{r, p, b.Start, []string{strings.TrimSpace(b.Start.In(o.Now.Location()).Format("15:04") + " " + b.What)}})
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, store.ErrDamaged) {
			return nil, err
		}
		d.Notes = append(d.Notes, damaged(err, "appointments")...)
	}
	if refused > 0 {
		d.Notes = append(d.Notes, fmt.Sprintf("%d appointments of these days are not as FHIR says and could not be read.", refused))
	}
	for _, day := range days[1 : downtimeAhead+1] {
		if len(by[day]) > 0 {
			d.From, d.Day = patientfile.FromAppointments, day
			d.Why = fmt.Sprintf("It names the patients with an appointment on %s, as the copy had it.", day)
			if off[day] > 0 {
				d.Why += fmt.Sprintf(" Cancelled or missed and left out: %d.", off[day])
			}
			slices.SortFunc(by[day], func(a, b wanted) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.id, b.id)) })
			return together(by[day]), nil
		}
	}
	return nil, nil
}

func damaged(err error, what string) []string {
	if err == nil {
		return nil
	}
	return []string{"Stored bytes are damaged: not all " + what + " could be read."}
}

// together puts what belongs to one patient together, where he comes first.
func together(list []wanted) (out []wanted) {
	at := map[store.Key]int{}
	for _, w := range list {
		k := w.r.Key("Patient", w.id)
		i, known := at[k]
		if !known {
			at[k] = len(out)
			out = append(out, w)
			continue
		}
		out[i].when = append(out[i].when, w.when...)
	}
	return out
}

// listed finds the patients that the practice named.
func (o *DowntimeOptions) listed(ctx context.Context, d *patientfile.Downtime) (list []wanted, err error) {
	lines := ListLines(o.List)
	if len(lines) == 0 {
		return nil, nil
	}
	exact, found := make([][]wanted, len(lines)), make([][]wanted, len(lines))
	for _, r := range o.Readings {
		err := r.EachPatient(ctx, func(en *chart.Entry) bool {
			// A list is no way to find out who is labelled.
			return !en.Sensitive && slices.ContainsFunc(lines, func(l ListLine) bool { return l.fits(en) })
		},
			func(en chart.Entry) {
				for i := range lines {
					switch w := (wanted{r: r, id: en.ID}); {
					case lines[i].numbers(&en):
						exact[i] = append(exact[i], w)
					case lines[i].fits(&en):
						found[i] = append(found[i], w)
					}
				}
			})
		if err != nil && !errors.Is(err, store.ErrDamaged) {
			return nil, err
		}
		d.Notes = append(d.Notes, damaged(err, "patients")...)
	}
	clear, none := 0, 0
	for i, l := range lines {
		if len(exact[i]) > 0 { // a number says more than a name
			found[i] = exact[i]
		}
		switch n := len(found[i]); {
		case n == 0:
			d.Notes, none = append(d.Notes, "NOT FOUND in the copy: "+l.text), none+1
		case several(found[i]):
			d.Notes = append(d.Notes, fmt.Sprintf("NOT CLEAR, %d patients fit: %s", n, l.text))
		default:
			list, clear = append(list, found[i]...), clear+1
		}
	}
	if none > 0 {
		d.Notes = append(d.Notes, "A patient whose whole record has a sensitive label is not looked for in a list.")
	}
	d.From = patientfile.FromList
	d.Why = fmt.Sprintf("The copy has no appointments of the next %d days. It names the patients of the list that the practice gave on %s: %d of %d lines were found.",
		downtimeAhead, o.ListAt.In(o.Now.Location()).Format("2 January 2006"), clear, len(lines))
	return together(list), nil
}

// several reports whether one EMR has more than one of the patients.
func several(list []wanted) bool {
	by := map[*Reading]int{}
	for _, w := range list {
		by[w.r]++
	}
	return len(by) < len(list)
}

// seen finds the patients of the visits of the last days.
func (o *DowntimeOptions) seen(ctx context.Context, d *patientfile.Downtime) (list []wanted, err error) {
	since := o.Now.AddDate(0, 0, -downtimeBack)
	for _, r := range o.Readings {
		last, days := map[string]time.Time{}, map[string]string{}
		err := r.Snap.Each(ctx, r.Source, "Encounter", func(id string, raw []byte) error {
			at, day, ok := chart.Seen(chart.Resource{Type: "Encounter", ID: id, Raw: raw})
			if !ok || at.Before(since) || at.After(o.Now) || chart.Sensitive(raw) {
				return nil
			}
			if p := PatientOf(raw); p != "" && at.After(last[p]) {
				last[p], days[p] = at, day
			}
			return nil
		})
		if err != nil && !errors.Is(err, store.ErrDamaged) {
			return nil, err
		}
		d.Notes = append(d.Notes, damaged(err, "visits")...)
		for p, at := range last {
			list = append(list, wanted{r, p, at, []string{"last seen " + days[p]}})
		}
	}
	slices.SortFunc(list, func(a, b wanted) int {
		return cmp.Or(b.at.Compare(a.at), strings.Compare(a.r.Source, b.r.Source), strings.Compare(a.id, b.id))
	})
	d.From = patientfile.FromVisits
	d.Why = fmt.Sprintf("The copy has no appointments of the next %d days, and the practice gave no list. It names the patients seen in the last %d days, the last first.",
		downtimeAhead, downtimeBack)
	return list, nil
}

// blocks reads the charts of the patients that the sheet names.
func (o *DowntimeOptions) blocks(ctx context.Context, d *patientfile.Downtime, list []wanted) error {
	labelled, unknown := 0, 0
	types := []string{"Patient", "AllergyIntolerance", "Condition", "MedicationRequest", "MedicationStatement", "Observation"}
	known := map[*Reading]*chart.Options{} // the same for all patients of an EMR
	for _, w := range list {
		g := &given{r: w.r, id: w.id, at: o.Now, known: known[w.r], only: types}
		s, err := patientfile.NewSheet(ctx, patientfile.Cover{}, patientfile.Choice{}, g)
		known[w.r] = g.known
		switch {
		case errors.Is(err, patientfile.ErrLabelled):
			labelled++
			continue
		case errors.Is(err, store.ErrNotFound):
			unknown++
			continue
		case err != nil:
			return err
		}
		b := patientfile.NewBlock(s.Chart, s.Count)
		b.EMR, b.Patient = w.r.Source, w.id
		b.When, b.Notes = w.when, append(b.Notes, s.Notices...)
		if len(o.Readings) > 1 {
			b.Source = w.r.Source
			b.Facts = append(b.Facts, "EMR "+w.r.Source)
		}
		d.Patients = append(d.Patients, b)
	}
	if labelled > 0 {
		d.Notes = append(d.Notes, fmt.Sprintf("%d patients whose whole record has a sensitive label are not on it.", labelled))
	}
	if unknown > 0 {
		d.Notes = append(d.Notes, fmt.Sprintf("%d patients are named by appointments or visits, and the copy has no record of them.", unknown))
	}
	return nil
}

// WithoutLabelled takes off a sheet who was labelled sensitive as a whole since it was made:
// it is for those who may not see that.
func WithoutLabelled(ctx context.Context, m *store.Mirror, d *patientfile.Downtime) error {
	snap, err := m.Now()
	if err != nil {
		return err
	}
	d.Without("labelled sensitive", func(emr, patient string) bool {
		return (&Reading{M: m, Snap: snap, Source: emr}).Labelled(ctx, "Patient", patient)
	})
	return nil
}

// A ListLine is one line of a list of patients, as somebody pasted it or as CSV has it.
type ListLine struct {
	text  string
	cells []string
	query chart.Query
}

// ListLines reads such a list. Empty lines and those that begin with # say nothing; so does
// a first line that names columns.
func ListLines(text string) (list []ListLine) {
	for line := range strings.Lines(text) {
		line = chart.CleanLine(strings.ReplaceAll(line, "\t", ";"))
		if line == "" || strings.HasPrefix(line, "#") || len(list) == 0 && titles(line) {
			continue
		}
		l := ListLine{}
		for _, cell := range strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ';' || r == '\t' }) {
			if cell = strings.Trim(strings.TrimSpace(cell), `"`); cell != "" {
				l.cells = append(l.cells, strings.TrimPrefix(cell, "Patient/"))
			}
		}
		l.text = strings.Join(l.cells, " ")
		if l.query = chart.ParseQuery(l.text); l.text != "" {
			list = append(list, l)
		}
	}
	return list
}

// titles reports whether a line names columns.
func titles(line string) bool {
	line = strings.ToLower(line)
	return !strings.ContainsAny(line, "0123456789") && slices.ContainsFunc([]string{"mrn", "name", "birth", "born", "dob"}, func(w string) bool { return strings.Contains(line, w) })
}

// numbers reports whether one of the cells of a line is an id or a number of a patient.
func (l *ListLine) numbers(en *chart.Entry) bool {
	return slices.ContainsFunc(l.cells, func(c string) bool { return c == en.ID || strings.ContainsAny(c, "0123456789") && en.Has(c) })
}

// fits reports whether a line names a patient: by such a number, or because all its words
// fit as in a search.
func (l *ListLine) fits(en *chart.Entry) bool {
	return l.numbers(en) || l.query.Fits(en)
}
