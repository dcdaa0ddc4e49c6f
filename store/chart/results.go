package chart

import (
	"slices"
	"strings"
	"time"

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
	o, err := b.repeats.observation(r)
	if err != nil {
		return item{}, err
	}
	if isVital(&o) {
		b.last = o
		return item{}, errElsewhere
	}
	return b.observation(r, &o, resultKind(&o)), nil
}

// vital takes what result has just left.
func vital(b *Builder, r Resource) (item, error) { return b.observation(r, &b.last, VitalSign), nil }

// observation keeps what was measured and makes the row of it.
func (b *Builder) observation(r Resource, o *fhir.Observation, kind Kind) item {
	whole := measured(r.Ref(), o, kind, baseOf(b.o.Names))
	whole.about(b.names.list(r, o.Focus))
	pair, isPair := bloodPressure(o)
	var parts []string
	b.results = append(b.results, whole)
	for i := range o.Component {
		c := component(whole, i, &o.Component[i])
		if c.Paired = isPair; isPair && len(o.Focus) == 0 {
			c.Test = halfOf(&o.Component[i].Code)
		}
		b.results = append(b.results, c)
		parts = append(parts, join(" ", c.Name+":", c.Value.Text, paren(c.Flag.own()), bracket(join("; ", c.Ranges...))))
	}
	text := whole.Value.Text
	switch {
	case isPair && text == "":
		text, whole.Value = pair.Text, pair
		whole.pairUp(b.results[len(b.results)-len(o.Component):])
	case isPair:
		text = join(" ", text, pair.Text)
		whole.Value.Text = text
	case len(parts) > 0:
		if text == "" && o.DataAbsentReason != nil {
			text = absent(o.DataAbsentReason)
			whole.Value.Text, whole.None = text, true
		}
		text = join("; ", text, strings.Join(parts, "; "))
	case text == "" && o.DataAbsentReason == nil && len(o.HasMember) > 0:
		text = "panel of " + itoa(len(o.HasMember))
	case text == "":
		text = absent(o.DataAbsentReason)
		whole.Value.Text, whole.None = text, true
	}
	status := whole.Status
	if status == "final" {
		status = ""
	}
	it := item{when: whole.When, test: whole.Test, hidden: whole.EnteredInError(), void: !whole.counts(), pending: whole.Pending()}
	if kind != VitalSign {
		it.group = int(kind)
	}
	it.row = Row{Cells: []string{whole.Name, join(" ", text, paren(status)), whole.Flag.Words, join("; ", whole.Ranges...), whole.On, ""},
		More: join("; ", whole.How, whole.Comment)}
	return it
}

// about marks a result that is of somebody or something else than the patient himself, such
// as an unborn child: it is in no series with the patient's own.
func (r *Result) about(focus string) {
	if focus != "" {
		r.Test += "\x00about " + focus
		r.Name += " (about " + focus + ")"
	}
}

// pairUp takes over what is said of the halves of a blood pressure.
func (r *Result) pairUp(parts []*Result) {
	if r.Flag.Words == "" {
		r.Flag = halves(parts)
	}
	r.Ranges = append(r.Ranges, rangesOf(parts)...)
}

// halfOf says which half of a blood pressure a code is, also if it names no system.
func halfOf(c *fhir.CodeableConcept) string {
	if code, _ := codeIn(c, "8480-6"); code != "" {
		return systolic
	}
	return diastolic
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

func resultKind(o *fhir.Observation) Kind {
	kind := OtherResult
	for i := range o.Category {
		switch code, _ := codeIn(&o.Category[i], "laboratory", "social-history", "survey"); code {
		case "laboratory":
			return Laboratory
		case "social-history", "survey":
			kind = Questionnaire
		}
	}
	return kind
}

// An occasion is when something was measured.
type occasion struct {
	words string    // as people read it; "": not said
	at    time.Time // its beginning; zero: not known
	until time.Time // of a period of several days: its end
	day   bool      // it names a day, or the days of a period with both ends
}

// when reads a date or a period; of a date that stands for another one, of says what it is.
func when(date string, p *fhir.Period, of string) occasion {
	if date != "" || p == nil {
		return occasion{words: join(" ", showDate(date), of), at: moment(date), day: len(date) >= len("2006-01-02")}
	}
	o := occasion{words: period(p), at: begins(p)}
	from, to := str(p.Start), str(p.End)
	o.day = min(len(from), len(to)) >= len("2006-01-02")
	if o.day && from[:10] != to[:10] {
		o.until = moment(to)
	}
	return o
}

// observedOn is when something was measured; if the record does not say that, when it was
// issued, and then it says so.
func observedOn(o *fhir.Observation) occasion {
	switch {
	case str(o.EffectiveDateTime) != "":
		return when(*o.EffectiveDateTime, nil, "")
	case str(o.EffectiveInstant) != "":
		return when(*o.EffectiveInstant, nil, "")
	case period(o.EffectivePeriod) != "":
		return when("", o.EffectivePeriod, "")
	case o.EffectiveTiming != nil && timing(o.EffectiveTiming) != "":
		return occasion{words: timing(o.EffectiveTiming), at: moment(str(o.Issued))}
	case str(o.Issued) != "":
		return when(*o.Issued, nil, "(issued)")
	}
	return occasion{}
}

// reportedOn is when what a report tells of was; if it does not say that, when it was
// issued.
func reportedOn(d *fhir.DiagnosticReport) occasion {
	return observedOn(&fhir.Observation{EffectiveDateTime: d.EffectiveDateTime, EffectivePeriod: d.EffectivePeriod, Issued: d.Issued})
}

// testOf returns what makes two results ones of the same test: a code, LOINC
// first; else the words. A code that names no system means the same only where it
// is called the same.
func testOf(c *fhir.CodeableConcept) string {
	first := ""
	for _, code := range c.Coding {
		if str(code.Code) == "" {
			continue
		}
		key := str(code.System) + "|" + str(code.Code)
		switch str(code.System) {
		case "http://loinc.org":
			return key
		case "":
			key += "|" + Fold(concept(c))
		}
		if first == "" {
			first = key
		}
	}
	if first != "" {
		return first
	}
	return noTest + Fold(concept(c))
}

// noTest is what testOf returns of what has neither code nor words.
const noTest = "text|"

// byTest folds the results of each test into one row: the latest that was not
// cancelled and is not only announced, and how many earlier ones there are.
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
			state := "cancelled"
			if slices.ContainsFunc(all[:at], func(it item) bool { return it.pending }) {
				state = "cancelled or without a value yet"
			}
			newer = join(" ", "later,", count(at, "result"), state+": on", all[0].row.Cells[4])
		}
		one := all[at]
		one.row.Records = 0
		for _, it := range all {
			one.row.Records += it.row.Records
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

// bloodPressure puts the two parts of a blood pressure together; ok is false for
// anything else.
func bloodPressure(o *fhir.Observation) (v Value, ok bool) {
	if len(o.Component) != 2 {
		return v, false
	}
	var pair [2]*fhir.Quantity
	for i := range o.Component {
		c := &o.Component[i]
		code, _ := codeIn(&c.Code, "8480-6", "8462-4")
		q := c.ValueQuantity
		if code == "" || q == nil || q.Value == nil || q.Comparator != nil || len(c.Interpretation) > 0 {
			return v, false
		}
		if code == "8480-6" {
			pair[0] = q
		} else {
			pair[1] = q
		}
	}
	if pair[0] == nil || pair[1] == nil || unit(pair[0]) != unit(pair[1]) {
		return v, false
	}
	v = Value{Number: num(pair[0].Value), Lower: num(pair[1].Value), Unit: unit(pair[0])}
	v.Text = join(" ", v.Number+"/"+v.Lower, v.Unit)
	return v, true
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

// oneRange writes a reference range with whom it is for.
func oneRange(r *fhir.ObservationReferenceRange) string {
	whom := concepts(r.AppliesTo)
	if code, _ := codeIn(r.Type, "normal"); code == "" {
		whom = join(", ", concept(r.Type), whom)
	}
	if r.Age != nil {
		whom = join(", ", whom, "age "+valueRange(r.Age.Low, r.Age.High))
	}
	return join(" ", valueRange(r.Low, r.High), CleanLine(str(r.Text)), paren(whom))
}
