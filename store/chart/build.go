package chart

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// Options say how a chart is made.
type Options struct {
	// At is the moment for which ages are given and visits are coming or past.
	At time.Time
	// Given reports whether the copy has records of a type, of whatever patient, or
	// would have them; nil: of every type.
	Given func(typ string) bool
	// Gaps say, by type, what the EMR has and the copy lacks, one sentence each.
	Gaps map[string]string
	// Names finds the records that others refer to; nil: none.
	Names Finder
	// Sensitive shows records that are labelled sensitive. Without it they are counted,
	// and not shown.
	Sensitive bool
	// Timeline makes Chart.Timeline, too.
	Timeline bool
}

// A Chart is one patient as a clinician reads it.
type Chart struct {
	Banner   Banner    `json:"banner"`
	Sections []Section `json:"sections"`
	Records  int       `json:"records"`  // of this patient in the copy, with the Patient
	Plain    int       `json:"plain"`    // of these shown plainly
	Unread   int       `json:"unread"`   // of these could not be read
	Withheld int       `json:"withheld"` // of these are not shown: Options.Sensitive
	// Measured is what the results and vital signs say, for who counts and draws.
	Measured *Measured `json:"-"`
	Timeline *Timeline `json:"-"` // if Options say so
	// FileTypes are the types of which some record may name a file.
	FileTypes []string `json:"-"`
}

// A Banner says who the patient is.
type Banner struct {
	Entry
	Age       string `json:"age"`
	Allergies string `json:"allergies"` // never a claim that there are none
	Missing   bool   `json:"missing,omitempty"`
}

// A Section is one part of a chart. Its figures add up: Records are the rows'
// records, EnteredInError, the plain ones, Unread and Withheld.
type Section struct {
	Key            string   `json:"key"`
	Title          string   `json:"title"`
	Records        int      `json:"records"` // in the copy, as the records themselves say
	EnteredInError int      `json:"enteredInError,omitempty"`
	Inside         int      `json:"inside,omitempty"` // results shown that stand inside other records: in none of these figures
	Unread         int      `json:"unread,omitempty"`
	Withheld       int      `json:"withheld,omitempty"` // labelled sensitive: not shown
	Empty          string   `json:"empty,omitempty"`    // why it shows nothing
	Gap            string   `json:"gap,omitempty"`      // what the copy lacks of it
	Columns        []string `json:"columns"`
	Brief          []int    `json:"-"` // which columns a summary shows
	Groups         []Group  `json:"groups"`
	Plain          []Plain  `json:"plain,omitempty"` // records that no model reads
}

// A Group is rows that belong together, such as what is current.
type Group struct {
	Title string `json:"title"`
	Total int    `json:"total"` // rows there are; more than len(Rows) if it is shortened
	Rows  []Row  `json:"rows"`
}

// A Row is one line of a chart: a record, or a test with all its results.
type Row struct {
	Cells   []string `json:"cells"`
	More    string   `json:"more,omitempty"`  // what is said below the line
	Ref     string   `json:"ref"`             // Type/id of the record shown
	Records int      `json:"records"`         // how many records the row stands for
	Label   string   `json:"label,omitempty"` // the security labels of these, in words
}

// A Plain is a record shown as its own elements.
type Plain struct {
	Ref   string     `json:"ref"`
	Lines []CardLine `json:"lines"`
	Label string     `json:"label,omitempty"` // its security labels, in words
}

// An item is a row before it is put into its place.
type item struct {
	group   int
	when    time.Time
	rank    int    // before the time: smaller comes first
	test    string // of results: what was measured
	void    bool   // of results: cancelled, or pending
	pending bool   // of results: only announced
	hidden  bool   // entered in error
	none    bool   // of allergies: it says that there are none
	row     Row
}

// errElsewhere says that a record belongs to another section of its type.
var errElsewhere = fmt.Errorf("another section's record")

// A Builder makes a chart of the records of one patient, one after the other. It
// keeps rows, not records. It is used by one goroutine at a time.
type Builder struct {
	o        Options
	names    *names
	plans    []plan
	made     [][]item
	sections []Section
	banner   Banner
	seen     bool // the Patient
	records  int
	plain    int
	others   map[string][]string // ids by type
	wrong    int                 // of these kinds: entered in error
	withheld map[string]int      // of these kinds, by type
	unread   map[string]int
	files    map[string]bool // types of which some record may name a file
	events   []event         // if there is to be a timeline

	repeats repeats
	last    fhir.Observation // a vital sign, between two sections that look at it
	results []*Result
	panels  []Panel
	inner   []innerRow // of the record that is being added
}

// New returns a Builder.
func New(o Options) *Builder {
	if !o.Sensitive {
		o.Names = Open(o.Names)
	}
	b := &Builder{o: o, names: newNames(o.Names), plans: plans(), others: map[string][]string{},
		withheld: map[string]int{}, unread: map[string]int{}, files: map[string]bool{}}
	b.made = make([][]item, len(b.plans))
	for _, p := range b.plans {
		b.sections = append(b.sections, Section{Key: p.key, Title: p.title, Columns: p.columns, Brief: p.brief, Groups: []Group{}})
	}
	return b
}

// Add takes one record.
func (b *Builder) Add(r Resource) {
	b.records++
	if !b.files[r.Type] && mayNameFile(r) {
		b.files[r.Type] = true
	}
	if r.Type == "Patient" {
		b.addPatient(r)
		return
	}
	labels := Labels(r.Raw)
	withheld := !b.o.Sensitive && (r.Closed || AnySensitive(labels))
	for i, p := range b.plans {
		if !slices.Contains(p.types, r.Type) {
			continue
		}
		results, panels := len(b.results), len(b.panels)
		b.inner = b.inner[:0]
		it, err := p.read(b, r)
		switch {
		case err == errElsewhere:
			continue
		case withheld:
			b.sections[i].Withheld++
			b.results, b.panels = b.results[:results], b.panels[:panels]
		case err != nil:
			b.addPlain(i, r, LabelWords(labels))
			b.noteOther(&p, r, LabelWords(labels))
		default:
			it.row.Ref, it.row.Records, it.row.Label = r.Ref(), 1, LabelWords(labels)
			if other := Stranger(r.Raw, baseOf(b.o.Names)); other != "" {
				b.ofStranger(&p, &it, b.results[results:], b.panels[panels:], other)
			}
			for _, one := range b.results[results:] {
				one.Label = it.row.Label
			}
			for k := range b.panels[panels:] {
				b.panels[panels+k].Label = it.row.Label
			}
			b.made[i] = append(b.made[i], it)
			b.placeInner(it.row.Label, it.row.Ref)
			b.note(&p, r, &it)
		}
		return
	}
	if withheld {
		b.withheld[r.Type]++
		return
	}
	if _, state := otherTitle(r.Raw); state == enteredInErrorCode {
		b.wrong++
	} else {
		b.others[r.Type] = append(b.others[r.Type], r.ID)
	}
	b.noteOther(nil, r, LabelWords(labels))
}

func (b *Builder) addPatient(r Resource) {
	b.seen = true
	b.banner.Entry = NewEntry(r)
	if !b.o.Sensitive {
		b.banner.Entry = b.banner.Entry.Withhold()
	}
	b.banner.Age = b.banner.Entry.Age(b.o.At)
	if b.banner.Plain {
		b.plain++
	}
}

func (b *Builder) addPlain(section int, r Resource, label string) {
	b.plain++
	lines, err := Card(r.Raw)
	if err != nil {
		lines = []CardLine{{Path: "record", Value: Clean(string(r.Raw))}}
	}
	s := &b.sections[section]
	s.Plain = append(s.Plain, Plain{r.Ref(), lines, label})
}

// Join takes over what was added to another Builder with the same Options, which must not
// be used any more: several goroutines make one chart.
func (b *Builder) Join(o *Builder) {
	if o.seen {
		b.seen, b.banner = true, o.banner
	}
	b.records += o.records
	b.plain += o.plain
	for t, ids := range o.others {
		b.others[t] = append(b.others[t], ids...)
	}
	b.wrong += o.wrong
	for t, n := range o.withheld {
		b.withheld[t] += n
	}
	for t, n := range o.unread {
		b.unread[t] += n
	}
	maps.Copy(b.files, o.files)
	b.events = append(b.events, o.events...)
	b.results, b.panels = append(b.results, o.results...), append(b.panels, o.panels...)
	for i := range b.plans {
		b.made[i] = append(b.made[i], o.made[i]...)
		b.sections[i].Withheld += o.sections[i].Withheld
		b.sections[i].Plain = append(b.sections[i].Plain, o.sections[i].Plain...)
	}
}

// Unreadable says that n records of a type are in the copy and could not be read.
func (b *Builder) Unreadable(typ string, n int) {
	b.unread[typ] += n
	b.records += n
}

// Chart returns what was added as a chart.
func (b *Builder) Chart() *Chart {
	c := &Chart{Records: b.records, Plain: b.plain, FileTypes: slices.Sorted(maps.Keys(b.files))}
	for _, n := range b.unread {
		c.Unread += n
	}
	var wg sync.WaitGroup // what does not need the sections is worked out beside them
	wg.Go(func() { c.Measured = newMeasured(b.results, b.panels) })
	if b.o.Timeline {
		wg.Go(func() { c.Timeline = b.timeline() })
	}
	for i := range b.plans {
		p, s := &b.plans[i], &b.sections[i]
		slices.SortFunc(s.Plain, func(x, y Plain) int { return strings.Compare(x.Ref, y.Ref) })
		if p.key == "other" {
			b.otherRecords(s)
		} else {
			b.fill(p, s, b.made[i])
		}
		c.Withheld += s.Withheld
		c.Sections = append(c.Sections, *s)
	}
	wg.Wait()
	if c.Timeline != nil {
		c.Timeline.Withheld = c.Withheld
	}
	if b.banner.Withheld {
		c.Withheld++
	}
	b.banner.Missing = !b.seen
	b.banner.Allergies = allergyLine(&c.Sections[0])
	c.Banner = b.banner
	return c
}

// fill puts the items of a section into their groups and counts them.
func (b *Builder) fill(p *plan, s *Section, items []item) {
	for _, t := range p.types {
		if p.key != "vitals" { // of an unread observation the kind is unknown: it counts once
			s.Unread += b.unread[t]
		}
	}
	if p.key == "allergies" {
		besideAllergies(items)
	}
	groups := make([][]item, len(p.groups))
	for _, it := range items {
		s.Records += it.row.Records
		if it.hidden {
			s.EnteredInError += it.row.Records
			continue
		}
		if it.row.Records == 0 {
			s.Inside++
		}
		groups[it.group] = append(groups[it.group], it)
	}
	s.Records += len(s.Plain) + s.Unread + s.Withheld
	for i, list := range groups {
		if p.key == "results" || p.key == "vitals" {
			list = byTest(list)
		}
		order(list, p.oldFirst && i == 0)
		g := Group{Title: p.groups[i], Total: len(list)}
		for _, it := range list {
			g.Rows = append(g.Rows, it.row)
		}
		if g.Total > 0 {
			s.Groups = append(s.Groups, g)
		}
	}
	s.Empty = b.emptiness(p, s)
	for _, t := range p.types {
		s.Gap = join(" ", s.Gap, b.o.Gaps[t])
	}
}

// order sorts rows: by rank, then newest first, then by their record.
func order(list []item, oldFirst bool) {
	slices.SortStableFunc(list, func(x, y item) int {
		if x.rank != y.rank {
			return x.rank - y.rank
		}
		if c := compareTimes(y.when, x.when); c != 0 {
			if oldFirst {
				return -c
			}
			return c
		}
		return strings.Compare(x.row.Ref, y.row.Ref)
	})
}

// The kinds of emptiness.
const (
	NoneRecorded  = "None recorded in the copy."
	NoneButErrors = "None recorded in the copy, but for what was entered in error."
	NotIncluded   = "Not included in the copy (the EMR does not give this type)."
)

// PlainWords say how many records of a chart are shown plainly; "" if none is.
func (c *Chart) PlainWords() string {
	switch c.Plain {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("1 of %d records is not as FHIR says; it is shown as it is written.", c.Records)
	}
	return fmt.Sprintf("%d of %d records are not as FHIR says; they are shown as they are written.", c.Plain, c.Records)
}

// Unreadable says how many records could not be read.
func Unreadable(n, of int) string { return fmt.Sprintf("Could not be read: %d of %d records.", n, of) }

func unreadable(s *Section) string {
	if s.Unread == 0 {
		return ""
	}
	return Unreadable(s.Unread, s.Records)
}

func (b *Builder) emptiness(p *plan, s *Section) string {
	if len(s.Groups) > 0 || len(s.Plain) > 0 {
		return ""
	}
	if s.Withheld > 0 {
		return join(" ", Withheld(s.Withheld), unreadable(s))
	}
	if s.Records > s.Unread {
		return NoneButErrors
	}
	if s.Unread > 0 {
		return Unreadable(s.Unread, s.Records)
	}
	if b.o.Given != nil && !slices.ContainsFunc(p.types, b.o.Given) {
		return NotIncluded
	}
	return NoneRecorded
}

// otherRecords lists by type what no section shows.
func (b *Builder) otherRecords(s *Section) {
	types := make([]string, 0, len(b.others))
	known := []string{"Patient"}
	for t := range b.others {
		types = append(types, t)
	}
	for _, p := range b.plans {
		known = append(known, p.types...)
	}
	for t, n := range b.unread {
		if !slices.Contains(known, t) {
			s.Unread += n
		}
	}
	slices.Sort(types)
	g := Group{}
	for _, t := range types {
		ids := b.others[t]
		slices.Sort(ids)
		s.Records += len(ids)
		for _, id := range ids {
			g.Rows = append(g.Rows, Row{Cells: []string{typeWords(t), t + "/" + id}, Ref: t + "/" + id, Records: 1})
		}
	}
	for _, n := range b.withheld {
		s.Withheld += n
	}
	s.EnteredInError = b.wrong
	s.Records += s.Unread + s.Withheld + b.wrong
	if g.Total = len(g.Rows); g.Total > 0 {
		s.Groups = []Group{g}
		return
	}
	if s.Empty = join(" ", Withheld(s.Withheld), unreadable(s)); s.Empty == "" {
		s.Empty = NoneRecorded
		if b.wrong > 0 {
			s.Empty = NoneButErrors
		}
	}
}

// allergyLine is what the banner says: the substances, or why it names none.
func allergyLine(s *Section) string {
	var list []string
	for _, g := range s.Groups {
		if g.Title == "" {
			for _, r := range g.Rows {
				list = append(list, join(" ", r.Cells[0], paren(join(", ", UnusualState(r.Cells[1]), r.Cells[2]))))
			}
		}
	}
	if n := len(s.Plain); n > 0 {
		list = append(list, count(n, "record")+" shown plainly below")
	}
	line := strings.Join(list, "; ")
	if line == "" && len(s.Groups) > 0 {
		line = "none active in the copy; see the section"
	}
	if line == "" {
		return join(" ", s.Empty, s.Gap)
	}
	return join(". ", line, join(" ", Withheld(s.Withheld), unreadable(s), s.Gap))
}

// UnusualState returns a state, as a cell of a row gives it, without what goes without
// saying: that it is active.
func UnusualState(s string) string {
	return join(", ", slices.DeleteFunc(strings.Split(s, ", "), func(w string) bool { return w == "active" })...)
}

func paren(s string) string {
	if s == "" {
		return ""
	}
	return "(" + s + ")"
}

func (b *Builder) reference(r Resource, ref *fhir.Reference) string { return b.names.of(r, ref) }
