package access

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"chartcellar/store/disk"
)

// Format is the number of the layout of access.db.
const Format = 1

// fileName is that of the file below the data folder.
const fileName = "access.db"

// The buckets. All but the sessions are under the digest.
const (
	bMeta      = "meta"
	bAccounts  = "accounts"
	bNames     = "names"
	bSlots     = "slots"
	bEmergency = "emergency"
	bSessions  = "sessions"
)

func digested() []string { return []string{bMeta, bAccounts, bNames, bSlots, bEmergency} }

// The rows of bMeta.
const (
	kFormat = "format"
	kID     = "id"     // drawn when the file was made; the marker has it too
	kDigest = "digest" // over all rows but the sessions, so that a lost row is found
	kSetup  = "setup"  // the setup code
	kIdle   = "idle "  // with a role: its idle time
)

// A file is an open access.db. It may be used by many goroutines.
type file struct {
	fs     disk.FS
	bolt   *bolt.DB
	broken atomic.Bool // a write went wrong: nothing more is written
	fault  atomic.Bool // the file was cut while it was open
}

// boltOptions are those of deps.md 7; the file that bbolt opens is noted in f,
// so that it can be closed when bbolt breaks over it.
func boltOptions(f **os.File) *bolt.Options {
	o := *bolt.DefaultOptions
	o.Timeout = 500 * time.Millisecond
	o.FreelistType = bolt.FreelistMapType
	o.MaxSize = 256 << 20
	if runtime.GOOS == "linux" {
		o.InitialMmapSize = 1 << 20
	}
	o.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		opened, err := os.OpenFile(name, flag&^os.O_CREATE, mode)
		*f = opened
		return opened, err
	}
	return &o
}

// createFile makes a new file beside the final name and gives it that name, so
// that it is there whole or not at all. It returns the drawn id.
func createFile(fsys disk.FS, dir string) (id []byte, err error) {
	name := filepath.Join(dir, fileName)
	if err := disk.RemoveTemp(fsys, name+disk.TempSuffix); err != nil {
		return nil, err
	}
	id = random(16)
	o := boltOptions(new(*os.File))
	o.OpenFile = nil // make it
	b, err := bolt.Open(name+disk.TempSuffix, 0o600, o)
	if err != nil {
		return nil, fmt.Errorf("make the accounts: %w", err)
	}
	err = b.Update(func(tx *bolt.Tx) error {
		for _, n := range append(digested(), bSessions) {
			if _, err := tx.CreateBucketIfNotExists([]byte(n)); err != nil {
				return err
			}
		}
		if err := put(tx, bMeta, kFormat, []byte{Format}); err != nil {
			return err
		}
		if err := put(tx, bMeta, kID, id); err != nil {
			return err
		}
		return seal(tx)
	})
	if cerr := b.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("make the accounts: %w", err)
	}
	return id, disk.Commit(fsys, name+disk.TempSuffix, name)
}

// openFile opens an existing file and reads every row of it. It returns
// ErrMissing, ErrDamaged, ErrNewer or ErrHeld.
func openFile(fsys disk.FS, dir string) (f *file, err error) {
	name := filepath.Join(dir, fileName)
	info, err := fsys.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrMissing
	}
	if err != nil {
		return nil, fmt.Errorf("look for the accounts: %w", err)
	}
	if err := wholeFile(name, info.Size()); err != nil {
		return nil, err
	}
	var opened *os.File
	// A damaged file can make bbolt read where nothing is.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("open the accounts: %v: %w", r, ErrDamaged)
		}
		if err != nil && opened != nil {
			f = nil
			unlock(opened) // bbolt's map of the file would go on holding it
			opened.Close() // nothing was written
		}
	}()
	b, err := bolt.Open(name, 0o600, boltOptions(&opened))
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, ErrHeld
	}
	if err != nil {
		return nil, fmt.Errorf("open the accounts: %v: %w", err, ErrDamaged)
	}
	b.AllocSize = 64 << 10
	if err := b.View(checkAll); err != nil {
		b.Close() // nothing was written
		return nil, err
	}
	return &file{fs: fsys, bolt: b}, nil
}

// wholeFile finds a file that is cut: bbolt would fault over it. The first page
// or, if that is damaged, the second says how many pages are in use.
func wholeFile(name string, size int64) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("open the accounts: %w", err)
	}
	defer f.Close() // read only
	most := int64(-1)
	for _, at := range []int64{0, int64(os.Getpagesize())} {
		m := make([]byte, 80) // header of 16 bytes, then meta
		if _, err := f.ReadAt(m, at); err != nil {
			continue
		}
		le := binary.LittleEndian
		h := fnv.New64a()
		h.Write(m[16:72])
		if le.Uint32(m[16:]) == 0xED0CDAED && le.Uint64(m[72:]) == h.Sum64() {
			pages := int64(min(le.Uint64(m[16+40:]), 1<<32))
			most = max(most, pages*int64(le.Uint32(m[24:])))
		}
	}
	if most < 0 || most > size {
		return fmt.Errorf("open the accounts: the file is empty or cut: %w", ErrDamaged)
	}
	return nil
}

func checkAll(tx *bolt.Tx) error {
	if tx.Bucket([]byte(bMeta)) == nil {
		return fmt.Errorf("accounts without %s: %w", bMeta, ErrDamaged)
	}
	v, err := get(tx, bMeta, kFormat)
	if err != nil {
		return err
	}
	if len(v) == 1 && v[0] > Format {
		return ErrNewer
	}
	for _, name := range append(digested(), bSessions) {
		b := tx.Bucket([]byte(name))
		if b == nil {
			return fmt.Errorf("accounts without %s: %w", name, ErrDamaged)
		}
		err := b.ForEach(func(k, v []byte) error {
			_, err := checked(name, k, v)
			return err
		})
		if err != nil {
			return err
		}
	}
	sum, err := get(tx, bMeta, kDigest)
	if err == nil && !bytes.Equal(sum, digest(tx)) {
		err = fmt.Errorf("a row of the accounts is lost or of another time: %w", ErrDamaged)
	}
	return err
}

// digest covers every row but the sessions and itself.
func digest(tx *bolt.Tx) []byte {
	h := sha256.New()
	row := func(b []byte) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	for _, name := range digested() {
		row([]byte(name))
		c := tx.Bucket([]byte(name)).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if name == bMeta && string(k) == kDigest {
				continue
			}
			row(k)
			row(v)
		}
	}
	return h.Sum(nil)
}

func seal(tx *bolt.Tx) error { return put(tx, bMeta, kDigest, digest(tx)) }

// view runs fn in a short read transaction. A file that was cut from outside is an
// error, not the end of the process.
func (f *file) view(fn func(*bolt.Tx) error) (err error) {
	if f.fault.Load() {
		return fmt.Errorf("read the accounts: the file was cut: %w", ErrDamaged)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer f.cut(&err)
	return f.bolt.View(fn)
}

// cut makes ErrDamaged of a fault that came from reading where nothing is any more.
func (f *file) cut(err *error) {
	switch r := recover(); {
	case r == nil:
	case isFault(r):
		f.broken.Store(true)
		f.fault.Store(true)
		*err = fmt.Errorf("read the accounts: %v: %w", r, ErrDamaged)
	default:
		panic(r)
	}
}

// isFault tells a fault of memory from a panic of ours.
func isFault(r any) bool {
	_, ok := r.(interface{ Addr() uintptr })
	return ok
}

// update runs fn in a transaction that is durable when update returns nil. If
// it returns an error that is not fn's, the change may have been written all the
// same; nothing that is kept in memory may depend on it.
func (f *file) update(fn func(*bolt.Tx) error) (err error) {
	if f.broken.Load() {
		return ErrBroken
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer f.cut(&err)
	if err := f.fs.Point("before access commit"); err != nil {
		return fmt.Errorf("write the accounts: %w", err)
	}
	var own error
	err = f.bolt.Update(func(tx *bolt.Tx) error {
		own = fn(tx)
		if own == nil {
			own = seal(tx)
		}
		return own
	})
	if own != nil {
		return own
	}
	if err != nil {
		f.broken.Store(true)
		return fmt.Errorf("write the accounts: %w", err)
	}
	if err := f.fs.Point("after access commit"); err != nil {
		return fmt.Errorf("write the accounts: %w", err)
	}
	return nil
}

// close closes the file. One that was cut stays open until the process ends: bbolt
// may hold its own locks for ever.
func (f *file) close() error {
	if f.fault.Load() {
		return ErrDamaged
	}
	return f.bolt.Close()
}

// sum is a CRC over bucket, key and value, because bbolt has none.
func sum(bucket string, key, value []byte) uint32 {
	t := crc32.MakeTable(crc32.Castagnoli)
	s := crc32.Update(crc32.Checksum([]byte(bucket), t), t, key)
	return crc32.Update(s, t, value)
}

func put(tx *bolt.Tx, bucket, key string, value []byte) error {
	v := append(make([]byte, 0, len(value)+4), value...)
	v = binary.LittleEndian.AppendUint32(v, sum(bucket, []byte(key), value))
	return tx.Bucket([]byte(bucket)).Put([]byte(key), v)
}

func putJSON(tx *bolt.Tx, bucket, key string, row any) error {
	v, err := json.Marshal(row)
	if err != nil {
		return fmt.Errorf("write a row of the accounts: %w", err)
	}
	return put(tx, bucket, key, v)
}

func remove(tx *bolt.Tx, bucket, key string) error {
	return tx.Bucket([]byte(bucket)).Delete([]byte(key))
}

// get returns a value, valid during the transaction; nil if there is none.
func get(tx *bolt.Tx, bucket, key string) ([]byte, error) {
	return checked(bucket, []byte(key), tx.Bucket([]byte(bucket)).Get([]byte(key)))
}

// getJSON reports whether there is such a row.
func getJSON(tx *bolt.Tx, bucket, key string, row any) (bool, error) {
	v, err := get(tx, bucket, key)
	if v == nil || err != nil {
		return false, err
	}
	if err := json.Unmarshal(v, row); err != nil {
		return false, fmt.Errorf("a row of the accounts is no JSON: %w", ErrDamaged)
	}
	return true, nil
}

// each calls fn with every row of a bucket in the order of the keys.
func each[T any](tx *bolt.Tx, bucket string, fn func(key string, row T) error) error {
	return tx.Bucket([]byte(bucket)).ForEach(func(k, v []byte) error {
		v, err := checked(bucket, k, v)
		if err != nil {
			return err
		}
		var row T
		if err := json.Unmarshal(v, &row); err != nil {
			return fmt.Errorf("a row of the accounts is no JSON: %w", ErrDamaged)
		}
		return fn(string(k), row)
	})
}

// checked takes the CRC off a value.
func checked(bucket string, key, v []byte) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	n := len(v) - 4
	if n < 0 || sum(bucket, key, v[:n]) != binary.LittleEndian.Uint32(v[n:]) {
		return nil, fmt.Errorf("a row of the accounts has a wrong checksum: %w", ErrDamaged)
	}
	return v[:n], nil
}
