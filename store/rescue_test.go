package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
	"chartcellar/store/verify"
)

// rescue mends whatever is broken in a closed mirror from the folder of another.
func (p *practice) rescue(t testing.TB, from *practice) (mended []string) {
	t.Helper()
	r, err := store.OpenRescue(p.options())
	if err != nil {
		t.Fatalf("OpenRescue = %v", err)
	}
	defer r.Close()
	for {
		broken, err := r.Broken(t.Context())
		if err != nil {
			t.Fatalf("Broken = %v", err)
		}
		if len(broken) == 0 {
			return mended
		}
		for _, b := range broken {
			good, err := os.Open(filepath.Join(from.dir, filepath.FromSlash(b.Name)))
			if err != nil {
				t.Fatal(err)
			}
			defer good.Close()
			if err := r.Repair(t.Context(), b.Name, "a copy", strings.NewReader("{}")); !errors.Is(err, store.ErrOtherBytes) {
				t.Errorf("Repair(%s) with other bytes = %v", b.Name, err)
			}
			if err := r.Repair(t.Context(), b.Name, "a copy", good); err != nil {
				t.Fatalf("Repair(%s) = %v", b.Name, err)
			}
			mended = append(mended, b.Name)
		}
	}
}

// TestRescue: a mirror that cannot be opened is mended by what is signed.
func TestRescue(t *testing.T) {
	base := withDocuments(t)
	tests := []struct {
		name string
		bad  []string
	}{
		{"the statement is flipped", []string{"mirror/000001.json flipped"}},
		{"the statement is missing", []string{"mirror/000001.json missing"}},
		{"no index, and a part is damaged", []string{"index.db missing", verify.PartName(1) + " flipped"}},
		{"no index, and a part is missing", []string{"index.db missing", verify.PartName(2) + " missing"}},
		{"all of it", []string{"index.db missing", verify.PartName(3) + " cut", "mirror/000001.json cut", "checkpoints/000000000002 flipped"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := base.copyTo(t, disk.OS{})
			want := len(tt.bad)
			for _, one := range tt.bad {
				name, how, _ := strings.Cut(one, " ")
				p.spoil(t, name, how)
				if name == "index.db" {
					want--
				}
			}
			if m, err := store.Open(t.Context(), p.options()); err == nil {
				m.Close()
				t.Fatal("the mirror could be opened")
			}
			if got := p.rescue(t, base); len(got) != want {
				t.Errorf("mended %v, want %d files", got, want)
			}
			p.open(t)
			p.reopen(t)
			p.good(t, tt.name)
		})
	}
}

// TestRescueRefuses: another mirror's statement is not taken, nor is a mirror that is
// in use, or whose box key is another.
func TestRescueRefuses(t *testing.T) {
	base, other := withDocuments(t), newPractice(t)
	p := base.copyTo(t, disk.OS{})
	foreign, err := os.ReadFile(filepath.Join(other.dir, "mirror", "000001.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "mirror", "000001.json"), foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := store.OpenRescue(p.options())
	if err != nil {
		t.Fatal(err)
	}
	broken, err := r.Broken(t.Context())
	if err != nil || len(broken) != 1 || broken[0].Name != "mirror/000001.json" {
		t.Errorf("Broken with another mirror's statement = %+v, %v", broken, err)
	}
	if err := r.Repair(t.Context(), "mirror/000001.json", "a copy", strings.NewReader(string(foreign))); !errors.Is(err, store.ErrOtherBytes) {
		t.Errorf("Repair with another mirror's statement = %v", err)
	}
	if _, err := store.OpenRescue(p.options()); !errors.Is(err, store.ErrBusy) {
		t.Errorf("OpenRescue twice = %v, want ErrBusy", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	o := p.options()
	o.Box = other.box
	if _, err := store.OpenRescue(o); !errors.Is(err, keys.ErrDamaged) {
		t.Errorf("OpenRescue with another box key = %v", err)
	}
	o.Dir = t.TempDir()
	if _, err := store.OpenRescue(o); !errors.Is(err, store.ErrNoMirror) {
		t.Errorf("OpenRescue of an empty folder = %v", err)
	}
}
