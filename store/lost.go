package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"chartcellar/store/archive"
	"chartcellar/store/disk"
	"chartcellar/store/index"
)

// ErrUnfinished says that a run of the source has not ended.
var ErrUnfinished = errors.New("a pull of this source has not ended")

// A LostFile is a part or an attachment that was declared lost.
type LostFile struct {
	File string    `json:"file"` // below the data folder, with '/'
	At   time.Time `json:"at"`   // when that was
	Run  uint32    `json:"run"`  // the run that states it
	// Again says that there is a file of this name again: the content of the attachment
	// was fetched once more.
	Again bool `json:"again,omitempty"`
}

// Lost returns what was declared lost, in the order of the archive. It stays in the
// list for ever, unless a copy turns up and Repair takes it back.
func (m *Mirror) Lost() ([]LostFile, error) {
	parts, err := m.Parts()
	if err != nil {
		return nil, err
	}
	var list []LostFile
	kept := map[string]bool{}
	add := func(name string, by uint32) {
		one := LostFile{File: name}
		if by > 0 && int(by) <= len(parts) {
			one.Run = parts[by-1].Run
			r, _ := m.index.Head(one.Run)
			one.At = r.Ended
		}
		list = append(list, one)
	}
	for _, p := range parts {
		if p.Lost > 0 {
			add(partFile(p.Number), p.Lost)
		}
		for _, f := range p.Files {
			if kept[f.Name] = f.Lost == 0; f.Lost > 0 {
				add(f.Name, f.Lost)
			}
		}
	}
	for i := range list {
		list[i].Again = kept[list[i].File]
	}
	return list, nil
}

// LostLeaves returns the places in the log of a part that was declared lost.
func (m *Mirror) LostLeaves(p index.Part) ([]tlog.Hash, error) { return m.index.Leaves(p.Number) }

// A LossRecord is the record of a run that declares files lost.
type LossRecord struct {
	Verdict string   `json:"verdict"`
	Files   []string `json:"files"`
	Harm    Harm     `json:"harm"`
}

// lossLines bounds the lines of the parts that one loss record states.
const lossLines = 100_000

// DeclareLost states for ever that parts and attachments are lost which are damaged
// or missing and of which no copy is left. by is who decided it. From then on:
//
// their records no longer count as held, so that the next pull, which is a full one,
// brings those that the EMR still has again; no older version passes for the newest:
// reading one whose newest is lost is ErrLost; attachments are wanted again; the index
// can be made anew without the files; what is left of them lies in the quarantine.
//
// Nothing is changed if one of the files is good (ErrNotFound), or if a pull of their
// source was begun and has not ended (ErrUnfinished). There is one loss record for
// each source and some parts; after an error those before it stand.
func (m *Mirror) DeclareLost(ctx context.Context, by string, files ...string) error {
	if m.ReadOnly() {
		return ErrReadOnly
	}
	groups, err := m.lostGroups(files)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if err := m.declare(ctx, by, g); err != nil {
			return err
		}
	}
	return nil
}

// A lostGroup is what one loss record states.
type lostGroup struct {
	source string
	parts  []index.Part
	files  []index.File
	names  []string
	lines  int
}

// lostGroups checks the files and sorts them by their sources.
func (m *Mirror) lostGroups(files []string) ([]*lostGroup, error) {
	parts, err := m.Parts()
	if err != nil {
		return nil, err
	}
	var groups []*lostGroup
	found := 0
	for _, p := range parts {
		r, _ := m.index.Head(p.Run)
		name := partFile(p.Number)
		if p.Lost == 0 && slices.Contains(files, name) {
			g := groupOf(&groups, r.Source, p.Lines)
			g.parts, g.names, found = append(g.parts, p), append(g.names, name), found+1
		}
		for _, f := range p.Files {
			if f.Lost == 0 && slices.Contains(files, f.Name) {
				g := groupOf(&groups, r.Source, 0)
				g.files, g.names, found = append(g.files, f), append(g.names, f.Name), found+1
			}
		}
	}
	if found < len(files) {
		return nil, fmt.Errorf("some of the files cannot be lost: %w", ErrNotFound)
	}
	for _, g := range groups {
		for _, name := range g.names {
			k, err := m.known(name)
			if err != nil {
				return nil, err
			}
			if k.good(m.local(name)) == nil {
				return nil, fmt.Errorf("%s is good: %w", name, ErrNotFound)
			}
		}
		if _, r, open, err := m.OpenRun(g.source); err != nil || open && r.Kind == "sync" {
			return nil, errors.Join(err, ErrUnfinished)
		}
	}
	return groups, nil
}

// groupOf returns the group of a source that has room for so many lines more.
func groupOf(groups *[]*lostGroup, source string, lines int) *lostGroup {
	for _, g := range *groups {
		if g.source == source && (g.lines+lines <= lossLines || lines == 0) {
			g.lines += lines
			return g
		}
	}
	g := &lostGroup{source: source, lines: lines}
	*groups = append(*groups, g)
	return g
}

// declare writes one loss record: a run of its own. It ends when what is left of the files
// is put aside: a run that fetches an attachment again gives it the same name.
func (m *Mirror) declare(ctx context.Context, by string, g *lostGroup) error {
	harm, err := m.Harm(ctx, g.names)
	if err != nil {
		return err
	}
	for _, name := range g.names {
		if err := m.Journal(Event{Code: "repair.lost", Account: by, Note: name}); err != nil {
			return err
		}
	}
	r, err := m.Begin(ctx, RunSpec{Source: g.source, Kind: "repair"})
	if err != nil {
		return err
	}
	defer r.Abort()
	if _, err := m.lostGroups(g.names); err != nil { // somebody may have been faster
		return err
	}
	lost, err := m.index.Losses(ctx, g.source, g.parts, g.files)
	if err != nil {
		return err
	}
	lost.At = m.now().UTC()
	r.pipe.lost = lost
	cursors, err := m.restart(g.source)
	if err != nil {
		return err
	}
	record, err := json.Marshal(LossRecord{"lost", g.names, harm})
	if err != nil {
		return err
	}
	err = r.close(ctx, Closing{States: index.RunStates{All: index.Applied}, Verdict: "lost", Cursors: cursors, Record: record})
	if err != nil {
		return err
	}
	return m.putLostAside()
}

// restart returns the cursors of a source, set back so that its next run is a full one.
func (m *Mirror) restart(source string) ([]index.Cursor, error) {
	if source == "" {
		return nil, nil
	}
	cursors, err := m.Cursors(source)
	for i := range cursors {
		cursors[i].Since = time.Time{}
	}
	return cursors, err
}

// putLostAside moves what is left of lost files into the quarantine. One that is
// whole stays: Repair takes it back. One under whose name the content was fetched
// again is another file.
func (m *Mirror) putLostAside() error {
	lost, err := m.Lost()
	if err != nil {
		return err
	}
	for _, l := range lost {
		if l.Again {
			continue
		}
		if info, err := m.fs.Stat(m.local(l.File)); errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
			continue
		}
		k, err := m.known(l.File)
		if err != nil {
			return err
		}
		if k.good(m.local(l.File)) == nil {
			continue
		}
		if n, isPart := signedPart(l.File); isPart {
			m.cache.forget(uint32(n))
		}
		if _, err := disk.Quarantine(m.fs, m.dir, m.local(l.File)); err != nil {
			return err
		}
		m.solved(l.File)
	}
	return nil
}

// A statedLosses is what loss records say, for whoever reads the archive from its
// beginning.
type statedLosses struct {
	m       *Mirror
	r       *index.Rebuild
	numbers []archive.PartNumber
	known   map[archive.PartNumber]statedLoss // nil: not read yet
	filled  map[archive.PartNumber]bool
}

type statedLoss struct {
	index.Loss
	runs map[uint32]index.RunState
	by   uint32
}

// fill puts a part that cannot be read into the index as a loss record states it. ok is
// false if none does.
func (s *statedLosses) fill(n archive.PartNumber) (l statedLoss, ok bool, err error) {
	if s.known == nil {
		s.read(n)
	}
	if l, ok = s.known[n]; !ok {
		return l, false, nil
	}
	s.filled[n] = true
	return l, true, s.r.AddLost(l.Loss, l.runs, l.by)
}

// read reads the loss records behind a part; the last one that states a loss counts.
func (s *statedLosses) read(behind archive.PartNumber) {
	s.known, s.filled = map[archive.PartNumber]statedLoss{}, map[archive.PartNumber]bool{}
	for _, n := range s.numbers {
		if n <= behind {
			continue
		}
		losses := s.m.lossesIn(n)
		if losses == nil {
			continue
		}
		for _, l := range losses.Files {
			if l.Part != nil {
				s.known[archive.PartNumber(l.Part.Number)] = statedLoss{l, losses.Runs, uint32(n)}
			}
		}
	}
}

// lossesIn returns what a part states to be lost; nil for nothing, and for a part that
// cannot be read.
func (m *Mirror) lossesIn(n archive.PartNumber) *index.Losses {
	id, err := m.key()
	if err != nil {
		return nil
	}
	p, err := m.openPart(uint32(n), id)
	if err != nil {
		return nil
	}
	defer p.Close() // read only
	s := scannedPart{n: n}
	if s.changes(p) != nil {
		return nil
	}
	return s.commit.Changes.Lost
}

// fit makes what a part changes fit the parts that are there: what was stated as lost
// and is here again counts, and of what was lost nothing can be decided any more,
// since the loss record has the outcome.
func (s *statedLosses) fit(c *index.Changes) {
	if c.Lost != nil {
		c.Lost.Files = slices.DeleteFunc(c.Lost.Files, func(l index.Loss) bool {
			if l.Part != nil {
				return !s.filled[archive.PartNumber(l.Part.Number)]
			}
			return s.m.sameBytes(sealedOf(*l.File))(s.m.local(l.File.Name)) == nil
		})
	}
	if len(s.filled) > 0 {
		dropDecisions(c, s.r.DB().States())
	}
}

// dropDecisions leaves out decisions about what is not here.
func dropDecisions(c *index.Changes, states index.States) {
	c.Decide = slices.DeleteFunc(c.Decide, func(d index.Decision) bool { return states[d.Run].Types[d.Type] != index.Held })
}
