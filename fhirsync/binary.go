package fhirsync

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
)

// A binaryReader gives the content of a Binary resource in JSON while it is
// read: the base64 of its member data, decoded. It holds no more than a buffer of
// it, so that a document of a gigabyte is no trouble.
type binaryReader struct {
	in    *bufio.Reader
	data  io.Reader // nil until the member was found
	after bool      // the string has ended
}

func newBinaryReader(in *bufio.Reader) *binaryReader { return &binaryReader{in: in} }

// Read implements io.Reader.
func (b *binaryReader) Read(p []byte) (int, error) {
	if b.data == nil {
		if err := b.find(); err != nil {
			return 0, err
		}
		b.data = base64.NewDecoder(base64.StdEncoding, &stringReader{in: b.in, end: &b.after})
	}
	n, err := b.data.Read(p)
	if err == io.EOF && !b.after {
		err = io.ErrUnexpectedEOF
	}
	var corrupt base64.CorruptInputError
	if err != nil && (err == io.ErrUnexpectedEOF || errors.As(err, &corrupt)) {
		err = &refusedError{"the Binary resource that the EMR gave for it is cut or damaged"}
	}
	return n, err
}

// find reads up to the value of the member data of the root.
func (b *binaryReader) find() error {
	depth, name := 0, ""
	for {
		c, err := b.in.ReadByte()
		if err != nil {
			return &refusedError{"the Binary resource that the EMR gave for it has no content"}
		}
		switch c {
		case '{', '[':
			depth++
			name = ""
		case '}', ']':
			depth--
		case ',':
			name = ""
		case '"':
			if depth == 1 && name == "data" {
				return nil
			}
			s, err := b.word()
			if err != nil {
				return &refusedError{"the Binary resource that the EMR gave for it is cut"}
			}
			if depth == 1 && name == "" {
				name = s
			}
		}
	}
}

// word reads a short string to its closing quote; of a long one it gives the
// start.
func (b *binaryReader) word() (string, error) {
	var s []byte
	for {
		c, err := b.in.ReadByte()
		switch {
		case err != nil:
			return "", err
		case c == '"':
			return string(s), nil
		case c == '\\':
			if c, err = b.in.ReadByte(); err != nil {
				return "", err
			}
		}
		if len(s) < 64 {
			s = append(s, c)
		}
	}
}

// A stringReader reads a JSON string of base64 up to its closing quote; an
// escaped slash is a slash.
type stringReader struct {
	in  *bufio.Reader
	end *bool
}

// Read implements io.Reader.
func (s *stringReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && !*s.end {
		c, err := s.in.ReadByte()
		if err != nil {
			return n, err
		}
		switch c {
		case '"':
			*s.end = true
			continue
		case '\\':
			continue
		}
		p[n] = c
		n++
		if n > 0 && s.in.Buffered() == 0 {
			break
		}
	}
	if n == 0 && *s.end {
		return 0, io.EOF
	}
	return n, nil
}
