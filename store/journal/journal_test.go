package journal_test

import (
	"encoding/json"
	"os"
	"path/filepath"
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
