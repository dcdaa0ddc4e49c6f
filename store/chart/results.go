package chart

import (
	"math/big"
	"slices"
	"strings"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// vitalCodes are the LOINC codes of vital signs, for records that name no
// category.
var vitalCodes = []string{"8867-4", "8310-5", "8480-6", "8462-4", "85354-9", "55284-4", "9279-1",
	"2708-6", "59408-5", "29463-7", "3141-9", "8302-2", "8306-3", "39156-5", "8287-5", "9843-4", "8289-1", "85353-1",
	"77606-2", "59576-9"}

// result reads a result. A record that no model reads counts with the results,
// whatever it measures; a vital sign is left to the next section.
func result(b *Builder, r Resource) (item, error) {
	o, err := read[fhir.Observation](r)
	if err != nil {
		return item{}, err
	}
	if isVital(&o) {
		b.last = o
		return item{}, errElsewhere
	}
	it := observation(o)
	it.group = resultGroup(&o)
	return it, nil
}

// vital takes what result has just left.
func vital(b *Builder, _ Resource) (item, error) { return observation(b.last), nil }

func observation(o fhir.Observation) item {
	on := observedOn(&o)
	it := item{when: moment(on), test: testOf(&o.Code), hidden: o.Status == fhir.ObservationStatusEnteredInError,
		void: o.Status == fhir.ObservationStatusCancelled}
	status := o.Status.Code()
	if status == "final" {
		status = ""
	}
	flag := join(", ", flags(o.Interpretation), computedFlag(&o))
	it.row = Row{Cells: []string{named(concept(&o.Code)), join(" ", observed(&o), paren(status)), flag,
		ranges(o.ReferenceRange), showDate(on), ""}, More: notes(o.Note)}
	return it
}

func isVital(o *fhir.Observation) bool {
	for i := range o.Category {
		if code, _ := codeIn(&o.Category[i], "vital-signs"); code != "" {
			return true
		}
	}
	code, _ := codeIn(&o.Code, vitalCodes...)
	return len(o.Category) == 0 && code != ""
}

func resultGroup(o *fhir.Observation) int {
	group := 1
	for i := range o.Category {
		switch code, _ := codeIn(&o.Category[i], "laboratory", "social-history", "survey"); code {
		case "laboratory":
			return 0
		case "social-history", "survey":
			group = 2
		}
	}
	return group
}

func observedOn(o *fhir.Observation) string {
	switch {
	case str(o.EffectiveDateTime) != "":
		return *o.EffectiveDateTime
	case str(o.EffectiveInstant) != "":
		return *o.EffectiveInstant
	case o.EffectivePeriod != nil && str(o.EffectivePeriod.Start) != "":
		return *o.EffectivePeriod.Start
	}
	return str(o.Issued)
}

// testOf returns what makes two results ones of the same test: a code, LOINC
// first; else the words.
func testOf(c *fhir.CodeableConcept) string {
	first := ""
	for _, code := range c.Coding {
		if str(code.Code) == "" {
			continue
		}
		key := str(code.System) + "|" + str(code.Code)
		if str(code.System) == "http://loinc.org" {
			return key
		}
		if first == "" {
			first = key
		}
	}
	if first != "" {
		return first
	}
	return "text|" + Fold(concept(c))
}

// byTest folds the results of each test into one row: the latest that was not
// cancelled, and how many earlier ones there are.
func byTest(list []item) []item {
	tests := map[string][]item{}
	var keys []string
	for _, it := range list {
		if tests[it.test] == nil {
			keys = append(keys, it.test)
		}
		tests[it.test] = append(tests[it.test], it)
	}
	out := make([]item, 0, len(keys))
	for _, k := range keys {
		all := tests[k]
		order(all, false)
		at := slices.IndexFunc(all, func(it item) bool { return !it.void })
		newer := ""
		switch at {
		case -1:
			at = 0
		case 0:
		default:
			newer = join(" ", "later,", count(at, "result"), "cancelled: on", all[0].row.Cells[4])
		}
		one := all[at]
		one.row.Records = len(all)
		for _, it := range all {
			if l := it.row.Label; l != "" && !strings.Contains(one.row.Label, l) {
				one.row.Label = join(", ", one.row.Label, l)
			}
		}
		if n := len(all) - at - 1; n > 0 {
			one.row.Cells[5] = "+" + itoa(n)
		}
		one.row.More = join("; ", newer, one.row.More)
		out = append(out, one)
	}
	return out
}

// observed writes what was found: a value, the parts, or why there is none.
func observed(o *fhir.Observation) string {
	v := anyValue(valueOf{o.ValueQuantity, o.ValueCodeableConcept, o.ValueString, o.ValueBoolean, o.ValueInteger,
		o.ValueRange, o.ValueRatio, o.ValueSampledData, o.ValueTime, o.ValueDateTime, o.ValuePeriod})
	if bp := bloodPressure(o); bp != "" {
		return join(" ", v, bp)
	}
	var parts []string
	for i := range o.Component {
		c := &o.Component[i]
		cv := anyValue(valueOf{c.ValueQuantity, c.ValueCodeableConcept, c.ValueString, c.ValueBoolean, c.ValueInteger,
			c.ValueRange, c.ValueRatio, c.ValueSampledData, c.ValueTime, c.ValueDateTime, c.ValuePeriod})
		if cv == "" {
			cv = absent(c.DataAbsentReason)
		}
		parts = append(parts, join(" ", named(concept(&c.Code))+":", cv, paren(flags(c.Interpretation)),
			bracket(ranges(c.ReferenceRange))))
	}
	v = join("; ", v, strings.Join(parts, "; "))
	switch {
	case v != "":
		return v
	case o.DataAbsentReason != nil:
		return absent(o.DataAbsentReason)
	case len(o.HasMember) > 0:
		return "panel of " + itoa(len(o.HasMember))
	}
	return absent(nil)
}

func bracket(s string) string {
	if s == "" {
		return ""
	}
	return "[" + s + "]"
}

// absent says that there is no value, and why if the record says it.
func absent(c *fhir.CodeableConcept) string {
	if why := concept(c); why != "" {
		return "no value: " + why
	}
	return "no value in the record"
}

// bloodPressure writes the two parts of a blood pressure as one; "" for anything
// else.
func bloodPressure(o *fhir.Observation) string {
	if len(o.Component) != 2 {
		return ""
	}
	var pair [2]*fhir.Quantity
	for i := range o.Component {
		c := &o.Component[i]
		code, _ := codeIn(&c.Code, "8480-6", "8462-4")
		q := c.ValueQuantity
		if code == "" || q == nil || q.Value == nil || q.Comparator != nil || len(c.Interpretation) > 0 {
			return ""
		}
		if code == "8480-6" {
			pair[0] = q
		} else {
			pair[1] = q
		}
	}
	if pair[0] == nil || pair[1] == nil || unit(pair[0]) != unit(pair[1]) {
		return ""
	}
	return join(" ", num(pair[0].Value)+"/"+num(pair[1].Value), unit(pair[0]))
}

// A valueOf is the value of an observation or a component, in one of its kinds.
type valueOf struct {
	quantity *fhir.Quantity
	concept  *fhir.CodeableConcept
	text     *string
	boolean  *bool
	integer  *int
	span     *fhir.Range
	ratio    *fhir.Ratio
	sampled  *fhir.SampledData
	time     *string
	date     *string
	period   *fhir.Period
}

func anyValue(v valueOf) string {
	out := []string{quantity(v.quantity), concept(v.concept), CleanLine(str(v.text)), ratio(v.ratio),
		CleanLine(str(v.time)), showDate(str(v.date)), period(v.period)}
	if v.boolean != nil {
		out = append(out, map[bool]string{true: "yes", false: "no"}[*v.boolean])
	}
	if v.integer != nil {
		out = append(out, itoa(*v.integer))
	}
	if v.span != nil {
		out = append(out, valueRange(v.span.Low, v.span.High))
	}
	if v.sampled != nil {
		out = append(out, "a curve: see the record")
	}
	return join(" ", out...)
}

// flagWords are HL7's interpretation codes in words.
var flagWords = map[string]string{"H": "HIGH", "L": "LOW", "HH": "CRITICALLY HIGH", "LL": "CRITICALLY LOW",
	"A": "abnormal", "AA": "CRITICALLY ABNORMAL", "N": "normal", "POS": "positive", "NEG": "negative",
	"R": "resistant", "S": "susceptible", "I": "intermediate", "HU": "HIGH", "LU": "LOW"}

func flags(list []fhir.CodeableConcept) string {
	var out []string
	for i := range list {
		word := ""
		for _, c := range list[i].Coding {
			if w, ok := flagWords[str(c.Code)]; ok && word == "" {
				word = w
			}
		}
		if word == "" {
			word = concept(&list[i])
		}
		out = append(out, word)
	}
	return join(", ", out...)
}

// computedFlag compares a value with the result's own range, if the record has
// exactly one range for everybody, in the same unit, and no flag of its own.
func computedFlag(o *fhir.Observation) string {
	q := o.ValueQuantity
	if len(o.Interpretation) > 0 || len(o.ReferenceRange) != 1 || q == nil || q.Value == nil || q.Comparator != nil {
		return ""
	}
	r := &o.ReferenceRange[0]
	normal, _ := codeIn(r.Type, "normal")
	if r.Type != nil && normal == "" || len(r.AppliesTo) > 0 || r.Age != nil {
		return ""
	}
	v, ok := new(big.Rat).SetString(q.Value.String())
	if !ok {
		return ""
	}
	for _, end := range []struct {
		q    *fhir.Quantity
		sign int
		word string
	}{{r.Low, -1, "below range"}, {r.High, 1, "above range"}} {
		if end.q == nil || end.q.Value == nil || end.q.Comparator != nil || unit(end.q) != unit(q) {
			continue
		}
		if limit, ok := new(big.Rat).SetString(end.q.Value.String()); ok && v.Cmp(limit) == end.sign {
			return end.word
		}
	}
	return ""
}

// ranges writes the reference ranges of one result, each with whom it is for.
func ranges(list []fhir.ObservationReferenceRange) string {
	var out []string
	for i := range list {
		r := &list[i]
		whom := concepts(r.AppliesTo)
		if code, _ := codeIn(r.Type, "normal"); code == "" {
			whom = join(", ", concept(r.Type), whom)
		}
		if r.Age != nil {
			whom = join(", ", whom, "age "+valueRange(r.Age.Low, r.Age.High))
		}
		out = append(out, join(" ", valueRange(r.Low, r.High), CleanLine(str(r.Text)), paren(whom)))
	}
	return join("; ", out...)
}
