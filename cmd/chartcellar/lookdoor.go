package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"

	"filippo.io/age"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	accounts "chartcellar/store/access"
)

var _ viewer.Access = (*lookDoor)(nil)

// A lookDoor lets in whoever reads the code on the console: there are no accounts in a
// folder that is only looked at. A code works once; the next one is printed then. The
// key of the copy is in this process as long as it runs, and in the mirror while
// somebody is signed in.
type lookDoor struct {
	e    *env
	m    *store.Mirror
	id   age.Identity
	code typedCode
	// forget is called when nobody is left: what was read is dropped.
	forget func()

	// mu covers what follows.
	mu       sync.Mutex
	sessions map[[32]byte]*lookSession
}

// A lookSession is one browser that was let in.
type lookSession struct {
	address             string
	created, seen, code time.Time // code: when one was given last
	locked              bool
}

// reader is the one account: it may see everything and, as the pages are read-only,
// change nothing.
func (d *lookDoor) reader() accounts.Account {
	return accounts.Account{ID: "reader", Name: "reader", Display: "At this computer", Role: accounts.Doctor}
}

// newLookDoor takes over the key from an open mirror, which is locked until somebody
// signs in.
func newLookDoor(e *env, m *store.Mirror, id age.Identity, forget func()) *lookDoor {
	m.Lock()
	return &lookDoor{e: e, m: m, id: id, forget: forget, sessions: map[[32]byte]*lookSession{}}
}

// draw prints a new code; one of before is void.
func (d *lookDoor) draw() {
	d.e.printf("Code to sign in: %s   (works once; the next one is printed then)\n", d.code.draw(time.Time{}))
}

// right uses a code up.
func (d *lookDoor) right(code string) error {
	ok, again := d.code.right(code, d.e.now(), true)
	if again {
		d.draw()
	}
	if !ok {
		return &viewer.Refusal{Words: "This is not the code that stands last in the window where the program was started. Nothing is lost; look there and type it again."}
	}
	return nil
}

// run locks sessions that nobody uses until ctx ends.
func (d *lookDoor) run(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			d.mu.Lock()
			d.sweep()
			d.mu.Unlock()
		}
	}
}

// sweep locks and ends sessions that are due, and locks the mirror when nobody is
// left. The caller holds mu.
func (d *lookDoor) sweep() {
	now, open := d.e.now(), false
	for token, s := range d.sessions {
		if age := now.Sub(s.created); age < 0 || age >= accounts.AbsoluteTime {
			delete(d.sessions, token)
			continue
		}
		if idle := now.Sub(s.seen); idle < 0 || idle >= accounts.DefaultIdle {
			s.locked = true
		}
		open = open || !s.locked
	}
	if !open && !d.m.Locked() {
		d.m.Lock()
		d.forget()
	}
}

// find returns the session of a token as it is now. The caller holds mu.
func (d *lookDoor) find(token string) (*lookSession, error) {
	d.sweep()
	s := d.sessions[sha256.Sum256([]byte(token))]
	if s == nil {
		return nil, accounts.ErrNoSession
	}
	return s, nil
}

// shown is what a page gets of a session.
func (d *lookDoor) shown(s *lookSession) accounts.Session {
	return accounts.Session{ID: "reader", Account: d.reader(), Address: s.address, Created: s.created, Seen: s.seen,
		LocksAt: s.seen.Add(accounts.DefaultIdle), EndsAt: s.created.Add(accounts.AbsoluteTime),
		StepUp: s.code.Add(accounts.StepUpTime), Locked: s.locked}
}

// HasOwner is part of viewer.Access: there is no first run here.
func (d *lookDoor) HasOwner() (bool, error) { return true, nil }

// SignIn is part of viewer.Access; the password is the code, the name means nothing.
func (d *lookDoor) SignIn(_ context.Context, _, code, address string) (string, accounts.Session, error) {
	if err := d.right(code); err != nil {
		return "", accounts.Session{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now, token := d.e.now(), rand.Text()
	s := &lookSession{address: address, created: now, seen: now, code: now}
	if err := d.m.Unlock(d.id); err != nil {
		return "", accounts.Session{}, err
	}
	d.sessions[sha256.Sum256([]byte(token))] = s
	return token, d.shown(s), nil
}

// again takes a code for a session that is there, which then has another token.
func (d *lookDoor) again(token, code string) (string, accounts.Session, error) {
	d.mu.Lock()
	_, err := d.find(token)
	d.mu.Unlock()
	if err != nil {
		return "", accounts.Session{}, err
	}
	if err := d.right(code); err != nil {
		return "", accounts.Session{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.find(token)
	if err != nil {
		return "", accounts.Session{}, err
	}
	if err := d.m.Unlock(d.id); err != nil {
		return "", accounts.Session{}, err
	}
	next := rand.Text()
	delete(d.sessions, sha256.Sum256([]byte(token)))
	s.seen, s.code, s.locked = d.e.now(), d.e.now(), false
	d.sessions[sha256.Sum256([]byte(next))] = s
	return next, d.shown(s), nil
}

// Unlock is part of viewer.Access.
func (d *lookDoor) Unlock(_ context.Context, token, code string) (string, accounts.Session, error) {
	return d.again(token, code)
}

// StepUp is part of viewer.Access.
func (d *lookDoor) StepUp(_ context.Context, token, code string) (string, accounts.Session, error) {
	return d.again(token, code)
}

// Look is part of viewer.Access.
func (d *lookDoor) Look(token string) (accounts.Session, error) { return d.ask(token, false) }

// Use is part of viewer.Access.
func (d *lookDoor) Use(token string) (accounts.Session, error) { return d.ask(token, true) }

func (d *lookDoor) ask(token string, use bool) (accounts.Session, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.find(token)
	if err != nil {
		return accounts.Session{}, err
	}
	if s.locked {
		return d.shown(s), accounts.ErrSessionLocked
	}
	if use {
		s.seen = d.e.now()
	}
	return d.shown(s), nil
}

// Allow is part of viewer.Access.
func (d *lookDoor) Allow(token string, c accounts.Capability) (accounts.Session, error) {
	s, err := d.ask(token, true)
	switch {
	case err != nil:
	case !s.Can(c):
		err = accounts.ErrDenied
	case accounts.NeedsStepUp(c) && !d.e.now().Before(s.StepUp):
		err = accounts.ErrStepUp
	}
	return s, err
}

// Lock is part of viewer.Access.
func (d *lookDoor) Lock(token string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.find(token)
	if err != nil {
		return err
	}
	s.locked = true
	d.sweep()
	return nil
}

// SignOut is part of viewer.Access.
func (d *lookDoor) SignOut(token string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sessions, sha256.Sum256([]byte(token)))
	d.sweep()
}

// What follows is for the page of accounts: there is one, and it stays as it is.

// Accounts is part of viewer.Access.
func (d *lookDoor) Accounts() ([]accounts.Account, error) {
	return []accounts.Account{d.reader()}, nil
}

// Account is part of viewer.Access.
func (d *lookDoor) Account(id string) (accounts.Account, error) {
	if a := d.reader(); a.ID == id {
		return a, nil
	}
	return accounts.Account{}, accounts.ErrNoAccount
}

// Create is part of viewer.Access.
func (d *lookDoor) Create(context.Context, string, accounts.NewAccount) (accounts.Account, error) {
	return accounts.Account{}, viewer.ErrReadOnly
}

// Change is part of viewer.Access.
func (d *lookDoor) Change(context.Context, string, string, accounts.Change) (accounts.Account, error) {
	return accounts.Account{}, viewer.ErrReadOnly
}

// ResetPassword is part of viewer.Access.
func (d *lookDoor) ResetPassword(context.Context, string, string, string) (accounts.Account, error) {
	return accounts.Account{}, viewer.ErrReadOnly
}

// Disable is part of viewer.Access.
func (d *lookDoor) Disable(context.Context, string, string) (accounts.Account, error) {
	return accounts.Account{}, viewer.ErrReadOnly
}

// Enable is part of viewer.Access.
func (d *lookDoor) Enable(context.Context, string, string, string) (accounts.Account, error) {
	return accounts.Account{}, viewer.ErrReadOnly
}

// ChangePassword is part of viewer.Access.
func (d *lookDoor) ChangePassword(context.Context, string, string, string) (string, accounts.Session, error) {
	return "", accounts.Session{}, viewer.ErrReadOnly
}

// Sessions is part of viewer.Access.
func (d *lookDoor) Sessions(token string) ([]accounts.Session, error) {
	s, err := d.Look(token)
	return []accounts.Session{s}, err
}

// EndAll is part of viewer.Access.
func (d *lookDoor) EndAll(string, string) error { return viewer.ErrReadOnly }

// StartEmergency is part of viewer.Access: the reader sees everything anyway.
func (d *lookDoor) StartEmergency(context.Context, string, string, time.Duration) (string, accounts.Session, error) {
	return "", accounts.Session{}, viewer.ErrReadOnly
}

// EndEmergency is part of viewer.Access.
func (d *lookDoor) EndEmergency(string) error { return viewer.ErrReadOnly }

// Emergencies is part of viewer.Access: no copy has the accounts.
func (d *lookDoor) Emergencies(string, bool) ([]accounts.Emergency, error) { return nil, nil }

// Unreviewed is part of viewer.Access.
func (d *lookDoor) Unreviewed() (int, error) { return 0, nil }

// Review is part of viewer.Access.
func (d *lookDoor) Review(string, string, string) error { return viewer.ErrReadOnly }

// Idle is part of viewer.Access.
func (d *lookDoor) Idle(accounts.Role) (time.Duration, error) { return accounts.DefaultIdle, nil }
