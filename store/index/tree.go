package index

import (
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"
)

// sizeKey is where the bucket tree keeps the number of leaves.
var sizeKey = []byte("size")

func treeKey(i int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

func treeSize(tx *bolt.Tx) (int64, error) {
	v, err := get(tx.Bucket(bTree), sizeKey)
	if err != nil || v == nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("size of the log: %w", ErrBad)
	}
	return int64(binary.BigEndian.Uint64(v)), nil
}

func treeReader(tx *bolt.Tx) tlog.HashReader {
	return tlog.HashReaderFunc(func(list []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(list))
		for i, n := range list {
			v, err := get(tx.Bucket(bTree), treeKey(n))
			if err != nil {
				return nil, err
			}
			if len(v) != tlog.HashSize {
				return nil, fmt.Errorf("hash %d of the log is missing: %w", n, ErrBad)
			}
			out[i] = tlog.Hash(v)
		}
		return out, nil
	})
}

// appendLeaves adds leaves to the log and returns its new size.
func appendLeaves(tx *bolt.Tx, leaves []tlog.Hash) (int64, error) {
	size, err := treeSize(tx)
	if err != nil {
		return 0, err
	}
	b, r := tx.Bucket(bTree), treeReader(tx)
	for _, leaf := range leaves {
		hashes, err := tlog.StoredHashesForRecordHash(size, leaf, r)
		if err != nil {
			return 0, fmt.Errorf("extend the log: %w", err)
		}
		at := tlog.StoredHashIndex(0, size)
		for i, h := range hashes {
			if err := put(b, treeKey(at+int64(i)), h[:]); err != nil {
				return 0, err
			}
		}
		size++
	}
	return size, put(b, sizeKey, treeKey(size))
}

// Tree returns the size and the root of the log.
func (d *DB) Tree() (size int64, root tlog.Hash, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		if size, err = treeSize(tx); err != nil {
			return err
		}
		root, err = tlog.TreeHash(size, treeReader(tx))
		return err
	})
	return size, root, err
}

// TreeAt returns the root the log had when it had size leaves.
func (d *DB) TreeAt(size int64) (root tlog.Hash, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		root, err = tlog.TreeHash(size, treeReader(tx))
		return err
	})
	return root, err
}

// Prove returns the proof that leaf n is in the log of that size.
func (d *DB) Prove(size, n int64) (proof tlog.RecordProof, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		proof, err = tlog.ProveRecord(size, n, treeReader(tx))
		return err
	})
	return proof, err
}
