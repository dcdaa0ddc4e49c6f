package fhirsync

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"chartcellar/fhirsync/bulk"
	"chartcellar/store/index"
)

// maxListed bounds the gaps that a report lists; it counts them all.
const maxListed = 500

// finish counts, judges, closes the run with the cursors it may move, and
// cleans up at the EMR.
func (s *syncer) finish(ctx context.Context) (*Report, error) {
	counts, err := s.run.Counts(ctx)
	if err != nil {
		return nil, err
	}
	s.report.Types = s.rows(counts)
	s.report.Full = len(s.job.Ways) > 0
	for i := range s.report.Types {
		r := &s.report.Types[i]
		s.report.Full = s.report.Full && (r.Full || !r.Asked)
		s.typeGaps(r)
	}
	waiting, err := s.m.Waiting(s.o.Source.Name)
	if err != nil {
		return nil, err
	}
	s.guard(waiting)
	if err := s.complete(); err != nil {
		return nil, err
	}
	if err := s.close(ctx, counts); err != nil {
		return nil, err
	}
	s.o.Events(Event{Kind: "stored"})
	s.deleteJobs(ctx)
	return &s.report, s.m.SetJob(s.o.Source.Name, nil)
}

// complete fills in the rest of the report.
func (s *syncer) complete() error {
	r := &s.report
	r.Ended = s.o.Now().UTC()
	r.Offered, r.Profile = s.job.Offered, s.behaviour()
	gaps := s.openGaps()
	r.GapCount, r.Gaps = len(gaps), gaps[:min(len(gaps), maxListed)]
	r.GapKinds = map[string]int{}
	for _, g := range gaps {
		r.GapKinds[g.Kind]++
	}
	r.NotExported = s.notExported()
	var err error
	r.Evidence, err = s.evidence()
	s.explainChanges()
	r.Verdict = r.Judge()
	return err
}

// notExported lists the types that the EMR refused to export, in this run or, if
// it was not asked, before.
func (s *syncer) notExported() []string {
	var list []string
	for _, e := range s.job.Exports {
		list = append(list, e.Dropped...)
	}
	for t, w := range s.job.Ways {
		if strings.Contains(w.Why, notExported) {
			list = append(list, t)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// explainChanges says so when a vendor seems to have written everything anew, and when
// records came again that were lost here.
func (s *syncer) explainChanges() {
	again := 0
	for _, r := range s.report.Types {
		again += r.Again
	}
	if again > 0 {
		s.note("Fetched again, because what was kept of them was damaged and declared lost: %d records.", again)
	}
	for _, r := range s.report.Types {
		if r.Full && over(r.Changed, 20, s.past[r.Type].Records, 0.5) && sizeChange(r) < 0.05 {
			s.note("More than half of the records of type %s came in another form, of nearly the same length: "+
				"the EMR has probably written them anew, or gives them in another way than before. Earlier versions are kept.", r.Type)
		}
	}
}

// rows makes a row for every type that was asked for or came.
func (s *syncer) rows(counts index.Counts) []TypeRow {
	rows := map[string]*TypeRow{}
	row := func(t string) *TypeRow {
		if rows[t] == nil {
			w := s.job.Ways[t]
			rows[t] = &TypeRow{Type: t, Mode: w.Mode, Why: w.Why, Checked: Checked{Server: -1}}
		}
		return rows[t]
	}
	s.exportRows(row)
	for _, st := range s.job.Searches {
		r := row(st.Type)
		r.Asked, r.Full, r.Manifest = true, r.Full || st.Whole, -1
		r.Verified = !s.report.unverified[st.Type]
	}
	for t, c := range counts {
		row(t).Count = c
	}
	for t := range s.job.Ways {
		row(t)
	}
	s.mu.Lock()
	failed := maps.Clone(s.failed)
	s.mu.Unlock()
	for t := range failed {
		if t != "" {
			row(t)
		}
	}
	var list []TypeRow
	for _, t := range slices.Sorted(maps.Keys(rows)) {
		list = append(list, s.complement(*rows[t]))
	}
	return list
}

// exportRows notes what the exports asked for and announced.
func (s *syncer) exportRows(row func(string) *TypeRow) {
	for _, e := range s.job.Exports {
		for _, t := range e.Request.Types {
			r := row(t)
			r.Verified = e.State == "manifest" && r.Manifest >= 0 && (r.Verified || !r.Asked)
			r.Asked, r.Full = true, r.Full || e.Request.Since.IsZero()
		}
		for _, f := range e.Manifest.Output {
			r := row(f.Type)
			if f.Count < 0 || r.Manifest < 0 {
				r.Manifest, r.Verified = -1, false
				continue
			}
			r.Manifest += f.Count
		}
	}
}

// complement says what a row lacks and how it compares with the EMR's count.
func (s *syncer) complement(r TypeRow) TypeRow {
	s.mu.Lock()
	r.Listed = s.listed[r.Type] - max(0, r.Duplicates-s.since[r.Type])
	s.mu.Unlock()
	r.Accepted, r.Lacking, r.Followed = s.known[r.Type], s.report.lacking[r.Type], s.report.followed[r.Type]
	if c, ok := s.report.server[r.Type]; ok {
		r.Checked = c
	}
	f, failed := s.failure(r.Type)
	switch {
	case failed && (r.Asked || f.kind == "type" || s.job.Ways[r.Type].Mode != ""):
		r.Gap, r.GapKind = f.why, f.kind
	case s.none(r):
		r.Gap, r.GapKind = fmt.Sprintf("the EMR gave none; there were %d", s.past[r.Type].listed()), "type"
	case r.Quarantine > 0:
		r.Gap, r.GapKind = lineGap(r.Quarantine), "line"
	}
	return r
}

// none reports whether a whole listing gave nothing of a type that had records,
// and that are not all known to be removed. More than a few are a matter for the
// guard.
func (s *syncer) none(r TypeRow) bool {
	n := s.past[r.Type].listed() - r.Removed
	return r.Full && r.Asked && r.Listed == 0 && n > 0 && n <= few
}

func lineGap(n int) string {
	if n == 1 {
		return "1 line is no resource and is kept in quarantine"
	}
	return fmt.Sprintf("%d lines are no resource and are kept in quarantine", n)
}

// close writes the closing part: cursors of types without a gap move, those of
// held types are proposed.
func (s *syncer) close(ctx context.Context, counts index.Counts) error {
	c := index.Closing{States: index.RunStates{All: index.Applied, Types: map[string]index.State{}},
		Ended: s.report.Ended, Counts: counts, Verdict: string(s.report.Verdict), Absent: s.report.absent}
	cursors := s.newCursors()
	for _, r := range s.report.Types {
		if r.Held != "" {
			c.States.Types[r.Type] = index.Held
		}
		cursor, asked := cursors[r.Type]
		if !asked || r.stays() || s.report.interrupted || s.report.broken {
			continue
		}
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
	if c.Certificate, err = json.Marshal(s.report.Certificate()); err != nil {
		return fmt.Errorf("write the certificate: %w", err)
	}
	return s.run.Close(ctx, c)
}

// newCursors are where the next run continues, by type.
func (s *syncer) newCursors() map[string]index.Cursor {
	out := map[string]index.Cursor{}
	old, err := s.cursors()
	if err != nil {
		old = nil // then the start of the last whole listing is not known
	}
	for _, e := range s.job.Exports {
		if e.State == "manifest" {
			s.exportCursors(e, old["bulk"], out)
		}
	}
	for _, st := range s.job.Searches {
		mode := s.job.Ways[st.Type].Mode
		c := index.Cursor{Source: s.o.Source.Name, Mode: mode, Type: st.Type, Run: s.report.Run,
			Since: st.To.Add(-s.o.Source.Overlap), Full: old[mode][st.Type].Full}
		if st.Whole {
			c.Full = s.report.Started
		}
		out[st.Type] = c
	}
	return out
}

// exportCursors sets the cursors of the types of one export.
func (s *syncer) exportCursors(e export, old map[string]index.Cursor, out map[string]index.Cursor) {
	at, note := bulk.Cursor(e.Manifest, e.Job, s.o.Source.Overlap, s.o.Client.ServerNow())
	if note != "" {
		s.note("%s", note)
	}
	for _, t := range e.Request.Types {
		c, known := out[t]
		if !known || at.Before(c.Since) {
			c = index.Cursor{Source: s.o.Source.Name, Mode: "bulk", Group: s.o.Source.Group,
				Scope: s.o.Source.Level, Type: t, Since: at, Run: s.report.Run, Full: orElseTime(c.Full, old[t].Full)}
		}
		if e.Request.Since.IsZero() {
			c.Full = s.report.Started
		}
		out[t] = c
	}
}

func orElseTime(t, other time.Time) time.Time {
	if t.IsZero() {
		return other
	}
	return t
}
