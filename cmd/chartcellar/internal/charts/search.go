package charts

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
)

// How many searches go on at once, how many are kept, and how long one goes on if
// nobody looks at it, and at all.
const (
	searchesAtOnce = 2
	searchesKept   = 8
	searchUnseen   = time.Minute
	searchLongest  = 15 * time.Minute
	searchKeptFor  = 30 * time.Minute
)

// searches are those that go on, and those that are over and can still be looked at.
type searches struct {
	running sync.WaitGroup

	// mu covers what follows.
	mu   sync.Mutex
	list []*search // the oldest first
}

// A search goes on by itself.
type search struct {
	id, account string
	emergency   string // under which it began
	since       uint32 // the newest run that was closed then
	ask         viewer.SearchAsk
	words, copy string
	started     time.Time
	sensitive   bool // finds what is labelled sensitive
	now         func() time.Time
	cancel      context.CancelCauseFunc
	scans       []*Scan
	several     bool   // there are several sources
	begins      func() // is called when it has something to look at
	patient     patientID
	lacks       []string // types that are needed and that the copy does not have
	finds       finds
	looks       atomic.Int64
	withheld    atomic.Int64

	// showing is held while a page of it is journalled, so that nothing is twice.
	showing sync.Mutex

	// mu covers what follows.
	mu   sync.Mutex
	seen time.Time // when somebody looked at it last
	over bool
	why  string // why it ended early
	err  error
}

// finds are what a search finds. Their methods may be called while it runs.
type finds interface {
	// run looks at all that is to be looked at.
	run(ctx context.Context, s *search) error
	// page fills in a page of the result, as far as an actor may see it, and says which
	// patients are on it that were not shown before.
	page(ctx context.Context, a viewer.Actor, r *viewer.SearchResult, rows int) ([]shown, error)
}

// A shown is a patient, or if there is none a type of record, of which a page shows
// count records; seen is called once that is journalled.
type shown struct {
	source, patient, typ string
	count                int
	seen                 func()
}

// What ends a search before its end.
var (
	errStopped = errors.New("the search was cancelled")
	errUnseen  = errors.New("nobody looks at the search")
	errTooLong = errors.New("the search takes too long")
)

// EMRs implements viewer.Searches.
func (r *Room) EMRs() []string {
	if list := r.o.Sources(); len(list) > 1 {
		return list
	}
	return nil
}

// StartSearch implements viewer.Searches.
func (r *Room) StartSearch(ctx context.Context, a viewer.Actor, ask viewer.SearchAsk) (string, error) {
	if r.m.Locked() {
		return "", viewer.ErrLocked
	}
	s := &search{id: rand.Text(), account: a.Account, emergency: a.Emergency, since: r.lastClosed(), ask: ask, sensitive: a.Sensitive, started: r.o.Now(), seen: r.o.Now(), now: r.o.Now}
	s.several = len(r.o.Sources()) > 1
	var err error
	if s.words, err = r.prepare(s); err != nil {
		return "", askRefused(err)
	}
	if s.copy, err = r.copyWords(ask.AsOf); err != nil {
		return "", err
	}
	if err := r.searches.room(a.Account); err != nil {
		return "", err
	}
	k := store.Key{Source: s.patient.source}
	if err := r.journal(a, "records.search", k, s.patient.id, "search "+s.id, "for "+string(ask.Kind)+": "+s.words); err != nil {
		return "", err
	}
	ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	r.searches.begin(ctx, s)
	if r.m.Locked() { // it went meanwhile, and with it what was there to be forgotten
		r.searches.forget()
		return "", viewer.ErrLocked
	}
	return s.id, nil
}

// prepare makes what a search does, and says it in words.
func (r *Room) prepare(s *search) (words string, err error) {
	switch s.ask.Kind {
	case viewer.SearchNotes:
		s.finds, words, err = r.newNotes(s)
	case viewer.SearchCodes:
		s.finds, words, err = r.newCodes(s)
	case viewer.SearchCohort:
		s.finds, words, err = r.newCohort(s)
	default:
		err = viewer.ErrNotFound
	}
	if s.ask.EMR != "" {
		words += "; of " + s.ask.EMR
	}
	if s.ask.AsOf != "" {
		words += "; as of " + s.ask.AsOf
	}
	return words, err
}

// readings returns the records of the sources that are asked for.
func (r *Room) readings(ask viewer.SearchAsk) (list []*Reading, err error) {
	for _, source := range r.o.Sources() {
		if ask.EMR != "" && ask.EMR != source {
			continue
		}
		rd, _, err := r.reading(source, ask.AsOf)
		if err != nil {
			return nil, err
		}
		list = append(list, rd)
	}
	if len(list) == 0 {
		return nil, viewer.ErrNotFound
	}
	return list, nil
}

// terms puts together what was typed and what was chosen beside it.
func terms(ask viewer.SearchAsk) chart.Terms {
	t := chart.ParseTerms(ask.Text)
	t.Types = append(t.Types, ask.Types...)
	if ask.From != "" {
		t.From = ask.From
	}
	if ask.To != "" {
		t.To = ask.To
	}
	return t
}

// askRefused puts what is wrong with a search into words for who typed it.
func askRefused(err error) error {
	var other *viewer.Refusal
	if errors.As(err, &other) || errors.Is(err, viewer.ErrNotFound) || errors.Is(err, viewer.ErrLocked) || errors.Is(err, store.ErrLocked) {
		return locked(err)
	}
	if errors.Is(err, chart.ErrNothing) {
		return &viewer.Refusal{Words: "Type at least one word, phrase or code that must occur. Nothing was searched."}
	}
	words := err.Error()
	first, n := utf8.DecodeRuneInString(words)
	return &viewer.Refusal{Words: string(unicode.ToUpper(first)) + words[n:] + ". Nothing was searched."}
}

// StopSearches implements viewer.Searches.
func (r *Room) StopSearches(a viewer.Actor) { r.searches.stop(a.Account) }

// stop stops what an account searches for.
func (l *searches) stop(account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.list {
		if s.account == account {
			s.cancel(errStopped)
		}
	}
}

// room stops what an account searches for already, and tells whether there is room for
// one more search.
func (l *searches) room(account string) error {
	l.stop(account)
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, s := range l.list {
		if s.account != account && s.runs() {
			n++
		}
	}
	if n >= searchesAtOnce {
		return &viewer.Refusal{Words: fmt.Sprintf("%d searches of others are under way, and each looks at all records. Wait a little and search again. Nothing was searched.", n)}
	}
	return nil
}

// begin starts a search and forgets those that are too old, or too many.
func (l *searches) begin(ctx context.Context, s *search) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var kept []*search
	for i, old := range l.list {
		if late := s.now().Sub(old.lastSeen()) > searchKeptFor; old.runs() || !late && len(l.list)-i < searchesKept {
			kept = append(kept, old)
		}
	}
	l.list = append(kept, s)
	l.running.Go(func() { s.run(ctx) })
}

// find returns the search of an account; nil if there is none.
func (l *searches) find(account, id string) *search {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.list {
		if s.id == id && s.account == account && s.now().Sub(s.lastSeen()) <= searchKeptFor {
			return s
		}
	}
	return nil
}

// forget ends all searches, drops what they found, and waits until they are over.
func (l *searches) forget() {
	l.mu.Lock()
	for _, s := range l.list {
		s.cancel(errStopped)
	}
	l.list = nil
	l.mu.Unlock()
	l.running.Wait()
}

func (s *search) runs() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.over
}

func (s *search) lastSeen() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// run looks at everything, while what there is is counted: not before the first record
// is looked at, which is to come soon.
func (s *search) run(ctx context.Context) {
	var counting sync.WaitGroup
	var uncounted error
	begun := make(chan struct{})
	s.begins = sync.OnceFunc(func() { close(begun) })
	counting.Go(func() {
		<-begun
		for _, scan := range s.scans {
			if err := scan.Count(ctx); err != nil && ctx.Err() == nil {
				uncounted = err
			}
		}
	})
	err := s.finds.run(ctx, s)
	s.begins() // there may have been nothing
	ended := context.Cause(ctx)
	if err != nil {
		s.cancel(err)
	}
	counting.Wait()
	s.cancel(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	switch {
	case err == nil || ended == nil:
		s.err = locked(errors.Join(err, uncounted))
	case errors.Is(ended, errUnseen):
		s.why = "Nobody looked at it any more, so it was ended."
	case errors.Is(ended, errTooLong):
		s.why = fmt.Sprintf("It took longer than %d minutes, so it was ended.", int(searchLongest.Minutes()))
	default:
		s.why = "It was cancelled."
	}
}

// through looks at every record of a scan that may be searched.
func (s *search) through(ctx context.Context, scan *Scan, look func(w int, r chart.Resource) error) error {
	return scan.Run(ctx, func(w int, r chart.Resource) error {
		if s.looks.Add(1)%128 == 1 {
			s.begins()
			s.due()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !s.sensitive && chart.Sensitive(r.Raw) {
			s.withheld.Add(1)
			return nil
		}
		return look(w, r)
	})
}

// closed reports whether a record of an old copy was labelled sensitive later, and the search
// is not to find that.
func (s *search) closed(ctx context.Context, rd *Reading, r chart.Resource) bool {
	return rd.closed(ctx, viewer.Actor{Sensitive: s.sensitive}, r.Type, r.ID, r.Raw)
}

// due ends a search that is to end by itself.
func (s *search) due() {
	now := s.now()
	switch {
	case now.Sub(s.lastSeen()) > searchUnseen:
		s.cancel(errUnseen)
	case now.Sub(s.started) > searchLongest:
		s.cancel(errTooLong)
	}
}

// Search implements viewer.Searches.
func (r *Room) Search(ctx context.Context, a viewer.Actor, id string, from int, rows func(viewer.SearchKind) int) (viewer.SearchResult, error) {
	s, err := r.findSearch(a, id)
	if err != nil {
		return viewer.SearchResult{}, err
	}
	s.showing.Lock()
	defer s.showing.Unlock()
	out := s.result()
	out.From = from
	list, err := s.finds.page(ctx, a, &out, rows(s.ask.Kind))
	if err != nil {
		return viewer.SearchResult{}, locked(err)
	}
	var events []store.Event
	for _, one := range list {
		events = append(events, store.Event{Code: "search.shown", Key: store.Key{Source: one.source, Type: one.typ}, Patient: one.patient, Count: one.count})
	}
	if err := r.notes(a, events, "search "+s.id); err != nil {
		return viewer.SearchResult{}, err
	}
	for _, one := range list {
		one.seen()
	}
	return out, nil
}

// findSearch returns the search of an actor, which is looked at by that.
func (r *Room) findSearch(a viewer.Actor, id string) (*search, error) {
	if r.m.Locked() {
		return nil, viewer.ErrLocked
	}
	s := r.searches.find(a.Account, id)
	switch {
	case s == nil:
		return nil, viewer.ErrNotFound
	case s.sensitive && !a.Sensitive, s.emergency != "" && s.emergency != a.Emergency: // counts do not say what they were made of
		return nil, &viewer.Refusal{Words: "This search looked at what is labelled sensitive, which and the access under which it began has ended. Search again."}
	case !a.Sensitive && s.since != r.lastClosed(): // what was found may have been labelled since
		return nil, &viewer.Refusal{Words: "The office copy has changed since this search began, and what was found may have been labelled sensitive. Search again."}
	}
	s.due()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = s.now()
	return s, s.err
}

// result is how far a search is.
func (s *search) result() viewer.SearchResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := viewer.SearchResult{ID: s.id, Ask: s.ask, Words: s.words, Copy: s.copy, Started: s.started, Running: !s.over, Why: s.why, Lacks: s.lacks, Several: s.several,
		Withheld: int(s.withheld.Load())}
	counted := true
	for _, scan := range s.scans {
		out.Looked += scan.Looked()
		out.Unread += scan.Unread()
		out.Sealed += scan.Sealed()
		of := scan.Of()
		out.Of, counted = out.Of+of, counted && of >= 0
	}
	if !counted {
		out.Of = -1
	}
	return out
}

// sealed returns who is sealed now: what was found of them before is not shown any more.
func (r *Room) sealed() (map[patientID]bool, error) {
	list, err := r.m.Sealed()
	if err != nil {
		return nil, err
	}
	in := map[patientID]bool{}
	for _, s := range list {
		in[patientID{s.Source, s.Patient}] = true
	}
	return in, nil
}

// StopSearch implements viewer.Searches.
func (r *Room) StopSearch(_ context.Context, a viewer.Actor, id string) error {
	s, err := r.findSearch(a, id)
	if err != nil {
		return err
	}
	s.cancel(errStopped)
	return nil
}

// person returns a patient as a list shows him to an actor; one without a record has only
// an id.
func (r *Room) person(ctx context.Context, a viewer.Actor, rd *Reading, id string, at time.Time) (viewer.PatientRow, error) {
	if id == "" {
		return viewer.PatientRow{Source: rd.Source}, nil
	}
	v, _, err := rd.Last(ctx, rd.Key("Patient", id))
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrDamaged), errors.Is(err, store.ErrSealed), err == nil && v.Deleted:
		return r.row(&person{chart.Entry{ID: id}, rd.Source}, at), nil
	case err != nil:
		return viewer.PatientRow{}, err
	}
	en := chart.NewEntry(chart.Resource{Type: "Patient", ID: id, Raw: v.Raw})
	if rd.closed(ctx, a, "Patient", id, v.Raw) {
		en.Sensitive = true
		en = en.Withhold()
	}
	return r.row(&person{en, rd.Source}, at), nil
}
