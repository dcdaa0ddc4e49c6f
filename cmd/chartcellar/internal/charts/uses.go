package charts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
)

// mostUses is how many records that name another are shown, and mostLooked how many
// records are looked at to find them outside of a chart.
const (
	mostUses   = 200
	mostLooked = 300_000
)

// A useFinder gathers the records that name one.
type useFinder struct {
	a       viewer.Actor
	self    store.Key
	pointer *chart.Pointer
	build   *chart.Builder
	paths   map[string][]string
	people  []viewer.Use   // patients that name it: they are no events
	whose   map[string]int // how many of them are of which patient; "": of none
	out     *viewer.Uses
}

// take looks at one record. It reports whether there are enough.
func (u *useFinder) take(ctx context.Context, rd *Reading, r chart.Resource, links []chart.Link) (full bool) {
	switch {
	case len(links) == 0 || u.paths[r.Ref()] != nil:
		return false
	case rd.closed(ctx, u.a, r.Type, r.ID, r.Raw):
		u.out.Hidden++
		return false
	case len(u.paths) == mostUses:
		u.out.More = true
		return true
	}
	for _, l := range links {
		u.paths[r.Ref()] = append(u.paths[r.Ref()], l.Path)
	}
	if r.Type == "Patient" {
		u.whose[r.ID]++
		u.people = append(u.people, viewer.Use{Event: chart.Event{Ref: r.Ref(), Kind: r.Type, KindWords: r.Type, Title: chart.Title(r)}})
		return false
	}
	u.whose[PatientOf(r.Raw)]++
	u.build.Add(r)
	return false
}

// Uses implements viewer.Records.
func (r *Room) Uses(ctx context.Context, a viewer.Actor, p viewer.Place, wide bool) (viewer.Uses, error) {
	rec, f, err := r.record(ctx, a, p, "where it is used")
	if err != nil {
		return viewer.Uses{}, err
	}
	out := viewer.Uses{Record: rec, Wide: wide || f.patient == ""}
	if f.shown >= 0 {
		if out.Out, err = chart.Links(f.list[f.shown].Raw); err != nil {
			return out, fmt.Errorf("read the references of a record: %w", err)
		}
	}
	u := &useFinder{a: a, self: f.key, pointer: chart.NewPointer(f.key.Type, f.key.ID, f.rd.Base), paths: map[string][]string{}, whose: map[string]int{}, out: &out,
		build: chart.New(chart.Options{At: r.o.Now(), Timeline: true, Sensitive: true, Names: names(ctx, a, f.rd)})}
	if out.Wide {
		err = u.everywhere(ctx, f.rd)
	} else {
		err = u.chartOf(ctx, f)
	}
	if err != nil {
		return out, locked(err)
	}
	var events []store.Event
	for _, id := range slices.Sorted(maps.Keys(u.whose)) { // who saw a patient is asked by patient
		if id != "" && id != f.patient {
			events = append(events, store.Event{Code: "search.shown", Key: store.Key{Source: f.key.Source}, Patient: id, Count: u.whose[id]})
		}
	}
	if err := r.notes(a, events, "where "+f.key.Type+"/"+f.key.ID+" is used"); err != nil {
		return viewer.Uses{}, err
	}
	u.finish()
	return out, nil
}

// chartOf looks at all records of the patient.
func (u *useFinder) chartOf(ctx context.Context, f *found) error {
	unread, err := f.rd.Snap.Readable(ctx, f.key.Source, f.patient, func(v store.Version) error {
		u.out.Looked++
		if v.Type != u.self.Type || v.ID != u.self.ID {
			u.take(ctx, f.rd, chart.Resource{Type: v.Type, ID: v.ID, Raw: v.Raw}, u.pointer.In(v.Raw))
		}
		return nil
	})
	for _, n := range unread {
		u.out.Unread += n
	}
	u.out.Of = u.out.Looked + u.out.Unread
	return err
}

// errEnough ends a look at the copy that has found or read enough.
var errEnough = errors.New("enough was found")

// everywhere looks at the records of the source, type by type, until there are enough.
func (u *useFinder) everywhere(ctx context.Context, rd *Reading) error {
	counts, err := rd.Snap.Counts(rd.Source)
	if err != nil {
		return err
	}
	types, err := rd.Snap.Types()
	if err != nil {
		return err
	}
	for _, n := range counts {
		u.out.Of += n
	}
	for _, t := range types {
		n, err := rd.Snap.Hidden(rd.Source, t)
		if err != nil {
			return err
		}
		u.out.Sealed += n
	}
	slices.SortStableFunc(types, func(a, b string) int { return counts[a] - counts[b] }) // the small ones surely whole
	var mu sync.Mutex
	var looked atomic.Int64
	for _, t := range types {
		err := rd.Snap.EachParallel(ctx, rd.Source, t, workers(), func(_ int, id string, raw []byte) error {
			if looked.Add(1) > mostLooked {
				return errEnough
			}
			if t == u.self.Type && id == u.self.ID {
				return nil
			}
			links := u.pointer.In(raw)
			if len(links) == 0 {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if u.take(ctx, rd, chart.Resource{Type: t, ID: id, Raw: raw}, links) {
				return errEnough
			}
			return nil
		})
		var damage *store.DamagedError
		switch {
		case errors.As(err, &damage):
			u.out.Unread += damage.Records
		case errors.Is(err, errEnough):
			u.out.More = true
		case err != nil:
			return err
		}
		if u.out.More {
			break
		}
	}
	u.out.Looked = int(min(looked.Load(), mostLooked))
	return nil
}

// finish puts what was found in the order of time, and what has no date behind it.
func (u *useFinder) finish() {
	t := u.build.Chart().Timeline
	for _, list := range [][]chart.Event{t.Events, t.InError, t.Undated} {
		for _, e := range list {
			u.out.In = append(u.out.In, viewer.Use{Event: e, Paths: u.paths[e.Ref]})
		}
	}
	for _, p := range u.people {
		p.Paths = u.paths[p.Ref]
		u.out.In = append(u.out.In, p)
	}
}
