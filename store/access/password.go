package access

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"chartcellar/store/keys"
)

// MinPassword and MaxPassword are the lengths of a password, in characters.
const (
	MinPassword = keys.MinPassword
	MaxPassword = 256
)

// Work is what one check of a password costs.
type Work struct {
	Time    uint32 // passes of argon2id
	Memory  uint32 // KiB
	Threads uint8
	Floor   time.Duration // a refusal takes this long, or a whole multiple; <0: no wait
}

// DefaultWork is the work of a practice: 64 MiB and 8 passes, about a quarter of
// a second on the two cores of a small box. The floor is more than a key slot
// takes there, so that the time of a refusal tells nobody whether a name exists
// or what it may see.
func DefaultWork() Work { return Work{Time: 8, Memory: 64 << 10, Threads: 2, Floor: 2 * time.Second} }

// sane bounds what a stored hash may ask for.
func (w Work) sane() bool { return w.Time <= 64 && w.Memory <= 1<<20 && w.Threads <= 16 }

// hash returns the argon2id hash of a password in the usual form.
func (a *Access) hash(password string) string {
	w, salt := a.o.Work, random(16)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, w.Memory, w.Time,
		w.Threads, b64(salt), b64(w.derive(password, salt)))
}

// derive does the work and gives its memory back.
func (w Work) derive(password string, salt []byte) []byte {
	if w.Memory >= 16<<10 {
		defer debug.FreeOSMemory()
	}
	return argon2.IDKey([]byte(norm.NFC.String(password)), salt, w.Time, w.Memory, w.Threads, 32)
}

// fits compares a password with a hash. An empty or foreign hash costs as much
// as a good one and fits nothing.
func (a *Access) fits(hash, password string) bool {
	w, salt, want, ok := parseHash(hash)
	if !ok {
		w, salt, want = a.o.Work, make([]byte, 16), make([]byte, 32)
	}
	same := subtle.ConstantTimeCompare(w.derive(password, salt), want) == 1
	return ok && same
}

// stale reports whether a hash was made with other work than is asked for now.
func (a *Access) stale(hash string) bool {
	w, _, _, ok := parseHash(hash)
	w.Floor = a.o.Work.Floor
	return ok && w != a.o.Work
}

func parseHash(hash string) (w Work, salt, sum []byte, ok bool) {
	f := strings.Split(hash, "$")
	if len(f) != 6 || f[1] != "argon2id" || f[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return w, nil, nil, false
	}
	if _, err := fmt.Sscanf(f[3], "m=%d,t=%d,p=%d", &w.Memory, &w.Time, &w.Threads); err != nil {
		return w, nil, nil, false
	}
	salt, err := base64.RawStdEncoding.DecodeString(f[4])
	if err != nil || w.Time == 0 || w.Threads == 0 || !w.sane() {
		return w, nil, nil, false
	}
	sum, err = base64.RawStdEncoding.DecodeString(f[5])
	return w, salt, sum, err == nil && len(sum) == 32
}

// A turnstile lets one password check through at a time, and few wait.
type turnstile struct{ inside, waiting chan struct{} }

func newTurnstile() turnstile {
	return turnstile{make(chan struct{}, 1), make(chan struct{}, 16)}
}

// enter returns the way out, ErrBusy, or the end of ctx.
func (t turnstile) enter(ctx context.Context) (leave func(), err error) {
	select {
	case t.waiting <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	defer func() { <-t.waiting }()
	select {
	case t.inside <- struct{}{}:
		return func() { <-t.inside }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pad waits until a refusal that began at start may be told.
func (a *Access) pad(ctx context.Context, start time.Time) {
	floor := a.o.Work.Floor
	if floor <= 0 {
		return
	}
	t := time.NewTimer(floor - time.Since(start)%floor)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
