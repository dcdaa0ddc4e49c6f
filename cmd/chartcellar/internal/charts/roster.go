package charts

import (
	"context"
	"errors"
	"slices"
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

// people are the patients as they stood.
type people struct {
	generation uint64
	list       []person
	sealed     int // patients who are not in the list because they are sealed
}

type person struct {
	chart.Entry
	source string
}

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
	if p := r.roster.kept[asOf]; p != nil && p.generation == g {
		return p, nil
	}
	p := &people{generation: g}
	for _, source := range r.o.Sources() {
		rd, _, _, err := r.reading(source, asOf)
		if err != nil {
			return nil, err
		}
		err = rd.EachPatient(ctx, func(*chart.Entry) bool { return true }, func(en chart.Entry) { p.list = append(p.list, person{en, source}) })
		if err != nil && !errors.Is(err, store.ErrDamaged) {
			return nil, locked(err)
		}
		n, err := rd.Snap.Hidden(source, "Patient")
		if err != nil {
			return nil, err
		}
		p.sealed += n
	}
	p.sort()
	if asOf != "" { // one day at a time: a roster is large
		for day := range r.roster.kept {
			if day != "" {
				delete(r.roster.kept, day)
			}
		}
	}
	r.roster.kept[asOf] = p
	return p, nil
}

func (p *people) sort() {
	keys := make(map[string]string, len(p.list))
	for i := range p.list {
		keys[p.list[i].Name] = chart.Fold(p.list[i].Name)
	}
	slices.SortFunc(p.list, func(a, b person) int {
		if c := strings.Compare(keys[a.Name], keys[b.Name]); c != 0 {
			return c
		}
		return strings.Compare(a.source+a.ID, b.source+b.ID)
	})
}

// Patients implements viewer.Charts.
func (r *Room) Patients(ctx context.Context, a viewer.Actor, q viewer.PatientQuery) (viewer.Patients, error) {
	if r.m.Locked() {
		return viewer.Patients{}, viewer.ErrLocked
	}
	if err := r.journal(a, "patients.search", store.Key{Type: "Patient"}, "", "for: "+q.Text); err != nil {
		return viewer.Patients{}, err
	}
	p, err := r.people(ctx, q.AsOf)
	if err != nil {
		return viewer.Patients{}, err
	}
	out := viewer.Patients{All: len(p.list) + p.sealed, Sealed: p.sealed}
	if sources := r.o.Sources(); len(sources) > 1 {
		out.EMRs = sources
	}
	if out.Copy, err = r.copyWords(q.AsOf); err != nil {
		return out, err
	}
	at := r.at(q.AsOf)
	fits := fitting(q, at)
	from, to := q.Page*q.Rows, (q.Page+1)*q.Rows
	for i := range p.list {
		if closed(a, &p.list[i]) {
			out.Hidden++ // whether or not the query fits: that would tell who it is
			continue
		}
		if !fits(&p.list[i]) {
			continue
		}
		if out.Found >= from && out.Found < to {
			out.List = append(out.List, r.row(&p.list[i], at))
		}
		out.Found++
	}
	if !q.Hint {
		out.Recent = r.recentRows(a, p, at)
	}
	return out, nil
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
		_, age, _, err := r.reading(source, asOf)
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
			group >= 0 && !chart.AgedBetween(p.Born, at, groups[group].From, groups[group].To):
			return false
		}
		return text.Fits(&p.Entry)
	}
}

// closed reports whether a patient's record is labelled sensitive, and who asks may not see
// that.
func closed(a viewer.Actor, p *person) bool { return p.Sensitive && !a.Sensitive }

func (r *Room) row(p *person, at time.Time) viewer.PatientRow {
	return viewer.PatientRow{Entry: p.Entry, Ref: r.Refer(p.source, "Patient/"+p.ID), Source: p.source, Age: chart.Age(p.Born, at)}
}

// recentRows are the patients that an account opened last.
func (r *Room) recentRows(a viewer.Actor, p *people, at time.Time) (rows []viewer.PatientRow) {
	r.mu.Lock()
	refs := slices.Clone(r.recent[a.Account])
	r.mu.Unlock()
	for _, ref := range refs {
		source, _, id, err := r.Open(ref)
		if err != nil {
			continue
		}
		i := slices.IndexFunc(p.list, func(one person) bool { return one.ID == id && one.source == source })
		if i >= 0 && !closed(a, &p.list[i]) {
			rows = append(rows, r.row(&p.list[i], at))
		}
	}
	return rows
}

// shownSame is how many other records of what may be the same person are named.
const shownSame = 4

// same finds other patient records that may be of the same person: those that one of
// them says replaces the other, and those of the same name and birth date.
func (r *Room) same(ctx context.Context, a viewer.Actor, source string, e *chart.Entry) (list []viewer.SamePerson, err error) {
	p, err := r.people(ctx, "")
	if err != nil {
		return nil, err
	}
	name := chart.Fold(e.Name)
	for i := range p.list {
		o := &p.list[i]
		if o.source == source && o.ID == e.ID || len(list) == shownSame || closed(a, o) {
			continue
		}
		why := ""
		switch {
		case o.source == source && e.ReplacedBy == "Patient/"+o.ID:
			why = "The EMR says that another record has taken the place of this one:"
		case o.source == source && o.ReplacedBy == "Patient/"+e.ID:
			why = "The EMR says that this record has taken the place of another one:"
		case e.Born != "" && o.Born == e.Born && name != "" && chart.Fold(o.Name) == name:
			why = "There are two patient records of this name and birth date:"
		default:
			continue
		}
		list = append(list, viewer.SamePerson{PatientRow: r.row(o, r.o.Now()), Why: why})
	}
	return list, nil
}
