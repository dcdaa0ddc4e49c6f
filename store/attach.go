package store

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"chartcellar/store/index"
)

// A Want is an attachment that a record names and that was not fetched yet.
type Want = index.Want

// A Link says which content an attachment of a record had when it was fetched.
type Link = index.Link

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

// Attach reads an attachment to its end and keeps it, sealed; equal contents are
// stored once. Before anything counts, check is asked: its error gives the content
// up, its problem is noted with the link. The want is fulfilled when the next
// part is durable. It may be called by several goroutines; at most
// SmallAttachment bytes of content are held in memory by each.
func (r *Run) Attach(ctx context.Context, w Want, contentType string, body io.Reader, check func(Content) (problem string, err error)) error {
	in, err := r.takeIn(attachmentFolder, body)
	if err != nil {
		return err
	}
	l := Link{Source: w.Source, Type: w.Type, ID: w.ID, URL: index.WithoutQuery(w.URL), ContentType: contentType}
	r.pipe.attaching.Lock()
	defer r.pipe.attaching.Unlock()
	if l.Problem, err = check(in.Content); err != nil {
		return errors.Join(err, r.m.giveUp(in))
	}
	l.Size, l.SHA256, l.Name = in.Size, hex.EncodeToString(in.SHA256), r.m.blobName(in.SHA256)
	content, err := r.admit(in, l.Name, contentType)
	if err != nil {
		return err
	}
	if same, err := r.linked(l); same || err != nil {
		return err
	}
	o := oursLine{typ: "Parameters", link: &l}
	return r.send(ctx, o, content, func(f *index.File) ([]byte, error) { return linkLine(l, f) })
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

// binaryLine is a small content as a line of ours.
func binaryLine(name index.BlobName, typ string, content []byte) ([]byte, error) {
	if typ == "" {
		typ = "application/octet-stream"
	}
	quoted, err := json.Marshal(typ)
	if err != nil {
		return nil, err
	}
	b := fmt.Appendf(nil, `{"resourceType":"Binary","id":"attachment-%x","meta":{"tag":[{"system":"%s","code":"attachment"}]},"contentType":%s,"data":"`,
		name[:], lineTag, quoted)
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

// linkLine is a link as a line of ours: Parameters. "stored" names the file of a
// large attachment, once, with the size and the SHA-256 of its encrypted bytes.
func linkLine(l Link, f *index.File) ([]byte, error) {
	p := newParameters(codeLink)
	p.add("record", l.Type+"/"+l.ID)
	p.add("url", l.URL)
	p.add("contentType", l.ContentType)
	p.add("size", strconv.FormatInt(l.Size, 10))
	p.add("sha256", l.SHA256)
	p.add("problem", l.Problem)
	p.add("name", hex.EncodeToString(l.Name[:]))
	p.stored(f)
	return json.Marshal(p)
}

// parseLink reads a link line; file is set if it names one.
func parseLink(p *parameters, source string) (l Link, file *index.File, err error) {
	get := p.values()
	typ, id, ok := strings.Cut(get["record"], "/")
	name, size, err := p.content()
	if !ok || err != nil {
		return l, nil, fmt.Errorf("a link cannot be read: %w", ErrDamaged)
	}
	l = Link{Source: source, Type: typ, ID: id, URL: get["url"], ContentType: get["contentType"],
		Size: size, SHA256: get["sha256"], Problem: get["problem"], Name: name}
	file, err = p.file()
	return l, file, err
}
