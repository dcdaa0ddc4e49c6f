package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chartcellar/store/storetest"
)

// How large what BenchmarkCopies copies is, and where it works.
var (
	copiesDir     = flag.String("copies.dir", "", "folder in which BenchmarkCopies works (default: the one for temporary files)")
	copiesRecords = flag.Int("copies.records", 1_000_000, "records to restore and verify")
	copiesMB      = flag.Int("copies.mb", 1000, "MB of the first copy, to a bucket and to a folder")
	copiesHolding = flag.Int("copies.holding", 4000, "MB of one file of a holding")
)

// A copyBench measures what has to do with second copies. Commands run in processes of
// their own, whose anonymous memory is sampled.
type copyBench struct {
	*testing.B
	*bench
}

func newCopyBench(b *testing.B, records int) *copyBench {
	b.Helper()
	exe, err := exec.LookPath("chartcellar")
	dir := *copiesDir
	if dir == "" {
		dir = b.TempDir()
	}
	if err == nil {
		dir, err = os.MkdirTemp(dir, "copies-")
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	b.Setenv("CHARTCELLAR_COPY_SECRET", storetest.BucketSecret)
	return &copyBench{b, newBench(&env{}, benchOptions{resources: records}, exe, dir)}
}

func (b *copyBench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *copyBench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// time runs a command, and reports how long it took and how much memory it had.
func (b *copyBench) time(what string, args ...string) {
	b.Helper()
	b.rate(what, 0, 0, args...)
}

// rate is time for something of a size, with its floor.
func (b *copyBench) rate(what string, mb int, floor time.Duration, args ...string) {
	b.Helper()
	r, err := b.child(b.Context(), args...)
	b.must(err)
	line := fmt.Sprintf("%-44s %7.1f s, %6.1f s of a processor, peak RssAnon %3d MB", what, r.took.Seconds(), r.cpu.Seconds(), r.peak>>20)
	if mb > 0 {
		line += fmt.Sprintf("; %.0f MB/s, the floor %.0f: %.2f times its time", float64(mb)/r.took.Seconds(), float64(mb)/floor.Seconds(), r.took.Seconds()/floor.Seconds())
	}
	b.Log(line)
}

// usb makes a folder for a copy, with the program in it, which is none of what is measured.
func (b *copyBench) usb(name string) string {
	b.Helper()
	mine := filepath.Join(b.path(name), filepath.FromSlash(programOfTest))
	b.must(errors.Join(os.MkdirAll(filepath.Dir(mine), 0o700), os.WriteFile(mine, nil, 0o600)))
	_, err := b.child(b.Context(), "copy", "add", name, "--folder", b.path(name))
	b.must(err)
	return b.path(name)
}

// noise writes a file that cannot be packed.
func (b *copyBench) noise(name string, mb int) {
	b.Helper()
	b.must(os.MkdirAll(filepath.Dir(name), 0o700))
	f, err := os.Create(name)
	b.must(err)
	_, err = io.CopyN(f, rand.NewChaCha8(sha256.Sum256([]byte(name))), int64(mb)<<20)
	b.must(errors.Join(err, f.Close()))
}

// folderFloor copies a file, syncs it, and reads it back, with SHA-256 of both.
func (b *copyBench) folderFloor(name string) time.Duration {
	b.Helper()
	start := time.Now()
	from, err := os.Open(name)
	b.must(err)
	defer from.Close()
	to, err := os.Create(b.path("floor"))
	b.must(err)
	defer os.Remove(to.Name())
	_, err = io.Copy(io.MultiWriter(to, sha256.New()), from)
	b.must(errors.Join(err, to.Sync()))
	_, err = to.Seek(0, io.SeekStart)
	b.must(err)
	_, err = io.Copy(sha256.New(), to)
	b.must(errors.Join(err, to.Close()))
	return time.Since(start)
}

// s3Floor puts a file to a bucket plainly, in pieces of 64 MB, and gets them back, with
// SHA-256 of both.
func (b *copyBench) s3Floor(name string) time.Duration {
	b.Helper()
	bucket := storetest.NewBucket(b)
	s := httptest.NewServer(bucket)
	defer s.Close()
	start := time.Now()
	from, err := os.Open(name)
	b.must(err)
	defer from.Close()
	info, err := from.Stat()
	b.must(err)
	for at := int64(0); at < info.Size(); at += 64 << 20 {
		n := min(64<<20, info.Size()-at)
		piece := io.NewSectionReader(from, at, n)
		h := sha256.New()
		_, err := io.Copy(h, piece)
		b.must(err)
		for _, method := range []string{http.MethodPut, http.MethodGet} {
			var body io.Reader
			if method == http.MethodPut {
				body = io.NewSectionReader(from, at, n)
			}
			r, err := http.NewRequest(method, fmt.Sprintf("%s/copies/%d", s.URL, at), body)
			b.must(err)
			r.ContentLength = 0
			if body != nil {
				r.ContentLength = n
			}
			r.Header.Set("Authorization", "Credential="+storetest.BucketKey+"/")
			r.Header.Set("X-Amz-Content-Sha256", fmt.Sprintf("%x", h.Sum(nil)))
			res, err := http.DefaultClient.Do(r)
			b.must(err)
			_, err = io.Copy(sha256.New(), res.Body)
			b.must(errors.Join(err, res.Body.Close()))
			if res.StatusCode != http.StatusOK {
				b.Fatal(res.Status)
			}
		}
	}
	return time.Since(start)
}

// BenchmarkCopies measures second copies: a first copy to a bucket and to a folder and the
// night after it, a restore with a full verify, a drill, and one large file. Each floor is
// a plain program that does what must be done, in the same run.
//
//	go test -run xxx -bench Copies -benchtime 1x -timeout 0
func BenchmarkCopies(b *testing.B) {
	load, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		b.Logf("load before: %s", strings.TrimSpace(string(load)))
	}
	b.Run("records", benchRestore)
	b.Run("drill", benchDrill)
	b.Run("first", benchFirstCopy)
	b.Run("holding", benchLargeFile)
}

// pulled makes a mirror of the records.
func (b *copyBench) pulled(fn func()) {
	b.Helper()
	stop, err := b.serve(b.Context())
	b.must(err)
	defer stop()
	b.must(b.freshMirror(b.Context()))
	b.time(fmt.Sprintf("pull of %d records", b.lines), "sync")
	fn()
}

func benchRestore(tb *testing.B) {
	b := newCopyBench(tb, *copiesRecords)
	b.must(b.clone(b.Context()))
	b.pulled(func() {
		usb := b.usb("usb")
		b.time("first copy to a folder", "copy", "now")
		b.time("restore and full verify (bar: 60 s)", "restore", "--from", usb, "--to", b.path("back"), "--sheet", b.path("s/recovery-sheet.txt"))
		b.time("full verify of the office copy", "verify", "--depth", "full")
		b.time("drill", "drill", "--person", "x", "--sheet", b.path("s/recovery-sheet.txt"))
	})
}

func benchDrill(tb *testing.B) {
	b := newCopyBench(tb, 1)
	b.must(b.clone(b.Context()))
	b.pulled(func() {
		b.usb("usb")
		b.time("first copy to a folder", "copy", "now")
		b.time("drill, 400 patients (the demo has 60; bar: 30 s)", "drill", "--person", "x", "--sheet", b.path("s/recovery-sheet.txt"))
	})
}

func benchFirstCopy(tb *testing.B) {
	b := newCopyBench(tb, 1)
	b.must(b.clone(b.Context()))
	b.pulled(func() {
		for i := range 16 {
			b.noise(b.path(fmt.Sprintf("bulk/%d", i)), *copiesMB/16)
		}
		b.noise(b.path("whole"), *copiesMB)
		b.time(fmt.Sprintf("keep %d MB in 16 files", *copiesMB), "holding", "add", "bulk", b.path("bulk"))
		o := storetest.NewBucket(b).Listen(b)
		_, err := b.child(b.Context(), "copy", "add", "bucket", "--s3", "http://"+o.Endpoint+"/copies/office", "--region", o.Region, "--access-key", o.AccessKey)
		b.must(err)
		b.rate("first copy to a local S3 (bar: 100 MB/s)", *copiesMB, b.s3Floor(b.path("whole")), "copy", "now", "bucket")
		b.usb("usb")
		b.rate("first copy to a folder", *copiesMB, b.folderFloor(b.path("whole")), "copy", "now", "usb")
		b.time("a pull without news", "sync")
		for _, name := range []string{"bucket", "usb"} {
			r, err := b.child(b.Context(), "copy", "now", name)
			b.must(err)
			var rec copyRecord
			b.must(json.Unmarshal(r.out, &rec))
			b.Logf("%-44s %7.1f s, %d of %d files, %d KB, were sent", "the copy of the night after it, "+name, r.took.Seconds(), rec.Copied, rec.Files, rec.Bytes>>10)
			if !rec.Complete() || rec.Copied > rec.Files/2 || rec.Bytes > 1<<20 {
				b.Errorf("the copy of the night: %+v", rec.Result)
			}
		}
		b.time("check of every byte, bucket", "copy", "verify", "bucket", "--all")
	})
}

func benchLargeFile(tb *testing.B) {
	b := newCopyBench(tb, 1)
	b.must(b.clone(b.Context()))
	b.pulled(func() {
		b.noise(b.path("dump"), *copiesHolding)
		b.time(fmt.Sprintf("keep one file of %d MB", *copiesHolding), "holding", "add", "dump", b.path("dump"))
		usb := b.usb("usb")
		b.rate("copy it to a folder", *copiesHolding, b.folderFloor(b.path("dump")), "copy", "now", "usb")
		o := storetest.NewBucket(b).Listen(b)
		_, err := b.child(b.Context(), "copy", "add", "bucket", "--s3", "http://"+o.Endpoint+"/copies/office", "--region", o.Region, "--access-key", o.AccessKey)
		b.must(err)
		b.rate("copy it to a local S3", *copiesHolding, b.s3Floor(b.path("dump")), "copy", "now", "bucket")
		b.time("restore it and verify", "restore", "--from", usb, "--to", b.path("back"), "--sheet", b.path("s/recovery-sheet.txt"))
		b.time("save it to a file", "holding", "get", "dump", "--to", b.path("saved"))
	})
}
