package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chartcellar/cmd/chartcellar/internal/notify"
)

// A pager is a channel that notes what it carries, and can break.
type pager struct {
	name string
	mu   sync.Mutex
	got  []string
	err  error
	slow time.Duration
}

func (p *pager) Name() string { return p.name }

func (p *pager) Send(ctx context.Context, m notify.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-time.After(p.slow):
	case <-ctx.Done():
		return fmt.Errorf("the pager did not answer: %w", ctx.Err())
	}
	if p.err == nil {
		p.got = append(p.got, fmt.Sprintf("%s %s", m.Kind, m.Phase))
	}
	return p.err
}

// take returns what came since the last time.
func (p *pager) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := strings.Join(p.got, ", ")
	p.got = nil
	return got
}

func alert(k notify.Kind, l notify.Level) notify.Alert {
	return notify.Alert{Kind: k, Source: "emr", Level: l, Text: notify.Say("Something is %s.", notify.Name("wrong"))}
}

func TestDedupe(t *testing.T) {
	overdue, urgent := alert(notify.Overdue, notify.Warning), alert(notify.Overdue, notify.Red)
	damage, disk := alert(notify.Damage, notify.Red), alert(notify.Disk, notify.Warning)
	sheet := alert(notify.Sheet, notify.Warning)
	const day = 24 * time.Hour
	type step struct {
		after  time.Duration
		alerts []notify.Alert
		want   string
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"once when it begins, once when it is over", []step{
			{0, []notify.Alert{overdue}, "overdue began"}, {time.Hour, []notify.Alert{overdue}, ""},
			{time.Hour, nil, "overdue ended"}, {time.Hour, nil, ""}}},
		{"again after a week", []step{
			{0, []notify.Alert{overdue}, "overdue began"}, {7*day - time.Minute, []notify.Alert{overdue}, ""},
			{time.Minute, []notify.Alert{overdue}, "overdue still"}, {6 * day, []notify.Alert{overdue}, ""}}},
		{"an urgent one again after a day", []step{
			{0, []notify.Alert{damage}, "damage began"}, {23 * time.Hour, []notify.Alert{damage}, ""},
			{time.Hour, []notify.Alert{damage}, "damage still"}, {day, []notify.Alert{damage}, "damage still"}}},
		{"a missing sheet each evening, until one is made", []step{
			{0, []notify.Alert{sheet}, "sheet began"}, {12 * time.Hour, []notify.Alert{sheet}, ""},
			{12 * time.Hour, []notify.Alert{sheet}, "sheet still"}, {14 * time.Hour, nil, "sheet ended"},
			{10 * time.Hour, []notify.Alert{sheet}, "sheet began"}}},
		{"worse is told at once, better is not", []step{
			{0, []notify.Alert{overdue}, "overdue began"}, {time.Hour, []notify.Alert{urgent}, "overdue worse"},
			{time.Hour, []notify.Alert{overdue}, ""}, {time.Hour, []notify.Alert{urgent}, "overdue worse"}}},
		{"several, the worst first", []step{
			{0, []notify.Alert{disk, damage}, "damage began, disk began"}, {time.Hour, []notify.Alert{damage}, "disk ended"}}},
		{"over, and there again", []step{
			{0, []notify.Alert{disk}, "disk began"}, {time.Hour, nil, "disk ended"}, {time.Hour, []notify.Alert{disk}, "disk began"}}},
		{"two sources are two alerts", []step{
			{0, []notify.Alert{overdue}, "overdue began"},
			{time.Hour, []notify.Alert{overdue, {Kind: notify.Overdue, Source: "lab", Level: notify.Warning}}, "overdue began"}}},
		{"nothing wrong, nothing said", []step{{0, nil, ""}, {30 * day, nil, ""}}},
	}
	for _, tt := range tests {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarted %v", tt.name, restart), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := &pager{name: "pager"}
					c := notify.NewCenter(notify.Options{Channels: []notify.Channel{p}})
					for i, s := range tt.steps {
						time.Sleep(s.after)
						c.Update(t.Context(), s.alerts)
						if got := p.take(); got != s.want {
							t.Errorf("step %d: sent %q, want %q", i, got, s.want)
						}
						if restart {
							c = reopened(t, c, p)
						}
					}
				})
			})
		}
	}
}

// reopened is a Center after a restart.
func reopened(t *testing.T, c *notify.Center, channels ...notify.Channel) *notify.Center {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	d := notify.NewCenter(notify.Options{Channels: channels})
	if err := json.Unmarshal(b, d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestBrokenChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, good := &pager{name: "mail to a@example.org", err: errors.New("dead")}, &pager{name: "pager"}
		c := notify.NewCenter(notify.Options{Channels: []notify.Channel{dead, good}})
		gaps := []notify.Alert{alert(notify.Gaps, notify.Warning)}
		out := c.Update(t.Context(), gaps)
		if got := good.take(); got != "gaps began, channel began" {
			t.Errorf("the other channel carried %q", got)
		}
		if !slices.ContainsFunc(out, func(o notify.Outcome) bool { return o.Channel == dead.name && o.Err != nil }) {
			t.Errorf("no outcome tells of the dead channel: %v", out)
		}
		if n, worst := c.Standing(); n != 2 || worst != notify.Warning {
			t.Errorf("%d alerts stand, the worst %s", n, worst)
		}
		time.Sleep(5 * time.Minute)
		if out := c.Update(t.Context(), gaps); len(out) != 0 {
			t.Errorf("tried again after five minutes: %v", out)
		}
		dead.err = nil
		time.Sleep(10 * time.Minute)
		c = reopened(t, c, dead, good)
		c.Update(t.Context(), gaps)
		if a, b := dead.take(), good.take(); a != "gaps began" || b != "channel ended" {
			t.Errorf("when it carries again it had %q, the other %q", a, b)
		}
		// What is over while a channel is down is still told as over.
		dead.err = errors.New("dead")
		time.Sleep(time.Hour)
		c.Update(t.Context(), nil)
		dead.err = nil
		time.Sleep(time.Hour)
		c.Update(t.Context(), nil)
		if got := dead.take(); got != "gaps ended" {
			t.Errorf("after it was down it had %q", got)
		}
	})
}

func TestSlowChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, good := &pager{name: "slow", slow: time.Hour}, &pager{name: "good"}
		c := notify.NewCenter(notify.Options{Channels: []notify.Channel{slow, good}})
		done := make(chan struct{})
		began := time.Now()
		go func() {
			c.Update(t.Context(), []notify.Alert{alert(notify.Held, notify.Warning), alert(notify.Damage, notify.Red)})
			close(done)
		}()
		synctest.Wait()
		if n, _ := c.Standing(); n != 2 {
			t.Errorf("%d alerts stand while it sends", n)
		}
		<-done
		if took := time.Since(began); took > 61*time.Second {
			t.Errorf("Update took %s", took)
		}
		if got := good.take(); got != "damage began, held began, channel began" {
			t.Errorf("the other channel carried %q", got)
		}
	})
}

func TestClockBack(t *testing.T) {
	now := time.Date(2035, 6, 1, 9, 0, 0, 0, time.UTC)
	p := &pager{name: "pager"}
	c := notify.NewCenter(notify.Options{Channels: []notify.Channel{p}, Now: func() time.Time { return now }})
	held := []notify.Alert{alert(notify.Held, notify.Warning)}
	c.Update(t.Context(), held)
	now = now.AddDate(-9, 0, 0)
	c.Update(t.Context(), held)
	c.Update(t.Context(), held)
	if got := p.take(); got != "held began, held still" {
		t.Errorf("after the clock was set back: %q", got)
	}
	now = now.AddDate(0, 0, 7)
	c.Update(t.Context(), held)
	if got := p.take(); got != "held still" {
		t.Errorf("a week later: %q", got)
	}
}

func TestTestAndTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, good, old := &pager{name: "dead", err: errors.New("it is dead")}, &pager{name: "good"}, &pager{name: "old address"}
		c := notify.NewCenter(notify.Options{Channels: []notify.Channel{dead, good}})
		out := c.Test(t.Context())
		if len(out) != 2 || out[0].Err == nil || out[1].Err != nil || good.take() != "test once" {
			t.Errorf("Test: %v", out)
		}
		c.Update(t.Context(), nil)
		if got := good.take(); got != "channel began" {
			t.Errorf("a test that fails is told as %q", got)
		}
		dead.err = nil
		c.Test(t.Context())
		c.Update(t.Context(), nil)
		if got := good.take(); got != "test once, channel ended" {
			t.Errorf("a test that goes well is told as %q", got)
		}
		out = c.Tell(t.Context(), alert(notify.Changed, notify.Info), append(c.Channels(), old)...)
		if len(out) != 3 || old.take() != "changed once" || good.take() != "changed once" {
			t.Errorf("Tell: %v", out)
		}
		carriers := c.Carriers()
		if len(carriers) != 2 || carriers[0].Carried.IsZero() || !carriers[0].Failing.IsZero() {
			t.Errorf("Carriers: %v", carriers)
		}
		c.SetChannels(old)
		if out := c.Test(t.Context()); len(out) != 1 || out[0].Channel != "old address" {
			t.Errorf("after SetChannels: %v", out)
		}
	})
}

func TestBrokenState(t *testing.T) {
	p := &pager{name: "pager"}
	c := notify.NewCenter(notify.Options{Channels: []notify.Channel{p}})
	for _, text := range []string{"{", `[]`, `{"alerts": 7}`} {
		if err := json.Unmarshal([]byte(text), c); err == nil {
			t.Errorf("%q was read", text)
		}
	}
	for _, text := range []string{`null`, `{}`, `{"alerts":{"x":null},"failed":{"pager":null}}`} {
		if err := json.Unmarshal([]byte(text), c); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	c.Update(t.Context(), []notify.Alert{alert(notify.Held, notify.Warning)})
	if got := p.take(); got != "held began" {
		t.Errorf("sent %q", got)
	}
}

// TestList: what stands can be listed, and handed in again as it was.
func TestList(t *testing.T) {
	p := &pager{name: "pager"}
	c := notify.NewCenter(notify.Options{Channels: []notify.Channel{p}})
	red := alert(notify.Damage, notify.Red)
	c.Update(t.Context(), []notify.Alert{alert(notify.Held, notify.Warning), red})
	list := c.List()
	if len(list) != 2 || list[0].Alert != red || list[0].Told["pager"].IsZero() {
		t.Fatalf("List: %v", list)
	}
	p.take()
	c.Update(t.Context(), []notify.Alert{list[0].Alert})
	if got := p.take(); got != "held ended" || len(c.List()) != 1 {
		t.Errorf("told %q, %d stand", got, len(c.List()))
	}
}

func TestWords(t *testing.T) {
	m := notify.Message{Practice: notify.Name("Elm Street"), Kind: notify.Overdue, Source: "emr", Level: notify.Red,
		Phase: notify.Began, Text: notify.Say("The copy of %s is overdue: the last one is from %s.", notify.Name("emr"), notify.At(time.Time{})),
		Next: notify.Say("Look at the Backups page.")}
	if got := m.Subject(); got != "Elm Street: Urgent: The copy of emr is overdue: the last one is from never." {
		t.Errorf("Subject: %q", got)
	}
	for _, s := range []string{"What to do: Look at the Backups page.", "Source: emr", "names no patient"} {
		if !strings.Contains(m.Body(), s) {
			t.Errorf("Body lacks %q:\n%s", s, m.Body())
		}
	}
	facts := []struct {
		fact notify.Fact
		want string
	}{
		{notify.Count(3), "3"}, {notify.Several(1, "gap", "gaps"), "1 gap"}, {notify.Several(0, "gap", "gaps"), "0 gaps"},
		{notify.Day(time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)), "1 Mar 2026"}, {notify.Size(1 << 40), "1.1 TB"}, {notify.Size(12), "12 bytes"},
		{notify.For(90 * time.Minute), "1 h"}, {notify.For(11 * 24 * time.Hour), "11 days"}, {notify.For(-1), "an unknown time"},
		{notify.Digest([]byte{1, 2, 255}), "0102ff"}, {notify.Name("DocumentReference"), "DocumentReference"},
		{notify.Name("Doe, Jane\r\nBcc: x"), "(name withheld)"}, {notify.Name("1970-01-01/Doe"), "(name withheld)"},
		{notify.Name("o.müller+alerts@example.org"), "o.müller+alerts@example.org"},
	}
	for _, tt := range facts {
		if tt.fact.String() != tt.want {
			t.Errorf("fact %q, want %q", tt.fact, tt.want)
		}
	}
	if got := notify.Lines(notify.Say("7 of 7 nights complete."), notify.Say("Second copy at %s.", notify.Name("nas"))).String(); got != "7 of 7 nights complete.\nSecond copy at nas." {
		t.Errorf("Lines: %q", got)
	}
}
