package charts

import (
	"context"
	"sync"
	"time"
)

// turns let what is read in the background wait while a page is made: the page looks
// through the patients on all processors.
type turns struct {
	// mu covers what follows.
	mu    sync.Mutex
	pages int           // that are being made
	none  chan struct{} // closed when they are made; nil: there are none
	ours  time.Time     // until when the background need not wait
}

// longestTurn is how long the background waits at once, and then works: it comes to its
// end beside pages that never do.
const longestTurn = 100 * time.Millisecond

// page says that a page is being made until done is called.
func (t *turns) page() (done func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pages++; t.pages == 1 {
		t.none = make(chan struct{})
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.pages--; t.pages == 0 {
			close(t.none)
			t.none = nil
		}
	}
}

// wait returns when no page is being made, or it has waited long enough.
func (t *turns) wait(ctx context.Context) {
	t.mu.Lock()
	none, ours := t.none, t.ours
	t.mu.Unlock()
	if none == nil || time.Now().Before(ours) {
		return
	}
	select {
	case <-none:
	case <-ctx.Done():
	case <-time.After(longestTurn):
		t.mu.Lock()
		defer t.mu.Unlock()
		t.ours = time.Now().Add(longestTurn)
	}
}
