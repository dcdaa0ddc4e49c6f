package charts_test

import (
	"fmt"
	"testing"

	"chartcellar/cmd/chartcellar/internal/viewer"
)

// BenchmarkRecordPages is what the pages of a record and of a heavy chart cost: 5,000
// results of one patient, 100 of which changed, and 20,000 of others.
func BenchmarkRecordPages(b *testing.B) {
	result := func(i int, patient string, value int) string {
		return fmt.Sprintf(`{"resourceType":"Observation","id":"o%d","status":"final","category":[{"coding":[{"code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"%d-1","display":"Test %d"}]},`+
			`"subject":{"reference":"Patient/%s"},"performer":[{"reference":"Practitioner/lee"}],"effectiveDateTime":"20%02d-03-01T08:00:00Z","valueQuantity":{"value":%d,"unit":"mmol/L"}}`, i, i%60, i%60, patient, 10+i%15, value)
	}
	lines := []string{anna, ben, lee}
	for i := range 25_000 {
		patient := "anna"
		if i >= 5000 {
			patient = "ben"
		}
		lines = append(lines, result(i, patient, 1))
	}
	d := newDesk(b, lines...)
	var changed []string
	for i := range 100 {
		changed = append(changed, result(i, "anna", 2))
	}
	d.pull("main", changed...)
	ctx, record, at := b.Context(), d.of("Observation/o7", ""), d.at("anna", "")
	check := func(b *testing.B, n, want int, err error) {
		if err != nil || n != want {
			b.Fatalf("%d, want %d, %v", n, want, err)
		}
	}
	pages := []struct {
		name string
		open func() (int, error)
		want int
	}{
		{"record", func() (int, error) { r, err := d.Record(ctx, doctor, record, "card"); return len(r.Versions), err }, 2},
		{"used in the chart", func() (int, error) { u, err := d.Uses(ctx, doctor, record, false); return u.Looked, err }, 5001},
		{"used in the copy", func() (int, error) { u, err := d.Uses(ctx, doctor, record, true); return u.Looked, err }, 25003},
		{"a name of many", func() (int, error) {
			u, err := d.Uses(ctx, doctor, d.of("Practitioner/lee", ""), false)
			return len(u.In), err
		}, 200},
		{"timeline", func() (int, error) { l, err := d.Timeline(ctx, doctor, at, ""); return len(l.Timeline.Events), err }, 5000},
		{"timeline with words", func() (int, error) { l, err := d.Timeline(ctx, doctor, at, "test 59"); return len(l.Events), err }, 83},
		{"changes", func() (int, error) { c, err := d.ChartChanges(ctx, doctor, at, "2026-03-01"); return len(c.List), err }, 100},
		{"first timeline", func() (int, error) {
			d.Forget()
			l, err := d.Timeline(ctx, doctor, viewer.Place{Ref: at.Ref}, "")
			return len(l.Timeline.Events), err
		}, 5000},
	}
	for _, p := range pages {
		b.Run(p.name, func(b *testing.B) {
			for b.Loop() {
				n, err := p.open()
				check(b, n, p.want, err)
			}
		})
	}
}
