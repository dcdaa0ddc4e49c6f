package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// StatementFormat is the number of the format of mirror statements.
const StatementFormat = 1

// signed is put before the bytes of a statement when they are signed, so that
// no signature of it can stand for anything else.
const signed = "chartcellar mirror statement 1\n"

// A Recipient is a public key to which everything in the mirror is encrypted.
type Recipient struct {
	Role string `json:"role"` // office, recovery
	Key  string `json:"key"`  // age1...
}

// A Statement says what a mirror is and whose keys count: the file
// mirror/NNNNNN.json (archive.md 1, 2). Each change of keys is a new one.
type Statement struct {
	Format      int         `json:"format"`
	Mirror      string      `json:"mirror"` // UUID
	Number      int         `json:"number"` // of this statement, from 1
	Epoch       int         `json:"epoch"`  // rises when another box takes over
	Recipients  []Recipient `json:"recipients"`
	MirrorKey   string      `json:"mirrorKey"`   // armored age file, to the recipients
	LogKey      string      `json:"logKey"`      // public, note verifier form
	RecoveryKey string      `json:"recoveryKey"` // Ed25519 public key, base64
	Previous    string      `json:"previous"`    // SHA-256 of the file before, hex; "" for the first
	Created     time.Time   `json:"created"`
	// OfficeKey is the office key, an armored age file to the recovery key alone: who
	// comes back with the sheet has it again. "" in mirrors of before it was kept.
	OfficeKey string `json:"officeKey,omitempty"`
	// Earlier is an armored age file, to the recipients: identities, one a line, that open
	// what was encrypted a second time inside the archive before it got new keys. "" where
	// it never did.
	Earlier string `json:"earlier,omitempty"`
	// Resigned is set by new keys for the whole archive: checkpoints up to this number
	// were signed again, by the log key of this statement, with the sums of the new files.
	Resigned int `json:"resigned,omitempty"`
	// Fork is set in the first statement of each epoch but the first.
	Fork Fork `json:"fork,omitzero"`
}

// A Fork says up to where what the epochs before wrote counts (archive.md 8). Whatever
// the box of the epoch before has written after that does not.
type Fork struct {
	Parts       int       `json:"parts"`       // number of the last part
	Checkpoints int       `json:"checkpoints"` // number of the last checkpoint
	Settings    int       `json:"settings"`    // number of the last settings file
	Size        int64     `json:"size"`        // of the Merkle log
	Root        tlog.Hash `json:"root"`        // of the log at that size, never zero
}

// Is reports whether there is a fork.
func (f Fork) Is() bool { return f != Fork{} }

// continues reports whether a fork lies at or behind an earlier one.
func (f Fork) continues(before Fork) bool {
	return f.Parts >= before.Parts && f.Checkpoints >= before.Checkpoints && f.Settings >= before.Settings && f.Size >= before.Size
}

// A Chain is the statements of a mirror in their order; the last is in force.
type Chain []Statement

// Last returns the statement in force.
func (c Chain) Last() Statement { return c[len(c)-1] }

// LogKeyAt returns the public log key that signs a checkpoint: the one of the
// epoch to which its number belongs, or that has signed it again.
func (c Chain) LogKeyAt(checkpoint int) string {
	for _, s := range slices.Backward(c) {
		if s.Fork.Is() && checkpoint > s.Fork.Checkpoints || checkpoint <= s.Resigned {
			return s.LogKey
		}
	}
	return c[0].LogKey
}

// SettingsKeyAt returns the public log key that signs a settings file.
func (c Chain) SettingsKeyAt(settings int) string {
	return c.at(func(f Fork) bool { return settings > f.Settings }).LogKey
}

// EpochAt returns the epoch in which a part was written.
func (c Chain) EpochAt(part int) int {
	return c.at(func(f Fork) bool { return part > f.Parts }).Epoch
}

// at returns the last statement that begins an epoch and whose fork lies before what
// is asked for; else the first.
func (c Chain) at(behind func(Fork) bool) Statement {
	for _, s := range slices.Backward(c) {
		if s.Fork.Is() && behind(s.Fork) {
			return s
		}
	}
	return c[0]
}

// A signature by one of the two keys that may sign.
type signature struct {
	By    string `json:"by"` // log or recovery
	Bytes []byte `json:"signature"`
}

type statementFile struct {
	Statement  json.RawMessage `json:"statement"`
	Signatures []signature     `json:"signatures"`
}

// Recipient returns the public key of a role; "" if the statement has none.
func (s Statement) Recipient(role string) string {
	for _, r := range s.Recipients {
		if r.Role == role {
			return r.Key
		}
	}
	return ""
}

// AgeRecipients returns the recipients as age takes them.
func (s Statement) AgeRecipients() ([]age.Recipient, error) {
	var list []age.Recipient
	for _, r := range s.Recipients {
		k, err := age.ParseX25519Recipient(r.Key)
		if err != nil {
			return nil, fmt.Errorf("recipient %s: %w", r.Role, err)
		}
		list = append(list, k)
	}
	if len(list) == 0 {
		return nil, errors.New("the mirror statement names no recipients")
	}
	return list, nil
}

// SignByLog returns the file of a statement, signed by the log key of the one
// before (of itself, for the first).
func SignByLog(s Statement, skey string) ([]byte, error) {
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("sign the mirror statement: %w", err)
	}
	return sign(s, "log", signer.Sign)
}

// SignByRecovery returns the file of a statement, signed by the recovery key.
func SignByRecovery(s Statement, recovery *age.X25519Identity) ([]byte, error) {
	key, err := RecoverySigner(recovery)
	if err != nil {
		return nil, err
	}
	return sign(s, "recovery", func(b []byte) ([]byte, error) {
		return ed25519.Sign(key, b), nil
	})
}

func sign(s Statement, by string, sign func([]byte) ([]byte, error)) ([]byte, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write the mirror statement: %w", err)
	}
	sig, err := sign(append([]byte(signed), raw...))
	if err != nil {
		return nil, fmt.Errorf("sign the mirror statement: %w", err)
	}
	file, err := json.Marshal(statementFile{raw, []signature{{by, sig}}})
	if err != nil {
		return nil, fmt.Errorf("write the mirror statement: %w", err)
	}
	return append(file, '\n'), nil
}

// parse reads a file without checking a signature.
func parse(file []byte) (Statement, statementFile, error) {
	var f statementFile
	var s Statement
	if err := strict(file, &f); err != nil {
		return s, f, fmt.Errorf("read the mirror statement: %w", ErrDamaged)
	}
	if err := strict(f.Statement, &s); err != nil {
		return s, f, fmt.Errorf("read the mirror statement: %w", ErrDamaged)
	}
	if s.Format > StatementFormat {
		return s, f, fmt.Errorf("mirror statement of format %d: written by a newer release", s.Format)
	}
	if s.Mirror == "" || s.Number < 1 || s.Epoch < 1 {
		return s, f, fmt.Errorf("mirror statement without a number: %w", ErrDamaged)
	}
	return s, f, nil
}

func strict(b []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one value")
	}
	return nil
}

// VerifyChain checks all statement files of a mirror in order: the first is
// signed by its own log key and, if pin is not empty, has that SHA-256; each
// later one names the one before and is signed by its log key or by the
// recovery key. A new epoch, and with it a new log key, begins only with a fork
// that the recovery key has signed: the box alone cannot begin one. Anything else
// wraps ErrForged.
func VerifyChain(files [][]byte, pin string) (Chain, error) {
	if len(files) == 0 {
		return nil, fmt.Errorf("no mirror statement: %w", ErrDamaged)
	}
	var chain Chain
	var fork Fork
	previous := ""
	for i, file := range files {
		s, f, err := parse(file)
		if err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
		ok := s.Number == i+1 && s.Previous == previous
		if i == 0 {
			ok = ok && !s.Fork.Is() && verify(f, s)
		} else {
			ok = ok && follows(s, f, chain.Last(), fork)
		}
		previous = Hash(file)
		if !ok || i == 0 && pin != "" && previous != pin {
			return nil, fmt.Errorf("statement %d: %w", i+1, ErrForged)
		}
		chain = append(chain, s)
		if s.Fork.Is() {
			fork = s.Fork
		}
	}
	return chain, nil
}

// follows reports whether a statement may come after last; fork is the one before, if
// there was any.
func follows(s Statement, f statementFile, last Statement, fork Fork) bool {
	ok := s.Epoch == last.Epoch && s.LogKey == last.LogKey
	if s.Fork.Is() {
		ok = s.Epoch == last.Epoch+1 && s.Fork.continues(fork)
		last.LogKey = "" // the recovery key must have signed
	}
	return ok && s.Mirror == last.Mirror && verify(f, last)
}

// Hash returns the SHA-256 of a file in hex.
func Hash(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

func verify(f statementFile, by Statement) bool {
	msg := append([]byte(signed), f.Statement...)
	for _, s := range f.Signatures {
		switch s.By {
		case "log":
			v, err := note.NewVerifier(by.LogKey)
			if err == nil && v.Verify(msg, s.Bytes) {
				return true
			}
		case "recovery":
			k, err := base64.StdEncoding.DecodeString(by.RecoveryKey)
			if err == nil && len(k) == ed25519.PublicKeySize && ed25519.Verify(k, msg, s.Bytes) {
				return true
			}
		}
	}
	return false
}

// SealMirrorKey encrypts the mirror key to the recipients, so that a restore
// from paper alone has it again.
func SealMirrorKey(k [32]byte, to []age.Recipient) (string, error) {
	return sealArmored("mirror key", k[:], to...)
}

// SealOfficeKey encrypts the office key to the recovery key: who comes back with the
// sheet goes on with the same office key, so that a passphrase opens what was kept
// before.
func SealOfficeKey(office, recovery *age.X25519Identity) (string, error) {
	return sealArmored("office key", []byte(office.String()), recovery.Recipient())
}

func sealArmored(what string, plain []byte, to ...age.Recipient) (string, error) {
	var buf strings.Builder
	a := armor.NewWriter(&buf)
	w, err := age.Encrypt(a, to...)
	if err != nil {
		return "", fmt.Errorf("seal the %s: %w", what, err)
	}
	if _, err = w.Write(plain); err == nil {
		err = w.Close()
	}
	if err == nil {
		err = a.Close()
	}
	if err != nil {
		return "", fmt.Errorf("seal the %s: %w", what, err)
	}
	return buf.String(), nil
}

// OpenOfficeKey decrypts the office key in a statement. ErrDamaged if it is not the
// one that the statement names as its recipient.
func OpenOfficeKey(s Statement, recovery age.Identity) (*age.X25519Identity, error) {
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(s.OfficeKey)), recovery)
	if err != nil {
		return nil, fmt.Errorf("open the office key: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(r, 1024))
	if err != nil {
		return nil, fmt.Errorf("open the office key: %w", ErrDamaged)
	}
	id, err := age.ParseX25519Identity(string(text))
	if err != nil || len(s.Recipients) == 0 || id.Recipient().String() != s.Recipients[0].Key {
		return nil, fmt.Errorf("open the office key: %w", ErrDamaged)
	}
	return id, nil
}

// OpenMirrorKey decrypts the mirror key in a statement.
func OpenMirrorKey(s Statement, ids ...age.Identity) (k [32]byte, err error) {
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(s.MirrorKey)), ids...)
	if err != nil {
		return k, fmt.Errorf("open the mirror key: %w", err)
	}
	if _, err := io.ReadFull(r, k[:]); err != nil {
		return k, fmt.Errorf("open the mirror key: %w", ErrDamaged)
	}
	return k, nil
}
