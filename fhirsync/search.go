package fhirsync

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"chartcellar/fhirsync/bulk"
	"chartcellar/fhirsync/rest"
	"chartcellar/store"
)

// A search is the pull of one type by search: the changes since a time, or a
// whole listing. It is planned once and stands in the job record.
type search struct {
	Type    string    `json:"type"`
	Whole   bool      `json:"whole"`
	Dated   bool      `json:"dated"` // windows are bounded by _lastUpdated
	From    time.Time `json:"from,omitzero"`
	To      time.Time `json:"to"` // the next run continues here, less the overlap
	Windows []window  `json:"windows"`
}

// A window is [From, To) of _lastUpdated; a zero bound is none.
type window struct {
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

// instant is how a time is written in a query: UTC with Z, milliseconds (P83).
const instant = "2006-01-02T15:04:05.000Z"

// oldest is where windows begin to be split: no EMR that speaks FHIR has older
// stamps; what has them is in the first window all the same.
var oldest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// perWindow is how many resources a window should hold, so that a window that
// must be read again costs little.
const perWindow = 5000

// planSearch adds the search of one type.
func (s *syncer) planSearch(ctx context.Context, typ, mode string, whole bool, since time.Time) error {
	st := search{Type: typ, Dated: mode == "search", Whole: whole || mode != "search",
		To: s.o.Client.ServerNow().Add(-s.o.Margin).UTC().Truncate(time.Millisecond)}
	switch {
	case !st.Dated:
		st.Windows = []window{{}}
	case !st.Whole:
		st.From = since.UTC().Truncate(time.Millisecond)
		st.Windows = []window{{st.From, st.To}}
	default:
		list, err := s.divide(ctx, typ, window{To: st.To}, 0)
		if err != nil {
			return err
		}
		// What is edited while it is listed moves behind the last window: it is
		// listed there, so that it does not look absent.
		st.Windows = append(list, window{From: st.To})
		st.From = since.UTC().Truncate(time.Millisecond)
	}
	s.job.Searches = append(s.job.Searches, st)
	return nil
}

// divide cuts a window until each holds few resources, as far as the server
// counts.
func (s *syncer) divide(ctx context.Context, typ string, w window, depth int) ([]window, error) {
	a, b, ok := w.halves(s.o.Now())
	if s.profile.Count != Yes || depth > 24 || !ok {
		return []window{w}, nil
	}
	n, err := s.o.Client.Count(ctx, typ, w.query())
	if err != nil && stops(ctx, err) {
		return nil, s.waits(err)
	}
	if err != nil || n <= perWindow {
		return []window{w}, nil
	}
	left, err := s.divide(ctx, typ, a, depth+1)
	if err != nil {
		return nil, err
	}
	right, err := s.divide(ctx, typ, b, depth+1)
	return append(left, right...), err
}

// halves cuts a window in the middle; ok is false if it is too short for that.
func (w window) halves(now time.Time) (a, b window, ok bool) {
	from, to := w.From, w.To
	if from.IsZero() {
		from = oldest
	}
	if to.IsZero() {
		to = now.Add(time.Minute)
	}
	mid := from.Add(to.Sub(from) / 2).UTC().Truncate(time.Millisecond)
	return window{w.From, mid}, window{mid, w.To}, to.Sub(from) > 2*time.Second
}

// query bounds a search to the window.
func (w window) query() url.Values {
	q := url.Values{}
	if !w.From.IsZero() {
		q.Add("_lastUpdated", "ge"+w.From.UTC().Format(instant))
	}
	if !w.To.IsZero() {
		q.Add("_lastUpdated", "lt"+w.To.UTC().Format(instant))
	}
	return q
}

func (w window) name(typ string) string {
	return fmt.Sprintf("search/%s/%d/%d", typ, w.From.UnixMilli(), w.To.UnixMilli())
}

// searches carries out the planned searches, some windows at once.
func (s *syncer) searches(ctx context.Context) error {
	if err := s.addRefused(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.o.InFlight)
	for i := range s.job.Searches {
		st := &s.job.Searches[i]
		for _, w := range st.Windows {
			g.Go(func() error { return s.window(gctx, st, w) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i := range s.job.Searches {
		if err := s.history(ctx, &s.job.Searches[i]); err != nil {
			return err
		}
	}
	return s.run.Flush(ctx)
}

// addRefused plans a search for the types that the EMR turned out not to export.
func (s *syncer) addRefused(ctx context.Context) error {
	changed := false
	for _, e := range s.job.Exports {
		for _, t := range e.Dropped {
			w := s.job.Ways[t]
			if w.Mode != "bulk" {
				continue
			}
			f := Facts{Wish: s.o.Source.Mode, Exports: true, NotExported: true, Searchable: slices.Contains(s.job.Offered.Search, t)}
			if f.Searchable && f.Wish != "bulk" {
				if err := s.probeType(ctx, t); err != nil {
					return err
				}
				f.LastUpdated = s.profile.LastUpdated[t]
			}
			w = Choose(f)
			s.job.Ways[t] = w
			if w.Gap != "" {
				s.fail(t, "type", w.Gap)
			}
			if w.Mode != "none" {
				if err := s.planSearch(ctx, t, w.Mode, true, time.Time{}); err != nil {
					return err
				}
			}
			changed = true
		}
	}
	if !changed {
		return nil
	}
	s.job.Profile = s.profile
	return s.save()
}

// history asks for the deletions of a type since the last run, where the server
// lists them (P84).
func (s *syncer) history(ctx context.Context, st *search) error {
	if !st.Dated || st.From.IsZero() || s.profile.History != Yes {
		return nil
	}
	if _, bad := s.failure(st.Type); bad {
		return nil
	}
	newest := map[string]bool{} // id -> whether its newest entry is a deletion
	addr := fmt.Sprintf("%s/_history?_since=%s&_count=%d", st.Type, st.From.Format(instant), s.pageSize())
	for asked := map[string]bool{}; addr != ""; {
		if asked[addr] || len(asked) >= maxPages {
			s.note("The EMR's list of deleted records of type %s leads in a circle; a full run finds them.", st.Type)
			break
		}
		asked[addr] = true
		p, err := s.o.Client.Page(ctx, addr, "history of "+st.Type, false)
		if err != nil && stops(ctx, err) {
			return s.waits(err)
		}
		if err != nil {
			s.note("The EMR's list of deleted records of type %s could not be read; a full run finds them.", st.Type)
			return nil
		}
		for _, e := range p.Entries {
			id, ok := strings.CutPrefix(strings.TrimPrefix(e.URL, "/"), st.Type+"/")
			if id, _, _ = strings.Cut(id, "/"); ok {
				if _, seen := newest[id]; !seen {
					newest[id] = e.Method == "DELETE"
				}
			}
		}
		addr = p.Next
	}
	var refs []bulk.Ref
	for id, gone := range newest {
		if gone {
			refs = append(refs, bulk.Ref{Type: st.Type, ID: id})
		}
	}
	return s.buryAll(ctx, refs, "history")
}

// buryAll records deletions. A record that also came is looked up first; so is
// every one where what came is not known: a history gives no order among entries of
// one instant, and a run that was continued has not seen all that came.
func (s *syncer) buryAll(ctx context.Context, refs []bulk.Ref, detector string) error {
	if len(refs) == 0 {
		return nil
	}
	if err := s.run.Flush(ctx); err != nil {
		return err
	}
	for _, r := range refs {
		seen := s.run.Seen(r.Type, r.ID)
		if seen || detector == "history" || s.run.Resumed() {
			gone, err := s.isGone(ctx, r, seen)
			if err != nil {
				return err
			}
			if !gone {
				continue
			}
		}
		t := store.Tombstone{Type: r.Type, ID: r.ID, Kind: "deleted", Detector: detector}
		if err := s.run.Tombstone(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// isGone reads a record that the EMR says is deleted.
func (s *syncer) isGone(ctx context.Context, r bulk.Ref, seen bool) (bool, error) {
	held, err := s.m.Holds(store.Key{Source: s.o.Source.Name, Type: r.Type, ID: r.ID})
	if err != nil || !held && !seen {
		return false, err // there is nothing to bury
	}
	_, state, err := s.o.Client.Read(ctx, r.Type, r.ID)
	if err != nil && stops(ctx, err) {
		return false, s.waits(err)
	}
	if err != nil {
		s.fail(r.Type, "type", "the EMR says that a record is deleted, and it could not be looked up")
		return false, nil
	}
	return state == rest.Deleted || state == rest.Missing && !seen, nil
}

// progressOf reads what this run recorded under a name.
func (s *syncer) progressOf(name string, to any) error {
	raw, err := s.run.Progress(name)
	if err == nil && raw != nil {
		err = json.Unmarshal(raw, to)
	}
	return err
}
