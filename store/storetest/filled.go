package storetest

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"chartcellar/store/disk"
)

// A Filled disk is full to the last byte as long as the mirror's ballast lies on
// it: a file can be opened and renamed, and nothing can be written. Once the
// ballast is gone there is room.
type Filled struct {
	disk.OS
	root string
}

// NewFilled returns a disk that is filled by the ballast of the mirror in root.
func NewFilled(root string) *Filled { return &Filled{root: root} }

func (d *Filled) full() error {
	if _, err := os.Stat(filepath.Join(d.root, "ballast")); err != nil {
		return nil
	}
	return &fs.PathError{Op: "write", Err: syscall.ENOSPC}
}

// Create implements disk.FS.
func (d *Filled) Create(name string) (disk.File, error) {
	f, err := d.OS.Create(name)
	if err != nil {
		return nil, err
	}
	return filledFile{f, d}, nil
}

// Free implements disk.FS.
func (d *Filled) Free(name string) (free, total int64, err error) {
	free, total, err = d.OS.Free(name)
	if d.full() != nil {
		free = 0
	}
	return free, total, err
}

type filledFile struct {
	disk.File
	d *Filled
}

// Write implements disk.File: on a full disk half of it is written.
func (f filledFile) Write(p []byte) (int, error) {
	if err := f.d.full(); err != nil {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, err
	}
	return f.File.Write(p)
}
