package index

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"chartcellar/store/disk"
)

// spillAt is how many entries a rebuild holds in memory before it writes them
// to a sorted file.
const spillAt = 60_000

// A Rebuild makes a new index from the parts, beside the old one. It is used
// by one goroutine.
type Rebuild struct {
	d       *DB
	o       Options
	entries []Entry
	files   uint32
	tx      *bolt.Tx
	inTx    int
}

// NewRebuild starts a new index, empty but for its name.
func NewRebuild(o Options) (*Rebuild, error) {
	path := filepath.Join(o.Root, "index.new"+disk.TempSuffix)
	if err := disk.RemoveTemp(o.FS, path); err != nil {
		return nil, err
	}
	d, err := open(o, path, "index.rebuild", true)
	if err != nil {
		return nil, fmt.Errorf("start a new index: %w", err)
	}
	d.db.NoSync = true
	return &Rebuild{d: d, o: o}, nil
}

// DB returns the new index: for its Hasher, and for reading after Merge.
func (r *Rebuild) DB() *DB { return r.d }

// Add takes the next part: parts come in the order of their numbers. The flags
// of the entries need only say Tombstone and Subsetted.
func (r *Rebuild) Add(c Commit) error {
	c.Part.Files = nil // they follow from its lines
	return r.add(c)
}

func (r *Rebuild) add(c Commit) error {
	r.entries = append(r.entries, c.Entries...)
	c.Entries, c.Part.RunFile = nil, [32]byte{}
	if r.tx == nil {
		tx, err := r.d.db.Begin(true)
		if err != nil {
			return err
		}
		r.tx = tx
	}
	if err := r.d.commit(r.tx, &c, r.d.states); err != nil {
		return fmt.Errorf("index part %d: %w", c.Part.Number, err)
	}
	r.inTx += 1 + len(c.Hashes)
	if r.inTx > batch/10 {
		if err := r.flush(); err != nil {
			return err
		}
	}
	if len(r.entries) >= spillAt {
		return r.spill()
	}
	return nil
}

// Flush makes what was added readable through DB, but for the entries.
func (r *Rebuild) Flush() error { return r.flush() }

func (r *Rebuild) flush() error {
	if r.tx == nil {
		return nil
	}
	err := r.tx.Commit()
	r.tx, r.inTx = nil, 0
	return err
}

func (r *Rebuild) spill() error {
	if len(r.entries) == 0 {
		return nil
	}
	Sort(r.entries)
	r.files++
	if _, err := r.d.WriteRunFile(r.files, r.entries); err != nil {
		return err
	}
	r.d.files[r.files] = true
	r.entries = r.entries[:0]
	return nil
}

// Merge brings the entries into the new index. After it, DB answers reads.
func (r *Rebuild) Merge(ctx context.Context) error {
	if err := r.flush(); err != nil {
		return err
	}
	if err := r.spill(); err != nil {
		return err
	}
	r.entries = nil
	return r.d.Merge(ctx)
}

// SetMeta sets a small named value in the new index.
func (r *Rebuild) SetMeta(name string, value []byte) error {
	if err := r.flush(); err != nil {
		return err
	}
	return r.d.SetMeta(name, value)
}

// Discard gives the new index up and removes its file.
func (r *Rebuild) Discard() error {
	if r.tx != nil {
		r.tx.Rollback() // nothing of it is wanted
	}
	if err := r.d.Close(); err != nil {
		return err
	}
	return disk.RemoveTemp(r.o.FS, r.d.path)
}

// Install puts the new index in the place of the old one, whole or not at all,
// and closes it. The old one must be closed.
func (r *Rebuild) Install() error {
	if err := r.finish(); err != nil {
		return err
	}
	return disk.Swap(r.o.FS, r.d.path, Path(r.o.Root))
}

// finish makes the new index durable and closes it.
func (r *Rebuild) finish() error {
	err := r.d.db.Sync()
	if cerr := r.d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("finish the new index: %w", err)
	}
	return nil
}

// Become puts a rebuilt index in the place of this one, whole or not at all, and closes
// it. Readers see the one or the other.
func (d *DB) Become(r *Rebuild) error {
	d.write.Lock()
	defer d.write.Unlock()
	if err := r.finish(); err != nil {
		return err
	}
	if err := d.swap(r.d.path); err != nil {
		return fmt.Errorf("put the new index in place: %w", err)
	}
	return nil
}

// A Difference is what Compare found.
type Difference struct {
	Bucket string
	Only   string // "kept" or "rebuilt" if one side lacks the row, else ""
}

// Compare compares what must be equal in an index and its rebuild: records,
// versions, patients, parts, attachments and the log. It returns at most max differences.
// Entries that wait in either must have been merged and folded.
func Compare(ctx context.Context, kept, rebuilt *DB, max int) ([]Difference, error) {
	var diffs []Difference
	err := kept.view(func(a *bolt.Tx) error {
		return rebuilt.view(func(b *bolt.Tx) error {
			for _, name := range [][]byte{bCurrent, bVersions, bPending, bPatient, bParts, bLinks, bHoldings, bBlobs, bTree} {
				found, err := compareBucket(ctx, a.Bucket(name), b.Bucket(name), max-len(diffs), kept.sameValue(name))
				for _, f := range found {
					diffs = append(diffs, Difference{string(name), f})
				}
				if err != nil || len(diffs) >= max {
					return err
				}
			}
			return nil
		})
	})
	return diffs, err
}

// sameValue returns how two values of a bucket are compared: links and the files of
// holdings are sealed, each with a nonce of its own.
func (d *DB) sameValue(bucket []byte) func(k, a, b []byte) bool {
	purpose := map[string]string{string(bLinks): "link", string(bHoldings): "holding"}[string(bucket)]
	if purpose == "" {
		return func(_, a, b []byte) bool { return bytes.Equal(a, b) }
	}
	return func(k, a, b []byte) bool {
		var x, y json.RawMessage
		return d.unseal(purpose, k, a, &x) == nil && d.unseal(purpose, k, b, &y) == nil && bytes.Equal(x, y)
	}
}

func compareBucket(ctx context.Context, a, b *bolt.Bucket, max int, same func(k, a, b []byte) bool) ([]string, error) {
	var diffs []string
	ca, cb := a.Cursor(), b.Cursor()
	ka, va := ca.First()
	kb, vb := cb.First()
	for n := 0; (ka != nil || kb != nil) && len(diffs) < max; n++ {
		if n%batch == 0 && ctx.Err() != nil {
			return diffs, ctx.Err()
		}
		order := bytes.Compare(ka, kb)
		switch {
		case kb == nil || ka != nil && order < 0:
			diffs = append(diffs, "kept")
			ka, va = ca.Next()
			continue
		case ka == nil || order > 0:
			diffs = append(diffs, "rebuilt")
			kb, vb = cb.Next()
			continue
		case !same(ka, va, vb):
			diffs = append(diffs, "")
		}
		ka, va = ca.Next()
		kb, vb = cb.Next()
	}
	return diffs, nil
}
