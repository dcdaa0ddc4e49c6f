package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"chartcellar/store/disk"
	"chartcellar/store/index"
)

// What a whole listing has shown is kept beside the run files: for each part the
// keys of the records that came since the part before, 16 bytes each. They are
// synced before the part is committed, so that a listing that is continued after
// a crash still proves absence, and removed when the run is closed.

// listedName is under which progress a run notes its listed parts.
const listedName = "listed"

// A listedPart says that index.runs/Part.seen holds so many keys.
type listedPart struct {
	Part uint32 `json:"part"`
	Keys int    `json:"keys"`
}

func (r *Run) listed() ([]listedPart, error) {
	var list []listedPart
	raw, err := r.Progress(listedName)
	if err == nil && raw != nil {
		err = json.Unmarshal(raw, &list)
	}
	return list, err
}

func (m *Mirror) seenPath(part uint32) string {
	return m.path("index.runs", fmt.Sprintf("%d.seen", part))
}

// listedKeys is how many keys of a listing go to the file at a time: 512 KiB.
const listedKeys = 32 << 10

// A seenFile is the keys that were listed since the last part, under the temporary
// name of their file.
type seenFile struct {
	name string // the final one
	file disk.File
	keys int
}

// show writes keys that were listed since the last part.
func (w *writer) show(keys []index.Key) error {
	if len(keys) == 0 {
		return nil
	}
	if w.seen == nil {
		if err := w.newSeen(); err != nil {
			return err
		}
	}
	b := make([]byte, 0, len(keys)*len(index.Key{}))
	for _, k := range keys {
		b = append(b, k[:]...)
	}
	w.seen.keys += len(keys)
	if _, err := w.seen.file.Write(b); err != nil {
		return fmt.Errorf("note what a listing has shown: %w", err)
	}
	return nil
}

// newSeen makes the file of the part that comes next, or that is being written.
func (w *writer) newSeen() error {
	n := w.number
	if w.part == nil {
		n++
	}
	name := w.m.seenPath(uint32(n))
	if err := w.m.fs.Mkdir(filepath.Dir(name)); err != nil {
		return err
	}
	if err := disk.RemoveTemp(w.m.fs, name+disk.TempSuffix); err != nil {
		return err
	}
	f, err := w.m.fs.Create(name + disk.TempSuffix)
	if err != nil {
		return fmt.Errorf("note what a listing has shown: %w", err)
	}
	w.seen = &seenFile{name: name, file: f}
	return nil
}

// list makes the keys that were listed since the last part durable, and notes them
// in the progress of the part that is about to be written.
func (w *writer) list(s *sealJob) error {
	if err := w.show(s.listed); err != nil || w.seen == nil {
		return err
	}
	seen := w.seen
	w.seen = nil
	err := seen.file.Sync()
	if cerr := seen.file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("note what a listing has shown: %w", err)
	}
	if err := disk.Swap(w.m.fs, seen.name+disk.TempSuffix, seen.name); err != nil {
		return err
	}
	w.listed = append(w.listed, listedPart{uint32(w.number), seen.keys})
	raw, err := json.Marshal(w.listed)
	s.progress[listedName] = raw
	return err
}

// seenKeys returns, sorted, the first 8 bytes behind the type of the keys of one
// type that the run's listings have shown. ok is false if some of them cannot be
// read: then the listing proves no absence. The list is valid until the next call.
func (r *Run) seenKeys(typ byte) (seen []uint64, ok bool, err error) {
	list, err := r.listed()
	if err != nil {
		return nil, false, err
	}
	seen = r.shown[:0]
	for _, l := range list {
		if seen, ok, err = r.m.readSeen(l, typ, seen); err != nil || !ok {
			return nil, false, err
		}
	}
	slices.Sort(seen)
	r.shown = seen
	return seen, true, nil
}

// readSeen appends what one file has of a type; ok is false if the file is not
// there or not whole.
func (m *Mirror) readSeen(l listedPart, typ byte, to []uint64) (seen []uint64, ok bool, err error) {
	f, err := m.fs.Open(m.seenPath(l.Part))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close() // read only
	const size = len(index.Key{})
	info, err := f.Stat()
	if err != nil || info.Size() != int64(l.Keys*size) {
		return nil, false, err
	}
	buf := make([]byte, 4096*size)
	for left := l.Keys * size; left > 0; left -= len(buf) {
		buf = buf[:min(left, len(buf))]
		if _, err := io.ReadFull(f, buf); err != nil {
			return nil, false, fmt.Errorf("read what a listing has shown: %w", err)
		}
		for b := buf; len(b) > 0; b = b[size:] {
			if k := index.Key(b); k.Type() == typ {
				to = append(to, k.Short())
			}
		}
	}
	return to, true, nil
}

// An Absent is a record that is current in the mirror and that a whole listing
// of its type lacked.
type Absent struct {
	ID    string         // "" while the mirror is locked
	Mark  index.Absence  // for the closing
	Again *index.Absence // the mark of the listing before; nil: it was there then
}

// Absent returns the records of a type that the chunks of this run marked as
// Listing did not hold, at most max of them, and how many there are. proved is
// false if the listing proves nothing. Settle comes before it.
func (r *Run) Absent(ctx context.Context, typ string, max int) (list []Absent, n int, proved bool, err error) {
	seen, proved, err := r.seenKeys(index.TypeByte(typ))
	if err != nil || !proved {
		return nil, 0, false, err
	}
	before, err := r.m.index.Absent(r.state.Source, typ)
	if err != nil {
		return nil, 0, false, err
	}
	snap, err := r.m.Now()
	if err != nil {
		return nil, 0, false, err
	}
	own := r.m.runsOf(r.state.Source)
	var gone []index.Entry
	err = r.m.index.EachCurrent(index.TypeByte(typ), snap.part, snap.states, func(e *index.Entry) error {
		if e.Flags&index.Tombstone != 0 || !own[e.Run] {
			return nil
		}
		if _, found := slices.BinarySearch(seen, e.Key.Short()); found {
			return nil
		}
		if n++; n <= max {
			gone = append(gone, *e)
		}
		return nil
	})
	if err != nil {
		return nil, 0, false, err
	}
	for i := range gone {
		a, err := r.absent(ctx, snap, typ, &gone[i], before)
		if err != nil {
			return nil, 0, false, err
		}
		list = append(list, a)
	}
	return list, n, true, nil
}

func (r *Run) absent(_ context.Context, snap *Snapshot, typ string, e *index.Entry, before []index.Absence) (Absent, error) {
	a := Absent{Mark: index.Absence{Key: slices.Clone(e.Key[:]), First: r.n, At: r.m.now().Unix(), How: "unread"}}
	for i := range before {
		if slices.Equal(before[i].Key, a.Mark.Key) {
			a.Again = &before[i]
			a.Mark = before[i]
		}
	}
	if r.m.Locked() {
		return a, nil
	}
	_, id, err := snap.lineOf(e)
	if err != nil {
		return a, fmt.Errorf("read a record of type %s that a listing lacks: %w", typ, err)
	}
	a.ID = id
	return a, nil
}

// runsOf returns the runs of one source.
func (m *Mirror) runsOf(source string) map[uint32]bool {
	own := map[uint32]bool{}
	m.index.EachRun(func(n uint32, r index.RunState) error { // from memory: it cannot fail
		own[n] = r.Source == source
		return nil
	})
	return own
}

// Settle makes everything that was added durable and findable: entries in run
// files are merged into the index now, so that what follows in the run can look
// records up.
func (r *Run) Settle(ctx context.Context) error {
	if err := r.Flush(ctx); err != nil {
		return err
	}
	if !r.m.index.NeedsMerge() {
		return nil
	}
	done, err := r.Progress("settled")
	if err != nil {
		return err
	}
	if done == nil {
		twice, err := r.m.index.Twice(ctx)
		if err != nil {
			return err
		}
		counts := index.Counts{}
		for typ, n := range twice {
			counts[index.TypeName(typ)] = index.Count{New: -n, Duplicates: n}
		}
		r.pipe.note(counts)
		if err := r.Note(ctx, "settled", json.RawMessage("true")); err != nil {
			return err
		}
		if err := r.Flush(ctx); err != nil {
			return err
		}
	}
	return r.m.index.Merge(ctx)
}
