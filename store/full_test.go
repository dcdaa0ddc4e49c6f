package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/storetest"
)

// TestLookingOnAFullDisk is I13: on a disk that is full to the last byte a look is
// journaled and served, because the ballast is given up for it.
func TestLookingOnAFullDisk(t *testing.T) {
	p := seed(t)
	o := p.options()
	o.Ballast = 1 << 20
	m, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(p.dir, "ballast")
	if _, err := os.Stat(ballast); err != nil {
		t.Fatal("there is no ballast: ", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	o.FS = storetest.NewFilled(p.dir)
	m, err = store.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open on a full disk = %v", err)
	}
	for range 3 {
		if err := m.Journal(store.Event{Code: "record.view", Account: "doctor"}); err != nil {
			t.Errorf("Journal on a full disk = %v", err)
		}
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(ballast); err == nil {
		t.Error("the ballast was not given up")
	}
	if p.open(t); len(p.m.Problems()) > 0 {
		t.Errorf("a look on a full disk left problems: %v", p.m.Problems())
	}
}

// TestJournalOnAFullDisk: each operation of a journal line fails once because the
// disk is full; the line is written all the same, and one that is acknowledged is
// in the journal.
func TestJournalOnAFullDisk(t *testing.T) {
	base := seed(t)
	look := func(d *storetest.Disk) (*practice, int, error) {
		p := base.copyTo(t, d)
		o := p.options()
		o.Ballast = -1
		m, err := store.Open(t.Context(), o)
		if err != nil {
			return p, 0, err
		}
		from := d.Ops()
		for range 2 {
			if err = m.Journal(store.Event{Code: "record.view", Account: "doctor"}); err != nil {
				break
			}
		}
		return p, from, errors.Join(err, m.Close())
	}
	probe := storetest.New(0, storetest.Full)
	_, from, err := look(probe)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for at := from + 1; at <= probe.Ops(); at++ {
		d := storetest.New(at, storetest.Full)
		p, _, err := look(d)
		if err == nil {
			n++
		}
		p.fs = disk.OS{}
		if p.open(t); len(p.m.Problems()) > 0 {
			t.Errorf("the disk was full at operation %d: %v", at, p.m.Problems())
		}
	}
	if n < 5 {
		t.Errorf("a line was written after %d of %d full operations", n, probe.Ops()-from)
	}
}
