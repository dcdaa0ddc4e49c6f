package viewer_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/access"
)

// TestEveryRouteEveryRole crawls the table: each route answers each role as its rule
// says, and a stranger only with the door.
func TestEveryRouteEveryRole(t *testing.T) {
	d := practice()
	o := newOffice(t, d)
	tokens := o.settle()
	for _, route := range viewer.Routes() {
		if route.Who == "" {
			t.Errorf("%s %s has no rule", route.Method, route.Path)
		}
		leaves := route.Path == "/sign-out" || route.Path == "/lock" && route.Method == http.MethodPost || route.Path == "/sign-in" ||
			route.Path == "/unlock" || route.Path == "/confirm"
		for _, role := range append(access.Roles(), "") {
			if leaves && role != "" {
				continue // they end or begin sessions; their own tests
			}
			a := ask{method: route.Method, path: address(route.Path), token: tokens[role]}
			if route.Method == http.MethodPost {
				a.form = url.Values{}
			}
			before := len(d.did)
			res := o.ask(a)
			text := body(t, res)
			where := fmt.Sprintf("%s %s as %q: %d %s", route.Method, a.path, role, res.StatusCode, res.Header.Get("Location"))
			checkHeaders(t, res, where)
			if res.StatusCode == http.StatusInternalServerError {
				t.Errorf("%s\n%s", where, text)
			}
			if allowed(route.Who, role) {
				if res.StatusCode == http.StatusForbidden || strings.HasPrefix(res.Header.Get("Location"), "/sign-in") {
					t.Errorf("%s: refused, want it open\n%s", where, text)
				}
				continue
			}
			switch {
			case role == "" && !strings.HasPrefix(res.Header.Get("Location"), "/sign-in?next="):
				t.Errorf("%s: want the way to sign in", where)
			case role != "" && res.StatusCode != http.StatusForbidden:
				t.Errorf("%s: want 403", where)
			}
			if len(d.did) != before {
				t.Errorf("%s: it was done all the same: %v", where, d.did[before:])
			}
		}
	}
}

// allowed is the rule of the table, written a second time.
func allowed(who viewer.Who, role access.Role) bool {
	switch who {
	case viewer.Anyone:
		return true
	case viewer.SignedIn:
		return role != ""
	case viewer.SettingUp:
		return role == access.Owner
	}
	return role != "" && access.Can(role, 0, who)
}

func checkHeaders(t *testing.T, res *http.Response, where string) {
	t.Helper()
	h := res.Header
	csp := h.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("%s: the policy lacks %s", where, want)
		}
	}
	if strings.Contains(csp, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" ||
		h.Get("Cross-Origin-Opener-Policy") != "same-origin" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" || h.Get("Permissions-Policy") == "" {
		t.Errorf("%s: headers %v", where, h)
	}
	if c := h.Get("Cache-Control"); c != "no-store" && !strings.Contains(c, "immutable") {
		t.Errorf("%s: Cache-Control %q", where, c)
	}
}

// TestITSeesNoChart: nothing of a chart is on any page of IT or of a manager, not
// even where the Backend gives it.
func TestITSeesNoChart(t *testing.T) {
	o := newOffice(t, practice())
	tokens := o.settle()
	for _, role := range []access.Role{access.IT, access.Manager} {
		for _, route := range viewer.Routes() {
			if route.Method == http.MethodGet && route.Path != "/sign-in" {
				if text := body(t, o.ask(ask{path: address(route.Path), token: tokens[role]})); strings.Contains(text, "ZZEXAMPLE") {
					t.Errorf("GET %s as %s shows a record", route.Path, role)
				}
			}
		}
	}
	if text := o.page("/backups/held", tokens[access.Doctor]); !strings.Contains(text, "ZZEXAMPLE") {
		t.Error("the doctor sees no example")
	}
}

// TestITMakesITOnly: no form of accounts lets IT make, reset or raise whoever sees
// charts.
func TestITMakesITOnly(t *testing.T) {
	o := newOffice(t, practice())
	it := o.settle()[access.IT]
	list, err := o.a.Accounts()
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range access.Roles() {
		res := o.ask(ask{method: http.MethodPost, path: "/settings/accounts", token: it, form: url.Values{"name": {"new " + string(role)}, "display": {"N"}, "role": {string(role)}, "password": {"quite another password"}}})
		if made := res.Header.Get("Location") != ""; made != (role == access.IT) {
			t.Errorf("IT makes %s: %v", role, made)
		}
	}
	for _, a := range list {
		if a.Role == access.IT {
			continue
		}
		for _, do := range []string{"change", "reset", "disable", "enable", "end"} {
			res := o.ask(ask{method: http.MethodPost, path: "/settings/accounts/" + a.ID, token: it, form: url.Values{"do": {do}, "display": {"N"}, "role": {"IT"}, "password": {"quite another password"}}})
			if res.StatusCode != http.StatusForbidden {
				t.Errorf("IT does %s to %s: %d", do, a.Role, res.StatusCode)
			}
		}
		if res := o.ask(ask{path: "/settings/accounts/" + a.ID, token: it}); res.StatusCode != http.StatusForbidden {
			t.Errorf("IT opens the account of %s: %d", a.Role, res.StatusCode)
		}
	}
	for _, a := range list {
		if a.Role != access.IT {
			continue
		}
		res := o.ask(ask{method: http.MethodPost, path: "/settings/accounts/" + a.ID, token: it, form: url.Values{"do": {"change"}, "display": {"N"}, "role": {"doctor"}, "password": {"quite another password"}}})
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("IT makes itself a doctor: %d", res.StatusCode)
		}
	}
}

func TestForged(t *testing.T) {
	d := practice()
	o := newOffice(t, d)
	token := o.settle()[access.Owner]
	tests := []struct {
		name   string
		change func(*http.Request)
		status int
		words  string
	}{
		{"another site posts", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403, "not ours"},
		{"a neighbour of the same site posts", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403, "not ours"},
		{"an old browser posts from elsewhere", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403, "not ours"},
		{"a page without an origin posts", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403, "not ours"},
		{"a foreign name leads here", func(r *http.Request) { r.Host = "evil.example" }, 421, "do not answer to"},
		{"a foreign name with our port", func(r *http.Request) { r.Host = "localhost.evil.example:8443" }, 421, "do not answer to"},
		{"no name at all", func(r *http.Request) { r.Host = "" }, 421, "do not answer to"},
		{"over the network without TLS", func(r *http.Request) { r.RemoteAddr = "192.168.1.7:1" }, 403, "https"},
		{"two cookies", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "cc", Value: "x"}) }, 303, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(d.did)
			res := o.ask(ask{method: http.MethodPost, path: "/backups/run", token: token, form: url.Values{}, change: tt.change})
			text := body(t, res)
			if res.StatusCode != tt.status || !strings.Contains(text, tt.words) {
				t.Errorf("got %d, want %d with %q:\n%s", res.StatusCode, tt.status, tt.words, text)
			}
			if len(d.did) != before {
				t.Error("it was done all the same")
			}
			checkHeaders(t, res, tt.name)
		})
	}
	for _, host := range []string{"localhost:8443", "127.0.0.1:1", "[::1]:8443", "LOCALHOST"} {
		if res := o.ask(ask{path: "/", token: token, change: func(r *http.Request) { r.Host = host }}); res.StatusCode != 200 {
			t.Errorf("asked as %s: %d", host, res.StatusCode)
		}
	}
}

// TestPlainHTTP: without TLS no page answers another computer, whoever asks.
func TestPlainHTTP(t *testing.T) {
	d := practice()
	o := newOffice(t, d)
	token := o.settle()[access.Owner]
	for _, route := range viewer.Routes() {
		for _, from := range []string{"192.168.1.7:1", "[fe80::1%eth0]:1", "8.8.8.8:1", "nonsense"} {
			a := ask{method: route.Method, path: address(route.Path), token: token, change: func(r *http.Request) { r.RemoteAddr = from }}
			if route.Method == http.MethodPost {
				a.form = url.Values{}
			}
			res := o.ask(a)
			if text := body(t, res); res.StatusCode != http.StatusForbidden || !strings.Contains(text, "only by https") {
				t.Errorf("%s %s from %s: %d", route.Method, a.path, from, res.StatusCode)
			}
		}
	}
	if len(d.did) > 0 {
		t.Errorf("it was done all the same: %v", d.did)
	}
}

func TestOversized(t *testing.T) {
	d := practice()
	o := newOffice(t, d)
	token := o.settle()[access.Owner]
	for name, change := range map[string]func(*http.Request){"said": nil, "not said": func(r *http.Request) { r.ContentLength = -1 }} {
		res := o.ask(ask{method: http.MethodPost, path: "/backups/pause", token: token, form: url.Values{"why": {strings.Repeat("x", 70<<10)}, "until": {"2026-11-26"}}, change: change})
		if text := body(t, res); res.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(text, "larger than 64 KB") {
			t.Errorf("%s: %d\n%s", name, res.StatusCode, text)
		}
	}
	res := o.ask(ask{method: http.MethodPost, path: "/backups/pause", token: token, form: url.Values{}, change: func(r *http.Request) { r.URL.RawQuery = "%zz" }})
	if res.StatusCode != http.StatusBadRequest || len(d.did) > 0 {
		t.Errorf("a form that cannot be read: %d, did %v", res.StatusCode, d.did)
	}
}

func TestSetup(t *testing.T) {
	d := &double{setup: viewer.Setup{Folder: "/data"}}
	o := newOffice(t, d)
	code, _, err := o.a.NewSetupCode()
	if err != nil {
		t.Fatal(err)
	}
	lan := newOffice(t, &double{}, func(op *viewer.Options) { op.TLS = true })
	if res := lan.ask(ask{path: "/setup/owner", change: func(r *http.Request) { r.RemoteAddr = "192.168.1.9:1" }}); res.StatusCode != http.StatusForbidden || !strings.Contains(body(t, res), "There is no owner yet") {
		t.Errorf("the first run from the network: %d", res.StatusCode)
	}
	form := func(code string) url.Values {
		return url.Values{"code": {code}, "practice": {"Elm"}, "folder": {"/data"}, "display": {"D"}, "name": {"doctor"}, "password": {password}, "again": {password}}
	}
	far := func(r *http.Request) { r.RemoteAddr = "192.168.1.9:1" }
	for _, p := range []string{"/", "/backups", "/sign-in", "/settings", "/log"} {
		if res := o.ask(ask{path: p}); res.Header.Get("Location") != "/setup" {
			t.Errorf("GET %s before the first run: %d %s", p, res.StatusCode, res.Header.Get("Location"))
		}
	}
	for _, p := range []string{"/setup/sheet", "/setup/emr", "/setup/sheet.pdf", "/setup/finish"} {
		if res := o.ask(ask{path: p}); res.StatusCode != http.StatusSeeOther {
			t.Errorf("GET %s before the owner: %d", p, res.StatusCode)
		}
	}
	for _, p := range []string{"/setup/sheet", "/setup/emr", "/setup/schedule", "/setup/alerts", "/setup/skip", "/setup/finish"} {
		if res := o.ask(ask{method: http.MethodPost, path: p, form: url.Values{"step": {"emr"}}}); res.StatusCode != http.StatusSeeOther || len(d.did) > 0 {
			t.Errorf("POST %s before the owner: %d %v", p, res.StatusCode, d.did)
		}
	}
	if res := o.ask(ask{method: http.MethodPost, path: "/setup/owner", form: form(code), change: far}); res.StatusCode != http.StatusForbidden {
		t.Errorf("setup from another computer: %d", res.StatusCode)
	}
	if text := body(t, o.ask(ask{method: http.MethodPost, path: "/setup/owner", form: form("WRONG")})); !strings.Contains(text, "setup code is wrong") || strings.Contains(text, password) {
		t.Errorf("wrong code:\n%s", text)
	}
	o.pass(31 * time.Minute)
	if text := body(t, o.ask(ask{method: http.MethodPost, path: "/setup/owner", form: form(code)})); !strings.Contains(text, "older than 30 minutes") {
		t.Errorf("expired code:\n%s", text)
	}
	if code, _, err = o.a.NewSetupCode(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	results := make([]*http.Response, 2)
	for i := range results {
		wg.Go(func() {
			f := form(code)
			f.Set("name", fmt.Sprintf("doctor %c", 'a'+i))
			results[i] = o.ask(ask{method: http.MethodPost, path: "/setup/owner", form: f})
		})
	}
	wg.Wait()
	made := 0
	for _, res := range results {
		if res.Header.Get("Location") == "/setup/sheet" {
			made++
		}
	}
	accounts, err := o.a.Accounts()
	if err != nil || made != 1 || len(accounts) != 1 {
		t.Fatalf("two first runs at once: %d went on, accounts %v, %v", made, accounts, err)
	}
	if res := o.ask(ask{method: http.MethodPost, path: "/setup/owner", form: form(code)}); !strings.HasPrefix(res.Header.Get("Location"), "/sign-in") {
		t.Errorf("replayed code: %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	d.setup.Done = true
	token, _, err := o.a.SignIn(t.Context(), accounts[0].Name, password, "x")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []ask{{path: "/setup"}, {path: "/setup/owner"}, {path: "/setup/sheet.pdf"}, {method: http.MethodPost, path: "/setup/finish", form: url.Values{}}, {method: http.MethodPost, path: "/setup/owner", form: form(code)}} {
		a.token = token
		if res := o.ask(a); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s %s after setup: %d", a.method, a.path, res.StatusCode)
		}
	}
}

// TestSessionCookie: strict, not for scripts, and new after each password.
func TestSessionCookie(t *testing.T) {
	for _, tls := range []bool{false, true} {
		o := newOffice(t, practice(), func(op *viewer.Options) { op.TLS = tls; op.Hosts = []string{"cellar.office"} })
		o.settle()
		form := url.Values{"name": {"owner"}, "password": {password}, "next": {"//evil.example/"}}
		res := o.ask(ask{method: http.MethodPost, path: "/sign-in", form: form, change: func(r *http.Request) {
			if tls {
				r.RemoteAddr, r.Host = "192.168.1.7:2", "cellar.office:8443"
			}
		}})
		c := res.Cookies()
		if len(c) != 1 || !c[0].HttpOnly || c[0].SameSite != http.SameSiteStrictMode || c[0].Secure != tls || c[0].Path != "/" || c[0].Domain != "" ||
			strings.HasPrefix(c[0].Name, "__Host-") != tls {
			t.Errorf("TLS %v: cookies %v", tls, res.Header["Set-Cookie"])
		}
		if to := res.Header.Get("Location"); to != "/" {
			t.Errorf("after sign-in: %s", to)
		}
	}
}

func TestLockAndSignOut(t *testing.T) {
	o := newOffice(t, practice())
	token := o.settle()[access.Doctor]
	o.page("/backups", token)
	o.pass(9 * time.Minute)
	for range 3 { // what the page asks by itself is no use
		o.ask(ask{path: "/backups/progress", token: token, change: func(r *http.Request) { r.Header.Set("HX-Request", "true") }})
		o.ask(ask{path: "/idle", token: token})
	}
	o.pass(61 * time.Second)
	if res := o.ask(ask{path: "/backups/runs?before=400", token: token}); res.Header.Get("Location") != "/lock?next=%2Fbackups%2Fruns%3Fbefore%3D400" {
		t.Fatalf("after 10 minutes: %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	res := o.ask(ask{path: "/backups/progress", token: token, change: func(r *http.Request) {
		r.Header.Set("HX-Request", "true")
		r.Header.Set("HX-Current-URL", "http://localhost/backups")
	}})
	if to := res.Header.Get("HX-Redirect"); to != "/lock?next=%2Fbackups" {
		t.Errorf("a part of a locked page: %d %q", res.StatusCode, to)
	}
	if text := body(t, o.ask(ask{path: "/lock?next=/backups", token: token})); !strings.Contains(text, "Backups go on; sign in") {
		t.Errorf("lock page:\n%s", text)
	}
	if text := body(t, o.ask(ask{method: http.MethodPost, path: "/unlock", token: token, form: url.Values{"password": {"wrong words at all"}}})); !strings.Contains(text, "is wrong") {
		t.Error("a wrong password unlocks")
	}
	res = o.ask(ask{method: http.MethodPost, path: "/unlock", token: token, form: url.Values{"password": {"other " + password}, "next": {"/backups/runs?before=400"}}})
	if len(res.Cookies()) != 1 || res.Header.Get("Location") != "/backups/runs?before=400" {
		t.Fatalf("unlock: %d %v", res.StatusCode, res.Header)
	}
	fresh := res.Cookies()[0].Value
	if fresh == token {
		t.Error("the token stayed the same")
	}
	if res := o.ask(ask{path: "/", token: token}); res.StatusCode == http.StatusOK {
		t.Error("the old token opens pages")
	}
	o.page("/", fresh)
	o.ask(ask{method: http.MethodPost, path: "/sign-out", token: fresh, form: url.Values{}})
	if res := o.ask(ask{path: "/", token: fresh}); !strings.HasPrefix(res.Header.Get("Location"), "/sign-in") {
		t.Errorf("after sign-out: %d", res.StatusCode)
	}
}

// TestStepUp: accounts need the password again after five minutes.
func TestStepUp(t *testing.T) {
	o := newOffice(t, practice())
	token := o.settle()[access.Owner]
	o.page("/settings/accounts", token)
	o.pass(6 * time.Minute)
	res := o.ask(ask{path: "/settings/accounts", token: token})
	if res.Header.Get("Location") != "/confirm?next=%2Fsettings%2Faccounts" {
		t.Fatalf("%d %s", res.StatusCode, res.Header.Get("Location"))
	}
	res = o.ask(ask{method: http.MethodPost, path: "/confirm", token: token, form: url.Values{"password": {password}, "next": {"/settings/accounts"}}})
	if res.Header.Get("Location") != "/settings/accounts" || len(res.Cookies()) != 1 {
		t.Fatalf("confirm: %d %v", res.StatusCode, res.Header)
	}
	o.page("/settings/accounts", res.Cookies()[0].Value)
}

func TestTooManyAttempts(t *testing.T) {
	o := newOffice(t, practice())
	o.settle()
	var res *http.Response
	for range 7 {
		res = o.ask(ask{method: http.MethodPost, path: "/sign-in", form: url.Values{"name": {"owner"}, "password": {"no such password"}}})
	}
	if text := body(t, res); res.StatusCode != http.StatusTooManyRequests || !strings.Contains(text, "Please wait") {
		t.Errorf("%d\n%s", res.StatusCode, text)
	}
}

// TestReadOnly: over a copy that is only looked at nothing can be started.
func TestReadOnly(t *testing.T) {
	d := practice()
	o := newOffice(t, d, func(op *viewer.Options) { op.ReadOnly = true })
	token := o.settle()[access.Owner]
	for _, route := range viewer.Routes() {
		if route.Writes {
			if res := o.ask(ask{method: route.Method, path: address(route.Path), token: token, form: url.Values{}}); res.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s: %d", route.Method, route.Path, res.StatusCode)
			}
		}
	}
	for _, p := range []string{"/", "/backups", "/backups/held", "/backups/schedule", "/settings"} {
		if text := o.page(p, token); regexp.MustCompile(`action="/(backups|settings|setup)`).MatchString(text) || !strings.Contains(text, "only being looked at") {
			t.Errorf("%s offers to change something", p)
		}
	}
	if len(d.did) > 0 {
		t.Error(d.did)
	}
}

// TestPDFReader: pdf.js is the one that was looked at (6.5.438, the build for older
// browsers), its licences lie beside it, and what it fetches by name has that name.
func TestPDFReader(t *testing.T) {
	o := newOffice(t, practice())
	for name, want := range map[string]string{
		"pdf.min.mjs":                 "522ad2c83bc8a0010e7f0cc60d0892b77c8d2bf2c9702dc12288311d94270f42",
		"pdf.worker.min.mjs":          "b4c8353ded0d88d2e2009574a29eb4e0c3ff7e942ecdf51ef5f71566a9667f31",
		"jbig2_nowasm_fallback.js":    "70150223396487e1ccfef7eac61fc780074ad7fcc9e843b702a8a3bc23107494",
		"openjpeg_nowasm_fallback.js": "2855f1590e7fd7abbbf204cd13a5c09d30c92fe2c9313fb72b64aa763fe8b4f3",
	} {
		b, err := os.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if sum := fmt.Sprintf("%x", sha256.Sum256(b)); sum != want {
			t.Errorf("%s has the SHA-256 %s, want %s", name, sum, want)
		}
		if bytes.Contains(b, []byte("new Function(")) || regexp.MustCompile(`[^.\w]eval\(`).Match(b) {
			t.Errorf("%s makes code of text", name)
		}
		if res := o.ask(ask{path: "/static/" + name}); strings.HasSuffix(name, ".js") && (res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") != "no-store") {
			t.Errorf("%s: %d %v", name, res.StatusCode, res.Header)
		}
	}
	for _, name := range []string{"pdfjs.LICENSE.txt", "pdfjs-images.LICENSE.txt"} {
		if b, err := os.ReadFile("static/" + name); err != nil || len(b) < 1000 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAssets: the one foreign script is the one that was looked at, and all scripts
// are small.
func TestAssets(t *testing.T) {
	total := 0
	for _, name := range []string{"htmx.min.js", "app.js"} {
		b, err := os.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if sum := fmt.Sprintf("%x", sha256.Sum256(b)); name == "htmx.min.js" && sum != "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717" {
			t.Errorf("htmx 2.0.11 has the SHA-256 %s", sum)
		}
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		total += z.Len()
	}
	if total > 60<<10 {
		t.Errorf("the scripts have %d bytes packed, at most 60 KiB are allowed", total)
	}
	o := newOffice(t, practice())
	text := o.page("/", o.settle()[access.Owner])
	for _, m := range regexp.MustCompile(`/static/[^"]+`).FindAllString(text, -1) {
		res := o.ask(ask{path: m})
		if res.StatusCode != http.StatusOK || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") || !regexp.MustCompile(`\.[0-9a-f]{64}\.`).MatchString(m) {
			t.Errorf("%s: %d %v", m, res.StatusCode, res.Header)
		}
	}
}
