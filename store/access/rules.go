package access

import (
	_ "embed" // for common.txt
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// common.txt holds obvious passwords and the words they are made of. It was
// written for this program. BUG: it is a few hundred lines, not a list of
// breached passwords; a password that is long, known and not obvious gets
// through.
//
//go:embed common.txt
var commonText string

// commonPasswords returns the list by core.
func commonPasswords() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(commonText) {
		m[core(w)] = true
	}
	return m
}

// checkPassword says what is wrong with a new password of a person with these
// names. There are no rules about kinds of characters.
func (a *Access) checkPassword(password string, names ...string) error {
	password = norm.NFC.String(password)
	switch n := utf8.RuneCountInString(password); {
	case n < MinPassword:
		return ErrShortPassword
	case n > MaxPassword:
		return ErrLongPassword
	}
	if a.obvious(password) {
		return ErrCommonPassword
	}
	for _, name := range append(names, a.o.Practice()) {
		if madeOf(password, name) {
			return ErrNamePassword
		}
	}
	return nil
}

// CheckPassword says what is wrong with a password that somebody with this
// sign-in name and display name is about to choose; nil if nothing is.
func (a *Access) CheckPassword(password, name, display string) error {
	return a.checkPassword(password, name, display)
}

// obvious reports whether a password is a word or two of the list with the usual
// ornaments, a few characters over and over, or a row of neighbours.
func (a *Access) obvious(password string) bool {
	list := []rune(strings.ToLower(password))
	kinds, steps := map[rune]bool{}, 0
	for i, r := range list {
		kinds[r] = true
		if i > 0 && (r-list[i-1] == 1 || r-list[i-1] == -1 || r == list[i-1] || r == '0' && list[i-1] == '9') {
			steps++
		}
	}
	if len(kinds) < 5 || steps*5 >= len(list)*4 {
		return true
	}
	for _, c := range []string{core(password), letters(password)} {
		for n := 2; n <= len(c); n++ {
			if a.common[c[:n]] && (n == len(c) || a.common[c[n:]] || strings.Trim(c, c[:n]) == "" &&
				strings.Repeat(c[:n], len(c)/n) == c) {
				return true
			}
		}
	}
	return false
}

// core returns what is left of a password when the usual ornaments are off: what
// stands around it, digits in the place of letters, and all that is no letter.
func core(password string) string {
	return letters(strings.TrimFunc(password, func(r rune) bool { return !unicode.IsLetter(r) }))
}

func letters(s string) string {
	s = strings.NewReplacer("@", "a", "4", "a", "3", "e", "0", "o", "1", "i", "!", "i",
		"$", "s", "5", "s", "7", "t").Replace(strings.ToLower(norm.NFKC.String(s)))
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return r
		}
		return -1
	}, s)
}

// madeOf reports whether little is left of a password without a name.
func madeOf(password, name string) bool {
	rest := plain(password)
	for _, part := range append(strings.Fields(name), name) {
		if p := plain(part); utf8.RuneCountInString(p) >= 3 {
			rest = strings.ReplaceAll(rest, p, "")
		}
	}
	return rest != plain(password) && utf8.RuneCountInString(rest) < 8
}

// plain keeps letters and digits, without case.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, norm.NFKC.String(s))
}
