package fhirsync_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
	"chartcellar/fhirsync/rest"
)

// certified returns the row of a type.
func certified(r *fhirsync.Report, typ string) fhirsync.CertifiedType {
	for _, one := range r.Certificate().Types {
		if one.Type == typ {
			return one
		}
	}
	return fhirsync.CertifiedType{}
}

// TestCertificateNamesNobody: the words of the EMR's error list may name a patient;
// they stand with the evidence only.
func TestCertificateNamesNobody(t *testing.T) {
	for _, typ := range []string{"Observation", ""} {
		f := newOffice(t, small())
		f.emr.Set(fakeemr.Faults{ErrorFile: "could not export Mary Smith", ErrorType: typ})
		r := f.sync(t)
		b, err := json.Marshal([]any{r.Certificate(), r.Gaps, r.Types, r.Notes})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "Mary") {
			t.Errorf("%q: a patient is named: %s", typ, b)
		}
		if r.Verdict == fhirsync.Complete || row(r, "Observation").Gap == "" {
			t.Errorf("%q: %q, gap %q", typ, r.Verdict, row(r, "Observation").Gap)
		}
		if !slices.ContainsFunc(r.Evidence, func(p fhirsync.Proof) bool {
			return p.Class == "error list" && strings.Contains(p.Words, "Mary Smith")
		}) {
			t.Errorf("%q: the words are lost: %+v", typ, r.Evidence)
		}
	}
}

// TestCertificateOfACutFile: what the manifest announced and did not come whole
// proves nothing of how many the EMR has.
func TestCertificateOfACutFile(t *testing.T) {
	f := newOffice(t, small())
	f.emr.Set(fakeemr.Faults{NoSummary: true})
	if row := certified(f.sync(t), "Observation"); row.Basis != "manifest" || row.EMR != row.Here || row.Here == 0 {
		t.Errorf("whole: %+v", row)
	}
	f = newOffice(t, small())
	f.emr.Set(fakeemr.Faults{NoSummary: true, Truncate: "line", TruncateType: "Observation"})
	if row := certified(f.sync(t), "Observation"); row.Gap == "" || row.Basis != "none" || row.EMR != -1 {
		t.Errorf("cut: %+v", row)
	}
}

// TestCertificateOfADeniedType: what is here is counted, also of a type that the EMR
// no longer grants access to.
func TestCertificateOfADeniedType(t *testing.T) {
	f := newOffice(t, small())
	records := f.sync(t).Certificate().Records
	f.emr.Set(fakeemr.Faults{GrantOnly: []string{"system/Patient.rs"}})
	f.connect(t)
	r := f.sync(t)
	if row := certified(r, "Observation"); row.Gap == "" || row.Here != f.count(t, "Observation") || row.Here == 0 {
		t.Errorf("denied: %+v, here are %d", row, f.count(t, "Observation"))
	}
	if n := r.Certificate().Records; n != records {
		t.Errorf("%d records, want the %d that are here", n, records)
	}
}

// TestCertificateCountsAll: more gaps than a report lists are counted all the same.
func TestCertificateCountsAll(t *testing.T) {
	f := newOffice(t, small())
	var parts []string
	for i := range 510 {
		parts = append(parts, fmt.Sprintf(`{"attachment":{"url":"Binary/nothing-%d"}}`, i))
	}
	if _, err := f.emr.Put([]byte(`{"resourceType":"DocumentReference","id":"many","content":[` + strings.Join(parts, ",") + `]}`)); err != nil {
		t.Fatal(err)
	}
	r := f.sync(t)
	if n := r.Certificate().Gaps["attachment"]; n != 510 || r.GapCount != 510 || len(r.Gaps) >= 510 {
		t.Errorf("%d gaps certified, %d counted, %d listed; want 510, 510, fewer", n, r.GapCount, len(r.Gaps))
	}
}

// TestWithheldIsNotDangling: a record that the EMR does not let us read is there;
// it is called withheld also while it is not asked for again.
func TestWithheldIsNotDangling(t *testing.T) {
	f := newOffice(t, small())
	f.emr.Set(fakeemr.Faults{RefuseRead: []string{"Practitioner/hidden"}})
	if _, err := f.emr.Put([]byte(`{"resourceType":"Observation","id":"by-hidden","performer":[{"reference":"Practitioner/hidden"}]}`)); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		c := f.sync(t).Certificate()
		if c.Withheld != 1 || c.Dangling != 0 {
			t.Errorf("run %d: withheld %d, dangling %d; want 1, 0", n+1, c.Withheld, c.Dangling)
		}
	}
}

// refused is the evidence of a call in which the EMR refused something once; of one
// in which it refused nothing for "".
func refused(class string) *fhirsync.Evidence {
	e := &fhirsync.Evidence{}
	if class != "" {
		e.Observe(rest.Exchange{Class: class, Status: 403, Attempts: 1})
	}
	return e
}

// syncWith is trySync with evidence.
func (f *office) syncWith(ctx context.Context, e *fhirsync.Evidence) (*fhirsync.Report, error) {
	return fhirsync.Sync(ctx, fhirsync.Options{Source: f.source, Client: f.client, Tokens: f.tokens, Mirror: f.m,
		Poll: time.Millisecond, LostWait: time.Nanosecond, Downloads: 1, Evidence: e})
}

// TestEvidenceOfTwoBreaks: what the EMR refused before the first break of a run is
// in its report once, also if it breaks a second time.
func TestEvidenceOfTwoBreaks(t *testing.T) {
	o := small()
	o.FilesPerType = 2
	f := newOffice(t, o)
	for n, class := range []string{"first", ""} {
		ctx, cancel := context.WithCancel(t.Context())
		files := 0
		f.emr.Set(fakeemr.Faults{OnFile: func(int) {
			if files++; files > 3 {
				cancel()
			}
		}})
		if _, err := f.syncWith(ctx, refused(class)); !errors.Is(err, context.Canceled) {
			t.Fatalf("break %d: %v", n+1, err)
		}
		cancel()
	}
	f.emr.Set(fakeemr.Faults{})
	r, err := f.syncWith(t.Context(), refused("last"))
	if err != nil || !r.Resumed || len(r.Evidence) != 2 || r.Evidence[0].Class != "first" || r.Evidence[0].Times != 1 || r.Evidence[1].Class != "last" {
		t.Errorf("evidence %+v, resumed %v, %v", r.Evidence, r.Resumed, err)
	}
}

// TestFailsBeforeItBegins: a run that could not be planned leaves no run behind, and
// what the EMR refused is not lost.
func TestFailsBeforeItBegins(t *testing.T) {
	f := newSearchOffice(t, searched())
	f.emr.Set(fakeemr.Faults{Throttle: 1000, ThrottlePrefix: "/Observation"})
	for n, class := range []string{"first", ""} {
		if r, err := f.syncWith(t.Context(), refused(class)); err == nil {
			t.Fatalf("call %d: a throttled probe: %q", n+1, r.Verdict)
		}
	}
	f.emr.Set(fakeemr.Faults{})
	r, err := f.syncWith(t.Context(), refused(""))
	if err != nil {
		t.Fatal(err)
	}
	runs, err := f.m.Runs()
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != fhirsync.Complete || r.Run != 1 || len(runs) != 1 {
		t.Errorf("%q, run %d of %d; want the first and only one", r.Verdict, r.Run, len(runs))
	}
	if len(r.Evidence) != 1 || r.Evidence[0].Class != "first" || r.Evidence[0].Times != 1 {
		t.Errorf("evidence %+v", r.Evidence)
	}
}
