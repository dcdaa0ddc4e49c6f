package store

import (
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"chartcellar/store/archive"
	"chartcellar/store/index"
)

// What follows is for package verify: looking at files and parts as they are.

// Generation grows with every change of the index: what was derived from the mirror
// counts as long as it stays the same.
func (m *Mirror) Generation() uint64 { return m.index.Generation() }

// Parts returns what the index knows of every part, in order. Each has its file.
func (m *Mirror) Parts() ([]index.Part, error) {
	var list []index.Part
	err := m.index.EachPart(func(p index.Part) error {
		list = append(list, p)
		return nil
	})
	m.named()
	return list, err
}

// PartSizes returns how large each part is, with the files that it is the first to
// name, in order. The list must not be modified.
func (m *Mirror) PartSizes() []index.PartSize { return m.index.PartSizes() }

// SumFile returns the length and the SHA-256 of a file below the data folder.
func (m *Mirror) SumFile(name string) (size int64, sum [32]byte, err error) {
	return archive.Sum(m.fs, m.path(filepath.FromSlash(name)))
}

// TypeSizes returns the compressed bytes of all frames by resource type, but of
// those that were declared lost. It needs a key.
func (m *Mirror) TypeSizes() (map[string]int64, error) {
	sizes := map[string]int64{}
	parts, err := m.Parts()
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		if part.Lost > 0 {
			continue
		}
		p, err := m.usePart(part.Number)
		if err != nil {
			return nil, err
		}
		for _, f := range p.Footer.Frames {
			sizes[f.Type] += f.Size
		}
		m.cache.release(p)
	}
	return sizes, nil
}

// TreeAt returns the root the log had when it had size leaves.
func (m *Mirror) TreeAt(size int64) (tlog.Hash, error) { return m.index.TreeAt(size) }

// Tree returns the size and the root of the log.
func (m *Mirror) Tree() (size int64, root tlog.Hash, err error) { return m.index.Tree() }

// LogKey returns the public key that new checkpoints are signed with.
func (m *Mirror) LogKey() string { return m.Statement().LogKey }

// LogKeyAt returns the public key that signed a checkpoint: each time a restored
// folder was adopted, a new key began.
func (m *Mirror) LogKeyAt(checkpoint int) string { return m.Chain().LogKeyAt(checkpoint) }
