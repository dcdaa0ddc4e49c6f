package store

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
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

// maxNames bounds the bytes of their names.
const maxNames = 64 << 20

// targets are the records that the lines of a run name. There may be very many:
// their names, Type/id, lie one behind the other.
type targets struct {
	// mu covers what follows.
	mu    sync.Mutex
	at    map[index.Key]extent
	names []byte
	over  bool // there were too many
}

// An extent says where in the names one is.
type extent struct{ from, to uint32 }

// knownReferences is how many references a worker remembers, so as to look at each
// once: most lines name what the lines before them named.
const knownReferences = 4096

// noteReferences notes what the line last scanned names.
func (p *pipe) noteReferences(w *worker) {
	w.scan.References(func(ref []byte) {
		if w.known[string(ref)] {
			return
		}
		base, typ, id, ok := scan.SplitReference(ref)
		if !ok || !isFollowed(typ) || len(base) > 0 && string(base) != p.run.spec.Base+"/" {
			return
		}
		if len(w.known) >= knownReferences {
			clear(w.known)
		}
		w.known[string(ref)] = true
		if k := w.hash.Key(typ, id); !p.held(k) {
			p.targets.note(k, typ, id)
		}
	})
}

// held reports whether the index has a record, so that it need not be looked for at
// the end. What cannot be read is looked at again then.
func (p *pipe) held(k index.Key) bool {
	held := false
	err := p.run.m.index.Newest([]index.Key{k}, false, func(_ int, _ index.Entry, found bool) error {
		held = found
		return nil
	})
	return held && err == nil
}

func isFollowed(typ []byte) bool {
	for _, t := range followed {
		if string(typ) == t {
			return true
		}
	}
	return false
}

func (t *targets) note(k index.Key, typ, id []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at == nil {
		t.at = map[index.Key]extent{}
	}
	if _, ok := t.at[k]; ok {
		return
	}
	from := len(t.names)
	if len(t.at) >= maxTargets || from+len(typ)+1+len(id) > maxNames {
		t.over = true
		return
	}
	t.names = append(append(append(t.names, typ...), '/'), id...)
	t.at[k] = extent{uint32(from), uint32(len(t.names))}
}

// name returns the type and the id of a target.
func (t *targets) name(k index.Key) (typ, id string) {
	at := t.at[k]
	typ, id, _ = strings.Cut(string(t.names[at.from:at.to]), "/")
	return typ, id
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
	keys := slices.AppendSeq(make([]index.Key, 0, len(t.at)), maps.Keys(t.at))
	slices.SortFunc(keys, func(a, b index.Key) int { return bytes.Compare(a[:], b[:]) })
	err = r.m.index.Newest(keys, false, func(i int, _ index.Entry, found bool) error {
		if !found {
			typ, id := t.name(keys[i])
			list = append(list, Key{Source: r.state.Source, Type: typ, ID: id})
		}
		return ctx.Err()
	})
	return list, !t.over && recalled, err
}
