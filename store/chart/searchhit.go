package chart

import (
	"slices"
	"strings"
)

// A Hit says where a record holds what was looked for.
type Hit struct {
	Where   string `json:"where"` // the element, in words
	Snippet string `json:"snippet"`
	// More are the places of what else was looked for, where they are others.
	More []Hit `json:"more,omitempty"`
}

// Match reports whether a record, with its files, holds every word and phrase and none
// that it must not, and where.
func (m *Matcher) Match(r Resource, files ...File) (Hit, bool) {
	tree, err := parseTree(r.Raw)
	if err != nil || !m.s.inTime(dateGiven(&tree)) {
		return Hit{}, false
	}
	texts := make([]string, len(files))
	for i, f := range files {
		if s, ok := Text(f.ContentType, f.Data); ok {
			texts[i] = s
		}
	}
	find := func(t term) (Hit, bool) {
		if hit, ok := t.in(&tree, "", r.Type); ok || t.bar {
			return hit, ok
		}
		for i, s := range texts {
			if hit, ok := t.inString(s, files[i].Where, ""); ok {
				return hit, true
			}
		}
		return Hit{}, false
	}
	var hits []Hit
	for _, t := range m.s.terms {
		hit, ok := find(t)
		if !ok {
			return Hit{}, false
		}
		if !slices.ContainsFunc(hits, func(h Hit) bool {
			return h.Where == hit.Where && strings.Contains(Fold(h.Snippet), t.folded)
		}) {
			hits = append(hits, hit)
		}
	}
	for _, t := range m.s.not {
		if _, ok := find(t); ok {
			return Hit{}, false
		}
	}
	first := hits[0]
	first.More = hits[1:]
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
			return Hit{Where: path, Snippet: join(" ", CleanLine(n.str("display")), CleanLine(systemName(n.str("system"))),
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
			return Hit{Where: path, Snippet: CleanLine(s)}, true
		}
		return Hit{}, false
	}
	if name == "div" && strings.HasPrefix(s, "<") {
		s = htmlText(s)
	}
	line := CleanLine(s)
	if at := strings.Index(Fold(line), t.folded); at >= 0 {
		return Hit{Where: path, Snippet: snippet(line, t.folded)}, true
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
