package offsite_test

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/offsite"
)

// A growing place gets more while it is listed for the first time, between two names.
type growing struct {
	*memory
	first func(name string) bool // is listed before that
	more  func()
}

func (p *growing) List(ctx context.Context, folder string, fn func(offsite.Info) error) error {
	if p.more == nil {
		return p.memory.List(ctx, folder, fn)
	}
	more := p.more
	p.more = nil
	for _, before := range []bool{true, false} {
		var list []offsite.Info
		if err := p.memory.List(ctx, folder, func(i offsite.Info) error { list = append(list, i); return nil }); err != nil {
			return err
		}
		for _, i := range list {
			if p.first(i.Name) != before {
				continue
			}
			if err := fn(i); err != nil {
				return err
			}
		}
		if before {
			more()
		}
	}
	return nil
}

// keep keeps a file that is too large for a part.
func keep(t *testing.T, m *store.Mirror, content byte) {
	t.Helper()
	r, err := m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: store.KindHolding})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	body := bytes.NewReader(bytes.Repeat([]byte{content}, store.SmallAttachment+1))
	_, err = r.Keep(t.Context(), store.KeptFile{Holding: "scans", Path: string(content), Size: -1}, body, func(store.Content) error { return nil })
	if err == nil {
		err = r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestDrillBesideACopy: while a copy is being made a drill brings back what was signed
// before, or after, and nothing is missing.
func TestDrillBesideACopy(t *testing.T) {
	for name, first := range map[string]func(string) bool{
		"files listed early":       func(n string) bool { return strings.HasPrefix(n, "holdings/") },
		"parts listed early":       func(n string) bool { return !strings.HasPrefix(n, "checkpoints/") },
		"checkpoints listed early": func(n string) bool { return !strings.HasPrefix(n, "parts/") && !strings.HasPrefix(n, "holdings/") },
	} {
		t.Run(name, func(t *testing.T) {
			m, n := made(t, 2)
			keep(t, m, 'a')
			p := &growing{memory: newMemory(), first: first}
			copied(t, m, p)
			p.more = func() {
				keep(t, m, 'b')
				copied(t, m, p.memory)
			}
			d, err := offsite.Drill(t.Context(), m, p, offsite.DrillOptions{Dir: filepath.Join(t.TempDir(), "scratch"), Identity: n.Sheet.Recovery})
			if err != nil || !d.Passed() {
				t.Errorf("drill = %+v, %v", d, err)
			}
		})
	}
}

// TestDrillOfHalfACopy: parts of which the checkpoint is still to come are left aside.
func TestDrillOfHalfACopy(t *testing.T) {
	m, n := made(t, 2)
	keep(t, m, 'a')
	p := newMemory()
	copied(t, m, p)
	delete(p.files, "checkpoints/000000000003")
	d, err := offsite.Drill(t.Context(), m, p, offsite.DrillOptions{Dir: filepath.Join(t.TempDir(), "scratch"), Identity: n.Sheet.Recovery})
	if err != nil || !d.Passed() || d.Run != 2 {
		t.Errorf("drill = %+v, %v, want run 2", d, err)
	}
}
