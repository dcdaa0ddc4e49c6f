package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/store/disk"
)

// script writes a program for a test; there is none on Windows.
func script(t *testing.T, text string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no shell")
	}
	path := filepath.Join(t.TempDir(), "alert")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	c := notify.Command{Argv: []string{script(t, `cat > "$1"; printf '%s|%s|%s|%s|%s' "$CHARTCELLAR_KIND" "$CHARTCELLAR_SOURCE" "$CHARTCELLAR_LEVEL" "$CHARTCELLAR_PHASE" "$HOME" >> "$1"`), out},
		Env: []string{"PATH=" + os.Getenv("PATH")}}
	if err := c.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	text, env, _ := strings.Cut(string(b), "\n")
	var got map[string]any
	if err := json.Unmarshal([]byte(text), &got); err != nil || got["kind"] != "failed" || got["text"] != "Last night's run of emr failed." || got["level"] != "urgent" {
		t.Errorf("stdin %s, %v", text, err)
	}
	if env != "failed|emr|urgent|began|" {
		t.Errorf("environment %q", env)
	}
}

func TestCommandFails(t *testing.T) {
	tests := []struct{ name, script, want string }{
		{"ends with 3", "exit 3", "ended with exit status 3"},
		{"says why", "echo no route; echo to phone >&2; exit 1", "exit status 1: no route to phone"},
		{"talks for ever", "yes | head -c 300000; exit 1", "exit status 1: y y y"},
		{"hangs", "sleep 4", "did not end within 200ms"},
		{"leaves a child behind", "sleep 4 & exit 0", ""},
		{"does not read", "exec <&-; exit 0", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := notify.Command{Argv: []string{script(t, tt.script)}, Env: []string{"PATH=" + os.Getenv("PATH")}, Timeout: 5 * time.Second}
			if tt.name == "hangs" {
				c.Timeout = 200 * time.Millisecond
			}
			began := time.Now()
			err := c.Send(t.Context(), message())
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 400) {
				t.Errorf("Send: %v, want %q", err, tt.want)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	for _, argv := range [][]string{nil, {"alert"}, {"mail -s alarm office"}} {
		if err := (notify.Command{Argv: argv}).Send(t.Context(), message()); err == nil || !strings.Contains(err.Error(), "full path") {
			t.Errorf("%q: %v", argv, err)
		}
	}
	if err := (notify.Command{Argv: []string{filepath.Join(t.TempDir(), "none")}}).Send(t.Context(), message()); err == nil || !strings.Contains(err.Error(), "could not be started") {
		t.Errorf("no program: %v", err)
	}
}

func TestPing(t *testing.T) {
	var got []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.Path)
		switch r.URL.Path {
		case "/secret/fail":
			http.Error(w, "no", http.StatusNotFound)
		case "/secret/start":
			http.Redirect(w, r, "/secret", http.StatusFound)
		}
	}))
	defer s.Close()
	p := notify.Healthchecks(s.URL + "/secret")
	if err := p.Send(t.Context(), notify.Succeeded); err != nil {
		t.Error(err)
	}
	p.Post = true
	if err := p.Send(t.Context(), notify.Tested); err != nil {
		t.Error(err)
	}
	for _, b := range []notify.Beat{notify.NotDone, notify.Started} {
		if err := p.Send(t.Context(), b); err == nil || !strings.Contains(err.Error(), "127.0.0.1 answered the ping with") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", b, err)
		}
	}
	if want := "GET /secret, POST /secret/log, POST /secret/fail, POST /secret/start"; strings.Join(got, ", ") != want {
		t.Errorf("asked %q, want %q", got, want)
	}
	bare := notify.Ping{Success: s.URL}
	if err := bare.Send(t.Context(), notify.Started); err != nil {
		t.Errorf("a beat without an address: %v", err)
	}
	if err := bare.Send(t.Context(), notify.Tested); !errors.Is(err, notify.ErrNoTest) {
		t.Errorf("a test without an address: %v", err)
	}
	s.Close()
	if err := p.Send(t.Context(), notify.Succeeded); err == nil || !strings.Contains(err.Error(), "could not be pinged") || strings.Contains(err.Error(), "secret") {
		t.Errorf("a dead service: %v", err)
	}
}

func TestPingSlow(t *testing.T) {
	stop := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	defer s.Close()
	defer close(stop)
	p := notify.Ping{Success: s.URL, Timeout: 50 * time.Millisecond}
	if err := p.Send(t.Context(), notify.Succeeded); err == nil || !strings.Contains(err.Error(), "did not answer the ping within 50ms") {
		t.Errorf("a slow service: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Send(ctx, notify.Succeeded); !errors.Is(err, context.Canceled) {
		t.Errorf("when stopped: %v", err)
	}
}

func TestPingCheck(t *testing.T) {
	tests := []struct {
		name, address string
		ok            bool
	}{
		{"https", "https://hc-ping.com/uuid", true},
		{"http to this computer", "http://127.0.0.1:8000/x", true},
		{"http to this computer by name", "http://localhost/x", true},
		{"http to elsewhere", "http://hc-ping.com/uuid", false},
		{"http to a name that begins like this computer", "http://127.0.0.1.example.org/", false},
		{"another scheme", "ftp://h/x", false},
		{"no address", "hc-ping.com/uuid", false},
		{"a password in it", "https://u:p@h/x", false},
		{"nothing", "", false},
		{"a line break", "https://h/\r\nx", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := (notify.Ping{Success: tt.address}).Check(); (err == nil) != tt.ok {
				t.Errorf("Check(%q): %v", tt.address, err)
			}
		})
	}
}

func TestWriteStatus(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status.json")
	for _, word := range []string{"good", "overdue"} {
		s := notify.Status{Word: word, Sentence: "The copy is from never.", At: time.Now(), Worst: notify.Red}
		if err := notify.WriteStatus(disk.OS{}, path, s); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		var got map[string]any
		if err == nil {
			err = json.Unmarshal(b, &got)
		}
		if err != nil || got["word"] != word || got["sentence"] != "The copy is from never." || got["worst"] != "urgent" {
			t.Errorf("status file %s, %v", b, err)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
	err := notify.WriteStatus(disk.OS{}, filepath.Join(t.TempDir(), "none", "status.json"), notify.Status{})
	if err == nil || !strings.Contains(err.Error(), "is not there") {
		t.Errorf("no folder: %v", err)
	}
}
