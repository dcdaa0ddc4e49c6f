package access_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chartcellar/store/access"
)

// TestSessionLife follows one session through its times.
func TestSessionLife(t *testing.T) {
	o := staffed(t)
	token := o.in("doris", doctorPassword)
	o.pass(9*time.Minute + 59*time.Second)
	s, err := o.a.Use(token)
	want(t, "Use after 9:59", err, nil)
	if got := s.LocksAt.Sub(o.now); got != 10*time.Minute {
		t.Errorf("LocksAt is in %s, want 10m", got)
	}
	o.pass(9 * time.Minute)
	_, err = o.a.Look(token)
	want(t, "Look after 9 min", err, nil)
	o.pass(time.Minute)
	if s, err = o.a.Use(token); s.Account.Name != "doris" || s.Can(access.SeeStatus) || s.Can(access.ChangePassword) {
		t.Errorf("a locked session is %q and may do something", s.Account.Name)
	}
	want(t, "Use 10 min after a Use, with a Look between", err, access.ErrSessionLocked)
	_, _, err = o.a.StepUp(t.Context(), token, doctorPassword)
	want(t, "StepUp of a locked session", err, access.ErrSessionLocked)
	_, _, err = o.a.Unlock(t.Context(), token, managerPassword)
	want(t, "Unlock with another's password", err, access.ErrWrong)
	next, s, err := o.a.Unlock(t.Context(), token, doctorPassword)
	want(t, "Unlock", err, nil)
	if s.Locked || next == token {
		t.Error("Unlock gave the same token, or a locked session")
	}
	_, err = o.a.Use(token)
	want(t, "Use of the old token", err, access.ErrNoSession)
	for range 12 * 8 {
		o.pass(8 * time.Minute)
		if _, err = o.a.Use(next); err != nil {
			break
		}
	}
	want(t, "Use every 8 min for 12 h", err, access.ErrNoSession)
	if got := o.now.Sub(s.Created); got < access.AbsoluteTime || got > access.AbsoluteTime+8*time.Minute {
		t.Errorf("it ended after %s", got)
	}
	_, _, err = o.a.Unlock(t.Context(), next, doctorPassword)
	want(t, "Unlock after the end", err, access.ErrNoSession)
}

// TestStepUp: what opens doors for others needs a password of the last 5 min.
func TestStepUp(t *testing.T) {
	o := staffed(t)
	token := o.in("olivia", ownerPassword)
	_, err := o.a.Allow(token, access.ManageAccounts)
	want(t, "Allow right after SignIn", err, nil)
	o.pass(access.StepUpTime)
	_, err = o.a.Allow(token, access.SeeCharts)
	want(t, "Allow to see charts after 5 min", err, nil)
	_, err = o.a.Allow(token, access.ManageAccounts)
	want(t, "Allow to manage accounts after 5 min", err, access.ErrStepUp)
	_, err = o.a.Create(t.Context(), token, access.NewAccount{Name: "nina", Role: access.IT, Password: itPassword})
	want(t, "Create after 5 min", err, access.ErrStepUp)
	next, _, err := o.a.StepUp(t.Context(), token, ownerPassword)
	want(t, "StepUp", err, nil)
	_, err = o.a.Look(token)
	want(t, "Look at the old token", err, access.ErrNoSession)
	_, err = o.a.Allow(next, access.ManageAccounts)
	want(t, "Allow after StepUp", err, nil)
	_, err = o.a.Allow(o.in("ivan", itPassword), access.ManageAccounts)
	want(t, "Allow to somebody who may not", err, access.ErrDenied)
}

// TestOfficeKey: it is there exactly while somebody who may see charts is signed
// in and not locked.
func TestOfficeKey(t *testing.T) {
	o := staffed(t)
	held := func(what string, n int) {
		t.Helper()
		if got := o.a.Held(); got != n || o.unlocked != (n > 0) {
			t.Errorf("%s: Held = %d, want %d; unlocked %v", what, got, n, o.unlocked)
		}
	}
	held("nobody", 0)
	mark := o.in("mark", managerPassword)
	held("a manager", 0)
	olivia, doris := o.in("olivia", ownerPassword), o.in("doris", doctorPassword)
	held("an owner and a doctor", 2)
	want(t, "Lock", o.a.Lock(olivia), nil)
	held("one of them locked", 1)
	o.a.SignOut(doris)
	held("the other signed out", 0)
	_, _, err := o.a.Unlock(t.Context(), olivia, ownerPassword)
	want(t, "Unlock", err, nil)
	held("unlocked again", 1)
	o.pass(time.Hour)
	held("an hour later", 0)
	_, err = o.a.Look(mark)
	want(t, "Look", err, access.ErrSessionLocked)

	o.broken["open"] = errors.New("key of another mirror")
	_, _, err = o.a.SignIn(t.Context(), "doris", doctorPassword, "x")
	want(t, "SignIn when the mirror does not open", err, o.broken["open"])
	held("nobody got in", 0)
	delete(o.broken, "open")
	o.in("doris", doctorPassword)
	held("a doctor", 1)
	o.close()
	if o.unlocked {
		t.Error("Close left the office key")
	}
}

// TestRunSweeps: a session nobody asks for locks by itself, in time.
func TestRunSweeps(t *testing.T) {
	o := staffed(t)
	o.in("doris", doctorPassword)
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- o.a.Run(ctx) }()
		o.pass(access.DefaultIdle)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		o.mu.Lock()
		if o.unlocked {
			t.Error("the office key is still there")
		}
		o.mu.Unlock()
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestIdleTimes(t *testing.T) {
	o := staffed(t)
	owner := o.in("olivia", ownerPassword)
	want(t, "SetIdle of 1 min", o.a.SetIdle(owner, access.Doctor, time.Minute), access.ErrIdle)
	want(t, "SetIdle of 31 min", o.a.SetIdle(owner, access.Doctor, 31*time.Minute), access.ErrIdle)
	want(t, "SetIdle of no role", o.a.SetIdle(owner, "cat", 5*time.Minute), access.ErrBadRole)
	want(t, "SetIdle by a doctor", o.a.SetIdle(o.in("doris", doctorPassword), access.Doctor, 5*time.Minute), access.ErrDenied)
	want(t, "SetIdle", o.a.SetIdle(owner, access.Doctor, access.MinIdle), nil)
	doris := o.in("doris", doctorPassword)
	o.pass(access.MinIdle)
	_, err := o.a.Use(doris)
	want(t, "Use by a doctor", err, access.ErrSessionLocked)
	_, err = o.a.Use(owner)
	want(t, "Use by an owner", err, nil)
	o.close()
	o.open()
	if d, err := o.a.Idle(access.Doctor); d != access.MinIdle || err != nil {
		t.Errorf("Idle after a restart = %s, %v", d, err)
	}
}

// TestRestart: sessions are there again, locked, without step-up and emergency;
// those whose account changed are not.
func TestRestart(t *testing.T) {
	o := staffed(t)
	doris, ivan, owner := o.in("doris", doctorPassword), o.in("ivan", itPassword), o.in("olivia", ownerPassword)
	o.close()
	o.open()
	for name, token := range map[string]string{"doris": doris, "ivan": ivan, "olivia": owner} {
		s, err := o.a.Use(token)
		want(t, "Use by "+name, err, access.ErrSessionLocked)
		if s.Account.Name != name || !s.StepUp.IsZero() {
			t.Errorf("the session is %q, step-up %s", s.Account.Name, s.StepUp)
		}
	}
	if n := o.a.Held(); n != 0 || o.unlocked {
		t.Errorf("Held = %d after a restart", n)
	}
	owner, _, err := o.a.Unlock(t.Context(), owner, ownerPassword)
	want(t, "Unlock", err, nil)
	_, err = o.a.ResetPassword(t.Context(), owner, o.account("doris").ID, "given for a new day")
	want(t, "ResetPassword", err, nil)
	o.pass(access.AbsoluteTime - time.Second)
	o.close()
	o.open()
	_, err = o.a.Look(doris)
	want(t, "Look at a session of an earlier password", err, access.ErrNoSession)
	_, err = o.a.Look(ivan)
	want(t, "Look a second before the end", err, access.ErrSessionLocked)
	o.pass(time.Second)
	o.close()
	o.open()
	_, err = o.a.Look(ivan)
	want(t, "Look after 12 h", err, access.ErrNoSession)
	o.pass(-24 * time.Hour)
	token := o.in("ivan", itPassword)
	o.pass(-time.Hour)
	o.close()
	o.open()
	_, err = o.a.Look(token)
	want(t, "Look after a restart with the clock set back", err, access.ErrNoSession)
}

// TestSameRefusal: a name that does not exist, a wrong password and a disabled
// account cannot be told apart, neither by the error nor by the time.
func TestSameRefusal(t *testing.T) {
	o := staffed(t)
	_, err := o.a.Disable(t.Context(), o.in("olivia", ownerPassword), o.account("mark").ID)
	want(t, "Disable", err, nil)
	o.close()
	o.work.Floor = 2 * time.Second
	o.open()
	synctest.Test(t, func(t *testing.T) {
		for i, tt := range []struct{ name, password string }{{"nobody", doctorPassword}, {"doris", "wrong wrong wrong"},
			{"ivan", "wrong wrong wrong"}, {"mark", managerPassword}, {"doris", ""}, {"", ""}, {string(make([]byte, 1<<16)), "x"},
			{"ivan", string(make([]byte, 1<<16))}} {
			start := time.Now()
			_, _, err := o.a.SignIn(t.Context(), tt.name, tt.password, fmt.Sprint("10.0.0.", i))
			if !errors.Is(err, access.ErrWrong) || err.Error() != access.ErrWrong.Error() {
				t.Errorf("SignIn(%.10q) = %v", tt.name, err)
			}
			if d := time.Since(start); d != 2*time.Second {
				t.Errorf("SignIn(%.10q) took %s, want 2s", tt.name, d)
			}
		}
	})
	failed := 0
	for _, e := range o.events {
		if e.Code == access.CodeSignInFailed {
			failed++
		}
		if e.Code == access.CodeSignInFailed && e.Target != "" && e.Target != "doris" && e.Target != "ivan" && e.Target != "mark" {
			t.Errorf("the journal names %q", e.Target)
		}
	}
	if failed != 8 {
		t.Errorf("%d lines of failed sign-ins, want 8", failed)
	}
}

// TestWaitsGrow, for names that exist and for others alike, whatever address.
func TestWaitsGrow(t *testing.T) {
	for _, name := range []string{"doris", "nobody"} {
		o := staffed(t)
		var waits []time.Duration
		for i := 0; i < 400 && len(waits) < 12; i++ {
			_, _, err := o.a.SignIn(t.Context(), name, "wrong wrong wrong", fmt.Sprint("address ", i))
			var limit *access.LimitError
			if errors.As(err, &limit) {
				waits = append(waits, limit.Wait)
				o.pass(limit.Wait)
			} else if !errors.Is(err, access.ErrWrong) {
				t.Fatalf("SignIn = %v", err)
			}
		}
		for i, w := range waits {
			if i > 0 && w < waits[i-1] || w > 5*time.Minute || w < time.Second {
				t.Errorf("%s: waits = %v", name, waits)
				break
			}
		}
		if len(waits) < 12 || waits[8] < 4*time.Minute {
			t.Errorf("%s: waits = %v: they do not grow", name, waits)
		}
		o.pass(5 * time.Minute)
		o.in("doris", doctorPassword) // never locked out for good
	}
}

func TestLimits(t *testing.T) {
	t.Run("one address, many names", func(t *testing.T) {
		o := staffed(t)
		tried := 0
		for i := range 1000 {
			_, _, err := o.a.SignIn(t.Context(), fmt.Sprint("name", i), "wrong wrong wrong", "10.6.6.6")
			if errors.Is(err, access.ErrWrong) {
				tried++
			}
			o.pass(time.Second)
		}
		if tried > 30 {
			t.Errorf("%d attempts in 1000 s", tried)
		}
		o.in("doris", doctorPassword) // from elsewhere
	})
	t.Run("a good sign-in does not clear the address", func(t *testing.T) {
		o := staffed(t)
		tried := 0
		for i := range 100 {
			if _, _, err := o.a.SignIn(t.Context(), fmt.Sprint("name", i), "wrong wrong wrong", "10.6.6.6"); errors.Is(err, access.ErrWrong) {
				tried++
			}
			o.a.SignIn(t.Context(), "ivan", itPassword, "10.6.6.6")
		}
		if tried > 11 {
			t.Errorf("%d attempts at once", tried)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		o := staffed(t)
		var wg sync.WaitGroup
		var mu sync.Mutex
		tried := 0
		for i := range 60 {
			wg.Go(func() {
				_, _, err := o.a.SignIn(t.Context(), "doris", "wrong wrong wrong", fmt.Sprint(i))
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, access.ErrWrong) {
					tried++
				}
			})
		}
		wg.Wait()
		if tried > 5 {
			t.Errorf("%d of 60 were checked, want at most 5", tried)
		}
	})
	t.Run("a session is no way around", func(t *testing.T) {
		o := staffed(t)
		token := o.in("ivan", itPassword)
		var err error
		for range 6 {
			_, _, err = o.a.StepUp(t.Context(), token, "wrong wrong wrong")
		}
		want(t, "the sixth StepUp", err, access.ErrTooMany)
	})
	t.Run("a fault of ours counts for nobody", func(t *testing.T) {
		o := staffed(t)
		o.broken["slot"] = errors.New("cannot be read")
		for range 50 {
			_, _, err := o.a.SignIn(t.Context(), "doris", doctorPassword, "x")
			want(t, "SignIn", err, o.broken["slot"])
		}
	})
}

// TestSessionsAndEndAll: who sees and ends whose.
func TestSessionsAndEndAll(t *testing.T) {
	o := staffed(t)
	owner, doris, other, ivan := o.in("olivia", ownerPassword), o.in("doris", doctorPassword), o.in("doris", doctorPassword), o.in("ivan", itPassword)
	if list, err := o.a.Sessions(owner); err != nil || len(list) != 4 {
		t.Errorf("Sessions of an owner = %d, %v", len(list), err)
	}
	if list, err := o.a.Sessions(doris); err != nil || len(list) != 2 {
		t.Errorf("Sessions of a doctor = %d, %v", len(list), err)
	}
	id := o.account("doris").ID
	want(t, "EndAll by IT", o.a.EndAll(ivan, id), access.ErrDenied)
	want(t, "EndAll of one's own", o.a.EndAll(doris, id), nil)
	_, err := o.a.Use(other)
	want(t, "Use of the other one", err, access.ErrNoSession)
	_, err = o.a.Use(doris)
	want(t, "Use of the one that asked", err, nil)
	want(t, "EndAll by an owner", o.a.EndAll(owner, id), nil)
	_, err = o.a.Use(doris)
	want(t, "Use", err, access.ErrNoSession)
	if o.a.Held() != 1 {
		t.Error("the owner's session is gone")
	}
	next, _, err := o.a.ChangePassword(t.Context(), ivan, itPassword, "another four words apart")
	want(t, "ChangePassword", err, nil)
	_, err = o.a.Use(ivan)
	want(t, "Use of the token of before", err, access.ErrNoSession)
	_, err = o.a.Use(next)
	want(t, "Use", err, nil)
	_, _, err = o.a.ChangePassword(t.Context(), next, "another four words apart", "another four words apart")
	want(t, "ChangePassword to the same", err, access.ErrSamePassword)
	_, _, err = o.a.ChangePassword(t.Context(), next, "wrong wrong wrong", "yet other four words")
	want(t, "ChangePassword with a wrong one", err, access.ErrWrong)
}

// TestManyAtOnce lets everything happen at the same time, for the race detector;
// at the end the office key is there if and only if somebody holds it.
func TestManyAtOnce(t *testing.T) {
	o := staffed(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name, password := "doris", doctorPassword
			if i%2 == 0 {
				name, password = "ivan", itPassword
			}
			for j := range 5 {
				token, _, err := o.a.SignIn(t.Context(), name, password, fmt.Sprint(i))
				if err != nil {
					continue // its turn did not come
				}
				o.a.Use(token)
				o.a.Lock(token)
				if next, _, err := o.a.Unlock(t.Context(), token, password); err == nil && j%2 == 0 {
					o.a.SignOut(next)
				}
				o.a.Sweep()
			}
		})
	}
	wg.Wait()
	if n := o.a.Held(); (n > 0) != o.unlocked {
		t.Errorf("Held = %d, unlocked %v", n, o.unlocked)
	}
}
