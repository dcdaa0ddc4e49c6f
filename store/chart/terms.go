package chart

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Terms are what somebody looks for in records, as he typed it.
type Terms struct {
	Words []string // words, phrases and codes: each must occur
	Not   []string // of these none may
	Types []string // only these types of record; none: all
	// From and To are days, months or years between which a record must lie by its own
	// date, both among them; "": open. A record without a date does not.
	From, To string
}

// ParseTerms reads a line such as
//
//	chest "shortness of breath" -smoker LOINC|4548-4 type:Observation from:2025-03 to:2026
//
// Words in quotes are one phrase, and in them nothing has a meaning of its own.
func ParseTerms(line string) Terms {
	var t Terms
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimLeftFunc(rest, unicode.IsSpace) {
		var not bool
		if after, ok := strings.CutPrefix(rest, "-"); ok && after != "" && !unicode.IsSpace([]rune(after)[0]) {
			not, rest = true, after
		}
		word, quoted := "", false
		word, rest, quoted = nextWord(rest)
		name, value, colon := strings.Cut(word, ":")
		switch name = strings.ToLower(name); {
		case word == "":
		case not:
			t.Not = append(t.Not, word)
		case quoted || !colon || value == "":
			t.Words = append(t.Words, word)
		case name == "type":
			t.Types = append(t.Types, strings.Split(value, ",")...)
		case name == "from":
			t.From = value
		case name == "to":
			t.To = value
		default:
			t.Words = append(t.Words, word)
		}
	}
	return t
}

// nextWord cuts a word, or a phrase in quotes, off a line that is not empty. A quote
// without its end reaches to the end of the line.
func nextWord(line string) (word, rest string, quoted bool) {
	for _, q := range []struct{ open, end string }{{`"`, `"`}, {"“", "”"}, {"„", "“"}} {
		if after, ok := strings.CutPrefix(line, q.open); ok {
			word, rest, _ = strings.Cut(after, q.end)
			return word, rest, true
		}
	}
	if i := strings.IndexFunc(line, unicode.IsSpace); i >= 0 {
		return line[:i], line[i:], false
	}
	return line, "", false
}

// String writes the terms so that ParseTerms reads them again.
func (t Terms) String() string {
	var out []string
	for _, w := range t.Words {
		out = append(out, quotedTerm(w))
	}
	for _, w := range t.Not {
		out = append(out, "-"+quotedTerm(w))
	}
	if len(t.Types) > 0 {
		out = append(out, "type:"+strings.Join(t.Types, ","))
	}
	if t.From != "" {
		out = append(out, "from:"+t.From)
	}
	if t.To != "" {
		out = append(out, "to:"+t.To)
	}
	return strings.Join(out, " ")
}

func quotedTerm(w string) string {
	if strings.ContainsFunc(w, unicode.IsSpace) || strings.HasPrefix(w, "-") || strings.Contains(w, ":") {
		return `"` + strings.ReplaceAll(w, `"`, "") + `"`
	}
	return w
}

// A Search is Terms that were understood. Accents, capitals and the length of white
// space do not count in it.
type Search struct {
	terms, not []term
	words      []string // each must stand somewhere, for a record to be looked at
	types      []string
	from, to   string
}

type term struct {
	folded string
	system string // of system|code; only with bar
	code   string
	bar    bool
}

// ErrNothing says that a search has no words.
var ErrNothing = errors.New("there is nothing to look for")

// Search returns the search for the terms. The error is ErrNothing, or says which date
// is none.
func (t Terms) Search() (*Search, error) {
	s := &Search{terms: newTerms(t.Words), not: newTerms(t.Not), from: strings.TrimSpace(t.From), to: strings.TrimSpace(t.To)}
	for _, d := range []string{s.from, s.to} {
		if _, ok := parseDate(d); d != "" && (!ok || len(d) > len("2026-03-01")) {
			return nil, fmt.Errorf("%q is no date: write a day as 2026-03-01, a month as 2026-03, or a year", CleanLine(d))
		}
	}
	for _, typ := range t.Types {
		if typ = strings.TrimSpace(typ); typ != "" && !slices.Contains(s.types, typ) {
			s.types = append(s.types, typ)
		}
	}
	if len(s.terms) == 0 {
		return nil, ErrNothing
	}
	for _, one := range s.terms {
		if one.bar {
			s.words = append(s.words, one.code)
			continue
		}
		for _, w := range strings.Fields(one.folded) {
			if w != "|" { // stands between cells, where the bytes have tags
				s.words = append(s.words, w)
			}
		}
	}
	// Long words are rare words: they are looked for first.
	slices.SortFunc(s.words, func(a, b string) int { return len(b) - len(a) })
	return s, nil
}

func newTerms(phrases []string) (list []term) {
	for _, p := range phrases {
		t := term{folded: Fold(CleanLine(p))}
		if system, code, ok := strings.Cut(t.folded, "|"); ok && strings.TrimSpace(code) != "" {
			t.system, t.code, t.bar = strings.TrimSpace(system), strings.TrimSpace(code), true
		}
		if t.folded != "" {
			list = append(list, t)
		}
	}
	return list
}

// Types are the types of record that the search is for; none: all.
func (s *Search) Types() []string { return s.types }

// inTime reports whether a date, as a record gives it, is between those asked for. Of
// two that are not equally exact only what both say is compared.
func (s *Search) inTime(date string) bool {
	if s.from == "" && s.to == "" {
		return true
	}
	if _, ok := parseDate(date); !ok {
		return false
	}
	day, _, _ := strings.Cut(date, "T")
	n, m := min(len(day), len(s.from)), min(len(day), len(s.to))
	return day[:n] >= s.from[:n] && day[:m] <= s.to[:m]
}

// A Piece is a part of a line; Hit says that it is what was looked for.
type Piece struct {
	Text string
	Hit  bool
}

// Pieces cuts a line where what was looked for stands in it, so that a page can mark
// it. Put together they are the line.
func (s *Search) Pieces(line string) []Piece {
	var folded strings.Builder
	var at []int // where each letter of the line begins in the folded text
	runes := []rune(line)
	for _, r := range runes {
		at = append(at, folded.Len())
		folded.WriteString(Fold(string(r)))
	}
	hit := make([]bool, len(runes))
	for _, t := range s.terms {
		text := t.folded
		if t.bar {
			text = t.code
		}
		for from := 0; text != ""; {
			i := strings.Index(folded.String()[from:], text)
			if i < 0 {
				break
			}
			for k := range runes {
				hit[k] = hit[k] || at[k] >= from+i && at[k] < from+i+len(text)
			}
			from += i + len(text)
		}
	}
	var out []Piece
	for k, r := range runes {
		if k == 0 || hit[k] != hit[k-1] {
			out = append(out, Piece{Hit: hit[k]})
		}
		out[len(out)-1].Text += string(r)
	}
	return out
}
