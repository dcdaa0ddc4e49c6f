package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// ErrBroken says that lines were changed or are missing.
var ErrBroken = errors.New("the journal is not whole")

// blockBytes is how much of a segment is read at once; a line that is longer makes
// it grow up to lineBytes.
const (
	blockBytes = 64 << 10
	lineBytes  = 64 << 20
)

// Back calls fn with the lines that are in no part yet and have a number below
// before (0: with all), newest first and each number once. What is no line is left
// out. If fn returns an error Back ends with it; raw, the line as it was written, is
// valid during the call.
//
// Lines that get into a part meanwhile may be left out, but then so are all older
// ones: who wants them reads on in the parts, below the last number that came. Back
// keeps one block of a segment in memory, and nobody who appends waits for fn.
func (j *Journal) Back(ctx context.Context, before int64, fn func(raw []byte, l Line) error) error {
	s, err := j.shape()
	if err != nil {
		return err
	}
	w := &walk{j: j, below: before, fn: fn}
	for _, e := range slices.Backward(s.segments) {
		err := w.segment(ctx, e)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it is in a part now, and so are those before it
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A shape is what of the journal is durable at one moment.
type shape struct {
	segments []extent
	seq      int64 // of the newest line
	prev     string
}

// An extent is a segment, up to the last byte that counts.
type extent struct {
	n     int
	size  int64
	grows bool // this process writes it
	info  fs.FileInfo
}

func (j *Journal) shape() (s shape, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s.seq, s.prev = j.seq, j.prev
	names, err := j.segments()
	if err != nil {
		return s, err
	}
	for _, n := range names {
		info, err := j.fs.Stat(j.path(n))
		if err != nil {
			return s, fmt.Errorf("look at a journal segment: %w", err)
		}
		e := extent{n: n, size: info.Size(), info: info}
		if n == j.written {
			e.size, e.grows = j.end, true // what is behind it nobody was told of
		}
		s.segments = append(s.segments, e)
	}
	return s, nil
}

// block reads bytes of a segment; fewer if it was cut meanwhile.
func (j *Journal) block(n int, from, to int64) ([]byte, error) {
	j.reading.RLock()
	defer j.reading.RUnlock()
	f, err := j.fs.Open(j.path(n))
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	defer f.Close() // read only
	b := make([]byte, to-from)
	got, err := f.ReadAt(b, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	return b[:got], nil
}

// A walk goes through the lines from the newest to the oldest.
type walk struct {
	j     *Journal
	below int64 // numbers that are still to come; 0: all
	fn    func(raw []byte, l Line) error
}

// segment calls fn with the lines of one segment.
func (w *walk) segment(ctx context.Context, e extent) error {
	end, err := w.start(ctx, e)
	if err != nil {
		return err
	}
	for size := int64(blockBytes); end > 0; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		from := max(0, end-size)
		b, err := w.j.block(e.n, from, end)
		if err != nil {
			return err
		}
		first := 0 // of the first whole line
		if from > 0 {
			first = bytes.IndexByte(b, '\n') + 1
			if first == 0 || first == len(b) {
				if size *= 2; size > lineBytes {
					return fmt.Errorf("a journal line is longer than %d bytes: %w", lineBytes, ErrBroken)
				}
				continue
			}
		}
		if err := w.lines(b[first:]); err != nil {
			return err
		}
		end, size = from+int64(first), blockBytes
	}
	return nil
}

// lines calls fn with the lines of a block, the last first. What stands behind the
// last end of a line is none.
func (w *walk) lines(b []byte) error {
	b = b[:bytes.LastIndexByte(b, '\n')+1]
	for len(b) > 0 {
		at := bytes.LastIndexByte(b[:len(b)-1], '\n') + 1
		raw, l, ok := parse(b[at : len(b)-1])
		b = b[:at]
		if !ok || w.below > 0 && l.Seq >= w.below {
			continue // a number that comes again was written in vain the first time
		}
		w.below = l.Seq
		if err := w.fn(raw, l); err != nil {
			return err
		}
	}
	return nil
}

// parse reads a line as it stands in a segment, without its end.
func parse(b []byte) (raw []byte, l Line, ok bool) {
	raw, whole := unsigned(b)
	return raw, l, whole && json.Unmarshal(raw, &l) == nil
}

// start returns where in a segment the lines end that are still to come, or a bit
// behind that: it halves the segment until a block is left.
func (w *walk) start(ctx context.Context, e extent) (int64, error) {
	end, low, high := e.size, int64(0), e.size
	for w.below > 0 && high-low > blockBytes {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		mid := (low + high) / 2
		at, seq, err := w.lineIn(e.n, mid, high)
		switch {
		case err != nil:
			return 0, err
		case at < 0:
			high = mid
		case seq >= w.below:
			end, high = at, mid
		default:
			low = at
		}
	}
	return end, nil
}

// lineIn returns the place and the number of the first line that begins behind from
// and ends before to; a place of -1 if there is none.
func (w *walk) lineIn(n int, from, to int64) (at, seq int64, err error) {
	for size := int64(blockBytes / 8); ; size *= 4 {
		size = min(size, to-from)
		b, err := w.j.block(n, from, from+size)
		if err != nil {
			return -1, 0, err
		}
		for i := bytes.IndexByte(b, '\n') + 1; i > 0 && i < len(b); {
			k := bytes.IndexByte(b[i:], '\n')
			if k < 0 {
				break
			}
			if _, l, ok := parse(b[i : i+k]); ok {
				return from + int64(i), l.Seq, nil
			}
			i += k + 1
		}
		if size == to-from {
			return -1, 0, nil
		}
	}
}
