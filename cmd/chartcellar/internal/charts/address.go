package charts

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"chartcellar/cmd/chartcellar/internal/viewer"
)

// An address hides in the address of a page what it is about. The same text is always
// hidden as the same address, so that a browser knows what it has seen.
type address struct {
	aead cipher.AEAD
	key  []byte // of nonces
}

func newAddress(key [32]byte) (address, error) {
	part := func(name string) []byte {
		mac := hmac.New(sha256.New, key[:])
		mac.Write([]byte(name))
		return mac.Sum(nil)
	}
	aead, err := chacha20poly1305.NewX(part("seal"))
	if err != nil {
		return address{}, fmt.Errorf("make the key of addresses: %w", err)
	}
	return address{aead, part("nonce")}, nil
}

// seal hides a text. Its nonce is derived from the text: two texts never share one.
func (a address) seal(text string) string {
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(text))
	nonce := mac.Sum(nil)[:a.aead.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(a.aead.Seal(nonce, nonce, []byte(text), nil))
}

// open returns what seal hid, or viewer.ErrNotFound.
func (a address) open(sealed string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	n := a.aead.NonceSize()
	if err != nil || len(b) < n {
		return "", viewer.ErrNotFound
	}
	text, err := a.aead.Open(nil, b[:n], b[n:], nil)
	if err != nil {
		return "", viewer.ErrNotFound
	}
	return string(text), nil
}

// Seal implements viewer.Charts.
func (r *Room) Seal(text string) string { return r.addresses.seal("t\x00" + text) }

// Unseal implements viewer.Charts.
func (r *Room) Unseal(sealed string) (string, error) {
	text, err := r.addresses.open(sealed)
	text, ok := strings.CutPrefix(text, "t\x00")
	if err != nil || !ok {
		return "", viewer.ErrNotFound
	}
	return text, nil
}

// Refer implements viewer.Charts.
func (r *Room) Refer(source, ref string) viewer.Ref {
	return viewer.Ref(r.addresses.seal("r\x00" + source + "\x00" + ref))
}

// Open returns what a Ref names, or viewer.ErrNotFound.
func (r *Room) Open(ref viewer.Ref) (source, typ, id string, err error) {
	text, err := r.addresses.open(string(ref))
	parts := strings.SplitN(text, "\x00", 3)
	if err != nil || len(parts) != 3 || parts[0] != "r" {
		return "", "", "", viewer.ErrNotFound
	}
	typ, id, ok := strings.Cut(parts[2], "/")
	if !ok {
		return "", "", "", viewer.ErrNotFound
	}
	return parts[1], typ, id, nil
}
