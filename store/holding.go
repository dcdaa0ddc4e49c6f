package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"

	"chartcellar/store/disk"
	"chartcellar/store/index"
)

// KindHolding is the kind of the runs that keep files of holdings: they bring no
// records.
const KindHolding = "holding"

// A KeptFile is a file that is kept, unchanged, beside the records: one delivery of it.
type KeptFile = index.KeptFile

// KeptFiles returns the files of a holding, oldest first: a file that came again
// stands there again. "" is every holding. It needs no key.
func (m *Mirror) KeptFiles(holding string) ([]KeptFile, error) { return m.index.KeptFiles(holding) }

// Keep reads a file to its end and keeps it, sealed and unchanged; equal contents are
// stored once. f says whose and what it is; its Size, if it is not negative, is the one
// that is expected: if there is no room for it the error wraps ErrFull before anything
// is read. Before anything counts, check is asked: its error gives the file up. What is
// known of it is returned; it is durable after Flush or Close. At most SmallAttachment
// bytes are held in memory.
func (r *Run) Keep(ctx context.Context, f KeptFile, body io.Reader, check func(Content) error) (KeptFile, error) {
	if err := r.m.room(f.Size); err != nil {
		return f, err
	}
	in, err := r.takeIn(holdingFolder, disk.Until(ctx, body))
	if err != nil {
		return f, err
	}
	if err := check(in.Content); err != nil {
		return f, errors.Join(err, r.m.giveUp(in))
	}
	f.Size, f.SHA256, f.Name, f.Run = in.Size, hex.EncodeToString(in.SHA256), r.m.blobName(in.SHA256), r.n
	f.Modified, f.Taken = f.Modified.UTC().Round(0), r.m.now().UTC().Round(0)
	r.pipe.attaching.Lock()
	defer r.pipe.attaching.Unlock()
	content, err := r.admit(in, f.Name, "")
	if err != nil {
		return f, err
	}
	o := oursLine{typ: "Parameters", kept: &f}
	return f, r.send(ctx, o, content, func(file *index.File) ([]byte, error) { return keptLine(f, file) })
}

// room returns ErrFull if the disk has no room for so many bytes above the reserve.
func (m *Mirror) room(size int64) error {
	free, reserve, err := m.Space()
	if err != nil || free-size >= reserve {
		return err
	}
	return fmt.Errorf("%w: a file of %d MB is to be kept, and %d MB are free of which %d MB are kept in reserve",
		ErrFull, size>>20, free>>20, reserve>>20)
}

// keptLine is a file of a holding as a line of ours: Parameters.
func keptLine(f KeptFile, file *index.File) ([]byte, error) {
	p := newParameters(codeHolding)
	p.add("holding", f.Holding)
	p.add("path", f.Path)
	p.add("role", f.Role)
	p.add("problem", f.Problem)
	p.add("covers", strings.Join(f.Covers, ", "))
	p.add("copies", strings.Join(f.Copies, ", "))
	p.add("source", f.Source)
	p.add("modified", f.Modified.Format(time.RFC3339Nano))
	p.add("taken", f.Taken.Format(time.RFC3339Nano))
	p.add("size", strconv.FormatInt(f.Size, 10))
	p.add("sha256", f.SHA256)
	p.add("name", hex.EncodeToString(f.Name[:]))
	p.stored(file)
	return json.Marshal(p)
}

// parseKept reads such a line; file is set if it names one.
func parseKept(p *parameters) (f KeptFile, file *index.File, err error) {
	get := p.values()
	f = KeptFile{Holding: get["holding"], Path: get["path"], Role: get["role"], Problem: get["problem"],
		Source: get["source"], SHA256: get["sha256"]}
	if get["covers"] != "" {
		f.Covers = strings.Split(get["covers"], ", ")
	}
	if get["copies"] != "" {
		f.Copies = strings.Split(get["copies"], ", ")
	}
	var merr, terr error
	f.Modified, merr = time.Parse(time.RFC3339Nano, get["modified"])
	f.Taken, terr = time.Parse(time.RFC3339Nano, get["taken"])
	f.Name, f.Size, err = p.content()
	if errors.Join(merr, terr, err) != nil {
		return f, nil, fmt.Errorf("a line of a holding cannot be read: %w", ErrDamaged)
	}
	file, err = p.file()
	return f, file, err
}

// A KeptContent is the open content of a kept file. A read of damaged bytes fails with
// ErrDamaged; whether the whole is what was kept, its SHA-256 says.
type KeptContent struct {
	io.ReaderAt
	io.Closer
	Size int64
}

// OpenKept opens the content of a kept file. The caller closes it. It needs a key.
func (m *Mirror) OpenKept(f KeptFile) (*KeptContent, error) {
	b, ok, err := m.index.Blob(f.Name)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("a holding names no content: %w", index.ErrBad)
	}
	if b.File != nil {
		return m.openKeptFile(b.File.Name)
	}
	content, err := m.smallBlob(b)
	return &KeptContent{bytes.NewReader(content), io.NopCloser(nil), int64(len(content))}, err
}

// openKeptFile opens the file of a large content, decrypting what is read.
func (m *Mirror) openKeptFile(name string) (*KeptContent, error) {
	id, err := m.key()
	if err != nil {
		return nil, err
	}
	f, err := m.fs.Open(m.path(filepath.FromSlash(name)))
	if err != nil {
		return nil, fmt.Errorf("open a kept file: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	plain, size, err := age.DecryptReaderAt(f, info.Size(), id)
	if err != nil {
		f.Close() // read only
		return nil, fmt.Errorf("open a kept file: %v: %w", err, ErrDamaged)
	}
	return &KeptContent{damagedReaderAt{plain}, f, size}, nil
}

// A damagedReaderAt says ErrDamaged for whatever age finds wrong.
type damagedReaderAt struct{ r io.ReaderAt }

// ReadAt implements io.ReaderAt.
func (d damagedReaderAt) ReadAt(p []byte, at int64) (int, error) {
	n, err := d.r.ReadAt(p, at)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read a kept file: %v: %w", err, ErrDamaged)
	}
	return n, err
}
