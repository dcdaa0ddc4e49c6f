package store

import (
	"context"
	"slices"
	"sync"

	"chartcellar/store/index"
)

// maxTargets bounds how many records that are named by others are looked up at
// the end of a run.
const maxTargets = 100_000

// followed are the types that servers often leave out of exports and searches,
// and that are read by id when another record names them (P92).
var followed = []string{"Medication", "Practitioner", "PractitionerRole", "Organization", "Location",
	"Specimen", "Device", "Observation", "Patient"}

// targets are the records that the lines of a run name.
type targets struct {
	// mu covers what follows.
	mu   sync.Mutex
	list map[index.Key]Key
	over bool // there were more than maxTargets
}

// noteReferences notes what the line last scanned names.
func (p *pipe) noteReferences(w *worker) {
	w.scan.References(func(base, typ, id []byte) {
		if len(base) > 0 && string(base) != p.run.spec.Base+"/" || !slices.Contains(followed, string(typ)) {
			return
		}
		name := string(typ) + "/" + string(id)
		if w.known[name] {
			return
		}
		if len(w.known) >= 4096 {
			clear(w.known)
		}
		w.known[name] = true
		p.targets.note(w.hash.Key(typ, id), Key{Source: p.run.state.Source, Type: string(typ), ID: string(id)})
	})
}

func (t *targets) note(k index.Key, of Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.list == nil {
		t.list = map[index.Key]Key{}
	}
	if _, ok := t.list[k]; !ok && len(t.list) >= maxTargets {
		t.over = true
		return
	}
	t.list[k] = of
}

// Unresolved returns the records that lines of this run name and that the mirror
// never held, in a stable order. all is false if there were too many to look at,
// or if the run was continued: then only some were looked at. Settle comes before
// it.
func (r *Run) Unresolved(ctx context.Context) (list []Key, all bool, err error) {
	t := &r.pipe.targets
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := make([]index.Key, 0, len(t.list))
	for k := range t.list {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b index.Key) int { return slices.Compare(a[:], b[:]) })
	err = r.m.index.Newest(keys, false, func(i int, _ index.Entry, found bool) error {
		if !found {
			list = append(list, t.list[keys[i]])
		}
		return ctx.Err()
	})
	return list, !t.over && !r.resumed, err
}
