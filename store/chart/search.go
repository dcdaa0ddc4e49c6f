package chart

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Search is what somebody looks for in records: phrases, which must all occur,
// and codes. Accents, capitals and the length of white space do not count.
type Search struct {
	terms []term
	words []string // each must stand somewhere, for a record to be looked at
}

type term struct {
	folded string
	system string // of system|code; only with bar
	code   string
	bar    bool
}

// NewSearch returns a search for all of these phrases; one of the form
// system|code is a code, and so is |code of any system.
func NewSearch(phrases []string) (*Search, error) {
	s := &Search{}
	for _, p := range phrases {
		t := term{folded: Fold(CleanLine(p))}
		if t.folded == "" {
			continue
		}
		if system, code, ok := strings.Cut(t.folded, "|"); ok && code != "" {
			t.system, t.code, t.bar = system, code, true
			s.words = append(s.words, code)
		} else {
			s.words = append(s.words, strings.Fields(t.folded)...)
		}
		s.terms = append(s.terms, t)
	}
	if len(s.terms) == 0 {
		return nil, errors.New("there is nothing to look for")
	}
	// Long words are rare words: they are looked for first.
	slices.SortFunc(s.words, func(a, b string) int { return len(b) - len(a) })
	return s, nil
}

// A Matcher looks at records, one after the other. It is used by one goroutine at
// a time; each gets its own from Search.Matcher.
type Matcher struct {
	s       *Search
	folded  []byte
	decoded []byte
	words   [][]byte
	missing []bool
}

// Matcher returns a new Matcher.
func (s *Search) Matcher() *Matcher {
	m := &Matcher{s: s, missing: make([]bool, len(s.words))}
	for _, w := range s.words {
		m.words = append(m.words, []byte(w))
	}
	return m
}

// May reports whether a record may match: it never says no to one that does. It
// looks at bytes, and is quick.
func (m *Matcher) May(raw []byte) bool {
	for i := range m.missing {
		m.missing[i] = true
	}
	left := len(m.words)
	m.folded = m.folded[:0]
	for {
		from, to := nextData(raw)
		if from < 0 {
			break
		}
		m.folded = appendFolded(m.folded, raw[:from], true)
		var sure bool
		if left, sure = m.inData(raw[from:to], left); sure {
			return true
		}
		raw = raw[to:]
	}
	m.folded = appendFolded(m.folded, raw, true)
	return m.look(m.folded, left) == 0
}

// look crosses off the words that stand in text and returns how many are left.
func (m *Matcher) look(text []byte, left int) int {
	for i, w := range m.words {
		if m.missing[i] && bytes.Contains(text, w) {
			m.missing[i] = false
			left--
		}
	}
	return left
}

var dataName = []byte(`"data"`)

// nextData returns where the next base64 of a member named data is, between its
// quotes; -1 if there is none.
func nextData(raw []byte) (from, to int) {
	for at := 0; ; {
		i := bytes.Index(raw[at:], dataName)
		if i < 0 {
			return -1, -1
		}
		at += i + len(dataName)
		from = blanks(raw, at)
		if from >= len(raw) || raw[from] != ':' {
			continue
		}
		from = blanks(raw, from+1)
		if from >= len(raw) || raw[from] != '"' {
			continue
		}
		n := bytes.IndexByte(raw[from+1:], '"')
		if n > 0 {
			return from + 1, from + 1 + n
		}
	}
}

// binaries are how the base64 of files begins that hold no text to look at.
var binaries = [][]byte{[]byte("JVBERi"), []byte("/9j/"), []byte("iVBORw"), []byte("UEsDB"), []byte("R0lGOD"),
	[]byte("SUkq"), []byte("TU0A")}

// inData looks into one file inside a record; sure says that it must be read to
// know.
func (m *Matcher) inData(data []byte, left int) (rest int, sure bool) {
	for _, b := range binaries {
		if bytes.HasPrefix(data, b) {
			return left, false
		}
	}
	if need := base64.StdEncoding.DecodedLen(len(data)); cap(m.decoded) < need {
		m.decoded = make([]byte, need)
	}
	buf := m.decoded[:cap(m.decoded)]
	n, err := base64.StdEncoding.Decode(buf, data)
	if err != nil {
		return left, true // line breaks, or no padding: rare
	}
	text := buf[:n]
	if bytes.HasPrefix(text, []byte(`{\rtf`)) || bytes.HasPrefix(text, []byte{0xff, 0xfe}) ||
		bytes.HasPrefix(text, []byte{0xfe, 0xff}) || !utf8.Valid(text) {
		return left, true
	}
	left = m.inText(text, left)
	if text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff"))); len(text) > 0 && text[0] == '<' && left > 0 {
		if strangeEntity(text) {
			return left, true
		}
		left = m.inText(dropTags(text), left)
	}
	return left, false
}

// inText is look for text that is not folded yet.
func (m *Matcher) inText(text []byte, left int) int {
	at := len(m.folded)
	m.folded = appendFolded(m.folded, text, false)
	left = m.look(m.folded[at:], left)
	m.folded = m.folded[:at]
	return left
}

// strangeEntity reports whether markup writes letters as entities.
func strangeEntity(b []byte) bool {
	for {
		i := bytes.IndexByte(b, '&')
		if i < 0 {
			return false
		}
		b = b[i+1:]
		known := false
		for _, e := range []string{"amp;", "lt;", "gt;", "quot;", "apos;", "nbsp;", "#39;", "#34;", "#160;"} {
			known = known || bytes.HasPrefix(b, []byte(e))
		}
		if !known {
			return true
		}
	}
}

// dropTags takes everything between < and > out, in place.
func dropTags(b []byte) []byte {
	out := b[:0]
	for len(b) > 0 {
		i := bytes.IndexByte(b, '<')
		if i < 0 {
			return append(out, b...)
		}
		out = append(out, b[:i]...)
		end := bytes.IndexByte(b[i:], '>')
		if end < 0 {
			return append(out, b[i:]...)
		}
		b = b[i+end+1:]
	}
	return out
}

// A Hit says where a record holds what was looked for.
type Hit struct {
	Where   string `json:"where"` // the element, in words
	Snippet string `json:"snippet"`
}

// Match reports whether a record holds every phrase, and where the first is.
func (m *Matcher) Match(r Resource) (Hit, bool) {
	tree, err := parseTree(r.Raw)
	if err != nil {
		return Hit{}, false
	}
	var first Hit
	for i, t := range m.s.terms {
		hit, ok := t.in(&tree, "", r.Type)
		if !ok {
			return Hit{}, false
		}
		if i == 0 {
			first = hit
		}
	}
	return first, true
}

// unsearched are members that hold no words of a person.
var unsearched = map[string]bool{"resourceType": true, "id": true, "reference": true, "system": true, "url": true,
	"meta": true, "status": true, "use": true, "contentType": true, "language": true, "hash": true}

// in looks for a term in a value and all below it. name is the member's, or the
// record's type at the root.
func (t term) in(n *node, path, name string) (Hit, bool) {
	if n.kind == object && t.bar {
		if t.isCoding(n) {
			return Hit{path, join(" ", CleanLine(n.str("display")), CleanLine(systemName(n.str("system"))),
				CleanLine(n.str("code")))}, true
		}
	}
	if n.kind == object {
		if data := n.str("data"); data != "" && !t.bar {
			if hit, ok := t.inFile(n, data, below(path, "data")); ok {
				return hit, true
			}
		}
	}
	if n.kind == text && !t.bar {
		return t.inString(n.text, path, name)
	}
	for i := range n.kids {
		kid, step := name, path
		if n.kind == object {
			if kid = n.names[i]; unsearched[kid] || kid == "data" {
				continue
			}
			step = below(path, kid)
		}
		if hit, ok := t.in(&n.kids[i], step, kid); ok {
			return hit, true
		}
	}
	return Hit{}, false
}

func (t term) isCoding(n *node) bool {
	return Fold(n.str("code")) == t.code && (t.system == "" || Fold(n.str("system")) == t.system ||
		Fold(systemName(n.str("system"))) == t.system)
}

// inString looks for a phrase; a code must be the whole phrase.
func (t term) inString(s, path, name string) (Hit, bool) {
	if name == "code" {
		if Fold(s) == t.folded {
			return Hit{path, CleanLine(s)}, true
		}
		return Hit{}, false
	}
	if name == "div" && strings.HasPrefix(s, "<") {
		s = htmlText(s)
	}
	line := CleanLine(s)
	if at := strings.Index(Fold(line), t.folded); at >= 0 {
		return Hit{path, snippet(line, t.folded)}, true
	}
	return Hit{}, false
}

func (t term) inFile(n *node, data, path string) (Hit, bool) {
	b, err := decode64(data)
	if err != nil {
		return Hit{}, false
	}
	s, ok := Text(n.str("contentType"), b)
	if !ok {
		return Hit{}, false
	}
	return t.inString(s, path, "")
}

// around is how many letters of a snippet stand on each side.
const around = 60

// snippet returns the words around the first place of a folded phrase in a line.
func snippet(line, phrase string) string {
	// Each letter of the line and where it stands in the folded text.
	var folded strings.Builder
	var at []int
	runes := []rune(line)
	for _, r := range runes {
		at = append(at, folded.Len())
		folded.WriteString(Fold(string(r)))
	}
	i := strings.Index(folded.String(), phrase)
	if i < 0 {
		i = 0 // a letter that folds only beside another
	}
	from, _ := slices.BinarySearch(at, i)
	to, _ := slices.BinarySearch(at, i+len(phrase))
	start, end := max(0, from-around), min(len(runes), to+around)
	out := string(runes[start:end])
	if start > 0 {
		out = "…" + out
	}
	if end < len(runes) {
		out += "…"
	}
	return out
}
