// Package fakeemr is a hosted EMR in a box: SMART, FHIR reads, searches and
// histories, and Bulk Data over loopback TLS, with a ledger of what is true and
// a dial for every fault.
//
// It is for tests, `chartcellar demo` and `chartcellar fakeemr`. It is written
// from the specifications, imports nothing of the engine, and listens on the
// loopback interface only.
package fakeemr

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options say what EMR to start.
type Options struct {
	Practice Practice
	// Folder, if set, is served instead: files Type.ndjson or Type.NNN.ndjson,
	// also with .gz. Lines are served as they are.
	Folder string
	Clock  *Clock // nil: real time
	// TokenLife is how long an access token lives; 0: 5 minutes.
	TokenLife time.Duration
	// FilesPerType is into how many files a generated type is split; 0: 1.
	FilesPerType int
	// Polls is how many polls a job answers with 202 before it is done; 0: 1,
	// below 0: none.
	Polls int
	// Plain serves http instead of https: for benchmarks.
	Plain bool
	// MaxCount is the most that a page of a search holds; 0: 200.
	MaxCount int
	// NoExport, NoSearch and NoHistory leave out what the EMR can do: bulk
	// exports, searches by type, histories.
	NoExport, NoSearch, NoHistory bool
	// SearchTypes are the only types that can be searched; nil: all.
	SearchTypes []string
	// HiddenTypes are neither exported nor searchable, but readable by id (P92).
	HiddenTypes []string
	// HideBinary hides Binary, and the statement does not name it either.
	HideBinary bool
	// BigAttachment is the size of one more attachment, of the document
	// DocumentReference/doc-big of the generator's first patient; 0: none. Its
	// Binary/bin-big can be read by id only.
	BigAttachment int64
	// Addr is the address of the EMR's listener; "": any free port.
	Addr string
}

// An EMR is a running EMR. Its methods may be called from many goroutines.
type EMR struct {
	o       Options
	clock   *Clock
	base    base
	caPEM   []byte
	cert    tls.Certificate
	expired tls.Certificate
	servers []*http.Server
	wg      sync.WaitGroup
	emrURL  string
	idpURL  string
	fileURL string
	evilURL string
	opened  time.Time // when the base records were committed
	lists   lists
	secret  []byte // signs links

	// mu covers what follows.
	mu      sync.Mutex
	faults  Faults
	served  Served
	clients map[string]client
	tokens  map[string]grant
	jtis    map[string]bool
	jobs    map[string]*job
	nextJob int
	ledger  ledger
	results results
}

// Served counts what the EMR was asked for.
type Served struct {
	Tokens      int            // tokens given
	TokenCalls  int            // requests to the token endpoint
	KickOffs    int            // export jobs made
	Since       int            // of them, those for changes only (_since)
	Refused     int            // kick-offs refused
	Polls       int            // status requests
	EarlyPolls  int            // status requests before Retry-After was over
	Manifests   int            // manifests given
	Files       map[string]int // by "type/n of job": times served to the end
	Bytes       int64          // of files, as sent
	Reads       int            // single resources
	Deletes     int            // jobs deleted by the client
	LiveJobs    int            // jobs that are there now
	MaxLiveJobs int
	Searches    int // searches begun, with those that want the number only
	Counts      int // searches that want the number only
	Histories   int // histories begun
	Pages       int // pages of searches and histories
	Attachments int // requests for Binary and for signed links
	Writes      int // any other POST, PUT, PATCH or DELETE
	Evil        int // requests to the evil listener
	Leaks       int // Authorization headers or secrets where none may be
}

// Start starts an EMR on the loopback interface.
func Start(o Options) (*EMR, error) {
	if o.TokenLife == 0 {
		o.TokenLife = 5 * time.Minute
	}
	if o.MaxCount == 0 {
		o.MaxCount = 200
	}
	if o.Clock == nil {
		o.Clock = &Clock{}
	}
	e := &EMR{o: o, clock: o.Clock, clients: map[string]client{}, tokens: map[string]grant{},
		jtis: map[string]bool{}, jobs: map[string]*job{}}
	e.secret = []byte(random())
	e.served.Files = map[string]int{}
	e.opened = e.clock.Now().UTC().Truncate(time.Second).Add(-time.Hour)
	var err error
	if o.Folder != "" {
		e.base, err = openFolder(o.Folder)
	} else {
		e.base = newGenerator(o.Practice, e.opened, o.BigAttachment)
	}
	if err != nil {
		return nil, err
	}
	if err := e.makeCerts(); err != nil {
		return nil, err
	}
	return e, e.listen()
}

// listen starts the four listeners.
func (e *EMR) listen() error {
	for _, l := range []struct {
		url     *string
		addr    string
		handler http.Handler
	}{
		{&e.emrURL, e.o.Addr, e.emrHandler()},
		{&e.idpURL, "", http.HandlerFunc(e.serveToken)},
		{&e.fileURL, "", http.HandlerFunc(e.serveStorage)},
		{&e.evilURL, "", http.HandlerFunc(e.serveEvil)},
	} {
		addr := l.addr
		if addr == "" {
			addr = "127.0.0.1:0"
		}
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return errors.Join(fmt.Errorf("listen: %w", err), e.Close())
		}
		s := &http.Server{Handler: e.dated(l.handler), ReadHeaderTimeout: 10 * time.Second,
			ErrorLog: log.New(io.Discard, "", 0)}
		*l.url = "http://" + ln.Addr().String()
		if !e.o.Plain {
			*l.url = "https://" + ln.Addr().String()
			ln = tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12,
				NextProtos: []string{"http/1.1"}, GetCertificate: e.certificate})
		}
		e.servers = append(e.servers, s)
		e.wg.Go(func() { s.Serve(ln) }) // ends with Close
	}
	return nil
}

// dated sets the Date header from the virtual clock.
func (e *EMR) dated(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := e.clock.Now().Add(e.Faults().DateSkew)
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		h.ServeHTTP(w, r)
	})
}

// Close stops the EMR.
func (e *EMR) Close() error {
	var err error
	for _, s := range e.servers {
		err = errors.Join(err, s.Close())
	}
	e.wg.Wait()
	if f, ok := e.base.(*folder); ok {
		err = errors.Join(err, f.close())
	}
	return err
}

// BaseURL is the FHIR base: it has a path, as tenants have.
func (e *EMR) BaseURL() string { return e.emrURL + "/fhir/r4" }

// TokenURL is the token endpoint, on another host than the base.
func (e *EMR) TokenURL() string { return e.idpURL + "/token" }

// StorageURL is the file storage, on another host than the base.
func (e *EMR) StorageURL() string { return e.fileURL }

// EvilURL is the listener that must never see a request.
func (e *EMR) EvilURL() string { return e.evilURL }

// CAPEM is the certificate of the EMR's own CA.
func (e *EMR) CAPEM() []byte { return e.caPEM }

// GroupID is the id of the Group of all patients.
func (e *EMR) GroupID() string { return "all-patients" }

// Clock returns the EMR's clock.
func (e *EMR) Clock() *Clock { return e.clock }

// Served returns a copy of the counters.
func (e *EMR) Served() Served {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.served
	s.Files = make(map[string]int, len(e.served.Files))
	for k, v := range e.served.Files {
		s.Files[k] = v
	}
	return s
}

func (e *EMR) count(f func(*Served)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(&e.served)
}

// serveEvil must never be reached.
func (e *EMR) serveEvil(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	leak := err == nil && len(body) > 0 || r.Header.Get("Authorization") != ""
	e.count(func(s *Served) {
		s.Evil++
		if leak {
			s.Leaks++
		}
	})
	http.Error(w, "evil", http.StatusTeapot)
}

// makeCerts makes the CA and two server certificates, one of them expired.
func (e *EMR) makeCerts() error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the CA: %w", err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fakeemr CA"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return fmt.Errorf("make the CA: %w", err)
	}
	e.caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	issue := func(until time.Time) (tls.Certificate, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return tls.Certificate{}, err
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(until.Unix()), NotBefore: until.AddDate(-2, 0, 0),
			NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		der, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), caKey)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
	}
	if e.cert, err = issue(time.Now().AddDate(1, 0, 0)); err == nil {
		e.expired, err = issue(time.Now().Add(-time.Hour))
	}
	if err != nil {
		return fmt.Errorf("make the certificates: %w", err)
	}
	return nil
}

func (e *EMR) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if e.Faults().ExpiredCertificate {
		return &e.expired, nil
	}
	return &e.cert, nil
}

// Describe says how to connect by hand.
func (e *EMR) Describe(w io.Writer, caFile, clientID string) {
	fmt.Fprintf(w, "FHIR base     %s\nCA file       %s\nclient id     %s\ngroup id      %s\n",
		e.BaseURL(), caFile, clientID, e.GroupID())
}

// A Clock is the EMR's time: real time, moved by what Advance was given. The
// zero Clock is ready.
type Clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

// Now returns the EMR's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}
