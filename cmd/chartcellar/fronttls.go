package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"chartcellar/config"
	"chartcellar/store"
)

// How long a certificate that was made here counts, and how long before its end
// another is made.
const (
	certificateLife  = 397 * 24 * time.Hour
	certificateRenew = 30 * 24 * time.Hour
)

// tlsSecret is where the certificate that was made here is kept, with its key.
const tlsSecret = "tls"

// An identity shows the pages' certificate: the practice's own, read again when its
// file changes, or one made here, renewed before it ends. No restart is needed.
type identity struct {
	m   *store.Mirror
	s   config.Settings
	now func() time.Time

	// mu covers what follows.
	mu   sync.Mutex
	cert *tls.Certificate
	read time.Time // when the practice's own was changed
}

// identityFor returns the certificate of the pages, nil where they are for this
// computer only.
func identityFor(s config.Settings, m *store.Mirror, now func() time.Time) (*identity, error) {
	if loopback(s.Listen) && s.TLSCert == "" {
		return nil, nil
	}
	id := &identity{m: m, s: s, now: now}
	_, err := id.certificate()
	return id, err
}

// config is what a web server needs; nil for no TLS.
func (id *identity) config() *tls.Config {
	if id == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return id.certificate() }}
}

// certificate returns the one that counts now.
func (id *identity) certificate() (*tls.Certificate, error) {
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.s.TLSCert != "" {
		return id.own()
	}
	if id.fresh(id.cert) {
		return id.cert, nil
	}
	c, err := id.renewed()
	switch {
	case err == nil:
		id.cert = c
	case id.cert == nil || !id.now().Before(id.cert.Leaf.NotAfter):
		return nil, err
	}
	return id.cert, nil // where it could not be renewed it counts for some days yet
}

// renewed returns the certificate that is kept, or makes another one.
func (id *identity) renewed() (*tls.Certificate, error) {
	b, err := id.m.Secret(tlsSecret)
	if err != nil {
		return nil, err
	}
	if c, err := parseCertificate(b, b); err == nil && id.fresh(c) {
		return c, nil
	}
	if b, err = makeCertificate(ownNames(), id.now()); err != nil {
		return nil, err
	}
	if err := id.m.PutSecret(tlsSecret, b); err != nil {
		return nil, err
	}
	return parseCertificate(b, b)
}

// fresh reports whether a certificate counts for long enough.
func (id *identity) fresh(c *tls.Certificate) bool {
	return c != nil && id.now().Before(c.Leaf.NotAfter.Add(-certificateRenew))
}

// own reads the practice's own certificate when its file is new. A file that cannot be
// read leaves the one of before in force.
func (id *identity) own() (*tls.Certificate, error) {
	at := modified(id.s.TLSCert)
	if id.cert != nil && at.Equal(id.read) {
		return id.cert, nil
	}
	c, err := tls.LoadX509KeyPair(id.s.TLSCert, id.s.TLSKey)
	if err != nil && id.cert != nil {
		return id.cert, nil
	}
	if err != nil {
		return nil, &plainError{exitUsage, "The certificate of the pages cannot be used: " + err.Error() + ".", "Nothing is lost.",
			"Correct tls_cert and tls_key in the settings, or write \"\" for both: then one is made here."}
	}
	id.cert, id.read = &c, at
	return id.cert, nil
}

// fingerprint is what a person compares with what his browser shows: SHA-256 of the
// certificate, as browsers write it.
func (id *identity) fingerprint() string {
	if id == nil {
		return ""
	}
	c, err := id.certificate()
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(c.Certificate[0])
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// names are those that the certificate is for.
func (id *identity) names() []string {
	if id == nil {
		return nil
	}
	c, err := id.certificate()
	if err != nil {
		return nil
	}
	names := slices.Clone(c.Leaf.DNSNames)
	for _, ip := range c.Leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

func parseCertificate(cert, key []byte) (*tls.Certificate, error) {
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("read the certificate that was made here: %w", err)
	}
	return &c, nil
}

// makeCertificate makes a certificate that signs itself, for these names and
// addresses, with its key behind it.
func makeCertificate(names []string, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of the pages: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "chartcellar on " + names[0]},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true}
	for _, n := range append(names, "localhost") {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of the pages: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...), errors.Join(err)
}
