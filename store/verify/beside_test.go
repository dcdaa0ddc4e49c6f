package verify_test

import (
	"errors"
	"strings"
	"testing"

	"chartcellar/store"
	"chartcellar/store/verify"
)

// TestBesideRuns: what runs bring while everything is read is no damage, and is read, too;
// the index is compared unless they never leave off.
func TestBesideRuns(t *testing.T) {
	const apart = "The index was not compared"
	for _, tt := range []struct {
		name  string
		runs  int // that come, one with each part that is read
		apart bool
		parts int
	}{
		{"none", 0, false, 6},
		{"one", 1, false, 7},
		{"two", 2, false, 8},
		{"always another", 100, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, came := open(t, made(t)), 0
			read := 0
			r, err := verify.Run(t.Context(), m, verify.Options{Depth: verify.Full, Events: func(int, int, int64) {
				read++
				if came < tt.runs {
					came++
					if _, err := m.Record(t.Context(), store.RunSpec{Kind: "journal"}, "", struct{}{}); err != nil {
						t.Error(err)
					}
				}
			}})
			if err != nil || !r.Good() {
				t.Fatalf("Run = %+v, %v", r.Damage, err)
			}
			if got := strings.Contains(r.NotChecked, apart); got != tt.apart {
				t.Errorf("not checked: %s", r.NotChecked)
			}
			if tt.parts > 0 && read != tt.parts {
				t.Errorf("%d parts were read, want %d", read, tt.parts)
			}
			last, err := m.Parts()
			if err != nil || len(last) != 6+came {
				t.Errorf("%d parts, %v, want %d", len(last), err, 6+came)
			}
		})
	}
}

// TestMoved: a comparison with parts that were not read is refused.
func TestMoved(t *testing.T) {
	m := open(t, made(t))
	pass := m.NewReading()
	kept, err := pass.Index(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pass.Differences(t.Context(), kept); !errors.Is(err, store.ErrMoved) {
		t.Errorf("Differences = %v, want ErrMoved", err)
	}
}
