package storetest

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"chartcellar/store/offsite"
)

// A Bucket is a server with the bucket "copies" that speaks as much S3 as is used here,
// over a folder. Its dials may be turned while nobody asks it anything.
type Bucket struct {
	Dir string

	Ignores bool // puts whether a name is taken or not
	Refuses bool // does not know the wish to spare a name
	Locks   bool // offers object lock; nothing locked can be deleted
	Denies  bool // nothing can be deleted or written over with this account
	Twice   bool // tells the last name of a page again on the next one
	// Withdrawn: the key is no longer good.
	Withdrawn atomic.Bool
	// Before sees each request first; true: it was answered.
	Before func(w http.ResponseWriter, r *http.Request) bool
	// After sees what was put; if it returns an error the answer is lost.
	After func(w http.ResponseWriter, r *http.Request) error

	retain atomic.Value // what the last file was locked with

	mu     sync.Mutex // held while a name is given
	parts  int
	aborts int
}

// The sign-in of a Bucket.
const (
	BucketKey    = "KEY"
	BucketSecret = "s3cret-key"
)

// NewBucket makes an empty one. It is an http.Handler; Listen lets it answer.
func NewBucket(t testing.TB) *Bucket {
	t.Helper()
	b := &Bucket{Dir: t.TempDir()}
	for _, d := range []string{"copies", "parts"} {
		if err := os.Mkdir(filepath.Join(b.Dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// Listen lets the bucket answer on this computer until the test ends, and returns how to
// reach its folder "office".
func (b *Bucket) Listen(t testing.TB) offsite.S3Options {
	t.Helper()
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	return offsite.S3Options{Endpoint: strings.TrimPrefix(s.URL, "http://"), Bucket: "copies", Prefix: "/office/", Region: "us-east-1",
		AccessKey: BucketKey, SecretKey: BucketSecret, Insecure: true}
}

// Retained returns what the last file was locked with.
func (b *Bucket) Retained() any { return b.retain.Load() }

// Uploads returns how many files came in parts, and how many of them were given up.
func (b *Bucket) Uploads() (begun, aborted int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.parts, b.aborts
}

// Path returns where a key of the bucket lies on the disk.
func (b *Bucket) Path(key string) string {
	return filepath.Join(b.Dir, "copies", filepath.FromSlash(key))
}

// S3Fail answers with an error of S3.
func S3Fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
}

// ServeHTTP implements http.Handler.
func (b *Bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.Before != nil && b.Before(w, r) {
		return
	}
	if b.Withdrawn.Load() || !strings.Contains(r.Header.Get("Authorization"), "Credential="+BucketKey+"/") {
		S3Fail(w, 403, "InvalidAccessKeyId")
		return
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := r.URL.Query()
	switch {
	case name != "copies":
		S3Fail(w, 404, "NoSuchBucket")
	case key == "" && q.Has("object-lock"):
		if !b.Locks {
			S3Fail(w, 404, "ObjectLockConfigurationNotFoundError")
			return
		}
		io.WriteString(w, "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>")
	case key == "" && r.Method == http.MethodGet:
		b.list(w, q.Get("prefix"), q.Get("continuation-token"))
	case key == "":
	case r.Method == http.MethodPost && q.Has("uploads"):
		b.mu.Lock()
		b.parts++
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><Bucket>copies</Bucket><UploadId>up%d</UploadId></InitiateMultipartUploadResult>", b.parts)
		b.mu.Unlock()
	case r.Method == http.MethodPost:
		b.complete(w, r, key, q.Get("uploadId"))
	case r.Method == http.MethodPut && q.Has("partNumber"):
		b.put(w, r, filepath.Join(b.Dir, "parts", q.Get("uploadId")+"-"+fmt.Sprintf("%05s", q.Get("partNumber"))), false)
	case r.Method == http.MethodPut:
		b.retain.Store(r.Header.Get("X-Amz-Object-Lock-Mode") + " " + r.Header.Get("X-Amz-Object-Lock-Retain-Until-Date"))
		b.put(w, r, b.Path(key), true)
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		b.mu.Lock()
		b.aborts++
		b.mu.Unlock()
		w.WriteHeader(204)
	case r.Method == http.MethodDelete:
		if b.Locks || b.Denies {
			S3Fail(w, 403, "AccessDenied")
			return
		}
		os.Remove(b.Path(key))
		w.WriteHeader(204)
	default:
		b.get(w, r, key)
	}
}

func (b *Bucket) get(w http.ResponseWriter, r *http.Request, key string) {
	f, err := os.Open(b.Path(key))
	if err != nil {
		S3Fail(w, 404, "NoSuchKey")
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		S3Fail(w, 404, "NoSuchKey")
		return
	}
	if info.Size() < 1<<20 {
		all, _ := os.ReadFile(b.Path(key))
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(all)))
	}
	http.ServeContent(w, r, "", info.ModTime(), f)
}

// put takes a body, checks it against both sums, and gives it its name.
func (b *Bucket) put(w http.ResponseWriter, r *http.Request, path string, final bool) {
	if final && b.Refuses && r.Header.Get("If-None-Match") != "" {
		S3Fail(w, 501, "NotImplemented")
		return
	}
	temp, err := os.CreateTemp(b.Dir, "put")
	if err != nil {
		S3Fail(w, 500, "InternalError")
		return
	}
	defer os.Remove(temp.Name())
	m, h := md5.New(), sha256.New()
	n, err := io.Copy(io.MultiWriter(temp, m, h), r.Body)
	temp.Close()
	if err != nil || n != r.ContentLength {
		S3Fail(w, 400, "IncompleteBody")
		return
	}
	sent := r.Header.Get("Content-MD5") // what locks needs it
	if (sent != "" || b.Locks) && base64.StdEncoding.EncodeToString(m.Sum(nil)) != sent ||
		hex.EncodeToString(h.Sum(nil)) != r.Header.Get("X-Amz-Content-Sha256") {
		S3Fail(w, 400, "BadDigest")
		return
	}
	if final && !b.give(w, r, temp.Name(), path) || !final && os.Rename(temp.Name(), path) != nil {
		return
	}
	if b.After != nil && b.After(w, r) != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, m.Sum(nil)))
}

// give gives a file its name, unless that is to be spared.
func (b *Bucket) give(w http.ResponseWriter, r *http.Request, temp, path string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := os.Stat(path)
	if err == nil && b.Denies && r.Header.Get("If-None-Match") == "" {
		S3Fail(w, 403, "AccessDenied")
		return false
	}
	if err == nil && !b.Ignores && r.Header.Get("If-None-Match") == "*" {
		S3Fail(w, 412, "PreconditionFailed")
		return false
	}
	if errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.Rename(temp, path)) != nil {
		S3Fail(w, 500, "InternalError")
		return false
	}
	return true
}

// complete puts the parts that are named together.
func (b *Bucket) complete(w http.ResponseWriter, r *http.Request, key, id string) {
	var ask struct {
		Part []struct{ PartNumber int }
	}
	if xml.NewDecoder(r.Body).Decode(&ask) != nil || len(ask.Part) == 0 {
		S3Fail(w, 400, "MalformedXML")
		return
	}
	temp, err := os.CreateTemp(b.Dir, "whole")
	if err != nil {
		S3Fail(w, 500, "InternalError")
		return
	}
	defer temp.Close()
	for _, p := range ask.Part {
		part, err := os.Open(filepath.Join(b.Dir, "parts", fmt.Sprintf("%s-%05d", id, p.PartNumber)))
		if err != nil {
			S3Fail(w, 400, "InvalidPart")
			return
		}
		_, err = io.Copy(temp, part)
		part.Close()
		if err != nil {
			S3Fail(w, 500, "InternalError")
			return
		}
	}
	if b.give(w, r, temp.Name(), b.Path(key)) {
		io.WriteString(w, "<CompleteMultipartUploadResult><Bucket>copies</Bucket><ETag>&quot;x-1&quot;</ETag></CompleteMultipartUploadResult>")
	}
}

// list tells the files in pages of seven.
func (b *Bucket) list(w http.ResponseWriter, prefix, token string) {
	type content struct {
		Key  string
		Size int64
	}
	var page struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		Contents              []content
	}
	root := filepath.Join(b.Dir, "copies")
	filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		key, _ := filepath.Rel(root, p)
		info, err := d.Info()
		if err == nil && strings.HasPrefix(filepath.ToSlash(key), prefix) {
			page.Contents = append(page.Contents, content{filepath.ToSlash(key), info.Size()})
		}
		return nil
	})
	slices.SortFunc(page.Contents, func(a, b content) int { return strings.Compare(a.Key, b.Key) })
	from, _ := strconv.Atoi(token)
	to := min(from+7, len(page.Contents))
	page.IsTruncated, page.NextContinuationToken = to < len(page.Contents), strconv.Itoa(to)
	if b.Twice && from > 0 {
		from--
	}
	page.Contents = page.Contents[from:to]
	xml.NewEncoder(w).Encode(page)
}
