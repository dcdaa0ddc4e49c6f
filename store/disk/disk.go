// Package disk is how the store touches files: a file appears whole under its
// final name or not at all, and a final name is never given twice.
//
// It is the only package under store that may remove or replace a file, and it
// does so for three things only: temporary files, the ballast and a rebuilt
// index taking its place; and, as the one exception, for a person who destroys a
// whole mirror (Destroy). It knows nothing of records, keys or formats.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// TempSuffix ends the name of every file that has not got its final name yet.
const TempSuffix = ".tmp"

// ErrExists is wrapped by Commit when the final name is already taken.
var ErrExists = errors.New("the name is already taken")

// A File is an open file of the store.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.Closer
	// Sync returns when the content is durable. After an error the content
	// is unknown for good: the caller must give the file up, never sync again.
	Sync() error
	Stat() (fs.FileInfo, error)
}

// An FS is the file system below one mirror. Names are ordinary paths. All
// methods may be called from many goroutines.
//
// OS is the real one; tests put a breaking disk in its place.
type FS interface {
	// Create makes a new file, mode 0600, for writing; it never opens an old one.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// Append opens a file for writing at its end and makes it if need be.
	Append(name string) (File, error)
	// Rename gives old a new name and fails with ErrExists if that is taken.
	// It is durable only after SyncDir of both folders.
	Rename(old, name string) error
	// Overwrite opens a file that is there for writing from its beginning.
	Overwrite(name string) (File, error)
	// Replace puts the file old in the place of name.
	Replace(old, name string) error
	// Remove removes one file, or an empty folder. Only this package decides of which.
	Remove(name string) error
	// Mkdir makes a folder, mode 0700, with its parents, and syncs what it made.
	Mkdir(name string) error
	// SyncDir makes the names in a folder durable.
	SyncDir(name string) error
	// Stat describes a file.
	Stat(name string) (fs.FileInfo, error)
	// ReadDir lists a folder by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Free returns the bytes that are free and the bytes in all.
	Free(name string) (free, total int64, err error)
	// Point is called before and after a durable step that is no file
	// operation of this package ("index commit"). An error from the first call
	// means that the step does not happen; from the second, that it happened
	// and its outcome was not seen.
	Point(name string) error
}

// Commit gives the synced temporary file its final name and makes the name
// durable. It never replaces a file (archive.md 1, commitFile).
func Commit(fsys FS, temp, name string) error {
	if err := fsys.Rename(temp, name); err != nil {
		return fmt.Errorf("name %s: %w", filepath.Base(name), err)
	}
	if err := fsys.SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("sync the folder of %s: %w", filepath.Base(name), err)
	}
	return nil
}

// WriteFile writes a whole small file under a name that must not exist. When
// it returns nil the content and the name are durable.
func WriteFile(fsys FS, name string, content []byte) error {
	temp := name + TempSuffix
	if err := writeTemp(fsys, temp, content); err != nil {
		return err
	}
	return Commit(fsys, temp, name)
}

// ReplaceFile is WriteFile for the few files that are no records and do
// change: it puts the new content in the place of the old, whole or not at all.
func ReplaceFile(fsys FS, name string, content []byte) error {
	temp := name + TempSuffix
	if err := writeTemp(fsys, temp, content); err != nil {
		return err
	}
	return Swap(fsys, temp, name)
}

// Stage writes a whole small file under the temporary name of name, durably. It
// gets its name by Commit: so that several files can be there before the first of
// them counts.
func Stage(fsys FS, name string, content []byte) error {
	if err := writeTemp(fsys, name+TempSuffix, content); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func writeTemp(fsys FS, temp string, content []byte) error {
	if err := RemoveTemp(fsys, temp); err != nil {
		return err
	}
	f, err := fsys.Create(temp)
	if err != nil {
		return fmt.Errorf("create %s: %w", filepath.Base(temp), err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(temp), err)
	}
	return nil
}

// Swap puts the synced temporary file in the place of name, durably. It is for
// files that can be made again from the archive (the index) or that hold no
// record (the witness); parts, checkpoints and attachments never go through it.
func Swap(fsys FS, temp, name string) error {
	if !strings.HasSuffix(temp, TempSuffix) {
		return fmt.Errorf("swap %s: not a temporary file", filepath.Base(temp))
	}
	if err := fsys.Replace(temp, name); err != nil {
		return fmt.Errorf("replace %s: %w", filepath.Base(name), err)
	}
	return fsys.SyncDir(filepath.Dir(name))
}

// RemoveTemp removes a temporary file if it is there. Any other name is refused.
func RemoveTemp(fsys FS, name string) error {
	if !strings.HasSuffix(name, TempSuffix) {
		return fmt.Errorf("remove %s: not a temporary file", filepath.Base(name))
	}
	return removeIfThere(fsys, name)
}

// RemoveSpent removes a file whose content has become part of another durable
// file: a sorted run after the merge (.run), what a listing saw after its run is
// closed (.seen), a journal segment after packing (under journal/), the lock's
// socket (.sock), the ballast, the probe of a second copy (under probe/), and the sealed
// recovery sheet of a first run, once a person has proven that he has it on paper. Any
// other name is refused.
func RemoveSpent(fsys FS, name string) error {
	base := filepath.Base(name)
	folder := filepath.Base(filepath.Dir(name))
	ok := base == "ballast" || base == "recovery-sheet.age" || strings.HasSuffix(base, ".run") ||
		strings.HasSuffix(base, ".seen") ||
		strings.HasSuffix(base, ".sock") || folder == "journal" || folder == "probe"
	if !ok {
		return fmt.Errorf("remove %s: not a file that may be removed", base)
	}
	return removeIfThere(fsys, name)
}

func removeIfThere(fsys FS, name string) error {
	err := fsys.Remove(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", filepath.Base(name), err)
	}
	return nil
}

// Quarantine moves a file into the folder quarantine of the mirror, under a
// name that is free there. Nothing in that folder is ever removed by us.
func Quarantine(fsys FS, root, name string) (string, error) {
	folder := filepath.Join(root, "quarantine")
	if err := fsys.Mkdir(folder); err != nil {
		return "", err
	}
	base := filepath.Base(name)
	for n := 1; n < 10000; n++ {
		to := filepath.Join(folder, fmt.Sprintf("%s.%04d", base, n))
		err := fsys.Rename(name, to)
		if errors.Is(err, ErrExists) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("quarantine %s: %w", base, err)
		}
		if err := fsys.SyncDir(filepath.Dir(name)); err != nil {
			return "", err
		}
		return to, fsys.SyncDir(folder)
	}
	return "", fmt.Errorf("quarantine %s: no free name", base)
}

// Exists reports whether there is a file or folder of that name.
func Exists(fsys FS, name string) (bool, error) {
	_, err := fsys.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// ReadFile returns the content of a small file, at most limit bytes.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only: nothing is lost by an error here
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(name), err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("read %s: larger than %d bytes", filepath.Base(name), limit)
	}
	return b, nil
}

// OS is the real file system.
type OS struct{}

// Create implements FS.
func (OS) Create(name string) (File, error) {
	return file(os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600))
}

// Open implements FS.
func (OS) Open(name string) (File, error) { return file(os.Open(name)) }

// Append implements FS.
func (OS) Append(name string) (File, error) {
	return file(os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600))
}

func file(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Overwrite implements FS.
func (OS) Overwrite(name string) (File, error) { return file(os.OpenFile(name, os.O_WRONLY, 0)) }

// Rename implements FS.
func (OS) Rename(old, name string) error { return renameNoReplace(old, name) }

// Replace implements FS.
func (OS) Replace(old, name string) error { return replace(old, name) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// Mkdir implements FS.
func (o OS) Mkdir(name string) error {
	name = filepath.Clean(name)
	if info, err := os.Stat(name); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("make folder %s: a file is in its place", filepath.Base(name))
		}
		return nil
	}
	parent := filepath.Dir(name)
	if parent != name {
		if err := o.Mkdir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return o.SyncDir(parent)
}

// SyncDir implements FS.
func (OS) SyncDir(name string) error { return syncDir(name) }

// Stat implements FS.
func (OS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// ReadDir implements FS.
func (OS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// Free implements FS.
func (OS) Free(name string) (free, total int64, err error) { return freeSpace(name) }

// Point implements FS: on the real disk nothing happens there.
func (OS) Point(string) error { return nil }
