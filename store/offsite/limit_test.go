package offsite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chartcellar/store/offsite"
	"chartcellar/store/storetest"
)

// TestLimited: a limit changes nothing but the pace.
func TestLimited(t *testing.T) {
	storetest.Place(t, func(t *testing.T) func(*testing.T) offsite.Place {
		dir := t.TempDir()
		return func(*testing.T) offsite.Place {
			return offsite.Limit(offsite.OpenFolder(dir, nil), 1<<40)
		}
	})
}

// TestLimitAsks: what a place can be asked, a limited one can be asked.
func TestLimitAsks(t *testing.T) {
	b := storetest.NewBucket(t)
	b.Ignores = true
	p := offsite.Limit(openS3(t, b.Listen(t)), 1<<40)
	if err := putOne(t, p, "probe/1", "x"); err != nil {
		t.Fatal(err)
	}
	if spares, err := p.(offsite.Sparer).Spares(t.Context(), "probe/1"); spares || err != nil {
		t.Errorf("Spares = %v, %v", spares, err)
	}
	if err := p.(offsite.Prober).Delete(t.Context(), "probe/1"); err != nil || len(storetest.Listed(t, p, "")) != 0 {
		t.Errorf("Delete = %v", err)
	}
	if _, _, known := p.(offsite.Room).Free(t.Context()); known {
		t.Error("a bucket tells its room")
	}
	if free, _, known := offsite.Limit(offsite.OpenFolder(t.TempDir(), nil), 1<<40).(offsite.Room).Free(t.Context()); !known || free <= 0 {
		t.Error("a folder does not tell its room")
	}
}

// TestLimit: a million bytes at 100,000 a second take ten seconds, by one or by many, on
// the bubble's clock.
func TestLimit(t *testing.T) {
	const each, perSecond = 250_000, 100_000
	near := func(t *testing.T, what string, took time.Duration, n int) {
		t.Helper()
		want := time.Duration(n) * time.Second / perSecond
		if took > want || took < want-300*time.Millisecond {
			t.Errorf("%s of %d bytes took %v, want %v less the first quarter of a second", what, n, took, want)
		}
	}
	content := bytes.Repeat([]byte("x"), each)
	synctest.Test(t, func(t *testing.T) {
		plain := offsite.OpenFolder(t.TempDir(), nil)
		p := offsite.Limit(plain, perSecond)
		start := time.Now()
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				body := io.MultiReader(bytes.NewReader(content)) // cannot be read twice
				if err := p.Put(t.Context(), fmt.Sprintf("parts/%d", i), each, body); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		near(t, "Put", time.Since(start), 4*each)
		time.Sleep(time.Minute) // of the bubble: the pace has rested
		start = time.Now()
		r, err := p.Get(t.Context(), "parts/1")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if cerr := r.Close(); err != nil || cerr != nil || !bytes.Equal(got, content) {
			t.Errorf("Get gives %d bytes, %v, %v", len(got), err, cerr)
		}
		near(t, "Get", time.Since(start), each)
		for _, stop := range []func(context.Context) (context.Context, context.CancelFunc){
			func(c context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(c, time.Second)
			},
			func(c context.Context) (context.Context, context.CancelFunc) {
				c, cancel := context.WithCancel(c)
				time.AfterFunc(time.Second, cancel)
				return c, cancel
			},
		} {
			ctx, cancel := stop(t.Context())
			start = time.Now()
			err := p.Put(ctx, "parts/9", each, bytes.NewReader(content))
			if took := time.Since(start); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) || took > time.Second {
				t.Errorf("Put that is ended after a second = %v after %v", err, took)
			}
			cancel()
		}
		if offsite.Limit(plain, 0) != offsite.Place(plain) {
			t.Error("a limit of 0 is one")
		}
	})
	b := storetest.NewBucket(t)
	inBubble(t, b, func(t *testing.T, plain *offsite.S3) {
		start := time.Now()
		if err := offsite.Limit(plain, perSecond).Put(t.Context(), "parts/1", each, strings.NewReader(string(content))); err != nil {
			t.Fatal(err)
		}
		near(t, "Put to S3, read twice,", time.Since(start), each)
	})
}
