// Package offsite keeps second copies of a mirror at other places: a folder or a
// USB disk, a server that speaks SFTP, a bucket that speaks S3.
//
// A copy is the mirror's own files under their own names; nothing in it ever
// changes once it has its name, and nothing here removes or replaces a file
// (archive.md 1, I11); only what has not got its name yet is cleared away. The package
// opens no record: what it copies is sealed. It reads no settings and knows no schedule.
package offsite

import (
	"context"
	"errors"
	"io"
	"io/fs"
)

var (
	// ErrExists is wrapped by Put when the name is taken; what stands there was not
	// touched.
	ErrExists = errors.New("the name is already taken at the second copy")
	// ErrAway says that the place cannot be reached just now: a disk that is not
	// plugged in, a server that does not answer. Nothing is lost.
	ErrAway = errors.New("the place of the second copy cannot be reached")
	// ErrDenied says that the place refuses this account, or this program refuses
	// the place: a wrong password or key, a host key that is not the pinned one.
	ErrDenied = errors.New("the place of the second copy refuses the sign-in")
	// ErrFull says that there is no room left at the place.
	ErrFull = errors.New("there is no room left at the place of the second copy")
	// ErrReadOnly says that the place takes no new files.
	ErrReadOnly = errors.New("the place of the second copy takes no new files")
	// ErrTooLarge says that the place can hold no file of that size, however much room
	// there is: a disk with the FAT file system ends at 4 GiB.
	ErrTooLarge = errors.New("the place of the second copy cannot hold a file of that size")
	// ErrFaulty says that the disk of the place has a fault.
	ErrFaulty = errors.New("the disk of the second copy has a fault")
	// ErrInTheWay says that a file lies where the copy needs a folder.
	ErrInTheWay = errors.New("a file lies where the second copy needs a folder")
	// ErrNotThere is wrapped when a file of that name is not there.
	ErrNotThere = fs.ErrNotExist
)

// An Info is one file at a place.
type Info struct {
	Name string // with '/', below the place's root
	Size int64
}

// A Place holds files by name. Names are of the letters, digits, dots, dashes and
// underscores that a mirror uses, with '/' between folders; each part begins with a
// letter or a digit, and none ends with ".tmp". Other names are refused, and never
// listed. All methods may be called from many goroutines. Errors wrap those above
// where they apply, else they are of the moment and trying again may help.
type Place interface {
	// Put makes a file of exactly size bytes. It is there whole or not at all, and
	// durable as far as the place can promise when Put returns nil. ErrExists if the
	// name is taken. If body gives fewer or more bytes there is no file.
	Put(ctx context.Context, name string, size int64, body io.Reader) error
	// Get opens a file at its beginning.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// List calls fn with every whole file below a folder ("" is the root), in no
	// order, and leaves out what is still being written. A folder that is not there
	// is empty. An error of fn ends it and is returned.
	List(ctx context.Context, folder string, fn func(Info) error) error
	// Close lets go of connections.
	Close() error
}

// A Prober is a Place that can be tested for what else this program's own account
// may do there: the test of `copy test`, and nothing else, calls it, with names
// below "probe/"; others are refused. Outcomes are errors of the place; nil means that it let us.
type Prober interface {
	Overwrite(ctx context.Context, name string, content []byte) error
	Delete(ctx context.Context, name string) error
}

// A Sparer is a Place where only a test can tell whether the place itself spares a name
// that is taken. Spares puts other content under a name below "probe/" that is taken,
// without a look first; it returns false if the place let it, which makes it a weak one:
// two programs that write there at the same instant can undo each other's work.
type Sparer interface {
	Spares(ctx context.Context, name string) (bool, error)
}

// A Room is a Place that knows how many bytes are free there; known is false if it
// cannot say.
type Room interface {
	Free(ctx context.Context) (free, total int64, known bool)
}
