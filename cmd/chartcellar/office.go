package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"filippo.io/age"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/config"
	"chartcellar/store"
	accounts "chartcellar/store/access"
	"chartcellar/store/keys"
)

// An office is what stands behind the pages: it answers from the mirror and from the
// daemon, and hands the daemon what people ask for. It is a viewer.Backend.
type office struct {
	*charts.Room // the pages of patients

	e *env
	d *daemon // without a scheduler: a folder that is only looked at
	m *store.Mirror
	// accounts are who may sign in; nil where a lookDoor is.
	accounts *accounts.Access
	// recovery is the sealed sheet of the first run, until it is proven.
	recovery string
	front    *front
	looked   time.Time // when a folder that is only looked at was opened

	lost losses

	// judging is held while the status is judged.
	judging sync.Mutex
	judged  judged

	// mu covers what follows.
	mu     sync.Mutex
	key    age.Identity // the office key, while somebody who may see charts is signed in
	unlock func()       // gives the mirror back
}

// now is the time that pages go by.
func (o *office) now() time.Time { return o.e.now() }

// openOffice opens the accounts of the mirror. An account that cannot be read closes
// the pages, never the backups.
func openOffice(e *env, d *daemon) (*office, error) {
	path, err := e.settingsPath()
	if err != nil {
		return nil, err
	}
	o := &office{e: e, d: d, m: d.m, recovery: sealedSheet(path)}
	if err := o.openRoom(); err != nil {
		return nil, err
	}
	o.accounts, err = accounts.Open(o.accountOptions())
	return o, err
}

func (o *office) accountOptions() accounts.Options {
	return accounts.Options{Dir: o.m.Dir(), FS: o.e.disk, Now: o.e.clock, Log: o.e.logger(), Work: o.e.work,
		Slots: &slots{o: o}, Marker: marker{o.m}, Journal: o.journal, Notes: notesOf{o.m}, OnOpen: o.opened, OnLast: o.closed,
		Recovery: o.isRecovery, Practice: func() string { return o.d.settings().Practice }}
}

// notesOf keeps the reasons of emergency access: who may see charts can read them.
type notesOf struct{ m *store.Mirror }

// Seal implements access.Notes.
func (n notesOf) Seal(plain []byte) ([]byte, error) { return n.m.SealText(plain) }

// Open implements access.Notes.
func (n notesOf) Open(sealed []byte) ([]byte, error) { return n.m.OpenText(sealed) }

// opened unlocks the mirror for as long as somebody who may see charts is signed in.
func (o *office) opened(id age.Identity) error {
	release, err := o.e.ring.open(o.m, id)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.unlock != nil {
		release() // the first one's counts
		return nil
	}
	o.key, o.unlock = id, release
	o.e.limitMemory(lookedMemory, lookedGC)
	debug.FreeOSMemory() // a password takes 128 MB for a moment, and the patients are to be read now
	if o.Room != nil {
		o.Wake()
	}
	return nil
}

// closed gives the mirror back when the last of them has gone.
func (o *office) closed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.unlock != nil {
		o.unlock()
	}
	o.key, o.unlock = nil, nil
	if o.Room != nil {
		o.Forget()
	}
	o.e.limitMemory(memoryLimit, usualGC)
	debug.FreeOSMemory() // of all that was forgotten
}

// openRoom makes what answers the pages of patients.
func (o *office) openRoom() (err error) {
	words := logWords()
	o.Room, err = charts.New(charts.Options{Mirror: o.m, Now: o.now, Zone: o.zone,
		Sources: func() (names []string) {
			for _, src := range o.d.settings().Sources {
				names = append(names, src.Name)
			}
			return names
		},
		Age: func(source string) (string, error) {
			return (&reading{Reading: charts.Reading{M: o.m, Source: source}}).age()
		},
		Words: func(code string) (string, bool) {
			w := wordOf(words, code)
			return w.words, w.system
		},
		Dated: func(source string) (string, error) {
			return (&reading{Reading: charts.Reading{M: o.m, Source: source}}).dated()
		},
		Practice: func() string { return o.d.settings().Practice },
		Base: func(source string) string {
			s := o.d.settings()
			src, err := s.Source(source)
			if err != nil {
				return ""
			}
			return src.Base
		}})
	return err
}

// journal writes an event of the accounts.
func (o *office) journal(ev accounts.Event) error {
	var note []string
	for _, n := range []struct{ name, text string }{{"account ", ev.Target}, {"from ", ev.Address}, {"", ev.Note}} {
		if n.text != "" {
			note = append(note, n.name+n.text)
		}
	}
	err := o.m.Journal(store.Event{Code: ev.Code, Account: ev.Account, Note: strings.Join(note, "; ")})
	if err == nil {
		o.d.told(ev)
	}
	return err
}

// isRecovery says whether a key, as typed from the sheet, is that of this mirror.
func (o *office) isRecovery(typed string) error {
	id, err := keys.ParseSheet(sheetKey(typed))
	if err != nil {
		return err
	}
	if recoveryOf(o.m) == id.Recipient().String() {
		return nil
	}
	return errors.New("it is the key of another mirror, or of an older sheet")
}

// A marker remembers in the mirror that there are accounts.
type marker struct{ m *store.Mirror }

const accountsSecret = "accounts"

// Marked implements access.Marker.
func (k marker) Marked() ([]byte, error) { return k.m.Secret(accountsSecret) }

// Mark implements access.Marker.
func (k marker) Mark(id []byte) error { return k.m.PutSecret(accountsSecret, id) }

// slots are the key slots of the mirror, as the accounts use them.
type slots struct {
	o *office
	u keys.Unlocker
}

// Open implements access.Slots.
func (s *slots) Open(name, password string) (age.Identity, error) {
	return s.o.m.OpenSlotOf(&s.u, name, password)
}

// Add implements access.Slots. The first owner of a mirror that init made unlocks it
// with the passphrase that he chose there.
func (s *slots) Add(name, password string) error {
	if s.o.m.Locked() {
		id, err := s.o.m.OpenSlot(&s.u, password)
		if errors.Is(err, keys.ErrWrongPassword) {
			return &viewer.Refusal{Words: "This office copy is there already, and your password must be one that opens it: that of an account of before, or the passphrase that was chosen with \"chartcellar init\". You can change it afterwards. Nothing was made yet."}
		}
		if err != nil {
			return err
		}
		release, err := s.o.e.ring.open(s.o.m, id)
		if err != nil {
			return err
		}
		defer release()
	}
	return s.o.m.AddSlot(name, password)
}

// firstCode prints the code with which the first owner is made, if there is none.
func (o *office) firstCode() error {
	code, until, err := o.accounts.NewSetupCode()
	if errors.Is(err, accounts.ErrHasOwner) {
		return nil
	}
	if err == nil {
		o.e.printCode(code, until)
	}
	return err
}

// printCode tells the person at the machine how to begin in the browser.
func (e *env) printCode(code string, until time.Time) {
	e.printf("Setup code: %s   (once, until %s; another one: chartcellar accounts code)\n", code, until.Local().Format("15:04"))
}

// change changes the settings in the name of who asks.
func (o *office) change(a viewer.Actor, edits ...config.Edit) error {
	return refusal(o.e.changeSettings(o.m, a.Account, edits...))
}

// refusal puts an error of a command in the words of a page.
func refusal(err error) error {
	var p *plainError
	if !errors.As(err, &p) || p.What == "" {
		return err
	}
	return &viewer.Refusal{Words: strings.TrimSpace(p.What + " " + p.Lost + " " + p.Next)}
}

// source names the EMR of a form that leaves it open: the only one.
func (o *office) source(name string) (config.Source, error) {
	s := o.d.settings()
	src, err := s.Source(name)
	if err != nil {
		return src, &viewer.Refusal{Words: sentence(err.Error()) + " " + nothingLost}
	}
	return src, nil
}

// zone is the practice's.
func (o *office) zone() *time.Location { return zoneOf(o.d.settings()) }

// sealedSheet is where the first run keeps the recovery sheet, sealed for the office
// key, until a person has proven that he has it on paper.
func sealedSheet(settings string) string { return sheetBeside(settings) + ".age" }

// readSheet opens the sealed sheet.
func (o *office) readSheet() (keys.Sheet, error) {
	o.mu.Lock()
	id := o.key
	o.mu.Unlock()
	if id == nil {
		return keys.Sheet{}, viewer.ErrLocked
	}
	f, err := os.Open(o.recovery)
	if errors.Is(err, os.ErrNotExist) {
		return keys.Sheet{}, viewer.ErrNotFound
	}
	if err != nil {
		return keys.Sheet{}, fmt.Errorf("read the sealed sheet: %w", err)
	}
	defer f.Close()
	return openSheet(f, id)
}
