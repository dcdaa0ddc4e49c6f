package store

import (
	"context"
	"encoding/json"
	"maps"
	"runtime"
	"sync"
	"time"

	"chartcellar/store/archive"
	"chartcellar/store/index"
	"chartcellar/store/journal"
	"chartcellar/store/scan"
)

// A pipe is the inside of a Run. Chunks are scanned by several workers, put
// together in their order by the assembler, packed into frames by the workers,
// and written in their order by the writer:
//
//	add -> scan -> assemble -> encode -> write, commit
//
// Each arrow is a bounded channel, so that memory does not grow with the
// source. The first error stops all stages.
type pipe struct {
	run    *Run
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	work   chan func(*worker)
	scans  chan *scanJob  // in order, to the assembler
	frames chan *frameJob // in order, to the writer
	lost   *index.Losses  // what the closing part states to be lost; nil: nothing
	decide []index.Decision
	bufs   chan []byte // free frame buffers
	lines  chan []line // free lists of lines

	// mu covers uncounted: what was seen since the last part.
	mu        sync.Mutex
	uncounted index.Counts
	size      int64 // compressed bytes in the part being written
	watched   map[index.Key]bool

	// attaching is held from the judgement of a content until it is on its way; it
	// covers blobs: contents that are on their way, or in a part, because of this run.
	attaching sync.Mutex
	blobs     map[index.BlobName]bool

	targets targets
}

// framesAhead is how many frames may wait for the writer, so that the workers go
// on while it waits for the disk. Most are a tenth of archive.FrameBytes by then.
const framesAhead = 64

// A closing is the end of a run.
type closing struct {
	index.Closing
	pack journal.Pack
}

// A worker has what scanning and packing need; each belongs to one goroutine.
type worker struct {
	scan  *scan.Scanner
	hash  *index.Hasher
	codec *archive.Codec
	pack  []byte // a frame that is being packed
	keys  []index.Key
	lines []line
	known map[string]bool // references that were noted lately
}

// A scanJob is a chunk on its way through a worker.
type scanJob struct {
	chunk Chunk
	done  chan struct{}
	kept  []line
	seen  []index.Key // of a listing: every record
	bad   []badLine
	count index.Counts
	err   error
	flush *flushJob
}

// A flushJob asks for a part boundary; done gets the outcome.
type flushJob struct {
	end  *closing
	done chan error
}

// A line is one resource that is to be kept.
type line struct {
	typ      string
	from, to int // in the chunk
	entry    index.Entry
	wants    []index.Want
	last     bool // of the chunk, or before a line of another type
}

func newPipe(ctx context.Context, r *Run) (*pipe, error) {
	p := &pipe{run: r, work: make(chan func(*worker), 4), scans: make(chan *scanJob, 6),
		frames: make(chan *frameJob, framesAhead), uncounted: index.Counts{}, bufs: make(chan []byte, 16),
		lines: make(chan []line, 16)}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	w, err := newWriter(p)
	if err != nil {
		return nil, err
	}
	for range max(2, min(runtime.GOMAXPROCS(0), 4)) {
		p.start(p.worker)
	}
	p.start(p.assemble)
	p.start(w.loop)
	return p, nil
}

func (p *pipe) start(f func()) {
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		f()
	}()
}

// stop ends all stages and waits for them.
func (p *pipe) stop() {
	p.cancel(errStopped)
	p.wg.Wait()
}

func (p *pipe) fail(err error) { p.cancel(err) }

func (p *pipe) worker() {
	w := &worker{scan: scan.New(index.FingerprintKey(p.run.m.mirrorKey)), known: map[string]bool{},
		hash: p.run.m.index.Hasher(p.run.state.Source), codec: archive.NewCodec()}
	for {
		select {
		case f := <-p.work:
			f(w)
		case <-p.ctx.Done():
			return
		}
	}
}

// send hands a value to the next stage unless the pipe has stopped.
func send[T any](p *pipe, to chan T, v T) error {
	select {
	case to <- v:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

func (p *pipe) add(ctx context.Context, c Chunk) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	j := &scanJob{chunk: c, done: make(chan struct{})}
	if err := send(p, p.scans, j); err != nil {
		return err
	}
	return send(p, p.work, func(w *worker) {
		defer close(j.done)
		j.err = p.scan(w, j)
	})
}

// flush asks for a part boundary behind everything that was added.
func (p *pipe) flush(ctx context.Context, end *closing) error {
	f := &flushJob{end: end, done: make(chan error, 1)}
	j := &scanJob{done: make(chan struct{}), flush: f}
	close(j.done)
	if err := send(p, p.scans, j); err != nil {
		return err
	}
	select {
	case err := <-f.done:
		return err
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note counts what a chunk brought; lines that bring nothing new count without
// any part.
func (p *pipe) note(c index.Counts) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uncounted.Add(c)
}

// take returns the counts since the last part and starts anew.
func (p *pipe) take() index.Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.uncounted
	p.uncounted = index.Counts{}
	return c
}

// loose returns the counts since the last part.
func (p *pipe) loose() index.Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.uncounted)
}

func (p *pipe) watch(typ, id string) {
	k := p.run.m.index.Hasher(p.run.state.Source).Key([]byte(typ), []byte(id))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watched == nil {
		p.watched = map[index.Key]bool{}
	}
	p.watched[k] = false
}

func (p *pipe) seen(k index.Key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.watched[k]
}

// meet notes which of the keys are watched.
func (p *pipe) meet(keys []index.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.watched) == 0 {
		return
	}
	for _, k := range keys {
		if _, ok := p.watched[k]; ok {
			p.watched[k] = true
		}
	}
}

func (p *pipe) setSize(n int64) {
	p.mu.Lock()
	p.size = n
	p.mu.Unlock()
}

func (p *pipe) partSize() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// An assembler gathers kept lines into frames of one type each.
type assembler struct {
	p        *pipe
	open     map[frameKey]*frameJob
	lines    int // kept in this part
	seen     int // read since the last part
	most     int // about how many lines a frame has
	listed   []index.Key
	began    time.Time
	progress map[string]json.RawMessage
	bad      []badLine
}

type frameKey struct {
	kind archive.FrameKind
	typ  string
}

// A frameJob is a frame on its way to the writer, or keys of a listing, or a part
// boundary.
type frameJob struct {
	kind    archive.FrameKind
	typ     string
	plain   []byte
	entries []index.Entry // their Part and Frame are set by the writer
	ours    []oursLine    // likewise
	wants   []index.Want
	done    chan struct{}
	frame   archive.Frame
	err     error
	listed  []index.Key // instead of lines
	seal    *sealJob
}

// A sealJob is a part boundary.
type sealJob struct {
	progress map[string]json.RawMessage
	listed   []index.Key
	bad      []badLine
	flush    *flushJob // nil: nobody waits
}

// idleLines is after how many lines that brought nothing new progress is made
// durable all the same.
const idleLines = 500_000

func (p *pipe) assemble() {
	a := &assembler{p: p, open: map[frameKey]*frameJob{}, began: p.run.m.now(),
		progress: map[string]json.RawMessage{}}
	for {
		var j *scanJob
		select {
		case j = <-p.scans:
		case <-p.ctx.Done():
			return
		}
		select {
		case <-j.done:
		case <-p.ctx.Done():
			return
		}
		if err := a.take(j); err != nil {
			p.fail(err)
			return
		}
	}
}

// take adds one scanned chunk and closes the part if it is full.
func (a *assembler) take(j *scanJob) error {
	if j.err != nil {
		return j.err
	}
	if j.flush != nil {
		return a.seal(j.flush)
	}
	for i := range j.kept {
		if err := a.keep(&j.chunk, &j.kept[i]); err != nil {
			return err
		}
	}
	a.p.recycleLines(j.kept)
	for i := range j.chunk.ours {
		if err := a.keepOurs(&j.chunk.ours[i]); err != nil {
			return err
		}
	}
	a.p.note(j.count)
	if err := a.list(j.seen); err != nil {
		return err
	}
	for _, c := range j.count {
		a.seen += c.Lines
	}
	a.bad = append(a.bad, j.bad...)
	if j.chunk.Name != "" {
		a.progress[j.chunk.Name] = j.chunk.Progress
	}
	if j.chunk.Release != nil {
		j.chunk.Release()
	}
	open := a.p.run.m.now().Sub(a.began)
	if partLimit(a.lines, a.p.partSize(), open, j.chunk.Boundary) || a.seen > idleLines {
		return a.seal(nil)
	}
	return nil
}

// list adds keys that a listing has shown, and sends them on when they are many.
func (a *assembler) list(keys []index.Key) error {
	a.listed = append(a.listed, keys...)
	if len(a.listed) < listedKeys {
		return nil
	}
	f := &frameJob{listed: a.listed}
	a.listed = nil
	return send(a.p, a.p.frames, f)
}

func (a *assembler) keep(c *Chunk, l *line) error {
	kind, from := archive.Records, c.Lines
	if c.tomb != nil {
		kind, from = archive.Deleted, c.made
	}
	f, err := a.frame(frameKey{kind, l.typ}, from[l.from:l.to])
	if err != nil {
		return err
	}
	l.entry.Line = uint16(len(f.entries))
	if f.entries == nil {
		f.entries = make([]index.Entry, 0, a.most)
	}
	f.entries = append(f.entries, l.entry)
	f.wants = append(f.wants, l.wants...)
	return nil
}

func (a *assembler) keepOurs(o *oursLine) error {
	f, err := a.frame(frameKey{archive.Ours, o.typ}, o.raw)
	if err != nil {
		return err
	}
	o.line = uint16(len(f.ours))
	f.ours = append(f.ours, *o)
	return nil
}

// frame appends a line to the open frame of its kind and type; a full one is
// shipped first.
func (a *assembler) frame(k frameKey, raw []byte) (*frameJob, error) {
	f := a.open[k]
	if f != nil && len(f.plain)+len(raw)+1 > archive.FrameBytes {
		if err := a.ship(k, f); err != nil {
			return nil, err
		}
		f = nil
	}
	if f == nil {
		f = &frameJob{kind: k.kind, typ: k.typ, plain: a.p.buffer()}
		a.open[k] = f
	}
	f.plain = append(append(f.plain, raw...), '\n')
	a.lines++
	return f, nil
}

// ship sends a frame to a worker, and its place in the order to the writer.
func (a *assembler) ship(k frameKey, f *frameJob) error {
	delete(a.open, k)
	a.most = max(16, len(f.entries)+len(f.entries)/8)
	return a.p.ship(f)
}

func (p *pipe) ship(f *frameJob) error {
	f.done = make(chan struct{})
	if err := send(p, p.frames, f); err != nil {
		return err
	}
	return send(p, p.work, func(w *worker) {
		defer close(f.done)
		f.frame, f.err = w.codec.Encode(f.kind, f.typ, f.plain, w.pack)
		w.pack = f.frame.Detach()
		p.recycle(f.plain)
		f.plain = nil
	})
}

// recycle gives a buffer back unless one huge line made it grow.
func (p *pipe) recycle(b []byte) {
	if cap(b) > 2*archive.FrameBytes {
		return
	}
	select {
	case p.bufs <- b[:0]:
	default:
	}
}

// manyLines is how many lines a list has room for that is used again.
const manyLines = 4096

// recycleLines gives a list of lines back whose lines are in their frames.
func (p *pipe) recycleLines(l []line) {
	if cap(l) > manyLines {
		return
	}
	clear(l) // it holds on to no attachment
	select {
	case p.lines <- l[:0]:
	default:
	}
}

// newLines returns an empty list of lines.
func (p *pipe) newLines() []line {
	select {
	case l := <-p.lines:
		return l
	default:
		return nil
	}
}

// buffer returns an empty frame buffer.
func (p *pipe) buffer() []byte {
	select {
	case b := <-p.bufs:
		return b
	default:
		return make([]byte, 0, archive.FrameBytes+4096)
	}
}

// seal ships every open frame and then the boundary.
func (a *assembler) seal(flush *flushJob) error {
	for _, k := range sortedKeys(a.open) {
		if err := a.ship(k, a.open[k]); err != nil {
			return err
		}
	}
	if flush != nil && flush.end != nil && len(flush.end.pack.Lines) > 0 {
		plain, err := journalFrame(flush.end.pack)
		if err != nil {
			return err
		}
		f := &frameJob{kind: archive.Ours, typ: "AuditEvent", plain: plain}
		if err := a.p.ship(f); err != nil {
			return err
		}
	}
	job := &frameJob{seal: &sealJob{progress: a.progress, listed: a.listed, bad: a.bad, flush: flush}}
	a.progress, a.listed, a.bad = map[string]json.RawMessage{}, nil, nil
	a.lines, a.seen, a.began = 0, 0, a.p.run.m.now()
	return send(a.p, a.p.frames, job)
}
