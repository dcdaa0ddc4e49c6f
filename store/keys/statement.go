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
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"golang.org/x/mod/sumdb/note"
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
	Fork        Fork        `json:"fork,omitzero"` // in the first statement of a later epoch
}

// A Fork says up to where what the epochs before wrote counts (archive.md 8).
type Fork struct {
	Parts       int    `json:"parts"`       // number of the last part
	Checkpoints int    `json:"checkpoints"` // number of the last checkpoint
	Settings    int    `json:"settings"`    // number of the last settings file
	Size        int64  `json:"size"`        // of the Merkle log
	Root        string `json:"root"`        // of the log at that size, base64
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
// recovery key. It returns the last. Anything else wraps ErrForged.
func VerifyChain(files [][]byte, pin string) (Statement, error) {
	if len(files) == 0 {
		return Statement{}, fmt.Errorf("no mirror statement: %w", ErrDamaged)
	}
	var last Statement
	previous := ""
	for i, file := range files {
		s, f, err := parse(file)
		if err != nil {
			return Statement{}, fmt.Errorf("statement %d: %w", i+1, err)
		}
		signers := last
		if i == 0 {
			signers = s
		}
		ok := s.Number == i+1 && s.Previous == previous && verify(f, signers) &&
			(i == 0 || s.Mirror == last.Mirror && s.Epoch >= last.Epoch)
		previous = Hash(file)
		if !ok || i == 0 && pin != "" && previous != pin {
			return Statement{}, fmt.Errorf("statement %d: %w", i+1, ErrForged)
		}
		last = s
	}
	return last, nil
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
	var buf strings.Builder
	a := armor.NewWriter(&buf)
	w, err := age.Encrypt(a, to...)
	if err != nil {
		return "", fmt.Errorf("seal the mirror key: %w", err)
	}
	if _, err = w.Write(k[:]); err == nil {
		err = w.Close()
	}
	if err == nil {
		err = a.Close()
	}
	if err != nil {
		return "", fmt.Errorf("seal the mirror key: %w", err)
	}
	return buf.String(), nil
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
