package charts_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
)

func visit(id, patient, status, day, more string) string {
	return `{"resourceType":"Encounter","id":"` + id + `","status":"` + status + `","subject":{"reference":"Patient/` + patient + `"},"period":{"start":"` + day + `T09:00:00Z"}` + more + `}`
}

func booking(id, patient, status, day string) string {
	return `{"resourceType":"Appointment","id":"` + id + `","status":"` + status + `","start":"` + day + `T09:00:00Z","participant":[{"actor":{"reference":"Patient/` + patient + `"}}]}`
}

// TestVisitsInTheList: the list says when patients were here last, when they come next and
// whom the last run has changed, and finds them by that; what is labelled sensitive is
// not in it for who may not see that.
func TestVisitsInTheList(t *testing.T) {
	const label = `,"meta":{"security":[{"code":"R"}]}`
	d := newDesk(t, anna, ben, twin, visit("v1", "anna", "finished", "2026-01-10", ""), visit("v2", "anna", "finished", "2026-02-10", label),
		visit("v3", "anna", "cancelled", "2026-02-20", ""), visit("v4", "ben", "finished", "2025-12-24", ""), visit("v5", "anna", "finished", "2027-01-01", ""),
		booking("b1", "ben", "booked", "2026-04-02"), booking("b2", "ben", "booked", "2026-03-20"), booking("b3", "ben", "cancelled", "2026-03-10"),
		booking("b4", "anna", "booked", "2026-01-05"))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	find := func(a viewer.Actor, q viewer.PatientQuery) (list []string) {
		t.Helper()
		q.Rows = 50
		p, err := d.Patients(t.Context(), a, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range p.List {
			one := row.ID + " " + row.LastVisit.Format("2006-01-02") + " " + row.NextVisit.Format("2006-01-02")
			if row.Changed {
				one += " changed"
			}
			list = append(list, strings.ReplaceAll(one, "0001-01-01", "-"))
		}
		return list
	}
	for _, tt := range []struct {
		name string
		a    viewer.Actor
		q    viewer.PatientQuery
		want []string
	}{
		{"seen since", doctor, viewer.PatientQuery{Since: "2026-02-10"}, []string{"anna 2026-02-10 -"}},
		{"seen since, without what is labelled", staff, viewer.PatientQuery{Since: "2026-01-10"}, []string{"anna 2026-01-10 -"}},
		{"not seen since, without what is labelled", staff, viewer.PatientQuery{Since: "2026-01-11"}, nil},
		{"with an appointment", doctor, viewer.PatientQuery{Coming: true}, []string{"ben 2025-12-24 2026-03-20"}},
		{"the first run changed nobody", doctor, viewer.PatientQuery{Changed: true}, nil},
		{"all", doctor, viewer.PatientQuery{}, []string{"anna 2026-02-10 -", "twin - -", "ben 2025-12-24 2026-03-20"}},
	} {
		if got := find(tt.a, tt.q); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	d.pull("main", visit("v6", "ben", "finished", "2026-03-02", ""), "Encounter/v1")
	want := []string{"anna 2026-02-10 - changed", "ben 2026-03-02 2026-03-20 changed"}
	if got := find(doctor, viewer.PatientQuery{Changed: true}); !slices.Equal(got, want) {
		t.Errorf("after a run: %q, want %q", got, want)
	}
	if got := find(staff, viewer.PatientQuery{Changed: true}); len(got) != 2 || got[0] != "anna - - changed" {
		t.Errorf("after a run, without what is labelled: %q", got)
	}
	_, err := d.Patients(t.Context(), doctor, viewer.PatientQuery{AsOf: "2026-03-01", Coming: true, Rows: 50})
	var refused *viewer.Refusal
	if !errors.As(err, &refused) {
		t.Errorf("appointments as of a day: %v", err)
	}
	d.m.Lock()
	d.Forget()
	if err := d.m.Unlock(d.key); err != nil {
		t.Fatal(err)
	}
	if got := find(doctor, viewer.PatientQuery{Coming: true}); len(got) != 1 {
		t.Errorf("after unlocking: %q", got)
	}
}

// TestVisitsAreBeingRead: until they are known the list says so, and shows the patients.
func TestVisitsAreBeingRead(t *testing.T) {
	d := newDesk(t, anna, visit("v1", "anna", "finished", "2026-01-10", ""))
	p, err := d.Patients(t.Context(), doctor, viewer.PatientQuery{Rows: 50})
	if err != nil || !p.Reading || len(p.List) != 1 || !p.List[0].LastVisit.IsZero() {
		t.Errorf("%+v %v", p, err)
	}
}

// TestVisitsLetPagesGoFirst: while a page is made visits are not read, and they are read
// although that page never comes to its end.
func TestVisitsLetPagesGoFirst(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anna, visit("v1", "anna", "finished", "2026-01-10", ""))
	made, over := make(chan bool), make(chan bool)
	d.stay = func() { made <- true; <-over }
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	defer close(over)
	wg.Go(func() {
		if _, err := d.Patients(ctx, doctor, viewer.PatientQuery{Hint: true, Rows: 50}); err != nil {
			t.Error(err)
		}
	})
	<-made
	d.mu.Lock()
	d.stay = nil
	d.mu.Unlock()
	began := time.Now()
	wg.Go(func() { d.Run(ctx) })
	p, err := d.Patients(ctx, doctor, viewer.PatientQuery{Since: "2026-01-01", Rows: 50})
	if err != nil || len(p.List) != 1 || p.Reading {
		t.Errorf("%+v %v", p, err)
	}
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("visits were read after %v, while a page was made", took)
	}
}

// TestRosterTakesOver: after a run the list is what a new one would be: changed, new,
// removed and sealed patients, in their order.
func TestRosterTakesOver(t *testing.T) {
	d := newDesk(t, anna, ben, twin)
	names := func(d *desk) (out []string) {
		t.Helper()
		p, err := d.Patients(t.Context(), doctor, viewer.PatientQuery{Rows: 50})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range p.List {
			out = append(out, row.ID+" "+row.Name)
		}
		return append(out, strings.Repeat("sealed ", p.Sealed))
	}
	names(d)
	d.pull("main", `{"resourceType":"Patient","id":"ben","name":[{"family":"Aaron","given":["Ben"]}]}`,
		`{"resourceType":"Patient","id":"new","name":[{"family":"Nobel"}]}`, "Patient/twin")
	want := []string{"ben Aaron, Ben", "anna Müller-Ötz, Anna", "new Nobel", ""}
	if got := names(d); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	old, err := d.Patients(t.Context(), doctor, viewer.PatientQuery{AsOf: "2026-03-01", Rows: 50})
	if err != nil || len(old.List) != 3 || old.List[0].ID != "anna" || old.List[2].Name != "Stone, Ben" {
		t.Errorf("as of the first day: %v, %v", old.List, err)
	}
	if err := d.m.SealPatient(t.Context(), store.SealOrder{Source: "main", Patient: "anna", By: "owner", Reason: "sent by mistake"}); err != nil {
		t.Fatal(err)
	}
	want = []string{"ben Aaron, Ben", "new Nobel", "sealed "}
	if got := names(d); !slices.Equal(got, want) {
		t.Errorf("with a seal: %q, want %q", got, want)
	}
}
