package index

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// A Want is an attachment that a stored record names by an address and that was
// not fetched yet. Wants are a function of the parts, but for those that turned
// out to need no fetching.
type Want struct {
	Source      string `json:"source"`
	Type        string `json:"type"` // of the record
	ID          string `json:"id"`
	URL         string `json:"url"` // as the record has it
	ContentType string `json:"contentType,omitempty"`
	Hash        string `json:"hash,omitempty"` // as the record has it: base64 of SHA-1
	Size        int64  `json:"size"`           // -1 if the record does not say
}

// A BlobName stands for the content of an attachment or of a file of a holding: 16 bytes of a keyed hash of
// its SHA-256, so that equal contents are stored once.
type BlobName [16]byte

// A Blob is where the content of an attachment lies: in a line of a part, or in a
// file of its own if File is set.
type Blob struct {
	Name BlobName
	Loc        // of the Binary line; of the link line for a file
	Size int64 // of the content
	File *File
}

// A Link says which content an attachment of a record had when it was fetched.
type Link struct {
	Source      string   `json:"source"`
	Type        string   `json:"type"` // of the record
	ID          string   `json:"id"`
	URL         string   `json:"url"` // as the record has it, without its query
	ContentType string   `json:"contentType,omitempty"`
	Size        int64    `json:"size"`
	SHA256      string   `json:"sha256"`            // of the content, hex
	Problem     string   `json:"problem,omitempty"` // how it differs from what the record says
	Name        BlobName `json:"name"`
	Part        uint32   `json:"part"` // the part of its link line
}

// WithoutQuery returns an address up to its query: two addresses that differ
// only there, as signed ones do, name the same content.
func WithoutQuery(url string) string {
	url, _, _ = strings.Cut(url, "?")
	return url
}

// linkKey is the key of a record's attachment in wanted and, with the part
// behind it, in links.
func (d *DB) linkKey(source, typ, id, url string) []byte {
	k := d.Hasher(source).Key([]byte(typ), []byte(id))
	m := hmac.New(sha256.New, d.keys.name)
	m.Write([]byte("attachment\x00" + WithoutQuery(url)))
	return append(append(make([]byte, 0, 28), k[:]...), m.Sum(nil)[:8]...)
}

// attach puts what a part says of attachments: first what its records want, then
// what its lines bring.
func (d *DB) attach(tx *bolt.Tx, c *Commit) error {
	for _, w := range c.Wants {
		k := d.linkKey(w.Source, w.Type, w.ID, w.URL)
		if err := d.putSealed(tx.Bucket(bWanted), "wanted", k, w); err != nil {
			return err
		}
	}
	for i := range c.Blobs {
		if err := putBlob(tx, &c.Blobs[i], &c.Part); err != nil {
			return err
		}
	}
	for _, l := range c.Links {
		l.Part = c.Part.Number
		k := d.linkKey(l.Source, l.Type, l.ID, l.URL)
		if l.Problem == "" { // else it is fetched again by the next run
			if err := tx.Bucket(bWanted).Delete(k); err != nil {
				return err
			}
		}
		if err := d.putSealed(tx.Bucket(bLinks), "link", binary.BigEndian.AppendUint32(k, l.Part), l); err != nil {
			return err
		}
	}
	return d.keep(tx, c)
}

// putBlob notes where a content lies; the first place counts.
func putBlob(tx *bolt.Tx, b *Blob, p *Part) error {
	bucket := tx.Bucket(bBlobs)
	if bucket.Get(b.Name[:]) != nil {
		return nil
	}
	v := binary.LittleEndian.AppendUint32(nil, b.Part)
	v = binary.LittleEndian.AppendUint16(v, b.Frame)
	v = binary.LittleEndian.AppendUint16(v, b.Line)
	v = binary.LittleEndian.AppendUint64(v, uint64(b.Size))
	if b.File != nil {
		p.Files = append(p.Files, *b.File)
		file, err := json.Marshal(b.File)
		if err != nil {
			return fmt.Errorf("write an attachment to the index: %w", err)
		}
		v = append(v, file...)
	}
	return put(bucket, b.Name[:], v)
}

// Blob returns where a content lies; ok is false if the mirror does not have it.
func (d *DB) Blob(name BlobName) (b Blob, ok bool, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		v, err := get(tx.Bucket(bBlobs), name[:])
		if v == nil || err != nil {
			return err
		}
		ok = true
		b, err = parseBlob(name, v)
		return err
	})
	return b, ok, err
}

func parseBlob(name BlobName, v []byte) (Blob, error) {
	if len(v) < 16 {
		return Blob{}, fmt.Errorf("index entry of an attachment is cut: %w", ErrBad)
	}
	le := binary.LittleEndian
	b := Blob{Name: name, Loc: Loc{le.Uint32(v), le.Uint16(v[4:]), le.Uint16(v[6:])}, Size: int64(le.Uint64(v[8:]))}
	if len(v) > 16 {
		b.File = &File{}
		if err := json.Unmarshal(v[16:], b.File); err != nil {
			return b, fmt.Errorf("index entry of an attachment: %v: %w", err, ErrBad)
		}
	}
	return b, nil
}

// EachBlob calls fn for every content of an attachment that the mirror has.
func (d *DB) EachBlob(fn func(Blob)) error {
	return d.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bBlobs).ForEach(func(k, v []byte) error {
			value, err := checked(k, v)
			if err != nil || len(k) != len(BlobName{}) {
				return errors.Join(err, ErrBad)
			}
			b, err := parseBlob(BlobName(k), value)
			if err == nil {
				fn(b)
			}
			return err
		})
	})
}

// EachLink calls fn for every attachment of a record that was fetched.
func (d *DB) EachLink(fn func(Link)) error {
	return d.view(func(tx *bolt.Tx) error { return eachSealed(d, tx.Bucket(bLinks), "link", nil, fn) })
}

// Links returns the attachments of a record that were fetched up to a part,
// oldest first.
func (d *DB) Links(source, typ, id string, part uint32) ([]Link, error) {
	k := d.Hasher(source).Key([]byte(typ), []byte(id))
	var list []Link
	err := d.view(func(tx *bolt.Tx) error {
		return eachSealed(d, tx.Bucket(bLinks), "link", k[:], func(l Link) {
			if l.Part <= part {
				list = append(list, l)
			}
		})
	})
	return list, err
}

// Wants returns at most max attachments of a source that are to be fetched,
// behind the place that an earlier call returned (nil: from the start). It returns
// none at the end.
func (d *DB) Wants(source string, behind []byte, max int) (list []Want, last []byte, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(bWanted).Cursor()
		k, v := c.Seek(behind)
		if behind != nil && bytes.Equal(k, behind) {
			k, v = c.Next()
		}
		for ; k != nil && len(list) < max; k, v = c.Next() {
			var w Want
			if err := d.unseal("wanted", k, v, &w); err != nil {
				return err
			}
			if w.Source == source {
				list, last = append(list, w), bytes.Clone(k)
			}
		}
		return nil
	})
	return list, last, err
}

// DropWants forgets attachments that need no fetching: the mirror has the
// record they name, or the record that named them has changed.
func (d *DB) DropWants(wants []Want) error {
	d.write.Lock()
	defer d.write.Unlock()
	return d.update(func(tx *bolt.Tx) error {
		for _, w := range wants {
			if err := tx.Bucket(bWanted).Delete(d.linkKey(w.Source, w.Type, w.ID, w.URL)); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachSealed calls fn for the sealed values whose keys begin with prefix.
func eachSealed[T any](d *DB, b *bolt.Bucket, purpose string, prefix []byte, fn func(T)) error {
	c := b.Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		var one T
		if err := d.unseal(purpose, k, v, &one); err != nil {
			return err
		}
		fn(one)
	}
	return nil
}

// An Absence is a record that a whole listing of its type lacked.
type Absence struct {
	Key   []byte `json:"key"`   // of the record
	First uint32 `json:"first"` // the run that found it first
	At    int64  `json:"at"`    // when that was, Unix seconds
	How   string `json:"how"`   // missing: the EMR says it is not there; unread: it could not be asked
}

// putAbsent replaces the marks of the types that were listed.
func (d *DB) putAbsent(tx *bolt.Tx, source string, marks map[string][]Absence) error {
	for typ, list := range marks {
		k := d.nameKey(source + "\x00" + typ)
		if len(list) == 0 {
			if err := tx.Bucket(bAbsent).Delete(k); err != nil {
				return err
			}
			continue
		}
		if err := d.putSealed(tx.Bucket(bAbsent), "absent", k, list); err != nil {
			return err
		}
	}
	return nil
}

// Absent returns the records that the last whole listing of a type lacked.
func (d *DB) Absent(source, typ string) ([]Absence, error) {
	var list []Absence
	err := d.view(func(tx *bolt.Tx) error {
		k := d.nameKey(source + "\x00" + typ)
		v := tx.Bucket(bAbsent).Get(k)
		if v == nil {
			return nil
		}
		return d.unseal("absent", k, v, &list)
	})
	return list, err
}
