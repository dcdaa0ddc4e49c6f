package charts_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/index"
)

// manyPatients is how many patients the benchmark of the reports has.
const manyPatients = 100_000

// pullMany pulls n records of each kind in one run.
func (d *desk) pullMany(b *testing.B, n int, kinds ...func(i int) string) {
	b.Helper()
	ctx := context.Background()
	r, err := d.m.Begin(ctx, store.RunSpec{Source: "main", Kind: "sync"})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Abort()
	for _, make := range kinds {
		var chunk strings.Builder
		for i := range n {
			chunk.WriteString(make(i) + "\n")
			if i%500 == 499 {
				if err := r.Add(ctx, store.Chunk{Lines: []byte(chunk.String())}); err != nil {
					b.Fatal(err)
				}
				chunk.Reset()
			}
		}
	}
	counts, err := r.Counts(ctx)
	if err != nil {
		b.Fatal(err)
	}
	if err := r.Close(ctx, store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts}); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSeen100000Patients measures a page of what a person saw, and of who saw a
// patient, once the patients are in memory; and what it takes to read them.
func BenchmarkSeen100000Patients(b *testing.B) {
	d := newDesk(b)
	d.pullMany(b, manyPatients, func(i int) string {
		return fmt.Sprintf(`{"resourceType":"Patient","id":"p%d","name":[{"family":"Family%d","given":["Given"]}],"birthDate":"1960-01-02"}`, i, i)
	})
	for i := range 100 {
		e := store.Event{Code: "chart.view", Account: "staff", Key: store.Key{Source: "main", Type: "Patient"}, Patient: fmt.Sprint("p", i*(manyPatients/100))}
		if err := d.m.Journal(e); err != nil {
			b.Fatal(err)
		}
	}
	d.seen(doctor, viewer.SeenQuery{Account: "staff"}) // reads the patients
	for name, q := range map[string]viewer.SeenQuery{"account": {Account: "staff", Rows: 100}, "patient": {Patient: d.Refer("main", "Patient/p99000"), Rows: 1}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s, err := d.Seen(b.Context(), doctor, q)
				if err != nil || len(s.Lines) != q.Rows || !strings.HasPrefix(s.Lines[0].Patient, "Family") {
					b.Fatal(err, len(s.Lines))
				}
			}
		})
	}
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			d.Forget()
			if p, err := d.Patients(b.Context(), doctor, viewer.PatientQuery{Rows: 1, Hint: true}); err != nil || p.Found != manyPatients {
				b.Fatal(err, p.Found)
			}
		}
	})
}
