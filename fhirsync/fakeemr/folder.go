package fakeemr

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// A folder is a base of NDJSON files.
type folder struct {
	files map[string][]string // by type, in order
	lines map[string][]int    // lines of each file
	names []string

	// mu covers what follows: made when a type is first searched or read.
	mu    sync.Mutex
	lists map[string][]*entry
	byID  map[string]map[string]*entry
	held  []*os.File
}

func openFolder(dir string) (*folder, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of NDJSON files: %w", err)
	}
	f := &folder{files: map[string][]string{}, lines: map[string][]int{},
		lists: map[string][]*entry{}, byID: map[string]map[string]*entry{}}
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
	return f.walk(typ, n, func(_ int64, line []byte) error { return fn(idOf(line), line) })
}

// walk calls fn for the lines of one file and where they begin.
func (f *folder) walk(typ string, n int, fn func(off int64, line []byte) error) error {
	if n >= len(f.files[typ]) {
		return nil
	}
	r, err := f.open(typ, n)
	if err != nil {
		return err
	}
	defer r.Close() // read only
	br := bufio.NewReaderSize(r, 1<<20)
	for off := int64(0); ; {
		line, err := br.ReadBytes('\n')
		at := off
		off += int64(len(line))
		line = bytes.TrimRight(line, "\r\n")
		if len(line) > 0 {
			if err := fn(at, line); err != nil {
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

func idOf(line []byte) string { return headOf(line).id }

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
	list, err := f.entries(typ)
	if err != nil || len(list) == 0 {
		return nil, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byID[typ] == nil {
		f.byID[typ] = make(map[string]*entry, len(list))
		for _, e := range list {
			f.byID[typ][e.id] = e
		}
	}
	e := f.byID[typ][id]
	if e == nil {
		return nil, false
	}
	line, err := e.bytes()
	return line, err == nil
}

// entries lists a type. Lines of plain files stay in the files.
func (f *folder) entries(typ string) ([]*entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if list, ok := f.lists[typ]; ok {
		return list, nil
	}
	var list []*entry
	for n, name := range f.files[typ] {
		var file *os.File
		if !strings.HasSuffix(name, ".gz") {
			var err error
			if file, err = os.Open(name); err != nil {
				return nil, fmt.Errorf("open a served file: %w", err)
			}
			f.held = append(f.held, file)
		}
		if err := f.walk(typ, n, func(off int64, line []byte) error {
			e := newEntry(line)
			if e.line = nil; file == nil {
				e.line = bytes.Clone(line)
			}
			e.file, e.off, e.size = file, off, len(line)
			list = append(list, e)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	f.lists[typ] = list
	return list, nil
}

// close closes the files that searches are served from.
func (f *folder) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	for _, file := range f.held {
		err = errors.Join(err, file.Close())
	}
	f.held = nil
	return err
}
