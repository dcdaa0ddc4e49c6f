package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"filippo.io/age"

	"chartcellar/store"
	"chartcellar/store/keys"
)

// sheetBeside is where the recovery sheet goes if nothing else is said, without its
// ending.
func sheetBeside(settings string) string {
	return filepath.Join(filepath.Dir(settings), "recovery-sheet")
}

// sheetFile reads the recovery key that a person typed into a file, or a whole sheet.
func (e *env) sheetFile(file string) (string, error) {
	name, err := e.abs(file)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("read the sheet: %w", err)
	}
	return string(b), nil
}

// A keptSheet is what is sealed of a sheet.
type keptSheet struct {
	keys.Sheet
	Recovery string
}

// sealSheet encrypts a sheet for whoever opens the mirror with his password.
func sealSheet(made store.NewMirror) ([]byte, error) {
	s := keptSheet{made.Sheet, made.Sheet.Recovery.String()}
	s.Sheet.Recovery = nil
	plain, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write the recovery sheet: %w", err)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, made.Office.Recipient())
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("seal the recovery sheet: %w", err)
	}
	return b.Bytes(), nil
}

// openSheet reads what sealSheet wrote.
func openSheet(r io.Reader, id age.Identity) (keys.Sheet, error) {
	var s keptSheet
	plain, err := age.Decrypt(r, id)
	if err == nil {
		err = json.NewDecoder(plain).Decode(&s)
	}
	if err == nil {
		s.Sheet.Recovery, err = age.ParseX25519Identity(s.Recovery)
	}
	if err != nil {
		return keys.Sheet{}, fmt.Errorf("open the sealed recovery sheet: %w", err)
	}
	return s.Sheet, nil
}
