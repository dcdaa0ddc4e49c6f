package chart

import (
	"bytes"
	"slices"
	"strings"
)

// A Coding is a code as a record gives it. Code is "" where the record has only words.
type Coding struct {
	System string // as in the record
	Code   string
	Words  string // "" if the record gives none
}

// Name is the code with a short name of its system.
func (c Coding) Name() string { return join(" ", systemName(c.System), c.Code) }

// Term finds the coding again, and no other: see Terms.Words.
func (c Coding) Term() string {
	if c.Code == "" {
		return c.Words
	}
	return c.System + "|" + c.Code
}

// A CodeKind says in what role a code is looked for.
type CodeKind string

// The kinds.
const (
	AnyCode     CodeKind = "" // wherever a record has one
	HasProblem  CodeKind = "problem"
	HasMedicine CodeKind = "medicine"
	HasVaccine  CodeKind = "vaccine"
)

// codePlaces are the types of a kind, and the members in which these name what it is.
var codePlaces = map[CodeKind]struct{ types, members []string }{
	HasProblem: {[]string{"Condition"}, []string{"code"}},
	HasMedicine: {[]string{"MedicationRequest", "MedicationStatement", "MedicationAdministration", "MedicationDispense"},
		[]string{"medicationCodeableConcept", "medicationReference", "contained"}},
	HasVaccine: {[]string{"Immunization"}, []string{"vaccineCode"}},
}

// A CodeSearch looks for codes by themselves or by their words. All terms must fit one
// coded thing.
type CodeSearch struct {
	kind CodeKind
	s    *Search
}

// CodeSearch returns the search for codes that fit the terms.
func (t Terms) CodeSearch(kind CodeKind) (*CodeSearch, error) {
	s, err := t.Search()
	if err != nil {
		return nil, err
	}
	return &CodeSearch{kind, s}, nil
}

// Types are those that can have such a code; none: all.
func (c *CodeSearch) Types() []string {
	if list := codePlaces[c.kind].types; list != nil {
		return list
	}
	return c.s.types
}

// A CodeMatcher looks at records for one goroutine.
type CodeMatcher struct {
	c *CodeSearch
	m *Matcher
	f Finder
	// drugs remembers the codings of the Medications that records refer to.
	drugs map[string][]Coding
}

// Matcher returns a new CodeMatcher; f finds the Medications that records refer to.
func (c *CodeSearch) Matcher(f Finder) *CodeMatcher {
	return &CodeMatcher{c: c, m: c.s.Matcher(), f: f, drugs: map[string][]Coding{}}
}

// A Coded is what a record says in the codes that were looked for.
type Coded struct {
	Codings []Coding // each once; none: it has none of them
	Date    string   // of the record, as shown; "": it has none
	// Void says that the record does not mean that it is or was so: it was entered in
	// error, refuted, cancelled or not done, or an extension changes its meaning.
	Void bool
}

// Match looks at one record. It does not parse one that cannot fit.
func (m *CodeMatcher) Match(r Resource) Coded {
	refers := m.c.kind == HasMedicine && bytes.Contains(r.Raw, []byte(`"medicationReference"`))
	if !refers && !m.m.May(r.Raw) {
		return Coded{}
	}
	tree, err := parseTree(r.Raw)
	if err != nil {
		return Coded{}
	}
	var out Coded
	if members := codePlaces[m.c.kind].members; members == nil {
		m.c.in(&tree, &out.Codings)
	} else {
		for _, name := range members {
			m.c.member(&tree, name, &out.Codings)
		}
	}
	if refers && len(out.Codings) == 0 {
		out.Codings = m.drug(tree.get("medicationReference"))
	}
	given := dateGiven(&tree)
	if !m.c.s.inTime(given) {
		return Coded{}
	}
	out.Date, out.Void = showDay(given), void(&tree)
	return out
}

// member adds the codings in one member of a record that fit; of records inside it only
// those of a Medication.
func (c *CodeSearch) member(tree *node, name string, to *[]Coding) {
	n := tree.get(name)
	switch {
	case n == nil:
	case name == "contained":
		for i := range n.kids {
			if n.kids[i].str("resourceType") == "Medication" {
				c.member(&n.kids[i], "code", to)
			}
		}
	default:
		c.in(&node{kind: object, names: []string{name}, kids: []node{*n}}, to)
	}
}

// in adds the codings in a value, and all below it, that fit.
func (c *CodeSearch) in(n *node, to *[]Coding) {
	if n.kind == object {
		if list := n.get("coding"); list != nil {
			c.concept(n, list, to)
			return
		}
		if n.str("code") != "" && n.str("system") != "" && n.get("value") == nil {
			c.add(Coding{n.str("system"), n.str("code"), CleanLine(n.str("display"))}, "", to)
			return
		}
	}
	for i := range n.kids {
		switch {
		case n.kind != object:
			c.in(&n.kids[i], to)
		case n.names[i] == "meta" || n.names[i] == "text" && n.kids[i].get("div") != nil:
		case n.kids[i].kind == object && n.kids[i].str("text") != "" && n.kids[i].get("coding") == nil,
			strings.HasSuffix(n.names[i], "Reference") && n.kids[i].str("display") != "":
			c.add(Coding{Words: CleanLine(join("", n.kids[i].str("text"), n.kids[i].str("display")))}, "", to)
		default:
			c.in(&n.kids[i], to)
		}
	}
}

// concept adds the codings of a concept that fit; a concept without a code is words.
func (c *CodeSearch) concept(n, list *node, to *[]Coding) {
	text, codes := CleanLine(n.str("text")), 0
	for i := range list.kids {
		kid := &list.kids[i]
		if kid.str("code") == "" {
			continue
		}
		codes++
		words := CleanLine(kid.str("display"))
		if words == "" {
			words = text
		}
		c.add(Coding{kid.str("system"), kid.str("code"), words}, text, to)
	}
	if codes == 0 && text != "" {
		c.add(Coding{Words: text}, "", to)
	}
}

// add adds a coding that fits, with the other words that stand beside it.
func (c *CodeSearch) add(one Coding, beside string, to *[]Coding) {
	words := Fold(one.Words + "\n" + beside)
	fits := func(t term) bool {
		if t.bar {
			return Fold(one.Code) == t.code && (t.system == "" || Fold(one.System) == t.system || Fold(systemName(one.System)) == t.system)
		}
		return Fold(one.Code) == t.folded || strings.Contains(words, t.folded)
	}
	for _, t := range c.s.terms {
		if !fits(t) {
			return
		}
	}
	if !slices.ContainsFunc(c.s.not, fits) && !slices.Contains(*to, one) {
		*to = append(*to, one)
	}
}

// maxDrugs bounds the Medications that one matcher remembers.
const maxDrugs = 10_000

// drug returns what fits of the Medication that a record refers to.
func (m *CodeMatcher) drug(ref *node) (list []Coding) {
	typ, id := Target(ref.str("reference"), baseOf(m.f))
	if typ != "Medication" || m.f == nil {
		return nil
	}
	if list, ok := m.drugs[id]; ok {
		return list
	}
	if raw, ok := m.f.Find(typ, id); ok {
		if tree, err := parseTree(raw); err == nil {
			m.c.member(&tree, "code", &list)
		}
	}
	if len(m.drugs) >= maxDrugs {
		clear(m.drugs)
	}
	m.drugs[id] = list
	return list
}

// voids are the states in which a record does not say that something is or was so.
var voids = []string{"entered-in-error", "refuted", "not-done", "not-taken", "cancelled", "nullified", "noshow", "draft", "revoked", "rejected"}

func void(n *node) bool { return voidWords(n) != "" }

// voidWords says why a record does not mean that something is or was so; "" if it may. One
// with an extension that changes its meaning is not taken at its word.
func voidWords(n *node) string {
	if d := n.get("doNotPerform"); d != nil && d.text == "true" {
		return "not to be done"
	}
	if n.get("modifierExtension") != nil || n.get("implicitRules") != nil {
		return "an extension changes its meaning"
	}
	states := []string{n.str("status"), n.str("docStatus"), n.str("lifecycleStatus")}
	if list := n.get("verificationStatus").get("coding"); list != nil {
		for i := range list.kids {
			states = append(states, list.kids[i].str("code"))
		}
	}
	for _, s := range states {
		if slices.Contains(voids, s) {
			return strings.ReplaceAll(s, "-", " ")
		}
	}
	if i := n.str("intent"); slices.Contains([]string{"proposal", "plan", "option"}, i) && n.str("resourceType") == "MedicationRequest" {
		return onlyA(i)
	}
	return ""
}
