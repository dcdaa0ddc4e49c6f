package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/rest"
	"chartcellar/store"
	"chartcellar/store/chart"
)

func verifySourceCommand(e *env) *cobra.Command {
	var o sourceOptions
	c := command("source", "Check one yourself: fetch records live and lay them beside the copy",
		`source reads a random sample of the copy's records at the EMR, now, and says which
are equal and which fields differ. With --patient it takes one patient whole: every
record that the copy has of him, and whatever the EMR's searches find. A difference is
no damage: the EMR may have changed since the last pull. It needs the passphrase.
Exit code 10 if something differs.`, cobra.NoArgs, func(ctx context.Context, _ []string) error { return e.verifySource(ctx, o) })
	c.Flags().StringVar(&o.source, "source", "", "which EMR, if there are several")
	c.Flags().StringVar(&o.patient, "patient", "", "id of a patient to compare whole")
	c.Flags().IntVar(&o.samples, "samples", 299, "records to draw; 299 without a difference: fewer than 1 % differ, with 95 of 100")
	c.Flags().StringVar(&o.sheet, "sheet", "", "file with the recovery key, instead of the passphrase")
	return c
}

type sourceOptions struct {
	source, patient, sheet string
	samples                int
}

// A sourceResult is what a comparison with the EMR found.
type sourceResult struct {
	Source     string         `json:"source"`
	Patient    string         `json:"patient,omitempty"`
	Compared   int            `json:"compared"`
	States     map[string]int `json:"states"`
	Different  []differing    `json:"different"`
	NotAsked   []string       `json:"notAsked,omitempty"` // types that the EMR's search was not asked for, or did not answer
	Confidence string         `json:"confidence,omitempty"`
}

func newSourceResult(src config.Source) sourceResult {
	return sourceResult{Source: src.Name, States: map[string]int{}, Different: []differing{}}
}

// A differing is one record that is not equal.
type differing struct {
	Ref    string   `json:"ref"`
	State  string   `json:"state"`
	Fields []string `json:"fields,omitempty"`
}

func (e *env) verifySource(ctx context.Context, o sourceOptions) error {
	if o.samples < 1 {
		return usage("--samples must be 1 or more")
	}
	return e.withMirror(ctx, access{doing: "verify source", key: true, sheet: o.sheet}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		src, err := s.Source(o.source)
		if err != nil {
			return usage(err.Error())
		}
		r, err := e.compareSource(ctx, m, src, o)
		if err != nil {
			return err
		}
		if r.Patient == "" {
			if err := recordSample(ctx, m, r); err != nil {
				return err
			}
		}
		if e.json {
			err = e.printJSON(r)
		} else {
			e.printSourceResult(r)
		}
		if err == nil && len(r.Different) > 0 {
			return quiet(exitGaps)
		}
		return err
	})
}

func (e *env) compareSource(ctx context.Context, m *store.Mirror, src config.Source, o sourceOptions) (sourceResult, error) {
	r := newSourceResult(src)
	r.Patient = strings.TrimPrefix(o.patient, "Patient/")
	event := store.Event{Code: "verify.source", Account: "owner", Key: store.Key{Source: src.Name}, Patient: r.Patient}
	if err := m.Journal(event); err != nil {
		return r, err
	}
	err := e.checking(ctx, m, src, func(check *fhirsync.Check, c *rest.Client) error {
		if r.Patient == "" {
			return r.sample(ctx, check, o.samples)
		}
		capability, err := c.Capability(ctx)
		if err != nil {
			return err
		}
		r.NotAsked, err = check.Patient(ctx, r.Patient, capability.Search, r.take)
		if err == nil && r.Compared == 0 {
			err = store.ErrNotFound
		}
		return err
	})
	return r, err
}

// checking signs in at an EMR and calls f with what compares it with the mirror.
func (e *env) checking(ctx context.Context, m *store.Mirror, src config.Source, f func(*fhirsync.Check, *rest.Client) error) error {
	c, err := connection(m, src, e, nil)
	if err != nil {
		return err
	}
	defer c.CloseIdle()
	if _, _, err := e.signIn(ctx, m, src, c); err != nil {
		return err
	}
	check, err := fhirsync.NewCheck(c, m, src.Name)
	if err != nil {
		return err
	}
	return f(check, c)
}

// sample compares n random records.
func (r *sourceResult) sample(ctx context.Context, check *fhirsync.Check, n int) error {
	err := check.Sample(ctx, n, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), r.take)
	if len(r.Different) == 0 {
		r.Confidence = fhirsync.Confidence(r.Compared)
	}
	return err
}

// The verdicts of a random sample.
const (
	sampleEqual   = "equal"
	sampleDiffers = "differs"
	sampleOpen    = "not all compared" // a record could not be read at the EMR, or there was none
)

func (r *sourceResult) verdict() string {
	switch {
	case r.States[fhirsync.Differs]+r.States[fhirsync.OnlyHere] > 0:
		return sampleDiffers
	case r.Compared == 0 || r.States[fhirsync.Equal] < r.Compared:
		return sampleOpen
	}
	return sampleEqual
}

// recordSample records what a random sample found, as a run of its own; while
// another run goes on it is not recorded. What differs in a record is not kept: the
// reports of runs are read without the office key, also by those who see no chart.
func recordSample(ctx context.Context, m *store.Mirror, r sourceResult) error {
	r.Different = slices.Clone(r.Different)
	for i := range r.Different {
		r.Different[i].Fields = nil
	}
	_, err := m.Record(ctx, store.RunSpec{Source: r.Source, Kind: "check"}, r.verdict(), r)
	if errors.Is(err, store.ErrBusy) {
		return nil
	}
	return err
}

// take adds one comparison.
func (r *sourceResult) take(one fhirsync.Comparison) {
	r.Compared++
	r.States[one.State]++
	if one.State == fhirsync.Equal {
		return
	}
	d := differing{Ref: one.Type + "/" + one.ID, State: one.State}
	if one.State == fhirsync.Differs {
		d.Fields = fieldsOf(one)
	}
	r.Different = append(r.Different, d)
}

// fieldsOf says in words which fields differ; none can be named if one of the
// states cannot be read.
func fieldsOf(one fhirsync.Comparison) []string {
	changes, err := chart.Diff(one.Here, one.There)
	if err != nil {
		return []string{"one of the two cannot be read field by field"}
	}
	var list []string
	for _, c := range changes {
		list = append(list, c.String())
	}
	return list
}

// stateWords say what a state means.
var stateWords = map[string]string{
	fhirsync.Differs:   "differs",
	fhirsync.OnlyHere:  "is only in the copy: the EMR says that it is not there",
	fhirsync.OnlyThere: "is only at the EMR: the copy does not have it yet",
	fhirsync.Withheld:  "is withheld by the EMR",
	fhirsync.Unread:    "could not be read at the EMR",
}

func (e *env) printSourceResult(r sourceResult) {
	what := "a random sample"
	if r.Patient != "" {
		what = "Patient/" + r.Patient
	}
	e.printf("Compared with %s as it is now, %s: %d of %s are equal.\n", r.Source, what, r.States[fhirsync.Equal], plural(r.Compared, "record"))
	for _, d := range r.Different {
		e.printf("  %s %s\n", d.Ref, stateWords[d.State])
		for _, f := range d.Fields {
			e.printf("      %s\n", oneLine(f))
		}
	}
	if r.Confidence != "" {
		e.printf("What that proves: %s.\n", r.Confidence)
	}
	if len(r.NotAsked) > 0 {
		e.printf("Not asked: whether the EMR has more of him of these types, which its search does not find by patient: %s.\n", strings.Join(r.NotAsked, ", "))
	}
	if len(r.Different) > 0 {
		e.printf("A difference is no damage: what changed at the EMR since the last pull comes with the next. Then: chartcellar sync\n")
	}
}
