package viewer

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"

	"chartcellar/store/access"
)

// setupSteps are the steps of the first run, in order.
var setupSteps = []struct{ ID, Name string }{
	{"owner", "You and the folder"}, {"sheet", "Recovery sheet"}, {"emr", "Your EMR"},
	{"schedule", "Schedule"}, {"alerts", "Who is told"}, {"finish", "First backup"},
}

// A setupPage is one step of the first run.
type setupPage struct {
	Step  string
	Steps []setupStep
	Setup Setup
	Error string
	// Typed is what was typed, without what is secret.
	Typed     map[string]string
	Room      *Room
	RoomWords string
	Sheet     Sheet
	Show      bool // the lines of the key are to be seen
	Worksheet Worksheet
	Settings  Settings
	Tests     []Step
	Tested    bool // every step of the test went well
	Presets   []preset
}

// A setupStep is an entry of the list of steps.
type setupStep struct {
	Number        int
	ID, Name      string
	Done, Skipped bool
	Here          bool
}

// A preset is a schedule that can be chosen.
type preset struct{ Pull, Name, Buys string }

// setupPresets are offered in the first run.
var setupPresets = []preset{{Pull: "daily 02:00", Name: "Every night at 02:00"},
	{Pull: "daily 02:00, 12:30", Name: "Every night at 02:00 and every day at 12:30"},
	{Pull: "every 4 h", Name: "Every 4 hours"}}

// The rest of a schedule in the first run: everything is compared on Sundays, and a
// thirtieth of the copy is read again each day.
const (
	setupFull   = "Sun 03:00"
	setupVerify = "daily 05:00"
)

func (u Setup) done(step string) bool {
	return map[string]bool{"owner": u.Owner, "sheet": u.Sheet, "emr": u.EMR, "schedule": u.Plan, "alerts": u.Alert, "finish": u.Done}[step]
}

// next is the first step that is neither done nor skipped.
func (u Setup) next() string {
	for _, st := range setupSteps {
		if !u.done(st.ID) && !u.Skipped[st.ID] {
			return st.ID
		}
	}
	return "finish"
}

// ownerStep is the page on which an owner is made.
const ownerStep = "/setup/owner"

func (s *Server) setup(r *request) (Setup, error) {
	u, err := s.o.Backend.Setup(r.Context())
	if err == nil && u.Rescue && r.URL.Path == ownerStep { // that page is there once more
		u.Owner, u.Done = false, false
	}
	if err == nil && u.Done {
		err = ErrNotFound // setup is gone
	}
	return u, err
}

func (s *Server) serveSetup(r *request) error {
	u, err := s.setup(r)
	if err != nil {
		return err
	}
	s.redirect(r, "/setup/"+u.next())
	return nil
}

func (s *Server) serveSetupStep(r *request) error {
	step := r.PathValue("step")
	u, err := s.setup(r)
	switch {
	case err != nil:
		return err
	case !slices.ContainsFunc(setupSteps, func(st struct{ ID, Name string }) bool { return st.ID == step }):
		return ErrNotFound
	case !u.Owner && step != "owner", u.Owner && step == "owner":
		s.redirect(r, "/setup/"+u.next())
		return nil
	case u.Owner && !u.Sheet && step != "sheet": // nothing else before the key is on paper
		s.redirect(r, "/setup/sheet")
		return nil
	}
	return s.setupAnswer(r, http.StatusOK, setupPage{Step: step})
}

// setupAnswer fills the page of a step with what it shows.
func (s *Server) setupAnswer(r *request, status int, p setupPage) error {
	var err error
	if p.Setup, err = s.setup(r); err != nil {
		return err
	}
	title := ""
	for i, st := range setupSteps {
		p.Steps = append(p.Steps, setupStep{i + 1, st.ID, st.Name, p.Setup.done(st.ID), p.Setup.Skipped[st.ID], st.ID == p.Step})
		if st.ID == p.Step {
			title = st.Name
		}
	}
	if p.Typed == nil {
		p.Typed = map[string]string{}
	}
	if err := s.setupFill(r, &p); err != nil {
		return err
	}
	return s.render(r, status, "setup", "Setup: "+title, p)
}

func (s *Server) setupFill(r *request, p *setupPage) (err error) {
	ctx := r.Context()
	switch p.Step {
	case "owner":
		if p.Typed["folder"] == "" {
			p.Typed["folder"] = p.Setup.Folder
		}
		room, err := s.o.Backend.CheckFolder(ctx, p.Typed["folder"])
		var refusal *Refusal
		switch {
		case err == nil:
			p.Room = &room
		case errors.As(err, &refusal):
			p.RoomWords = refusal.Words
		default:
			return err
		}
	case "sheet":
		p.Show = r.URL.Query().Get("show") == "yes"
		p.Sheet, err = s.o.Backend.Sheet(ctx, r.actor())
		return err
	case "emr":
		if p.Worksheet, err = s.o.Backend.Worksheet(ctx); err != nil {
			return err
		}
		p.Settings, err = s.o.Backend.Settings(ctx)
		return err
	case "schedule":
		for _, pr := range setupPresets {
			if plan, err := s.o.Backend.Preview(ctx, "", pr.Pull, setupFull, setupVerify); err == nil {
				pr.Buys = plan.Buys
			}
			p.Presets = append(p.Presets, pr)
		}
	case "alerts":
		p.Settings, err = s.o.Backend.Settings(ctx)
		return err
	}
	return nil
}

// setupRefused shows a step again with what was wrong.
func (s *Server) setupRefused(r *request, p setupPage, err error) error {
	var status int
	if p.Error, status, err = refused(err); err != nil {
		return err
	}
	return s.setupAnswer(r, status, p)
}

// typed copies fields of a form that are no secrets.
func typed(r *request, names ...string) map[string]string {
	m := map[string]string{}
	for _, n := range names {
		m[n] = strings.TrimSpace(r.PostFormValue(n))
	}
	return m
}

func (s *Server) doSetupOwner(r *request) error {
	u, err := s.setup(r)
	if err != nil {
		return err
	}
	if u.Owner {
		return access.ErrHasOwner
	}
	p := setupPage{Step: "owner", Typed: typed(r, "code", "practice", "folder", "name", "display")}
	o := NewOwner{Practice: p.Typed["practice"], Folder: p.Typed["folder"], Name: p.Typed["name"], Display: p.Typed["display"],
		Password: r.PostFormValue("password"), Address: limitKey(r.address)}
	switch {
	case r.PostFormValue("look") != "": // the button beside the folder
		return s.setupAnswer(r, http.StatusOK, p)
	case o.Practice == "" && !u.Made:
		err = &Refusal{"Write the name of your practice; it stands on reports and on the recovery sheet. Nothing was made yet."}
	case o.Password != r.PostFormValue("again"):
		err = &Refusal{"The two passwords are not the same. Nothing was made yet; type both again."}
	default:
		err = s.o.Backend.CreateOwner(r.Context(), p.Typed["code"], o)
	}
	if err != nil {
		return s.setupRefused(r, p, err)
	}
	token, _, err := s.o.Access.SignIn(r.Context(), o.Name, o.Password, limitKey(r.address))
	if err != nil { // the account is made; the person signs in by himself
		s.o.Log.WarnContext(r.Context(), "first sign-in failed", "request", r.id, "err", err)
		s.redirect(r, "/sign-in")
		return nil
	}
	if r.token != "" { // never two sessions in one browser
		s.o.Access.SignOut(r.token)
	}
	s.setCookie(r, token)
	to := "/setup/sheet"
	if u, err := s.o.Backend.Setup(r.Context()); err == nil && u.Done { // the rest was done before
		to = "/"
	}
	s.redirect(r, to)
	return nil
}

// needOwner keeps the later steps from being used before there is an owner.
func (s *Server) needOwner(r *request) (Setup, error) {
	u, err := s.setup(r)
	if err == nil && (!u.Owner || !r.signed) {
		err = errNoOwner
	}
	return u, err
}

func (s *Server) serveSheetPDF(r *request) error {
	if _, err := s.needOwner(r); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := s.o.Backend.SheetPDF(r.Context(), r.actor(), &b); err != nil {
		return err
	}
	return s.sendPDF(r, "recovery-sheet.pdf", b.Bytes())
}

func (s *Server) doSetupSheet(r *request) error {
	if _, err := s.needOwner(r); err != nil {
		return err
	}
	if err := s.o.Backend.ProveSheet(r.Context(), r.actor(), r.PostForm["letters"]); err != nil {
		return s.setupRefused(r, setupPage{Step: "sheet"}, err)
	}
	s.redirect(r, "/setup")
	return nil
}

func (s *Server) doSetupEMR(r *request) error {
	if _, err := s.needOwner(r); err != nil {
		return err
	}
	p := setupPage{Step: "emr", Typed: typed(r, "source", "base", "client", "auth", "group", "local", "ca")}
	c := NewConnection{Source: p.Typed["source"], Base: p.Typed["base"], ClientID: p.Typed["client"], Auth: p.Typed["auth"],
		Group: p.Typed["group"], Secret: r.PostFormValue("secret"), Local: p.Typed["local"] != "", CA: p.Typed["ca"]}
	if err := s.o.Backend.Connect(r.Context(), r.actor(), c); err != nil {
		return s.setupRefused(r, p, err)
	}
	var status int
	var err error
	if p.Tests, p.Error, status, err = s.testConnection(r, c.Source); err != nil {
		return err
	}
	p.Tested = len(p.Tests) > 0 && !slices.ContainsFunc(p.Tests, func(st Step) bool { return st.State != "good" && st.State != "warning" })
	return s.setupAnswer(r, status, p)
}

func (s *Server) doSetupSchedule(r *request) error {
	if _, err := s.needOwner(r); err != nil {
		return err
	}
	p := setupPage{Step: "schedule", Typed: typed(r, "pull", "own")}
	pull := p.Typed["pull"]
	if pull == "own" {
		pull = p.Typed["own"]
	}
	if err := s.o.Backend.SetSchedule(r.Context(), r.actor(), "", pull, setupFull, setupVerify); err != nil {
		return s.setupRefused(r, p, err)
	}
	s.redirect(r, "/setup")
	return nil
}

func (s *Server) doSetupAlerts(r *request) error {
	if _, err := s.needOwner(r); err != nil {
		return err
	}
	p := setupPage{Step: "alerts", Typed: typed(r, "mail")}
	a, err := alertForm(r)
	if err == nil && len(a.Mail) == 0 {
		err = &Refusal{"Write at least one address, or press “Later”. Without one, nobody is told when a backup fails."}
	}
	if err == nil {
		err = s.o.Backend.SetAlerts(r.Context(), r.actor(), a)
	}
	if err != nil {
		return s.setupRefused(r, p, err)
	}
	s.redirect(r, "/setup")
	return nil
}

func (s *Server) doSetupSkip(r *request) error {
	u, err := s.needOwner(r)
	if err != nil {
		return err
	}
	step := r.PostFormValue("step")
	if !u.Sheet || step != "emr" && step != "schedule" && step != "alerts" {
		return errForm
	}
	if err := s.o.Backend.Skip(r.Context(), r.actor(), step); err != nil {
		return err
	}
	s.redirect(r, "/setup")
	return nil
}

func (s *Server) doSetupFinish(r *request) error {
	u, err := s.needOwner(r)
	if err != nil {
		return err
	}
	if !u.Sheet {
		s.redirect(r, "/setup/sheet")
		return nil
	}
	if err := s.o.Backend.Finish(r.Context(), r.actor()); err != nil {
		return s.setupRefused(r, setupPage{Step: "finish"}, err)
	}
	to := "/backups?done=setup"
	if !u.EMR { // there is nothing that could be started
		to = "/"
	}
	s.redirect(r, to)
	return nil
}
