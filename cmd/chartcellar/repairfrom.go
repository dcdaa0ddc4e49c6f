package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/offsite"
)

// A giver is a place from which files of the mirror may come back.
type giver struct {
	name  string // as it is told
	place offsite.Place
	// at are the names at the place of each file of the mirror: one for each epoch
	// that wrote it. Which one is the file, its hash says.
	at  map[string][]string
	why string // it cannot be asked; "": it can
	// apart are the files that it does not get by choice.
	apart map[string]bool
}

// errApart says that a second copy does not get a file by choice.
var errApart = errors.New("by choice it does not get this file")

// ofEpoch takes the folder of a later epoch off a name.
var ofEpoch = regexp.MustCompile(`^e\d{4}/`)

// givers are the places that were named, else all second copies of the settings. One
// that cannot be reached is among them, with the reason.
func (e *env) givers(ctx context.Context, s config.Settings, m *store.Mirror, from []string) ([]*giver, error) {
	places := s.Copies
	if len(from) > 0 {
		places = nil
	}
	for _, name := range from {
		c, err := s.Copy(name)
		if err != nil { // no name of a copy: a folder
			path, aerr := e.abs(name)
			if aerr != nil {
				return nil, aerr
			}
			if info, serr := os.Stat(path); serr != nil || !info.IsDir() {
				return nil, usage(fmt.Sprintf("%q is neither a second copy of the settings nor a folder that is there", name))
			}
			c = config.Copy{Name: name, Folder: path}
		}
		places = append(places, c)
	}
	var chosen map[string]store.Apart
	if m != nil {
		var err error
		if chosen, err = m.Chosen(); err != nil {
			return nil, err
		}
	}
	var list []*giver
	for _, c := range places {
		g := &giver{name: c.Name, apart: notFor(s, c.Name, chosen)}
		if err := g.open(ctx, e, m, c); err != nil {
			g.why = explainPlace(err)
		}
		list = append(list, g)
	}
	return list, nil
}

// notFor returns the files that a second copy of the settings does not get by choice.
func notFor(s config.Settings, name string, chosen map[string]store.Apart) map[string]bool {
	not, only := map[string]bool{}, onlyBy(s)
	if _, err := s.Copy(name); err != nil {
		return not
	}
	for file, a := range chosen {
		places := only(a.Choice)
		not[file] = len(places) > 0 && !slices.Contains(places, name)
	}
	return not
}

func explainPlace(err error) string {
	if errors.Is(err, offsite.ErrAway) || errors.Is(err, fs.ErrNotExist) {
		return "it cannot be reached now"
	}
	return err.Error()
}

func (g *giver) open(ctx context.Context, e *env, m *store.Mirror, c config.Copy) (err error) {
	if g.place, err = e.openPlace(ctx, m, c); err != nil {
		return err
	}
	g.at = map[string][]string{}
	return g.place.List(ctx, "", func(i offsite.Info) error {
		name := ofEpoch.ReplaceAllString(i.Name, "")
		g.at[name] = append(g.at[name], i.Name)
		return nil
	})
}

func (g *giver) close() {
	if g.place != nil {
		g.place.Close() // read only
	}
}

// each calls fn with what the place has under the name of a file, until one will do:
// it returns nil then, else why not.
func (g *giver) each(ctx context.Context, name string, fn func(io.Reader) error) error {
	if g.why != "" {
		return errors.New(g.why)
	}
	err := error(fs.ErrNotExist)
	if g.apart[name] {
		err = errApart
	}
	for _, at := range g.at[name] {
		r, gerr := g.place.Get(ctx, at)
		if gerr != nil {
			err = gerr
			continue
		}
		err = fn(r)
		r.Close() // read only
		if err == nil || !errors.Is(err, store.ErrOtherBytes) {
			return err
		}
	}
	return err
}

// is reports with ErrOtherBytes that what r gives is not a file. A checkpoint is known
// only once it is here.
func is(f store.SealedFile, r io.Reader) error {
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err == nil && f.Size > 0 && (n != f.Size || [32]byte(h.Sum(nil)) != f.SHA256) {
		err = store.ErrOtherBytes
	}
	return err
}
