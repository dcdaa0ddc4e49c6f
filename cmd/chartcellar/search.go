package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/store"
	"chartcellar/store/chart"
)

func searchCommand(e *env) *cobra.Command {
	var o searchOptions
	c := command("search TEXT...", "Find words and codes in all records and notes",
		`search reads every record of the copy and shows those that hold the words: in coded
names, in remarks, in notes and other text in the records and in the files that they
name (accents and capitals do not count; a picture or a PDF cannot be searched).
Several words in quotes are one phrase; several phrases must all occur, those of --not
must not. A code is found by itself (4548-4) or with its system (LOINC|4548-4). With
--from and --to only records that lie between by their own date are shown. Records that the EMR has removed, and older versions, are not
searched. Hits are shown as they are found. Each search is a line in the journal.

Exit codes: 0 good (also without a hit), 2 usage, 12 failed, 13 damage: what could not
be read is counted, 15 locked.`,
		cobra.MinimumNArgs(1), func(ctx context.Context, a []string) error { return e.search(ctx, a, o) })
	o.add(c)
	c.Flags().StringSliceVar(&o.types, "type", nil, "only these types: Condition,DocumentReference")
	c.Flags().StringArrayVar(&o.not, "not", nil, "a phrase that must not occur; may be given several times")
	c.Flags().StringVar(&o.from, "from", "", "only records of this day (2026-03-01), month or year, or later")
	c.Flags().StringVar(&o.to, "to", "", "only records of this day, month or year, or earlier")
	c.Flags().IntVar(&o.limit, "limit", 0, "stop after so many hits; 0: none")
	return c
}

type searchOptions struct {
	readFlags
	types, not []string
	from, to   string
	limit      int
}

// A searchHit is one record that was found.
type searchHit struct {
	Patient string `json:"patient"` // id; "" if the record names none
	Name    string `json:"name"`    // of the patient
	Record  string `json:"record"`
	Date    string `json:"date"`
	chart.Hit
}

// A searchEnd is the last line of a search.
type searchEnd struct {
	Hits    int      `json:"hits"`
	Looked  int      `json:"looked"` // records that were read
	Of      int      `json:"of"`
	Types   []string `json:"types"`
	Unread  int      `json:"unread,omitempty"`
	Sealed  int      `json:"sealed,omitempty"` // records of patients who are sealed: not read
	Limited bool     `json:"limited,omitempty"`
}

// errLimit ends a search that has found enough.
var errLimit = errors.New("enough hits")

func (e *env) search(ctx context.Context, phrases []string, o searchOptions) error {
	terms := chart.Terms{Words: phrases, Not: o.not, Types: o.types, From: o.from, To: o.to}
	q, err := terms.Search()
	if err != nil {
		return usage(err.Error())
	}
	return e.read(ctx, "search", o.readFlags, func(ctx context.Context, r *reading) error {
		types, err := r.Types(q.Types())
		var unknown *charts.TypeError
		if errors.As(err, &unknown) {
			return usage(err.Error())
		}
		if err != nil {
			return err
		}
		err = r.M.Journal(store.Event{Code: "records.search", Account: "owner", Key: store.Key{Source: r.Source}, Note: terms.String()})
		if err != nil {
			return err
		}
		s := &searcher{e: e, r: r, limit: o.limit, all: len(o.types) == 0, names: map[string]string{}, end: searchEnd{Types: types}}
		if err := s.scan(ctx, q); err != nil {
			return err
		}
		return s.finish()
	})
}

// A searcher shows hits as they come.
type searcher struct {
	e     *env
	r     *reading
	limit int
	all   bool // no type was named

	// mu covers what follows, and the output.
	mu    sync.Mutex
	end   searchEnd
	names map[string]string // of patients, by id
}

func (s *searcher) scan(ctx context.Context, q *chart.Search) error {
	scan := &charts.Scan{Reading: &s.r.Reading, Named: s.end.Types}
	if err := scan.Count(ctx); err != nil {
		return err
	}
	notes := scan.Notes(q, true)
	err := scan.Run(ctx, func(w int, r chart.Resource) error {
		hit, ok := notes.Look(ctx, w, r)
		if !ok {
			return nil
		}
		return s.show(ctx, searchHit{Patient: charts.PatientOf(r.Raw), Record: r.Ref(), Date: chart.DateOf(r.Raw), Hit: hit})
	})
	s.end.Looked, s.end.Of, s.end.Unread, s.end.Sealed = scan.Looked(), scan.Of(), scan.Unread(), scan.Sealed()
	if errors.Is(err, errLimit) {
		s.end.Limited = true
		return nil
	}
	return err
}

// show prints one hit at once.
func (s *searcher) show(ctx context.Context, h searchHit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limit > 0 && s.end.Hits >= s.limit {
		return errLimit
	}
	if err := s.note(h.Patient); err != nil {
		return err
	}
	s.end.Hits++
	h.Name = s.name(ctx, h.Patient)
	if s.e.json {
		return s.line(h)
	}
	who := "no patient named"
	if h.Patient != "" {
		who = strings.TrimSpace(h.Name + " Patient/" + h.Patient)
	}
	date := h.Date
	if date == "" {
		date = "no date"
	}
	_, err := fmt.Fprintf(s.e.Stdout, "%s  %s  %s\n", chart.CleanLine(h.Record), date, chart.CleanLine(who))
	for _, one := range append([]chart.Hit{h.Hit}, h.More...) {
		s.e.lines("    ", one.Where+": "+one.Snippet)
	}
	return err
}

// note writes down that something of a patient is shown, once. The caller holds mu.
func (s *searcher) note(patient string) error {
	if _, known := s.names[patient]; known || patient == "" {
		return nil
	}
	return s.r.seen("search.shown", store.Key{}, patient)
}

// name returns a patient's name; "" if the copy has none. The caller holds mu.
func (s *searcher) name(ctx context.Context, id string) string {
	name, ok := s.names[id]
	if ok || id == "" {
		return name
	}
	if raw, found := (s.r.Finder(ctx)).Find("Patient", id); found {
		en := chart.NewEntry(chart.Resource{Type: "Patient", ID: id, Raw: raw})
		name = en.Name
	}
	s.names[id] = name
	return name
}

func (s *searcher) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = s.e.Stdout.Write(append(b, '\n'))
	return err
}

func (s *searcher) finish() error {
	if s.e.json {
		if err := s.line(s.end); err != nil {
			return err
		}
	} else {
		end := &s.end
		of := fmt.Sprintf("these types: %s", strings.Join(end.Types, ", "))
		if s.all {
			of = fmt.Sprintf("all %d types", len(end.Types))
		}
		s.e.lines("", fmt.Sprintf("%s in %d of %d records of %s.", plural(end.Hits, "hit"), end.Looked, end.Of, of))
		if end.Limited {
			s.e.printf("Stopped at %s; there may be more: leave --limit out.\n", plural(s.limit, "hit"))
		}
		if end.Sealed > 0 {
			s.e.printf("%s of patients who are sealed: not searched.\n", several(end.Sealed, "record is", "records are"))
		}
		if end.Unread > 0 {
			s.e.printf("%s Stored bytes are damaged; see: chartcellar verify --depth full\n", chart.Unreadable(end.Unread, end.Of))
		}
	}
	if s.end.Unread > 0 {
		return quiet(exitDamage)
	}
	return nil
}
