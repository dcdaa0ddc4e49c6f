package viewer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"chartcellar/cmd/chartcellar/internal/patientfile"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/access"
)

func (d *double) Print(ctx context.Context, a viewer.Actor, p viewer.Place, c patientfile.Choice) (viewer.Printed, error) {
	if err := d.do("print %s sections %v from %q sensitive %v", a.Account, c.Sections, c.First, c.Sensitive); err != nil {
		return viewer.Printed{}, err
	}
	one, err := d.Chart(ctx, a, p, "print")
	s := &patientfile.Sheet{Cover: patientfile.Cover{Practice: "Hill Practice", Source: "main", Made: now, By: a.Display, Copy: "Copy of today."}, Choice: c,
		Chart: chartOf(3), Count: patientfile.Count{Taken: 9}}
	return viewer.Printed{ChartHead: one.ChartHead, Sheet: s}, err
}

func (d *double) Give(_ context.Context, a viewer.Actor, _ viewer.Place, g viewer.Gift, w io.Writer) error {
	if err := d.do("give %s for %q purpose %q sensitive %v password %q", a.Account, g.For, g.Purpose, g.Choice.Sensitive, g.Password); err != nil {
		return err
	}
	switch g.Purpose {
	case "refused":
		return &viewer.Refusal{Words: "The whole record is labelled."}
	case "breaks":
		io.WriteString(w, "PK half")
		return errors.New("broken")
	}
	_, err := io.WriteString(w, "PK package")
	return err
}

func (d *double) Downtime(_ context.Context, a viewer.Actor) (viewer.Downtime, error) {
	if err := d.do("downtime %s", a.Account); err != nil {
		return viewer.Downtime{}, err
	}
	if len(d.runs) == 0 { // nothing was ever copied
		return viewer.Downtime{}, nil
	}
	c := chartOf(3)
	sheet := &patientfile.Downtime{Practice: "Hill Practice", Made: now, By: "the schedule", Day: "2026-03-02", Why: "It names those of Monday.", Found: 1,
		Patients: []patientfile.Block{patientfile.NewBlock(c, patientfile.Count{Taken: 9})}}
	return viewer.Downtime{Sheet: sheet, Missing: "Today's is not made: nobody was signed in.", When: "every day at 18:00", Next: now, List: "M-17 " + script, ListAt: now}, nil
}

func (d *double) MakeDowntime(_ context.Context, a viewer.Actor) error {
	return d.do("make downtime %s", a.Account)
}

func (d *double) ListDowntime(_ context.Context, a viewer.Actor, list string) error {
	return d.do("list downtime %s %q", a.Account, list)
}

// TestPrintPages: what is printed is chosen by the address, and only who may see it gets
// what is labelled.
func TestPrintPages(t *testing.T) {
	o := newOffice(t, practice())
	tokens := o.settle()
	at := "/chart/" + patientRef() + "/print"
	text := body(t, o.ask(ask{path: at + "?section=problems&section=results&section=nonsense&from=2026-01-01&sensitive=yes&asof=2026-03-01", token: tokens[access.Doctor]}))
	for _, want := range []string{"Only 2 of", "Hypertension", "Problems · 2 records, 1 entered in error: not shown", `value="problems" checked`, `value="medicines">`,
		"Every record of the patient is counted", "&lt;script&gt;", `name="asof" value="2026-03-01"`, `print.pdf?asof=2026-03-01&amp;from=2026-01-01&amp;section=problems&amp;section=results&amp;section=nonsense&amp;sensitive=yes`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, script) || strings.Contains(text, "Lisinopril") {
		t.Error("a script, or a section that was not chosen")
	}
	res := o.ask(ask{path: at + ".pdf", token: tokens[access.Doctor]})
	if pdf := body(t, res); !strings.HasPrefix(pdf, "%PDF-") || strings.Contains(res.Header.Get("Content-Disposition"), "ller") {
		t.Errorf("%.20q, %s", pdf, res.Header.Get("Content-Disposition"))
	}
	if res := o.ask(ask{path: at + "?from=yesterday", token: tokens[access.Doctor]}); res.StatusCode == http.StatusOK {
		t.Error("a day that is none was taken")
	}
}

// TestGive: without recipient and purpose nothing is made (P151); what goes wrong before
// the first byte is a page, later it breaks off.
func TestGive(t *testing.T) {
	o := newOffice(t, practice())
	token := o.settle()[access.Doctor]
	at := "/chart/" + patientRef() + "/give"
	send := func(values ...string) (*http.Response, string) {
		form := url.Values{}
		for i := 0; i < len(values); i += 2 {
			form.Set(values[i], values[i+1])
		}
		res := o.ask(ask{method: http.MethodPost, path: at, token: token, form: form})
		return res, body(t, res)
	}
	if text := body(t, o.ask(ask{path: at, token: token})); !strings.Contains(text, "Who gets it") || !strings.Contains(text, "At least 12 characters") {
		t.Errorf("the form:\n%s", text)
	}
	for _, c := range []struct {
		name, want string
		form       []string
	}{
		{"no purpose", "Say who gets it and what for", []string{"for", "the patient"}},
		{"no recipient", "Say who gets it and what for", []string{"for", " ", "purpose", "referral"}},
		{"two passwords", "the two passwords differ", []string{"for", "x", "purpose", "y", "password", "blue horse 7 lamps", "again", "blue horse 7 lamp"}},
		{"a short password", "the password is too short", []string{"for", "x", "purpose", "y", "password", "short", "again", "short"}},
		{"what the office refuses", "The whole record is labelled.", []string{"for", "x", "purpose", "refused"}},
	} {
		res, text := send(c.form...)
		if res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(text, c.want) || strings.Contains(text, "blue horse") {
			t.Errorf("%s: %d\n%s", c.name, res.StatusCode, text)
		}
	}
	res, text := send("for", "the patient", "purpose", "asked for", "sensitive", "yes")
	if text != "PK package" || !strings.HasSuffix(res.Header.Get("Content-Disposition"), `.zip"`) {
		t.Errorf("%q, %v", text, res.Header)
	}
	res, text = send("for", "the patient", "purpose", "asked for", "password", "blue horse 7 lamps", "again", "blue horse 7 lamps")
	if text != "PK package" || !strings.HasSuffix(res.Header.Get("Content-Disposition"), `.zip.age"`) {
		t.Errorf("%q, %v", text, res.Header)
	}
}

func TestDowntimePage(t *testing.T) {
	o := newOffice(t, practice())
	token := o.settle()[access.Doctor]
	text := body(t, o.ask(ask{path: "/downtime", token: token}))
	for _, want := range []string{"Downtime sheet for Monday 2 March 2026", "It names those of Monday.", "Today's is not made: nobody was signed in.", "1 of 1 patient is on it.",
		"Allergies: Penicillin (HIGH RISK)", "Problems: Hypertension, 2019", "M-17 &lt;script&gt;", "every day at 18:00"} {
		if !strings.Contains(strings.ReplaceAll(text, "&#39;", "'"), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if pdf := body(t, o.ask(ask{path: "/downtime/sheet.pdf", token: token})); !strings.HasPrefix(pdf, "%PDF-") {
		t.Errorf("%.20q", pdf)
	}
	for path, want := range map[string]string{"/downtime/make": "make downtime", "/downtime/list": `list downtime`} {
		res := o.ask(ask{method: http.MethodPost, path: path, token: token, form: url.Values{"list": {"M-17\r\nM-18"}}})
		if res.StatusCode != http.StatusSeeOther || !strings.Contains(fmt.Sprint(o.d.did), want) {
			t.Errorf("%s: %d, %v", path, res.StatusCode, o.d.did)
		}
	}
}
