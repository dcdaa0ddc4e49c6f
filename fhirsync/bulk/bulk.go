// Package bulk speaks FHIR Bulk Data Access: kick-off, status, manifest, files,
// deletion.
//
// Each function is one step; the package keeps no state and touches no disk, so
// that the engine can make every step durable (P43-P82). It does not look into
// records.
package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"chartcellar/fhirsync/rest"
)

// A Client is what this package needs of a connection; *rest.Client has it.
type Client interface {
	Do(ctx context.Context, r rest.Request) (*rest.Response, error)
	Stream(ctx context.Context, r rest.Request) (*rest.Stream, error)
	Base() string
}

// A Request is an export to ask for.
type Request struct {
	Level string    `json:"level"` // system, patient, group
	Group string    `json:"group,omitempty"`
	Types []string  `json:"types"`
	Since time.Time `json:"since,omitzero"` // zero: everything
	Post  bool      `json:"post,omitempty"` // by POST with Parameters (P44)
}

// A Job is an accepted export.
type Job struct {
	StatusURL  string    `json:"statusURL"`
	ServerDate time.Time `json:"serverDate"` // Date header of the kick-off reply; zero if none
}

var (
	// ErrLost says that the kick-off's reply was lost: a job may run (F21).
	ErrLost = errors.New("the reply to the export request was lost")
	// ErrNoLocation says that an accepted export has no status address (P46).
	ErrNoLocation = errors.New("the export was accepted without a status address")
	// ErrPostOnly says that the server takes the kick-off by POST only.
	ErrPostOnly = errors.New("the export must be requested by POST")
	// ErrJobGone says that the server no longer knows the job (P59).
	ErrJobGone = errors.New("the server no longer knows the export")
	// ErrLinkExpired says that a file's link must be fetched anew (P76).
	ErrLinkExpired = errors.New("the link to the file has expired")
)

// An UnsupportedError names types that the server does not export (P48).
type UnsupportedError struct{ Types []string }

// Error implements error.
func (e *UnsupportedError) Error() string {
	return "the server does not export " + strings.Join(e.Types, ", ")
}

// A BusyError says that another export is in progress (P47).
type BusyError struct{ RetryAt time.Time }

// Error implements error.
func (e *BusyError) Error() string { return "another export is in progress at the EMR" }

// A FailedError is a job that the server gave up.
type FailedError struct{ Err error }

// Error implements error.
func (e *FailedError) Error() string { return "the export failed at the EMR" }

// Unwrap returns the cause.
func (e *FailedError) Unwrap() error { return e.Err }

// KickOff asks for an export once; it is never sent twice (P42).
func KickOff(ctx context.Context, c Client, r Request) (Job, error) {
	req := rest.Request{URL: r.path(), Prefer: "respond-async", NoRetry: true, Class: "bulk kick-off"}
	if r.Post {
		body, err := r.parameters()
		if err != nil {
			return Job{}, err
		}
		req.Method, req.Body, req.ContentType = http.MethodPost, body, "application/fhir+json"
	} else {
		req.URL += "?" + r.query()
	}
	resp, err := c.Do(ctx, req)
	if err != nil {
		return Job{}, kickOffError(err, r)
	}
	location := resp.Header.Get("Content-Location")
	if location == "" {
		return Job{}, ErrNoLocation
	}
	status, err := resolve(c.Base()+"/"+r.path(), location)
	return Job{status, resp.Date}, err
}

func (r Request) path() string {
	switch r.Level {
	case "group":
		return "Group/" + url.PathEscape(r.Group) + "/$export"
	case "patient":
		return "Patient/$export"
	}
	return "$export"
}

// instant is how _since is written: UTC with Z, milliseconds (P49).
const instant = "2006-01-02T15:04:05.000Z"

func (r Request) query() string {
	q := "_type=" + url.QueryEscape(strings.Join(r.Types, ","))
	if !r.Since.IsZero() {
		q += "&_since=" + r.Since.UTC().Truncate(time.Millisecond).Format(instant)
	}
	return strings.ReplaceAll(q, "%2C", ",")
}

func (r Request) parameters() ([]byte, error) {
	var list []map[string]string
	for _, t := range r.Types {
		list = append(list, map[string]string{"name": "_type", "valueString": t})
	}
	if !r.Since.IsZero() {
		list = append(list, map[string]string{"name": "_since",
			"valueInstant": r.Since.UTC().Truncate(time.Millisecond).Format(instant)})
	}
	return json.Marshal(map[string]any{"resourceType": "Parameters", "parameter": list})
}

func kickOffError(err error, r Request) error {
	var e *rest.Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Kind == rest.Throttled, e.Status == http.StatusConflict:
		return &BusyError{e.RetryAt}
	case e.Status == http.StatusMethodNotAllowed && !r.Post:
		return ErrPostOnly
	case e.Status == http.StatusBadRequest:
		if named := named(e.Outcome.Text, r.Types); len(named) > 0 {
			return &UnsupportedError{named}
		}
	case e.Kind == rest.ServerBroken, e.Kind == rest.Cut, e.Kind == rest.Timeout:
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return err
}

// named returns the types whose names stand in a text as words.
func named(text string, types []string) []string {
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) })
	var list []string
	for _, t := range types {
		if slices.Contains(words, t) {
			list = append(list, t)
		}
	}
	return list
}

// resolve returns a reference as an absolute URL, relative to from (P46, P65).
func resolve(from, ref string) (string, error) {
	base, err := url.Parse(from)
	if err != nil {
		return "", &rest.Error{Kind: rest.UnsafeURL, Class: "bulk"}
	}
	u, err := base.Parse(ref)
	if err != nil {
		return "", &rest.Error{Kind: rest.UnsafeURL, Class: "bulk"}
	}
	return u.String(), nil
}

// A Status is the reply to one poll.
type Status struct {
	Done     bool
	Progress string        // the server's words, at most 100 characters
	Wait     time.Duration // until the next poll is allowed; 0: not said
	Manifest Manifest      // when done
}

// Poll asks once how a job stands. now is the server's time. Errors: ErrJobGone,
// *FailedError; others are passing and the job goes on.
func Poll(ctx context.Context, c Client, j Job, now time.Time) (Status, error) {
	resp, err := c.Do(ctx, rest.Request{URL: j.StatusURL, Accept: "application/json", Class: "bulk status"})
	switch {
	case rest.Is(err, rest.NotFound, rest.Gone):
		return Status{}, ErrJobGone
	case rest.Is(err, rest.Refused, rest.Forbidden):
		return Status{}, &FailedError{err}
	case failedForGood(err):
		return Status{}, &FailedError{err}
	case err != nil:
		return Status{}, err
	}
	if resp.Status == http.StatusAccepted {
		wait, _ := rest.ParseRetryAfter(resp.Header.Get("Retry-After"), now)
		return Status{Progress: clip(resp.Header.Get("X-Progress")), Wait: wait}, nil
	}
	m, err := ParseManifest(resp.Body)
	if err != nil {
		return Status{}, err
	}
	if err := m.follow(ctx, c, j.StatusURL); err != nil {
		return Status{}, err
	}
	return Status{Done: true, Manifest: m}, m.absolute(j.StatusURL)
}

// failedForGood reports whether a server error says that it will not pass.
func failedForGood(err error) bool {
	var e *rest.Error
	if !errors.As(err, &e) || e.Kind != rest.ServerBroken || len(e.Outcome.Codes) == 0 {
		return false
	}
	for _, code := range e.Outcome.Codes {
		if slices.Contains([]string{"transient", "lock-error", "no-store", "exception", "timeout",
			"incomplete", "throttled"}, code) {
			return false
		}
	}
	return true
}

// clip makes a server's words safe to show (P57).
func clip(s string) string {
	runes := []rune(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s))
	return string(runes[:min(len(runes), 100)])
}

// Delete tells the server that the files are no longer needed. A job that is
// gone already is no error (P78).
func Delete(ctx context.Context, c Client, j Job) error {
	_, err := c.Do(ctx, rest.Request{Method: http.MethodDelete, URL: j.StatusURL,
		Accept: "application/json", Class: "bulk delete"})
	if rest.Is(err, rest.NotFound, rest.Gone) {
		return nil
	}
	return err
}
