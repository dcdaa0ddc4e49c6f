package index

import (
	"context"
	"encoding/binary"
	"hash/maphash"
	"maps"
	"reflect"

	bolt "go.etcd.io/bbolt"
)

// A Tally is what a list of entries comes to, whatever their order: two lists
// with the same tally hold the same entries, but for one chance in 2^100 that
// nobody can bring about, because the seeds are drawn anew. It is how an index
// is compared with the archive without being made a second time. A Tally is used
// by one goroutine.
type Tally struct {
	seeds    [2]maphash.Seed
	entries  sum
	patients sum
	buf      []byte
}

// A sum adds up the hashes of rows.
type sum struct {
	rows int
	hash [2]uint64
}

// NewTally returns an empty tally.
func NewTally() *Tally {
	return &Tally{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

// Empty returns an empty tally that can be compared with t.
func (t *Tally) Empty() *Tally { return &Tally{seeds: t.seeds} }

// Merge adds another tally that Empty made.
func (t *Tally) Merge(o *Tally) {
	t.entries.merge(o.entries)
	t.patients.merge(o.patients)
}

func (s *sum) merge(o sum) {
	s.rows += o.rows
	for i := range s.hash {
		s.hash[i] += o.hash[i]
	}
}

func (t *Tally) add(s *sum, row []byte) {
	s.rows++
	for i := range s.hash {
		s.hash[i] += maphash.Bytes(t.seeds[i], row)
	}
}

// Add adds an entry and its place in the list of its patient. Of the flags only
// Tombstone and Subsetted count: the others follow from the entries.
func (t *Tally) Add(e *Entry) {
	t.addEntry(e)
	if e.Patient != (Patient{}) {
		t.addLine(e.Patient[:], Line{e.Loc, e.Key.Type()})
	}
}

func (t *Tally) addEntry(e *Entry) {
	le := binary.LittleEndian
	b := append(t.buf[:0], e.Key[:]...)
	b = le.AppendUint64(b, e.order())
	b = le.AppendUint32(b, e.Length)
	b = le.AppendUint32(b, e.Run)
	b = le.AppendUint64(b, uint64(e.Updated))
	b = append(append(b, e.Patient[:]...), e.Fingerprint[:]...)
	t.buf = append(b, byte(e.Flags&(Tombstone|Subsetted)))
	t.add(&t.entries, t.buf)
}

func (t *Tally) addLine(patient []byte, l Line) {
	b := append(t.buf[:0], patient...)
	b = binary.LittleEndian.AppendUint64(b, l.order())
	t.buf = append(b, l.Type)
	t.add(&t.patients, t.buf)
}

// A Kept is the tally of an index, and what is wrong with it by itself.
type Kept struct {
	Tally *Tally
	Wrong int // rows that do not stand where they belong
}

// Tally reads every row of a record and of a patient. The tally can be compared
// with like.
func (d *DB) Tally(ctx context.Context, like *Tally) (Kept, error) {
	k := Kept{Tally: like.Empty()}
	states := d.States()
	err := d.viewRuns(func(tx *bolt.Tx, files []*runFile) error {
		in := d.markedSources(tx)
		for _, r := range files {
			in = append(in, marked(r.source(0), inFile))
			if err := k.patientFile(r); err != nil {
				return err
			}
		}
		for i := range in {
			in[i] = k.counted(in[i])
		}
		var before []Flags
		err := eachGroup(ctx, in, func(list []Entry) error {
			before = k.group(list, before[:0], states)
			return nil
		})
		if err != nil {
			return err
		}
		return k.patients(tx)
	})
	return k, err
}

// Where a row comes from stands in the bits of its flags that mean nothing else.
const (
	inCurrent Flags = iota << 6
	inVersions
	inPending
	inFile
	origin = inFile
	unused = ^(New | Tombstone | Stale | Duplicate | Subsetted)
)

// markedSources are the entrySources of the buckets, their flags with the origin.
func (d *DB) markedSources(tx *bolt.Tx) []source {
	list := d.entrySources(tx, nil, 0)
	for i := range list {
		list[i] = marked(list[i], Flags(i)<<6)
	}
	return list
}

func marked(next source, from Flags) source {
	return func() (Entry, bool, error) {
		e, ok, err := next()
		if ok && e.Flags&unused != 0 {
			err = ErrBad
		}
		e.Flags |= from
		return e, ok, err
	}
}

// counted adds every row that next gives.
func (k *Kept) counted(next source) source {
	return func() (Entry, bool, error) {
		e, ok, err := next()
		if ok && err == nil {
			k.Tally.addEntry(&e)
		}
		return e, ok, err
	}
}

// group checks that the versions of one record stand where their states say.
// While some wait for a merge or a fold nothing can be said of the others.
func (k *Kept) group(list []Entry, before []Flags, states States) []Flags {
	loose := false
	for i := range list {
		e := &list[i]
		before = append(before, e.Flags)
		s := states.Of(e)
		loose = loose || e.Flags&origin == inFile ||
			e.Flags&origin == inPending && s != Underway && s != Held
		e.Flags &^= origin
	}
	if loose {
		return before
	}
	Mark(list)
	current := currentOf(list, states)
	for i := range list {
		want := list[i].Flags | inVersions
		switch {
		case i == current:
			want = list[i].Flags | inCurrent
		case states.waits(list, i, current):
			want = list[i].Flags | inPending
		}
		if want != before[i] {
			k.Wrong++
		}
	}
	return before
}

// patients adds the lists of the patients; each is in the order of the archive.
func (k *Kept) patients(tx *bolt.Tx) error {
	var lines []Line
	return tx.Bucket(bPatient).ForEach(func(key, v []byte) error {
		value, err := checked(key, v)
		if err != nil {
			return err
		}
		if len(key) != 12 || len(value)%5 != 0 {
			k.Wrong++
			return nil
		}
		last := Loc{}
		lines = appendPatientLines(lines[:0], binary.BigEndian.Uint32(key[8:]), value)
		for i, l := range lines {
			if i > 0 && !last.Before(l.Loc) {
				k.Wrong++
			}
			last = l.Loc
			k.Tally.addLine(key[:8], l)
		}
		return nil
	})
}

// patientFile adds the patient rows of a run file.
func (k *Kept) patientFile(r *runFile) error {
	rows := r.patients()
	for {
		row, err := rows.next()
		if row == nil || err != nil {
			return err
		}
		if p, l := patientAt(row); p != (Patient{}) {
			k.Tally.addLine(p[:], l)
		}
	}
}

// Differs compares an index with the archive: with the tally of all lines that
// were read again, and with an index that was made of everything else in the
// parts. It names the buckets that differ.
func (k Kept) Differs(ctx context.Context, kept *DB, lines *Tally, rest *DB) ([]string, error) {
	var list []string
	if k.Tally.entries != lines.entries || k.Wrong > 0 {
		list = append(list, string(bCurrent))
	}
	if k.Tally.patients != lines.patients {
		list = append(list, string(bPatient))
	}
	if !sameStates(kept.States(), rest.States()) {
		list = append(list, string(bRuns))
	}
	err := kept.view(func(a *bolt.Tx) error {
		return rest.view(func(b *bolt.Tx) error {
			if same, err := sameParts(a, b); err != nil {
				return err
			} else if !same {
				list = append(list, string(bParts))
			}
			for _, name := range [][]byte{bLinks, bHoldings, bBlobs, bTree} {
				found, err := compareBucket(ctx, a.Bucket(name), b.Bucket(name), 1, kept.sameValue(name))
				if err != nil {
					return err
				}
				if len(found) > 0 {
					list = append(list, string(name))
				}
			}
			return nil
		})
	})
	return list, err
}

// sameParts compares the rows of the parts, but for their run files.
func sameParts(a, b *bolt.Tx) (bool, error) {
	var list []Part
	err := eachPart(a, func(p Part) error {
		p.RunFile = [32]byte{}
		list = append(list, p)
		return nil
	})
	if err != nil {
		return false, err
	}
	n, same := 0, true
	err = eachPart(b, func(p Part) error {
		same = same && n < len(list) && reflect.DeepEqual(p, list[n])
		n++
		return nil
	})
	return same && n == len(list), err
}

func sameStates(a, b States) bool {
	return maps.EqualFunc(a, b, func(x, y RunStates) bool {
		return x.All == y.All && maps.Equal(x.Types, y.Types)
	})
}
