package viewer

import (
	"context"
	"net/http"
	"strconv"

	"chartcellar/cmd/chartcellar/internal/health"
)

// A copiesPage is the page of the second copies.
type copiesPage struct {
	List     []copyRow
	Progress Progress
	Error    string
	Out      []string // what was said of a disk that is to be taken out
	OutOf    string   // which
}

// A copyRow is one second copy.
type copyRow struct {
	SecondCopy
	Mark mark
}

func (s *Server) serveCopies(r *request) error {
	return s.copiesAnswer(r, http.StatusOK, copiesPage{})
}

func (s *Server) copiesAnswer(r *request, status int, p copiesPage) error {
	list, err := s.o.Backend.SecondCopies(r.Context())
	if err != nil {
		return err
	}
	if p.Progress, err = s.o.Backend.Progress(r.Context()); err != nil {
		return err
	}
	for _, c := range list {
		p.List = append(p.List, copyRow{c, copyMark(c.State.Answer)})
	}
	return s.render(r, status, "copies", "Second copies", p)
}

// copyMark marks how a second copy stands.
func copyMark(a health.Answer) mark {
	switch a {
	case health.Yes:
		return mark{"up to date", "good", "good"}
	case health.Stale:
		return mark{"late", "overdue", "failed"}
	case health.No:
		return mark{"does not protect you yet", "failed", "failed"}
	}
	return mark{"nothing there yet", "warning", "warning"}
}

// copyAnswered answers a button of the page.
func (s *Server) copyAnswered(r *request, done string, err error) error {
	if err == nil {
		s.redirect(r, "/backups/copies?done="+done)
		return nil
	}
	words, status, err := refused(err)
	if err != nil {
		return err
	}
	return s.copiesAnswer(r, status, copiesPage{Error: words})
}

func (s *Server) doCopy(r *request) error {
	what := CopyWork(r.PostFormValue("do"))
	done, ok := map[CopyWork]string{CopyNow: "now", CopyCheck: "check", CopyTest: "tested"}[what]
	if !ok {
		return errForm
	}
	return s.copyAnswered(r, done, s.o.Backend.StartCopy(r.Context(), r.actor(), r.PostFormValue("name"), what))
}

func (s *Server) doCopyOut(r *request) error {
	ctx, cancel := context.WithTimeout(r.Context(), testTime)
	defer cancel()
	name := r.PostFormValue("name")
	words, err := s.o.Backend.CopyOut(ctx, name)
	if err != nil {
		return s.copyAnswered(r, "", err)
	}
	return s.copiesAnswer(r, http.StatusOK, copiesPage{Out: words, OutOf: name})
}

// answersOf reads the answers to whose a place is.
func answersOf(r *request) Answers {
	t := typed(r, "ours", "whose", "deletes", "agreement")
	a := Answers{Ours: t["ours"], Deletes: t["deletes"], Agreement: t["agreement"]}
	if a.Ours == "other" {
		a.Ours = t["whose"]
	}
	return a
}

func (s *Server) doAnswers(r *request) error {
	return s.copyAnswered(r, "answers", s.o.Backend.AnswerForCopy(r.Context(), r.actor(), r.PostFormValue("name"), answersOf(r)))
}

// A newCopyPage sets up a place.
type newCopyPage struct {
	Typed    map[string]string // no secrets
	Greeting Greeting          // of a server whose fingerprint is to be compared
	Error    string
}

func (s *Server) serveNewCopy(r *request) error {
	return s.newCopyAnswer(r, http.StatusOK, newCopyPage{Typed: map[string]string{"kind": "folder", "disks": "1"}})
}

func (s *Server) newCopyAnswer(r *request, status int, p newCopyPage) error {
	return s.render(r, status, "copynew", "Add a second copy", p)
}

// newCopy reads the form of a place: what belongs to another kind of place is left out.
func newCopy(r *request) (NewCopy, map[string]string, error) {
	t := typed(r, "kind", "name", "folder", "disks", "sftp", "hostkey", "s3", "region", "access")
	n := NewCopy{Name: t["name"], Secret: r.PostFormValue("secret")}
	switch t["kind"] {
	case "folder":
		n.Folder, n.Secret = t["folder"], ""
		disks, err := strconv.Atoi(t["disks"])
		if err != nil || n.Folder == "" {
			return n, t, &Refusal{"Write the whole path of the folder, and how many disks take turns there: 1 if it is always the same. Nothing was set up."}
		}
		n.Disks = disks
	case "sftp":
		n.SFTP, n.HostKey = t["sftp"], t["hostkey"]
		if n.SFTP == "" {
			return n, t, &Refusal{"Write the address as user@host:port/path. Nothing was set up."}
		}
		if n.HostKey != "" && r.PostFormValue("same") == "" {
			return n, t, &Refusal{"Compare the fingerprint with what the server's operator tells you, and tick that it is the same. Nothing was set up."}
		}
	case "s3":
		n.S3, n.Region, n.AccessKey = t["s3"], t["region"], t["access"]
		if n.S3 == "" || n.AccessKey == "" || n.Secret == "" {
			return n, t, &Refusal{"A bucket needs its address, an access key and the secret key. Nothing was set up."}
		}
	default:
		return n, t, errForm
	}
	return n, t, nil
}

func (s *Server) doNewCopy(r *request) error {
	ctx, cancel := context.WithTimeout(r.Context(), testTime)
	defer cancel()
	n, t, err := newCopy(r)
	p := newCopyPage{Typed: t}
	if err == nil {
		p.Greeting, err = s.o.Backend.AddCopy(ctx, r.actor(), n)
	}
	if err == nil && p.Greeting == (Greeting{}) {
		s.redirect(r, "/backups/copies?done=place")
		return nil
	}
	if err == nil {
		return s.newCopyAnswer(r, http.StatusOK, p)
	}
	words, status, err := refused(err)
	if err != nil {
		return err
	}
	p.Error = words
	if n.HostKey != "" { // once more the step at which it was refused
		n.HostKey = ""
		if p.Greeting, err = s.o.Backend.AddCopy(ctx, r.actor(), n); err != nil {
			p.Greeting = Greeting{}
		}
	}
	return s.newCopyAnswer(r, status, p)
}

// A drillPage is the page of the restore drills.
type drillPage struct {
	Drills
	Mark     mark
	Progress Progress
	Error    string
	Chosen   string // the copy that was chosen
}

func (s *Server) serveDrill(r *request) error { return s.drillAnswer(r, http.StatusOK, "") }

func (s *Server) drillAnswer(r *request, status int, wrong string) error {
	p := drillPage{Error: wrong, Chosen: r.PostFormValue("name")}
	var err error
	if p.Drills, err = s.o.Backend.Drills(r.Context()); err != nil {
		return err
	}
	if p.Progress, err = s.o.Backend.Progress(r.Context()); err != nil {
		return err
	}
	p.Mark = drillMark(p.State.Answer)
	return s.render(r, status, "drill", "Restore drill", p)
}

// drillMark marks how it stands with the drills.
func drillMark(a health.Answer) mark {
	switch a {
	case health.Yes:
		return mark{"passed", "good", "good"}
	case health.No:
		return mark{"not passed", "failed", "failed"}
	case health.Stale:
		return mark{"overdue", "overdue", "failed"}
	}
	return mark{"never tried", "warning", "warning"}
}

// doDrill begins a drill. With a script what was typed stays in the browser when a line
// is wrong; the page never sends it back.
func (s *Server) doDrill(r *request) error {
	err := s.o.Backend.StartDrill(r.Context(), r.actor(), r.PostFormValue("name"), r.PostFormValue("sheet"))
	part := r.Header.Get("HX-Request") != ""
	if err == nil && part {
		r.w.Header().Set("HX-Redirect", "/backups/drill?done=drill")
		r.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if err == nil {
		s.redirect(r, "/backups/drill?done=drill")
		return nil
	}
	words, status, err := refused(err)
	if err != nil {
		return err
	}
	if part {
		return s.renderPart(r, "drill", "wrong", words)
	}
	return s.drillAnswer(r, status, words)
}
