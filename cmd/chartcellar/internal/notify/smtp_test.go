package notify_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A post is a mail server in a box with a dial for every fault.
type post struct {
	cert tls.Certificate
	pool *x509.CertPool

	NoTLS    bool   // STARTTLS is not offered
	Implicit bool   // TLS from the first byte
	Auth     string // offered ways
	Refuse   string // the command that is answered 550
	Silent   bool   // nothing is ever said
	HangUp   bool   // closed after the greeting
	Chatty   bool   // refusals have many lines and control characters

	mu       sync.Mutex
	mails    []string // as they came over the wire
	users    []string // "user:password"
	tls      bool
	envelope []string
}

// newPost starts a server on loopback with a certificate for the names.
func newPost(t *testing.T, p *post, names ...string) (host string, port int) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail in a box"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		DNSNames: names, IPAddresses: []net.IP{net.ParseIP("127.0.0.1")}}
	if len(names) > 0 {
		tmpl.IPAddresses = nil
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	p.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	p.pool = x509.NewCertPool()
	p.pool.AddCert(leaf)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "127.0.0.1", l.Addr().(*net.TCPAddr).Port
}

func (p *post) config() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{p.cert}} }

func (p *post) serve(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if p.Silent {
		io.Copy(io.Discard, c)
		return
	}
	secure := p.Implicit
	if p.Implicit {
		c = tls.Server(c, p.config())
	}
	r := bufio.NewReader(c)
	say := func(s string) { io.WriteString(c, s+"\r\n") }
	say("220 box ESMTP")
	if p.HangUp {
		return
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		if strings.HasPrefix(verb+" ", p.Refuse+" ") && p.Refuse != "" {
			if p.Chatty {
				say("550-no\x1b[31m\r\n550-" + strings.Repeat("go away ", 200))
			}
			say("550 not here")
			continue
		}
		switch verb {
		case "EHLO":
			say("250-box")
			if !p.NoTLS && !secure {
				say("250-STARTTLS")
			}
			if p.Auth != "" {
				say("250-AUTH " + p.Auth)
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			s := tls.Server(c, p.config())
			if s.Handshake() != nil {
				return
			}
			c, r, secure = s, bufio.NewReader(s), true
		case "AUTH":
			p.auth(line, r, say)
		case "DATA":
			say("354 go on")
			p.data(r, secure)
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			p.mu.Lock()
			p.envelope = append(p.envelope, line)
			p.mu.Unlock()
			say("250 ok")
		}
	}
}

func (p *post) auth(line string, r *bufio.Reader, say func(string)) {
	unbase := func(s string) string {
		b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
		if err != nil {
			return fmt.Sprint(err)
		}
		return string(b)
	}
	f := strings.Fields(line)
	var user, password string
	if f[1] == "PLAIN" {
		parts := strings.Split(unbase(f[2]), "\x00")
		user, password = parts[1], parts[2]
	} else {
		say("334 " + base64.StdEncoding.EncodeToString([]byte("Username:")))
		a, _ := r.ReadString('\n')
		say("334 " + base64.StdEncoding.EncodeToString([]byte("Password:")))
		b, _ := r.ReadString('\n')
		user, password = unbase(a), unbase(b)
	}
	p.mu.Lock()
	p.users = append(p.users, user+":"+password)
	p.mu.Unlock()
	if password != "right" {
		say("535 no")
		return
	}
	say("235 welcome")
}

func (p *post) data(r *bufio.Reader, secure bool) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil || line == ".\r\n" {
			break
		}
		b.WriteString(line)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mails = append(p.mails, b.String())
	p.tls = secure
}
