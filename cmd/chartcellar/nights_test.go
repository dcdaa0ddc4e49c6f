package main

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/keys"
	"chartcellar/store/verify"
)

// Nights are a mirror on whose nights, at two, a pull brings a few records.
type nights struct {
	t       testing.TB
	m       *store.Mirror
	now     time.Time
	planned time.Time // when the schedule was made
	last    int       // number of the newest record
}

// newNights returns a mirror after its first pull, so many days ago.
func newNights(t testing.TB, days int) *nights {
	t.Helper()
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	dir, today := t.TempDir(), time.Now().UTC()
	made, err := store.Init(store.InitOptions{Dir: dir, Box: box})
	if err != nil {
		t.Fatal(err)
	}
	n := &nights{t: t, now: time.Date(today.Year(), today.Month(), today.Day()-days, 2, 0, 0, 0, time.UTC)}
	n.planned = n.now
	n.m, err = store.Open(t.Context(), store.Options{Dir: dir, Box: box, Ballast: -1, Reserve: 1, Identity: made.Office,
		FS: noSync{}, Now: func() time.Time { return n.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.m.Close() })
	n.pull(fhirsync.Complete)
	return n
}

// pull brings a record of each of three types.
func (n *nights) pull(v fhirsync.Verdict) {
	n.t.Helper()
	r, err := n.m.Begin(n.t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		n.t.Fatal(err)
	}
	defer r.Abort()
	n.last++
	for _, typ := range []string{"Patient", "Observation", "DocumentReference"} {
		line := fmt.Sprintf(`{"resourceType":%q,"id":"%d"}`+"\n", typ, n.last)
		if err := r.Add(n.t.Context(), store.Chunk{Lines: []byte(line), Type: typ}); err != nil {
			n.t.Fatal(err)
		}
	}
	counts, err := r.Counts(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	record, err := json.Marshal(fhirsync.Report{Run: r.Number(), Source: "emr", Verdict: v})
	if err != nil {
		n.t.Fatal(err)
	}
	err = r.Close(n.t.Context(), store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts, Verdict: string(v), Record: record})
	if err != nil {
		n.t.Fatal(err)
	}
}

// verified records a verification of a thirtieth.
func (n *nights) verified(day int) {
	n.t.Helper()
	result := verify.Result{Depth: verify.Rolling, Days: []int{day % schedule.Thirtieths}}
	if _, err := n.m.Record(n.t.Context(), store.RunSpec{Kind: "verify"}, verifiedGood, result); err != nil {
		n.t.Fatal(err)
	}
}

// office is what the pages ask, with a schedule of pulls, and with the records counted.
func (n *nights) office(pull string) *office {
	n.t.Helper()
	s := config.Settings{Practice: "Harbour Street", Zone: "UTC", Verify: "daily 04:00",
		Sources: []config.Source{{Name: "emr", Pull: pull, Full: "off"}}}
	e := &env{clock: func() time.Time { return n.now }, Getenv: func(string) string { return "" }}
	d := &daemon{e: e, m: n.m, s: s}
	plans, err := plansOf(s)
	if err != nil {
		n.t.Fatal(err)
	}
	d.sched, err = schedule.New(schedule.Options{Plans: plans, Memory: memory{n.m}, Now: func() time.Time { return n.planned },
		Do: func(context.Context, schedule.Start) schedule.Outcome { return schedule.Outcome{} }})
	if err != nil {
		n.t.Fatal(err)
	}
	d.recount(n.t.Context())
	return &office{e: e, d: d, m: n.m}
}
