package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// A Beat is what a ping says.
type Beat string

// The beats.
const (
	Started   Beat = "started"
	Succeeded Beat = "succeeded"
	NotDone   Beat = "failed"
	Tested    Beat = "test"
)

// A Ping is a dead man's switch: a service elsewhere that hears of each run and calls
// when it hears nothing. It is told the beat and nothing else.
type Ping struct {
	// Success is asked when a run has succeeded. Required. Start, Failure and Test
	// are asked for the other beats; one that is "" is left out. A test is never
	// sent to Success: it would count as one.
	Success, Start, Failure, Test string
	// Post asks with POST instead of GET.
	Post bool
	// Client is used if set, as where there is a proxy; redirects are refused even so.
	Client *http.Client
	// Timeout is for one ping; 0 is 10 s.
	Timeout time.Duration
}

// Healthchecks returns the Ping for an address of the form that healthchecks.io and
// its likes give: the others are made by adding to it.
func Healthchecks(address string) Ping {
	return Ping{Success: address, Start: address + "/start", Failure: address + "/fail", Test: address + "/log"}
}

// Check says what is wrong with the addresses.
func (p Ping) Check() error {
	if p.Success == "" {
		return errors.New("the ping needs an address for success")
	}
	for _, a := range []string{p.Success, p.Start, p.Failure, p.Test} {
		u, err := url.Parse(a)
		switch {
		case a == "":
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
			return errors.New("the address for the ping is none; write https://…")
		case u.Scheme == "http" && !Loopback(u.Hostname()):
			return fmt.Errorf("the ping to %s must be https://; http:// is for this computer only", oneLine(u.Host, 80))
		case u.User != nil:
			return errors.New("the address for the ping holds a password; use one without")
		}
	}
	return nil
}

// ErrNoTest says that a ping has no address for tests.
var ErrNoTest = errors.New("the ping has no address for tests; a test at any other would count as a run")

// Send asks the address of the beat. Its errors are sentences that do not show the
// address, which is a secret. A beat without an address is nil, but Tested is
// ErrNoTest.
func (p Ping) Send(ctx context.Context, b Beat) error {
	address := map[Beat]string{Started: p.Start, Succeeded: p.Success, NotDone: p.Failure, Tested: p.Test}[b]
	if err := p.Check(); err != nil {
		return err
	}
	if address == "" {
		if b == Tested {
			return ErrNoTest
		}
		return nil
	}
	timeout := p.Timeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	method := http.MethodGet
	if p.Post {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(within, method, address, nil)
	if err != nil {
		return errors.New("the address for the ping is none; write https://…")
	}
	req.Header.Set("User-Agent", "chartcellar")
	client, done := p.client()
	defer done()
	resp, err := client.Do(req)
	var where *url.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case within.Err() != nil:
		return fmt.Errorf("%s did not answer the ping within %s", req.URL.Hostname(), timeout)
	case errors.As(err, &where):
		return fmt.Errorf("%s could not be pinged: %w", req.URL.Hostname(), where.Err)
	case err != nil:
		return fmt.Errorf("%s could not be pinged: %w", req.URL.Hostname(), err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 4096)) // so that the connection ends well
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered the ping with %d", req.URL.Hostname(), resp.StatusCode)
	}
	return nil
}

// client returns a client that follows no redirect, and what to do after its use.
func (p Ping) client() (*http.Client, func()) {
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if p.Client != nil {
		c := *p.Client
		c.CheckRedirect = stay
		return &c, func() {}
	}
	t := &http.Transport{ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second}
	return &http.Client{Transport: t, CheckRedirect: stay}, t.CloseIdleConnections
}
