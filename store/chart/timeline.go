package chart

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// An Event is one record in the order of time.
type Event struct {
	Ref       string
	Kind      string    // key of its section, or its type
	KindWords string    // Visits, Care plan
	Date      string    // as given, a period with both ends; "" if there is none
	Of        string    // what the date says, if it is not when it happened: recorded, written
	When      time.Time // where it stands in time; zero: it has no date that can be read
	Precision string    // year, month, day, moment
	Title     string
	Detail    string
	State     string
	Label     string // security labels, in words
}

// Year is the year in which an event stands, where it was written; "" without a date.
func (e *Event) Year() string {
	if e.When.IsZero() {
		return ""
	}
	return e.When.Format("2006")
}

// A Tally is how many events have one thing in common.
type Tally struct {
	Key, Words string
	Count      int
}

// A Timeline is every record of a patient, but for the Patient, in the order of time:
// each is in one of the three lists, or is counted as Unread or Withheld.
type Timeline struct {
	Events  []Event // newest first
	Undated []Event // by kind
	InError []Event // entered in error: shown only on demand
	Unread  int     // could not be read
	// Withheld are labelled sensitive and not shown: Options.Sensitive.
	Withheld int
}

// Years counts the events of each year, newest first.
func Years(list []Event) []Tally {
	return tally(list, func(e *Event) (string, string) { return e.Year(), e.Year() }, func(a, b Tally) int {
		return strings.Compare(b.Key, a.Key)
	})
}

// Kinds counts the events of each kind, in the order of the sections.
func Kinds(list []Event) []Tally {
	return tally(list, func(e *Event) (string, string) { return e.Kind, e.KindWords }, func(a, b Tally) int {
		return compareKinds(a.Key, b.Key)
	})
}

func tally(list []Event, of func(*Event) (key, words string), order func(a, b Tally) int) []Tally {
	at := map[string]int{}
	var out []Tally
	for i := range list {
		key, words := of(&list[i])
		n, ok := at[key]
		if !ok {
			n, at[key] = len(out), len(out)
			out = append(out, Tally{key, words, 0})
		}
		out[n].Count++
	}
	slices.SortFunc(out, order)
	return out
}

// compareKinds puts sections in their order before types in theirs.
func compareKinds(a, b string) int {
	keys := SectionKeys()
	i, j := slices.Index(keys, a), slices.Index(keys, b)
	switch {
	case i >= 0 && j >= 0:
		return i - j
	case i >= 0:
		return -1
	case j >= 0:
		return 1
	}
	return strings.Compare(a, b)
}

// timeline returns what was added in the order of time; Withheld is left to the caller.
func (b *Builder) timeline() *Timeline {
	t := &Timeline{}
	for _, e := range b.events {
		switch {
		case e.void:
			t.InError = append(t.InError, e.Event)
		case e.When.IsZero():
			t.Undated = append(t.Undated, e.Event)
		default:
			t.Events = append(t.Events, e.Event)
		}
	}
	for _, n := range b.unread {
		t.Unread += n
	}
	slices.SortFunc(t.Events, newestFirst)
	slices.SortFunc(t.InError, newestFirst)
	slices.SortStableFunc(t.Undated, func(x, y Event) int {
		if c := compareKinds(x.Kind, y.Kind); c != 0 {
			return c
		}
		return strings.Compare(x.Ref, y.Ref)
	})
	return t
}

// Only returns those events that fit.
func (t *Timeline) Only(fits func(*Event) bool) *Timeline {
	pick := func(list []Event) (out []Event) {
		for i := range list {
			if fits(&list[i]) {
				out = append(out, list[i])
			}
		}
		return out
	}
	return &Timeline{pick(t.Events), pick(t.Undated), pick(t.InError), t.Unread, t.Withheld}
}

// EventOf returns one record as an event; of a Patient only its kind and name.
func EventOf(r Resource, f Finder) Event {
	if r.Type == "Patient" {
		return Event{Ref: r.Ref(), Kind: r.Type, KindWords: r.Type, Title: Title(r)}
	}
	b := New(Options{Names: f, Timeline: true, Sensitive: true})
	b.Add(r)
	return b.events[0].Event
}

// newestFirst keeps the days of a place together, also where it is another day elsewhere.
func newestFirst(x, y Event) int {
	if c := y.When.Year() - x.When.Year(); c != 0 {
		return c
	}
	if c := compareTimes(y.When, x.When); c != 0 {
		return c
	}
	return strings.Compare(x.Ref, y.Ref)
}

type event struct {
	Event
	void bool // entered in error
}

// eventCells say which columns of a section make the title, the detail and the state of
// an event.
var eventCells = map[string]struct{ title, detail, state []string }{
	"allergies":     {[]string{"substance"}, []string{"risk", "reaction"}, []string{"status"}},
	"problems":      {[]string{"problem"}, []string{"code"}, []string{"status"}},
	"medicines":     {[]string{"medicine"}, []string{"directions", "by"}, []string{"status"}},
	"results":       {[]string{"test"}, []string{"latest", "range of this result"}, []string{"flag"}},
	"vitals":        {[]string{"measure"}, []string{"latest", "range of this result"}, []string{"flag"}},
	"reports":       {[]string{"report"}, []string{"holds", "by"}, []string{"status"}},
	"visits":        {[]string{"visit"}, []string{"reason", "with"}, []string{"status"}},
	"procedures":    {[]string{"procedure"}, []string{"reason"}, []string{"status"}},
	"immunizations": {[]string{"vaccine"}, []string{"dose", "lot"}, []string{"status"}},
	"documents":     {[]string{"document"}, []string{"author", "format"}, []string{"status"}},
	"orders":        {[]string{"order"}, []string{"reason", "by"}, []string{"status"}},
	"plan":          {[]string{"plan, goal or team"}, []string{"holds", "by"}, []string{"status"}},
	"appointments":  {[]string{"for"}, []string{"with"}, []string{"status"}},
	"coverage":      {[]string{"payer"}, []string{"plan"}, []string{"status"}},
}

// note keeps the event of a record that a section has read.
func (b *Builder) note(p *plan, r Resource, it *item) {
	if !b.o.Timeline {
		return
	}
	cell := func(names []string) string {
		var out []string
		for _, name := range names {
			if i := slices.Index(p.columns, name); i >= 0 && i < len(it.row.Cells) {
				out = append(out, it.row.Cells[i])
			}
		}
		return join(", ", out...)
	}
	cells := eventCells[p.key]
	e := event{Event{Ref: r.Ref(), Kind: p.key, KindWords: kindWords(p.title), Title: cell(cells.title),
		Detail: cell(cells.detail), State: cell(cells.state), Label: it.row.Label}, it.hidden}
	if it.hidden {
		e.State = enteredInError
	}
	e.date(r)
	if p.key == "visits" && it.row.Cells[0] != "" {
		e.Date = it.row.Cells[0] // it knows whether a visit without an end is over
	}
	b.events = append(b.events, e)
}

// A record that was made by mistake, in words and as FHIR writes it.
const (
	enteredInError     = "entered in error"
	enteredInErrorCode = "entered-in-error"
)

// noteOther keeps the event of a record that no section reads, with its labels in words.
func (b *Builder) noteOther(p *plan, r Resource, label string) {
	if !b.o.Timeline {
		return
	}
	e := event{Event: Event{Ref: r.Ref(), Kind: r.Type, KindWords: typeWords(r.Type), Label: label}}
	if p != nil {
		e.Kind, e.KindWords, e.Detail = p.key, kindWords(p.title), "shown plainly: it is not as FHIR says"
	}
	e.Title, e.State = otherTitle(r.Raw)
	if e.State == enteredInErrorCode {
		e.State, e.void = enteredInError, p == nil
	}
	e.date(r)
	b.events = append(b.events, e)
}

func kindWords(title string) string { return title[:1] + strings.ToLower(title[1:]) }

// typeWords writes a type as words: CareTeam, "Care team".
func typeWords(typ string) string {
	w := words(typ)
	if w == "" {
		return "No type"
	}
	return strings.ToUpper(w[:1]) + w[1:]
}

// A dating is a member that says when something was.
type dating struct{ name, of string }

// datings are the members that say when something was: the one that says it best
// first.
var datings = []dating{
	{"effectiveDateTime", ""}, {"effectiveInstant", ""}, {"effectivePeriod", ""}, {"performedDateTime", ""},
	{"performedPeriod", ""}, {"occurrenceDateTime", ""}, {"occurrencePeriod", ""}, {"occurredDateTime", ""},
	{"occurredPeriod", ""}, {"onsetDateTime", ""}, {"onsetPeriod", ""}, {"start", ""}, {"startDate", ""},
	{"started", ""}, {"period", ""}, {"executionPeriod", ""}, {"billablePeriod", ""}, {"servicedDate", ""},
	{"servicedPeriod", ""}, {"servicePeriod", ""}, {"timingDateTime", ""}, {"timingPeriod", ""},
	{"identifiedDateTime", ""}, {"identifiedPeriod", ""}, {"createdDateTime", ""}, {"createdPeriod", ""},
	{"whenHandedOver", "handed over"}, {"whenPrepared", "prepared"}, {"detected", "detected"}, {"date", ""},
	{"dateTime", ""}, {"dateWritten", "written"}, {"authoredOn", "written"}, {"authored", "written"}, {"sent", "sent"},
	{"received", "received"}, {"receivedTime", "received"}, {"issued", "issued"}, {"recordedDate", "recorded"},
	{"dateAsserted", "recorded"}, {"recordedOn", "recorded"}, {"recorded", "recorded"}, {"enteredDate", "recorded"},
	{"lastOccurrence", "last occurrence"}, {"created", "created"}, {"statusDate", "status since"},
	{"performedString", ""}, {"occurrenceString", ""}, {"onsetString", ""},
}

var datingAt = func() map[string]int {
	at := map[string]int{}
	for i, d := range datings {
		at[d.name] = i
	}
	return at
}()

// inner are dates that stand deeper, of types whose own members name none.
var inner = map[string][]struct {
	path []string
	of   string
}{
	"DocumentReference": {{[]string{"content", "attachment", "creation"}, "file made"}, {[]string{"context", "period"}, "of the visit"}},
	"Media":             {{[]string{"content", "creation"}, "file made"}},
	"Specimen": {{[]string{"collection", "collectedDateTime"}, "collected"},
		{[]string{"collection", "collectedPeriod"}, "collected"}},
}

// date finds when the record was. One date that cannot be read leaves the event
// without a time; it is shown as it is given.
func (e *Event) date(r Resource) {
	best := len(datings)
	eachMember(r.Raw, func(name, value []byte) { // what is no JSON has no date
		if i, ok := datingAt[string(name)]; ok && i < best && e.dated(value, datings[i].of) {
			best = i
		}
	})
	if best < len(datings) {
		return
	}
	for _, in := range inner[r.Type] {
		if e.dated(dig(r.Raw, in.path), in.of) {
			return
		}
	}
}

// dated takes a date, a moment or a period; it reports whether it has a time.
func (e *Event) dated(value []byte, of string) bool {
	if len(value) == 0 {
		return false
	}
	from, over := stringOf(value), ""
	if value[0] == '{' {
		var p fhir.Period
		if json.Unmarshal(value, &p) != nil {
			return false
		}
		if from, over = str(p.Start), spanText(str(p.Start), str(p.End)); from == "" {
			from = str(p.End)
		}
	}
	d, ok := parseDate(from)
	if !ok {
		if e.Date == "" {
			e.Date = CleanLine(from)
		}
		return false
	}
	e.When, e.Precision, e.Of, e.Date = d.from, precision(from), of, showDate(from)
	if over != "" {
		e.Date = over
	}
	return true
}

func precision(date string) string {
	switch len(date) {
	case len("2006"):
		return "year"
	case len("2006-01"):
		return "month"
	case len("2006-01-02"):
		return "day"
	}
	return "moment"
}

// dig returns the value at a path, of lists the first; nil if there is none.
func dig(raw []byte, path []string) []byte {
	for _, step := range path {
		if raw = bytes.TrimLeft(raw, " \t\r\n"); len(raw) > 0 && raw[0] == '[' {
			var list []json.RawMessage
			if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
				return nil
			}
			raw = list[0]
		}
		var found []byte
		eachMember(raw, func(name, value []byte) {
			if string(name) == step && found == nil {
				found = value
			}
		})
		raw = found
	}
	return raw
}

// titles are the members that say what a record is about, the better ones first.
var titles = []string{"code", "medicationCodeableConcept", "vaccineCode", "title", "type", "description", "relationship",
	"serviceType", "topic", "scope", "name", "category", "procedureCode", "deviceName", "questionnaire"}

// otherTitle returns what a record is about, and its status, as far as it says so in the
// usual places.
func otherTitle(raw []byte) (title, state string) {
	best, not := len(titles), ""
	eachMember(raw, func(name, value []byte) { // what is no JSON says nothing
		switch {
		case string(name) == "status" && state == "":
			state = CleanLine(stringOf(value))
		case string(name) == "doNotPerform" && string(value) == "true":
			not = "NOT TO BE DONE"
		case string(name) == "verificationStatus" && bytes.Contains(value, []byte(`"`+enteredInErrorCode+`"`)):
			state = enteredInErrorCode
		}
		if i := slices.Index(titles, string(name)); i >= 0 && i < best {
			if t := sayings(value); t != "" {
				title, best = t, i
			}
		}
	})
	if state != enteredInErrorCode {
		state = join(", ", not, state)
	}
	return join(": ", title, kinIllnesses(raw)), state
}

// kinIllnesses are what a family history tells of a relative; "" of any other record.
func kinIllnesses(raw []byte) string {
	if headOf(raw).Type != "FamilyMemberHistory" {
		return ""
	}
	var out []string
	eachMember(raw, func(name, value []byte) {
		var list []struct{ Code *fhir.CodeableConcept }
		if string(name) != "condition" || json.Unmarshal(value, &list) != nil {
			return
		}
		for _, c := range list {
			out = append(out, concept(c.Code))
		}
	})
	return join(", ", out...)
}

// sayings puts a text, a coded thing, or a list of them into words.
func sayings(value []byte) string {
	switch {
	case len(value) == 0:
		return ""
	case value[0] == '"':
		return CleanLine(stringOf(value))
	case value[0] == '[':
		var list []fhir.CodeableConcept
		if json.Unmarshal(value, &list) != nil {
			return ""
		}
		return concepts(list)
	}
	var one fhir.CodeableConcept
	if json.Unmarshal(value, &one) != nil {
		return ""
	}
	return concept(&one)
}

// Title returns what a record is about, in a few words: a name, or what is coded or
// written in the usual places, with what says that it is not so; "" if it does not say.
func Title(r Resource) string {
	if name := nameIn(r.Raw); name != "" {
		return name
	}
	title, _ := otherTitle(r.Raw)
	if tree, err := parseTree(slim(r.Raw)); err == nil {
		title = join(" ", title, paren(voidWords(&tree)))
	}
	return title
}

// VersionID returns how the source numbers a version of a record (meta.versionId); "" if
// it does not.
func VersionID(raw []byte) string {
	return CleanLine(stringOf(dig(raw, []string{"meta", "versionId"})))
}
