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
type Scratch struct {
	dir  string
	lock *Lock // of one that was taken; else nil
}

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
	return &Scratch{dir: dir}, nil
}

// TakeScratch makes the folder dir, mode 0700, for one process at a time: what one that
// was killed has left there goes first. The error wraps ErrHeld while another one, or
// this one, has it. Close must follow.
func TakeScratch(dir string) (*Scratch, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder for the time being: %w", err)
	}
	lock, _, err := TakeLock(filepath.Join(dir, "lock"), "")
	if err != nil {
		return nil, err
	}
	s := &Scratch{filepath.Join(dir, "scratch"), lock}
	err = os.RemoveAll(s.dir)
	if err == nil {
		err = os.Mkdir(s.dir, 0o700)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a folder for the time being: %w", err), lock.Release())
	}
	return s, nil
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
func (s *Scratch) Close() error {
	if s.lock == nil {
		return os.RemoveAll(s.dir)
	}
	return errors.Join(os.RemoveAll(s.dir), s.lock.Release(), os.RemoveAll(filepath.Dir(s.dir)))
}
