package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"chartcellar/store/index"
)

// A Choice is what was said, before a large file of a holding came, of where it goes: to
// these second copies only.
type Choice struct {
	Holdings []string `json:"holdings"` // that have the file
	Copies   []string `json:"copies"`
}

// An Apart is large files of the same choice.
type Apart struct {
	Choice
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"` // of the sealed files
}

// Words say which files are not at a place, and where they are.
func (a Apart) Words() string {
	files := "1 large file of the holding %s (%d MB) is not in this copy by choice: it goes"
	if a.Files != 1 {
		files = fmt.Sprint(a.Files) + " large files of the holding %s (%d MB) are not in this copy by choice: they go"
	}
	return fmt.Sprintf(files+" to %s only.", strings.Join(a.Holdings, " and "), a.Bytes>>20, strings.Join(a.Copies, " and "))
}

// Unsure says the same of a copy of which it is not known which one it is.
func (a Apart) Unsure() string {
	return fmt.Sprintf("Large files of the holding %s are not here: %d, %d MB. By choice they go to %s only; if this copy is none of these, that is as it should be.",
		strings.Join(a.Holdings, " and "), a.Files, a.Bytes>>20, strings.Join(a.Copies, " and "))
}

// Missing says that these files are missing where they were to be.
func (a Apart) Missing() string {
	return fmt.Sprintf("large files of the holding %s that were to be in this copy are missing: %d, %d MB", strings.Join(a.Holdings, " and "), a.Files, a.Bytes>>20)
}

// AddApart adds files to those of the same choice.
func AddApart(list []Apart, a Apart) []Apart {
	i := slices.IndexFunc(list, func(b Apart) bool {
		return slices.Equal(a.Holdings, b.Holdings) && slices.Equal(a.Copies, b.Copies)
	})
	if i < 0 {
		return append(list, a)
	}
	list[i].Files += a.Files
	list[i].Bytes += a.Bytes
	return list
}

// Together adds up files that are known by name.
func Together(files map[string]Apart) (list []Apart) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		list = AddApart(list, files[name])
	}
	return list
}

// Chosen returns the files below holdings/ that go to some second copies only, by name:
// those of which that was said each time that they came, and that are no record's
// attachment. It needs no key.
func (m *Mirror) Chosen() (map[string]Apart, error) { return chosen(m.index) }

func chosen(d *index.DB) (map[string]Apart, error) {
	kept, err := d.KeptFiles("")
	if err != nil {
		return nil, err
	}
	by, everywhere := map[index.BlobName]Choice{}, map[index.BlobName]bool{}
	for _, f := range kept {
		if everywhere[f.Name] = everywhere[f.Name] || len(f.Copies) == 0; f.Size <= SmallAttachment || everywhere[f.Name] {
			continue
		}
		c := by[f.Name]
		by[f.Name] = Choice{union(c.Holdings, []string{f.Holding}), union(c.Copies, f.Copies)}
	}
	maps.DeleteFunc(by, func(name index.BlobName, _ Choice) bool { return everywhere[name] })
	if len(by) > 0 {
		err = d.EachLink(func(l index.Link) { delete(by, l.Name) })
	}
	files := map[string]Apart{}
	for name, c := range by {
		b, ok, berr := d.Blob(name)
		if err = errors.Join(err, berr); ok && b.File != nil && strings.HasPrefix(b.File.Name, holdingFolder+"/") {
			files[b.File.Name] = Apart{c, 1, b.File.Size}
		}
	}
	return files, err
}

// union returns the words of both lists, sorted.
func union(a, b []string) []string {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

// Apart returns the files that are not here though the mirror names them, by choice, by
// name: it can only be so in a copy that is looked at. Whether that copy was to have them,
// whoever knows which copy it is says by their Copies. Everything belongs into a mirror
// that is kept: then there are none.
func (m *Mirror) Apart() (map[string]Apart, error) {
	if !m.ReadOnly() {
		return nil, nil
	}
	return m.absent(m.index)
}

// absent returns the chosen files that are not here.
func (m *Mirror) absent(d *index.DB) (map[string]Apart, error) {
	files, err := chosen(d)
	maps.DeleteFunc(files, func(name string, _ Apart) bool {
		_, serr := m.fs.Stat(m.path(filepath.FromSlash(name)))
		return !errors.Is(serr, fs.ErrNotExist)
	})
	return files, err
}
