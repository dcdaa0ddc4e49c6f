package patientfile_test

import (
	"bytes"
	"fmt"
	"testing"

	"chartcellar/cmd/chartcellar/internal/patientfile"
)

// TestSums: of every record of a patient the sheet says what became of it, and its chart
// counts the same ones: taken and labelled in the sections, those of other days nowhere.
func TestSums(t *testing.T) {
	t.Parallel()
	p := ann()
	for i, status := range []string{"final", "entered-in-error", "cancelled", "invented"} {
		for k, rest := range []string{`"modifierExtension":[{"url":"x"}]`, `"meta":{"security":[{"code":"R"}]}`, `"effectiveDateTime":"2026-02-28T23:30:00-05:00"`,
			`"effectiveDateTime":"2026-03"`, `"_effectiveDateTime":{"extension":[]}`} {
			for j, typ := range []string{"Observation", "Encounter", "Claim", "FamilyMemberHistory"} {
				p.lines = append(p.lines, fmt.Sprintf(`{"resourceType":%q,"id":"s%d%d%d","status":%q,%s}`, typ, i, k, j, status, rest))
			}
		}
	}
	for _, c := range []patientfile.Choice{{}, {Sensitive: true}, {First: "2026-02-28", Last: "2026-02-28"}, {First: "2026-03-05", Sensitive: true}} {
		s := sheet(t, p, c)
		n := s.Count
		if n.Records() != len(p.lines) || s.Chart.Records != n.Taken+n.Sensitive {
			t.Errorf("%+v: %+v of %d records, and the chart has %d", c, n, len(p.lines), s.Chart.Records)
		}
		sum := 1
		for _, sec := range s.Chart.Sections {
			sum += sec.Records
		}
		if sum != s.Chart.Records || s.Chart.Withheld != n.Sensitive {
			t.Errorf("%+v: the sections make %d of %d, %d withheld of %d", c, sum, s.Chart.Records, s.Chart.Withheld, n.Sensitive)
		}
		var to bytes.Buffer
		made, err := (&patientfile.Package{Cover: cover, Choice: c}).Write(t.Context(), &to, p)
		if err != nil {
			t.Fatal(err)
		}
		if got := made.Count; got.Taken != n.Taken || got.Sensitive != n.Sensitive || got.Outside != n.Outside || got.Records() != len(p.lines) {
			t.Errorf("%+v: the package counts %+v, the print %+v", c, got, n)
		}
	}
}
