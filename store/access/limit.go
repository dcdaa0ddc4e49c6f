package access

import (
	"sync"
	"time"
)

// A rule says how attempts under one kind of key are slowed down.
type rule struct {
	free  int           // attempts before the first wait
	most  time.Duration // longest wait
	decay time.Duration // one attempt is forgiven in this time
}

// rules are for the account and for the address. The account's longest wait is
// the shorter one, because anybody on the network can cause it.
func rules() (account, address rule) {
	return rule{5, 5 * time.Minute, 15 * time.Minute}, rule{10, 15 * time.Minute, 5 * time.Minute}
}

// maxTallies bounds the memory of a limiter.
const maxTallies = 4096

type tally struct {
	n     int
	at    time.Time // of the newest attempt, or the newest forgiving
	until time.Time // no attempt before
}

// A limiter counts attempts. An attempt is counted before it is made and given
// back if it was good, so that many at once are no way around it. It forgets
// everything when the process ends.
type limiter struct {
	account, address rule

	// mu covers what follows.
	mu        sync.Mutex
	accounts  map[string]*tally
	addresses map[string]*tally
}

func newLimiter() *limiter {
	l := &limiter{accounts: map[string]*tally{}, addresses: map[string]*tally{}}
	l.account, l.address = rules()
	return l
}

// take counts an attempt, or says how long to wait. An account of "" is none.
func (l *limiter) take(account, address string, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := l.address.wait(l.addresses, address, now)
	if account != "" {
		wait = max(wait, l.account.wait(l.accounts, account, now))
	}
	if wait > 0 {
		return &LimitError{Wait: wait}
	}
	l.address.count(l.addresses, address, now)
	if account != "" {
		l.account.count(l.accounts, account, now)
	}
	return nil
}

// good gives an attempt back; the account's earlier ones are forgiven too. Those
// of the address are not: its user may have an account of his own.
func (l *limiter) good(account, address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.address.giveBack(l.addresses, address)
	delete(l.accounts, account)
}

// void gives an attempt back that was not the user's fault.
func (l *limiter) void(account, address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.address.giveBack(l.addresses, address)
	l.account.giveBack(l.accounts, account)
}

func (r rule) giveBack(m map[string]*tally, key string) {
	t := m[key]
	if t == nil {
		return
	}
	t.n--
	if t.n < r.free {
		t.until = time.Time{}
	}
	if t.n <= 0 {
		delete(m, key)
	}
}

func (r rule) wait(m map[string]*tally, key string, now time.Time) time.Duration {
	t := m[key]
	if t == nil {
		return 0
	}
	if now.Before(t.at) { // the clock was set back
		t.at = now
	}
	if t.until.Sub(now) > r.most {
		t.until = now.Add(r.most)
	}
	if d := t.until.Sub(now); d > 0 {
		return d
	}
	if n := int(now.Sub(t.at) / r.decay); n > 0 {
		t.n -= n
		t.at = t.at.Add(time.Duration(n) * r.decay)
	}
	if t.n <= 0 {
		delete(m, key)
	}
	return 0
}

func (r rule) count(m map[string]*tally, key string, now time.Time) {
	t := m[key]
	if t == nil {
		if len(m) >= maxTallies {
			forgetLeast(m)
		}
		t = &tally{}
		m[key] = t
	}
	t.n++
	t.at = now
	if over := t.n - r.free; over >= 0 {
		t.until = now.Add(min(r.most, time.Second<<min(over, 20)))
	}
}

// forgetLeast makes room: the key with the fewest attempts goes.
func forgetLeast(m map[string]*tally) {
	least := ""
	for k, t := range m {
		if least == "" || t.n < m[least].n {
			least = k
		}
	}
	delete(m, least)
}
