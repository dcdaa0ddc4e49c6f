//go:build !windows

package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// renameByLink gives a second name and then takes the first away: a crash
// between the two leaves both names on one whole file.
func renameByLink(old, name string) error {
	if err := os.Link(old, name); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("rename: %w", ErrExists)
		}
		return err
	}
	return os.Remove(old)
}
