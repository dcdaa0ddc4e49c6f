package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"chartcellar/store/archive"
	"chartcellar/store/index"
)

// WithoutQuery returns an address up to its query, as a Link has it.
func WithoutQuery(url string) string { return index.WithoutQuery(url) }

// Attachments returns what the mirror holds of a record's attachments that have
// an address, oldest first: one that was fetched again stands there again. It needs
// no key.
func (s *Snapshot) Attachments(k Key) ([]Link, error) {
	if err := s.open(k); err != nil {
		return nil, err
	}
	return s.m.index.Links(k.Source, k.Type, k.ID, s.part)
}

// Attachment opens the newest content of the attachment of a record that has
// this address, with or without its query. If the mirror does not hold it the
// error wraps ErrNotFound. The caller closes the reader; a read of damaged bytes
// fails with ErrDamaged.
func (s *Snapshot) Attachment(_ context.Context, k Key, url string) (Link, io.ReadCloser, error) {
	list, err := s.Attachments(k)
	if err != nil {
		return Link{}, nil, err
	}
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].URL == index.WithoutQuery(url) {
			r, err := s.m.openBlob(list[i].Name)
			return list[i], r, err
		}
	}
	return Link{}, nil, ErrNotFound
}

func (m *Mirror) openBlob(n index.BlobName) (io.ReadCloser, error) {
	b, ok, err := m.index.Blob(n)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("a link names no content: %w", index.ErrBad)
	}
	if b.File != nil {
		return m.openFile(b.File.Name)
	}
	content, err := m.smallBlob(b)
	return io.NopCloser(bytes.NewReader(content)), err
}

// smallBlob returns a content that is a line.
func (m *Mirror) smallBlob(b index.Blob) ([]byte, error) {
	f, err := m.frame(b.Part, int(b.Frame))
	if err != nil {
		return nil, err
	}
	raw, ok := f.line(int(b.Line))
	if !ok || f.kind != archive.Ours {
		return nil, fmt.Errorf("the index points to no attachment: %w", index.ErrBad)
	}
	content, err := binaryContent(raw)
	sum := sha256.Sum256(content)
	if err == nil && m.blobName(sum[:]) != b.Name {
		err = fmt.Errorf("an attachment is another than was stored: %w", ErrDamaged)
	}
	return content, err
}

// binaryContent returns the bytes in a Binary line of ours.
func binaryContent(raw []byte) ([]byte, error) {
	var b struct {
		Data []byte `json:"data"`
	}
	if err := json.Unmarshal(raw, &b); err != nil {
		return nil, fmt.Errorf("an attachment cannot be read: %w", ErrDamaged)
	}
	return b.Data, nil
}

// openFile opens a large attachment, decrypting as it is read.
func (m *Mirror) openFile(name string) (io.ReadCloser, error) {
	id, err := m.key()
	if err != nil {
		return nil, err
	}
	f, err := m.fs.Open(m.path(filepath.FromSlash(name)))
	if err != nil {
		return nil, fmt.Errorf("open an attachment: %w", err)
	}
	plain, err := age.Decrypt(bufio.NewReaderSize(f, 256<<10), id)
	if err != nil {
		f.Close() // read only
		return nil, fmt.Errorf("open an attachment: %v: %w", err, ErrDamaged)
	}
	return &damagedReader{plain, f}, nil
}

// A damagedReader says ErrDamaged for whatever age finds wrong.
type damagedReader struct {
	r io.Reader
	io.Closer
}

// Read implements io.Reader.
func (d *damagedReader) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read an attachment: %v: %w", err, ErrDamaged)
	}
	return n, err
}

// ReadAttachment decrypts the file of a large attachment, or of a holding, whole and
// checks that it is the content its name stands for. It returns its length. It needs a
// key.
func (m *Mirror) ReadAttachment(f index.File) (int64, error) {
	r, err := m.openFile(f.Name)
	if err != nil {
		return 0, err
	}
	defer r.Close() // read only
	in := &hashed{r: r, sha1: sha1.New(), sha256: sha256.New()}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return in.n, err
	}
	folder, _, _ := strings.Cut(f.Name, "/")
	if filepath.ToSlash(contentPath(folder, m.blobName(in.sha256.Sum(nil)))) != f.Name {
		return in.n, fmt.Errorf("an attachment is another than was stored: %w", ErrDamaged)
	}
	return in.n, nil
}
