package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/store"
)

func certificateCommand(e *env) *cobra.Command {
	var o certificateOptions
	c := command("certificate [RUN]", "Show how complete the copy is after a run, and by what that was found",
		`certificate shows, for each type, how many records the EMR has, how that was found,
how many are here, and what a difference means. --json prints it byte for byte as
it was signed: its SHA-256 stands in the signed checkpoint that is named. --pdf
writes one page for the practice's files. It names no patient.`, cobra.MaximumNArgs(1),
		func(ctx context.Context, a []string) error { return e.certificate(ctx, a, o) })
	c.Flags().StringVar(&o.source, "source", "", "of which EMR, if there are several")
	c.Flags().StringVar(&o.pdf, "pdf", "", "write it as a page of PDF to this file")
	return c
}

type certificateOptions struct{ source, pdf string }

// A signedCertificate is a certificate with what signs it.
type signedCertificate struct {
	fhirsync.Certificate
	Practice   string
	Sum        string // SHA-256 of its bytes
	Checkpoint string // file of the signed checkpoint that carries the sum
	Root       string // short root of the archive then
	raw        []byte
}

func (e *env) certificate(ctx context.Context, args []string, o certificateOptions) error {
	run := uint32(0)
	if len(args) == 1 {
		var err error
		if run, err = runNumber(args[0]); err != nil {
			return err
		}
	}
	return e.withMirror(ctx, access{doing: "certificate"}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		c, err := e.findCertificate(s, m, run, o.source)
		if err != nil {
			return err
		}
		switch {
		case o.pdf != "":
			return e.writeCertificate(c, o.pdf)
		case e.json:
			_, err := fmt.Fprintf(e.Stdout, "%s\n", c.raw)
			return err
		}
		printCertificate(e.Stdout, c)
		return nil
	})
}

// findCertificate returns the certificate of a run; of the last for 0.
func (e *env) findCertificate(s config.Settings, m *store.Mirror, run uint32, source string) (signedCertificate, error) {
	c := signedCertificate{Practice: s.Practice}
	if run == 0 {
		src, err := s.Source(source)
		if err != nil {
			return c, usage(err.Error())
		}
		rep, err := lastReport(m, src.Name)
		if err != nil {
			return c, err
		}
		run = rep.Run
	}
	raw, cp, err := m.Certificate(run)
	if errors.Is(err, store.ErrNotFound) {
		return c, usage("that run has no certificate; see: chartcellar runs list")
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(raw, &c.Certificate); err != nil {
		return c, fmt.Errorf("read the certificate: %w", store.ErrDamaged)
	}
	c.raw, c.Root = raw, cp.ShortRoot()
	c.Sum, c.Checkpoint = fmt.Sprintf("%x", sha256.Sum256(raw)), fmt.Sprintf("checkpoints/%012d", cp.Number)
	return c, nil
}

// basisWords say how the EMR's number was found.
var basisWords = map[string]string{"count": "the EMR was asked", "manifest": "announced, and came",
	"listing": "listed to the end", "none": "cannot be told"}

// remark is what stands behind a row.
func remark(t fhirsync.CertifiedType) string {
	switch {
	case t.Held != "":
		return "HELD: " + t.Held
	case t.Gap != "":
		return "GAP: " + t.Gap
	}
	return t.Reason
}

func printCertificate(w io.Writer, c signedCertificate) {
	fmt.Fprintf(w, "COMPLETENESS CERTIFICATE   %s\n\n", c.Practice)
	fmt.Fprintf(w, "%s, run %d, %s to %s: %s\n\n", c.Source, c.Run, c.Started.Local().Format("2006-01-02 15:04"),
		c.Ended.Local().Format("15:04"), verdictWords[c.Verdict])
	fmt.Fprintf(w, "%-26s %10s %10s %6s  %s\n", "", "EMR has", "is here", "diff", "how the EMR's number was found; remarks")
	for _, t := range c.Types {
		emr, diff := "?", ""
		if t.EMR >= 0 {
			emr, diff = fmt.Sprint(t.EMR), fmt.Sprint(t.Difference)
		}
		words := basisWords[t.Basis]
		if r := remark(t); r != "" {
			words += "; " + oneLine(r)
		}
		fmt.Fprintf(w, "%-26s %10s %10d %6s  %s\n", t.Type, emr, t.Here, diff, words)
	}
	fmt.Fprintf(w, "%-26s %10s %10d\n\n", "all", "", c.Records)
	for _, line := range certificateFacts(c) {
		fmt.Fprintln(w, line)
	}
}

// certificateFacts are the sentences below the table.
func certificateFacts(c signedCertificate) []string {
	gaps := 0
	for _, n := range c.Gaps {
		gaps += n
	}
	list := []string{
		fmt.Sprintf("Open gaps: %d. Documents fetched in this run: %d of %d; not to be had: %d.", gaps, c.Files.Stored+c.Files.Held, c.Files.Wanted, c.Files.Missing+c.Files.Waiting),
		fmt.Sprintf("Records that the EMR did not let us read: %d. Records that others name and that it does not have: %d.", c.Withheld, c.Dangling),
	}
	list = append(list, c.Limits...)
	return append(list, fmt.Sprintf("Signed: SHA-256 %s", c.Sum), fmt.Sprintf("in %s, short root %s.", c.Checkpoint, c.Root))
}

func (e *env) writeCertificate(c signedCertificate, file string) error {
	file, err := e.abs(file)
	if err != nil {
		return err
	}
	page, err := certificatePDF(c)
	if err != nil {
		return err
	}
	if err := writePrivate(file, page); errors.Is(err, os.ErrExist) {
		return usage("there is a file of that name already; choose another")
	} else if err != nil {
		return err
	}
	e.printf("The certificate of run %d was written to %s.\n", c.Run, file)
	return nil
}
