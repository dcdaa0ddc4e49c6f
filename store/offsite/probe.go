package offsite

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// A Tested says what this program's own account may do at a place. Whoever takes the
// computer can do the same.
type Tested struct {
	Overwrites bool  `json:"overwrites"` // a file that was there could be replaced
	Deletes    bool  `json:"deletes"`    // and removed
	Free       int64 `json:"free"`       // bytes; -1: the place does not say
}

// Weak reports whether a copy there can be destroyed with what this computer knows.
func (t Tested) Weak() bool { return t.Overwrites || t.Deletes }

// Test writes a small file, reads it back, and then tries to replace and to remove it:
// what cannot be done to it cannot be done to the copy. The file stays, if the place
// keeps it. An error means that the place cannot be used as it is.
func Test(ctx context.Context, m Mirror, p Place) (Tested, error) {
	t := Tested{Free: -1}
	if r, ok := p.(Room); ok {
		if free, _, known := r.Free(ctx); known {
			t.Free = free
		}
	}
	c, err := Read(ctx, p)
	switch {
	case err != nil:
		return t, err
	case !c.Empty() && c.First != m.FirstHash():
		return t, ErrForeign
	case !c.Empty() && oldKeys(m.Chain(), c.Statement.Number):
		return t, ErrOldKeys
	case c.Epoch() > m.Chain().Last().Epoch:
		return t, ErrFenced
	}
	name := "probe/" + hex.EncodeToString(randomBytes(8))
	content := []byte("chartcellar tests what may be done to this file.\n")
	if err := p.Put(ctx, name, int64(len(content)), bytes.NewReader(content)); err != nil {
		return t, fmt.Errorf("write a file: %w", err)
	}
	if err := sameBytes(ctx, p, name, content); err != nil {
		return t, err
	}
	if err := p.Put(ctx, name, int64(len(content)), bytes.NewReader(content)); !errors.Is(err, ErrExists) {
		t.Overwrites = true // even an honest writer is not told that the name is taken
	}
	if sparer, ok := p.(Sparer); ok {
		spares, err := sparer.Spares(ctx, name)
		if err == nil && !spares {
			t.Overwrites = true // the place lets what its driver does not do
		}
	}
	prober, ok := p.(Prober)
	if !ok {
		return t, nil
	}
	other := bytes.ToUpper(content)
	if prober.Overwrite(ctx, name, other) == nil && sameBytes(ctx, p, name, content) != nil {
		t.Overwrites = true
	}
	if prober.Delete(ctx, name) == nil {
		_, err := readSmall(ctx, p, name)
		t.Deletes = errors.Is(err, ErrNotThere)
	}
	return t, nil
}

func sameBytes(ctx context.Context, p Place, name string, want []byte) error {
	got, err := readSmall(ctx, p, name)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("what was written is not what is read: %w", io.ErrUnexpectedEOF)
	}
	if err != nil {
		return fmt.Errorf("read the file back: %w", err)
	}
	return nil
}
