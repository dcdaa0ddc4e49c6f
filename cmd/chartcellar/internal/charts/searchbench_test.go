package charts_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
)

// manyNotes is how many notes the benchmark has: of 20,000 patients, with as many results
// again.
const manyNotes = 100_000

// fill pulls notes of about one kilobyte in words, and results. The word "zebra" stands in
// every 50,000th note, the oldest and the one in the middle.
func fill(b *testing.B, d *desk) {
	b.Helper()
	d.pullMany(b, manyNotes, func(i int) string {
		var text strings.Builder
		fmt.Fprintf(&text, "# Visit %d\n", i)
		for k := range 9 {
			fmt.Fprintf(&text, "The patient reports that complaint %d has been better since week %d; medicines were reviewed and continued.\n", (i*7+k)%500, k)
		}
		if i%50_000 == 0 {
			text.WriteString("Saw a zebra.\n")
		}
		return fmt.Sprintf(`{"resourceType":"DocumentReference","id":"n%d","status":"current","type":{"coding":[{"system":"http://loinc.org","code":"11506-3","display":"Progress note"}]},"subject":{"reference":"Patient/p%d"},"date":"2026-01-02T10:00:00Z","content":[{"attachment":{"contentType":"text/plain; charset=utf-8","data":"%s"}}]}`,
			i, i%20_000, base64.StdEncoding.EncodeToString([]byte(text.String())))
	}, func(i int) string {
		return fmt.Sprintf(`{"resourceType":"Observation","id":"o%d","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"%d-4","display":"Test number %d"}]},"subject":{"reference":"Patient/p%d"},"effectiveDateTime":"2026-01-02","valueQuantity":{"value":%d.5,"unit":"mg/dL"}}`, i, i%60, i%60, i%20_000, i%97)
	})
}

// BenchmarkSearch100000Notes measures how long it takes until the first hit of a rare word
// is there, until everything was looked at, and how many patients have a code.
func BenchmarkSearch100000Notes(b *testing.B) {
	d := newDesk(b)
	fill(b, d)
	ask := viewer.SearchAsk{Kind: viewer.SearchNotes, Text: "zebra"}
	var first, whole time.Duration
	n := 0
	for b.Loop() {
		d.m.DropCache()
		began := time.Now()
		id := d.start(doctor, ask)
		for hits := 0; hits == 0; {
			res, err := d.Search(b.Context(), doctor, id, 0, rowsOf)
			if err != nil {
				b.Fatal(err)
			}
			hits = res.Hits
			if hits == 0 {
				time.Sleep(5 * time.Millisecond)
			}
		}
		first += time.Since(began)
		for running := true; running; time.Sleep(5 * time.Millisecond) {
			res, err := d.Search(b.Context(), doctor, id, 0, rowsOf)
			if err != nil {
				b.Fatal(err)
			}
			if running = res.Running; !running && (res.Hits != 2 || res.Looked != 2*manyNotes) {
				b.Fatalf("%+v", res)
			}
		}
		whole += time.Since(began)
		n++
	}
	b.ReportMetric(float64(first.Milliseconds())/float64(n), "ms/first-hit")
	b.ReportMetric(float64(whole.Milliseconds())/float64(n), "ms/all")
}

// BenchmarkCohort measures who has a code.
func BenchmarkCohort(b *testing.B) {
	d := newDesk(b)
	fill(b, d)
	for b.Loop() {
		id := d.start(doctor, viewer.SearchAsk{Kind: viewer.SearchCohort, Has: []viewer.CodeAsk{{Text: "LOINC|7-4", Type: "Observation"}}})
		for running := true; running; time.Sleep(5 * time.Millisecond) {
			res, err := d.Search(b.Context(), doctor, id, 0, rowsOf)
			if err != nil {
				b.Fatal(err)
			}
			if running = res.Running; !running && res.Found == 0 {
				b.Fatalf("%+v", res)
			}
		}
	}
}
