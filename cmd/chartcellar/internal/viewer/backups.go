package viewer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/store/access"
)

// A backupsPage is the page Backups.
type backupsPage struct {
	Status   Status
	Progress Progress
	Schedule Schedule
	Runs     []RunLine
	All      int
	Gaps     int
	Held     []HeldType
	Storage  Storage
	Restored Restored
	Damage   Damage
	Away     []factRow // what of the copies elsewhere is not as it should be
	Error    string
	Until    string // typed, or proposed, for the pause
	Most     string
}

func (s *Server) serveBackups(r *request) error {
	return s.backupsAnswer(r, http.StatusOK, "")
}

func (s *Server) backupsAnswer(r *request, status int, wrong string) error {
	p, err := s.backupsPage(r.Context(), r.actor())
	if err != nil {
		return err
	}
	p.Error = wrong
	now := r.now.In(s.o.Zone)
	p.Until, p.Most = now.AddDate(0, 0, 1).Format("2006-01-02"), now.AddDate(0, 0, maxPause).Format("2006-01-02")
	return s.render(r, status, "backups", "Backups", p)
}

func (s *Server) backupsPage(ctx context.Context, a Actor) (*backupsPage, error) {
	p := &backupsPage{}
	var err error
	if p.Status, err = s.o.Backend.Status(ctx); err != nil {
		return nil, err
	}
	if p.Progress, err = s.o.Backend.Progress(ctx); err != nil {
		return nil, err
	}
	if p.Schedule, err = s.o.Backend.Schedule(ctx); err != nil {
		return nil, err
	}
	if p.Runs, p.All, err = s.o.Backend.Runs(ctx, 0, 10); err != nil {
		return nil, err
	}
	g, err := s.o.Backend.Gaps(ctx)
	if err != nil {
		return nil, err
	}
	p.Gaps = g.All
	a.Charts = false // how many, no examples
	if p.Held, err = s.o.Backend.Held(ctx, a); err != nil {
		return nil, err
	}
	if p.Restored, err = s.o.Backend.Restored(ctx); err != nil {
		return nil, err
	}
	if p.Damage, err = s.o.Backend.Damage(ctx); err != nil {
		return nil, err
	}
	for i, row := range factRows(p.Status.Facts) {
		if (i == health.SecondCopy || i == health.Drill) && row.Mark.Icon != "good" && row.Link != "" {
			p.Away = append(p.Away, row)
		}
	}
	p.Storage, err = s.o.Backend.Storage(ctx)
	return p, err
}

// serveProgress is how far the job is: a piece for htmx, a page without it.
func (s *Server) serveProgress(r *request) error {
	p, err := s.o.Backend.Progress(r.Context())
	if err != nil {
		return err
	}
	if r.Header.Get("HX-Request") != "" {
		if !p.Running { // the whole page has changed
			r.w.Header().Set("HX-Refresh", "true")
		}
		return s.renderPart(r, "progress", "progressPart", p)
	}
	if p.Running {
		r.w.Header().Set("Refresh", "10")
	}
	return s.render(r, http.StatusOK, "progress", "How far the run is", p)
}

// started answers a button of Backups.
func (s *Server) started(r *request, code string, err error) error {
	if err == nil {
		s.redirect(r, "/backups?done="+code)
		return nil
	}
	words, status, err := refused(err)
	if err != nil {
		return err
	}
	return s.backupsAnswer(r, status, words)
}

func (s *Server) doRun(r *request) error {
	return s.started(r, "run", s.o.Backend.RunNow(r.Context(), r.actor(), r.PostFormValue("full") != ""))
}

func (s *Server) doVerify(r *request) error {
	return s.started(r, "verify", s.o.Backend.VerifyNow(r.Context(), r.actor()))
}

func (s *Server) doStop(r *request) error {
	return s.started(r, "stop", s.o.Backend.Stop(r.Context(), r.actor()))
}

func (s *Server) doResume(r *request) error {
	return s.started(r, "resume", s.o.Backend.Resume(r.Context(), r.actor()))
}

// maxPause is for how many days the schedule may be paused at once.
const maxPause = 31

func (s *Server) doPause(r *request) error {
	until, err := pauseEnd(r.PostFormValue("until"), r.now.In(s.o.Zone))
	if err == nil {
		err = s.o.Backend.Pause(r.Context(), r.actor(), until, clean(r.PostFormValue("why")))
	}
	return s.started(r, "pause", err)
}

// pauseEnd reads the day on which a pause ends, at its end.
func pauseEnd(text string, now time.Time) (time.Time, error) {
	day, err := time.ParseInLocation("2006-01-02", text, now.Location())
	switch {
	case err != nil:
		return day, &Refusal{"A pause needs an end, so that nobody forgets it. Choose the last day of the pause. Nothing was changed; backups go on."}
	case day.AddDate(0, 0, 1).Before(now):
		return day, &Refusal{"That day is over. Choose today or a later day. Nothing was changed; backups go on."}
	case day.After(now.AddDate(0, 0, maxPause)):
		return day, &Refusal{fmt.Sprintf("A pause lasts at most %d days. Nothing was changed; backups go on.", maxPause)}
	}
	return day.AddDate(0, 0, 1), nil
}

// A heldPage is what waits for a decision.
type heldPage struct {
	List   []HeldType
	Decide bool // who looks may decide
	Charts bool
	Error  string
}

func (s *Server) serveHeld(r *request) error { return s.heldAnswer(r, http.StatusOK, "") }

func (s *Server) heldAnswer(r *request, status int, wrong string) error {
	list, err := s.o.Backend.Held(r.Context(), r.actor())
	if err != nil {
		return err
	}
	p := heldPage{List: list, Decide: r.can(access.DecideHeld) && !s.o.ReadOnly, Charts: r.can(access.SeeCharts), Error: wrong}
	if !p.Charts { // whatever the Backend gave
		for i := range p.List {
			p.List[i].Examples = nil
		}
	}
	return s.render(r, status, "held", "Waiting for your decision", p)
}

func (s *Server) doHeld(r *request) error {
	run, err := strconv.ParseUint(r.PostFormValue("run"), 10, 32)
	choice := r.PostFormValue("choice")
	switch {
	case err != nil, choice != "accept" && choice != "reject":
		return errForm
	case r.PostFormValue("sure") == "":
		return s.heldAnswer(r, http.StatusUnprocessableEntity,
			"Tick that you have looked at it, then press the button again. Nothing was decided yet.")
	}
	err = s.o.Backend.Decide(r.Context(), r.actor(), uint32(run), r.PostFormValue("type"), choice == "accept")
	if err == nil {
		s.redirect(r, "/backups/held?done="+choice)
		return nil
	}
	words, status, err := refused(err)
	if err != nil {
		return err
	}
	return s.heldAnswer(r, status, words)
}

// A schedulePage is the editor of the schedule.
type schedulePage struct {
	Schedule
	Edit    bool
	Error   string
	Preview *Plan // of what was typed
	Source  string
}

func (s *Server) serveSchedule(r *request) error {
	q := r.URL.Query()
	p, err := s.schedulePage(r)
	if err != nil {
		return err
	}
	if q.Has("pull") && p.Edit { // the button "What would that mean?"
		plan, err := s.o.Backend.Preview(r.Context(), q.Get("source"), q.Get("pull"), q.Get("full"), q.Get("verify"))
		if err := p.typed(plan, q.Get, err); err != nil {
			return err
		}
	}
	return s.render(r, http.StatusOK, "schedule", "Schedule", p)
}

func (s *Server) schedulePage(r *request) (*schedulePage, error) {
	sched, err := s.o.Backend.Schedule(r.Context())
	return &schedulePage{Schedule: sched, Edit: r.can(access.EditSchedule) && !s.o.ReadOnly}, err
}

// typed puts what was typed in the place of what is set, with what it means or what
// is wrong with it.
func (p *schedulePage) typed(plan Plan, get func(string) string, err error) error {
	p.Source = get("source")
	if err != nil {
		var refusal *Refusal
		if !errors.As(err, &refusal) {
			return err
		}
		p.Error = refusal.Words
	} else {
		p.Preview = &plan
	}
	for i := range p.Plans {
		if p.Plans[i].Source == p.Source {
			p.Plans[i].Pull, p.Plans[i].Full, p.Plans[i].Verify = get("pull"), get("full"), get("verify")
		}
	}
	return nil
}

func (s *Server) doSchedule(r *request) error {
	form := r.PostFormValue
	err := s.o.Backend.SetSchedule(r.Context(), r.actor(), form("source"), form("pull"), form("full"), form("verify"))
	if err == nil {
		s.redirect(r, "/backups/schedule?done=schedule")
		return nil
	}
	p, perr := s.schedulePage(r)
	if perr != nil {
		return perr
	}
	if err := p.typed(Plan{}, form, err); err != nil {
		return err
	}
	return s.render(r, http.StatusUnprocessableEntity, "schedule", "Schedule", p)
}
