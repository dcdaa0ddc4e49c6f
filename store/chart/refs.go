package chart

import (
	"strings"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// A Finder looks up the records of one source.
type Finder interface {
	// Find looks a record up by type and id; ok is false if it has none.
	Find(typ, id string) (raw []byte, ok bool)
	// Base is the FHIR address of the source; "" if it is not known.
	Base() string
}

// baseOf is the address of the source that a Finder knows; "" if none is known.
func baseOf(f Finder) string {
	if f == nil {
		return ""
	}
	return f.Base()
}

// Target returns the type and id of the record of a source that a reference names:
// Practitioner/1, also absolute below base, the address of the source, also with a
// version; empty strings if it names no record of the source that way.
func Target(reference, base string) (typ, id string) {
	before, typ, id, _ := splitReference(reference)
	if !Own(before, base) {
		return "", ""
	}
	return typ, id
}

// splitReference takes a reference to a record apart: before is what stands before the
// type, "" if it is relative. typ is empty if it names no record by type and id.
func splitReference(reference string) (before, typ, id, version string) {
	plain, version, _ := strings.Cut(reference, "/_history/")
	if strings.ContainsAny(plain, "?#") || strings.HasPrefix(plain, "urn:") {
		return "", "", "", ""
	}
	rest, id, ok := cutLast(plain, "/")
	if !ok {
		return "", "", "", ""
	}
	typ = rest
	if i := strings.LastIndex(rest, "/"); i >= 0 {
		before, typ = rest[:i+1], rest[i+1:]
	}
	if typ == "" || id == "" || typ[0] < 'A' || typ[0] > 'Z' {
		return "", "", "", ""
	}
	return before, typ, id, version
}

// Own reports whether what stands before the type in a reference says that the record is
// one of the source whose address is base: nothing, or that address. A record of another
// server can have the same type and id, and is another record. If base is not known then
// only a relative reference is own.
func Own(before, base string) bool {
	if before == "" || before == "/" {
		return true
	}
	host, path, absolute := address(before)
	homeHost, homePath, known := address(base)
	return known && path == homePath && (host == homeHost || !absolute && host == "")
}

// address takes the address of a server apart, so that two can be compared: http and https
// lead to the same server, a slash at the end says nothing, and a host is written in
// capitals or not.
func address(s string) (host, path string, absolute bool) {
	port := ""
	for _, scheme := range []string{"http:", "https:"} {
		if len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
			s, port = s[len(scheme):], map[string]string{"http:": ":80", "https:": ":443"}[scheme]
		}
	}
	if after, ok := strings.CutPrefix(s, "//"); ok {
		host, path, _ = strings.Cut(after, "/")
		return strings.TrimSuffix(strings.ToLower(host), port), strings.Trim(path, "/"), true
	}
	if host, _, odd := strings.Cut(s, ":"); odd { // another scheme
		return host + ":", s, true
	}
	return "", strings.Trim(s, "/"), false
}

// foreign says in words whose the record is that a reference names with something before
// its type; "" if it is one of the source at base.
func foreign(before, base string) string {
	switch {
	case Own(before, base):
		return ""
	case base == "":
		return "a record of a server that may be another than this EMR"
	}
	return "a record of another server"
}

// elsewhere says that a reference names a record of another server than the one at base,
// with its address; "" if it names one of the source, or none by type and id.
func elsewhere(reference, base string) string {
	before, typ, _, _ := splitReference(reference)
	words := foreign(before, base)
	if typ == "" || words == "" {
		return ""
	}
	return words + ": " + CleanLine(reference)
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
// the record pointed to, else what the reference calls it, else its text. Of a record of
// another server it says so.
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
	}
	if name := n.called(ref, str(r.Display)); name != "" {
		return name
	}
	if ref == "" && r.Identifier != nil {
		return join(" ", CleanLine(str(r.Identifier.System)), CleanLine(str(r.Identifier.Value)))
	}
	return CleanLine(ref)
}

// called returns the name of what a reference points to, that calls it display; "" if there
// is none.
func (n *names) called(ref, display string) string {
	display = CleanLine(display)
	if other := elsewhere(ref, baseOf(n.finder)); other != "" {
		if display == "" {
			return other
		}
		return display + " " + paren(other)
	}
	if name := n.look(ref); name != "" {
		return name
	}
	return display
}

func (n *names) look(ref string) string {
	typ, id := Target(ref, baseOf(n.finder))
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
			proof, _ := codeIn(p.VerificationStatus, "entered-in-error", "refuted", "unconfirmed", "provisional", "differential")
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
