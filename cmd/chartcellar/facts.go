package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	"chartcellar/store/holding"
	"chartcellar/store/index"
	"chartcellar/store/verify"
)

// How long what was looked at counts (I12).
const (
	rollingLife   = 30 * 24 * time.Hour
	decryptedLife = 90 * 24 * time.Hour
	sampleLife    = 35 * 24 * time.Hour
)

// A factFinder gathers what health.Judge judges. It reads heads of runs and the
// few records that count, no record of a patient, and needs no key.
type factFinder struct {
	s    config.Settings
	m    *store.Mirror
	now  time.Time
	runs []store.RunInfo // newest first
	read *readings       // nil: none are kept
	in   health.Input
}

// findFacts gathers the facts as of now. What it learns of verifications it keeps in
// read, unless that is nil.
func findFacts(s config.Settings, m *store.Mirror, states scheduleStates, now time.Time, read *readings) (health.Input, error) {
	f := &factFinder{s: s, m: m, now: now, read: read}
	var err error
	if f.runs, err = m.Runs(); err != nil {
		return f.in, err
	}
	zone, err := schedule.Zone(s.Zone)
	if err != nil {
		return f.in, err
	}
	f.in = health.Input{Now: now, Zone: zone, Practice: s.Practice, Damage: m.Problems()}
	f.in.Facts[health.SecondCopy] = secondCopy(s, copyStates(s, m, f.runs), now)
	f.in.Facts[health.Drill] = drilled(f.runs, now)
	for _, src := range s.Sources {
		if err := f.source(src, states); err != nil {
			return f.in, err
		}
	}
	f.verifications()
	f.paper()
	f.in.Due = append(f.in.Due, drillDue(f.s, f.in.Facts[health.Drill], now)...)
	f.disk()
	f.told()
	if err := f.signIns(); err != nil {
		return f.in, err
	}
	if err := f.besides(); err != nil {
		return f.in, err
	}
	f.in.Schedule = health.Check{Answer: health.NotSetUp}
	if states.Running {
		missing, err := downtimeMissing(s, m, now, states.Downtime)
		if err != nil {
			return f.in, err
		}
		if missing != "" {
			f.in.Due = append(f.in.Due, missing)
		}
		f.in.Schedule = isSet(anyPull(s))
		f.in.PausedUntil = states.Paused
	}
	return f.in, nil
}

func isSet(yes bool) health.Check {
	if yes {
		return health.Check{Answer: health.Yes}
	}
	return health.Check{Answer: health.NotSetUp}
}

// anyPull reports whether a schedule pulls anything.
func anyPull(s config.Settings) bool {
	for _, src := range s.Sources {
		if src.Pull != "off" || src.Full != "off" {
			return true
		}
	}
	return false
}

// worst keeps the worse of two answers to one question, asked of two EMRs.
func worst(a, b health.Check) health.Check {
	order := map[health.Answer]int{health.Yes: 0, health.NotSetUp: 1, health.Stale: 2, health.Unknown: 3, health.No: 4}
	if a.Answer == "" && a.At.IsZero() && a.Words == "" || order[b.Answer] > order[a.Answer] {
		return b
	}
	return a
}

// source gathers what is known of one EMR.
func (f *factFinder) source(src config.Source, states scheduleStates) error {
	one := health.Source{Name: src.Name, Running: states.Pulling[src.Name]}
	var last, copied *store.RunInfo
	for i := range f.runs {
		r := &f.runs[i]
		if r.Source != src.Name || r.Kind != "sync" {
			continue
		}
		if r.Ended.IsZero() {
			continue
		}
		for t, st := range r.States.Types {
			if st == "held" && t != "" {
				one.Held++
			}
		}
		if last == nil {
			last = r
		}
		if copied == nil && verdictOf(f.m, *r) == fhirsync.Complete {
			copied = r
		}
	}
	if copied != nil {
		one.Copy, one.AsOf = copied.Ended, copied.Started
	}
	gaps, err := f.m.Gaps(src.Name)
	if err != nil {
		return err
	}
	one.Gaps = len(gaps)
	for _, g := range gaps {
		if one.Oldest.IsZero() || g.Since.Before(one.Oldest) {
			one.Oldest = g.Since
		}
	}
	if last != nil {
		one.Ran, one.Ended, one.Verdict = true, last.Ended, string(verdictOf(f.m, *last))
	}
	one.Next, one.Overdue = states.due(src.Name, one.AsOf, f.now)
	f.in.Sources = append(f.in.Sources, one)
	f.ofLastRun(last, gaps)
	return nil
}

// ofLastRun judges what the last run of an EMR found.
func (f *factFinder) ofLastRun(last *store.RunInfo, gaps []index.Gap) {
	set := func(i int, c health.Check) { f.in.Facts[i] = worst(f.in.Facts[i], c) }
	if last == nil {
		for _, i := range []int{health.RunFinished, health.CountsMatch, health.Documents, health.SignIn} {
			set(i, health.Check{Words: "nothing was pulled yet"})
		}
		return
	}
	rep := reportOf(f.m, *last)
	link := fmt.Sprintf("/backups/runs/%d", last.Number)
	check := func(good bool, words string) health.Check {
		c := health.Check{Answer: health.Yes, At: last.Ended, Link: link}
		if !good {
			c.Answer, c.Words = health.No, words
		}
		return c
	}
	finished := rep.Verdict != fhirsync.FailedRun && !rep.Interrupted()
	set(health.RunFinished, check(finished, "the last run did not finish"))
	set(health.SignIn, check(finished, "it is not known: the last run did not finish"))
	set(health.CountsMatch, f.counts(rep, check))
	documents := 0
	for _, g := range gaps {
		if g.Kind == "attachment" {
			documents++
		}
	}
	here := check(documents == 0, several(documents, "document could not be had", "documents could not be had"))
	if !finished && documents == 0 {
		here = health.Check{Words: "the last run did not finish"}
	}
	set(health.Documents, here)
}

// counts judges whether what is here is what the EMR counts.
func (f *factFinder) counts(rep fhirsync.Report, check func(bool, string) health.Check) health.Check {
	known, bad := 0, 0
	for _, t := range rep.Certificate().Types {
		if t.EMR < 0 {
			continue
		}
		known++
		if t.Difference > 0 && t.Gap != "" {
			bad++
		}
	}
	if known == 0 {
		return health.Check{Words: "the EMR was not asked, or did not say"}
	}
	return check(bad == 0, several(bad, "type has fewer records here than the EMR", "types have fewer records here than the EMR"))
}

// verifications judges what was looked at in the mirror itself.
func (f *factFinder) verifications() {
	read := f.reread()
	f.in.Decrypted, f.in.Rolling = f.dated(read.full, decryptedLife), f.dated(read.oldest(), rollingLife)
	intact := health.Check{Words: "its files were never read again"}
	switch {
	case len(f.in.Damage) > 0:
		intact = health.Check{Answer: health.No, At: f.now, Words: f.in.Damage[0]}
	case read.damaged != nil:
		words := fmt.Sprintf("by a check on %s; see chartcellar runs show %d, then chartcellar verify",
			read.damaged.Ended.Local().Format("2006-01-02 15:04"), read.damaged.Number)
		f.in.Damage = append(f.in.Damage, words)
		intact = f.judged(*read.damaged, false, "damage was found "+words, sampleLife)
	case read.last != nil:
		intact = f.judged(*read.last, true, "", sampleLife)
	}
	f.in.Facts[health.ChainIntact] = intact
	f.in.Facts[health.SampleMatches] = health.Check{Words: "no sample was fetched again yet"}
	if i := slices.IndexFunc(f.runs, func(r store.RunInfo) bool { return r.Kind == "check" }); i >= 0 { // the newest word counts
		r := f.runs[i]
		c := f.judged(r, r.Verdict != sampleDiffers, "records differ from the EMR's", sampleLife)
		if r.Verdict == sampleOpen {
			c = health.Check{At: r.Ended, Link: c.Link, Words: "not every record of the last sample could be read at the EMR"}
		}
		f.in.Facts[health.SampleMatches] = c
	}
}

func (f *factFinder) judged(r store.RunInfo, good bool, words string, life time.Duration) health.Check {
	c := f.dated(r.Ended, life)
	c.Link = fmt.Sprintf("/backups/runs/%d", r.Number)
	if !good {
		c.Answer, c.Words = health.No, words
	}
	return c
}

// dated says whether something that was done then still counts.
func (f *factFinder) dated(at time.Time, life time.Duration) health.Check {
	switch {
	case at.IsZero():
		return health.Check{}
	case f.now.Sub(at) > life:
		return health.Check{Answer: health.Stale, At: at}
	}
	return health.Check{Answer: health.Yes, At: at}
}

// resultOf reads the record of a verification; what cannot be read is empty.
func resultOf(m *store.Mirror, r store.RunInfo) verify.Result {
	var result verify.Result
	raw, err := m.RunRecord(r.Number)
	if err != nil || json.Unmarshal(raw, &result) != nil {
		return verify.Result{}
	}
	return result
}

// A readWhat is what a verification read.
type readWhat struct {
	depth verify.Depth
	days  uint32 // a bit for each thirtieth
}

// Readings are what was read already: what the verifications read, since the record of a
// run never changes once it has ended, and what the holdings have.
type readings struct {
	mu    sync.Mutex
	byRun map[uint32]readWhat
	// kept are the holdings, as of a generation of the mirror.
	kept   []holding.Summary
	keptAt uint64
}

// holdings returns what each holding has. It may be called on nil.
func (k *readings) holdings(m *store.Mirror) ([]holding.Summary, error) {
	now := m.Generation()
	if k != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.kept != nil && k.keptAt == now {
			return k.kept, nil
		}
	}
	files, err := m.KeptFiles("")
	files = slices.DeleteFunc(files, func(f store.KeptFile) bool { return f.Holding == downtimeHolding }) // ours, and looked after elsewhere
	list := holding.Summarize(files)
	if k != nil && err == nil {
		k.kept, k.keptAt = list, now
	}
	return list, err
}

// of returns what a run read. It may be called on nil.
func (k *readings) of(m *store.Mirror, r store.RunInfo) readWhat {
	if k != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		if w, known := k.byRun[r.Number]; known {
			return w
		}
	}
	result := resultOf(m, r)
	w := readWhat{depth: result.Depth}
	for _, day := range result.Days {
		if day >= 0 {
			w.days |= 1 << (day % schedule.Thirtieths)
		}
	}
	if k != nil && result.Depth != "" { // what could not be read is tried again
		if k.byRun == nil {
			k.byRun = map[uint32]readWhat{}
		}
		k.byRun[r.Number] = w
	}
	return w
}

// A reread is when the mirror was read again, and what that found.
type reread struct {
	last    *store.RunInfo                 // the newest check that read files again and found nothing wrong
	damaged *store.RunInfo                 // the newest that found damage, if no full check has found none since
	full    time.Time                      // of the newest full check that found nothing wrong
	slices  [schedule.Thirtieths]time.Time // when each thirtieth was read last, and nothing was wrong
}

// reread goes through the checks back to the newest full one that found nothing
// wrong. Damage stands until such a one: a check of other files says nothing of it.
func (f *factFinder) reread() (r reread) {
	for i := range f.runs {
		run := &f.runs[i]
		if run.Kind != "verify" || run.Ended.IsZero() {
			continue
		}
		if run.Verdict != verifiedGood {
			if r.damaged == nil {
				r.damaged = run
			}
			continue
		}
		switch result := f.read.of(f.m, *run); result.depth {
		case verify.Full:
			r.looked(run)
			r.full = run.Ended
			for day := range r.slices {
				r.read(day, run.Ended)
			}
			return r
		case verify.Rolling:
			r.looked(run)
			for day := range r.slices {
				if result.days&(1<<day) != 0 {
					r.read(day, run.Ended)
				}
			}
		}
	}
	return r
}

func (r *reread) looked(run *store.RunInfo) {
	if r.last == nil {
		r.last = run
	}
}

// read notes that a thirtieth was read; what came later is noted already.
func (r *reread) read(day int, at time.Time) {
	if t := &r.slices[day%schedule.Thirtieths]; t.IsZero() {
		*t = at
	}
}

// oldest is since when every byte was read again; zero if one never was.
func (r *reread) oldest() time.Time {
	return slices.MinFunc(r.slices[:], time.Time.Compare)
}

// paper says what is to be printed again.
func (f *factFinder) paper() {
	if secondPageDue(f.s, f.m) {
		f.in.Due = append(f.in.Due, "Print the second page of the recovery sheet, which says where the copies are: chartcellar keys second-page --pdf FILE.")
	}
}

// disk judges how long the disk will last, from what was added in the last 30
// days.
func (f *factFinder) disk() {
	days, known, err := daysLeft(f.m, f.runs, f.now)
	c := health.Check{Answer: health.Yes, At: f.now, Words: fmt.Sprintf("about %d days at the rate of the last month", days)}
	switch {
	case err != nil:
		c = health.Check{Words: "the room on the disk could not be measured"}
	case !known:
		c = health.Check{Words: "there is not yet a week to judge by"}
	case days < 60:
		c.Answer = health.No
		c.Words = fmt.Sprintf("the disk is full in about %d days", days)
	}
	f.in.Facts[health.DiskLasts] = c
}

// daysLeft says for how many days the disk has room; known is false before there
// is a week to judge by.
func daysLeft(m *store.Mirror, runs []store.RunInfo, now time.Time) (days int, known bool, err error) {
	parts := m.PartSizes()
	if len(parts) == 0 || len(runs) == 0 {
		return 0, false, nil
	}
	ended := map[uint32]time.Time{}
	first := now
	for _, r := range runs {
		ended[r.Number] = r.Ended
		if !r.Ended.IsZero() && r.Ended.Before(first) {
			first = r.Ended
		}
	}
	span := min(now.Sub(first), 30*24*time.Hour)
	if span < 7*24*time.Hour {
		return 0, false, nil
	}
	var added int64
	for _, p := range parts {
		if now.Sub(ended[p.Run]) > span || ended[p.Run].Equal(first) {
			continue // the first pull is no growth
		}
		added += p.Bytes
	}
	free, reserve, err := m.Space()
	if err != nil {
		return 0, false, err
	}
	perDay := float64(added) / (span.Hours() / 24)
	if perDay < 1 {
		return 36500, true, nil
	}
	return min(36500, int(float64(max(0, free-reserve))/perDay)), true, nil
}
