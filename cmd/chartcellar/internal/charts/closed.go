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
	return withheld(a, raw) || !a.Sensitive && r.closedLater(ctx, typ, id)
}

// closedLater reports whether a record of an earlier day is labelled sensitive now.
func (r *Reading) closedLater(ctx context.Context, typ, id string) bool {
	if !r.Back {
		return false
	}
	now, err := r.now()
	return err != nil || now.Labelled(ctx, typ, id)
}

// Labelled reports whether a record is labelled sensitive, also one that the EMR has
// removed, or may be, since it cannot be read.
func (r *Reading) Labelled(ctx context.Context, typ, id string) bool {
	v, _, err := r.Last(ctx, r.Key(typ, id))
	if err != nil {
		return !errors.Is(err, store.ErrNotFound)
	}
	return !v.Deleted && chart.Sensitive(v.Raw)
}

// now returns the records of the source as they stand now.
func (r *Reading) now() (*Reading, error) {
	snap, err := r.M.Now()
	return &Reading{M: r.M, Snap: snap, Source: r.Source, Base: r.Base}, err
}

// A later is what of a patient was labelled sensitive after a day: records, as Type/id, and
// types of which not every record can be read now, so that each may be.
type later struct{ records, types map[string]bool }

// closed reports whether a record is one of them.
func (l *later) closed(typ, id string) bool { return l.records[typ+"/"+id] || l.types[typ] }

// closedSince returns what of a patient was labelled sensitive after the day of the reading.
func (r *Reading) closedSince(ctx context.Context, patient string) (*later, error) {
	in := &later{map[string]bool{}, map[string]bool{}}
	if !r.Back {
		return in, nil
	}
	now, err := r.now()
	if err != nil {
		return nil, err
	}
	unread, err := now.Snap.Changed(ctx, r.Snap, r.Source, patient, func(c store.Changed) error {
		if now.Labelled(ctx, c.Type, c.ID) {
			in.records[c.Type+"/"+c.ID] = true
		}
		return nil
	})
	for typ := range unread {
		in.types[typ] = true
	}
	return in, err
}

// names finds what records refer to, as far as it is for who asks.
func names(ctx context.Context, a viewer.Actor, rd *Reading) chart.Finder {
	if a.Sensitive {
		return rd.Finder(ctx)
	}
	return chart.Open(rd.Finder(ctx))
}
