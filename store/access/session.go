package access

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Limits of a session.
const (
	AbsoluteTime = 12 * time.Hour   // then it is over
	StepUpTime   = 5 * time.Minute  // so long a password counts as given just now
	DefaultIdle  = 10 * time.Minute // then it locks
	MinIdle      = 2 * time.Minute
	MaxIdle      = 30 * time.Minute
)

// A Session is what a page needs to know of who asks. It is a copy.
type Session struct {
	ID        string // names the session in lists; useless for signing in
	Account   Account
	Address   string
	Created   time.Time
	Seen      time.Time // when it was last used
	LocksAt   time.Time // unless it is used before
	EndsAt    time.Time
	StepUp    time.Time // until when NeedsStepUp is satisfied; zero: it is not
	Locked    bool
	Emergency string    // ID of the emergency access that is in force, or ""
	Until     time.Time // when that ends
}

// Can reports whether the session may do c now; a locked one may do nothing.
func (s Session) Can(c Capability) bool {
	if s.Locked {
		return false
	}
	if c == SeeSensitive && s.Emergency != "" && s.Account.Can(SeeCharts) {
		return true
	}
	return s.Account.Can(c)
}

// A session is one that is not over.
type session struct {
	token     [32]byte // SHA-256 of it
	account   string   // id
	version   uint64   // of the account
	address   string
	created   time.Time
	seen      time.Time
	password  time.Time // when it was given last; zero after a restart
	locked    bool
	holds     bool // it brought the office key and is not locked
	emergency string
	until     time.Time
}

// A sessionRow is what is on disk of one, under the hash of its token.
type sessionRow struct {
	Account string    `json:"account"`
	Version uint64    `json:"version"`
	Created time.Time `json:"created"`
	Address string    `json:"address"`
}

func newToken() (token string, hash [32]byte) {
	token = base64.RawURLEncoding.EncodeToString(random(32))
	return token, sha256.Sum256([]byte(token))
}

// since returns how long ago t was, by the clock that says more: the steady one
// stands still while a computer sleeps, the other one can be set. A clock that
// was set back makes it negative, which passed takes for too long.
func since(now, t time.Time) time.Duration {
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

func passed(now, t time.Time, d time.Duration) bool {
	ago := since(now, t)
	return ago >= d || ago < 0
}

// loadSessions takes over the sessions of before, locked.
func (a *Access) loadSessions() error {
	var old []string
	err := a.file.view(func(tx *bolt.Tx) error {
		return each(tx, bSessions, func(key string, row sessionRow) error {
			r, err := findID(tx, row.Account)
			if err != nil && !errors.Is(err, ErrNoAccount) {
				return err
			}
			over := passed(a.o.Now(), row.Created, AbsoluteTime)
			if err != nil || r.Disabled || r.Version != row.Version || over || len(key) != 32 {
				old = append(old, key)
				return nil
			}
			h := [32]byte([]byte(key))
			a.sessions[h] = &session{token: h, account: row.Account, version: row.Version,
				address: row.Address, created: row.Created, seen: row.Created, locked: true}
			return nil
		})
	})
	if err != nil || len(old) == 0 {
		return err
	}
	return a.file.update(func(tx *bolt.Tx) error {
		for _, key := range old {
			if err := remove(tx, bSessions, key); err != nil {
				return err
			}
		}
		return nil
	})
}

// find returns the session of a token, as it is now: locked if it was idle. The
// caller holds mu.
func (a *Access) find(token string) (*session, record, error) {
	s := a.sessions[sha256.Sum256([]byte(token))]
	if s == nil {
		return nil, record{}, ErrNoSession
	}
	r, err := a.refresh(s)
	return s, r, err
}

// refresh brings one session up to date, or ends it. The caller holds mu.
func (a *Access) refresh(s *session) (record, error) {
	r, err := a.record(s.account)
	if err != nil && !errors.Is(err, ErrNoAccount) {
		return r, err
	}
	now := a.o.Now()
	if err != nil || r.Disabled || r.Version != s.version || passed(now, s.created, AbsoluteTime) {
		a.drop(s)
		a.late = append(a.late, Event{Code: CodeSignOut, Account: r.Name, Address: s.address, Note: "ended"})
		return r, ErrNoSession
	}
	if s.emergency != "" && !now.Before(s.until) {
		s.emergency = ""
	}
	idle, err := a.idle(r.Role)
	if err != nil {
		return r, err
	}
	if !s.locked && passed(now, s.seen, idle) {
		a.lock(s)
		a.late = append(a.late, Event{Code: CodeLock, Account: r.Name, Address: s.address, Note: "idle"})
	}
	return r, nil
}

// lock locks one session. The caller holds mu.
func (a *Access) lock(s *session) {
	s.locked, s.holds, s.password = true, false, time.Time{}
	a.settle()
}

// drop forgets a session; its row goes too, or at the next Open. The caller
// holds mu.
func (a *Access) drop(s *session) {
	delete(a.sessions, s.token)
	err := a.file.update(func(tx *bolt.Tx) error { return remove(tx, bSessions, string(s.token[:])) })
	if err != nil {
		a.o.Log.Warn("row of an ended session stays", "err", err)
	}
	a.settle()
}

// settle calls OnLast if nobody holds the office key any more. The caller holds
// mu.
func (a *Access) settle() {
	if a.held && a.holders() == 0 {
		a.held = false
		a.o.OnLast()
	}
}

func (a *Access) holders() (n int) {
	for _, s := range a.sessions {
		if s.holds {
			n++
		}
	}
	return n
}

// Held returns how many sessions need the office key now: signed in, not locked,
// of accounts that may see charts.
func (a *Access) Held() int {
	a.Sweep()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.holders()
}

// Sweep locks and ends the sessions that are due.
func (a *Access) Sweep() {
	defer a.tell()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.sessions {
		if _, err := a.refresh(s); err != nil && !errors.Is(err, ErrNoSession) {
			a.o.Log.Error("session locked, its account cannot be read", "err", err)
			a.lock(s)
		}
	}
}

// tell writes the events of what happened by itself. mu is not held.
func (a *Access) tell() {
	a.mu.Lock()
	late := a.late
	a.late = nil
	a.mu.Unlock()
	for _, e := range late {
		a.note(e)
	}
}

// Look returns a session without counting that as use: for what a page asks by
// itself. The error is ErrNoSession, or ErrSessionLocked together with the
// session.
func (a *Access) Look(token string) (Session, error) { return a.see(token, false) }

// Use is Look for what a person did: the session stays unlocked for the idle time
// of its role from now.
func (a *Access) Use(token string) (Session, error) { return a.see(token, true) }

func (a *Access) see(token string, use bool) (Session, error) {
	defer a.tell()
	a.mu.Lock()
	defer a.mu.Unlock()
	s, r, err := a.find(token)
	if err != nil {
		return Session{}, err
	}
	if s.locked {
		return a.show(s, r), ErrSessionLocked
	}
	if use {
		s.seen = a.o.Now()
	}
	return a.show(s, r), nil
}

// Allow is Use for what needs a capability. Besides what Use returns, the error
// is ErrMustChange, ErrDenied, or ErrStepUp if the password must be given again
// first (NeedsStepUp, then StepUp).
func (a *Access) Allow(token string, c Capability) (Session, error) {
	s, err := a.Use(token)
	switch {
	case err != nil:
		return s, err
	case s.Account.MustChange && c != ChangePassword:
		return s, ErrMustChange
	case !s.Can(c):
		return s, ErrDenied
	case NeedsStepUp(c) && !a.o.Now().Before(s.StepUp):
		return s, ErrStepUp
	}
	return s, nil
}

// show copies a session. The caller holds mu.
func (a *Access) show(s *session, r record) Session {
	v := Session{ID: hex.EncodeToString(s.token[:8]), Account: r.Account, Address: s.address,
		Created: s.created, Seen: s.seen, EndsAt: s.created.Add(AbsoluteTime), Locked: s.locked,
		Emergency: s.emergency, Until: s.until}
	if idle, err := a.idle(r.Role); err == nil {
		v.LocksAt = s.seen.Add(idle)
	}
	if s.emergency == "" {
		v.Until = time.Time{}
	}
	if !s.locked && !s.password.IsZero() && !passed(a.o.Now(), s.password, StepUpTime) {
		v.StepUp = s.password.Add(StepUpTime)
	}
	return v
}

// Sessions returns the sessions that are not over, oldest first: of everybody for
// who may manage accounts, else the caller's own.
func (a *Access) Sessions(token string) ([]Session, error) {
	me, err := a.Use(token)
	if err != nil {
		return nil, err
	}
	defer a.tell()
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []Session
	for _, s := range a.sessions {
		r, err := a.refresh(s)
		if err == nil && (r.ID == me.Account.ID || me.Can(ManageAccounts)) {
			list = append(list, a.show(s, r))
		}
	}
	slices.SortFunc(list, func(x, y Session) int {
		if c := x.Created.Compare(y.Created); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
	return list, nil
}

// Lock locks a session; Unlock opens it again. It happens also if the journal
// cannot be written.
func (a *Access) Lock(token string) error {
	defer a.tell()
	a.mu.Lock()
	defer a.mu.Unlock()
	s, r, err := a.find(token)
	if err != nil || s.locked {
		return err
	}
	a.lock(s)
	a.late = append(a.late, Event{Code: CodeLock, Account: r.Name, Address: s.address})
	return nil
}

// SignOut ends a session. It happens also if the journal cannot be written, and
// to a locked session; a session that is over is no error.
func (a *Access) SignOut(token string) {
	defer a.tell()
	a.mu.Lock()
	defer a.mu.Unlock()
	if s, r, err := a.find(token); err == nil {
		a.drop(s)
		a.late = append(a.late, Event{Code: CodeSignOut, Account: r.Name, Address: s.address})
	}
}

// EndAll ends every session of an account, but for the one that asks: one's own,
// or that of an account one may manage.
func (a *Access) EndAll(token, account string) error {
	me, err := a.Use(token)
	if err != nil {
		return err
	}
	r, err := a.record(account)
	if err != nil {
		return err
	}
	if me.Account.ID != account && !(me.Can(ManageITAccounts) &&
		MayManage(me.Account.Role, me.Account.Grants, &r.Account, r.Account)) {
		return ErrDenied
	}
	defer a.tell()
	a.mu.Lock()
	defer a.mu.Unlock()
	own := sha256.Sum256([]byte(token))
	for _, s := range a.sessions {
		if s.account == account && s.token != own {
			a.drop(s)
			a.late = append(a.late, Event{Code: CodeSignOut, Account: me.Account.Name, Target: r.Name,
				Address: s.address, Note: "all sessions ended"})
		}
	}
	return nil
}
