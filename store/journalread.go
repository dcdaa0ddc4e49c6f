package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"chartcellar/store/archive"
	"chartcellar/store/journal"
)

// EachJournalLine calls fn with the lines of the journal that have a number below
// before (0: with all), newest first and each number once, until fn returns an error,
// which EachJournalLine then returns. Line.Note is still encrypted: see OpenNote.
//
// The lines that wait for a part need no key. Those in parts do: if the mirror is
// locked and there are any, they are left out and the error is ErrLocked. A part that
// cannot be read is left out, and the error wraps ErrDamaged; if lines that follow
// each other are not chained, or a number is missing, it wraps journal.ErrBroken:
// both come at the end, joined to that of fn. Lines that were declared lost are passed
// over.
//
// It keeps a block of lines in memory, and what the cache of frames keeps anyway;
// it finds where to begin by halving, not by reading all. A run may go on beside it. Of
// a mirror that is only looked at, the lines in parts are all there is.
func (m *Mirror) EachJournalLine(ctx context.Context, before int64, fn func(journal.Line) error) error {
	w := &journalWalk{m: m, below: before, fn: fn}
	var err error
	if !m.ReadOnly() {
		err = m.journal.Back(ctx, before, w.line)
	}
	if err == nil {
		err = w.parts(ctx)
	}
	if w.broken > 0 {
		err = errors.Join(err, fmt.Errorf("line %d: %w", w.broken, journal.ErrBroken))
	}
	return errors.Join(err, w.damaged)
}

// A journalWalk goes through the journal from the newest line to the oldest.
type journalWalk struct {
	m       *Mirror
	below   int64 // numbers that are still to come; 0: all
	prev    string
	given   bool
	hole    bool // lines were declared lost since the last one
	fn      func(journal.Line) error
	broken  int64
	damaged error
}

// line takes the next line, which may stand in two places.
func (w *journalWalk) line(raw []byte, l journal.Line) error {
	if w.below > 0 && l.Seq >= w.below {
		return nil
	}
	if w.given && w.broken == 0 && !w.hole && (l.Seq != w.below-1 || w.prev != "" && !journal.Follows(raw, w.prev)) {
		w.broken = w.below - 1
	}
	w.below, w.prev, w.given, w.hole = l.Seq, l.Prev, true, false
	return w.fn(l)
}

// parts goes on in the archive.
func (w *journalWalk) parts(ctx context.Context) error {
	end, err := w.m.packedEnd()
	if err != nil || end.Seq == 0 || w.below == 1 {
		return err
	}
	last, ok, err := w.m.index.LastPart()
	if err != nil || !ok {
		return err
	}
	if _, err := w.m.key(); err != nil {
		return err
	}
	n := last.Number
	if w.below > 0 && w.below <= end.Seq {
		if n, err = w.find(ctx, n); err != nil {
			return err
		}
		w.hole = false
	}
	for n > 0 && w.below != 1 {
		var frames []int
		if n, frames, err = w.next(ctx, n, 1); err != nil {
			return err
		}
		for i := len(frames) - 1; i >= 0; i-- {
			if err := w.frame(n, frames[i]); err != nil {
				return err
			}
		}
		if n > 0 {
			n--
		}
	}
	return nil
}

// frame takes the lines of one frame.
func (w *journalWalk) frame(part uint32, n int) error {
	f, err := w.m.frame(part, n)
	if err != nil {
		return w.spoilt(part, err)
	}
	for b := f.plain; len(b) > 0; {
		at := bytes.LastIndexByte(b[:len(b)-1], '\n') + 1
		raw, l, err := journal.Unpack(bytes.TrimSuffix(b[at:], []byte{'\n'}))
		b = b[:at]
		if err != nil {
			if err := w.spoilt(part, err); err != nil {
				return err
			}
			continue
		}
		if err := w.line(raw, l); err != nil {
			return err
		}
	}
	return nil
}

// spoilt notes a part that cannot be read; it returns what must end the walk.
func (w *journalWalk) spoilt(part uint32, err error) error {
	if errors.Is(err, ErrLocked) {
		return err
	}
	if w.damaged == nil {
		w.damaged = fmt.Errorf("read the journal in part %d: %w", part, errors.Join(ErrDamaged, err))
	}
	return nil
}

// next returns the newest part not above n and not below low that holds journal
// lines, and which of its frames do; 0 if there is none.
func (w *journalWalk) next(ctx context.Context, n, low uint32) (uint32, []int, error) {
	for ; n >= low && n > 0; n-- {
		if ctx.Err() != nil {
			return 0, nil, ctx.Err()
		}
		ends, err := w.m.endsRun(n)
		if err != nil {
			return 0, nil, err
		}
		if !ends {
			continue
		}
		p, err := w.m.usePart(n)
		if errors.Is(err, ErrLost) {
			w.hole = true
			continue
		}
		if err != nil {
			if err := w.spoilt(n, err); err != nil {
				return 0, nil, err
			}
			continue
		}
		var frames []int
		for i, f := range p.Footer.Frames {
			if f.Kind == archive.Ours && f.Type == "AuditEvent" {
				frames = append(frames, i)
			}
		}
		w.m.cache.release(p)
		if len(frames) > 0 {
			return n, frames, nil
		}
	}
	return 0, nil, nil
}

// endsRun reports whether a part may be the last of its run, as those with journal
// lines are.
func (m *Mirror) endsRun(n uint32) (bool, error) {
	p, ok, err := m.index.Part(n)
	if err != nil || !ok || p.Lines == 0 {
		return false, err
	}
	behind, ok, err := m.index.Part(n + 1)
	return !ok || behind.Run != p.Run, err
}

// find returns the part to begin in: the oldest whose last line is not older than
// the first that is wanted, or top.
func (w *journalWalk) find(ctx context.Context, top uint32) (uint32, error) {
	low, high := uint32(1), top
	for low < high {
		mid := low + (high-low)/2
		n, last := mid, int64(0)
		for n >= low && n > 0 && last == 0 {
			var frames []int
			var err error
			if n, frames, err = w.next(ctx, n, low); err != nil {
				return 0, err
			}
			if n == 0 {
				break
			}
			if last, err = w.lastIn(n, frames[len(frames)-1]); err != nil {
				return 0, err
			}
			if last == 0 {
				n--
			}
		}
		switch {
		case last == 0:
			low = mid + 1
		case last >= w.below-1:
			high = n
		default:
			low = mid + 1
		}
	}
	return high, nil
}

// lastIn returns the number of the last line of a frame; 0 if it cannot be read.
func (w *journalWalk) lastIn(part uint32, n int) (int64, error) {
	f, err := w.m.frame(part, n)
	if err != nil {
		return 0, w.spoilt(part, err)
	}
	b := bytes.TrimSuffix(f.plain, []byte{'\n'})
	_, l, err := journal.Unpack(b[bytes.LastIndexByte(b, '\n')+1:])
	if err != nil {
		return 0, w.spoilt(part, err)
	}
	return l.Seq, nil
}

// packedEnd is where the journal's chain stands in the parts; zero if no line is in
// one.
func (m *Mirror) packedEnd() (p packed, err error) {
	b, err := m.index.Meta("journal")
	if err == nil && b != nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		return p, fmt.Errorf("read where the journal stands: %w", err)
	}
	return p, nil
}

// CheckJournal checks the chain of the journal's lines that wait for a part, and that
// it begins where the one in the parts ends. It needs no key and does not look into
// parts, whose bytes package verify checks. What was checked within a minute and has not changed
// since is not read again. Of a mirror that is only looked at no line waits.
func (m *Mirror) CheckJournal(ctx context.Context) (journal.Chain, error) {
	if m.ReadOnly() {
		p, err := m.packedEnd()
		return journal.Chain{Newest: p.Seq}, err
	}
	return m.journal.Check(ctx, func() (int64, string, error) {
		p, err := m.packedEnd()
		return p.Seq, p.Prev, err
	})
}

// OpenNote returns the free text of a journal line; "" if it has none. It needs a
// key.
func (m *Mirror) OpenNote(l journal.Line) (string, error) {
	if len(l.Note) == 0 {
		return "", nil
	}
	b, err := m.OpenText(l.Note)
	return string(b), err
}

// SealText encrypts a text to the recipients of the mirror, for what is kept outside of
// parts and may name a patient. It needs no key.
func (m *Mirror) SealText(text []byte) ([]byte, error) { return m.seal(text) }

// OpenText returns what SealText encrypted; the error wraps ErrDamaged if it is not that.
// It needs a key.
func (m *Mirror) OpenText(sealed []byte) ([]byte, error) {
	id, err := m.key()
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), id)
	if err != nil {
		return nil, fmt.Errorf("decrypt a note: %w", errors.Join(ErrDamaged, err))
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("decrypt a note: %w", errors.Join(ErrDamaged, err))
	}
	return b, nil
}
