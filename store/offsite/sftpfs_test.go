package offsite_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"chartcellar/store/holding"
	"chartcellar/store/offsite"
	"chartcellar/store/storetest"
)

// left writes a file into the folder of a server.
func left(t *testing.T, s *storetest.SFTPServer, name string, content []byte) string {
	t.Helper()
	name = filepath.Join(s.Dir, "copy", filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, content, 0o600)); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestSFTPFiles: the folder of a server is listed and read as one of this computer is.
func TestSFTPFiles(t *testing.T) {
	for _, bare := range []bool{false, true} {
		s := storetest.NewSFTPServer(t)
		s.Bare = bare
		s.Listen(t)
		content := bytes.Repeat([]byte("a dump "), 300_000)
		at := time.Date(2026, 10, 3, 2, 0, 0, 0, time.UTC)
		for _, name := range []string{"a b.sql", "ä.zip", "october/1.csv", "october/deep/2.csv", ".hidden/3", "c.sql.part"} {
			if err := os.Chtimes(left(t, s, name, content[:len(name)*1000]), at, at); err != nil {
				t.Fatal(err)
			}
		}
		big := left(t, s, "big.sql", content)
		for _, link := range []string{"link", "october/link"} {
			if err := os.Symlink(big, filepath.Join(s.Dir, "copy", link)); err != nil {
				t.Fatal(err)
			}
		}
		fsys := openSFTP(t, s.Options()).Files(t.Context())
		got, err := holding.List(fsys, "")
		want, werr := holding.List(os.DirFS(filepath.Join(s.Dir, "copy")), "")
		if err != nil || werr != nil || len(got.Files) != 5 || got.Links != 2 || got.Arriving != 1 || len(got.Skipped) > 0 {
			t.Fatalf("List = %+v, %v", got, err)
		}
		for i := range got.Files {
			want.Files[i].Modified = want.Files[i].Modified.Truncate(time.Second) // the protocol has no more
			if g := got.Files[i]; g.Path != want.Files[i].Path || g.Size != want.Files[i].Size || !g.Modified.Equal(want.Files[i].Modified) {
				t.Errorf("file %d = %+v, want %+v", i, g, want.Files[i])
			}
		}
		readsAs(t, fsys, "big.sql", content)
	}
}

func readsAs(t *testing.T, fsys fs.FS, name string, want []byte) {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	part := make([]byte, 100)
	if n, err := f.(io.ReaderAt).ReadAt(part, 1000); err != nil || !bytes.Equal(part[:n], want[1000:1100]) {
		t.Errorf("ReadAt = %d bytes, %v", n, err)
	}
	if n, err := f.(io.ReaderAt).ReadAt(part, int64(len(want)-10)); err != io.EOF || n != 10 {
		t.Errorf("ReadAt of the end = %d bytes, %v", n, err)
	}
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
	}
	opened, err := f.Stat()
	now, serr := fs.Stat(fsys, name)
	if err != nil || serr != nil || opened.Size() != now.Size() || !opened.ModTime().Equal(now.ModTime()) || !now.Mode().IsRegular() {
		t.Errorf("Stat = %+v, %v; later %+v, %v", opened, err, now, serr)
	}
}

// TestSFTPFilesMissing: what is not there, is not allowed or is no name is told apart.
func TestSFTPFilesMissing(t *testing.T) {
	s := storetest.NewSFTPServer(t).Listen(t)
	left(t, s, "here", nil)
	locked := left(t, s, "shut/x", nil)
	fsys := openSFTP(t, s.Options()).Files(t.Context())
	ask := func(name string, want, not error) {
		t.Helper()
		_, oerr := fsys.Open(name)
		_, serr := fs.Stat(fsys, name)
		_, rerr := fs.ReadDir(fsys, name)
		for what, err := range map[string]error{"Open": oerr, "Stat": serr, "ReadDir": rerr} {
			if !errors.Is(err, want) || errors.Is(err, not) {
				t.Errorf("%s %q = %v, want %v and not %v", what, name, err, want, not)
			}
		}
	}
	ask("gone", fs.ErrNotExist, offsite.ErrAway)
	for _, name := range []string{"/here", "../copy/here", "a/../here", ""} {
		ask(name, fs.ErrInvalid, offsite.ErrAway)
	}
	if os.Geteuid() != 0 { // nothing is shut to root
		if err := os.Chmod(filepath.Dir(locked), 0); err != nil {
			t.Fatal(err)
		}
		if l, err := holding.List(fsys, ""); err != nil || len(l.Skipped) != 1 || len(l.Files) != 1 {
			t.Errorf("List = %+v, %v", l, err)
		}
		if err := os.Chmod(filepath.Dir(locked), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(s.Dir, "copy"), filepath.Join(s.Dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	ask("here", offsite.ErrAway, fs.ErrInvalid)
	if _, err := holding.List(fsys, ""); !errors.Is(err, offsite.ErrAway) {
		t.Errorf("List without the folder = %v", err)
	}
}

// TestSFTPFileChanges: a file that grows or shrinks while it is read ends where it ends,
// and another look tells.
func TestSFTPFileChanges(t *testing.T) {
	s := storetest.NewSFTPServer(t).Listen(t)
	name := left(t, s, "dump", make([]byte, 8<<20))
	fsys := openSFTP(t, s.Options()).Files(t.Context())
	f, err := fsys.Open("dump")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyN(io.Discard, f, 1000); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 5<<20); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, f)
	before, _ := f.Stat()
	after, serr := fs.Stat(fsys, "dump")
	if err != nil || serr != nil || n+1000 != 5<<20 || before.Size() == after.Size() {
		t.Errorf("%d bytes were read, %v; before %d, after %d", n+1000, err, before.Size(), after.Size())
	}
}

// TestSFTPFilesCut: on a line that is cut no file and no list comes short without an
// error.
func TestSFTPFilesCut(t *testing.T) {
	s := storetest.NewSFTPServer(t).Listen(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), 32<<10)
	left(t, s, "dump", content)
	for i := range 200 {
		left(t, s, fmt.Sprintf("f%03d", i), nil)
	}
	broke := 0
	for at := int64(5 << 10); at < 700<<10; at += 24 << 10 {
		o := s.Options()
		o.Dial = cutAfter(at).dial
		p, err := offsite.OpenSFTP(t.Context(), o)
		if err != nil {
			continue // it was cut while signing in
		}
		fsys := p.Files(t.Context())
		if l, err := holding.List(fsys, ""); err != nil || len(l.Files) != 201 {
			t.Errorf("cut after %d bytes: %d files, %v", at, len(l.Files), err)
		}
		f, err := fsys.Open("dump")
		if err != nil {
			t.Fatalf("cut after %d bytes: Open = %v", at, err)
		}
		got, err := io.ReadAll(f)
		f.Close()
		if err != nil {
			broke++
		}
		if err == nil && !bytes.Equal(got, content) || err != nil && !errors.Is(err, offsite.ErrAway) {
			t.Errorf("cut after %d bytes: %d bytes, %v", at, len(got), err)
		}
		if info, err := fs.Stat(fsys, "dump"); err != nil || info.Size() != int64(len(content)) {
			t.Errorf("cut after %d bytes: the next look = %v", at, err)
		}
		p.Close()
	}
	if broke < 15 {
		t.Errorf("only %d cuts broke a reading", broke)
	}
}
