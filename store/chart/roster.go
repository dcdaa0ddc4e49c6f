package chart

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// An Entry is one patient as a list shows it. What the record does not say is
// empty.
type Entry struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Others     []string `json:"otherNames,omitempty"` // maiden, former, nickname
	Born       string   `json:"born"`                 // as given: a year, a month or a day
	Sex        string   `json:"sex"`                  // administrative gender, as given
	MRN        string   `json:"mrn"`                  // medical record number, said to be one
	Phone      string   `json:"phone"`
	Deceased   string   `json:"deceased,omitempty"`   // "yes" or a date
	Inactive   bool     `json:"inactive,omitempty"`   // the EMR says: not in use
	ReplacedBy string   `json:"replacedBy,omitempty"` // Patient/id of the record that counts
	Plain      bool     `json:"plain,omitempty"`      // the record is not as FHIR says
	Sensitive  bool     `json:"sensitive,omitempty"`  // the record is labelled sensitive
	Withheld   bool     `json:"withheld,omitempty"`   // see Withhold

	died   string // as given
	names  terms  // folded parts of all names
	digits terms  // all phone numbers
	ids    terms  // every identifier, folded; and the id
}

// terms are what a query is compared with, each between two separators; none has a
// separator in it.
type terms string

const (
	separator = "\x00"
	ofRecord  = "\x01" // before the id of the record, which is no identifier
)

func (t *terms) add(term string) {
	if *t == "" {
		*t = separator
	}
	if term != "" && !t.has(term) {
		*t += terms(term + separator)
	}
}

func (t terms) has(term string) bool { return t.contains(separator + term + separator) }

func (t terms) contains(s string) bool { return strings.Contains(string(t), s) }

// NewEntry reads a Patient. A record that the model refuses gives an entry with
// its id and what can be searched in its bytes, marked Plain.
func NewEntry(r Resource) Entry {
	e := newEntry(r)
	e.Sensitive = r.Closed || Sensitive(r.Raw)
	return e
}

func newEntry(r Resource) Entry {
	p, err := read[fhir.Patient](r)
	if err != nil {
		return plainEntry(r)
	}
	e := Entry{ID: r.ID, Name: bestName(p.Name), Born: CleanLine(str(p.BirthDate)),
		Inactive: p.Active != nil && !*p.Active, ReplacedBy: replacedBy(r.Raw)}
	if p.Gender != nil {
		e.Sex = p.Gender.Code()
	}
	switch {
	case str(p.DeceasedDateTime) != "":
		e.died, e.Deceased = *p.DeceasedDateTime, showDate(*p.DeceasedDateTime)
	case p.DeceasedBoolean != nil && *p.DeceasedBoolean:
		e.Deceased = "yes"
	}
	for i := range p.Name {
		name := personName(&p.Name[i])
		if name != "" && name != e.Name && !slices.Contains(e.Others, name) {
			e.Others = append(e.Others, name)
		}
		e.addNames(join(" ", name, str(p.Name[i].Text)))
	}
	for _, t := range p.Telecom {
		if t.System == nil || *t.System != fhir.ContactPointSystemPhone &&
			*t.System != fhir.ContactPointSystemSms {
			continue
		}
		if e.Phone == "" && (t.Use == nil || *t.Use != fhir.ContactPointUseOld) && !over(t.Period) {
			e.Phone = CleanLine(str(t.Value))
		}
		e.digits.add(digitsOf(str(t.Value)))
	}
	e.readIdentifiers(p.Identifier)
	e.addID()
	return e
}

// addID adds the id of the record to what is searched.
func (e *Entry) addID() { e.ids.add(ofRecord + Fold(CleanLine(e.ID))) }

// over reports whether a period has an end.
func over(p *fhir.Period) bool { return p != nil && str(p.End) != "" }

// readIdentifiers takes the MRN: the first identifier that says it is one, and of those
// that are not in use any more only if there is no other.
func (e *Entry) readIdentifiers(list []fhir.Identifier) {
	former := ""
	for i := range list {
		v := CleanLine(str(list[i].Value))
		if v == "" {
			continue
		}
		e.ids.add(Fold(v))
		use := list[i].Use
		switch code, _ := codeIn(list[i].Type, "MR"); {
		case code == "":
		case use != nil && *use == fhir.IdentifierUseOld || over(list[i].Period):
			if former == "" {
				former = v
			}
		case e.MRN == "":
			e.MRN = v
		}
	}
	if e.MRN == "" {
		e.MRN = former
	}
}

// plainEntry makes an entry from the strings of a record that no model reads.
func plainEntry(r Resource) Entry {
	e := Entry{ID: r.ID, Plain: true}
	e.addID()
	tree, err := parseTree(r.Raw)
	if err != nil {
		return e
	}
	var words []string
	if list := tree.get("name"); list != nil {
		for i := range list.kids {
			walk(&list.kids[i], func(n *node) {
				if n.kind == text {
					words = append(words, n.text)
				}
			})
		}
	}
	e.addNames(strings.Join(words, " "))
	e.Name = CleanLine(strings.Join(words, " "))
	e.Born = CleanLine(tree.str("birthDate"))
	if list := tree.get("identifier"); list != nil {
		for i := range list.kids {
			e.ids.add(Fold(CleanLine(list.kids[i].str("value"))))
		}
	}
	return e
}

// walk calls fn for a node and all below it.
func walk(n *node, fn func(*node)) {
	fn(n)
	for i := range n.kids {
		walk(&n.kids[i], fn)
	}
}

// bestName is the name to call a patient by: official or usual before others,
// and none that is over.
func bestName(list []fhir.HumanName) string {
	best, rank := "", 99
	for i := range list {
		r := 2
		if u := list[i].Use; u != nil {
			r = map[fhir.NameUse]int{fhir.NameUseOfficial: 0, fhir.NameUseUsual: 1, fhir.NameUseOld: 8,
				fhir.NameUseMaiden: 7, fhir.NameUseNickname: 5, fhir.NameUseAnonymous: 6,
				fhir.NameUseTemp: 4}[*u]
		}
		if over(list[i].Period) {
			r += 3
		}
		if name := personName(&list[i]); name != "" && r < rank {
			best, rank = name, r
		}
	}
	return best
}

// replacedBy returns the patient that stands for this one. The model would take a
// link without a type for one.
func replacedBy(raw []byte) string {
	var links []struct {
		Other struct{ Reference string }
		Type  string
	}
	eachMember(raw, func(name, value []byte) { // the record was read before
		if string(name) == "link" && json.Unmarshal(value, &links) != nil {
			links = nil
		}
	})
	for _, l := range links {
		if l.Type == "replaced-by" {
			return CleanLine(l.Other.Reference)
		}
	}
	return ""
}

// addNames adds the parts of a name, folded; parts with a hyphen or an apostrophe in them
// both whole and in pieces.
func (e *Entry) addNames(name string) {
	for _, w := range strings.FieldsFunc(Fold(CleanLine(name)), func(r rune) bool { return r == ' ' || r == ',' || r == '.' }) {
		pieces := strings.FieldsFunc(w, mark)
		for _, p := range pieces {
			e.names.add(p)
		}
		e.names.add(strings.Join(pieces, ""))
	}
}

// mark reports whether a character joins the pieces of a name.
func mark(r rune) bool { return strings.ContainsRune("-'’‘ʼ`‐‑–·", r) }

func digitsOf(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// Age is how old the patient is at a time, or was at death; "" if it is not known.
func (e *Entry) Age(at time.Time) string {
	d, ok := parseDate(e.died)
	switch {
	case ok && d.from.Before(at):
		last := d.to.AddDate(0, 0, -1)
		if last.Before(d.from) {
			last = d.from
		}
		if age := ageBetween(e.Born, d.from, last); age != "" {
			return age + " at death"
		}
		return ""
	case e.Deceased != "" && !ok:
		return "" // it is not known when
	}
	return Age(e.Born, at)
}
