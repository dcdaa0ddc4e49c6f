//go:build !windows

package access

import (
	"os"

	"golang.org/x/sys/unix"
)

// unlock takes bbolt's lock off a file that it left open and mapped. An error
// means that it was not locked.
func unlock(f *os.File) { unix.Flock(int(f.Fd()), unix.LOCK_UN) }
