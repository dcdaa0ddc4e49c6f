package charts

import (
	"context"
	"errors"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/access"
	"chartcellar/store/chart"
	"chartcellar/store/journal"
)

// A report is sought among this many lines of the journal, and for so long; then it is
// shown as it is, and goes on there.
const (
	seenLines = 20_000
	seenTime  = 2 * time.Second
)

// errSeenEnd ends the reading of the journal when a report is made.
var errSeenEnd = errors.New("the page is full")

// Seen implements viewer.AccessReports.
func (r *Room) Seen(ctx context.Context, a viewer.Actor, q viewer.SeenQuery) (viewer.Seen, error) {
	s := &seeker{r: r, a: a, q: q, all: access.Can(a.Role, 0, access.SeeAccessLog), until: time.Now().Add(seenTime)}
	if !s.all && (q.Patient != "" || q.Account != a.Account || a.Account == "") || q.Patient == "" && q.Account == "" {
		return viewer.Seen{}, viewer.ErrNotFound
	}
	if err := s.whom(ctx); err != nil {
		return viewer.Seen{}, err
	}
	err := r.m.EachJournalLine(ctx, int64(min(q.Before, 1<<62)), s.line)
	switch {
	case ctx.Err() != nil:
		return viewer.Seen{}, ctx.Err()
	case errors.Is(err, store.ErrLocked) && len(s.page.Lines) == 0:
		return viewer.Seen{}, viewer.ErrLocked
	case errors.Is(err, store.ErrLocked):
		s.page.Locked = true
	case err != nil && !errors.Is(err, errSeenEnd) && !errors.Is(err, journal.ErrBroken) && !errors.Is(err, store.ErrDamaged):
		return viewer.Seen{}, err // what is wrong with the log itself stands on its own page
	}
	return s.page, s.name(ctx)
}

// A seeker makes a report.
type seeker struct {
	r      *Room
	a      viewer.Actor
	q      viewer.SeenQuery
	all    bool   // who asks may see the whole log
	mark   string // of the patient that is asked for
	until  time.Time
	looked int
	marks  []string // of the patients of the lines
	page   viewer.Seen
}

// whom finds out whom a report is about, and notes that it is shown.
func (s *seeker) whom(ctx context.Context) error {
	e := store.Event{Code: "log.account", Account: s.a.Account, Key: store.Key{Type: "Patient"}}
	words := []string{"by " + s.q.Account}
	if s.q.Patient != "" {
		source, typ, id, err := s.r.Open(s.q.Patient)
		if err == nil && typ != "Patient" {
			err = viewer.ErrNotFound
		}
		if err != nil {
			return err
		}
		e.Code, e.Key.Source, e.Patient = "log.patient", source, id
		words[0], s.mark = "who saw the patient", s.r.m.PatientMark(source, id)
		if s.page.Patient, err = s.patient(ctx, source, id); err != nil {
			return err
		}
	}
	if !s.all {
		return nil
	}
	return s.r.journal(s.a, e.Code, e.Key, e.Patient, words...)
}

// patient is the patient whom a report is about; nil if the copy does not show one.
func (s *seeker) patient(ctx context.Context, source, id string) (*viewer.PatientRow, error) {
	p, err := s.r.people(ctx, "")
	if err != nil || !s.a.Charts {
		return nil, err
	}
	i, ok := p.at[s.r.m.Whose(source, id)]
	if !ok {
		return nil, nil
	}
	one := p.list[i].person()
	row := s.row(&one)
	return &row, nil
}

// row is a patient as who asks may see one.
func (s *seeker) row(p *person) viewer.PatientRow {
	row := s.r.row(p, s.r.o.Now())
	if closed(s.a, p) {
		row.Entry, row.Age = p.Entry.Withhold(), ""
	}
	return row
}

// line takes the next line of the journal, newest first.
func (s *seeker) line(l journal.Line) error {
	tired := s.looked >= seenLines || s.looked%64 == 63 && time.Now().After(s.until)
	if len(s.page.Lines) >= s.q.Rows || tired && !s.q.Whole {
		s.page.More = uint64(l.Seq) + 1
		return errSeenEnd
	}
	s.looked++
	// The clock may have been set back: a day is allowed for that.
	if !s.q.From.IsZero() && l.Time.Before(s.q.From.AddDate(0, 0, -1)) {
		return errSeenEnd
	}
	words, system := s.r.o.Words(l.Code)
	switch {
	case s.mark != "" && l.Patient != s.mark, s.q.Account != "" && l.Account != s.q.Account, s.mark == "" && system,
		l.Time.Before(s.q.From), !s.q.To.IsZero() && !l.Time.Before(s.q.To):
		return nil
	}
	one := viewer.SeenLine{Number: uint64(l.Seq), At: l.Time, Account: l.Account, What: words, Code: l.Code, Type: l.Type}
	note, err := s.r.m.OpenNote(l)
	if err != nil && !errors.Is(err, store.ErrLocked) {
		note = "(this note is damaged)"
	}
	text, address, emergency := TakeApart(note)
	if s.q.Emergency != "" && emergency != s.q.Emergency {
		return nil
	}
	if one.Emergency = emergency != ""; s.all {
		one.Note, one.Address = text, address
	}
	s.page.Lines, s.marks = append(s.page.Lines, one), append(s.marks, l.Patient)
	return nil
}

// TakeApart takes the note of a journal line apart into what was done, from where, and the
// ID of the emergency access under which it was done. The end of a note that a Room wrote is
// its own, whatever somebody typed before; a note of anything else is a text.
func TakeApart(note string) (text, address, emergency string) {
	parts := strings.Split(note, "; ")
	last := func(name string) (value string) {
		if n := len(parts) - 1; n >= 0 {
			if v, ok := strings.CutPrefix(parts[n], name); ok {
				value, parts = v, parts[:n]
			}
		}
		return value
	}
	emergency = last("emergency ")
	if last("request ") == "" { // a line of a command
		return note, "", ""
	}
	address = last("from ")
	return strings.Join(parts, "; "), address, emergency
}

// name puts names to the patients of the lines, for who may see charts; for others, and
// where the copy has none, each is a mark.
func (s *seeker) name(ctx context.Context) error {
	wanted := map[uint64][]int{}
	for i, mark := range s.marks {
		if len(mark) >= 8 {
			s.page.Lines[i].Patient = "patient #" + mark[:8]
			wanted[seenAs(mark)] = append(wanted[seenAs(mark)], i)
		}
	}
	if !s.a.Charts || len(wanted) == 0 || s.r.m.Locked() {
		return nil
	}
	p, err := s.r.people(ctx, "")
	if err != nil {
		return err
	}
	for i := range p.list {
		if lines := wanted[p.list[i].seen]; lines != nil {
			s.named(p.list[i].person(), lines)
		}
	}
	return nil
}

// named puts the name of a patient to those of some lines that are about the patient.
func (s *seeker) named(p person, lines []int) {
	row, mark := s.row(&p), s.r.m.PatientMark(p.source, p.ID)
	for _, n := range lines {
		if s.marks[n] == mark {
			s.page.Lines[n].Ref, s.page.Lines[n].Patient = row.Ref, nameOf(&row.Entry)
		}
	}
}

// nameOf is how a list of others names a patient.
func nameOf(e *chart.Entry) string {
	if e.Name == "" {
		return "(no name in the record)"
	}
	if e.Born == "" {
		return e.Name
	}
	return e.Name + ", born " + e.Born
}
