package archive

import (
	"errors"

	"golang.org/x/mod/sumdb/tlog"
)

// A Log is the Merkle log as the parts themselves give it, in memory. It is used by one
// goroutine.
type Log struct {
	hashes []tlog.Hash
	size   int64
}

// Add adds the leaves of the next part.
func (l *Log) Add(leaves []tlog.Hash) {
	for _, leaf := range leaves {
		more, err := tlog.StoredHashesForRecordHash(l.size, leaf, l)
		if err != nil {
			return // the size is wrong then, and Root says so
		}
		l.hashes = append(l.hashes, more...)
		l.size++
	}
}

// Size returns how many leaves there are.
func (l *Log) Size() int64 { return l.size }

// Root returns the root the log had when it had size leaves; an error if it never had so
// many.
func (l *Log) Root(size int64) (tlog.Hash, error) { return tlog.TreeHash(size, l) }

// ReadHashes implements tlog.HashReader.
func (l *Log) ReadHashes(at []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range at {
		if i >= int64(len(l.hashes)) {
			return nil, errors.New("no such hash")
		}
		out = append(out, l.hashes[i])
	}
	return out, nil
}
