package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"chartcellar/fhirsync/schedule"
	"chartcellar/store/storetest"
)

// noise returns bytes that do not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}

// TestHoldingAtServer: serve looks at the folder of a server; on a line that is cut while a
// large file comes nothing half is kept, a server that is away or is another one is told in
// a doctor's words, and what it has is kept once it is back.
func TestHoldingAtServer(t *testing.T) {
	i := newDaemonTest(t, "--gap-days", "7")
	s := storetest.NewSFTPServer(t).Listen(t)
	e := i.env()
	e.Getenv = func(name string) string {
		if name == "CHARTCELLAR_COPY_SECRET" {
			return storetest.SFTPPassword
		}
		return i.env().Getenv(name)
	}
	if code := run(t.Context(), e, []string{"connect", "dumps", "--files", "sftp://" + storetest.SFTPUser + "@" + s.Addr + "/copy",
		"--host-key", ssh.FingerprintSHA256(s.Host), "--password"}); code != exitGood {
		t.Fatalf("connect: exit %d, %s", code, i.out)
	}
	content := noise(6 << 20)
	write(t, filepath.Join(s.Dir, "copy", "night.sql"), string(content))
	now := time.Now()
	i.e.clock = func() time.Time { return now }
	i.serving(func(ctx context.Context) {
		look := func(success bool, want int) schedule.Outcome {
			t.Helper()
			now = now.Add(3 * time.Minute)
			out := i.d.do(ctx, schedule.Start{Job: schedule.Job{Source: "dumps", Kind: schedule.Holding}})
			if list, err := i.d.m.KeptFiles("dumps"); err != nil || len(list) != want || out.Success != success {
				t.Errorf("%d files are kept, %v, %+v; want %d, %v", len(list), err, out, want, success)
			}
			return out
		}
		told := func(want string) {
			t.Helper()
			i.d.alarm.look(ctx)
			if got := standing(i, "dumps"); !strings.Contains(got, want) || want == "" && got != "" {
				t.Errorf("told: %q, want %q", got, want)
			}
		}
		if out := look(true, 0); out.Again.IsZero() {
			t.Errorf("a file that may grow: %+v", out)
		}
		s.Left.Store(10 << 10) // enough to sign in and to ask, too little to ask for all
		look(false, 0)
		s.Left.Store(0)
		for range patience {
			look(false, 0)
		}
		told("The server of the holding dumps does not answer")
		s.Left.Store(1 << 40)
		look(true, 1)
		told("")
		if kept, err := i.d.m.KeptFiles("dumps"); err != nil || kept[0].Size != int64(len(content)) {
			t.Fatalf("%+v, %v", kept, err)
		}
		pinned := ssh.FingerprintSHA256(s.Host)
		other, _ := storetest.NewSFTPKey(t, 9)
		for _, key := range [][2]string{{pinned, ssh.FingerprintSHA256(other.PublicKey())}, {ssh.FingerprintSHA256(other.PublicKey()), pinned}} {
			file, err := os.ReadFile(i.settings())
			if err != nil {
				t.Fatal(err)
			}
			write(t, i.settings(), strings.ReplaceAll(string(file), key[0], key[1]))
			if err := i.d.reload(); err != nil {
				t.Fatal(err)
			}
			if key[0] == pinned {
				for range patience {
					look(false, 1)
				}
				told("refuses our sign-in or shows another fingerprint than before")
			}
		}
		look(true, 1)
		told("")
	})
	i.run("holding", "get", "dumps", "night.sql", "--to", filepath.Join(i.dir, "back"))
	if got, err := os.ReadFile(filepath.Join(i.dir, "back", "night.sql")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
}
