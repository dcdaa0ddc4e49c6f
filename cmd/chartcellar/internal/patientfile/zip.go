package patientfile

import (
	"archive/zip"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"slices"
	"strings"

	"filippo.io/age"

	"chartcellar/store/chart"
	"chartcellar/store/keys"
)

// Why a document is not in a package, or not whole.
var (
	// ErrNotHeld says that the copy has its bytes nowhere.
	ErrNotHeld = errors.New("the copy does not hold this document: its record says only where the EMR has it")
	// ErrBroken says that its stored bytes are damaged.
	ErrBroken = errors.New("stored bytes of this document are damaged: it is not whole")
	// ErrNoData says that what its record holds cannot be read as a file.
	ErrNoData = errors.New("what its record holds is no file that can be read (no base64)")
)

// A Patient is whose records a package is made of.
type Patient interface {
	// Each calls fn for every record of the patient, the Patient first, and returns how
	// many could not be read, by type. Raw is valid during the call.
	Each(ctx context.Context, fn func(chart.Resource) error) (unread map[string]int, err error)
	// Open opens the bytes of a document; why there are none the errors ErrNotHeld,
	// ErrBroken and ErrNoData say, the latter two also on reading. It may fill in the content
	// type.
	Open(context.Context, *chart.Attachment) (io.ReadCloser, error)
	// Notices say, once Each was called, what must not be overlooked.
	Notices() []string
	// Options are those of the chart. Its Names find also what is labelled; if a day is shown
	// they are a chart.LaterFinder.
	Options(context.Context) (chart.Options, error)
}

// A File is a document that the records name.
type File struct {
	Name   string `json:"name"` // in the package; "": it is not there
	Ref    string `json:"ref"`  // the record that names it
	Date   string `json:"date"`
	Title  string `json:"title"`
	Author string `json:"author"`
	Kind   string `json:"kind"`
	Size   int64  `json:"bytes"`
	Why    string `json:"why,omitempty"` // it is not there, or not whole
}

// A Package is a zip file with all of one patient.
type Package struct {
	Cover
	Choice
	Base string // address of the EMR, without a slash at its end; "": not known
}

// A Made is what came of a package.
type Made struct {
	Count     Count  `json:"count"`
	Documents []File `json:"documents"`
	Held      int    `json:"held"`  // of the documents: in the package, and whole
	Named     int    `json:"named"` // further records in the bundle, that those of the patient name
}

// Damaged reports whether something could not be read.
func (m *Made) Damaged() bool {
	return m.Count.Unread > 0 || slices.ContainsFunc(m.Documents, func(f File) bool { return f.Why == ErrBroken.Error() })
}

// ErrLabelled says that the Patient record itself is labelled sensitive, so that nothing
// would be left without it.
var ErrLabelled = errors.New("the whole record of this patient is labelled sensitive")

// Write writes the package to w as it is made: neither the records nor the documents are
// held in memory, only what the summary says of them. Sections of the choice are not
// looked at: the package has them all. It reads the records twice and refuses
// (ErrLabelled) a patient who is labelled and was not asked for as such, before it has
// written anything.
func (p *Package) Write(ctx context.Context, w io.Writer, from Patient) (Made, error) {
	p.Sections = nil
	s, err := NewSheet(ctx, p.Cover, p.Choice, from)
	if err != nil {
		return Made{}, err
	}
	z := &packer{zip: zip.NewWriter(w), p: p, sums: map[string]string{}}
	if err := z.documents(ctx, from); err != nil {
		return Made{}, err
	}
	s.Files = append([]File{}, z.files...)
	if err := z.all(ctx, s, from); err != nil {
		return Made{}, err
	}
	return Made{s.Count, s.Files, z.held, z.named}, z.zip.Close()
}

// NewSheet makes the chart of what is chosen.
func NewSheet(ctx context.Context, c Cover, choice Choice, from Patient) (*Sheet, error) {
	s := &Sheet{Cover: c, Choice: choice}
	o, err := from.Options(ctx)
	if err != nil {
		return nil, err
	}
	o.Sensitive = choice.Sensitive
	b := chart.New(o)
	unread, err := from.Each(ctx, func(r chart.Resource) error {
		before := s.Count.Sensitive
		taken := choice.Take(r, &s.Count)
		closed := s.Count.Sensitive > before
		switch {
		case closed && r.Type == "Patient":
			return ErrLabelled
		case taken || closed: // the chart says where something is left out
			b.Add(r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for typ, n := range unread {
		b.Unreadable(typ, n)
		s.Count.Unread += n
	}
	s.Chart, s.Notices = b.Chart(), from.Notices()
	return s, nil
}

// A packer writes the files of a package, one after the other, and adds them up.
type packer struct {
	zip   *zip.Writer
	p     *Package
	names []string
	sums  map[string]string
	files []File
	// number counts the documents that are in the package, held those that are whole.
	number, held int
	named        int // records of others that are in the bundle
}

// file writes one file as f makes it.
func (z *packer) file(name string, f func(io.Writer) error) error {
	to, err := z.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: z.p.Made})
	if err != nil {
		return fmt.Errorf("write the package: %w", err)
	}
	sum := summed{to, sha256.New()}
	if err := f(sum); err != nil {
		return err
	}
	z.names = append(z.names, name)
	z.sums[name] = fmt.Sprintf("%x", sum.h.Sum(nil))
	return nil
}

// A summed writer adds up what goes through it.
type summed struct {
	w io.Writer
	h hash.Hash
}

// Write implements io.Writer.
func (s summed) Write(b []byte) (int, error) {
	s.h.Write(b)
	return s.w.Write(b)
}

// all writes what stands beside the documents.
func (z *packer) all(ctx context.Context, s *Sheet, from Patient) error {
	if err := z.file("records.json", func(w io.Writer) error { return z.records(ctx, w, from) }); err != nil {
		return err
	}
	if z.named > 0 {
		s.Notices = append(s.Notices, fmt.Sprintf("records.json also has %s of people, places and medicines that these records name.", several(z.named, "record", "records")))
	}
	for _, f := range []struct {
		name string
		make func(io.Writer) error
	}{{"summary.pdf", s.PDF}, {"index.html", s.HTML}, {"README.txt", func(w io.Writer) error { return z.readme(w, s) }}} {
		if err := z.file(f.name, f.make); err != nil {
			return err
		}
	}
	var lines []string
	for _, n := range z.names {
		lines = append(lines, z.sums[n]+"  "+n+"\n")
	}
	return z.file("SHA256SUMS", func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(lines, ""))
		return err
	})
}

// documents writes the bytes of every document that the taken records name.
func (z *packer) documents(ctx context.Context, from Patient) error {
	o, err := from.Options(ctx)
	if err != nil {
		return err
	}
	names := o.Names
	if !z.p.Sensitive {
		names = chart.Open(names)
	}
	var n Count
	_, err = from.Each(ctx, func(r chart.Resource) error {
		if !z.p.Take(r, &n) {
			return nil
		}
		list, err := chart.Attachments(r, names)
		if err != nil {
			return nil // the record is not JSON that can be gone through: it is shown plainly
		}
		for i := range list {
			open := from.Open
			if !z.p.Sensitive && labelled(o.Names, &list[i]) {
				open = func(context.Context, *chart.Attachment) (io.ReadCloser, error) { return nil, errClosed }
			}
			if err := z.document(ctx, &list[i], open); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// errClosed says that a file was left out.
var errClosed = errors.New("it has a sensitive label")

// labelled reports whether a document lies in a Binary that is closed.
func labelled(names chart.Finder, a *chart.Attachment) bool {
	if names == nil || a.Inline {
		return false
	}
	id := a.BinaryID(names.Base())
	if id == "" {
		return false
	}
	raw, found := names.Find("Binary", id)
	return found && chart.Closed(names, "Binary", id, raw)
}

func (z *packer) document(ctx context.Context, a *chart.Attachment, open func(context.Context, *chart.Attachment) (io.ReadCloser, error)) error {
	f := File{Ref: a.Ref, Date: a.Date, Title: a.Title, Author: a.Author}
	if f.Title == "" {
		f.Title = a.Where
	}
	if a.Status != "" {
		f.Title += " (" + a.Status + ")"
	}
	body, err := open(ctx, a)
	f.Kind = a.ContentType
	var first *bufio.Reader
	if err == nil {
		defer body.Close() // read only
		first = bufio.NewReaderSize(body, 64<<10)
		if _, err = first.Peek(1); errors.Is(err, io.EOF) {
			err = nil // an empty file is one
		}
	}
	if f.Why = reason(err); f.Why == "" {
		if err != nil {
			return err
		}
		z.number++
		f.Name = safeName(z.number, a)
		if err := z.file(f.Name, func(w io.Writer) error { return f.copy(w, first) }); err != nil {
			return err
		}
	}
	if f.Why == "" {
		z.held++
	}
	z.files = append(z.files, f)
	return nil
}

// copy writes a document; one that turns out to be damaged is not whole, and says so.
func (f *File) copy(w io.Writer, body io.Reader) (err error) {
	f.Size, err = io.Copy(w, body)
	if f.Why = reason(err); f.Why != "" {
		return nil
	}
	return err
}

// reason says why a document is not there; "" for another error, or none.
func reason(err error) string {
	for _, known := range []error{ErrNotHeld, ErrBroken, ErrNoData, errClosed} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return ""
}

// endings are those of the content types that a computer opens by them. Nothing that a
// record says goes into the name of a file, and nothing in a package is a program.
var endings = map[string]string{"application/pdf": "pdf", "text/plain": "txt", "text/html": "html.txt", "application/xhtml+xml": "html.txt",
	"text/rtf": "rtf", "application/rtf": "rtf", "text/xml": "xml.txt", "application/xml": "xml.txt", "application/cda+xml": "xml.txt",
	"application/hl7-cda+xml": "xml.txt", "image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/tiff": "tif", "image/bmp": "bmp",
	"application/json": "json", "application/fhir+json": "json", "text/csv": "csv", "application/dicom": "dcm", "audio/mpeg": "mp3",
	"video/mp4": "mp4"}

// safeName is the name of a document: a number, its day if that is one, and an ending of
// ours.
func safeName(n int, a *chart.Attachment) string {
	day := ""
	if len(a.Date) >= 10 && strings.Trim(a.Date[:10], "0123456789-") == "" {
		day = "-" + a.Date[:10]
	}
	kind, _, err := mime.ParseMediaType(a.ContentType)
	ending := endings[kind]
	if err != nil || ending == "" {
		ending = "bin"
	}
	return fmt.Sprintf("documents/%04d%s.%s", n, day, ending)
}

// MinPassword is how many characters a password of a package must have.
const MinPassword = 12

// Seal returns a writer that encrypts what is written to it with a password, as the
// program age opens it; closing it does not close w.
func Seal(w io.Writer, password string) (io.WriteCloser, error) {
	r, err := keys.PhraseRecipient(password)
	if err != nil {
		return nil, fmt.Errorf("encrypt the package: %w", err)
	}
	return age.Encrypt(w, r)
}
