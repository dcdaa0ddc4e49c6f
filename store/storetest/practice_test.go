package storetest_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"chartcellar/store/storetest"
)

// TestPractice counts what the figures are taken with.
func TestPractice(t *testing.T) {
	t.Parallel()
	p, all, notes, heavy := storetest.Practice{Patients: 2000}, 0, 0, 0
	ids := map[string]bool{}
	for _, typ := range storetest.PracticeTypes {
		for i := range p.Patients {
			for visit := -1; visit < p.Visits(i); visit++ {
				for line := range bytes.Lines(p.Append(nil, typ, i, visit)) {
					var r struct{ ResourceType, ID string }
					if err := json.Unmarshal(line, &r); err != nil || r.ResourceType != typ || ids[typ+r.ID] {
						t.Fatalf("%s: %v, or a second time", line, err)
					}
					ids[typ+r.ID] = true
					all++
					if typ == "DocumentReference" {
						notes++
					}
					if i == storetest.Heavy {
						heavy++
					}
				}
			}
		}
	}
	t.Logf("%d records, %d notes, %d of the heavy patient", all, notes, heavy)
	usual := all - heavy - 5*1000
	if usual < 19*p.Patients || usual > 21*p.Patients || notes < p.Patients || heavy < 4950 || heavy > 5050 {
		t.Errorf("%d records, %d notes, %d of the heavy patient", all, notes, heavy)
	}
}
