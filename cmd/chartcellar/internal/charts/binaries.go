package charts

import (
	"context"
	"errors"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
)

// A Binary says neither whose it is nor how sensitive: that is said by the record that
// names it. So it is as closed as that record where it is opened by itself.

// errBinary is what opening a Binary by itself gives to who may not see what is labelled.
var errBinary = &viewer.Refusal{Words: "A Binary does not say whether it is labelled sensitive, and is not shown to your role by itself. Open the document that names it."}

// AddBinaries puts the ids of the Binaries that a record names into a set.
func AddBinaries(to map[string]bool, raw []byte) {
	links, err := chart.Links(raw)
	if err != nil {
		return // what cannot be read names nothing
	}
	for _, l := range links {
		if l.Type == "Binary" {
			to[l.ID] = true
		}
	}
}

// SealedBinaries returns the ids of the Binaries that a version of a sealed patient's
// record names.
func (r *Reading) SealedBinaries(ctx context.Context) (map[string]bool, error) {
	in := map[string]bool{}
	list, err := r.M.Sealed()
	if err != nil || len(list) == 0 {
		return in, err
	}
	now, err := r.M.Now()
	if err != nil {
		return nil, err
	}
	whole := now.Whole()
	for _, s := range list {
		if s.Source != r.Source {
			continue
		}
		_, err := whole.Readable(ctx, s.Source, s.Patient, func(v store.Version) error {
			versions, err := whole.History(ctx, v.Key)
			for _, old := range append(versions, v) {
				AddBinaries(in, old.Raw)
			}
			if errors.Is(err, store.ErrDamaged) {
				err = nil // the newest is looked at all the same
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return in, nil
}

// Unsealed returns store.ErrSealed if a record is a Binary of a sealed patient.
func (r *Reading) Unsealed(ctx context.Context, k store.Key) error {
	if k.Type != "Binary" {
		return nil
	}
	in, err := r.SealedBinaries(ctx)
	if err == nil && in[k.ID] {
		err = store.ErrSealed
	}
	return err
}
