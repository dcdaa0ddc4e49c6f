package fhirsync

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"chartcellar/fhirsync/rest"
	"chartcellar/store"
	"chartcellar/store/index"
)

// maxReads bounds how many records one run reads by their id because others name
// them.
const maxReads = 5000

// dangles is how long a record that others name and the EMR does not have is not
// asked for again (P92).
const dangles = 7 * 24 * time.Hour

// references reads, by id, the records that others name and that neither export
// nor search gave: practitioners, medicines, the members of a panel (P92).
func (s *syncer) references(ctx context.Context) error {
	last, err := s.lastReport()
	if err != nil {
		return err
	}
	if last == nil {
		last = &Report{}
	}
	s.report.followed = map[string]int{}
	s.report.Dangling, s.report.Refused = s.lately(last.Dangling), s.lately(last.Refused)
	s.report.Withheld += len(s.report.Refused)
	reads, err := s.openReferences(ctx)
	for err == nil {
		list, all, uerr := s.run.Unresolved(ctx)
		if uerr != nil {
			return uerr
		}
		if !all {
			s.report.PartlyResolved = true
		}
		list = slices.DeleteFunc(list, func(k store.Key) bool {
			ref := k.String()
			return s.report.Dangling[ref] != 0 || s.report.Refused[ref] != 0 || s.isOpen(referenceGap(k))
		})
		if len(list) == 0 {
			return nil
		}
		for _, k := range list {
			if reads++; reads > maxReads {
				s.report.PartlyResolved = true
				return nil
			}
			if err := s.readReferenced(ctx, k); err != nil {
				return err
			}
		}
		err = s.run.Settle(ctx)
	}
	return err
}

// lately are those of the records that were asked for so lately that they are not
// asked for again.
func (s *syncer) lately(asked map[string]int64) map[string]int64 {
	out := map[string]int64{}
	for ref, at := range asked {
		if s.o.Now().Sub(time.Unix(at, 0)) < dangles {
			out[ref] = at
		}
	}
	return out
}

// referenceGap is the id of the gap of a record that others name.
func referenceGap(k store.Key) string {
	if k.Type == "Patient" {
		return "patient/" + k.ID
	}
	return "record/" + k.Type + "/" + k.ID
}

// openReferences tries the records again that are gaps because others name them.
func (s *syncer) openReferences(ctx context.Context) (reads int, err error) {
	for _, g := range s.openGaps() {
		typ, id, ok := strings.Cut(g.Ref, "/")
		if g.Kind != "patient" && g.Kind != "record" || !ok {
			continue
		}
		k := store.Key{Source: s.o.Source.Name, Type: typ, ID: id}
		held, err := s.m.Holds(k)
		if err != nil {
			return reads, err
		}
		if held {
			s.closeGap(referenceGap(k), "the record came")
			continue
		}
		if reads++; reads > maxReads {
			return reads, nil
		}
		if err := s.readReferenced(ctx, k); err != nil {
			return reads, err
		}
	}
	return reads, nil
}

// readReferenced reads one record that another names.
func (s *syncer) readReferenced(ctx context.Context, k store.Key) error {
	body, state, err := s.o.Client.Read(ctx, k.Type, k.ID)
	missed := func(kind, reason string) {
		s.openGap(gap{ID: referenceGap(k), Kind: kind, Type: k.Type, Ref: k.Type + "/" + k.ID, Reason: reason})
	}
	switch {
	case err != nil && stops(ctx, err):
		return s.waits(err)
	case rest.Is(err, rest.Forbidden) && k.Type == "Patient":
		s.report.Withheld++
		missed("patient", "records name this patient, and the EMR does not let us read him")
		return nil
	case rest.Is(err, rest.Forbidden):
		s.report.Withheld++
		s.report.Refused[k.String()] = s.o.Now().Unix()
	case err != nil && k.Type == "Patient":
		missed("patient", "records name this patient, and he could not be read: "+words(err))
		return nil
	case err != nil:
		missed("record", "other records name it, and it could not be read: "+words(err))
		return nil
	case state != rest.Found:
		s.report.Dangling[k.String()] = s.o.Now().Unix()
		s.closeGap(referenceGap(k), "the EMR says that it is not there")
		return nil
	default:
		s.report.Followed++
		s.report.followed[k.Type]++
		s.closeGap(referenceGap(k), "the record came")
		return s.addRead(ctx, k.Type, body)
	}
	s.closeGap(referenceGap(k), "the EMR does not let us read it")
	return nil
}

// addRead hands a record that was read by its id to the mirror.
func (s *syncer) addRead(ctx context.Context, typ string, body []byte) error {
	return s.run.Add(ctx, store.Chunk{Lines: appendLine(nil, body), Type: typ, File: "read of " + typ})
}

// maxAbsent bounds how many records that a listing lacked are asked for in one
// run; more than that is a matter for the guard.
const maxAbsent = 2000

// absences looks at the records that whole listings lacked: each is read, and one
// that the EMR says is deleted, or that is missing twice with a day between,
// becomes a tombstone (P84).
func (s *syncer) absences(ctx context.Context) error {
	counts, err := s.run.Counts(ctx)
	if err != nil {
		return err
	}
	s.report.absent = map[string][]index.Absence{}
	s.report.lacking = map[string]int{}
	for _, row := range s.rows(counts) {
		past := s.past[row.Type]
		whole := row.Full && (row.Gap == "" || s.none(row)) && past.Records > 0
		if !whole || row.Listed == 0 && past.listed() > few {
			continue
		}
		if err := s.absentOf(ctx, row); err != nil {
			return err
		}
	}
	return s.run.Flush(ctx)
}

// absentOf looks at the absent records of one type.
func (s *syncer) absentOf(ctx context.Context, row TypeRow) error {
	list, n, proved, err := s.run.Absent(ctx, row.Type, maxAbsent)
	if err != nil {
		return err
	}
	if !proved {
		s.note("What the EMR no longer has of type %s could not be told in this run; the next full run tells.", row.Type)
		return nil
	}
	s.report.lacking[row.Type], row.Lacking = n, n
	suspect := Suspect(row, s.past[row.Type]) != "" || n > maxAbsent
	marks := []index.Absence{}
	for _, a := range list {
		mark := a.Mark
		if !suspect && a.ID != "" {
			keep, err := s.askAbsent(ctx, row.Type, a, &mark)
			if err != nil {
				return err
			}
			if !keep {
				continue
			}
		}
		marks = append(marks, mark)
	}
	s.report.absent[row.Type] = marks
	return nil
}

// askAbsent reads a record that a listing lacked. keep says that its mark stays.
func (s *syncer) askAbsent(ctx context.Context, typ string, a store.Absent, mark *index.Absence) (keep bool, err error) {
	body, state, err := s.o.Client.Read(ctx, typ, a.ID)
	accepted := a.Again != nil && a.Again.How == "unread" && s.wasAccepted(a.Again.First, typ)
	switch {
	case err != nil && stops(ctx, err):
		return false, s.waits(err)
	case rest.Is(err, rest.Forbidden):
		s.report.Withheld++
		return true, nil
	case err != nil:
		return true, nil
	case state == rest.Found:
		return false, s.addRead(ctx, typ, body) // listed or not, it is there
	}
	t := store.Tombstone{Type: typ, ID: a.ID, Kind: "deleted", Detector: "absent"}
	if state == rest.Missing {
		first := a.Again != nil && a.Again.How == "missing"
		if !first {
			mark.How, mark.First, mark.At = "missing", s.report.Run, s.o.Now().Unix()
		}
		if !first || s.o.Now().Sub(time.Unix(a.Again.At, 0)) < s.o.Confirm {
			return true, nil
		}
		t.Kind = "missing"
	}
	if accepted {
		s.known[typ]++
	}
	return false, s.run.Tombstone(ctx, t)
}

// wasAccepted reports whether a person accepted what a run held of a type.
func (s *syncer) wasAccepted(run uint32, typ string) bool {
	runs, err := s.m.Runs()
	if err != nil {
		return false
	}
	for _, r := range runs {
		if r.Number == run {
			return r.States.Types[typ] == index.Applied
		}
	}
	return false
}

// counts asks the EMR how many resources of each type it has, where it says, and
// compares (P126).
func (s *syncer) counts(ctx context.Context) error {
	s.report.server = map[string]Checked{}
	snap, err := s.m.Now()
	if err != nil {
		return err
	}
	mirror, err := snap.Counts(s.o.Source.Name)
	if err != nil {
		return err
	}
	done, err := s.run.Counts(ctx)
	if err != nil {
		return err
	}
	here := func(t string) int { return mirror[t] - done[t].Removed + done[t].Returned + done[t].Again }
	for t := range mirror { // also what is not asked for now, or came only because others name it
		s.report.server[t] = Checked{Server: -1, Mirror: here(t)}
	}
	for t, way := range s.job.Ways {
		c := Checked{Server: -1, Mirror: here(t)}
		if way.Mode != "none" && slices.Contains(s.job.Offered.Search, t) {
			if err := s.countType(ctx, t, way, &c); err != nil {
				return err
			}
		} else {
			c.Reason = "the EMR cannot be asked how many it has"
		}
		s.report.server[t] = c
	}
	return nil
}

// countDrops reports whether the EMR counts so few of a type that its list of
// changes cannot be believed: an outage that answers every question with nothing
// looks like a quiet day. Of a whole listing the guard judges.
func (s *syncer) countDrops(t string, n, fewer int) bool {
	for _, st := range s.job.Searches {
		if st.Type == t && st.Whole {
			return false
		}
	}
	for _, e := range s.job.Exports {
		if e.Request.Since.IsZero() && slices.Contains(e.Request.Types, t) {
			return false
		}
	}
	lost := fewer - s.past[t].Surplus
	return n == 0 && lost > 0 || over(lost, few, s.past[t].Records, 0.01)
}

// countType asks for one type, and says what a difference means.
func (s *syncer) countType(ctx context.Context, t string, way Way, c *Checked) error {
	n, err := s.o.Client.Count(ctx, t, nil)
	if err != nil && stops(ctx, err) {
		return s.waits(err)
	}
	if err != nil || n < 0 {
		c.Reason = "the EMR did not say how many it has"
		return nil
	}
	c.Server = n
	diff := n - c.Mirror
	changing := 0
	if diff > 0 && s.profile.LastUpdated[t] == Unknown {
		if err := s.probeType(ctx, t); err != nil {
			return err
		}
	}
	if diff > 0 && s.profile.LastUpdated[t] == Yes {
		since := s.o.Client.ServerNow().Add(-s.o.Margin - s.o.Now().Sub(s.report.Started))
		changing, err = s.o.Client.Count(ctx, t, window{From: since}.query())
		if err != nil && stops(ctx, err) {
			return s.waits(err)
		}
	}
	switch {
	case diff == 0:
	case s.countDrops(t, n, -diff):
		c.Reason = fmt.Sprintf("the EMR counts %d fewer than are here", -diff)
		s.fail(t, "type", c.Reason)
	case diff < 0:
		c.Reason = fmt.Sprintf("%d that the EMR seems to have no longer are kept here", -diff)
	case way.Mode == "bulk" && s.o.Source.Level != "system":
		c.Reason = "the export covers a part of what the EMR counts"
	case diff <= changing:
		c.Reason = "written at the EMR while the pull went on; the next run brings them"
	default:
		c.Reason = fmt.Sprintf("the EMR counts %d more than it gave", diff)
		s.fail(t, "type", c.Reason)
	}
	return nil
}
