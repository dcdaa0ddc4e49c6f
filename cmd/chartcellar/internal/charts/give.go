package charts

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/patientfile"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
)

// Each calls fn for every record of a patient, the Patient first, also of one that the
// EMR has removed: then it is what the copy kept. It returns how many could not be read,
// by type. If there is no such patient the error wraps store.ErrNotFound.
func (r *Reading) Each(ctx context.Context, id string, fn func(chart.Resource) error) (unread store.Unread, removed bool, err error) {
	last, removed, err := r.Last(ctx, r.Key("Patient", id))
	if err != nil && !errors.Is(err, store.ErrDamaged) {
		return nil, false, err
	}
	if removed {
		if err := fn(chart.Resource{Type: "Patient", ID: id, Raw: last.Raw}); err != nil {
			return nil, removed, err
		}
	}
	unread, err = r.Snap.Readable(ctx, r.Source, id, func(rec store.Version) error {
		return fn(chart.Resource{Type: rec.Type, ID: rec.ID, Raw: rec.Raw})
	})
	return unread, removed, err
}

// Patient returns a patient whose records files are made of; ages are those at a time.
func (r *Reading) Patient(id string, at time.Time) patientfile.Patient {
	return &given{r: r, id: id, at: at}
}

// A given patient implements patientfile.Patient.
type given struct {
	r       *Reading
	id      string
	at      time.Time
	removed bool
	only    []string       // types that are read; nil: all
	known   *chart.Options // once they are
}

// Each implements patientfile.Patient.
func (g *given) Each(ctx context.Context, fn func(chart.Resource) error) (map[string]int, error) {
	since, err := g.r.closedSince(ctx, g.id)
	if err != nil {
		return nil, err
	}
	unread, removed, err := g.r.Each(ctx, g.id, func(r chart.Resource) error {
		r.Closed = since.closed(r.Type, r.ID)
		if g.only != nil && !slices.Contains(g.only, r.Type) {
			return nil
		}
		return fn(r)
	})
	g.removed = removed
	return unread, err
}

// Notices implements patientfile.Patient.
func (g *given) Notices() []string {
	if g.removed {
		return []string{"The EMR has removed this patient; this is what the copy kept."}
	}
	return nil
}

// Options implements patientfile.Patient.
func (g *given) Options(ctx context.Context) (chart.Options, error) {
	if g.known != nil {
		return *g.known, nil
	}
	var err error
	o := chart.Options{At: g.at, Names: g.r.Finder(ctx)}
	if o.Given, err = g.r.Given(); err != nil {
		return o, err
	}
	if o.Gaps, err = g.r.Gaps(); err != nil {
		return o, err
	}
	g.known = &o
	return o, nil
}

// Open implements patientfile.Patient.
func (g *given) Open(ctx context.Context, a *chart.Attachment) (io.ReadCloser, error) {
	body, err := g.r.Content(ctx, a)
	switch {
	case errors.Is(err, ErrNotHeld):
		return nil, patientfile.ErrNotHeld
	case errors.Is(err, store.ErrDamaged), errors.Is(err, store.ErrLost):
		return nil, patientfile.ErrBroken
	case err != nil:
		return nil, err
	}
	return brokenReader{body}, nil
}

// A brokenReader says ErrBroken of damaged bytes, and ErrNoData of what is no base64.
type brokenReader struct{ io.ReadCloser }

// Read implements io.Reader.
func (b brokenReader) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	var no64 base64.CorruptInputError
	switch {
	case errors.Is(err, store.ErrDamaged):
		err = fmt.Errorf("%w: %w", patientfile.ErrBroken, err)
	case errors.As(err, &no64):
		err = patientfile.ErrNoData
	}
	return n, err
}

// Print implements viewer.Giving.
func (r *Room) Print(ctx context.Context, a viewer.Actor, p viewer.Place, c patientfile.Choice) (viewer.Printed, error) {
	c.Sensitive = c.Sensitive && a.Sensitive
	h, _, err := r.head(ctx, a, p, "print")
	if err != nil {
		return viewer.Printed{}, err
	}
	g, cover, err := r.gift(a, p, "patient.print", c, "", "")
	if err != nil {
		return viewer.Printed{}, err
	}
	s, err := patientfile.NewSheet(ctx, cover, c, g)
	return viewer.Printed{ChartHead: h, Sheet: s}, refused(err)
}

// Give implements viewer.Giving.
func (r *Room) Give(ctx context.Context, a viewer.Actor, p viewer.Place, gift viewer.Gift, w io.Writer) error {
	gift.Choice.Sensitive = gift.Choice.Sensitive && a.Sensitive
	if strings.TrimSpace(gift.For) == "" || strings.TrimSpace(gift.Purpose) == "" {
		return &viewer.Refusal{Words: "Nothing was made. Say who gets it and what for."}
	}
	g, cover, err := r.gift(a, p, "patient.zip", gift.Choice, gift.For, gift.Purpose)
	if err != nil {
		return err
	}
	one := patientfile.Package{Cover: cover, Choice: gift.Choice, Base: strings.TrimSuffix(r.o.Base(cover.Source), "/")}
	if gift.Password == "" {
		_, err = one.Write(ctx, w, g)
		return refused(err)
	}
	sealed := &lateSeal{w: w, password: gift.Password}
	if _, err = one.Write(ctx, sealed, g); err != nil {
		return refused(err)
	}
	return sealed.Close()
}

// A lateSeal encrypts what is written, and writes nothing before that.
type lateSeal struct {
	w        io.Writer
	password string
	sealed   io.WriteCloser
}

// Write implements io.Writer.
func (l *lateSeal) Write(b []byte) (n int, err error) {
	if l.sealed == nil {
		if l.sealed, err = patientfile.Seal(l.w, l.password); err != nil {
			return 0, err
		}
	}
	return l.sealed.Write(b)
}

// Close implements io.Closer.
func (l *lateSeal) Close() error {
	if l.sealed == nil {
		return nil
	}
	return l.sealed.Close()
}

// gift writes the journal line of what leaves the copy, and readies it.
func (r *Room) gift(a viewer.Actor, p viewer.Place, code string, c patientfile.Choice, whom, purpose string) (*given, patientfile.Cover, error) {
	cover := patientfile.Cover{Practice: r.o.Practice(), Made: r.o.Now().In(r.o.Zone()).Truncate(time.Second), By: a.Display,
		For: chart.CleanLine(whom), Purpose: chart.CleanLine(purpose)}
	source, typ, id, err := r.Open(p.Ref)
	if err == nil && typ != "Patient" {
		err = viewer.ErrNotFound
	}
	if err != nil {
		return nil, cover, err
	}
	var words []string
	for _, w := range [][2]string{{"for: ", cover.For}, {"purpose: ", cover.Purpose}, {"as of ", p.AsOf}} {
		if w[1] != "" {
			words = append(words, w[0]+w[1])
		}
	}
	if c.Sensitive {
		words = append(words, "with what is labelled sensitive")
	}
	if err := r.journal(a, code, store.Key{Source: source, Type: "Patient"}, id, words...); err != nil {
		return nil, cover, err
	}
	rd, at, err := r.reading(source, p.AsOf)
	if err != nil {
		return nil, cover, err
	}
	if cover.Source = source; p.AsOf == "" {
		cover.Copy, err = r.o.Dated(source)
	} else {
		cover.Copy, err = r.copyOf(source, p.AsOf)
	}
	return &given{r: rd, id: id, at: at}, cover, err
}

// refused tells pages what a person can do something about.
func refused(err error) error {
	switch {
	case errors.Is(err, patientfile.ErrLabelled):
		return &viewer.Refusal{Words: "The whole record of this patient has a sensitive label: without it nothing is left. Nothing was made. Take in what has a sensitive label, if it is to be given all the same."}
	case errors.Is(err, store.ErrNotFound):
		return viewer.ErrNotFound
	}
	return locked(err)
}
