package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"
)

// A Chain is what Check found.
type Chain struct {
	Newest int64 // number of the newest line, wherever it is; 0: there is none
	Lines  int64 // that are in no part and were checked
	// Wrong is the number of the first line that was changed, is missing, or does not
	// continue the one before; 0: there is none.
	Wrong int64
	At    time.Time // when the oldest of what counts here was read; zero: nothing was
}

// checkAgain is how long the content of a segment counts as checked while nothing
// tells of a change.
const checkAgain = time.Minute

// Check checks the chain of the lines that are in no part, from the end of what is
// packed to the newest. Packed says where that end is; Check calls it once, after it
// has looked which lines wait.
//
// A segment that was checked less than a minute ago, and is not newer than that, is
// not read again; of one that has grown only the new lines are. Check needs no key.
func (j *Journal) Check(ctx context.Context, packed func() (seq int64, prev string, err error)) (Chain, error) {
	j.checking.Lock()
	defer j.checking.Unlock()
	for range 3 {
		c, err := j.checkOnce(ctx, packed)
		if !errors.Is(err, fs.ErrNotExist) {
			return c, err
		}
	}
	return Chain{}, errors.New("the journal is packed again and again")
}

func (j *Journal) checkOnce(ctx context.Context, packed func() (int64, string, error)) (c Chain, err error) {
	s, err := j.shape()
	if err != nil {
		return c, err
	}
	seq, prev, err := packed()
	if err != nil {
		return c, err
	}
	old := j.sums
	j.sums = map[int]*sum{}
	l := &links{packed: seq, packedSum: prev, seq: seq, prev: prev}
	for i, e := range s.segments {
		t, err := j.sum(ctx, e, old[e.n])
		if err != nil {
			return c, err
		}
		j.sums[e.n] = t
		l.add(t, i == len(s.segments)-1)
		c.Lines += t.lines
		if c.At.IsZero() || t.read.Before(c.At) {
			c.At = t.read
		}
	}
	if seq <= s.seq && (l.seq != s.seq || l.prev != s.prev) {
		l.wrongAt(s.seq) // the newest line is not the one that was written last
	}
	c.Wrong, c.Newest = l.wrong, s.seq
	return c, nil
}

// A sum is what is known of the content of a segment.
type sum struct {
	size      int64 // read so far: whole lines
	all       int64
	mod       time.Time
	read      time.Time // when its first byte was
	lines     int64
	first     int64 // number
	firstPrev string
	last      int64
	lastPrev  string
	lastSum   string
	wrong     int64 // number of the first line that does not fit; 0: none
	torn      bool
}

// sum reads a segment, or what of it is new.
func (j *Journal) sum(ctx context.Context, e extent, known *sum) (*sum, error) {
	t := &sum{read: j.now()}
	if known != nil && j.now().Sub(known.read) < checkAgain && known.wrong == 0 {
		same := known.all == e.size && known.mod.Equal(e.info.ModTime())
		if same {
			return known, nil
		}
		if e.grows && known.all < e.size {
			grown := *known
			t = &grown
		}
	}
	t.all, t.mod, t.torn = e.size, e.info.ModTime(), false
	for size := int64(4 * blockBytes); t.size < e.size; {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		b, err := j.block(e.n, t.size, min(e.size, t.size+size))
		if err != nil {
			return nil, err
		}
		end := bytes.LastIndexByte(b, '\n') + 1
		if end == 0 {
			if t.size+size < e.size && size < lineBytes {
				size *= 2
				continue
			}
			t.torn = true
			return t, nil
		}
		for rest := b[:end]; len(rest) > 0; {
			at := bytes.IndexByte(rest, '\n')
			t.line(rest[:at])
			rest = rest[at+1:]
		}
		t.size += int64(end)
	}
	return t, nil
}

// line takes in the next line of a segment.
func (t *sum) line(b []byte) {
	raw, seq, prev, ok := link(b)
	if !ok {
		t.wrongAt(t.last + 1)
		return
	}
	if t.lines == 0 {
		t.first, t.firstPrev = seq, prev
	} else if seq != t.last+1 || prev != t.lastSum {
		t.wrongAt(seq)
	}
	t.lines++
	t.last, t.lastPrev, t.lastSum = seq, prev, hash(raw)
}

func (t *sum) wrongAt(n int64) {
	if t.wrong == 0 {
		t.wrong = n
	}
}

// link reads from a line what chains it.
func link(b []byte) (raw []byte, seq int64, prev string, ok bool) {
	raw, whole := unsigned(b)
	if !whole {
		return nil, 0, "", false
	}
	if len(raw) < len(b) { // its check is right: it is as Append wrote it
		if rest, found := bytes.CutPrefix(raw, []byte(`{"seq":`)); found {
			number, rest, _ := bytes.Cut(rest, []byte(`,"prev":"`))
			sum, _, found := bytes.Cut(rest, []byte(`"`))
			if seq, err := strconv.ParseInt(string(number), 10, 64); err == nil && found {
				return raw, seq, string(sum), true
			}
		}
	}
	raw, l, ok := parse(b)
	return raw, l.Seq, l.Prev, ok
}

// links puts the segments one behind the other.
type links struct {
	packed    int64 // number and hash of the last line in a part
	packedSum string
	seq       int64
	prev      string
	last      *sum
	wrong     int64
}

func (l *links) wrongAt(n int64) {
	if l.wrong == 0 || n < l.wrong {
		l.wrong = max(n, 1)
	}
}

func (l *links) add(t *sum, newest bool) {
	if t.wrong > 0 {
		l.wrongAt(max(t.wrong, l.seq+1))
	}
	if newest && t.torn {
		l.wrongAt(max(t.last, l.seq) + 1)
	}
	if t.lines == 0 {
		return
	}
	again := l.last != nil && t.first == l.last.last && t.firstPrev == l.last.lastPrev // written in vain before
	still := t.first <= l.packed && (l.last == nil || l.last.last < l.packed)          // in a part, and here still
	switch {
	case again:
	case still && l.last == nil:
	case still && t.first == l.last.last+1 && t.firstPrev == l.last.lastSum:
	case t.first != l.seq+1 || t.firstPrev != l.prev && l.prev != "":
		l.wrongAt(min(t.first, l.seq+1))
	}
	if t.last == l.packed && t.lastSum != l.packedSum {
		l.wrongAt(t.last)
	}
	l.seq, l.prev, l.last = t.last, t.lastSum, t
}

// Follows reports whether a line, as it was written, is the one that prev, the Prev
// of the line behind it, names.
func Follows(raw []byte, prev string) bool { return hash(raw) == prev }

// Unpack returns the journal line inside a line that AuditEvent made, as it was
// written and read.
func Unpack(event []byte) (raw []byte, l Line, err error) {
	raw, ok := written(event)
	if ok {
		raw, l, ok = parse(raw)
	}
	if !ok {
		return nil, l, fmt.Errorf("a packed journal line cannot be read: %w", ErrBroken)
	}
	return raw, l, nil
}
