package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/fhirsync"
	"chartcellar/store"
	"chartcellar/store/chart"
	"chartcellar/store/index"
)

var (
	_ viewer.Runs = (*office)(nil)
	_ viewer.Held = (*office)(nil)
)

// shownKinds are the kinds of run that have a line on the pages.
var shownKinds = map[string]bool{"sync": true, "verify": true, "check": true, "decision": true, "repair": true,
	store.KindSeal: true,
	copyRun:        true, checkRun: true, testedRun: true, drillRun: true}

// Runs implements viewer.Runs.
func (o *office) Runs(_ context.Context, before uint32, n int) (list []viewer.RunLine, all int, err error) {
	runs, err := o.m.Runs()
	for _, r := range runs {
		if !shownKinds[r.Kind] {
			continue
		}
		all++
		if (before == 0 || r.Number < before) && len(list) < n {
			list = append(list, o.line(r))
		}
	}
	return list, all, err
}

// line is a run in a list: what its head says, and what only its report says if there
// is one.
func (o *office) line(r store.RunInfo) viewer.RunLine {
	l := viewer.RunLine{Number: r.Number, Source: r.Source, Kind: r.Kind, Started: r.Started, Ended: r.Ended,
		Running: r.Ended.IsZero() && o.d.busyWith(r.Source), Requests: -1, Retries: -1}
	for _, c := range r.Counts {
		l.New, l.Changed, l.Removed = l.New+c.New, l.Changed+c.Changed, l.Removed+c.Removed
	}
	switch {
	case r.Ended.IsZero():
	case r.Kind == "sync":
		rep := reportOf(o.m, r)
		l.Verdict, l.Bytes, l.Gaps = string(rep.Verdict), rep.Bytes, rep.GapCount
	default:
		l.Verdict = checkVerdict(r)
	}
	return l
}

// checkVerdict is what a run came to that is no pull.
func checkVerdict(r store.RunInfo) string {
	if r.Kind == "decision" {
		return string(fhirsync.DecisionMade)
	}
	return r.Verdict
}

// find returns a run by its number.
func (o *office) find(number uint32) (store.RunInfo, error) {
	runs, err := o.m.Runs()
	if err != nil {
		return store.RunInfo{}, err
	}
	i := slices.IndexFunc(runs, func(r store.RunInfo) bool { return r.Number == number && shownKinds[r.Kind] })
	if i < 0 {
		return store.RunInfo{}, viewer.ErrNotFound
	}
	return runs[i], nil
}

// Run implements viewer.Runs.
func (o *office) Run(_ context.Context, number uint32) (viewer.RunReport, error) {
	r, err := o.find(number)
	if err != nil {
		return viewer.RunReport{}, err
	}
	out := viewer.RunReport{RunLine: o.line(r), Practice: o.d.settings().Practice, Waited: -1}
	switch {
	case r.Ended.IsZero():
		return out, nil
	case r.Kind == "verify":
		o.tellCheck(&out, r)
		return out, nil
	case r.Kind == "decision":
		out.Notes = strings.Split(strings.TrimSpace(decisionWords(o.m, r)), "\n")
		return out, nil
	case r.Kind == store.KindSeal:
		out.Notes = []string{sealNote(o.m, r)}
		return out, nil
	case r.Kind == "repair":
		loss, err := lossOf(o.m, r)
		for _, f := range loss.Files {
			out.Notes = append(out.Notes, "Declared lost: "+f)
		}
		out.Notes, out.Next = append(out.Notes, harmNotes(&loss.Harm)...), lostNext
		return out, err
	case r.Kind == "check":
		out.Sample = sampledWords(r)
		return out, nil
	case r.Kind == drillRun:
		rec := recordOfDrill(o.m, r)
		out.Notes, out.Person = rec.notes(), rec.Person
		return out, nil
	case ofCopy(r):
		out.Notes = recordOfCopy(o.m, r).notes()
		return out, nil
	}
	rep, err := readReport(o.m, r)
	if err != nil {
		return out, err
	}
	o.tell(&out, rep)
	return out, nil
}

// harmNotes say what damage or a loss comes to; none if there is nothing to say.
func harmNotes(h *store.Harm) []string {
	if h == nil || h.Words() == "" {
		return nil
	}
	return []string{h.Words()}
}

// tell copies what a report says onto the page.
func (o *office) tell(out *viewer.RunReport, rep fhirsync.Report) {
	out.Server, out.Full, out.Resumed = rep.Offered.Software, rep.Full, rep.Resumed
	out.Files, out.Pages, out.Wire, out.Waited = rep.Files, rep.Pages, rep.Wire, rep.Waited
	out.ClosedGaps, out.Notes, out.Followed, out.Withheld, out.Dangling = rep.ClosedGaps, rep.Notes, rep.Followed, rep.Withheld, len(rep.Dangling)
	a := rep.Attachments
	out.Documents = viewer.Documents{Wanted: a.Wanted - a.Dropped, Stored: a.Stored, Held: a.Held, Missing: a.Missing, Waiting: a.Waiting}
	out.Phases = []viewer.Phase{{Name: "The whole run", Started: rep.Started, Ended: rep.Ended}}
	for _, g := range rep.Gaps[:min(100, len(rep.Gaps))] {
		out.GapList = append(out.GapList, shownGap(g))
	}
	certificate := rep.Certificate()
	rows := map[string]fhirsync.CertifiedType{}
	for _, t := range certificate.Types {
		rows[t.Type] = t
	}
	for _, t := range rep.Types {
		c, known := rows[t.Type]
		if !known {
			c = fhirsync.CertifiedType{EMR: -1, Basis: "none", Here: t.Mirror, Reason: t.Reason}
		}
		out.Types = append(out.Types, typeRow(t, c))
	}
	out.Certificate.Limits = certificate.Limits
	if c, err := o.e.findCertificate(o.d.settings(), o.m, rep.Run, rep.Source); err == nil {
		out.Certificate = viewer.Certificate{Sum: c.Sum, Checkpoint: c.Checkpoint, Root: c.Root, Limits: c.Limits}
	}
	switch rep.Verdict {
	case fhirsync.FailedRun, fhirsync.Interrupted:
		if n := len(rep.Notes); n > 0 {
			out.Cause = rep.Notes[n-1]
		}
		out.Next = "Nothing to do if it happens once: the next run goes on. If it happens again, test the connection on Settings."
	case fhirsync.HeldVerdict:
		out.Next = "Look at what waits for your decision."
	}
	out.Sample = o.sampleOf(rep)
}

// sampleOf is the check of a random sample that belongs to a full run, if one was made
// before the next run.
func (o *office) sampleOf(rep fhirsync.Report) health.Check {
	runs, err := o.m.Runs()
	if err != nil {
		return health.Check{}
	}
	for i := len(runs) - 1; i >= 0; i-- { // oldest first
		r := runs[i]
		switch {
		case r.Number <= rep.Run:
		case r.Kind == "sync" && r.Source == rep.Source:
			return health.Check{Answer: health.NotSetUp, Words: "No sample was fetched again after this run."}
		case r.Kind == "check" && r.Source == rep.Source:
			return sampledWords(r)
		}
	}
	return health.Check{Answer: health.NotSetUp, Words: "No sample was fetched again after this run."}
}

func typeRow(t fhirsync.TypeRow, c fhirsync.CertifiedType) viewer.TypeRow {
	return viewer.TypeRow{Type: t.Type, Mode: t.Mode, Why: t.Why, Full: t.Full, Asked: t.Asked, Announced: t.Manifest, Lines: t.Lines,
		New: t.New, Changed: t.Changed, Unchanged: t.Unchanged, Removed: t.Removed, Bad: t.Quarantine, EMR: c.EMR, Here: c.Here,
		Basis: basisWords[c.Basis], Gap: t.Gap, Held: t.Held, Reason: c.Reason}
}

func shownGap(g index.Gap) viewer.Gap {
	return viewer.Gap{Source: g.Source, Kind: g.Kind, Type: g.Type, Ref: g.Ref, Reason: g.Reason, Since: g.Since, Tries: g.Tries}
}

// RunJSON implements viewer.Runs.
func (o *office) RunJSON(_ context.Context, number uint32) ([]byte, error) {
	if _, err := o.find(number); err != nil {
		return nil, err
	}
	raw, err := o.m.RunRecord(number)
	if err == nil && len(raw) == 0 {
		return nil, viewer.ErrNotFound
	}
	return raw, err
}

// Gaps implements viewer.Runs.
func (o *office) Gaps(context.Context) (viewer.Gaps, error) {
	list, err := o.m.Gaps("")
	out := viewer.Gaps{All: len(list), Kind: map[string]int{}}
	slices.SortStableFunc(list, func(a, b index.Gap) int { return a.Since.Compare(b.Since) })
	for i, g := range list {
		out.Kind[g.Kind]++
		if i < 100 {
			out.List = append(out.List, shownGap(g))
		}
	}
	return out, err
}

// Coverage implements viewer.Runs.
func (o *office) Coverage(context.Context) ([]viewer.Coverage, error) {
	runs, err := o.m.Runs()
	if err != nil {
		return nil, err
	}
	var here map[string]map[string]int
	if c := o.d.counted(runs); c != nil {
		here = c.types
	}
	var list []viewer.Coverage
	for _, src := range o.d.settings().Sources {
		c, err := cover(o.m, src.Name, here[src.Name])
		if err != nil {
			return nil, err
		}
		rep, err := lastReport(o.m, src.Name)
		if err != nil {
			return nil, err
		}
		emr := map[string]int{}
		for _, t := range rep.Certificate().Types {
			emr[t.Type] = t.EMR
		}
		out := viewer.Coverage{Source: c.Source, AsOf: c.AsOf, Outside: c.Outside, Filed: c.Filed}
		for _, t := range c.Types {
			n, known := emr[t.Type]
			if !known {
				n = -1
			}
			out.Types = append(out.Types, viewer.CoveredType{Type: t.Type, Offered: t.Offered, Granted: t.Granted, Mode: t.Mode, Why: t.Why,
				EMR: n, Here: t.Here, Missing: t.Missing, Reason: t.Reason})
		}
		list = append(list, out)
	}
	return list, nil
}

// Changes implements viewer.Runs.
func (o *office) Changes(_ context.Context, since time.Time) (viewer.Changes, error) {
	out := viewer.Changes{Since: since, First: true}
	for _, src := range o.d.settings().Sources {
		t, err := addChanges(o.m, src.Name, since)
		if err != nil {
			return out, err
		}
		out.First = out.First && !t.later
		for _, c := range t.types {
			if c.New+c.Changed+c.Removed+c.Waiting > 0 {
				out.Types = append(out.Types, viewer.ChangedType{Source: src.Name, Type: c.Type, New: c.New, Changed: c.Changed,
					Silent: c.Silent, Back: c.Back, Removed: c.Removed, Waiting: c.Waiting})
			}
		}
	}
	slices.SortFunc(out.Types, func(a, b viewer.ChangedType) int {
		return strings.Compare(a.Source+" "+a.Type, b.Source+" "+b.Type)
	})
	return out, nil
}

// Held implements viewer.Held.
func (o *office) Held(ctx context.Context, a viewer.Actor) ([]viewer.HeldType, error) {
	runs, err := o.m.Runs()
	if err != nil {
		return nil, err
	}
	counted := o.d.counted(runs)
	var list []viewer.HeldType
	for _, src := range o.d.settings().Sources {
		held, err := o.m.Held(src.Name)
		if err != nil {
			return nil, err
		}
		for typ, h := range held {
			one := viewer.HeldType{Run: h.Run, Source: src.Name, Type: typ, Changed: h.Changed, Removed: h.Removed, Here: -1, Locked: o.m.Locked()}
			if err := o.why(&one); err != nil {
				return nil, err
			}
			if counted != nil {
				one.Here = counted.types[src.Name][typ]
			}
			if a.Charts && !one.Locked {
				if one.Examples, err = o.examples(ctx, a, src.Name, typ, h); err != nil {
					return nil, err
				}
			}
			list = append(list, one)
		}
	}
	slices.SortFunc(list, func(a, b viewer.HeldType) int { return strings.Compare(a.Source+" "+a.Type, b.Source+" "+b.Type) })
	return list, nil
}

// why says what looked wrong, as the report of the run does.
func (o *office) why(h *viewer.HeldType) error {
	r, err := o.find(h.Run)
	if err != nil {
		return err
	}
	rep, err := readReport(o.m, r)
	if err != nil {
		return err
	}
	h.Since = r.Ended
	for _, t := range rep.Types {
		if t.Type == h.Type {
			h.Why = t.Held
		}
	}
	return nil
}

// examples are some of what is held, once the journal has it whose records were looked
// at (I14); none that is labelled sensitive for who may not see that.
func (o *office) examples(ctx context.Context, a viewer.Actor, source, typ string, h store.HeldCount) ([]viewer.Example, error) {
	snap, err := o.m.Now()
	if err != nil {
		return nil, err
	}
	records, err := snap.HeldRecords(ctx, source, typ, h)
	if err != nil {
		return nil, err
	}
	var list []viewer.Example
	patients := map[string]int{}
	for _, r := range records {
		if !a.Sensitive && (chart.Sensitive(r.Before) || chart.Sensitive(r.After)) {
			continue
		}
		e := viewer.Example{Ref: typ + "/" + r.ID}
		e.Before, e.After = heldWords(r)
		list = append(list, e)
		patients[patientOfHeld(typ, r)]++
	}
	var looks []store.Event
	for _, id := range slices.Sorted(maps.Keys(patients)) {
		looks = append(looks, store.Event{Code: "held.view", Account: a.Account, Key: store.Key{Source: source, Type: typ}, Patient: id, Run: h.Run,
			Count: patients[id], Note: charts.Note(a)})
	}
	if err := o.m.Journal(looks...); err != nil {
		return nil, err
	}
	return list, nil
}

// patientOfHeld is the patient that a held record belongs to; "" if it names none.
func patientOfHeld(typ string, r store.HeldRecord) string {
	if typ == "Patient" {
		return r.ID
	}
	if r.Before != nil {
		return charts.PatientOf(r.Before)
	}
	return charts.PatientOf(r.After)
}

// heldWords say how a record would change.
func heldWords(r store.HeldRecord) (before, after string) {
	switch {
	case r.After == nil:
		return "is here", "is no longer at the EMR"
	case r.Before == nil:
		return "is not here", "is new"
	}
	changes, err := chart.Diff(r.Before, r.After)
	if err != nil {
		return "is here", "is changed in a way that cannot be shown"
	}
	const most = 3
	var b, a []string
	for i, c := range changes {
		if i == most {
			b, a = append(b, "…"), append(a, fmt.Sprintf("and %d more", len(changes)-most))
			break
		}
		b, a = append(b, c.Path+": "+orNothing(c.Old)), append(a, c.Path+": "+orNothing(c.New))
	}
	return strings.Join(b, "; "), strings.Join(a, "; ")
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// Decide implements viewer.Held.
func (o *office) Decide(ctx context.Context, a viewer.Actor, run uint32, typ string, accept bool) error {
	return refusal(decide(ctx, o.m, a.Account, run, typ, accept))
}
