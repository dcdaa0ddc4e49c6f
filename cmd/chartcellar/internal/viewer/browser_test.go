package viewer_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
)

var browser = flag.Bool("browser", false, "serve invented practices for .ci/browser until the standard input ends")

// A served is a practice that the browser may open.
type served struct {
	URL      string `json:"url"`
	Name     string `json:"name"`
	Password string `json:"password"`
	Code     string `json:"code,omitempty"`
}

// TestBrowserServer is no test: with -browser it serves a practice, one of which
// nothing is known, and one before its first run, and prints their addresses as one
// line of JSON.
func TestBrowserServer(t *testing.T) {
	if !*browser {
		t.Skip("only with -browser")
	}
	list := map[string]served{}
	var offices []*office
	for name, d := range map[string]*double{"practice": practice(), "empty": {setup: viewer.Setup{Owner: true, Done: true}}, "new": {setup: viewer.Setup{Folder: "/var/lib/chartcellar"}}} {
		o := newOffice(t, d)
		offices = append(offices, o)
		s := served{Name: "owner", Password: password}
		if name == "new" {
			code, _, err := o.a.NewSetupCode()
			if err != nil {
				t.Fatal(err)
			}
			s.Code = code
			d.status = practice().status
		} else {
			o.settle()
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: o.server.Handler()}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		t.Cleanup(func() {
			if err := srv.Close(); err != nil {
				t.Error(err)
			}
			<-done
		})
		s.URL = (&url.URL{Scheme: "http", Host: l.Addr().String()}).String()
		list[name] = s
	}
	b, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("SERVING %s\n", b)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); { // "pass 10m": so much time goes by
		d, err := time.ParseDuration(strings.TrimPrefix(in.Text(), "pass "))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range offices {
			o.pass(d)
		}
		fmt.Println("PASSED")
	}
}
