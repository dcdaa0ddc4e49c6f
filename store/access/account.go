package access

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// An Account is one person.
type Account struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"` // to sign in with; unique by Fold
	Display    string    `json:"display"`
	Role       Role      `json:"role"`
	Grants     Grants    `json:"grants,omitempty"`
	Created    time.Time `json:"created"`
	CreatedBy  string    `json:"createdBy"` // name; "setup" for the first owner
	Disabled   bool      `json:"disabled,omitempty"`
	MustChange bool      `json:"mustChange,omitempty"` // the password was given by somebody else
	Password   time.Time `json:"password"`             // when it was set
}

// Can reports whether the account may do c. A disabled account may do nothing,
// one that must change its password only that.
func (a Account) Can(c Capability) bool {
	if a.Disabled || a.MustChange && c != ChangePassword {
		return false
	}
	return Can(a.Role, a.Grants, c)
}

// charts reports whether the account's password opens a key slot.
func (a Account) charts() bool { return Can(a.Role, a.Grants, SeeCharts) }

// A record is the row of an account.
type record struct {
	Account
	Hash    string `json:"hash,omitempty"` // argon2id; "" if Slot is set
	Slot    string `json:"slot,omitempty"` // name of the key slot
	Version uint64 `json:"version"`        // sessions of an earlier one are over
}

// A slotRow says what is known of a key slot that was made here.
type slotRow struct {
	Account string `json:"account"`          // id
	Closed  bool   `json:"closed,omitempty"` // nobody knows its newest passphrase
}

func findID(tx *bolt.Tx, id string) (record, error) {
	var r record
	ok, err := getJSON(tx, bAccounts, id, &r)
	if err == nil && !ok {
		err = ErrNoAccount
	}
	return r, err
}

// findName looks a sign-in name up by what it looks like.
func findName(tx *bolt.Tx, name string) (record, error) {
	id, err := get(tx, bNames, Fold(name))
	if err != nil {
		return record{}, err
	}
	if id == nil {
		return record{}, ErrNoAccount
	}
	return findID(tx, string(id))
}

// putAccount writes an account and its name.
func putAccount(tx *bolt.Tx, r record) error {
	key := Fold(r.Name)
	id, err := get(tx, bNames, key)
	if err != nil {
		return err
	}
	if id != nil && string(id) != r.ID {
		return ErrNameTaken
	}
	if err := put(tx, bNames, key, []byte(r.ID)); err != nil {
		return err
	}
	return putJSON(tx, bAccounts, r.ID, r)
}

// hasOwner reports whether there is an owner who can sign in.
func hasOwner(tx *bolt.Tx) (bool, error) {
	n, err := countOwners(tx, "")
	return n > 0, err
}

// countOwners counts the owners who can sign in, but for one.
func countOwners(tx *bolt.Tx, but string) (n int, err error) {
	err = each(tx, bAccounts, func(id string, r record) error {
		if r.Role == Owner && !r.Disabled && id != but {
			n++
		}
		return nil
	})
	return n, err
}

// HasOwner reports whether setup is over: there is an owner who can sign in.
func (a *Access) HasOwner() (ok bool, err error) {
	err = a.file.view(func(tx *bolt.Tx) error {
		ok, err = hasOwner(tx)
		return err
	})
	return ok, err
}

// Accounts returns every account, also disabled ones, in no certain order.
func (a *Access) Accounts() (list []Account, err error) {
	err = a.file.view(func(tx *bolt.Tx) error {
		return each(tx, bAccounts, func(_ string, r record) error {
			list = append(list, r.Account)
			return nil
		})
	})
	return list, err
}

// Account returns one account by its ID, or ErrNoAccount.
func (a *Access) Account(id string) (Account, error) {
	r, err := a.record(id)
	return r.Account, err
}

func (a *Access) record(id string) (r record, err error) {
	err = a.file.view(func(tx *bolt.Tx) error {
		r, err = findID(tx, id)
		return err
	})
	return r, err
}

// slotName makes the name of a new key slot: readable in a folder, and never
// that of another.
func slotName(r record) string {
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return -1
	}, strings.ToLower(r.Name))
	if name == "" {
		name = "person"
	}
	return fmt.Sprintf("%.20s-%s", name, hex.EncodeToString(random(4)))
}

// keepSecret puts a password where it belongs: a key slot for whoever may see
// charts, else a hash in r. When it returns, the password may already open the
// slot, though r is not written yet: a crash here leaves a slot that CloseSlots
// closes, or an account whose new password is already in force.
func (a *Access) keepSecret(r *record, password string) error {
	r.Password = a.o.Now().UTC().Truncate(time.Second)
	if !r.charts() {
		r.Slot, r.Hash = "", a.hash(password)
		return nil
	}
	r.Hash = ""
	if r.Slot == "" {
		r.Slot = slotName(*r)
	}
	err := a.file.update(func(tx *bolt.Tx) error {
		return putJSON(tx, bSlots, r.Slot, slotRow{Account: r.ID})
	})
	if err != nil {
		return err
	}
	if err := a.o.Slots.Add(r.Slot, password); err != nil {
		return fmt.Errorf("make a key slot (the new password may be in force all the same): %w", err)
	}
	return nil
}

// LiveSlots returns the names of key slots that a password of a person opens who
// is no longer to see charts, or whose account was never finished.
func (a *Access) LiveSlots() (names []string, err error) {
	err = a.file.view(func(tx *bolt.Tx) error {
		return each(tx, bSlots, func(name string, s slotRow) error {
			var r record
			there, err := getJSON(tx, bAccounts, s.Account, &r)
			if used := there && r.Slot == name && !r.Disabled; !s.Closed && !used && err == nil {
				names = append(names, name)
			}
			return err
		})
	})
	return names, err
}

// CloseSlots puts LiveSlots out of use by giving each a random passphrase that is
// kept nowhere. The mirror must be unlocked. It may be called again after an
// error; Disable and Change call it by themselves.
//
// What it cannot do: the file of the old slot stays in slots/ (no file there is
// ever removed) and is sealed by the box key, which opens no record. Whoever
// knows the old password AND can read both slots/ and the box key of this box
// (root on it, or a thief of a box without a hardware key) can still get the
// office key from it, now or from a disk image of an earlier day; and whoever
// was signed in could have kept the key. If the person is no longer trusted,
// change the office key: it protects what is written from then on, never what
// that person could read before.
func (a *Access) CloseSlots() error {
	a.change.Lock()
	defer a.change.Unlock()
	return a.closeSlots()
}

func (a *Access) closeSlots() error {
	names, err := a.LiveSlots()
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := a.closeSlot(n); err != nil {
			return fmt.Errorf("%w: %w", ErrSlotStays, err)
		}
	}
	return nil
}

func (a *Access) closeSlot(name string) error {
	if err := a.journal(Event{Code: CodeCloseSlot, Note: "key slot " + name}); err != nil {
		return err
	}
	if err := a.o.Slots.Add(name, hex.EncodeToString(random(32))); err != nil {
		return fmt.Errorf("close a key slot: %w", err)
	}
	return a.file.update(func(tx *bolt.Tx) error {
		var s slotRow
		if _, err := getJSON(tx, bSlots, name, &s); err != nil {
			return err
		}
		s.Closed = true
		return putJSON(tx, bSlots, name, s)
	})
}
