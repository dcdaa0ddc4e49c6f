package viewer_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/access"
)

// wasSeen makes two lines: one under emergency access, with words that a program for tables
// would run.
func (d *double) wasSeen() {
	d.seen.Lines = []viewer.SeenLine{
		{Number: 9, At: now, Account: "the staff", Address: "10.0.0.7", What: "looked at the chart", Code: "chart.view", Type: "Patient",
			Patient: "ZZNAME, born 1950", Ref: "ref", Note: "=1+1", Emergency: true},
		{Number: 8, At: now.Add(-time.Hour), Account: "the staff", Code: "odd.code", Patient: "patient #12345678"}}
}

func (d *double) Seen(_ context.Context, a viewer.Actor, q viewer.SeenQuery) (viewer.Seen, error) {
	err := d.do("seen %s patient %q by %q from %s to %s emergency %t whole %t", a.Account, q.Patient, q.Account,
		q.From.Format(time.DateOnly), q.To.Format(time.DateOnly), q.Emergency != "", q.Whole)
	if err != nil {
		return viewer.Seen{}, err
	}
	s := d.seen
	if q.Patient != "" {
		s.Patient = &viewer.PatientRow{Entry: chartOf(0).Banner.Entry, Ref: q.Patient}
	}
	if q.Before == 0 && !q.Whole {
		s.More = 8
	}
	return s, nil
}

// last is what the double did last.
func (d *double) last() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.did[len(d.did)-1]
}

const longReason = "unconscious after a fall, no relative"

func emergencyForm(change ...string) url.Values {
	f := url.Values{"reason": {"The patient is here and cannot wait"}, "text": {longReason}, "minutes": {"60"}, "next": {"/chart/abc"}}
	for i := 0; i < len(change); i += 2 {
		f.Set(change[i], change[i+1])
	}
	return f
}

// contains fails the test for each text that a page lacks.
func contains(t testing.TB, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in\n%s", w, text)
		}
	}
}

// TestEmergencyForm: without a reason in words, for too long, or with what the form does
// not offer, nothing is opened, and what was typed stays.
func TestEmergencyForm(t *testing.T) {
	o := newOffice(t, practice())
	token := o.settle()[access.Staff]
	text := o.page("/emergency", token)
	contains(t, text, "The EMR cannot be reached", `value="60" selected`)
	if strings.Contains(text, "EMERGENCY ACCESS") {
		t.Error("it is in force")
	}
	for _, tt := range []struct {
		name   string
		form   url.Values
		status int
		says   string
	}{
		{"no reason", emergencyForm("text", ""), 422, "at least 20 characters"},
		{"a long choice does not make up for short words", emergencyForm("text", "help"), 422, "help</textarea>"},
		{"blanks are no characters", emergencyForm("text", "help"+strings.Repeat(" ", 40)+"me"), 422, "at least 20 characters"},
		{"too long", emergencyForm("minutes", "241"), 422, "from 1 minute to 4 hours"},
		{"no time", emergencyForm("minutes", "soon"), 400, "could not be read"},
		{"a reason that is not offered", emergencyForm("reason", "curious"), 400, "could not be read"},
	} {
		o.told = nil
		res := o.ask(ask{method: http.MethodPost, path: "/emergency", token: token, form: tt.form})
		if text := body(t, res); res.StatusCode != tt.status || !strings.Contains(text, tt.says) || len(o.told) > 0 {
			t.Errorf("%s: %d, told %v\n%s", tt.name, res.StatusCode, o.told, text)
		}
	}
}

// TestEmergency: it begins with another cookie and the owners told; there is a frame on
// every page while it lasts; and it ends by button and by time.
func TestEmergency(t *testing.T) {
	d := practice()
	o := newOffice(t, d)
	first := o.settle()[access.Staff]
	o.told = nil
	res := o.ask(ask{method: http.MethodPost, path: "/emergency", token: first, form: emergencyForm()})
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/chart/abc" || len(res.Cookies()) != 1 {
		t.Fatalf("start: %d %v", res.StatusCode, res.Header)
	}
	if o.ask(ask{path: "/emergency", token: first}).StatusCode == http.StatusOK {
		t.Error("the old cookie still opens pages")
	}
	token := res.Cookies()[0].Value
	if len(o.told) != 1 || o.told[0].Code != access.CodeEmergency || !o.told[0].Alert || !strings.Contains(o.told[0].Note, "cannot wait: "+longReason) {
		t.Errorf("told: %+v", o.told)
	}
	o.pass(2 * time.Minute)
	for _, path := range []string{"/", "/patients", "/settings", "/emergency", "/log", "/chart/" + patientRef()} {
		contains(t, o.page(path, token), `<body class="emergency"`, "EMERGENCY ACCESS", "for another 58 minutes", `action="/emergency/end"`)
	}
	if a := d.actor; !a.Sensitive || a.Emergency == "" {
		t.Errorf("the chart was asked for by %+v", a)
	}
	again := o.ask(ask{method: http.MethodPost, path: "/emergency", token: token, form: emergencyForm()})
	if again.Header.Get("Location") != "/emergency" || len(o.told) != 1 {
		t.Errorf("a second one was opened: %v", o.told)
	}
	res = o.ask(ask{method: http.MethodPost, path: "/emergency/end", token: token, form: url.Values{}})
	if res.Header.Get("Location") != "/emergency?done=calm" {
		t.Errorf("end: %d %v", res.StatusCode, res.Header)
	}
	text := o.page("/emergency?done=calm", token)
	contains(t, text, "has ended", longReason, "Not reviewed yet")
	if strings.Contains(text, "EMERGENCY ACCESS") {
		t.Error("the frame is still there")
	}
	if o.page("/chart/"+patientRef(), token); d.actor.Sensitive || d.actor.Emergency != "" {
		t.Error("what is sensitive is still shown")
	}
	res = o.ask(ask{method: http.MethodPost, path: "/emergency", token: token, form: emergencyForm("minutes", "15")})
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("once more: %d", res.StatusCode)
	}
	token = res.Cookies()[0].Value
	for range 4 { // in use, so that the page does not lock before
		o.pass(4 * time.Minute)
		o.page("/settings", token)
	}
	if o.page("/chart/"+patientRef(), token); d.actor.Sensitive {
		t.Error("it does not end with its time")
	}
}

// TestReview: what waits is counted on Home for who may review it, shows what was opened,
// and is reviewed once.
func TestReview(t *testing.T) {
	d := practice()
	o := newOffice(t, d)
	tokens := o.settle()
	res := o.ask(ask{method: http.MethodPost, path: "/emergency", token: tokens[access.Staff], form: emergencyForm("text", longReason+" <b>")})
	if res.StatusCode != http.StatusSeeOther {
		t.Fatal(res.StatusCode)
	}
	list, err := o.a.Emergencies(tokens[access.Owner], true)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	contains(t, o.page("/", tokens[access.Owner]), "1 emergency access waits for a review")
	if text := o.page("/", tokens[access.Manager]); strings.Contains(text, "for a review") {
		t.Error("Home of a manager counts it")
	}
	contains(t, o.page("/emergency/review", tokens[access.Doctor]), "the staff", longReason+" &lt;b&gt;", "it goes on until", "/emergency/review/"+list[0].ID)
	contains(t, o.page("/emergency/review/"+list[0].ID, tokens[access.Doctor]), "ZZNAME", "EMERGENCY", "10.0.0.7", "not yet", "before=8")
	if did := d.last(); !strings.Contains(did, `by "the staff"`) || !strings.Contains(did, "emergency true") {
		t.Errorf("it asked for: %s", did)
	}
	res = o.ask(ask{method: http.MethodPost, path: "/emergency/review", token: tokens[access.Doctor], form: url.Values{"id": {list[0].ID}, "remark": {"right so"}}})
	if res.Header.Get("Location") != "/emergency/review?done=review" {
		t.Errorf("review: %d\n%s", res.StatusCode, body(t, res))
	}
	contains(t, o.page("/emergency/review", tokens[access.Owner]), "Nothing waits", "right so", "Reviewed by the doctor")
	if text := o.page("/", tokens[access.Owner]); strings.Contains(text, "for a review") {
		t.Error("Home still counts it")
	}
	res = o.ask(ask{method: http.MethodPost, path: "/emergency/review", token: tokens[access.Owner], form: url.Values{"id": {list[0].ID}}})
	if text := body(t, res); res.StatusCode != 422 || !strings.Contains(text, "reviewed already") {
		t.Errorf("twice: %d", res.StatusCode)
	}
	if res := o.ask(ask{path: "/emergency/review/none", token: tokens[access.Owner]}); res.StatusCode != 404 {
		t.Errorf("one that there is not: %d", res.StatusCode)
	}
}

// TestOwnReview: nobody reviews what he opened himself, whatever he has become since.
func TestOwnReview(t *testing.T) {
	o := newOffice(t, practice())
	tokens := o.settle()
	o.ask(ask{method: http.MethodPost, path: "/emergency", token: tokens[access.Staff], form: emergencyForm()})
	list, err := o.a.Accounts()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(a access.Account) bool { return a.Role == access.Staff })
	role, grants := access.Doctor, access.Grants(0)
	owner, _, err := o.a.StepUp(t.Context(), tokens[access.Owner], password)
	if err != nil {
		t.Fatal(err)
	}
	const next = "yet another password"
	if _, err := o.a.Change(t.Context(), owner, list[i].ID, access.Change{Role: &role, Grants: &grants, Password: next}); err != nil {
		t.Fatal(err)
	}
	token, session, err := o.a.SignIn(t.Context(), "the staff", next, "127.0.0.1")
	for _, pass := range []string{next, "other " + password} {
		if err != nil {
			token, session, err = o.a.SignIn(t.Context(), "the staff", pass, "127.0.0.1")
		}
	}
	if err == nil && session.Account.MustChange {
		token, _, err = o.a.ChangePassword(t.Context(), token, next, "and a third password")
	}
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := o.a.Emergencies(token, true)
	if err != nil || len(waiting) != 1 {
		t.Fatal(waiting, err)
	}
	if text := o.page("/emergency/review", token); !strings.Contains(text, "Somebody else must review it") || strings.Contains(text, `name="remark"`) {
		t.Errorf("the page offers it:\n%s", text)
	}
	res := o.ask(ask{method: http.MethodPost, path: "/emergency/review", token: token, form: url.Values{"id": {waiting[0].ID}}})
	if text := body(t, res); res.StatusCode != 422 || !strings.Contains(text, "Somebody else must review") {
		t.Errorf("%d\n%s", res.StatusCode, text)
	}
}

// TestWhoSaw: the reports name who, what and when, mark emergency access, and go on to
// older lines; who may not see the log sees his own.
func TestWhoSaw(t *testing.T) {
	d := practice()
	o := newOffice(t, d)
	tokens := o.settle()
	doctor := tokens[access.Doctor]
	contains(t, o.page("/chart/"+patientRef(), doctor), `href="/log/patient/`+patientRef()+`"`)
	contains(t, o.page("/log/patient/"+patientRef(), doctor), "Müller-Ötz", "looked at the chart", "EMERGENCY", "<code>odd.code</code>",
		"?before=8", "/report.csv")
	text := o.page("/log/account?who=the+staff&from=2026-11-01&to=2026-11-30", doctor)
	if did := d.last(); did != `seen the doctor patient "" by "the staff" from 2026-11-01 to 2026-12-01 emergency false whole false` {
		t.Errorf("it asked for: %s", did)
	}
	contains(t, text, "&amp;before=8", "patient #12345678", `value="2026-11-30"`, `<option value="the manager">`)
	for path, status := range map[string]int{"/log/account?who=x&from=yesterday": 422, "/log/account?who=x&before=x": 404, "/log/patient/" + patientRef() + "?before=-1": 404} {
		if res := o.ask(ask{path: path, token: doctor}); res.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, status)
		}
	}
	text = o.page("/log/account?who=the+doctor", tokens[access.Staff])
	if did := d.last(); !strings.HasPrefix(did, `seen the staff patient "" by "the staff"`) || strings.Contains(text, "report.csv") || strings.Contains(text, `name="who"`) {
		t.Errorf("staff asks for a doctor: %s\n%s", did, text)
	}
}

// TestWhoSawFile: a file takes the password once more, holds every line, and no formula.
func TestWhoSawFile(t *testing.T) {
	d := practice()
	o := newOffice(t, d)
	doctor := o.settle()[access.Doctor]
	path := "/log/patient/" + patientRef() + "/report.csv"
	o.pass(6 * time.Minute)
	if res := o.ask(ask{path: path, token: doctor}); !strings.HasPrefix(res.Header.Get("Location"), "/confirm") {
		t.Errorf("a file without the password once more: %d", res.StatusCode)
	}
	doctor, _, err := o.a.StepUp(t.Context(), doctor, "other "+password)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, "/log/account/report.csv?who=the+staff&from=&to="} {
		res := o.ask(ask{path: path, token: doctor})
		rows, err := csv.NewReader(strings.NewReader(body(t, res))).ReadAll()
		if err != nil || len(rows) != 3 || rows[1][5] != "ZZNAME, born 1950" || rows[1][7] != "yes" || rows[1][8] != "'=1+1" ||
			!strings.HasPrefix(res.Header.Get("Content-Type"), "text/csv") {
			t.Errorf("%s: %d %q %v", path, res.StatusCode, rows, err)
		}
		if did := d.last(); !strings.Contains(did, "whole true") {
			t.Errorf("%s asked for %s", path, did)
		}
	}
}

// TestWhoSawFind: the patient of a report is found without a word in an address.
func TestWhoSawFind(t *testing.T) {
	o := newOffice(t, practice())
	doctor := o.settle()[access.Doctor]
	text := o.page("/log/find", doctor)
	contains(t, text, `action="/log/find"`)
	if strings.Contains(text, "Nobody fits") {
		t.Error("it has looked before anything was typed")
	}
	res := o.ask(ask{method: http.MethodPost, path: "/log/find", token: doctor, form: url.Values{"text": {"Müll"}}})
	to := res.Header.Get("Location")
	if !strings.HasPrefix(to, "/log/find?q=") || strings.Contains(to, "M%C3%BCll") {
		t.Fatalf("%d %s", res.StatusCode, to)
	}
	contains(t, o.page(to, doctor), `href="/log/patient/`, "20 of 120 that fit")
	res = o.ask(ask{method: http.MethodPost, path: "/log/find", token: doctor, form: url.Values{"text": {"nobody"}}})
	contains(t, o.page(res.Header.Get("Location"), doctor), fmt.Sprintf("Nobody fits: 0 of %d patients", 120))
}

// TestTitles: the title of a window names nobody, unless the practice wants it to.
func TestTitles(t *testing.T) {
	for _, named := range []bool{false, true} {
		o := newOffice(t, practice(), func(op *viewer.Options) {
			if named {
				op.NameInTitle = func() bool { return true }
			}
		})
		text := o.page("/chart/"+patientRef()+"/problems", o.settle()[access.Doctor])
		_, rest, _ := strings.Cut(text, "<title>")
		title, _, _ := strings.Cut(rest, "</title>")
		if strings.Contains(title, "Müller") != named || strings.Contains(title, "<") || !strings.HasSuffix(title, "Chart · chartcellar") {
			t.Errorf("named %t: the title is %q", named, title)
		}
	}
}

// addresses finds whatever leads somewhere.
var addresses = regexp.MustCompile(`(?:href|action|src|hx-[a-z]+|content)="([^"]*)"`)

// TestNoPatientInAddresses: no address on any page holds a word of a patient.
func TestNoPatientInAddresses(t *testing.T) {
	o := newOffice(t, practice())
	token := o.settle()[access.Doctor]
	list := 0
	for _, path := range append(getPages(), "/chart/"+patientRef()+"?asof=2026-03-01", "/chart/"+patientRef()+"/results") {
		text := body(t, o.ask(ask{path: path, token: token}))
		for _, m := range addresses.FindAllStringSubmatch(text, -1) {
			list++
			to, err := url.PathUnescape(m[1])
			if err != nil {
				t.Errorf("%s leads to %q: %v", path, m[1], err)
			}
			for _, word := range []string{"üller", "Anna", "1950", "4711", "ZZ", "Patient/"} {
				if strings.Contains(to, word) {
					t.Errorf("%s leads to %q", path, to)
				}
			}
		}
	}
	if list < 100 {
		t.Errorf("only %d addresses were found", list)
	}
}

// TestNothingTypedInTheLog: what a refusal says to the person at the screen stands on the
// page, and not in the log of the program.
func TestNothingTypedInTheLog(t *testing.T) {
	d := practice()
	var log bytes.Buffer
	o := newOffice(t, d, func(v *viewer.Options) { v.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	token := o.settle()[access.Doctor]
	d.broken = &viewer.Refusal{Words: "The copy has no records of the type Müller. Nothing was searched."}
	text := body(t, o.ask(ask{path: "/chart/" + patientRef() + "/timeline", token: token}))
	if !strings.Contains(text, "type Müller") {
		t.Errorf("the page says %s", text)
	}
	got := slices.DeleteFunc(strings.Split(log.String(), "\n"), func(l string) bool { return !strings.Contains(l, "page refused") })
	if len(got) != 1 || strings.Contains(got[0], "ller") {
		t.Errorf("the log says %q", got)
	}
}
