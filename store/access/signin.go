package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"filippo.io/age"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/text/unicode/norm"

	"chartcellar/store/keys"
)

// SignIn checks name and password and begins a session; the token is for the
// person's browser and is nowhere else.
//
// Address is where from; it is limited as a whole, so give an IPv6 network, not
// one of its addresses. The error is ErrWrong for every name and password that
// do not fit, after the same time; *LimitError or ErrBusy if nothing was
// checked. Another error (a key slot that cannot be read, OnOpen, the journal)
// tells of a fault, not of the password.
func (a *Access) SignIn(ctx context.Context, name, password, address string) (string, Session, error) {
	r, id, err := a.verify(ctx, name, password, address)
	if err != nil {
		return "", Session{}, err
	}
	a.rehash(r, password)
	if err := a.journal(Event{Code: CodeSignIn, Account: r.Name, Address: address}); err != nil {
		return "", Session{}, err
	}
	defer a.tell()
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.o.Now()
	s := &session{account: r.ID, version: r.Version, address: address, created: now, seen: now, locked: true}
	return a.open(s, r, id)
}

// verify checks a password. It waits as long as a refusal must take, and writes
// the journal line of one.
func (a *Access) verify(ctx context.Context, name, password, address string) (record, age.Identity, error) {
	start := time.Now()
	key := Fold(name)
	if len(name) > 400 {
		key = "" // no account has it; the address is limited
	}
	if err := a.limits.take(key, address, a.o.Now()); err != nil {
		return record{}, nil, err
	}
	r, id, err := a.check(ctx, key, password)
	switch {
	case err == nil:
		a.limits.good(key, address)
		return r, id, nil
	case !errors.Is(err, ErrWrong):
		a.limits.void(key, address)
		return r, nil, err
	}
	// The name is written only if it is one: people type passwords there.
	a.note(Event{Code: CodeSignInFailed, Target: r.Name, Address: address})
	a.pad(ctx, start)
	return r, nil, ErrWrong
}

// check does the work of one password check, one at a time.
func (a *Access) check(ctx context.Context, key, password string) (r record, id age.Identity, err error) {
	leave, err := a.turn.enter(ctx)
	if err != nil {
		return r, nil, err
	}
	defer leave()
	err = a.file.view(func(tx *bolt.Tx) error {
		r, err = findName(tx, key)
		return err
	})
	if err != nil && !errors.Is(err, ErrNoAccount) {
		return r, nil, err
	}
	if long := len(password) > 4*MaxPassword; err != nil || r.Disabled || r.Slot == "" || long {
		hash := r.Hash
		if err != nil || r.Disabled || long {
			hash, password = "", "" // costs the same, fits nothing
		}
		if !a.fits(hash, password) {
			return r, nil, ErrWrong
		}
		return r, nil, nil
	}
	id, err = a.o.Slots.Open(r.Slot, password)
	if errors.Is(err, keys.ErrWrongPassword) {
		return r, nil, ErrWrong
	}
	if err != nil {
		return r, nil, fmt.Errorf("open the key slot: %w", err)
	}
	return r, id, nil
}

// rehash replaces a hash that was made with other work. It may fail: the old one
// goes on to fit.
func (a *Access) rehash(r record, password string) {
	if r.Hash == "" || !a.stale(r.Hash) {
		return
	}
	hash := a.hash(password)
	err := a.file.update(func(tx *bolt.Tx) error {
		now, err := findID(tx, r.ID)
		if err != nil || now.Hash != r.Hash {
			return err
		}
		now.Hash = hash
		return putAccount(tx, now)
	})
	if err != nil {
		a.o.Log.Warn("password hash not renewed", "err", err)
	}
}

// open gives a session a new token and unlocks it, with the office key if it
// brings one. A session that had a token loses it. The caller holds mu.
func (a *Access) open(s *session, r record, id age.Identity) (string, Session, error) {
	if id != nil {
		if err := a.o.OnOpen(id); err != nil {
			a.settle()
			return "", Session{}, fmt.Errorf("unlock the office copy: %w", err)
		}
		a.held = true
	}
	token, err := a.rotate(s)
	if err == nil {
		s.locked, s.holds = false, id != nil
		s.seen, s.password = a.o.Now(), a.o.Now()
	}
	a.settle()
	if err != nil {
		return "", Session{}, err
	}
	return token, a.show(s, r), nil
}

// rotate gives a session a new token; the old one names nothing any more. The
// row is written only if the account is as it was when the password was checked.
// The caller holds mu.
func (a *Access) rotate(s *session) (string, error) {
	token, hash := newToken()
	old := s.token
	err := a.file.update(func(tx *bolt.Tx) error {
		r, err := findID(tx, s.account)
		if err != nil || r.Disabled || r.Version != s.version {
			return errors.Join(ErrNoSession, err)
		}
		if err := remove(tx, bSessions, string(old[:])); err != nil {
			return err
		}
		return putJSON(tx, bSessions, string(hash[:]), sessionRow{Account: s.account,
			Version: s.version, Created: s.created.UTC(), Address: s.address})
	})
	if err != nil {
		return "", fmt.Errorf("begin a session: %w", err)
	}
	delete(a.sessions, old)
	s.token = hash
	a.sessions[hash] = s
	return token, nil
}

// Unlock opens a locked session with its password and returns its new token; the
// old one is void. Errors are those of SignIn and ErrNoSession.
func (a *Access) Unlock(ctx context.Context, token, password string) (string, Session, error) {
	return a.again(ctx, token, password, CodeUnlock)
}

// StepUp takes the password once more, so that for StepUpTime the session may do
// what NeedsStepUp, and returns its new token; the old one is void. Errors are
// those of SignIn, ErrNoSession and ErrSessionLocked.
func (a *Access) StepUp(ctx context.Context, token, password string) (string, Session, error) {
	return a.again(ctx, token, password, CodeStepUp)
}

func (a *Access) again(ctx context.Context, token, password, code string) (string, Session, error) {
	v, err := a.Look(token)
	if err != nil && !(errors.Is(err, ErrSessionLocked) && code == CodeUnlock) {
		return "", v, err
	}
	r, id, err := a.verify(ctx, v.Account.Name, password, v.Address)
	if err != nil {
		return "", v, err
	}
	if err := a.journal(Event{Code: code, Account: r.Name, Address: v.Address}); err != nil {
		return "", v, err
	}
	defer a.tell()
	a.mu.Lock()
	defer a.mu.Unlock()
	s, _, err := a.find(token)
	if err != nil {
		return "", v, err
	}
	if s.locked && code != CodeUnlock {
		return "", v, ErrSessionLocked
	}
	if s.version != r.Version {
		return "", v, ErrNoSession
	}
	return a.open(s, r, id)
}

// ChangePassword replaces the password of whoever asks, ends his other sessions
// and returns the new token of this one. Besides the errors of StepUp it returns
// those of CheckPassword and ErrSamePassword. After another error either
// password may be in force; CloseSlots says what an old one may still open.
func (a *Access) ChangePassword(ctx context.Context, token, old, next string) (string, Session, error) {
	v, err := a.Allow(token, ChangePassword)
	if err != nil {
		return "", v, err
	}
	if norm.NFC.String(old) == norm.NFC.String(next) {
		return "", v, ErrSamePassword
	}
	if err := a.checkPassword(next, v.Account.Name, v.Account.Display); err != nil {
		return "", v, err
	}
	a.change.Lock()
	defer a.change.Unlock()
	r, id, err := a.verify(ctx, v.Account.Name, old, v.Address)
	if err != nil {
		return "", v, err
	}
	event := Event{Code: CodePassword, Account: r.Name, Target: r.Name, Address: v.Address, Alert: true}
	if err := a.journal(event); err != nil {
		return "", v, err
	}
	r.MustChange = false
	r.Version++
	if err := a.secretInTurn(ctx, &r, next); err != nil {
		return "", v, err
	}
	defer a.tell()
	a.mu.Lock()
	defer a.mu.Unlock()
	s, _, err := a.find(token)
	if err != nil {
		return "", v, err
	}
	if err := a.file.update(func(tx *bolt.Tx) error { return putAccount(tx, r) }); err != nil {
		return "", v, err
	}
	s.version = r.Version
	token, now, err := a.open(s, r, id)
	for _, other := range a.sessions {
		if other.account == r.ID && other.version != r.Version {
			a.drop(other)
		}
	}
	return token, now, err
}

// secretInTurn is keepSecret behind the turnstile: it takes as much memory as a
// check.
func (a *Access) secretInTurn(ctx context.Context, r *record, password string) error {
	leave, err := a.turn.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return a.keepSecret(r, password)
}
