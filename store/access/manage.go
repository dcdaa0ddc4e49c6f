package access

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A NewAccount is what an owner, or IT for its own kind, says of one.
type NewAccount struct {
	Name     string
	Display  string // "": the name
	Role     Role
	Grants   Grants
	Password string // the first one; its holder must change it
}

// A Change says what becomes of an account; nil and "" leave things as they are.
type Change struct {
	Display  *string
	Role     *Role
	Grants   *Grants
	Password string // needed if the change gives or takes charts
}

// Create makes an account. The name must not look like another's.
//
// All methods that change an account take the token of whoever does it and need
// step-up. Their errors are those of Allow, ErrDenied if it is not for that
// person to do, those of CheckPassword, and ErrBadName, ErrNameTaken,
// ErrBadRole, ErrLastOwner, ErrOwnAccount, ErrNeedsPassword, ErrNoAccount. They
// end the sessions of the account that is changed. Making or resetting an account
// that may see charts needs the unlocked mirror, which an owner's session gives.
func (a *Access) Create(ctx context.Context, token string, n NewAccount) (Account, error) {
	r := record{Account: Account{ID: hex.EncodeToString(random(8)), Role: n.Role, Grants: n.Grants,
		Display: cleanDisplay(n.Display), MustChange: true}}
	var err error
	if r.Name, err = cleanName(n.Name); err != nil {
		return Account{}, err
	}
	if r.Display == "" {
		r.Display = r.Name
	}
	a.change.Lock()
	defer a.change.Unlock()
	me, err := a.Allow(token, ManageITAccounts)
	if err != nil {
		return Account{}, err
	}
	err = a.file.view(func(tx *bolt.Tx) error { return freeName(tx, r.Name) })
	if err != nil {
		return Account{}, err
	}
	return a.alter(ctx, me, alteration{code: CodeCreate, after: r, password: n.Password})
}

func freeName(tx *bolt.Tx, name string) error {
	_, err := findName(tx, name)
	if err == nil {
		return ErrNameTaken
	}
	if errors.Is(err, ErrNoAccount) {
		return nil
	}
	return err
}

// Change gives an account another display name, role or grants. One's own role
// and grants can be changed by another owner only.
func (a *Access) Change(ctx context.Context, token, id string, c Change) (Account, error) {
	return a.modify(ctx, token, id, func(before record) (alteration, error) {
		r := before
		if c.Display != nil && cleanDisplay(*c.Display) != "" {
			r.Display = cleanDisplay(*c.Display)
		}
		if c.Role != nil {
			r.Role = *c.Role
		}
		if c.Grants != nil {
			r.Grants = *c.Grants
		}
		if c.Password != "" {
			r.MustChange = true
		}
		return alteration{code: CodeChange, after: r, password: c.Password}, nil
	})
}

// ResetPassword gives an account a new first password. One's own is changed with
// ChangePassword.
func (a *Access) ResetPassword(ctx context.Context, token, id, password string) (Account, error) {
	return a.modify(ctx, token, id, func(r record) (alteration, error) {
		r.MustChange = true
		return alteration{code: CodeReset, after: r, password: password, other: true, needs: true}, nil
	})
}

// Disable keeps a person from signing in, ends the sessions and closes the key
// slot. If that last step fails, the error wraps ErrSlotStays and the rest is
// done. CloseSlots says what an old slot file still opens.
func (a *Access) Disable(ctx context.Context, token, id string) (Account, error) {
	return a.modify(ctx, token, id, func(r record) (alteration, error) {
		r.Disabled = true
		return alteration{code: CodeDisable, after: r, other: true}, nil
	})
}

// Enable lets a disabled person sign in again, with a new first password.
func (a *Access) Enable(ctx context.Context, token, id, password string) (Account, error) {
	return a.modify(ctx, token, id, func(r record) (alteration, error) {
		r.Disabled, r.MustChange = false, true
		return alteration{code: CodeEnable, after: r, password: password, other: true, needs: true}, nil
	})
}

// An alteration is a change of one account before it is judged.
type alteration struct {
	code     string
	before   *record // nil: new
	after    record
	password string // new one; "": stays
	needs    bool   // a password is part of it
	other    bool   // not for one's own account
}

func (a *Access) modify(ctx context.Context, token, id string, fn func(record) (alteration, error)) (Account, error) {
	a.change.Lock()
	defer a.change.Unlock()
	me, err := a.Allow(token, ManageITAccounts)
	if err != nil {
		return Account{}, err
	}
	before, err := a.record(id)
	if err != nil {
		return Account{}, err
	}
	x, err := fn(before)
	if err != nil {
		return Account{}, err
	}
	x.before = &before
	return a.alter(ctx, me, x)
}

// alter judges an alteration, writes the journal, and does it: first the secret,
// then the row. The caller holds change.
func (a *Access) alter(ctx context.Context, me Session, x alteration) (Account, error) {
	if err := a.judge(me, x); err != nil {
		return Account{}, err
	}
	r := x.after
	err := a.journal(Event{Code: x.code, Account: me.Account.Name, Target: r.Name, Address: me.Address,
		Note: describe(x), Alert: true})
	if err != nil {
		return Account{}, err
	}
	if x.before == nil {
		r.Created, r.CreatedBy = a.o.Now().UTC().Truncate(time.Second), me.Account.Name
	}
	if x.password != "" {
		if err := a.secretInTurn(ctx, &r, x.password); err != nil {
			return Account{}, err
		}
	}
	if x.before == nil || onlyDisplay(x) {
		err = a.file.update(func(tx *bolt.Tx) error { return putAccount(tx, r) })
		return r.Account, err
	}
	r.Version++
	if err := a.file.update(func(tx *bolt.Tx) error { return putAccount(tx, r) }); err != nil {
		a.Sweep() // it may have been written
		return Account{}, err
	}
	a.Sweep() // sessions of the earlier version are over
	return r.Account, a.closeSlots()
}

// judge says what stands against an alteration.
func (a *Access) judge(me Session, x alteration) error {
	var before *Account
	if x.before != nil {
		before = &x.before.Account
	}
	after := x.after
	switch {
	case !after.Role.Valid() || after.Grants&^GrantsFor(after.Role) != 0:
		return ErrBadRole
	case !MayManage(me.Account.Role, me.Account.Grants, before, after.Account):
		return ErrDenied
	}
	if before != nil && before.ID == me.Account.ID &&
		(x.other || x.password != "" || before.Role != after.Role || before.Grants != after.Grants) {
		return ErrOwnAccount
	}
	if before != nil && before.Role == Owner && !before.Disabled && (after.Role != Owner || after.Disabled) {
		var n int
		err := a.file.view(func(tx *bolt.Tx) (err error) {
			n, err = countOwners(tx, before.ID)
			return err
		})
		if err != nil || n == 0 {
			return errors.Join(err, ErrLastOwner)
		}
	}
	crosses := before != nil && !after.Disabled && before.charts() != after.charts()
	if x.password == "" {
		if x.needs || crosses || before == nil {
			return ErrNeedsPassword
		}
		return nil
	}
	return a.checkPassword(x.password, after.Name, after.Display)
}

// onlyDisplay reports whether nothing but the display name changes: that ends no
// session.
func onlyDisplay(x alteration) bool {
	b, r := *x.before, x.after
	b.Display = r.Display
	return x.password == "" && b == r
}

func describe(x alteration) string {
	text := fmt.Sprintf("%s, grants %d", x.after.Role, x.after.Grants)
	if x.before != nil && (x.before.Role != x.after.Role || x.before.Grants != x.after.Grants) {
		text = fmt.Sprintf("%s, grants %d -> %s", x.before.Role, x.before.Grants, text)
	}
	return text
}

// cleanDisplay drops what would upset a page and keeps 80 characters.
func cleanDisplay(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return !printable(r) }), " ")
	if list := []rune(strings.TrimSpace(s)); len(list) > 80 {
		return string(list[:80])
	}
	return strings.TrimSpace(s)
}

// idle returns the idle time of a role.
func (a *Access) idle(r Role) (d time.Duration, err error) {
	d = DefaultIdle
	err = a.file.view(func(tx *bolt.Tx) error {
		_, err := getJSON(tx, bMeta, kIdle+string(r), &d)
		return err
	})
	return d, err
}

// Idle returns after how long without use a session of a role locks.
func (a *Access) Idle(r Role) (time.Duration, error) { return a.idle(r) }

// SetIdle sets it, from MinIdle to MaxIdle; it needs ManageAccounts and counts
// for the sessions that there are too.
func (a *Access) SetIdle(token string, r Role, d time.Duration) error {
	me, err := a.Allow(token, ManageAccounts)
	if err != nil {
		return err
	}
	if !r.Valid() {
		return ErrBadRole
	}
	if d < MinIdle || d > MaxIdle {
		return ErrIdle
	}
	a.change.Lock()
	defer a.change.Unlock()
	err = a.journal(Event{Code: CodeIdle, Account: me.Account.Name, Address: me.Address,
		Note: fmt.Sprintf("%s: %s", r, d), Alert: true})
	if err != nil {
		return err
	}
	return a.file.update(func(tx *bolt.Tx) error { return putJSON(tx, bMeta, kIdle+string(r), d) })
}
