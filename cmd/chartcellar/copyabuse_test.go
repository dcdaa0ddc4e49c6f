package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"

	"chartcellar/fhirsync/fakeemr"
	"chartcellar/store/disk"
	"chartcellar/store/storetest"
)

// A copier types the commands of a practice in this process.
type copier struct {
	t    *testing.T
	dir  string
	emr  *fakeemr.EMR
	disk disk.FS // nil: the real one
	vars map[string]string
}

// newCopier makes a practice that was pulled once.
func newCopier(t *testing.T) *copier {
	t.Helper()
	d := &copier{t: t, dir: t.TempDir()}
	var ca string
	d.emr, ca = startEMR(t, d.dir, fakeemr.Practice{Patients: 1, Seed: 4, Years: 1})
	d.vars = map[string]string{"CHARTCELLAR_CONFIG": filepath.Join(d.dir, "s", "settings.toml"), "CHARTCELLAR_CLIENT_SECRET": "s"}
	for _, args := range append(setUp(d.dir, ca, d.emr), []string{"sync"}) {
		d.must(args...)
	}
	return d
}

func (d *copier) path(names ...string) string {
	return filepath.Join(append([]string{d.dir}, names...)...)
}

// types carries a command out.
func (d *copier) types(args ...string) (said string, code int) {
	var out bytes.Buffer
	e := quick(&env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, disk: d.disk, Getenv: func(name string) string { return d.vars[name] }})
	code = run(d.t.Context(), e, args)
	return out.String(), code
}

func (d *copier) must(args ...string) string {
	d.t.Helper()
	said, code := d.types(args...)
	if code != exitGood {
		d.t.Fatalf("%v: exit %d\n%s", args, code, said)
	}
	return said
}

// wants carries a command out that must end with a code, and say each of some words.
func (d *copier) wants(code int, args []string, words ...string) string {
	d.t.Helper()
	said, got := d.types(args...)
	if got != code {
		d.t.Errorf("%v: exit %d, want %d\n%s", args, got, code, said)
	}
	for _, w := range words {
		if !strings.Contains(said, w) {
			d.t.Errorf("%v does not say %q:\n%s", args, w, said)
		}
	}
	return said
}

// day lets a day pass at the EMR, and pulls.
func (d *copier) day() {
	d.t.Helper()
	if _, err := d.emr.Changes(1); err != nil {
		d.t.Fatal(err)
	}
	d.must("sync")
}

// folder makes a folder with the program in it, which need not be copied each time.
func (d *copier) folder(name string) string {
	d.t.Helper()
	mine := d.path(name, filepath.FromSlash(programOfTest))
	if err := errors.Join(os.MkdirAll(filepath.Dir(mine), 0o700), os.WriteFile(mine, nil, 0o600)); err != nil {
		d.t.Fatal(err)
	}
	return d.path(name)
}

// sftp starts a server and adds it as the second copy name.
func (d *copier) sftp(name string) *storetest.SFTPServer {
	d.t.Helper()
	s := storetest.NewSFTPServer(d.t).Listen(d.t)
	d.vars["CHARTCELLAR_COPY_SECRET"] = storetest.SFTPPassword
	d.must("copy", "add", name, "--sftp", storetest.SFTPUser+"@"+s.Addr+"/copy", "--password", "--host-key", ssh.FingerprintSHA256(s.Host))
	return s
}

// s3 starts a bucket and adds it.
func (d *copier) s3(name string) *storetest.Bucket {
	d.t.Helper()
	b := storetest.NewBucket(d.t)
	o := b.Listen(d.t)
	d.vars["CHARTCELLAR_COPY_SECRET"] = storetest.BucketSecret
	d.must("copy", "add", name, "--s3", "http://"+o.Endpoint+"/copies/office", "--region", o.Region, "--access-key", o.AccessKey)
	return b
}

// A pulling disk is taken out before the n-th file is made below a folder, or has a fault
// from then on.
type pullingDisk struct {
	disk.OS
	folder string
	faulty bool
	left   atomic.Int64
}

// Create implements disk.FS.
func (p *pullingDisk) Create(name string) (disk.File, error) {
	if !strings.HasPrefix(name, p.folder) {
		return p.OS.Create(name)
	}
	switch left := p.left.Add(-1); {
	case left <= 0 && p.faulty:
		return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EIO}
	case left == 0:
		if err := os.Rename(p.folder, p.folder+"-in-a-pocket"); err != nil {
			return nil, err
		}
	}
	return p.OS.Create(name)
}

// A mishap is what happens to a second copy, and how it is mended.
type mishap struct {
	name  string
	begin func(d *copier, name string) (mend func())
	do    []string // "": copy now
	code  int
	says  []string
	// stays: it cannot be mended; else the next copy is complete.
	stays bool
}

const unchanged = "Nothing is lost"

func mishaps() []mishap {
	refusing := func(status int, code string, times int64) func(d *copier, name string) func() {
		return func(d *copier, name string) func() {
			b, n := d.s3(name), atomic.Int64{}
			b.Before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut || n.Add(1) > times {
					return false
				}
				io.Copy(io.Discard, r.Body)
				storetest.S3Fail(w, status, code)
				return true
			}
			return func() { b.Before = nil }
		}
	}
	return []mishap{
		{name: "the disk is pulled in the middle", code: exitFailed, says: []string{"cannot be reached", "not plugged in", unchanged, "goes on where it stopped"},
			begin: func(d *copier, name string) func() {
				p := &pullingDisk{folder: d.folder(name)}
				d.must("copy", "add", name, "--folder", p.folder)
				p.left.Store(5)
				d.disk = p
				return func() {
					d.disk = nil
					if err := os.Rename(p.folder+"-in-a-pocket", p.folder); err != nil {
						d.t.Fatal(err)
					}
				}
			}},
		{name: "the disk has a fault", code: exitFailed, says: []string{"has a fault", unchanged, "a new disk in its place"},
			begin: func(d *copier, name string) func() {
				p := &pullingDisk{folder: d.folder(name), faulty: true}
				d.must("copy", "add", name, "--folder", p.folder)
				p.left.Store(5)
				d.disk = p
				return func() { d.disk = nil }
			}},
		{name: "the line to the SFTP server is cut", code: exitFailed, says: []string{"cannot be reached", unchanged, "goes on where it stopped"},
			begin: func(d *copier, name string) func() {
				s := d.sftp(name)
				s.Left.Store(60_000)
				return func() { s.Left.Store(1 << 40) }
			}},
		{name: "the disk of the SFTP server is full", code: exitFailed, says: []string{"no room left", unchanged, "Make room there", "Delete nothing of the copy"},
			begin: func(d *copier, name string) func() {
				s := d.sftp(name)
				s.Room.Store(20_000)
				return func() { s.Room.Store(1 << 40) }
			}},
		{name: "the disk of the SFTP server is read-only", code: exitFailed, says: []string{"read-only", unchanged, "write protection"},
			begin: func(d *copier, name string) func() {
				s := d.sftp(name)
				s.ReadOnly.Store(true)
				return func() { s.ReadOnly.Store(false) }
			}},
		{name: "nothing may be removed at the SFTP server", code: exitGood, says: []string{"complete up to"},
			begin: func(d *copier, name string) func() {
				s := d.sftp(name)
				s.AddOnly.Store(true)
				d.wants(exitGood, []string{"copy", "test", name}, "could be overwritten")
				return func() {}
			}},
		{name: "the S3 server has a fault", code: exitFailed, says: []string{"cannot be reached", unchanged, "goes on where it stopped"},
			begin: refusing(500, "InternalError", 1<<40)},
		{name: "the S3 server is slow at first", code: exitGood, says: []string{"complete up to"},
			begin: refusing(503, "SlowDown", 3)},
		{name: "the quota of the bucket is used up", code: exitFailed, says: []string{"no room left", unchanged, "Make room there"},
			begin: refusing(403, "QuotaExceeded", 1<<40)},
		{name: "the key of the bucket was withdrawn", code: exitFailed, says: []string{"refuses the sign-in", unchanged, "Check user, key or password"},
			begin: refusing(403, "InvalidAccessKeyId", 1<<40)},
		{name: "the S3 server loses its answers and tells names twice", code: exitGood, says: []string{"complete up to"},
			begin: func(d *copier, name string) func() {
				b, n := d.s3(name), atomic.Int64{}
				b.Twice = true
				b.After = func(http.ResponseWriter, *http.Request) error {
					if n.Add(1)%3 == 1 {
						return errors.New("lost")
					}
					return nil
				}
				return func() { b.After = nil }
			}},
		{name: "the bucket forgets put-if-absent", do: []string{"copy", "test"}, code: exitGood, says: []string{"WEAK", "could be overwritten", "only add files"},
			begin: func(d *copier, name string) func() {
				b := d.s3(name)
				b.Denies, b.Ignores = true, true
				return func() { b.Denies, b.Ignores = false, false }
			}},
		{name: "the bucket lets nobody delete", do: []string{"copy", "test"}, code: exitGood, says: []string{"could not be overwritten or removed", "good"},
			begin: func(d *copier, name string) func() {
				d.s3(name).Denies = true
				return func() {}
			}},
		{name: "somebody writes over a file, with as many bytes", do: []string{"copy", "verify", "--all"}, code: exitDamage,
			says: []string{"WRONG  parts/000000/000000000001.ndjson.zst.age, there", "not those that were written", "Delete nothing"}, stays: true,
			begin: func(d *copier, name string) func() {
				b := d.s3(name)
				d.must("copy", "now", name)
				overwrite(d.t, b.Path("office/parts/000000/000000000001.ndjson.zst.age"), false)
				return nil
			}},
		{name: "somebody writes over a file, with fewer bytes", code: exitDamage, says: []string{"WRONG  parts/000000/000000000001.ndjson.zst.age, there", "somebody else wrote it"}, stays: true,
			begin: func(d *copier, name string) func() {
				b := d.s3(name)
				d.must("copy", "now", name)
				overwrite(d.t, b.Path("office/parts/000000/000000000001.ndjson.zst.age"), true)
				return nil
			}},
		{name: "the disk of another practice", code: exitFailed, says: []string{"copy of another mirror", unchanged, "plug the right disk in"},
			begin: func(d *copier, name string) func() {
				folder := d.folder(name)
				d.must("copy", "add", name, "--folder", folder)
				other := *d
				other.vars = map[string]string{"CHARTCELLAR_CONFIG": d.path("other", "settings.toml")}
				other.must("init", "--data", d.path("others"), "--key-file", d.path("other", "key"), "--reserve-mb", "1")
				other.must("copy", "add", "usb", "--folder", folder)
				other.must("copy", "now")
				return func() { swap(d.t, folder, d.folder("empty-"+name)) }
			}},
		{name: "a folder that holds other things", code: exitGood, says: []string{"complete up to"},
			begin: func(d *copier, name string) func() {
				folder := d.folder(name)
				for _, f := range []string{"letter.docx", "Photos of the sea/1.jpg", "e0001.txt"} {
					if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(folder, f)), 0o700), os.WriteFile(filepath.Join(folder, f), []byte("mine"), 0o600)); err != nil {
						d.t.Fatal(err)
					}
				}
				d.must("copy", "add", name, "--folder", folder)
				return func() {
					if b, err := os.ReadFile(filepath.Join(folder, "letter.docx")); err != nil || string(b) != "mine" {
						d.t.Errorf("the letter is %q, %v", b, err)
					}
				}
			}},
		{name: "a file lies where a folder must be", code: exitFailed, says: []string{"A file lies where the second copy needs a folder", unchanged, "Move it away"},
			begin: func(d *copier, name string) func() {
				folder := d.folder(name)
				d.must("copy", "add", name, "--folder", folder)
				file := filepath.Join(folder, "parts")
				if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
					d.t.Fatal(err)
				}
				return func() {
					if err := os.Remove(file); err != nil {
						d.t.Fatal(err)
					}
				}
			}},
	}
}

// overwrite changes a file, or makes it shorter.
func overwrite(t *testing.T, file string, shorter bool) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		b[len(b)/2] ^= 1
		if shorter {
			b = b[:len(b)-1]
		}
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// swap lets two folders change places, as two disks do.
func swap(t *testing.T, a, b string) {
	t.Helper()
	if err := errors.Join(os.Rename(a, a+".x"), os.Rename(b, a), os.Rename(a+".x", b)); err != nil {
		t.Fatal(err)
	}
}

// TestMishaps is T14: whatever happens to a second copy is told in a sentence, with what
// is lost and what to do; nothing is called complete that is not; and once it is mended
// the next copy is whole.
func TestMishaps(t *testing.T) {
	t.Parallel()
	d := newCopier(t)
	for i, tt := range mishaps() {
		t.Run(tt.name, func(t *testing.T) {
			d.t = t
			name := "c" + string(rune('a'+i))
			mend := tt.begin(d, name)
			do := tt.do
			if do == nil {
				do = []string{"copy", "now"}
			}
			said := d.wants(tt.code, append(do, name), tt.says...)
			complete := strings.Contains(said, "complete up to") || strings.Contains(said, "Nothing is wrong")
			if complete && tt.code != exitGood {
				t.Errorf("it is called complete:\n%s", said)
			}
			if tt.code == exitFailed && len(strings.Split(strings.TrimSpace(said), "\n")) > 8 {
				t.Errorf("it says too much:\n%s", said)
			}
			if tt.code != exitGood && !tt.stays {
				d.wants(exitGood, []string{"copy", "list"}, "never complete")
			}
			if tt.stays {
				d.wants(exitGood, []string{"copy", "list"}, "not what was written")
				return
			}
			mend()
			d.wants(exitGood, []string{"copy", "now", name}, "complete up to checkpoint")
			d.wants(exitGood, []string{"copy", "verify", name, "--all"}, "Nothing is wrong")
		})
	}
}

// TestDisksInTurns: two disks take turns, and each is judged by what it had. A place that
// is empty all of a sudden is not filled in silence: the folder of a disk that is not
// plugged in would be, on the computer's own.
func TestDisksInTurns(t *testing.T) {
	t.Parallel()
	d := newCopier(t)
	usb, other := d.folder("usb"), d.folder("other")
	d.must("copy", "add", "usb", "--folder", usb, "--disks", "2")
	now, verify := []string{"copy", "now", "usb"}, []string{"copy", "verify", "usb", "--all"}
	for i := range 4 { // the second and the third time each disk lacks two days
		d.wants(exitGood, now, "complete up to")
		d.wants(exitGood, verify, "Nothing is wrong")
		d.day()
		swap(t, usb, other)
		if i > 0 {
			d.wants(exitGood, verify, "Nothing is wrong", "newer files of the mirror, which come with the next copy")
		}
	}
	third := d.folder("third")
	swap(t, usb, third)
	said := d.wants(exitFailed, now, "is empty, though a copy was complete there", "Plug the disk in", "--anew")
	if list, err := os.ReadDir(usb); strings.Contains(said, "complete up to") || err != nil || len(list) != 1 {
		t.Errorf("there are %v, %v\n%s", list, err, said)
	}
	d.wants(exitGood, []string{"copy", "list"}, "is empty")
	d.wants(exitGood, append(now, "--anew"), "complete up to")
	d.wants(exitGood, now, "complete up to")
	b := d.s3("bucket")
	d.must("copy", "now", "bucket")
	if err := os.RemoveAll(b.Path("office")); err != nil {
		t.Fatal(err)
	}
	d.wants(exitFailed, []string{"copy", "now", "bucket"}, "find out who has")
}

// TestOlderCopies is T7 over second copies: a part that was taken away, parts that
// changed places, an older state of the place, and one of the office copy itself. What
// nobody can see from the copy alone, that it ends early, is told by its date.
func TestOlderCopies(t *testing.T) {
	t.Parallel()
	d := newCopier(t)
	usb := d.folder("usb")
	d.must("copy", "add", "usb", "--folder", usb)
	d.must("copy", "now")
	older, oldOffice := d.path("older"), d.path("old-office")
	keep := func(from, to string) {
		t.Helper()
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	keep(usb, older)
	d.day()
	keep(d.path("m"), oldOffice)
	d.day()
	d.must("copy", "now")
	parts, err := filepath.Glob(filepath.Join(usb, "parts", "000000", "*"))
	if err != nil || len(parts) < 6 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	last, sheet := parts[len(parts)-1], d.path("s", "recovery-sheet.txt")
	number, n := strings.TrimLeft(strings.TrimSuffix(filepath.Base(last), ".ndjson.zst.age"), "0"), 0
	restore := func(from string) []string {
		n++
		return []string{"restore", "--from", from, "--to", d.path("back" + string(rune('0'+n))), "--sheet", sheet}
	}
	drill := []string{"drill", "--person", "x", "--sheet", sheet}
	spoiled := func(name string, spoil func(copy string)) {
		t.Run(name, func(t *testing.T) {
			d.t = t
			whole := d.path("whole")
			keep(usb, whole)
			spoil(usb)
			d.wants(exitDamage, []string{"copy", "verify", "--all"}, "WRONG", filepath.Base(last))
			d.wants(exitDamage, drill, "NOT PASSED", number)
			said := d.wants(exitDamage, restore(usb), number, "another second copy")
			if strings.Contains(said, "Nothing is wrong") {
				t.Errorf("restore says\n%s", said)
			}
			alone := *d
			alone.vars = map[string]string{"CHARTCELLAR_CONFIG": d.path("new"+name, "settings.toml"), "CHARTCELLAR_PASSPHRASE": "four words are enough"}
			alone.wants(exitDamage, []string{"adopt", "--data", d.path("back" + string(rune('0'+n))), "--sheet", sheet}, "Restore it again")
			if err := errors.Join(os.RemoveAll(usb), os.Rename(whole, usb)); err != nil {
				t.Fatal(err)
			}
		})
	}
	spoiled("the last part is gone", func(string) {
		if err := os.Remove(last); err != nil {
			t.Fatal(err)
		}
	})
	spoiled("two parts changed places", func(string) { swap(t, last, parts[0]) })
	d.t = t

	// An older state of the whole place.
	d.wants(exitGood, restore(usb), "Nothing is wrong", "It holds what was pulled up to")
	if err := errors.Join(os.RemoveAll(usb), os.Rename(older, usb)); err != nil {
		t.Fatal(err)
	}
	d.wants(exitDamage, []string{"copy", "verify", "--all"}, "WRONG", "missing")
	d.wants(exitGood, restore(usb), "Nothing is wrong", "It holds what was pulled up to")
	d.wants(exitGood, drill, "PASSED", "What the office copy got after")
	d.wants(exitGood, []string{"copy", "now"}, "complete up to")
	d.wants(exitGood, []string{"copy", "verify", "--all"}, "Nothing is wrong")

	// An older state of the office copy: what lies outside it tells, and so does the copy.
	if err := errors.Join(os.RemoveAll(d.path("m")), os.Rename(oldOffice, d.path("m"))); err != nil {
		t.Fatal(err)
	}
	said := d.wants(exitDamage, []string{"copy", "now"}, "older copy of the mirror", "Put the newest folder back")
	if err := os.Remove(d.path("s", "box.key.witness")); err != nil {
		t.Fatal(err)
	}
	said += d.wants(exitDamage, []string{"copy", "now"}, "second copy is newer than the office copy", "Newer records are safe at the second copy", "chartcellar restore")
	if strings.Contains(said, "complete up to") {
		t.Errorf("it is called complete:\n%s", said)
	}
}
