package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"chartcellar/cmd/chartcellar/internal/control"
)

// serve answers on a new socket until the test ends.
func serve(t *testing.T, h control.Handler) string {
	t.Helper()
	path, err := control.Path(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, path, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
		goleak.VerifyNone(t)
	})
	for {
		if c, err := net.Dial("unix", path); err == nil {
			c.Close()
			return path
		}
	}
}

func echo(_ context.Context, c control.Call, stdout, stderr io.Writer) int {
	fmt.Fprint(stdout, strings.Join(c.Args, " "))
	fmt.Fprint(stderr, c.Secret)
	return len(c.Args)
}

func TestAsk(t *testing.T) {
	path := serve(t, echo)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			var out, errs bytes.Buffer
			code, err := control.Ask(t.Context(), path, control.Call{Args: []string{"a", fmt.Sprint(i)}, Secret: "s"}, &out, &errs)
			if err != nil || code != 2 || out.String() != fmt.Sprint("a ", i) || errs.String() != "s" {
				t.Errorf("Ask = %d, %v, %q, %q", code, err, out.String(), errs.String())
			}
		})
	}
	wg.Wait()
}

func TestNobodyThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctl.sock")
	if _, err := control.Ask(t.Context(), path, control.Call{}, io.Discard, io.Discard); !errors.Is(err, control.ErrGone) {
		t.Errorf("Ask = %v, want ErrGone", err)
	}
}

// TestCallerGone: the call ends when its caller does.
func TestCallerGone(t *testing.T) {
	ended := make(chan struct{})
	path := serve(t, func(ctx context.Context, _ control.Call, stdout, _ io.Writer) int {
		fmt.Fprint(stdout, "begun")
		<-ctx.Done()
		close(ended)
		return 0
	})
	ctx, cancel := context.WithCancel(t.Context())
	begun := writerFunc(func(b []byte) { cancel() })
	if _, err := control.Ask(ctx, path, control.Call{}, begun, io.Discard); err == nil {
		t.Error("Ask succeeded after its context ended")
	}
	<-ended
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) {
	if len(b) > 0 {
		f(b)
	}
	return len(b), nil
}

// TestGarbage: bytes that are no call are dropped and harm nobody.
func TestGarbage(t *testing.T) {
	path := serve(t, echo)
	for _, s := range []string{"", "\x00\x01", "{", `{"args":1}`, strings.Repeat("x", 1<<17)} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, s) // the other side may have hung up
		c.Close()
	}
	if code, err := control.Ask(t.Context(), path, control.Call{Args: []string{"a"}}, io.Discard, io.Discard); err != nil || code != 1 {
		t.Errorf("Ask = %d, %v", code, err)
	}
}

func TestLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 90))
	path, err := control.Path(dir)
	if err != nil || len(path) > 100 || strings.HasPrefix(path, dir) {
		t.Errorf("Path = %s, %v", path, err)
	}
	os.RemoveAll(filepath.Dir(path))
}
