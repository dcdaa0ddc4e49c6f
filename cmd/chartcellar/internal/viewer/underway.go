package viewer

import (
	"context"
	"strconv"
	"sync"

	"chartcellar/store/access"
)

// What is underway are the requests of each session that are being answered: what a long
// file still shows must end when its session is locked or over, and with the emergency
// access under which it began.
type underway struct {
	// mu covers what follows.
	mu sync.Mutex
	of map[string]map[*request]context.CancelCauseFunc
}

// sessionName names a session, also after it has got another token.
func sessionName(s access.Session) string {
	return s.Account.ID + " " + strconv.FormatInt(s.Created.UnixNano(), 10)
}

// begin notes a request, whose context ends with what it may show; done forgets it.
func (u *underway) begin(r *request) (done func()) {
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := func() {}
	if r.session.Emergency != "" {
		ctx, stop = context.WithTimeoutCause(ctx, r.session.Until.Sub(r.now), access.ErrNoSession)
	}
	r.Request = r.WithContext(ctx)
	name := sessionName(r.session)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of == nil {
		u.of = map[string]map[*request]context.CancelCauseFunc{}
	}
	if u.of[name] == nil {
		u.of[name] = map[*request]context.CancelCauseFunc{}
	}
	u.of[name][r] = cancel
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		stop()
		cancel(nil)
		if delete(u.of[name], r); len(u.of[name]) == 0 {
			delete(u.of, name)
		}
	}
}

// end ends all that a session has under way, but the request that asks for it.
func (u *underway) end(by *request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for r, cancel := range u.of[sessionName(by.session)] {
		if r != by {
			cancel(access.ErrNoSession)
		}
	}
}

// ended says that what a request may show is over, if that is why it failed.
func ended(r *request, err error) error {
	if err != nil && context.Cause(r.Context()) == access.ErrNoSession {
		return access.ErrNoSession
	}
	return err
}
