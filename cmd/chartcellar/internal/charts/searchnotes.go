package charts

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/chart"
)

// How many records a search keeps, and how many of one patient a page shows.
const (
	keptHits  = 2000
	shownHits = 10
)

// noteFinds are the records in which words were found.
type noteFinds struct {
	r     *Room
	at    time.Time // for ages
	terms *chart.Search

	// mu covers what follows.
	mu       sync.Mutex
	hits     int
	kept     int
	patients []*foundPatient // in the order in which they were found
	byID     map[patientID]*foundPatient
}

// A patientID names a patient; of records that name none the id is "".
type patientID struct{ source, id string }

// A foundPatient is a patient with the records that were found.
type foundPatient struct {
	patientID
	rd    *Reading
	hits  []foundHit
	shown int // records that a page has shown
}

// A foundHit is a record that was found.
type foundHit struct {
	typ, id, title, date, label string
	chart.Hit
}

// newNotes makes a search for words.
func (r *Room) newNotes(s *search) (finds, string, error) {
	t := terms(s.ask)
	terms, err := t.Search()
	if err != nil {
		return nil, "", err
	}
	words := t.String()
	if s.ask.Patient != "" {
		source, typ, id, err := r.Open(s.ask.Patient)
		if err != nil || typ != "Patient" {
			return nil, "", viewer.ErrNotFound
		}
		s.ask.EMR, s.patient, words = source, patientID{source, id}, words+"; in one chart"
	}
	if s.scans, s.lacks, err = r.newScans(s.ask, terms.Types()); err != nil {
		return nil, "", err
	}
	for _, scan := range s.scans {
		scan.Patient = s.patient.id
	}
	return &noteFinds{r: r, at: r.at(s.ask.AsOf), terms: terms, byID: map[patientID]*foundPatient{}}, words, nil
}

// newScans makes a scan of each source for those of the types that the copy has; lacks
// are the others. A Binary says neither whose it is nor how sensitive: its text is found
// with the record that names it.
func (r *Room) newScans(ask viewer.SearchAsk, types []string) (list []*Scan, lacks []string, err error) {
	readings, err := r.readings(ask)
	if err != nil {
		return nil, nil, err
	}
	for _, rd := range readings {
		named, err := rd.Types(types)
		var some *TypeError
		if errors.As(err, &some) {
			lacks = some.Types
		} else if err != nil {
			return nil, nil, err
		}
		named = slices.DeleteFunc(named, func(t string) bool { return t == "Binary" })
		list = append(list, &Scan{Reading: rd, Named: named})
	}
	return list, lacks, nil
}

// run implements finds.
func (f *noteFinds) run(ctx context.Context, s *search) error {
	for _, scan := range s.scans {
		notes := scan.Notes(f.terms, s.sensitive)
		err := s.through(ctx, scan, func(w int, rec chart.Resource) error {
			if hit, ok := notes.Look(ctx, w, rec); ok && !s.closed(ctx, scan.Reading, rec) {
				f.add(scan.Reading, rec, hit)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// add keeps a record that was found, as long as there is room.
func (f *noteFinds) add(rd *Reading, rec chart.Resource, hit chart.Hit) {
	labels := chart.Labels(rec.Raw)
	one := foundHit{rec.Type, rec.ID, chart.TitleOf(rec.Raw), chart.DateOf(rec.Raw), chart.LabelWords(labels), hit}
	id := patientID{rd.Source, PatientOf(rec.Raw)}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hits++
	if f.kept == keptHits {
		return
	}
	f.kept++
	p := f.byID[id]
	if p == nil {
		p = &foundPatient{patientID: id, rd: rd}
		f.byID[id] = p
		f.patients = append(f.patients, p)
	}
	p.hits = append(p.hits, one)
}

// page implements finds.
func (f *noteFinds) page(ctx context.Context, a viewer.Actor, out *viewer.SearchResult, rows int) ([]shown, error) {
	sealed, err := f.r.sealed()
	if err != nil {
		return nil, err
	}
	list := f.take(sealed, out, rows)
	var views []shown
	for _, p := range list {
		row, err := f.r.person(ctx, a, p.rd, p.id, f.at)
		if err != nil {
			return nil, err
		}
		found := viewer.SearchPatient{PatientRow: row, All: len(p.hits)}
		for _, h := range p.hits[:min(shownHits, len(p.hits))] {
			found.Hits = append(found.Hits, f.hit(p.source, h))
		}
		out.Patients = append(out.Patients, found)
		if n := len(found.Hits); n > p.shown {
			views = append(views, shown{source: p.source, patient: p.id, typ: typeOf(p.hits), count: n - p.shown, seen: func() { f.seen(p.patientID, n) }})
		}
	}
	return views, nil
}

// take returns copies of the patients of a page.
func (f *noteFinds) take(sealed map[patientID]bool, out *viewer.SearchResult, rows int) (list []foundPatient) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out.Hits, out.Kept = f.hits, f.kept
	for _, p := range f.patients {
		if sealed[p.patientID] {
			continue
		}
		one := *p
		one.hits = slices.Clone(p.hits)
		if out.Found >= out.From && len(list) < rows {
			list = append(list, one)
		}
		out.Found++
	}
	return list
}

// seen notes that records of a patient were journalled as shown.
func (f *noteFinds) seen(id patientID, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byID[id].shown = n
}

// typeOf is the type of all the records; "" if they are of several.
func typeOf(hits []foundHit) string {
	for _, h := range hits {
		if h.typ != hits[0].typ {
			return ""
		}
	}
	return hits[0].typ
}

// hit makes what a page shows of a record.
func (f *noteFinds) hit(source string, h foundHit) viewer.SearchHit {
	out := viewer.SearchHit{Ref: f.r.Refer(source, h.typ+"/"+h.id), Type: h.typ, Title: h.title, Date: h.date, Label: h.label}
	for _, one := range append([]chart.Hit{h.Hit}, h.More...) {
		out.Found = append(out.Found, viewer.FoundText{Where: one.Where, Text: f.terms.Pieces(one.Snippet)})
	}
	return out
}
