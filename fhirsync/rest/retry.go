package rest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// maxWait is the longest that is waited inside a run; a server that asks for
// more is come back to later (deps: 15 minutes).
const maxWait = 15 * time.Minute

// newRetry configures the retrying client fully: its own defaults log URLs,
// obey any Retry-After and lose the last reply.
func (c *Client) newRetry(tries int) *retryablehttp.Client {
	r := retryablehttp.NewClient()
	r.HTTPClient = c.http
	r.Logger = nil
	r.RetryMax = tries
	r.CheckRetry = c.checkRetry
	r.Backoff = c.backoff
	r.ErrorHandler = func(resp *http.Response, err error, _ int) (*http.Response, error) {
		return resp, err
	}
	return r
}

// checkRetry decides whether to try again (P34).
func (c *Client) checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		return retryable(err), nil
	}
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout:
	default:
		return false, nil
	}
	d, ok := ParseRetryAfter(resp.Header.Get("Retry-After"), c.ServerNow())
	return !ok || d <= maxWait, nil
}

func retryable(err error) bool {
	var own *Error
	var dns *net.DNSError
	switch {
	case errors.As(err, &own), isTokenError(err), certificate(err):
		return false
	case errors.As(err, &dns) && dns.IsNotFound:
		return false
	}
	return true
}

// backoff waits as long as the server asks, within bounds and with some
// jitter; else with full jitter, doubling.
func (c *Client) backoff(_, _ time.Duration, attempt int, resp *http.Response) time.Duration {
	if resp != nil {
		if d, ok := ParseRetryAfter(resp.Header.Get("Retry-After"), c.ServerNow()); ok {
			d = min(max(d, c.o.Wait), maxWait)
			return d + time.Duration(rand.Int64N(int64(d)/5+1))
		}
	}
	top := min(c.o.Wait<<min(attempt, 10), c.o.MaxWait)
	return c.o.Wait/2 + time.Duration(rand.Int64N(int64(top)))
}

// ParseRetryAfter reads a Retry-After header: seconds, one of the three HTTP
// dates, or an absolute time in seconds or milliseconds since 1970, which a
// public reference server sends. ok is false for what cannot be read and for
// negative numbers; a time in the past is no wait. Nothing is longer than 6 h.
func ParseRetryAfter(header string, now time.Time) (wait time.Duration, ok bool) {
	wait, _, ok = retryAfter(header, now)
	return min(max(wait, 0), longest), ok
}

// longest is what is made of any longer wait.
const longest = 6 * time.Hour

// retryAfter reads a header as it is meant, without bounds, and says in which form
// it was written.
func retryAfter(header string, now time.Time) (wait time.Duration, form string, ok bool) {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0, "", false
	}
	if t, err := http.ParseTime(header); err == nil {
		return t.Sub(now), "date", true
	}
	n, err := strconv.ParseInt(header, 10, 64)
	switch {
	case err != nil || n < 0:
		return 0, "", false
	case n > 1e12:
		return time.UnixMilli(min(n, 1e15)).Sub(now), "milliseconds since 1970", true
	case n > 1e9:
		return time.Unix(n, 0).Sub(now), "seconds since 1970", true
	}
	return time.Duration(min(n, 1e9)) * time.Second, "seconds", true
}

// noteRetryAfter logs a wait that was not taken as it was written.
func (c *Client) noteRetryAfter(ctx context.Context, resp *http.Response) {
	asked, form, ok := retryAfter(resp.Header.Get("Retry-After"), c.ServerNow())
	if !ok || asked <= longest && form != "milliseconds since 1970" && form != "seconds since 1970" {
		return
	}
	c.o.Log.InfoContext(ctx, "the server's Retry-After was capped or converted", "status", resp.StatusCode, "form", form,
		"asked_s", int64(asked/time.Second), "taken_s", int64(min(max(asked, 0), longest)/time.Second))
}
