package disk

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// OnNetwork reports whether a folder is on a network drive, where locks and
// syncs cannot be relied on.
func OnNetwork(name string) (bool, error) {
	root, err := windows.UTF16PtrFromString(filepath.VolumeName(name) + `\`)
	if err != nil {
		return false, err
	}
	return windows.GetDriveType(root) == windows.DRIVE_REMOTE, nil
}
