// Package fhirsync is the engine: it plans a run, fetches what the EMR has,
// commits it to the mirror, moves the cursors and gives the verdict.
//
// Every step it takes is durable before the next, so that a run which was killed
// is continued by the next call of Sync. It knows nothing of terminals, settings
// or schedules.
package fhirsync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"chartcellar/fhirsync/bulk"
	"chartcellar/fhirsync/rest"
	"chartcellar/fhirsync/smart"
	"chartcellar/store"
)

// A Source is one connection to one EMR, as the engine needs it.
type Source struct {
	Name    string
	Level   string // of exports: system, patient, group
	Group   string
	Types   []string // empty: all the server names
	Overlap time.Duration
	Mode    string // how types are fetched: auto (also ""), bulk, search
	// Canary is the id of a patient who must be in every whole listing of
	// patients; one without him is held. "": none was chosen.
	Canary string
}

// Options are what a run needs.
type Options struct {
	Source Source
	Client *rest.Client
	Tokens *smart.Source // for what was granted; nil: not asked
	Mirror *store.Mirror
	Full   bool // compare everything, also where a cursor stands
	Now    func() time.Time
	Log    *slog.Logger
	Events func(Event) // called by several goroutines; nil: nobody listens
	// Evidence collects what the client was refused; nil: a new one, which then
	// hears nothing of the transport.
	Evidence *Evidence
	// LostWait is how long no export is asked for after the reply to one was
	// lost (P46); 0: an hour.
	LostWait time.Duration
	// Poll is the first wait between polls when the server names none; 0: 10 s.
	Poll time.Duration
	// Downloads is how many files are fetched at once; 0: 2.
	Downloads int
	// InFlight is how many search requests are under way at once; 0: 2.
	InFlight int
	// Margin is how long before the server's time a window of a search ends (P83);
	// 0: a minute.
	Margin time.Duration
	// Confirm is after what time a record that is missing at the EMR a second time
	// counts as removed (P84); 0: 24 hours.
	Confirm time.Duration
	// MaxAttachment is the largest attachment that is fetched without being asked
	// about, in bytes; 0: 200 MiB.
	MaxAttachment int64
}

// An Event is a step of a run, for whoever shows it. The names are those of
// the community's bulk export logs (P128).
type Event struct {
	Kind  string // kickoff, status, manifest, download, download_complete, page, attachment, stored, note
	Type  string // resource type of a file or page
	File  int    // of a download: which, from 0
	Files int    // of a manifest: how many
	Count int    // lines: of the file so far, or of all files as the manifest says
	Bytes int64  // of the file so far
	Text  string // for status and note: words
}

// NotYet says that a run cannot go on before a time: the server asked to wait.
type NotYet struct {
	At  time.Time
	Why string
}

// Error implements error.
func (e *NotYet) Error() string {
	return fmt.Sprintf("%s; the run goes on after %s", e.Why, e.At.Format("2006-01-02 15:04"))
}

// A syncer is one call of Sync.
type syncer struct {
	o    Options
	m    *store.Mirror
	run  *store.Run
	job  job
	past map[string]Past // by type: what was there before the run
	gaps map[string]gap  // open gaps of the source, by id

	// mu covers what follows: several goroutines fetch.
	mu      sync.Mutex
	report  Report
	failed  map[string]failure // type -> why its cursor stays; "" stands for all
	listed  map[string]int     // type -> records of whole listings
	since   map[string]int     // type -> lines of changes
	known   map[string]int     // type -> removals that a person has accepted before
	profile Profile
}

// A failure is why a type is not as it should be.
type failure struct {
	kind string // of the gap: type, file, page, line
	why  string
}

// Sync brings the mirror up to date with one source. A run that was killed is
// continued: no second export, no finished file or page fetched again. The report
// says what was done; it is returned with a nil error for every verdict, also
// failed. An error means that the run is still open (the EMR or the network went
// away, the disk is full, ctx ended) and that nothing is lost.
func Sync(ctx context.Context, o Options) (*Report, error) {
	o.fill()
	s := &syncer{o: o, m: o.Mirror}
	s.clear()
	if err := s.cleanUp(ctx); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.run.Abort()
	r, err := s.sync(ctx)
	if err != nil {
		s.keep()
	}
	if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = errors.Join(ctx.Err(), err) // whatever it looks like, this is the cause
	}
	return r, err
}

// clear forgets what belongs to one run.
func (s *syncer) clear() {
	s.failed, s.listed, s.since = map[string]failure{}, map[string]int{}, map[string]int{}
	s.known, s.job = map[string]int{}, job{}
}

// begin starts or continues the run and reads what was there before.
func (s *syncer) begin(ctx context.Context) error {
	var err error
	if s.past, err = s.before(); err != nil {
		return err
	}
	if err := s.loadGaps(); err != nil {
		return err
	}
	s.run, err = s.m.Begin(ctx, store.RunSpec{Source: s.o.Source.Name, Kind: "sync",
		Base: s.o.Client.Base(), References: true})
	if err != nil {
		return err
	}
	s.report = Report{Run: s.run.Number(), Source: s.o.Source.Name, Kind: "sync", Started: s.run.Started(),
		Resumed: s.run.Resumed(), unverified: map[string]bool{}}
	return nil
}

func (s *syncer) sync(ctx context.Context) (*Report, error) {
	if err := s.plan(ctx); err != nil {
		return nil, err
	}
	for i := range s.job.Exports {
		err := s.export(ctx, i)
		if dead(err) {
			s.fail("", "type", "the export failed at the EMR")
			s.note("The export failed at the EMR.")
			s.report.broken = true
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	if err := s.searches(ctx); err != nil {
		return nil, err
	}
	if err := s.followUp(ctx); err != nil {
		return nil, err
	}
	return s.finish(ctx)
}

// followUp fetches what the records that came name, and asks for what no longer
// came.
func (s *syncer) followUp(ctx context.Context) error {
	if err := s.run.Settle(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{s.references, s.attachments, s.absences, s.counts} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// keep makes durable what was added before the run was broken off, so that it is
// not fetched again. It is an attempt: what it cannot keep is fetched again.
func (s *syncer) keep() {
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	err := s.keepAll(ctx)
	if err != nil {
		s.o.Log.WarnContext(ctx, "the end of a broken run was not kept", "cause", err.Error())
	}
}

func (s *syncer) keepAll(ctx context.Context) error {
	if !s.job.Planned { // the run has not begun: there is only what was refused
		s.job.Evidence = s.o.Evidence.take()
		if len(s.job.Evidence) == 0 {
			return nil
		}
		return s.save()
	}
	if err := s.saveEvidence(ctx); err != nil {
		return err
	}
	return s.run.Flush(ctx)
}

func (o *Options) fill() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Events == nil {
		o.Events = func(Event) {}
	}
	if o.Evidence == nil {
		o.Evidence = &Evidence{}
	}
	o.LostWait, o.Poll = orElse(o.LostWait, time.Hour), orElse(o.Poll, 10*time.Second)
	o.Margin, o.Confirm = orElse(o.Margin, time.Minute), orElse(o.Confirm, 24*time.Hour)
	o.Downloads, o.InFlight = orElse(o.Downloads, 2), orElse(o.InFlight, 2)
	o.MaxAttachment = orElse(o.MaxAttachment, 200<<20)
	o.Source.Overlap = orElse(o.Source.Overlap, 10*time.Minute)
	o.Source.Mode = orElse(o.Source.Mode, "auto")
}

func orElse[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

// dead reports whether an export is over without a result.
func dead(err error) bool {
	var failed *bulk.FailedError
	return errors.Is(err, bulk.ErrJobGone) || errors.As(err, &failed) || rest.Is(err, rest.UnsafeURL)
}

// fail notes why the cursor of a type stays (of all types for ""); the first
// reason counts.
func (s *syncer) fail(typ, kind, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.failed[typ]; !ok {
		s.failed[typ] = failure{kind, why}
	}
}

// failure returns why a type failed.
func (s *syncer) failure(typ string) (failure, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.failed[typ]
	if !ok {
		f, ok = s.failed[""]
	}
	return f, ok
}

func (s *syncer) note(format string, a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Notes = append(s.report.Notes, fmt.Sprintf(format, a...))
}

// sleep waits, or returns early when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
