package offsite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// silence is how long a server that was asked something may say nothing, and how long a
// connection that nobody uses is kept.
const silence = 90 * time.Second

// SFTPOptions say which server, and how to sign in there.
type SFTPOptions struct {
	// Addr is HOST or HOST:PORT; the port is 22 if it is left out.
	Addr string
	User string
	// Path is the folder on the server. It must be there.
	Path string
	// HostKey is the server's key, which a person has confirmed: its fingerprint
	// ("SHA256:...", as HostKeyOf returns it) or the whole key as in authorized_keys.
	HostKey string
	// Password or Key, a private key in PEM or OpenSSH's form without a password,
	// signs in; with both, the key is tried first.
	Password string
	Key      []byte
	// Dial opens the connection; nil dials TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// A HostKeyError says that the server has another key than the pinned one: it is
// another server, somebody stands in between, or it was set up again. It wraps
// ErrDenied.
type HostKeyError struct {
	Addr    string
	Want    string // the pinned key
	Offered string // the fingerprint of the server's, SHA256:...
}

// Error implements error.
func (e *HostKeyError) Error() string {
	return fmt.Sprintf("the server %s has the key %s, not the one that was confirmed", e.Addr, e.Offered)
}

// Unwrap returns ErrDenied.
func (e *HostKeyError) Unwrap() error { return ErrDenied }

// hostKeys are the kinds of keys a server is asked for, best first. The order never
// changes: a server that has several would seem to be another one.
var hostKeys = []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}

// HostKeyOf returns the fingerprint (SHA256:...) of the key that the server at addr
// offers to this program, so that a person can compare it. Nothing is signed in to.
func HostKeyOf(ctx context.Context, addr string) (string, error) {
	var got string
	seen := errors.New("seen")
	conn, err := dialSFTP(ctx, nil, withPort(addr))
	if err != nil {
		return "", err
	}
	defer conn.Close() // nothing was written
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_, _, _, err = ssh.NewClientConn(conn, addr, &ssh.ClientConfig{HostKeyAlgorithms: hostKeys,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			got = ssh.FingerprintSHA256(key)
			return seen
		}})
	if got != "" {
		return got, nil
	}
	return "", fmt.Errorf("ask %s for its key: %w: %w", addr, ErrAway, errors.Join(ctx.Err(), err))
}

func withPort(addr string) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	return net.JoinHostPort(strings.Trim(addr, "[]"), "22")
}

func dialSFTP(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), addr string) (net.Conn, error) {
	if dial == nil {
		dial = (&net.Dialer{Timeout: silence}).DialContext
	}
	conn, err := dial(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w: %w", addr, ErrAway, err)
	}
	if err := conn.SetDeadline(time.Now().Add(silence)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &watchedConn{conn}, nil
}

// A watchedConn is cut when nothing came for too long after it was last written to or
// read from.
type watchedConn struct{ net.Conn }

// Write implements net.Conn.
func (c *watchedConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Read implements net.Conn.
func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil {
		err = c.SetReadDeadline(time.Now().Add(silence))
	}
	return n, err
}

// An SFTP is a Place in a folder of a server.
type SFTP struct {
	options SFTPOptions
	config  *ssh.ClientConfig
	busy    claims

	// dialing is held while a connection is made. It covers now.
	dialing sync.Mutex
	now     *link // nil when it was lost

	// mu covers swept: the folders that are there, without an abandoned temporary file.
	mu    sync.Mutex
	swept map[string]bool
}

// A link is one connection.
type link struct {
	*sftp.Client
	conn net.Conn
}

// cut ends the connection; whatever waits on it returns.
func (l *link) cut() { l.conn.Close() } // it was lost, or nobody wants its answer

// OpenSFTP signs in to the server. A key that is not the pinned one is a *HostKeyError,
// and no password is sent then; without a pinned key nobody is called. A connection
// that is lost is made again once by what comes next. The end of a context ends every
// connection that it waits on.
//
// Put writes a temporary file and renames it with the protocol's plain rename after a
// look whether the name is free. OpenSSH's never replaces; some servers' does, so that
// of two programs that give a file one name at the same instant the later wins there.
func OpenSFTP(ctx context.Context, o SFTPOptions) (*SFTP, error) {
	o.Addr = withPort(o.Addr)
	check, err := pinned(o)
	if err != nil {
		return nil, err
	}
	auth, err := signIn(o)
	if err != nil {
		return nil, err
	}
	s := &SFTP{options: o, swept: map[string]bool{},
		config: &ssh.ClientConfig{User: o.User, Auth: auth, HostKeyCallback: check, HostKeyAlgorithms: hostKeys}}
	if _, _, err := s.link(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// pinned returns the check of the server's key.
func pinned(o SFTPOptions) (ssh.HostKeyCallback, error) {
	want := strings.TrimSpace(o.HostKey)
	if want == "" {
		return nil, errors.New("no key of the server was confirmed")
	}
	if !strings.HasPrefix(want, "SHA256:") {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(want))
		if err != nil {
			return nil, errors.New("the confirmed key of the server is neither SHA256:... nor a public key")
		}
		want = ssh.FingerprintSHA256(key)
	}
	return func(_ string, _ net.Addr, key ssh.PublicKey) error {
		if got := ssh.FingerprintSHA256(key); got != strings.TrimRight(want, "=") {
			return &HostKeyError{Addr: o.Addr, Want: want, Offered: got}
		}
		return nil
	}, nil
}

func signIn(o SFTPOptions) (list []ssh.AuthMethod, err error) {
	if len(o.Key) > 0 {
		key, err := ssh.ParsePrivateKey(o.Key)
		var locked *ssh.PassphraseMissingError
		if errors.As(err, &locked) {
			return nil, errors.New("the private key for the server has a password; make one without")
		}
		if err != nil {
			return nil, errors.New("the private key for the server cannot be read")
		}
		list = append(list, ssh.PublicKeys(key))
	}
	if o.Password != "" {
		answer := func(_, _ string, questions []string, echos []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range answers {
				if !echos[i] {
					answers[i] = o.Password
				}
			}
			return answers, nil
		}
		list = append(list, ssh.Password(o.Password), ssh.KeyboardInteractive(answer))
	}
	if len(list) == 0 {
		return nil, errors.New("there is neither a password nor a key for the server")
	}
	return list, nil
}

// link returns the connection, and whether it was made just now.
func (s *SFTP) link(ctx context.Context) (l *link, fresh bool, err error) {
	s.dialing.Lock()
	defer s.dialing.Unlock()
	if s.now != nil {
		return s.now, false, nil
	}
	conn, err := dialSFTP(ctx, s.options.Dial, s.options.Addr)
	if err != nil {
		return nil, false, ended(ctx, err)
	}
	client, err := s.connect(ctx, conn)
	if err != nil {
		conn.Close() // the error is told
		return nil, false, fmt.Errorf("sign in to %s: %w", s.options.Addr, ended(ctx, err))
	}
	s.now = &link{client, conn}
	return s.now, true, nil
}

// ended returns the context's error, if that is why something failed.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (s *SFTP) connect(ctx context.Context, conn net.Conn) (*sftp.Client, error) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c, channels, requests, err := ssh.NewClientConn(conn, s.options.Addr, s.config)
	var other *HostKeyError
	switch {
	case errors.As(err, &other):
		return nil, other
	case err != nil && strings.Contains(err.Error(), "unable to authenticate"):
		return nil, ErrDenied // the rest names the ways that were tried
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	client, err := sftp.NewClient(ssh.NewClient(c, channels, requests), sftp.UseConcurrentWrites(true))
	if err != nil {
		return nil, fmt.Errorf("%w: it offers no SFTP: %w", ErrAway, err)
	}
	return client, nil
}

// drop forgets a connection that was lost.
func (s *SFTP) drop(l *link) {
	l.cut()
	s.dialing.Lock()
	defer s.dialing.Unlock()
	if s.now == l {
		s.now = nil
	}
}

// do runs op on a connection, and again on a new one if the old one turns out to be
// lost, unless once says that op cannot be run twice.
func (s *SFTP) do(ctx context.Context, once bool, op func(*link) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		l, fresh, err := s.link(ctx)
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, l.cut)
		err = op(l)
		stop()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			s.drop(l)
			return ctx.Err()
		}
		if answered(err) {
			return err
		}
		s.drop(l)
		if fresh || once {
			return fmt.Errorf("%w: the connection was lost: %w", ErrAway, err)
		}
	}
}

// answered reports whether an error came from the server or from us, not from the
// connection.
func answered(err error) bool {
	var status *sftp.StatusError
	return errors.As(err, &status) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || isOurs(err)
}

// here returns an error if the folder on the server is not there.
func (s *SFTP) here(l *link) error {
	info, err := l.Stat(s.options.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return fmt.Errorf("%w: its folder is not there", ErrAway)
	}
	return err
}

func (s *SFTP) path(name string) string { return path.Join(s.options.Path, name) }

// Close implements Place.
func (s *SFTP) Close() error {
	s.dialing.Lock()
	defer s.dialing.Unlock()
	if s.now != nil {
		s.now.cut() // nothing is written without an answer
		s.now.Wait()
		s.now = nil
	}
	return nil
}
