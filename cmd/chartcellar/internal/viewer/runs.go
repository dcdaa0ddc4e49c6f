package viewer

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// runsPerPage is how many runs a page lists.
const runsPerPage = 50

// A runsPage is a list of runs.
type runsPage struct {
	Runs []RunLine
	All  int
	More uint32 // before which the next page begins; 0: this is the last
	From bool   // this is not the first page
}

func (s *Server) serveRuns(r *request) error {
	before, err := number32(r.URL.Query().Get("before"))
	if err != nil {
		return err
	}
	p := runsPage{From: before > 0}
	if p.Runs, p.All, err = s.o.Backend.Runs(r.Context(), before, runsPerPage); err != nil {
		return err
	}
	if n := len(p.Runs); n == runsPerPage && p.Runs[n-1].Number > 1 {
		p.More = p.Runs[n-1].Number
	}
	return s.render(r, http.StatusOK, "runs", "All runs", p)
}

// number32 reads a number in an address; "" is 0.
func number32(text string) (uint32, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, ErrNotFound
	}
	return uint32(n), nil
}

// numberIn reads a number in an address into n, which stays what it is if there is none.
// One that is not from least to most is no page of ours.
func numberIn(q url.Values, name string, n *int, least, most int) error {
	text := q.Get(name)
	if text == "" {
		return nil
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < least || v > most {
		return ErrNotFound
	}
	*n = v
	return nil
}

// A runPage is a run report.
type runPage struct {
	RunReport
	Mark  mark
	Words string
	Sum   TypeRow // over all types
	Quiet int     // types of which nothing is to be said
	Held  []TypeRow
	Holes []TypeRow // types with a gap
}

func (s *Server) run(r *request) (*runPage, error) {
	n, err := number32(r.PathValue("run"))
	if err != nil {
		return nil, err
	}
	rep, err := s.o.Backend.Run(r.Context(), n)
	if err != nil {
		return nil, err
	}
	p := &runPage{RunReport: rep, Mark: verdictOf(rep.Verdict, rep.Running), Words: verdictWords(rep.Kind, rep.Verdict, rep.Running)}
	for _, t := range rep.Types {
		p.Sum.Lines, p.Sum.New, p.Sum.Changed = p.Sum.Lines+t.Lines, p.Sum.New+t.New, p.Sum.Changed+t.Changed
		p.Sum.Unchanged, p.Sum.Removed, p.Sum.Bad = p.Sum.Unchanged+t.Unchanged, p.Sum.Removed+t.Removed, p.Sum.Bad+t.Bad
		p.Sum.Here += t.Here
		if t.Gap != "" {
			p.Holes = append(p.Holes, t)
		}
		if t.Held != "" {
			p.Held = append(p.Held, t)
		}
	}
	return p, nil
}

func (s *Server) serveRun(r *request) error {
	p, err := s.run(r)
	if err != nil {
		return err
	}
	title := fmt.Sprintf("Run %d", p.Number)
	if p.Kind != "" && p.Kind != "sync" {
		title += ": " + kindWords(p.Kind, p.Source)
	}
	return s.render(r, http.StatusOK, "run", title, p)
}

func (s *Server) serveRunJSON(r *request) error {
	n, err := number32(r.PathValue("run"))
	if err != nil {
		return err
	}
	raw, err := s.o.Backend.RunJSON(r.Context(), n)
	if err != nil {
		return err
	}
	return s.sendJSON(r, fmt.Sprintf("run-%d.json", n), raw)
}

func (s *Server) serveRunPDF(r *request) error {
	p, err := s.run(r)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := p.RunReport.PDF(&b, s.o.Zone); err != nil {
		return err
	}
	return s.sendPDF(r, fmt.Sprintf("run-%d.pdf", p.Number), b.Bytes())
}

func (s *Server) serveGaps(r *request) error {
	g, err := s.o.Backend.Gaps(r.Context())
	if err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "gaps", "Gaps", g)
}

func (s *Server) serveCoverage(r *request) error {
	list, err := s.o.Backend.Coverage(r.Context())
	if err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "coverage", "What is here, and what is not", list)
}

// changeDays are the spans of the page of changes.
var changeDays = []int{7, 30, 90, 365}

// A changesPage is what changed at the vendor.
type changesPage struct {
	Changes
	Days  int
	Spans []int
	Alarm bool // something was removed, or changed in silence
}

func (s *Server) serveChanges(r *request) error {
	p := changesPage{Days: 30, Spans: changeDays}
	for _, d := range changeDays {
		if r.URL.Query().Get("days") == strconv.Itoa(d) {
			p.Days = d
		}
	}
	since := r.now.In(s.o.Zone).AddDate(0, 0, -p.Days)
	since = time.Date(since.Year(), since.Month(), since.Day(), 0, 0, 0, 0, s.o.Zone)
	var err error
	if p.Changes, err = s.o.Backend.Changes(r.Context(), since); err != nil {
		return err
	}
	p.Since = since
	for _, t := range p.Types {
		p.Alarm = p.Alarm || t.Removed+t.Waiting+t.Silent+t.Back > 0
	}
	return s.render(r, http.StatusOK, "changes", "Changes at the vendor", p)
}

// A storagePage is how the disk fills.
type storagePage struct {
	Storage
	Bars  []bar
	Taken int // of the disk, in percent
}

// A bar is one month of the plot of sizes.
type bar struct {
	X, Y, Height int
	MonthSize
}

func (s *Server) serveStorage(r *request) error {
	st, err := s.o.Backend.Storage(r.Context())
	if err != nil {
		return err
	}
	p := storagePage{Storage: st}
	if st.Total > 0 {
		p.Taken = int((st.Total - st.Free) * 100 / st.Total)
	}
	months := st.Months[max(0, len(st.Months)-24):]
	most := int64(1)
	for _, m := range months {
		most = max(most, m.Bytes)
	}
	for i, m := range months {
		h := int(max(0, m.Bytes) * 100 / most)
		p.Bars = append(p.Bars, bar{X: i * 26, Y: 100 - h, Height: h, MonthSize: m})
	}
	return s.render(r, http.StatusOK, "storage", "Storage", p)
}
