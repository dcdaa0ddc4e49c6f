package main

import (
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/offsite"
)

// TestCopyTrouble: a second copy helps only if it is whole, in time, the practice's own,
// not found wrong, and one that is carried about is carried about.
func TestCopyTrouble(t *testing.T) {
	now := time.Date(2026, 3, 10, 19, 0, 0, 0, time.UTC)
	tested := &offsite.Tested{}
	good := copyState{Name: "usb", Ended: now.Add(-14 * time.Hour), Complete: now.Add(-14 * time.Hour), Since: now.Add(-14 * time.Hour), Tested: tested}
	wrong := []offsite.Wrong{{File: "parts/1", What: "missing"}}
	tests := []struct {
		name string
		f    func(*copyState, *config.Copy)
		want copyTrouble
		fact health.Answer
	}{
		{"as it should be", func(*copyState, *config.Copy) {}, "", health.Yes},
		{"never tried", func(st *copyState, _ *config.Copy) { *st = copyState{Name: "usb"} }, copyUntried, health.Unknown},
		{"a night without the disk", func(st *copyState, _ *config.Copy) {
			st.Complete, st.Last.Error = now.Add(-38*time.Hour), "The place of the second copy cannot be reached."
		}, "", health.Yes},
		{"two nights without it", func(st *copyState, _ *config.Copy) { st.Complete = now.Add(-62 * time.Hour) }, copyLate, health.Stale},
		{"by hand only, after a week", func(st *copyState, c *config.Copy) { c.At, st.Complete = "off", now.AddDate(0, 0, -9) }, copyLate, health.Stale},
		{"wrong files at the last copy", func(st *copyState, _ *config.Copy) { st.Last.Wrong = wrong }, copyWrong, health.No},
		{"wrong files at a check since", func(st *copyState, _ *config.Copy) { st.Checked.Wrong, st.CheckAt = wrong, now }, copyWrong, health.No},
		{"wrong files at a check before", func(st *copyState, _ *config.Copy) { st.Checked.Wrong, st.CheckAt = wrong, now.AddDate(0, 0, -3) }, "", health.Yes},
		{"taken over", func(st *copyState, _ *config.Copy) { st.Last.Fenced, st.Last.Lasting = true, true }, copyFenced, health.No},
		{"refused", func(st *copyState, _ *config.Copy) { st.Last.Lasting = true }, copyRefused, health.No},
		{"never whole", func(st *copyState, _ *config.Copy) { st.Complete = time.Time{} }, copyNever, health.No},
		{"not surely ours", func(st *copyState, _ *config.Copy) { st.Missing = []string{"x"} }, copyNotOurs, health.No},
		{"one of two disks stays", func(st *copyState, c *config.Copy) { c.Disks, st.Since = 2, now.AddDate(0, 0, -8) }, copyStays, health.No},
		{"the only disk stays", func(st *copyState, c *config.Copy) { st.Since = now.AddDate(0, 0, -80) }, "", health.Yes},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st, c := good, config.Copy{Name: "usb", Folder: "/x", At: "daily 05:00", Disks: 1}
			tt.f(&st, &c)
			s := config.Settings{Zone: "UTC", Copies: []config.Copy{c}}
			if got := st.trouble(c, s, now); got != tt.want {
				t.Errorf("trouble = %q, want %q", got, tt.want)
			}
			if got := secondCopy(s, []copyState{st}, now); got.Answer != tt.fact {
				t.Errorf("fact = %+v, want %q", got, tt.fact)
			}
		})
	}
}

// TestSecondCopyOfTwo: one good copy is enough for the fact; none is none.
func TestSecondCopyOfTwo(t *testing.T) {
	now := time.Date(2026, 3, 10, 19, 0, 0, 0, time.UTC)
	good := copyState{Name: "a", Ended: now, Complete: now, Since: now, Tested: &offsite.Tested{}}
	s := config.Settings{Zone: "UTC", Copies: []config.Copy{{Name: "b", Folder: "/b", At: "daily 05:00"}, {Name: "a", Folder: "/a", At: "daily 05:00"}}}
	if got := secondCopy(s, []copyState{{Name: "b"}, good}, now); got.Answer != health.Yes {
		t.Errorf("one good, one untried: %+v", got)
	}
	if got := secondCopy(config.Settings{}, nil, now); got.Answer != health.NotSetUp {
		t.Errorf("none: %+v", got)
	}
}

// TestSecondCopyApart: a good copy that lacks files by choice is enough only with one that
// has them.
func TestSecondCopyApart(t *testing.T) {
	now := time.Date(2026, 3, 10, 19, 0, 0, 0, time.UTC)
	far := copyState{Name: "far", Ended: now, Complete: now, Since: now, Tested: &offsite.Tested{}}
	far.Last.Apart = []store.Apart{{Choice: store.Choice{Holdings: []string{"dumps"}, Copies: []string{"nas", "usb"}}, Files: 1}}
	usb := far
	usb.Name, usb.Last.Apart = "usb", nil
	s := config.Settings{Zone: "UTC"}
	for _, name := range []string{"far", "nas", "usb"} {
		s.Copies = append(s.Copies, config.Copy{Name: name, Folder: "/" + name, At: "daily 05:00"})
	}
	if got := secondCopy(s, []copyState{far, {Name: "nas"}, usb}, now); got.Answer != health.Yes {
		t.Errorf("one of those that get them is good: %+v", got)
	}
	if got := secondCopy(s, []copyState{far, {Name: "nas"}, {Name: "usb"}}, now); got.Answer != health.Unknown || got.Words == "" {
		t.Errorf("none of those is tried: %+v", got)
	}
	far.Last.Apart[0].Copies = []string{"gone"}
	if got := secondCopy(s, []copyState{far, {Name: "nas"}, {Name: "usb"}}, now); got.Answer != health.Yes {
		t.Errorf("none of those is in the settings any more, so the next copy brings the files: %+v", got)
	}
}

// TestNotOurs: a place at somebody else's is the practice's own only once the questions
// are answered and it was tested (P146).
func TestNotOurs(t *testing.T) {
	tested := copyState{Tested: &offsite.Tested{}}
	full := config.Copy{Name: "nas", SFTP: "a@b/c", Ours: "practice", Deletes: "nobody", Agreement: "2026-01-02"}
	if got := notOurs(full, tested); len(got) != 0 {
		t.Errorf("all answered: %q", got)
	}
	for name, spoil := range map[string]func(*config.Copy, *copyState){
		"untested":     func(_ *config.Copy, st *copyState) { st.Tested = nil },
		"whose":        func(c *config.Copy, _ *copyState) { c.Ours = "the IT company" },
		"who deletes":  func(c *config.Copy, _ *copyState) { c.Deletes = "" },
		"no agreement": func(c *config.Copy, _ *copyState) { c.Agreement = "" },
	} {
		c, st := full, tested
		spoil(&c, &st)
		if got := notOurs(c, st); len(got) == 0 {
			t.Errorf("%s: counts as the practice's own", name)
		}
	}
	if got := notOurs(config.Copy{Name: "usb", Folder: "/x"}, tested); len(got) != 0 {
		t.Errorf("the practice's own disk: %q", got)
	}
}

// TestDrillDue: the first drill is asked for once there is a second copy, the next after a
// month.
func TestDrillDue(t *testing.T) {
	now := time.Date(2026, 3, 10, 19, 0, 0, 0, time.UTC)
	s := config.Settings{Copies: []config.Copy{{Name: "usb"}}}
	for name, tt := range map[string]struct {
		s    config.Settings
		last health.Check
		want int
	}{
		"no copy":      {config.Settings{}, health.Check{Answer: health.NotSetUp}, 0},
		"never":        {s, health.Check{Answer: health.NotSetUp}, 1},
		"last week":    {s, health.Check{Answer: health.Yes, At: now.AddDate(0, 0, -7)}, 0},
		"a month ago":  {s, health.Check{Answer: health.Yes, At: now.AddDate(0, 0, -32)}, 1},
		"long overdue": {s, health.Check{Answer: health.Stale, At: now.AddDate(0, 0, -99)}, 0},
	} {
		if got := drillDue(tt.s, tt.last, now); len(got) != tt.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
