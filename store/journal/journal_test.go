package journal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chartcellar/store/disk"
	"chartcellar/store/journal"
)

func open(t *testing.T, dir string, seq int64, prev string) (*journal.Journal, int) {
	t.Helper()
	j, broken, err := journal.Open(disk.OS{}, dir, seq, prev, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j, broken
}

func TestChain(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir, 0, "")
	for range 3 {
		if err := j.Append(journal.Line{Code: "record.view"}); err != nil {
			t.Fatal(err)
		}
	}
	j.Close()
	j, broken := open(t, dir, 0, "")
	if broken != 0 {
		t.Errorf("%d broken lines", broken)
	}
	if err := j.Append(journal.Line{Code: "after"}); err != nil {
		t.Fatal(err)
	}
	p, err := j.Pack()
	if err != nil || len(p.Lines) != 4 || p.Seq != 4 {
		t.Fatalf("Pack = %d lines, seq %d, %v", len(p.Lines), p.Seq, err)
	}
	event, err := journal.AuditEvent(p.Lines[3])
	if err != nil {
		t.Fatal(err)
	}
	if seq, sum, ok := journal.Packed(event); !ok || seq != 4 || sum != p.Prev {
		t.Errorf("Packed = %d, %s, %v", seq, sum, ok)
	}
	if err := j.Forget(p.Segments); err != nil {
		t.Fatal(err)
	}
	j.Close()
	j, broken = open(t, dir, p.Seq, p.Prev)
	if err := j.Append(journal.Line{Code: "next"}); err != nil || broken != 0 {
		t.Fatal(err, broken)
	}
	p, err = j.Pack()
	var l journal.Line
	if err != nil || len(p.Lines) != 1 || json.Unmarshal(p.Lines[0], &l) != nil || l.Seq != 5 {
		t.Errorf("after packing: %+v, %v", l, err)
	}
}

// TestChanged: a line that was changed, taken out or cut is noticed.
func TestChanged(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)-5] },
		"changed": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j, _ := open(t, dir, 0, "")
			for range 3 {
				if err := j.Append(journal.Line{Code: "x"}); err != nil {
					t.Fatal(err)
				}
			}
			j.Close()
			file := filepath.Join(dir, "journal", "000001")
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, change(b), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, broken := open(t, dir, 0, ""); broken == 0 {
				t.Error("not noticed")
			}
		})
	}
}

// TestInVain: of two lines with one number, the first of which was written in vain, the
// second counts.
func TestInVain(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "journal", "000001")
	j, _ := open(t, dir, 0, "")
	add := func(codes ...string) {
		t.Helper()
		for _, c := range codes {
			if err := j.Append(journal.Line{Code: c}); err != nil {
				t.Fatal(err)
			}
		}
		j.Close()
	}
	add("1", "2", "3")
	short, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(short, []byte("{\"seq\":4,\"pr")...), 0o600); err != nil {
		t.Fatal(err)
	}
	j, _ = open(t, dir, 0, "")
	add("4")
	second := filepath.Join(dir, "journal", "000002")
	vain, err := os.ReadFile(second)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(short, vain...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(second); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+"x", short, 0o600); err != nil { // not a segment
		t.Fatal(err)
	}
	if err := os.WriteFile(second, bytes.Replace(vain, []byte(`"code":"4"`), []byte(`"code":"5"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	resign(t, second)
	j, broken := open(t, dir, 0, "")
	if broken != 0 {
		t.Fatalf("%d broken lines", broken)
	}
	codes := ""
	if err := j.Back(t.Context(), 0, func(_ []byte, l journal.Line) error { codes += l.Code; return nil }); err != nil || codes != "5321" {
		t.Errorf("Back gives %s, %v", codes, err)
	}
	if c, err := j.Check(t.Context(), func() (int64, string, error) { return 0, "", nil }); err != nil || c.Wrong != 0 {
		t.Errorf("Check = %+v, %v", c, err)
	}
}

// resign puts the right check behind the one line of a segment.
func resign(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	raw, _, _ := bytes.Cut(b, []byte("\t"))
	sum := sha256.Sum256(raw)
	if err := os.WriteFile(name, fmt.Appendf(nil, "%s\t%x\n", raw, sum[:8]), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBackAnywhere: long and short lines over many blocks are found from any number.
func TestBackAnywhere(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir, 0, "")
	const n = 300
	for i := range n {
		size := 10
		if i%50 == 7 {
			size = 200_000
		}
		if err := j.Append(journal.Line{Code: "x", Note: make([]byte, size)}); err != nil {
			t.Fatal(err)
		}
	}
	for before := int64(1); before <= n+1; before += 3 {
		next := before - 1
		err := j.Back(t.Context(), before, func(_ []byte, l journal.Line) error {
			if l.Seq != next {
				t.Fatalf("before %d: %d stands where %d should", before, l.Seq, next)
			}
			if next--; before-next > 20 {
				return os.ErrProcessDone
			}
			return nil
		})
		if err != nil && !errors.Is(err, os.ErrProcessDone) || next > max(0, before-20) {
			t.Errorf("before %d: %v at %d", before, err, next)
		}
	}
	if c, err := j.Check(t.Context(), func() (int64, string, error) { return 0, "", nil }); err != nil || c.Wrong != 0 || c.Lines != n {
		t.Errorf("Check = %+v, %v", c, err)
	}
}

// A breaking disk fails when a file is written, synced or moved.
type breaking struct {
	disk.OS
	verb string // what fails now; "": nothing
}

var errDisk = errors.New("the disk broke")

func (d *breaking) Create(name string) (disk.File, error) {
	f, err := d.OS.Create(name)
	return brokenFile{f, d}, err
}

func (d *breaking) Rename(old, name string) error {
	if strings.Contains(d.verb, "rename") {
		return errDisk
	}
	return d.OS.Rename(old, name)
}

type brokenFile struct {
	disk.File
	d *breaking
}

func (f brokenFile) Write(b []byte) (int, error) {
	if strings.Contains(f.d.verb, "write") { // whole lines, and half of one
		n, err := f.File.Write(b[:len(b)*3/4])
		return n, errors.Join(errDisk, err)
	}
	return f.File.Write(b)
}

func (f brokenFile) Sync() error {
	if strings.Contains(f.d.verb, "sync") {
		return errDisk
	}
	return f.File.Sync()
}

// TestManyAtOnce: of lines that are written together all count or none, however the disk
// breaks, and the chain goes on behind them.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	three := []journal.Line{{Code: "a"}, {Code: "b"}, {Code: "c"}}
	for verb, want := range map[string]string{"": "2cba1", "write": "21", "sync": "21",
		"write rename": "ba1", "sync rename": "cba1"} { // nobody was told that these do not count
		t.Run(verb, func(t *testing.T) {
			dir, d := t.TempDir(), &breaking{}
			j, _, err := journal.Open(d, dir, 0, "", time.Now)
			if err != nil {
				t.Fatal(err)
			}
			if err := j.Append(journal.Line{Code: "1"}); err != nil {
				t.Fatal(err)
			}
			d.verb = verb
			if err := j.Append(three...); (err != nil) != (verb != "") {
				t.Fatalf("Append = %v", err)
			}
			d.verb = ""
			if err := j.Append(journal.Line{Code: "2"}); (err != nil) != strings.Contains(verb, "rename") {
				t.Fatalf("behind them Append = %v", err)
			}
			j.Close()
			j, broken := open(t, dir, 0, "")
			codes := ""
			if err := j.Back(t.Context(), 0, func(_ []byte, l journal.Line) error { codes += l.Code; return nil }); err != nil || codes != want || broken != strings.Count(verb, "write rename") {
				t.Errorf("Back gives %s, %v, want %s; %d broken", codes, err, want, broken)
			}
			c, err := j.Check(t.Context(), func() (int64, string, error) { return 0, "", nil })
			if err != nil || (c.Wrong != 0) != (verb == "write rename") || c.Lines != int64(len(want)) {
				t.Errorf("Check = %+v, %v", c, err)
			}
			if err := j.Append(three...); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSpoilt: a segment in which a line was damaged is put aside when it was packed, for
// that line is nowhere else.
func TestSpoilt(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir, 0, "")
	for range 3 {
		if err := j.Append(journal.Line{Code: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	j.Close()
	file := filepath.Join(dir, "journal", "000001")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	j, _ = open(t, dir, 0, "")
	if err := j.Append(journal.Line{Code: "whole"}); err != nil {
		t.Fatal(err)
	}
	p, err := j.Pack()
	if err != nil || len(p.Lines) != 3 || len(p.Segments) != 2 {
		t.Fatalf("%d lines of %v, %v", len(p.Lines), p.Segments, err)
	}
	for range 2 { // also again, as after a crash
		if err := j.Forget(p.Segments); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(filepath.Join(dir, "quarantine", "000001.0001"))
	if err != nil || !bytes.Equal(kept, b) {
		t.Errorf("the damaged segment is not kept: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "journal")); err != nil || len(left) != 0 {
		t.Errorf("segments stay: %v, %v", left, err)
	}
	if aside, err := os.ReadDir(filepath.Join(dir, "quarantine")); err != nil || len(aside) != 1 {
		t.Errorf("in quarantine: %v, %v", aside, err)
	}
}
