package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"filippo.io/age"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/config"
	"chartcellar/store"
	accounts "chartcellar/store/access"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
)

// A firstRun is what stands behind the pages before there is a mirror: one form makes
// the mirror, its keys, the settings and the owner. Then the office takes over.
type firstRun struct {
	viewer.Backend // nothing else is asked for before there is an owner
	e              *env
	front          *front
	made           chan struct{} // closed when there is a mirror
	ready          chan *office  // gets the office that has opened it
	office         atomic.Pointer[office]

	// making is held while somebody makes the mirror: of two at once one does.
	making sync.Mutex
	code   typedCode
}

// firstOwner serves the pages of the first run until there is a mirror. It returns nil
// if there is one already.
func (e *env) firstOwner(ctx context.Context, o serveOptions) (*firstRun, error) {
	_, err := e.settings()
	if !errors.Is(err, config.ErrMissing) {
		return nil, err
	}
	f := &firstRun{e: e, front: newFront(nil), made: make(chan struct{}), ready: make(chan *office, 1)}
	pages, err := viewer.New(viewer.Options{Backend: f, Access: doorOf{f: f}, Now: e.clock, Log: e.logger(), Version: release})
	if err != nil {
		return nil, err
	}
	f.front.show(pages.Handler())
	listen := o.listen
	if listen == "" {
		listen = config.DefaultListen
	}
	if err := f.front.listen(hereOnly(listen)); err != nil {
		return nil, err
	}
	e.printf("Nothing is set up yet. Open %s in a browser on this computer.\n", f.front.url())
	f.draw()
	select {
	case <-f.made:
		return f, nil
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), f.front.run(ctx))
	}
}

// draw prints a new code; one of before is void.
func (f *firstRun) draw() {
	until := f.e.now().Add(accounts.SetupTime)
	code := f.code.draw(until)
	f.e.printf("Setup code: %s   (once, until %s; another one: start this program again)\n", code, until.Local().Format("15:04"))
}

// right checks a code. It is not used up: the form may be sent again.
func (f *firstRun) right(code string) bool {
	ok, again := f.code.right(code, f.e.now(), false)
	if again {
		f.draw()
	}
	return ok
}

// Status is part of viewer.Backend.
func (f *firstRun) Status(context.Context) (viewer.Status, error) {
	return viewer.Status{Status: health.Judge(health.Input{Now: f.e.now(), Zone: time.Local})}, nil
}

// Setup is part of viewer.Backend.
func (f *firstRun) Setup(context.Context) (viewer.Setup, error) {
	path, err := f.e.settingsPath()
	return viewer.Setup{Folder: defaultFolder(path)}, err
}

// defaultFolder is where the office copy goes if nothing else is said: where services
// keep their data, or beside the settings.
func defaultFolder(settings string) string {
	dir := filepath.Dir(settings)
	if runtime.GOOS != "windows" && filepath.Dir(dir) == "/etc" {
		return "/var/lib/chartcellar/office-copy"
	}
	return filepath.Join(dir, "office-copy")
}

// CheckFolder is part of viewer.Backend.
func (f *firstRun) CheckFolder(_ context.Context, folder string) (viewer.Room, error) {
	return roomOf(folder)
}

// CreateOwner is part of viewer.Backend.
func (f *firstRun) CreateOwner(ctx context.Context, code string, n viewer.NewOwner) error {
	f.making.Lock()
	defer f.making.Unlock()
	switch {
	case f.office.Load() != nil:
		return accounts.ErrHasOwner
	case !f.right(code):
		return accounts.ErrBadCode
	}
	if err := f.make(ctx, n); err != nil {
		return refusal(unwritable(err))
	}
	close(f.made)
	select {
	case o := <-f.ready:
		if o == nil {
			return &viewer.Refusal{Words: "The office copy is made, but its pages cannot be opened. The window where the program was started says why; start it again when that is mended. Nothing is lost."}
		}
		f.office.Store(o)
		return o.finishOwner(ctx, n)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unwritable puts in words that a file could not be written: the one thing that goes
// wrong in a first run and that a person can mend.
func unwritable(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return &viewer.Refusal{Words: path.Path + " cannot be written: " + path.Err.Error() +
			". Nothing is lost. Make room, or let your IT person allow this program to write there; then send the form again."}
	}
	return err
}

// finishOwner makes the owner if a first run was broken off before it had one.
func (o *office) finishOwner(ctx context.Context, n viewer.NewOwner) error {
	code, _, err := o.accounts.NewSetupCode()
	switch {
	case errors.Is(err, accounts.ErrHasOwner):
		o.ownerMade()
		return nil
	case err != nil:
		return err
	}
	return o.CreateOwner(ctx, code, n)
}

// make makes mirror, keys, settings and the first account.
func (f *firstRun) make(ctx context.Context, n viewer.NewOwner) error {
	if _, err := roomOf(n.Folder); err != nil {
		return err
	}
	plan, err := f.e.plan(initOptions{data: n.Folder, practice: n.Practice})
	if err != nil {
		return err
	}
	plan.sealed = true
	done, err := plan.finishOld()
	if err != nil || done {
		return err
	}
	if err := plan.free(); err != nil {
		return err
	}
	if err := plan.fresh(); err != nil {
		return err
	}
	if err := plan.fs.Mkdir(plan.s.Data); err != nil {
		return &viewer.Refusal{Words: fmt.Sprintf("The folder %s cannot be made: %s. Nothing was made yet; choose another one, or let your IT person make it.", n.Folder, reason(err))}
	}
	box, err := makeBox(plan.fs, plan.s.BoxKey)
	if err != nil {
		return err
	}
	maker := &mirrorMaker{plan: plan, box: box}
	if err := maker.owner(ctx, f.e, n); err != nil && !maker.made {
		return err
	}
	return plan.finish()
}

// fresh checks that the folder holds nothing, but what a first run left that was
// broken off before there was a mirror.
func (n *newOffice) fresh() error {
	list, err := n.fs.ReadDir(n.s.Data)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &viewer.Refusal{Words: "The folder " + n.s.Data + " cannot be looked at: " + reason(err) + ". Nothing was made yet."}
	}
	made, err := store.IsMirror(n.fs, n.s.Data)
	switch {
	case err != nil:
		return err
	case made:
		return &viewer.Refusal{Words: "There is an office copy in " + n.s.Data + " already. To go on with it, put its settings and its box key back; to look at it: chartcellar serve --read-only. For a new copy choose another folder. Nothing was changed."}
	}
	left := append(store.Folders(), leftovers...)
	for _, f := range list {
		if !slices.Contains(left, f.Name()) {
			return &viewer.Refusal{Words: "There is something in the folder " + n.s.Data + " already. Choose an empty one, or write a new name behind it. Nothing was made yet."}
		}
	}
	return nil
}

// leftovers are what a first run may leave in the folder beside the folders of a mirror,
// and what the root of a disk has.
var leftovers = []string{"access.db", "access.db" + disk.TempSuffix, "lost+found"}

// A mirrorMaker makes the mirror when the first owner's key slot is asked for, once
// his name and password were found good.
type mirrorMaker struct {
	plan *newOffice
	box  *keys.Box
	made bool
}

// owner makes the first account and, with its key slot, the mirror.
func (k *mirrorMaker) owner(ctx context.Context, e *env, n viewer.NewOwner) (err error) {
	a, err := accounts.Open(accounts.Options{Dir: k.plan.s.Data, FS: k.plan.fs, Now: e.clock, Log: e.logger(), Slots: k, Work: e.work,
		Marker: noMarker{}, Journal: func(accounts.Event) error { return nil }, Practice: func() string { return n.Practice }})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	code, _, err := a.NewSetupCode()
	if err != nil {
		return err
	}
	_, err = a.SetUp(ctx, n.Address, accounts.FirstOwner{Code: code, Name: n.Name, Display: n.Display, Password: n.Password})
	return err
}

// Add implements access.Slots.
func (k *mirrorMaker) Add(name, password string) error {
	_, err := store.Init(store.InitOptions{Dir: k.plan.s.Data, Practice: k.plan.s.Practice, FS: k.plan.fs, Keep: k.plan.keep,
		Box: k.box, Passwords: map[string]string{name: password}})
	k.made = err == nil
	return err
}

// Open implements access.Slots: nobody signs in before the mirror is open.
func (k *mirrorMaker) Open(string, string) (age.Identity, error) { return nil, keys.ErrWrongPassword }

// noMarker is for accounts whose mirror is being made: the office marks it.
type noMarker struct{}

func (noMarker) Marked() ([]byte, error) { return nil, nil }
func (noMarker) Mark([]byte) error       { return nil }

// A doorOf lets nobody in before there is an office, and then those of the office.
type doorOf struct {
	viewer.Access // nothing else is asked for before there is an owner
	f             *firstRun
}

// HasOwner is part of viewer.Access.
func (d doorOf) HasOwner() (bool, error) { return d.f.office.Load() != nil, nil }

// SignIn is part of viewer.Access.
func (d doorOf) SignIn(ctx context.Context, name, password, address string) (string, accounts.Session, error) {
	if o := d.f.office.Load(); o != nil {
		return o.accounts.SignIn(ctx, name, password, address)
	}
	return "", accounts.Session{}, accounts.ErrNoSession
}

// Look is part of viewer.Access.
func (d doorOf) Look(string) (accounts.Session, error) {
	return accounts.Session{}, accounts.ErrNoSession
}

// Use is part of viewer.Access.
func (d doorOf) Use(string) (accounts.Session, error) {
	return accounts.Session{}, accounts.ErrNoSession
}

// Allow is part of viewer.Access.
func (d doorOf) Allow(string, accounts.Capability) (accounts.Session, error) {
	return accounts.Session{}, accounts.ErrNoSession
}
