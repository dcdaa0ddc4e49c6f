package storetest

import (
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"chartcellar/store/offsite"
)

// An SFTPServer is an SFTP server in this process, over a folder. As OpenSSH does, it never
// renames over a file, and says only "failure" when its disk is full or read-only.
type SFTPServer struct {
	Dir  string
	Addr string // once it listens
	Host ssh.PublicKey
	Bare bool // the server of package sftp itself, whose rename replaces

	ReadOnly  atomic.Bool
	Room      atomic.Int64 // bytes that may still be written
	AddOnly   atomic.Bool  // nothing may be removed
	Passwords atomic.Int64 // how many were tried
	Shut      atomic.Bool  // nobody is let in
	Left      atomic.Int64 // bytes that still come through before the line is cut

	config   *ssh.ServerConfig
	mine     atomic.Value // string: the key that signs in
	renaming sync.Mutex
}

// NewSFTPKey returns a key, the same for the same seed, and its PEM.
func NewSFTPKey(t testing.TB, seed byte) (ssh.Signer, []byte) {
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

// The sign-in of an SFTPServer, beside the key of seed 2.
const (
	SFTPUser     = "office"
	SFTPPassword = "s3cret"
)

// NewSFTPServer makes a server with one account, and a folder "copy" for it.
func NewSFTPServer(t testing.TB) *SFTPServer {
	t.Helper()
	s := &SFTPServer{Dir: t.TempDir()}
	s.Room.Store(1 << 40)
	s.Left.Store(1 << 40)
	signer, _ := NewSFTPKey(t, 1)
	mine, _ := NewSFTPKey(t, 2)
	s.mine.Store(string(mine.PublicKey().Marshal()))
	s.Host = signer.PublicKey()
	no := errors.New("no")
	s.config = &ssh.ServerConfig{
		PasswordCallback: func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			s.Passwords.Add(1)
			if s.Shut.Load() || c.User() != SFTPUser || string(password) != SFTPPassword {
				return nil, no
			}
			return nil, nil
		},
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if s.Shut.Load() || c.User() != SFTPUser || string(key.Marshal()) != s.mine.Load() {
				return nil, no
			}
			return nil, nil
		},
	}
	s.config.AddHostKey(signer)
	if err := os.Mkdir(filepath.Join(s.Dir, "copy"), 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

// Authorize lets the key of a line for authorized_keys in, and no other.
func (s *SFTPServer) Authorize(line string) error {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err == nil {
		s.mine.Store(string(key.Marshal()))
	}
	return err
}

// Line is the key that is let in, as a line for authorized_keys.
func (s *SFTPServer) Line() string {
	key, err := ssh.ParsePublicKey([]byte(s.mine.Load().(string)))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// Listen lets the server answer on this computer until the test ends.
func (s *SFTPServer) Listen(t testing.TB) *SFTPServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = l.Addr().String()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			all.Go(func() { s.Serve(&line{conn, s}) })
		}
	})
	t.Cleanup(func() { l.Close() })
	return s
}

// A line is cut when nothing is left that may come through.
type line struct {
	net.Conn
	s *SFTPServer
}

// Read implements net.Conn.
func (l *line) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if l.s.Left.Add(-int64(n)) <= 0 {
		return 0, errors.Join(syscall.ECONNRESET, l.Close())
	}
	return n, err
}

// Serve talks over a connection until it ends.
func (s *SFTPServer) Serve(conn net.Conn) {
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

func (s *SFTPServer) sftp(ch ssh.Channel) {
	defer ch.Close()
	if s.Bare {
		if srv, err := sftp.NewServer(ch, sftp.WithServerWorkingDirectory(s.Dir)); err == nil {
			srv.Serve()
		}
		return
	}
	sftp.NewRequestServer(ch, sftp.Handlers{FileGet: s, FilePut: s, FileCmd: s, FileList: s}).Serve()
}

func (s *SFTPServer) path(p string) string { return filepath.Join(s.Dir, filepath.FromSlash(p)) }

// Fileread implements sftp.FileReader.
func (s *SFTPServer) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	return os.Open(s.path(r.Filepath))
}

// Filewrite implements sftp.FileWriter.
func (s *SFTPServer) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	if s.ReadOnly.Load() {
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
	s *SFTPServer
}

// WriteAt implements io.WriterAt.
func (f served) WriteAt(p []byte, off int64) (int, error) {
	if f.s.Room.Add(-int64(len(p))) < 0 {
		return 0, syscall.ENOSPC
	}
	return f.File.WriteAt(p, off)
}

// Filecmd implements sftp.FileCmder.
func (s *SFTPServer) Filecmd(r *sftp.Request) error {
	if s.ReadOnly.Load() {
		return syscall.EROFS
	}
	switch r.Method {
	case "Mkdir":
		return os.Mkdir(s.path(r.Filepath), 0o700)
	case "Remove":
		if s.AddOnly.Load() {
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
func (s *SFTPServer) StatVFS(*sftp.Request) (*sftp.StatVFS, error) {
	v := &sftp.StatVFS{Frsize: 4096, Blocks: 1 << 28, Bavail: uint64(max(s.Room.Load(), 0)) / 4096}
	if s.ReadOnly.Load() {
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
func (s *SFTPServer) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
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

// Options sign in to the server rightly.
func (s *SFTPServer) Options() offsite.SFTPOptions {
	o := offsite.SFTPOptions{Addr: s.Addr, User: SFTPUser, Path: "/copy", Password: SFTPPassword,
		HostKey: ssh.FingerprintSHA256(s.Host)}
	if s.Bare {
		o.Path = filepath.Join(s.Dir, "copy")
	}
	return o
}
