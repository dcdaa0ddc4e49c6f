package chart

import (
	"fmt"
	"slices"
	"strings"
)

// A Change is one difference between two versions of a record.
type Change struct {
	Kind string `json:"kind"` // changed, added, removed, moved
	Path string `json:"path"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

// String writes a change in words: "status: final -> corrected".
func (c Change) String() string {
	switch c.Kind {
	case "added":
		return fmt.Sprintf("added %s: %s", c.Path, oneLine(c.New))
	case "removed":
		return fmt.Sprintf("removed %s: %s", c.Path, oneLine(c.Old))
	case "moved":
		return fmt.Sprintf("%s: the same elements in another order", c.Path)
	}
	return fmt.Sprintf("%s: %s -> %s", c.Path, oneLine(c.Old), oneLine(c.New))
}

// Bookkeeping reports whether a change is only in what a server notes about the record
// (meta): which version it is, and from when.
func (c Change) Bookkeeping() bool { return c.Path == "meta" || strings.HasPrefix(c.Path, "meta ") }

// SaidFirst puts bookkeeping behind what the record itself says.
func SaidFirst(list []Change) {
	slices.SortStableFunc(list, func(a, b Change) int {
		switch {
		case a.Bookkeeping() == b.Bookkeeping():
			return 0
		case b.Bookkeeping():
			return -1
		}
		return 1
	})
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ⏎ ") }

// Diff returns what differs between two versions of a record, element by element,
// in the order of the newer one. Elements of a list are paired by what names them
// (an id, a url, a code, a reference) before they are paired by place. There is no
// Change if, and only if, both say the same; order of members does not count.
func Diff(older, newer []byte) ([]Change, error) {
	a, err := parseTree(older)
	if err != nil {
		return nil, err
	}
	b, err := parseTree(newer)
	if err != nil {
		return nil, err
	}
	d := &differ{}
	d.values(&a, &b, "", "")
	return d.out, nil
}

type differ struct{ out []Change }

// same reports whether two values say the same.
func same(a, b *node) bool {
	if a.kind != b.kind || a.text != b.text || len(a.kids) != len(b.kids) {
		return false
	}
	if a.kind != object {
		for i := range a.kids {
			if !same(&a.kids[i], &b.kids[i]) {
				return false
			}
		}
		return true
	}
	for _, p := range pairMembers(a, b) {
		if p.a < 0 || p.b < 0 || !same(&a.kids[p.a], &b.kids[p.b]) {
			return false
		}
	}
	return true
}

// A pair is an element of each side; -1: that side has none.
type pair struct{ a, b int }

// pairMembers pairs members of the same name, the n-th with the n-th, in the order
// of b, then those that only a has.
func pairMembers(a, b *node) []pair {
	used := make([]bool, len(a.kids))
	var out []pair
	for j, name := range b.names {
		at := -1
		for i, other := range a.names {
			if other == name && !used[i] {
				at = i
				used[i] = true
				break
			}
		}
		out = append(out, pair{at, j})
	}
	for i := range used {
		if !used[i] {
			out = append(out, pair{i, -1})
		}
	}
	return out
}

func (d *differ) values(a, b *node, path, name string) {
	switch {
	case a.kind == object && b.kind == object && (!a.leaf() || !b.leaf()):
		for _, p := range pairMembers(a, b) {
			d.pair(a, b, p, path)
		}
	case a.kind == array && b.kind == array && (!a.leaf() || !b.leaf()):
		d.lists(a, b, path, name)
	case same(a, b):
	case a.leaf() && b.leaf():
		d.changed(a, b, path, name)
	default:
		d.whole("removed", a, path, name)
		d.whole("added", b, path, name)
	}
}

// pair compares one pair of members of objects.
func (d *differ) pair(a, b *node, p pair, path string) {
	if p.b < 0 {
		name := a.names[p.a]
		d.whole("removed", &a.kids[p.a], join(" › ", path, a.member(p.a)), name)
		return
	}
	name, place := b.names[p.b], join(" › ", path, b.member(p.b))
	if p.a < 0 {
		d.whole("added", &b.kids[p.b], place, name)
		return
	}
	d.values(&a.kids[p.a], &b.kids[p.b], place, name)
}

func below(path, name string) string {
	return join(" › ", path, words(name))
}

func (d *differ) changed(a, b *node, path, name string) {
	older, newer := leafText(a, name), leafText(b, name)
	if older == newer { // a number that became a text, or other bytes behind the same words
		older, newer = older+" ("+kindName(a)+")", newer+" ("+kindName(b)+", other bytes)"
	}
	d.out = append(d.out, Change{"changed", path, older, newer})
}

func kindName(n *node) string {
	return map[kind]string{text: "text", number: "number", boolean: "yes or no", null: "null", object: "object",
		array: "list"}[n.kind]
}

// whole reports every leaf of a value that only one side has.
func (d *differ) whole(what string, n *node, path, name string) {
	var lines []CardLine
	card(n, path, name, &lines)
	for _, l := range lines {
		c := Change{Kind: what, Path: l.Path}
		if what == "added" {
			c.New = l.Value
		} else {
			c.Old = l.Value
		}
		d.out = append(d.out, c)
	}
}

// lists compares the elements of two lists.
func (d *differ) lists(a, b *node, path, name string) {
	pairs := pairElements(a, b)
	last, moved := -1, false
	for _, p := range pairs {
		place := path
		if n := max(len(a.kids), len(b.kids)); n > 1 {
			at := p.b
			if at < 0 {
				at = p.a
			}
			place = fmt.Sprintf("%s %d", path, at+1)
		}
		switch {
		case p.b < 0:
			d.whole("removed", &a.kids[p.a], place, name)
		case p.a < 0:
			d.whole("added", &b.kids[p.b], place, name)
		default:
			moved = moved || p.a < last
			last = max(last, p.a)
			d.values(&a.kids[p.a], &b.kids[p.b], place, name)
		}
	}
	if moved {
		d.out = append(d.out, Change{Kind: "moved", Path: path})
	}
}

// pairElements pairs elements that are equal, then those of one name, then what is
// left by place; in the order of b, then those that only a has.
func pairElements(a, b *node) []pair {
	to := make([]int, len(b.kids)) // the element of a for each of b
	used := make([]bool, len(a.kids))
	for j := range to {
		to[j] = -1
	}
	match := func(fits func(i, j int) bool) {
		for j := range to {
			for i := range used {
				if to[j] < 0 && !used[i] && fits(i, j) {
					to[j], used[i] = i, true
				}
			}
		}
	}
	if len(a.kids)*len(b.kids) > maxPairs {
		return byPlace(len(a.kids), len(b.kids))
	}
	match(func(i, j int) bool { return i == j && same(&a.kids[i], &b.kids[j]) })
	match(func(i, j int) bool { return same(&a.kids[i], &b.kids[j]) })
	ida, idb := identities(a.kids), identities(b.kids)
	match(func(i, j int) bool { return ida[i] != "" && ida[i] == idb[j] })
	match(func(i, j int) bool { return ida[i] == "" || idb[j] == "" })
	var out []pair
	for j, i := range to {
		out = append(out, pair{i, j})
	}
	for i := range used {
		if !used[i] {
			out = append(out, pair{i, -1})
		}
	}
	return out
}

// maxPairs bounds how many pairs of elements are looked at; longer lists are
// compared place by place.
const maxPairs = 4 << 20

func byPlace(a, b int) []pair {
	var out []pair
	for i := range max(a, b) {
		p := pair{i, i}
		if i >= a {
			p.a = -1
		}
		if i >= b {
			p.b = -1
		}
		out = append(out, p)
	}
	return out
}

func identities(list []node) []string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = identity(&list[i])
	}
	return out
}

// identity is what names an element of a list; "" if nothing does.
func identity(n *node) string {
	for _, name := range []string{"id", "linkId", "url", "reference"} {
		if v := n.str(name); v != "" {
			return name + " " + v
		}
	}
	if v := n.str("code"); v != "" {
		return "code " + n.str("system") + "|" + v
	}
	if use := n.str("use"); use != "" && n.str("system") == "" {
		return "use " + use
	}
	if v := n.get("coding"); v != nil && len(v.kids) > 0 {
		return identity(&v.kids[0])
	}
	if v := n.get("code"); v != nil {
		return identity(v)
	}
	return ""
}
