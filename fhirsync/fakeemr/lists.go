package fakeemr

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"time"
)

// A list is what the EMR holds of one type at one time. It is shared by
// searches and not changed once it is made.
type list struct {
	changes int       // of the ledger, when it was made
	from    time.Time // it is true from here
	until   time.Time // until here; zero: until the next change
	order   []*entry  // as the EMR keeps them

	once    sync.Once
	byStamp []*entry // by stamp and id

	mapped    sync.Once
	byID      map[string]*entry
	byPatient map[string][]*entry
}

// sorted returns the entries by stamp and id.
func (l *list) sorted() []*entry {
	l.once.Do(func() {
		l.byStamp = slices.Clone(l.order)
		slices.SortFunc(l.byStamp, func(a, b *entry) int {
			return cmp.Or(cmp.Compare(a.stamp, b.stamp), cmp.Compare(a.id, b.id))
		})
	})
	return l.byStamp
}

// maps fills byID and byPatient.
func (l *list) maps() {
	l.mapped.Do(func() {
		l.byID, l.byPatient = make(map[string]*entry, len(l.order)), map[string][]*entry{}
		for _, e := range l.order {
			l.byID[e.id] = e
			l.byPatient[e.patient] = append(l.byPatient[e.patient], e)
		}
	})
}

// lists are the lists of all types, made when they are first asked for.
type lists struct {
	// mu covers what follows. It is taken before the EMR's own.
	mu   sync.Mutex
	base map[string][]*entry
	now  map[string]*list
}

// list returns what the EMR holds of a type now.
func (e *EMR) list(typ string) (*list, error) {
	e.lists.mu.Lock()
	defer e.lists.mu.Unlock()
	base, err := e.baseList(typ)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.clock.Now()
	l := e.lists.now[typ]
	if l != nil && l.changes == e.ledger.changes[typ] && !now.Before(l.from) &&
		(l.until.IsZero() || now.Before(l.until)) {
		return l, nil
	}
	l = e.makeList(typ, base, now)
	e.lists.now[typ] = l
	return l, nil
}

// baseList returns the base records of a type, each with a stamp.
func (e *EMR) baseList(typ string) ([]*entry, error) {
	if base, ok := e.lists.base[typ]; ok {
		return base, nil
	}
	if e.lists.base == nil {
		e.lists.base, e.lists.now = map[string][]*entry{}, map[string]*list{}
	}
	base, err := e.base.entries(typ)
	if err != nil {
		return nil, err
	}
	base = slices.Clone(base)
	for i, one := range base {
		base[i] = one.stamped(e.opened)
	}
	e.lists.base[typ] = base
	return base, nil
}

// makeList lays the ledger over the base.
func (e *EMR) makeList(typ string, base []*entry, now time.Time) *list {
	records := e.ledger.records[typ]
	l := &list{changes: e.ledger.changes[typ], from: now, order: base}
	if len(records) == 0 {
		return l
	}
	l.order = make([]*entry, 0, len(base)+len(e.ledger.created[typ]))
	for _, one := range base {
		if r := records[one.id]; r != nil {
			if v := r.at(now); v != nil {
				one = v.entry()
			}
		}
		if one != nil {
			l.order = append(l.order, one)
		}
	}
	for _, id := range e.ledger.created[typ] {
		if v := records[id].at(now); v != nil && !v.deleted {
			l.order = append(l.order, v.entry())
		}
	}
	for _, r := range records {
		for _, v := range r.versions {
			if v.commit.After(now) && (l.until.IsZero() || v.commit.Before(l.until)) {
				l.until = v.commit
			}
		}
	}
	return l
}

// entry returns a version as an entry; nil if it was deleted. The EMR is locked.
func (v *version) entry() *entry {
	if v.made == nil && !v.deleted {
		v.made = newEntry(v.line).stamped(v.stamp)
	}
	return v.made
}

// collect makes entries of everything a base has of a type.
func collect(b base, typ string) ([]*entry, error) {
	var out []*entry
	of := b.split(typ, 1)
	for n := range of {
		err := b.each(typ, n, of, func(_ string, line []byte) error {
			out = append(out, newEntry(bytes.Clone(line)))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
