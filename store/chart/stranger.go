package chart

import (
	"bytes"
	"slices"
)

// Stranger returns the address of the patient whom a record is about, if it is one of
// another server than the source at base; "" if not, or if base is not known. The copy keeps
// such a record with the patient of the same id: whoever shows it says that it may be about
// somebody else.
func Stranger(raw []byte, base string) string {
	if base == "" || !refersAway(raw, base) {
		return ""
	}
	tree, err := parseTree(slim(raw))
	if err != nil {
		return ""
	}
	for _, name := range patientMembers {
		for _, ref := range referencesIn(tree.get(name)) {
			if before, typ, _, _ := splitReference(ref); typ == "Patient" {
				if Own(before, base) {
					return ""
				}
				return CleanLine(ref)
			}
		}
	}
	return ""
}

// patientMembers name the patient of a record; the first of them that does counts, as for
// the index of the copy.
var patientMembers = []string{"patient", "subject", "beneficiary", "for", "individual", "participant", "actor", "target", "source"}

// referencesIn returns the references in a member: in it, or in each of a list, or in the
// actor of these.
func referencesIn(n *node) (list []string) {
	if n == nil {
		return nil
	}
	each := []node{*n}
	if n.kind == array {
		each = n.kids
	}
	for i := range each {
		if ref := each[i].str("reference"); ref != "" {
			list = append(list, ref)
		} else if ref := each[i].get("actor").str("reference"); ref != "" {
			list = append(list, ref)
		}
	}
	return list
}

// refersAway reports whether a record may refer to a patient of another server than the
// source at base: most do not, and are not parsed to find that out.
func refersAway(raw []byte, base string) bool {
	for {
		from, to := nextString(raw, referenceName)
		if from < 0 {
			return false
		}
		ref := raw[from:to]
		if bytes.IndexByte(ref, '\\') >= 0 {
			return true
		}
		if i := bytes.Index(ref, patientSlash); i > 0 { // at the beginning it is relative
			if before, typ, _, _ := splitReference(string(ref)); typ == "Patient" && !Own(before, base) {
				return true
			}
		}
		raw = raw[to:]
	}
}

var referenceName, patientSlash = []byte(`"reference"`), []byte("Patient/")

// ofStranger marks what a section has read of a record that is about a patient of another
// server: beside what it is about, and in no series with the patient's own.
func (b *Builder) ofStranger(p *plan, it *item, results []*Result, panels []Panel, address string) {
	const short = "(of a patient of another server)"
	if title := eventCells[p.key].title; len(title) > 0 {
		if i := slices.Index(p.columns, title[0]); i >= 0 && i < len(it.row.Cells) {
			it.row.Cells[i] = join(" ", it.row.Cells[i], short)
		}
	}
	said := "the record names its patient at another server, and may be about somebody else: " + address
	it.test += "\x00" + address
	it.row.More = join("; ", said, it.row.More)
	for i := range b.inner {
		b.inner[i].test += "\x00" + address
		b.inner[i].row.Cells[0] = join(" ", b.inner[i].row.Cells[0], short)
		b.inner[i].row.More = join("; ", said, b.inner[i].row.More)
	}
	for i := range panels {
		panels[i].Comment = join("; ", said, panels[i].Comment)
	}
	for _, r := range results {
		r.Test += "\x00" + address
		r.Name = join(" ", r.Name, short)
		r.Comment = join("; ", said, r.Comment)
	}
}
