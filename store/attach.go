package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"filippo.io/age"

	"chartcellar/store/archive"
	"chartcellar/store/disk"
	"chartcellar/store/index"
)

// SmallAttachment is up to how many bytes an attachment is kept as a line in a
// part; a larger one has a file of its own (archive.md 1).
const SmallAttachment = 4 << 20

// A Want is an attachment that a record names and that was not fetched yet.
type Want = index.Want

// A Link says which content an attachment of a record had when it was fetched.
type Link = index.Link

// A Content is what is known of an attachment once it was read to its end.
type Content struct {
	Size   int64
	SHA1   []byte
	SHA256 []byte
}

// Wants returns at most max attachments of a source that are to be fetched,
// behind the place that an earlier call returned; none at the end.
func (m *Mirror) Wants(source string, behind []byte, max int) ([]Want, []byte, error) {
	return m.index.Wants(source, behind, max)
}

// DropWants forgets attachments that need no fetching.
func (m *Mirror) DropWants(wants []Want) error {
	if m.ReadOnly() {
		return ErrReadOnly
	}
	return m.index.DropWants(wants)
}

// Holds reports whether a record of the source is current in the mirror, and was not
// declared lost. It needs no key.
func (m *Mirror) Holds(k Key) (bool, error) {
	held := false
	key := m.index.Hasher(k.Source).Key([]byte(k.Type), []byte(k.ID))
	err := m.index.Newest([]index.Key{key}, true, func(_ int, e index.Entry, found bool) error {
		held = found && e.Flags&index.Tombstone == 0 && !m.index.Lost()[e.Part]
		return nil
	})
	return held, err
}

// An oursLine is a line of ours on its way into a part, with what it brings to
// the index.
type oursLine struct {
	typ  string
	raw  []byte
	line uint16 // its place in the frame
	blob *index.Blob
	link *Link
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
	}
}

// Attach reads an attachment to its end and keeps it, sealed; equal contents are
// stored once. Before anything counts, check is asked: its error gives the content
// up, its problem is noted with the link. The want is fulfilled when the next
// part is durable. It may be called by several goroutines; at most
// SmallAttachment bytes of content are held in memory by each.
func (r *Run) Attach(ctx context.Context, w Want, contentType string, body io.Reader, check func(Content) (problem string, err error)) error {
	in := &hashed{r: body, sha1: sha1.New(), sha256: sha256.New()}
	var small bytes.Buffer
	_, err := small.ReadFrom(io.LimitReader(in, SmallAttachment+1))
	if err != nil {
		return err
	}
	temp := ""
	if small.Len() > SmallAttachment {
		if temp, err = r.sealIncoming(small.Bytes(), in); err != nil {
			return err
		}
	}
	l := Link{Source: w.Source, Type: w.Type, ID: w.ID, URL: index.WithoutQuery(w.URL), ContentType: contentType}
	r.pipe.attaching.Lock()
	defer r.pipe.attaching.Unlock()
	known, err := r.judge(&l, in, check)
	if temp != "" && (known || err != nil) {
		err = errors.Join(err, disk.RemoveTemp(r.m.fs, temp))
	}
	var content *oursLine
	if err == nil && !known {
		content, err = r.m.content(l, temp, small.Bytes())
	}
	if err != nil {
		return err
	}
	return r.addLink(ctx, l, content)
}

// content is what the mirror does not have yet: the file that temp becomes, or a
// line with the bytes.
func (m *Mirror) content(l Link, temp string, small []byte) (*oursLine, error) {
	o := &oursLine{blob: &index.Blob{Name: l.Name, Size: l.Size}}
	if temp != "" {
		file, err := m.nameAttachment(temp, l.Name)
		o.blob.File = &file
		return o, err
	}
	var err error
	o.typ = "Binary"
	o.raw, err = binaryLine(&l, small)
	return o, err
}

// addLink sends a link on its way, behind the content that it is the first to
// name, if it is. Only then does the content count as one that will be there:
// whoever names it next comes behind it. attaching is held.
func (r *Run) addLink(ctx context.Context, l Link, content *oursLine) error {
	if same, err := r.linked(l); same || err != nil {
		return err
	}
	var lines []oursLine
	o := oursLine{typ: "Parameters", link: &l}
	var file *index.File
	switch {
	case content == nil:
	case content.blob.File != nil: // its link line is where a file is named
		o.blob, file = content.blob, content.blob.File
	default:
		lines = append(lines, *content)
	}
	var err error
	if o.raw, err = linkLine(l, file); err != nil {
		return err
	}
	if err := r.pipe.add(ctx, Chunk{ours: append(lines, o)}); err != nil {
		return err
	}
	if content != nil {
		if r.pipe.blobs == nil {
			r.pipe.blobs = map[index.BlobName]bool{}
		}
		r.pipe.blobs[l.Name] = true
	}
	return nil
}

// linked reports whether the newest link of the attachment says the same already,
// also that it is not as it should be.
func (r *Run) linked(l Link) (bool, error) {
	if l.Problem == "" {
		return false, nil // its want is to be fulfilled
	}
	list, err := r.m.index.Links(l.Source, l.Type, l.ID, ^uint32(0))
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].URL == l.URL {
			return list[i].Name == l.Name && list[i].Problem == l.Problem, err
		}
	}
	return false, err
}

// judge completes the link when the content is known, and reports whether the
// mirror has the content already, or will have it. attaching is held.
func (r *Run) judge(l *Link, in *hashed, check func(Content) (string, error)) (known bool, err error) {
	c := in.content()
	if l.Problem, err = check(c); err != nil {
		return false, err
	}
	l.Size, l.SHA256, l.Name = c.Size, hex.EncodeToString(c.SHA256), r.m.blobName(c.SHA256)
	if r.pipe.blobs[l.Name] {
		return true, nil
	}
	_, known, err = r.m.index.Blob(l.Name)
	return known, err
}

func (m *Mirror) blobName(sum []byte) index.BlobName {
	k := index.AttachmentKey(m.mirrorKey)
	mac := hmac.New(sha256.New, k[:])
	mac.Write(sum)
	return index.BlobName(mac.Sum(nil)[:16])
}

// incoming numbers the temporary files of attachments within this process.
var incoming atomic.Int64

// sealIncoming streams a large attachment into a temporary file. The file gets its
// final name, by its content, before the line that names it is committed; so a
// crash between leaves a file that nobody names, and that is used when the same
// content comes again.
func (r *Run) sealIncoming(head []byte, in *hashed) (temp string, err error) {
	m := r.m
	if err := m.CheckSpace(); err != nil {
		return "", err
	}
	if err := m.fs.Mkdir(m.path("attachments")); err != nil {
		return "", err
	}
	temp = m.path("attachments", fmt.Sprintf("incoming-%d-%d.age%s", r.n, incoming.Add(1), disk.TempSuffix))
	if err := disk.RemoveTemp(m.fs, temp); err != nil {
		return "", err
	}
	if err := sealFile(m.fs, temp, io.MultiReader(bytes.NewReader(head), in), m.recipients(), io.Discard); err != nil {
		return "", m.full(errors.Join(err, disk.RemoveTemp(m.fs, temp)))
	}
	return temp, nil
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

func attachmentPath(n index.BlobName) string {
	name := hex.EncodeToString(n[:])
	return filepath.Join("attachments", name[:2], name+".age")
}

// nameAttachment gives a synced file its final name.
func (m *Mirror) nameAttachment(temp string, n index.BlobName) (index.File, error) {
	name := attachmentPath(n)
	if err := m.fs.Mkdir(m.path(filepath.Dir(name))); err != nil {
		return index.File{}, err
	}
	err := disk.Commit(m.fs, temp, m.path(name))
	if errors.Is(err, disk.ErrExists) { // of a run that was broken off
		err = errors.Join(disk.RemoveTemp(m.fs, temp), m.fs.SyncDir(m.path(filepath.Dir(name))))
	}
	if err != nil {
		return index.File{}, err
	}
	size, sum, err := archive.Sum(m.fs, m.path(name))
	return index.File{Name: filepath.ToSlash(name), Size: size, SHA256: sum}, err
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

// binaryLine is a small attachment as a line of ours.
func binaryLine(l *Link, content []byte) ([]byte, error) {
	typ := l.ContentType
	if typ == "" {
		typ = "application/octet-stream"
	}
	quoted, err := json.Marshal(typ)
	if err != nil {
		return nil, err
	}
	b := fmt.Appendf(nil, `{"resourceType":"Binary","id":"attachment-%x","meta":{"tag":[{"system":"%s","code":"attachment"}]},"contentType":%s,"data":"`,
		l.Name[:], lineTag, quoted)
	b = base64.StdEncoding.AppendEncode(b, content)
	return append(b, `"}`...), nil
}

// parseBlob returns what content a Binary line of ours holds.
func parseBlob(raw []byte) (name index.BlobName, size int64, err error) {
	var b struct {
		ID string `json:"id"`
	}
	content, err := binaryContent(raw)
	if err == nil {
		err = json.Unmarshal(raw, &b)
	}
	sum, herr := hex.DecodeString(strings.TrimPrefix(b.ID, "attachment-"))
	if err != nil || herr != nil || len(sum) != len(name) {
		return name, 0, fmt.Errorf("an attachment cannot be read: %w", ErrDamaged)
	}
	return index.BlobName(sum), int64(len(content)), nil
}

type parameters struct {
	ResourceType string `json:"resourceType"`
	Meta         struct {
		Tag []lineTagging `json:"tag"`
	} `json:"meta"`
	Parameter []parameter `json:"parameter"`
}

type parameter struct {
	Name        string `json:"name"`
	ValueString string `json:"valueString"`
}

// linkLine is a link as a line of ours: Parameters. "stored" names the file of a
// large attachment, once, with the size and the SHA-256 of its encrypted bytes.
func linkLine(l Link, f *index.File) ([]byte, error) {
	p := parameters{ResourceType: "Parameters"}
	p.Meta.Tag = []lineTagging{{System: lineTag, Code: "link"}}
	add := func(name, value string) {
		if value != "" {
			p.Parameter = append(p.Parameter, parameter{name, value})
		}
	}
	add("record", l.Type+"/"+l.ID)
	add("url", l.URL)
	add("contentType", l.ContentType)
	add("size", strconv.FormatInt(l.Size, 10))
	add("sha256", l.SHA256)
	add("problem", l.Problem)
	add("name", hex.EncodeToString(l.Name[:]))
	if f != nil {
		add("stored", fmt.Sprintf("%d %x %s", f.Size, f.SHA256, f.Name))
	}
	return json.Marshal(p)
}

// parseLink reads a link line; file is set if it names one.
func parseLink(raw []byte, source string) (l Link, file *index.File, err error) {
	var p parameters
	if err := json.Unmarshal(raw, &p); err != nil {
		return l, nil, fmt.Errorf("a link cannot be read: %w", ErrDamaged)
	}
	get := map[string]string{}
	for _, one := range p.Parameter {
		get[one.Name] = one.ValueString
	}
	typ, id, ok := strings.Cut(get["record"], "/")
	name, nerr := hex.DecodeString(get["name"])
	size, serr := strconv.ParseInt(get["size"], 10, 64)
	if !ok || nerr != nil || serr != nil || len(name) != len(l.Name) {
		return l, nil, fmt.Errorf("a link cannot be read: %w", ErrDamaged)
	}
	l = Link{Source: source, Type: typ, ID: id, URL: get["url"], ContentType: get["contentType"],
		Size: size, SHA256: get["sha256"], Problem: get["problem"], Name: index.BlobName(name)}
	if stored := get["stored"]; stored != "" {
		file = &index.File{}
		var sum []byte
		if _, err := fmt.Sscanf(stored, "%d %x %s", &file.Size, &sum, &file.Name); err != nil || len(sum) != 32 {
			return l, nil, fmt.Errorf("a link cannot be read: %w", ErrDamaged)
		}
		file.SHA256 = [32]byte(sum)
	}
	return l, file, nil
}
