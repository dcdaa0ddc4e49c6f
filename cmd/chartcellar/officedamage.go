package main

import (
	"context"
	"slices"
	"strings"
	"sync"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/verify"
)

// shownDamage is how many files a page names.
const shownDamage = 20

// Damage implements viewer.Runs: what the checks found that no full one has found mended
// since, or else what was noticed when the mirror was opened, and what was declared lost.
func (o *office) Damage(context.Context) (viewer.Damage, error) {
	out := viewer.Damage{}
	runs, err := o.m.Runs()
	if err != nil {
		return out, err
	}
	f := &factFinder{m: o.m, now: o.now(), runs: runs, read: &o.d.readings}
	if r := f.reread().damaged; r != nil {
		result := resultOf(o.m, *r)
		out.Found, out.Run, out.Harm = r.Ended, r.Number, strings.Join(harmNotes(result.Harm), " ")
		out.Files, out.All = damaged(result), len(result.Damage)
	}
	if problems := o.m.Problems(); out.Run == 0 && len(problems) > 0 {
		out.Files, out.All = problems[:min(shownDamage, len(problems))], len(problems)
	}
	lost, err := o.lost.of(o.m, runs)
	if err != nil {
		return out, err
	}
	for _, l := range lost {
		if out.AllLost++; len(out.Lost) < shownDamage {
			out.Lost = append(out.Lost, viewer.Loss{File: l.File, At: l.At, Run: l.Run, Again: l.Again})
		}
	}
	return out, nil
}

// Losses are what was declared lost, as it was at some state of the mirror: to find it
// goes through every part.
type losses struct {
	mu         sync.Mutex
	generation uint64
	list       []store.LostFile
}

// of returns what was declared lost, newest first; it must not be modified. Only a run
// of its own declares something lost.
func (k *losses) of(m *store.Mirror, runs []store.RunInfo) ([]store.LostFile, error) {
	if !slices.ContainsFunc(runs, func(r store.RunInfo) bool { return r.Kind == "repair" }) {
		return nil, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	generation := m.Generation()
	if k.list != nil && k.generation == generation {
		return k.list, nil
	}
	list, err := m.Lost()
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b store.LostFile) int { return b.At.Compare(a.At) })
	k.generation, k.list = generation, append([]store.LostFile{}, list...)
	return k.list, nil
}

// damaged are the files that a check names, as many as a page does.
func damaged(r verify.Result) (list []string) {
	for _, d := range r.Damage[:min(shownDamage, len(r.Damage))] {
		list = append(list, d.File+": "+d.What)
	}
	return list
}

// tellCheck says on the report of a verification what it found.
func (o *office) tellCheck(out *viewer.RunReport, r store.RunInfo) {
	result := resultOf(o.m, r)
	if c := verified(result, r); c.Words != "" {
		out.Notes = append(out.Notes, c.Words)
	}
	out.Notes = append(out.Notes, harmNotes(result.Harm)...)
	for _, d := range damaged(result) {
		out.Notes = append(out.Notes, "Damaged: "+d)
	}
	if n := len(result.Damage) - shownDamage; n > 0 {
		out.Notes = append(out.Notes, several(n, "more file is", "more files are")+" damaged; all of them are in the JSON.")
	}
	for _, l := range result.Lost {
		out.Notes = append(out.Notes, "Declared lost on "+l.At.In(o.zone()).Format("2 January 2006")+": "+l.File)
	}
	out.Notes = append(out.Notes, harmNotes(result.LostHarm)...)
	if result.NotChecked != "" {
		out.Notes = append(out.Notes, "Not checked: "+result.NotChecked)
	}
	if !result.Good() {
		out.Next = repairNext
	}
}

// What to do about damage, and about what was declared lost.
const (
	repairNext = "Delete nothing. At the computer itself, or by whoever looks after it: chartcellar repair. It mends what a second copy holds, keeps the damaged files, and says what cannot be mended. Then verify the copy."
	lostNext   = "The next full run brings again what the EMR still has. If another copy turns up: chartcellar repair --unlock --from FOLDER."
)

// Restored implements viewer.Overview.
func (o *office) Restored(context.Context) (out viewer.Restored, err error) {
	chain := o.m.Chain()
	for i := len(chain) - 1; i >= 0 && out.Since.IsZero(); i-- {
		if chain[i].Fork.Is() {
			out.Since = chain[i].Created
		}
	}
	if out.Since.IsZero() || o.m.ReadOnly() {
		return viewer.Restored{}, nil
	}
	for _, src := range o.d.settings().Sources {
		gone, err := signInGone(o.m, src)
		if err != nil {
			return out, err
		}
		if gone {
			out.SignIn = append(out.SignIn, viewer.SignInAgain{Source: src.Name, Command: renewCall(src.Name)})
		}
	}
	return out, nil
}
