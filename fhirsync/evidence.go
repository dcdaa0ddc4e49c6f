package fhirsync

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"chartcellar/fhirsync/rest"
)

// A Proof is something the EMR refused, slowed down or promised and did not keep
// (P129): what a practice can show.
type Proof struct {
	At        time.Time `json:"at"`   // first time in the run
	Last      time.Time `json:"last"` // last time
	Kind      string    `json:"kind"` // refused, throttled, broken, not granted, no longer offered, broken promise
	Class     string    `json:"class"`
	Type      string    `json:"type,omitempty"`
	Status    int       `json:"status,omitempty"`
	Times     int       `json:"times"`
	Codes     []string  `json:"codes,omitempty"`
	Words     string    `json:"words,omitempty"` // the EMR's; they may name a patient
	RequestID string    `json:"requestId,omitempty"`
}

// maxProofs bounds what one run keeps; the same thing again is counted.
const maxProofs = 200

// An Evidence gathers proofs. The zero value is ready; its methods may be called
// by many goroutines.
type Evidence struct {
	mu   sync.Mutex // covers list
	list []Proof
	now  func() time.Time
}

// Observe takes what the transport was refused: rest.Options.Observe.
func (e *Evidence) Observe(x rest.Exchange) {
	if strings.HasPrefix(x.Class, "probe of") {
		return // questions that are meant to be refused
	}
	kind := "refused"
	switch {
	case x.Status == 429:
		kind = "throttled"
	case x.Status >= 500:
		kind = "broken"
	case x.Status == 404 || x.Status == 410:
		return // an answer, no refusal
	}
	now := time.Now()
	if e.now != nil {
		now = e.now()
	}
	e.add(Proof{At: now, Kind: kind, Class: x.Class, Status: x.Status, Times: x.Attempts, Codes: x.Codes,
		Words: x.Text, RequestID: x.RequestID})
}

func (e *Evidence) add(p Proof) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p.At = p.At.UTC()
	p.Last = p.At
	if p.Kind != "refused" && p.Kind != "throttled" && p.Kind != "broken" {
		p.Times = 1
	}
	for i := range e.list {
		old := &e.list[i]
		if old.Kind == p.Kind && old.Class == p.Class && old.Type == p.Type && old.Status == p.Status {
			old.Last, old.Times = p.At, old.Times+p.Times
			if len(p.Codes) > 0 || p.Words != "" {
				old.Codes, old.Words, old.RequestID = p.Codes, p.Words, p.RequestID
			}
			return
		}
	}
	if len(e.list) < maxProofs {
		e.list = append(e.list, p)
	}
}

// take returns what was gathered, in the order of time.
func (e *Evidence) take() []Proof {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := slices.Clone(e.list)
	slices.SortStableFunc(list, func(a, b Proof) int { return a.At.Compare(b.At) })
	return list
}

// saveEvidence keeps what a run that is broken off has gathered so far, for the report
// that ends it.
func (s *syncer) saveEvidence(ctx context.Context) error {
	all, err := s.evidence()
	if err != nil {
		return err
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("keep what the EMR refused: %w", err)
	}
	return s.run.Note(ctx, "evidence", raw)
}

// evidence returns what this run has gathered, also before it was broken off.
func (s *syncer) evidence() ([]Proof, error) {
	var before []Proof
	if err := s.progressOf("evidence", &before); err != nil {
		return nil, err
	}
	all := &Evidence{}
	for _, p := range append(before, s.o.Evidence.take()...) {
		last := p.Last
		all.add(p)
		for i := range all.list {
			if q := &all.list[i]; q.Kind == p.Kind && q.Class == p.Class && q.Type == p.Type && q.Status == p.Status {
				q.Last = last
			}
		}
	}
	return all.take(), nil
}
