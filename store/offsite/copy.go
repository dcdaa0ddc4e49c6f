package offsite

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"chartcellar/store"
	"chartcellar/store/keys"
)

var (
	// ErrForeign says that a place holds the copy of another mirror.
	ErrForeign = errors.New("this place holds the copy of another mirror")
	// ErrFenced says that another box has taken over from this one: what this one
	// has is no longer the office's mirror.
	ErrFenced = errors.New("another computer has taken over this mirror")
	// ErrRival says that another box goes on with the same mirror: both were made the
	// office's from the same copy.
	ErrRival = errors.New("two computers go on with the same mirror")
	// ErrOldKeys says that a place holds the copy of before the whole mirror got new
	// keys: its files have the same names and other bytes.
	ErrOldKeys = errors.New("this place holds the copy with the old keys")
	// ErrAhead says that a place has more than the mirror: an older state of the
	// mirror's folder was put back.
	ErrAhead = errors.New("this second copy is newer than the mirror")
)

// A Mirror is what is copied; *store.Mirror has it.
type Mirror interface {
	ID() string
	FirstHash() string
	Chain() keys.Chain
	Inventory() ([]store.SealedFile, error)
	Chosen() (map[string]store.Apart, error)
	OpenSealed(name string) (io.ReadCloser, error)
}

// A Wrong is a file that is not what it must be.
type Wrong struct {
	File string `json:"file"` // by the mirror's name
	What string `json:"what"`
	Here bool   `json:"here,omitempty"` // it is wrong in the mirror, not at the place
}

// A Result is what a copy or a check of one came to.
type Result struct {
	Place      string        `json:"place"` // as the practice calls it
	What       string        `json:"what"`  // copy, check
	Started    time.Time     `json:"started"`
	Took       time.Duration `json:"took"`
	Disk       string        `json:"disk"`  // which of the disks that take turns there
	Files      int           `json:"files"` // that belong into the copy
	There      int           `json:"there"` // of them are there, with the right size
	Copied     int           `json:"copied"`
	Bytes      int64         `json:"bytes"` // of what was copied, or read
	Read       int           `json:"read"`  // files that were read back and are what they must be
	Checkpoint int           `json:"checkpoint"`
	Parts      int           `json:"parts"`
	Wrong      []Wrong       `json:"wrong,omitempty"`
	NotChecked string        `json:"notChecked"`
	// Apart are large files that are not meant for this place; they are not in Files.
	Apart []store.Apart `json:"apart,omitempty"`
}

// Complete reports whether everything is there and nothing is wrong.
func (r Result) Complete() bool { return len(r.Wrong) == 0 && r.There == r.Files && r.Files > 0 }

// Options say how a copy is made or checked.
type Options struct {
	Place string           // name of the place
	Now   func() time.Time // nil: time.Now
	// Extras are files that lie beside the copy and are no part of it. They are put
	// there once; one that is there is left as it is.
	Extras []Extra
	// Only says which second copies get a large file of which something was chosen; nil,
	// or none: all.
	Only func(store.Choice) []string
	// Slices are the thirtieths of the files that a check reads; nil: all of them.
	Slices []int
	// New is asked before a copy begins at a place where nothing lies yet: an error ends
	// it. nil: it begins.
	New func() error
	// Upto says for a check up to which checkpoint a disk was complete before: what
	// came later is not looked for. nil: everything must be there.
	Upto func(disk string) int
	// Events hears how far it is; nil: nobody listens.
	Events func(done, all int, bytes int64)
}

// An Extra is a file beside the copy: how to open it, the program.
type Extra struct {
	Name string
	Size int64
	Open func() (io.ReadCloser, error)
}

// atOnce is how many files are under way to or from a place at the same time.
const atOnce = 4

// Copy brings to a place what it lacks of the mirror, reads each new file back, and
// says what is there in the end. It only creates, reads and lists. A copy that was
// broken off is continued by the next one: what is there is not sent again.
//
// An error means that it did not come to its end, and the Result says how far it
// got. Errors: ErrForeign, ErrFenced, ErrAhead, and those of Place. A file that is
// not what it must be, here or there, is in Result.Wrong and stops nothing.
func Copy(ctx context.Context, m Mirror, p Place, o Options) (Result, error) {
	j, err := begin(ctx, m, p, o, "copy")
	if err != nil {
		return j.r, err
	}
	if err := j.identify(ctx); err != nil {
		return j.end(), err
	}
	for len(j.list) > 0 && err == nil {
		var group []store.SealedFile
		group, j.list = untilCheckpoint(j.list)
		err = j.each(ctx, group, j.bring)
	}
	if err == nil {
		err = j.extras(ctx)
	}
	j.r.NotChecked = withApart("Files that were there before were compared by name and size only.", j.r.Apart)
	return j.end(), err
}

// untilCheckpoint splits a list behind its first checkpoint, and before it too: so
// that a checkpoint comes when everything it covers is there.
func untilCheckpoint(list []store.SealedFile) (group, rest []store.SealedFile) {
	for i, f := range list {
		if strings.HasPrefix(f.Name, "checkpoints/") {
			return list[:max(i, 1)], list[max(i, 1):]
		}
	}
	return list, nil
}

// Check compares a copy with the mirror: every name and size, and the bytes of the
// files whose turn it is. It writes nothing.
func Check(ctx context.Context, m Mirror, p Place, o Options) (Result, error) {
	j, err := begin(ctx, m, p, o, "check")
	if err != nil {
		return j.r, err
	}
	if j.r.Disk, err = diskOf(ctx, p); err != nil && !errors.Is(err, ErrNotThere) {
		return j.end(), err
	}
	later := j.upto()
	err = j.each(ctx, j.list, j.compare)
	j.r.NotChecked = later
	if o.Slices != nil {
		j.r.NotChecked = fmt.Sprintf("%d of 30 files were compared by name and size only. %s", 30-len(o.Slices), later)
	}
	j.r.NotChecked = withApart(j.r.NotChecked, j.r.Apart)
	return j.end(), err
}

// upto leaves aside what came after the copy was last complete, and says so.
func (j *job) upto() string {
	if j.o.Upto == nil {
		return "Every file of the mirror was looked for."
	}
	last := fmt.Sprintf("checkpoints/%012d", j.o.Upto(j.r.Disk))
	for i, f := range j.list {
		if f.Name == last {
			later := len(j.list) - i - 1
			j.list = j.list[:i+1]
			j.r.Files = len(j.list)
			return fmt.Sprintf("%d newer files of the mirror, which come with the next copy.", later)
		}
	}
	return "Every file of the mirror was looked for."
}

// A job is a copy or a check that is under way.
type job struct {
	m      Mirror
	p      Place
	o      Options
	c      *Contents
	prefix string
	list   []store.SealedFile

	// mu covers r and done.
	mu   sync.Mutex
	r    Result
	done int
}

// begin reads what is there and makes sure that it is ours to go on with.
func begin(ctx context.Context, m Mirror, p Place, o Options, what string) (*job, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Events == nil {
		o.Events = func(int, int, int64) {}
	}
	j := &job{m: m, p: p, o: o, prefix: Prefix(m.Chain().Last().Epoch)}
	j.r = Result{Place: o.Place, What: what, Started: o.Now().UTC()}
	var err error
	if j.c, err = Read(ctx, p); err != nil {
		return j, err
	}
	if j.list, j.r.Apart, err = Wanted(m, j.c, o); err != nil {
		return j, err
	}
	j.r.Files = len(j.list)
	for _, w := range j.c.Wrong {
		j.r.Wrong = append(j.r.Wrong, Wrong{File: "mirror", What: w})
	}
	return j, j.mine()
}

// mine refuses a place that is not this mirror's, or that knows more than it.
func (j *job) mine() error {
	last, rival := map[string]int{}, false
	for _, f := range j.list {
		kind, n := kindOf(f.Name)
		last[kind] = max(last[kind], n)
		if kind == "mirror" && n <= len(j.c.stated) && f.SHA256 != j.c.stated[n-1] {
			rival = true
		}
	}
	j.r.Checkpoint, j.r.Parts = last["checkpoints"], last["parts"]
	switch {
	case j.c.Empty():
		return nil
	case j.c.First != j.m.FirstHash():
		return ErrForeign
	case j.c.Epoch() > j.m.Chain().Last().Epoch:
		return ErrFenced
	case oldKeys(j.m.Chain(), j.c.Statement.Number):
		return ErrOldKeys
	case rival && j.c.Epoch() == j.m.Chain().Last().Epoch:
		return ErrRival
	case j.c.Epoch() < j.m.Chain().Last().Epoch:
		j.c.chain = j.m.Chain() // the place does not have it yet; what stands there from after the fork does not count
		j.c.overlay()
	case j.c.Newest("parts") > last["parts"] || j.c.Newest("checkpoints") > last["checkpoints"] || j.c.Newest("mirror") > last["mirror"]:
		return ErrAhead
	}
	return nil
}

// oldKeys reports whether a mirror got a new office key behind a statement: then every
// file was encrypted again.
func oldKeys(chain keys.Chain, statement int) bool {
	return slices.ContainsFunc(chain, func(s keys.Statement) bool {
		return s.Number > statement && s.Recipient("office") != chain[statement-1].Recipient("office")
	})
}

func (j *job) end() Result {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.r.Took = j.o.Now().Sub(j.r.Started)
	return j.r
}

// each calls fn for every file of a group, a few at once.
func (j *job) each(ctx context.Context, group []store.SealedFile, fn func(context.Context, store.SealedFile) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, f := range group {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			err := fn(gctx, f)
			j.mu.Lock()
			defer j.mu.Unlock()
			j.done++
			j.o.Events(j.done, j.r.Files, j.r.Bytes)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// note changes the result.
func (j *job) note(fn func(*Result)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fn(&j.r)
}

func (j *job) wrong(f store.SealedFile, here bool, format string, a ...any) {
	j.note(func(r *Result) { r.Wrong = append(r.Wrong, Wrong{f.Name, fmt.Sprintf(format, a...), here}) })
}

// there reports whether the place has a file, and notes a size that is wrong.
func (j *job) there(f store.SealedFile) bool {
	size, ok := j.c.Size(f.Name)
	if ok && size != f.Size {
		j.wrong(f, false, "has %d bytes, must have %d: somebody else wrote it", size, f.Size)
	}
	return ok
}

// bring puts a file there, unless it is there, and reads it back.
func (j *job) bring(ctx context.Context, f store.SealedFile) error {
	if f.Size == 0 {
		j.wrong(f, true, "damaged or missing in the mirror")
		return nil
	}
	if j.there(f) {
		j.note(func(r *Result) { r.There++ })
		return nil
	}
	body, err := j.m.OpenSealed(f.Name)
	if errors.Is(err, ErrNotThere) {
		j.wrong(f, true, "missing in the mirror")
		return nil
	}
	if err != nil {
		return err
	}
	defer body.Close() // read only
	err = j.p.Put(ctx, j.prefix+f.Name, f.Size, &checked{r: body, want: f})
	switch {
	case errors.Is(err, errDamaged):
		j.wrong(f, true, "damaged in the mirror: it was not copied")
		return nil
	case err != nil && !errors.Is(err, ErrExists): // another writer may have been quicker
		return fmt.Errorf("copy %s: %w", f.Name, err)
	}
	if err := j.readBack(ctx, j.prefix+f.Name, f); err != nil {
		return err
	}
	j.note(func(r *Result) { r.Copied++; r.There++; r.Bytes += f.Size })
	return nil
}

// readBack reads a file at the place and compares it with what it must be.
func (j *job) readBack(ctx context.Context, at string, f store.SealedFile) error {
	r, err := j.p.Get(ctx, at)
	if err != nil {
		return fmt.Errorf("read %s back: %w", f.Name, err)
	}
	defer r.Close() // read only
	_, err = io.Copy(io.Discard, &checked{r: r, want: f})
	switch {
	case errors.Is(err, errDamaged):
		j.wrong(f, false, "its bytes are not those that were written")
		return nil
	case err != nil:
		return fmt.Errorf("read %s back: %w", f.Name, err)
	}
	j.note(func(r *Result) { r.Read++ })
	return nil
}

// compare checks one file of a copy.
func (j *job) compare(ctx context.Context, f store.SealedFile) error {
	if f.Size == 0 {
		j.wrong(f, true, "damaged or missing in the mirror")
		return nil
	}
	if !j.there(f) {
		j.wrong(f, false, "missing")
		return nil
	}
	j.note(func(r *Result) { r.There++ })
	if j.o.Slices != nil && !inSlice(f.Name, j.o.Slices) {
		return nil
	}
	if err := j.readBack(ctx, j.c.files[f.Name].at, f); err != nil {
		return err
	}
	j.note(func(r *Result) { r.Bytes += f.Size })
	return nil
}

// inSlice reports whether it is the turn of a file: a numbered one goes by its number,
// any other by its name.
func inSlice(name string, slices []int) bool {
	_, n := kindOf(name)
	if n == 0 {
		sum := sha256.Sum256([]byte(name))
		n = int(sum[0])<<8 | int(sum[1])
	}
	for _, s := range slices {
		if n%30 == s {
			return true
		}
	}
	return false
}

// extras puts the files beside the copy.
func (j *job) extras(ctx context.Context) error {
	for _, x := range j.o.Extras {
		there, err := j.p.Get(ctx, x.Name)
		if err == nil {
			there.Close()
			continue
		}
		if !errors.Is(err, ErrNotThere) {
			return err
		}
		body, err := x.Open()
		if err != nil {
			return err
		}
		err = j.p.Put(ctx, x.Name, x.Size, body)
		body.Close()
		if err != nil && !errors.Is(err, ErrExists) {
			return fmt.Errorf("copy %s: %w", x.Name, err)
		}
	}
	return nil
}

// errDamaged says that bytes are not those that were announced.
var errDamaged = errors.New("the bytes are not those that were written")

// checked reads a file and fails at its end if it is not what it must be: what is
// damaged here is never taken for whole there.
type checked struct {
	r    io.Reader
	want store.SealedFile
	n    int64
	h    hash.Hash
}

func (c *checked) Read(b []byte) (int, error) {
	if c.h == nil {
		c.h = sha256.New()
	}
	n, err := c.r.Read(b)
	c.h.Write(b[:n])
	c.n += int64(n)
	if c.n > c.want.Size || errors.Is(err, io.EOF) && (c.n != c.want.Size || !bytes.Equal(c.h.Sum(nil), c.want.SHA256[:])) {
		return 0, errDamaged
	}
	return n, err
}

// diskFile names which of several disks a place is just now.
const diskFile = "place.json"

type diskNote struct {
	Place  string `json:"place"`
	Mirror string `json:"mirror"`
}

// diskOf reads which disk lies at a place.
func diskOf(ctx context.Context, p Place) (string, error) {
	b, err := readSmall(ctx, p, diskFile)
	if err != nil {
		return "", err
	}
	var n diskNote
	if err := json.Unmarshal(b, &n); err != nil || n.Place == "" {
		return "", fmt.Errorf("%s cannot be read", diskFile)
	}
	return n.Place, nil
}

// identify learns which disk lies at the place, and gives a new one a name.
func (j *job) identify(ctx context.Context) error {
	id, err := diskOf(ctx, j.p)
	if errors.Is(err, ErrNotThere) && j.c.Empty() && j.o.New != nil {
		if err := j.o.New(); err != nil {
			return err
		}
	}
	if errors.Is(err, ErrNotThere) {
		id = hex.EncodeToString(randomBytes(4))
		var b []byte
		if b, err = json.Marshal(diskNote{id, j.m.ID()}); err == nil {
			err = j.p.Put(ctx, diskFile, int64(len(b)), bytes.NewReader(b))
		}
		if errors.Is(err, ErrExists) {
			id, err = diskOf(ctx, j.p)
		}
	}
	j.r.Disk = id
	return err
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}
