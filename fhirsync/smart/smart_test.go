package smart_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"chartcellar/fhirsync/smart"
)

// An idp is a token endpoint that answers as a test wants.
type idp struct {
	*httptest.Server
	mu    sync.Mutex
	forms []url.Values
	heads []http.Header
	reply func(w http.ResponseWriter)
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	p := &idp{reply: func(w http.ResponseWriter) {
		fmt.Fprint(w, `{"access_token":"tok","token_type":"Bearer","expires_in":300,"scope":"system/Patient.rs"}`)
	}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		form, perr := url.ParseQuery(string(b))
		if err != nil || perr != nil {
			t.Error(err, perr)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.forms, p.heads = append(p.forms, form), append(p.heads, r.Header.Clone())
		w.Header().Set("Content-Type", "application/json")
		p.reply(w)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *idp) source(t *testing.T, o smart.Options) *smart.Source {
	t.Helper()
	o.TokenURL, o.HTTP = p.URL, p.Client()
	if o.Scopes == nil {
		o.Scopes = []string{"system/Patient.rs", "system/Condition.rs"}
	}
	return smart.NewSource(o)
}

// TestAssertion checks the signature with a library that is not ours.
func TestAssertion(t *testing.T) {
	for _, alg := range []string{"RS384", "ES384"} {
		t.Run(alg, func(t *testing.T) {
			key, err := smart.NewKey(alg)
			if err != nil {
				t.Fatal(err)
			}
			der, err := key.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			back, err := smart.ParseKey(der)
			if err != nil || back.KID() != key.KID() || back.Alg() != alg {
				t.Fatalf("ParseKey = %v, %v", back, err)
			}
			p := newIDP(t)
			s := p.source(t, smart.Options{Method: smart.BackendServices, ClientID: "me", Key: back})
			for range 2 {
				tok, err := s.Token(t.Context())
				if err != nil || tok.AccessToken != "tok" {
					t.Fatalf("Token = %v, %v", tok, err)
				}
				s.Invalidate("tok")
			}
			jwks, err := smart.JWKS(key)
			if err != nil {
				t.Fatal(err)
			}
			var set jose.JSONWebKeySet
			if err := json.Unmarshal(jwks, &set); err != nil || !set.Keys[0].IsPublic() {
				t.Fatalf("JWKS = %s, %v", jwks, err)
			}
			seen := map[string]bool{}
			for _, form := range p.forms {
				if len(form) != 4 {
					t.Errorf("the form has %d fields: %v", len(form), form)
				}
				sig, err := jose.ParseSignedCompact(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
				if err != nil {
					t.Fatal(err)
				}
				payload, err := sig.Verify(set.Keys[0].Key)
				if err != nil || sig.Signatures[0].Header.KeyID != set.Keys[0].KeyID {
					t.Fatalf("Verify = %v", err)
				}
				var c struct {
					Iss, Sub, Aud, Jti string
					Exp                int64
				}
				if err := json.Unmarshal(payload, &c); err != nil {
					t.Fatal(err)
				}
				if c.Iss != "me" || c.Sub != "me" || c.Aud != p.URL || seen[c.Jti] || len(c.Jti) < 32 ||
					time.Until(time.Unix(c.Exp, 0)) > 5*time.Minute {
					t.Errorf("claims %+v", c)
				}
				seen[c.Jti] = true
			}
		})
	}
}

func TestSecrets(t *testing.T) {
	p := newIDP(t)
	if _, err := p.source(t, smart.Options{Method: smart.SecretBasic, ClientID: "a b", Secret: "s"}).Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.source(t, smart.Options{Method: smart.SecretPost, ClientID: "me", Secret: "s"}).Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(p.forms) != 2 || p.heads[0].Get("Authorization") == "" || p.forms[0].Has("client_secret") ||
		p.heads[1].Get("Authorization") != "" || p.forms[1].Get("client_secret") != "s" {
		t.Errorf("requests: %v, %v", p.forms, p.heads)
	}
	b := smart.NewSource(smart.Options{Method: smart.Bearer, Secret: "fixed"})
	if tok, err := b.Token(t.Context()); err != nil || tok.AccessToken != "fixed" {
		t.Errorf("bearer: %v, %v", tok, err)
	}
}

func TestReplies(t *testing.T) {
	tests := []struct {
		name, reply string
		status      int
		code        string
		good        bool
	}{
		{"no expires_in", `{"access_token":"a","token_type":"bearer"}`, 200, "", true},
		{"expires_in as text", `{"access_token":"a","token_type":"BEARER","expires_in":"300"}`, 200, "", true},
		{"another kind of token", `{"access_token":"a","token_type":"mac"}`, 200, "", false},
		{"a page", `<html>secret-word`, 200, "", false},
		{"refused", `{"error":"invalid_client","error_description":"secret-word"}`, 401, "invalid_client", false},
		{"broken", `secret-word`, 502, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newIDP(t)
			p.reply = func(w http.ResponseWriter) {
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.reply)
			}
			s := p.source(t, smart.Options{Method: smart.SecretPost, ClientID: "me", Secret: "s"})
			_, err := s.Token(t.Context())
			var e *smart.Error
			if (err == nil) != tt.good || err != nil && (!errors.As(err, &e) || e.Code != tt.code || strings.Contains(err.Error(), "secret-word")) {
				t.Errorf("Token = %v", err)
			}
			if tt.code == "invalid_client" {
				s.Token(t.Context())
				if len(p.forms) != 1 {
					t.Errorf("asked %d times after a refusal", len(p.forms))
				}
			}
		})
	}
}

// TestEarlyAndSingle: a token is renewed early, and many callers fetch it once.
func TestEarlyAndSingle(t *testing.T) {
	p := newIDP(t)
	now := time.Now()
	s := p.source(t, smart.Options{Method: smart.SecretPost, ClientID: "me", Secret: "s", Now: func() time.Time { return now }})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := s.Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(p.forms) != 1 {
		t.Errorf("%d requests for one token", len(p.forms))
	}
	now = now.Add(250 * time.Second)
	if _, err := s.Token(t.Context()); err != nil || len(p.forms) != 2 {
		t.Errorf("after 250 of 300 s: %d requests, %v", len(p.forms), err)
	}
	if scopes, said := s.Granted(); !said || len(scopes) != 1 || smart.Allows(scopes, "Condition") || !smart.Allows(scopes, "Patient") {
		t.Errorf("Granted = %v, %v", scopes, said)
	}
}

func TestWrongClock(t *testing.T) {
	p := newIDP(t)
	s := p.source(t, smart.Options{Method: smart.SecretPost, ClientID: "me", Secret: "s",
		Skew: func() (time.Duration, bool) { return -5 * time.Minute, true }})
	if _, err := s.Token(t.Context()); !errors.Is(err, smart.ErrClock) || len(p.forms) != 0 {
		t.Errorf("Token = %v after %d requests", err, len(p.forms))
	}
}

func TestScopes(t *testing.T) {
	v1 := smart.Configuration{Capabilities: []string{"permission-v1"}}
	if got := v1.Scopes([]string{"Patient"}); got[0] != "system/Patient.read" {
		t.Errorf("v1 scopes = %v", got)
	}
	if got := (smart.Configuration{}).Scopes(nil); got[0] != "system/*.rs" {
		t.Errorf("scopes = %v", got)
	}
}

func FuzzConfiguration(f *testing.F) {
	f.Add([]byte(`{"token_endpoint":"https://x","capabilities":["permission-v2"]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := smart.ParseConfiguration(b); err == nil && c.TokenURL == "" {
			t.Error("no token address")
		}
	})
}
