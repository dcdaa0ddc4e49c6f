package chart

import (
	"slices"
	"strings"
)

// A Label is one security label of a record (meta.security): who is to see it.
type Label struct {
	Code      string `json:"code"`   // as given; may be empty
	System    string `json:"system"` // as given; may be empty
	Words     string `json:"words"`  // for people; never empty
	Sensitive bool   `json:"sensitive,omitempty"`
}

// sensitiveCodes are the labels that close a record to those who may not see what is
// sensitive. They are those of HL7 Terminology (terminology.hl7.org):
//
//   - CodeSystem/v3-Confidentiality (OID 2.16.840.1.113883.5.25): R and V; and of its
//     older editions S, T and C. U, L, M and N close nothing.
//   - CodeSystem/v3-ActCode (OID 2.16.840.1.113883.5.4), all below
//     ActInformationSensitivityPolicy, the privacy laws of the United States
//     (42 CFR Part 2, psychotherapy notes of 45 CFR 164.501, Title 38 section 7332),
//     and the caveats that forbid to pass on what such a law protects.
//   - PROCESSINLINELABEL of the FHIR guide "Data Segmentation for Privacy": parts of
//     the record are labelled, which we do not take apart.
//
// A code counts whatever system it is given with, and in capitals or not: an EMR that
// names the system wrongly, in an older way or not at all means the same.
var sensitiveCodes = map[string]string{
	"R": "restricted", "V": "very restricted", "S": "sensitive", "T": "taboo", "C": "well-known person",
	"ETH": "substance use", "ETHUD": "alcohol use", "OPIOIDUD": "opioid use", "SUD": "substance use",
	"BH": "behavioral health", "COGN": "cognitive disability", "DVD": "developmental disability",
	"EMOTDIS": "emotional disturbance", "MH": "mental health", "PSY": "psychiatry",
	"PSYTHPN": "psychotherapy note", "HIPAAPSYNOTES": "psychotherapy note",
	"GDIS": "genetic disease", "SICKLE": "sickle cell", "SCA": "sickle cell", "HIV": "HIV",
	"STD": "sexually transmitted disease", "SEX": "sexuality and reproduction", "PREGNANT": "pregnancy",
	"SDV": "sexual assault, abuse or domestic violence", "MST": "military sexual trauma", "VIO": "violence",
	"TBOO": "taboo", "SPI": "specially protected", "SSP": "social services", "DIA": "diagnosis",
	"DRGIS": "drugs", "ADOL": "adolescent", "PDS": "patient's own wish", "PRS": "patient's own wish",
	"PHY": "physician's request", "CEL": "well-known person", "VIP": "well-known person",
	"EMP": "employee", "EMPL": "employer", "LOCIS": "place", "DEMO": "protected person", "DOB": "birth date",
	"GENDER": "gender", "LIVARG": "living arrangement", "MARST": "marital status", "RACE": "race",
	"REL": "religion", "B": "business", "COMPT": "compartment",
	"42CFRPART2": "substance use program (42 CFR Part 2)", "TITLE38SECTION7332": "veterans (38 USC 7332)",
	"HIPAASELFPAY": "paid by the patient", "NODSCLCD": "not to be disclosed without consent",
	"NODSCLCDS": "not to be disclosed without consent", "NORDSLCD": "not to be passed on without consent",
	"NORDSCLCD": "not to be passed on without consent", "NORDSCLCDS": "not to be passed on without consent",
	"PSYNOTE": "psychotherapy note", "PROCESSINLINELABEL": "parts of it are labelled",
}

// openCodes are labels that close nothing, in words.
var openCodes = map[string]string{"U": "unrestricted", "L": "low confidentiality", "M": "moderate confidentiality",
	"N": "normal confidentiality", "HTEST": "test data"}

// unreadLabel stands for labels that cannot be read: nobody can tell what they close.
func unreadLabel() Label { return Label{Words: "a label that could not be read", Sensitive: true} }

// Labels returns the security labels of a record and of the records inside it, each
// once, in their order; nil if it has none. On doubt a label is sensitive: one without a
// code, and one that cannot be read. The securityLabel of a DocumentReference is one too, and
// the confidentiality of a Composition. A record without one of these words is not parsed.
func Labels(raw []byte) []Label {
	if !holds(raw, `"security`, 4) && !holds(raw, `"confidentiality"`, 4) {
		return nil
	}
	tree, err := parseTree(slim(raw))
	if err != nil {
		return []Label{unreadLabel()}
	}
	var list []Label
	eachMeta(&tree, func(meta *node) {
		for i, name := range meta.names {
			if name == "security" {
				list = appendLabels(list, &meta.kids[i])
			}
		}
	})
	if own := tree.get("securityLabel"); own != nil {
		for i := range own.kids {
			if codings := own.kids[i].get("coding"); codings != nil && !codings.leaf() {
				list = appendLabels(list, codings)
			} else {
				list = append(list, Label{Words: orUnread(CleanLine(own.kids[i].str("text"))), Sensitive: true})
			}
		}
	}
	if code := tree.get("confidentiality"); code != nil && tree.str("resourceType") == "Composition" {
		list = appendLabels(list, &node{kind: object, names: []string{"code"}, kids: []node{*code}})
	}
	return list
}

// orUnread is what a label without a code says.
func orUnread(words string) string {
	if words == "" {
		return unreadLabel().Words
	}
	return words
}

// Sensitive reports whether a record is closed to those who may not see what is
// sensitive.
func Sensitive(raw []byte) bool { return AnySensitive(Labels(raw)) }

// AnySensitive reports whether one of the labels is sensitive.
func AnySensitive(list []Label) bool {
	return slices.ContainsFunc(list, func(l Label) bool { return l.Sensitive })
}

// LabelWords are the words of labels on one line; of those that close nothing only if
// there is no other.
func LabelWords(list []Label) string {
	var words []string
	closes := AnySensitive(list)
	for _, l := range list {
		if l.Sensitive == closes && !slices.Contains(words, l.Words) {
			words = append(words, l.Words)
		}
	}
	return strings.Join(words, ", ")
}

// eachMeta calls fn for the meta of a record and of the records inside it.
func eachMeta(record *node, fn func(meta *node)) {
	for i, name := range record.names {
		kid := &record.kids[i]
		switch name {
		case "meta":
			fn(kid)
		case "contained", "entry":
			for j := range kid.kids {
				eachMeta(&kid.kids[j], fn)
			}
		case "resource":
			eachMeta(kid, fn)
		}
	}
}

func appendLabels(list []Label, security *node) []Label {
	codings := security.kids
	if security.kind == object { // one that is not in a list, as it should be
		codings = []node{*security}
	}
	if security.kind == text || security.kind == number {
		return append(list, unreadLabel())
	}
	for i := range codings {
		l := labelOf(&codings[i])
		if !slices.Contains(list, l) {
			list = append(list, l)
		}
	}
	return list
}

func labelOf(n *node) Label {
	l := Label{Code: CleanLine(n.str("code")), System: CleanLine(n.str("system"))}
	known := strings.ToUpper(l.Code)
	if words, ok := sensitiveCodes[known]; ok {
		l.Words, l.Sensitive = words, true
		return l
	}
	if l.Words = openCodes[known]; l.Words != "" {
		return l
	}
	l.Words = CleanLine(n.str("display"))
	switch {
	case l.Code == "" && l.Words == "":
		return unreadLabel()
	case l.Code == "":
		l.Sensitive = true
	case l.Words == "":
		l.Words = "label " + l.Code
	}
	return l
}

// A LaterFinder finds records as they stood on a day, and knows which of them are closed
// though their bytes do not say so, since they were labelled later.
type LaterFinder interface {
	Finder
	// ClosedLater reports whether a record that Find found is closed.
	ClosedLater(typ, id string) bool
}

// Open returns a Finder that finds what f finds, but for records that are labelled
// sensitive, and for those that f, if it is a LaterFinder, says are closed; nil for nil.
func Open(f Finder) Finder {
	if f == nil {
		return nil
	}
	return openFinder{f}
}

type openFinder struct{ Finder }

// Find implements Finder.
func (f openFinder) Find(typ, id string) ([]byte, bool) {
	raw, ok := f.Finder.Find(typ, id)
	if !ok || Closed(f.Finder, typ, id, raw) {
		return nil, false
	}
	return raw, true
}

// Closed reports whether a record that f has found is labelled sensitive, in its bytes or,
// if f is a LaterFinder, since then.
func Closed(f Finder, typ, id string, raw []byte) bool {
	if Sensitive(raw) {
		return true
	}
	later, knows := f.(LaterFinder)
	return knows && later.ClosedLater(typ, id)
}

// Withheld says how many records are in the copy and not shown to who looks.
func Withheld(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "1 record is not shown to your role."
	}
	return itoa(n) + " records are not shown to your role."
}

// NotShown stands in the place of what is not shown to who looks.
const NotShown = "(not shown to your role)"

// Withhold returns what is left of an entry for who may not see a patient whose record is
// labelled sensitive: its id and the note that it is not shown. No query finds it but the
// empty one and its own id. Of any other patient it returns the entry.
func (e Entry) Withhold() Entry {
	if !e.Sensitive {
		return e
	}
	out := Entry{ID: e.ID, Name: NotShown, Sensitive: true, Withheld: true}
	out.addID()
	return out
}
