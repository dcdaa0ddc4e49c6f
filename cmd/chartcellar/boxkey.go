package main

import (
	"errors"
	"os"
	"path/filepath"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/keys"
)

// boxCredential is the name under which a service manager hands the box key over.
const boxCredential = "box-key"

// readBox returns the box key: the one that the service manager unsealed for this
// process, the one that is sealed for this computer, or the plain file.
func (e *env) readBox(s config.Settings) (*keys.Box, error) {
	if dir := e.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		b, err := os.ReadFile(filepath.Join(dir, boxCredential))
		if err == nil {
			return keys.ParseBox(b)
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, &plainError{exitFailed, "The sealed box key that the service was given cannot be read.",
				"No record is lost: the recovery sheet still opens the archive.", "Start the service again."}
		}
	}
	b, err := unsealBox(s.BoxKey)
	if errors.Is(err, os.ErrNotExist) {
		b, err = os.ReadFile(s.BoxKey)
	}
	if err == nil {
		return keys.ParseBox(b)
	}
	missing := &plainError{exitFailed, "The box key cannot be read: " + filepath.Base(s.BoxKey) + ".",
		"No record is lost: the recovery sheet still opens the archive.",
		"Put the box key back at the place that the settings name, or, if it is sealed for the service, see that the service runs: chartcellar service status"}
	// Where only the service has the key, it is asked.
	if h, ok := store.WhoHolds(s.Data); ok && h.Doing == "serve" && h.PID != os.Getpid() {
		return nil, errors.Join(missing, &store.BusyError{Holder: h})
	}
	return nil, missing
}
