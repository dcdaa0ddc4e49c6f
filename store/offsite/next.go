package offsite

import (
	"context"
	"errors"
)

type SFTPOptions struct {
	Addr, User, Path, HostKey, Password string
	Key                                 []byte
}
type S3Options struct {
	Endpoint, Bucket, Prefix, Region, AccessKey, SecretKey string
	Insecure                                               bool
	LockDays                                               int
}

func OpenSFTP(context.Context, SFTPOptions) (Place, error) {
	return nil, errors.New("this kind of place is not built yet; use a folder")
}
func OpenS3(context.Context, S3Options) (Place, error) {
	return nil, errors.New("this kind of place is not built yet; use a folder")
}
func HostKeyOf(context.Context, string) (string, error) {
	return "", errors.New("this kind of place is not built yet; use a folder")
}
func Limit(p Place, n int64) Place { return p }
