package offsite_test

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"chartcellar/store/offsite"
)

// A server is an SFTP server in this process, over a folder. As OpenSSH does, it never
// renames over a file, and says only "failure" when its disk is full or read-only.
type server struct {
	dir    string
	addr   string
	config *ssh.ServerConfig
	host   ssh.PublicKey
	bare   bool // the server of package sftp itself, whose rename replaces

	readOnly  atomic.Bool
	room      atomic.Int64 // bytes that may still be written
	addOnly   atomic.Bool  // nothing may be removed
	passwords atomic.Int64 // how many were tried
	renaming  sync.Mutex
}

func newKey(t *testing.T, seed byte) (ssh.Signer, []byte) {
	t.Helper()
	private := ed25519.NewKeyFromSeed(append(make([]byte, 31), seed))
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

// newServer makes a server with the account office, whose password is "s3cret" and
// whose key is the one of seed 2.
func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{dir: t.TempDir()}
	s.room.Store(1 << 40)
	signer, _ := newKey(t, 1)
	mine, _ := newKey(t, 2)
	s.host = signer.PublicKey()
	no := errors.New("no")
	s.config = &ssh.ServerConfig{
		PasswordCallback: func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			s.passwords.Add(1)
			if c.User() != "office" || string(password) != "s3cret" {
				return nil, no
			}
			return nil, nil
		},
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if c.User() != "office" || string(key.Marshal()) != string(mine.PublicKey().Marshal()) {
				return nil, no
			}
			return nil, nil
		},
	}
	s.config.AddHostKey(signer)
	if err := os.Mkdir(filepath.Join(s.dir, "copy"), 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

// listen lets the server answer on this computer until the test ends.
func (s *server) listen(t *testing.T) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			all.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close() })
	return s
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	c, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	var all sync.WaitGroup
	defer all.Wait()
	defer c.Close()
	all.Go(func() { ssh.DiscardRequests(requests) })
	for ask := range channels {
		ch, requests, err := ask.Accept()
		if err != nil {
			return
		}
		all.Go(func() {
			for r := range requests {
				r.Reply(r.Type == "subsystem", nil)
			}
		})
		all.Go(func() { s.sftp(ch) })
	}
}

func (s *server) sftp(ch ssh.Channel) {
	defer ch.Close()
	if s.bare {
		if srv, err := sftp.NewServer(ch, sftp.WithServerWorkingDirectory(s.dir)); err == nil {
			srv.Serve()
		}
		return
	}
	sftp.NewRequestServer(ch, sftp.Handlers{FileGet: s, FilePut: s, FileCmd: s, FileList: s}).Serve()
}

func (s *server) path(p string) string { return filepath.Join(s.dir, filepath.FromSlash(p)) }

// Fileread implements sftp.FileReader.
func (s *server) Fileread(r *sftp.Request) (io.ReaderAt, error) { return os.Open(s.path(r.Filepath)) }

// Filewrite implements sftp.FileWriter.
func (s *server) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	if s.readOnly.Load() {
		return nil, syscall.EROFS
	}
	flags := os.O_WRONLY
	if p := r.Pflags(); p.Creat {
		flags |= os.O_CREATE
		if p.Trunc {
			flags |= os.O_TRUNC
		}
	}
	f, err := os.OpenFile(s.path(r.Filepath), flags, 0o600)
	return served{f, s}, err
}

type served struct {
	*os.File
	s *server
}

// WriteAt implements io.WriterAt.
func (f served) WriteAt(p []byte, off int64) (int, error) {
	if f.s.room.Add(-int64(len(p))) < 0 {
		return 0, syscall.ENOSPC
	}
	return f.File.WriteAt(p, off)
}

// Filecmd implements sftp.FileCmder.
func (s *server) Filecmd(r *sftp.Request) error {
	if s.readOnly.Load() {
		return syscall.EROFS
	}
	switch r.Method {
	case "Mkdir":
		return os.Mkdir(s.path(r.Filepath), 0o700)
	case "Remove":
		if s.addOnly.Load() {
			return sftp.ErrSSHFxPermissionDenied
		}
		return os.Remove(s.path(r.Filepath))
	case "Rename":
		s.renaming.Lock()
		defer s.renaming.Unlock()
		if _, err := os.Lstat(s.path(r.Target)); err == nil {
			return sftp.ErrSSHFxFailure
		}
		return os.Rename(s.path(r.Filepath), s.path(r.Target))
	}
	return sftp.ErrSSHFxOpUnsupported
}

// StatVFS implements sftp.StatVFSFileCmder.
func (s *server) StatVFS(*sftp.Request) (*sftp.StatVFS, error) {
	v := &sftp.StatVFS{Frsize: 4096, Blocks: 1 << 28, Bavail: uint64(max(s.room.Load(), 0)) / 4096}
	if s.readOnly.Load() {
		v.Flag = 1
	}
	return v, nil
}

type listing []fs.FileInfo

// ListAt implements sftp.ListerAt.
func (l listing) ListAt(to []fs.FileInfo, off int64) (int, error) {
	n := copy(to, l[min(off, int64(len(l))):])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}

// Filelist implements sftp.FileLister.
func (s *server) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	if r.Method != "List" {
		info, err := os.Stat(s.path(r.Filepath))
		return listing{info}, err
	}
	entries, err := os.ReadDir(s.path(r.Filepath))
	var l listing
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			l = append(l, info)
		}
	}
	return l, err
}

// options sign in to the server rightly.
func (s *server) options() offsite.SFTPOptions {
	o := offsite.SFTPOptions{Addr: s.addr, User: "office", Path: "/copy", Password: "s3cret",
		HostKey: ssh.FingerprintSHA256(s.host)}
	if s.bare {
		o.Path = filepath.Join(s.dir, "copy")
	}
	return o
}

func (s *server) open(t *testing.T, o offsite.SFTPOptions) *offsite.SFTP {
	t.Helper()
	p, err := offsite.OpenSFTP(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// A dialer dials, and cuts its first connection after some bytes in both directions.
type dialer struct {
	left  atomic.Int64
	dials atomic.Int64
}

func cutAfter(n int64) *dialer {
	d := &dialer{}
	d.left.Store(n)
	return d
}

// dial is a dial of SFTPOptions.
func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil || d.dials.Add(1) > 1 {
		return conn, err
	}
	return &cutConn{conn, d}, nil
}

type cutConn struct {
	net.Conn
	d *dialer
}

// Read implements net.Conn.
func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, errors.Join(err, c.count(n))
}

// Write implements net.Conn: what is over the limit does not arrive.
func (c *cutConn) Write(p []byte) (int, error) {
	if left := c.d.left.Load(); left < int64(len(p)) {
		n, _ := c.Conn.Write(p[:max(left, 0)])
		return n, errors.Join(c.count(len(p)), syscall.ECONNRESET)
	}
	n, err := c.Conn.Write(p)
	return n, errors.Join(err, c.count(n))
}

func (c *cutConn) count(n int) error {
	if c.d.left.Add(-int64(n)) > 0 {
		return nil
	}
	c.Conn.Close()
	return syscall.ECONNRESET
}
