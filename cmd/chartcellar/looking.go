package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/store"
	"chartcellar/store/keys"
	"chartcellar/store/offsite"
)

// lookOptions are those of `serve --read-only`.
type lookOptions struct {
	folder, sheet, box, listen string
	phrase                     bool
	quiet                      bool // nothing but what is asked for is printed
}

// look serves the pages over a folder that is only looked at: no EMR, no schedule, no
// settings, nothing is written into it, and no view is recorded.
func (e *env) look(ctx context.Context, o lookOptions) error {
	if o.listen == "" {
		o.listen = "127.0.0.1:0"
	}
	if !loopback(o.listen) {
		return usage("--read-only serves this computer only: --listen takes an address such as 127.0.0.1:8350")
	}
	if o.sheet != "" && o.box != "" {
		return usage("give the sheet or the box key, not both: with --box a passphrase opens the copy")
	}
	l, err := e.openLooking(ctx, o)
	if err != nil {
		return err
	}
	m := l.m
	defer m.Close() // nothing was written
	s, err := settingsOf(m, l.practice)
	if err != nil {
		return err
	}
	s.Listen = o.listen
	return e.showLooked(ctx, l, s)
}

// A lookedAt is a folder that was opened only to look at it.
type lookedAt struct {
	m        *store.Mirror
	id       age.Identity
	practice string // as it stands on a whole sheet; "" else
}

// openLooking opens the folder with the sheet or a passphrase.
func (e *env) openLooking(ctx context.Context, o lookOptions) (l lookedAt, err error) {
	so := store.Options{ReadOnly: true, FS: e.disk, Now: e.clock, Log: e.logger()}
	if so.Dir, err = e.abs(o.folder); err != nil {
		return l, err
	}
	if _, err := os.Stat(so.Dir); err != nil {
		return l, noCopy(so.Dir)
	}
	if so.FS, err = offsite.View(ctx, so.Dir, e.fsys()); err != nil {
		return l, err
	}
	id, text, err := e.lookingKey(so, o)
	if err != nil {
		return l, err
	}
	if !o.quiet {
		e.printf("Reading the copy in %s. Nothing is written there.\n", so.Dir)
	}
	so.Identity, l.id = id, id
	l.m, err = store.Open(ctx, so)
	switch {
	case errors.Is(err, store.ErrNoMirror):
		return l, noCopy(so.Dir)
	case errors.Is(err, store.ErrLocked) && !errors.Is(err, store.ErrOldSheet):
		return l, &plainError{exitLocked, "This key does not open the copy in " + so.Dir + ": it is the key of another one.",
			"Nothing was written.", "Take the sheet that was printed for this practice's office copy."}
	case err != nil:
		return l, err
	}
	if !fitsSheet(text, l.m.FirstHash()) {
		l.m.Close() // nothing was written
		return l, fmt.Errorf("compare the copy with the sheet: %w", keys.ErrForged)
	}
	l.practice = practiceOf(text)
	return l, nil
}

func noCopy(dir string) error {
	return &plainError{exitFailed, "There is no office copy in " + dir + ": it has no file mirror/000001.json.", "Nothing was written.",
		"Name the folder that holds the folders mirror, parts and checkpoints; if it is on a disk, plug it in first."}
}

// sheetHashLine stands on a whole sheet above the hash of the first statement.
const sheetHashLine = "SHA-256 of mirror/000001.json:"

// fitsSheet reports whether the hash on a whole sheet is that of this mirror; a key
// alone says nothing of it.
func fitsSheet(text, hash string) bool {
	_, behind, whole := strings.Cut(text, sheetHashLine)
	return !whole || strings.Contains(strings.Join(strings.Fields(behind), ""), hash)
}

// lookingKey gets what opens records, and the text of the sheet if it came from one.
func (e *env) lookingKey(so store.Options, o lookOptions) (id age.Identity, text string, err error) {
	switch {
	case o.phrase:
		id, err := e.phraseKey(context.Background(), offsite.OpenFolder(so.Dir, e.fsys()))
		return id, "", err
	case o.box != "":
		id, err := e.boxedKey(so, o.box)
		return id, "", err
	case o.sheet != "":
		if text, err = e.sheetFile(o.sheet); err != nil {
			return nil, "", err
		}
	default:
		if text = e.Getenv("CHARTCELLAR_SHEET"); text == "" {
			text = e.typedSheet()
		}
		if isPhrase(text) {
			id, err := e.openWith(context.Background(), offsite.OpenFolder(so.Dir, e.fsys()), text)
			return id, "", err
		}
	}
	key, err := keys.ParseSheet(sheetKey(text))
	var line *keys.LineError
	if err != nil && !errors.As(err, &line) {
		err = &plainError{exitLocked, sentence(err.Error()), "Nothing was written.", "Type the lines as they stand on the sheet, with their numbers and letters."}
	}
	if err != nil {
		return nil, "", err
	}
	return key, text, nil
}

// boxedKey opens a passphrase slot of the folder, with the box key in a file.
func (e *env) boxedKey(so store.Options, box string) (age.Identity, error) {
	file, err := os.ReadFile(box)
	if err != nil {
		return nil, fmt.Errorf("read the box key: %w", err)
	}
	if so.Box, err = keys.ParseBox(file); err != nil {
		return nil, err
	}
	password, err := e.askSecret("CHARTCELLAR_PASSPHRASE", "Passphrase")
	if err != nil {
		return nil, err
	}
	id, err := store.OpenSlotIn(so, &keys.Unlocker{}, password)
	if errors.Is(err, os.ErrNotExist) {
		err = &plainError{exitLocked, "There are no passphrases in " + so.Dir + ": a second copy has none.", "Nothing was written.",
			"Open it with the recovery sheet: --sheet FILE"}
	}
	if err != nil {
		return nil, err
	}
	return id, nil
}

// typedSheet reads the key as it is typed, up to an empty line or a whole key.
func (e *env) typedSheet() string {
	if e.AskTerminal {
		fmt.Fprintln(e.Stderr, "Type the lines of the recovery key from the sheet, with their numbers and letters, or the six words of this copy.\nDo it where nobody looks at the screen.")
	}
	text, in := "", bufio.NewScanner(e.Stdin)
	for in.Scan() {
		line := strings.TrimSpace(in.Text())
		if line == "" && text != "" {
			break
		}
		text += line + "\n"
		if _, err := keys.ParseSheet(sheetKey(text)); err == nil || isPhrase(text) {
			break
		}
	}
	return text
}

// settingsOf are settings for a folder that has none: its sources, and no schedule.
func settingsOf(m *store.Mirror, practice string) (config.Settings, error) {
	s := config.Settings{Practice: practice, Data: m.Dir(), Verify: "off", Downtime: "off"}
	runs, err := m.Runs()
	for _, r := range runs {
		known := slices.ContainsFunc(s.Sources, func(src config.Source) bool { return src.Name == r.Source })
		if r.Kind == "sync" && r.Source != "" && !known {
			s.Sources = append(s.Sources, config.Source{Name: r.Source, Pull: "off", Full: "off"})
		}
	}
	slices.SortFunc(s.Sources, func(a, b config.Source) int { return strings.Compare(a.Name, b.Name) })
	return s, err
}

// showLooked serves the pages until ctx ends.
func (e *env) showLooked(ctx context.Context, l lookedAt, s config.Settings) error {
	m := l.m
	o := &office{e: e, d: &daemon{e: e, m: m, s: s}, m: m, front: newFront(nil), looked: e.now()}
	if err := o.openRoom(); err != nil {
		return err
	}
	door := newLookDoor(e, m, l.id, o.Forget)
	host, _, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return usage("--listen: " + err.Error())
	}
	pages, err := viewer.New(viewer.Options{Backend: o, Access: door, Now: e.clock, Zone: o.zone(), Log: e.logger(),
		Practice: func() string { return s.Practice }, Version: release, Hosts: []string{host}, ReadOnly: true})
	if err != nil {
		return err
	}
	o.d.recount(ctx)
	o.front.show(pages.Handler())
	if err := o.front.listen(s.Listen); err != nil {
		return err
	}
	st, err := o.Status(ctx)
	if err != nil {
		return err
	}
	e.printf("%s\n", st.Sentence)
	for _, p := range m.Problems() {
		e.printf("PROBLEM: %s\n", p)
	}
	if err := e.printApart(e.Stdout, m); err != nil {
		return err
	}
	lost, err := m.Lost()
	if err != nil {
		return err
	}
	if len(lost) > 0 {
		e.printf("%s declared lost: what only they held is not shown.\n", several(len(lost), "file was", "files were"))
	}
	if n := m.Unfinished(); n > 0 {
		e.printf("%s of a run that has not ended: not shown.\n", several(n, "file is", "files are"))
	}
	e.printf("Views are not recorded. Whoever has a code below sees every chart; it works once, on this computer.\n")
	e.printf("The pages: %s\n", o.front.url())
	door.draw()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return o.front.run(ctx) })
	g.Go(func() error { return door.run(ctx) })
	g.Go(func() error { return o.Room.Run(ctx) })
	err = g.Wait()
	o.Forget() // a search may still go on
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// lookedStatus is the status of a folder that is only looked at: never good, because
// nobody knows what the EMR holds by now, and nothing is asked of who looks.
func lookedStatus(in health.Input, opened time.Time) viewer.Status {
	const idle = "not asked: this copy is only being looked at"
	for _, i := range []int{health.SecondCopy, health.Drill, health.SignIn, health.DiskLasts} {
		in.Facts[i] = health.Check{Words: idle}
	}
	if len(in.Damage) == 0 {
		in.Facts[health.ChainIntact] = health.Check{Answer: health.Yes, At: opened, Words: "each part was read when this folder was opened; attachments are checked when they are opened"}
	}
	st := shownStatus(in)
	st.Loss, st.NotSetUp, st.Todo, st.Next = "", nil, nil, time.Time{}
	if st.Word != health.Failed {
		st.Word = health.Warning
	}
	st.Sentence = "This copy is only being looked at. "
	if st.Copy.IsZero() {
		st.Sentence += "No complete copy is in it."
	} else {
		at := st.Copy.In(in.Zone).Format("2006-01-02 15:04")
		st.Sentence += fmt.Sprintf("It is complete as of %s, %s ago.", at, health.Age(in.Now.Sub(st.Copy)))
		st.Loss = "What was written in the EMR since then is not in it."
	}
	if n := len(in.Damage); n > 0 {
		st.Sentence += fmt.Sprintf(" Damage was found: %s", sentence(in.Damage[0]))
		for _, d := range in.Damage {
			st.Todo = append(st.Todo, "Tell whoever keeps the backups, and look for another copy: "+d)
		}
	}
	for _, src := range in.Sources {
		if src.Verdict != "" && src.Verdict != string(fhirsync.Complete) {
			st.Sentence += fmt.Sprintf(" The last run of %s ended as %s.", src.Name, src.Verdict)
		}
	}
	return st
}

// fromCopy calls f with a second copy that is only looked at: no settings, no office copy
// and no EMR are needed. Views are not recorded.
func (e *env) fromCopy(ctx context.Context, a access, f func(context.Context, config.Settings, *store.Mirror) error) error {
	if a.write || a.alone {
		return usage("this command changes the office copy; with --copy a second copy is only read")
	}
	l, err := e.openLooking(ctx, lookOptions{folder: e.copy, sheet: a.sheet, quiet: true})
	if err != nil {
		return err
	}
	defer l.m.Close() // only looked at
	for _, p := range l.m.Problems() {
		fmt.Fprintf(e.Stderr, "PROBLEM: %s\n", p)
	}
	if err := e.printApart(e.Stderr, l.m); err != nil {
		return err
	}
	s, err := settingsOf(l.m, l.practice)
	if err != nil {
		return err
	}
	return f(ctx, s, l.m)
}
