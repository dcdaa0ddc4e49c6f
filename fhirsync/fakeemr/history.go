package fakeemr

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// A state is one version of a resource as a history shows it.
type state struct {
	typ, id string
	entry   *entry // nil: deleted
	stamp   int64  // microseconds
	number  int
	created bool
}

// serveHistory answers [type]/_history and [type]/[id]/_history.
func (e *EMR) serveHistory(w http.ResponseWriter, r *http.Request, id string) {
	typ := r.PathValue("type")
	if r.Method != http.MethodGet {
		e.refuseWrite(w)
		return
	}
	if !e.authorized(w, r) {
		return
	}
	path := typ + "/_history"
	if id != "" {
		path = typ + "/" + id + "/_history"
	}
	f := e.Faults()
	switch {
	case e.o.NoHistory || !e.listed(typ):
		outcome(w, http.StatusMethodNotAllowed, "not-supported", "there is no history of "+typ)
		return
	case !slices.Contains(e.Types(), typ):
		outcome(w, http.StatusNotFound, "not-supported", "there is no resource type "+typ)
		return
	case f.StrictRefused && handlingStrict(r):
		outcome(w, http.StatusBadRequest, "not-supported", "handling=strict is not supported")
		return
	}
	if _, status := e.look(typ, id, e.clock.Now()); id != "" && status == http.StatusNotFound {
		outcome(w, status, "not-found", "not there")
		return
	}
	list, err := params(r)
	if err == nil && len(list) > 0 && list[0].key == pageKey {
		e.serveNext(w, list[0].value, path)
		return
	}
	q := query{typ: typ, strict: handlingStrict(r), count: min(50, e.o.MaxCount)}
	if err == nil {
		err = q.parse(list, e.takeHistory(&f))
	}
	if err != nil {
		outcome(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	if id != "" {
		q.ids = []string{id}
	}
	e.count(func(s *Served) { s.Histories++ })
	e.serveFirst(w, &result{kind: "history", path: path, q: q, size: q.count})
}

// takeHistory takes one parameter of a history.
func (e *EMR) takeHistory(f *Faults) func(*query, pair) (pair, error) {
	return func(q *query, p pair) (pair, error) {
		if p.key != "_since" {
			return q.takeResult(p, f, e.o.MaxCount)
		}
		since, err := time.Parse(time.RFC3339Nano, p.value)
		if err != nil {
			return p, errors.New("_since is not an instant")
		}
		q.since = since
		return p, nil
	}
}

// findStates fills the result of a history, newest first; none leaves it empty.
func (e *EMR) findStates(r *result, none bool) error {
	e.lists.mu.Lock()
	base, err := e.baseList(r.q.typ)
	e.lists.mu.Unlock()
	if err != nil {
		return err
	}
	since := int64(-1 << 62)
	if !r.q.since.IsZero() {
		since = r.q.since.UnixMicro()
	}
	keep := func(s state) bool {
		return !none && s.stamp >= since && (r.q.ids == nil || slices.Contains(r.q.ids, s.id))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.clock.Now()
	r.states = nil
	records := e.ledger.records[r.q.typ]
	for _, one := range base {
		rec := records[one.id]
		if rec == nil {
			rec = &record{}
		}
		r.states = append(r.states, rec.states(r.q.typ, one.id, one, now, keep)...)
	}
	for _, id := range e.ledger.created[r.q.typ] {
		r.states = append(r.states, records[id].states(r.q.typ, id, nil, now, keep)...)
	}
	slices.SortStableFunc(r.states, func(a, b state) int {
		return cmp.Or(cmp.Compare(b.stamp, a.stamp), cmp.Compare(a.id, b.id), cmp.Compare(b.number, a.number))
	})
	r.total = len(r.states)
	return nil
}

// states lists the versions of a record that are seen now and kept. first is
// the version that the base has, if any.
func (r *record) states(typ, id string, first *entry, now time.Time, keep func(state) bool) []state {
	var all []state
	if first != nil {
		s := state{typ: typ, id: id, entry: first, stamp: first.stamp, number: r.first}
		if len(r.versions) == 0 && !keep(s) {
			return nil
		}
		if s.number == 0 {
			line, _ := first.bytes() // one that cannot be read has no number
			s.number, _ = strconv.Atoi(headOf(line).version)
		}
		s.created = s.number <= 1
		all = append(all, s)
	}
	for i := range r.versions {
		v := &r.versions[i]
		switch {
		case v.commit.After(now):
		case v.purged:
			all = nil
		case v.silent && len(all) > 0:
			all[len(all)-1].entry = v.entry()
		default:
			s := state{typ: typ, id: id, entry: v.entry(), stamp: v.stamp.UnixMicro(), number: v.number, created: len(all) == 0}
			if s.entry != nil {
				s.stamp = s.entry.stamp
			}
			all = append(all, s)
		}
	}
	return slices.DeleteFunc(all, func(s state) bool { return !keep(s) })
}

// writeState writes one entry of a history.
func (e *EMR) writeState(b *bytes.Buffer, s *state, f *Faults) {
	ref := s.typ + "/" + s.id
	fmt.Fprintf(b, `{"fullUrl":"%s/%s",`, e.BaseURL(), ref)
	method, url, status := "PUT", ref, "200 OK"
	switch {
	case s.entry == nil:
		method, status = "DELETE", "204 No Content"
	case s.created:
		method, url, status = "POST", s.typ, "201 Created"
	}
	if s.entry != nil {
		line, err := s.entry.bytes()
		if err != nil {
			line = []byte("null") // the file went away
		}
		b.WriteString(`"resource":`)
		b.Write(e.render(s.typ, line, f, false))
		b.WriteByte(',')
	}
	fmt.Fprintf(b, `"request":{"method":%q,"url":%q},"response":{"status":%q,"etag":"W/\"%d\"","lastModified":%q}}`,
		method, url, status, s.number, time.UnixMicro(s.stamp).UTC().Format("2006-01-02T15:04:05.000Z"))
}
