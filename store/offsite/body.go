package offsite

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"chartcellar/store/disk"
)

// checkName refuses what is not the name of a file at a place.
func checkName(name string) error {
	for part := range strings.SplitSeq(name, "/") {
		if !goodPart(part) || strings.HasSuffix(part, disk.TempSuffix) {
			return fmt.Errorf("%q is not a name for a file of a second copy", name)
		}
	}
	return nil
}

// checkFolder is checkName for a folder, where "" is the root.
func checkFolder(name string) error {
	if name == "" {
		return nil
	}
	return checkName(name)
}

// checkProbe is checkName for what a test may overwrite and delete.
func checkProbe(name string) error {
	if !strings.HasPrefix(name, "probe/") {
		return fmt.Errorf("%q is not a name for a probe", name)
	}
	return checkName(name)
}

func goodPart(part string) bool {
	for i, c := range []byte(part) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '-' && c != '_') {
			return false
		}
	}
	return part != ""
}

// A body reads exactly size bytes. Its last byte comes only once it is known that
// nothing follows, so that nobody who was told the size can take a longer one for
// whole. It ends with ctx.
type body struct {
	ctx  context.Context
	r    io.Reader
	left int64
}

var (
	errShort = errors.New("the file is shorter than was said")
	errLong  = errors.New("the file is longer than was said")
)

// A sourceError is one of what was to be put, not of the place.
type sourceError struct{ error }

// Unwrap returns the error.
func (e *sourceError) Unwrap() error { return e.error }

// Read implements io.Reader. What fails is a sourceError.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.read(p)
	if err != nil && err != io.EOF {
		err = &sourceError{err}
	}
	return n, err
}

func (b *body) read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.left == 0 {
		return 0, b.end()
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if b.left == 0 {
		if err := b.end(); err != io.EOF {
			return 0, err
		}
		return n, io.EOF
	}
	if err == io.EOF {
		err = errShort
	}
	return n, err
}

// end says that nothing follows with io.EOF.
func (b *body) end() error {
	var one [1]byte
	n, err := io.ReadFull(b.r, one[:])
	if n > 0 {
		return errLong
	}
	return err
}

// A claims keeps two goroutines from writing to one temporary name: whoever comes
// second waits.
type claims struct {
	mu    sync.Mutex
	taken map[string]chan struct{} // closed when the name is free again
}

// take returns when the name is the caller's, who must call free.
func (c *claims) take(ctx context.Context, name string) (free func(), err error) {
	for {
		c.mu.Lock()
		wait, taken := c.taken[name]
		if !taken {
			if c.taken == nil {
				c.taken = map[string]chan struct{}{}
			}
			mine := make(chan struct{})
			c.taken[name] = mine
			c.mu.Unlock()
			return func() { c.free(name, mine) }, nil
		}
		c.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *claims) free(name string, mine chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.taken, name)
	close(mine)
}

// newTag returns what tells this program's temporary files from those of another that
// writes to the same place.
func newTag() string { return strings.ToLower(rand.Text()[:8]) }

// tempName is what a file is called until it is whole.
func tempName(name, tag string) string { return name + "." + tag + disk.TempSuffix }

// isTemp reports whether a name without its folder is a tempName.
func isTemp(base string) bool {
	stem, ok := strings.CutSuffix(base, disk.TempSuffix)
	at := strings.LastIndexByte(stem, '.')
	return ok && at > 0 && goodPart(stem[:at]) && len(stem[at+1:]) == 8 &&
		strings.Trim(stem[at+1:], "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// isOurs reports whether an error says already why something did not happen.
func isOurs(err error) bool {
	var source *sourceError
	if errors.As(err, &source) {
		return true
	}
	for _, e := range []error{ErrExists, ErrAway, ErrDenied, ErrFull, ErrReadOnly, ErrTooLarge, ErrFaulty, ErrInTheWay,
		context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// because names what failed, and its kind if it has one.
func because(verb, name string, kind, err error) error {
	if kind == nil {
		return fmt.Errorf("%s %q at the second copy: %w", verb, name, err)
	}
	return fmt.Errorf("%s %q: %w: %w", verb, name, kind, err)
}
