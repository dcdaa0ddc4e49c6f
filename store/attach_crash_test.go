package store_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/keys"
	"chartcellar/store/storetest"
	"chartcellar/store/verify"
)

// contents are what the documents of attachWork name: one with a file of its own,
// one small, and that one again.
var contents = [][]byte{
	bytes.Repeat([]byte("a large scan. "), store.SmallAttachment/14+100),
	[]byte("a small letter"),
	[]byte("a small letter"),
}

func document(i int) string {
	sum := sha1.Sum(contents[i])
	return fmt.Sprintf(`{"resourceType":"DocumentReference","id":"d%d","content":[{"attachment":{"url":"Binary/x%d","size":%d,"hash":"%s"}}]}`,
		i, i, len(contents[i]), base64.StdEncoding.EncodeToString(sum[:]))
}

// listingPages are a whole listing: it lacks the observation b of seed.
var listingPages = [][]string{
	{obs("a", 1, ""), document(0)},
	{document(1), document(2)},
	{obs("n0", 0, ""), obs("n1", 0, "")},
}

// An attachWork is what a run with attachments and a whole listing reached.
type attachWork struct {
	listed, attached bool     // acknowledged by Flush
	absent           []string // what the listing lacked
	proved, resumed  bool
}

// attachWork opens a mirror and makes one run, or continues it: pages that are
// durable are not listed again.
func (p *practice) attachWork(ctx context.Context) (w attachWork, err error) {
	m, err := store.Open(ctx, p.options())
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	r, err := m.Begin(ctx, store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		return w, err
	}
	defer r.Abort()
	w.resumed = r.Resumed()
	for i, page := range listingPages {
		name := fmt.Sprint("page", i)
		done, err := r.Progress(name)
		if err != nil {
			return w, err
		}
		if done != nil {
			continue
		}
		if err := r.Add(ctx, store.Chunk{Lines: []byte(strings.Join(page, "\n") + "\n"), Listing: true,
			Name: name, Progress: json.RawMessage("true")}); err != nil {
			return w, err
		}
		if err := r.Flush(ctx); err != nil {
			return w, err
		}
	}
	w.listed = true
	if err := attachAll(ctx, m, r); err != nil {
		return w, err
	}
	w.attached = true
	if err := r.Settle(ctx); err != nil {
		return w, err
	}
	list, _, proved, err := r.Absent(ctx, "Observation", 10)
	if err != nil {
		return w, err
	}
	w.proved = proved
	for _, a := range list {
		w.absent = append(w.absent, a.ID)
	}
	counts, err := r.Counts(ctx)
	if err != nil {
		return w, err
	}
	return w, r.Close(ctx, store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts})
}

// attachAll fetches what is wanted and flushes.
func attachAll(ctx context.Context, m *store.Mirror, r *store.Run) error {
	wants, _, err := m.Wants("emr", nil, 10)
	if err != nil {
		return err
	}
	for _, want := range wants {
		content := contents[want.ID[1]-'0']
		if err := r.Attach(ctx, want, "", bytes.NewReader(content), func(store.Content) (string, error) { return "", nil }); err != nil {
			return err
		}
	}
	return r.Flush(ctx)
}

// attachHealed opens the mirror on a good disk: what was acknowledged is there,
// each document has its attachment or wants it; then it does the work again.
func (p *practice) attachHealed(t testing.TB, w attachWork, what string) {
	t.Helper()
	p.fs = disk.OS{}
	p.open(t)
	p.checkLinks(t, w, what)
	temps, err := filepath.Glob(filepath.Join(p.dir, "attachments", "*"+disk.TempSuffix))
	if err != nil || len(temps) > 0 {
		t.Errorf("%s: temporary files stay: %v, %v", what, temps, err)
	}
	if err := p.m.Close(); err != nil {
		t.Fatalf("%s: Close = %v", what, err)
	}
	again, err := p.attachWork(t.Context())
	if err != nil {
		t.Fatalf("%s: the next run = %v", what, err)
	}
	if !again.proved || !slices.Equal(again.absent, []string{"b"}) {
		t.Errorf("%s: resumed %v: the listing lacked %v, proved %v; want b", what, again.resumed, again.absent, again.proved)
	}
	p.open(t)
	p.checkLinks(t, again, what)
	p.same(t)
	res, err := verify.Run(t.Context(), p.m, verify.Options{Depth: verify.Full})
	if err != nil || !res.Good() {
		t.Errorf("%s: verify = %+v, %v", what, res.Damage, err)
	}
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
}

// checkLinks reads every attachment that the mirror says it has.
func (p *practice) checkLinks(t testing.TB, w attachWork, what string) {
	t.Helper()
	s, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	wants, _, err := p.m.Wants("emr", nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	for i := range contents {
		k := store.Key{Source: "emr", Type: "DocumentReference", ID: fmt.Sprint("d", i)}
		got := p.latest(t, k.Type, k.ID)
		if w.listed && got != document(i) {
			t.Errorf("%s: the acknowledged document %s is %s", what, k.ID, got)
		}
		if got == "none" {
			continue
		}
		wanted := slices.ContainsFunc(wants, func(x store.Want) bool { return x.ID == k.ID })
		_, body, err := s.Attachment(t.Context(), k, fmt.Sprint("Binary/x", i))
		if errors.Is(err, store.ErrNotFound) && !w.attached && wanted {
			continue
		}
		if err != nil {
			t.Errorf("%s: the attachment of %s = %v; acknowledged %v, wanted %v", what, k.ID, err, w.attached, wanted)
			continue
		}
		content, err := io.ReadAll(body)
		if cerr := body.Close(); err != nil || cerr != nil || !bytes.Equal(content, contents[i]) {
			t.Errorf("%s: the attachment of %s has %d bytes, %v, %v", what, k.ID, len(content), err, cerr)
		}
	}
}

// TestBreakingDiskAttachments is T2 and C5 for attachments and listings: the n-th
// operation fails, also if it happened, or the disk is full.
func TestBreakingDiskAttachments(t *testing.T) {
	breaks(t, 6, (*practice).attachWork, (*practice).attachHealed)
}

// TestLostWritesAttachments is T3 for attachments and listings: the power goes at
// any operation, and any part of what was not synced is lost.
func TestLostWritesAttachments(t *testing.T) {
	cuts(t, *loops, 8, (*practice).attachWork, (*practice).attachHealed)
}

// TestLostSeen: a listing of which a file was lost proves no absence, and says so.
func TestLostSeen(t *testing.T) {
	for _, how := range []string{"removed", "cut"} {
		p := seed(t)
		p.open(t)
		r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Add(t.Context(), store.Chunk{Lines: []byte(strings.Join(listingPages[0], "\n") + "\n"), Listing: true,
			Name: "page0", Progress: json.RawMessage("true")}); err != nil {
			t.Fatal(err)
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.Abort()
		if err := p.m.Close(); err != nil {
			t.Fatal(err)
		}
		seen, err := filepath.Glob(filepath.Join(p.dir, "index.runs", "*.seen"))
		if err != nil || len(seen) != 1 {
			t.Fatalf("files of what was seen: %v, %v", seen, err)
		}
		if how == "removed" {
			err = os.Remove(seen[0])
		} else {
			err = os.Truncate(seen[0], 20)
		}
		if err != nil {
			t.Fatal(err)
		}
		w, err := p.attachWork(t.Context())
		if err != nil || !w.resumed || w.proved || len(w.absent) > 0 {
			t.Errorf("%s: %+v, %v; want a resumed run that proves nothing", how, w, err)
		}
	}
}

// TestListingAgainstASet is T16 for listings: what random whole listings lacked,
// broken off and continued at random, against a plain set.
func TestListingAgainstASet(t *testing.T) {
	p := newPractice(t)
	defer func() { p.m.Close() }()
	checks := 0
	rapid.Check(t, func(rt *rapid.T) {
		if checks++; checks%20 == 0 { // a mirror with few runs is quicker
			p.same(t)
			if err := p.m.Close(); err != nil {
				rt.Fatal(err)
			}
			p = newPractice(t)
		}
		source := fmt.Sprint("emr", checks)
		live := map[string]bool{}
		for range rapid.IntRange(1, 3).Draw(rt, "runs") {
			listed := listRandomly(t, rt, p, source)
			r, err := p.m.Begin(t.Context(), store.RunSpec{Source: source, Kind: "sync"})
			if err != nil {
				rt.Fatal(err)
			}
			if err := r.Settle(t.Context()); err != nil {
				rt.Fatal(err)
			}
			list, n, proved, err := r.Absent(t.Context(), "Observation", 100)
			if err != nil || !proved || n != len(list) {
				rt.Fatalf("Absent = %d of %d, proved %v, %v", len(list), n, proved, err)
			}
			var got, want []string
			for _, a := range list {
				got = append(got, a.ID)
			}
			for id := range live {
				if !listed[id] {
					want = append(want, id)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				rt.Fatalf("absent: %v, want %v; listed %v", got, want, listed)
			}
			for id := range listed {
				live[id] = true
			}
			for _, id := range got {
				if rapid.Bool().Draw(rt, "bury") {
					delete(live, id)
					if err := r.Tombstone(t.Context(), store.Tombstone{Type: "Observation", ID: id, Kind: "missing"}); err != nil {
						rt.Fatal(err)
					}
				}
			}
			counts, err := r.Counts(t.Context())
			if err == nil {
				err = r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts})
			}
			if err != nil {
				rt.Fatal(err)
			}
		}
	})
	p.same(t)
}

// listRandomly lists some records in some pages of a run that is broken off
// behind each page or not, and returns what is durable.
func listRandomly(t *testing.T, rt *rapid.T, p *practice, source string) map[string]bool {
	listed := map[string]bool{}
	for range rapid.IntRange(1, 2).Draw(rt, "sessions") {
		r, err := p.m.Begin(t.Context(), store.RunSpec{Source: source, Kind: "sync"})
		if err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(0, 3).Draw(rt, "pages") {
			ids := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), 1, 4).Draw(rt, "ids")
			var b strings.Builder
			for _, id := range ids {
				b.WriteString(obs(id, rapid.IntRange(0, 1).Draw(rt, "n"), "") + "\n")
				listed[id] = true
			}
			if err := r.Add(t.Context(), store.Chunk{Lines: []byte(b.String()), Listing: true}); err != nil {
				rt.Fatal(err)
			}
			if rapid.Bool().Draw(rt, "flush") {
				if err := r.Flush(t.Context()); err != nil {
					rt.Fatal(err)
				}
			}
		}
		if err := r.Flush(t.Context()); err != nil {
			rt.Fatal(err)
		}
		r.Abort()
		if rapid.IntRange(0, 9).Draw(rt, "reopen") == 0 {
			p.reopen(t)
		}
	}
	return listed
}

// TestKilledAttachment is C5 of T1: a process is killed while it writes a large
// attachment; the next one quarantines what was left, fetches again, and loses
// nothing.
func TestKilledAttachment(t *testing.T) {
	if dir := os.Getenv("CHARTCELLAR_ATTACH"); dir != "" {
		attachForever(t, dir)
		return
	}
	base := seed(t)
	inFile := 0
	for i := range max(2, *loops/10) {
		p := base.copyTo(t, disk.OS{})
		if err := os.WriteFile(filepath.Join(p.dir, "box"), p.box.Marshal(), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledAttachment$")
		c.Env = append(os.Environ(), "CHARTCELLAR_ATTACH="+p.dir)
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
			t.Fatalf("the child wrote nothing: %v", err)
		}
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond) // anywhere in the file
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		c.Wait() // it was killed
		temps, err := filepath.Glob(filepath.Join(p.dir, "attachments", "*"+disk.TempSuffix))
		if err != nil {
			t.Fatal(err)
		}
		inFile += len(temps)
		p.attachHealed(t, attachWork{listed: true}, fmt.Sprint("kill ", i))
		left, err := filepath.Glob(filepath.Join(p.dir, "quarantine", "incoming-*"))
		if err != nil || len(left) != len(temps) {
			t.Errorf("kill %d: %d temporary files, %d in quarantine, %v", i, len(temps), len(left), err)
		}
	}
	if inFile == 0 {
		t.Error("no kill hit a file that was being written")
	}
}

// attachForever lists and then writes an attachment that does not end, and says so
// with a byte.
func attachForever(t *testing.T, dir string) {
	file, err := os.ReadFile(filepath.Join(dir, "box"))
	if err != nil {
		t.Fatal(err)
	}
	box, err := keys.ParseBox(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := store.Open(t.Context(), store.Options{Dir: dir, Box: box, Ballast: -1, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	for i, page := range listingPages {
		if err := r.Add(t.Context(), store.Chunk{Lines: []byte(strings.Join(page, "\n") + "\n"), Listing: true,
			Name: fmt.Sprint("page", i), Progress: json.RawMessage("true")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants, _, err := m.Wants("emr", nil, 1)
	if err != nil || len(wants) == 0 {
		t.Fatalf("Wants = %v, %v", wants, err)
	}
	err = r.Attach(t.Context(), wants[0], "", &endless{left: 1 << 30}, func(store.Content) (string, error) { return "", nil })
	t.Fatalf("Attach = %v", err)
}

// endless gives bytes, and tells of the first that goes into a file.
type endless struct {
	n, left int
}

// Read implements io.Reader.
func (e *endless) Read(p []byte) (int, error) {
	if e.left -= len(p); e.left < 0 {
		return 0, io.EOF
	}
	if before := e.n; before <= store.SmallAttachment && before+len(p) > store.SmallAttachment {
		os.Stdout.WriteString(".")
	}
	e.n += len(p)
	return len(p), nil
}

// A sulky disk fails at some operations, and notes which folders were synced.
type sulkyDisk struct {
	disk.OS
	mkdirs, syncs int // how many of them fail, for the folder of a content
	synced        []string
}

func ofContent(name string) bool { return filepath.Base(filepath.Dir(name)) == "attachments" }

// Mkdir implements disk.FS.
func (d *sulkyDisk) Mkdir(name string) error {
	if ofContent(name) && d.mkdirs > 0 {
		d.mkdirs--
		return storetest.ErrBroken
	}
	return d.OS.Mkdir(name)
}

// SyncDir implements disk.FS.
func (d *sulkyDisk) SyncDir(name string) error {
	if !ofContent(name) {
		return d.OS.SyncDir(name)
	}
	if d.syncs > 0 {
		d.syncs--
		return storetest.ErrBroken
	}
	d.synced = append(d.synced, name)
	return d.OS.SyncDir(name)
}

// TestAttachAgain: a content that could not be kept does not count as one that is
// here, and a name that an earlier try gave is made durable before it counts.
func TestAttachAgain(t *testing.T) {
	d := &sulkyDisk{mkdirs: 1, syncs: 1}
	p := seed(t)
	p.fs = d
	p.open(t)
	defer p.m.Close()
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	big := contents[0]
	attach := func(i int) error {
		w := store.Want{Source: "emr", Type: "DocumentReference", ID: fmt.Sprint("d", i), URL: fmt.Sprint("Binary/x", i)}
		return r.Attach(t.Context(), w, "", bytes.NewReader(big), func(store.Content) (string, error) { return "", nil })
	}
	for i := range 2 { // the folder cannot be made; then it cannot be synced
		if err := attach(i); !errors.Is(err, syscall.EIO) {
			t.Fatalf("try %d: %v", i, err)
		}
	}
	if err := attach(2); err != nil {
		t.Fatal(err)
	}
	if len(d.synced) == 0 {
		t.Error("the name of the content was not made durable")
	}
	if err := r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}}); err != nil {
		t.Fatal(err)
	}
	s, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	_, body, err := s.Attachment(t.Context(), store.Key{Source: "emr", Type: "DocumentReference", ID: "d2"}, "Binary/x2")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, big) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestGapsWhilePartsClose: a gap that comes while a part is written is in the next.
func TestGapsWhilePartsClose(t *testing.T) {
	p := newPractice(t)
	defer p.m.Close()
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	const many = 3000
	var g errgroup.Group
	for half := range 2 {
		g.Go(func() error {
			for i := half; i < many; i += 2 {
				r.Gap(index.Gap{ID: fmt.Sprintf("emr/gap-%d", i), Kind: "record"})
				time.Sleep(10 * time.Microsecond)
			}
			return nil
		})
	}
	for i := range 20 {
		if err := r.Add(t.Context(), store.Chunk{Lines: []byte(obs(fmt.Sprint("o", i), 0, "") + "\n")}); err != nil {
			t.Fatal(err)
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}}); err != nil {
		t.Fatal(err)
	}
	if gaps, err := p.m.Gaps("emr"); err != nil || len(gaps) != many {
		t.Errorf("%d gaps of %d are in the ledger, %v", len(gaps), many, err)
	}
}
