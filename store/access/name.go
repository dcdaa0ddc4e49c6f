package access

import (
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
)

// cleanName returns a sign-in name in its composed form with single spaces.
func cleanName(name string) (string, error) {
	name = strings.Join(strings.Fields(norm.NFC.String(name)), " ")
	list := []rune(name)
	if len(list) < 2 || len(list) > 40 {
		return "", fmt.Errorf("it has %d characters: %w", len(list), ErrBadName)
	}
	alphabet := ""
	for _, r := range list {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r) &&
			!strings.ContainsRune("._-'@ ", r) {
			return "", fmt.Errorf("it holds a character of another kind: %w", ErrBadName)
		}
		if s := script(r); s != "" && alphabet != "" && s != alphabet {
			return "", fmt.Errorf("it mixes alphabets: %w", ErrBadName)
		} else if s != "" {
			alphabet = s
		}
	}
	ends := string(list[0]) + string(list[len(list)-1])
	if strings.ContainsAny(ends, "._-'@") || len(Fold(name)) < 2 {
		return "", fmt.Errorf("it begins or ends with a sign: %w", ErrBadName)
	}
	return name, nil
}

// script names the alphabet of a letter; "" for what belongs to every one.
func script(r rune) string {
	if !unicode.IsLetter(r) {
		return ""
	}
	for name, table := range unicode.Scripts {
		if !unicode.Is(table, r) {
			continue
		}
		switch name {
		case "Common", "Inherited":
			return ""
		case "Hiragana", "Katakana", "Bopomofo", "Hangul":
			return "Han" // written together
		}
		return name
	}
	return "unknown"
}

// Fold returns what two names have in common when a person could take one for
// the other: case, accents, spaces, width, and letters that look alike are gone.
// Accounts are unique, found and limited by it. It is not for showing.
func Fold(name string) string {
	s := strings.ToLower(cases.Fold().String(norm.NFKC.String(name)))
	bare := transform.Chain(norm.NFD, runes.Remove(runes.In(unicode.Mn)), norm.NFC)
	if t, _, err := transform.String(bare, s); err == nil {
		s = t
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return lookalike(r)
	}, s)
	return strings.NewReplacer("rn", "m", "vv", "w").Replace(s)
}

// lookalike returns the Latin letter a folded character looks like; those that
// only a few typefaces tell apart (i, l and 1, o and 0) are one.
func lookalike(r rune) rune {
	const from = "1iı|0авгеёікмнорстухјѕԁһԛԝьαβεικνορτυχγω"
	const to = "lllloabreelkmhopctyxjsdhqwbabelkvoptuxyw"
	n := 0
	for _, f := range from {
		if f == r {
			return rune(to[n])
		}
		n++
	}
	return r
}
