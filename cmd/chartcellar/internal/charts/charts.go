// Package charts is the reading room: it finds patients in a mirror, opens their charts
// and answers the pages about them.
//
// Reading is what commands and pages share: records of one source, as they stand now or
// stood on a day. A Room answers the pages: it writes the journal line of a view before
// it shows anything, so that a view that cannot be recorded is not served, and forgets
// what it has read when the mirror is locked. The package knows no EMR and no schedule,
// and writes nothing into the mirror but journal lines and the seals of patients.
package charts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
	"chartcellar/store/scan"
)

// ErrNotHeld says that the copy does not hold the bytes of a document.
var ErrNotHeld = errors.New("the copy does not hold this document")

// ErrDay says that something is not a day as 2026-03-01.
var ErrDay = errors.New("this is no day")

// A Reading reads the records of one source. It may be used by many goroutines.
type Reading struct {
	M      *store.Mirror
	Snap   *store.Snapshot
	Source string
	// Base is the FHIR address of the source; "" if it is not known.
	Base string
	// Back says that Snap is of a day in the past: then labels of today count, too.
	Back bool
}

// GoBack takes the records as they stood at the end of a day, written as 2026-03-01, and
// returns when that was, and the run that had ended then. If there is no copy from then
// the error is a *store.TooEarlyError; ErrDay says that the day cannot be read. What is
// labelled sensitive now stays closed on every day.
func (r *Reading) GoBack(day string, zone *time.Location) (end time.Time, run store.RunInfo, err error) {
	t, err := time.ParseInLocation(time.DateOnly, day, zone)
	if err != nil {
		return end, run, ErrDay
	}
	end = t.AddDate(0, 0, 1).Add(-time.Nanosecond)
	snap, run, err := r.M.AsOfTime(end)
	if err == nil {
		r.Snap, r.Back = snap, true
	}
	return end, run, err
}

// Key names a record of the source.
func (r *Reading) Key(typ, id string) store.Key {
	return store.Key{Source: r.Source, Type: typ, ID: id}
}

// Last returns the newest version that is a record, and whether the EMR has removed it
// since. Then, of a record of which no version can be shown, it is the tombstone.
func (r *Reading) Last(ctx context.Context, k store.Key) (v store.Version, removed bool, err error) {
	v, err = r.Snap.Latest(ctx, k)
	if err != nil || !v.Deleted {
		return v, false, err
	}
	list, err := r.Snap.History(ctx, k)
	for i := len(list) - 1; i >= 0 && err == nil; i-- {
		if !list[i].Deleted && !list[i].Lost && list[i].Counts {
			return list[i], true, nil
		}
	}
	return v, true, err
}

// Finder returns what looks up the records that others refer to; one that cannot be
// read is not found. It is a chart.LaterFinder.
func (r *Reading) Finder(ctx context.Context) chart.Finder { return finder{ctx, r} }

type finder struct {
	ctx context.Context
	r   *Reading
}

// Find implements chart.Finder.
func (f finder) Find(typ, id string) ([]byte, bool) {
	v, err := f.r.Snap.Latest(f.ctx, f.r.Key(typ, id))
	return v.Raw, err == nil && !v.Deleted
}

// Base implements chart.Finder.
func (f finder) Base() string { return f.r.Base }

// ClosedLater implements chart.LaterFinder.
func (f finder) ClosedLater(typ, id string) bool { return f.r.closedLater(f.ctx, typ, id) }

// Given returns which types the EMR was asked for or ever gave.
func (r *Reading) Given() (func(string) bool, error) {
	types, err := r.Snap.Types()
	if err != nil {
		return nil, err
	}
	cursors, err := r.M.Cursors(r.Source)
	for _, c := range cursors {
		types = append(types, c.Type)
	}
	return func(typ string) bool { return slices.Contains(types, typ) }, err
}

// Gaps returns what the copy lacks now, by type, in words; each reason once.
func (r *Reading) Gaps() (map[string]string, error) {
	list, err := r.M.Gaps(r.Source)
	type why struct{ typ, since, reason string }
	count := map[why]int{}
	var order []why
	for _, g := range list {
		w := why{g.Type, g.Since.Local().Format("2006-01-02"), strings.TrimSuffix(chart.CleanLine(g.Reason), ".")}
		if count[w]++; count[w] == 1 {
			order = append(order, w)
		}
	}
	out := map[string]string{}
	for _, w := range order {
		some := "some of these"
		if n := count[w]; n > 1 {
			some = fmt.Sprintf("some of these (%d times)", n)
		}
		out[w.typ] = strings.TrimSpace(out[w.typ] + fmt.Sprintf(" The copy lacks %s, of this or other patients, since %s: %s.", some, w.since, w.reason))
	}
	return out, err
}

// Build makes the chart of a patient, also of one that the EMR has removed: then it is
// what the copy kept. If there is no such patient the error wraps store.ErrNotFound.
// A record that cannot be read is counted, not an error.
func (r *Reading) Build(ctx context.Context, id string, o chart.Options) (c *chart.Chart, removed bool, err error) {
	if o.Given, err = r.Given(); err != nil {
		return nil, false, err
	}
	if o.Gaps, err = r.Gaps(); err != nil {
		return nil, false, err
	}
	a, since := viewer.Actor{Sensitive: o.Sensitive}, &later{}
	if o.Names = names(ctx, a, r); !o.Sensitive {
		if since, err = r.closedSince(ctx, id); err != nil {
			return nil, false, err
		}
	}
	builders := make([]*chart.Builder, workers())
	for i := range builders {
		builders[i] = chart.New(o)
	}
	b := builders[0]
	last, removed, err := r.Last(ctx, r.Key("Patient", id))
	if err != nil && !errors.Is(err, store.ErrDamaged) {
		return nil, false, err
	}
	if removed {
		b.Add(chart.Resource{Type: "Patient", ID: id, Raw: last.Raw, Closed: since.closed("Patient", id)})
	}
	unread, err := r.Snap.ReadableParallel(ctx, store.PatientRecords{Source: r.Source, Patient: id}, len(builders), func(i int, rec store.Version) error {
		builders[i].Add(chart.Resource{Type: rec.Type, ID: rec.ID, Raw: rec.Raw, Closed: since.closed(rec.Type, rec.ID)})
		return nil
	})
	if err != nil {
		return nil, removed, err
	}
	for _, other := range builders[1:] {
		b.Join(other)
	}
	for t, n := range unread {
		b.Unreadable(t, n)
	}
	c = b.Chart()
	c.Banner.ID = id
	return c, removed, nil
}

// workers is how many goroutines read at the same time.
func workers() int { return max(2, min(4, runtime.GOMAXPROCS(0))) }

// EachPatient reads all patients in parallel and calls fn, one at a time, for those
// that fit.
func (r *Reading) EachPatient(ctx context.Context, fits func(*chart.Entry) bool, fn func(chart.Entry)) error {
	found := make(chan chart.Entry, 64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for en := range found {
			fn(en)
		}
	}()
	err := r.Snap.EachParallel(ctx, r.Source, "Patient", workers(), func(_ int, id string, raw []byte) error {
		if en := chart.NewEntry(chart.Resource{Type: "Patient", ID: id, Raw: raw}); fits(&en) {
			found <- en
		}
		return nil
	})
	close(found)
	<-done
	return err
}

// PatientOf returns the id of the patient that a record belongs to; "" if it names
// none.
func PatientOf(raw []byte) string {
	f, err := scan.New([32]byte{}).Facts(raw)
	if err != nil {
		return ""
	}
	return string(f.Patient)
}

// PatientIn returns the patient that a record belongs to, as its newest version says.
func PatientIn(k store.Key, list []store.Version) string {
	if k.Type == "Patient" {
		return k.ID
	}
	for i := len(list) - 1; i >= 0; i-- {
		if !list[i].Deleted && !list[i].Lost {
			return PatientOf(list[i].Raw)
		}
	}
	return ""
}

// Holds says where the copy has the bytes of a document: in the record, as a file, in a
// Binary; "" if nowhere.
func (r *Reading) Holds(ctx context.Context, a *chart.Attachment) string {
	if a.Inline {
		return "record"
	}
	if l, ok := r.link(a); ok {
		if l.Problem != "" {
			return "file, but " + l.Problem
		}
		return "file"
	}
	if id := a.BinaryID(r.Base); id != "" {
		if v, _, err := r.Last(ctx, r.Key("Binary", id)); err == nil && !v.Deleted {
			return "Binary/" + id
		}
	}
	return ""
}

// link returns what the mirror fetched for a document; ok is false if it did not.
func (r *Reading) link(a *chart.Attachment) (l store.Link, ok bool) {
	typ, id, _ := strings.Cut(a.Ref, "/")
	list, err := r.Snap.Attachments(r.Key(typ, id))
	if err != nil || a.URL == "" {
		return l, false
	}
	for _, one := range list {
		if one.URL == store.WithoutQuery(a.URL) {
			l, ok = one, true
		}
	}
	return l, ok
}

// Content opens the bytes of a document wherever the copy has them: in the record
// itself, as a file that was fetched for it, or in a Binary. It fills in the content
// type if the record says none. If the copy has the bytes nowhere the error is
// ErrNotHeld. The caller closes it.
func (r *Reading) Content(ctx context.Context, a *chart.Attachment) (io.ReadCloser, error) {
	if a.Inline {
		return io.NopCloser(a.Data()), nil
	}
	if l, ok := r.link(a); ok {
		typ, id, _ := strings.Cut(a.Ref, "/")
		_, body, err := r.Snap.Attachment(ctx, r.Key(typ, id), a.URL)
		if a.ContentType == "" {
			a.ContentType = l.ContentType
		}
		return body, err
	}
	if id := a.BinaryID(r.Base); id != "" {
		v, _, err := r.Last(ctx, r.Key("Binary", id))
		switch {
		case err == nil && !v.Deleted:
			list, err := chart.Attachments(chart.Resource{Type: "Binary", ID: id, Raw: v.Raw}, nil)
			if err != nil {
				return nil, err
			}
			if list[0].Inline {
				if a.ContentType == "" {
					a.ContentType = list[0].ContentType
				}
				return io.NopCloser(list[0].Data()), nil
			}
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
	}
	return nil, ErrNotHeld
}
