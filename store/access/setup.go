package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	bolt "go.etcd.io/bbolt"

	"chartcellar/store/disk"
)

// SetupTime is how long a setup code may be used.
const SetupTime = 30 * time.Minute

// A setupRow is the one setup code that counts.
type setupRow struct {
	Hash   []byte    `json:"hash"` // SHA-256; the code is random enough for that
	Made   time.Time `json:"made"`
	Rescue bool      `json:"rescue,omitempty"` // may make an owner beside others
}

// NewSetupCode draws the code that lets somebody make the first owner, for the
// caller to print where only the person at the machine sees it. An earlier code
// is void. It returns ErrHasOwner if there is an owner who can sign in.
func (a *Access) NewSetupCode() (code string, until time.Time, err error) {
	a.change.Lock()
	defer a.change.Unlock()
	ok, err := a.HasOwner()
	if err != nil {
		return "", until, err
	}
	if ok {
		return "", until, ErrHasOwner
	}
	return a.setupCode(CodeSetupCode, false)
}

// Rescue draws a setup code for a practice whose owners cannot sign in any more,
// for whoever has the recovery key. The owner it makes stands beside the others.
func (a *Access) Rescue(key string) (code string, until time.Time, err error) {
	const desk = "recovery key"
	if err := a.limits.take("", desk, a.o.Now()); err != nil {
		return "", until, err
	}
	if a.o.Recovery == nil {
		return "", until, ErrNoRecovery
	}
	if err := a.o.Recovery(key); err != nil {
		return "", until, fmt.Errorf("%w: %w", ErrNoRecovery, err)
	}
	a.limits.void("", desk)
	a.change.Lock()
	defer a.change.Unlock()
	return a.setupCode(CodeRescue, true)
}

// Rescuing reports whether a code of Rescue may be used now.
func (a *Access) Rescuing() (ok bool, err error) {
	err = a.file.view(func(tx *bolt.Tx) error {
		var row setupRow
		there, err := getJSON(tx, bMeta, kSetup, &row)
		ok = there && row.Rescue && !passed(a.o.Now(), row.Made, SetupTime)
		return err
	})
	return ok, err
}

func (a *Access) setupCode(event string, rescue bool) (code string, until time.Time, err error) {
	if err := a.journal(Event{Code: event, Alert: rescue}); err != nil {
		return "", until, err
	}
	code = NewCode()
	now := a.o.Now().UTC()
	row := setupRow{Hash: CodeHash(code), Made: now, Rescue: rescue}
	err = a.file.update(func(tx *bolt.Tx) error { return putJSON(tx, bMeta, kSetup, row) })
	if err != nil {
		return "", until, err
	}
	return code, now.Add(SetupTime), nil
}

// NewCode draws a setup code: 100 random bits that people can copy from a screen.
func NewCode() (code string) {
	const letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	for i, b := range random(20) {
		if i%5 == 0 && i > 0 {
			code += "-"
		}
		code += string(letters[b%32])
	}
	return code
}

// CodeHash is the SHA-256 of a code. It forgives what people change in copying one.
func CodeHash(code string) []byte {
	code = strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(code))
	h := sha256.Sum256([]byte(code))
	return h[:]
}

// A FirstOwner is what the setup page asks for.
type FirstOwner struct{ Code, Name, Display, Password string }

// SetUp uses the setup code to make an owner, in one transaction with the end of
// the code: of two at once one makes it. Slots.Add is called for the owner, so the
// mirror must exist and be unlocked, or the caller makes it in that call.
//
// The error is ErrBadCode, ErrHasOwner, *LimitError, or what is wrong with name
// or password. The owner then signs in as everybody does.
func (a *Access) SetUp(ctx context.Context, address string, first FirstOwner) (Account, error) {
	if err := a.limits.take("", address, a.o.Now()); err != nil {
		return Account{}, err
	}
	a.change.Lock()
	defer a.change.Unlock()
	row, err := a.goodCode(first.Code)
	if err != nil {
		return Account{}, err
	}
	a.limits.void("", address) // the code was right
	r := record{Account: Account{ID: hex.EncodeToString(random(8)), Role: Owner,
		Display: cleanDisplay(first.Display), CreatedBy: "setup", Created: a.o.Now().UTC().Truncate(time.Second)}}
	if r.Name, err = cleanName(first.Name); err != nil {
		return Account{}, err
	}
	if r.Display == "" {
		r.Display = r.Name
	}
	if err := a.checkPassword(first.Password, r.Name, r.Display); err != nil {
		return Account{}, err
	}
	var id []byte
	err = a.file.view(func(tx *bolt.Tx) error {
		if err := freeName(tx, r.Name); err != nil {
			return err
		}
		v, err := get(tx, bMeta, kID)
		id = append(id, v...)
		return err
	})
	if err != nil {
		return Account{}, err
	}
	event := Event{Code: CodeSetup, Target: r.Name, Address: address, Alert: true}
	if err := a.journal(event); err != nil {
		return Account{}, err
	}
	if err := a.secretInTurn(ctx, &r, first.Password); err != nil {
		return Account{}, err
	}
	// From here on a missing file is an alarm.
	if err := a.o.Marker.Mark(id); err != nil {
		return Account{}, fmt.Errorf("note that there are accounts: %w", err)
	}
	return a.firstOwner(r, row)
}

// firstOwner is the transaction of SetUp.
func (a *Access) firstOwner(r record, used setupRow) (Account, error) {
	err := a.file.update(func(tx *bolt.Tx) error {
		var row setupRow
		there, err := getJSON(tx, bMeta, kSetup, &row)
		if err != nil {
			return err
		}
		if !there || !row.Made.Equal(used.Made) || string(row.Hash) != string(used.Hash) {
			return ErrBadCode
		}
		if owner, err := hasOwner(tx); err != nil || owner && !row.Rescue {
			return errors.Join(err, ErrHasOwner)
		}
		if err := remove(tx, bMeta, kSetup); err != nil {
			return err
		}
		return putAccount(tx, r)
	})
	if err != nil {
		return Account{}, err
	}
	return r.Account, nil
}

// goodCode returns the row of the code if it is the one that counts now.
func (a *Access) goodCode(code string) (row setupRow, err error) {
	var there, owner bool
	err = a.file.view(func(tx *bolt.Tx) error {
		if there, err = getJSON(tx, bMeta, kSetup, &row); err != nil {
			return err
		}
		owner, err = hasOwner(tx)
		return err
	})
	if err != nil {
		return row, err
	}
	if owner && !(there && row.Rescue) {
		return row, ErrHasOwner
	}
	same := subtle.ConstantTimeCompare(CodeHash(code), row.Hash) == 1
	if !there || !same || passed(a.o.Now(), row.Made, SetupTime) {
		return row, ErrBadCode
	}
	return row, nil
}

// StartOver is for a practice whose Open says ErrMissing or ErrDamaged: it moves
// what is left to quarantine and opens empty accounts, for which NewSetupCode
// then draws a code. Where accounts existed it needs the recovery key; else the
// error is ErrNoRecovery. Accounts that open are left alone: ErrInOrder.
//
// The key slots of before stay as they are, and are not in LiveSlots.
func StartOver(o Options, key string) (*Access, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	if a, err := Open(o); err == nil {
		return nil, errors.Join(ErrInOrder, a.Close())
	} else if !errors.Is(err, ErrMissing) && !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	mark, err := o.Marker.Marked()
	if err != nil {
		return nil, fmt.Errorf("ask whether there were accounts: %w", err)
	}
	if mark != nil {
		if o.Recovery == nil {
			return nil, ErrNoRecovery
		}
		if err := o.Recovery(key); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoRecovery, err)
		}
	}
	if err := o.Journal(Event{Code: CodeStartOver, Alert: true}); err != nil {
		return nil, fmt.Errorf("write the journal, so nothing was changed: %w", err)
	}
	id, err := replaceFile(o)
	if err != nil {
		return nil, err
	}
	if mark != nil {
		if err := o.Marker.Mark(id); err != nil {
			return nil, fmt.Errorf("note that the accounts are new: %w", err)
		}
	}
	return Open(o)
}

// replaceFile puts the file at hand aside and makes a new one.
func replaceFile(o Options) (id []byte, err error) {
	name := filepath.Join(o.Dir, fileName)
	there, err := disk.Exists(o.FS, name)
	if err != nil {
		return nil, fmt.Errorf("look for the accounts: %w", err)
	}
	if there {
		if _, err := disk.Quarantine(o.FS, o.Dir, name); err != nil {
			return nil, err
		}
	}
	return createFile(o.FS, o.Dir)
}

// printable tells characters that may stand in a name that is shown.
func printable(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) }
