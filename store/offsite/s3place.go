package offsite

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

// Put implements Place.
func (s *S3) Put(ctx context.Context, name string, size int64, from io.Reader) error {
	if err := checkName(name); err != nil {
		return err
	}
	return s3Because("put", name, s.put(ctx, name, size, from))
}

func (s *S3) put(ctx context.Context, name string, size int64, from io.Reader) error {
	if err := s.free(ctx, name); err != nil {
		return err
	}
	b := &body{ctx, from, size}
	file, pace := unpaced(from)
	switch {
	case file != nil && size <= s3Single:
		start, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			return &sourceError{err}
		}
		sum, err := s.sumOf(&body{ctx, file, size})
		if err != nil {
			return err
		}
		return s.single(ctx, name, sum, &again{size: size,
			open: func() io.Reader { return pace(io.NewSectionReader(file, start, size)) }})
	case size <= s3Part:
		buf := s.buffer(s3Part)
		n, err := io.ReadFull(b, buf)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF { // those are of ReadFull
			return err
		}
		sum, err := s.sumOf(bytes.NewReader(buf[:n]))
		if err != nil {
			return err
		}
		a := held(buf[:n])
		defer s.keep(buf, a)
		return s.single(ctx, name, sum, a)
	}
	return s.parts(ctx, name, size, b)
}

// buffer returns one that was kept, or a new one.
func (s *S3) buffer(size int) []byte {
	select {
	case buf := <-s.buffers:
		if cap(buf) >= size {
			return buf[:size]
		}
	default:
	}
	return make([]byte, size)
}

// keep keeps a buffer for what comes next, if it was sent once: else a connection that
// was given up may still read from it.
func (s *S3) keep(buf []byte, sent *again) {
	if sent.sent != 1 {
		return
	}
	select {
	case s.buffers <- buf[:cap(buf)]:
	default:
	}
}

func (s *S3) free(ctx context.Context, name string) error {
	_, err := s.core.StatObject(ctx, s.bucket, s.prefix+name, minio.StatObjectOptions{})
	if err == nil {
		return ErrExists
	}
	if isMissing(err) {
		return nil
	}
	return err
}

func isMissing(err error) bool { return minio.ToErrorResponse(err).Code == "NoSuchKey" }

// A sum is what a server checks the bytes against, as it is sent.
type sum struct{ md5, sha256 string }

// sumOf adds MD5 only where S3 wants it besides: for what is locked.
func (s *S3) sumOf(r io.Reader) (sum, error) {
	h, m := sha256.New(), md5.New()
	to := io.Writer(h)
	if s.locks {
		to = io.MultiWriter(h, m)
	}
	if _, err := io.Copy(to, r); err != nil {
		return sum{}, err
	}
	got := sum{sha256: hex.EncodeToString(h.Sum(nil))}
	if s.locks {
		got.md5 = base64.StdEncoding.EncodeToString(m.Sum(nil))
	}
	return got, nil
}

// An again gives the same bytes as often as it is opened. Each time they are read on
// their own: a connection that was given up may still read what it was to send.
type again struct {
	open func() io.Reader
	size int64
	sent int // how often
}

// held gives the bytes in buf.
func held(buf []byte) *again {
	return &again{open: func() io.Reader { return bytes.NewReader(buf) }, size: int64(len(buf))}
}

// send sends a until the server has it, or says why not, four times at most.
func (a *again) send(ctx context.Context, try func(io.Reader) error) error {
	for {
		a.sent++
		err := try(struct{ io.Reader }{a.open()})
		if err == nil || a.sent == s3Retries || !ofTheMoment(ctx, err) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond << a.sent):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ofTheMoment reports whether sending again may help.
func ofTheMoment(ctx context.Context, err error) bool {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return ctx.Err() == nil && !isOurs(err)
	}
	return answer.StatusCode != http.StatusNotImplemented && s3Kind(answer) == ErrAway && answer.Code != "NoSuchBucket"
}

// options are those of what Put makes; spare asks the server to spare a name that is
// taken.
func (s *S3) options(spare bool) minio.PutObjectOptions {
	o := minio.PutObjectOptions{DisableContentSha256: true} // the sum is given
	if spare && !s.plain.Load() {
		o.SetMatchETagExcept("*")
	}
	if s.locks && s.lockDays > 0 {
		o.Mode, o.RetainUntilDate = minio.Compliance, s.now().AddDate(0, 0, s.lockDays).Truncate(time.Second)
	}
	return o
}

// single sends a file in one request.
func (s *S3) single(ctx context.Context, name string, sum sum, a *again) error {
	err := s.sparing(func() error {
		return a.send(ctx, func(r io.Reader) error {
			_, err := s.core.PutObject(ctx, s.bucket, s.prefix+name, r, a.size, sum.md5, sum.sha256, s.options(true))
			return err
		})
	})
	if err == nil || a.sent < 2 {
		return err
	}
	// It was sent more than once: the name may be taken by what we sent before an
	// answer was lost.
	if same, serr := s.holds(ctx, name, a); serr == nil && same {
		return nil
	}
	return err
}

// holds reports whether the file at the place is the one in a, by its size and its
// ETag, which is its MD5 at most servers.
func (s *S3) holds(ctx context.Context, name string, a *again) (bool, error) {
	info, err := s.core.StatObject(ctx, s.bucket, s.prefix+name, minio.StatObjectOptions{})
	if err != nil || info.Size != a.size {
		return false, err
	}
	m := md5.New()
	if _, err := io.Copy(m, a.open()); err != nil {
		return false, err
	}
	return info.ETag == hex.EncodeToString(m.Sum(nil)), nil
}

// sparing sends what spares a name that is taken, and without that wish to a server
// that refuses it.
func (s *S3) sparing(send func() error) error {
	err := send()
	answer := minio.ToErrorResponse(err)
	switch {
	case err != nil && answer.Code == "NotImplemented" && !s.plain.Swap(true):
		return send()
	case answer.Code == "ConditionalRequestConflict":
		return ErrExists
	}
	return err
}

// parts sends a file in parts. None of them is seen before all are there.
func (s *S3) parts(ctx context.Context, name string, size int64, from io.Reader) (err error) {
	key := s.prefix + name
	id, err := s.core.NewMultipartUpload(ctx, s.bucket, key, s.options(false))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil { // what is left after an abort that fails is the bucket's to clear away
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			s.core.AbortMultipartUpload(ctx, s.bucket, key, id)
		}
	}()
	list, err := s.send(ctx, key, id, size, from)
	if err != nil {
		return err
	}
	if err := s.free(ctx, name); err != nil {
		return err
	}
	return s.sparing(func() error {
		o := minio.PutObjectOptions{}
		if !s.plain.Load() {
			o.SetMatchETagExcept("*")
		}
		_, err := s.core.CompleteMultipartUpload(ctx, s.bucket, key, id, list, o)
		return err
	})
}

// send reads a file in parts and sends them, some at a time over all files.
func (s *S3) send(ctx context.Context, key, id string, size int64, from io.Reader) (list []minio.CompletePart, err error) {
	each := max(s3Part, (size+s3Parts-1)/s3Parts)
	list = make([]minio.CompletePart, (size+each-1)/each)
	g, gctx := errgroup.WithContext(ctx)
	for i := range list {
		select {
		case s.flights <- struct{}{}:
		case <-gctx.Done():
			return nil, errors.Join(g.Wait(), ctx.Err())
		}
		buf, n := s.buffer(int(each)), min(size-int64(i)*each, each)
		if _, err = io.ReadFull(from, buf[:n]); err != nil {
			<-s.flights
			break
		}
		g.Go(func() error {
			defer func() { <-s.flights }()
			part, err := s.part(gctx, key, id, i+1, buf[:n])
			list[i] = minio.CompletePart{PartNumber: i + 1, ETag: part.ETag}
			return err
		})
	}
	if gerr := g.Wait(); gerr != nil && err == nil {
		err = gerr
	}
	return list, err
}

// part sends one part.
func (s *S3) part(ctx context.Context, key, id string, number int, content []byte) (part minio.ObjectPart, err error) {
	sum, err := s.sumOf(bytes.NewReader(content))
	if err != nil {
		return part, err
	}
	a := held(content)
	defer s.keep(content, a)
	err = a.send(ctx, func(r io.Reader) (err error) {
		part, err = s.core.PutObjectPart(ctx, s.bucket, key, id, number, r, int64(len(content)),
			minio.PutObjectPartOptions{Md5Base64: sum.md5, Sha256Hex: sum.sha256, DisableContentSha256: true})
		return err
	})
	return part, err
}

// Get implements Place. The end of ctx ends the reading, too.
func (s *S3) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	r, info, _, err := s.core.GetObject(ctx, s.bucket, s.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, s3Because("get", name, err)
	}
	return &object{ctx: ctx, r: r, name: name, left: info.Size}, nil
}

// An object is a file that is being read. What ends before its size is no end.
type object struct {
	ctx  context.Context
	r    io.ReadCloser
	name string
	left int64
}

// Read implements io.Reader.
func (o *object) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	o.left -= int64(n)
	switch {
	case err == nil, err == io.EOF && o.left == 0:
		return n, err
	case o.ctx.Err() != nil:
		return n, o.ctx.Err()
	}
	return n, fmt.Errorf("get %q: %w: it ended %d bytes too early", o.name, ErrAway, o.left)
}

// Close implements io.Closer.
func (o *object) Close() error { return o.r.Close() }

// List implements Place.
func (s *S3) List(ctx context.Context, folder string, fn func(Info) error) error {
	if err := checkFolder(folder); err != nil {
		return err
	}
	prefix := s.prefix
	if folder != "" {
		prefix += folder + "/"
	}
	last := ""
	for o := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			return s3Because("list", folder, ended(ctx, o.Err))
		}
		name := strings.TrimPrefix(o.Key, s.prefix)
		if name == last || checkName(name) != nil {
			continue // told twice, or not of a second copy
		}
		last = name
		if err := fn(Info{Name: name, Size: o.Size}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Close implements Place.
func (s *S3) Close() error {
	s.idle()
	return nil
}

// Overwrite implements Prober. A bucket that keeps versions keeps the earlier one.
func (s *S3) Overwrite(ctx context.Context, name string, content []byte) error {
	if err := checkProbe(name); err != nil {
		return err
	}
	return s3Because("overwrite", name, s.probe(ctx, name, content, false))
}

func (s *S3) probe(ctx context.Context, name string, content []byte, spare bool) error {
	sum, err := s.sumOf(bytes.NewReader(content))
	if err != nil {
		return err
	}
	_, err = s.core.PutObject(ctx, s.bucket, s.prefix+name, bytes.NewReader(content), int64(len(content)),
		sum.md5, sum.sha256, s.options(spare))
	return err
}

// Delete implements Prober. In a bucket that keeps versions it deletes the newest one
// for good, which is what a lock forbids.
func (s *S3) Delete(ctx context.Context, name string) error {
	if err := checkProbe(name); err != nil {
		return err
	}
	info, err := s.core.StatObject(ctx, s.bucket, s.prefix+name, minio.StatObjectOptions{})
	if err == nil {
		err = s.core.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{VersionID: info.VersionID})
	}
	return s3Because("delete", name, err)
}

// Spares implements Sparer.
func (s *S3) Spares(ctx context.Context, name string) (bool, error) {
	if err := checkProbe(name); err != nil {
		return false, err
	}
	s.plain.Store(false)
	err := s.probe(ctx, name, []byte("second"), true)
	switch code := minio.ToErrorResponse(err).Code; {
	case err == nil:
		return false, nil
	case code == "PreconditionFailed":
		return true, nil
	case code == "NotImplemented":
		s.plain.Store(true)
		return false, nil
	}
	return false, s3Because("probe", name, err)
}
