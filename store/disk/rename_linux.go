package disk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// renameNoReplace uses renameat2 with RENAME_NOREPLACE, and link where the
// file system does not know that flag.
func renameNoReplace(old, name string) error {
	err := unix.Renameat2(unix.AT_FDCWD, old, unix.AT_FDCWD, name, unix.RENAME_NOREPLACE)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("rename: %w", ErrExists)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return renameByLink(old, name)
	}
	return &os.LinkError{Op: "rename", Old: old, New: name, Err: err}
}
