// Package keys makes the keys of a mirror, seals what must not lie open, and
// writes the recovery key on paper.
//
// It works on bytes and touches no file: the store decides what lies where.
// Nothing here decrypts a record; the identities it returns do (archive.md 2).
package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/text/unicode/norm"
)

var (
	// ErrWrongPassword says that a slot does not open with the password.
	ErrWrongPassword = errors.New("wrong passphrase")
	// ErrDamaged says that sealed bytes or a key file are not what was written,
	// or belong to another box.
	ErrDamaged = errors.New("damaged, or sealed by another box key")
	// ErrForged says that a mirror statement is not signed as it must be.
	ErrForged = errors.New("not signed by the keys of this mirror")
	// ErrShort says that a passphrase is shorter than MinPassword.
	ErrShort = fmt.Errorf("the passphrase has fewer than %d characters", MinPassword)
)

// MinPassword is the least length of a passphrase, in characters.
const MinPassword = 12

// slotWork is the age scrypt work factor of a slot: about a second and 128 MiB
// on a small box, once per sign-in.
const slotWork = 17

// work is with what factors secrets are sealed: slotWork and phraseWork, but in tests.
var work = struct{ slot, phrase int }{slotWork, phraseWork}

// CheapForTests makes every passphrase and phrase that this process seals from now on
// cheap to open, and so weak. It is for tests, which make hundreds, and is called before
// anything else is; undo takes it back. A rule of the layout keeps it out of the program.
func CheapForTests() (undo func()) {
	before := work
	work.slot, work.phrase = 10, 10
	return func() { work = before }
}

// A Box is the box key. It seals small secrets that the computer needs to work
// unattended; it opens no record. It may be used by many goroutines.
type Box struct {
	key [32]byte

	// mu covers sealers, the keys already derived.
	mu      sync.Mutex
	sealers map[string]sealer
}

type sealer interface {
	Seal(dst, nonce, plain, data []byte) []byte
	Open(dst, nonce, sealed, data []byte) ([]byte, error)
	NonceSize() int
}

// boxPrefix starts the file form of a box key.
const boxPrefix = "CHARTCELLAR-BOX-KEY-1-"

// NewBox draws a box key.
func NewBox() (*Box, error) {
	b := &Box{sealers: map[string]sealer{}}
	if _, err := rand.Read(b.key[:]); err != nil {
		return nil, fmt.Errorf("draw a box key: %w", err)
	}
	return b, nil
}

// Marshal returns the file form: one line, a recognisable prefix, and four
// check bytes behind the key.
func (b *Box) Marshal() []byte {
	sum := sha256.Sum256(b.key[:])
	raw := append(b.key[:], sum[:4]...)
	return []byte(boxPrefix + base64.RawURLEncoding.EncodeToString(raw) + "\n")
}

// ParseBox reads the file form.
func ParseBox(file []byte) (*Box, error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(string(file)), boxPrefix)
	if !ok {
		return nil, fmt.Errorf("read the box key: no box key in the file: %w", ErrDamaged)
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) != 36 {
		return nil, fmt.Errorf("read the box key: wrong length: %w", ErrDamaged)
	}
	b := &Box{key: [32]byte(raw[:32]), sealers: map[string]sealer{}}
	if sum := sha256.Sum256(raw[:32]); !bytes.Equal(sum[:4], raw[32:]) {
		return nil, fmt.Errorf("read the box key: wrong check bytes: %w", ErrDamaged)
	}
	return b, nil
}

func (b *Box) sealer(purpose string) (sealer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.sealers[purpose]; ok {
		return s, nil
	}
	k, err := hkdf.Expand(sha256.New, b.key[:], "chartcellar box 1 "+purpose, 32)
	if err != nil {
		return nil, err
	}
	s, err := chacha20poly1305.NewX(k)
	if err != nil {
		return nil, err
	}
	b.sealers[purpose] = s
	return s, nil
}

// Seal encrypts a small secret for one purpose: XChaCha20-Poly1305 under a key
// derived for it, a random nonce in front.
func (b *Box) Seal(purpose string, plain []byte) ([]byte, error) {
	s, err := b.sealer(purpose)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", purpose, err)
	}
	nonce := make([]byte, s.NonceSize(), s.NonceSize()+len(plain)+chacha20poly1305.Overhead)
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("seal %s: %w", purpose, err)
	}
	return s.Seal(nonce, nonce, plain, []byte(purpose)), nil
}

// Open decrypts what Seal made for the same purpose.
func (b *Box) Open(purpose string, sealed []byte) ([]byte, error) {
	s, err := b.sealer(purpose)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", purpose, err)
	}
	n := s.NonceSize()
	if len(sealed) < n {
		return nil, fmt.Errorf("open %s: %w", purpose, ErrDamaged)
	}
	plain, err := s.Open(nil, sealed[:n], sealed[n:], []byte(purpose))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", purpose, ErrDamaged)
	}
	return plain, nil
}

// NewMirrorKey draws the key from which a mirror's keyed hashes are derived.
func NewMirrorKey() (k [32]byte, err error) {
	_, err = rand.Read(k[:])
	return k, err
}

// NewLogKey draws the key that signs checkpoints and statements. skey is the
// private form, vkey the public one (C2SP signed-note).
func NewLogKey(mirror string) (skey, vkey string, err error) {
	return note.GenerateKey(rand.Reader, "chartcellar/"+mirror)
}

// RecoverySigner derives the signing key of a recovery identity: whoever holds
// the sheet can sign a new statement when the box is gone.
func RecoverySigner(recovery *age.X25519Identity) (ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, []byte(recovery.String()), nil,
		"chartcellar recovery signing 1", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive the recovery signing key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// An Unlocker opens slots one at a time, because each takes much memory.
type Unlocker struct{ mu sync.Mutex }

// SealSlot encrypts the office identity to a passphrase and seals the result
// with the box key: a slot is of no use without the box it was made on.
func SealSlot(box *Box, id *age.X25519Identity, password string) ([]byte, error) {
	password = norm.NFC.String(password)
	if len([]rune(password)) < MinPassword {
		return nil, ErrShort
	}
	r, err := age.NewScryptRecipient(password)
	if err != nil {
		return nil, fmt.Errorf("make a slot: %w", err)
	}
	r.SetWorkFactor(work.slot)
	var buf bytes.Buffer
	w, err := age.Encrypt(&buf, r)
	if err != nil {
		return nil, fmt.Errorf("make a slot: %w", err)
	}
	if _, err := w.Write([]byte(id.String())); err != nil {
		return nil, fmt.Errorf("make a slot: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("make a slot: %w", err)
	}
	return box.Seal("slot", buf.Bytes())
}

// OpenSlot returns the office identity of a slot. It takes about a second and
// gives its memory back.
func (u *Unlocker) OpenSlot(box *Box, slot []byte, password string) (*age.X25519Identity, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	defer debug.FreeOSMemory()
	inner, err := box.Open("slot", slot)
	if err != nil {
		return nil, err
	}
	s, err := age.NewScryptIdentity(norm.NFC.String(password))
	if err != nil {
		return nil, ErrWrongPassword // an empty one
	}
	s.SetMaxWorkFactor(slotWork)
	r, err := age.Decrypt(bytes.NewReader(inner), s)
	if err != nil {
		return nil, ErrWrongPassword
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(r); err != nil {
		return nil, fmt.Errorf("open a slot: %w", ErrDamaged)
	}
	return age.ParseX25519Identity(text.String())
}
