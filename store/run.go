package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"chartcellar/store/archive"
	"chartcellar/store/index"
	"chartcellar/store/journal"
)

// A Run brings records in. It writes parts one after the other; each becomes
// durable with the progress that belongs to it. One Run is open at a time. Add
// may be called from several goroutines, which then have to keep the order of
// their own chunks; everything else is called by one, with no Add under way.
type Run struct {
	m       *Mirror
	n       uint32
	spec    RunSpec
	state   index.RunState
	resumed bool
	pipe    *pipe
	start   *index.RunState // until it stands in a part
	over    bool
	ending  bool // it holds the mirror's ending

	gapMu sync.Mutex // covers gaps: the writer takes them while others come
	gaps  []index.Gap

	shown    []uint64 // room for seenKeys
	recalled bool     // what it stored before it was continued was looked at
}

// A RunSpec says what a run is.
type RunSpec struct {
	Source string
	Kind   string // sync, decision, journal, repair, ...
	// Base is the source's FHIR address; a reference that begins with it is one
	// to a record of the source.
	Base string
	// References asks for Unresolved at the end.
	References bool
}

// OpenRun returns the run of a source that was started and never closed; ok is
// false if there is none.
func (m *Mirror) OpenRun(source string) (n uint32, r index.RunState, ok bool, err error) {
	err = m.index.EachRun(func(k uint32, s index.RunState) error {
		if s.Source == source && s.Ended.IsZero() {
			n, r, ok = k, s, true
		}
		return nil
	})
	return n, r, ok, err
}

// Begin starts a run, or continues the one of this source that was never
// closed. A mirror has one at a time: while another goes on the error wraps ErrBusy, but
// one that is being closed is waited for.
func (m *Mirror) Begin(ctx context.Context, spec RunSpec) (*Run, error) {
	if m.ReadOnly() {
		return nil, ErrReadOnly
	}
	if err := m.CheckSpace(); err != nil {
		return nil, err
	}
	if err := m.takeTurn(); err != nil {
		return nil, err
	}
	r, err := m.begin(ctx, spec)
	if err != nil {
		m.runMu.Unlock()
	}
	return r, err
}

// takeTurn takes runMu. One that ends just now, as everybody can see who looks at the
// runs, is waited for; while another goes on the error is a *BusyError.
func (m *Mirror) takeTurn() error {
	for !m.runMu.TryLock() {
		if m.ending.TryLock() {
			m.ending.Unlock()
			if m.runMu.TryLock() { // it ended just before
				return nil
			}
			return &BusyError{Holder{Doing: "another run"}}
		}
		m.ended()
	}
	return nil
}

// ended returns once no run is being closed.
func (m *Mirror) ended() {
	m.ending.Lock()
	defer m.ending.Unlock()
}

func (m *Mirror) begin(ctx context.Context, spec RunSpec) (*Run, error) {
	r := &Run{m: m, spec: spec}
	n, state, open, err := m.OpenRun(spec.Source)
	if err != nil {
		return nil, err
	}
	if open && state.Kind == spec.Kind {
		r.n, r.state, r.resumed = n, state, true
	} else {
		r.n, err = m.nextRun()
		if err != nil {
			return nil, err
		}
		r.state = index.RunState{Source: spec.Source, Kind: spec.Kind,
			Started: m.now().UTC(), States: index.RunStates{All: index.Underway}}
		r.start = &r.state
	}
	r.pipe, err = newPipe(context.WithoutCancel(ctx), r)
	return r, err
}

func (m *Mirror) nextRun() (uint32, error) {
	if runs := m.index.Runs(); len(runs) > 0 {
		return runs[0].Number + 1, nil
	}
	return 1, nil
}

// Number returns the run's number: it keeps it over restarts.
func (r *Run) Number() uint32 { return r.n }

// Resumed reports whether the run was started before by another process.
func (r *Run) Resumed() bool { return r.resumed }

// Started returns when the run first began, by this computer's clock.
func (r *Run) Started() time.Time { return r.state.Started }

// Progress returns what was recorded durably under a name in this run; nil if
// nothing was.
func (r *Run) Progress(name string) (json.RawMessage, error) {
	return r.m.index.Progress(r.n, name)
}

// A Chunk is some whole lines of one file or page.
type Chunk struct {
	// Lines are resources, one a line, each ending in '\n'. Add keeps them until
	// Release is called, if it is set; it does not change them.
	Lines   []byte
	Release func()
	// Type is the resource type the source announced: what counts for a line
	// that is no resource.
	Type string
	// File and Offset say where the first line stands at the source: for lines
	// that are no resource.
	File   string
	Offset int64
	// Name and Progress are made durable together with the last line, and not
	// before. Name "" records nothing.
	Name     string
	Progress json.RawMessage
	// Boundary says that the part may end behind this chunk if it has been open for
	// so long; 0: it need not.
	Boundary time.Duration
	// Listing says that the lines belong to a whole listing of their types: Absent
	// then tells which records it lacked.
	Listing bool

	ours []oursLine // instead of lines
	tomb *Tombstone // instead of lines
	made []byte     // the tombstone's line
}

// Add takes a chunk. It returns before the lines are durable; Flush waits for
// that. The order of chunks is kept. After an error nothing more is taken and
// Abort must be called.
func (r *Run) Add(ctx context.Context, c Chunk) error { return r.pipe.add(ctx, c) }

// A Tombstone says that the source no longer has a record.
type Tombstone struct {
	Type, ID string
	Kind     string // deleted, missing
	Detector string // what found it, such as bulk-deleted
}

// Tombstone records that the source no longer has a record. A record that the
// mirror never held, or holds as removed already, is passed over.
func (r *Run) Tombstone(ctx context.Context, t Tombstone) error {
	return r.pipe.add(ctx, Chunk{tomb: &t})
}

// Watch asks to be told by Seen whether a record stands among the lines that
// are added from now on.
func (r *Run) Watch(typ, id string) { r.pipe.watch(typ, id) }

// Seen reports whether a watched record was added, or a new version of it was
// stored earlier in this run. Flush comes before it.
func (r *Run) Seen(typ, id string) bool {
	k := r.m.index.Hasher(r.state.Source).Key([]byte(typ), []byte(id))
	if r.pipe.seen(k) {
		return true
	}
	stored := false
	err := r.m.index.Newest([]index.Key{k}, true, func(_ int, e index.Entry, found bool) error {
		stored = found && e.Run == r.n && e.Flags&index.Tombstone == 0
		return nil
	})
	return err == nil && stored
}

// Start makes it durable that the run began, before anything was added.
func (r *Run) Start(ctx context.Context) error {
	if err := r.Note(ctx, "started", json.RawMessage("true")); err != nil {
		return err
	}
	return r.Flush(ctx)
}

// Note records progress that comes with no lines.
func (r *Run) Note(ctx context.Context, name string, progress json.RawMessage) error {
	return r.pipe.add(ctx, Chunk{Name: name, Progress: progress})
}

// Gap opens, renews or, with Closed set, closes a gap; durable with the next
// part. It may be called by several goroutines, also while parts are written.
func (r *Run) Gap(g index.Gap) {
	g.Source = r.state.Source
	r.gapMu.Lock()
	defer r.gapMu.Unlock()
	r.gaps = append(r.gaps, g)
}

// Flush waits until everything that was added is durable.
func (r *Run) Flush(ctx context.Context) error { return r.pipe.flush(ctx, nil) }

// Counts makes everything that was added durable and returns what the run did so
// far, by resource type.
func (r *Run) Counts(ctx context.Context) (index.Counts, error) {
	if err := r.pipe.flush(ctx, nil); err != nil {
		return nil, err
	}
	state, _, err := r.m.index.Run(r.n)
	if err != nil {
		return nil, err
	}
	counts := index.Counts{}
	counts.Add(state.Counts)
	counts.Add(r.pipe.loose())
	twice, err := r.m.index.Twice(ctx)
	for typ, n := range twice {
		c := counts[index.TypeName(typ)]
		c.New -= n
		c.Duplicates += n
		counts[index.TypeName(typ)] = c
	}
	return counts, err
}

// A Closing ends a run: what counts, which cursors move, and the report.
type Closing = index.Closing

// Close writes the closing part: from then on the run counts as its states say,
// and its cursors have moved. When Close returns nil the index is merged, the
// checkpoint is signed, and another run may begin.
func (r *Run) Close(ctx context.Context, c Closing) error {
	err := r.close(ctx, c)
	if err == nil {
		r.end()
	}
	return err
}

// close is Close, but no other run may begin yet: what follows the closing part is done
// before somebody writes the next one.
func (r *Run) close(ctx context.Context, c Closing) (err error) {
	if c.Ended.IsZero() {
		c.Ended = r.m.now().UTC()
	}
	r.m.ending.Lock()
	r.ending = true
	defer func() {
		if err != nil { // it is not ending: who wants to begin is told so
			r.ending = false
			r.m.ending.Unlock()
		}
	}()
	pack, err := r.m.journal.Pack()
	if err != nil {
		return err
	}
	if err := r.pipe.flush(ctx, &closing{Closing: c, pack: pack}); err != nil {
		return err
	}
	r.pipe.stop()
	b, err := json.Marshal(packed{pack.Seq, pack.Prev})
	if err != nil {
		return err
	}
	if err := r.m.index.SetMeta("journal", b); err != nil {
		return err
	}
	if err := r.m.journal.Forget(pack.Segments); err != nil {
		return err
	}
	return r.m.settle(ctx)
}

// Abort stops the run without closing it: what was committed stays, and the
// next Begin of the source continues it. It may be called after Close.
func (r *Run) Abort() { r.end() }

func (r *Run) end() {
	if r.over {
		return
	}
	r.over = true
	r.pipe.stop()
	r.m.runMu.Unlock()
	if r.ending {
		r.m.ending.Unlock()
	}
}

// journalFrame makes the frame of packed journal lines.
func journalFrame(pack journal.Pack) ([]byte, error) {
	var b []byte
	for _, raw := range pack.Lines {
		line, err := journal.AuditEvent(raw)
		if err != nil {
			return nil, err
		}
		b = append(append(b, line...), '\n')
	}
	return b, nil
}

// Decide accepts or rejects held types of runs of one source. It is one run of its
// own, so that the decision stands in the archive: all of it counts, or, on an
// error, nothing. Durable when it returns nil.
func (m *Mirror) Decide(ctx context.Context, list ...index.Decision) error {
	list = slices.Clone(list)
	for i := range list {
		list[i].At = m.now().UTC()
	}
	source, err := m.decidable(list)
	if err != nil {
		return err
	}
	r, err := m.Begin(ctx, RunSpec{Source: source, Kind: "decision"})
	if err != nil {
		return err
	}
	defer r.Abort()
	if _, err := m.decidable(list); err != nil { // somebody may have been faster
		return err
	}
	r.pipe.decide = list
	record, err := json.Marshal(map[string]any{"verdict": "complete", "decisions": list})
	if err != nil {
		return err
	}
	return r.Close(ctx, Closing{States: index.RunStates{All: index.Applied}, Record: record})
}

// decidable returns the source of runs that all hold what is to be decided on; else the
// error wraps ErrNotFound.
func (m *Mirror) decidable(list []index.Decision) (source string, err error) {
	if len(list) == 0 {
		return "", fmt.Errorf("nothing was decided: %w", ErrNotFound)
	}
	for i, d := range list {
		state, ok, err := m.index.Run(d.Run)
		if err != nil {
			return "", err
		}
		if !ok || state.States.Types[d.Type] != index.Held || i > 0 && state.Source != source {
			return "", fmt.Errorf("run %d holds no %s: %w", d.Run, d.Type, ErrNotFound)
		}
		source = state.Source
	}
	return source, nil
}

// RunRecord returns the record of a run as the layer above wrote it; nil if it has
// none yet.
func (m *Mirror) RunRecord(run uint32) (json.RawMessage, error) {
	r, _, err := m.index.Run(run)
	return r.Record, err
}

// Record writes a run that brings no records, such as a verification, with what it
// found; durable when it returns nil. It fails with ErrBusy while another run goes
// on.
func (m *Mirror) Record(ctx context.Context, spec RunSpec, verdict string, record any) (uint32, error) {
	raw, err := json.Marshal(record)
	if err != nil {
		return 0, fmt.Errorf("write the record of a run: %w", err)
	}
	r, err := m.Begin(ctx, spec)
	if err != nil {
		return 0, err
	}
	defer r.Abort()
	return r.Number(), r.Close(ctx, Closing{States: index.RunStates{All: index.Applied}, Verdict: verdict, Record: raw})
}

// Runs returns all runs, newest first, without their records. The list and what it holds
// must not be modified.
func (m *Mirror) Runs() ([]RunInfo, error) { return m.index.Runs(), nil }

// Waiting returns, by type, the newest run of a source that holds changes which
// still wait for a decision.
func (m *Mirror) Waiting(source string) (map[string]uint32, error) {
	own := m.runsOf(source)
	waiting := map[string]uint32{}
	return waiting, m.index.EachWaiting(func(e *index.Entry) error {
		if typ := index.TypeName(e.Key.Type()); own[e.Run] {
			waiting[typ] = max(waiting[typ], e.Run)
		}
		return nil
	})
}

// A RunInfo is a run with its number.
type RunInfo = index.RunInfo

// Job, SetJob and Cursors are those of the index.

// Job returns the durable job record of a source; nil if there is none.
func (m *Mirror) Job(source string) (json.RawMessage, error) { return m.index.Job(source) }

// SetJob replaces the job record of a source, durably; nil forgets it.
func (m *Mirror) SetJob(source string, job json.RawMessage) error {
	if m.ReadOnly() {
		return ErrReadOnly
	}
	return m.index.SetJob(source, job)
}

// Cursors returns the cursors of a source.
func (m *Mirror) Cursors(source string) ([]index.Cursor, error) { return m.index.Cursors(source) }

// Gaps returns the open gaps of a source; of all for "".
func (m *Mirror) Gaps(source string) ([]index.Gap, error) { return m.index.Gaps(source) }

// errStopped is what waits on a pipe that was stopped get.
var errStopped = errors.New("the run was stopped")

// changes gathers what a part changes beside records.
func (r *Run) changes(counts index.Counts, progress map[string]json.RawMessage, end *closing) index.Changes {
	c := index.Changes{Start: r.start, Progress: progress, Gaps: r.newGaps(), Counts: counts,
		Decide: r.pipe.decide, Lost: r.pipe.lost}
	if end != nil {
		c.Close, c.Journal = &end.Closing, end.pack.Segments
	}
	return c
}

// newGaps are the gaps that are in no part yet.
func (r *Run) newGaps() []index.Gap {
	r.gapMu.Lock()
	defer r.gapMu.Unlock()
	return slices.Clone(r.gaps)
}

// committed forgets what has become durable with a part.
func (r *Run) committed(c index.Changes) {
	r.start, r.pipe.decide, r.pipe.lost = nil, nil, nil
	r.gapMu.Lock()
	defer r.gapMu.Unlock()
	r.gaps = r.gaps[len(c.Gaps):]
}

// partLimit reports whether a part that has been open for so long should close.
func partLimit(lines int, size int64, open, boundary time.Duration) bool {
	return lines >= archive.PartLines || size >= archive.PartBytes || open > 5*time.Minute ||
		boundary > 0 && open >= boundary
}
