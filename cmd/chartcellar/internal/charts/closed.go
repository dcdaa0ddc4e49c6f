package charts

import (
	"context"
	"errors"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
)

// What is labelled sensitive today is closed on every day: nobody gets around a label by
// going back to the time before it.

// closed reports whether a record, of these bytes, is labelled sensitive in them or now, and
// who asks may not see that.
func (r *Reading) closed(ctx context.Context, a viewer.Actor, typ, id string, raw []byte) bool {
	switch {
	case withheld(a, raw):
		return true
	case a.Sensitive || !r.Back:
		return false
	}
	now, err := r.now()
	if err == nil {
		var v store.Version
		if v, _, err = now.Last(ctx, r.Key(typ, id)); err == nil {
			return !v.Deleted && chart.Sensitive(v.Raw)
		}
	}
	return !errors.Is(err, store.ErrNotFound) // what cannot be read may be labelled
}

// now returns the records of the source as they stand now.
func (r *Reading) now() (*Reading, error) {
	snap, err := r.M.Now()
	return &Reading{M: r.M, Snap: snap, Source: r.Source, Base: r.Base}, err
}

// closedSince returns the records of a patient, Type/id, that were labelled sensitive after
// the day of the reading.
func (r *Reading) closedSince(ctx context.Context, patient string) (map[string]bool, error) {
	in := map[string]bool{}
	if !r.Back {
		return in, nil
	}
	now, err := r.now()
	if err != nil {
		return nil, err
	}
	_, err = now.Snap.Changed(ctx, r.Snap, r.Source, patient, func(c store.Changed) error {
		v, _, err := now.Last(ctx, c.Key)
		if err == nil && !v.Deleted && chart.Sensitive(v.Raw) {
			in[c.Type+"/"+c.ID] = true
		}
		return err
	})
	return in, err
}

// names finds what records refer to, as far as it is for who asks.
func names(ctx context.Context, a viewer.Actor, rd *Reading) chart.Finder {
	return closedFinder{finder{ctx, rd}, a}
}

// A closedFinder finds no record that is not for who asks.
type closedFinder struct {
	finder
	a viewer.Actor
}

// Find implements chart.Finder.
func (f closedFinder) Find(typ, id string) ([]byte, bool) {
	raw, ok := f.finder.Find(typ, id)
	if ok && f.r.closed(f.ctx, f.a, typ, id, raw) {
		return nil, false
	}
	return raw, ok
}
