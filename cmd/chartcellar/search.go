package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/store"
	"chartcellar/store/chart"
)

func searchCommand(e *env) *cobra.Command {
	var o searchOptions
	c := command("search TEXT...", "Find words and codes in all records and notes",
		`search reads every record of the copy and shows those that hold the words: in coded
names, in remarks, in notes and other text inside the records (accents and capitals
do not count; a picture or a PDF cannot be searched). Several words in quotes are one
phrase; several phrases must all occur. A code is found by itself (4548-4) or with its
system (LOINC|4548-4). Records that the EMR has removed, and older versions, are not
searched. Hits are shown as they are found. Each search is a line in the journal.

Exit codes: 0 good (also without a hit), 2 usage, 12 failed, 13 damage: what could not
be read is counted, 15 locked.`,
		cobra.MinimumNArgs(1), func(ctx context.Context, a []string) error { return e.search(ctx, a, o) })
	o.add(c)
	c.Flags().StringSliceVar(&o.types, "type", nil, "only these types: Condition,DocumentReference")
	c.Flags().IntVar(&o.limit, "limit", 0, "stop after so many hits; 0: none")
	return c
}

type searchOptions struct {
	readFlags
	types []string
	limit int
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
	q, err := chart.NewSearch(phrases)
	if err != nil {
		return usage(err.Error())
	}
	return e.read(ctx, "search", o.readFlags, func(ctx context.Context, r *reading) error {
		types, err := r.searched(o.types)
		if err != nil {
			return err
		}
		err = r.M.Journal(store.Event{Code: "records.search", Account: "owner", Key: store.Key{Source: r.Source},
			Note: strings.Join(append(slices.Clone(phrases), o.types...), " / ")})
		if err != nil {
			return err
		}
		s := &searcher{e: e, r: r, limit: o.limit, all: len(o.types) == 0,
			names: map[string]string{}, end: searchEnd{Types: types}}
		for range workers() {
			s.matchers = append(s.matchers, q.Matcher())
		}
		for _, t := range types {
			if err := s.scan(ctx, t); err != nil {
				return err
			}
		}
		return s.finish()
	})
}

// searched returns the types to look through: those named, else all.
func (r *reading) searched(named []string) ([]string, error) {
	types, err := r.Snap.Types()
	if err != nil || len(named) == 0 {
		return types, err
	}
	for _, t := range named {
		if !slices.Contains(types, t) {
			return nil, usage(fmt.Sprintf("the copy has no records of the type %s; it has %s", t, strings.Join(types, ", ")))
		}
	}
	return named, nil
}

// A searcher shows hits as they come.
type searcher struct {
	e        *env
	r        *reading
	limit    int
	all      bool // no type was named
	matchers []*chart.Matcher
	looked   atomic.Int64

	// mu covers what follows, and the output.
	mu    sync.Mutex
	end   searchEnd
	names map[string]string // of patients, by id
}

func (s *searcher) scan(ctx context.Context, typ string) error {
	n, err := s.r.Snap.CountOf(s.r.Source, typ)
	if err != nil {
		return err
	}
	sealed, err := s.r.Snap.Hidden(s.r.Source, typ)
	if err != nil {
		return err
	}
	s.end.Of, s.end.Sealed = s.end.Of+n, s.end.Sealed+sealed
	if s.end.Limited {
		return nil
	}
	err = s.r.Snap.EachParallel(ctx, s.r.Source, typ, len(s.matchers), func(w int, id string, raw []byte) error {
		s.looked.Add(1)
		if !s.matchers[w].May(raw) {
			return nil
		}
		hit, ok := s.matchers[w].Match(chart.Resource{Type: typ, ID: id, Raw: raw})
		if !ok {
			return nil
		}
		return s.show(ctx, searchHit{Patient: charts.PatientOf(raw), Record: typ + "/" + id, Date: chart.DateOf(raw), Hit: hit})
	})
	var damage *store.DamagedError
	switch {
	case errors.Is(err, errLimit):
		s.end.Limited = true
	case errors.As(err, &damage):
		s.end.Unread += damage.Records
	default:
		return err
	}
	return nil
}

// show prints one hit at once.
func (s *searcher) show(ctx context.Context, h searchHit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limit > 0 && s.end.Hits >= s.limit {
		return errLimit
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
	s.e.lines("    ", h.Where+": "+h.Snippet)
	return err
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
	s.end.Looked = int(s.looked.Load())
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
