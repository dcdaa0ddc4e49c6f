package rest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
	"golang.org/x/oauth2"
)

// A Kind says what went wrong, as far as somebody has to act on it.
type Kind string

// The kinds of errors.
const (
	Offline      Kind = "offline"       // the server cannot be reached
	DNS          Kind = "dns"           // its name is unknown
	Certificate  Kind = "certificate"   // its certificate is not good; Detail is one of the three below
	Timeout      Kind = "timeout"       // it does not answer in time
	SignIn       Kind = "sign-in"       // 401, after a new token
	Forbidden    Kind = "forbidden"     // 403
	NotFound     Kind = "not found"     // 404
	Gone         Kind = "gone"          // 410
	Throttled    Kind = "throttled"     // 429
	ServerBroken Kind = "server broken" // 5xx
	NotFHIR      Kind = "not FHIR"      // HTML or something else that is no FHIR
	Refused      Kind = "refused"       // another 4xx
	UnsafeURL    Kind = "unsafe URL"    // the server sent us somewhere we do not go
	OtherOrigin  Kind = "other origin"  // a page link to the base's path on another host; Detail names it
	Elsewhere    Kind = "elsewhere"     // sent to a host that is not known as the EMR's own; Detail is its origin
	TooLarge     Kind = "too large"     // a body over its limit
	Cut          Kind = "cut short"     // a body that ended early
	WrongVersion Kind = "wrong version" // not FHIR R4
	Token        Kind = "token"         // no token; the cause says why
)

// What is wrong with a certificate: the Detail of an Error of kind Certificate. ""
// is anything else.
const (
	Expired     = "expired"           // or not valid yet, by this computer's clock
	UnknownCA   = "unknown authority" // nobody this computer trusts has signed it
	AnotherHost = "for another name"
)

// An Error is what a request ended with. Its text holds no URL and nothing of
// a body; Outcome does, for reports.
type Error struct {
	Kind    Kind
	Class   string // of the request
	Status  int    // 0 if there was no reply
	Outcome Outcome
	RetryAt time.Time // when the server asks us to come back; zero if it does not
	Detail  string    // for WrongVersion: the version; for Certificate: what is wrong; for Elsewhere and OtherOrigin: the origin
	err     error
}

// Error implements error.
func (e *Error) Error() string {
	s := e.Class
	if s == "" {
		s = "request"
	}
	if e.Kind == Elsewhere {
		return s + ": the EMR sent us to " + e.Detail + ", which is not known as its own; nothing was sent there (if the vendor says it is theirs, add it to file_origins)"
	}
	s += ": " + string(e.Kind)
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	if len(e.Outcome.Codes) > 0 {
		s += fmt.Sprintf(" %v", e.Outcome.Codes)
	}
	if e.Detail != "" {
		s += " " + e.Detail
	}
	if e.err != nil {
		s += ": " + e.err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// Is reports whether err is an *Error of one of the kinds.
func Is(err error, kinds ...Kind) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	for _, k := range kinds {
		if e.Kind == k {
			return true
		}
	}
	return false
}

// An Outcome is what an OperationOutcome says.
type Outcome struct {
	Codes []string // issue codes of errors
	Text  string   // the server's words; they may name a patient
}

// ParseOutcome reads an OperationOutcome; of anything else it returns nothing.
func ParseOutcome(body []byte) Outcome {
	var o Outcome
	model, err := fhir.UnmarshalOperationOutcome(body)
	if err != nil {
		return looseOutcome(body)
	}
	for _, i := range model.Issue {
		o.Codes = append(o.Codes, i.Code.Code())
		if i.Details != nil && i.Details.Text != nil {
			o.Text += *i.Details.Text + " "
		}
		if i.Diagnostics != nil {
			o.Text += *i.Diagnostics + " "
		}
	}
	return clip(o)
}

// looseOutcome reads what the model refuses: a code that R4 does not know.
func looseOutcome(body []byte) Outcome {
	var m struct {
		Issue []struct {
			Code        string
			Diagnostics string
			Details     struct{ Text string }
		}
	}
	var o Outcome
	if json.Unmarshal(body, &m) != nil {
		return o
	}
	for _, i := range m.Issue {
		o.Codes = append(o.Codes, i.Code)
		o.Text += i.Details.Text + " " + i.Diagnostics
	}
	return clip(o)
}

func clip(o Outcome) Outcome {
	o.Codes = o.Codes[:min(len(o.Codes), 5)]
	for i, c := range o.Codes {
		o.Codes[i] = c[:min(len(c), 40)]
	}
	o.Text = o.Text[:min(len(o.Text), 2000)]
	return o
}

// statusError makes an error of a reply with a status of 400 or more.
func (c *Client) statusError(resp *http.Response, body []byte, class string) error {
	e := &Error{Class: class, Status: resp.StatusCode, Outcome: ParseOutcome(body)}
	if d, ok := ParseRetryAfter(resp.Header.Get("Retry-After"), c.ServerNow()); ok {
		e.RetryAt = c.o.Now().Add(d)
	}
	if c.o.Observe != nil {
		c.o.Observe(Exchange{Class: class, Status: e.Status, RequestID: requestID(resp.Header),
			Codes: e.Outcome.Codes, Text: e.Outcome.Text})
	}
	switch s := resp.StatusCode; {
	case s == http.StatusUnauthorized:
		e.Kind = SignIn
	case s == http.StatusForbidden:
		e.Kind = Forbidden
	case s == http.StatusNotFound:
		e.Kind = NotFound
	case s == http.StatusGone:
		e.Kind = Gone
	case s == http.StatusTooManyRequests:
		e.Kind = Throttled
	case s >= 500:
		e.Kind = ServerBroken
	default:
		e.Kind = Refused
	}
	return e
}

// asError makes an error of a request that got no whole reply.
func (c *Client) asError(ctx context.Context, err error, class string) error {
	var own *Error
	if errors.As(err, &own) {
		return withClass(own, class)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := &Error{Class: class, Kind: Offline}
	var dns *net.DNSError
	var retrieve *oauth2.RetrieveError
	var netErr net.Error
	switch {
	case errors.As(err, &retrieve):
		e.Kind, e.Status = Token, retrieve.Response.StatusCode
	case isTokenError(err):
		e.Kind, e.err = Token, tokenCause(err)
	case certificate(err):
		e.Kind, e.Detail = Certificate, certificateFault(err)
	case errors.As(err, &dns):
		e.Kind = DNS
	case errors.As(err, &netErr) && netErr.Timeout():
		e.Kind = Timeout
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Kind = Cut
	}
	return e
}

// A TokenError is implemented by errors of a TokenSource.
type TokenError interface {
	error
	TokenError() bool
}

func isTokenError(err error) bool {
	var t TokenError
	return errors.As(err, &t) && t.TokenError()
}

func tokenCause(err error) error {
	var t TokenError
	errors.As(err, &t)
	return t
}

func certificate(err error) bool {
	var verify *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	return errors.As(err, &verify) || errors.As(err, &unknown) || errors.As(err, &invalid) ||
		errors.As(err, &host)
}

// certificateFault says what is wrong with a certificate.
func certificateFault(err error) string {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	switch {
	case errors.As(err, &unknown), errors.As(err, &invalid) && invalid.Reason == x509.NotAuthorizedToSign:
		return UnknownCA
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Expired
	case errors.As(err, &host):
		return AnotherHost
	}
	return ""
}

func withClass(err error, class string) error {
	var e *Error
	if errors.As(err, &e) && e.Class == "" {
		named := *e
		named.Class = class
		return &named
	}
	return err
}

func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port)
}
