package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/patientfile"
	"chartcellar/config"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	"chartcellar/store/chart"
	"chartcellar/store/disk"
)

func patientCommand(e *env) *cobra.Command {
	c := command("patient", "Print one patient's chart, or make the package that the patient takes along", "", cobra.NoArgs,
		func(context.Context, []string) error { return usage("say what to make: patient pdf, html or zip") })
	const codes = `

PATIENT is an id, Patient/id or record number (MRN). Records with a sensitive label are
left out and counted; --sensitive takes them in. --for and --purpose must say who gets it
and what for: they stand in the file and in the journal. No file is replaced.

Exit codes: 0 good, 2 usage, 12 no such patient, or the file cannot be written, 13 made, but
damage: what could not be read is counted, 15 locked.`
	for _, one := range []struct{ kind, short, long string }{
		{"pdf", "Print a chart into a PDF file", "pdf writes a chart as pages to print, in the order of an International Patient Summary."},
		{"html", "Write a chart as one web page", "html writes a chart as one web page that opens without a network and without a script."},
		{"zip", "Make the package for the patient: summary, documents, records, check sums",
			"zip writes all of a patient into one file: a web page and a PDF to read, the documents, the\n" +
				"records byte for byte (a FHIR Bundle), check sums, and a text that says what it is. With\n" +
				"--password it asks for a password (CHARTCELLAR_FILE_PASSWORD) and encrypts the file for\n" +
				"the program age, which opens it: age -d -o FILE.zip FILE.zip.age"},
	} {
		var o giveOptions
		sub := command(one.kind+" PATIENT FILE", one.short, one.long+codes, cobra.ExactArgs(2),
			func(ctx context.Context, a []string) error { return e.give(ctx, one.kind, a[0], a[1], o) })
		o.add(sub)
		f := sub.Flags()
		f.StringVar(&o.whom, "for", "", "who gets it: \"the patient\", \"Dr. Example, cardiology\"")
		f.StringVar(&o.purpose, "purpose", "", "what for: \"asked for by the patient\", \"referral\"")
		f.BoolVar(&o.choice.Sensitive, "sensitive", false, "also records with a sensitive label")
		f.StringVar(&o.choice.First, "from", "", "of what happened at a time, only from this day on: 2026-03-01")
		f.StringVar(&o.choice.Last, "until", "", "and until this day")
		f.StringVar(&o.asOf, "as-of", "", "as the copy stood at the end of this day: 2026-03-01")
		if one.kind == "zip" {
			f.BoolVar(&o.sealed, "password", false, "encrypt the file with a password, for the program age")
		} else {
			f.StringVar(&o.section, "section", "", "only this section, or several: "+strings.Join(chart.SectionKeys(), ","))
		}
		c.AddCommand(sub)
	}
	return c
}

type giveOptions struct {
	chartOptions
	whom, purpose string
	choice        patientfile.Choice
	sealed        bool
}

// check looks at what was asked for before anything is opened.
func (o *giveOptions) check() (err error) {
	if strings.TrimSpace(o.whom) == "" || strings.TrimSpace(o.purpose) == "" {
		return usage("say who gets it and what for: --for WHOM --purpose WHY; both are recorded")
	}
	for _, day := range []string{o.choice.First, o.choice.Last} {
		if _, err := time.Parse(time.DateOnly, day); day != "" && err != nil {
			return usage("write the days as 2026-03-01: --from DAY --until DAY")
		}
	}
	o.choice.Sections, err = o.wanted()
	return err
}

// newFile is the full name of a file that is to be made: there must be none of this name.
func (e *env) newFile(name string) (string, error) {
	file, err := e.abs(name)
	if err != nil {
		return "", err
	}
	if there, err := disk.Exists(e.fsys(), file); err != nil || there {
		return "", usage("there is a file of this name, or its folder cannot be read; nothing is replaced: choose another name")
	}
	return file, nil
}

// filePassword is the variable of a package's password.
const filePassword = "CHARTCELLAR_FILE_PASSWORD"

// give makes a file of one patient, once the journal has it.
func (e *env) give(ctx context.Context, kind, who, file string, o giveOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	file, err := e.newFile(file)
	if err != nil {
		return err
	}
	a := access{doing: "patient " + kind}
	if o.sealed {
		a.asks, a.what = filePassword, "Password of the package"
	}
	return e.readWith(ctx, a, o.readFlags, func(ctx context.Context, s config.Settings, r *reading) error {
		if err := r.back(o.asOf); err != nil {
			return err
		}
		id, err := r.findPatient(ctx, who)
		if err != nil {
			return err
		}
		password := ""
		if o.sealed {
			if password, err = e.packagePassword(); err != nil {
				return err
			}
		}
		if err := r.given(kind, id, "owner", o); err != nil {
			return err
		}
		c, err := r.cover(s, "the owner", o.whom, o.purpose)
		if err != nil {
			return err
		}
		var made patientfile.Made
		err = e.writeWhole(file, func(w io.Writer) (err error) {
			made, err = r.write(ctx, s, w, kind, id, c, o.choice, password)
			return err
		})
		if errors.Is(err, patientfile.ErrLabelled) {
			return &plainError{exitFailed, "The whole record of this patient has a sensitive label: without it nothing is left.", nothingLost + " No file was made.",
				"If it is to be given all the same: --sensitive"}
		}
		if err != nil {
			return err
		}
		return e.gaveWords(kind, file, made, o)
	})
}

// given writes the journal line of a file that is made: who gets it, why, and whether what
// is sensitive is in it (P151, P153).
func (r *reading) given(kind, patient, account string, o giveOptions) error {
	note := []string{kind, "for: " + chart.CleanLine(o.whom), "purpose: " + chart.CleanLine(o.purpose)}
	if o.asOf != "" {
		note = append(note, "as of "+o.asOf)
	}
	if o.choice.Sensitive {
		note = append(note, "with what is labelled sensitive")
	}
	code := map[string]string{"pdf": "patient.pdf", "html": "patient.html", "zip": "patient.zip"}[kind]
	return r.M.Journal(store.Event{Code: code, Account: account, Key: store.Key{Source: r.Source, Type: "Patient"},
		Patient: patient, Note: strings.Join(note, "; ")})
}

// cover says what a file is a copy of.
func (r *reading) cover(s config.Settings, by, whom, purpose string) (patientfile.Cover, error) {
	zone, err := schedule.Zone(s.Zone)
	if err != nil {
		return patientfile.Cover{}, err
	}
	c := patientfile.Cover{Practice: s.Practice, Source: r.Source, Made: time.Now().In(zone).Truncate(time.Second), By: by,
		For: chart.CleanLine(whom), Purpose: chart.CleanLine(purpose)}
	c.Copy, err = r.dated()
	return c, err
}

// write makes one file of a patient.
func (r *reading) write(ctx context.Context, s config.Settings, w io.Writer, kind, id string, c patientfile.Cover, choice patientfile.Choice,
	password string) (patientfile.Made, error) {
	from := r.Patient(id, r.at)
	if kind == "zip" {
		return r.pack(ctx, s, w, from, c, choice, password)
	}
	sheet, err := patientfile.NewSheet(ctx, c, choice, from)
	if err != nil {
		return patientfile.Made{}, err
	}
	print := sheet.HTML
	if kind == "pdf" {
		print = sheet.PDF
	}
	return patientfile.Made{Count: sheet.Count}, print(w)
}

// pack writes a package, encrypted if there is a password.
func (r *reading) pack(ctx context.Context, s config.Settings, w io.Writer, from patientfile.Patient, c patientfile.Cover,
	choice patientfile.Choice, password string) (made patientfile.Made, err error) {
	p := patientfile.Package{Cover: c, Choice: choice}
	if src, err := s.Source(r.Source); err == nil {
		p.Base = strings.TrimSuffix(src.Base, "/")
	}
	if password == "" {
		return p.Write(ctx, w, from)
	}
	sealed, err := patientfile.Seal(w, password)
	if err != nil {
		return made, err
	}
	if made, err = p.Write(ctx, sealed, from); err != nil {
		return made, err
	}
	return made, sealed.Close()
}

// packagePassword asks for the password of a package.
func (e *env) packagePassword() (string, error) {
	password, err := e.askSecret(filePassword, "Password of the package")
	if err == nil && utf8.RuneCountInString(password) < patientfile.MinPassword {
		err = usage(fmt.Sprintf("the password of a package has at least %d characters: four words, for example", patientfile.MinPassword))
	}
	return password, err
}

// writeWhole writes a new file that only its owner can read, as f makes it: whole, or not
// at all. It replaces no file.
func (e *env) writeWhole(name string, f func(io.Writer) error) error {
	fsys, temp := e.fsys(), name+disk.TempSuffix
	file, err := fsys.Create(temp)
	if err != nil {
		return &plainError{exitFailed, "The file cannot be made: " + (&sourceError{err}).words() + ".", nothingLost,
			"Choose another name or folder; " + filepath.Base(temp) + " must not be there."}
	}
	err = f(file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, disk.RemoveTemp(fsys, temp))
	}
	return disk.Commit(fsys, temp, name)
}

// gaveWords say what was made and what is not in it.
func (e *env) gaveWords(kind, file string, made patientfile.Made, o giveOptions) error {
	code := exitGood
	if made.Damaged() {
		code = exitDamage
	}
	if e.json {
		if err := e.printJSON(map[string]any{"file": file, "encrypted": o.sealed, "made": made}); err != nil {
			return err
		}
		return quiet(code)
	}
	n := made.Count
	e.printf("%d of %s of the patient are in %s.\n", n.Taken, plural(n.Records(), "record"), file)
	for _, w := range n.Words(o.choice) {
		e.lines("", w)
	}
	if kind == "zip" {
		e.printf("With them: %s of people, places and medicines that they name.\nDocuments: %d of %d.\n", plural(made.Named, "record"), made.Held, len(made.Documents))
		for _, d := range made.Documents {
			if d.Why != "" {
				e.lines("  ", chart.CleanLine(d.Ref+": "+d.Why)+".")
			}
		}
	}
	if o.sealed {
		e.printf("It is encrypted. To open it: age -d -o %s %s\nTell the password by another way than the file.\n",
			strings.TrimSuffix(filepath.Base(file), ".age"), filepath.Base(file))
	} else {
		e.printf("The file is not encrypted: guard it as you guard the chart.\n")
	}
	return quiet(code)
}
