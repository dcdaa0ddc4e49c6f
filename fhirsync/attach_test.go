package fhirsync_test

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"testing"
	"time"

	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/verify"
)

// documents is an EMR whose Binary resources can only be read by their id.
func documents() fakeemr.Options {
	return fakeemr.Options{Practice: fakeemr.Practice{Patients: 6, Seed: 1, Years: 3}, Polls: -1, HideBinary: true}
}

// attachment is the first attachment of a document.
type attachment struct {
	URL, ContentType, Hash string
	Size                   int64
}

// attachments calls fn for the attachments with an address that current records
// of the mirror name.
func (f *office) attachments(t *testing.T, fn func(k store.Key, a attachment)) {
	t.Helper()
	snap, err := f.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range []string{"DocumentReference", "DiagnosticReport"} {
		err := snap.Each(t.Context(), "emr", typ, func(id string, raw []byte) error {
			var d struct {
				Content       []struct{ Attachment attachment }
				PresentedForm []attachment
			}
			if err := json.Unmarshal(raw, &d); err != nil {
				return err
			}
			for _, c := range d.Content {
				d.PresentedForm = append(d.PresentedForm, c.Attachment)
			}
			for _, a := range d.PresentedForm {
				if a.URL != "" {
					fn(store.Key{Source: "emr", Type: typ, ID: id}, a)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestAttachments: F30 and P105-P110, what servers do with documents.
func TestAttachments(t *testing.T) {
	tests := []struct {
		name   string
		faults fakeemr.Faults
		want   fhirsync.Verdict
		had    bool // every attachment was had
	}{
		{"raw bytes", fakeemr.Faults{}, fhirsync.Complete, true},
		{"absolute addresses", fakeemr.Faults{AttachmentURL: "absolute"}, fhirsync.Complete, true},
		{"signed addresses elsewhere", fakeemr.Faults{AttachmentURL: "signed", SignedLife: time.Hour}, fhirsync.Complete, true},
		{"the resource as JSON though bytes were asked for", fakeemr.Faults{BinaryMode: "json"}, fhirsync.Complete, true},
		{"406 for bytes", fakeemr.Faults{BinaryMode: "406"}, fhirsync.Complete, true},
		{"a page to sign in", fakeemr.Faults{AttachmentHTML: true}, fhirsync.WithGaps, false},
		{"a page to sign in that says it is a PDF", fakeemr.Faults{AttachmentHTML: true, AttachmentType: "application/pdf"}, fhirsync.WithGaps, false},
		{"cut short", fakeemr.Faults{AttachmentCut: true}, fhirsync.WithGaps, false},
		{"a wrong checksum", fakeemr.Faults{WrongHash: true}, fhirsync.WithGaps, true},
		{"not there", fakeemr.Faults{AttachmentStatus: 404}, fhirsync.WithGaps, false},
		{"broken", fakeemr.Faults{AttachmentStatus: 500}, fhirsync.WithGaps, false},
		{"broken for a while", fakeemr.Faults{AttachmentStatus: 503, AttachmentTimes: 3}, fhirsync.Complete, true},
		{"an address inside the office", fakeemr.Faults{AttachmentURL: "inside"}, fhirsync.WithGaps, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newOffice(t, documents())
			f.emr.Set(tt.faults)
			r := f.sync(t)
			if r.Verdict != tt.want || (r.Attachments.Stored > 0) != tt.had || r.Attachments.Wanted == 0 {
				t.Errorf("verdict %q, %+v, gaps %+v", r.Verdict, r.Attachments, r.Gaps)
			}
			f.checkFiles(t, tt.had)
			if tt.want == fhirsync.WithGaps {
				for _, g := range r.Gaps {
					if g.Kind != "attachment" || g.Reason == "" || g.Since.IsZero() {
						t.Errorf("gap %+v", g)
					}
				}
				if r := f.sync(t); r.GapCount == 0 || r.Gaps[0].Tries != 2 {
					t.Errorf("a second run: %+v", r.Gaps)
				}
			}
			f.emr.Set(fakeemr.Faults{AttachmentURL: tt.faults.AttachmentURL})
			if tt.faults.AttachmentURL == "inside" || tt.faults.WrongHash {
				f.emr.Set(fakeemr.Faults{})
				f.full = true // the documents themselves have changed
			}
			if r := f.sync(t); r.Verdict != fhirsync.Complete || r.GapCount > 0 {
				t.Errorf("healed: %q, %+v", r.Verdict, r.Gaps)
			}
			f.checkFiles(t, true)
		})
	}
}

// checkFiles fails unless the mirror holds the bytes that each record promises.
func (f *office) checkFiles(t *testing.T, had bool) {
	t.Helper()
	snap, err := f.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	f.attachments(t, func(k store.Key, a attachment) {
		_, body, err := snap.Attachment(t.Context(), k, a.URL)
		if !had {
			if err == nil {
				t.Errorf("%s: the mirror holds an attachment that was not given", k)
			}
			return
		}
		if err != nil {
			t.Fatalf("Attachment(%s) = %v", k, err)
		}
		defer body.Close()
		content, err := io.ReadAll(body)
		sum := sha1.Sum(content)
		if hash := base64.StdEncoding.EncodeToString(sum[:]); err != nil || !f.emr.Faults().WrongHash && hash != a.Hash {
			t.Errorf("%s: %d bytes, %v: not what the record says", k, len(content), err)
		}
	})
	r, err := verify.Run(t.Context(), f.m, verify.Options{Depth: verify.Full})
	if err != nil || !r.Good() {
		t.Errorf("verify = %+v, %v", r.Damage, err)
	}
}

// TestDocumentElsewhere: a document on a host that does not exist is a gap, and
// stops nothing.
func TestDocumentElsewhere(t *testing.T) {
	f := newOffice(t, documents())
	line := `{"resourceType":"DocumentReference","id":"elsewhere","content":[{"attachment":{"url":"https://nowhere.invalid/x.pdf"}}]}`
	if _, err := f.emr.Put([]byte(line)); err != nil {
		t.Fatal(err)
	}
	r := f.sync(t)
	if r.Verdict != fhirsync.WithGaps || r.GapCount != 1 || r.Gaps[0].Ref != "DocumentReference/elsewhere" || r.Attachments.Stored == 0 {
		t.Errorf("verdict %q, gaps %+v", r.Verdict, r.Gaps)
	}
}

// TestSignedLinksExpire: P110, addresses that die within a minute are renewed by
// reading the document again.
func TestSignedLinksExpire(t *testing.T) {
	f := newOffice(t, documents())
	f.emr.Set(fakeemr.Faults{AttachmentURL: "signed", SignedLife: time.Minute, OnAttachment: func(n int) {
		if n == 1 {
			f.emr.Clock().Advance(2 * time.Minute)
		}
	}})
	r := f.sync(t)
	if r.Verdict != fhirsync.Complete || r.Attachments.Stored == 0 {
		t.Errorf("verdict %q, %+v, gaps %+v", r.Verdict, r.Attachments, r.Gaps)
	}
	f.checkFiles(t, true)
	n := f.emr.Served().Attachments
	f.full = true
	if r := f.sync(t); row(r, "DocumentReference").Changed != 0 || f.emr.Served().Attachments != n {
		t.Errorf("new signatures look like changes: %+v, %d attachments fetched", row(r, "DocumentReference"), f.emr.Served().Attachments-n)
	}
}

// TestAttachmentOnce: a Binary that two records name is stored once, and a
// document that is edited has its attachment fetched again.
func TestAttachmentOnce(t *testing.T) {
	f := newOffice(t, documents())
	f.sync(t)
	names := map[index.BlobName]int{}
	snap, err := f.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	shared := 0
	f.attachments(t, func(k store.Key, _ attachment) {
		links, err := snap.Attachments(k)
		if err != nil || len(links) != 1 {
			t.Errorf("%s: %d links, %v", k, len(links), err)
			return
		}
		if names[links[0].Name]++; names[links[0].Name] == 2 {
			shared++
		}
	})
	if shared == 0 {
		t.Error("no content is named by two records")
	}
	var doc store.Key
	f.attachments(t, func(k store.Key, _ attachment) { doc = k })
	if err := f.emr.Edit(doc.Type, doc.ID, func(m map[string]any) { m["language"] = "en" }); err != nil {
		t.Fatal(err)
	}
	n := f.emr.Served().Attachments
	if r := f.sync(t); r.Attachments.Wanted != 1 || f.emr.Served().Attachments != n+1 {
		t.Errorf("after an edit: %+v", r.Attachments)
	}
	if err := f.m.RebuildIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.checkFiles(t, true)
	wants, _, err := f.m.Wants("emr", nil, 10)
	if err != nil || len(wants) != 0 {
		t.Errorf("after a rebuild %d attachments are wanted, %v", len(wants), err)
	}
}

// TestLargeAttachment: an attachment over the limit is a gap with words; allowed,
// it is streamed into a file of its own, and damage to that file is found.
func TestLargeAttachment(t *testing.T) {
	for _, mode := range []string{"", "json"} {
		o := documents()
		o.BigAttachment = 9<<20 + 17
		f := newOffice(t, o)
		f.emr.Set(fakeemr.Faults{BinaryMode: mode})
		f.limit = 8 << 20
		r := f.sync(t)
		if r.Verdict != fhirsync.WithGaps || r.GapCount != 1 || r.Attachments.Missing != 1 {
			t.Errorf("over the limit: %q, %+v", r.Verdict, r.Gaps)
		}
		f.limit = 16 << 20
		if r := f.sync(t); r.Verdict != fhirsync.Complete || r.Attachments.Stored != 1 {
			t.Errorf("allowed: %q, %+v", r.Verdict, r.Gaps)
		}
		f.checkFiles(t, true)
		parts, err := f.m.Parts()
		if err != nil {
			t.Fatal(err)
		}
		files := 0
		for _, p := range parts {
			files += len(p.Files)
		}
		if files != 1 {
			t.Errorf("%d attachment files, want 1", files)
		}
	}
}

// TestReferences: P92, records that others name and that neither export nor
// search gives are read by their id; what is not there is not asked for again.
func TestReferences(t *testing.T) {
	o := small()
	o.HiddenTypes = []string{"Practitioner", "Medication"}
	f := newOffice(t, o)
	if _, err := f.emr.Put([]byte(`{"resourceType":"Observation","id":"dangling","performer":[{"reference":"Practitioner/nobody"}]}`)); err != nil {
		t.Fatal(err)
	}
	r := f.sync(t)
	if r.Followed == 0 || len(r.Dangling) != 1 || f.count(t, "Practitioner") == 0 || f.count(t, "Medication") == 0 {
		t.Errorf("%d read, dangling %v, %d practitioners", r.Followed, r.Dangling, f.count(t, "Practitioner"))
	}
	reads := f.emr.Served().Reads
	f.full = true
	f.sync(t)
	if n := f.emr.Served().Reads; n != reads {
		t.Errorf("%d records were read again", n-reads)
	}
}

// TestWithheldPatient: a patient whom records name and whom the EMR does not let
// us read is a gap.
func TestWithheldPatient(t *testing.T) {
	f := newOffice(t, small())
	f.emr.Set(fakeemr.Faults{RefuseRead: []string{"Patient/hidden"}})
	if _, err := f.emr.Put([]byte(`{"resourceType":"Observation","id":"of-hidden","subject":{"reference":"Patient/hidden"}}`)); err != nil {
		t.Fatal(err)
	}
	r := f.sync(t)
	if r.Verdict != fhirsync.WithGaps || r.GapCount != 1 || r.Gaps[0].Kind != "patient" || r.Withheld != 1 {
		t.Errorf("verdict %q, gaps %+v, withheld %d", r.Verdict, r.Gaps, r.Withheld)
	}
}
