package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"chartcellar/store"
	"chartcellar/store/index"
)

// changedText lists what changed of a patient: Type/id before>after, by their runs.
func (p *practice) changedText(t testing.TB, from, to *store.Snapshot, patient string) string {
	t.Helper()
	var out []string
	unread, err := to.Changed(t.Context(), from, "emr", patient, func(c store.Changed) error {
		side := func(v *store.Version) string {
			if v == nil {
				return "none"
			}
			return fmt.Sprint(v.Run)
		}
		out = append(out, fmt.Sprintf("%s/%s %s>%s", c.Type, c.ID, side(c.Before), side(c.After)))
		return nil
	})
	if err != nil || len(unread) > 0 {
		t.Fatalf("Changed = %v unread, %v", unread, err)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func TestChanged(t *testing.T) {
	p := newPractice(t)
	p.pull(t, `{"resourceType":"Patient","id":"p1"}`, obs("same", 1, ""), obs("value", 1, ""), obs("gone", 1, ""), obs("back", 1, ""), obs("again", 1, ""))
	p.pull(t, obs("value", 2, ""), obs("back", 2, ""), "-Observation/gone", "-Observation/again", obs("new", 1, ""), obs("short", 1, ""))
	p.pull(t, obs("back", 1, ""), obs("again", 1, ""), "-Observation/short", `{"resourceType":"Observation","id":"other","subject":{"reference":"Patient/p2"}}`)
	p.run(t, index.RunStates{All: index.Held}, obs("value", 9, ""), "-Observation/same")
	first, second, third, held := asOf(t, p, 1), asOf(t, p, 2), asOf(t, p, 3), asOf(t, p, 4)
	tests := []struct {
		name     string
		from, to *store.Snapshot
		want     string
	}{
		{"one run", first, second, "Observation/again 1>none, Observation/back 1>2, Observation/gone 1>none, Observation/new none>2, Observation/short none>2, Observation/value 1>2"},
		{"there and back is no change", first, third, "Observation/gone 1>none, Observation/new none>2, Observation/value 1>2"},
		{"what is held changed nothing", third, held, ""},
		{"nothing since now", held, held, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := p.changedText(t, tt.from, tt.to, "p1"); got != tt.want {
				t.Errorf("Changed = %s\nwant      %s", got, tt.want)
			}
		})
	}
	if got := p.changedText(t, first, third, "p2"); got != "Observation/other none>3" {
		t.Errorf("of the other patient: %s", got)
	}
}

// TestAside: each version that does not count says why.
func TestAside(t *testing.T) {
	p := newPractice(t)
	subsetted := `{"resourceType":"Observation","id":"o","meta":{"tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]}}`
	dated := func(day int) string {
		return fmt.Sprintf(`{"resourceType":"Observation","id":"o","meta":{"lastUpdated":"2026-05-%02dT10:00:00Z"},"n":%d}`, day, day)
	}
	p.pull(t, dated(3), dated(2), subsetted)
	p.run(t, index.RunStates{All: index.Rejected}, dated(4))
	p.run(t, index.RunStates{All: index.Held}, dated(5))
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	add(t, r, dated(6))
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.History(t.Context(), store.Key{Source: "emr", Type: "Observation", ID: "o"})
	if err != nil {
		t.Fatal(err)
	}
	var got []store.Aside
	for _, v := range list {
		if (v.Aside == "") != v.Counts {
			t.Errorf("counts %v, aside %q", v.Counts, v.Aside)
		}
		got = append(got, v.Aside)
	}
	want := []store.Aside{"", store.AsideStale, store.AsidePart, store.AsideRejected, store.AsideHeld, store.AsideUnderway}
	if !slices.Equal(got, want) {
		t.Errorf("History is aside as %q, want %q", got, want)
	}
}

// TestChangedGoesOnAfterDamage: what is damaged is counted; the rest is told.
func TestChangedGoesOnAfterDamage(t *testing.T) {
	p := newPractice(t)
	p.pull(t, `{"resourceType":"Patient","id":"p1"}`, obs("o", 1, ""))
	p.pull(t, obs("lost", 1, ""))
	parts, err := p.m.Parts()
	if err != nil {
		t.Fatal(err)
	}
	p.pull(t, obs("o", 2, ""))
	at := slices.IndexFunc(parts, func(part index.Part) bool { return part.Run == 2 && part.Lines > 0 })
	p.breakPart(t, int(parts[at].Number))
	p.reopen(t)
	n := 0
	unread, err := asOf(t, p, 3).Changed(t.Context(), asOf(t, p, 1), "emr", "p1", func(c store.Changed) error {
		if n++; c.ID != "o" {
			t.Errorf("Changed gives %s", c.ID)
		}
		return nil
	})
	if err != nil || n != 1 || unread["Observation"] != 1 {
		t.Errorf("Changed gave %d, %v unread, %v; want 1 and 1", n, unread, err)
	}
}
