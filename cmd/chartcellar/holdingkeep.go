package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/store"
	"chartcellar/store/holding"
	"chartcellar/store/index"
)

var (
	// errHoldingFolder says that what is to be kept cannot be found.
	errHoldingFolder = errors.New("the folder of a holding is not there")
	// errHoldingServer says that the server of a holding cannot be asked, and
	// errHoldingSignIn that it refuses us, or we it.
	errHoldingServer = errors.New("the server of a holding does not answer")
	errHoldingSignIn = errors.New("the server of a holding refuses the sign-in")
	// errUnread says that files of a holding could not be read.
	errUnread = errors.New("files of a holding could not be read")
	// errMoving says that a file changed while it was read: it is not kept like that.
	errMoving = errors.New("it changed while it was read")
	// errKnown says that a file is kept as it is.
	errKnown = errors.New("it is kept already")
)

// A keptResult is what keeping came to.
type keptResult struct {
	Holding string `json:"holding"`
	Kept    int    `json:"kept"`
	Bytes   int64  `json:"bytes"`
	Same    int    `json:"same"`    // of the kept: equal to a file that was here
	Known   int    `json:"known"`   // kept before as they are
	Growing int    `json:"growing"` // not kept yet: still being written, or changed while it was read
	// Arriving files have a name that says so.
	Arriving int           `json:"arriving"`
	Links    int           `json:"links"` // left out: they are no files
	Failed   []fileTrouble `json:"failed"`
	Broken   []fileTrouble `json:"broken"` // kept, though something is wrong with them as they came
}

// A fileTrouble is what is wrong with one file.
type fileTrouble struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

func (r *keptResult) failed(path, why string) {
	r.Failed = append(r.Failed, fileTrouble{path, why})
}

// A keeping keeps files of one holding in one run, which begins with the first of them.
type keeping struct {
	e      *env
	m      *store.Mirror
	from   string // folder or file, as the lines say it
	covers []string
	copies []string         // that get the large ones; none: all
	kept   []store.KeptFile // so far, oldest first
	sums   map[string]bool  // contents that are here
	run    *store.Run
	result *keptResult
}

func (e *env) newKeeping(m *store.Mirror, h config.Holding, from string) (*keeping, error) {
	k := &keeping{e: e, m: m, from: from, covers: h.Covers, copies: h.Copies, sums: map[string]bool{},
		result: &keptResult{Holding: h.Name, Failed: []fileTrouble{}, Broken: []fileTrouble{}}}
	var err error
	k.kept, err = m.KeptFiles(h.Name)
	for _, f := range k.kept {
		k.sums[f.SHA256] = true
	}
	return k, err
}

// all carries f out, and then ends the run that it has begun, or that an earlier keeping
// left open: what was kept counts, also if f failed for a file.
func (k *keeping) all(ctx context.Context, code, by string, f func() error) error {
	if _, r, open, err := k.m.OpenRun(""); err != nil {
		return err
	} else if open && r.Kind == store.KindHolding {
		if err := k.begin(ctx); err != nil {
			return err
		}
	}
	err := f()
	if errors.Is(err, store.ErrFull) {
		err = fmt.Errorf("%w: %w", err, &plainError{exitFailed, sentence(err.Error()),
			"Nothing is lost: what was kept before is here, and the files still lie where they were.",
			"Make room on the disk of the office copy; then try again."})
	}
	if k.run == nil {
		return err
	}
	defer k.run.Abort()
	if ctx.Err() != nil {
		return ctx.Err() // the next keeping goes on with it
	}
	if cerr := k.end(ctx, code, by, err == nil); err == nil {
		err = cerr
	}
	return err
}

func (k *keeping) begin(ctx context.Context) (err error) {
	if k.run == nil {
		k.run, err = k.m.Begin(ctx, store.RunSpec{Kind: store.KindHolding})
	}
	return err
}

// A keptRecord is the record of a run that kept files.
type keptRecord struct {
	Verdict string `json:"verdict"`
	Holding string `json:"holding"`
	Kept    int    `json:"kept"`
	Bytes   int64  `json:"bytes"`
	Failed  int    `json:"failed"`
}

// end closes the run, once the journal has what it did; whole says that it came to its end.
func (k *keeping) end(ctx context.Context, code, by string, whole bool) error {
	r := k.result
	rec := keptRecord{string(fhirsync.Complete), r.Holding, r.Kept, r.Bytes, len(r.Failed)}
	if rec.Failed > 0 || !whole {
		rec.Verdict = string(fhirsync.WithGaps)
	}
	raw, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("write the record of a run: %w", err)
	}
	if err := k.m.Journal(store.Event{Code: code, Account: by, Run: k.run.Number(), Count: r.Kept, Note: r.Holding}); err != nil {
		return err
	}
	return k.run.Close(ctx, store.Closing{States: index.RunStates{All: index.Applied}, Verdict: rec.Verdict, Record: raw})
}

// files keeps files. One that cannot be read, or changes meanwhile, is noted and left
// out; any other error ends it, also one of the server as a whole.
func (k *keeping) files(ctx context.Context, fsys fs.FS, list []holding.File) error {
	for _, f := range list {
		if err := k.one(ctx, fsys, f, store.KeptFile{Path: f.Path}); err != nil {
			return err
		}
	}
	return nil
}

// format keeps a document that describes the format.
func (k *keeping) format(ctx context.Context, name string) error {
	fsys, f, err := openOne(name)
	if err != nil {
		return k.cannotRead(err)
	}
	return k.one(ctx, fsys, f, store.KeptFile{Path: holding.FormatFolder + "/" + filepath.Base(name), Role: holding.Format})
}

// one keeps one file.
func (k *keeping) one(ctx context.Context, fsys fs.FS, f holding.File, as store.KeptFile) error {
	as, err := k.read(ctx, fsys, f, as)
	var source *sourceError
	switch {
	case err == nil:
		k.result.Kept++
		k.result.Bytes += as.Size
		if k.sums[as.SHA256] {
			k.result.Same++
		}
		k.sums[as.SHA256] = true
		k.kept = append(k.kept, as)
		if as.Problem != "" {
			k.result.Broken = append(k.result.Broken, fileTrouble{f.Path, as.Problem})
		}
		if as.Size > store.SmallAttachment {
			return k.run.Flush(ctx) // a large one is not read again after a crash
		}
		return nil
	case errors.Is(err, errKnown):
		k.result.Known++
		return nil
	case errors.Is(err, errMoving):
		k.result.Growing++
		return nil
	case errors.As(err, &source) && !ofPlace(err):
		k.result.failed(f.Path, source.words())
		return nil
	}
	return err
}

// read reads a file and keeps it, if it is the same before and after.
func (k *keeping) read(ctx context.Context, fsys fs.FS, f holding.File, as store.KeptFile) (store.KeptFile, error) {
	file, err := fsys.Open(f.Path)
	if err != nil {
		return as, &sourceError{err}
	}
	defer file.Close() // read only
	before, err := file.Stat()
	if err != nil {
		return as, &sourceError{err}
	}
	if !before.Mode().IsRegular() {
		return as, &sourceError{errors.New("it is no file")}
	}
	if before.Size() != f.Size || !before.ModTime().Equal(f.Modified) {
		return as, errMoving
	}
	if err := k.begin(ctx); err != nil {
		return as, err
	}
	as.Holding, as.Size, as.Modified, as.Source = k.result.Holding, f.Size, f.Modified, k.from
	as.Covers, as.Copies = k.covers, k.copies
	as.Problem = zipProblem(f, file)
	return k.run.Keep(ctx, as, sourceReader{file}, func(c store.Content) error {
		after, err := fs.Stat(fsys, f.Path)
		switch {
		case err != nil:
			return &sourceError{err}
		case after.Size() != f.Size || !after.ModTime().Equal(f.Modified) || c.Size != f.Size:
			return errMoving
		case k.known(as, hex.EncodeToString(c.SHA256)):
			return errKnown
		}
		return nil
	})
}

// known reports whether a file is kept as it is: the same content and time.
func (k *keeping) known(f store.KeptFile, sum string) bool {
	for i := len(k.kept) - 1; i >= 0; i-- {
		if old := k.kept[i]; old.Path == f.Path {
			return old.SHA256 == sum && old.Modified.Equal(f.Modified)
		}
	}
	return false
}

// zipProblem says what is wrong with a file that should be a zip file: half a download
// has no list at its end.
func zipProblem(f holding.File, file fs.File) string {
	at, ok := file.(io.ReaderAt)
	if !ok || !holding.IsZip(f.Path) {
		return ""
	}
	if err := holding.Zip(at, f.Size, func(holding.Inside) error { return nil }); errors.Is(err, holding.ErrInside) {
		return "it is no whole zip file: its list at the end is missing or damaged"
	}
	return "" // what cannot be read shows when it is kept
}

// A sourceError is what is wrong with a file that is to be kept.
type sourceError struct{ err error }

// Error implements error; it names no file.
func (s *sourceError) Error() string { return s.words() }

// Unwrap returns the error.
func (s *sourceError) Unwrap() error { return s.err }

func (s *sourceError) words() string {
	var path *fs.PathError
	switch {
	case errors.Is(s.err, fs.ErrPermission):
		return "this user may not read it"
	case errors.Is(s.err, fs.ErrNotExist):
		return "it is gone"
	case errors.As(s.err, &path):
		return "it cannot be read: " + path.Err.Error()
	}
	return "it cannot be read: " + s.err.Error()
}

// A sourceReader tells errors of the file that is read from those of the mirror.
type sourceReader struct{ r io.Reader }

// Read implements io.Reader.
func (s sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		err = &sourceError{err}
	}
	return n, err
}

// cannotRead says that what a person named cannot be read at all.
func (k *keeping) cannotRead(err error) error {
	return &plainError{exitFailed, "What is to be kept cannot be read: " + (&sourceError{err}).words() + ".", nothingLost,
		"Check its path and who may read it, then try again."}
}
