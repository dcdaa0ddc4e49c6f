package offsite_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"chartcellar/store/offsite"
	"chartcellar/store/storetest"
)

func openSFTP(t *testing.T, o offsite.SFTPOptions) *offsite.SFTP {
	t.Helper()
	p, err := offsite.OpenSFTP(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// A dialer dials, and cuts its first connection after some bytes in both directions.
type dialer struct {
	left  atomic.Int64
	dials atomic.Int64
}

func cutAfter(n int64) *dialer {
	d := &dialer{}
	d.left.Store(n)
	return d
}

// dial is a dial of SFTPOptions.
func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil || d.dials.Add(1) > 1 {
		return conn, err
	}
	return &cutConn{conn, d}, nil
}

type cutConn struct {
	net.Conn
	d *dialer
}

// Read implements net.Conn.
func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, errors.Join(err, c.count(n))
}

// Write implements net.Conn: what is over the limit does not arrive.
func (c *cutConn) Write(p []byte) (int, error) {
	if left := c.d.left.Load(); left < int64(len(p)) {
		n, _ := c.Conn.Write(p[:max(left, 0)])
		return n, errors.Join(c.count(len(p)), syscall.ECONNRESET)
	}
	n, err := c.Conn.Write(p)
	return n, errors.Join(err, c.count(n))
}

func (c *cutConn) count(n int) error {
	if c.d.left.Add(-int64(n)) > 0 {
		return nil
	}
	c.Conn.Close()
	return syscall.ECONNRESET
}

func TestSFTP(t *testing.T) {
	storetest.Place(t, func(t *testing.T) func(*testing.T) offsite.Place {
		s := storetest.NewSFTPServer(t).Listen(t)
		return func(t *testing.T) offsite.Place { return openSFTP(t, s.Options()) }
	})
}

// TestSFTPReplacing: within one program nothing is replaced even on a server whose
// rename replaces.
func TestSFTPReplacing(t *testing.T) {
	storetest.Place(t, func(t *testing.T) func(*testing.T) offsite.Place {
		s := storetest.NewSFTPServer(t)
		s.Bare = true
		p := openSFTP(t, s.Listen(t).Options())
		return func(*testing.T) offsite.Place { return p }
	})
}

// TestSFTPSignIn: who is let in where; a server that is not the pinned one never sees a
// password.
func TestSFTPSignIn(t *testing.T) {
	s := storetest.NewSFTPServer(t).Listen(t)
	_, mine := storetest.NewSFTPKey(t, 2)
	other, theirs := storetest.NewSFTPKey(t, 3)
	whole := string(ssh.MarshalAuthorizedKey(s.Host))
	for _, tt := range []struct {
		name   string
		change func(*offsite.SFTPOptions)
		want   error // nil: signed in; errUnusable: nobody was called
	}{
		{"password", func(o *offsite.SFTPOptions) {}, nil},
		{"key", func(o *offsite.SFTPOptions) { o.Key, o.Password = mine, "" }, nil},
		{"another key and the password", func(o *offsite.SFTPOptions) { o.Key = theirs }, nil},
		{"the whole key is pinned", func(o *offsite.SFTPOptions) { o.HostKey = whole }, nil},
		{"wrong password", func(o *offsite.SFTPOptions) { o.Password = "guess-me" }, offsite.ErrDenied},
		{"wrong key", func(o *offsite.SFTPOptions) { o.Key, o.Password = theirs, "" }, offsite.ErrDenied},
		{"wrong user", func(o *offsite.SFTPOptions) { o.User = "nobody" }, offsite.ErrDenied},
		{"no pin", func(o *offsite.SFTPOptions) { o.HostKey = " " }, errUnusable},
		{"a pin that is none", func(o *offsite.SFTPOptions) { o.HostKey = "md5:aa" }, errUnusable},
		{"nothing to sign in with", func(o *offsite.SFTPOptions) { o.Password = "" }, errUnusable},
		{"a key that is none", func(o *offsite.SFTPOptions) { o.Key = []byte("guess-me") }, errUnusable},
		{"nobody there", func(o *offsite.SFTPOptions) { o.Addr = "127.0.0.1:1" }, offsite.ErrAway},
		{"another server", func(o *offsite.SFTPOptions) { o.HostKey = ssh.FingerprintSHA256(other.PublicKey()) }, offsite.ErrDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, before := s.Options(), s.Passwords.Load()
			tt.change(&o)
			p, err := offsite.OpenSFTP(t.Context(), o)
			if err == nil {
				p.Close()
			}
			if tt.want == errUnusable && (err == nil || errors.Is(err, offsite.ErrAway) || errors.Is(err, offsite.ErrDenied)) ||
				tt.want != errUnusable && !errors.Is(err, tt.want) {
				t.Errorf("OpenSFTP = %v, want %v", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "guess-me") {
				t.Errorf("the error tells the secret: %v", err)
			}
			var key *offsite.HostKeyError
			if changed := tt.name == "another server"; errors.As(err, &key) != changed {
				t.Errorf("OpenSFTP = %v, a *HostKeyError: %v", err, !changed)
			} else if changed && (key.Offered != ssh.FingerprintSHA256(s.Host) || s.Passwords.Load() != before) {
				t.Errorf("the error names %q; passwords sent: %d", key.Offered, s.Passwords.Load()-before)
			}
		})
	}
}

var errUnusable = errors.New("unusable options")

func TestHostKeyOf(t *testing.T) {
	s := storetest.NewSFTPServer(t).Listen(t)
	got, err := offsite.HostKeyOf(t.Context(), s.Addr)
	if err != nil || got != ssh.FingerprintSHA256(s.Host) || s.Passwords.Load() != 0 {
		t.Errorf("HostKeyOf = %q, %v", got, err)
	}
	if _, err := offsite.HostKeyOf(t.Context(), "127.0.0.1:1"); !errors.Is(err, offsite.ErrAway) {
		t.Errorf("HostKeyOf nobody = %v, want ErrAway", err)
	}
}

// TestSFTPAway: the folder on the server is never made either.
func TestSFTPAway(t *testing.T) {
	s := storetest.NewSFTPServer(t).Listen(t)
	o := s.Options()
	o.Path = "/usb"
	p := openSFTP(t, o)
	_, gerr := p.Get(t.Context(), "parts/1")
	for what, err := range map[string]error{"Put": putOne(t, p, "parts/1", "x"), "Put at the top": putOne(t, p, "1", "x"), "Get": gerr,
		"List": p.List(t.Context(), "", func(offsite.Info) error { return nil })} {
		if !errors.Is(err, offsite.ErrAway) {
			t.Errorf("%s without its folder = %v, want ErrAway", what, err)
		}
	}
	if _, err := os.Stat(filepath.Join(s.Dir, "usb")); err == nil {
		t.Error("the folder was made")
	}
}

// TestSFTPRefuses: a full disk and a read-only one are told apart, though the server
// says only that it failed; an account that may not remove can put.
func TestSFTPRefuses(t *testing.T) {
	s := storetest.NewSFTPServer(t).Listen(t)
	p := openSFTP(t, s.Options())
	big := strings.Repeat("sealed ", 100_000)
	s.Room.Store(300_000)
	if err := putOne(t, p, "parts/1", big); !errors.Is(err, offsite.ErrFull) {
		t.Errorf("Put on a full disk = %v, want ErrFull", err)
	}
	if free, total, known := p.Free(t.Context()); !known || free != 0 || total != 1<<40 {
		t.Errorf("Free = %d, %d, %v", free, total, known)
	}
	s.Room.Store(1 << 40)
	s.ReadOnly.Store(true)
	for what, err := range map[string]error{"Put": putOne(t, p, "parts/1", "x"),
		"Overwrite": p.Overwrite(t.Context(), "probe/1", []byte("x"))} {
		if !errors.Is(err, offsite.ErrReadOnly) {
			t.Errorf("%s on a read-only disk = %v, want ErrReadOnly", what, err)
		}
	}
	s.ReadOnly.Store(false)
	s.AddOnly.Store(true)
	if err := p.Put(t.Context(), "parts/1", 9, strings.NewReader(big)); err == nil {
		t.Error("a body that is too long was taken")
	}
	if err := putOne(t, p, "parts/1", big); err != nil {
		t.Errorf("Put after what could not be cleared away = %v", err)
	}
	if err := putOne(t, p, "probe/1", "x"); err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(t.Context(), "probe/1"); !errors.Is(err, offsite.ErrDenied) {
		t.Errorf("Delete that is denied = %v, want ErrDenied", err)
	}
	if got := storetest.Listed(t, p, ""); len(got) != 2 || got["parts/1"] != int64(len(big)) {
		t.Errorf("there is %v", got)
	}
}

// everyCut cuts connections at every place; without it at every sixth, from another one
// each time. .ci/run turns it on.
var everyCut = flag.Bool("cut.all", false, "cut connections at every place")

func cutEvery() int64 {
	if *everyCut {
		return 1
	}
	return 6
}

// TestSFTPCut: the connection is cut after every 64 KiB of a Put, and around its end
// after every 500 bytes; what is there is whole, and the same place goes on.
func TestSFTPCut(t *testing.T) {
	s := storetest.NewSFTPServer(t).Listen(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	size, failed, n := int64(len(content)), 0, 0
	const wide, narrow = 64 << 10, 500
	for at := 8<<10 + wide*rand.Int64N(cutEvery()); ; at += wide * cutEvery() {
		if at > size {
			at += (narrow - wide) * cutEvery()
		}
		folder, d := fmt.Sprintf("parts-%d", at), cutAfter(at)
		name := folder + "/1"
		o := s.Options()
		o.Dial = d.dial
		p := openSFTP(t, o)
		err := p.Put(t.Context(), name, size, bytes.NewReader(content))
		there := storetest.Listed(t, p, folder)
		if got, ok := there[name]; ok && got != size || err == nil && !ok {
			t.Fatalf("cut after %d bytes: Put = %v, and there are %d bytes", at, err, got)
		}
		if d.dials.Load() == 1 {
			break // it lasted
		}
		n++
		if err != nil {
			failed++
			if !errors.Is(err, offsite.ErrAway) {
				t.Errorf("cut after %d bytes: Put = %v, want ErrAway", at, err)
			}
			again := p.Put(t.Context(), name, size, bytes.NewReader(content))
			if _, ok := there[name]; ok != errors.Is(again, offsite.ErrExists) || !ok && again != nil {
				t.Errorf("cut after %d bytes, there: %v: the next Put = %v", at, ok, again)
			}
		}
		if got, err := os.ReadFile(filepath.Join(s.Dir, "copy", name)); err != nil || !bytes.Equal(got, content) {
			t.Fatalf("cut after %d bytes: %d bytes in the end, %v", at, len(got), err)
		}
		p.Close()
	}
	t.Logf("%d cuts, %d of them broke a Put", n, failed)
	if failed < int(size/wide/cutEvery()) {
		t.Errorf("only %d of %d cuts broke a Put", failed, n)
	}
}

// TestSFTPCutReading: a file or a list that breaks off is never taken for whole.
func TestSFTPCutReading(t *testing.T) {
	s := storetest.NewSFTPServer(t).Listen(t)
	p, content := openSFTP(t, s.Options()), strings.Repeat("0123456789abcdef", 32<<10)
	if err := putOne(t, p, "parts/1", content); err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		if err := os.WriteFile(filepath.Join(s.Dir, "copy", fmt.Sprintf("f%d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	broke := 0
	for at := 6<<10 + 16<<10*rand.Int64N(cutEvery()); at < 700<<10; at += 16 << 10 * cutEvery() {
		o := s.Options()
		o.Dial = cutAfter(at).dial
		p := openSFTP(t, o)
		r, err := p.Get(t.Context(), "parts/1")
		if err != nil {
			t.Fatalf("Get on a lost connection = %v", err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err == nil && string(got) != content || err != nil && !errors.Is(err, offsite.ErrAway) {
			t.Errorf("cut after %d bytes: Get gives %d bytes, %v", at, len(got), err)
		}
		if err != nil {
			broke++
		}
	}
	if broke < int(20/cutEvery()) {
		t.Errorf("only %d cuts broke a Get", broke)
	}
	for at := 3<<10 + 500*rand.Int64N(cutEvery()); at < 60<<10; at += 500 * cutEvery() {
		o := s.Options()
		o.Dial = cutAfter(at).dial
		p, err := offsite.OpenSFTP(t.Context(), o)
		if err != nil {
			continue // it was cut while signing in
		}
		if got := storetest.Listed(t, p, ""); len(got) != 401 {
			t.Errorf("cut after %d bytes: %d of 401 files are listed", at, len(got))
		}
		p.Close()
	}
}

// A deaf connection stops reading after some bytes.
type deaf struct {
	net.Conn
	left int
	end  <-chan struct{}
}

// Read implements net.Conn.
func (d *deaf) Read(p []byte) (int, error) {
	if d.left <= 0 {
		<-d.end
		return 0, net.ErrClosed
	}
	n, err := d.Conn.Read(p)
	d.left -= n
	return n, err
}

// TestSFTPSilence: a server that falls silent, at once or in the middle, is given up.
// The minutes pass on the bubble's clock.
func TestSFTPSilence(t *testing.T) {
	s := storetest.NewSFTPServer(t)
	for _, after := range []int{0, 10_000, 100_000} {
		synctest.Test(t, func(t *testing.T) {
			o, end := s.Options(), make(chan struct{})
			defer close(end)
			o.Addr = "office.example"
			o.Dial = func(context.Context, string, string) (net.Conn, error) {
				mine, theirs := net.Pipe()
				go s.Serve(&deaf{theirs, after, end})
				return mine, nil
			}
			start := time.Now()
			p, err := offsite.OpenSFTP(t.Context(), o)
			if err == nil {
				defer p.Close()
				big := make([]byte, 200_000)
				err = p.Put(t.Context(), fmt.Sprintf("parts/%d", after), int64(len(big)), bytes.NewReader(big))
			}
			if took := time.Since(start); !errors.Is(err, offsite.ErrAway) || took < time.Minute || took > 5*time.Minute {
				t.Errorf("deaf after %d bytes: %v after %v", after, err, took)
			}
		})
	}
}

// TestSFTPEnd: the end of the context ends what waits for a server that is silent.
func TestSFTPEnd(t *testing.T) {
	s := storetest.NewSFTPServer(t)
	for _, after := range []int{0, 100_000} {
		synctest.Test(t, func(t *testing.T) {
			o, end := s.Options(), make(chan struct{})
			defer close(end)
			o.Dial = func(context.Context, string, string) (net.Conn, error) {
				mine, theirs := net.Pipe()
				go s.Serve(&deaf{theirs, after, end})
				return mine, nil
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			start := time.Now()
			p, err := offsite.OpenSFTP(ctx, o)
			if err == nil {
				defer p.Close()
				big := make([]byte, 200_000)
				err = p.Put(ctx, "parts/end", int64(len(big)), bytes.NewReader(big))
			}
			if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 20*time.Second {
				t.Errorf("deaf after %d bytes: %v after %v", after, err, took)
			}
		})
	}
}

// TestSFTPReconnects: a connection that nobody used for long, or that was lost, is made
// again.
func TestSFTPReconnects(t *testing.T) {
	s := storetest.NewSFTPServer(t).Listen(t)
	o, d := s.Options(), cutAfter(1<<40)
	o.Dial = d.dial
	p := openSFTP(t, o)
	for i := range 3 {
		d.left.Store(0) // whatever comes next is cut
		if err := putOne(t, p, fmt.Sprintf("parts/%d", i), "x"); err != nil {
			t.Errorf("Put after the connection was lost = %v", err)
		}
		if i == 0 && d.dials.Load() != 2 {
			t.Errorf("%d connections were made, want 2", d.dials.Load())
		}
	}
	if got := storetest.Listed(t, p, "parts"); len(got) != 3 {
		t.Errorf("there is %v", got)
	}
}

// TestSFTPSpares: a server whose rename replaces is named.
func TestSFTPSpares(t *testing.T) {
	for _, replaces := range []bool{false, true} {
		s := storetest.NewSFTPServer(t)
		s.Bare = replaces
		p := openSFTP(t, s.Listen(t).Options())
		if err := putOne(t, p, "probe/1", "first"); err != nil {
			t.Fatal(err)
		}
		spares, err := p.Spares(t.Context(), "probe/1")
		if err != nil || spares == replaces {
			t.Errorf("Spares where a rename replaces: %v = %v, %v", replaces, spares, err)
		}
		if _, err := p.Spares(t.Context(), "parts/1"); err == nil {
			t.Error("parts/1 is taken for a probe")
		}
		files, err := os.ReadDir(filepath.Join(s.Dir, "copy", "probe"))
		if err != nil || len(files) != 1 {
			t.Errorf("it left %v, %v", files, err)
		}
	}
}
