package chart_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chartcellar/store"
	"chartcellar/store/chart"
	"chartcellar/store/index"
	"chartcellar/store/keys"
)

// newMirror makes a mirror that holds these lines.
func newMirror(t testing.TB, lines []string) *store.Mirror {
	t.Helper()
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	made, err := store.Init(store.InitOptions{Dir: dir, Box: box, Practice: "Practice"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := store.Open(context.Background(), store.Options{Dir: dir, Box: box, Ballast: -1, Reserve: 1, Identity: made.Office})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	r, err := m.Begin(context.Background(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	for len(lines) > 0 {
		n := min(200, len(lines))
		chunk := store.Chunk{Lines: []byte(strings.Join(lines[:n], "\n") + "\n")}
		if err := r.Add(context.Background(), chunk); err != nil {
			t.Fatal(err)
		}
		lines = lines[n:]
	}
	counts, err := r.Counts(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(context.Background(), store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts}); err != nil {
		t.Fatal(err)
	}
	return m
}

// observations are n results of one patient, of 60 tests.
func observations(patient string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`{"resourceType":"Observation","id":"%s-obs-%d","meta":{"versionId":"1","lastUpdated":"2026-05-01T10:00:00.000Z"},`+
			`"status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory","display":"Laboratory"}]}],`+
			`"code":{"coding":[{"system":"http://loinc.org","code":"%d-4","display":"Test number %d"}],"text":"Test number %d"},"subject":{"reference":"Patient/%s"},`+
			`"encounter":{"reference":"Encounter/%s-enc-%d"},"effectiveDateTime":"20%02d-%02d-%02dT08:00:00Z","performer":[{"reference":"Practitioner/prac-1"}],`+
			`"valueQuantity":{"value":%d.50,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"},`+
			`"referenceRange":[{"low":{"value":10.0,"unit":"mg/dL"},"high":{"value":70.0,"unit":"mg/dL"}}]}`,
			patient, i, 1000+i%60, i%60, i%60, patient, patient, i/20, 10+i%15, 1+i%12, 1+i%28, i%97))
	}
	return out
}

// noteText is a visit in words, of about three kilobytes.
func noteText(i int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Visit %d\n", i)
	for k := range 30 {
		fmt.Fprintf(&b, "The patient reports that complaint %d has been better since week %d; medicines were reviewed and continued.\n", (i*7+k)%500, k)
	}
	return b.String()
}

func documents(patient string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`{"resourceType":"DocumentReference","id":"%s-doc-%d","status":"current","type":{"coding":[{"system":"http://loinc.org","code":"11506-3","display":"Progress note"}]},`+
			`"subject":{"reference":"Patient/%s"},"date":"2026-01-02T10:00:00Z","content":[{"attachment":{"contentType":"text/plain; charset=utf-8","data":"%s"}}]}`,
			patient, i, patient, base64.StdEncoding.EncodeToString([]byte(noteText(i)))))
	}
	return out
}

func BenchmarkChart5000(b *testing.B) {
	lines := append([]string{`{"resourceType":"Patient","id":"p","name":[{"family":"Miller","given":["Anna"]}],"birthDate":"1950-01-01"}`}, observations("p", 4000)...)
	m := newMirror(b, append(lines, documents("p", 999)...))
	for b.Loop() {
		m.DropCache()
		s, err := m.Now()
		if err != nil {
			b.Fatal(err)
		}
		c := chart.New(chart.Options{At: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)})
		n := 0
		_, err = s.Readable(context.Background(), "emr", "p", func(v store.Version) error {
			n++
			c.Add(chart.Resource{Type: v.Type, ID: v.ID, Raw: v.Raw})
			return nil
		})
		if err != nil || n != 5000 || c.Chart().Records != n {
			b.Fatalf("%d records, %v", n, err)
		}
	}
}

func benchmarkScan(b *testing.B, typ string, lines []string, query string, hits int) {
	m := newMirror(b, lines)
	size := 0
	for _, l := range lines {
		size += len(l) + 1
	}
	s, err := m.Now()
	if err != nil {
		b.Fatal(err)
	}
	q, err := chart.Terms{Words: []string{query}}.Search()
	if err != nil {
		b.Fatal(err)
	}
	workers := runtime.GOMAXPROCS(0)
	matchers := make([]*chart.Matcher, workers)
	for i := range matchers {
		matchers[i] = q.Matcher()
	}
	b.SetBytes(int64(size))
	for b.Loop() {
		var found atomic.Int64
		err := s.EachParallel(context.Background(), "emr", typ, workers, func(w int, id string, raw []byte) error {
			if !matchers[w].May(raw) {
				return nil
			}
			if _, ok := matchers[w].Match(chart.Resource{Type: typ, ID: id, Raw: raw}); ok {
				found.Add(1)
			}
			return nil
		})
		if err != nil || found.Load() != int64(hits) {
			b.Fatalf("%d hits, %v", found.Load(), err)
		}
	}
}

func BenchmarkSearchObservations(b *testing.B) {
	var lines []string
	for i := range 100 {
		lines = append(lines, observations(fmt.Sprintf("p%d", i), 1000)...)
	}
	benchmarkScan(b, "Observation", lines, "glucóse tolerance", 0)
}

func BenchmarkSearchNotes(b *testing.B) {
	var lines []string
	for i := range 20 {
		lines = append(lines, documents(fmt.Sprintf("p%d", i), 1000)...)
	}
	benchmarkScan(b, "DocumentReference", lines, "pheochromocytoma", 0)
}

// BenchmarkMeasured5000 is a chart of 5,000 results, from their bytes to what the pages
// of results show: tests, panels, a grid, each test as a series.
func BenchmarkMeasured5000(b *testing.B) {
	lines := observations("p", 5000)
	list := make([]chart.Resource, len(lines))
	for i, l := range lines {
		list[i] = res(b, l)
	}
	for b.Loop() {
		c := chart.New(chart.Options{At: day})
		for _, r := range list {
			c.Add(r)
		}
		m := c.Chart().Measured
		n := 0
		for i := range m.Tests {
			for _, run := range chart.SeriesOf(m.Tests[i].Results, chart.Birth{}).Runs {
				n += len(run.Points)
			}
		}
		if g := m.Grid(0, 8, chart.Laboratory); n != 5000 || len(g.Days) != 8 {
			b.Fatalf("%d results, %d days", n, len(g.Days))
		}
	}
}
