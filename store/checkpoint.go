package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"chartcellar/store/archive"
	"chartcellar/store/disk"
	"chartcellar/store/index"
)

// A Checkpoint is a signed head of the Merkle log (C2SP tlog-checkpoint), and
// the SHA-256 of every encrypted file since the one before.
type Checkpoint struct {
	Number int
	Size   int64
	Root   tlog.Hash
	Files  map[string][32]byte // by path below the data folder, with '/'
	// Certificates are the SHA-256 of the certificates of runs, by run.
	Certificates map[uint32][32]byte
}

// ShortRoot returns the root as it goes into reports: 16 hex digits.
func (c Checkpoint) ShortRoot() string { return hex.EncodeToString(c.Root[:8]) }

// maxCheckpoint bounds the file of a checkpoint.
const maxCheckpoint = 256 << 20

func checkpointName(n int) string {
	return filepath.Join("checkpoints", fmt.Sprintf("%012d", n))
}

// text is what is signed: origin, size, root, the certificates of the runs that
// ended, then the files as `sha256sum -c` reads them. It depends on the log alone, so that a crash can never lead to two
// heads of one size (I6).
func (c Checkpoint) text(origin string, parts []index.Part) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%d\n%s\n", origin, c.Size, c.Root)
	for _, n := range slices.Sorted(maps.Keys(c.Certificates)) {
		fmt.Fprintf(&b, "certificate %d %x\n", n, c.Certificates[n])
	}
	for _, p := range parts {
		name := filepath.ToSlash(archive.PartNumber(p.Number).Name())
		fmt.Fprintf(&b, "%x  %s\n", p.SHA256, name)
		for _, f := range p.Files {
			fmt.Fprintf(&b, "%x  %s\n", f.SHA256, f.Name)
		}
	}
	return b.String()
}

func (m *Mirror) origin() string { return "chartcellar/" + m.ID() }

// checkpointState is what the index remembers of the last checkpoint.
type checkpointState struct {
	Number int    `json:"number"`
	Part   uint32 `json:"part"` // the last part it covers
}

func (m *Mirror) lastCheckpoint() (checkpointState, error) {
	var s checkpointState
	b, err := m.index.Meta("checkpoint")
	if err == nil && b != nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}

// checkpoint signs the log if it ends with a closing part that no checkpoint
// covers. The same log always gives the same file.
func (m *Mirror) checkpoint() error {
	last, ok, err := m.index.LastPart()
	if err != nil || !ok {
		return err
	}
	state, err := m.lastCheckpoint()
	if err != nil || state.Part == last.Number {
		return err
	}
	if run, ok := m.index.Head(last.Run); !ok || run.Closing != last.Number {
		return nil // inside a run: it ends with its own
	}
	if err := m.writeCheckpoint(state, last); err != nil {
		return fmt.Errorf("sign the checkpoint: %w", err)
	}
	return m.writeWitness()
}

func (m *Mirror) writeCheckpoint(state checkpointState, last index.Part) error {
	file, err := m.signedHead(state.Part, last)
	if err != nil {
		return err
	}
	number := state.Number + 1
	name := m.path(checkpointName(number))
	err = disk.WriteFile(m.fs, name, file)
	if errors.Is(err, disk.ErrExists) {
		if err = m.sameFile(name, file); err == nil {
			err = disk.RemoveTemp(m.fs, name+disk.TempSuffix)
		}
	}
	if err != nil {
		return err
	}
	b, err := json.Marshal(checkpointState{number, last.Number})
	if err != nil {
		return err
	}
	return m.index.SetMeta("checkpoint", b)
}

// headBetween is what a checkpoint says that covers the parts behind one part up to
// another; it has no number yet.
func (m *Mirror) headBetween(behind uint32, last index.Part) (c Checkpoint, parts []index.Part, err error) {
	err = m.index.EachPartAfter(behind, func(p index.Part) error {
		if p.Number <= last.Number {
			parts = append(parts, p)
		}
		return nil
	})
	if err != nil {
		return c, nil, err
	}
	c.Size = last.Leaves
	if c.Root, err = m.index.TreeAt(last.Leaves); err != nil {
		return c, nil, err
	}
	c.Certificates, err = m.certificates(parts)
	return c, parts, err
}

// signedHead makes the file of such a checkpoint: always the same bytes.
func (m *Mirror) signedHead(behind uint32, last index.Part) ([]byte, error) {
	c, parts, err := m.headBetween(behind, last)
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(m.logKey)
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: c.text(m.origin(), parts)}, signer)
}

// signedSums are the SHA-256 of the files that good checkpoints name, by the part's file
// that the same checkpoint covers.
type signedSums map[string]map[string][32]byte

func (m *Mirror) signedSums() signedSums {
	sums := signedSums{}
	numbers, _ := m.checkpointNumbers() // who opens the mirror says what is wrong with them
	for _, n := range numbers {
		c, err := m.ReadCheckpoint(n)
		if err != nil {
			continue
		}
		for name := range c.Files {
			if strings.HasPrefix(name, "parts/") {
				sums[name] = c.Files
			}
		}
	}
	return sums
}

// certificates returns the SHA-256 of the certificates of the runs that the parts
// close.
func (m *Mirror) certificates(parts []index.Part) (map[uint32][32]byte, error) {
	sums := map[uint32][32]byte{}
	for _, p := range parts {
		if r, ok := m.index.Head(p.Run); !ok || r.Closing != p.Number {
			continue
		}
		r, _, err := m.index.Run(p.Run)
		if err != nil {
			return nil, err
		}
		if len(r.Certificate) > 0 {
			sums[p.Run] = sha256.Sum256(r.Certificate)
		}
	}
	return sums, nil
}

// Certificate returns the certificate of a run, byte for byte as it was signed,
// and the checkpoint that carries its SHA-256. ErrNotFound if it has none; ErrBusy until
// that checkpoint is signed, soon after the run was closed.
func (m *Mirror) Certificate(run uint32) ([]byte, Checkpoint, error) {
	r, ok, err := m.index.Run(run)
	if err != nil {
		return nil, Checkpoint{}, err
	}
	if !ok || len(r.Certificate) == 0 {
		return nil, Checkpoint{}, ErrNotFound
	}
	c, err := m.CheckpointOf(run)
	if err != nil {
		return nil, Checkpoint{}, err
	}
	switch sum, ok := c.Certificates[run]; {
	case c.Number == 0:
		return nil, c, &BusyError{Holder{Doing: "the run that is being ended"}}
	case !ok:
		return nil, Checkpoint{}, fmt.Errorf("the certificate of run %d was never signed: %w", run, ErrDamaged)
	case sum != sha256.Sum256(r.Certificate):
		return nil, c, fmt.Errorf("the certificate of run %d is not the one that was signed: %w", run, ErrDamaged)
	}
	return r.Certificate, c, nil
}

// CheckpointOf returns the checkpoint that was signed when a run was closed: the first
// one whose log holds its closing part. If there is none its Number is 0. ErrNotFound
// if the run was not closed.
func (m *Mirror) CheckpointOf(run uint32) (c Checkpoint, err error) {
	r, ok := m.index.Head(run)
	if !ok || r.Closing == 0 {
		return c, fmt.Errorf("run %d was never closed: %w", run, ErrNotFound)
	}
	part, ok, err := m.index.Part(r.Closing)
	if err == nil && !ok {
		err = fmt.Errorf("part %d, which closes run %d, is not in the index: %w", r.Closing, run, ErrDamaged)
	}
	if err != nil {
		return c, err
	}
	last, err := m.Checkpoints()
	for low, high := 1, last+1; low < high && err == nil; {
		var one Checkpoint
		mid := low + (high-low)/2
		if one, err = m.ReadCheckpoint(mid); one.Size < part.Leaves {
			low = mid + 1
		} else {
			high, c = mid, one
		}
	}
	if err != nil {
		return Checkpoint{}, err
	}
	return c, nil
}

// sameFile accepts a checkpoint that a crash left written but not noted.
func (m *Mirror) sameFile(name string, want []byte) error {
	got, err := disk.ReadFile(m.fs, name, maxCheckpoint)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("a checkpoint of another history is in its place: %w", ErrDamaged)
	}
	return nil
}

// ReadCheckpoint returns checkpoint n after checking its signature.
func (m *Mirror) ReadCheckpoint(n int) (Checkpoint, error) {
	file, err := disk.ReadFile(m.fs, m.path(checkpointName(n)), maxCheckpoint)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read checkpoint %d: %w", n, err)
	}
	c, err := ParseCheckpoint(file, m.LogKeyAt(n))
	c.Number = n
	if err != nil {
		return c, fmt.Errorf("read checkpoint %d: %w", n, err)
	}
	return c, nil
}

// ParseCheckpoint reads a checkpoint file signed by the log key vkey.
func ParseCheckpoint(file []byte, vkey string) (Checkpoint, error) {
	var c Checkpoint
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return c, fmt.Errorf("the log key is none: %w", ErrDamaged)
	}
	n, err := note.Open(file, note.VerifierList(v))
	if err != nil {
		return c, fmt.Errorf("not signed by this mirror's log key: %w", ErrDamaged)
	}
	lines := strings.Split(strings.TrimSuffix(n.Text, "\n"), "\n")
	if len(lines) < 3 {
		return c, fmt.Errorf("too short: %w", ErrDamaged)
	}
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + lines[1] + "\n" + lines[2] + "\n"))
	if err != nil {
		return c, fmt.Errorf("no log head: %w", ErrDamaged)
	}
	c.Size, c.Root, c.Files = tree.N, tree.Hash, map[string][32]byte{}
	c.Certificates = map[uint32][32]byte{}
	for _, line := range lines[3:] {
		if strings.HasPrefix(line, "certificate ") {
			var run uint32
			var sum []byte
			if _, err := fmt.Sscanf(line, "certificate %d %x", &run, &sum); err != nil || len(sum) != 32 {
				return c, fmt.Errorf("a line names no certificate: %w", ErrDamaged)
			}
			c.Certificates[run] = [32]byte(sum)
			continue
		}
		sum, name, ok := strings.Cut(line, "  ")
		raw, err := hex.DecodeString(sum)
		if !ok || err != nil || len(raw) != 32 {
			return c, fmt.Errorf("a line names no file: %w", ErrDamaged)
		}
		c.Files[name] = [32]byte(raw)
	}
	return c, nil
}

// Checkpoints returns how many checkpoints there are.
func (m *Mirror) Checkpoints() (int, error) {
	s, err := m.lastCheckpoint()
	return s.Number, err
}

// The witness is the last log head, kept outside the data folder: the one thing
// here that finds an older copy of the whole folder put in its place (T7).

func (m *Mirror) writeWitness() error {
	if m.witness == "" {
		return nil
	}
	size, root, err := m.index.Tree()
	if err != nil {
		return err
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(size))
	content := fmt.Sprintf("%s %x %x\n", m.ID(), b, root[:])
	return disk.ReplaceFile(m.fs, m.witness, []byte(content))
}

func (m *Mirror) checkWitness() error {
	if m.witness == "" {
		return nil
	}
	there, err := disk.Exists(m.fs, m.witness)
	if err != nil || !there {
		return err
	}
	file, err := disk.ReadFile(m.fs, m.witness, 4096)
	if err != nil {
		return fmt.Errorf("read the witness: %w", err)
	}
	var id, sizeHex, rootHex string
	if _, err := fmt.Sscan(string(file), &id, &sizeHex, &rootHex); err != nil || id != m.ID() {
		return nil // of another mirror, or never whole: it proves nothing
	}
	raw, err := hex.DecodeString(sizeHex)
	if err != nil || len(raw) != 8 {
		return nil
	}
	seen := int64(binary.BigEndian.Uint64(raw))
	size, _, err := m.index.Tree()
	if err != nil {
		return err
	}
	if size < seen {
		return fmt.Errorf("%w: its log has %d entries, this computer has seen %d",
			ErrRolledBack, size, seen)
	}
	root, err := m.index.TreeAt(seen)
	if err != nil {
		return err
	}
	if hex.EncodeToString(root[:]) != rootHex {
		return fmt.Errorf("%w: its log is another than this computer has seen", ErrRolledBack)
	}
	return nil
}
