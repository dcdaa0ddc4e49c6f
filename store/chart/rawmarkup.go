package chart

import (
	"html"
	"strings"
)

// A rawMarkup is markup read roughly and quickly, piece by piece: words, tags and comments
// as they follow each other. What looks like no tag is words.
type rawMarkup struct {
	rest  string
	piece string // of a tag: what is between < and >
	kind  pieceKind
	odd   bool // something in it may be read in another way
}

// A pieceKind says what a piece of markup is.
type pieceKind byte

const (
	markupWords   pieceKind = iota // with entities in them
	verbatimWords                  // without
	markupTag
	markupComment
)

// next takes the next piece; false if there is none.
func (m *rawMarkup) next() bool {
	s := m.rest
	if s == "" {
		return false
	}
	i := strings.IndexByte(s, '<')
	switch {
	case i < 0:
		m.kind, m.piece, m.rest = markupWords, s, ""
	case i > 0:
		m.kind, m.piece, m.rest = markupWords, s[:i], s[i:]
	case len(s) < 2 || !tagBegins(s[1]):
		m.kind, m.piece, m.rest = verbatimWords, "<", s[1:]
	case strings.HasPrefix(s, "<!--"):
		m.kind = markupComment
		m.piece, m.rest, _ = strings.Cut(s, "-->")
	default:
		m.nextTag(s)
	}
	return true
}

// nextTag takes a tag, and what is between it and its end if that is no text. A tag
// that is not closed is words.
func (m *rawMarkup) nextTag(s string) {
	end := strings.IndexByte(s, '>')
	if end < 0 {
		m.kind, m.piece, m.rest = verbatimWords, s, ""
		return
	}
	m.kind, m.piece, m.rest = markupTag, s[1:end], s[end+1:]
	m.odd = m.odd || oddQuotes(m.piece)
	name := m.tag()
	if !silent[name] && name != "title" && name != "textarea" || strings.HasSuffix(m.piece, "/") {
		return
	}
	i := indexFold(m.rest, "</"+name)
	if i < 0 {
		m.odd = true
		return
	}
	inside, after := m.rest[:i], m.rest[i+len("</"+name):]
	m.odd = m.odd || strings.Contains(inside, "<!--") || after == "" || !strings.ContainsAny(after[:1], " \t\r\n\f/>")
	if silent[name] {
		_, m.rest, _ = strings.Cut(after, ">")
	} else {
		m.odd = m.odd || strings.Contains(inside, "<") // which is no tag there
	}
}

// oddQuotes reports whether a > that seems to end a tag may stand in quotes.
func oddQuotes(tag string) bool {
	if tag[0] == '!' || tag[0] == '?' {
		return false
	}
	for {
		i := strings.IndexAny(tag, `"'`)
		if i < 0 {
			return false
		}
		before := strings.TrimRight(tag[:i], " \t\r\n\f")
		_, rest, closed := strings.Cut(tag[i+1:], tag[i:i+1])
		if !closed || !strings.HasSuffix(before, "=") {
			return true
		}
		tag = rest
	}
}

// tag is the name of a tag in small letters, behind a / if it closes; "" of anything
// else.
func (m *rawMarkup) tag() string {
	if m.kind != markupTag {
		return ""
	}
	name, slash := strings.TrimPrefix(m.piece, "/"), ""
	if len(name) < len(m.piece) {
		slash = "/"
	}
	if i := strings.IndexAny(name, " \t\r\n/"); i >= 0 {
		name = name[:i]
	}
	return slash + strings.ToLower(name)
}

// tagBegins reports whether a tag begins with this letter behind its <.
func tagBegins(c byte) bool {
	return c == '/' || c == '!' || c == '?' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// indexFold returns where a word of small ASCII letters stands in s, in whatever
// capitals; -1 if it does not.
func indexFold(s, word string) int {
	for at := 0; ; at++ {
		i := strings.IndexByte(s[at:], word[0])
		if i < 0 || len(s)-at-i < len(word) {
			return -1
		}
		at += i
		if strings.EqualFold(s[at:at+len(word)], word) {
			return at
		}
	}
}

// untagged returns the words of markup as htmlText and clinicalText find them, those on
// both sides of a tag together, and perhaps more. odd says that one of these may read it
// in another way.
func untagged(s string) (plain []byte, odd bool) {
	clinical := indexFold(s, "clinicaldocument") >= 0
	if clinical && indexFold(s, "nonxmlbody") >= 0 {
		return nil, true // then they say so, in their own words
	}
	m := rawMarkup{rest: s}
	for m.next() {
		switch m.kind {
		case markupWords:
			plain = append(plain, html.UnescapeString(m.piece)...)
		case verbatimWords:
			plain = append(plain, m.piece...)
		case markupComment:
			odd = odd || len(m.piece) < len("<!--") || strings.Contains(m.piece, "--!>")
		case markupTag:
			odd = odd || clinical && (silent[m.tag()] || m.piece[0] == '!' && strings.ContainsAny(m.piece, `["'`) ||
				m.piece[0] == '?' && !strings.HasSuffix(m.piece, "?"))
		}
	}
	return plain, odd || m.odd
}
