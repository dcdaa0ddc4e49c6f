package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"chartcellar/store/offsite"
)

// Place runs what every offsite.Place promises. Each test calls build for a new, empty
// place of its own, and what that returns as often as it opens this place.
func Place(t *testing.T, build func(t *testing.T) (open func(t *testing.T) offsite.Place)) {
	for _, tt := range []struct {
		name string
		test func(t *testing.T, open func(t *testing.T) offsite.Place)
	}{
		{"what is put is got and listed", putGetList},
		{"a name is given once", givenOnce},
		{"a body that is not as long as was said", wrongLength},
		{"a body that breaks off", brokenBody},
		{"an end in the middle", canceled},
		{"what is not there", notThere},
		{"names that are none", badNames},
		{"many at once", manyAtOnce},
		{"a race for one name", race},
		{"a large file in little memory", large},
		{"a probe", probe},
	} {
		t.Run(tt.name, func(t *testing.T) {
			build := build(t)
			tt.test(t, func(t *testing.T) offsite.Place {
				p := build(t)
				t.Cleanup(func() {
					if err := p.Close(); err != nil {
						t.Errorf("Close = %v", err)
					}
				})
				return p
			})
		})
	}
}

// noise returns n bytes that are the same for the same seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b) // it never fails
	return b
}

func put(t *testing.T, p offsite.Place, name string, content []byte) {
	t.Helper()
	if err := p.Put(t.Context(), name, int64(len(content)), bytes.NewReader(content)); err != nil {
		t.Fatalf("Put %s = %v", name, err)
	}
}

func holds(t *testing.T, p offsite.Place, name string, want []byte) {
	t.Helper()
	r, err := p.Get(t.Context(), name)
	if err != nil {
		t.Fatalf("Get %s = %v", name, err)
	}
	got, err := io.ReadAll(r)
	if cerr := r.Close(); err != nil || cerr != nil || !bytes.Equal(got, want) {
		t.Errorf("Get %s gives %d bytes, want %d of ours; %v, %v", name, len(got), len(want), err, cerr)
	}
}

// Listed returns what a place lists below a folder.
func Listed(t *testing.T, p offsite.Place, folder string) map[string]int64 {
	t.Helper()
	got := map[string]int64{}
	err := p.List(t.Context(), folder, func(i offsite.Info) error {
		if _, twice := got[i.Name]; twice {
			t.Errorf("List names %s twice", i.Name)
		}
		got[i.Name] = i.Size
		return nil
	})
	if err != nil {
		t.Fatalf("List %q = %v", folder, err)
	}
	return got
}

func lists(t *testing.T, p offsite.Place, folder string, want map[string]int64) {
	t.Helper()
	if got := Listed(t, p, folder); !maps.Equal(got, want) {
		t.Errorf("List %q = %v, want %v", folder, got, want)
	}
}

func putGetList(t *testing.T, open func(t *testing.T) offsite.Place) {
	p, want := open(t), map[string]int64{}
	for i, n := range []int{0, 1, 4095, 32 << 10, 300_001} {
		name := fmt.Sprintf("parts/%06d/%012d.ndjson.zst.age", i/3, i)
		put(t, p, name, noise(uint64(i), n))
		want[name] = int64(n)
	}
	put(t, p, "READ-ME-FIRST.html", []byte("top"))
	put(t, p, "parts-2/x_1", []byte("another folder of nearly that name"))
	again := open(t)
	for i, name := range slices.Sorted(maps.Keys(want)) {
		holds(t, again, name, noise(uint64(i), int(want[name])))
	}
	lists(t, again, "parts", want)
	all := maps.Clone(want)
	all["READ-ME-FIRST.html"], all["parts-2/x_1"] = 3, 34
	lists(t, again, "", all)
	stop, n := errors.New("stop"), 0
	err := p.List(t.Context(), "", func(offsite.Info) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("List whose function fails = %v after %d files", err, n)
	}
}

func givenOnce(t *testing.T, open func(t *testing.T) offsite.Place) {
	p := open(t)
	put(t, p, "parts/1", []byte("first"))
	for _, content := range []string{"second", "first", ""} {
		err := p.Put(t.Context(), "parts/1", int64(len(content)), strings.NewReader(content))
		if !errors.Is(err, offsite.ErrExists) {
			t.Errorf("Put of %q over a file = %v, want ErrExists", content, err)
		}
	}
	holds(t, p, "parts/1", []byte("first"))
	lists(t, p, "", map[string]int64{"parts/1": 5})
}

func wrongLength(t *testing.T, open func(t *testing.T) offsite.Place) {
	p := open(t)
	for _, n := range []int{10, 200_000} {
		content := noise(1, n)
		for _, said := range []int{0, 1, n / 2, n - 1, n + 1, 2 * n, n + 5<<20} {
			err := p.Put(t.Context(), "parts/1", int64(said), bytes.NewReader(content))
			if err == nil || errors.Is(err, offsite.ErrExists) {
				t.Fatalf("Put of %d bytes as %d = %v", n, said, err)
			}
			lists(t, p, "", map[string]int64{})
		}
	}
	put(t, p, "parts/1", noise(2, 10))
	holds(t, p, "parts/1", noise(2, 10))
}

func brokenBody(t *testing.T, open func(t *testing.T) offsite.Place) {
	p, broke := open(t), errors.New("the office disk broke")
	for _, n := range []int{0, 1, 100_000} {
		body := io.MultiReader(bytes.NewReader(noise(1, n)), failing{broke})
		if err := p.Put(t.Context(), "parts/1", 100_001, body); !errors.Is(err, broke) {
			t.Errorf("Put of a body that breaks after %d bytes = %v", n, err)
		}
	}
	lists(t, p, "", map[string]int64{})
}

type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }

func canceled(t *testing.T, open func(t *testing.T) offsite.Place) {
	p := open(t)
	put(t, p, "parts/0", []byte("here"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	body := io.MultiReader(bytes.NewReader(noise(1, 100_000)), calls(cancel), bytes.NewReader(noise(1, 100_000)))
	if err := p.Put(ctx, "parts/1", 200_000, body); !errors.Is(err, context.Canceled) {
		t.Errorf("Put that is ended in the middle = %v", err)
	}
	if err := p.Put(ctx, "parts/2", 1, strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put after the end = %v", err)
	}
	if err := p.List(ctx, "", func(offsite.Info) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("List after the end = %v", err)
	}
	lists(t, p, "", map[string]int64{"parts/0": 4})
	put(t, p, "parts/1", []byte("again"))
}

// A calls calls a function where it is read, and gives nothing.
type calls func()

// Read implements io.Reader.
func (c calls) Read([]byte) (int, error) { c(); return 0, io.EOF }

func notThere(t *testing.T, open func(t *testing.T) offsite.Place) {
	p := open(t)
	for range 2 {
		if _, err := p.Get(t.Context(), "parts/1"); !errors.Is(err, offsite.ErrNotThere) || errors.Is(err, offsite.ErrAway) {
			t.Errorf("Get of what is not there = %v, want ErrNotThere", err)
		}
		lists(t, p, "parts", map[string]int64{})
		put(t, p, fmt.Sprintf("parts-%d/1", len(Listed(t, p, ""))), nil)
	}
}

func badNames(t *testing.T, open func(t *testing.T) offsite.Place) {
	p := open(t)
	for _, name := range []string{"", "/x", "x/", "a//b", "../x", "a/../b", ".", "a/.hidden", "x.tmp", "a.tmp/x",
		"a b", "a:b", `a\b`, "a\x00", "é", "-x", "a?b", "a%2fb"} {
		if err := p.Put(t.Context(), name, 1, strings.NewReader("x")); err == nil {
			t.Errorf("Put takes the name %q", name)
		}
		if _, err := p.Get(t.Context(), name); err == nil {
			t.Errorf("Get takes the name %q", name)
		}
		if err := p.List(t.Context(), name, func(offsite.Info) error { return nil }); err == nil && name != "" {
			t.Errorf("List takes the folder %q", name)
		}
	}
	lists(t, p, "", map[string]int64{})
}

func manyAtOnce(t *testing.T, open func(t *testing.T) offsite.Place) {
	p, want := open(t), map[string]int64{}
	var all sync.WaitGroup
	for i := range 48 {
		name := fmt.Sprintf("attachments/%02x/%04d.age", i%7, i)
		want[name] = int64(1000 * i)
		all.Go(func() {
			if err := p.Put(t.Context(), name, int64(1000*i), bytes.NewReader(noise(uint64(i), 1000*i))); err != nil {
				t.Errorf("Put %s = %v", name, err)
			}
			if _, err := p.Get(t.Context(), "attachments/none"); !errors.Is(err, offsite.ErrNotThere) {
				t.Errorf("Get of what is not there = %v", err)
			}
		})
	}
	all.Wait()
	lists(t, p, "attachments", want)
	for i := range 48 {
		name := fmt.Sprintf("attachments/%02x/%04d.age", i%7, i)
		holds(t, p, name, noise(uint64(i), 1000*i))
	}
}

// race lets eight writers of two programs give one name; one wins, and its content is
// what is there, whole.
func race(t *testing.T, open func(t *testing.T) offsite.Place) {
	places := []offsite.Place{open(t), open(t)}
	for round := range 10 {
		name, errs := fmt.Sprintf("parts/%d", round), make([]error, 8)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				errs[i] = places[i%2].Put(t.Context(), name, 70_000, bytes.NewReader(noise(uint64(i), 70_000)))
			})
		}
		all.Wait()
		winner := slices.Index(errs, nil)
		for i, err := range errs {
			if i != winner && !errors.Is(err, offsite.ErrExists) {
				t.Errorf("writer %d of one name: %v, want ErrExists", i, err)
			}
		}
		if winner < 0 {
			t.Fatal("nobody won the race for a name")
		}
		holds(t, places[0], name, noise(uint64(winner), 70_000))
	}
}

// large puts and gets more than it may hold, and looks at the heap on the way.
func large(t *testing.T, open func(t *testing.T) offsite.Place) {
	const size, limit = 64_000_000, 48 << 20
	p, in := open(t), &watched{r: io.LimitReader(rand.NewChaCha8([32]byte{7}), size), hash: sha256.New()}
	in.from = in.heap()
	if err := p.Put(t.Context(), "holdings/1", size, in); err != nil {
		t.Fatal(err)
	}
	r, err := p.Get(t.Context(), "holdings/1")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() // read only
	out := &watched{r: r, hash: sha256.New(), from: in.from}
	n, err := io.Copy(io.Discard, out)
	if err != nil || n != size || !bytes.Equal(in.hash.Sum(nil), out.hash.Sum(nil)) {
		t.Errorf("Get gives %d bytes, %v; the same: %v", n, err, bytes.Equal(in.hash.Sum(nil), out.hash.Sum(nil)))
	}
	t.Logf("the heap grew by %d MB while putting and %d MB while getting", in.most>>20, out.most>>20)
	if in.most > limit || out.most > limit {
		t.Errorf("the heap grew by %d MB while putting and %d MB while getting, want at most %d", in.most>>20, out.most>>20, limit>>20)
	}
}

// A watched reader remembers how far the heap grew while it was read.
type watched struct {
	r    io.Reader
	hash interface {
		io.Writer
		Sum([]byte) []byte
	}
	from, most, n, next int64
}

func (w *watched) heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.hash.Write(p[:n]) // it never fails
	if w.n += int64(n); w.n >= w.next {
		w.next += 8 << 20
		w.most = max(w.most, w.heap()-w.from)
	}
	return n, err
}

// probe checks that what a place lets its account do is done, as this program's own
// test of a place reports it, and only below probe/.
func probe(t *testing.T, open func(t *testing.T) offsite.Place) {
	place := open(t)
	p, ok := place.(offsite.Prober)
	if !ok {
		t.Fatal("it cannot be probed")
	}
	put(t, place, "probe/1", []byte("one"))
	put(t, place, "parts/1", []byte("one"))
	if err := p.Overwrite(t.Context(), "probe/1", []byte("two2")); err != nil {
		t.Errorf("Overwrite = %v", err)
	}
	holds(t, place, "probe/1", []byte("two2"))
	if err := p.Delete(t.Context(), "probe/1"); err != nil {
		t.Errorf("Delete = %v", err)
	}
	for _, name := range []string{"parts/1", "probe", "probe/../parts/1", "probe/"} {
		if p.Overwrite(t.Context(), name, []byte("two")) == nil || p.Delete(t.Context(), name) == nil {
			t.Errorf("%s is taken for a probe", name)
		}
	}
	holds(t, place, "parts/1", []byte("one"))
	lists(t, place, "", map[string]int64{"parts/1": 3})
}
