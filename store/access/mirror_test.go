package access_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"filippo.io/age"

	"chartcellar/store"
	"chartcellar/store/access"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
)

// realSlots fill access.Slots with a mirror, as cmd does.
type realSlots struct {
	m   *store.Mirror
	box *keys.Box
	u   keys.Unlocker
}

func (s *realSlots) Add(name, password string) error { return s.m.AddSlot(name, password) }

func (s *realSlots) Open(name, password string) (age.Identity, error) {
	files, err := filepath.Glob(filepath.Join(s.m.Dir(), "slots", name+"-[0-9][0-9][0-9][0-9].age"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(errors.New("no slot of that name"), err)
	}
	slices.Sort(files)
	b, err := disk.ReadFile(disk.OS{}, files[len(files)-1], 1<<20)
	if err != nil {
		return nil, err
	}
	return s.u.OpenSlot(s.box, b, password)
}

type secretMark struct{ m *store.Mirror }

func (s secretMark) Marked() ([]byte, error) { return s.m.Secret("access") }
func (s secretMark) Mark(b []byte) error     { return s.m.PutSecret("access", b) }

// TestWithMirror: one password opens the session and the mirror, and the mirror
// is locked when nobody needs it.
func TestWithMirror(t *testing.T) {
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	made, err := store.Init(store.InitOptions{Dir: dir, Box: box, Practice: "Practice"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := store.Open(t.Context(), store.Options{Dir: dir, Box: box, Ballast: -1, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	o := access.Options{Dir: dir, Work: cheap(), Slots: &realSlots{m: m, box: box}, Marker: secretMark{m},
		Journal: func(e access.Event) error {
			return m.Journal(store.Event{Code: e.Code, Account: e.Account, Note: e.Target + " " + e.Note})
		},
		OnOpen: m.Unlock, OnLast: m.Lock}
	a, err := access.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	code, _, err := a.NewSetupCode()
	want(t, "NewSetupCode", err, nil)
	first := access.FirstOwner{Code: code, Name: "olivia", Password: ownerPassword}
	_, err = a.SetUp(t.Context(), "here", first)
	want(t, "SetUp with a locked mirror", err, store.ErrLocked)
	want(t, "Unlock", m.Unlock(made.Office), nil)
	_, err = a.SetUp(t.Context(), "here", first)
	want(t, "SetUp", err, nil)
	m.Lock()
	_, _, err = a.SignIn(t.Context(), "olivia", "not the password", "here")
	want(t, "SignIn with a wrong password", err, access.ErrWrong)
	if !m.Locked() {
		t.Error("a wrong password unlocked the mirror")
	}
	token, _, err := a.SignIn(t.Context(), "olivia", ownerPassword, "here")
	want(t, "SignIn", err, nil)
	if m.Locked() {
		t.Error("the mirror is locked though an owner is signed in")
	}
	want(t, "Lock", a.Lock(token), nil)
	if !m.Locked() {
		t.Error("the mirror is unlocked though nobody is there")
	}
	if mark, err := m.Secret("access"); len(mark) == 0 || err != nil {
		t.Errorf("the mark is %x, %v", mark, err)
	}
	want(t, "Close", a.Close(), nil)
	if err := os.Rename(filepath.Join(dir, "access.db"), filepath.Join(dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	_, err = access.Open(o)
	want(t, "Open without the file", err, access.ErrMissing)
}

// TestDefaultWork: without an option the work is the strong one, also for a hash
// that was made with less, and nobody gets less by asking for none.
func TestDefaultWork(t *testing.T) {
	w := access.DefaultWork()
	if w.Memory < 64<<10 || w.Time < 3 || w.Floor < 1e9 {
		t.Errorf("DefaultWork = %+v", w)
	}
	o := staffed(t)
	o.close()
	const strong, weak = "$argon2id$v=19$m=65536,t=8,p=2$", "$argon2id$v=19$m=8,t=1,p=1$"
	has := func(kind string) bool {
		b, err := os.ReadFile(o.file())
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(b, []byte(kind))
	}
	if !has(weak) || has(strong) {
		t.Fatal("the work that was asked for is not what was done")
	}
	o.work = access.Work{} // as every caller outside tests
	o.open()
	o.in("ivan", itPassword)
	o.close()
	if !has(strong) {
		t.Error("a hash of less work was not made again")
	}
	o.open()
	o.in("ivan", itPassword)
}
