package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"chartcellar/store"
	"chartcellar/store/archive"
	"chartcellar/store/index"
)

// unitFrames is how many frames a worker reads at a time: about 2.5 MiB.
const unitFrames = 8

// A reading is a full check under way: one pass over all parts, each frame of
// which is decrypted, checked against the log and compared with the index.
type reading struct {
	m     *store.Mirror
	pass  *store.Reading
	parts []index.Part
	sums  map[string][32]byte
	tell  func(int, int, int64)
	jobs  chan func(*store.Reader) error
	log   *archive.Log
	out   []outcome

	// mu covers what follows, and out.
	mu    sync.Mutex
	done  int
	plain int64
}

// An outcome is what was found in one part and in the attachment files that it is
// the first to name.
type outcome struct {
	r      Result
	part   *store.OpenPart // nil: it could not be opened
	left   int             // jobs
	torn   bool            // the part is damaged
	leaves []tlog.Hash
}

// readings is how often a full check reads what came while it read.
const readings = 3

// full decrypts everything, with a worker for each core, and names all that is
// wrong. The index is compared only when nothing is: it must then be what the
// archive says. Runs may go on beside it: what they bring is read, too. The last
// checkpoint is one that the parts are known to reach.
func full(ctx context.Context, m *store.Mirror, r *Result, parts []index.Part, signed sums, tell func(int, int, int64)) error {
	f := &reading{m: m, pass: m.NewReading(), sums: signed.of, tell: tell, log: &archive.Log{}}
	for left := readings; ; {
		kept, indexErr, err := f.read(ctx, parts)
		if err != nil {
			return errors.Join(err, f.close())
		}
		f.sum(r, len(parts))
		if left == readings {
			checkLog(f.log, signed, r)
		}
		if !r.Good() {
			return nil
		}
		err = compare(ctx, f.pass, r, kept, indexErr)
		if !errors.Is(err, store.ErrMoved) {
			return err
		}
		if left--; left == 0 {
			r.NotChecked += " The index was not compared with the archive: runs went on meanwhile."
			return nil
		}
		if parts, err = m.Parts(); err != nil {
			return err
		}
		parts = parts[len(f.parts):]
	}
}

// read reads parts that come behind those that were read, and tallies the index beside.
func (f *reading) read(ctx context.Context, parts []index.Part) (kept index.Kept, indexErr, err error) {
	from := len(f.parts)
	f.parts, f.out = append(f.parts, parts...), append(f.out, make([]outcome, len(parts))...)
	f.jobs = make(chan func(*store.Reader) error)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.feed(gctx, from) })
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error { return f.work(gctx) })
	}
	g.Go(func() error {
		kept, indexErr = f.pass.Index(gctx)
		return nil
	})
	err = g.Wait()
	return kept, indexErr, err
}

// compare compares the index with what was read.
func compare(ctx context.Context, pass *store.Reading, r *Result, kept index.Kept, indexErr error) error {
	differ := []string{"rows that cannot be read"}
	if !errors.Is(indexErr, index.ErrBad) {
		if indexErr != nil {
			return indexErr
		}
		var err error
		differ, err = pass.Differences(ctx, kept)
		switch {
		case errors.Is(err, store.ErrDamaged):
			r.bad("parts", "the index cannot be rebuilt from the archive: %s", plain(err))
			return nil
		case err != nil && !errors.Is(err, index.ErrBad): // also store.ErrMoved
			return err
		case err != nil:
			differ = append(differ, "rows that cannot be read")
		}
	}
	if len(differ) > 0 {
		r.bad("index.db", "differs from the archive (%s); `chartcellar index rebuild` makes it anew", strings.Join(differ, ", "))
	}
	return nil
}

// feed makes the jobs, from one part on: the sums of each part's files, its large attachments, and
// some frames at a time.
func (f *reading) feed(ctx context.Context, from int) error {
	defer close(f.jobs)
	for i := from; i < len(f.parts); i++ {
		jobs, err := f.split(i)
		if err != nil {
			return err
		}
		for _, j := range jobs {
			select {
			case f.jobs <- j:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// split opens part i and cuts its reading into jobs.
func (f *reading) split(i int) ([]func(*store.Reader) error, error) {
	p, o := f.parts[i], &f.out[i]
	if err := checkSum(f.m, &o.r, p, f.sums); err != nil {
		return nil, err
	}
	var err error
	if p.Lost > 0 {
		o.leaves, err = f.m.LostLeaves(p)
	} else {
		o.part, err = f.pass.Open(p)
		err = f.found(i, err)
	}
	if err != nil {
		return nil, err
	}
	jobs := []func(*store.Reader) error{}
	if o.part != nil {
		o.leaves = o.part.Leaves()
		for n := 0; n < o.part.Frames(); n += unitFrames {
			jobs = append(jobs, func(r *store.Reader) error { return f.frames(r, i, n) })
		}
	}
	for _, file := range p.Files {
		if file.Lost > 0 {
			continue
		}
		jobs = append(jobs, func(*store.Reader) error { return f.attachment(i, file) })
	}
	if o.left = len(jobs); o.left == 0 {
		return nil, f.end(i)
	}
	return jobs, nil
}

// found notes what an error says of a part, and returns it if it says nothing
// of its content.
func (f *reading) found(i int, err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := &f.out[i]
	name := PartName(f.parts[i].Number)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		o.torn = true // checkSum has named it
	case errors.Is(err, store.ErrDamaged):
		if !o.torn && !slices.ContainsFunc(o.r.Damage, func(d Damage) bool { return d.File == name }) {
			o.r.bad(name, "%s", plain(err))
		}
		o.torn = true
	default:
		return err
	}
	return nil
}

func (f *reading) work(ctx context.Context) error {
	r := f.pass.Reader()
	defer r.Done()
	for j := range f.jobs {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := j(r); err != nil {
			return err
		}
	}
	return nil
}

// frames reads unitFrames frames of part i from frame n.
func (f *reading) frames(r *store.Reader, i, n int) error {
	part := f.out[i].part
	bytes, records, err := r.Frames(part, n, min(n+unitFrames, part.Frames()))
	if err := f.found(i, err); err != nil {
		return err
	}
	return f.add(i, bytes, records)
}

// attachment decrypts an attachment file whole.
func (f *reading) attachment(i int, file index.File) error {
	n, err := f.m.ReadAttachment(file)
	switch {
	case errors.Is(err, store.ErrDamaged):
		f.mu.Lock()
		if o := &f.out[i]; !slices.ContainsFunc(o.r.Damage, func(d Damage) bool { return d.File == file.Name }) {
			o.r.bad(file.Name, "%s", plain(err))
		}
		f.mu.Unlock()
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return f.add(i, n, 0)
}

// add counts what a job read and ends the part with its last one.
func (f *reading) add(i int, bytes int64, records int) error {
	f.mu.Lock()
	o := &f.out[i]
	o.r.Plain, o.r.Records = o.r.Plain+bytes, o.r.Records+records
	f.plain += bytes
	o.left--
	last := o.left == 0
	f.mu.Unlock()
	if last {
		return f.end(i)
	}
	return nil
}

// end closes a part that was read.
func (f *reading) end(i int) error {
	f.mu.Lock()
	f.done++
	f.tell(f.done, len(f.parts), f.plain)
	part := f.out[i].part
	f.out[i].part = nil
	f.mu.Unlock()
	if part == nil {
		return nil
	}
	return part.Close()
}

// close closes the parts that were being read when the check was given up.
func (f *reading) close() error {
	var err error
	for i := range f.out {
		if p := f.out[i].part; p != nil {
			err = errors.Join(err, p.Close())
		}
	}
	return err
}

// sum adds up what was found in the last n parts.
func (f *reading) sum(r *Result, n int) {
	for i := len(f.out) - n; i < len(f.out); i++ {
		o := &f.out[i]
		r.Files, r.Bytes = r.Files+o.r.Files, r.Bytes+o.r.Bytes
		r.Plain, r.Records = r.Plain+o.r.Plain, r.Records+o.r.Records
		r.Damage = append(r.Damage, o.r.Damage...)
		f.log.Add(o.leaves)
		o.leaves = nil
	}
	slices.SortStableFunc(r.Damage, func(a, b Damage) int { return cmp.Compare(a.File, b.File) })
}

// checkLog compares the log of the parts with the last signed root.
func checkLog(l *archive.Log, signed sums, r *Result) {
	if !r.Good() || signed.last.Number == 0 {
		return
	}
	root, err := l.Root(signed.last.Size)
	if err != nil || root != signed.last.Root {
		r.bad(fmt.Sprintf("checkpoints/%012d", signed.last.Number), "the parts do not give the root that was signed")
	}
}
