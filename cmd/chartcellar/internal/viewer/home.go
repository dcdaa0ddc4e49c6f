package viewer

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/store/access"
)

// A homePage is Home as its template wants it.
type homePage struct {
	Home
	Strip strip
	Setup bool // setup is not done yet
	Facts []factRow
	Good  int // facts that are

	Restored Restored
	// Unreviewed is how many emergency accesses wait for a review; 0 for who may review none.
	Unreviewed int
}

// A factRow is one of the nine facts.
type factRow struct {
	Number int
	Mark   mark
	Name   string
	Words  string
	At     time.Time
	Link   string
}

func (s *Server) serveHome(r *request) error {
	p, err := s.homePage(r.Context())
	if err != nil {
		return err
	}
	if r.can(access.ReviewEmergency) {
		if p.Unreviewed, err = s.o.Access.Unreviewed(); err != nil {
			return err
		}
	}
	return s.render(r, http.StatusOK, "home", "Home", p)
}

// homePage gathers Home.
func (s *Server) homePage(ctx context.Context) (*homePage, error) {
	h, err := s.o.Backend.Home(ctx)
	if err != nil {
		return nil, err
	}
	p := &homePage{Home: h, Strip: s.strip(h.Days)}
	if h.Totals.AsOf.IsZero() { // nobody counted
		p.Totals = Totals{Patients: -1, Records: -1, Documents: -1, Bytes: -1}
	}
	if !s.o.ReadOnly {
		setup, err := s.o.Backend.Setup(ctx)
		if err != nil {
			return nil, err
		}
		p.Setup = !setup.Done
	}
	p.Restored, err = s.o.Backend.Restored(ctx)
	p.Facts = factRows(h.Status.Facts)
	for _, row := range p.Facts {
		if row.Mark.Icon == "good" {
			p.Good++
		}
	}
	return p, err
}

// factRows are the facts as a page shows them. A drill that is overdue is so in red.
func factRows(facts []health.Fact) (list []factRow) {
	for i, f := range facts {
		row := factRow{Number: i + 1, Name: f.Name, Words: f.Words, At: f.At, Link: localLink(f.Link)}
		row.Mark = mark{answerWords(string(f.Answer)), "warning", string(f.Word)}
		switch {
		case f.Word == health.Good, f.Word == health.Failed:
			row.Mark.Icon = string(f.Word)
		case i == health.Drill && f.Answer == health.Stale:
			row.Mark = mark{"overdue", "overdue", "failed"}
		}
		list = append(list, row)
	}
	return list
}

// localLink lets only addresses of these pages through.
func localLink(link string) string {
	if link == "" || safeNext(link) != link {
		return ""
	}
	return link
}

// answerWords write an answer; the empty one is not known.
func answerWords(a string) string {
	switch a {
	case "":
		return "not known"
	case "stale":
		return "too long ago"
	}
	return a
}

// A strip is the last days as squares, with the same in words.
type strip struct {
	Cells   []cell
	Width   int
	Height  int
	Summary string
	Legend  []cell
	Rows    []Day // days that were not complete, newest first
}

// A cell is one square.
type cell struct {
	X, Y  int
	State DayState
	Class string
	Date  time.Time
	Run   uint32
	Count int
}

// The states in the order of the legend, with their classes.
var dayStates = []struct {
	state DayState
	class string
}{{DayComplete, "good"}, {DayGaps, "gaps"}, {DayHeld, "held"}, {DayFailed, "failed"}, {DayMissing, "missing"}, {DayNone, "none"}}

// perRow is how many squares stand in a row, so that a telephone shows them all.
const perRow = 30

func (s *Server) strip(days []Day) strip {
	st := strip{Width: perRow * 12, Height: (len(days) + perRow - 1) / perRow * 14}
	count := map[DayState]int{}
	for i, d := range days {
		class := "unknown"
		for _, k := range dayStates {
			if k.state == d.State {
				class = k.class
			}
		}
		count[d.State]++
		st.Cells = append(st.Cells, cell{X: i % perRow * 12, Y: i / perRow * 14, State: d.State, Class: class, Date: d.Date, Run: d.Run})
		if d.State != DayComplete && d.State != DayNone {
			st.Rows = append([]Day{d}, st.Rows...)
		}
	}
	expected := len(days) - count[DayNone]
	st.Summary = fmt.Sprintf("In the last %d days, backups were expected on %d; on %d of them the copy was complete.",
		len(days), expected, count[DayComplete])
	for _, k := range dayStates {
		st.Legend = append(st.Legend, cell{State: k.state, Class: k.class, Count: count[k.state]})
	}
	return st
}
