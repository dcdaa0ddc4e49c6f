package store_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"chartcellar/store"
	"chartcellar/store/index"
)

// smallParts is how many parts T6 makes; the full figure is 35,000, and then the
// rebuild has 20 s: go test ./store -run SmallParts -small.parts=35000 -timeout 2h
var smallParts = flag.Int("small.parts", 300, "how many small parts a test makes")

// TestSmallParts is T6 for years of small runs: the index is lost, and made again
// from many small parts.
func TestSmallParts(t *testing.T) {
	p := newPractice(t)
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	for i := range *smallParts {
		if err := r.Add(t.Context(), store.Chunk{Lines: []byte(obs(fmt.Sprint("o", i), i, "") + "\n")}); err != nil {
			t.Fatal(err)
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	counts, err := r.Counts(t.Context())
	if err == nil {
		err = r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts})
	}
	if err == nil {
		err = p.m.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(p.dir, "index.db")); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	p.open(t)
	took := time.Since(start)
	t.Logf("%d parts were indexed again in %v", *smallParts, took)
	if *smallParts >= 35_000 && took > 20*time.Second {
		t.Errorf("the rebuild took %v, want at most 20 s", took)
	}
	for _, i := range []int{0, *smallParts / 2, *smallParts - 1} {
		if got := p.latest(t, "Observation", fmt.Sprint("o", i)); got != obs(fmt.Sprint("o", i), i, "") {
			t.Errorf("o%d = %s", i, got)
		}
	}
	p.same(t)
}
