package offsite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chartcellar/store/offsite"
	"chartcellar/store/storetest"
)

func openS3(t *testing.T, o offsite.S3Options) *offsite.S3 {
	t.Helper()
	p, err := offsite.OpenS3(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestS3(t *testing.T) {
	storetest.Place(t, func(t *testing.T) func(*testing.T) offsite.Place {
		b := storetest.NewBucket(t)
		b.Twice = true
		o := b.Listen(t)
		return func(t *testing.T) offsite.Place { return openS3(t, o) }
	})
}

// TestS3Lies: a bucket that ignores the wish to spare a name, or refuses it, is looked
// at first, and Spares names it.
func TestS3Lies(t *testing.T) {
	for _, tt := range []struct {
		name             string
		ignores, refuses bool
	}{{"good", false, false}, {"ignores", true, false}, {"refuses", false, true}} {
		t.Run(tt.name, func(t *testing.T) {
			b := storetest.NewBucket(t)
			b.Ignores, b.Refuses = tt.ignores, tt.refuses
			p := openS3(t, b.Listen(t))
			for range 2 {
				if err := putOne(t, p, "parts/1", "first"); err != nil && !errors.Is(err, offsite.ErrExists) {
					t.Fatal(err)
				}
				if err := putOne(t, p, "parts/1", "second"); !errors.Is(err, offsite.ErrExists) {
					t.Errorf("Put over a file = %v, want ErrExists", err)
				}
			}
			if got, err := os.ReadFile(b.Path("office/parts/1")); err != nil || string(got) != "first" {
				t.Errorf("it holds %q, %v", got, err)
			}
			if err := putOne(t, p, "probe/1", "first"); err != nil {
				t.Fatal(err)
			}
			spares, err := p.Spares(t.Context(), "probe/1")
			if err != nil || spares == (tt.ignores || tt.refuses) {
				t.Errorf("Spares = %v, %v", spares, err)
			}
			if _, err := p.Spares(t.Context(), "parts/1"); err == nil {
				t.Error("parts/1 is taken for a probe")
			}
		})
	}
}

// TestS3Lock: object lock is used when the bucket offers it, and then a probe cannot be
// deleted.
func TestS3Lock(t *testing.T) {
	for _, locks := range []bool{true, false} {
		b := storetest.NewBucket(t)
		b.Locks = locks
		o := b.Listen(t)
		o.LockDays, o.Now = 400, func() time.Time { return time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC) }
		p := openS3(t, o)
		if days, got := p.Locks(); got != locks || days != 400 {
			t.Errorf("Locks = %d, %v, want %v", days, got, locks)
		}
		if err := putOne(t, p, "probe/1", "x"); err != nil {
			t.Fatal(err)
		}
		want := " "
		if locks {
			want = "COMPLIANCE 2031-02-05T12:00:00Z"
		}
		if got := b.Retained(); got != want {
			t.Errorf("locked with %q, want %q", got, want)
		}
		if err := p.Delete(t.Context(), "probe/1"); errors.Is(err, offsite.ErrDenied) != locks {
			t.Errorf("Delete where locks are %v = %v", locks, err)
		}
	}
}

// TestS3Refuses: what a server answers is told apart, and no secret is told.
func TestS3Refuses(t *testing.T) {
	b := storetest.NewBucket(t)
	o := b.Listen(t)
	for _, tt := range []struct {
		name   string
		change func(*offsite.S3Options)
		want   error
	}{
		{"another key", func(o *offsite.S3Options) { o.AccessKey = "OTHER" }, offsite.ErrDenied},
		{"another bucket", func(o *offsite.S3Options) { o.Bucket = "others" }, offsite.ErrAway},
		{"nobody there", func(o *offsite.S3Options) { o.Endpoint = "127.0.0.1:1" }, offsite.ErrAway},
	} {
		o := o
		tt.change(&o)
		if _, err := offsite.OpenS3(t.Context(), o); !errors.Is(err, tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: OpenS3 = %v, want %v", tt.name, err, tt.want)
		}
	}
	p := openS3(t, o)
	for _, tt := range []struct {
		status int
		code   string
		want   error
	}{
		{403, "AccessDenied", offsite.ErrDenied}, {403, "SignatureDoesNotMatch", offsite.ErrDenied},
		{403, "RequestTimeTooSkewed", offsite.ErrDenied}, {404, "NoSuchBucket", offsite.ErrAway},
		{507, "XMinioStorageFull", offsite.ErrFull}, {403, "QuotaExceeded", offsite.ErrFull},
		{400, "EntityTooLarge", offsite.ErrTooLarge}, {412, "PreconditionFailed", offsite.ErrExists},
		{409, "ConditionalRequestConflict", offsite.ErrExists},
	} {
		b.Before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut {
				io.Copy(io.Discard, r.Body)
				storetest.S3Fail(w, tt.status, tt.code)
			}
			return r.Method == http.MethodPut
		}
		if err := putOne(t, p, "parts/1", "x"); !errors.Is(err, tt.want) {
			t.Errorf("Put answered with %s = %v, want %v", tt.code, err, tt.want)
		}
	}
}

// A pipeListener accepts what its own dial makes, within the bubble of a test.
type pipeListener chan net.Conn

func (l pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	mine, theirs := net.Pipe()
	l <- theirs
	return mine, nil
}

// Accept implements net.Listener.
func (l pipeListener) Accept() (net.Conn, error) {
	conn, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

// Close implements net.Listener.
func (l pipeListener) Close() error { close(l); return nil }

// Addr implements net.Listener.
func (l pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// inBubble runs a test against the bucket on the bubble's clock.
func inBubble(t *testing.T, b *storetest.Bucket, test func(t *testing.T, p *offsite.S3)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := make(pipeListener)
		s := &http.Server{Handler: b}
		go s.Serve(l)
		defer time.Sleep(time.Minute) // on the bubble's clock: what lingers ends
		defer s.Close()
		p, err := offsite.OpenS3(t.Context(), offsite.S3Options{Endpoint: "s3.example", Bucket: "copies", Prefix: "office",
			Region: "us-east-1", AccessKey: "KEY", SecretKey: "s3cret-key", Insecure: true, Dial: l.dial})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		test(t, p)
	})
}

func uploads(b *storetest.Bucket) int { n, _ := b.Uploads(); return n }
func aborts(b *storetest.Bucket) int  { _, n := b.Uploads(); return n }

// TestS3Fails: a server that fails for the moment is asked again, and not for ever; what
// it did before its answer was lost is known to be ours; one that is silent is given up.
func TestS3Fails(t *testing.T) {
	for _, code := range []int{500, 503, 429, 0} {
		for _, fails := range []int64{1, 2, 3, 1000} {
			for _, size := range []int{5, 9 << 20} {
				b, n := storetest.NewBucket(t), atomic.Int64{}
				inBubble(t, b, func(t *testing.T, p *offsite.S3) {
					row := fmt.Sprintf("%d times %d, %d bytes", fails, code, size)
					b.Before = func(w http.ResponseWriter, r *http.Request) bool {
						if r.Method != http.MethodPut || n.Add(1) > fails {
							return false
						}
						if code == 0 {
							panic(http.ErrAbortHandler) // it hangs up
						}
						storetest.S3Fail(w, code, "InternalError")
						return true
					}
					content := bytes.Repeat([]byte("x"), size)
					err := p.Put(t.Context(), "parts/1", int64(size), io.MultiReader(bytes.NewReader(content)))
					there := storetest.Listed(t, p, "")
					if fails < 4 && (err != nil || there["parts/1"] != int64(size)) || fails > 4 && (!errors.Is(err, offsite.ErrAway) || len(there) > 0) {
						t.Errorf("%s: Put = %v, and there is %v", row, err, there)
					}
					if fails > 4 && (n.Load() > 8 || size > 8<<20 && aborts(b) != 1) {
						t.Errorf("%s: it was asked %d times, and %d times to abort", row, n.Load(), aborts(b))
					}
				})
			}
		}
	}
}

// TestS3LostAnswer: a file that is there, but whose answer was lost, is ours; one of
// somebody else's is not.
func TestS3LostAnswer(t *testing.T) {
	for _, other := range []bool{false, true} {
		b, n := storetest.NewBucket(t), atomic.Int64{}
		inBubble(t, b, func(t *testing.T, p *offsite.S3) {
			b.After = func(http.ResponseWriter, *http.Request) error {
				if n.Add(1) > 1 {
					return nil
				}
				if other {
					if err := os.WriteFile(b.Path("office/parts/1"), []byte("other"), 0o600); err != nil {
						t.Error(err)
					}
				}
				return errors.New("lost")
			}
			if err := putOne(t, p, "parts/1", "first"); errors.Is(err, offsite.ErrExists) != other || err != nil && !other {
				t.Errorf("Put whose answer is lost, and another's file is there: %v = %v", other, err)
			}
		})
	}
}

// TestS3Silence: a server that falls silent is given up after minutes, on the bubble's
// clock, and at once when the context ends.
func TestS3Silence(t *testing.T) {
	for _, limit := range []time.Duration{time.Hour, 20 * time.Second} {
		b := storetest.NewBucket(t)
		inBubble(t, b, func(t *testing.T, p *offsite.S3) {
			end := make(chan struct{})
			defer close(end)
			b.Before = func(http.ResponseWriter, *http.Request) bool { <-end; return true }
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			start, want := time.Now(), offsite.ErrAway
			if limit < time.Minute {
				want = context.DeadlineExceeded
			}
			err := p.Put(ctx, "parts/1", 1, strings.NewReader("x"))
			if took := time.Since(start); !errors.Is(err, want) || took > 10*time.Minute || took < 20*time.Second {
				t.Errorf("Put to a silent server = %v after %v, want %v", err, took, want)
			}
		})
	}
}

// TestS3CutReading: a file that breaks off is never taken for whole.
func TestS3CutReading(t *testing.T) {
	b := storetest.NewBucket(t)
	p, content := openS3(t, b.Listen(t)), strings.Repeat("0123456789abcdef", 16<<10)
	if err := putOne(t, p, "parts/1", content); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 1, 64 << 10, len(content) - 1} {
		b.Before = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			w.Header().Set("Last-Modified", time.Unix(0, 0).UTC().Format(http.TimeFormat))
			w.Header().Set("ETag", `"x"`)
			io.WriteString(w, content[:at])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		r, err := p.Get(t.Context(), "parts/1")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if !errors.Is(err, offsite.ErrAway) || len(got) > at {
			t.Errorf("cut after %d bytes: Get gives %d bytes, %v", at, len(got), err)
		}
	}
}

// TestS3Files: a file of the disk is sent in one request up to 64 MiB, from where it
// stands, and is not held in memory.
func TestS3Files(t *testing.T) {
	b := storetest.NewBucket(t)
	p := openS3(t, b.Listen(t))
	name := filepath.Join(t.TempDir(), "f")
	content := bytes.Repeat([]byte("0123456789abcdef"), 2<<20) // 32 MiB
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(5, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := p.Put(t.Context(), "parts/1", int64(len(content)-5), f); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(b.Path("office/parts/1"))
	if err != nil || !bytes.Equal(got, content[5:]) || uploads(b) != 0 {
		t.Errorf("there are %d bytes in %d uploads of parts, %v", len(got), uploads(b), err)
	}
}
