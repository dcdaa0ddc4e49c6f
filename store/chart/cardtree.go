package chart

import (
	"slices"
	"strings"
)

// A Branch is one element of a record as a page shows it: a heading with what is below
// it, or a value.
type Branch struct {
	Name   string   // in words; of one of several in a list, its number
	Value  string   // of a value: as it is written
	Note   string   // of a heading: what it says, in short; of a code system: its short name
	Link   *Link    // of a reference
	Inside int      // of a contained record: which one, from 1
	Leaves int      // values at or below it
	Fold   bool     // it is long and seldom looked for: shown on demand, on the page all the same
	Kids   []Branch // nil: it is a value
}

const (
	// deepest is how many headings stand in each other; what is deeper stands below the
	// last of them, each value with its whole path.
	deepest = 12
	// foldExtension is from how many values on an extension is folded, foldExtensions a
	// list of them, foldAny any other heading, and foldText from how many letters on a value.
	foldExtension  = 12
	foldExtensions = 60
	foldAny        = 400
	foldText       = 4000
)

// CardTree returns what Card returns, put below headings in the order of the record,
// except that what the record says about itself as a record comes last. No value is left
// out.
func CardTree(raw []byte) ([]Branch, error) {
	tree, err := parseTree(raw)
	if err != nil {
		return nil, err
	}
	t := trees{inside: insides(&tree)}
	if tree.leaf() {
		return []Branch{t.branch(&tree, "record", "", nil, 0)}, nil
	}
	root := t.branch(&tree, "", "", nil, 0)
	slices.SortStableFunc(root.Kids, func(a, b Branch) int { return aboutRecord(a.Name) - aboutRecord(b.Name) })
	return root.Kids, nil
}

// aboutRecord is 1 for the elements that keep a record apart from others, and are nothing
// to read; else 0.
func aboutRecord(name string) int {
	if slices.Contains([]string{"resource type", "id", "meta", "implicit rules", "language"}, name) {
		return 1
	}
	return 0
}

type trees struct{ inside map[string]int }

// branch makes the branch of a node: heading is its name in words, name that of the
// member, of the object that it is in.
func (t *trees) branch(n *node, heading, name string, of *node, depth int) Branch {
	b := Branch{Name: heading}
	switch {
	case n.leaf():
		b.Leaves, b.Value = 1, leafText(n, name)
		b.Fold = len(b.Value) > foldText
		if of != nil {
			b.Link = linkOf(n, of, name, t.inside)
		}
		if name == "system" && n.kind == text {
			b.Note = systems[n.text]
		}
		return b
	case n.kind == array && len(n.kids) == 1:
		b = t.branch(&n.kids[0], heading, name, of, depth)
		if depth == 1 && name == "contained" {
			b.Inside = 1
		}
		return b
	case depth >= deepest:
		eachLeaf(n, "", name, of, func(l leafAt) {
			kid := t.branch(l.leaf, l.path, l.name, l.of, depth)
			b.Kids, b.Leaves = append(b.Kids, kid), b.Leaves+1
		})
		return b
	}
	b.Note = saysOf(n)
	for i := range n.kids {
		step, member, in := itoa(i+1), name, of
		if n.kind == object {
			step, member, in = n.member(i), n.names[i], n
		}
		kid := t.branch(&n.kids[i], step, member, in, depth+1)
		if depth == 1 && name == "contained" && n.kind == array {
			kid.Inside = i + 1
		}
		b.Kids, b.Leaves = append(b.Kids, kid), b.Leaves+kid.Leaves
	}
	if b.Fold = depth > 0 && b.Leaves >= foldFrom(n, name); b.Fold {
		unfold(b.Kids)
	}
	return b
}

// foldFrom is from how many values on a heading is folded.
func foldFrom(n *node, name string) int {
	switch {
	case name != "extension" && name != "modifierExtension":
		return foldAny
	case n.kind == array:
		return foldExtensions
	}
	return foldExtension
}

// unfold opens headings that stand in a folded one: one click shows it all.
func unfold(list []Branch) {
	for i := range list {
		if list[i].Kids != nil {
			list[i].Fold = false
			unfold(list[i].Kids)
		}
	}
}

// saysOf says in short what an object says, so that its heading can be read alone: a
// code, a value with its unit, a type; "" for anything else.
func saysOf(n *node) string {
	if code := n.str("code"); code != "" && n.get("value") == nil {
		return join(" ", CleanLine(n.str("display")), paren(join(" ", systemName(n.str("system")), CleanLine(code))))
	}
	v := n.get("value")
	switch {
	case v != nil && v.kind == text:
		return CleanLine(v.text)
	case v != nil && v.kind == number:
		unit := n.str("unit")
		if unit == "" {
			unit = n.str("code")
		}
		return CleanLine(join(" ", n.str("comparator")+v.text, unit))
	}
	if list := n.get("coding"); list != nil {
		if t := n.str("text"); t != "" {
			return CleanLine(t)
		}
		if len(list.kids) > 0 {
			return saysOf(&list.kids[0])
		}
	}
	if typ := n.str("resourceType"); typ != "" {
		return CleanLine(typ)
	}
	if url := n.str("url"); url != "" {
		url = strings.TrimSuffix(url, "/")
		return CleanLine(url[strings.LastIndexByte(url, '/')+1:])
	}
	return CleanLine(n.str("display"))
}
