package fakeemr

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A query is a search as it was understood.
type query struct {
	typ      string
	strict   bool
	dates    [][]dateTest // one of each must be true
	ids      []string     // nil: any
	patients []string     // nil: any
	count    int
	counted  bool // only the number is wanted
	total    bool
	sort     []sortKey
	since    time.Time // of a history
	used     []pair    // what the self link says
}

type pair struct{ key, value string }

type sortKey struct {
	name string
	down bool
}

// A dateTest is one value of _lastUpdated.
type dateTest struct {
	prefix   string
	from, to int64
}

var (
	errNotUsed = errors.New("not used") // a parameter is unknown, or its value is
	errDropped = errors.New("dropped")  // a dial says that a parameter is ignored
)

// matches compares intervals as FHIR does.
func (d dateTest) matches(e *entry) bool {
	within := d.from <= e.stamp && e.until <= d.to
	switch d.prefix {
	case "ne":
		return !within
	case "gt":
		return e.until > d.to
	case "lt":
		return e.stamp < d.from
	case "ge":
		return within || e.until > d.to
	case "le":
		return within || e.stamp < d.from
	case "sa":
		return e.stamp >= d.to
	case "eb":
		return e.until <= d.from
	}
	return within
}

// compartment holds the types that can be searched by patient.
var compartment = []string{"AllergyIntolerance", "Appointment", "CarePlan", "CareTeam", "Claim",
	"ClinicalImpression", "Communication", "Condition", "Consent", "Coverage", "Device", "DiagnosticReport",
	"DocumentReference", "Encounter", "EpisodeOfCare", "ExplanationOfBenefit", "FamilyMemberHistory", "Flag",
	"Goal", "ImagingStudy", "Immunization", "Media", "MedicationAdministration", "MedicationDispense",
	"MedicationRequest", "MedicationStatement", "Observation", "Procedure", "Provenance",
	"QuestionnaireResponse", "RelatedPerson", "RiskAssessment", "ServiceRequest", "Specimen"}

// params reads the parameters of GET and of POST _search, in order.
func params(r *http.Request) ([]pair, error) {
	raw := r.URL.RawQuery
	if r.Method == http.MethodPost {
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || kind != "application/x-www-form-urlencoded" {
			return nil, errors.New("a search by POST is a form")
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return nil, err
		}
		raw += "&" + string(body)
	}
	var out []pair
	for _, one := range strings.Split(raw, "&") {
		k, v, _ := strings.Cut(one, "=")
		key, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err := errors.Join(err1, err2); err != nil {
			return nil, errors.New("the parameters are not encoded")
		}
		if value != "" {
			out = append(out, pair{key, value})
		}
	}
	return out, nil
}

// handlingStrict reports whether the client asks for unknown parameters to be
// refused.
func handlingStrict(r *http.Request) bool {
	for _, one := range strings.FieldsFunc(strings.Join(r.Header.Values("Prefer"), ","), func(c rune) bool {
		return c == ',' || c == ';'
	}) {
		if strings.TrimSpace(one) == "handling=strict" {
			return true
		}
	}
	return false
}

// parse fills a query from parameters. take says what one of them means;
// errNotUsed leaves it out, or is an error if the client is strict; errDropped
// leaves it out.
func (q *query) parse(list []pair, take func(*query, pair) (pair, error)) error {
	for _, p := range list {
		used, err := take(q, p)
		switch {
		case err == errNotUsed && q.strict:
			return fmt.Errorf("the parameter %s is not supported", p.key)
		case err == errNotUsed, err == errDropped:
			continue
		case err != nil:
			return err
		}
		q.used = append(q.used, used)
	}
	return nil
}

// self is the query of the self link.
func (q *query) self() string {
	var b strings.Builder
	for i, p := range q.used {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(url.QueryEscape(p.key) + "=" + url.QueryEscape(p.value))
	}
	return b.String()
}

// take takes one parameter of a search.
func (e *EMR) take(f *Faults) func(*query, pair) (pair, error) {
	return func(q *query, p pair) (pair, error) {
		name, _, modified := strings.Cut(p.key, ":")
		switch {
		case name == "patient" && !slices.Contains(compartment, q.typ):
			return p, errNotUsed
		case modified && slices.Contains([]string{"_lastUpdated", "_id", "patient"}, name):
			return p, fmt.Errorf("the modifier of %s is not supported", name)
		}
		switch p.key {
		case "_lastUpdated":
			return p, q.takeDate(p.value, f)
		case "_id":
			q.ids = both(q.ids, strings.Split(p.value, ","))
		case "patient":
			var ids []string
			for _, one := range strings.Split(p.value, ",") {
				one = strings.TrimPrefix(one, e.BaseURL()+"/")
				ids = append(ids, strings.TrimPrefix(one, "Patient/"))
			}
			q.patients = both(q.patients, ids)
		case "_sort":
			return q.takeSort(p, f)
		default:
			return q.takeResult(p, f, e.o.MaxCount)
		}
		return p, nil
	}
}

// both is what two lists of allowed values allow together; nil allows all.
func both(a, b []string) []string {
	if a == nil {
		return b
	}
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}

func (q *query) takeDate(value string, f *Faults) error {
	var any []dateTest
	for _, one := range strings.Split(value, ",") {
		d := dateTest{prefix: "eq"}
		if len(one) > 2 && slices.Contains([]string{"eq", "ne", "lt", "gt", "le", "ge", "sa", "eb"}, one[:2]) {
			d.prefix, one = one[:2], one[2:]
		}
		var ok bool
		if d.from, d.to, ok = span(one); !ok {
			return errors.New("_lastUpdated is not a date")
		}
		any = append(any, d)
	}
	switch {
	case f.LyingSelf:
		return nil
	case f.IgnoreLastUpdated:
		return errDropped
	}
	q.dates = append(q.dates, any)
	return nil
}

func (q *query) takeSort(p pair, f *Faults) (pair, error) {
	if f.SortIgnored {
		return p, errDropped
	}
	var known []string
	for _, one := range strings.Split(p.value, ",") {
		name, down := strings.CutPrefix(one, "-")
		if name != "_lastUpdated" && name != "_id" {
			if q.strict {
				return p, errNotUsed
			}
			continue
		}
		q.sort = append(q.sort, sortKey{name, down})
		known = append(known, one)
	}
	if known == nil {
		return p, errNotUsed
	}
	return pair{p.key, strings.Join(known, ",")}, nil
}

// takeResult takes the parameters that say how results are given, which
// histories share.
func (q *query) takeResult(p pair, f *Faults, most int) (pair, error) {
	switch p.key {
	case "_count":
		n, err := strconv.Atoi(p.value)
		if err != nil || n < 0 {
			return p, errors.New("_count is not a number")
		}
		if f.CountIgnored {
			return p, errDropped
		}
		if q.count = min(n, most); n == 0 { // R4: the same as _summary=count
			q.counted = true
		}
		p.value = strconv.Itoa(q.count)
	case "_summary":
		switch {
		case p.value == "count" && f.NoSummary:
			return p, errors.New("_summary=count is not supported")
		case p.value == "count":
			q.counted = true
		case p.value != "false":
			return p, errNotUsed
		}
	case "_total":
		switch {
		case !slices.Contains([]string{"none", "estimate", "accurate"}, p.value):
			return p, errors.New("_total is none, estimate or accurate")
		case f.NoTotal:
			return p, errDropped
		}
		q.total = p.value != "none"
	case "_format":
		if !strings.Contains(p.value, "json") {
			return p, errors.New("only JSON is supported")
		}
	default:
		return p, errNotUsed
	}
	return p, nil
}

// run returns what a query matches, sorted as it asks.
func (q *query) run(l *list) []*entry {
	found := l.order
	byStamp := len(q.sort) > 0 && q.sort[0] == sortKey{name: "_lastUpdated"} &&
		(len(q.sort) == 1 || q.sort[1] == sortKey{name: "_id"})
	switch {
	case q.ids != nil:
		l.maps()
		found = pickEntries(l.byID, q.ids)
		byStamp = false
	case q.patients != nil:
		l.maps()
		found = nil
		for _, id := range slices.Compact(slices.Sorted(slices.Values(q.patients))) {
			found = append(found, l.byPatient[id]...)
		}
		byStamp = false
	case byStamp:
		found = l.sorted()
	}
	if len(q.dates) > 0 || q.ids != nil && q.patients != nil {
		found = q.filter(found)
	}
	if len(q.sort) > 0 && !byStamp {
		found = slices.Clone(found)
		slices.SortStableFunc(found, q.compare)
	}
	return found
}

func pickEntries(from map[string]*entry, ids []string) []*entry {
	var out []*entry
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		if e := from[id]; e != nil {
			out = append(out, e)
		}
	}
	return out
}

// filter returns what the tests of a query leave of a list. What is left in one
// piece shares its memory.
func (q *query) filter(list []*entry) []*entry {
	first, last, n := 0, -1, 0
	for i, e := range list {
		if !q.leaves(e) {
			continue
		}
		if n == 0 {
			first = i
		}
		last = i
		n++
	}
	if n == last-first+1 {
		return list[first : last+1]
	}
	out := make([]*entry, 0, n)
	for _, e := range list[first : last+1] {
		if q.leaves(e) {
			out = append(out, e)
		}
	}
	return out
}

func (q *query) leaves(e *entry) bool {
	if q.patients != nil && !slices.Contains(q.patients, e.patient) {
		return false
	}
	for _, any := range q.dates {
		if !slices.ContainsFunc(any, func(d dateTest) bool { return d.matches(e) }) {
			return false
		}
	}
	return true
}

func (q *query) compare(a, b *entry) int {
	for _, k := range q.sort {
		c := cmp.Compare(a.stamp, b.stamp)
		if k.name == "_id" {
			c = cmp.Compare(a.id, b.id)
		}
		if k.down {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}
