//go:build !linux && !windows

package disk

import "golang.org/x/sys/unix"

// localFlag is MNT_LOCAL of statfs on the BSDs and macOS.
const localFlag = 0x1000

// OnNetwork reports whether a folder is on a network file system, where locks
// and syncs cannot be relied on.
func OnNetwork(name string) (bool, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(name, &s); err != nil {
		return false, err
	}
	return s.Flags&localFlag == 0, nil
}
