package fhirsync

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"chartcellar/fhirsync/bulk"
	"chartcellar/fhirsync/rest"
	"chartcellar/fhirsync/smart"
	"chartcellar/store/index"
)

// A job is the durable record of what a run asks the EMR for.
type job struct {
	Run      uint32            `json:"run"`
	Scope    string            `json:"scope"` // what the settings asked for when it was planned
	Full     bool              `json:"full"`
	Planned  bool              `json:"planned"`
	Exports  []export          `json:"exports"`
	Searches []search          `json:"searches,omitempty"`
	Ways     map[string]Way    `json:"ways"`             // by type
	Denied   map[string]string `json:"denied,omitempty"` // type -> why it is not asked for
	Profile  Profile           `json:"profile"`
	Offered  Offered           `json:"offered"`
	Evidence []Proof           `json:"evidence,omitempty"` // of calls that ended before a run was planned
}

// Offered is what the EMR's capability statement said.
type Offered struct {
	Software string   `json:"software"`
	FHIR     string   `json:"fhir"`
	Hash     string   `json:"hash"` // SHA-256 of the statement, short
	Types    []string `json:"types"`
	Search   []string `json:"search,omitempty"`
	History  []string `json:"history,omitempty"`
}

// scope is what decides what a run asks for beside cursors: a run is continued
// only while it is the same.
func (s *syncer) scope() string {
	src := s.o.Source
	return strings.Join([]string{s.o.Client.Base(), src.Level, src.Group, src.Mode,
		strings.Join(src.Types, ",")}, "|")
}

// save makes the job record durable.
func (s *syncer) save() error {
	b, err := json.Marshal(s.job)
	if err != nil {
		return fmt.Errorf("write the job record: %w", err)
	}
	return s.m.SetJob(s.o.Source.Name, b)
}

// cleanUp ends what is left of earlier runs: jobs of a closed run are deleted at
// the EMR; an open run that cannot be continued is closed as interrupted.
func (s *syncer) cleanUp(ctx context.Context) error {
	raw, err := s.m.Job(s.o.Source.Name)
	if err != nil {
		return err
	}
	known := raw != nil
	if known {
		if err := json.Unmarshal(raw, &s.job); err != nil {
			return fmt.Errorf("read the job record: %w", err)
		}
	}
	for _, p := range s.job.Evidence {
		s.o.Evidence.add(p)
	}
	n, _, open, err := s.m.OpenRun(s.o.Source.Name)
	if err != nil {
		return err
	}
	usable := known && open && n == s.job.Run && s.job.Scope == s.scope() && (s.job.Full || !s.o.Full)
	if usable {
		return nil
	}
	if known {
		s.deleteJobs(ctx)
		if err := s.m.SetJob(s.o.Source.Name, nil); err != nil {
			return err
		}
		s.job = job{}
	}
	if open {
		return s.interrupt(ctx)
	}
	return nil
}

// interrupt closes the open run of the source: what it stored counts unless the
// guard holds it, and no cursor moves (archive.md 6).
func (s *syncer) interrupt(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.run.Abort()
	s.report.interrupted = true
	s.note("The run was broken off and could not be continued. What it had stored is kept.")
	if _, err := s.finish(ctx); err != nil {
		return err
	}
	s.clear()
	return nil
}

// plan decides what to ask for and how, unless an earlier call did.
func (s *syncer) plan(ctx context.Context) error {
	if s.job.Planned {
		s.profile = s.job.Profile
		if s.profile.LastUpdated == nil { // an empty one is not written
			s.profile.LastUpdated = map[string]Answer{}
		}
		s.deny()
		return nil
	}
	capability, err := s.o.Client.Capability(ctx)
	if err != nil {
		return err
	}
	last, err := s.lastReport()
	if err != nil {
		return err
	}
	s.job = job{Run: s.run.Number(), Scope: s.scope(), Full: s.o.Full,
		Denied: map[string]string{}, Ways: map[string]Way{}, Offered: offered(capability)}
	s.compareOffer(last)
	types, err := s.types(ctx, capability)
	if err != nil {
		return err
	}
	if err := s.probe(ctx, capability, types, last); err != nil {
		return err
	}
	for _, t := range types {
		s.job.Ways[t] = Choose(s.facts(t, capability, last))
	}
	if err := s.planStreams(ctx, types); err != nil {
		return err
	}
	s.job.Profile = s.profile
	s.deny()
	// The run stands in the archive before the EMR is asked for any record.
	s.job.Planned = true
	if err := s.run.Start(ctx); err != nil {
		return err
	}
	return s.save()
}

// deny notes the types that are not asked for.
func (s *syncer) deny() {
	for t, why := range s.job.Denied {
		s.fail(t, "type", why)
	}
	for t, w := range s.job.Ways {
		if w.Gap != "" {
			s.fail(t, "type", w.Gap)
		}
	}
}

func offered(c rest.Capability) Offered {
	sum := sha256.Sum256(c.Raw)
	return Offered{Software: c.Software, FHIR: c.FHIRVersion, Hash: hex.EncodeToString(sum[:8]), Types: c.Types,
		Search: c.Search, History: c.History}
}

// compareOffer says what the EMR no longer offers (P6).
func (s *syncer) compareOffer(last *Report) {
	if last == nil || last.Offered.Hash == "" || last.Offered.Hash == s.job.Offered.Hash {
		return
	}
	for _, t := range last.Offered.Types {
		if !slices.Contains(s.job.Offered.Types, t) && Mirrored(t) {
			s.note("The EMR no longer offers the type %s. What the mirror has of it stays.", t)
			s.o.Evidence.add(Proof{Class: "capability statement", Kind: "no longer offered", Type: t, At: s.o.Now()})
		}
	}
}

// planStreams makes exports and searches of the ways: everything where no cursor
// stands, the changes elsewhere.
func (s *syncer) planStreams(ctx context.Context, types []string) error {
	cursors, err := s.cursors()
	if err != nil {
		return err
	}
	var full, changed []string
	var since time.Time
	for _, t := range types {
		way := s.job.Ways[t]
		c, known := cursors[way.Mode][t]
		known = known && !c.Since.IsZero()
		whole := s.o.Full || !known || s.retryWhole(t)
		switch way.Mode {
		case "bulk":
			if whole {
				full = append(full, t)
			}
			if known {
				changed = append(changed, t)
				since = earlier(since, c.Since)
			}
		case "search", "listing":
			if err := s.planSearch(ctx, t, way.Mode, whole, c.Since); err != nil {
				return err
			}
		}
	}
	// Changes come first, also of a full run: a full export lists no deletions.
	s.addExport(changed, since)
	s.addExport(full, time.Time{})
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func (s *syncer) addExport(types []string, since time.Time) {
	if len(types) > 0 {
		s.job.Exports = append(s.job.Exports, export{State: "planned", Request: bulk.Request{
			Level: s.o.Source.Level, Group: s.o.Source.Group, Types: types, Since: since}})
	}
}

// notMirrored are types that hold no record of a practice.
var notMirrored = []string{"Bundle", "CapabilityStatement", "CompartmentDefinition", "GraphDefinition",
	"ImplementationGuide", "MessageDefinition", "OperationDefinition", "OperationOutcome", "Parameters",
	"SearchParameter", "StructureDefinition", "StructureMap", "Subscription", "TerminologyCapabilities",
	"TestReport", "TestScript"}

// Mirrored reports whether resources of a type are records of a practice.
func Mirrored(typ string) bool { return !slices.Contains(notMirrored, typ) }

// types returns what to ask for: what the settings or the server name, and what
// the token allows.
func (s *syncer) types(ctx context.Context, capability rest.Capability) ([]string, error) {
	types := s.o.Source.Types
	if len(types) == 0 {
		types = slices.DeleteFunc(slices.Clone(capability.Types), func(t string) bool {
			return !Mirrored(t)
		})
	}
	if s.o.Tokens == nil {
		return types, nil
	}
	if _, err := s.o.Tokens.Token(ctx); err != nil {
		return nil, err
	}
	granted, _ := s.o.Tokens.Granted()
	return slices.DeleteFunc(slices.Clone(types), func(t string) bool {
		if smart.Allows(granted, t) {
			return false
		}
		s.job.Denied[t] = "the EMR does not grant access to it"
		s.o.Evidence.add(Proof{Class: "sign-in", Kind: "not granted", Type: t, At: s.o.Now()})
		return true
	}), nil
}

// cursors returns the cursors of the source by mode and type.
func (s *syncer) cursors() (map[string]map[string]index.Cursor, error) {
	list, err := s.m.Cursors(s.o.Source.Name)
	out := map[string]map[string]index.Cursor{"bulk": {}, "search": {}, "listing": {}}
	for _, c := range list {
		fits := c.Mode == "bulk" && c.Group == s.o.Source.Group && c.Scope == s.o.Source.Level ||
			c.Mode == "search" || c.Mode == "listing"
		if fits {
			out[c.Mode][c.Type] = c
		}
	}
	return out, err
}

// lastReport returns the report of the source's last closed run; nil before the
// first.
func (s *syncer) lastReport() (*Report, error) {
	runs, err := s.m.Runs()
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		if r.Source != s.o.Source.Name || r.Kind != "sync" || r.Closing == 0 {
			continue
		}
		record, err := s.m.RunRecord(r.Number)
		if err != nil {
			return nil, err
		}
		var rep Report
		if json.Unmarshal(record, &rep) == nil && !rep.Interrupted() {
			return &rep, nil
		}
	}
	return nil, nil
}
