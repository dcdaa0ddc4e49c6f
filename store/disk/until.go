package disk

import (
	"context"
	"io"
)

// Until returns a reader of r that ends with ctx's error once ctx has ended: a long copy
// does not keep whoever stops it waiting.
func Until(ctx context.Context, r io.Reader) io.Reader { return until{ctx, r} }

type until struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (u until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
