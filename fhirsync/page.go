package fhirsync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"chartcellar/fhirsync/rest"
	"chartcellar/store"
	"chartcellar/store/scan"
)

// maxPages bounds the pages of one window (P89).
const maxPages = 100_000

// A pageState is how far a window is, durable with the records it covers.
type pageState struct {
	Next     string `json:"next,omitempty"` // link of the next page
	Pages    int    `json:"pages"`
	Records  int    `json:"records"` // each once, as far as this process has seen
	Total    int    `json:"total"`   // as the first page said; -1
	Verified bool   `json:"verified,omitempty"`
	Done     bool   `json:"done,omitempty"`
	Split    bool   `json:"split,omitempty"`  // its halves are read instead
	Failed   string `json:"failed,omitempty"` // why it is not whole
}

// A pager reads the pages of one window. It is used by one goroutine.
type pager struct {
	s     *syncer
	st    *search
	w     window
	state pageState
	scan  *scan.Scanner
	keys  []uint64        // records of the searched type on the page at hand
	ids   map[uint64]bool // records seen
	pages map[uint64]bool // pages seen: their links, and what they held
	whole bool            // ids are those of every page: the window was not continued
	again int             // how often it was started again
}

// window reads one window, or goes on where an earlier call stopped. It returns
// an error only where the run must stop; what the window lacks is noted with its
// type.
func (s *syncer) window(ctx context.Context, st *search, w window) error {
	p := &pager{s: s, st: st, w: w, scan: scan.New([32]byte{}), state: pageState{Total: -1}}
	if err := s.progressOf(w.name(st.Type), &p.state); err != nil {
		return err
	}
	if p.state.Done {
		p.account()
		return nil
	}
	if !p.state.Split {
		p.reset(p.state.Pages == 0)
		if err := p.read(ctx); err != nil {
			return err
		}
	}
	if !p.state.Split {
		p.account()
		return nil
	}
	a, b, _ := w.halves(s.o.Now())
	if err := s.window(ctx, st, a); err != nil {
		return err
	}
	return s.window(ctx, st, b)
}

func (p *pager) reset(whole bool) {
	p.ids, p.pages, p.whole = map[uint64]bool{}, map[uint64]bool{}, whole
}

// restart begins the window again from its first page: what came is stored, and
// coming again changes nothing.
func (p *pager) restart() {
	p.again++
	p.state = pageState{Total: -1}
	p.reset(true)
}

// first returns the address of the window's first page.
func (p *pager) first() string {
	q := p.w.query()
	prof := p.s.behaviour()
	q.Set("_count", strconv.Itoa(p.s.pageSize()))
	if prof.Sort == Yes {
		q.Set("_sort", "_lastUpdated,_id")
	}
	if prof.Total == Yes {
		q.Set("_total", "accurate")
	}
	return rest.Query(p.st.Type, q)
}

// behaviour returns the server's profile as it is known now.
func (s *syncer) behaviour() Profile {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.profile
}

// learn changes the profile.
func (s *syncer) learn(f func(*Profile)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.profile)
}

func (s *syncer) pageSize() int { return orElse(s.behaviour().Size, 100) }

// read reads pages to the end of the window.
func (p *pager) read(ctx context.Context) error {
	for {
		addr := p.state.Next
		if addr == "" {
			addr = p.first()
		}
		page, err := p.s.o.Client.Page(ctx, addr, "search of "+p.st.Type, p.s.behaviour().Strict == Yes)
		if err == nil {
			err = p.check(page, addr)
		}
		var on bool
		if err != nil {
			on, err = p.trouble(ctx, err)
		} else {
			on, err = p.take(ctx, page)
		}
		if err != nil || !on {
			return err
		}
	}
}

// Why a page is not what was asked for.
var (
	errIgnored = errors.New("the EMR's search passes over the question for changes")
	errLoop    = errors.New("the EMR's pages lead in a circle")
	errCapped  = errors.New("the EMR gives no more than a part of what a search finds")
)

// check looks whether a page is an answer to what was asked: its self link (P87),
// the dates of what it holds, and what it says of itself (P91).
func (p *pager) check(page *rest.Page, addr string) error {
	if page.Type != "searchset" {
		return &rest.Error{Kind: rest.NotFHIR, Class: "search of " + p.st.Type}
	}
	if p.state.Pages == 0 && page.Self != "" && !selfHas(page.Self, p.w.query()) {
		return errIgnored
	}
	if len(p.pages) > maxPages || p.pages[sum(addr)] {
		return errLoop
	}
	p.pages[sum(addr)] = true
	p.keys = p.keys[:0]
	content := fnv.New64a()
	for _, e := range page.Entries {
		if e.Mode == "outcome" || e.Resource == nil {
			if slices.ContainsFunc(rest.ParseIssues(e.Resource), rest.Issue.Short) {
				return errCapped
			}
			continue
		}
		f, err := p.scan.Facts(e.Resource)
		if err != nil {
			continue // the store puts it into quarantine and counts it
		}
		content.Write(f.ID)
		content.Write([]byte{0})
		if string(f.Type) != p.st.Type {
			continue
		}
		if !p.inside(f.LastUpdated) {
			return errIgnored
		}
		p.keys = append(p.keys, sum(string(f.ID)))
	}
	if h := content.Sum64(); len(page.Entries) > 0 {
		if p.pages[h] {
			return errLoop
		}
		p.pages[h] = true
	}
	return nil
}

// inside reports whether a resource's date is in the window, with a second to
// spare: some servers keep no finer time.
func (p *pager) inside(lastUpdated []byte) bool {
	ms, ok := scan.LastUpdatedMillis(lastUpdated)
	if !ok {
		return true
	}
	t := time.UnixMilli(ms)
	return (p.w.From.IsZero() || !t.Before(p.w.From.Add(-time.Second))) &&
		(p.w.To.IsZero() || t.Before(p.w.To.Add(time.Second)))
}

// selfHas reports whether a self link names every parameter of a query.
func selfHas(self string, q url.Values) bool {
	u, err := url.Parse(self)
	if err != nil {
		return true // it says nothing
	}
	got := u.Query()
	for name, want := range q {
		if len(got[name]) < len(want) {
			return false
		}
	}
	return true
}

func sum(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// take hands the records of a page to the mirror, with the link of the next.
func (p *pager) take(ctx context.Context, page *rest.Page) (on bool, err error) {
	if p.state.Pages == 0 {
		p.state.Total = page.Total
	}
	lines := p.lines(page)
	p.state.Pages++
	p.state.Next = page.Next
	if page.Next == "" {
		if on, err = p.end(ctx); err != nil || on {
			return on, errors.Join(err, p.add(ctx, lines, nil))
		}
	}
	progress, err := json.Marshal(p.state)
	if err != nil {
		return false, fmt.Errorf("note the progress of a search: %w", err)
	}
	p.s.o.Events(Event{Kind: "page", Type: p.st.Type, Count: p.state.Records, Files: p.state.Total})
	return !p.state.Done, p.add(ctx, lines, progress)
}

// add hands lines to the mirror; with progress they become durable together.
func (p *pager) add(ctx context.Context, lines []byte, progress json.RawMessage) error {
	c := store.Chunk{Lines: lines, Type: p.st.Type, File: "search of " + p.st.Type, Offset: int64(p.state.Pages),
		Listing: p.st.Whole && len(p.s.past) > 0}
	if progress != nil {
		c.Name, c.Progress, c.Boundary = p.w.name(p.st.Type), progress, 10*time.Second
	}
	return p.s.run.Add(ctx, c)
}

// matches are the entries that hold what was searched or included.
func matches(page *rest.Page) []scan.Entry {
	return slices.DeleteFunc(slices.Clone(page.Entries), func(e scan.Entry) bool {
		return e.Mode == "outcome" || e.Resource == nil
	})
}

// lines counts the records of a page that was checked, and makes one line of each
// resource: the very bytes, but for white space where they span lines.
func (p *pager) lines(page *rest.Page) []byte {
	for _, key := range p.keys {
		if !p.ids[key] {
			p.ids[key] = true
			p.state.Records++
		}
	}
	b := make([]byte, 0, page.Size)
	for _, e := range matches(page) {
		b = appendLine(b, e.Resource)
	}
	return b
}

// appendLine appends a resource as one line.
func appendLine(b, resource []byte) []byte {
	if slices.Contains(resource, '\n') || slices.Contains(resource, '\r') {
		b = scan.Compact(b, resource)
	} else {
		b = append(b, resource...)
	}
	return append(b, '\n')
}

// end is called behind the last page: it compares what came with what the server
// counts (P90). on means that the window is read once more.
func (p *pager) end(ctx context.Context) (on bool, err error) {
	total := p.state.Total
	if short := total < 0 || p.state.Records < total; short && p.s.behaviour().Count == Yes {
		n, cerr := p.s.o.Client.Count(ctx, p.st.Type, p.w.query())
		if cerr != nil && stops(ctx, cerr) {
			return false, p.s.waits(cerr)
		}
		if cerr == nil {
			total = n
		}
	}
	p.state.Verified = total >= 0 && p.state.Records >= total
	switch {
	case p.state.Verified, total < 0 && p.whole:
		p.state.Done = true
	case p.again < 2:
		p.restart()
		return true, nil
	default:
		p.giveUp(fmt.Sprintf("its search gave %d records where the EMR counts %d", p.state.Records, total))
	}
	return false, nil
}

// giveUp ends the window as not whole.
func (p *pager) giveUp(why string) {
	p.state.Done, p.state.Next, p.state.Failed = true, "", why
}

// finish makes the end of a window durable.
func (p *pager) finish(ctx context.Context) error {
	progress, err := json.Marshal(p.state)
	if err != nil {
		return fmt.Errorf("note the end of a search: %w", err)
	}
	return p.s.run.Note(ctx, p.w.name(p.st.Type), progress)
}

// account adds a finished window to the report.
func (p *pager) account() {
	s := p.s
	s.mu.Lock()
	if p.st.Whole {
		s.listed[p.st.Type] += p.state.Records
	} else {
		s.since[p.st.Type] += p.state.Records
	}
	s.report.Pages += p.state.Pages
	if !p.state.Verified {
		s.report.unverified[p.st.Type] = true
	}
	s.mu.Unlock()
	if p.state.Failed != "" {
		s.fail(p.st.Type, "page", p.state.Failed)
	}
}

// trouble decides what an error of a page means: on means that reading goes on.
func (p *pager) trouble(ctx context.Context, err error) (on bool, out error) {
	if stops(ctx, err) {
		return false, p.s.waits(err)
	}
	later := p.state.Pages > 0
	switch {
	case errors.Is(err, errCapped), !later && rest.Is(err, rest.Timeout, rest.TooLarge):
		return p.narrow(ctx, err)
	case errors.Is(err, errIgnored):
		p.s.learn(func(f *Profile) { f.LastUpdated[p.st.Type] = Ignored })
		p.giveUp(err.Error())
	case errors.Is(err, errLoop):
		if done, derr := p.allHere(ctx); done || derr != nil {
			return false, errors.Join(derr, p.finish(ctx))
		}
		p.giveUp(err.Error())
	case later && rest.Is(err, rest.Gone, rest.NotFound, rest.Refused):
		// The link has expired, or the last page links to one that is not there.
		if done, derr := p.allHere(ctx); done || derr != nil {
			return false, errors.Join(derr, p.finish(ctx))
		}
		return p.onceMore(ctx, "the links from page to page expire before they are read")
	case !later && rest.Is(err, rest.Refused) && p.relax():
		return true, nil
	case rest.Is(err, rest.ServerBroken, rest.Cut, rest.NotFHIR, rest.Timeout, rest.TooLarge):
		return p.onceMore(ctx, "a page could not be read: "+words(err))
	default:
		p.giveUp("a page could not be read: " + words(err))
	}
	return false, p.finish(ctx)
}

// words are an error's kind and status, without anything of the request.
func words(err error) string {
	var e *rest.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	switch e.Kind {
	case rest.OtherOrigin:
		return fmt.Sprintf("the next page would be at %s, another address than the EMR's", e.Detail)
	case rest.DNS:
		return "the name of its host is not known"
	case rest.UnsafeURL:
		return "its address is no https address on the internet, and such are not followed"
	case rest.Certificate:
		return "the certificate of its host is not good"
	}
	if e.Status != 0 {
		return fmt.Sprintf("%s (HTTP %d)", e.Kind, e.Status)
	}
	return string(e.Kind)
}

// onceMore starts the window again, or in halves, up to three times.
func (p *pager) onceMore(ctx context.Context, why string) (bool, error) {
	if p.again < 2 {
		p.restart()
		return true, nil
	}
	p.giveUp(why)
	return false, p.finish(ctx)
}

// narrow asks for less at once: a smaller page after a time-out, halves of the
// window where the server gives no more than a part (P91, P99).
func (p *pager) narrow(ctx context.Context, err error) (bool, error) {
	if !errors.Is(err, errCapped) && p.s.pageSize() > 20 {
		p.s.learn(func(f *Profile) { f.Size = orElse(f.Size, 100) / 2 })
		p.restart()
		return true, nil
	}
	if _, _, ok := p.w.halves(p.s.o.Now()); ok && p.st.Dated {
		p.state = pageState{Split: true, Total: -1}
		return false, p.finish(ctx)
	}
	p.giveUp(err.Error())
	if !errors.Is(err, errCapped) {
		p.giveUp("a page could not be read: " + words(err))
	}
	return false, p.finish(ctx)
}

// allHere reports whether every record that the server counts in the window has
// come, though its pages have no proper end.
func (p *pager) allHere(ctx context.Context) (bool, error) {
	if p.s.behaviour().Count != Yes {
		return false, nil
	}
	n, err := p.s.o.Client.Count(ctx, p.st.Type, p.w.query())
	if err != nil && stops(ctx, err) {
		return false, p.s.waits(err)
	}
	if err != nil || n < 0 || p.state.Records < n {
		return false, nil
	}
	p.state.Done, p.state.Verified, p.state.Next = true, true, ""
	return true, nil
}

// relax gives up what a server refuses with 400, one thing at a time: strictness,
// order, totals (P88, P99).
func (p *pager) relax() (changed bool) {
	p.s.learn(func(f *Profile) {
		for _, a := range []*Answer{&f.Strict, &f.Sort, &f.Total} {
			if *a == Yes && !changed {
				*a, changed = No, true
			}
		}
	})
	return changed
}

// ascending reports whether the entries of a page stand in the order of their
// dates.
func ascending(page *rest.Page) bool {
	s := scan.New([32]byte{})
	last := int64(-1 << 62)
	for _, e := range matches(page) {
		f, err := s.Facts(e.Resource)
		ms, ok := scan.LastUpdatedMillis(f.LastUpdated)
		if err != nil || !ok || ms < last {
			return false
		}
		last = ms
	}
	return !strings.Contains(page.Self, "?") || strings.Contains(page.Self, "_sort")
}
