package disk

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
)

// Destroy removes a file of any kind, or an empty folder, for good. It is for one
// purpose: a person destroys a whole mirror. Only store.Wipe may call it; layout_test.go
// sees to that.
//
// A file with keys is overwritten with random bytes first, and they are on the disk before
// it is removed. A disk that spreads its wear may keep the old bytes all the same. What is
// gone already is no error.
func Destroy(fsys FS, name string, key bool) error {
	if key {
		err := scramble(fsys, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("overwrite %s: %w", filepath.Base(name), err)
		}
	}
	return removeIfThere(fsys, name)
}

// scramble writes random bytes over a file.
func scramble(fsys FS, name string) error {
	info, err := fsys.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := fsys.Overwrite(name)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.Reader, info.Size())
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
