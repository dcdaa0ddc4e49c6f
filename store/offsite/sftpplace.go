package offsite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/pkg/sftp"
)

// What servers of later versions of the protocol say.
const (
	sftpExists   = 11
	sftpReadOnly = 12
	sftpFull     = 14
	sftpQuota    = 15
	mountedRO    = 1 // ST_RDONLY of statvfs
)

// Put implements Place.
func (s *SFTP) Put(ctx context.Context, name string, size int64, from io.Reader) error {
	if err := checkName(name); err != nil {
		return err
	}
	free, err := s.busy.take(ctx, name)
	if err != nil {
		return err
	}
	defer free()
	err = s.do(ctx, false, func(l *link) error { return s.ready(l, name) })
	if err == nil {
		err = s.do(ctx, true, func(l *link) error { return s.put(l, name, size, &body{ctx, from, size}) })
	}
	return s.because(ctx, "put", name, size, err)
}

// ready returns once a name is known to be free and its folder to be there.
func (s *SFTP) ready(l *link, name string) error {
	if err := s.free(l, name); err != nil {
		return err
	}
	return s.mkdir(l, path.Dir(name))
}

func (s *SFTP) free(l *link, name string) error {
	_, err := l.Stat(s.path(name))
	if err == nil {
		return ErrExists
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// mkdir makes a folder below the root if need be, and clears the abandoned temporary
// files out of it, once.
func (s *SFTP) mkdir(l *link, folder string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.swept[folder] {
		return nil
	}
	if err := s.here(l); err != nil {
		return err
	}
	for i, c := range []byte(folder + "/") {
		if c != '/' || folder == "." {
			continue
		}
		made := l.Mkdir(s.path(folder[:i])) // fails if it is there
		if _, err := l.Stat(s.path(folder[:i])); err != nil {
			return errors.Join(made, err)
		}
	}
	list, err := l.ReadDir(s.path(folder))
	if err != nil {
		return err
	}
	for _, info := range list {
		if info.Mode().IsRegular() && isTemp(info.Name()) && time.Since(info.ModTime()) > abandoned {
			l.clear(s.path(path.Join(folder, info.Name())))
		}
	}
	s.swept[folder] = true
	return nil
}

// clear removes a temporary file. An account that may only add files cannot; then it
// stays.
func (l *link) clear(temp string) {
	if isTemp(path.Base(temp)) {
		l.Remove(temp)
	}
}

func (s *SFTP) put(l *link, name string, size int64, from io.Reader) error {
	temp := tempName(s.path(name), newTag())
	err := write(l, temp, size, from)
	if err == nil {
		err = s.free(l, name)
	}
	if err == nil {
		err = l.Rename(temp, s.path(name))
		if err != nil && answered(err) {
			err = errors.Join(s.free(l, name), err) // another was faster
		}
	}
	if errors.Is(err, fs.ErrNotExist) { // its folder is gone
		s.mu.Lock()
		delete(s.swept, path.Dir(name))
		s.mu.Unlock()
	}
	if err != nil && answered(err) {
		l.clear(temp)
	}
	return err
}

// write returns once the server has all of a file, on its disk if it can tell.
func write(l *link, temp string, size int64, from io.Reader) error {
	f, err := l.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.ReadFromWithConcurrency(from, 0)
	if _, can := l.HasExtension("fsync@openssh.com"); can && err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	info, err := l.Stat(temp)
	if err == nil && info.Size() != size {
		err = &sourceError{fmt.Errorf("the server has %d bytes of %d", info.Size(), size)}
	}
	return err
}

// reading is the size in because where nothing is written.
const reading = -1

// because says in the words of this package why something did not happen.
func (s *SFTP) because(ctx context.Context, verb, name string, size int64, err error) error {
	if err == nil {
		return nil
	}
	if isOurs(err) {
		return because(verb, name, nil, err)
	}
	var kind error
	var status *sftp.StatusError
	if errors.As(err, &status) {
		switch status.Code {
		case sftpExists:
			kind = ErrExists
		case sftpReadOnly:
			kind = ErrReadOnly
		case sftpFull, sftpQuota:
			kind = ErrFull
		default:
			kind = s.whyNot(ctx, size)
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		kind = ErrDenied
	}
	if errors.Is(err, fs.ErrNotExist) {
		if aerr := s.do(ctx, false, s.here); isOurs(aerr) {
			return because(verb, name, nil, aerr)
		}
	}
	return because(verb, name, kind, err)
}

// whyNot finds out why a server said no more than that it failed: OpenSSH does so when
// its disk is full or read-only.
func (s *SFTP) whyNot(ctx context.Context, size int64) (kind error) {
	if size == reading {
		return nil
	}
	v := s.statVFS(ctx)
	switch {
	case v == nil:
	case v.Flag&mountedRO != 0:
		return ErrReadOnly
	case v.Frsize*v.Bavail < uint64(size)+v.Frsize:
		return ErrFull
	}
	return nil
}

// statVFS returns nil if the server cannot tell.
func (s *SFTP) statVFS(ctx context.Context) (v *sftp.StatVFS) {
	err := s.do(ctx, false, func(l *link) (err error) {
		if _, can := l.HasExtension("statvfs@openssh.com"); can {
			v, err = l.StatVFS(s.options.Path)
		}
		return err
	})
	if err != nil {
		return nil
	}
	return v
}

// Free implements Room.
func (s *SFTP) Free(ctx context.Context) (free, total int64, known bool) {
	v := s.statVFS(ctx)
	if v == nil {
		return 0, 0, false
	}
	return int64(v.Frsize * v.Bavail), int64(v.TotalSpace()), true
}

// Get implements Place. The end of ctx ends the reading, too.
func (s *SFTP) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return s.get(ctx, name)
}

func (s *SFTP) get(ctx context.Context, name string) (g *getting, err error) {
	err = s.do(ctx, false, func(l *link) error {
		f, err := l.Open(s.path(name))
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			f.Close() // nothing was written
			return err
		}
		g = &getting{s: s, l: l, f: f, name: name, info: info, left: info.Size(), ctx: ctx, stop: context.AfterFunc(ctx, l.cut)}
		g.r = bufio.NewReaderSize(struct{ io.Reader }{f}, 1<<20) // many packets at once
		return nil
	})
	if err != nil {
		return nil, s.because(ctx, "get", name, reading, err)
	}
	return g, nil
}

// A getting is a file that is being read. What ends before its size is no end.
type getting struct {
	s    *SFTP
	l    *link
	f    *sftp.File
	r    io.Reader
	name string
	info fs.FileInfo // when it was opened
	left int64
	ctx  context.Context
	stop func() bool
}

// Read implements io.Reader.
func (g *getting) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	g.left -= int64(n)
	if err == nil || err == io.EOF && g.left == 0 {
		return n, err
	}
	return n, g.failed(err)
}

// failed says why a read failed. Without an answer the connection was lost.
func (g *getting) failed(err error) error {
	switch {
	case g.ctx.Err() != nil:
		return g.ctx.Err()
	case answered(err):
		return g.s.because(g.ctx, "get", g.name, reading, err)
	}
	g.s.drop(g.l)
	return fmt.Errorf("get %q: %w: it ended %d bytes too early", g.name, ErrAway, g.left)
}

// Close implements io.Closer.
func (g *getting) Close() error {
	g.stop()
	g.f.Close() // nothing was written
	return nil
}

// List implements Place.
func (s *SFTP) List(ctx context.Context, folder string, fn func(Info) error) error {
	if err := checkFolder(folder); err != nil {
		return err
	}
	list, err := s.readDir(ctx, folder)
	if err != nil {
		return s.because(ctx, "list", folder, reading, err)
	}
	for _, info := range list {
		name := path.Join(folder, info.Name())
		switch {
		case checkName(name) != nil: // not of a second copy, or still being written
		case info.IsDir():
			err = s.List(ctx, name, fn)
		case info.Mode().IsRegular():
			err = fn(Info{Name: name, Size: info.Size()})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *SFTP) readDir(ctx context.Context, folder string) (list []fs.FileInfo, err error) {
	err = s.do(ctx, false, func(l *link) error {
		list, err = l.ReadDir(s.path(folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// A connection that is lost while a folder is read looks like the folder's end.
		return s.here(l)
	})
	return list, err
}

// Overwrite implements Prober.
func (s *SFTP) Overwrite(ctx context.Context, name string, content []byte) error {
	if err := checkProbe(name); err != nil {
		return err
	}
	err := s.do(ctx, false, func(l *link) error {
		f, err := l.OpenFile(s.path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		return err
	})
	return s.because(ctx, "overwrite", name, int64(len(content)), err)
}

// Delete implements Prober.
func (s *SFTP) Delete(ctx context.Context, name string) error {
	if err := checkProbe(name); err != nil {
		return err
	}
	err := s.do(ctx, false, func(l *link) error { return l.Remove(s.path(name)) })
	return s.because(ctx, "delete", name, reading, err)
}

// Spares implements Sparer.
func (s *SFTP) Spares(ctx context.Context, name string) (spares bool, err error) {
	if err := checkProbe(name); err != nil {
		return false, err
	}
	content := "second"
	err = s.do(ctx, false, func(l *link) error {
		temp := tempName(s.path(name), newTag())
		if err := write(l, temp, int64(len(content)), strings.NewReader(content)); err != nil {
			return err
		}
		err := l.Rename(temp, s.path(name))
		if err != nil && answered(err) {
			l.clear(temp)
			spares, err = true, nil
		}
		return err
	})
	return spares, s.because(ctx, "probe", name, int64(len(content)), err)
}
