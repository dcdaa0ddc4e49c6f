package charts

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
)

// A roster is the patients of all sources in memory, in the order of their names.
type roster struct {
	// mu is held while the patients are read, so that they are read once.
	mu   sync.Mutex
	kept map[string]*people // by day, "" for now
}

// people are the patients as they stood. They are not changed once they are made.
type people struct {
	generation uint64
	list       []kept // by their keys
	at         map[store.Whose]int32
	replaced   []int32 // those that have been replaced by others
	sealed     int     // patients who are not in the list because they are sealed
	unread     int     // and because their records cannot be read
}

// A kept person takes about 300 bytes, with its place in people.at.
type kept struct {
	packed chart.Packed
	mark   store.Mark
	source string
	seen   uint64 // the beginning of the mark that the journal has of the patient
}

// seenAs is the beginning of a mark of the journal; 0 if it is none.
func seenAs(mark string) uint64 {
	n, err := strconv.ParseUint(mark[:min(len(mark), 16)], 16, 64)
	if err != nil {
		return 0
	}
	return n
}

type person struct {
	chart.Entry
	source string
}

func (k *kept) person() person { return person{k.packed.Entry(), k.source} }

// key is what the list is in the order of.
func (k *kept) key() string {
	e := k.packed.Entry()
	return nameKey(e.Name) + k.source + "\x00" + e.ID
}

func nameKey(name string) string { return chart.Fold(name) + "\x00" }

func (ro *roster) forget() {
	ro.mu.Lock()
	defer ro.mu.Unlock()
	ro.kept = map[string]*people{}
}

// people returns the patients as they stand now or stood on a day.
func (r *Room) people(ctx context.Context, asOf string) (*people, error) {
	r.roster.mu.Lock()
	defer r.roster.mu.Unlock()
	if r.m.Locked() {
		return nil, viewer.ErrLocked
	}
	g := r.m.Generation()
	before := r.roster.kept[asOf]
	if before != nil && before.generation == g {
		return before, nil
	}
	if before == nil {
		before = r.roster.kept[""]
	}
	p, err := r.gather(ctx, asOf, before)
	if err != nil {
		return nil, locked(err)
	}
	p.generation = g
	if asOf != "" { // one day at a time
		maps.DeleteFunc(r.roster.kept, func(day string, _ *people) bool { return day != "" })
	}
	r.roster.kept[asOf] = p
	return p, nil
}

// gather makes the list of patients. What has not changed since another list was made is
// taken from there.
func (r *Room) gather(ctx context.Context, asOf string, before *people) (*people, error) {
	p := &people{}
	if before == nil {
		before = p
	}
	stays, found := make([]bool, len(before.list)), make([][]kept, workers())
	for _, source := range r.o.Sources() {
		rd, _, err := r.reading(source, asOf)
		if err != nil {
			return nil, err
		}
		fresh := func(m store.Mark) bool {
			i, known := before.at[m.Whose()]
			known = known && before.list[i].mark == m
			if known {
				stays[i] = true
			}
			return !known
		}
		markers := make([]*store.Marker, len(found))
		for i := range markers {
			markers[i] = r.m.Marker(source)
		}
		err = rd.Snap.EachNew(ctx, source, "Patient", len(found), fresh, func(worker int, m store.Mark, id string, raw []byte) error {
			e := chart.NewEntry(chart.Resource{Type: "Patient", ID: id, Raw: raw})
			found[worker] = append(found[worker], kept{e.Pack(), m, source, seenAs(markers[worker].Mark(id))})
			return nil
		})
		var damage *store.DamagedError
		if errors.As(err, &damage) {
			p.unread += damage.Records
		} else if err != nil {
			return nil, err
		}
		n, err := rd.Snap.Hidden(source, "Patient")
		if err != nil {
			return nil, err
		}
		p.sealed += n
	}
	p.fill(before.list, stays, slices.Concat(found...))
	return p, nil
}

// fill makes the list of those that stay, who are in order, and of new ones.
func (p *people) fill(old []kept, stays []bool, more []kept) {
	keys := make([]string, len(more))
	order := make([]int, len(more))
	for i := range more {
		keys[i], order[i] = more[i].key(), i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(keys[a], keys[b]) })
	p.list = make([]kept, 0, len(old)+len(more))
	take := func(to int) {
		for i := range to {
			if stays[i] {
				p.list = append(p.list, old[i])
			}
		}
		old, stays = old[to:], stays[to:]
	}
	for _, i := range order {
		take(sort.Search(len(old), func(k int) bool { return old[k].key() > keys[i] }))
		p.list = append(p.list, more[i])
	}
	take(len(old))
	if len(more) > len(p.list)/4 {
		p.together()
	}
	p.at = make(map[store.Whose]int32, len(p.list))
	for i := range p.list {
		p.at[p.list[i].mark.Whose()] = int32(i)
		if e := p.list[i].packed.Entry(); e.ReplacedBy != "" {
			p.replaced = append(p.replaced, int32(i))
		}
	}
}

// together puts what is packed side by side, in the order of the list: looking through it
// is twice as fast then.
func (p *people) together() {
	size := 0
	for i := range p.list {
		size += len(p.list[i].packed)
	}
	var b strings.Builder
	b.Grow(size)
	for i := range p.list {
		b.WriteString(string(p.list[i].packed))
	}
	all := chart.Packed(b.String())
	for i := range p.list {
		n := len(p.list[i].packed)
		p.list[i].packed, all = all[:n], all[n:]
	}
}

// named returns the places of those whose name is as good as this.
func (p *people) named(name string) []int32 {
	key := nameKey(name)
	var out []int32
	for i := sort.Search(len(p.list), func(i int) bool { return p.list[i].key() >= key }); i < len(p.list) && strings.HasPrefix(p.list[i].key(), key); i++ {
		out = append(out, int32(i))
	}
	return out
}

// lookedFor is the note of a look at the list of patients: what was typed, if anything.
func lookedFor(text string) string {
	if text == "" {
		return "the list"
	}
	return "for: " + text
}

// Patients implements viewer.Charts.
func (r *Room) Patients(ctx context.Context, a viewer.Actor, q viewer.PatientQuery) (viewer.Patients, error) {
	if r.m.Locked() {
		return viewer.Patients{}, viewer.ErrLocked
	}
	if err := r.journal(a, "patients.search", store.Key{Type: "Patient"}, "", lookedFor(q.Text)); err != nil {
		return viewer.Patients{}, err
	}
	of, err := r.activityFor(ctx, q)
	if err != nil {
		return viewer.Patients{}, err
	}
	defer r.turns.page()()
	p, err := r.people(ctx, q.AsOf)
	if err != nil {
		return viewer.Patients{}, err
	}
	closed, err := r.closer(ctx, a, q.AsOf)
	if err != nil {
		return viewer.Patients{}, err
	}
	out := viewer.Patients{All: len(p.list) + p.sealed + p.unread, Sealed: p.sealed, Unread: p.unread}
	if sources := r.o.Sources(); len(sources) > 1 {
		out.EMRs = sources
	}
	if out.Copy, err = r.copyWords(q.AsOf); err != nil {
		return out, err
	}
	out.Reading = of == nil && q.AsOf == ""
	if of != nil {
		out.VisitsUnread = of.unread
	}
	at := r.at(q.AsOf)
	places, hidden := p.fitting(a, q, at, of, closed)
	out.Found, out.Hidden = len(places), hidden
	for _, i := range places[min(len(places), q.Page*q.Rows):min(len(places), (q.Page+1)*q.Rows)] {
		one, v := p.list[i].person(), of.visits(a, p.list[i].mark)
		row := r.row(&one, at)
		row.LastVisit, row.NextVisit, row.Changed = dayOf(v.last[0]), dayOf(v.next[0]), v.changed
		out.List = append(out.List, row)
	}
	if !q.Hint {
		out.Recent = r.recentRows(a, p, at, closed)
	}
	return out, nil
}

// fitting returns the places of those that a query asks for, and how many are hidden from
// who asks: those whether or not the query fits, for that would tell who they are. Each
// processor looks through its part of the list.
func (p *people) fitting(a viewer.Actor, q viewer.PatientQuery, at time.Time, of *activity, closed func(*person) bool) (places []int, hidden int) {
	fits, n := fitting(q, at), workers()
	found, closedOnes := make([][]int, n), make([]int, n)
	var wg sync.WaitGroup
	for w := range n {
		wg.Go(func() {
			var one person // one for all: a list of 100,000 must take no memory for each
			for i := w * len(p.list) / n; i < (w+1)*len(p.list)/n; i++ {
				one = p.list[i].person()
				if closed(&one) {
					closedOnes[w]++
					continue
				}
				if !fits(&one) {
					continue
				}
				if v := of.visits(a, p.list[i].mark); v.fit(q) {
					found[w] = append(found[w], i)
				}
			}
		})
	}
	wg.Wait()
	for _, c := range closedOnes {
		hidden += c
	}
	return slices.Concat(found...), hidden
}

// at is what ages refer to.
func (r *Room) at(asOf string) time.Time {
	day, err := time.ParseInLocation("2006-01-02", asOf, r.o.Zone())
	if now := r.o.Now(); err != nil || day.After(now) {
		return now
	}
	return day
}

// copyWords say which copy a list is of.
func (r *Room) copyWords(asOf string) (string, error) {
	var words []string
	for _, source := range r.o.Sources() {
		age, err := r.copyOf(source, asOf)
		if err != nil {
			return "", err
		}
		if asOf == "" && len(r.o.Sources()) > 1 {
			age = source + ": " + age
		}
		if !slices.Contains(words, age) {
			words = append(words, age)
		}
	}
	return strings.Join(words, " "), nil
}

// fitting tells whether a patient is one of those asked for.
func fitting(q viewer.PatientQuery, at time.Time) func(*person) bool {
	text := chart.ParseQuery(q.Text)
	groups := viewer.AgeGroups()
	group := slices.IndexFunc(groups, func(g viewer.AgeGroup) bool { return g.Name == q.Ages })
	return func(p *person) bool {
		switch {
		case q.EMR != "" && p.source != q.EMR, q.Sex != "" && p.Sex != q.Sex,
			q.State == "active" && (p.Inactive || p.Deceased != ""), q.State == "inactive" && !p.Inactive,
			q.State == "deceased" && p.Deceased == "",
			!text.Fits(&p.Entry),
			group >= 0 && !chart.AgedBetween(p.Born, at, groups[group].From, groups[group].To):
			return false
		}
		return true
	}
}

// closed reports whether a patient's record is labelled sensitive, and who asks may not see
// that.
func closed(a viewer.Actor, p *person) bool { return p.Sensitive && !a.Sensitive }

// closer is closed for people as of a day: who is labelled now is closed then, too.
func (r *Room) closer(ctx context.Context, a viewer.Actor, asOf string) (func(*person) bool, error) {
	if a.Sensitive || asOf == "" {
		return func(p *person) bool { return closed(a, p) }, nil
	}
	now, err := r.people(ctx, "")
	if err != nil {
		return nil, err
	}
	then := map[string]*Reading{}
	for _, source := range r.o.Sources() {
		if then[source], _, err = r.reading(source, asOf); err != nil {
			return nil, err
		}
	}
	return func(p *person) bool {
		i, known := now.at[r.m.Whose(p.source, p.ID)]
		switch {
		case closed(a, p):
			return true
		case known:
			return now.list[i].packed.Entry().Sensitive
		}
		return then[p.source].closedLater(ctx, "Patient", p.ID) // the EMR has removed it since
	}, nil
}

func (r *Room) row(p *person, at time.Time) viewer.PatientRow {
	return viewer.PatientRow{Entry: p.Entry, Ref: r.Refer(p.source, "Patient/"+p.ID), Source: p.source, Age: p.Entry.Age(at)}
}

// recentRows are the patients that an account opened last.
func (r *Room) recentRows(a viewer.Actor, p *people, at time.Time, closed func(*person) bool) (rows []viewer.PatientRow) {
	r.mu.Lock()
	refs := slices.Clone(r.recent[a.Account])
	r.mu.Unlock()
	for _, ref := range refs {
		source, _, id, err := r.Open(ref)
		if err != nil {
			continue
		}
		i, ok := p.at[r.m.Whose(source, id)]
		if !ok {
			continue
		}
		if one := p.list[i].person(); !closed(&one) {
			rows = append(rows, r.row(&one, at))
		}
	}
	return rows
}

// shownSame is how many other records of what may be the same person are named.
const shownSame = 4

// same finds other patient records that may be of the same person: those that one of
// them says replaces the other, and those of the same name and birth date.
func (r *Room) same(ctx context.Context, a viewer.Actor, source string, e *chart.Entry) (list []viewer.SamePerson, err error) {
	if e.Withheld { // another record of the same person would tell who it is
		return nil, nil
	}
	p, err := r.people(ctx, "")
	if err != nil {
		return nil, err
	}
	places := append(p.named(e.Name), p.replaced...)
	if id, ok := strings.CutPrefix(e.ReplacedBy, "Patient/"); ok {
		if i, known := p.at[r.m.Whose(source, id)]; known {
			places = append(places, i)
		}
	}
	slices.Sort(places)
	for _, i := range slices.Compact(places) {
		o := p.list[i].person()
		if o.source == source && o.ID == e.ID || len(list) == shownSame || closed(a, &o) {
			continue
		}
		why := ""
		switch {
		case o.source == source && e.ReplacedBy == "Patient/"+o.ID:
			why = "The EMR says that another record has taken the place of this one:"
		case o.source == source && o.ReplacedBy == "Patient/"+e.ID:
			why = "The EMR says that this record has taken the place of another one:"
		case e.Born != "" && o.Born == e.Born && e.Name != "" && chart.Fold(o.Name) == chart.Fold(e.Name):
			why = "There are two patient records of this name and birth date:"
		default:
			continue
		}
		list = append(list, viewer.SamePerson{PatientRow: r.row(&o, r.o.Now()), Why: why})
	}
	return list, nil
}
