package viewer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"time"

	"chartcellar/store/access"
)

// Holdings are files that are kept beside the records, as an EMR or a vendor left them.
type Holdings interface {
	Holdings(context.Context) ([]Holding, error)
	// HoldingFiles looks for files by their names, once the journal has it: a name may
	// tell of a patient.
	HoldingFiles(ctx context.Context, a Actor, name, search string) (HoldingFiles, error)
	// HoldingFile opens a file, or one inside a zip file, once the journal has it. The
	// last Read is an error if the content is not what was kept.
	HoldingFile(ctx context.Context, a Actor, name, path string) (HoldingFile, error)
}

// A Holding is what is kept under one name.
type Holding struct {
	Name, Folder string // Folder: that is watched; "": none
	Expected     string // how often something should come; "none"
	Covers       []string
	Files        int
	Bytes        int64
	Newest       time.Time // when it came
	NewestBytes  int64
	Wrong        []string // late, odd
}

// HoldingFiles are those that were found.
type HoldingFiles struct {
	List  []HoldingRow // at most 200
	All   int
	Notes []string
}

// A HoldingRow is a file in a list.
type HoldingRow struct {
	Path    string
	Bytes   int64
	Kept    time.Time
	Problem string
}

// A HoldingFile is a file that is saved. Whoever has it closes it.
type HoldingFile struct {
	io.ReadCloser
	Bytes int64 // -1: not known
}

// A holdingsPage lists what is kept.
type holdingsPage struct {
	List   []Holding
	Name   string // that was searched
	Search string
	Found  *HoldingFiles
	May    bool // look for files and save them
	Error  string
}

func (s *Server) serveHoldings(r *request) error {
	return s.holdingsAnswer(r, http.StatusOK, holdingsPage{})
}

func (s *Server) holdingsAnswer(r *request, status int, p holdingsPage) error {
	var err error
	if p.List, err = s.o.Backend.Holdings(r.Context()); err != nil {
		return err
	}
	p.May = r.can(access.SeeSensitive)
	return s.render(r, status, "holdings", "Files beside the records", p)
}

func (s *Server) doHoldingFiles(r *request) error {
	t := typed(r, "name", "search")
	found, err := s.o.Backend.HoldingFiles(r.Context(), r.actor(), t["name"], t["search"])
	p := holdingsPage{Name: t["name"], Search: t["search"]}
	if err != nil {
		var status int
		if p.Error, status, err = refused(err); err != nil {
			return err
		}
		return s.holdingsAnswer(r, status, p)
	}
	p.Found = &found
	return s.holdingsAnswer(r, http.StatusOK, p)
}

// doHoldingFile sends a file. One that is not what was kept breaks off, so that no
// browser takes it for whole.
func (s *Server) doHoldingFile(r *request) error {
	name := r.PostFormValue("path")
	f, err := s.o.Backend.HoldingFile(r.Context(), r.actor(), r.PostFormValue("name"), name)
	if err != nil {
		words, status, err := refused(err)
		if err != nil {
			return err
		}
		return s.holdingsAnswer(r, status, holdingsPage{Error: words})
	}
	defer f.Close() // read only
	h := r.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": clean(path.Base(name))}))
	if f.Bytes >= 0 {
		h.Set("Content-Length", strconv.FormatInt(f.Bytes, 10))
	}
	if _, err := io.Copy(slow(r), f); err != nil {
		s.o.Log.WarnContext(r.Context(), "file not sent whole", "request", r.id, "err", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// A slowly writes pieces that have each their own time: a large file may take long. It
// writes nothing more when the request may show no more.
type slowly struct {
	r *request
	c *http.ResponseController
}

func slow(r *request) slowly { return slowly{r, http.NewResponseController(r.w)} }

// Write implements io.Writer.
func (s slowly) Write(b []byte) (int, error) {
	if err := context.Cause(s.r.Context()); err != nil {
		return 0, err
	}
	if err := s.c.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, fmt.Errorf("give the browser time: %w", err)
	}
	return s.r.w.Write(b)
}
