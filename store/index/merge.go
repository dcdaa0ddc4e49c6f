package index

import (
	"bytes"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	bolt "go.etcd.io/bbolt"

	"chartcellar/store/disk"
)

// batch is how many rows one transaction of a merge takes: a larger one holds more
// memory and is slower, because bbolt splits its pages only at the end.
const batch = 8_192

// NeedsMerge reports whether entries are still in run files.
func (d *DB) NeedsMerge() bool {
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	return len(d.files) > 0
}

// Merge writes a new index from this one and all run files and puts it in the
// place of the old, whole or not at all. Readers see the one or the other. The
// run files are removed afterwards.
func (d *DB) Merge(ctx context.Context) error {
	d.write.Lock()
	defer d.write.Unlock()
	d.stateMu.Lock()
	files := d.fileList()
	d.stateMu.Unlock()
	if len(files) == 0 {
		return nil
	}
	temp := d.path + disk.TempSuffix
	if err := disk.RemoveTemp(d.fs, temp); err != nil {
		return err
	}
	if err := d.mergeInto(ctx, temp, files); err != nil {
		return fmt.Errorf("merge the index: %w", err)
	}
	if err := d.swap(temp); err != nil {
		return fmt.Errorf("put the merged index in place: %w", err)
	}
	for _, n := range files {
		if err := disk.RemoveSpent(d.fs, d.runPath(n)); err != nil {
			return err
		}
	}
	return nil
}

// swap closes the old file and opens the new one in its place.
func (d *DB) swap(temp string) error {
	if err := d.fs.Point("before index swap"); err != nil {
		return err
	}
	defer d.changes.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.db.Close(); err != nil {
		return err
	}
	swapErr := disk.Swap(d.fs, temp, d.path)
	if err := d.open(d.path, false); err != nil {
		return err
	}
	if swapErr != nil {
		return swapErr
	}
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	return d.load()
}

// mergeInto builds the new file and syncs it.
func (d *DB) mergeInto(ctx context.Context, temp string, files []uint32) error {
	var runs []*runFile
	defer func() {
		for _, r := range runs {
			r.f.Close() // read only
		}
	}()
	for _, n := range files {
		r, err := d.openRunFile(n)
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	out, err := newBuilder(temp)
	if err != nil {
		return err
	}
	states := d.States()
	err = d.view(func(tx *bolt.Tx) error {
		if err := d.copyRest(tx, out); err != nil {
			return err
		}
		if err := d.mergeEntries(ctx, out, d.entrySources(tx, runs, 0), states); err != nil {
			return err
		}
		return d.mergePatients(ctx, out, tx, runs)
	})
	if cerr := out.close(err == nil); err == nil {
		err = cerr
	}
	return err
}

// copyRest copies what the merge does not change.
func (d *DB) copyRest(tx *bolt.Tx, out *builder) error {
	for _, name := range copied {
		err := tx.Bucket(name).ForEach(func(k, v []byte) error { return out.putRaw(name, k, v) })
		if err != nil {
			return err
		}
	}
	return eachPart(tx, func(p Part) error {
		p.RunFile = [32]byte{}
		return out.with(func(tx *bolt.Tx) error { return putPart(tx, p) })
	})
}

// A source gives entries in order.
type source = sorted[Entry]

// entrySources are the ordered lists a merge reads: all, or those of one type.
func (d *DB) entrySources(tx *bolt.Tx, runs []*runFile, typ byte) []source {
	var list []source
	for _, name := range [][]byte{bCurrent, bVersions, bPending} {
		c := tx.Bucket(name).Cursor()
		next := func() ([]byte, []byte) { return c.Seek([]byte{typ}) }
		list = append(list, func() (Entry, bool, error) {
			k, v := next()
			next = c.Next
			if k == nil || typ != 0 && k[0] != typ {
				return Entry{}, false, nil
			}
			value, err := checked(k, v)
			if err != nil {
				return Entry{}, false, err
			}
			e, err := d.parseEntry(k, value)
			return e, true, err
		})
	}
	for _, r := range runs {
		list = append(list, r.source(typ))
	}
	return list
}

// source gives the entries of a type; with 0, all.
func (r *runFile) source(typ byte) source {
	var rows *rowReader
	return func() (Entry, bool, error) {
		if rows == nil {
			from, err := r.first(Key{typ}, make([]byte, runRow))
			if err != nil {
				return Entry{}, false, err
			}
			rows = r.entries(from)
		}
		row, err := rows.next()
		if row == nil || err != nil || typ != 0 && row[0] != typ {
			return Entry{}, false, err
		}
		e, err := r.d.parseEntry(row[:16], row[16:])
		return e, true, err
	}
}

// A rowBatch is some finished rows on their way into the new file. Their bytes
// lie in arena, which lives as long as the transaction that takes them.
type rowBatch struct {
	arena []byte
	rows  []mergedRow
	err   error
}

type mergedRow struct {
	bucket []byte
	start  int // of the key in arena
	key    int // its end, where the value begins
	value  int // the value's end
}

// batchRows is how many rows a rowBatch takes.
const batchRows = 4096

// newRowBatch returns an empty batch with room for as many rows as it mostly takes.
func newRowBatch() *rowBatch {
	const row = 16 + entryLen + 4
	return &rowBatch{arena: make([]byte, 0, (batchRows+64)*row), rows: make([]mergedRow, 0, batchRows+64)}
}

// mergeEntries writes current, versions and pending from all sources: one
// goroutine reads, resolves and encodes, the caller's fills the file.
func (d *DB) mergeEntries(ctx context.Context, out *builder, in []source, states States) error {
	ctx, cancel := context.WithCancel(ctx)
	batches := make(chan *rowBatch, 4)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		defer close(batches)
		d.resolveAll(ctx, in, states, batches)
	})
	for b := range batches {
		if b.err != nil {
			return b.err
		}
		for _, r := range b.rows {
			if err := out.putRow(r.bucket, b.arena[r.start:r.key], b.arena[r.key:r.value]); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// resolveAll sends the rows of every record, in the order of their keys.
func (d *DB) resolveAll(ctx context.Context, in []source, states States, to chan<- *rowBatch) {
	b := newRowBatch()
	send := func() error {
		select {
		case to <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
		b = newRowBatch()
		return nil
	}
	err := eachGroup(ctx, in, func(list []Entry) error {
		Mark(list)
		current := currentOf(list, states)
		for i := range list {
			bucket := bVersions
			switch {
			case i == current:
				bucket = bCurrent
			case states.waits(list, i, current):
				bucket = bPending
			}
			d.addRow(b, bucket, &list[i])
		}
		if len(b.rows) >= batchRows {
			return send()
		}
		return nil
	})
	b.err = err
	if err == nil || ctx.Err() == nil {
		send() // an ended context is reported by the receiver
	}
}

// addRow appends one row as it stands in the file, with its checksum.
func (d *DB) addRow(b *rowBatch, bucket []byte, e *Entry) {
	r := mergedRow{bucket: bucket, start: len(b.arena)}
	b.arena = append(b.arena, e.Key[:]...)
	if &bucket[0] != &bCurrent[0] {
		b.arena = binary.BigEndian.AppendUint64(b.arena, e.order())
	}
	r.key = len(b.arena)
	b.arena = d.appendEntry(b.arena, e)
	sum := crc32.Checksum(b.arena[r.start:], castagnoli)
	b.arena = binary.LittleEndian.AppendUint32(b.arena, sum)
	r.value = len(b.arena)
	b.rows = append(b.rows, r)
}

// eachGroup merges sorted sources and calls fn for all entries of each key, in
// the order of their commits. The list is valid during the call.
func eachGroup(ctx context.Context, in []source, fn func([]Entry) error) error {
	h, err := newMergeHeap(in, func(a, b *Entry) bool { return compare(a, b) < 0 })
	if err != nil {
		return err
	}
	var group []Entry
	for n := 0; h.Len() > 0; n++ {
		if n%batch == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		top := &h.rows[0].v
		if len(group) > 0 && group[0].Key != top.Key {
			if err := fn(group); err != nil {
				return err
			}
			group = group[:0]
		}
		if len(group) == 0 || group[len(group)-1].Loc != top.Loc {
			group = append(group, *top)
		}
		if err := h.advance(); err != nil {
			return err
		}
	}
	if len(group) > 0 {
		return fn(group)
	}
	return nil
}

// A sorted gives values in order; ok is false at its end.
type sorted[T any] func() (v T, ok bool, err error)

// A mergeHeap merges sorted lists: its first row holds the least value.
type mergeHeap[T any] struct {
	rows []heapRow[T]
	less func(a, b *T) bool
}

type heapRow[T any] struct {
	v    T
	next sorted[T]
}

func (h *mergeHeap[T]) Len() int           { return len(h.rows) }
func (h *mergeHeap[T]) Less(i, j int) bool { return h.less(&h.rows[i].v, &h.rows[j].v) }
func (h *mergeHeap[T]) Swap(i, j int)      { h.rows[i], h.rows[j] = h.rows[j], h.rows[i] }
func (h *mergeHeap[T]) Push(x any)         { h.rows = append(h.rows, x.(heapRow[T])) }
func (h *mergeHeap[T]) Pop() any {
	last := h.rows[len(h.rows)-1]
	h.rows = h.rows[:len(h.rows)-1]
	return last
}

// newMergeHeap reads the first value of each list.
func newMergeHeap[T any](in []sorted[T], less func(a, b *T) bool) (*mergeHeap[T], error) {
	h := &mergeHeap[T]{less: less}
	for _, next := range in {
		v, ok, err := next()
		if err != nil {
			return nil, err
		}
		if ok {
			h.rows = append(h.rows, heapRow[T]{v, next})
		}
	}
	heap.Init(h)
	return h, nil
}

// advance takes the least value away.
func (h *mergeHeap[T]) advance() error {
	v, ok, err := h.rows[0].next()
	if err != nil {
		return err
	}
	if !ok {
		heap.Pop(h)
		return nil
	}
	h.rows[0].v = v
	if len(h.rows) > 1 {
		heap.Fix(h, 0)
	}
	return nil
}

// Twice counts, by type byte, the entries that are marked New in run files and
// are not the first of their record there: what a pull that did not look them
// up counted too often.
func (d *DB) Twice(ctx context.Context) (map[byte]int, error) {
	count := map[byte]int{}
	err := d.viewRuns(func(_ *bolt.Tx, files []*runFile) error {
		if len(files) < 2 {
			return nil
		}
		var in []source
		for _, r := range files {
			in = append(in, r.source(0))
		}
		return eachGroup(ctx, in, func(list []Entry) error {
			before := 0
			for i := range list {
				before += int(list[i].Flags & New)
			}
			if before > 1 {
				count[list[0].Key.Type()] += before - 1
			}
			return nil
		})
	})
	return count, err
}

// mergePatients writes the lists of the patients.
func (d *DB) mergePatients(ctx context.Context, out *builder, tx *bolt.Tx, runs []*runFile) error {
	c := tx.Bucket(bPatient).Cursor()
	next := c.First
	in := []sorted[patientList]{func() (patientList, bool, error) {
		k, v := next()
		next = c.Next
		value, err := checked(k, v)
		return patientList{k, value}, k != nil, err
	}}
	for _, r := range runs {
		in = append(in, r.patientLists())
	}
	h, err := newMergeHeap(in, func(a, b *patientList) bool { return bytes.Compare(a.key, b.key) < 0 })
	if err != nil {
		return err
	}
	for n := 0; h.Len() > 0; n++ {
		if n%batch == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		top := h.rows[0].v
		if err := out.with(func(tx *bolt.Tx) error {
			return put(tx.Bucket(bPatient), top.key, top.value)
		}); err != nil {
			return err
		}
		if err := h.advance(); err != nil {
			return err
		}
	}
	return nil
}

// A patientList is a packed list of one patient in one part.
type patientList struct{ key, value []byte }

// patientLists packs the patient rows of a run file.
func (r *runFile) patientLists() sorted[patientList] {
	rows := r.patients()
	row, err := rows.next()
	return func() (patientList, bool, error) {
		for err == nil && row != nil && Patient(row[:8]) == (Patient{}) {
			row, err = rows.next()
		}
		if err != nil || row == nil {
			return patientList{}, false, err
		}
		p, line := patientAt(row)
		key := binary.BigEndian.AppendUint32(append([]byte{}, p[:]...), line.Part)
		var value []byte
		for err == nil && row != nil {
			of, l := patientAt(row)
			if of != p || l.Part != line.Part {
				break
			}
			value = packPatientLine(value, l.Type, l.Frame, l.Line)
			row, err = rows.next()
		}
		return patientList{key, value}, true, err
	}
}

// A builder fills a new index file with rows in ascending order, without a
// sync until the end.
type builder struct {
	db *bolt.DB
	tx *bolt.Tx
	n  int
}

func newBuilder(path string) (*builder, error) {
	db, err := bolt.Open(path, 0o600, boltOptions())
	if err != nil {
		return nil, fmt.Errorf("create the new index: %w", err)
	}
	db.NoSync, db.NoFreelistSync, db.AllocSize = true, true, allocSize
	b := &builder{db: db}
	return b, b.with(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
}

// with runs fn in the transaction at hand and begins a new one when that has
// become large.
func (b *builder) with(fn func(*bolt.Tx) error) error {
	if b.tx != nil && b.n >= batch {
		if err := b.tx.Commit(); err != nil {
			return err
		}
		b.tx, b.n = nil, 0
	}
	if b.tx == nil {
		tx, err := b.db.Begin(true)
		if err != nil {
			return err
		}
		for _, name := range [][]byte{bCurrent, bVersions, bPatient, bTree} {
			if bucket := tx.Bucket(name); bucket != nil {
				bucket.FillPercent = 0.95
			}
		}
		b.tx = tx
	}
	b.n++
	return fn(b.tx)
}

// putRow puts a row whose bytes stay as they are until the end of the merge.
func (b *builder) putRow(bucket, k, v []byte) error {
	return b.with(func(tx *bolt.Tx) error { return tx.Bucket(bucket).Put(k, v) })
}

func (b *builder) putRaw(bucket, k, v []byte) error {
	return b.with(func(tx *bolt.Tx) error {
		return tx.Bucket(bucket).Put(bytes.Clone(k), bytes.Clone(v))
	})
}

// close commits what is left, if keep is set, syncs and closes the file.
func (b *builder) close(keep bool) error {
	var err error
	if b.tx != nil && keep {
		err = b.tx.Commit()
	} else if b.tx != nil {
		err = b.tx.Rollback()
	}
	if keep && err == nil {
		b.db.NoFreelistSync = false
		err = b.db.Update(func(*bolt.Tx) error { return nil })
	}
	if keep && err == nil {
		err = b.db.Sync()
	}
	return errors.Join(err, b.db.Close())
}
