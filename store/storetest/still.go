package storetest

import (
	"io/fs"
	"slices"
	"sync"
	"syscall"

	"chartcellar/store/disk"
)

// A Still disk is the real disk on which nothing may be written: each attempt fails, and is
// remembered.
type Still struct {
	disk.OS

	mu    sync.Mutex
	tried []string
}

// Tried returns what was attempted.
func (s *Still) Tried() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tried)
}

func (s *Still) refuse(verb, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = append(s.tried, verb+" "+name)
	return &fs.PathError{Op: verb, Path: name, Err: syscall.EROFS}
}

// Create implements disk.FS.
func (s *Still) Create(name string) (disk.File, error) { return nil, s.refuse("create", name) }

// Append implements disk.FS.
func (s *Still) Append(name string) (disk.File, error) { return nil, s.refuse("append", name) }

// Overwrite implements disk.FS.
func (s *Still) Overwrite(name string) (disk.File, error) { return nil, s.refuse("overwrite", name) }

// Rename implements disk.FS.
func (s *Still) Rename(_, name string) error { return s.refuse("rename", name) }

// Replace implements disk.FS.
func (s *Still) Replace(_, name string) error { return s.refuse("replace", name) }

// Remove implements disk.FS.
func (s *Still) Remove(name string) error { return s.refuse("remove", name) }

// Mkdir implements disk.FS.
func (s *Still) Mkdir(name string) error { return s.refuse("mkdir", name) }

// SyncDir implements disk.FS.
func (s *Still) SyncDir(name string) error { return s.refuse("syncdir", name) }
