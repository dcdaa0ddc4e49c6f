//go:build linux || windows

package main

import (
	"fmt"
	"os"
)

// sayKeyStays says what to do about the plain box key.
func (e *env) sayKeyStays(path string) {
	e.printf("The plain box key is still at %s. Copy it to a USB stick and put that into the safe, beside the recovery\n"+
		"sheet: if this computer breaks, the sealed one is lost, and passphrases do not open without it.\n"+
		"Then delete it yourself, or run this again with --remove-box-key.\n", path)
}

// removeBoxKey removes the plain box key, which the caller has proved to be sealed.
func (e *env) removeBoxKey(path string) error {
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the plain box key: %w", err)
	}
	e.printf("The plain box key at %s is deleted. Without the service running, commands cannot open the mirror here any more.\n"+
		"If this computer breaks: put the copy from the safe back as box_key. Without a copy the recovery sheet\n"+
		"still opens every record (docs/without-chartcellar.md); the EMR is then connected anew.\n", path)
	return nil
}
