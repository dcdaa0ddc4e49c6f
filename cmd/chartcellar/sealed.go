package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
)

// sealCommands hide patients that the EMR gave by mistake.
func sealCommands(e *env) []*cobra.Command {
	var seal, unseal sealOptions
	var list readFlags
	s := command("seal ID", "Hide a patient whom the EMR gave by mistake",
		`seal hides a patient, named by id, Patient/id or record number (MRN), wherever people
look: in lists, charts, searches, documents, records and exports, also as of earlier
days, here and in what is restored from a second copy that is made from now on. Not one
byte is removed, and verification goes on as before; "unseal" shows the patient again.
Who sealed whom and why stands in the archive. Second copies and files that were made
before, files kept beside the records, and the EMR itself are not changed.

Exit codes: 0 good, 2 usage, 12 no such patient, 16 another command or a pull is
at work, 15 locked.`, cobra.ExactArgs(1),
		func(ctx context.Context, a []string) error { return e.seal(ctx, a[0], seal) })
	u := command("unseal ID", "Show a sealed patient again",
		`unseal takes the seal of a patient off; "patients sealed" says which there are.
It needs the id.

Exit codes: 0 good, 2 usage or not sealed, 16 another command or a pull is at work,
15 locked.`, cobra.ExactArgs(1),
		func(ctx context.Context, a []string) error { return e.unseal(ctx, a[0], unseal) })
	l := command("sealed", "List the patients who are sealed",
		`sealed lists the patients who are sealed, by whom, when and why. It is a line in the
journal. Exit codes: 0 good, 15 locked.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.sealed(ctx, list) })
	seal.add(s)
	unseal.add(u)
	list.add(l)
	return []*cobra.Command{s, u, l}
}

type sealOptions struct {
	readFlags
	reason string
}

func (o *sealOptions) add(c *cobra.Command) {
	o.readFlags.add(c)
	c.Flags().StringVar(&o.reason, "reason", "", "why: it is kept, and only who may see charts can read it")
}

// sealing opens the mirror to change a seal.
func (e *env) sealing(ctx context.Context, o sealOptions, f func(context.Context, *reading) error) error {
	if strings.TrimSpace(o.reason) == "" {
		return usage("say why: --reason TEXT")
	}
	return e.readWith(ctx, access{doing: "patients seal", write: true}, o.readFlags,
		func(ctx context.Context, _ config.Settings, r *reading) error { return f(ctx, r) })
}

func (e *env) seal(ctx context.Context, who string, o sealOptions) error {
	return e.sealing(ctx, o, func(ctx context.Context, r *reading) error {
		id, err := r.findPatient(ctx, who)
		if err != nil {
			return err
		}
		n := 0
		unread, err := r.Snap.Readable(ctx, r.Source, id, func(store.Version) error { n++; return nil })
		if err != nil {
			return err
		}
		for _, more := range unread {
			n += more
		}
		if err := r.M.SealPatient(ctx, store.SealOrder{Source: r.Source, Patient: id, By: "owner", Reason: o.reason}); err != nil {
			return err
		}
		e.printf("Patient/%s is sealed: %s no longer shown to anybody. Not one byte was removed.\n", id, several(n, "record is", "records are"))
		e.printf("Take the seal off: chartcellar patients unseal %s --reason TEXT\n", id)
		return e.changed(r.M, notice{code: "patient.seal", by: "owner", source: r.Source})
	})
}

func (e *env) unseal(ctx context.Context, who string, o sealOptions) error {
	return e.sealing(ctx, o, func(ctx context.Context, r *reading) error {
		id := strings.TrimPrefix(who, "Patient/")
		err := r.M.UnsealPatient(ctx, store.SealOrder{Source: r.Source, Patient: id, By: "owner", Reason: o.reason})
		if errors.Is(err, store.ErrNotSealed) {
			return usage("this patient is not sealed; see: chartcellar patients sealed")
		}
		if err != nil {
			return err
		}
		e.printf("Patient/%s is shown again.\n", id)
		return e.changed(r.M, notice{code: "patient.unseal", by: "owner", source: r.Source})
	})
}

// A sealedPatient is one row of what `patients sealed` lists.
type sealedPatient struct {
	ID     string    `json:"id"`
	Source string    `json:"source"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

func (e *env) sealed(ctx context.Context, o readFlags) error {
	return e.read(ctx, "patients sealed", o, func(_ context.Context, r *reading) error {
		all, err := r.M.Sealed()
		if err != nil {
			return err
		}
		list := []sealedPatient{}
		var rows [][]string
		for _, s := range all {
			if s.Source != r.Source {
				continue
			}
			list = append(list, sealedPatient{s.Patient, s.Source, s.At, s.By, s.Reason})
			rows = append(rows, []string{s.Patient, s.At.Local().Format("2006-01-02 15:04"), s.By, s.Reason})
		}
		err = r.M.Journal(store.Event{Code: "patients.sealed", Account: "owner", Key: store.Key{Source: r.Source, Type: "Patient"}, Count: len(list)})
		if err != nil {
			return err
		}
		if e.json {
			return e.printJSON(map[string]any{"sealed": list})
		}
		if len(rows) == 0 {
			e.printf("No patient is sealed.\n")
			return nil
		}
		printTable(e.Stdout, "", e.width(), []string{"id", "sealed", "by", "why"}, rows, nil)
		e.printf("%s. Show one again: chartcellar patients unseal ID --reason TEXT\n", several(len(rows), "patient is sealed", "patients are sealed"))
		return nil
	})
}

// sealRecordOf reads the record of a run that sealed a patient, or took a seal off. It
// names nobody.
func sealRecordOf(m *store.Mirror, r store.RunInfo) store.SealRecord {
	var rec store.SealRecord
	raw, err := m.RunRecord(r.Number)
	if err != nil || json.Unmarshal(raw, &rec) != nil {
		rec = store.SealRecord{Verdict: r.Verdict, At: r.Ended}
	}
	return rec
}

// sealDone says in words what was done.
func sealDone(verdict string) string {
	if verdict == store.VerdictUnsealed {
		return "The seal of a patient was taken off"
	}
	return "A patient was sealed"
}

// sealNote is a line about one such run.
func sealNote(m *store.Mirror, r store.RunInfo) string {
	rec := sealRecordOf(m, r)
	return fmt.Sprintf("%s by %s on %s. Who it is and why: chartcellar patients sealed, or the access log.",
		sealDone(rec.Verdict), orElse(rec.By, "somebody"), rec.At.Local().Format("2006-01-02 15:04"))
}
