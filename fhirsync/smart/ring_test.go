package smart_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"chartcellar/fhirsync/smart"
)

// kept marshals and parses a ring, as a restart does.
func kept(t *testing.T, r *smart.Ring) *smart.Ring {
	t.Helper()
	b, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := smart.ParseRing(b)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// TestRotation is P15, step by step, with a restart after each.
func TestRotation(t *testing.T) {
	now := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	r, err := smart.NewRing("ES384")
	if err != nil {
		t.Fatal(err)
	}
	old := r.Current.KID()
	if err := r.Rotate("ES384"); err != nil {
		t.Fatal(err)
	}
	r = kept(t, r)
	next := r.Next.KID()
	if r.Switch(now.Add(1000 * time.Hour)) {
		t.Error("switched without a confirmation")
	}
	if err := r.Rotate("ES384"); err != nil || r.Next.KID() != next {
		t.Errorf("a second Rotate made another key: %v", err)
	}
	r.Confirm(now, 48*time.Hour)
	r.Confirm(now.Add(40*time.Hour), 48*time.Hour) // the first counts
	r = kept(t, r)
	if r.Switch(now.Add(47*time.Hour)) || len(r.Published()) != 2 {
		t.Error("switched before a server's cache has ended")
	}
	at := now.Add(48 * time.Hour)
	if !r.Switch(at) || r.Current.KID() != next || r.FallBack(at).KID() != old || len(r.Published()) != 2 {
		t.Errorf("not switched: %+v", r)
	}
	rolled := kept(t, r)
	rolled.RollBack()
	if rolled = kept(t, rolled); rolled.Current.KID() != old || rolled.Next.KID() != next || rolled.Switch(at.Add(time.Hour)) {
		t.Errorf("not rolled back: %+v", rolled)
	}
	r = kept(t, r)
	if r.Settle(at.Add(47*time.Hour)) || r.FallBack(at.Add(47*time.Hour)) == nil {
		t.Error("the old key went within the overlap")
	}
	if !r.Settle(at.Add(49*time.Hour)) || len(r.Published()) != 1 || kept(t, r).Current.KID() != next {
		t.Error("the old key stays after the overlap")
	}
}

// TestOneKeyFile: what earlier releases kept, one key, is read.
func TestOneKeyFile(t *testing.T) {
	k, err := smart.NewKey("ES384")
	if err != nil {
		t.Fatal(err)
	}
	der, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if r, err := smart.ParseRing(der); err != nil || r.Current.KID() != k.KID() {
		t.Errorf("ParseRing = %v, %v", r, err)
	}
	for _, bad := range []string{"", "{}", `{"current":"AAAA"}`, "x"} {
		if _, err := smart.ParseRing([]byte(bad)); err == nil {
			t.Errorf("ParseRing(%q) is accepted", bad)
		}
	}
}

// TestFallBack is F28: the server does not know the new key yet.
func TestFallBack(t *testing.T) {
	for _, known := range []string{"the old key", "no key"} {
		t.Run(known, func(t *testing.T) {
			p := newIDP(t)
			n := 0
			good := p.reply
			p.reply = func(w http.ResponseWriter) {
				if n++; n == 1 || known == "no key" {
					w.WriteHeader(400)
					fmt.Fprint(w, `{"error":"invalid_client"}`)
					return
				}
				good(w)
			}
			r, err := smart.NewRing("ES384")
			if err == nil {
				err = r.Rotate("ES384")
			}
			if err != nil {
				t.Fatal(err)
			}
			told := 0
			s := p.source(t, smart.Options{Method: smart.BackendServices, ClientID: "me", Key: r.Next, FallBack: r.Current,
				RolledBack: func() error { told++; return nil }})
			_, err = s.Token(t.Context())
			var e *smart.Error
			switch {
			case known == "the old key" && (err != nil || told != 1):
				t.Errorf("Token = %v, told %d times", err, told)
			case known == "no key" && (!errors.As(err, &e) || e.Code != "invalid_client" || told != 0):
				t.Errorf("Token = %v, told %d times", err, told)
			}
			s.Token(t.Context())
			if len(p.forms) != 2 {
				t.Errorf("%d requests, want 2", len(p.forms))
			}
		})
	}
}

// TestCheckSet is P14: what is published is compared before it is relied on.
func TestCheckSet(t *testing.T) {
	r, err := smart.NewRing("RS384")
	if err == nil {
		err = r.Rotate("ES384")
	}
	if err != nil {
		t.Fatal(err)
	}
	both, err := smart.JWKS(r.Published()...)
	if err != nil {
		t.Fatal(err)
	}
	one, err := smart.JWKS(r.Current)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := smart.JWKS(r.Current, r.Next, r.Next)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		body []byte
		want error
	}{
		{"both", both, nil},
		{"an older set", one, smart.ErrStale},
		{"another key under the name", bytes.Replace(both, []byte(`"n": "`), []byte(`"n": "A`), 1), smart.ErrStale},
		{"a key twice", twice, smart.ErrTwice},
		{"a private key", bytes.Replace(both, []byte(`"e":`), []byte(`"d": "x", "e":`), 1), smart.ErrPrivate},
		{"no set", []byte(`{"resourceType":"Patient"}`), smart.ErrNoSet},
		{"a page", []byte("<html>"), smart.ErrNoSet},
	}
	for _, tt := range tests {
		if err := smart.CheckSet(tt.body, r.Published()...); !errors.Is(err, tt.want) {
			t.Errorf("%s: CheckSet = %v, want %v", tt.name, err, tt.want)
		}
	}
	if strings.Contains(string(both), `"d"`) {
		t.Error("JWKS holds a private member")
	}
}
