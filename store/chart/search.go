package chart

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// A Matcher looks at records, one after the other. It is used by one goroutine at
// a time; each gets its own from Search.Matcher.
type Matcher struct {
	s       *Search
	folded  []byte
	decoded []byte
	words   [][]byte
	missing []bool
	latin   bool // the record names an old code page somewhere
}

// Matcher returns a new Matcher.
func (s *Search) Matcher() *Matcher {
	m := &Matcher{s: s, missing: make([]bool, len(s.words))}
	for _, w := range s.words {
		m.words = append(m.words, []byte(w))
	}
	return m
}

// A File is a file that a record names and that is kept outside of it.
type File struct {
	Where       string // the element that names it, in words
	ContentType string
	Data        []byte
}

// May reports whether a record with its files may match: it never says no to one that
// does. It looks at bytes, and is quick.
func (m *Matcher) May(raw []byte, files ...File) bool {
	if escapedLetter(raw) {
		return true // a name may be written otherwise
	}
	for i := range m.missing {
		m.missing[i] = true
	}
	left := len(m.words)
	m.folded = m.folded[:0]
	m.latin = bytes.Contains(raw, []byte("8859"))
	rest := raw
	for {
		from, to := nextData(rest)
		if from < 0 {
			break
		}
		m.folded = appendFolded(m.folded, rest[:from], true)
		var sure bool
		if left, sure = m.inData(rest[from:to], left); sure {
			return true
		}
		rest = rest[to:]
	}
	m.folded = appendFolded(m.folded, rest, true)
	if left = m.look(m.folded, left); left == 0 {
		return true
	}
	for _, f := range files {
		m.latin = strings.Contains(f.ContentType, "8859")
		var sure bool
		if left, sure = m.inFile(f.Data, left); sure {
			return true
		}
	}
	return left == 0 || m.inNarrative(raw, left)
}

// escapedLetter reports whether JSON writes a plain letter as an escape.
func escapedLetter(raw []byte) bool {
	return bytes.Contains(raw, []byte(`\u006`)) || bytes.Contains(raw, []byte(`\u007`))
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

var dataName, divName = []byte(`"data"`), []byte(`"div"`)

// nextData returns where the next base64 of a member named data is, between its
// quotes; -1 if there is none.
func nextData(raw []byte) (from, to int) { return nextString(raw, dataName) }

// nextString returns where the next string of a member of that name is, between its
// quotes; -1 if there is none. An empty one is passed over.
func nextString(raw, name []byte) (from, to int) {
	for at := 0; ; {
		i := bytes.Index(raw[at:], name)
		if i < 0 {
			return -1, -1
		}
		at += i + len(name)
		from = blanks(raw, at)
		if from >= len(raw) || raw[from] != ':' {
			continue
		}
		from = blanks(raw, from+1)
		if from >= len(raw) || raw[from] != '"' {
			continue
		}
		if end := pastString(raw, from); end > from+2 {
			return from + 1, end - 1
		}
	}
}

// binaries are how the base64 of files begins that hold no text to look at.
var binaries = [][]byte{[]byte("JVBERi0"), []byte("/9j/"), []byte("iVBORw0KGgo"), []byte("UEsDB"), []byte("R0lGODdh"),
	[]byte("R0lGODlh"), []byte("SUkqAA"), []byte("TU0AKg")}

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
	return m.inFile(buf[:n], left)
}

// inFile looks into the bytes of a file.
func (m *Matcher) inFile(text []byte, left int) (rest int, sure bool) {
	if bytes.HasPrefix(text, []byte(`{\rtf`)) || bytes.HasPrefix(text, []byte{0xff, 0xfe}) ||
		bytes.HasPrefix(text, []byte{0xfe, 0xff}) || !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 ||
		m.latin && bytes.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return left, true
	}
	if left = m.inText(text, left); left > 0 && bytes.ContainsAny(text, "<&") {
		plain, odd := untagged(string(text))
		if odd {
			return left, true
		}
		left = m.inText(plain, left)
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

// inNarrative reports whether the words that are still missing stand in the narrative
// of a record, where tags and entities are in between.
func (m *Matcher) inNarrative(raw []byte, left int) bool {
	for {
		from, to := nextString(raw, divName)
		if from < 0 {
			return false
		}
		if div := raw[from:to]; splitsWords(div) {
			plain, odd := untagged(stringOf(raw[from-1 : to+1]))
			if left = m.inText(plain, left); odd || left == 0 {
				return true
			}
		}
		raw = raw[to:]
	}
}

// splitsWords reports whether markup, as JSON writes it, has entities, or tags within
// words: of all other markup the words stand in the bytes as they are.
func splitsWords(div []byte) bool {
	if bytes.IndexByte(div, '&') >= 0 || bytes.Contains(div, []byte(`\u00`)) || bytes.Contains(div, []byte("<!")) {
		return true
	}
	for {
		i := bytes.IndexByte(div, '<')
		if i < 0 {
			return false
		}
		apart := i == 0 || div[i-1] <= ' '
		for div = div[i:]; len(div) > 0 && div[0] == '<'; {
			if len(div) < 2 || !tagBegins(div[1]) {
				return true // not a tag: rare
			}
			tag, rest, closed := bytes.Cut(div[1:], []byte(">"))
			if !closed {
				return !apart
			}
			if q := bytes.Count(tag, []byte(`"`)); q%2 != 0 || bytes.IndexByte(tag, '\'') >= 0 {
				return true
			}
			name := strings.TrimPrefix(strings.ToLower(string(tag)), "/")
			if end := strings.IndexAny(name, ` /\`); end >= 0 {
				name = name[:end]
			}
			apart = apart || breaking[name] || len(tag) > 0 && tag[0] == '/' && (name == "td" || name == "th")
			if silent[name] || name == "title" || name == "textarea" {
				return true
			}
			div = rest
		}
		if !apart && len(div) > 0 && div[0] != ' ' {
			return true
		}
	}
}
