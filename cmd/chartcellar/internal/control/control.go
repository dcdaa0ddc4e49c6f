// Package control is the local socket: a command that finds the mirror in use
// asks the process that holds it.
//
// The socket is a unix socket with mode 0600 on every system; whoever may connect
// is the same user. Calls carry the command's words and, where the caller typed
// one, a passphrase, which is never logged. The package knows no command.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// A Call is a command that another process asks for.
type Call struct {
	Version string   `json:"version"` // of the caller's program
	Args    []string `json:"args"`
	Dir     string   `json:"dir"`              // the caller's working folder: for file names it typed
	Secret  string   `json:"secret,omitempty"` // passphrase, if one was typed
	Asked   string   `json:"asked,omitempty"`  // what else the command asks for: a new passphrase, a vendor's secret
}

// A frame is a piece of the answer.
type frame struct {
	Out  []byte `json:"out,omitempty"`
	Err  []byte `json:"err,omitempty"`
	Exit *int   `json:"exit,omitempty"`
}

// maxCall bounds a call.
const maxCall = 1 << 20

// maxPath is the longest path a unix socket may have everywhere.
const maxPath = 100

// ErrGone says that nobody answers on the socket.
var ErrGone = errors.New("nobody answers on the socket")

// Path returns where the socket of a data folder is: in it, or, where the path
// would be too long, in a private folder of its own.
func Path(dir string) (string, error) {
	path := filepath.Join(dir, "ctl.sock")
	if len(path) <= maxPath {
		return path, nil
	}
	private, err := os.MkdirTemp("", "chartcellar")
	if err != nil {
		return "", fmt.Errorf("make a folder for the socket: %w", err)
	}
	return filepath.Join(private, "ctl.sock"), nil
}

// A Handler carries a call out and returns its exit code. It may be called by
// several goroutines at once; ctx ends when the caller is gone.
type Handler func(ctx context.Context, c Call, stdout, stderr io.Writer) int

// Serve answers calls until ctx ends, then waits for those under way. The
// caller holds the mirror, so that a socket left by a dead process may be
// replaced.
func Serve(ctx context.Context, path string, h Handler) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace the old socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("open the local socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("protect the local socket: %w", err), l.Close())
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept on the local socket: %w", err)
		}
		wg.Go(func() { answer(ctx, c, h) })
	}
}

func answer(ctx context.Context, c net.Conn, h Handler) {
	defer c.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { c.Close() })
	var call Call
	if json.NewDecoder(io.LimitReader(c, maxCall)).Decode(&call) != nil {
		return
	}
	// The caller sends nothing more: the end of its side means it is gone.
	go func() {
		io.Copy(io.Discard, c)
		cancel()
	}()
	out := &sender{enc: json.NewEncoder(c)}
	code := h(ctx, call, writer(func(b []byte) error { return out.send(frame{Out: b}) }),
		writer(func(b []byte) error { return out.send(frame{Err: b}) }))
	out.send(frame{Exit: &code}) // a caller that is gone needs no answer
}

type sender struct {
	mu  sync.Mutex // held while a frame is written
	enc *json.Encoder
}

func (s *sender) send(f frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enc.Encode(f)
}

type writer func([]byte) error

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) {
	if err := w(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Ask sends a call to the process behind a socket, copies what it writes, and
// returns its exit code. ErrGone means that it never began to answer.
func Ask(ctx context.Context, path string, call Call, stdout, stderr io.Writer) (int, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return 0, ErrGone
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if err := json.NewEncoder(c).Encode(call); err != nil {
		return 0, ErrGone
	}
	dec := json.NewDecoder(c)
	for began := false; ; began = true {
		var f frame
		if err := dec.Decode(&f); err != nil {
			if !began {
				return 0, ErrGone
			}
			return 0, errors.New("the process that holds the mirror stopped while it answered")
		}
		if f.Exit != nil {
			return *f.Exit, nil
		}
		if _, err := stdout.Write(f.Out); err != nil {
			return 0, err
		}
		if _, err := stderr.Write(f.Err); err != nil {
			return 0, err
		}
	}
}
