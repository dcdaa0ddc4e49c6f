package access_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"chartcellar/store/access"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
)

// cheap is work for tests that are not about work.
func cheap() access.Work { return access.Work{Time: 1, Memory: 8, Threads: 1, Floor: -1} }

const (
	ownerPassword   = "four words apart owner"
	doctorPassword  = "four words apart doktor"
	managerPassword = "four words apart menager"
	itPassword      = "four words apart machine"
	recoveryKey     = "THE-KEY-ON-THE-SHEET"
)

// An office is what stands around the accounts: a mirror with slots, a journal
// and a clock, all of them on a disk that may break.
type office struct {
	t        testing.TB
	dir      string
	fs       disk.FS
	work     access.Work
	practice string
	identity age.Identity
	a        *access.Access

	mu       sync.Mutex
	now      time.Time
	slots    map[string]string
	mark     []byte
	events   []access.Event
	unlocked bool
	broken   map[string]error // by what breaks: journal, slots, open
}

func newOffice(t testing.TB) *office {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return &office{t: t, dir: t.TempDir(), fs: disk.OS{}, work: cheap(), identity: id,
		now:   time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC),
		slots: map[string]string{}, broken: map[string]error{}}
}

// copyTo returns a closed office with the same things in another place.
func (o *office) copyTo(t testing.TB, fsys disk.FS) *office {
	t.Helper()
	c := &office{t: t, dir: t.TempDir(), fs: fsys, work: o.work, identity: o.identity, now: o.now,
		slots: maps.Clone(o.slots), mark: o.mark, broken: map[string]error{}}
	if err := os.CopyFS(c.dir, os.DirFS(o.dir)); err != nil {
		t.Fatal(err)
	}
	return c
}

func (o *office) options() access.Options {
	return access.Options{Dir: o.dir, FS: o.fs, Work: o.work, Slots: o, Marker: marker{o}, Notes: notes{},
		Now: func() time.Time {
			o.mu.Lock()
			defer o.mu.Unlock()
			return o.now
		},
		Journal: func(e access.Event) error {
			return o.step("journal", func() { o.events = append(o.events, e) })
		},
		OnOpen: func(id age.Identity) error {
			if id != o.identity {
				return errors.New("another key")
			}
			return o.step("open", func() { o.unlocked = true })
		},
		OnLast: func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.unlocked = false
		},
		Recovery: func(key string) error {
			if key != recoveryKey {
				return errors.New("line 1 is wrong")
			}
			return nil
		},
		Practice: func() string { return o.practice },
	}
}

// step does one thing of the surroundings, which may break before or after it.
func (o *office) step(what string, do func()) error {
	if err := o.fs.Point("before " + what); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.broken[what]; err != nil {
		return err
	}
	do()
	return o.fs.Point("after " + what)
}

func (o *office) Add(name, password string) error {
	return o.step("slots", func() { o.slots[name] = password })
}

func (o *office) Open(name, password string) (age.Identity, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.broken["slot"]; err != nil {
		return nil, err
	}
	if p, ok := o.slots[name]; !ok || p != password {
		return nil, keys.ErrWrongPassword
	}
	return o.identity, nil
}

type marker struct{ o *office }

func (m marker) Marked() ([]byte, error) { return m.o.mark, nil }
func (m marker) Mark(b []byte) error {
	return m.o.step("mark", func() { m.o.mark = append([]byte{}, b...) })
}

// notes turn text around, so that it is not on the disk as it was typed.
type notes struct{}

func (notes) Seal(b []byte) ([]byte, error) { return turned(b), nil }
func (notes) Open(b []byte) ([]byte, error) { return turned(b), nil }

func turned(b []byte) []byte {
	c := make([]byte, len(b))
	for i := range b {
		c[len(b)-1-i] = b[i]
	}
	return c
}

func (o *office) pass(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = o.now.Add(d)
}

func (o *office) open() *office {
	o.t.Helper()
	a, err := access.Open(o.options())
	if err != nil {
		o.t.Fatalf("Open = %v", err)
	}
	o.a = a
	o.t.Cleanup(func() { a.Close() })
	return o
}

func (o *office) close() {
	o.t.Helper()
	if err := o.a.Close(); err != nil {
		o.t.Fatalf("Close = %v", err)
	}
}

// owned opens an office that has an owner, "olivia".
func owned(t testing.TB) *office {
	t.Helper()
	o := newOffice(t).open()
	code, _, err := o.a.NewSetupCode()
	if err != nil {
		t.Fatalf("NewSetupCode = %v", err)
	}
	if _, err := o.a.SetUp(t.Context(), "here", access.FirstOwner{Code: code, Name: "olivia",
		Display: "Dr. Olivia Owner", Password: ownerPassword}); err != nil {
		t.Fatalf("SetUp = %v", err)
	}
	return o
}

// in signs in and fails the test if that fails.
func (o *office) in(name, password string) string {
	o.t.Helper()
	token, _, err := o.a.SignIn(o.t.Context(), name, password, "10.0.0.7")
	if err != nil {
		o.t.Fatalf("SignIn(%s) = %v", name, err)
	}
	return token
}

// person makes an account that has chosen its own password.
func (o *office) person(name string, role access.Role, grants access.Grants, password string) access.Account {
	o.t.Helper()
	const first = "given for the first day"
	owner := o.in("olivia", ownerPassword)
	acc, err := o.a.Create(o.t.Context(), owner, access.NewAccount{Name: name, Role: role, Grants: grants, Password: first})
	if err != nil {
		o.t.Fatalf("Create(%s) = %v", name, err)
	}
	if _, _, err := o.a.ChangePassword(o.t.Context(), o.in(name, first), first, password); err != nil {
		o.t.Fatalf("ChangePassword(%s) = %v", name, err)
	}
	if err := o.a.EndAll(owner, acc.ID); err != nil {
		o.t.Fatal(err)
	}
	o.a.SignOut(owner)
	return acc
}

// staffed is an office with one person of each kind.
func staffed(t testing.TB) *office {
	o := owned(t)
	o.person("doris", access.Doctor, 0, doctorPassword)
	o.person("mark", access.Manager, 0, managerPassword)
	o.person("ivan", access.IT, 0, itPassword)
	return o
}

func (o *office) account(name string) access.Account {
	o.t.Helper()
	list, err := o.a.Accounts()
	if err != nil {
		o.t.Fatal(err)
	}
	for _, a := range list {
		if a.Name == name {
			return a
		}
	}
	o.t.Fatalf("no account %s", name)
	return access.Account{}
}

func (o *office) file() string { return filepath.Join(o.dir, "access.db") }

// want fails the test if an error is not the one that is wanted.
func want(t testing.TB, what string, got, wanted error) {
	t.Helper()
	if !errors.Is(got, wanted) {
		t.Errorf("%s = %v, want %v", what, got, wanted)
	}
}
