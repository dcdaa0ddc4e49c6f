package scan

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// ErrNoBundle says that bytes are JSON and no FHIR Bundle.
var ErrNoBundle = errors.New("not a Bundle")

// A Bundle is a page cut into its pieces.
type Bundle struct {
	Type    string
	Total   int // -1 if it is not given
	Self    string
	Next    string
	Entries []Entry
}

// An Entry is one entry of a Bundle. Resource points into the page and holds
// its very bytes, which may span lines (see Compact); nil if there is none.
type Entry struct {
	FullURL  string
	Mode     string // search.mode
	Method   string // request.method, in a history
	URL      string // request.url
	Resource []byte
}

// Bundle cuts a page. It proves that the page is one JSON object in UTF-8 and
// refuses one in which the root or an entry names a member twice: what would be
// read from it could be chosen by whoever wrote it (P120).
func (s *Scanner) Bundle(page []byte) (Bundle, error) {
	b := Bundle{Total: -1}
	if !utf8.Valid(page) {
		return b, ErrNotUTF8
	}
	s.b, s.cuts, s.loose, s.links, s.refs = page, s.cuts[:0], false, s.links[:0], s.refs[:0]
	s.tidy = tidy(page)
	defer s.quietly()()
	var kind string
	var link, entry span
	i, err := s.object1(s.space(0), func(name string, v span) {
		switch name {
		case "resourceType":
			kind = string(s.text(v))
		case "type":
			b.Type = string(s.text(v))
		case "total":
			if n, err := strconv.Atoi(string(s.b[v.from:v.to])); err == nil && n >= 0 {
				b.Total = n
			}
		case "link":
			link = v
		case "entry":
			entry = v
		}
	})
	if err != nil {
		return b, err
	}
	if i = s.space(i); i != len(page) {
		return b, &SyntaxError{i}
	}
	if kind != "Bundle" {
		return b, ErrNoBundle
	}
	if link.to != 0 {
		s.each(link.from, func(i int) bool { b.link(s, i); return false })
	}
	if entry.to != 0 {
		s.each(entry.from, func(i int) bool {
			var e Entry
			e, err = s.entry(i)
			b.Entries = append(b.Entries, e)
			return err != nil
		})
	}
	return b, err
}

func (b *Bundle) link(s *Scanner, i int) {
	url := string(s.text(s.find(i, "url")))
	switch string(s.text(s.find(i, "relation"))) {
	case "self":
		b.Self = url
	case "next":
		b.Next = url
	}
}

// entry reads the entry whose brace is at i.
func (s *Scanner) entry(i int) (e Entry, err error) {
	_, err = s.object1(i, func(name string, v span) {
		switch {
		case name == "fullUrl":
			e.FullURL = string(s.text(v))
		case s.b[v.from] != '{':
		case name == "resource":
			e.Resource = s.b[v.from:v.to]
		case name == "search":
			e.Mode = string(s.text(s.find(v.from, "mode")))
		case name == "request":
			e.Method = string(s.text(s.find(v.from, "method")))
			e.URL = string(s.text(s.find(v.from, "url")))
		}
	})
	return e, err
}

// object1 checks the object at i, calls fn for each of its members, and refuses
// two of one name. It returns the object's end.
func (s *Scanner) object1(i int, fn func(name string, v span)) (int, error) {
	if i >= len(s.b) || s.b[i] != '{' {
		return i, ErrNotObject
	}
	seen := map[string]bool{}
	i = s.space(i + 1)
	if i < len(s.b) && s.b[i] == '}' {
		return i + 1, nil
	}
	for more := true; more; {
		end, from, err := s.name(i)
		if err != nil {
			return i, err
		}
		name := string(unescaped(s.b[i:end]))
		if seen[name] {
			return i, fmt.Errorf("a Bundle: %w", ErrDuplicateKey)
		}
		seen[name] = true
		if i, err = s.value(from, 1, false); err != nil {
			return i, err
		}
		fn(name, span{from, i})
		if i, more, err = s.next(i, '}'); err != nil {
			return i, err
		}
	}
	return i, nil
}
