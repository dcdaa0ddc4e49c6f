package holding

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// ErrInside says that a zip file cannot be listed, or that it has no such file. The file
// itself is kept as it came all the same.
var ErrInside = errors.New("it cannot be looked at inside")

// An Inside is one file in a zip file.
type Inside struct {
	Path     string    `json:"path"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified,omitzero"`
}

// IsZip reports whether a name is that of a zip file.
func IsZip(name string) bool { return strings.EqualFold(path.Ext(name), ".zip") }

// Zip calls fn with each file of a zip file, in its order. Only the list at its end is
// read. If it cannot be read the error wraps ErrInside, unless the bytes themselves could
// not be.
func Zip(r io.ReaderAt, size int64, fn func(Inside) error) error {
	z, err := openZip(r, size)
	if err != nil {
		return err
	}
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		if err := fn(Inside{f.Name, int64(f.UncompressedSize64), f.Modified}); err != nil {
			return err
		}
	}
	return nil
}

// OpenInside opens one file of a zip file, as it was before it was packed. A read of it
// fails if its checksum is another than the zip file says. The error wraps ErrInside if
// there is no such file.
func OpenInside(r io.ReaderAt, size int64, name string) (io.ReadCloser, Inside, error) {
	z, err := openZip(r, size)
	if err != nil {
		return nil, Inside{}, err
	}
	for _, f := range z.File {
		if f.Name == name {
			body, err := f.Open()
			return body, Inside{f.Name, int64(f.UncompressedSize64), f.Modified}, err
		}
	}
	return nil, Inside{}, fmt.Errorf("no file of that name: %w", ErrInside)
}

func openZip(r io.ReaderAt, size int64) (*zip.Reader, error) {
	z, err := zip.NewReader(r, size)
	switch {
	case err == nil, errors.Is(err, zip.ErrInsecurePath):
		return z, nil // names are only shown; who saves a file looks where it goes
	case errors.Is(err, zip.ErrFormat), errors.Is(err, zip.ErrAlgorithm), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return nil, fmt.Errorf("list a zip file: %w", ErrInside)
	}
	return nil, fmt.Errorf("list a zip file: %w", err)
}

// Matches reports whether a path has all words of a search, in any order and case.
func Matches(name, search string) bool {
	name = strings.ToLower(name)
	for _, word := range strings.Fields(strings.ToLower(search)) {
		if !strings.Contains(name, word) {
			return false
		}
	}
	return true
}
