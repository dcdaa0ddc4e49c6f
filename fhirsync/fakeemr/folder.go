package fakeemr

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A folder is a base of NDJSON files.
type folder struct {
	files map[string][]string // by type, in order
	lines map[string][]int    // lines of each file
	names []string
}

func openFolder(dir string) (*folder, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of NDJSON files: %w", err)
	}
	f := &folder{files: map[string][]string{}, lines: map[string][]int{}}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".gz")
		stem, ok := strings.CutSuffix(name, ".ndjson")
		if !ok || e.IsDir() {
			continue
		}
		typ, _, _ := strings.Cut(stem, ".")
		f.files[typ] = append(f.files[typ], filepath.Join(dir, e.Name()))
	}
	for t, list := range f.files {
		slices.Sort(list)
		f.names = append(f.names, t)
	}
	slices.Sort(f.names)
	if len(f.names) == 0 {
		return nil, errors.New("open the folder of NDJSON files: it has none")
	}
	return f, f.count()
}

// count counts the lines of every file once, for the manifests.
func (f *folder) count() error {
	buf := make([]byte, 256<<10)
	for t, list := range f.files {
		for n := range list {
			r, err := f.open(t, n)
			if err != nil {
				return err
			}
			lines, last := 0, byte('\n')
			for err == nil {
				var got int
				got, err = r.Read(buf)
				lines += bytes.Count(buf[:got], []byte{'\n'})
				if got > 0 {
					last = buf[got-1]
				}
			}
			if last != '\n' {
				lines++
			}
			if err = errors.Join(ignoreEOF(err), r.Close()); err != nil {
				return err
			}
			f.lines[t] = append(f.lines[t], lines)
		}
	}
	return nil
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func (f *folder) types() []string { return slices.Clone(f.names) }

func (f *folder) split(typ string, _ int) int { return max(1, len(f.files[typ])) }

func (f *folder) each(typ string, n, _ int, fn func(id string, line []byte) error) error {
	if n >= len(f.files[typ]) {
		return nil
	}
	r, err := f.open(typ, n)
	if err != nil {
		return err
	}
	defer r.Close() // read only
	br := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := br.ReadBytes('\n')
		line = bytes.TrimRight(line, "\r\n")
		if len(line) > 0 {
			if err := fn(idOf(line), line); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func idOf(line []byte) string {
	var head struct {
		ID string `json:"id"`
	}
	json.Unmarshal(line, &head) // a line without an id has ""
	return head.ID
}

// open opens a file, inflated.
func (f *folder) open(typ string, n int) (io.ReadCloser, error) {
	name := f.files[typ][n]
	file, err := os.Open(name)
	if err != nil || !strings.HasSuffix(name, ".gz") {
		return file, err
	}
	z, err := gzip.NewReader(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{z, file}, nil
}

func (f *folder) find(typ, id string) ([]byte, bool) {
	var found []byte
	for n := range f.files[typ] {
		err := f.each(typ, n, 0, func(got string, line []byte) error {
			if got == id {
				found = bytes.Clone(line)
				return io.EOF
			}
			return nil
		})
		if err == io.EOF {
			return found, true
		}
	}
	return nil, false
}
