package fakeemr

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// results are the searches and histories that pages are given of.
type results struct {
	byToken map[string]*result
	tokens  []string // oldest first
}

// keptResults is how many results are kept; the pages of older ones are gone.
const keptResults = 2048

// A result is what a search or a history found, fixed at its first page.
type result struct {
	token  string
	kind   string // searchset or history
	path   string // below the base
	q      query
	size   int // entries of a page
	found  []*entry
	states []state // of a history
	total  int
	capped bool
	ready  bool // the first page was given
}

func (r *result) len() int { return max(len(r.found), len(r.states)) }

// keep gives a result a token under which its pages are found.
func (e *EMR) keep(r *result) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r.token = random()
	if e.results.byToken == nil {
		e.results.byToken = map[string]*result{}
	}
	e.results.byToken[r.token] = r
	e.results.tokens = append(e.results.tokens, r.token)
	if len(e.results.tokens) > keptResults {
		delete(e.results.byToken, e.results.tokens[0])
		e.results.tokens = e.results.tokens[1:]
	}
}

// listed reports whether a type is exported and can be searched.
func (e *EMR) listed(typ string) bool {
	return !slices.Contains(e.o.HiddenTypes, typ) && !(e.o.HideBinary && typ == "Binary")
}

// Listed returns the types that are exported and can be searched: those of
// Types that no option hides.
func (e *EMR) Listed() []string {
	return slices.DeleteFunc(e.Types(), func(t string) bool { return !e.listed(t) })
}

func (e *EMR) searchable(typ string) bool {
	return !e.o.NoSearch && e.listed(typ) && (e.o.SearchTypes == nil || slices.Contains(e.o.SearchTypes, typ))
}

// serveSearch answers GET [type] and POST [type]/_search.
func (e *EMR) serveSearch(w http.ResponseWriter, r *http.Request) {
	typ := r.PathValue("type")
	posted := r.Method == http.MethodPost && r.PathValue("id") == "_search"
	switch {
	case r.Method == http.MethodGet && r.PathValue("id") != "":
		outcome(w, http.StatusMethodNotAllowed, "not-supported", "_search is for POST")
		return
	case r.Method != http.MethodGet && !posted:
		e.refuseWrite(w)
		return
	}
	if !e.authorized(w, r) {
		return
	}
	f := e.Faults()
	switch {
	case !slices.Contains(e.Types(), typ):
		outcome(w, http.StatusNotFound, "not-supported", "there is no resource type "+typ)
		return
	case !e.searchable(typ):
		outcome(w, http.StatusMethodNotAllowed, "not-supported", "the type "+typ+" cannot be searched")
		return
	case f.StrictRefused && handlingStrict(r):
		outcome(w, http.StatusBadRequest, "not-supported", "handling=strict is not supported")
		return
	}
	list, err := params(r)
	if err != nil {
		outcome(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	if len(list) > 0 && list[0].key == pageKey {
		e.serveNext(w, list[0].value, typ)
		return
	}
	q := query{typ: typ, strict: handlingStrict(r), count: 50}
	q.count = min(q.count, e.o.MaxCount)
	if err := q.parse(list, e.take(&f)); err != nil {
		outcome(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	e.count(func(s *Served) { s.Searches++ })
	e.serveFirst(w, &result{kind: "searchset", path: typ, q: q, size: q.count})
}

func (e *EMR) refuseWrite(w http.ResponseWriter) {
	e.count(func(s *Served) { s.Writes++ })
	outcome(w, http.StatusMethodNotAllowed, "not-supported", "read only")
}

// serveFirst runs a query and answers its first page, or its number.
func (e *EMR) serveFirst(w http.ResponseWriter, r *result) {
	if r.q.counted {
		e.count(func(s *Served) { s.Counts++ })
		if err := e.find(r); err != nil {
			outcome(w, http.StatusInternalServerError, "exception", "the records cannot be read")
			return
		}
		e.sendCount(w, r)
		return
	}
	if f := e.Faults(); f.CountCap > 0 {
		r.size = min(r.size, f.CountCap)
	}
	e.keep(r)
	e.servePage(w, r, cursor{page: 1})
}

// find fills a result from what the EMR holds now.
func (e *EMR) find(r *result) error {
	f := e.Faults()
	if r.kind == "history" {
		return e.findStates(r, f.EmptySearch)
	}
	l, err := e.list(r.q.typ)
	if err != nil {
		return err
	}
	r.found = r.q.run(l)
	if f.EmptySearch {
		r.found = nil
	}
	r.total, r.capped = len(r.found), false
	if f.SearchCap > 0 && len(r.found) > f.SearchCap && !r.q.counted {
		r.found, r.total, r.capped = r.found[:f.SearchCap], f.SearchCap, true
	}
	if n := f.DropEntries; n > 0 {
		var left []*entry
		for i, one := range r.found {
			if i%n != n-1 {
				left = append(left, one)
			}
		}
		r.found = left
	}
	if !f.EmptySearch {
		r.total = max(0, r.total+f.CountWrong)
	}
	return nil
}

// pageKey is the parameter of links to pages.
const pageKey = "_page"

// A cursor says where in a result a page is.
type cursor struct {
	page, offset int
	empty        bool // the page is left empty
	dangling     bool // the page is not there
}

func (c cursor) String() string {
	s := fmt.Sprintf("%d-%d", c.page, c.offset)
	switch {
	case c.empty:
		s += "-e"
	case c.dangling:
		s += "-d"
	}
	return s
}

// serveNext answers a page by its link.
func (e *EMR) serveNext(w http.ResponseWriter, link, path string) {
	parts := strings.Split(link, "-")
	e.mu.Lock()
	r := e.results.byToken[parts[0]]
	e.mu.Unlock()
	if r == nil || len(parts) < 3 {
		outcome(w, http.StatusGone, "expired", "the search has expired")
		return
	}
	var c cursor
	var err1, err2 error
	c.page, err1 = strconv.Atoi(parts[1])
	c.offset, err2 = strconv.Atoi(parts[2])
	c.empty = len(parts) > 3 && parts[3] == "e"
	if err1 != nil || err2 != nil || c.offset < 0 || r.path != path || len(parts) > 3 && parts[3] == "d" {
		outcome(w, http.StatusNotFound, "not-found", "there is no such page")
		return
	}
	e.servePage(w, r, c)
}

// servePage answers one page.
func (e *EMR) servePage(w http.ResponseWriter, r *result, c cursor) {
	e.mu.Lock()
	e.served.Pages++
	pages, hook := e.served.Pages, e.faults.OnPage
	e.mu.Unlock()
	if hook != nil {
		hook(pages)
	}
	f := e.Faults()
	if f.NextExpires > 0 && c.page >= f.NextExpires && c.page > 1 {
		e.expire()
		outcome(w, http.StatusGone, "expired", "the search has expired")
		return
	}
	e.mu.Lock()
	live := *r
	e.mu.Unlock()
	if !live.ready || f.OffsetPaging {
		if err := e.find(&live); err != nil {
			outcome(w, http.StatusInternalServerError, "exception", "the records cannot be read")
			return
		}
		live.ready = true
		e.mu.Lock()
		*r = live
		e.mu.Unlock()
	}
	e.sendPage(w, &live, c, f)
}

// expire uses up one time of NextExpires.
func (e *EMR) expire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults.NextExpireTimes--
	if e.faults.NextExpireTimes <= 0 {
		e.faults.NextExpires, e.faults.NextExpireTimes = 0, 0
	}
}
