package charts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
)

// A TypeError says that the copy has no records of types that were named.
type TypeError struct{ Types, Has []string }

// Error implements error.
func (e *TypeError) Error() string {
	return fmt.Sprintf("the copy has no records of the type %s; it has %s", chart.CleanLine(strings.Join(e.Types, ", ")), strings.Join(e.Has, ", "))
}

// notesFirst are the types in which most words are; they are looked at before others.
var notesFirst = []string{"DocumentReference", "DiagnosticReport", "Composition", "Condition"}

// Types returns the types of record to look through: those named, in whatever capitals,
// else all, with those first that have most words in them. If the copy lacks some of them
// the error is a *TypeError, and the list is the others.
func (r *Reading) Types(named []string) ([]string, error) {
	has, err := r.Snap.Types()
	if err != nil {
		return nil, err
	}
	var list, lacks []string
	for _, name := range named {
		if i := slices.IndexFunc(has, func(t string) bool { return strings.EqualFold(t, name) }); i >= 0 {
			list = append(list, has[i])
		} else {
			lacks = append(lacks, name)
		}
	}
	if len(named) == 0 {
		list = has
	}
	rank := func(t string) int { return (slices.Index(notesFirst, t) + len(notesFirst) + 1) % (len(notesFirst) + 1) }
	slices.SortStableFunc(list, func(a, b string) int { return rank(a) - rank(b) })
	if len(lacks) > 0 {
		err = &TypeError{lacks, has}
	}
	return slices.Compact(list), err
}

// A Scan looks at every record of some types, several at a time, those that were stored
// last first. Its numbers may be read while it runs.
type Scan struct {
	*Reading
	Named   []string // types, as Reading.Types has them
	Patient string   // id of the only patient whose records are looked at; "": all records

	looked, of, unread, sealed atomic.Int64
	counted                    atomic.Bool
}

// Looked is how many records were looked at.
func (s *Scan) Looked() int { return int(s.looked.Load()) }

// Unread is how many records and files could not be read, since their stored bytes are
// damaged.
func (s *Scan) Unread() int { return int(s.unread.Load()) }

// Of is how many records there are; -1 if they were not counted yet.
func (s *Scan) Of() int {
	if !s.counted.Load() {
		return -1
	}
	return int(s.of.Load())
}

// Sealed is how many of these are of patients who are sealed, and so not looked at, as
// far as they were counted.
func (s *Scan) Sealed() int { return int(s.sealed.Load()) }

// AtOnce is how many goroutines look at records.
func (s *Scan) AtOnce() int { return workers() }

// Run calls look for every record, from AtOnce goroutines at once: worker says which.
// After an error of look, which it returns, it looks at no more. What cannot be read is
// counted and passed over.
func (s *Scan) Run(ctx context.Context, look func(worker int, r chart.Resource) error) error {
	if s.Patient != "" {
		return s.runPatient(ctx, look)
	}
	for _, typ := range s.Named {
		err := s.Snap.EachParallel(ctx, s.Source, typ, s.AtOnce(), func(w int, id string, raw []byte) error {
			s.looked.Add(1)
			return look(w, chart.Resource{Type: typ, ID: id, Raw: raw})
		})
		var damage *store.DamagedError
		if errors.As(err, &damage) {
			s.unread.Add(int64(damage.Records))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// runPatient is Run for the records of one patient, one after the other.
func (s *Scan) runPatient(ctx context.Context, look func(worker int, r chart.Resource) error) error {
	unread, err := s.Snap.Readable(ctx, s.Source, s.Patient, func(v store.Version) error {
		if !slices.Contains(s.Named, v.Type) {
			return nil
		}
		s.looked.Add(1)
		return look(0, chart.Resource{Type: v.Type, ID: v.ID, Raw: v.Raw})
	})
	for typ, n := range unread {
		if slices.Contains(s.Named, typ) {
			s.unread.Add(int64(n))
		}
	}
	s.of.Store(s.looked.Load() + s.unread.Load())
	s.counted.Store(err == nil)
	return err
}

// Count counts the records there are. It may go on beside Run. Those of one patient are
// counted by Run.
func (s *Scan) Count(ctx context.Context) error {
	if s.Patient != "" {
		return nil
	}
	for _, typ := range s.Named {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n, err := s.Snap.CountOf(s.Source, typ)
		if err != nil {
			return err
		}
		s.of.Add(int64(n))
		if n, err = s.Snap.Hidden(s.Source, typ); err != nil {
			return err
		}
		s.sealed.Add(int64(n))
	}
	s.counted.Store(true)
	return nil
}

// Notes looks for words in the records of a scan, and in the files that they name.
type Notes struct {
	scan      *Scan
	sensitive bool
	matchers  []*chart.Matcher
}

// Notes returns what looks for the words of a search; unless sensitive it looks into no
// file that is labelled so.
func (s *Scan) Notes(search *chart.Search, sensitive bool) *Notes {
	n := &Notes{scan: s, sensitive: sensitive}
	for range s.AtOnce() {
		n.matchers = append(n.matchers, search.Matcher())
	}
	return n
}

// Look tells whether a record has the words, and where; worker is that of Run.
func (n *Notes) Look(ctx context.Context, worker int, r chart.Resource) (chart.Hit, bool) {
	files, unread := n.files(ctx, r)
	n.scan.unread.Add(int64(unread))
	m := n.matchers[worker]
	if !m.May(r.Raw, files...) {
		return chart.Hit{}, false
	}
	return m.Match(r, files...)
}

// maxSearched is how large a file outside of its record may be to be searched.
const maxSearched = 8 << 20

// files returns the files of a record that the copy keeps outside of it and that may be
// text. A file that cannot be read is left out, and counted.
func (n *Notes) files(ctx context.Context, rec chart.Resource) (files []chart.File, unread int) {
	if !mayName(rec) {
		return nil, 0
	}
	list, err := chart.ListAttachments(rec, nil)
	if err != nil {
		return nil, 0
	}
	for i := range list {
		a := &list[i]
		if a.Inline || a.URL == "" || !maybeText(a.ContentType) {
			continue
		}
		b, err := n.text(ctx, a)
		switch {
		case errors.Is(err, ErrNotHeld), errors.Is(err, errNoText):
		case err != nil:
			unread++
		default:
			files = append(files, chart.File{Where: a.Where, ContentType: a.ContentType, Data: b})
		}
	}
	return files, unread
}

// mayName reports whether a record may name a file that is kept outside of it.
func mayName(rec chart.Resource) bool {
	if rec.Type == "Binary" || !bytes.Contains(rec.Raw, []byte(`"url"`)) {
		return false
	}
	return slices.ContainsFunc(fileMembers, func(name []byte) bool { return bytes.Contains(rec.Raw, name) })
}

// fileMembers stand in every record that names a file.
var fileMembers = [][]byte{[]byte(`ttachment"`), []byte(`"content"`), []byte(`"presentedForm"`), []byte(`"photo"`), []byte(`"document"`), []byte(`"image"`)}

var errNoText = errors.New("this file is no text")

// maybeText reports whether a file of a type may be text.
func maybeText(contentType string) bool {
	t := strings.ToLower(contentType)
	for _, no := range []string{"application/pdf", "image/", "audio/", "video/", "application/dicom", "application/zip"} {
		if strings.HasPrefix(t, no) {
			return false
		}
	}
	return true
}

// text reads the bytes of a document whole.
func (n *Notes) text(ctx context.Context, a *chart.Attachment) ([]byte, error) {
	if id := a.BinaryID(n.scan.Base); id != "" && !n.sensitive {
		if raw, ok := n.scan.Finder(ctx).Find("Binary", id); ok && n.scan.closed(ctx, viewer.Actor{}, "Binary", id, raw) {
			return nil, errNoText
		}
	}
	body, err := n.scan.Content(ctx, a)
	if err != nil {
		return nil, err
	}
	defer body.Close() // read only
	if !maybeText(a.ContentType) {
		return nil, errNoText
	}
	b, err := io.ReadAll(io.LimitReader(body, maxSearched+1))
	if err == nil && len(b) > maxSearched {
		return nil, errNoText
	}
	return b, err
}
