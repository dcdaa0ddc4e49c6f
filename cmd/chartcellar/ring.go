package main

import (
	"sync"

	"filippo.io/age"

	"chartcellar/store"
)

// A ring counts who has the mirror open in one process, so that the last one
// locks it, and nobody under another's hands. The zero ring is ready.
type ring struct {
	// unlocking is held while a passphrase is tried: that takes a second and much
	// memory.
	unlocking sync.Mutex

	// mu covers what follows.
	mu    sync.Mutex
	users int
	lock  bool // the mirror was locked when the first of them came
}

// identity calls f, which tries a passphrase, with no other under way.
func (r *ring) identity(f func() (age.Identity, error)) (age.Identity, error) {
	r.unlocking.Lock()
	defer r.unlocking.Unlock()
	return f()
}

// open opens the mirror with a key that is checked also if it is open already;
// release must be called once.
func (r *ring) open(m *store.Mirror, id age.Identity) (release func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users == 0 {
		r.lock = m.Locked()
	}
	if err := m.Unlock(id); err != nil {
		return nil, err
	}
	r.users++
	var once sync.Once
	return func() { once.Do(func() { r.leave(m) }) }, nil
}

func (r *ring) leave(m *store.Mirror) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users--; r.users == 0 && r.lock {
		m.Lock()
	}
}
