package keys

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"math/big"
	"runtime/debug"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/tyler-smith/go-bip39/wordlists"
)

// phraseWork is the age scrypt work factor of a copy phrase, which guards a file that
// whoever has the copy can try at home: about two seconds and 256 MiB.
const phraseWork = 18

// phraseWords is of how many words a copy phrase is: 66 bits.
const phraseWords = 6

// NewPhrase draws a copy phrase: six words of a list of 2048, each of which is known by
// its first four letters.
func NewPhrase() (string, error) {
	words := make([]string, phraseWords)
	for i := range words {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(wordlists.English))))
		if err != nil {
			return "", fmt.Errorf("draw a phrase: %w", err)
		}
		words[i] = wordlists.English[n.Int64()]
	}
	return strings.Join(words, " "), nil
}

// PhraseWord returns the number, from 1, of the first word of a typed phrase that is in
// no list; 0 if all are.
func PhraseWord(typed string) int {
	for i, w := range strings.Fields(strings.ToLower(typed)) {
		if !slices.Contains(wordlists.English, w) {
			return i + 1
		}
	}
	return 0
}

// SealPhrase encrypts the office key to a copy phrase. Unlike a slot it is not sealed by
// a box key: it opens the copy wherever that is.
func SealPhrase(id *age.X25519Identity, phrase string) ([]byte, error) {
	r, err := PhraseRecipient(plainPhrase(phrase))
	if err != nil {
		return nil, fmt.Errorf("seal to the phrase: %w", err)
	}
	var buf bytes.Buffer
	w, err := age.Encrypt(&buf, r)
	if err == nil {
		_, err = io.WriteString(w, id.String())
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("seal to the phrase: %w", err)
	}
	return buf.Bytes(), nil
}

// PhraseRecipient is what encrypts to a password a file that leaves the office, where
// whoever has it can try passwords: at the cost of a copy phrase.
func PhraseRecipient(password string) (*age.ScryptRecipient, error) {
	r, err := age.NewScryptRecipient(password)
	if err == nil {
		r.SetWorkFactor(work.phrase)
	}
	return r, err
}

// OpenPhrase returns the office key that a copy phrase opens. It takes some seconds and
// gives its memory back. ErrWrongPassword if it is another phrase.
func OpenPhrase(file []byte, phrase string) (*age.X25519Identity, error) {
	defer debug.FreeOSMemory()
	s, err := age.NewScryptIdentity(plainPhrase(phrase))
	if err != nil {
		return nil, ErrWrongPassword // an empty one
	}
	s.SetMaxWorkFactor(phraseWork)
	r, err := age.Decrypt(bytes.NewReader(file), s)
	if err != nil {
		return nil, ErrWrongPassword
	}
	text, err := io.ReadAll(io.LimitReader(r, 1024))
	if err != nil {
		return nil, fmt.Errorf("open with the phrase: %w", ErrDamaged)
	}
	return age.ParseX25519Identity(string(text))
}

// plainPhrase is a phrase as it was drawn, however it was typed.
func plainPhrase(typed string) string {
	return strings.Join(strings.Fields(strings.ToLower(typed)), " ")
}
