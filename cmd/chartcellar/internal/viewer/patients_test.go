package viewer_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
)

// A visited double says when patients were here.
type visited struct {
	*double
	said  viewer.Patients
	asked viewer.PatientQuery
}

func (v *visited) Patients(ctx context.Context, a viewer.Actor, q viewer.PatientQuery) (viewer.Patients, error) {
	v.asked = q
	p, err := v.double.Patients(ctx, a, q)
	v.said.List, v.said.Found, v.said.All, v.said.Copy = p.List[:1], 1, 120, p.Copy
	if !v.said.Reading {
		v.said.List[0].LastVisit, v.said.List[0].NextVisit, v.said.List[0].Changed = time.Date(2026, 2, 10, 0, 0, 0, 0, time.UTC), time.Date(2026, 7, 4, 0, 0, 0, 0, time.UTC), true
	}
	return v.said, err
}

// TestVisitsOnThePage: the list shows when a patient was here and comes next, says when
// that is not known yet or not wholly, and asks the backend for what was chosen.
func TestVisitsOnThePage(t *testing.T) {
	v := &visited{double: practice()}
	o := newOffice(t, v.double, func(opt *viewer.Options) { opt.Backend = v })
	token := o.settle()["doctor"]
	list := func(path string) string {
		t.Helper()
		res := o.ask(ask{path: path, token: token})
		text := body(t, res)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%d\n%s", res.StatusCode, text)
		}
		return text
	}
	holds := func(text string, want bool, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if strings.Contains(text, p) != want {
				t.Errorf("%q: want %t in\n%s", p, want, text)
			}
		}
	}
	text := list("/patients")
	holds(text, true, "2026-02-10", "2026-07-04", "changed in the last run</span>", `data-l="MRN">4711</td>`, "Last visit", "Next appointment")
	holds(text, false, "being read", "could not be read")
	v.said = viewer.Patients{VisitsUnread: 2, Unread: 3}
	holds(list("/patients"), true, "2 visits and appointments could not be read", "records of 3 patients could not be read")
	v.said = viewer.Patients{Reading: true}
	text = list("/patients")
	holds(text, true, "are being read", ">being read</td>")
	holds(text, false, "2026-02-10")

	res := o.ask(ask{method: http.MethodPost, path: "/patients", token: token, form: url.Values{"text": {"m"}, "since": {"2026-01-01"}, "coming": {"yes"}, "changed": {"yes"}}})
	list(res.Header.Get("Location"))
	if q := v.asked; q.Since != "2026-01-01" || !q.Coming || !q.Changed || q.Text != "m" {
		t.Errorf("the backend was asked for %+v", q)
	}
	list("/patients?q=" + url.QueryEscape(v.Seal(`{"d":"2026-03-01"}`)))
	if res := o.ask(ask{method: http.MethodPost, path: "/patients", token: token, form: url.Values{"since": {"soon"}}}); res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a day that is none: %d", res.StatusCode)
	}
}
