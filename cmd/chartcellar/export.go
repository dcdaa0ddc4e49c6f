package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
)

func exportCommand(e *env) *cobra.Command {
	var o exportOptions
	c := command("export FOLDER", "Write all records as plain NDJSON files",
		`export writes one file for each type into a new folder, every line byte for byte
as the EMR gave it, with a Bulk Data manifest, counts and SHA256SUMS. The files
are NOT encrypted: guard the folder as you guard the charts. Records of patients who
are sealed (chartcellar patients sealed) are left out and counted, unless --with-sealed
is given.`, cobra.ExactArgs(1),
		func(ctx context.Context, a []string) error { return e.export(ctx, a[0], o) })
	c.Flags().StringVar(&o.source, "source", "", "which EMR, if there are several")
	c.Flags().StringVar(&o.sheet, "sheet", "", "file with the recovery key, instead of the passphrase")
	c.Flags().Uint32Var(&o.asOf, "as-of", 0, "as it was after this run")
	c.Flags().BoolVar(&o.withSealed, "with-sealed", false, "also the records of patients who are sealed")
	return c
}

type exportOptions struct {
	source, sheet string
	asOf          uint32
	withSealed    bool
}

// An exportFile is one row of the manifest.
type exportFile struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Count int    `json:"count"`
	sum   string
}

func (e *env) export(ctx context.Context, dir string, o exportOptions) error {
	dir, err := e.abs(dir)
	if err != nil {
		return err
	}
	return e.withMirror(ctx, access{doing: "export", key: true, sheet: o.sheet}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		src, err := s.Source(o.source)
		if err != nil {
			return usage(err.Error())
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			if errors.Is(err, os.ErrExist) {
				return usage("the folder " + dir + " exists; give a new one")
			}
			return fmt.Errorf("make the folder: %w", err)
		}
		if err := m.Journal(store.Event{Code: "export", Account: "owner", Key: store.Key{Source: src.Name}}); err != nil {
			return err
		}
		snap, err := snapshot(m, o.asOf)
		if err != nil {
			return err
		}
		if o.withSealed {
			snap = snap.Whole()
		}
		files, left, err := exportTypes(ctx, snap, src.Name, dir)
		if err != nil {
			return err
		}
		n := 0
		for _, f := range files {
			n += f.Count
		}
		if err := writeManifest(dir, files); err != nil {
			return err
		}
		if e.json {
			return e.printJSON(map[string]any{"folder": dir, "records": n, "files": files, "sealed": left})
		}
		if left > 0 {
			e.printf("Left out: %s of patients who are sealed; with them: --with-sealed\n", several(left, "record", "records"))
		}
		e.printf("%d records of %d types are in %s.\nThey are not encrypted. Check them with: cd %s && sha256sum -c SHA256SUMS\n", n, len(files), dir, dir)
		return nil
	})
}

// exportTypes writes all files; left is how many records it leaves out, because their
// patient is sealed.
func exportTypes(ctx context.Context, snap *store.Snapshot, source, dir string) (files []exportFile, left int, err error) {
	types, err := snap.Types()
	if err != nil {
		return nil, 0, err
	}
	for _, t := range types {
		f, err := exportType(ctx, snap, source, t, dir)
		if err != nil {
			return nil, 0, fmt.Errorf("export %s: %w", t, err)
		}
		n, err := snap.Hidden(source, t)
		if err != nil {
			return nil, 0, err
		}
		left += n
		if f.Count > 0 {
			files = append(files, f)
		}
	}
	return files, left, nil
}

// exportType writes one file; a type without records gets none.
func exportType(ctx context.Context, snap *store.Snapshot, source, typ, dir string) (exportFile, error) {
	f := exportFile{Type: typ, URL: typ + ".ndjson"}
	h := sha256.New()
	var file *os.File
	var w *bufio.Writer
	err := snap.Each(ctx, source, typ, func(_ string, raw []byte) error {
		if file == nil {
			var err error
			if file, err = os.OpenFile(filepath.Join(dir, f.URL), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
				return err
			}
			w = bufio.NewWriterSize(io.MultiWriter(file, h), 256<<10)
		}
		f.Count++
		if _, err := w.Write(raw); err != nil {
			return err
		}
		return w.WriteByte('\n')
	})
	if file == nil {
		return f, err
	}
	err = errors.Join(err, w.Flush(), file.Sync(), file.Close())
	f.sum = hex.EncodeToString(h.Sum(nil))
	return f, err
}

func writeManifest(dir string, files []exportFile) error {
	manifest, err := json.MarshalIndent(map[string]any{"transactionTime": time.Now().UTC().Format(time.RFC3339),
		"request": "chartcellar export", "requiresAccessToken": false, "output": files, "error": []any{}}, "", "  ")
	if err != nil {
		return err
	}
	var sums []byte
	for _, f := range files {
		sums = fmt.Appendf(sums, "%s  %s\n", f.sum, f.URL)
	}
	sums = fmt.Appendf(sums, "%x  manifest.json\n", sha256.Sum256(append(manifest, '\n')))
	return errors.Join(writePrivate(filepath.Join(dir, "manifest.json"), append(manifest, '\n')),
		writePrivate(filepath.Join(dir, "SHA256SUMS"), sums))
}
