package offsite

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
)

// ErrNoRoom says that a copy does not fit where it is to be restored to.
var ErrNoRoom = errors.New("the copy does not fit on the disk that it goes to")

// A Restored is what a restore brought.
type Restored struct {
	Mirror  string        `json:"mirror"` // UUID
	Epoch   int           `json:"epoch"`
	Files   int           `json:"files"`
	Before  int           `json:"before"` // of them were in the folder already
	Bytes   int64         `json:"bytes"`  // of what was fetched
	Took    time.Duration `json:"took"`
	Wrong   []Wrong       `json:"wrong,omitempty"`
	Believe []string      `json:"notBelieved,omitempty"` // what of the place was left aside
	Disk    string        `json:"disk,omitempty"`        // which place it says it is, as Result.Disk; "": it does not
}

// RestoreOptions say where a copy goes.
type RestoreOptions struct {
	Dir    string                                     // an empty folder, or one in which a restore was broken off
	FS     disk.FS                                    // nil: the real one
	Now    func() time.Time                           // nil: time.Now
	Events func(done, all int, bytes int64)           // nil: nobody listens
	Mirror func(first string, s keys.Statement) error // says whether it is the right one; nil: whichever it is
	// Signed leaves aside the parts that no checkpoint names yet, if one names any: a copy
	// may be under way.
	Signed bool
}

// Restore fetches a copy into a folder. Each file appears there whole or not at all,
// with the SHA-256 that a signed checkpoint states; one that is not so is in
// Restored.Wrong and is not kept. It replaces and removes nothing: in a folder in
// which a restore was broken off it goes on. Until it has ended the folder is no mirror;
// then it can be looked at (store.Look), and be made the office's mirror (store.Adopt).
//
// Errors: ErrNotThere if the place holds no copy, keys.ErrForged, that of o.Mirror,
// ErrNoRoom, and those of Place.
func Restore(ctx context.Context, p Place, o RestoreOptions) (Restored, error) {
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Events == nil {
		o.Events = func(int, int, int64) {}
	}
	started := o.Now()
	c, err := Read(ctx, p)
	if err == nil && c.Empty() {
		err = fmt.Errorf("there is no copy of a mirror at this place: %w", ErrNotThere)
	}
	if err == nil && o.Mirror != nil {
		err = o.Mirror(c.First, c.Statement)
	}
	if err == nil {
		err = c.again(ctx)
	}
	if err != nil {
		return Restored{}, err
	}
	t := &taker{c: c, o: o, sums: map[string][32]byte{}}
	t.r = Restored{Mirror: c.Statement.Mirror, Epoch: c.Epoch(), Files: len(c.files), Believe: c.Wrong}
	if disk, derr := diskOf(ctx, p); derr == nil {
		t.r.Disk = disk
	}
	if err = t.fits(); err == nil {
		err = t.all(ctx)
	}
	t.r.Took = o.Now().Sub(started)
	return t.r, err
}

// A taker fetches a copy.
type taker struct {
	c    *Contents
	o    RestoreOptions
	sums map[string][32]byte // that were signed

	// mu covers r and done.
	mu   sync.Mutex
	r    Restored
	done int
}

// restoreLeaves is how many bytes of the disk a restore leaves free, if it can.
const restoreLeaves = 64 << 20

// fits refuses a disk that would be full before the copy is there.
func (t *taker) fits() error {
	need := int64(restoreLeaves)
	for _, name := range t.c.Names() {
		size, _ := t.c.Size(name)
		if there, err := disk.Exists(t.o.FS, t.path(name)); err != nil {
			return err
		} else if !there {
			need += size
		}
	}
	on := t.o.Dir // or the next folder above it that is there
	for filepath.Dir(on) != on {
		if there, err := disk.Exists(t.o.FS, on); there || err != nil {
			break
		}
		on = filepath.Dir(on)
	}
	free, _, err := t.o.FS.Free(on)
	if err == nil && free < need {
		return fmt.Errorf("%w: %d MB are needed, %d MB are free", ErrNoRoom, need>>20, free>>20)
	}
	return nil // a disk that does not say is tried
}

// all fetches the checkpoints first, which say what the others must be, and the
// statements last, of which mirror/000001.json makes the folder a mirror: one in which a
// restore was broken off is none, and nobody goes on with half of the records.
func (t *taker) all(ctx context.Context) error {
	var first, second, last []string
	for _, name := range t.c.Names() {
		switch kind, _ := kindOf(name); kind {
		case "mirror":
			last = append(last, name)
		case "checkpoints":
			first = append(first, name)
		default:
			second = append(second, name)
		}
	}
	if err := t.each(ctx, first); err != nil {
		return err
	}
	t.readSums(first)
	if t.o.Signed && len(t.sums) > 0 {
		second = slices.DeleteFunc(second, t.unsigned)
		t.r.Files = len(first) + len(second) + len(last)
	}
	if err := t.each(ctx, second); err != nil {
		return err
	}
	for _, name := range slices.Backward(last) {
		if err := t.each(ctx, []string{name}); err != nil {
			return err
		}
	}
	return nil
}

// readSums learns from the checkpoints what is signed. A checkpoint that cannot be
// believed says nothing; whoever looks at the folder hears of it.
func (t *taker) readSums(names []string) {
	for _, name := range names {
		b, err := disk.ReadFile(t.o.FS, t.path(name), 256<<20)
		if err != nil {
			continue
		}
		_, n := kindOf(name)
		c, err := store.ParseCheckpoint(b, t.c.chain.LogKeyAt(n))
		if err != nil {
			t.wrong(name, "it is not signed by this mirror's key")
			continue
		}
		for file, sum := range c.Files {
			t.sums[file] = sum
		}
	}
}

// unsigned reports whether a file is a part that no checkpoint names.
func (t *taker) unsigned(name string) bool {
	kind, _ := kindOf(name)
	_, signed := t.sums[name]
	return kind == "parts" && !signed
}

func (t *taker) path(name string) string { return filepath.Join(t.o.Dir, filepath.FromSlash(name)) }

func (t *taker) wrong(name, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.r.Wrong = append(t.r.Wrong, Wrong{File: name, What: what})
}

func (t *taker) each(ctx context.Context, names []string) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, name := range names {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			n, before, err := t.fetch(gctx, name)
			if disk.IsFull(err) {
				err = fmt.Errorf("%w: %w", ErrNoRoom, err)
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			t.done++
			t.r.Bytes += n
			if before {
				t.r.Before++
			}
			t.o.Events(t.done, t.r.Files, t.r.Bytes)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// fetch brings one file, unless it is there from an earlier try.
func (t *taker) fetch(ctx context.Context, name string) (n int64, before bool, err error) {
	to := t.path(name)
	if info, err := t.o.FS.Stat(to); err == nil {
		if size, _ := t.c.Size(name); info.Size() != size {
			t.wrong(name, fmt.Sprintf("the folder has another file of that name, with %d bytes instead of %d", info.Size(), size))
		}
		return 0, true, nil // it got its name only when it was whole
	}
	body, err := t.c.Open(ctx, name)
	if err != nil {
		return 0, false, err
	}
	defer body.Close() // read only
	if err := t.o.FS.Mkdir(filepath.Dir(to)); err != nil {
		return 0, false, err
	}
	n, sum, err := t.write(to+disk.TempSuffix, body)
	if err != nil {
		return n, false, fmt.Errorf("restore %s: %w", name, err)
	}
	if want, signed := t.sums[name]; signed && want != sum {
		t.wrong(name, "its bytes are not those that were signed")
		return n, false, disk.RemoveTemp(t.o.FS, to+disk.TempSuffix)
	}
	return n, false, disk.Commit(t.o.FS, to+disk.TempSuffix, to)
}

// write streams a file to the disk and syncs it.
func (t *taker) write(temp string, body io.Reader) (n int64, sum [32]byte, err error) {
	if err := disk.RemoveTemp(t.o.FS, temp); err != nil {
		return 0, sum, err
	}
	f, err := t.o.FS.Create(temp)
	if err != nil {
		return 0, sum, err
	}
	h := sha256.New()
	n, err = copyInto(f, h, body)
	if err == nil {
		err = f.Sync()
	}
	return n, [32]byte(h.Sum(nil)), errors.Join(err, f.Close())
}

func copyInto(f io.Writer, h hash.Hash, body io.Reader) (int64, error) {
	return io.CopyBuffer(io.MultiWriter(f, h), struct{ io.Reader }{body}, make([]byte, 1<<18))
}
