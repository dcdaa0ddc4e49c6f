package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"
)

// A letterbox is a mail server on this computer that keeps what it takes.
type letterbox struct {
	addr string

	mu    sync.Mutex
	mails []string // "TO: SUBJECT\n\nBODY"
	users []string // who signed in, as it came over the line
}

func newLetterbox(t *testing.T) *letterbox {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &letterbox{addr: l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { b.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return b
}

func (b *letterbox) serve(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(c)
	to := ""
	io.WriteString(c, "220 box\r\n")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(line[:4]); verb {
		case "RCPT":
			to = strings.Trim(strings.TrimSpace(line[len("RCPT TO:"):]), "<>")
			io.WriteString(c, "250 ok\r\n")
		case "DATA":
			io.WriteString(c, "354 go on\r\n")
			var raw strings.Builder
			for line, err := r.ReadString('\n'); err == nil && line != ".\r\n"; line, err = r.ReadString('\n') {
				raw.WriteString(line)
			}
			b.keep(to, raw.String())
			io.WriteString(c, "250 taken\r\n")
		case "EHLO":
			io.WriteString(c, "250-box\r\n250 AUTH PLAIN\r\n")
		case "AUTH":
			who, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line[len("AUTH PLAIN "):]))
			b.mu.Lock()
			b.users = append(b.users, strings.ReplaceAll(string(who), "\x00", ":"), fmt.Sprint(err))
			b.mu.Unlock()
			io.WriteString(c, "235 welcome\r\n")
		case "QUIT":
			io.WriteString(c, "221 bye\r\n")
			return
		default:
			io.WriteString(c, "250 ok\r\n")
		}
	}
}

func (b *letterbox) keep(to, raw string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		b.mails = append(b.mails, err.Error())
		return
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		subject = err.Error()
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		subject = err.Error()
	}
	b.mails = append(b.mails, to+": "+subject+"\n\n"+string(body))
}

// take returns what came since the last time.
func (b *letterbox) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.mails
	b.mails = nil
	return m
}

// subjects are the first lines of mails.
func subjects(mails []string) string {
	var list []string
	for _, m := range mails {
		s, _, _ := strings.Cut(m, "\n")
		list = append(list, s)
	}
	return strings.Join(list, "\n")
}
