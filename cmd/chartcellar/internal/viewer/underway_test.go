package viewer_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"chartcellar/store/access"
)

// An endless document goes on when what it may be shown for is over.
type endless struct {
	ctx    context.Context
	begun  chan bool
	pieces int
}

func (e *endless) Read(b []byte) (int, error) {
	switch e.pieces++; e.pieces {
	case 1:
		return copy(b, "FIRST"), nil
	case 2:
		e.begun <- true
		<-e.ctx.Done()
		return copy(b, "SECOND"), nil
	}
	return 0, io.EOF
}

func (e *endless) Close() error { return nil }

// TestOpenStreams: a document that is being sent breaks off when its session is locked or
// over, and with the emergency access under which it was opened; and nothing else ends it.
func TestOpenStreams(t *testing.T) {
	tests := map[string]struct {
		late bool   // it is opened just before the end of the emergency access
		end  string // form that is sent
		ends bool
	}{
		"signed out":               {false, "/sign-out", true},
		"locked":                   {false, "/lock", true},
		"emergency access ended":   {false, "/emergency/end", true},
		"emergency access ran out": {true, "", true},
		"somebody else has gone":   {false, "other", false},
		"the password once more":   {false, "/confirm", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := practice()
			o := newOffice(t, d)
			tokens := o.settle()
			res := o.ask(ask{method: http.MethodPost, path: "/emergency", token: tokens[access.Staff], form: emergencyForm("minutes", "15")})
			token := res.Cookies()[0].Value
			if tt.late {
				for range 3 { // in use, so that the page does not lock before
					o.pass(4 * time.Minute)
					o.page("/settings", token)
				}
				o.pass(3*time.Minute - 300*time.Millisecond)
			}
			d.begun = make(chan bool)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			w, over := httptest.NewRecorder(), make(chan any)
			go func() {
				defer func() { over <- recover() }()
				r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/document/"+patientRef()+"/1/content", nil)
				r.RemoteAddr = "127.0.0.1:4711"
				r.AddCookie(&http.Cookie{Name: "cc", Value: token})
				o.server.Handler().ServeHTTP(w, r)
			}()
			<-d.begun
			switch {
			case tt.end == "other":
				o.ask(ask{method: http.MethodPost, path: "/sign-out", token: tokens[access.Owner], form: url.Values{}})
			case tt.end != "":
				o.ask(ask{method: http.MethodPost, path: tt.end, token: token, form: url.Values{"password": {"other " + password}}})
			}
			if !tt.ends {
				select {
				case <-over:
					t.Error("it has ended")
				default:
					leave()
					<-over
				}
				return
			}
			if got := <-over; got != http.ErrAbortHandler || !strings.HasPrefix(w.Body.String(), "FIRST") || strings.Contains(w.Body.String(), "SECOND") {
				t.Errorf("ended with %v: %q", got, w.Body)
			}
		})
	}
}
