package notify_test

import (
	"context"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/notify"
)

func message() notify.Message {
	return notify.Message{Practice: notify.Name("Praxis Dr. Müller"), Kind: notify.Failed, Source: "emr", Level: notify.Red,
		Phase: notify.Began, Text: notify.Say("Last night's run of %s failed.", notify.Name("emr")),
		Next: notify.Say("Nothing is lost; the next run is at %s.", notify.At(time.Date(2026, 6, 3, 2, 0, 0, 0, time.UTC))),
		At:   time.Date(2026, 6, 2, 7, 0, 0, 0, time.UTC)}
}

func password(s string) func() (string, error) { return func() (string, error) { return s, nil } }

func TestMailArrives(t *testing.T) {
	tests := []struct {
		name     string
		post     *post
		security notify.Security
		user     string
		tls      bool
	}{
		{"STARTTLS and PLAIN", &post{Auth: "LOGIN PLAIN"}, notify.StartTLS, "office", true},
		{"STARTTLS and LOGIN", &post{Auth: "LOGIN"}, notify.StartTLS, "office", true},
		{"STARTTLS without a sign-in", &post{}, notify.StartTLS, "", true},
		{"TLS from the first byte", &post{Implicit: true, Auth: "PLAIN"}, notify.TLS, "office", true},
		{"in clear, as somebody said", &post{NoTLS: true}, notify.Clear, "", false},
		{"a relay on this computer, with a sign-in", &post{NoTLS: true, Auth: "PLAIN"}, notify.Clear, "office", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			host, port := newPost(t, tt.post)
			s := notify.MailServer{Host: host, Port: port, Security: tt.security, User: tt.user, Password: password("right"),
				From: "box@example.org", CA: tt.post.pool}
			c, err := s.To("owner@example.org")
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Send(t.Context(), message()); err != nil {
				t.Fatal(err)
			}
			p := tt.post
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.mails) != 1 || p.tls != tt.tls || tt.user != "" && (len(p.users) != 1 || p.users[0] != "office:right") {
				t.Fatalf("%d mails, encrypted %v, sign-ins %v", len(p.mails), p.tls, p.users)
			}
			if e := strings.Join(p.envelope, "|"); !strings.Contains(e, "MAIL FROM:<box@example.org>") || !strings.Contains(e, "RCPT TO:<owner@example.org>") {
				t.Errorf("envelope %q", e)
			}
			checkMail(t, p.mails[0])
		})
	}
}

func checkMail(t *testing.T, raw string) {
	t.Helper()
	for _, line := range strings.Split(raw, "\r\n") {
		if len(line) > 200 || strings.Contains(line, "\n") {
			t.Errorf("line of %d bytes, or a bare line feed", len(line))
		}
	}
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != "Praxis Dr. Müller: Urgent: Last night's run of emr failed." {
		t.Errorf("subject %q, %v", subject, err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil || !strings.Contains(string(body), "Last night's run of emr failed.\r\n") {
		t.Errorf("body %q, %v", body, err)
	}
	date, err := m.Header.Date()
	if err != nil || !date.Equal(message().At) {
		t.Errorf("date %s, %v", date, err)
	}
	if id := m.Header.Get("Message-ID"); !strings.HasSuffix(id, "@example.org>") || len(id) < 40 {
		t.Errorf("Message-ID %q", id)
	}
	if m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("headers %v", m.Header)
	}
}

func TestMailFails(t *testing.T) {
	tests := []struct {
		name   string
		post   *post
		change func(*notify.MailServer)
		want   string
	}{
		{"no STARTTLS", &post{NoTLS: true}, nil, "offers no encryption (STARTTLS), and nothing was sent"},
		{"a certificate of nobody", &post{}, func(s *notify.MailServer) { s.CA = nil }, "has a certificate that nobody we trust has signed"},
		{"a wrong password", &post{Auth: "PLAIN"}, func(s *notify.MailServer) { s.User, s.Password = "office", password("wrong") }, "refused the user name or the password"},
		{"a password that cannot be read", &post{Auth: "PLAIN"}, func(s *notify.MailServer) {
			s.User, s.Password = "office", func() (string, error) { return "", errors.New("the seal is broken") }
		}, "the seal is broken"},
		{"a sign-in of another kind", &post{Auth: "XOAUTH2"}, func(s *notify.MailServer) { s.User, s.Password = "office", password("right") }, "offers no sign-in that we know (XOAUTH2)"},
		{"the address is refused", &post{Refuse: "RCPT"}, nil, "refused the address owner@example.org: 550 not here"},
		{"the sender is refused, at length", &post{Refuse: "MAIL", Chatty: true}, nil, "refused the sender box@example.org: 550"},
		{"the message is refused", &post{Refuse: "DATA"}, nil, "refused the message"},
		{"a server that hangs up", &post{HangUp: true}, nil, "hung up"},
		{"a server that says nothing", &post{Silent: true}, func(s *notify.MailServer) { s.Timeout = 50 * time.Millisecond }, "did not answer within 50ms"},
		{"TLS that says nothing", &post{Silent: true}, func(s *notify.MailServer) { s.Security, s.Timeout = notify.TLS, 50*time.Millisecond }, "did not answer within 50ms"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			host, port := newPost(t, tt.post)
			s := notify.MailServer{Host: host, Port: port, From: "box@example.org", CA: tt.post.pool}
			if tt.change != nil {
				tt.change(&s)
			}
			c, err := s.To("owner@example.org")
			if err != nil {
				t.Fatal(err)
			}
			err = c.Send(t.Context(), message())
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.ContainsAny(err.Error(), "\r\n\x1b") || len(err.Error()) > 300 {
				t.Errorf("Send: %v, want %q", err, tt.want)
			}
			if len(tt.post.mails) > 0 {
				t.Error("a mail was sent")
			}
		})
	}
}

func TestMailOtherName(t *testing.T) {
	p := &post{}
	host, port := newPost(t, p, "mail.example.org")
	c, err := notify.MailServer{Host: host, Port: port, From: "box@example.org", CA: p.pool}.To("owner@example.org")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send(t.Context(), message()); err == nil || !strings.Contains(err.Error(), "a certificate for another name") {
		t.Errorf("Send: %v", err)
	}
}

func TestMailDead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	c, err := notify.MailServer{Host: "127.0.0.1", Port: port, From: "box@example.org"}.To("owner@example.org")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send(t.Context(), message()); err == nil || !strings.Contains(err.Error(), "could not be reached") {
		t.Errorf("Send: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Send(ctx, message()); !errors.Is(err, context.Canceled) {
		t.Errorf("Send when stopped: %v", err)
	}
}

// TestInjection: no setting and no name becomes a header, a command or a second mail.
func TestInjection(t *testing.T) {
	good := notify.MailServer{Host: "mail.example.org", From: "box@example.org"}
	for _, bad := range []string{"a@b.c\r\nBcc: x@y.z", "a@b.c\nDATA", "a@b.c, x@y.z", "", "a", "\"a\r\nb\"@c.d", "<a b@c.d>", "a@b.c\x00\r"} {
		if c, err := good.To(bad); err == nil {
			t.Errorf("To(%q) = %s", bad, c.Name())
		} else if strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("To(%q): the error has lines: %q", bad, err)
		}
		s := good
		s.From = bad
		if _, err := s.To("a@b.c"); err == nil {
			t.Errorf("from %q was taken", bad)
		}
	}
	for name, change := range map[string]func(*notify.MailServer){
		"a host with a command":         func(s *notify.MailServer) { s.Host = "h\r\nQUIT" },
		"a port beyond ports":           func(s *notify.MailServer) { s.Port = 70000 },
		"a security nobody has":         func(s *notify.MailServer) { s.Security = "ssl3" },
		"a password in clear":           func(s *notify.MailServer) { s.Security, s.User, s.Password = notify.Clear, "u", password("p") },
		"a user without a password":     func(s *notify.MailServer) { s.User = "u" },
		"no host":                       func(s *notify.MailServer) { s.Host = "" },
		"an address in place of a host": func(s *notify.MailServer) { s.Host = "smtp://h" },
	} {
		s := good
		change(&s)
		if _, err := s.To("a@b.c"); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	p := &post{}
	host, port := newPost(t, p)
	c, err := notify.MailServer{Host: host, Port: port, From: "box@example.org", CA: p.pool}.To("owner@example.org")
	if err != nil {
		t.Fatal(err)
	}
	center := notify.NewCenter(notify.Options{Practice: "Elm\r\nBcc: x@y.z\r\n\r\n.\r\nQUIT\u2028" + strings.Repeat("ü", 100), Channels: []notify.Channel{c}})
	out := center.Update(t.Context(), []notify.Alert{{Kind: notify.Held, Source: "emr\r\nX-Evil: 1",
		Text: notify.Say("%s waits.\n.\r\nRCPT TO:<x@y.z>", notify.Name("a\r\nX-Evil: 2"))}})
	if len(out) != 1 || out[0].Err != nil {
		t.Fatalf("Update: %v", out)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mails) != 1 || strings.Contains(strings.Join(p.envelope, "|"), "x@y.z") {
		t.Fatalf("%d mails, envelope %q", len(p.mails), p.envelope)
	}
	m, err := mail.ReadMessage(strings.NewReader(p.mails[0]))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Header) != 9 || m.Header.Get("Bcc")+m.Header.Get("X-Evil") != "" {
		t.Errorf("headers %v", m.Header)
	}
	if strings.Contains(p.mails[0], "X-Evil") {
		t.Errorf("a name that is none came through:\n%s", p.mails[0])
	}
}
