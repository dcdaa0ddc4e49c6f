package offsite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"chartcellar/store/disk"
	"chartcellar/store/offsite"
	"chartcellar/store/storetest"
)

func TestFolder(t *testing.T) {
	storetest.Place(t, func(t *testing.T) func(*testing.T) offsite.Place {
		dir := t.TempDir()
		return func(*testing.T) offsite.Place { return offsite.OpenFolder(dir, nil) }
	})
}

// A fat disk knows neither links nor a sync of folders.
type fat struct{ disk.OS }

// Rename implements disk.FS.
func (fat) Rename(old, name string) error {
	return &os.LinkError{Op: "link", Old: old, New: name, Err: syscall.EPERM}
}

// SyncDir implements disk.FS.
func (fat) SyncDir(name string) error {
	return &fs.PathError{Op: "sync", Path: name, Err: syscall.EINVAL}
}

// Mkdir implements disk.FS.
func (f fat) Mkdir(name string) error {
	return errors.Join(f.OS.Mkdir(name), f.SyncDir(filepath.Dir(name)))
}

// TestFolderOnFAT: nothing is replaced there either, and one place can be used by many.
func TestFolderOnFAT(t *testing.T) {
	storetest.Place(t, func(t *testing.T) func(*testing.T) offsite.Place {
		p := offsite.OpenFolder(t.TempDir(), fat{})
		return func(*testing.T) offsite.Place { return p }
	})
}

func putOne(t *testing.T, p offsite.Place, name, content string) error {
	t.Helper()
	return p.Put(t.Context(), name, int64(len(content)), strings.NewReader(content))
}

// TestFolderAway: the folder of a disk that is not there is never made.
func TestFolderAway(t *testing.T) {
	for _, sub := range []string{"usb", "usb/copy"} {
		root := filepath.Join(t.TempDir(), filepath.FromSlash(sub))
		p := offsite.OpenFolder(root, nil)
		_, gerr := p.Get(t.Context(), "parts/1")
		for what, err := range map[string]error{
			"Put": putOne(t, p, "parts/1", "x"), "Get": gerr,
			"List":      p.List(t.Context(), "", func(offsite.Info) error { return nil }),
			"List in":   p.List(t.Context(), "parts", func(offsite.Info) error { return nil }),
			"Overwrite": p.Overwrite(t.Context(), "probe/1", nil),
			"Delete":    p.Delete(t.Context(), "probe/1"),
		} {
			if !errors.Is(err, offsite.ErrAway) {
				t.Errorf("%s without the disk = %v, want ErrAway", what, err)
			}
		}
		if _, _, known := p.Free(t.Context()); known {
			t.Error("the room on a disk that is not there is known")
		}
		if _, err := os.Stat(root); err == nil {
			t.Fatal("the folder was made")
		}
		if err := os.MkdirAll(root, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := putOne(t, p, "parts/1", "x"); err != nil {
			t.Errorf("Put once the disk is there = %v", err)
		}
		if free, total, known := p.Free(t.Context()); !known || free <= 0 || total < free {
			t.Errorf("Free = %d, %d, %v", free, total, known)
		}
	}
}

// A pulled disk goes when it is first written to.
type pulled struct {
	disk.OS
	root string
}

// Create implements disk.FS.
func (p pulled) Create(name string) (disk.File, error) {
	f, err := p.OS.Create(name)
	return pulledFile{f, p.root}, err
}

type pulledFile struct {
	disk.File
	root string
}

// Write implements disk.File.
func (f pulledFile) Write([]byte) (int, error) {
	return 0, errors.Join(os.RemoveAll(f.root), syscall.EIO)
}

func TestFolderPulled(t *testing.T) {
	root := filepath.Join(t.TempDir(), "usb")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	err := putOne(t, offsite.OpenFolder(root, pulled{root: root}), "parts/1", "x")
	if !errors.Is(err, offsite.ErrAway) {
		t.Errorf("Put while the disk is pulled = %v, want ErrAway", err)
	}
	if _, err := os.Stat(root); err == nil {
		t.Error("the folder was made again")
	}
}

// TestFolderBreaks: each operation of a Put fails once, in each way; a file is there
// whole or not at all, is never said to be there when it is not, and the next Put mends
// it.
func TestFolderBreaks(t *testing.T) {
	content := bytes.Repeat([]byte("sealed "), 20_000)
	for _, how := range []storetest.How{storetest.Fails, storetest.Happens, storetest.Full, storetest.PowerCut} {
		for at := 1; ; at++ {
			root, d := t.TempDir(), storetest.New(at, how)
			row := fmt.Sprintf("way %d at operation %d", how, at)
			err := offsite.OpenFolder(root, d).Put(t.Context(), "parts/000/1", int64(len(content)), bytes.NewReader(content))
			if d.Ops() < at {
				if err != nil || at < 8 {
					t.Errorf("%s: Put = %v", row, err)
				}
				break
			}
			if how == storetest.Full && err != nil && !errors.Is(err, offsite.ErrFull) {
				t.Errorf("%s: Put on a full disk = %v, want ErrFull", row, err)
			}
			again := offsite.OpenFolder(root, nil)
			there := storetest.Listed(t, again, "")
			if n, ok := there["parts/000/1"]; len(there) > 1 || ok && n != int64(len(content)) || err == nil && !ok {
				t.Errorf("%s: Put = %v, and there is %v", row, err, there)
			}
			err = again.Put(t.Context(), "parts/000/1", int64(len(content)), bytes.NewReader(content))
			if _, ok := there["parts/000/1"]; ok != errors.Is(err, offsite.ErrExists) || !ok && err != nil {
				t.Errorf("%s: the next Put = %v, and there was %v", row, err, there)
			}
			if got, err := os.ReadFile(filepath.Join(root, "parts", "000", "1")); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %d bytes in the end, %v", row, len(got), err)
			}
		}
	}
}

// failingAt is a disk whose Create fails with one error.
type failingAt struct {
	disk.OS
	err error
}

// Create implements disk.FS.
func (f failingAt) Create(name string) (disk.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: f.err}
}

// TestFolderRefuses: why a disk takes nothing is told apart.
func TestFolderRefuses(t *testing.T) {
	for why, want := range map[error]error{
		syscall.EROFS: offsite.ErrReadOnly, syscall.EACCES: offsite.ErrDenied, syscall.ENOSPC: offsite.ErrFull,
		syscall.EDQUOT: offsite.ErrFull, syscall.EFBIG: offsite.ErrTooLarge, syscall.ENODEV: offsite.ErrAway,
	} {
		root := t.TempDir()
		if err := putOne(t, offsite.OpenFolder(root, failingAt{err: why}), "1", "x"); !errors.Is(err, want) || !errors.Is(err, why) {
			t.Errorf("Put on a disk that says %v = %v, want %v", why, err, want)
		}
	}
	p := offsite.OpenFolder(t.TempDir(), &storetest.Still{})
	for what, err := range map[string]error{"Put": putOne(t, p, "parts/1", "x"),
		"Overwrite": p.Overwrite(t.Context(), "probe/1", nil), "Delete": p.Delete(t.Context(), "probe/1")} {
		if !errors.Is(err, offsite.ErrReadOnly) {
			t.Errorf("%s on a disk that may not be written = %v, want ErrReadOnly", what, err)
		}
	}
}

// TestFolderLeftBehind: what a program that died left behind goes after a day; what
// another may still be writing, and what is not ours, stays.
func TestFolderLeftBehind(t *testing.T) {
	root := t.TempDir()
	for name, gone := range map[string]bool{
		"1.age.abcdefg2.tmp": true, "2.age.abcdefg3.tmp": false, "letter.tmp": false, "a letter.abcdefg2.tmp": false,
		"3.age.abcdefg1.tmp": false, "4.age.abcdefg2": false,
	} {
		path := filepath.Join(root, name)
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		age := time.Now().Add(-25 * time.Hour)
		if strings.HasPrefix(name, "2") {
			age = time.Now().Add(-time.Hour)
		}
		if err := os.Chtimes(path, age, age); err != nil {
			t.Fatal(err)
		}
		if err := putOne(t, offsite.OpenFolder(root, nil), "put-"+name[:1]+fmt.Sprint(len(name)), "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) != gone {
			t.Errorf("%s: %v, want gone: %v", name, err, gone)
		}
	}
}

// TestRestoreStops: somebody who stops a restore from a disk is not kept waiting for the
// rest of it.
func TestRestoreStops(t *testing.T) {
	m, _ := made(t, 6)
	from, to := offsite.OpenFolder(t.TempDir(), nil), filepath.Join(t.TempDir(), "back")
	copied(t, m, from)
	ctx, stop := context.WithCancel(t.Context())
	r, err := offsite.Restore(ctx, from, offsite.RestoreOptions{Dir: to, Events: func(done, _ int, _ int64) {
		if done == 2 {
			stop()
		}
	}})
	there := storetest.Listed(t, offsite.OpenFolder(to, nil), "")
	if !errors.Is(err, context.Canceled) || len(there) > r.Files/2 {
		t.Errorf("Restore that was stopped = %v, with %d of %d files", err, len(there), r.Files)
	}
}
