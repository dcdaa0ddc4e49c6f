package charts

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
)

var _ viewer.ChartDocuments = (*Room)(nil)

// Differences compares a document with what its record says of it: its size and its
// SHA-1. What the record does not say is not compared.
func Differences(a *chart.Attachment, size int64, sha1 []byte) []string {
	out := []string{}
	if a.Size != "" && a.Size != strconv.FormatInt(size, 10) {
		out = append(out, fmt.Sprintf("the record says %s bytes, the document has %d.", a.Size, size))
	}
	if a.Hash != "" && a.Hash != base64.StdEncoding.EncodeToString(sha1) {
		out = append(out, "the checksum in the record is not that of the document.")
	}
	return out
}

// Documents implements viewer.ChartDocuments.
func (r *Room) Documents(ctx context.Context, a viewer.Actor, p viewer.Place) (viewer.DocumentList, error) {
	head, c, err := r.head(ctx, a, p, "documents")
	if err != nil {
		return viewer.DocumentList{}, err
	}
	out := viewer.DocumentList{ChartHead: head}
	for _, s := range c.chart.Sections {
		if s.Key == "documents" {
			out.Section = s
		}
	}
	source, _, id, err := r.Open(p.Ref)
	if err != nil {
		return out, err
	}
	rd, _, err := r.reading(source, p.AsOf)
	if err != nil {
		return out, err
	}
	gaps, err := rd.fileGaps()
	if err != nil {
		return out, err
	}
	listers := make([]lister, workers())
	for i := range listers {
		listers[i] = lister{r: r, rd: rd, a: a, names: names(ctx, a, rd), gaps: gaps, visits: map[string]string{}}
	}
	of := store.PatientRecords{Source: source, Patient: id, Types: append(slices.Clone(c.chart.FileTypes), "DocumentReference")}
	_, err = rd.Snap.ReadableParallel(ctx, of, len(listers), func(i int, v store.Version) error { return listers[i].add(ctx, v) })
	for _, l := range listers {
		out.List = append(out.List, l.list...)
		out.EnteredInError += l.errors
		out.Withheld += l.withheld
	}
	slices.SortFunc(out.List, func(x, y viewer.DocumentRow) int {
		return cmp.Or(strings.Compare(oneDay(y.Date), oneDay(x.Date)), strings.Compare(x.Attachment.Ref, y.Attachment.Ref), x.N-y.N)
	})
	return out, locked(err)
}

// oneDay leaves the date of a period that has only one end.
func oneDay(date string) string {
	return strings.TrimPrefix(strings.TrimPrefix(date, "since "), "until ")
}

// fileGaps are the reasons why files did not come, by the record that names them.
func (r *Reading) fileGaps() (map[string]string, error) {
	list, err := r.M.Gaps(r.Source)
	out := map[string]string{}
	for _, g := range list {
		if g.Ref != "" {
			out[g.Ref] = fmt.Sprintf("%s (since %s)", strings.TrimSuffix(chart.CleanLine(g.Reason), "."), g.Since.Local().Format("2006-01-02"))
		}
	}
	return out, err
}

// onlyNamed is why the copy lacks a file of which nothing else is known.
const onlyNamed = "the record says only where the EMR has it"

// named says why the copy lacks a file of which nothing else is known: who has it.
func (r *Reading) named(a *chart.Attachment) string {
	at, err := url.Parse(store.WithoutQuery(a.URL))
	home, err2 := url.Parse(r.Base)
	if err != nil || err2 != nil || at.Host == "" || home.Host == "" || strings.EqualFold(at.Host, home.Host) {
		return onlyNamed
	}
	return "the record says only that another server has it: " + chart.CleanLine(at.Redacted())
}

// A lister collects the files of records, one after the other.
type lister struct {
	r      *Room
	rd     *Reading
	a      viewer.Actor
	names  chart.Finder
	gaps   map[string]string
	visits map[string]string // in words, by Type/id

	list     []viewer.DocumentRow
	errors   int // files of records that were entered in error
	withheld int // files that are labelled sensitive
}

func (l *lister) add(ctx context.Context, v store.Version) error {
	res := chart.Resource{Type: v.Type, ID: v.ID, Raw: v.Raw}
	list, err := chart.ListAttachments(res, l.names)
	if err != nil {
		return err
	}
	if len(list) == 0 && v.Type == "DocumentReference" {
		list = []chart.Attachment{noFile(res)}
	}
	closed := len(list) > 0 && l.rd.closed(ctx, l.a, v.Type, v.ID, v.Raw)
	for i := range list {
		switch {
		case closed:
			l.withheld++
		case list[i].Status == chart.EnteredInError:
			l.errors++
		default:
			l.list = append(l.list, l.row(ctx, &list[i]))
		}
	}
	return nil
}

// noFile stands for the file of a record of a document that names none.
func noFile(r chart.Resource) chart.Attachment {
	title := chart.Title(r)
	return chart.Attachment{Ref: r.Ref(), Where: "no file", Title: title, Type: title, Date: chart.DateOf(r.Raw)}
}

func (l *lister) row(ctx context.Context, a *chart.Attachment) viewer.DocumentRow {
	row := viewer.DocumentRow{Attachment: *a, Record: l.r.Refer(l.rd.Source, a.Ref), Format: chart.FormatName(a.ContentType)}
	if a.N > 0 {
		row.Held, row.Problem = l.rd.held(ctx, a)
	}
	switch row.Why = l.gaps[a.Ref]; {
	case a.N == 0:
		row.Why = "its record names no file"
	case row.Why == "":
		row.Why = l.rd.named(a)
	}
	if a.Visit != "" {
		words, known := l.visits[a.Visit]
		if !known {
			words = visit(l.names, a.Visit)
			l.visits[a.Visit] = words
		}
		row.VisitRef, row.VisitWords = l.r.Refer(l.rd.Source, a.Visit), words
	}
	return row
}

// visit names a visit in words; "" if the copy does not have it, or it is not for who asks.
func visit(names chart.Finder, ref string) string {
	typ, id, _ := strings.Cut(ref, "/")
	raw, ok := names.Find(typ, id)
	if !ok {
		return ""
	}
	return chart.Visit(raw)
}

// held is Holds for long lists: it reads no file.
func (r *Reading) held(ctx context.Context, a *chart.Attachment) (held bool, problem string) {
	if l, ok := r.link(a); ok {
		return true, l.Problem
	}
	if id := a.BinaryID(r.Base); id != "" && !a.Inline {
		if current, err := r.M.Holds(r.Key("Binary", id)); err == nil && current {
			return true, ""
		}
	}
	return r.Holds(ctx, a) != "", ""
}

// A paper is a document of a record that somebody asks for.
type paper struct {
	chart.Attachment
	rd      *Reading
	key     store.Key
	patient string
	of      int
	removed bool
	closed  error // it is labelled sensitive, or may be, and who asks may not see that
}

// paper finds the n-th file of the record that a place names. Its caller writes the
// journal line before anything of it is given away, also of what is closed.
func (r *Room) paper(ctx context.Context, a viewer.Actor, p viewer.Place, n int) (*paper, error) {
	source, typ, id, err := r.Open(p.Ref)
	if err != nil {
		return nil, err
	}
	rd, _, err := r.reading(source, p.AsOf)
	if err != nil {
		return nil, err
	}
	d := &paper{rd: rd, key: rd.Key(typ, id)}
	if err := rd.Unsealed(ctx, d.key); errors.Is(err, store.ErrSealed) {
		return nil, viewer.ErrNotFound
	} else if err != nil {
		return nil, locked(err)
	}
	v, removed, err := rd.Last(ctx, d.key)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && v.Deleted:
		return nil, viewer.ErrNotFound
	case err != nil:
		return nil, locked(err)
	}
	list, err := chart.Attachments(chart.Resource{Type: typ, ID: id, Raw: v.Raw}, names(ctx, a, rd))
	if err != nil {
		return nil, err
	}
	if len(list) == 0 && typ == "DocumentReference" {
		list = []chart.Attachment{noFile(chart.Resource{Type: typ, ID: id, Raw: v.Raw})}
	}
	if n < 1 || n > len(list) {
		return nil, viewer.ErrNotFound
	}
	d.Attachment, d.of, d.removed, d.patient = list[n-1], len(list), removed, PatientIn(d.key, []store.Version{v})
	if typ == "Binary" && !a.Sensitive {
		d.closed = errBinary
	}
	if binary := d.BinaryID(rd.Base); !a.Sensitive && !d.Inline && binary != "" {
		if raw, ok := rd.Finder(ctx).Find("Binary", binary); ok && rd.closed(ctx, a, "Binary", binary, raw) {
			d.closed = errWithheld
		}
	}
	if rd.closed(ctx, a, typ, id, v.Raw) {
		d.closed = errWithheld
	}
	return d, nil
}

// Document implements viewer.ChartDocuments.
func (r *Room) Document(ctx context.Context, a viewer.Actor, p viewer.Place, n int) (viewer.Document, error) {
	d, err := r.paper(ctx, a, p, n)
	if err != nil {
		return viewer.Document{}, err
	}
	if err := r.journal(a, "document.open", d.key, d.patient, d.words(p)...); err != nil {
		return viewer.Document{}, err
	}
	if d.closed != nil {
		return viewer.Document{}, d.closed
	}
	r.leafed(leaf{a.Account, a.Address, p, n})
	gaps, err := d.rd.fileGaps()
	if err != nil {
		return viewer.Document{}, err
	}
	l := lister{r: r, rd: d.rd, names: names(ctx, a, d.rd), gaps: gaps, visits: map[string]string{}}
	out := viewer.Document{DocumentRow: l.row(ctx, &d.Attachment), Source: d.rd.Source, Of: d.of, Removed: d.removed}
	if err := d.look(ctx, &out); err != nil {
		return out, locked(err)
	}
	if d.patient != "" {
		ref := r.Refer(d.rd.Source, "Patient/"+d.patient)
		head, _, err := r.banner(ctx, a, d.rd.Source, d.patient, viewer.Place{Ref: ref, AsOf: p.AsOf})
		if err == nil {
			out.ChartHead = &head
		} else if !errors.Is(err, viewer.ErrNotFound) {
			return out, err
		}
	}
	return out, nil
}

// words say in the journal which file of a record it was.
func (d *paper) words(p viewer.Place) []string {
	out := []string{fmt.Sprintf("file %d of %d", d.N, d.of)}
	if p.AsOf != "" {
		out = append(out, "as of "+p.AsOf)
	}
	return out
}

// A leaf is the page of a document that somebody opened.
type leaf struct {
	account, address string
	place            viewer.Place
	n                int
}

// leafTime is how long what a page fetches belongs to the line of that page: one look
// is one line in the journal.
const leafTime = 2 * time.Minute

// keptLeaves is of how many pages the time is remembered.
const keptLeaves = 256

func (r *Room) leafed(l leaf) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.leaves) >= keptLeaves {
		clear(r.leaves)
	}
	r.leaves[l] = r.o.Now()
}

func (r *Room) justLeafed(l leaf) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.leaves[l]
	return ok && r.o.Now().Sub(at) < leafTime
}

// damagedWords is why a document is not shown whose bytes are damaged.
const damagedWords = "its stored bytes are damaged here, and may be whole in a second copy (delete nothing; at the computer itself: chartcellar repair)"

// look reads a document from end to end: what it is, how long, and whether that is what
// its record says. Of what is no text nothing is kept in memory.
func (d *paper) look(ctx context.Context, out *viewer.Document) error {
	body, err := d.rd.Content(ctx, &d.Attachment)
	if errors.Is(err, ErrNotHeld) {
		out.Held = false
		return nil
	}
	if err == nil {
		defer body.Close() // read only
		err = d.readThrough(body, out)
	}
	var corrupt base64.CorruptInputError
	switch {
	case errors.Is(err, store.ErrDamaged):
		out.Held, out.Why = false, damagedWords
		return nil
	case errors.As(err, &corrupt):
		out.Held, out.Why = false, "what the record holds in its place is not written as FHIR says (base64)"
		return nil
	}
	return err
}

func (d *paper) readThrough(body io.Reader, out *viewer.Document) error {
	in := bufio.NewReaderSize(body, chart.KindPrefix)
	begin, err := in.Peek(chart.KindPrefix)
	if err != nil && err != io.EOF {
		return err
	}
	out.Held, out.ContentType, out.Kind = true, d.ContentType, chart.KindOf(d.ContentType, begin)
	one, two := sha1.New(), sha256.New()
	var seen counted
	all := io.TeeReader(in, io.MultiWriter(one, two, &seen))
	switch {
	case out.Kind.Image():
		out.Width, out.Height = chart.Dots(all)
	case out.Kind.Readable():
		var b bytes.Buffer
		if _, err := io.CopyN(&b, all, viewer.MaxReadable+1); err != nil && err != io.EOF {
			return err
		}
		if b.Len() <= viewer.MaxReadable {
			out.Content = b.Bytes()
		}
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return err
	}
	out.Bytes, out.SHA256 = int64(seen), hex.EncodeToString(two.Sum(nil))
	if s := chart.Mislabelled(d.ContentType, out.Kind); s != "" {
		out.Notes = append(out.Notes, s)
	}
	for _, s := range Differences(&d.Attachment, out.Bytes, one.Sum(nil)) {
		out.Notes = append(out.Notes, strings.ToUpper(s[:1])+s[1:])
	}
	return nil
}

// counted counts the bytes that are written to it.
type counted int64

// Write implements io.Writer.
func (c *counted) Write(b []byte) (int, error) {
	*c += counted(len(b))
	return len(b), nil
}

// DocumentFile implements viewer.ChartDocuments.
func (r *Room) DocumentFile(ctx context.Context, a viewer.Actor, p viewer.Place, n int, save bool) (*viewer.DocumentFile, error) {
	d, err := r.paper(ctx, a, p, n)
	if err != nil {
		return nil, err
	}
	switch {
	case save:
		err = r.journal(a, "document.save", d.key, d.patient, d.words(p)...)
	case !r.justLeafed(leaf{a.Account, a.Address, p, n}):
		err = r.journal(a, "document.open", d.key, d.patient, d.words(p)...)
	}
	if err == nil {
		err = d.closed
	}
	if err != nil {
		return nil, err
	}
	body, err := d.rd.Content(ctx, &d.Attachment)
	if errors.Is(err, ErrNotHeld) {
		return nil, viewer.ErrNotFound
	}
	if err != nil {
		return nil, locked(err)
	}
	in := bufio.NewReaderSize(body, chart.KindPrefix)
	begin, err := in.Peek(chart.KindPrefix)
	if err != nil && err != io.EOF {
		body.Close() // read only
		return nil, err
	}
	f := &viewer.DocumentFile{Bytes: -1, Kind: chart.KindOf(d.ContentType, begin), Type: d.ContentType, Date: d.Date}
	if l, ok := d.rd.link(&d.Attachment); ok && !d.Inline {
		f.Bytes = l.Size
	}
	f.ReadCloser = struct {
		io.Reader
		io.Closer
	}{in, body}
	return f, nil
}
