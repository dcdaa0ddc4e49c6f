package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"chartcellar/store/archive"
	"chartcellar/store/index"
	"chartcellar/store/scan"
)

// A badLine is a line that is no resource. It goes to quarantine as it is.
type badLine struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Reason string `json:"reason"`
	SHA256 string `json:"sha256"`
	Bytes  []byte `json:"bytes"`
}

// scan looks at every line of a chunk and decides what is to be kept.
func (p *pipe) scan(w *worker, j *scanJob) error {
	j.count = index.Counts{}
	switch {
	case j.chunk.tomb != nil:
		return p.bury(w, j)
	case len(j.chunk.ours) > 0:
		return nil
	}
	w.keys, w.lines = w.keys[:0], w.lines[:0]
	b := j.chunk.Lines
	for from := 0; from < len(b); {
		to := bytes.IndexByte(b[from:], '\n')
		if to < 0 {
			to = len(b) - from
		}
		p.scanLine(w, j, from, from+to)
		from += to + 1
	}
	return p.compare(w, j)
}

func (p *pipe) scanLine(w *worker, j *scanJob, from, to int) {
	raw := j.chunk.Lines[from:to]
	f, err := w.scan.Line(raw)
	if err == nil && len(raw) > archive.MaxLine {
		err = fmt.Errorf("longer than %d bytes", archive.MaxLine)
	}
	if err != nil {
		sum := sha256.Sum256(raw)
		j.bad = append(j.bad, badLine{j.chunk.File, j.chunk.Offset + int64(from), err.Error(),
			hex.EncodeToString(sum[:]), bytes.Clone(raw)})
		c := j.count[j.chunk.Type]
		c.Lines++
		c.Quarantine++
		j.count[j.chunk.Type] = c
		return
	}
	key := w.hash.Key(f.Type, f.ID)
	e := index.Entry{Key: key, Length: uint32(len(raw)), Fingerprint: f.Fingerprint,
		Patient: w.hash.Patient(f.Patient), Run: p.run.n}
	if f.Subsetted {
		e.Flags |= index.Subsetted
	}
	if ms, ok := scan.LastUpdatedMillis(f.LastUpdated); ok {
		e.Updated = ms
	}
	l := line{typ: typeString(f.Type), from: from, to: to, entry: e}
	l.wants = wantsOf(w.scan, p.run.state.Source, &f)
	if p.run.spec.References {
		p.noteReferences(w)
	}
	w.keys = append(w.keys, key)
	w.lines = append(w.lines, l)
}

// typeString returns the type's name without an allocation for known ones.
func typeString(b []byte) string {
	if n := index.TypeName(index.TypeByte(string(b))); n == string(b) {
		return n
	}
	return string(b)
}

// compare drops the lines that bring nothing new.
func (p *pipe) compare(w *worker, j *scanJob) error {
	p.meet(w.keys)
	if j.chunk.Listing {
		j.seen = append(j.seen, w.keys...)
	}
	kept := w.lines[:0] // they move up in the worker's list, which becomes the job's
	keep := func(l *line) { kept = append(kept, *l) }
	var c index.Count
	for i := range w.lines { // the counts of one type after the other
		w.lines[i].last = i+1 == len(w.lines) || w.lines[i].typ != w.lines[i+1].typ
	}
	lost := p.run.m.index.Lost()
	err := p.run.m.index.Newest(w.keys, false, func(i int, old index.Entry, found bool) error {
		l := &w.lines[i]
		c.Lines++
		switch {
		case l.entry.Flags&index.Subsetted != 0:
			c.Subsetted++
			keep(l)
		case !found:
			c.New++
			l.entry.Flags |= index.New
			keep(l)
		case old.Flags&index.Tombstone == 0 && lost[old.Part]:
			c.Again++
			keep(l)
		case old.Flags&index.Tombstone == 0 && old.Fingerprint == l.entry.Fingerprint:
			if old.Run == p.run.n {
				c.Duplicates++
			} else {
				c.Unchanged++
			}
		default:
			c.Changed++
			switch {
			case old.Flags&index.Tombstone != 0:
				c.Returned++
			case old.Updated == 0:
			case l.entry.Updated == old.Updated:
				c.Silent++
			case l.entry.Updated < old.Updated:
				c.Regressed++
			}
			c.SizeBefore += int64(old.Length)
			c.SizeAfter += int64(l.entry.Length)
			keep(l)
		}
		if l.last {
			j.count.Add(index.Counts{l.typ: c})
			c = index.Count{}
		}
		return nil
	})
	clear(w.lines[len(kept):]) // it holds on to no attachment
	j.kept, w.lines = kept, p.newLines()
	return err
}

// lineTag marks a line as ours (archive.md 3).
const lineTag = "urn:chartcellar:line"

// bury makes the line of a tombstone if there is something to bury.
func (p *pipe) bury(w *worker, j *scanJob) error {
	t := j.chunk.tomb
	key := w.hash.Key([]byte(t.Type), []byte(t.ID))
	return p.run.m.index.Newest([]index.Key{key}, true, func(_ int, old index.Entry, found bool) error {
		lost := p.run.m.index.Lost()[old.Part]
		if !found || old.Flags&index.Tombstone != 0 && !lost {
			return nil
		}
		made, err := tombstoneLine(*t)
		if err != nil {
			return err
		}
		j.chunk.made = made
		j.kept = append(j.kept, line{typ: t.Type, to: len(made), entry: index.Entry{Key: key,
			Length: uint32(len(made)), Flags: index.Tombstone, Run: p.run.n}})
		j.count[t.Type] = index.Count{Removed: 1}
		if lost {
			j.count[t.Type] = index.Count{Removed: 1, Again: 1}
		}
		return nil
	})
}

// A tombstoneBundle is a tombstone as a line: a transaction Bundle with one
// DELETE, as Bulk Data writes deleted records.
type tombstoneBundle struct {
	ResourceType string `json:"resourceType"`
	Type         string `json:"type"`
	Meta         struct {
		Tag []lineTagging `json:"tag"`
	} `json:"meta"`
	Entry []tombstoneEntry `json:"entry"`
}

type lineTagging struct {
	System  string `json:"system"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}

type tombstoneEntry struct {
	Request struct {
		Method string `json:"method"`
		URL    string `json:"url"`
	} `json:"request"`
}

func tombstoneLine(t Tombstone) ([]byte, error) {
	b := tombstoneBundle{ResourceType: "Bundle", Type: "transaction", Entry: make([]tombstoneEntry, 1)}
	b.Meta.Tag = []lineTagging{{lineTag, t.Kind, t.Detector}}
	b.Entry[0].Request.Method, b.Entry[0].Request.URL = "DELETE", t.Type+"/"+t.ID
	return json.Marshal(b)
}

// parseTombstone returns what a tombstone's line says.
func parseTombstone(raw []byte) (Tombstone, bool) {
	var b tombstoneBundle
	if json.Unmarshal(raw, &b) != nil || len(b.Entry) != 1 || len(b.Meta.Tag) != 1 {
		return Tombstone{}, false
	}
	typ, id, ok := strings.Cut(b.Entry[0].Request.URL, "/")
	tag := b.Meta.Tag[0]
	return Tombstone{typ, id, tag.Code, tag.Display}, ok && tag.System == lineTag
}

func sortedKeys(m map[frameKey]*frameJob) []frameKey {
	return slices.SortedFunc(maps.Keys(m), func(a, b frameKey) int {
		if c := strings.Compare(string(b.kind), string(a.kind)); c != 0 {
			return c // records before deleted
		}
		return strings.Compare(a.typ, b.typ)
	})
}
