package disk

import (
	"errors"

	"golang.org/x/sys/windows"
)

// IsFull reports whether an operation failed because there is no room left.
func IsFull(err error) bool {
	return isOne(err, windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL)
}

// IsReadOnly reports whether an operation failed because nothing may be written to
// the disk by anybody.
func IsReadOnly(err error) bool {
	return errors.Is(err, ErrReadOnly) || errors.Is(err, windows.ERROR_WRITE_PROTECT)
}

// IsTooLarge reports whether an operation failed because the file system holds no
// file of that size: FAT ends at 4 GiB.
func IsTooLarge(err error) bool { return errors.Is(err, windows.ERROR_FILE_TOO_LARGE) }

// IsGone reports whether an operation failed because the disk itself is no longer
// there: pulled, or its network is down.
func IsGone(err error) bool {
	return isOne(err, windows.ERROR_NOT_READY, windows.ERROR_DEV_NOT_EXIST, windows.ERROR_NO_SUCH_DEVICE,
		windows.ERROR_BAD_NETPATH, windows.ERROR_NETNAME_DELETED)
}

// IsFaulty reports whether an operation failed because the disk itself has a fault.
func IsFaulty(err error) bool { return isOne(err, windows.ERROR_IO_DEVICE, windows.ERROR_CRC) }

// noLinks: a move never replaces here, on any file system.
func noLinks(error) bool { return false }

// noFolderSync: no folder is synced here.
func noFolderSync(error) bool { return false }

func isOne(err error, list ...error) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
