package main

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/store"
	"chartcellar/store/chart"
)

func documentCommand(e *env) *cobra.Command {
	var o documentOptions
	c := command("document", "List, open and save documents and other files", "", cobra.NoArgs,
		func(context.Context, []string) error { return usage("say what to do: document list, open or save") })
	const codes = "\n\nExit codes: 0 good, 2 usage, 12 not in the copy, 13 damage, 15 locked."
	list := command("list PATIENT|TYPE/ID", "List the documents of a patient or of one record",
		"list names every file that a patient's records hold or point to: notes, letters, scans, photos,\n"+
			"and says which of them the copy holds. Each look is a line in the journal."+codes, cobra.ExactArgs(1),
		func(ctx context.Context, a []string) error { return e.documentList(ctx, a[0], o) })
	open := command("open TYPE/ID [N]", "Show a document as text",
		"open prints the text of a record's document; N chooses one of several. Plain text, web pages,\n"+
			"RTF and clinical documents (C-CDA) can be shown; save others and open them with their program."+codes,
		cobra.RangeArgs(1, 2), func(ctx context.Context, a []string) error { return e.documentOpen(ctx, a, o) })
	save := command("save TYPE/ID [N] FILE", "Save a document, byte for byte",
		"save writes a document into a new file that only you can read. It replaces no file. It compares the\n"+
			"size and the checksum if the record gives them, and says so if they differ."+codes,
		cobra.RangeArgs(2, 3), func(ctx context.Context, a []string) error { return e.documentSave(ctx, a, o) })
	for _, s := range []*cobra.Command{list, open, save} {
		o.add(s)
	}
	c.AddCommand(list, open, save)
	return c
}

type documentOptions struct{ readFlags }

// A documentRow is one file in a list.
type documentRow struct {
	chart.Attachment
	Held string `json:"held"` // where the copy has it: record, Binary/id; "" if nowhere
}

func (e *env) documentList(ctx context.Context, what string, o documentOptions) error {
	return e.read(ctx, "document list", o.readFlags, func(ctx context.Context, r *reading) error {
		if typ, id, ok := strings.Cut(what, "/"); ok && typ != "Patient" {
			v, list, err := r.attachments(ctx, "document.list", typ, id)
			if err != nil {
				return err
			}
			return e.printDocuments(ctx, r, list, v.String())
		}
		id, err := r.findPatient(ctx, what)
		if err != nil {
			return err
		}
		if err := r.seen("document.list", store.Key{Type: "Patient"}, id); err != nil {
			return err
		}
		var all []chart.Attachment
		unread, err := r.Snap.Readable(ctx, r.Source, id, func(v store.Version) error {
			list, err := chart.ListAttachments(chart.Resource{Type: v.Type, ID: v.ID, Raw: v.Raw}, r.Finder(ctx))
			all = append(all, list...)
			return err
		})
		if err != nil {
			return err
		}
		if err := e.printDocuments(ctx, r, all, "Patient/"+id); err != nil {
			return err
		}
		for t, n := range unread {
			fmt.Fprintf(e.Stderr, "Could not be read: %d records of the type %s. See: chartcellar verify --depth full\n", n, t)
		}
		if len(unread) > 0 {
			return quiet(exitDamage)
		}
		return nil
	})
}

func (e *env) printDocuments(ctx context.Context, r *reading, list []chart.Attachment, of string) error {
	rows := []documentRow{}
	held := 0
	for i := range list {
		where := r.Holds(ctx, &list[i])
		if where != "" {
			held++
		}
		rows = append(rows, documentRow{list[i], where})
	}
	if e.json {
		return e.printJSON(map[string]any{"of": of, "documents": rows, "held": held, "total": len(rows)})
	}
	if len(rows) == 0 {
		e.printf("No document is recorded in the copy for %s.\n", of)
		return nil
	}
	var table [][]string
	for _, d := range rows {
		title := d.Title
		if title == "" {
			title = d.Where
		}
		day, _, _ := strings.Cut(d.Date, " ")
		here := "yes"
		if d.Held == "" {
			here = "NO"
		}
		table = append(table, []string{d.Ref, strconv.Itoa(d.N), day, title, d.Author, d.ContentType, d.Size, here})
	}
	printTable(e.Stdout, "", e.width(), []string{"record", "N", "date", "document", "author", "format", "bytes", "held"}, table, nil)
	e.printf("%s; the copy holds %d of %d.\nRead one: chartcellar document open RECORD N   Keep one: chartcellar document save RECORD N FILE\n",
		plural(len(rows), "document"), held, len(rows))
	return nil
}

// attachments reads a record, writes the journal line and returns its files. Of a
// record that the EMR has removed it is the last version.
func (r *reading) attachments(ctx context.Context, code, typ, id string) (store.Key, []chart.Attachment, error) {
	k := r.Key(typ, id)
	v, _, err := r.Last(ctx, k)
	if err == nil {
		err = r.Unsealed(ctx, k)
	}
	patient := ""
	if err == nil {
		patient = charts.PatientIn(k, []store.Version{v})
	}
	if jerr := r.seen(code, k, patient); jerr != nil {
		return k, nil, jerr
	}
	if err != nil {
		return k, nil, err
	}
	list, err := chart.Attachments(chart.Resource{Type: typ, ID: id, Raw: v.Raw}, r.Finder(ctx))
	return k, list, err
}

// A document is one file of a record, open to be read.
type document struct {
	io.ReadCloser
	key        store.Key
	attachment *chart.Attachment
	of         int // how many the record has
}

// document opens the document of a record that n names, and writes the journal
// line. The caller closes it.
func (r *reading) document(ctx context.Context, code, typ, id, n string) (document, error) {
	k, list, err := r.attachments(ctx, code, typ, id)
	if err != nil {
		return document{}, err
	}
	a, err := choose(list, k.String(), n)
	if err != nil {
		return document{}, err
	}
	body, err := r.Content(ctx, a)
	return document{body, k, a, len(list)}, err
}

// choose returns the document that N names; the only one if there is none.
func choose(list []chart.Attachment, ref, n string) (*chart.Attachment, error) {
	if len(list) == 0 {
		return nil, &plainError{exitFailed, ref + " has no document.", nothingLost, "See what it holds: chartcellar record " + ref}
	}
	if n == "" {
		if len(list) == 1 {
			return &list[0], nil
		}
		return nil, usage(fmt.Sprintf("%s has %d documents; say which: chartcellar document list %s", ref, len(list), ref))
	}
	i, err := strconv.Atoi(n)
	if err != nil || i < 1 || i > len(list) {
		return nil, usage(fmt.Sprintf("%s has %s; say which: a number from 1 to %d", ref, plural(len(list), "document"), len(list)))
	}
	return &list[i-1], nil
}

// maxShown bounds the documents that are shown as text.
const maxShown = 32 << 20

func (e *env) documentOpen(ctx context.Context, args []string, o documentOptions) error {
	typ, id, err := parseRef(args[0])
	if err != nil {
		return err
	}
	n := strings.Join(args[1:], "")
	return e.read(ctx, "document open", o.readFlags, func(ctx context.Context, r *reading) error {
		d, err := r.document(ctx, "document.open", typ, id, n)
		if err != nil {
			return err
		}
		defer d.Close() // read only
		k, a := d.key, d.attachment
		b, err := io.ReadAll(io.LimitReader(d, maxShown+1))
		switch {
		case err != nil:
			return err
		case len(b) > maxShown:
			return usage(fmt.Sprintf("this document is too large to be shown; save it: chartcellar document save %s %d FILE", k, a.N))
		}
		text, readable := chart.Text(a.ContentType, b)
		if e.json {
			return e.printJSON(map[string]any{"document": a, "bytes": len(b), "readable": readable, "text": text, "checks": checks(a, b)})
		}
		e.printf("%s · document %d of %d · %s\n\n", k, a.N, d.of, describe(a, len(b)))
		e.printf("%s\n", strings.TrimRight(text, "\n"))
		if !readable {
			e.printf("chartcellar document save %s %d FILE\n", k, a.N)
		}
		for _, c := range checks(a, b) {
			e.printf("NOTE: %s\n", c)
		}
		return nil
	})
}

func describe(a *chart.Attachment, size int) string {
	var out []string
	for _, s := range []string{a.Title, a.Date, a.Author, a.ContentType, fmt.Sprintf("%d bytes", size)} {
		if s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, " · ")
}

// checks compares a document with what its record says of it.
func checks(a *chart.Attachment, b []byte) []string {
	sum := sha1.Sum(b)
	out := charts.Differences(a, int64(len(b)), sum[:])
	if s := chart.Mislabelled(a.ContentType, chart.KindOf(a.ContentType, b)); s != "" {
		out = append(out, s)
	}
	return out
}

func (e *env) documentSave(ctx context.Context, args []string, o documentOptions) error {
	typ, id, err := parseRef(args[0])
	if err != nil {
		return err
	}
	n := strings.Join(args[1:len(args)-1], "")
	file, err := e.abs(args[len(args)-1])
	if err != nil {
		return err
	}
	if _, err := os.Lstat(file); err == nil {
		return usage("there is a file of this name; nothing is replaced: choose another name")
	}
	return e.read(ctx, "document save", o.readFlags, func(ctx context.Context, r *reading) error {
		d, err := r.document(ctx, "document.save", typ, id, n)
		if err != nil {
			return err
		}
		defer d.Close() // read only
		k, a := d.key, d.attachment
		size, sum, err := savePrivate(file, d)
		if err != nil {
			return err
		}
		bad := charts.Differences(a, size, sum)
		if e.json {
			return e.printJSON(map[string]any{"document": a, "file": file, "bytes": size, "checks": bad})
		}
		e.printf("%d bytes of %s are in %s. The file is not encrypted.\n", size, k, file)
		for _, c := range bad {
			e.printf("NOTE: %s\n", c)
		}
		if len(bad) == 0 {
			e.printf("%s", sameAs(a))
		}
		return nil
	})
}

// sameAs says what of a document was compared with its record and found equal.
func sameAs(a *chart.Attachment) string {
	switch {
	case a.Size != "" && a.Hash != "":
		return "Size and checksum are those of the record.\n"
	case a.Size != "":
		return "Its size is that of the record, which gives no checksum.\n"
	case a.Hash != "":
		return "Its checksum is that of the record.\n"
	}
	return "Its record gives neither size nor checksum to compare it with.\n"
}

// savePrivate writes a new file that only its owner can read, as it comes.
func savePrivate(name string, body io.Reader) (size int64, sum []byte, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, nil, fmt.Errorf("make the file: %w", err)
	}
	h := sha1.New()
	size, err = io.Copy(io.MultiWriter(f, h), body)
	if err == nil {
		err = f.Sync()
	}
	return size, h.Sum(nil), errors.Join(err, f.Close())
}
