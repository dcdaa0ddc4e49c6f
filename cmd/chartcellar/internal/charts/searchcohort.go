package charts

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
)

// cohortFinds are the patients to whom all of some things apply.
type cohortFinds struct {
	r     *Room
	has   []having
	query viewer.PatientQuery // sex, age, state
	at    time.Time           // for ages

	// mu covers what follows.
	mu       sync.Mutex
	void     int
	list     []cohortPatient // once everything was looked at, in the order of names
	withheld int             // patients whose own record is labelled, whether or not they have it
}

// A having is one thing that a patient must have, with the scans that find it.
type having struct {
	terms *chart.CodeSearch
	scans []*Scan
}

// A cohortPatient is one of the patients; who has no record of his own has only an id.
type cohortPatient struct {
	patientID
	packed chart.Packed
	times
	shown bool
}

// newCohortPatient packs a patient: there may be very many.
func newCohortPatient(p *person, t times) cohortPatient {
	return cohortPatient{patientID{p.source, p.ID}, p.Pack(), t, false}
}

func (p *cohortPatient) person() *person { return &person{p.packed.Entry(), p.source} }

// times are how often and when.
type times struct {
	records     int
	first, last string // days as given; "": no record has one
}

func (t *times) add(o times) {
	t.records += o.records
	if o.first != "" && (t.first == "" || o.first < t.first) {
		t.first = o.first
	}
	t.last = max(t.last, o.last)
}

// newCohort makes a search for patients.
func (r *Room) newCohort(s *search) (finds, string, error) {
	f := &cohortFinds{r: r, at: r.at(s.ask.AsOf), query: viewer.PatientQuery{Sex: s.ask.Sex, Ages: s.ask.Ages, State: s.ask.State, EMR: s.ask.EMR}}
	var words []string
	for _, ask := range s.ask.Has {
		t := chart.ParseTerms(ask.Text)
		if ask.Exact != "" {
			t = chart.Terms{Words: []string{ask.Exact}}
		}
		if ask.Type != "" {
			t.Types = []string{ask.Type}
		}
		codes, err := t.CodeSearch(ask.Kind)
		if err != nil {
			return nil, "", err
		}
		h := having{terms: codes}
		var lacks []string
		if h.scans, lacks, err = r.newScans(s.ask, codes.Types()); err != nil {
			return nil, "", err
		}
		if len(lacks) == len(codes.Types()) { // with some of them one can have it
			s.lacks = append(s.lacks, lacks...)
		}
		s.scans = append(s.scans, h.scans...)
		f.has = append(f.has, h)
		what := t.String()
		if ask.Exact != "" && ask.Text != "" {
			what = ask.Text + " in " + ask.Type
		}
		words = append(words, strings.Join(strings.Fields("has "+string(ask.Kind)+" "+what), " "))
	}
	for _, g := range viewer.AgeGroups() {
		if g.Name == s.ask.Ages {
			words = append(words, g.Words)
		}
	}
	for _, w := range []string{s.ask.Sex, s.ask.State} {
		if w != "" {
			words = append(words, w)
		}
	}
	if len(words) == 0 {
		return nil, "", chart.ErrNothing
	}
	return f, strings.Join(words, "; "), nil
}

// run implements finds.
func (f *cohortFinds) run(ctx context.Context, s *search) error {
	var found []map[patientID]times
	for _, h := range f.has {
		one := map[patientID]times{}
		for _, scan := range h.scans {
			if err := f.having(ctx, s, scan, h.terms, one); err != nil {
				return err
			}
		}
		found = append(found, one)
	}
	return f.gather(ctx, s, found)
}

// having finds the patients of a source who have one thing.
func (f *cohortFinds) having(ctx context.Context, s *search, scan *Scan, terms *chart.CodeSearch, to map[patientID]times) error {
	matchers := codeMatchers(ctx, s, scan, terms)
	return s.through(ctx, scan, func(w int, rec chart.Resource) error {
		coded := matchers[w].Match(rec)
		if len(coded.Codings) == 0 || s.closed(ctx, scan.Reading, rec) {
			return nil
		}
		id := patientID{scan.Source, PatientOf(rec.Raw)}
		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case coded.Void:
			f.void++
		case id.id != "":
			t := to[id]
			t.add(times{1, coded.Date, coded.Date})
			to[id] = t
		}
		return nil
	})
}

// gather puts together who has everything that was asked for.
func (f *cohortFinds) gather(ctx context.Context, s *search, found []map[patientID]times) error {
	p, err := f.r.people(ctx, s.ask.AsOf)
	if err != nil {
		return err
	}
	closed, err := f.r.closer(ctx, viewer.Actor{Sensitive: s.sensitive}, s.ask.AsOf)
	if err != nil {
		return err
	}
	fits := fitting(f.query, f.at)
	var list []cohortPatient
	known, withheld := map[patientID]bool{}, 0
	for i := range p.list {
		one := p.list[i].person()
		id := patientID{one.source, one.ID}
		t, all := everything(found, id)
		if len(found) > 0 {
			known[id] = true
		}
		switch {
		case closed(&one):
			if s.ask.EMR == "" || s.ask.EMR == one.source {
				withheld++ // whether or not it fits: that would tell who it is
			}
		case all && fits(&one):
			list = append(list, newCohortPatient(&one, t))
		}
	}
	if f.query == (viewer.PatientQuery{EMR: f.query.EMR}) { // of the others neither age nor sex is known
		list = append(list, unknown(found, known)...)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list, f.withheld = list, withheld
	return nil
}

// everything tells whether a patient has all that was found, and how often.
func everything(found []map[patientID]times, id patientID) (t times, all bool) {
	for _, one := range found {
		n, ok := one[id]
		if !ok {
			return times{}, false
		}
		t.add(n)
	}
	return t, true
}

// unknown are those who have everything and no record of their own.
func unknown(found []map[patientID]times, known map[patientID]bool) (list []cohortPatient) {
	if len(found) == 0 {
		return nil
	}
	for id := range found[0] {
		if t, all := everything(found, id); all && !known[id] {
			list = append(list, newCohortPatient(&person{chart.Entry{ID: id.id}, id.source}, t))
		}
	}
	slices.SortFunc(list, func(a, b cohortPatient) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.id, b.id))
	})
	return list
}

// open returns the places of those who were not sealed since. The caller holds mu.
func (f *cohortFinds) open() (places []int, err error) {
	sealed, err := f.r.sealed()
	if err != nil {
		return nil, err
	}
	for i := range f.list {
		if !sealed[f.list[i].patientID] {
			places = append(places, i)
		}
	}
	return places, nil
}

// page implements finds.
func (f *cohortFinds) page(_ context.Context, _ viewer.Actor, out *viewer.SearchResult, rows int) (views []shown, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	places, err := f.open()
	if err != nil {
		return nil, err
	}
	out.Found, out.Void, out.Withheld = len(places), f.void, out.Withheld+f.withheld
	for _, i := range places[min(out.From, len(places)):min(out.From+rows, len(places))] {
		p := &f.list[i]
		out.People = append(out.People, viewer.CohortRow{PatientRow: f.r.row(p.person(), f.at), Records: p.records, First: p.first, Last: p.last})
		if !p.shown {
			views = append(views, shown{source: p.source, patient: p.id, typ: "Patient", count: max(1, p.records), seen: func() { f.seen(i) }})
		}
	}
	return views, nil
}

func (f *cohortFinds) seen(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list[i].shown = true
}

// CohortCSV implements viewer.Searches.
func (r *Room) CohortCSV(ctx context.Context, a viewer.Actor, id string) ([]byte, error) {
	s, err := r.findSearch(a, id)
	if err != nil {
		return nil, err
	}
	f, ok := s.finds.(*cohortFinds)
	if !ok {
		return nil, viewer.ErrNotFound
	}
	if res := s.result(); res.Running || res.Why != "" {
		return nil, &viewer.Refusal{Words: "The search has not looked at everything, so the list is not whole. Let it come to its end, or start it again. Nothing was exported."}
	}
	list, err := f.all()
	if err != nil {
		return nil, locked(err)
	}
	var events []store.Event
	for i := range list { // who saw a patient is asked by patient
		p := &list[i]
		events = append(events, store.Event{Code: "cohort.export", Key: store.Key{Source: p.source, Type: "Patient"}, Patient: p.id})
	}
	if err := r.notes(a, events, "search "+s.id); err != nil {
		return nil, err
	}
	e := store.Event{Code: "cohort.export", Count: len(list)}
	if err := r.note(a, e, "search "+s.id, fmt.Sprintf("%d patients: %s", len(list), s.words)); err != nil {
		return nil, err
	}
	return cohortFile(list, f.at.In(r.o.Zone()))
}

// all returns those who were not sealed since.
func (f *cohortFinds) all() (list []cohortPatient, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	places, err := f.open()
	for _, i := range places {
		list = append(list, f.list[i])
	}
	return list, err
}

// cohortFile writes patients as a file for a spreadsheet.
func cohortFile(list []cohortPatient, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"name", "born", "age on " + at.Format("2006-01-02"), "sex", "MRN", "phone", "state", "records", "first", "last", "source", "id"}}
	for i := range list {
		p, t := list[i].person(), &list[i].times
		rows = append(rows, []string{p.Name, p.Born, p.Entry.Age(at), p.Sex, p.MRN, p.Phone, p.State(), strconv.Itoa(t.records), t.first, t.last, p.source, p.ID})
	}
	for _, row := range rows {
		for i := range row {
			row[i] = cell(row[i])
		}
		if err := w.Write(row); err != nil {
			return nil, err
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// cell makes foreign text safe for a spreadsheet: what it might take for a formula gets
// an apostrophe before it, which says that it is text.
func cell(s string) string {
	s = chart.CleanLine(s)
	if s != "" && strings.ContainsRune("=+-@|%＝＋－＠", []rune(s)[0]) {
		return "'" + s
	}
	return s
}
