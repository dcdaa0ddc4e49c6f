package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrHeld is returned by TakeLock while another process has the lock.
var ErrHeld = errors.New("another process holds the lock")

// A Lock keeps other processes from writing to a mirror. The operating system
// lets go of it when the process ends, however it ends; no file has to be
// removed by hand.
type Lock struct{ f *os.File }

// TakeLock takes the lock file without waiting and writes note into it, so
// that others can read who holds it. If another process has the lock it
// returns that process's note with ErrHeld.
func TakeLock(name, note string) (*Lock, string, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, "", fmt.Errorf("open the lock file: %w", err)
	}
	if err := lockFile(f); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 4096))
		f.Close() // nothing was written
		return nil, string(holder), err
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(note), 0)
	}
	if err != nil {
		f.Close()
		return nil, "", fmt.Errorf("write the lock file: %w", err)
	}
	return &Lock{f}, "", nil
}

// Release lets go of the lock, also where a program that is just being started has
// inherited the file. The file stays.
func (l *Lock) Release() error { return errors.Join(unlockFile(l.f), l.f.Close()) }
