package disk

import (
	"fmt"
	"io/fs"
	"path/filepath"
)

// A Portable file system is one below the folder Root of a disk that is carried
// about. Such a disk may not be plugged in, and its file system (exFAT, FAT) may know
// neither a rename that spares the new name nor a sync of a folder. It is never for a
// mirror, whose promise is stronger.
type Portable struct {
	FS
	Root string
}

// Rename implements FS. Where the file system cannot spare the new name by itself, it
// is looked at first: who renames to one name at a time is up to the caller then.
func (p Portable) Rename(old, name string) error {
	err := p.FS.Rename(old, name)
	if err == nil || !noLinks(err) {
		return err
	}
	taken, err := Exists(p.FS, name)
	if err != nil {
		return err
	}
	if taken {
		return fmt.Errorf("rename: %w", ErrExists)
	}
	return p.Replace(old, name)
}

// Mkdir implements FS, but never makes Root: where the disk is not plugged in there
// may be an empty place for it on the computer's own disk, or nothing, and the error
// is fs.ErrNotExist.
func (p Portable) Mkdir(name string) error {
	info, err := p.Stat(p.Root)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "mkdir", Path: p.Root, Err: fs.ErrNotExist}
	}
	if err != nil || filepath.Clean(name) == filepath.Clean(p.Root) {
		return err
	}
	if ok, err := Exists(p.FS, name); ok || err != nil {
		return err
	}
	if err := p.Mkdir(filepath.Dir(name)); err != nil {
		return err
	}
	if err := p.FS.Mkdir(name); !noFolderSync(err) {
		return err
	}
	return nil
}

// SyncDir implements FS. It does nothing where folders cannot be synced.
func (p Portable) SyncDir(name string) error {
	if err := p.FS.SyncDir(name); err != nil && !noFolderSync(err) {
		return err
	}
	return nil
}
