package keys

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// SealEarlier encrypts identities to the recipients of a new statement, for its
// member Earlier.
func SealEarlier(ids []*age.X25519Identity, to []age.Recipient) (string, error) {
	var lines strings.Builder
	for _, id := range ids {
		fmt.Fprintln(&lines, id)
	}
	return sealArmored("earlier keys", []byte(lines.String()), to...)
}

// OpenEarlier decrypts the identities in a statement that open what is older than
// it; none if it has none.
func OpenEarlier(s Statement, id age.Identity) (list []*age.X25519Identity, err error) {
	if s.Earlier == "" {
		return nil, nil
	}
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(s.Earlier)), id)
	if err != nil {
		return nil, fmt.Errorf("open the earlier keys: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(r, 1<<16))
	if err != nil {
		return nil, fmt.Errorf("open the earlier keys: %w", ErrDamaged)
	}
	for line := range strings.Lines(string(b)) {
		one, err := age.ParseX25519Identity(strings.TrimSpace(line))
		if err != nil {
			return nil, fmt.Errorf("open the earlier keys: %w", ErrDamaged)
		}
		list = append(list, one)
	}
	return list, nil
}

// A Ring is several identities that read as one: what any of them opens, it opens.
type Ring []*age.X25519Identity

// Unwrap implements age.Identity.
func (r Ring) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, id := range r {
		k, err := id.Unwrap(stanzas)
		if !errors.Is(err, age.ErrIncorrectIdentity) {
			return k, err
		}
	}
	return nil, age.ErrIncorrectIdentity
}
