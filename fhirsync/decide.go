package fhirsync

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
	var list []index.Decision
	for _, r := range runs {
		if r.Number != run {
			continue
		}
		for t, state := range r.States.Types {
			if state == index.Held && (typ == "" || t == typ) {
				list = append(list, index.Decision{Run: run, Type: t, Accept: accept, By: by})
			}
		}
	}
	if len(list) == 0 {
		return fmt.Errorf("run %d holds nothing that waits for a decision: %w", run, store.ErrNotFound)
	}
	slices.SortFunc(list, func(a, b index.Decision) int { return strings.Compare(a.Type, b.Type) })
	return m.Decide(ctx, list...)
}
