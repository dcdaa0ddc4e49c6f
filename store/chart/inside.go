package chart

import (
	"encoding/json"
	"slices"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// An innerRow is the row of an observation that stands inside a report: no record of its own.
type innerRow struct {
	vital bool
	item
}

// insiders reads the observations that are contained in a report: their values are results
// like others, and say where they stand. One that no model reads stays on the report's card
// alone, and its Panel counts it as Inside.
func (b *Builder) insiders(r Resource, d *fhir.DiagnosticReport) {
	on, name := reportedOn(d), named(concept(&d.Code))
	for i, raw := range containedIn(r.Raw) {
		h := headOf(raw)
		if h.Type != "Observation" {
			continue
		}
		o, err := read[fhir.Observation](Resource{Type: h.Type, ID: h.ID, Raw: raw})
		if err != nil {
			continue
		}
		kind := resultKind(&o)
		switch {
		case isVital(&o):
			kind = VitalSign
		case len(o.Category) == 0 && fromLaboratory(d):
			kind = Laboratory
		}
		if observedOn(&o) == (occasion{}) {
			o.EffectiveDateTime, o.EffectivePeriod, o.Issued = d.EffectiveDateTime, d.EffectivePeriod, d.Issued
		}
		if d.Status == fhir.DiagnosticReportStatusEnteredInError {
			o.Status = fhir.ObservationStatusEnteredInError
		}
		from := len(b.results)
		it := b.observation(Resource{Type: r.Type, ID: r.ID + "#" + h.ID, Raw: r.Raw}, &o, kind)
		for _, one := range b.results[from:] {
			one.Ref, one.Inside, one.inside, one.Within = r.Ref(), i+1, h.ID, name
			if observedOn(&o) == on && one.On != "" {
				one.On += " (of the report)"
			}
		}
		it.row.Cells[4] = b.results[from].On
		it.row.More = join("; ", b.results[from].InsideWords(), it.row.More)
		b.inner = append(b.inner, innerRow{kind == VitalSign, it})
	}
}

// InsideWords say in which report a result stands.
func (r *Result) InsideWords() string { return "inside the report: " + r.Within }

// InsideWords say how many results of a section stand inside other records; "" if none does.
func (s *Section) InsideWords() string {
	if s.Inside == 0 {
		return ""
	}
	return " and " + count(s.Inside, "result") + " inside reports"
}

// placeInner puts the rows of the observations inside a record, which is in the chart, into
// their sections.
func (b *Builder) placeInner(label string, ref string) {
	for _, in := range b.inner {
		key := "results"
		if in.vital {
			key = "vitals"
		}
		in.row.Ref, in.row.Label = ref, label
		i := slices.IndexFunc(b.plans, func(p plan) bool { return p.key == key })
		b.made[i] = append(b.made[i], in.item)
	}
}

// containedIn returns the records inside a record.
func containedIn(raw []byte) (list []json.RawMessage) {
	eachMember(raw, func(name, value []byte) { // the record is known to be JSON
		if string(name) == "contained" && json.Unmarshal(value, &list) != nil {
			list = nil
		}
	})
	return list
}

// fromLaboratory reports whether a report says that it is one of a laboratory.
func fromLaboratory(d *fhir.DiagnosticReport) bool {
	return slices.ContainsFunc(d.Category, func(c fhir.CodeableConcept) bool {
		code, _ := codeIn(&c, "LAB", "laboratory")
		return code != ""
	})
}
