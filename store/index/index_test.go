package index_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/keys"
)

// A bench is an index and a plain model of what it must say.
type bench struct {
	t    *rapid.T
	o    index.Options
	db   *index.DB
	part uint32
	run  uint32
	open bool // a run is open

	versions map[index.Key][]version
	states   map[uint32]index.State
	used     map[index.Key]bool // in this run
}

type version struct {
	e     index.Entry
	first bool
}

func newBench(t *rapid.T, dir string) *bench {
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, o: index.Options{FS: disk.OS{}, Root: dir, Seal: box, Mirror: "m"},
		versions: map[index.Key][]version{}, states: map[uint32]index.State{}, used: map[index.Key]bool{}}
	if b.db, err = index.Open(b.o, true); err != nil {
		t.Fatal(err)
	}
	return b
}

// commit commits one part with entries; the first of a run starts it, and close
// ends it.
func (b *bench) commit(entries []index.Entry, files bool, close *index.Closing) {
	b.part++
	c := index.Commit{Part: index.Part{Number: b.part, Run: b.run, Lines: len(entries), Types: []string{"Observation"}},
		Hashes: []tlog.Hash{tlog.RecordHash(fmt.Append(nil, "part ", b.part))}, Entries: entries}
	if !b.open {
		b.run++
		b.open, b.states[b.run] = true, index.Underway
		c.Part.Run = b.run
		c.Changes.Start = &index.RunState{Source: "emr", Kind: "sync", States: index.RunStates{All: index.Underway}}
	}
	c.Changes.Close = close
	for i := range c.Entries {
		c.Entries[i].Loc = index.Loc{Part: b.part, Line: uint16(i)}
		c.Entries[i].Run = b.run
	}
	index.Sort(c.Entries)
	for _, e := range c.Entries {
		b.versions[e.Key] = append(b.versions[e.Key], version{e, len(b.versions[e.Key]) == 0})
	}
	if files && len(entries) > 0 {
		var err error
		if c.Part.RunFile, err = b.db.WriteRunFile(b.part, c.Entries); err != nil {
			b.t.Fatal(err)
		}
		c.Entries = nil
	}
	if err := b.db.Commit(c); err != nil {
		b.t.Fatal(err)
	}
}

// draw draws entries of records that this run has not brought yet.
func (b *bench) draw(h *index.Hasher) []index.Entry {
	var list []index.Entry
	for range rapid.IntRange(0, 4).Draw(b.t, "entries") {
		k := h.Key([]byte("Observation"), []byte(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(b.t, "id")))
		if b.used[k] {
			continue
		}
		b.used[k] = true
		e := index.Entry{Key: k, Length: uint32(rapid.IntRange(1, 1<<20).Draw(b.t, "length")), Patient: h.Patient([]byte("p1")),
			Updated: int64(rapid.IntRange(0, 1<<40).Draw(b.t, "updated"))}
		e.Fingerprint[0] = byte(rapid.IntRange(0, 255).Draw(b.t, "fingerprint"))
		if len(b.versions[k]) > 0 && rapid.IntRange(0, 3).Draw(b.t, "tombstone") == 0 {
			e.Flags |= index.Tombstone
		}
		list = append(list, e)
	}
	return list
}

// want is the version of a record that was not rejected last, and the one that
// counts.
func (b *bench) want(k index.Key) (newest, current *index.Entry) {
	for i := range b.versions[k] {
		v := &b.versions[k][i]
		if s := b.states[v.e.Run]; v.first || s != index.Rejected {
			newest = &v.e
			if v.first || s == index.Applied {
				current = &v.e
			}
		}
	}
	return newest, current
}

func same(got index.Entry, want *index.Entry) bool {
	got.Flags &= index.Tombstone
	w := *want
	w.Flags &= index.Tombstone
	return got == w
}

func (b *bench) check(h *index.Hasher) {
	var list []index.Key
	for _, id := range []string{"a", "b", "c", "d", "e", "never"} {
		list = append(list, h.Key([]byte("Observation"), []byte(id)))
	}
	err := b.db.Newest(list, true, func(i int, got index.Entry, found bool) error {
		newest, _ := b.want(list[i])
		if found != (newest != nil) || found && !same(got, newest) {
			b.t.Fatalf("Newest of record %d = %+v, %v; want %+v", i, got, found, newest)
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	size, _, err := b.db.Tree()
	if last, _, perr := b.db.LastPart(); err != nil || perr != nil || size != int64(b.part) || last.Number != b.part {
		b.t.Fatalf("the tree has %d leaves, the last part is %d, want %d; %v, %v", size, last.Number, b.part, err, perr)
	}
	if b.open {
		return
	}
	for _, k := range list { // all is merged
		vs, err := b.db.Versions(k)
		if err != nil || len(vs) != len(b.versions[k]) {
			b.t.Fatalf("Versions gives %d, want %d; %v", len(vs), len(b.versions[k]), err)
		}
		for i, v := range vs {
			if !same(v, &b.versions[k][i].e) {
				b.t.Fatalf("version %d = %+v, want %+v", i, v, b.versions[k][i].e)
			}
		}
	}
	found := map[index.Key]bool{}
	err = b.db.EachCurrent(index.TypeByte("Observation"), b.part, b.db.States(), func(e *index.Entry) error {
		_, current := b.want(e.Key)
		if current == nil || !same(*e, current) {
			b.t.Fatalf("EachCurrent gives %+v, want %+v", e, current)
		}
		found[e.Key] = true
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, k := range list {
		if _, current := b.want(k); current != nil && !found[k] {
			b.t.Fatalf("EachCurrent leaves out %+v", current)
		}
	}
}

// step makes one random change.
func (b *bench) step(h *index.Hasher) {
	switch rapid.IntRange(0, 4).Draw(b.t, "step") {
	case 0, 1:
		b.commit(b.draw(h), b.db.NeedsMerge() || rapid.Bool().Draw(b.t, "run file"), nil)
	case 2:
		state := rapid.SampledFrom([]index.State{index.Applied, index.Held, index.Rejected}).Draw(b.t, "state")
		b.commit(nil, false, &index.Closing{States: index.RunStates{All: state}, Ended: time.Unix(1, 0)})
		b.states[b.run], b.open, b.used = state, false, map[index.Key]bool{}
		if b.db.NeedsMerge() {
			if err := b.db.Merge(context.Background()); err != nil {
				b.t.Fatal(err)
			}
		}
	case 3:
		for left := 1; left > 0; {
			var err error
			if left, err = b.db.Fold(2); err != nil {
				b.t.Fatal(err)
			}
		}
	case 4:
		err := b.db.Close()
		if err == nil {
			b.db, err = index.Open(b.o, false)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// TestAgainstModel: any sequence of parts, run files, merges, folds and restarts
// says what a plain list of versions says.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "index")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		b := newBench(rt, dir)
		defer func() { b.db.Close() }()
		h := b.db.Hasher("emr")
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			b.step(h)
			b.check(h)
		}
	})
}

// TestHidesAndRefuses: the file holds no id, and an index of another mirror or
// another key is not opened.
func TestHidesAndRefuses(t *testing.T) {
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	o := index.Options{FS: disk.OS{}, Root: t.TempDir(), Seal: box, Mirror: "m"}
	db, err := index.Open(o, true)
	if err != nil {
		t.Fatal(err)
	}
	if db.Hasher("a").Key([]byte("Patient"), []byte("1")) == db.Hasher("b").Key([]byte("Patient"), []byte("1")) {
		t.Error("two sources have one key for their records")
	}
	if err := db.SetJob("emr", []byte(`{"url":"canary"}`)); err != nil {
		t.Fatal(err)
	}
	if job, err := db.Job("emr"); err != nil || string(job) != `{"url":"canary"}` {
		t.Errorf("Job = %s, %v", job, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	other := o
	other.Mirror = "another"
	if _, err := index.Open(other, false); !errors.Is(err, index.ErrBad) {
		t.Errorf("Open of another mirror's index = %v, want ErrBad", err)
	}
	if err := os.Truncate(filepath.Join(o.Root, "index.db"), 5000); err != nil {
		t.Fatal(err)
	}
	if err := index.Probe(index.Path(o.Root)); !errors.Is(err, index.ErrBad) {
		t.Errorf("Probe of a cut index = %v, want ErrBad", err)
	}
}

// TestIndexWithoutHoldings: the index of a release that knew no holdings opens, has
// none, and takes them.
func TestIndexWithoutHoldings(t *testing.T) {
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	o := index.Options{FS: disk.OS{}, Root: t.TempDir(), Seal: box, Mirror: "m"}
	db, err := index.Open(o, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := bolt.Open(index.Path(o.Root), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = file.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("holdings")) })
	if cerr := file.Close(); err != nil || cerr != nil {
		t.Fatal(err, cerr)
	}
	if db, err = index.Open(o, false); err != nil {
		t.Fatalf("Open = %v", err)
	}
	defer db.Close()
	if list, err := db.KeptFiles(""); err != nil || len(list) != 0 {
		t.Errorf("KeptFiles = %v, %v", list, err)
	}
	c := index.Commit{Part: index.Part{Number: 1, Run: 1}, Kept: []index.KeptFile{{Holding: "billing", Path: "a"}, {Holding: "images", Path: "a"}}}
	c.Changes.Start = &index.RunState{Kind: "holding", States: index.RunStates{All: index.Underway}}
	if err := db.Commit(c); err != nil {
		t.Fatal(err)
	}
	if list, err := db.KeptFiles("images"); err != nil || len(list) != 1 || list[0].Part != 1 || list[0].Run != 1 {
		t.Errorf("KeptFiles = %+v, %v", list, err)
	}
}
