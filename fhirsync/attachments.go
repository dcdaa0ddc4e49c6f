package fhirsync

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"chartcellar/fhirsync/rest"
	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/scan"
)

// Attached is what a run did with attachments.
type Attached struct {
	Wanted  int `json:"wanted"`  // named by records, and not here when the run began to fetch them
	Stored  int `json:"stored"`  // fetched, checked and kept
	Held    int `json:"held"`    // here already, as records of their own
	Missing int `json:"missing"` // could not be had; each is a gap
	Dropped int `json:"dropped"` // no longer named by their record
	Waiting int `json:"waiting"` // not tried: the EMR stopped answering
}

// giveUpAfter is after how many failures of the server, one behind the other, no
// further attachment is asked for in a run.
const giveUpAfter = 5

// An attacher fetches the attachments of one run.
type attacher struct {
	s *syncer

	// mu covers what follows.
	mu    sync.Mutex
	n     Attached
	row   int             // failures of the server, one behind the other
	asked map[string]bool // gaps of the attachments that were looked at
}

// attachments fetches what the stored records name by an address (P105-P110).
func (s *syncer) attachments(ctx context.Context) error {
	a := &attacher{s: s, asked: map[string]bool{}}
	// A record that no longer names its attachment is read again; what it names
	// now is fetched by the second pass.
	for pass, dropped := 0, 0; pass == 0 || pass == 1 && a.n.Dropped > dropped; pass++ {
		dropped = a.n.Dropped
		if err := a.all(ctx); err != nil {
			return err
		}
	}
	s.report.Attachments = a.n
	s.gapOfWaiting(a.n.Waiting)
	return nil
}

// all fetches every attachment that is wanted and was not looked at.
func (a *attacher) all(ctx context.Context) error {
	var behind []byte
	for {
		wants, last, err := a.s.m.Wants(a.s.o.Source.Name, behind, 500)
		if err != nil || len(wants) == 0 {
			return err
		}
		behind = last
		wants = slices.DeleteFunc(wants, func(w store.Want) bool { return a.asked[attachmentGap(w)] })
		for _, w := range wants {
			a.asked[attachmentGap(w)] = true
		}
		if err := a.some(ctx, wants); err != nil {
			return err
		}
		if err := a.s.run.Flush(ctx); err != nil {
			return err
		}
	}
}

// gapOfWaiting keeps the one gap for all attachments that were not tried.
func (s *syncer) gapOfWaiting(n int) {
	if n == 0 {
		s.closeGap("attachments", "all were asked for")
		return
	}
	s.openGap(gap{ID: "attachments", Kind: "attachment",
		Reason: fmt.Sprintf("%d documents were not asked for, because the EMR stopped answering", n)})
}

// some fetches some attachments, two at once.
func (a *attacher) some(ctx context.Context, wants []store.Want) error {
	wants, err := a.here(wants)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for _, w := range wants {
		g.Go(func() error { return a.one(gctx, w) })
	}
	return g.Wait()
}

// here takes out what the mirror has as records of their own.
func (a *attacher) here(wants []store.Want) (left []store.Want, err error) {
	var held []store.Want
	for _, w := range wants {
		id, ok := a.binaryID(w.URL)
		if ok {
			if ok, err = a.s.m.Holds(store.Key{Source: w.Source, Type: "Binary", ID: id}); err != nil {
				return nil, err
			}
		}
		if ok {
			held = append(held, w)
			a.s.closeGap(attachmentGap(w), "the record came")
		} else {
			left = append(left, w)
		}
	}
	a.n.Wanted += len(wants)
	a.n.Held += len(held)
	if len(held) == 0 {
		return left, nil
	}
	return left, a.s.m.DropWants(held)
}

// binaryID returns the id in an address of a Binary of this EMR.
func (a *attacher) binaryID(url string) (string, bool) {
	path := strings.TrimPrefix(index.WithoutQuery(url), a.s.o.Client.Base()+"/")
	id, ok := strings.CutPrefix(strings.TrimPrefix(path, "/"), "Binary/")
	return id, ok && id != "" && !strings.Contains(id, "/")
}

// home reports whether an address is one of the EMR itself: what is wrong with
// another host is wrong with one document only.
func (a *attacher) home(url string) bool {
	return !strings.Contains(url, "://") || strings.HasPrefix(url, a.s.o.Client.Base()+"/")
}

func attachmentGap(w store.Want) string {
	return "attachment/" + w.Type + "/" + w.ID + "/" + index.WithoutQuery(w.URL)
}

// one fetches one attachment; what goes wrong with it is a gap.
func (a *attacher) one(ctx context.Context, w store.Want) error {
	a.mu.Lock()
	stopped := a.row >= giveUpAfter
	if stopped {
		a.n.Waiting++
	}
	a.mu.Unlock()
	if stopped {
		return nil
	}
	problem, err := a.fetch(ctx, w)
	if fresh, ok := a.renew(ctx, w, problem, err); ok {
		if fresh == nil {
			return a.drop(w)
		}
		problem, err = a.fetch(ctx, *fresh)
	}
	switch {
	case err != nil && (ctx.Err() != nil || ours(err) || a.home(w.URL) && rest.Is(err, rest.DNS, rest.Certificate, rest.Token)):
		return err
	case err != nil:
		a.failed(w, err)
		return nil
	}
	a.mu.Lock()
	a.n.Stored++
	a.row = 0
	n := a.n
	a.mu.Unlock()
	a.s.o.Events(Event{Kind: "attachment", Type: w.Type, Count: n.Stored, Files: n.Wanted})
	if problem != "" {
		a.s.openGap(gap{ID: attachmentGap(w), Kind: "attachment", Type: w.Type, Ref: w.Type + "/" + w.ID,
			Reason: problem + "; what came is kept"})
		return nil
	}
	a.s.closeGap(attachmentGap(w), "it came, and was checked")
	return nil
}

// drop forgets an attachment that its record no longer names.
func (a *attacher) drop(w store.Want) error {
	a.mu.Lock()
	a.n.Dropped++
	a.mu.Unlock()
	a.s.closeGap(attachmentGap(w), "its record no longer names it")
	return a.s.m.DropWants([]store.Want{w})
}

// failed notes an attachment that could not be had.
func (a *attacher) failed(w store.Want, err error) {
	a.mu.Lock()
	a.n.Missing++
	if rest.Is(err, rest.Offline, rest.Timeout, rest.ServerBroken, rest.Throttled) {
		a.row++
	} else {
		a.row = 0
	}
	a.mu.Unlock()
	a.s.openGap(gap{ID: attachmentGap(w), Kind: "attachment", Type: w.Type, Ref: w.Type + "/" + w.ID, Reason: words(err)})
}

// ours reports whether an error is the mirror's: a full disk, a broken one.
func ours(err error) bool {
	var fromEMR *rest.Error
	var refused *refusedError
	return !errors.As(err, &fromEMR) && !errors.As(err, &refused)
}

// A refusedError says why a content was not taken for the attachment.
type refusedError struct{ why string }

// Error implements error.
func (e *refusedError) Error() string { return e.why }

// renew reads the record again when an address no longer works: a signed one has
// expired, or the record has changed (P110); and when an attachment is not as it
// should be a second time. It returns the want with the address of now; nil if the
// record no longer names the attachment.
func (a *attacher) renew(ctx context.Context, w store.Want, problem string, err error) (fresh *store.Want, ok bool) {
	var refused *refusedError
	again := (problem != "" || errors.As(err, &refused)) && a.s.isOpen(attachmentGap(w))
	if !again && !rest.Is(err, rest.Forbidden, rest.SignIn, rest.NotFound, rest.Gone, rest.Refused, rest.UnsafeURL) {
		return nil, false
	}
	body, state, err := a.s.o.Client.Read(ctx, w.Type, w.ID)
	switch {
	case err != nil:
		return nil, false
	case state == rest.Missing:
		held, err := a.s.m.Holds(store.Key{Source: w.Source, Type: w.Type, ID: w.ID})
		return nil, err == nil && !held
	case state == rest.Deleted:
		return nil, true
	}
	s := scan.New([32]byte{})
	if _, err := s.Facts(body); err != nil {
		return nil, false
	}
	found := false
	s.Links(func(l scan.Link) {
		if index.WithoutQuery(l.URL) != index.WithoutQuery(w.URL) {
			return
		}
		found = true
		if l.URL != w.URL {
			again := w
			again.URL = l.URL
			fresh = &again
		}
	})
	if !found && a.s.addRead(ctx, w.Type, body) != nil {
		return nil, false // the mirror would have neither
	}
	return fresh, fresh != nil || !found
}

// fetch fetches, checks and keeps one attachment.
func (a *attacher) fetch(ctx context.Context, w store.Want) (problem string, err error) {
	accept := "application/octet-stream;q=0.5"
	if w.ContentType != "" {
		accept = w.ContentType + ", " + accept
	}
	for try := 1; ; try++ {
		problem, err = a.try(ctx, w, accept)
		var e *rest.Error
		switch {
		case errors.As(err, &e) && e.Status == 406 && try == 1:
			accept = "application/fhir+json" // it gives the Binary resource only (P106)
		case rest.Is(err, rest.Cut, rest.Timeout) && try < tries:
		default:
			return problem, err
		}
	}
}

func (a *attacher) try(ctx context.Context, w store.Want, accept string) (problem string, err error) {
	stream, err := a.s.o.Client.Stream(ctx, rest.Request{URL: w.URL, Accept: accept, Class: "attachment of " + w.Type})
	if err != nil {
		return "", err
	}
	defer stream.Body.Close() // read only
	body, typ, err := opened(stream, w)
	if err != nil {
		return "", err
	}
	limit := a.s.o.MaxAttachment
	body = io.LimitReader(body, limit+1)
	err = a.s.run.Attach(ctx, w, typ, body, func(c store.Content) (string, error) {
		if c.Size > limit {
			return "", &refusedError{fmt.Sprintf("it is larger than %d MB; to have it, raise attachment_mb in the settings", limit>>20)}
		}
		problem, err = checkContent(w, c, stream.Framed)
		return problem, err
	})
	return problem, err
}

// opened looks at the start of a content: it unpacks it, decodes a Binary
// resource, and refuses a page of HTML that stands for something else.
func opened(s *rest.Stream, w store.Want) (io.Reader, string, error) {
	var body io.Reader = s.Body
	if strings.EqualFold(s.Header.Get("Content-Encoding"), "gzip") {
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, "", &refusedError{"its compression is damaged"}
		}
		body = &unpacked{z}
	}
	buf := bufio.NewReaderSize(body, 64<<10)
	head, err := buf.Peek(512)
	if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, "", err
	}
	typ, _, _ := strings.Cut(s.Header.Get("Content-Type"), ";")
	typ = strings.TrimSpace(typ)
	if strings.HasSuffix(typ, "json") && bytes.Contains(head, []byte(`"Binary"`)) && !strings.HasSuffix(w.ContentType, "json") {
		return newBinaryReader(buf), orElse(w.ContentType, "application/octet-stream"), nil
	}
	if rest.LooksHTML(head) && !strings.Contains(w.ContentType, "html") {
		return nil, "", &refusedError{"the EMR gave a web page instead, such as one to sign in"}
	}
	if want, ok := magics[w.ContentType]; ok && !hasMagic(head, want) {
		return nil, "", &refusedError{"what the EMR gave is no " + w.ContentType}
	}
	return buf, orElse(w.ContentType, typ), nil
}

// An unpacked body says of damaged gzip that the content was refused.
type unpacked struct{ z *gzip.Reader }

// Read implements io.Reader.
func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.z.Read(p)
	if errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) {
		err = &refusedError{"its compression is damaged"}
	}
	return n, err
}

// magics are the first bytes by which common documents are known (P107).
var magics = map[string][]string{
	"application/pdf": {"%PDF-"},
	"image/png":       {"\x89PNG\r\n\x1a\n"},
	"image/jpeg":      {"\xff\xd8\xff"},
	"image/gif":       {"GIF87a", "GIF89a"},
	"image/tiff":      {"II*\x00", "MM\x00*"},
	"application/rtf": {"{\\rtf"},
	"text/rtf":        {"{\\rtf"},
	"application/zip": {"PK\x03\x04", "PK\x05\x06"},
}

func hasMagic(head []byte, want []string) bool {
	// A PDF may begin with other bytes, if the mark comes soon.
	for _, m := range want {
		if bytes.HasPrefix(head, []byte(m)) || m == "%PDF-" && bytes.Contains(head, []byte(m)) {
			return true
		}
	}
	return false
}

// checkContent compares a content with what its record says of it (P107).
func checkContent(w store.Want, c store.Content, framed bool) (problem string, err error) {
	hash := base64.StdEncoding.EncodeToString(c.SHA1)
	sameHash := w.Hash != "" && w.Hash == hash
	switch {
	case sameHash:
		return "", nil
	case w.Size >= 0 && c.Size < w.Size:
		return "", &rest.Error{Kind: rest.Cut, Class: "attachment of " + w.Type}
	case w.Hash != "":
		return "it differs from the checksum in its record", nil
	case w.Size >= 0 && c.Size != w.Size:
		return "it has another length than its record says", nil
	case w.Size < 0 && !framed:
		return "whether it is whole cannot be told: its record gives no length, nor does the EMR", nil
	}
	return "", nil
}
