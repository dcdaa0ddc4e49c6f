package offsite

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	s3Single  = 64 << 20 // up to here a file goes in one request
	s3Part    = 8 << 20  // above it goes in parts of at least this size
	s3Parts   = 10_000   // S3 takes no more parts of one file
	s3Retries = 4        // how often a request is sent at most
	s3Flights = 6        // parts that are held and sent at a time, over all files
)

// S3Options say which bucket, and how to sign in there.
type S3Options struct {
	Endpoint string // HOST or HOST:PORT
	Bucket   string
	Prefix   string // the folder in the bucket; may be empty
	Region   string // asked for if it is empty

	AccessKey, SecretKey string

	// Insecure speaks HTTP without TLS. It works within the office only: nothing is
	// sent to an address that is not a private one.
	Insecure bool
	// LockDays is for how many days nobody can delete or replace what Put made
	// (compliance mode), if the bucket offers object lock; 0 is as the bucket has it.
	LockDays int
	// Now is the time; nil is time.Now.
	Now func() time.Time
	// Dial opens connections; nil dials TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// An S3 is a Place in a bucket that speaks S3.
type S3 struct {
	core   *minio.Core
	idle   func()
	bucket string
	prefix string // "" or ends with '/'

	lockDays int
	locks    bool // the bucket offers object lock
	now      func() time.Time
	plain    atomic.Bool   // the server knows no put-if-absent
	buffers  chan []byte   // that can be used again
	flights  chan struct{} // as many parts of files are under way
}

// OpenS3 looks whether the bucket can be reached and offers object lock.
//
// Put asks the server to spare a name that is taken (If-None-Match), and looks first.
// Where a server ignores or refuses that wish, as some do for all files and some for
// those over 64 MiB, the look alone spares it: of two programs that give a file one
// name at the same instant the later wins there. Spares finds out.
//
// The server checks what it gets against SHA-256, and MD5 where it locks. A body that is
// also an io.Seeker and an io.ReaderAt is read twice, from where it stands, and takes no
// memory up to 64 MiB; else up to 8 MiB are held, and what is larger goes in parts, of which
// six are held at most. A request that fails for the moment is sent four times at most.
func OpenS3(ctx context.Context, o S3Options) (*S3, error) {
	endpoint := strings.TrimSuffix(o.Endpoint, "/")
	if !o.Insecure {
		endpoint = strings.TrimPrefix(endpoint, "https://")
	}
	transport := newTransport(o)
	core, err := minio.NewCore(endpoint, &minio.Options{
		Creds:     credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""),
		Secure:    !o.Insecure,
		Transport: transport, Region: o.Region, MaxRetries: s3Retries,
	})
	if err != nil {
		return nil, fmt.Errorf("the address of the bucket: %w", err)
	}
	s := &S3{core: core, idle: transport.CloseIdleConnections, bucket: o.Bucket, lockDays: o.LockDays, now: o.Now,
		buffers: make(chan []byte, s3Flights), flights: make(chan struct{}, s3Flights)}
	if p := strings.Trim(o.Prefix, "/"); p != "" {
		s.prefix = p + "/"
	}
	if s.now == nil {
		s.now = time.Now
	}
	there, err := core.BucketExists(ctx, o.Bucket)
	if err == nil && !there {
		err = fmt.Errorf("%w: there is no bucket of that name", ErrAway)
	}
	if err != nil {
		return nil, s3Because("open", o.Bucket, err)
	}
	lock, _, _, _, err := core.GetObjectLockConfig(ctx, o.Bucket)
	s.locks = err == nil && lock == "Enabled" // a bucket without, or one that does not say: no lock
	return s, nil
}

// newTransport dials with the time limits of this package.
func newTransport(o S3Options) *http.Transport {
	dial := o.Dial
	if dial == nil {
		dial = officeDial(o.Insecure)
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &watchedConn{conn}, nil
		},
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: silence,
		IdleConnTimeout:     silence / 2,
		MaxIdleConnsPerHost: 16,
		DisableCompression:  true,
	}
}

// officeDial dials TCP, and without TLS within the office only.
func officeDial(insecure bool) func(ctx context.Context, network, addr string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: silence}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err == nil && insecure && !inOffice(conn.RemoteAddr()) {
			return nil, errors.Join(ErrDenied, errors.New("without TLS nothing is sent out of the office"), conn.Close())
		}
		return conn, err
	}
}

func inOffice(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && (tcp.IP.IsLoopback() || tcp.IP.IsPrivate() || tcp.IP.IsLinkLocalUnicast())
}

// Locks reports whether what Put makes is locked by the bucket against everybody, and
// for how many days; 0 is as the bucket itself has it.
func (s *S3) Locks() (days int, locks bool) { return s.lockDays, s.locks }

// s3Because says in the words of this package why something did not happen.
func s3Because(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	if isOurs(err) {
		return because(verb, name, nil, err)
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return because(verb, name, ErrAway, err)
	}
	// Only the code: a server's text can hold what was sent to it.
	return because(verb, name, s3Kind(answer), fmt.Errorf("the server says %s (%d)", answer.Code, answer.StatusCode))
}

func s3Kind(answer minio.ErrorResponse) error {
	switch answer.Code {
	case "NoSuchKey":
		return ErrNotThere
	case "PreconditionFailed":
		return ErrExists
	case "NoSuchBucket", "SlowDown", "RequestTimeout", "Throttling":
		return ErrAway
	case "AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidAccessKeyId", "SignatureDoesNotMatch",
		"ExpiredToken", "InvalidToken", "RequestTimeTooSkewed", "InvalidObjectState", "NotSignedUp":
		return ErrDenied
	case "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "QuotaExceededException":
		return ErrFull
	case "EntityTooLarge":
		return ErrTooLarge
	}
	switch answer.StatusCode {
	case http.StatusForbidden, http.StatusUnauthorized:
		return ErrDenied
	case http.StatusInsufficientStorage:
		return ErrFull
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
		return ErrAway
	}
	if answer.StatusCode >= 500 {
		return ErrAway
	}
	return nil
}
