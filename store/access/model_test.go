package access_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chartcellar/store/access"
)

// TestSessionsAgainstModel does random things to sessions and compares each step
// with a plain model of what a session is.
func TestSessionsAgainstModel(t *testing.T) {
	base := staffed(t)
	base.close()
	rapid.Check(t, func(rt *rapid.T) {
		o := base.copyTo(t, base.fs)
		m := &model{o: o, rt: rt, passwords: map[string]string{"olivia": ownerPassword, "doris": doctorPassword,
			"mark": managerPassword, "ivan": itPassword}, idle: map[string]time.Duration{}}
		m.reopen()
		defer func() { o.a.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"": m.compare,
			"sign in": func(rt *rapid.T) {
				name := m.person(rt)
				token, _, err := o.a.SignIn(t.Context(), name, m.passwords[name], fmt.Sprint("address of ", name))
				if m.expect("SignIn", err, nil) {
					m.add(name, token)
				}
			},
			"use":  func(rt *rapid.T) { m.touch(m.pick(rt)) },
			"look": func(rt *rapid.T) { s := m.pick(rt); _, err := o.a.Look(s.token); m.expect("Look", err, m.state(s)) },
			"lock": func(rt *rapid.T) {
				s := m.pick(rt)
				wanted := m.state(s)
				if errors.Is(wanted, access.ErrSessionLocked) {
					wanted = nil // twice is once
				}
				if m.expect("Lock", o.a.Lock(s.token), wanted) {
					s.locked, s.password = true, time.Time{}
				}
			},
			"unlock": func(rt *rapid.T) {
				s := m.pick(rt)
				wanted := m.state(s)
				if errors.Is(wanted, access.ErrSessionLocked) {
					wanted = nil
				}
				next, _, err := o.a.Unlock(t.Context(), s.token, m.passwords[s.name])
				if m.expect("Unlock", err, wanted) {
					m.renew(s, next)
				}
			},
			"step up": func(rt *rapid.T) {
				s := m.pick(rt)
				next, _, err := o.a.StepUp(t.Context(), s.token, m.passwords[s.name])
				if m.expect("StepUp", err, m.state(s)) {
					m.renew(s, next)
				}
			},
			"wrong password": func(rt *rapid.T) {
				s := m.pick(rt)
				wanted := m.state(s)
				if !errors.Is(wanted, access.ErrNoSession) {
					wanted = access.ErrWrong
				}
				_, _, err := o.a.Unlock(t.Context(), s.token, "not the password")
				m.expect("Unlock with a wrong password", err, wanted)
			},
			"sign out": func(rt *rapid.T) { s := m.pick(rt); o.a.SignOut(s.token); s.over = true },
			"change password": func(rt *rapid.T) {
				s := m.pick(rt)
				fresh := fmt.Sprintf("password number %d of them", len(m.sessions)*1000+m.steps)
				if m.state(s) == nil {
					s.seen = o.now // also if too many attempts keep it from happening
				}
				next, _, err := o.a.ChangePassword(t.Context(), s.token, m.passwords[s.name], fresh)
				if m.expect("ChangePassword", err, m.state(s)) {
					m.passwords[s.name] = fresh
					for _, other := range m.sessions {
						other.over = other.over || other.name == s.name && other != s
					}
					m.renew(s, next)
				}
			},
			"end all": func(rt *rapid.T) {
				s := m.pick(rt)
				if m.touchAs("EndAll", s, func() error { return o.a.EndAll(s.token, o.account(s.name).ID) }) {
					for _, other := range m.sessions {
						other.over = other.over || other.name == s.name && other != s
					}
				}
			},
			"set idle": func(rt *rapid.T) {
				s := m.pick(rt)
				name := m.person(rt)
				d := time.Duration(rapid.IntRange(2, 30).Draw(rt, "minutes")) * time.Minute
				wanted := m.state(s)
				fresh := m.fresh(s)
				if wanted == nil && s.name != "olivia" {
					wanted = access.ErrDenied
				} else if wanted == nil && !fresh {
					wanted = access.ErrStepUp
				}
				alive := m.state(s) == nil
				err := o.a.SetIdle(s.token, o.account(name).Role, d)
				if alive {
					s.seen = o.now
				}
				if m.expect("SetIdle", err, wanted) {
					m.settle()
					m.idle[name] = d
				}
			},
			"time passes": func(rt *rapid.T) {
				o.pass(time.Duration(rapid.IntRange(1, 12*60).Draw(rt, "half minutes")) * 30 * time.Second)
			},
			"a long time passes": func(rt *rapid.T) {
				o.pass(time.Duration(rapid.IntRange(1, 13).Draw(rt, "hours")) * time.Hour)
			},
			"restart": func(rt *rapid.T) {
				m.settle()
				if err := o.a.Close(); err != nil {
					rt.Fatal(err)
				}
				m.reopen()
			},
		})
	})
}

// A model is what the sessions should be.
type model struct {
	o         *office
	rt        *rapid.T
	sessions  []*modelSession
	passwords map[string]string
	idle      map[string]time.Duration
	steps     int
}

type modelSession struct {
	name, token             string
	created, seen, password time.Time
	locked, over            bool
}

func (m *model) person(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"olivia", "doris", "mark", "ivan"}).Draw(rt, "person")
}

func (m *model) pick(rt *rapid.T) *modelSession {
	m.steps++
	if len(m.sessions) == 0 {
		rt.Skip("nobody was ever signed in")
	}
	return rapid.SampledFrom(m.sessions).Draw(rt, "session")
}

func (m *model) add(name, token string) {
	m.sessions = append(m.sessions, &modelSession{name: name, token: token, created: m.o.now, seen: m.o.now, password: m.o.now})
}

// renew is what a good password does: another token, unlocked, as of now.
func (m *model) renew(s *modelSession, token string) {
	dead := *s
	dead.over = true // the old token stays, to be tried again
	m.sessions = append(m.sessions, &dead)
	s.token, s.locked, s.seen, s.password = token, false, m.o.now, m.o.now
}

func (m *model) reopen() {
	m.o.open()
	for _, s := range m.sessions {
		s.locked, s.password = true, time.Time{}
	}
}

// settle makes lasting what time alone has done.
func (m *model) settle() {
	for _, s := range m.sessions {
		m.state(s)
	}
}

func (m *model) state(s *modelSession) error {
	idle := m.idle[s.name]
	if idle == 0 {
		idle = access.DefaultIdle
	}
	s.over = s.over || m.o.now.Sub(s.created) >= access.AbsoluteTime
	if s.over {
		return access.ErrNoSession
	}
	if s.locked = s.locked || m.o.now.Sub(s.seen) >= idle; s.locked {
		s.password = time.Time{}
		return access.ErrSessionLocked
	}
	return nil
}

func (m *model) fresh(s *modelSession) bool {
	return m.state(s) == nil && !s.password.IsZero() && m.o.now.Sub(s.password) < access.StepUpTime
}

func (m *model) touch(s *modelSession) {
	m.touchAs("Use", s, func() error { _, err := m.o.a.Use(s.token); return err })
}

func (m *model) touchAs(what string, s *modelSession, do func() error) bool {
	wanted := m.state(s)
	ok := m.expect(what, do(), wanted)
	if ok {
		s.seen = m.o.now
	}
	return ok
}

// expect compares an error with the model's and reports whether all is well.
// Too many attempts are none: the limits have tests of their own.
func (m *model) expect(what string, got, wanted error) bool {
	m.rt.Helper()
	if errors.Is(got, access.ErrTooMany) {
		return false
	}
	if !errors.Is(got, wanted) || wanted == nil && got != nil {
		m.rt.Fatalf("%s = %v, the model says %v", what, got, wanted)
	}
	return got == nil
}

// compare holds every session and the office key against the model.
func (m *model) compare(rt *rapid.T) {
	holders := 0
	for i, s := range m.sessions {
		wanted, fresh := m.state(s), m.fresh(s)
		got, err := m.o.a.Look(s.token)
		if !errors.Is(err, wanted) || wanted == nil && err != nil {
			rt.Fatalf("Look at session %d of %s = %v, the model says %v", i, s.name, err, wanted)
		}
		if got.StepUp.IsZero() == fresh {
			rt.Fatalf("StepUp of session %d of %s is %s, the model says %v", i, s.name, got.StepUp, fresh)
		}
		if charts := s.name == "olivia" || s.name == "doris"; wanted == nil && charts {
			holders++
		} else if got.Can(access.SeeCharts) {
			rt.Fatalf("session %d of %s may see charts", i, s.name)
		}
	}
	if n := m.o.a.Held(); n != holders || m.o.unlocked != (holders > 0) {
		rt.Fatalf("Held = %d, unlocked %v; the model says %d", n, m.o.unlocked, holders)
	}
}
