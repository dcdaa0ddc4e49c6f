package charts_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
)

// TestHide: a patient who is hidden on a page is gone at once, also from what was open and
// as of an earlier day; the list says who, when, by whom and why; shown again all is there;
// and what was typed as a reason passes for nothing else in the journal.
func TestHide(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anna, ben, has("c", "ben", "", "Canary fever", "2020"))
	d.pull("main")
	ref, reason := d.Refer("main", "Patient/ben"), "of another practice; from 10.0.0.1; request ZZZZ; emergency 1"
	open := func() error {
		_, now := d.Chart(t.Context(), doctor, d.at("ben", ""), "summary")
		_, then := d.Chart(t.Context(), doctor, d.at("ben", "2026-03-01"), "summary")
		if errors.Is(now, viewer.ErrNotFound) != errors.Is(then, viewer.ErrNotFound) {
			t.Errorf("now %v, then %v", now, then)
		}
		return now
	}
	is(t, open(), nil)
	is(t, d.Hide(t.Context(), doctor, ref, reason), nil)
	is(t, open(), viewer.ErrNotFound)
	if p, err := d.Patients(t.Context(), doctor, viewer.PatientQuery{Rows: 9}); err != nil || p.Sealed != 1 || p.All != 2 || len(p.List) != 1 || len(p.Recent) != 0 {
		t.Errorf("patients: %+v, %v", p, err)
	}
	if res := d.search(doctor, viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "canary"}); res.Hits != 0 {
		t.Errorf("found: %+v", res)
	}
	list, err := d.Hidden(t.Context(), doctor)
	if err != nil || len(list) != 1 || list[0].Ref != ref || list[0].ID != "ben" || list[0].By != "doctor" || list[0].Reason != reason || !list[0].Since.Equal(d.clock()) || list[0].Run == 0 {
		t.Errorf("hidden: %+v, %v", list, err)
	}
	var refusal *viewer.Refusal
	if err := d.Hide(t.Context(), doctor, ref, "again"); !errors.As(err, &refusal) || !strings.Contains(refusal.Words, "hidden already") {
		t.Errorf("hidden twice: %v", err)
	}
	seen := d.seen(doctor, viewer.SeenQuery{Account: "doctor"}).Lines
	line := func(code string) int {
		return slices.IndexFunc(seen, func(l viewer.SeenLine) bool { return l.Code == code })
	}
	if line("patients.sealed") < 0 {
		t.Error("that the list was shown is not in the journal")
	}
	if l := seen[line("patient.seal")]; l.Note != reason || l.Emergency || l.Address != doctor.Address || !strings.HasPrefix(l.Patient, "patient #") {
		t.Errorf("the journal: %+v", l)
	}
	is(t, d.Unhide(t.Context(), doctor, ref, "it was right"), nil)
	is(t, open(), nil)
	if list, err := d.Hidden(t.Context(), doctor); err != nil || len(list) != 0 {
		t.Errorf("hidden: %+v, %v", list, err)
	}
	if err := d.Unhide(t.Context(), doctor, ref, "again"); !errors.As(err, &refusal) {
		t.Errorf("shown twice: %v", err)
	}
}

// TestHideRefused: while a run goes on it is said at once, and nothing waits; and nobody,
// a locked copy and a journal that takes no line hide nothing.
func TestHideRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anna, has("c", "anna", "", "Fever", "2020"))
	ref := d.Refer("main", "Patient/anna")
	run, err := d.m.Begin(t.Context(), store.RunSpec{Source: "main", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	is(t, d.Hide(t.Context(), doctor, ref, "x"), viewer.ErrBusy)
	run.Abort()
	is(t, d.Hide(t.Context(), doctor, d.Refer("main", "Patient/nobody"), "x"), viewer.ErrNotFound)
	is(t, d.Hide(t.Context(), doctor, d.Refer("main", "Condition/c"), "x"), viewer.ErrNotFound)
	is(t, d.Hide(t.Context(), doctor, "nonsense", "x"), viewer.ErrNotFound)
	is(t, d.Hide(t.Context(), doctor, ref, " "), store.ErrNoReason)
	d.m.Lock()
	is(t, d.Hide(t.Context(), doctor, ref, "x"), viewer.ErrLocked)
	if _, err := d.Hidden(t.Context(), doctor); !errors.Is(err, viewer.ErrLocked) {
		t.Errorf("the list of a locked copy: %v", err)
	}
	if err := d.m.Unlock(d.key); err != nil {
		t.Fatal(err)
	}
	if list, err := d.Hidden(t.Context(), doctor); err != nil || len(list) != 0 {
		t.Errorf("hidden all the same: %+v, %v", list, err)
	}
	is(t, d.Hide(t.Context(), doctor, ref, "x"), nil)
	d.shut()
	if list, err := d.Hidden(t.Context(), doctor); err == nil {
		t.Errorf("listed without a line in the journal: %+v", list)
	}
}
