package main

import (
	"crypto/subtle"
	"sync"
	"time"

	accounts "chartcellar/store/access"
)

// A typedCode is a code that stands on the console, for a person at the computer to type
// in a browser. The zero typedCode fits nothing.
type typedCode struct {
	// mu covers what follows.
	mu    sync.Mutex
	hash  []byte
	until time.Time // zero: for as long as the program runs
	wrong int       // how often another one was typed
}

// wrongCodes is after how many wrong codes another one is to be drawn, so that nobody
// can try them all.
const wrongCodes = 10

// draw makes a new code, which counts until then; one of before is void.
func (c *typedCode) draw(until time.Time) string {
	code := accounts.NewCode()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hash, c.until, c.wrong = accounts.CodeHash(code), until, 0
	return code
}

// right checks what was typed; with once the right code is used up. again says that
// another code is to be drawn.
func (c *typedCode) right(typed string, now time.Time, once bool) (ok, again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ok = subtle.ConstantTimeCompare(accounts.CodeHash(typed), c.hash) == 1 && (c.until.IsZero() || now.Before(c.until))
	if !ok {
		c.wrong++
	}
	again = ok && once || c.wrong >= wrongCodes
	if again {
		c.hash = nil // also for another who has it at this moment
	}
	return ok, again
}
