package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/holding"
)

type holdingFilesOptions struct {
	search, sheet string
	asOf          uint32
}

func holdingFilesCommand(e *env) *cobra.Command {
	var o holdingFilesOptions
	c := command("files NAME", "List the files of a holding, also those inside its zip files",
		`files lists what the holding NAME has, as it came last; --search takes words that must all
be in a name or path, in any order. Of zip files it lists what is inside. Each look is a
line in the journal.`, cobra.ExactArgs(1),
		func(ctx context.Context, a []string) error { return e.holdingFiles(ctx, a[0], o) })
	c.Flags().StringVar(&o.search, "search", "", "only names and paths with these words")
	c.Flags().StringVar(&o.sheet, "sheet", "", "file with the recovery key, instead of the passphrase")
	c.Flags().Uint32Var(&o.asOf, "as-of", 0, "as it was after this run")
	return c
}

// A holdingFile is a row of the list.
type holdingFile struct {
	Path     string    `json:"path"`
	In       string    `json:"in,omitempty"` // the zip file that it is in
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified,omitzero"`
	Kept     time.Time `json:"kept"`
	SHA256   string    `json:"sha256,omitempty"`
	Problem  string    `json:"problem,omitempty"`
}

// keptFiles returns the files of a holding up to a run (0: all), oldest first.
func keptFiles(m *store.Mirror, name string, asOf uint32) ([]store.KeptFile, error) {
	list, err := m.KeptFiles(name)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(f store.KeptFile) bool { return asOf > 0 && f.Run > asOf })
	if len(list) == 0 {
		return nil, &plainError{exitFailed, fmt.Sprintf("Nothing is kept in a holding %q.", name), nothingLost, "See: chartcellar holding list"}
	}
	return list, nil
}

func (e *env) holdingFiles(ctx context.Context, name string, o holdingFilesOptions) error {
	return e.withMirror(ctx, access{doing: "holding files", key: true, sheet: o.sheet}, func(ctx context.Context, _ config.Settings, m *store.Mirror) error {
		list, err := keptFiles(m, name, o.asOf)
		if err != nil {
			return err
		}
		if err := m.Journal(store.Event{Code: "holding.files", Account: "owner", Note: strings.TrimSpace(name + " " + o.search)}); err != nil {
			return err
		}
		rows, notes, damaged, err := searchKept(ctx, m, list, o.search)
		if err != nil {
			return err
		}
		code := exitGood
		if damaged {
			code = exitDamage
		}
		if e.json {
			if err := e.printJSON(map[string]any{"holding": name, "files": rows, "notes": notes}); err != nil {
				return err
			}
			return quiet(code)
		}
		e.printHoldingFiles(rows, notes, o.search)
		return quiet(code)
	})
}

// searchKept lists the files of a holding as they came last, and those inside its zip
// files, as far as their names are searched for.
func searchKept(ctx context.Context, m *store.Mirror, list []store.KeptFile, search string) (rows []holdingFile, notes []fileTrouble, damaged bool, err error) {
	rows, notes = []holdingFile{}, []fileTrouble{}
	for _, f := range holding.Newest(list) {
		if holding.Matches(f.Path, search) {
			rows = append(rows, holdingFile{Path: f.Path, Size: f.Size, Modified: f.Modified, Kept: f.Taken, SHA256: f.SHA256, Problem: f.Problem})
		}
		if !holding.IsZip(f.Path) {
			continue
		}
		inside, err := insideOf(ctx, m, f, search)
		switch {
		case errors.Is(err, store.ErrDamaged):
			damaged = true
			notes = append(notes, fileTrouble{f.Path, "its stored bytes are damaged, so that it could not be looked at inside"})
		case errors.Is(err, fs.ErrNotExist):
			notes = append(notes, fileTrouble{f.Path, notHere(f)})
		case errors.Is(err, holding.ErrInside):
			notes = append(notes, fileTrouble{f.Path, "it is no whole zip file and cannot be looked at inside; it is kept as it came"})
		case err != nil:
			return nil, nil, false, err
		}
		rows = append(rows, inside...)
	}
	return rows, notes, damaged, nil
}

// errNotHere says that the file of a kept content is not here.
var errNotHere = errors.New("the file of a holding is not here")

// notHere says so in words.
func notHere(f store.KeptFile) string {
	if len(f.Copies) == 0 {
		return "its file is missing here"
	}
	return "its file is not here; by choice it goes to " + strings.Join(f.Copies, " and ") + " only"
}

// insideOf lists what a zip file holds, as far as it is searched for.
func insideOf(ctx context.Context, m *store.Mirror, f store.KeptFile, search string) (rows []holdingFile, err error) {
	c, err := m.OpenKept(f)
	if err != nil {
		return nil, err
	}
	defer c.Close() // read only
	err = holding.Zip(c, c.Size, func(in holding.Inside) error {
		if name := f.Path + "/" + in.Path; holding.Matches(name, search) {
			rows = append(rows, holdingFile{Path: name, In: f.Path, Size: in.Size, Modified: in.Modified, Kept: f.Taken})
		}
		return ctx.Err()
	})
	return rows, err
}

func (e *env) printHoldingFiles(rows []holdingFile, notes []fileTrouble, search string) {
	for _, r := range rows {
		e.printf("%12d  %s  %s\n", r.Size, r.Kept.Local().Format("2006-01-02 15:04"), oneLine(r.Path))
	}
	for _, n := range notes {
		e.printf("NOTE  %s: %s.\n", oneLine(n.Path), n.Why)
	}
	if len(rows) == 0 && search != "" {
		e.printf("No name has all of these words. Inside of files chartcellar cannot look, but for the names in zip files.\n")
		return
	}
	e.printf("%s. Save one: chartcellar holding get NAME PATH --to FOLDER\n", plural(len(rows), "file"))
}

type holdingGetOptions struct {
	to, sheet string
	asOf      uint32
	all       bool
}

func holdingGetCommand(e *env) *cobra.Command {
	var o holdingGetOptions
	c := command("get NAME [PATH]", "Save files of a holding, byte for byte",
		`get saves what came last in the holding NAME, with the documents of its format; or the file,
or folder, PATH; or one file inside a zip file, written as export.zip/folder/file. Each is
compared with the SHA-256 that was noted when it came. Nothing is replaced. The saved files
are NOT encrypted: guard the folder as you guard the charts.

Exit codes: 0 good, 2 usage, 12 not kept or not here, 13 damage, 15 locked.`, cobra.RangeArgs(1, 2),
		func(ctx context.Context, a []string) error {
			return e.holdingGet(ctx, a[0], strings.Join(a[1:], ""), o)
		})
	c.Flags().StringVar(&o.to, "to", "", "the folder to save in; it is made if need be")
	c.Flags().StringVar(&o.sheet, "sheet", "", "file with the recovery key, instead of the passphrase")
	c.Flags().Uint32Var(&o.asOf, "as-of", 0, "as it was after this run")
	c.Flags().BoolVar(&o.all, "all", false, "everything that the holding has, not only what came last")
	return c
}

// A wanted file is one that is to be saved, as what.
type wantedFile struct {
	store.KeptFile
	inside string // the file in this zip file; "": itself
	as     string // path below the folder, with '/'
}

func (e *env) holdingGet(ctx context.Context, name, what string, o holdingGetOptions) error {
	if o.to == "" {
		return usage("say where to save: --to FOLDER")
	}
	to, err := e.abs(o.to)
	if err != nil {
		return err
	}
	return e.withMirror(ctx, access{doing: "holding get", key: true, sheet: o.sheet}, func(ctx context.Context, _ config.Settings, m *store.Mirror) error {
		list, err := keptFiles(m, name, o.asOf)
		if err != nil {
			return err
		}
		wanted := chooseKept(list, strings.Trim(filepath.ToSlash(what), "/"), o.all)
		if len(wanted) == 0 {
			return &plainError{exitFailed, fmt.Sprintf("The holding %q has no such file.", name), nothingLost,
				"Compare the name, with its capital letters: chartcellar holding files " + name}
		}
		if err := e.mayBeSaved(to, wanted); err != nil {
			return err
		}
		if err := m.Journal(store.Event{Code: "holding.get", Account: "owner", Count: len(wanted), Note: strings.TrimSpace(name + " " + what)}); err != nil {
			return err
		}
		return e.saveAll(ctx, m, to, wanted)
	})
}

// chooseKept returns the files that a person means by a path; with "", what came last, or
// everything.
func chooseKept(list []store.KeptFile, what string, all bool) (wanted []wantedFile) {
	newest := holding.Newest(list)
	add := func(match func(store.KeptFile) bool) {
		for _, f := range newest {
			if match(f) {
				wanted = append(wanted, wantedFile{KeptFile: f, as: f.Path})
			}
		}
	}
	if what != "" {
		add(func(f store.KeptFile) bool { return f.Path == what || strings.HasPrefix(f.Path, what+"/") })
		if len(wanted) > 0 {
			return wanted
		}
		for _, f := range newest {
			if in, ok := strings.CutPrefix(what, f.Path+"/"); ok && holding.IsZip(f.Path) {
				return []wantedFile{{f, in, in}}
			}
		}
		return nil
	}
	last := ""
	if d := holding.Deliveries(list); len(d) > 0 {
		last = d[len(d)-1].Name
	}
	add(func(f store.KeptFile) bool {
		return all || f.Role == holding.Format || f.Path == last || strings.HasPrefix(f.Path, last+"/")
	})
	return wanted
}

// mayBeSaved refuses to replace a file, and to save one outside the folder.
func (e *env) mayBeSaved(to string, wanted []wantedFile) error {
	for _, w := range wanted {
		if !filepath.IsLocal(filepath.FromSlash(w.as)) || path.Clean(w.as) != w.as {
			return &plainError{exitFailed, "A file has a name that leads out of the folder; it was not saved.", nothingLost,
				"Save the whole zip file, and unpack it with care."}
		}
		there, err := disk.Exists(e.fsys(), filepath.Join(to, filepath.FromSlash(w.as)))
		if err != nil {
			return err
		}
		if there {
			return usage("there is a file " + w.as + " in that folder already; nothing is replaced: choose another folder")
		}
	}
	return nil
}

// saveAll saves files; one that is damaged is named and not saved.
func (e *env) saveAll(ctx context.Context, m *store.Mirror, to string, wanted []wantedFile) error {
	saved, bytes, damaged, missing := []string{}, int64(0), []string{}, []fileTrouble{}
	for _, w := range wanted {
		n, err := e.save(ctx, m, filepath.Join(to, filepath.FromSlash(w.as)), w)
		switch {
		case err == nil:
			saved, bytes = append(saved, w.as), bytes+n
		case errors.Is(err, store.ErrDamaged):
			damaged = append(damaged, w.as)
		case errors.Is(err, errNotHere):
			missing = append(missing, fileTrouble{w.as, notHere(w.KeptFile)})
		case errors.Is(err, holding.ErrInside):
			return &plainError{exitFailed, "The zip file has no such file, or cannot be looked at inside.", nothingLost,
				"See what it has: chartcellar holding files " + w.Holding}
		default:
			return err
		}
	}
	code := exitGood
	switch {
	case len(damaged) > 0:
		code = exitDamage
	case len(missing) > 0:
		code = exitFailed
	}
	if e.json {
		if err := e.printJSON(map[string]any{"folder": to, "saved": saved, "bytes": bytes, "damaged": damaged, "missing": missing}); err != nil {
			return err
		}
		return quiet(code)
	}
	if len(saved) > 0 {
		e.printf("%s (%s) saved in %s, each as it came. They are not encrypted.\n", plural(len(saved), "file"), notify.Size(bytes), to)
	}
	for _, f := range missing {
		e.printf("NOT SAVED  %s: %s.\n", oneLine(f.Path), f.Why)
	}
	for _, d := range damaged {
		e.printf("DAMAGE  %s: its stored bytes are not what was kept; it was not saved.\n", oneLine(d))
	}
	if len(damaged) > 0 {
		e.printf("Keep the damaged files; do not delete anything. See: chartcellar verify --depth full\n")
	}
	return quiet(code)
}

// save writes one file, whole or not at all, once it is found to be what was kept.
func (e *env) save(ctx context.Context, m *store.Mirror, name string, w wantedFile) (n int64, err error) {
	c, err := m.OpenKept(w.KeptFile)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, errNotHere
	}
	if err != nil {
		return 0, err
	}
	defer c.Close() // read only
	var body io.Reader = io.NewSectionReader(c, 0, c.Size)
	if w.inside != "" {
		packed, _, err := holding.OpenInside(c, c.Size, w.inside)
		if err != nil {
			return 0, err
		}
		defer packed.Close() // read only
		body = packed
	}
	fsys := e.fsys()
	if err := fsys.Mkdir(filepath.Dir(name)); err != nil {
		return 0, fmt.Errorf("make the folder: %w", err)
	}
	temp := name + disk.TempSuffix
	f, err := fsys.Create(temp)
	if err != nil {
		return 0, fmt.Errorf("make the file: %w", err)
	}
	h := sha256.New()
	n, err = io.Copy(io.MultiWriter(f, h), disk.Until(ctx, body))
	if err == nil && w.inside == "" && hex.EncodeToString(h.Sum(nil)) != w.SHA256 {
		err = fmt.Errorf("a kept file is another than was kept: %w", store.ErrDamaged)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, errors.Join(err, disk.RemoveTemp(fsys, temp))
	}
	return n, disk.Commit(fsys, temp, name)
}
