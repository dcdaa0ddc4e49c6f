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
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/chart"
)

func exportCommand(e *env) *cobra.Command {
	var o exportOptions
	c := command("export FOLDER", "Write all records as plain NDJSON files",
		`export writes one file for each type into a new folder, every line byte for byte
as the EMR gave it, with a Bulk Data manifest, counts and SHA256SUMS. The files
are NOT encrypted: guard the folder as you guard the charts. Records of patients who
are sealed (chartcellar patients sealed) are left out and counted, unless --with-sealed
is given; those that the EMR labels sensitive are left out with --without-sensitive.
--for and --purpose must say who gets the files and what for: the journal keeps it.`, cobra.ExactArgs(1),
		func(ctx context.Context, a []string) error { return e.export(ctx, a[0], o) })
	c.Flags().StringVar(&o.source, "source", "", "which EMR, if there are several")
	c.Flags().StringVar(&o.sheet, "sheet", "", "file with the recovery key, instead of the passphrase")
	c.Flags().Uint32Var(&o.asOf, "as-of", 0, "as it was after this run")
	c.Flags().StringVar(&o.whom, "for", "", "who gets the files: \"ourselves\", \"the new vendor\"")
	c.Flags().StringVar(&o.purpose, "purpose", "", "what for: \"change of vendor\"")
	c.Flags().BoolVar(&o.withoutSensitive, "without-sensitive", false, "leave out what the EMR labels sensitive")
	c.Flags().BoolVar(&o.withSealed, "with-sealed", false, "also the records of patients who are sealed")
	return c
}

type exportOptions struct {
	source, sheet string
	asOf          uint32
	whom, purpose string

	withSealed, withoutSensitive bool
}

// An exportFile is one row of the manifest.
type exportFile struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Count int    `json:"count"`
	sum   string
}

func (e *env) export(ctx context.Context, dir string, o exportOptions) error {
	if strings.TrimSpace(o.whom) == "" || strings.TrimSpace(o.purpose) == "" {
		return usage("say who gets it and what for: --for WHOM --purpose WHY; both are recorded")
	}
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
		note := "for: " + o.whom + "; purpose: " + o.purpose
		if err := m.Journal(store.Event{Code: "export", Account: "owner", Key: store.Key{Source: src.Name}, Note: note}); err != nil {
			return err
		}
		snap, err := snapshot(m, o.asOf)
		if err != nil {
			return err
		}
		x := &exporter{snap: snap, source: src.Name, dir: dir, withoutSensitive: o.withoutSensitive, closedFiles: map[string]bool{}}
		if o.withSealed {
			x.snap = snap.Whole()
		} else if x.sealedFiles, err = (&charts.Reading{M: m, Snap: snap, Source: src.Name, Base: src.Base}).SealedBinaries(ctx); err != nil {
			return err
		}
		files, err := x.types(ctx)
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
			return e.printJSON(map[string]any{"folder": dir, "records": n, "files": files, "sealed": x.sealed, "sensitive": x.sensitive})
		}
		if x.sealed > 0 {
			e.printf("Left out: %s of patients who are sealed; with them: --with-sealed\n", several(x.sealed, "record", "records"))
		}
		if x.sensitive > 0 {
			e.printf("Left out: %s that the EMR labels sensitive.\n", several(x.sensitive, "record", "records"))
		}
		e.printf("%d records of %d types are in %s.\nThey are not encrypted. Check them with: cd %s && sha256sum -c SHA256SUMS\n", n, len(files), dir, dir)
		return nil
	})
}

// An exporter writes the records of one source into a folder, and counts what it leaves
// out.
type exporter struct {
	snap              *store.Snapshot
	source, dir       string
	withoutSensitive  bool
	sealed, sensitive int // records of patients who are sealed; records labelled sensitive
	// ids of Binaries that these name
	sealedFiles, closedFiles map[string]bool
}

// types writes all files.
func (x *exporter) types(ctx context.Context) (files []exportFile, err error) {
	types, err := x.snap.Types()
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(types, func(a, b string) int { return binariesLast(a) - binariesLast(b) })
	for _, t := range types {
		f, err := x.file(ctx, t)
		if err != nil {
			return nil, fmt.Errorf("export %s: %w", t, err)
		}
		n, err := x.snap.Hidden(x.source, t)
		if err != nil {
			return nil, err
		}
		x.sealed += n
		if f.Count > 0 {
			files = append(files, f)
		}
	}
	return files, nil
}

// binariesLast puts the Binaries last: by then it is known whose they are, and what is labelled.
func binariesLast(typ string) int {
	if typ == "Binary" {
		return 1
	}
	return 0
}

// leaves reports whether a record is left out, and counts it.
func (x *exporter) leaves(typ, id string, raw []byte) bool {
	switch {
	case typ == "Binary" && x.sealedFiles[id]:
		x.sealed++
		return true
	case !x.withoutSensitive:
		return false
	case typ == "Binary" && x.closedFiles[id]:
	case chart.Sensitive(raw):
		charts.AddBinaries(x.closedFiles, raw)
	default:
		return false
	}
	x.sensitive++
	return true
}

// file writes one file; a type without records gets none.
func (x *exporter) file(ctx context.Context, typ string) (exportFile, error) {
	f := exportFile{Type: typ, URL: typ + ".ndjson"}
	h := sha256.New()
	var file *os.File
	var w *bufio.Writer
	err := x.snap.Each(ctx, x.source, typ, func(id string, raw []byte) error {
		if x.leaves(typ, id, raw) {
			return nil
		}
		if file == nil {
			var err error
			if file, err = os.OpenFile(filepath.Join(x.dir, f.URL), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
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
