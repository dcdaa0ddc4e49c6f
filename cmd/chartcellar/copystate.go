package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/config"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	"chartcellar/store/offsite"
)

// The kinds of run of a second copy, and what they came to.
const (
	copyRun   = "offsite"
	checkRun  = "offsitecheck"
	testedRun = "offsitetest"

	copyComplete = "complete"
	copyDamaged  = "damage"
	copyBroken   = "not complete"
)

// diskStay is how long one of several disks may stay before it is told to change it.
const diskStay = 7 * 24 * time.Hour

// A copyRecord is what a run of a second copy leaves.
type copyRecord struct {
	offsite.Result
	Tested *offsite.Tested `json:"tested,omitempty"`
	// Error says in words why it did not come to its end; Lasting, that trying again
	// does not help.
	Error   string `json:"error,omitempty"`
	Lasting bool   `json:"lasting,omitempty"`
	// Fenced says that another computer has taken over.
	Fenced bool `json:"fenced,omitempty"`
}

func (r copyRecord) verdict() string {
	switch {
	case len(r.Wrong) > 0:
		return copyDamaged
	case r.Error != "" || r.Tested == nil && !r.Complete():
		return copyBroken
	}
	return copyComplete
}

// A copyState is how a second copy stands.
type copyState struct {
	Name  string `json:"name"`
	Where string `json:"where"`
	// Complete is when everything was there last, and AsOf what it holds: every pull
	// that had ended then.
	Complete time.Time       `json:"complete,omitzero"`
	Last     copyRecord      `json:"last"`             // of the last copy, whatever it came to
	Ended    time.Time       `json:"ended,omitzero"`   // of the last copy
	Checked  copyRecord      `json:"checked"`          // of the last check
	CheckAt  time.Time       `json:"checkAt,omitzero"` // of the last check
	Tested   *offsite.Tested `json:"tested,omitempty"`
	TestAt   time.Time       `json:"testAt,omitzero"`
	// Since is since when the same one of several disks has been there; after two weeks
	// it is at least since then.
	Since time.Time `json:"since,omitzero"`
	// Missing says what keeps the place from being the practice's own, in words.
	Missing []string `json:"missing,omitempty"`

	run, checkRun uint32 // of the last copy, and of the last check
}

// copyStates gathers how all second copies stand; runs are newest first.
func copyStates(s config.Settings, m *store.Mirror, runs []store.RunInfo) []copyState {
	list := make([]copyState, 0, len(s.Copies))
	for _, c := range s.Copies {
		list = append(list, stateOfCopy(c, m, runs))
	}
	return list
}

func stateOfCopy(c config.Copy, m *store.Mirror, runs []store.RunInfo) copyState {
	st := copyState{Name: c.Name, Where: whereOf(c)}
	changed := false // another disk was there before
	for _, r := range runs {
		if r.Source != c.Name || r.Ended.IsZero() {
			continue
		}
		switch r.Kind {
		case copyRun:
			if r.Verdict == copyComplete && st.Complete.IsZero() {
				st.Complete = r.Ended
			}
			if st.Ended.IsZero() || c.Disks > 1 && !changed && st.Ended.Sub(st.Since) <= 2*diskStay {
				changed = st.copied(r, recordOfCopy(m, r))
			}
		case checkRun:
			if st.CheckAt.IsZero() {
				st.Checked, st.CheckAt, st.checkRun = recordOfCopy(m, r), r.Ended, r.Number
			}
		case testedRun:
			if st.TestAt.IsZero() {
				st.Tested, st.TestAt = recordOfCopy(m, r).Tested, r.Ended
			}
		}
	}
	st.Missing = notOurs(c, st)
	return st
}

// copied takes in a copy, newest first; changed says that it went to another disk.
func (st *copyState) copied(r store.RunInfo, rec copyRecord) (changed bool) {
	if st.Ended.IsZero() {
		st.Last, st.Ended, st.run = rec, r.Ended, r.Number
		st.Since = r.Ended
	}
	if rec.Disk == "" {
		return false
	}
	if rec.Disk == st.Last.Disk {
		st.Since = r.Ended
		return false
	}
	return true
}

// completeUpto returns up to which checkpoint a disk was complete at its last copy; 0 if
// it never was.
func completeUpto(m *store.Mirror, name, disk string) int {
	runs, err := m.Runs()
	if err != nil {
		return 0
	}
	for _, r := range runs {
		if r.Source != name || r.Kind != copyRun || r.Verdict != copyComplete {
			continue
		}
		if rec := recordOfCopy(m, r); rec.Disk == disk {
			return rec.Checkpoint
		}
	}
	return 0
}

// errEmptied says that a copy was complete at a place where now nothing is.
var errEmptied = &plainError{exitFailed, "The place of the second copy is empty, though a copy was complete there. Nothing was written.",
	"The office copy is unchanged. What was at that place is there no more, or its disk is not plugged in.",
	"Plug the disk in. If it is a new one, or you have emptied the place yourself: chartcellar copy now NAME --anew. If you have not, find out who has."}

// notEmptied returns errEmptied if as many disks as take turns at a place have held a
// whole copy.
func notEmptied(m *store.Mirror, c config.Copy) error {
	runs, err := m.Runs()
	if err != nil {
		return err
	}
	disks := map[string]bool{}
	for _, r := range runs {
		if r.Source == c.Name && r.Kind == copyRun && r.Verdict == copyComplete {
			disks[recordOfCopy(m, r).Disk] = true
		}
	}
	if len(disks) >= c.Disks {
		return errEmptied
	}
	return nil
}

// recordOfCopy reads what a run left; what cannot be read is empty.
func recordOfCopy(m *store.Mirror, r store.RunInfo) (rec copyRecord) {
	raw, err := m.RunRecord(r.Number)
	if err != nil || json.Unmarshal(raw, &rec) != nil {
		return copyRecord{}
	}
	return rec
}

// ofCopy reports whether a run is one of a second copy.
func ofCopy(r store.RunInfo) bool {
	return r.Kind == copyRun || r.Kind == checkRun || r.Kind == testedRun
}

// notOurs says what is still to be answered before a place is the practice's own
// (P146).
func notOurs(c config.Copy, st copyState) (list []string) {
	if st.Tested == nil {
		list = append(list, "it was never tested: chartcellar copy test "+c.Name)
	}
	if c.Office() {
		return list
	}
	if c.Ours != "practice" {
		list = append(list, "whether the account is in the practice's name was not answered with yes")
	}
	if c.Deletes == "" {
		list = append(list, "who else can delete what lies there was not answered")
	}
	if c.Agreement == "" {
		list = append(list, "there is no date of an agreement with whoever keeps it")
	}
	if len(list) > 0 {
		list = append(list, "answer with: chartcellar copy answer "+c.Name)
	}
	return list
}

// whereOf says where a copy is, without secrets.
func whereOf(c config.Copy) string {
	switch {
	case c.Folder != "":
		return c.Folder
	case c.SFTP != "":
		return "sftp://" + c.SFTP
	}
	return c.S3
}

// secondCopy judges whether there is a copy elsewhere that would help: one that is the
// practice's own, whole, in time, and not found wrong. If it lacks files by choice, one that
// gets them must be so, too.
func secondCopy(s config.Settings, states []copyState, now time.Time) health.Check {
	if len(states) == 0 {
		return health.Check{Answer: health.NotSetUp, Link: "/backups/copies"}
	}
	best, at := bestCopy(s, states, now, func(copyState) bool { return true })
	for _, a := range states[at].Last.Apart {
		other, i := bestCopy(s, states, now, func(st copyState) bool { return slices.Contains(a.Copies, st.Name) })
		if i >= 0 && rank(other) > rank(best) {
			best = other
		}
	}
	return best
}

// bestCopy returns how the best of some copies stands, and which one it is; -1 if there
// is none.
func bestCopy(s config.Settings, states []copyState, now time.Time, of func(copyState) bool) (best health.Check, at int) {
	at = -1
	for i, st := range states {
		if c := st.check(s.Copies[i], s, now); of(st) && (at < 0 || rank(c) < rank(best)) {
			best, at = c, i
		}
	}
	return best, at
}

func rank(c health.Check) int {
	return map[health.Answer]int{health.Yes: 0, health.Stale: 1, health.Unknown: 2, health.NotSetUp: 3, health.No: 4}[c.Answer]
}

// A copyTrouble is what is wrong with a second copy; "" is nothing.
type copyTrouble string

const (
	copyUntried copyTrouble = "untried" // nothing was copied yet
	copyWrong   copyTrouble = "wrong"   // files are not what was written
	copyFenced  copyTrouble = "fenced"  // another computer has taken over
	copyRefused copyTrouble = "refused" // trying again does not help
	copyNever   copyTrouble = "never"   // it was never complete
	copyNotOurs copyTrouble = "not ours"
	copyLate    copyTrouble = "late"
	copyStays   copyTrouble = "stays" // the same one of several disks
)

// trouble says what is wrong with a copy, the worst first.
func (st copyState) trouble(c config.Copy, s config.Settings, now time.Time) copyTrouble {
	switch {
	case st.Ended.IsZero():
		return copyUntried
	case st.Last.Fenced:
		return copyFenced
	case len(st.Last.Wrong) > 0 || len(st.Checked.Wrong) > 0 && st.CheckAt.After(st.Ended):
		return copyWrong
	case st.Last.Lasting:
		return copyRefused
	case st.Complete.IsZero():
		return copyNever
	case len(st.Missing) > 0:
		return copyNotOurs
	case copyOverdue(c, s, st.Complete, now):
		return copyLate
	case c.Disks > 1 && now.Sub(st.Since) > diskStay:
		return copyStays
	}
	return ""
}

// check judges one copy.
func (st copyState) check(c config.Copy, s config.Settings, now time.Time) health.Check {
	out := health.Check{Answer: health.No, At: st.Complete, Link: "/backups/copies"}
	switch st.trouble(c, s, now) {
	case "":
		out.Answer = health.Yes
	case copyUntried:
		out.Answer, out.Words = health.Unknown, "nothing was copied to "+c.Name+" yet"
	case copyLate:
		out.Answer = health.Stale
	case copyWrong:
		out.Words = fmt.Sprintf("files of the second copy %s are not what was written: chartcellar copy verify %s", c.Name, c.Name)
	case copyFenced, copyRefused:
		out.Words = c.Name + ": " + strings.TrimSuffix(st.Last.Error, ".")
	case copyNever:
		out.Words = fmt.Sprintf("the second copy %s was never complete: %s", c.Name, st.Last.Error)
	case copyNotOurs:
		out.Words = fmt.Sprintf("the second copy %s is not surely the practice's own: %s", c.Name, st.Missing[0])
	case copyStays:
		out.Words = fmt.Sprintf("the same disk has been plugged in for %s at %s: put the other one in, and this one in a safe place", health.Age(now.Sub(st.Since)), c.Name)
	}
	return out
}

// copyGrace is how late a copy may be: a night in which the disk was not there is no
// alarm, two are.
const copyGrace = 26 * time.Hour

// copyOverdue reports whether a copy should be newer by its own times.
func copyOverdue(c config.Copy, s config.Settings, complete, now time.Time) bool {
	plan, err := copyPlan(c, s.Zone, schedule.Copy, c.At)
	if err != nil || len(plan.Calendar) == 0 {
		return now.Sub(complete) > 8*24*time.Hour // nobody copies by itself: a week
	}
	_, late := schedule.Overdue(plan, complete, now, copyGrace)
	return late
}

// copyPlan is when something is done with a second copy.
func copyPlan(c config.Copy, zone string, kind schedule.Kind, at string) (schedule.Plan, error) {
	p := schedule.Plan{Job: schedule.Job{Source: c.Name, Kind: kind}}
	var err error
	if p.Zone, err = schedule.Zone(zone); err != nil {
		return p, err
	}
	p.Calendar, err = schedule.ParseCalendar(at)
	return p, err
}

// copyPlans are the plans of all second copies.
func copyPlans(s config.Settings) (list []schedule.Plan, err error) {
	for _, c := range s.Copies {
		for kind, at := range map[schedule.Kind]string{schedule.Copy: c.At, schedule.CopyCheck: c.Check, schedule.CopyTest: "off", schedule.Drill: "off"} {
			p, err := copyPlan(c, s.Zone, kind, at)
			if err != nil {
				return nil, fmt.Errorf("copy %q: %w", c.Name, err)
			}
			list = append(list, p)
		}
	}
	return list, nil
}

// keepRecord records a run once no other goes on, waiting for that.
func keepRecord(ctx context.Context, m *store.Mirror, spec store.RunSpec, verdict string, record any) error {
	for {
		_, err := m.Record(ctx, spec, verdict, record)
		if !errors.Is(err, store.ErrBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
}
