package fhirsync

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"chartcellar/fhirsync/rest"
)

// An Answer is what a probe found.
type Answer string

// The answers.
const (
	Unknown Answer = ""
	Yes     Answer = "yes"
	No      Answer = "no"
	Ignored Answer = "ignored" // the server passes over the parameter in silence
)

// A Profile is how a server behaves, whatever it declares (P7).
type Profile struct {
	At          time.Time         `json:"at,omitzero"`
	Strict      Answer            `json:"strict,omitempty"`      // it refuses what it does not know, if asked to
	Sort        Answer            `json:"sort,omitempty"`        // it sorts by _lastUpdated
	Total       Answer            `json:"total,omitempty"`       // it gives an exact total with a page
	Count       Answer            `json:"count,omitempty"`       // it counts (_summary=count)
	History     Answer            `json:"history,omitempty"`     // it lists deletions in the history of a type
	LastUpdated map[string]Answer `json:"lastUpdated,omitempty"` // by type
	// Size is how many resources a page is asked to hold; 0: the usual 100.
	Size int `json:"size,omitempty"`
}

// profileLife is how long a profile is believed.
const profileLife = 7 * 24 * time.Hour

// future is a time at which nothing can have changed.
const future = "ge2999-01-01T00:00:00.000Z"

// probe asks small questions whose answers are known, unless that was done
// within a week.
func (s *syncer) probe(ctx context.Context, c rest.Capability, types []string, last *Report) error {
	if last != nil && s.o.Now().Sub(last.Profile.At) < profileLife {
		s.profile = last.Profile
	}
	if s.profile.LastUpdated == nil {
		s.profile = Profile{At: s.o.Now().UTC(), LastUpdated: map[string]Answer{}}
	}
	for _, t := range types {
		searched := slices.Contains(c.Search, t) && Choose(s.facts(t, c, last)).Mode != "bulk"
		if !searched || s.profile.LastUpdated[t] != Unknown {
			continue
		}
		if err := s.probeType(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// stops reports whether an error is not the answer to a question but ends the
// work for now.
func stops(ctx context.Context, err error) bool {
	return ctx.Err() != nil || rest.Is(err, rest.Offline, rest.DNS, rest.Certificate, rest.SignIn, rest.Token,
		rest.Throttled)
}

// probeType asks what the search of a type does with _lastUpdated.
func (s *syncer) probeType(ctx context.Context, typ string) error {
	n, err := s.o.Client.Count(ctx, typ, url.Values{"_lastUpdated": {future}})
	if err == nil && n < 0 || rest.Is(err, rest.Refused) {
		var p *rest.Page
		p, err = s.o.Client.Page(ctx, rest.Query(typ, url.Values{"_lastUpdated": {future}, "_count": {"1"}}), "probe of "+typ, false)
		if err == nil {
			n = len(matches(p))
		}
	}
	switch {
	case err != nil && stops(ctx, err):
		return s.waits(err)
	case err != nil:
		s.profile.LastUpdated[typ] = No
	case n > 0:
		s.profile.LastUpdated[typ] = Ignored
		s.o.Evidence.add(Proof{Class: "search of " + typ, Kind: "broken promise", Type: typ, At: s.o.Now(),
			Words: "the search passes over _lastUpdated in silence"})
	default:
		s.profile.LastUpdated[typ] = Yes
	}
	if s.profile.LastUpdated[typ] == Yes && s.profile.Sort == Unknown {
		return s.probeServer(ctx, typ, slices.Contains(s.job.Offered.History, typ))
	}
	return nil
}

// probeServer asks what is the same for all types, of one that can be searched.
func (s *syncer) probeServer(ctx context.Context, typ string, history bool) error {
	c := s.o.Client
	ask := func(q url.Values, strict bool) (*rest.Page, error) {
		return c.Page(ctx, rest.Query(typ, q), "probe of "+typ, strict)
	}
	_, strict := ask(url.Values{"chartcellar-no-such": {"1"}, "_count": {"1"}}, true)
	sorted, serr := ask(url.Values{"_sort": {"_lastUpdated"}, "_count": {"2"}}, false)
	total, terr := ask(url.Values{"_total": {"accurate"}, "_count": {"1"}}, false)
	n, cerr := c.Count(ctx, typ, nil)
	var hist *rest.Page
	herr := error(nil)
	if history {
		hist, herr = c.Page(ctx, typ+"/_history?_count=1&_since="+s.o.Now().UTC().Format(instant), "probe of "+typ, false)
	}
	for _, err := range []error{strict, serr, terr, cerr, herr} {
		if err != nil && stops(ctx, err) {
			return s.waits(err)
		}
	}
	yes := func(ok bool) Answer {
		if ok {
			return Yes
		}
		return No
	}
	s.profile.Strict = yes(rest.Is(strict, rest.Refused))
	s.profile.Sort = yes(serr == nil && ascending(sorted))
	s.profile.Total = yes(terr == nil && total.Total >= 0)
	s.profile.Count = yes(cerr == nil && n >= 0)
	s.profile.History = yes(history && herr == nil && hist != nil && hist.Type == "history")
	return nil
}

// waits turns a throttle into the time at which the run goes on.
func (s *syncer) waits(err error) error {
	var e *rest.Error
	if rest.Is(err, rest.Throttled) && errors.As(err, &e) {
		return &NotYet{later(s.o.Now(), e.RetryAt, 15*time.Minute), "the EMR asks us to wait"}
	}
	return err
}
