package main

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"

	"chartcellar/store/storetest"
)

// remotes are the servers for second copies of running scripts, by the script's folder.
type remotes struct {
	t *testing.T

	mu    sync.Mutex
	sftps map[string]*storetest.SFTPServer
	s3s   map[string]*storetest.Bucket
}

// sftp starts a server, or says whose key it lets in and how it is: sftp start, sftp
// authorize FILE (stdout: what was printed last), sftp authorize nobody, sftp add-only,
// sftp away, sftp back.
func (r *remotes) sftp(ts *testscript.TestScript, _ bool, args []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sftps[ts.Getenv("WORK")]
	switch args[0] {
	case "start":
		s = storetest.NewSFTPServer(r.t).Listen(r.t)
		r.sftps[ts.Getenv("WORK")] = s
		ts.Setenv("SFTP", storetest.SFTPUser+"@"+s.Addr+"/copy")
		ts.Setenv("SFTPDIR", s.Dir)
		ts.Setenv("LEFT", filepath.Join(s.Dir, "copy"))
		ts.Setenv("HOSTKEY", ssh.FingerprintSHA256(s.Host))
		ts.Setenv("SFTPPASSWORD", storetest.SFTPPassword)
	case "add-only":
		s.AddOnly.Store(true)
	case "away":
		s.Left.Store(0)
	case "back":
		s.Left.Store(1 << 40)
	case "authorize":
		line := ""
		if args[1] == "nobody" {
			key, _ := storetest.NewSFTPKey(r.t, 77)
			line = string(ssh.MarshalAuthorizedKey(key.PublicKey()))
		} else {
			for l := range strings.Lines(ts.ReadFile(args[1])) {
				if strings.HasPrefix(l, "ssh-") {
					line = l
				}
			}
		}
		ts.Check(s.Authorize(line))
	default:
		ts.Fatalf("sftp %s?", args[0])
	}
}

// s3 starts a bucket, or changes how it is: s3 start, s3 withdraw, s3 denies.
func (r *remotes) s3(ts *testscript.TestScript, _ bool, args []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.s3s[ts.Getenv("WORK")]
	switch args[0] {
	case "start":
		b = storetest.NewBucket(r.t)
		r.s3s[ts.Getenv("WORK")] = b
		ts.Setenv("S3", "http://"+b.Listen(r.t).Endpoint+"/copies/office")
		ts.Setenv("S3DIR", b.Dir)
		ts.Setenv("S3KEY", storetest.BucketKey)
		ts.Setenv("S3SECRET", storetest.BucketSecret)
	case "withdraw":
		b.Withdrawn.Store(true)
	case "good":
		b.Withdrawn.Store(false)
	default:
		ts.Fatalf("s3 %s?", args[0])
	}
}
