package viewer

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"chartcellar/store/access"
)

// A seenPage is a report of who saw whom.
type seenPage struct {
	Seen
	Who      string // the account, of "what did this person see"
	Day, End string // from and to, as they are typed: 2026-03-01; To is in it
	Own      bool   // one's own, and no other may be chosen
	Accounts []access.Account
	Address  string // of this report, without the place in it
	From     bool   // it is not the first page
	Note     string // instead of a report
}

// Older is the address of the next page.
func (p *seenPage) Older() string { return p.page("before=" + fmt.Sprint(p.More)) }

// CSV is the address of the same report as a file.
func (p *seenPage) CSV() string {
	path, query, found := strings.Cut(p.Address, "?")
	if path += "/report.csv"; found {
		path += "?" + query
	}
	return path
}

func (p *seenPage) page(more string) string {
	if strings.Contains(p.Address, "?") {
		return p.Address + "&" + more
	}
	return p.Address + "?" + more
}

// patientQuery asks who saw the patient of an address.
func patientQuery(r *request) (q SeenQuery, err error) {
	q = SeenQuery{Patient: Ref(r.PathValue("ref")), Rows: linesPerPage}
	q.Before, err = before(r)
	return q, err
}

// serveWhoSaw tells who saw one patient.
func (s *Server) serveWhoSaw(r *request) error {
	q, err := patientQuery(r)
	if err != nil {
		return err
	}
	p := &seenPage{From: q.Before > 0, Address: "/log/patient/" + url.PathEscape(string(q.Patient))}
	if p.Seen, err = s.o.Backend.Seen(r.Context(), r.actor(), q); err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "whosaw", "Who saw this patient", p)
}

func (s *Server) serveWhoSawCSV(r *request) error {
	q, err := patientQuery(r)
	if err != nil {
		return err
	}
	return s.sendSeen(r, q, "who-saw.csv")
}

// accountQuery reads whose doing is asked for, and of which days. Who may not see the whole
// log sees his own.
func (s *Server) accountQuery(r *request) (p *seenPage, q SeenQuery, err error) {
	v := r.URL.Query()
	p = &seenPage{Who: v.Get("who"), Day: v.Get("from"), End: v.Get("to"), Own: !r.can(access.SeeAccessLog)}
	if p.Own {
		p.Who = r.session.Account.Name
	}
	q = SeenQuery{Account: p.Who, Rows: linesPerPage}
	if q.Before, err = before(r); err != nil {
		return p, q, err
	}
	for _, day := range []string{p.Day, p.End} {
		if _, err := dayOf(day); err != nil {
			return p, q, err
		}
	}
	if p.Day != "" {
		q.From, _ = time.ParseInLocation(time.DateOnly, p.Day, s.o.Zone) // it was looked at
	}
	if p.End != "" {
		to, _ := time.ParseInLocation(time.DateOnly, p.End, s.o.Zone)
		q.To = to.AddDate(0, 0, 1)
	}
	p.From = q.Before > 0
	p.Address = "/log/account?" + url.Values{"who": {p.Who}, "from": {p.Day}, "to": {p.End}}.Encode()
	return p, q, nil
}

// serveWhatSaw tells what one person saw.
func (s *Server) serveWhatSaw(r *request) error {
	p, q, err := s.accountQuery(r)
	if err != nil {
		return err
	}
	if !p.Own {
		if p.Accounts, err = s.o.Access.Accounts(); err != nil {
			return err
		}
	}
	if p.Who != "" {
		if p.Seen, err = s.o.Backend.Seen(r.Context(), r.actor(), q); err != nil {
			return err
		}
	}
	title := "What a person saw"
	if p.Own {
		title = "What you saw"
	}
	return s.render(r, http.StatusOK, "whatsaw", title, p)
}

func (s *Server) serveWhatSawCSV(r *request) error {
	p, q, err := s.accountQuery(r)
	if err == nil && p.Who == "" {
		err = ErrNotFound
	}
	if err != nil {
		return err
	}
	return s.sendSeen(r, q, "what-was-seen.csv")
}

// mostSeen is how many lines a file holds.
const mostSeen = 100_000

// sendSeen sends a report as a file. What does not fit in it is said in its last line.
func (s *Server) sendSeen(r *request, q SeenQuery, name string) error {
	q.Before, q.Rows, q.Whole = 0, mostSeen, true
	seen, err := s.o.Backend.Seen(r.Context(), r.actor(), q)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"number", "time", "account", "from", "what", "patient", "record", "emergency access", "note"}}
	for _, l := range seen.Lines {
		emergency := ""
		if l.Emergency {
			emergency = "yes"
		}
		what := l.What
		if what == "" {
			what = l.Code
		}
		rows = append(rows, []string{fmt.Sprint(l.Number), l.At.In(s.o.Zone).Format(time.RFC3339), l.Account, l.Address, what, l.Patient, l.Type, emergency, l.Note})
	}
	switch {
	case seen.Locked:
		rows = append(rows, []string{"NOT COMPLETE: older lines can be read while somebody who may see charts is signed in"})
	case seen.More > 0:
		rows = append(rows, []string{fmt.Sprintf("NOT COMPLETE: %d lines; older ones are not in this file. Choose fewer days", len(seen.Lines))})
	}
	for _, row := range rows {
		for i := range row {
			row[i] = tame(clean(row[i]))
		}
	}
	if err := w.WriteAll(rows); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	r.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	return s.send(r, http.StatusOK, "text/csv; charset=utf-8", b.Bytes())
}

// tame keeps a program for tables from taking a text for a formula.
func tame(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// A seenFindPage finds the patient of a report.
type seenFindPage struct {
	Patients
	Text string
}

// foundRows is how many patients are offered.
const foundRows = 20

func (s *Server) serveSeenFind(r *request) error {
	p := &seenFindPage{}
	if r.URL.Query().Get("q") == "" {
		return s.render(r, http.StatusOK, "seenfind", "Who saw a patient", p)
	}
	q, err := s.query(r)
	if err != nil {
		return err
	}
	q.Rows, p.Text = foundRows, q.Text
	if p.Patients, err = s.o.Backend.Patients(r.Context(), r.actor(), q); err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "seenfind", "Who saw a patient", p)
}

// doSeenFind hides what was typed in the address of its answer.
func (s *Server) doSeenFind(r *request) error {
	_, sealed, _ := strings.Cut(s.queryAddress(PatientQuery{Text: typed(r, "text")["text"]}), "?")
	s.redirect(r, "/log/find?"+sealed)
	return nil
}
