package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"

	"chartcellar/fhirsync/rest"
)

// A File is one row of a manifest.
type File struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Count int    `json:"count"` // lines, as the server says; -1: not said
}

// A Manifest lists the files of a finished job, in any of the three dialects
// (1.0.1, 2.0/3.0, 4.0 draft; P61).
type Manifest struct {
	Time    string `json:"time"`  // transactionTime as written
	Token   bool   `json:"token"` // files need the access token
	Output  []File `json:"output"`
	Deleted []File `json:"deleted"`
	Errors  []File `json:"errors"`
	next    string
}

// ParseManifest reads a manifest; missing lists are empty, unknown members are
// passed over.
func ParseManifest(raw []byte) (Manifest, error) {
	type row struct {
		Type, URL string
		Count     *int
	}
	var m struct {
		TransactionTime     string
		RequiresAccessToken any
		Output              []row
		Deleted             []row
		Error               []row
		Outcome             []row
		Link                []struct{ Relation, URL string }
	}
	if err := json.Unmarshal(raw, &m); err != nil || m.Output == nil && m.TransactionTime == "" {
		return Manifest{}, &rest.Error{Kind: rest.NotFHIR, Class: "bulk manifest"}
	}
	files := func(rows []row) []File {
		list := []File{}
		for _, r := range rows {
			f := File{r.Type, r.URL, -1}
			if r.Count != nil {
				f.Count = *r.Count
			}
			list = append(list, f)
		}
		return list
	}
	out := Manifest{Time: m.TransactionTime, Output: files(m.Output), Deleted: files(m.Deleted),
		Errors: append(files(m.Error), files(m.Outcome)...)}
	// A missing flag means yes: the client sends a token to its own origin only.
	out.Token = m.RequiresAccessToken != false && m.RequiresAccessToken != "false"
	for _, l := range m.Link {
		if l.Relation == "next" {
			out.next = l.URL
		}
	}
	return out, nil
}

// follow reads the further pages of a manifest (P55).
func (m *Manifest) follow(ctx context.Context, c Client, from string) error {
	seen := map[string]bool{}
	for m.next != "" {
		u, err := resolve(from, m.next)
		if err != nil {
			return err
		}
		if seen[u] || !sameOrigin(from, u) || len(seen) > 1000 {
			return &rest.Error{Kind: rest.UnsafeURL, Class: "bulk manifest page"}
		}
		seen[u] = true
		resp, err := c.Do(ctx, rest.Request{URL: u, Accept: "application/json", Class: "bulk manifest page"})
		if err != nil {
			return err
		}
		page, err := ParseManifest(resp.Body)
		if err != nil {
			return err
		}
		m.Output, m.Deleted = append(m.Output, page.Output...), append(m.Deleted, page.Deleted...)
		m.Errors, m.next = append(m.Errors, page.Errors...), page.next
	}
	return nil
}

func sameOrigin(a, b string) bool {
	x, err1 := url.Parse(a)
	y, err2 := url.Parse(b)
	return err1 == nil && err2 == nil && x.Scheme == y.Scheme && x.Host == y.Host
}

// absolute resolves the file addresses against the status address.
func (m *Manifest) absolute(from string) error {
	for _, list := range [][]File{m.Output, m.Deleted, m.Errors} {
		for i := range list {
			u, err := resolve(from, list[i].URL)
			if err != nil {
				return err
			}
			list[i].URL = u
		}
	}
	return nil
}

// times are the forms of transactionTime that servers write (P62).
var times = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700",
	"2006-01-02T15:04:05.999999999", "2006-01-02"}

// ParseTime reads a transactionTime; without an offset it is UTC, and a leap
// second is the second before.
func ParseTime(s string) (time.Time, error) {
	s = strings.Replace(s, ":60", ":59", 1)
	for _, layout := range times {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("the export's time cannot be read")
}

// Cursor returns where the next export of the same kind continues: the earlier
// of transactionTime and the kick-off's Date, less the overlap, and never in
// the server's future (P62, P63). note says what was odd.
func Cursor(m Manifest, j Job, overlap time.Duration, serverNow time.Time) (since time.Time, note string) {
	t, err := ParseTime(m.Time)
	switch {
	case err != nil && j.ServerDate.IsZero():
		return time.Time{}, "the EMR gave no usable time: the next run compares everything"
	case err != nil:
		t, note = j.ServerDate, "the EMR's export time could not be read; the time of the request was taken"
	case !j.ServerDate.IsZero() && j.ServerDate.Before(t):
		t = j.ServerDate
	}
	if t.After(serverNow) {
		t = serverNow
	}
	return t.Add(-overlap).UTC(), note
}

// A Ref names a record that the server deleted.
type Ref struct{ Type, ID string }

// ParseDeleted reads one line of a deleted file: a Bundle of type transaction
// with DELETE entries. Queries are passed over and counted (P75).
func ParseDeleted(line []byte) (refs []Ref, ignored int, err error) {
	b, err := fhir.UnmarshalBundle(line)
	if err != nil {
		return nil, 0, errors.New("a line of the deleted list is no Bundle")
	}
	for _, e := range b.Entry {
		if e.Request == nil || e.Request.Method != fhir.HTTPVerbDELETE {
			ignored++
			continue
		}
		parts := strings.Split(strings.TrimPrefix(e.Request.Url, "/"), "/")
		if strings.ContainsAny(e.Request.Url, "?#") || len(parts) < 2 {
			ignored++
			continue
		}
		refs = append(refs, Ref{parts[len(parts)-2], parts[len(parts)-1]})
	}
	return refs, ignored, nil
}

// An Issue is one OperationOutcome of an error file (P74).
type Issue struct {
	Failed bool     // severity error or fatal
	Types  []string // the types it names; none: it may touch any
	Text   string   // the server's words; they may name a patient
}

// ParseIssue reads one line of an error file; types are those of the job.
func ParseIssue(line []byte, types []string) (Issue, error) {
	var m struct {
		ResourceType string
		Issue        []struct {
			Severity, Code, Diagnostics string
			Details                     struct{ Text string }
			Expression                  []string
		}
	}
	if err := json.Unmarshal(line, &m); err != nil || m.ResourceType != "OperationOutcome" {
		return Issue{}, fmt.Errorf("a line of the error list is no OperationOutcome")
	}
	var out Issue
	for _, i := range m.Issue {
		out.Failed = out.Failed || i.Severity == "error" || i.Severity == "fatal"
		text := strings.TrimSpace(i.Details.Text + " " + i.Diagnostics)
		out.Text = clip(strings.TrimSpace(out.Text + " " + text))
		for _, t := range named(text+" "+strings.Join(i.Expression, " "), types) {
			if !slices.Contains(out.Types, t) {
				out.Types = append(out.Types, t)
			}
		}
	}
	return out, nil
}
