package storetest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"chartcellar/store/disk"
)

// A Killer is the real disk on which this process dies: SIGKILL, as from outside,
// so that nothing is closed and nothing deferred runs. It is for tests that start
// a process of their own.
type Killer struct {
	disk.OS
	at int // the operation before which it dies, from 1; 0: none

	mu    sync.Mutex
	ops   int
	first []string // descriptions that must have been met before, in this order
	point string   // "before rename parts/", "after index commit"
}

// NewKiller returns a disk that kills as spec says: "17" before the 17th
// operation; "before NAME" or "after NAME" at the first operation that NAME means: a
// verb and a part of the path, such as "rename parts/" or "point before index
// commit"; "NAME > before NAME" the same, but only once NAME was met; ""
// never.
func NewKiller(spec string) *Killer {
	k := &Killer{}
	if n, err := strconv.Atoi(spec); err == nil {
		k.at = n
		return k
	}
	steps := strings.Split(spec, " > ")
	k.first, k.point = steps[:len(steps)-1], steps[len(steps)-1]
	return k
}

// die ends this process without a trace.
func die() {
	p, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		panic(fmt.Sprint("kill this process: ", err))
	}
	select {}
}

func (k *Killer) meets(when, what string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.first) > 0 {
		if when == "after" && is(what, k.first[0]) {
			k.first = k.first[1:]
		}
		return
	}
	place, ok := strings.CutPrefix(k.point, when+" ")
	if ok && is(what, place) {
		die()
	}
}

// is reports whether an operation is the one that a name means: the verb, and a
// part of the path.
func is(what, name string) bool {
	verb, part, _ := strings.Cut(name, " ")
	did, path, _ := strings.Cut(what, " ")
	return did == verb && strings.Contains(path, part)
}

// do carries out an operation, unless the process dies before or after it.
func (k *Killer) do(verb, name string, f func() error) error {
	what := verb + " " + strings.ReplaceAll(name, `\`, "/")
	k.mu.Lock()
	k.ops++
	last := k.at != 0 && k.ops == k.at
	k.mu.Unlock()
	if last {
		die()
	}
	k.meets("before", what)
	if err := f(); err != nil {
		return err
	}
	k.meets("after", what)
	return nil
}

// Create implements disk.FS.
func (k *Killer) Create(name string) (f disk.File, err error) {
	err = k.do("create", name, func() (err error) { f, err = k.OS.Create(name); return err })
	return k.file(f, name, err)
}

// Append implements disk.FS.
func (k *Killer) Append(name string) (f disk.File, err error) {
	err = k.do("append", name, func() (err error) { f, err = k.OS.Append(name); return err })
	return k.file(f, name, err)
}

// Overwrite implements disk.FS.
func (k *Killer) Overwrite(name string) (f disk.File, err error) {
	err = k.do("overwrite", name, func() (err error) { f, err = k.OS.Overwrite(name); return err })
	return k.file(f, name, err)
}

func (k *Killer) file(f disk.File, name string, err error) (disk.File, error) {
	if err != nil {
		return nil, err
	}
	return &doomed{f, k, name}, nil
}

// Rename implements disk.FS; its description ends with the new name.
func (k *Killer) Rename(old, name string) error {
	return k.do("rename", name, func() error { return k.OS.Rename(old, name) })
}

// Replace implements disk.FS; its description ends with the new name.
func (k *Killer) Replace(old, name string) error {
	return k.do("replace", name, func() error { return k.OS.Replace(old, name) })
}

// Remove implements disk.FS.
func (k *Killer) Remove(name string) error {
	return k.do("remove", name, func() error { return k.OS.Remove(name) })
}

// Mkdir implements disk.FS.
func (k *Killer) Mkdir(name string) error {
	return k.do("mkdir", name, func() error { return k.OS.Mkdir(name) })
}

// SyncDir implements disk.FS.
func (k *Killer) SyncDir(name string) error {
	return k.do("syncdir", name, func() error { return k.OS.SyncDir(name) })
}

// Point implements disk.FS.
func (k *Killer) Point(name string) error {
	return k.do("point", name, func() error { return nil })
}

// A doomed file is one of a Killer.
type doomed struct {
	disk.File
	k    *Killer
	name string
}

// Write implements disk.File.
func (f *doomed) Write(p []byte) (n int, err error) {
	err = f.k.do("write", f.name, func() (err error) { n, err = f.File.Write(p); return err })
	return n, err
}

// Sync implements disk.File.
func (f *doomed) Sync() error { return f.k.do("sync", f.name, f.File.Sync) }
