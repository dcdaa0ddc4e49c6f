package offsite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"chartcellar/store/disk"
)

// abandoned is the age at which a temporary file counts as left behind by a program
// that died: whoever still writes to one has touched it since.
const abandoned = 24 * time.Hour

// A Folder is a Place in a folder, also of a disk that is carried about.
type Folder struct {
	fsys disk.Portable
	tag  string
	busy claims

	// mu covers swept: the folders that hold no abandoned temporary file.
	mu    sync.Mutex
	swept map[string]bool
}

// OpenFolder returns the place in the folder root; nil for fsys is the real disk. The
// folder need not be there: until it is, every method but Free and Close returns
// ErrAway, and nothing here ever makes it, so that what is meant for a disk that is not
// plugged in does not fill the computer's own. What Put makes is synced. Two programs
// that write to one folder never touch each other's files; only where the file system
// is FAT may the slower of two that give a file one name at the same instant win.
func OpenFolder(root string, fsys disk.FS) *Folder {
	if fsys == nil {
		fsys = disk.OS{}
	}
	return &Folder{fsys: disk.Portable{FS: fsys, Root: root}, tag: newTag(), swept: map[string]bool{}}
}

func (f *Folder) path(name string) string {
	return filepath.Join(f.fsys.Root, filepath.FromSlash(name))
}

// here returns an error if the disk is not there.
func (f *Folder) here() error {
	info, err := f.fsys.Stat(f.fsys.Root)
	if err == nil && !info.IsDir() {
		err = errors.New("a file is in the place of the folder")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	return nil
}

// Put implements Place.
func (f *Folder) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	if err := checkName(name); err != nil {
		return err
	}
	free, err := f.busy.take(ctx, name)
	if err != nil {
		return err
	}
	defer free()
	if err := f.put(ctx, name, size, body); err != nil {
		return f.because("put", name, err)
	}
	return nil
}

func (f *Folder) put(ctx context.Context, name string, size int64, from io.Reader) error {
	to := f.path(name)
	if err := f.here(); err != nil {
		return err
	}
	if taken, err := disk.Exists(f.fsys, to); err != nil || taken {
		return errors.Join(err, exists(taken))
	}
	if err := f.fsys.Mkdir(filepath.Dir(to)); err != nil {
		return err
	}
	if err := f.sweep(filepath.Dir(to)); err != nil {
		return err
	}
	temp := tempName(to, f.tag)
	err := f.write(temp, &body{ctx, from, size})
	if err == nil {
		err = f.here()
	}
	if err == nil {
		err = disk.Commit(f.fsys, temp, to)
	}
	if err != nil {
		return errors.Join(err, disk.RemoveTemp(f.fsys, temp))
	}
	return nil
}

func exists(taken bool) error {
	if !taken {
		return nil
	}
	return ErrExists
}

func (f *Folder) write(temp string, from io.Reader) error {
	if err := disk.RemoveTemp(f.fsys, temp); err != nil {
		return err
	}
	w, err := f.fsys.Create(temp)
	if err != nil {
		return err
	}
	_, err = io.Copy(struct{ io.Writer }{w}, from)
	if err == nil {
		err = w.Sync()
	}
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}

// sweep clears the abandoned temporary files out of a folder, once.
func (f *Folder) sweep(folder string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.swept[folder] {
		return nil
	}
	list, err := f.fsys.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range list {
		if !e.Type().IsRegular() || !isTemp(e.Name()) {
			continue
		}
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < abandoned {
			continue
		}
		if err := disk.RemoveTemp(f.fsys, filepath.Join(folder, e.Name())); err != nil {
			return err
		}
	}
	f.swept[folder] = true
	return nil
}

// because says in the words of this package why something did not happen.
func (f *Folder) because(verb, name string, err error) error {
	var kind error
	switch away := f.here(); {
	case isOurs(err):
	case errors.Is(err, disk.ErrExists):
		kind = ErrExists
	case away != nil, disk.IsGone(err):
		kind = ErrAway
	case disk.IsFull(err):
		kind = ErrFull
	case disk.IsReadOnly(err):
		kind = ErrReadOnly
	case disk.IsTooLarge(err):
		kind = ErrTooLarge
	case disk.IsFaulty(err):
		kind = ErrFaulty
	case errors.Is(err, syscall.ENOTDIR):
		kind = ErrInTheWay
	case errors.Is(err, fs.ErrPermission):
		kind = ErrDenied
	}
	return because(verb, name, kind, err)
}

// Get implements Place. The end of ctx ends the reading, too.
func (f *Folder) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	r, err := f.fsys.Open(f.path(name))
	if err != nil {
		return nil, f.because("get", name, err)
	}
	return &opened{r, f, ctx, name}, nil
}

// An opened file is one that is being read.
type opened struct {
	r    disk.File
	f    *Folder
	ctx  context.Context
	name string
}

// Read implements io.Reader.
func (o *opened) Read(p []byte) (int, error) {
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := o.r.Read(p)
	if err != nil && err != io.EOF {
		err = o.f.because("get", o.name, err)
	}
	return n, err
}

// Close implements io.Closer.
func (o *opened) Close() error { return o.r.Close() }

// List implements Place.
func (f *Folder) List(ctx context.Context, folder string, fn func(Info) error) error {
	if err := checkFolder(folder); err != nil {
		return err
	}
	if err := f.here(); err != nil {
		return f.because("list", folder, err)
	}
	return f.list(ctx, folder, fn)
}

func (f *Folder) list(ctx context.Context, folder string, fn func(Info) error) error {
	entries, err := f.fsys.ReadDir(f.path(folder))
	if errors.Is(err, fs.ErrNotExist) && f.here() == nil {
		return nil
	}
	if err != nil {
		return f.because("list", folder, err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := path.Join(folder, e.Name())
		if checkName(name) != nil {
			continue // not of a second copy: the system's own, or still being written
		}
		if e.IsDir() {
			if err := f.list(ctx, name, fn); err != nil {
				return err
			}
			continue
		}
		info, err := e.Info()
		if err != nil {
			return f.because("list", name, err)
		}
		if !info.Mode().IsRegular() {
			continue
		}
		if err := fn(Info{Name: name, Size: info.Size()}); err != nil {
			return err
		}
	}
	return nil
}

// Close implements Place.
func (f *Folder) Close() error { return nil }

// Overwrite implements Prober.
func (f *Folder) Overwrite(_ context.Context, name string, content []byte) error {
	if err := checkProbe(name); err != nil {
		return err
	}
	if err := f.here(); err != nil {
		return f.because("overwrite", name, err)
	}
	if err := disk.ReplaceFile(f.fsys, f.path(name), content); err != nil {
		return f.because("overwrite", name, err)
	}
	return nil
}

// Delete implements Prober.
func (f *Folder) Delete(_ context.Context, name string) error {
	if err := checkProbe(name); err != nil {
		return err
	}
	if err := f.here(); err != nil {
		return f.because("delete", name, err)
	}
	if err := disk.RemoveSpent(f.fsys, f.path(name)); err != nil {
		return f.because("delete", name, err)
	}
	return nil
}

// Free implements Room.
func (f *Folder) Free(context.Context) (free, total int64, known bool) {
	free, total, err := f.fsys.Free(f.fsys.Root)
	return free, total, err == nil
}
