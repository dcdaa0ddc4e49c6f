// Package fhirsync is the engine: it plans a run, fetches what the EMR has,
// commits it to the mirror, moves the cursors and gives the verdict.
//
// Every step it takes is durable before the next, so that a run which was killed
// is continued by the next call of Sync. It knows nothing of terminals, settings
// or schedules.
package fhirsync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"chartcellar/fhirsync/bulk"
	"chartcellar/fhirsync/rest"
	"chartcellar/fhirsync/smart"
	"chartcellar/store"
	"chartcellar/store/index"
)

// A Source is one connection to one EMR, as the engine needs it.
type Source struct {
	Name    string
	Level   string // system, patient, group
	Group   string
	Types   []string // empty: all the server names
	Overlap time.Duration
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
	// LostWait is how long no export is asked for after the reply to one was
	// lost (P46); 0: an hour.
	LostWait time.Duration
	// Poll is the first wait between polls when the server names none; 0: 10 s.
	Poll time.Duration
	// Downloads is how many files are fetched at once; 0: 2.
	Downloads int
}

// An Event is a step of a run, for whoever shows it. The names are those of
// the community's bulk export logs (P128).
type Event struct {
	Kind  string // kickoff, status, manifest, download, download_complete, stored, note
	Type  string // resource type of a file
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

// An export is one bulk job of a run.
type export struct {
	Request  bulk.Request  `json:"request"`
	State    string        `json:"state"` // planned, asking, kicked, manifest
	Asked    time.Time     `json:"asked,omitzero"`
	Job      bulk.Job      `json:"job,omitzero"`
	Manifest bulk.Manifest `json:"manifest,omitzero"`
	Dropped  []string      `json:"dropped,omitempty"` // types the server does not export
}

// A job is the durable record of what a run asked the EMR for.
type job struct {
	Run     uint32   `json:"run"`
	Full    bool     `json:"full"`
	Exports []export `json:"exports"`
	Closed  bool     `json:"closed,omitempty"` // the run is closed; jobs are to be deleted
}

// A syncer is one call of Sync.
type syncer struct {
	o      Options
	m      *store.Mirror
	run    *store.Run
	job    job
	report Report
	failed map[string]string // type -> why its cursor stays; "" stands for all
	listed map[string]int    // type -> lines of full listings
	since  map[string]int    // type -> lines of changes
}

// Sync brings the mirror up to date with one source. A run that was killed is
// continued: no second export, no finished file fetched again. The report says
// what was done; it is returned with a nil error for every verdict, also
// failed. An error means that the run is still open (the EMR or the network went
// away, the disk is full, ctx ended) and that nothing is lost.
func Sync(ctx context.Context, o Options) (*Report, error) {
	o.fill()
	s := &syncer{o: o, m: o.Mirror, failed: map[string]string{}, listed: map[string]int{}, since: map[string]int{}}
	if err := s.cleanUp(ctx); err != nil {
		return nil, err
	}
	run, err := s.m.Begin(ctx, store.RunSpec{Source: o.Source.Name, Kind: "sync"})
	if err != nil {
		return nil, err
	}
	defer run.Abort()
	s.run = run
	s.report = Report{Run: run.Number(), Source: o.Source.Name, Kind: "sync", Started: run.Started(),
		Resumed: run.Resumed()}
	if err := s.plan(ctx); err != nil {
		return nil, err
	}
	for i := range s.job.Exports {
		err := s.export(ctx, i)
		if dead(err) {
			s.fail("", "the export failed at the EMR")
			s.report.Notes = append(s.report.Notes, "The export failed at the EMR.")
			s.report.broken = true
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return s.finish(ctx)
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
	if o.LostWait == 0 {
		o.LostWait = time.Hour
	}
	if o.Poll == 0 {
		o.Poll = 10 * time.Second
	}
	if o.Downloads == 0 {
		o.Downloads = 2
	}
	if o.Source.Overlap == 0 {
		o.Source.Overlap = 10 * time.Minute
	}
}

// dead reports whether an export is over without a result.
func dead(err error) bool {
	var failed *bulk.FailedError
	return errors.Is(err, bulk.ErrJobGone) || errors.As(err, &failed) || rest.Is(err, rest.UnsafeURL)
}

func (s *syncer) fail(typ, why string) {
	if _, ok := s.failed[typ]; !ok {
		s.failed[typ] = why
	}
}

// save makes the job record durable.
func (s *syncer) save() error {
	b, err := json.Marshal(s.job)
	if err != nil {
		return fmt.Errorf("write the job record: %w", err)
	}
	return s.m.SetJob(s.o.Source.Name, b)
}

// cleanUp ends what is left of earlier runs: jobs of a closed run are deleted at
// the EMR; an open run that cannot be continued is closed as interrupted.
func (s *syncer) cleanUp(ctx context.Context) error {
	raw, err := s.m.Job(s.o.Source.Name)
	if err != nil {
		return err
	}
	known := raw != nil
	if known {
		if err := json.Unmarshal(raw, &s.job); err != nil {
			return fmt.Errorf("read the job record: %w", err)
		}
	}
	n, _, open, err := s.m.OpenRun(s.o.Source.Name)
	if err != nil {
		return err
	}
	if known && (!open || n != s.job.Run) {
		s.deleteJobs(ctx)
		if err := s.m.SetJob(s.o.Source.Name, nil); err != nil {
			return err
		}
		s.job, known = job{}, false
	}
	if open && (!known || s.o.Full && !s.job.Full) {
		return s.interrupt(ctx)
	}
	return nil
}

// interrupt closes the open run of the source: what it stored counts unless the
// guard holds it, and no cursor moves (archive.md 6).
func (s *syncer) interrupt(ctx context.Context) error {
	run, err := s.m.Begin(ctx, store.RunSpec{Source: s.o.Source.Name, Kind: "sync"})
	if err != nil {
		return err
	}
	defer run.Abort()
	s.run = run
	s.report = Report{Run: run.Number(), Source: s.o.Source.Name, Kind: "sync",
		Started: run.Started(), Resumed: true, interrupted: true,
		Notes: []string{"The run was broken off and could not be continued. What it had stored is kept."}}
	if _, err := s.finish(ctx); err != nil {
		return err
	}
	s.job, s.failed = job{}, map[string]string{}
	return nil
}

// plan decides what to ask for, unless an earlier call did: everything where no
// cursor stands, the changes elsewhere.
func (s *syncer) plan(ctx context.Context) error {
	if s.job.Run == s.run.Number() && len(s.job.Exports) > 0 {
		return nil
	}
	types, err := s.types(ctx)
	if err != nil {
		return err
	}
	cursors, err := s.cursors()
	if err != nil {
		return err
	}
	var full, changed []string
	var since time.Time
	for _, t := range types {
		c, ok := cursors[t]
		known := ok && !c.Since.IsZero()
		if s.o.Full || !known {
			full = append(full, t)
		}
		if !known {
			continue
		}
		changed = append(changed, t)
		if since.IsZero() || c.Since.Before(since) {
			since = c.Since
		}
	}
	s.job = job{Run: s.run.Number(), Full: s.o.Full}
	add := func(types []string, since time.Time) {
		if len(types) > 0 {
			s.job.Exports = append(s.job.Exports, export{State: "planned", Request: bulk.Request{
				Level: s.o.Source.Level, Group: s.o.Source.Group, Types: types, Since: since}})
		}
	}
	// Changes come first, also of a full run: a full export lists no deletions.
	add(changed, since)
	add(full, time.Time{})
	// The run stands in the archive before the EMR is asked for anything.
	if err := s.run.Start(ctx); err != nil {
		return err
	}
	return s.save()
}

// notMirrored are types that hold no record of a practice.
var notMirrored = []string{"Bundle", "CapabilityStatement", "CompartmentDefinition", "GraphDefinition",
	"ImplementationGuide", "MessageDefinition", "OperationDefinition", "OperationOutcome", "Parameters",
	"SearchParameter", "StructureDefinition", "StructureMap", "Subscription", "TerminologyCapabilities",
	"TestReport", "TestScript"}

// types returns what to ask for: what the settings or the server name, and what
// the token allows.
func (s *syncer) types(ctx context.Context) ([]string, error) {
	capability, err := s.o.Client.Capability(ctx)
	if err != nil {
		return nil, err
	}
	types := s.o.Source.Types
	if len(types) == 0 {
		types = slices.DeleteFunc(slices.Clone(capability.Types), func(t string) bool {
			return slices.Contains(notMirrored, t)
		})
	}
	if s.o.Tokens == nil {
		return types, nil
	}
	if _, err := s.o.Tokens.Token(ctx); err != nil {
		return nil, err
	}
	granted, _ := s.o.Tokens.Granted()
	return slices.DeleteFunc(slices.Clone(types), func(t string) bool {
		if smart.Allows(granted, t) {
			return false
		}
		s.fail(t, "the EMR no longer grants access to it")
		return true
	}), nil
}

// scope is what decides the content of a stream beside its type (P63).
func (s *syncer) scope() string { return s.o.Source.Level }

func (s *syncer) cursors() (map[string]index.Cursor, error) {
	list, err := s.m.Cursors(s.o.Source.Name)
	out := map[string]index.Cursor{}
	for _, c := range list {
		if c.Mode == "bulk" && c.Group == s.o.Source.Group && c.Scope == s.scope() {
			out[c.Type] = c
		}
	}
	return out, err
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
