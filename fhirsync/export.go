package fhirsync

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"chartcellar/fhirsync/bulk"
	"chartcellar/fhirsync/rest"
	"chartcellar/store"
)

// An export is one bulk job of a run.
type export struct {
	Request  bulk.Request  `json:"request"`
	State    string        `json:"state"` // planned, asking, kicked, manifest
	Asked    time.Time     `json:"asked,omitzero"`
	Job      bulk.Job      `json:"job,omitzero"`
	Manifest bulk.Manifest `json:"manifest,omitzero"`
	Dropped  []string      `json:"dropped,omitempty"` // types the server does not export
}

// export carries one bulk job through its durable states: planned, asking,
// kicked, manifest; each can be entered again after kill -9.
func (s *syncer) export(ctx context.Context, i int) error {
	e := &s.job.Exports[i]
	if e.State == "planned" || e.State == "asking" {
		if err := s.kickOff(ctx, e); err != nil {
			return err
		}
	}
	if e.State == "kicked" {
		if err := s.poll(ctx, e); err != nil {
			return err
		}
	}
	return s.fetch(ctx, i)
}

// kickOff asks for the export. That it is about to ask is made durable first: if
// the reply is lost a job may run at the EMR, and asking again at once would
// start a second (P46, F21).
func (s *syncer) kickOff(ctx context.Context, e *export) error {
	if e.State == "asking" {
		again := e.Asked.Add(s.o.LostWait)
		if s.o.Now().Before(again) {
			return &NotYet{again, "the reply to the export request was lost and the EMR may be at work on it"}
		}
	}
	for {
		e.State, e.Asked = "asking", s.o.Now().UTC()
		if err := s.save(); err != nil {
			return err
		}
		j, err := bulk.KickOff(ctx, s.o.Client, e.Request)
		var unsupported *bulk.UnsupportedError
		var busy *bulk.BusyError
		switch {
		case err == nil:
			e.State, e.Job = "kicked", j
			s.o.Events(Event{Kind: "kickoff"})
			return s.save()
		case errors.As(err, &unsupported):
			e.Dropped = append(e.Dropped, unsupported.Types...)
			e.Request.Types = slices.DeleteFunc(e.Request.Types, func(t string) bool {
				return slices.Contains(unsupported.Types, t)
			})
			if len(e.Request.Types) == 0 { // nothing is left to ask for
				e.State = "manifest"
				return s.save()
			}
		case errors.Is(err, bulk.ErrPostOnly):
			e.Request.Post = true
		case errors.As(err, &busy):
			return s.notAsked(e, &NotYet{later(s.o.Now(), busy.RetryAt, 15*time.Minute), busy.Error()})
		case errors.Is(err, bulk.ErrLost), errors.Is(err, bulk.ErrNoLocation), ctx.Err() != nil:
			return err // the state stays asking
		default:
			return s.notAsked(e, err)
		}
	}
}

// notAsked notes that the EMR took no export.
func (s *syncer) notAsked(e *export, cause error) error {
	e.State = "planned"
	return errors.Join(cause, s.save())
}

func later(now, at time.Time, other time.Duration) time.Time {
	if at.After(now) {
		return at
	}
	return now.Add(other)
}

// patience is how long failing polls go on before the run is left for later
// (P59).
const patience = 2 * time.Hour

// poll waits for the export; never sooner than the EMR asked (P57, P58).
func (s *syncer) poll(ctx context.Context, e *export) error {
	wait := s.o.Poll
	trouble := time.Time{}
	for {
		st, err := bulk.Poll(ctx, s.o.Client, e.Job, s.o.Client.ServerNow())
		switch {
		case dead(err), ctx.Err() != nil, rest.Is(err, rest.SignIn, rest.Certificate, rest.Token):
			return err
		case err != nil && rest.Is(err, rest.NotFHIR):
			return err
		case err != nil:
			if trouble.IsZero() {
				trouble = s.o.Now()
			}
			if s.o.Now().Sub(trouble) > patience {
				return err
			}
			s.o.Events(Event{Kind: "status", Text: "the EMR does not answer; waiting"})
		case st.Done:
			e.State, e.Manifest = "manifest", st.Manifest
			s.announce(e)
			return s.save()
		default:
			trouble = time.Time{}
			s.o.Events(Event{Kind: "status", Text: st.Progress})
		}
		next := wait
		if st.Wait > 0 {
			next = st.Wait
		} else {
			wait = min(2*wait, 10*time.Minute)
		}
		begun := s.o.Now()
		err = sleep(ctx, next)
		s.report.Waited += s.o.Now().Sub(begun)
		if err != nil {
			return err
		}
	}
}

func (s *syncer) announce(e *export) {
	n := 0
	for _, f := range e.Manifest.Output {
		n += max(0, f.Count)
	}
	s.o.Events(Event{Kind: "manifest", Files: len(e.Manifest.Output), Count: n})
}

// A fileState is how far a file is, durable with the lines it covers.
type fileState struct {
	bulk.Prefix
	Done   bool   `json:"done,omitempty"`
	Failed string `json:"failed,omitempty"` // why it could not be read to its end
	Wire   int64  `json:"wire,omitempty"`
}

func fileName(export, file int) string { return fmt.Sprintf("file/%d/%d", export, file) }

// fetch brings the files of a manifest in, some at once, then the deletions.
func (s *syncer) fetch(ctx context.Context, i int) error {
	e := &s.job.Exports[i]
	refs, err := s.deletions(ctx, e)
	if err != nil {
		return err
	}
	if err := s.issues(ctx, e); err != nil {
		return err
	}
	f := &fetcher{s: s, e: e, export: i, bufs: make(chan []byte, 16)}
	g, gctx := errgroup.WithContext(ctx)
	files := make(chan int)
	g.Go(func() error {
		defer close(files)
		for n := range e.Manifest.Output {
			select {
			case files <- n:
			case <-gctx.Done():
				return gctx.Err()
			}
		}
		return nil
	})
	for range s.o.Downloads {
		g.Go(func() error {
			for n := range files {
				if err := f.file(gctx, n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := s.buryAll(ctx, refs, "bulk-deleted"); err != nil {
		return err
	}
	return s.run.Flush(ctx)
}

// A fetcher brings the output files of one export in. Its methods may be called
// from several goroutines.
type fetcher struct {
	s      *syncer
	e      *export
	export int
	bufs   chan []byte

	// mu covers the manifest's links and the report.
	mu        sync.Mutex
	refreshed int
}

// output returns a file of the manifest: its link may be renewed meanwhile.
func (f *fetcher) output(n int) bulk.File {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.e.Manifest.Output[n]
}

// tries is how often a file that ends badly is fetched in one run.
const tries = 3

// file brings one file in, from where an earlier call stopped.
func (f *fetcher) file(ctx context.Context, n int) error {
	state, err := f.s.fileState(f.export, n)
	if err != nil || state.Done {
		if err == nil {
			f.account(n, state)
		}
		return err
	}
	for try := 1; ; try++ {
		state, err = f.read(ctx, n, state)
		switch {
		case err == nil && f.short(n, state) && try < tries:
			state.Prefix = bulk.Prefix{}
			continue
		case err == nil:
			return f.end(ctx, n, state)
		case ctx.Err() != nil || full(err):
			return err
		case errors.Is(err, bulk.ErrChanged):
			state.Prefix = bulk.Prefix{}
		case errors.Is(err, bulk.ErrLinkExpired):
			if err := f.refresh(ctx); err != nil {
				return err
			}
		}
		if try == tries {
			state.Failed = reason(err)
			return f.end(ctx, n, state)
		}
	}
}

// ofFiles are what can be wrong with a file of an export.
var ofFiles = []error{bulk.ErrCut, bulk.ErrDamaged, bulk.ErrBomb, bulk.ErrChanged, bulk.ErrLinkExpired}

// full reports whether an error is the mirror's and not the EMR's.
func full(err error) bool {
	var fromEMR *rest.Error
	for _, known := range ofFiles {
		if errors.Is(err, known) {
			return false
		}
	}
	return !errors.As(err, &fromEMR)
}

func reason(err error) string {
	for _, known := range ofFiles {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return err.Error()
}

func (s *syncer) fileState(export, n int) (fileState, error) {
	var state fileState
	err := s.progressOf(fileName(export, n), &state)
	return state, err
}

// read reads a file from where state says and hands it to the mirror.
func (f *fetcher) read(ctx context.Context, n int, state fileState) (fileState, error) {
	file := f.output(n)
	l, err := bulk.Open(ctx, f.s.o.Client, file, f.e.Manifest.Token)
	if err != nil {
		return state, err
	}
	defer l.Close() // read only
	if state.Bytes > 0 {
		if err := l.Skip(ctx, state.Prefix); err != nil {
			return state, err
		}
	}
	for {
		c, err := l.Next(f.buffer())
		if c.Count > 0 {
			state.Prefix = l.Done()
			if aerr := f.add(ctx, n, c, state); aerr != nil {
				return state, aerr
			}
			f.s.o.Events(Event{Kind: "download", Type: file.Type, File: n, Count: state.Lines, Bytes: state.Bytes})
		} else {
			f.free(c.Lines)
		}
		if err == io.EOF {
			return f.judge(n, l, state), nil
		}
		if err != nil {
			return state, err
		}
	}
}

func (f *fetcher) add(ctx context.Context, n int, c bulk.Chunk, state fileState) error {
	progress, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("note the progress of a file: %w", err)
	}
	buf := c.Lines
	return f.s.run.Add(ctx, store.Chunk{Lines: buf, Type: f.output(n).Type, Release: func() { f.free(buf) },
		File: fileName(f.export, n), Offset: c.Offset, Name: fileName(f.export, n), Progress: progress,
		Listing: f.e.Request.Since.IsZero() && len(f.s.past) > 0})
}

func (f *fetcher) buffer() []byte {
	select {
	case b := <-f.bufs:
		return b
	default:
		return make([]byte, 0, 320<<10)
	}
}

func (f *fetcher) free(b []byte) {
	if cap(b) > 1<<20 {
		return
	}
	select {
	case f.bufs <- b[:0]:
	default:
	}
}

// judge says whether the end of a file can be believed (P70).
func (f *fetcher) judge(n int, l *bulk.Lines, state fileState) fileState {
	file := f.output(n)
	state.Wire = l.Wire()
	switch {
	case l.TooLong() > 0:
		state.Failed = fmt.Sprintf("%d lines are longer than %d MB", l.TooLong(), bulk.MaxLine>>20)
	case file.Count < 0 && !l.Framed():
		state.Failed = "whether the file is whole cannot be told: no count and no length"
	}
	return state
}

// short reports whether a file has fewer lines than the manifest says.
func (f *fetcher) short(n int, state fileState) bool {
	return state.Lines < f.output(n).Count
}

// end makes it durable that a file is done, or that it could not be read.
func (f *fetcher) end(ctx context.Context, n int, state fileState) error {
	if f.short(n, state) && state.Failed == "" {
		state.Failed = fmt.Sprintf("it has %d lines, the EMR announced %d", state.Lines, f.output(n).Count)
	}
	state.Done = true
	progress, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("note the end of a file: %w", err)
	}
	end := store.Chunk{Name: fileName(f.export, n), Progress: progress, Boundary: time.Second}
	if err := f.s.run.Add(ctx, end); err != nil {
		return err
	}
	f.account(n, state)
	return nil
}

// account adds a finished file to the report.
func (f *fetcher) account(n int, state fileState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	file := f.e.Manifest.Output[n]
	f.s.report.Files++
	f.s.report.Bytes += state.Bytes
	f.s.report.Wire += state.Wire
	f.s.mu.Lock()
	if f.e.Request.Since.IsZero() {
		f.s.listed[file.Type] += state.Lines
	} else {
		f.s.since[file.Type] += state.Lines
	}
	f.s.mu.Unlock()
	if state.Failed != "" {
		f.s.fail(file.Type, "file", "a file could not be read: "+state.Failed)
	}
	f.s.o.Events(Event{Kind: "download_complete", Type: file.Type, File: n, Count: state.Lines, Bytes: state.Bytes})
}

// refresh reads the manifest again for fresh links (P76).
func (f *fetcher) refresh(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refreshed >= 2*tries {
		return nil
	}
	f.refreshed++
	st, err := bulk.Poll(ctx, f.s.o.Client, f.e.Job, f.s.o.Client.ServerNow())
	if err != nil || !st.Done || len(st.Manifest.Output) != len(f.e.Manifest.Output) {
		if dead(err) {
			return err
		}
		return nil // the links stay as they are, and the file is tried again
	}
	for i := range f.e.Manifest.Output {
		f.e.Manifest.Output[i].URL = st.Manifest.Output[i].URL
	}
	return f.s.save()
}

// lines reads a small file of a manifest whole.
func (s *syncer) lines(ctx context.Context, e *export, file bulk.File, fn func(line []byte) error) error {
	l, err := bulk.Open(ctx, s.o.Client, file, e.Manifest.Token)
	if err != nil {
		return err
	}
	defer l.Close() // read only
	var buf []byte
	for {
		c, err := l.Next(buf)
		for line := range linesOf(c.Lines) {
			if err := fn(line); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		buf = c.Lines
	}
}

// linesOf gives the lines of a chunk without their newlines.
func linesOf(chunk []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(chunk) > 0 {
			line, rest, _ := bytes.Cut(chunk, []byte{'\n'})
			if !yield(line) {
				return
			}
			chunk = rest
		}
	}
}

// issues reads the error files: a type that an error names, or all if it names
// none, keeps its cursor (P74).
func (s *syncer) issues(ctx context.Context, e *export) error {
	for _, file := range e.Manifest.Errors {
		err := s.lines(ctx, e, file, func(line []byte) error {
			issue, err := bulk.ParseIssue(line, e.Request.Types)
			if err != nil {
				s.note("A line of the EMR's error list could not be read.")
				s.fail("", "file", "the EMR's error list could not be read")
				return nil
			}
			if !issue.Failed {
				return nil
			}
			types := issue.Types
			if len(types) == 0 {
				types = []string{""}
			}
			for _, t := range types {
				s.fail(t, "type", "the EMR reported an error in its export; its words: chartcellar evidence FILE --words")
				s.o.Evidence.add(Proof{At: s.o.Now(), Kind: "broken", Class: "error list", Type: t, Times: 1, Words: issue.Text})
			}
			return nil
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			s.fail("", "file", "the EMR's error list could not be read")
		}
	}
	return nil
}

// deletions reads the deleted files and watches for their records in the output.
func (s *syncer) deletions(ctx context.Context, e *export) ([]bulk.Ref, error) {
	var refs []bulk.Ref
	for _, file := range e.Manifest.Deleted {
		err := s.lines(ctx, e, file, func(line []byte) error {
			found, ignored, err := bulk.ParseDeleted(line)
			if err != nil || ignored > 0 {
				s.note("A line of the EMR's deleted list could not be used.")
			}
			refs = append(refs, found...)
			return nil
		})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			s.fail("", "file", "the EMR's deleted list could not be read")
		}
	}
	for _, r := range refs {
		s.run.Watch(r.Type, r.ID)
	}
	return refs, nil
}

// deleteJobs tells the EMR that its files are no longer needed. What goes wrong
// is a note: the EMR removes them by itself some day.
func (s *syncer) deleteJobs(ctx context.Context) {
	for _, e := range s.job.Exports {
		if e.Job.StatusURL == "" {
			continue
		}
		if err := bulk.Delete(ctx, s.o.Client, e.Job); err != nil {
			s.o.Log.WarnContext(ctx, "export not deleted at the EMR", "cause", err.Error())
		}
	}
}
