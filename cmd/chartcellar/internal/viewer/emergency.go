package viewer

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"chartcellar/store/access"
)

// Emergencies let somebody see what is labelled sensitive, for a time and a reason.
type Emergencies interface {
	StartEmergency(ctx context.Context, token, reason string, d time.Duration) (string, access.Session, error)
	EndEmergency(token string) error
	Emergencies(token string, unreviewed bool) ([]access.Emergency, error)
	Unreviewed() (int, error)
	Review(token, id, remark string) error
}

// privacyRoutes are emergency access, and who saw whom.
func privacyRoutes() []Route {
	return []Route{
		{Method: get, Path: "/emergency", Who: access.EmergencyAccess, serve: (*Server).serveEmergency},
		{Method: post, Path: "/emergency", Who: access.EmergencyAccess, Writes: true, serve: (*Server).doEmergency},
		{Method: post, Path: "/emergency/end", Who: access.EmergencyAccess, Writes: true, serve: (*Server).doEmergencyEnd},
		{Method: get, Path: "/emergency/review", Who: access.ReviewEmergency, serve: (*Server).serveReviews},
		{Method: post, Path: "/emergency/review", Who: access.ReviewEmergency, Writes: true, serve: (*Server).doReview},
		{Method: get, Path: "/emergency/review/{id}", Who: access.ReviewEmergency, serve: (*Server).serveReview},

		{Method: get, Path: "/log/find", Who: access.SeeAccessLog, serve: (*Server).serveSeenFind},
		{Method: post, Path: "/log/find", Who: access.SeeAccessLog, serve: (*Server).doSeenFind},
		{Method: get, Path: "/log/patient/{ref}", Who: access.SeeAccessLog, serve: (*Server).serveWhoSaw},
		{Method: get, Path: "/log/patient/{ref}/report.csv", Who: access.Export, serve: (*Server).serveWhoSawCSV},
		{Method: get, Path: "/log/account", Who: access.SeeOwnAccessLog, serve: (*Server).serveWhatSaw},
		{Method: get, Path: "/log/account/report.csv", Who: access.Export, serve: (*Server).serveWhatSawCSV},
	}
}

// emergencyReasons are those to choose from; the words below them say the rest.
var emergencyReasons = []string{"The patient is here and cannot wait", "The EMR cannot be reached", "The doctor who treats the patient cannot be reached", "Another reason"}

// emergencyMinutes are the times to choose from.
var emergencyMinutes = []int{15, 30, 60, 120, 240}

// An emergencyPage asks for emergency access, or says that it is in force.
type emergencyPage struct {
	Reasons []string
	Minutes []int
	Reason  string // that was chosen
	Text    string // that was typed
	For     int    // minutes
	Next    string
	Error   string
	Own     []access.Emergency // of before, newest first, at most mostOwn
	All     int
}

// mostOwn and mostReviewed are how many are listed.
const (
	mostOwn      = 10
	mostReviewed = 50
)

func (s *Server) serveEmergency(r *request) error {
	return s.emergencyAnswer(r, http.StatusOK, emergencyPage{For: int(access.DefaultEmergency / time.Minute), Next: safeNext(r.FormValue("next"))})
}

func (s *Server) emergencyAnswer(r *request, status int, p emergencyPage) error {
	list, err := s.o.Access.Emergencies(r.token, false)
	if err != nil {
		return err
	}
	p.Own = slices.DeleteFunc(list, func(e access.Emergency) bool { return e.Account != r.session.Account.ID })
	p.All = len(p.Own)
	p.Own = p.Own[:min(len(p.Own), mostOwn)]
	p.Reasons, p.Minutes = emergencyReasons, emergencyMinutes
	return s.render(r, status, "emergency", "Emergency access", p)
}

func (s *Server) doEmergency(r *request) error {
	t := typed(r, "reason", "text", "minutes", "next")
	p := emergencyPage{Reason: t["reason"], Text: t["text"], Next: safeNext(t["next"])}
	if r.session.Emergency != "" {
		s.redirect(r, "/emergency")
		return nil
	}
	var err error
	if p.For, err = strconv.Atoi(t["minutes"]); err != nil || !slices.Contains(emergencyReasons, p.Reason) {
		return errForm
	}
	err = access.ErrShortReason
	if utf8.RuneCountInString(strings.Join(strings.Fields(p.Text), " ")) >= access.MinReason {
		var token string
		token, _, err = s.o.Access.StartEmergency(r.Context(), r.token, p.Reason+": "+p.Text, time.Duration(p.For)*time.Minute)
		if err == nil {
			s.setCookie(r, token)
			s.redirect(r, p.Next)
			return nil
		}
	}
	var status int
	if p.Error, status, err = refused(err); err != nil {
		return err
	}
	return s.emergencyAnswer(r, status, p)
}

func (s *Server) doEmergencyEnd(r *request) error {
	if err := s.o.Access.EndEmergency(r.token); err != nil {
		return err
	}
	s.underway.end(r)
	s.redirect(r, "/emergency?done=calm")
	return nil
}

// A reviewsPage is the queue of emergency access that waits for a review.
type reviewsPage struct {
	Waiting []access.Emergency // newest first
	Done    []access.Emergency // newest first, at most mostReviewed
	AllDone int
	Me      string // ID of the account that looks: nobody reviews his own
	Error   string
}

func (s *Server) serveReviews(r *request) error { return s.reviewsAnswer(r, http.StatusOK, "") }

func (s *Server) reviewsAnswer(r *request, status int, wrong string) error {
	list, err := s.o.Access.Emergencies(r.token, false)
	if err != nil {
		return err
	}
	p := reviewsPage{Me: r.session.Account.ID, Error: wrong}
	for _, e := range list {
		if e.ReviewedBy == "" {
			p.Waiting = append(p.Waiting, e)
		} else {
			p.Done = append(p.Done, e)
		}
	}
	p.AllDone = len(p.Done)
	p.Done = p.Done[:min(p.AllDone, mostReviewed)]
	return s.render(r, status, "reviews", "Emergency access to review", p)
}

func (s *Server) doReview(r *request) error {
	t := typed(r, "id", "remark")
	err := s.o.Access.Review(r.token, t["id"], t["remark"])
	if err == nil {
		s.redirect(r, "/emergency/review?done=review")
		return nil
	}
	words, status, err := refused(err)
	if err != nil {
		return err
	}
	return s.reviewsAnswer(r, status, words)
}

// A reviewPage is one emergency access and what was opened during it.
type reviewPage struct {
	access.Emergency
	Seen
	Own  bool
	From bool
}

func (s *Server) serveReview(r *request) error {
	list, err := s.o.Access.Emergencies(r.token, false)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(e access.Emergency) bool { return e.ID == r.PathValue("id") })
	if i < 0 {
		return ErrNotFound
	}
	p := reviewPage{Emergency: list[i], Own: list[i].Account == r.session.Account.ID}
	q := SeenQuery{Account: list[i].Name, From: list[i].From.Add(-time.Second), To: list[i].Until.Add(time.Second), Emergency: list[i].ID, Rows: linesPerPage}
	if q.Before, err = before(r); err != nil {
		return err
	}
	p.Seen, err = s.o.Backend.Seen(r.Context(), r.actor(), q)
	if err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "review", "One emergency access", p)
}
