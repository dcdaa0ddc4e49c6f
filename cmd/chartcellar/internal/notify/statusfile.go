package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"chartcellar/store/disk"
)

// A Status is what the status file says, for programs that watch. The words are those
// of the page and the command.
type Status struct {
	Word     string    `json:"word"`
	Sentence string    `json:"sentence"` // as it stands on the page
	At       time.Time `json:"at"`       // when it was true: an old file says nothing
	// Verified is when the last complete copy that was verified began; zero: never.
	Verified time.Time `json:"verified,omitzero"`
	Next     time.Time `json:"next,omitzero"` // run
	Alerts   int       `json:"alerts"`        // that stand
	Worst    Level     `json:"worst"`
}

// WriteStatus puts the status file in the place of the old one, whole or not at all.
// The folder must be there. Only the user whose program this is can read the file.
func WriteStatus(fsys disk.FS, path string, s Status) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write the status file: %w", err)
	}
	if _, err := fsys.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the folder %s for the status file is not there", filepath.Dir(path))
	}
	if err := disk.ReplaceFile(fsys, path, append(b, '\n')); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("the status file cannot be written in %s: no permission", filepath.Dir(path))
		}
		return fmt.Errorf("write the status file: %w", err)
	}
	return nil
}
