package disk

import "golang.org/x/sys/unix"

// OnNetwork reports whether a folder is on a network file system, where locks
// and syncs cannot be relied on.
func OnNetwork(name string) (bool, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(name, &s); err != nil {
		return false, err
	}
	switch uint32(s.Type) {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC,
		unix.AFS_SUPER_MAGIC, unix.CODA_SUPER_MAGIC, unix.NCP_SUPER_MAGIC:
		return true, nil
	}
	return false, nil
}
