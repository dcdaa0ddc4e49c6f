// Package access keeps who may do what in a practice: accounts, roles, sessions,
// the one-time setup code and emergency access, in the file access.db.
//
// It opens no record and knows no HTTP. Whoever may see charts signs in with the
// passphrase of his key slot (the interface Slots); the others have an argon2id
// hash here. Every change is in the journal before it takes effect. The file can
// be made again by setting up again, but never by itself: where accounts existed
// (the interface Marker) a missing or damaged file is an error.
//
// What it cannot do: a person with the rights of the operating system on the box
// can replace this program, or put an older copy of the file in place. Roles keep
// honest people apart; the records are kept by their encryption.
package access

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"filippo.io/age"
	bolt "go.etcd.io/bbolt"

	"chartcellar/store/disk"
)

// Slots are the key slots of the mirror: one passphrase each, which opens the
// office key. Names are letters, digits and hyphens. The caller fills it with
// store.Mirror. Open is called for one person at a time.
type Slots interface {
	// Add gives a name a passphrase; from then on an earlier one of that name
	// no longer opens it. The mirror must be unlocked.
	Add(name, password string) error
	// Open returns what the newest passphrase of a name opens; the error wraps
	// keys.ErrWrongPassword if password is another one.
	Open(name, password string) (age.Identity, error)
}

// A Marker remembers outside access.db that accounts were set up. A secret of
// the mirror will do. Mark must be durable when it returns.
type Marker interface {
	Marked() ([]byte, error) // nil: never
	Mark([]byte) error
}

// Notes hide free text that may name a patient. Seal needs no key (it encrypts
// to the recipients), Open needs the unlocked mirror.
type Notes interface {
	Seal(plain []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
}

// Options say where the accounts are and what stands around them. Dir, Slots,
// Marker and Journal must be set.
type Options struct {
	Dir    string // the data folder
	FS     disk.FS
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: none
	Slots  Slots
	Marker Marker
	// Journal makes an event durable. If it fails, what the event tells of does
	// not happen; only locking and signing out happen all the same.
	Journal func(Event) error
	// OnOpen is given the office key whenever somebody who may see charts signs
	// in or unlocks; if it fails, he does not. OnLast is called when the last
	// such session is locked or over: the caller locks the mirror. Both are
	// called in order and one at a time, and must not call this package. nil:
	// nothing is called.
	OnOpen func(age.Identity) error
	OnLast func()
	// Recovery returns nil if key, as typed from the sheet, is the recovery key
	// of this mirror. nil: no key is accepted.
	Recovery func(key string) error
	// Notes, if set, keep the reasons of emergency access readable for the
	// review; without them a reason is in the journal only.
	Notes Notes
	// Practice returns the name of the practice, which is no password. nil: none.
	Practice func() string
	// Work is what one check of a password costs. The zero value means
	// DefaultWork; only tests make it less.
	Work Work
}

func (o *Options) fill() error {
	if o.Dir == "" || o.Slots == nil || o.Marker == nil || o.Journal == nil {
		return errors.New("open the accounts: Dir, Slots, Marker and Journal must be set")
	}
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OnOpen == nil {
		o.OnOpen = func(age.Identity) error { return nil }
	}
	if o.OnLast == nil {
		o.OnLast = func() {}
	}
	if o.Practice == nil {
		o.Practice = func() string { return "" }
	}
	if o.Work == (Work{}) {
		o.Work = DefaultWork()
	}
	return nil
}

// Access is the open accounts of one practice. Its methods may be called from
// many goroutines. Tokens that it takes are those that SignIn returned.
type Access struct {
	o      Options
	file   *file
	limits *limiter
	common map[string]bool
	turn   turnstile

	// change is held by whoever changes an account, from the first read to the
	// end of the transaction. It is taken before mu.
	change sync.Mutex

	// mu covers what follows. It is held across OnOpen, OnLast and the
	// transactions that change sessions.
	mu       sync.Mutex
	sessions map[[32]byte]*session
	held     bool    // OnOpen was called, OnLast not yet
	late     []Event // of sessions that locked or ended by themselves
}

// Open opens the accounts and makes the file in a folder that never had one.
//
// The error wraps ErrMissing or ErrDamaged if accounts existed and cannot be
// read; StartOver is the way on. It wraps ErrHeld or ErrNewer if the file is in
// use or of a newer release. Sessions of before are there, locked.
func Open(o Options) (*Access, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	mark, err := o.Marker.Marked()
	if err != nil {
		return nil, fmt.Errorf("ask whether there were accounts: %w", err)
	}
	f, err := openFile(o.FS, o.Dir)
	if errors.Is(err, ErrMissing) && mark == nil {
		if _, err = createFile(o.FS, o.Dir); err == nil {
			f, err = openFile(o.FS, o.Dir)
		}
	}
	if err != nil {
		return nil, err
	}
	return start(o, f, mark)
}

// start takes over an open file.
func start(o Options, f *file, mark []byte) (*Access, error) {
	a := &Access{o: o, file: f, limits: newLimiter(), common: commonPasswords(),
		turn: newTurnstile(), sessions: map[[32]byte]*session{}}
	if err := a.load(mark); err != nil {
		f.close() // nothing was written that matters
		return nil, err
	}
	return a, nil
}

func (a *Access) load(mark []byte) error {
	var id []byte
	owners := false
	err := a.file.view(func(tx *bolt.Tx) error {
		v, err := get(tx, bMeta, kID)
		if err != nil {
			return err
		}
		id = bytes.Clone(v)
		owners, err = hasOwner(tx)
		return err
	})
	if err != nil {
		return err
	}
	if mark != nil && !bytes.Equal(mark, id) {
		return fmt.Errorf("they are of another mirror or another time: %w", ErrDamaged)
	}
	if mark == nil && owners {
		if err := a.o.Marker.Mark(id); err != nil {
			return fmt.Errorf("note that there are accounts: %w", err)
		}
	}
	return a.loadSessions()
}

// Close locks every session, calls OnLast if it is due, and closes the file.
func (a *Access) Close() error {
	a.change.Lock()
	defer a.change.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions = map[[32]byte]*session{}
	a.settle()
	return a.file.close()
}

// Run locks and ends sessions when they are due until ctx ends. Without it that
// happens only when somebody asks for one.
func (a *Access) Run(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			a.Sweep()
		}
	}
}

// An Event is a line for the journal. The caller hands Note to the journal as
// free text, which encrypts it.
type Event struct {
	Code    string // one of the codes below
	Account string // name of the account that does it; "" if nobody is signed in
	Target  string // name of the account that it is done to
	Address string // where from, as the caller gave it
	Note    string // in words; may hold a reason that somebody typed
	// Alert asks for a mail to every owner and a line on Home for 7 days.
	Alert bool
}

// The codes of events.
const (
	CodeSetupCode    = "access.setup.code"
	CodeSetup        = "access.setup.owner"
	CodeRescue       = "access.setup.rescue"
	CodeStartOver    = "access.start.over"
	CodeCreate       = "access.account.create"
	CodeChange       = "access.account.change"
	CodeReset        = "access.account.reset"
	CodePassword     = "access.account.password"
	CodeDisable      = "access.account.disable"
	CodeEnable       = "access.account.enable"
	CodeCloseSlot    = "access.slot.close"
	CodeIdle         = "access.idle.change"
	CodeSignIn       = "access.session.in"
	CodeSignInFailed = "access.session.failed"
	CodeSignOut      = "access.session.out"
	CodeLock         = "access.session.lock"
	CodeUnlock       = "access.session.unlock"
	CodeStepUp       = "access.session.stepup"
	CodeEmergency    = "access.emergency.start"
	CodeEmergencyEnd = "access.emergency.end"
	CodeReview       = "access.emergency.review"
)

func (a *Access) journal(e Event) error {
	if err := a.o.Journal(e); err != nil {
		return fmt.Errorf("write the journal, so nothing was changed: %w", err)
	}
	return nil
}

// note writes an event of something that happens in any case.
func (a *Access) note(e Event) {
	if err := a.o.Journal(e); err != nil {
		a.o.Log.Error("journal line lost", "code", e.Code, "err", err)
	}
}

// random draws n bytes; the system's source does not fail (crypto/rand).
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
