package offsite

import (
	"context"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// Files returns the folder of the server, to be read only, with sizes and times: what
// others leave there. The end of ctx ends whatever waits on it. A file may be another
// while it is read; who wants to know looks at it again (fs.Stat) afterwards.
//
// It implements fs.ReadDirFS and fs.StatFS, and its files io.ReaderAt. Errors wrap those of
// a Place where they apply: ErrAway also if the folder itself is not there.
func (s *SFTP) Files(ctx context.Context) fs.FS { return sftpFiles{s, ctx} }

type sftpFiles struct {
	s   *SFTP
	ctx context.Context
}

// Open implements fs.FS.
func (f sftpFiles) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	g, err := f.s.get(f.ctx, name)
	if err != nil {
		return nil, err
	}
	return sftpFile{g}, nil
}

// Stat implements fs.StatFS.
func (f sftpFiles) Stat(name string) (info fs.FileInfo, err error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrInvalid}
	}
	err = f.s.do(f.ctx, false, func(l *link) (err error) {
		info, err = l.Stat(f.s.path(name))
		return err
	})
	return info, f.s.because(f.ctx, "look at", name, reading, err)
}

// ReadDir implements fs.ReadDirFS. Names that are none are left out.
func (f sftpFiles) ReadDir(name string) (list []fs.DirEntry, err error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	var infos []fs.FileInfo
	err = f.s.do(f.ctx, false, func(l *link) (err error) {
		if infos, err = l.ReadDir(f.s.path(name)); err != nil {
			return err
		}
		return f.s.here(l) // a connection that is lost meanwhile looks like the folder's end
	})
	for _, info := range infos {
		if n := info.Name(); n != "." && n != ".." && !strings.Contains(n, "/") {
			list = append(list, fs.FileInfoToDirEntry(info))
		}
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, f.s.because(f.ctx, "list", name, reading, err)
}

// An sftpFile is a file that others may write to: it ends where it ends.
type sftpFile struct{ *getting }

// Stat implements fs.File. It returns how the file looked when it was opened.
func (f sftpFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// Read implements fs.File.
func (f sftpFile) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		err = f.failed(err)
	}
	return n, err
}

// ReadAt implements io.ReaderAt.
func (f sftpFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.f.ReadAt(p, at)
	if err != nil && err != io.EOF {
		err = f.failed(err)
	}
	return n, err
}
