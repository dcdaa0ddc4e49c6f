package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// memoryFolder is where Linux keeps files in memory.
const memoryFolder = "/dev/shm"

// A Scratch is a private folder for what is needed only while this process runs.
type Scratch struct{ dir string }

// NewScratch makes a folder, mode 0700, in parent. With "" it is made in memory
// where the system has files in memory (Linux) with room for need bytes, else in the
// user's folder for temporary files. Close must follow.
func NewScratch(parent string, need int64) (*Scratch, error) {
	if parent == "" && inMemory(need) {
		parent = memoryFolder
	}
	dir, err := os.MkdirTemp(parent, "chartcellar-*")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the time being: %w", err)
	}
	return &Scratch{dir}, nil
}

// inMemory reports whether files in memory can be had, and are not too many.
func inMemory(need int64) bool {
	if runtime.GOOS != "linux" {
		return false
	}
	free, _, err := freeSpace(memoryFolder)
	return err == nil && free > need
}

// Dir returns the folder.
func (s *Scratch) Dir() string { return s.dir }

// Hide takes the names of the files in the folder away, where a file that is open
// can be without a name (not on Windows): they go when this process ends, however it
// ends. They cannot be opened again.
func (s *Scratch) Hide() error {
	if runtime.GOOS == "windows" {
		return nil
	}
	list, err := os.ReadDir(s.dir)
	for _, f := range list {
		err = errors.Join(err, os.RemoveAll(filepath.Join(s.dir, f.Name())))
	}
	return err
}

// Close removes the folder with what is in it. Files in it must be closed.
func (s *Scratch) Close() error { return os.RemoveAll(s.dir) }
