// Package storetest breaks a store on purpose: a disk whose n-th operation
// fails, and one that forgets what was not synced when the power goes.
//
// It also invents a practice of any size. It is for tests only.
package storetest

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"chartcellar/store/disk"
)

// ErrBroken is what a broken operation returns.
var ErrBroken = &fs.PathError{Op: "break", Path: "", Err: syscall.EIO}

// How an operation breaks.
type How int

// The ways.
const (
	Fails    How = iota // it does not happen
	Happens             // it happens, and an error is returned all the same
	Full                // it does not happen: the disk is full; a write happens by half
	PowerCut            // it does not happen, nor does anything after it
)

// A Disk is a disk.FS over the real one that breaks once. Its methods may be
// called from many goroutines.
type Disk struct {
	disk.OS
	at  int
	how How

	// mu covers what follows.
	mu     sync.Mutex
	ops    int
	dead   bool
	struck bool
	undo   []undo // what was not synced, oldest first
}

// An undo takes back something that was not synced.
type undo struct {
	dir  string // durable once this folder is synced
	file string // durable once this file is synced
	back func() error
}

// New returns a disk whose n-th operation, from 1, breaks; 0 breaks none.
func New(n int, how How) *Disk { return &Disk{at: n, how: how} }

// BreakAt lets the n-th operation from now on break, from 1.
func (d *Disk) BreakAt(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = d.ops + n
}

// Ops returns how many operations there were.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// Struck reports whether the operation that breaks was reached.
func (d *Disk) Struck() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.struck
}

// step counts an operation and says what becomes of it: whether it happens, and
// the error it returns.
func (d *Disk) step() (happens bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops++
	if d.dead {
		return false, ErrBroken
	}
	if d.ops != d.at {
		return true, nil
	}
	d.struck = true
	switch d.how {
	case Happens:
		return true, ErrBroken
	case Full:
		return false, &fs.PathError{Op: "write", Err: syscall.ENOSPC}
	case PowerCut:
		d.dead = true
	}
	return false, ErrBroken
}

func (d *Disk) do(f func() error) error {
	happens, err := d.step()
	if !happens {
		return err
	}
	if ferr := f(); ferr != nil {
		d.missed(err)
		return ferr
	}
	return err
}

// missed takes back that the disk broke, if it was in an operation that failed
// by itself.
func (d *Disk) missed(err error) {
	if err != nil {
		d.mu.Lock()
		d.struck = false
		d.mu.Unlock()
	}
}

func (d *Disk) remember(u undo) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.undo = append(d.undo, u)
}

func (d *Disk) forget(gone func(undo) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.undo = slices.DeleteFunc(d.undo, gone)
}

// Lose takes back any part of what was not synced, as a power cut may: newest
// first, each with a chance of one half.
func (d *Disk) Lose(r *rand.Rand) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	for _, u := range slices.Backward(d.undo) {
		if r.IntN(2) == 0 {
			err = errors.Join(err, u.back())
		}
	}
	d.undo = nil
	return err
}

// Create implements disk.FS.
func (d *Disk) Create(name string) (disk.File, error) { return d.open(name, d.OS.Create, true) }

// Append implements disk.FS.
func (d *Disk) Append(name string) (disk.File, error) { return d.open(name, d.OS.Append, false) }

func (d *Disk) open(name string, open func(string) (disk.File, error), made bool) (disk.File, error) {
	var f disk.File
	err := d.do(func() (err error) {
		f, err = open(name)
		if err == nil && made {
			d.remember(undo{dir: filepath.Dir(name), back: func() error { return ifThere(os.Remove(name)) }})
		}
		return err
	})
	if err != nil {
		if f != nil {
			f.Close()
		}
		return nil, err
	}
	return &file{File: f, d: d, name: name}, nil
}

func ifThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Rename implements disk.FS.
func (d *Disk) Rename(old, name string) error {
	return d.do(func() error {
		err := d.OS.Rename(old, name)
		if err == nil {
			d.remember(undo{dir: filepath.Dir(name), back: func() error { return ifThere(os.Rename(name, old)) }})
		}
		return err
	})
}

// Replace implements disk.FS. A replaced file is kept aside, to be put back.
func (d *Disk) Replace(old, name string) error {
	return d.do(func() error {
		before, rerr := os.ReadFile(name)
		err := d.OS.Replace(old, name)
		if err == nil && rerr == nil {
			d.remember(undo{dir: filepath.Dir(name), back: func() error {
				return errors.Join(ifThere(os.Rename(name, old)), os.WriteFile(name, before, 0o600))
			}})
		}
		return err
	})
}

// Remove implements disk.FS.
func (d *Disk) Remove(name string) error {
	return d.do(func() error { return d.OS.Remove(name) })
}

// Mkdir implements disk.FS.
func (d *Disk) Mkdir(name string) error { return d.do(func() error { return d.OS.Mkdir(name) }) }

// SyncDir implements disk.FS.
func (d *Disk) SyncDir(name string) error {
	return d.do(func() error {
		d.forget(func(u undo) bool { return u.dir == name })
		return d.OS.SyncDir(name)
	})
}

// Point implements disk.FS.
func (d *Disk) Point(string) error { return d.do(func() error { return nil }) }

// A file breaks with its disk.
type file struct {
	disk.File
	d    *Disk
	name string
	size int64
}

// Write implements disk.File.
func (f *file) Write(p []byte) (int, error) {
	happens, err := f.d.step()
	if !happens {
		if f.d.how == Full {
			n, _ := f.File.Write(p[:len(p)/2])
			return n, err
		}
		return 0, err
	}
	from := f.size
	n, werr := f.File.Write(p)
	f.size += int64(n)
	f.d.remember(undo{file: f.name, back: func() error { return ifThere(cut(f.name, from)) }})
	return n, errors.Join(werr, err)
}

// cut shortens a file, or the one it was renamed to is left as it is.
func cut(name string, to int64) error {
	info, err := os.Stat(name)
	if err != nil || info.Size() <= to {
		return err
	}
	return os.Truncate(name, to)
}

// Sync implements disk.File.
func (f *file) Sync() error {
	return f.d.do(func() error {
		f.d.forget(func(u undo) bool { return u.file == f.name })
		return f.File.Sync()
	})
}
