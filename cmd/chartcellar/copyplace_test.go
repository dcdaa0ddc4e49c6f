package main

import (
	"fmt"
	"strings"
	"testing"

	"chartcellar/store/offsite"
)

// TestExplainCopy: whatever a place of a second copy says is a sentence of its own, with
// what is lost and what to do.
func TestExplainCopy(t *testing.T) {
	other := &offsite.HostKeyError{Addr: "nas.example:22", Want: "SHA256:old", Offered: "SHA256:new"}
	seen := map[string]bool{}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{offsite.ErrAway, "cannot be reached"},
		{offsite.ErrDenied, "refuses the sign-in"},
		{fmt.Errorf("sign in to nas.example:22: %w", other), "SHA256:new. No password was sent"},
		{offsite.ErrFull, "no room left"},
		{offsite.ErrTooLarge, "cannot hold a file as large"},
		{offsite.ErrReadOnly, "read-only"},
		{offsite.ErrFaulty, "has a fault"},
		{offsite.ErrInTheWay, "needs a folder of its own"},
		{offsite.ErrNoRoom, "does not fit"},
	} {
		p := explain(fmt.Errorf("put \"parts/1\": %w", tt.err))
		if !strings.Contains(p.What, tt.want) || seen[p.What] || !strings.HasPrefix(p.Lost, "Nothing is lost") || p.Next == "" {
			t.Errorf("explain(%v) = %+v", tt.err, p)
		}
		seen[p.What] = true
	}
	if !permanent(offsite.ErrTooLarge) || permanent(offsite.ErrAway) {
		t.Error("what is too large is tried again, or what is away is not")
	}
}
