package viewer

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"chartcellar/store/access"
)

// hidingRoutes hide patients whom the EMR gave by mistake, and show them again.
func hidingRoutes() []Route {
	return []Route{
		{Method: get, Path: "/chart/{ref}/hide", Who: access.HidePatients, serve: (*Server).serveHide},
		{Method: post, Path: "/chart/{ref}/hide", Who: access.HidePatients, Writes: true, serve: (*Server).doHide},
		{Method: get, Path: "/hidden", Who: access.HidePatients, serve: (*Server).serveHidden},
		{Method: post, Path: "/hidden", Who: access.HidePatients, Writes: true, serve: (*Server).doUnhide},
	}
}

// A hidePage asks why a patient is to be hidden.
type hidePage struct {
	ChartHead
	Reason  string
	Running bool // a run is under way: it would be refused
	Error   string
}

func (s *Server) serveHide(r *request) error { return s.hideAnswer(r, http.StatusOK, hidePage{}) }

func (s *Server) hideAnswer(r *request, status int, p hidePage) error {
	at, err := place(r)
	if err != nil {
		return err
	}
	c, err := s.o.Backend.Chart(r.Context(), r.actor(), at, "hide")
	if err != nil {
		return err
	}
	now, err := s.o.Backend.Progress(r.Context())
	if err != nil {
		return err
	}
	p.ChartHead, p.Running = c.ChartHead, now.Running
	return s.render(r, status, "hide", "Hide this patient", &p)
}

func (s *Server) doHide(r *request) error {
	p := hidePage{Reason: typed(r, "reason")["reason"]}
	err := s.hiding(r, Ref(r.PathValue("ref")), p.Reason, s.o.Backend.Hide)
	if err == nil {
		s.redirect(r, "/hidden?done=hide")
		return nil
	}
	var status int
	if p.Error, status, err = refused(err); err != nil {
		return err
	}
	return s.hideAnswer(r, status, p)
}

// mostReason is how many bytes a reason may have.
const mostReason = 1000

// hiding hides a patient or shows one again, and says what a person can do if it cannot be
// done now.
func (s *Server) hiding(r *request, patient Ref, reason string, do func(ctx context.Context, a Actor, patient Ref, reason string) error) error {
	if reason == "" || len(reason) > mostReason {
		return &Refusal{Words: "Nothing was changed. Say why, in a sentence: it is kept, and whoever wants to undo it later needs it."}
	}
	err := do(r.Context(), r.actor(), patient, reason)
	if errors.Is(err, ErrBusy) {
		return &Refusal{Words: "A run is under way, and this can be done only between two runs. Nothing was changed, and it will not happen by itself. " +
			"Wait until the run has ended and press the button again. If it cannot wait: stop the run under Backups (what it has stored is kept), do this, and start the run again."}
	}
	return err
}

// A hiddenPage lists who is hidden.
type hiddenPage struct {
	List    []HiddenPatient
	Running bool
	Several bool   // there are several EMRs
	Patient Ref    // of whom it was tried
	Reason  string // that was typed for that
	Error   string
}

func (s *Server) serveHidden(r *request) error {
	return s.hiddenAnswer(r, http.StatusOK, hiddenPage{})
}

func (s *Server) hiddenAnswer(r *request, status int, p hiddenPage) error {
	var err error
	if p.List, err = s.o.Backend.Hidden(r.Context(), r.actor()); err != nil {
		return err
	}
	now, err := s.o.Backend.Progress(r.Context())
	if err != nil {
		return err
	}
	p.Running, p.Several = now.Running, len(s.o.Backend.EMRs()) > 1
	return s.render(r, status, "hidden", "Hidden patients", &p)
}

func (s *Server) doUnhide(r *request) error {
	t := typed(r, "patient", "reason")
	p := hiddenPage{Patient: Ref(t["patient"]), Reason: t["reason"]}
	err := s.hiding(r, p.Patient, p.Reason, s.o.Backend.Unhide)
	if err == nil {
		s.redirect(r, "/chart/"+url.PathEscape(t["patient"])+"?done=unhide")
		return nil
	}
	var status int
	if p.Error, status, err = refused(err); err != nil {
		return err
	}
	return s.hiddenAnswer(r, status, p)
}
