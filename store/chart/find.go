package chart

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Query is what somebody typed to find a patient: parts of names in any order,
// a birth date in one of several forms, a record number, the end of a phone
// number; all of them must fit.
type Query struct {
	number string // the whole query is one phone number: its digits, between separators
	phone  digits // likewise
	parts  []queryPart
}

type queryPart struct {
	name   []string // pieces that each must begin a part of a name, behind a separator
	id     string   // folded, between separators
	record string   // of the id of the record, likewise
	prefix string   // of an identifier; "": too short for one
	digits digits   // "": not only digits
	date   string   // FHIR date, or the beginning of one
}

// digits are those of a phone number, with the separator behind them.
type digits string

// newDigits leaves out the 0 that stands for a country.
func newDigits(s string) digits {
	if len(s) < 4 {
		return ""
	}
	if local := strings.TrimLeft(s, "0"); len(local) >= 7 {
		s = local
	}
	return digits(s + separator)
}

// phonePattern is a query that is nothing but a phone number.
var phonePattern = regexp.MustCompile(`^[+(]?[0-9][0-9()+./ -]{3,}$`)

// ParseQuery reads what somebody typed. An empty query fits everybody.
func ParseQuery(s string) Query {
	var q Query
	for _, w := range strings.FieldsFunc(CleanLine(s), func(r rune) bool { return r == ' ' || r == ',' }) {
		f := Fold(w)
		p := queryPart{id: separator + f + separator, record: separator + ofRecord + f + separator, date: dateIn(w)}
		for _, piece := range strings.FieldsFunc(f, mark) {
			p.name = append(p.name, separator+piece)
		}
		if len(f) >= 3 {
			p.prefix = separator + f
		}
		if digitsOf(w) == w {
			p.digits = newDigits(w)
		}
		q.parts = append(q.parts, p)
	}
	one := len(q.parts) == 1 && (q.parts[0].date != "" || digitsOf(s) == strings.TrimSpace(s))
	if phonePattern.MatchString(strings.TrimSpace(s)) && !one {
		q.number, q.phone = separator+digitsOf(s)+separator, newDigits(digitsOf(s))
	}
	return q
}

// dateIn reads 1970-02-01, 01.02.1970 (day first), 2/1/1970 (month first, unless
// that is no month), 1970-02 and 1970; "" if it is none of these.
func dateIn(w string) string {
	w = strings.TrimSuffix(w, ".")
	for _, layout := range []string{"2006-1-2", "2.1.2006", "1/2/2006", "2/1/2006", "2006/1/2"} {
		if t, err := time.Parse(layout, w); err == nil {
			return t.Format("2006-01-02")
		}
	}
	if _, err := time.Parse("2006-01", w); err == nil {
		return w
	}
	if t, err := time.Parse("2006", w); err == nil && t.Year() >= 1800 && t.Year() < 2200 {
		return w
	}
	return ""
}

// Fits reports whether the patient is one of those asked for.
func (q Query) Fits(e *Entry) bool {
	if q.number != "" {
		return e.hasPhone(q.phone) || e.ids.contains(q.number)
	}
	for i := range q.parts {
		if !q.parts[i].fits(e) {
			return false
		}
	}
	return true
}

func (p *queryPart) fits(e *Entry) bool {
	switch {
	case p.date != "" && strings.HasPrefix(e.Born, p.date),
		e.hasPhone(p.digits),
		e.ids.contains(p.id), e.ids.contains(p.record),
		p.prefix != "" && e.ids.contains(p.prefix):
		return true
	}
	return p.date == "" && p.named(e)
}

// named reports whether each piece begins a part of a name, or stands in it if it
// is three letters or longer.
func (p *queryPart) named(e *Entry) bool {
	for _, begin := range p.name {
		piece := begin[len(separator):]
		if len(piece) < 3 && !e.names.contains(begin) || len(piece) >= 3 && !e.names.contains(piece) {
			return false
		}
	}
	return len(p.name) > 0
}

// hasPhone reports whether a phone number ends in these digits; a number typed with its
// country fits too.
func (e *Entry) hasPhone(d digits) bool {
	if d == "" || e.digits == "" {
		return false
	}
	if e.digits.contains(string(d)) {
		return true
	}
	for number := range strings.SplitSeq(string(e.digits), separator) {
		if len(number) >= 7 && strings.HasSuffix(string(d[:len(d)-len(separator)]), number) {
			return true
		}
	}
	return false
}

// Roster is the patients of a practice.
type Roster struct{ Entries []Entry }

// Add adds a patient.
func (r *Roster) Add(res Resource) { r.Entries = append(r.Entries, NewEntry(res)) }

// Sort puts the patients in the order of their folded names, then of their ids.
func (r *Roster) Sort() {
	keys := make(map[string]string, len(r.Entries))
	for i := range r.Entries {
		keys[r.Entries[i].ID] = Fold(r.Entries[i].Name)
	}
	slices.SortFunc(r.Entries, func(a, b Entry) int {
		if c := strings.Compare(keys[a.ID], keys[b.ID]); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// Search returns those that a query fits, in the order of the roster.
func (r *Roster) Search(query string) []Entry {
	q := ParseQuery(query)
	var out []Entry
	for i := range r.Entries {
		if q.Fits(&r.Entries[i]) {
			out = append(out, r.Entries[i])
		}
	}
	return out
}

// State says in words what is special about a patient's record.
func (e *Entry) State() string {
	var out []string
	switch e.Deceased {
	case "":
	case "yes":
		out = append(out, "deceased")
	default:
		out = append(out, "died "+e.Deceased)
	}
	if e.ReplacedBy != "" {
		out = append(out, fmt.Sprintf("replaced by %s", e.ReplacedBy))
	}
	if e.Inactive {
		out = append(out, "inactive")
	}
	if e.Sensitive {
		out = append(out, "labelled sensitive")
	}
	if e.Plain {
		out = append(out, "not as FHIR says: see the record")
	}
	return strings.Join(out, ", ")
}

// Has reports whether a patient has this identifier, all of it.
func (e *Entry) Has(identifier string) bool {
	return e.ids.has(Fold(CleanLine(identifier)))
}
