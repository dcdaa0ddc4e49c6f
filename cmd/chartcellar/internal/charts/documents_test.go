package charts_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
	"chartcellar/store/index"
)

// letter is the record of a document of Anna's, with this attachment.
func letter(id, attachment string, more ...string) string {
	return `{"resourceType":"DocumentReference","id":"` + id + `","status":"current","subject":{"reference":"Patient/anna"},"type":{"text":"Letter"},"date":"2026-02-0` + id[len(id)-1:] + `T10:00:00Z",` +
		`"context":{"encounter":[{"reference":"Encounter/e"}]},` + strings.Join(append(more, ""), ",") + `"content":[{"attachment":{` + attachment + `}}]}`
}

func inline(contentType string, b []byte) string {
	return `"contentType":"` + contentType + `","data":"` + base64.StdEncoding.EncodeToString(b) + `"`
}

func sum1(b []byte) string {
	sum := sha1.Sum(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

const restricted = `"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]}`

// attach adds a run that fetches an attachment of a record, and one gap.
func (d *desk) attach(url string, content []byte, gap index.Gap) {
	d.t.Helper()
	ctx := context.Background()
	r, err := d.m.Begin(ctx, store.RunSpec{Source: "main", Kind: "sync"})
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Abort()
	w := store.Want{Source: "main", Type: "DocumentReference", ID: "d4", URL: url}
	err = r.Attach(ctx, w, "application/pdf", bytes.NewReader(content), func(store.Content) (string, error) { return "larger than the record says", nil })
	if err != nil {
		d.t.Fatal(err)
	}
	r.Gap(gap)
	counts, err := r.Counts(ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := r.Close(ctx, store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts}); err != nil {
		d.t.Fatal(err)
	}
}

// papers is a mirror with documents of all kinds; big is a scan of the length n.
func papers(t testing.TB, n int) (d *desk, big []byte) {
	t.Helper()
	big = append([]byte("%PDF-1.7\n"), bytes.Repeat([]byte("scan "), n/5)...)
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 30, 20))); err != nil {
		t.Fatal(err)
	}
	text := []byte("Grüße")
	d = newDesk(t, anna, ben,
		`{"resourceType":"Encounter","id":"e","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/anna"},"type":[{"text":"Office visit"}],"period":{"start":"2026-02-01"}}`,
		letter("d1", inline("text/plain", text)+`,"size":7,"hash":"`+sum1(text)+`"`),
		letter("d2", inline("application/pdf", picture.Bytes())+`,"size":1,"hash":"AAAA","title":"Scan"`),
		letter("d3", `"contentType":"application/rtf","url":"Binary/b3"`),
		letter("d4", `"url":"https://emr.example/files/4?token=x","contentType":"application/pdf"`),
		letter("d5", `"url":"https://emr.example/files/5"`),
		letter("d6", inline("text/plain", []byte("secret")), restricted),
		letter("d7", inline("text/plain", []byte("wrong patient")), `"docStatus":"entered-in-error"`),
		letter("d8", `"contentType":"text/plain","data":"not base64!"`),
		letter("d9", `"url":"Binary/b9"`),
		`{"resourceType":"Binary","id":"b3","contentType":"application/rtf","data":"`+base64.StdEncoding.EncodeToString([]byte(`{\rtf1 Hello}`))+`"}`,
		`{"resourceType":"Binary","id":"b9",`+restricted+`,"contentType":"text/plain","data":"c2VjcmV0"}`,
		`{"resourceType":"DiagnosticReport","id":"r","status":"preliminary","code":{"text":"X-ray"},"subject":{"reference":"Patient/anna"},"effectiveDateTime":"2026-02-28","presentedForm":[{`+inline("text/html", []byte("<p>a"))+`}]}`,
		`{"resourceType":"Media","id":"other","status":"completed","subject":{"reference":"Patient/ben"},"content":{`+inline("image/png", picture.Bytes())+`}}`)
	d.attach("https://emr.example/files/4", big, index.Gap{ID: "g", Kind: "attachment", Type: "DocumentReference", Ref: "DocumentReference/d5", Reason: "the EMR answered 404", Since: d.now})
	return d, big
}

// TestDocumentsOfAllTypes: files are listed whatever type of record names them, wherever.
func TestDocumentsOfAllTypes(t *testing.T) {
	t.Parallel()
	const file = `"contentType":"text/plain","data":"c2VjcmV0"`
	d := newDesk(t, strings.Replace(anna, `{`, `{"photo":[{"url":"https://emr.example/p"}],`, 1), potassium("final", "4.10"),
		`{"resourceType":"Observation","id":"x","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/anna"},"component":[{"code":{"text":"y"},"extension":[{"url":"u","valueAttachment":{`+file+`}}]}]}`,
		`{"resourceType":"QuestionnaireResponse","id":"q","status":"completed","subject":{"reference":"Patient/anna"},"item":[{"linkId":"1","answer":[{"valueAttachment":{`+file+`}}]}]}`,
		`{"resourceType":"SupplyDelivery","id":"rare","patient":{"reference":"Patient/anna"},"extension":[{"url":"u","valueAttachment":{`+file+`}}]}`,
		`{"resourceType":"DocumentReference","id":"none","status":"current","subject":{"reference":"Patient/anna"}}`)
	l, err := d.Documents(t.Context(), doctor, d.at("anna", ""))
	var got []string
	for _, row := range l.List {
		got = append(got, row.Attachment.Ref)
	}
	slices.Sort(got)
	want := []string{"DocumentReference/none", "Observation/x", "Patient/anna", "QuestionnaireResponse/q", "SupplyDelivery/rare"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("files of %q, %v; want those of %q", got, err, want)
	}
}

// later lets time go by.
func (d *desk) later(t time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(t)
}

// TestDocuments: every file of the patient and no other's, the newest first, with whether
// the copy has it, or why not; what is labelled or was entered in error is counted.
func TestDocuments(t *testing.T) {
	d, _ := papers(t, 100)
	rows := func(a viewer.Actor) (list []string, l viewer.DocumentList) {
		l, err := d.Documents(t.Context(), a, d.at("anna", ""))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range l.List {
			why := r.Why
			if r.Held {
				why = r.Problem
			}
			list = append(list, fmt.Sprintf("%s | %s | %s | %s | %s | held %v | %s", r.Attachment.Ref, r.Title, r.Date, r.Format, r.VisitWords, r.Held, why))
		}
		return list, l
	}
	want := []string{
		"DiagnosticReport/r | X-ray | 2026-02-28 | web page |  | held true | ",
		"DocumentReference/d9 | Letter | 2026-02-09 10:00 UTC | no format given | Office visit 2026-02-01 | held true | ",
		"DocumentReference/d8 | Letter | 2026-02-08 10:00 UTC | text | Office visit 2026-02-01 | held true | ",
		"DocumentReference/d6 | Letter | 2026-02-06 10:00 UTC | text | Office visit 2026-02-01 | held true | ",
		"DocumentReference/d5 | Letter | 2026-02-05 10:00 UTC | no format given | Office visit 2026-02-01 | held false | the EMR answered 404 (since 2026-03-02)",
		"DocumentReference/d4 | Letter | 2026-02-04 10:00 UTC | PDF | Office visit 2026-02-01 | held true | larger than the record says",
		"DocumentReference/d3 | Letter | 2026-02-03 10:00 UTC | RTF | Office visit 2026-02-01 | held true | ",
		"DocumentReference/d2 | Letter: Scan | 2026-02-02 10:00 UTC | PDF | Office visit 2026-02-01 | held true | ",
		"DocumentReference/d1 | Letter | 2026-02-01 10:00 UTC | text | Office visit 2026-02-01 | held true | "}
	got, l := rows(doctor)
	if !slices.Equal(got, want) {
		t.Errorf("the doctor sees\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if l.EnteredInError != 1 || l.Withheld != 0 {
		t.Errorf("the doctor: %d in error, %d withheld", l.EnteredInError, l.Withheld)
	}
	want = slices.Delete(want, 3, 4)
	if got, l = rows(staff); !slices.Equal(got, want) || l.Withheld != 1 {
		t.Errorf("staff sees\n%s\n%d withheld", strings.Join(got, "\n"), l.Withheld)
	}
}

// TestDocument: what a file is, by its bytes; how it differs from what the record says;
// why it is not there.
func TestDocument(t *testing.T) {
	d, big := papers(t, 3<<20)
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 30, 20))); err != nil {
		t.Fatal(err)
	}
	dots := int64(picture.Len())
	tests := []struct {
		ref, asOf string
		kind      chart.FileKind
		bytes     int64
		content   string
		notes     string
		why       string
	}{
		{ref: "DocumentReference/d1", kind: chart.PlainText, bytes: 7, content: "Grüße"},
		{ref: "DocumentReference/d2", kind: chart.PNG, bytes: dots, notes: fmt.Sprintf("The record calls this a PDF; by its bytes it is a PNG picture, and it is treated as that.; The record says 1 bytes, the document has %d.; The checksum in the record is not that of the document.", dots)},
		{ref: "DocumentReference/d3", kind: chart.RTF, bytes: 13, content: `{\rtf1 Hello}`},
		{ref: "DocumentReference/d4", kind: chart.PDF, bytes: int64(len(big))},
		{ref: "DocumentReference/d4", asOf: "2026-03-01", why: "the record says only where the EMR has it"},
		{ref: "DocumentReference/d5", why: "the EMR answered 404 (since 2026-03-02)"},
		{ref: "DocumentReference/d8", why: "what the record holds in its place is not written as FHIR says (base64)"},
		{ref: "DiagnosticReport/r", kind: chart.WebPage, bytes: 4, content: "<p>a"},
	}
	for _, tt := range tests {
		t.Run(tt.ref+tt.asOf, func(t *testing.T) {
			doc, err := d.Document(t.Context(), doctor, d.of(tt.ref, tt.asOf), 1)
			if err != nil {
				t.Fatal(err)
			}
			if doc.ChartHead == nil || doc.Banner.Name != "Müller-Ötz, Anna" || doc.Of != 1 {
				t.Errorf("the patient is %+v", doc.ChartHead)
			}
			if doc.Held != (tt.why == "") || !doc.Held && doc.Why != tt.why {
				t.Fatalf("held %v, why %q; want %q", doc.Held, doc.Why, tt.why)
			}
			if !doc.Held {
				return
			}
			if notes := strings.Join(doc.Notes, "; "); doc.Kind != tt.kind || doc.Bytes != tt.bytes || string(doc.Content) != tt.content || notes != tt.notes {
				t.Errorf("%s, %d bytes, %q, notes %q", doc.Kind, doc.Bytes, doc.Content, notes)
			}
			f, err := d.DocumentFile(t.Context(), doctor, d.of(tt.ref, tt.asOf), 1, true)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(f)
			if err != nil || f.Close() != nil || int64(len(b)) != tt.bytes || f.Bytes >= 0 && f.Bytes != tt.bytes || f.Kind != tt.kind {
				t.Errorf("the file has %d bytes, says %d, is %s: %v", len(b), f.Bytes, f.Kind, err)
			}
			if sum := fmt.Sprintf("%x", sha256.Sum256(b)); sum != doc.SHA256 {
				t.Errorf("SHA-256 %s, the file has %s", doc.SHA256, sum)
			}
		})
	}
	if doc, err := d.Document(t.Context(), doctor, d.of("DocumentReference/d2", ""), 1); err != nil || doc.Width != 30 || doc.Height != 20 {
		t.Errorf("the picture is %d by %d dots: %v", doc.Width, doc.Height, err)
	}
	for _, ref := range []string{"DocumentReference/none", "Patient/anna"} {
		_, err := d.Document(t.Context(), doctor, d.of(ref, ""), 1)
		is(t, err, viewer.ErrNotFound)
	}
	_, err := d.Document(t.Context(), doctor, d.of("DocumentReference/d1", ""), 2)
	is(t, err, viewer.ErrNotFound)
	_, err = d.DocumentFile(t.Context(), doctor, d.of("DocumentReference/d5", ""), 1, false)
	is(t, err, viewer.ErrNotFound)
}

// TestNoFile: a record of a document that names no file is in the list, and has a page
// that says so.
func TestNoFile(t *testing.T) {
	d := newDesk(t, anna, `{"resourceType":"DocumentReference","id":"bare","status":"current","subject":{"reference":"Patient/anna"},"type":{"text":"Consent"},"date":"2026-02-01"}`)
	l, err := d.Documents(t.Context(), doctor, d.at("anna", ""))
	if err != nil || len(l.List) != 1 || l.List[0].N != 0 || l.List[0].Title != "Consent" || l.List[0].Held {
		t.Errorf("the list has %+v: %v", l.List, err)
	}
	doc, err := d.Document(t.Context(), doctor, d.of("DocumentReference/bare", ""), 1)
	if err != nil || doc.N != 0 || doc.Held || doc.Why != "its record names no file" || doc.Title != "Consent" {
		t.Errorf("the page has %+v: %v", doc.DocumentRow, err)
	}
	_, err = d.DocumentFile(t.Context(), doctor, d.of("DocumentReference/bare", ""), 1, true)
	is(t, err, viewer.ErrNotFound)
}

// TestRemovedDocument: one that the EMR has removed is still there, and says so.
func TestRemovedDocument(t *testing.T) {
	d, _ := papers(t, 100)
	d.pull("main", "DocumentReference/d1", "Binary/b3")
	doc, err := d.Document(t.Context(), doctor, d.of("DocumentReference/d1", ""), 1)
	if err != nil || !doc.Removed || string(doc.Content) != "Grüße" {
		t.Errorf("removed %v, %q: %v", doc.Removed, doc.Content, err)
	}
}

// TestSensitiveDocuments: what is labelled, in the record or in the Binary, is denied to
// who may not see it, on every way.
func TestSensitiveDocuments(t *testing.T) {
	d, _ := papers(t, 100)
	closed := func(err error) {
		t.Helper()
		var refused *viewer.Refusal
		if !errors.As(err, &refused) || !strings.Contains(refused.Words, "labelled sensitive") {
			t.Errorf("error %v, want that it is labelled sensitive", err)
		}
	}
	for _, ref := range []string{"DocumentReference/d6", "DocumentReference/d9"} {
		_, err := d.Document(t.Context(), staff, d.of(ref, ""), 1)
		closed(err)
		for _, save := range []bool{false, true} {
			_, err = d.DocumentFile(t.Context(), staff, d.of(ref, ""), 1, save)
			closed(err)
		}
		if doc, err := d.Document(t.Context(), doctor, d.of(ref, ""), 1); err != nil || string(doc.Content) != "secret" {
			t.Errorf("the doctor sees %q: %v", doc.Content, err)
		}
	}
	if tried := strings.Count(strings.Join(d.journal(), "\n"), "document.open staff"); tried != 4 {
		t.Errorf("%d lines of what staff tried, want 4", tried)
	}
}

// TestDocumentNamesNoneLabelled: a document says of its visit and of who wrote it no more
// than who looks may see of these.
func TestDocumentNamesNoneLabelled(t *testing.T) {
	d := newDesk(t, anna, letter("d1", inline("text/plain", []byte("a")), `"author":[{"reference":"Organization/o"}]`),
		`{"resourceType":"Encounter","id":"e",`+restricted+`,"status":"finished","subject":{"reference":"Patient/anna"},"type":[{"text":"Detox"}],"period":{"start":"2026-02-01"}}`,
		`{"resourceType":"Organization","id":"o",`+restricted+`,"name":"Detox clinic"}`)
	for who, want := range map[*viewer.Actor]bool{&doctor: true, &staff: false} {
		list, err := d.Documents(t.Context(), *who, d.at("anna", ""))
		if err != nil || len(list.List) != 1 {
			t.Fatal(list.List, err)
		}
		doc, err := d.Document(t.Context(), *who, d.of("DocumentReference/d1", ""), 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range []viewer.DocumentRow{list.List[0], doc.DocumentRow} {
			if got := row.VisitWords + row.Author; strings.Contains(row.VisitWords, "Detox") != want || strings.Contains(row.Author, "Detox") != want {
				t.Errorf("%s sees %q", who.Account, got)
			}
		}
	}
}

// TestBinary: a Binary is as closed by itself as the record that names it, however its
// address was come by.
func TestBinary(t *testing.T) {
	d := newDesk(t, anna, ben, letter("d1", `"contentType":"text/plain","url":"Binary/old"`), letter("d2", `"contentType":"text/plain","url":"Binary/b2"`, restricted),
		`{"resourceType":"Binary","id":"old","contentType":"text/plain","data":"c2VjcmV0"}`,
		`{"resourceType":"Binary","id":"b1","contentType":"text/plain","data":"c2VjcmV0"}`,
		`{"resourceType":"Binary","id":"b2","contentType":"text/plain","data":"c2VjcmV0"}`,
		`{"resourceType":"Binary","id":"b3","contentType":"text/plain","data":"c2VjcmV0"}`)
	d.pull("main", letter("d1", `"contentType":"text/plain","url":"https://emr.example/fhir/Binary/b1"`))
	ways := func(a viewer.Actor, id string) (errs []error) {
		at := d.of("Binary/"+id, "")
		_, err := d.Record(t.Context(), a, at, "card")
		_, err2 := d.Bytes(t.Context(), a, at, 1)
		_, err3 := d.Uses(t.Context(), a, at, true)
		_, err4 := d.Document(t.Context(), a, at, 1)
		_, err5 := d.DocumentFile(t.Context(), a, at, 1, true)
		return []error{err, err2, err3, err4, err5}
	}
	var refused *viewer.Refusal
	for _, id := range []string{"old", "b1", "b2", "b3"} {
		for i, err := range ways(staff, id) {
			if !errors.As(err, &refused) || !strings.Contains(refused.Words, "not shown to your role") {
				t.Errorf("staff, way %d to %s: %v", i, id, err)
			}
		}
		for i, err := range ways(doctor, id) {
			if err != nil {
				t.Errorf("a doctor, way %d to %s: %v", i, id, err)
			}
		}
	}
	if err := d.m.SealPatient(t.Context(), store.SealOrder{Source: "main", Patient: "anna", By: "owner", Reason: "sent by mistake"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"old", "b1", "b2"} {
		for i, err := range ways(doctor, id) {
			if !errors.Is(err, viewer.ErrNotFound) {
				t.Errorf("sealed, way %d to %s: %v", i, id, err)
			}
		}
	}
	if err := errors.Join(ways(doctor, "b3")...); err != nil {
		t.Errorf("of nobody who is sealed: %v", err)
	}
}

// TestDocumentsOfASealedPatient: of a patient who was sealed no document is listed,
// shown or given.
func TestDocumentsOfASealedPatient(t *testing.T) {
	d, _ := papers(t, 100)
	if err := d.m.SealPatient(t.Context(), store.SealOrder{Source: "main", Patient: "anna", By: "owner", Reason: "given by mistake"}); err != nil {
		t.Fatal(err)
	}
	_, err := d.Documents(t.Context(), doctor, d.at("anna", ""))
	is(t, err, viewer.ErrNotFound)
	for _, ref := range []string{"DocumentReference/d1", "DocumentReference/d3", "DocumentReference/d4", "DiagnosticReport/r"} {
		_, err = d.Document(t.Context(), doctor, d.of(ref, ""), 1)
		is(t, err, viewer.ErrNotFound)
		_, err = d.DocumentFile(t.Context(), doctor, d.of(ref, ""), 1, true)
		is(t, err, viewer.ErrNotFound)
	}
}

// TestDocumentsAreJournalled: each look and each file is a line, with the patient; what
// cannot be written down is not shown.
func TestDocumentsAreJournalled(t *testing.T) {
	d, _ := papers(t, 100)
	at := d.of("DocumentReference/d1", "")
	if _, err := d.Document(t.Context(), doctor, at, 1); err != nil {
		t.Fatal(err)
	}
	file := func(a viewer.Actor, save bool) {
		t.Helper()
		f, err := d.DocumentFile(t.Context(), a, at, 1, save)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	file(doctor, false) // what the page fetches belongs to its line
	file(doctor, true)
	file(staff, false) // without a page
	if _, err := d.Documents(t.Context(), staff, d.at("anna", "")); err != nil {
		t.Fatal(err)
	}
	d.later(time.Hour)
	file(doctor, false)
	got := slices.DeleteFunc(d.journal(), func(l string) bool { return !strings.HasPrefix(l, "document.") && !strings.HasPrefix(l, "chart.") })
	want := []string{"document.open doctor file 1 of 1; from 192.0.2.1; request AAAA", "document.save doctor file 1 of 1; from 192.0.2.1; request AAAA",
		"document.open staff file 1 of 1; from 192.0.2.2; request BBBB", "chart.view staff documents; from 192.0.2.2; request BBBB",
		"document.open doctor file 1 of 1; from 192.0.2.1; request AAAA"}
	if !slices.Equal(got, want) {
		t.Errorf("the journal has\n%s", strings.Join(got, "\n"))
	}
	d.shut()
	if _, err := d.Document(t.Context(), doctor, at, 1); err == nil {
		t.Error("a document is shown that cannot be written down")
	}
	if _, err := d.DocumentFile(t.Context(), doctor, at, 1, true); err == nil {
		t.Error("a file is given that cannot be written down")
	}
}

// TestLockedDocuments: without the key nothing is opened.
func TestLockedDocuments(t *testing.T) {
	d, _ := papers(t, 100)
	d.m.Lock()
	_, err := d.Documents(t.Context(), doctor, d.at("anna", ""))
	is(t, err, viewer.ErrLocked)
	_, err = d.Document(t.Context(), doctor, d.of("DocumentReference/d1", ""), 1)
	is(t, err, viewer.ErrLocked)
}

// TestLargeDocuments: a scan of tens of megabytes is given out piece by piece; of what
// lies in its record there is the record in memory, and no second copy.
func TestLargeDocuments(t *testing.T) {
	const n = 24 << 20
	d, big := papers(t, n)
	d.pull("main", letter("d1", inline("application/pdf", big)))
	for ref, limit := range map[string]uint64{"DocumentReference/d4": n * 3 / 2, "DocumentReference/d1": n * 2} {
		if _, err := d.Document(t.Context(), doctor, d.of(ref, ""), 1); err != nil { // the chart is made, the index read
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f, err := d.DocumentFile(t.Context(), doctor, d.of(ref, ""), 1, false)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.Copy(io.Discard, f)
		if err != nil || f.Close() != nil || got != int64(len(big)) {
			t.Errorf("%s: %d bytes, %v", ref, got, err)
		}
		runtime.ReadMemStats(&after)
		t.Logf("%s: %d MB of memory for %d MB", ref, (after.TotalAlloc-before.TotalAlloc)>>20, got>>20)
		if used := after.TotalAlloc - before.TotalAlloc; used > limit {
			t.Errorf("%s: %d MB of memory were used", ref, used>>20)
		}
	}
}

// BenchmarkDocuments lists the files of a patient with 5,000 records, of which 1,000 are
// documents.
func BenchmarkDocuments(b *testing.B) {
	lines := []string{anna}
	for i := range 4000 {
		lines = append(lines, strings.Replace(potassium("final", "4.1"), `"id":"k"`, fmt.Sprintf(`"id":"k%d"`, i), 1))
	}
	for i := range 1000 {
		lines = append(lines, letter(fmt.Sprintf("n%d", i), inline("text/plain", bytes.Repeat([]byte("a line of a note\n"), 100))))
	}
	d := newDesk(b, lines...)
	for b.Loop() {
		l, err := d.Documents(b.Context(), doctor, d.at("anna", ""))
		if err != nil || len(l.List) != 1000 {
			b.Fatal(len(l.List), err)
		}
	}
}
