package disk

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/windows"
)

// sharingTries bounds how often a move is tried again while a virus scanner or
// an indexer holds the file open.
const sharingTries = 20

func renameNoReplace(old, name string) error {
	err := move(old, name, windows.MOVEFILE_WRITE_THROUGH)
	if errors.Is(err, windows.ERROR_ALREADY_EXISTS) || errors.Is(err, windows.ERROR_FILE_EXISTS) {
		return fmt.Errorf("rename: %w", ErrExists)
	}
	return err
}

func replace(old, name string) error {
	return move(old, name, windows.MOVEFILE_WRITE_THROUGH|windows.MOVEFILE_REPLACE_EXISTING)
}

func move(old, name string, flags uint32) error {
	from, err := windows.UTF16PtrFromString(old)
	if err != nil {
		return err
	}
	to, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		err = windows.MoveFileEx(from, to, flags)
		held := errors.Is(err, windows.ERROR_SHARING_VIOLATION) ||
			errors.Is(err, windows.ERROR_ACCESS_DENIED)
		if !held || try == sharingTries {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// syncDir does nothing: MoveFileEx with write-through returns when the name is
// on the disk, and Windows has no sync of a folder.
func syncDir(string) error { return nil }

func freeSpace(name string) (free, total int64, err error) {
	p, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, 0, err
	}
	var avail, all, allFree uint64
	if err := windows.GetDiskFreeSpaceEx(p, &avail, &all, &allFree); err != nil {
		return 0, 0, err
	}
	return int64(avail), int64(all), nil
}
