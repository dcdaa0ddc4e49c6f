package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/holding"
)

func holdingCommand(e *env) *cobra.Command {
	c := command("holding", "Keep files unchanged beside the records: EHI exports, dumps of an EMR's own server",
		`A holding is files that are no FHIR: a vendor's export of the whole record (EHI), the
nightly dump of an EMR that runs in the office. They are kept byte for byte, sealed,
verified and copied as the records are. chartcellar cannot see inside them.

A folder in which such files are left, on this computer or on a server that speaks SFTP,
is watched by "chartcellar serve"; add one with chartcellar connect NAME --files FOLDER.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.holdingList(ctx) })
	c.AddCommand(holdingAddCommand(e),
		command("list", "List the holdings: what is kept, how old it is, whether something is wrong",
			"Exit code 12 if something is wrong with a holding: late, half its usual size, the same as before.", cobra.NoArgs,
			func(ctx context.Context, _ []string) error { return e.holdingList(ctx) }),
		command("watch [NAME]", "Look at the watched folders now, and keep what is new",
			`watch looks at the folders that the settings name, waits until what is new in them has
stopped growing ("settle"), and keeps it. "chartcellar serve" does the same by itself.`, cobra.MaximumNArgs(1),
			func(ctx context.Context, a []string) error { return e.holdingWatch(ctx, strings.Join(a, "")) }),
		holdingFilesCommand(e), holdingGetCommand(e))
	return c
}

type holdingAddOptions struct {
	covers []string
	format string
}

func holdingAddCommand(e *env) *cobra.Command {
	var o holdingAddOptions
	c := command("add NAME FILE|FOLDER", "Keep a file, or a folder with all that is in it, now",
		`add reads the file, or every file of the folder, and keeps it unchanged in the holding
NAME, which it makes if need be. What is here already is not stored twice. The files
stay where they are. Hidden files and links are left out.`, cobra.ExactArgs(2),
		func(ctx context.Context, a []string) error { return e.holdingAdd(ctx, a[0], a[1], o) })
	c.Flags().StringSliceVar(&o.covers, "covers", nil, "what it has that the EMR's FHIR does not give: billing, schedule, messages, images, audit, templates, history")
	c.Flags().StringVar(&o.format, "format-document", "", "a file that describes the format, kept with it")
	return c
}

func (e *env) holdingAdd(ctx context.Context, name, from string, o holdingAddOptions) error {
	if err := config.CheckName(name); err != nil {
		return usage(err.Error())
	}
	if name == downtimeHolding {
		return usage("the downtime sheets are kept under this name; choose another")
	}
	if err := config.CheckCovers(o.covers); err != nil {
		return usage(err.Error())
	}
	var err error
	if from, err = e.abs(from); err != nil {
		return err
	}
	if o.format != "" {
		if o.format, err = e.abs(o.format); err != nil {
			return err
		}
	}
	return e.withMirror(ctx, access{doing: "holding add", write: true}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		h, _ := s.Holding(name)
		if h.Name = name; len(o.covers) > 0 {
			h.Covers = o.covers
		}
		k, err := e.newKeeping(m, h, from)
		if err != nil {
			return err
		}
		return e.keptWords(k.result, k.all(ctx, "holding.add", "owner", func() error { return k.add(ctx, from, o.format) }))
	})
}

// add keeps a file, or a folder with all that is in it.
func (k *keeping) add(ctx context.Context, from, format string) error {
	if format != "" {
		if _, _, err := openOne(format); err != nil {
			return k.cannotRead(err)
		}
	}
	info, err := os.Stat(from)
	if err != nil {
		return k.cannotRead(err)
	}
	root, err := os.OpenRoot(filepath.Dir(from))
	if err != nil {
		return k.cannotRead(err)
	}
	defer root.Close() // read only
	base := filepath.Base(from)
	if !info.IsDir() {
		err = k.files(ctx, root.FS(), []holding.File{{Path: base, Size: info.Size(), Modified: info.ModTime()}})
	} else {
		err = k.folder(ctx, root, base)
	}
	if err != nil || format == "" {
		return err
	}
	return k.format(ctx, format)
}

// folder keeps everything in a folder, under its name.
func (k *keeping) folder(ctx context.Context, root *os.Root, base string) error {
	sub, err := fs.Sub(root.FS(), base)
	if err != nil {
		return k.cannotRead(err)
	}
	l, err := holding.List(sub, "")
	if err != nil {
		return k.cannotRead(err)
	}
	for i := range l.Files {
		l.Files[i].Path = base + "/" + l.Files[i].Path
	}
	for _, s := range l.Skipped {
		k.result.failed(base+"/"+s, cannotList)
	}
	k.result.Arriving, k.result.Links = l.Arriving, l.Links
	return k.files(ctx, root.FS(), l.Files)
}

// keptWords says what was kept.
func (e *env) keptWords(r *keptResult, err error) error {
	if err != nil {
		return err
	}
	code := exitGood
	if len(r.Failed) > 0 || len(r.Broken) > 0 || r.Growing+r.Arriving > 0 {
		code = exitGaps
	}
	if e.json {
		if err := e.printJSON(r); err != nil {
			return err
		}
		return quiet(code)
	}
	switch {
	case r.Kept > 0:
		e.printf("%s (%s) kept in the holding %q", plural(r.Kept, "file"), notify.Size(r.Bytes), r.Holding)
		if r.Same > 0 {
			e.printf("; the content of %d was here already and is not stored twice", r.Same)
		}
		e.printf(".\n")
	case r.Known > 0 && len(r.Failed) == 0:
		e.printf("Nothing new for the holding %q.\n", r.Holding)
	default:
		e.printf("No file was kept in the holding %q.\n", r.Holding)
	}
	if r.Known > 0 {
		e.printf("%s here already, unchanged.\n", several(r.Known, "file was", "files were"))
	}
	if r.Growing > 0 {
		e.printf("%s not kept yet: still being written, or changed while being read. Try again later.\n", several(r.Growing, "file is", "files are"))
	}
	if r.Arriving > 0 {
		e.printf("%s not kept: the name (.part, .tmp and the like) says that it is still being written.\n", several(r.Arriving, "file is", "files are"))
	}
	if r.Links > 0 {
		e.printf("%s left out: links to elsewhere and the like are no files.\n", several(r.Links, "thing was", "things were"))
	}
	for _, f := range r.Failed {
		e.printf("NOT KEPT  %s: %s.\n", oneLine(f.Path), f.Why)
	}
	for _, f := range r.Broken {
		e.printf("NOTE  %s: %s. It is kept as it came.\n", oneLine(f.Path), f.Why)
	}
	return quiet(code)
}

// A listedHolding is a row of the list.
type listedHolding struct {
	Name       string    `json:"name"`
	Watched    bool      `json:"watched"`
	Folder     string    `json:"folder,omitempty"` // or that of a server, sftp://
	Expected   string    `json:"expected"`
	Covers     []string  `json:"covers"`
	Copies     []string  `json:"copies,omitempty"` // that get the large files; none: all
	Files      int       `json:"files"`
	Bytes      int64     `json:"bytes"`
	Deliveries int       `json:"deliveries"`
	Formats    int       `json:"formatDocuments"`
	Newest     time.Time `json:"newest,omitzero"`
	NewestSize int64     `json:"newestBytes"`
	AgeHours   int       `json:"ageHours"`
	Late       bool      `json:"late"`
	Wrong      []string  `json:"wrong"`
}

func (e *env) holdingList(ctx context.Context) error {
	return e.withMirror(ctx, access{doing: "holding list"}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		list, err := besidesOf(s, m, nil, e.now())
		if err != nil {
			return err
		}
		code := exitGood
		rows := []listedHolding{}
		for _, b := range list {
			rows = append(rows, b.row(s))
			if b.trouble.Any() {
				code = exitFailed
			}
		}
		if e.json {
			if err := e.printJSON(rows); err != nil {
				return err
			}
			return quiet(code)
		}
		e.printHoldings(rows)
		return quiet(code)
	})
}

func (b beside) row(s config.Settings) listedHolding {
	h, watched := s.Holding(b.Name)
	r := listedHolding{Name: b.Name, Watched: watched, Folder: whereOfHolding(h), Expected: orElse(h.Expected, "none"), Covers: b.Words(), Copies: h.Copies,
		Files: b.Files, Bytes: b.Size, Deliveries: len(b.Deliveries), Formats: b.Formats, Newest: b.Newest(),
		Late: b.trouble.Late, Wrong: []string{}}
	if n := len(b.Deliveries); n > 0 {
		r.NewestSize, r.AgeHours = b.Deliveries[n-1].Size, int(b.trouble.Age.Hours())
	}
	for _, t := range b.wrong() {
		r.Wrong = append(r.Wrong, t.String())
	}
	return r
}

func (e *env) printHoldings(rows []listedHolding) {
	if len(rows) == 0 {
		e.printf("No files are kept beside the records. Keep some: chartcellar holding add NAME FILE\nWatch a folder: chartcellar connect NAME --files FOLDER\n")
		return
	}
	var table [][]string
	for _, r := range rows {
		newest := "nothing yet"
		if !r.Newest.IsZero() {
			newest = r.Newest.Local().Format("2006-01-02 15:04") + ", " + ago(r.Newest)
		}
		table = append(table, []string{r.Name, fmt.Sprint(r.Files), notify.Size(r.Bytes).String(), newest, notify.Size(r.NewestSize).String(),
			r.Expected, strings.Join(r.Covers, ", ")})
	}
	printTable(e.Stdout, "", e.width(), []string{"holding", "files", "size", "newest kept", "its size", "expected", "covers"}, table, nil)
	for _, r := range rows {
		if len(r.Copies) > 0 {
			e.printf("Large files of %s go to %s only.\n", r.Name, strings.Join(r.Copies, " and "))
		}
		for _, w := range r.Wrong {
			e.printf("NOTE: %s\n", w)
		}
	}
	e.printf("They are kept unchanged; chartcellar cannot see inside. Their names: chartcellar holding files NAME\n")
}
