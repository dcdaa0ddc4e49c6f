package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strings"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/holding"
)

var _ viewer.Holdings = (*office)(nil)

// shownFiles is how many files a page lists.
const shownFiles = 200

// Holdings implements viewer.Holdings.
func (o *office) Holdings(context.Context) ([]viewer.Holding, error) {
	s := o.d.settings()
	kept, err := besidesOf(s, o.m, &o.d.readings, o.now())
	if err != nil {
		return nil, err
	}
	var list []viewer.Holding
	for _, b := range kept {
		r := b.row(s)
		list = append(list, viewer.Holding{Name: r.Name, Folder: r.Folder, Expected: r.Expected, Covers: r.Covers, Files: r.Files,
			Bytes: r.Bytes, Newest: r.Newest, NewestBytes: r.NewestSize, Wrong: r.Wrong})
	}
	return list, nil
}

// HoldingFiles implements viewer.Holdings.
func (o *office) HoldingFiles(ctx context.Context, a viewer.Actor, name, search string) (viewer.HoldingFiles, error) {
	out := viewer.HoldingFiles{}
	list, err := o.keptOf(name)
	if err != nil {
		return out, err
	}
	if err := o.m.Journal(store.Event{Code: "holding.files", Account: a.Account, Note: strings.TrimSpace(name + " " + search)}); err != nil {
		return out, err
	}
	rows, notes, _, err := searchKept(ctx, o.m, list, search)
	if err != nil {
		return out, locked(err)
	}
	out.All = len(rows)
	for _, r := range rows[:min(shownFiles, len(rows))] {
		out.List = append(out.List, viewer.HoldingRow{Path: r.Path, Bytes: r.Size, Kept: r.Kept, Problem: r.Problem})
	}
	for _, n := range notes[:min(shownDamage, len(notes))] {
		out.Notes = append(out.Notes, n.Path+": "+n.Why+".")
	}
	return out, nil
}

// keptOf returns the files of a holding that a page names.
func (o *office) keptOf(name string) ([]store.KeptFile, error) {
	if o.m.Locked() {
		return nil, viewer.ErrLocked
	}
	if name == "" {
		return nil, viewer.ErrNotFound
	}
	list, err := keptFiles(o.m, name, 0)
	return list, refusal(err)
}

// locked tells pages that the key has gone meanwhile.
func locked(err error) error {
	if errors.Is(err, store.ErrLocked) {
		return viewer.ErrLocked
	}
	return err
}

// HoldingFile implements viewer.Holdings.
func (o *office) HoldingFile(ctx context.Context, a viewer.Actor, name, path string) (viewer.HoldingFile, error) {
	list, err := o.keptOf(name)
	if err != nil {
		return viewer.HoldingFile{}, err
	}
	wanted := chooseKept(list, path, false)
	if path == "" || len(wanted) != 1 {
		return viewer.HoldingFile{}, &viewer.Refusal{Words: "The holding has no such file. Nothing was saved. Look for it once more."}
	}
	if err := o.m.Journal(store.Event{Code: "holding.get", Account: a.Account, Count: 1, Note: strings.TrimSpace(name + " " + path)}); err != nil {
		return viewer.HoldingFile{}, err
	}
	f, err := openWanted(ctx, o.m, wanted[0])
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f, &viewer.Refusal{Words: "It was not saved: " + notHere(wanted[0].KeptFile) + "."}
	case errors.Is(err, store.ErrDamaged):
		return f, &viewer.Refusal{Words: "The stored bytes of this file are not what was kept. It was not saved. Delete nothing; at the computer itself: chartcellar repair."}
	case errors.Is(err, holding.ErrInside):
		return f, &viewer.Refusal{Words: "The zip file has no such file, or cannot be looked at inside. Save the whole zip file instead."}
	}
	return f, locked(err)
}

// openWanted opens a file that is to be sent.
func openWanted(ctx context.Context, m *store.Mirror, w wantedFile) (viewer.HoldingFile, error) {
	c, err := m.OpenKept(w.KeptFile)
	if err != nil {
		return viewer.HoldingFile{}, err
	}
	if w.inside == "" {
		body := disk.Until(ctx, io.NewSectionReader(c, 0, c.Size))
		return viewer.HoldingFile{ReadCloser: &sumReader{r: body, h: sha256.New(), want: w.SHA256, close: []io.Closer{c}}, Bytes: c.Size}, nil
	}
	packed, in, err := holding.OpenInside(c, c.Size, w.inside)
	if err != nil {
		return viewer.HoldingFile{}, errors.Join(err, c.Close())
	}
	return viewer.HoldingFile{ReadCloser: &sumReader{r: disk.Until(ctx, packed), close: []io.Closer{packed, c}}, Bytes: in.Size}, nil
}

// A sumReader ends with an error if what was read is not what it must be.
type sumReader struct {
	r     io.Reader
	h     hash.Hash // nil: the reader checks by itself
	want  string
	close []io.Closer
}

// Read implements io.Reader.
func (s *sumReader) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if s.h == nil {
		return n, err
	}
	s.h.Write(b[:n])
	if errors.Is(err, io.EOF) && hex.EncodeToString(s.h.Sum(nil)) != s.want {
		return n, fmt.Errorf("a kept file is another than was kept: %w", store.ErrDamaged)
	}
	return n, err
}

// Close implements io.Closer.
func (s *sumReader) Close() (err error) {
	for _, c := range s.close {
		err = errors.Join(err, c.Close())
	}
	return err
}
