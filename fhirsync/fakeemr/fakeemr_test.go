package fakeemr_test

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"chartcellar/fhirsync/fakeemr"
)

func start(t testing.TB, o fakeemr.Options) (*fakeemr.EMR, *http.Client) {
	t.Helper()
	e, err := fakeemr.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(e.CAPEM())
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(c.CloseIdleConnections)
	return e, c
}

// register makes a key with a library that is not ours and registers it.
func register(t *testing.T, e *fakeemr.EMR, alg jose.SignatureAlgorithm, key crypto.Signer) {
	t.Helper()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: string(alg), Algorithm: string(alg), Use: "sig"}}}
	b, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.RegisterKey(string(alg), b); err != nil {
		t.Fatal(err)
	}
}

func assertion(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	opts := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", kid)
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := s.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	out, err := sig.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func ask(t *testing.T, c *http.Client, e *fakeemr.EMR, jwt, scope string) (int, map[string]any) {
	t.Helper()
	resp, err := c.PostForm(e.TokenURL(), url.Values{"grant_type": {"client_credentials"}, "scope": {scope}, "client_assertion": {jwt},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var m map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, m
}

// TestAssertions: what the token endpoint takes and what it refuses (P10, P11).
func TestAssertions(t *testing.T) {
	e, c := start(t, fakeemr.Options{Practice: fakeemr.Practice{Patients: 2}})
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	register(t, e, jose.ES384, ec)
	register(t, e, jose.RS384, rs)
	claims := func(id string, change map[string]any) map[string]any {
		m := map[string]any{"iss": id, "sub": id, "aud": e.TokenURL(), "jti": fmt.Sprint(time.Now().UnixNano()), "exp": time.Now().Add(4 * time.Minute).Unix()}
		for k, v := range change {
			m[k] = v
		}
		return m
	}
	for _, k := range []struct {
		alg jose.SignatureAlgorithm
		key crypto.Signer
	}{{jose.ES384, ec}, {jose.RS384, rs}} {
		jwt := assertion(t, k.alg, k.key, string(k.alg), claims(string(k.alg), nil))
		if status, m := ask(t, c, e, jwt, "system/*.rs"); status != 200 || m["access_token"] == "" {
			t.Errorf("%s: %d, %v", k.alg, status, m)
		}
		if status, _ := ask(t, c, e, jwt, "system/*.rs"); status == 200 {
			t.Errorf("%s: a replayed assertion is taken", k.alg)
		}
	}
	for name, change := range map[string]map[string]any{
		"another aud": {"aud": e.TokenURL() + "/"}, "expired": {"exp": time.Now().Add(-time.Minute).Unix()},
		"too long": {"exp": time.Now().Add(10 * time.Minute).Unix()}, "iss is not sub": {"sub": "x"}, "no jti": {"jti": ""}} {
		jwt := assertion(t, jose.ES384, ec, "ES384", claims("ES384", change))
		if status, m := ask(t, c, e, jwt, "system/*.rs"); status != 400 || m["error"] != "invalid_client" {
			t.Errorf("%s: %d, %v", name, status, m)
		}
	}
	if status, _ := ask(t, c, e, assertion(t, jose.ES384, ec, "other", claims("ES384", nil)), "system/*.rs"); status == 200 {
		t.Error("an unknown kid is taken")
	}
	if status, _ := ask(t, c, e, assertion(t, jose.HS256, []byte(strings.Repeat("k", 32)), "ES384", claims("ES384", nil)), "system/*.rs"); status == 200 {
		t.Error("HS256 is taken")
	}
	for scope, want := range map[string]int{"system/Patient.rs": 200, "system/Patient.read": 200, "system/Patient.sr": 400, "patient": 400, "": 400} {
		if status, _ := ask(t, c, e, assertion(t, jose.ES384, ec, "ES384", claims("ES384", nil)), scope); status != want {
			t.Errorf("scope %q: %d, want %d", scope, status, want)
		}
	}
}

// all returns everything an EMR holds.
func all(t testing.TB, e *fakeemr.EMR) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, typ := range e.Types() {
		err := e.EachAt(typ, e.Clock().Now(), func(_ string, line []byte) error {
			if !json.Valid(line) {
				t.Fatalf("%s: not JSON: %s", typ, line)
			}
			b.Write(append(line, '\n'))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestSameSeedSamePractice(t *testing.T) {
	a, _ := start(t, fakeemr.Options{Practice: fakeemr.Practice{Patients: 12, Seed: 5}})
	b, _ := start(t, fakeemr.Options{Practice: fakeemr.Practice{Patients: 12, Seed: 5}})
	c, _ := start(t, fakeemr.Options{Practice: fakeemr.Practice{Patients: 12, Seed: 6}})
	if !bytes.Equal(all(t, a), all(t, b)) {
		t.Error("the same seed gives other bytes")
	}
	if bytes.Equal(all(t, a), all(t, c)) {
		t.Error("another seed gives the same bytes")
	}
}

// TestLedger: the ledger knows what was true when.
func TestLedger(t *testing.T) {
	e, c := start(t, fakeemr.Options{Practice: fakeemr.Practice{Patients: 3, Seed: 1}})
	token := e.GiveToken()
	before := e.Clock().Now()
	e.Clock().Advance(time.Hour)
	if err := e.Edit("Patient", "pat-1", func(m map[string]any) { m["active"] = false }); err != nil {
		t.Fatal(err)
	}
	e.Delete("Patient", "pat-2")
	if _, err := e.Put([]byte(`{"resourceType":"Patient","id":"new"}`)); err != nil {
		t.Fatal(err)
	}
	list := func(at time.Time) (ids []string, edited bool) {
		err := e.EachAt("Patient", at, func(id string, line []byte) error {
			ids = append(ids, id)
			edited = edited || bytes.Contains(line, []byte(`"active":false`))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return ids, edited
	}
	if ids, edited := list(before); len(ids) != 3 || edited {
		t.Errorf("before: %v, edited %v", ids, edited)
	}
	if ids, edited := list(e.Clock().Now()); strings.Join(ids, " ") != "pat-0 pat-1 new" || !edited {
		t.Errorf("after: %v, edited %v", ids, edited)
	}
	for path, want := range map[string]int{"Patient/pat-1": 200, "Patient/pat-2": 410, "Patient/none": 404} {
		req, err := http.NewRequest("GET", e.BaseURL()+"/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// BenchmarkGenerator shows that a practice of any size is streamed.
func BenchmarkGenerator(b *testing.B) {
	e, _ := start(b, fakeemr.Options{Practice: fakeemr.Practice{Patients: 2000, Seed: 1}})
	b.ReportAllocs()
	for b.Loop() {
		if err := e.EachAt("Observation", e.Clock().Now(), func(string, []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func gz(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
