package viewer

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// A reportsPage lists the months.
type reportsPage struct {
	Months []time.Time
	Runs   []RunLine
	All    int
}

func (s *Server) serveReports(r *request) error {
	var p reportsPage
	var err error
	if p.Months, err = s.o.Backend.Months(r.Context()); err != nil {
		return err
	}
	if p.Runs, p.All, err = s.o.Backend.Runs(r.Context(), 0, 5); err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "reports", "Reports", p)
}

// month returns the report of the month in an address.
func (s *Server) month(r *request) (MonthReport, error) {
	m, err := time.ParseInLocation("2006-01", r.PathValue("month"), s.o.Zone)
	if err != nil {
		return MonthReport{}, ErrNotFound
	}
	return s.o.Backend.Month(r.Context(), m)
}

func (s *Server) serveMonth(r *request) error {
	m, err := s.month(r)
	if err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "month", "Report for "+m.Month.In(s.o.Zone).Format("January 2006"), m)
}

func (s *Server) serveMonthJSON(r *request) error {
	m, err := s.month(r)
	if err != nil {
		return err
	}
	return s.sendJSON(r, "report-"+m.Month.In(s.o.Zone).Format("2006-01")+".json", m)
}

func (s *Server) serveMonthPDF(r *request) error {
	m, err := s.month(r)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := m.PDF(&b, s.o.Zone); err != nil {
		return err
	}
	return s.sendPDF(r, "report-"+m.Month.In(s.o.Zone).Format("2006-01")+".pdf", b.Bytes())
}

// MarshalJSON writes the report with spans in seconds and unknown things as null.
func (m MonthReport) MarshalJSON() ([]byte, error) {
	type plain MonthReport // without this method
	return json.Marshal(struct {
		plain
		LongestSeconds *float64 `json:"longestTimeBetweenCompleteCopiesSeconds"`
		OpenGaps       *int     `json:"openGaps"`
		Due            *int     `json:"runsDue"`
		OnTime         *int     `json:"runsOnTime"`
	}{plain(m), unless(m.LongestGap < 0, m.LongestGap.Seconds()), unless(m.OpenGaps < 0, m.OpenGaps),
		unless(m.Due < 0, m.Due), unless(m.OnTime < 0, m.OnTime)})
}

// unless returns a pointer to v, or nil if it is not known.
func unless[T any](unknown bool, v T) *T {
	if unknown {
		return nil
	}
	return &v
}
