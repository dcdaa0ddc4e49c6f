package bulk

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"chartcellar/fhirsync/rest"
)

// The limits of a file (P71, P118).
const (
	MaxLine     = 64 << 20
	maxInflated = 20 << 30
	maxRatio    = 200
	chunkBytes  = 256 << 10
)

var (
	// ErrCut says that a file ended early.
	ErrCut = errors.New("the file ended early")
	// ErrDamaged says that a compressed file does not unpack.
	ErrDamaged = errors.New("the compressed file is damaged")
	// ErrBomb says that a compressed file unpacks to far too much.
	ErrBomb = errors.New("the compressed file unpacks to far too much")
	// ErrChanged says that a file is not the one that was partly read before (P77).
	ErrChanged = errors.New("the file changed between two reads")
)

// A Chunk is some whole lines, each ending in a newline: a carriage return
// before it, a byte order mark and blank lines are gone.
type Chunk struct {
	Lines  []byte
	Count  int
	Offset int64 // of the first line, in bytes of the normalised file
}

// A Prefix says how much of a file is done: bytes of the normalised file, their
// lines, and two checksums, CRC-32C and CRC-32. They tell whether the server
// gives the same file again; what is stored is hashed by the store.
type Prefix struct {
	Bytes      int64  `json:"bytes"`
	Lines      int    `json:"lines"`
	Castagnoli uint32 `json:"crc32c"`
	IEEE       uint32 `json:"crc32"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// add extends the prefix by some lines.
func (p *Prefix) add(lines []byte, count int) {
	p.Bytes += int64(len(lines))
	p.Lines += count
	p.Castagnoli = crc32.Update(p.Castagnoli, castagnoli, lines)
	p.IEEE = crc32.Update(p.IEEE, crc32.IEEETable, lines)
}

// Lines reads one file. It is used by one goroutine.
type Lines struct {
	stream *rest.Stream
	in     *bufio.Reader
	wire   *wireCounter
	gz     bool
	done   Prefix
	plain  int64
	first  bool
	long   int // lines over MaxLine that were passed over
	err    error
}

type wireCounter struct {
	r io.Reader
	n int64
}

func (w *wireCounter) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.n += int64(n)
	return n, err
}

// Open starts to read a file. ErrLinkExpired asks for a fresh manifest.
func Open(ctx context.Context, c Client, f File, token bool) (*Lines, error) {
	s, err := c.Stream(ctx, rest.Request{URL: f.URL, Accept: "application/fhir+ndjson",
		NoToken: !token, Class: "bulk file of " + f.Type})
	if rest.Is(err, rest.SignIn, rest.Forbidden, rest.NotFound, rest.Gone) {
		return nil, fmt.Errorf("%w: %w", ErrLinkExpired, err)
	}
	if err != nil {
		return nil, err
	}
	l := &Lines{stream: s, wire: &wireCounter{r: s.Body}, first: true}
	if err := l.unpack(); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// unpack looks for gzip, announced or not, one level only (P69), and for a
// login page (P33).
func (l *Lines) unpack() error {
	raw := bufio.NewReaderSize(l.wire, 64<<10)
	head, err := raw.Peek(2)
	if err != nil && err != io.EOF {
		return l.ended(err)
	}
	l.in = raw
	if bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(raw)
		if err != nil {
			return ErrDamaged
		}
		l.gz, l.in = true, bufio.NewReaderSize(z, 256<<10)
	}
	start, err := l.in.Peek(256)
	if err != nil && err != io.EOF {
		return l.ended(err)
	}
	low := bytes.ToLower(bytes.TrimLeft(start, " \t\r\n\ufeff"))
	if bytes.HasPrefix(low, []byte("<!doctype")) || bytes.HasPrefix(low, []byte("<html")) ||
		bytes.HasPrefix(start, []byte{0x1f, 0x8b}) {
		return &rest.Error{Kind: rest.NotFHIR, Class: "bulk file"}
	}
	return nil
}

// ended names what ended the file.
func (l *Lines) ended(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		return ErrDamaged
	case errors.Is(err, io.ErrUnexpectedEOF), rest.Is(err, rest.Cut):
		return fmt.Errorf("%w: %w", ErrCut, err)
	}
	return err
}

// Next appends lines to buf, about chunkBytes of them, and returns them. At the
// end of the file it returns io.EOF; ErrCut, ErrDamaged and ErrBomb come after
// the good lines before them.
func (l *Lines) Next(buf []byte) (Chunk, error) {
	c := Chunk{Lines: buf[:0], Offset: l.done.Bytes}
	for l.err == nil && len(c.Lines) < chunkBytes {
		from := len(c.Lines)
		c.Lines, l.err = l.line(c.Lines)
		if len(c.Lines) > from {
			c.Count++
		}
	}
	if c.Count == 0 {
		return c, l.err
	}
	l.done.add(c.Lines, c.Count)
	return c, nil
}

// line appends the next line, normalised; nothing for a blank or an over-long
// one.
func (l *Lines) line(to []byte) ([]byte, error) {
	from := len(to)
	tooLong := false
	for {
		part, err := l.in.ReadSlice('\n')
		l.plain += int64(len(part))
		if len(to)-from+len(part) > MaxLine {
			tooLong, to = true, to[:from]
		}
		if !tooLong {
			to = append(to, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			if l.bomb() {
				return to[:from], ErrBomb
			}
			continue
		case err == io.EOF:
			return l.lastLine(to, from)
		case err != nil:
			return to[:from], l.ended(err)
		}
		if tooLong {
			l.long++
		}
		if l.bomb() {
			return to[:from], ErrBomb
		}
		return l.normalise(to, from), nil
	}
}

// lastLine takes a last line without a newline if it is a whole object; one that
// was cut may well end in a brace.
func (l *Lines) lastLine(to []byte, from int) ([]byte, error) {
	rest := bytes.TrimRight(to[from:], " \t\r\n")
	if len(rest) == 0 {
		return to[:from], io.EOF
	}
	if rest[len(rest)-1] != '}' || !json.Valid(bytes.TrimPrefix(rest, []byte("\ufeff"))) {
		return to[:from], ErrCut
	}
	return l.normalise(append(to, '\n'), from), io.EOF
}

// normalise takes the carriage return, the byte order mark and blank lines out.
func (l *Lines) normalise(to []byte, from int) []byte {
	in := to[from:]
	if l.first {
		l.first = false
		if bytes.HasPrefix(in, []byte("\ufeff")) {
			in = in[:copy(in, in[3:])]
		}
	}
	if n := len(in); n >= 2 && in[n-2] == '\r' {
		in[n-2] = '\n'
		in = in[:n-1]
	}
	if len(bytes.TrimSpace(in)) == 0 {
		return to[:from]
	}
	return to[:from+len(in)]
}

func (l *Lines) bomb() bool {
	return l.gz && l.plain > 64<<20 && (l.plain > maxInflated || l.plain > maxRatio*l.wire.n)
}

// Skip passes over what was read before and fails with ErrChanged if it is not
// the same any more (P77).
func (l *Lines) Skip(ctx context.Context, p Prefix) error {
	var buf []byte
	for l.done.Bytes < p.Bytes {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		left := p.Bytes - l.done.Bytes
		c, err := l.skipChunk(buf, left)
		if err == io.EOF {
			return ErrChanged
		}
		if err != nil {
			return err
		}
		buf = c.Lines
	}
	if l.done != p {
		return ErrChanged
	}
	return nil
}

// skipChunk is Next that ends exactly at a given number of bytes.
func (l *Lines) skipChunk(buf []byte, limit int64) (Chunk, error) {
	c := Chunk{Lines: buf[:0]}
	for l.err == nil && int64(len(c.Lines)) < min(limit, chunkBytes) {
		from := len(c.Lines)
		c.Lines, l.err = l.line(c.Lines)
		if len(c.Lines) > from {
			c.Count++
		}
	}
	if c.Count == 0 {
		return c, l.err
	}
	if int64(len(c.Lines)) > limit {
		return c, ErrChanged
	}
	l.done.add(c.Lines, c.Count)
	return c, nil
}

// Done returns how much has been read.
func (l *Lines) Done() Prefix { return l.done }

// Framed reports whether the end of the file was marked by more than the end
// of the connection (P70).
func (l *Lines) Framed() bool { return l.stream.Framed || l.gz }

// TooLong returns how many lines were passed over because they are longer than
// MaxLine.
func (l *Lines) TooLong() int { return l.long }

// Wire returns the bytes that came over the network.
func (l *Lines) Wire() int64 { return l.wire.n }

// Close ends the request.
func (l *Lines) Close() error { return l.stream.Body.Close() }
