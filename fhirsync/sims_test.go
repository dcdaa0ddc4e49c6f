package fhirsync_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/verify"
)

// How thorough TestThousandRuns is: .ci/run turns it up.
var (
	sims     = flag.Int("sims", 100, "how many runs TestThousandRuns simulates")
	simSeed  = flag.Uint64("sims.seed", 0, "simulate the practice of this seed, and no other")
	simsFrom = flag.Uint64("sims.from", 1, "the first seed")
)

// TestThousandRuns lives through random weeks of random small practices whose
// EMR breaks at random, and whose runs are killed at random. The ledger of the
// EMR in a box is the oracle. After each run:
//
//   - what a cursor passed is in the mirror, as the EMR had it at the cursor's time
//     or later;
//   - "complete" is said only if the cursor of every type moved, and every
//     attachment is there; otherwise a gap or a hold names the type;
//   - the rows of the report add up.
//
// After the faults end a few runs heal everything: no gap is left and the mirror
// equals the ledger. What a client cannot know is written down at blind.
func TestThousandRuns(t *testing.T) {
	var mu sync.Mutex // covers total
	total := tally{}
	one := func(t *testing.T, seed uint64) {
		w := newWorld(t, seed)
		w.live()
		mu.Lock()
		defer mu.Unlock()
		total.add(&w.tally)
		if *simSeed != 0 {
			t.Log(strings.Join(w.log, "\n\t"))
		}
		if t.Failed() {
			t.Logf("to see it again: go test ./fhirsync -run TestThousandRuns -v -sims.seed=%d", seed)
		}
	}
	for seed := *simsFrom; *simSeed == 0 && total.runs < *sims && total.bad < 20; {
		t.Run("some", func(t *testing.T) {
			for range min(16, (*sims-total.runs+3)/4) {
				n := seed
				t.Run(fmt.Sprintf("seed %d", n), func(t *testing.T) {
					t.Parallel()
					one(t, n)
				})
				seed++
			}
		})
	}
	if *simSeed != 0 {
		one(t, *simSeed)
	}
	t.Logf("%+v", total)
}

// A tally says what the simulated runs met.
type tally struct {
	runs, healings, blind, complete, gaps, held, interrupted, broken, killed, kinds, lines, worlds, bad int
}

func (n *tally) add(o *tally) {
	n.runs += o.runs
	n.healings += o.healings
	n.blind += o.blind
	n.complete += o.complete
	n.gaps += o.gaps
	n.held += o.held
	n.interrupted += o.interrupted
	n.broken += o.broken
	n.killed += o.killed
	n.kinds += o.kinds
	n.lines += o.lines
	n.bad += o.bad
	n.worlds++
}

// A world is a practice, its EMR, and the truth about both.
type world struct {
	*office
	tally
	t       *testing.T
	o       fakeemr.Options
	log     []string // what happened, for a failure
	healing bool

	whole   map[string]time.Time // by type: since when a whole listing of it counts
	blinded map[string]string    // by type: why the client cannot know what it lacks
	planned time.Time            // when the run under way was planned
	cursors map[string]time.Time // by mode and type
	base    fakeemr.Faults       // what the EMR is like for ever
	met     []fakeemr.Faults     // of the attempts of the run under way

	mu   sync.Mutex // covers what follows: hooks run in the EMR's goroutines
	r    *rand.Rand
	made int
	hist map[string]map[string][]state // by type and id, in the order of commits
}

// A state is a record as the EMR had it from a time on.
type state struct {
	at     time.Time
	line   string // "": deleted
	silent bool   // its stamp did not move
}

// String implements fmt.Stringer.
func (s state) String() string {
	return fmt.Sprintf("\n\t\tfrom %s, silent %v: %.150s", s.at.Format("02 15:04:05"), s.silent, s.line)
}

// fastDir is a folder in memory, where there is one: these tests are not about
// disks.
func fastDir(t *testing.T) string {
	if info, err := os.Stat("/dev/shm"); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "chartcellar-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newWorld(t *testing.T, seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 11))
	w := &world{t: t, r: r, hist: map[string]map[string][]state{}, whole: map[string]time.Time{},
		blinded: map[string]string{}, cursors: map[string]time.Time{}}
	w.o = fakeemr.Options{Practice: fakeemr.Practice{Patients: 2 + r.IntN(4), Years: 1 + r.IntN(2), Seed: seed},
		Polls: r.IntN(3) - 1, FilesPerType: 1 + r.IntN(3), MaxCount: 4 + r.IntN(30), Plain: true,
		NoHistory: w.one(3), HideBinary: w.one(2)}
	if w.one(3) {
		w.o.HiddenTypes = []string{"Practitioner", "Medication"}
	}
	mode := w.pick("bulk system", "bulk patient", "bulk group", "search", "wish", "auto", "nosearch")
	switch mode {
	case "search":
		w.o.NoExport = true
	case "auto":
		w.base.RefuseTypes = []string{w.pick("Coverage", "Condition", "Observation")}
	case "nosearch":
		w.o.NoSearch, w.o.NoHistory = true, true
	}
	w.office = newOffice(t, w.o)
	w.secret = seed%5 != 0
	w.source.Overlap = []time.Duration{time.Second, 2 * time.Minute, 10 * time.Minute}[r.IntN(3)]
	switch mode {
	case "bulk patient":
		w.source.Level = "patient"
	case "bulk group":
		w.source.Level, w.source.Group = "group", w.emr.GroupID()
	case "wish":
		w.source.Mode = "search"
	}
	w.base.RetryAfter = "0" // polls need not wait
	w.emr.Set(w.base)
	w.note("%s, overlap %s, %+v", mode, w.source.Overlap, w.o)
	w.reopen()
	for _, typ := range w.emr.Types() {
		w.hist[typ] = map[string][]state{}
		if err := w.emr.EachAt(typ, w.now(), func(id string, line []byte) error {
			w.hist[typ][id] = []state{{line: plain(typ, string(line))}}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) now() time.Time { return w.emr.Clock().Now() }

func (w *world) one(in int) bool { return w.r.IntN(in) == 0 }

func (w *world) pick(list ...string) string { return list[w.r.IntN(len(list))] }

func (w *world) note(format string, a ...any) {
	w.log = append(w.log, w.now().Format("02 15:04:05 ")+fmt.Sprintf(format, a...))
}

// wrong reports a failure with what led to it.
func (w *world) wrong(format string, a ...any) {
	w.t.Helper()
	w.bad++
	w.t.Errorf("%s\n\t%s", fmt.Sprintf(format, a...), strings.Join(w.log, "\n\t"))
	w.log = nil
}

// reopen closes the mirror and opens it again, by the EMR's clock.
func (w *world) reopen() {
	if err := w.m.Close(); err != nil {
		w.t.Fatal(err)
	}
	m, err := store.Open(w.t.Context(), store.Options{Dir: w.dir, Box: w.box, Ballast: -1, Reserve: 1,
		Identity: w.office.office, Now: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.m = m
	w.t.Cleanup(func() { m.Close() })
}

// live lets some days go by, and then the faults end.
func (w *world) live() {
	for range 2 + w.r.IntN(4) {
		w.day()
		w.emr.Set(w.faults())
		w.run(w.one(4))
		if w.t.Failed() {
			return
		}
	}
	w.heal()
}

// day lets time go by in which records change.
func (w *world) day() {
	w.emr.Clock().Advance(time.Duration(10+w.r.IntN(26*60)) * time.Minute)
	for range w.r.IntN(8) {
		w.change()
		w.emr.Clock().Advance(time.Duration(w.r.IntN(300)) * time.Second)
	}
	if w.one(15) {
		w.note("a mass deletion")
		for n, id := range w.ids("Observation") {
			if n < 30 {
				w.gone("Observation", id, false)
			}
		}
	}
	if !w.one(4) { // else the last changes fall into the margin of a search
		w.emr.Clock().Advance(3 * time.Minute)
	}
}

// ids are the records of a type that are there now.
func (w *world) ids(typ string) (list []string) {
	for id, states := range w.hist[typ] {
		if last := states[len(states)-1]; last.line != "" && !last.at.After(w.now()) {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

// changing are the types whose records the days change.
var changing = []string{"Patient", "Encounter", "Observation", "Condition", "DocumentReference",
	"MedicationRequest", "DiagnosticReport", "Coverage", "Appointment"}

// change makes one change at the EMR.
func (w *world) change() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made++
	typ := w.pick(changing...)
	ids := w.ids(typ)
	if len(ids) == 0 {
		return
	}
	id := ids[w.r.IntN(len(ids))]
	edit := func(m map[string]any) { m["language"] = fmt.Sprintf("x-%d", w.made) }
	switch k := w.r.IntN(12); {
	case k < 3:
		id, delay := fmt.Sprintf("new-%d", w.made), time.Duration(0)
		line := fmt.Appendf(nil, `{"resourceType":"%s","id":"%s","subject":{"reference":"Patient/%s"},"performer":[{"reference":"Practitioner/prac-%d"}]}`,
			typ, id, w.pick(w.ids("Patient")...), w.r.IntN(4))
		if w.source.Overlap > time.Minute && w.one(4) {
			delay = 90 * time.Second
		}
		line, err := w.emr.PutLate(line, delay)
		w.happened(typ, id, state{line: plain(typ, string(line)), at: w.now().Add(delay)}, err)
	case k < 7:
		w.happened(typ, id, state{}, w.emr.Edit(typ, id, edit))
	case k < 8:
		w.happened(typ, id, state{silent: true}, w.emr.EditSilently(typ, id, edit))
	case k < 10 && typ != "Patient":
		w.goneLocked(typ, id, w.one(3))
	case k < 11 && typ != "Patient": // deleted, and there again
		w.goneLocked(typ, id, false)
		line, err := w.emr.Put(fmt.Appendf(nil, `{"resourceType":"%s","id":"%s","language":"again-%d"}`, typ, id, w.made))
		w.happened(typ, id, state{line: plain(typ, string(line))}, err)
	}
}

// happened notes a change in the history; without a line, what the EMR has now.
func (w *world) happened(typ, id string, s state, err error) {
	if err != nil {
		w.t.Error(err)
		return
	}
	if s.at.IsZero() {
		s.at = w.now()
	}
	if s.line == "" {
		line, _ := w.emr.Resource(typ, id)
		s.line = plain(typ, string(line))
	}
	w.hist[typ][id] = append(w.hist[typ][id], s)
}

func (w *world) gone(typ, id string, purge bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.goneLocked(typ, id, purge)
}

func (w *world) goneLocked(typ, id string, purge bool) {
	if purge {
		w.emr.Purge(typ, id)
	} else {
		w.emr.Delete(typ, id)
	}
	w.hist[typ][id] = append(w.hist[typ][id], state{at: w.now()})
}

// run brings the mirror up to date once, with as many attempts as it takes, or
// leaves it broken off.
func (w *world) run(full bool) {
	for try := range 4 {
		_, _, open, err := w.m.OpenRun("emr")
		if err != nil {
			w.t.Fatal(err)
		}
		if !open {
			w.planned, w.met = w.now(), nil
		}
		before := w.readCursors()
		rep, err := w.attempt(full, try < 3 && w.one(2))
		w.runs++
		if err == nil {
			w.check(rep)
			w.decide(rep)
			return
		}
		w.broken++
		w.note("broken off: %v", err)
		if after := w.readCursors(); len(after) != len(before) || !sameCursors(before, after) {
			w.wrong("a cursor moved in a run that was broken off")
		}
		var notYet *fhirsync.NotYet
		if errors.As(err, &notYet) {
			w.emr.Clock().Advance(max(0, notYet.At.Sub(w.now())) + time.Second)
		}
		if w.one(2) {
			w.reopen()
		}
		switch w.r.IntN(4) {
		case 0:
			w.emr.Set(w.base)
			w.note("the faults end")
		case 1:
			w.day()
		}
		if w.one(6) {
			full = true
		}
	}
}

func sameCursors(a, b map[string]time.Time) bool {
	for k, at := range a {
		if !b[k].Equal(at) {
			return false
		}
	}
	return true
}

func (w *world) readCursors() map[string]time.Time {
	list, err := w.m.Cursors("emr")
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]time.Time{}
	for _, c := range list {
		out[c.Mode+" "+c.Type] = c.Since
	}
	return out
}

// attempt is one call of Sync, killed on the way or not.
func (w *world) attempt(full, kill bool) (*fhirsync.Report, error) {
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	f := w.emr.Faults()
	at, n := "", 1+w.r.IntN(12)
	if kill {
		at = w.pick("kick-off", "poll", "file", "delete", "page", "attachment")
		n = map[string]int{"kick-off": 1, "poll": 1, "delete": 1}[at]
		if n == 0 {
			n = 1 + w.r.IntN(25)
		}
	}
	stir, seen := !w.healing && w.one(4), 0
	hook := func(where string) func(int) {
		return func(int) {
			w.mu.Lock()
			seen++
			change := stir && seen%7 == 3 && seen < 60
			if at == where {
				if n--; n == 0 {
					cancel()
				}
			}
			w.mu.Unlock()
			if change {
				w.change()
			}
		}
	}
	f.OnKickOff, f.OnPoll, f.OnFile, f.OnDelete = hook("kick-off"), hook("poll"), hook("file"), hook("delete")
	f.OnPage, f.OnAttachment = hook("page"), hook("attachment")
	w.met = append(w.met, f)
	w.emr.Set(f)
	w.connected()
	if kill {
		w.killed++
	}
	w.note("sync, full %v, killed at %q %d, stirred %v", full, at, n, stir)
	return fhirsync.Sync(ctx, fhirsync.Options{Source: w.source, Client: w.client, Tokens: w.tokens,
		Mirror: w.m, Full: full, LostWait: time.Nanosecond, Poll: time.Millisecond, Now: w.now,
		InFlight: 1 + w.r.IntN(3)})
}

// connected connects anew, as each start of the program does.
func (w *world) connected() {
	f := w.emr.Faults()
	w.emr.Set(w.base)
	w.connect(w.t)
	w.emr.Set(f)
}

// decide is the person who looks at what is held: what came while the EMR was
// broken is rejected, what came while it was whole is accepted.
func (w *world) decide(rep *fhirsync.Report) {
	if rep.Verdict != fhirsync.HeldVerdict || w.one(4) {
		return
	}
	w.decideAll(!w.faulty())
}

// decideAll decides everything that still waits, newest first.
func (w *world) decideAll(accept bool) {
	runs, err := w.m.Runs()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range runs {
		err := fhirsync.Decide(w.t.Context(), w.m, r.Number, "", accept, "doctor")
		if err == nil {
			w.note("run %d: decided, accept %v", r.Number, accept)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			w.wrong("Decide = %v", err)
		}
	}
}

// heal ends the faults; within a few runs nothing may be missing.
func (w *world) heal() {
	w.base.RefuseTypes, w.healing = nil, true
	w.emr.Set(w.base)
	w.note("all faults end")
	w.decideAll(false)
	w.emr.Clock().Advance(8 * 24 * time.Hour)
	w.planned, w.met = w.now(), nil
	var rep *fhirsync.Report
	for n := range 6 {
		var err error
		if n > 2 && rep != nil && rep.Verdict == fhirsync.Complete {
			break
		}
		rep, err = w.attempt(true, false)
		w.healings++
		if err != nil {
			w.note("healing: %v", err)
			w.emr.Clock().Advance(time.Hour)
			continue
		}
		w.check(rep)
		if rep.Verdict == fhirsync.HeldVerdict {
			w.decideAll(true)
		}
		w.emr.Clock().Advance(25 * time.Hour)
	}
	if rep == nil {
		w.wrong("no run ended after the faults did")
		return
	}
	// A type that can neither be exported nor searched stays a gap: that all of it
	// was read by id cannot be known.
	gaps := slices.DeleteFunc(slices.Clone(rep.Gaps), func(g index.Gap) bool {
		return slices.Contains(w.o.HiddenTypes, g.Type) && row(rep, g.Type).Mode == "none"
	})
	if rep.Verdict != fhirsync.Complete && len(gaps) == rep.GapCount || len(gaps) != 0 {
		w.wrong("after the faults ended: %q, gaps %+v, rows %+v", rep.Verdict, rep.Gaps, rep.Types)
	}
	w.equalNow()
	w.named()
	if w.one(5) {
		res, err := verify.Run(w.t.Context(), w.m, verify.Options{Depth: verify.Full})
		if err != nil || !res.Good() {
			w.wrong("verify full: %+v, %v", res.Damage, err)
		}
	}
}

// troubled are the rows of a report that are not as they should be.
func troubled(rep *fhirsync.Report) string {
	var b strings.Builder
	for _, r := range rep.Types {
		if r.Gap != "" || r.Held != "" {
			fmt.Fprintf(&b, "%s: gap %q, held %q; ", r.Type, r.Gap, r.Held)
		}
	}
	return b.String()
}
