package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"chartcellar/store/disk"
	"chartcellar/store/index"
)

// A Proof shows that a line was in the mirror when a checkpoint was signed, and
// shows no other line: of its neighbours it has hashes only (archive.md 4).
type Proof struct {
	Line       []byte   `json:"line"`
	Salt       []byte   `json:"salt"`   // of the line's frame
	Hashes     [][]byte `json:"hashes"` // of every line of the frame: SHA-256(salt, line)
	At         int      `json:"at"`     // which of them is this line's
	Leaf       int64    `json:"leaf"`   // number of the frame's leaf in the log
	Path       [][]byte `json:"path"`   // RFC 6962 audit path
	Checkpoint []byte   `json:"checkpoint"`
}

// Prove makes the proof of the newest version of a record, against the last
// checkpoint. It needs a key.
func (m *Mirror) Prove(ctx context.Context, k Key) (Proof, error) {
	s, err := m.Now()
	if err != nil {
		return Proof{}, err
	}
	v, err := s.Latest(ctx, k)
	if err != nil {
		return Proof{}, err
	}
	list, err := s.versions(k)
	if err != nil {
		return Proof{}, err
	}
	e := list[len(list)-1]
	for _, one := range list {
		if one.Part == v.Part && one.Length == uint32(len(v.Raw)) && s.states.Counts(&one) {
			e = one
		}
	}
	return m.prove(e, v.Raw)
}

func (m *Mirror) prove(e index.Entry, line []byte) (Proof, error) {
	part, _, err := m.index.Part(e.Part)
	if err != nil {
		return Proof{}, err
	}
	open, err := m.usePart(e.Part)
	if err != nil {
		return Proof{}, err
	}
	defer m.cache.release(open)
	f, err := m.frame(e.Part, int(e.Frame))
	if err != nil {
		return Proof{}, err
	}
	info := open.Footer.Frames[e.Frame]
	p := Proof{Line: line, Salt: info.Salt, At: int(e.Line),
		Leaf: part.Leaves - int64(len(open.Footer.Frames)) - 1 + int64(e.Frame)}
	for plain := f.plain; len(plain) > 0; {
		raw, rest := cutLine(plain)
		plain = rest
		p.Hashes = append(p.Hashes, lineHash(info.Salt, raw))
	}
	n, err := m.Checkpoints()
	if err != nil {
		return Proof{}, err
	}
	c, err := m.ReadCheckpoint(n)
	if err != nil {
		return Proof{}, err
	}
	path, err := m.index.Prove(c.Size, p.Leaf)
	if err != nil {
		return Proof{}, fmt.Errorf("prove a record: %w", err)
	}
	for _, h := range path {
		p.Path = append(p.Path, h[:])
	}
	p.Checkpoint, err = disk.ReadFile(m.fs, m.path(checkpointName(n)), 256<<20)
	return p, err
}

func lineHash(salt, raw []byte) []byte {
	sum := sha256.Sum256(append(append([]byte{}, salt...), raw...))
	return sum[:]
}

// Check checks a proof with nothing but the public log key of the mirror. An
// error wraps ErrDamaged.
func (p Proof) Check(vkey string) error {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return fmt.Errorf("check a proof: the log key is none: %w", ErrDamaged)
	}
	n, err := note.Open(p.Checkpoint, note.VerifierList(v))
	if err != nil {
		return fmt.Errorf("check a proof: the checkpoint is not signed: %w", ErrDamaged)
	}
	lines := strings.SplitN(n.Text, "\n", 4)
	if len(lines) < 4 {
		return fmt.Errorf("check a proof: the checkpoint is cut: %w", ErrDamaged)
	}
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + lines[1] + "\n" + lines[2] + "\n"))
	if err != nil || p.At < 0 || p.At >= len(p.Hashes) || !bytes.Equal(p.Hashes[p.At], lineHash(p.Salt, p.Line)) {
		return fmt.Errorf("check a proof: the line is not the one that was hashed: %w", ErrDamaged)
	}
	path := make(tlog.RecordProof, len(p.Path))
	for i, h := range p.Path {
		if len(h) != tlog.HashSize {
			return fmt.Errorf("check a proof: the path is cut: %w", ErrDamaged)
		}
		path[i] = tlog.Hash(h)
	}
	leaf := tlog.RecordHash(bytes.Join(p.Hashes, nil))
	if err := tlog.CheckRecord(path, tree.N, tree.Hash, p.Leaf, leaf); err != nil {
		return fmt.Errorf("check a proof: the line is not in the log: %w", ErrDamaged)
	}
	return nil
}
