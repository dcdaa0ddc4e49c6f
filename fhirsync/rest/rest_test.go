package rest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"chartcellar/fhirsync/rest"
)

// tokens gives a new token after each Invalidate.
type tokens struct{ n atomic.Int32 }

func (s *tokens) Token(context.Context) (*oauth2.Token, error) {
	return &oauth2.Token{AccessToken: fmt.Sprint("t", s.n.Load()), TokenType: "Bearer"}, nil
}
func (s *tokens) Invalidate(string) { s.n.Add(1) }

func client(t *testing.T, base string) (*rest.Client, *tokens) {
	t.Helper()
	c, err := rest.New(rest.Options{Base: base, Local: true, Rate: -1, Wait: time.Microsecond, MaxWait: time.Millisecond, Tries: 3})
	if err != nil {
		t.Fatal(err)
	}
	s := &tokens{}
	c.SetTokens(s)
	t.Cleanup(c.CloseIdle)
	return c, s
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestStatuses(t *testing.T) {
	tests := []struct {
		status, times int
		kind          rest.Kind
		requests      int32
	}{
		{200, 0, "", 1}, {429, 2, "", 3}, {503, 2, "", 3}, {500, 9, rest.ServerBroken, 4}, {408, 1, "", 2},
		{501, 9, rest.ServerBroken, 1}, {404, 9, rest.NotFound, 1}, {410, 9, rest.Gone, 1}, {403, 9, rest.Forbidden, 1},
		{400, 9, rest.Refused, 1}, {401, 9, rest.SignIn, 2}, {429, 9, rest.Throttled, 4},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status, " ", tt.times, " times"), func(t *testing.T) {
			var n atomic.Int32
			c, _ := client(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
				if int(n.Add(1)) <= tt.times {
					w.Header().Set("Retry-After", "0")
					w.WriteHeader(tt.status)
					return
				}
				fmt.Fprint(w, `{"resourceType":"Patient"}`)
			}))
			_, err := c.Do(t.Context(), rest.Request{URL: "Patient/secret-id?name=secret", Class: "read"})
			if tt.kind == "" && err != nil || tt.kind != "" && !rest.Is(err, tt.kind) || n.Load() != tt.requests {
				t.Errorf("Do = %v after %d requests, want kind %q after %d", err, n.Load(), tt.kind, tt.requests)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error holds the address: %v", err)
			}
		})
	}
}

func TestCutBodyIsFetchedAgain(t *testing.T) {
	n := 0
	c, _ := client(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n++; n < 3 {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("{"))
			return
		}
		w.Write([]byte("{}"))
	}))
	if r, err := c.Do(t.Context(), rest.Request{URL: "x"}); err != nil || string(r.Body) != "{}" {
		t.Errorf("Do = %v, %v", r, err)
	}
}

func TestTokenStaysAtHome(t *testing.T) {
	leaked := false
	evil := serve(t, func(_ http.ResponseWriter, r *http.Request) { leaked = leaked || r.Header.Get("Authorization") != "" })
	c, _ := client(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			t.Error("no token at home")
		}
		http.Redirect(w, r, evil+"/x", http.StatusTemporaryRedirect)
	}))
	if _, err := c.Do(t.Context(), rest.Request{URL: "x"}); err != nil {
		t.Errorf("Do = %v", err)
	}
	if leaked {
		t.Error("the token went to another origin")
	}
}

func TestUnsafe(t *testing.T) {
	c, _ := client(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/again", http.StatusFound)
	}))
	for _, u := range []string{"http://169.254.169.254/x", "https://user@emr.example/x", "ftp://emr.example", "https://0.0.0.0/", "loop"} {
		if _, err := c.Do(t.Context(), rest.Request{URL: u}); !rest.Is(err, rest.UnsafeURL) {
			t.Errorf("Do(%s) = %v, want unsafe", u, err)
		}
	}
	public, err := rest.New(rest.Options{Base: "https://localhost/fhir", Rate: -1, Tries: 1, Wait: time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := public.Do(t.Context(), rest.Request{URL: "x"}); !rest.Is(err, rest.UnsafeURL) {
		t.Errorf("a name that points inside: %v, want unsafe", err)
	}
	for _, base := range []string{"http://emr.example/fhir", "https://10.0.0.1/fhir", "nothing", "https://u:p@emr.example"} {
		if _, err := rest.New(rest.Options{Base: base}); err == nil {
			t.Errorf("New(%s) is accepted", base)
		}
	}
}

func TestHTML(t *testing.T) {
	c, _ := client(t, serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("  <!DOCTYPE html><p>sign in")) }))
	if _, err := c.Do(t.Context(), rest.Request{URL: "x"}); !rest.Is(err, rest.NotFHIR) {
		t.Errorf("Do = %v", err)
	}
}

func TestIdleStream(t *testing.T) {
	c, err := rest.New(rest.Options{Base: serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("x"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}), Local: true, Rate: -1, Idle: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Stream(t.Context(), rest.Request{URL: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Body.Close()
	buf := make([]byte, 10)
	for err == nil {
		_, err = s.Body.Read(buf)
	}
	if !rest.Is(err, rest.Timeout) {
		t.Errorf("Read = %v, want a timeout", err)
	}
}

func TestSkew(t *testing.T) {
	c, _ := client(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
	}))
	if _, ok := c.Skew(); ok {
		t.Error("a skew before any reply")
	}
	if _, err := c.Do(t.Context(), rest.Request{URL: "x"}); err != nil {
		t.Fatal(err)
	}
	if skew, ok := c.Skew(); !ok || (skew-time.Hour).Abs() > 2*time.Second {
		t.Errorf("Skew = %v, %v", skew, ok)
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		d  time.Duration
		ok bool
	}{
		"120": {2 * time.Minute, true}, "0": {0, true}, "-5": {0, false}, "soon": {0, false}, "": {0, false},
		"18000": {5 * time.Hour, true}, "999999999": {6 * time.Hour, true}, "99999999999999999999": {0, false},
		now.Add(time.Minute).Format(http.TimeFormat):    {time.Minute, true},
		now.Add(time.Minute).Format(time.RFC850):        {time.Minute, true},
		now.Add(time.Minute).Format(time.ANSIC):         {time.Minute, true},
		now.Add(-time.Minute).Format(http.TimeFormat):   {0, true},
		fmt.Sprint(now.Add(time.Minute).Unix()):         {time.Minute, true},
		fmt.Sprint(now.Add(time.Minute).UnixMilli()):    {time.Minute, true},
		fmt.Sprint(now.Add(99 * time.Hour).UnixMilli()): {6 * time.Hour, true},
	}
	for in, want := range tests {
		if d, ok := rest.ParseRetryAfter(in, now); d != want.d || ok != want.ok {
			t.Errorf("ParseRetryAfter(%q) = %v, %v; want %v, %v", in, d, ok, want.d, want.ok)
		}
	}
}

func TestCapabilityVersion(t *testing.T) {
	_, err := rest.ParseCapability([]byte(`{"resourceType":"CapabilityStatement","fhirVersion":"3.0.2"}`))
	var e *rest.Error
	if !errors.As(err, &e) || e.Kind != rest.WrongVersion || e.Detail != "3.0.2" {
		t.Errorf("ParseCapability = %v", err)
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	f.Add("120")
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := rest.ParseRetryAfter(s, time.Now()); d < 0 || d > 6*time.Hour || !ok && d != 0 {
			t.Errorf("ParseRetryAfter(%q) = %v", s, d)
		}
	})
}

func FuzzOutcome(f *testing.F) {
	f.Add([]byte(`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"login","diagnostics":"x"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o := rest.ParseOutcome(b); len(o.Codes) > 5 || len(o.Text) > 2000 {
			t.Errorf("%d codes, %d bytes of text", len(o.Codes), len(o.Text))
		}
		rest.ParseCapability(b)
	})
}
