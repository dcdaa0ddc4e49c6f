package main

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/storetest"
)

// How large the mirror of BenchmarkCharts is, and where it is kept to be used again.
var (
	chartsDir      = flag.String("charts.dir", "", "folder of the mirror of BenchmarkCharts; it is made if it is empty, and kept")
	chartsPatients = flag.Int("charts.patients", 2000, "patients of the mirror, each with some 20 records")
	chartsByTime   = flag.Bool("charts.bytime", false, "the records come in the order of time, not patient by patient")
)

// benchDays is how many days with a small pull follow the first one.
const benchDays = 5

// A practiceMaker brings an invented practice into a mirror.
type practiceMaker struct {
	t testing.TB
	m *store.Mirror
	p storetest.Practice
}

// practiceIn makes the mirror of BenchmarkCharts in dir, if there is none.
func practiceIn(t testing.TB, dir string) {
	t.Helper()
	madeOnce(t, dir, func(e *env) {
		now := time.Now().AddDate(0, 0, -benchDays)
		k := practiceMaker{t, unwaited(t, e, func() time.Time { return now }), storetest.Practice{Patients: *chartsPatients}}
		k.pull(func(give func([]byte)) {
			for _, typ := range storetest.PracticeTypes {
				k.export(typ, give)
			}
		})
		for day := range benchDays {
			now = now.AddDate(0, 0, 1)
			k.pull(func(give func([]byte)) { give(k.today(day)) })
		}
		if err := k.m.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// export gives the records of a type as a first pull brings them.
func (k practiceMaker) export(typ string, give func([]byte)) {
	var b []byte
	add := func(i, visit int) {
		if b = k.p.Append(b, typ, i, visit); len(b) > 1<<20 {
			give(b)
			b = nil
		}
	}
	for i := range k.p.Patients {
		add(i, -1)
		for visit := 0; visit < k.p.Visits(i) && !*chartsByTime; visit++ {
			add(i, visit)
		}
	}
	steps := k.p.Visits(storetest.Heavy)
	for step := 0; step < steps && *chartsByTime; step++ {
		for i := range k.p.Patients {
			n := k.p.Visits(i)
			for visit := (step*n + steps - 1) / steps; visit*steps < (step+1)*n; visit++ {
				add(i, visit)
			}
		}
	}
	give(b)
}

// today are the records of one more visit of a few patients.
func (k practiceMaker) today(day int) (b []byte) {
	for n := range 20 {
		i := (day*20 + n) * 7 % k.p.Patients
		for _, typ := range storetest.PracticeTypes {
			b = k.p.Append(b, typ, i, 1000+day)
		}
	}
	return b
}

// pull makes one run of what is given.
func (k practiceMaker) pull(lines func(give func([]byte))) {
	ctx := k.t.Context()
	must := func(err error) {
		k.t.Helper()
		if err != nil {
			k.t.Fatal(err)
		}
	}
	r, err := k.m.Begin(ctx, store.RunSpec{Source: "emr", Kind: "sync"})
	must(err)
	defer r.Abort()
	lines(func(b []byte) {
		if len(b) > 0 {
			must(r.Add(ctx, store.Chunk{Lines: b}))
		}
	})
	counts, err := r.Counts(ctx)
	must(err)
	record := fmt.Appendf(nil, `{"run":%d,"source":"emr","verdict":"complete"}`, r.Number())
	must(r.Close(ctx, store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts, Verdict: "complete", Record: record}))
}

// BenchmarkCharts x.
func BenchmarkCharts(b *testing.B) {
	dir := *chartsDir
	if dir == "" {
		dir = b.TempDir()
	}
	practiceIn(b, dir)
}
