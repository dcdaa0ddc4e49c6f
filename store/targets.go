package store

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"chartcellar/store/archive"
	"chartcellar/store/index"
	"chartcellar/store/scan"
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

// recall notes what the lines of this run name that were stored before it was
// continued. ok is false while the mirror is locked.
func (r *Run) recall(ctx context.Context) (ok bool, err error) {
	if !r.resumed || r.recalled {
		return true, nil
	}
	if r.m.Locked() {
		return false, nil
	}
	var parts []index.Part
	err = r.m.index.EachPart(func(p index.Part) error {
		if p.Run == r.n {
			parts = append(parts, p)
		}
		return nil
	})
	w := &worker{scan: scan.New(index.FingerprintKey(r.m.mirrorKey)), known: map[string]bool{},
		hash: r.m.index.Hasher(r.state.Source)}
	for _, p := range parts {
		if err == nil {
			err = r.recallPart(ctx, w, p.Number)
		}
	}
	r.recalled = err == nil
	return r.recalled, err
}

func (r *Run) recallPart(ctx context.Context, w *worker, number uint32) error {
	p, err := r.m.usePart(number)
	if err != nil {
		return err
	}
	frames := p.Footer.Frames
	r.m.cache.release(p)
	for n, info := range frames {
		if info.Kind != archive.Records {
			continue
		}
		f, err := r.m.frame(number, n)
		if err != nil {
			return err
		}
		for rest := f.plain; len(rest) > 0; {
			var raw []byte
			raw, rest = cutLine(rest)
			if _, err := w.scan.Line(raw); err != nil {
				return fmt.Errorf("a stored line is no resource: %w", ErrDamaged)
			}
			r.pipe.noteReferences(w)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// Unresolved returns the records that lines of this run name and that the mirror
// never held, in a stable order. all is false if there were too many to look at,
// or if the run was continued while the mirror is locked: then only some were
// looked at. Settle comes before it.
func (r *Run) Unresolved(ctx context.Context) (list []Key, all bool, err error) {
	recalled, err := r.recall(ctx)
	if err != nil {
		return nil, false, err
	}
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
	return list, !t.over && recalled, err
}
