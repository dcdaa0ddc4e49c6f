package fhirsync_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
	"chartcellar/store"
)

// What TestThousandRuns found, each by itself.

// TestResumedWithARefusedType: a run by bulk that goes on after it was broken off,
// and that has to search a type which the EMR refuses to export.
func TestResumedWithARefusedType(t *testing.T) {
	f := newOffice(t, small())
	ctx, cancel := context.WithCancel(t.Context())
	f.emr.Set(fakeemr.Faults{RefuseTypes: []string{"Coverage"}, OnFile: func(int) { cancel() }})
	_, err := fhirsync.Sync(ctx, fhirsync.Options{Source: f.source, Client: f.client, Tokens: f.tokens, Mirror: f.m, Poll: time.Millisecond})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Sync = %v, want canceled", err)
	}
	f.emr.Set(fakeemr.Faults{RefuseTypes: []string{"Coverage"}})
	if r := f.sync(t); r.Verdict != fhirsync.Complete || !r.Resumed || row(r, "Coverage").Mode != "search" {
		t.Errorf("resumed: %q, %v, %+v", r.Verdict, r.Resumed, row(r, "Coverage"))
	}
	f.equal(t)
}

// TestDeletedAndThereAgain: a record that was deleted and made anew in one instant
// is no tombstone, neither by a history, which gives no order among the two, nor in
// a run that goes on and has not seen that it came.
func TestDeletedAndThereAgain(t *testing.T) {
	again := func(f *office) {
		f.emr.Delete("Observation", "obs-1-0")
		if _, err := f.emr.Put([]byte(`{"resourceType":"Observation","id":"obs-1-0","status":"final"}`)); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("history", func(t *testing.T) {
		f := newSearchOffice(t, searched())
		f.syncAhead(t)
		f.emr.Clock().Advance(time.Hour)
		again(f)
		f.emr.Clock().Advance(5 * time.Minute)
		f.source.Overlap = time.Hour // so that the second run is told of it again
		for n := range 2 {
			if r := f.syncAhead(t); row(r, "Observation").Removed != 0 || r.Verdict != fhirsync.Complete {
				t.Errorf("run %d: %q, %+v", n, r.Verdict, row(r, "Observation"))
			}
			f.equal(t)
		}
	})
	t.Run("an export that goes on", func(t *testing.T) {
		f := newOffice(t, small())
		f.source.Overlap = time.Hour
		f.sync(t)
		f.emr.Clock().Advance(2 * time.Minute)
		again(f)
		f.sync(t)
		ctx, cancel := context.WithCancel(t.Context())
		files := 0
		f.emr.Set(fakeemr.Faults{OnFile: func(int) {
			if files++; files == 2 {
				cancel()
			}
		}})
		if _, err := f.emr.Put([]byte(`{"resourceType":"Patient","id":"one-more"}`)); err != nil {
			t.Fatal(err)
		}
		_, err := fhirsync.Sync(ctx, fhirsync.Options{Source: f.source, Client: f.client, Tokens: f.tokens, Mirror: f.m,
			Poll: time.Millisecond, Downloads: 1})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("Sync = %v, want canceled", err)
		}
		f.emr.Set(fakeemr.Faults{})
		if r := f.sync(t); row(r, "Observation").Removed != 0 || !r.Resumed {
			t.Errorf("resumed %v: %+v", r.Resumed, row(r, "Observation"))
		}
		f.equal(t)
	})
}

// TestHistoryInACircle: a history whose next link leads back to the same page is
// read once, not a hundred thousand times.
func TestHistoryInACircle(t *testing.T) {
	f := newSearchOffice(t, searched())
	f.syncAhead(t)
	f.emr.Clock().Advance(time.Hour)
	f.emr.Set(fakeemr.Faults{NextLoop: true})
	before := f.emr.Served().Pages
	r := f.syncAhead(t)
	if n := f.emr.Served().Pages - before; n > 10*len(r.Types) {
		t.Errorf("%d pages were read of %d types", n, len(r.Types))
	}
}

// TestTypeBecomesEmpty: the last records of a type are purged without a trace: a
// gap at first, and a day later they are removed.
func TestTypeBecomesEmpty(t *testing.T) {
	f := newOffice(t, small())
	f.syncAhead(t)
	f.each(t, "AllergyIntolerance", func(id string) { f.emr.Purge("AllergyIntolerance", id) })
	f.full = true
	if r := f.syncAhead(t); r.Verdict != fhirsync.WithGaps || row(r, "AllergyIntolerance").Gap == "" {
		t.Errorf("first: %q, %+v", r.Verdict, row(r, "AllergyIntolerance"))
	}
	f.emr.Clock().Advance(25 * time.Hour)
	r := f.syncAhead(t)
	if r.Verdict != fhirsync.Complete || r.GapCount != 0 || row(r, "AllergyIntolerance").Removed == 0 {
		t.Errorf("a day later: %q, %+v, %+v", r.Verdict, r.Gaps, row(r, "AllergyIntolerance"))
	}
	f.equal(t)
}

// TestWaitsForADecision: while a run's changes wait for a decision, the next runs
// are no complete ones, and the cursor stays; it moves once somebody has decided.
func TestWaitsForADecision(t *testing.T) {
	for _, accept := range []bool{true, false} {
		t.Run(fmt.Sprint("accept ", accept), func(t *testing.T) {
			f := newOffice(t, small())
			f.sync(t)
			for _, id := range f.some(t, "Observation", 30) {
				f.emr.Delete("Observation", id)
			}
			held := f.sync(t)
			if held.Verdict != fhirsync.HeldVerdict {
				t.Fatalf("verdict %q, want held", held.Verdict)
			}
			before := f.cursor(t, "Observation")
			if r := f.sync(t); r.Verdict != fhirsync.HeldVerdict || row(r, "Observation").Waits != held.Run || row(r, "Patient").Waits != 0 {
				t.Errorf("while it waits: %q, %+v", r.Verdict, row(r, "Observation"))
			}
			if now := f.cursor(t, "Observation"); !now.Equal(before) {
				t.Errorf("the cursor moved from %s to %s", before, now)
			}
			if err := fhirsync.Decide(t.Context(), f.m, held.Run, "", accept, "doctor"); err != nil {
				t.Fatal(err)
			}
			r := f.sync(t)
			if accept && r.Verdict != fhirsync.Complete {
				t.Errorf("once accepted: %q, %+v", r.Verdict, row(r, "Observation"))
			}
			if accept {
				f.equal(t)
			}
		})
	}
}

func (f *office) cursor(t *testing.T, typ string) time.Time {
	t.Helper()
	list, err := f.m.Cursors("emr")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if c.Type == typ {
			return c.Since
		}
	}
	return time.Time{}
}

// TestAttachmentNoLongerNamed: the gap of an attachment ends when its record names
// it no longer, and what the record names instead is fetched.
func TestAttachmentNoLongerNamed(t *testing.T) {
	t.Run("the record was edited", func(t *testing.T) {
		f := newOffice(t, documents())
		f.emr.Set(fakeemr.Faults{WrongHash: true})
		if r := f.sync(t); r.GapCount == 0 {
			t.Fatalf("%q, no gaps", r.Verdict)
		}
		var docs []store.Key
		f.attachments(t, func(k store.Key, _ attachment) { docs = append(docs, k) })
		for _, k := range docs {
			if err := f.emr.Edit(k.Type, k.ID, func(m map[string]any) { delete(m, "content"); delete(m, "presentedForm") }); err != nil {
				t.Fatal(err)
			}
		}
		f.emr.Set(fakeemr.Faults{})
		if r := f.sync(t); r.GapCount != 0 || r.Verdict != fhirsync.Complete {
			t.Errorf("%q, gaps %+v", r.Verdict, r.Gaps)
		}
	})
	t.Run("the address changed in silence", func(t *testing.T) {
		f := newOffice(t, documents())
		f.emr.Set(fakeemr.Faults{AttachmentURL: "inside"})
		f.sync(t)
		f.emr.Set(fakeemr.Faults{})
		if r := f.sync(t); r.GapCount != 0 || r.Verdict != fhirsync.Complete {
			t.Errorf("%q, gaps %+v", r.Verdict, r.Gaps)
		}
		f.checkFiles(t, true)
		f.equalListed(t)
	})
}

// TestWrittenWhileItIsExported: what is written while an export runs is no gap; the
// next run brings it.
func TestWrittenWhileItIsExported(t *testing.T) {
	f := newOffice(t, small())
	once := false
	f.emr.Set(fakeemr.Faults{OnFile: func(int) {
		if !once {
			once = true
			if _, err := f.emr.Put([]byte(`{"resourceType":"Condition","id":"meanwhile"}`)); err != nil {
				t.Error(err)
			}
		}
	}})
	r := f.sync(t)
	if r.Verdict != fhirsync.Complete || row(r, "Condition").Server != row(r, "Condition").Mirror+1 {
		t.Errorf("%q, %+v", r.Verdict, row(r, "Condition"))
	}
	f.emr.Set(fakeemr.Faults{})
	f.emr.Clock().Advance(time.Minute)
	f.sync(t)
	f.equal(t)
}

// TestNamedAndUnread: a record that others name and that could not be read is a
// gap which the next run tries again; also a patient who is withheld for a while.
func TestNamedAndUnread(t *testing.T) {
	o := small()
	o.HiddenTypes = []string{"Practitioner"}
	f := newOffice(t, o)
	if _, err := f.emr.Put([]byte(`{"resourceType":"Observation","id":"of-late","subject":{"reference":"Patient/late"}}`)); err != nil {
		t.Fatal(err)
	}
	f.emr.Set(fakeemr.Faults{RefuseRead: []string{"Patient/late"}, HTML: "/Practitioner/"})
	r := f.sync(t)
	kinds := map[string]int{}
	for _, g := range r.Gaps {
		kinds[g.Kind]++
	}
	if r.Verdict != fhirsync.WithGaps || kinds["patient"] != 1 || kinds["record"] != 4 {
		t.Errorf("%q, gaps %+v", r.Verdict, r.Gaps)
	}
	if r := f.sync(t); r.GapCount != 5 || r.Gaps[0].Tries != 2 {
		t.Errorf("a second run: %+v", r.Gaps)
	}
	f.emr.Set(fakeemr.Faults{})
	if _, err := f.emr.Put([]byte(`{"resourceType":"Patient","id":"late"}`)); err != nil {
		t.Fatal(err)
	}
	if r := f.sync(t); r.Verdict != fhirsync.Complete || r.GapCount != 0 || f.count(t, "Practitioner") != 4 {
		t.Errorf("healed: %q, %+v, %d practitioners", r.Verdict, r.Gaps, f.count(t, "Practitioner"))
	}
}

// TestReturned: a record that was removed and comes back is counted as one of the
// mirror's.
func TestReturned(t *testing.T) {
	f := newSearchOffice(t, searched())
	f.syncAhead(t)
	id := f.first(t, "Condition")
	f.emr.Clock().Advance(time.Hour)
	f.emr.Delete("Condition", id)
	f.emr.Clock().Advance(time.Hour)
	if r := f.syncAhead(t); row(r, "Condition").Removed != 1 {
		t.Errorf("removed: %+v", row(r, "Condition"))
	}
	if _, err := f.emr.Put(fmt.Appendf(nil, `{"resourceType":"Condition","id":%q}`, id)); err != nil {
		t.Fatal(err)
	}
	f.emr.Clock().Advance(time.Hour)
	r := f.syncAhead(t)
	if c := row(r, "Condition"); r.Verdict != fhirsync.Complete || c.Returned != 1 || c.Server != c.Mirror {
		t.Errorf("returned: %q, %+v", r.Verdict, c)
	}
	f.equal(t)
}

// TestOutageOnAQuietDay: F16, a server that finds and counts nothing is no quiet
// day, also when only changes are asked for: the cursors stay.
func TestOutageOnAQuietDay(t *testing.T) {
	f := newSearchOffice(t, searched())
	f.syncAhead(t)
	before := f.cursor(t, "Observation")
	f.emr.Clock().Advance(time.Hour)
	f.edit(t, "Observation", "obs-1-0", "edited")
	f.emr.Clock().Advance(time.Hour)
	f.emr.Set(fakeemr.Faults{EmptySearch: true})
	if r := f.syncAhead(t); r.Verdict == fhirsync.Complete || row(r, "Observation").Gap == "" {
		t.Errorf("in the outage: %q, %+v", r.Verdict, row(r, "Observation"))
	}
	if now := f.cursor(t, "Observation"); !now.Equal(before) {
		t.Errorf("the cursor moved from %s to %s", before, now)
	}
	f.emr.Set(fakeemr.Faults{})
	if r := f.syncAhead(t); r.Verdict != fhirsync.Complete || row(r, "Observation").Changed != 1 {
		t.Errorf("afterwards: %q, %+v", r.Verdict, row(r, "Observation"))
	}
	f.equal(t)
}
