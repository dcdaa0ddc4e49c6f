package fakeemr

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

type client struct {
	keys   map[string]crypto.PublicKey // by kid
	secret string
}

type grant struct {
	until  time.Time
	scopes string
	client string // "" for one that was given by hand
}

// RegisterKey registers a client with its JWKS, as the vendor's form would.
func (e *EMR) RegisterKey(clientID string, jwks []byte) error {
	var set struct {
		Keys []struct{ Kty, Kid, N, E, Crv, X, Y, D string }
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		return fmt.Errorf("read the JWKS: %w", err)
	}
	c := client{keys: map[string]crypto.PublicKey{}}
	for _, k := range set.Keys {
		switch {
		case k.D != "":
			return errors.New("the JWKS holds a private key")
		case c.keys[k.Kid] != nil || k.Kid == "":
			return errors.New("the JWKS has a kid twice or none")
		case k.Kty == "RSA":
			c.keys[k.Kid] = &rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())}
		case k.Kty == "EC" && k.Crv == "P-384":
			point := append([]byte{4}, append(number(k.X).FillBytes(make([]byte, 48)), number(k.Y).FillBytes(make([]byte, 48))...)...)
			key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), point)
			if err != nil {
				return errors.New("the JWKS has a point that is not on P-384")
			}
			c.keys[k.Kid] = key
		default:
			return errors.New("the JWKS has a key of another kind")
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clients[clientID] = c
	return nil
}

// RegisterSecret registers a client with a secret.
func (e *EMR) RegisterSecret(clientID, secret string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clients[clientID] = client{secret: secret}
}

// Revoke lets a client sign in no more, and its tokens are no longer good.
func (e *EMR) Revoke(clientID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.clients, clientID)
	maps.DeleteFunc(e.tokens, func(_ string, g grant) bool { return g.client == clientID })
}

// GiveToken makes a fixed bearer token that lives for a day.
func (e *EMR) GiveToken() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := random()
	e.tokens[t] = grant{e.clock.Now().Add(24 * time.Hour), "", ""}
	return t
}

func number(s string) *big.Int {
	b, _ := base64.RawURLEncoding.DecodeString(s) // a bad one fails to verify
	return new(big.Int).SetBytes(b)
}

func random() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func (e *EMR) serveToken(w http.ResponseWriter, r *http.Request) {
	e.count(func(s *Served) { s.TokenCalls++ })
	f := e.Faults()
	switch {
	case r.URL.Path != "/token" || r.Method != http.MethodPost:
		http.NotFound(w, r)
		return
	case f.TokenRedirect:
		http.Redirect(w, r, e.evilURL+"/token", http.StatusTemporaryRedirect)
		return
	case f.TokenHTML:
		html(w, http.StatusOK)
		return
	case f.TokenStatus != 0:
		tokenError(w, f.TokenStatus, f.TokenError)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	form, perr := url.ParseQuery(string(body))
	if err != nil || perr != nil {
		tokenError(w, http.StatusBadRequest, "invalid_request")
		return
	}
	id, code := e.authenticate(r, form)
	if e.spend(func(f *Faults) *int { return &f.TokenBurn }) {
		http.Error(w, "bad gateway", http.StatusBadGateway)
		return
	}
	if code != "" {
		tokenError(w, http.StatusBadRequest, code)
		return
	}
	e.giveToken(w, id, form.Get("scope"), f)
}

func (e *EMR) giveToken(w http.ResponseWriter, id, scope string, f Faults) {
	if !validScopes(scope) {
		tokenError(w, http.StatusBadRequest, "invalid_scope")
		return
	}
	if f.GrantOnly != nil {
		scope = strings.Join(f.GrantOnly, " ")
	}
	t := random()
	life := e.o.TokenLife
	e.mu.Lock()
	e.tokens[t] = grant{e.clock.Now().Add(life), scope, id}
	e.served.Tokens++
	e.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"access_token": t, "token_type": "bearer",
		"expires_in": int(life.Seconds()), "scope": scope})
}

var scopePattern = regexp.MustCompile(`^system/(\*|[A-Z][A-Za-z]+)\.(read|\*|c?r?u?d?s?)$`)

// validScopes checks the SMART grammar: letters of v2 scopes in order.
func validScopes(s string) bool {
	for _, one := range strings.Fields(s) {
		if !scopePattern.MatchString(one) || strings.HasSuffix(one, ".") {
			return false
		}
	}
	return strings.TrimSpace(s) != ""
}

// authenticate checks who asks and returns an RFC 6749 code if it is nobody.
func (e *EMR) authenticate(r *http.Request, form url.Values) (id, code string) {
	if form.Get("grant_type") != "client_credentials" {
		return "", "unsupported_grant_type"
	}
	if a := form.Get("client_assertion"); a != "" {
		for k := range form {
			if k != "grant_type" && k != "scope" && k != "client_assertion" && k != "client_assertion_type" {
				return "", "invalid_request" // P9: exactly these
			}
		}
		if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			return "", "invalid_request"
		}
		id, err := e.verifyAssertion(a)
		if err != nil {
			return "", "invalid_client"
		}
		return id, ""
	}
	id, secret, ok := r.BasicAuth()
	if !ok {
		id, secret = form.Get("client_id"), form.Get("client_secret")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c, known := e.clients[id]
	if !known || c.secret == "" || c.secret != secret {
		return "", "invalid_client"
	}
	return id, ""
}

// verifyAssertion checks a SMART backend services assertion (P10, P11).
func (e *EMR) verifyAssertion(jwt string) (clientID string, err error) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return "", errors.New("not a JWT")
	}
	var head struct{ Alg, Kid, Typ string }
	var claims struct {
		Iss, Sub, Aud, Jti string
		Exp                int64
	}
	if err := errors.Join(part(parts[0], &head), part(parts[1], &claims)); err != nil {
		return "", err
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return "", err
	}
	now, algs := e.clock.Now(), e.algs()
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.clients[claims.Iss]
	exp := time.Unix(claims.Exp, 0)
	switch {
	case !ok || claims.Iss != claims.Sub:
		return "", errors.New("unknown client")
	case claims.Aud != e.TokenURL():
		return "", errors.New("wrong aud")
	case !exp.After(now) || exp.After(now.Add(300*time.Second)):
		return "", errors.New("exp out of bounds")
	case claims.Jti == "" || e.jtis[claims.Jti]:
		return "", errors.New("jti replayed")
	case !slices.Contains(algs, head.Alg):
		return "", errors.New("alg not taken")
	case head.Typ != "JWT":
		return "", errors.New("wrong typ")
	}
	if !verify(head.Alg, c.keys[head.Kid], parts[0]+"."+parts[1], sig) {
		return "", errors.New("wrong signature")
	}
	e.jtis[claims.Jti] = true
	return claims.Iss, nil
}

// algs are the signature algorithms it takes.
func (e *EMR) algs() []string {
	if a := e.Faults().Algs; a != nil {
		return a
	}
	return []string{"RS384", "ES384"}
}

func part(s string, to any) error {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

// verify takes RS384 and ES384 only, the latter as raw r and s (RFC 7518 3.4).
func verify(alg string, key crypto.PublicKey, signed string, sig []byte) bool {
	sum := sha512.Sum384([]byte(signed))
	switch k := key.(type) {
	case *rsa.PublicKey:
		return alg == "RS384" && rsa.VerifyPKCS1v15(k, crypto.SHA384, sum[:], sig) == nil
	case *ecdsa.PublicKey:
		return alg == "ES384" && len(sig) == 96 && ecdsa.Verify(k, sum[:],
			new(big.Int).SetBytes(sig[:48]), new(big.Int).SetBytes(sig[48:]))
	}
	return false
}

func tokenError(w http.ResponseWriter, status int, code string) {
	writeJSON(w, status, map[string]string{"error": code, "error_description": "refused"})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // a client that went away is no fault
}

func html(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	io.WriteString(w, loginPage)
}

const loginPage = "<!DOCTYPE html><html><body>Please sign in</body></html>"
