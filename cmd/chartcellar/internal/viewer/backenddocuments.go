package viewer

import (
	"context"
	"io"

	"chartcellar/store/chart"
)

// ChartDocuments show the files that records hold or name: notes, letters, scans, photos.
// Each method writes the journal line of what it is about to show or to give, and gives
// nothing if that fails. What is labelled sensitive is not there for who may not see it.
// A Place whose Ref names a record stands for that record.
type ChartDocuments interface {
	// Documents lists the files of all records of a patient.
	Documents(context.Context, Actor, Place) (DocumentList, error)
	// Document reads one file of a record, the n-th, and says what it is. If the copy does
	// not hold it, Held is false and Why says what is known.
	Document(ctx context.Context, a Actor, p Place, n int) (Document, error)
	// DocumentFile opens the bytes of one. save: somebody takes it out as a file. The
	// caller closes it. If the copy does not hold it the error is ErrNotFound.
	DocumentFile(ctx context.Context, a Actor, p Place, n int, save bool) (*DocumentFile, error)
}

// A DocumentList is every file of a patient, the newest first.
type DocumentList struct {
	ChartHead
	Section        chart.Section // what the chart says of the documents: gaps, why it is empty
	List           []DocumentRow
	EnteredInError int // files of such records: not shown
	Withheld       int // labelled sensitive: not shown to this role
}

// A DocumentRow is a file in a list.
type DocumentRow struct {
	chart.Attachment      // N is 0: the record names no file
	Record           Ref  // of the record
	Held             bool // the copy has the bytes
	Why              string
	Problem          string // how it differs from what the record says, when it came
	VisitWords       string
	VisitRef         Ref
	Format           string // in words, as the record calls it
}

// A Document is a file that somebody looks at.
type Document struct {
	*ChartHead // of the patient; nil: the record belongs to nobody
	DocumentRow
	Source  string
	Of      int  // files of the record
	Removed bool // the EMR has removed the record since
	Kind    chart.FileKind
	Bytes   int64
	SHA256  string
	Notes   []string // what must not be overlooked
	// Content is the whole file if it is of a kind that is read as text and at most
	// MaxReadable long.
	Content []byte
	Width   int // of a picture, in dots; 0: not known
	Height  int
}

// MaxReadable is how long a text may be that is shown on a page.
const MaxReadable = 8 << 20

// A DocumentFile is the bytes of a document.
type DocumentFile struct {
	io.ReadCloser
	Bytes int64          // -1: not known
	Kind  chart.FileKind // by its bytes
	Type  string         // content type, as somebody called it
	Date  string         // of the record
}
