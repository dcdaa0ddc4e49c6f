package viewer_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/access"
)

// hiding is what the double answers who hides somebody.
func (d *double) hiding(what, account string, patient viewer.Ref, reason string) error {
	if err := d.do("%s %s %s %q", what, account, patient, reason); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.progress.Running {
		return viewer.ErrBusy
	}
	return nil
}

func (d *double) Hide(_ context.Context, a viewer.Actor, patient viewer.Ref, reason string) error {
	return d.hiding("hide", a.Account, patient, reason)
}

func (d *double) Unhide(_ context.Context, a viewer.Actor, patient viewer.Ref, reason string) error {
	return d.hiding("unhide", a.Account, patient, reason)
}

func (d *double) Hidden(_ context.Context, a viewer.Actor) ([]viewer.HiddenPatient, error) {
	if err := d.do("hidden %s", a.Account); err != nil || len(d.runs) == 0 {
		return nil, err
	}
	return []viewer.HiddenPatient{
		{Ref: "ref-one", ID: "p-ZZEXAMPLE" + script, Source: "main", Since: now, By: "m.reyes", Reason: "of another practice " + script, Run: 412},
		{Ref: "ref-two", ID: "p-2", Source: "main", Since: now, By: "owner", Reason: "sent twice", Run: 411}}, nil
}

// TestHide: a patient is hidden with a reason, and what that means is said before; without
// one, and while a run goes on, nothing is done, and what was typed stays.
func TestHide(t *testing.T) {
	o := newOffice(t, practice())
	token := o.settle()[access.Doctor]
	at := "/chart/" + patientRef() + "/hide"
	send := func(reason string) (*http.Response, string) {
		t.Helper()
		res := o.ask(ask{method: http.MethodPost, path: at, token: token, form: url.Values{"reason": {reason}}})
		return res, body(t, res)
	}
	contains(t, o.page("/chart/"+patientRef(), token), `<a href="`+at+`">Hide this patient</a>`)
	form := o.page(at, token)
	contains(t, form, "Not one byte is removed", "It can be undone", "nobody sees this patient any more", `name="reason" rows="3" required`)
	if strings.Contains(form, "A run is under way") {
		t.Error("the page speaks of a run")
	}
	for _, reason := range []string{"", "  ", strings.Repeat("x", 1001)} {
		res, text := send(reason)
		if contains(t, text, "Nothing was changed. Say why"); res.StatusCode != http.StatusUnprocessableEntity || strings.Contains(fmt.Sprint(o.d.did), "hide the doctor") {
			t.Errorf("the reason %.9q: %d, %v", reason, res.StatusCode, o.d.did)
		}
	}
	res, _ := send(" of another practice ")
	if want := fmt.Sprintf("hide the doctor %s %q", patientRef(), "of another practice"); res.Header.Get("Location") != "/hidden?done=hide" || o.d.last() != want {
		t.Errorf("%s, %s", res.Header.Get("Location"), o.d.last())
	}
	o.d.mu.Lock()
	o.d.progress.Running = true
	o.d.mu.Unlock()
	contains(t, o.page(at, token), "A run is under way now", `href="/backups"`)
	res, text := send("urgent " + script)
	if contains(t, text, "only between two runs. Nothing was changed, and it will not happen by itself", "stop the run under Backups", "urgent &lt;script&gt;"); res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("while a run goes on: %d", res.StatusCode)
	}
}

// TestHidden: who is hidden is listed with since when, by whom and why, and shown again with
// a reason; the reason that was typed stays with the patient for whom it was typed.
func TestHidden(t *testing.T) {
	o := newOffice(t, practice())
	tokens := o.settle()
	token := tokens[access.Owner]
	text := o.page("/hidden?done=hide", token)
	contains(t, text, "2 of 2", "p-ZZEXAMPLE&lt;script&gt;", "of another practice &lt;script&gt;", "m.reyes", "sent twice", `href="/backups/runs/412"`, "The patient is hidden from everybody")
	send := func(form url.Values) (*http.Response, string) {
		t.Helper()
		res := o.ask(ask{method: http.MethodPost, path: "/hidden", token: token, form: form})
		return res, body(t, res)
	}
	if res, text := send(url.Values{"patient": {"ref-two"}}); res.StatusCode != http.StatusUnprocessableEntity || strings.Contains(fmt.Sprint(o.d.did), "unhide") {
		t.Errorf("without a reason: %d %v\n%s", res.StatusCode, o.d.did, text)
	}
	if res, _ := send(url.Values{"patient": {"ref-two"}, "reason": {"it was right"}}); res.Header.Get("Location") != "/chart/ref-two?done=unhide" || o.d.last() != `unhide owner ref-two "it was right"` {
		t.Errorf("%s, %s", res.Header.Get("Location"), o.d.last())
	}
	o.d.mu.Lock()
	o.d.progress.Running = true
	o.d.mu.Unlock()
	res, text := send(url.Values{"patient": {"ref-two"}, "reason": {"it was right"}})
	if contains(t, text, "Nothing was changed, and it will not happen by itself", "A run is under way now"); res.StatusCode != http.StatusUnprocessableEntity ||
		strings.Count(text, `value="it was right"`) != 1 || strings.Index(text, `value="it was right"`) < strings.Index(text, "p-2") {
		t.Errorf("while a run goes on: %d\n%s", res.StatusCode, text)
	}
	o.d.runs = nil
	contains(t, o.page("/hidden", token), "Nobody is hidden.")
	for _, page := range []string{"/patients", "/settings"} {
		if text := o.page(page, tokens[access.Staff]); strings.Contains(text, "/hidden") || strings.Contains(text, "/hide") {
			t.Errorf("%s leads staff there", page)
		}
	}
	contains(t, o.page("/settings", token), `href="/hidden"`)
}

// TestHideAsksAgain: who gave his password too long ago gives it once more, and nothing is
// hidden before.
func TestHideAsksAgain(t *testing.T) {
	o := newOffice(t, practice())
	token := o.settle()[access.Owner]
	o.pass(access.StepUpTime)
	for _, a := range []ask{{path: "/chart/" + patientRef() + "/hide", token: token}, {method: http.MethodPost, path: "/chart/" + patientRef() + "/hide", token: token, form: url.Values{"reason": {"x"}}},
		{path: "/hidden", token: token}, {method: http.MethodPost, path: "/hidden", token: token, form: url.Values{"patient": {"ref-two"}, "reason": {"x"}}}} {
		res := o.ask(a)
		if to := res.Header.Get("Location"); !strings.HasPrefix(to, "/confirm?next=") || !strings.Contains(to, url.QueryEscape(a.path)) || len(o.d.did) > 0 {
			t.Errorf("%s %s: %d %s, %v", a.method, a.path, res.StatusCode, to, o.d.did)
		}
	}
}
