package charts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
)

// Timeline implements viewer.Records.
func (r *Room) Timeline(ctx context.Context, a viewer.Actor, p viewer.Place, words string) (viewer.Timeline, error) {
	said := "timeline"
	if words != "" {
		said += ", for: " + words
	}
	head, c, err := r.head(ctx, a, p, said)
	if err != nil {
		return viewer.Timeline{}, err
	}
	out := viewer.Timeline{ChartHead: head, Timeline: c.chart.Timeline, Words: words}
	if words == "" {
		return out, nil
	}
	search, err := chart.ParseTerms(words).Search()
	if err != nil {
		return out, askRefused(err)
	}
	rd, _, err := r.reading(c.key.source, p.AsOf)
	if err != nil {
		return out, err
	}
	types, err := rd.Types(search.Types())
	if err != nil {
		return out, askRefused(err)
	}
	scan := &Scan{Reading: rd, Named: types, Patient: c.key.id}
	notes := scan.Notes(search, a.Sensitive)
	out.Hits = map[string]chart.Hit{}
	err = scan.Run(ctx, func(worker int, rec chart.Resource) error {
		if hit, ok := notes.Look(ctx, worker, rec); ok && !rd.closed(ctx, a, rec.Type, rec.ID, rec.Raw) {
			out.Hits[rec.Ref()] = hit
		}
		return nil
	})
	out.Timeline = c.chart.Timeline.Only(func(e *chart.Event) bool { _, ok := out.Hits[e.Ref]; return ok })
	out.Timeline.Unread = scan.Unread()
	return out, locked(err)
}

// ChartChanges implements viewer.Records.
func (r *Room) ChartChanges(ctx context.Context, a viewer.Actor, p viewer.Place, since string) (viewer.ChartChanges, error) {
	head, c, err := r.head(ctx, a, p, strings.TrimSpace("what changed since "+since))
	if err != nil {
		return viewer.ChartChanges{}, err
	}
	out := viewer.ChartChanges{ChartHead: head, Since: since}
	now, at, err := r.reading(c.key.source, p.AsOf)
	if err != nil {
		return out, err
	}
	before, err := r.before(&out, at)
	if err != nil || before == nil {
		return out, err
	}
	unread, err := now.Snap.Changed(ctx, before, c.key.source, c.key.id, func(one store.Changed) error {
		rec, ok, err := changedRecord(ctx, a, now, one)
		if !ok {
			out.Hidden++
			return err
		}
		out.List = append(out.List, rec)
		return err
	})
	for _, n := range unread {
		out.Unread += n
	}
	slices.SortStableFunc(out.List, func(x, y viewer.ChangedRecord) int { return strings.Compare(x.How, y.How) })
	return out, locked(err)
}

// sinceDays is how many days the changes are shown of if no day was chosen.
const sinceDays = 30

// before returns the copy that the one of at is compared with; nil if there is none from
// that day.
func (r *Room) before(out *viewer.ChartChanges, at time.Time) (*store.Snapshot, error) {
	chosen := out.Since != ""
	if !chosen {
		out.Since = at.In(r.o.Zone()).AddDate(0, 0, -sinceDays).Format("2006-01-02")
	}
	day, err := time.ParseInLocation("2006-01-02", out.Since, r.o.Zone())
	if err != nil {
		return nil, viewer.ErrNotFound
	}
	if day.After(at) {
		return nil, &viewer.Refusal{Words: "The day to compare with is later than the day that is shown. Choose an earlier one."}
	}
	before, run, err := r.m.AsOfTime(day.AddDate(0, 0, 1).Add(-time.Nanosecond))
	var early *store.TooEarlyError
	switch {
	case errors.As(err, &early) && !chosen && !early.First.IsZero():
		out.Since, out.First = early.First.In(r.o.Zone()).Format("2006-01-02"), true
		if before, run, err = r.m.AsOfTime(early.First); err != nil {
			return nil, err
		}
	case errors.As(err, &early):
		out.TooSoon = early.First
		return nil, nil
	case err != nil:
		return nil, err
	}
	out.From = fmt.Sprintf("Compared with the copy as it stood after run %d, which ended %s.", run.Number,
		run.Ended.In(r.o.Zone()).Format("2006-01-02 15:04"))
	return before, nil
}

// changedRecord says what happened to one record; ok is false if it is not for who asks.
func changedRecord(ctx context.Context, a viewer.Actor, rd *Reading, c store.Changed) (out viewer.ChangedRecord, ok bool, err error) {
	shown := c.After
	switch {
	case c.Before == nil:
		out.How = "new"
	case c.After == nil:
		out.How, shown = "removed", c.Before
	default:
		out.How = "changed"
	}
	for _, v := range []*store.Version{c.Before, c.After} {
		if v != nil && rd.closed(ctx, a, c.Type, c.ID, v.Raw) {
			return out, false, nil
		}
	}
	if c.After == nil && !a.Sensitive && rd.Labelled(ctx, c.Type, c.ID) {
		return out, false, nil // it was labelled after Before, and then removed
	}
	out.Event = chart.EventOf(chart.Resource{Type: c.Type, ID: c.ID, Raw: shown.Raw}, names(ctx, a, rd))
	if out.How != "changed" {
		return out, true, nil
	}
	list, err := rd.Snap.History(ctx, c.Key)
	if err != nil && !errors.Is(err, store.ErrDamaged) { // of a damaged history the numbers are not known
		return out, true, err
	}
	for i := range list {
		switch {
		case same(&list[i], c.Before):
			out.From = i + 1
		case same(&list[i], c.After):
			out.To = i + 1
		}
	}
	out.Changes, err = chart.Diff(c.Before.Raw, c.After.Raw)
	chart.SaidFirst(out.Changes)
	return out, true, err
}

// same reports whether two are one version.
func same(a, b *store.Version) bool {
	return a.Part == b.Part && !a.Lost && string(a.Raw) == string(b.Raw)
}
