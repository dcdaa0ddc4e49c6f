package fhirsync

import (
	"maps"
	"slices"
	"strings"

	"chartcellar/store/index"
)

// A gap is one row of the ledger of gaps.
type gap = index.Gap

// loadGaps reads the open gaps of the source.
func (s *syncer) loadGaps() error {
	list, err := s.m.Gaps(s.o.Source.Name)
	s.gaps = map[string]gap{}
	for _, g := range list {
		s.gaps[strings.TrimPrefix(g.ID, s.o.Source.Name+"/")] = g
	}
	return err
}

// openGap opens a gap, or says that it is still open; durable with the next part.
// Where there are many, a gap of an attachment is written again only when its
// reason changes.
func (s *syncer) openGap(g gap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	short := g.ID
	old, known := s.gaps[short]
	g.ID = s.o.Source.Name + "/" + short
	g.Since, g.Tries = s.report.Started, 1
	if known {
		g.Since, g.Tries = old.Since, old.Tries+1
	}
	s.gaps[short] = g
	if !known || g.Kind != "attachment" || g.Reason != old.Reason || len(s.gaps) <= maxListed {
		s.run.Gap(g)
	}
}

// closeGap closes a gap if it is open; evidence says how it ended.
func (s *syncer) closeGap(id, evidence string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, known := s.gaps[id]
	if !known {
		return
	}
	g.Closed = evidence
	delete(s.gaps, id)
	s.run.Gap(g)
	s.report.ClosedGaps++
}

// isOpen reports whether a gap is open.
func (s *syncer) isOpen(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, open := s.gaps[id]
	return open
}

// retryWhole reports whether a type is listed whole because lines of it could
// not be read: three times, then only in full runs.
func (s *syncer) retryWhole(typ string) bool {
	g, open := s.gaps["line/"+typ]
	return open && g.Tries <= 3
}

// typeGaps keeps the gaps of a row: the one that holds its cursor, and the one of
// lines that are no resource, which the cursor passes.
func (s *syncer) typeGaps(r *TypeRow) {
	if s.report.interrupted {
		return
	}
	if r.Gap != "" && r.GapKind != "line" {
		s.openGap(gap{ID: "type/" + r.Type, Kind: r.GapKind, Type: r.Type, Reason: r.Gap})
	} else if r.Asked {
		s.closeGap("type/"+r.Type, "the type came whole")
	}
	if r.Quarantine > 0 {
		s.openGap(gap{ID: "line/" + r.Type, Kind: "line", Type: r.Type, Reason: lineGap(r.Quarantine)})
	} else if r.Full && r.Gap == "" {
		s.closeGap("line/"+r.Type, "a whole listing had no such line")
	}
}

// openGaps returns the open gaps, those that hold a cursor first.
func (s *syncer) openGaps() []gap {
	list := slices.Collect(maps.Values(s.gaps))
	order := map[string]int{"type": 0, "file": 1, "page": 2, "patient": 3, "line": 4, "attachment": 5}
	slices.SortFunc(list, func(a, b gap) int {
		if c := order[a.Kind] - order[b.Kind]; c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}
