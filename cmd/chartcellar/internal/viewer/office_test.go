package viewer_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/access"
	"chartcellar/store/keys"
)

const password = "four words apart please"

// An office is the pages over a double and real accounts.
type office struct {
	t      testing.TB
	d      *double
	a      *access.Access
	server *viewer.Server

	mu    sync.Mutex
	now   time.Time
	slots map[string]string
	told  []access.Event
	mark  []byte
	key   age.Identity
}

func (o *office) Add(name, pass string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.slots[name] = pass
	return nil
}

func (o *office) Open(name, pass string) (age.Identity, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.slots[name] != pass {
		return nil, keys.ErrWrongPassword
	}
	return o.key, nil
}

// journal keeps what the accounts tell.
func (o *office) journal(e access.Event) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told = append(o.told, e)
	return nil
}

// openNotes hide nothing.
type openNotes struct{}

func (openNotes) Seal(b []byte) ([]byte, error) { return b, nil }
func (openNotes) Open(b []byte) ([]byte, error) { return b, nil }

type marker struct{ o *office }

func (m marker) Marked() ([]byte, error) { return m.o.mark, nil }
func (m marker) Mark(b []byte) error     { m.o.mark = b; return nil }

func (o *office) clock() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.now
}

func (o *office) pass(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = o.now.Add(d)
}

// newOffice returns the pages before the first run.
func newOffice(t testing.TB, d *double, change ...func(*viewer.Options)) *office {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	o := &office{t: t, d: d, now: now, slots: map[string]string{}, key: key}
	o.a, err = access.Open(access.Options{Dir: t.TempDir(), Now: o.clock, Slots: o, Marker: marker{o},
		Journal: o.journal, Notes: openNotes{}, Work: access.Work{Time: 1, Memory: 8, Threads: 1, Floor: -1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.a.Close(); err != nil {
			t.Error(err)
		}
	})
	opts := viewer.Options{Backend: d, Access: o.a, Now: o.clock, Zone: time.UTC, Practice: func() string { return "Elm Street Family Medicine" }, Version: "0.1.0",
		Local: func(a netip.Addr) bool { return a.IsLoopback() }}
	for _, c := range change {
		c(&opts)
	}
	if o.server, err = viewer.New(opts); err != nil {
		t.Fatal(err)
	}
	d.owner = func(ctx context.Context, code string, n viewer.NewOwner) error {
		_, err := o.a.SetUp(ctx, n.Address, access.FirstOwner{Code: code, Name: n.Name, Display: n.Display, Password: n.Password})
		return err
	}
	return o
}

// settle makes an owner, and one account of each role with its own password.
func (o *office) settle() map[access.Role]string {
	o.t.Helper()
	code, _, err := o.a.NewSetupCode()
	if err != nil {
		o.t.Fatal(err)
	}
	ctx := o.t.Context()
	if _, err := o.a.SetUp(ctx, "127.0.0.1", access.FirstOwner{Code: code, Name: "owner", Display: "Dr. Maria Reyes", Password: password}); err != nil {
		o.t.Fatal(err)
	}
	tokens := map[access.Role]string{}
	token, _, err := o.a.SignIn(ctx, "owner", password, "127.0.0.1")
	if err != nil {
		o.t.Fatal(err)
	}
	tokens[access.Owner] = token
	for _, role := range access.Roles()[1:] {
		name := "the " + strings.ToLower(string(role))
		if _, err := o.a.Create(ctx, token, access.NewAccount{Name: name, Role: role, Password: "first " + password}); err != nil {
			o.t.Fatal(err)
		}
		tok, _, err := o.a.SignIn(ctx, name, "first "+password, "127.0.0.1")
		if err != nil {
			o.t.Fatal(err)
		}
		if tok, _, err = o.a.ChangePassword(ctx, tok, "first "+password, "other "+password); err != nil {
			o.t.Fatal(err)
		}
		tokens[role] = tok
	}
	return tokens
}

// An ask is one request.
type ask struct {
	method, path, token string
	form                url.Values
	change              func(*http.Request)
}

func (o *office) ask(a ask) *http.Response {
	o.t.Helper()
	if a.method == "" {
		a.method = http.MethodGet
	}
	var body io.Reader
	if a.form != nil {
		body = strings.NewReader(a.form.Encode())
	}
	r := httptest.NewRequest(a.method, "http://localhost"+a.path, body)
	r.RemoteAddr = "127.0.0.1:4711"
	if a.form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if a.token != "" {
		r.AddCookie(&http.Cookie{Name: "cc", Value: a.token})
		r.AddCookie(&http.Cookie{Name: "cc-look", Value: a.token}) // of a copy that is only looked at
	}
	if a.change != nil {
		a.change(r)
	}
	w := httptest.NewRecorder()
	o.server.Handler().ServeHTTP(w, r)
	return w.Result()
}

// page is the text of a page that must be there.
func (o *office) page(path, token string) string {
	o.t.Helper()
	res := o.ask(ask{path: path, token: token})
	text := body(o.t, res)
	if res.StatusCode != http.StatusOK {
		o.t.Fatalf("GET %s: %d\n%s", path, res.StatusCode, text)
	}
	return text
}

func body(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
