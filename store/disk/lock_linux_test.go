package disk_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"chartcellar/store/disk"
)

// TestLockOfAChild: a lock that is released is free, also while a program that is just
// being started still has the file.
func TestLockOfAChild(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	l, _, err := disk.TakeLock(name, "first")
	if err != nil {
		t.Fatal(err)
	}
	inherited := duplicate(t, name)
	defer unix.Close(inherited)
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	second, _, err := disk.TakeLock(name, "second")
	if err != nil {
		t.Fatalf("TakeLock after Release = %v", err)
	}
	if err := second.Release(); err != nil {
		t.Error(err)
	}
}

// duplicate returns a second descriptor of a file that this process has open, as a child
// has it between fork and exec.
func duplicate(t *testing.T, name string) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range open {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || to != name {
			continue
		}
		fd, err := strconv.Atoi(e.Name())
		if err == nil {
			fd, err = unix.Dup(fd)
		}
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	t.Fatalf("%s is not open", name)
	return 0
}
