package fhirsync

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"chartcellar/fhirsync/bulk"
	"chartcellar/store/index"
)

// A Verdict is what a run came to.
type Verdict string

// The verdicts.
const (
	Complete     Verdict = "complete"
	WithGaps     Verdict = "complete with gaps"
	HeldVerdict  Verdict = "held"
	Interrupted  Verdict = "interrupted"
	FailedRun    Verdict = "failed"
	DecisionMade Verdict = "decision" // of a run that only records a decision
)

// A Report is what a run did: the run record, and what every output shows.
type Report struct {
	Run     uint32    `json:"run"`
	Source  string    `json:"source"`
	Kind    string    `json:"kind"`
	Verdict Verdict   `json:"verdict"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Resumed bool      `json:"resumed,omitempty"`
	Full    bool      `json:"full,omitempty"` // every type was compared whole
	Types   []TypeRow `json:"types"`
	Files   int       `json:"files"`
	Bytes   int64     `json:"bytes"` // of the files, unpacked
	Wire    int64     `json:"wire"`  // over the network
	Notes   []string  `json:"notes,omitempty"`
	// Waited is how long the run slept because the export was not ready.
	Waited time.Duration `json:"waited,omitempty"`

	interrupted bool
	broken      bool // the export failed
}

// A TypeRow is what a run did with one type.
type TypeRow struct {
	Type     string `json:"type"`
	Full     bool   `json:"full"`     // compared whole, not only changes
	Manifest int    `json:"manifest"` // lines the EMR announced; -1: it did not say
	Listed   int    `json:"listed"`   // lines of the full listing, each record once
	index.Count
	Gap  string `json:"gap,omitempty"`  // why its cursor stays
	Held string `json:"held,omitempty"` // what a person must look at
}

// Judge gives the verdict: a pure function of what the report says.
func (r *Report) Judge() Verdict {
	held, gaps, good := false, false, len(r.Types) == 0
	for _, t := range r.Types {
		held = held || t.Held != ""
		gaps = gaps || t.Gap != ""
		good = good || t.Gap == ""
	}
	switch {
	case r.interrupted:
		return Interrupted
	case r.broken, !good && !held:
		return FailedRun
	case held:
		return HeldVerdict
	case gaps:
		return WithGaps
	}
	return Complete
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

// finish counts, judges, closes the run with the cursors it may move, and
// cleans up at the EMR.
func (s *syncer) finish(ctx context.Context) (*Report, error) {
	before, err := s.before()
	if err != nil {
		return nil, err
	}
	counts, err := s.run.Finish(ctx)
	if err != nil {
		return nil, err
	}
	s.table(counts)
	s.guard(before)
	s.report.Ended = s.o.Now().UTC()
	s.report.Verdict = s.report.Judge()
	if err := s.close(ctx, counts); err != nil {
		return nil, err
	}
	s.o.Events(Event{Kind: "stored"})
	s.job.Closed = true
	if err := s.save(); err != nil {
		return nil, err
	}
	s.deleteJobs(ctx)
	return &s.report, s.m.SetJob(s.o.Source.Name, nil)
}

// table makes a row for every type that was asked for or came.
func (s *syncer) table(counts index.Counts) {
	rows := map[string]*TypeRow{}
	row := func(t string) *TypeRow {
		if rows[t] == nil {
			rows[t] = &TypeRow{Type: t}
		}
		return rows[t]
	}
	for _, e := range s.job.Exports {
		for _, t := range e.Request.Types {
			row(t).Full = row(t).Full || e.Request.Since.IsZero()
		}
		for _, f := range e.Manifest.Output {
			r := row(f.Type)
			if f.Count < 0 || r.Manifest < 0 {
				r.Manifest = -1
				continue
			}
			r.Manifest += f.Count
		}
	}
	for t, c := range counts {
		row(t).Count = c
	}
	for t := range s.failed {
		if t != "" {
			row(t)
		}
	}
	s.report.Full = len(s.job.Exports) > 0
	for _, r := range rows {
		s.report.Full = s.report.Full && r.Full
		r.Listed = s.listed[r.Type] - max(0, r.Duplicates-s.since[r.Type])
		s.gapOf(r)
		s.report.Types = append(s.report.Types, *r)
	}
	slices.SortFunc(s.report.Types, func(a, b TypeRow) int {
		return bytes.Compare([]byte(a.Type), []byte(b.Type))
	})
}

// gapOf says why a type's cursor stays, if it does, and keeps the gap list.
func (s *syncer) gapOf(r *TypeRow) {
	r.Gap = s.failed[r.Type]
	if r.Gap == "" {
		r.Gap = s.failed[""]
	}
	if r.Gap == "" && r.Quarantine > 0 {
		r.Gap = fmt.Sprintf("%d lines are no resource and are kept in quarantine", r.Quarantine)
	}
	if s.report.interrupted {
		return
	}
	g := index.Gap{ID: s.o.Source.Name + "/type/" + r.Type, Kind: "type", Type: r.Type, Reason: r.Gap,
		Since: s.report.Started, Tries: 1}
	if r.Gap == "" {
		g.Closed = fmt.Sprintf("run %d", s.report.Run)
	}
	if s.openGap(&g) || r.Gap != "" {
		s.run.Gap(g)
	}
}

// openGap reports whether a gap is open already, and lets g continue it.
func (s *syncer) openGap(g *index.Gap) bool {
	list, err := s.m.Gaps(s.o.Source.Name)
	if err != nil {
		return false
	}
	for _, old := range list {
		if old.ID == g.ID {
			g.Since, g.Tries = old.Since, old.Tries+1
			return true
		}
	}
	return false
}

// close writes the closing part: cursors of types without a gap move, those of
// held types are proposed.
func (s *syncer) close(ctx context.Context, counts index.Counts) error {
	c := index.Closing{States: index.RunStates{All: index.Applied, Types: map[string]index.State{}},
		Ended: s.report.Ended, Counts: counts}
	since, full := s.newCursors()
	for _, r := range s.report.Types {
		if r.Held != "" {
			c.States.Types[r.Type] = index.Held
		}
		cursor, asked := since[r.Type]
		if !asked || r.Gap != "" || s.report.interrupted || s.report.broken {
			continue
		}
		cursor.Full = full[r.Type]
		if r.Held != "" {
			c.Proposed = append(c.Proposed, cursor)
		} else {
			c.Cursors = append(c.Cursors, cursor)
		}
	}
	record, err := json.Marshal(s.report)
	if err != nil {
		return fmt.Errorf("write the run record: %w", err)
	}
	c.Record = record
	return s.run.Close(ctx, c)
}

// newCursors are where the next run continues, by type.
func (s *syncer) newCursors() (since map[string]index.Cursor, full map[string]time.Time) {
	since, full = map[string]index.Cursor{}, map[string]time.Time{}
	old, err := s.cursors()
	if err != nil {
		old = nil // then the start of the last full listing is not known
	}
	for _, e := range s.job.Exports {
		if e.State != "manifest" {
			continue
		}
		at, note := bulk.Cursor(e.Manifest, e.Job, s.o.Source.Overlap, s.o.Client.ServerNow())
		if note != "" {
			s.report.Notes = append(s.report.Notes, note)
		}
		for _, t := range e.Request.Types {
			if c, ok := since[t]; !ok || at.Before(c.Since) {
				since[t] = index.Cursor{Source: s.o.Source.Name, Mode: "bulk", Group: s.o.Source.Group,
					Scope: s.scope(), Type: t, Since: at, Run: s.report.Run}
			}
			if full[t].IsZero() {
				full[t] = old[t].Full
			}
			if e.Request.Since.IsZero() {
				full[t] = s.report.Started
			}
		}
	}
	return since, full
}
