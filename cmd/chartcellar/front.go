package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A front is the web server. What it answers with changes once, when the first owner
// is made; where it listens widens then, if the settings say so.
type front struct {
	pages  atomic.Pointer[http.Handler]
	server *http.Server
	id     *identity // nil without TLS
	errs   chan error

	// mu covers what follows.
	mu sync.Mutex
	l  net.Listener
}

// stopTime is how long pages that are being made may take when the program stops.
const stopTime = 2 * time.Second

// newFront makes a server that answers nothing yet; id is nil without TLS.
func newFront(id *identity) *front {
	f := &front{id: id, errs: make(chan error, 4)}
	f.server = &http.Server{Handler: f, TLSConfig: id.config(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: log.New(nowhere{}, "", 0)}
	return f
}

// nowhere drops what the web server says of broken connections: it may hold an
// address that was asked for.
type nowhere struct{}

// Write implements io.Writer.
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*f.pages.Load()).ServeHTTP(w, r) }

// show has the pages answer from now on.
func (f *front) show(h http.Handler) { f.pages.Store(&h) }

// listen opens an address and answers there. The address of before, if there is one,
// is given up first, and taken back if the other one cannot be had.
func (f *front) listen(addr string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.l
	if before != nil {
		before.Close() // its Serve ends with an error that nobody waits for
		f.l = nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil && before != nil {
		if l, again := net.Listen("tcp", before.Addr().String()); again == nil {
			f.l = l
			go f.serve(l)
		}
	}
	if err != nil {
		return &plainError{exitFailed, fmt.Sprintf("The pages cannot be served at %s: %s.", addr, reason(err)), "Nothing is lost.",
			"See what else uses that address, or write another one as listen = in the settings."}
	}
	f.l = l
	go f.serve(l)
	return nil
}

func (f *front) serve(l net.Listener) {
	var err error
	if f.id != nil {
		err = f.server.ServeTLS(l, "", "")
	} else {
		err = f.server.Serve(l)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.l == l { // else another one has taken its place
		f.errs <- err
	}
}

// names are those under which the pages answer, where they are served at a host: an
// address that the computer got since its certificate was made too.
func (f *front) names(host string) []string {
	names := f.id.names()
	if f.id != nil {
		names = append(names, ownNames()...)
	}
	if ip, err := netip.ParseAddr(host); host != "" && (err != nil || !ip.IsUnspecified()) {
		names = append(names, host)
	}
	return names
}

// url is where a person finds the pages.
func (f *front) url() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.l == nil {
		return ""
	}
	at, ok := f.l.Addr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	scheme, host := "http", at.IP.String()
	if f.id != nil {
		scheme = "https"
	}
	if at.IP.IsUnspecified() {
		host = hostname()
	}
	return fmt.Sprintf("%s://%s/", scheme, net.JoinHostPort(host, fmt.Sprint(at.Port)))
}

// run waits until ctx ends, then ends the server: pages under way have a moment.
func (f *front) run(ctx context.Context) error {
	select {
	case err := <-f.errs:
		return &plainError{exitFailed, "The pages are no longer served: " + reason(err) + ".", "Nothing is lost. Backups go on.",
			"Start \"chartcellar serve\" again."}
	case <-ctx.Done():
	}
	sctx, stop := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer stop()
	err := f.server.Shutdown(sctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return f.server.Close()
	}
	return err
}

// reason is the last word of a network error: no address, no operation.
func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		err = sys.Err
	}
	return err.Error()
}

// loopback reports whether an address to listen on is this computer's own.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// hereOnly is the same port, on this computer only.
func hereOnly(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr // listen will say what is wrong with it
	}
	return net.JoinHostPort("127.0.0.1", port)
}

func hostname() string {
	h, err := os.Hostname()
	if err != nil || h == "" {
		return "localhost"
	}
	return strings.ToLower(h)
}

// ownNames are the names and addresses that this computer goes by in its network.
func ownNames() []string {
	names := []string{hostname(), hostname() + ".local"}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return names
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			names = append(names, p.Addr().Unmap().WithZone("").String())
		}
	}
	return names
}
