package chart

import (
	"math"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// A Kind is which part of a chart a result belongs to. The first three are the
// groups of the results, in their order.
type Kind int

// The kinds.
const (
	Laboratory Kind = iota
	OtherResult
	Questionnaire // and social history
	VitalSign
)

// A Result is one thing that was measured, asked or seen: an observation, or one
// component of it. Nothing in it is worked out but Flag, where Flag.Ours says so.
type Result struct {
	Ref    string // Type/id of the record
	Part   int    // which component of the record, from 1; 0: the record itself
	Inside int    // which of the records inside the record it is, from 1; 0: none
	Within string // of one of these: the name of the record it is in
	Parts  int    // components of the record, if this is the record itself
	Test   string // the same for results of the same test
	Name   string
	Code   string // with the name of its system; "": none
	Whole  string // of a component: the name of the record it is in
	Kind   Kind
	On     string    // when, as people read it; "": not said
	When   time.Time // the beginning of what On names; zero: not known
	Until  time.Time // of a period over several days: its end
	ToDay  bool      // On names a day, or a period with both ends, not only a month or a year
	Value  Value
	None   bool   // there is no value; its text says so
	Status string // as FHIR writes it
	Flag   Flag
	Ranges []string // its own reference ranges in words, each with whom it is for
	// Low and High are the limits of its range, in the unit of the value, as they are
	// written; "" if there is none, or if it is not sure that the range is for it.
	Low, High string
	Label     string // security labels, in words
	How       string // site and method
	Comment   string
	Paired    bool     // a half of a blood pressure, which stands in the record itself
	Members   []string // records that belong to this one, as Type/id
	From      []string // records from which it was derived, as Type/id

	inside string // of one inside a record: its id there
}

// key names the record that a result is or is a part of, also inside another.
func (r *Result) key() string {
	if r.Inside > 0 {
		return r.Ref + "#" + r.inside
	}
	return r.Ref
}

// A Value is what was found, as it was written. Only a quantity, a whole number or a
// blood pressure has a Number; everything has a Text.
type Value struct {
	Text, Comparator, Number, Unit string
	Lower                          string // the second number of a blood pressure
}

// A Flag is what is said of a value.
type Flag struct {
	Words string // the record's own, as text shows them; "": none
	Mark  string // ▲ or ▼, two of them if it is critical; "": no direction
	Odd   bool   // it does not say that all is well
	Grave bool   // it says critical
	Ours  bool   // the record has no flag; its value lies outside its own range
}

// String writes a flag for a page: ▲ High.
func (f Flag) String() string {
	words := f.Words
	if words == strings.ToUpper(words) {
		words = strings.ToLower(words)
	}
	first, n := utf8.DecodeRuneInString(words)
	if n > 0 {
		words = string(unicode.ToUpper(first)) + words[n:]
	}
	return join(" ", f.Mark, words)
}

// halves puts the flags of the parts of one thing together, each with its name.
func halves(parts []*Result) (f Flag) {
	var words []string
	for _, p := range parts {
		if p.Flag.Words == "" {
			continue
		}
		if words = append(words, p.Name+": "+p.Flag.Words); len(words) == 1 {
			f.Mark = p.Flag.Mark
		} else if f.Mark != p.Flag.Mark {
			f.Mark = ""
		}
		f.Odd, f.Grave, f.Ours = f.Odd || p.Flag.Odd, f.Grave || p.Flag.Grave, f.Ours || p.Flag.Ours
	}
	f.Words = strings.Join(words, ", ")
	return f
}

// rangesOf are the ranges of the parts of one thing, each with its name.
func rangesOf(parts []*Result) (out []string) {
	for _, p := range parts {
		for _, r := range p.Ranges {
			out = append(out, p.Name+": "+r)
		}
	}
	return out
}

// own are the record's words; "" if the flag was found here.
func (f Flag) own() string {
	if f.Ours {
		return ""
	}
	return f.Words
}

// EnteredInError reports whether the record was made by mistake.
func (r *Result) EnteredInError() bool { return r.Status == "entered-in-error" }

// Void reports whether the measurement was cancelled.
func (r *Result) Void() bool { return r.Status == "cancelled" }

// Pending reports whether the measurement is only announced: there is no value yet.
func (r *Result) Pending() bool { return r.Status == "registered" && r.None }

// counts reports whether a result can be the latest of its test.
func (r *Result) counts() bool { return !r.Void() && !r.Pending() }

// Corrected reports whether the value was changed after it was final.
func (r *Result) Corrected() bool { return r.Status == "corrected" || r.Status == "amended" }

// Settled reports whether somebody has said that the value is final.
func (r *Result) Settled() bool { return r.Status == "final" || r.Corrected() }

// Point returns the result as it is drawn, without an age.
func (r *Result) Point() Point { return pointOf(r, Birth{}) }

// Heading reports whether a record is only the head of others: it has no value of
// its own, but parts or members.
func (r *Result) Heading() bool {
	return r.Part == 0 && r.Value == (Value{}) && (r.Parts > 0 || len(r.Members) > 0)
}

// MeasuredIn returns the results that one record is or holds, each of which is in a Test of
// its patient's chart; nil of a record that is no observation or report, that no model
// reads, or that was entered in error.
func MeasuredIn(r Resource) (list []*Result) {
	b := New(Options{Sensitive: true})
	if r.Type == "Observation" || r.Type == "DiagnosticReport" {
		b.Add(r)
	}
	for _, one := range b.results {
		if !one.Heading() && !one.Paired && !one.EnteredInError() {
			list = append(list, one)
		}
	}
	return list
}

// flagWord is one of HL7's interpretation codes in words.
type flagWord struct {
	word, mark string
	well       bool // it says that all is well
}

var flagWords = map[string]flagWord{"H": {word: "HIGH", mark: "▲"}, "L": {word: "LOW", mark: "▼"},
	"HH": {word: "CRITICALLY HIGH", mark: "▲▲"}, "LL": {word: "CRITICALLY LOW", mark: "▼▼"},
	"A": {word: "abnormal"}, "AA": {word: "CRITICALLY ABNORMAL"}, "N": {word: "normal", well: true},
	"POS": {word: "positive"}, "NEG": {word: "negative", well: true}, "R": {word: "resistant"},
	"S": {word: "susceptible", well: true}, "I": {word: "intermediate"},
	"HU": {word: "SIGNIFICANTLY HIGH", mark: "▲"}, "LU": {word: "SIGNIFICANTLY LOW", mark: "▼"},
	"H>": {word: "SIGNIFICANTLY HIGH", mark: "▲"}, "L<": {word: "SIGNIFICANTLY LOW", mark: "▼"},
	">": {word: "OFF SCALE HIGH", mark: "▲"}, "<": {word: "OFF SCALE LOW", mark: "▼"},
	"HX": {word: "ABOVE HIGH THRESHOLD", mark: "▲"}, "LX": {word: "BELOW LOW THRESHOLD", mark: "▼"},
	"B": {word: "better"}, "W": {word: "worse"}, "U": {word: "significant change up"}, "D": {word: "significant change down"},
	"IND": {word: "indeterminate"}, "E": {word: "equivocal"}, "IE": {word: "insufficient evidence"}, "CAR": {word: "carrier"},
	"EXP": {word: "expected"}, "UNE": {word: "unexpected"}, "DET": {word: "detected"}, "ND": {word: "not detected", well: true},
	"RR": {word: "reactive"}, "WR": {word: "weakly reactive"}, "NR": {word: "non-reactive", well: true},
	"NS": {word: "non-susceptible"}, "SDD": {word: "susceptible, dose dependent"}, "SYN-R": {word: "synergy, resistant"},
	"SYN-S": {word: "synergy, susceptible"}, "MS": {word: "moderately susceptible"}, "VS": {word: "very susceptible"},
	"TOX": {word: "toxic"}, "AC": {word: "anti-complementary substances present"}, "QCF": {word: "quality control failure"},
	"EX": {word: "outside threshold"}, "NCL": {word: "no CLSI defined breakpoint"}}

// flagCode reads a code of an interpretation. A code of another system than HL7's is one
// of these only if its own words say the same.
func flagCode(c *fhir.Coding) (flagWord, bool) {
	known, ok := flagWords[str(c.Code)]
	if !ok {
		return flagWord{}, false
	}
	system := strings.ToLower(strings.ReplaceAll(str(c.System), "-", ""))
	for _, hl7 := range []string{"observationinterpretation", "/0078", "v20078", "2.16.840.1.113883.5.83", "2.16.840.1.113883.12.78"} {
		if system == "" || strings.HasSuffix(system, hl7) {
			return known, true
		}
	}
	if Fold(CleanLine(str(c.Display))) == Fold(known.word) {
		return known, true
	}
	return flagWord{}, false
}

// flagOf reads the interpretations of a value. Words that are not HL7's are kept,
// and never taken to say that all is well.
func flagOf(list []fhir.CodeableConcept) Flag {
	var f Flag
	var words []string
	for i := range list {
		known, ok := flagWord{}, false
		for k := range list[i].Coding {
			one, is := flagCode(&list[i].Coding[k])
			if is && (!ok || known.well) { // of two the one that is not well counts
				known, ok = one, true
			}
		}
		switch own := CleanLine(str(list[i].Text)); {
		case !ok:
			known.word = concept(&list[i])
		case known.well && !saysWell(own, &known, &list[i]):
			known.word, known.well = known.word+" ("+own+")", false
		}
		if known.word == "" {
			continue
		}
		words = append(words, known.word)
		f.Odd = f.Odd || !known.well
		f.Grave = f.Grave || strings.HasPrefix(Fold(known.word), "critical")
		if f.Mark == "" {
			f.Mark = known.mark
		}
	}
	f.Words = join(", ", words...)
	return f
}

// saysWell reports whether the words beside a code that says that all is well say nothing
// else: they are empty, the code itself, or what it is called.
func saysWell(own string, known *flagWord, c *fhir.CodeableConcept) bool {
	fold := Fold(own)
	if own == "" || fold == Fold(known.word) {
		return true
	}
	return slices.ContainsFunc(c.Coding, func(one fhir.Coding) bool {
		return fold == Fold(str(one.Code)) || fold == Fold(CleanLine(str(one.Display)))
	})
}

// limits are the ends of the only range of a value, if it has exactly one for
// everybody, in the unit of the value; "" where it has none.
func limits(q *fhir.Quantity, list []fhir.ObservationReferenceRange) (low, high string) {
	if len(list) != 1 || q == nil || q.Value == nil {
		return "", ""
	}
	r := &list[0]
	normal, _ := codeIn(r.Type, "normal")
	if r.Type != nil && normal == "" || len(r.AppliesTo) > 0 || r.Age != nil {
		return "", ""
	}
	end := func(e *fhir.Quantity) string {
		if e == nil || e.Value == nil || e.Comparator != nil || unit(e) != unit(q) {
			return ""
		}
		return num(e.Value)
	}
	return end(r.Low), end(r.High)
}

// outside compares a value that has no flag with its own limits.
func outside(v Value, low, high string) Flag {
	if v.Comparator != "" {
		return Flag{}
	}
	if sign, ok := compare(v.Number, low); ok && sign < 0 {
		return Flag{Words: "below range", Mark: "▼", Odd: true, Ours: true}
	}
	if sign, ok := compare(v.Number, high); ok && sign > 0 {
		return Flag{Words: "above range", Mark: "▲", Odd: true, Ours: true}
	}
	return Flag{}
}

// compare compares two numbers as they are written, exactly; ok is false if one is no
// number.
func compare(a, b string) (sign int, ok bool) {
	x, y := number64(a), number64(b)
	if d := x - y; math.Abs(d) > 1e-9*(math.Abs(x)+math.Abs(y)) { // nothing was lost that counts
		return int(math.Copysign(1, d)), true
	}
	p, ok := rational(a)
	if !ok {
		return 0, false
	}
	q, ok := rational(b)
	if !ok {
		return 0, false
	}
	return p.Cmp(q), true
}

// rational reads a number exactly. One whose exponent would fill the memory is
// none.
func rational(s string) (*big.Rat, bool) {
	if i := strings.IndexAny(s, "eE"); i >= 0 && len(s)-i > 4 {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// value is what a valueOf says, in words and as a number.
func (v valueOf) value() Value {
	out := Value{Text: anyValue(v), Unit: unit(v.quantity)}
	switch {
	case v.quantity != nil && v.quantity.Value != nil:
		out.Number = num(v.quantity.Value)
		if v.quantity.Comparator != nil {
			out.Comparator = v.quantity.Comparator.Code()
		}
	case v.integer != nil:
		out.Number = itoa(*v.integer)
	}
	return out
}

// measured makes the result that a record is.
func measured(ref string, o *fhir.Observation, kind Kind, base string) *Result {
	on := observedOn(o)
	q := o.ValueQuantity
	r := &Result{Ref: ref, Parts: len(o.Component), Test: testOf(&o.Code), Name: named(concept(&o.Code)), Code: codeText(&o.Code),
		Kind: kind, On: on.words, When: on.at, Until: on.until, ToDay: on.day, Status: o.Status.Code(),
		Flag: flagOf(o.Interpretation), How: join(", ", concept(o.BodySite), concept(o.Method)), Comment: notes(o.Note),
		Members: targets(o.HasMember, base), From: targets(o.DerivedFrom, base)}
	r.nameless()
	r.sited(concept(o.BodySite))
	r.Value = valueOf{q, o.ValueCodeableConcept, o.ValueString, o.ValueBoolean, o.ValueInteger,
		o.ValueRange, o.ValueRatio, o.ValueSampledData, o.ValueTime, o.ValueDateTime, o.ValuePeriod}.value()
	r.setRanges(q, o.ReferenceRange, len(o.Interpretation) == 0)
	return r
}

// component makes the result that part i of the record whole is. What is said of
// the record is said of its parts too.
func component(whole *Result, i int, c *fhir.ObservationComponent) *Result {
	q := c.ValueQuantity
	r := &Result{Ref: whole.Ref, Part: i + 1, Test: testOf(&c.Code), Name: named(concept(&c.Code)), Code: codeText(&c.Code),
		Whole: whole.Name, Kind: whole.Kind, On: whole.On, When: whole.When, Until: whole.Until, ToDay: whole.ToDay, Status: whole.Status,
		Flag: flagOf(c.Interpretation), How: whole.How, Comment: whole.Comment}
	r.nameless()
	if _, other, ok := strings.Cut(whole.Test, "\x00"); ok { // where, or about whom
		r.Test += "\x00" + other
	}
	r.Value = valueOf{q, c.ValueCodeableConcept, c.ValueString, c.ValueBoolean, c.ValueInteger,
		c.ValueRange, c.ValueRatio, c.ValueSampledData, c.ValueTime, c.ValueDateTime, c.ValuePeriod}.value()
	if r.Value.Text == "" {
		r.Value.Text, r.None = absent(c.DataAbsentReason), true
	}
	flagged := whole.Flag.Words != "" && !whole.Flag.Ours
	if flagged {
		r.Comment = join("; ", "flag of the whole record: "+whole.Flag.Words, r.Comment)
	}
	r.setRanges(q, c.ReferenceRange, !flagged && len(c.Interpretation) == 0)
	return r
}

// sited makes what was measured at different places of the body different tests: left and
// right must not take each other's place. Vital signs stay together.
func (r *Result) sited(site string) {
	if site != "" && r.Kind != VitalSign {
		r.Test += "\x00at " + Fold(site)
		r.Name += ", " + site
	}
}

// nameless makes a result of which the record does not say what it is, a test of its own.
func (r *Result) nameless() {
	if r.Test == noTest {
		r.Test += " " + r.Ref + " " + itoa(r.Part)
	}
}

// setRanges fills in the ranges; with compare, also the flag that they give.
func (r *Result) setRanges(q *fhir.Quantity, list []fhir.ObservationReferenceRange, compare bool) {
	for i := range list {
		if t := oneRange(&list[i]); t != "" {
			r.Ranges = append(r.Ranges, t)
		}
	}
	r.Low, r.High = limits(q, list)
	if compare {
		r.Flag = outside(r.Value, r.Low, r.High)
	}
}

// targets are the records of the source at base that references name, as Type/id; what
// names no record that way stays as it is written.
func targets(list []fhir.Reference, base string) []string {
	var out []string
	for i := range list {
		ref := CleanLine(str(list[i].Reference))
		if typ, id := Target(ref, base); typ != "" {
			ref = typ + "/" + id
		}
		if ref == "" {
			ref = CleanLine(str(list[i].Display))
		}
		out = append(out, ref)
	}
	return out
}
