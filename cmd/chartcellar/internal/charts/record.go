package charts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
	"chartcellar/store/verify"
)

var _ viewer.Records = (*Room)(nil)

// A found is a record with its versions, and whose it is.
type found struct {
	rd      *Reading
	key     store.Key
	patient string // "": nobody's
	list    []store.Version
	shown   int // as viewer.Record.Shown
	alone   bool
}

// find reads all versions of a record. One of which the newest can be read is found
// also where older ones are damaged.
func (r *Room) find(ctx context.Context, p viewer.Place) (f *found, err error) {
	source, typ, id, err := r.Open(p.Ref)
	if err != nil {
		return nil, err
	}
	f = &found{shown: -1}
	if f.rd, _, err = r.reading(source, p.AsOf); err != nil {
		return nil, err
	}
	f.key = f.rd.Key(typ, id)
	if err = f.rd.Unsealed(ctx, f.key); err == nil {
		f.list, err = f.rd.Snap.History(ctx, f.key)
	}
	if errors.Is(err, store.ErrDamaged) {
		var v store.Version
		if v, err = f.rd.Snap.Latest(ctx, f.key); err == nil {
			f.list, f.alone = []store.Version{v}, true
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, viewer.ErrNotFound
	}
	if err != nil {
		return nil, locked(err)
	}
	f.patient = PatientIn(f.key, f.list)
	for i, v := range f.list {
		if v.Counts && !v.Deleted && !v.Lost {
			f.shown = i
		}
	}
	return f, nil
}

// removed reports whether the EMR no longer has the record.
func (f *found) removed() bool {
	gone := false
	for _, v := range f.list {
		if v.Counts {
			gone = v.Deleted
		}
	}
	return gone
}

// Record implements viewer.Records.
func (r *Room) Record(ctx context.Context, a viewer.Actor, p viewer.Place, page string) (viewer.Record, error) {
	rec, _, err := r.record(ctx, a, p, page)
	return rec, err
}

// record opens a record for a page: the journal line is written before anything of it is
// given away.
func (r *Room) record(ctx context.Context, a viewer.Actor, p viewer.Place, page string) (viewer.Record, *found, error) {
	f, err := r.find(ctx, p)
	if err != nil {
		return viewer.Record{}, nil, err
	}
	words := []string{f.key.ID, page}
	if p.AsOf != "" {
		words = append(words, "as of "+p.AsOf)
	}
	if err := r.journal(a, "record.view", f.key, f.patient, words...); err != nil {
		return viewer.Record{}, nil, err
	}
	if err := f.withheld(ctx, a); err != nil {
		return viewer.Record{}, nil, err
	}
	out := viewer.Record{Self: p.Ref, Type: f.key.Type, ID: f.key.ID, Shown: f.shown, Removed: f.removed(), Alone: f.alone}
	out.AsOf, out.Source, out.Base = p.AsOf, f.key.Source, f.rd.Base
	if f.patient != "" {
		at := viewer.Place{Ref: r.Refer(f.key.Source, "Patient/"+f.patient), AsOf: p.AsOf}
		head, _, err := r.banner(ctx, a, f.key.Source, f.patient, at)
		switch {
		case errors.Is(err, viewer.ErrNotFound): // it names a patient whom the copy never held
			out.Orphan = f.patient
		case err != nil:
			return out, nil, err
		default:
			out.ChartHead = head
		}
	}
	if out.Versions, err = r.versions(f); err != nil {
		return out, nil, err
	}
	out.Named = f.names(ctx, a)
	if f.shown >= 0 {
		out.Title = chart.Title(chart.Resource{Type: f.key.Type, ID: f.key.ID, Raw: f.list[f.shown].Raw})
		out.Stranger = chart.Stranger(f.list[f.shown].Raw, f.rd.Base)
	}
	return out, f, nil
}

// mostNamed is how many records that a record names are looked up.
const mostNamed = 200

// names looks up what the versions of a record name, the newest first.
func (f *found) names(ctx context.Context, a viewer.Actor) map[string]viewer.Named {
	out, looked := map[string]viewer.Named{}, map[string]bool{}
	for i := len(f.list) - 1; i >= 0; i-- {
		if f.list[i].Deleted || f.list[i].Lost {
			continue
		}
		links, err := chart.Links(f.list[i].Raw)
		if err != nil {
			continue // it is shown as it is written
		}
		for _, l := range links {
			ref := l.Type + "/" + l.ID
			if l.Type == "" || !chart.Own(l.Base, f.rd.Base) || looked[ref] || len(looked) == mostNamed {
				continue
			}
			looked[ref] = true
			v, removed, err := f.rd.Last(ctx, f.rd.Key(l.Type, l.ID))
			if err != nil || v.Deleted {
				continue
			}
			one := viewer.Named{Removed: removed}
			if !f.rd.closed(ctx, a, l.Type, l.ID, v.Raw) {
				one.Title = chart.Title(chart.Resource{Type: l.Type, ID: l.ID, Raw: v.Raw})
			}
			out[ref] = one
		}
	}
	return out
}

// errWithheld is what opening a record gives that is labelled sensitive.
var errWithheld = &viewer.Refusal{Words: "This record, or another version of it, is labelled sensitive, and is not shown to your role. If a patient is in danger, use emergency access."}

// withheld refuses a record of which a version is labelled sensitive, or may be, to who may
// not see that.
func (f *found) withheld(ctx context.Context, a viewer.Actor) error {
	for _, v := range f.list {
		if !v.Deleted && !v.Lost && f.rd.closed(ctx, a, f.key.Type, f.key.ID, v.Raw) {
			return errWithheld
		}
	}
	if f.key.Type == "Binary" && !a.Sensitive {
		return errBinary
	}
	return nil
}

// withheld reports whether a record is labelled sensitive and who asks may not see that.
func withheld(a viewer.Actor, raw []byte) bool { return !a.Sensitive && chart.Sensitive(raw) }

// versions tells of each version where it came from.
func (r *Room) versions(f *found) ([]viewer.RecordVersion, error) {
	runs, err := r.m.Runs()
	if err != nil {
		return nil, err
	}
	of := map[uint32]store.RunInfo{}
	for _, run := range runs {
		of[run.Number] = run
	}
	var list []viewer.RecordVersion
	for i := range f.list {
		v := &f.list[i]
		one := viewer.RecordVersion{N: i + 1, Run: v.Run, Started: of[v.Run].Started, Ended: of[v.Run].Ended,
			Part: verify.PartName(v.Part), Updated: v.LastUpdated, Deleted: v.Deleted, Missing: v.Kind == "missing",
			Detector: v.Detector, Lost: v.Lost, Counts: v.Counts, Why: asideWords(v.Aside), Raw: v.Raw}
		if at, err := time.Parse(time.RFC3339, v.Fetched); err == nil {
			one.Fetched = at
		}
		if !v.Lost {
			sum := sha256.Sum256(v.Raw)
			one.Digest = hex.EncodeToString(sum[:])
		}
		if !v.Deleted && !v.Lost {
			one.Version = chart.VersionID(v.Raw)
		}
		list = append(list, one)
	}
	return list, nil
}

// asideWords says why a version does not count.
func asideWords(a store.Aside) string {
	return map[store.Aside]string{
		store.AsideHeld:     "held: it waits for your decision",
		store.AsideRejected: "rejected: somebody of the practice decided that it does not count",
		store.AsideUnderway: "its run is not over yet",
		store.AsideStale:    "out of order: the same run brought a newer one before it",
		store.AsidePart:     "not whole: the EMR says that it gave only a part of the record",
	}[a]
}

// Bytes implements viewer.Records.
func (r *Room) Bytes(ctx context.Context, a viewer.Actor, p viewer.Place, n int) ([]byte, error) {
	f, err := r.find(ctx, p)
	if err != nil {
		return nil, err
	}
	if n < 1 || n > len(f.list) || f.list[n-1].Lost || f.alone && n > 1 {
		return nil, viewer.ErrNotFound
	}
	if err := f.withheld(ctx, a); err != nil {
		return nil, err
	}
	if err := r.journal(a, "record.take", f.key, f.patient, f.key.ID); err != nil {
		return nil, err
	}
	return f.list[n-1].Raw, nil
}
