package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"path/filepath"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/tlog"

	"chartcellar/store/disk"
)

// footerMagic ends the payload of a footer; the 8 bytes before it are the
// offset of the footer in the decrypted part, little endian.
const footerMagic = "ccfoot01"

// skippableMagic starts the footer's zstd skippable frame (RFC 8878 3.1.2).
const skippableMagic = 0x184D2A5C

// A Writer writes one part under its temporary name. It is used by one
// goroutine at a time. After any error it must be given up with Abort.
type Writer struct {
	fs     disk.FS
	temp   string
	file   disk.File
	hash   hash.Hash
	buf    *bufio.Writer
	count  *counter
	age    io.WriteCloser
	frames []FrameInfo
	at     int64
}

// A Sealed describes a part file that is complete and durable under its
// temporary name.
type Sealed struct {
	Part   PartNumber
	Size   int64
	SHA256 [32]byte // of the encrypted file
	Leaves []tlog.Hash
	Frames []FrameInfo
}

// NewWriter starts part n of the mirror in the folder root. A temporary file
// of that number must not exist.
func NewWriter(fsys disk.FS, root string, n PartNumber, to []age.Recipient) (*Writer, error) {
	name := filepath.Join(root, n.Name())
	if err := fsys.Mkdir(filepath.Dir(name)); err != nil {
		return nil, fmt.Errorf("make the folder of part %d: %w", n, err)
	}
	w := &Writer{fs: fsys, temp: name + disk.TempSuffix, hash: sha256.New()}
	f, err := fsys.Create(w.temp)
	if err != nil {
		return nil, fmt.Errorf("create part %d: %w", n, err)
	}
	w.file = f
	w.count = &counter{w: io.MultiWriter(f, w.hash)}
	w.buf = bufio.NewWriterSize(w.count, 256<<10)
	w.age, err = age.Encrypt(w.buf, to...)
	if err != nil {
		w.Abort()
		return nil, fmt.Errorf("encrypt part %d: %w", n, err)
	}
	return w, nil
}

// Add appends a frame. The frame's bytes may be used again when it returns.
func (w *Writer) Add(f Frame) error {
	f.Info.At = w.at
	if _, err := w.age.Write(f.zstd); err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	w.at += f.Info.Size
	w.frames = append(w.frames, f.Info)
	return nil
}

// Size returns the compressed bytes that were added.
func (w *Writer) Size() int64 { return w.at }

// Frames returns how many frames were added.
func (w *Writer) Frames() int { return len(w.frames) }

// Seal writes the footer and makes the file durable under its temporary name.
// It sets the footer's Format and Frames. If it fails nothing is durable and
// the temporary file is to be quarantined; a failed sync is never tried again.
func (w *Writer) Seal(foot Footer) (Sealed, error) {
	foot.Format, foot.Frames = Format, w.frames
	payload, err := json.Marshal(foot)
	if err != nil {
		return Sealed{}, fmt.Errorf("write the footer of part %d: %w", foot.Part, err)
	}
	leaves := make([]tlog.Hash, 0, len(w.frames)+1)
	for _, f := range w.frames {
		leaves = append(leaves, tlog.Hash(f.Leaf))
	}
	leaves = append(leaves, tlog.RecordHash(payload))
	if err := w.finish(AppendFooter(nil, payload, w.at)); err != nil {
		return Sealed{}, fmt.Errorf("seal part %d: %w", foot.Part, err)
	}
	s := Sealed{Part: foot.Part, Size: w.count.n, Leaves: leaves, Frames: w.frames}
	w.hash.Sum(s.SHA256[:0])
	return s, nil
}

func (w *Writer) finish(footer []byte) error {
	if _, err := w.age.Write(footer); err != nil {
		return err
	}
	if err := w.age.Close(); err != nil {
		return err
	}
	if err := w.buf.Flush(); err != nil {
		return err
	}
	f := w.file
	w.file = nil
	err := f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return w.fs.SyncDir(filepath.Dir(w.temp))
}

// Abort closes the file. It stays under its temporary name and is quarantined
// at the next open.
func (w *Writer) Abort() {
	if w.file != nil {
		w.file.Close() // the file is given up: its content is not relied on
		w.file = nil
	}
}

// Name gives a sealed part its final name, durably (archive.md 6, C3).
func Name(fsys disk.FS, root string, n PartNumber) error {
	name := filepath.Join(root, n.Name())
	return disk.Commit(fsys, name+disk.TempSuffix, name)
}

// AppendFooter appends the skippable frame: magic, payload length, payload
// (the JSON, the frame's own offset, footerMagic).
func AppendFooter(dst, payload []byte, at int64) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, skippableMagic)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)+16))
	dst = append(dst, payload...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(at))
	return append(dst, footerMagic...)
}

// parseFooterTail returns where the footer starts, from its last 16 bytes.
func parseFooterTail(tail []byte) (int64, error) {
	if len(tail) != 16 || !bytes.Equal(tail[8:], []byte(footerMagic)) {
		return 0, fmt.Errorf("no footer at the end: %w", ErrDamaged)
	}
	return int64(binary.LittleEndian.Uint64(tail[:8])), nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
