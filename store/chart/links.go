package chart

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

// A Link is a reference that stands in a record.
type Link struct {
	Path    string // of the element, in words
	Text    string // the reference, as it is given
	Display string // what the record calls the one it names
	Base    string // of an absolute one, what stands before the type; "" if it is relative
	Type    string // with ID: the record that it names; "" if it names none that way
	ID      string
	Version string // "" if it names no version in particular
	Inside  int    // which of the contained records it names, from 1; 0: none
}

// Names reports whether a link names a record of the source at base, in whatever version.
// An absolute one does only below base: see Own.
func (l *Link) Names(typ, id, base string) bool {
	return l.Type == typ && l.ID == id && typ != "" && Own(l.Base, base)
}

// Elsewhere says in words that a link leads to a record of another server than the source
// at base, or may do so; "" if it does not.
func (l *Link) Elsewhere(base string) string {
	if l.Type == "" {
		return ""
	}
	return foreign(l.Base, base)
}

// Links returns every reference in a record in its order, of what is contained in it
// too, and the addresses of its files that lie in a Binary.
func Links(raw []byte) ([]Link, error) {
	tree, err := parseTree(slim(raw))
	if err != nil {
		return nil, err
	}
	inside := insides(&tree)
	var out []Link
	eachLeaf(&tree, "", "", nil, func(l leafAt) {
		if k := linkOf(l.leaf, l.of, l.name, inside); k != nil {
			k.Path = l.path
			out = append(out, *k)
		}
	})
	return out, nil
}

// A leafAt is a leaf and where it stands: in which object, as which member.
type leafAt struct {
	path, name string
	leaf, of   *node
}

// eachLeaf calls fn for every leaf, with the path that its card has.
func eachLeaf(n *node, path, name string, of *node, fn func(leafAt)) {
	if n.leaf() {
		fn(leafAt{path, name, n, of})
		return
	}
	for i := range n.kids {
		if n.kind == object {
			eachLeaf(&n.kids[i], join(" › ", path, n.member(i)), n.names[i], n, fn)
			continue
		}
		step := path
		if len(n.kids) > 1 {
			step = join(" ", path, itoa(i+1))
		}
		eachLeaf(&n.kids[i], step, name, of, fn)
	}
}

// linkOf reads a leaf, a member of the object of, as a link; nil if it is none.
func linkOf(leaf, of *node, name string, inside map[string]int) *Link {
	if leaf.kind != text || leaf.text == "" || name != "reference" && name != "url" {
		return nil
	}
	l := &Link{Text: CleanLine(leaf.text), Display: CleanLine(of.str("display"))}
	if id, ok := strings.CutPrefix(leaf.text, "#"); ok && name == "reference" {
		l.Inside = inside[id]
		return l
	}
	l.Base, l.Type, l.ID, l.Version = splitReference(leaf.text)
	if name == "url" && l.Type != "Binary" {
		return nil
	}
	l.Version = CleanLine(l.Version)
	return l
}

// insides numbers the records that are contained in one, by their ids.
func insides(tree *node) map[string]int {
	list := tree.get("contained")
	if list == nil {
		return nil
	}
	at := map[string]int{}
	for i := range list.kids {
		if id := list.kids[i].str("id"); id != "" && at[id] == 0 {
			at[id] = i + 1
		}
	}
	return at
}

// A Pointer finds what names one record. It may be used by many goroutines.
type Pointer struct {
	typ, id, base string
	marks         [][]byte // one stands in each record that names it; nil: that is not known
}

// plainID are ids that look the same in JSON, but for escapes.
var plainID = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// NewPointer returns a Pointer for a record; base is as for Link.Names.
func NewPointer(typ, id, base string) *Pointer {
	p := &Pointer{typ: typ, id: id, base: base}
	if plainID.MatchString(typ + id) {
		p.marks = [][]byte{[]byte(typ + "/" + id), []byte(typ + `\/` + id)}
	}
	return p
}

// may reports whether a record may name the one looked for: it never says no to one that
// does.
func (p *Pointer) may(raw []byte) bool {
	for _, m := range p.marks {
		if bytes.Contains(raw, m) {
			return true
		}
	}
	return p.marks == nil || escapesPlain(raw)
}

// escapesPlain reports whether JSON writes a letter, a digit or a sign of an id as an
// escape.
func escapesPlain(raw []byte) bool {
	for {
		i := bytes.Index(raw, []byte(`\u00`))
		if i < 0 || i+6 > len(raw) {
			return false
		}
		if c, err := strconv.ParseUint(string(raw[i+4:i+6]), 16, 8); err == nil && (c == '/' || plainID.Match([]byte{byte(c)})) {
			return true
		}
		raw = raw[i+6:]
	}
}

// In returns the references in a record that name the one looked for. A record that is no
// JSON names nothing.
func (p *Pointer) In(raw []byte) []Link {
	if !p.may(raw) {
		return nil
	}
	all, err := Links(raw)
	if err != nil {
		return nil
	}
	var out []Link
	for i := range all {
		if all[i].Names(p.typ, p.id, p.base) {
			out = append(out, all[i])
		}
	}
	return out
}
