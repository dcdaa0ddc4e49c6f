package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/store"
	"chartcellar/store/archive"
	"chartcellar/store/disk"
	"chartcellar/store/journal"
)

var errEnough = errors.New("enough")

// lines returns the numbers of the journal's lines below before, newest first.
func (p *practice) lines(t testing.TB, before int64, n int) (list []int64, err error) {
	t.Helper()
	err = p.m.EachJournalLine(t.Context(), before, func(l journal.Line) error {
		if want := fmt.Sprint("code.", l.Seq); l.Code != want {
			t.Errorf("line %d has the code %s", l.Seq, l.Code)
		}
		if list = append(list, l.Seq); len(list) == n {
			return errEnough
		}
		return nil
	})
	return list, err
}

func (p *practice) write(t testing.TB, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		if err := p.m.Journal(store.Event{Code: fmt.Sprint("code.", i), Note: fmt.Sprint("note ", i)}); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *practice) pack(t testing.TB) {
	t.Helper()
	if _, err := p.m.Record(t.Context(), store.RunSpec{Kind: "journal"}, "", struct{}{}); err != nil {
		t.Fatal(err)
	}
}

// down checks that numbers fall by one, from a first to a last.
func down(t testing.TB, list []int64, from, to int64) {
	t.Helper()
	for i, n := range list {
		if n != from-int64(i) {
			t.Fatalf("line %d stands where %d should: %v", n, from-int64(i), list)
		}
	}
	if int64(len(list)) != from-to+1 {
		t.Fatalf("%d lines, want %d to %d", len(list), from, to)
	}
}

// TestJournalBack: lines in parts and lines that wait are read as one, from anywhere.
func TestJournalBack(t *testing.T) {
	p := newPractice(t)
	end := 0
	for i := range 12 {
		p.write(t, end+1, end+7)
		end += 7
		if i%3 == 1 {
			p.pull(t, obs(fmt.Sprint("o", i), i, "")) // packs, with records
		} else {
			p.pack(t)
		}
	}
	for range 3 {
		p.pull(t, obs("none", end, "")) // parts without lines
	}
	p.write(t, end+1, end+5)
	p.reopen(t)
	p.write(t, end+6, end+9)
	top := int64(end + 9)
	for before := int64(0); before <= top+1; before++ {
		list, err := p.lines(t, before, 0)
		if err != nil {
			t.Fatalf("before %d: %v", before, err)
		}
		from := before - 1
		if before == 0 {
			from = top
		}
		down(t, list, from, 1)
	}
	list, err := p.lines(t, 20, 10)
	if !errors.Is(err, errEnough) {
		t.Fatalf("EachJournalLine = %v", err)
	}
	down(t, list, 19, 10)
	c, err := p.m.CheckJournal(t.Context())
	if err != nil || c.Wrong != 0 || c.Lines != 9 {
		t.Errorf("CheckJournal = %+v, %v", c, err)
	}

	p.m.Lock()
	list, err = p.lines(t, 0, 0)
	if !errors.Is(err, store.ErrLocked) {
		t.Errorf("locked: %v", err)
	}
	down(t, list, top, int64(end+1))
}

// TestJournalBackBesidePacking: somebody who reads while lines are written and packed
// sees each once.
func TestJournalBackBesidePacking(t *testing.T) {
	p := newPractice(t)
	p.write(t, 1, 3)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 4; ctx.Err() == nil && n < 400; n++ {
			if err := p.m.Journal(store.Event{Code: fmt.Sprint("code.", n)}); err != nil {
				t.Error(err)
			}
			if n%5 > 0 {
				continue
			}
			if _, err := p.m.Record(t.Context(), store.RunSpec{Kind: "journal"}, "", struct{}{}); err != nil {
				t.Error(err)
			}
		}
	}()
	defer func() {
		stop()
		<-done
	}()
	for range 60 {
		list, err := p.lines(t, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		down(t, list, list[0], 1)
		if c, err := p.m.CheckJournal(t.Context()); err != nil || c.Wrong != 0 {
			t.Fatalf("CheckJournal = %+v, %v", c, err)
		}
	}
}

// slowNames lets a part wait for its name.
type slowNames struct {
	disk.FS
	waits, goOn chan struct{}
}

func (s slowNames) Rename(from, to string) error {
	if strings.Contains(to, string(filepath.Separator)+"parts"+string(filepath.Separator)) {
		s.waits <- struct{}{}
		<-s.goOn
	}
	return s.FS.Rename(from, to)
}

// TestReadWhileNamed: a part that the index knows and that has no name yet is waited
// for; it is no damage.
func TestReadWhileNamed(t *testing.T) {
	p := newPractice(t)
	p.m.Close()
	slow := slowNames{disk.OS{}, make(chan struct{}, 1), make(chan struct{})}
	p.fs = slow
	p.open(t)
	p.write(t, 1, 3)
	packed := make(chan error)
	go func() {
		_, err := p.m.Record(t.Context(), store.RunSpec{Kind: "journal"}, "", struct{}{})
		packed <- err
	}()
	<-slow.waits
	read := make(chan error)
	go func() {
		_, err := p.lines(t, 0, 0)
		read <- err
	}()
	listed := make(chan error)
	go func() {
		parts, err := p.m.Parts()
		for _, part := range parts {
			_, _, serr := p.m.SumFile(archive.PartNumber(part.Number).Name())
			err = errors.Join(err, serr)
		}
		listed <- err
	}()
	time.Sleep(20 * time.Millisecond) // both are on their way
	close(slow.goOn)
	for name, c := range map[string]chan error{"packed": packed, "read": read, "listed": listed} {
		if err := <-c; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestJournalCheck: whatever happens to a line that waits is noticed, also by a
// process that has checked it before.
func TestJournalCheck(t *testing.T) {
	for name, harm := range map[string]func([]byte) []byte{
		"a flipped byte":        func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"a flipped first byte":  func(b []byte) []byte { b[3] ^= 1; return b },
		"the last line cut":     func(b []byte) []byte { return b[:len(b)-5] },
		"the last line removed": func(b []byte) []byte { return b[:len(b)-len(b)/4] },
		"everything removed":    func(b []byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPractice(t)
			p.write(t, 1, 3)
			p.pack(t)
			p.write(t, 4, 8)
			if c, err := p.m.CheckJournal(t.Context()); err != nil || c.Wrong != 0 || c.Lines != 5 {
				t.Fatalf("CheckJournal = %+v, %v", c, err)
			}
			files, err := filepath.Glob(filepath.Join(p.dir, "journal", "*"))
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			b, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(files[0], harm(b), 0o600); err != nil {
				t.Fatal(err)
			}
			if c, err := p.m.CheckJournal(t.Context()); err != nil || c.Wrong < 4 {
				t.Errorf("CheckJournal = %+v, %v", c, err)
			}
			if _, err := p.lines(t, 0, 0); err != nil && !errors.Is(err, journal.ErrBroken) {
				t.Errorf("EachJournalLine = %v", err)
			}
		})
	}
}

// TestJournalLineTakenOut: each line of those that wait, taken out whole, is missed, by
// the process that wrote it and by the next one. Nothing tells the next one of the last
// line, if it went while no process ran.
func TestJournalLineTakenOut(t *testing.T) {
	for n := range 5 {
		p := newPractice(t)
		p.write(t, 1, 3)
		p.pack(t)
		p.write(t, 4, 8)
		files, err := filepath.Glob(filepath.Join(p.dir, "journal", "*"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		list := slices.Collect(bytes.Lines(b))
		if len(list) != 5 {
			t.Fatalf("%d lines, want 5", len(list))
		}
		if err := os.WriteFile(files[0], bytes.Join(slices.Delete(list, n, n+1), nil), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := p.m.CheckJournal(t.Context()); err != nil || c.Wrong == 0 {
			t.Errorf("line %d taken out: CheckJournal = %+v, %v", n+4, c, err)
		}
		p.reopen(t)
		if c, err := p.m.CheckJournal(t.Context()); err != nil || n < 4 && c.Wrong == 0 {
			t.Errorf("line %d taken out, opened again: CheckJournal = %+v, %v", n+4, c, err)
		}
	}
}

// TestJournalNote: a note is read with a key only.
func TestJournalNote(t *testing.T) {
	p := newPractice(t)
	p.write(t, 1, 1)
	err := p.m.EachJournalLine(t.Context(), 0, func(l journal.Line) error {
		if s, err := p.m.OpenNote(l); s != "note 1" || err != nil {
			t.Errorf("OpenNote = %q, %v", s, err)
		}
		p.m.Lock()
		_, err := p.m.OpenNote(l)
		return err
	})
	if !errors.Is(err, store.ErrLocked) {
		t.Errorf("OpenNote when locked = %v", err)
	}
}

// TestJournalTwins: lines that are in a part and, after a crash, in their segments too,
// and then in a second part, are shown once.
func TestJournalTwins(t *testing.T) {
	p := newPractice(t)
	p.write(t, 1, 4)
	p.pack(t)
	p.write(t, 5, 9)
	kept := map[string][]byte{}
	files, err := filepath.Glob(filepath.Join(p.dir, "journal", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if kept[f], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	p.pack(t)
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	for f, b := range kept {
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.open(t)
	whole := func(top int64) {
		t.Helper()
		for before := range top + 2 {
			list, err := p.lines(t, before, 0)
			if err != nil {
				t.Fatal(err)
			}
			if before == 0 {
				before = top + 1
			}
			down(t, list, before-1, 1)
		}
		if c, err := p.m.CheckJournal(t.Context()); err != nil || c.Wrong != 0 || c.Newest != top {
			t.Errorf("CheckJournal = %+v, %v", c, err)
		}
	}
	whole(9)
	p.write(t, 10, 12)
	whole(12)
	p.pack(t)
	whole(12)
	p.write(t, 13, 13)
	whole(13)
}

// TestJournalDamagedPart: what stands in a part that cannot be read is missing, and
// that is said.
func TestJournalDamagedPart(t *testing.T) {
	p := newPractice(t)
	for i := range 5 {
		p.write(t, 3*i+1, 3*i+3)
		p.pack(t)
	}
	p.breakPart(t, 3)
	p.reopen(t)
	for _, before := range []int64{0, 14, 11, 8} {
		list, err := p.lines(t, before, 0)
		if !errors.Is(err, store.ErrDamaged) {
			t.Errorf("before %d: %v", before, err)
		}
		var want []int64
		for n := int64(15); n > 0; n-- {
			if (before == 0 || n < before) && (n < 7 || n > 9) {
				want = append(want, n)
			}
		}
		if !slices.Equal(list, want) {
			t.Errorf("before %d: %v, want %v", before, list, want)
		}
	}
}
