package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"chartcellar/store/disk"
)

// WipeOptions say what is destroyed.
type WipeOptions struct {
	Dir string  // the folder of the mirror
	FS  disk.FS // nil: the real disk
	Now func() time.Time
	// Keys are files outside the folder that go with it, before anything else: the box
	// key, a key file.
	Keys []string
	// Begun is called before the first file goes. If it fails, nothing is destroyed.
	Begun func(Wiped) error
	// Gone is called when all of it is gone, and may be called again after a crash.
	Gone func(Wiped) error
	// Events tells how many files are gone; nil: nobody listens.
	Events func(done, files int)
}

// A Wiped says what Wipe destroys.
type Wiped struct {
	Mirror  string    `json:"mirror"`
	Files   int       `json:"files"` // with those outside the folder
	Bytes   int64     `json:"bytes"`
	Size    int64     `json:"size"`   // of the log, as it was signed last; 0: not known
	Root    string    `json:"root"`   // short root of it
	Signed  int       `json:"signed"` // number of the last checkpoint
	Started time.Time `json:"started"`
	Ended   time.Time `json:"-"` // set for Gone
	// Left are the names of what lies in the folder and is not the mirror's.
	Left []string `json:"left,omitempty"`
}

// wipingFile notes in the folder what a wipe destroys, so that one that was broken off
// is ended and tells of the whole.
const wipingFile = "wiping"

// Wipe destroys a whole mirror: first what opens it (secrets, passphrases, o.Keys),
// overwritten and removed, then every other file of it. It is the only function that
// removes a record, and is for a person who decided so.
//
// It does nothing, and returns *BusyError, while a process has the mirror open. Of what
// else lies in the folder nothing is touched. After a crash, or an error, it can be called
// again and ends what it began; the result is that of the whole. Errors: ErrNoMirror.
func Wipe(ctx context.Context, o WipeOptions) (w Wiped, err error) {
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Mirror{dir: o.Dir, fs: o.FS, now: o.Now}
	can, begun, err := CanWipe(o.FS, o.Dir)
	if err != nil {
		return w, err
	}
	if !can {
		return w, ErrNoMirror
	}
	if err := m.takeLock(&Options{Doing: "wipe", Now: o.Now}); err != nil {
		return w, err
	}
	files, left, err := m.belongings(o.Keys)
	if err == nil {
		w, err = m.beginWipe(&o, begun, files, left)
	}
	if err == nil {
		err = m.destroy(ctx, &o, files)
	}
	w.Ended = o.Now().UTC()
	if err == nil {
		err = o.Gone(w)
	}
	if rerr := m.lock.Release(); err == nil {
		err = rerr
	}
	if err != nil {
		return w, err
	}
	for _, last := range []string{"lock", wipingFile} {
		if err := disk.Destroy(o.FS, m.path(last), false); err != nil {
			return w, err
		}
	}
	return w, o.FS.SyncDir(o.Dir)
}

// CanWipe reports whether a folder is a mirror, or what is left of one, and whether a
// wipe has begun to destroy it.
func CanWipe(fsys disk.FS, dir string) (can, begun bool, err error) {
	if can, err = IsMirror(fsys, dir); err != nil {
		return false, false, err
	}
	if begun, err = disk.Exists(fsys, filepath.Join(dir, wipingFile)); err != nil {
		return false, false, fmt.Errorf("look at the data folder: %w", err)
	}
	return can || begun, begun, nil
}

// A belonging is a file or a folder of the mirror.
type belonging struct {
	path   string
	size   int64
	folder bool
	key    bool // it is overwritten, and goes first
}

// ownNames are the files of a mirror beside its folders; each may have an ending behind
// a point.
var ownNames = []string{"index", "runs", "access", "ballast", "ctl"}

// belongings lists what Wipe destroys, in the order in which it goes: keys first, the
// statement that makes the folder a mirror last; folders behind what is in them.
func (m *Mirror) belongings(outside []string) (list []belonging, left []string, err error) {
	for _, name := range outside {
		info, err := m.fs.Stat(name)
		if err == nil {
			list = append(list, belonging{path: name, size: info.Size(), key: true})
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("look at a key: %w", err)
		}
	}
	entries, err := m.fs.ReadDir(m.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("list the folder of the mirror: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		stem, _, _ := strings.Cut(name, ".")
		switch {
		case slices.Contains(folders, name):
			if list, err = m.inFolder(list, m.path(name), name == "secrets" || name == "slots"); err != nil {
				return nil, nil, err
			}
		case slices.Contains(ownNames, stem) && !e.IsDir():
			info, err := e.Info()
			if err != nil {
				return nil, nil, fmt.Errorf("look at the files of the mirror: %w", err)
			}
			list = append(list, belonging{path: m.path(name), size: info.Size()})
		case name != "lock" && name != wipingFile && name != wipingFile+disk.TempSuffix:
			left = append(left, name)
		}
	}
	rank := func(b belonging) int {
		switch {
		case b.key:
			return 0
		case b.path == firstFile(m.dir):
			return 2
		case b.path == m.path("mirror"):
			return 3
		}
		return 1
	}
	slices.SortStableFunc(list, func(a, b belonging) int { return rank(a) - rank(b) })
	return list, left, nil
}

// inFolder adds what is in a folder, and then the folder.
func (m *Mirror) inFolder(list []belonging, dir string, key bool) ([]belonging, error) {
	entries, err := m.fs.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the files of the mirror: %w", err)
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if e.IsDir() {
			if list, err = m.inFolder(list, name, key); err != nil {
				return nil, err
			}
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("look at the files of the mirror: %w", err)
		}
		list = append(list, belonging{path: name, size: info.Size(), key: key})
	}
	return append(list, belonging{path: dir, folder: true, key: key}), nil
}

// beginWipe notes what goes, or reads what was noted when a wipe was begun before.
func (m *Mirror) beginWipe(o *WipeOptions, begun bool, files []belonging, left []string) (w Wiped, err error) {
	if begun {
		b, err := disk.ReadFile(m.fs, m.path(wipingFile), 1<<20)
		if err == nil {
			err = json.Unmarshal(b, &w)
		}
		if err != nil {
			return w, fmt.Errorf("read what a wipe has begun: %w", err)
		}
		return w, o.Begun(w)
	}
	w = Wiped{Started: o.Now().UTC().Truncate(time.Second), Left: left}
	for _, f := range files {
		if !f.folder {
			w.Files, w.Bytes = w.Files+1, w.Bytes+f.size
		}
	}
	if c, err := m.lastSigned(); err == nil {
		w.Mirror, w.Size, w.Root, w.Signed = m.ID(), c.Size, c.ShortRoot(), c.Number
	} else if m.stated.Load() != nil {
		w.Mirror = m.ID()
	}
	b, err := json.Marshal(w)
	if err != nil {
		return w, fmt.Errorf("note what is destroyed: %w", err)
	}
	if err := o.Begun(w); err != nil {
		return w, err
	}
	return w, disk.ReplaceFile(m.fs, m.path(wipingFile), b)
}

// lastSigned reads the statements and the newest checkpoint of a folder that need not be
// open.
func (m *Mirror) lastSigned() (Checkpoint, error) {
	if err := m.readChain(""); err != nil {
		return Checkpoint{}, err
	}
	numbers, err := m.checkpointNumbers()
	if err != nil || len(numbers) == 0 {
		return Checkpoint{}, errors.Join(err, ErrNotFound)
	}
	return m.ReadCheckpoint(numbers[len(numbers)-1])
}

func (m *Mirror) destroy(ctx context.Context, o *WipeOptions, files []belonging) error {
	done, all := 0, 0
	for _, f := range files {
		if !f.folder {
			all++
		}
	}
	for i, f := range files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := disk.Destroy(m.fs, f.path, f.key && !f.folder); err != nil {
			return err
		}
		if lastKey := f.key && (i+1 == len(files) || !files[i+1].key); lastKey || f.folder || f.path == firstFile(m.dir) {
			if err := m.fs.SyncDir(filepath.Dir(f.path)); err != nil {
				return fmt.Errorf("sync the folder: %w", err)
			}
		}
		if !f.folder {
			done++
		}
		if o.Events != nil {
			o.Events(done, all)
		}
	}
	return nil
}

// Continues reports whether the mirror in one folder goes on where that in another one
// stands: it is the same mirror, and has signed the last log head of the other one. It
// needs no key, takes no lock, and does not look at the parts.
func Continues(dir, other string) (bool, error) {
	m, old := &Mirror{dir: dir, fs: disk.ReadOnly{FS: disk.OS{}}}, &Mirror{dir: other, fs: disk.ReadOnly{FS: disk.OS{}}}
	last, err := old.lastSigned()
	if err != nil {
		return false, fmt.Errorf("read the last checkpoint: %w", err)
	}
	if _, err := m.lastSigned(); err != nil {
		return false, fmt.Errorf("read the last checkpoint: %w", err)
	}
	c, err := m.ReadCheckpoint(last.Number)
	if err != nil {
		return false, err
	}
	return m.ID() == old.ID() && c.Size == last.Size && c.Root == last.Root, nil
}
