package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A kind is what a JSON value is.
type kind byte

const (
	object  kind = '{'
	array   kind = '['
	text    kind = '"'
	number  kind = '0'
	boolean kind = 't'
	null    kind = 'n'
)

// A node is one JSON value with its members or elements in order.
type node struct {
	kind  kind
	text  string   // of a string: unescaped; of a number or boolean: as written
	names []string // of an object: one for each kid
	kids  []node
	again map[int]bool // of an object: the kids whose name stood in it before; nil: none
}

// member is the name of a kid of an object in words. One that is not the first of its name
// says so.
func (n *node) member(i int) string {
	if n.again[i] {
		return words(n.names[i]) + " (again)"
	}
	return words(n.names[i])
}

// leaf reports whether a node has nothing below it.
func (n *node) leaf() bool { return len(n.kids) == 0 }

// get returns the first member of that name; nil if there is none.
func (n *node) get(name string) *node {
	if n == nil || n.kind != object {
		return nil
	}
	for i, k := range n.names {
		if k == name {
			return &n.kids[i]
		}
	}
	return nil
}

// str returns the text of a member that is a string.
func (n *node) str(name string) string {
	if m := n.get(name); m != nil && m.kind == text {
		return m.text
	}
	return ""
}

// parseTree reads one JSON value. Numbers keep their text, members their order;
// a name that stands twice stays twice.
func parseTree(raw []byte) (node, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	n, err := parseNode(d)
	if err != nil {
		return node{}, fmt.Errorf("read a record: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return node{}, errors.New("read a record: something follows it")
	}
	return n, nil
}

func parseNode(d *json.Decoder) (node, error) {
	t, err := d.Token()
	if err != nil {
		return node{}, err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			return parseObject(d)
		}
		return parseArray(d)
	case string:
		return node{kind: text, text: t}, nil
	case json.Number:
		return node{kind: number, text: t.String()}, nil
	case bool:
		return node{kind: boolean, text: fmt.Sprint(t)}, nil
	}
	return node{kind: null, text: "null"}, nil
}

func parseObject(d *json.Decoder) (node, error) {
	n := node{kind: object}
	seen := nameSet{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return n, err
		}
		kid, err := parseNode(d)
		if err != nil {
			return n, err
		}
		name, _ := t.(string)
		if seen.add(name, n.names) {
			if n.again == nil {
				n.again = map[int]bool{}
			}
			n.again[len(n.kids)] = true
		}
		n.names, n.kids = append(n.names, name), append(n.kids, kid)
	}
	_, err := d.Token()
	return n, err
}

// A nameSet finds names that stand twice in one object: most objects are small.
type nameSet struct{ large map[string]bool }

// add adds a name to those before it and reports whether it is one of them.
func (s *nameSet) add(name string, before []string) bool {
	const small = 16
	if len(before) < small {
		return slices.Contains(before, name)
	}
	if s.large == nil {
		s.large = map[string]bool{}
		for _, b := range before {
			s.large[b] = true
		}
	}
	again := s.large[name]
	s.large[name] = true
	return again
}

// Twice reports whether a name stands twice in one object of a record, at whatever depth:
// nobody can tell which of the two values counts. Its Card shows both.
func Twice(raw []byte) (twice bool) {
	tree, err := parseTree(slim(raw))
	if err != nil {
		return false
	}
	walk(&tree, func(n *node) { twice = twice || n.again != nil })
	return twice
}

// mostMembers is how many members an object of a record may have: FHIR knows none with a
// quarter of that.
const mostMembers = 256

// namesTwice reports whether a name stands twice in one object of JSON, also if the two
// differ in capitals, or may do: a name is written with escapes, or there are too many. The
// models would take one of the values and drop the other.
func namesTwice(raw []byte) bool {
	var seen [][]byte // the names of the objects in which we are
	var open []int    // for each of these and each list, where its names begin
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{', '[':
			open = append(open, len(seen))
		case '}', ']':
			if len(open) > 0 {
				seen, open = seen[:open[len(open)-1]], open[:len(open)-1]
			}
		case '"':
			end := pastString(raw, i)
			if end < 0 {
				return false // no model reads it
			}
			if at := blanks(raw, end); at < len(raw) && raw[at] == ':' && len(open) > 0 {
				name, mine := raw[i+1:end-1], seen[open[len(open)-1]:]
				if len(mine) >= mostMembers || bytes.IndexByte(name, '\\') >= 0 || slices.ContainsFunc(mine, func(b []byte) bool {
					return len(b) == len(name) && bytes.EqualFold(b, name)
				}) {
					return true
				}
				seen = append(seen, name)
			}
			i = end - 1
		}
	}
	return false
}

func parseArray(d *json.Decoder) (node, error) {
	n := node{kind: array}
	for d.More() {
		kid, err := parseNode(d)
		if err != nil {
			return n, err
		}
		n.kids = append(n.kids, kid)
	}
	_, err := d.Token()
	return n, err
}

var errNotJSON = errors.New("not a JSON object")

// eachMember calls fn for every member of the object that raw is: its name, as it
// is written between the quotes, and the bytes of its value. It checks only as much
// as it needs to find its way.
func eachMember(raw []byte, fn func(name, value []byte)) error {
	i := blanks(raw, 0)
	if i >= len(raw) || raw[i] != '{' {
		return errNotJSON
	}
	for i = blanks(raw, i+1); i < len(raw) && raw[i] == '"'; {
		end := pastString(raw, i)
		at := blanks(raw, end)
		if end < 0 || at >= len(raw) || raw[at] != ':' {
			return errNotJSON
		}
		from := blanks(raw, at+1)
		to := pastValue(raw, from)
		if to < 0 {
			return errNotJSON
		}
		fn(raw[i+1:end-1], raw[from:to])
		if i = blanks(raw, to); i < len(raw) && raw[i] == ',' {
			i = blanks(raw, i+1)
		}
	}
	if i >= len(raw) || raw[i] != '}' {
		return errNotJSON
	}
	return nil
}

// holds reports whether a word stands in a record. It looks for the letter at this place
// of the word, the rarest: bytes.Contains would stop at every quote.
func holds(raw []byte, word string, at int) bool {
	for i := at; i < len(raw); i++ {
		n := bytes.IndexByte(raw[i:], word[at])
		if n < 0 {
			return false
		}
		i += n
		if rest := raw[i-at:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
			return true
		}
	}
	return false
}

func blanks(b []byte, i int) int {
	for i >= 0 && i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// pastString returns the place behind the string that begins at i; -1 if it has
// no end.
func pastString(b []byte, i int) int {
	for i++; i < len(b); {
		q := bytes.IndexByte(b[i:], '"')
		if q < 0 {
			return -1
		}
		end := i + q
		slashes := 0
		for end-1-slashes >= i && b[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return end + 1
		}
		i = end + 1
	}
	return -1
}

// pastValue returns the place behind the value that begins at i; -1 if it has no
// end.
func pastValue(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return pastString(b, i)
	case '{', '[':
	default:
		if n := bytes.IndexAny(b[i:], ",}] \n\r\t"); n > 0 {
			return i + n
		}
		return -1
	}
	for depth := 0; i < len(b); {
		switch b[i] {
		case '"':
			if i = pastString(b, i); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}

// words turns a member's name into words: birthDate, "birth date".
func words(name string) string {
	var b strings.Builder
	plain := strings.TrimPrefix(name, "_")
	for i, r := range plain {
		if r >= 'A' && r <= 'Z' && i > 0 {
			b.WriteByte(' ')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	if plain != name {
		b.WriteString(" (about it)")
	}
	return CleanLine(b.String())
}
