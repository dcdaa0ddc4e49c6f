package index

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
)

// A Key stands for a record (source, type, id): one byte for the type, so that
// the records of a type lie together, and 15 bytes of a keyed hash.
type Key [16]byte

// Type returns the key's type byte.
func (k Key) Type() byte { return k[0] }

// Short returns the 8 bytes behind the type as a number, for lists of keys of one
// type.
func (k Key) Short() uint64 { return binary.BigEndian.Uint64(k[1:9]) }

// A Patient stands for a patient of a source: 8 bytes of the keyed hash of the
// Patient record; zero for none.
type Patient [8]byte

// A Loc is where a line lies: part, frame in it, line in that, from 0. Locs
// are ordered as the lines were committed.
type Loc struct {
	Part        uint32
	Frame, Line uint16
}

// Before reports whether a was committed before b.
func (a Loc) Before(b Loc) bool { return a.order() < b.order() }

func (a Loc) order() uint64 {
	return uint64(a.Part)<<32 | uint64(a.Frame)<<16 | uint64(a.Line)
}

// Flags say what kind of version an entry is.
type Flags uint8

// The flags.
const (
	// New marks the first version of a record: it is current when committed.
	New Flags = 1 << iota
	// Tombstone marks a version that says the source no longer has the record.
	Tombstone
	// Stale marks a version that arrived after a newer one in the same run
	// (P73): it is history at once.
	Stale
	// Duplicate marks a line equal to an earlier one of the same run: it is no
	// version of its own.
	Duplicate
	// Subsetted marks a version that the source says is not whole (P52): it is
	// kept and never current.
	Subsetted
)

// aside are the flags of lines that never count as a state of their record.
const aside = Stale | Duplicate | Subsetted

// An Entry is one version of one record.
type Entry struct {
	Key Key
	Loc
	Length      uint32 // of the line, without its newline
	Flags       Flags
	Fingerprint [16]byte
	Updated     int64 // meta.lastUpdated in Unix milliseconds; 0: none or unreadable
	Patient     Patient
	Run         uint32
}

const entryLen = 4 + 2 + 2 + 4 + 1 + 16 + 8 + 8 + 4

// appendEntry appends the value of e. The time is masked with a pad that
// depends on key and place, so that the file holds no date in clear.
func (d *DB) appendEntry(dst []byte, e *Entry) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, e.Part)
	dst = le.AppendUint16(dst, e.Frame)
	dst = le.AppendUint16(dst, e.Line)
	dst = le.AppendUint32(dst, e.Length)
	dst = append(dst, byte(e.Flags))
	dst = append(dst, e.Fingerprint[:]...)
	dst = le.AppendUint64(dst, uint64(e.Updated)^d.pad(e))
	dst = append(dst, e.Patient[:]...)
	return le.AppendUint32(dst, e.Run)
}

func (d *DB) parseEntry(key []byte, v []byte) (Entry, error) {
	if len(v) != entryLen || len(key) < len(Key{}) {
		return Entry{}, fmt.Errorf("index entry of a wrong length: %w", ErrBad)
	}
	le := binary.LittleEndian
	e := Entry{Key: Key(key[:16]), Length: le.Uint32(v[8:]), Flags: Flags(v[12]),
		Fingerprint: [16]byte(v[13:29]), Patient: Patient(v[37:45]), Run: le.Uint32(v[45:])}
	e.Loc = Loc{le.Uint32(v), le.Uint16(v[4:]), le.Uint16(v[6:])}
	e.Updated = int64(le.Uint64(v[29:]) ^ d.pad(&e))
	return e, nil
}

func (d *DB) pad(e *Entry) uint64 {
	b := [16]byte(e.Key)
	binary.LittleEndian.PutUint64(b[8:], binary.LittleEndian.Uint64(b[8:])^e.order())
	d.aes.Encrypt(b[:], b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// versionKey is the key of an entry in the buckets versions and pending.
func versionKey(e *Entry) []byte {
	k := make([]byte, 0, 24)
	return binary.BigEndian.AppendUint64(append(k, e.Key[:]...), e.order())
}

// A Hasher makes keys. It is used by one goroutine at a time.
type Hasher struct {
	mac     hash.Hash
	sum     []byte
	buf     []byte
	source  string
	last    string
	lastKey Patient
}

// Hasher returns a Hasher for the records of one source.
func (d *DB) Hasher(source string) *Hasher {
	return &Hasher{mac: hmac.New(sha256.New, d.keys.record), source: source}
}

// Key returns the key of the record (type, id).
func (h *Hasher) Key(typ, id []byte) Key {
	h.buf = append(append(h.buf[:0], h.source...), 0)
	h.buf = append(append(append(h.buf, typ...), 0), id...)
	h.mac.Reset()
	h.mac.Write(h.buf)
	h.sum = h.mac.Sum(h.sum[:0])
	k := Key(h.sum)
	k[0] = TypeByte(string(typ))
	return k
}

// Patient returns the patient hash of a patient id; zero for an empty id.
func (h *Hasher) Patient(id []byte) Patient {
	if len(id) == 0 {
		return Patient{}
	}
	if h.last != string(id) {
		k := h.Key([]byte("Patient"), id)
		h.last, h.lastKey = string(id), Patient(k[1:9])
	}
	return h.lastKey
}
