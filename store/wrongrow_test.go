package store_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/verify"
)

// A rowBreak changes a bucket so that every row's checksum is right.
type rowBreak struct {
	name   string
	bucket string
	change func(*bolt.Tx, *bolt.Bucket) error
}

var rowBreaks = func() (list []rowBreak) {
	flip := func(at int) func(*bolt.Tx, *bolt.Bucket) error {
		return func(_ *bolt.Tx, b *bolt.Bucket) error {
			k, v := b.Cursor().First()
			value := bytes.Clone(v[:len(v)-4])
			value[at] ^= 1
			return putRow(b, bytes.Clone(k), value)
		}
	}
	for at, what := range map[int]string{8: "length", 12: "flags", 13: "fingerprint", 30: "time", 40: "patient", 45: "run"} {
		list = append(list, rowBreak{"another " + what, "current", flip(at)},
			rowBreak{"another " + what + " of a version", "versions", flip(at)})
	}
	move := func(from, to string) func(*bolt.Tx, *bolt.Bucket) error {
		return func(tx *bolt.Tx, b *bolt.Bucket) error {
			k, v := b.Cursor().Last()
			return putRow(tx.Bucket([]byte(to)), bytes.Clone(k), bytes.Clone(v[:len(v)-4]))
		}
	}
	drop := func(_ *bolt.Tx, b *bolt.Bucket) error {
		k, _ := b.Cursor().Last()
		return b.Delete(bytes.Clone(k))
	}
	return append(list,
		rowBreak{"a record is gone", "current", drop},
		rowBreak{"a version is gone", "versions", drop},
		rowBreak{"a patient is gone", "patient", drop},
		rowBreak{"another place in a patient's list", "patient", flip(3)},
		rowBreak{"a version also waits", "versions", move("versions", "pending")},
		rowBreak{"another hash in the log", "tree", flip(3)},
	)
}()

func putRow(b *bolt.Bucket, k, value []byte) error {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Checksum(k, table), table, value)
	return b.Put(k, binary.LittleEndian.AppendUint32(value, sum))
}

// TestWrongRows: a full verify finds every row of the index that is not what the
// archive says, though its checksum is right.
func TestWrongRows(t *testing.T) {
	base := history(t)
	for _, row := range rowBreaks {
		t.Run(row.bucket+": "+row.name, func(t *testing.T) {
			p := base.copyTo(t, disk.OS{})
			db, err := bolt.Open(filepath.Join(p.dir, "index.db"), 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bolt.Tx) error { return row.change(tx, tx.Bucket([]byte(row.bucket))) })
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			m, err := store.Open(t.Context(), p.options())
			if err != nil {
				return // found at once
			}
			defer m.Close()
			if r, err := verify.Run(t.Context(), m, verify.Options{Depth: verify.Full}); err != nil || r.Good() {
				t.Errorf("full verify = %+v, %v; want damage in index.db", r, err)
			}
		})
	}
}

// BenchmarkFullVerify reads a mirror of 20,000 records whole.
func BenchmarkFullVerify(b *testing.B) {
	p := newPractice(b)
	pullMany(b, p, 20_000)
	var plain int64
	for b.Loop() {
		r, err := verify.Run(b.Context(), p.m, verify.Options{Depth: verify.Full})
		if err != nil || !r.Good() {
			b.Fatalf("verify = %+v, %v", r, err)
		}
		plain = r.Plain
	}
	b.SetBytes(plain)
}

// BenchmarkPull brings 20,000 records into an empty mirror.
func BenchmarkPull(b *testing.B) {
	var bytes int64
	for b.Loop() {
		bytes = pullMany(b, newPractice(b), 20_000)
	}
	b.SetBytes(bytes)
}

// manyMore makes a record about as long as an Observation of an EMR.
var manyMore = `,"status":"final","category":[` + strings.Repeat(`{"coding":[{"system":`+
	`"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}]},`, 10) + `{}]`

// pullMany brings n new records in, in chunks as a download gives them.
func pullMany(t testing.TB, p *practice, n int) (size int64) {
	t.Helper()
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	var chunk []byte
	for i := range n {
		chunk = append(append(chunk, obs(fmt.Sprint("many-", i), i, manyMore)...), '\n')
		if len(chunk) > 256<<10 || i == n-1 {
			size += int64(len(chunk))
			if err := r.Add(t.Context(), store.Chunk{Lines: chunk}); err != nil {
				t.Fatal(err)
			}
			chunk = nil
		}
	}
	counts, err := r.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts}); err != nil {
		t.Fatal(err)
	}
	return size
}
