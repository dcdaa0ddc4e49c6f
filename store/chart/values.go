package chart

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// systems are short names of code systems.
var systems = map[string]string{
	"http://loinc.org": "LOINC", "http://snomed.info/sct": "SNOMED",
	"http://www.nlm.nih.gov/research/umls/rxnorm": "RxNorm",
	"http://hl7.org/fhir/sid/icd-10-cm":           "ICD-10-CM", "http://hl7.org/fhir/sid/icd-10": "ICD-10",
	"http://hl7.org/fhir/sid/icd-9-cm": "ICD-9-CM", "http://hl7.org/fhir/sid/cvx": "CVX",
	"http://hl7.org/fhir/sid/ndc": "NDC", "http://www.ama-assn.org/go/cpt": "CPT",
	"urn:oid:2.16.840.1.113883.6.88": "RxNorm", "urn:oid:2.16.840.1.113883.6.96": "SNOMED",
}

// concept returns a coded thing in words: its text, else the name of a coding,
// else the bare code; "" if it says nothing.
func concept(c *fhir.CodeableConcept) string {
	if c == nil {
		return ""
	}
	if t := CleanLine(str(c.Text)); t != "" {
		return t
	}
	for _, chosen := range []bool{true, false} {
		for _, code := range c.Coding {
			picked := code.UserSelected != nil && *code.UserSelected
			if t := CleanLine(str(code.Display)); t != "" && (picked || !chosen) {
				return t
			}
		}
	}
	return codeText(c)
}

// codeText returns the first code with the name of its system.
func codeText(c *fhir.CodeableConcept) string {
	if c == nil {
		return ""
	}
	for _, code := range c.Coding {
		if v := CleanLine(str(code.Code)); v != "" {
			return join(" ", systemName(str(code.System)), v)
		}
	}
	return ""
}

// systemName is a short name of a code system. Those of HL7 have words for names.
func systemName(system string) string {
	if s, ok := systems[system]; ok {
		return s
	}
	return CleanLine(strings.TrimPrefix(system, "http://terminology.hl7.org/CodeSystem/"))
}

// concepts joins coded things.
func concepts(list []fhir.CodeableConcept) string {
	var out []string
	for i := range list {
		out = append(out, concept(&list[i]))
	}
	return join(", ", out...)
}

// codeIn returns the first code of a concept that is one of those named; else ""
// with the words of the concept.
func codeIn(c *fhir.CodeableConcept, known ...string) (code, other string) {
	if c == nil {
		return "", ""
	}
	for _, one := range c.Coding {
		for _, k := range known {
			if str(one.Code) == k {
				return k, ""
			}
		}
	}
	return "", concept(c)
}

func num(n *json.Number) string {
	if n == nil {
		return ""
	}
	return CleanLine(n.String())
}

// quantity writes a measured value as it was written: comparator, number, unit.
func quantity(q *fhir.Quantity) string {
	switch {
	case amount(q) != "":
		return join(" ", amount(q), unit(q))
	case unit(q) != "":
		return "(no number) " + unit(q)
	}
	return ""
}

// amount is a quantity without its unit.
func amount(q *fhir.Quantity) string {
	if q == nil || q.Value == nil {
		return ""
	}
	if q.Comparator != nil {
		return q.Comparator.Code() + num(q.Value)
	}
	return num(q.Value)
}

func unit(q *fhir.Quantity) string {
	if q == nil {
		return ""
	}
	if u := CleanLine(str(q.Unit)); u != "" {
		return u
	}
	return CleanLine(str(q.Code))
}

// valueRange writes low-high; one that is open at an end is written with >= or <=.
func valueRange(low, high *fhir.Quantity) string {
	l, h := amount(low), amount(high)
	u := unit(high)
	if u == "" {
		u = unit(low)
	}
	switch {
	case l == "" && h == "":
		return ""
	case l == "":
		return join(" ", "<= "+h, u)
	case h == "":
		return join(" ", ">= "+l, u)
	case unit(low) != unit(high) && unit(low) != "":
		return quantity(low) + " to " + quantity(high)
	case strings.HasPrefix(l, "-") || strings.HasPrefix(h, "-"):
		return join(" ", l+" to "+h, u)
	}
	return join(" ", l+"-"+h, u)
}

func ratio(r *fhir.Ratio) string {
	if r == nil {
		return ""
	}
	return join(" : ", quantity(r.Numerator), quantity(r.Denominator))
}

// period writes a period with both ends; of one that has no end, or no beginning, it says
// so.
func period(p *fhir.Period) string {
	if p == nil {
		return ""
	}
	return spanText(str(p.Start), str(p.End))
}

// spanText writes a period from its ends as they are given; "" if there are none.
func spanText(start, end string) string {
	from, to := showDate(start), showDate(end)
	switch {
	case from == "" && to == "":
		return ""
	case from == "":
		return "until " + to
	case to == "":
		return "since " + from
	case from == to:
		return from
	}
	day, _, _ := strings.Cut(from, " ")
	hour, same := strings.CutPrefix(to, day+" ")
	if same && strings.HasSuffix(from, " UTC") == strings.HasSuffix(to, " UTC") { // the hour alone, and "UTC" once
		return strings.TrimSuffix(from, " UTC") + " to " + hour
	}
	return from + " to " + to
}

// begins is when a period begins; if that is not said, when it ends.
func begins(p *fhir.Period) time.Time {
	if p == nil {
		return time.Time{}
	}
	if at := moment(str(p.Start)); !at.IsZero() {
		return at
	}
	return moment(str(p.End))
}

// personName writes a name: family, given. A name that is only text stays text.
func personName(n *fhir.HumanName) string {
	if n == nil {
		return ""
	}
	given := CleanLine(strings.Join(n.Given, " "))
	name := join(", ", CleanLine(str(n.Family)), given)
	if name == "" {
		return CleanLine(str(n.Text))
	}
	return join(", ", name, CleanLine(strings.Join(n.Suffix, " ")))
}

// spokenName writes a name as one says it: prefix, given, family.
func spokenName(n *fhir.HumanName) string {
	if t := CleanLine(str(n.Text)); t != "" {
		return t
	}
	return CleanLine(join(" ", strings.Join(n.Prefix, " "), strings.Join(n.Given, " "),
		str(n.Family), strings.Join(n.Suffix, " ")))
}

// directions writes how a medicine is taken, in the record's own words where it
// has some.
func directions(list []fhir.Dosage) string {
	var out []string
	for i := range list {
		d := &list[i]
		t := CleanLine(str(d.Text))
		switch need := asNeeded(d); {
		case t == "":
			t = dosage(d)
		case !saysAsNeeded(t):
			t = join("; ", t, need)
		}
		t = join("; ", t, CleanLine(str(d.PatientInstruction)), concepts(d.AdditionalInstruction))
		if most := atMost(d); most != "" {
			t = join(", ", t, most)
		}
		if t == "" {
			t = "directions not in words: see the record"
		}
		if i > 0 {
			t = joint(&list[i-1], d) + t
		}
		out = append(out, t)
	}
	return strings.Join(out, "")
}

// joint stands between two directions: they follow each other only if they say so.
func joint(before, d *fhir.Dosage) string {
	if before.Sequence != nil && d.Sequence != nil && *before.Sequence < *d.Sequence {
		return "; then "
	}
	return "; and "
}

// asNeeded says that something is taken only on need; "" if it is not.
func asNeeded(d *fhir.Dosage) string {
	switch {
	case d.AsNeededCodeableConcept != nil:
		return join(" for ", "as needed", concept(d.AsNeededCodeableConcept))
	case d.AsNeededBoolean != nil && *d.AsNeededBoolean:
		return "as needed"
	}
	return ""
}

// saysAsNeeded reports whether directions in words say it themselves.
func saysAsNeeded(text string) bool {
	text = Fold(text)
	return strings.Contains(text, "need") || strings.Contains(text, "prn") || strings.Contains(text, "p.r.n")
}

// atMost says how much may be taken.
func atMost(d *fhir.Dosage) string {
	var out []string
	for _, one := range []struct{ most, of string }{{quantity(d.MaxDosePerAdministration), " at once"},
		{ratio(d.MaxDosePerPeriod), ""}, {quantity(d.MaxDosePerLifetime), " in a lifetime"}} {
		if one.most != "" {
			out = append(out, "at most "+one.most+one.of)
		}
	}
	return strings.Join(out, ", ")
}

// dosage puts the coded parts of directions into words.
func dosage(d *fhir.Dosage) string {
	var dose []string
	for i := range d.DoseAndRate {
		r := &d.DoseAndRate[i]
		amount := quantity(r.DoseQuantity)
		if r.DoseRange != nil {
			amount = valueRange(r.DoseRange.Low, r.DoseRange.High)
		}
		rate := join("", quantity(r.RateQuantity), ratio(r.RateRatio))
		if r.RateRange != nil {
			rate = valueRange(r.RateRange.Low, r.RateRange.High)
		}
		dose = append(dose, join(" at ", amount, rate))
	}
	return join(", ", strings.Join(dose, " or "), concept(d.Method), concept(d.Route),
		concept(d.Site), timing(d.Timing), asNeeded(d))
}

// units of time, as timing writes them.
var units = map[string]string{"s": "second", "min": "minute", "h": "hour", "d": "day", "wk": "week",
	"mo": "month", "a": "year"}

// ageText writes an age with its unit, in words where UCUM has a code; "" if it has none.
func ageText(a *fhir.Age) string {
	if a == nil || a.Value == nil {
		return ""
	}
	n, u := num(a.Value), CleanLine(str(a.Unit))
	if u == "" {
		u = CleanLine(str(a.Code))
	}
	if w, ok := units[u]; ok {
		if u = w; n != "1" {
			u += "s"
		}
	}
	if u == "" {
		u = "(no unit given)"
	}
	if a.Comparator != nil {
		n = a.Comparator.Code() + n
	}
	return n + " " + u
}

// at puts "at" before an age; "" for none.
func at(age string) string {
	if age == "" {
		return ""
	}
	return "at " + age
}

// timing writes how often something is done; parts that it has no words for make
// it say so.
func timing(t *fhir.Timing) string {
	if t == nil {
		return ""
	}
	out := concept(t.Code)
	if len(t.Event) > 0 {
		var days []string
		for _, e := range t.Event {
			days = append(days, showDate(e))
		}
		out = join(", ", out, "on "+strings.Join(days, ", "))
	}
	r := t.Repeat
	if r == nil {
		return out
	}
	known := units[str(r.PeriodUnit)]
	if out == "" && r.Frequency != nil && known != "" && r.Period != nil && r.PeriodMax == nil {
		times := fmt.Sprint(*r.Frequency)
		if r.FrequencyMax != nil {
			times += "-" + fmt.Sprint(*r.FrequencyMax)
		}
		out = times + " x every " + num(r.Period) + " " + known + "s"
		if num(r.Period) == "1" {
			out = times + " x a " + known
		}
	}
	rest := len(r.When) > 0 || len(r.DayOfWeek) > 0 || len(r.TimeOfDay) > 0 || r.Count != nil ||
		r.BoundsDuration != nil || r.BoundsRange != nil || r.BoundsPeriod != nil || r.PeriodMax != nil ||
		r.Duration != nil || r.Offset != nil
	if rest || out == "" {
		out = join(", ", out, "more about when: see the record")
	}
	return out
}

// notes joins the texts of annotations.
func notes(list []fhir.Annotation) string {
	var out []string
	for i := range list {
		out = append(out, CleanLine(list[i].Text))
	}
	return join("; ", out...)
}
