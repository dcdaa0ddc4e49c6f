package main

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/disk"
)

func wipeCommand(e *env) *cobra.Command {
	var o wipeOptions
	c := command("wipe", "Destroy an office copy for good, with a certificate",
		`wipe destroys the office copy in a folder: first the keys and passphrases that are kept
there, overwritten and removed, then every file of it. Of other files in the folder none
is touched. It writes a certificate, as text and PDF, outside of the folder.

Nothing brings the records back. So it asks to type the name of the practice, refuses
while a process has the copy open, and wants to know that the records are elsewhere: the
office copy that the settings name goes on where this one ends (as after keys rekey), or
you say --i-have-a-copy.

If it is the copy that the settings name, the box key and a key file go with it. After a
power cut run it again with the same words.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.wipe(ctx, o) })
	f := c.Flags()
	f.StringVar(&o.data, "data", "", "folder of the office copy to be destroyed")
	f.BoolVar(&o.copied, "i-have-a-copy", false, "the records are elsewhere, or are to be gone everywhere")
	f.StringVar(&o.keyFile, "key-file", "", "an office key in clear that is to be destroyed with it")
	f.StringVar(&o.to, "certificate", "", "where the certificate goes, without its ending (default: beside the settings)")
	f.StringVar(&o.by, "by", "", "who destroys it (default: who is signed in at this computer)")
	f.StringVar(&o.medium, "medium", "not stated", "the disk, for the certificate: kind, maker, serial number")
	return c
}

type wipeOptions struct {
	data, keyFile, to, by, medium string
	copied                        bool
}

// A wiping is a destruction that is under way.
type wiping struct {
	wipeOptions
	e     *env
	s     config.Settings // those that name a copy; zero if there are none
	newer bool            // the copy of the settings goes on where this one ends
	keys  []string        // files outside the folder that go with it
	paper string          // the certificate, without its ending
}

func (e *env) wipe(ctx context.Context, o wipeOptions) error {
	w, err := e.planWipe(o)
	if err != nil {
		return err
	}
	if err := w.agreed(); err != nil {
		return err
	}
	gone, err := store.Wipe(ctx, store.WipeOptions{Dir: w.data, FS: e.disk, Now: e.clock, Keys: w.keys, Begun: w.begun, Gone: w.gone,
		Events: func(done, files int) {
			if done%1000 == 0 && done > 0 {
				e.printf("%d of %d files are gone.\n", done, files)
			}
		}})
	if errors.Is(err, store.ErrNoMirror) {
		return noCopy(w.data)
	}
	if err != nil {
		return err
	}
	e.printf("The office copy in %s is destroyed: %s, %d MB.\n", w.data, plural(gone.Files, "file"), gone.Bytes>>20)
	for _, name := range gone.Left {
		e.printf("Not touched, because it is not part of the copy: %s\n", name)
	}
	e.printf("The certificate: %s.pdf and %s.txt. Read in it what is to be destroyed by hand.\n", w.paper, w.paper)
	return nil
}

// planWipe finds out what goes and whether the records are elsewhere.
func (e *env) planWipe(o wipeOptions) (*wiping, error) {
	w := &wiping{wipeOptions: o, e: e}
	if o.data == "" {
		return nil, usage("say which copy is to be destroyed: --data FOLDER")
	}
	var err error
	if w.data, err = e.abs(o.data); err != nil {
		return nil, err
	}
	if w.s, err = e.settings(); err != nil && !errors.Is(err, config.ErrMissing) {
		return nil, err
	}
	if w.by == "" {
		if u, err := user.Current(); err == nil {
			w.by = u.Username
		}
	}
	if w.keyFile != "" {
		if w.keyFile, err = e.abs(w.keyFile); err != nil {
			return nil, err
		}
		w.keys = append(w.keys, w.keyFile)
	}
	if w.s.Data == w.data {
		w.keys = append(w.keys, w.s.BoxKey, w.s.BoxKey+".witness", w.s.BoxKey+".alerts", w.s.BoxKey+".mail", w.s.BoxKey+".dpapi")
		if w.s.KeyFile != "" {
			w.keys = append(w.keys, w.s.KeyFile)
		}
	} else if w.s.Data != "" {
		w.newer, err = store.Continues(w.s.Data, w.data)
		if err != nil {
			e.logger().Info("no newer copy known", "cause", err.Error())
		}
	}
	can, begun, err := store.CanWipe(e.fsys(), w.data)
	switch {
	case err != nil:
		return nil, err
	case !can:
		return nil, noCopy(w.data)
	}
	return w, w.where(begun)
}

// where finds a place for the certificate, outside of what goes. Of a wipe that was begun
// before it may lie there already.
func (w *wiping) where(begun bool) error {
	path, err := w.e.settingsPath()
	if err != nil {
		return err
	}
	w.paper = filepath.Join(filepath.Dir(path), "wipe-certificate")
	if w.to != "" {
		if w.paper, err = w.e.abs(w.to); err != nil {
			return err
		}
	}
	if in, err := filepath.Rel(w.data, w.paper); err == nil && filepath.IsLocal(in) {
		return usage("the certificate must be outside of the folder that is destroyed: --certificate FILE")
	}
	for _, f := range w.files() {
		there, err := disk.Exists(w.e.fsys(), f)
		if err != nil {
			return err
		}
		if there && !begun {
			return usage("there is a certificate already at " + f + "; move it away, or choose another place with --certificate")
		}
	}
	return nil
}

func (w *wiping) files() []string { return []string{w.paper + ".pdf", w.paper + ".txt"} }

// agreed asks a person to say that he means it.
func (w *wiping) agreed() error {
	switch {
	case !w.newer && !w.copied:
		return &plainError{exitUsage, "It is not known that these records are anywhere else.", "Nothing was destroyed.",
			"If a second copy was verified, or the records are to be gone everywhere, say so: --i-have-a-copy"}
	}
	name := w.s.Practice
	if name == "" {
		name = "destroy"
	}
	fmt.Fprintf(w.e.Stderr, "This destroys the office copy in %s for good.\nType %q to go on: ", w.data, name)
	typed, err := w.e.line()
	if err != nil {
		return err
	}
	if strings.TrimSpace(typed) != name {
		return &plainError{exitUsage, "That is not the name that was asked for.", "Nothing was destroyed.", "Type it as it stands there, with its capital letters."}
	}
	return nil
}
