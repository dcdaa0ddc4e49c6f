package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"chartcellar/store/archive"
	"chartcellar/store/index"
)

// A SealedFile is a file of the mirror as a second copy holds it: nothing in it
// ever changes.
type SealedFile struct {
	Name   string // below the data folder, with '/'
	Size   int64  // 0: it is damaged or missing, and nothing else says what it was
	SHA256 [32]byte
}

// Inventory returns every file that belongs into a second copy, in the order in
// which a copy that is broken off is still worth something: statements and settings first,
// each part behind the attachments that it names, and each checkpoint behind the
// parts that it covers. It needs no key, and reads statements and checkpoints only:
// the sums of the others come from the index.
func (m *Mirror) Inventory() ([]SealedFile, error) {
	list, err := m.statementFiles()
	if err != nil {
		return nil, err
	}
	kept, err := m.SettingsKept()
	for n := 1; n <= kept && err == nil; n++ {
		var f SealedFile
		if f, err = m.sealedFile(filepath.ToSlash(settingsName(n))); err == nil {
			list = append(list, f)
		} else if errors.Is(err, fs.ErrNotExist) { // verify names it
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	last, err := m.Checkpoints() // before the parts: those of one that comes meanwhile might be missing
	if err != nil {
		return nil, err
	}
	parts, err := m.Parts()
	if err != nil {
		return nil, err
	}
	for n := 1; n <= last; n++ {
		name := filepath.ToSlash(checkpointName(n))
		c, err := m.ReadCheckpoint(n)
		if errors.Is(err, ErrDamaged) || errors.Is(err, fs.ErrNotExist) {
			list = append(list, SealedFile{Name: name})
			continue
		}
		if err != nil {
			return nil, err
		}
		for len(parts) > 0 && parts[0].Leaves <= c.Size {
			list, parts = appendPart(list, parts[0]), parts[1:]
		}
		f, err := m.sealedFile(name)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	for _, p := range parts {
		list = appendPart(list, p)
	}
	return list, nil
}

// partFile is the name of a part's file, with '/'.
func partFile(n uint32) string { return filepath.ToSlash(archive.PartNumber(n).Name()) }

func sealedOf(f index.File) SealedFile { return SealedFile{f.Name, f.Size, f.SHA256} }

// appendPart appends the files of a part, but for those that were declared lost.
func appendPart(list []SealedFile, p index.Part) []SealedFile {
	for _, f := range p.Files {
		if f.Lost == 0 {
			list = append(list, sealedOf(f))
		}
	}
	if p.Lost > 0 {
		return list
	}
	return append(list, SealedFile{partFile(p.Number), p.Size, p.SHA256})
}

// statementFiles are the mirror's statements.
func (m *Mirror) statementFiles() (list []SealedFile, err error) {
	for n := 1; ; n++ {
		f, err := m.sealedFile(filepath.ToSlash(statementName(n)))
		if errors.Is(err, fs.ErrNotExist) && n > 1 {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
}

func (m *Mirror) sealedFile(name string) (SealedFile, error) {
	size, sum, err := m.SumFile(name)
	return SealedFile{name, size, sum}, err
}

// OpenSealed opens a file of the inventory for reading.
func (m *Mirror) OpenSealed(name string) (io.ReadCloser, error) {
	f, err := m.fs.Open(m.path(filepath.FromSlash(name)))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return f, nil
}
