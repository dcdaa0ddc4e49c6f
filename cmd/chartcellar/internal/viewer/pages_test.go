package viewer_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/access"
)

// getPages are the addresses of all pages that a signed-in person opens.
func getPages() (list []string) {
	for _, r := range viewer.Routes() {
		if r.Method == http.MethodGet && r.Path != "/static/{name}" {
			list = append(list, address(r.Path))
		}
	}
	return list
}

const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>` + "\u202e" + `{{.}}javascript:alert(3)`

// poison writes a hostile text into every string below v.
func poison(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			poison(v.Elem())
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString(hostile)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type() != reflect.TypeFor[time.Time]() && v.Type().Field(i).IsExported() {
				poison(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i))
		}
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String && v.Len() > 0 {
			v.SetMapIndex(reflect.ValueOf(hostile).Convert(v.Type().Key()), v.MapIndex(v.MapKeys()[0]))
		}
	}
}

// TestHostileTexts: whatever a vendor, a practice or a person wrote is text on the
// page, nowhere a tag, an attribute or an address.
func TestHostileTexts(t *testing.T) {
	d := practice()
	rep := d.reports[412]
	rep.Cause, rep.Next = "x", "x"
	for _, v := range []any{&d.status, &d.home, &d.runs, &rep, &d.gaps, &d.coverage, &d.changes, &d.storage, &d.held, &d.schedule, &d.months, &d.settings, &d.log, &d.copies, &d.drills, &d.damage, &d.restored, &d.holdings, &d.found, &d.seen} {
		poison(reflect.ValueOf(v))
	}
	d.reports[412] = rep
	o := newOffice(t, d, func(op *viewer.Options) { op.Practice = func() string { return hostile } })
	token := o.settle()[access.Owner]
	for _, p := range getPages() {
		res := o.ask(ask{path: p, token: token})
		text := body(t, res)
		if res.StatusCode >= 500 {
			t.Errorf("GET %s: %d\n%s", p, res.StatusCode, text)
		}
		if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
			continue
		}
		if m := regexp.MustCompile(`<script>|<img src=x|href="javascript|\x{202e}`).FindString(text); m != "" {
			t.Errorf("GET %s: %q is not text", p, m)
		}
	}
	form := url.Values{"name": {hostile}, "password": {"wrong words at all"}, "next": {"javascript:alert(1)"}}
	if text := body(t, o.ask(ask{method: http.MethodPost, path: "/sign-in", form: form})); strings.Contains(text, "<script>alert") || !strings.Contains(text, `name="next" value="/"`) {
		t.Errorf("sign-in:\n%s", text)
	}
}

// TestNothingIsInvented: a page over a Backend that knows nothing says no clinical
// word and no number but zero, and never that something is well.
func TestNothingIsInvented(t *testing.T) {
	o := newOffice(t, &double{setup: viewer.Setup{Owner: true, Done: true}, reports: map[uint32]viewer.RunReport{412: {}}, months: []viewer.MonthReport{{Month: now}}})
	token := o.settle()[access.Owner]
	main := regexp.MustCompile(`(?s)<main.*</main>`)
	for _, p := range getPages() {
		res := o.ask(ask{path: p, token: token})
		text := body(t, res)
		if res.StatusCode >= 500 {
			t.Errorf("GET %s: %d\n%s", p, res.StatusCode, text)
		}
		part := strings.ToLower(main.FindString(text))
		for _, word := range []string{"condition", "allerg", "medication", "observation", "diagnos", "jane", "john", "epic", "athena", "safe:", "<no value>", "%!", "0001"} {
			if strings.Contains(part, word) {
				t.Errorf("GET %s says %q", p, word)
			}
		}
		if strings.Contains(part, `class="mark good"`) {
			t.Errorf("GET %s says that something is well", p)
		}
	}
	home := o.page("/", token)
	for _, want := range []string{"How the copy stands is not known", "there is none yet", "none is planned", "They are not known", "There was no run yet", "No run has counted it yet"} {
		if !strings.Contains(home, want) {
			t.Errorf("Home does not say %q", want)
		}
	}
}

// TestBudget: no page has more than 60 KiB, also after ten years and with every
// list full.
func TestBudget(t *testing.T) {
	d := practice()
	for len(d.gaps.List) < 100 {
		d.gaps.List = append(d.gaps.List, d.gaps.List[0])
	}
	rep := d.reports[412]
	for len(rep.Types) < 60 {
		rep.Types = append(rep.Types, rep.Types[1])
	}
	rep.GapList = d.gaps.List
	d.reports[412] = rep
	for len(d.coverage[0].Types) < 60 {
		d.coverage[0].Types = append(d.coverage[0].Types, d.coverage[0].Types[1])
	}
	for len(d.months) < 120 {
		d.months = append(d.months, d.months[0])
	}
	for len(d.log.Lines) < 100 {
		d.log.Lines = append(d.log.Lines, d.log.Lines[0])
	}
	for i := range d.home.Days {
		d.home.Days[i].State = viewer.DayFailed
	}
	for len(d.copies) < 9 {
		d.copies = append(d.copies, d.copies[0])
	}
	for len(d.drills.List) < 10 {
		d.drills.List = append(d.drills.List, d.drills.List[0])
	}
	for len(d.damage.Files) < 20 {
		d.damage.Files, d.damage.Lost = append(d.damage.Files, d.damage.Files[0]), append(d.damage.Lost, d.damage.Lost[0])
	}
	o := newOffice(t, d)
	token := o.settle()[access.Owner]
	for _, p := range getPages() {
		if n := len(body(t, o.ask(ask{path: p, token: token}))); n > 60<<10 && !strings.HasSuffix(p, ".pdf") {
			t.Errorf("GET %s: %d bytes", p, n)
		}
	}
}

// TestCounts: the numbers on the pages are those of the Backend.
func TestCounts(t *testing.T) {
	d := practice()
	o := newOffice(t, d)
	token := o.settle()[access.Owner]
	for p, wants := range map[string][]string{
		"/": {"<dd>1,204</dd>", "<dd>48,210</dd>", "<dd>3,310</dd>", "<dd>1.4 GB</dd>", "&#43;212 since", "7 of 9 are",
			"If the EMR vanished now, you would lose what was written since", "Wed 25 Nov 2026 02:04", "(17 h ago)", "in 7 h", "failed: 1 day", "missing: 1 day", "The schedule of main became"},
		"/backups":          {"10 of 112", "3 gaps are", "1 kind of record", "about 2,400 days", "at most 24 h of charting"},
		"/backups/runs":     {"50 of 112", "before=363"},
		"/backups/gaps":     {"3 of 3", "document: 3."},
		"/backups/runs/412": {"10 types, 18,000 records are here", "3 of 3", "not known", "b2a9d5f1c0de", "MZXW6-YTBOI"},
		"/backups/held":     {"Gone: 412. Current records: 1,300"},
		"/backups/coverage": {"10 types"},
		"/reports":          {"November 2026", "September 2026", "5 of 112"},
		"/reports/2026-11":  {"96 %", "29 of 30", "50 h to", "The month is not over"},
		"/log":              {"2 of 2 lines", "unbroken"},
	} {
		text := o.page(p, token)
		for _, w := range wants {
			if w == "50 h to" {
				w = "<dd>2 days</dd>"
			}
			if !strings.Contains(text, w) {
				t.Errorf("GET %s does not say %q", p, w)
			}
		}
	}
	if n := strings.Count(o.page("/", token), "<title>"); n != 91 { // one of the page, one for each day
		t.Errorf("the strip has %d days", n-1)
	}
}

// TestLogGoesOn: a page of the log leads to older lines also if it has none itself, and
// says who can read what is locked.
func TestLogGoesOn(t *testing.T) {
	d := practice()
	d.log.Locked = true
	o := newOffice(t, d)
	token := o.settle()[access.Owner]
	if text := o.page("/log", token); !strings.Contains(text, "somebody who may see charts is signed in") {
		t.Error("older lines are locked, and the page does not say so")
	}
	d.log = viewer.LogPage{All: -1, More: 77}
	if text := o.page("/log", token); !strings.Contains(text, "/log?before=77") || strings.Contains(text, "There is no line") {
		t.Error("a page without lines does not lead to the older ones")
	}
}

// TestLogLeadsOn: staff are led to the patients they saw, IT is not, and who sees all of the log has a
// better way.
func TestLogLeadsOn(t *testing.T) {
	o := newOffice(t, practice())
	for role, token := range o.settle() {
		led := strings.Contains(o.page("/log", token), "Which patients you saw")
		if want := role == access.Staff; led != want {
			t.Errorf("%s is led to the patients he saw: %t, want %t", role, led, want)
		}
	}
}

// TestRunningImprovesNothing: the word stays, "running" stands beside it.
func TestRunningImprovesNothing(t *testing.T) {
	d := practice()
	d.status.Word, d.status.Running = health.Failed, true
	o := newOffice(t, d)
	text := o.page("/", o.settle()[access.Owner])
	if !strings.Contains(text, `class="verdict failed"`) || !strings.Contains(text, "a run is under way") || !strings.Contains(text, `class="pill failed"`) {
		t.Error("a running job hides the failure")
	}
}

// TestZoneOfThePractice: pages tell times in the practice's zone and name it, on both
// sides of the change of the clocks, and give machines the same moment in UTC.
func TestZoneOfThePractice(t *testing.T) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	o := newOffice(t, practice(), func(op *viewer.Options) { op.Zone = zone })
	token := o.settle()[access.Owner]
	text := body(t, o.ask(ask{path: "/backups/runs", token: token}))
	for _, want := range []string{
		`<time datetime="2026-11-01T02:04:00Z"><span class="nb">Sat 31 Oct 2026 22:04</span>`,
		`<time datetime="2026-11-02T02:04:00Z"><span class="nb">Sun 1 Nov 2026 21:04</span>`,
		"page of Wed 25 Nov 2026 14:04, EST (UTC-05:00)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestForms(t *testing.T) {
	tests := []struct {
		name, path, form string
		status           int
		did, says        string
	}{
		{"run", "/backups/run", "", 303, "run owner false", ""},
		{"run in full", "/backups/run", "full=yes", 303, "run owner true", ""},
		{"verify", "/backups/verify", "", 303, "verify owner", ""},
		{"pause with an end", "/backups/pause", "until=2026-11-26&why=holiday", 303, "pause owner 2026-11-27", ""},
		{"pause until today", "/backups/pause", "until=2026-11-25", 303, "pause owner 2026-11-26", ""},
		{"pause without an end", "/backups/pause", "until=", 422, "", "A pause needs an end"},
		{"pause that is over", "/backups/pause", "until=2026-11-24", 422, "", "That day is over"},
		{"pause for a year", "/backups/pause", "until=2027-11-24", 422, "", "at most 31 days"},
		{"accept unseen", "/backups/held", "run=412&type=Condition&choice=accept", 422, "", "Tick that you have looked"},
		{"accept", "/backups/held", "run=412&type=Condition&choice=accept&sure=yes", 303, "decide owner 412 Condition true", ""},
		{"reject", "/backups/held", "run=412&type=Condition&choice=reject&sure=yes", 303, "decide owner 412 Condition false", ""},
		{"decide on nonsense", "/backups/held", "run=x&choice=accept&sure=yes", 400, "", "could not be read"},
		{"schedule", "/backups/schedule", "source=main&pull=daily+03:00&full=a&verify=b", 303, "schedule owner daily 03:00", ""},
		{"schedule of nonsense", "/backups/schedule", "source=main&pull=nonsense&full=a&verify=b", 422, "", `value="nonsense"`},
		{"alerts", "/settings/alerts", "mail=a@b.example%0d%0ac@d.example", 303, "alerts owner [a@b.example c@d.example]", ""},
		{"no mail address", "/settings/alerts", "mail=nonsense", 422, "", "is no mail address"},
		{"no address to call", "/settings/alerts", "mail=&ping=ftp://x", 422, "", "begins with https"},
		{"test message", "/settings/alerts/test", "", 200, "", "test message was sent"},
		{"test of the connection", "/settings/connection/test", "source=main", 200, "", "Example EMR 12.3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := practice()
			o := newOffice(t, d)
			form, err := url.ParseQuery(tt.form)
			if err != nil {
				t.Fatal(err)
			}
			res := o.ask(ask{method: http.MethodPost, path: tt.path, token: o.settle()[access.Owner], form: form})
			text := body(t, res)
			if res.StatusCode != tt.status || strings.Join(d.did, "; ") != tt.did || !strings.Contains(text, tt.says) {
				t.Errorf("got %d, did %v, want %d %q %q\n%s", res.StatusCode, d.did, tt.status, tt.did, tt.says, text)
			}
		})
	}
}

// TestErrorPages: each says what happened, what is lost, what to do; a fault of ours
// has a number and shows nothing of its cause.
func TestErrorPages(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		status int
		says   []string
	}{
		{"our fault", errors.New("secret cause"), 500, []string{"No record is lost", "give your IT person the number"}},
		{"locked copy", fmt.Errorf("open: %w", viewer.ErrLocked), 423, []string{"Backups go on"}},
		{"busy", viewer.ErrBusy, 409, []string{"Only one run goes on"}},
		{"not found", viewer.ErrNotFound, 404, []string{"no such page"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := practice()
			o := newOffice(t, d)
			token := o.settle()[access.Owner]
			d.broken = tt.err
			res := o.ask(ask{path: "/backups/gaps", token: token})
			text := body(t, res)
			checkHeaders(t, res, tt.name)
			if res.StatusCode != tt.status || strings.Contains(text, "secret cause") || !strings.Contains(text, "Number of this request") {
				t.Errorf("%d\n%s", res.StatusCode, text)
			}
			for _, w := range tt.says {
				if !strings.Contains(text, w) {
					t.Errorf("does not say %q", w)
				}
			}
		})
	}
	o := newOffice(t, practice())
	token := o.settle()[access.Owner]
	for _, p := range []string{"/nowhere", "/backups/runs/x", "/backups/runs/9999", "/reports/x", "/reports/1999-01", "/log?before=x", "/backups/runs?before=-1", "/settings/accounts/none", "/setup/none"} {
		if res := o.ask(ask{path: p, token: token}); res.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %d", p, res.StatusCode)
		}
	}
	if res := o.ask(ask{method: http.MethodPost, path: "/backups/gaps", token: token, form: url.Values{}}); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST to a page: %d", res.StatusCode)
	}
}

func TestPDF(t *testing.T) {
	o := newOffice(t, practice())
	token := o.settle()[access.Owner]
	for _, p := range []string{"/backups/runs/412/report.pdf", "/reports/2026-11/report.pdf"} {
		first, second := o.page(p, token), o.page(p, token)
		if !strings.HasPrefix(first, "%PDF-") || first != second {
			t.Errorf("%s: %.20q, the same twice: %v", p, first, first == second)
		}
	}
	if text := o.page("/reports/2026-11/report.json", token); !strings.Contains(text, `"runsOnTime": 29`) || !strings.Contains(text, `"longestTimeBetweenCompleteCopiesSeconds": 180000`) {
		t.Error(text)
	}
}
