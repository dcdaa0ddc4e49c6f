package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"

	"filippo.io/age"

	"chartcellar/store/archive"
	"chartcellar/store/disk"
	"chartcellar/store/index"
)

// SmallAttachment is up to how many bytes an attachment, or a file of a holding, is
// kept as a line in a part; a larger one has a file of its own (archive.md 1).
const SmallAttachment = 4 << 20

// The folders of the contents that have files of their own.
const (
	attachmentFolder = "attachments"
	holdingFolder    = "holdings"
)

// A Content is what is known of a content once it was read to its end.
type Content struct {
	Size   int64
	SHA1   []byte
	SHA256 []byte
}

// An oursLine is a line of ours on its way into a part, with what it brings to
// the index.
type oursLine struct {
	typ  string
	raw  []byte
	line uint16 // its place in the frame
	blob *index.Blob
	link *Link
	kept *KeptFile
}

func (w *writer) takeOurs(lines []oursLine, frame uint16) {
	for _, o := range lines {
		if o.blob != nil {
			b := *o.blob
			b.Loc = index.Loc{Part: uint32(w.number), Frame: frame, Line: o.line}
			w.blobs = append(w.blobs, b)
		}
		if o.link != nil {
			w.links = append(w.links, *o.link)
		}
		if o.kept != nil {
			w.kept = append(w.kept, *o.kept)
		}
	}
}

// A taken content was read to its end: it is in memory or, if it is large, sealed in
// a synced file that has no final name yet.
type taken struct {
	Content
	folder string
	small  []byte
	temp   string // "": it is small
}

// takeIn reads a content to its end. It holds at most SmallAttachment bytes of it in
// memory.
func (r *Run) takeIn(folder string, body io.Reader) (*taken, error) {
	in := &hashed{r: body, sha1: sha1.New(), sha256: sha256.New()}
	var small bytes.Buffer
	if _, err := small.ReadFrom(io.LimitReader(in, SmallAttachment+1)); err != nil {
		return nil, err
	}
	t := &taken{folder: folder}
	if small.Len() > SmallAttachment {
		var err error
		if t.temp, err = r.sealIncoming(folder, small.Bytes(), in); err != nil {
			return nil, err
		}
	} else {
		t.small = small.Bytes()
	}
	t.Content = in.content()
	return t, nil
}

// giveUp forgets a content that is not kept.
func (m *Mirror) giveUp(t *taken) error {
	if t.temp == "" {
		return nil
	}
	return disk.RemoveTemp(m.fs, t.temp)
}

// admit returns what the mirror does not have yet: the file that a content becomes, or
// a line with its bytes; nil if it has the content, or will have it. attaching is held.
func (r *Run) admit(t *taken, name index.BlobName, contentType string) (*oursLine, error) {
	known := r.pipe.blobs[name]
	var err error
	if !known {
		_, known, err = r.m.index.Blob(name)
	}
	if known || err != nil {
		return nil, errors.Join(err, r.m.giveUp(t))
	}
	o := &oursLine{blob: &index.Blob{Name: name, Size: t.Size}}
	if t.temp != "" {
		file, err := r.m.nameContent(t, name)
		o.blob.File = &file
		return o, err
	}
	o.typ = "Binary"
	o.raw, err = binaryLine(name, contentType, t.small)
	return o, err
}

// send sends a line on its way, behind the content that it is the first to name, if
// it is; line makes its bytes. Only then does the content count as one that will be
// there: whoever names it next comes behind it. attaching is held.
func (r *Run) send(ctx context.Context, o oursLine, content *oursLine, line func(*index.File) ([]byte, error)) error {
	var lines []oursLine
	var file *index.File
	switch {
	case content == nil:
	case content.blob.File != nil: // this line is where the file is named
		o.blob, file = content.blob, content.blob.File
	default:
		lines = append(lines, *content)
	}
	var err error
	if o.raw, err = line(file); err != nil {
		return err
	}
	if err := r.pipe.add(ctx, Chunk{ours: append(lines, o)}); err != nil {
		return err
	}
	if content != nil {
		if r.pipe.blobs == nil {
			r.pipe.blobs = map[index.BlobName]bool{}
		}
		r.pipe.blobs[content.blob.Name] = true
	}
	return nil
}

func (m *Mirror) blobName(sum []byte) index.BlobName {
	k := index.AttachmentKey(m.mirrorKey)
	mac := hmac.New(sha256.New, k[:])
	mac.Write(sum)
	return index.BlobName(mac.Sum(nil)[:16])
}

// incoming numbers the temporary files of contents within this process.
var incoming atomic.Int64

// sealIncoming streams a large content into a temporary file. The file gets its
// final name, by its content, before the line that names it is committed; so a
// crash between leaves a file that nobody names, and that is used when the same
// content comes again.
func (r *Run) sealIncoming(folder string, head []byte, in *hashed) (temp string, err error) {
	m := r.m
	if err := m.CheckSpace(); err != nil {
		return "", err
	}
	if err := m.fs.Mkdir(m.path(folder)); err != nil {
		return "", err
	}
	temp = m.path(folder, fmt.Sprintf("incoming-%d-%d.age%s", r.n, incoming.Add(1), disk.TempSuffix))
	if err := disk.RemoveTemp(m.fs, temp); err != nil {
		return "", err
	}
	if err := sealFile(m.fs, temp, &spaced{io.MultiReader(bytes.NewReader(head), in), m, 0}, m.recipients(), io.Discard); err != nil {
		return "", m.full(errors.Join(err, disk.RemoveTemp(m.fs, temp)))
	}
	return temp, nil
}

// spaceEvery is after how many bytes of one content the room on the disk is looked at
// again.
const spaceEvery = 64 << 20

// A spaced reader ends with ErrFull when what was read has filled the disk up to the
// reserve.
type spaced struct {
	r io.Reader
	m *Mirror
	n int64
}

// Read implements io.Reader.
func (s *spaced) Read(p []byte) (int, error) {
	if s.n >= spaceEvery {
		s.n = 0
		if err := s.m.CheckSpace(); err != nil {
			return 0, err
		}
	}
	n, err := s.r.Read(p)
	s.n += int64(n)
	return n, err
}

// sealFile encrypts body into a new file and syncs it. The encrypted bytes go to also,
// too.
func sealFile(fsys disk.FS, name string, body io.Reader, to []age.Recipient, also io.Writer) error {
	f, err := fsys.Create(name)
	if err != nil {
		return fmt.Errorf("create an encrypted file: %w", err)
	}
	buf := bufio.NewWriterSize(io.MultiWriter(f, also), 256<<10)
	w, err := age.Encrypt(buf, to...)
	if err == nil {
		_, err = io.CopyBuffer(struct{ io.Writer }{w}, body, make([]byte, 256<<10))
	}
	if err == nil {
		err = errors.Join(w.Close(), buf.Flush())
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// contentPath is the file of a content below the data folder.
func contentPath(folder string, n index.BlobName) string {
	name := hex.EncodeToString(n[:])
	return filepath.Join(folder, name[:2], name+".age")
}

// nameContent gives a synced file its final name.
func (m *Mirror) nameContent(t *taken, n index.BlobName) (index.File, error) {
	name := contentPath(t.folder, n)
	if err := m.fs.Mkdir(m.path(filepath.Dir(name))); err != nil {
		return index.File{}, err
	}
	err := disk.Commit(m.fs, t.temp, m.path(name))
	if errors.Is(err, disk.ErrExists) { // of a run that was broken off
		err = errors.Join(disk.RemoveTemp(m.fs, t.temp), m.fs.SyncDir(m.path(filepath.Dir(name))))
	}
	if err != nil {
		return index.File{}, err
	}
	size, sum, err := archive.Sum(m.fs, m.path(name))
	return index.File{Name: filepath.ToSlash(name), Size: size, SHA256: sum}, err
}

// recoverContents deals with contents that were on their way in. An attachment is put
// aside. A file of a holding is given up: it may be as large as the disk, whoever kept
// it was never told that it is here, and it still lies where it was read from. One that
// has its final name stays, whether or not a line names it.
func (m *Mirror) recoverContents() error {
	for _, folder := range []string{attachmentFolder, holdingFolder} {
		files, err := m.fs.ReadDir(m.path(folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("list the %s: %w", folder, err)
		}
		for _, f := range files {
			if !strings.HasSuffix(f.Name(), disk.TempSuffix) {
				continue
			}
			temp := m.path(folder, f.Name())
			if folder == holdingFolder {
				err = disk.RemoveTemp(m.fs, temp)
			} else {
				_, err = disk.Quarantine(m.fs, m.dir, temp)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// hashed hashes what is read through it.
type hashed struct {
	r            io.Reader
	sha1, sha256 hash.Hash
	n            int64
}

// Read implements io.Reader.
func (h *hashed) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.sha1.Write(p[:n])
	h.sha256.Write(p[:n])
	h.n += int64(n)
	return n, err
}

func (h *hashed) content() Content {
	return Content{h.n, h.sha1.Sum(nil), h.sha256.Sum(nil)}
}
