// Package rest is FHIR over HTTP, as a client that trusts no server: one
// connection to one EMR with an origin guard, retries, pacing and limits.
//
// It keeps nothing on disk and knows nothing of a mirror. A token goes to allowed
// origins only; redirects are followed by hand; errors and logs hold no URL, no
// query, no body and no token (P33-P42, P111-P117).
package rest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"golang.org/x/oauth2"
	"golang.org/x/time/rate"
)

// A TokenSource gives access tokens; smart.Source is one.
type TokenSource interface {
	// Token returns a token that is valid now.
	Token(ctx context.Context) (*oauth2.Token, error)
	// Invalidate says that a server refused the token.
	Invalidate(accessToken string)
}

// Options describe one connection.
type Options struct {
	Base    string   // FHIR base, https; http only for loopback with Local
	Origins []string // further origins ("https://host:port") that may get the token
	// FileOrigins are the other origins to which we may be sent for a file, without
	// the token. Nil: the first one that is met, and it stays that one.
	FileOrigins []string
	// NewFileOrigin is told the first one before anything is sent there; an error
	// means that nothing is.
	NewFileOrigin func(origin string) error

	Local     bool   // the base is on the office network: private addresses are allowed
	CA        []byte // PEM, trusted beside the system's roots
	Now       func() time.Time
	Log       *slog.Logger
	Rate      float64 // requests a second; 0: 5, below 0: unlimited
	UserAgent string
	// Wait, MaxWait and Tries are those between attempts; 0: 1 s, 60 s, 6.
	Wait, MaxWait time.Duration
	Tries         int
	// RewriteOrigin accepts page links to the base's path on another host, and
	// asks the base instead (P114).
	RewriteOrigin bool
	Observe       func(Exchange) // called by several goroutines; nil: nobody listens
	Idle          time.Duration  // a body without a byte for so long is given up; 0: 60 s
}

// A Client is one connection. It may be used by many goroutines.
type Client struct {
	o       Options
	base    *url.URL
	origins []string
	http    *http.Client
	retry   *retryablehttp.Client
	once    *retryablehttp.Client // no retries
	limit   *rate.Limiter
	full    rate.Limit

	// mu covers what follows.
	mu     sync.Mutex
	tokens TokenSource
	skews  []time.Duration // newest last, at most 20
	files  []string        // the known origins of files
}

// New checks the options and returns a client without a token source.
func New(o Options) (*Client, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Wait, o.MaxWait = orElse(o.Wait, time.Second), orElse(o.MaxWait, time.Minute)
	o.Idle = orElse(o.Idle, time.Minute)
	if o.Tries == 0 {
		o.Tries = 6
	}
	base, err := url.Parse(strings.TrimSuffix(o.Base, "/"))
	if err != nil || base.Host == "" || base.User != nil || base.RawQuery != "" {
		return nil, &Error{Kind: UnsafeURL, Class: "FHIR base"}
	}
	c := &Client{o: o, base: base, limit: rate.NewLimiter(rate.Inf, 4)}
	if o.Rate >= 0 {
		c.limit = rate.NewLimiter(rate.Limit(orElse(o.Rate, 5)), 4)
	}
	c.full = c.limit.Limit()
	c.origins = []string{origin(base)}
	if err := c.confirm(&c.origins, o.Origins); err != nil {
		return nil, err
	}
	if err := c.confirm(&c.files, o.FileOrigins); err != nil {
		return nil, err
	}
	if err := c.checkURL(base); err != nil {
		return nil, err
	}
	t, err := c.transport()
	if err != nil {
		return nil, err
	}
	c.http = &http.Client{Transport: &bearer{c, t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c.retry, c.once = c.newRetry(o.Tries), c.newRetry(0)
	return c, nil
}

func orElse[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

func (c *Client) transport() (*http.Transport, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if len(c.o.CA) > 0 && !roots.AppendCertsFromPEM(c.o.CA) {
		return nil, errors.New("the CA file holds no certificate")
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            c.dialer().DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  60 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		MaxConnsPerHost:        4,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		ReadBufferSize:         64 << 10,
		IdleConnTimeout:        90 * time.Second,
	}, nil
}

// SetTokens gives the client the source of its tokens.
func (c *Client) SetTokens(t TokenSource) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens = t
}

// TokenClient returns a client for a token endpoint: the same checks of where
// it connects to, no bearer, no redirect, no retry (P12, P27).
func (c *Client) TokenClient() *http.Client {
	return &http.Client{Transport: c.http.Transport.(*bearer).next, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Base returns the FHIR base without a slash at its end.
func (c *Client) Base() string { return c.base.String() }

// CloseIdle closes connections that are not in use.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// A Request is one request to the EMR.
type Request struct {
	Method      string // "": GET
	URL         string // absolute, or relative to the base
	Accept      string // "": application/fhir+json
	Prefer      string
	ContentType string
	Body        []byte
	NoToken     bool
	NoRetry     bool   // also not after a lost connection (P42)
	Class       string // what it is called in errors and logs, such as "bulk status"
	MaxBody     int64  // of the reply; 0: 64 MiB
}

// A Response is a reply with its whole body.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	Date   time.Time // the server's Date header; zero if it has none
}

type noTokenKey struct{}

// Do sends a request and reads the whole reply. A reply with a status of 400 or
// more, HTML, or a body that stays cut short after all tries is an *Error.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	resp, body, err := c.follow(ctx, r, true)
	if err != nil {
		return nil, err
	}
	if isHTML(resp.Header, body) {
		return nil, &Error{Kind: NotFHIR, Class: r.Class, Status: resp.StatusCode}
	}
	out := &Response{Status: resp.StatusCode, Header: resp.Header, Body: body}
	if d, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		out.Date = d
	}
	return out, nil
}

// A Stream is a reply whose body is read by the caller, who closes it.
type Stream struct {
	Header http.Header
	Body   io.ReadCloser // as sent, not inflated
	Length int64         // -1 if the reply does not say
	Framed bool          // its end is marked by a length or by chunks, not by the connection's end
}

// Stream sends a GET for a file. Its body has no time limit, but one without a
// byte for Options.Idle fails.
func (c *Client) Stream(ctx context.Context, r Request) (*Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	resp, _, err := c.follow(ctx, r, false)
	if err != nil {
		cancel()
		return nil, err
	}
	framed := resp.ContentLength >= 0 || slices.Contains(resp.TransferEncoding, "chunked") ||
		resp.ProtoMajor > 1
	return &Stream{Header: resp.Header, Length: resp.ContentLength, Framed: framed,
		Body: newWatched(resp.Body, c.o.Idle, cancel, r.Class)}, nil
}

// follow sends the request and follows redirects by hand: GET only, at most
// five, each checked like a first address (P112).
func (c *Client) follow(ctx context.Context, r Request, whole bool) (*http.Response, []byte, error) {
	u, err := c.resolve(r)
	if err != nil {
		return nil, nil, err
	}
	away := !c.home(u)
	if away {
		if err := c.mayLeave(u, r.Class, 0); err != nil {
			return nil, nil, err
		}
	}
	for hop := 0; ; hop++ {
		resp, body, err := c.send(ctx, r, u, whole)
		if err != nil {
			return nil, nil, err
		}
		if resp.StatusCode < 300 || resp.StatusCode == http.StatusNotModified {
			return resp, body, nil
		}
		if !whole {
			resp.Body.Close() // only its header matters
		}
		to, err := u.Parse(resp.Header.Get("Location"))
		if err != nil || r.method() != http.MethodGet || hop == 5 || resp.StatusCode >= 400 {
			return nil, nil, &Error{Kind: UnsafeURL, Class: r.Class, Status: resp.StatusCode}
		}
		if u.Scheme == "https" && to.Scheme != "https" {
			return nil, nil, &Error{Kind: UnsafeURL, Class: r.Class, Status: resp.StatusCode}
		}
		if err := c.checkURL(to); err != nil {
			return nil, nil, withClass(err, r.Class)
		}
		if origin(to) != origin(u) {
			r.NoToken = true // never again in this chain
			if away {
				return nil, nil, &Error{Kind: Elsewhere, Class: r.Class, Status: resp.StatusCode, Detail: origin(to)}
			}
			if away = !c.home(to); away {
				if err := c.mayLeave(to, r.Class, resp.StatusCode); err != nil {
					return nil, nil, err
				}
			}
		}
		u = to
	}
}

func (r *Request) method() string { return orElse(r.Method, http.MethodGet) }

// resolve returns the checked absolute URL of a request.
func (c *Client) resolve(r Request) (*url.URL, error) {
	u, err := url.Parse(r.URL)
	if err == nil && u.Host == "" {
		u, err = url.Parse(c.base.String() + "/" + strings.TrimPrefix(r.URL, "/"))
	}
	if err != nil {
		return nil, &Error{Kind: UnsafeURL, Class: r.Class}
	}
	return u, withClass(c.checkURL(u), r.Class)
}

// send sends one request, with retries unless NoRetry is set.
func (c *Client) send(ctx context.Context, r Request, u *url.URL, whole bool) (*http.Response, []byte, error) {
	if r.NoToken || !slices.Contains(c.origins, origin(u)) {
		ctx = context.WithValue(ctx, noTokenKey{}, true)
	}
	ctx = context.WithValue(ctx, classKey{}, r.Class)
	var payload any
	if r.Body != nil {
		payload = r.Body
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, r.method(), u.String(), payload)
	if err != nil {
		return nil, nil, &Error{Kind: UnsafeURL, Class: r.Class}
	}
	setHeaders(req.Header, &r, c.o.UserAgent, whole)
	var body []byte
	if whole {
		req.SetResponseHandler(func(resp *http.Response) (err error) {
			body, err = readAll(resp, orElse(r.MaxBody, 64<<20))
			return err
		})
	}
	client := c.retry
	if r.NoRetry {
		client = c.once
	}
	start := c.o.Now()
	resp, err := client.Do(req)
	c.log(ctx, &r, resp, err, start)
	if err != nil {
		return nil, nil, c.asError(ctx, err, r.Class)
	}
	if resp.StatusCode >= 400 {
		if !whole {
			body, _ = readAll(resp, 256<<10) // what can be read of an error is enough
			resp.Body.Close()
		}
		return nil, nil, c.statusError(resp, body, r.Class)
	}
	return resp, body, nil
}

func setHeaders(h http.Header, r *Request, agent string, whole bool) {
	h.Set("Accept", orElse(r.Accept, "application/fhir+json"))
	h.Set("User-Agent", orElse(agent, "chartcellar"))
	if r.Prefer != "" {
		h.Set("Prefer", r.Prefer)
	}
	if r.ContentType != "" {
		h.Set("Content-Type", r.ContentType)
	}
	if !whole {
		h.Set("Accept-Encoding", "gzip")
	}
}

// readAll reads and closes a body of at most limit bytes.
func readAll(resp *http.Response, limit int64) ([]byte, error) {
	defer resp.Body.Close()
	var buf bytes.Buffer
	if resp.ContentLength > 0 && resp.ContentLength <= limit {
		buf.Grow(int(resp.ContentLength) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(io.LimitReader(resp.Body, limit+1)); err != nil {
		return nil, err
	}
	if int64(buf.Len()) > limit {
		return nil, &Error{Kind: TooLarge, Status: resp.StatusCode}
	}
	return buf.Bytes(), nil
}

func isHTML(h http.Header, body []byte) bool {
	if strings.Contains(h.Get("Content-Type"), "html") {
		return true
	}
	return LooksHTML(body[:min(len(body), 256)])
}

// LooksHTML reports whether a content that begins like this is a page of HTML.
func LooksHTML(head []byte) bool {
	start := bytes.ToLower(bytes.TrimLeft(head, " \t\r\n\ufeff"))
	return bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html"))
}

// log writes one line for a finished request: no URL, no query.
func (c *Client) log(ctx context.Context, r *Request, resp *http.Response, err error, start time.Time) {
	status := 0
	if resp != nil {
		status = resp.StatusCode
	}
	c.o.Log.DebugContext(ctx, "request finished", "class", r.Class, "method", r.method(), "status", status,
		"failed", err != nil, "ms", c.o.Now().Sub(start).Milliseconds())
}

// bearer adds the token, paces, notes the server's clock, and answers one 401
// with one new token (P20).
type bearer struct {
	c    *Client
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b *bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if err := b.c.limit.Wait(ctx); err != nil {
		return nil, err
	}
	b.c.mu.Lock()
	tokens := b.c.tokens
	b.c.mu.Unlock()
	if tokens == nil || ctx.Value(noTokenKey{}) != nil {
		return b.once(req, nil)
	}
	t, err := tokens.Token(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := b.once(req, t)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || req.Body != nil && req.GetBody == nil {
		return resp, err
	}
	tokens.Invalidate(t.AccessToken)
	fresh, err := tokens.Token(ctx)
	if err != nil || fresh.AccessToken == t.AccessToken {
		return resp, nil // the 401 says more than the second failure
	}
	resp.Body.Close() // it is answered again
	again := req.Clone(ctx)
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	return b.once(again, fresh)
}

func (b *bearer) once(req *http.Request, t *oauth2.Token) (*http.Response, error) {
	if t != nil && t.AccessToken != "" {
		req = req.Clone(req.Context())
		t.SetAuthHeader(req)
	}
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	b.c.noteDate(resp.Header.Get("Date"))
	b.c.pace(resp.StatusCode)
	b.c.noteRetryAfter(req.Context(), resp)
	b.c.observe(req.Context(), resp)
	return resp, nil
}

// pace halves the rate after a 429 and raises it slowly again (P37).
func (c *Client) pace(status int) {
	if c.full == rate.Inf {
		return
	}
	now := c.limit.Limit()
	switch {
	case status == http.StatusTooManyRequests:
		c.limit.SetLimit(max(now/2, c.full/16))
	case now < c.full:
		c.limit.SetLimit(min(now*1.05, c.full))
	}
}

// noteDate remembers how far the server's clock is ahead of ours.
func (c *Client) noteDate(date string) {
	d, err := http.ParseTime(date)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skews = append(c.skews, d.Add(500*time.Millisecond).Sub(c.o.Now()))
	if len(c.skews) > 20 {
		c.skews = c.skews[1:]
	}
}

// Skew returns how far the server's clock is ahead of this computer's: the
// median of the last 20 replies. ok is false before the first.
func (c *Client) Skew() (skew time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.skews) == 0 {
		return 0, false
	}
	s := slices.Sorted(slices.Values(c.skews))
	return s[len(s)/2], true
}

// ServerNow returns the time as the server has it.
func (c *Client) ServerNow() time.Time {
	skew, _ := c.Skew()
	return c.o.Now().Add(skew)
}

// A watched body fails when no byte comes for too long.
type watched struct {
	io.ReadCloser
	idle   time.Duration
	timer  *time.Timer
	cancel context.CancelFunc
	class  string
	late   chan struct{}
}

func newWatched(body io.ReadCloser, idle time.Duration, cancel context.CancelFunc, class string) *watched {
	w := &watched{ReadCloser: body, idle: idle, cancel: cancel, class: class, late: make(chan struct{})}
	w.timer = time.AfterFunc(idle, func() { close(w.late); cancel() })
	return w
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if n > 0 {
		w.timer.Reset(w.idle)
	}
	if err != nil && err != io.EOF {
		select {
		case <-w.late:
			err = &Error{Kind: Timeout, Class: w.class}
		default:
			err = &Error{Kind: Cut, Class: w.class, err: scrub(err)}
		}
	}
	return n, err
}

// Close implements io.Closer.
func (w *watched) Close() error {
	w.timer.Stop()
	defer w.cancel()
	return w.ReadCloser.Close()
}

// scrub keeps the kind of a network error and drops addresses.
func scrub(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.ErrUnexpectedEOF
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	return fmt.Errorf("%T", err)
}
