package offsite

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

// slowest is the least a limit can be: below it a server would take us for dead.
const slowest = 4 << 10

// Limit returns p with a limit to what it puts and gets in a second, over all that goes
// on at a time. A limit of 0 or less is none; one below 4 KiB is 4 KiB. What it returns
// is a Prober, a Sparer and a Room as p is; closing it closes p.
func Limit(p Place, bytesPerSecond int64) Place {
	if bytesPerSecond <= 0 {
		return p
	}
	bytesPerSecond = max(bytesPerSecond, slowest)
	l := &limited{p, rate.NewLimiter(rate.Limit(bytesPerSecond), int(min(bytesPerSecond/4, 1<<20)))}
	prober, probes := p.(Prober)
	sparer, spares := p.(Sparer)
	switch {
	case probes && spares:
		return struct {
			*limited
			Prober
			Sparer
		}{l, prober, sparer}
	case probes:
		return struct {
			*limited
			Prober
		}{l, prober}
	}
	return l
}

type limited struct {
	Place
	pace *rate.Limiter
}

// Put implements Place.
func (l *limited) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	p := &paced{ctx, body, l.pace}
	if f, ok := body.(file); ok {
		return l.Place.Put(ctx, name, size, &pacedFile{f, p})
	}
	return l.Place.Put(ctx, name, size, p)
}

// Get implements Place.
func (l *limited) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := l.Place.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{&paced{ctx, r, l.pace}, r}, nil
}

// Free implements Room.
func (l *limited) Free(ctx context.Context) (free, total int64, known bool) {
	if r, ok := l.Place.(Room); ok {
		return r.Free(ctx)
	}
	return 0, 0, false
}

// A paced reader gives no more than its pace allows.
type paced struct {
	ctx  context.Context
	r    io.Reader
	pace *rate.Limiter
}

// Read implements io.Reader.
func (p *paced) Read(b []byte) (int, error) {
	n, err := p.r.Read(b[:min(len(b), p.pace.Burst())])
	if werr := p.pace.WaitN(p.ctx, n); werr != nil {
		if p.ctx.Err() != nil {
			werr = p.ctx.Err()
		} else {
			werr = context.DeadlineExceeded // it would come before our turn
		}
		return 0, werr
	}
	return n, err
}

// A file can be read more than once.
type file interface {
	io.Reader
	io.ReaderAt
	io.Seeker
}

// A pacedFile is paced where it is read on.
type pacedFile struct {
	file
	paced *paced
}

// Read implements io.Reader.
func (p *pacedFile) Read(b []byte) (int, error) { return p.paced.Read(b) }

// unpaced returns the file that a reader is, or nil, to read it without sending it; and
// what sets the pace of what is sent.
func unpaced(r io.Reader) (f file, pace func(io.Reader) io.Reader) {
	switch r := r.(type) {
	case *pacedFile:
		return r.file, func(of io.Reader) io.Reader { return &paced{r.paced.ctx, of, r.paced.pace} }
	case file:
		return r, func(of io.Reader) io.Reader { return of }
	}
	return nil, nil
}
