package charts

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
)

// Options say what a Room shows. All must be set.
type Options struct {
	Mirror *store.Mirror
	Now    func() time.Time
	Zone   func() *time.Location
	// Sources returns the names of the EMRs.
	Sources func() []string
	// Age says how good the newest copy of a source is, in words.
	Age func(source string) (string, error)
	// Words says what a code of the journal means; system, that such a line tells of no
	// patient.
	Words func(code string) (words string, system bool)
	// Dated is Age without how long ago that was, for what is kept.
	Dated func(source string) (string, error)
	// Practice is its name, and Base the address of an EMR, "" if it is not known.
	Practice func() string
	Base     func(source string) string
}

// A Room answers the pages about patients. Its methods may be called from many
// goroutines.
type Room struct {
	o         Options
	m         *store.Mirror
	addresses address
	roster    roster
	searches  searches
	activity  *activityKeeper
	turns     turns

	// mu covers what follows.
	mu     sync.Mutex
	opened map[openedKey]*list.Element
	order  *list.List              // of *openedChart, the last used first
	recent map[string][]viewer.Ref // by account, the last first
	leaves map[leaf]time.Time      // pages of documents that were written down
	times  uint64                  // how often all this was forgotten
}

var (
	_ viewer.Charts   = (*Room)(nil)
	_ viewer.Searches = (*Room)(nil)
	_ viewer.Giving   = (*Room)(nil)
)

// New makes a Room. It reads nothing.
func New(o Options) (*Room, error) {
	a, err := newAddress(o.Mirror.AddressKey())
	if err != nil {
		return nil, err
	}
	r := &Room{o: o, m: o.Mirror, addresses: a, activity: newActivityKeeper()}
	r.Forget()
	return r, nil
}

// Forget drops everything that was read: nobody who may see charts is signed in.
func (r *Room) Forget() {
	r.searches.forget()
	r.roster.forget()
	r.activity.forget()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened, r.order, r.recent = map[openedKey]*list.Element{}, list.New(), map[string][]viewer.Ref{}
	r.leaves = map[leaf]time.Time{}
	r.times++
}

// forgotten is how often the room was forgotten: what was read before the last time is not
// put back.
func (r *Room) forgotten() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.times
}

// journal writes the line of a view before it is shown (I14).
func (r *Room) journal(a viewer.Actor, code string, k store.Key, patient string, words ...string) error {
	return r.note(a, store.Event{Code: code, Key: k, Patient: patient}, words...)
}

// note writes an event of an actor into the journal, with words as its note.
func (r *Room) note(a viewer.Actor, e store.Event, words ...string) error {
	return r.notes(a, []store.Event{e}, words...)
}

// notes writes several of them, with one sync and the same note.
func (r *Room) notes(a viewer.Actor, events []store.Event, words ...string) error {
	for i := range events {
		events[i].Account, events[i].Note = a.Account, Note(a, words...)
	}
	return r.m.Journal(events...)
}

// Note is the note of a line about what an actor did, in words: TakeApart takes it apart.
func Note(a viewer.Actor, words ...string) string {
	words = append(words, "from "+a.Address, "request "+a.Request)
	if a.Emergency != "" {
		words = append(words, "emergency "+a.Emergency)
	}
	return strings.Join(words, "; ")
}

// reading returns the records of a source, as they stand now or stood at the end of a
// day; at is what ages refer to.
func (r *Room) reading(source, asOf string) (rd *Reading, at time.Time, err error) {
	rd, at, _, err = r.readingOf(source, asOf)
	return rd, at, err
}

// copyOf says in words which copy reading gives. How long ago that was changes all the
// time: the words are not kept.
func (r *Room) copyOf(source, asOf string) (string, error) {
	if asOf == "" {
		return r.o.Age(source)
	}
	_, _, run, err := r.readingOf(source, asOf)
	return fmt.Sprintf("As of %s: the copy as it stood after run %d, which ended %s. Later changes are not shown.",
		asOf, run.Number, run.Ended.In(r.o.Zone()).Format("2006-01-02 15:04")), err
}

// readingOf is reading with the run that had ended at the end of the day.
func (r *Room) readingOf(source, asOf string) (rd *Reading, at time.Time, run store.RunInfo, err error) {
	rd, at = &Reading{M: r.m, Source: source, Base: r.o.Base(source)}, r.o.Now()
	if r.m.Locked() {
		return nil, at, run, viewer.ErrLocked
	}
	if asOf == "" {
		rd.Snap, err = r.m.Now()
		return rd, at, run, err
	}
	end, run, err := rd.GoBack(asOf, r.o.Zone())
	var early *store.TooEarlyError
	switch {
	case errors.Is(err, ErrDay):
		return nil, at, run, viewer.ErrNotFound
	case errors.As(err, &early):
		return nil, at, run, &viewer.Refusal{Words: "There is no copy from that day: " + early.Error() + ". Choose a later day."}
	case err != nil:
		return nil, at, run, err
	case end.Before(at):
		at = end
	}
	return rd, at, run, nil
}

// locked tells pages that the key has gone meanwhile.
func locked(err error) error {
	if errors.Is(err, store.ErrLocked) {
		return viewer.ErrLocked
	}
	return err
}

// keptRecords is of how many records charts are kept for the next click; the last one is
// kept whatever its size. A record takes about a kilobyte.
const keptRecords = 20_000

// An openedKey names a chart as it stood.
type openedKey struct {
	source, id, asOf string
	sensitive        bool // with what is labelled sensitive
	generation       uint64
	times            uint64 // as Room.times
	day              string // for which ages were worked out
}

// An openedChart is a chart that was made.
type openedChart struct {
	key     openedKey
	chart   *chart.Chart
	removed bool
}

// open makes the chart of a patient, or takes the one that was made for the page before.
func (r *Room) open(ctx context.Context, a viewer.Actor, source, id, asOf string) (*openedChart, error) {
	k := openedKey{source, id, asOf, a.Sensitive, r.m.Generation(), r.forgotten(), r.o.Now().In(r.o.Zone()).Format("2006-01-02")}
	if c := r.remembered(k); c != nil && !r.m.Locked() {
		return c, nil
	}
	defer r.turns.page()()
	rd, at, err := r.reading(source, asOf)
	if err != nil {
		return nil, err
	}
	c := &openedChart{key: k}
	c.chart, c.removed, err = rd.Build(ctx, id, chart.Options{At: at, Sensitive: a.Sensitive, Timeline: true})
	if errors.Is(err, store.ErrNotFound) {
		return nil, viewer.ErrNotFound
	}
	if err != nil {
		return nil, locked(err)
	}
	r.remember(c)
	return c, nil
}

func (r *Room) remembered(k openedKey) *openedChart {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.opened[k]
	if !ok {
		return nil
	}
	r.order.MoveToFront(e)
	return e.Value.(*openedChart)
}

func (r *Room) remember(c *openedChart) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m.Locked() || c.key.times != r.times { // it went while the chart was made
		return
	}
	if r.opened[c.key] != nil { // another page made it at the same time
		return
	}
	r.opened[c.key] = r.order.PushFront(c)
	records := 0
	for e := r.order.Front(); e != nil; {
		one, after := e.Value.(*openedChart), e.Next()
		if records += one.chart.Records; records > keptRecords && one != c {
			delete(r.opened, r.order.Remove(e).(*openedChart).key)
		}
		e = after
	}
}

// Chart implements viewer.Charts.
func (r *Room) Chart(ctx context.Context, a viewer.Actor, p viewer.Place, section string) (viewer.Chart, error) {
	head, c, err := r.head(ctx, a, p, section)
	if err != nil {
		return viewer.Chart{}, err
	}
	return viewer.Chart{ChartHead: head, Whole: c.chart}, nil
}

// head opens a chart for a page: the journal line is written first.
func (r *Room) head(ctx context.Context, a viewer.Actor, p viewer.Place, section string) (viewer.ChartHead, *openedChart, error) {
	source, typ, id, err := r.Open(p.Ref)
	if err == nil && typ != "Patient" {
		err = viewer.ErrNotFound
	}
	if err != nil {
		return viewer.ChartHead{}, nil, err
	}
	times, words := r.forgotten(), []string{section}
	if p.AsOf != "" {
		words = append(words, "as of "+p.AsOf)
	}
	if err := r.journal(a, "chart.view", store.Key{Source: source, Type: "Patient"}, id, words...); err != nil {
		return viewer.ChartHead{}, nil, err
	}
	h, c, err := r.banner(ctx, a, source, id, p)
	if err == nil {
		r.visited(a, p.Ref, times)
	}
	return h, c, err
}

// banner opens a chart for a page whose journal line is written.
func (r *Room) banner(ctx context.Context, a viewer.Actor, source, id string, p viewer.Place) (viewer.ChartHead, *openedChart, error) {
	c, err := r.open(ctx, a, source, id, p.AsOf)
	if err != nil {
		return viewer.ChartHead{}, nil, err
	}
	h := viewer.ChartHead{Ref: p.Ref, AsOf: p.AsOf, Source: source, Several: len(r.o.Sources()) > 1, Banner: c.chart.Banner,
		Notices: notices(c), Plain: c.chart.PlainWords(), Records: c.chart.Records, Labelled: c.chart.Withheld, Tabs: tabs(c.chart)}
	if h.Copy, err = r.copyOf(source, p.AsOf); err != nil {
		return h, nil, err
	}
	if h.Days, err = r.days(source); err != nil {
		return h, nil, err
	}
	h.Same, err = r.same(ctx, a, source, &c.chart.Banner.Entry)
	return h, c, err
}

// notices are what must not be overlooked.
func notices(c *openedChart) (list []string) {
	if c.removed {
		list = append(list, "The EMR has removed this patient; this is what the copy kept.")
	}
	b := &c.chart.Banner
	if b.ReplacedBy != "" {
		list = append(list, "The EMR has replaced this patient by another record: look there too.")
	}
	if b.Plain {
		list = append(list, "The record of this patient is not as FHIR says; what stands above was taken from it word by word.")
	}
	if c.chart.Unread > 0 {
		list = append(list, chart.Unreadable(c.chart.Unread, c.chart.Records)+" Their stored bytes are damaged. Delete nothing; at the computer itself: chartcellar repair.")
	}
	if n := c.chart.Withheld; n > 0 {
		verb := "are"
		if n == 1 {
			verb = "is"
		}
		list = append(list, fmt.Sprintf("%d of %d records %s labelled sensitive and not shown to your role.", n, c.chart.Records, verb))
	}
	return list
}

// tabs are the pages of a chart, with how many records each stands for.
func tabs(c *chart.Chart) []viewer.ChartTab {
	list := []viewer.ChartTab{{Key: "", Title: "Summary", Records: -1}}
	for _, s := range c.Sections {
		title := strings.ToUpper(s.Title[:1]) + strings.ToLower(s.Title[1:])
		if s.Key == "results" {
			title = "Labs and results"
		}
		list = append(list, viewer.ChartTab{Key: viewer.PageOf(s.Key), Title: title, Records: s.Records + s.Inside})
	}
	list = slices.Insert(list, 1, viewer.ChartTab{Key: "timeline", Title: "Timeline", Records: -1})
	list = append(list, viewer.ChartTab{Key: "changes", Title: "What changed", Records: -1})
	return list
}

// shownDays is how many days are offered to go back to.
const shownDays = 30

// days are those on which a copy was made.
func (r *Room) days(source string) (list []time.Time, err error) {
	runs, err := r.m.Runs()
	for _, run := range runs {
		if run.Kind != "sync" || run.Closing == 0 || run.Source != source {
			continue
		}
		day := run.Ended.In(r.o.Zone())
		if n := len(list); n == 0 || list[n-1].YearDay() != day.YearDay() || list[n-1].Year() != day.Year() {
			list = append(list, day)
		}
		if len(list) == shownDays {
			break
		}
	}
	return list, err
}

// keptRecent is how many patients are remembered for an account.
const keptRecent = 12

func (r *Room) visited(a viewer.Actor, ref viewer.Ref, times uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if times != r.times {
		return
	}
	list := slices.DeleteFunc(r.recent[a.Account], func(one viewer.Ref) bool { return one == ref })
	r.recent[a.Account] = append([]viewer.Ref{ref}, list...)[:min(len(list)+1, keptRecent)]
}

// ForgetRecent implements viewer.Charts.
func (r *Room) ForgetRecent(a viewer.Actor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.recent, a.Account)
}
