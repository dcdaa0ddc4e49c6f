package archive

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/tlog"
)

// A Frame is an encoded frame that is not in a part yet.
type Frame struct {
	Info FrameInfo // At is set by Writer.Add
	zstd []byte
}

// A Codec turns lines into frames and back. It holds buffers and is used by
// one goroutine at a time.
type Codec struct {
	enc   *zstd.Encoder
	dec   *zstd.Decoder // for what is stored: the leaf hash says more than zstd's checksum
	back  *zstd.Decoder // for what was just compressed
	check []byte
	leaf  []byte
}

// window is how far back the compressor looks: over a whole frame. That it is set
// at all also makes its blocks larger, which saves 1 %.
const window = 512 << 10

// NewCodec returns a Codec.
func NewCodec() *Codec {
	enc, err := zstd.NewWriter(nil, zstd.WithWindowSize(window), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return &Codec{enc: enc, dec: newDecoder(true), back: newDecoder(false)}
}

func newDecoder(ignoreChecksum bool) *zstd.Decoder {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
		zstd.IgnoreChecksum(ignoreChecksum), zstd.WithDecoderMaxMemory(MaxLine+FrameBytes))
	if err != nil {
		panic(err)
	}
	return dec
}

// Encode makes a frame of plain, which is whole lines each ending in a
// newline, appending the compressed bytes to buf. The frame is decompressed
// again and compared before it is returned: a compressor with a bug costs an
// error here, not a record in ten years.
func (c *Codec) Encode(kind FrameKind, typ string, plain, buf []byte) (Frame, error) {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return Frame{}, fmt.Errorf("draw a salt: %w", err)
	}
	lines, leaf := c.leafHash(salt, plain)
	if lines == 0 || plain[len(plain)-1] != '\n' {
		return Frame{}, fmt.Errorf("encode a frame of %s: not whole lines", typ)
	}
	packed := c.enc.EncodeAll(plain, buf[:0])
	var err error
	c.check, err = c.back.DecodeAll(packed, c.check[:0])
	if err != nil || !bytes.Equal(c.check, plain) {
		return Frame{}, fmt.Errorf("encode a frame of %s: compression did not give the bytes back", typ)
	}
	c.trim()
	return Frame{
		Info: FrameInfo{Kind: kind, Type: typ, Size: int64(len(packed)),
			Plain: int64(len(plain)), Lines: lines, Salt: salt, Leaf: leaf[:]},
		zstd: packed,
	}, nil
}

// Bytes returns the compressed bytes.
func (f *Frame) Bytes() []byte { return f.zstd }

// Detach gives the frame a copy of its own of the compressed bytes and returns
// the buffer they were in, for the next Encode.
func (f *Frame) Detach() []byte {
	buf := f.zstd
	f.zstd = bytes.Clone(buf)
	if cap(buf) > 2*FrameBytes {
		return nil // one huge line made it grow
	}
	return buf
}

// Decode appends the lines of a frame to dst and checks them against the
// frame table: length, number of lines and leaf hash.
func (c *Codec) Decode(info FrameInfo, packed, dst []byte) ([]byte, error) {
	plain, err := c.dec.DecodeAll(packed, dst)
	if err != nil {
		return nil, fmt.Errorf("decompress: %v: %w", err, ErrDamaged)
	}
	got := plain[len(dst):]
	lines, leaf := c.leafHash(info.Salt, got)
	if int64(len(got)) != info.Plain || lines != info.Lines || !bytes.Equal(leaf[:], info.Leaf) {
		return nil, fmt.Errorf("lines do not match the frame table: %w", ErrDamaged)
	}
	return plain, nil
}

// LeafHash returns the RFC 6962 leaf hash of a frame with that salt and those
// lines.
func LeafHash(salt, plain []byte) []byte {
	_, leaf := (&Codec{}).leafHash(salt, plain)
	return leaf[:]
}

// leafHash returns the RFC 6962 hash of the leaf of a frame: the leaf is
// SHA-256(salt, line) of each line, one after the other, so that one line can
// be proved without showing another (archive.md 4). A line has no newline here.
func (c *Codec) leafHash(salt, plain []byte) (lines int, leaf tlog.Hash) {
	c.leaf = c.leaf[:0]
	h := sha256.New()
	for len(plain) > 0 {
		n := bytes.IndexByte(plain, '\n')
		next := n + 1
		if n < 0 {
			n, next = len(plain), len(plain)
		}
		h.Reset()
		h.Write(salt)
		h.Write(plain[:n])
		c.leaf = h.Sum(c.leaf)
		plain = plain[next:]
		lines++
	}
	return lines, tlog.RecordHash(c.leaf)
}

// trim gives back buffers that one huge line made grow.
func (c *Codec) trim() {
	if cap(c.check) > 2*FrameBytes {
		c.check = nil
	}
}
