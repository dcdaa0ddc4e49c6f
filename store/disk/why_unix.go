//go:build !windows

package disk

import (
	"errors"
	"syscall"
)

// IsFull reports whether an operation failed because there is no room left.
func IsFull(err error) bool { return isOne(err, syscall.ENOSPC, syscall.EDQUOT) }

// IsReadOnly reports whether an operation failed because nothing may be written to
// the disk by anybody.
func IsReadOnly(err error) bool {
	return errors.Is(err, ErrReadOnly) || errors.Is(err, syscall.EROFS)
}

// IsTooLarge reports whether an operation failed because the file system holds no
// file of that size: FAT ends at 4 GiB.
func IsTooLarge(err error) bool { return errors.Is(err, syscall.EFBIG) }

// IsGone reports whether an operation failed because the disk itself is no longer
// there: pulled, or its network is down.
func IsGone(err error) bool {
	return isOne(err, syscall.ENODEV, syscall.ENXIO, syscall.ENOTCONN, syscall.ESTALE, syscall.EHOSTDOWN)
}

// IsFaulty reports whether an operation failed because the disk itself has a fault.
func IsFaulty(err error) bool { return errors.Is(err, syscall.EIO) }

// noLinks reports whether a rename failed because the file system knows neither a
// rename that spares the new name nor a second name for a file.
func noLinks(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || isOne(err, syscall.EPERM, syscall.EINVAL)
}

// noFolderSync reports whether the file system cannot sync a folder.
func noFolderSync(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || isOne(err, syscall.EINVAL, syscall.EBADF)
}

func isOne(err error, list ...syscall.Errno) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
