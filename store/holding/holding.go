// Package holding is what is to be known of a holding: files that are kept unchanged
// beside the records, such as a vendor's EHI export or the nightly dump of an EMR's own
// server.
//
// It lists folders, says which files have stopped growing and which are kept already,
// groups what was kept into deliveries and judges them, and lists zip files. It keeps
// nothing itself (package store does), reads no settings and cannot see what a file
// means. A folder is an fs.FS, so that a place on another computer can be one.
package holding

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"chartcellar/store/index"
)

// FormatFolder is the folder inside a holding of the documents that describe its format.
const FormatFolder = "format-document"

// Format is the role of such a document.
const Format = "format"

// A File is one file as it lies in the folder of a holding.
type File struct {
	Path     string // below the folder, with '/'
	Size     int64
	Modified time.Time
}

// A Listing is what lies in a folder.
type Listing struct {
	Files []File
	// Arriving is how many files have a name that says they are still being written.
	Arriving int
	// Links is how many things are no file: links to elsewhere and the like.
	Links int
	// Skipped are files and folders that cannot be looked at.
	Skipped []string
}

// List lists the files below a folder. Pattern chooses among the names directly in it,
// of files and of folders, as path.Match does; "" chooses all. Hidden files are left out. An
// error means that the folder itself cannot be listed.
func List(fsys fs.FS, pattern string) (Listing, error) {
	var l Listing
	top, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return l, err
	}
	for _, d := range top {
		match, err := path.Match(orAll(pattern), d.Name())
		if err != nil {
			return l, fmt.Errorf("the pattern %q: %w", pattern, err)
		}
		switch {
		case !match:
		case d.IsDir():
			err = fs.WalkDir(fsys, d.Name(), l.see)
		default:
			err = l.see(d.Name(), d, nil)
		}
		if err != nil {
			return l, err
		}
	}
	return l, nil
}

func orAll(pattern string) string {
	if pattern == "" {
		return "*"
	}
	return pattern
}

// see takes one thing that the walk finds.
func (l *Listing) see(name string, d fs.DirEntry, err error) error {
	switch {
	case err != nil:
		l.Skipped = append(l.Skipped, name)
		return nil
	case strings.HasPrefix(d.Name(), "."):
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	case d.IsDir():
		return nil
	case arriving(d.Name()):
		l.Arriving++
		return nil
	}
	if !d.Type().IsRegular() {
		l.Links++
		return nil
	}
	info, err := d.Info()
	if err != nil {
		l.Skipped = append(l.Skipped, name)
		return nil
	}
	l.Files = append(l.Files, File{name, info.Size(), info.ModTime()})
	return nil
}

// arriving reports whether a name is one that programs give to what they still write.
func arriving(name string) bool {
	ext := strings.ToLower(path.Ext(name))
	return strings.HasPrefix(name, "~$") ||
		slices.Contains([]string{".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", ".download"}, ext)
}

// Newest returns the newest delivery of each path, in the order of the paths. Files come
// oldest first.
func Newest(files []index.KeptFile) []index.KeptFile {
	at := map[string]int{}
	var list []index.KeptFile
	for _, f := range files {
		if i, known := at[f.Path]; known {
			list[i] = f
			continue
		}
		at[f.Path] = len(list)
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b index.KeptFile) int { return strings.Compare(a.Path, b.Path) })
	return list
}

// Fresh returns the files that are not kept as they are: of another size or time than
// the newest of their path, or new. Kept files come oldest first.
func Fresh(files []File, kept []index.KeptFile) []File {
	known := map[string]index.KeptFile{}
	for _, k := range kept {
		known[k.Path] = k
	}
	var list []File
	for _, f := range files {
		k, ok := known[f.Path]
		if !ok || k.Size != f.Size || !k.Modified.Equal(f.Modified) {
			list = append(list, f)
		}
	}
	return list
}

// A Watcher remembers how files looked, so that only those are kept that have stopped
// growing. One goroutine uses it at a time.
type Watcher struct {
	seen map[string]look
}

// A look is how a file looked, since when.
type look struct {
	size     int64
	modified time.Time
	since    time.Time
}

// Look takes how files look now, and returns those that have looked the same at every
// look for so long: never at the first. Growing is how many have not. A file that is not
// among them is forgotten.
func (w *Watcher) Look(now time.Time, files []File, settle time.Duration) (still []File, growing int) {
	seen := map[string]look{}
	for _, f := range files {
		l, known := w.seen[f.Path]
		if known && l.size == f.Size && l.modified.Equal(f.Modified) {
			if now.Sub(l.since) >= settle {
				still = append(still, f)
			}
		} else {
			l = look{f.Size, f.Modified, now}
		}
		seen[f.Path] = l
	}
	w.seen = seen
	return still, len(files) - len(still)
}

// A Delivery is what came at once: a file each time that it came, or everything in a
// folder directly in the holding.
type Delivery struct {
	Name   string // directly in the holding
	Folder bool
	Files  int
	Size   int64
	// Sum tells contents apart: equal sums are equal contents.
	Sum     string
	At      time.Time // when the last of it was kept
	Problem string    // what is wrong with a file of it, as it came
}

// Deliveries groups what was kept, in the order in which it came. Files come oldest
// first; documents of the format are no delivery.
func Deliveries(files []index.KeptFile) []Delivery {
	var list []Delivery
	folders := map[string][]index.KeptFile{}
	for _, f := range files {
		name, _, inFolder := strings.Cut(f.Path, "/")
		switch {
		case f.Role == Format:
		case inFolder:
			folders[name] = append(folders[name], f)
		default:
			list = append(list, Delivery{Name: name, Files: 1, Size: f.Size, Sum: f.SHA256, At: f.Taken, Problem: f.Problem})
		}
	}
	for name, kept := range folders {
		list = append(list, folderDelivery(name, kept))
	}
	slices.SortStableFunc(list, func(a, b Delivery) int { return a.At.Compare(b.At) })
	return list
}

func folderDelivery(name string, kept []index.KeptFile) Delivery {
	d := Delivery{Name: name, Folder: true}
	h := sha256.New()
	for _, f := range Newest(kept) {
		d.Files++
		d.Size += f.Size
		if f.Problem != "" {
			d.Problem = f.Problem
		}
		fmt.Fprintf(h, "%s %s\n", f.SHA256, strings.TrimPrefix(f.Path, name))
	}
	for _, f := range kept {
		if f.Taken.After(d.At) {
			d.At = f.Taken
		}
	}
	d.Sum = hex.EncodeToString(h.Sum(nil))
	return d
}

// of is what the deliveries of one thing have in common: the name without its numbers.
func (d Delivery) of() string {
	var b strings.Builder
	digits := false
	for _, c := range d.Name {
		digit := c >= '0' && c <= '9'
		if !digit {
			b.WriteRune(c)
		} else if !digits {
			b.WriteByte('#')
		}
		digits = digit
	}
	if d.Folder {
		b.WriteByte('/')
	}
	return b.String()
}
