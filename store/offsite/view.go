package offsite

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"chartcellar/store/disk"
	"chartcellar/store/keys"
)

// View returns the folder of a copy as one mirror, whichever epochs wrote it: what is
// opened under the mirror's own names comes from where it stands. It only reads, and
// sees what was there when it was made. A folder that one epoch wrote is fsys itself.
func View(ctx context.Context, root string, fsys disk.FS) (disk.FS, error) {
	if fsys == nil {
		fsys = disk.OS{}
	}
	c, err := Read(ctx, OpenFolder(root, fsys))
	if errors.Is(err, keys.ErrForged) {
		return fsys, nil // whoever looks at it says what is wrong
	}
	if err != nil {
		return nil, err
	}
	for name, f := range c.files {
		if name != f.at {
			return view{disk.ReadOnly{FS: fsys}, root, c}, nil
		}
	}
	return fsys, nil
}

type view struct {
	disk.ReadOnly
	root string
	c    *Contents
}

// name returns a path as the mirror calls it.
func (v view) name(path string) string {
	rel, err := filepath.Rel(v.root, path)
	if err != nil {
		return path
	}
	return filepath.ToSlash(rel)
}

func (v view) real(path string) string {
	if f, ok := v.c.files[v.name(path)]; ok {
		return filepath.Join(v.root, filepath.FromSlash(f.at))
	}
	return path
}

// Open implements disk.FS.
func (v view) Open(path string) (disk.File, error) { return v.ReadOnly.Open(v.real(path)) }

// Stat implements disk.FS.
func (v view) Stat(path string) (fs.FileInfo, error) { return v.ReadOnly.Stat(v.real(path)) }

// ReadDir implements disk.FS.
func (v view) ReadDir(path string) ([]fs.DirEntry, error) {
	folder, seen := v.name(path)+"/", map[string]bool{}
	var list []fs.DirEntry
	for _, name := range v.c.Names() {
		rest, in := strings.CutPrefix(name, folder)
		first, _, deeper := strings.Cut(rest, "/")
		if !in || seen[first] {
			continue
		}
		seen[first] = true
		list = append(list, entry{first, deeper, func() (fs.FileInfo, error) { return v.Stat(filepath.Join(path, first)) }})
	}
	if len(list) == 0 {
		return nil, &fs.PathError{Op: "readdir", Path: path, Err: fs.ErrNotExist}
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// An entry is a name in a folder of a view.
type entry struct {
	name   string
	folder bool
	info   func() (fs.FileInfo, error)
}

// Name implements fs.DirEntry.
func (e entry) Name() string { return e.name }

// IsDir implements fs.DirEntry.
func (e entry) IsDir() bool { return e.folder }

// Type implements fs.DirEntry.
func (e entry) Type() fs.FileMode {
	if e.folder {
		return fs.ModeDir
	}
	return 0
}

// Info implements fs.DirEntry.
func (e entry) Info() (fs.FileInfo, error) { return e.info() }
