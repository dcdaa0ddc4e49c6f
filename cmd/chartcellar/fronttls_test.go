package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"chartcellar/config"
)

// TestCertificateRenews: the certificate that is made here is renewed before it ends,
// without a restart; where that fails, the old one counts to its end.
func TestCertificateRenews(t *testing.T) {
	o, _ := logOffice(t, 0)
	now := time.Now()
	id, err := identityFor(config.Settings{Listen: "0.0.0.0:0"}, o.m, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	first := id.fingerprint()
	now = now.Add(certificateLife - certificateRenew + time.Hour)
	second := id.fingerprint()
	if first == "" || second == "" || first == second {
		t.Errorf("a month before its end: %q, before %q", second, first)
	}
	if c, err := id.certificate(); err != nil || c.Leaf.NotAfter.Before(now.Add(certificateRenew)) {
		t.Errorf("renewed: %v, %v", c.Leaf.NotAfter, err)
	}
	other, err := identityFor(config.Settings{Listen: "0.0.0.0:0"}, o.m, id.now)
	if err != nil || other.fingerprint() != second {
		t.Errorf("after a restart it is another one: %v", err)
	}
	names := newFront(id).names("0.0.0.0")
	if !slices.Contains(names, hostname()) || slices.Contains(names, "0.0.0.0") || slices.Contains(newFront(nil).names(""), "") {
		t.Errorf("it answers to %q", names)
	}

	secrets := filepath.Join(o.m.Dir(), "secrets")
	if err := os.Rename(secrets, secrets+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secrets, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(certificateLife - certificateRenew)
	if _, err := id.certificate(); err != nil || id.fingerprint() != second {
		t.Errorf("where it cannot be renewed: %v", err)
	}
	now = now.Add(certificateRenew)
	if _, err := id.certificate(); err == nil {
		t.Error("one that is over is shown")
	}
}

// TestOwnCertificate: the practice's own certificate is taken over when its file
// changes; one that is broken leaves that of before in force.
func TestOwnCertificate(t *testing.T) {
	dir := t.TempDir()
	s := config.Settings{Listen: "0.0.0.0:0", TLSCert: filepath.Join(dir, "cert.pem"), TLSKey: filepath.Join(dir, "key.pem")}
	at := time.Now().Add(-time.Hour)
	put := func(cert, key []byte) {
		t.Helper()
		for name, b := range map[string][]byte{s.TLSCert: cert, s.TLSKey: key} {
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		at = at.Add(time.Minute)
		if err := os.Chtimes(s.TLSCert, at, at); err != nil {
			t.Fatal(err)
		}
	}
	pair := func(name string) (cert, key []byte) {
		t.Helper()
		b, err := makeCertificate([]string{name}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		cut := bytes.Index(b, []byte("-----BEGIN PRIVATE"))
		return b[:cut], b[cut:]
	}
	put([]byte("nonsense"), nil)
	if _, err := identityFor(s, nil, time.Now); explain(err).Code != exitUsage {
		t.Errorf("a broken one at the start: %v", err)
	}
	cert, key := pair("records.example")
	put(cert, key)
	id, err := identityFor(s, nil, time.Now)
	if err != nil || !slices.Contains(id.names(), "records.example") {
		t.Fatalf("its own: %v, %v", id.names(), err)
	}
	first := id.fingerprint()
	next, nextKey := pair("records.example")
	put(next, key) // the key comes a moment later
	if id.fingerprint() != first {
		t.Error("a certificate without its key is taken over")
	}
	put([]byte("nonsense"), nextKey)
	if id.fingerprint() != first {
		t.Error("nonsense is taken over")
	}
	put(next, nextKey)
	if got := id.fingerprint(); got == first || got == "" {
		t.Error("the new one is not taken over")
	}
	if err := os.Remove(s.TLSCert); err != nil {
		t.Fatal(err)
	}
	if id.fingerprint() == "" {
		t.Error("with its file gone it is gone")
	}
}
