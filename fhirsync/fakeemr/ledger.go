package fakeemr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// A base is what the EMR held before it was started.
type base interface {
	types() []string
	// each calls fn for the lines of part n of `of` of a type; a line has no newline.
	each(typ string, n, of int, fn func(id string, line []byte) error) error
	find(typ, id string) ([]byte, bool)
	// entries returns everything of a type; the list must not be modified.
	entries(typ string) ([]*entry, error)
	// split returns into how many parts a type comes, at least want if it can.
	split(typ string, want int) int
}

// A ledger holds every change since the start, with its true commit time.
type ledger struct {
	records map[string]map[string]*record // by type and id
	created map[string][]string           // ids that the base does not have, in order
	changes map[string]int                // how many, by type
}

type record struct {
	inBase   bool
	first    int // number of the version that the base has
	versions []version
}

type version struct {
	commit  time.Time // when it can be seen
	stamp   time.Time // what meta.lastUpdated says
	line    []byte    // nil: deleted
	number  int       // of the version in the record
	deleted bool
	purged  bool // deleted without a trace
	silent  bool // the version before it, with other content
	made    *entry
}

// at returns the version that is seen at t; nil if none of the changes is.
func (r *record) at(t time.Time) *version {
	for i := len(r.versions) - 1; i >= 0; i-- {
		if !r.versions[i].commit.After(t) {
			return &r.versions[i]
		}
	}
	return nil
}

// Put creates or updates a resource and returns the line as it is kept: meta
// gets versionId and lastUpdated, the rest of the line stays as it is given. A
// line that has a meta of its own is not changed at all.
func (e *EMR) Put(line []byte) ([]byte, error) { return e.put(line, 0) }

// PutLate is Put, stamped now and committed after delay by the EMR's clock:
// until then nobody sees the change.
func (e *EMR) PutLate(line []byte, delay time.Duration) ([]byte, error) { return e.put(line, delay) }

func (e *EMR) put(line []byte, delay time.Duration) ([]byte, error) {
	var head struct {
		ResourceType, ID string
		Meta             json.RawMessage
	}
	if err := json.Unmarshal(line, &head); err != nil || head.ResourceType == "" || head.ID == "" {
		return nil, errors.New("put: not a resource with a type and an id")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.clock.Now().UTC()
	v := version{commit: now.Add(delay), stamp: now.Add(-e.faults.LateCommit)}
	r := e.ledger.record(e.base, head.ResourceType, head.ID)
	if head.Meta == nil {
		meta := fmt.Sprintf(`"meta":{"versionId":"%d","lastUpdated":%q},`, r.next(),
			v.stamp.Format("2006-01-02T15:04:05.000Z"))
		at := bytes.IndexByte(line, '{') + 1
		line = slices.Concat(line[:at], []byte(meta), line[at:])
	}
	v.line = bytes.Clone(line)
	e.ledger.add(r, head.ResourceType, v)
	return v.line, nil
}

// Edit changes a resource: edit gets it without its meta member as a map.
func (e *EMR) Edit(typ, id string, edit func(map[string]any)) error {
	changed, err := e.edited(typ, id, func(m map[string]any) { delete(m, "meta"); edit(m) })
	if err == nil {
		_, err = e.Put(changed)
	}
	return err
}

// EditSilently is Edit that keeps the stamp and the version of the resource, so
// that only its content tells (F3).
func (e *EMR) EditSilently(typ, id string, edit func(map[string]any)) error {
	changed, err := e.edited(typ, id, func(m map[string]any) {
		meta := m["meta"]
		edit(m)
		m["meta"] = meta
		if meta == nil {
			delete(m, "meta")
		}
	})
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	v := version{commit: e.clock.Now().UTC(), stamp: e.opened, line: changed, silent: true}
	r := e.ledger.record(e.base, typ, id)
	if last := r.at(v.commit); last != nil {
		v.stamp, v.number = last.stamp, last.number
	}
	e.ledger.add(r, typ, v)
	return nil
}

func (e *EMR) edited(typ, id string, edit func(map[string]any)) ([]byte, error) {
	before, status := e.look(typ, id, e.clock.Now())
	if status != 200 {
		return nil, fmt.Errorf("edit %s: not there", typ)
	}
	d := json.NewDecoder(bytes.NewReader(before))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("edit %s: %w", typ, err)
	}
	edit(m)
	changed, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("edit %s: %w", typ, err)
	}
	return changed, nil
}

// Delete removes a resource from the EMR.
func (e *EMR) Delete(typ, id string) { e.remove(typ, id, version{deleted: true}) }

// Purge removes a resource without a trace: reading it is 404, and neither a
// list of deletions nor a history names it (F15).
func (e *EMR) Purge(typ, id string) { e.remove(typ, id, version{deleted: true, purged: true}) }

func (e *EMR) remove(typ, id string, v version) {
	e.mu.Lock()
	defer e.mu.Unlock()
	v.commit = e.clock.Now().UTC()
	v.stamp = v.commit.Add(-e.faults.LateCommit)
	r := e.ledger.record(e.base, typ, id)
	e.ledger.add(r, typ, v)
}

func (l *ledger) add(r *record, typ string, v version) {
	if !v.silent {
		v.number = r.next()
	}
	r.versions = append(r.versions, v)
	l.changes[typ]++
}

// next returns the number of the next version.
func (r *record) next() int {
	if n := len(r.versions); n > 0 && r.versions[n-1].number > 0 {
		return r.versions[n-1].number + 1
	}
	return r.first + 1
}

func (l *ledger) record(b base, typ, id string) *record {
	if l.records == nil {
		l.records, l.created = map[string]map[string]*record{}, map[string][]string{}
		l.changes = map[string]int{}
	}
	if l.records[typ] == nil {
		l.records[typ] = map[string]*record{}
	}
	r := l.records[typ][id]
	if r == nil {
		line, in := b.find(typ, id)
		r = &record{inBase: in}
		r.first, _ = strconv.Atoi(headOf(line).version) // one without a number counts from 0
		l.records[typ][id] = r
		if !in {
			l.created[typ] = append(l.created[typ], id)
		}
	}
	return r
}

// Resource returns a resource as it is now; false if it is not there.
func (e *EMR) Resource(typ, id string) ([]byte, bool) {
	line, state := e.look(typ, id, e.clock.Now())
	f := e.Faults()
	return e.render(typ, line, &f, true), state == 200
}

// look returns a resource as of t, and the status of reading it: 200, 404, 410.
func (e *EMR) look(typ, id string, t time.Time) ([]byte, int) {
	e.mu.Lock()
	r := e.ledger.records[typ][id]
	var v *version
	if r != nil {
		v = r.at(t)
	}
	e.mu.Unlock()
	switch {
	case v != nil && v.purged:
		return nil, 404
	case v != nil && v.deleted:
		return nil, 410
	case v != nil:
		return v.line, 200
	case r != nil && !r.inBase:
		return nil, 404
	}
	if line, ok := e.base.find(typ, id); ok {
		return line, 200
	}
	return nil, 404
}

// Types returns the resource types the EMR has.
func (e *EMR) Types() []string {
	list := e.base.types()
	e.mu.Lock()
	defer e.mu.Unlock()
	for t := range e.ledger.records {
		if !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	slices.Sort(list)
	return list
}

// EachAt calls fn for every resource of a type as the EMR had it at t: the
// oracle against which a mirror is compared. The lines are as they are served,
// but signed links have no query (see WithoutSignature).
func (e *EMR) EachAt(typ string, t time.Time, fn func(id string, line []byte) error) error {
	of := e.base.split(typ, 1)
	for n := range of {
		if err := e.export(exportPart{typ: typ, n: n, of: of, at: t, truth: true}, fn); err != nil {
			return err
		}
	}
	return nil
}

// An exportPart is what one output file holds.
type exportPart struct {
	typ   string
	n, of int
	at    time.Time
	since time.Time // zero: everything
	group bool      // of an export of a Group
	truth bool      // for the oracle
}

// export calls fn for the lines of one output file.
func (e *EMR) export(p exportPart, give func(id string, line []byte) error) error {
	f := e.Faults()
	fn := func(id string, line []byte) error { return give(id, e.render(p.typ, line, &f, p.truth)) }
	if p.since.IsZero() {
		err := e.base.each(p.typ, p.n, p.of, func(id string, line []byte) error {
			e.mu.Lock()
			r := e.ledger.records[p.typ][id]
			var v *version
			if r != nil {
				v = r.at(p.at)
			}
			e.mu.Unlock()
			switch {
			case v == nil:
				return fn(id, line)
			case v.deleted:
				return nil
			}
			return fn(id, v.line)
		})
		if err != nil {
			return err
		}
	}
	if p.n != p.of-1 {
		return nil
	}
	for _, c := range e.changed(p) {
		if err := fn(c.id, c.line); err != nil {
			return err
		}
	}
	return nil
}

type changedRecord struct {
	id   string
	line []byte
}

// changed lists what the ledger adds to the last file of a type: created
// resources, and with since also the edited ones.
func (e *EMR) changed(p exportPart) []changedRecord {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []changedRecord
	for id, r := range e.ledger.records[p.typ] {
		v := r.at(p.at)
		if v == nil || v.deleted || p.since.IsZero() && r.inBase || !v.stamp.After(p.since) {
			continue
		}
		list = append(list, changedRecord{id, v.line})
	}
	slices.SortFunc(list, func(a, b changedRecord) int { return bytes.Compare([]byte(a.id), []byte(b.id)) })
	return list
}

// deletions lists what was deleted after since and up to at, as Type/id.
func (e *EMR) deletions(types []string, since, at time.Time) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []string
	for typ, records := range e.ledger.records {
		if !slices.Contains(types, typ) {
			continue
		}
		for id, r := range records {
			if v := r.at(at); v != nil && v.deleted && !v.purged && v.stamp.After(since) {
				list = append(list, typ+"/"+id)
			}
		}
	}
	slices.Sort(list)
	return list
}
