package viewer_test

import (
	"net/http"
	"strings"
	"testing"
)

// samples are addresses for the patterns of the table.
var samples = map[string]string{"/{$}": "/", "/static/{name}": "/static/none.css", "/setup/{step}": "/setup/owner",
	"/backups/runs/{run}": "/backups/runs/412", "/backups/runs/{run}/report.json": "/backups/runs/412/report.json",
	"/backups/runs/{run}/report.pdf": "/backups/runs/412/report.pdf", "/reports/{month}": "/reports/2026-11",
	"/reports/{month}/report.json": "/reports/2026-11/report.json", "/reports/{month}/report.pdf": "/reports/2026-11/report.pdf",
	"/settings/accounts/{id}": "/settings/accounts/none", "/emergency/review/{id}": "/emergency/review/none",
	"/log/patient/{ref}": "/log/patient/" + patientRef(), "/log/patient/{ref}/report.csv": "/log/patient/" + patientRef() + "/report.csv",
	"/search/{job}": "/search/notes", "/search/{job}/watch": "/search/codes/watch", "/search/{job}/part": "/search/cohort/part",
	"/search/{job}/stop": "/search/notes/stop", "/search/{job}/patients.csv": "/search/cohort/patients.csv"}

// oneRef fills other patterns with a record or a patient of the double.
var oneRef = strings.NewReplacer("/record/{ref}", "/record/"+recordRef("Observation/o1"), "/chart/{ref}/timeline", "/chart/"+patientRef()+"/timeline",
	"/chart/{ref}/changes", "/chart/"+patientRef()+"/changes")

func address(path string) string {
	if a, ok := samples[path]; ok {
		return a
	}
	return oneRef.Replace(path)
}

// TestPagesOfAPractice: each page of the owner can be made.
func TestPagesOfAPractice(t *testing.T) {
	o := newOffice(t, practice())
	tokens := o.settle()
	for _, p := range []string{"/", "/backups", "/backups/progress", "/backups/runs", "/backups/runs?before=400", "/backups/runs/412", "/backups/runs/412/report.json", "/backups/runs/412/report.pdf",
		"/backups/schedule", "/backups/schedule?source=main&pull=daily+03:00&full=x&verify=y", "/backups/gaps", "/backups/held", "/backups/changes", "/backups/coverage", "/backups/storage",
		"/reports", "/reports/2026-11", "/reports/2026-11/report.json", "/reports/2026-11/report.pdf", "/settings", "/settings/password", "/settings/accounts", "/log", "/confirm"} {
		res := o.ask(ask{path: p, token: tokens["owner"]})
		if res.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %d\n%s", p, res.StatusCode, body(t, res))
		}
	}
}
