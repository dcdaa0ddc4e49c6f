package index

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// Newest returns, for each key, the newest version that was not rejected, also
// of open and held runs: what a writer compares with, so that nothing is stored
// twice. Found is false where the mirror never held the record. Entries that
// are still in run files are looked at only if runs is set.
func (d *DB) Newest(keys []Key, runs bool, fn func(i int, e Entry, found bool) error) error {
	d.stateMu.Lock()
	none := d.empty && !d.pending && (!runs || len(d.files) == 0)
	d.stateMu.Unlock()
	if none {
		for i := range keys {
			if err := fn(i, Entry{}, false); err != nil {
				return err
			}
		}
		return nil
	}
	look := func(tx *bolt.Tx, files []*runFile) error {
		d.stateMu.Lock()
		states, pending := d.states, d.pending
		d.stateMu.Unlock()
		var buf []Entry
		in := entriesIn(tx)
		for i, k := range keys {
			list, err := d.newer(in, k, pending, files, buf[:0])
			if err != nil {
				return err
			}
			buf = list
			e, found := newestOf(list, states)
			if err := fn(i, e, found); err != nil {
				return err
			}
		}
		return nil
	}
	if runs {
		return d.viewRuns(look)
	}
	return d.view(func(tx *bolt.Tx) error { return look(tx, nil) })
}

// viewRuns is view with the run files, which a merge may remove as soon as it ends.
func (d *DB) viewRuns(fn func(*bolt.Tx, []*runFile) error) error {
	return d.view(func(tx *bolt.Tx) error {
		d.stateMu.Lock()
		list := d.fileList()
		d.stateMu.Unlock()
		files := make([]*runFile, 0, len(list))
		defer func() {
			for _, r := range files {
				r.f.Close() // read only
			}
		}()
		for _, n := range list {
			r, err := d.openRunFile(n)
			if err != nil {
				return err
			}
			files = append(files, r)
		}
		return fn(tx, files)
	})
}

// newestOf returns the last entry that was not rejected. An entry that never
// counts (stale, subsetted) is no state to compare with.
func newestOf(list []Entry, states States) (Entry, bool) {
	for i := len(list) - 1; i >= 0; i-- {
		e := &list[i]
		if e.Flags&aside == 0 && (e.Flags&New != 0 || states.Of(e) != Rejected) {
			return *e, true
		}
	}
	return Entry{}, false
}

// fileList returns the parts with run files, in order. The caller holds stateMu.
func (d *DB) fileList() []uint32 { return slices.Sorted(maps.Keys(d.files)) }

// entryBuckets are where entries are, opened once for many keys.
type entryBuckets struct{ current, versions, pending *bolt.Bucket }

func entriesIn(tx *bolt.Tx) entryBuckets {
	return entryBuckets{tx.Bucket(bCurrent), tx.Bucket(bVersions), tx.Bucket(bPending)}
}

// newer appends the current entry of a key and the later ones that wait, in
// the order of their commits.
func (d *DB) newer(in entryBuckets, k Key, pending bool, files []*runFile, to []Entry) ([]Entry, error) {
	v, err := get(in.current, k[:])
	if err != nil {
		return nil, err
	}
	if v != nil {
		e, err := d.parseEntry(k[:], v)
		if err != nil {
			return nil, err
		}
		to = append(to, e)
	}
	if pending {
		if to, err = d.prefix(in.pending, k, to); err != nil {
			return nil, err
		}
	}
	for _, r := range files {
		if to, err = r.find(k, to); err != nil {
			return nil, err
		}
	}
	if len(files) > 0 {
		slices.SortFunc(to, func(a, b Entry) int { return compare(&a, &b) })
	}
	return to, nil
}

// prefix appends the entries of one key in versions or pending.
func (d *DB) prefix(b *bolt.Bucket, k Key, to []Entry) ([]Entry, error) {
	c := b.Cursor()
	for key, v := c.Seek(k[:]); key != nil && bytes.HasPrefix(key, k[:]); key, v = c.Next() {
		value, err := checked(key, v)
		if err != nil {
			return nil, err
		}
		e, err := d.parseEntry(key, value)
		if err != nil {
			return nil, err
		}
		to = append(to, e)
	}
	return to, nil
}

// Versions returns every version of a record, marked, in the order of their commits,
// counted or not.
func (d *DB) Versions(k Key) (list []Entry, err error) {
	err = d.VersionsOf([]Key{k}, func(_ int, l []Entry) error { list = l; return nil })
	return list, err
}

// VersionsOf calls fn with what Versions returns for each of the keys, which it may keep.
func (d *DB) VersionsOf(keys []Key, fn func(i int, list []Entry) error) error {
	lists := make([][]Entry, len(keys))
	err := d.viewRuns(func(tx *bolt.Tx, files []*runFile) error {
		in := entriesIn(tx)
		for i, k := range keys {
			list, err := d.prefix(in.versions, k, nil)
			if err != nil {
				return err
			}
			if list, err = d.newer(in, k, true, files, list); err != nil {
				return err
			}
			slices.SortFunc(list, func(a, b Entry) int { return compare(&a, &b) })
			lists[i] = slices.CompactFunc(list, func(a, b Entry) bool { return a.Loc == b.Loc })
			if len(files) > 0 {
				Mark(lists[i])
			}
		}
		return nil
	})
	for i := 0; i < len(lists) && err == nil; i++ {
		err = fn(i, lists[i])
	}
	return err
}

// A Line is a place in a patient's list: some version of some record.
type Line struct {
	Loc
	Type byte
}

// Compartment returns the places of all versions of all records that belong
// to a patient, in the order of their commits.
func (d *DB) Compartment(p Patient) ([]Line, error) {
	var list []Line
	err := d.viewRuns(func(tx *bolt.Tx, files []*runFile) (err error) {
		c := tx.Bucket(bPatient).Cursor()
		for k, v := c.Seek(p[:]); k != nil && bytes.HasPrefix(k, p[:]); k, v = c.Next() {
			value, err := checked(k, v)
			if err != nil {
				return err
			}
			list = appendPatientLines(list, binary.BigEndian.Uint32(k[8:]), value)
		}
		for _, r := range files {
			if list, err = r.linesOf(p, list); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b Line) int { return int(int64(a.order()) - int64(b.order())) })
	return list, nil
}

// putPatients adds the entries of one part to the lists of their patients:
// one packed value per patient and part.
func putPatients(tx *bolt.Tx, entries []Entry) error {
	b := tx.Bucket(bPatient)
	list := byPatient(entries)
	for len(list) > 0 {
		p, part := list[0].Patient, list[0].Part
		n := 0
		var v []byte
		for n < len(list) && list[n].Patient == p && list[n].Part == part {
			v = packPatientLine(v, list[n].Key.Type(), list[n].Frame, list[n].Line)
			n++
		}
		if p != (Patient{}) {
			k := binary.BigEndian.AppendUint32(append([]byte{}, p[:]...), part)
			if err := put(b, k, v); err != nil {
				return err
			}
		}
		list = list[n:]
	}
	return nil
}

func packPatientLine(v []byte, typ byte, frame, line uint16) []byte {
	v = append(v, typ)
	v = binary.LittleEndian.AppendUint16(v, frame)
	return binary.LittleEndian.AppendUint16(v, line)
}

func appendPatientLines(to []Line, part uint32, v []byte) []Line {
	for ; len(v) >= 5; v = v[5:] {
		to = append(to, Line{Loc{part, binary.LittleEndian.Uint16(v[1:]),
			binary.LittleEndian.Uint16(v[3:])}, v[0]})
	}
	return to
}

// EachCurrent calls fn for the newest version that counts of every record of
// a type (0: of all types), as parts up to part and the states give it. The entry
// is valid during the call. Records whose newest version was declared lost are left
// out: no older one passes for it.
func (d *DB) EachCurrent(typ byte, part uint32, states States, fn func(*Entry) error) error {
	lost := d.Lost()
	return d.EachNewest(typ, part, states, func(e *Entry) error {
		if lost[e.Part] {
			return nil
		}
		return fn(e)
	})
}

// EachNewest is EachCurrent with what was declared lost.
func (d *DB) EachNewest(typ byte, part uint32, states States, fn func(*Entry) error) error {
	return d.eachMarked(context.Background(), typ, func(list []Entry) error {
		for i := len(list) - 1; i >= 0; i-- {
			if list[i].Part <= part && states.Counts(&list[i]) {
				return fn(&list[i])
			}
		}
		return nil
	})
}

// EachGroup calls fn for every record with its versions that count, in the order of
// their commits; those without any are left out. The list is valid during the call.
func (d *DB) EachGroup(ctx context.Context, states States, fn func([]Entry)) error {
	return d.eachMarked(ctx, 0, func(list []Entry) error {
		list = slices.DeleteFunc(list, func(e Entry) bool { return !states.Counts(&e) })
		if len(list) > 0 {
			fn(list)
		}
		return nil
	})
}

// EachVersion calls fn for every version of every record, whether or not it counts,
// and says whether it is the newest that does. The entry is valid during the call.
func (d *DB) EachVersion(ctx context.Context, states States, fn func(e *Entry, current bool)) error {
	return d.eachMarked(ctx, 0, func(list []Entry) error {
		current := currentOf(list, states)
		for i := range list {
			fn(&list[i], i == current)
		}
		return nil
	})
}

// eachMarked calls fn for every record of a type (0: of all) with all its versions,
// marked, in the order of their commits.
func (d *DB) eachMarked(ctx context.Context, typ byte, fn func([]Entry) error) error {
	return d.viewRuns(func(tx *bolt.Tx, files []*runFile) error {
		return eachGroup(ctx, d.entrySources(tx, files, typ), func(list []Entry) error {
			if typ != 0 && list[0].Key.Type() != typ {
				return nil
			}
			if len(files) > 0 {
				Mark(list)
			}
			return fn(list)
		})
	})
}
