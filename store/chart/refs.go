package chart

import (
	"strings"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// A Finder looks records up by type and id; ok is false if it has none.
type Finder interface {
	Find(typ, id string) (raw []byte, ok bool)
}

// Target returns the type and id that a reference names: Practitioner/1, also
// absolute, also with a version; empty strings if it names no record that way.
func Target(reference string) (typ, id string) {
	reference, _, _ = strings.Cut(reference, "/_history/")
	if strings.ContainsAny(reference, "?#") || strings.HasPrefix(reference, "urn:") {
		return "", ""
	}
	rest, id, ok := cutLast(reference, "/")
	if !ok {
		return "", ""
	}
	if _, last, found := cutLast(rest, "/"); found {
		rest = last
	}
	if rest == "" || id == "" || rest[0] < 'A' || rest[0] > 'Z' {
		return "", ""
	}
	return rest, id
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// names puts names to references. It remembers what it found.
type names struct {
	finder Finder
	known  map[string]string
}

func newNames(f Finder) *names { return &names{f, map[string]string{}} }

// of returns the name of what a reference in record from points to: the name in
// the record pointed to, else what the reference calls it, else its text.
func (n *names) of(from Resource, r *fhir.Reference) string {
	if r == nil {
		return ""
	}
	ref := str(r.Reference)
	if id, ok := strings.CutPrefix(ref, "#"); ok && id != "" {
		if raw := contained(from.Raw, id); raw != nil {
			if name := nameIn(raw); name != "" {
				return name
			}
		}
	} else if name := n.look(ref); name != "" {
		return name
	}
	if d := CleanLine(str(r.Display)); d != "" {
		return d
	}
	if ref == "" && r.Identifier != nil {
		return join(" ", CleanLine(str(r.Identifier.System)), CleanLine(str(r.Identifier.Value)))
	}
	return CleanLine(ref)
}

func (n *names) look(ref string) string {
	typ, id := Target(ref)
	if typ == "" || n.finder == nil {
		return ""
	}
	key := typ + "/" + id
	name, ok := n.known[key]
	if !ok {
		if raw, found := n.finder.Find(typ, id); found {
			name = nameIn(raw)
		}
		n.known[key] = name
	}
	return name
}

// list joins the names of several references.
func (n *names) list(from Resource, refs []fhir.Reference) string {
	var out []string
	for i := range refs {
		out = append(out, n.of(from, &refs[i]))
	}
	return join(", ", out...)
}

// nameIn returns what a record is called: a person's or organization's name, or
// what it is about; "" if it has neither.
func nameIn(raw []byte) string {
	r := Resource{Raw: raw}
	h := headOf(raw)
	r.Type, r.ID = h.Type, h.ID
	switch r.Type {
	case "Practitioner":
		return firstName(read[fhir.Practitioner](r))
	case "Patient":
		if p, err := read[fhir.Patient](r); err == nil {
			return bestName(p.Name)
		}
	case "RelatedPerson":
		if p, err := read[fhir.RelatedPerson](r); err == nil && len(p.Name) > 0 {
			return spokenName(&p.Name[0])
		}
	case "Organization", "Location", "HealthcareService":
		return plainName(raw)
	case "PractitionerRole":
		if p, err := read[fhir.PractitionerRole](r); err == nil && p.Practitioner != nil {
			return CleanLine(str(p.Practitioner.Display))
		}
	case "Medication":
		if p, err := read[fhir.Medication](r); err == nil {
			return concept(p.Code)
		}
	case "Condition":
		if p, err := read[fhir.Condition](r); err == nil {
			proof, _ := codeIn(p.VerificationStatus, "entered-in-error", "refuted")
			return join(" ", concept(p.Code), paren(strings.ReplaceAll(proof, "-", " ")))
		}
	}
	return ""
}

func firstName(p fhir.Practitioner, err error) string {
	if err != nil || len(p.Name) == 0 {
		return ""
	}
	return spokenName(&p.Name[0])
}

// plainName reads a name that is one string.
func plainName(raw []byte) (name string) {
	eachMember(raw, func(n, value []byte) { // what is no JSON has no name
		if string(n) == "name" {
			name = CleanLine(stringOf(value))
		}
	})
	return name
}
