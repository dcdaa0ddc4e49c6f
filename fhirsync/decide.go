package fhirsync

import (
	"context"
	"fmt"

	"chartcellar/store"
	"chartcellar/store/index"
)

// Decide accepts or rejects what a run holds: one type, or all for "". An
// accepted type counts from then on and its cursor moves; a rejected one stays as
// it was, and the next run compares it whole. Durable when it returns nil.
func Decide(ctx context.Context, m *store.Mirror, run uint32, typ string, accept bool, by string) error {
	runs, err := m.Runs()
	if err != nil {
		return err
	}
	decided := 0
	for _, r := range runs {
		if r.Number != run {
			continue
		}
		for t, state := range r.States.Types {
			if state != index.Held || typ != "" && t != typ {
				continue
			}
			if err := m.Decide(ctx, index.Decision{Run: run, Type: t, Accept: accept, By: by}); err != nil {
				return err
			}
			decided++
		}
	}
	if decided == 0 {
		return fmt.Errorf("run %d holds nothing that waits for a decision: %w", run, store.ErrNotFound)
	}
	return nil
}
