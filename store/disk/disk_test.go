package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"chartcellar/store/disk"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := disk.ReadFile(disk.OS{}, name, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestNamesAreGivenOnce: a final name is never given twice, and what stands under
// it stays.
func TestNamesAreGivenOnce(t *testing.T) {
	name := filepath.Join(t.TempDir(), "part")
	if err := disk.WriteFile(disk.OS{}, name, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile(disk.OS{}, name, []byte("second")); !errors.Is(err, disk.ErrExists) {
		t.Errorf("WriteFile over a file = %v, want ErrExists", err)
	}
	if err := (disk.OS{}).Rename(name+disk.TempSuffix, name); !errors.Is(err, disk.ErrExists) {
		t.Errorf("Rename over a file = %v, want ErrExists", err)
	}
	if got := read(t, name); got != "first" {
		t.Errorf("the file holds %q", got)
	}
	if _, err := (disk.OS{}).Create(name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of a file that is there = %v", err)
	}
}

// TestStage: what is staged has only its temporary name until it is committed; an
// older temporary file does not stand in the way.
func TestStage(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sheet")
	for _, content := range []string{"older", "newer"} {
		if err := disk.Stage(disk.OS{}, name, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, name) != "none" || read(t, name+disk.TempSuffix) != "newer" {
		t.Errorf("staged: %q, %q", read(t, name), read(t, name+disk.TempSuffix))
	}
	if err := disk.Commit(disk.OS{}, name+disk.TempSuffix, name); err != nil || read(t, name) != "newer" {
		t.Errorf("Commit = %v, %q", err, read(t, name))
	}
}

func TestReplaceFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "witness")
	for _, content := range []string{"one", "two"} {
		if err := disk.ReplaceFile(disk.OS{}, name, []byte(content)); err != nil || read(t, name) != content {
			t.Errorf("ReplaceFile = %v, %q", err, read(t, name))
		}
	}
	if err := disk.Swap(disk.OS{}, name, name+"2"); err == nil || read(t, name) != "two" {
		t.Errorf("Swap of a file that is not temporary = %v", err)
	}
}

// TestRemovesOnlyWhatIsSpent is T20 from inside: the names that may be removed.
func TestRemovesOnlyWhatIsSpent(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		name        string
		temp, spent bool
	}{
		{"parts/000000/000000000001.ndjson.zst.age", false, false},
		{"parts/000000/000000000001.ndjson.zst.age.tmp", true, false},
		{"checkpoints/000000000001", false, false},
		{"mirror/000001.json", false, false},
		{"slots/doctor-0001.age", false, false},
		{"attachments/ab.age", false, false},
		{"quarantine/x.0001", false, false},
		{"index.db", false, false},
		{"index.runs/7.run", false, true},
		{"index.runs/7.seen", false, true},
		{"journal/000001", false, true},
		{"ballast", false, true},
		{"probe/1", false, true},
		{"ctl.sock", false, true},
	}
	for _, tt := range tests {
		for kind, may := range map[string]bool{"temp": tt.temp, "spent": tt.spent} {
			name := filepath.Join(dir, filepath.FromSlash(tt.name))
			if err := (disk.OS{}).Mkdir(filepath.Dir(name)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			remove := disk.RemoveSpent
			if kind == "temp" {
				remove = disk.RemoveTemp
			}
			err := remove(disk.OS{}, name)
			if gone := read(t, name) == "none"; gone != may || (err == nil) != may {
				t.Errorf("remove %s as %s: gone %v, %v; want %v", tt.name, kind, gone, err, may)
			}
			if may && remove(disk.OS{}, name) != nil {
				t.Errorf("remove %s, which is not there, as %s fails", tt.name, kind)
			}
		}
	}
}

// TestQuarantine: a file that is put aside is never lost and never replaces another.
func TestQuarantine(t *testing.T) {
	root := t.TempDir()
	want := map[string]bool{}
	for _, content := range []string{"a", "b", "c"} {
		name := filepath.Join(root, "torn.tmp")
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		to, err := disk.Quarantine(disk.OS{}, root, name)
		if err != nil || read(t, to) != content || read(t, name) != "none" || want[to] {
			t.Errorf("Quarantine = %s, %v", to, err)
		}
		want[to] = true
	}
	for to := range want {
		if read(t, to) == "none" {
			t.Errorf("%s is gone", to)
		}
	}
}

func TestPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // its rights are inherited from the folder
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := (disk.OS{}).Mkdir(dir); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "f")
	if err := disk.WriteFile(disk.OS{}, name, nil); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[string]fs.FileMode{dir: 0o700, filepath.Dir(dir): 0o700, name: 0o600} {
		if info, err := os.Stat(n); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has the mode %v, want %v; %v", filepath.Base(n), info.Mode().Perm(), want, err)
		}
	}
	if err := (disk.OS{}).Mkdir(name); err == nil {
		t.Error("Mkdir over a file is accepted")
	}
}

func TestReadFileLimit(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := disk.WriteFile(disk.OS{}, name, []byte(strings.Repeat("x", 100))); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.ReadFile(disk.OS{}, name, 99); err == nil {
		t.Error("a file over the limit is read")
	}
	if b, err := disk.ReadFile(disk.OS{}, name, 100); err != nil || len(b) != 100 {
		t.Errorf("ReadFile = %d bytes, %v", len(b), err)
	}
}

// TestLock: one holder, whose note the others read; it needs no hand afterwards.
func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	l, _, err := disk.TakeLock(name, "a long note of the first")
	if err != nil {
		t.Fatal(err)
	}
	if _, note, err := disk.TakeLock(name, "second"); !errors.Is(err, disk.ErrHeld) || note != "a long note of the first" {
		t.Errorf("a second TakeLock = %q, %v", note, err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	l, _, err = disk.TakeLock(name, "third")
	if err != nil || read(t, name) != "third" {
		t.Errorf("TakeLock after Release = %v, note %q", err, read(t, name))
	}
	l.Release()
}

func TestFree(t *testing.T) {
	free, total, err := (disk.OS{}).Free(t.TempDir())
	if err != nil || free <= 0 || total < free {
		t.Errorf("Free = %d of %d, %v", free, total, err)
	}
}
