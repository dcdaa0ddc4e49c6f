package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"

	"chartcellar/store"
	"chartcellar/store/disk"
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

// A printout is the two files of a recovery sheet that somebody is to print.
type printout struct {
	fs   disk.FS
	name string // without .pdf and .txt
}

func (p printout) files() []string { return []string{p.name + ".pdf", p.name + ".txt"} }

// content returns what stands in the files.
func (p printout) content(s keys.Sheet) (map[string][]byte, error) {
	pdf, err := s.PDF()
	return map[string][]byte{p.name + ".pdf": pdf, p.name + ".txt": []byte(s.Text())}, err
}

// stage writes the files under their temporary names, durably. It replaces no sheet.
func (p printout) stage(s keys.Sheet) error {
	content, err := p.content(s)
	if err != nil {
		return err
	}
	for _, f := range p.files() {
		there, err := disk.Exists(p.fs, f)
		switch {
		case err != nil:
			return err
		case there:
			return usage("there is a file already at " + f + "; move it away, or choose another place for the new sheet")
		}
		if err := p.fs.Mkdir(filepath.Dir(f)); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		if err := disk.Stage(p.fs, f, content[f]); err != nil {
			return err
		}
	}
	return nil
}

// staged returns the recovery key of a sheet whose files have not all got their names,
// as after a crash; nil if there is none.
func (p printout) staged() *age.X25519Identity {
	b, err := disk.ReadFile(p.fs, p.name+".txt"+disk.TempSuffix, 1<<20) // the last to get its name
	if err != nil {
		return nil
	}
	id, err := keys.ParseSheet(sheetKey(string(b)))
	if err != nil {
		return nil // half written: before it could count
	}
	return id
}

// commitStaged gives files their names, as far as they have not got them.
func commitStaged(fsys disk.FS, files []string) error {
	for _, f := range files {
		staged, err := disk.Exists(fsys, f+disk.TempSuffix)
		if err != nil {
			return err
		}
		if staged {
			if err := disk.Commit(fsys, f+disk.TempSuffix, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// A provenSheet remembers that somebody has typed a sheet from the paper.
type provenSheet struct {
	Recovery string    `json:"recovery"` // its public key
	At       time.Time `json:"at"`
}

const sheetSecret = "sheet"

// proveSheet notes that somebody has the sheet in force on paper.
func proveSheet(m *store.Mirror, at time.Time) error {
	b, err := json.Marshal(provenSheet{recoveryOf(m), at.UTC()})
	if err != nil {
		return fmt.Errorf("note that the sheet is proven: %w", err)
	}
	return m.PutSecret(sheetSecret, b)
}

// sheetProven returns when somebody last proved that he has the recovery sheet in force
// on paper; the zero time if nobody ever did.
func sheetProven(m *store.Mirror) (time.Time, error) {
	b, err := m.Secret(sheetSecret)
	if err != nil {
		return time.Time{}, err
	}
	var p provenSheet
	if b != nil {
		if err := json.Unmarshal(b, &p); err != nil {
			return time.Time{}, fmt.Errorf("read when the sheet was proven: %w", err)
		}
	}
	switch {
	case p.Recovery == recoveryOf(m):
		return p.At, nil
	case b == nil && m.Statement().Number == 1: // in the first run of an earlier release
		st, err := setupStateOf(m)
		return st.Proven, err
	}
	return time.Time{}, nil
}

// recoveryOf returns the public key of the recovery sheet in force.
func recoveryOf(m *store.Mirror) string { return m.Statement().Recipient("recovery") }

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
