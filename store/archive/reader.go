package archive

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/tlog"

	"chartcellar/store/disk"
)

// maxFooter bounds a footer: the table of a part of PartLines frames of one
// line each fits well.
const maxFooter = 64 << 20

// A Part is an open part file. Its methods may be called from many goroutines,
// each with a Codec of its own.
type Part struct {
	Footer  Footer
	Changes json.RawMessage // the footer's changes as they were written
	leaf    tlog.Hash
	file    disk.File
	plain   io.ReaderAt
}

// OpenPart opens part n below root with one of the identities and reads its
// footer. Errors about the content wrap ErrDamaged or ErrNewer.
func OpenPart(fsys disk.FS, root string, n PartNumber, ids ...age.Identity) (*Part, error) {
	f, err := fsys.Open(filepath.Join(root, n.Name()))
	if err != nil {
		return nil, fmt.Errorf("open part %d: %w", n, err)
	}
	p, err := readPart(f, n, ids)
	if err != nil {
		f.Close() // read only
		return nil, fmt.Errorf("open part %d: %w", n, err)
	}
	return p, nil
}

func readPart(f disk.File, n PartNumber, ids []age.Identity) (*Part, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	plain, size, err := age.DecryptReaderAt(f, info.Size(), ids...)
	if err != nil {
		return nil, fmt.Errorf("decrypt: %v: %w", err, ErrDamaged)
	}
	p := &Part{file: f, plain: plain}
	if err := p.readFooter(size); err != nil {
		return nil, err
	}
	if p.Footer.Part != n {
		return nil, fmt.Errorf("the file holds part %d: %w", p.Footer.Part, ErrDamaged)
	}
	return p, nil
}

func (p *Part) readFooter(size int64) error {
	if size < 24 {
		return fmt.Errorf("too short: %w", ErrDamaged)
	}
	tail := make([]byte, 16)
	if err := p.readAt(tail, size-16); err != nil {
		return err
	}
	at, err := parseFooterTail(tail)
	if err != nil {
		return err
	}
	if at < 0 || at > size-24 || size-at > maxFooter {
		return fmt.Errorf("footer out of bounds: %w", ErrDamaged)
	}
	frame := make([]byte, size-at)
	if err := p.readAt(frame, at); err != nil {
		return err
	}
	payload, err := footerPayload(frame)
	if err != nil {
		return err
	}
	p.Footer, p.Changes, err = ParseFooter(payload, at)
	p.leaf = tlog.RecordHash(payload)
	return err
}

// footerPayload returns the JSON inside the skippable frame of a footer.
func footerPayload(frame []byte) ([]byte, error) {
	if len(frame) < 24 || binary.LittleEndian.Uint32(frame) != skippableMagic ||
		int64(binary.LittleEndian.Uint32(frame[4:])) != int64(len(frame)-8) {
		return nil, fmt.Errorf("footer frame: %w", ErrDamaged)
	}
	return frame[8 : len(frame)-16], nil
}

// ParseFooter reads the JSON of a footer whose frame starts at the offset at,
// and checks its frame table: frames lie one after the other from 0 to at.
func ParseFooter(payload []byte, at int64) (Footer, json.RawMessage, error) {
	var foot Footer
	changes := json.RawMessage{}
	foot.Changes = &changes
	if err := json.Unmarshal(payload, &foot); err != nil {
		return Footer{}, nil, fmt.Errorf("footer is not JSON: %w", ErrDamaged)
	}
	foot.Changes = nil
	if foot.Format > Format {
		return Footer{}, nil, fmt.Errorf("format %d: %w", foot.Format, ErrNewer)
	}
	var end int64
	for i, f := range foot.Frames {
		ok := f.At == end && f.Size > 0 && f.Size <= at && f.Plain > 0 && f.Lines > 0 &&
			f.Plain <= MaxLine+FrameBytes && len(f.Salt) == 16 && len(f.Leaf) == tlog.HashSize
		if !ok {
			return Footer{}, nil, fmt.Errorf("row %d of the frame table: %w", i, ErrDamaged)
		}
		end += f.Size
	}
	if end != at || foot.Format < 1 || len(foot.Before.Root) != tlog.HashSize {
		return Footer{}, nil, fmt.Errorf("footer does not fit its part: %w", ErrDamaged)
	}
	return foot, changes, nil
}

// Frame appends the lines of frame i to dst, checked against the frame table:
// what it returns are the bytes that were written, or it returns ErrDamaged.
func (p *Part) Frame(c *Codec, i int, dst []byte) ([]byte, error) {
	if i < 0 || i >= len(p.Footer.Frames) {
		return nil, fmt.Errorf("part %d has no frame %d: %w", p.Footer.Part, i, ErrDamaged)
	}
	info := p.Footer.Frames[i]
	packed := make([]byte, info.Size)
	if err := p.readAt(packed, info.At); err != nil {
		return nil, fmt.Errorf("read frame %d of part %d: %w", i, p.Footer.Part, err)
	}
	plain, err := c.Decode(info, packed, dst)
	if err != nil {
		return nil, fmt.Errorf("read frame %d of part %d: %w", i, p.Footer.Part, err)
	}
	return plain, nil
}

// packedBytes is how much Each reads at once.
const packedBytes = 512 << 10

// A Buffer holds what Each reads with; it is used by one goroutine at a time.
type Buffer struct{ packed, plain []byte }

// Each calls fn with the lines of the frames from, from+1, ... to-1, checked as
// Frame checks them, but faster: it reads many at once. The lines are valid during
// the call.
func (p *Part) Each(c *Codec, b *Buffer, from, to int, fn func(i int, plain []byte) error) error {
	for from < to {
		at, n := p.Footer.Frames[from].At, int64(0)
		last := from
		for ; last < to && (last == from || n+p.Footer.Frames[last].Size <= packedBytes); last++ {
			n += p.Footer.Frames[last].Size
		}
		if int64(cap(b.packed)) < n || cap(b.packed) > 2*packedBytes {
			b.packed = make([]byte, max(n, packedBytes))
		}
		packed := b.packed[:n]
		if err := p.readAt(packed, at); err != nil {
			return fmt.Errorf("read frames of part %d: %w", p.Footer.Part, err)
		}
		for ; from < last; from++ {
			info := p.Footer.Frames[from]
			plain, err := c.Decode(info, packed[:info.Size], b.plain[:0])
			if err != nil {
				return fmt.Errorf("read frame %d of part %d: %w", from, p.Footer.Part, err)
			}
			packed = packed[info.Size:]
			if err := fn(from, plain); err != nil {
				return err
			}
			if b.plain = plain; cap(plain) > 2*FrameBytes {
				b.plain = nil // one huge line made it grow
			}
		}
	}
	return nil
}

// Leaves returns the part's leaves of the Merkle log as its footer states them.
func (p *Part) Leaves() []tlog.Hash {
	leaves := make([]tlog.Hash, 0, len(p.Footer.Frames)+1)
	for _, f := range p.Footer.Frames {
		leaves = append(leaves, tlog.Hash(f.Leaf))
	}
	return append(leaves, p.leaf)
}

// Close closes the file.
func (p *Part) Close() error { return p.file.Close() }

func (p *Part) readAt(b []byte, at int64) error {
	n, err := p.plain.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	return fmt.Errorf("decrypt: %v: %w", err, ErrDamaged)
}

// Sum returns the length and the SHA-256 of a file: of a part it needs no key.
func Sum(fsys disk.FS, name string) (size int64, sum [32]byte, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return 0, sum, err
	}
	defer f.Close() // read only
	h := sha256.New()
	size, err = io.Copy(h, f)
	if err != nil {
		return 0, sum, fmt.Errorf("read %s: %w", filepath.Base(name), err)
	}
	h.Sum(sum[:0])
	return size, sum, nil
}
