package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"chartcellar/store/scan"
)

// A Page is one page of a search or a history.
type Page struct {
	scan.Bundle // Next is checked and absolute; "" on the last page
	Date        time.Time
	Size        int
}

// scanners are reused: a Scanner holds buffers.
var scanners = sync.Pool{New: func() any { return scan.New([32]byte{}) }}

// Page fetches one page: the first by its parameters, the later ones by the link
// of the page before, byte for byte (P89). The next link must be of the base's
// origin (P114). strict asks the server to refuse what it does not know (P88).
func (c *Client) Page(ctx context.Context, addr, class string, strict bool) (*Page, error) {
	r := Request{URL: addr, Class: class}
	if strict {
		r.Prefer = "handling=strict"
	}
	resp, err := c.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	s := scanners.Get().(*scan.Scanner)
	defer scanners.Put(s)
	b, err := s.Bundle(resp.Body)
	if err != nil {
		return nil, &Error{Kind: NotFHIR, Class: class, Status: resp.Status, err: err}
	}
	p := &Page{Bundle: b, Date: resp.Date, Size: len(resp.Body)}
	p.Next, err = c.nextLink(addr, b.Next, class)
	return p, err
}

// nextLink returns the absolute address of a page's next link. One on another
// origin is refused; if it is the base's path on another host, as a proxy that
// leaks its inside gives it, Options.RewriteOrigin puts the base's origin in its
// place.
func (c *Client) nextLink(from, next, class string) (string, error) {
	if next == "" {
		return "", nil
	}
	at, err := c.resolve(Request{URL: from})
	if err != nil {
		return "", err
	}
	u, err := at.Parse(next)
	if err != nil {
		return "", &Error{Kind: UnsafeURL, Class: class}
	}
	if origin(u) == origin(c.base) {
		return u.String(), nil
	}
	benign := u.User == nil && strings.HasPrefix(u.Path, c.base.Path+"/")
	if benign && c.o.RewriteOrigin {
		u.Scheme, u.Host = c.base.Scheme, c.base.Host
		return u.String(), nil
	}
	e := &Error{Kind: UnsafeURL, Class: class}
	if benign {
		e.Detail = u.Scheme + "://" + u.Host
		e.Kind = OtherOrigin
	}
	return "", e
}

// Count asks how many resources a search finds (_summary=count); -1 if the reply
// does not say.
func (c *Client) Count(ctx context.Context, typ string, q url.Values) (int, error) {
	v := url.Values{"_summary": {"count"}}
	for k, list := range q {
		v[k] = list
	}
	p, err := c.Page(ctx, Query(typ, v), "count of "+typ, false)
	if err != nil {
		return -1, err
	}
	return p.Total, nil
}

// Query returns the relative address of a type-level search.
func Query(typ string, q url.Values) string {
	if len(q) == 0 {
		return typ
	}
	// FHIR servers read commas and colons as they are; so do the logs.
	return typ + "?" + strings.NewReplacer("%2C", ",", "%3A", ":").Replace(q.Encode())
}

// An Issue is one issue of an OperationOutcome.
type Issue struct {
	Severity string
	Code     string
	Details  []string // codes in details.coding
	Text     string
}

// ParseIssues reads an OperationOutcome, also one with codes that R4 does not
// know; of anything else it returns nothing.
func ParseIssues(body []byte) []Issue {
	var m struct {
		Issue []struct {
			Severity, Code, Diagnostics string
			Details                     struct {
				Text   string
				Coding []struct{ Code string }
			}
		}
	}
	if json.Unmarshal(body, &m) != nil {
		return nil
	}
	var list []Issue
	for _, i := range m.Issue {
		one := Issue{Severity: i.Severity, Code: i.Code, Text: strings.TrimSpace(i.Details.Text + " " + i.Diagnostics)}
		for _, c := range i.Details.Coding {
			one.Details = append(one.Details, c.Code)
		}
		list = append(list, one)
	}
	return list
}

// Short reports whether an issue says that a search gave less than there is: an
// error, or one of the codes and words by which servers say so in an information
// (P91).
func (i Issue) Short() bool {
	return i.Severity == "error" || i.Severity == "fatal" ||
		slices.Contains(i.Details, "4127") || slices.Contains(i.Details, "59133") ||
		strings.Contains(strings.ToLower(i.Text), "additional data")
}

// An Exchange is a refusal or a throttle, as it is kept for the practice (P129).
type Exchange struct {
	Class     string
	Status    int
	RequestID string
	Codes     []string
	Text      string // the server's words; they may name a patient
	Attempts  int    // 0: the last word on an exchange that was counted before
}

type classKey struct{}

// observe tells whoever listens of a refusal.
func (c *Client) observe(ctx context.Context, resp *http.Response) {
	if c.o.Observe == nil || resp.StatusCode < 400 {
		return
	}
	class, _ := ctx.Value(classKey{}).(string)
	c.o.Observe(Exchange{Class: class, Status: resp.StatusCode, RequestID: requestID(resp.Header), Attempts: 1})
}

func requestID(h http.Header) string {
	for _, name := range []string{"X-Request-Id", "X-Correlation-Id", "Request-Id"} {
		if id := h.Get(name); id != "" {
			return fmt.Sprintf("%.64s", id)
		}
	}
	return ""
}
