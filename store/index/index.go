// Package index says where every version of every record lies in the archive:
// a bbolt file that can be made again from the parts at any time.
//
// It holds no record, and no name, id, date or code in clear: keys are keyed
// hashes, lists are sealed by the box key. It also keeps what one commit must
// make durable together with a part: job progress, gaps, cursors, run states and
// the hashes of the Merkle log (archive.md 5 and 6). Only one process has it
// open.
package index

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"chartcellar/store/disk"
)

// Format is the number of the index's layout. Another number means: rebuild.
const Format = 2

var (
	// ErrBad says that the index is not what the archive says: it is to be
	// rebuilt. Nothing is lost by that.
	ErrBad = errors.New("the index does not match the archive")
	// ErrFormat is an ErrBad: the index is good, but of an earlier release.
	ErrFormat = fmt.Errorf("the index is of another format: %w", ErrBad)
	// ErrHeld says that another process has the index open.
	ErrHeld = errors.New("the index is open in another process")
)

var (
	bMeta     = []byte("meta")
	bCurrent  = []byte("current")
	bVersions = []byte("versions")
	bPending  = []byte("pending")
	bPatient  = []byte("patient")
	bParts    = []byte("parts")
	bTree     = []byte("tree")
	bRuns     = []byte("runs")
	bProgress = []byte("progress")
	bCursors  = []byte("cursors")
	bGaps     = []byte("gaps")
	bJobs     = []byte("jobs")
	bWanted   = []byte("wanted")
	bLinks    = []byte("links")
	bBlobs    = []byte("blobs")
	bAbsent   = []byte("absent")
	bHoldings = []byte("holdings")

	// copied are the buckets that a merge takes over as they are.
	copied = [][]byte{bMeta, bTree, bRuns, bProgress, bCursors, bGaps, bJobs, bWanted, bLinks,
		bBlobs, bAbsent, bHoldings}
	buckets = append([][]byte{bCurrent, bVersions, bPending, bPatient, bParts}, copied...)
)

// A Sealer seals small values; the box key is one.
type Sealer interface {
	Seal(purpose string, plain []byte) ([]byte, error)
	Open(purpose string, sealed []byte) ([]byte, error)
}

// Options say where the index is and how it hides what it holds.
type Options struct {
	FS        disk.FS
	Root      string   // the data folder; the file is Root/index.db
	MirrorKey [32]byte // from which the hash keys are derived
	Seal      Sealer
	Mirror    string // the mirror's UUID: an index of another mirror is refused
}

// A DB is an open index. Its methods may be called from many goroutines;
// those that change it wait for each other.
type DB struct {
	fs   disk.FS
	root string
	path string // of the file
	runs string // folder of the run files below root
	seal Sealer
	id   string
	keys derived
	aes  cipher.Block

	// write is held by whoever changes the index, from the first read its
	// change depends on to the end of the transaction.
	write sync.Mutex

	// mu covers db, which Merge replaces. It is held for reading during each
	// transaction.
	mu sync.RWMutex
	db *bolt.DB

	// changes is how often the index has changed.
	changes atomic.Uint64

	// stateMu covers what is kept in memory beside the file.
	stateMu sync.Mutex
	states  States
	heads   map[uint32]RunState // of all runs, without Record and Certificate
	list    []RunInfo           // of heads, newest first; nil: to be made again
	sizes   []PartSize          // of all parts, in order; grows only
	files   map[uint32]bool     // parts whose entries are still in a run file
	lost    map[uint32]bool     // parts that were declared lost; replaced, never changed
	pending bool                // whether the bucket pending holds anything
	empty   bool                // whether the bucket current holds nothing
}

type derived struct{ record, name []byte }

// FingerprintKey derives the key of the fingerprints from the mirror key.
func FingerprintKey(mirrorKey [32]byte) [32]byte {
	return [32]byte(derive(mirrorKey, "fingerprint"))
}

// PatientKey derives the key under which journal lines hash a patient.
func PatientKey(mirrorKey [32]byte) [32]byte {
	return [32]byte(derive(mirrorKey, "journal patient"))
}

// AttachmentKey derives the key of the names of attachment files.
func AttachmentKey(mirrorKey [32]byte) [32]byte {
	return [32]byte(derive(mirrorKey, "attachment name"))
}

// AddressKey derives the key of what must not be read in the address of a page.
func AddressKey(mirrorKey [32]byte) [32]byte {
	return [32]byte(derive(mirrorKey, "page address"))
}

func derive(mirrorKey [32]byte, purpose string) []byte {
	k, err := hkdf.Expand(sha256.New, mirrorKey[:], "chartcellar 1 "+purpose, 32)
	if err != nil {
		panic(err) // only for lengths that are no constant
	}
	return k
}

// Path returns the file of the index below the data folder root.
func Path(root string) string { return root + string(os.PathSeparator) + "index.db" }

// Open opens the index, which must exist unless create is set. It returns
// ErrBad if the file is damaged, of another mirror or of another format, and
// ErrHeld if another process has it open.
func Open(o Options, create bool) (*DB, error) {
	return open(o, Path(o.Root), "index.runs", create)
}

func open(o Options, path, runs string, create bool) (*DB, error) {
	d := &DB{fs: o.FS, root: o.Root, path: path, runs: runs, seal: o.Seal, id: o.Mirror}
	d.keys = derived{derive(o.MirrorKey, "record"), derive(o.MirrorKey, "name")}
	var err error
	d.aes, err = aes.NewCipher(derive(o.MirrorKey, "last updated")[:16])
	if err != nil {
		return nil, fmt.Errorf("make the index cipher: %w", err)
	}
	if err := d.open(path, create); err != nil {
		return nil, err
	}
	if err := d.load(); err != nil {
		d.db.Close() // nothing was written
		return nil, err
	}
	return d, nil
}

func (d *DB) open(path string, create bool) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Size() == 0 && !create:
		return fmt.Errorf("open the index: it is empty: %w", ErrBad)
	case errors.Is(err, os.ErrNotExist) && !create:
		return fmt.Errorf("open the index: it is missing: %w", ErrBad)
	}
	d.db, err = bolt.Open(path, 0o600, boltOptions())
	if errors.Is(err, berrors.ErrTimeout) {
		return ErrHeld
	}
	if err != nil {
		return fmt.Errorf("open the index: %v: %w", err, ErrBad)
	}
	d.db.AllocSize = allocSize
	if create {
		return d.db.Update(d.create)
	}
	return d.addHoldings()
}

// addHoldings makes the bucket that an index of a release without holdings lacks.
func (d *DB) addHoldings() error {
	lacks := false
	err := d.db.View(func(tx *bolt.Tx) error {
		lacks = tx.Bucket(bMeta) != nil && tx.Bucket(bHoldings) == nil
		return nil
	})
	if err != nil || !lacks {
		return err
	}
	return d.db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket(bHoldings)
		return err
	})
}

// allocSize is by how much the file grows at a time: bbolt's 16 MiB would be
// most of a small practice's index.
const allocSize = 1 << 20

// boltOptions are those of deps.md 7.
func boltOptions() *bolt.Options {
	o := *bolt.DefaultOptions
	o.Timeout = 500 * time.Millisecond
	o.FreelistType = bolt.FreelistMapType
	if runtime.GOOS == "linux" {
		o.InitialMmapSize = 64 << 20
	}
	return &o
}

func (d *DB) create(tx *bolt.Tx) error {
	for _, b := range buckets {
		if _, err := tx.CreateBucketIfNotExists(b); err != nil {
			return err
		}
	}
	if err := put(tx.Bucket(bMeta), []byte("format"), []byte{Format}); err != nil {
		return err
	}
	return put(tx.Bucket(bMeta), []byte("mirror"), []byte(d.id))
}

// load reads what is kept in memory and checks that the file is ours.
func (d *DB) load() error {
	d.states, d.heads = States{}, map[uint32]RunState{}
	d.list, d.sizes = nil, nil
	d.files, d.lost = map[uint32]bool{}, map[uint32]bool{}
	return d.db.View(func(tx *bolt.Tx) error {
		if err := checkFormat(tx); err != nil {
			return err
		}
		for _, b := range buckets {
			if tx.Bucket(b) == nil {
				return fmt.Errorf("index without %s: %w", b, ErrBad)
			}
		}
		id, err := get(tx.Bucket(bMeta), []byte("mirror"))
		if err != nil || string(id) != d.id {
			return fmt.Errorf("index of another mirror: %w", ErrBad)
		}
		return d.loadState(tx)
	})
}

func checkFormat(tx *bolt.Tx) error {
	b := tx.Bucket(bMeta)
	if b == nil {
		return fmt.Errorf("index without %s: %w", bMeta, ErrBad)
	}
	format, err := get(b, []byte("format"))
	if err == nil && len(format) == 1 && format[0] != Format {
		err = ErrFormat
	}
	return err
}

func (d *DB) loadState(tx *bolt.Tx) error {
	err := d.eachRun(tx, func(n uint32, r RunState) error {
		d.states[n], d.heads[n] = r.States, r.head()
		return nil
	})
	if err != nil {
		return err
	}
	err = eachPart(tx, func(p Part) error {
		if p.RunFile != ([32]byte{}) {
			d.files[p.Number] = true
		}
		if p.Lost > 0 {
			d.lost[p.Number] = true
		}
		d.sizes = append(d.sizes, p.brief())
		return nil
	})
	d.refresh(tx)
	return err
}

// refresh notes which buckets hold nothing, so that lookups can skip them.
func (d *DB) refresh(tx *bolt.Tx) {
	k, _ := tx.Bucket(bPending).Cursor().First()
	d.pending = k != nil
	k, _ = tx.Bucket(bCurrent).Cursor().First()
	d.empty = k == nil
}

// Close closes the file.
func (d *DB) Close() error {
	d.write.Lock()
	defer d.write.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.db.Close()
}

// view runs fn in a short read transaction.
func (d *DB) view(fn func(*bolt.Tx) error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.db.View(fn)
}

// Generation grows with every change of the index, and with a merge, once every method
// gives what has changed: what was read after Generation is not older than that.
func (d *DB) Generation() uint64 { return d.changes.Load() }

// update runs fn in a write transaction that is durable when it returns nil.
// The caller holds d.write.
func (d *DB) update(fn func(*bolt.Tx) error) error {
	defer d.changes.Add(1)
	return d.transact(fn)
}

// transact is update for a change that is not seen yet: Generation does not grow.
func (d *DB) transact(fn func(*bolt.Tx) error) error {
	if err := d.fs.Point("before index commit"); err != nil {
		return err
	}
	d.mu.RLock()
	err := d.db.Update(fn)
	d.mu.RUnlock()
	if err != nil {
		return err
	}
	return d.fs.Point("after index commit")
}

// States returns a copy of the run states as they are now.
func (d *DB) States() States {
	states, _ := d.Now()
	return states
}

// Now returns a copy of the run states, and the number of the newest part that they are
// of, 0 in an empty mirror: every method knows all that this part and those before it
// brought.
func (d *DB) Now() (states States, part uint32) {
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	if n := len(d.sizes); n > 0 {
		part = d.sizes[n-1].Number
	}
	return maps.Clone(d.states), part
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// put stores a value with a CRC over key and value, because bbolt has none.
func put(b *bolt.Bucket, key, value []byte) error {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
	v := make([]byte, 0, len(value)+4)
	v = binary.LittleEndian.AppendUint32(append(v, value...), sum)
	return b.Put(key, v)
}

// get returns the value of key, valid during the transaction; nil if there is
// none.
func get(b *bolt.Bucket, key []byte) ([]byte, error) {
	return checked(key, b.Get(key))
}

// checked takes the CRC off a value.
func checked(key, v []byte) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	if len(v) < 4 {
		return nil, fmt.Errorf("index value too short: %w", ErrBad)
	}
	value := v[:len(v)-4]
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
	if sum != binary.LittleEndian.Uint32(v[len(value):]) {
		return nil, fmt.Errorf("index value with a wrong checksum: %w", ErrBad)
	}
	return value, nil
}

// Probe looks at an index file as a whole before it is used: a damaged bbolt
// file can end the process when it is read, so the reading is done with faults
// turned into panics, and those into ErrBad. It returns ErrHeld if another
// process has the file open. A file that was closed cleanly is not probed.
func Probe(path string) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("probe the index: %v: %w", r, ErrBad)
		}
	}()
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		return fmt.Errorf("probe the index: it is missing or empty: %w", ErrBad)
	}
	o := boltOptions()
	o.ReadOnly = true
	db, err := bolt.Open(path, 0o600, o)
	if errors.Is(err, berrors.ErrTimeout) {
		return ErrHeld
	}
	if err != nil {
		return fmt.Errorf("probe the index: %v: %w", err, ErrBad)
	}
	defer db.Close() // read only
	return db.View(func(tx *bolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("probe the index: the file is cut: %w", ErrBad)
		}
		if err := checkFormat(tx); err != nil || clean(tx) {
			return err
		}
		return walk(tx)
	})
}

// walk reads every row and checks its checksum.
func walk(tx *bolt.Tx) error {
	for _, name := range buckets {
		b := tx.Bucket(name)
		if b == nil {
			return fmt.Errorf("index without %s: %w", name, ErrBad)
		}
		err := b.ForEach(func(k, v []byte) error {
			_, err := checked(k, v)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// clean reports whether the file was closed by Close of a mirror.
func clean(tx *bolt.Tx) bool {
	b := tx.Bucket(bMeta)
	if b == nil {
		return false
	}
	v, err := get(b, []byte("clean"))
	return err == nil && len(v) == 1 && v[0] == 1
}
