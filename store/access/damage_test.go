package access_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"chartcellar/store/access"
	"chartcellar/store/disk"
)

// TestDamagedFile: a file that is gone, cut, another's or damaged is found and
// said, never replaced; the recovery key starts over, and the bad file is kept.
func TestDamagedFile(t *testing.T) {
	base := staffed(t)
	base.close()
	good, err := os.ReadFile(base.file())
	if err != nil {
		t.Fatal(err)
	}
	other := owned(t)
	other.close()
	foreign, err := os.ReadFile(other.file())
	if err != nil {
		t.Fatal(err)
	}
	cut := func(n int) []byte { return good[:n] }
	page := os.Getpagesize()
	tests := []struct {
		name    string
		content []byte // nil: no file
		want    error
	}{
		{"missing", nil, access.ErrMissing},
		{"empty", []byte{}, access.ErrDamaged},
		{"cut to a byte", cut(1), access.ErrDamaged},
		{"cut to a page", cut(page), access.ErrDamaged},
		{"cut to three pages", cut(3 * page), access.ErrDamaged},
		{"not ours at all", []byte(strings.Repeat("this is a letter ", 4096)), access.ErrDamaged},
		{"nothing but zeros", make([]byte, len(good)), access.ErrDamaged},
		{"both first pages gone", append(make([]byte, 2*page), good[2*page:]...), access.ErrDamaged},
		{"of another mirror", foreign, access.ErrDamaged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := base.copyTo(t, disk.OS{})
			os.Remove(o.file())
			if tt.content != nil {
				if err := os.WriteFile(o.file(), tt.content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // the second time it must not look healthier
				_, err := access.Open(o.options())
				want(t, "Open", err, tt.want)
			}
			after, err := os.ReadFile(o.file())
			if tt.content == nil && err == nil || tt.content != nil && !slices.Equal(after, tt.content) {
				t.Errorf("Open changed the file: %d bytes, %v", len(after), err)
			}
			startOver(t, o, tt.content)
		})
	}
}

// startOver goes from a bad file to a new owner.
func startOver(t *testing.T, o *office, bad []byte) {
	t.Helper()
	_, err := access.StartOver(o.options(), "another key")
	want(t, "StartOver with another key", err, access.ErrNoRecovery)
	a, err := access.StartOver(o.options(), recoveryKey)
	if err != nil {
		t.Fatalf("StartOver = %v", err)
	}
	o.a = a
	t.Cleanup(func() { a.Close() })
	kept, _ := filepath.Glob(filepath.Join(o.dir, "quarantine", "access.db.*"))
	if bad != nil {
		if len(kept) != 1 {
			t.Fatalf("quarantine holds %v", kept)
		}
		if b, err := os.ReadFile(kept[0]); err != nil || !slices.Equal(b, bad) {
			t.Errorf("the bad file was changed, %v", err)
		}
	}
	code, _, err := o.a.NewSetupCode()
	want(t, "NewSetupCode", err, nil)
	_, err = o.a.SetUp(t.Context(), "here", access.FirstOwner{Code: code, Name: "oscar", Password: "quite another password"})
	want(t, "SetUp", err, nil)
	o.close()
	o.open()
	o.in("oscar", "quite another password")
	o.close()
	_, err = access.StartOver(o.options(), recoveryKey)
	want(t, "StartOver of accounts in order", err, access.ErrInOrder)
}

// TestNewFolder: a folder that never had accounts gets them; so does one whose
// first file was damaged before anybody was set up, but not by itself.
func TestNewFolder(t *testing.T) {
	o := newOffice(t).open()
	o.close()
	o.open()
	o.close()
	if err := os.WriteFile(o.file(), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := access.Open(o.options())
	want(t, "Open", err, access.ErrDamaged)
	a, err := access.StartOver(o.options(), "")
	want(t, "StartOver where there never was an account", err, nil)
	a.Close()
	o.mark = nil
	s := staffed(t)
	s.mark = nil // secrets/ was lost
	s.close()
	s.open()
	if s.mark == nil {
		t.Error("Open of accounts did not mark that they exist")
	}
}

// TestFlippedBits: a flipped bit does no harm or is found; it never ends the
// process and never changes an account.
func TestFlippedBits(t *testing.T) {
	base := staffed(t)
	wanted, err := base.a.Accounts()
	if err != nil {
		t.Fatal(err)
	}
	base.close()
	good, err := os.ReadFile(base.file())
	if err != nil {
		t.Fatal(err)
	}
	o := base.copyTo(t, disk.OS{})
	r := rand.New(rand.NewPCG(1, 2))
	found := 0
	for i := range 600 {
		b := slices.Clone(good)
		for range 1 + 7*(i%2) {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		if i%3 == 0 { // in the heads of pages, where it hurts most
			at := r.IntN(len(b)/os.Getpagesize())*os.Getpagesize() + r.IntN(80)
			b[at] ^= 1 << r.IntN(8)
		}
		if err := os.WriteFile(o.file(), b, 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := access.Open(o.options())
		if err != nil {
			if !errors.Is(err, access.ErrDamaged) {
				t.Fatalf("flip %d: Open = %v", i, err)
			}
			found++
			continue
		}
		got, err := a.Accounts()
		if err != nil || !slices.Equal(got, wanted) {
			t.Fatalf("flip %d: other accounts, %v", i, err)
		}
		a.Close()
	}
	if found == 0 {
		t.Error("no flip was found")
	}
}

// TestLostRow: a row that is gone, or comes from an earlier time, is found.
func TestLostRow(t *testing.T) {
	base := staffed(t)
	id := base.account("mark").ID
	base.close()
	for name, do := range map[string]func(*bolt.Bucket) error{
		"gone": func(b *bolt.Bucket) error { return b.Delete([]byte(id)) },
		"an owner's in the place of another's": func(b *bolt.Bucket) error {
			k, v := b.Cursor().First()
			if string(k) == id {
				_, v = b.Cursor().Last()
			}
			return b.Put([]byte(id), append([]byte{}, v...))
		},
	} {
		o := base.copyTo(t, disk.OS{})
		db, err := bolt.Open(o.file(), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bolt.Tx) error { return do(tx.Bucket([]byte("accounts"))) })
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		_, err = access.Open(o.options())
		want(t, "Open with a row "+name, err, access.ErrDamaged)
	}
}

func TestHeldFile(t *testing.T) {
	o := owned(t)
	_, err := access.Open(o.options())
	want(t, "Open twice", err, access.ErrHeld)
}

// TestCutWhileOpen: a file that is cut from outside while it is in use is an error of
// whoever asks, not the end of the process that also makes the backups.
func TestCutWhileOpen(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere a file in use cannot be cut, or reads as before")
	}
	o := staffed(t)
	token := o.in("olivia", ownerPassword)
	if err := os.Truncate(o.file(), 100); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := o.a.HasOwner(); !errors.Is(err, access.ErrDamaged) {
			t.Errorf("HasOwner() = %v", err)
		}
		if _, err := o.a.Use(token); err == nil {
			t.Error("a session of accounts that are gone may go on")
		}
		if _, _, err := o.a.NewSetupCode(); err == nil {
			t.Error("a code was drawn")
		}
		o.a.Sweep()
	}
	if n := o.a.Held(); n != 0 {
		t.Errorf("%d sessions hold the key", n)
	}
	if err := o.a.Close(); !errors.Is(err, access.ErrDamaged) {
		t.Errorf("Close() = %v", err)
	}
}
