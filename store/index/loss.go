package index

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"
)

// A Loss states for ever that a file of the archive is gone (I4). A part's carries
// all that the index keeps of it, so that the index can still be made anew from
// the archive, and so that no older version of a record passes for the newest.
type Loss struct {
	// Part is the row of the part; for an attachment, nil. Leaves are its places in the
	// log, and Entries its lines of records, each as the index has it: 16 bytes of key
	// and the value.
	Part    *Part       `json:"part,omitempty"`
	Leaves  []tlog.Hash `json:"leaves,omitempty"`
	Entries []byte      `json:"entries,omitempty"`
	// File is an attachment file.
	File *File `json:"file,omitempty"`
}

// Losses are what one closing part states to be gone, and what the index held then
// that may have stood in the lost parts: the runs that they began, ended or decided,
// and the open gaps of the source.
type Losses struct {
	At     time.Time           `json:"at"`
	Source string              `json:"source"`
	Files  []Loss              `json:"files"`
	Runs   map[uint32]RunState `json:"runs,omitempty"`
	Gaps   []Gap               `json:"gaps,omitempty"`
}

const lossRow = len(Key{}) + entryLen

// Lost returns the parts that were declared lost. The map must not be modified.
func (d *DB) Lost() map[uint32]bool {
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	return d.lost
}

// Losses returns what the index keeps of some parts and attachment files of one
// source, to be stated as lost. What the parts themselves stated as lost is stated
// again.
func (d *DB) Losses(ctx context.Context, source string, parts []Part, files []File) (*Losses, error) {
	l := &Losses{Source: source, Runs: map[uint32]RunState{}}
	err := d.EachPart(func(p Part) error {
		if slices.ContainsFunc(parts, func(q Part) bool { return q.Number == p.Lost }) {
			parts = append(parts, p)
		}
		for _, f := range p.Files {
			if slices.ContainsFunc(parts, func(q Part) bool { return q.Number == f.Lost }) {
				files = append(files, f)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	at := map[uint32]int{}
	for _, p := range parts {
		p.Lost, p.RunFile = 0, [32]byte{}
		leaves, err := d.leaves(p.Number)
		if err != nil {
			return nil, err
		}
		at[p.Number] = len(l.Files)
		l.Files = append(l.Files, Loss{Part: &p, Leaves: leaves})
		if l.Runs[p.Run], _, err = d.Run(p.Run); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		f.Lost = 0
		l.Files = append(l.Files, Loss{File: &f})
	}
	err = d.EachVersion(ctx, d.States(), func(e *Entry, _ bool) {
		if i, ok := at[e.Part]; ok {
			l.Files[i].Entries = d.appendEntry(append(l.Files[i].Entries, e.Key[:]...), e)
		}
	})
	if err != nil {
		return nil, err
	}
	return l, d.standing(l)
}

// standing notes the runs of the source whose types were or are held, since a lost
// part may have decided on them, and the open gaps.
func (d *DB) standing(l *Losses) error {
	for _, r := range d.Runs() {
		if r.Source != l.Source || len(r.States.Types) == 0 {
			continue
		}
		var err error
		if l.Runs[r.Number], _, err = d.Run(r.Number); err != nil {
			return err
		}
	}
	var err error
	if l.Source != "" {
		l.Gaps, err = d.Gaps(l.Source)
	}
	return err
}

// leaves returns the leaves of a part in the log.
func (d *DB) leaves(n uint32) (list []tlog.Hash, err error) {
	p, ok, err := d.Part(n)
	if err != nil || !ok {
		return nil, fmt.Errorf("part %d is not in the index: %w", n, ErrBad)
	}
	before := Part{}
	if n > 1 {
		if before, ok, err = d.Part(n - 1); err != nil || !ok {
			return nil, fmt.Errorf("part %d is not in the index: %w", n-1, ErrBad)
		}
	}
	var at []int64
	for i := before.Leaves; i < p.Leaves; i++ {
		at = append(at, tlog.StoredHashIndex(0, i))
	}
	err = d.view(func(tx *bolt.Tx) error {
		list, err = treeReader(tx).ReadHashes(at)
		return err
	})
	return list, err
}

// Leaves returns the leaves of a part as the log has them.
func (d *DB) Leaves(n uint32) ([]tlog.Hash, error) { return d.leaves(n) }

// eachLost calls fn for the entries that a loss states.
func (d *DB) eachLost(l *Loss, fn func(*Entry)) error {
	for b := l.Entries; len(b) > 0; b = b[lossRow:] {
		if len(b) < lossRow {
			return fmt.Errorf("a loss record is cut: %w", ErrBad)
		}
		e, err := d.parseEntry(b[:len(Key{})], b[len(Key{}):lossRow])
		if err != nil {
			return err
		}
		fn(&e)
	}
	return nil
}

// AddLost adds a part that a loss record of the part by states to be gone, in its
// place among the others.
func (r *Rebuild) AddLost(l Loss, runs map[uint32]RunState, by uint32) error {
	c := Commit{Part: *l.Part, Hashes: l.Leaves}
	c.Part.Lost = by
	if _, known := r.d.states[c.Part.Run]; !known {
		s := runs[c.Part.Run]
		c.Changes.Start = &s
	}
	if err := r.d.eachLost(&l, func(e *Entry) { c.Entries = append(c.Entries, *e) }); err != nil {
		return err
	}
	return r.add(c)
}

// AddLost adds the entries that a loss states, as they would have been read.
func (t *Tally) AddLost(d *DB, l Loss) error {
	return d.eachLost(&l, t.Add)
}

// lose notes what a closing part states to be gone. The caller has put the part's own
// row.
func (d *DB) lose(tx *bolt.Tx, by uint32, l *Losses, states States) error {
	for _, one := range l.Files {
		if err := loseFile(tx, by, one); err != nil {
			return err
		}
	}
	for n, r := range l.Runs {
		states[n] = r.States
		if err := d.putSealed(tx.Bucket(bRuns), "run", runKey(n), r); err != nil {
			return err
		}
	}
	if err := d.replaceGaps(tx, l); err != nil {
		return err
	}
	return d.dropContents(tx)
}

func loseFile(tx *bolt.Tx, by uint32, l Loss) error {
	var rows []Part
	err := eachPart(tx, func(p Part) error {
		if l.Part != nil && p.Number == l.Part.Number {
			p.Lost = by
			rows = append(rows, p)
			return nil
		}
		i := slices.IndexFunc(p.Files, func(f File) bool { return l.File != nil && f.Name == l.File.Name && f.SHA256 == l.File.SHA256 })
		if i >= 0 {
			p.Files[i].Lost = by
			rows = append(rows, p)
		}
		return nil
	})
	for _, p := range rows {
		if err == nil {
			err = putPart(tx, p)
		}
	}
	return err
}

// replaceGaps makes the open gaps of a source those that a loss record has.
func (d *DB) replaceGaps(tx *bolt.Tx, l *Losses) error {
	if l.Source == "" {
		return nil
	}
	b := tx.Bucket(bGaps)
	var gone [][]byte
	err := b.ForEach(func(k, v []byte) error {
		var g Gap
		err := d.unseal("gap", k, v, &g)
		if err == nil && g.Source == l.Source {
			gone = append(gone, slices.Clone(k))
		}
		return err
	})
	for _, k := range gone {
		if err == nil {
			err = b.Delete(k)
		}
	}
	for _, g := range l.Gaps {
		if err == nil {
			err = d.putSealed(b, "gap", d.nameKey(g.ID), g)
		}
	}
	return err
}

// dropContents forgets the contents that are lost, and what names them; what an
// attachment was fetched for wants it again.
func (d *DB) dropContents(tx *bolt.Tx) error {
	parts, files := map[uint32]bool{}, map[[32]byte]bool{}
	err := eachPart(tx, func(p Part) error {
		parts[p.Number] = p.Lost > 0
		for _, f := range p.Files {
			files[f.SHA256] = f.Lost > 0
		}
		return nil
	})
	if err != nil {
		return err
	}
	var gone [][]byte
	err = tx.Bucket(bBlobs).ForEach(func(k, v []byte) error {
		value, err := checked(k, v)
		if err != nil {
			return err
		}
		b, err := parseBlob(BlobName(k), value)
		if err == nil && (parts[b.Part] || b.File != nil && files[b.File.SHA256]) {
			gone = append(gone, slices.Clone(k))
		}
		return err
	})
	for _, k := range gone {
		if err == nil {
			err = tx.Bucket(bBlobs).Delete(k)
		}
	}
	if err != nil {
		return err
	}
	if err := d.dropLinks(tx, parts); err != nil {
		return err
	}
	return d.dropKept(tx, parts)
}

// dropKept forgets the files of holdings whose lines or contents are lost: one that
// still lies where it was read from is kept anew.
func (d *DB) dropKept(tx *bolt.Tx, lost map[uint32]bool) error {
	rows, blobs := tx.Bucket(bHoldings), tx.Bucket(bBlobs)
	var gone []KeptFile
	err := eachSealed(d, rows, "holding", nil, func(f KeptFile) {
		if lost[f.Part] || blobs.Get(f.Name[:]) == nil {
			gone = append(gone, f)
		}
	})
	for _, f := range gone {
		if err == nil {
			err = rows.Delete(d.keptKey(f))
		}
	}
	return err
}

// dropLinks forgets the links of lost parts and those that name no content any more.
func (d *DB) dropLinks(tx *bolt.Tx, lost map[uint32]bool) error {
	links, blobs := tx.Bucket(bLinks), tx.Bucket(bBlobs)
	var gone []Link
	err := eachSealed(d, links, "link", nil, func(l Link) {
		if lost[l.Part] || blobs.Get(l.Name[:]) == nil {
			gone = append(gone, l)
		}
	})
	if err != nil {
		return err
	}
	for _, l := range gone {
		k := d.linkKey(l.Source, l.Type, l.ID, l.URL)
		w := Want{Source: l.Source, Type: l.Type, ID: l.ID, URL: l.URL, ContentType: l.ContentType, Size: -1}
		if tx.Bucket(bWanted).Get(k) == nil {
			if err := d.putSealed(tx.Bucket(bWanted), "wanted", k, w); err != nil {
				return err
			}
		}
		if err := links.Delete(binary.BigEndian.AppendUint32(k, l.Part)); err != nil {
			return err
		}
	}
	return nil
}
