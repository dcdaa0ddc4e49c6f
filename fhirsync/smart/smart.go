// Package smart signs in to an EMR: SMART discovery, backend services with a
// signed assertion, client secrets, and keeping a token fresh.
//
// It stores nothing; keys and secrets come from the caller and never appear in an
// error or a log line (SMART App Launch 2.2; P1-P20).
package smart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"chartcellar/fhirsync/rest"
)

// A Configuration is what discovery found. Empty lists mean "not said".
type Configuration struct {
	TokenURL     string
	AuthMethods  []string
	Algs         []string
	Capabilities []string
	Legacy       bool // found in the capability statement, not in smart-configuration
}

// Discover reads smart-configuration, appended to the base (P1), and falls back
// to the capability statement (P4).
func Discover(ctx context.Context, c *rest.Client) (Configuration, error) {
	resp, err := c.Do(ctx, rest.Request{URL: ".well-known/smart-configuration",
		Accept: "application/json", NoToken: true, Class: "smart-configuration", MaxBody: 1 << 20})
	if err == nil {
		return ParseConfiguration(resp.Body)
	}
	if !rest.Is(err, rest.NotFound, rest.Gone, rest.SignIn, rest.Forbidden, rest.Refused) {
		return Configuration{}, err
	}
	capability, cerr := c.Capability(ctx)
	if cerr != nil {
		return Configuration{}, cerr
	}
	token := legacyToken(capability.Raw)
	if token == "" {
		return Configuration{}, err
	}
	return Configuration{TokenURL: token, Legacy: true}, nil
}

// ParseConfiguration reads a smart-configuration document.
func ParseConfiguration(body []byte) (Configuration, error) {
	var m struct {
		TokenEndpoint string   `json:"token_endpoint"`
		Methods       []string `json:"token_endpoint_auth_methods_supported"`
		Algs          []string `json:"token_endpoint_auth_signing_alg_values_supported"`
		Capabilities  []string `json:"capabilities"`
	}
	if err := json.Unmarshal(body, &m); err != nil || m.TokenEndpoint == "" {
		return Configuration{}, &rest.Error{Kind: rest.NotFHIR, Class: "smart-configuration"}
	}
	return Configuration{m.TokenEndpoint, m.Methods, m.Algs, m.Capabilities, false}, nil
}

// legacyToken finds the token endpoint in a capability statement.
func legacyToken(raw []byte) string {
	type extension struct {
		URL       string
		ValueURI  string `json:"valueUri"`
		Extension []struct {
			URL      string
			ValueURI string `json:"valueUri"`
		}
	}
	var m struct {
		Rest []struct {
			Security struct{ Extension []extension }
		}
	}
	if json.Unmarshal(raw, &m) != nil {
		return ""
	}
	for _, r := range m.Rest {
		for _, e := range r.Security.Extension {
			for _, in := range e.Extension {
				if in.URL == "token" {
					return in.ValueURI
				}
			}
		}
	}
	return ""
}

// Alg chooses the signature algorithm: RS384 unless only ES384 is offered (P10).
func (c Configuration) Alg() string {
	if slices.Contains(c.Algs, "ES384") && !slices.Contains(c.Algs, "RS384") {
		return "ES384"
	}
	return "RS384"
}

// Scopes returns one scope for each type, in the grammar the server asks for:
// v2 unless it says that it only knows v1 (P17).
func (c Configuration) Scopes(types []string) []string {
	end := ".rs"
	if slices.Contains(c.Capabilities, "permission-v1") && !slices.Contains(c.Capabilities, "permission-v2") {
		end = ".read"
	}
	if len(types) == 0 {
		return []string{"system/*" + end}
	}
	var list []string
	for _, t := range types {
		list = append(list, "system/"+t+end)
	}
	return list
}

// Allows reports whether granted scopes let a type be read. No scopes: not said.
func Allows(granted []string, typ string) bool {
	if len(granted) == 0 {
		return true
	}
	for _, s := range granted {
		what, rights, ok := strings.Cut(strings.TrimPrefix(s, "system/"), ".")
		rights, _, _ = strings.Cut(rights, "?")
		if ok && (what == typ || what == "*") && (rights == "read" || rights == "*" || strings.Contains(rights, "r")) {
			return true
		}
	}
	return false
}

// A Method is how the client proves who it is.
type Method string

// The methods.
const (
	BackendServices Method = "backend-services" // signed assertion
	SecretBasic     Method = "client-secret-basic"
	SecretPost      Method = "client-secret-post"
	Bearer          Method = "bearer" // a fixed token
	None            Method = "none"
)

// Options describe a token source.
type Options struct {
	Method   Method
	ClientID string
	Secret   string // client secret or fixed bearer token
	Key      *Key   // for BackendServices
	// FallBack, if set, signs when the server does not know Key (P15); RolledBack is
	// told when that has let us in.
	FallBack   *Key
	RolledBack func() error

	TokenURL string
	Scopes   []string
	HTTP     *http.Client // from rest.Client.TokenClient
	Now      func() time.Time
	// Skew is how far the server's clock is ahead; assertions use its time (P8).
	Skew func() (time.Duration, bool)
}

// ErrClock says that this computer's clock is too far off to sign in (P8).
var ErrClock = errors.New("this computer's clock is wrong")

// An Error is a token request that failed.
type Error struct {
	Code   string // RFC 6749 code; "" if the reply was none
	Status int
	err    error
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Code != "":
		return "sign in: " + e.Code
	case e.Status != 0:
		return fmt.Sprintf("sign in: HTTP %d without an OAuth reply", e.Status)
	case errors.Is(e.err, ErrClock):
		return "sign in: " + e.err.Error()
	}
	return "sign in: the token endpoint could not be reached"
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// TokenError implements rest.TokenError.
func (e *Error) TokenError() bool { return true }

// A Source gives tokens. It may be used by many goroutines; one fetches at a
// time.
type Source struct {
	o Options

	// mu covers what follows and is held while a token is fetched.
	mu       sync.Mutex
	token    *oauth2.Token
	renew    time.Time
	granted  []string
	said     bool  // the server said what it granted
	refused  error // the client was refused: it is not tried again in this process
	maxSkew  time.Duration
	assertAt time.Duration
}

// NewSource returns a token source.
func NewSource(o Options) *Source {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Source{o: o, maxSkew: 4 * time.Minute, assertAt: 4 * time.Minute}
}

// Token implements rest.TokenSource.
func (s *Source) Token(ctx context.Context) (*oauth2.Token, error) {
	switch s.o.Method {
	case None:
		return &oauth2.Token{}, nil
	case Bearer:
		return &oauth2.Token{AccessToken: s.o.Secret, TokenType: "Bearer"}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != nil && s.o.Now().Before(s.renew) {
		return s.token, nil
	}
	if s.refused != nil {
		return nil, s.refused
	}
	t, err := s.fetch(ctx)
	if isCode(err, "invalid_client") && s.o.FallBack != nil {
		t, err = s.rollBack(ctx, err)
	}
	if err != nil {
		var e *Error
		if errors.As(err, &e) && slices.Contains([]string{"invalid_client", "invalid_grant",
			"unauthorized_client"}, e.Code) {
			s.refused = err // asking again may lock the client at the vendor
		}
		return nil, err
	}
	s.keep(t)
	return t, nil
}

func isCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// rollBack tries the key of before a rotation: once, and for good if it is taken.
func (s *Source) rollBack(ctx context.Context, refused error) (*oauth2.Token, error) {
	s.o.Key, s.o.FallBack = s.o.FallBack, nil
	t, err := s.fetch(ctx)
	if err != nil {
		return nil, errors.Join(refused, err)
	}
	if s.o.RolledBack != nil {
		err = s.o.RolledBack()
	}
	return t, err
}

// keep remembers a token; it is renewed 60 s or a fifth of its life early.
func (s *Source) keep(t *oauth2.Token) {
	now := s.o.Now()
	life := t.Expiry.Sub(now)
	if t.Expiry.IsZero() {
		life = 5 * time.Minute // P16: no expires_in
	}
	s.token, s.renew = t, now.Add(life-min(time.Minute, life/5))
	s.granted, s.said = s.o.Scopes, false
	if scope, ok := t.Extra("scope").(string); ok && scope != "" {
		s.granted, s.said = strings.Fields(scope), true
	}
}

// Invalidate implements rest.TokenSource.
func (s *Source) Invalidate(accessToken string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != nil && s.token.AccessToken == accessToken {
		s.token = nil
	}
}

// Granted returns the scopes of the last token; said is false if the server did
// not name them, so that they are those asked for (P18).
func (s *Source) Granted() (scopes []string, said bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.granted), s.said
}

// fetch gets one token with one POST: an assertion is never sent twice (P12).
func (s *Source) fetch(ctx context.Context) (*oauth2.Token, error) {
	if skew, ok := s.skew(); ok && skew.Abs() > s.maxSkew {
		return nil, &Error{err: ErrClock}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conf := clientcredentials.Config{TokenURL: s.o.TokenURL, Scopes: s.o.Scopes}
	switch s.o.Method {
	case SecretBasic:
		conf.ClientID, conf.ClientSecret, conf.AuthStyle = s.o.ClientID, s.o.Secret, oauth2.AuthStyleInHeader
	case SecretPost:
		conf.ClientID, conf.ClientSecret, conf.AuthStyle = s.o.ClientID, s.o.Secret, oauth2.AuthStyleInParams
	default:
		jwt, err := s.assertion()
		if err != nil {
			return nil, &Error{err: err}
		}
		conf.AuthStyle = oauth2.AuthStyleInParams
		conf.EndpointParams = map[string][]string{"client_assertion": {jwt},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
	}
	t, err := conf.Token(context.WithValue(ctx, oauth2.HTTPClient, s.o.HTTP))
	if err != nil {
		return nil, tokenError(err)
	}
	if !strings.EqualFold(t.Type(), "bearer") {
		return nil, &Error{Status: http.StatusOK}
	}
	return t, nil
}

func (s *Source) skew() (time.Duration, bool) {
	if s.o.Skew == nil {
		return 0, false
	}
	return s.o.Skew()
}

// tokenError keeps the code and the status; the body stays out of it.
func tokenError(err error) error {
	var r *oauth2.RetrieveError
	if errors.As(err, &r) {
		return &Error{Code: r.ErrorCode, Status: r.Response.StatusCode}
	}
	if strings.Contains(err.Error(), "cannot parse") || strings.Contains(err.Error(), "missing access_token") {
		return &Error{Status: http.StatusOK}
	}
	return &Error{err: err}
}

// assertion makes a new signed assertion (P10, P11).
func (s *Source) assertion() (string, error) {
	skew, _ := s.skew()
	return s.o.Key.assert(s.o.ClientID, s.o.TokenURL, s.o.Now().Add(skew), s.assertAt)
}
