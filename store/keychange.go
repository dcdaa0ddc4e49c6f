package store

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"filippo.io/age"

	"chartcellar/store/disk"
	"chartcellar/store/keys"
)

// ErrOldSheet says that a recovery key is one that a newer sheet has taken the place
// of. It wraps ErrLocked.
var ErrOldSheet = fmt.Errorf("this is an older recovery sheet: %w", ErrLocked)

// A stated is what the statements of a mirror say. It is never changed: a change of
// keys puts another one in its place.
type stated struct {
	keys.Statement // the last of chain
	chain          keys.Chain
	to             []age.Recipient
}

// An opened is what an identity opens of a mirror.
type opened struct {
	mirrorKey [32]byte
	id        age.Identity        // reads everything
	office    *age.X25519Identity // nil: the identity does not give it
	all       keys.Ring           // what id consists of
}

// open tells what an identity opens. The error wraps ErrLocked if it is not of this
// mirror, or no longer.
func (s *stated) open(id age.Identity) (o opened, err error) {
	own, ok := id.(*age.X25519Identity)
	if o.mirrorKey, err = keys.OpenMirrorKey(s.Statement, id); err != nil {
		if ok && slices.ContainsFunc(s.chain, func(one keys.Statement) bool { return one.Recipient("recovery") == own.Recipient().String() }) {
			return o, ErrOldSheet
		}
		return o, fmt.Errorf("this key does not open this mirror: %w", ErrLocked)
	}
	if ok {
		o.add(own)
	} else if ring, ok := id.(keys.Ring); ok {
		o.add(ring...)
	}
	if s.OfficeKey != "" {
		if office, err := keys.OpenOfficeKey(s.Statement, id); err == nil {
			o.add(office)
		} else if errors.Is(err, keys.ErrDamaged) {
			return o, err
		}
	}
	earlier, err := keys.OpenEarlier(s.Statement, id)
	if err != nil {
		return o, err
	}
	o.add(earlier...)
	if o.id = id; len(o.all) > 1 {
		o.id = o.all
	}
	for _, one := range o.all {
		if one.Recipient().String() == s.Recipient("office") {
			o.office = one
		}
	}
	return o, nil
}

// add adds identities that are not there yet.
func (o *opened) add(list ...*age.X25519Identity) {
	for _, id := range list {
		if !slices.ContainsFunc(o.all, func(x *age.X25519Identity) bool { return x.String() == id.String() }) {
			o.all = append(o.all, id)
		}
	}
}

// recipients are to whom everything is encrypted from now on.
func (m *Mirror) recipients() []age.Recipient { return m.stated.Load().to }

// NewSheet makes a new recovery key, when the paper of the old one is lost or was
// seen, and returns its sheet. From then on everything is encrypted to it in place of
// the old one, and who has the new sheet opens also what is older: the new statement
// carries the office key, encrypted to the new recovery key.
//
// The old sheet is no longer taken. But whoever has it still decrypts what was stored
// before and, by the office key in the older statement, also what comes: only Rekey ends
// that.
//
// keep gets the sheet and the number of the new statement before that counts, and puts
// the sheet where it cannot be lost; if it fails, nothing changes. After a crash, or an
// error, either the old sheet is in force or the new one, which keep has kept. The
// mirror must be unlocked with the office key; others may read and write meanwhile.
func (m *Mirror) NewSheet(practice string, keep func(s keys.Sheet, number int) error) (keys.Sheet, error) {
	var sheet keys.Sheet
	if m.ReadOnly() {
		return sheet, ErrReadOnly
	}
	office, err := m.officeKey()
	if err != nil {
		return sheet, err
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	if err := m.readChain(m.first); err != nil { // an attempt that failed may have been written
		return sheet, err
	}
	if now := m.Statement(); now.Recipient("office") == now.Recipient("recovery") { // adopted from an early release
		return sheet, ErrOneKey
	}
	recovery, err := age.GenerateX25519Identity()
	if err != nil {
		return sheet, fmt.Errorf("make the recovery key: %w", err)
	}
	s, err := m.nextStatement(office, recovery)
	if err != nil {
		return sheet, err
	}
	if s.Earlier, err = m.sealEarlier(s); err != nil {
		return sheet, err
	}
	file, err := keys.SignByLog(s, m.logKey)
	if err != nil {
		return sheet, err
	}
	sheet = m.sheetOf(s, practice, recovery)
	if err := keep(sheet, s.Number); err != nil {
		return sheet, err
	}
	if err := writeStatement(m.fs, m.dir, s.Number, file); err != nil {
		return sheet, err
	}
	return sheet, m.readChain(m.first)
}

// nextStatement makes the statement behind the one in force, for new keys.
func (m *Mirror) nextStatement(office, recovery *age.X25519Identity) (keys.Statement, error) {
	s := m.Statement()
	before, err := disk.ReadFile(m.fs, m.path(statementName(s.Number)), 1<<20)
	if err != nil {
		return s, fmt.Errorf("read the mirror statement: %w", err)
	}
	s.Number, s.Previous, s.Created = s.Number+1, keys.Hash(before), m.now().UTC().Truncate(time.Second)
	s.Fork, s.Resigned, s.Earlier = keys.Fork{}, 0, ""
	s.Recipients = []keys.Recipient{{Role: "office", Key: office.Recipient().String()}, {Role: "recovery", Key: recovery.Recipient().String()}}
	if s.MirrorKey, err = keys.SealMirrorKey(m.mirrorKey, []age.Recipient{office.Recipient(), recovery.Recipient()}); err != nil {
		return s, err
	}
	if s.OfficeKey, err = keys.SealOfficeKey(office, recovery); err != nil {
		return s, err
	}
	s.RecoveryKey, err = recoveryKey(recovery)
	return s, err
}

// sealEarlier seals, for a statement, the identities that open what is older and not
// encrypted to its recipients; "" if there are none.
func (m *Mirror) sealEarlier(s keys.Statement, more ...*age.X25519Identity) (string, error) {
	id, err := m.key()
	if err != nil {
		return "", err
	}
	earlier, err := keys.OpenEarlier(m.Statement(), id)
	if err != nil {
		return "", err
	}
	o := opened{}
	o.add(append(earlier, more...)...)
	to, err := s.AgeRecipients()
	if err != nil || len(o.all) == 0 {
		return "", err
	}
	return keys.SealEarlier(o.all, to)
}

func (m *Mirror) sheetOf(s keys.Statement, practice string, recovery *age.X25519Identity) keys.Sheet {
	return keys.Sheet{Practice: practice, Mirror: s.Mirror, Recovery: recovery, StatementHash: m.first,
		LogKey: s.LogKey, Recipients: s.Recipients, Created: s.Created}
}

// officeKey returns the office key if the mirror is unlocked with something that
// gives it.
func (m *Mirror) officeKey() (*age.X25519Identity, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.identity == nil:
		return nil, ErrLocked
	case m.office == nil:
		return nil, ErrNoOffice
	}
	return m.office, nil
}

// ErrOneKey says that the recovery key is the office key too, so that a new sheet alone
// would change nothing.
var ErrOneKey = errors.New("the recovery sheet is the office key, too: only new keys for all of it are of use")

// ErrNoOffice says that the office key is needed, and that the recovery sheet does not
// give it: this folder was made by an earlier release.
var ErrNoOffice = errors.New("this needs the office key, which a passphrase gives")
