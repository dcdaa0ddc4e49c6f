package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Security is how the way to the mail server is kept.
type Security string

// The securities. Without one of them a server is asked for STARTTLS and gets
// nothing if it has none.
const (
	StartTLS Security = ""     // plain first, then encrypted; required
	TLS      Security = "tls"  // encrypted from the first byte, port 465
	Clear    Security = "none" // not encrypted: somebody has to say so
)

// A MailServer is where mail is handed in. It is a value; To makes channels of it.
type MailServer struct {
	Host     string
	Port     int // 0: 587, with TLS 465
	Security Security
	// User, if set, signs in with Password, which is asked for anew each time and
	// never kept. It goes over an encrypted way only, or to this computer itself.
	User     string
	Password func() (string, error)
	From     string
	CA       *x509.CertPool // nil: the system's
	// Hello is the name this computer gives; "" is localhost.
	Hello string
	// Timeout is for one message; 0 is 30 s.
	Timeout time.Duration
}

// A mailTo is the way to one address.
type mailTo struct {
	s        MailServer
	from, to *mail.Address
}

// To returns the channel to one address. Each address has its own, so that one that
// is refused keeps nobody else from hearing. The error says what is wrong with the
// settings.
func (s MailServer) To(address string) (Channel, error) {
	if s.Port == 0 {
		s.Port = 587
		if s.Security == TLS {
			s.Port = 465
		}
	}
	if s.Hello == "" {
		s.Hello = "localhost"
	}
	if s.Timeout <= 0 {
		s.Timeout = 30 * time.Second
	}
	from, err := parseAddress(s.From)
	if err != nil {
		return nil, err
	}
	to, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	switch {
	case s.Host == "" || strings.ContainsAny(s.Host, " \r\n/:") && net.ParseIP(s.Host) == nil:
		return nil, fmt.Errorf("%q is no mail server; write its name, such as smtp.example.org", oneLine(s.Host, 80))
	case s.Port < 1 || s.Port > 65535:
		return nil, fmt.Errorf("%d is no port; write 587", s.Port)
	case !slices.Contains([]Security{StartTLS, TLS, Clear}, s.Security):
		return nil, fmt.Errorf(`%q is no way to secure mail; write "tls" or "none", or leave it out for STARTTLS`, oneLine(string(s.Security), 20))
	case s.User != "" && s.Security == Clear && !Loopback(s.Host):
		return nil, errors.New("without encryption the mail password could be read on the way; leave the user name out, or use STARTTLS")
	case s.User != "" && s.Password == nil:
		return nil, errors.New("there is a user name for the mail server, but no password")
	}
	return mailTo{s, from, to}, nil
}

// parseAddress takes one plain address; names, lists and line breaks are refused.
func parseAddress(text string) (*mail.Address, error) {
	a, err := mail.ParseAddress(text)
	if err != nil || strings.ContainsAny(text, "\r\n") || strings.ContainsAny(a.Address, " \r\n<>\"") {
		return nil, fmt.Errorf("%q is no mail address; write one like office@example.org", oneLine(text, 80))
	}
	return a, nil
}

// Loopback reports whether a host is this computer.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Name implements Channel: "mail to office@example.org".
func (m mailTo) Name() string { return "mail to " + m.to.Address }

// Send implements Channel.
func (m mailTo) Send(ctx context.Context, msg Message) error {
	content, err := m.compose(msg)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, m.s.Timeout)
	defer cancel()
	server := net.JoinHostPort(m.s.Host, strconv.Itoa(m.s.Port))
	conn, err := m.dial(within, server)
	if err == nil {
		err = m.deliver(within, conn, content)
	}
	var timeout net.Error
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case within.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("the mail server %s did not answer within %s", server, m.s.Timeout)
	}
	return m.words(server, err)
}

func (m mailTo) dial(ctx context.Context, server string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", server)
	if err != nil {
		return nil, fault{"could not be reached", err}
	}
	if m.s.Security != TLS {
		return conn, nil
	}
	c := tls.Client(conn, m.tls())
	if err := c.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fault{"could not be asked over TLS", err}
	}
	return c, nil
}

func (m mailTo) tls() *tls.Config {
	return &tls.Config{ServerName: m.s.Host, RootCAs: m.s.CA, MinVersion: tls.VersionTLS12}
}

// A fault is what a step of the delivery did not achieve.
type fault struct {
	what string
	err  error
}

// Error implements error: a server's reply without the quotes that Go puts round it.
func (f fault) Error() string {
	var reply *textproto.Error
	if errors.As(f.err, &reply) {
		return fmt.Sprintf("%s: %d %s", f.what, reply.Code, reply.Msg)
	}
	return f.what + ": " + f.err.Error()
}

// Unwrap returns the cause.
func (f fault) Unwrap() error { return f.err }

// deliver speaks to the server and closes the connection.
func (m mailTo) deliver(ctx context.Context, conn net.Conn, content []byte) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if end, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(end); err != nil {
			return err
		}
	}
	c, err := smtp.NewClient(conn, m.s.Host)
	if err != nil {
		return fault{"does not answer like a mail server", err}
	}
	defer c.Close()
	if err := m.greet(c); err != nil {
		return err
	}
	if err := c.Mail(m.from.Address); err != nil {
		return fault{"refused the sender " + m.from.Address, err}
	}
	if err := c.Rcpt(m.to.Address); err != nil {
		return fault{"refused the address " + m.to.Address, err}
	}
	w, err := c.Data()
	if err != nil {
		return fault{"refused the message", err}
	}
	if _, err := w.Write(content); err != nil {
		return fault{"did not take the message", err}
	}
	if err := w.Close(); err != nil {
		return fault{"refused the message", err}
	}
	c.Quit() // it has the message: what it says now changes nothing
	return nil
}

// greet says hello, encrypts the way and signs in.
func (m mailTo) greet(c *smtp.Client) error {
	if err := c.Hello(m.s.Hello); err != nil {
		return fault{"refused our greeting", err}
	}
	if m.s.Security == StartTLS {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("offers no encryption (STARTTLS), and nothing was sent")
		}
		if err := c.StartTLS(m.tls()); err != nil {
			return fault{"could not be asked over TLS", err}
		}
	}
	if m.s.User == "" {
		return nil
	}
	password, err := m.s.Password()
	if err != nil {
		return fmt.Errorf("was not asked, for its password could not be read: %w", err)
	}
	_, offered := c.Extension("AUTH")
	ways := strings.Fields(strings.ToUpper(offered))
	var auth smtp.Auth
	switch {
	case slices.Contains(ways, "PLAIN"):
		auth = smtp.PlainAuth("", m.s.User, password, m.s.Host)
	case slices.Contains(ways, "LOGIN"):
		auth = &login{m.s.User, password, 0}
	default:
		return fmt.Errorf("offers no sign-in that we know (%s)", oneLine(offered, 80))
	}
	if err := c.Auth(auth); err != nil {
		var reply *textproto.Error
		if errors.As(err, &reply) && reply.Code == 535 {
			return fmt.Errorf("refused the user name or the password (%d)", reply.Code)
		}
		return fault{"refused the sign-in", err}
	}
	return nil
}

// words makes one sentence of what went wrong. What the server said is kept, on one
// line and short.
func (m mailTo) words(server string, err error) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var broken *net.OpError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("the mail server %s has a certificate that nobody we trust has signed", server)
	case errors.As(err, &host):
		return fmt.Errorf("the mail server %s has a certificate for another name", server)
	case errors.As(err, &invalid):
		return fmt.Errorf("the certificate of the mail server %s is not valid (expired?)", server)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &broken) && broken.Op != "dial":
		return fmt.Errorf("the mail server %s hung up", server)
	}
	return sentence{fmt.Sprintf("the mail server %s %s", server, oneLine(err.Error(), 200)), err}
}

// A sentence is an error whose words are not those of its cause.
type sentence struct {
	text  string
	cause error
}

func (s sentence) Error() string { return s.text }
func (s sentence) Unwrap() error { return s.cause }

// login is the sign-in LOGIN, which net/smtp lacks. The way is encrypted, or leads to
// this computer: To has seen to it.
type login struct {
	user, password string
	step           int
}

// Start implements smtp.Auth.
func (l *login) Start(*smtp.ServerInfo) (string, []byte, error) { return "LOGIN", nil, nil }

// Next implements smtp.Auth: whatever the server calls its two questions.
func (l *login) Next(_ []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	l.step++
	switch l.step {
	case 1:
		return []byte(l.user), nil
	case 2:
		return []byte(l.password), nil
	}
	return nil, errors.New("the server asks for more than a name and a password")
}

// compose returns the mail as it goes over the wire.
func (m mailTo) compose(msg Message) ([]byte, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("make an id for the mail: %w", err)
	}
	_, domain, _ := strings.Cut(m.from.Address, "@")
	// Encoded words may be folded between each other; a line must not get too long.
	subject := strings.ReplaceAll(mime.QEncoding.Encode("utf-8", msg.Subject()), "?= =?", "?=\r\n =?")
	var b bytes.Buffer
	for _, h := range [][2]string{
		{"From", m.from.String()},
		{"To", m.to.String()},
		{"Subject", subject},
		{"Date", msg.At.Format(time.RFC1123Z)},
		{"Message-ID", fmt.Sprintf("<%x@%s>", id, domain)},
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	_, err := io.WriteString(w, strings.ReplaceAll(msg.Body(), "\n", "\r\n"))
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("write the mail: %w", err)
	}
	return b.Bytes(), nil
}
