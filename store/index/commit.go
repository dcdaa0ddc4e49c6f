package index

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"
)

// A Part is what the index keeps of a part file.
type Part struct {
	Number  uint32   `json:"number"`
	Size    int64    `json:"size"`           // of the encrypted file
	SHA256  [32]byte `json:"sha256"`         // of the encrypted file
	Run     uint32   `json:"run"`            // the run that wrote it
	Lines   int      `json:"lines"`          // in all frames
	Leaves  int64    `json:"leaves"`         // size of the Merkle log after it
	Types   []string `json:"types"`          // resource types of its record frames
	RunFile [32]byte `json:"runFile"`        // SHA-256 of index.runs/N.run; zero once merged
	Lost    uint32   `json:"lost,omitempty"` // the part that states that this one is lost
	// Files are the files of attachments and holdings that this part is the first to name.
	Files []File `json:"files,omitempty"`
}

// A PartSize is how large a part is, with the files that it is the first to name.
type PartSize struct {
	Number, Run uint32
	Bytes       int64
}

func (p Part) brief() PartSize {
	s := PartSize{p.Number, p.Run, p.Size}
	for _, f := range p.Files {
		s.Bytes += f.Size
	}
	return s
}

// A File is that of a content with a file of its own.
type File struct {
	Name   string   `json:"name"`           // below the data folder, with '/'
	Size   int64    `json:"size"`           // of the encrypted file
	SHA256 [32]byte `json:"sha256"`         // of the encrypted file
	Lost   uint32   `json:"lost,omitempty"` // the part that states that it is lost
}

// A Commit is everything that becomes durable together with one part.
type Commit struct {
	Part    Part
	Hashes  []tlog.Hash // leaf hashes of its frames and footer
	Entries []Entry     // sorted by Sort; none when they are in the part's run file
	Changes Changes
	Wants   []Want // attachments that its records name
	Blobs   []Blob // contents that its lines hold or name
	Links   []Link // attachments of records
	Kept    []KeptFile
}

// Commit is the commit point C2: one transaction. When it returns nil the part
// counts. When it returns an error the part may or may not count; the caller
// must close the mirror and open it again.
func (d *DB) Commit(c Commit) error {
	d.write.Lock()
	defer d.write.Unlock()
	defer d.changes.Add(1) // not before it stands in memory, too
	states := d.States()
	err := d.transact(func(tx *bolt.Tx) error { return d.commit(tx, &c, states) })
	if err != nil {
		return fmt.Errorf("commit part %d: %w", c.Part.Number, err)
	}
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	d.states = states
	if c.Part.RunFile != ([32]byte{}) {
		d.files[c.Part.Number] = true
	}
	d.sizes = append(d.sizes, c.Part.brief())
	if c.Changes.Lost != nil {
		d.lost = maps.Clone(d.lost)
		for _, l := range c.Changes.Lost.Files {
			if l.Part != nil {
				d.lost[l.Part.Number] = true
			}
		}
	}
	return d.view(func(tx *bolt.Tx) error {
		d.refresh(tx)
		return d.rehead(tx, &c)
	})
}

// rehead notes the runs that a commit has changed. The caller holds stateMu.
func (d *DB) rehead(tx *bolt.Tx, c *Commit) error {
	changed := []uint32{c.Part.Run}
	for _, dec := range c.Changes.Decide {
		changed = append(changed, dec.Run)
	}
	if c.Changes.Lost != nil {
		changed = slices.AppendSeq(changed, maps.Keys(c.Changes.Lost.Runs))
	}
	for _, n := range changed {
		r, ok, err := d.run(tx, n)
		if err != nil {
			return err
		}
		if ok {
			d.heads[n], d.list = r.head(), nil
		}
	}
	return nil
}

func (d *DB) commit(tx *bolt.Tx, c *Commit, states States) error {
	leaves, err := appendLeaves(tx, c.Hashes)
	if err != nil {
		return err
	}
	c.Part.Leaves = leaves
	if err := d.attach(tx, c); err != nil {
		return err
	}
	if err := putPart(tx, c.Part); err != nil {
		return err
	}
	counts := Counts{}
	counts.Add(c.Changes.Counts)
	c.Changes.Counts = counts
	if err := d.insert(tx, c.Entries, counts, states); err != nil {
		return err
	}
	return d.apply(tx, c.Part, &c.Changes, states)
}

// insert puts the entries of one part into current, versions and pending. A
// pull decides what is new before the parts before this one are committed; so
// what stands twice in one run is found here, and the counts are set right.
func (d *DB) insert(tx *bolt.Tx, entries []Entry, counts Counts, states States) error {
	lost := d.Lost()
	for rest := entries; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Key == rest[0].Key {
			n++
		}
		if err := d.insertKey(tx, rest[:n], counts, states, lost); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return putPatients(tx, entries)
}

// insertKey puts the new entries of one record.
func (d *DB) insertKey(tx *bolt.Tx, entries []Entry, counts Counts, states States, lost map[uint32]bool) error {
	list, err := d.newer(entriesIn(tx), entries[0].Key, true, nil, nil)
	if err != nil {
		return err
	}
	old := len(list)
	kept := list // of earlier runs
	for len(kept) > 0 && kept[len(kept)-1].Run == entries[0].Run {
		kept = kept[:len(kept)-1]
	}
	before, found := newestOf(kept, states)
	again := found && lost[before.Part] && before.Flags&Tombstone == 0
	list = append(list, entries...)
	Mark(list)
	for i := range entries {
		e := &list[old+i]
		recount(counts, entries[i].Flags, e, again)
		switch {
		case e.Flags&New != 0:
			err = d.putEntry(tx.Bucket(bCurrent), e.Key[:], e)
		case e.Flags&aside != 0:
			err = d.putEntry(tx.Bucket(bVersions), versionKey(e), e)
		default:
			err = d.putEntry(tx.Bucket(bPending), versionKey(e), e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// recount moves an entry from new or changed to duplicates if that is what it
// turned out to be; a second tombstone was none. lost says that what was kept before
// was lost.
func recount(counts Counts, before Flags, e *Entry, lost bool) {
	c, known := counts[TypeName(e.Key.Type())]
	again := e.Flags&(Stale|Duplicate) != 0
	switch {
	case !known:
		return
	case e.Flags&Tombstone != 0:
		if again {
			c.Removed--
		}
	case before&New != 0 && e.Flags&New == 0:
		c.New--
		c.Duplicates++
	case again && lost:
		c.Again--
		c.Duplicates++
	case again:
		c.Changed--
		c.Duplicates++
	}
	counts[TypeName(e.Key.Type())] = c
}

func (d *DB) putEntry(b *bolt.Bucket, key []byte, e *Entry) error {
	return put(b, key, d.appendEntry(make([]byte, 0, entryLen), e))
}

// apply writes what the part changes beside records.
func (d *DB) apply(tx *bolt.Tx, p Part, c *Changes, states States) error {
	for name, v := range c.Progress {
		if err := d.putProgress(tx, p.Run, name, v); err != nil {
			return err
		}
	}
	for _, g := range c.Gaps {
		b, k := tx.Bucket(bGaps), d.nameKey(g.ID)
		if g.Closed != "" {
			if err := b.Delete(k); err != nil {
				return err
			}
			continue
		}
		if err := d.putSealed(b, "gap", k, g); err != nil {
			return err
		}
	}
	for _, dec := range c.Decide {
		if err := d.decide(tx, dec, states); err != nil {
			return err
		}
	}
	if c.Lost != nil {
		if err := d.lose(tx, p.Number, c.Lost, states); err != nil {
			return err
		}
	}
	return d.applyRun(tx, p, c, states)
}

func (d *DB) putProgress(tx *bolt.Tx, run uint32, name string, v json.RawMessage) error {
	b, k := tx.Bucket(bProgress), append(runKey(run), d.nameKey(name)...)
	if string(v) == "null" {
		return b.Delete(k)
	}
	return d.putSealed(b, "progress", k, v)
}

func (d *DB) applyRun(tx *bolt.Tx, p Part, c *Changes, states States) error {
	r, known, err := d.run(tx, p.Run)
	if err != nil {
		return err
	}
	if c.Start != nil {
		r, known = *c.Start, true
	}
	if !known {
		return fmt.Errorf("run %d was never started: %w", p.Run, ErrBad)
	}
	if r.Counts == nil {
		r.Counts = Counts{}
	}
	r.Counts.Add(c.Counts)
	if c.Close != nil {
		r.States, r.Ended, r.Record = c.Close.States, c.Close.Ended, c.Close.Record
		r.Certificate, r.Verdict = c.Close.Certificate, c.Close.Verdict
		r.Proposed, r.Closing, r.Counts = c.Close.Proposed, p.Number, c.Close.Counts
		if err := d.putCursors(tx, c.Close.Cursors); err != nil {
			return err
		}
		if err := d.putAbsent(tx, r.Source, c.Close.Absent); err != nil {
			return err
		}
		if err := dropProgress(tx, p.Run); err != nil {
			return err
		}
	}
	states[p.Run] = r.States
	return d.putSealed(tx.Bucket(bRuns), "run", runKey(p.Run), r)
}

func (d *DB) putCursors(tx *bolt.Tx, list []Cursor) error {
	for _, c := range list {
		if err := d.putSealed(tx.Bucket(bCursors), "cursor", d.nameKey(c.name()), c); err != nil {
			return err
		}
	}
	return nil
}

// dropProgress forgets the progress of a run that is closed.
func dropProgress(tx *bolt.Tx, run uint32) error {
	b := tx.Bucket(bProgress)
	prefix := runKey(run)
	c := b.Cursor()
	for k, _ := c.Seek(prefix); k != nil && string(k[:4]) == string(prefix); k, _ = c.Seek(prefix) {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// decide sets the state of one held type; an accepted one moves its cursor.
func (d *DB) decide(tx *bolt.Tx, dec Decision, states States) error {
	r, known, err := d.run(tx, dec.Run)
	if err != nil {
		return err
	}
	if !known || r.States.Types[dec.Type] != Held {
		return fmt.Errorf("run %d does not hold %s", dec.Run, dec.Type)
	}
	types := make(map[string]State, len(r.States.Types))
	for t, s := range r.States.Types {
		types[t] = s
	}
	types[dec.Type] = Rejected
	var left []Cursor
	for _, c := range r.Proposed {
		switch {
		case c.Type != dec.Type:
			left = append(left, c)
		case dec.Accept:
			if err := d.putCursors(tx, []Cursor{c}); err != nil {
				return err
			}
		default:
			c.Since = time.Time{} // the next run starts full and compares everything again
			if err := d.putCursors(tx, []Cursor{c}); err != nil {
				return err
			}
		}
	}
	if dec.Accept {
		types[dec.Type] = Applied
	}
	r.States.Types, r.Proposed = types, left
	states[dec.Run] = r.States
	return d.putSealed(tx.Bucket(bRuns), "run", runKey(dec.Run), r)
}

func partKey(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func putPart(tx *bolt.Tx, p Part) error {
	v, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write part %d to the index: %w", p.Number, err)
	}
	return put(tx.Bucket(bParts), partKey(p.Number), v)
}

func parsePart(k, v []byte) (Part, error) {
	var p Part
	b, err := checked(k, v)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return p, fmt.Errorf("read a part in the index: %v: %w", err, ErrBad)
	}
	return p, nil
}

func eachPart(tx *bolt.Tx, fn func(Part) error) error {
	return tx.Bucket(bParts).ForEach(func(k, v []byte) error {
		p, err := parsePart(k, v)
		if err != nil {
			return err
		}
		return fn(p)
	})
}

// EachPart calls fn for every part in order.
func (d *DB) EachPart(fn func(Part) error) error {
	return d.view(func(tx *bolt.Tx) error { return eachPart(tx, fn) })
}

// EachPartAfter calls fn for every part with a number above n, in order.
func (d *DB) EachPartAfter(n uint32, fn func(Part) error) error {
	return d.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(bParts).Cursor()
		for k, v := c.Seek(partKey(n + 1)); k != nil; k, v = c.Next() {
			p, err := parsePart(k, v)
			if err == nil {
				err = fn(p)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// PartSizes returns how large each part is, in order, from memory. The list must not be
// modified.
func (d *DB) PartSizes() []PartSize {
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	return slices.Clip(d.sizes)
}

// LastPart returns the newest part; ok is false in an empty mirror.
func (d *DB) LastPart() (p Part, ok bool, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		k, v := tx.Bucket(bParts).Cursor().Last()
		if k == nil {
			return nil
		}
		ok = true
		p, err = parsePart(k, v)
		return err
	})
	return p, ok, err
}

// Part returns one part.
func (d *DB) Part(n uint32) (p Part, ok bool, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		v := tx.Bucket(bParts).Get(partKey(n))
		if v == nil {
			return nil
		}
		ok = true
		p, err = parsePart(partKey(n), v)
		return err
	})
	return p, ok, err
}
