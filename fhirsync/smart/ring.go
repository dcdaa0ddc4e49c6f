package smart

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Overlap is the least time for which an old and a new key are published
// together, before the new one is used and after (P15).
const Overlap = 24 * time.Hour

// A Ring is the signing keys of one client. A rotation goes: Rotate makes the next
// key; both are published; Confirm says that they are; Switch, once it is Due, lets
// the next one sign; RollBack takes that back if the server does not know it;
// Settle forgets the old one. The caller seals and keeps the ring after each step.
type Ring struct {
	Current *Key
	Next    *Key // published beside Current, and signs nothing yet
	Old     *Key // signed until Switched, and is published still

	Due      time.Time     // when Next may sign; zero until it is confirmed
	Cache    time.Duration // for how long servers may keep an older set
	Switched time.Time
	URL      string    // where the set is published; "" if it was pasted into a form
	CA       string    // file of the authority that the address needs; "" for none
	Local    bool      // the address is on the office network
	Checked  time.Time // when that address was last looked at
	Wrong    bool      // what lay there then was not the set
}

// NewRing makes a ring with one new key.
func NewRing(alg string) (*Ring, error) {
	k, err := NewKey(alg)
	return &Ring{Current: k}, err
}

// ringFile is a ring as it is kept.
type ringFile struct {
	Current  []byte        `json:"current"`
	Next     []byte        `json:"next,omitempty"`
	Old      []byte        `json:"old,omitempty"`
	Due      time.Time     `json:"due,omitzero"`
	Cache    time.Duration `json:"cache,omitempty"`
	Switched time.Time     `json:"switched,omitzero"`
	URL      string        `json:"url,omitempty"`
	CA       string        `json:"ca,omitempty"`
	Local    bool          `json:"local,omitempty"`
	Checked  time.Time     `json:"checked,omitzero"`
	Wrong    bool          `json:"wrong,omitempty"`
}

// ParseRing reads what Marshal wrote, or a single key in PKCS#8 form.
func ParseRing(b []byte) (*Ring, error) {
	var f ringFile
	if json.Unmarshal(b, &f) != nil {
		k, err := ParseKey(b)
		return &Ring{Current: k}, err
	}
	r := &Ring{Due: f.Due, Cache: f.Cache, Switched: f.Switched, URL: f.URL, CA: f.CA, Local: f.Local, Checked: f.Checked, Wrong: f.Wrong}
	for _, k := range []struct {
		to  **Key
		der []byte
	}{{&r.Current, f.Current}, {&r.Next, f.Next}, {&r.Old, f.Old}} {
		if k.der == nil {
			continue
		}
		var err error
		if *k.to, err = ParseKey(k.der); err != nil {
			return nil, err
		}
	}
	if r.Current == nil {
		return nil, errors.New("read the signing key: it is damaged")
	}
	return r, nil
}

// Marshal returns the private keys; the caller seals it.
func (r *Ring) Marshal() ([]byte, error) {
	f := ringFile{Due: r.Due, Cache: r.Cache, Switched: r.Switched, URL: r.URL, CA: r.CA, Local: r.Local, Checked: r.Checked, Wrong: r.Wrong}
	for _, k := range []struct {
		key *Key
		to  *[]byte
	}{{r.Current, &f.Current}, {r.Next, &f.Next}, {r.Old, &f.Old}} {
		if k.key == nil {
			continue
		}
		var err error
		if *k.to, err = k.key.Marshal(); err != nil {
			return nil, fmt.Errorf("write the signing key: %w", err)
		}
	}
	return json.Marshal(f)
}

// Published returns the keys that must be published, the signing one first.
func (r *Ring) Published() []*Key {
	list := []*Key{r.Current}
	for _, k := range []*Key{r.Next, r.Old} {
		if k != nil {
			list = append(list, k)
		}
	}
	return list
}

// Rotate makes the next key, unless there is one already.
func (r *Ring) Rotate(alg string) error {
	if r.Next != nil {
		return nil
	}
	k, err := NewKey(alg)
	if err == nil {
		r.Next, r.Old, r.Due, r.Switched = k, nil, time.Time{}, time.Time{}
	}
	return err
}

// Confirm says that the next key is published; servers may keep an older set for
// cache. The first confirmation counts.
func (r *Ring) Confirm(now time.Time, cache time.Duration) {
	if r.Next != nil && r.Due.IsZero() {
		r.Cache = cache
		r.Due = now.Add(max(cache, Overlap))
	}
}

// Switch lets the next key sign if it is due, and reports whether it did.
func (r *Ring) Switch(now time.Time) bool {
	if r.Next == nil || r.Due.IsZero() || now.Before(r.Due) {
		return false
	}
	r.Current, r.Old, r.Next = r.Next, r.Current, nil
	r.Switched, r.Due = now, time.Time{}
	return true
}

// FallBack returns the key that signs if the server does not know the current one:
// the old one, as long as both are published. Nil: none.
func (r *Ring) FallBack(now time.Time) *Key {
	if r.Old == nil || now.After(r.Switched.Add(max(r.Cache, Overlap))) {
		return nil
	}
	return r.Old
}

// RollBack takes a switch back: the new key waits again until it is confirmed.
func (r *Ring) RollBack() {
	if r.Old != nil {
		r.Current, r.Next, r.Old = r.Old, r.Current, nil
		r.Due, r.Switched = time.Time{}, time.Time{}
	}
}

// Settle forgets the old key once the overlap is over, and reports whether it did.
func (r *Ring) Settle(now time.Time) bool {
	if r.Old == nil || r.FallBack(now) != nil {
		return false
	}
	r.Old = nil
	return true
}

var (
	// ErrNoSet says that bytes are no set of keys.
	ErrNoSet = errors.New("that is no set of keys (JWKS)")
	// ErrPrivate says that a published set holds a private key.
	ErrPrivate = errors.New("the set holds a private key")
	// ErrStale says that a published set lacks a key.
	ErrStale = errors.New("the set lacks a key of this computer")
	// ErrTwice says that two published keys have one name.
	ErrTwice = errors.New("two keys of the set have the same kid")
)

// CheckSet compares a published set with the keys that must be in it: by kid, by
// kind and by content, each exactly once (P14, P15).
func CheckSet(body []byte, want ...*Key) error {
	var set struct{ Keys []map[string]any }
	if json.Unmarshal(body, &set) != nil || set.Keys == nil {
		return ErrNoSet
	}
	seen := map[string]map[string]any{}
	for _, k := range set.Keys {
		if k["d"] != nil || k["p"] != nil || k["k"] != nil {
			return ErrPrivate
		}
		kid, _ := k["kid"].(string)
		if seen[kid] != nil {
			return ErrTwice
		}
		seen[kid] = k
	}
	for _, w := range want {
		got := seen[w.kid]
		for name, value := range w.members() {
			if got[name] != value {
				return ErrStale
			}
		}
	}
	return nil
}
