package store

import (
	"errors"
	"fmt"
	"time"
)

// ErrTooEarly says that the mirror has nothing from before a time: its first copy
// is later.
var ErrTooEarly = errors.New("the mirror has no copy from that time")

// A TooEarlyError says when the first copy was finished; the zero time if none
// ever was. It wraps ErrTooEarly.
type TooEarlyError struct{ First time.Time }

// Error implements error.
func (e *TooEarlyError) Error() string {
	if e.First.IsZero() {
		return "no copy was ever finished"
	}
	return fmt.Sprintf("the first copy was finished on %s", e.First.Local().Format("2006-01-02 at 15:04"))
}

// Unwrap makes errors.Is(err, ErrTooEarly) true.
func (e *TooEarlyError) Unwrap() error { return ErrTooEarly }

// AsOfTime returns the mirror as it stood at t: what the last pull that was closed
// at or before t brought, and those before it. A label of time chooses the run;
// what counts follows from its number (I8). If there is no such run the error is a
// *TooEarlyError.
func (m *Mirror) AsOfTime(t time.Time) (*Snapshot, RunInfo, error) {
	runs, err := m.Runs()
	if err != nil {
		return nil, RunInfo{}, err
	}
	var first time.Time
	for _, r := range runs { // newest first
		if r.Closing == 0 || r.Kind != "sync" {
			continue
		}
		if !r.Ended.After(t) {
			s, err := m.AsOf(r.Number)
			return s, r, err
		}
		first = r.Ended
	}
	return nil, RunInfo{}, &TooEarlyError{first}
}
